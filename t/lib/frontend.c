/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* frontend.c - a guest's end of a block ring; see frontend.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "frontend.h"

/* Byte offsets in a request, of the 64-bit and the 32-bit layout. */
static const struct offsets {
	uint8_t stride, id, sector, seg, nr_sectors, handle, indirect;
} offsets[] = {
	[FE_64] = { 112, 8, 16, 24, 24, 24, 28 },
	[FE_32] = { 108, 4, 12, 20, 20, 20, 24 },
};

/* entries of rings of 1, 2, 4, 8, 16 pages, in either layout */
static const uint16_t entries[] = { 32, 64, 128, 256, 512 };

int
fe_open(struct fe *fe, enum fe_abi abi, unsigned order, unsigned guest_pages,
	uint32_t start)
{
	size_t size;

	memset(fe, 0, sizeof(*fe));
	fe->abi = abi;
	fe->ring_pages = 1u << order;
	fe->guest_pages = guest_pages;
	fe->entries = entries[order];
	fe->stride = offsets[abi].stride;
	size = (size_t)(fe->ring_pages + guest_pages) * FE_PAGE;
	fe->memfd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	fe->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fe->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fe->memfd < 0 || fe->kick_fd < 0 || fe->notify_fd < 0 ||
	    ftruncate(fe->memfd, (off_t)size) < 0)
		return -errno;
	fe->mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       fe->memfd, 0);
	if (fe->mem == MAP_FAILED)
		return -errno;
	fe->slots = fe->mem + 64;
	fe->guest = fe->mem + fe->ring_pages * FE_PAGE;
	fe->req_prod = fe->rsp_cons = start;
	*fe_word(fe, FE_REQ_PROD) = *fe_word(fe, FE_RSP_PROD) = start;
	*fe_word(fe, FE_REQ_EVENT) = *fe_word(fe, FE_RSP_EVENT) = start + 1;
	return 0;
}

void
fe_close(struct fe *fe)
{
	munmap(fe->mem, (size_t)(fe->ring_pages + fe->guest_pages) * FE_PAGE);
	close(fe->memfd);
	close(fe->kick_fd);
	close(fe->notify_fd);
}

volatile uint32_t *
fe_word(struct fe *fe, enum fe_word w)
{
	return (volatile uint32_t *)(fe->mem + 4 * w);
}

uint8_t *
fe_slot(struct fe *fe, uint32_t idx)
{
	return fe->slots + (size_t)(idx & (fe->entries - 1)) * fe->stride;
}

uint8_t *
fe_page(struct fe *fe, uint32_t gref)
{
	return fe->guest + (size_t)gref * FE_PAGE;
}

static void
put_segs(uint8_t *to, const struct fe_seg *seg, unsigned n)
{
	for (; n; n--, seg++, to += 8) {
		memcpy(to, &seg->gref, 4);
		to[4] = seg->first;
		to[5] = seg->last;
	}
}

void
fe_indirect_page(struct fe *fe, uint32_t gref, const struct fe_seg *seg,
		 unsigned n)
{
	put_segs(fe_page(fe, gref), seg, n);
}

bool
fe_full(struct fe *fe)
{
	return fe->req_prod - fe->rsp_cons >= fe->entries;
}

void
fe_put(struct fe *fe, const struct fe_req *q)
{
	const struct offsets *o = &offsets[fe->abi];
	uint8_t *s = fe_slot(fe, fe->req_prod++);

	memset(s, fe->fill, fe->stride);
	s[0] = q->op;
	memcpy(s + o->id, &q->id, 8);
	memcpy(s + o->sector, &q->sector, 8);
	if (q->op == FE_INDIRECT) {
		s[1] = q->inner;
		memcpy(s + 2, &q->nseg, 2);
		memcpy(s + o->handle, &q->handle, 2);
		memcpy(s + o->indirect, q->indirect, sizeof(q->indirect));
	} else if (q->op == FE_DISCARD) {
		s[1] = q->flag;
		memcpy(s + 2, &q->handle, 2);
		memcpy(s + o->nr_sectors, &q->nr_sectors, 8);
	} else {
		s[1] = (uint8_t)q->nseg;
		memcpy(s + 2, &q->handle, 2);
		put_segs(s + o->seg, q->seg, q->nseg < 11 ? q->nseg : 11);
	}
}

bool
fe_push(struct fe *fe)
{
	uint32_t old = *fe_word(fe, FE_REQ_PROD), new = fe->req_prod, event;
	uint64_t one = 1;

	__atomic_store_n((uint32_t *)(void *)fe->mem, new, __ATOMIC_SEQ_CST);
	event = __atomic_load_n((uint32_t *)(void *)(fe->mem + 4),
				__ATOMIC_SEQ_CST);
	if ((uint32_t)(new - event) >= (uint32_t)(new - old))
		return false;
	fe->kicks++;
	return write(fe->kick_fd, &one, sizeof(one)) == sizeof(one);
}

bool
fe_next(struct fe *fe, struct fe_rsp *rsp)
{
	uint32_t prod = __atomic_load_n((uint32_t *)(void *)(fe->mem + 8),
					__ATOMIC_ACQUIRE);
	uint8_t *s;

	if (fe->rsp_cons == prod)
		return false;
	s = fe_slot(fe, fe->rsp_cons++);
	memcpy(&rsp->id, s, 8);
	rsp->op = s[8];
	memcpy(&rsp->status, s + 10, 2);
	return true;
}

bool
fe_rearm(struct fe *fe)
{
	__atomic_store_n((uint32_t *)(void *)(fe->mem + 12), fe->rsp_cons + 1,
			 __ATOMIC_SEQ_CST);
	return __atomic_load_n((uint32_t *)(void *)(fe->mem + 8),
			       __ATOMIC_SEQ_CST) != fe->rsp_cons;
}

bool
fe_rung(struct fe *fe)
{
	uint64_t n;

	return read(fe->notify_fd, &n, sizeof(n)) == sizeof(n);
}

bool
fe_wait(struct fe *fe, int ms)
{
	struct pollfd p = { .fd = fe->notify_fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0 && fe_rung(fe);
}
