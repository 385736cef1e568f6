/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-lost.c - a hosted sparse extent whose header is gone, from what
 * follows it.
 *
 * A stream ends in a copy of its header.  Else the two directories, each with
 * its tables behind it, say how many tables there are; with the size that the
 * descriptor tells that leaves few sizes of a grain, and the grains that are
 * there leave one.  Where two are left nothing is written.
 */
#include "audit.h"

#define SEARCH	20500u	/* sectors behind the header that a descriptor takes */

struct shape {
	uint64_t	rgd, gd, n, grain;
	unsigned	found;
	bool		empty;		/* no grain is in use */
};

/* The copy in front of the end marker. */
static bool
from_footer(struct vmdk_part *p)
{
	uint64_t end = vmdk_part_sectors(p);
	uint8_t b[3 * VMDK_SECTOR];

	if (end < 8 || vd_file_read(p->f, b, sizeof(b), (end - 3) *
				    VMDK_SECTOR, NULL) ||
	    vmdk_le32(b + 8) || vmdk_le32(b + 12) != 3 ||
	    memcmp(b + VMDK_SECTOR, "KDMV", 4))
		return false;
	memcpy(p->head, b + VMDK_SECTOR, VMDK_SECTOR);
	vmdk_put64(p->head + 56, UINT64_MAX);
	return true;
}

/* Do the entries that are set go with grains of this size? */
static bool
grain_fits(const uint32_t *e, uint64_t n, uint64_t grains, uint64_t end,
	   uint64_t meta, uint64_t g, uint64_t *used)
{
	uint64_t low = UINT64_MAX, first = (meta + g - 1) / g * g;

	*used = 0;
	for (uint64_t i = 0; i < n; i++) {
		if (e[i] <= 1)
			continue;
		if (i >= grains || e[i] < meta)
			return false;
		low = e[i] < low ? e[i] : low;
		++*used;
	}
	/* The first lies where a grain of this size would, and they fill it. */
	return !*used || (low == first && first + *used * g >= end &&
			  first + (*used - 1) * g < end);
}

static int
try_grain(struct vmdk_part *p, struct shape *s, uint64_t gd, uint64_t n,
	  uint64_t g, struct vd_err *err)
{
	uint64_t all = n * VMDK_GTES_MAX, used;
	uint64_t meta = gd + (n + 127) / 128 + 4 * n;
	uint32_t *e = malloc(all * 4);
	int ret = e ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	/* Tables follow one another: read as one. */
	if (!ret)
		ret = vmdk_part_read32(p, gd + (n + 127) / 128, e, all, err);
	if (!ret && grain_fits(e, all, (p->sectors + g - 1) / g, p->limit,
			       meta, g, &used)) {
		/* Without a grain the usual size is as good as any. */
		if (used)
			s->found++;
		else if (s->found || (s->empty && g != 128))
			goto out;
		s->empty = !used;
		s->gd = gd;
		s->n = n;
		s->grain = g;
	}
out:
	free(e);
	return ret;
}

static int
find_shape(struct vmdk_part *p, uint64_t rgd, struct shape *s,
	   struct vd_err *err)
{
	int ret = 0;

	for (uint64_t g = 1; g <= 2048 && !ret; g *= 2) {
		uint64_t n = p->sectors / (512 * g) + !!(p->sectors % (512 * g));
		uint64_t gd = rgd + (n + 127) / 128 + 4 * n;
		bool fits, both = false;

		ret = vmdk_directory_fits(p, rgd, n, &fits, err);
		if (!ret && fits)
			ret = vmdk_directory_fits(p, gd, n, &both, err);
		if (!ret && both)
			ret = try_grain(p, s, gd, n, g, err);
	}
	if (s->grain)
		s->rgd = rgd;
	return ret;
}

static void
make_header(struct vmdk_part *p, const struct shape *s)
{
	uint64_t end = s->gd + (s->n + 127) / 128 + 4 * s->n;

	memset(p->head, 0, VMDK_SECTOR);
	memcpy(p->head, "KDMV", 4);
	vmdk_put32(p->head + 4, 1);
	vmdk_put32(p->head + 8, VMDK_F_NEWLINE | VMDK_F_RGD);
	vmdk_put64(p->head + 12, p->sectors);
	vmdk_put64(p->head + 20, s->grain);
	if (s->rgd > 1) {
		vmdk_put64(p->head + 28, 1);
		vmdk_put64(p->head + 36, s->rgd - 1);
	}
	vmdk_put32(p->head + 44, VMDK_GTES_MAX);
	vmdk_put64(p->head + 48, s->rgd);
	vmdk_put64(p->head + 56, s->gd);
	vmdk_put64(p->head + 64, (end + s->grain - 1) / s->grain * s->grain);
	memcpy(p->head + 73, "\n \r\n", 4);
}

/* Where could the redundant directory be?  Its first entry tells. */
static int
from_tables(struct vmdk_part *p, struct shape *s, struct vd_err *err)
{
	uint32_t first;
	int ret = 0;

	for (uint64_t at = 1; at < SEARCH && !ret && !s->grain &&
	     vmdk_inside(p, at, 8); at++) {
		ret = vmdk_part_read32(p, at, &first, 1, err);
		if (!ret && first > at && first - at <= VMDK_GD_MAX / 128)
			ret = find_shape(p, at, s, err);
	}
	return ret;
}

int
vmdk_audit_lost(struct vmdk_part *p, bool *usable, struct vd_err *err)
{
	struct shape s = { 0 };
	bool footer = from_footer(p);
	int ret = 0;

	if (!footer && p->sectors && p->sectors <= VMDK_SECTORS_MAX)
		ret = from_tables(p, &s, err);
	if (ret)
		return ret;
	*usable = vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-magic", 0,
		footer ? "its copy at the end of the file is whole: would take "
		"it from there" : s.empty || s.found == 1 ? "both grain directories are "
		"where a header would say: would make one for them" : NULL),
		"the header is lost: no \"KDMV\" at its start");
	if (!*usable)
		return 0;
	if (!footer)
		make_header(p, &s);
	p->changed = true;
	vmdk_part_fields(p);
	return 0;
}
