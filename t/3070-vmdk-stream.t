#!/bin/sh
# Compressed grains are read, however the writer has told where they are.
. "${srcdir:-.}/t/lib/tap.sh"
need gzip
need perl
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

# 70 MiB and a bit, three tables, the middle one empty; grains of every kind.
truncate -s 73465856 raw
vd-io -f raw raw 'fill 0 1M 1' 'write 1M 1M 2' 'fill 2000000 70000 3' \
	'fill 67108864 200000 4' 'fill 73400320 65536 5' flush || exit 1
same() {
	vd-io -r "$1" 'verify 0 1M 1' 'expect 1M 900k 2' 'verify 2000000 70000 3' \
		'expect 4M 60M 0' 'verify 67108864 200000 4' \
		'verify 73400320 65536 5' 'verify 777777 3 1' || return
	vd-io -r raw hash >h1 && vd-io -r "$1" hash >h2 && cmp h1 h2
}
for end in footer eos gd front bare; do
	ok "$end: made" vmdk-pack -e $end raw s.vmdk
	ok "$end: the same disk" same s.vmdk
done
for how in '-l 1' '-l 9' '-l 12' '-l 0' -s '-v 1' '-v 2' '-g 8' '-g 1024' \
	'-g 1' '-f 0x30003' '-f 0x30103' '-e bare -n -f 0x10001'; do
	ok "$how: made" vmdk-pack $how raw s.vmdk
	ok "$how: the same disk" same s.vmdk
done
ok 'probe knows it' sh -c 'vdisk-probe s.vmdk | grep streamOptimized'
fails_with 'it is not written to' 'streamOptimized images can only be read' \
	vd-io s.vmdk 'write 0 1 1'
cp s.vmdk before
ok 'nor changed by a reader' sh -c 'vd-io -r s.vmdk "expect 4M 1 0" &&
	cmp s.vmdk before'

# An odd end: the disk's last grain is not whole.
truncate -s 73401344 raw
vd-io -f raw raw 'fill 73400832 512 6' || exit 1
for how in '-e footer' '-e footer -s' '-e eos -s' '-e front -s'; do
	ok "$how: an odd size" vmdk-pack $how raw s.vmdk
	ok "$how: its last sectors" vd-io -r s.vmdk 'verify 73400832 512 6' \
		'verify 73400320 512 5'
	is "$how: its size" "$(vd-io -r s.vmdk size)" 73401344
done

# What is not there must not look like zeros.
fails_with 'no end marker, no directory: cut short' 'without an end marker' \
	sh -c 'vmdk-pack -e cut raw s.vmdk; vd-io -r s.vmdk size'
ok 'a footer' vmdk-pack raw s.vmdk
size=$(stat -c %s s.vmdk)
truncate -s $((size - 512)) s.vmdk
ok 'without its end marker is done without' vd-io -r s.vmdk 'verify 0 1M 1' \
	'verify 73400832 512 6'
truncate -s $((size / 2 / 512 * 512)) s.vmdk
fails_with 'half of it is refused' 'cut short' vd-io -r s.vmdk size
# spoil NAME PATTERN OFFSET BYTES: in grain 0, whose marker is at 64 KiB.
spoil() {
	vmdk-pack -l 6 raw s.vmdk
	printf "$4" | dd of=s.vmdk bs=1 seek=$3 conv=notrunc 2>/dev/null
	fails_with "$1" "compressed grain 0 .*$2.*byte 0x10000" \
		vd-io -r s.vmdk 'expect 0 1 0'
	ok "$1: other grains are read" vd-io -r s.vmdk 'expect 1M 900k 2'
}
spoil 'damaged data' 'damaged' 65700 '\377\377\377\377'
spoil 'another marker' 'another marker' 65544 '\0\0\0\0\1'
spoil 'a wrong place' 'names another' 65536 '\200'
spoil 'a wild length' 'twice its size' 65544 '\377\377\377\177'
spoil 'no zlib' 'does not inflate' 65548 '\0\0'
ok 'too much data' vmdk-pack -g 128 raw big.vmdk
# The size of a grain, as the header and the footer have it: 128 becomes 64.
for at in 20 $(($(stat -c %s big.vmdk) - 1024 + 20)); do
	printf '\100' | dd of=big.vmdk bs=1 seek=$at conv=notrunc 2>/dev/null
done
fails_with 'is not let out of its grain' 'more than a grain\|no grain\|twice' \
	vd-io -r big.vmdk 'expect 0 1 0' 
ok 'a table that lies' vmdk-pack -e front raw s.vmdk
printf '\377\377\377\177' | dd of=s.vmdk bs=512 seek=3 conv=notrunc 2>/dev/null
fails_with 'is not followed' 'past the end' vd-io -r s.vmdk 'expect 0 1 0'
ok 'a marker of another grain' vmdk-pack -w -e eos raw s.vmdk
fails_with 'in a scan: twice' 'comes twice' vd-io -r s.vmdk size
ok 'markers that are none' vmdk-pack -e eos raw s.vmdk
printf '\11\0\0\0\0\0\0\0\0\0\0\0\11' | dd of=s.vmdk bs=512 seek=128 conv=notrunc \
	2>/dev/null
fails_with 'are refused' 'neither a grain nor a marker' vd-io -r s.vmdk size
ok 'a header that disagrees with its footer' vmdk-pack raw s.vmdk
printf '\11' | dd of=s.vmdk bs=1 seek=12 conv=notrunc 2>/dev/null
fails_with 'is refused' 'different disks\|disagree\|one of them' \
	vd-io -r s.vmdk size

# Without markers there may be a length before the data, and it may look like data:
# 8312 is 78 20.
truncate -s 4096 small
ok 'no markers' sh -c 'vd-io -f raw small "write 0 4096 90" flush &&
	vmdk-pack -e bare -n -f 0x10001 -g 8 small s.vmdk'
perl -e 'open my $f, "+<", "s.vmdk" or die; binmode $f;
	my ($a, $b, $d) = (1, 0, chr(90) x 4096);
	$b += $a += 90 for 1 .. 4096;
	seek $f, 65536, 0;
	print $f pack("V", 8312), "\x78\x01", pack("Cvv", 0, 0, 65535) x 841,
		pack("Cvv", 1, 4096, 65535 - 4096), $d,
		pack("nn", $b % 65521, $a % 65521) or die'
ok 'a length that looks like data' vd-io -r s.vmdk 'expect 0 4096 90'
ok 'and is sound' vdiskadm verify s.vmdk

# OVF packages may hold them packed once more.
ok 'packed by gzip' sh -c 'vmdk-pack raw d.vmdk && gzip -k d.vmdk &&
	cp d.vmdk.gz other.vmdk && gzip -nc d.vmdk >plain.gz && cp d.vmdk.gz what'
for f in d.vmdk.gz other.vmdk what; do
	ok "$f: known" sh -c "vdisk-probe $f | grep gzip"
	fails_with "$f: refused, with the way out" 'vdiskadm translate -I' \
		vd-io -r $f 'expect 0 1 0'
done
ok 'somebody else may have gzip for himself' sh -c \
	'vdisk-probe --json plain.gz | grep "\"raw\""'
done_testing
