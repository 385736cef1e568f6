#!/bin/sh
# What other people's software made comes out over NBD as those who hashed it
# found it; what is refused is refused in one sentence.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/nbd.sh"
corpus=${VDISK_CORPUS:-$srcdir/../shared/corpus}
[ -f "$corpus/INDEX.tsv" ] || skip_all "no corpus (VDISK_CORPUS)"
need nbdcopy xz sha256sum
cd "$tmp" || exit 1
# Larger ones take a minute each, of zeros.
size_max=$((256 << 20))

(cd "$corpus/files" && find . -type f) | while read -r f; do
	mkdir -p "files/${f%/*}" || exit
	case $f in
	*.xz)	xz -dc "$corpus/files/$f" >"files/${f%.xz}" ;;
	*)	cp --sparse=always "$corpus/files/$f" "files/$f" ;;
	esac
done
served=0
while IFS='	' read -r id file role variant producer size blob hash rest; do
	f=$tmp/${file%.xz}
	[ "$role" = image ] && [ ${#hash} -eq 64 ] || continue
	[ "$size" -le $size_max ] || continue
	if ! vdiskadm info "$f" >out 2>&1 </dev/null; then
		fails_with "$id: refused" . refused "$f"
		continue
	fi
	ok "$id: served" serve "$f" readonly=true || continue
	ok "$id: nbdcopy" nbdcopy "$uri" o.raw
	is "$id: content" "$(sha256sum <o.raw)" "$hash  -"
	ok "$id: ends" serve_ends
	served=$((served + 1))
done <"$corpus/INDEX.tsv"
diag "$served images"
ok 'there were some' test $served -gt 10
done_testing
