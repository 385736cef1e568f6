#!/bin/sh
# Extents of every kind and right: what may be written is, the rest is kept.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

# text TYPE LINES...: a descriptor on stdout.
text() {
	printf '# Disk DescriptorFile\nversion=1\nCID=1234abcd\n'
	printf 'parentCID=ffffffff\ncreateType="%s"\n' "$1"
	shift
	printf '%s\n' "$@"
}

# One of each: flat, zero, sparse, read-only flat, read-only sparse, compressed.
truncate -s 1M flat.vmdk ro.vmdk
vd-io -f raw ro.vmdk 'fill 0 1M 1' || exit 1
ok 'sparse parts' sh -c 'vmdk-craft s.vmdk desc=0 descsize=0 0,new &&
	vmdk-craft r.vmdk desc=0 descsize=0 1,new 2,0'
ok 'a compressed part' vmdk-pack ro.vmdk z.vmdk
text custom 'RW 1024 FLAT "flat.vmdk" 1024' 'RW 2048 ZERO' \
	'RW 16384 SPARSE "s.vmdk"' 'RDONLY 1024 FLAT "ro.vmdk" 1024' \
	'RDONLY 16384 SPARSE "r.vmdk"' 'RDONLY 2048 SPARSE "z.vmdk"' \
	'RW 1024 FLAT "flat.vmdk" 0' 'NOACCESS 8 FLAT "gone.vmdk" 0' >c.vmdk
is 'one disk' "$(vd-io -r c.vmdk size)" $(((1024 + 2048 + 16384 + 1024 + 16384 +
	2048 + 1024 + 8) * 512))
at() { echo "$(($1 * 512))"; }
sparse=$(at 3072) flat=$(at 19456) frozen=$(at 20480) packed=$(at 36864)
second=$(at 38912) none=$(at 39936)
cp ro.vmdk ro.before
cp r.vmdk r.before
cp z.vmdk z.before
check() {
	vd-io $1 c.vmdk "expect 512k 1M 0" "expect $sparse 64k 0x40" \
		"expect $((frozen + 65536)) 64k 0x41" \
		"expect $((frozen + 131072)) 1M 0" \
		"expect $((packed - 1024)) 1024 0"
}
ok 'read' check -r
ok 'and opened for writing' check ''
vd-io -r c.vmdk "dump $flat 512k" >a && tail -c 524288 ro.vmdk >b
ok 'a read-only part has its bytes' cmp a b
vd-io c.vmdk "dump $flat 512k" >a
ok 'also where the disk is writable' cmp a b
vd-io -r c.vmdk "dump $packed 1M" >a
ok 'so has the compressed one' cmp a ro.vmdk
ok 'what may be written is' vd-io c.vmdk 'write 0 512k 1' \
	"write $((sparse + 60000)) 10000 2" "write $second 512k 3" flush
ok 'each in its place' vd-io -r c.vmdk 'expect 0 512k 1' 'expect 512k 1M 0' \
	"expect $((sparse + 60000)) 10000 2" "expect $second 512k 3"
is 'two ends of one file' "$(od -An -tx1 -j524287 -N2 flat.vmdk)" ' 03 01'
for where in 524288 $flat $((frozen + 65536)) $((frozen + 131072)) $packed; do
	fails_with "no write at $where" 'only be read\|read-only' \
		vd-io c.vmdk "write $where 512 9"
done
ok 'the files are as they were' sh -c 'cmp ro.vmdk ro.before &&
	cmp r.vmdk r.before && cmp z.vmdk z.before'
fails_with 'no access: the file is not even looked for' 'NOACCESS' \
	vd-io -r c.vmdk "expect $none 1 0"
fails_with 'nor written' 'NOACCESS' vd-io c.vmdk "write $none 1 0"
fails_with 'a run into it says so' 'NOACCESS' \
	vd-io -r c.vmdk "expect $((none - 512)) 1k 3"
vd-io c.vmdk "write $((sparse + 4194304)) 64k 7" die
ok 'a death' vd-io -r c.vmdk "expect $((sparse + 4194304)) 64k 7"

text monolithicFlat 'RDONLY 2048 FLAT "ro.vmdk" 0' >ro-all.vmdk
fails_with 'nothing to write to at all' 'can only be read' \
	vd-io ro-all.vmdk 'write 0 1 1'
ok 'is read' vd-io -r ro-all.vmdk 'verify 0 1M 1'
chmod 444 ro.vmdk

# Hundreds of extents, some of them parts of one file.
n=0
while [ $n -lt 700 ]; do
	if [ $((n % 7)) -eq 0 ]; then
		echo "RW $((n % 5 + 1)) ZERO"
	else
		echo "RW $((n % 5 + 1)) FLAT \"many.bin\" $((n * 5))"
	fi
	n=$((n + 1))
done >lines
truncate -s 2M many.bin
{ text custom && cat lines; } >many.vmdk
is 'seven hundred extents' "$(vd-io -r many.vmdk size)" \
	$(awk '{ n += $2 } END { print n * 512 }' lines)
vd-io -f raw many.bin 'fill 0 2M 4' || exit 1
awk '{ if ($3 == "ZERO") system("head -c " $2 * 512 " /dev/zero")
	else system("dd if=many.bin bs=512 status=none skip=" $5 " count=" $2) }' \
	lines >want
vd-io -r many.vmdk 'dump 0 end' >got
ok 'come in their order' cmp got want
fails_with 'zeros cannot be written to' 'only be read' \
	vd-io many.vmdk 'write 0 2M 5'
done_testing
