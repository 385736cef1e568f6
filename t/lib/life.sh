# life.sh - disks live two thousand operations under the eyes of other programs;
# sourced after tap.sh and variants.sh.

for v_py in python3 /usr/bin/python3; do
	! $v_py -c 'import pyvmdk' 2>/dev/null || PYVMDK=$v_py
done
OTHERS_LOG=$tmp/others
export OTHERS OTHERS_CHAIN OTHERS_LOG PYVMDK

# l_have WHO...: those of them that are here.
l_have() {
	for l_who; do
		case $l_who in
		libvmdk) command -v vmdkinfo >/dev/null || continue ;;
		qemu)	command -v qemu-img >/dev/null || continue ;;
		*)	command -v $l_who >/dev/null || continue ;;
		esac
		printf '%s ' $l_who
	done
}

# lives NAME...: each of these variants.
lives() {
	for l_v; do
		mkdir "$tmp/$l_v" && cd "$tmp/$l_v" || exit 1
		ok "$l_v: made" variant $l_v
		: >"$OTHERS_LOG"
		OTHERS=$(l_have $v_others) OTHERS_CHAIN=$(l_have $v_chain)
		ok "$l_v: 2000 operations" vd-life -s ${LIFE_SEED:-7} \
			-n ${LIFE_OPS:-2000} -x "$v_cannot" $v_options -e 12 \
			-c "sh $srcdir/t/lib/others.sh" $v_file
		cp "$tmp/.out" "$tmp/said"
		# What depends on how a disk begins may not come to be tried.
		for l_op in $(echo "$v_cannot" | tr , '\n' | grep -v '[@:]'); do
			ok "$l_v: $l_op was refused" \
				grep -q "^no $l_op [0-9]" "$tmp/said"
		done
		for l_who in $v_others; do
			case " $OTHERS" in
			*" $l_who "*)
				ok "$l_v: $l_who agreed, three times or more" \
					l_often "$l_who 1" ;;
			*)	skip "$l_v: $l_who" "needs $l_who" ;;
			esac
		done
		[ -z "$OTHERS_CHAIN" ] || ok "$l_v: qemu agreed about chains" \
			l_often 'qemu [2-9]'
		rm -rf "$tmp/$l_v"
	done
}

l_often() {
	[ "$(grep -c "^$1$" "$OTHERS_LOG")" -ge 3 ]
}
