#!/bin/sh
# A disk of every kind lives through hundreds of random operations - writes, zeros,
# discards, deaths, threads, snapshots, rollbacks, merges, resizes - and each state
# of it is at all times what a copy in memory says; what it cannot do it refuses.
in_memory=yes
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/variants.sh"
need vd-life
n=${LIFE_OPS:-300}

for v in $v_all; do
	mkdir "$tmp/$v"
	cd "$tmp/$v" || exit 1
	ok "$v: made" variant $v
	ok "$v: $n operations" vd-life -s ${LIFE_SEED:-1} -n $n \
		-x "$v_cannot" $v_options $v_file && rm -rf "$tmp/$v"
done
done_testing
