#!/bin/sh
# vdisk serves the guest's own pages, is killed and replaced, and gives them back.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/xen/tap.sh"
lab_prepare xpvtap-map-vdisk
ok 'blank disks' make_blank_disks "$work/disks" 64 || done_testing
set -- sandbox:map restart:map
if [ -n "${LAB_LONG:-}" ]; then
	mkdir "$work/disks/rogue" "$work/disks/xl"
	for type in vmdk vdi raw; do
		ok "a $type for the rogue" ours vdiskadm create -s 64m -t $type \
			"$work/disks/rogue/rogue.$type"
		ok "a $type for xl" ours vdiskadm create -s 48m -t $type \
			"$work/disks/xl/disk.$type"
	done
	truncate -s 48M "$work/disks/tap.raw" "$work/disks/phy.raw"
	set -- "$@" rogue:map xl:map xpvtap-rings:map
	LAB_XEN_ARGS=dom0_max_vcpus=2
	export LAB_XEN_ARGS
fi
lab_boot "$@"

for image in "$work"/disks/load/*; do
	lab_judge "$image" "$work/judge/raw"
done
lab_done
