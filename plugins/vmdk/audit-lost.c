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

/* The grains that are there, as n tables from here on tell it. */
struct grains {
	uint64_t	low, used;
	bool		wrong;		/* one that cannot be */
};

static int
look_at_tables(struct vmdk_part *p, uint64_t sector, uint64_t n,
	       uint64_t meta, uint64_t g, struct grains *out, struct vd_err *err)
{
	uint64_t grains = (p->sectors + g - 1) / g;
	uint32_t e[VMDK_GTES_MAX];
	int ret = 0;

	for (uint64_t t = 0; t < n && !ret && !out->wrong; t++) {
		ret = vmdk_part_read32(p, sector + 4 * t, e, VMDK_GTES_MAX,
				       err);
		for (uint64_t k = 0; k < VMDK_GTES_MAX && !ret; k++) {
			if (e[k] <= 1)
				continue;
			out->wrong |= t * VMDK_GTES_MAX + k >= grains ||
				      e[k] < meta;
			out->low = e[k] < out->low ? e[k] : out->low;
			out->used++;
		}
	}
	return ret;
}

static int
try_grain(struct vmdk_part *p, struct shape *s, uint64_t gd, uint64_t n,
	  uint64_t g, struct vd_err *err)
{
	uint64_t meta = gd + (n + 127) / 128 + 4 * n;
	uint64_t first = (meta + g - 1) / g * g;
	struct grains x = { .low = UINT64_MAX };
	int ret = look_at_tables(p, gd + (n + 127) / 128, n, meta, g, &x, err);

	/* The first lies where a grain of this size would, and they fill it. */
	if (ret || x.wrong || (x.used && (x.low != first ||
	    first + x.used * g < p->limit ||
	    first + (x.used - 1) * g >= p->limit)))
		return ret;
	/* Without a grain the usual size is as good as any. */
	if (x.used)
		s->found++;
	else if (s->found || (s->empty && g != 128))
		return 0;
	s->empty = !x.used;
	s->gd = gd;
	s->n = n;
	s->grain = g;
	return 0;
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
