# interop.sh - the same writes by our programs and by QEMU's; sourced after tap.sh.

# Places where formats change their mind, for a disk of $1 bytes, as lines
# "offset length byte": both ends, and across every unit border that exists.
# No two of them overlap, so that all can be read back.
edges() {
	awk -v size="$1" 'BEGIN {
		K = 1024; M = K * K; G = K * M
		byte = 16; used = 0
		at(size - 512, 512)
		at(0, 512)
		n = split("65536 131072 1048576 2097152 33554432 " \
			  "2147483648 4294967296 137438953472 " \
			  "1099511627776 2199023255040", border, " ")
		for (i = 1; i <= n; i++)
			at(border[i] - 1024, 3072)
		at(3 * M + 512, 200 * K)	# several units, cut at both ends
		at(int(size / 1024) * 512, 512)
		at(size - 65536 - 512, 1024)
	}
	function at(off, len,   i) {
		if (off < 0 || off >= size)
			return
		if (off + len > size)
			len = size - off
		for (i = 0; i < used; i++)
			if (off < to[i] && off + len > from[i])
				return
		from[used] = off
		to[used] = off + len
		used++
		byte++
		printf "%.0f %.0f %d\n", off, len, byte
	}'
}

# ours FILE SIZE [write|expect] ; qemu FORMAT FILE SIZE [write|read]
ours() {
	set -- "$1" "$2" "${3:-write}" -- $(edges "$2" | tr ' ' ,)
	o_file=$1 o_verb=$3
	shift 4
	o_n=$#
	while [ $o_n -gt 0 ]; do
		o_e=$1
		shift
		set -- "$@" "$o_verb $(echo "$o_e" | tr , ' ')"
		o_n=$((o_n - 1))
	done
	[ "$o_verb" = expect ] || set -- "$@" flush
	vd-io ${o_format:+-f $o_format} "$o_file" "$@"
}

qemu() {
	edges "$3" | while read -r off len byte; do
		echo "${4:-write} -P $byte $off $len"
	done >"$tmp/qemu.cmds"
	qemu-io -f "$1" "$2" <"$tmp/qemu.cmds" >"$tmp/qemu.out" 2>&1 || {
		cat "$tmp/qemu.out"
		return 1
	}
	# It prints what failed, and goes on.
	if grep -i 'fail\|error\|invalid' "$tmp/qemu.out"; then
		return 1
	fi
	[ "$(grep -c 'wrote [0-9]*\|read [0-9]*/' "$tmp/qemu.out")" -eq \
	  "$(wc -l <"$tmp/qemu.cmds")" ]
}

# What qemu-img calls the format of a type as vdiskadm has it.
qemu_format() {
	echo "${1%%:*}"
}

# qemu_says FILE format|size
qemu_says() {
	case $2 in
	format)	qemu-img info "$1" | sed -n 's/^file format: //p' ;;
	size)	qemu-img info "$1" |
			sed -n 's/^virtual size: .*(\([0-9]*\) bytes)/\1/p' ;;
	esac
}

qemu_check() {
	case $1 in
	raw*) ;;
	*) qemu-img check -f "$(qemu_format "$1")" "$2" ;;
	esac
}

qemu_same() {	# TYPE FILE RAW
	qemu-img compare -f "$(qemu_format "$1")" -F raw "$2" "$3"
}
