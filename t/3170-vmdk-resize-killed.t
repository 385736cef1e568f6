#!/bin/sh
# A resize killed before any of its changes leaves the old disk or the new one;
# the same command again finishes, and leaves nothing lying about.
. "${srcdir:-.}/t/lib/tap.sh"
need vd-kill
ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
cd "$tmp" || exit 1
vd-kill 99999 true || skip_all 'no ptrace here'

state() { echo "$(vd-io -r "$1" size 2>&1) $(vd-io -r "$1" hash 2>&1)"; }
# What is cut off may be given up before the disk is shorter.
kept() { echo "$(vd-io -r "$1" size 2>&1) $(vd-io -r "$1" "verify 0 $2 1" 2>&1)"; }

# mended DISK: what verify told of is no more after a repair, of a copy.
mended() {
	k_told=yes
	rm -rf r; cp -a w r
	vdiskadm repair "r/${1#w/}" >out 2>&1 &&
		vdiskadm verify "r/${1#w/}" >out 2>&1 &&
		! grep resizing out &&
		[ "$(kept "r/${1#w/}" "$k_keep")" = "$k_new" ] || k_bad="$k_bad
$k_n: not mended: $(cat out)"
}

# killed WHAT DISK KEEP ARGS...: KEEP bytes of the disk are there throughout.
killed() {
	k_what=$1 k_disk=$2 k_keep=$3
	shift 3
	rm -rf w; cp -a k w
	k_old=$(kept "w/$k_disk" "$k_keep")
	ok "$k_what" vdiskadm resize "$@" || return
	k_new=$(kept "w/$k_disk" "$k_keep") k_state=$(state "w/$k_disk")
	k_files=$(ls -A w | tr '\n' ' ')
	k_n=1 k_bad= k_told=
	while [ $k_n -lt 300 ]; do
		rm -rf w; cp -a k w
		vd-kill $k_n vdiskadm resize "$@" >out 2>&1
		k_rc=$?
		[ $k_rc -eq 77 ] || break
		k_got=$(kept "w/$k_disk" "$k_keep")
		[ "$k_got" = "$k_old" ] || [ "$k_got" = "$k_new" ] ||
			k_bad="$k_bad
$k_n: neither old nor new: $k_got"
		vdiskadm verify "w/$k_disk" >out 2>&1 || k_bad="$k_bad
$k_n: damaged: $(cat out)"
		! grep -q 'note.*resize.*\[vmdk-resizing\]' out || mended "w/$k_disk"
		vdiskadm resize "$@" >out 2>&1 || k_bad="$k_bad
$k_n: again: $(cat out)"
		vd-io "w/$k_disk" 'zero 0 0' flush
		[ "$(state "w/$k_disk")" = "$k_state" ] || k_bad="$k_bad
$k_n: another disk: $(state "w/$k_disk")"
		k_n=$((k_n + 1))
	done
	is "$k_what: killed at each of $((k_n - 1)) places" "$k_rc$k_bad" 0
	[ "$k_bad" ] || is "$k_what: the files" "$(ls -A w | tr '\n' ' ')" "$k_files"
}

mkdir k
vdiskadm create -s 2M k/a.vmdk && vd-io k/a.vmdk 'fill 0 end 1'
vdiskadm create -s 2M -t vmdk:fixed k/f.vmdk && vd-io k/f.vmdk 'fill 0 end 1'
vmdk-make twoGbMaxExtentSparse 2097152 k/s.vmdk && vd-io k/s.vmdk 'fill 0 end 1'
vmdk-make twoGbMaxExtentFlat 2097152 k/g.vmdk && vd-io k/g.vmdk 'fill 0 end 1'
vdiskadm resize k/s.vmdk 4M && vdiskadm resize k/g.vmdk 4M
killed 'sparse, longer' a.vmdk 2M w/a.vmdk 3M
killed 'sparse, far' a.vmdk 2M w/a.vmdk 5G
killed 'sparse, shorter' a.vmdk 1M --shrink --shrink w/a.vmdk 1M
killed 'flat, longer' f.vmdk 2M w/f.vmdk 3M
killed 'flat, shorter' f.vmdk 1M --shrink --shrink w/f.vmdk 1M
killed 'split, longer' s.vmdk 2M w/s.vmdk 7M
killed 'split, shorter' s.vmdk 1M --shrink --shrink w/s.vmdk 1M
is 'while its header lags behind, verify tells what finishes it' "$k_told" yes
killed 'split flat, longer' g.vmdk 2M w/g.vmdk 7M
killed 'split flat, shorter' g.vmdk 1M --shrink --shrink w/g.vmdk 1M
done_testing
