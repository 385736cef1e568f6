#!/bin/sh
# A guest on Xen uses vmdk, vdi and raw disks, and QEMU agrees with every byte.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/xen/tap.sh"
lab_prepare main
ok 'disks with known files' make_file_disks "$work/disks" || done_testing
ok 'blank disks' make_blank_disks "$work/disks" 64 || done_testing
# What qemu-img has made goes through the driver, and blank ones on both ways.
mkdir "$work/disks/xpvtap"
mv "$work/disks/"[qr].* "$work/disks/xpvtap/"
cp -R "$work/disks/blank" "$work/disks/xpvtap/"
lab_boot files verify errors files:xpvtap verify:xpvtap errors:xpvtap

for image in "$work"/disks/*.* "$work"/disks/xpvtap/*.*; do
	name=${image##*/}
	raw=$work/judge/$name.raw
	lab_judge "$image" "$raw"
	ok "$name: file system, known files, new files" compare_files "$raw" \
		"$work/judge/$name.d" "$work/log/written-$name.sha256"
	rm -f "$raw"
done

# The seed is the place in the alphabet, as in scenarios/verify.sh.
for folder in "$work/disks/blank" "$work/disks/xpvtap/blank"; do
	seed=0
	for image in "$folder"/*; do
		seed=$((seed + 1))
		name=${image##*/}
		raw=$work/judge/$name.raw
		lab_judge "$image" "$raw"
		ok "$name: every sector that the guest wrote, on the host" \
			"$work/diskverify" -c -b -s $seed -n 300 "$raw"
		rm -f "$raw"
	done
done
lab_done
