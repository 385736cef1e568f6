#!/bin/sh
# vdiskadm answers wrong usage with a sentence and 2, and help with 0.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
vdiskadm create -s 1m in.vdi

# wrong TEXT PATTERN ARGS: exit 2, the sentence, and nothing made.
wrong() {
	text=$1 pattern=$2
	shift 2
	vdiskadm "$@" >out 2>&1
	rc=$?
	ls >after
	if [ $rc -eq 2 ] && grep -q -e "$pattern" out; then
		ok "$text" cmp -s before after
	else
		sed 's/^/# /' out
		is "$text" "exit $rc" 'exit 2'
	fi
}
: >out; : >after; : >before; ls >before

wrong 'no command'	'which command'
wrong 'a bad command'	'unknown command "frob"'	frob
wrong 'a bad option'	'bad option'			--frob
wrong 'help on nothing'	'help lists\|lists the'		help frob

wrong 'create: no size'	'size is missing'	create x.vmdk
wrong 'create: no path'	'name of the image is missing' create -s 1m
wrong 'create: two paths' 'one image at a time' create -s 1m x.vmdk y.vmdk
wrong 'create: size 0'	'must be more than 0'	create -s 0 x.vmdk
wrong 'create: a bad size' 'bad size'		create -s 10q x.vmdk
wrong 'create: a negative size' 'bad size'	create -s -5 x.vmdk
wrong 'create: half a sector' 'multiple of 512'	create -s 1000 x.vmdk
wrong 'create: too large' '64 bits'		create -s 99999999P x.vmdk
wrong 'create: a bad type' 'no format is called "vhdx"' create -s 1m -t vhdx x.vmdk
wrong 'create: a bad option of the type' 'sparse or fixed' create -s 1m -t vmdk:thin x.vmdk
wrong 'create: options of a type are in lower case' 'sparse or fixed' \
	create -s 1m -t vmdk:Fixed x.vmdk
wrong 'create: the name contradicts the type' 'says vmdk, but -t says vdi' \
	create -s 1m -t vdi x.vmdk
wrong 'create: a name without an ending' 'must end like' create -s 1m disk
wrong 'create: not even with a type' 'must end like' create -s 1m -t vmdk disk
wrong 'create: -s without its size' 'needs an argument' create x.vmdk -s

wrong 'info: no path'	'missing'		info
wrong 'info: two paths'	'one image at a time'	info a b

wrong 'translate: no input' 'missing (-I)'	translate -x raw -d o.raw
wrong 'translate: no output' 'missing (-d)'	translate -x raw -I in.vdi
wrong 'translate: no type' 'missing (-x)'	translate -I in.vdi -d o.raw
wrong 'translate: a bad type' 'no format'	translate -I in.vdi -x qed -d o.raw
wrong 'translate: an empty type' 'no format'	translate -I in.vdi -x : -d o.raw
wrong 'translate: a bad variant' 'sparse or fixed, or one of .*streamOptimized' \
	translate -I in.vdi -x vmdk:thin -d o.vmdk
wrong 'translate: a bad unit' 'bad size'	translate -I in.vdi -x vdi -u 1q -d o.vdi
wrong 'translate: raw units' 'has no units'	translate -I in.vdi -x raw -u 4k -d o.raw
wrong 'translate: bad progress' 'bar, json or none' \
	translate -I in.vdi -x raw --progress=xml -d o.raw
wrong 'translate: --hash takes nothing' 'bad option'	translate --hash=md5 -I in.vdi -x raw -d o.raw
wrong 'translate: a pipe for others' 'streamOptimized can' translate -I in.vdi -x vmdk -d -
wrong 'translate: no pipe' 'vdi cannot'	translate -I in.vdi -x vdi -d -
wrong 'translate: a pipe verified' 'verify'	translate -I in.vdi -x raw --verify -d -
wrong 'translate: a stray word' 'named with -I'	translate in.vdi -x raw -d o.raw

wrong 'snapshot: no name' 'is missing'	snapshot
wrong 'snapshot: a disk only' 'named with an @'	snapshot in.vdi
wrong 'snapshot: an empty name' 'named with an @' snapshot in.vdi@
wrong 'snapshot: two' 'what is "b"'	snapshot in.vdi@a b
wrong 'snapshot: -r is not its own' 'bad option -r' snapshot -r in.vdi@a
wrong 'rollback: a disk only' 'named with an @'	rollback in.vdi
wrong 'rollback: a bad option' 'bad option --json' rollback --json in.vdi@a
wrong 'clone: nowhere' 'is missing'	clone in.vdi
wrong 'clone: to what?' 'must end like'	clone in.vdi copy
wrong 'relink: one name' 'is missing'	relink in.vdi
wrong 'list: two' 'what is "b"'		list in.vdi b
wrong 'verify: none' 'is missing'	verify
wrong 'repair: -u without a name' 'needs an argument' repair in.vdi -u
wrong 'resize: no size' 'is missing'	resize in.vdi
wrong 'resize: a bad size' 'bad size'	resize in.vdi 10q
wrong 'compact: none' 'is missing'	compact
wrong 'create -p: a size' 'size of its parent' create -p in.vdi -s 1m x.vdi

exits 'help: 0'			0 vdiskadm help
exits '--help: 0'		0 vdiskadm --help
exits '--version: 0'		0 vdiskadm --version
for v in create info translate list snapshot rollback clone destroy relink \
	verify repair resize compact; do
	exits "help $v: 0"	0 vdiskadm help $v
	exits "$v --help: 0"	0 vdiskadm $v --help
done
ok 'help lists the formats' sh -c 'vdiskadm help | grep -q "made.* vmdk"'
exits 'a full disk below stdout: 3' 3 sh -c 'vdiskadm help >/dev/full'
done_testing
