#!/bin/sh
# A parent that is missing, moved, changed, of the wrong size or the wrong one is an
# error that says so and never zeros; relink mends what can be mended.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1

# fresh: d.TYPE over d@a.TYPE
fresh() {
	rm -rf -- *
	if [ "$t" = delta ]; then
		vdiskadm create -s 2m base.vmdk &&
		vd-io base.vmdk 'fill 0 2M 1' &&
		vdiskadm create -p base.vmdk d.delta
	else
		vdiskadm create -s 2m d.$t && vd-io d.$t 'fill 0 2M 1'
	fi && vdiskadm snapshot d.$t@a && vd-io d.$t 'fill 0 64k 2'
}
right='verify 1M 1M 1'

for t in vmdk vdi delta; do
	d=d.$t p=d@a.$t
	ok "$t: a chain" fresh
	mv $p elsewhere.$t
	mkdir sub
	ok "$t: renamed, it is known by its identity" vd-io -r $d "$right" \
		'verify 0 64k 2'
	mv elsewhere.$t sub/
	[ $t = vdi ] || {
		[ $t = vmdk ] || mv base.vmdk sub/
		fails_with "$t: moved into a folder: which one" "$p.*No such" \
			vd-io -r $d "$right"
		says "$t: and what helps" "vdiskadm relink $d PARENT"
		exits "$t: verify says no, too" 1 vdiskadm verify $d
		ok "$t: relink" vdiskadm relink $d sub/elsewhere.$t
		ok "$t: reads right" vd-io -r $d "$right"
	}
	[ $t != vdi ] || fails_with "$t: moved where it is not looked for" \
		'is in none of the folders' vd-io -r $d "$right"
	rm -r sub
	fails_with "$t: gone" 'its parent' vd-io -r $d 'expect 0 1M 0'

	ok "$t: a chain" fresh
	cp $p saved
	ok "$t: somebody writes to the parent" vd-io $p 'fill 1M 512 7'
	fails_with "$t: changed: says what was expected" 'parent' \
		vd-io -r $d "$right"
	says "$t: and how to go on" "vdiskadm relink $d $p"
	ok "$t: relink by one who knows" vdiskadm relink $d $p
	says "$t: not without a warning" 'done, but mind: '
	ok "$t: shows what is there" vd-io -r $d 'verify 1M 512 7' \
		'verify 2049s 2047s 1'

	ok "$t: a chain" fresh
	rm $p
	case $t in
	delta)	vdiskadm create -p base.vmdk $p ;;
	*)	vdiskadm create -s 2m $p ;;
	esac
	fails_with "$t: another image of that name" 'parent' \
		vd-io -r $d "$right"

	[ $t != vdi ] || {
		ok "$t: a chain" fresh
		ok "$t: its parent gets another size" vdiskadm resize $p 3m
		fails_with "$t: which: found, expected" \
			'2097152 bytes and has 3145728 (found as d@a.vdi)' \
			vd-io $d "$right"
		says "$t: and how to go on" "vdiskadm relink"
	}

	ok "$t: a chain" fresh
	# Over its own kind, so that only the size is wrong.
	for s in 1m 3m; do
		other=other-$s.$t
		case $t in
		delta)	vdiskadm create -s $s base-$s.vmdk &&
			vdiskadm create -p base-$s.vmdk $other ;;
		*)	vdiskadm create -s $s $other ;;
		esac
		fails_with "$t: a parent of $s is none: which, found, expected" \
			"cannot have $other for its parent: .*\(2097152.*${s%m}[0-9]\{6\}\|[13][0-9]\{6\}.*2097152\)" \
			vdiskadm relink $d $other
	done
	ok "$t: nothing changed" vd-io -r $d "$right"
	fails_with "$t: nor is it its own" 'its own parent' \
		vdiskadm relink $d $d
	ok "$t: nothing changed" vd-io -r $d "$right"
	fails_with "$t: nor its child's child" 'circle' \
		vdiskadm relink $p $d
	ok "$t: nothing changed" vd-io -r $d "$right"
	vdiskadm create -s 1m lone.vmdk
	fails_with "$t: one without a parent gets none" 'has no parent' \
		vdiskadm relink lone.vmdk $p
	fails_with "$t: relink to what is not there" 'nothere' \
		vdiskadm relink $d nothere.$t
done

# A raw disk has no identity but its size and the time of its last change.
rm -rf -- *
vdiskadm create -s 1m disk.raw
vd-io disk.raw 'fill 0 end 1'
vdiskadm create -p disk.raw top.delta
vd-io top.delta 'fill 0 512 2'
mv disk.raw moved.raw
fails_with 'a raw parent that was renamed' 'disk.raw: No such file' \
	vd-io -r top.delta 'dump 0 1'
ok 'relink' vdiskadm relink top.delta moved.raw
is 'without a word' "$(cat "$tmp/.out")" ''
ok 'reads right' vd-io -r top.delta 'verify 0 512 2' 'verify 1s 2047s 1'
vd-io moved.raw 'fill 4k 512 3'
fails_with 'and one that was written to' 'changed since' \
	vd-io -r top.delta 'dump 0 1'
done_testing
