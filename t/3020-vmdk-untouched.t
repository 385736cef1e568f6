#!/bin/sh
# An image that is not written stays as it was; the first write renames its content.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

field() { vmdk-craft -s "$2" | sed -n "s/^$1 //p"; }
text() { dd if="$1" bs=512 skip=1 count=20 2>/dev/null | tr -d '\0'; }

ok 'make an image' vmdk-craft a.vmdk long=1 0,new
cp a.vmdk before
ok 'open for writing, read, flush, close' vd-io a.vmdk 'expect 0 64k 0x40' flush
ok 'not a byte has changed' cmp a.vmdk before
ok 'one that was not closed' vmdk-craft u.vmdk unclean=1 0,new 3,0,0
cp u.vmdk before-u
ok 'is only read by a reader' vd-io -r u.vmdk 'expect 0 64k 0x40'
ok 'nothing changes' cmp u.vmdk before-u
ok 'and closed by one that may write' vd-io u.vmdk 'expect 0 64k 0x40' flush
is 'then it is clean' "$(field unclean u.vmdk) $(field map u.vmdk)" '0 0:128'

ok 'write over a grain' vd-io a.vmdk 'write 0 1 0x55'
cid=$(field cid a.vmdk)
is 'the content has a new name' "$([ "$cid" != 1234abcd ] && echo new)" new
long=$(field long a.vmdk)
is 'longContentID ends in it' "${long#????????????????????????}" "$cid"
is 'and is new, too' "$([ "${long%????????}" != 0123456789abcdef01234567 ] &&
	echo new)" new
is 'all else in the text is the same' \
	"$(text a.vmdk | sed 's/^CID=.*/CID/;s/^ddb.long.*/long/')" \
	"$(text before | sed 's/^CID=.*/CID/;s/^ddb.long.*/long/')"
ok 'two writes in one session' vd-io a.vmdk 'write 0 1 1' flush 'write 1 1 1'
is 'are one more name' "$([ "$cid" != "$(field cid a.vmdk)" ] && echo new)" new
ok 'marked while open' sh -c '
	vd-io a.vmdk "write 0 1 2" flush die; vmdk-craft -s a.vmdk >s
	grep -x "unclean 1" s'
ok 'closed again' vd-io a.vmdk 'write 0 1 3'
is 'clean' "$(field unclean a.vmdk)" 0

# Short and missing identities: QEMU writes no leading zeros.
ok 'a CID of six digits' vmdk-craft q.vmdk cid=abcdef 0,new
ok 'is replaced' vd-io q.vmdk 'write 0 1 1' 'expect 1 65535 0x40'
is 'by one of eight' "$(text q.vmdk | sed -n 's/^CID=........$/eight/p')" eight
is 'the rest moved, nothing is lost' \
	"$(text q.vmdk | sed 's/^CID=.*//')" \
	"$(vmdk-craft q0.vmdk cid=abcdef; text q0.vmdk | sed 's/^CID=.*//')"
vmdk-craft f.vmdk cid=1 line=#
fill=$((512 - $(text f.vmdk | wc -c)))
ok 'a descriptor that is full' vmdk-craft f.vmdk cid=1 descsize=1 \
	"line=#$(printf "%0${fill}d" 0)" 0,new
is 'to the last byte' "$(text f.vmdk | wc -c)" 512
cp f.vmdk before-f
fails_with 'takes no longer name' 'no room' vd-io f.vmdk 'write 0 1 1'
ok 'and is not written to' cmp f.vmdk before-f

# Text descriptors: the digits, in place.
ok 'a flat one' vdiskadm create -s 1m -t vmdk:fixed t.vmdk
cp t.vmdk before-t
ok 'open for writing' vd-io t.vmdk 'expect 0 1M 0' flush
ok 'not touched' cmp t.vmdk before-t
ok 'write' vd-io t.vmdk 'write 0 1M 4'
is 'has a new name' "$(diff before-t t.vmdk | sed -n 's/^> \(.*\)=.*/\1/p')" \
	"CID
ddb.longContentID 
ddb.uuid.modification "
is 'as long as before' "$(stat -c %s t.vmdk)" "$(stat -c %s before-t)"

# Change tracking: read as if it were not there, off from the first write on.
ok 'change tracking' vmdk-craft k.vmdk 0,new version=3 \
	'line=changeTrackPath="k-ctk.vmdk"'
printf 3 | dd of=k.vmdk bs=1 seek=542 conv=notrunc 2>/dev/null
is 'in version 3' "$(text k.vmdk | sed -n 2p)" version=3
cp k.vmdk before-k
ok 'opened' vd-io k.vmdk 'expect 0 64k 0x40' flush
ok 'and not touched' cmp k.vmdk before-k
ok 'probe says what a write does' sh -c \
	'vdisk-probe k.vmdk | grep "first write turns it off"'
ok 'written' vd-io k.vmdk 'write 0 1 1'
is 'is version 1' "$(text k.vmdk | sed -n 2p)" version=1
is 'and tracked no more' "$(text k.vmdk | grep Track)" \
	'#hangeTrackPath="k-ctk.vmdk"'
done_testing
