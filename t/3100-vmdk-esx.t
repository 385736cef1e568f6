#!/bin/sh
# ESX's own extents: COWD is read and written, seSparse is read.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

field() { vmdk-esx -s "$2" | sed -n "s/^$1 //p"; }
# text CID PARENT TYPE LINES...: a descriptor on stdout.
text() {
	printf '# Disk DescriptorFile\nversion=1\nCID=%s\nparentCID=%s\n' $1 $2
	printf 'createType="%s"\n' $3
	shift 3
	printf '%s\n' "$@"
}
delta() { text 1 ffffffff vmfsSparse "RW $((${1:-8} * 2048)) VMFSSPARSE \"d-delta.vmdk\""; }
same() {
	! command -v qemu-img >/dev/null || {
		vdiskadm translate -I "$1" -x raw -d o.raw &&
		qemu-img compare -q -f vmdk -F raw "$1" o.raw && rm o.raw
	}
}

delta >d.vmdk
for grain in 1 8 128 2048; do
	g=$((grain * 512))
	ok "grains of $g: made" vmdk-esx cowd d-delta.vmdk grain=$grain 0 2
	ok "read" vd-io -r d.vmdk "expect 0 $g 0x40" "expect $g $g 0" \
		"expect $((2 * g)) $g 0x42" "expect 4M 4M 0"
	ok 'QEMU agrees' same d.vmdk
	ok 'written' vd-io d.vmdk 'write 1000 3000 1' 'write 5M 100k 2' flush \
		'write 16383s 1s 3'
	ok 'read again' vd-io -r d.vmdk 'expect 1000 3000 1' \
		'expect 5M 100k 2' 'expect 16383s 1s 3' 'expect 0 512 0x40'
	ok 'QEMU agrees still' same d.vmdk
	is 'closed' "$(field unclean d-delta.vmdk)" 0
	free=$(field free d-delta.vmdk)
	last=$(field map d-delta.vmdk | tr ' ' '\n' | sed 's/.*://' | sort -n |
		tail -1)
	ok "all that is used ($last) is below freeSector ($free)" \
		test $((last + grain)) -le $free
	ok 'which is below the end' \
		test $((free * 512)) -lt "$(field len d-delta.vmdk)"
done

# Tables come when they are needed: 2 MiB of disk each, with small grains.
ok 'no tables at all' vmdk-esx cowd d-delta.vmdk
ok 'zeros' vd-io -r d.vmdk 'expect 0 8M 0'
ok 'written all over' vd-io d.vmdk 'write 0 512 1' 'write 7M 512 2' \
	'write 3M 512 3' flush 'expect 0 512 1' 'expect 3M 512 3'
ok 'each in a table of its own' same d.vmdk
vd-io d.vmdk 'write 1M 2048 4' flush 'write 5M 2048 5' die
is 'a death leaves its mark' "$(field unclean d-delta.vmdk)" 1
ok 'and nothing is lost' vd-io d.vmdk 'expect 1M 2048 4' 'expect 5M 2048 5' \
	'write 0 1 9' flush
is 'closed after that' "$(field unclean d-delta.vmdk)" 0
ok 'QEMU agrees' same d.vmdk
# A freeSector that was not kept up (QEMU's) is not believed.
ok 'a stale hint' vmdk-esx cowd d-delta.vmdk 0 1 2 b28=5
ok 'is not followed' vd-io d.vmdk 'write 1536 512 7' flush 'expect 0 512 0x40' \
	'expect 512 512 0x41' 'expect 1024 512 0x42' 'expect 1536 512 7'
is 'and is right after' "$(field free d-delta.vmdk)" \
	"$(($(field len d-delta.vmdk) / 512 - 1))"

# As a child, and as a parent.
truncate -s 8M b-flat.vmdk
vd-io -f raw b-flat.vmdk 'fill 0 8M 1' || exit 1
text aaaa ffffffff vmfs 'RW 16384 VMFS "b-flat.vmdk"' >b.vmdk
text bbbb aaaa vmfsSparse 'parentFileNameHint="b.vmdk"' \
	'RW 16384 VMFSSPARSE "c-delta.vmdk"' >c.vmdk
text cccc bbbb vmfsSparse 'parentFileNameHint="c.vmdk"' \
	'RW 16384 VMFSSPARSE "d-delta.vmdk"' >d.vmdk
ok 'a child over a flat base' vmdk-esx cowd c-delta.vmdk grain=8 1
ok 'and one more' vmdk-esx cowd d-delta.vmdk grain=1 0
ok 'are one disk' vd-io d.vmdk 'expect 0 512 0x40' 'verify 512 3584 1' \
	'expect 4k 4k 0x41'
ok 'the rest of it' vd-io d.vmdk 'verify 8192 8380416 1'
ok 'a write is copied up' vd-io d.vmdk 'write 10000 1 9' 'zero 4k 1k' flush
ok 'and no more' vd-io -r d.vmdk 'verify 8192 1808 1' 'expect 10000 1 9' \
	'verify 10001 100000 1' 'expect 4k 1k 0' 'expect 5k 3k 0x41'

# What must not be.
bad() {
	name=$1 pattern=$2
	shift 2
	ok "$name: made" vmdk-esx cowd d-delta.vmdk "$@"
	fails_with "$name: refused" "$pattern" vd-io -r d.vmdk 'expect 0 512 0'
}
delta >d.vmdk
bad 'grain of 3' '0x10' b16=3
bad 'version 2' 'version 2' b4=2
bad 'a directory too short' 'only\|needs 4.*0x18' b24=3
bad 'a directory outside' '0x14' b20=70000
bad 'a directory in the header' 'in its header' b20=1
bad 'too small a disk' '0xc' b12=16000
bad 'a table outside' 'outside the file' b2048=70000
bad 'a pointer to the header' 'own tables' 0,1
bad 'a pointer to a table' 'own tables' 0,5
bad 'a pointer past the end' 'past the end' 0,70000
ok 'two tables in one place' vmdk-esx cowd d-delta.vmdk 0 5000 b2052=5
fails_with 'are not written to' 'lie on one another' vd-io d.vmdk flush
ok 'the same grain twice, unclean' vmdk-esx cowd d-delta.vmdk 0 1,37 b1648=1
fails_with 'is not written to' 'in use already' vd-io d.vmdk flush

# seSparse.
text dddd aaaa seSparse 'parentFileNameHint="e.vmdk"' \
	'RW 131072 SESPARSE "s-sesparse.vmdk"' >s.vmdk
truncate -s 64M e-flat.vmdk
vd-io -f raw e-flat.vmdk 'fill 0 64M 2' || exit 1
text aaaa ffffffff vmfs 'RW 131072 VMFS "e-flat.vmdk"' >e.vmdk
ok 'a space-efficient child' vmdk-esx se s-sesparse.vmdk 0 2 \
	3,0x2000000000000000 4,0x1000000000000000 4096 16383
ok 'over its base' vd-io -r s.vmdk 'expect 0 4k 0x40' 'verify 4k 4k 2' \
	'expect 8k 4k 0x42' 'expect 12k 8k 0' 'verify 20k 1M 2' \
	'expect 16M 4k 0x40' 'expect 67104768 4k 0x3f'
if command -v qemu-io >/dev/null; then
	ok 'QEMU agrees' same s.vmdk
	ok 'and in each kind of grain' qemu-io -r -f vmdk \
		-c 'read -P 0x40 0 4k' \
		-c 'read -P 0x42 8k 4k' -c 'read -P 0 12k 8k' \
		-c 'read -P 0x40 16M 4k' -c 'read -P 0x3f 67104768 4k' s.vmdk
fi
fails_with 'it is not written to' 'seSparse images can only be read' \
	vd-io s.vmdk 'write 0 1 1'
ok 'is a parent' vmdk-craft t.vmdk size=64 parent=dddd \
	'line=parentFileNameHint="s.vmdk"'
ok 'of something that is' vd-io t.vmdk 'write 100 1 7' flush \
	'expect 101 1000 0x40' 'verify 4k 4k 2' 'expect 12k 8k 0'
se() {
	name=$1 pattern=$2
	shift 2
	ok "$name: made" vmdk-esx se s-sesparse.vmdk "$@"
	fails_with "$name: refused" "$pattern" vd-io -r s.vmdk 'expect 0 512 0'
}
se 'a journal to replay' 'journal.*0x218' b536=1
se 'another version' 'version.*0x8' b8=2
se 'another grain size' 'grain size.*0x18' b24=16
se 'flags' 'flags.*0x28' b40=1
se 'something in the padding' 'behind what is known' b400=1
se 'a volatile header that is none' 'volatile.*0x200' b512=1
se 'a directory outside' 'directory.*0x80' b128=70000
se 'a directory too short' 'too short.*0x88' b136=0
se 'another size' 'one of them is wrong\|0xc' size=65
se 'no entry of a directory' 'no table.*0x1000' b4100=0x20000000
se 'a table outside' 'no table' b4096=70000
se 'half an entry' 'neither.*byte 0x20000' 0,1
se 'an unknown kind' 'no known kind' 0,0x4000000000000000
se 'a pointer past the end' 'past the end' 0,0x3000000000001000
se 'a pointer past everything' 'past the end' 0,0x3fffffffffffffff
ok 'the other grains are read' vd-io -r s.vmdk 'verify 4k 1M 2'
done_testing
