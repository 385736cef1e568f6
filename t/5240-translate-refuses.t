#!/bin/sh
# Whatever goes wrong, translate leaves nothing half-made and nothing changed.
. "${srcdir:-.}/t/lib/tap.sh"
mkdir "$tmp/d" && cd "$tmp/d" || exit 1

vdiskadm create -s 8m in.vdi
vd-io in.vdi 'fill 0 8M 1' flush
ls -A >../before
same() { ls -A >../after; ok 'nothing is left behind' diff ../before ../after; }

echo keep >out.raw; ls -A >../before
exits 'an existing file is refused: 3' 3 vdiskadm translate -I in.vdi -x raw -d out.raw
is 'and not changed' "$(cat out.raw)" keep
exits 'translating onto itself: 3' 3 vdiskadm translate -I in.vdi -x vdi -d in.vdi
echo keep >o-flat.vmdk; ls -A >../before
exits 'a part is in the way: 3' 3 vdiskadm translate -I in.vdi -x vmdk:fixed -d o.vmdk
is 'the part is not changed' "$(cat o-flat.vmdk)" keep
same
exits 'no such input: 3' 3 vdiskadm translate -I none.vdi -x raw -d o.raw
exits 'no such folder: 3' 3 vdiskadm translate -I in.vdi -x raw -d none/o.raw
exits 'the name of a folder: 3' 3 vdiskadm translate -I in.vdi -x raw -d none/
head -c 8192 /dev/urandom >bad.vdi
printf '\177\020\332\276\001\000\001\000' | dd of=bad.vdi bs=1 seek=64 conv=notrunc status=none
ls -A >../before
exits 'a broken input: 1' 1 vdiskadm translate -I bad.vdi -x raw -d o.raw
same

# A write that fails in the middle: the file size limit of the shell.
( ulimit -f 4096; trap '' XFSZ
  exec vdiskadm translate -I in.vdi -x raw -d o.raw ) >../out 2>&1
rc=$?
ok "a file that may not grow: exit $rc, no signal" test $rc -ge 1 -a $rc -le 3
ok 'names the file that was asked for' grep -q 'vdiskadm: .*o\.raw' ../out
ok 'and not the hidden one' sh -c '! grep -q "\.vdiskadm-" ../out'
same

# Interrupted in the middle.
vdiskadm create -s 1g slow.vmdk
vd-io slow.vmdk 'write 0 1G 0x5a' flush
ls -A >../before
for sig in TERM HUP; do
	vdiskadm translate -I slow.vmdk -x vdi -d o.vdi >/dev/null 2>../out &
	pid=$!
	i=0
	while [ $i -lt 100 ] && ! ls -d .vdiskadm-*/o.vdi >/dev/null 2>&1; do
		sleep 0.02; i=$((i + 1))
	done
	ok "it has begun" sh -c 'ls .vdiskadm-*/o.vdi'
	ok 'the name is not there while it grows' test ! -e o.vdi
	kill -$sig $pid
	wait $pid
	rc=$?
	ok "SIG$sig ends it by that signal (exit $rc)" test $rc -gt 128
	same
done
# A job in the background of a shell ignores SIGINT, so somebody else asks.
if command -v python3 >/dev/null; then
	cat >../int.py <<'P'
import glob, os, signal, subprocess, time
p = subprocess.Popen(["vdiskadm", "translate", "-I", "slow.vmdk", "-x",
		      "vmdk:fixed", "-d", "s.vmdk"], preexec_fn=lambda:
		     signal.signal(signal.SIGINT, signal.SIG_DFL))
for i in range(500):
	if glob.glob(".vdiskadm-*/s-flat.vmdk"):
		break
	time.sleep(0.01)
p.send_signal(signal.SIGINT)
assert p.wait(60) == -signal.SIGINT, p.returncode
P
	ok 'SIGINT ends it by that signal' python3 ../int.py
	same
else
	skip 'SIGINT' 'needs python3'
fi

is 'no progress but on a terminal' \
	"$(vdiskadm translate -I slow.vmdk -x vdi -d p.vdi 2>&1)" ''
rm p.vdi
if command -v script >/dev/null; then
	script -qec 'vdiskadm translate -I slow.vmdk -x vdi -d p.vdi' /dev/null \
		>../out 2>&1 </dev/null
	ok 'on a terminal there is' grep -q '% \[[#.]*\]  .* of 1 GiB  .*/s' ../out
	ok 'and it is wiped away' sh -c 'tr "\r" "\n" <../out | tail -n 1 |
		grep -q "^.\[K$"'
else
	skip 'progress on a terminal' 'needs script'
fi
done_testing
