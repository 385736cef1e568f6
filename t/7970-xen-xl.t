#!/bin/sh
# xl's own commands attach, list and detach a vmdk, a vdi and a raw disk.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/xen/tap.sh"
lab_prepare xl
mkdir "$work/disks/xl"
for type in vmdk vdi raw; do
	ok "a $type" ours vdiskadm create -s 48m -t $type "$work/disks/xl/disk.$type"
done
truncate -s 48M "$work/disks/phy.raw"
lab_boot xl xl-order

for image in "$work"/disks/xl/*; do
	lab_judge "$image" "$work/judge/raw"
	rm -f "$work/judge/raw"
done
ok 'the kernel'\''s backend kept every sector of its own' \
	"$work/diskverify" -c -s 82 -n 100 "$work/disks/phy.raw"
lab_done
