#!/bin/sh
# The lab itself, with the kernel's own backend: what fails here is not vdisk.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/xen/tap.sh"
lab_prepare lab
truncate -s 48M "$work/disks/lab.raw"
more=
if [ -n "${LAB_LONG:-}" ]; then
	mkdir "$work/disks/boot"
	ok 'a disk to boot from' make_boot_disks "$work" "$work/disks/boot/boot.raw"
	more=grub:phy
fi
lab_boot hello phy $more
ok 'every sector that the guest wrote is in the file' \
	"$work/diskverify" -c -b -n 300 "$work/disks/lab.raw"
lab_done
