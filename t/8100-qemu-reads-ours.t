#!/bin/sh
# What we create and write, QEMU checks clean and reads identically.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/interop.sh"
need qemu-img qemu-io
cd "$tmp" || exit 1

# one TYPE SIZE
one() {
	f=d.${1%%:*} what="$1 of $2 bytes"
	ok "$what: create" vdiskadm create -s "$2" -t "$1" $f || return
	is "$what: QEMU sees the format" "$(qemu_says $f format)" "$(qemu_format "$1")"
	is "$what: and the size" "$(qemu_says $f size)" "$2"
	ok "$what: empty, checks clean" qemu_check "$1" $f
	ok "$what: write at the edges" ours $f "$2"
	ok "$what: checks clean" qemu_check "$1" $f
	ok "$what: QEMU reads it back" qemu "${1%%:*}" $f "$2" read
	[ "$3" = far ] || {
		truncate -s "$2" ref.raw
		ok "$what: reference" qemu raw ref.raw "$2"
		ok "$what: identical" qemu_same "$1" $f ref.raw
	}
	rm -f d* ref.raw
}

for type in raw vdi vdi:fixed vmdk vmdk:fixed; do
	for size in 512 65024 1048576 1049088 1474560 33555456 106954752; do
		one $type $size near
	done
done
for type in raw vdi vmdk; do
	one $type 1073742336 near	# 1 GiB and a sector
	one $type 137438954496 far	# 128 GiB and two
	one $type 2199023255040 far	# 2 TiB less a sector
	one $type 2199023255552 far	# 2 TiB
done
one vmdk:fixed 1073742336 near
done_testing
