/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sysio.c - the system calls that move an image's bytes, in one place.
 *
 * Tests replace them to record, delay or fail what reaches a file.
 */
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>
#include "internal.h"

struct vd_sysio vd_sysio = {
	.preadv = preadv,
	.pwritev = pwritev,
	.fdatasync = fdatasync,
	.ftruncate = ftruncate,
	.fallocate = fallocate,
};
