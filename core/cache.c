/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cache.c - what can be read again, kept under one budget for a disk.
 *
 * Table pages of all its images and pages of the chain's index stand in one
 * clock; what nobody used since the hand came by goes first.  Whoever keeps
 * pages says which of them may go (drop): changed ones wait for a sync.
 *
 * Looking a page up takes no lock.  A reader counts itself in one of a few
 * counters, follows a pointer, and counts itself out; a page that was taken
 * away is freed when every counter was seen at zero since.  Counters come in
 * two sets that take turns, so that readers who come later are not waited for.
 */
#include <sched.h>
#include <stdlib.h>
#include "internal.h"

#define COUNTERS	16u
#define BATCH		64u	/* pages dropped for one wait */

struct counter {
	_Alignas(64) atomic_uint n[2];
};

struct vd_cache {
	struct counter	readers[COUNTERS];
	atomic_uint	turn;
	pthread_mutex_t	wait_lock;
	pthread_mutex_t	lock;		/* all below; taken before a keeper's */
	struct vd_kept **clock;
	size_t		n, cap, hand;
	size_t		used, limit;	/* bytes */
};

struct vd_cache *
vd_cache_new(size_t limit)
{
	struct vd_cache *c = aligned_alloc(64, sizeof(*c));

	if (!c)
		return NULL;
	memset(c, 0, sizeof(*c));
	c->limit = limit ? limit : VD_CACHE_DEFAULT;
	pthread_mutex_init(&c->wait_lock, NULL);
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void
vd_cache_free(struct vd_cache *c)
{
	if (!c)
		return;
	pthread_mutex_destroy(&c->wait_lock);
	pthread_mutex_destroy(&c->lock);
	free(c->clock);
	free(c);
}

size_t
vd_cache_limit(struct vd_cache *c)
{
	return c->limit;
}

size_t
vd_cache_used(struct vd_cache *c)
{
	size_t used;

	pthread_mutex_lock(&c->lock);
	used = c->used;
	pthread_mutex_unlock(&c->lock);
	return used;
}

/* Threads share counters when there are many; that costs time, no more. */
static unsigned
my_counter(void)
{
	static atomic_uint threads;
	static _Thread_local unsigned mine;	/* 1 + which */

	if (!mine)
		mine = 1 + atomic_fetch_add(&threads, 1) % COUNTERS;
	return mine - 1;
}

unsigned
vd_read_begin(struct vd_cache *c)
{
	unsigned i = my_counter();
	unsigned set = atomic_load_explicit(&c->turn, memory_order_relaxed) & 1;

	/*
	 * Sequentially consistent, like the store that takes a page away: who
	 * is not counted yet when wait_readers() looks will not find it.
	 */
	atomic_fetch_add(&c->readers[i].n[set], 1);
	return 2 * i + set;
}

void
vd_read_end(struct vd_cache *c, unsigned token)
{
	atomic_fetch_sub_explicit(&c->readers[token / 2].n[token & 1], 1,
				  memory_order_release);
}

static void
wait_readers(struct vd_cache *c)
{
	pthread_mutex_lock(&c->wait_lock);
	for (int round = 0; round < 2; round++) {
		unsigned set = atomic_fetch_add(&c->turn, 1) & 1;

		for (unsigned i = 0; i < COUNTERS; i++)
			while (atomic_load(&c->readers[i].n[set]))
				sched_yield();
	}
	pthread_mutex_unlock(&c->wait_lock);
}

static void
forget(struct vd_cache *c, size_t at)
{
	c->used -= c->clock[at]->bytes;
	c->clock[at] = c->clock[--c->n];
}

/* Under the lock: take away up to BATCH pages; how many. */
static size_t
drop_some(struct vd_cache *c, struct vd_kept **out)
{
	/* A little more than asked, so that not every page waits for readers. */
	size_t goal = c->limit - c->limit / 64, got = 0;

	for (size_t tries = 2 * c->n; tries && got < BATCH && c->n &&
	     c->used > goal; tries--) {
		struct vd_kept *k;

		if (c->hand >= c->n)
			c->hand = 0;
		k = c->clock[c->hand];
		if (atomic_exchange_explicit(&k->touched, false,
					     memory_order_relaxed) ||
		    !k->keeper->drop(k->keeper, k)) {
			c->hand++;
			continue;
		}
		forget(c, c->hand);
		out[got++] = k;
	}
	return got;
}

static bool
enlist(struct vd_cache *c, struct vd_kept *k)
{
	if (c->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 64;
		struct vd_kept **more = realloc(c->clock, cap * sizeof(*more));

		if (!more)
			return false;
		c->clock = more;
		c->cap = cap;
	}
	c->clock[c->n++] = k;
	c->used += k->bytes;
	return true;
}

void
vd_cache_add(struct vd_cache *c, struct vd_kept *k)
{
	struct vd_kept *gone[BATCH];
	size_t n = 0;

	if (!k)
		return;
	pthread_mutex_lock(&c->lock);
	/* No memory to remember it by: then one that was there has to go. */
	while (!enlist(c, k) && !n)
		n = drop_some(c, gone);
	if (c->used > c->limit && !n)
		n = drop_some(c, gone);
	pthread_mutex_unlock(&c->lock);
	if (!n)
		return;
	wait_readers(c);
	while (n)
		free(gone[--n]);
}

void
vd_cache_forget(struct vd_cache *c, struct vd_keeper *keeper)
{
	pthread_mutex_lock(&c->lock);
	for (size_t i = c->n; i-- > 0; )
		if (c->clock[i]->keeper == keeper)
			forget(c, i);
	pthread_mutex_unlock(&c->lock);
}
