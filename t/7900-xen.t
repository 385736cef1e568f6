#!/bin/sh
# A guest on Xen uses vmdk, vdi and raw disks, and QEMU agrees with every byte.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/xen/tap.sh"
lab_prepare main
ok 'disks with known files' make_file_disks "$work/disks" || done_testing
ok 'blank disks' make_blank_disks "$work/disks" 64 || done_testing
lab_boot files verify errors

for image in "$work"/disks/*.*; do
	name=${image##*/}
	raw=$work/judge/$name.raw
	lab_judge "$image" "$raw"
	ok "$name: file system, known files, new files" compare_files "$raw" \
		"$work/judge/$name.d" "$work/log/written-$name.sha256"
	rm -f "$raw"
done

# The seed is the place in the alphabet, as in scenarios/verify.sh.
seed=0
for image in "$work"/disks/blank/*; do
	seed=$((seed + 1))
	name=${image##*/}
	raw=$work/judge/$name.raw
	lab_judge "$image" "$raw"
	ok "$name: every sector that the guest wrote, on the host" \
		"$work/diskverify" -c -b -s $seed -n 500 "$raw"
	rm -f "$raw"
done
lab_done
