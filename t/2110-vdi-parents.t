#!/bin/sh
# A parent that is missing, another one, changed or of another size is an error.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1

child() { vdi-craft child.vdi type=4 create=0xc1 link=0xba5e "$@"; }
seen() { vd-io -r child.vdi 'expect 0 1M 0x40'; }
opened() { vd-io child.vdi 'expect 0 1M 0x40' 'write 3M 1 1'; }

ok 'a child' child
fails_with 'without its parent' '0000ba5e-' seen
says 'the way out is named' 'vdiskadm relink child.vdi'
fails_with 'both ways' '0000ba5e-' opened
fails_with 'is not read as zeros' '0000ba5e-' vd-io -r child.vdi hash
ok 'an image of another UUID' vdi-craft other.vdi create=0xdada 0
fails_with 'is not it, whatever it is called' '0000ba5e-' seen
ok 'the right one, in whatever file' vdi-craft any.name.vdi create=0xba5e 0
ok 'is found' seen
mkdir Snapshots
mv any.name.vdi Snapshots/
ok 'in Snapshots, too' seen
mv child.vdi Snapshots/; mv Snapshots/any.name.vdi .
ok 'and from there one up' vd-io -r Snapshots/child.vdi 'expect 0 1M 0x40'

# Another program's child: uuidParentModify is only told (VirtualBox leaves it).
ok 'a child that remembers other content' child linkmod=0x1111
ok 'of another program' opened
is 'says so' "$(vdiskadm info child.vdi | grep -c 00001111)" 1
ok 'the same, of ours' child linkmod=0x1111
printf '<<< vdisk Disk Image >>>\n\0' | dd of=child.vdi conv=notrunc 2>/dev/null
fails_with 'is refused, and told what was' \
	'written to since.*00001111-.*0000feed-' seen
says 'and the way out' 'vdiskadm relink child.vdi any.name.vdi'
ok 'the content it was made of' child linkmod=0xfeed
printf '<<< vdisk Disk Image >>>\n\0' | dd of=child.vdi conv=notrunc 2>/dev/null
ok 'is taken' opened
ok 'until somebody writes the parent' vd-io any.name.vdi 'write 0 1 0x40'
fails_with 'then it is not' 'written to since' opened

ok 'a parent that is shorter' vdi-craft any.name.vdi create=0xba5e size=2M 0
ok 'than the child' child free,free,0,free
fails_with 'is not enough' 'should have 4194304 bytes and has 2097152' seen
ok 'unless the child hides all that is missing' child free,free,0,zero
ok 'as one does that was made longer' opened
ok 'relink takes it, too' vdiskadm relink child.vdi any.name.vdi
says 'not without a word' 'mind: the parent has 2097152 bytes, its child 4194304'
ok 'a parent that was made longer' vdi-craft any.name.vdi create=0xba5e size=9M 0
ok 'can be read' seen
fails_with 'and not written' 'should have 4194304 bytes and has 9437184' opened

ok 'an image that names itself' child create=0xba5e
rm any.name.vdi
fails_with 'is a circle' 'circle\|ancestor\|none of the folders' seen
ok 'two that name each other' child create=0xba5e link=0xba5f
ok 'both' vdi-craft two.vdi type=4 create=0xba5f link=0xba5e
fails_with 'are one' 'circle' seen
done_testing
