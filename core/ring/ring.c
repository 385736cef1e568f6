/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring.c - the shared page: indices, fetching, pushing, waking and sleeping.
 *
 * The guest can change every byte of the ring at every moment.  We read from
 * it req_prod, rsp_event and each slot, once, and write req_event,
 * rsp_prod and the answers.  What we wrote is never read back.
 *
 * All indices run freely and wrap at 2^32.  At any time
 *
 *	rsp_pushed <= rsp_prod <= req_cons <= req_prod <= rsp_prod + entries
 *
 * where only req_prod is the guest's word, and is checked.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "internal.h"

#define STARVED_MS	10u	/* until the next try to get memory */

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

/* the one time the slot is looked at. */
static void
copy_slot(const struct ring *r, uint32_t idx, uint32_t *to)
{
	const volatile uint32_t *from = (const volatile uint32_t *)(r->slots +
		(size_t)(idx & (r->entries - 1)) * r->layout->stride);
	unsigned i;

	for (i = 0; i < r->layout->stride / sizeof(*to); i++)
		to[i] = from[i];
}

static bool
may_fetch_new(const struct ring *r)
{
	return !r->broken && !r->stopped && !r->replay.head &&
	       r->req_cons - r->rsp_prod < r->entries;	/* */
}

/* What an earlier process had fetched is in flight, whatever happens. */
static bool
may_fetch(const struct ring *r)
{
	return !r->throttled_until && !r->barrier && !r->waiting.head &&
	       (r->replay.head || may_fetch_new(r));
}

/*
 * more than fit, or fewer than we have seen already.  There is no way
 * back from that; what is in flight gets its answers, and that is all.
 */
static bool
index_broken(struct ring *r, uint32_t req_prod)
{
	uint32_t ahead = req_prod - r->rsp_prod;

	if (ahead <= r->entries && ahead >= r->req_cons - r->rsp_prod)
		return false;
	r->broken = true;
	guard_log(r, "ring is broken: req_prod %u, answered %u of %u slots; "
		  "stopped", req_prod, r->rsp_prod, r->entries);
	return true;
}

/* q's slot is a private copy. */
static void
accept(struct ring *r, struct ring_req *q, const void *slot)
{
	request_parse(r, q, slot);
	if (q->status == BLKIF_RSP_OKAY && q->op == BLKIF_OP_WRITE_BARRIER)
		r->barrier = q;
	list_push(&r->waiting, q);
}

static unsigned
place(const struct ring *r, const struct ring_req *q)
{
	return (unsigned)(q - r->reqs);
}

/* What is left of an earlier process, the oldest first. */
static unsigned
fetch_left(struct ring *r)
{
	struct ring_req *q;
	uint64_t nth;
	unsigned n;

	for (n = 0; r->replay.head && !r->barrier; n++) {
		q = list_pop(&r->replay);
		accept(r, q, inflight_request(r->inflight, place(r, q), &nth));
	}
	return n;
}

/*
 * a turn takes at most the slots of one ring, since answers are written
 * only before and after it.  Returns how many it took.
 */
static unsigned
fetch_new(struct ring *r)
{
	uint32_t req_prod = __atomic_load_n(&r->hdr->req_prod,
					    __ATOMIC_ACQUIRE);
	uint32_t slot[BLKIF_MAX_STRIDE / sizeof(uint32_t)];
	struct ring_req *q;
	unsigned n = 0;

	if (index_broken(r, req_prod))
		return 0;
	while (r->req_cons != req_prod &&
	       r->req_cons - r->rsp_prod < r->entries && !r->barrier) {
		q = list_pop(&r->free);
		assert(q);		/* as many as slots */
		copy_slot(r, r->req_cons, slot);
		if (r->inflight)
			inflight_take(r->inflight, place(r, q), slot,
				      r->layout->stride);
		r->req_cons++;
		n++;
		accept(r, q, slot);
	}
	return n;
}

static unsigned
fetch(struct ring *r)
{
	unsigned n = fetch_left(r);

	return r->barrier || !may_fetch_new(r) ? n : n + fetch_new(r);
}

/*
 * the segment lists of indirect requests come into private memory, all
 * in one copy, before anyone looks at them.
 */
static void
check_fetched(struct ring *r)
{
	struct ring_req *q;

	for (q = r->waiting.head; q; q = q->next)
		if (q->indirect && q->status == BLKIF_RSP_OKAY)
			copy_indirect(r, q);
	copy_flush(r, false);
	for (q = r->waiting.head; q; q = q->next)
		if (q->status == BLKIF_RSP_OKAY)
			request_check(r, q);
}

/*
 * Capacity is read once a turn, so that a resize falls between two requests
 * and never into the middle of one.
 */
static unsigned
fetch_and_check(struct ring *r)
{
	unsigned n;

	r->capacity = vd_disk_size(r->disk) >> BLKIF_SECTOR_SHIFT;
	n = fetch(r);
	if (n)
		check_fetched(r);
	return n;
}

/*
 * Publish the answers.  The guest decides whether to sleep by writing
 * rsp_event and then reading rsp_prod; we write and read the other way round,
 * so one of us sees the other, provided that neither side's store passes its
 * load: sequential consistency, not just release and acquire.
 */
static void
push(struct ring *r)
{
	uint32_t old = r->rsp_pushed, new = r->rsp_prod, event;

	if (old == new)
		return;
	if (r->inflight)
		inflight_pushing(r->inflight, new);
	__atomic_store_n(&r->hdr->rsp_prod, new, __ATOMIC_SEQ_CST);
	event = __atomic_load_n(&r->hdr->rsp_event, __ATOMIC_SEQ_CST);
	if (r->inflight)
		inflight_pushed(r->inflight);
	r->rsp_pushed = new;
	if (r->transport.always ||
	    (uint32_t)(new - event) < (uint32_t)(new - old))
		r->transport.notify(r->transport.ctx);
}

/*
 * Ask to be woken by the next request, and look once more: it may have come
 * before the guest saw us ask (the same dance as in push()).
 */
static bool
more_after_rearm(struct ring *r)
{
	if (!may_fetch(r))
		return false;
	if (r->replay.head)
		return true;
	__atomic_store_n(&r->hdr->req_event, r->req_cons + 1,
			 __ATOMIC_SEQ_CST);
	r->armed = __atomic_load_n(&r->hdr->req_prod, __ATOMIC_SEQ_CST) ==
		   r->req_cons;
	return !r->armed;
}

static bool
throttle_over(struct ring *r)
{
	if (!r->throttled_until || r->now < r->throttled_until)
		return false;
	r->throttled_until = 0;
	return true;
}

/* Does anything wait for the end of it? */
static bool
throttled(const struct ring *r)
{
	return r->throttled_until && !r->leaving &&
	       ((!r->stopped && !r->broken) || r->replay.head);
}

/* Consumed requests that no memory was found for, and none to come back. */
static bool
starved(const struct ring *r)
{
	return r->waiting.head && !r->submitted && !r->leaving;
}

enum ring_state
ring_run(struct ring *r)
{
	uint32_t before = r->rsp_prod;
	bool scheduled, work;

	r->now = guard_now();
	r->armed = false;
	scheduled = throttle_over(r) || starved(r);
	work = vd_queue_reap(r->queue) > 0;
	io_finish(r);
	push(r);

	if (!r->leaving) {
		work |= flush_retry(r);
		if (may_fetch(r) && fetch_and_check(r))
			work = true;
		io_start(r);
		barrier_start(r);
	}
	if (r->kick)
		vd_queue_kick(r->queue);
	r->kick = false;
	io_finish(r);		/* what needed no disk */
	push(r);
	assert(r->req_cons - r->rsp_prod <= r->entries);

	guard_turn(r, work || r->rsp_prod != before, scheduled);
	if (r->broken && !r->replay.head)
		return RING_BROKEN;
	if (throttled(r) || starved(r))
		return RING_THROTTLED;
	return more_after_rearm(r) ? RING_MORE : RING_IDLE;
}

unsigned
ring_delay_ms(struct ring *r)
{
	uint64_t now = guard_now(), until = UINT64_MAX;

	if (throttled(r))
		until = r->throttled_until;
	if (r->retry.head && r->retry_at < until && !r->leaving)
		until = r->retry_at;
	if (starved(r) && now + STARVED_MS < until)
		until = now + STARVED_MS;
	if (until == UINT64_MAX)
		return 0;
	return until > now ? (unsigned)(until - now) : 1;
}

void
ring_stop(struct ring *r)
{
	r->stopped = true;
	flush_release(r);
}

void
ring_resume(struct ring *r)
{
	r->stopped = false;
}

void
ring_leave(struct ring *r)
{
	r->stopped = r->leaving = true;
}

unsigned
ring_busy(struct ring *r)
{
	return r->submitted;
}

bool
ring_armed(struct ring *r)
{
	return r->armed;
}

unsigned
ring_inflight(struct ring *r)
{
	return r->req_cons - r->rsp_prod;
}

unsigned
ring_unfetched(struct ring *r)
{
	uint32_t ahead = __atomic_load_n(&r->hdr->req_prod,
					 __ATOMIC_ACQUIRE) - r->req_cons;

	/* Nonsense is found out, and told, by the next turn. */
	return r->stopped || r->broken ? 0 :
	       ahead <= r->entries ? ahead : 1;
}

void
ring_stats(struct ring *r, struct ring_stats *s)
{
	*s = r->st;
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
	    (c->inflight ? !c->key : c->resume))
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

	order[place(r, q)] = nth;
	while (*at && order[place(r, *at)] < nth)
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
	r->lost = inflight_lost(r->inflight);
	r->free = (struct req_list){ NULL, NULL };
	for (q = r->reqs; q < r->reqs + r->entries; q++) {
		if (inflight_request(r->inflight, place(r, q), &nth))
			add_left(r, q, nth, order);
		else
			list_push(&r->free, q);
	}
	free(order);
	if (index_broken(r, req_prod))
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

	r->inflight = cfg->inflight;

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
