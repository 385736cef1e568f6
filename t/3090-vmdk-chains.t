#!/bin/sh
# Children of VMware's, QEMU's and VirtualBox's kind are read over their parents, and never without.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

field() { vmdk-craft -s "$2" | sed -n "s/^$1 //p"; }
hint() { echo "line=parentFileNameHint=\"$1\""; }

# A base of 8 MiB, a child with grains of another size, a grandchild.
ok 'a chain' sh -c 'vmdk-craft base.vmdk cid=aaaaaaaa 0,new 1,new 5,new 9,new'
ok 'child' vmdk-craft child.vmdk cid=bbbbbbbb parent=aaaaaaaa grain=8 \
	"$(hint base.vmdk)" 16,new
ok 'grandchild' vmdk-craft top.vmdk cid=cccccccc parent=bbbbbbbb \
	"$(hint child.vmdk)" 9,new
ok 'is one disk' vd-io -r top.vmdk 'expect 0 64k 0x40' 'expect 64k 4k 0x50' \
	'expect 68k 60k 0x41' 'expect 128k 192k 0' 'expect 320k 64k 0x45' \
	'expect 576k 64k 0x49' 'expect 640k 7M 0'
cp base.vmdk base.before && cp child.vmdk child.before
ok 'writes go to the top' vd-io top.vmdk 'write 70000 1000 7' \
	'write 400k 1 8' 'zero 0 64k' 'zero 320k 1k' flush
ok 'and bring along what was around them' vd-io -r top.vmdk 'expect 0 64k 0' \
	'expect 64k 4k 0x50' 'expect 69632 368 0x41' 'expect 70000 1000 7' \
	'expect 71000 1000 0x41' 'expect 409600 1 8' 'expect 409601 1000 0' \
	'expect 320k 1k 0' 'expect 321k 63k 0x45'
ok 'parents are as they were' sh -c \
	'cmp base.vmdk base.before && cmp child.vmdk child.before'
ok 'a child with entries of 1' vmdk-craft z.vmdk version=2 flags=7 \
	parent=aaaaaaaa "$(hint base.vmdk)"
size=$(stat -c %s z.vmdk)
ok 'hides its parent with them' vd-io z.vmdk 'zero 0 128k' flush
is 'in no room at all' "$(stat -c %s z.vmdk) $(field map z.vmdk)" "$size 0:1 1:1"
ok 'for good' vd-io -r z.vmdk 'expect 0 128k 0' 'expect 320k 64k 0x45'
is 'in both tables' "$(field copies z.vmdk)" equal
ok 'until written' vd-io z.vmdk 'write 1000 1 9' 'expect 0 1000 0' flush
vd-io top.vmdk 'write 1M 64k 3' 'write 2M 1 4' die
ok 'a death loses nothing' vd-io top.vmdk 'expect 1M 64k 3' 'expect 2M 1 4' \
	'expect 320k 1k 0' 'expect 321k 63k 0x45' flush

# A parent that is not the one: said, with names, numbers and the way out.
refused() {
	fails_with "$1" "$2" vd-io -r top.vmdk 'expect 0 1 0'
	says "$1: the way out" 'relink'
}
ok 'a parent that was written to' vd-io child.vmdk 'write 0 1 1'
refused 'is refused' 'CID.*expected bbbbbbbb'
cp child.before child.vmdk
ok 'the old one is good' vd-io -r top.vmdk 'expect 0 64k 0'
mv base.vmdk elsewhere.vmdk
refused 'a missing base' 'base.vmdk: No such file'
ok 'another size' vmdk-craft base.vmdk size=9 cid=aaaaaaaa 0,new
refused 'is refused' 'size is 9437184 bytes, expected 8388608'
mv elsewhere.vmdk base.vmdk
ok 'a circle' vmdk-craft child.vmdk cid=bbbbbbbb parent=cccccccc \
	"$(hint top.vmdk)"
fails_with 'is refused' 'circle' vd-io -r top.vmdk 'expect 0 1 0'
cp child.before child.vmdk
mkdir -p away/deep
mv child.vmdk away/
ok 'a path of Windows' vmdk-craft w.vmdk parent=bbbbbbbb \
	'line=parentFileNameHint="away\child.vmdk"'
ok 'another path' vmdk-craft away/child.vmdk cid=bbbbbbbb parent=aaaaaaaa \
	'line=parentFileNameHint="C:\VMs\old\base.vmdk"' 3,new
cp base.vmdk away/base.vmdk
ok 'is found beside the child' vd-io -r w.vmdk 'expect 0 64k 0x40' \
	'expect 192k 64k 0x43'
fails_with 'not outside' 'outside' sh -c 'vmdk-craft away/deep/o.vmdk \
	parent=aaaaaaaa "line=parentFileNameHint=\"../base.vmdk\"" &&
	vd-io -r away/deep/o.vmdk size && vd-io -r away/deep/o.vmdk "expect 0 1 0"'

# VirtualBox: by identity, beside, one up, in Snapshots.
id() { printf '%s-1111-4222-8333-444444444444' "$1"; }
mkdir -p vm/Snapshots
ok 'a base of VirtualBox' vmdk-craft vm/v.vmdk 0,new 1,new \
	"line=ddb.uuid.image=\"$(id 11111111)\"
ddb.uuid.modification=\"$(id 22222222)\""
diff() {
	vmdk-craft "$1" 1,new "line=ddb.uuid.image=\"$(id 33333333)\"
ddb.uuid.parent=\"$(id $2)\"
ddb.uuid.parentmodification=\"$(id $3)\""
}
ok 'its child' diff vm/Snapshots/s.vmdk 11111111 22222222
ok 'finds it' vd-io -r vm/Snapshots/s.vmdk 'expect 0 64k 0x40' \
	'expect 64k 64k 0x41' 'expect 128k 64k 0'
ok 'and is written' vd-io vm/Snapshots/s.vmdk 'write 1000 1 5' \
	'expect 1001 1000 0x40' flush
ok 'another parent' diff vm/Snapshots/t.vmdk 99999999 22222222
fails_with 'is not found' '99999999-.*none of the folders' \
	vd-io -r vm/Snapshots/t.vmdk 'expect 0 1 0'
ok 'another state' diff vm/Snapshots/t.vmdk 11111111 88888888
fails_with 'is not it' 'modification UUID is 22222222.*expected 88888888' \
	vd-io -r vm/Snapshots/t.vmdk 'expect 0 1 0'
ok 'our writing to the base' vd-io vm/v.vmdk 'write 0 1 1'
fails_with 'is seen by its child' 'modification UUID' \
	vd-io -r vm/Snapshots/s.vmdk 'expect 0 1 0'

# A split child, over a flat parent, over a compressed one.
text() {
	printf '# Disk DescriptorFile\nversion=1\nCID=%s\nparentCID=%s\n' $1 $2
	printf 'createType="%s"\n' $3
	shift 3
	printf '%s\n' "$@"
}
truncate -s 8M f-flat.vmdk
vd-io -f raw f-flat.vmdk 'fill 0 8M 1' || exit 1
text 0f0f0f0f ffffffff monolithicFlat 'RW 16384 FLAT "f-flat.vmdk" 0' >f.vmdk
ok 'parts of a child' sh -c 'vmdk-craft p1.vmdk size=4 desc=0 descsize=0 &&
	vmdk-craft p2.vmdk size=4 desc=0 descsize=0 1,new'
text 0e0e0e0e 0f0f0f0f twoGbMaxExtentSparse 'parentFileNameHint="f.vmdk"' \
	'RW 8192 SPARSE "p1.vmdk"' 'RW 8192 SPARSE "p2.vmdk"' >p.vmdk
ok 'over a flat one' vd-io p.vmdk 'verify 0 4M 1' 'write 4190000 10000 6' flush
ok 'across the border of its parts' vd-io -r p.vmdk 'verify 4180000 10000 1' \
	'expect 4190000 10000 6' 'verify 4200000 50000 1' 'expect 4259840 64k 0x41'
ok 'a compressed base' vmdk-pack f-flat.vmdk zip.vmdk
ok 'and a child of it' vmdk-craft y.vmdk parent=1234abcd "$(hint zip.vmdk)"
ok 'copies up from there' vd-io y.vmdk 'write 100000 100 2' flush \
	'verify 0 100000 1' 'expect 100000 100 2' 'verify 100100 1M 1'
text 0a0a0a0a 0f0f0f0f monolithicFlat 'parentFileNameHint="f.vmdk"' \
	'RW 16384 FLAT "f-flat.vmdk" 0' >flat-child.vmdk
fails_with 'a flat child is none' 'monolithicFlat: not supported' \
	vd-io -r flat-child.vmdk size
text 0a0a0a0a 0f0f0f0f twoGbMaxExtentSparse 'parentFileNameHint="f.vmdk"' \
	'isNativeSnapshot="yes"' 'RW 8192 SPARSE "p1.vmdk"' >native.vmdk
fails_with 'nor is what a storage array keeps' 'isNativeSnapshot' \
	vd-io -r native.vmdk size

# QEMU made it, QEMU writes to it, and we.
if command -v qemu-io >/dev/null; then
	ok 'a base and a child by QEMU' sh -c '
		qemu-img create -q -f vmdk qb.vmdk 10M &&
		qemu-io -f vmdk -c "write -P 1 0 2M" qb.vmdk &&
		qemu-img create -q -f vmdk -b qb.vmdk -F vmdk qc.vmdk &&
		qemu-io -f vmdk -c "write -P 2 1M 64k" qc.vmdk'
	ok 'we read' vd-io -r qc.vmdk 'expect 0 1M 1' 'expect 1M 64k 2' \
		'expect 1088k 1k 1' 'expect 2M 8M 0'
	ok 'we write' vd-io qc.vmdk 'write 1500000 3 3' 'zero 0 64k' flush
	ok 'QEMU reads' qemu-io -f vmdk -c 'read -P 3 1500000 3' \
		-c 'read -P 1 1500003 1000' -c 'read -P 0 0 64k' \
		-c 'read -P 1 64k 64k' qc.vmdk
	ok 'QEMU checks' qemu-img check -q qc.vmdk
	ok 'it writes to the base' qemu-io -f vmdk -c 'write -P 9 3M 1' qb.vmdk
	fails_with 'and we see it' 'CID' vd-io -r qc.vmdk 'expect 0 1 0'
else
	skip 'QEMU and we' 'needs qemu-io'
fi
done_testing
