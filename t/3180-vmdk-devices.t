#!/bin/sh
# A disk that is kept on devices of its host: named by a probe, read only where
# the administrator allows it, and never by a name in an image alone.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1

text() {
	printf '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n'
	printf 'createType="%s"\n' "$1"
	shift
	printf '%s\n' "$@"
}
# read FILE...: with devices allowed, the content as a raw file.
read_it() { rm -f o.raw; vdiskadm translate --devices -I "$1" -x raw -d o.raw; }

# A regular file stands in for a device: the permission is asked all the same.
truncate -s 2M disk.img pt.img
vd-io -f raw disk.img 'fill 0 end 1'
vd-io -f raw pt.img 'write 0 end 9'
text fullDevice 'RW 4096 FLAT "disk.img" 0' >full.vmdk
text partitionedDevice 'RW 63 FLAT "pt.img" 0' 'RW 1985 FLAT "disk.img" 63' \
	'RW 2048 ZERO' >part.vmdk
text vmfsRaw 'RW 4096 VMFSRAW "disk.img"' >raw.vmdk
text vmfsRDM 'RW 4096 VMFSRDM "disk.img"' >rdm.vmdk
text custom 'RW 4096 VMFSRDMX "disk.img"' >other.vmdk
text custom 'RW 63 FLAT "pt.img" 0' 'RW 4096 VMFSRDM "disk.img"' >mix.vmdk
for d in full part raw rdm mix; do
	ok "$d: a probe names what it is on" sh -c \
		"vdisk-probe --json $d.vmdk | grep -q '\"disk.img\"'"
	fails_with 'it is not read' 'device of its host' vd-io -r $d.vmdk size
	fails_with 'and the option that would help is named' '--devices' \
		vdiskadm translate -I $d.vmdk -x raw -d no.raw
	fails_with 'not checked either' 'device of its host' vdiskadm verify $d.vmdk
	ok 'allowed, it is' read_it $d.vmdk
	[ $d = mix ] || fails_with 'but never written' 'only be read' \
		vdiskadm compact --devices $d.vmdk
done
ok 'of a mixture what is no device is written' sh -c 'vdiskadm compact \
	--devices mix.vmdk && ! cmp -n 1 pt.img disk.img'
read_it full.vmdk
ok 'a whole device' cmp o.raw disk.img
read_it part.vmdk
{ head -c 32256 pt.img; tail -c +32257 disk.img | head -c 1016320
	head -c 1M /dev/zero; } >want
ok 'partitions and what is between them' cmp o.raw want
read_it raw.vmdk
ok "ESX's" cmp o.raw disk.img
ok 'info tells, where allowed' sh -c \
	'vdiskadm info --devices full.vmdk | grep fullDevice'
ok 'verify looks, where allowed' vdiskadm verify --devices full.vmdk
cp disk.img short.img
truncate -s 1M short.img
text fullDevice 'RW 4096 FLAT "short.img" 0' >short.vmdk
exits 'and finds one that is too short' 1 vdiskadm verify --devices short.vmdk
fails_with 'which a repair does not make longer' 'cannot be mended' \
	vdiskadm repair --devices short.vmdk
is 'as it was' "$(stat -c %s short.img)" 1048576
fails_with 'what is no device stays what it is' 'not supported' \
	vd-io -r other.vmdk size
fails_with 'none can be made' 'one of monolithicSparse' \
	vdiskadm create -s 1M -t vmdk:fullDevice x.vmdk

# Whatever else a name may lead to is refused, allowed or not.
mkdir folder
mkfifo fifo
ln -s /etc/passwd link
for bad in /dev/null /dev/zero fifo folder; do
	text fullDevice "RW 1 FLAT \"$bad\" 0" >bad.vmdk
	fails_with "$bad: not without a word" 'device of its host' \
		timeout 10 vd-io -r bad.vmdk size
	fails_with "$bad: nor with one" 'neither a block device nor' \
		timeout 10 vdiskadm info --devices bad.vmdk
	text monolithicFlat "RW 1 FLAT \"$bad\" 0" >bad.vmdk
	fails_with "$bad: nor as an ordinary extent" 'not a regular file\|outside' \
		timeout 10 vdiskadm info --devices bad.vmdk
done
for bad in /etc/passwd ../../etc/passwd link; do
	text fullDevice "RW 1 FLAT \"$bad\" 0" >bad.vmdk
	fails_with "$bad: no file outside by this way" 'outside its own folder' \
		vdiskadm info --devices bad.vmdk
done

loop=
if [ "$(id -u)" = 0 ] && command -v losetup >/dev/null; then
	loop=$(losetup -r -f --show disk.img 2>/dev/null)
fi
if [ -b "$loop" ]; then
	cleanup "losetup -d $loop"
	text fullDevice "RW 4096 FLAT \"$loop\" 0" >loop.vmdk
	fails_with 'a block device' 'device of its host' vd-io -r loop.vmdk size
	ok 'is read where allowed' read_it loop.vmdk
	ok 'as it is' cmp o.raw disk.img
	text monolithicFlat "RW 4096 FLAT \"$loop\" 0" >loop.vmdk
	fails_with 'but not as an ordinary extent' 'outside its own folder' \
		vdiskadm info --devices loop.vmdk
else
	skip 'a block device' 'no loop device can be set up here'
fi
done_testing
