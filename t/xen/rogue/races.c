/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* races.c - memory that changes while the backend reads it, and its indices. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "rogue.h"

#define STUCK_MS	3000u

static volatile bool stop;

static void
race(void *(*fn)(void *), pthread_t *t)
{
	stop = false;
	f.racing = true;
	pthread_create(t, NULL, fn, NULL);
}

static void
race_over(pthread_t t)
{
	stop = true;
	pthread_join(t, NULL);
	f.racing = false;
}

/* the count and a reference of every slot, in turn good and bad. */
static void *
twist_slots(void *unused)
{
	volatile uint8_t *p;
	uint32_t i;

	while (!stop)
		for (i = 0; i < f.entries && !stop; i++) {
			p = slot(i);
			p[1] = p[1] == 1 ? 255 : 1;
			p[24] ^= 0x80;
		}
	return unused;
}

/* a segment that ends far behind its page, now and then. */
static void *
twist_list(void *unused)
{
	while (!stop) {
		list()[1].last_sect = list()[1].last_sect == 7 ? 255 : 7;
		list()[2].first_sect ^= 0x80;
		list()[3].gref ^= 0x40000000;
	}
	return unused;
}

/* what only the backend may write. */
static void *
twist_indices(void *unused)
{
	uint32_t x = 1;

	while (!stop) {
		x = x * 1664525u + 1013904223u;
		__atomic_store_n(&header()->rsp_prod, x, __ATOMIC_SEQ_CST);
		__atomic_store_n(&header()->req_event, x >> 3, __ATOMIC_SEQ_CST);
	}
	return unused;
}

/* the data of a write, under way. */
static void *
twist_data(void *unused)
{
	uint32_t x = 1;

	while (!stop) {
		x = x * 1664525u + 1013904223u;
		memcpy(f.data + (x >> 16) % (11 * PAGE - 4), &x, 4);
	}
	return unused;
}

static bool
answered(unsigned n)
{
	struct answer a[32];
	unsigned got = 0, some;

	while (got < n) {
		some = take(a, n - got < 32 ? n - got : 32, 30000);
		if (!some)
			return false;
		got += some;
	}
	return true;
}

/* Bursts of the same request, while somebody works against it. */
static void
bursts(const struct req *q, void *(*fn)(void *), const char *what)
{
	unsigned i, n;
	bool all = true;
	pthread_t t;

	memset(f.data + 40 * PAGE, 0xc3, 8 * PAGE);
	for (i = 0; i < rounds && all; i++) {
		race(fn, &t);
		for (n = 0; n < 16; n++)
			put(q);
		push();
		all = answered(16);
		race_over(t);
	}
	for (n = 40 * PAGE; n < 48 * PAGE; n++)
		all &= f.data[n] == 0xc3;
	ok(all && even() && alive(), "%s: %u requests", what, i * 16);
}

/*
 * What the answers' index was meanwhile nobody knows but the backend; one more
 * request in peace, and it has to say.
 */
static bool
says_how_many(void)
{
	struct req q = rw(BLKIF_OP_READ, AREA, 1);
	unsigned n;

	put(&q);
	push();
	for (n = 0; n < 4000; n++) {
		if (header()->rsp_prod == f.req_prod)
			break;
		ring_bell();
		nap_ms(5);
	}
	f.rsp_cons = f.req_prod;
	header()->rsp_event = f.rsp_cons + 1;
	return header()->rsp_prod == f.req_prod;
}

static void
indices(void)
{
	struct req q = rw(BLKIF_OP_READ, AREA, 1);
	bool right = true;
	unsigned i, n;
	pthread_t t;

	for (i = 0; i < rounds && right; i++) {
		race(twist_indices, &t);
		for (n = 0; n < 8; n++)
			put(&q);
		push();
		nap_ms(10);
		race_over(t);
		right = says_how_many();
	}
	ok(right && alive(),
	   "R-06: rsp_prod and req_event rewritten while %u requests run", i * 8);
}

void
try_races(void)
{
	struct keys k = { 0 };
	struct req q;

	ok(front_connect(&k) == 4, "races: connected");
	if (!f.up)
		return;
	q = rw(BLKIF_OP_READ, AREA, 1);
	bursts(&q, twist_slots, "R-01: slots that change while they are read");
	q = indirect(BLKIF_OP_READ, AREA, 8);
	bursts(&q, twist_list, "R-02: segment lists that change");
	q = indirect(BLKIF_OP_WRITE, AREA, 8);
	bursts(&q, twist_list, "R-02: the same, written");
	q = rw(BLKIF_OP_WRITE, AREA, 11);
	bursts(&q, twist_data, "R-25: data that changes while it is written");
	indices();
	front_reset();
}

/* a ring whose producer makes no sense is dead, and only that ring. */
static void
broken(uint32_t ahead, const char *what)
{
	struct keys k = { 0 };
	struct req q = rw(BLKIF_OP_READ, AREA, 1);
	struct answer a[2];
	uint32_t was;

	if (!f.up && !front_again(&k)) {
		ok(false, "R-04: connected");
		return;
	}
	was = f.req_prod;
	put(&q);
	f.req_prod = was + ahead;
	push();
	ok(take(a, 2, 1500) == 0 && back_state() != 0,
	   "R-04: req_prod %s: no answers out of nothing", what);
	f.up = false;
	ok(front_again(&k) && alive(), "R-04: and a new ring works");
}

void
try_index(void)
{
	struct keys k = { 0 };

	front_connect(&k);
	broken(33, "one more than fit");
	broken(0x80000000u, "2^31 ahead");
	alive();
	broken((uint32_t)-1, "behind");
	broken((uint32_t)-33, "far behind");
	front_reset();
}

/*
 * Hundredths of a second that this domain has worked in; it idles, but for
 * whoever goes round in circles.
 */
static unsigned
worked(void)
{
	unsigned v[7] = { 0 };
	FILE *stat = fopen("/proc/stat", "r");

	if (!stat || fscanf(stat, "cpu %u %u %u %u %u %u %u", &v[0], &v[1],
			    &v[2], &v[3], &v[4], &v[5], &v[6]) != 7)
		ok(false, "/proc/stat can be read");
	if (stat)
		fclose(stat);
	return v[0] + v[1] + v[2] + v[5] + v[6];
}

/* Half of what a loop is seen to take is generous, on a slow host as well. */
static void
idles(const char *what, unsigned loop)
{
	unsigned before = worked(), after;

	nap_ms(STUCK_MS);
	after = worked();
	ok(2 * (after - before) < 3 * loop, "R-04: %s: %u ms of %u were work, "
	   "a loop takes %u", what, (after - before) * 10, STUCK_MS,
	   3 * loop * 10);
}

/* What a loop of a third of that time takes: who cannot see it finds none. */
static unsigned
a_loop(void)
{
	unsigned before = worked(), after;
	uint64_t end = now_ms() + STUCK_MS / 3;

	while (now_ms() < end)
		;
	after = worked();
	ok(after - before > 3, "R-04: a loop is seen");
	return after - before;
}

/* Nobody else works in this domain meanwhile; the scenario sees to that. */
void
try_stuck(void)
{
	struct keys k = { 0 };
	struct req q = rw(BLKIF_OP_READ, AREA, 1);
	unsigned i, loop;

	ok(front_connect(&k) == 4, "stuck: connected");
	if (!f.up)
		return;
	loop = a_loop();
	idles("a ring at rest", loop);
	header()->rsp_prod = 0x55555555;
	header()->req_event = header()->rsp_event = 0xaaaaaaaa;
	ring_bell();
	idles("garbage where answers are counted", loop);
	put(&q);
	f.req_prod += 0x40000000;
	push();
	for (i = 0; i < 100; i++)
		ring_bell();
	idles("a ring that promises too much, and bells", loop);
	front_reset();
}

/* one request at a time, and only the event tells of the answer. */
static void
ping_pong(void)
{
	struct req q = rw(BLKIF_OP_READ, AREA, 1);
	unsigned i, lost = 0;

	for (i = 0; i < rounds * 10 && lost < 3; i++) {
		header()->rsp_event = f.rsp_cons + 1;
		put(&q);
		push();
		while (header()->rsp_prod == f.rsp_cons && lost < 3)
			lost += !bell_rang(10000);
		f.rsp_cons++;
	}
	ok(!lost && even(), "R-36: %u wake-ups, none lost", i);
}

void
try_events(void)
{
	struct keys k = { 0 };
	uint64_t began;
	unsigned i;

	ok(front_connect(&k) == 4, "events: connected");
	if (!f.up)
		return;
	ping_pong();
	began = now_ms();
	for (i = 0; i < rounds * 500; i++)
		ring_bell();
	ok(alive(), "R-34, R-35: %u events for nothing in %u ms", i,
	   (unsigned)(now_ms() - began));
	front_reset();
}
