#!/bin/sh
# Zeros written to a child hide the parent for good; a first write of a part of a
# unit brings the rest up from whatever image of the chain has it.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1

# start TYPE: d.TYPE over three snapshots, the lowest full of data.
start() {
	rm -f d*
	if [ "$1" = delta ]; then
		vdiskadm create -s 8m d0.raw &&
		vd-io d0.raw 'fill 0 end 1' && vdiskadm create -p d0.raw d.delta
	else
		make_image d.$1 8m && vd-io d.$1 'fill 0 end 1'
	fi && vdiskadm snapshot d.$1@a && vdiskadm snapshot d.$1@b &&
		vdiskadm snapshot d.$1@c
}

for t in vmdk vdi delta; do
	d=d.$t
	ok "$t: a chain" start $t
	ok "$t: zeros, whole units and parts" vd-io $d 'zero 1M 2M' \
		'zero 4000k 300k' 'zero 5M 512' 'unmap 6M 1M'
	for i in 1 2; do
		ok "$t: after reopen $i" vd-io -r $d 'expect 1M 2M 0' \
			'expect 4000k 300k 0' 'expect 5M 512 0' \
			'expect 6M 1M 0' 'verify 0 1M 1' \
			'verify 3M 928k 1' 'verify 4300k 820k 1' \
			'verify 5243392 1048064 1' 'verify 7M 1M 1'
	done
	ok "$t: discarded, they do not come back" sh -c "vd-io $d \
		'fill 1M 1M 2' flush 'discard 1M 2M' || true
		vd-io -r $d 'expect 2M 1M 0'"
	ok "$t: a snapshot on top, and a merge below it" sh -c "
		vdiskadm snapshot $d@e && vdiskadm destroy $d@c"
	ok "$t: still hidden" vd-io -r $d 'expect 2M 1M 0' \
		'expect 4000k 300k 0' 'verify 7M 1M 1'
	ok "$t: all merged but one" vdiskadm destroy $d@b
	ok "$t: still hidden" vd-io -r $d 'expect 2M 1M 0' \
		'expect 4000k 300k 0' 'verify 7M 1M 1'

	ok "$t: a chain" start $t
	ok "$t: single sectors into empty units" vd-io $d \
		'write 100s 1s 0x11' 'write 5000s 3s 0x22' 'write 16383s 1s 0x33'
	ok "$t: the rest came from four images below" vd-io -r $d \
		'verify 0 100s 1' 'expect 100s 1s 0x11' 'verify 101s 4899s 1' \
		'expect 5000s 3s 0x22' 'verify 5003s 11380s 1' \
		'expect 16383s 1s 0x33'
	ok "$t: the snapshots did not change" vd-io -r d@c.$t 'verify 0 end 1'
done
done_testing
