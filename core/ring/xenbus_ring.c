/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenbus_ring.c - mapping a guest's ring and letting go of it.
 *
 * The owner's ring handler reaches the guest through the two calls here, so
 * that a ring the guest has given up is cut off in one place.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "xenbus_int.h"

static int
ring_copy(void *ctx, struct ring_copy *c, unsigned n, bool to_guest)
{
	struct xenbus *b = ctx;
	unsigned i;

	if (!b->is_void)
		return b->x->copy(b->x, b->path.domid, c, n, to_guest);
	/* Its references may name other pages by now. */
	for (i = 0; i < n; i++)
		c[i].status = -ESHUTDOWN;
	return n ? -ESHUTDOWN : 0;
}

static void
ring_notify(void *ctx)
{
	struct xenbus *b = ctx;

	if (b->bound && !b->is_void)
		b->x->notify(b->x, b->port);
}

void
xenbus_drop_ring(struct xenbus *b)
{
	if (b->bound) {
		b->x->unbind(b->x, b->port);
		b->bound = false;
	}
	if (!b->v.connected)
		return;
	b->v.connected = false;
	b->v.stopped = false;
	b->is_void = true;
	if (b->owner.inflight(b->owner.ctx) &&
	    !b->x->abandon(b->x, b->ring, b->pages)) {
		b->abandoned = true;		/* */
		b->v.ready = false;
		return;
	}
	b->owner.disconnect(b->owner.ctx);
	b->x->unmap(b->x, b->ring, b->pages);
	b->ring = NULL;
}

void
xenbus_bury_ring(struct xenbus *b)
{
	b->owner.disconnect(b->owner.ctx);
	munmap(b->ring, (size_t)b->pages * RING_PAGE_SIZE);
	b->ring = NULL;
	b->abandoned = false;
	b->v.ready = true;
}

static int
map_ring(struct xenbus *b, struct vd_err *err)
{
	unsigned pages = 1u << b->keys.order;
	int ret;

	ret = b->x->map(b->x, b->path.domid, b->keys.refs, pages, &b->ring);
	if (ret)
		return vd_fail(err, -ret, VD_NOWHERE,
			       "cannot map the frontend's ring of %u page%s: %s",
			       pages, pages > 1 ? "s" : "", strerror(-ret));
	b->pages = pages;
	ret = b->x->bind(b->x, b->path.domid, b->keys.port, &b->port);
	if (!ret) {
		b->bound = true;
		return 0;
	}
	b->x->unmap(b->x, b->ring, pages);
	b->ring = NULL;
	return vd_fail(err, -ret, VD_NOWHERE,
		       "cannot bind the frontend's event channel %u: %s",
		       b->keys.port, strerror(-ret));
}

/*
 * The guest was told a size, and whether it may write; both hold for as long as
 * it is connected.
 */
int
xenbus_same_disk(struct xenbus *b, struct vd_err *err)
{
	const char *dir = b->path.back;
	uint64_t sectors, info;
	int ret;

	ret = store_get_uint(b->x, 0, dir, "sectors", UINT64_MAX, &sectors);
	if (!ret)
		ret = store_get_uint(b->x, 0, dir, "info", UINT32_MAX, &info);
	if (ret)
		return vd_fail(err, EPROTO, VD_NOWHERE,
			       "%s does not say what the guest was told", dir);
	if (b->disk.sectors == sectors && b->disk.readonly == !!(info & 4))
		return 0;
	return vd_fail(err, EPROTO, VD_NOWHERE, "the guest uses a disk of "
		       "%llu sectors, %s: this one has %llu, %s",
		       (unsigned long long)sectors,
		       info & 4 ? "read-only" : "writable",
		       (unsigned long long)b->disk.sectors,
		       b->disk.readonly ? "read-only" : "writable");
}

/* All or nothing: what was done is undone before the error is returned. */
int
xenbus_make_ring(struct xenbus *b, bool resume, struct vd_err *err)
{
	struct xenbus_ring r;
	int ret;

	ret = xenbus_front_read(b->x, b->front, b->disk.max_order, &b->keys,
				err);
	if (!ret)
		ret = map_ring(b, err);
	if (ret)
		return ret;
	r = (struct xenbus_ring){
		.ring = b->ring,
		.pages = b->pages,
		.abi = b->keys.abi,
		.transport = {
			.copy = ring_copy, .notify = ring_notify, .ctx = b,
		},
		.keys = &b->keys,
		.resume = resume,
	};
	b->is_void = false;
	ret = b->owner.connect(b->owner.ctx, &r, err);
	if (!ret) {
		b->v.connected = true;
		b->v.stopped = b->v.broken = b->v.renewed = false;
		return 0;
	}
	b->x->unbind(b->x, b->port);
	b->bound = false;
	b->x->unmap(b->x, b->ring, b->pages);
	b->ring = NULL;
	return ret;
}
