#!/bin/sh
# The map is the truth: a wrong counter neither costs a block nor loses one.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

figures() { vdi-craft -s "$1" | sed -n '/^count/p;/^map/p' | tr '\n' ' '; }

ok 'a count that is too low' vdi-craft low.vdi count=1 0,1,2
ok 'a new block goes behind the others' vd-io low.vdi 'write 3M 1M 7' \
	'expect 0 1M 0x40' 'expect 1M 1M 0x41' 'expect 2M 1M 0x42'
is 'and the count is right' "$(figures low.vdi)" 'count 4 map 0 1 2 3 '

ok 'a count that is too high' vdi-craft high.vdi count=99 0
ok 'is no reason to waste' vd-io high.vdi 'write 2M 1M 7' 'expect 0 1M 0x40'
is 'a slot' "$(figures high.vdi)" 'count 2 map 0 free 1 free '

# A crash between data and map leaves a slot that no entry names, with bytes.
ok 'a leaked slot, full of old bytes' vdi-craft leak.vdi 0,1,2
printf '\377\377\377\377' | dd of=leak.vdi bs=1 seek=516 conv=notrunc 2>/dev/null
is 'is in the middle' "$(figures leak.vdi)" 'count 3 map 0 free 2 free '
size=$(wc -c <leak.vdi)
ok 'a byte into a new block' vd-io leak.vdi 'write 3500000 1 7'
is 'takes that slot' "$(figures leak.vdi)" 'count 3 map 0 free 2 1 '
is 'without growing the file' "$(wc -c <leak.vdi)" "$size"
ok 'and shows nothing of the old bytes' vd-io -r leak.vdi \
	'expect 3M 354272 0' 'expect 3500000 1 7' 'expect 3500001 694303 0'

ok 'a leaked tail, cut in half' vdi-craft tail.vdi len=1573888 0,1
printf '\377\377\377\377' | dd of=tail.vdi bs=1 seek=516 conv=notrunc 2>/dev/null
ok 'is filled and completed' vd-io tail.vdi 'write 3M 1 7' \
	'expect 3145729 1048575 0'
is 'to whole blocks' "$(wc -c <tail.vdi)" 2098176
done_testing
