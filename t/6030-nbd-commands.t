#!/bin/sh
# Every command of the protocol does what it says: flush, FUA, trim, zero, fast
# zero, extents, cache, any offset and length; errors carry their number.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/nbd.sh"
need_python_nbd
cd "$tmp" || exit 1

make() {	# FILE: 8 MiB
	rm -f "$1" p.*
	case $1 in
	child.*)
		p=p.${1##*.}
		[ $p != p.delta ] || p=p.raw
		vdiskadm create -s 8M $p && vd-io $p 'write 0 8M 0x77' &&
		vdiskadm create -p $p "$1" ;;
	*)	vdiskadm create -s 8M "$1" ;;
	esac
}

for f in d.raw d.vdi d.vmdk child.vdi child.vmdk child.delta; do
	ok "$f" make $f
	ok "$f: served" serve $f
	client "$f: any offset and length" '
want = bytearray(h.pread(h.get_size(), 0))
for off, n in ((0, 1), (1, 511), (65535, 3), (1048575, 70000), (3000001, 1),
               (len(want) - 1, 1), (511, 131074)):
    data = bytes((off + i) % 251 for i in range(n))
    h.pwrite(data, off)
    want[off:off + n] = data
assert h.pread(len(want), 0) == want
for off, n in ((1, 1), (65000, 70001), (len(want) - 3, 3)):
    assert h.pread(n, off) == want[off:off + n]'
	client "$f: nothing behind the end" '
size = h.get_size()
assert fails(errno.EINVAL, h.pread, 2, size - 1)
assert fails(errno.ENOSPC, h.pwrite, b"xx", size - 1) or \
    fails(errno.EINVAL, h.pwrite, b"xx", size - 1)
assert fails(errno.EINVAL, h.pread, 1, 1 << 63)
h.pread(1, size - 1)'
	client "$f: zeros, with and without room given back" '
h.pwrite(b"\x55" * (3 << 20), 2 << 20)
want = bytearray(h.pread(h.get_size(), 0))
for off, n, flags in ((2 << 20, 1 << 20, nbd.CMD_FLAG_NO_HOLE), (3 << 20, 65536, 0),
                      (3500001, 100, 0), (3600000, 200003, nbd.CMD_FLAG_NO_HOLE),
                      (4 << 20, 1 << 20, 0), (6 << 20, 2 << 20, 0), (7, 9, 0)):
    h.zero(n, off, flags)
    want[off:off + n] = bytes(n)
    assert h.pread(len(want), 0) == want, off'
	client "$f: the map knows, one at a time or all" '
size = h.get_size()
h.zero(1 << 20, 6 << 20)
all = runs(h, size, 0)
assert sum(n for n, _ in all) == size, all
one = runs(h, size, 0, nbd.CMD_FLAG_REQ_ONE)
assert len(one) == 1 and one[0] == all[0], (one, all[0])
(n, kind), = runs(h, 1 << 20, 6 << 20, nbd.CMD_FLAG_REQ_ONE)
assert n == 1 << 20 and kind == nbd.STATE_HOLE | nbd.STATE_ZERO, (n, kind)
h.pwrite(b"x" * 65536, 6 << 20)
(n, kind), = runs(h, 65536, 6 << 20, nbd.CMD_FLAG_REQ_ONE)
assert n == 65536 and kind == 0, (n, kind)'
	client "$f: cache is accepted and changes nothing" '
before = h.pread(1 << 20, 5 << 20)
h.cache(2 << 20, 4 << 20)
assert h.pread(1 << 20, 5 << 20) == before'
	client "$f: fast zero of what is zero" '
assert h.can_fast_zero()
h.zero(1 << 20, 5 << 20)
h.zero(1 << 20, 5 << 20, nbd.CMD_FLAG_FAST_ZERO)
assert h.pread(1 << 20, 5 << 20) == bytes(1 << 20)'
	client "$f: trim, where there is one, reads as zeros or as before" '
h.pwrite(b"t" * (2 << 20), 2 << 20)
if h.can_trim():
    h.trim(1 << 20, 2 << 20)
    h.trim(100, 3000001)
    got = h.pread(2 << 20, 2 << 20)
    assert got[:1 << 20] in (bytes(1 << 20), b"t" * (1 << 20))
    assert got[1 << 20:] == b"t" * (1 << 20)
else:
    assert fails(errno.EINVAL, h.trim, 1 << 20, 2 << 20)'
	ok "$f: ends" serve_ends
	is "$f: and is in order" "$(vd-io -r $f 'expect 3M 1M 0x74' 2>&1)" ''
done

# A child of two units: to zero a part of a unit, the rest would have to be copied.
for f in child.vdi child.vmdk child.delta; do
	make $f
	serve $f
	client "$f: fast zero of a part of a unit says no, and at once" '
before = h.pread(h.get_size(), 0)
assert fails(errno.ENOTSUP, h.zero, 512, 1024, nbd.CMD_FLAG_FAST_ZERO)
assert h.pread(len(before), 0) == before
h.zero(512, 1024)
assert h.pread(2048, 0) == before[:1024] + bytes(512) + before[1536:2048]'
	case $f in
	*.vmdk)	;;	# this dialect has no zeroed grains
	*)	client "$f: fast zero of whole units" '
h.zero(2 << 20, 4 << 20, nbd.CMD_FLAG_FAST_ZERO)
assert h.pread(2 << 20, 4 << 20) == bytes(2 << 20)' ;;
	esac
	serve_ends
done
# Data in a file: as fast as its file system.  tmpfs cannot zero a range, only
# punch holes.
make d.vmdk
serve d.vmdk
client 'fast zero of data does it or says no' '
h.pwrite(b"d" * (1 << 20), 1 << 20)
if not fails(errno.ENOTSUP, h.zero, 1 << 20, 1 << 20,
             nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE):
    assert h.pread(1 << 20, 1 << 20) == bytes(1 << 20)
h.zero(1 << 20, 1 << 20)
assert h.pread(1 << 20, 1 << 20) == bytes(1 << 20)'
serve_ends
if [ -d /dev/shm ] && [ -w /dev/shm ] &&
   [ "$(stat -f -c %T /dev/shm)" = tmpfs ]; then
	shm=$(mktemp -d /dev/shm/vdisk-t.XXXXXX)
	cleanup "rm -rf '$shm'"
	make "$shm/d.vmdk"
	serve "$shm/d.vmdk"
	client 'fast zero where zeros would have to be written' '
h.pwrite(b"d" * (1 << 20), 1 << 20)
assert fails(errno.ENOTSUP, h.zero, 1 << 20, 1 << 20,
             nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE)
assert h.pread(1 << 20, 1 << 20) == b"d" * (1 << 20)
h.zero(1 << 20, 1 << 20, nbd.CMD_FLAG_FAST_ZERO)
assert h.pread(1 << 20, 1 << 20) == bytes(1 << 20)'
	serve_ends
else
	skip 'fast zero where zeros would have to be written' 'no /dev/shm'
fi

# A read-only export refuses every way to change it.
make d.vdi
serve d.vdi readonly=true
client 'read-only: no way to change it' '
assert h.is_read_only()
for call, args in ((h.pwrite, (b"x" * 512, 0)), (h.zero, (512, 0)), (h.trim, (512, 0))):
    assert fails(errno.EPERM, call, *args) or fails(errno.EINVAL, call, *args)
h.flush() if h.can_flush() else None'
serve_ends
done_testing
