/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * verify.c - may a sparse extent be written to?
 *
 * Reading a doubtful image can at worst return its garbage; writing to it
 * spreads the damage.  So an open for writing asks more: both directories
 * complete, no table lying on another - and where the last writer did not
 * close the image, every grain pointer sane and none used twice.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

#define USED_MAX	(65u << 20)	/* bytes of bitmap: of 4 KiB grains */

static int
refuse(struct vmdk_extent *x, struct vd_err *err, int ret)
{
	vd_err_file(err, vd_file_name(x->file));
	vd_err_help(err, "open it read-only, or copy it: vdiskadm translate "
		    "-I %s -x vmdk -d NEW.vmdk", vd_file_name(x->file));
	return ret;
}

static bool
table_empty(struct vmdk_extent *x, uint32_t sector)
{
	uint32_t t[VMDK_COWD_GTES];

	if (vd_file_read(x->file, t, x->h.gtes * 4,
			 (uint64_t)sector * VMDK_SECTOR, NULL))
		return false;
	for (uint32_t k = 0; k < x->h.gtes; k++)
		if (t[k])
			return false;
	return true;
}

/*
 * A table that was being made when its writer died is in one directory only,
 * and empty: forget it.  Anything else is damage.
 */
static int
same_presence(struct vmdk_extent *x, struct vd_err *err)
{
	if (!x->rgd)
		return 0;
	for (uint32_t i = 0; i < x->ntables; i++) {
		if (!x->gd[i] == !x->rgd[i])
			continue;
		if (!x->h.unclean || !table_empty(x, x->gd[i] ? x->gd[i]
							      : x->rgd[i]))
			return vd_fail(err, EINVAL, (x->gd[i] ?
				       x->h.rgd_sector : x->h.gd_sector) *
				       VMDK_SECTOR + (uint64_t)i * 4,
				       "grain table %u exists in one of the "
				       "two grain directories only", i);
		x->gd[i] = x->rgd[i] = 0;
		x->stale_copies = true;
	}
	return 0;
}

static void
add_span(struct vmdk_span *s, unsigned *n, uint64_t start, uint64_t count)
{
	if (start && count && start <= UINT32_MAX)
		s[(*n)++] = (struct vmdk_span){ (uint32_t)start,
						(uint32_t)count };
}

/* 131072 tables of a disk of 2 TiB take longer to sort than to look at. */
static bool
in_order(const struct vmdk_span *s, unsigned n)
{
	for (unsigned i = 1; i < n; i++)
		if (s[i].start < s[i - 1].start)
			return false;
	return true;
}

/* Header, descriptor, directories and tables: none may lie on another. */
static int
no_overlap(struct vmdk_extent *x, struct vd_err *err)
{
	uint64_t gd = ((uint64_t)x->ntables * 4 + VMDK_SECTOR - 1) /
		      VMDK_SECTOR;
	uint32_t gt = vmdk_gt_sectors(&x->h);
	struct vmdk_span *s = calloc((size_t)x->ntables * 2 + 3, sizeof(*s));
	unsigned n = 0;
	int ret = 0;

	if (!s)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	/* In the order in which most writers lay them out. */
	add_span(s, &n, x->h.desc_sector, x->h.desc_sectors);
	if (x->rgd)
		add_span(s, &n, x->h.rgd_sector, gd);
	for (uint32_t i = 0; i < x->ntables && x->rgd; i++)
		add_span(s, &n, x->rgd[i], gt);
	add_span(s, &n, x->h.gd_sector, gd);
	for (uint32_t i = 0; i < x->ntables; i++)
		add_span(s, &n, x->gd[i], gt);
	if (!in_order(s, n))
		qsort(s, n, sizeof(*s), vmdk_span_cmp);
	for (unsigned i = 1; i < n && !ret; i++)
		if ((uint64_t)s[i - 1].start + s[i - 1].count > s[i].start)
			ret = vd_fail(err, EINVAL, (uint64_t)s[i].start *
				      VMDK_SECTOR, "two of the image's tables "
				      "lie on one another");
	free(s);
	return ret;
}

/* One table and its copy, in host order. */
struct pair {
	uint32_t	a[VMDK_COWD_GTES], b[VMDK_COWD_GTES];
	uint32_t	n;		/* entries that belong to the disk */
	bool		copy;
};

static int
read_pair(struct vmdk_extent *x, uint32_t i, struct pair *p,
	  struct vd_err *err)
{
	uint64_t grains = (x->len + x->grain - 1) / x->grain;
	uint64_t left = grains - (uint64_t)i * x->h.gtes;
	int ret;

	p->n = left < x->h.gtes ? (uint32_t)left : x->h.gtes;
	p->copy = x->rgd && x->rgd[i] && x->rgd[i] != x->gd[i];
	ret = vd_file_read(x->file, p->a, p->n * 4,
			   (uint64_t)x->gd[i] * VMDK_SECTOR, err);
	if (!ret && p->copy)
		ret = vd_file_read(x->file, p->b, p->n * 4,
				   (uint64_t)x->rgd[i] * VMDK_SECTOR, err);
	for (uint32_t k = 0; k < p->n && !ret; k++) {
		p->a[k] = le32toh(p->a[k]);
		p->b[k] = p->copy ? le32toh(p->b[k]) : p->a[k];
	}
	return ret;
}

/* Start sectors of grains that do not overlap fall into different slots. */
static bool
used_before(struct vmdk_extent *x, uint8_t *used, uint32_t sector)
{
	uint64_t slot = sector / x->h.grain_sectors;
	uint8_t bit = (uint8_t)(1u << (slot & 7));
	bool before = used[slot >> 3] & bit;

	used[slot >> 3] |= bit;
	return before;
}

/* Is it the last thing in the file? */
static void
in_use(struct vmdk_extent *x, uint64_t sector)
{
	uint64_t end = sector * VMDK_SECTOR + x->grain;

	if (sector > 1 && end > x->used_end)
		x->used_end = end;
}

/* What is not a grain but must stay; no pointer was seen yet. */
static void
metadata_in_use(struct vmdk_extent *x)
{
	uint64_t gd = x->h.gd_sector * VMDK_SECTOR + (uint64_t)x->ntables * 4;
	uint64_t rgd = x->h.rgd_sector * VMDK_SECTOR +
		       (uint64_t)x->ntables * 4;
	uint64_t desc = (x->h.desc_sector + x->h.desc_sectors) * VMDK_SECTOR;
	uint64_t end = x->h.overhead * VMDK_SECTOR;

	end = gd > end ? gd : end;
	end = x->rgd && rgd > end ? rgd : end;
	end = desc > end ? desc : end;
	for (unsigned i = 0; i < x->nspans; i++) {
		uint64_t s = ((uint64_t)x->spans[i].start +
			      x->spans[i].count) * VMDK_SECTOR;

		end = s > end ? s : end;
	}
	if (x->kind == VMDK_COWD && end < (uint64_t)x->free_sector *
	    VMDK_SECTOR + VMDK_SECTOR)
		end = (uint64_t)x->free_sector * VMDK_SECTOR + VMDK_SECTOR;
	x->used_end = end;
}

/* Pointers that a dead process left in the crash journal count as well. */
int
vmdk_sparse_recovered(struct vmdk_extent *x, struct vd_err *err)
{
	uint64_t grains = (x->len + x->grain - 1) / x->grain, value;
	int ret = 0;

	if (!x->used_end || !vd_table_dirty(x->table))
		return 0;
	for (uint64_t i = 0; i < grains && !ret; i++) {
		i += vd_table_run(x->table, i, grains - i, 0, 0);
		if (i == grains)
			break;
		ret = vd_table_get(x->table, i, &value, err);
		if (!ret)
			in_use(x, value);
	}
	return ret;
}

static int
check_pair(struct vmdk_extent *x, uint32_t i, const struct pair *p,
	   uint8_t *used, struct vd_err *err)
{
	for (uint32_t k = 0; k < p->n; k++) {
		uint64_t at = (uint64_t)x->gd[i] * VMDK_SECTOR + 4ull * k;
		uint64_t off = ((uint64_t)i * x->h.gtes + k) * x->grain;
		uint64_t len = x->len - off < x->grain ? x->len - off
						       : x->grain;
		const char *wrong = NULL;

		if (p->a[k] != p->b[k])
			x->stale_copies = true;
		in_use(x, p->a[k]);
		in_use(x, p->b[k]);
		if (p->a[k] > 1)
			wrong = vmdk_pointer_wrong(x, p->a[k], len);
		if (!wrong && p->a[k] > 1 && used_before(x, used, p->a[k]))
			wrong = "is in use already";
		/*
		 * An update cut short leaves the old and the new value.  The
		 * old one of a grain is "none", never another place.
		 */
		if (!wrong && p->a[k] > 1 && p->b[k] > 1 &&
		    p->a[k] != p->b[k])
			wrong = "is somewhere else in the redundant table";
		if (wrong)
			return vd_fail(err, EINVAL, at, "the image was not "
				       "closed by its last writer and is "
				       "damaged: sector %u of a grain %s",
				       p->a[k], wrong);
	}
	return 0;
}

/* Unclean: all pointers of both copies, and none used twice. */
static int
check_pointers(struct vmdk_extent *x, struct vd_err *err)
{
	/* No entry leads further than its 32 bits, however long the file is. */
	uint64_t most = VMDK_FILE_SECTORS_MAX * VMDK_SECTOR;
	uint64_t bytes = (x->size < most ? x->size : most) / x->grain / 8 + 2;
	struct pair *p;
	uint8_t *used;
	int ret = 0;

	if (bytes > USED_MAX)
		return vd_fail(err, EFBIG, VD_NOWHERE, "the image was not "
			       "closed by its last writer, and has too many "
			       "small grains to be checked at open");
	metadata_in_use(x);
	used = calloc(1, bytes);
	p = malloc(sizeof(*p));
	if (!used || !p)
		ret = vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	for (uint32_t i = 0; i < x->ntables && !ret; i++) {
		if (!x->gd[i])
			continue;
		ret = read_pair(x, i, p, err);
		if (!ret)
			ret = check_pair(x, i, p, used, err);
	}
	free(used);
	free(p);
	return ret;
}

int
vmdk_sparse_writable(struct vmdk_extent *x, bool marked, struct vd_err *err)
{
	int ret = same_presence(x, err);

	if (!ret)
		ret = no_overlap(x, err);
	if (!ret && x->h.unclean && !marked)
		ret = check_pointers(x, err);
	return ret ? refuse(x, err, ret) : 0;
}

static int
equal_table(struct vmdk_extent *x, uint32_t i, struct pair *p,
	    struct vd_err *err)
{
	int ret = read_pair(x, i, p, err);

	if (ret || !memcmp(p->a, p->b, p->n * 4))
		return ret;
	for (uint32_t k = 0; k < p->n; k++)
		p->a[k] = htole32(p->a[k]);
	return vd_file_write(x->file, p->a, p->n * 4,
			     (uint64_t)x->rgd[i] * VMDK_SECTOR, err);
}

/* The entry of a table that was forgotten above. */
static int
clear_entry(struct vmdk_extent *x, uint64_t directory, uint32_t i,
	    struct vd_err *err)
{
	uint64_t off = directory * VMDK_SECTOR + (uint64_t)i * 4;
	uint32_t e;
	int ret = vd_file_read(x->file, &e, 4, off, err);

	if (ret || !e)
		return ret;
	e = 0;
	return vd_file_write(x->file, &e, 4, off, err);
}

/* Give the copies what the primary tables say, where they differ. */
int
vmdk_sparse_equal(struct vmdk_extent *x, struct vd_err *err)
{
	struct pair *p = malloc(sizeof(*p));
	int ret = p ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	for (uint32_t i = 0; i < x->ntables && !ret; i++) {
		if (x->gd[i]) {
			ret = equal_table(x, i, p, err);
			continue;
		}
		ret = clear_entry(x, x->h.gd_sector, i, err);
		if (!ret && x->rgd)
			ret = clear_entry(x, x->h.rgd_sector, i, err);
	}
	free(p);
	return ret;
}
