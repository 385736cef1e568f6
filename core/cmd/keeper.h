/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * keeper.h - a small process that starts the server again when it is killed.
 *
 * The keeper opens no image and nothing of Xen.  It has the pid file and the
 * name by which the disk's process is signalled; the server is its child, and
 * another one after each crash or upgrade.
 */
#ifndef VD_KEEPER_H
#define VD_KEEPER_H

#include <stdbool.h>

struct keeper {
	const char     *program;	/* NULL: the one that runs, by its path */
	char	      **argv;		/* for it; --kept is added */
	const char     *what;		/* is served, for the log */
	const char     *pidfile;	/* or NULL */
	bool		background;
	int		ready_fd;	/* -1: none */
	unsigned	lived_ms;	/* a server that lived so long was good */
	unsigned	pause_ms;	/* after the second bad one, then double */
	unsigned	most;		/* bad ones in a row */
};

#define KEEPER_LIVED_MS	1000
#define KEEPER_PAUSE_MS	100
#define KEEPER_MOST	10

/* An exit status. */
int	keep(const struct keeper *k);

#endif
