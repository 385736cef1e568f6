#!/bin/sh
# Undo images and those of version 0 are read, and never written.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1

old() {
	name=$1
	shift
	ok "$name: made" vdi-craft x.vdi size=3670016 "$@" 2,free,0,zero
	cp x.vdi before
	ok "$name: known" vdisk-probe x.vdi
	says "$name: as one that is not written" 'not opened for writing'
	ok "$name: read" vd-io -r x.vdi 'expect 0 1M 0x40' 'expect 1M 1M 0' \
		'expect 2M 1M 0x42' 'expect 3M 512k 0'
	fails_with "$name: not written" 'can only be read' vd-io x.vdi 'write 0 1 1'
	ok "$name: untouched" cmp x.vdi before
	is "$name: its UUID is told" \
		"$(vdiskadm info x.vdi | grep -c 00c0ffee)" 1
}
old 'undo' type=3
old 'version 0' version=2
old 'version 0, another map' version=2 blocks=9
done_testing
