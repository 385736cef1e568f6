#!/bin/sh
# kill -9 of a process that serves a ring, with writes under way (W6).
#
# VD_KILLS is how many times.
. "${srcdir:-.}/t/lib/tap.sh"
need vdiskadm kill-lab

kills=${VD_KILLS:-25}
work_in_memory
vdiskadm create -s 32M parent.raw
vdiskadm create -s 32M d.vmdk
vdiskadm create -s 32M d.vdi
vdiskadm create -p parent.raw d.delta
vdiskadm create -s 32M d.raw
for f in vmdk vdi delta raw; do
	ok "$f: $kills kills lose no answered write" \
		kill-lab -n "$kills" -s "${VD_CRASH_SEED:-1}" d.$f
	sed 's/^/# /' "$tmp/.out"
	[ $f = raw ] || ok "$f: and leave no damage" vdiskadm verify d.$f
done
done_testing
