#!/bin/sh
# An image that is not written stays as it was; the first write renames its content.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

field() { vdi-craft -s "$2" | sed -n "s/^$1 //p"; }

# The count is wrong on purpose: even that is no reason to write.
ok 'make an image' vdi-craft a.vdi count=1 2,free,0
cp a.vdi before
ok 'open for writing, read, flush, close' vd-io a.vdi 'expect 0 1M 0x40' flush
ok 'not a byte has changed' cmp a.vdi before
ok 'zeros where there are zeros' vd-io a.vdi 'zero 1M 1M' flush
is 'are no new block' "$(field map a.vdi)" '2 free 0 free'

cp before a.vdi
ok 'write over a block' vd-io a.vdi 'write 0 1 0x55'
modify=$(field modify a.vdi)
is 'the content has a new name' "$([ "$modify" != "$(field modify before)" ] &&
	echo new)" new
is 'made of a random UUID' "$(expr "$modify" : '4...............................')" 32
is 'the image keeps its own' "$(field create a.vdi)" "$(field create before)"
is 'the count covers the map' "$(field count a.vdi)" 3
ok 'two writes in one session' vd-io a.vdi 'write 0 1 1' flush 'write 1 1 1'
is 'are two names since' "$([ "$modify" != "$(field modify a.vdi)" ] && echo new)" new

ok 'an image without UUIDs' vdi-craft n.vdi modify=0
ok 'is read' vd-io -r n.vdi 'expect 0 4M 0'
ok 'is written' vd-io n.vdi 'write 0 1 1'
ok 'and has an identity then' \
	sh -c '! vdi-craft -s n.vdi | grep -e "create 00000000" -e "modify 0*$"'
done_testing
