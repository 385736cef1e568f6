#!/bin/sh
# What a flush or FUA acknowledged is in the image, whatever connection it came
# from: it is there after a kill and without the crash journal.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/nbd.sh"
need_python_nbd
cd "$tmp" || exit 1

# As a power cut would, as far as the mapping is concerned: only the data itself
# is still in the page cache.
cut() {
	serve_dies
	rm -rf "$VDISK_RUN_DIR"
}

for f in d.vmdk d.vdi child.delta child.vmdk; do
	case $f in
	child.delta)	vdiskadm create -s 16M p.raw
			vdiskadm create -p p.raw $f ;;
	child.*)	vdiskadm create -s 16M "p.${f##*.}"
			vdiskadm create -p "p.${f##*.}" $f ;;
	*)		vdiskadm create -s 16M $f ;;
	esac
	ok "$f: served" serve $f
	client "$f: writes on three connections, a flush on a fourth" '
for i in range(3):
    connect().pwrite(b"%d" % i * 200000, (i << 22) + 1000)
connect().flush()'
	cut
	ok "$f: all of them are kept" vd-io -r $f 'expect 1000 200000 0x30' \
		'expect 4195304 200000 0x31' 'expect 8389608 200000 0x32'
	ok "$f: served again" serve $f
	client "$f: FUA, each alone" '
h.pwrite(b"f" * 5000, 9 << 20, nbd.CMD_FLAG_FUA)
h.pwrite(b"g" * 70000, (11 << 20) + 1)
h.zero(65536, 11 << 20, nbd.CMD_FLAG_FUA)'
	cut
	ok "$f: a write" vd-io -r $f 'expect 9M 5000 0x66'
	ok "$f: zeros" vd-io -r $f 'expect 11M 64k 0'
done

# And durable means that the kernel was asked.
if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
	SYNCS=$tmp/syncs
	export SYNCS
	for f in e.raw e.vdi e.vmdk; do
		vdiskadm create -s 4M $f
		nbd_under="strace -f -o $SYNCS -e trace=fdatasync,fsync,syncfs"
		ok "$f: served under strace" serve $f
		nbd_under=
		client "$f: flush and FUA sync, and only when there is a reason" '
import os
def syncs(call, *args):
    before = open(os.environ["SYNCS"]).read().count("sync(")
    call(*args)
    return open(os.environ["SYNCS"]).read().count("sync(") - before
h.pwrite(b"x" * 4096, 0)
assert syncs(h.flush) >= 1
assert syncs(h.pwrite, b"y" * 4096, 1 << 20, nbd.CMD_FLAG_FUA) >= 1
assert syncs(h.zero, 4096, 1 << 20, nbd.CMD_FLAG_FUA) >= 1
h.flush()
assert syncs(h.flush) == 0'
		ok "$f: ends" serve_ends
	done
else
	skip 'flush and FUA sync' 'needs strace, and leave to trace'
fi
done_testing
