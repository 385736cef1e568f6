/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * order.c - pieces of work on all processors, and their results in order.
 *
 * Every thread does what is most urgent: hand on the oldest piece if it is
 * done, else begin the next one if there is a slot for it, else wait.  So a
 * piece is never further ahead of the oldest than there are slots: memory is
 * bounded, and what comes out is the same with one thread and with sixteen.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "internal.h"

#define THREADS_MAX	16u

enum state { FREE, BUSY, DONE };

struct order {
	const struct vd_lanes *l;
	pthread_mutex_t	lock;
	pthread_cond_t	change;
	uint64_t	head, tail;	/* oldest piece, next piece */
	bool		taking, giving;
	bool		ended;		/* nothing more to take */
	int		result;		/* the first failure */
	struct vd_err	err;
	uint8_t	       *state;		/* of each slot */
};

unsigned
vd_lanes_threads(unsigned wanted)
{
	cpu_set_t set;
	int n = wanted ? (int)wanted : 1;

	if (!wanted && !sched_getaffinity(0, sizeof(set), &set))
		n = CPU_COUNT(&set);
	if (n < 1)
		return 1;
	return n < (int)THREADS_MAX ? (unsigned)n : THREADS_MAX;
}

/* Everything below is called with the lock, which the callbacks do not see. */

static void
failed(struct order *o, int ret, const struct vd_err *e)
{
	if (!o->result) {
		o->result = ret;
		o->err = *e;
	}
}

static void
call(struct order *o, int (*fn)(void *, unsigned, struct vd_err *),
     unsigned slot, int *ret)
{
	struct vd_err e = { 0 };

	pthread_mutex_unlock(&o->lock);
	*ret = fn(o->l->ctx, slot, &e);
	pthread_mutex_lock(&o->lock);
	if (*ret < 0)
		failed(o, *ret, &e);
}

static void
give(struct order *o)
{
	unsigned slot = (unsigned)(o->head % o->l->slots);
	int ret;

	o->giving = true;
	call(o, o->l->give, slot, &ret);
	o->giving = false;
	o->state[slot] = FREE;
	o->head++;
	pthread_cond_broadcast(&o->change);
}

static void
begin(struct order *o)
{
	unsigned slot = (unsigned)(o->tail % o->l->slots);
	int ret;

	o->taking = true;
	call(o, o->l->take, slot, &ret);
	o->taking = false;
	if (ret == 0)
		o->ended = true;
	if (ret > 0) {
		o->state[slot] = BUSY;
		o->tail++;
	}
	pthread_cond_broadcast(&o->change);
	if (ret <= 0)
		return;
	call(o, o->l->work, slot, &ret);
	o->state[slot] = DONE;
	if (slot == o->head % o->l->slots)
		pthread_cond_broadcast(&o->change);
}

static void *
lane(void *arg)
{
	struct order *o = arg;

	pthread_mutex_lock(&o->lock);
	while (!o->result && !(o->ended && o->head == o->tail)) {
		if (!o->giving && o->head < o->tail &&
		    o->state[o->head % o->l->slots] == DONE)
			give(o);
		else if (!o->taking && !o->ended &&
			 o->tail - o->head < o->l->slots)
			begin(o);
		else
			pthread_cond_wait(&o->change, &o->lock);
	}
	pthread_cond_broadcast(&o->change);
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

/* Signals are for the thread that called us: it knows what to do. */
static unsigned
start(struct order *o, pthread_t *t, unsigned n)
{
	sigset_t all, old;
	unsigned i;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (i = 0; i < n; i++)
		if (pthread_create(&t[i], NULL, lane, o))
			break;		/* fewer will do */
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return i;
}

int
vd_in_order(const struct vd_lanes *l, struct vd_err *err)
{
	unsigned n = vd_lanes_threads(l->threads) - 1;
	struct order o = {
		.l = l,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.change = PTHREAD_COND_INITIALIZER,
	};
	pthread_t t[THREADS_MAX];

	if (!l->slots)
		return vd_fail(err, EINVAL, VD_NOWHERE, "no slots");
	o.state = calloc(l->slots, 1);
	if (!o.state)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	n = start(&o, t, n);
	lane(&o);
	for (unsigned i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	free(o.state);
	pthread_cond_destroy(&o.change);
	pthread_mutex_destroy(&o.lock);
	if (o.result && err && !err->code)
		*err = o.err;
	return o.result;
}

/* Words at a time, in a loop that compilers turn into vectors. */
bool
vd_is_zero(const void *buf, size_t len)
{
	const unsigned char *p = buf;
	uint64_t w[16], any = 0;

	for (; len >= sizeof(w); p += sizeof(w), len -= sizeof(w)) {
		memcpy(w, p, sizeof(w));
		for (int i = 0; i < 16; i++)
			any |= w[i];
		if (any)
			return false;
	}
	while (len--)
		any |= *p++;
	return !any;
}
