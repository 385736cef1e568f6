#!/bin/sh
# vdisk-probe survives whatever a name leads to, quickly, and opens nothing else.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1

# says TEXT STATUS PATTERN FILE: within five seconds, with this status.
says() {
	timeout 5 vdisk-probe "$4" >out 2>&1 </dev/null
	rc=$?
	is "$1: exit $2" $rc "$2"
	ok "$1: says $3" grep -q "$3" out
}

: >empty
: >empty.raw
mkdir folder
mkfifo fifo
ln -s nowhere dangling
ln -s loop loop
printf 'KDMV' >four.vmdk
head -c 100000 /dev/urandom >noise
truncate -s 4T huge
says 'empty'		1 'unknown.*empty'	empty
says 'no such file'	3 'No such file'	missing
says 'a folder'		3 'folder'		folder
says 'a FIFO'		3 'neither a regular'	fifo
says 'a tty-like device' 3 'neither a regular'	/dev/null
says 'a dangling link'	3 'No such file'	dangling
says 'a circle of links' 3 'symbolic links'	loop
says 'noise'		1 'unknown'		noise
says 'a huge sparse file' 1 'unknown.*4 TiB'	huge
says 'only a signature'	1 'broken\|unknown'	four.vmdk
exits 'an empty file named .raw does not crash it' 1 vdisk-probe empty.raw empty

if [ "$(id -u)" -ne 0 ]; then
	cp noise secret && chmod 0 secret
	says 'no permission' 3 'Permission denied' secret
elif ! command -v setpriv >/dev/null; then
	skip 'no permission' 'needs setpriv'
elif ! setpriv --reuid 65534 --regid 65534 --clear-groups \
	test -r "$builddir/lib/libvdisk.so.1"; then
	skip 'no permission' 'others may not look into the build folder'
else
	chmod 755 "$tmp" && cp noise secret && chmod 600 secret
	exits 'no permission: 3' 3 setpriv --reuid 65534 --regid 65534 \
		--clear-groups vdisk-probe "$tmp/secret"
fi

# A descriptor full of traps: had probe opened one, it would hang or tell.
mkfifo trap-flat.vmdk
cat >trap.vmdk <<'D'
# Disk DescriptorFile
version=1
CID=12345678
parentCID=ffffffff
createType="monolithicFlat"

# Extent description
RW 2048 FLAT "trap-flat.vmdk" 0

# The Disk Data Base
ddb.adapterType = "ide"
ddb.geometry.cylinders = "2"
ddb.geometry.heads = "16"
ddb.geometry.sectors = "63"
ddb.virtualHWVersion = "4"
D
sed 's/trap-flat.vmdk/\/etc\/shadow/' trap.vmdk >shadow.vmdk
sed 's/trap-flat.vmdk/..\/..\/etc\/passwd/' trap.vmdk >up.vmdk
says 'a FIFO as extent' 0 'names 1 other file' trap.vmdk
says 'an absolute extent' 0 'vmdk monolithicFlat' shadow.vmdk
ok 'the name is passed on as the image has it' \
	sh -c 'vdisk-probe --json shadow.vmdk | grep -q "\"name\": \"/etc/shadow\""'
if command -v strace >/dev/null && strace -o st true 2>/dev/null; then
	timeout 20 strace -f -o st -e trace=open,openat,openat2 \
		vdisk-probe trap.vmdk shadow.vmdk up.vmdk >/dev/null 2>&1
	ok 'strace saw the images being opened' grep -q '"up.vmdk"' st
	ok 'and nothing that they name' \
		sh -c '! grep -q "trap-flat\|shadow\"\|passwd\"" st'
	timeout 20 strace -f -o st -P huge -e trace=read,pread64,preadv,preadv2,mmap \
		vdisk-probe huge >/dev/null 2>&1
	n=$(sed -n 's/.*read.*= \([0-9]*\)$/\1/p' st |
		awk '{ n += $1 } END { print n + 0 }')
	ok 'nothing is mapped' sh -c '! grep mmap st'
	ok "of a huge file $n bytes are read" \
		test "$n" -gt 0 -a "$n" -le $((65536 + 4096))
else
	skip 'nothing else is opened' 'needs strace'
fi

# Names with line breaks must not forge a second line.
cp noise "$(printf 'x\nb.vdi: vdi dynamic, 1 TiB')"
timeout 5 vdisk-probe x?b.vdi* >out 2>&1
is 'one line, whatever the name' "$(wc -l <out)" 1
exits 'thousands of files' 1 sh -c 'i=0; set --; while [ $i -lt 2000 ]; do
	set -- "$@" noise; i=$((i + 1)); done; timeout 20 vdisk-probe "$@"'
done_testing
