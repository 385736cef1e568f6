/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * repair.c - mend the tables of a hosted sparse extent.
 *
 * What one of the two tables still knows is taken from it.  Nothing is ever
 * guessed: what neither knows is lost, and said to be, before it is given up.
 * Each change is shown and asked for; new room is always at the end of the file.
 * Shares no code with what writes images.
 *
 * In this order, each stage durable before the next: every table in both
 * directories; every entry good, and the same in both; no grain used twice; the
 * mark of the last writer taken away.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

#define USED_MAX	(64u << 20)	/* bytes of bitmap: 2 TiB of 4 KiB grains */

struct mend {
	struct vd_report *r;
	struct vmdk_extent *x;
	struct vd_file *f;
	bool		child;
	uint32_t       *gd, *rgd;	/* rgd: NULL without copies */
	uint32_t       *a, *b;		/* one table, and its copy */
	uint8_t	       *used;		/* a bit for each slot of a grain */
	uint64_t	slots;
	bool		left;		/* something was not to be mended */
};

__attribute__((format(printf, 5, 6))) static bool
may(struct mend *m, enum vd_severity how, const char *code, uint64_t off,
    const char *fmt, ...)
{
	struct vd_finding f = { .size = sizeof(f), .severity = how,
				.code = code, .file = vd_file_name(m->f),
				.off = off };
	char text[512];
	bool yes;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	f.text = text;
	yes = m->r->may(m->r, &f);
	m->left = m->left || !yes;
	return yes;
}

static int
load(struct mend *m, uint64_t sector, uint32_t *e, uint32_t n,
     struct vd_err *err)
{
	int ret = vd_file_read(m->f, e, (size_t)n * 4, sector * VMDK_SECTOR,
			       err);

	for (uint32_t i = 0; i < n; i++)
		e[i] = le32toh(e[i]);
	return ret;
}

static int
store(struct mend *m, uint64_t off, uint32_t value, struct vd_err *err)
{
	value = htole32(value);
	return vd_file_write(m->f, &value, 4, off, err);
}

/* The next whole grain's room behind all that is there. */
static int
room_at_end(struct mend *m, uint64_t bytes, uint32_t *sector,
	    struct vd_err *err)
{
	uint64_t g = m->x->grain;
	uint64_t at = (vd_file_size(m->f) + g - 1) / g * g;

	if (at + bytes > VMDK_FILE_SECTORS_MAX * VMDK_SECTOR)
		return vd_fail(err, ENOSPC, VD_NOWHERE, "the file has reached "
			       "2 TiB");
	*sector = (uint32_t)(at / VMDK_SECTOR);
	return vd_file_truncate(m->f, at + bytes, err);
}

/* ----------------------------------------------------------------- tables */

static bool
meets(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return a < b + blen && b < a + alen;
}

static bool
table_good(const struct mend *m, uint32_t sector)
{
	uint64_t most = vd_file_size(m->f) / VMDK_SECTOR;

	return sector && sector <= most &&
	       vmdk_gt_sectors(&m->x->h) <= most - sector;
}

/* A table of its own for one directory, with what the other's says. */
static int
copy_table(struct mend *m, uint32_t i, uint64_t directory, uint32_t *entry,
	   uint32_t from, struct vd_err *err)
{
	uint64_t bytes = (uint64_t)vmdk_gt_sectors(&m->x->h) * VMDK_SECTOR;
	uint8_t *buf = malloc(bytes);
	uint32_t to;
	int ret = buf ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	if (!ret)
		ret = vd_file_read(m->f, buf, bytes, (uint64_t)from *
				   VMDK_SECTOR, err);
	if (!ret)
		ret = room_at_end(m, bytes, &to, err);
	if (!ret)
		ret = vd_file_write(m->f, buf, bytes, (uint64_t)to *
				    VMDK_SECTOR, err);
	if (!ret)
		ret = vd_file_sync(m->f, err);
	if (!ret)
		ret = store(m, directory * VMDK_SECTOR + 4ull * i, to, err);
	if (!ret)
		*entry = to;
	free(buf);
	return ret;
}

static int
mend_table(struct mend *m, uint32_t i, struct vd_err *err)
{
	const struct vmdk_header *h = &m->x->h;
	uint64_t at = h->gd_sector * VMDK_SECTOR + 4ull * i;
	uint64_t copy_at = h->rgd_sector * VMDK_SECTOR + 4ull * i;
	uint32_t *a = &m->gd[i], *b = m->rgd ? &m->rgd[i] : NULL;
	bool good = table_good(m, *a), copy = b && table_good(m, *b);

	if ((good && (!b || (copy && *a != *b))) || (!*a && (!b || !*b)))
		return 0;
	if (good && b) {
		if (!may(m, VD_DAMAGE, "vmdk-table-single", copy_at, "grain "
			 "table %u has no copy of its own: makes one", i))
			return 0;
		return copy_table(m, i, h->rgd_sector, b, *a, err);
	}
	if (copy) {
		if (!may(m, VD_DAMAGE, "vmdk-table-single", at, "grain table "
			 "%u is lost: makes one from its copy", i))
			return 0;
		return copy_table(m, i, h->gd_sector, a, *b, err);
	}
	if (!may(m, VD_DAMAGE, "vmdk-table-outside", at, "grain table %u is "
		 "lost, and no copy of it is left: its %u grains will read as "
		 "%s", i, h->gtes, m->child ? "in the parent" : "zeros"))
		return 0;
	*a = 0;
	if (b)
		*b = 0;
	return b && store(m, copy_at, 0, err) ? -EIO : store(m, at, 0, err);
}

/* ---------------------------------------------------------------- entries */

static bool
entry_good(const struct mend *m, uint64_t grain, uint32_t e)
{
	const struct vmdk_extent *x = m->x;
	uint64_t dir = ((uint64_t)x->ntables * 4 + 511) / VMDK_SECTOR;
	uint64_t left = x->len - grain * x->grain, end = e;
	uint64_t most = (vd_file_size(m->f) + 511) / VMDK_SECTOR;

	end += ((left < x->grain ? left : x->grain) + 511) / VMDK_SECTOR;
	if (e <= 1)
		return true;
	return e >= x->h.overhead && end <= most &&
	       !(e < x->h.gd_sector + dir && end > x->h.gd_sector);
}

/* What the grain is to be from now on; both entries differ, or are bad. */
static uint32_t
decide(struct mend *m, uint64_t grain, uint64_t at, uint32_t a, uint32_t b,
       bool *do_it)
{
	bool good = entry_good(m, grain, a), copy = entry_good(m, grain, b);

	if (good && a) {
		*do_it = may(m, VD_DAMAGE, "vmdk-copies-differ", at, "grain %"
			     PRIu64 " is at sector %u, its copy says %u: "
			     "corrects the copy", grain, a, b);
		return a;
	}
	if (copy && b && m->rgd && !good) {
		*do_it = may(m, VD_DAMAGE, "vmdk-grain-outside", at, "grain %"
			     PRIu64 " cannot be at sector %u: takes %u from "
			     "the redundant table", grain, a, b);
		return b;
	}
	if (good) {	/* never promised: or the copy would be a table's */
		*do_it = may(m, VD_DAMAGE, "vmdk-copies-differ", at, "grain %"
			     PRIu64 " is in the redundant table only (sector "
			     "%u), where no program reads: forgets it", grain,
			     b);
		return 0;
	}
	*do_it = may(m, VD_DAMAGE, "vmdk-grain-outside", at, "grain %" PRIu64
		     " cannot be at sector %u, and no copy knows better: what "
		     "it held is lost, it will read as %s", grain, a,
		     m->child ? "in the parent" : "zeros");
	return 0;
}

static int
set_both(struct mend *m, uint32_t i, uint32_t k, uint32_t value,
	 struct vd_err *err)
{
	int ret = store(m, (uint64_t)m->gd[i] * VMDK_SECTOR + 4ull * k, value,
			err);

	m->a[k] = m->b[k] = value;
	if (!ret && m->rgd && m->rgd[i])
		ret = store(m, (uint64_t)m->rgd[i] * VMDK_SECTOR + 4ull * k,
			    value, err);
	return ret;
}

static bool
taken(struct mend *m, uint32_t e)
{
	uint64_t slot = e / m->x->h.grain_sectors;
	bool before = slot < m->slots && (m->used[slot / 8] >> slot % 8 & 1);

	if (slot < m->slots)
		m->used[slot / 8] |= (uint8_t)(1u << slot % 8);
	return before;
}

/* Two grains in one room: each gets the bytes, and a room of its own. */
static int
split_grain(struct mend *m, uint32_t i, uint32_t k, uint64_t grain,
	    struct vd_err *err)
{
	uint32_t to;
	uint8_t *buf;
	int ret;

	if (!may(m, VD_DAMAGE, "vmdk-grain-twice", (uint64_t)m->gd[i] *
		 VMDK_SECTOR + 4ull * k, "grain %" PRIu64 " shares sector %u "
		 "with another: gives it a copy of its own; whose bytes they "
		 "were cannot be told", grain, m->a[k]))
		return 0;
	buf = malloc(m->x->grain);
	ret = buf ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	if (!ret)
		ret = vd_file_read(m->f, buf, m->x->grain, (uint64_t)m->a[k] *
				   VMDK_SECTOR, err);
	if (!ret)
		ret = room_at_end(m, m->x->grain, &to, err);
	if (!ret)
		ret = vd_file_write(m->f, buf, m->x->grain, (uint64_t)to *
				    VMDK_SECTOR, err);
	if (!ret)
		ret = vd_file_sync(m->f, err);
	if (!ret)
		ret = set_both(m, i, k, to, err);
	free(buf);
	return ret;
}

static int
mend_entry(struct mend *m, uint32_t i, uint32_t k, struct vd_err *err)
{
	uint64_t grain = (uint64_t)i * m->x->h.gtes + k;
	uint64_t at = (uint64_t)m->gd[i] * VMDK_SECTOR + 4ull * k;
	uint32_t value;
	bool do_it = false;
	int ret = 0;

	if (grain * m->x->grain >= m->x->len)
		return 0;
	if (m->a[k] != m->b[k] || !entry_good(m, grain, m->a[k])) {
		value = decide(m, grain, at, m->a[k], m->b[k], &do_it);
		if (!do_it)
			return 0;
		ret = set_both(m, i, k, value, err);
	}
	if (!ret && m->a[k] > 1 && taken(m, m->a[k]))
		ret = split_grain(m, i, k, grain, err);
	return ret;
}

static int
mend_entries(struct mend *m, uint32_t i, struct vd_err *err)
{
	uint32_t n = m->x->h.gtes;
	int ret;

	if (!table_good(m, m->gd[i]))
		return 0;
	ret = load(m, m->gd[i], m->a, n, err);
	memcpy(m->b, m->a, (size_t)n * 4);
	if (!ret && m->rgd && table_good(m, m->rgd[i]))
		ret = load(m, m->rgd[i], m->b, n, err);
	for (uint32_t k = 0; k < n && !ret; k++)
		ret = mend_entry(m, i, k, err);
	return ret;
}

/* ------------------------------------------------------------------- all */

static int
prepare(struct mend *m, struct vd_err *err)
{
	struct vmdk_extent *x = m->x;
	int ret = 0;

	/* Pointers have 32 bits: what lies behind 2 TiB is nobody's grain. */
	m->slots = vd_file_size(m->f);
	if (m->slots > VMDK_FILE_SECTORS_MAX * VMDK_SECTOR)
		m->slots = VMDK_FILE_SECTORS_MAX * VMDK_SECTOR;
	m->slots = m->slots / x->grain + 2;
	if (m->slots / 8 > USED_MAX)
		return vd_fail(err, EFBIG, VD_NOWHERE, "too many grains to "
			       "tell which are used twice");
	m->gd = calloc(x->ntables, 4);
	m->rgd = x->h.flags & VMDK_F_RGD ? calloc(x->ntables, 4) : NULL;
	m->a = calloc(x->h.gtes, 4);
	m->b = calloc(x->h.gtes, 4);
	m->used = calloc(1, m->slots / 8 + 1);
	if (!m->gd || !m->a || !m->b || !m->used ||
	    (!m->rgd && (x->h.flags & VMDK_F_RGD)))
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = load(m, x->h.gd_sector, m->gd, x->ntables, err);
	if (!ret && m->rgd)
		ret = load(m, x->h.rgd_sector, m->rgd, x->ntables, err);
	return ret;
}

static int
piece_cmp(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return x[0] < y[0] ? -1 : x[0] > y[0];
}

/*
 * What lies on one another cannot be set right one after the other: every change
 * would undo the one before.
 */
static int
apart(struct mend *m, struct vd_err *err)
{
	const struct vmdk_header *h = &m->x->h;
	uint64_t dir = ((uint64_t)m->x->ntables * 4 + 511) / VMDK_SECTOR;
	uint64_t (*p)[2] = calloc((size_t)m->x->ntables * 2 + 4, sizeof(*p));
	size_t n = 0;
	int ret = 0;

	if (!p)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	p[n][0] = 0, p[n++][1] = 1;
	p[n][0] = h->gd_sector, p[n++][1] = dir;
	if (m->rgd)
		p[n][0] = h->rgd_sector, p[n++][1] = dir;
	if (h->desc_sector && h->desc_sectors)
		p[n][0] = h->desc_sector, p[n++][1] = h->desc_sectors;
	for (uint32_t i = 0; i < m->x->ntables; i++) {
		if (table_good(m, m->gd[i]))
			p[n][0] = m->gd[i], p[n++][1] = vmdk_gt_sectors(h);
		if (m->rgd && table_good(m, m->rgd[i]) &&
		    m->rgd[i] != m->gd[i])
			p[n][0] = m->rgd[i], p[n++][1] = vmdk_gt_sectors(h);
	}
	qsort(p, n, sizeof(*p), piece_cmp);
	for (size_t i = 1; i < n && !ret; i++)
		if (p[i - 1][0] + p[i - 1][1] > p[i][0])
			ret = vd_fail(err, EINVAL, p[i][0] * VMDK_SECTOR,
				      "two of the image's tables lie on one "
				      "another: which is right cannot be told");
	free(p);
	return ret;
}

static int
mend_mark(struct mend *m, struct vd_err *err)
{
	uint8_t zero = 0;
	int ret;

	if (!m->x->h.unclean || m->left ||
	    !may(m, VD_NOTE, "vmdk-unclean", VMDK_HEADER_UNCLEAN, "was not "
		 "closed by its last writer: takes the mark away"))
		return 0;
	ret = vd_file_write(m->f, &zero, 1, VMDK_HEADER_UNCLEAN, err);
	return ret ? ret : vd_file_sync(m->f, err);
}

static int
mend_extent(struct mend *m, struct vd_err *err)
{
	int ret = prepare(m, err);

	if (!ret)
		ret = apart(m, err);
	for (uint32_t i = 0; i < m->x->ntables && !ret; i++)
		ret = mend_table(m, i, err);
	if (!ret)
		ret = vd_file_sync(m->f, err);
	for (uint32_t i = 0; i < m->x->ntables && !ret; i++)
		ret = mend_entries(m, i, err);
	if (!ret)
		ret = vd_file_sync(m->f, err);
	if (!ret)
		ret = mend_mark(m, err);
	free(m->gd);
	free(m->rgd);
	free(m->a);
	free(m->b);
	free(m->used);
	return ret;
}

/* Other kinds have no second copy of anything: there is nothing to go by. */
static int
repair_extent(struct vmdk *v, struct vd_report *r, struct vmdk_extent *x,
	      struct vd_err *err)
{
	struct mend m = { .r = r, .x = x, .f = x->file,
			  .child = vmdk_desc_is_child(&v->desc) };
	uint8_t raw[VMDK_HEADER_LEN];
	int ret;

	if (x->kind != VMDK_SPARSE || x->access != VMDK_RW || !x->file)
		return 0;
	ret = vd_file_read(x->file, raw, sizeof(raw), 0, err);
	if (ret)
		return ret;
	if (!vmdk_header_decode(raw, &x->h))
		return vd_fail(err, EINVAL, 0, "not a sparse extent: no "
			       "\"KDMV\" at its start");
	ret = vmdk_header_check(&x->h, vd_file_size(x->file), err);
	if (!ret)
		ret = vmdk_header_supported(&x->h, err);
	if (ret || vmdk_header_is_stream(&x->h))
		return ret;
	if (x->h.flags & VMDK_F_RGD &&
	    meets(x->h.gd_sector, (vmdk_header_tables(&x->h) * 4 + 511) / 512,
		  x->h.rgd_sector, (vmdk_header_tables(&x->h) * 4 + 511) / 512))
		return vd_fail(err, EINVAL, 48, "the two grain directories "
			       "lie on one another");
	if (x->h.capacity * VMDK_SECTOR < x->len)
		return vd_fail(err, EINVAL, 12, "the header has room for less "
			       "than the descriptor says");
	x->grain = x->h.grain_sectors * VMDK_SECTOR;
	x->ntables = (uint32_t)vmdk_header_tables(&x->h);
	return mend_extent(&m, err);
}

int
vmdk_repair(void *img, struct vd_report *r, struct vd_err *err)
{
	struct vmdk *v = img;
	int ret = 0;

	if (v->flaw.code) {
		if (err && !err->code)
			*err = v->flaw;
		return -v->flaw.code;
	}
	if (v->rdonly)
		return vd_fail(err, EROFS, VD_NOWHERE, "is open to be read "
			       "only");
	for (unsigned i = 0; i < v->nextents && !ret; i++) {
		ret = repair_extent(v, r, &v->extents[i], err);
		if (ret && v->extents[i].file)
			vd_err_file(err, vd_file_name(v->extents[i].file));
	}
	return ret;
}
