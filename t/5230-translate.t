#!/bin/sh
# vdiskadm translate: any format to any, the same bytes, zeros take no space.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1

size=$((9 * 1048576 + 512 * 3))
# Data at both ends, across unit borders, a zeroed stretch and a hole.
paint() {
	vd-io "$1" "fill 0 1536 7" 'fill 65024 1024 8' 'fill 1048064 1024 9' \
		'write 2M 1M 0' "fill 4M 3M 3" "fill $((size - 512)) 512 5" flush
}

for from in raw vdi vdi:fixed vmdk vmdk:fixed; do
	in=in-${from#*:}.${from%:*}
	vdiskadm create -s $size -t $from $in
	ok "paint $from" paint $in
	want=$(content_of $in)
	for to in raw raw:fixed vdi vdi:fixed vmdk vmdk:fixed; do
		out=out.${to%:*}
		ok "$from to $to" vdiskadm translate -I $in -x $to -d $out
		is 'has the size' "$(vd-io -r $out size)" $size
		is 'has the content' "$(content_of $out)" "$want"
		case $to in
		*:fixed) ;;
		*) ok 'takes no space for zeros' \
			test "$(du -k $out | cut -f1)" -lt 6200 ;;
		esac
		rm -f out*
	done
	rm -f in*
done

vdiskadm create -s 1m x.vdi
paint=$(vd-io x.vdi 'fill 0 1M 1' flush && content_of x.vdi)
ok 'capitals, and the input type named' \
	vdiskadm translate -i VDI -I x.vdi -x RAW -d x.bin
is 'is copied' "$(vd-io -r -f raw x.bin hash)" "$paint"
fails_with 'a named type that is wrong' . \
	vdiskadm translate -i vmdk -I x.vdi -x raw -d y.raw
ok 'as raw, a vdi is copied as it is' \
	vdiskadm translate -i raw -I x.vdi -x raw -d x.copy
ok 'byte for byte' cmp x.vdi x.copy

ok 'a huge empty disk is quick' sh -c 'vdiskadm create -s 2t big.vmdk &&
	timeout 30 vdiskadm translate -I big.vmdk -x raw -d big.raw'
is 'and sparse' "$(vd-io -r big.raw size; du -k big.raw | cut -f1)" "2199023255552
0"
done_testing
