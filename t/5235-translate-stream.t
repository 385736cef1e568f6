#!/bin/sh
# translate writes streamOptimized and raw in one pass, also into a pipe.
. "${srcdir:-.}/t/lib/tap.sh"
mkdir "$tmp/d" && cd "$tmp/d" || exit 1

# Three tables, the second one empty; an odd end.
truncate -s 73401344 raw
vd-io -f raw raw 'fill 0 1M 1' 'write 1M 1M 2' 'fill 2000000 70000 3' \
	'fill 67108864 200000 4' 'fill 73400832 512 5' flush || exit 1
want=$(vd-io -r -f raw raw hash)
pack() { vdiskadm translate -i raw -I raw -x vmdk:streamOptimized "$@"; }
same() { is "$1" "$(content_of "$2")" "$want"; }

ok 'to a file' pack -d s.vmdk
same 'is the same disk' s.vmdk
is 'what it is' "$(vdisk-probe s.vmdk | grep -c streamOptimized)" 1
is 'its end: footer, end marker' "$(tail -c 1536 s.vmdk | od -An -tu4 -j8 -N8 |
	tr -s ' ')$(tail -c 1024 s.vmdk | head -c 4)$(tail -c 512 s.vmdk |
	tr -d '\0' | wc -c)" ' 0 3KDMV0'
ok 'capitals are all the same' vdiskadm translate -I s.vmdk \
	-x VMDK:STREAMOPTIMIZED -d t.vmdk
# What is different is who it is, in the descriptor.
ok 'from itself: every grain as it was' cmp -i 65536 s.vmdk t.vmdk
ok 'to a pipe' sh -c 'vdiskadm translate -i raw -I raw -x vmdk:streamOptimized \
	-d - | cat >p.vmdk'
ok 'the very same file' cmp -i 65536 s.vmdk p.vmdk
if command -v strace >/dev/null && command -v taskset >/dev/null; then
	ok 'on one processor' taskset -c "$(taskset -pc $$ |
		sed 's/.*: *\([0-9]*\).*/\1/')" vdiskadm translate -i raw -I raw \
		-x vmdk:streamOptimized -d one.vmdk
	ok 'the very same file, too' cmp -i 65536 s.vmdk one.vmdk
	ok 'to a pipe, watched' sh -c 'strace -f -o log -e trace=desc,file,network \
		vdiskadm translate -i raw -I raw -x vmdk:streamOptimized -d - | cat >/dev/null'
	ok 'nothing goes back' sh -c \
		'grep -q "write(1" log && ! grep -E "(lseek|pwrite64|pwritev|ftruncate)\(1," log'
else
	skip 'one processor' 'needs strace and taskset'
fi

ok 'raw to a pipe' sh -c 'vdiskadm translate -I s.vmdk -x raw -d - | cmp - raw'
ok 'a reader that leaves ends it' sh -c \
	'vdiskadm translate -I s.vmdk -x raw -d - | head -c 5 | od >/dev/null'
fails_with 'a full device below it' 'standard output: cannot write' sh -c \
	'vdiskadm translate -I s.vmdk -x raw -d - >/dev/full'
ls -A >../before
fails_with 'others need to go back' 'vmdk:streamOptimized can' \
	vdiskadm translate -I s.vmdk -x vmdk -d -
fails_with 'by their name' 'vdi cannot be written to a pipe' \
	vdiskadm translate -I s.vmdk -x vdi -d -
fails_with 'a pipe is not read again' 'verify' \
	vdiskadm translate -I s.vmdk -x raw --verify -d -
fails_with 'a pipe takes no space' 'fixed' \
	vdiskadm translate -I s.vmdk -x raw:fixed -d -

for unit in 4k 16k 1m; do
	ok "grains of $unit" pack -u $unit -d u.vmdk
	same 'the same disk' u.vmdk
	rm u.vmdk
done
fails_with 'grains of 5000' 'power of two' pack -u 5000 -d u.vmdk
fails_with 'grains of 2 MiB' 'power of two' pack -u 2m -d u.vmdk
fails_with 'raw has none' 'has no units' vdiskadm translate -I s.vmdk -x raw \
	-u 4k -d u.raw
exits 'create cannot: 1' 1 vdiskadm create -s 1m -t vmdk:streamOptimized c.vmdk
says 'but knows who can' 'translate -I DISK -x vmdk:streamOptimized'
ls -A >../after
ok 'none of these left anything' cmp ../before ../after

ok 'a split one by its name' vdiskadm translate -I s.vmdk \
	-x vmdk:twoGbMaxExtentFlat -d f.vmdk
same 'is the same disk' f.vmdk
ok 'in its parts' test -e f-f001.vmdk
ok 'create, too' vdiskadm create -s 1m -t vmdk:twoGbMaxExtentSparse g.vmdk
ok 'in its parts' test -e g-s001.vmdk

ok 'a huge empty disk' sh -c 'vdiskadm create -s 2t big.vmdk && timeout 60 \
	vdiskadm translate -I big.vmdk -x vmdk:streamOptimized -d h.vmdk'
is 'is small, and whole' "$(vd-io -r h.vmdk size) $(($(stat -c %s h.vmdk) /
	1000000))" '2199023255552 0'
ok 'a larger one' vdiskadm create -s 4t big.vdi
fails_with 'that no directory can hold' 'larger grains' \
	vdiskadm translate -I big.vdi -x vmdk:streamOptimized -u 4096 -d i.vmdk

# An error in the middle of the source leaves nothing.
cp s.vmdk bad.vmdk
printf '\377\377\377\377' | dd of=bad.vmdk bs=1 seek=65700 conv=notrunc 2>/dev/null
ls -A >../before
fails_with 'a damaged source' 'compressed grain 0' vdiskadm translate -I bad.vmdk \
	-x vmdk:streamOptimized -d o.vmdk
fails_with 'the same to raw' 'compressed grain 0' vdiskadm translate -I bad.vmdk \
	-x raw -d o.raw
ls -A >../after
ok 'nothing is left' cmp ../before ../after
done_testing
