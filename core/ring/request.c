/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * request.c - what a slot says, and whether we believe it.
 *
 * Works on private copies only: request_parse() on that of the slot,
 * request_check() on that of the segments, which for an indirect request have
 * to be fetched in between.  Nothing is used before it is checked, and what
 * is not checked (handle, padding) is not used.
 */
#include <inttypes.h>
#include <string.h>

#include "internal.h"

static uint64_t
load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void
parse_rw(struct ring *r, struct ring_req *q, const uint8_t *slot)
{
	unsigned n = slot[offsetof(struct blkif_rw_64, nr_segments)];

	/* bound before anything is copied or looped over. */
	if (n > BLKIF_MAX_SEGS) {
		request_bad(r, q, BLKIF_RSP_ERROR,
			    "%u segments, at most %u fit", n, BLKIF_MAX_SEGS);
		return;
	}
	/* An empty barrier is a flush; an empty read or write is a mistake. */
	if (n == 0 && q->op != BLKIF_OP_WRITE_BARRIER) {
		request_bad(r, q, BLKIF_RSP_ERROR, "no segments");
		return;
	}
	q->nsegs = n;
	memcpy(q->segs, slot + r->layout->segs, n * sizeof(*q->segs));
}

static void
parse_discard(struct ring *r, struct ring_req *q, const uint8_t *slot)
{
	q->nsectors = load64(slot + r->layout->discard_sectors);
	if (!r->discard) {
		request_bad(r, q, BLKIF_RSP_EOPNOTSUPP,
			    "discard was not offered");
		return;
	}
	/*
	 * Never offered either.  A plain discard instead would be answered
	 * with OK, and the guest would take its data for destroyed.
	 */
	if (slot[offsetof(struct blkif_discard_64, flag)] &
	    BLKIF_DISCARD_SECURE)
		request_bad(r, q, BLKIF_RSP_EOPNOTSUPP,
			    "secure discard was not offered");
}

static void
parse_indirect(struct ring *r, struct ring_req *q, const uint8_t *slot)
{
	uint16_t n;

	/*
	 * The answer carries the inner operation, whatever it is: that is
	 * what guests which check our answers compare with.
	 */
	q->op = slot[offsetof(struct blkif_indirect_64, indirect_op)];
	q->indirect = true;
	memcpy(&n, slot + offsetof(struct blkif_indirect_64, nr_segments),
	       sizeof(n));

	/* */
	if (r->max_indirect == 0) {
		request_bad(r, q, BLKIF_RSP_ERROR,
			    "indirect requests were not offered");
		return;
	}
	if (q->op != BLKIF_OP_READ && q->op != BLKIF_OP_WRITE) {
		request_bad(r, q, BLKIF_RSP_ERROR,
			    "operation %u cannot be indirect", q->op);
		return;
	}
	/* what we offered, not what the protocol could carry. */
	if (n == 0 || n > r->max_indirect) {
		request_bad(r, q, BLKIF_RSP_ERROR,
			    "%u indirect segments, %u were offered",
			    n, r->max_indirect);
		return;
	}
	q->nsegs = n;
	memcpy(&q->indirect_gref, slot + r->layout->indirect_grefs,
	       sizeof(q->indirect_gref));
}

/* slot is a private copy.  Sets q->status; 0 means go on. */
void
request_parse(struct ring *r, struct ring_req *q, const uint8_t *slot)
{
	q->op = slot[offsetof(struct blkif_rw_64, operation)];
	q->id = load64(slot + r->layout->id);	/* opaque, only echoed */
	q->sector = load64(slot + r->layout->sector);
	q->nsectors = 0;
	q->nsegs = 0;
	q->pos = 0;
	q->step = BARRIER_DRAIN;
	q->indirect = false;
	q->status = BLKIF_RSP_OKAY;
	q->buf = NULL;
	q->direct = false;
	q->with = NULL;

	switch (q->op) {
	case BLKIF_OP_READ:
	case BLKIF_OP_WRITE:
	case BLKIF_OP_WRITE_BARRIER:
		parse_rw(r, q, slot);
		break;
	case BLKIF_OP_FLUSH:
		/*
		 * segments, count and sector are ignored.  Some guests
		 * leave what the slot held before, and writing that would
		 * destroy their disk; none sends data with a flush.
		 */
		break;
	case BLKIF_OP_DISCARD:
		parse_discard(r, q, slot);
		break;
	case BLKIF_OP_INDIRECT:
		parse_indirect(r, q, slot);
		break;
	default:
		/* the guest learns that we do not know it, no more. */
		request_bad(r, q, BLKIF_RSP_EOPNOTSUPP, "unknown operation");
	}
}

/* in its page, in order; gaps between segments are legal. */
static bool
check_segments(struct ring *r, struct ring_req *q)
{
	const struct blkif_segment *s;
	unsigned i;

	for (i = 0; i < q->nsegs; i++) {
		s = &q->segs[i];
		if (s->first_sect > s->last_sect ||
		    s->last_sect >= BLKIF_PAGE_SECTORS) {
			request_bad(r, q, BLKIF_RSP_ERROR,
				    "segment %u holds sectors %u to %u",
				    i, s->first_sect, s->last_sect);
			return false;
		}
		q->nsectors += s->last_sect - s->first_sect + 1u;
	}
	return true;
}

/* The segments are here: may this request go to the disk? */
void
request_check(struct ring *r, struct ring_req *q)
{
	if (q->op == BLKIF_OP_FLUSH)
		return;
	if (!check_segments(r, q))
		return;
	if (q->op == BLKIF_OP_WRITE_BARRIER && q->nsectors == 0)
		return;		/* its sector means nothing */

	/* the info node asks, this one tells. */
	if (r->readonly && q->op != BLKIF_OP_READ) {
		request_bad(r, q, BLKIF_RSP_ERROR, "the disk is read-only");
		return;
	}
	/*
	 * in this form neither side can overflow.  R-14: bytes are
	 * computed from sectors only behind this line.
	 */
	if (q->sector > r->capacity ||
	    q->nsectors > r->capacity - q->sector)
		request_bad(r, q, BLKIF_RSP_ERROR,
			    "%" PRIu64 " sectors from %" PRIu64
			    " reach past the end at %" PRIu64,
			    q->nsectors, q->sector, r->capacity);
}
