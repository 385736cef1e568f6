/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-tables.c - the grain directories: every table in the file, on nobody
 * else's place, and twice where the header says so.
 *
 * Repair takes a table that one directory has lost from the other.  A new one
 * lies at the end of the file and is durable before anything points to it; cut
 * short, it is a leak that a second repair gives back.
 */
#include "audit.h"

/* In the memory of a directory: a table that cannot be where it was said. */
#define OUTSIDE	UINT32_MAX
#define ON_OTHER	(UINT32_MAX - 1)	/* in the file, on another table */
#define ON_FIXED	(UINT32_MAX - 2)	/* on what is no table */

#define FIXED	5u	/* pieces of metadata besides tables */

static bool
gone(uint32_t e)
{
	return !e || e >= ON_FIXED;
}

static int
load(struct vmdk_part *p, uint64_t at, uint32_t **out, struct vd_err *err)
{
	*out = calloc(p->ntables, 4);
	if (!*out)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for %"
			       PRIu64 " tables", p->ntables);
	return vmdk_part_read32(p, at, *out, p->ntables, err);
}

/* ---------------------------------------------------------------- overlap */

static int
by_place(const void *a, const void *b)
{
	const struct vmdk_piece *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return y->rank - x->rank;
}

/* The start that most tables agree on, when table i is i lengths behind it. */
static uint64_t
usual_start(const struct vmdk_part *p, const uint32_t *d)
{
	uint64_t start = 0, votes = 0, i;

	for (i = 0; i < p->ntables; i++) {
		uint64_t s = d[i] - i * p->gt_len;

		if (gone(d[i]))
			continue;
		if (!votes)
			start = s;
		if (s == start)
			votes++;
		else
			votes--;
	}
	return start;
}

static size_t
add_tables(struct vmdk_part *p, uint32_t *d, const char *what,
	   struct vmdk_piece *out)
{
	uint64_t start = usual_start(p, d);
	size_t n = 0;

	for (uint32_t i = 0; i < p->ntables; i++) {
		if (gone(d[i]))
			continue;
		out[n++] = (struct vmdk_piece){
			.at = d[i], .len = p->gt_len, .entry = &d[i],
			.index = i, .what = what,
			.rank = d[i] - i * p->gt_len == start,
		};
	}
	return n;
}

static size_t
add_fixed(struct vmdk_part *p, struct vmdk_piece *out)
{
	size_t n = 0;

	out[n++] = (struct vmdk_piece){ .at = 0, .what = "the header",
		.len = p->head_len / VMDK_SECTOR, .rank = 3 };
	out[n++] = (struct vmdk_piece){ .at = p->gd_at, .len = p->dir_len,
		.what = "the grain directory", .rank = 2 };
	/* Nothing is where the file did not reach: there tables may come. */
	if (p->desc_at && p->desc_at < p->limit &&
	    p->desc_len <= p->limit - p->desc_at)
		out[n++] = (struct vmdk_piece){ .at = p->desc_at, .rank = 2,
			.len = p->desc_len, .what = "the descriptor" };
	/* The header may be wrong about where it is. */
	if (p->text_len && p->text_at != p->desc_at)
		out[n++] = (struct vmdk_piece){ .at = p->text_at, .rank = 2,
			.len = p->text_len, .what = "the descriptor" };
	if (p->rgd)
		out[n++] = (struct vmdk_piece){ .at = p->rgd_at, .rank = 2,
			.len = p->dir_len,
			.what = "the redundant grain directory" };
	return n;
}

/* Of two in one place the one that does not fit the pattern gives way. */
static void
give_way(struct vmdk_part *p, struct vmdk_piece *loser,
	 const struct vmdk_piece *other)
{
	uint64_t dir = !loser->entry ? 0 : p->rgd && loser->entry >= p->rgd &&
		loser->entry < p->rgd + p->ntables ? p->rgd_at : p->gd_at;

	if (!loser->entry) {
		p->tangled = true;
		vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-tables-overlap",
			loser->at * VMDK_SECTOR, NULL), "%s lies on %s",
			loser->what, other->what);
		return;
	}
	/* In a repair the table is asked for below, as one that is lost. */
	if (!p->a->mend)
		vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-tables-overlap",
			dir * VMDK_SECTOR + 4ull * loser->index, NULL),
			"%s %u at sector %" PRIu64 " lies on %s", loser->what,
			loser->index, loser->at, other->what);
	*loser->entry = other->entry ? ON_OTHER : ON_FIXED;
}

static int
check_overlap(struct vmdk_part *p, struct vd_err *err)
{
	struct vmdk_piece *s = calloc(p->ntables * 2 + FIXED, sizeof(*s)), *top;
	size_t n;

	if (!s)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	n = add_fixed(p, s);
	n += add_tables(p, p->gd, "grain table", s + n);
	if (p->rgd)
		n += add_tables(p, p->rgd, "redundant grain table", s + n);
	qsort(s, n, sizeof(*s), by_place);
	top = &s[0];
	for (size_t i = 1; i < n; i++) {
		struct vmdk_piece *next = &s[i];
		bool shared = top->entry && next->entry &&
			      top->at == next->at && top->index == next->index;

		if (next->at < top->at + top->len && !shared) {
			bool yields = next->rank > top->rank;

			give_way(p, yields ? top : next, yields ? next : top);
			top = yields ? next : top;
		} else {
			top = next;
		}
	}
	free(s);
	return 0;
}

/* ----------------------------------------------------------- table by table */

/* What is outside the file is taken out here, and asked for below. */
static void
check_inside(struct vmdk_part *p, uint32_t *d, uint64_t at)
{
	uint64_t most = vmdk_part_sectors(p);

	for (uint32_t i = 0; i < p->ntables; i++) {
		if (!d[i] || (d[i] < ON_FIXED &&
			      vmdk_within(most, d[i], p->gt_len)))
			continue;
		if (!p->a->mend)
			vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE,
				"vmdk-table-outside", at * VMDK_SECTOR +
				4ull * i, NULL), "grain table %u at sector %u "
				"is outside the file", i, d[i]);
		d[i] = OUTSIDE;
	}
}

/* How many entries of a table lead out of the file, and how many into it? */
static int
count_entries(struct vmdk_part *p, uint32_t table, uint32_t *out, uint32_t *in,
	      struct vd_err *err)
{
	uint32_t e[VMDK_COWD_GTES];
	int ret = vmdk_part_read32(p, table, e, p->gtes, err);

	*out = *in = 0;
	for (uint32_t k = 0; k < p->gtes && !ret; k++) {
		*out += e[k] >= p->limit;
		*in += e[k] > 1 && e[k] < p->limit;
	}
	return ret;
}

/*
 * A table that is said to be where a grain is says what the grain does.  One
 * that is mostly nonsense, or empty, is not it when its copy is whole and where
 * writers lay it: it is asked for below, as one that is lost.
 */
static int
check_sense(struct vmdk_part *p, uint32_t i, bool primary, struct vd_err *err)
{
	uint64_t dir[2] = { p->gd_at, p->rgd_at };
	uint32_t *mine = primary ? &p->gd[i] : &p->rgd[i];
	uint32_t copy = primary ? p->rgd[i] : p->gd[i], out, in, bad, good;
	uint64_t laid = p->dir_len + i * p->gt_len;
	int ret;

	if (gone(*mine) || gone(copy) || *mine == dir[!primary] + laid ||
	    copy != dir[primary] + laid)
		return 0;
	ret = count_entries(p, copy, &bad, &good, err);
	if (!ret)
		ret = count_entries(p, *mine, &out, &in, err);
	if (ret || bad || (out <= in && (out || in || !good || p->unclean)))
		return ret;
	if (!p->a->mend)
		vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-tables-overlap",
			dir[!primary] * VMDK_SECTOR + 4ull * i, NULL),
			"there is no grain table %u at sector %u, but its copy "
			"is whole", i, *mine);
	*mine = ON_OTHER;
	return 0;
}

/* A table of its own at the end; from: what it says, 0: nothing. */
static int
new_table(struct vmdk_part *p, uint64_t directory, uint32_t i, uint32_t *entry,
	  uint32_t from, struct vd_err *err)
{
	uint64_t bytes = p->gt_len * VMDK_SECTOR;
	uint8_t *buf = calloc(1, bytes);
	uint32_t to;
	int ret = buf ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	if (!ret && from)
		ret = vd_file_read(p->f, buf, bytes, (uint64_t)from *
				   VMDK_SECTOR, err);
	if (!ret)
		ret = vmdk_part_room(p, p->gt_len, &to, err);
	if (!ret)
		ret = vd_file_write(p->f, buf, bytes, (uint64_t)to *
				    VMDK_SECTOR, err);
	if (!ret)
		ret = vd_file_sync(p->f, err);
	if (!ret)
		ret = vmdk_part_write32(p, directory * VMDK_SECTOR + 4ull * i,
					to, err);
	if (!ret)
		*entry = to;
	free(buf);
	return ret;
}

static bool
ask_table(struct vmdk_part *p, enum vd_severity how, const char *code,
	  uint64_t directory, uint32_t i, const char *what, const char *cure)
{
	return vd_flaw(p->a, VMDK_FLAW(p, how, code, directory * VMDK_SECTOR +
		4ull * i, cure), "grain table %u %s", i, what);
}

static bool
in_file(uint32_t e)
{
	return e == ON_OTHER || e == ON_FIXED;
}

/* No copy of it is apart from a directory or the text: each is the other. */
static bool
is_tangled(const struct vmdk_part *p, uint32_t i)
{
	uint32_t a = p->gd[i], b = p->rgd ? p->rgd[i] : a;

	return gone(a) && gone(b) && (a == ON_FIXED || b == ON_FIXED);
}

static void
find_tangled(struct vmdk_part *p)
{
	for (uint32_t i = 0; i < p->ntables; i++) {
		if (!is_tangled(p, i))
			continue;
		p->tangled = true;
		vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-tables-overlap",
			p->gd_at * VMDK_SECTOR + 4ull * i, NULL), "grain table "
			"%u lies on other metadata, and has no copy", i);
	}
}

/*
 * Both are gone; in the memory of the one who asks they are 0 from now on.  One
 * that lies on something else is still read by others: which of the two is right
 * cannot be told.
 */
static int
lost_table(struct vmdk_part *p, uint32_t i, struct vd_err *err)
{
	bool there = in_file(p->gd[i]) || (p->rgd && in_file(p->rgd[i]));
	const char *cure = p->child
		? "no copy is left: would make an empty one, so that all its grains read as in the parent; what they held is lost"
		: "no copy is left: would make an empty one, so that all its grains read as zeros; what they held is lost";
	bool yes = !p->a->mend || ask_table(p, VD_DAMAGE, "vmdk-table-lost",
					    p->gd_at, i, "is lost",
					    there ? NULL : cure);
	int ret = 0;

	p->gd[i] = 0;
	if (p->rgd)
		p->rgd[i] = 0;
	if (!yes || !p->a->mend)
		return 0;
	p->given_up = true;
	ret = new_table(p, p->gd_at, i, &p->gd[i], 0, err);
	if (!ret && p->rgd)
		ret = new_table(p, p->rgd_at, i, &p->rgd[i], 0, err);
	return ret;
}

/* A table that its writer was making when it died: all zeros. */
static bool
unborn(struct vmdk_part *p, uint32_t sector)
{
	uint32_t e[VMDK_COWD_GTES];

	if (!p->unclean || vmdk_part_read32(p, sector, e, p->gtes, NULL))
		return false;
	for (uint32_t k = 0; k < p->gtes; k++)
		if (e[k])
			return false;
	return true;
}

static int
take_from(struct vmdk_part *p, uint32_t i, bool primary, bool was_zero,
	  struct vd_err *err)
{
	uint64_t dir = primary ? p->gd_at : p->rgd_at;
	uint32_t *mine = primary ? &p->gd[i] : &p->rgd[i];
	uint32_t from = primary ? p->rgd[i] : p->gd[i];
	enum vd_severity how = was_zero && unborn(p, from) ? VD_NOTE
							   : VD_DAMAGE;
	bool yes;

	if (!p->a->mend && !was_zero) {		/* told above */
		*mine = 0;
		return 0;
	}
	yes = ask_table(p, how, "vmdk-table-single", dir, i, primary
		? "is in the redundant directory only"
		: "has no copy in the redundant directory", primary
		? "would make one from its copy" : "would make one");
	*mine = 0;
	return yes ? new_table(p, dir, i, mine, from, err) : 0;
}

static int
audit_table(struct vmdk_part *p, uint32_t i, struct vd_err *err)
{
	uint32_t a = p->gd[i], b = p->rgd ? p->rgd[i] : a;

	if (a == b && !gone(a) && p->rgd) {
		if (!ask_table(p, VD_DAMAGE, "vmdk-table-shared", p->rgd_at, i,
			       "is the same in both directories: its copy is "
			       "none", "would make one"))
			return 0;
		return new_table(p, p->rgd_at, i, &p->rgd[i], a, err);
	}
	if (!a && !b)
		return 0;
	if (gone(a) && gone(b))
		return lost_table(p, i, err);
	if (gone(a))
		return take_from(p, i, true, !a, err);
	if (gone(b))
		return take_from(p, i, false, !b, err);
	return 0;
}

/* Tables among the grains: no grain may lie on one. */
static int
keep_late(struct vmdk_part *p, struct vd_err *err)
{
	size_t n = 0;

	p->late = calloc(p->ntables * 2 + FIXED, sizeof(*p->late));
	if (!p->late)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	n = add_fixed(p, p->late);
	n += add_tables(p, p->gd, "a grain table", p->late + n);
	if (p->rgd)
		n += add_tables(p, p->rgd, "a grain table", p->late + n);
	qsort(p->late, n, sizeof(*p->late), by_place);
	p->nlate = n;
	return 0;
}

static int
mend_mark(struct vmdk_part *p, struct vd_err *err)
{
	uint32_t at = p->kind == VMDK_COWD ? 1648 : 72;

	if (!p->unclean || !vd_flaw(p->a, VMDK_FLAW(p, VD_NOTE, "vmdk-unclean",
		at, p->a->left ? NULL : "would take the mark away"),
		"was not closed by its last writer, or is open now"))
		return 0;
	memset(p->head + at, 0, p->kind == VMDK_COWD ? 4 : 1);
	p->changed = true;
	return vmdk_part_put(p, err);
}

int
vmdk_audit_tables(struct vmdk_part *p, struct vd_err *err)
{
	int ret = load(p, p->gd_at, &p->gd, err);
	bool usable = true;

	if (!ret && (p->flags & VMDK_F_RGD))
		ret = load(p, p->rgd_at, &p->rgd, err);
	if (ret)
		return ret;
	check_inside(p, p->gd, p->gd_at);
	if (p->rgd)
		check_inside(p, p->rgd, p->rgd_at);
	ret = check_overlap(p, err);
	if (!ret && p->a->mend)
		find_tangled(p);
	/* Every change would undo the one before. */
	if (ret || (p->tangled && p->a->mend))
		return ret;
	for (uint32_t i = 0; i < p->ntables && p->rgd && !ret; i++) {
		ret = check_sense(p, i, true, err);
		if (!ret)
			ret = check_sense(p, i, false, err);
	}
	for (uint32_t i = 0; i < p->ntables && !ret; i++)
		ret = audit_table(p, i, err);
	if (!ret && p->a->mend)
		ret = vd_file_sync(p->f, err);
	if (!ret)
		ret = keep_late(p, err);
	if (!ret && p->kind == VMDK_SPARSE)
		ret = vmdk_audit_overhead(p, &usable, err);
	if (!ret && usable)
		ret = vmdk_audit_grains(p, err);
	return ret ? ret : mend_mark(p, err);
}
