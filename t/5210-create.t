#!/bin/sh
# vdiskadm create makes the image that was asked for, or nothing.
. "${srcdir:-.}/t/lib/tap.sh"
mkdir "$tmp/d" && cd "$tmp/d" || exit 1

size_is() { is "$1" "$(vd-io -r "$2" size)" "$3"; }

ok 'vmdk by its name'		vdiskadm create -s 10m a.vmdk
size_is 'has its size' a.vmdk 10485760
ok 'type in capitals'		vdiskadm create -s 1.5M -t VDI b.vdi
size_is 'a decimal size' b.vdi 1572864
ok 'options after the name'	vdiskadm create c.raw -s 1m -s 1k
size_is 'the last size counts' c.raw 1024
ok 'one sector'			vdiskadm create -s 512 d.vmdk
size_is 'is one sector' d.vmdk 512
ok 'an odd number of sectors'	vdiskadm create -s 1049088 e.vdi
size_is 'is kept' e.vdi 1049088
for f in vmdk vdi raw; do
	ok "2 TiB of $f"	vdiskadm create -s 2t big.$f
	size_is "is 2 TiB of $f" big.$f 2199023255552
	ok "and takes little"	test "$(du -k big.$f | cut -f1)" -lt 20000
	rm -f big.$f
	ok "a fixed $f"		vdiskadm create -s 3m -t $f:fixed fixed.$f
	size_is "has its size" fixed.$f 3145728
	used=$(du -ck fixed*.$f | sed -n 's/\t*total$//p')
	ok "and takes all its space ($used KiB)" test "$used" -ge 3072
	ok "reads as zeros" vd-io -r fixed.$f 'expect 0 end 0'
	rm -f fixed*
done
ok 'a comment'			vdiskadm create -s 1m -c 'two words' g.vdi
ok 'is kept'			sh -c 'vdiskadm info g.vdi | grep -q "two words"'

ls -A >../before
for f in vmdk vdi raw; do
	echo keep >there.$f
	exits "does not overwrite $f: 3" 3 vdiskadm create -s 1m there.$f
	is 'and leaves it alone' "$(cat there.$f)" keep
	rm there.$f
done
ln -s nowhere link.vmdk
fails_with 'a dangling link is in the way' 'exists already' \
	vdiskadm create -s 1m link.vmdk
rm link.vmdk
exits 'no such folder: 3' 3 vdiskadm create -s 1m none/x.vmdk
echo keep >half-flat.vmdk
exits 'the second file of a flat vmdk is in the way: 3' 3 \
	vdiskadm create -s 1m -t vmdk:fixed half.vmdk
is 'it is left alone' "$(cat half-flat.vmdk)" keep
ok 'the first was not made' test ! -e half.vmdk
rm half-flat.vmdk
fails_with 'more than the format can hold' . vdiskadm create -s 8E x.vmdk
fails_with 'a comment that is too long for a vdi' . \
	vdiskadm create -s 1m -c "$(printf '%0300d' 7)" y.vdi
ls -A >../after
ok 'no failure left anything behind' diff ../before ../after
done_testing
