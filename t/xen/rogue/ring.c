/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ring.c - the ring as its frontend sees it, and an honest use of it. */
#define _GNU_SOURCE
#include <string.h>
#include "rogue.h"

#define ANSWER_MS	30000u

struct blkif_header *
header(void)
{
	return (struct blkif_header *)f.ring;
}

uint8_t *
slot(uint32_t idx)
{
	return f.ring + sizeof(struct blkif_header) +
	       (size_t)(idx & (f.entries - 1)) * f.stride;
}

/* The two layouts differ in where the fields lie, not in what they are. */
#define FILL(bits)							\
static void								\
fill##bits(uint8_t *to, const struct req *q)				\
{									\
	struct blkif_rw_##bits *r = (void *)to;				\
	struct blkif_indirect_##bits *i = (void *)to;			\
	struct blkif_discard_##bits *d = (void *)to;			\
									\
	r->operation = q->op;						\
	if (q->op == BLKIF_OP_INDIRECT) {				\
		i->indirect_op = q->inner;				\
		i->nr_segments = (uint16_t)q->nsegs;			\
		i->id = q->id;						\
		i->sector = q->sector;					\
		i->handle = q->handle;					\
		memcpy(i->grefs, q->grefs, sizeof(i->grefs));		\
		return;							\
	}								\
	r->handle = q->handle;						\
	r->id = q->id;							\
	r->sector = q->sector;						\
	if (q->op == BLKIF_OP_DISCARD) {				\
		d->flag = q->flag;					\
		d->nr_sectors = q->nsectors;				\
		return;							\
	}								\
	r->nr_segments = (uint8_t)q->nsegs;				\
	memcpy(r->seg, q->seg, sizeof(r->seg));				\
}
FILL(64)
FILL(32)

void
put(const struct req *q)
{
	uint8_t *to = slot(f.req_prod);

	memset(to, q->padding, f.stride);
	if (f.keys.abi32)
		fill32(to, q);
	else
		fill64(to, q);
	memcpy(f.shadow[f.req_prod & (f.entries - 1)], to, f.stride);
	f.req_prod++;
}

void
push(void)
{
	__atomic_store_n(&header()->req_prod, f.req_prod, __ATOMIC_SEQ_CST);
	ring_bell();
}

/* id, operation and status are the backend's to write, nothing else. */
static void
look_at_padding(uint32_t idx)
{
	const uint8_t *now = slot(idx), *was = f.shadow[idx & (f.entries - 1)];

	if (f.racing)
		return;
	if (now[9] != was[9] || memcmp(now + 12, was + 12, f.stride - 12))
		f.dirty++;
}

/* As many answers as come in time, n at most. */
unsigned
take(struct answer *a, unsigned n, unsigned ms)
{
	uint64_t end = now_ms() + ms;
	struct blkif_response rsp;
	unsigned got = 0;

	while (got < n) {
		if (__atomic_load_n(&header()->rsp_prod, __ATOMIC_ACQUIRE) ==
		    f.rsp_cons) {
			__atomic_store_n(&header()->rsp_event, f.rsp_cons + 1,
					 __ATOMIC_SEQ_CST);
			if (now_ms() > end)
				break;
			bell_rang(10);
			continue;
		}
		memcpy(&rsp, slot(f.rsp_cons), sizeof(rsp));
		look_at_padding(f.rsp_cons);
		a[got++] = (struct answer){ rsp.id, rsp.operation, rsp.status };
		f.rsp_cons++;
	}
	return got;
}

/* Its status; no answer at all, or one to something else, is none of three. */
int
one(struct req *q)
{
	static uint64_t id = 0x1122334455667788u;
	struct answer a;

	if (!q->id)
		q->id = id += 0x0101010101010101u;
	put(q);
	push();
	if (take(&a, 1, ANSWER_MS) != 1)
		return NO_ANSWER;
	if (a.id != q->id)
		return NO_ANSWER + 1;
	if (a.op != (q->op == BLKIF_OP_INDIRECT ? q->inner : q->op))
		return NO_ANSWER + 2;
	return a.status;
}

bool
even(void)
{
	nap_ms(20);
	return __atomic_load_n(&header()->rsp_prod, __ATOMIC_ACQUIRE) ==
	       f.req_prod && f.rsp_cons == f.req_prod;
}

struct req
rw(uint8_t op, uint64_t sector, unsigned npages)
{
	struct req q = { .op = op, .nsegs = npages, .sector = sector };
	unsigned i;

	for (i = 0; i < npages && i < BLKIF_MAX_SEGS; i++)
		q.seg[i] = (struct blkif_segment){
			.gref = f.ref[i], .last_sect = 7,
		};
	return q;
}

struct blkif_segment *
list(void)
{
	return (void *)(f.data + LIST_PAGE * PAGE);
}

/*
 * A page and a grant for each segment, as guests have it; Xen does not map one grant
 * more than about 127 times at once.
 */
struct req
indirect(uint8_t inner, uint64_t sector, unsigned n)
{
	struct req q = {
		.op = BLKIF_OP_INDIRECT, .inner = inner, .nsegs = n,
		.sector = sector,
	};
	unsigned i;

	for (i = 0; i < BLKIF_INDIRECT_PAGES; i++)
		q.grefs[i] = f.ref[LIST_PAGE + i];
	for (i = 0; i < BLKIF_INDIRECT_PAGES * BLKIF_SEGS_PER_PAGE; i++)
		list()[i] = (struct blkif_segment){
			.gref = f.ref[i % SEG_PAGES], .last_sect = 7,
			.pad = 0xffff,
		};
	return q;
}

void
pattern(uint8_t *p, size_t n, unsigned seed)
{
	uint32_t x = seed * 2654435761u + 1;

	for (; n--; x = x * 1664525u + 1013904223u)
		*p++ = (uint8_t)(x >> 24);
}

bool
writes(uint64_t sector, unsigned npages, unsigned seed)
{
	struct req q = rw(BLKIF_OP_WRITE, sector, npages);

	pattern(f.data, npages * PAGE, seed);
	return one(&q) == BLKIF_RSP_OKAY;
}

bool
holds(uint64_t sector, unsigned npages, unsigned seed)
{
	static uint8_t want[BLKIF_MAX_SEGS * PAGE];
	struct req q = rw(BLKIF_OP_READ, sector, npages);

	memset(f.data, 0xee, npages * PAGE);
	pattern(want, npages * PAGE, seed);
	return one(&q) == BLKIF_RSP_OKAY &&
	       !memcmp(want, f.data, npages * PAGE);
}

/* The disk still works, and no answer came that nobody asked for. */
bool
alive(void)
{
	static unsigned seed = 1000;

	seed++;
	return writes(AREA, 3, seed) && holds(AREA, 3, seed) && even();
}
