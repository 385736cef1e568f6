#!/bin/sh
# translate to a block device: raw only, large enough, old bytes gone, the rest kept.
#
# The device is a regular file that a preloaded library dresses up as one, so
# that no root and no loop device is needed.
. "${srcdir:-.}/t/lib/tap.sh"
cc=${CC:-cc}
need $cc
[ "${VD_FLAVOUR:-plain}" = plain ] || skip_all 'preloads a library'
cd "$tmp" || exit 1

cat >dress.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>

static int
dress(int ret, struct stat *st)
{
	const char *ino = getenv("DEVICE_INO");

	if (!ret && ino && st->st_ino == strtoull(ino, NULL, 10)) {
		st->st_mode = (st->st_mode & ~S_IFMT) | S_IFBLK;
		st->st_rdev = 0x700;
		st->st_size = 0;
	}
	return ret;
}

#define NEXT(name)	((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int stat(const char *p, struct stat *st) { return dress(NEXT(stat)(p, st), st); }
int fstat(int fd, struct stat *st) { return dress(NEXT(fstat)(fd, st), st); }

int
ioctl(int fd, unsigned long request, ...)
{
	struct stat st;
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request != BLKGETSIZE64)
		return NEXT(ioctl)(fd, request, arg);
	if (NEXT(fstat)(fd, &st))
		return -1;
	*(unsigned long long *)arg = (unsigned long long)st.st_size;
	return 0;
}
C
$cc -shared -fPIC -o dress.so dress.c -ldl >cc.out 2>&1 ||
	skip_all "no shared library from $cc"

on_device() {
	DEVICE_INO=$(stat -c %i dev) LD_PRELOAD=$tmp/dress.so "$@"
}
old_bytes() {
	head -c "$1" /dev/zero | tr '\0' '\245' >dev
}

vdiskadm create -s 3m in.vmdk
vd-io in.vmdk 'fill 0 64k 1' 'fill 1000k 100k 2' "fill 3071k 1k 3" flush
vdiskadm translate -I in.vmdk -x raw -d want.raw

old_bytes 4194304
ok 'dressed up, it is a device' sh -c '
	DEVICE_INO=$(stat -c %i dev) LD_PRELOAD=$1 vdiskadm info dev |
	grep "block device"' - "$tmp/dress.so"
ok 'onto a device that is larger' \
	on_device vdiskadm translate -I in.vmdk -x raw -d dev
ok 'what was there before is gone' \
	sh -c 'head -c 3145728 dev | cmp - want.raw'
is 'what lies beyond is left alone' \
	"$(tail -c 1048576 dev | tr -d '\245' | wc -c)" 0
ok 'back from the device' \
	on_device vdiskadm translate -I dev -x vdi -d back.vdi
is 'with its whole size' "$(vd-io -r back.vdi size)" 4194304

old_bytes 3145728
ok 'onto one that is just large enough' \
	on_device vdiskadm translate -I in.vmdk -x raw -d dev
ok 'identical' cmp dev want.raw

old_bytes 3145216
cp dev before
exits 'a sector short: 3' 3 \
	on_device vdiskadm translate -I in.vmdk -x raw -d dev
ok 'not touched' cmp dev before
fails_with 'a vdi does not go on a device' 'use -x raw' \
	on_device vdiskadm translate -I in.vmdk -x vdi -d dev
fails_with 'nor a device onto itself' 'to read, too' \
	on_device vdiskadm translate -I dev -x raw -d dev
ok 'not touched' cmp dev before
ok 'the device is still there' test -f dev
done_testing
