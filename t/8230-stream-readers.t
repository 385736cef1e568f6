#!/bin/sh
# Other programs read every streamOptimized image of ours, and we read theirs.
. "${srcdir:-.}/t/lib/tap.sh"
need qemu-img sha256sum
mkdir "$tmp/d" "$tmp/mnt" && cd "$tmp/d" || exit 1

# by_7z WHAT FILE: tests it, and unpacks the same content.
by_7z() {
	if ! command -v 7z >/dev/null; then
		skip "$1: 7-Zip" 'needs 7z'
		return
	fi
	ok "$1: 7-Zip tests it" 7z t "$2"
	is "$1: 7-Zip reads the same" \
		"$(7z x -so "$2" 2>/dev/null | sha256sum)" "$sum"
}

# by_libvmdk WHAT FILE: the size; and the content, where FUSE may be used.
by_libvmdk() {
	if ! command -v vmdkinfo >/dev/null; then
		skip "$1: libvmdk" 'needs vmdkinfo'
		return
	fi
	is "$1: libvmdk sees the size" "$(vmdkinfo "$2" |
		sed -n 's/.*Media size.*[ (]\([0-9]*\) bytes.*/\1/p')" $size
	case $1 in
	vmdk:fixed) return ;;	# vmdkmount has no monolithicFlat
	esac
	if [ $fuse = no ]; then
		skip "$1: libvmdk reads the same" 'needs vmdkmount and FUSE'
		return
	fi
	vmdkmount "$2" "$tmp/mnt" >/dev/null 2>&1 </dev/null
	is "$1: libvmdk reads the same" "$(sha256sum <"$tmp/mnt/vmdk1")" "$sum"
	umount "$tmp/mnt"
}

# all WHAT FILE
all() {
	ok "$1: QEMU compares" qemu-img compare -f vmdk -F raw "$2" raw
	ok "$1: QEMU converts" qemu-img convert -f vmdk -O raw "$2" q.raw
	ok "$1: to the same" cmp q.raw raw
	by_7z "$1" "$2"
	by_libvmdk "$1" "$2"
	rm -f q.raw
}

fuse=no
cleanup "umount '$tmp/mnt' 2>/dev/null"
if command -v vmdkmount >/dev/null && [ -w /dev/fuse ]; then
	vdiskadm create -s 1m probe.vmdk
	vmdkmount probe.vmdk "$tmp/mnt" >/dev/null 2>&1 </dev/null
	[ -e "$tmp/mnt/vmdk1" ] && fuse=yes
	umount "$tmp/mnt" 2>/dev/null
fi

# make SIZE CONTENT: raw, and its sum.
make() {
	size=$1
	rm -f raw
	truncate -s "$1" raw
	case $2 in
	empty)	;;
	full)	vd-io -f raw raw "write 0 end 0x41" ;;
	random)	head -c "$1" /dev/urandom >raw ;;
	mixed)	vd-io -f raw raw "fill 0 $(($1 / 3)) 1" "write $(($1 / 2)) 512 7" \
			"fill $(($1 - 512)) 512 2" ;;
	esac
	sum=$(sha256sum <raw)
}

# One sector; a grain, and one more; a table, and one more; an odd end.
for size in 512 65536 66048 33554432 33554944 70001664; do
	for content in empty full random mixed; do
		case $size-$content in
		512-mixed | 70001664-[ferandom]*) continue ;;
		esac
		make $size $content
		ok "$size $content" vdiskadm translate -i raw -I raw \
			-x vmdk:streamOptimized -d s.vmdk
		all "$size $content" s.vmdk
		rm -f s.vmdk
	done
done

make 70001664 mixed
for unit in 8k 16k 128k 1m; do
	ok "grains of $unit" vdiskadm translate -i raw -I raw -u $unit \
		-x vmdk:streamOptimized -d s.vmdk
	all "grains of $unit" s.vmdk
	rm -f s.vmdk
done

# QEMU's own: its directory in front, no end marker.
for size in 512 66048 33554944 70001664; do
	for content in empty random mixed; do
		[ $size-$content = 512-mixed ] && continue
		make $size $content
		qemu-img convert -f raw -O vmdk -o subformat=streamOptimized raw \
			q.vmdk || exit 1
		ok "QEMU's $size $content" vdiskadm translate -I q.vmdk -x raw \
			-d o.raw
		ok 'is right' cmp raw o.raw
		ok 'once more from a pipe' sh -c 'cat q.vmdk |
			vdiskadm translate -I - -x vmdk:streamOptimized -d p.vmdk'
		ok 'is right' qemu-img compare -f vmdk -F raw p.vmdk raw
		rm -f o.raw p.vmdk q.vmdk
	done
done

# What else we write, in front of the same readers.
make 20000256 mixed
for type in vmdk vmdk:fixed vmdk:twoGbMaxExtentSparse vmdk:twoGbMaxExtentFlat; do
	ok "$type" vdiskadm translate -i raw -I raw -x $type -d o.vmdk
	ok "$type: QEMU compares" qemu-img compare -f vmdk -F raw o.vmdk raw
	case $type in
	vmdk)	all $type o.vmdk
		ok "$type: QEMU checks" qemu-img check -f vmdk o.vmdk ;;
	*)	by_libvmdk $type o.vmdk ;;
	esac
	rm -f o*.vmdk
done
for type in vdi vdi:fixed; do
	ok "$type" vdiskadm translate -i raw -I raw -x $type -d o.vdi
	ok "$type: QEMU checks" qemu-img check -f vdi o.vdi
	ok "$type: QEMU compares" qemu-img compare -f vdi -F raw o.vdi raw
	by_7z $type o.vdi
	rm -f o.vdi
done
done_testing
