#!/bin/sh
# Raw files of any size: odd ends, beyond 2 TiB, discard, read-only.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1

printf abc >odd
is 'an odd file is served rounded up' "$(vd-io -r odd size)" 512
ok 'and stays as long as it was when only read' test "$(wc -c <odd)" -eq 3
ok 'the missing bytes are zeros' vd-io -r odd 'expect 3 509 0'
ok 'until they are written' vd-io odd 'write 0 512 9'
is 'then the file has them' "$(wc -c <odd)" 512

ok 'a disk of 3 TiB' vdiskadm create -s 3t -t raw big.raw
ok 'written at both ends' vd-io big.raw 'write 0 4k 1' \
	'fill 3298534879232 4k 5' flush
ok 'read back' vd-io -r big.raw 'expect 0 4k 1' 'verify 3298534879232 4k 5' \
	'expect 1T 64k 0'
fails_with 'a write past the end is refused' 'leave the disk' \
	vd-io big.raw 'write 3298534883328 512 1'
fails_with 'and one that would wrap around' 'leave the disk' \
	vd-io big.raw 'write 18446744073709551104 512 1'

vdiskadm create -s 8m -t raw d.raw
ok 'fill' vd-io d.raw 'write 0 8M 3' flush
before=$(du -k d.raw | cut -f1)
ok 'discard' vd-io d.raw 'discard 1M 6M' 'expect 0 1M 3' 'expect 7M 1M 3'
ok 'gives space back' test "$(du -k d.raw | cut -f1)" -lt "$before"
ok 'zeroes read as zeros' vd-io d.raw 'zero 0 1000' 'expect 0 1000 0' \
	'expect 1000 100 3'
fails_with 'a read-only disk takes no write' 'read-only' \
	vd-io -r d.raw 'write 0 512 1'
fails_with 'a folder is no disk' 'folder' vd-io . size
mkfifo pipe
fails_with 'a FIFO is no disk' 'neither a regular file' timeout 10 vd-io pipe size
fails_with 'nor is a character device' 'neither a regular file' \
	vd-io /dev/zero size
done_testing
