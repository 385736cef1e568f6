#!/bin/sh
# No name inside an image makes us read a file outside its folder, a device or a
# FIFO, go round in a circle, or wait.
. "${srcdir:-.}/t/lib/tap.sh"
need perl mkfifo timeout
mkdir "$tmp/in" "$tmp/in/sub" "$tmp/out"
cd "$tmp/in" || exit 1

vdiskadm create -s 1m ../out/secret.vmdk || exit 1
vd-io ../out/secret.vmdk 'write 0 1M 0x5e'
vdiskadm create -s 1m parent.vmdk
long=$(printf 'x%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20)
# A name with room in it for any other.
cp parent.vmdk "$long$long$long.vmdk"
vdiskadm create -p "$long$long$long.vmdk" like.vmdk || exit 1

# child HINT: child.vmdk names HINT.
child() {
	cp like.vmdk child.vmdk
	# Nor is there an identity by which the honest one could be found.
	HINT=$1 perl -0777 -i -pe 'my $h = $ENV{HINT};
		s/(ddb.uuid.parent = ").{8}/$1ffffffff/;
		s/(parentFileNameHint=")([^"]*)("\n)/
		my $pad = length($2) - length($h);
		$1 . $h . $3 . ($pad > 1 ? "#" . "x" x ($pad - 2) . "\n" : "")/e' \
		child.vmdk
	[ "$(stat -c %s child.vmdk)" = "$(stat -c %s like.vmdk)" ]
}

# refused HINT: soon, by itself, and not with the secret.
refused() {
	ok "a child of $1" child "$1"
	fails_with "$1 is not read" "${2:-parent}" timeout 10 vd-io -r child.vmdk \
		'dump 0 512'
	ok '... nor written' sh -c '! timeout 10 vd-io child.vmdk "write 0 512 1"'
}

ln -s ../out/secret.vmdk link.vmdk
ln -s /etc/passwd passwd.vmdk
ln -s ../out outdir
ln -s loop.vmdk loop.vmdk
mkfifo fifo.vmdk
mkdir dir.vmdk
child parent.vmdk && ok 'an honest one is read' vd-io -r child.vmdk 'expect 0 512 0'
refused /etc/shadow
refused /etc/passwd
refused ../out/secret.vmdk
refused sub/../../out/secret.vmdk
refused '..\\out\\secret.vmdk'
refused "$tmp/out/secret.vmdk"
refused 'C:\\out\\secret.vmdk'
refused outdir/secret.vmdk
refused link.vmdk
refused passwd.vmdk
refused loop.vmdk
refused fifo.vmdk
refused dir.vmdk
refused /dev/zero
refused /dev/stdin
refused /proc/self/fd/0
refused .
refused ..
refused /
refused child.vmdk 'circle\|ancestor'

# With the option what a name says is believed, but not what is no image.
child ../out/secret.vmdk
ok 'relink needs leave, too' sh -c \
	'! vdiskadm relink child.vmdk ../out/secret.vmdk'
ok 'and with it does it' vdiskadm relink --allow-outside child.vmdk \
	../out/secret.vmdk
fails_with 'which the next one has to give, too' 'outside' \
	vd-io -r child.vmdk 'dump 0 512'
for h in fifo.vmdk /dev/zero; do
	child "$h"
	fails_with "not even then $h" 'parent\|regular' \
		timeout 10 vdiskadm verify --allow-outside child.vmdk
done

# Two that name each other; three in a ring.
vdiskadm create -s 1m r1.vmdk
vdiskadm create -p r1.vmdk r2.vmdk
vdiskadm create -p r2.vmdk r3.vmdk
cp r3.vmdk r1.vmdk
perl -0777 -i -pe 's/(parentFileNameHint="r)2/${1}3/;
	s/(ddb.uuid.parent = ").{8}/$1ffffffff/' r1.vmdk
perl -0777 -i -pe 's/(ddb.uuid.parent = ").{8}/$1ffffffff/' r2.vmdk r3.vmdk
fails_with 'a ring of three ends' 'circle\|parent' \
	timeout 10 vd-io -r r3.vmdk 'dump 0 512'

# What an earlier run may have left is not believed when others wrote it.
vdiskadm create -s 1m victim.vmdk
mkdir -m 777 .vdiskadm-victim.vmdk
chmod 777 .vdiskadm-victim.vmdk
printf 'D %x %x %s\0' "$(stat -c %d ../out/secret.vmdk)" \
	"$(stat -c %i ../out/secret.vmdk)" "$tmp/out/secret.vmdk" \
	>.vdiskadm-victim.vmdk/todo
fails_with 'a work folder that anybody can write' 'somebody else' \
	vdiskadm snapshot victim.vmdk@a
ok 'nothing is removed' test -e ../out/secret.vmdk
chmod 700 .vdiskadm-victim.vmdk
rm .vdiskadm-victim.vmdk/todo
ln -s ../../out/secret.vmdk .vdiskadm-victim.vmdk/todo
fails_with 'a list that is a link' 'not what an earlier run left\|earlier' \
	sh -c 'vdiskadm snapshot victim.vmdk@a || exit; echo earlier; exit 1'
rm -rf .vdiskadm-victim.vmdk
ln -s ../out .vdiskadm-victim.vmdk
fails_with 'a work folder that is a link' 'vdiskadm-victim' \
	vdiskadm snapshot victim.vmdk@b
ok 'nothing is removed' test -e ../out/secret.vmdk
done_testing
