/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gnttab.c - the grant and event part of struct xen, on the Xen libraries.
 *
 * Data is moved by grant copy: nothing of the guest stays mapped but its ring,
 * so there is no unmapping to forget, no page that changes while it is being
 * looked at, and a dead guest is held by the ring alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xen/grant_table.h>
#include "xen.h"

#define COPY_AT_ONCE	256	/* pieces of one library call */
#define EAGAIN_TRIES	3	/* R-30; the kernel has waited before */

struct grants {
	xengnttab_handle *gt;
	xengnttab_handle *spare;	/* opened while that is allowed */
	xenevtchn_handle *ev;
	xengnttab_grant_copy_segment_t seg[COPY_AT_ONCE];
};

static int
failed(void)
{
	return errno ? -errno : -EIO;
}

/* ----------------------------------------------------------------- grants */

static int
gt_map(struct xen *x, unsigned domid, const uint32_t *refs, unsigned n,
       void **addr)
{
	struct grants *g = x->grants;
	uint32_t copy[1u << RING_MAX_ORDER];

	if (!g->gt)
		return -ENODEV;
	if (!n || n > sizeof(copy) / sizeof(copy[0]))
		return -EINVAL;
	/* The library's prototype lacks a const. */
	memcpy(copy, refs, n * sizeof(*refs));
	errno = 0;
	*addr = xengnttab_map_domain_grant_refs(g->gt, n, domid, copy,
						PROT_READ | PROT_WRITE);
	return *addr ? 0 : failed();
}

static void
gt_unmap(struct xen *x, void *addr, unsigned n)
{
	xengnttab_unmap(((struct grants *)x->grants)->gt, addr, n);
}

/*
 * Closing the handle is what drops the grants once the mapping is covered:
 * xengnttab_unmap() would leave a hole for another thread's memory to fall in.
 */
static int
gt_abandon(struct xen *x, void *addr, unsigned n)
{
	struct grants *g = x->grants;

	if (mmap(addr, (size_t)n * RING_PAGE_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -errno;
	xengnttab_close(g->gt);
	g->gt = g->spare;
	g->spare = NULL;
	return g->gt ? 0 : -ENODEV;
}

static void
fill(xengnttab_grant_copy_segment_t *s, unsigned domid,
     const struct ring_copy *c, bool to_guest)
{
	union xengnttab_copy_ptr ours = { .virt = c->buf };
	union xengnttab_copy_ptr theirs = {
		.foreign = {
			.ref = c->gref,
			.offset = c->off,
			.domid = (uint16_t)domid,
		},
	};

	s->source = to_guest ? ours : theirs;
	s->dest = to_guest ? theirs : ours;
	s->len = c->len;
	s->flags = to_guest ? GNTCOPY_dest_gref : GNTCOPY_source_gref;
	s->status = GNTST_general_error;
}

static int
status_error(int status)
{
	switch (status) {
	case GNTST_okay:
		return 0;
	case GNTST_eagain:
		return -EAGAIN;
	case GNTST_permission_denied:
		return -EACCES;
	default:
		return -EFAULT;
	}
}

/* One library call; a status that was not set counts as failed. */
static void
copy_some(struct grants *g, unsigned domid, struct ring_copy *c, unsigned n,
	  bool to_guest)
{
	unsigned i;
	int ret;

	for (i = 0; i < n; i++)
		fill(&g->seg[i], domid, &c[i], to_guest);
	ret = g->gt ? xengnttab_grant_copy(g->gt, n, g->seg) : -1;
	/* each one's status; when the call failed, none is believed. */
	for (i = 0; i < n; i++)
		c[i].status = ret ? -EIO : status_error(g->seg[i].status);
}

static int
gt_copy(struct xen *x, unsigned domid, struct ring_copy *c, unsigned n,
	bool to_guest)
{
	unsigned i, some, tries;
	int first = 0;

	for (i = 0; i < n; i += some) {
		some = n - i < COPY_AT_ONCE ? n - i : COPY_AT_ONCE;
		copy_some(x->grants, domid, c + i, some, to_guest);
	}
	for (i = 0; i < n; i++) {
		for (tries = 0; c[i].status == -EAGAIN && tries < EAGAIN_TRIES;
		     tries++)
			copy_some(x->grants, domid, c + i, 1, to_guest);
		if (c[i].status && !first)
			first = c[i].status;
	}
	return first;
}

/* ----------------------------------------------------------------- events */

static xenevtchn_handle *
events(struct xen *x)
{
	return ((struct grants *)x->grants)->ev;
}

static int
ev_bind(struct xen *x, unsigned domid, uint32_t remote, uint32_t *port)
{
	xenevtchn_port_or_error_t p;

	errno = 0;
	p = xenevtchn_bind_interdomain(events(x), domid, remote);
	if (p < 0)
		return failed();
	*port = (uint32_t)p;
	return 0;
}

static void
ev_unbind(struct xen *x, uint32_t port)
{
	xenevtchn_unbind(events(x), port);
}

static void
ev_notify(struct xen *x, uint32_t port)
{
	xenevtchn_notify(events(x), port);
}

/*
 * The device's queue of ports overflows (EFBIG) only when more ports ring than
 * it has room for; we bind one.
 */
static int
ev_pending(struct xen *x, uint32_t *port)
{
	xenevtchn_port_or_error_t p;

	errno = 0;
	p = xenevtchn_pending(events(x));
	if (p >= 0) {
		*port = (uint32_t)p;
		return 1;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
		return 0;
	return failed();
}

static void
ev_unmask(struct xen *x, uint32_t port)
{
	xenevtchn_unmask(events(x), port);
}

static int
ev_fd(struct xen *x)
{
	return xenevtchn_fd(events(x));
}

/* ------------------------------------------------------------ open, close */

void
xen_drop_grants(struct xen *x)
{
	struct grants *g = x->grants;

	if (!g)
		return;
	if (g->ev)
		xenevtchn_close(g->ev);
	if (g->gt)
		xengnttab_close(g->gt);
	if (g->spare)
		xengnttab_close(g->spare);
	x->grants = NULL;
	free(g);
}

static int
no_device(struct vd_err *err, const char *dev, const char *module)
{
	int code = errno ? errno : ENODEV;

	vd_fail(err, code, VD_NOWHERE, "cannot open %s: %s", dev,
		strerror(code));
	if (code == ENOENT || code == ENODEV || code == ENXIO)
		vd_err_help(err, "modprobe %s", module);
	return -code;
}

int
xen_add_grants(struct xen *x, struct vd_err *err)
{
	struct grants *g;
	int flags, ret;

	g = calloc(1, sizeof(*g));
	if (!g)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	x->grants = g;
	errno = 0;
	g->gt = xengnttab_open(NULL, 0);
	g->spare = g->gt ? xengnttab_open(NULL, 0) : NULL;
	if (!g->spare) {
		ret = no_device(err, "/dev/xen/gntdev", "xen-gntdev");
		goto fail;
	}
	errno = 0;
	g->ev = xenevtchn_open(NULL, 0);
	if (!g->ev) {
		ret = no_device(err, "/dev/xen/evtchn", "xen-evtchn");
		goto fail;
	}
	/* pending() must not wait for an event that is not there. */
	flags = fcntl(xenevtchn_fd(g->ev), F_GETFL);
	if (flags < 0 ||
	    fcntl(xenevtchn_fd(g->ev), F_SETFL, flags | O_NONBLOCK) < 0) {
		ret = no_device(err, "/dev/xen/evtchn", "xen-evtchn");
		goto fail;
	}
	x->map = gt_map;
	x->unmap = gt_unmap;
	x->abandon = gt_abandon;
	x->copy = gt_copy;
	x->bind = ev_bind;
	x->unbind = ev_unbind;
	x->notify = ev_notify;
	x->pending = ev_pending;
	x->unmask = ev_unmask;
	x->event_fd = ev_fd;
	return 0;
fail:
	xen_drop_grants(x);
	return ret;
}
