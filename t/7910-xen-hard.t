#!/bin/sh
# Disks taken away, servers stopped and guests destroyed under load.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/xen/tap.sh"
lab_prepare hard
ok 'blank disks' make_blank_disks "$work/disks" 64 || done_testing
lab_boot detach-load detach-writers sigterm let-go kill9 destroy dead-server \
	detach-load:xpvtap detach-writers:xpvtap

for image in "$work"/disks/blank/* "$work"/disks/load/*; do
	lab_judge "$image" "$work/judge/raw"
done
lab_done
