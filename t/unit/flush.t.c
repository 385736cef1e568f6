/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * flush.t.c - what a flush answers when the host fails.
 *
 * The host's calls are replaced: they fail when told to.
 */
#include <errno.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vdisk/vdisk.h>
#include "tap.h"

static int fail_sync, fail_write;	/* errno, 0: do it */

int
fdatasync(int fd)
{
	if (fail_sync) {
		errno = fail_sync;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	if (fail_write) {
		errno = fail_write;
		return -1;
	}
	return syscall(SYS_pwritev, fd, iov, n, off, 0);
}

int
main(void)
{
	struct vd_create c = { .size = sizeof(c), .virtual_size = 8 << 20 };
	char dir[] = "/tmp/vdisk-flush-XXXXXX", path[64], buf[512] = "data";
	struct vd_err err = { 0 };
	struct vd_library *lib = NULL;
	struct vd_disk *d = NULL;

	if (!mkdtemp(dir))
		return 1;
	setenv("VDISK_RUN_DIR", dir, 1);
	snprintf(path, sizeof(path), "%s/a.vdi", dir);
	ok(!vd_library_open(NULL, &lib, &err) &&
	   !vd_create_image(lib, "vdi", path, &c, &err) &&
	   !vd_disk_open(lib, path, NULL, &d, &err), "an image");
	ok(!vd_disk_write(d, buf, 512, 0, 0, &err), "a write");
	fail_write = ENOSPC;
	is_int(vd_disk_flush(d, &err), -EAGAIN,
	       "a table that could not be written may be tried again");
	is_int(err.code, ENOSPC, "and says why");
	vd_err_clear(&err);
	is_int(vd_disk_write(d, buf, 512, 4096, 0, &err), -ENOSPC,
	       "a write that fails is told at once");
	vd_err_clear(&err);
	fail_write = 0;
	is_int(vd_disk_flush(d, &err), 0, "the next try");
	ok(!vd_disk_write(d, buf, 512, 1 << 20, VD_FUA, &err), "and go on");

	ok(!vd_disk_write(d, buf, 512, 2 << 20, 0, &err), "another write");
	fail_sync = EIO;
	is_int(vd_disk_flush(d, &err), -EIO, "a sync that fails");
	vd_err_clear(&err);
	fail_sync = 0;
	is_int(vd_disk_flush(d, &err), -EIO,
	       "is not made good by one that succeeds");
	vd_err_clear(&err);
	ok(vd_disk_close(d, &err) < 0, "nor by a close");
	vd_library_close(lib);
	snprintf(buf, sizeof(buf), "rm -rf %s", dir);
	return system(buf) ? 1 : done_testing();
}
