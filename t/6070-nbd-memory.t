#!/bin/sh
# cache= bounds the memory that the tables of a large disk take.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/nbd.sh"
cd "$tmp" || exit 1
[ -z "$nbd_preload" ] || skip_all 'a sanitizer takes more memory than tables'

# Its map takes a look at 32 MiB of grain tables.
vdiskadm create -s 512G a.vmdk
memory_of() {	# WHAT ARGUMENT...: sets kib
	m_what=$1
	shift
	ok "$m_what: served" serve a.vmdk "$@"
	ok "$m_what: the map" nbdinfo --map "$uri"
	kib=$(awk '/^VmHWM/ { print $2 }' /proc/$nbd_pid/status)
	diag "$m_what: $kib KiB"
	ok "$m_what: ends" serve_ends
}
memory_of usual
usual=$kib
memory_of little cache=2M
is 'the usual cache has room for all of them' "$((usual > 32768))" 1
is 'a small one has not' "$((kib < usual - 16384))" 1
done_testing
