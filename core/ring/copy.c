/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * copy.c - guest pages to our buffers and back, a whole turn in one call.
 *
 * Of a guest's own pages data is always copied: nothing stays mapped, so
 * nothing has to be unmapped before an answer is pushed, undone after a
 * partial failure or distrusted while the disk works on it.
 * A transport whose pages are there for good, and looked after by someone else,
 * offers them: then the disk uses them in place, where it can.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#include "internal.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define POOL_ASAN
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define POOL_ASAN
#endif

#ifdef POOL_ASAN
/* Let the sanitizer see a buffer's true end, and its use after the answer. */
#include <sanitizer/asan_interface.h>
#define pool_hide(p, n)	ASAN_POISON_MEMORY_REGION(p, n)
#define pool_show(p, n)	ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define pool_hide(p, n)	((void)(p), (void)(n))
#define pool_show(p, n)	((void)(p), (void)(n))
#endif

static void
add_piece(struct ring *r, struct ring_req *q, bool to_guest,
	  const struct ring_copy *c)
{
	if (r->npieces == RING_PIECES)
		copy_flush(r, to_guest);
	r->owners[r->npieces] = q;
	r->pieces[r->npieces++] = *c;
}

/* Fetch the segment list of an indirect request with the next copy. */
void
copy_indirect(struct ring *r, struct ring_req *q)
{
	struct ring_copy c = {
		.gref = q->indirect_gref,
		.len = q->nsegs * sizeof(*q->segs),
		.buf = q->segs,
	};

	add_piece(r, q, false, &c);
}

/* Move the segments of q with the next copy, one after the other in its buffer. */
void
copy_data(struct ring *r, struct ring_req *q, bool to_guest)
{
	uint8_t *buf = q->buf;
	unsigned i, sectors;

	if (q->direct)
		return;
	for (i = 0; i < q->nsegs; i++) {
		const struct blkif_segment *s = &q->segs[i];
		struct ring_copy c = { .gref = s->gref, .buf = buf };

		sectors = s->last_sect - s->first_sect + 1u;
		c.off = s->first_sect * BLKIF_SECTOR;
		c.len = sectors * BLKIF_SECTOR;
		add_piece(r, q, to_guest, &c);
		buf += c.len;
	}
}

/*
 * Do the copy.  R-22: a request is good only if each of its pieces is, and a
 * piece that the transport forgot to judge is not.  R-30: a guest page that
 * is not there now was retried by the transport, and is an error here.
 */
void
copy_flush(struct ring *r, bool to_guest)
{
	unsigned i;

	if (r->npieces == 0)
		return;
	for (i = 0; i < r->npieces; i++)
		r->pieces[i].status = -EIO;
	r->transport.copy(r->transport.ctx, r->pieces, r->npieces, to_guest);
	for (i = 0; i < r->npieces; i++) {
		struct ring_req *q = r->owners[i];

		if (r->pieces[i].status == 0 || q->status != BLKIF_RSP_OKAY)
			continue;
		request_bad(r, q, BLKIF_RSP_ERROR,
			    "cannot copy guest page %u (errno %d)",
			    r->pieces[i].gref, -r->pieces[i].status);
	}
	r->npieces = 0;
}

/*
 * Where q's data lies in the guest's pages, if it lies there in one piece: each
 * segment in the page behind that of the one before, and no gap between two.
 * The guest may change it under us, as in a buffer that it shares: nobody above
 * looks at data twice.
 */
static void *
in_place(struct ring *r, const struct ring_req *q)
{
	const struct blkif_segment *s = q->segs;
	uint8_t *page;
	unsigned i;

	if (!r->transport.pages)
		return NULL;
	for (i = 1; i < q->nsegs; i++)
		if (s[i].first_sect || s[i].gref != s[0].gref + i ||
		    s[i - 1].last_sect != BLKIF_PAGE_SECTORS - 1)
			return NULL;
	page = r->transport.pages(r->transport.ctx, s[0].gref, q->nsegs);
	return page ? page + s[0].first_sect * BLKIF_SECTOR : NULL;
}

/* Room for the data of a request that has some; false: not now. */
bool
copy_get(struct ring *r, struct ring_req *q)
{
	q->buf = in_place(r, q);
	q->direct = q->buf;
	if (!q->buf)
		q->buf = pool_get(&r->pool, q->nsectors << BLKIF_SECTOR_SHIFT);
	r->st.direct += q->direct;
	return q->buf;
}

void
copy_put(struct ring *r, struct ring_req *q)
{
	if (q->buf && !q->direct)
		pool_put(&r->pool, q->buf, q->nsectors << BLKIF_SECTOR_SHIFT);
	q->buf = NULL;
	q->direct = false;
}

/*
 * The pool.  R-20: memory comes zeroed from the kernel and never mixes with
 * that of other uses or other disks, so the worst an unfilled buffer can hold
 * is what this guest itself read or wrote before.
 */
static unsigned
pool_class(size_t len)
{
	unsigned c = 0;

	while (((size_t)RING_PAGE_SIZE << c) < len)
		c++;
	return c;
}

size_t
pool_size(size_t len)
{
	return (size_t)RING_PAGE_SIZE << pool_class(len);
}

static void *
pool_pop(struct pool *p, unsigned c)
{
	void *buf = p->free[c];

	if (buf) {
		pool_show(buf, (size_t)RING_PAGE_SIZE << c);
		p->free[c] = *(void **)buf;
	}
	return buf;
}

/* Give free buffers of other sizes back until len more bytes fit. */
static bool
pool_room(struct pool *p, size_t len)
{
	unsigned c;
	void *buf;

	for (c = 0; c < RING_CLASSES && p->limit - p->used < len; c++) {
		while (p->limit - p->used < len && (buf = pool_pop(p, c))) {
			munmap(buf, (size_t)RING_PAGE_SIZE << c);
			p->used -= (size_t)RING_PAGE_SIZE << c;
		}
	}
	return p->limit - p->used >= len;
}

/* NULL: not now (R-52: the guest waits, it does not fail). */
void *
pool_get(struct pool *p, size_t len)
{
	unsigned c = pool_class(len);
	size_t size = (size_t)RING_PAGE_SIZE << c;
	void *buf = pool_pop(p, c);

	if (!buf) {
		if (!pool_room(p, size))
			return NULL;
		buf = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (buf == MAP_FAILED)
			return NULL;
		p->used += size;
	}
	pool_hide((uint8_t *)buf + len, size - len);
	return buf;
}

void
pool_put(struct pool *p, void *buf, size_t len)
{
	unsigned c = pool_class(len);

	*(void **)buf = p->free[c];
	p->free[c] = buf;
	pool_hide(buf, (size_t)RING_PAGE_SIZE << c);
}

void
pool_free(struct pool *p)
{
	unsigned c;
	void *buf;

	for (c = 0; c < RING_CLASSES; c++)
		while ((buf = pool_pop(p, c)))
			munmap(buf, (size_t)RING_PAGE_SIZE << c);
}
