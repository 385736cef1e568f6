#!/bin/sh
# Chains as VirtualBox and VMware lay them out: each verb works where the images
# are, in the machine's folder and in Snapshots, and no state is changed.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/chain.sh"
cd "$tmp" || exit 1

# A machine of VirtualBox: the base beside the settings, differencing images in
# Snapshots, called by their UUIDs; another machine's image hangs on the first.
id() { printf '%08x-0000-0000-0000-000000000000' "$1"; }
fresh() {
	rm -rf vm && mkdir -p vm/Snapshots &&
	vdi-craft vm/base.vdi create=0xba5e 0,1,2,3 &&
	vdi-craft "vm/Snapshots/{$(id 0xc1)}.vdi" type=4 create=0xc1 link=0xba5e \
		free,0,zero,free &&
	vdi-craft "vm/Snapshots/{$(id 0xc2)}.vdi" type=4 create=0xc2 link=0xc1 \
		free,free,free,0
}
top="vm/Snapshots/{$(id 0xc2)}.vdi" mid="{$(id 0xc1)}.vdi"
right="expect 0 1M 0x40|expect 1M 1M 0x41|expect 2M 1M 0|expect 3M 1M 0x43"
reads() { (IFS='|'; set -f; vd-io -r "$1" $right); }

ok 'a machine of VirtualBox' fresh
ok 'reads' reads "$top"
is 'list' "$(vdiskadm list "$top" | sed 's/.*@//' | paste -sd ' ')" \
	"base.vdi $mid $top"
ok 'snapshot' vdiskadm snapshot "$top@ours"
ok 'write' vd-io "$top" 'write 0 4M 9'
ok 'clone of a state of theirs' vdiskadm clone "$top@$mid" one.vmdk
ok 'is right' vd-io -r one.vmdk 'expect 0 1M 0x40' 'expect 2M 1M 0' \
	'expect 3M 1M 0x43'
ok 'rollback to ours' vdiskadm rollback "$top@ours"
ok 'reads' reads "$top"
ok 'rollback to theirs, past ours' vdiskadm rollback -r "$top@$mid"
is 'the files' "$(names vm/Snapshots)" "$mid ${top##*/}"
ok 'reads' reads "$top"
ok 'merge of one of theirs' vdiskadm destroy "$top@$mid"
is 'the files' "$(names vm/Snapshots)" "${top##*/}"
ok 'reads' reads "$top"
ok 'merge of the base, in the folder above' vdiskadm destroy "$top@base.vdi"
is 'which went' "$(names vm)" Snapshots
ok 'reads, alone' reads "$top"
ok 'and is sound' vdiskadm verify "$top"

ok 'another machine' fresh
ok 'with a second branch' vdi-craft "vm/Snapshots/{$(id 0xc3)}.vdi" type=4 \
	create=0xc3 link=0xc1 0
fails_with 'whose parent is not merged away' "depends on it.*$(id 0xc3)" \
	vdiskadm destroy "$top@$mid"
fails_with 'nor the base' "depends on it\|depend on it" \
	vdiskadm destroy "vm/Snapshots/{$(id 0xc3)}.vdi@$mid"
ok 'a whole disk goes, its parents stay' \
	vdiskadm destroy "vm/Snapshots/{$(id 0xc3)}.vdi"
is 'they are there' "$(names vm/Snapshots)" "$mid ${top##*/}"
ok 'relink' sh -c "mv vm/base.vdi vm/Snapshots/b.vdi &&
	vdiskadm relink 'vm/Snapshots/$mid' vm/Snapshots/b.vdi"
ok 'reads' reads "$top"

# VMware: everything in one folder, the first image of two files.
mkdir esx
vdiskadm create -s 4m -t vmdk:fixed esx/w.vmdk && vd-io esx/w.vmdk 'fill 0 4M 1'
vdiskadm create -p esx/w.vmdk esx/w-000001.vmdk &&
	vd-io esx/w-000001.vmdk 'fill 0 64k 2'
vdiskadm create -p esx/w-000001.vmdk esx/w-000002.vmdk &&
	vd-io esx/w-000002.vmdk 'fill 64k 64k 3'
d=esx/w-000002.vmdk
was=$(content_of $d) mid=$(content_of esx/w-000001.vmdk)
ok 'VMware: snapshot' vdiskadm snapshot $d@x
vd-io $d 'fill 0 1M 5'
ok 'VMware: rollback' vdiskadm rollback $d@x
is 'VMware: as before' "$(content_of $d)" "$was"
ok 'VMware: clone' vdiskadm clone $d@w-000001.vmdk two.vdi
is 'VMware: is that state' "$(content_of two.vdi)" "$mid"
ok 'VMware: merge of the flat base' vdiskadm destroy $d@w.vmdk
is 'VMware: both its files went' "$(names esx)" \
	'w-000001.vmdk w-000002.vmdk w-000002@x.vmdk'
is 'VMware: as before' "$(content_of $d)" "$was"
is 'VMware: the one between, too' "$(content_of esx/w-000001.vmdk)" "$mid"
done_testing
