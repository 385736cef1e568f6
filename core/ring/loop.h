/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * loop.h - a transport without Xen: shared memory and two eventfds.
 *
 * The memory is one memfd: the ring's pages first, then the guest's.  A grant
 * reference is an index of a guest page.  The frontend is hostile here, too:
 * the other end may write anything anywhere in the shared memory at any time.
 */
#ifndef VD_LOOP_H
#define VD_LOOP_H

#include "ring.h"

struct loop;

/* memfd of (ring_pages + guest_pages) pages; eventfds owned by the caller. */
int	loop_open(int memfd, unsigned ring_pages, unsigned guest_pages,
		  int notify_fd, struct loop **out, struct vd_err *err);
void   *loop_ring(struct loop *l);
struct ring_transport loop_transport(struct loop *l);
void	loop_close(struct loop *l);

#endif
