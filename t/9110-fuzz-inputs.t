#!/bin/sh
# What the fuzzers kept, once more: no crash, no broken promise, no big heap.
. "${srcdir:-.}/t/lib/tap.sh"

replay=$builddir/t/fuzz/replay
[ -x "$replay" ] || skip_all 'needs t/fuzz/replay (make tests)'
# One request over that ends it with a report, as in make fuzz.
ASAN_OPTIONS=exitcode=99:max_allocation_size_mb=256:allocator_may_return_null=0
export ASAN_OPTIONS

for kind in corpus crashes; do
	for d in "$srcdir/t/fuzz/$kind"/*-*; do
		[ -d "$d" ] || continue
		ok "$kind of ${d##*/}" "$replay" "${d##*/}" "$d"
		sed 's/^/# /' "$tmp/.out"
	done
done
# And can it fail at all?
printf 'not an input' >"$tmp/x"
ok 'any bytes are an input' "$replay" probe-vdi "$tmp/x"
exits 'a target that is none is refused' 2 "$replay" eat-vdi "$tmp/x"
done_testing
