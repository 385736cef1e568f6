#!/bin/sh
# A disk of xpvtap begins, grows, changes its process and outlives its guest.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/xen/tap.sh"
lab_prepare xpvtap-life
truncate -s 48M "$work/disks/tap.raw"
lab_boot xpvtap-life
lab_done
