#!/bin/sh
# Every format is served whole: nbdcopy in and out, nbdinfo --map, qemu-img,
# qemu-io and fio are content, and so is the image afterwards.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/nbd.sh"
need nbdcopy qemu-img qemu-io
cd "$tmp" || exit 1
size=25166336

lived_in base.raw
lived_in other.raw
verify_image() {	# FILE
	case $1 in
	*.raw|*.delta)	;;	# no module to ask
	*)		vdiskadm verify "$1" ;;
	esac
}
# What the map calls zero reads as zero, and it covers the disk to the end.
map_is_true() {
	nbdinfo --map --json "$uri" >map.json && python3 - "$1" $size <<'P'
import json, sys
data = open(sys.argv[1], 'rb').read()
at = zeros = 0
for e in json.load(open('map.json')):
    assert e['offset'] == at, 'a gap at %d' % at
    part = data[at:at + e['length']]
    if e['type'] & 2:
        assert part.count(0) == len(part), 'data in a zero run at %d' % at
        zeros += len(part)
    at += e['length']
assert at == int(sys.argv[2]), 'ends at %d' % at
assert zeros > 10 << 20, 'only %d bytes are known to be zeros' % zeros
P
}
# QEMU's patterns on both sides of borders of units, then the same read back.
qemu_works() {
	qemu-io -f raw -c 'write -P 1 65024 1024' -c 'write -P 2 1048064 1024' \
		-c 'write -z 3M 200k' -c 'write -P 3 4M 1M' -c 'discard 4M 64k' \
		-c 'write -f -P 4 25165824 512' -c flush "$uri" >qemu.out 2>&1 &&
	qemu-io -r -f raw -c 'read -P 1 65024 1024' -c 'read -P 2 1048064 1024' \
		-c 'read -P 0 3M 200k' -c 'read -P 3 4260k 700k' \
		-c 'read -P 4 25165824 512' "$uri" >>qemu.out 2>&1 || {
		cat qemu.out
		return 1
	}
	! grep -i 'fail\|error\|invalid' qemu.out
}
fio_works() {
	fio --name=x --ioengine=nbd --uri="$uri" --rw=randrw --bsrange=512-96k \
		--bs_unaligned=0 --size=16m --io_size=12m --iodepth=16 \
		--verify=crc32c --verify_fatal=1 --randseed=7 --fsync=40
}

full() {	# FILE WHAT [ARGUMENT...]
	f=$1 what=$2
	shift 2
	ok "$what: served" serve "$f" "$@" || return
	is "$what: its size" "$(nbdinfo --size "$uri")" $size
	is "$what: many connections are allowed" "$(nbd_says can_multi_conn)" true
	ok "$what: nbdcopy in" nbdcopy --flush base.raw "$uri"
	ok "$what: the map is true" map_is_true base.raw
	ok "$what: nbdcopy out" nbdcopy "$uri" out.raw
	ok "$what: the same" cmp out.raw base.raw
	ok "$what: QEMU compares" qemu-img compare -f raw -F raw "$uri" base.raw
	ok "$what: qemu-io" qemu_works
	if command -v fio >/dev/null && fio --enghelp 2>/dev/null | grep -qw nbd
	then
		ok "$what: fio verifies" fio_works
	else
		skip "$what: fio verifies" 'needs fio with its nbd engine'
	fi
	ok "$what: other data over it" nbdcopy --connections=4 other.raw "$uri"
	ok "$what: QEMU reads all" qemu-img convert -f raw -O raw "$uri" out.raw
	ok "$what: the same" cmp out.raw other.raw
	ok "$what: ends" serve_ends
	ok "$what: the image is in order" verify_image "$f"
	is "$what: and holds it" "$(content_of "$f")" "$(content_of other.raw)"
	rm -f out.raw
}

ok 'raw' vdiskadm create -s $size d.raw
full d.raw raw
for t in vmdk vdi vmdk:fixed vdi:fixed; do
	f=d-$(echo $t | tr -d :).${t%%:*}
	ok "$t" vdiskadm create -s $size -t $t $f
	full $f $t
done
for s in monolithicFlat twoGbMaxExtentSparse twoGbMaxExtentFlat; do
	ok "QEMU's $s" qemu-img create -q -f vmdk -o subformat=$s $s.vmdk $size
	full $s.vmdk $s
done

# Children over a full parent: it is never written.
cp other.raw parent.raw
for t in vmdk vdi delta; do
	p=parent.$t
	[ $t = delta ] && p=parent.raw ||
		ok "a full $t" vdiskadm translate -I parent.raw -x $t -d $p
	ok "a child of it" vdiskadm create -p $p child.$t
	before=$(cksum <$p)
	full child.$t "child $t"
	is "child $t: its parent is as it was" "$(cksum <$p)" "$before"
done

# Written once, read many times.
ok 'a stream' qemu-img convert -f raw -O vmdk -o subformat=streamOptimized \
	base.raw stream.vmdk
ok 'stream: served' serve stream.vmdk
is 'stream: read-only' "$(nbd_says is_read_only)" true
ok 'stream: the map is true' map_is_true base.raw
ok 'stream: nbdcopy out' nbdcopy "$uri" out.raw
ok 'stream: the same' cmp out.raw base.raw
fails_with 'stream: cannot be written' . qemu-io -f raw -c 'write 0 512' "$uri"
ok 'stream: ends' serve_ends
done_testing
