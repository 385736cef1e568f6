#!/bin/sh
# Each injected damage of a raw delta is found under its code at its byte, and
# mended to the content that it had; and that can be taken back.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/damage.sh"
need perl vd-kill
ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
cd "$tmp" || exit 1

# 20 MiB and 64 KiB in units of 64 KiB: 321 bits from 65536 on, data from 131072 on.  Of
# the header slots the second one is in use when it was closed.
mkdir w
vdiskadm create -s 21037056 -t raw w/x.raw
vd-io -f raw w/x.raw 'fill 0 20M 5' 'fill 20M 64k 6' flush
vdiskadm create -p w/x.raw w/x.delta
vd-io w/x.delta 'fill 1M 256k 1' 'zero 4M 1M' 'fill 9M 64k 2' flush
d_image() {
	echo w/x.delta
}
pristine delta
d() {
	damage delta "$@"
}
in_use=$(od -An -tu8 -j16 -N8 w/x.delta | tr -d ' ')
other=$(od -An -tu8 -j8208 -N8 w/x.delta | tr -d ' ')
use=0
[ "$in_use" -gt "$other" ] || use=8192
rest=$((8192 - use))
hex() {
	printf '0x%x' $(($1))
}
d 'the first bytes lost' delta-magic 0x0 1 same 0=58585858
d 'the slot in use torn' delta-slot-torn "$(hex $use)" 0 same $((use + 5000))=11
d 'the other slot torn' delta-slot-torn "$(hex $rest)" 0 same $((rest + 5000))=11
d 'both torn' delta-header "$(hex $use+8184)" 1 same \
	$((use + 5000))=11 $((rest + 5000))=11
d 'both sums lost' delta-header "$(hex $use+8184)" 1 same \
	8184=0000000000000000 16376=0000000000000000
d 'bits behind the end' delta-bit-beyond 0x10028 0 same 65576=02
d 'room under clear bits' delta-unused 0x2b0000 0 same 2818048=$(printf '%08192d' 1)
d 'a tail' delta-tail 0x1430000 0 same size=21299200
d 'both without magic and sum' delta-header '0x[0-9a-f]*' 1 none \
	0=$(printf '%032768d' 0)

# Fields under a sum that is right: what a program with a bug would leave.
field() {
	perl -e '
		my ($file, $at, $hex) = @ARGV;
		open my $f, "+<", $file or die; binmode $f; read $f, my $b, 16384;
		for my $slot (0, 8192) {
			substr($b, $slot + $at, length($hex) / 2) = pack "H*", $hex;
			use integer; my $h = 0xcbf29ce484222325;
			$h = ($h ^ ord substr $b, $slot + $_, 1) * 0x100000001b3
				for 0 .. 8183;
			substr($b, $slot + 8184, 8) = pack "q<", $h;
		}
		seek $f, 0, 0; print $f $b; close $f or die' "$@"
}
fields() {
	what=$1 code=$2 at=$3 status=$4 want=$5 hex=$6
	rm -rf keep
	cp -a pristine-delta keep
	field pristine-delta/x.delta "$at" "$hex"
	damage delta "$what" "$code" '0x[0-9a-f]*' "$status" "$want" 7=1a
	rm -rf pristine-delta
	mv keep pristine-delta
}
fields 'no id' delta-id 48 1 same 00000000000000000000000000000000
fields 'no content id' delta-content-id 64 1 same \
	00000000000000000000000000000000
fields 'not closed' delta-unclean 40 0 same 01000000
fields 'data where none can be' delta-data-offset 32 1 same 0102000000000000
fields 'data in the bitmap' delta-data-offset 32 1 same 0000010000000000
fields 'no unit' delta-unit 12 1 none 00000000
fields 'half a sector' delta-size 24 1 none ff00000000000000
fields 'no parent' delta-parent-missing 232 1 none 00
fields 'the same number twice' delta-sequence 16 0 same 0400000000000000
fields 'in the wrong slot' delta-slot-place 16 0 same 0500000000000000

damage_killed delta 'both torn' same $((use + 5000))=11 $((rest + 5000))=11
damage_killed delta 'a lost beginning, and a tail' same 0=58585858 \
	size=21299200
damage_killed delta 'room to give back' same 2818048=$(printf '%08192d' 1)
done_testing
