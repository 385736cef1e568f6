/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring-leave.t.c - a process that leaves a ring to the next one finishes what
 * the disk works on, begins nothing, and answers nothing untruthfully.
 */
/* objects: t/lib/rig.o t/lib/frontend.o t/lib/fakequeue.o core/ring/libvdring.a */
#include <errno.h>
#include <tap.h>

#include "fakequeue.h"
#include "rig.h"

static int flush_result;

static int
fault(void *ctx, const struct vd_req *q)
{
	(void)ctx;
	return q->op == VD_OP_FLUSH ? flush_result : 0;
}

static void
setup(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	r->cfg.disk = fq_disk(1 << 20);
	r->cfg.queue = fq_open(r->cfg.disk, FQ_HOLD);
	r->cfg.queue->fault = fault;
	flush_result = 0;
	if (rig_open(r) < 0)
		ok(false, "rig opens");
}

static void
teardown(struct rig *r)
{
	fq_finish(r->cfg.queue, 0, 1024);
	rig_close(r);
	vd_queue_close(r->cfg.queue);
	fq_disk_free(r->cfg.disk);
}

static void
put(struct rig *r, uint8_t op, uint64_t id)
{
	struct fe_req q = { .op = op, .id = id, .sector = 8 * id };

	if (op != FE_FLUSH && op != FE_BARRIER) {
		q.nseg = 1;
		q.seg[0] = (struct fe_seg){ (uint32_t)id, 0, 7 };
	}
	fe_put(&r->fe, &q);
	fe_push(&r->fe);
}

static void
finish_all(struct rig *r)
{
	fq_finish(r->cfg.queue, 0, 1024);
	rig_turn(r);
}

static unsigned
answers(struct rig *r)
{
	struct fe_rsp rsp;
	unsigned n = 0;

	while (fe_next(&r->fe, &rsp))
		n++;
	return n;
}

static void
test_finishes(void)
{
	struct rig r;

	setup(&r);
	put(&r, FE_WRITE, 1);
	put(&r, FE_WRITE, 2);
	rig_turn(&r);
	ring_leave(r.ring);
	put(&r, FE_WRITE, 3);
	rig_turn(&r);
	is_int(ring_busy(r.ring), 2, "two are under way");
	is_int(r.cfg.queue->submitted[VD_OP_WRITE], 2, "the third is not");
	ok(!ring_armed(r.ring), "nobody needs to ring");
	finish_all(&r);
	is_int(ring_busy(r.ring), 0, "then none");
	is_int(answers(&r), 2, "both were answered, the third was not");
	is_int(*fe_word(&r.fe, FE_RSP_PROD), 2, "the next process begins there");
	teardown(&r);
}

/* A barrier goes through its steps; what it has not begun stays there. */
static void
test_barrier(void)
{
	struct rig r;

	setup(&r);
	put(&r, FE_WRITE, 1);
	put(&r, FE_BARRIER, 2);
	rig_turn(&r);
	ring_leave(r.ring);
	finish_all(&r);
	is_int(answers(&r), 1, "the write is answered");
	is_int(ring_busy(r.ring), 0, "the barrier has not begun");
	is_int(r.cfg.queue->submitted[VD_OP_FLUSH], 0, "no flush");
	teardown(&r);

	setup(&r);
	put(&r, FE_BARRIER, 2);
	rig_turn(&r);
	ring_leave(r.ring);
	is_int(ring_busy(r.ring), 1, "a barrier that has begun");
	finish_all(&r);
	is_int(answers(&r), 1, "is answered");
	teardown(&r);
}

/* B3: neither an error nor a success would be true. */
static void
test_failed_flush(int result, const char *what)
{
	struct rig r;

	setup(&r);
	flush_result = result;
	put(&r, FE_FLUSH, 1);
	rig_turn(&r);
	ring_leave(r.ring);
	finish_all(&r);
	is_int(answers(&r), 0, "a flush that fails (%s) stays unanswered", what);
	is_int(ring_busy(r.ring), 0, "and nobody waits for it");
	is_int(ring_delay_ms(r.ring), 0, "or for another try");
	teardown(&r);

	setup(&r);
	flush_result = result;
	put(&r, FE_FLUSH, 1);
	rig_turn(&r);
	finish_all(&r);
	ring_leave(r.ring);
	rig_turn(&r);
	is_int(answers(&r), 0, "also one that failed before");
	teardown(&r);
}

/* Level-triggered owners need to know when nobody will ring. */
static void
test_armed(void)
{
	struct rig r;
	unsigned i;

	setup(&r);
	rig_turn(&r);
	ok(ring_armed(r.ring), "an empty ring is armed");
	put(&r, FE_BARRIER, 1);
	rig_turn(&r);
	ok(r.state == RING_IDLE && !ring_armed(r.ring),
	   "behind a barrier it is not");
	put(&r, FE_WRITE, 2);
	rig_turn(&r);
	ok(!ring_armed(r.ring), "nor with a request that waits");
	finish_all(&r);
	finish_all(&r);
	ok(ring_armed(r.ring), "afterwards it is");
	for (i = 0; i < 32; i++) {
		answers(&r);
		put(&r, FE_WRITE, 3);
	}
	while (rig_turn(&r) == RING_MORE)
		;
	ok(!ring_armed(r.ring), "a full ring is not");
	teardown(&r);
}

int
main(void)
{
	test_finishes();
	test_barrier();
	test_failed_flush(-EIO, "lost");
	test_failed_flush(-EAGAIN, "try again");
	test_armed();
	return done_testing();
}
