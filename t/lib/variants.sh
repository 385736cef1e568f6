# variants.sh - a disk of every kind that is written; sourced after tap.sh.
#
# variant NAME: makes it in the current folder, which should be empty.  Sets
#	v_file	its name
#	v_cannot	what it does not do, as vd-life -x wants it
#	v_options	vd-life's options: parts that are read-only, leaks
#	v_others	who else can read it: of qemu 7z libvmdk, while it stands alone
#	v_chain	who can read it with snapshots below: qemu or nobody

v_vmdk_all='sparse grain-1 grain-8 grain-32 grain-2048 v2 v3 split flat split-flat
vmfs cowd custom created-split child-vmware child-vbox child-split child-cowd
child-of-stream child-of-sesparse child-of-flat child-of-vdi'
v_rest='vdi vdi-fixed vdi-4k vdi-64k vdi-extra vdi-384 vdi-unaligned vdi-child
vdi-of-vbox vdi-of-old raw delta delta-of-vdi delta-of-vmdk mixed'
v_all="$v_vmdk_all $v_rest"

# What the formats' modules cannot do.
# The room of a grain that was discarded is kept for the next one: a leak until
# then, which v_options lets verify report.
v_no_delta=grow-child,merge-base
v_no_raw=snapshot

# text CID PARENT TYPE LINES...: a descriptor on stdout.
v_text() {
	printf '# Disk DescriptorFile\nversion=1\nCID=%s\nparentCID=%s\n' $1 $2
	printf 'createType="%s"\n' $3
	shift 3
	case $1 in
	parent*) echo "$1" && shift ;;
	esac
	printf '%s\n' '' '# Extent description' "$@" '' '# The Disk Data Base' '#DDB' '' \
		'ddb.adapterType = "ide"'
}

# v_raw FILE SIZE SEED: different bytes in each sector.
v_raw() {
	truncate -s $2 "$1" && vd-io -f raw "$1" "fill 0 $2 $3"
}

v_part() {
	vmdk-craft $1 name=$1 size=$2 desc=0 descsize=0 1,new
}

v_uuid() { printf '%s-1111-4222-8333-444444444444' $1; }

v_vmdk() {
	case $1 in
	sparse)	vdiskadm create -s 4500480 d.vmdk ;;
	grain-1) vmdk-craft d.vmdk name=d.vmdk size=2 grain=1 3,new ;;
	grain-*) vmdk-craft d.vmdk name=d.vmdk size=4 grain=${1#grain-} 1,new ;;
	v2)	vmdk-craft d.vmdk name=d.vmdk size=4 version=2 flags=7 3,new 4,1 ;;
	v3)	vmdk-craft d.vmdk name=d.vmdk size=4 version=3 3,new ;;
	split)	v_part p1.vmdk 2 && v_part p2.vmdk 1 && v_part p3.vmdk 2 &&
		v_text 1 ffffffff twoGbMaxExtentSparse \
			'RW 4096 SPARSE "p1.vmdk"' 'RW 2048 SPARSE "p2.vmdk"' \
			'RW 4096 SPARSE "p3.vmdk"' >d.vmdk ;;
	created-split) vmdk-make twoGbMaxExtentSparse 4500480 d.vmdk ;;
	flat)	vdiskadm create -t vmdk:fixed -s 4500480 d.vmdk ;;
	split-flat) v_raw f1.vmdk 2M 1 && v_raw f2.vmdk 2M 2 &&
		v_text 1 ffffffff twoGbMaxExtentFlat \
			'RW 4096 FLAT "f1.vmdk" 0' 'RW 4096 FLAT "f2.vmdk" 0' \
			>d.vmdk ;;
	vmfs)	v_raw d-flat.vmdk 4M 3 && v_text 1 ffffffff vmfs \
			'RW 8192 VMFS "d-flat.vmdk"' >d.vmdk ;;
	cowd)	vmdk-esx cowd d-delta.vmdk size=4 grain=8 2 && v_text 1 ffffffff \
			vmfsSparse 'RW 8192 VMFSSPARSE "d-delta.vmdk"' >d.vmdk &&
		v_cannot=first:grow,first:shrink ;;
	custom)	v_raw f.vmdk 2M 4 && v_part s.vmdk 2 &&
		v_text 1 ffffffff custom 'RW 1000 FLAT "f.vmdk" 3000' \
			'RW 500 ZERO' 'RW 4096 SPARSE "s.vmdk"' \
			'RDONLY 1000 FLAT "f.vmdk" 2000' \
			'RW 2000 FLAT "f.vmdk" 0' >d.vmdk &&
		v_options="$v_options -r 512000:256000 -r 2865152:512000" v_cannot=first:grow,first:shrink ;;
	esac
}

# A chain: the top is d.vmdk, what it lies on comes first.
v_vmdk_child() {
	v_hint='head=parentFileNameHint="b.vmdk"'
	case $1 in
	vmware)	vmdk-craft b.vmdk name=b.vmdk size=4 cid=aaaaaaaa 0,new 5,new &&
		vmdk-craft d.vmdk name=d.vmdk size=4 parent=aaaaaaaa grain=8 "$v_hint" 3,new ;;
	vbox)	vmdk-craft b.vmdk name=b.vmdk size=4 0,new 1,new \
			"line=ddb.uuid.image=\"$(v_uuid 11111111)\"
ddb.uuid.modification=\"$(v_uuid 22222222)\"" &&
		vmdk-craft d.vmdk name=d.vmdk size=4 1,new \
			"line=ddb.uuid.image=\"$(v_uuid 33333333)\"
ddb.uuid.parent=\"$(v_uuid 11111111)\"
ddb.uuid.parentmodification=\"$(v_uuid 22222222)\"" ;;
	split)	v_vmdk split && mv d.vmdk b.vmdk && v_part c1.vmdk 3 &&
		v_part c2.vmdk 2 && v_text 2 1 twoGbMaxExtentSparse \
			'parentFileNameHint="b.vmdk"' \
			'RW 6144 SPARSE "c1.vmdk"' \
			'RW 4096 SPARSE "c2.vmdk"' >d.vmdk ;;
	cowd)	v_vmdk vmfs && mv d.vmdk b.vmdk &&
		vmdk-esx cowd d-delta.vmdk size=4 grain=1 2 && v_text 2 1 \
			vmfsSparse 'parentFileNameHint="b.vmdk"' \
			'RW 8192 VMFSSPARSE "d-delta.vmdk"' >d.vmdk &&
		v_cannot=first:grow-child,first:grow,first:shrink ;;
	of-stream) v_raw x 4M 5 && vmdk-pack x b.vmdk && rm x &&
		vmdk-craft d.vmdk name=d.vmdk size=4 parent=1234abcd "$v_hint" 3,new ;;
	of-sesparse) v_raw f.vmdk 8M 6 && v_text aaaa ffffffff vmfs \
			'RW 16384 VMFS "f.vmdk"' >e.vmdk &&
		vmdk-esx se s.vmdk size=8 0 2 3,0x2000000000000000 &&
		v_text dddd aaaa seSparse 'parentFileNameHint="e.vmdk"' \
			'RW 16384 SESPARSE "s.vmdk"' >b.vmdk &&
		vmdk-craft d.vmdk name=d.vmdk size=8 parent=dddd "$v_hint" &&
		v_cannot="merge@e.vmdk>b.vmdk" ;;
	of-flat) v_vmdk split-flat && mv d.vmdk b.vmdk &&
		vdiskadm create -p b.vmdk d.vmdk ;;
	of-vdi)	v_vdi -64k && mv d.vdi b.vdi &&
		vdiskadm create -p b.vdi d.vmdk ;;
	esac
}

v_vdi() {
	case $1 in
	'')	vdiskadm create -s 4500480 d.vdi ;;
	-fixed)	vdiskadm create -t vdi:fixed -s 4500480 d.vdi ;;
	-4k)	vdi-craft d.vdi size=2M block=4k 1,free,0,zero ;;
	-64k)	vdi-craft d.vdi size=4500480 block=64k 1,free,0,zero ;;
	-extra)	vdi-craft d.vdi size=4M block=64k extra=512 2,1,free,0,zero ;;
	-384)	vdi-craft d.vdi size=4M header=384 1,free,0 ;;
	-unaligned) vdi-craft d.vdi size=4M block=64k map=501 data=5001 1,zero,0 ;;
	-child)	vdi-craft b.vdi size=4M block=256k 0,1,free,zero &&
		vdiskadm create -p b.vdi d.vdi ;;
	-of-vbox) vdi-craft b.vdi size=4M create=1 modify=2 0,1,free,zero &&
		vdi-craft d.vdi size=4M block=64k type=4 link=1 linkmod=2 \
			create=3 modify=4 free,zero,0 ;;
	-of-old) vdi-craft b.vdi size=4M version=2 create=1 modify=2 0,1 &&
		vdiskadm create -p b.vdi d.vdi ;;
	esac
}

v_delta() {
	case $1 in
	'')	v_raw b.raw 4500480 7 && vdiskadm create -p b.raw d.delta ;;
	-of-vdi) v_vdi -64k && mv d.vdi b.vdi &&
		vdiskadm create -p b.vdi d.delta ;;
	-of-vmdk) v_vmdk split && mv d.vmdk b.vmdk &&
		vdiskadm create -p b.vmdk d.delta ;;
	esac
}

# Five formats above one another.
v_mixed() {
	v_raw a.raw 4M 8 && vdiskadm create -p a.raw b.delta &&
	vd-io b.delta 'fill 1M 1M 9' 'zero 3M 64k' &&
	vdiskadm create -p b.delta d.vmdk &&
	v_cannot="merge@a.raw>b.delta"
}

variant() {
	v_others= v_chain= v_options= v_cannot=
	case $1 in
	vdi*)	;;
	delta*)	v_cannot=$v_no_delta ;;
	raw)	v_cannot=$v_no_raw ;;
	*)	v_options='-l vmdk-leak' ;;
	esac
	case $1 in
	vdi*)	v_file=d.vdi && v_vdi "${1#vdi}" ;;
	delta*)	v_file=d.delta && v_delta "${1#delta}" ;;
	child-*) v_file=d.vmdk && v_vmdk_child "${1#child-}" ;;
	mixed)	v_file=d.vmdk && v_mixed ;;
	raw)	v_file=d.raw && v_raw d.raw 4500480 9 ;;
	*)	v_file=d.vmdk && v_vmdk "$1" ;;
	esac || return
	v_readers $1
}

# Who else can read it: what is missing here was tried, and they cannot.
v_readers() {
	case $1 in
	custom|mixed|delta*|vdi-4k|vdi-64k|vdi-extra|vdi-unaligned|vdi-of-vbox)
		;;
	vdi*)	v_others='qemu 7z' ;;
	raw)	v_others=qemu ;;
	grain-1) v_others=qemu v_chain=qemu ;;
	cowd|child-cowd) v_others='qemu libvmdk' v_chain=qemu ;;
	# libvmdk wants grains of more than 8 sectors, and takes a zeroed grain
	# for one in sector 1.
	grain-8|v2|child-vmware) v_others='qemu 7z' v_chain=qemu ;;
	# QEMU does not know VirtualBox's way to name a parent, nor other formats.
	child-vbox) v_others='qemu 7z' ;;
	child-of-vdi) v_others='qemu 7z libvmdk' ;;
	*)	v_others='qemu 7z libvmdk' v_chain=qemu ;;
	esac
}
