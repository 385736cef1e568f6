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

static int
first_of_table(struct vmdk_part *p, uint32_t table, uint32_t i, uint64_t from,
	       uint64_t *first, struct vd_err *err)
{
	uint32_t e[VMDK_GTES_MAX];
	uint64_t grain = (uint64_t)i * p->gtes, n = entry_grains(p);
	int ret = vmdk_part_read32(p, table, e, p->gtes, err);

	for (uint32_t k = 0; k < p->gtes && grain < n && !ret; k++, grain++)
		if (e[k] > 1 && e[k] >= from && e[k] < *first &&
		    entry_possible(p, e[k], grain))
			*first = e[k];
	return ret;
}

/* Where, from a sector on, the first grain is that may be one; most: none. */
static int
first_grain(struct vmdk_part *p, uint64_t from, uint64_t most, uint64_t *first,
	    struct vd_err *err)
{
	uint64_t told = p->overhead;
	int ret = 0;

	*first = most;
	p->overhead = 0;	/* only what else is known counts */
	for (uint32_t i = 0; i < p->ntables && !ret; i++) {
		if (p->gd[i])
			ret = first_of_table(p, p->gd[i], i, from, first, err);
		if (!ret && p->rgd && p->rgd[i] && p->rgd[i] != p->gd[i])
			ret = first_of_table(p, p->rgd[i], i, from, first,
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
	int ret = first_grain(p, 0, most, &first, err);

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

/* Behind what writers lay out there is nothing but grains and late tables. */
static int
too_many(struct vmdk_part *p, bool *usable, struct vd_err *err)
{
	uint64_t first;
	int ret = first_grain(p, laid_out(p), p->overhead, &first, err);

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
	else if (p->overhead > laid_out(p))
		ret = too_many(p, usable, err);
	return ret ? ret : vmdk_part_put(p, err);
}
