/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* indirect.c - requests whose segments lie elsewhere, wrong ones and too many. */
#define _GNU_SOURCE
#include <string.h>
#include "rogue.h"

#define FULL	96u			/* requests; a MiB each */

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
	q = indirect(BLKIF_OP_READ, 0, f.max_indirect);
	q.grefs[7] = BAD_GREF;		/* of lists that are not needed */
	memset(f.data, 0xee, PAGE);
	ok(one(&q) == BLKIF_RSP_OKAY && alive(),
	   "R-10: %u indirect segments, the most that was offered",
	   f.max_indirect);
	q = indirect(BLKIF_OP_READ, AREA, 3);
	((struct blkif_segment *)(f.data + (DATA_PAGES - 8) * PAGE))[1].last_sect = 8;
	ok(is_error(&q) && alive(), "R-12: an indirect segment outside its page");
	q = indirect(BLKIF_OP_WRITE, AREA, 8);
	((struct blkif_segment *)(f.data + (DATA_PAGES - 8) * PAGE))[5].gref = ~0u;
	ok(is_error(&q) && alive(), "R-22: one bad grant of 8 indirect ones");
out:
	ok(!f.dirty, "R-19: no answer had a byte too many");
	f.dirty = 0;
	front_reset();
}

/*
 * more data at once than anybody has room for.  All of it lies in one page
 * of ours.
 */
void
try_full(void)
{
	struct keys k = { 0 };
	uint8_t ops[] = { BLKIF_OP_READ, BLKIF_OP_WRITE };
	unsigned i, n, bad = 0, got = 0;
	struct answer a[FULL];
	struct req q;

	if (front_connect(&k) == 4) {
		k.order = f.order;
		front_again(&k);
	}
	ok(f.up && f.entries >= FULL && f.max_indirect,
	   "full: connected, with room for %u requests", f.entries);
	if (!f.up || f.entries < FULL || !f.max_indirect)
		return;
	for (i = 0; i < 2; i++) {
		q = indirect(ops[i], AREA, f.max_indirect);
		for (n = 0; n < FULL; n++)
			put(&q);
		push();
		n = take(a, FULL, 60000);
		for (got += n; n; n--)
			bad += a[n - 1].status != BLKIF_RSP_OKAY;
	}
	ok(got == 2 * FULL && !bad && even() && alive(),
	   "R-52: %u MiB asked for at once, all of it is done",
	   FULL * f.max_indirect / 256);
	front_reset();
}
