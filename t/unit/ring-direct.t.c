/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring-direct.t.c - the disk works in the guest's pages where a request's data
 * lies there in one piece, and nowhere else.
 */
/* objects: t/lib/rig.o t/lib/frontend.o t/lib/fakequeue.o core/ring/libvdring.a */
#include <errno.h>
#include <tap.h>

#include "fakequeue.h"
#include "rig.h"

static int
fail(void *ctx, const struct vd_req *q)
{
	(void)ctx;
	(void)q;
	return -EIO;
}

static void
setup(struct rig *r, bool direct)
{
	unsigned i;

	memset(r, 0, sizeof(*r));
	r->direct = direct;
	r->cfg.disk = fq_disk(1 << 20);
	r->cfg.queue = fq_open(r->cfg.disk, FQ_AUTO);
	r->cfg.queue->direct = direct;
	r->cfg.max_indirect = 32;
	if (rig_open(r) < 0)
		ok(false, "rig opens");
	for (i = 0; i < r->guest_pages; i++)
		memset(fe_page(&r->fe, i), (int)i + 1, FE_PAGE);
}

static void
teardown(struct rig *r)
{
	rig_close(r);
	vd_queue_close(r->cfg.queue);
	fq_disk_free(r->cfg.disk);
}

static struct {
	const char     *what;
	bool		direct;
	struct fe_req	q;
} cases[] = {
	{ "a page", true, { .nseg = 1, .seg = { { 3, 0, 7 } } } },
	{ "a sector in the middle", true,
	  { .nseg = 1, .seg = { { 3, 4, 4 } } } },
	{ "three pages", true,
	  { .nseg = 3, .seg = { { 3, 0, 7 }, { 4, 0, 7 }, { 5, 0, 7 } } } },
	{ "ragged ends", true,
	  { .nseg = 3, .seg = { { 3, 6, 7 }, { 4, 0, 7 }, { 5, 0, 1 } } } },
	{ "the last pages there are", true,
	  { .nseg = 2, .seg = { { 62, 0, 7 }, { 63, 0, 7 } } } },
	{ "a gap before a page's end", false,
	  { .nseg = 2, .seg = { { 3, 0, 6 }, { 4, 0, 7 } } } },
	{ "a gap at a page's beginning", false,
	  { .nseg = 2, .seg = { { 3, 0, 7 }, { 4, 1, 7 } } } },
	{ "pages with one between", false,
	  { .nseg = 2, .seg = { { 3, 0, 7 }, { 5, 0, 7 } } } },
	{ "pages backwards", false,
	  { .nseg = 2, .seg = { { 4, 0, 7 }, { 3, 0, 7 } } } },
	{ "a page twice", false,
	  { .nseg = 2, .seg = { { 3, 0, 7 }, { 3, 0, 7 } } } },
};

/* Where the sectors of a request lie in the guest, one after the other. */
static uint8_t *
sector_of(struct rig *r, const struct fe_req *q, unsigned n)
{
	unsigned i, k;

	for (i = 0; i < q->nseg; i++)
		for (k = q->seg[i].first; k <= q->seg[i].last; k++)
			if (!n--)
				return fe_page(&r->fe, q->seg[i].gref) +
				       512 * k;
	return NULL;
}

static void
test_write(unsigned c)
{
	struct fe_req q = cases[c].q;
	struct ring_stats st;
	struct rig r;
	unsigned i, bad = 0;

	setup(&r, true);
	q.op = FE_WRITE;
	q.sector = 100;
	is_int(rig_one(&r, &q), FE_OKAY, "write: %s", cases[c].what);
	for (i = 0; sector_of(&r, &q, i); i++)
		bad += !!memcmp(sector_of(&r, &q, i),
				r.cfg.disk->data + 512 * (100 + i), 512);
	is_int(bad, 0, "arrives");
	ring_stats(r.ring, &st);
	is_int(st.direct, cases[c].direct, "in place or not");
	is_int(r.copies_in, !cases[c].direct, "with a copy or not");
	teardown(&r);
}

static void
test_read(unsigned c)
{
	struct fe_req q = cases[c].q;
	struct rig r;
	unsigned i, n, other = 0;

	setup(&r, true);
	q.op = FE_READ;
	for (n = 0; sector_of(&r, &q, n); n++)
		;
	memset(r.cfg.disk->data, 0xee, 512 * n);
	is_int(rig_one(&r, &q), FE_OKAY, "read: %s", cases[c].what);
	for (i = 0; i < r.guest_pages * 8; i++)
		other += *(fe_page(&r.fe, 0) + 512 * i) == 0xee;
	is_int(other, strcmp(cases[c].what, "a page twice") ? n : 8,
	       "fills those sectors and no other");
	is_int(r.copies_out, !cases[c].direct, "with a copy or not");
	teardown(&r);
}

/* What reaches past the last page is no page of ours, and an error. */
static void
test_bounds(void)
{
	static const uint32_t grefs[] = { 63, 64, UINT32_MAX, UINT32_MAX - 1 };
	struct fe_req q = { .op = FE_WRITE, .nseg = 2 };
	struct ring_stats st;
	struct rig r;
	unsigned i;

	setup(&r, true);
	for (i = 0; i < 4; i++) {
		q.seg[0] = (struct fe_seg){ grefs[i], 0, 7 };
		q.seg[1] = (struct fe_seg){ grefs[i] + 1, 0, 7 };
		is_int(rig_one(&r, &q), FE_ERROR, "pages %u and %u of 64",
		       grefs[i], grefs[i] + 1);
	}
	ring_stats(r.ring, &st);
	is_int(st.direct, 0, "none in place");
	is_int(r.cfg.disk->data[0], 0, "and nothing written");
	teardown(&r);
}

static void
test_indirect(void)
{
	struct fe_req q = { .op = FE_INDIRECT, .inner = FE_WRITE, .nseg = 20,
			    .indirect = { 40 } };
	struct fe_seg seg[20];
	struct ring_stats st;
	struct rig r;
	unsigned i;

	setup(&r, true);
	for (i = 0; i < 20; i++)
		seg[i] = (struct fe_seg){ 10 + i, 0, 7 };
	fe_indirect_page(&r.fe, 40, seg, 20);
	is_int(rig_one(&r, &q), FE_OKAY, "indirect, 20 pages in a row");
	ok(!memcmp(r.cfg.disk->data, fe_page(&r.fe, 10), 20 * FE_PAGE),
	   "arrives");
	ring_stats(r.ring, &st);
	is_int(st.direct, 1, "in place");
	teardown(&r);
}

static void
test_failed(void)
{
	struct fe_req q = { .op = FE_READ, .nseg = 1, .seg = { { 3, 0, 7 } } };
	struct rig r;

	setup(&r, true);
	r.cfg.queue->fault = fail;
	is_int(rig_one(&r, &q), FE_ERROR, "a disk that fails is an error");
	r.cfg.queue->fault = NULL;
	is_int(rig_one(&r, &q), FE_OKAY, "and the next one is good");
	teardown(&r);
}

/* A request that is under way when the ring goes: the page is not ours to free. */
static void
test_close(void)
{
	struct fe_req q = { .op = FE_WRITE, .nseg = 1, .seg = { { 3, 0, 7 } } };
	struct rig r;

	setup(&r, true);
	fe_put(&r.fe, &q);
	fe_push(&r.fe);
	rig_turn(&r);
	is_int(vd_queue_inflight(r.cfg.queue), 1, "one under way");
	teardown(&r);
	ok(true, "closed");
}

int
main(void)
{
	unsigned c;

	for (c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
		test_write(c);
		test_read(c);
	}
	test_bounds();
	test_indirect();
	test_failed();
	test_close();
	return done_testing();
}
