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

#include "internal.h"

#define STARVED_MS	10u	/* until the next try to get memory */

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
bool
ring_index_broken(struct ring *r, uint32_t req_prod)
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

/* What is left of an earlier process, the oldest first. */
static unsigned
fetch_left(struct ring *r)
{
	struct ring_req *q;
	uint64_t nth;
	unsigned n;

	for (n = 0; r->replay.head && !r->barrier; n++) {
		q = list_pop(&r->replay);
		accept(r, q, inflight_request(r->inflight, ring_place(r, q), &nth));
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

	if (ring_index_broken(r, req_prod))
		return 0;
	while (r->req_cons != req_prod &&
	       r->req_cons - r->rsp_prod < r->entries && !r->barrier) {
		q = list_pop(&r->free);
		assert(q);		/* as many as slots */
		copy_slot(r, r->req_cons, slot);
		if (r->inflight)
			inflight_take(r->inflight, ring_place(r, q), slot,
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
