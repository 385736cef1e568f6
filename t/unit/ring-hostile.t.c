/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring-hostile.t.c - a guest that changes its mind while we look (XSA-155).
 *
 * First step by step: what was rewritten after we fetched it has no effect.
 * Then with threads that rewrite ring and segment lists all the time; the fake
 * disk aborts on any request that a checked one cannot be, and a sanitizer sees
 * the rest.
 */
/* objects: t/lib/rig.o t/lib/frontend.o t/lib/fakequeue.o core/ring/libvdring.a */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <tap.h>

#include "fakequeue.h"
#include "rig.h"

static void
setup(struct rig *r, enum fe_abi abi, unsigned order, enum fq_mode mode)
{
	memset(r, 0, sizeof(*r));
	r->abi = abi;
	r->order = order;
	r->cfg.disk = fq_disk(1 << 20);
	r->cfg.queue = fq_open(r->cfg.disk, mode);
	r->cfg.max_indirect = 64;
	r->cfg.discard = true;
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

/* The list has just been copied: turn it, and the slot, into something else. */
static int
rewrite(struct rig *r, const struct ring_copy *c)
{
	if (c->gref != 60)
		return 0;
	memset(fe_page(&r->fe, 60), 0xff, FE_PAGE);
	memset(r->fe.slots, 0xff, r->fe.entries * r->fe.stride);
	return 0;
}

static void
test_rewrite(enum fe_abi abi, uint8_t op)
{
	struct rig r;
	struct fe_seg seg[20];
	struct fe_req q = { .op = FE_INDIRECT, .inner = op, .nseg = 20,
		.id = 0x1122334455667788ull, .sector = 64, .indirect = { 60 } };
	struct fe_rsp rsp = { 0 };
	unsigned i;

	setup(&r, abi, 0, FQ_AUTO);
	for (i = 0; i < 20; i++) {
		seg[i] = (struct fe_seg){ i, 0, 7 };
		memset(fe_page(&r.fe, i), (int)i + 1, FE_PAGE);
	}
	fe_indirect_page(&r.fe, 60, seg, 20);
	r.copy_hook = rewrite;
	fe_put(&r.fe, &q);
	fe_push(&r.fe);
	rig_collect(&r, &rsp, 1);
	ok(rsp.id == q.id && rsp.op == op && rsp.status == FE_OKAY,
	   "R-01: operation %u is what it was when fetched (%s)", op,
	   abi == FE_64 ? "64" : "32");
	if (op == FE_WRITE)
		ok(r.cfg.disk->data[64 * 512] == 1 &&
		   r.cfg.disk->data[64 * 512 + 20 * 4096 - 1] == 20,
		   "R-02: and so are its segments");
	else
		ok(fe_page(&r.fe, 0)[0] == 0 && fe_page(&r.fe, 19)[4095] == 0,
		   "R-02: and so are its segments");
	teardown(&r);
}

static struct rig *victim;
static int stop;

/* Flip what a double fetch would trip over. */
static void *
rewriter(void *arg)
{
	struct fe *fe = &victim->fe;
	unsigned seg = fe->abi == FE_64 ? 24 : 20, i = 0;
	bool ring = arg != NULL;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		volatile uint8_t *slot = fe_slot(fe, i++);
		volatile uint8_t *list = fe_page(fe, 60) + 8 * (i % 64);

		slot[1] = i & 1 ? 255 : 1;		/* nr_segments */
		slot[seg + 4] = i & 2 ? 7 : 0;		/* first_sect */
		slot[seg + 5] = i & 4 ? 255 : 7;	/* last_sect */
		slot[seg] = (uint8_t)i;
		list[0] = (uint8_t)(i % 70);
		list[4] = i & 1 ? 200 : 0;
		list[5] = i & 2 ? 255 : 7;
		if (ring) {
			*fe_word(fe, FE_REQ_EVENT) = i;	/* */
			*fe_word(fe, FE_RSP_EVENT) = i * 7;
		}
	}
	return NULL;
}

static struct fe_req
any(unsigned i)
{
	static const uint8_t ops[] = { FE_WRITE, FE_READ, FE_BARRIER,
		FE_INDIRECT, FE_INDIRECT, FE_DISCARD, FE_FLUSH };

	return (struct fe_req){ .op = ops[i % 7], .inner = i / 7 % 2, .id = i,
		.nseg = ops[i % 7] == FE_INDIRECT ? 64 : 1 + i % 11,
		.sector = i * 13 % 1400, .nr_sectors = i % 500,
		.indirect = { 60 } };
}

/* under fire: no crash, no impossible disk call, all answered. */
static void
test_fire(enum fe_abi abi, bool ring)
{
	static struct rig r;
	pthread_t t[2];
	struct fe_req q;
	struct ring_stats st;
	unsigned sent = 0, got = 0, waits, i;
	struct fe_rsp rsp;

	setup(&r, abi, 2, FQ_RANDOM);
	victim = &r;
	stop = 0;
	for (i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, rewriter, ring ? &r : NULL);
	/* As long as it takes for the threads to have met us. */
	for (waits = 0; waits < 100000; waits++) {
		ring_stats(r.ring, &st);
		if (sent < 1500 || st.bad_req < 100)
			for (; !fe_full(&r.fe); sent++) {
				q = any(sent);
				fe_put(&r.fe, &q);
			}
		else if (got == sent)
			break;
		fe_push(&r.fe);
		if (rig_turn(&r) == RING_THROTTLED)
			poll(NULL, 0, 1);
		while (fe_next(&r.fe, &rsp))
			got++;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	is_int(got, sent, "R-01: all answered under fire (%s), %llu refused",
	       abi == FE_64 ? "64" : "32", (unsigned long long)st.bad_req);
	ok(st.bad_req >= 100 && st.bad_req < sent,
	   "some of them good, some bad, none impossible");
	teardown(&r);
}

static volatile uint8_t *nail;

/* One byte, as fast as it goes. */
static void *
hammer(void *arg)
{
	unsigned i;

	(void)arg;
	for (i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++)
		*nail = i & 1 ? 255 : 1;
	return NULL;
}

/*
 * R-01 at its narrowest: the segment count of the very slot that is fetched.
 * It was 1 or it was 255, but it was not first the one and then the other:
 * that would copy 254 segments that nobody checked.
 */
static void
test_hammer(void)
{
	static struct rig r;
	struct fe_req q = { .op = FE_WRITE, .nseg = 1, .sector = 8 };
	struct fe_rsp rsp;
	pthread_t t;
	unsigned i, status[3] = { 0 };

	setup(&r, FE_64, 0, FQ_AUTO);
	stop = 0;
	nail = fe_slot(&r.fe, 31) + 1;
	pthread_create(&t, NULL, hammer, NULL);
	for (i = 0; i < 20000 && (status[0] < 200 || status[1] < 200); i++) {
		fe_put(&r.fe, &q);
		nail = fe_slot(&r.fe, i) + 1;
		sched_yield();
		fe_push(&r.fe);
		do {
			if (rig_turn(&r) == RING_THROTTLED)
				poll(NULL, 0, 1);
		} while (*fe_word(&r.fe, FE_RSP_PROD) == i);
		if (fe_next(&r.fe, &rsp) && rsp.status <= 0 && rsp.status > -3)
			status[-rsp.status]++;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	ok(status[0] + status[1] == i && !status[2],
	   "R-01: a hammered count was good %u times and bad %u times",
	   status[0], status[1]);
	is_int(r.cfg.queue->submitted[VD_OP_WRITE], status[0],
	       "and each good one was one write");
	teardown(&r);
}

static void *
flipper(void *arg)
{
	struct fe *fe = arg;
	uint32_t i;

	for (i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
		*fe_word(fe, FE_REQ_PROD) = i % 3 ? 20 : i % 25;
		*fe_word(fe, FE_RSP_PROD) = i;
		*fe_word(fe, FE_RSP_EVENT) = i;
	}
	return NULL;
}

/* a producer index that is never the same twice. */
static void
test_flip(void)
{
	static struct rig r;
	struct ring_stats st;
	pthread_t t;
	unsigned i;

	setup(&r, FE_64, 0, FQ_AUTO);
	stop = 0;
	pthread_create(&t, NULL, flipper, &r.fe);
	for (i = 0; i < 1000 && r.state != RING_BROKEN; i++)
		if (rig_turn(&r) == RING_THROTTLED)
			poll(NULL, 0, 1);
	for (i = 0; i < 100; i++)
		rig_turn(&r);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	ring_stats(r.ring, &st);
	ok(r.state == RING_BROKEN && ring_inflight(r.ring) == 0,
	   "R-03: a flickering req_prod ends in a stopped ring");
	ok(st.bad_req <= 25, "that fetched what was there and no more");
	teardown(&r);
}

int
main(void)
{
	enum fe_abi abi;

	for (abi = FE_64; abi <= FE_32; abi++) {
		test_rewrite(abi, FE_WRITE);
		test_rewrite(abi, FE_READ);
		test_fire(abi, false);
		test_fire(abi, true);
	}
	test_hammer();
	test_flip();
	return done_testing();
}
