/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * serve.h - serve one image to one guest until either of them goes away.
 */
#ifndef VD_SERVE_H
#define VD_SERVE_H

#include <stdbool.h>
#include <vdisk/vdisk.h>
#include "sandbox.h"

struct serve_options {
	const char     *path;		/* the image */
	const char     *node;		/* backend/vdisk/DOMID/DEVID, /dev/.. */
	const char     *format;		/* NULL: probe */
	const char     *pidfile;	/* or NULL */
	enum vd_driver	driver;
	bool		readonly;
	bool		anywhere;	/* VD_DISK_ANYWHERE */
	uint64_t	cache;		/* bytes for tables; 0: the usual */
	bool		devices;	/* VD_DISK_DEVICES */
	bool		background;
	bool		kept;		/* by a keeper, which is in the background */
	int		ready_fd;	/* -1: none */
	struct sandbox	sandbox;
	/* For tests: node is an xpvtap node, and this the driver. */
	const struct xpvtap_system *xpvtap;
};

/* Is the node the kernel driver's, or a directory of xenstore? */
bool	serve_by_driver(const char *node);
/* Handed over: whoever keeps us should start another one. */
#define SERVE_AGAIN	10
/* An exit status. */
int	serve(const struct serve_options *o);

#endif
