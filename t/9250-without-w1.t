#!/bin/sh
# A library built without W1 - tables do not wait for data - is found out.
. "${srcdir:-.}/t/lib/crash.sh"

broken=${builddir:-.}/without-w1
[ -x "$broken/t/tools/crash-lab" ] ||
	skip_all 'needs the build without W1: make check-crash makes it'
VDISK_PLUGIN_PATH=$broken/lib/vdisk LD_LIBRARY_PATH=$broken/lib

# In a base fresh room reads as zeros, which is what was there: children tell.
for f in vdi vmdk delta; do
	exits "$f: in a child" 1 "$broken/t/tools/crash-lab" -n 1000 \
		-s "$seed" $f child $f
	tail -n 1 "$tmp/.out" | sed 's/^/# /'
done
done_testing
