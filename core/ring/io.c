/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * io.c - requests that passed the checks: to the disk, back, and answered.
 */
#include <assert.h>
#include <errno.h>

#include "internal.h"

/* A discard of the whole disk goes in steps, so that others get between. */
#define DISCARD_STEP	(1ull << 30)

static void
on_done(struct vd_req *vd)
{
	struct ring_req *q = vd->opaque;

	q->ring->submitted--;
	list_push(&q->ring->done, q);
}

void
io_submit(struct ring *r, struct ring_req *q, enum vd_op op,
	  uint64_t off, uint64_t len)
{
	bool data = op == VD_OP_READ || op == VD_OP_WRITE;

	q->iov = (struct iovec){ .iov_base = q->buf, .iov_len = len };
	q->vd = (struct vd_req){
		.op = op,
		.off = off,
		.len = len,
		.iov = data ? &q->iov : NULL,
		.niov = data ? 1 : 0,
		.done = on_done,
		.opaque = q,
	};
	r->submitted++;
	r->kick = true;
	vd_queue_submit(r->queue, &q->vd);
}

/* every consumed request comes by here, once. */
void
io_answer(struct ring *r, struct ring_req *q, int16_t status)
{
	q->status = status;
	if (q == r->barrier)
		r->barrier = NULL;
	list_push(&r->answered, q);
}

/* The disk said no. */
void
io_failed(struct ring *r, struct ring_req *q, int16_t status)
{
	r->st.errors++;
	guard_log(r, "operation %u of %llu sectors from %llu failed (errno %d)",
		  q->op, (unsigned long long)q->nsectors,
		  (unsigned long long)q->sector, -q->vd.result);
	io_answer(r, q, status);
}

static bool
changes_disk(const struct ring_req *q)
{
	return q->op == BLKIF_OP_WRITE || q->op == BLKIF_OP_DISCARD ||
	       (q->op == BLKIF_OP_WRITE_BARRIER && q->nsegs);
}

static void
discard_next(struct ring *r, struct ring_req *q)
{
	uint64_t off = (q->sector << BLKIF_SECTOR_SHIFT) + q->pos;
	uint64_t left = (q->nsectors << BLKIF_SECTOR_SHIFT) - q->pos;
	uint64_t len = DISCARD_STEP - off % DISCARD_STEP;

	if (left == 0) {
		io_answer(r, q, BLKIF_RSP_OKAY);
		return;
	}
	if (len > left)
		len = left;
	q->pos += len;
	io_submit(r, q, VD_OP_DISCARD, off, len);
}

/* Its data is here, or has failed to come. */
static void
dispatch(struct ring *r, struct ring_req *q)
{
	uint64_t off = q->sector << BLKIF_SECTOR_SHIFT;
	uint64_t len = q->nsectors << BLKIF_SECTOR_SHIFT;

	if (q->status != BLKIF_RSP_OKAY) {
		io_answer(r, q, q->status);
		return;
	}
	/* B3 of flush.c: a disk that lost writes takes no more. */
	if (r->lost && changes_disk(q)) {
		io_answer(r, q, BLKIF_RSP_ERROR);
		return;
	}
	switch (q->op) {
	case BLKIF_OP_READ:
		io_submit(r, q, VD_OP_READ, off, len);
		break;
	case BLKIF_OP_WRITE:
		io_submit(r, q, VD_OP_WRITE, off, len);
		break;
	case BLKIF_OP_FLUSH:
		flush_start(r, q);
		break;
	case BLKIF_OP_DISCARD:
		discard_next(r, q);
		break;
	default:		/* a barrier: barrier_start() knows when */
		break;
	}
}

/*
 * Start what waits, in order, as far as there is memory for it; the data of
 * all that is written comes in one copy.
 */
void
io_start(struct ring *r)
{
	struct req_list ready = { NULL, NULL };
	struct ring_req *q;

	while ((q = r->waiting.head)) {
		if (q->nsegs && q->status == BLKIF_RSP_OKAY) {
			if (!copy_get(r, q)) {
				r->st.oo_req++;
				break;
			}
			if (changes_disk(q))
				copy_data(r, q, false);
		}
		list_pop(&r->waiting);
		list_push(&ready, q);
	}
	copy_flush(r, false);
	r->flush = NULL;
	while ((q = list_pop(&ready)))
		dispatch(r, q);
}

static void
finish(struct ring *r, struct ring_req *q)
{
	int ret = q->vd.result;

	switch (q->op) {
	case BLKIF_OP_FLUSH:
		flush_done(r, q);
		return;
	case BLKIF_OP_WRITE_BARRIER:
		barrier_done(r, q);
		return;
	case BLKIF_OP_DISCARD:
		if (ret == 0)
			discard_next(r, q);
		else
			io_failed(r, q, ret == -ENOTSUP ?
				  BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR);
		return;
	}
	if (ret < 0) {
		/* what the buffer holds now is nobody's data. */
		io_failed(r, q, BLKIF_RSP_ERROR);
		return;
	}
	if (q->op == BLKIF_OP_READ)
		copy_data(r, q, true);
	list_push(&r->answered, q);	/* its copy may still fail it */
}

static void
count(struct ring *r, const struct ring_req *q)
{
	if (q->status != BLKIF_RSP_OKAY)
		return;
	switch (q->op) {
	case BLKIF_OP_READ:
		r->st.rd_req++;
		r->st.rd_sect += q->nsectors;
		break;
	case BLKIF_OP_WRITE:
		r->st.wr_req++;
		r->st.wr_sect += q->nsectors;
		break;
	case BLKIF_OP_WRITE_BARRIER:
		r->st.f_req++;
		r->st.wr_sect += q->nsectors;
		break;
	case BLKIF_OP_FLUSH:
		r->st.f_req++;
		break;
	case BLKIF_OP_DISCARD:
		r->st.ds_req++;
		break;
	}
}

/*
 * The slot is free for the answer: as many slots were consumed before it as
 * were answered, and one more.  R-19: the three fields and
 * nothing else; the padding keeps what the guest had there.
 */
static void
respond(struct ring *r, const struct ring_req *q)
{
	struct blkif_response *rsp = (struct blkif_response *)(r->slots +
		(size_t)(r->rsp_prod & (r->entries - 1)) * r->layout->stride);

	assert(r->rsp_prod != r->req_cons);
	rsp->id = q->id;
	rsp->operation = q->op;
	rsp->status = q->status;
	if (r->inflight)
		inflight_answer(r->inflight, ring_place(r, q), r->rsp_prod);
	r->rsp_prod++;
}

/* Take back what the disk has done, and write the answers of this turn. */
void
io_finish(struct ring *r)
{
	struct ring_req *q;

	while ((q = list_pop(&r->done)))
		finish(r, q);
	copy_flush(r, true);
	while ((q = list_pop(&r->answered))) {
		count(r, q);
		respond(r, q);
		copy_put(r, q);
		list_push(&r->free, q);
	}
}
