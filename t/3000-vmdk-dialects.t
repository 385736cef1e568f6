#!/bin/sh
# Sparse extents of every legal shape are read, written, and stay whole.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

field() { vmdk-craft -s "$2" | sed -n "s/^$1 //p"; }

# shape NAME KEYS...: grains 0 and 9 have data; write across all kinds of unit.
shape() {
	name=$1
	shift
	ok "$name: made" vmdk-craft a.vmdk "$@" 0,new 9,new
	ok "$name: written" vd-io a.vmdk 'write 1000 1000 1' 'write 1M 3M 2' \
		'write 6M 1 3' 'write 16383s 1s 4' flush
	ok "$name: read again" vd-io -r a.vmdk 'expect 0 1000 0x40' \
		'expect 1000 1000 1' 'expect 2000 48 0x40' 'expect 1M 3M 2' \
		'expect 6M 1 3' 'expect 4M 2M 0' 'expect 7M 64k 0' \
		'expect 16383s 1s 4'
	is "$name: both tables equal" "$(field copies a.vmdk)" equal
	is "$name: closed" "$(field unclean a.vmdk)" 0
}
shape 'the usual'
shape 'grains of 4 KiB'		grain=8
shape 'grains of one MiB'	grain=2048
shape 'tables of 128 entries'	gtes=128 capacity=16384
shape 'header version 2'	version=2 flags=7
shape 'header version 3'	version=3
is 'which is version 1 after a write' "$(od -An -tx1 -j4 -N1 a.vmdk)" ' 01'
shape 'flags nobody knows'	flags=0x103
shape 'no newline test'		flags=2 newline=0

# 8 MiB have one table; without it there is nothing to allocate in.
ok 'a directory entry of 0' vmdk-craft g.vmdk size=96 gde=1,0 rgde=1,0 0,new
ok 'reads as zeros' vd-io -r g.vmdk 'expect 0 64k 0x40' 'expect 32M 32M 0'
ok 'is written to' vd-io g.vmdk 'write 33M 1M 7' 'write 32M 512 8' flush
ok 'and has a table since' vd-io -r g.vmdk 'expect 0 64k 0x40' \
	'expect 33M 1M 7' 'expect 32M 512 8' 'expect 64M 1M 0'
is 'in both directories' "$(field copies g.vmdk)" equal
ok 'once more' vd-io g.vmdk 'write 34M 64k 9' 'expect 33M 1M 7' flush

# 1 in a table: zeros, whether the header has heard of them or not.
ok 'zero grains' vmdk-craft z.vmdk version=2 flags=7 0,new 1,1
ok 'are zeros' vd-io -r z.vmdk 'expect 64k 64k 0'
ok 'until written' vd-io z.vmdk 'write 70000 1 5' 'expect 64k 1k 0' \
	'expect 70000 1 5' flush
ok 'without the flag' vmdk-craft y.vmdk 0,new 1,1
ok 'they are no read of sector 1' vd-io -r y.vmdk 'expect 64k 64k 0'

# A capacity that is rounded up to whole grains: the descriptor is exact.
ok 'header larger by less than a grain' vmdk-craft r.vmdk sectors=16300 0,new
is 'the descriptor counts' "$(vd-io -r r.vmdk size)" 8345600
ok 'its last grain is written' vd-io r.vmdk 'write 16299s 1s 6' flush
ok 'and whole in the file' sh -c \
	'[ $(($(stat -c %s r.vmdk) % 65536)) -eq 0 ]'

# One without a second set of tables.
ok 'no redundant tables' vmdk-craft s.vmdk flags=1 rgd=0 0,new 5,0,0
ok 'are not missed' vd-io s.vmdk 'write 1M 1M 3' flush 'expect 1M 1M 3' \
	'expect 0 64k 0x40'

# Where grains go: to the end, at a multiple of their size.
ok 'a file with an odd end' vmdk-craft o.vmdk 0,new len=131584
ok 'is written' vd-io o.vmdk 'write 1M 1 1' flush
is 'at the next multiple' "$(field map o.vmdk)" '0:128 16:384'
done_testing
