#!/bin/sh
# Nothing that other people's software wrote correctly is called damage.
. "${srcdir:-.}/t/lib/tap.sh"
corpus=${VDISK_CORPUS:-}
cd "$tmp" || exit 1

# silent WHAT FILE: nothing to say, but what a shrunk disk has not given back.
silent() {
	is "$1: sound" "$(timeout 60 vdiskadm verify "$2" 2>&1 |
		grep -v ': leak: ')" ''
	is "$1: nothing lost by a repair" "$(timeout 60 vdiskadm repair --plan \
		"$2" 2>&1 | grep -v 'give the room back')" ''
}

if command -v qemu-img >/dev/null; then
	truncate -s 73401344 raw
	vd-io -f raw raw 'fill 0 1M 1' 'fill 40M 200k 3' \
		'fill 73400832 512 2' || exit 1
	for sub in monolithicSparse monolithicFlat twoGbMaxExtentSparse \
		twoGbMaxExtentFlat streamOptimized; do
		qemu-img convert -q -f raw -O vmdk -o subformat=$sub raw \
			$sub.vmdk
		silent "QEMU's $sub" $sub.vmdk
	done
	qemu-img convert -q -f raw -O vmdk -o zeroed_grain=on raw zero.vmdk
	qemu-io -c 'write -z 0 64k' zero.vmdk >/dev/null
	silent "QEMU's zeroed grains" zero.vmdk
	qemu-img create -q -f vmdk -b monolithicSparse.vmdk -F vmdk child.vmdk
	qemu-io -c 'write 0 64k' child.vmdk >/dev/null
	silent "QEMU's child" child.vmdk
	for o in static=off static=on; do
		qemu-img convert -q -f raw -O vdi -o $o raw q.vdi
		silent "QEMU's vdi, $o" q.vdi
	done
else
	skip "QEMU's images" 'needs qemu-img'
fi

if [ -f "$corpus/INDEX.tsv" ] && command -v xz >/dev/null; then
	ok 'unpack' sh -c 'cd "$1/files" && find . -type f | while read -r f; do
		mkdir -p "$2/${f%/*}" || exit
		case $f in
		*.xz)	xz -dc "$f" >"$2/${f%.xz}" || exit ;;
		*)	cp --sparse=always "$f" "$2/$f" &&
			chmod u+w "$2/$f" || exit ;;
		esac
	done' - "$corpus" "$tmp/files"
	tail -n +2 "$corpus/INDEX.tsv" >rows
	while IFS='	' read -r id file role variant producer size blob hash by notes
	do
		[ "$role" = image ] || continue
		case $hash in
		-)	timeout 60 vdiskadm verify "${file%.xz}" >out 2>&1 \
				</dev/null
			rc=$?
			ok "$id: an answer ($rc)" test $rc -le 1 ;;
		*)	silent "$id" "${file%.xz}" </dev/null ;;
		esac
	done <rows
else
	skip 'the corpus' 'VDISK_CORPUS'
fi
done_testing
