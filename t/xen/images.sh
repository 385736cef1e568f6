# t/xen/images.sh - makes the images a guest is given, and judges them after.
# Sourced after lib.sh.  Our tools are found by `ours`, others by PATH.

ours()
{
	tool=$1
	shift
	LD_LIBRARY_PATH=$build/lib VDISK_PLUGIN_PATH=$build/lib/vdisk "$build/bin/$tool" "$@"
}

# Known files, the same on every machine: text, binary, empty, a tree of names.
make_known()
{
	mkdir -p "$1/known/deep/er/still"
	seq 1 50000 >"$1/known/numbers"
	seq 1 400000 | gzip -9n >"$1/known/binary"
	: >"$1/known/empty"
	echo 'here to be moved' >"$1/known/moved"
	i=0
	while [ $i -lt 50 ]; do
		i=$((i + 1))
		seq $i 7 $((i * 97)) >"$1/known/deep/er/still/file.$i"
	done
	(cd "$1" && find known -type f | LC_ALL=C sort | xargs sha256sum) \
		>"$1/KNOWN.sha256"
}

# make_ext4 FILE MIB FOLDER
make_ext4()
{
	truncate -s "$2M" "$1"
	mke2fs -q -F -t ext4 -b 4096 -m 0 -E root_owner=0:0 -d "$3" "$1" 2>&1
}

# Three by our own tools and two by qemu-img, the same file system in each.
make_file_disks()
{
	dir=$1
	make_known "$dir/known.d" &&
	make_ext4 "$dir/known.img" 64 "$dir/known.d" || return 1
	ours vdiskadm translate -i raw -I "$dir/known.img" -x vmdk -d "$dir/a.vmdk" &&
	ours vdiskadm translate -i raw -I "$dir/known.img" -x vdi -d "$dir/b.vdi" &&
	ours vdiskadm translate -i raw -I "$dir/known.img" -x raw -d "$dir/c.raw" &&
	qemu-img convert -f raw -O vmdk "$dir/known.img" "$dir/q.vmdk" &&
	qemu-img convert -f raw -O vdi "$dir/known.img" "$dir/r.vdi" || return 1
	rm -rf "$dir/known.d" "$dir/known.img"
}

# For pygrub; the GRUB of mkgrub has its own inside.
make_menu()
{
	printf '%s\n' 'default 0' 'timeout 0' 'title Linux' ' root (hd0)' \
		' kernel /boot/vmlinuz console=hvc0 loglevel=4 rdinit=/init panic=0 booted_by=pygrub' \
		' initrd /boot/initrd'
}

# make_boot_disks WORK FILE...: GRUB and pygrub can boot the guest from each, of the type
# that its name says.  GRUB knows no ext4 as young as mke2fs makes them, and
# unpacks gzip much faster than the xz of Debian's own vmlinuz.
make_boot_disks()
{
	made=$1
	shift
	dir=${1%/*}
	mkdir -p "$dir/boot.d/boot"
	make_known "$dir/boot.d"
	gzip -1 <"$made/tree/vmlinux" >"$dir/boot.d/boot/vmlinuz" &&
	cp "$made/domu.gz" "$dir/boot.d/boot/initrd" &&
	mkdir "$dir/boot.d/boot/grub" && make_menu >"$dir/boot.d/boot/grub/menu.lst" &&
	truncate -s 64M "$dir/boot.img" &&
	mke2fs -q -F -t ext3 -m 0 -E root_owner=0:0 -d "$dir/boot.d" "$dir/boot.img" || return 1
	for file; do
		ours vdiskadm translate -i raw -I "$dir/boot.img" \
			-x "${file##*.}" -d "$file" || return 1
	done
	rm -rf "$dir/boot.d" "$dir/boot.img"
}

# Blank ones to be verified: ours and qemu-img's, one of an odd size whose
# last unit is cut.
make_blank_disks()
{
	mkdir -p "$1/blank" "$1/load"
	for type in vmdk vdi raw; do
		ours vdiskadm create -s "${2}m" -t $type "$1/blank/blank.$type" &&
		qemu-img create -q -f $type "$1/load/load.$type" \
			$(( $2 * 1048576 - 3 * 512 )) || return 1
	done
}

# convert IMAGE RAW: by a program that is not ours.
convert()
{
	case $1 in
	*.vmdk)	format=vmdk ;;
	*.vdi)	format=vdi ;;
	*)	format=raw ;;
	esac
	qemu-img convert -f $format -O raw "$1" "$2"
}

# qemu-img check knows no raw.
check_image()
{
	case $1 in
	*.vmdk)	qemu-img check -q -f vmdk "$1" ;;
	*.vdi)	qemu-img check -q -f vdi "$1" ;;
	*)	: ;;
	esac
}

# same_as_ours IMAGE RAW FOLDER: vdiskadm reads it as qemu-img does.
same_as_ours()
{
	rm -f "$3/ours.raw"
	ours vdiskadm translate -I "$1" -x raw -d "$3/ours.raw" &&
	qemu-img compare -q -f raw -F raw "$2" "$3/ours.raw" || return 1
	rm -f "$3/ours.raw"
}

# compare_files RAW FOLDER WRITTEN: the file system inside is sound, its known
# files are as made, and what the guest wrote has the sums the guest saw.
# FOLDER takes the files, WRITTEN is the list that came over the console.
compare_files()
{
	e2fsck -fn "$1" >"$2.fsck" 2>&1 || {
		tail -5 "$2.fsck"
		return 1
	}
	rm -rf "$2"
	mkdir -p "$2"
	debugfs -R "rdump / $2" "$1" >"$2.debugfs" 2>&1
	[ -s "$3" ] || { echo "the guest sent no list of what it wrote"; return 1; }
	cmp "$3" "$2/WRITTEN.sha256" || return 1
	# The guest moved one of them.
	(cd "$2" && grep -v known/moved KNOWN.sha256 | sha256sum --quiet -c -) &&
	(cd "$2/new" && sha256sum --quiet -c ../WRITTEN.sha256) || return 1
	[ ! -e "$2/known/moved" ] || return 1
	rm -rf "$2"
}
