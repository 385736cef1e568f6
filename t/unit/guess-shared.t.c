/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guess-shared.t.c - a guest that changes its page after it was looked at does
 * not get an image's header into a disk that was guessed to be raw.
 *
 * The call that writes is replaced: right before it the guest's page changes.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vdisk/vdisk.h>
#include "tap.h"

static const char header[] = "# Disk DescriptorFile\nversion=1\n"
	"CID=00000001\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n"
	"RW 8 FLAT \"/etc/shadow\" 0\n";
static char page[131072];	/* goes on where no header can be */
static bool change;
static int changes;

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	if (change) {
		memcpy(page, header, sizeof(header));
		changes++;
	}
	return syscall(SYS_pwritev, fd, iov, n, off, 0);
}

int
main(void)
{
	char path[] = "/tmp/guess-shared.XXXXXX", back[sizeof(page)];
	struct vd_library *lib = NULL;
	struct vd_err err = { 0 };
	struct vd_disk *d = NULL;
	int fd = mkstemp(path);

	if (fd < 0 || ftruncate(fd, 1 << 20))
		return 1;
	if (vd_library_open(NULL, &lib, &err) ||
	    vd_disk_open(lib, path, NULL, &d, &err)) {
		diag("%s", err.msg);
		return 1;
	}
	memcpy(page, header, sizeof(header));
	is_int(vd_disk_write(d, page, sizeof(page), 0, 0, &err), -EPERM,
	       "a header is refused");
	memset(page, 'x', sizeof(page));
	vd_err_clear(&err);
	change = true;
	is_int(vd_disk_write(d, page, sizeof(page), 0, 0, &err), 0,
	       "other data is written");
	change = false;
	ok(changes > 0, "and the page changed meanwhile");
	ok(pread(fd, back, sizeof(back), 0) == sizeof(back) &&
	   back[0] == 'x' && back[sizeof(header)] == 'x',
	   "what was looked at is in the file");
	ok(back[65535] == 'x' && back[65536] == 'x' &&
	   back[sizeof(back) - 1] == 'x', "and the rest is behind it");
	vd_disk_close(d, &err);
	vd_library_close(lib);
	close(fd);
	unlink(path);
	return done_testing();
}
