# chain.sh - chains for shell tests; sourced after tap.sh.

# names DIR: what is in it, sorted, on one line.
names() {
	(cd "$1" && ls -A) | sort | paste -sd ' '
}

# make_chain DIR TYPE: DIR/d.TYPE of 4 MiB over snapshots @a and @b, each state
# with data of its own, data over data, zeros over data and holes.  For delta
# the base is a raw disk.
make_chain() {
	mkdir -p "$1" || return
	c_d=$1/d.$2
	case $2 in
	delta)	vdiskadm create -s 4m "$1/base.raw" &&
		vd-io "$1/base.raw" 'fill 0 1M 1' 'fill 3M 64k 2' &&
		vdiskadm create -p "$1/base.raw" "$c_d" ;;
	*)	vdiskadm create -s 4m "$c_d" &&
		vd-io "$c_d" 'fill 0 1M 1' 'fill 3M 64k 2' ;;
	esac &&
	vdiskadm snapshot "$c_d@a" &&
	vd-io "$c_d" 'fill 512k 64k 3' 'zero 0 128k' 'fill 2M 512 4' &&
	vdiskadm snapshot "$c_d@b" &&
	vd-io "$c_d" 'fill 640k 1k 5' 'fill 64k 3k 6' 'zero 3M 64k' \
		'fill 1500k 100k 7'
}

# All states of a chain of make_chain as words, the top's last.
states() {
	c_all=
	for c_f in "$1/d@a.$2" "$1/d@b.$2" "$1/d.$2"; do
		if [ -e "$c_f" ]; then
			c_all="$c_all $(vd-io -r "$c_f" hash 2>&1)"
		else
			c_all="$c_all -"
		fi
	done
	echo "$c_all"
}
