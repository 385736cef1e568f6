/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring-flush.t.c - flush and barrier: order, durability, and what a guest is
 * told when the disk cannot keep the promise (B1..B4 of core/ring/flush.c).
 */
/* objects: t/lib/clock.o t/lib/rig.o t/lib/frontend.o t/lib/fakequeue.o core/ring/libvdring.a */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <tap.h>
#include <unistd.h>

#include "core/ring/inflight.h"
#include "fakequeue.h"
#include "rig.h"

static int flush_result;	/* of flushes to come */
static unsigned flush_skip;	/* .. after so many good ones */
static int write_result;

static int
fault(void *ctx, const struct vd_req *q)
{
	(void)ctx;
	if (q->op == VD_OP_WRITE)
		return write_result;
	if (q->op != VD_OP_FLUSH || !flush_result)
		return 0;
	if (flush_skip) {
		flush_skip--;
		return 0;
	}
	return flush_result;
}

static struct inflight *log_of;		/* of rigs to come */
static const struct inflight_key *key_of;

static void
setup(struct rig *r, enum fq_mode mode)
{
	unsigned i;

	memset(r, 0, sizeof(*r));
	r->cfg.inflight = log_of;
	r->cfg.key = key_of;
	r->cfg.disk = fq_disk(1 << 20);
	r->cfg.queue = fq_open(r->cfg.disk, mode);
	r->cfg.queue->fault = fault;
	r->cfg.discard = true;
	flush_result = write_result = 0;
	flush_skip = 0;
	if (rig_open(r) < 0)
		ok(false, "rig opens");
	for (i = 0; i < 32; i++)
		memset(fe_page(&r->fe, i), (int)i + 1, FE_PAGE);
}

static void
setup_logged(struct rig *r, struct inflight *l, const struct inflight_key *key)
{
	log_of = l;
	key_of = key;
	setup(r, FQ_AUTO);
	log_of = NULL;
	key_of = NULL;
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

/* Post a request on sector n (with page n) and let the ring see it. */
static void
post(struct rig *r, uint8_t op, unsigned n, unsigned nseg)
{
	struct fe_req q = { .op = op, .id = n, .sector = n, .nseg = nseg,
		.nr_sectors = 1, .seg = { { n, 0, 0 } } };

	fe_put(&r->fe, &q);
	fe_push(&r->fe);
}

/* The disk calls so far, "WWFw": upper case submitted, lower case done. */
static const char *
story(struct rig *r)
{
	static char text[FQ_EVENTS + 1];
	static const char sub[] = " RWFDZ", done[] = " rwfdz";
	struct vd_queue *q = r->cfg.queue;
	unsigned i;

	for (i = 0; i < q->nevents; i++)
		text[i] = (q->events[i].what == FQ_SUBMIT ? sub : done)
			  [q->events[i].op];
	text[i] = '\0';
	return text;
}

static void
finish_one(struct rig *r, unsigned at)
{
	fq_finish(r->cfg.queue, at, 1);
	rig_turn(r);
}

static bool
durable(struct rig *r, unsigned sector, uint8_t byte)
{
	const uint8_t *p = r->cfg.disk->durable + 512 * sector;

	return p[0] == byte && p[511] == byte;
}

static void
test_barrier_order(void)
{
	struct rig r;
	struct fe_rsp rsp;

	setup(&r, FQ_HOLD);
	post(&r, FE_WRITE, 1, 1);
	post(&r, FE_WRITE, 2, 1);
	post(&r, FE_BARRIER, 3, 1);
	post(&r, FE_WRITE, 4, 1);
	post(&r, FE_READ, 5, 1);
	rig_turn(&r);
	is_str(story(&r), "WW", "a barrier waits for what is before it");
	is_int(r.state, RING_IDLE, "without spinning");
	finish_one(&r, 1);
	is_str(story(&r), "WWw", "all of it");
	finish_one(&r, 0);
	is_str(story(&r), "WWwwF", "then it flushes");
	finish_one(&r, 0);
	is_str(story(&r), "WWwwFfW", "then it writes");
	ok(durable(&r, 1, 2) && durable(&r, 2, 3),
	   "when what was before it is durable");
	finish_one(&r, 0);
	is_str(story(&r), "WWwwFfWwF", "then it flushes again");
	while (fe_next(&r.fe, &rsp))
		ok(rsp.id < 3, "write %u is answered, the barrier is not",
		   (unsigned)rsp.id);
	finish_one(&r, 0);
	ok(fe_next(&r.fe, &rsp) && rsp.id == 3 && rsp.op == FE_BARRIER &&
	   rsp.status == FE_OKAY, "barrier is answered");
	ok(durable(&r, 3, 4), "and durable");
	if (r.state == RING_MORE)
		rig_turn(&r);
	is_str(story(&r), "WWwwFfWwFfWR", "only then what is behind it starts");
	teardown(&r);
}

static void
test_barrier_empty(void)
{
	struct rig r;

	setup(&r, FQ_HOLD);
	post(&r, FE_WRITE, 1, 1);
	post(&r, FE_BARRIER, 3, 0);
	post(&r, FE_WRITE, 4, 1);
	rig_turn(&r);
	finish_one(&r, 0);
	finish_one(&r, 0);
	rig_turn(&r);
	is_str(story(&r), "WwFfW", "an empty barrier drains and flushes");
	ok(durable(&r, 1, 2), "what is before it is durable");
	teardown(&r);
}

/* Two barriers in a row, and one behind a request that is refused. */
static void
test_barriers(void)
{
	struct rig r;

	setup(&r, FQ_AUTO);
	post(&r, FE_BARRIER, 1, 1);
	post(&r, FE_BARRIER, 2, 1);
	post(&r, FE_READ, 1, 12);
	post(&r, FE_BARRIER, 3, 0);
	post(&r, FE_BARRIER, 9, 12);	/* refused: does not gate */
	post(&r, FE_WRITE, 4, 1);
	is_int(rig_collect(&r, NULL, 6), 6, "six answers");
	is_str(story(&r), "FfWwFfFfWwFfFfWw", "barriers one by one");
	teardown(&r);
}

/* B1: flushes of one turn share one; it starts after all were fetched. */
static void
test_coalesce(void)
{
	struct rig r;
	struct fe_rsp rsp[4];
	unsigned i;

	setup(&r, FQ_HOLD);
	post(&r, FE_WRITE, 1, 1);
	rig_turn(&r);
	finish_one(&r, 0);
	is_int(rig_collect(&r, rsp, 1), 1, "a write is acknowledged");
	for (i = 0; i < 3; i++)
		post(&r, FE_FLUSH, 10 + i, 0);
	rig_turn(&r);
	post(&r, FE_FLUSH, 13, 0);
	rig_turn(&r);
	is_str(story(&r), "WwFF", "three flushes in one, the late one apart");
	finish_one(&r, 0);
	ok(durable(&r, 1, 2), "the write is durable");
	is_int(rig_collect(&r, rsp, 3), 3, "all three are answered");
	ok(rsp[0].id + rsp[1].id + rsp[2].id == 33 && rsp[0].op == FE_FLUSH,
	   "each by its own id");
	finish_one(&r, 0);
	ok(rig_collect(&r, rsp, 1) == 1 && rsp[0].id == 13, "and the late one");
	teardown(&r);
}

/* B3: nothing lost: later, not "failed". */
static void
test_retry(int error)
{
	struct rig r;
	struct fe_rsp rsp[3];
	unsigned ms, i;

	setup(&r, FQ_AUTO);
	flush_result = error;
	post(&r, FE_FLUSH, 1, 0);
	post(&r, FE_FLUSH, 2, 0);
	rig_turn(&r);
	is_int(rig_turn(&r), RING_IDLE, "a flush failed (%d), but not for ever",
	       error);
	ms = ring_delay_ms(r.ring);
	is_int(ms, 100, "next try in 100 ms");
	ok(!fe_next(&r.fe, rsp), "no answer yet");
	post(&r, FE_READ, 3, 1);
	ok(rig_collect(&r, rsp, 1) == 1 && rsp[0].id == 3,
	   "others go on meanwhile");
	poll(NULL, 0, (int)ms + 1);
	rig_turn(&r);
	rig_turn(&r);
	ms = ring_delay_ms(r.ring);
	is_int(ms, 200, "then in 200 ms");
	flush_result = 0;
	post(&r, FE_BARRIER, 4, 1);
	rig_turn(&r);
	ok(!fe_next(&r.fe, rsp), "a barrier waits for it, too");
	poll(NULL, 0, (int)ms + 1);
	is_int(rig_collect(&r, rsp, 3), 3, "it works again");
	for (i = 0; i < 3; i++)
		ok(rsp[i].status == FE_OKAY, "%u ok", (unsigned)rsp[i].id);
	is_int(rsp[2].id, 4, "barrier last");
	is_int(ring_delay_ms(r.ring), 0, "nothing left to try");
	teardown(&r);
}

/* B3: writes were lost. */
static void
test_lost(void)
{
	struct rig r;
	struct fe_rsp rsp[4];
	struct ring_stats st;

	setup(&r, FQ_AUTO);
	flush_result = -EIO;
	post(&r, FE_FLUSH, 1, 0);
	rig_turn(&r);
	rig_turn(&r);
	flush_result = 0;
	poll(NULL, 0, 110);
	rig_turn(&r);
	rig_turn(&r);
	ok(!fe_next(&r.fe, rsp), "a flush that lost data is not answered");
	is_str(story(&r), "Ff", "nor tried again, which would look like success");

	post(&r, FE_WRITE, 2, 1);
	post(&r, FE_DISCARD, 3, 0);
	post(&r, FE_BARRIER, 4, 1);
	is_int(rig_collect(&r, rsp, 3), 3, "changes are answered");
	ok(rsp[0].status == FE_ERROR && rsp[1].status == FE_ERROR &&
	   rsp[2].status == FE_ERROR, "with an error");
	post(&r, FE_READ, 5, 1);
	ok(rig_collect(&r, rsp, 1) == 1 && rsp[0].status == FE_OKAY,
	   "reads go on");
	post(&r, FE_FLUSH, 6, 0);
	post(&r, FE_BARRIER, 7, 0);
	post(&r, FE_READ, 8, 1);
	ok(rig_collect(&r, rsp, 1) == 1 && rsp[0].id == 8,
	   "later flushes wait with the first, and gate nothing");
	is_int(ring_inflight(r.ring), 3, "three unanswered");
	ring_stats(r.ring, &st);
	ok(st.errors == 1 && st.bad_req == 0, "one error of the disk");

	ring_stop(r.ring);
	is_int(rig_collect(&r, rsp, 3), 3, "R-07: at the end they are answered");
	ok(rsp[0].status == FE_ERROR && rsp[1].status == FE_ERROR &&
	   rsp[2].status == FE_ERROR, "with an error");
	is_int(ring_inflight(r.ring), 0, "nothing in flight");
	teardown(&r);
}

/* A success beside the failure may be the second report of the same loss. */
static void
test_lost_beside(void)
{
	struct rig r;
	struct fe_rsp rsp;

	setup(&r, FQ_HOLD);
	post(&r, FE_FLUSH, 1, 0);
	rig_turn(&r);
	post(&r, FE_FLUSH, 2, 0);
	rig_turn(&r);
	flush_result = -EIO;
	finish_one(&r, 0);
	flush_result = 0;
	finish_one(&r, 0);
	ok(!fe_next(&r.fe, &rsp), "a flush that ran beside the failed one waits");
	teardown(&r);
}

static void
test_barrier_fails(void)
{
	struct rig r;
	struct fe_rsp rsp;
	unsigned step;

	for (step = 0; step < 2; step++) {
		setup(&r, FQ_AUTO);
		flush_result = -EIO;
		flush_skip = step;
		post(&r, FE_BARRIER, 1, 1);
		ok(rig_collect(&r, &rsp, 1) == 1 && rsp.status == FE_ERROR,
		   "a barrier with data fails at its flush %u", step);
		is_str(story(&r), step ? "FfWwFf" : "Ff", "and stops there");
		post(&r, FE_WRITE, 2, 1);
		ok(rig_collect(&r, &rsp, 1) == 1 && rsp.status == FE_ERROR,
		   "writes are over");
		teardown(&r);
	}
	setup(&r, FQ_AUTO);
	write_result = -ENOSPC;
	post(&r, FE_BARRIER, 1, 1);
	ok(rig_collect(&r, &rsp, 1) == 1 && rsp.status == FE_ERROR,
	   "no room for its data");
	write_result = 0;
	post(&r, FE_BARRIER, 2, 1);
	ok(rig_collect(&r, &rsp, 1) == 1 && rsp.status == FE_OKAY,
	   "and then there is");
	teardown(&r);
}

static void
test_stop_while_retrying(void)
{
	struct rig r;
	struct fe_rsp rsp;

	setup(&r, FQ_AUTO);
	flush_result = -EAGAIN;
	post(&r, FE_FLUSH, 1, 0);
	rig_turn(&r);
	rig_turn(&r);
	ring_stop(r.ring);
	ok(rig_collect(&r, &rsp, 1) == 1 && rsp.status == FE_ERROR,
	   "a stopped ring tries once more, and answers");
	is_str(story(&r), "FfFf", "at once");
	teardown(&r);
}

/* B4: with a ring in the log, and without one as behind the driver. */
static void
test_lost_stays(const struct inflight_key *key)
{
	struct vd_err err = { 0 };
	struct inflight *l;
	struct fe_rsp rsp;
	struct rig r;
	unsigned i;

	if (inflight_open(7, 51728, &l, &err))
		ok(false, "a log: %s", err.msg);
	for (i = 0; i < 3; i++) {
		setup_logged(&r, l, key);
		flush_result = i ? 0 : -EIO;
		if (!i) {
			post(&r, FE_FLUSH, 1, 0);
			rig_turn(&r);
			rig_turn(&r);
		}
		post(&r, FE_WRITE, 2, 1);
		ok(rig_collect(&r, &rsp, 1) == 1 && rsp.status == FE_ERROR,
		   "%s a key, ring %u: a write fails",
		   key ? "with" : "without", i);
		post(&r, FE_FLUSH, 3, 0);
		rig_turn(&r);
		ok(!fe_next(&r.fe, &rsp), "and a flush has no answer");
		ring_stop(r.ring);
		rig_turn(&r);
		inflight_end(l);
		teardown(&r);
	}
	inflight_forget(l);
	setup_logged(&r, l, key);
	post(&r, FE_WRITE, 2, 1);
	ok(rig_collect(&r, &rsp, 1) == 1 && rsp.status == FE_OKAY,
	   "a disk that is attached anew takes it");
	teardown(&r);
	inflight_forget(l);
	inflight_close(l);
}

/* Nothing was lost: there is nothing to remember. */
static void
test_nothing_lost_stays(void)
{
	struct vd_err err = { 0 };
	struct inflight *l;
	struct fe_rsp rsp;
	struct rig r;

	if (inflight_open(7, 51728, &l, &err))
		ok(false, "a log: %s", err.msg);
	setup_logged(&r, l, NULL);
	flush_result = -ENOMEM;
	post(&r, FE_FLUSH, 1, 0);
	rig_turn(&r);
	ring_stop(r.ring);
	ok(rig_collect(&r, &rsp, 1) == 1 && rsp.status == FE_ERROR,
	   "no memory for a last flush");
	ok(!inflight_lost(l), "is no loss");
	teardown(&r);
	inflight_close(l);
}

int
main(void)
{
	static const struct inflight_key key = { .abi = 1, .pages = 1 };
	char dir[] = "/tmp/ring-flush.XXXXXX";

	if (!mkdtemp(dir))
		return 1;
	setenv("VDISK_RUN_DIR", dir, 1);
	test_lost_stays(NULL);
	test_lost_stays(&key);
	test_nothing_lost_stays();
	ok(!rmdir(dir), "no log is left");
	test_barrier_order();
	test_barrier_empty();
	test_barriers();
	test_coalesce();
	test_retry(-EAGAIN);
	test_retry(-ENOMEM);
	test_lost();
	test_lost_beside();
	test_barrier_fails();
	test_stop_while_retrying();
	return done_testing();
}
