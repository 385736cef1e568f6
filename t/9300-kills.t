#!/bin/sh
# kill -9 of a process that serves a ring, with writes under way (W6).
#
# VD_KILLS is how many times.
. "${srcdir:-.}/t/lib/kills.sh"
kills=${VD_KILLS:-25}

for f in $formats; do
	ok "$f: $kills kills lose no answered write" \
		kill-lab -n "$kills" -s "$seed" d.$f
	sed 's/^/# /' "$tmp/.out"
	[ $f = raw ] || ok "$f: and leave no damage" vdiskadm verify d.$f
done
done_testing
