#!/bin/sh
# Killed before any of its changes, a verb leaves a disk that opens as before or
# as after; the same command again finishes, and leaves nothing lying about.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/chain.sh"
need vd-kill
# A leak check cannot run under ptrace.
ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
cd "$tmp" || exit 1
vd-kill 99999 true || skip_all 'no ptrace here'

for t in vmdk vdi delta; do
	ok "$t: a chain" make_chain chain-$t $t
	base=
	[ $t != delta ] || base='base.raw '
	killed $t snapshot "${base}d.$t d@a.$t d@b.$t d@c.$t" snapshot d.$t@c
	killed $t rollback "${base}d.$t d@a.$t d@b.$t" rollback d.$t@b
	killed $t 'rollback over others' "${base}d.$t d@a.$t" rollback -r d.$t@a
	killed $t 'merge into the top' "${base}d.$t d@a.$t" destroy d.$t@b
	killed $t 'merge into a snapshot' "${base}d.$t d@b.$t" destroy d.$t@a
	killed $t removal "${base% }" destroy -r d.$t
done

# What makes a new image leaves none, or a whole one.
new='d.vmdk d@a.vmdk d@b.vmdk'
killed vmdk clone "$new new.vdi" clone d.vmdk@b new.vdi
killed vmdk create "$new new-flat.vmdk new.vmdk" create -s 1m -t vmdk:fixed \
	new.vmdk
killed vmdk 'create a child' "$new new.delta" create -p d@b.vmdk new.delta

# A parent that moved into a folder below: before, the disk does not open.
for t in vmdk delta; do
	rm -rf chain-$t/sub
	mkdir chain-$t/sub
	mv chain-$t/d@b.$t chain-$t/sub/moved.$t
	[ $t = vmdk ] || mv chain-$t/base.raw chain-$t/sub/
	mv chain-$t/d@a.$t chain-$t/sub/
	n=1 bad=
	while [ $n -lt 100 ]; do
		rm -rf w; cp -a chain-$t w
		vd-kill $n vdiskadm relink w/d.$t w/sub/moved.$t >out 2>&1
		rc=$?
		[ $rc -eq 77 ] || break
		vd-io -r w/d.$t 'verify 640k 1k 5' 'verify 1500k 100k 7' \
			'verify 3100k 0 2' >out 2>&1 ||
			grep -q "d@b.$t: No such file" out ||
			bad="$bad
$n: $(cat out)"
		vdiskadm relink w/d.$t w/sub/moved.$t >out 2>&1 &&
			vd-io -r w/d.$t 'verify 640k 1k 5' >>out 2>&1 ||
			bad="$bad
$n: again: $(cat out)"
		n=$((n + 1))
	done
	is "$t: relink, killed before each change" "$rc$bad" 0
done
done_testing
