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
#include "audit.h"

#define WINDOW	(1u << 24)	/* slots: 257 windows at most */
#define PART	4096u		/* slots that are looked at together */

enum turn { AGREED, OTHERS, TWICE };

struct walk {
	struct vmdk_part *p;
	uint32_t       *owner;		/* sector of the grain that begins here */
	uint8_t	       *seen;		/* a bit a slot: its owner came by */
	uint8_t	       *touched;	/* a byte a part: it has an owner */
	/* A bit for so many windows: an entry, of this table, of any, may be in. */
	uint64_t       *in, in_any, per_bit;
	uint64_t	parts;
	uint64_t	from, slots;	/* this window */
	bool		first;		/* of the windows */
	enum turn	turn;
	uint32_t	i;		/* the table */
	uint32_t       *a, *b;		/* it, and its copy */
	bool		zero_said;
	bool		dirty_a, dirty_b;
};

/* ------------------------------------------------------------- what is good */

static uint64_t
grains(const struct vmdk_part *p)
{
	uint64_t n = p->sectors && p->sectors < p->capacity ? p->sectors
							    : p->capacity;

	return n / p->grain + !!(n % p->grain);
}

/* Sectors of a grain that the disk has: the last one may be cut. */
static uint64_t
visible(const struct vmdk_part *p, uint64_t grain)
{
	uint64_t n = p->sectors && p->sectors < p->capacity ? p->sectors
							    : p->capacity;

	if (grain * p->grain >= n)	/* behind the end: nobody reads it */
		return p->grain;
	n -= grain * p->grain;
	return n < p->grain ? n : p->grain;
}

/* The metadata that lies on [at, at + len), or NULL. */
static const struct vmdk_piece *
on_metadata(const struct vmdk_part *p, uint64_t at, uint64_t len)
{
	size_t lo = 0, hi = p->nlate;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (p->late[mid].at + p->late[mid].len <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < p->nlate && p->late[lo].at < at + len ? &p->late[lo] : NULL;
}

static bool
is_zero(const struct vmdk_part *p, uint32_t e)
{
	return e == 1 && p->kind == VMDK_SPARSE;
}

/* Past the end of what the file has, begun sectors counted. */
static bool
outside(const struct vmdk_part *p, uint32_t e, uint64_t grain)
{
	return e + visible(p, grain) > p->limit;
}

/* At least its first sector is there, and it could be the last grain. */
static bool
cut(const struct vmdk_part *p, uint32_t e, uint64_t grain)
{
	return outside(p, e, grain) && e < p->limit;
}

static bool
possible(const struct vmdk_part *p, uint32_t e, uint64_t grain)
{
	return e >= p->overhead && !on_metadata(p, e, p->grain) &&
	       !outside(p, e, grain);
}

static bool
good(const struct vmdk_part *p, uint32_t e, uint64_t grain)
{
	return !e || is_zero(p, e) || possible(p, e, grain);
}

/* ---------------------------------------------------------------- the rooms */

static bool
in_window(const struct walk *w, uint32_t e)
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
static uint32_t
neighbour(const struct walk *w, uint32_t e)
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
static void
claim(struct walk *w, uint32_t e)
{
	uint64_t slot = e / w->p->grain;

	if (in_window(w, e) ? neighbour(w, e)
			    : slot + 1 != w->from && slot != w->from + w->slots)
		return;
	w->owner[slot - w->from + 1] = e;
	w->touched[(slot - w->from + 1) / PART] = 1;
}

/* -------------------------------------------------------------- one entry */

static uint64_t
place(const struct walk *w, uint32_t k, bool copy)
{
	const struct vmdk_part *p = w->p;

	return (uint64_t)(copy ? p->rgd[w->i] : p->gd[w->i]) * VMDK_SECTOR +
	       4ull * k;
}

static bool
has_copy(const struct walk *w)
{
	return w->p->rgd && w->p->rgd[w->i] &&
	       w->p->rgd[w->i] != w->p->gd[w->i];
}

/* The table is written when all of its entries have been looked at. */
static void
set_both(struct walk *w, uint32_t k, uint32_t value)
{
	w->dirty_a |= w->a[k] != value;
	w->dirty_b |= has_copy(w) && w->b[k] != value;
	w->a[k] = w->b[k] = value;
}

static int
put_table(struct walk *w, uint32_t at, const uint32_t *e, struct vd_err *err)
{
	uint32_t raw[VMDK_COWD_GTES];

	for (uint32_t k = 0; k < w->p->gtes; k++)
		raw[k] = htole32(e[k]);
	return vd_file_write(w->p->f, raw, w->p->gtes * 4, (uint64_t)at *
			     VMDK_SECTOR, err);
}

/* What it points to from now on is durable before. */
static int
put_tables(struct walk *w, struct vd_err *err)
{
	struct vmdk_part *p = w->p;
	int ret = w->dirty_a || w->dirty_b ? vd_file_sync(p->f, err) : 0;

	if (!ret && w->dirty_a)
		ret = put_table(w, p->gd[w->i], w->a, err);
	if (!ret && w->dirty_b)
		ret = put_table(w, p->rgd[w->i], w->b, err);
	w->dirty_a = w->dirty_b = false;
	return ret;
}

/* Why can it not be there?  NULL: it can. */
static const char *
tell_entry(const struct walk *w, uint32_t e, uint64_t grain, const char **code)
{
	const struct vmdk_part *p = w->p;

	if (good(p, e, grain))
		return NULL;
	*code = "vmdk-grain-in-tables";
	if (e < p->overhead || on_metadata(p, e, p->grain))
		return "lies on the image's own tables";
	*code = cut(p, e, grain) ? "vmdk-grain-cut" : "vmdk-grain-outside";
	return cut(p, e, grain) ? "goes on past the end of the file"
				: "lies past the end of the file";
}

static int
announce_zeros(struct walk *w, uint32_t k, uint64_t grain, struct vd_err *err)
{
	struct vmdk_part *p = w->p;

	if ((p->flags & VMDK_F_ZERO_GRAIN) || (p->a->mend && w->zero_said))
		return 0;
	w->zero_said = true;
	if (!vd_flaw(p->a, VMDK_FLAW(p, VD_NOTE, "vmdk-zero-unannounced",
	    place(w, k, false), "would say so in the header (version 2)"),
	    "grain %" PRIu64 " is marked as zeros, but the header does not say "
	    "that such marks exist: other programs read the descriptor there",
	    grain))
		return 0;
	if (p->version == 1)
		vmdk_part_set32(p, 4, 2);
	vmdk_part_set32(p, 8, p->flags | VMDK_F_ZERO_GRAIN);
	return vmdk_part_put(p, err);
}

/* The file is made longer, to where the grain ends. */
static int
fill_up(struct walk *w, uint32_t k, uint64_t grain, struct vd_err *err)
{
	uint64_t end = ((uint64_t)w->a[k] + w->p->grain) * VMDK_SECTOR;

	if (vd_flaw(w->p->a, VMDK_FLAW(w->p, VD_DAMAGE, "vmdk-grain-cut",
	    place(w, k, false), "would fill it up with zeros; what was there "
	    "is lost"), "the file ends inside grain %" PRIu64 " at sector %u",
	    grain, w->a[k]) && end > vd_file_size(w->p->f))
		return vd_file_truncate(w->p->f, end, err);
	return 0;	/* or new tables have made it longer meanwhile */
}

/* Nothing is known of it but that it is gone. */
static void
give_up(struct walk *w, uint32_t k, uint64_t grain, const char *code,
	const char *why)
{
	struct vmdk_part *p = w->p;

	if (!vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, code, place(w, k, false),
	    p->child ? "no copy knows better: what it held is lost, would make "
	    "it read as in the parent" : "no copy knows better: what it held "
	    "is lost, would make it read as zeros"), "grain %" PRIu64 " at "
	    "sector %u %s", grain, w->a[k], why))
		return;
	p->given_up = true;
	set_both(w, k, 0);
}

static int
own_room(struct walk *w, uint32_t k, uint64_t grain, struct vd_err *err)
{
	struct vmdk_part *p = w->p;
	uint64_t bytes = p->grain * VMDK_SECTOR, n;
	uint32_t to;
	uint8_t *buf;
	int ret;

	if (!vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-grain-twice",
	    place(w, k, false), "would give it a copy of its own: both read as "
	    "they do now, but one was overwritten by the other"), "grain %"
	    PRIu64 " at sector %u shares its room with another grain", grain,
	    w->a[k]))
		return 0;
	p->given_up = true;
	buf = malloc(1 << 20);
	ret = buf ? vmdk_part_room(p, p->grain, &to, err)
		  : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	for (uint64_t at = 0; at < bytes && !ret; at += n) {
		n = bytes - at < 1 << 20 ? bytes - at : 1 << 20;
		ret = vd_file_read(p->f, buf, n, (uint64_t)w->a[k] *
				   VMDK_SECTOR + at, err);
		if (!ret)
			ret = vd_file_write(p->f, buf, n, (uint64_t)to *
					    VMDK_SECTOR + at, err);
	}
	if (!ret)
		set_both(w, k, to);
	free(buf);
	return ret;
}

/* The first that comes by is the owner. */
static int
twice(struct walk *w, uint32_t k, uint64_t grain, struct vd_err *err)
{
	uint32_t e = w->a[k];
	uint64_t slot;

	if (e <= 1 || !possible(w->p, e, grain) || !in_window(w, e))
		return 0;
	slot = e / w->p->grain - w->from + 1;
	if (w->owner[slot] == e && !(w->seen[slot / 8] >> slot % 8 & 1)) {
		w->seen[slot / 8] |= (uint8_t)(1u << slot % 8);
		return 0;
	}
	return own_room(w, k, grain, err);
}

/* It can be there, and nobody else is. */
static bool
fits(const struct walk *w, uint32_t e, uint64_t grain)
{
	return e > 1 && possible(w->p, e, grain) && in_window(w, e) &&
	       !neighbour(w, e);
}

/*
 * Has it been told?  Two values: the first is what programs read, the other
 * what it was copied to.  One that points to another grain's room, or to none, is not it.
 */
static bool
unequal(struct walk *w, uint32_t k, uint64_t grain)
{
	static const char *const cures[] = {
		"would correct the redundant table",
		"would take the place from the redundant table",
	};
	struct vmdk_part *p = w->p;
	bool swap = p->copy_read;
	uint32_t a = w->a[k], b = w->b[k];
	uint32_t value = swap ? b : a, other = swap ? a : b;
	enum vd_severity how = p->unclean && (!a || !b) ? VD_NOTE : VD_DAMAGE;
	const char *code = "vmdk-copies-differ", *cure = cures[swap], *why;
	bool other_fits = fits(w, other, grain), forget = false;

	why = tell_entry(w, value, grain, &code);
	if (why)
		how = VD_DAMAGE;
	if (!fits(w, value, grain) && (why || other_fits)) {
		if (!other_fits)
			return false;	/* neither: given up below */
		if (why || value > 1) {
			cure = cures[!swap];
			value = other;
		} else {
			forget = true;
			cure = "only the other table has it, where no program reads: would forget that";
		}
	}
	if (!vd_flaw(p->a, VMDK_FLAW(p, how, code, place(w, k, !why), cure),
	    "grain %" PRIu64 " is at sector %u, in the redundant table at %u",
	    grain, a, b))
		return true;
	p->given_up |= forget;
	set_both(w, k, value);
	return true;
}

static int
decide(struct walk *w, uint32_t k, uint64_t grain, struct vd_err *err)
{
	struct vmdk_part *p = w->p;
	const char *code = "", *why;
	bool told = false;
	int ret = 0;

	if (has_copy(w) && w->a[k] != w->b[k])
		told = unequal(w, k, grain);
	why = tell_entry(w, w->a[k], grain, &code);
	if (why && told)
		return 0;
	if (why && cut(p, w->a[k], grain) && !strcmp(code, "vmdk-grain-cut") &&
	    in_window(w, w->a[k]) && !neighbour(w, w->a[k])) {
		ret = fill_up(w, k, grain, err);
		if (!ret)
			claim(w, w->a[k]);
		return ret;
	}
	if (why)
		give_up(w, k, grain, code, why);
	else if (w->a[k] > 1)
		claim(w, w->a[k]);	/* or it is one of two: see twice() */
	return 0;
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
	plain = a == b && good(p, a, grain);
	if (w->turn == AGREED) {
		if (plain && a > 1)
			claim(w, a);
		return 0;
	}
	if (grain >= grains(p))
		return 0;
	if (w->turn == TWICE)
		return twice(w, k, grain, err);
	if (plain)
		return is_zero(p, a) && w->first
			? announce_zeros(w, k, grain, err) : 0;
	/* Decided in the window of the first of its values that has one. */
	mine = a > 1 && possible(p, a, grain) ? in_window(w, a) :
	       b > 1 && possible(p, b, grain) ? in_window(w, b) : w->first;
	return mine ? decide(w, k, grain, err) : 0;
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
	uint64_t last = grains(p) / p->gtes + !!(grains(p) % p->gtes);
	int ret = 0;

	w->turn = turn;
	for (w->i = 0; w->i < p->ntables && w->i < last && !ret; w->i++) {
		bool known = !w->first || turn != AGREED;

		if (!p->gd[w->i] || (known && (!w->in[w->i] ||
					       passes_by(w, w->in[w->i]))))
			continue;
		ret = vmdk_part_read32(p, p->gd[w->i], w->a, p->gtes, err);
		if (!ret && has_copy(w))
			ret = vmdk_part_read32(p, p->rgd[w->i], w->b, p->gtes,
					       err);
		else
			memcpy(w->b, w->a, p->gtes * 4);
		if (!ret && !known)
			note_windows(w);
		for (uint32_t k = 0; k < p->gtes && !ret; k++)
			ret = entry(w, k, (uint64_t)w->i * p->gtes + k, err);
		if (!ret)
			ret = put_tables(w, err);
	}
	return !ret && p->a->mend ? vd_file_sync(p->f, err) : ret;
}

/* ------------------------------------------------------------------- leaks */

/* Bytes of it that take room on the host. */
static uint64_t
taken(struct vmdk_part *p, uint64_t off, uint64_t end)
{
	uint64_t sum = 0, n;
	bool hole;

	for (; off < end; off += n) {
		n = end - off;
		if (vd_file_run(p->f, off, &n, &hole, NULL) || !n)
			return sum + (end - off);
		sum += hole ? 0 : n;
		if (hole && n > end - off)
			break;
	}
	return sum;
}

/* Of terabytes of holes nothing is kept to be put back. */
static int
punch_data(struct vmdk_part *p, uint64_t off, uint64_t end, struct vd_err *err)
{
	uint64_t n;
	bool hole;
	int ret = 0;

	for (; off < end && !ret; off += n) {
		n = end - off;
		ret = vd_file_run(p->f, off, &n, &hole, err);
		if (!n)
			break;
		if (!ret && !hole)
			ret = vd_file_punch(p->f, off, n, err);
	}
	return ret;
}

static int
gap(struct vmdk_part *p, uint64_t from, uint64_t to, struct vd_err *err)
{
	uint64_t off = from * VMDK_SECTOR, end = to * VMDK_SECTOR;
	/* Of what shares a page with something else nothing comes back. */
	uint64_t first = (off + 4095) / 4096 * 4096, last = end / 4096 * 4096;

	if (to - from < p->grain || !taken(p, first, last) ||
	    taken(p, off, end) < p->grain * VMDK_SECTOR)
		return 0;
	if (!vd_flaw(p->a, VMDK_FLAW(p, VD_LEAK, "vmdk-leak", off,
	    p->given_up ? NULL : "would give the room back"), "%" PRIu64
	    " bytes are used by nobody", end - off))
		return 0;
	return punch_data(p, off, end, err);
}

/* What is not metadata of [from, to). */
static int
gap_around(struct vmdk_part *p, size_t *piece, uint64_t from, uint64_t to,
	   struct vd_err *err)
{
	int ret = 0;

	for (; *piece < p->nlate && from < to && !ret; ++*piece) {
		const struct vmdk_piece *m = &p->late[*piece];

		if (m->at >= to)
			break;
		if (m->at > from)
			ret = gap(p, from, m->at, err);
		if (m->at + m->len > from)
			from = m->at + m->len;
	}
	return !ret && from < to ? gap(p, from, to, err) : ret;
}

static int
leaks(struct walk *w, uint64_t *from, size_t *piece, struct vd_err *err)
{
	struct vmdk_part *p = w->p;
	int ret = 0;

	for (uint64_t k = 1; k <= w->slots && !ret; k++) {
		if (!w->touched[k / PART])
			k |= PART - 1;
		if (k > w->slots || !w->owner[k])
			continue;
		if (w->owner[k] > *from)
			ret = gap_around(p, piece, *from, w->owner[k], err);
		*from = w->owner[k] + p->grain;
	}
	return ret;
}

/* The last grain ends at from; a table may lie behind it. */
static uint64_t
used_end(const struct vmdk_part *p, uint64_t from)
{
	uint64_t end = from;

	for (size_t i = 0; i < p->nlate; i++)
		if (p->late[i].at + p->late[i].len > end)
			end = p->late[i].at + p->late[i].len;
	return end;
}

static int
tail(struct vmdk_part *p, uint64_t from, size_t piece, struct vd_err *err)
{
	uint64_t all = vmdk_part_sectors(p), end = used_end(p, from);
	int ret;

	ret = gap_around(p, &piece, from, end, err);
	/* ESX wants one sector behind the first free one. */
	if (p->kind == VMDK_COWD)
		end++;
	if (ret || all < end + p->grain || p->given_up ||
	    vd_file_is_block(p->f))
		return ret;
	if (!vd_flaw(p->a, VMDK_FLAW(p, VD_LEAK, "vmdk-tail", end *
	    VMDK_SECTOR, "would cut them off"), "%" PRIu64 " bytes at the end "
	    "of the file belong to no grain", (all - end) * VMDK_SECTOR))
		return 0;
	return vd_file_truncate(p->f, end * VMDK_SECTOR, err);
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
			ret = leaks(w, &from, &piece, err);
	}
	if (!ret && !p->given_up && !p->a->left)
		ret = tail(p, from, piece, err);
	if (!ret && p->kind == VMDK_COWD) {
		/* Writers leave room behind it; unless that, too, is unclear. */
		vmdk_audit_free_sector(p, p->given_up || p->a->left
				       ? vmdk_part_sectors(p)
				       : used_end(p, from));
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
