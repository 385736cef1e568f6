#!/bin/sh
# vdiskadm info tells what an image is, what it takes, also while it is written.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1

line() { vdiskadm info "$2" 2>&1 | sed -n "s/^$1: *//p"; }
has() { case $1 in *"$2"*) true;; *) echo "no $2 in: $1"; false;; esac; }

vdiskadm create -s 10m a.vmdk
vdiskadm create -s 10m b.vdi
vdiskadm create -s 10m c.raw
vdiskadm create -s 2m -t vmdk:fixed f.vmdk
for i in a.vmdk b.vdi c.raw; do
	is "$i: format" "$(line format $i)" "${i#*.}"
	is "$i: size" "$(line size $i)" '10 MiB (10485760 bytes)'
	is "$i: nothing allocated" "$(line allocated $i)" '0 B (0 bytes)'
done
is 'variant' "$(line variant a.vmdk)" monolithicSparse
is 'variant of a flat one' "$(line variant f.vmdk)" monolithicFlat
is 'grain' "$(line unit a.vmdk)" '64 KiB (65536 bytes)'
is 'block' "$(line unit b.vdi)" '1 MiB (1048576 bytes)'
vd-io a.vmdk 'write 1M 64k 0x11' 'write 9M 64k 0x22' flush
vd-io b.vdi 'write 1M 1M 0x11' flush
is 'two grains are allocated' "$(line allocated a.vmdk)" '128 KiB (131072 bytes)'
is 'a block is allocated' "$(line allocated b.vdi)" '1 MiB (1048576 bytes)'
j=$(vdiskadm info --json a.vmdk)
ok 'json: size' has "$j" '"virtual_size": 10485760'
ok 'json: allocated' has "$j" '"allocated": 131072'
ok 'json: unit' has "$j" '"unit": 65536'
if command -v python3 >/dev/null; then
	for i in a.vmdk b.vdi c.raw f.vmdk; do
		ok "json of $i parses" sh -c \
			"vdiskadm info --json $i | python3 -m json.tool"
	done
else
	skip 'json parses' 'needs python3'
fi

cp b.vdi b.before
vdiskadm info b.vdi >/dev/null
ok 'the image is not touched' cmp b.vdi b.before

# Hold it open for writing: a pipe keeps vd-io alive until told to end.
mkfifo hold
if command -v qemu-io >/dev/null; then
	qemu-io -f vdi b.vdi <hold >held 2>&1 &
	exec 3>hold
	echo 'write -P 0x33 0 64k' >&3
	i=0
	while [ $i -lt 100 ] && ! grep -q 'wrote' held; do
		sleep 0.1; i=$((i + 1))
	done
	is 'info while another program writes it' "$(line format b.vdi)" vdi
	fails_with 'translate refuses that' 'use\|open\|lock' \
		vdiskadm translate -I b.vdi -x raw -d held.raw
	ok 'and made nothing' test ! -e held.raw
	echo quit >&3
	exec 3>&-
	wait
else
	skip 'info while another program writes it' 'needs qemu-io'
fi

exits 'no such image: 3' 3 vdiskadm info missing.vmdk
head -c 4096 /dev/urandom >garbage.vmdk
fails_with 'garbage named vmdk' 'garbage.vmdk' vdiskadm info garbage.vmdk
exits 'a folder: 3' 3 vdiskadm info .
cp b.vdi broken.vdi
printf '\001\002\003\000' | dd of=broken.vdi bs=1 seek=376 conv=notrunc status=none
exits 'a broken one: 1' 1 vdiskadm info broken.vdi
exits 'named as what it is not: 1' 1 vdiskadm info -t vmdk b.vdi
done_testing
