/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* nodes.c - keys and states that no frontend writes, and nodes that vanish. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include "rogue.h"

/* A frontend that comes after a bad one is none the worse for it. */
static void
then_a_good_one(const char *after)
{
	struct keys good = { 0 };

	ok(front_again(&good) && alive(), "%s: and then a good one works", after);
	front_reset();
}

/* It may be refused in any way but by serving a ring that was not named. */
static void
refused(const struct keys *k, const char *what)
{
	int state = front_connect(k);

	ok(state == 2 || state == 5 || state == 6,
	   "%s is refused (state %d)", what, state);
	if (!front_reset())
		ok(false, "%s: the backend starts over", what);
}

static void
either(const struct keys *k, const char *what)
{
	int state = front_connect(k);

	ok(state == 2 || state == 5 || state == 6 || (state == 4 && alive()),
	   "%s harms nobody (state %d)", what, state);
	then_a_good_one(what);
}

static void
bad_keys(void)
{
	static char format[1900];
	static const struct { const char *what; struct keys k; } t[] = {
		{ "R-31: order 5", { .page_order = "5" } },
		{ "R-31: order 31", { .page_order = "31" } },
		{ "R-31: order 4294967295", { .page_order = "4294967295" } },
		{ "R-42: order -1", { .page_order = "-1" } },
		{ "R-42: order 1x", { .page_order = "1x" } },
		{ "R-42: pages 3", { .pages = "3" } },
		{ "R-42: pages 4294967296", { .pages = "4294967296" } },
		{ "R-31: ring-ref missing", { .ring_ref = "-" } },
		{ "R-31: ring-ref that is no grant", { .ring_ref = "4294967295" } },
		{ "R-42: ring-ref 2^32", { .ring_ref = "4294967296" } },
		{ "R-42: ring-ref in hex", { .ring_ref = "0x8" } },
		{ "R-42: ring-ref empty", { .ring_ref = "" } },
		{ "R-41: event-channel 0", { .event_channel = "0" } },
		{ "R-41: event-channel -1", { .event_channel = "-1" } },
		{ "R-41: event-channel 4294967295",
		  { .event_channel = "4294967295" } },
		{ "R-41: event-channel missing", { .event_channel = "-" } },
		{ "R-42: protocol unknown", { .protocol = "x86_64-abi " } },
	};
	unsigned i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		refused(&t[i].k, t[i].what);
		if (i % 4 == 3)		/* each connect has to wait longer */
			then_a_good_one(t[i].what);
	}
	for (i = 0; i + 8 < sizeof(format); i += 7)
		memcpy(format + i, "%n%s\033[2", 8);
	refused(&(struct keys){ .protocol = format },
		"R-40: a protocol of format letters and escapes");
	then_a_good_one("R-40");
}

static void
odd_keys(void)
{
	if (f.order)
		either(&(struct keys){ .order = 1, .twice = true },
		       "R-31: the same page twice");
	either(&(struct keys){ .queues = "0" }, "R-44: 0 queues");
	either(&(struct keys){ .queues = "2" },
	       "R-44: 2 queues without their directories");
	either(&(struct keys){ .queues = "65536" }, "R-44: 65536 queues");
}

/* who is connected stays so, whatever the keys say now. */
static void
changed_later(void)
{
	struct keys k = { 0 };

	ok(front_connect(&k) == 4, "nodes: connected");
	node_put("ring-ref", "1");
	node_put("event-channel", "3");
	node_put("protocol", "x86_32-abi");
	node_put("ring-page-order", "4");
	ok(alive(), "R-43, R-21: keys that change later change nothing");
	node_put("backend-id", "7");
	ok(alive() && front_again(&k) && alive(),
	   "R-28: whose pages they are is not the guest's to say");
	node_put("backend-id", "0");
	front_reset();
}

void
try_nodes(void)
{
	changed_later();
	bad_keys();
	odd_keys();
}

static void
nonsense_states(void)
{
	static const char *const bad[] = {
		"7", "8", "9", "abc", "-3", "3x", "4294967300", "4 ",
	};
	struct keys k = { 0 };
	unsigned i, left = 0;

	ok(front_connect(&k) == 4, "states: connected");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		node_put("state", bad[i]);
		nap_ms(30);
		left += back_state() != 4;
	}
	node_put("state", "4");
	nap_ms(100);
	ok(!left && alive(), "states that are none close no working disk");
	front_reset();
}

/* */
static void
storm(void)
{
	static const char *const way[] = { "3", "6", "1", "4", "5", "6", "1" };
	struct keys k = { 0 };
	unsigned i;

	front_connect(&k);
	for (i = 0; i < rounds * 70; i++)
		node_put("state", way[i % 7]);
	ok(back_state() != 0, "R-45: %u states, as fast as they can be written", i);
	ok(front_again(&k) && alive(), "R-45: and a frontend that means it is served");
	for (i = 0; i < rounds * 100; i++)
		node_put("state", "4");
	ok(alive(), "R-46: the same state %u times", i);
	front_reset();
}

/*
 * As Linux closes: it says Closed with requests in queues that it has stopped,
 * and hands them on, one by one here, when an event comes.
 */
static void
last_words(void)
{
	struct keys k = { 0 };
	struct req q = rw(BLKIF_OP_READ, AREA, 1);
	unsigned n = 0;

	front_connect(&k);
	while (bell_rang(0))
		;
	node_put("state", "6");
	ok(bell_rang(5000), "R-48: who says Closed hears an event");
	while (n < 5 && one(&q) == BLKIF_RSP_OKAY)
		n++;
	ok(n == 5, "R-48: and %u requests of 5 are answered", n);
	ok(back_becomes(6, STEP_MS), "R-48: until it is silent");
	f.up = false;
	ok(front_again(&k) && alive(), "R-48: the next ring works");
	front_reset();
}

/* Closed while the ring is full, and back at once with another one. */
static void
abandon(void)
{
	struct keys k = { 0 }, other = { .abi32 = true, .order = f.order };
	struct req q = rw(BLKIF_OP_WRITE, AREA, 11);
	unsigned i, n, bad = 0;

	front_connect(&k);
	for (i = 0; i < 1 + rounds / 10; i++) {
		for (n = 0; n < f.entries; n++)
			put(&q);
		push();
		bad += !front_again(i & 1 ? &k : &other);
	}
	ok(!bad && alive(), "R-45, R-48: %u rings left full of writes", i);
	front_reset();
}

void
try_states(void)
{
	nonsense_states();
	storm();
	last_words();
	abandon();
}

/* the whole frontend vanishes, in the middle of its requests. */
void
try_vanish(void)
{
	struct keys k = { 0 };
	struct req q = rw(BLKIF_OP_WRITE, AREA, 11);
	unsigned n;

	ok(front_connect(&k) == 4, "vanish: connected");
	for (n = 0; n < f.entries; n++)
		put(&q);
	push();
	node_rm("ring-ref");
	node_rm("event-channel");
	node_rm("state");
	node_rm("");
	n = 0;
	while (back_state() != 0 && back_state() != 6 && n++ < 400)
		nap_ms(50);
	ok(n < 400, "R-50: the backend has let go of a frontend that vanished");
}

/* the backend's directory vanishes, and nobody makes it again. */
void
try_removal(void)
{
	struct keys k = { 0 };
	struct req q = rw(BLKIF_OP_WRITE, AREA, 11);
	unsigned n;

	ok(front_connect(&k) == 4, "removal: connected");
	for (n = 0; n < f.entries; n++)
		put(&q);
	push();
	node_rm(f.back);
	node_put("state", "5");
	node_put("state", "6");
	nap_ms(3000);
	ok(node_gone(f.back), "R-51: a backend that was removed stays so");
	node_rm("");
}
