#!/bin/sh
# Discarded grains give their room back, to the file system and to other grains;
# a child's never let its parent show through.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1

room() { du -k "$1" | cut -f1; }
len() { stat -c %s "$1"; }
field() { vmdk-craft -s "$2" | sed -n "s/^$1 //p"; }
damage() { vdiskadm verify "$1" | grep ': damage:'; }
qemu() {
	command -v qemu-img >/dev/null || return 0
	qemu-img check -q -f vmdk "$1" &&
		vdiskadm translate -I "$1" -x raw -d q.raw &&
		qemu-img compare -q -f vmdk -F raw "$1" q.raw && rm q.raw
}

ok 'make' vdiskadm create -s 16M a.vmdk
ok 'fill three quarters' vd-io a.vmdk 'write 0 12M 0x77'
full=$(room a.vmdk) long=$(len a.vmdk)
ok 'discard a run, parts of grains, and what is not there' vd-io a.vmdk \
	'discard 2M 4M' 'discard 7340033 1M' 'discard 12M 4M' flush \
	'expect 0 2M 0x77' 'expect 2M 4M 0' 'expect 6M 1M 0x77' \
	'expect 7405568 983040 0' 'expect 8M 4M 0x77' 'expect 12M 4M 0'
ok 'opened again' vd-io -r a.vmdk 'expect 1M 1M 0x77' 'expect 2M 4M 0' \
	'expect 6M 1M 0x77' 'expect 8M 4M 0x77'
ok 'nearly five MiB came back' test "$(room a.vmdk)" -le $((full - 4500))
is 'the entries are gone, in both tables' \
	"$(field copies a.vmdk) $(field map a.vmdk | wc -w)" 'equal 113'
ok 'QEMU checks and agrees' qemu a.vmdk
is 'nothing is damaged' "$(damage a.vmdk)" ''
ok 'other grains get the room' vd-io a.vmdk 'discard 0 1M' flush \
	'write 12M 3M 5' flush 'expect 12M 3M 5' 'expect 0 1M 0' 'expect 6M 1M 0x77'
is 'and the file does not grow' "$(len a.vmdk)" "$long"
ok 'of what was left behind at the last open, too' vd-io a.vmdk 'discard 64k 64k' \
	'write 2M 2M 6' flush 'expect 2M 2M 6' 'expect 12M 3M 5' 'expect 4M 2M 0'
is 'the file does not grow' "$(len a.vmdk)" "$long"
ok 'half a grain of what is used again is zeros' vd-io a.vmdk 'discard 6M 1M' \
	flush 'write 6295552 512 9' 'expect 6M 4096 0' 'expect 6295552 512 9' \
	'expect 6296064 61952 0'
ok 'QEMU checks and agrees' qemu a.vmdk
ok 'all of it' vd-io a.vmdk 'discard 0 end' flush 'expect 0 end 0'
is 'leaves an empty file' "$(len a.vmdk)" 65536
is 'in which nothing leaks' "$(vdiskadm verify a.vmdk | grep -c nobody)" 0
ok 'QEMU checks and agrees' qemu a.vmdk
ok 'written before a flush' vd-io a.vmdk 'write 0 2M 1' flush 'discard 0 2M' \
	'write 1M 1M 2' 'expect 0 1M 0' 'expect 1M 1M 2'
ok 'opened again' vd-io -r a.vmdk 'expect 0 1M 0' 'expect 1M 1M 2'
is 'each grain had its own room back' "$(field map a.vmdk | cut -d' ' -f1)" \
	'16:2176'
vd-io a.vmdk 'write 4M 1M 3' flush 'discard 4M 1M' 'write 8M 64k 4' die
ok 'a death loses nothing' vd-io a.vmdk 'expect 4M 1M 0' 'expect 8M 64k 4' \
	'expect 1M 1M 2' flush
is 'nothing is damaged' "$(damage a.vmdk)" ''

# A child: header version 1 has no way to say "zeros" but a grain of them.
ok 'a base' vdiskadm create -s 8M base.vmdk
ok 'full' vd-io base.vmdk 'write 0 8M 0x5a'
ok 'its child' vdiskadm create -p base.vmdk c.vmdk
ok 'written and discarded' vd-io c.vmdk 'write 1M 1M 1' flush 'discard 1M 1M' \
	'expect 1M 1M 0' 'expect 0 1M 0x5a' 'expect 2M 6M 0x5a'
ok 'still hides its parent' vd-io -r c.vmdk 'expect 1M 1M 0' \
	'expect 0 1M 0x5a' 'expect 2M 6M 0x5a'
ok 'but takes no room for it' test "$(room c.vmdk)" -lt 300
ok 'zeros hide it, too' vd-io c.vmdk 'zero 3M 1M' flush
ok 'for good' vd-io -r c.vmdk 'expect 3M 1M 0' 'expect 4M 4M 0x5a'
ok 'QEMU checks and agrees' qemu c.vmdk

# Version 2 has: entry 1.
ok 'a child of version 2' vdiskadm create -p base.vmdk z.vmdk
printf '\2\0\0\0\7' | dd of=z.vmdk bs=1 seek=4 conv=notrunc 2>/dev/null
ok 'written, discarded, zeroed' vd-io z.vmdk 'write 1M 1M 1' flush \
	'discard 1M 1M' 'zero 4M 1M' 'discard 6M 64k' flush
ok 'hides its parent' vd-io -r z.vmdk 'expect 1M 1M 0' 'expect 4M 1M 0' \
	'expect 6M 64k 0' 'expect 0 1M 0x5a' 'expect 2M 2M 0x5a'
is 'by entries of 1, in both tables' "$(field copies z.vmdk) $(field map z.vmdk |
	tr ' ' '\n' | grep -c ':1$')" 'equal 33'
is 'and without any grain' "$(len z.vmdk)" 65536
ok 'QEMU checks and agrees' qemu z.vmdk

# Two grains in one room: to give one up would harm the other.
ok 'a damaged one' vmdk-craft t.vmdk 0,new 1,128 2,new
fails_with 'gives nothing up' 'two grains share' vd-io t.vmdk 'discard 0 64k'
ok 'and is not harmed' vd-io -r t.vmdk 'expect 64k 64k 0x40'

# Other shapes.
ok 'an ESX delta' vmdk-esx cowd d-delta.vmdk grain=8 0 1 2 3 4
printf '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n%s\n%s\n' \
	'createType="vmfsSparse"' 'RW 16384 VMFSSPARSE "d-delta.vmdk"' >d.vmdk
ok 'discarded' vd-io d.vmdk 'discard 4k 12k' flush 'expect 0 4k 0x40' \
	'expect 4k 12k 0' 'expect 16k 4k 0x44'
ok 'and again, room for others' vd-io d.vmdk 'write 4k 12k 6' 'discard 4k 12k' \
	flush 'write 1M 12k 7' flush 'expect 1M 12k 7' 'expect 4k 12k 0' 'expect 16k 4k 0x44'
ok 'the last grains shorten it' vd-io d.vmdk 'discard 0 end' flush
free=$(vmdk-esx -s d-delta.vmdk | sed -n 's/^free //p')
ok 'with freeSector inside the file' \
	test $((free * 512)) -lt "$(len d-delta.vmdk)" -a "$free" -lt 70
ok 'it can be written again' vd-io d.vmdk 'write 16k 4k 8' 'expect 16k 4k 8' \
	'expect 0 16k 0'
ok 'QEMU agrees' sh -c '! command -v qemu-img >/dev/null ||
	{ vdiskadm translate -I d.vmdk -x raw -d q.raw &&
	qemu-img compare -q -f vmdk -F raw d.vmdk q.raw && rm q.raw; }'
ok 'a flat one' vdiskadm create -s 8M -t vmdk:fixed f.vmdk
ok 'is punched' vd-io f.vmdk 'write 0 8M 1' 'discard 1M 6M' 'expect 1M 6M 0' \
	'expect 0 1M 1' 'expect 7M 1M 1'
ok 'and takes less' test "$(room f-flat.vmdk)" -le 2100
ok 'sparse parts' sh -c 'vmdk-craft s1.vmdk 0,new && vmdk-craft s2.vmdk grain=8'
printf '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n%s\n%s\n%s\n' \
	'createType="twoGbMaxExtentSparse"' 'RW 16384 SPARSE "s1.vmdk"' \
	'RW 16384 SPARSE "s2.vmdk"' >s.vmdk
ok 'written' vd-io s.vmdk 'write 0 16M 1' flush
full=$(($(room s1.vmdk) + $(room s2.vmdk)))
ok 'discarded across their border' vd-io s.vmdk 'discard 4M 8M' flush \
	'expect 0 4M 1' 'expect 4M 8M 0' 'expect 12M 4M 1'
ok 'each gave back its part' test \
	$(($(room s1.vmdk) + $(room s2.vmdk))) -le $((full - 8000))
printf '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n%s\n%s\n%s\n%s\n' \
	'createType="custom"' 'RW 16384 SPARSE "s1.vmdk"' 'RW 2048 ZERO' \
	'RDONLY 16384 SPARSE "s2.vmdk"' >m.vmdk
ok 'zeros have nothing to give' vd-io m.vmdk 'discard 0 9M' 'expect 0 9M 0'
fails_with 'what can only be read is left' 'only be read' vd-io m.vmdk 'discard 9M 1M'

# compact
ok 'a disk with zeros in it' vdiskadm create -s 8M k.vmdk
ok 'as data' vd-io k.vmdk 'write 0 2M 1' 'write 2M 4M 9' 'write 6M 1M 2' flush \
	'write 2M 4M 0'
ok 'compacted' vdiskadm compact k.vmdk
ok 'is smaller' test "$(room k.vmdk)" -lt 3300
ok 'and the same' vd-io -r k.vmdk 'expect 0 2M 1' 'expect 2M 4M 0' 'expect 6M 1M 2'
ok 'QEMU checks and agrees' qemu k.vmdk
done_testing
