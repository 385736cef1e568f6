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
# What other programs would take for more than a name.
for uri in 'json:{"driver":"file","filename":"/etc/passwd"}' \
	'json:{"file.filename":"../out/secret.vmdk"}' nbd://localhost/secret \
	nbd:unix:/run/secret file:///etc/passwd file:../out/secret.vmdk \
	host_device:/dev/zero http://localhost/x '|cat /etc/passwd' '`id`' \
	'$(id)' '~/secret' fat:/etc; do
	refused "$(printf %s "$uri" | tr -d '"')"
done
ok 'a name of control characters' child "$(printf 'a\tb\033[2J')"
fails_with 'is shown, not obeyed' 'parent' vd-io -r child.vmdk size
ok '... with no escape in the message' sh -c \
	'! vd-io -r child.vmdk size 2>&1 | grep -q "$(printf "\033")"'

# The same of a delta, whose header has a checksum, not a lock.
cat >hint.pl <<'P'
use integer;
my ($file, $hint, $format) = @ARGV;
open my $f, '+<', $file or die;
binmode $f;
read $f, my $head, 16384;
for my $slot (0, 8192) {
	my $s = substr $head, $slot, 8192;
	next if substr($s, 0, 7) ne 'vdDELTA';
	substr($s, 88, 16) = pack 'a16', $format;
	substr($s, 104, 128) = "\0" x 128;
	substr($s, 232, 4096) = pack 'a4096', $hint;
	my $h = 0xcbf29ce4 << 32 | 0x84222325;
	$h = ($h ^ $_) * (1 << 40 | 0x1b3) for unpack 'C8184', $s;
	substr($s, 8184, 8) = pack 'Q<', $h;
	seek $f, $slot, 0;
	print $f $s;
}
P
vdiskadm create -s 1m honest.raw && vdiskadm create -p honest.raw like.delta || exit 1
printf 'secret of the host' >../out/plain
ln -s ../out/plain plain.raw
delta() {
	cp like.delta child.delta && perl hint.pl child.delta "$@"
}
delta honest.raw raw
fails_with 'delta: an honest one, but for what it says of the content' \
	'changed since' vd-io -r child.delta size
for h in /etc/passwd /etc/shadow ../out/plain "$tmp/out/plain" plain.raw \
	passwd.vmdk fifo.vmdk dir.vmdk /dev/zero /dev/stdin /proc/self/environ \
	'..\out\plain' outdir/plain json:{} nbd://localhost/x . .. / \
	child.delta; do
	for f in raw vmdk nonsense ''; do
		delta "$h" $f
		fails_with "delta: $h as '$f' is not read" \
			'parent\|circle\|format\|raw\|outside\|probe' \
			timeout 10 vd-io -r child.delta 'dump 0 512'
		ok '... not a byte of it' sh -c \
			'! timeout 10 vd-io -r child.delta "dump 0 64" 2>&1 |
			grep -q "secret of\|root:"'
	done
done

# Parts of a vmdk: no more than its parents.
for e in /etc/passwd ../out/plain plain.raw fifo.vmdk /dev/zero json:{} \
	nbd://localhost/x outdir/plain '..\out\plain' /proc/self/mem .; do
	printf '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n%s\n%s\n' \
		'createType="monolithicFlat"' "RW 8 FLAT \"$e\" 0" >flat.vmdk
	fails_with "extent: $e is not read" 'folder\|regular\|No such\|part of\|name' \
		timeout 10 vd-io -r flat.vmdk 'dump 0 512'
done

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
