/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * discard.c - zeros and discards, and the room that grains leave behind.
 *
 * A grain is given up in its entry: 0 in a base, 1 in a child whose header
 * allows such entries.  In any other child its place is all that hides the
 * parent, so the grain stays where it is and gives its bytes back to the file
 * system (a hole of the file reads as zeros, too).
 *
 * W3  The room of a grain that was given up is held until a sync has written
 *     the changed entry to both tables; only then may another grain have it.
 *     Written again before that, the grain gets its own room back: so the old
 *     and the new entry, which a power cut may leave in the two copies, never
 *     name two different places (W4).
 *
 * Which room was nobody's before this open is told by all entries together;
 * they are read once, when the first grain is given up.  Two grains in one
 * room, which no sane writer makes, are found then: giving up one of them
 * would give away the other's bytes.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

#define FREE_MAX	(1u << 20)	/* grains remembered as free */
#define BITMAP_MAX	(32u << 20)	/* bytes: 16 TiB of grains */
#define DIRTY_SOME	8192u		/* entries changed between two syncs */

/* ------------------------------------------------------------------ room */

/* Nobody's from now on; what does not fit is a hole that leaks.  Locked. */
void
vmdk_room_give(struct vmdk_extent *x, uint32_t sector)
{
	struct vmdk_room *r = &x->room;

	if (r->nfree == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 64;
		uint32_t *more = cap <= FREE_MAX
			? realloc(r->free, cap * sizeof(*more)) : NULL;

		if (!more)
			return;
		r->free = more;
		r->cap = cap;
	}
	r->free[r->nfree++] = sector;
}

/* Locked. */
void
vmdk_room_hold(struct vmdk_extent *x, uint64_t grain, uint32_t sector)
{
	uint32_t ***held = &x->room.held, **page;

	if (!*held)
		*held = calloc(x->ntables, sizeof(**held));
	if (!*held)
		return;			/* a leak, no more */
	page = &(*held)[grain / x->h.gtes];
	if (!*page)
		*page = calloc(x->h.gtes, sizeof(**page));
	if (*page)
		(*page)[grain % x->h.gtes] = sector;
}

/* Room for this grain; false: none but at the end of the file.  Locked. */
bool
vmdk_room_take(struct vmdk_extent *x, uint64_t grain, uint64_t *off,
	       bool *held)
{
	struct vmdk_room *r = &x->room;
	uint32_t *page = r->held ? r->held[grain / x->h.gtes] : NULL;
	uint32_t *own = page ? &page[grain % x->h.gtes] : NULL;

	*held = own && *own;
	if (!*held && !r->nfree)
		return false;
	*off = (uint64_t)(*held ? *own : r->free[--r->nfree]) * VMDK_SECTOR;
	if (*held)
		*own = 0;
	return true;
}

static void
free_held(struct vmdk_extent *x, uint32_t **held)
{
	for (uint32_t i = 0; held && i < x->ntables; i++)
		free(held[i]);
	free(held);
}

/* Written, held room is free; not written, it is held again.  Locked. */
static void
release(struct vmdk_extent *x, uint32_t **held, bool written)
{
	for (uint32_t i = x->ntables; i-- > 0; ) {
		for (uint32_t k = x->h.gtes; held[i] && k-- > 0; ) {
			if (!held[i][k])
				continue;
			if (written)
				vmdk_room_give(x, held[i][k]);
			else
				vmdk_room_hold(x, (uint64_t)i * x->h.gtes + k,
					       held[i][k]);
		}
	}
}

/*
 * What is held when the sync begins is in it: an entry changes before its
 * room is held.  What is held later waits for the next one.
 */
int
vmdk_room_sync(struct vmdk_extent *x, struct vd_err *err)
{
	uint32_t **held;
	int ret;

	pthread_mutex_lock(&x->lock);
	held = x->room.held;
	x->room.held = NULL;
	pthread_mutex_unlock(&x->lock);
	ret = vd_table_sync(x->table, x->kind == VMDK_COWD
			    ? vmdk_cowd_between : NULL, x, err);
	if (!held)
		return ret;
	pthread_mutex_lock(&x->lock);
	release(x, held, !ret);					/* W3 */
	pthread_mutex_unlock(&x->lock);
	free_held(x, held);
	return ret;
}

void
vmdk_room_end(struct vmdk_extent *x)
{
	free_held(x, x->room.held);
	free(x->room.free);
	x->room = (struct vmdk_room){ 0 };
}

static int
number_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * Free room at the end of the file goes back to the file system.  Nothing is
 * under way, all entries are durable.  ESX's freeSector may not stay behind
 * the end of the file: it is lowered first.
 */
int
vmdk_room_trim(struct vmdk_extent *x, struct vd_err *err)
{
	uint64_t slack = x->kind == VMDK_COWD ? VMDK_SECTOR : 0;
	uint64_t size = vd_file_size(x->file), end = size;
	struct vmdk_room *r = &x->room;
	int ret = 0;

	if (!r->nfree || r->held)
		return 0;
	qsort(r->free, r->nfree, sizeof(*r->free), number_cmp);
	for (; r->nfree; r->nfree--, slack = 0) {
		uint64_t at = (uint64_t)r->free[r->nfree - 1] * VMDK_SECTOR;

		if (at + x->grain + slack < end ||
		    at < x->h.overhead * VMDK_SECTOR)
			break;
		end = at;
	}
	if (end >= size)
		return 0;
	if (x->kind == VMDK_COWD)
		ret = vmdk_cowd_lower(x, end, err);
	return ret ? ret : vd_file_truncate(x->file, x->kind == VMDK_COWD
					    ? end + VMDK_SECTOR : end, err);
}

/* ------------------------------------------------------------------ scan */

struct scan {
	struct vmdk_extent *x;
	uint64_t	slots;		/* of a grain's length, from byte 0 on */
	uint8_t	       *begun;		/* a grain begins in it */
	uint8_t	       *used;		/* something lies in it */
};

static bool
test_and_set(uint8_t *bits, uint64_t i)
{
	uint8_t bit = (uint8_t)(1u << (i & 7));
	bool before = bits[i >> 3] & bit;

	bits[i >> 3] |= bit;
	return before;
}

static void
mark(struct scan *s, uint64_t sector, uint64_t n)
{
	uint64_t g = s->x->h.grain_sectors, i = sector / g;

	for (; n && i < s->slots && i <= (sector + n - 1) / g; i++)
		test_and_set(s->used, i);
}

static void
mark_tables(struct scan *s)
{
	struct vmdk_extent *x = s->x;
	uint64_t dir = ((uint64_t)x->ntables * 4 + VMDK_SECTOR - 1) /
		       VMDK_SECTOR;

	mark(s, 0, x->h.overhead);
	mark(s, x->h.desc_sector, x->h.desc_sectors);
	mark(s, x->h.gd_sector, dir);
	if (x->h.flags & VMDK_F_RGD)
		mark(s, x->h.rgd_sector, dir);
	pthread_mutex_lock(&x->lock);
	for (unsigned i = 0; i < x->nspans; i++)
		mark(s, x->spans[i].start, x->spans[i].count);
	pthread_mutex_unlock(&x->lock);
}

static int
mark_grains(struct scan *s, struct vd_err *err)
{
	struct vmdk_extent *x = s->x;
	uint64_t grains = (x->len + x->grain - 1) / x->grain, g, value;
	int ret = 0;

	for (g = 0; g < grains && !ret; g++) {
		if (!__atomic_load_n(&x->gd[g / x->h.gtes],
				     __ATOMIC_ACQUIRE)) {
			g += x->h.gtes - 1 - g % x->h.gtes;
			continue;
		}
		ret = vd_table_get(x->table, g, &value, err);
		if (ret || value <= 1 ||
		    value / x->h.grain_sectors >= s->slots)
			continue;
		mark(s, value, x->h.grain_sectors);
		/* Grains that do not overlap begin in different slots. */
		if (test_and_set(s->begun, value / x->h.grain_sectors)) {
			ret = vd_fail(err, EUCLEAN, value * VMDK_SECTOR,
				      "two grains share the room at sector %"
				      PRIu64 ": giving one of them up would "
				      "harm the other", value);
			vd_err_help(err, "`vdiskadm repair` gives each its "
				    "own");
		}
	}
	return ret;
}

/* All that was in the file before this open and that nothing points to. */
static int
scan(struct vmdk_extent *x, struct vd_err *err)
{
	struct scan s = { .x = x };
	uint64_t bytes, i;
	int ret;

	pthread_mutex_lock(&x->lock);
	s.slots = vmdk_end(x) / x->grain;
	pthread_mutex_unlock(&x->lock);
	bytes = s.slots / 8 + 1;
	x->room.stay = bytes > BITMAP_MAX;
	if (x->room.stay)
		return 0;
	s.begun = calloc(1, bytes);
	s.used = calloc(1, bytes);
	ret = s.begun && s.used ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE,
					      "no memory");
	if (!ret) {
		mark_tables(&s);
		ret = mark_grains(&s, err);
	}
	pthread_mutex_lock(&x->lock);
	/* The last one that is given is taken first: the lowest. */
	for (i = s.slots; i-- > 0 && !ret; )
		if (!(s.used[i >> 3] >> (i & 7) & 1))
			vmdk_room_give(x, (uint32_t)(i * x->h.grain_sectors));
	pthread_mutex_unlock(&x->lock);
	free(s.begun);
	free(s.used);
	return ret;
}

static int
scan_once(struct vmdk *v, struct vmdk_extent *x, struct vd_err *err)
{
	int ret = 0;

	pthread_mutex_lock(&v->mark_lock);
	if (!x->room.scanned) {
		ret = scan(x, err);
		x->room.scanned = !ret;
	}
	pthread_mutex_unlock(&v->mark_lock);
	return ret;
}

/* --------------------------------------------------------------- discard */

/* What is to become of the entry of a grain that has data? */
enum fate { STAYS, BECOMES_HOLE, BECOMES_ZERO };

static enum fate
fate_of(const struct vmdk *v, const struct vmdk_extent *x)
{
	if (x->room.stay)
		return STAYS;
	if (!vmdk_desc_is_child(&v->desc))
		return BECOMES_HOLE;
	return x->h.flags & VMDK_F_ZERO_GRAIN ? BECOMES_ZERO : STAYS;
}

/* Many entries changed: write them before the journal is full of them. */
static int
pay(struct vmdk_extent *x, struct vd_err *err)
{
	return vd_table_dirty(x->table) < DIRTY_SOME ? 0
						     : vmdk_room_sync(x, err);
}

/* A run of whole grains with data, at host. */
static int
give_up(struct vmdk *v, struct vmdk_extent *x, uint64_t off, uint64_t len,
	uint64_t host, struct vd_err *err)
{
	enum fate fate = fate_of(v, x);
	uint64_t g = off / x->grain, end = (off + len + x->grain - 1) /
					   x->grain;
	int ret = vd_file_punch(x->file, host, len, err);

	for (; g < end && fate != STAYS && !ret; g++, host += x->grain) {
		ret = vd_table_set(x->table, g, fate == BECOMES_ZERO, err);
		if (ret)
			break;
		pthread_mutex_lock(&x->lock);
		vmdk_room_hold(x, g, (uint32_t)(host / VMDK_SECTOR)); /* W3 */
		pthread_mutex_unlock(&x->lock);
		ret = pay(x, err);
	}
	return ret;
}

/* Grains without data that have to hide a parent. */
static int
hide(struct vmdk_extent *x, uint64_t off, uint64_t len, struct vd_err *err)
{
	uint64_t g = off / x->grain, end = (off + len + x->grain - 1) /
					   x->grain;
	int ret = 0;

	for (; g < end && !ret; g++) {
		ret = vmdk_need_table(x, g, err);
		if (!ret)
			ret = vd_table_set(x->table, g, 1, err);
		if (!ret)
			ret = pay(x, err);
	}
	return ret;
}

/* off, len: inside the extent, and whole grains. */
static int
clear_grains(struct vmdk *v, struct vmdk_extent *x, uint64_t off,
	     uint64_t len, bool must, struct vd_err *err)
{
	bool child = vmdk_desc_is_child(&v->desc);
	struct vd_extent e;
	int ret = scan_once(v, x, err);

	for (; len && !ret; off += e.len, len -= e.len) {
		ret = vmdk_sparse_map(x, off, len, &e, err);
		if (ret)
			break;
		if (e.kind == VD_EXT_DATA)
			ret = give_up(v, x, off, e.len, e.host_off, err);
		else if (e.kind != VD_EXT_HOLE || !child)
			continue;
		else if (x->h.flags & VMDK_F_ZERO_GRAIN)
			ret = hide(x, off, e.len, err);
		else if (must)
			ret = -ENOTSUP;
	}
	return ret;
}

/* Less than a grain: its bytes go, it stays. */
static int
clear_part(struct vmdk_extent *x, uint64_t off, uint64_t len,
	   struct vd_err *err)
{
	struct vd_extent e;
	int ret = len ? vmdk_sparse_map(x, off, len, &e, err) : 0;

	return ret || !len || e.kind != VD_EXT_DATA
		? ret : vd_file_punch(x->file, e.host_off, e.len, err);
}

/* The whole grains in [off, off + len); the last one may be a short one. */
static int
clear_sparse(struct vmdk *v, struct vmdk_extent *x, uint64_t off,
	     uint64_t len, bool must, struct vd_err *err)
{
	uint64_t from = (off + x->grain - 1) / x->grain * x->grain;
	uint64_t stop = off + len, end = stop;
	int ret;

	if (end != x->len)
		end = end / x->grain * x->grain;
	if (must && (from != off || end != stop))
		return -ENOTSUP;
	if (from >= end)	/* in one grain, or around one border */
		end = from = from < stop ? from : stop;
	ret = clear_part(x, off, from - off, err);
	if (!ret && from < end)
		ret = clear_grains(v, x, from, end - from, must, err);
	return ret ? ret : clear_part(x, end, stop - end, err);
}

static int
clear_extent(struct vmdk *v, struct vmdk_extent *x, uint64_t off,
	     uint64_t len, bool must, struct vd_err *err)
{
	if (x->kind == VMDK_ZERO)
		return 0;
	if (x->frozen)
		return vmdk_read_only_here(x, off, err);
	if (x->kind == VMDK_FLAT)
		return vd_file_punch(x->file, x->file_off + off, len, err);
	return clear_sparse(v, x, off, len, must, err);
}

static int
clear(struct vmdk *v, uint64_t off, uint64_t len, bool must,
      struct vd_err *err)
{
	int ret = vmdk_mark(v, err);

	while (len && !ret) {
		struct vmdk_extent *x = vmdk_extent_at(v, off);
		uint64_t in = off - x->start;
		uint64_t n = len < x->len - in ? len : x->len - in;

		ret = clear_extent(v, x, in, n, must, err);
		if (ret && x->file && ret != -ENOTSUP)
			vd_err_file(err, vd_file_name(x->file));
		off += n;
		len -= n;
	}
	return ret;
}

/*
 * Entry 1 hides the parent without room for it - where the header allows such
 * entries.  A hole of any other child is the core's to fill (-ENOTSUP).
 */
int
vmdk_zero(void *img, uint64_t off, uint64_t len, struct vd_err *err)
{
	return clear(img, off, len, true, err);
}

/*
 * A hint: what has no room to give back stays as it is.  Never does a parent
 * show through.
 */
int
vmdk_discard(void *img, uint64_t off, uint64_t len, struct vd_err *err)
{
	return clear(img, off, len, false, err);
}
