// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve.c - requests to the process, its answers to the guest.
 *
 * Everything here runs under disk->io.  A request that was taken has a slot
 * until it has its one response.  In one go at most a user ring's worth
 * of answers is taken.
 *
 * The process is less trusted than we are: an answer is copied once, its id
 * found in the table or refused, its operation ignored.
 */
#include <linux/poll.h>

#include "disk.h"

/* There is a guest, and somebody for it. */
bool
xpvtap_serving(struct xpvtap_disk *d)
{
	return d->nr_rings && d->ready && !d->broken && !d->gone;
}

/* May the window be changed in this context? */
bool
xpvtap_inside(struct xpvtap_disk *d)
{
	return !d->way->visit || d->inside;
}

/* No request of a guest's waits for its answer. */
bool
xpvtap_idle(struct xpvtap_disk *d)
{
	u32 i;

	for (i = 0; i < d->nr_rings; i++)
		if (xpvtap_ring_pending(&d->ring[i]))
			return false;
	return d->nr_out == d->nr_stale;
}

/* The one response; a guest that has gone gets none. */
void
xpvtap_answer(struct xpvtap_disk *d, struct xpvtap_slot *s, s16 status)
{
	if (!s->stale)
		xpvtap_ring_respond(&d->ring[s->ring], s->id, s->op, status);
	xpvtap_slot_put(d, s);
}

/* A grant that is none, or no more. */
static void
answer_failed(struct xpvtap_disk *d, struct xpvtap_slot *s)
{
	if (!s->stale)
		xpvtap_bad_request(d, &d->ring[s->ring]);
	xpvtap_answer(d, s, BLKIF_RSP_ERROR);
}

/* ------------------------------------------------------ to the process */

static void
fill_segments(struct xpvtap_disk *d, struct xpvtap_slot *s,
	      struct blkif_request_segment *to)
{
	const struct blkif_request_segment *from = &d->seg[s->page];
	struct blkif_request_segment one = { };
	u32 i;

	for (i = 0; i < s->nseg; i++) {
		one.gref = s->page + i;
		one.first_sect = from[i].first_sect;
		one.last_sect = from[i].last_sect;
		to[i] = one;
	}
}

static void
fill_request(struct xpvtap_disk *d, struct xpvtap_slot *s,
	     struct blkif_request *req)
{
	struct blkif_request_segment *list;
	u32 page;

	memset(req, 0, sizeof(*req));
	req->operation = s->op;
	req->u.rw.id = s->uid;
	req->u.rw.sector_number = s->sector;
	if (s->op == BLKIF_OP_DISCARD) {
		req->u.discard.nr_sectors = s->sectors;
	} else if (s->nseg <= BLKIF_MAX_SEGMENTS_PER_REQUEST) {
		req->u.rw.nr_segments = s->nseg;
		fill_segments(d, s, req->u.rw.seg);
	} else {
		req->operation = BLKIF_OP_INDIRECT;
		req->u.indirect.indirect_op = s->op;
		req->u.indirect.nr_segments = s->nseg;
		list = d->way->list(d, s, &page);
		req->u.indirect.indirect_grefs[0] = page;
		fill_segments(d, s, list);
	}
}

/* There is always room: as many slots as the user ring has entries. */
static void
submit(struct xpvtap_disk *d, struct xpvtap_slot *s)
{
	struct blkif_request req;

	s->uid = ++d->generation * XPVTAP_SLOTS + (s - d->slot);
	s->state = SLOT_SUBMITTED;
	fill_request(d, s, &req);
	*RING_GET_REQUEST(&d->user, d->user.req_prod_pvt) = req;
	d->user.req_prod_pvt++;
}

/* What is on the ring from old on is shown, and told of if it was asked for. */
void
xpvtap_show(struct xpvtap_disk *d, u32 old)
{
	struct blkif_sring *ring = d->user.sring;
	u32 new = d->user.req_prod_pvt;

	if (old == new)
		return;
	smp_wmb();
	WRITE_ONCE(ring->req_prod, new);
	smp_mb();
	if (new - READ_ONCE(ring->req_event) < new - old)
		wake_up_interruptible_poll(&d->wait, EPOLLIN | EPOLLRDNORM);
}

/* What came through is the process's; of the rest nothing may stay with it. */
static void
submit_or_fail(struct xpvtap_disk *d, struct xpvtap_slot *s)
{
	if (!s->failed) {
		submit(d, s);
		return;
	}
	d->way->take(d, s);
	d->way->flush(d);
	answer_failed(d, s);
}

/* Their data into the window, then they themselves onto the user ring. */
void
xpvtap_submit(struct xpvtap_disk *d, struct xpvtap_slot **got, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		d->way->give(d, got[i]);
	d->way->flush(d);
	for (i = 0; i < n; i++)
		submit_or_fail(d, got[i]);
}

/* What an earlier process left, oldest first, data anew from the guest (D-08). */
void
xpvtap_present(struct xpvtap_disk *d)
{
	u32 old = d->user.req_prod_pvt;
	struct xpvtap_slot *s, *next;

	list_for_each_entry(s, &d->out, link) {
		s->failed = false;
		if (s->state == SLOT_QUEUED)
			d->way->give(d, s);
	}
	d->way->flush(d);
	list_for_each_entry_safe(s, next, &d->out, link)
		if (s->state == SLOT_QUEUED)
			submit_or_fail(d, s);
	xpvtap_show(d, old);
	xpvtap_push_all(d);
}

/* ---------------------------------------------------- from the process */

/* Only what the protocol knows, and EOPNOTSUPP only where it makes sense. */
static s16
known_status(const struct xpvtap_slot *s, s16 status)
{
	if (status == BLKIF_RSP_OKAY)
		return status;
	if (status == BLKIF_RSP_EOPNOTSUPP && s->op != BLKIF_OP_READ &&
	    s->op != BLKIF_OP_WRITE)
		return status;
	return BLKIF_RSP_ERROR;
}

/* Data of READs gets to the guest all in one go. */
static int
collect_answers(struct xpvtap_disk *d, u32 n, struct list_head *done)
{
	struct blkif_response rsp;
	struct xpvtap_slot *s;

	for (; n; n--) {
		RING_COPY_RESPONSE(&d->user, d->user.rsp_cons, &rsp);
		d->user.rsp_cons++;
		s = xpvtap_slot_find(d, rsp.id);
		if (!s)
			return -EINVAL;
		s->state = SLOT_DONE;
		s->status = known_status(s, rsp.status);
		list_move_tail(&s->link, done);
		d->way->take(d, s);
	}
	return 0;
}

/* What was in order before the first that was not is taken. */
int
xpvtap_take_answers(struct xpvtap_disk *d)
{
	u32 out = d->user.req_prod_pvt - d->user.rsp_cons;
	u32 n = READ_ONCE(d->user.sring->rsp_prod) - d->user.rsp_cons;
	struct xpvtap_slot *s, *next;
	LIST_HEAD(done);
	int ret;

	if (n > out) {
		d->broken = true;
		return -EINVAL;
	}
	smp_rmb();
	ret = collect_answers(d, n, &done);
	d->way->flush(d);
	list_for_each_entry_safe(s, next, &done, link) {
		if (s->failed)
			answer_failed(d, s);
		else
			xpvtap_answer(d, s, s->status);
	}
	if (ret)
		d->broken = true;
	return ret;
}

/* One event a ring at most, however many responses. */
void
xpvtap_push_all(struct xpvtap_disk *d)
{
	u32 i;

	for (i = 0; i < d->nr_rings; i++)
		xpvtap_ring_push(&d->ring[i]);
}

/* ----------------------------------------------------------- partings */

/* What is still on a ring is not looked at, but for whose it is. */
static void
refuse_ring(struct xpvtap_ring *r)
{
	struct blkif_request req;
	u32 n;

	for (n = xpvtap_ring_pending(r); n; n--) {
		xpvtap_ring_peek(r, &req);
		r->req_cons++;
		xpvtap_ring_respond(r, req.u.rw.id, xpvtap_request_op(&req),
				    BLKIF_RSP_ERROR);
	}
	xpvtap_ring_rearm(r);
}

/*
 * A guest that waits for its last answers gets them.  What the process has it
 * keeps, and its answers go to nobody.
 */
void
xpvtap_fail_guest(struct xpvtap_disk *d)
{
	struct xpvtap_slot *s;
	u32 i;

	list_for_each_entry(s, &d->out, link)
		if (!s->stale)
			xpvtap_ring_respond(&d->ring[s->ring], s->id, s->op,
					    BLKIF_RSP_ERROR);
	xpvtap_forget_guest(d);
	for (i = 0; i < d->nr_rings; i++)
		refuse_ring(&d->ring[i]);
	xpvtap_push_all(d);
}

/*
 * What the process still has will come back, and go to nobody.  Pages of the
 * guest's it loses now, or the guest's memory could not be given back.
 */
void
xpvtap_forget_guest(struct xpvtap_disk *d)
{
	struct xpvtap_slot *s, *next;

	list_for_each_entry_safe(s, next, &d->out, link) {
		if (s->state == SLOT_QUEUED) {
			xpvtap_slot_put(d, s);
		} else if (!s->stale) {
			s->stale = true;
			d->nr_stale++;
			d->way->take(d, s);
		}
	}
	if (d->way)
		d->way->flush(d);
}

/* What it had is kept for the next one. */
void
xpvtap_forget_process(struct xpvtap_disk *d)
{
	struct xpvtap_slot *s, *next;

	list_for_each_entry_safe(s, next, &d->out, link) {
		if (s->stale)
			xpvtap_slot_put(d, s);
		else
			s->state = SLOT_QUEUED;
	}
}
