#!/bin/sh
# Blocks of any size, anywhere in the file, in any order, are read and written.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

# dialect NAME BLOCK KEYS...: a disk of four and a half blocks; two have slots.
dialect() {
	name=$1 b=$2
	shift 2
	ok "$name: made" vdi-craft d.vdi size=$((4 * b + b / 2)) block=$b "$@" \
		2,free,0,zero
	ok "$name: every block is where the map says" vd-io -r d.vdi \
		"expect 0 $b 0x40" "expect $b $b 0" \
		"expect $((2 * b)) $b 0x42" "expect $((3 * b)) $((b * 3 / 2)) 0"
	ok "$name: over what is there, across blocks, into the last half" \
		vd-io d.vdi "write $((b - 100)) 200 0x11" \
		"write $((3 * b + 7)) 9 0x22" "write $((4 * b)) $((b / 2)) 0x33"
	ok "$name: opened again, all of it is there" vd-io -r d.vdi \
		"expect 0 $((b - 100)) 0x40" "expect $((b - 100)) 200 0x11" \
		"expect $((b + 100)) $((b - 100)) 0" \
		"expect $((2 * b)) $b 0x42" "expect $((3 * b)) 7 0" \
		"expect $((3 * b + 7)) 9 0x22" \
		"expect $((3 * b + 16)) $((b - 16)) 0" \
		"expect $((4 * b)) $((b / 2)) 0x33"
	is "$name: the free slot first, then the end" \
		"$(vdi-craft -s d.vdi | grep -e ^map -e ^count)" \
		"count 5
map 2 1 0 3 4"
}

dialect 'usual'			1048576
dialect 'short header'		1048576	header=384
dialect 'QEMU layout'		1048576	header=384 map=512 data=1024
dialect 'small blocks'		4096
dialect 'two sectors a block'	1024
dialect 'large blocks'		8388608
dialect 'odd map and data'	65536	map=473 data=5001
dialect 'map right behind a short header' 65536 header=384 map=456 data=999
dialect 'map over a geometry'	65536	header=400 map=457 data=1001
dialect 'a prefix a block'	65536	extra=512
dialect 'a prefix, all odd'	4096	extra=64 map=475 data=777
dialect 'fixed by its type'	65536	type=2
dialect 'known flags'		65536	flags=0x201

ok 'a map longer than the disk' vdi-craft l.vdi size=3M blocks=9 0,1
ok 'is read and written' vd-io l.vdi 'expect 1M 1M 0x41' 'write 2M 1M 7' \
	flush 'expect 2M 1M 7'

ok 'an odd disk size' vdi-craft o.vdi size=3146751 0,1,2,3
is 'is rounded down to whole sectors' "$(vd-io -r o.vdi size)" 3146240
ok 'and reads up to there' vd-io -r o.vdi 'expect 3M 512 0x43'

ok 'a prefix stays as it was' vdi-craft p.vdi size=16k block=4k extra=512 0
ok 'when its block is written' vd-io p.vdi 'write 0 4k 9'
is 'to the byte' "$(dd if=p.vdi bs=512 skip=2 count=1 2>/dev/null |
	tr -d '\356' | wc -c)" 0
done_testing
