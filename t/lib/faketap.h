/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * faketap.h - the kernel driver xpvtap and the guest behind it, in a process.
 *
 * A frontend's ring and pages are the user ring and the window; four functions
 * take the place of the system calls, in the test's process or in a child of
 * it.  What the node is to a process - exclusive, level-triggered, with a ring
 * that begins at zero - it is here.  That unanswered requests are given again
 * to the next process is the test's part: faketap_again().
 */
#ifndef VD_T_FAKETAP_H
#define VD_T_FAKETAP_H

#include <sys/types.h>

#include "core/ring/xpvtap.h"
#include "frontend.h"

#define FAKETAP_NODE	"/dev/xen/xpvtap/7-51728"

/* Shared with the processes that serve. */
struct faketap_shared {
	struct xpvtap_info info;	/* as it is told, right or wrong */
	struct xpvtap_ready ready;	/* as it was said */
	pid_t		holder;		/* who has the node open; 0: nobody */
	uint32_t	readies, pushes, infos;
	/* A call fails so; 0: it does not. */
	int		open_fails, info_fails, ready_fails, push_fails;
	int		mmap_fails;
	bool		news;		/* POLLPRI */
	bool		hangup;
};

struct faketap {
	struct fe	fe;		/* fe.kick_fd is behind the node */
	struct faketap_shared *sh;
	int		ready_fd;	/* READY was said */
};

/* One for each process: the functions have no context. */
extern const struct xpvtap_system faketap_system;

/* A ring of 2^order pages.  Returns 0 or -errno. */
int	faketap_open(struct faketap *f, unsigned order, unsigned window_pages);
void	faketap_close(struct faketap *f);
/* The process has closed the node, or is dead. */
void	faketap_released(struct faketap *f);
/* Wait for READY, then begin at zero with it; false: not in that time. */
bool	faketap_again(struct faketap *f, int ms);
void	faketap_state(struct faketap *f, uint32_t state);
void	faketap_hangup(struct faketap *f);

#endif
