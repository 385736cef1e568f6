#!/bin/sh
# A differencing image shows its parent where it has nothing, and never writes it.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1

map() { vdi-craft -s "$1" | sed -n 's/^map //p'; }

# Base 0x40 0x41 0x42 0x43; child has block 1, zeros over block 2.
base() { vdi-craft base.vdi create=0xba5e "$@" 0,1,2,3; }
child() { vdi-craft child.vdi type=4 create=0xc1 link=0xba5e "$@" free,0,zero; }

ok 'a base' base
ok 'a child' child
is 'is known as one' "$(vdisk-probe child.vdi | grep -c differencing)" 1
ok 'reads as both together' vd-io -r child.vdi 'expect 0 1M 0x40' \
	'expect 1M 1M 0x41' 'expect 2M 1M 0' 'expect 3M 1M 0x43'
cp base.vdi before
ok 'a byte here and there' vd-io child.vdi 'write 100 1 0x11' \
	'write 2M 1 0x12' 'write 3145727 2 0x13' flush 'write 4194303 1 0x14'
ok 'changes just them' vd-io -r child.vdi 'expect 0 100 0x40' \
	'expect 100 1 0x11' 'expect 101 1048475 0x40' 'expect 1M 1M 0x41' \
	'expect 2M 1 0x12' 'expect 2097153 1048574 0' 'expect 3145727 2 0x13' \
	'expect 3145729 1048574 0x43' 'expect 4194303 1 0x14'
ok 'and not the parent' cmp base.vdi before
is 'the child holds whole blocks' "$(map child.vdi)" '1 0 2 3'

# VirtualBox issue 850: zeros over a free block were forgotten at close.
ok 'another child' child
ok 'zeros over the parent' vd-io child.vdi 'zero 0 1M' 'unmap 3M 512k' \
	'expect 0 1M 0'
ok 'are still there after a reopen' vd-io -r child.vdi 'expect 0 1M 0' \
	'expect 1M 1M 0x41' 'expect 3M 512k 0' 'expect 3670016 512k 0x43'
is 'in the map itself' "$(map child.vdi)" 'zero 0 zero 1'
ok 'a byte into the zeros' vd-io child.vdi 'write 5 1 9' 'expect 0 5 0' \
	'expect 5 1 9' 'expect 6 1048570 0'

ok 'a third child' child
ok 'discards' vd-io child.vdi 'discard 0 4M' 'expect 0 4M 0'
ok 'hide the parent for good' vd-io -r child.vdi 'expect 0 4M 0'
is 'and no block lost its place' "$(map child.vdi)" 'zero 0 zero zero'
ok 'nor was the parent touched' cmp base.vdi before

# A death in between: nothing of what was acknowledged goes.
ok 'a fourth child' child
vd-io child.vdi 'zero 0 1M' 'write 3M 1 7' die
ok 'a death without a flush' vd-io child.vdi 'expect 0 1M 0' 'expect 3M 1 7' \
	'expect 3145729 1048575 0x43'

# Over two parents of other block sizes, an old one and an undo image below.
ok 'the oldest' vdi-craft v0.vdi version=2 create=0xa0 block=512k 0,1,2,3,4,5,6
ok 'an undo image over it' vdi-craft undo.vdi type=3 create=0xa1 link=0xa0 free,0
ok 'a linked image whose type says dynamic' \
	vdi-craft mid.vdi type=1 create=0xa2 link=0xa1 block=64k free,0,zero
ok 'the top' vdi-craft top.vdi type=4 create=0xa3 link=0xa2 block=2M free
ok 'four layers, one disk' vd-io top.vdi 'expect 0 64k 0x40' \
	'expect 64k 64k 0x41' 'expect 128k 64k 0' 'expect 192k 320k 0x40' \
	'expect 512k 512k 0x41' 'expect 1M 1M 0x41' 'expect 2M 512k 0x44' \
	'expect 3M 512k 0x46' 'expect 3584k 512k 0'
ok 'one byte copies up from all of them' vd-io top.vdi 'write 130k 1 1'
rm v0.vdi undo.vdi
fails_with 'a chain with a hole is not opened' '000000a1-' \
	vd-io -r top.vdi 'expect 0 1 0x40'
done_testing
