#!/bin/sh
# Every kind of damage is found, at its byte, under its name; nothing else is.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

# sound NAME FILE: nothing at all to say.
sound() {
	ok "$1: sound" vdiskadm verify "$2"
	is "$1: silence" "$(cat "$tmp/.out")" ''
}
# finds CODE BYTE STATUS FILE: this, there; and the file is as it was.
finds() {
	cksum <"$4" >before
	exits "$1 is found" "$3" vdiskadm verify "$4"
	says "$1: where" "$2.*\[$1\]"
	cksum <"$4" >after
	ok "$1: only looked at" cmp before after
}
# sparse CODE BYTE STATUS KEYS...: an 8 MiB image with grains 0 and 1.
sparse() {
	code=$1 byte=$2 status=$3
	shift 3
	ok "$code: made" vmdk-craft x.vmdk 0,new 1,new "$@"
	finds "$code" "$byte" "$status" x.vmdk
}

ok 'an image' vdiskadm create -s 100m a.vmdk
sound 'a new one' a.vmdk
ok 'written' vd-io a.vmdk 'fill 0 3M 1' 'fill 50M 1 2' flush
sound 'a used one' a.vmdk
ok 'split' vmdk-make twoGbMaxExtentSparse 3000000000 s.vmdk
ok 'written' vd-io s.vmdk 'fill 2146430976 100k 1' flush
sound 'a split one' s.vmdk
ok 'flat' vdiskadm create -s 1m -t vmdk:fixed f.vmdk
sound 'a flat one' f.vmdk
ok 'late tables' vmdk-craft l.vmdk size=96 gde=1,0 rgde=1,0 0,new
ok 'made' vd-io l.vmdk 'write 33M 200k 1' 'write 1M 1 1' flush
sound 'with tables among the grains' l.vmdk
truncate -s 73401344 raw
vd-io -f raw raw 'fill 0 1M 1' 'fill 73400832 512 2' || exit 1
for end in footer front bare; do
	vmdk-pack -e $end raw z.vmdk
	sound "compressed, $end" z.vmdk
done
if command -v qemu-img >/dev/null; then
	for sub in monolithicSparse streamOptimized twoGbMaxExtentSparse \
		monolithicFlat; do
		qemu-img convert -q -f raw -O vmdk -o subformat=$sub raw q.vmdk
		sound "QEMU's $sub" q.vmdk
	done
fi

sparse vmdk-unclean 'byte 0x48' 0 unclean=1
sparse vmdk-grain-outside 'grain 5 .*byte 0x3614' 1 5,0x10000
sparse vmdk-grain-outside 'grain 5 .*byte 0x3614' 1 5,0xffffffff
sparse vmdk-grain-in-tables 'grain 5 .*byte 0x3614' 1 5,26
sparse vmdk-grain-in-tables 'grain 5 .*byte 0x3614' 1 5,2
sparse vmdk-grain-twice 'grain 5 .*byte 0x3614' 1 5,128
sparse vmdk-grain-twice 'grain 5 .*byte 0x3614' 1 5,200
sparse vmdk-zero-unannounced 'grain 5 .*byte 0x3614' 0 5,1
sparse vmdk-copies-differ 'grain 5 .*at 256.*byte 0x2c14' 1 5,0,256 len=262144
sparse vmdk-copies-differ 'grain 5 .*at 0.*byte 0x2c14' 1 5,new,0
sparse vmdk-copies-differ 'note.*grain 5 ' 0 5,new,0 unclean=1
sparse vmdk-table-outside 'table 0 .*byte 0x3400' 1 gde=0,0x7fffffff
sparse vmdk-table-outside 'table 0 .*byte 0x2a00' 1 rgde=0,0x7fffffff
sparse vmdk-table-single 'table 0 .*byte 0x2a00' 1 rgde=0,0
sparse vmdk-table-shared 'table 0 .*its copy.*byte 0x2a00' 1 rgde=0,27
sparse vmdk-tables-overlap 'lies on' 1 rgde=0,28
sparse vmdk-tables-overlap 'descriptor' 1 gde=0,5
sparse vmdk-tail '196608 bytes.*byte 0x30000' 0 len=393216
sparse vmdk-leak '65536 bytes are used by nobody.*byte 0x20000' 0 1,0 5,new
sparse vmdk-capacity 'byte 0xc' 1 sectors=20000
sparse vmdk-capacity 'byte 0xc' 1 sectors=2000
sparse vmdk-directory 'byte 0x38' 1 gd=100000
sparse vmdk-grain-size 'byte 0x14' 1 grainsize=3
sparse vmdk-newlines 'text mode' 1 newline=10
sparse vmdk-descriptor 'CID.*twice' 1 line=CID=77
sparse vmdk-overhead 'byte 0x40' 1 len=32768

text() {
	printf '# Disk DescriptorFile\nversion=1\nCID=1234abcd\n'
	printf 'parentCID=ffffffff\ncreateType="%s"\n' "$1"
	shift
	printf '%s\n' "$@"
}
truncate -s 4096 x-flat.vmdk
text monolithicFlat 'RW 9 FLAT "x-flat.vmdk" 0' >x.vmdk
finds vmdk-extent-short 'ends 512 bytes.*byte 0x1000' 1 x.vmdk
text monolithicFlat 'RW 8 FLAT "y-flat.vmdk" 0' >x.vmdk
finds vmdk-extent-missing 'y-flat.vmdk' 1 x.vmdk
text twoGbMaxExtentFlat 'RW 5 FLAT "x-flat.vmdk" 0' \
	'RW 4 FLAT "x-flat.vmdk" 4' >x.vmdk
finds vmdk-extents-overlap 'same place.*byte' 1 x.vmdk
text monolithicFlat 'RW none FLAT "x-flat.vmdk" 0' >x.vmdk
finds vmdk-descriptor 'number of sectors' 1 x.vmdk
text vmfs 'RW 4 VMFS "x-flat.vmdk" 4' >x.vmdk
finds vmdk-extent-line 'offset' 1 x.vmdk

text vmfsSparse 'RW 16384 VMFSSPARSE "x-delta.vmdk"' >x.vmdk
ok 'an ESX extent' vmdk-esx cowd x-delta.vmdk grain=8 0 2 5
sound 'of its own kind' x.vmdk
ok 'with one grain twice' vmdk-esx cowd x-delta.vmdk grain=8 0 2 5,37
finds vmdk-grain-twice 'grain 5 ' 1 x.vmdk
ok 'with a grain outside' vmdk-esx cowd x-delta.vmdk grain=8 0 5,70000
finds vmdk-grain-outside 'grain 5 ' 1 x.vmdk

# Compressed: each grain is inflated.
vmdk-pack raw x.vmdk
printf '\377\377\377\377' | dd of=x.vmdk bs=1 seek=65700 conv=notrunc 2>/dev/null
finds vmdk-grain-packed 'grain 0 .*byte 0x10000' 1 x.vmdk
vmdk-pack -e eos raw x.vmdk
finds vmdk-footer-missing 'markers' 1 x.vmdk
vmdk-pack -e cut raw x.vmdk
finds vmdk-cut 'cut short' 1 x.vmdk
done_testing
