#!/bin/sh
# A guess that a file is raw stays safe: a guest cannot turn its raw disk into
# an image of another format, nor does a name override what the bytes say.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1

# What a guest would write: a text descriptor that names a file of the host.
printf '# Disk DescriptorFile\nversion=1\nCID=00000001\nparentCID=ffffffff\n' >d
printf 'createType="monolithicFlat"\nRW 8 FLAT "/etc/shadow" 0\n' >>d

truncate -s 1M guest-disk
ok 'a file nobody claims is raw' vd-io guest-disk 'write 64k 512 7' \
	'expect 64k 512 7'
fails_with 'a VDI signature is not written into a guessed raw disk' \
	'look like a' vd-put guest-disk 0 "$(printf '%0128d' 0)7f10dabe01000100"
fails_with 'nor a VMDK descriptor' 'look like a vmdk' vd-put -t guest-disk 0 d
fails_with 'nor the other half of one' 'look like a vmdk' sh -c '
	tail -c +2 d >d2 && vd-put -t guest-disk 1 d2 && vd-put guest-disk 0 23'
truncate -s 10 short
fails_with 'nor one that a short file only has room for when it grows' \
	'look like a vmdk' vd-put -t short 0 d
truncate -s 300 d3
printf 'KDMV' | dd of=d3 conv=notrunc status=none
fails_with 'nor does a new size make a header of what was too short for one' \
	'new size that would make.*look like a vmdk' vdiskadm resize d3 1M
is 'it is as it was' "$(stat -c %s d3)" 300
ok 'other writes to the head go on' vd-io guest-disk 'write 0 4k 1' \
	'expect 0 4k 1'
ok 'named raw by its owner, anything goes' vd-put -f raw -t guest-disk 0 d
ok 'and is raw only when named' vd-io -f raw guest-disk 'size'
fails_with 'probed, it is what the bytes say and opens nothing outside' \
	'outside its own folder' vd-io -r guest-disk

cp guest-disk named.raw
fails_with 'a file called .raw with a VMDK inside is refused' \
	'its bytes say vmdk' vd-io named.raw size
ok 'until the format is named' vd-io -f raw named.raw size
truncate -s 1M empty.vdi
fails_with 'a file called .vdi with no VDI inside is refused' \
	'its bytes do not' vd-io empty.vdi size
done_testing
