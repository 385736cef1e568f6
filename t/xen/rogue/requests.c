/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* requests.c - requests that ask for what they may not have. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include "rogue.h"

#define GUARD	(f.data + 20 * PAGE)	/* pages not given to the backend here */

static const char *how;			/* which ABI and ring, for the text */

bool
is_error(struct req *q)
{
	return one(q) == BLKIF_RSP_ERROR;
}

static void
operations(void)
{
	unsigned op, wrong = 0;
	struct req q;

	for (op = 0; op < 256; op++) {
		if (op <= BLKIF_OP_FLUSH || op == BLKIF_OP_DISCARD ||
		    op == BLKIF_OP_INDIRECT)
			continue;
		q = rw((uint8_t)op, AREA, 1);
		if (one(&q) != BLKIF_RSP_EOPNOTSUPP && !wrong++)
			note("operation %u was not refused", op);
	}
	ok(!wrong && alive(), "R-09: %s: 250 unknown operations", how);
}

static void
identities(void)
{
	static const uint64_t ids[] = { ~0ull, 1, 1, 1, 1ull << 63, ~0ull };
	struct answer a[6];
	struct req q;
	unsigned i, same = 0;

	for (i = 0; i < 6; i++) {
		q = rw(BLKIF_OP_READ, AREA, 1);
		q.id = ids[i];
		put(&q);
	}
	push();
	if (take(a, 6, 20000) == 6)
		for (i = 0; i < 6; i++)
			same += a[i].id == ids[i] || a[i].id == 1 ||
				a[i].id == ~0ull || a[i].id == 1ull << 63;
	ok(same == 6 && even(), "R-08: %s: ids that are equal, or all ones", how);
}

static void
segment_counts(void)
{
	static const unsigned n[] = { 0, 12, 13, 128, 255 };
	struct req q;
	unsigned i, wrong = 0;

	for (i = 0; i < 5; i++) {
		q = rw(BLKIF_OP_READ, AREA, n[i]);
		wrong += !is_error(&q);
		q = rw(BLKIF_OP_WRITE, AREA, n[i]);
		wrong += !is_error(&q);
	}
	q = rw(BLKIF_OP_READ, AREA, 11);
	wrong += one(&q) != BLKIF_RSP_OKAY;
	ok(!wrong && alive(), "R-10: %s: 0, 12, 13, 128, 255 segments", how);
}

static void
segment_sectors(void)
{
	static const uint8_t bad[][2] = {
		{ 7, 0 }, { 1, 0 }, { 0, 8 }, { 0, 255 }, { 8, 8 }, { 8, 9 },
		{ 255, 255 }, { 255, 0 },
	};
	struct req q;
	unsigned i, wrong = 0;

	memset(GUARD, 0xc3, 4 * PAGE);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		q = rw(BLKIF_OP_READ, AREA, 3);
		q.seg[1].first_sect = bad[i][0];
		q.seg[1].last_sect = bad[i][1];
		wrong += !is_error(&q);
		q.id = 0;
		q.op = BLKIF_OP_WRITE;
		wrong += !is_error(&q);
	}
	for (i = 0; i < 4 * PAGE; i++)
		wrong += GUARD[i] != 0xc3;
	ok(!wrong && alive(), "R-12: %s: segments outside their page", how);
}

static void
partial_pages(void)
{
	struct req q = rw(BLKIF_OP_READ, AREA, 2);
	unsigned i, wrong = 0;

	wrong += !writes(AREA, 2, 77);
	memset(f.data, 0xc3, 2 * PAGE);
	q.seg[0].first_sect = 2;
	q.seg[0].last_sect = 3;
	q.seg[1].first_sect = q.seg[1].last_sect = 5;
	wrong += one(&q) != BLKIF_RSP_OKAY;
	for (i = 0; i < 2 * PAGE; i++)
		if (i / 512 != 2 && i / 512 != 3 && i / 512 != 13)
			wrong += f.data[i] != 0xc3;
	ok(!wrong, "R-12: %s: what a segment leaves out stays as it was", how);
	/* Never written by anybody, hence zeros and nobody's memory. */
	memset(f.data, 0xc3, 11 * PAGE);
	q = rw(BLKIF_OP_READ, f.sectors / 2, 11);
	wrong = one(&q) != BLKIF_RSP_OKAY;
	for (i = 0; i < 11 * PAGE; i++)
		wrong += f.data[i] != 0;
	ok(!wrong, "R-20: %s: what was never written reads as zeros", how);
}

static void
disk_ranges(void)
{
	const uint64_t bad[] = {
		~0ull, 1ull << 63, 1ull << 55, 1ull << 54, f.sectors,
		f.sectors - 7, ~0ull - 6, 1ull << 32 | 0xffffffff,
	};
	struct req q;
	unsigned i, wrong = 0;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		q = rw(BLKIF_OP_READ, bad[i], 1);
		wrong += !is_error(&q);
		q = rw(BLKIF_OP_WRITE, bad[i], 1);
		wrong += !is_error(&q);
	}
	q = rw(BLKIF_OP_READ, f.sectors - 8, 1);
	wrong += one(&q) != BLKIF_RSP_OKAY;
	ok(!wrong && alive(), "R-13, R-14: %s: sectors behind the end", how);
}

static void
ignored_fields(void)
{
	struct req q = rw(BLKIF_OP_READ, AREA, 1);
	unsigned wrong = 0;

	q.handle = 0xffff;
	wrong += one(&q) != BLKIF_RSP_OKAY;
	q = rw(BLKIF_OP_WRITE, AREA, 1);
	q.padding = 0xff;
	q.seg[0].pad = 0xffff;
	q.handle = 0x4242;
	wrong += one(&q) != BLKIF_RSP_OKAY;
	ok(!wrong, "R-16, R-17: %s: handle and padding mean nothing", how);
}

static void
flushes(void)
{
	struct req q = rw(BLKIF_OP_FLUSH, ~0ull, 0);
	unsigned i, wrong = 0;

	wrong += !writes(AREA, 3, 5);
	pattern(f.data, 3 * PAGE, 6);
	wrong += one(&q) != BLKIF_RSP_OKAY;
	for (i = 0; i < 3; i++) {
		/* Valid segments, and no write all the same. */
		q = rw(BLKIF_OP_FLUSH, AREA, i ? 200 : 3);
		if (i == 2)
			memset(q.seg, 0xff, sizeof(q.seg));
		wrong += one(&q) != BLKIF_RSP_OKAY;
	}
	wrong += !holds(AREA, 3, 5);
	ok(!wrong && even(), "R-18: %s: a flush with segments is a flush", how);
}

static void
bad_grants(void)
{
	struct req q;
	unsigned wrong = 0;

	wrong += !writes(AREA + 512, 11, 7);
	pattern(f.data, 11 * PAGE, 8);
	q = rw(BLKIF_OP_WRITE, AREA + 512, 11);
	q.seg[7].gref = BAD_GREF;
	wrong += !is_error(&q);
	wrong += !holds(AREA + 512, 11, 7);
	ok(!wrong, "R-22: %s: one bad grant of 11, and nothing is written", how);

	q = rw(BLKIF_OP_READ, AREA + 512, 11);
	q.seg[7].gref = ~0u;
	wrong = !is_error(&q);
	q = rw(BLKIF_OP_READ, AREA, 1);
	q.seg[0].gref = f.fixed_ref;
	wrong += !is_error(&q);
	q = rw(BLKIF_OP_WRITE, AREA, 1);
	q.seg[0].gref = f.fixed_ref;
	wrong += one(&q) != BLKIF_RSP_OKAY;
	ok(!wrong && alive(),
	   "R-22: %s: a page granted read-only is read, never written", how);
}

static void
barriers(void)
{
	struct req q;
	int no = f.barrier ? BLKIF_RSP_ERROR : BLKIF_RSP_EOPNOTSUPP;
	int yes = f.barrier ? BLKIF_RSP_OKAY : BLKIF_RSP_EOPNOTSUPP;
	unsigned wrong = 0;

	pattern(f.data, 5 * PAGE, 9);
	q = rw(BLKIF_OP_WRITE_BARRIER, AREA + 256, 5);
	wrong += one(&q) != yes;
	if (f.barrier)
		wrong += !holds(AREA + 256, 5, 9);
	q = rw(BLKIF_OP_WRITE_BARRIER, ~0ull, 0);
	wrong += one(&q) != yes;
	q = rw(BLKIF_OP_WRITE_BARRIER, AREA, 2);
	q.seg[1].gref = BAD_GREF;
	wrong += one(&q) != no;
	q = rw(BLKIF_OP_WRITE_BARRIER, f.sectors, 2);
	wrong += one(&q) != no;
	q = rw(BLKIF_OP_WRITE_BARRIER, AREA, 12);
	wrong += one(&q) != no;
	ok(!wrong && alive(), "%s: barriers with data, without, and wrong", how);
}

static void
discards(void)
{
	static const struct { uint64_t at, n; bool good; } t[] = {
		{ 0, ~0ull, false }, { ~0ull, 1, false }, { ~0ull, ~0ull, false },
		{ 8, 1ull << 55, false }, { 1ull << 63, 1ull << 63, false },
		{ AREA, 0, true }, { AREA, 8, true }, { AREA + 3, 1000, true },
	};
	struct req q;
	unsigned i, wrong = 0;
	int want, got;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		q = (struct req){
			.op = BLKIF_OP_DISCARD, .sector = t[i].at,
			.nsectors = t[i].n, .padding = 0xff,
		};
		want = !f.discard ? BLKIF_RSP_EOPNOTSUPP :
		       t[i].good ? BLKIF_RSP_OKAY : BLKIF_RSP_ERROR;
		got = one(&q);
		if (got != want && !wrong++)
			note("discard %u: %d, not %d", i, got, want);
	}
	q = (struct req){ .op = BLKIF_OP_DISCARD, .sector = f.sectors,
			  .nsectors = 1 };
	wrong += one(&q) == BLKIF_RSP_OKAY;
	ok(!wrong && alive(), "%s: discards, %s", how,
	   f.discard ? "in range and out of it" : "which were not offered");
}

/* the ring is kept full, with good ones and bad ones. */
static void
flood(bool bad)
{
	unsigned total = rounds * 40, sent = 0, got = 0, n, i, odd = 0;
	struct answer a[64];
	struct req q;

	while (got < total) {
		for (n = 0; sent < total && sent - got < f.entries; n++, sent++) {
			q = rw(sent & 1 ? BLKIF_OP_READ : BLKIF_OP_WRITE,
			       AREA + (sent & 15) * 8, 1);
			q.id = sent;
			q.seg[0].gref = f.ref[sent % SEG_PAGES];
			if (bad && sent % 4)
				q.seg[0].gref = BAD_GREF + sent * 7919;
			put(&q);
		}
		if (n)
			push();
		n = take(a, 1, 30000);
		if (!n)
			break;
		n += take(a + 1, 63, 0);
		for (i = 0; i < n; i++)
			odd += a[i].status != (bad && a[i].id % 4 ?
					       BLKIF_RSP_ERROR : BLKIF_RSP_OKAY);
		got += n;
	}
	ok(got == total && !odd && even(),
	   "%s, R-07: %s: %u requests, the ring always full, %s",
	   bad ? "R-23, R-27, R-39" : "R-05", how, total,
	   bad ? "three of four with grants that are none" : "each answered once");
}

static void
all_requests(void)
{
	operations();
	identities();
	segment_counts();
	segment_sectors();
	partial_pages();
	disk_ranges();
	ignored_fields();
	flushes();
	bad_grants();
	barriers();
	discards();
	flood(false);
	flood(true);
	ok(!f.dirty, "R-19: %s: no answer had a byte too many", how);
	f.dirty = 0;
}

void
try_requests(void)
{
	struct keys k = { 0 };

	how = "x86_64, 1 page";
	ok(front_connect(&k) == 4, "%s: the disk is connected", how);
	if (f.up)
		all_requests();
	k = (struct keys){ .abi32 = true, .order = f.order };
	how = f.order ? "x86_32, all pages" : "x86_32, 1 page";
	ok(front_again(&k), "R-21: %s: connected, after another ABI", how);
	if (f.up)
		all_requests();
	front_reset();
}

void
try_readonly(void)
{
	struct keys k = { 0 };
	struct req q;
	uint64_t info = 0;
	int discarded;

	ok(front_connect(&k) == 4 && back_has("info", &info) && info & 4,
	   "R-15: a read-only disk says so");
	if (!f.up)
		return;
	q = rw(BLKIF_OP_READ, AREA, 11);
	ok(one(&q) == BLKIF_RSP_OKAY, "R-15: it is read");
	q = rw(BLKIF_OP_WRITE, AREA, 1);
	ok(is_error(&q), "R-15: and not written");
	q = rw(BLKIF_OP_WRITE_BARRIER, AREA, 1);
	ok(one(&q) != BLKIF_RSP_OKAY, "R-15: nor with a barrier");
	q = indirect(BLKIF_OP_WRITE, AREA, 2);
	ok(is_error(&q), "R-15: nor indirectly");
	q = (struct req){ .op = BLKIF_OP_DISCARD, .sector = 0, .nsectors = 64 };
	discarded = one(&q);
	ok(discarded == BLKIF_RSP_ERROR || discarded == BLKIF_RSP_EOPNOTSUPP,
	   "R-15: nor discarded");
	q = rw(BLKIF_OP_FLUSH, 0, 0);
	ok(one(&q) == BLKIF_RSP_OKAY && even(), "R-15: a flush is fine");
	front_reset();
}
