#!/bin/sh
# Whoever serves a disk may die or be replaced: the guest sees a pause.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/xen/tap.sh"
lab_prepare restart
ok 'blank disks' make_blank_disks "$work/disks" 64 || done_testing
lab_boot sandbox:gnttab restart:gnttab ${LAB_LONG:+handover:gnttab} \
	sandbox:xpvtap restart:xpvtap handover:xpvtap

for image in "$work"/disks/load/*; do
	lab_judge "$image" "$work/judge/raw"
done
lab_done
