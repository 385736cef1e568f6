#!/bin/sh
# Disks of several files, flat and sparse: one disk, in the order they are listed.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

field() { vmdk-craft -s "$2" | sed -n "s/^$1 //p"; }
# text TYPE LINES...: a descriptor on stdout.
text() {
	printf '# Disk DescriptorFile\nversion=1\nCID=1234abcd\n'
	printf 'parentCID=ffffffff\ncreateType="%s"\n' "$1"
	shift
	printf '%s\n' "$@"
}
zeros() { truncate -s "$2" "$1"; }

ok 'sparse parts' sh -c 'vmdk-craft s1.vmdk desc=0 descsize=0 0,new &&
	vmdk-craft s2.vmdk grain=8 1,new && vmdk-craft s3.vmdk sectors=1'
text twoGbMaxExtentSparse 'RW 16384 SPARSE "s1.vmdk"' \
	'RW 16384 SPARSE "s2.vmdk"' 'RW 16300 SPARSE "s3.vmdk"' >s.vmdk
is 'add up' "$(vd-io -r s.vmdk size)" $(((16384 * 2 + 16300) * 512))
ok 'and keep their places' vd-io -r s.vmdk 'expect 0 64k 0x40' \
	'expect 8M 4k 0' 'expect 8196k 4k 0x41'
ok 'writes cross their borders' vd-io s.vmdk 'write 7M 2M 5' 'write 15M 2M 6' \
	flush 'expect 7M 2M 5' 'expect 15M 2M 6'
ok 'and are there after' vd-io -r s.vmdk 'expect 7M 2M 5' 'expect 15M 2M 6' \
	'expect 9M 6M 0' 'expect 0 64k 0x40'
is 'each part is closed' "$(field unclean s1.vmdk)$(field unclean s2.vmdk)" 00
is 'each with equal tables' "$(field copies s1.vmdk) $(field copies s3.vmdk)" \
	'equal equal'
is 'the descriptor has a new CID' "$(grep -c CID=1234abcd s.vmdk)" 0
vd-io s.vmdk 'write 1M 64k 7' 'write 9M 64k 8' die
ok 'a death touches every part' vd-io s.vmdk 'expect 1M 64k 7' \
	'expect 9M 64k 8' flush
is 'and is mended in each' "$(field unclean s1.vmdk)$(field unclean s2.vmdk)" 00

zeros f1.vmdk 1M
zeros f2.vmdk 1M
text twoGbMaxExtentFlat 'RW 1000 FLAT "f1.vmdk" 0' \
	'RW 1000 FLAT "f2.vmdk" 24' >f.vmdk
ok 'flat parts, one from an offset on' vd-io f.vmdk 'write 0 2000s 0' \
	'write 999s 2s 3' flush
is 'land where they should' "$(od -An -tx1 -j511488 -N1 f1.vmdk)$(
	od -An -tx1 -j12288 -N1 f2.vmdk)$(od -An -tx1 -j12800 -N1 f2.vmdk)" \
	' 03 03 00'
zeros v-flat.vmdk 1M
text vmfs 'RW 2048 VMFS "v-flat.vmdk"' >v.vmdk
ok 'an ESX disk' vd-io v.vmdk 'write 1000 1000 1' 'expect 1000 1000 1' flush
text vmfs 'RW 2048 VMFS "v-flat.vmdk" 0' >v.vmdk
ok 'as vdiskmanager writes it' vd-io -r v.vmdk 'expect 1000 1000 1'
printf '%s\r\n' 'VERSION=1 ' 'cid=12' 'parentcid=FFFFFFFF' \
	'createtype=monolithicflat' 'rw 2048 flat v-flat.vmdk 0 junk' >w.vmdk
ok 'and as nobody should' vd-io w.vmdk 'expect 1000 1000 1' 'write 0 1 9'
ok 'it is still read' vd-io -r w.vmdk 'expect 0 1 9'
is 'with eight digits of CID' "$(sed -n 's/^cid=........\r$/yes/p' w.vmdk)" yes

# refused NAME PATTERN TYPE LINES...
refused() {
	name=$1 pattern=$2
	shift 2
	text "$@" >bad.vmdk
	fails_with "$name" "$pattern" vd-io -r bad.vmdk 'expect 0 1 0'
}
refused 'a file too short' 'ends 512 bytes before' \
	monolithicFlat 'RW 2049 FLAT "v-flat.vmdk" 0'
refused 'a file that is not there' 'bad.vmdk lists it' \
	monolithicFlat 'RW 8 FLAT "none.vmdk" 0'
refused 'a file of the host' 'outside its own folder' \
	monolithicFlat "RW 1 FLAT \"/etc/passwd\" 0"
refused 'a way out' 'outside its own folder' \
	monolithicFlat "RW 1 FLAT \"../../etc/passwd\" 0"
ln -s /etc/passwd link.vmdk
refused 'a link that leads out' 'outside its own folder' \
	monolithicFlat "RW 1 FLAT \"link.vmdk\" 0"
mkfifo pipe.vmdk
refused 'a pipe' 'not a regular file' \
	monolithicFlat "RW 1 FLAT \"pipe.vmdk\" 0"
refused 'one part of a file twice' 'the same part' \
	twoGbMaxExtentFlat 'RW 8 FLAT "f1.vmdk" 0' 'RW 8 FLAT "f1.vmdk" 7'
refused 'a sparse file twice' 'name the same file' \
	twoGbMaxExtentSparse 'RW 16384 SPARSE "s1.vmdk"' \
	'RW 16384 SPARSE "s1.vmdk"'
refused 'a sparse part in a flat disk' 'SPARSE are not supported' \
	monolithicFlat 'RW 8 SPARSE "s1.vmdk"'
refused 'a flat part in a sparse disk' 'KDMV' \
	twoGbMaxExtentSparse 'RW 2048 SPARSE "v-flat.vmdk"'
refused 'VMFS at an offset' 'offset' \
	vmfs 'RW 8 VMFS "v-flat.vmdk" 1'
refused 'seSparse' 'not a space-efficient' \
	seSparse 'RW 8 SESPARSE "f1.vmdk"'
refused 'COWD' 'not an ESX sparse' \
	vmfsSparse 'RW 8 VMFSSPARSE "f1.vmdk"'
refused 'a device' 'device of its host' \
	fullDevice 'RW 8 FLAT "/dev/sda" 0'
refused 'a device in a disk of parts' 'device of its host' \
	custom 'RW 8 VMFSRDM "x-rdm.vmdk"'
refused 'itself' 'KDMV' \
	twoGbMaxExtentSparse 'RW 16384 SPARSE "bad.vmdk"'
ok 'probe names the parts' sh -c \
	'vdisk-probe --json s.vmdk | grep "s1.vmdk.*s2.vmdk.*s3.vmdk"'
done_testing
