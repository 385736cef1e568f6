#!/bin/sh
# Images that other people's software made: read right, or refused by name.
. "${srcdir:-.}/t/lib/tap.sh"
corpus=${VDISK_CORPUS:-$srcdir/../shared/corpus}
[ -f "$corpus/INDEX.tsv" ] || skip_all "no corpus (VDISK_CORPUS)"
need qemu-img xz sha256sum
cd "$tmp" || exit 1

# Above this the whole content is not hashed: a minute of zeros for nothing.
hash_max=$((16 << 30))

ok 'unpack' sh -c 'cd "$1/files" && find . -type f | while read -r f; do
	mkdir -p "$2/${f%/*}" || exit
	case $f in
	*.xz)	xz -dc "$f" >"$2/${f%.xz}" || exit ;;
	*)	cp --sparse=always "$f" "$2/$f" && chmod u+w "$2/$f" || exit ;;
	esac
done' - "$corpus" "$tmp/files"

# probe ID FILE: whatever it is, an answer.
probe() {
	timeout 5 vdisk-probe --json "$2" >probe.out 2>probe.err
	rc=$?
	if [ $rc -le 1 ] && [ "$(wc -l <probe.out)" -eq 1 ]; then
		tap_result 0 "$1: probe answers ($rc)"
	else
		tap_result 1 "$1: probe answers"
		diag "exit $rc: $2: $(cat probe.out probe.err)"
	fi
}

# sound ID FILE SIZE HASH FORMAT: a dialect that we read.
sound() {
	ok "$1: translate to raw" timeout 120 \
		vdiskadm translate -I "$2" -x raw -d o.raw || return
	is "$1: size" "$(stat -c %s o.raw)" "$3"
	ok "$1: identical for QEMU" \
		qemu-img compare -f "$5" -F raw "$2" o.raw
	if [ "$3" -le $hash_max ]; then
		is "$1: content hash" "$(sha256sum <o.raw)" "$4  -"
	else
		skip "$1: content hash" "$3 bytes are too many to hash"
	fi
	rm -f o.raw
}

# chained ID FILE SIZE HASH: one that QEMU cannot follow to its parent.
chained() {
	ok "$1: translate to raw" timeout 120 \
		vdiskadm translate -I "$2" -x raw -d o.raw || return
	is "$1: size" "$(stat -c %s o.raw)" "$3"
	is "$1: content hash" "$(sha256sum <o.raw)" "$4  -"
	rm -f o.raw
}

# refused ID FILE PATTERN: a plain no, nothing made.
refused() {
	fails_with "$1: refused" "$3" \
		timeout 30 vdiskadm translate -I "$2" -x raw -d o.raw
	ok "$1: nothing made" test ! -e o.raw
	rm -f o.raw
}

# either ID FILE: no one knows better; only it must end well.
either() {
	timeout 60 vdiskadm translate -I "$2" -x raw -d o.raw >out 2>&1
	rc=$?
	ok "$1: an answer ($rc)" test $rc -eq 0 -o $rc -eq 1 -o $rc -eq 3
	[ $rc -eq 0 ] || diag "$(cat out)"
	rm -f o.raw
}

# The word by which a dialect that is not built yet has to be refused.
dialect() {
	set -- $1
	case $1.$2 in
	VMDK.descriptor) echo "$3" ;;
	VDI.*) echo "$3\|parent" ;;
	*) echo "$2" ;;
	esac
}

tail -n +2 "$corpus/INDEX.tsv" >rows
while IFS='	' read -r id file role variant producer size blob hash by notes; do
	f=$tmp/${file%.xz}
	probe "$id" "$f" </dev/null
	format=$(echo "${variant%% *}" | tr A-Z a-z)
	case $role:$variant:$notes in
	extent:*|binary-extent:*)
		either "$id" "$f" ;;
	*'info only'*)
		either "$id" "$f" ;;
	*:'VDI 1.1 diff '*)
		chained "$id" "$f" "$size" "$hash" ;;
	*'Could not open'*|*MALFORMED*)
		refused "$id" "$f" "$tmp/files/" ;;
	*:'VMDK monolithicSparse'*|*:'VMDK descriptor monolithicFlat'*|\
	*:'VMDK streamOptimized'*|*:'VMDK descriptor twoGbMax'*|\
	*:'VMDK descriptor seSparse'*|\
	*:'VDI 1.1 dynamic'*|*:'VDI 1.1 fixed'*)
		sound "$id" "$f" "$size" "$hash" "$format" ;;
	*)
		# Built or refused: never misread.
		if timeout 120 vdiskadm info "$f" >out 2>&1 </dev/null; then
			sound "$id" "$f" "$size" "$hash" "$format"
		else
			refused "$id" "$f" "$(dialect "$variant")"
		fi ;;
	esac
done <rows
done_testing
