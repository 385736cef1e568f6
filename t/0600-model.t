#!/bin/sh
# Thousands of random operations leave every format equal to a copy in memory.
. "${srcdir:-.}/t/lib/tap.sh"
need vd-model
cd "$tmp" || exit 1
n=${MODEL_OPS:-1500}

for type in raw vdi vdi:fixed vmdk vmdk:fixed; do
	file=disk.${type%:*}
	rm -f disk*
	ok "$type: create" vdiskadm create -s 48m -t "$type" "$file"
	ok "$type: blocking calls" vd-model -s 1 -n "$n" "$file"
	ok "$type: queue, preadv/pwritev, depth 24" \
		vd-model -s 2 -n "$n" -q 24 -d sync "$file"
	if vd-model -s 3 -n 1 -q 1 -d io_uring "$file" 2>/dev/null; then
		ok "$type: queue, io_uring, depth 1" \
			vd-model -s 4 -n "$n" -q 1 -d io_uring "$file"
		ok "$type: queue, io_uring, depth 200" \
			vd-model -s 5 -n "$n" -q 200 -d io_uring "$file"
	fi
done
ok 'raw: with discards' vdiskadm create -s 48m -t raw other.raw
ok 'raw: queue with discards' vd-model -D -s 6 -n "$n" -q 24 other.raw
done_testing
