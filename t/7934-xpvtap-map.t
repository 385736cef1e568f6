#!/bin/sh
# What the driver promises holds where it maps the guest's own pages, too.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/xen/tap.sh"
lab_prepare xpvtap-map
truncate -s 48M "$work/disks/tap.raw" "$work/disks/kill.raw"
lab_boot xpvtap-rogue:map xpvtap-life:map xpvtap-hello:map
ok 'what the guest wrote is in the file' \
	"$work/diskverify" -c -b -n 200 "$work/disks/tap.raw"
ok 'and in the one whose processes were killed' \
	"$work/diskverify" -c -b -s 9 -n 300 "$work/disks/kill.raw"
lab_done
