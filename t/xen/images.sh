# t/xen/images.sh - makes the images a guest is given, and judges them after.
# Sourced after lib.sh.  VDISKADM is set by the caller.

# Known files, the same on every machine: text, binary, empty, a tree of names.
make_known()
{
	mkdir -p "$1/known/deep/er/still"
	seq 1 50000 >"$1/known/numbers"
	seq 1 200000 | gzip -9n >"$1/known/binary"
	: >"$1/known/empty"
	echo 'here to be moved' >"$1/known/moved"
	i=0
	while [ $i -lt 50 ]; do
		i=$((i + 1))
		seq $i 7 $((i * 97)) >"$1/known/deep/er/still/file.$i"
	done
	# The file that the guest moves away must not be missed afterwards.
	(cd "$1" && find known -type f | LC_ALL=C sort | xargs sha256sum) \
		>"$1/KNOWN.sha256"
}

# make_ext4 FILE MIB FOLDER
make_ext4()
{
	truncate -s "$2M" "$1"
	mke2fs -q -F -t ext4 -b 4096 -m 0 -E root_owner=0:0 -d "$3" "$1"
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
	(cd "$2" && grep -v known/moved KNOWN.sha256 | sha256sum --quiet -c -) || return 1
	(cd "$2/new" && sha256sum --quiet -c ../WRITTEN.sha256) || return 1
	rm -rf "$2"
}
