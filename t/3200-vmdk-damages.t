#!/bin/sh
# Each injected damage of a VMDK, whatever its dialect, is found under its code
# at its byte, and mended to the content that it had; and that can be taken back.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/damage.sh"
need perl
cd "$tmp" || exit 1

# Hosted sparse, two tables: text 1, copies 21 22 26, directory 30, tables 31
# and 35, grains from 128 on: 0 1 2 3, and 528 529 of the second table.
mkdir w
vdiskadm create -s 40m w/x.vmdk
vd-io w/x.vmdk 'fill 0 256k 1' 'fill 33M 128k 2' flush
pristine hosted
h() {
	damage hosted "$@"
}
# the header
h 'the first bytes lost' vmdk-magic 0x0 1 same 0=00000000
h 'the whole header lost' vmdk-magic 0x0 1 same 0=$(printf '%01024d' 0)
h 'version 0' vmdk-version 0x4 1 same 4=00000000
h 'line ends' vmdk-newlines 0x49 1 same 74=0a
h 'no grain size' vmdk-grain-size 0x14 1 same 20=00
h 'an odd grain size' vmdk-grain-size 0x14 1 same 20=7f
h 'a wild table length' vmdk-table-length 0x2c 1 same 44=ffffffff
h 'a smaller capacity' vmdk-capacity 0xc 1 same 12=00400000
h 'a larger capacity' vmdk-capacity 0xc 1 same 12=00500200
h 'a capacity of another table' vmdk-capacity 0xc 1 same 12=00000300
h 'a wild place of the text' vmdk-descriptor-place 0x1c 1 same 28=ffffff7f
h 'a wild length of the text' vmdk-descriptor-place 0x1c 1 same 36=ffffff7f
h 'the directory outside' vmdk-directory 0x38 1 same 56=ffffff7f
h 'the directory nowhere' vmdk-directory 0x38 1 same 56=00000000
h 'the redundant directory outside' vmdk-redundant-directory 0x30 1 same \
	48=ffffff7f
h 'the redundant directory is the other' vmdk-redundant-directory 0x30 1 same \
	48=1e
h 'the directory is the other' vmdk-directory 0x38 1 same 56=15
h 'the directory is the other, with a table on the text' vmdk-directory 0x38 1 \
	none 56=15 10752=05000000
type_at=$(grep -abo 'monolithicSparse"' pristine-hosted/x.vmdk | head -1 | cut -d: -f1)
h 'a text that calls it a device' vmdk-type 0x200 1 same \
	$type_at=$(printf '%-17s' 'fullDevice"' | od -An -tx1 | tr -d ' \n')
h 'too much metadata' vmdk-overhead 0x40 1 same 64=ffffff00
h 'no metadata' vmdk-overhead 0x40 1 same 64=00
h 'metadata up to the fifth grain' vmdk-overhead 0x40 1 same 64=8002
h 'metadata over all but the last grain' vmdk-overhead 0x40 1 same 64=0004
h 'too much metadata, and a pointer into its room' vmdk-overhead 0x40 1 same \
	64=ffffff00 15872=64000000
h 'the text said to be in a grain' vmdk-descriptor-place 0x1c 1 same 28=81
h 'a text said to go on over grains' vmdk-descriptor-place 0x1c 1 same 37=01
h 'the directory said to be in a grain' vmdk-directory 0x38 1 same 56=9e
h 'the redundant directory said to be in a grain' vmdk-redundant-directory \
	0x30 1 same 48=95
h 'the directory said to be in a table' vmdk-directory 0x38 1 same 56=16
h 'the redundant directory said to be in a table' vmdk-redundant-directory \
	0x30 1 same 48=1f
h 'a flag that it is compressed' vmdk-flags 0x8 1 same 10=01
h 'not closed' vmdk-unclean 0x48 0 same 72=01
# the directories
h 'a table outside' vmdk-table-outside 0x3c04 1 same 15364=ffffff7f
h 'a copy outside' vmdk-table-outside 0x2a04 1 same 10756=ffffff7f
h 'a table missing' vmdk-table-single 0x3c00 1 same 15360=00000000
h 'a copy missing' vmdk-table-single 0x2a00 1 same 10752=00000000
h 'a table that is its copy' vmdk-table-shared 0x2a00 1 same 15360=16
h 'a table on another' vmdk-tables-overlap 0x3c04 1 same 15364=20
h 'a table on the text' vmdk-tables-overlap 0x3c00 1 same 15360=05
h 'a table on the directory, its copy as well' vmdk-tables-overlap 0x3c00 1 \
	none 15360=1e 10752=1e 72=01
h 'a table on the text, its copy as well, and no CID' vmdk-cid 0x200 1 \
	none 15360=05 10752=05 $(grep -aob CID= pristine-hosted/x.vmdk |
	head -1 | cut -d: -f1)=23
h 'a directory full of nothing' vmdk-table-outside 0x3c00 1 same \
	15360=ffffffffffffffff
h 'a table said to be in a grain' vmdk-tables-overlap 0x3c00 1 same 15360=9f
h 'a table said to be where nothing is' vmdk-tables-overlap 0x3c00 1 same \
	15360=32
h 'a copy said to be in a grain' vmdk-tables-overlap 0x2a04 1 same 10756=96
h 'no directory, and a copy outside' vmdk-directory 0x38 1 \
	'verify 0 256k 1|expect 32M 8M 0' 56=ffffff7f 15360=0000000000000000 \
	10756=ffffff7f
rm -rf w
cp -a pristine-hosted w
(cd w && poke x.vmdk 56=ffffff7f 15360=0000000000000000 10756=ffffff7f)
ok 'no directory, and a copy outside: mended' vdiskadm repair w/x.vmdk
says 'no directory, and a copy outside: says what is lost' 'vmdk-table-lost'
ok 'no directory, and a copy outside: but not their bytes' \
	cmp -i 327680 -n 131072 w/x.vmdk pristine-hosted/x.vmdk
h 'a table lost in both' vmdk-table-outside 0x3c04 1 \
	'verify 0 256k 1|expect 32M 8M 0' 15364=ffffff7f 10756=ffffff7f
# the entries
h 'a grain outside' vmdk-grain-outside 0x3e04 1 same 15876=ffffff00
h 'a grain in the tables' vmdk-grain-in-tables 0x3e04 1 same 15876=1f000000
h 'a grain in the text' vmdk-grain-in-tables 0x3e04 1 same 15876=02000000
h 'a grain at another' vmdk-copies-differ 0x2c04 1 same 15876=80000000
h 'a grain on half of another' vmdk-copies-differ 0x2c04 1 same 15876=c0000000
h 'a copy at another' vmdk-copies-differ 0x2c04 1 same 11268=80000000
h 'a copy that is none' vmdk-copies-differ 0x2c04 1 same 11268=00000000
h 'an entry gone' vmdk-copies-differ 0x2c04 1 same 15876=00000000
h 'a sector of entries gone' vmdk-copies-differ 0x2c00 1 same \
	15872=$(printf '%01024d' 0)
h 'a table of garbage' vmdk-grain-outside 0x3e00 1 same \
	15872=$(printf 'f%.0s' $(seq 4096))
h 'a copy of garbage' vmdk-copies-differ 0x2c00 1 same \
	11264=$(printf 'f%.0s' $(seq 4096))
h 'a grain at another, and its copy' vmdk-grain-twice 0x3e04 1 \
	'verify 0 64k 1|verify 128k 128k 1' 15876=80000000 11268=80000000
h 'a grain outside, and its copy' vmdk-grain-outside 0x3e04 1 \
	'verify 0 64k 1|expect 64k 64k 0|verify 128k 128k 1' \
	15876=ffffff00 11268=ffffff00
h 'the file cut in its last grain' vmdk-grain-cut 0x4644 1 \
	'verify 0 256k 1|verify 33M 64k 2' size=450000
h 'a mark of zeros' vmdk-zero-unannounced 0x3e14 0 same \
	15892=01000000 11284=01000000
h 'a grain that no one has' vmdk-leak 0x10000 0 \
	'expect 0 64k 0|verify 64k 192k 1' 15872=00000000 11264=00000000
h 'a tail' vmdk-tail 0x70000 0 same size=900000
# the text
h 'no text' vmdk-descriptor 0x200 1 same 512=$(printf '%020480d' 0)
h 'no extent' vmdk-descriptor 0x200 1 same \
	512=$(printf '# Disk DescriptorFile\nversion=1\nCID=1\n' |
	od -An -tx1 | tr -d ' \n')00

# A directory that was made later, behind the grains: it does not say where they
# begin.
rm -rf w
cp -a pristine-hosted w
(cd w && poke x.vmdk 56=ffffff7f 15360=0000000000000000)
vdiskadm repair w/x.vmdk >/dev/null
rm w/x.vmdk.undo
pristine later
damage later 'metadata up to the fifth grain' vmdk-overhead 0x40 1 same 64=8002

# A mark of zeros hides what the parent has: one table that has it is enough.
rm -rf w; mkdir w
vdiskadm create -s 40m w/base.vmdk
vd-io w/base.vmdk 'fill 0 256k 1' flush
vdiskadm create -p w/base.vmdk w/x.vmdk
vd-io w/x.vmdk 'fill 0 256k 3' flush
(cd w && poke x.vmdk 4=02000000 8=07000000 15872=01000000 11264=01000000)
(cd w && poke x.vmdk 15876=01000000 11268=01000000)
vdiskadm repair w/x.vmdk >/dev/null	# gives their room back
rm w/x.vmdk.undo
pristine zeros
z() {
	damage zeros "$@"
}
z 'one outside' vmdk-grain-outside 0x3e00 1 same 15872=ffffff7f
z 'one that was being written' vmdk-copies-differ 0x2c04 0 \
	'expect 0 128k 0|verify 128k 128k 3' 72=01 11268=00010000
z 'one that was being made' vmdk-copies-differ 0x2c08 0 \
	'expect 0 128k 0|verify 128k 128k 3' 72=01 11272=01000000

# The last grain, which the disk ends in, begins anywhere, and the file ends in it:
# no table comes where it would go on.
short_end() {
	rm -rf w; mkdir w
	vdiskadm create -s 34607104 w/x.vmdk
	vd-io w/x.vmdk 'fill 0 64k 1' 'fill 33M 4k 2' flush
	dd if=w/x.vmdk of=w/x.vmdk bs=512 skip=256 seek=264 count=8 \
		conv=notrunc 2>/dev/null
	(cd w && poke x.vmdk 17984=08010000 13376=08010000 size=139264)
}
short_end
ok 'a short end: it reads' vd-io -r w/x.vmdk 'verify 33M 4k 2'
ok 'a short end: it is sound' vdiskadm verify w/x.vmdk
(cd w && poke x.vmdk 15360=00000000)
ok 'a short end: a table is made' vdiskadm repair w/x.vmdk
ok 'a short end: it reads as before' vd-io -r w/x.vmdk 'verify 0 64k 1' \
	'verify 33M 4k 2'
short_end
(cd w && poke x.vmdk 15360=00000000 10752=00000000)
ok 'a short end: a writer makes a table' vd-io w/x.vmdk 'fill 1M 64k 5' flush
ok 'a short end: it reads after that' vd-io -r w/x.vmdk 'verify 33M 4k 2'

# Without a number of metadata sectors a grain is read also where it comes from a
# table that lies on another, and cannot be mended.
rm -rf w; mkdir w
vdiskadm create -s 64m w/x.vmdk
vd-io w/x.vmdk 'fill 0 256k 1' flush
(cd w && poke x.vmdk 64=00 15364=22000000 10756=22000000 18432=28000000 \
	20480=$(printf '7%.0s' $(seq 8192)))
ok 'no metadata, tables on one another: reads' vd-io -r w/x.vmdk \
	'expect 48M 4k 0x77'
exits 'no metadata, tables on one another: mended in part' 1 \
	vdiskadm repair w/x.vmdk
ok 'no metadata, tables on one another: reads as before' vd-io -r w/x.vmdk \
	'expect 48M 4k 0x77'

# A split disk: the second part, and what they are parts of.
rm -rf w; mkdir w
vmdk-make twoGbMaxExtentSparse 2300000256 w/x.vmdk
vd-io w/x.vmdk 'fill 0 128k 1' 'fill 2147M 128k 2' flush
pristine split
s() {
	damage split "$@"
}
s 'no text' vmdk-descriptor 0x0 1 same size=0
s 'a text of garbage' vmdk-descriptor 0x0 1 same 0=$(printf '%02000d' 0)
s 'an extent of no length' vmdk-descriptor '0x[0-9a-f]*' 1 same \
	"$(grep -obm1 'RW ' w/x.vmdk | cut -d: -f1)=525720783131"
s 'no CID' vmdk-cid 0x0 1 same \
	"$(grep -obm1 '^CID' w/x.vmdk | cut -d: -f1)=23"
s 'no createType' vmdk-type 0x0 1 same \
	"$(grep -obm1 createType w/x.vmdk | cut -d: -f1)=23"
s 'the header of a part lost' vmdk-magic 0x0 1 same \
	"x-s002.vmdk@0=$(printf '%01024d' 0)"
s 'a part that lost a table' vmdk-table-outside '0x[0-9a-f]*' 1 same \
	"x-s001.vmdk@512=ffffff7f"
rm -rf w
cp -a pristine-split w
(cd w && poke x-s002.vmdk 36=14)
ok 'split: a text that is nowhere in a part is nothing' vdiskadm verify w/x.vmdk
s 'geometry' vmdk-geometry 0x0 0 same "$(grep -ob 'heads' w/x.vmdk |
	cut -d: -f1 | tail -1)=68656164733d22302220202020"

# Flat.
rm -rf w; mkdir w
vdiskadm create -s 1m -t vmdk:fixed w/x.vmdk
vd-io w/x.vmdk 'fill 0 1M 3' flush
pristine flat
damage flat 'no text' vmdk-descriptor 0x0 1 same size=0
damage flat 'the data cut short' vmdk-extent-short 0xc0000 1 \
	'verify 0 768k 3|expect 768k 256k 0' x-flat.vmdk@size=786432

# What the lines of a text that cannot be read still tell is not lost.
rm -rf w
cp -a pristine-flat w
lines() {
	printf '# Disk DescriptorFile\nversion=1\nencoding="GBK"\n%s\n' "$1"
	printf 'createType="monolithicFlat"\nRW 2048 FLAT "%s" 0\n' "$2"
}
lines "$(printf 'CID=1\nparentCID=ffffffff\nparentCID=2')" x-flat.vmdk >w/x.vmdk
exits 'flat: a parent and none: written, but not all of it' 1 \
	vdiskadm repair w/x.vmdk
says 'flat: a parent and none: it had one' 'relink.*\[vmdk-parent-unnamed\]'
ok 'flat: a parent and none: its encoding' grep -q '^encoding="GBK"' w/x.vmdk

# An extent in its own text, by another name: no line is added to the disk.
(cd w && lines parentCID=ffffffff ./x.vmdk >x.vmdk && truncate -s 1M x.vmdk)
fails_with 'flat: no CID in a text that is an extent: is left' 'vmdk-cid' \
	vdiskadm repair w/x.vmdk
ok 'flat: no CID in a text that is an extent: as it was' \
	sh -c '! grep -q ^CID w/x.vmdk'

# A text behind a comment of one sector is one from its beginning on.
rm -rf w
cp -a pristine-flat w
(printf '%0511d\n' 0 | tr 0 '#'; cat pristine-flat/x.vmdk) >w/x.vmdk
truncate -s 4096 w/x.vmdk
truncate -s 4096 w/x-flat.vmdk
exits 'flat: a comment of one sector: the data cut short' 1 vdiskadm verify w/x.vmdk
says 'flat: a comment of one sector: is told' 'x-flat.*\[vmdk-extent-short\]'

# Compressed.  Grains 0 (at 128) .. 15, 1100; text 1.
number() {
	od -An -tu$1 -j$3 -N$1 $2 | tr -d ' '
}
# bytes FILE OFFSET: four, in hexadecimal.
bytes() {
	od -An -tx1 -j$2 -N4 $1 | tr -d ' '
}
truncate -s 73401344 raw
vd-io -f raw raw 'fill 0 1M 1' 'fill 73400832 512 2' || exit 1
for end in footer front; do
	rm -rf w; mkdir w
	vmdk-pack -e $end raw w/x.vmdk
	pristine $end
	n=$(stat -c %s w/x.vmdk)
	at=$((n - 1024))
	field=56
	[ $end = front ] || field=$((at + 56))
	dir=$(($(number 8 w/x.vmdk $field) * 512))
	table=$(($(number 4 w/x.vmdk $dir) * 512))
	cid=$(grep -aobm1 CID= w/x.vmdk | head -1 | cut -d: -f1)
	damage $end 'a grain of garbage' vmdk-grain-packed 0x10000 1 \
		'expect 0 64k 0|verify 64k 960k 1' 65600=$(printf '%0800d' 1)
	damage $end 'the marker of a grain' vmdk-marker 0x10000 1 same \
		65536=ffffffffffffffffffffffff
	damage $end 'the length in a marker' vmdk-marker 0x10008 1 same \
		65544=05000000
	size=$(number 4 pristine-$end/x.vmdk 65544)
	second=$((65536 + (size + 12 + 511) / 512 * 512))
	damage $end 'a grain of garbage before one that lost its marker' \
		vmdk-grain-packed 0x10000 1 'expect 0 64k 0|verify 64k 960k 1' \
		65536=$(printf '%0400d' 1) $second=ffffffffffffffffffffffff
	damage $end 'an entry into the middle of a grain' vmdk-grain-packed \
		0x10200 1 same $((table + 4))=81000000
	damage $end 'two entries exchanged' vmdk-grain-marker \
		"0x$(printf %x $table)" 1 same \
		$table=$(bytes pristine-$end/x.vmdk $((table + 4))) \
		$((table + 4))=$(bytes pristine-$end/x.vmdk $table)
	damage $end 'grains far behind the metadata, one of garbage' \
		vmdk-grain-packed "0x$(printf %x $table)" 1 \
		'expect 0 64k 0|verify 64k 960k 1' 64=50 65600=$(printf '%0800d' 1)
	damage $end 'a text up to the fourth grain, and no CID' vmdk-cid 0x200 1 \
		same 36=9001 $cid=23
	damage $end 'no text, and room for it up to the fourth grain' \
		vmdk-descriptor 0x200 1 same 36=9001 512=$(printf '%01024d' 0)
	damage $end 'no place of the text' vmdk-descriptor-place 0x1c 1 same \
		28=0000 36=0000
	damage $end 'no flag for the markers' vmdk-flags 0x8 1 same 10=01
	damage $end 'no method of compression' vmdk-flags 0x4d 1 same 77=00
	if [ $end = footer ]; then
		damage $end 'no end, and less in the directory than in the file' \
			vmdk-cut '0x[0-9a-f]*' 1 none $((dir + 8))=00000000 \
			size=$((n - 512))
		damage $end 'no footer' vmdk-footer-missing 0x$(printf %x $n) 1 \
			same $((at - 512))=$(printf '%03072d' 0)
		damage $end 'a footer of another disk' vmdk-footer \
			0x$(printf %x $at) 1 same $((at + 12))=ffff
		damage $end 'no end' vmdk-cut '0x[0-9a-f]*' 1 same \
			size=$((n - 512))
		damage $end 'the header lost' vmdk-magic 0x0 1 same \
			0=$(printf '%0256d' 0)
		damage $end 'a file cut in a grain' vmdk-grain-cut \
			'0x[0-9a-f]*' 1 'verify 0 128k 1|expect 1M 1M 0' \
			size=270000
	else
		damage $end 'a table on a grain' vmdk-tables-overlap 0x10000 1 \
			none $(od -An -tu8 -j56 -N8 pristine-front/x.vmdk |
			awk '{print $1 * 512}')=80000000
		damage $end 'the directory outside' vmdk-directory 0x38 1 same \
			56=ffffff7f
		damage $end 'a table outside' vmdk-table-outside \
			'0x[0-9a-f]*' 1 same \
			$(od -An -tu8 -j56 -N8 pristine-front/x.vmdk |
			awk '{print $1 * 512}')=ffffff7f
	fi
done

# A footer without its end says nothing where the header names a directory.
rm -rf w
cp -a pristine-front w
perl -e 'open my $f, "+<", "w/x.vmdk" or die; binmode $f; read $f, my $h, 512;
	seek $f, 0, 2;
	substr($h, 56, 8) = pack "Q<", tell($f) / 512;
	print $f "\0" x 512, pack("Q<VV", 1, 0, 3), "\0" x 496, $h'
is 'front, half a footer behind it: sound' "$(vdiskadm verify w/x.vmdk 2>&1)" ''

# Nor does the copy of a header where the file begins with a text.
rm -rf w
cp -a pristine-flat w
truncate -s 10240 w/x.vmdk
perl -e 'open my $f, "<", "pristine-footer/x.vmdk" or die; read $f, my $h, 512;
	open $f, "+<", "w/x.vmdk" or die; seek $f, 10240 - 1536, 0;
	print $f pack("Q<VV", 1, 0, 3), "\0" x 496, $h'
is 'flat, a header near its end: sound' "$(vdiskadm verify w/x.vmdk 2>&1)" ''

rm -rf w; mkdir w
vmdk-pack -e bare raw w/x.vmdk
pristine bare
dir=$(($(number 8 w/x.vmdk 56) * 512))
last=$(number 4 w/x.vmdk $(($(number 4 w/x.vmdk $((dir + 8))) * 512 + 96 * 4)))
damage bare 'the last length too large' vmdk-marker \
	"$(printf '0x%x' $((last * 512 + 8)))" 1 same $((last * 512 + 9))=10

# Zeros for a whole grain need more room than this one, and reach to the disk's end.
rm -rf w; mkdir w
vmdk-pack -g 2048 -s raw w/x.vmdk
pristine large
last=$(grep -aob "$(printf 'x\234')" w/x.vmdk | tail -1 | cut -d: -f1)
damage large 'a short last grain of garbage' vmdk-grain-packed \
	"$(printf '0x%x' $((last - 12)))" 1 'verify 0 1M 1|expect 1M 72352768 0' \
	$((last + 2))=ffffffffffff

# Without a directory, all is in the markers: what is behind a lost one is there.
lost_marker() {
	rm -rf w; mkdir w
	vmdk-pack -e eos raw w/x.vmdk
	(cd w && poke x.vmdk "$2") || exit 1
	ok "eos: $1: mended" vdiskadm repair w/x.vmdk
	is "eos: $1: silence" "$(vdiskadm verify w/x.vmdk 2>&1)" ''
	shift 2
	ok 'eos: and the others are there' vd-io -r w/x.vmdk \
		'verify 128k 896k 1' 'verify 73400832 512 2' "$@"
}
lost_marker 'a marker of zeros' $second=$(printf '%032d' 0) 'expect 64k 64k 0'
lost_marker 'a wild length' $((second + 11))=80 'verify 0 1M 1'
lost_marker 'a wild length of the text' 36=9001 'verify 0 1M 1'

# ESX: the header has no copy, the descriptor knows some of it.
text() {
	printf '# Disk DescriptorFile\nversion=1\nCID=1234abcd\n'
	printf 'parentCID=ffffffff\ncreateType="%s"\n' "$1"
	shift
	printf '%s\n' "$@"
}
rm -rf w; mkdir w
text vmfsSparse 'RW 16384 VMFSSPARSE "x-delta.vmdk"' >w/x.vmdk
vmdk-esx cowd w/x-delta.vmdk grain=8 0 2 5
pristine cowd
c() {
	damage cowd "$@"
}
c 'no magic' vmdk-magic 0x0 1 same x-delta.vmdk@0=00000000
c 'a wild capacity' vmdk-capacity 0xc 1 same x-delta.vmdk@12=ffff0000
c 'a wild directory' vmdk-directory 0x14 1 same x-delta.vmdk@20=ffff0000
c 'a low count of tables' vmdk-table-count 0x18 1 same x-delta.vmdk@24=00
c 'a low end' vmdk-free-sector 0x1c 1 same x-delta.vmdk@28=05000000
c 'not closed' vmdk-unclean 0x670 0 same x-delta.vmdk@1648=01
c 'a table outside' vmdk-table-outside 0x800 1 'expect 0 8M 0' \
	x-delta.vmdk@2048=ffff0000

le32() {
	perl -e 'print unpack("H*", pack("V*", @ARGV))' "$@"
}
cowd_header() {
	od -An -tu4 -j"$1" -N4 w/x-delta.vmdk | tr -d ' '
}
c 'a tail, and the first free sector in it' vmdk-tail 0x7c00 0 same \
	x-delta.vmdk@28=28230000 x-delta.vmdk@size=4608512
vdiskadm repair w/x.vmdk >/dev/null 2>&1
(cd w && poke x-delta.vmdk 28=28230000 size=4608512)
ok 'cowd: a tail is cut off' vdiskadm repair w/x.vmdk
is 'cowd: and what ESX takes for the end stays inside' 61 "$(cowd_header 28)"

# Numbers beyond 32 bits: nothing is set to what is left of them.
rm -rf w; mkdir w
text vmfsSparse 'RW 4303355904 VMFSSPARSE "x-delta.vmdk"' >w/x.vmdk
vmdk-esx cowd w/x-delta.vmdk grain=8 0
(cd w && poke x-delta.vmdk 12=$(le32 5 2048 4 513) size=40000)
fails_with 'cowd: a capacity that no header can say' \
	'cannot be mended: the header speaks of 5 sectors' \
	vdiskadm repair w/x.vmdk
is 'cowd: it is left' 5 "$(cowd_header 12)"
rm -rf w; mkdir w
text vmfsSparse 'RW 16384 VMFSSPARSE "x-delta.vmdk"' >w/x.vmdk
vmdk-esx cowd w/x-delta.vmdk grain=8 0 2
(cd w && poke x-delta.vmdk 4096=$(le32 4294967288))
if truncate -s 2199023255552 w/x-delta.vmdk; then
	ok 'cowd: a grain at the end of all: mended' vdiskadm repair w/x.vmdk
	is 'cowd: nothing is left' "$(vdiskadm repair --plan w/x.vmdk 2>&1)" ''
else
	skip 'cowd: a grain at the end of all' 'no file of 2 TiB here'
fi

# So far behind the others that a second pass looks at it.
rm -rf w; mkdir w
text vmfsSparse 'RW 16384 VMFSSPARSE "x-delta.vmdk"' >w/x.vmdk
vmdk-esx cowd w/x-delta.vmdk grain=8 0 5,134217800
(cd w && poke x-delta.vmdk 28=$(le32 134217803) size=$((134217804 * 512)))
fails_with 'cowd: a far grain that is cut' 'the file ends inside grain 5' \
	vdiskadm verify w/x.vmdk
ok 'cowd: is filled up' vdiskadm repair w/x.vmdk
is 'cowd: and kept' "$(le32 134217800)" "$(od -An -tx4 -j$((5 * 512 + 20)) -N4 \
	w/x-delta.vmdk | sed 's/ *\(..\)\(..\)\(..\)\(..\)/\4\3\2\1/')"

# Such an extent had a parent: its holes are never taken for zeros.
rm -rf w
cp -a pristine-cowd w
: >w/x.vmdk
exits 'cowd: no text: written, but not all of it' 1 vdiskadm repair w/x.vmdk
says 'cowd: no text: and who knows the rest' 'relink.*\[vmdk-parent-unnamed\]'
fails_with 'cowd: no text: does not open so' relink vd-io -r w/x.vmdk size
ok 'cowd: no text: a parent' sh -c 'vdiskadm create -s 8m w/base.vmdk &&
	vd-io w/base.vmdk "fill 4M 1M 4"'
ok 'cowd: no text: is named' vdiskadm relink w/x.vmdk w/base.vmdk
ok 'cowd: no text: found no more' vdiskadm verify w/x.vmdk
ok 'cowd: no text: reads both' vd-io -r w/x.vmdk 'expect 0 4k 0x40' \
	'expect 20k 4k 0x45' 'verify 4M 1M 4'

rm -rf w; mkdir w
text seSparse 'RW 32768 SESPARSE "x-sesparse.vmdk"' >w/x.vmdk
vmdk-esx se w/x-sesparse.vmdk size=16 0 2 5
pristine sesparse
damage sesparse 'no magic' vmdk-magic 0x0 1 none x-sesparse.vmdk@0=00000000
damage sesparse 'the last grain cut' vmdk-grain-outside 0x8028 1 none \
	x-sesparse.vmdk@size=$(($(stat -c %s w/x-sesparse.vmdk) - 512))
damage sesparse 'another version' vmdk-sesparse-header 0x8 1 none \
	x-sesparse.vmdk@8=07
# Grains so far apart are not compared in one pass.
vmdk-esx se w/x-sesparse.vmdk size=16 0 1,0x3005000000060000 \
	2,0x3006000000060000 3,0x3005000000060000 4,0x3005000000020000
if truncate -s 7T w/x-sesparse.vmdk; then
	exits 'sesparse: the same far grain twice: found' 1 vdiskadm verify w/x.vmdk
	says 'sesparse: by its code and byte' 'byte 0x8018).*\[vmdk-grain-twice\]'
	is 'sesparse: that, and no more' 1 "$(grep -c '\[vmdk' "$tmp/.out")"
else
	skip 'sesparse: a far grain twice' 'no file of 7 TiB here'
fi
done_testing
