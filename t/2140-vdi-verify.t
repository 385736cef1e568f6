#!/bin/sh
# verify is silent about what VirtualBox and QEMU wrote, and repair asks QEMU.
. "${srcdir:-.}/t/lib/tap.sh"
need qemu-img
cd "$tmp" || exit 1

# Damaged as QEMU sees it, mended as QEMU sees it.
mends() {
	name=$1 code=$2 reads=$3
	shift 3
	ok "$name: made" vdi-craft d.vdi "$@"
	exits "$name: found" 1 vdiskadm verify d.vdi
	says "$name: by its code" "\\[$code\\]"
	rm -f d.vdi.undo
	cp d.vdi before
	exits "$name: a plan" 1 vdiskadm repair --plan d.vdi
	ok "$name: is only a plan" cmp d.vdi before
	ok "$name: mended" vdiskadm repair d.vdi
	ok "$name: found no more" vdiskadm verify d.vdi
	ok "$name: QEMU agrees" qemu-img check -q d.vdi
	ok "$name: reads" vd-io d.vdi "$reads" 'write 3M 1 1'
	vdiskadm repair --restore d.vdi.undo before >/dev/null 2>&1
}
mends 'a shared block' vdi-duplicate-block 'expect 1M 1M 0x41' 1,1,0
mends 'a block past the last' vdi-slot-range 'expect 0 1M 0x40' 0,0x7777
mends 'a lost block' vdi-block-lost 'expect 1M 1M 0' len=1049600 0,1
mends 'half a block' vdi-block-cut 'expect 1M 512k 0x41' len=1573888 0,1
mends 'a low count' vdi-count-low 'expect 1M 1M 0x41' count=1 0,1
mends 'a wild count' vdi-count-range 'expect 1M 1M 0x41' count=99 0,1
mends 'one behind the disk, and past the last' vdi-surplus-block \
	'expect 1M 1M 0x41' blocks=9 len=2098176 \
	0,1,0xffffffff,0xffffffff,0xffffffff,7
mends 'a gap' vdi-unused-place 'expect 0 1M 0x40' count=2 raw=516:0xffffffff \
	raw=388:9 2,0

ok 'an image of ours' vdiskadm create -s 20M -t vdi a.vdi
ok 'with everything done to it' vd-io a.vdi 'fill 0 12M 1' 'zero 1M 3M' \
	'discard 5M 2M' 'unmap 9M 1M' flush 'write 15M 1 1' 'discard 0 20M'
ok 'is sound' vdiskadm verify a.vdi
is 'to the last byte' "$(vdiskadm verify a.vdi)" ''
ok 'after a death' vd-io a.vdi 'write 17M 1M 1' flush 'write 18M 1M 1' die
ok 'it has leaks at most' vdiskadm verify a.vdi
ok 'and a repair keeps what was acknowledged' vdiskadm repair a.vdi
ok 'all of it' vd-io -r a.vdi 'expect 17M 2M 1' 'expect 0 5M 0'
ok 'the rest is sound' qemu-img check -q a.vdi
done_testing
