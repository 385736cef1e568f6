#!/bin/sh
# vdiskadm translate and qemu-img convert agree on a disk that was lived in.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/interop.sh"
need qemu-img
PATH=$PATH:/sbin:/usr/sbin
need mke2fs
cd "$tmp" || exit 1

mkdir tree
cp -r "$srcdir/core" "$srcdir/include" tree/
head -c 3000000 /dev/urandom >tree/noise
truncate -s 5M tree/sparse
truncate -s $((40 * 1048576 + 512)) base.raw
mke2fs -q -F -t ext4 -d tree base.raw 40960k >mke2fs.out 2>&1 || {
	cat mke2fs.out
	skip_all 'mke2fs cannot fill a file system here'
}
size=$((40 * 1048576 + 512))

for to in vdi vdi:fixed vmdk vmdk:fixed raw; do
	f=o.${to%%:*}
	ok "we make $to of it" vdiskadm translate -I base.raw -x $to -d $f
	ok "$to: checks clean" qemu_check $to $f
	is "$to: size" "$(qemu_says $f size)" $size
	ok "$to: identical for QEMU" qemu_same $to $f base.raw
	ok "$to: QEMU turns it to raw" qemu-img convert -O raw $f q.raw
	ok "$to: which is the same" cmp q.raw base.raw
	rm -f o* q.raw
done
while read -r format options; do
	what="$format $options"
	qemu-img convert -O $format ${options:+-o $options} base.raw q.$format
	ok "QEMU's $what: we make raw of it" \
		vdiskadm translate -I q.$format -x raw -d o.raw
	ok "QEMU's $what: is the same" cmp o.raw base.raw
	for to in vdi vmdk; do
		ok "QEMU's $what: to $to" \
			vdiskadm translate -I q.$format -x $to -d o.$to
		ok "QEMU's $what: $to is identical" qemu_same $to o.$to base.raw
		rm -f o.$to
	done
	rm -f o* q*
done <<'L'
raw
vdi
vdi static=on
vmdk
vmdk zeroed_grain=on
vmdk subformat=monolithicFlat
vmdk subformat=twoGbMaxExtentSparse
L
done_testing
