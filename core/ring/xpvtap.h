/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xpvtap.h - a guest's requests by way of the kernel driver xpvtap.
 *
 * The driver talks to the guest; this process has a node open, a ring that is
 * the driver's, and a window of pages with the data.  kmod/uapi/xpvtap.h says
 * how.  No Xen library, and no right in Xen, is needed.
 */
#ifndef VD_XPVTAP_H
#define VD_XPVTAP_H

#include <kmod/uapi/xpvtap.h>
#include <sys/types.h>
#include "ring.h"

#define XPVTAP_NODES	"/dev/xen/xpvtap/"

/*
 * The system calls, so that tests can be the driver; as those of the same name.
 * came: what has happened, by what poll said of fd.
 */
struct xpvtap_system {
	int	(*open)(const char *path, int flags);
	int	(*ioctl)(int fd, unsigned long what, void *arg);
	void   *(*mmap)(int fd, size_t len, off_t off);
	uint32_t (*came)(int fd, uint32_t events);	/* EPOLLIN, ... */
};

struct xpvtap;

/*
 * system: NULL for the kernel's.  After it the guest's wishes are known; what
 * is read from the node is checked and bounded.
 */
int	xpvtap_open(const char *node, const struct xpvtap_system *system,
		    struct xpvtap **out, struct vd_err *err);
const struct xpvtap_info *xpvtap_info(const struct xpvtap *t);
/* Map the ring and the window, and fill in what a ring needs to know of them. */
int	xpvtap_map(struct xpvtap *t, struct ring_config *cfg,
		   struct vd_err *err);
/* Everything is there: the guest may begin.  size is set here. */
int	xpvtap_ready(struct xpvtap *t, struct xpvtap_ready *ready,
		     struct vd_err *err);
/* EPOLLIN, EPOLLPRI and EPOLLHUP are worth waiting for. */
int	xpvtap_fd(const struct xpvtap *t);
/* What epoll's events mean; afterwards xpvtap_info() is as it is now. */
uint32_t xpvtap_came(struct xpvtap *t, uint32_t events);
/* 0, or why the driver takes no more answers from us (-errno). */
int	xpvtap_failed(const struct xpvtap *t);
/* After ring_close(). */
void	xpvtap_close(struct xpvtap *t);

#endif
