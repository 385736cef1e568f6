/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lock.c - who else has this file open, told by locks on single bytes.
 *
 * QEMU's convention (its file-posix driver, since 2.10), so that each refuses
 * what the other has open: byte 100+n is share-locked by whoever uses right
 * n, byte 200+n by whoever does not tolerate others using it.  The rights that
 * concern images: 0 read consistently, 1 write, 3 resize.  Open-file-description
 * locks: they belong to the open file, not to the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include "internal.h"

#define USED_BASE	100
#define ALONE_BASE	200

#define RIGHT_READ	0x1u
#define RIGHT_WRITE	0x2u
#define RIGHT_RESIZE	0x8u
#define RIGHTS		4	/* bits looked at */

static int
take(int fd, off_t byte)
{
	struct flock fl = {
		.l_type = F_RDLCK, .l_whence = SEEK_SET,
		.l_start = byte, .l_len = 1,
	};

	return fcntl(fd, F_OFD_SETLK, &fl) == 0 ? 0 : errno;
}

/* Does anybody else hold this byte? */
static bool
held(int fd, off_t byte)
{
	struct flock fl = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET,
		.l_start = byte, .l_len = 1,
	};

	return fcntl(fd, F_OFD_GETLK, &fl) == 0 && fl.l_type != F_UNLCK;
}

int
vd_lock_file(int fd, const char *name, bool write, struct vd_err *err)
{
	unsigned use = RIGHT_READ | (write ? RIGHT_WRITE | RIGHT_RESIZE : 0);
	unsigned alone = RIGHT_WRITE | RIGHT_RESIZE;
	int code = 0, ret = 0;

	for (int i = 0; i < RIGHTS && !code; i++) {
		if (use & (1u << i))
			code = take(fd, USED_BASE + i);
		if (!code && (alone & (1u << i)))
			code = take(fd, ALONE_BASE + i);
	}
	if (code && code != EAGAIN && code != EACCES) {
		ret = vd_fail(err, code, VD_NOWHERE,
			      "cannot lock: %s", strerror(code));
		vd_err_help(err, "the file system must support locks "
			    "(on NFS: version 4, or a running lockd)");
	}
	for (int i = 0; i < RIGHTS && !ret; i++) {
		if (((use & (1u << i)) && held(fd, ALONE_BASE + i)) ||
		    ((alone & (1u << i)) && held(fd, USED_BASE + i)))
			code = EAGAIN;
	}
	if (!ret && code) {
		ret = vd_fail(err, EBUSY, VD_NOWHERE, write
			      ? "in use by another program"
			      : "open for writing in another program");
		vd_err_help(err, "`lsof` names it; a second user would damage "
			    "the image");
	}
	vd_err_file(err, name);
	return ret;
}
