/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-sesparse.c - a space-efficient sparse extent.
 *
 * Only told, never mended: nothing in it is there twice but the place of a
 * grain (its back map), whose layout is not published.
 */
#include "audit.h"

#define GRAIN	8u		/* sectors */
#define TABLE	64u		/* sectors */
#define ENTRIES	4096u
#define GD_MAX	(1u << 22)	/* tables: 64 TiB */
#define GRAINS_MAX	((uint64_t)GD_MAX * ENTRIES)
#define WINDOW	(UINT64_C(1) << 28)	/* grains of one pass: 32 MiB of bits */

enum {
	W_MAGIC, W_VERSION, W_CAPACITY, W_GRAIN, W_TABLE, W_FLAGS,
	W_VOLATILE = 10, W_GD = 16, W_TABLES = 18, W_GRAINS = 24, W_PAD = 26,
	W_ALL = 64,
};

struct se {
	struct vmdk_part *p;
	uint64_t	w[W_ALL];
	uint64_t	n;		/* tables that the disk needs */
	uint64_t	most;		/* grains in the file, or in the largest disk */
	uint64_t       *gd;
	uint8_t	       *tables;	/* a bit each: seen */
	uint8_t	       *grains;
	uint64_t	window;		/* first grain of this pass */
	uint64_t	windows;	/* a bit each: has a grain */
};

/* A file may be long and a hole: what is kept does not go by its length. */
_Static_assert(GRAINS_MAX / WINDOW <= 64, "a bit for each window");

static bool
flaw(struct se *s, const char *code, uint64_t off, const char *what, uint64_t v)
{
	return vd_flaw(s->p->a, VMDK_FLAW(s->p, VD_DAMAGE, code, off, NULL),
		       "%s (0x%" PRIx64 ")", what, v);
}

static int
words(struct se *s, uint64_t off, uint64_t *w, size_t n, struct vd_err *err)
{
	int ret = vd_file_read(s->p->f, w, n * 8, off, err);

	for (size_t i = 0; i < n; i++)
		w[i] = le64toh(w[i]);
	return ret;
}

/* Values that are the same in every such file, as far as is known. */
static bool
header(struct se *s)
{
	static const struct {
		unsigned	word;
		uint64_t	value;
	} fixed[] = {
		{ W_MAGIC, 0xcafebabe }, { W_VERSION, 0x200000001 },
		{ W_GRAIN, GRAIN }, { W_TABLE, TABLE }, { W_FLAGS, 0 },
		{ 6, 0 }, { 7, 0 }, { 8, 0 }, { 9, 0 },
	};
	const uint64_t *w = s->w;

	for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
		if (w[fixed[i].word] != fixed[i].value) {
			flaw(s, i ? "vmdk-sesparse-header" : "vmdk-magic",
			     fixed[i].word * 8, "not as in any file of its "
			     "kind", w[fixed[i].word]);
			return false;
		}
	for (unsigned i = W_PAD; i < W_ALL; i++)
		if (w[i]) {
			flaw(s, "vmdk-sesparse-header", i * 8, "something "
			     "behind what is known of the header", w[i]);
			return false;
		}
	return true;
}

static bool
capacity(struct se *s)
{
	uint64_t c = s->w[W_CAPACITY];

	if (!c || c > GRAINS_MAX * GRAIN ||
	    (s->p->sectors && (c < s->p->sectors ||
			       c - s->p->sectors >= GRAIN))) {
		flaw(s, "vmdk-capacity", W_CAPACITY * 8, "a capacity that is "
		     "not the descriptor's", c);
		return false;
	}
	s->n = (c + ENTRIES * GRAIN - 1) / (ENTRIES * GRAIN);
	return true;
}

static bool
places(struct se *s)
{
	static const unsigned all[] = { W_VOLATILE, W_GD, W_TABLES, W_GRAINS };

	for (unsigned i = 0; i < 4; i++)
		if (!vmdk_inside(s->p, s->w[all[i]], all[i] == W_GD ?
				 (s->n * 8 + 511) / 512 : i ? 0 : 1)) {
			flaw(s, "vmdk-sesparse-place", all[i] * 8, "a part "
			     "that is outside the file", s->w[all[i]]);
			return false;
		}
	if (s->n * 8 > s->w[W_GD + 1] * VMDK_SECTOR && s->w[W_GD + 1] < GD_MAX) {
		flaw(s, "vmdk-sesparse-place", W_GD * 8 + 8, "a directory that "
		     "is too short", s->w[W_GD + 1]);
		return false;
	}
	return true;
}

static int
journal(struct se *s, struct vd_err *err)
{
	uint64_t at = s->w[W_VOLATILE] * VMDK_SECTOR, v[4];
	int ret = words(s, at, v, 4, err);

	if (!ret && v[0] != 0xcafecafe)
		flaw(s, "vmdk-sesparse-header", at, "the volatile header has "
		     "the wrong magic", v[0]);
	else if (!ret && v[3])
		vd_flaw(s->p->a, VMDK_FLAW(s->p, VD_NOTE, "vmdk-journal", at +
			24, NULL), "was not closed: its journal has to be "
			"replayed by ESXi");
	return ret;
}

/* As far as a disk can have them. */
static uint64_t
tables_in_file(const struct se *s)
{
	uint64_t n = (vmdk_part_sectors(s->p) - s->w[W_TABLES]) / TABLE;

	return n < GD_MAX ? n : GD_MAX;
}

static int
directory(struct se *s, struct vd_err *err)
{
	uint64_t most = tables_in_file(s);
	uint64_t at = s->w[W_GD] * VMDK_SECTOR;
	int ret = words(s, at, s->gd, s->n, err);

	for (uint64_t i = 0; i < s->n && !ret; i++) {
		uint64_t e = s->gd[i], t = (uint32_t)e;

		if (!e)
			continue;
		if (e >> 32 != 0x10000000 || t >= most)
			flaw(s, "vmdk-table-outside", at + 8 * i,
			     "a directory entry that is no table", e);
		else if (s->tables[t / 8] >> t % 8 & 1)
			flaw(s, "vmdk-tables-overlap", at + 8 * i,
			     "a table that has been used already", e);
		else {
			s->tables[t / 8] |= (uint8_t)(1u << t % 8);
			continue;
		}
		s->gd[i] = 0;
	}
	return ret;
}

static void
entry(struct se *s, uint64_t off, uint64_t e)
{
	uint64_t g = (e >> 48 & 0xfff) | (e & 0xffffffffffff) << 12;

	if (!e || e >> 60 == 1 || e >> 60 == 2)
		return;
	if (e >> 60 != 3) {
		if (!s->window)
			flaw(s, "vmdk-sesparse-entry", off, "an entry of no "
			     "known kind", e);
		return;
	}
	if ((e & 0xffffffffffff) >> 40 || g >= s->most) {
		if (!s->window)
			flaw(s, "vmdk-grain-outside", off, "a grain past the "
			     "end of the file, or of the largest disk", e);
		return;
	}
	s->windows |= UINT64_C(1) << g / WINDOW;
	if (g < s->window || g - s->window >= WINDOW)
		return;
	g -= s->window;
	if (s->grains[g / 8] >> g % 8 & 1)
		flaw(s, "vmdk-grain-twice", off, "a grain that has been used "
		     "already", e);
	s->grains[g / 8] |= (uint8_t)(1u << g % 8);
}

static int
each_table(struct se *s, struct vd_err *err)
{
	uint64_t left = (s->w[W_CAPACITY] + GRAIN - 1) / GRAIN;
	uint64_t *e = malloc(ENTRIES * 8), at, n;
	int ret = e ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	for (uint64_t i = 0; i < s->n && !ret; i++, left -= n) {
		n = left < ENTRIES ? left : ENTRIES;
		if (!s->gd[i])
			continue;
		at = (s->w[W_TABLES] + (uint32_t)s->gd[i] * (uint64_t)TABLE) *
		     VMDK_SECTOR;
		ret = words(s, at, e, n, err);
		for (uint64_t k = 0; k < n && !ret; k++)
			entry(s, at + 8 * k, e[k]);
	}
	free(e);
	return ret;
}

static int
tables(struct se *s, struct vd_err *err)
{
	/* The last sector may be cut. */
	uint64_t size = (vd_file_size(s->p->f) + VMDK_SECTOR - 1) /
			VMDK_SECTOR - s->w[W_GRAINS];
	uint64_t bits;
	int ret;

	s->most = size / GRAIN < GRAINS_MAX ? size / GRAIN : GRAINS_MAX;
	bits = s->most < WINDOW ? s->most : WINDOW;
	s->gd = calloc(s->n, 8);
	s->tables = calloc(1, tables_in_file(s) / 8 + 1);
	s->grains = calloc(1, bits / 8 + 1);
	if (!s->gd || !s->tables || !s->grains)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = directory(s, err);
	if (!ret)
		ret = each_table(s, err);
	for (uint64_t i = 1; !ret && i < GRAINS_MAX / WINDOW; i++) {
		if (!(s->windows >> i & 1))
			continue;
		s->window = i * WINDOW;
		memset(s->grains, 0, bits / 8 + 1);
		ret = each_table(s, err);
	}
	return ret;
}

int
vmdk_audit_sesparse(struct vmdk_part *p, struct vd_err *err)
{
	struct se s = { .p = p };
	int ret = words(&s, 0, s.w, W_ALL, err);

	if (ret || !header(&s) || !capacity(&s) || !places(&s))
		return ret;
	ret = journal(&s, err);
	if (!ret)
		ret = tables(&s, err);
	free(s.gd);
	free(s.tables);
	free(s.grains);
	return ret;
}
