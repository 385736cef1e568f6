/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-grains.c - every entry of every grain table: in the file, on no table,
 * on no other grain, and the same in both copies.
 *
 * Who has which room is kept for a window of the file at a time, one number for
 * the length of a grain: grains that do not overlap begin in different ones.
 * So memory is bounded, and a larger file takes more passes.  What a pass costs
 * is bounded by the grains that are in it, not by how long the file is: one of
 * 2 TiB may be a hole.
 *
 * First those entries get their room that both tables agree on.  Then each of
 * the others is decided, for the one of its two values that is possible.  Last
 * those that share their room get one at the end of the file: it must not grow
 * before what points past its end is mended.
 */
#include "audit-grains.h"

#define WINDOW	(1u << 24)	/* slots: 257 windows at most */

/* ---------------------------------------------------------------- the rooms */

bool
walk_in_window(const struct walk *w, uint32_t e)
{
	uint64_t slot = e / w->p->grain;

	return slot >= w->from && slot - w->from < w->slots;
}

/* In the window, or so near that it may reach into it. */
static bool
is_near(const struct walk *w, uint32_t e)
{
	uint64_t slot = e / w->p->grain + 1;

	return slot >= w->from && slot - w->from <= w->slots + 1;
}

/* The grain that is at, or overlaps, this place; 0: none. */
uint32_t
walk_neighbour(const struct walk *w, uint32_t e)
{
	uint64_t slot = e / w->p->grain - w->from, g = w->p->grain;
	uint32_t o = w->owner[slot + 1];

	if (o)
		return o;
	o = w->owner[slot];
	if (o && o + g > e)
		return o;
	o = w->owner[slot + 2];
	return o && e + g > o ? o : 0;
}

/* Of the slots beside the window only what may reach into it is remembered. */
void
walk_claim(struct walk *w, uint32_t e)
{
	uint64_t slot = e / w->p->grain;

	if (walk_in_window(w, e) ? walk_neighbour(w, e)
			    : slot + 1 != w->from && slot != w->from + w->slots)
		return;
	w->owner[slot - w->from + 1] = e;
	w->touched[(slot - w->from + 1) / PART] = 1;
}

static int
entry(struct walk *w, uint32_t k, uint64_t grain, struct vd_err *err)
{
	struct vmdk_part *p = w->p;
	uint32_t a = w->a[k], b = w->b[k];
	bool plain, mine;

	/* Most are another window's: those are told by their numbers alone. */
	if (!(a | b) || (a == b && !w->first && !is_near(w, a)))
		return 0;
	plain = a == b && entry_good(p, a, grain);
	if (w->turn == AGREED) {
		if (plain && a > 1)
			walk_claim(w, a);
		return 0;
	}
	if (grain >= entry_grains(p))
		return 0;
	if (w->turn == TWICE)
		return entry_twice(w, k, grain, err);
	if (plain)
		return entry_is_zero(p, a) && w->first
			? entry_announce_zeros(w, k, grain, err) : 0;
	/* In the window of the first of its values that has one; or be it cut. */
	mine = a > 1 && entry_possible(p, a, grain) ? walk_in_window(w, a) :
	       b > 1 && entry_possible(p, b, grain) ? walk_in_window(w, b) :
	       a > 1 && a < p->limit ? walk_in_window(w, a) : w->first;
	return mine ? entry_decide(w, k, grain, err) : 0;
}

/* --------------------------------------------------------------- all of them */

/* The windows around a place; the first for what has none. */
static uint64_t
window_bits(const struct walk *w, uint32_t e)
{
	uint64_t slot = e / w->p->grain, bits = 1;

	if (e <= 1 || e >= w->p->limit)
		return bits;
	for (uint64_t s = slot ? slot - 1 : 0; s <= slot + 1; s++)
		bits |= UINT64_C(1) << s / WINDOW / w->per_bit;
	return bits;
}

/* Most tables of a large disk say nothing: they are read once. */
static void
note_windows(struct walk *w)
{
	uint64_t bits = 0;

	for (uint32_t k = 0; k < w->p->gtes; k++)
		if (w->a[k] | w->b[k])
			bits |= window_bits(w, w->a[k]) |
				window_bits(w, w->b[k]);
	w->in[w->i] = bits;
	w->in_any |= bits;
}

static bool
passes_by(const struct walk *w, uint64_t bits)
{
	return !w->first && !(bits >> w->from / WINDOW / w->per_bit & 1);
}

static int
each_entry(struct walk *w, enum turn turn, struct vd_err *err)
{
	struct vmdk_part *p = w->p;
	uint64_t n = entry_grains(p), last = n / p->gtes + !!(n % p->gtes);
	int ret = 0;

	w->turn = turn;
	for (w->i = 0; w->i < p->ntables && w->i < last && !ret; w->i++) {
		bool known = !w->first || turn != AGREED;

		if (!p->gd[w->i] || (known && (!w->in[w->i] ||
					       passes_by(w, w->in[w->i]))))
			continue;
		ret = vmdk_part_read32(p, p->gd[w->i], w->a, p->gtes, err);
		if (!ret && entry_has_copy(w))
			ret = vmdk_part_read32(p, p->rgd[w->i], w->b, p->gtes,
					       err);
		else
			memcpy(w->b, w->a, p->gtes * 4);
		if (!ret && !known)
			note_windows(w);
		for (uint32_t k = 0; k < p->gtes && !ret; k++)
			ret = entry(w, k, (uint64_t)w->i * p->gtes + k, err);
		if (!ret)
			ret = entry_put_tables(w, err);
	}
	return !ret && p->a->mend ? vd_file_sync(p->f, err) : ret;
}

/* ----------------------------------------------------------------- windows */

/* What the window before has left. */
static void
wipe(struct walk *w)
{
	for (uint64_t k = 0; k < w->parts; k++) {
		if (!w->touched[k])
			continue;
		memset(w->owner + k * PART, 0, PART * 4);
		memset(w->seen + k * PART / 8, 0, PART / 8);
		w->touched[k] = 0;
	}
}

static int
window(struct walk *w, struct vd_err *err)
{
	int ret;

	wipe(w);
	ret = each_entry(w, AGREED, err);
	if (!ret)
		ret = each_entry(w, OTHERS, err);
	return ret ? ret : each_entry(w, TWICE, err);
}

static int
windows(struct walk *w, uint64_t all, struct vd_err *err)
{
	struct vmdk_part *p = w->p;
	uint64_t from = p->overhead;
	size_t piece = 0;
	int ret = 0;

	for (; w->from < all && !ret; w->from += WINDOW) {
		w->slots = all - w->from < WINDOW ? all - w->from : WINDOW;
		w->first = !w->from;
		if (passes_by(w, w->in_any))
			continue;
		ret = window(w, err);
		/* A grain that is lost may be among those that leak. */
		if (!ret && !p->given_up && !p->a->left)
			ret = leaks_between(w, &from, &piece, err);
	}
	if (!ret && !p->given_up && !p->a->left)
		ret = leaks_tail(p, from, piece, err);
	if (!ret && p->kind == VMDK_COWD) {
		/* Writers leave room behind it; unless that, too, is unclear. */
		vmdk_audit_free_sector(p, p->given_up || p->a->left
				       ? vmdk_part_sectors(p)
				       : leaks_end(p, from));
		ret = vmdk_part_put(p, err);
	}
	return ret;
}

/* No entry says more than 32 bits. */
int
vmdk_audit_grains(struct vmdk_part *p, struct vd_err *err)
{
	uint64_t end = p->limit < VMDK_FILE_SECTORS_MAX ? p->limit
						       : VMDK_FILE_SECTORS_MAX;
	uint64_t all = end / p->grain + 1;
	uint64_t parts = ((all < WINDOW ? all : WINDOW) + 2) / PART + 1;
	struct walk w = { .p = p, .parts = parts,
			  .per_bit = (all / WINDOW + 1) / 64 + 1 };
	int ret;

	w.owner = calloc(parts * PART, 4);
	w.seen = calloc(parts, PART / 8);
	w.touched = calloc(parts, 1);
	w.in = calloc(p->ntables, 8);
	w.a = calloc(2 * p->gtes, 4);
	w.b = w.a + p->gtes;
	ret = w.owner && w.seen && w.touched && w.in && w.a
		? windows(&w, all, err)
		: vd_fail(err, ENOMEM, VD_NOWHERE, "no memory to compare "
			  "grains");
	free(w.owner);
	free(w.seen);
	free(w.touched);
	free(w.in);
	free(w.a);
	return ret;
}
