#!/bin/sh
# A raw disk gets a copy-on-write child: reads fall through, writes do not, zeros
# hide the parent for good, and a parent that is not the same one is refused.
. "${srcdir:-.}/t/lib/tap.sh"
need vd-model
cd "$tmp" || exit 1

ok 'a raw disk' vdiskadm create -s 32m -t raw base.raw
ok 'full of data' vd-io base.raw 'fill 0 32M 5' flush
cp -p base.raw before
ok 'a child of it' vdiskadm create -p base.raw a.delta
is 'is small' "$(($(du -k a.delta | cut -f1) < 200))" 1
ok 'and reads as its parent' vd-io -r a.delta 'verify 0 32M 5'
ok 'a piece of a unit is written' vd-io a.delta 'write 1000k 512 7' flush
ok 'what is around it was copied up' vd-io -r a.delta 'verify 0 1000k 5' \
	'expect 1000k 512 7' 'verify 1024512 1M 5'
ok 'zeros hide the parent' vd-io a.delta 'zero 4M 1M' 'zero 6M 1000' \
	'expect 4M 1M 0'
ok 'for good' vd-io -r a.delta 'expect 4M 1M 0' 'expect 6M 1000 0' \
	'verify 5M 1M 5' 'verify 6292456 64k 5'
ok 'discarded data does not bring it back' vd-io a.delta 'write 8M 1M 3' \
	'discard 8M 1M' 'expect 8M 1M 0'
for mode in '' '-q 32 -d sync' '-q 200'; do
	ok "random operations ${mode:-one by one}" vd-model -n 1500 $mode a.delta
done
ok 'the parent was never written' cmp base.raw before
ok 'a killed process loses nothing' sh -c '
	vd-io a.delta "fill 10M 3M 9" die; vd-io -r a.delta "verify 10M 3M 9"'

ok 'a child of the child' vdiskadm create -p a.delta b.delta
ok 'and one of that' vdiskadm create -p b.delta c.delta
ok 'through all of them' vd-io c.delta 'write 11M 512 1' 'verify 10M 1M 9' \
	'expect 11M 512 1' 'verify 11534848 64k 9'
ok 'random operations' vd-model -n 1000 -q 16 c.delta

for type in vdi vmdk; do
	ok "a $type" vdiskadm translate -I before -i raw -x $type -d p.$type
	ok "and a delta over it" vdiskadm create -p p.$type over-$type.delta
	ok 'reads right' vd-io over-$type.delta 'verify 0 32M 5' 'write 1M 1 1'
done

mv base.raw elsewhere
fails_with 'a missing parent is named' 'base.raw.*No such file' vd-io -r a.delta size
mv elsewhere base.raw
ok 'back again' vd-io -r a.delta size
truncate -s 64M base.raw
fails_with 'one of another size is refused' '33554432 bytes, not 67108864' \
	vd-io -r a.delta size
cp -p before base.raw
ok 'the same bytes and time are the same parent' vd-io -r a.delta size
ok 'the owner changes it' vd-io base.raw 'write 0 512 1'
fails_with 'a changed one is refused' 'changed since' vd-io -r a.delta size
fails_with 'by its grandchildren, too' 'changed since' vd-io -r c.delta size

cp a.delta torn.delta
printf 'XXXXXXXX' | dd of=torn.delta bs=1 seek=200 conv=notrunc 2>/dev/null
fails_with 'the other slot of a torn header is used' 'changed since' \
	vd-io -r torn.delta size
printf 'XXXXXXXX' | dd of=torn.delta bs=1 seek=8400 conv=notrunc 2>/dev/null
fails_with 'two torn ones are refused' 'neither header slot' \
	vd-io -r torn.delta size
done_testing
