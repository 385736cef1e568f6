# damage.sh - injected damage: found, mended, taken back; sourced after tap.sh.
#
#	pristine KIND		the image w/x.* is what damages of KIND start from
#	damage KIND WHAT CODE BYTE STATUS CONTENT POKE...
#
# POKE: OFFSET=HEX, or size=BYTES, or FILE@OFFSET=HEX for another file than the
# image itself.  CODE is what verify reports, at BYTE (a pattern; hexadecimal),
# with exit STATUS.  CONTENT: `same' as before the damage, or commands of vd-io
# between bars, or `none': it cannot be mended, repair says so and leaves it.

poke() {
	perl -e '
		my $main = shift @ARGV;
		for (@ARGV) {
			my ($at, $hex) = /^(.*)=(.*)$/ or die "poke: $_";
			my $file = $at =~ s/^(.*)\@// ? $1 : $main;
			open my $f, "+<", $file or die "$file: $!";
			binmode $f;
			if ($at eq "size") { truncate $f, $hex or die; next }
			seek $f, $at, 0;
			print $f pack "H*", $hex or die;
			close $f or die;
		}' "$@"
}

d_image() {
	for d_f in w/x.*; do
		case $d_f in
		*.undo*|*.raw|*-flat.vmdk) ;;
		*) echo "$d_f"; return ;;
		esac
	done
}

d_hash() {
	vd-io -r "$(d_image)" hash 2>&1
}

pristine() {
	rm -rf "pristine-$1"
	cp -a w "pristine-$1"
	is "$1: sound, and silent" "$(vdiskadm verify "$(d_image)" 2>&1)" ''
	is "$1: nothing to mend" \
		"$(vdiskadm repair --plan "$(d_image)" 2>&1)" ''
	d_hash >"hash-$1"
}

# All files of the disk as one word, and nothing that a repair has added.
d_sum() {
	(cd w && for f in x*; do
		case $f in *.undo*) ;; *) echo "$f"; cksum <"$f" ;; esac
	done | cksum)
}

d_content() {
	case $2 in
	same)	is "$3: the content" "$(d_hash)" "$(cat "hash-$1")" ;;
	*)	d_old=$IFS
		IFS='|'
		set -- $2
		IFS=$d_old
		ok "$d_what: the content" vd-io -r "$(d_image)" "$@" ;;
	esac
}

damage() {
	d_kind=$1 d_what="$1: $2" d_code=$3 d_byte=$4 d_status=$5 d_want=$6
	shift 6
	rm -rf w
	cp -a "pristine-$d_kind" w
	d_file=$(d_image)
	(cd w && poke "${d_file#w/}" "$@") || exit 1
	d_was=$(d_sum)
	exits "$d_what: found" "$d_status" vdiskadm verify "$d_file"
	says "$d_what: by its code and byte" "byte $d_byte).*\[$d_code\]"
	if [ "$d_want" = none ]; then
		fails_with "$d_what: cannot be mended" "\[$d_code\]" \
			vdiskadm repair "$d_file"
		is "$d_what: and is left" "$(d_sum)" "$d_was"
		return
	fi
	exits "$d_what: a plan" 1 vdiskadm repair --plan "$d_file"
	is "$d_what: is only a plan" "$(d_sum)" "$d_was"
	ok "$d_what: mended" vdiskadm repair "$d_file"
	# Room of what was given up is a leak: nothing is thrown away after it.
	is "$d_what: silence" "$(vdiskadm verify "$d_file" 2>&1 |
		grep -v 'leak:.*used by nobody')" ''
	d_content "$d_kind" "$d_want" "$d_what"
	ok "$d_what: undone" vdiskadm repair --restore "$d_file.undo" "$d_file"
	is "$d_what: to the byte" "$(d_sum)" "$d_was"
}

# The same, killed before each change of a file: a second run finishes.
damage_killed() {
	d_kind=$1 d_what="$1: $2" d_want=$3
	shift 3
	d_n=1 d_bad=
	while [ $d_n -lt 300 ]; do
		rm -rf w
		cp -a "pristine-$d_kind" w
		d_file=$(d_image)
		(cd w && poke "${d_file#w/}" "$@") || exit 1
		vd-kill $d_n vdiskadm repair "$d_file" >out 2>&1
		d_rc=$?
		[ $d_rc -eq 77 ] || break
		vdiskadm repair "$d_file" >out 2>&1 || d_bad="$d_bad
$d_n: $(cat out)"
		d_says=$(vdiskadm verify "$d_file" 2>&1 |
			grep -v 'leak:.*used by nobody')
		[ -z "$d_says" ] || d_bad="$d_bad
$d_n: left: $d_says"
		[ "$d_want" != same ] || [ "$(d_hash)" = "$(cat "hash-$d_kind")" ] ||
			d_bad="$d_bad
$d_n: reads $(d_hash)"
		d_n=$((d_n + 1))
	done
	is "$d_what: killed at each of $((d_n - 1)) places, more than 3" \
		"$d_rc$([ $d_n -gt 4 ] && echo ' yes')$d_bad" '0 yes'
}
