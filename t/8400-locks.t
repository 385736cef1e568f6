#!/bin/sh
# QEMU and we refuse to write what the other holds open.
. "${srcdir:-.}/t/lib/tap.sh"
need qemu-img qemu-io mkfifo
cd "$tmp" || exit 1

# Wait until FILE says PATTERN.
wait_for() {
	i=0
	while [ $i -lt 100 ]; do
		grep -q "$2" "$1" 2>/dev/null && return
		sleep 0.1
		i=$((i + 1))
	done
	return 1
}

# qemu_holds FORMAT FILE FLAGS: until let_go
qemu_holds() {
	rm -f hold held
	mkfifo hold
	timeout 60 qemu-io $3 -f "$1" "$2" <hold >held 2>&1 &
	holder=$!
	exec 3>hold
	echo 'read 0 512' >&3
	wait_for held 'read 512'
}
we_hold() {	# FILE FLAGS: vd-io is stopped by a fifo it dumps to
	rm -f hold
	mkfifo hold
	timeout 60 vd-io $2 "$1" 'dump 0 1s' 'dump 0 1M' >hold 2>held &
	holder=$!
	exec 3<hold
	dd bs=512 count=1 of=/dev/null status=none <&3
}
let_go() {
	echo quit >&3 2>/dev/null
	exec 3>&-
	wait $holder
}

for format in raw vdi vmdk; do
	f=d.$format
	vdiskadm create -s 4m $f
	ok "$format: QEMU writes" qemu_holds $format $f ''
	fails_with "$format: we do not write as well" 'd\.' \
		vd-io $f 'write 0 512 1'
	fails_with "$format: we do not read a moving image" 'd\.' \
		vdiskadm translate -I $f -x raw -d o.raw
	ok "$format: info looks all the same" vdiskadm info $f
	ok "$format: probe looks all the same" vdisk-probe $f
	let_go
	ok "$format: after that we may" vd-io $f 'write 0 512 1' flush

	ok "$format: QEMU reads" qemu_holds $format $f -r
	# By QEMU's own rule a plain reader of raw bytes tolerates writers.
	[ $format = raw ] ||
		fails_with "$format: we do not write below a reader" 'd\.' \
			vd-io $f 'write 0 512 2'
	ok "$format: we read as well" vd-io -r $f 'expect 0 512 1'
	let_go

	we_hold $f ''
	fails_with "$format: while we write, QEMU does not" 'lock' \
		qemu-io -f $format -c 'write 0 512' $f
	[ $format = raw ] ||
		fails_with "$format: nor read" 'lock' \
			qemu-img check -f $format $f
	fails_with "$format: nor do we ourselves" 'd\.' vd-io $f 'write 0 512 1'
	let_go
	ok "$format: after that QEMU may" qemu-io -f $format -c 'write -P 3 0 512' $f

	we_hold $f -r
	fails_with "$format: while we read, QEMU does not write" 'lock' \
		qemu-io -f $format -c 'write 0 512' $f
	ok "$format: it may read" qemu-io -r -f $format -c 'read 0 512' $f
	ok "$format: so may we" vd-io -r $f 'expect 0 512 3'
	let_go
done

# The data of a flat vmdk is a file of its own: it is held, too.
vdiskadm create -s 2m -t vmdk:fixed f.vmdk
we_hold f.vmdk ''
fails_with 'flat: the data file is locked' 'lock' \
	qemu-io -f raw -c 'write 0 512' f-flat.vmdk
let_go
ok 'flat: QEMU writes the data file' qemu_holds raw f-flat.vmdk ''
fails_with 'flat: we do not' 'f-flat' vd-io f.vmdk 'write 0 512 1'
let_go
done_testing
