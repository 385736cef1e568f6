/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * index.c - which layer of a chain holds a part of the disk.
 *
 * A long chain is not walked for every read: for each chunk (the smallest unit
 * of any layer) the index remembers the topmost layer that has anything there.
 * All layers above it are holes over the whole chunk, so a look-up may begin
 * with it; to begin higher up is slower and never wrong.  Filled on demand,
 * in pages that the disk's cache may drop.
 *
 * Only the top changes, and there a hole becomes something else and never a
 * hole again.  Who changes it stores "the top" after the change (commit, zero,
 * discard).  Who fills a chunk reads "not known", walks, and stores what it
 * found only if it still says "not known" in the page that it read - a page of
 * another birth may have missed a change.  The same holds for the chunks behind
 * it that one walk answers, too: known is never forgotten while a page lives.  If it looked before the change, its
 * store fails or is overwritten; if after, it saw the change.
 */
#include <errno.h>
#include <stdlib.h>
#include "internal.h"

#define CHUNKS		2048u		/* of a page: 4 KiB of numbers */
#define PAGES_MAX	(1u << 22)
#define CHUNK_MIN	(4u << 10)
#define CHUNK_MAX	(1u << 20)
#define THE_TOP		1u		/* 1 + layer 0: claims nothing */

struct ipage {
	struct vd_kept	kept;		/* first */
	uint64_t	no, birth;
	_Atomic uint16_t layer[CHUNKS];	/* 1 + the topmost; 0: not known */
};

struct vd_index {
	struct vd_keeper keeper;	/* first */
	uint64_t	chunk;
	uint64_t	npages;
	_Atomic uint64_t births;
	_Atomic(struct ipage *) *pages;
};

static bool
drop(struct vd_keeper *keeper, struct vd_kept *kept)
{
	struct vd_index *x = (struct vd_index *)keeper;

	atomic_store(&x->pages[((struct ipage *)kept)->no], NULL);
	return true;
}

static uint64_t
chunk_of(const struct vd_disk *d)
{
	uint64_t chunk = CHUNK_MAX;

	for (unsigned i = 0; i < d->nlayers; i++) {
		uint64_t unit = d->layers[i].info.unit;

		if (unit && unit < chunk)
			chunk = unit;
	}
	if (chunk < CHUNK_MIN)
		chunk = CHUNK_MIN;
	while (d->size / chunk / CHUNKS >= PAGES_MAX)
		chunk *= 2;
	return chunk;
}

int
vd_index_open(struct vd_disk *d, struct vd_err *err)
{
	struct vd_index *x;

	/* One step down costs no more than a look into the index. */
	if (d->nlayers < 3)
		return 0;
	x = calloc(1, sizeof(*x));
	if (!x)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	x->keeper.drop = drop;
	x->chunk = chunk_of(d);
	x->npages = d->size / x->chunk / CHUNKS + 1;
	x->pages = calloc(x->npages, sizeof(*x->pages));
	if (!x->pages) {
		free(x);
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	}
	d->index = x;
	return 0;
}

void
vd_index_close(struct vd_disk *d)
{
	struct vd_index *x = d->index;

	if (!x)
		return;
	vd_cache_forget(d->cache, &x->keeper);
	for (uint64_t i = 0; i < x->npages; i++)
		free(atomic_load(&x->pages[i]));
	free(x->pages);
	free(x);
	d->index = NULL;
}

/* What is known of a chunk, and the birth of the page that says so (0: none). */
static unsigned
peek(struct vd_disk *d, uint64_t chunk, uint64_t *birth)
{
	struct vd_index *x = d->index;
	unsigned token = vd_read_begin(d->cache), layer = 0;
	struct ipage *p = atomic_load(&x->pages[chunk / CHUNKS]);

	*birth = 0;
	if (p) {
		layer = atomic_load(&p->layer[chunk % CHUNKS]);
		*birth = p->birth;
		vd_cache_touch(&p->kept);
	}
	vd_read_end(d->cache, token);
	return layer;
}

/* Of an empty page for this chunk; 0: no memory, and none is needed. */
static uint64_t
new_page(struct vd_disk *d, uint64_t chunk)
{
	struct vd_index *x = d->index;
	struct ipage *p = calloc(1, sizeof(*p)), *none = NULL;
	uint64_t birth;

	if (!p)
		return 0;
	p->kept.keeper = &x->keeper;
	p->kept.bytes = sizeof(*p) + 16;
	p->no = chunk / CHUNKS;
	birth = p->birth = atomic_fetch_add(&x->births, 1) + 1;
	/* Seen by every change that the walk after this will not see. */
	if (!atomic_compare_exchange_strong(&x->pages[p->no], &none, p)) {
		free(p);
		peek(d, chunk, &birth);
		return birth;
	}
	vd_cache_add(d->cache, &p->kept);
	return birth;
}

/* For n chunks of one page; those that are known by now stay as they are. */
static void
store(struct vd_disk *d, uint64_t chunk, uint64_t n, uint64_t birth,
      unsigned layer)
{
	struct vd_index *x = d->index;
	unsigned token = vd_read_begin(d->cache);
	struct ipage *p = atomic_load(&x->pages[chunk / CHUNKS]);

	for (uint64_t i = 0; p && p->birth == birth && i < n; i++) {
		uint16_t unknown = 0;

		atomic_compare_exchange_strong(&p->layer[chunk % CHUNKS + i],
					       &unknown,
					       (uint16_t)(layer + 1));
	}
	vd_read_end(d->cache, token);
}

/* Is the layer a hole from off to end? */
static int
all_hole(struct vd_layer *l, uint64_t off, uint64_t end, bool *hole)
{
	struct vd_extent e = { .kind = VD_EXT_HOLE };
	int ret = 0;

	for (; off < end && !ret && e.kind == VD_EXT_HOLE; off += e.len)
		ret = vd_layer_map(l, off, end - off, &e, NULL);
	*hole = e.kind == VD_EXT_HOLE;
	return ret;
}

/* How far from off is the layer a hole throughout, or nowhere? */
static uint64_t
same_from(struct vd_layer *l, uint64_t off, uint64_t end, bool hole)
{
	struct vd_extent e;
	uint64_t at = off;

	for (; at < end; at += e.len)
		if (vd_layer_map(l, at, end - at, &e, NULL) ||
		    (e.kind == VD_EXT_HOLE) != hole)
			break;
	return at - off;
}

/*
 * How many chunks from this one on have the same answer, as far as that is
 * cheap to tell: layers that hold nothing there are holes in long runs.
 */
static uint64_t
chunks_like(struct vd_disk *d, uint64_t chunk, unsigned layer)
{
	uint64_t size = d->index->chunk, off = chunk * size;
	uint64_t end = (chunk / CHUNKS + 1) * CHUNKS * size;

	if (end > d->size)
		end = d->size;
	for (unsigned i = 0; i <= layer && i < d->nlayers &&
	     end - off > size; i++)
		end = off + same_from(&d->layers[i], off, end, i < layer);
	if (end == d->size)
		end += size - 1;	/* the last one may be cut */
	return end - off > size ? (end - off) / size : 1;
}

/* Walk.  Where that fails, the read itself will, and say why. */
static unsigned
fill(struct vd_disk *d, uint64_t chunk, uint64_t birth)
{
	uint64_t off = chunk * d->index->chunk, end = off + d->index->chunk;
	bool hole = true;
	unsigned i;

	if (!birth)
		birth = new_page(d, chunk);
	if (end > d->size)
		end = d->size;
	for (i = 0; i < d->nlayers; i++) {
		if (all_hole(&d->layers[i], off, end, &hole))
			return 0;
		if (!hole)
			break;
	}
	if (birth)
		store(d, chunk, chunks_like(d, chunk, i), birth, i);
	return i;
}

static unsigned
topmost(struct vd_disk *d, uint64_t chunk)
{
	uint64_t birth;
	unsigned layer = peek(d, chunk, &birth);

	return layer ? layer - 1 : fill(d, chunk, birth);
}

unsigned
vd_index_from(struct vd_disk *d, uint64_t off, uint64_t *len)
{
	uint64_t size = d->index->chunk, chunk = off / size;
	uint64_t stop = (chunk + 1) * size;
	unsigned layer = topmost(d, chunk);

	while (stop < off + *len && topmost(d, stop / size) == layer)
		stop += size;
	if (stop - off < *len)
		*len = stop - off;
	return layer;
}

/* Pages that are made from here on are filled by walks that see the change. */
void
vd_index_changed(struct vd_disk *d, uint64_t off, uint64_t len)
{
	struct vd_index *x = d->index;
	uint64_t c, last;

	if (!x || !len)
		return;
	last = (off + len - 1) / x->chunk;
	atomic_thread_fence(memory_order_seq_cst);
	for (c = off / x->chunk; c <= last; ) {
		uint64_t next = (c / CHUNKS + 1) * CHUNKS;
		unsigned token = vd_read_begin(d->cache);
		struct ipage *p = atomic_load(&x->pages[c / CHUNKS]);

		for (; p && c <= last && c < next; c++)
			atomic_store(&p->layer[c % CHUNKS], THE_TOP);
		vd_read_end(d->cache, token);
		c = next;
	}
}
