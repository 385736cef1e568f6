#!/bin/sh
# GRUB, a frontend of another kind than Linux's, boots a guest and hands its disk to Linux.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/xen/tap.sh"
if [ -n "${LAB_LONG:-}" ] && [ -x /usr/bin/python3 ]; then
	LAB_PYGRUB=1
	export LAB_PYGRUB
fi
lab_prepare grub
mkdir "$work/disks/boot"
ok 'disks to boot from' make_boot_disks "$work" \
	"$work/disks/boot/boot.vmdk" "$work/disks/boot/boot.vdi" || done_testing
if [ -n "${LAB_PYGRUB:-}" ]; then
	cp "$work/disks/boot/boot.vdi" "$work/disks/boot/pygrub.vdi"
else
	skip 'xl boots a guest by pygrub' 'needs LAB_LONG, python3'
fi
lab_boot grub:gnttab grub:xpvtap ${LAB_PYGRUB:+grub:pygrub}

for image in "$work"/disks/boot/*; do
	name=${image##*/}
	raw=$work/judge/$name.raw
	lab_judge "$image" "$raw"
	ok "$name: file system, known files, new files" compare_files "$raw" \
		"$work/judge/$name.d" "$work/log/written-$name.sha256"
done
lab_done
