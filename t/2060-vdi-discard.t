#!/bin/sh
# Discarded blocks give their room back, read as zeros, and leave counts alone.
. "${srcdir:-.}/t/lib/tap.sh"
need qemu-img
cd "$tmp" || exit 1

room() { du -k "$1" | cut -f1; }
figures() { vdi-craft -s "$1" | sed -n '/^count/p;/^map/p' | tr '\n' ' '; }

ok 'make' vdiskadm create -s 16M -t vdi a.vdi
ok 'fill three quarters' vd-io a.vdi 'write 0 12M 0x77'
full=$(room a.vdi)
ok 'discard a run, parts of blocks, and what is not there' vd-io a.vdi \
	'discard 2M 4M' 'discard 7340033 1M' 'discard 12M 4M' flush \
	'expect 0 2M 0x77' 'expect 2M 4M 0' 'expect 6M 6M 0x77' 'expect 12M 4M 0'
ok 'opened again' vd-io -r a.vdi 'expect 1M 1M 0x77' 'expect 2M 4M 0' \
	'expect 6M 6M 0x77' 'expect 12M 4M 0'
is 'no block lost its place, none got one' "$(figures a.vdi)" \
	'count 12 map 0 1 2 3 4 5 6 7 8 9 10 11 free free free free '
ok 'four MiB came back' test "$(room a.vdi)" -le $((full - 4000))
is 'the disk knows where zeros are' "$(vd-io -r a.vdi extents)" \
	'0 2097152 data
2097152 4194304 zero
6291456 6291456 data
12582912 4194304 zero'
ok 'qemu-img check' qemu-img check -q a.vdi
ok 'written again' vd-io a.vdi 'write 3M 1 9' 'expect 3M 1 9' \
	'expect 3145729 1048575 0'
ok 'without growing' test "$(wc -c <a.vdi)" -eq $((14 << 20))

ok 'a fixed image' vdiskadm create -s 4M -t vdi:fixed f.vdi
ok 'written' vd-io f.vdi 'write 0 4M 0x77'
full=$(room f.vdi)
ok 'and discarded' vd-io f.vdi 'discard 0 2M' 'expect 0 2M 0' 'expect 2M 2M 0x77'
ok 'keeps its room' test "$(room f.vdi)" -ge "$full"
ok 'qemu-img check of it' qemu-img check -q f.vdi
done_testing
