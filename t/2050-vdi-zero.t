#!/bin/sh
# Zeroing and unmapping keep every count that other programs check.
. "${srcdir:-.}/t/lib/tap.sh"
need qemu-img
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

for kind in vdi vdi:fixed; do
	rm -f a.vdi
	ok "$kind: make" vdiskadm create -s 8M -t $kind a.vdi
	ok "$kind: fill" vd-io a.vdi 'write 0 8M 0x77'
	ok "$kind: zero a block, parts of others, unmap one" vd-io a.vdi \
		'zero 1M 1M' 'zero 2621440 1000' 'unmap 4M 1M' flush \
		'expect 0 1M 0x77' 'expect 1M 1M 0' 'expect 2M 512k 0x77' \
		'expect 2621440 1000 0' 'expect 4M 1M 0' 'expect 5M 3M 0x77'
	ok "$kind: opened again" vd-io -r a.vdi 'expect 1M 1M 0' 'expect 4M 1M 0' \
		'expect 3M 1M 0x77'
	is "$kind: every block kept its slot" "$(vdi-craft -s a.vdi |
		sed -n '/^count/p;/^map/p' | tr '\n' ' ')" \
		'count 8 map 0 1 2 3 4 5 6 7 '
	ok "$kind: qemu-img check" qemu-img check -q a.vdi
	ok "$kind: written again" vd-io a.vdi 'write 4M 1M 9' 'expect 4M 1M 9'
done
done_testing
