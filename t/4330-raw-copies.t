#!/bin/sh
# Where files can share blocks, a raw disk has snapshots: copies that stand alone,
# known by a mark and not by their names.  Where they cannot, it is told what can.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/chain.sh"
reflink_folder || skip_all 'no file system with shared blocks can be had'
cd "$folder" || exit 1
rm -f .x .y
d=d.raw

ok 'a disk' sh -c "vdiskadm create -s 8m $d && vd-io $d 'fill 0 8M 1'"
chmod 640 $d
ino=$(stat -c %i $d)
ok 'snapshot' vdiskadm snapshot $d@one
is 'the disk is the file it was' "$(stat -c %i $d)" "$ino"
is 'who could use it can use the snapshot' "$(stat -c %a d@one.raw)" 640
ok 'write' vd-io $d 'fill 0 64k 2' flush
ok 'the snapshot has the old bytes' vd-io -r d@one.raw 'verify 0 8M 1'
ok 'as the file is called' vdiskadm snapshot d@two.raw
ok 'write' vd-io $d 'fill 64k 64k 3'
fails_with 'the same name again' 'd@two.raw: exists already' \
	vdiskadm snapshot $d@two
cp $d 'd@mine.raw'
is 'list: the oldest first, and not what a person called so' \
	"$(vdiskadm list $d | paste -sd ' ')" "$d@one $d@two $d"
is 'list -p' "$(vdiskadm list -p $d | paste -sd ' ')" \
	"snapshot:$d@one snapshot:$d@two file:$d"
is 'list -f' "$(vdiskadm list -f $d | paste -sd ' ')" 'd@one.raw d@two.raw d.raw'

fails_with 'rollback past another' '1 more recent snapshot exists' \
	vdiskadm rollback $d@one
ok 'rollback' vdiskadm rollback $d@two
ok 'goes back' vd-io $d 'verify 0 64k 2' 'verify 64k 64k 1' 'fill 0 64k 4'
is 'the rights stay' "$(stat -c %a $d)" 640
ok 'and again' vdiskadm rollback d@two.raw
ok 'goes back' vd-io -r $d 'verify 0 64k 2'
fails_with 'to what is not there' 'no snapshot called "x"' vdiskadm rollback $d@x
fails_with 'to what a person called so' 'no snapshot called "mine"' \
	vdiskadm rollback $d@mine

ok 'clone of a snapshot' vdiskadm clone $d@one c.raw
ok 'has its bytes' cmp c.raw d@one.raw
[ -n "${LD_PRELOAD:-}" ] || {
	used=$(df -k --output=used . | tail -1)
	vdiskadm create -s 64m big.raw && vd-io big.raw 'fill 0 64M 1'
	sync -f .
	before=$(df -k --output=used . | tail -1)
	ok 'a clone of 64 MiB' vdiskadm clone big.raw big2.raw
	ok 'is the same' cmp big.raw big2.raw
	sync -f .
	is 'takes no room' \
		"$(($(df -k --output=used . | tail -1) - before < 8192))" 1
	ok 'and is its own' vd-io big2.raw 'fill 0 64k 9'
	ok 'the other is not touched' vd-io -r big.raw 'verify 0 64M 1'
	vdiskadm create -s 1m -t vmdk:fixed flat.vmdk && vd-io flat.vmdk 'fill 0 1M 5'
	ok 'from a vmdk of flat parts, too' vdiskadm clone flat.vmdk flat.raw
	ok 'is right' vd-io -r flat.raw 'verify 0 1M 5'
	rm big*.raw flat*
	truncate -s 1000100 odd.raw && vd-io odd.raw 'fill 0 1000000 3'
	ok 'an odd size' vdiskadm clone odd.raw odd2.raw
	ok 'is right' vd-io -r odd2.raw 'verify 0 1000000 3'
	ok 'an odd size has snapshots' vdiskadm snapshot odd.raw@a
	ok 'to go back to' sh -c "vd-io odd.raw 'fill 0 5000 4' &&
		vdiskadm rollback odd.raw@a && vd-io -r odd.raw 'verify 0 1000000 3'"
	rm odd*.raw
}

# Others that depend on one of the files.
ok 'a delta over a snapshot' vdiskadm create -p d@one.raw over.delta
fails_with 'destroy of it' 'depends on it.*over.delta' vdiskadm destroy $d@one
fails_with 'destroy of all' 'depends on it.*over.delta' vdiskadm destroy -r $d
rm over.delta
vdiskadm create -p d@two.raw over.delta
fails_with 'rollback over it' 'depends on it.*over.delta' \
	vdiskadm rollback -r $d@one
rm over.delta
vdiskadm create -p $d over.delta
fails_with 'rollback of what a delta lies over' 'depends on it.*over.delta' \
	vdiskadm rollback $d@two
ok 'a snapshot of it changes nothing' vdiskadm snapshot $d@three
ok 'which the delta agrees to' vd-io -r over.delta 'verify 0 64k 2'
is 'and a delta has its own snapshots' "$(vdiskadm list over.delta | wc -l)" 2
rm over.delta

# Renamed together they still know each other; by name alone nobody is known.
ok 'destroy one in the middle' vdiskadm destroy $d@two
is 'it is gone' "$(vdiskadm list $d | paste -sd ' ')" "$d@one $d@three $d"
for f in d*.raw; do mv "$f" "n${f#d}"; done
is 'all renamed' "$(vdiskadm list n.raw | paste -sd ' ')" \
	'n.raw@one n.raw@three n.raw'
vdiskadm create -s 8m other.raw && vdiskadm snapshot other.raw@its
cp --preserve=all n@one.raw other@one.raw
is 'of another disk' "$(vdiskadm list other.raw | paste -sd ' ')" \
	'other.raw@its other.raw'
for f in n*.raw; do mv "$f" "d${f#n}"; done
ok 'rollback -r' vdiskadm rollback -r $d@one
is 'the newer one is gone' "$(names .)" \
	'c.raw d.raw d@mine.raw d@one.raw other.raw other@its.raw other@one.raw'
ok 'goes back' vd-io -r $d 'verify 0 8M 1'
fails_with 'destroy a disk with snapshots' 'has 1 snapshot' vdiskadm destroy $d
ok 'destroy -r' vdiskadm destroy -r $d
is 'what a person called so stays' "$(names .)" \
	'c.raw d@mine.raw other.raw other@its.raw other@one.raw'
rm *.raw

# All or nothing.
ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
if vd-kill 99999 true; then
	ok 'a chain' make_chain chain-raw raw
	killed raw snapshot 'd.raw d@a.raw d@b.raw d@c.raw' snapshot d.raw@c
	killed raw rollback 'd.raw d@a.raw d@b.raw' rollback d.raw@b
	killed raw 'rollback over others' 'd.raw d@a.raw' rollback -r d.raw@a
	killed raw 'destroy of one' 'd.raw d@a.raw' destroy d.raw@b
	killed raw removal '' destroy -r d.raw

	# Cut short, and then something else: as long as the disk is what it
	# was, no snapshot goes.
	for verb in 'rollback -r d.raw@a' 'destroy -r d.raw'; do
		n=1 bad= was=$(states chain-raw raw)
		while [ $n -lt 99 ]; do
			rm -rf w; cp -a chain-raw w
			(cd w && vd-kill $n vdiskadm $verb) >out 2>&1
			[ $? -eq 77 ] || break
			top=$(vd-io -r w/d.raw hash 2>&1)
			(cd w && vdiskadm snapshot d.raw@z) >out 2>&1
			[ "$top" != "${was##* }" ] ||
				[ "$(states w raw)" = "$was" ] ||
				bad="$bad $n: $(names w)"
			n=$((n + 1))
		done
		is "$verb, killed, then another command: of $n" "$bad" ''
	done
fi

# A file system that cannot: nothing is made, and the delta is named.
unset LD_PRELOAD
cd /dev/shm 2>/dev/null && mkdir "vdisk-$$" && cd "vdisk-$$" || {
	skip 'without shared blocks' 'needs /dev/shm'
	done_testing
}
cleanup "rm -rf '/dev/shm/vdisk-$$'"
vdiskadm create -s 1m r.raw && vd-io r.raw 'fill 0 1M 1'
exits 'without shared blocks it is not supported' 1 vdiskadm snapshot r.raw@a
says 'says why' 'share blocks'
says 'and what can be done' 'vdiskadm create -p r.raw NEW.delta'
is 'nothing was made' "$(names .)" r.raw
ok 'a clone is a copy then' vdiskadm clone r.raw s.raw
ok 'with its bytes' cmp r.raw s.raw
done_testing
