#!/bin/sh
# A disk grows and shrinks in place, and other programs read what comes out.
. "${srcdir:-.}/t/lib/tap.sh"
need qemu-img qemu-io
cd "$tmp" || exit 1

figures() { vdi-craft -s "$1" | sed -n '/^count/p;/^map/p' | tr '\n' ' '; }
io() {
	img=$1
	shift
	timeout 60 qemu-io -f vdi -r "$img" "$@" >qio.out 2>&1 &&
		! grep -q -e failed -e Pattern qio.out
}

# Their map ends where their data begins: blocks have to make room.
ok 'QEMU makes a disk' qemu-img create -q -f vdi q.vdi 8M
ok 'full of data' vd-io q.vdi 'fill 0 end 42'
ok 'it becomes a tebibyte' vdiskadm resize q.vdi 1T
ok 'QEMU finds no error' qemu-img check -q q.vdi
ok 'nor do we' vdiskadm verify q.vdi
ok 'all of it is there' vd-io -r q.vdi 'verify 0 8M 42' 'expect 8M 8M 0'
ok 'and the end is zeros for QEMU, too' io q.vdi -c 'read -P 0 8M 1M' \
	-c 'read -P 0 1023G 1M'
ok 'which can be written' vd-io q.vdi 'write 1023G 1M 7'
fails_with 'back it goes only when asked' 'shrink' vdiskadm resize q.vdi 8M
fails_with 'twice, for there is data' 'shrink' vdiskadm resize --shrink q.vdi 8M
ok 'twice' vdiskadm resize --shrink --shrink q.vdi 8M
is 'to eight blocks' "$(figures q.vdi | wc -w)" 11
ok 'as they were' vd-io -r q.vdi 'verify 0 end 42'
ok 'QEMU still finds no error' qemu-img check -q q.vdi
ok 'made longer' vdiskadm resize q.vdi 1T
ok 'it shows nothing of what was cut off' vd-io -r q.vdi 'expect 1023G 1M 0'

ok 'a fixed one' vdiskadm create -s 3M -t vdi:fixed f.vdi
ok 'grows' vdiskadm resize f.vdi 7M
is 'with all its blocks' "$(figures f.vdi)" 'count 7 map 0 1 2 3 4 5 6 '
ok 'and their room' test "$(du -k f.vdi | cut -f1)" -ge 7168
ok 'QEMU checks it' qemu-img check -q f.vdi

ok 'a disk that ends inside a block' vdi-craft h.vdi size=3M block=2M 0,1
ok 'longer' vdiskadm resize h.vdi 9M
ok 'does not show what was behind the end' vd-io -r h.vdi 'expect 2M 1M 0x41' \
	'expect 3M 6M 0'

ok 'a base' vdi-craft base.vdi create=0xba5e size=4M 0,1,2,3
ok 'and its child' vdi-craft c.vdi type=4 link=0xba5e free,0
ok 'the child grows' vdiskadm resize c.vdi 6M
ok 'alone' vd-io c.vdi 'expect 0 1M 0x40' 'expect 2M 1M 0x42' 'expect 4M 2M 0' \
	'write 5M 1 9'
ok 'opened again' vd-io -r c.vdi 'expect 3M 1M 0x43' 'expect 5M 1 9'
done_testing
