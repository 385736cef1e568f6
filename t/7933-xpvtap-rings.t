#!/bin/sh
# xpvtap takes rings of many pages, two queues and requests of 256 segments.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/xen/tap.sh"
lab_prepare xpvtap-rings
truncate -s 48M "$work/disks/tap.raw"
LAB_XEN_ARGS=dom0_max_vcpus=2
export LAB_XEN_ARGS
lab_boot xpvtap-rings
lab_done
