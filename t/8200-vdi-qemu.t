#!/bin/sh
# QEMU reads what we write into a VDI, and we what it writes.
. "${srcdir:-.}/t/lib/tap.sh"
need qemu-img qemu-io
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

qio() {
	img=$1
	shift
	for c; do set -- "$@" -c "$c"; shift; done
	timeout 60 qemu-io -f vdi "$img" "$@" >qio.out 2>&1
	status=$?
	cat qio.out
	[ $status -eq 0 ] && ! grep -q -i -e 'pattern verif' -e failed qio.out
}
same() { qemu-img compare -q -f vdi -F raw "$1" "$2"; }

for size in 1M 5243392 1073741312 2T; do
	rm -f ours.vdi theirs.vdi a.raw b.raw
	ok "$size: we make" vdiskadm create -s $size -t vdi ours.vdi
	ok "$size: they make" qemu-img create -q -f vdi theirs.vdi $size
	end=$(vd-io -r ours.vdi size)
	is "$size: the same size" "$(vd-io -r theirs.vdi size)" "$end"
	last=$((end - 512)) middle=$((end / 1024 * 512 + 1024))
	for f in ours theirs; do
		ok "$size: we write $f" vd-io $f.vdi 'write 512k 512 0x11' \
			"write $last 512 0x12" 'write 1000000 3 0x13' flush
		ok "$size: they check $f" qemu-img check -q $f.vdi
		ok "$size: they read and write $f" qio $f.vdi \
			'read -P 0x11 512k 512' "read -P 0x12 $last 512" \
			'read -P 0x13 1000000 3' 'read -P 0 0 512k' \
			'write -P 0x21 512 1k' "write -P 0x22 $middle 512"
		ok "$size: we read $f" vd-io -r $f.vdi 'expect 512 1k 0x21' \
			"expect $middle 512 0x22" 'expect 0 512 0' \
			'expect 512k 512 0x11'
		ok "$size: we write $f again" vd-io $f.vdi 'write 1536 512 0x23'
		ok "$size: they check $f again" qemu-img check -q $f.vdi
	done
	is "$size: one content" "$(vd-io -r ours.vdi hash)" \
		"$(vd-io -r theirs.vdi hash)"
	[ "$size" = 2T ] || ok "$size: they agree" \
		qemu-img compare -q -f vdi -F vdi ours.vdi theirs.vdi
done

ok 'they make a fixed one' qemu-img create -q -f vdi -o static=on f.vdi 3M
is 'we see it' "$(vdisk-probe f.vdi | grep -c fixed)" 1
ok 'we write it' vd-io f.vdi 'write 1M 1M 5' 'expect 2M 1M 0'
ok 'they check it' qemu-img check -q f.vdi
ok 'we make a fixed one' vdiskadm create -s 3M -t vdi:fixed g.vdi
ok 'they write it' qio g.vdi 'write -P 5 1M 1M'
ok 'they check it' qemu-img check -q g.vdi
ok 'the same' qemu-img compare -q -f vdi -F vdi f.vdi g.vdi

# A disk full of different sectors, there and back.
ok 'fill a disk' vdiskadm create -s 9437696 -t vdi s.vdi
ok 'with different sectors' vd-io s.vdi 'fill 0 end 42'
ok 'they make it raw' qemu-img convert -f vdi -O raw s.vdi s.raw
ok 'and a vdi again' qemu-img convert -f raw -O vdi s.raw t.vdi
ok 'we know every sector' vd-io -r t.vdi 'verify 0 end 42'
ok 'they know ours' same s.vdi s.raw
done_testing
