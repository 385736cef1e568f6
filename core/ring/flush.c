/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * flush.c - flushes and barriers: when the guest may believe its data is safe.
 *
 * B1  A flush is started after it was fetched.  Flushes fetched in one turn
 *     share one.
 * B2  A barrier waits for all requests before it; nothing behind it is fetched
 *     until it is answered.  Then flush, write, flush: what came before is
 *     durable before its data, and its data before its answer.
 * B3  A flush that failed is never answered with an error while the guest can
 *     still act upon it.  Linux takes an error to an empty flush for "not
 *     supported": it reports success to the file system and stops flushing
 *     for the rest of the disk's life.
 *
 * So, of a failed flush:
 *  - nothing was lost (EAGAIN, EINTR, ENOMEM): it is tried again, later and
 *    later, until it succeeds.
 *  - anything else: the disk is `lost`.  The host may have dropped what it
 *    could not write and would report the next sync as a success, so there is
 *    no second try.  The flush, and each one after it, stays unanswered; every
 *    write gets an error, which is what makes a guest's file system stop;
 *    reads go on.  Only ring_stop() gets the flushes answered, with an error;
 *    ring_leave() leaves them to the next process.
 *
 * B4  A disk that is lost is so until it is attached anew: for the next process,
 *     and for a guest that connects again.  Whoever keeps the requests, the log
 *     of inflight.c keeps this.
 */
#include <errno.h>

#include "internal.h"

#define RETRY_MIN_MS	100u
#define RETRY_MAX_MS	5000u

bool
ring_flush_lost(int result)
{
	return result < 0 && result != -EAGAIN && result != -EINTR &&
	       result != -ENOMEM;
}

static void
answer_all(struct ring *r, struct ring_req *q, int16_t status)
{
	struct ring_req *with;

	for (; q; q = with) {
		with = q->with;
		q->with = NULL;
		io_answer(r, q, status);
	}
}

/* B3 */
static void
hold(struct ring *r, struct ring_req *q)
{
	if (r->stopped && !r->leaving) {
		answer_all(r, q, BLKIF_RSP_ERROR);
		return;
	}
	if (q == r->barrier)
		r->barrier = NULL;	/* reads behind it need not wait */
	list_push(&r->held, q);
}

/* Nobody will act upon the answers any more; give them. */
void
flush_release(struct ring *r)
{
	struct ring_req *q;

	while ((q = list_pop(&r->held)))
		answer_all(r, q, BLKIF_RSP_ERROR);
	r->retry_at = 0;
}

void
flush_start(struct ring *r, struct ring_req *q)
{
	if (r->readonly) {
		io_answer(r, q, BLKIF_RSP_OKAY);
	} else if (r->lost) {
		hold(r, q);
	} else if (r->flush) {			/* B1 */
		q->with = r->flush->with;
		r->flush->with = q;
	} else {
		r->flush = q;
		io_submit(r, q, VD_OP_FLUSH, 0, 0);
	}
}

/* A flush of q failed, q being a flush or a barrier. */
static void
flush_failed(struct ring *r, struct ring_req *q)
{
	bool again = !ring_flush_lost(q->vd.result) &&
		     (!r->stopped || r->leaving);

	r->st.errors++;
	guard_log(r, "flush failed (errno %d); %s", -q->vd.result,
		  again ? "will try again" :
		  "the disk takes no more writes until it is attached anew");
	if (again) {
		r->retry_ms = r->retry_ms ? 2 * r->retry_ms : RETRY_MIN_MS;
		if (r->retry_ms > RETRY_MAX_MS)
			r->retry_ms = RETRY_MAX_MS;
		r->retry_at = r->now + r->retry_ms;
		list_push(&r->retry, q);
		return;
	}
	r->lost = true;
	if (r->memory && ring_flush_lost(q->vd.result))
		inflight_set_lost(r->memory);			/* B4 */
	if (q->nsegs)
		io_answer(r, q, BLKIF_RSP_ERROR);	/* a failed write */
	else
		hold(r, q);
}

void
flush_done(struct ring *r, struct ring_req *q)
{
	if (q->vd.result < 0) {
		flush_failed(r, q);
	} else if (r->lost) {
		/* The host told the loss once, to the one that failed. */
		hold(r, q);
	} else {
		r->retry_ms = 0;
		answer_all(r, q, BLKIF_RSP_OKAY);
	}
}

/*
 * Time to try again?  All that failed share one.  A barrier is alone on the
 * list: it began when everything before it was answered.
 */
bool
flush_retry(struct ring *r)
{
	struct ring_req *first, *q, *end;

	if (!r->retry.head || r->now < r->retry_at)
		return false;
	first = list_pop(&r->retry);
	for (end = first; end->with; end = end->with)
		;
	while ((q = list_pop(&r->retry))) {
		end->with = q;
		while (end->with)
			end = end->with;
	}
	if (r->lost)
		hold(r, first);
	else
		io_submit(r, first, VD_OP_FLUSH, 0, 0);
	return true;
}

/* B2: begin once nothing else is under way. */
void
barrier_start(struct ring *r)
{
	struct ring_req *q = r->barrier;

	if (!q || q->step != BARRIER_DRAIN || r->submitted ||
	    r->waiting.head || r->retry.head)
		return;
	if (r->readonly) {		/* an empty one: R-15 saw to that */
		io_answer(r, q, BLKIF_RSP_OKAY);
	} else if (r->lost && q->nsegs) {
		io_answer(r, q, BLKIF_RSP_ERROR);
	} else if (r->lost) {
		hold(r, q);
	} else {
		q->step = BARRIER_BEFORE;
		io_submit(r, q, VD_OP_FLUSH, 0, 0);
	}
}

void
barrier_done(struct ring *r, struct ring_req *q)
{
	if (q->vd.result < 0) {
		if (q->step == BARRIER_WRITE)
			io_failed(r, q, BLKIF_RSP_ERROR);
		else
			flush_failed(r, q);
		return;
	}
	switch (q->step) {
	case BARRIER_BEFORE:
		r->retry_ms = 0;
		if (q->nsegs == 0) {
			io_answer(r, q, BLKIF_RSP_OKAY);
			break;
		}
		q->step = BARRIER_WRITE;
		io_submit(r, q, VD_OP_WRITE, q->sector << BLKIF_SECTOR_SHIFT,
			  q->nsectors << BLKIF_SECTOR_SHIFT);
		break;
	case BARRIER_WRITE:
		q->step = BARRIER_AFTER;
		io_submit(r, q, VD_OP_FLUSH, 0, 0);
		break;
	case BARRIER_AFTER:
		r->retry_ms = 0;
		io_answer(r, q, BLKIF_RSP_OKAY);
		break;
	}
}
