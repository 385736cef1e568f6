/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stress.c - see stress.h. */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stress.h"

#define SEGS_MAX	256u

struct job {
	struct job     *next;		/* free */
	struct fe_req	q;
	uint8_t		op;		/* the inner one */
	bool		busy;
	uint32_t	n;		/* sectors */
	uint32_t	version;	/* that it writes */
	unsigned	nsegs;
	struct fe_seg	seg[SEGS_MAX];
	uint32_t       *snapshot;	/* of a flush: what must be durable */
};

struct run {
	struct rig     *r;
	struct stress  *s;
	struct job     *jobs, *free;
	uint32_t       *pages;
	unsigned	npages, inflight, posted, serial;
};

void
stress_sector(uint32_t sector, uint32_t version, uint8_t *to)
{
	uint64_t x = (uint64_t)sector << 32 | version;
	unsigned i;

	memset(to, 0, 512);
	for (i = 0; version && i < 512; i += 8) {
		x = (x ^ x >> 31) * 0x9e3779b97f4a7c15ull + i;
		memcpy(to + i, &x, 8);
	}
}

static unsigned
rnd(struct run *u, unsigned n)
{
	uint64_t *x = &u->s->seed;

	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return (unsigned)(*x >> 13) % n;
}

__attribute__((format(printf, 2, 3))) static bool
wrong(struct run *u, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(u->s->why, sizeof(u->s->why), fmt, ap);
	va_end(ap);
	return false;
}

static bool
changes(const struct job *j)
{
	return j->op == FE_WRITE || j->op == FE_BARRIER || j->op == FE_DISCARD;
}

/* Nobody else may be about to change what it uses; readers may share. */
static bool
lock(struct run *u, struct job *j)
{
	struct stress *s = u->s;
	uint32_t i, at = (uint32_t)j->q.sector;

	for (i = at; i < at + j->n; i++)
		if (s->writer[i] || (changes(j) && s->readers[i]))
			return false;
	for (i = at; i < at + j->n; i++) {
		if (changes(j))
			s->writer[i] = true;
		else
			s->readers[i]++;
	}
	return true;
}

static void
unlock(struct run *u, struct job *j)
{
	uint32_t i, at = (uint32_t)j->q.sector;

	for (i = at; i < at + j->n; i++) {
		if (!changes(j)) {
			u->s->readers[i]--;
			continue;
		}
		u->s->writer[i] = false;
		u->s->version[i] = j->version;
	}
}

/* Every segment has its own page, of which it uses any part. */
static bool
choose_segments(struct run *u, struct job *j, unsigned most)
{
	bool whole = u->s->rows && rnd(u, 2);	/* no gap */
	unsigned i;

	j->nsegs = 1 + rnd(u, most);
	if (j->nsegs + 1 > u->npages)
		return false;
	for (i = 0, j->n = 0; i < j->nsegs; i++) {
		struct fe_seg *g = &j->seg[i];

		g->first = rnd(u, 4) ? 0 : (uint8_t)rnd(u, 8);
		g->last = rnd(u, 4) ? 7 : g->first +
			  (uint8_t)rnd(u, 8u - g->first);
		if (whole && i)
			g->first = 0;
		if (whole && i + 1 < j->nsegs)
			g->last = 7;
		j->n += g->last - g->first + 1u;
	}
	if (j->n > STRESS_SECTORS)
		return false;
	j->q.sector = rnd(u, STRESS_SECTORS - j->n + 1);
	return true;
}

/* So many pages that follow each other, from the stack of free ones. */
static bool
pages_in_a_row(struct run *u, unsigned n, uint32_t *first)
{
	unsigned i, run = 1;

	for (i = 1; i < u->npages && run < n; i++)
		run = u->pages[i] == u->pages[i - 1] + 1 ? run + 1 : 1;
	if (run < n)
		return false;
	*first = u->pages[i - n];
	memmove(u->pages + i - n, u->pages + i,
		(u->npages - i) * sizeof(*u->pages));
	u->npages -= n;
	return true;
}

static void
put_page_back(struct run *u, uint32_t page)
{
	unsigned i;

	/* In order where that is cheap: rows are found again. */
	for (i = u->npages++; i && u->s->rows && u->pages[i - 1] > page; i--)
		u->pages[i] = u->pages[i - 1];
	u->pages[i] = page;
}

static void
fill_pages(struct run *u, struct job *j)
{
	uint32_t sector = (uint32_t)j->q.sector, first;
	bool row = u->s->rows && rnd(u, 4) &&
		   pages_in_a_row(u, j->nsegs, &first);
	unsigned i, k;

	for (i = 0; i < j->nsegs; i++) {
		struct fe_seg *g = &j->seg[i];
		uint8_t *page;

		g->gref = row ? first + i : u->pages[--u->npages];
		page = fe_page(&u->r->fe, g->gref);
		memset(page, 0xcc, FE_PAGE);
		for (k = g->first; j->op != FE_READ && k <= g->last; k++)
			stress_sector(sector++, j->version, page + 512 * k);
	}
}

static bool
choose(struct run *u, struct job *j)
{
	static const uint8_t ops[] = { FE_READ, FE_READ, FE_WRITE, FE_WRITE,
		FE_WRITE, FE_BARRIER, FE_FLUSH, FE_DISCARD };
	bool indirect = u->s->max_segs && rnd(u, 2);

	memset(&j->q, 0, sizeof(j->q));
	j->op = j->q.op = ops[rnd(u, u->s->discard ? 8 : 7)];
	j->nsegs = j->n = 0;
	j->version = 0;
	if (j->op == FE_FLUSH)
		return true;
	if (j->op == FE_DISCARD) {
		j->n = 1 + rnd(u, 100);
		j->q.nr_sectors = j->n;
		j->q.sector = rnd(u, STRESS_SECTORS - j->n);
		return lock(u, j);
	}
	if (j->op == FE_BARRIER && rnd(u, 4) == 0)
		return true;			/* an empty one */
	if (j->op == FE_BARRIER)
		indirect = false;
	if (!choose_segments(u, j, indirect ? u->s->max_segs : 11) ||
	    !lock(u, j))
		return false;
	if (changes(j))
		j->version = ++u->s->next_version;
	fill_pages(u, j);
	j->q.nseg = (uint16_t)j->nsegs;
	if (indirect) {
		j->q.op = FE_INDIRECT;
		j->q.inner = j->op;
		j->q.indirect[0] = u->pages[--u->npages];
		fe_indirect_page(&u->r->fe, j->q.indirect[0], j->seg,
				 j->nsegs);
	} else {
		memcpy(j->q.seg, j->seg, j->nsegs * sizeof(*j->seg));
	}
	return true;
}

static bool
is_flush(const struct job *j)
{
	return j->op == FE_FLUSH || j->op == FE_BARRIER;
}

static bool
post(struct run *u)
{
	struct job *j = u->free;

	if (!j || !choose(u, j))
		return false;
	u->free = j->next;
	j->q.id = (uint64_t)++u->serial << 32 | (uint64_t)(j - u->jobs);
	j->busy = true;
	if (is_flush(j) && u->s->durable)
		memcpy(j->snapshot, u->s->version, sizeof(u->s->version));
	fe_put(&u->r->fe, &j->q);
	u->posted++;
	if (++u->inflight > u->s->most)
		u->s->most = u->inflight;
	return true;
}

static bool
check_read(struct run *u, struct job *j)
{
	uint32_t sector = (uint32_t)j->q.sector;
	uint8_t want[512];
	unsigned i, k;

	for (i = 0; i < j->nsegs; i++) {
		for (k = 0; k < 8; k++) {
			memset(want, 0xcc, 512);
			if (k >= j->seg[i].first && k <= j->seg[i].last) {
				stress_sector(sector, u->s->version[sector],
					      want);
				sector++;
			}
			if (memcmp(fe_page(&u->r->fe, j->seg[i].gref) +
				   512 * k, want, 512))
				return wrong(u, "request %u: segment %u, "
					     "sector %u of its page is not "
					     "sector %u of the disk",
					     (unsigned)(j->q.id >> 32), i, k,
					     sector - 1);
		}
	}
	return true;
}

/* What was acknowledged before the flush was posted, and is not changing. */
static bool
check_durable(struct run *u, struct job *j)
{
	uint8_t want[512];
	uint32_t i;

	for (i = 0; i < j->n; i++)	/* a barrier's own data is, too */
		j->snapshot[j->q.sector + i] = j->version;
	for (i = 0; i < STRESS_SECTORS; i++) {
		if (u->s->writer[i] || j->snapshot[i] != u->s->version[i] ||
		    !j->snapshot[i])	/* a discard promises nothing */
			continue;
		stress_sector(i, j->snapshot[i], want);
		if (memcmp(u->s->durable + 512 * i, want, 512))
			return wrong(u, "sector %u was flushed and is not "
				     "durable", i);
	}
	return true;
}

static bool
take(struct run *u, const struct fe_rsp *rsp)
{
	uint32_t i = (uint32_t)rsp->id;
	struct job *j = &u->jobs[i < u->r->fe.entries ? i : 0];
	bool good = true;

	if (!j->busy || j->q.id != rsp->id)
		return wrong(u, "an answer to no question: id 0x%llx",
			     (unsigned long long)rsp->id);
	if (rsp->status != FE_OKAY || rsp->op != j->op)
		return wrong(u, "operation %u answered with %d, %u", j->op,
			     rsp->status, rsp->op);
	if (j->op == FE_READ)
		good = check_read(u, j);
	unlock(u, j);
	if (is_flush(j) && u->s->durable)
		good = check_durable(u, j);
	for (i = 0; i < j->nsegs; i++)
		put_page_back(u, j->seg[i].gref);
	if (j->q.op == FE_INDIRECT)
		put_page_back(u, j->q.indirect[0]);
	j->busy = false;
	j->next = u->free;
	u->free = j;
	u->inflight--;
	return good;
}

/* Sleep until there are answers, the way a guest does. */
static bool
wait_for_answers(struct run *u)
{
	unsigned i;

	if (!u->s->threaded) {
		rig_turn(u->r);
		return true;
	}
	for (i = 0; i < 10; i++)
		if (fe_rearm(&u->r->fe) || fe_wait(&u->r->fe, 2000))
			return true;
	return wrong(u, "nobody rang for %u requests", u->inflight);
}

static bool
go(struct run *u)
{
	struct fe_rsp rsp;
	unsigned tries, idle = 0;

	while (u->posted < u->s->requests || u->inflight) {
		for (tries = rnd(u, 40); tries && !fe_full(&u->r->fe) &&
		     u->posted < u->s->requests; tries--)
			post(u);
		fe_push(&u->r->fe);
		if (u->inflight && !wait_for_answers(u))
			return false;
		idle++;
		while (fe_next(&u->r->fe, &rsp)) {
			idle = 0;
			if (!take(u, &rsp))
				return false;
		}
		if (idle > 100000)
			return wrong(u, "%u requests never answered",
				     u->inflight);
	}
	return true;
}

bool
stress_run(struct rig *r, struct stress *s)
{
	struct run u = { .r = r, .s = s };
	unsigned i, n = r->fe.entries;
	uint32_t *snapshots;
	bool good;

	u.jobs = calloc(n, sizeof(*u.jobs));
	u.pages = calloc(r->guest_pages, sizeof(*u.pages));
	snapshots = calloc(n, sizeof(s->version));
	for (i = 0; i < n; i++) {
		u.jobs[i].snapshot = snapshots + (size_t)i * STRESS_SECTORS;
		u.jobs[i].next = u.free;
		u.free = &u.jobs[i];
	}
	for (i = 0; i < r->guest_pages; i++)
		u.pages[u.npages++] = i;
	if (s->threaded)
		rig_thread(r);
	good = go(&u);
	if (s->threaded)
		rig_join(r);
	free(u.jobs);
	free(u.pages);
	free(snapshots);
	return good;
}
