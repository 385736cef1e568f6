#!/bin/sh
# Kinds that have to be asked for: other grains, vmfs, mixtures, split children.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1

key() { tr -d '\0' <"$2" | sed -n "s/^$1 *= *\"*\\([^\"]*\\)\"*\$/\\1/p" | head -1; }
lines() { sed -n 's/^RW //p' "$1"; }
same() { vdiskadm translate -I "$1" -x raw -d o.raw && cmp o.raw "$2" && rm o.raw; }

# The same content, whatever the grains; QEMU reads up to 512 KiB.
truncate -s 5M raw
vd-io -f raw raw 'fill 0 1M 1' 'fill 3000320 700000 2' 'write 5242368 512 3' flush
for unit in 512 1k 2k 4k 32k 128k 512k 1m; do
	rm -f g.vmdk
	ok "grains of $unit" vdiskadm create -s 5M -u $unit g.vmdk
	ok 'written' vd-io g.vmdk 'fill 0 1M 1' 'fill 3000320 700000 2' \
		'write 5242368 512 3' flush
	ok 'read' same g.vmdk raw
	ok 'discarded and written' vd-io g.vmdk 'discard 0 1M' flush \
		'expect 0 1M 0' 'fill 0 1M 1'
	ok 'sound' vdiskadm verify g.vmdk
	! command -v qemu-img >/dev/null ||
		ok 'for QEMU, too' sh -c 'qemu-img check -q -f vmdk g.vmdk &&
			qemu-img compare -q -f vmdk -F raw g.vmdk raw'
done
is 'as large as asked' "$(vdiskadm info g.vmdk | sed -n 's/^grain-size: *//p')" 1048576
fails_with 'not any' 'power of two from 512' vdiskadm create -s 5M -u 3k x.vmdk
fails_with 'nor larger' 'power of two from 512' vdiskadm create -s 5M -u 2m x.vmdk
fails_with 'nor too many' 'larger grains' vdiskadm create -s 1T -u 512 x.vmdk

ok "ESX's" vdiskadm create -s 4M -t vmdk:vmfs v.vmdk
is 'as it has them' "$(key createType v.vmdk) $(lines v.vmdk) $(key \
	ddb.adapterType v.vmdk) $(key ddb.thinProvisioned v.vmdk)" \
	'vmfs 8192 VMFS "v-flat.vmdk" lsilogic 1'
ok 'written' vd-io v.vmdk 'fill 0 end 1' 'verify 0 end 1'
ok 'copied into one that takes all its space' \
	vdiskadm translate -I v.vmdk -x vmdk:vmfs:fixed -d u.vmdk
is 'as the other says' "$(key createType u.vmdk) $(lines u.vmdk) $(key \
	ddb.thinProvisioned u.vmdk)" 'vmfs 8192 VMFS "u-flat.vmdk" '
ok 'and a parent' vdiskadm create -p v.vmdk c.vmdk
ok 'whose child reads like it' vd-io c.vmdk 'verify 0 end 1' 'write 0 1 9'
ok 'QEMU, too' sh -c '! command -v qemu-img >/dev/null || {
	vdiskadm translate -I v.vmdk -x raw -d q.raw &&
	qemu-img compare -q -f vmdk -F raw v.vmdk q.raw; }'

ok 'a mixture' vdiskadm create -s 7M -t vmdk:custom:sparse=4m,zero=1m,flat=4096s m.vmdk
is 'of these' "$(lines m.vmdk)" '8192 SPARSE "m-s001.vmdk"
2048 ZERO
4096 FLAT "m-f003.vmdk" 0'
ok 'written' vd-io m.vmdk 'fill 0 4M 1' 'fill 5M 2M 2' flush
ok 'read' vd-io -r m.vmdk 'verify 0 4M 1' 'expect 4M 1M 0' 'verify 5M 2M 2'
fails_with 'nothing can be written to zeros' 'only be read' vd-io m.vmdk 'write 4M 1 1'
ok 'sound' vdiskadm verify m.vmdk
ok 'and a parent' vdiskadm create -p m.vmdk n.vmdk
ok 'whose child can be written all over' vd-io n.vmdk 'verify 0 4M 1' \
	'write 4M 1 1' 'expect 4M 1 1'
fails_with 'the sum must be right' 'add up to' \
	vdiskadm create -s 7M -t vmdk:custom:sparse=4m,zero=1m x.vmdk
fails_with 'the kinds known' 'not an extent' \
	vdiskadm create -s 7M -t vmdk:custom:sparse=4m,holes=3m x.vmdk
fails_with 'the sizes whole' 'not an extent' \
	vdiskadm create -s 7M -t vmdk:custom:sparse=4m,flat=100 x.vmdk
fails_with 'another name' 'one of .*vmfs, custom:' \
	vdiskadm create -s 7M -t vmdk:seSparse x.vmdk
fails_with 'nor what cannot be fixed' 'cannot take all its space' \
	vdiskadm create -s 7M -t vmdk:twoGbMaxExtentSparse:fixed x.vmdk
is 'nothing is left of those' "$(ls | grep '^x')" ''

# A split child: its parts come with it, or nothing does.
ok 'a base' vdiskadm create -s 3M base.vmdk
ok 'with data' vd-io base.vmdk 'write 0 3M 7'
mkdir k
mv base.vmdk k/
make() { vdiskadm create -p k/base.vmdk -t vmdk:twoGbMaxExtentSparse k/d.vmdk; }
ok 'a split child' make
is 'comes with its part' "$(ls -A k | tr '\n' ' ')" 'base.vmdk d-s001.vmdk d.vmdk '
ok 'is written' vd-io k/d.vmdk 'write 1M 1M 9' 'expect 0 1M 7' 'expect 1M 1M 9'
rm k/d*
echo mine >k/d-s001.vmdk
fails_with 'not over what is there' 'exists' make
is 'which stays as it was' "$(cat k/d-s001.vmdk) $(ls -A k | tr '\n' ' ')" \
	'mine base.vmdk d-s001.vmdk '
rm k/d-s001.vmdk
if command -v vd-kill >/dev/null && vd-kill 99999 true; then
	ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
	n=1 bad=
	while [ $n -lt 100 ]; do
		rm -rf k/d* k/.vdisk*
		vd-kill $n vdiskadm create -p k/base.vmdk -t \
			vmdk:twoGbMaxExtentSparse k/d.vmdk >out 2>&1
		rc=$?
		[ $rc -eq 77 ] || break
		[ ! -e k/d.vmdk ] || vd-io -r k/d.vmdk 'expect 0 3M 7' ||
			bad="$bad $n: a broken one"
		make >out 2>&1 || grep -q 'exists' out || bad="$bad $n: $(cat out)"
		[ "$(ls -A k | tr '\n' ' ')" = 'base.vmdk d-s001.vmdk d.vmdk ' ] ||
			bad="$bad $n: $(ls -A k)"
		vd-io -r k/d.vmdk 'expect 0 3M 7' || bad="$bad $n: not read"
		n=$((n + 1))
	done
	is "killed at $((n - 1)) places and done again" "$rc$bad" 0
fi
done_testing
