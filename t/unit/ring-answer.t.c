/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring-answer.t.c - each request is answered once, exactly, and tells nothing
 * that is not the guest's.
 */
/* objects: t/lib/clock.o t/lib/rig.o t/lib/frontend.o t/lib/fakequeue.o core/ring/libvdring.a */
#include <errno.h>
#include <poll.h>
#include <tap.h>

#include "fakequeue.h"
#include "rig.h"

static uint64_t seed = 88172645463325252ull;

static unsigned
rnd(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 11) % n;
}

static void
setup(struct rig *r, enum fe_abi abi, enum fq_mode mode)
{
	memset(r, 0, sizeof(*r));
	r->abi = abi;
	r->cfg.disk = fq_disk(1 << 20);
	r->cfg.queue = fq_open(r->cfg.disk, mode);
	r->cfg.discard = true;
	r->cfg.max_indirect = 64;
	if (rig_open(r) < 0)
		ok(false, "rig opens");
}

static void
teardown(struct rig *r)
{
	rig_close(r);
	vd_queue_close(r->cfg.queue);
	fq_disk_free(r->cfg.disk);
}

/* bytes 9 and from 12 on are not ours. */
static void
test_padding(enum fe_abi abi)
{
	static const struct fe_req reqs[] = {
		{ .op = FE_READ, .nseg = 1 }, { .op = FE_WRITE, .nseg = 1 },
		{ .op = FE_FLUSH }, { .op = FE_BARRIER, .nseg = 1 },
		{ .op = FE_DISCARD, .nr_sectors = 1 }, { .op = 99 },
		{ .op = FE_READ, .nseg = 12 },
		{ .op = FE_INDIRECT, .nseg = 9, .indirect = { 1 } },
	};
	struct rig r;
	struct fe_req q;
	uint8_t before[112], *slot;
	unsigned i, same = 0;

	setup(&r, abi, FQ_AUTO);
	r.fe.fill = 0xa5;
	for (i = 0; i < 8; i++) {
		q = reqs[i];	/* no zero bytes where the answer will be */
		q.id = 0xa5a5a5a5a5a5a5a5ull;
		q.sector = 0x105;
		fe_put(&r.fe, &q);
		slot = fe_slot(&r.fe, i);
		memcpy(before, slot, r.fe.stride);
		fe_push(&r.fe);
		rig_collect(&r, NULL, 1);
		same += slot[9] == before[9] &&
			!memcmp(slot + 12, before + 12, r.fe.stride - 12) &&
			!memcmp(slot + r.fe.stride, "\0\0\0\0", 4);
	}
	is_int(same, 8, "R-19: an answer is 11 bytes and nothing more (%s)",
	       abi == FE_64 ? "64" : "32");
	teardown(&r);
}

static int
fail_all(void *ctx, const struct vd_req *q)
{
	(void)ctx;
	/* What a broken disk may leave in the buffer. */
	if (q->op == VD_OP_READ)
		memset(q->iov[0].iov_base, 0xee, 512);
	return -EIO;
}

/* a failed read gives nothing of the buffer away. */
static void
test_no_leak(void)
{
	struct rig r;
	struct fe_req w = { .op = FE_WRITE, .nseg = 2,
		.seg = { { 1, 0, 7 }, { 1, 0, 7 } } };
	struct fe_req q = { .op = FE_READ, .nseg = 2,
		.seg = { { 2, 0, 7 }, { 3, 0, 7 } } };
	struct ring_stats st;
	unsigned i, n = 0;

	setup(&r, FE_64, FQ_AUTO);
	memset(fe_page(&r.fe, 1), 0x77, FE_PAGE);
	is_int(rig_one(&r, &w), FE_OKAY, "a write leaves data in a buffer");
	memset(fe_page(&r.fe, 2), 0x11, 2 * FE_PAGE);
	r.cfg.queue->fault = fail_all;
	is_int(rig_one(&r, &q), FE_ERROR, "a read that fails");
	for (i = 0; i < 2 * FE_PAGE; i++)
		n += fe_page(&r.fe, 2)[i] == 0x11;
	is_int(n, 2 * FE_PAGE, "R-20: leaves the guest's pages alone");
	ring_stats(r.ring, &st);
	ok(st.errors == 1 && st.bad_req == 0 && st.wr_req == 1 &&
	   st.rd_req == 0 && st.wr_sect == 16, "and is counted as the disk's");
	is_int(rig_one(&r, &w), FE_ERROR, "a write that fails");
	r.cfg.queue->fault = NULL;
	is_int(rig_one(&r, &q), FE_OKAY, "next read");
	teardown(&r);
}

static unsigned copied, pushed_before;

static int
watch_copy(struct rig *r, const struct ring_copy *c)
{
	(void)c;
	copied++;
	pushed_before += *fe_word(&r->fe, FE_RSP_PROD) != r->fe.rsp_cons;
	return 0;
}

/* when the guest sees the answer, nobody touches its pages any more. */
static void
test_copy_before_push(void)
{
	struct rig r;
	struct fe_req q = { .op = FE_READ, .nseg = 5 };
	unsigned i;

	setup(&r, FE_64, FQ_AUTO);
	r.copy_hook = watch_copy;
	for (i = 0; i < 10; i++)
		fe_put(&r.fe, &q);
	fe_push(&r.fe);
	rig_turn(&r);
	rig_turn(&r);
	ok(copied == 50 && !pushed_before, "R-29: data first, then the answer");
	ok(*fe_word(&r.fe, FE_RSP_PROD) == 10, "in the same turn");
	teardown(&r);
}

static int
enotsup(void *ctx, const struct vd_req *q)
{
	(void)ctx;
	(void)q;
	return -ENOTSUP;
}

static void
test_disk_says(void)
{
	static const struct fe_req reqs[] = {
		{ .op = FE_READ, .nseg = 1 }, { .op = FE_WRITE, .nseg = 1 },
		{ .op = FE_DISCARD, .nr_sectors = 1 },
	};
	struct rig r;
	unsigned i;

	setup(&r, FE_64, FQ_AUTO);
	r.cfg.queue->fault = enotsup;
	for (i = 0; i < 3; i++)
		is_int(rig_one(&r, &reqs[i]), i == 2 ? FE_NOTSUPP : FE_ERROR,
		       "\"not supported\" by the disk, operation %u",
		       reqs[i].op);
	teardown(&r);
}

/* A discard larger than one step: all of it, in order, once. */
static void
test_discard_steps(void)
{
	struct rig r;
	struct fe_req q = { .op = FE_DISCARD, .sector = 3,
		.nr_sectors = 1 << 22 };
	struct vd_queue *fq;
	uint64_t at = 3 * 512;
	unsigned i, steps = 0;

	setup(&r, FE_64, FQ_AUTO);
	fq = r.cfg.queue;
	fq->disk->size = 1ull << 50;
	fq->fault = enotsup;
	is_int(rig_one(&r, &q), FE_NOTSUPP, "first step refused");
	is_int(fq->submitted[VD_OP_DISCARD], 1, "no more of them");
	fq_forget(fq);
	fq->fault = NULL;
	is_int(rig_one(&r, &q), FE_OKAY, "discard of 2 GiB");
	for (i = 0; i < fq->nevents; i++) {
		if (fq->events[i].what != FQ_SUBMIT)
			continue;
		steps += fq->events[i].off == at &&
			 fq->events[i].len <= 1 << 30;
		at += fq->events[i].len;
	}
	ok(steps == 3 && at == 3 * 512 + (2ull << 30), "in three steps");
	teardown(&r);
}

static int
fault_some(void *ctx, const struct vd_req *q)
{
	static const int e[] = { -EIO, -ENOSPC, -ENOTSUP, -ENOMEM };

	(void)ctx;
	/* Flushes that fail stay unanswered on purpose: see ring-flush.t */
	return q->op == VD_OP_FLUSH || rnd(8) ? 0 : e[rnd(4)];
}

static int
copy_some(struct rig *r, const struct ring_copy *c)
{
	(void)r;
	(void)c;
	return rnd(300) ? 0 : -EFAULT;
}

/* Anything at all; mostly almost right. */
static struct fe_req
any_request(struct rig *r)
{
	static const uint16_t counts[] = { 0, 1, 2, 11, 12, 64, 65, 255, 9999 };
	static const uint8_t ops[] = { FE_READ, FE_WRITE, FE_BARRIER, FE_FLUSH,
		FE_DISCARD, FE_INDIRECT };
	struct fe_req q = {
		.op = rnd(40) ? ops[rnd(6)] : (uint8_t)rnd(256),
		.inner = rnd(40) ? (uint8_t)rnd(2) : (uint8_t)rnd(256),
		.sector = rnd(40) ? rnd(1500) : ~0ull - rnd(9),
		.nr_sectors = rnd(550), .flag = rnd(20) == 0,
		.nseg = rnd(20) ? 1 + rnd(11) : counts[rnd(9)],
		.indirect = { 63 } };
	struct fe_seg seg[64];
	unsigned i;

	for (i = 0; i < 64; i++) {
		seg[i].gref = rnd(1000) ? rnd(60) : 1000 + rnd(1000);
		seg[i].first = (uint8_t)rnd(8);
		seg[i].last = (uint8_t)(rnd(1000) ? 7 : rnd(256));
	}
	memcpy(q.seg, seg, sizeof(q.seg));
	fe_indirect_page(&r->fe, 63, seg, 64);
	return q;
}

/* random requests, random failures; count. */
static void
test_once(enum fe_abi abi, enum fq_mode mode, unsigned total)
{
	static unsigned open[65536];	/* unanswered, by id */
	struct rig r;
	struct fe_req q;
	struct fe_rsp rsp = { 0 };
	unsigned sent = 0, got = 0, wrong = 0, turns = 0, notok = 0;

	setup(&r, abi, mode);
	r.cfg.queue->fault = fault_some;
	r.copy_hook = copy_some;
	memset(open, 0, sizeof(open));
	while (got < total && turns++ < 200000) {
		while (sent < total && !fe_full(&r.fe) && rnd(8)) {
			q = any_request(&r);
			q.id = sent++;
			open[q.id] = q.op == FE_INDIRECT ? q.inner + 100 :
				     q.op + 100;
			fe_put(&r.fe, &q);
		}
		fe_push(&r.fe);
		if (rig_turn(&r) == RING_THROTTLED)
			poll(NULL, 0, (int)ring_delay_ms(r.ring));
		while (fe_next(&r.fe, &rsp)) {
			got++;
			if (rsp.id >= total || open[rsp.id] != rsp.op + 100u ||
			    rsp.status > 0 || rsp.status < -2) {
				wrong++;
				continue;
			}
			notok += rsp.status != 0;
			open[rsp.id] = 0;
		}
	}
	ok(got == total && !wrong, "R-07: %u requests, %u answers, %u refused "
	   "(%s)", total, got, notok, abi == FE_64 ? "64" : "32");
	rig_turn(&r);
	ok(!fe_next(&r.fe, &rsp) && ring_inflight(r.ring) == 0, "no more");
	teardown(&r);
}

int
main(void)
{
	test_padding(FE_64);
	test_padding(FE_32);
	test_no_leak();
	test_copy_before_push();
	test_disk_says();
	test_discard_steps();
	test_once(FE_64, FQ_AUTO, 4000);
	test_once(FE_32, FQ_RANDOM, 4000);
	test_once(FE_64, FQ_RANDOM, 4000);
	return done_testing();
}
