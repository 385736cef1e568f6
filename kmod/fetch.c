// SPDX-License-Identifier: GPL-2.0-only
/*
 * fetch.c - requests from the guests' rings: when to look, what to take.
 *
 * Everything here runs under disk->io.  In one go at most a ring's worth is
 * taken from each ring.
 */
#include <linux/poll.h>
#include <xen/events.h>

#include "disk.h"

#define NEVER	ULONG_MAX

/* this ring rests, nobody else; the event's end waits as well. */
void
xpvtap_bad_request(struct xpvtap_disk *d, struct xpvtap_ring *r)
{
	d->stat[STAT_BAD_REQ]++;
	r->penalty = jiffies + msecs_to_jiffies(1);
}

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
			xpvtap_bad_request(d, r);
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
			xpvtap_answer(d, got[i], status);
			xpvtap_bad_request(d, r);
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
	xpvtap_submit(d, got, n);
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
		d->heard = jiffies;
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

	if (xpvtap_serving(d) && !xpvtap_inside(d)) {
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

		after = xpvtap_serving(d) ? fetch_ring(d, r) : NEVER;
		if (rang && after == 1)
			atomic_set(&r->event, 1);	/* its end waits, too */
		else if (rang)
			end_of_event(r);
		first = min(first, after);
	}
	xpvtap_show(d, old);
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
