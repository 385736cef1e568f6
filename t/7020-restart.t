#!/bin/sh
# A guest that lives on while the process that serves its disk is killed, over
# and over: each request is answered once, and what was answered is there.
#
# VD_KILLS is how many times.  "log": on the guest's own ring, by the log of
# requests; "tap": by way of a driver, which here is a part of the test.
. "${srcdir:-.}/t/lib/kills.sh"
kills=${VD_KILLS:-20}

for f in $formats; do
	for how in log tap; do
		ok "$f, $how: $kills kills lose nothing" kill-lab -n "$kills" \
			-q 24 -s "$seed" -r $how d.$f
		sed 's/^/# /' "$tmp/.out"
	done
	[ $f = raw ] || ok "$f: and leave no damage" vdiskadm verify d.$f
done
done_testing
