#!/bin/sh
# A frontend that breaks every rule harms nobody but itself.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/xen/tap.sh"
lab_prepare rogue
ok 'blank disks' make_blank_disks "$work/disks" 64 || done_testing
mkdir "$work/disks/rogue"
for type in vmdk vdi; do
	ok "a $type for the rogue" ours vdiskadm create -s 64m -t $type \
		"$work/disks/rogue/rogue.$type"
done
lab_boot rogue:gnttab rogue:xpvtap

for image in "$work"/disks/rogue/*; do
	lab_judge "$image" "$work/judge/raw"
done
lab_done
