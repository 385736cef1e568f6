/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-entry.c - one entry of a grain table: what may it say, which of two
 * values is the right one, and what is done where neither is.
 *
 * An entry is given up only where no copy knows better.  Grains that share
 * their room get one each, at the end of the file.
 */
#include "audit-grains.h"

/* ------------------------------------------------------------- what is good */

uint64_t
entry_grains(const struct vmdk_part *p)
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

bool
entry_possible(const struct vmdk_part *p, uint32_t e, uint64_t grain)
{
	return e >= p->overhead && !on_metadata(p, e, p->grain) &&
	       !outside(p, e, grain);
}

bool
entry_good(const struct vmdk_part *p, uint32_t e, uint64_t grain)
{
	return !e || entry_is_zero(p, e) || entry_possible(p, e, grain);
}

/* -------------------------------------------------------------- one entry */

static uint64_t
place(const struct walk *w, uint32_t k, bool copy)
{
	const struct vmdk_part *p = w->p;

	return (uint64_t)(copy ? p->rgd[w->i] : p->gd[w->i]) * VMDK_SECTOR +
	       4ull * k;
}

bool
entry_has_copy(const struct walk *w)
{
	return w->p->rgd && w->p->rgd[w->i] &&
	       w->p->rgd[w->i] != w->p->gd[w->i];
}

/* The table is written when all of its entries have been looked at. */
static void
set_both(struct walk *w, uint32_t k, uint32_t value)
{
	w->dirty_a |= w->a[k] != value;
	w->dirty_b |= entry_has_copy(w) && w->b[k] != value;
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
int
entry_put_tables(struct walk *w, struct vd_err *err)
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

	if (entry_good(p, e, grain))
		return NULL;
	*code = "vmdk-grain-in-tables";
	if (e < p->overhead || on_metadata(p, e, p->grain))
		return "lies on the image's own tables";
	*code = cut(p, e, grain) ? "vmdk-grain-cut" : "vmdk-grain-outside";
	return cut(p, e, grain) ? "goes on past the end of the file"
				: "lies past the end of the file";
}

int
entry_announce_zeros(struct walk *w, uint32_t k, uint64_t grain,
		     struct vd_err *err)
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
int
entry_twice(struct walk *w, uint32_t k, uint64_t grain, struct vd_err *err)
{
	uint32_t e = w->a[k];
	uint64_t slot;

	if (e <= 1 || !entry_possible(w->p, e, grain) || !walk_in_window(w, e))
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
	return e > 1 && entry_possible(w->p, e, grain) &&
	       walk_in_window(w, e) && !walk_neighbour(w, e);
}

static bool
none(const struct vmdk_part *p, uint32_t e)
{
	return !e || entry_is_zero(p, e);
}

/*
 * Has it been told?  Two values: the first is what programs read, the other
 * what it was copied to.  One that points to another grain's room, or to none, is
 * not it.
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
	bool half = none(p, a) || none(p, b);	/* of what was being written */
	enum vd_severity how = p->unclean && half ? VD_NOTE : VD_DAMAGE;
	const char *code = "vmdk-copies-differ", *cure = cures[swap], *why;
	bool other_fits = fits(w, other, grain), forget = false;

	why = tell_entry(w, value, grain, &code);
	if (why) {
		how = VD_DAMAGE;
		other_fits |= entry_is_zero(p, other);
	}
	if (!fits(w, value, grain) && (why || other_fits)) {
		if (!other_fits)
			return false;	/* neither: given up below */
		/* Of a writer that died it was never promised. */
		if (why || value > 1 || (!value && !p->unclean)) {
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

int
entry_decide(struct walk *w, uint32_t k, uint64_t grain, struct vd_err *err)
{
	struct vmdk_part *p = w->p;
	const char *code = "", *why;
	bool told = false;
	int ret = 0;

	if (entry_has_copy(w) && w->a[k] != w->b[k])
		told = unequal(w, k, grain);
	why = tell_entry(w, w->a[k], grain, &code);
	if (why && told)
		return 0;
	if (why && cut(p, w->a[k], grain) && !strcmp(code, "vmdk-grain-cut") &&
	    walk_in_window(w, w->a[k]) && !walk_neighbour(w, w->a[k])) {
		ret = fill_up(w, k, grain, err);
		if (!ret)
			walk_claim(w, w->a[k]);
		return ret;
	}
	if (why)
		give_up(w, k, grain, code, why);
	else if (w->a[k] > 1)
		walk_claim(w, w->a[k]);	/* or one of two: entry_twice() */
	return 0;
}
