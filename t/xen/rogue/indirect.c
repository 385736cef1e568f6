/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* indirect.c - requests whose segments lie elsewhere, wrong ones and too many. */
#define _GNU_SOURCE
#include <string.h>
#include "rogue.h"

#define FULL	96u			/* requests; a MiB each */

/* Written and read back; a bad grant where no list is needed is nobody's matter. */
static bool
most(void)
{
	size_t bytes = (size_t)f.max_indirect * PAGE;
	static uint8_t want[SEG_PAGES * PAGE];
	struct req q;

	if (f.max_indirect > SEG_PAGES)
		return false;
	pattern(want, bytes, 52);
	memcpy(f.data, want, bytes);
	q = indirect(BLKIF_OP_WRITE, AREA, f.max_indirect);
	q.grefs[7] = BAD_GREF;
	if (one(&q) != BLKIF_RSP_OKAY)
		return false;
	memset(f.data, 0xee, bytes);
	q = indirect(BLKIF_OP_READ, AREA, f.max_indirect);
	q.grefs[7] = BAD_GREF;
	return one(&q) == BLKIF_RSP_OKAY && !memcmp(want, f.data, bytes);
}

void
try_indirect(void)
{
	static const unsigned counts[] = { 0, 4096, 4097, 65535 };
	static const uint8_t inner[] = { 2, 3, 5, 6, 7, 255 };
	struct keys k = { 0 };
	unsigned i, wrong = 0;
	struct req q;

	ok(front_connect(&k) == 4, "indirect: connected");
	if (!f.up)
		return;
	for (i = 0; i < 4; i++) {
		q = indirect(BLKIF_OP_READ, AREA, counts[i]);
		wrong += !is_error(&q);
	}
	q = indirect(BLKIF_OP_WRITE, AREA, f.max_indirect + 1);
	wrong += !is_error(&q);
	ok(!wrong && alive(),
	   "R-10, R-11: 0, %u, 4096, 4097, 65535 indirect segments",
	   f.max_indirect + 1);
	for (i = wrong = 0; i < sizeof(inner); i++) {
		q = indirect(inner[i], AREA, 3);
		wrong += one(&q) == BLKIF_RSP_OKAY;
	}
	ok(!wrong && alive() && even(),
	   "R-11: indirect flush, barrier, discard, indirect, nonsense");
	q = indirect(BLKIF_OP_READ, AREA, 3);
	q.grefs[0] = BAD_GREF;
	ok(is_error(&q) && alive(), "R-02: a segment list in a page that is none");
	q = indirect(BLKIF_OP_READ, f.sectors - 8 * 3 + 1, 3);
	ok(is_error(&q) && alive(), "R-13: an indirect read behind the end");
	if (!f.max_indirect)
		goto out;
	ok(most() && alive(),
	   "R-10: %u indirect segments, the most that was offered",
	   f.max_indirect);
	q = indirect(BLKIF_OP_READ, AREA, 3);
	list()[1].last_sect = 8;
	ok(is_error(&q) && alive(), "R-12: an indirect segment outside its page");
	q = indirect(BLKIF_OP_WRITE, AREA, 8);
	list()[5].gref = ~0u;
	ok(is_error(&q) && alive(), "R-22: one bad grant of 8 indirect ones");
out:
	ok(!f.dirty, "R-19: no answer had a byte too many");
	f.dirty = 0;
	front_reset();
}

/* How many of them were not done; -1: not each had its one answer. */
static int
all_at_once(const struct req *q)
{
	struct answer a[FULL];
	unsigned i;
	int bad = 0;

	for (i = 0; i < FULL; i++)
		put(q);
	push();
	if (take(a, FULL, 60000) != FULL || !even())
		return -1;
	for (i = 0; i < FULL; i++)
		bad += a[i].status != BLKIF_RSP_OKAY;
	return bad;
}

/*
 * more data at once than anybody has room for.  Who maps pages cannot have
 * one of them so often at once as in the third, and may say so: no guest has a
 * reason for it.  And what fails gives its room to whom waited for it.
 */
void
try_full(void)
{
	struct keys k = { 0 };
	int bad, worse;
	struct req q;
	unsigned i;

	if (front_connect(&k) == 4) {
		k.order = f.order;
		front_again(&k);
	}
	ok(f.up && f.entries >= FULL && f.max_indirect,
	   "full: connected, with room for %u requests", f.entries);
	if (!f.up || f.entries < FULL || !f.max_indirect)
		return;
	q = indirect(BLKIF_OP_READ, AREA, f.max_indirect);
	bad = all_at_once(&q);
	q.inner = BLKIF_OP_WRITE;
	worse = all_at_once(&q);
	ok(!bad && !worse && alive(), "R-52: %u MiB asked for at once, all of it is done",
	   FULL * f.max_indirect / 256);
	for (i = 0; i < f.max_indirect; i++)
		list()[i].gref = f.ref[0];
	q.inner = BLKIF_OP_READ;
	bad = all_at_once(&q);
	ok(bad >= 0 && most() && alive(),
	   "R-52: the same into one page, over and over: each answered once");
	note("%d of %u such were refused", bad, FULL);
	q = indirect(BLKIF_OP_WRITE, AREA, f.max_indirect);
	list()[f.max_indirect - 1].gref = BAD_GREF;
	ok(all_at_once(&q) == FULL && most() && alive(),
	   "R-52, R-23: the same with a page that is none: all of it fails");
	front_reset();
}
