#!/bin/sh
# verify knows each flaw a delta can have and is silent on healthy ones; repair mends
# what is no guess, and the disk reads as before.
. "${srcdir:-.}/t/lib/tap.sh"
need perl
cd "$tmp" || exit 1

# patch FILE SLOT(0 1 2=both) OFFSET BYTES-IN-HEX: with the right checksum.
cat >patch.pl <<'P'
use integer;
my ($file, $slot, $off, $hex) = @ARGV;
open my $f, '+<', $file or die;
binmode $f;
for my $n (0, 1) {
	next if $slot != 2 && $slot != $n;
	seek $f, 8192 * $n, 0;
	read $f, my $s, 8192;
	next if substr($s, 0, 7) ne 'vdDELTA';
	substr($s, $off, length($hex) / 2) = pack 'H*', $hex;
	my $h = 0xcbf29ce4 << 32 | 0x84222325;
	$h = ($h ^ $_) * (1 << 40 | 0x1b3) for unpack 'C8184', $s;
	substr($s, 8184, 8) = pack 'Q<', $h;
	seek $f, 8192 * $n, 0;
	print $f $s;
}
P

# 10 MiB and a half unit: 161 bits, the last word is not full.
vdiskadm create -s 10272k base.raw && vd-io base.raw 'fill 0 end 1' &&
	vdiskadm create -p base.raw good.delta || exit 1
ok 'a new one is sound' vdiskadm verify good.delta
is 'without a word' "$(cat .out)" ''
vd-io good.delta 'fill 0 1M 2' 'zero 3M 1M' 'fill 10000k 272k 3' 'discard 0 64k'
vd-io good.delta 'write 5M 1 1' flush die
ok 'one whose writer died is, too' vdiskadm verify good.delta
says 'but told' 'delta-unclean'
vd-io good.delta 'write 5M 1 1'
ok 'a used one is sound' vdiskadm verify good.delta
is 'without a word' "$(cat .out)" ''
want=$(content_of good.delta)

# flawed CODE EXIT COMMAND: what verify says of good.delta after COMMAND.
flawed() {
	code=$1 rc=$2
	shift 2
	cp good.delta x.delta
	"$@" || exit 1
	exits "$code: verify" "$rc" vdiskadm verify x.delta
	says "$code: by its name" "$code"
}
# mended: repair makes it silent, and nothing reads otherwise; nothing is lost.
mended() {
	cp x.delta was.delta
	ok "$code: repair --plan" sh -c 'vdiskadm repair --plan x.delta; cmp x.delta was.delta'
	ok "$code: repair" vdiskadm repair x.delta
	ok "$code: is sound" vdiskadm verify x.delta
	is "$code: without a word" "$(cat .out)" ''
	is "$code: reads the same" "$(content_of x.delta)" "$want"
	rm -f x.delta.undo*
}
put() { printf "$2" | dd of=x.delta bs=1 seek="$1" conv=notrunc 2>/dev/null; }

new=$(perl -e 'open F, "good.delta"; read F, $h, 16384;
	print unpack("Q<", substr $h, 16, 8) > unpack("Q<", substr $h, 8208, 8) ? 0 : 1')
old=$((1 - new))
flawed delta-slot-torn 0 put $((8192 * old + 4000)) XXXX
mended
flawed delta-header 1 sh -c "printf X | dd of=x.delta bs=1 seek=300 conv=notrunc &&
	printf X | dd of=x.delta bs=1 seek=8500 conv=notrunc" 2>/dev/null
flawed delta-slots-differ 1 perl patch.pl x.delta $old 48 ffff
flawed delta-version 1 perl patch.pl x.delta 2 8 09
flawed delta-unit 1 perl patch.pl x.delta 2 12 01100000
flawed delta-unit 1 perl patch.pl x.delta 2 12 00000000
flawed delta-size 1 perl patch.pl x.delta 2 24 01
flawed delta-size 1 perl patch.pl x.delta 2 24 ffffffffffffffff
flawed delta-data-offset 1 perl patch.pl x.delta 2 32 00000000
flawed delta-data-offset 1 perl patch.pl x.delta 2 32 0000000000000040
flawed delta-parent-missing 1 perl patch.pl x.delta 2 232 00
flawed delta-unclean 0 perl patch.pl x.delta 2 40 01
flawed delta-bit-beyond 0 put $((65536 + 16 + 7)) '\377'
mended
# Unit 40 is not here.
flawed delta-unused 0 put $((131072 + 40 * 65536 + 5)) leak
mended
flawed delta-unused 0 put $((131072 + 40 * 65536 + 5)) leak
perl patch.pl x.delta 2 40 01
cp x.delta was.delta
vdiskadm repair x.delta >/dev/null 2>&1
ok 'what a dead writer may still want is left' cmp x.delta was.delta
flawed delta-tail 0 truncate -s 20M x.delta
mended
truncate -s 9000 x.delta
exits 'a stump' 1 vdiskadm verify x.delta

# In a chain of other formats, too.
vdiskadm create -p good.delta top.vmdk
ok 'a chain with a delta in it is looked at' vdiskadm verify top.vmdk
put 0 x
cp good.delta keep
cp x.delta good.delta
fails_with 'and found wanting' 'good.delta\|parent' vdiskadm verify top.vmdk
done_testing
