#!/bin/sh
# A sparse VMDK ends at 2 TiB: said at creation, and never passed by a write.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

truncate -s 3T big 2>/dev/null || skip_all 'files of 3 TiB cannot be made here'
rm big
ok '2 TiB can be had' vdiskadm create -s 2199023255552 a.vmdk
fails_with 'a sector more cannot' 'more than 2 TiB' \
	vdiskadm create -s 2199023256064 b.vmdk
ok 'nothing is left of it' test ! -e b.vmdk
fails_with 'and the way out is named' 'vmdk:fixed' \
	vdiskadm create -s 3t b.vmdk
ok 'the first and last bytes' vd-io a.vmdk 'write 0 512 1' \
	'write 2199023255040 512 2' flush 'expect 0 512 1' \
	'expect 2199023255040 512 2'

# The file is full, though the disk is not: two grains are left.
truncate -s $(((1 << 41) - 131072)) a.vmdk
ok 'two more grains' vd-io a.vmdk 'write 1G 128k 3' flush
fails_with 'and no third' '2 TiB.*cannot point' vd-io a.vmdk 'write 2G 1 4'
ok 'what was there is there' vd-io a.vmdk 'expect 0 512 1' 'expect 1G 128k 3' \
	'expect 2199023255040 512 2' 'expect 2G 64k 0' 'write 1G 1k 5' flush
is 'the file did not grow' "$(stat -c %s a.vmdk)" $((1 << 41))
done_testing
