#!/bin/sh
# snapshot=NAME serves that state, read-only, also while the top is in use.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/chain.sh"
. "$srcdir/t/lib/nbd.sh"
need nbdcopy
cd "$tmp" || exit 1

for t in vmdk vdi delta; do
	ok "$t: a chain" make_chain $t $t
	want=$(states $t $t)
	ok "$t: the top is served" serve $t/d.$t
	top=$nbd_pid top_job=$nbd_job top_uri=$uri
	for s in a b; do
		ok "$t: @$s beside it" serve $t/d.$t snapshot=$s
		is "$t: @$s: read-only" "$(nbd_says is_read_only)" true
		ok "$t: @$s: copied" nbdcopy "$uri" $t-$s.raw
		ok "$t: @$s: ends" serve_ends
	done
	nbd_pid=$top nbd_job=$top_job
	ok "$t: the top, copied" nbdcopy "$top_uri" $t-top.raw
	is "$t: three states" " $(content_of $t-a.raw) $(content_of $t-b.raw) $(
		content_of $t-top.raw)" "$want"
	fails_with "$t: a name that is none" \
		'd.*: has no snapshot called "c", but b, a' \
		refused $t/d.$t snapshot=c
	ok "$t: ends" serve_ends
	is "$t: nothing was left behind or changed" "$(states $t $t)" "$want"
done

# A raw base is one of the states; it stays raw whatever its bytes say.
ok 'the base by its file name' serve delta/d.delta snapshot=base.raw
ok 'copied' nbdcopy "$uri" base.raw
ok 'it is the base' cmp base.raw delta/base.raw
ok 'ends' serve_ends
vdiskadm create -s 1M inner.vmdk
ok 'a child of a raw disk that holds a vmdk' sh -c '
	vdiskadm create -s 4M trapped.raw && vdiskadm create -p trapped.raw t.delta &&
	vd-io t.delta "write 1M 512 1" && mtime=$(stat -c %y trapped.raw) &&
	dd if=inner.vmdk of=trapped.raw conv=notrunc status=none &&
	touch -d "$mtime" trapped.raw'
ok 'the base is served as raw' serve t.delta snapshot=trapped.raw
is 'all of it' "$(nbdinfo --size "$uri")" 4194304
ok 'ends' serve_ends

vdiskadm create -s 1M alone.vdi
fails_with 'no snapshots at all' 'alone.vdi: has no snapshots' \
	refused alone.vdi snapshot=x
done_testing
