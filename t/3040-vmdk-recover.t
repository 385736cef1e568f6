#!/bin/sh
# What was acknowledged survives the death of the process, flushed or not (W6).
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

field() { vmdk-craft -s "$2" | sed -n "s/^$1 //p"; }

ok 'make an image' vmdk-craft a.vmdk 0,new
vd-io a.vmdk 'write 64k 64k 1' flush 'write 128k 512 2' 'write 4M 128k 3' die
is 'dead: only what was flushed is in the tables' "$(field map a.vmdk)" \
	'0:128 1:256'
is 'and the mark says so' "$(field unclean a.vmdk)" 1
ok 'a reader sees all of it' vd-io -r a.vmdk 'expect 0 64k 0x40' \
	'expect 64k 64k 1' 'expect 128k 512 2' 'expect 4M 128k 3'
is 'and leaves the file alone' "$(field map a.vmdk)" '0:128 1:256'
ok 'a writer goes on from there' vd-io a.vmdk 'expect 4M 128k 3' \
	'write 7M 64k 4' 'expect 128k 512 2'
is 'and puts it into the tables' "$(field map a.vmdk)" \
	'0:128 1:256 2:384 64:512 65:640 112:768'
is 'both of them' "$(field copies a.vmdk)" equal
is 'closed' "$(field unclean a.vmdk)" 0

for n in 1 2 3; do
	vd-io a.vmdk "write 3M 64k $n" flush "write 6M 64k $n" die
done
ok 'the last word counts' vd-io a.vmdk 'expect 3M 64k 3' 'expect 6M 64k 3'
is 'no grain was lost' "$(field map a.vmdk)" \
	'0:128 1:256 2:384 48:896 64:512 65:640 96:1024 112:768'

# A dead process, and then somebody else: QEMU's new CID, or the mark that
# VMware and VirtualBox take away when they close.
stale() {
	fails_with "$1: is not patched with old pointers" 'another program' \
		vd-io b.vmdk 'write 0 1 1'
	fails_with "$1: nor read with them" 'another program' \
		vd-io -r b.vmdk 'expect 1M 1 1'
	ok "$1: the way out works" sh -c 'rm run/*.journal &&
		vd-io b.vmdk "expect 1M 64k 0" "write 0 1 1"'
	rm b.vmdk
}
ok 'another image' vmdk-craft b.vmdk 0,new
vd-io b.vmdk 'write 1M 1 1' die
ok 'that has a new CID' vmdk-craft b.vmdk cid=99999999 unclean=1 0,new
stale 'new CID'
ok 'another image' vmdk-craft b.vmdk 0,new
vd-io b.vmdk 'write 1M 1 1' die
ok 'that was closed by somebody' sh -c 'printf "\0" |
	dd of=b.vmdk bs=1 seek=72 conv=notrunc'
stale 'closed'
done_testing
