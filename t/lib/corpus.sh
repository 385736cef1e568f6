# corpus.sh - images that other people's software made, row by row of their list;
# sourced after tap.sh.
#
# rows small|large: those of up to 4 GiB, or the others; each row is of one kind:
#	content	read, and its hash is the recorded one; verify is silent
#	refused	for the reason on record, and nothing is made
#	part	a file of an image: that row has its content; alone, an answer
# A row of no kind is a failure, so none goes missing.

corpus=${VDISK_CORPUS:-$srcdir/../shared/corpus}
[ -f "$corpus/INDEX.tsv" ] || skip_all "no corpus (VDISK_CORPUS)"
need xz python3
corpus=$(cd "$corpus" && pwd) && cd "$tmp" || exit 1

k_unpack() (
	cd "$corpus/files" && find . -type f | while read -r f; do
		mkdir -p "$tmp/files/${f%/*}" || exit
		case $f in
		*.xz)	xz -dc "$f" >"$tmp/files/${f%.xz}" || exit ;;
		*)	cp --sparse=always "$f" "$tmp/files/$f" &&
			chmod u+w "$tmp/files/$f" || exit ;;
		esac
	done
)

# Whatever it is, an answer.
k_probe() {
	timeout 20 vdisk-probe --json "$1" >probe.out 2>probe.err
	[ $? -le 1 ] && [ "$(wc -l <probe.out)" -eq 1 ]
}

k_content() {	# ID FILE SIZE HASH
	ok "$1: translate to raw" timeout 300 \
		vdiskadm translate -I "$2" -x raw -d o.raw || return
	is "$1: size" "$(stat -c %s o.raw)" "$3"
	is "$1: content" "$(python3 "$srcdir/t/lib/sha256.py" o.raw)" "$4"
	rm -f o.raw
	exits "$1: verify" 0 timeout 120 vdiskadm verify "$2"
	case $1 in
	# QEMU left the room of three grains that it made zero to nobody.
	C061)	is "$1: what it says" "$(wc -l <"$tmp/.out")" 1 &&
		says "$1: is a leak" ': leak: .*vmdk-leak' ;;
	*)	is "$1: is silent" "$(cat "$tmp/.out")" '' ;;
	esac
}

k_refused() {	# ID FILE WORDS
	fails_with "$1: refused" "$3" \
		timeout 60 vdiskadm translate -I "$2" -x raw -d o.raw
	ok "$1: nothing made" test ! -e o.raw
	rm -f o.raw
}

# Nobody knows better; only it must end well, and quickly.
k_part() {	# ID FILE
	timeout 60 vdiskadm translate -I "$2" -x raw -d o.raw >out 2>&1 \
		</dev/null
	k_rc=$?
	ok "$1: alone, an answer ($k_rc)" \
		test $k_rc -eq 0 -o $k_rc -eq 1 -o $k_rc -eq 3
	rm -f o.raw
}

# reason NOTES: our words for what the list says others refused it for.
k_reason() {
	case $1 in
	# The line that QEMU refuses is good; its file is not there.
	*'VMFS "4-flat.vmdk" 0'*|*'No such file'*) echo 'No such file' ;;
	*'Invalid granularity'*) echo 'grain size' ;;
	*'Invalid extent line'*) echo 'a VMFS extent cannot' ;;
	*'L2 table size'*) echo 'grain tables of' ;;
	*'has room for'*) echo 'blocks of .* cannot hold' ;;
	*'block size'*) echo 'block size' ;;
	*'Unsupported image type'*) echo 'not supported\|device of its host' ;;
	esac
}

k_row() {	# ID FILE ROLE SIZE HASH NOTES
	ok "$1: probe answers" k_probe "$2"
	case $3:$5:$6 in
	*extent:-:*|*:-:*'info only'*) k_part "$1" "$2" ;;
	image:-:*)
		k_why=$(k_reason "$6")
		ok "$1: the reason is known" test -n "$k_why" &&
			k_refused "$1" "$2" "$k_why" ;;
	*:-:*)	ok "$1: role $3 is known" false ;;
	*)	k_content "$1" "$2" "$4" "$5" ;;
	esac
}

rows() {
	k_left=0 k_seen=0
	ok 'unpack' k_unpack
	tail -n +2 "$corpus/INDEX.tsv" >list
	while IFS='	' read -r id file role variant by size blob hash tool notes
	do
		k_class=small
		[ "$size" = - ] || [ "$size" -le $((4 << 30)) ] ||
			[ "$hash" = - ] || k_class=large
		if [ $k_class != $1 ]; then
			k_left=$((k_left + 1))
			continue
		fi
		k_seen=$((k_seen + 1))
		k_row "$id" "$tmp/${file%.xz}" "$role" "$size" "$hash" "$notes" \
			</dev/null
	done <list
	is "all but the $k_left rows of the other test" $((k_seen + k_left)) \
		"$(wc -l <list)"
}
