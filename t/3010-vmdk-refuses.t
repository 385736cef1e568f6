#!/bin/sh
# What would be misread is refused, by its name or with the byte that is wrong.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

# refused NAME PATTERN KEYS...: neither read nor written, nor touched.
refused() {
	name=$1 pattern=$2
	shift 2
	ok "$name: made" vmdk-craft x.vmdk "$@"
	cp x.vmdk before
	fails_with "$name: not read" "$pattern" vd-io -r x.vmdk 'expect 0 1 0'
	fails_with "$name: not written" "$pattern" vd-io x.vmdk 'write 0 1 0'
	ok "$name: untouched" cmp x.vmdk before
}
known() {
	refused "$@"
	ok "$1: probe knows it" vdisk-probe x.vmdk
}
damaged() {
	refused "$@"
	exits "$1: probe says broken" 1 vdisk-probe x.vmdk
}
known 'another compression'	'compression method 2' flags=0x30001 compress=2
known 'markers only'		'without compressed' flags=0x20003
known 'compressed, large grains' 'only up to 32768' flags=0x30001 compress=1 \
				grainsize=65536
known 'version 9'		'version 9' version=9
known 'unknown features'	'0x80000000' flags=0x80000003
known 'a child'			'0a0a0a0a.*does not name' parent=0a0a0a0a
known 'a hidden child'		'names a parent ("b.vmdk"), but no parentCID' \
	'line=parentFileNameHint="b.vmdk"'
known 'a VirtualBox child'	'5f85995a.*in none of the folders' \
	'line=ddb.uuid.parent="5f85995a-8d6c-449d-a047-b719bdbf952f"'
known 'encrypted'		'encrypted' 'line=encryption.keySafe = "v"'
known 'two extents inside'	'2 extents' 'line=RW 8 SPARSE "y.vmdk"'
known 'one part of a disk'	'one extent' desc=0 descsize=0

# Files of other dialects: only their first bytes are needed.
bare() {
	name=$1 variant=$2 bytes=$3 pattern=$4
	{ printf "$bytes"; head -c 4096 /dev/zero; } >x.vmdk
	ok "$name: probe says $variant" sh -c "vdisk-probe x.vmdk | grep $variant"
	fails_with "$name: refused" "$pattern" vd-io -r x.vmdk 'expect 0 1 0'
}
bare 'ESX sparse' vmfsSparse 'COWD\1\0\0\0' 'COWD'
bare 'space-efficient' seSparse '\276\272\376\312\0\0\0\0' 'space-efficient'
printf 'vmdk\3\0\0\0%512s' '' >x.vmdk
exits 'what open-vmdk never finished is broken' 1 vdisk-probe x.vmdk
printf '# a program\nversion=1\nname=x\n' >x.vmdk
fails_with "somebody's settings are no disk" 'its bytes do not' \
	vd-io -r x.vmdk 'expect 0 1 0'

damaged 'text mode'		'text mode.*0x4b\|text mode.*0x49' newline=10
damaged 'grain of 3'		'0x14' grainsize=3
damaged 'entries'		'0x2c' gtes=4096
damaged 'capacity'		'0xc' capacity=0x7fffffffffffff
damaged 'directory outside'	'0x38' gd=100000
damaged 'copy outside'		'0x30' rgd=100000
damaged 'cut short'		'0x40' len=32768
damaged 'descriptor outside'	'0x1c' desc=4000
damaged 'two CIDs'		'CID.*twice' line=CID=77
refused 'a table outside'	'grain table 0.*0x3400\|grain table 0 at' \
				gde=0,0x7fffffff
refused 'too small a header'	'0xc' sectors=20000
refused 'too large a header'	'one of them is wrong.*0xc' sectors=2000

# Bad pointers: an error names entry and byte; other grains are fine.
pointer() {
	name=$1 pattern=$2
	shift 2
	ok "$name: made" vmdk-craft x.vmdk 0,new "$@"
	ok "$name: others are read" vd-io -r x.vmdk 'expect 0 64k 0x40'
	fails_with "$name: not followed" "grain 1 at.*$pattern.*(byte 0x" \
		vd-io -r x.vmdk 'expect 64k 1 0'
	fails_with "$name: nor written through" "grain 1 at.*$pattern" \
		vd-io x.vmdk 'write 64k 1 9'
}
pointer 'past the end'		'past the end'	1,0x10000
pointer 'wild'			'past the end'	1,0xffffffff
pointer 'into the tables'	"own tables"	1,26
pointer 'into the descriptor'	"own tables"	1,2
pointer 'half past the end'	'past the end'	1,192
ok 'a grain over a late table' vmdk-craft x.vmdk size=64 0,new 1,new gde=1,256
fails_with 'is not followed' 'own tables' vd-io -r x.vmdk 'expect 64k 1 0x41'

# Fit to be read, not to be written.
guarded() {
	name=$1 pattern=$2
	shift 2
	ok "$name: made" vmdk-craft x.vmdk 0,new "$@"
	cp x.vmdk before
	fails_with "$name: not written" "$pattern" vd-io x.vmdk 'write 3M 1 1'
	fails_with "$name: the way out is named" 'read-only' vd-io x.vmdk flush
	ok "$name: untouched" cmp x.vmdk before
	ok "$name: read" vd-io -r x.vmdk 'expect 0 64k 0x40' 'expect 1M 1M 0'
}
guarded 'half a table'		'one of the two' rgde=0,0
guarded 'two tables in one place' 'lie on one another' size=64 gde=1,31
guarded 'a table in the directory' 'lie on one another' rgde=0,26
ok 'one grain for two, closed' vmdk-craft x.vmdk 0,new 1,128 unclean=0
guarded 'one grain for two'	'in use already.*' unclean=1 1,128
guarded 'a pointer past the end' 'past the end' unclean=1 100,0x10000
guarded 'two places for a grain' 'somewhere else' unclean=1 0,128,256 len=262144
done_testing
