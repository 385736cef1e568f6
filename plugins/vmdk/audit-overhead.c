/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-overhead.c - how many sectors of a hosted sparse file are metadata.
 *
 * The number guards nothing that the tables do not tell, too: vdisk reads no
 * grain before it, QEMU reads them all.  So a wrong one must not cost a grain.
 */
#include "audit-grains.h"

/* The end of the directory and of its tables, where each writer lays them. */
static uint64_t
laid_out(const struct vmdk_part *p)
{
	uint64_t end = p->gd_at + p->dir_len, most = vmdk_part_sectors(p);
	uint64_t all = (end + p->ntables * p->gt_len + p->grain - 1) /
		       p->grain * p->grain;

	return all <= most ? all : (end + p->grain - 1) / p->grain * p->grain;
}

/*
 * Of a table and its copy.  A value before known does not count where the other
 * one is behind it: of the two that is the right one.
 */
static int
first_of_table(struct vmdk_part *p, const uint32_t at[2], uint64_t grain,
	       uint64_t from, uint64_t known, uint64_t *first,
	       struct vd_err *err)
{
	uint32_t e[2][VMDK_GTES_MAX];
	uint64_t n = entry_grains(p);
	int ret = vmdk_part_read32(p, at[0], e[0], p->gtes, err);

	if (!ret && at[0] == at[1])
		memcpy(e[1], e[0], p->gtes * 4);
	else if (!ret)
		ret = vmdk_part_read32(p, at[1], e[1], p->gtes, err);
	for (uint32_t k = 0; k < 2 * p->gtes && !ret; k++) {
		uint32_t v = e[k & 1][k / 2], o = e[!(k & 1)][k / 2];
		uint64_t g = grain + k / 2;

		if (g < n && v > 1 && v >= from && v < *first &&
		    entry_possible(p, v, g) &&
		    (v == o || o < known || !entry_possible(p, o, g)))
			*first = v;
	}
	return ret;
}

/*
 * Of 128 tables, as readers find them in the file, also where one was left as it
 * is.  What is asked for a million of them is asked once: d is their directory,
 * end the file's.
 */
static int
first_of_part(struct vmdk_part *p, uint32_t d[2][128], uint64_t i, uint64_t end,
	      uint64_t from, uint64_t known, uint64_t *first,
	      struct vd_err *err)
{
	int ret = 0;

	for (uint64_t k = 0; k < 128 && i + k < p->ntables && !ret; k++) {
		uint32_t at[2] = { d[0][k], d[1][k] };

		for (int c = 0; c < 2; c++)
			if (!vmdk_within(end, at[c], p->gt_len))
				at[c] = at[!c];
		if (vmdk_within(end, at[0], p->gt_len))
			ret = first_of_table(p, at, (i + k) * p->gtes, from,
					     known, first, err);
	}
	return ret;
}

/* Where, from a sector on, the first grain is that may be one; most: none. */
static int
first_grain(struct vmdk_part *p, uint64_t from, uint64_t known, uint64_t most,
	    uint64_t *first, struct vd_err *err)
{
	uint64_t told = p->overhead, end = vmdk_part_sectors(p), n;
	uint32_t d[2][128];
	int ret = 0;

	*first = most;
	p->overhead = 0;	/* only what else is known counts */
	for (uint64_t i = 0; i < p->ntables && !ret; i += 128) {
		n = p->ntables - i < 128 ? p->ntables - i : 128;
		ret = vmdk_part_read32(p, p->gd_at + i / 128, d[0], n, err);
		if (!ret)
			ret = vmdk_part_read32(p, (p->rgd ? p->rgd_at :
					       p->gd_at) + i / 128, d[1], n,
					       err);
		if (!ret)
			ret = first_of_part(p, d, i, end, from, known, first,
					    err);
	}
	p->overhead = told;
	return ret;
}

/* None at all, or more than the file has: it ends before the first grain. */
static int
no_number(struct vmdk_part *p, bool *usable, struct vd_err *err)
{
	uint64_t most = vmdk_part_sectors(p), fair = laid_out(p), first;
	/* Without a number all were read. */
	int ret = first_grain(p, 0, p->overhead ? fair : UINT64_MAX, most,
			      &first, err);

	if (ret)
		return ret;
	*usable = vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-overhead", 64,
		fair <= first ? "would set the end of the directory and its "
		"tables" : "would set the place of the first grain"),
		"metadata of %" PRIu64 " sectors in a file of %" PRIu64,
		p->overhead, most);
	if (*usable)
		vmdk_part_set64(p, 64, fair < first ? fair : first);
	return 0;
}

/*
 * Behind what writers lay out there is nothing but grains and late tables.  A
 * directory behind the number is a late one.
 */
static uint64_t
grains_from(const struct vmdk_part *p)
{
	return p->gd_at < p->overhead ? laid_out(p)
				      : p->desc_at + p->desc_len + 1;
}

static int
too_many(struct vmdk_part *p, bool *usable, struct vd_err *err)
{
	uint64_t first;
	int ret = first_grain(p, grains_from(p), p->overhead, p->overhead,
			      &first, err);

	if (ret || first == p->overhead)
		return ret;
	*usable = vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-overhead", 64,
		"would set the place of the first grain"), "metadata of %"
		PRIu64 " sectors, but a grain at sector %" PRIu64 ", which is "
		"on no table", p->overhead, first);
	if (*usable)
		vmdk_part_set64(p, 64, first);
	return 0;
}

int
vmdk_audit_overhead(struct vmdk_part *p, bool *usable, struct vd_err *err)
{
	int ret = 0;

	*usable = true;
	if (!p->overhead || p->overhead > vmdk_part_sectors(p))
		ret = no_number(p, usable, err);
	else if (p->overhead > grains_from(p))
		ret = too_many(p, usable, err);
	return ret ? ret : vmdk_part_put(p, err);
}
