#!/bin/sh
# What can be done with a disk of each variant is done, and what cannot is refused:
# the table in README is made of this (t/lib/table).
in_memory=yes
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/variants.sh"

# One disk of each, and what is known of it without asking us.
#	known	bytes that it holds	damage	spoils it	torn	so that it can be mended
about() {
	known='expect 0 64k 0' damage= torn=
	case $1 in
	sparse)	word=monolithicSparse damage='vmdk-craft d.vmdk size=4 4,70000,0' ;;
	v2)	word=monolithicSparse known='expect 192k 64k 0x43'
		damage='vmdk-craft d.vmdk size=4 version=2 flags=7 4,70000,0' ;;
	v3)	word=monolithicSparse known='expect 192k 64k 0x43'
		damage='vmdk-craft d.vmdk size=4 version=3 4,70000,0' ;;
	split)	word=twoGbMaxExtentSparse known='expect 2162688 64k 0x41'
		damage='vmdk-craft p2.vmdk size=1 desc=0 descsize=0 4,70000,0' ;;
	flat)	word=monolithicFlat damage='truncate -s -512 d-flat.vmdk' ;;
	split-flat) word=twoGbMaxExtentFlat known='verify 100000 200k 1'
		damage='truncate -s -512 f2.vmdk' ;;
	vmfs)	word=vmfs known='verify 100000 200k 3'
		damage='truncate -s -512 d-flat.vmdk' ;;
	cowd)	word=vmfsSparse known='expect 8192 4096 0x42'
		damage='vmdk-esx cowd d-delta.vmdk size=4 grain=8 3,70000' ;;
	sesparse) word=seSparse known='expect 8k 4k 0x42'
		damage='vmdk-esx se s.vmdk size=8 5,0x3000000000001000' ;;
	stream)	word=streamOptimized known='verify 100000 200k 5'
		damage='truncate -s -1024 d.vmdk' ;;
	custom)	word=custom known='expect 833536 64k 0x41'
		damage='vmdk-craft s.vmdk size=2 desc=0 descsize=0 4,70000,0' ;;
	device)	word=fullDevice damage=true ;;
	vdi)	word=dynamic damage='vdi-craft d.vdi 0,0' ;;
	vdi-fixed) word=fixed damage='vdi-craft d.vdi size=2M type=2 0,0' ;;
	vdi-extra) word=dynamic known='expect 0 64k 0x40'
		damage='vdi-craft d.vdi block=64k extra=512 0,0' ;;
	vdi-unaligned) word=dynamic known='expect 128k 64k 0x42'
		damage='vdi-craft d.vdi block=64k map=501 data=5001 0,0' ;;
	vdi-child) word=differencing known='expect 0 64k 0x40'
		damage='vdi-craft d.vdi create=9 type=4 link=0xc0ffee 0,0' ;;
	undo)	word=undo known='expect 0 1M 0x40'
		damage='vdi-craft d.vdi type=3 0,0' ;;
	old)	word='version 0' known='expect 0 1M 0x40'
		damage='vdi-craft d.vdi version=2 0,0' ;;
	raw)	word='by its name' known='verify 100000 200k 9' damage=true ;;
	delta)	word=delta known='verify 100000 200k 7'
		damage='truncate -s 9000 d.delta' torn=two_headers ;;
	esac
}

# Written, so that both slots of the header are there; then one of them is not.
two_headers() {
	vd-io d.delta 'write 1M 1 1' && printf 'XXXXXXXX' |
		dd of=d.delta bs=1 seek=200 conv=notrunc 2>/dev/null
}

make() {
	case $1 in
	stream)	v_file=d.vmdk && v_raw x 4M 5 && vmdk-pack x d.vmdk ;;
	sesparse) v_file=d.vmdk && v_vmdk_child of-sesparse &&
		mv b.vmdk d.vmdk ;;
	undo)	v_file=d.vdi && vdi-craft d.vdi type=3 0,free,zero,1 ;;
	old)	v_file=d.vdi && vdi-craft d.vdi version=2 0,free,zero,1 ;;
	device)	v_file=d.vmdk && v_text 1 ffffffff fullDevice \
			'RW 8192 FLAT "/dev/null" 0' >d.vmdk ;;
	*-below) below ${1%-below} ;;
	*)	variant $1 ;;
	esac
}

# The variant as the upper one of two images, where no other program makes that.
below() {
	v_file=d.vmdk v_hint='parentFileNameHint="b.vmdk"'
	case $1 in
	v2|v3)	vmdk-craft b.vmdk size=4 cid=aaaaaaaa 5,new &&
		vmdk-craft d.vmdk size=4 version=${1#v} flags=7 \
			parent=aaaaaaaa "head=$v_hint" 3,new ;;
	flat|split-flat|vmfs) v_vmdk vmfs && cp d.vmdk b.vmdk &&
		v_text 2 1 $word "$v_hint" \
			'RW 8192 FLAT "d-flat.vmdk"' >d.vmdk ;;
	custom)	v_vmdk vmfs && mv d.vmdk b.vmdk && v_part s.vmdk 4 &&
		v_text 2 1 custom "$v_hint" 'RW 8192 SPARSE "s.vmdk"' >d.vmdk ;;
	stream)	v_raw x 4M 5 && vmdk-pack x d.vmdk &&
		sed -i 's/parentCID=ffffffff/parentCID=1234abcd/' d.vmdk ;;
	device)	v_text 2 1 $word "$v_hint" 'RW 8192 FLAT "/dev/null" 0' \
			>d.vmdk ;;
	*)	v_file=d.vdi &&
		vdi-craft b.vdi size=4M create=1 modify=2 0,1 &&
		vdi-craft d.vdi size=4M link=1 linkmod=2 create=3 $(below_$1) ;;
	esac
}

# A VDI with a parent's UUID is a child whatever its type says.
below_vdi() { echo type=1 zero,free,0; }
below_fixed() { echo type=2 zero,free,0; }
below_extra() { echo block=64k extra=512 type=4 zero,free,0; }
below_unaligned() { echo block=64k map=501 data=5001 type=4 zero,free,0; }
below_undo() { echo type=3 zero,free,0; }
below_old() { echo version=2 zero,free,0; }

# ------------------------------------- one function a column: done, and right

do_probe() {
	vdisk-probe $v_file | grep "$word"
}

do_read() {
	vd-io -r $v_file "$known"
}

# In front of the disk's end, over a border of units; a death in between.
do_write() {
	vd-io $v_file 'write 1230000 3000 7' die
	vd-io $v_file 'write 1M 1 8' flush && vd-io -r $v_file \
		'expect 1230000 3000 7' 'expect 1M 1 8' "$known"
}

# create WORD: by its name; an image that can be used.
do_create() {
	case $1 in
	stream)	v_raw y 4M 8 && vdiskadm translate -I y -i raw \
			-x vmdk:streamOptimized -d n.vmdk &&
		vd-io -r n.vmdk 'verify 0 4M 8' ;;
	*.*)	vdiskadm create ${2:--s} ${3:-4500480} ${4:-} ${5:-} $1 &&
		vd-io $1 'write 1230000 3000 7' ;;
	*)	vmdk-make $1 4500480 n.vmdk &&
		vd-io n.vmdk 'expect 0 end 0' 'write 1230000 3000 7' ;;
	esac && vdisk-probe n.* | grep "$word"
}

# parent EXT: a child shows what it holds, takes a write, and leaves it alone.
do_parent() {
	cat d* >before && vdiskadm create -p $v_file child.$1 &&
	vd-io child.$1 'write 1230000 3000 7' flush &&
	vd-io -r child.$1 'expect 1230000 3000 7' "$known" &&
	cat d* | cmp - before
}

# child OWN BELOW [PIECE]: of two images, its own and the other's; zeros in it hide
# PIECE of its parent's for good.
do_child() {
	case $v in
	raw)	v_raw b.raw 4M 1 && vdiskadm create -p b.raw n.raw || return ;;
	esac
	vd-io -r $v_file "${1:-size}" "${2:-size}" && { [ $# -lt 3 ] || {
		vd-io $v_file "zero $3" flush &&
		vd-io -r $v_file "expect $3 0" "$1"; }; }
}

# Silent about what is healthy; a damage is found.
do_verify() {
	vdiskadm verify $v_file >said && ! [ -s said ] && $damage || return
	vdiskadm verify $v_file
	[ $? -eq 1 ] && vdiskadm verify $v_file | grep ': damage: '
}

# What was found is not there any more, and the disk can be used.
do_repair() {
	${torn:-$damage} && [ -n "$(vdiskadm verify $v_file)" ] &&
	vdiskadm repair $v_file && vdiskadm verify $v_file &&
	vd-io -r $v_file hash
}

# Longer by zeros, and all else is there; then a snapshot of it.
do_resize() {
	was=$(vd-io -r $v_file size) && vdiskadm resize $v_file 6m &&
	vd-io $v_file "expect $was 1M 0" 'write 5M 1M 7' &&
	vd-io -r $v_file 'expect 5M 1M 7' "$known" &&
	[ "$(vd-io -r $v_file size)" -eq $((6 << 20)) ]
}

# The room of what was written comes back, and it reads as zeros.
do_discard() {
	vd-io $v_file 'write 1M 1M 7' flush &&
	was=$(du -ck . | sed -n '$s/[^0-9].*//p') &&
	vd-io $v_file 'discard 1M 1M' flush &&
	vd-io -r $v_file 'expect 1152k 768k 0' "$known" &&
	[ "$(du -ck . | sed -n '$s/[^0-9].*//p')" -le $((was - 750)) ]
}

# ---------------------------------------------------------------------- rows

# Refused is what fails by itself, with these words.
refuses() {
	r_column=$1 r_words=$2
	shift 2
	do_$r_column "$@" >"$tmp/refusal" 2>&1
	r_rc=$?
	cat "$tmp/refusal"
	[ $r_rc -ne 0 ] && [ $r_rc -lt 99 ] || return
	[ -z "$r_words" ] || grep -q "$r_words" "$tmp/refusal"
}

# row NAME VARIANT: what the next lines are about.
row() {
	name=$1 v=$2
}

begin() {
	rm -rf "$tmp/d" && mkdir "$tmp/d" && cd "$tmp/d" || exit 1
	about $v && make "${made_of:-$v}" >"$tmp/.out" 2>&1 </dev/null ||
		ok "$name: made" false
}

# yes COLUMN [ARG...]
yes() {
	begin
	ok "$name: $1" do_"$@" && fact "$name" $1 x
}

# no COLUMN WORDS [ARG...]
no() {
	begin
	ok "$name: no $1" refuses "$@" && fact "$name" $1 -
}

# The same for a column whose example is another one of t/lib/variants.sh.
as() {
	made_of=$1
	shift
	"$@"
	made_of=
}

row 'vmdk monolithicSparse' sparse
yes probe; yes read; yes write; yes create n.vmdk; yes parent vmdk
as child-vmware yes child 'expect 12k 4k 0x43' 'expect 0 12k 0x40' '0 4k'
yes verify; yes repair
yes resize; yes discard

row 'vmdk monolithicSparse, header 2' v2
yes probe; yes read; yes write; no create 'not\|only' version2; yes parent vmdk
as v2-below yes child 'expect 192k 64k 0x43' 'expect 320k 64k 0x45' '320k 64k'
yes verify; yes repair
yes resize; yes discard

row 'vmdk monolithicSparse, header 3' v3
yes probe; yes read; yes write; no create 'not\|only' version3; yes parent vmdk
as v3-below yes child 'expect 192k 64k 0x43' 'expect 320k 64k 0x45' '320k 64k'
yes verify; yes repair
yes resize; yes discard

row 'vmdk twoGbMaxExtentSparse' split
yes probe; yes read; yes write; yes create twoGbMaxExtentSparse
yes parent vmdk
as child-split yes child 'expect 64k 64k 0x41' 'expect 2162688 64k 0x41' '2162688 64k'
yes verify; yes repair
yes resize; yes discard

row 'vmdk monolithicFlat' flat
yes probe; yes read; yes write; yes create n.vmdk -s 4500480 -t vmdk:fixed
yes parent vmdk
as flat-below no child 'not supported\|cannot be a child'
yes verify; yes repair
yes resize; yes discard

row 'vmdk twoGbMaxExtentFlat' split-flat
yes probe; yes read; yes write; yes create twoGbMaxExtentFlat; yes parent vmdk
as split-flat-below no child 'not supported\|cannot be a child'
yes verify; yes repair
yes resize; yes discard

row 'vmdk vmfs' vmfs
yes probe; yes read; yes write; yes create vmfs; yes parent vmdk
as vmfs-below no child 'not supported\|cannot be a child'
yes verify; yes repair
yes resize; yes discard

row 'vmdk vmfsSparse (COWD)' cowd
yes probe; yes read; yes write; no create 'cannot create' vmfsSparse
yes parent vmdk
as child-cowd yes child 'expect 1024 512 0x42' 'verify 4k 1M 3' '4k 1k'
yes verify; yes repair
no resize 'cannot be resized'; yes discard

row 'vmdk seSparse' sesparse
yes probe; yes read; no write 'only be read'; no create 'cannot create' seSparse
yes parent vmdk
yes child 'expect 8k 4k 0x42' 'verify 4k 4k 6'
yes verify; no repair ''
no resize 'only be read'; no discard 'only be read'

row 'vmdk streamOptimized' stream
yes probe; yes read; no write 'only be read'; yes create stream; yes parent vmdk
as stream-below no child 'parent'
yes verify; yes repair
no resize 'only be read'; no discard 'only be read'

row 'vmdk custom, mixed extents' custom
yes probe; yes read; yes write; yes create custom:sparse=4m,zero=1s,flat=305664; yes parent vmdk
as custom-below no child 'not supported\|cannot be a child'
yes verify; yes repair
no resize 'cannot be resized'; yes discard

row 'vmdk device extents' device
yes probe; no read 'device of its host'; no write 'device of its host'
no create 'cannot create' fullDevice; no parent 'device of its host' vmdk
as device-below no child 'not supported'
no verify ''; no repair ''; no resize 'device of its host'
no discard 'device of its host'

row 'vdi dynamic' vdi
yes probe; yes read; yes write; yes create n.vdi; yes parent vdi
as vdi-below yes child 'expect 2M 1M 0x42' 'expect 1M 1M 0x41' '1M 1M'
yes verify; yes repair; yes resize; yes discard

row 'vdi fixed' vdi-fixed
yes probe; yes read; yes write; yes create n.vdi -s 4500480 -t vdi:fixed
yes parent vdi
as fixed-below yes child 'expect 2M 1M 0x42' 'expect 1M 1M 0x41' '1M 1M'
yes verify; yes repair; yes resize; no discard ''

row 'vdi differencing' vdi-child
yes probe; yes read; yes write; yes create n.vdi -p b.vdi; yes parent vdi
as vdi-of-vbox yes child 'expect 128k 64k 0x42' 'expect 0 64k 0x40' '0 64k'
yes verify; yes repair; yes resize; yes discard

row 'vdi, block extra' vdi-extra
yes probe; yes read; yes write; no create 'cannot' extra; yes parent vdi
as extra-below yes child 'expect 0 64k 0' 'expect 64k 64k 0x40' '64k 64k'
yes verify; yes repair; yes resize; yes discard

row 'vdi, unaligned offsets' vdi-unaligned
yes probe; yes read; yes write; no create 'cannot' unaligned; yes parent vdi
as unaligned-below yes child 'expect 0 64k 0' 'expect 64k 64k 0x40' '64k 64k'
yes verify; yes repair; yes resize; yes discard

row 'vdi undo' undo
yes probe; yes read; no write 'only be read'; no create 'cannot' undo
yes parent vdi
as undo-below yes child 'expect 2M 1M 0x42' 'expect 1M 1M 0x41'
yes verify; yes repair; no resize 'only be read'; no discard 'only be read'

row 'vdi version 0' old
yes probe; yes read; no write 'only be read'; no create 'cannot' old
yes parent vdi
as old-below yes child 'expect 2M 1M 0x42' 'expect 1M 1M 0x41'
yes verify; no repair 'only be read'
no resize 'only be read'; no discard 'only be read'

row raw raw
yes probe; yes read; yes write; yes create n.raw; yes parent delta
no child 'depend'
no verify 'cannot check'; no repair 'raw cannot'; yes resize; yes discard

row 'raw delta' delta
yes probe; yes read; yes write; yes create n.delta -p b.raw; yes parent delta
yes child 'verify 100000 1000 7' 'verify 2M 1M 7' '2M 1M'
yes verify; yes repair
no resize 'cannot resize'; yes discard
done_testing
