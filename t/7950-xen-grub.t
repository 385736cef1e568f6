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
	ok "$name: qemu-img check" check_image "$image"
	ok "$name: qemu-img convert" convert "$image" "$raw"
	ok "$name: qemu-img and vdiskadm read the same" \
		same_as_ours "$image" "$raw" "$work/judge"
	ok "$name: file system, known files, new files" compare_files "$raw" \
		"$work/judge/$name.d" "$work/log/written-$name.sha256"
done
lab_done
