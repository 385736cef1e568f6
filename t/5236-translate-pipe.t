#!/bin/sh
# translate reads from a pipe, and what gzip has been over, within bounds.
. "${srcdir:-.}/t/lib/tap.sh"
need gzip
mkdir "$tmp/d" && cd "$tmp/d" || exit 1

vdiskadm create -s 9438208 in.vmdk
vd-io in.vmdk 'fill 0 1536 7' 'fill 1048064 1024 9' 'fill 4M 3M 3' \
	'fill 9437696 512 5' flush || exit 1
want=$(content_of in.vmdk)
vdiskadm translate -I in.vmdk -x raw -d in.raw
vdiskadm translate -I in.vmdk -x vdi -d in.vdi
vdiskadm translate -I in.vmdk -x vmdk:streamOptimized -d in.s.vmdk
TMPDIR=$tmp
export TMPDIR

for f in in.vmdk in.vdi in.s.vmdk; do
	for to in raw vmdk vdi vmdk:streamOptimized; do
		ok "$f to $to" sh -c \
			"cat $f | vdiskadm translate -I - -x $to -d o.${to%:*}"
		is 'the same disk' "$(content_of o.${to%:*})" "$want"
		rm -f o.*
	done
	ok "$f from a pipe into a pipe" sh -c \
		"cat $f | vdiskadm translate -I - -x raw -d - | cmp - in.raw"
done
ok 'raw, when it is said' sh -c \
	'cat in.raw | vdiskadm translate -i raw -I - -x vdi -d r.vdi'
is 'the same disk' "$(content_of r.vdi)" "$want"
ls -A >../before
fails_with 'and not otherwise' 'say -i raw' sh -c \
	'cat in.raw | vdiskadm translate -I - -x vdi -d o.vdi'
fails_with 'nothing at all' . sh -c ': | vdiskadm translate -I - -x vdi -d o.vdi'
fails_with 'half a stream' 'cut short' sh -c \
	'head -c 300000 in.s.vmdk | vdiskadm translate -I - -x vdi -d o.vdi'
fails_with 'a descriptor without its parts' 'must be one file' sh -c \
	'printf "version=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 8 FLAT \"in.raw\" 0\n" |
	vdiskadm translate -I - -x vdi -d o.vdi'
fails_with 'no descriptor reaches our own files' 'must be one file' sh -c \
	'printf "version=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 8 FLAT \"4\" 0\n" |
	vdiskadm translate -I - -x vdi -d o.vdi 4<in.raw'
ls -A >../after
ok 'none of these left anything' cmp ../before ../after

# gzip, as OVF has it.
for f in in.vmdk in.s.vmdk; do
	gzip -c $f >$f.gz
	for to in raw vdi vmdk:streamOptimized; do
		ok "$f in gzip to $to" vdiskadm translate -I $f.gz -x $to \
			-d o.${to%:*}
		is 'the same disk' "$(content_of o.${to%:*})" "$want"
		rm -f o.*
	done
	ok "$f in gzip from a pipe into a pipe" sh -c \
		"cat $f.gz | vdiskadm translate -I - -x raw -d - | cmp - in.raw"
done
ok 'in two members, with padding' sh -c '{ head -c 100000 in.vmdk | gzip -c
	tail -c +100001 in.vmdk | gzip -c; head -c 999 /dev/zero; } >two.vmdk.gz'
ok 'is one image' vdiskadm translate -I two.vmdk.gz -x raw -d o.raw
ok 'byte for byte' cmp o.raw in.raw
rm o.raw
ok 'raw that gzip has been over is a raw disk to who says so' sh -c \
	'gzip -nc in.raw >z.raw.gz && vdiskadm translate -i raw -I z.raw.gz -x raw \
	-d o.raw && cmp -n $(stat -c %s z.raw.gz) o.raw z.raw.gz && rm o.raw'

ls -A >../before
head -c 5000 in.vmdk.gz >cut.vmdk.gz
{ head -c 3000 in.vmdk.gz; printf 'rubbish!'; tail -c +3009 in.vmdk.gz; } >bad.vmdk.gz
gzip -nc in.raw >raw.vmdk.gz
# A disk of 1 MiB, says its header; then come 300 MiB.
vdiskadm create -s 1m small.vmdk
{ cat small.vmdk; head -c 300000000 /dev/zero | tr '\0' x; } | gzip -c >bomb.vmdk.gz
rm small.vmdk
ls -A >../before
fails_with 'cut short' 'cut short' vdiskadm translate -I cut.vmdk.gz -x raw -d o.raw
fails_with 'damaged' 'damaged\|checksum' vdiskadm translate -I bad.vmdk.gz -x raw -d o.raw
fails_with 'not an image' 'not one image' vdiskadm translate -I raw.vmdk.gz -x raw -d o.raw
# No file may grow beyond 100 MiB: it is refused before.
fails_with 'a bomb' 'more than a disk of its size' sh -c \
	'ulimit -f 200000; exec vdiskadm translate -I bomb.vmdk.gz -x raw -d o.raw'
fails_with 'a bomb from a pipe' 'more than a disk of its size' sh -c \
	'ulimit -f 200000; cat bomb.vmdk.gz | vdiskadm translate -I - -x raw -d o.raw'
ls -A >../after
ok 'none of these left anything' cmp ../before ../after
done_testing
