#!/bin/sh
# The guest's verifier is right about a good disk, and finds each kind of damage.
. "${srcdir:-.}/t/lib/tap.sh"
need gcc dd

ok 'it builds, static' gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static \
	-o "$tmp/diskverify" "$srcdir/t/xen/diskverify.c" || done_testing
dv="$tmp/diskverify"
disk=$tmp/disk
truncate -s 24M "$disk"

# Sector 0 and the last one are drawn often: surely written after 400.
ok 'a run over a blank disk' "$dv" -b -s 5 -n 400 "$disk"
says 'it says what it did' 'seed=5 ops=400 sectors=49152 .* wrong=0 failed=0'
ok 'another process finds the same' "$dv" -b -c -s 5 -n 400 "$disk"
exits 'one operation fewer is another content' 1 "$dv" -c -s 5 -n 300 "$disk"
says 'stale or new data is told by its number' 'expected, found operation [0-9]'
exits 'so is another seed' 1 "$dv" -c -s 6 -n 400 "$disk"
says 'and named' 'found one of seed 5'

cp "$disk" "$tmp/good"
damage() {
	cp "$tmp/good" "$disk"
	dd of="$disk" conv=notrunc status=none "$@"
}

damage if=/dev/zero bs=1 seek=300 count=1
exits 'one byte in a sector' 1 "$dv" -c -s 5 -n 400 "$disk"
says 'is a torn sector' 'sector 0 (byte 0): .*found a torn sector'
says 'and only that one is wrong' 'wrong=1 '

damage if=/dev/zero bs=512 seek=49151 count=1
exits 'a lost last sector' 1 "$dv" -c -s 5 -n 400 "$disk"
says 'reads as zeroes' 'sector 49151 .*found zeroes'

damage if="$tmp/good" bs=512 skip=49151 count=1
exits 'a misplaced sector' 1 "$dv" -c -s 5 -n 400 "$disk"
says 'is called by its name' 'sector 0 .*found sector 49151'

# Few operations leave most of the disk blank.
truncate -s 0 "$disk"
truncate -s 24M "$disk"
ok 'a short run' "$dv" -b -n 10 -f 0 "$disk"
cp "$disk" "$tmp/good"
blank=$(cmp -s /dev/zero "$disk"; od -An -v -tx8 -w512 "$disk" |
	awk '{ s = 0; for (i = 1; i <= NF; i++) if ($i !~ /^0+$/) s = 1
	       if (!s) { print NR - 1; exit } }')
damage if="$dv" bs=512 seek="$blank" count=1
exits 'foreign bytes where nothing was written' 1 "$dv" -b -c -n 10 -f 0 "$disk"
says 'are foreign' 'never written, found foreign bytes'
ok 'and not its business without --blank' "$dv" -c -n 10 -f 0 "$disk"

# A write that was never acknowledged may be there, or not, but nothing else.
cp "$tmp/good" "$disk"
last=$("$dv" -n 11 -f 0 -r 0 "$disk" | sed -n 's/.* ops=\([0-9]*\).*/\1/p')
ok 'an unacknowledged write that arrived' "$dv" -c -n 11 -f 0 -r 0 -p "$last" "$disk"
cp "$tmp/good" "$disk"
"$dv" -n 10 -f 0 -r 0 "$disk" >/dev/null
ok 'one that did not' "$dv" -c -n 11 -f 0 -r 0 -p "$last" "$disk"
exits 'one that was acknowledged and did not' 1 "$dv" -c -n 11 -f 0 -r 0 "$disk"

exits 'no disk' 3 "$dv" "$tmp/nothing"
exits 'no arguments' 2 "$dv"
done_testing
