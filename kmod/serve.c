// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve.c - requests from guest rings to the user ring, answers back.
 *
 * Everything here runs under disk->io.  A request that was taken has a slot
 * until it has its one response.  In one go at most a ring's worth is
 * taken from each ring, at most a user ring's worth of answers.
 *
 * The process is less trusted than we are: an answer is copied once, its id
 * found in the table or refused, its operation ignored.
 */
#include <linux/poll.h>
#include <xen/events.h>

#include "disk.h"

#define NEVER	ULONG_MAX

static bool
serving(struct xpvtap_disk *d)
{
	return d->nr_rings && d->ready && !d->broken && !d->gone;
}

/* May the window be changed in this context? */
bool
xpvtap_inside(struct xpvtap_disk *d)
{
	return !d->way->visit || d->inside;
}

/* No request waits for an answer that somebody could give. */
bool
xpvtap_idle(struct xpvtap_disk *d)
{
	u32 i;

	if (!serving(d))
		return true;
	for (i = 0; i < d->nr_rings; i++)
		if (xpvtap_ring_pending(&d->ring[i]))
			return false;
	return d->nr_out == d->nr_stale;
}

/* The one response; a guest that has gone gets none. */
static void
answer(struct xpvtap_disk *d, struct xpvtap_slot *s, s16 status)
{
	if (!s->stale)
		xpvtap_ring_respond(&d->ring[s->ring], s->id, s->op, status);
	xpvtap_slot_put(d, s);
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
static void
publish(struct xpvtap_disk *d, u32 old)
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
	answer(d, s, BLKIF_RSP_ERROR);
}

/* Their data into the window, then they themselves onto the user ring. */
static void
submit_all(struct xpvtap_disk *d, struct xpvtap_slot **got, u32 n)
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
	publish(d, old);
	xpvtap_push_all(d);
}

/* ------------------------------------------------------ from the guest */

static void
account(struct xpvtap_disk *d, const struct xpvtap_slot *s)
{
	switch (s->op) {
	case BLKIF_OP_READ:
		d->stat[STAT_RD_REQ]++;
		d->stat[STAT_RD_SECT] += s->sectors;
		break;
	case BLKIF_OP_DISCARD:
		d->stat[STAT_DS_REQ]++;
		break;
	case BLKIF_OP_FLUSH_DISKCACHE:
		d->stat[STAT_F_REQ]++;
		break;
	case BLKIF_OP_WRITE_BARRIER:
		d->stat[STAT_F_REQ]++;
		d->stat[STAT_WR_SECT] += s->sectors;
		break;
	default:
		d->stat[STAT_WR_REQ]++;
		d->stat[STAT_WR_SECT] += s->sectors;
	}
}

/* this ring rests, nobody else; the event's end waits as well. */
static void
bad_request(struct xpvtap_disk *d, struct xpvtap_ring *r)
{
	d->stat[STAT_BAD_REQ]++;
	r->penalty = jiffies + msecs_to_jiffies(1);
}

static struct xpvtap_slot *
take_slot(struct xpvtap_disk *d, struct xpvtap_ring *r,
	  const struct xpvtap_slot *want)
{
	struct xpvtap_slot *s = xpvtap_slot_get(d, want->pages);

	if (!s)
		return NULL;
	r->req_cons++;
	s->ring = r - d->ring;
	s->op = want->op;
	s->indirect = want->indirect;
	s->nseg = want->nseg;
	s->id = want->id;
	s->sector = want->sector;
	s->sectors = want->sectors;
	return s;
}

/* -ENOSPC: no room, the request stays on the guest's ring. */
static int
fetch_head(struct xpvtap_disk *d, struct xpvtap_ring *r, u32 place,
	   struct xpvtap_slot **got)
{
	struct blkif_request req;
	struct xpvtap_slot want;
	s16 status;

	*got = NULL;
	xpvtap_ring_peek(r, &req);
	status = xpvtap_request_head(d, &req, &want);
	if (status || (want.op == BLKIF_OP_DISCARD && !want.sectors)) {
		r->req_cons++;
		xpvtap_ring_respond(r, want.id, want.op, status);
		if (status)
			bad_request(d, r);
		return 0;
	}
	*got = take_slot(d, r, &want);
	if (!*got) {
		d->stat[STAT_OO_REQ]++;
		return -ENOSPC;
	}
	if (want.indirect)
		xpvtap_copy_lists(d, *got, place,
				  req.u.indirect.indirect_grefs[0]);
	else
		memcpy(&d->seg[(*got)->page], req.u.rw.seg,
		       want.nseg * sizeof(*d->seg));
	return 0;
}

/* Those whose segments are sound stay in the array. */
static u32
fetch_bodies(struct xpvtap_disk *d, struct xpvtap_ring *r,
	     struct xpvtap_slot **got, u32 n)
{
	u32 i, good = 0;
	s16 status;

	xpvtap_copy_flush(d);
	for (i = 0; i < n; i++) {
		status = got[i]->failed ? BLKIF_RSP_ERROR : 0;
		if (!status && got[i]->indirect)
			xpvtap_copy_list_done(d, got[i], i);
		if (!status)
			status = xpvtap_request_body(d, got[i]);
		if (status) {
			answer(d, got[i], status);
			bad_request(d, r);
			continue;
		}
		account(d, got[i]);
		got[good++] = got[i];
	}
	return good;
}

/* At most limit requests of one ring. */
static int
fetch_some(struct xpvtap_disk *d, struct xpvtap_ring *r, u32 limit)
{
	struct xpvtap_slot *got[XPVTAP_BATCH];
	u32 n = 0;
	int ret = 0;

	while (limit-- && !ret && !time_before(jiffies, r->penalty)) {
		ret = fetch_head(d, r, n, &got[n]);
		if (!ret && got[n])
			n++;
	}
	n = fetch_bodies(d, r, got, n);
	submit_all(d, got, n);
	return ret;
}

/* When this ring wants to be looked at again, in jiffies; NEVER: by an event. */
static unsigned long
fetch_ring(struct xpvtap_disk *d, struct xpvtap_ring *r)
{
	u32 budget = r->entries;
	u32 n;

	while (budget) {
		if (time_before(jiffies, r->penalty))
			return 1;
		n = min3(xpvtap_ring_pending(r), XPVTAP_BATCH, budget);
		if (!n && !xpvtap_ring_rearm(r))
			return NEVER;
		if (!n)
			continue;
		budget -= n;
		r->found = true;
		/*
		 * PUSH goes on (D-20); but those that were to make room may
		 * all have failed, and then there is nobody to say it.
		 */
		if (fetch_some(d, r, n) < 0 && d->nr_out)
			return NEVER;
	}
	return 0;
}

/* with a word about what was found. */
static void
end_of_event(struct xpvtap_ring *r)
{
	xen_irq_lateeoi(r->irq, r->found ? 0 : XEN_EOI_FLAG_SPURIOUS);
	r->found = false;
}

/* Has a guest rung since we looked, or was there more than we looked at? */
bool
xpvtap_rang(struct xpvtap_disk *d)
{
	u32 i;

	if (d->look)
		return true;
	for (i = 0; i < d->nr_rings; i++)
		if (atomic_read(&d->ring[i].event))
			return true;
	return false;
}

void
xpvtap_fetch(struct xpvtap_disk *d)
{
	u32 old = d->user.req_prod_pvt;
	unsigned long after, first = NEVER;
	u32 i;

	if (serving(d) && !xpvtap_inside(d)) {
		d->look = true;
		return;
	}
	d->look = false;
	for (i = 0; i < d->nr_rings; i++) {
		struct xpvtap_ring *r = &d->ring[i];
		/*
		 * before we look.  One that comes right behind the last
		 * look is for the next: who polls asks for nothing else.
		 */
		bool rang = atomic_xchg(&r->event, 0);

		after = serving(d) ? fetch_ring(d, r) : NEVER;
		if (rang && after == 1)
			atomic_set(&r->event, 1);	/* its end waits, too */
		else if (rang)
			end_of_event(r);
		first = min(first, after);
	}
	publish(d, old);
	xpvtap_push_all(d);
	if (first != NEVER)
		queue_delayed_work(xpvtap_wq, &d->pump, first);
}

void
xpvtap_pump(struct work_struct *work)
{
	struct xpvtap_disk *d;

	d = container_of(to_delayed_work(work), struct xpvtap_disk, pump);
	mutex_lock(&d->io);
	xpvtap_fetch(d);
	if (d->look)
		wake_up_interruptible_poll(&d->wait, EPOLLIN | EPOLLRDNORM);
	mutex_unlock(&d->io);
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
	list_for_each_entry_safe(s, next, &done, link)
		answer(d, s, s->failed ? BLKIF_RSP_ERROR : s->status);
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
