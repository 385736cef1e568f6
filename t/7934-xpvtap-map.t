#!/bin/sh
# All that the driver promises holds where it maps the guest's own pages, too.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/xen/tap.sh"
lab_prepare xpvtap-map
truncate -s 48M "$work/disks/tap.raw" "$work/disks/kill.raw"
ok 'blank disks' make_blank_disks "$work/disks" 64 || done_testing
lab_boot xpvtap-hello:map xpvtap-rogue:map xpvtap-life:map restart:map
lab_done
