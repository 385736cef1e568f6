/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring-rules.t.c - what each request, right or wrong, is answered and does.
 *
 * A table: one request a row, run in both ABIs, in slots full of 0xff,
 * with a random handle.
 */
/* objects: t/lib/rig.o t/lib/frontend.o t/lib/fakequeue.o core/ring/libvdring.a */
#include <tap.h>

#include "fakequeue.h"
#include "rig.h"

#define SECTORS		2048u	/* of the disk */
#define SAME		-1	/* the answer's op is the request's */

enum { RO = 1, NODISCARD = 2, NOINDIRECT = 4 };

static const struct row {
	const char     *name;
	unsigned	mode;
	struct fe_req	q;
	int		status;
	int		op;		/* of the answer */
	unsigned	reaches;	/* disk calls it makes */
} rows[] = {
	/* how many segments */
	{ "read of 1 segment", 0, { FE_READ, .nseg = 1 }, 0, SAME, 1 },
	{ "write of 11 segments", 0, { FE_WRITE, .nseg = 11 }, 0, SAME, 1 },
	{ "R-10: read of none", 0, { .op = FE_READ }, -1, SAME, 0 },
	{ "R-10: write of none", 0, { .op = FE_WRITE }, -1, SAME, 0 },
	{ "R-10: read of 12", 0, { FE_READ, .nseg = 12 }, -1, SAME, 0 },
	{ "R-10: write of 12", 0, { FE_WRITE, .nseg = 12 }, -1, SAME, 0 },
	{ "R-10: write of 255", 0, { FE_WRITE, .nseg = 255 }, -1, SAME, 0 },
	{ "R-10: barrier of 12", 0, { FE_BARRIER, .nseg = 12 }, -1, SAME, 0 },
	{ "barrier of none is a flush", 0, { FE_BARRIER, .sector = ~0ull },
	  0, SAME, 1 },
	{ "barrier of one: flush, write, flush", 0,
	  { FE_BARRIER, .nseg = 1 }, 0, SAME, 3 },

	/* which sectors of a page; gaps are legal */
	{ "sector 7 of a page", 0, { FE_READ, .nseg = 1,
	  .seg = { { 1, 7, 7 } } }, 0, SAME, 1 },
	{ "gaps inside", 0, { FE_WRITE, .nseg = 3, .seg = { { 1, 3, 4 },
	  { 2, 1, 1 }, { 1, 6, 7 } } }, 0, SAME, 1 },
	{ "R-12: first after last", 0, { FE_READ, .nseg = 1,
	  .seg = { { 1, 7, 0 } } }, -1, SAME, 0 },
	{ "R-12: last 8", 0, { FE_WRITE, .nseg = 1, .seg = { { 1, 0, 8 } } },
	  -1, SAME, 0 },
	{ "R-12: last 255", 0, { FE_WRITE, .nseg = 1,
	  .seg = { { 1, 0, 255 } } }, -1, SAME, 0 },
	{ "R-12: first 8", 0, { FE_READ, .nseg = 1, .seg = { { 1, 8, 8 } } },
	  -1, SAME, 0 },
	{ "R-12: both 255", 0, { FE_READ, .nseg = 1,
	  .seg = { { 1, 255, 255 } } }, -1, SAME, 0 },
	{ "R-12: only segment 11 is bad", 0, { FE_WRITE, .nseg = 11,
	  .seg = { [10] = { 1, 5, 4 } } }, -1, SAME, 0 },
	{ "R-12: barrier, last 8", 0, { FE_BARRIER, .nseg = 1,
	  .seg = { { 1, 0, 8 } } }, -1, SAME, 0 },

	/* where on the disk */
	{ "last sector", 0, { FE_WRITE, .nseg = 1, .sector = SECTORS - 1 },
	  0, SAME, 1 },
	{ "R-13: sector after the last", 0, { FE_READ, .nseg = 1,
	  .sector = SECTORS }, -1, SAME, 0 },
	{ "R-13: one of two is past the end", 0, { FE_WRITE, .nseg = 1,
	  .sector = SECTORS - 1, .seg = { { 1, 0, 1 } } }, -1, SAME, 0 },
	{ "R-13: sector 2^64-1", 0, { FE_READ, .nseg = 1, .sector = ~0ull },
	  -1, SAME, 0 },
	{ "R-14: sector 2^55, byte 0 when multiplied", 0, { FE_READ,
	  .nseg = 1, .sector = 1ull << 55 }, -1, SAME, 0 },
	{ "R-14: sector 2^54, a negative byte", 0, { FE_READ, .nseg = 1,
	  .sector = 1ull << 54 }, -1, SAME, 0 },
	{ "R-13: barrier past the end", 0, { FE_BARRIER, .nseg = 1,
	  .sector = SECTORS }, -1, SAME, 0 },

	/* read-only */
	{ "read of a read-only disk", RO, { FE_READ, .nseg = 1 }, 0, SAME, 1 },
	{ "R-15: write", RO, { FE_WRITE, .nseg = 1 }, -1, SAME, 0 },
	{ "R-15: barrier with data", RO, { FE_BARRIER, .nseg = 1 }, -1, SAME,
	  0 },
	{ "R-15: discard", RO, { FE_DISCARD, .nr_sectors = 1 }, -1, SAME, 0 },
	{ "R-15: indirect write", RO, { FE_INDIRECT, FE_WRITE, .nseg = 1,
	  .indirect = { 60 } }, -1, FE_WRITE, 0 },
	{ "flush of a read-only disk", RO, { .op = FE_FLUSH }, 0, SAME, 0 },
	{ "empty barrier, read-only", RO, { .op = FE_BARRIER }, 0, SAME, 0 },

	/* a flush is a flush, whatever else its slot holds */
	{ "flush", 0, { .op = FE_FLUSH }, 0, SAME, 1 },
	{ "R-18: flush with 200 stale segments", 0, { FE_FLUSH, .nseg = 200,
	  .sector = ~0ull, .seg = { { ~0u, 255, 0 } } }, 0, SAME, 1 },
	{ "R-18: flush with a valid segment writes nothing", 0, { FE_FLUSH,
	  .nseg = 1, .seg = { { 1, 0, 7 } } }, 0, SAME, 1 },

	/* grants */
	{ "R-22: only the 7th grant is bad", 0, { FE_WRITE, .nseg = 11,
	  .seg = { [6] = { 9999, 0, 0 } } }, -1, SAME, 0 },
	{ "R-22: only the last grant is bad", 0, { FE_WRITE, .nseg = 11,
	  .seg = { [10] = { ~0u, 0, 0 } } }, -1, SAME, 0 },
	{ "R-22: the 7th of a read", 0, { FE_READ, .nseg = 11,
	  .seg = { [6] = { 9999, 0, 0 } } }, -1, SAME, 1 },
	{ "R-22: barrier, bad grant", 0, { FE_BARRIER, .nseg = 2,
	  .seg = { [1] = { 9999, 0, 0 } } }, -1, SAME, 0 },

	/* discard */
	{ "discard", 0, { FE_DISCARD, .sector = 8, .nr_sectors = 16 }, 0,
	  SAME, 1 },
	{ "discard of all", 0, { FE_DISCARD, .nr_sectors = SECTORS }, 0,
	  SAME, 1 },
	{ "discard of nothing", 0, { FE_DISCARD, .sector = SECTORS }, 0,
	  SAME, 0 },
	{ "R-13: discard of nothing, past the end", 0, { FE_DISCARD,
	  .sector = SECTORS + 1 }, -1, SAME, 0 },
	{ "R-13: discard one too many", 0, { FE_DISCARD,
	  .nr_sectors = SECTORS + 1 }, -1, SAME, 0 },
	{ "R-13: discard of 2^64-1", 0, { FE_DISCARD, .sector = 1,
	  .nr_sectors = ~0ull }, -1, SAME, 0 },
	{ "R-14: discard of 2^55", 0, { FE_DISCARD,
	  .nr_sectors = 1ull << 55 }, -1, SAME, 0 },
	{ "secure discard is not offered", 0, { FE_DISCARD, .flag = 1,
	  .nr_sectors = 1 }, -2, SAME, 0 },
	{ "R-17: other flags mean nothing", 0, { FE_DISCARD, .flag = 0xfe,
	  .nr_sectors = 1 }, 0, SAME, 1 },
	{ "discard that is not offered", NODISCARD, { FE_DISCARD,
	  .nr_sectors = 1 }, -2, SAME, 0 },

	/* indirect; the answer carries the inner operation */
	{ "indirect read of 1", 0, { FE_INDIRECT, FE_READ, .nseg = 1,
	  .indirect = { 60 } }, 0, FE_READ, 1 },
	{ "indirect write of 11", 0, { FE_INDIRECT, FE_WRITE, .nseg = 11,
	  .indirect = { 60 } }, 0, FE_WRITE, 1 },
	{ "indirect write of 12", 0, { FE_INDIRECT, FE_WRITE, .nseg = 12,
	  .indirect = { 60 } }, 0, FE_WRITE, 1 },
	{ "indirect write of the maximum", 0, { FE_INDIRECT, FE_WRITE,
	  .nseg = 32, .indirect = { 60 } }, 0, FE_WRITE, 1 },
	{ "grants of pages not needed are not used", 0, { FE_INDIRECT,
	  FE_WRITE, .nseg = 32, .indirect = { 60, ~0u, 9999 } }, 0, FE_WRITE,
	  1 },
	{ "R-10: indirect of one more than offered", 0, { FE_INDIRECT,
	  FE_WRITE, .nseg = 33, .indirect = { 60 } }, -1, FE_WRITE, 0 },
	{ "R-10: indirect of none", 0, { FE_INDIRECT, FE_READ,
	  .indirect = { 60 } }, -1, FE_READ, 0 },
	{ "R-10: indirect of 512", 0, { FE_INDIRECT, FE_READ, .nseg = 512,
	  .indirect = { 60 } }, -1, FE_READ, 0 },
	{ "R-10: indirect of 4096", 0, { FE_INDIRECT, FE_READ, .nseg = 4096,
	  .indirect = { 60 } }, -1, FE_READ, 0 },
	{ "R-10: indirect of 4097", 0, { FE_INDIRECT, FE_READ, .nseg = 4097,
	  .indirect = { 60 } }, -1, FE_READ, 0 },
	{ "R-10: indirect of 65535", 0, { FE_INDIRECT, FE_READ,
	  .nseg = 65535, .indirect = { 60 } }, -1, FE_READ, 0 },
	{ "R-11: indirect barrier", 0, { FE_INDIRECT, FE_BARRIER, .nseg = 1,
	  .indirect = { 60 } }, -1, FE_BARRIER, 0 },
	{ "R-11: indirect flush", 0, { FE_INDIRECT, FE_FLUSH, .nseg = 1,
	  .indirect = { 60 } }, -1, FE_FLUSH, 0 },
	{ "R-11: indirect discard", 0, { FE_INDIRECT, FE_DISCARD, .nseg = 1,
	  .indirect = { 60 } }, -1, FE_DISCARD, 0 },
	{ "R-11: indirect of indirect", 0, { FE_INDIRECT, FE_INDIRECT,
	  .nseg = 1, .indirect = { 60 } }, -1, FE_INDIRECT, 0 },
	{ "R-11: indirect 255", 0, { FE_INDIRECT, 255, .nseg = 1,
	  .indirect = { 60 } }, -1, 255, 0 },
	{ "R-11: indirect that is not offered", NOINDIRECT, { FE_INDIRECT,
	  FE_READ, .nseg = 1, .indirect = { 60 } }, -1, FE_READ, 0 },
	{ "R-22: the list's page is bad", 0, { FE_INDIRECT, FE_WRITE,
	  .nseg = 12, .indirect = { 9999 } }, -1, FE_WRITE, 0 },
	{ "R-22: a page in the list is bad", 0, { FE_INDIRECT, FE_WRITE,
	  .nseg = 12, .indirect = { 61 } }, -1, FE_WRITE, 0 },
	{ "R-12: a segment in the list is bad", 0, { FE_INDIRECT, FE_WRITE,
	  .nseg = 12, .indirect = { 62 } }, -1, FE_WRITE, 0 },
	{ "R-13: indirect past the end", 0, { FE_INDIRECT, FE_READ,
	  .nseg = 32, .sector = SECTORS - 31, .indirect = { 60 } }, -1,
	  FE_READ, 0 },
	{ "indirect up to the end", 0, { FE_INDIRECT, FE_READ, .nseg = 32,
	  .sector = SECTORS - 32, .indirect = { 60 } }, 0, FE_READ, 1 },
};

static void
setup(struct rig *r, enum fe_abi abi, unsigned mode)
{
	struct fe_seg seg[32];
	unsigned i;

	memset(r, 0, sizeof(*r));
	r->abi = abi;
	r->cfg.disk = fq_disk(SECTORS * 512);
	r->cfg.queue = fq_open(r->cfg.disk, FQ_AUTO);
	r->cfg.readonly = mode & RO;
	r->cfg.discard = !(mode & NODISCARD);
	r->cfg.max_indirect = mode & NOINDIRECT ? 0 : 32;
	if (rig_open(r) < 0)
		ok(false, "rig opens");
	r->fe.fill = 0xff;
	for (i = 0; i < 32; i++)
		seg[i] = (struct fe_seg){ i, 0, 0 };
	fe_indirect_page(&r->fe, 60, seg, 32);
	seg[11].gref = 5000;
	fe_indirect_page(&r->fe, 61, seg, 12);
	seg[11] = (struct fe_seg){ 1, 3, 2 };
	fe_indirect_page(&r->fe, 62, seg, 12);
}

static void
teardown(struct rig *r)
{
	rig_close(r);
	vd_queue_close(r->cfg.queue);
	fq_disk_free(r->cfg.disk);
}

static bool
is_zero(const uint8_t *p, size_t n)
{
	while (n && !*p)
		p++, n--;
	return n == 0;
}

static void
run_row(const struct row *w, enum fe_abi abi)
{
	struct rig r;
	struct fe_req q = w->q;
	struct fe_rsp rsp = { 0 };
	struct ring_stats st;
	struct vd_queue *fq;
	uint64_t sum = 0;
	unsigned i;

	setup(&r, abi, w->mode);
	fq = r.cfg.queue;
	memset(r.fe.guest, 0x5a, 32 * FE_PAGE);
	q.id = 0xfedcba9876543210ull;
	q.handle = 0xbeef;
	fe_put(&r.fe, &q);
	fe_push(&r.fe);
	ok(rig_collect(&r, &rsp, 1) == 1 && rsp.status == w->status,
	   "%s (%s): %d", w->name, abi == FE_64 ? "64" : "32", w->status);
	if (rsp.status != w->status)
		diag("got status %d, last log: %s", rsp.status, r.last_log);

	for (i = 0; i < 8; i++)
		sum += fq->submitted[i];
	ring_stats(r.ring, &st);
	ok(rsp.id == q.id && rsp.op == (w->op == SAME ? q.op : w->op) &&
	   sum == w->reaches && st.bad_req == (w->status != 0),
	   ".. id, operation %u, %u disk calls", rsp.op, w->reaches);
	if (w->status || !fq->submitted[VD_OP_WRITE])
		ok(is_zero(r.cfg.disk->data, SECTORS * 512),
		   ".. and the disk is as it was");
	rig_turn(&r);
	ok(!fe_next(&r.fe, &rsp) && ring_inflight(r.ring) == 0,
	   ".. answered once");
	teardown(&r);
}

/* every operation there is; ids are echoed, not used. */
static void
test_all_ops(enum fe_abi abi)
{
	struct rig r;
	struct fe_req q = { 0 };
	struct fe_rsp rsp;
	unsigned op, unknown = 0, echoed = 0;

	setup(&r, abi, 0);
	for (op = 0; op < 256; op++) {
		q.op = (uint8_t)op;
		q.id = op % 2 ? 0 : ~(uint64_t)op;
		fe_put(&r.fe, &q);
		fe_push(&r.fe);
		if (rig_collect(&r, &rsp, 1) != 1)
			break;
		unknown += rsp.status == FE_NOTSUPP;
		echoed += rsp.id == q.id &&
			  rsp.op == (op == FE_INDIRECT ? 0 : op);
	}
	is_int(unknown, 256 - 6, "R-09: all other operations are unknown");
	is_int(echoed, 256, "R-08: id and operation are echoed");
	teardown(&r);
}

/* Memory is scattered, the disk is not: D-02, D-03 and the 2.5 rules. */
static void
test_scatter(enum fe_abi abi, uint8_t op, bool indirect)
{
	static const struct fe_seg seg[] = {
		{ 3, 6, 7 }, { 1, 0, 7 }, { 3, 0, 0 }, { 2, 2, 5 },
		{ 3, 1, 1 }, { 3, 0, 0 },
	};
	struct rig r;
	struct fe_req q = { .op = op, .nseg = 6, .sector = 100 };
	uint8_t want[17 * 512], *at = want;
	unsigned i, n;

	setup(&r, abi, 0);
	for (i = 0; i < 8 * FE_PAGE; i++)
		r.fe.guest[i] = (uint8_t)(i / 512 * 7 + i);
	memcpy(q.seg, seg, sizeof(seg));
	if (indirect) {
		q.op = FE_INDIRECT;
		q.inner = op;
		q.indirect[0] = 40;
		fe_indirect_page(&r.fe, 40, seg, 6);
	}
	for (i = 0; i < 6; i++) {
		n = (seg[i].last - seg[i].first + 1u) * 512;
		memcpy(at, fe_page(&r.fe, seg[i].gref) + seg[i].first * 512, n);
		at += n;
	}
	is_int(rig_one(&r, &q), FE_OKAY, "operation %u with gaps", op);
	ok(!memcmp(r.cfg.disk->data + 51200, want, sizeof(want)) &&
	   is_zero(r.cfg.disk->data, 51200) &&
	   is_zero(r.cfg.disk->data + 51200 + sizeof(want), 51200),
	   "is on the disk in one piece, and nothing else is");

	/* Back into fresh pages: the same bytes, the gaps untouched. */
	memset(r.fe.guest, 0xcc, 8 * FE_PAGE);
	q = (struct fe_req){ .op = FE_READ, .nseg = 3, .sector = 100,
		.seg = { { 5, 1, 7 }, { 6, 0, 4 }, { 7, 3, 7 } } };
	is_int(rig_one(&r, &q), FE_OKAY, "reads back");
	ok(!memcmp(fe_page(&r.fe, 5) + 512, want, 7 * 512) &&
	   !memcmp(fe_page(&r.fe, 6), want + 7 * 512, 5 * 512) &&
	   !memcmp(fe_page(&r.fe, 7) + 3 * 512, want + 12 * 512, 5 * 512),
	   "the same bytes");
	for (i = n = 0; i < 8 * FE_PAGE; i++)
		n += r.fe.guest[i] == 0xcc;
	ok(n >= 8 * FE_PAGE - 17 * 512 && fe_page(&r.fe, 5)[511] == 0xcc &&
	   fe_page(&r.fe, 6)[5 * 512] == 0xcc &&
	   fe_page(&r.fe, 7)[3 * 512 - 1] == 0xcc, "beside them nothing");
	teardown(&r);
}

int
main(void)
{
	unsigned i;
	enum fe_abi abi;

	for (abi = FE_64; abi <= FE_32; abi++) {
		for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
			run_row(&rows[i], abi);
		test_all_ops(abi);
		test_scatter(abi, FE_WRITE, false);
		test_scatter(abi, FE_BARRIER, false);
		test_scatter(abi, FE_WRITE, true);
	}
	return done_testing();
}
