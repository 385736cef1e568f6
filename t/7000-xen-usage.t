#!/bin/sh
# The Xen programs say what is wrong with a command, with the right status.
. "${srcdir:-.}/t/lib/tap.sh"
need vdisk vdisk-attach vdisk-detach vdisk-list

# err STATUS TEXT PATTERN COMMAND...
err() {
	err_want=$1 err_text=$2 err_pattern=$3
	shift 3
	"$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	err_rc=$?
	is "$err_text: status" "$err_rc" "$err_want"
	if grep -q -e "$err_pattern" "$tmp/err"; then
		tap_result 0 "$err_text: says so"
	else
		tap_result 1 "$err_text: says so"
		diag "$(cat "$tmp/err")"
	fi
}

truncate -s 1M "$tmp/disk.raw"
img=$tmp/disk.raw

for p in vdisk vdisk-attach vdisk-detach vdisk-list; do
	ok "$p --help" sh -c "$p --help | grep -q '^usage: $p'"
	ok "$p --version" sh -c "$p --version | grep -q '^$p [0-9]'"
	err 2 "$p: unknown option" 'see `'"$p --help" $p --bogus
	# A full disk must not look like success.
	[ ! -w /dev/full ] || exits "$p --version >/dev/full" 3 \
		sh -c "$p --version >/dev/full"
done

is 'vdisk -q sectors' "$(vdisk -q sectors -f "$img")" 2048
err 2 'vdisk without -f' '-f PATH' vdisk -x backend/vdisk/1/51712
err 2 'vdisk without -x' '-x NODE' vdisk -f "$img"
err 2 'vdisk -q and -x' 'exclude' vdisk -q sectors -x a -f "$img"
err 2 'vdisk -q of something else' 'only sectors' vdisk -q size -f "$img"
err 2 'vdisk with a stray word' 'what is "more"' vdisk -q sectors -f "$img" more
err 2 'vdisk --driver' 'io_uring' vdisk --driver=fast -f "$img" -x a
err 2 'vdisk --ready-fd' 'descriptor' vdisk --ready-fd=99 -f "$img" -x a
err 3 'vdisk -q of no file' 'No such file' vdisk -q sectors -f "$tmp/none"
err 3 'an xpvtap node' 'xpvtap' vdisk -f "$img" -x /dev/xen/xpvtap/1-51712
for node in backend backend/vdisk/1 backend/vdisk/x/1 ../../etc \
	backend/vdisk/1/51712/state ''; do
	err 3 "node '$node'" 'no backend directory' vdisk -f "$img" -x "$node"
done
err 3 'the kernel'"'"'s directory' 'xen-blkback' vdisk -f "$img" -x backend/vbd/1/51712

err 2 'attach: too few' 'usage' vdisk-attach guest
err 2 'attach: too many' 'usage' vdisk-attach guest "$img" xvdb w more
err 2 'attach: mode' 'mode x' vdisk-attach guest "$img" xvdb x
err 2 'attach: mode w!' 'never' vdisk-attach guest "$img" xvdb w!
err 2 'attach: device' 'bogus is no device' vdisk-attach guest "$img" bogus w
err 2 'attach: relative path' 'absolute' vdisk-attach guest tap:vdisk:disk.raw xvdb
err 2 'attach: another tap' 'tap:vdisk' vdisk-attach guest "tap:aio:$img" xvdb
err 2 'attach: --wait' 'seconds' vdisk-attach --wait=x guest "$img" xvdb
err 2 'attach: --driver' 'io_uring' vdisk-attach --driver=x guest "$img" xvdb
# The image is looked at before Xen is.
err 3 'attach: no file' 'No such file' vdisk-attach guest "$tmp/none.vmdk" xvdb
printf 'not an image' >"$tmp/bad.vmdk"
err 3 'attach: garbage' 'bad.vmdk' vdisk-attach guest "$tmp/bad.vmdk" xvdb
err 2 'detach: too few' 'usage' vdisk-detach guest
err 2 'detach: device' 'no device' vdisk-detach guest sdzz
err 2 'detach: --timeout' 'seconds' vdisk-detach --timeout -1 guest xvdb
err 2 'list: too many' 'usage' vdisk-list one two

if [ -e /proc/xen/capabilities ] || [ -e /sys/hypervisor/type ]; then
	done_testing
fi
node=backend/vdisk/1/51728
err 3 'attach without Xen' 'does not run Xen' vdisk-attach guest "tap:vdisk:$img" xvdb w
err 3 'detach without Xen' 'does not run Xen' vdisk-detach guest xvdb
err 3 'list without Xen' 'does not run Xen' vdisk-list
err 3 'vdisk without Xen' 'does not run Xen' vdisk -f "$img" -x $node
err 3 'vdisk --daemon tells its caller' 'does not run Xen' \
	vdisk --daemon -f "$img" -x $node -p "$tmp/pid"
ok 'and leaves no pid file' test ! -e "$tmp/pid"
: >"$tmp/pid"
flock "$tmp/pid" sh -c 'echo $$ >"$1"; exec sleep 20' sh "$tmp/pid" &
holder=$!
cleanup "kill $holder 2>/dev/null"
n=0
while [ ! -s "$tmp/pid" ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
err 3 'a pid file of a living process' 'process [0-9]* holds' \
	vdisk -f "$img" -x $node -p "$tmp/pid"
ok 'is left alone' test -s "$tmp/pid"
ln -s "$tmp/elsewhere" "$tmp/link"
err 3 'a pid file that is a link' 'pid file' vdisk -f "$img" -x $node -p "$tmp/link"
ok 'is not followed' test ! -e "$tmp/elsewhere"
err 3 'a pid file nowhere' 'No such file' vdisk -f "$img" -x $node -p "$tmp/no/pid"
is 'the image was not touched' "$(stat -c %s "$img")" 1048576
done_testing
