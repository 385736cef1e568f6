#!/bin/sh
# translate tells the content's hash, reads its work again, and reports in JSON.
. "${srcdir:-.}/t/lib/tap.sh"
need sha256sum
mkdir "$tmp/d" && cd "$tmp/d" || exit 1

truncate -s 73401344 raw
vd-io -f raw raw 'fill 0 1M 1' 'write 1M 1M 2' 'fill 67108864 200000 4' \
	'fill 73400832 512 5' flush || exit 1
sum=sha256:$(sha256sum <raw | cut -d' ' -f1)
tr() { vdiskadm translate -i raw -I raw "$@"; }

tr -x raw --hash -d o.raw >out 2>&1
if grep -q 'built without' out; then
	skip 'hashes' 'needs nettle'
else
	is 'the hash of what went to raw' "$(cat out)" "$sum"
	for to in vdi vmdk vmdk:fixed vmdk:streamOptimized; do
		rm -f o.* o-*
		is "to $to" "$(tr -x $to --hash -d o.${to%:*})" "$sum"
	done
	is 'to a pipe: beside it' "$(tr -x raw --hash -d - 2>&1 >p.raw)" "$sum"
	ok 'and not in it' cmp p.raw raw
	rm -f o.* o-*
	vdiskadm create -s 1g big.vdi
	is 'holes count as zeros' \
		"$(vdiskadm translate -I big.vdi -x raw --hash -d b.raw)" \
		"sha256:$(truncate -s 1g z && sha256sum <z | cut -d' ' -f1)"
	rm -f z b.raw
fi
rm -f o.*

for to in raw vdi vmdk vmdk:twoGbMaxExtentSparse vmdk:streamOptimized; do
	ok "$to, verified" tr -x $to --verify -d o.${to%:*}
	ok 'is there' test -e o.${to%:*}
	rm -f o*
done
# A library in front of it turns the first grain over as it is read again.
if command -v gcc >/dev/null; then
	cat >flip.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
ssize_t preadv(int fd, const struct iovec *v, int n, off_t off)
{
	static ssize_t (*real)(int, const struct iovec *, int, off_t);
	char link[40], name[4096] = "";
	ssize_t got;

	if (!real)
		real = (ssize_t (*)(int, const struct iovec *, int, off_t))
			dlsym(RTLD_NEXT, "preadv");
	got = real(fd, v, n, off);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (readlink(link, name, sizeof(name) - 1) > 0 &&
	    strstr(name, "/o.raw") && got > 0 && off <= 700000 &&
	    off + got > 700000 && v->iov_len > (size_t)(700000 - off))
		((char *)v->iov_base)[700000 - off] ^= 1;
	return got;
}
ssize_t preadv64(int, const struct iovec *, int, off_t)
	__attribute__((alias("preadv")));
C
	if gcc -shared -fPIC -o flip.so flip.c -ldl 2>/dev/null &&
	   case $builddir in */asan*) false ;; esac; then
		ls -A >../before
		fails_with 'one bit that is read differently' \
			'o.raw: .*byte 700000 of the disk differs' \
			env LD_PRELOAD=$tmp/d/flip.so vdiskadm translate -i raw -I raw \
			-x raw --verify -d o.raw
		ls -A >../after
		ok 'and nothing is left' cmp ../before ../after
	else
		skip 'a bit that is read differently' 'cannot preload here'
	fi
else
	skip 'a bit that is read differently' 'needs gcc'
fi

ok 'JSON lines' sh -c 'vdiskadm translate -i raw -I raw -x vdi --verify \
	--progress=json -d j.vdi 2>lines'
if command -v python3 >/dev/null; then
	ok 'each is an object, and all is told' python3 -c '
import json
l = [json.loads(x) for x in open("lines")]
for step in "copy", "verify":
	s = [x for x in l if x["step"] == step]
	assert s[0]["done"] == 0 and s[-1]["done"] == s[-1]["size"] == 73401344
	assert all(a["done"] <= b["done"] for a, b in zip(s, s[1:]))'
else
	skip 'JSON is JSON' 'needs python3'
fi
fails_with 'no other words' 'bar, json or none' tr -x raw --progress=xml -d x.raw
ok 'a bar on request' sh -c 'vdiskadm translate -i raw -I raw -x raw --progress=bar \
	-d k.raw 2>bar'
ok 'no wait for the disk' tr -x vmdk --no-sync -d n.vmdk
is 'is the same disk' "$(content_of n.vmdk)" "$(content_of j.vdi)"
if command -v strace >/dev/null; then
	strace -f -o log -e trace=fsync,fdatasync,sync_file_range \
		vdiskadm translate -i raw -I raw -x raw --no-sync -d s1.raw
	is 'none' "$(grep -c 'sync(.*= 0' log)" 0
	strace -f -o log -e trace=fsync,fdatasync \
		vdiskadm translate -i raw -I raw -x vmdk:streamOptimized -d s2.vmdk
	ok 'usually there is' test "$(grep -c 'sync(.*= 0' log)" -ge 2
else
	skip 'syncs' 'needs strace'
fi
done_testing
