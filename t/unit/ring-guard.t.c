/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring-guard.t.c - what a guest may cost us (memory, time, log), and how a ring
 * stops, resumes, grows and ends.
 */
/* objects: t/lib/clock.o t/lib/rig.o t/lib/frontend.o t/lib/fakequeue.o core/ring/libvdring.a */
#include <errno.h>
#include <poll.h>
#include <tap.h>

#include "fakequeue.h"
#include "rig.h"

static void
setup(struct rig *r, enum fq_mode mode, uint64_t max_bytes)
{
	memset(r, 0, sizeof(*r));
	r->cfg.disk = fq_disk(8 << 20);
	r->cfg.queue = fq_open(r->cfg.disk, mode);
	r->cfg.max_bytes = max_bytes;
	r->cfg.max_indirect = 256;
	r->order = 2;
	r->guest_pages = 512;
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

static uint64_t
pending_bytes(struct vd_queue *q)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < q->npending; i++)
		sum += q->pending[i]->len;
	return sum;
}

/* 20 MiB of requests and 2 MiB of memory: they wait, none fails. */
static void
test_budget(bool write)
{
	struct rig r;
	struct fe_seg seg[256];
	struct fe_req q = { .op = FE_INDIRECT, .inner = write, .nseg = 256,
		.indirect = { 300 } };
	struct fe_rsp rsp;
	struct ring_stats st;
	unsigned i, got = 0, good = 0, turns, throttled = 0;
	uint64_t most = 0;

	setup(&r, FQ_HOLD, 2 << 20);
	for (i = 0; i < 256; i++)
		seg[i] = (struct fe_seg){ i, 0, 7 };
	fe_indirect_page(&r.fe, 300, seg, 256);
	for (q.id = 0; q.id < 20; q.id++)
		fe_put(&r.fe, &q);
	/* Some small ones between, which must not starve. */
	q = (struct fe_req){ .op = write, .nseg = 1, .id = 20 };
	for (; q.id < 40; q.id++)
		fe_put(&r.fe, &q);
	fe_push(&r.fe);
	for (turns = 0; turns < 200 && got < 40; turns++) {
		rig_turn(&r);
		throttled += r.state == RING_THROTTLED;
		if (pending_bytes(r.cfg.queue) > most)
			most = pending_bytes(r.cfg.queue);
		fq_finish(r.cfg.queue, 0, 1);
		while (fe_next(&r.fe, &rsp)) {
			got++;
			good += rsp.status == FE_OKAY;
		}
	}
	ok(got == 40 && good == 40, "R-52: all %s are done",
	   write ? "writes" : "reads");
	ok(most > 1 << 20 && most <= 2 << 20, "with %llu bytes in flight",
	   (unsigned long long)most);
	ring_stats(r.ring, &st);
	ok(st.oo_req > 0 && !throttled, "waiting was counted, and not as a fault");
	teardown(&r);
}

/* bells without requests. */
static void
test_storm(void)
{
	struct rig r;
	struct ring_stats st;
	struct fe_req q = { .op = FE_READ, .nseg = 1 };
	unsigned i, ms, last = 0, grew = 0;

	setup(&r, FQ_AUTO, 0);
	for (i = 0; i < 16; i++)
		rig_turn(&r);
	is_int(r.state, RING_IDLE, "R-35: sixteen wakeups for nothing are free");
	for (i = 0; i < 9; i++) {
		rig_turn(&r);
		ms = ring_delay_ms(r.ring);
		grew += r.state == RING_THROTTLED && ms >= last && ms <= 100;
		last = ms;
		poll(NULL, 0, (int)ms);
		rig_turn(&r);	/* when it asked for it */
		ok(r.state == RING_IDLE, "after %u ms it listens again", ms);
	}
	ok(grew == 9 && last > 60, "each further one costs more, to %u ms", last);
	ring_stats(r.ring, &st);
	is_int(st.spurious, 25, "and is counted");
	rig_turn(&r);
	fe_put(&r.fe, &q);
	fe_push(&r.fe);
	poll(NULL, 0, (int)ring_delay_ms(r.ring));
	is_int(rig_collect(&r, NULL, 1), 1, "a request is served");
	rig_turn(&r);
	is_int(r.state, RING_IDLE, "and all is forgiven");
	teardown(&r);
}

/* a bad request costs a millisecond; the answers do not wait. */
static void
test_bad(void)
{
	struct rig r;
	struct fe_req q = { .op = 77 }, good = { .op = FE_READ, .nseg = 1 };
	struct fe_rsp rsp;
	unsigned i, ms;

	setup(&r, FQ_HOLD, 0);
	fe_put(&r.fe, &good);
	for (i = 0; i < 40; i++)
		fe_put(&r.fe, &q);
	fe_push(&r.fe);
	is_int(rig_turn(&r), RING_THROTTLED, "R-39: bad requests slow the ring");
	ms = ring_delay_ms(r.ring);
	is_int(ms, 40, "by a millisecond for each of them");
	for (i = 0; fe_next(&r.fe, &rsp); i++)
		;
	is_int(i, 40, "they are answered at once");
	fe_put(&r.fe, &good);
	fe_push(&r.fe);
	fq_finish(r.cfg.queue, 0, 1);
	is_int(rig_turn(&r), RING_THROTTLED, "too early a call fetches nothing");
	is_int(r.cfg.queue->submitted[VD_OP_READ], 1, "really");
	ok(fe_next(&r.fe, &rsp) && rsp.op == FE_READ,
	   "but what the disk has done is answered");
	poll(NULL, 0, (int)ms + 1);
	rig_turn(&r);
	is_int(r.cfg.queue->submitted[VD_OP_READ], 2, "then it goes on");
	for (i = 0; i < 100; i++)
		fe_put(&r.fe, &q);
	fe_push(&r.fe);
	rig_turn(&r);
	ok(ring_delay_ms(r.ring) <= 100, "never by more than 100 ms");
	ring_stop(r.ring);
	is_int(ring_delay_ms(r.ring), 0, "and not at all when it is to stop");
	teardown(&r);
}

/* */
static void
test_log(void)
{
	struct rig r;
	struct fe_req q = { .op = FE_READ, .nseg = 77, .sector = ~0ull };
	unsigned i;

	setup(&r, FQ_AUTO, 0);
	for (i = 0; i < 128; i++)
		fe_put(&r.fe, &q);
	fe_push(&r.fe);
	rig_collect(&r, NULL, 128);
	is_int(r.log_lines, 10, "R-40: 128 bad requests, ten lines");
	ok(strstr(r.last_log, "77 segments") && !strchr(r.last_log, '\n'),
	   "that say what is wrong: %s", r.last_log);
	teardown(&r);
}

/* R-14 and 4.9: the size may change between two requests. */
static void
test_resize(void)
{
	struct rig r;
	struct fe_req q = { .op = FE_WRITE, .nseg = 1, .sector = 100 };

	setup(&r, FQ_AUTO, 0);
	r.cfg.disk->size = 100 * 512;
	is_int(rig_one(&r, &q), FE_ERROR, "past the end");
	r.cfg.disk->size = 101 * 512;
	is_int(rig_one(&r, &q), FE_OKAY, "the disk has grown");
	r.cfg.disk->size = 101 * 512 - 1;
	is_int(rig_one(&r, &q), FE_ERROR, "half a sector is none");
	r.cfg.disk->size = 0;
	q.op = FE_READ;
	q.sector = 0;
	is_int(rig_one(&r, &q), FE_ERROR, "no medium");
	teardown(&r);
}

static void
test_stop(void)
{
	struct rig r;
	struct fe_req q = { .op = FE_WRITE, .nseg = 1 };
	struct fe_rsp rsp;
	unsigned i;

	setup(&r, FQ_HOLD, 0);
	for (i = 0; i < 4; i++)
		fe_put(&r.fe, &q);
	fe_push(&r.fe);
	rig_turn(&r);
	ring_stop(r.ring);
	fe_put(&r.fe, &q);
	fe_push(&r.fe);
	rig_turn(&r);
	is_int(ring_inflight(r.ring), 4, "a stopped ring fetches nothing");
	fq_finish(r.cfg.queue, 0, 4);
	is_int(rig_turn(&r), RING_IDLE, "it finishes what it has");
	for (i = 0; fe_next(&r.fe, &rsp); i++)
		;
	ok(i == 4 && ring_inflight(r.ring) == 0, "and answers it");
	ring_resume(r.ring);
	rig_turn(&r);
	is_int(ring_inflight(r.ring), 1, "resumed, it goes on");
	teardown(&r);
}

/* Stopped with consumed requests that wait for memory: they are finished. */
static void
test_stop_waiting(void)
{
	struct rig r;
	struct fe_seg seg[256];
	struct fe_req q = { .op = FE_INDIRECT, .inner = FE_WRITE, .nseg = 256,
		.indirect = { 300 } };
	unsigned i, got = 0;
	struct fe_rsp rsp;

	setup(&r, FQ_HOLD, 1 << 20);
	for (i = 0; i < 256; i++)
		seg[i] = (struct fe_seg){ i, 0, 7 };
	fe_indirect_page(&r.fe, 300, seg, 256);
	for (i = 0; i < 3; i++)
		fe_put(&r.fe, &q);
	fe_push(&r.fe);
	rig_turn(&r);
	is_int(r.cfg.queue->npending, 1, "memory for one");
	is_int(ring_inflight(r.ring), 3, "three consumed");
	ring_stop(r.ring);
	for (i = 0; i < 6; i++) {
		fq_finish(r.cfg.queue, 0, 1);
		rig_turn(&r);
		while (fe_next(&r.fe, &rsp))
			got += rsp.status == FE_OKAY;
	}
	is_int(got, 3, "R-07: all three are answered");
	teardown(&r);
}

/* closing while the disk works waits for it, and answers nothing. */
static void
test_close(void)
{
	struct rig r;
	struct fe_req q = { .op = FE_READ, .nseg = 11 };
	uint8_t page[FE_PAGE];
	unsigned i;

	setup(&r, FQ_HOLD, 0);
	memset(page, 0xab, sizeof(page));
	memcpy(fe_page(&r.fe, 0), page, sizeof(page));
	for (i = 0; i < 20; i++)
		fe_put(&r.fe, &q);
	fe_push(&r.fe);
	rig_turn(&r);
	r.cfg.queue->mode = FQ_AUTO;
	r.cfg.queue->lazy = 2;
	ring_close(r.ring);
	is_int(r.cfg.queue->npending, 0,
	       "R-48: the disk is done with our memory before it is freed");
	ok(*fe_word(&r.fe, FE_RSP_PROD) == 0 &&
	   !memcmp(fe_page(&r.fe, 0), page, sizeof(page)),
	   "nothing is said to a guest that is gone");
	loop_close(r.loop);
	fe_close(&r.fe);
	vd_queue_close(r.cfg.queue);
	fq_disk_free(r.cfg.disk);
}

int
main(void)
{
	test_budget(true);
	test_budget(false);
	test_storm();
	test_bad();
	test_log();
	test_resize();
	test_stop();
	test_stop_waiting();
	test_close();
	return done_testing();
}
