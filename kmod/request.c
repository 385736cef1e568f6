// SPDX-License-Identifier: GPL-2.0-only
/*
 * request.c - what we believe of a guest's request: nothing that is not here.
 *
 * Works on private copies only.  Answers are those of the
 * protocol: ERROR for what no correct frontend sends, EOPNOTSUPP for an
 * operation this disk has not, 0 to go on.
 */
#include "disk.h"

#define SECTORS_PER_PAGE	8u

/* The operation that the response has to name. */
u8
xpvtap_request_op(const struct blkif_request *req)
{
	if (req->operation == BLKIF_OP_INDIRECT)
		return req->u.indirect.indirect_op;
	return req->operation;
}

static bool
within_disk(struct xpvtap_disk *d, u64 sector, u64 sectors)
{
	u64 capacity = d->geometry.sectors;

	return sector <= capacity && sectors <= capacity - sector;	/* */
}

static bool
offers(struct xpvtap_disk *d, u32 flag)
{
	return d->geometry.flags & flag;
}

static s16
head_rw(struct xpvtap_disk *d, const struct blkif_request *req,
	struct xpvtap_slot *want)
{
	if (want->op == BLKIF_OP_WRITE_BARRIER &&
	    !offers(d, XPVTAP_READY_BARRIER))
		return BLKIF_RSP_EOPNOTSUPP;
	want->nseg = req->u.rw.nr_segments;
	if (want->nseg > BLKIF_MAX_SEGMENTS_PER_REQUEST)	/* R-10, D-01 */
		return BLKIF_RSP_ERROR;
	if (!want->nseg && want->op != BLKIF_OP_WRITE_BARRIER)
		return BLKIF_RSP_ERROR;
	if (want->nseg && want->op != BLKIF_OP_READ && d->readonly)
		return BLKIF_RSP_ERROR;				/* */
	want->pages = want->nseg;
	return 0;
}

static s16
head_indirect(struct xpvtap_disk *d, const struct blkif_request *req,
	      struct xpvtap_slot *want)
{
	if (want->op != BLKIF_OP_READ && want->op != BLKIF_OP_WRITE)
		return BLKIF_RSP_ERROR;				/* */
	if (d->told_segments <= BLKIF_MAX_SEGMENTS_PER_REQUEST)
		return BLKIF_RSP_ERROR;
	want->nseg = req->u.indirect.nr_segments;
	if (!want->nseg || want->nseg > d->told_segments)	/* */
		return BLKIF_RSP_ERROR;
	if (want->op == BLKIF_OP_WRITE && d->readonly)
		return BLKIF_RSP_ERROR;
	want->sector = req->u.indirect.sector_number;
	want->indirect = true;
	/* One more for the list that the process will read. */
	want->pages = want->nseg;
	if (want->nseg > BLKIF_MAX_SEGMENTS_PER_REQUEST)
		want->pages++;
	return 0;
}

static s16
head_discard(struct xpvtap_disk *d, const struct blkif_request *req,
	     struct xpvtap_slot *want)
{
	if (!offers(d, XPVTAP_READY_DISCARD) || req->u.discard.flag)
		return BLKIF_RSP_EOPNOTSUPP;
	if (d->readonly)
		return BLKIF_RSP_ERROR;
	want->sectors = req->u.discard.nr_sectors;
	return within_disk(d, want->sector, want->sectors) ? 0 : BLKIF_RSP_ERROR;
}

/* How much room it needs, from its own 112 bytes. */
s16
xpvtap_request_head(struct xpvtap_disk *d, const struct blkif_request *req,
		    struct xpvtap_slot *want)
{
	memset(want, 0, sizeof(*want));
	want->op = xpvtap_request_op(req);
	want->id = req->u.rw.id;
	want->sector = req->u.rw.sector_number;

	switch (req->operation) {
	case BLKIF_OP_READ:
	case BLKIF_OP_WRITE:
	case BLKIF_OP_WRITE_BARRIER:
		return head_rw(d, req, want);
	case BLKIF_OP_INDIRECT:
		return head_indirect(d, req, want);
	case BLKIF_OP_DISCARD:
		return head_discard(d, req, want);
	case BLKIF_OP_FLUSH_DISKCACHE:
		/* Segments in there are stale ones. */
		want->sector = 0;
		return offers(d, XPVTAP_READY_FLUSH) ? 0 : BLKIF_RSP_EOPNOTSUPP;
	default:
		return BLKIF_RSP_EOPNOTSUPP;
	}
}

/* Its segments, now beside the pages of the window. */
s16
xpvtap_request_body(struct xpvtap_disk *d, struct xpvtap_slot *s)
{
	const struct blkif_request_segment *seg = &d->seg[s->page];
	u64 sectors = 0;
	u32 i;

	if (!s->nseg)
		return 0;
	for (i = 0; i < s->nseg; i++) {
		if (seg[i].first_sect > seg[i].last_sect ||
		    seg[i].last_sect >= SECTORS_PER_PAGE)	/* R-12, D-02 */
			return BLKIF_RSP_ERROR;
		sectors += seg[i].last_sect - seg[i].first_sect + 1;
	}
	s->sectors = sectors;
	return within_disk(d, s->sector, sectors) ? 0 : BLKIF_RSP_ERROR;
}
