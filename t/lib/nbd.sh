# nbd.sh - disks served by nbdkit; sourced after tap.sh.

plugin=$builddir/lib/nbdkit-vdisk-plugin.so
[ -f "$plugin" ] || skip_all 'was built without nbdkit'
need nbdkit nbdinfo

# The server of a sanitized plugin needs the sanitizer first.
nbd_preload=
if [ "${VD_FLAVOUR:-plain}" = asan ]; then
	nbd_preload=$(cc -print-file-name=libasan.so)
	# What nbdkit itself leaves behind is not ours.
	ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
fi

nbd_n=0
nbd_pid=

# serve ARGUMENT...: in the background; sets sock, uri, nbd_log.  $nbd_under is
# put before nbdkit (strace).
serve() {
	nbd_n=$((nbd_n + 1))
	sock=$tmp/s$nbd_n
	uri="nbd+unix:///?socket=$sock"
	nbd_log=$tmp/log$nbd_n
	timeout ${nbd_limit:-300} ${nbd_under:-} env LD_PRELOAD="$nbd_preload" \
		nbdkit -f -U "$sock" -P "$tmp/pid$nbd_n" "$plugin" "$@" \
		>"$nbd_log" 2>&1 </dev/null &
	nbd_job=$!
	nbd_i=0
	while [ ! -s "$tmp/pid$nbd_n" ]; do
		if [ $nbd_i -gt 600 ] || ! kill -0 $nbd_job 2>/dev/null; then
			cat "$nbd_log"
			return 1
		fi
		sleep 0.05
		nbd_i=$((nbd_i + 1))
	done
	nbd_pid=$(cat "$tmp/pid$nbd_n")
}

# serve_ends: the server ends as it should, soon, without a sanitizer's report.
serve_ends() {
	[ -n "$nbd_pid" ] || return 0
	kill $nbd_pid 2>/dev/null
	nbd_i=0
	while kill -0 $nbd_pid 2>/dev/null && [ $nbd_i -lt 600 ]; do
		sleep 0.05
		nbd_i=$((nbd_i + 1))
	done
	# Under ASan, rarely, libp11-kit waits for a lock for ever, when nbdkit has
	# unloaded the plugin and calls exit: not ours.
	[ $nbd_i -lt 600 ] || kill -9 $nbd_pid
	nbd_pid=
	wait $nbd_job && return
	nbd_rc=$?
	cat "$nbd_log"
	[ $nbd_i -ge 600 ] && [ -n "$nbd_preload" ] || return $nbd_rc
}

# serve_dies: as by kill -9.
serve_dies() {
	kill -9 $nbd_pid
	nbd_pid=
	wait $nbd_job 2>/dev/null
	return 0
}
cleanup '[ -z "$nbd_pid" ] || kill -9 $nbd_pid 2>/dev/null'

# Starts, says what is wrong, and ends: what a user sees.
refused() {
	timeout 60 env LD_PRELOAD="$nbd_preload" nbdkit -f -U "$tmp/none" \
		"$plugin" "$@"
}

# One line of nbdinfo --json: nbd_says is_read_only
nbd_says() {
	nbdinfo --json "$uri" | sed -n "s/.*\"$1\": *\(.*[^,]\),*\$/\1/p"
}

# A disk of 24 MiB and a bit as lives leave it: text, noise, holes.
lived_in() {
	rm -f "$1"
	truncate -s 25166336 "$1"
	head -c 3000000 /dev/urandom | dd of="$1" bs=64k seek=17 conv=notrunc \
		status=none
	yes 'a text' | head -c 700001 | dd of="$1" bs=64k seek=150 \
		conv=notrunc status=none
	printf tail | dd of="$1" bs=1 seek=25166332 conv=notrunc status=none
}

# Sets python to one that has libnbd's module.  (A folder called nbd would do as
# a module, too: ask for what is in it.)
need_python_nbd() {
	for python in python3 /usr/bin/python3; do
		command -v $python >/dev/null &&
			$python -c 'import nbd; nbd.NBD' 2>/dev/null && break
		python=
	done
	[ -n "$python" ] || skip_all "needs python3 with libnbd's module"
	cat >"$tmp/client.py" <<'P'
import errno, nbd, sys
uri = sys.argv[2]

def connect():
    h = nbd.NBD()
    h.add_meta_context('base:allocation')
    h.connect_uri(uri)
    return h

def runs(h, count, off, flags=0):
    got = []
    h.block_status(count, off, lambda m, o, e, err: got.extend(e) or 0, flags)
    return list(zip(got[0::2], got[1::2]))

def fails(number, call, *args):
    """Refused by the server, not by the library that asks it."""
    h.set_strict_mode(0)
    try:
        call(*args)
    except nbd.Error as e:
        if e.errnum != number:
            print('error', e.errnum, 'instead of', number)
        return e.errnum == number
    return False

h = connect()
exec(sys.argv[1])
h.shutdown()
P
}

# client TEXT PYTHON: a claim about a conversation; h is connected to $uri.
client() {
	ok "$1" timeout 120 $python "$tmp/client.py" "$2" "$uri"
}
