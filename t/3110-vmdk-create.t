#!/bin/sh
# Split, compressed and dependent images of ours are what others would have made.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

field() { vmdk-craft -s "$2" | sed -n "s/^$1 //p"; }
qemu() {
	command -v qemu-img >/dev/null || return 0
	vdiskadm translate -I "$1" -x raw -d q.raw &&
		qemu-img compare -q -f vmdk -F raw "$1" q.raw && rm q.raw
}

ok 'a split sparse one' vmdk-make twoGbMaxExtentSparse 5000000000 s.vmdk
is 'in parts of 2047 MiB' "$(sed -n 's/^RW //p' s.vmdk)" \
	'4192256 SPARSE "s-s001.vmdk"
4192256 SPARSE "s-s002.vmdk"
1381113 SPARSE "s-s003.vmdk"'
is 'its size' "$(vd-io -r s.vmdk size)" 5000000000
is 'parts without a descriptor, tables from the start' \
	"$(od -An -tu4 -j28 -N8 s-s001.vmdk)$(od -An -tu4 -j48 -N4 s-s001.vmdk)" \
	"          0          0          1"
ok 'written across the border' vd-io s.vmdk 'fill 2146430976 100k 1' \
	'fill 4999999488 512 2' flush
ok 'read' vd-io -r s.vmdk 'verify 2146430976 100k 1' 'verify 4999999488 512 2'
ok 'QEMU agrees' qemu s.vmdk
ok 'a split flat one' vmdk-make twoGbMaxExtentFlat 2200000000 f.vmdk
is 'in two files' "$(stat -c %s f-f001.vmdk f-f002.vmdk | tr '\n' ' ')" \
	'2146435072 53564928 '
ok 'written' vd-io f.vmdk 'fill 2146430976 100k 1' flush
ok 'QEMU agrees' qemu f.vmdk
ok 'with all its room' vmdk-make -F twoGbMaxExtentFlat 1048576 g.vmdk
is 'taken' "$(stat -c %b g-f001.vmdk)" 2048
fails_with 'a sparse one cannot' 'all its space' \
	vmdk-make -F twoGbMaxExtentSparse 1048576 h.vmdk
fails_with 'nor can a compressed one be empty' 'written once' \
	vmdk-make streamOptimized 1048576 h.vmdk
ok 'nothing is left of those' sh -c '! ls | grep ^h'

# One pass.  70 MiB with an odd end: three tables, the second one empty.
pack() { vdiskadm translate -x vmdk:streamOptimized -i raw -I "$@"; }
truncate -s 73401344 raw
vd-io -f raw raw 'fill 0 1M 1' 'write 1M 1M 2' 'fill 67108864 200000 4' \
	'fill 73400832 512 5' flush || exit 1
for unit in 64k 4096 65536 1048576; do
	ok "compressed, units of $unit" pack raw -u $unit -d z.vmdk
	ok 'is the same disk' sh -c 'vd-io -r z.vmdk hash >a &&
		vd-io -r -f raw raw hash >b && cmp a b'
	ok 'QEMU agrees' qemu z.vmdk
	if command -v 7z >/dev/null; then
		is '7-Zip agrees' "$(7z x -so z.vmdk 2>/dev/null | cksum)" \
			"$(cksum <raw)"
	fi
	# libvmdk wants more than 8 sectors.
	if [ $unit != 4096 ] && command -v vmdkinfo >/dev/null; then
		is 'libvmdk agrees about the size' "$(vmdkinfo z.vmdk |
			sed -n 's/.*Media size.*[ (]\([0-9]*\) bytes.*/\1/p')" \
			73401344
	fi
	rm z.vmdk
done
ok 'once more' pack raw -d z.vmdk
ok 'smaller than what went in' test $(stat -c %s z.vmdk) -lt 3000000
is 'the end: footer, and its directory' \
	"$(tail -c 1536 z.vmdk | od -An -tu4 -j8 -N8)$(tail -c 1024 z.vmdk |
	head -c 4)" "          0          3KDMV"
ok 'by its markers alone, too' sh -c 'head -c -1536 z.vmdk >y.vmdk &&
	vd-io -r y.vmdk hash >a && cmp a b'
truncate -s 64M empty
ok 'nothing but zeros' pack empty -d e.vmdk
ok 'is read as such' vd-io -r e.vmdk 'expect 0 64M 0'
fails_with 'an odd unit' 'power of two' pack raw -u 5000 -d n.vmdk
ok 'leaves nothing' test ! -e n.vmdk

# Children, linked as VMware does and as VirtualBox does.
key() { tr -d '\0' <"$2" | sed -n "s/^$1 *= *\"*\\([^\"]*\\)\"*\$/\\1/p" | head -1; }
ok 'a base' vdiskadm create -s 8m base.vmdk
ok 'with something in it' vd-io base.vmdk 'fill 0 3M 1'
child() {
	vmdk-make -p "$1" vmdk "$(key ddb.uuid.image "$1")" \
		"$(key CID "$1")+$(key ddb.uuid.modification "$1")" "$2" 8388608 \
		"$3"
}
ok 'a child' child base.vmdk monolithicSparse c.vmdk
is 'names it for VMware' "$(key parentFileNameHint c.vmdk) $(key parentCID c.vmdk)" \
	"base.vmdk $(key CID base.vmdk)"
is 'and for VirtualBox' \
	"$(key ddb.uuid.parent c.vmdk) $(key ddb.uuid.parentmodification c.vmdk)" \
	"$(key ddb.uuid.image base.vmdk) $(key ddb.uuid.modification base.vmdk)"
is 'in the order that VirtualBox wants' "$(tr -d '\0' <c.vmdk | grep -an \
	'createType\|^parentFile\|^RW\|^ddb.adapter' | sed 's/^[0-9]*:\(..\).*/\1/' |
	tr '\n' ' ')" 'cr pa RW dd '
ok 'reads like it' vd-io -r c.vmdk 'verify 0 3M 1' 'expect 3M 5M 0'
ok 'QEMU agrees' qemu c.vmdk
ok 'a split grandchild' child c.vmdk twoGbMaxExtentSparse d.vmdk
ok 'is written' vd-io d.vmdk 'write 100 1 9' 'zero 64k 64k' flush
ok 'and whole' vd-io -r d.vmdk 'verify 0 100 1' 'expect 100 1 9' \
	'verify 101 65000 1' 'expect 64k 64k 0' 'verify 128k 1M 1'
ok 'QEMU agrees' qemu d.vmdk
mv base.vmdk moved.vmdk
ok 'a base that was renamed is found by its identity' \
	vd-io -r d.vmdk 'verify 128k 1M 1'
mv moved.vmdk base.vmdk
ok 'it is written to' vd-io base.vmdk 'write 0 1 1'
fails_with 'and is the parent no more' 'relink' vd-io -r d.vmdk 'expect 0 1 0'
fails_with 'a child cannot be flat' 'a child is sparse' \
	child base.vmdk monolithicFlat x.vmdk
done_testing
