/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ring-index.t.c - indices, wrapping, waking: no request lost, no slot torn. */
/* objects: t/lib/rig.o t/lib/frontend.o t/lib/fakequeue.o core/ring/libvdring.a */
#include <errno.h>
#include <tap.h>

#include "fakequeue.h"
#include "rig.h"

static void
setup(struct rig *r, enum fe_abi abi, unsigned order, uint32_t start,
      enum fq_mode mode)
{
	memset(r, 0, sizeof(*r));
	r->abi = abi;
	r->order = order;
	r->start = start;
	r->cfg.disk = fq_disk(1 << 20);
	r->cfg.queue = fq_open(r->cfg.disk, mode);
	r->cfg.max_indirect = 32;
	if (rig_open(r) < 0)
		ok(false, "rig opens");
}

static void
teardown(struct rig *r)
{
	if (r->cfg.queue->mode == FQ_HOLD)
		fq_finish(r->cfg.queue, 0, 1024);
	rig_close(r);
	vd_queue_close(r->cfg.queue);
	fq_disk_free(r->cfg.disk);
}

static struct fe_req
rw(uint8_t op, uint64_t id, uint64_t sector, uint32_t gref)
{
	return (struct fe_req){ .op = op, .id = id, .sector = sector,
		.nseg = 1, .seg = { { gref, 0, 0 } } };
}

/* Every entry of the ring in use at once, answers taken, n times over. */
static bool
rounds(struct rig *r, unsigned n)
{
	uint64_t next = 0, seen = 0;
	struct fe_rsp rsp;
	struct fe_req q;

	while (n--) {
		while (!fe_full(&r->fe)) {
			q = rw(FE_READ, next++, 0, 0);
			fe_put(&r->fe, &q);
		}
		fe_push(&r->fe);
		rig_turn(r);
		rig_turn(r);
		while (fe_next(&r->fe, &rsp))
			if (rsp.id != seen++ || rsp.status != FE_OKAY)
				return false;
		if (seen != next)
			return false;
	}
	return true;
}

static void
test_geometry(void)
{
	struct rig r;
	unsigned abi, order;

	for (abi = FE_64; abi <= FE_32; abi++) {
		for (order = 0; order <= 4; order++) {
			setup(&r, abi, order, 0, FQ_AUTO);
			ok(rounds(&r, 3), "%s-bit ring of order %u holds %u",
			   abi == FE_64 ? "64" : "32", order, r.fe.entries);
			teardown(&r);
			setup(&r, abi, order, UINT32_MAX - 40, FQ_AUTO);
			ok(rounds(&r, 5), ".. and its indices wrap");
			teardown(&r);
		}
	}
}

/* One at a time over the wrap: each index value is the end of a batch once. */
static void
test_wrap_singly(void)
{
	struct rig r;
	struct fe_req q = rw(FE_READ, 0, 0, 0);
	unsigned i, good = 0;

	setup(&r, FE_64, 0, UINT32_MAX - 5, FQ_AUTO);
	for (i = 0; i < 12; i++)
		good += rig_one(&r, &q) == FE_OKAY;
	is_int(good, 12, "single requests across 2^32");
	is_int(*fe_word(&r.fe, FE_REQ_EVENT), r.fe.req_prod + 1,
	       "and asks for the next one to ring");
	teardown(&r);
}

/* An orderly restart finds requests that nobody has answered. */
static void
test_attach(void)
{
	struct rig r;
	struct ring_config cfg;
	struct ring *second = NULL;
	struct vd_err err = { 0 };
	struct fe_req q;
	struct fe_rsp rsp[5];
	unsigned i;

	setup(&r, FE_64, 0, 1000, FQ_AUTO);
	for (i = 0; i < 5; i++) {
		q = rw(FE_READ, 70 + i, 0, 0);
		fe_put(&r.fe, &q);
	}
	fe_push(&r.fe);
	ring_close(r.ring);	/* fetched nothing */
	is_int(ring_open(&r.cfg, &r.ring, &err), 0, "attach to a live ring");
	is_int(rig_collect(&r, rsp, 5), 5, "its requests are answered");
	ok(rsp[0].id == 70 && rsp[4].id == 74, "each of them");

	*fe_word(&r.fe, FE_REQ_PROD) += 33;
	cfg = r.cfg;
	is_int(ring_open(&cfg, &second, &err), -EPROTO,
	       "more requests than slots: not a ring");
	teardown(&r);
}

static void
test_refused(void)
{
	struct rig r;
	struct ring *ring;
	struct ring_config c;
	static const unsigned pages[] = { 0, 3, 5, 17, 32, 0x80000000u };
	struct vd_err err;
	unsigned i;

	setup(&r, FE_64, 0, 0, FQ_AUTO);
	for (i = 0; i < 6; i++) {
		c = r.cfg;
		c.pages = pages[i];
		vd_err_clear(&err);
		is_int(ring_open(&c, &ring, &err), -EINVAL,
		       "R-31: %u pages are refused", pages[i]);
	}
	c = r.cfg;
	c.abi = 3;
	is_int(ring_open(&c, &ring, NULL), -EINVAL, "unknown ABI");
	c = r.cfg;
	c.max_indirect = 257;
	is_int(ring_open(&c, &ring, NULL), -EINVAL, "too many segments");
	c = r.cfg;
	c.max_bytes = 65536;
	is_int(ring_open(&c, &ring, NULL), -EINVAL,
	       "a budget that the largest request would never get");
	teardown(&r);
}

/*
 * more than fit, or a step backwards (R-03: to what it was), stops the
 * ring for good; what was in flight is answered.
 */
static void
test_broken(void)
{
	static const int64_t prod[] = { 33, 34, 0x80000000, -1, 0, 1 };
	struct rig r;
	struct fe_req q;
	unsigned i, j, got;
	uint64_t reqs;

	for (i = 0; i < sizeof(prod) / sizeof(*prod); i++) {
		setup(&r, FE_64, 0, 500, FQ_HOLD);
		for (j = 0; j < 3; j++) {
			q = rw(FE_READ, j, 0, 0);
			fe_put(&r.fe, &q);
		}
		fe_push(&r.fe);
		rig_turn(&r);
		*fe_word(&r.fe, FE_REQ_PROD) = 500 + (uint32_t)prod[i];
		is_int(rig_turn(&r), RING_BROKEN,
		       "R-04: req_prod at %+lld", (long long)prod[i]);
		*fe_word(&r.fe, FE_REQ_PROD) = 500 + 4;
		fq_finish(r.cfg.queue, 0, 3);
		for (got = j = 0; j < 50; j++) {
			rig_turn(&r);
			got += r.state == RING_BROKEN;
		}
		reqs = r.cfg.queue->submitted[VD_OP_READ];
		ok(got == 50 && reqs == 3, "stays so, and fetches nothing");
		ok(*fe_word(&r.fe, FE_RSP_PROD) == 503 &&
		   ring_inflight(r.ring) == 0, "what it had is answered");
		is_int(r.log_lines, 1, "said once");
		is_int(ring_delay_ms(r.ring), 0, "wants no call");
		teardown(&r);
	}
}

/* a ring full of requests in flight gives no slot away. */
static void
test_full(void)
{
	struct rig r;
	struct fe_req q;
	struct fe_rsp rsp;
	uint8_t slots[32 * 112];
	unsigned i;

	setup(&r, FE_64, 0, 0, FQ_HOLD);
	for (i = 0; i < 32; i++) {
		q = rw(FE_READ, i, 0, 0);
		fe_put(&r.fe, &q);
	}
	memcpy(slots, fe_slot(&r.fe, 0), sizeof(slots));
	fe_push(&r.fe);
	rig_turn(&r);
	is_int(ring_inflight(r.ring), 32, "all slots are in flight");
	ok(!memcmp(slots, fe_slot(&r.fe, 0), sizeof(slots)),
	   "R-05: no slot is written before there is an answer");
	fq_finish(r.cfg.queue, 9, 1);
	rig_turn(&r);
	ok(fe_next(&r.fe, &rsp) && rsp.id == 9, "answers come out of order");
	ok(!memcmp(slots + 112, fe_slot(&r.fe, 1), sizeof(slots) - 112),
	   "and take the oldest slot only");
	q = rw(FE_READ, 77, 0, 0);
	fe_put(&r.fe, &q);
	fe_push(&r.fe);
	rig_turn(&r);
	is_int(ring_inflight(r.ring), 32, "which is used again");
	teardown(&r);
}

/* what we wrote is not read back, whatever stands there. */
static void
test_scribble(void)
{
	struct rig r;
	struct fe_req q;
	unsigned i, good = 0;
	uint64_t id;

	setup(&r, FE_64, 0, 0, FQ_AUTO);
	for (i = 0; i < 200; i++) {
		q = rw(FE_READ, i, 0, 0);
		fe_put(&r.fe, &q);
		fe_push(&r.fe);
		*fe_word(&r.fe, FE_RSP_PROD) = i * 0x9e3779b9u;
		*fe_word(&r.fe, FE_REQ_EVENT) = i * 0x85ebca6bu;
		rig_turn(&r);
		*fe_word(&r.fe, FE_RSP_PROD) = i * 0xc2b2ae35u;
		rig_turn(&r);
		memcpy(&id, fe_slot(&r.fe, i), 8);
		good += id == i && *fe_word(&r.fe, FE_RSP_PROD) == i + 1;
	}
	is_int(good, 200, "R-06: rsp_prod and req_event are write-only");
	teardown(&r);
}

/* The guest said "wake me at `event`"; n answers are pushed at once. */
static void
test_notify(void)
{
	static const uint32_t starts[] = { 0, 100, UINT32_MAX - 3 };
	struct rig r;
	struct fe_req q = rw(FE_READ, 0, 0, 0);
	unsigned s, n, i, bad = 0, cases = 0;
	int event;

	for (s = 0; s < 3; s++) {
		for (n = 1; n <= 8; n++) {
			for (event = -2; event <= 10; event++) {
				setup(&r, FE_64, 0, starts[s], FQ_AUTO);
				for (i = 0; i < n; i++)
					fe_put(&r.fe, &q);
				fe_push(&r.fe);
				*fe_word(&r.fe, FE_RSP_EVENT) =
					starts[s] + (uint32_t)event;
				rig_turn(&r);
				/* not what we go by */
				*fe_word(&r.fe, FE_RSP_PROD) = starts[s] + n;
				rig_turn(&r);
				bad += r.notifies !=
				       (event >= 1 && event <= (int)n);
				bad += fe_rung(&r.fe) != (r.notifies != 0);
				cases++;
				teardown(&r);
			}
		}
	}
	is_int(bad, 0, "notified when asked and only then: %u cases", cases);
}

/* While its write is being fetched the guest posts one more, a hundred times. */
static int
post_in_turn(struct rig *r, const struct ring_copy *c)
{
	struct fe_req q = rw(FE_WRITE, 2, 0, 0);

	(void)c;
	if (r->fe.req_prod < 100) {
		fe_put(&r->fe, &q);
		fe_push(&r->fe);
	}
	return 0;
}

static void
test_rearm(void)
{
	struct rig r;
	struct fe_req q = rw(FE_WRITE, 1, 0, 0);

	setup(&r, FE_64, 0, 0, FQ_AUTO);
	is_int(rig_turn(&r), RING_IDLE, "an empty ring is idle");
	r.copy_hook = post_in_turn;
	fe_put(&r.fe, &q);
	fe_push(&r.fe);
	is_int(rig_turn(&r), RING_MORE,
	       "a request posted before the re-arm is not slept over");
	is_int(r.fe.req_prod, 2,
	       "R-38: and a turn does not run after a guest that goes on");
	is_int(rig_collect(&r, NULL, 100), 100, "all are answered");
	teardown(&r);
}

/* The guest rings only when the backend could be asleep. */
static void
test_kicks(void)
{
	struct rig r;
	struct fe_req q = rw(FE_READ, 0, 0, 0);

	setup(&r, FE_64, 0, 0, FQ_HOLD);
	rig_turn(&r);
	fe_put(&r.fe, &q);
	ok(fe_push(&r.fe), "first request rings");
	fe_put(&r.fe, &q);
	ok(!fe_push(&r.fe), "second one does not: we are on our way");
	rig_turn(&r);
	fe_put(&r.fe, &q);
	ok(fe_push(&r.fe), "after the re-arm it does");
	teardown(&r);
}

/* One copy, one kick, one notification for a whole burst. */
static void
test_batch(void)
{
	struct rig r;
	struct fe_req q;
	struct fe_seg seg[20];
	unsigned i;

	setup(&r, FE_64, 0, 0, FQ_AUTO);
	for (i = 0; i < 32; i++) {
		q = rw(FE_WRITE, i, i, 1);
		fe_put(&r.fe, &q);
	}
	fe_push(&r.fe);
	is_int(rig_collect(&r, NULL, 32), 32, "32 writes");
	is_int(r.copies_in, 1, "one copy for all their data");
	is_int(r.notifies, 1, "one notification");
	is_int(r.turns, 2, "two turns");

	r.copies_in = r.notifies = 0;
	fe_rearm(&r.fe);
	for (i = 0; i < 32; i++) {
		q = rw(FE_READ, i, i, i);
		fe_put(&r.fe, &q);
	}
	fe_push(&r.fe);
	is_int(rig_collect(&r, NULL, 32), 32, "32 reads");
	ok(r.copies_in == 0 && r.copies_out == 1, "one copy out");
	is_int(r.notifies, 1, "one notification");

	for (i = 0; i < 20; i++)
		seg[i] = (struct fe_seg){ 2, 0, 7 };
	for (i = 0; i < 8; i++) {
		fe_indirect_page(&r.fe, 10 + i, seg, 20);
		q = (struct fe_req){ .op = FE_INDIRECT, .inner = FE_WRITE,
			.nseg = 20, .indirect = { 10 + i } };
		fe_put(&r.fe, &q);
	}
	fe_push(&r.fe);
	is_int(rig_collect(&r, NULL, 8), 8, "8 indirect writes");
	is_int(r.copies_in, 2, "one copy for the lists, one for the data");
	teardown(&r);
}

int
main(void)
{
	test_geometry();
	test_wrap_singly();
	test_attach();
	test_refused();
	test_broken();
	test_full();
	test_scribble();
	test_notify();
	test_rearm();
	test_kicks();
	test_batch();
	return done_testing();
}
