#!/bin/sh
# nbdfuse makes a plain file of a virtual disk.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/nbd.sh"
need nbdfuse fusermount3
[ -w /dev/fuse ] || skip_all 'needs /dev/fuse'
cd "$tmp" || exit 1

lived_in base.raw
ok 'a child of a vmdk' sh -c 'vdiskadm translate -I base.raw -x vmdk -d p.vmdk &&
	vdiskadm create -p p.vmdk c.vmdk'
ok 'served' serve c.vmdk
mkdir m
cleanup "fusermount3 -u '$tmp/m' 2>/dev/null"
timeout 120 nbdfuse -P "$tmp/fuse.pid" m/disk "$uri" >fuse.log 2>&1 &
fuse=$!
i=0
while [ ! -s fuse.pid ] && [ $i -lt 200 ] && kill -0 $fuse 2>/dev/null; do
	sleep 0.05
	i=$((i + 1))
done
[ -s fuse.pid ] || skip_all "nbdfuse cannot mount here: $(head -n1 fuse.log)"
ok 'the file is the disk' cmp m/disk base.raw
ok 'it takes what is written' dd if=/dev/zero of=m/disk bs=64k count=3 seek=20 \
	conv=notrunc,fsync status=none
dd if=/dev/zero of=base.raw bs=64k count=3 seek=20 conv=notrunc status=none
ok 'and has it' cmp m/disk base.raw
ok 'unmounted' fusermount3 -u m
wait $fuse
ok 'ends' serve_ends
is 'the image has it, too' "$(content_of c.vmdk)" "$(content_of base.raw)"
done_testing
