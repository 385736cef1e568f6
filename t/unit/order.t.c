/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* order.t.c - pieces on many threads come out in order, bounded, or not at all. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <tap.h>
#include <unistd.h>
#include <vdisk/vdisk.h>

#define SLOTS	5u
#define PIECES	20000u

struct test {
	unsigned	taken;
	atomic_uint	given;
	unsigned	piece[SLOTS];
	unsigned	fail_take, fail_work, fail_give;	/* which piece */
	atomic_int	in_take, in_give, working, most;
	atomic_int	wrong;
	pthread_t	caller;
	atomic_int	elsewhere;	/* a signal came to another thread */
};

static int
take(void *ctx, unsigned slot, struct vd_err *err)
{
	struct test *t = ctx;

	if (atomic_fetch_add(&t->in_take, 1) || slot != t->taken % SLOTS ||
	    t->taken - t->given > SLOTS)
		t->wrong++;
	t->piece[slot] = t->taken++;
	atomic_fetch_sub(&t->in_take, 1);
	if (t->piece[slot] == t->fail_take)
		return vd_fail(err, EIO, VD_NOWHERE, "take");
	return t->piece[slot] < PIECES;
}

static int
work(void *ctx, unsigned slot, struct vd_err *err)
{
	struct test *t = ctx;
	int now = atomic_fetch_add(&t->working, 1) + 1;
	sigset_t blocked;

	if (now > t->most)
		t->most = now;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	if (!pthread_equal(t->caller, pthread_self()) &&
	    !sigismember(&blocked, SIGINT))
		t->elsewhere++;
	if (t->piece[slot] % 1000 == 7)
		usleep(100);
	atomic_fetch_sub(&t->working, 1);
	if (t->piece[slot] == t->fail_work)
		return vd_fail(err, EIO, VD_NOWHERE, "work");
	return 0;
}

static int
give(void *ctx, unsigned slot, struct vd_err *err)
{
	struct test *t = ctx;

	if (atomic_fetch_add(&t->in_give, 1) || t->piece[slot] != t->given)
		t->wrong++;
	t->given++;
	atomic_fetch_sub(&t->in_give, 1);
	if (t->given - 1 == t->fail_give)
		return vd_fail(err, EIO, VD_NOWHERE, "give");
	return 0;
}

static int
order(struct test *t, unsigned threads, struct vd_err *err)
{
	struct vd_lanes l = {
		.size = sizeof(l), .threads = threads, .slots = SLOTS,
		.ctx = t, .take = take, .work = work, .give = give,
	};

	t->caller = pthread_self();
	return vd_in_order(&l, err);
}

#define NEVER	.fail_take = UINT32_MAX, .fail_work = UINT32_MAX, \
		.fail_give = UINT32_MAX

static void
whole(unsigned threads)
{
	struct test t = { NEVER };
	struct vd_err err = { 0 };

	is_int(order(&t, threads, &err), 0, "%u threads: done", threads);
	is_int(t.given, PIECES, "%u threads: all given", threads);
	is_int(t.wrong, 0, "%u threads: in order, one at a time", threads);
	ok(t.most <= (int)threads, "%u threads: not more", threads);
	is_int(t.elsewhere, 0, "%u threads: signals are the caller's", threads);
}

static void
fails(unsigned threads)
{
	struct test t[3] = { { NEVER }, { NEVER }, { NEVER } };
	static const char *const who[] = { "take", "work", "give" };

	t[0].fail_take = t[1].fail_work = t[2].fail_give = 777;
	for (int i = 0; i < 3; i++) {
		struct vd_err err = { 0 };

		is_int(order(&t[i], threads, &err), -EIO,
		       "%u threads: a %s that fails, fails", threads, who[i]);
		ok(!strcmp(err.msg, who[i]), "%u threads: by its words",
		   threads);
		ok(t[i].given <= 778, "%u threads: nothing goes past it",
		   threads);
	}
}

static void
zeros(void)
{
	uint8_t *b = calloc(1, 5000);
	unsigned bad = 0;

	for (size_t len = 0; len < 700; len++)
		bad += !vd_is_zero(b + len % 9, len);
	is_int(bad, 0, "zeros of any length, anywhere");
	for (size_t at = 0; at < 700; at++) {
		b[at] = 0x80;
		bad += vd_is_zero(b, 700) || !vd_is_zero(b, at) ||
		       !vd_is_zero(b + at + 1, 4000) || vd_is_zero(b + at, 1);
		b[at] = 0;
	}
	is_int(bad, 0, "one bit anywhere is seen, none beside it");
	free(b);
}

int
main(void)
{
	struct vd_lanes none = { .size = sizeof(none) };

	for (unsigned n = 1; n <= 8; n *= 2)
		whole(n);
	fails(1);
	fails(4);
	is_int(vd_in_order(&none, NULL), -EINVAL, "no slots");
	ok(vd_lanes_threads(0) >= 1 && vd_lanes_threads(0) <= 16 &&
	   vd_lanes_threads(3) == 3 && vd_lanes_threads(999) == 16,
	   "threads are bounded");
	zeros();
	return done_testing();
}
