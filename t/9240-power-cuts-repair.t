#!/bin/sh
# A power cut at any change of a repair: nothing that could be read is lost, a
# second repair ends it, and both can be undone.
. "${srcdir:-.}/t/lib/crash.sh"
. "$srcdir/t/lib/damage.sh"
need perl repair-lab
cd "$tmp" || exit 1
states=$((states / 10))

# damaged KIND IMAGE POKE...: w, from the folder KIND in which all is sound.
damaged() {
	rm -rf w
	cp -a "$1" w
	shift
	(cd w && poke "$@") || exit 1
}

# cuts KIND WHAT IMAGE POKE...; where each change is by itself, without syncs
# nothing is lost either: leaks.
leaks() {
	kind=$1 what="$1: $2" image=$3
	shift 3
	damaged "$kind" "$image" "$@"
	ok "$what: $states power cuts" repair-lab -n "$states" -s "$seed" w \
		"$image" "$kind.raw"
	tail -n 1 "$tmp/.out" | sed 's/^/# /'
}
cuts() {
	leaks "$@"
	shift 3
	damaged "$kind" "$image" "$@"
	exits "$what: were nothing ever synced, it would be seen" 1 \
		repair-lab -x -n 60 -s "$seed" w "$image" "$kind.raw"
}
sound() {
	ok "$1: sound" vdiskadm verify "$1/$2"
	ok "$1: its content" vdiskadm translate -I "$1/$2" -x raw -d "$1.raw"
}
long() {
	printf "%0$1d" 0
}

# Its copy of the table is at 22, the table at 27, grains from 128 on.
mkdir vmdk
vdiskadm create -s 2m vmdk/x.vmdk
vd-io vmdk/x.vmdk 'fill 0 256k 1' 'fill 1M 128k 2' flush
sound vmdk x.vmdk
v() {
	what=$1
	shift
	cuts vmdk "$what" x.vmdk "$@"
}
v 'the header lost' 0=$(long 1024)
v 'the directories outside' 56=ffffff7f 48=ffffff7f
v 'a table of garbage' 13824=$(printf 'f%.0s' $(seq 64)) 72=01
v 'a table lost' 13312=ffffff7f
v 'a table lost in both' 13312=ffffff7f 10752=ffffff7f
v 'grains in one place' 13828=80000000 11268=80000000 13832=80000000 \
	11272=80000000
v 'no text' 512=$(long 20480)
v 'a tail, and not closed' size=900000 72=01

# Compressed: grains from 128 on.
mkdir stream
ok 'stream: made' vdiskadm translate -I vmdk/x.vmdk -x vmdk:streamOptimized \
	-d stream/x.vmdk
sound stream x.vmdk
n=$(stat -c %s stream/x.vmdk)
cuts stream 'no footer' x.vmdk $((n - 1536))=$(long 3072)
cuts stream 'a marker, and no end' x.vmdk size=$((n - 512)) \
	65536=ffffffffffffffffffffffff
cuts stream 'a lost grain' x.vmdk 65536=$(long 1000)

# The map is at 1 MiB: blocks 0 to 3, 16 and 25 in places 0 to 5.
mkdir vdi
vdiskadm create -s 2m -u 64k vdi/x.vdi
vd-io vdi/x.vdi 'fill 0 256k 1' 'fill 1M 64k 2' 'fill 1600k 64k 3' flush
sound vdi x.vdi
cuts vdi 'blocks in one place' x.vdi 1048640=00000000 1048676=00000000
cuts vdi 'a place that no block has, one past the end' x.vdi \
	1048640=21000000 1048676=1f000000
cuts vdi 'a gap, and a count that is too high' x.vdi 1048580=ffffffff 388=0c
cuts vdi 'a head of nonsense' x.vdi 76=09 376=00000000
cuts vdi 'a count that is too low, and a tail' x.vdi 388=00 size=2600000

# Units of 64 KiB: bits from 65536 on, data from 131072 on.
mkdir delta
vdiskadm create -s 2129920 -t raw delta/base.raw
vd-io -f raw delta/base.raw 'fill 0 1M 5' flush
vdiskadm create -p delta/base.raw delta/x.delta
vd-io delta/x.delta 'fill 1M 256k 1' 'zero 1536k 128k' 'fill 1792k 64k 2' flush
sound delta x.delta
cuts delta 'the first bytes lost' x.delta 0=58585858
cuts delta 'both slots torn' x.delta 5000=11 13192=11
leaks delta 'bits behind the end, room of nobody, a tail' x.delta 65540=02 \
	458752=$(long 8192) size=2400000
done_testing
