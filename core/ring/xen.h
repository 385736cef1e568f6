/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen.h - what the backend asks of Xen, as one small table of functions.
 *
 * xenbus.c and the programs know Xen only through this table.  xenstore.c and
 * gnttab.c fill it with the Xen libraries; the unit tests fill it with a store
 * in memory and a guest of their own, so that every rule about a hostile or
 * dying guest is tested on a machine without Xen.
 *
 * Calls return 0 or -errno.  One thread.
 */
#ifndef VD_XEN_H
#define VD_XEN_H

#include <stdbool.h>
#include <stdint.h>
#include "ring.h"

#define XEN_PATH_MAX	512	/* xenstore paths that we build */
#define XEN_VALUE_MAX	4096	/* longer values are refused, not cut */

struct xen {
	/* ---- xenstore; t: a transaction, or 0 ---- */

	/* *value is malloc'd text; -ENOENT, -EILSEQ (NULs in it), -E2BIG. */
	int	(*read)(struct xen *x, uint32_t t, const char *path,
			char **value);
	int	(*write)(struct xen *x, uint32_t t, const char *path,
			 const char *value);
	/* -ENOENT when it was not there. */
	int	(*remove)(struct xen *x, uint32_t t, const char *path);
	/* The names below path: one malloc'd block, free(*names). */
	int	(*list)(struct xen *x, uint32_t t, const char *path,
			char ***names, unsigned *n);
	/* path belongs to owner alone, reader may read. */
	int	(*allow)(struct xen *x, uint32_t t, const char *path,
			 unsigned owner, unsigned reader);
	int	(*begin)(struct xen *x, uint32_t *t);
	/* -EAGAIN: someone was faster, do it all again, reads included. */
	int	(*commit)(struct xen *x, uint32_t t);
	void	(*abort)(struct xen *x, uint32_t t);
	int	(*watch)(struct xen *x, const char *path, const char *token);
	/* Forget what has fired: >0 that much, 0 nothing, else -errno. */
	int	(*fired)(struct xen *x);
	int	(*store_fd)(struct xen *x);
	/* Does this domain (still) exist? */
	bool	(*introduced)(struct xen *x, unsigned domid);

	/* ---- grants and events; NULL after xen_store_open() ---- */

	/* n pages of a guest, contiguous and writable: all or none. */
	int	(*map)(struct xen *x, unsigned domid, const uint32_t *refs,
		       unsigned n, void **addr);
	void	(*unmap)(struct xen *x, void *addr, unsigned n);
	/*
	 * Give the guest's pages back now, but leave private memory in their
	 * place: for a ring whose requests are stuck in the disk.  No other
	 * mapping may exist.  The memory is munmap()ed by the caller.
	 */
	int	(*abandon)(struct xen *x, void *addr, unsigned n);
	/* As ring_transport.copy. */
	int	(*copy)(struct xen *x, unsigned domid, struct ring_copy *c,
			unsigned n, bool to_guest);
	int	(*bind)(struct xen *x, unsigned domid, uint32_t remote,
			uint32_t *port);
	void	(*unbind)(struct xen *x, uint32_t port);
	void	(*notify)(struct xen *x, uint32_t port);
	/*
	 * Has a port rung?  1 and which: masked until unmask(); 0: none.
	 * Never blocks.
	 */
	int	(*pending)(struct xen *x, uint32_t *port);
	void	(*unmask)(struct xen *x, uint32_t port);
	int	(*event_fd)(struct xen *x);

	/* Milliseconds of a clock that never goes back. */
	uint64_t (*now)(struct xen *x);
	void	(*close)(struct xen *x);	/* frees x, too */
	void   *grants;		/* gnttab.c's own */
};

/*
 * Connect to xenstore only (attach, detach, list).  The error says which part
 * of Xen is not there.
 */
int	xen_store_open(struct xen **out, struct vd_err *err);
/* xenstore, grants and event channels (vdisk). */
int	xen_open(struct xen **out, struct vd_err *err);

/* gnttab.c: add grants and events to a table that has xenstore. */
int	xen_add_grants(struct xen *x, struct vd_err *err);
void	xen_drop_grants(struct xen *x);

#endif
