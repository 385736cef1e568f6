#!/bin/sh
# What was acknowledged survives the death of the process, flushed or not.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

figures() { vdi-craft -s "$1" | sed -n '/^count/p;/^map/p' | tr '\n' ' '; }

ok 'make an image' vdi-craft a.vdi size=8M 0
vd-io a.vdi 'write 1M 1M 1' flush 'write 2M 512 2' 'write 4M 2M 3' die
is 'dead: only what was flushed is in the map' "$(figures a.vdi)" \
	'count 2 map 0 1 free free free free free free '
ok 'a reader sees all of it' vd-io -r a.vdi 'expect 0 1M 0x40' \
	'expect 1M 1M 1' 'expect 2M 512 2' 'expect 4M 2M 3'
is 'and leaves the file alone' "$(figures a.vdi)" \
	'count 2 map 0 1 free free free free free free '
ok 'a writer goes on from there' vd-io a.vdi 'expect 4M 2M 3' 'write 7M 1M 4' \
	'expect 2M 512 2'
is 'and puts it into the map' "$(figures a.vdi)" \
	'count 6 map 0 1 2 free 3 4 free 5 '
ok 'opened once more' vd-io -r a.vdi 'expect 2M 512 2' 'expect 4M 2M 3' \
	'expect 7M 1M 4'

# Three deaths in a row, each between two flushes.
for n in 1 2 3; do
	vd-io a.vdi "write 3M 1M $n" flush "write 6M 1M $n" die
done
ok 'the last word counts' vd-io a.vdi 'expect 3M 1M 3' 'expect 6M 1M 3'
is 'no slot was lost' "$(figures a.vdi)" 'count 8 map 0 1 2 6 3 4 7 5 '

ok 'another image' vdi-craft b.vdi 0
vd-io b.vdi 'write 1M 1 1' die
ok 'that another program writes to after a death' vdi-craft b.vdi count=2 0,1
fails_with 'is not patched with old mappings' 'another program' \
	vd-io b.vdi 'write 0 1 1'
done_testing
