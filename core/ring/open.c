/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * open.c - a ring's beginning, fresh or with what another process left, and its
 * end.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "internal.h"

static const struct blkif_layout layouts[] = {
	[RING_ABI_X86_64] = BLKIF_LAYOUT(64),
	[RING_ABI_X86_32] = BLKIF_LAYOUT(32),
};

static uint32_t
ring_entries(unsigned pages, unsigned stride)
{
	uint32_t n = 1;

	while (2 * n * stride <= pages * RING_PAGE_SIZE -
				 sizeof(struct blkif_header))
		n *= 2;
	return n;
}

static int
check_config(const struct ring_config *c, struct vd_err *err)
{
	if (c->abi != RING_ABI_X86_64 && c->abi != RING_ABI_X86_32)
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "ring ABI %d is none we know", (int)c->abi);
	/* a power of two, and no more than was offered. */
	if (c->pages == 0 || c->pages > 1u << RING_MAX_ORDER ||
	    (c->pages & (c->pages - 1)))
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "a ring has 1, 2, 4, 8 or 16 pages, not %u",
			       c->pages);
	if (c->max_indirect > RING_MAX_INDIRECT)
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "at most %u indirect segments can be offered",
			       RING_MAX_INDIRECT);
	if (!c->ring || (uintptr_t)c->ring % sizeof(uint64_t) || !c->disk ||
	    !c->queue || !c->transport.copy || !c->transport.notify ||
	    (c->resume && !(c->inflight && c->key)))
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "ring, disk, queue and transport are all needed");
	return 0;
}

/* The largest request must fit when nothing else is in flight. */
static int
set_limit(struct ring *r, uint64_t bytes, struct vd_err *err)
{
	size_t least = pool_size((size_t)r->max_segs * RING_PAGE_SIZE);

	r->pool.limit = bytes ? bytes : RING_BYTES;
	if (r->pool.limit < least || r->pool.limit > RING_MAX_BYTES)
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "data in flight is limited to %llu bytes, "
			       "%zu to %llu are sensible",
			       (unsigned long long)bytes, least, RING_MAX_BYTES);
	return 0;
}

static int
alloc_requests(struct ring *r, struct vd_err *err)
{
	uint32_t i;

	r->reqs = calloc(r->entries, sizeof(*r->reqs));
	r->segs = calloc((size_t)r->entries * r->max_segs, sizeof(*r->segs));
	r->pieces = calloc(RING_PIECES, sizeof(*r->pieces));
	r->owners = calloc(RING_PIECES, sizeof(*r->owners));
	if (!r->reqs || !r->segs || !r->pieces || !r->owners)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for a ring");
	for (i = 0; i < r->entries; i++) {
		r->reqs[i].ring = r;
		r->reqs[i].segs = r->segs + (size_t)i * r->max_segs;
		list_push(&r->free, &r->reqs[i]);
	}
	return 0;
}

/* In the order they were fetched in: a barrier stays between its neighbours. */
static void
add_left(struct ring *r, struct ring_req *q, uint64_t nth, uint64_t *order)
{
	struct ring_req **at = &r->replay.head;

	order[ring_place(r, q)] = nth;
	while (*at && order[ring_place(r, *at)] < nth)
		at = &(*at)->next;
	q->next = *at;
	*at = q;
}

/*
 * What a killed process left goes to r->replay, the rest of r->free stays.  The
 * ring's own indices are not believed, but for being those of this ring.
 */
static int
resume(struct ring *r, struct vd_err *err)
{
	uint32_t req_prod = __atomic_load_n(&r->hdr->req_prod,
					    __ATOMIC_ACQUIRE);
	uint32_t rsp_prod = __atomic_load_n(&r->hdr->rsp_prod,
					    __ATOMIC_ACQUIRE);
	uint64_t *order = calloc(r->entries, sizeof(*order)), nth;
	struct ring_req *q;

	if (!order)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for a ring");
	if (inflight_resume(r->inflight, r->entries, rsp_prod)) {
		free(order);
		return vd_fail(err, EPROTO, VD_NOWHERE, "the log of requests "
			       "is not that of this ring");
	}
	r->rsp_prod = r->rsp_pushed = inflight_answered(r->inflight);
	r->req_cons = inflight_fetched(r->inflight);
	r->free = (struct req_list){ NULL, NULL };
	for (q = r->reqs; q < r->reqs + r->entries; q++) {
		if (inflight_request(r->inflight, ring_place(r, q), &nth))
			add_left(r, q, nth, order);
		else
			list_push(&r->free, q);
	}
	free(order);
	if (ring_index_broken(r, req_prod))
		return vd_fail(err, EPROTO, VD_NOWHERE, "the ring's indices "
			       "are not those of the log of requests");
	/* They may have been published, and the guest told, or not. */
	__atomic_store_n(&r->hdr->rsp_prod, r->rsp_prod, __ATOMIC_SEQ_CST);
	inflight_pushed(r->inflight);
	r->transport.notify(r->transport.ctx);
	return 0;
}

/*
 * Continue where the answers end.  A fresh ring has zeros there; in a live one
 * whatever an orderly predecessor left unanswered is fetched again.
 */
static int
attach(struct ring *r, const struct inflight_key *key, struct vd_err *err)
{
	uint32_t rsp_prod = __atomic_load_n(&r->hdr->rsp_prod,
					    __ATOMIC_ACQUIRE);
	uint32_t req_prod = __atomic_load_n(&r->hdr->req_prod,
					    __ATOMIC_ACQUIRE);

	if (req_prod - rsp_prod > r->entries)
		return vd_fail(err, EPROTO, VD_NOWHERE,
			       "ring holds %u requests, %u fit",
			       req_prod - rsp_prod, r->entries);
	r->req_cons = r->rsp_prod = r->rsp_pushed = rsp_prod;
	if (r->inflight)
		inflight_begin(r->inflight, key, rsp_prod);
	return 0;
}

static void
destroy(struct ring *r)
{
	pool_free(&r->pool);
	free(r->reqs);
	free(r->segs);
	free(r->pieces);
	free(r->owners);
	free(r);
}

int
ring_open(const struct ring_config *cfg, struct ring **out, struct vd_err *err)
{
	struct ring *r;
	int ret;

	ret = check_config(cfg, err);
	if (ret < 0)
		return ret;
	r = calloc(1, sizeof(*r));
	if (!r)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for a ring");
	r->transport = cfg->transport;
	r->disk = cfg->disk;
	r->queue = cfg->queue;
	r->hdr = cfg->ring;
	r->slots = (uint8_t *)cfg->ring + sizeof(struct blkif_header);
	r->layout = &layouts[cfg->abi];
	r->entries = ring_entries(cfg->pages, r->layout->stride);
	r->max_indirect = cfg->max_indirect;
	r->max_segs = cfg->max_indirect > BLKIF_MAX_SEGS ?
		      cfg->max_indirect : BLKIF_MAX_SEGS;
	r->readonly = cfg->readonly;
	r->discard = cfg->discard;
	r->log = cfg->log;
	r->log_ctx = cfg->log_ctx;
	r->log_tokens = LOG_BURST;
	r->now = r->log_refilled = guard_now();

	r->memory = cfg->inflight;
	r->inflight = cfg->key ? cfg->inflight : NULL;
	r->lost = r->memory && inflight_lost(r->memory);	/* B4 */

	ret = set_limit(r, cfg->max_bytes, err);
	if (ret == 0)
		ret = alloc_requests(r, err);
	if (ret == 0)
		ret = cfg->resume ? resume(r, err) : attach(r, cfg->key, err);
	if (ret < 0) {
		destroy(r);
		return ret;
	}
	*out = r;
	return 0;
}

/* nothing is freed while the disk may still write into it. */
void
ring_close(struct ring *r)
{
	struct pollfd pfd;
	struct ring_req *q;

	if (!r)
		return;
	pfd = (struct pollfd){ .fd = vd_queue_fd(r->queue), .events = POLLIN };
	while (r->submitted) {
		vd_queue_kick(r->queue);
		poll(&pfd, 1, 100);
		vd_queue_reap(r->queue);
	}
	for (q = r->reqs; q < r->reqs + r->entries; q++)
		copy_put(r, q);
	destroy(r);
}
