#!/bin/sh
# Tables that an interrupted update left unequal are made equal by the next writer (W4).
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

field() { vmdk-craft -s "$2" | sed -n "s/^$1 //p"; }

ok 'grain 3 in the primary table only' vmdk-craft a.vmdk unclean=1 0,new \
	3,new,0
is 'they differ' "$(field copies a.vmdk)" differ
ok 'a reader believes the primary' vd-io -r a.vmdk 'expect 192k 64k 0x43'
ok 'a write elsewhere' vd-io a.vmdk 'write 0 1 1' flush 'expect 192k 64k 0x43'
is 'makes them equal' "$(field copies a.vmdk)" equal
is 'with what the primary had' "$(field map a.vmdk)" '0:128 3:256'
is 'closed' "$(field unclean a.vmdk)" 0

ok 'grain 3 in the redundant table only' vmdk-craft b.vmdk unclean=1 0,new \
	3,0,0x180 len=262144
ok 'nobody was promised it' vd-io -r b.vmdk 'expect 192k 64k 0'
ok 'a write elsewhere' vd-io b.vmdk 'write 1M 64k 1' flush
is 'forgets it' "$(field copies b.vmdk) $(field map b.vmdk)" \
	'equal 0:128 16:512'

ok 'several tables' vmdk-craft c.vmdk size=200 unclean=1 0,new 600,new,0 \
	1500,new,0
ok 'are seen to' vd-io c.vmdk 'write 1M 1 1' 'expect 39321600 64k 0x98' flush
is 'all of them' "$(field copies c.vmdk)" equal

# Killed in the act: whatever the file says, the next writer gets it right.
ok 'make an image' vdiskadm create -s 64m d.vmdk
for n in 1 2 3 4; do
	vd-io d.vmdk "write ${n}M 2M $n" flush "write 4${n}M 1M $n" die
done
ok 'four deaths later' vd-io d.vmdk 'expect 1M 1M 1' 'expect 2M 1M 2' \
	'expect 3M 1M 3' 'expect 4M 2M 4' 'expect 41M 1M 1' 'expect 44M 1M 4' \
	'write 0 1 1' flush
is 'both tables agree' "$(field copies d.vmdk)" equal
is 'and it is closed' "$(field unclean d.vmdk)" 0
done_testing
