#!/bin/sh
# What we write into VMDKs of every kind, other programs' readers see alike.
. "${srcdir:-.}/t/lib/tap.sh"
need qemu-img qemu-io sha256sum
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

field() { vmdk-craft -s "$2" | sed -n "s/^$1 //p"; }
scribble() {
	vd-io "$1" 'fill 0 3M 1' 'fill 10M 1000000 2' 'fill 19999744 512 3' \
		'zero 64k 64k' 'unmap 1M 128k' flush 'fill 12M 70000 4'
}
# agree NAME FILE: QEMU, 7-Zip and libvmdk against our own reading.
agree() {
	ok "$1: our own reading" vdiskadm translate -I "$2" -x raw -d r.raw
	ok "$1: QEMU reads the same" qemu-img compare -f vmdk -F raw "$2" r.raw
	if command -v 7z >/dev/null; then
		is "$1: 7-Zip reads the same" \
			"$(7z x -so "$2" 2>/dev/null | sha256sum)" \
			"$(sha256sum <r.raw)"
	else
		skip "$1: 7-Zip" 'needs 7z'
	fi
	if command -v vmdkinfo >/dev/null; then
		is "$1: libvmdk sees the size" "$(vmdkinfo "$2" |
			sed -n 's/.*Media size.*[ (]\([0-9]*\) bytes.*/\1/p')" \
			"$(stat -c %s r.raw)"
	else
		skip "$1: libvmdk" 'needs vmdkinfo'
	fi
	rm -f r.raw
}

ok 'a sparse one of ours' vdiskadm create -s 20000256 a.vmdk
ok 'written' scribble a.vmdk
ok 'QEMU checks it' qemu-img check -f vmdk a.vmdk
agree sparse a.vmdk
ok 'a flat one of ours' vdiskadm create -s 20000256 -t vmdk:fixed f.vmdk
ok 'written' scribble f.vmdk
agree flat f.vmdk

# QEMU's own, of each kind that we write; QEMU writes first and after.
for sub in monolithicSparse monolithicFlat twoGbMaxExtentSparse \
	twoGbMaxExtentFlat monolithicSparse,zeroed_grain=on; do
	rm -f q*
	ok "$sub: by qemu-img" qemu-img create -q -f vmdk -o subformat=$sub \
		q.vmdk 20000256
	ok "$sub: it writes" qemu-io -f vmdk -c 'write -P 7 5M 2M' \
		-c 'write -z 5M 128k' q.vmdk
	ok "$sub: we read that" vd-io -r q.vmdk 'expect 5M 128k 0' \
		'expect 5373952 1966080 7'
	ok "$sub: we write" scribble q.vmdk
	ok "$sub: it reads, and writes again" qemu-io -f vmdk \
		-c 'read -P 7 5373952 1966080' -c 'write -P 8 15M 64k' q.vmdk
	ok "$sub: it checks" qemu-img check -f vmdk q.vmdk
	ok "$sub: we read all that" vd-io -r q.vmdk 'expect 15M 64k 8' \
		'verify 12M 70000 4'
	case $sub in
	*zeroed*) : ;;	# 7-Zip 16 and libvmdk do not know zero grains
	*) agree "$sub" q.vmdk ;;
	esac
done

# Over the 2 GiB border of two files.
ok 'a split one of 5 GiB' qemu-img create -q -f vmdk \
	-o subformat=twoGbMaxExtentSparse b.vmdk 5G
ok 'written across the border' vd-io b.vmdk 'fill 2146435072 2M 5' \
	'fill 4294443008 1M 6' flush
ok 'compares' sh -c 'vdiskadm translate -I b.vmdk -x raw -d b.raw &&
	qemu-img compare -f vmdk -F raw b.vmdk b.raw'
is 'tables equal' "$(field copies b-s001.vmdk) $(field copies b-s002.vmdk) $(
	field copies b-s003.vmdk)" 'equal equal equal'
done_testing
