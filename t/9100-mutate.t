#!/bin/sh
# Ten thousand damaged images of each format: no crash, no hang, no big heap.
#
# FUZZ_SEED and FUZZ_CASES choose others; mutate -s N -c CASE replays one.
. "${srcdir:-.}/t/lib/tap.sh"
need vdiskadm mutate

seed=${FUZZ_SEED:-1}
cases=${FUZZ_CASES:-10000}
# The limits are mutate's: one request over 64 MiB ends it with a report.
ASAN_OPTIONS=exitcode=99:max_allocation_size_mb=64:allocator_may_return_null=0
export ASAN_OPTIONS

# Twenty syncs a case are for the crash tests; here they only cost time.
work_in_memory

# Seeds: what we create, empty and with data at both ends.
small() {
	vdiskadm create -s "$2" -t "$3" "$1" &&
	vd-io "$1" 'fill 0 4k 1' "fill 1M 64k 2" flush
}

ok 'a dynamic vdi'           small s1.vdi 8M vdi:sparse
ok 'a fixed vdi'             small s2.vdi 2M vdi:fixed
ok 'an empty vdi'            vdiskadm create -s 4g -t vdi s3.vdi
ok 'a sparse vmdk'           small s1.vmdk 8M vmdk:sparse
ok 'a flat vmdk'             small s2.vmdk 2M vmdk:fixed
ok 'an empty vmdk'           vdiskadm create -s 4g -t vmdk s3.vmdk
ok 'a raw disk'              small s1.raw 2M raw
# Descriptors of other dialects, as their makers write them.
descriptor() {
	cat >"$1" <<-EOF
	# Disk DescriptorFile
	version=1
	encoding="UTF-8"
	CID=fffffffe
	parentCID=$2
	createType="$3"

	# Extent description
	$4

	# The Disk Data Base
	#DDB

	ddb.virtualHWVersion = "4"
	ddb.geometry.cylinders = "4"
	ddb.geometry.heads = "16"
	ddb.geometry.sectors = "63"
	ddb.adapterType = "ide"
	EOF
}
truncate -s 2M flat.bin
descriptor s4.vmdk ffffffff monolithicFlat 'RW 4096 FLAT "flat.bin" 0'
descriptor s5.vmdk ffffffff vmfs 'RW 4096 VMFS "flat.bin"'
descriptor s6.vmdk ffffffff twoGbMaxExtentFlat 'RW 2048 FLAT "flat.bin" 0
RW 2048 FLAT "flat.bin" 2048'
descriptor s7.vmdk 12345678 monolithicSparse 'RW 16384 SPARSE "s1.vmdk"
parentFileNameHint="s3.vmdk"'

for f in vdi vmdk raw; do
	ok "$cases damaged ${f}s, seed $seed" \
		mutate -f $f -s "$seed" -n "$cases" -w . -k "$builddir" s*.$f
	sed 's/^/# /' "$tmp/.out"
done
done_testing
