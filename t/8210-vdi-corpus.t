#!/bin/sh
# VDIs made by VirtualBox and QEMU over the years have the content they should.
. "${srcdir:-.}/t/lib/tap.sh"
need xz sha256sum
corpus=${VDISK_CORPUS:-$srcdir/../shared/corpus}
[ -r "$corpus/INDEX.tsv" ] || skip_all 'needs the corpus of real images'
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

sha() { vd-io -r "$1" 'dump 0 end' | sha256sum | cut -d' ' -f1; }

# refused WHERE: both ways, with a reason.
refused() {
	fails_with "$1 is not read" "$2" vd-io -r "$tmp/x.vdi" size
	fails_with "$1 is not written" "$2" vd-io "$tmp/x.vdi" size
}

unpack() {
	case $1 in
	*.xz)	xz -dc "$corpus/$1" ;;
	*)	cat "$corpus/$1" ;;
	esac
}

# A child alone is refused; beside its folder's other images it has a parent.
child() {
	rm -f "$tmp/y.vdi"
	fails_with "$1, a child, is not read alone" 'none of the folders' \
		vd-io -r "$tmp/x.vdi" size
	for other in "$corpus/${2%/*}"/*.vdi; do
		cp "$other" "$tmp/parent.vdi"
	done
	is "$1 over its parent: size" "$(vd-io -r "$tmp/x.vdi" size)" "$3"
	is "$1 over its parent: content" "$(vd-io -r "$tmp/x.vdi" hash)" \
		"$(vd-io -r "$tmp/parent.vdi" hash)"
	ok "$1: written" vd-io "$tmp/x.vdi" 'write 1000 1000 0x5a' flush
	ok "$1: and only it" cmp "$other" "$tmp/parent.vdi"
	rm "$tmp/parent.vdi"
}

tab=$(printf '\t')
grep "${tab}image${tab}VDI " "$corpus/INDEX.tsv" >"$tmp/list"
while IFS=$tab read -r id file role variant producer size blob content rest; do
	unpack "$file" >"$tmp/x.vdi"
	case "$variant $content" in
	*diff*)	child "$id" "$file" "$size" ;;
	*' -')	refused "$id, malformed," byte ;;
	*)	is "$id of $producer: size" "$(vd-io -r "$tmp/x.vdi" size)" "$size"
		is "$id: content" "$(sha "$tmp/x.vdi")" "$content"
		cp --sparse=always "$tmp/x.vdi" "$tmp/y.vdi"
		ok "$id: opened for writing" vd-io "$tmp/y.vdi" flush
		ok "$id: and left alone" cmp "$tmp/x.vdi" "$tmp/y.vdi"
		ok "$id: written" vd-io "$tmp/y.vdi" 'write 1000 1000 0x5a' flush
		! command -v qemu-img >/dev/null ||
			ok "$id: QEMU finds it whole" qemu-img check -q "$tmp/y.vdi" ;;
	esac
done <"$tmp/list"
done_testing
