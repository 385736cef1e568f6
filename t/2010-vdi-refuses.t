#!/bin/sh
# What would be misread is refused, by its name or with the byte that is wrong.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

# refused NAME PATTERN KEYS...: neither read nor written.
refused() {
	name=$1 pattern=$2
	shift 2
	ok "$name: made" vdi-craft x.vdi "$@"
	fails_with "$name: not read" "$pattern" vd-io -r x.vdi 'expect 0 1 0'
	fails_with "$name: not written" "$pattern" vd-io x.vdi 'write 0 1 0'
}

# Recognised, and named.
known() {
	refused "$@"
	ok "$1: probe knows it" vdisk-probe x.vdi
}
known 'type 4 without parent'	'names no parent.*0x1a8' type=4
known 'version 2'		'version 2\.0' version=0x20000
known 'version 1.2'		'version 1\.2' version=0x10002

# Damaged: the byte is named.
refused 'a block too few'	'0x180' blocks=3
refused 'block size'		'0x178' size=64M block=1048575 data=4096
refused 'map in the header'	'0x154' map=448
refused 'data over the map'	'0x158' map=512 data=520
refused 'a cut map'		'0x180' size=1024M data=8192 len=1024
refused 'a cut header'		'ends inside the header' len=300
refused 'no type'		'0x4c' type=9
refused 'no size'		'0x170' size=0 blocks=4 data=1024
refused 'version 0, no type'	'0x48' version=2 type=9
refused 'version 0, a block too few' '0x16c' version=2 blocks=3
refused 'version 0, a cut map'	'0x16c' version=2 size=1024M len=1024
refused 'version 0, a cut header' 'ends inside the header' version=2 len=400

# A map that would let one block destroy another: read, not written.
guarded() {
	name=$1 pattern=$2 reads=$3
	shift 3
	ok "$name: made" vdi-craft x.vdi "$@"
	cp x.vdi before
	fails_with "$name: not written" "$pattern" vd-io x.vdi 'write 3M 1 1'
	fails_with "$name: the way out is named" 'read-only' vd-io x.vdi flush
	ok "$name: untouched" cmp x.vdi before
	ok "$name: read" vd-io -r x.vdi "$reads"
}
guarded 'a shared slot' 'shares place 1.*0x208' 'expect 0 1M 0x40' 0,1,1
guarded 'a slot too high' 'place 4 of an image of 4.*0x204' 'expect 1M 1M 0' 0,4
guarded 'a wild slot' '0x200' 'expect 0 1M 0' 0xfffffffd
guarded 'behind the end' 'past the end.*0x204' 'expect 1M 1M 0' \
	len=1049600 0,1
guarded 'half behind the end' 'past the end.*0x204' 'expect 1M 512k 0x41' \
	len=1573888 0,1
ok 'what is missing are zeros' vd-io -r x.vdi 'expect 1536k 512k 0'
guarded 'unknown flags' 'flags 0x4 ' 'expect 0 1M 0x40' flags=4 0
done_testing
