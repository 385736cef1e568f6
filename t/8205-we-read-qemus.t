#!/bin/sh
# What QEMU creates and writes we read identically, and can write on.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/interop.sh"
need qemu-img qemu-io
cd "$tmp" || exit 1

# one FORMAT OPTIONS SIZE near|far
one() {
	f=d.$1 what="$1 ($2) of $3 bytes"
	ok "$what: QEMU makes it" qemu-img create -q -f "$1" ${2:+-o $2} $f "$3" ||
		return
	size=$(qemu_says $f size)
	is "$what: we see its size" "$(vd-io -r $f size)" "$size"
	ok "$what: and zeros" vd-io -r $f 'expect 0 1s 0'
	ok "$what: QEMU writes at the edges" qemu "$1" $f "$size"
	ok "$what: we read them" ours $f "$size" expect
	truncate -s "$size" ref.raw
	qemu raw ref.raw "$size"
	is "$what: all the content" "$(vd-io -r $f hash)" \
		"$(vd-io -r -f raw ref.raw hash)"
	if [ "$4" = near ]; then
		ok "$what: translated to raw" \
			vdiskadm translate -I $f -x raw -d t.raw
		ok "$what: is byte for byte the same" cmp t.raw ref.raw
	fi
	# Over their data, beside it, and where nothing was.
	for w in '0 1024 0xe1' '262144 512 0xe2' "$((size / 2 / 512 * 512)) 512 0xe3" \
		"$((size - 1024)) 512 0xe4"; do
		set -- "$1" "$2" "$3" "$4" $w
		[ $(($5 + $6)) -le "$size" ] || continue
		ok "$what: we write at $5" vd-io $f "write $w" flush
		qemu-io -f raw -c "write -P $7 $5 $6" ref.raw >/dev/null
	done
	ok "$what: QEMU checks it clean" qemu_check "$1" $f
	if [ "$4" = near ]; then
		ok "$what: and finds what we wrote" qemu_same "$1" $f ref.raw
	else
		ok "$what: and finds what we wrote" sh -c '
			qemu-io -f "$1" -c "read -P 0xe4 $(($3 - 1024)) 512" \
				-c "read -P 0xe1 0 1024" "$2" >out 2>&1 &&
			! grep -i "fail\|error" out' - "$1" $f "$size"
	fi
	# And QEMU writes once more, over ours.
	ok "$what: QEMU writes on" qemu "$1" $f "$size"
	ok "$what: we follow" ours $f "$size" expect
	rm -f d*.* ref.raw t.raw
}

for size in 65536 1048576 1049088 1474560 33555456 106954752; do
	one raw  '' $size near
	one vdi  '' $size near
	one vdi  static=on $size near
	one vmdk '' $size near
	one vmdk adapter_type=lsilogic,hwversion=6 $size near
	one vmdk subformat=monolithicFlat $size near
done
for size in 1073742336 137438954496 2199023255040 2199023255552; do
	[ $size = 1073742336 ] && how=near || how=far
	one raw  '' $size $how
	one vdi  '' $size $how
	one vmdk '' $size $how
	one vmdk subformat=monolithicFlat $size $how
done
one vmdk zeroed_grain=on 33555456 near
# Extents of 2 GiB: the border between two of them is written across.
one vmdk subformat=twoGbMaxExtentSparse 4613734400 far
one vmdk subformat=twoGbMaxExtentFlat 4613734400 far
done_testing
