# t/xen/tap.sh - a boot of the lab as one TAP test.  Sourced after t/lib/tap.sh.
#
#	lab_prepare NAME	what a boot needs, or the test is skipped
#	lab_boot SCENARIO...	each result of the scenarios is one of the test
#	lab_judge IMAGE RAW	QEMU finds it sound, and reads in it what we read;
#				RAW is what QEMU read
#	lab_done
#
# Logs stay in BUILD/xen-NAME/log; VD_LAB_KEEP=1 keeps the disks as well.

lab=$srcdir/t/xen
build=$builddir
. "$lab/images.sh"

lab_prepare()
{
	work=$builddir/xen-$1
	[ -x "$builddir/bin/vdisk" ] || skip_all "built without Xen"
	rm -rf "$work"
	mkdir -p "$work/disks" "$work/judge"
	cleanup lab_tidy
	lab_rc=0
	"$lab/prepare" "$builddir" "$work" >"$work/prepare.log" 2>&1 || lab_rc=$?
	[ $lab_rc -ne 3 ] ||
		skip_all "$(grep -v '^fetch: [0-9]' "$work/prepare.log" | tr -s ' \n' ' ')"
	tap_result $lab_rc 'dom0 and guest are built from what would be installed'
	if [ $lab_rc -ne 0 ]; then
		tail -5 "$work/prepare.log" | sed 's/^/# /'
		done_testing
	fi
}

lab_tidy()
{
	[ -z "${VD_LAB_KEEP:-}" ] || return 0
	for lab_x in "$work"/*; do
		case $lab_x in
		*/log|*.log|*/results) ;;
		*)	rm -rf "$lab_x" ;;
		esac
	done
}

lab_boot()
{
	lab_rc=0
	lab_n=0
	# What watched the driver must have watched; it is asked at the end.
	[ -z "${LAB_KERNEL:-}" ] || set -- "$@" watched
	"$lab/run" "$work" "$@" >"$work/tap" 2>"$work/run.log" || lab_rc=$?
	while read -r lab_line; do
		case $lab_line in
		'ok - '*)	tap_result 0 "${lab_line#ok - }" ;;
		'not ok - '*)	tap_result 1 "${lab_line#not ok - }" ;;
		*)		printf '%s\n' "$lab_line"; continue ;;
		esac
		lab_n=$((lab_n + 1))
	done <"$work/tap"
	tap_result $lab_rc "dom0 came to its end"
	[ $lab_rc -eq 0 ] || sed 's/^/# /' "$work/run.log"
	# A scenario that tells nothing has tested nothing.
	[ $lab_n -ge $# ] || tap_result 1 "$* told something"
}

lab_judge()
{
	ok "${1##*/}: qemu-img check" check_image "$1"
	ok "${1##*/}: qemu-img convert" convert "$1" "$2"
	ok "${1##*/}: qemu-img and vdiskadm read the same" \
		same_as_ours "$1" "$2" "$work/judge"
}

lab_done()
{
	[ $tap_bad -eq 0 ] || diag "logs: $work/log"
	done_testing
}
