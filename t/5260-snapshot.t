#!/bin/sh
# snapshot, rollback, destroy, clone, list: their words, what they refuse, and what
# they leave alone.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/chain.sh"
cd "$tmp" || exit 1

for t in vmdk vdi; do
	mkdir $t; cd $t || exit 1
	d=d.$t
	vdiskadm create -s 4m $d && vd-io $d 'fill 0 4M 1' && chmod 640 $d
	ok "$t: snapshot disk@name" vdiskadm snapshot $d@one
	is "$t: the frozen image has the name" "$(names .)" "d.$t d@one.$t"
	is "$t: who could use the disk still can" "$(stat -c %a $d)" 640
	ok "$t: and reads the same" vd-io $d 'verify 0 4M 1' 'fill 0 64k 2'
	ok "$t: snapshot as the file is called" vdiskadm snapshot "d@two.$t"
	vd-io $d 'fill 0 64k 3'
	fails_with "$t: the same name again" "d@two.$t: exists already" \
		vdiskadm snapshot $d@two
	exits "$t: which is the system's no" 3 vdiskadm snapshot $d@two
	ok "$t: the disk is untouched" vd-io -r $d 'verify 0 64k 3'
	ok "$t: list" vdiskadm list $d
	is "$t: the oldest first" "$(cat "$tmp/.out" | paste -sd ' ')" \
		"$d@one $d@two $d"
	is "$t: list -p" "$(vdiskadm list -p $d | paste -sd ' ')" \
		"snapshot:$d@one snapshot:$d@two file:$d"
	is "$t: list -f" "$(vdiskadm list -f $d | paste -sd ' ')" \
		"d@one.$t d@two.$t d.$t"

	fails_with "$t: rollback past another" '1 more recent snapshot exists' \
		vdiskadm rollback $d@one
	says "$t: says how" '-r removes'
	ok "$t: rollback" vdiskadm rollback $d@two
	ok "$t: goes back" vd-io $d 'verify 0 64k 2' 'fill 0 64k 4'
	ok "$t: rollback as the file is called" vdiskadm rollback d@two.$t
	ok "$t: goes back" vd-io -r $d 'verify 0 64k 2'
	ok "$t: rollback -r" vdiskadm rollback -r $d@one
	ok "$t: goes back" vd-io -r $d 'verify 0 4M 1'
	is "$t: the newer one is gone" "$(names .)" "d.$t d@one.$t"
	is "$t: nothing but rights of its own" "$(stat -c %a $d)" 640
	fails_with "$t: rollback to what is not there" 'no snapshot called "x"' \
		vdiskadm rollback $d@x
	says "$t: says where to look" "vdiskadm list $d"

	vdiskadm snapshot $d@two
	ok "$t: clone -c" vdiskadm clone -c hello $d@one copy.$t
	ok "$t: has a comment" sh -c "vdiskadm info copy.$t | grep -q hello"
	ok "$t: stands alone" sh -c "mkdir x && mv copy.$t x && \
		vd-io -r x/copy.$t 'verify 0 4M 1'; e=\$?; rm -r x; exit \$e"
	ok "$t: clone to the other format" vdiskadm clone $d copy.raw
	ok "$t: same bytes" vd-io -r copy.raw 'verify 0 4M 1'
	fails_with "$t: clone to what exists" 'exists already' \
		vdiskadm clone $d copy.raw
	rm copy.raw

	fails_with "$t: destroy a disk with snapshots" 'has 2 snapshots' \
		vdiskadm destroy $d
	vdiskadm create -p d@one.$t other.$t
	fails_with "$t: destroy what another depends on" 'other.*depends\|depends.*other' \
		vdiskadm destroy $d@one
	fails_with "$t: the same for all" 'depends on it' vdiskadm destroy -r $d
	fails_with "$t: and for rollback" 'depends on it' sh -c "
		vdiskadm create -p d@two.$t third.$t &&
		vdiskadm rollback -r $d@one"
	ok "$t: nothing happened" vd-io -r $d 'verify 0 4M 1'
	rm other.$t third.$t
	ok "$t: destroy as the file is called" vdiskadm destroy d@one.$t
	is "$t: it is gone" "$(names .)" "d.$t d@two.$t"
	ok "$t: the disk is the same" vd-io -r $d 'verify 0 4M 1'
	fails_with "$t: destroy what is not there" 'no snapshot called' \
		vdiskadm destroy $d@one
	mkdir keep && ln -s ../$d keep/l.$t
	ok "$t: a link is followed" vdiskadm snapshot keep/l.$t@three
	is "$t: and stays" "$(readlink keep/l.$t)" "../$d"
	is "$t: the snapshot lies beside the disk" "$(names .)" \
		"d.$t d@three.$t d@two.$t keep"
	rm -r keep
	ok "$t: destroy -r" vdiskadm destroy -r $d
	is "$t: nothing is left" "$(names .)" ''

	# Somebody has it open.
	vdiskadm create -s 4m $d && vdiskadm snapshot $d@a
	mkfifo hold
	vd-io $d 'fill 0 4M 1' flush 'dump 0 end' >hold 2>/dev/null &
	pid=$!
	exec 3<hold
	dd bs=1 count=1 <&3 >/dev/null 2>&1	# now it is open, and stays so
	for v in "snapshot $d@b" "rollback $d@a" "destroy $d@a" \
		"destroy -r $d" "resize $d 8m" "compact $d"; do
		fails_with "$t: in use: $v" 'another program' vdiskadm $v
	done
	ok "$t: in use: list" vdiskadm list $d
	exec 3<&-
	wait $pid 2>/dev/null
	rm hold
	is "$t: nothing happened" "$(names .)" "d.$t d@a.$t"
	cd ..
done

# A base of two files: only its description gets the name.
mkdir flat; cd flat || exit 1
vdiskadm create -s 4m -t vmdk:fixed f.vmdk && vd-io f.vmdk 'fill 0 4M 1'
ok 'flat: snapshot' vdiskadm snapshot f.vmdk@a
is 'flat: its data keeps its name' "$(names .)" 'f-flat.vmdk f.vmdk f@a.vmdk'
ok 'flat: reads the same' vd-io f.vmdk 'verify 0 4M 1' 'fill 1M 512 2'
is 'flat: list -f names all files' "$(vdiskadm list -f f.vmdk | paste -sd ' ')" \
	'f@a.vmdk f-flat.vmdk f.vmdk'
ok 'flat: clone' vdiskadm clone f.vmdk g.vmdk
is 'flat: is fixed, too' "$(names .)" \
	'f-flat.vmdk f.vmdk f@a.vmdk g-flat.vmdk g.vmdk'
rm g*
ok 'flat: merge' vdiskadm destroy f.vmdk@a
is 'flat: the data file went with the snapshot' "$(names .)" 'f.vmdk'
ok 'flat: the disk is the same' vd-io -r f.vmdk 'verify 0 1M 1' \
	'verify 1M 512 2' 'verify 2049s 6143s 1'
cd ..

# As other programs name their chains.
mkdir vmware; cd vmware || exit 1
vdiskadm create -s 4m w.vmdk && vd-io w.vmdk 'fill 0 4M 1'
vdiskadm create -p w.vmdk w-000001.vmdk && vd-io w-000001.vmdk 'fill 0 512 2'
vdiskadm create -p w-000001.vmdk w-000002.vmdk
vd-io w-000002.vmdk 'fill 512 512 3'
is 'their snapshots have their files for names' \
	"$(vdiskadm list w-000002.vmdk | paste -sd ' ')" \
	'w-000002.vmdk@w.vmdk w-000002.vmdk@w-000001.vmdk w-000002.vmdk'
ok 'a snapshot of ours above' vdiskadm snapshot w-000002.vmdk@ours
vd-io w-000002.vmdk 'fill 1024 512 4'
ok 'a merge of theirs' vdiskadm destroy w-000002.vmdk@w-000001.vmdk
ok 'reads the same' vd-io -r w-000002.vmdk 'verify 0 512 2' 'verify 512 512 3' \
	'verify 1024 512 4' 'verify 3s 8189s 1'
is 'the files' "$(names .)" 'w-000002.vmdk w-000002@ours.vmdk w.vmdk'
ok 'a disk goes with its snapshots, and leaves its parent' \
	vdiskadm destroy -r w-000002.vmdk
is 'the files' "$(names .)" 'w.vmdk'
cd ..

# Names.
vdiskadm create -s 1m n.vmdk
for bad in '' 'a/b' 'a@b' 'a"b' 'a\b' "a
b"; do
	vdiskadm snapshot "n.vmdk@$bad" >out 2>&1
	rc=$?
	is "the name '$bad' is refused" "$([ $rc -ne 0 ]; echo $?) $(names . |
		grep -c 'n@')" '0 0'
done
exits 'no name at all is wrong usage' 2 vdiskadm snapshot n.vmdk
exits 'nor for rollback' 2 vdiskadm rollback n.vmdk
fails_with 'a name that is too long' 'too long' vdiskadm snapshot \
	"n.vmdk@$(printf '%0300d' 1)"
vdiskadm create -s 1m 'user@host.vmdk'
ok 'an image with an @ of its own' vdiskadm snapshot 'user@host.vmdk@x'
is 'has its snapshot' "$(vdiskadm list 'user@host.vmdk' | head -1)" \
	'user@host.vmdk@x'
ok 'with blanks in it' vdiskadm snapshot 'n.vmdk@before the update'
is 'as well' "$(vdiskadm list n.vmdk | head -1)" 'n.vmdk@before the update'
fails_with 'no disk' 'nothere.vmdk: No such file' vdiskadm snapshot nothere.vmdk@a
fails_with 'no disk to destroy' 'nothere.vmdk: No such file' \
	vdiskadm destroy nothere.vmdk
is 'nothing lies about' "$(ls -A | grep -c vdiskadm)" 0

# Two at once: the folder of the first is locked.
mkdir -m 700 .vdiskadm-n.vmdk
fails_with 'another one is at work' 'another vdiskadm' \
	flock .vdiskadm-n.vmdk vdiskadm snapshot n.vmdk@b
ok 'and when it is done' vdiskadm snapshot n.vmdk@b
is 'nothing lies about' "$(ls -A | grep -c vdiskadm)" 0

# A file system without hard links.
if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null &&
   [ "${VD_FLAVOUR:-plain}" = plain ]; then
	vdiskadm create -s 1m h.vmdk && vd-io h.vmdk 'fill 0 1M 1'
	ok 'without hard links' strace -o /dev/null -e trace=link,linkat \
		-e inject=link,linkat:error=EPERM vdiskadm snapshot h.vmdk@a
	ok 'the disk' vd-io h.vmdk 'verify 0 1M 1' 'fill 0 512 2'
	ok 'the snapshot' vd-io -r h@a.vmdk 'verify 0 1M 1'
	for call in renameat2:error=EINVAL:when=2 rename,renameat2:signal=KILL:when=2 \
		fsync:signal=KILL:when=5; do
		strace -o /dev/null -e inject=link,linkat:error=EPERM \
			-e inject=$call vdiskadm snapshot h.vmdk@b >out 2>&1
		ok "$call: the disk" vd-io -r h.vmdk 'verify 0 512 2'
		ok "$call: again" sh -c 'vdiskadm snapshot h.vmdk@b 2>err ||
			grep "exists already" err'
		ok "$call: the snapshot" vd-io -r h@b.vmdk 'verify 0 512 2'
		is "$call: no other files" "$(ls -A | grep -c '^h\|kadm-h')" 3
		vdiskadm destroy h.vmdk@b
	done
else
	skip 'without hard links' 'needs strace'
fi
done_testing
