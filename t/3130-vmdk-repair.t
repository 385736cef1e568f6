#!/bin/sh
# What can be mended is, from what the image itself still knows; what is lost is said to be.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1
VDISK_RUN_DIR=$tmp/run
export VDISK_RUN_DIR

field() { vmdk-craft -s "$2" | sed -n "s/^$1 //p"; }

# mends CODE PATTERN KEYS...: grains 0 and 1 have data and keep it.
mends() {
	code=$1 pattern=$2
	shift 2
	rm -f x.vmdk*
	ok "$code: made" vmdk-craft x.vmdk 0,new 1,new "$@"
	cp x.vmdk damaged
	exits "$code: a plan" 1 vdiskadm repair --plan x.vmdk
	says "$code: that says what" "$pattern.*\[$code\]"
	ok "$code: changes nothing" cmp x.vmdk damaged
	ok "$code: mended" vdiskadm repair x.vmdk
	ok "$code: what it overwrote is kept" sh -c 'ls x.vmdk?*'
	ok "$code: sound since" vdiskadm verify x.vmdk
	is "$code: no word, but of a grain forgotten" \
		"$(grep -v -e vmdk-leak -e vmdk-tail "$tmp/.out")" ''
	is "$code: both tables agree" "$(field copies x.vmdk)" equal
	ok "$code: the data" vd-io x.vmdk 'expect 0 64k 0x40' \
		'expect 64k 64k 0x41'
	ok "$code: written to" vd-io x.vmdk 'write 7M 64k 9' flush \
		'expect 0 64k 0x40' 'expect 7M 64k 9'
}
mends vmdk-copies-differ 'grain 5 .*correct the redundant' 5,new,0
mends vmdk-copies-differ 'grain 5 .*correct the redundant' 5,new,26
mends vmdk-copies-differ 'grain 5 .*from the redundant' 5,0,384 len=262144
is 'and there it is' "$(vmdk-craft -s x.vmdk | grep -c ' 5:384')" 1
ok 'one of a writer that died' vmdk-craft x.vmdk 0,new 5,0,384 len=262144 \
	unclean=1
ok 'is forgotten' vdiskadm repair x.vmdk
says 'and that is said' 'grain 5 .*forget that'
is 'in both tables' "$(vmdk-craft -s x.vmdk | grep -c ' 5:')" 0
mends vmdk-grain-outside 'grain 5 .*from the redundant' 5,0x10000,384 len=262144
is 'and there it is' "$(vmdk-craft -s x.vmdk | grep -c ' 5:384')" 1
mends vmdk-grain-in-tables 'grain 5 .*from the redundant' 5,26,384 len=262144
mends vmdk-grain-outside 'grain 5 .*lost.*zeros' 5,0x10000
ok 'it reads as zeros' vd-io -r x.vmdk 'expect 320k 64k 0'
mends vmdk-grain-twice 'grain 5 .*copy of its own' 5,128
ok 'both have the bytes' vd-io -r x.vmdk 'expect 320k 64k 0x40'
ok 'and each its room' sh -c 'vd-io x.vmdk "write 320k 1 7" &&
	vd-io -r x.vmdk "expect 0 64k 0x40" "expect 320k 1 7" "expect 321k 1k 0x40"'
mends vmdk-table-single 'table 0 .*no copy' rgde=0,0
mends vmdk-table-single 'table 0 .*no copy' rgde=0,0x7fffffff
mends vmdk-table-shared 'table 0 .*copy is none' rgde=0,27
mends vmdk-table-single 'table 0 .*from its copy' gde=0,0x7fffffff
mends vmdk-table-single 'table 0 .*from its copy' gde=0,0
mends vmdk-unclean 'mark' unclean=1

# Both copies of a table gone: said, and asked for.
ok 'a table lost' vmdk-craft y.vmdk size=64 0,new 600,new gde=1,0x7fffffff \
	rgde=1,0x7fffffff
ok 'is given up' vdiskadm repair y.vmdk
says 'with what that costs' 'no copy is left.*all its grains read as zeros'
ok 'the rest is there' vd-io y.vmdk 'expect 0 64k 0x40' 'expect 32M 32M 0' \
	'write 40M 64k 5' flush
ok 'and sound' vdiskadm verify y.vmdk

# A part of a split disk; a child.
printf '# Disk DescriptorFile\nversion=1\nCID=1234abcd\nparentCID=ffffffff
createType="twoGbMaxExtentSparse"\nRW 16384 SPARSE "s1.vmdk"
RW 16384 SPARSE "s2.vmdk"\n' >s.vmdk
ok 'parts' sh -c 'vmdk-craft s1.vmdk desc=0 descsize=0 0,new &&
	vmdk-craft s2.vmdk desc=0 descsize=0 0,new 3,0x10000,128'
ok 'the second is mended' vdiskadm repair s.vmdk
says 'by its name' 's2.vmdk.*grain 3'
ok 'and whole' vd-io s.vmdk 'expect 0 64k 0x40' 'expect 8M 64k 0x40'
ok 'a base' vmdk-craft b.vmdk cid=aaaaaaaa 0,new 5,new
ok 'and its child' vmdk-craft c.vmdk parent=aaaaaaaa \
	'line=parentFileNameHint="b.vmdk"' 1,new 5,0x10000
ok 'is mended' vdiskadm repair c.vmdk
says 'and what that means' 'read as in the parent'
ok 'it does' vd-io -r c.vmdk 'expect 0 64k 0x40' 'expect 64k 64k 0x41' \
	'expect 320k 64k 0x45'

# A text: a value that is given twice, and one that there is no room for.
geometry() {
	printf 'ddb.geometry.cylinders = "9"\nddb.geometry.heads = "0"
ddb.geometry.sectors = "63"\n'
}
{ printf '# Disk DescriptorFile\nversion=1\nCID=1234abcd\nparentCID=ffffffff
createType="twoGbMaxExtentSparse"\nRW 16384 SPARSE "s1.vmdk"\n'
	geometry
	geometry
} >g.vmdk
ok 'a geometry told twice is mended' vdiskadm repair g.vmdk
is 'in both places' "$(grep -c '^ddb.*= "255"' g.vmdk)" 2
ok 'for good' vdiskadm verify g.vmdk
is 'without a word' "$(grep geometry "$tmp/.out")" ''
{ printf '# Disk DescriptorFile\nversion=1\nCID=1234abcd\nparentCID=ffffffff
createType="twoGbMaxExtentSparse"\nRW 16384 SPARSE "s1.vmdk"\n'
	geometry
	printf '%0100d' 0 | tr 0 '\0'
	echo rest
} >r.vmdk
size=$(stat -c %s r.vmdk)
ok 'a text with something behind it is mended' vdiskadm repair r.vmdk
is 'and that stays' "$(stat -c %s r.vmdk) $(tail -c 5 r.vmdk)" "$size rest"
ok 'for good' vdiskadm verify r.vmdk
is 'without a word' "$(grep geometry "$tmp/.out")" ''
ok 'a text without room' vmdk-craft f.vmdk descsize=1 "line=$(geometry)" 0,new
room=$((512 - $(dd if=f.vmdk bs=512 skip=1 count=1 2>"$tmp/.err" |
	tr -d '\0' | wc -c)))
ok 'for another digit' vmdk-craft f.vmdk descsize=1 \
	"line=$(geometry)$(printf '\n#%*d' $((room - 3)) 0)" 0,new
ok 'is left alone' vdiskadm repair f.vmdk
says 'and told' 'geometry is impossible'
is 'nothing is offered' "$(grep -c 'would set' "$tmp/.out")" 0
done_testing
