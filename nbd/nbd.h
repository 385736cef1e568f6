/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nbd.h - what the two halves of the nbdkit plugin know of each other.
 */
#ifndef VD_NBD_H
#define VD_NBD_H

#include <stdbool.h>
#include <vdisk/vdisk.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

enum nbd_access {
	NBD_AUTO,		/* writable if it can be */
	NBD_READ,
	NBD_WRITE,		/* or not at all */
};

/* What was asked for; strings are nbdkit's or the command line's. */
struct nbd_want {
	char	       *file;		/* absolute: nbdkit changes its folder */
	const char     *format;		/* NULL: probe */
	const char     *snapshot;	/* NULL: the top */
	enum nbd_access access;
	bool		anywhere;
	uint64_t	cache;		/* bytes; 0: the library's usual */
};

/* One disk, whatever the number of connections. */
struct nbd_export {
	struct nbd_want want;
	struct vd_library *lib;
	struct vd_disk *disk;
};

/* open.c: 0, or -1 after nbdkit_error() and nbdkit_set_error(). */
int	nbd_config(struct nbd_want *w, const char *key, const char *value);
int	nbd_open(struct nbd_export *e);
int	nbd_close(struct nbd_export *e);
int	nbd_failed(int ret, const struct vd_err *err);

extern const char nbd_config_help[];

#endif
