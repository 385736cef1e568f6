#!/bin/sh
# A VMDK grows and shrinks in place, and other programs read what comes out.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1

len() { stat -c %s "$1"; }
size() { vd-io -r "$1" size; }
key() { tr -d '\0' <"$2" | sed -n "s/^$1 *= *\"*\\([^\"]*\\)\"*\$/\\1/p" | head -1; }
lines() { tr -d '\0' <"$1" | sed -n 's/^RW //p'; }
sound() { vdiskadm verify "$1" && qemu "$1"; }
qemu() {
	command -v qemu-img >/dev/null || return 0
	qemu-img check -q -f vmdk "$1" &&
		vdiskadm translate -I "$1" -x raw -d q.raw &&
		qemu-img compare -q -f vmdk -F raw "$1" q.raw && rm q.raw
}
# QEMU writes: its grains and ours do not meet.
qemu_writes() {
	command -v qemu-io >/dev/null || return 0
	timeout 60 qemu-io -f vmdk "$1" -c "write -P 77 $2 64k" >/dev/null &&
		vd-io -r "$1" "expect $2 64k 77"
}

ok 'a sparse one, with half a grain at its end' vdiskadm create -s 5000192 a.vmdk
ok 'with data' vd-io a.vmdk 'fill 0 end 1'
ok 'a little longer' vdiskadm resize a.vmdk 5M
is 'its size' "$(size a.vmdk) $(lines a.vmdk)" '5242880 10240 SPARSE "a.vmdk"'
ok 'what was there is there, and zeros behind it' vd-io -r a.vmdk \
	'verify 0 5000192 1' 'expect 5000192 242688 0'
ok 'it is sound' sound a.vmdk
ok 'as far as the directory has room' vdiskadm resize a.vmdk 4G
ok 'the same disk' vd-io -r a.vmdk 'verify 0 5000192 1' 'expect 5000192 9M 0' \
	'expect 4095M 1M 0'
ok 'it is sound' vdiskadm verify a.vmdk
is 'QEMU sees its size' "$(! command -v qemu-img >/dev/null && echo 4294967296 ||
	qemu-img info -f vmdk a.vmdk | sed -n 's/.*(\([0-9]*\) bytes).*/\1/p')" \
	4294967296
is 'the geometry follows' "$(key ddb.geometry.cylinders a.vmdk)" 8322
ok 'further: the directories move' vdiskadm resize a.vmdk 20G
ok 'written at the new end' vd-io a.vmdk 'write 20479M 1M 5' 'write 4G 64k 6' flush
ok 'the same disk' vd-io -r a.vmdk 'verify 0 5000192 1' 'expect 20479M 1M 5' \
	'expect 4G 64k 6' 'expect 5M 100M 0'
ok 'it is sound' vdiskadm verify a.vmdk
ok 'QEMU checks it' sh -c '! command -v qemu-img >/dev/null ||
	qemu-img check -q -f vmdk a.vmdk'
ok 'QEMU writes to it' qemu_writes a.vmdk 10G
ok 'it is sound still' vdiskadm verify a.vmdk
fails_with 'back only when asked' 'shrink' vdiskadm resize a.vmdk 4M
fails_with 'twice, for there is data' 'shrink' vdiskadm resize --shrink a.vmdk 4M
ok 'twice' vdiskadm resize --shrink --shrink a.vmdk 4M
ok 'the same disk, as far as it goes' vd-io -r a.vmdk 'verify 0 4M 1'
is 'its size' "$(size a.vmdk) $(lines a.vmdk)" '4194304 8192 SPARSE "a.vmdk"'
ok 'it is sound' qemu a.vmdk
is 'nothing is damaged' "$(vdiskadm verify a.vmdk | grep ': damage:')" ''
ok 'longer again' vdiskadm resize a.vmdk 6M
ok 'shows nothing of what was cut off' vd-io -r a.vmdk 'verify 0 4M 1' 'expect 4M 2M 0'
ok 'it is sound' qemu a.vmdk
fails_with 'a sparse one has an end' 'cannot hold so much' vdiskadm resize a.vmdk 3T
is 'and stays what it was' "$(size a.vmdk)" 6291456

# One file of data.
ok 'a flat one' vdiskadm create -s 3M -t vmdk:fixed f.vmdk
ok 'with data' vd-io f.vmdk 'fill 0 end 1'
ok 'longer' vdiskadm resize f.vmdk 7M
is 'says so' "$(size f.vmdk) $(len f-flat.vmdk) $(lines f.vmdk)" \
	'7340032 7340032 14336 FLAT "f-flat.vmdk" 0'
ok 'the same disk' vd-io f.vmdk 'verify 0 3M 1' 'expect 3M 4M 0' 'write 6M 1M 4'
ok 'it is sound' sound f.vmdk
ok 'shorter' vdiskadm resize --shrink --shrink f.vmdk 2M
is 'says so' "$(size f.vmdk) $(len f-flat.vmdk)" '2097152 2097152'
ok 'the same disk' vd-io -r f.vmdk 'verify 0 2M 1'
truncate -s 4M f-flat.vmdk
printf x | dd of=f-flat.vmdk bs=1 seek=3000000 conv=notrunc 2>/dev/null
ok 'what lies behind it' vdiskadm resize f.vmdk 4M
ok 'is not shown' vd-io -r f.vmdk 'expect 2M 2M 0'
ok 'it is sound' sound f.vmdk
truncate -s 1M v-flat.vmdk
printf '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n%s\n%s\n' \
	'createType="vmfs"' 'RW 2048 VMFS "v-flat.vmdk"' >v.vmdk
ok "ESX's" vdiskadm resize v.vmdk 2M
is 'says so' "$(size v.vmdk) $(lines v.vmdk)" '2097152 4096 VMFS "v-flat.vmdk"'

# Parts.
ok 'a split one' vmdk-make twoGbMaxExtentSparse 3145728 s.vmdk
ok 'with data' vd-io s.vmdk 'fill 0 end 1'
ok 'longer' vdiskadm resize s.vmdk 2050M
is 'in more parts' "$(lines s.vmdk)" '6144 SPARSE "s-s001.vmdk"
4192256 SPARSE "s-s002.vmdk"'
ok 'the same disk' vd-io s.vmdk 'verify 0 3M 1' 'expect 3M 20M 0' \
	'write 2049M 1M 5' flush 'write 2M 2M 6' 'expect 2M 2M 6'
ok 'it is sound' vdiskadm verify s.vmdk
ok 'QEMU agrees' sh -c '! command -v qemu-io >/dev/null || qemu-io -f vmdk -r \
	s.vmdk -c "read -P 6 2M 2M" -c "read -P 5 2049M 1M" | grep -q -v failed'
ok 'more' vdiskadm resize s.vmdk 4100M
is 'parts' "$(lines s.vmdk | wc -l) $(ls s-s*.vmdk | wc -l)" '4 4'
ok 'shorter, through the second part' vdiskadm resize --shrink --shrink s.vmdk 100M
is 'which is cut' "$(lines s.vmdk)" '6144 SPARSE "s-s001.vmdk"
198656 SPARSE "s-s002.vmdk"'
is 'the others are gone' "$(ls s-s*.vmdk | tr '\n' ' ')" 's-s001.vmdk s-s002.vmdk '
is 'its header says so, too' "$(od -An -tu4 -j12 -N4 s-s002.vmdk)" '     198656'
is 'and nothing is left open' "$(grep -c resizing s.vmdk)" 0
ok 'the same disk' vd-io -r s.vmdk 'verify 0 2M 1' 'expect 2M 2M 6' 'expect 4M 96M 0'
ok 'it is sound' sound s.vmdk
ok 'a part that nobody lists' sh -c 'cp s-s002.vmdk s-s003.vmdk'
fails_with 'and that holds something, is not taken' 'no part of the disk' \
	vdiskadm resize s.vmdk 200M
is 'the disk stays what it was' "$(size s.vmdk)" 104857600
ok 'the file as well' cmp s-s002.vmdk s-s003.vmdk
mv s-s003.vmdk s-s004.vmdk
fails_with 'nor as the second of two' 'no part of the disk' \
	vdiskadm resize s.vmdk 4100M
is 'the first is not left behind' "$(ls s-s*.vmdk | tr '\n' ' ')" \
	's-s001.vmdk s-s002.vmdk s-s004.vmdk '
ok 'the disk is sound' vdiskadm verify s.vmdk
rm s-s004.vmdk
vmdk-make twoGbMaxExtentSparse 1048576 t.vmdk
mv t-s001.vmdk s-s003.vmdk
ok 'an empty one is' vdiskadm resize s.vmdk 200M
ok 'it is sound' sound s.vmdk
ok 'a split flat one' vmdk-make twoGbMaxExtentFlat 3145728 g.vmdk
ok 'with data' vd-io g.vmdk 'fill 0 end 1'
ok 'longer' vdiskadm resize g.vmdk 5M
is 'in two parts' "$(lines g.vmdk)" '6144 FLAT "g-f001.vmdk" 0
4096 FLAT "g-f002.vmdk" 0'
ok 'the same disk' vd-io g.vmdk 'verify 0 3M 1' 'expect 3M 2M 0' 'write 3M 2M 3'
ok 'shorter' vdiskadm resize --shrink --shrink g.vmdk 2M
is 'in one' "$(lines g.vmdk) $(ls g-f*)" '4096 FLAT "g-f001.vmdk" 0 g-f001.vmdk'
ok 'it is sound' sound g.vmdk

# A child grows over its parent, which keeps its size.
ok 'a base' vdiskadm create -s 4M base.vmdk
ok 'full' vd-io base.vmdk 'write 0 4M 0x5a'
ok 'its child' vdiskadm create -p base.vmdk c.vmdk
ok 'grows' vdiskadm resize c.vmdk 6M
is 'and remembers' "$(size c.vmdk) $(key ddb.vdisk.parentSectors c.vmdk)" '6291456 8192'
ok 'alone' vd-io c.vmdk 'expect 0 4M 0x5a' 'expect 4M 2M 0' 'write 5M 1 9'
ok 'opened again' vd-io -r c.vmdk 'expect 0 4M 0x5a' 'expect 5M 1 9'
ok 'QEMU agrees' qemu c.vmdk
ok 'it has children of its own' vdiskadm snapshot c.vmdk@one
ok 'which merge' vdiskadm destroy c.vmdk@one
ok 'into a disk that still knows' vd-io -r c.vmdk 'expect 0 4M 0x5a' \
	'expect 4M 1M 0' 'expect 5M 1 9'
ok 'a base of another size' vdiskadm resize base.vmdk 5M
fails_with 'is no parent' 'its size is 5242880 bytes, expected 4194304' \
	vd-io -r c.vmdk size
ok 'another child' vdiskadm create -p base.vmdk d.vmdk
fails_with 'cannot get shorter than that' 'shorter than its parent' \
	vdiskadm resize --shrink --shrink d.vmdk 3M

# What has no room for it is refused by name.
truncate -s 1M raw
ok 'a compressed one' vdiskadm translate -I raw -i raw -x \
	vmdk:streamOptimized -d z.vmdk
fails_with 'cannot be written' 'streamOptimized' vdiskadm resize z.vmdk 2M
ok 'an ESX delta' vmdk-esx cowd d-delta.vmdk grain=8 0
printf '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n%s\n%s\n' \
	'createType="vmfsSparse"' 'RW 16384 VMFSSPARSE "d-delta.vmdk"' >e.vmdk
ok 'a mixture' sh -c 'vdiskadm create -s 2M -t vmdk:custom:sparse=1m,flat=1m m.vmdk &&
	vd-io m.vmdk "fill 0 end 1"'
fails_with 'cannot, either' 'custom images cannot be resized' \
	vdiskadm resize --shrink --shrink m.vmdk 1M
ok 'and has lost nothing' vd-io -r m.vmdk 'verify 0 end 1'
fails_with 'cannot' 'vmfsSparse images cannot be resized' vdiskadm resize e.vmdk 16M
printf '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n%s\n%s\n' \
	'createType="custom"' 'RW 2048 FLAT "v-flat.vmdk" 0' >m.vmdk
fails_with 'nor can a mixture' 'custom images cannot be resized' vdiskadm resize m.vmdk 2M
done_testing
