#!/bin/sh
# The kernel driver serves a guest; its process dies and the guest only waits.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/xen/tap.sh"
lab_prepare xpvtap
truncate -s 48M "$work/disks/tap.raw" "$work/disks/kill.raw"
lab_boot xpvtap-hello
ok 'what the guest wrote is in the file' \
	"$work/diskverify" -c -b -n 200 "$work/disks/tap.raw"
ok 'and in the one whose processes were killed' \
	"$work/diskverify" -c -b -s 9 -n 300 "$work/disks/kill.raw"
lab_done
