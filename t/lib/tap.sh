# tap.sh - just enough TAP for shell tests; sourced, POSIX sh.
#
#	#!/bin/sh
#	# One sentence: the claim.
#	. "${srcdir:-.}/t/lib/tap.sh"
#	need qemu-img
#
#	ok 'it works'            command args
#	fails_with 'it refuses' 'pattern' command args
#	is 'it is 3'             "$(command)" 3
#	done_testing
#
# Given by the Makefile: srcdir, builddir.  Offered to the test: both as
# absolute paths, tmp (its own folder, removed at the end), and PATH,
# LD_LIBRARY_PATH, VDISK_PLUGIN_PATH set to what was built.

set -u
umask 022
LC_ALL=C
export LC_ALL

srcdir=$(cd "${srcdir:-.}" && pwd) || exit 1
builddir=$(cd "${builddir:-.}" && pwd) || exit 1

# VD_BIN: a folder of wrappers in front of the programs (make check-valgrind).
PATH=${VD_BIN:+$VD_BIN:}$builddir/bin:$builddir/t/tools:$PATH
LD_LIBRARY_PATH=$builddir/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
VDISK_PLUGIN_PATH=$builddir/lib/vdisk
export srcdir builddir PATH LD_LIBRARY_PATH VDISK_PLUGIN_PATH

# A report of a sanitizer or of valgrind is not "the answer is no" (exit 1).
ASAN_OPTIONS=${ASAN_OPTIONS:-exitcode=99:allocator_may_return_null=1}
UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:exitcode=99:print_stacktrace=1}
export ASAN_OPTIONS UBSAN_OPTIONS

# in_memory=yes, set by the test before it reads this: a sync costs nothing there.
if [ -n "${in_memory:-}" ] && [ -z "${TMPDIR:-}" ] && [ -w /dev/shm ]; then
	TMPDIR=/dev/shm
fi
tmp=$(mktemp -d "${TMPDIR:-/tmp}/vdisk-t.XXXXXX") || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR
tap_n=0
tap_bad=0
tap_cleanup=

# What to do at the end, last registered first: register before the mess.
cleanup() {
	tap_cleanup="$*
$tap_cleanup"
}

tap_exit() {
	tap_status=$?
	trap - EXIT
	eval "$tap_cleanup"
	rm -rf "$tmp"
	exit $tap_status
}
trap tap_exit EXIT
trap 'exit 1' HUP INT TERM

# A comment on a failure: on stderr, where prove lets it through.
diag() {
	printf '%s\n' "$*" | sed 's/^/# /' >&2
}

# The last claim's output, as comments; long ones are cut.
tap_show() {
	sed -e 's/^/# /' -e '60{s/.*/# .../;q;}' "$tmp/.out" >&2
}

# tap_result GOOD(0|other) TEXT
tap_result() {
	tap_n=$((tap_n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tap_n - $2"
	else
		tap_bad=$((tap_bad + 1))
		echo "not ok $tap_n - $2"
		echo "# ${0##*/}: not ok $tap_n - $2" >&2
	fi
}

# ok TEXT COMMAND...: succeeds when the command does.
ok() {
	tap_text=$1
	shift
	"$@" >"$tmp/.out" 2>&1 </dev/null
	tap_rc=$?
	tap_result $tap_rc "$tap_text"
	if [ $tap_rc -ne 0 ]; then
		diag "exit $tap_rc: $*"
		tap_show
		return 1
	fi
}

# fails_with TEXT PATTERN COMMAND...: fails by itself (not by a signal, not
# by a sanitizer) and says something that matches a basic regular expression.
fails_with() {
	tap_text=$1 tap_pattern=$2
	shift 2
	"$@" >"$tmp/.out" 2>&1 </dev/null
	tap_rc=$?
	tap_why=
	if [ $tap_rc -eq 0 ]; then
		tap_why='it succeeded'
	elif [ $tap_rc -ge 99 ]; then
		tap_why="it died (exit $tap_rc)"
	elif ! grep -q -e "$tap_pattern" "$tmp/.out"; then
		tap_why="exit $tap_rc, but nothing matches '$tap_pattern'"
	fi
	if [ -z "$tap_why" ]; then
		tap_result 0 "$tap_text"
	else
		tap_result 1 "$tap_text"
		diag "$tap_why: $*"
		tap_show
		return 1
	fi
}

# exits TEXT STATUS COMMAND...: with exactly this status.
exits() {
	tap_text=$1 tap_want=$2
	shift 2
	"$@" >"$tmp/.out" 2>&1 </dev/null
	tap_rc=$?
	if [ $tap_rc -eq "$tap_want" ]; then
		tap_result 0 "$tap_text"
	else
		tap_result 1 "$tap_text"
		diag "exit $tap_rc, want $tap_want: $*"
		tap_show
		return 1
	fi
}

# says TEXT PATTERN: what the last ok, fails_with or exits ran has said this.
says() {
	if grep -q -e "$2" "$tmp/.out"; then
		tap_result 0 "$1"
	else
		tap_result 1 "$1"
		diag "nothing matches '$2'"
		tap_show
		return 1
	fi
}

# is TEXT GOT WANT
is() {
	if [ "$2" = "$3" ]; then
		tap_result 0 "$1"
	else
		tap_result 1 "$1"
		diag " got '$2'"
		diag "want '$3'"
		return 1
	fi
}

# skip TEXT REASON: one claim that cannot be tested here.
skip() {
	tap_n=$((tap_n + 1))
	echo "ok $tap_n - $1 # SKIP $2"
}

skip_all() {
	echo "1..0 # SKIP $*"
	exit 0
}

# need TOOL...: without it there is nothing to test.
need() {
	for tap_tool; do
		command -v "$tap_tool" >/dev/null 2>&1 ||
			skip_all "needs $tap_tool"
	done
}

# vd_io FILE 'write 3M 1M 0x5a' flush ...: see t/tools/vd-io.c.
vd_io() {
	vd-io "$@"
}

# make_image PATH SIZE [BYTE]: format by extension; filled with BYTE if given.
make_image() {
	vdiskadm create -s "$2" -t "${1##*.}" "$1" || return
	[ $# -lt 3 ] || vd-io "$1" "write 0 $2 $3" flush
}

# work_in_memory: go where a sync costs nothing, with a journal folder of its own.
work_in_memory() {
	tap_work=$tmp/work
	if [ -d /dev/shm ] && [ -w /dev/shm ]; then
		tap_work=$(mktemp -d /dev/shm/vdisk-t.XXXXXX)
		cleanup "rm -rf '$tap_work'"
	fi
	mkdir -p "$tap_work/run"
	VDISK_RUN_DIR=$tap_work/run
	cd "$tap_work" || exit 1
}

# The content of a disk, whatever its format, as one word.
content_of() {
	vd-io -r "$1" hash
}

# fact ROW COLUMN WORD: what the claims before have shown, for the table in README.
fact() {
	printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$tmp/.facts"
}

# Of a test that failed no fact is worth anything.
tap_facts() {
	tap_to=$builddir/facts/${0##*/}
	rm -f "$tap_to"
	if [ -f "$tmp/.facts" ] && [ $tap_bad -eq 0 ]; then
		mkdir -p "$builddir/facts" && cp "$tmp/.facts" "$tap_to"
	fi
}

done_testing() {
	tap_facts
	echo "1..$tap_n"
	[ $tap_bad -eq 0 ] || echo "# $tap_bad of $tap_n failed"
	[ $tap_bad -eq 0 ]
	exit
}
