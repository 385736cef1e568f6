#!/bin/sh
# GRUB, a frontend of another kind, boots a guest and hands its disk to Linux.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/xen/tap.sh"
lab_prepare grub
mkdir "$work/disks/boot"
ok 'disks to boot from' make_boot_disks "$work" \
	"$work/disks/boot/boot.vmdk" "$work/disks/boot/boot.vdi" || done_testing
lab_boot grub:gnttab grub:xpvtap

for image in "$work"/disks/boot/*; do
	name=${image##*/}
	raw=$work/judge/$name.raw
	lab_judge "$image" "$raw"
	ok "$name: file system, known files, new files" compare_files "$raw" \
		"$work/judge/$name.d" "$work/log/written-$name.sha256"
done
lab_done
