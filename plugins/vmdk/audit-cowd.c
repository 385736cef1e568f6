/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-cowd.c - every field of ESX's sparse header.
 *
 * It has no copy of anything, but few things to say: the directory is always
 * behind it, and what the descriptor says of the size it repeats.
 */
#include "audit.h"

#define GD_AT	4u

/* Every entry is none, or a table in the file. */
static int
directory_sane(struct vmdk_part *p, uint64_t at, uint64_t n, bool *sane,
	       struct vd_err *err)
{
	uint32_t *d;
	uint64_t most = vmdk_part_sectors(p), i;
	int ret;

	*sane = false;
	if (!n || n > VMDK_GD_MAX || !vmdk_inside(p, at, n / 128 + !!(n % 128)))
		return 0;
	d = calloc(n, 4);
	if (!d)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = vmdk_part_read32(p, at, d, n, err);
	for (i = 0; !ret && i < n && (!d[i] || (d[i] > at &&
	     vmdk_within(most, d[i], VMDK_COWD_GTES / 128))); i++)
		;
	*sane = !ret && i == n;
	free(d);
	return ret;
}

static uint64_t
tables_for(uint64_t sectors, uint64_t grain)
{
	uint64_t each = VMDK_COWD_GTES * grain;

	return sectors / each + !!(sectors % each);
}

static int
audit_magic(struct vmdk_part *p, bool *usable, struct vd_err *err)
{
	bool sane = false;
	int ret = 0;

	if (!memcmp(p->head, "COWD", 4))
		return 0;
	if (p->sectors && p->capacity == p->sectors && p->gd_at == GD_AT &&
	    p->version == 1)
		ret = directory_sane(p, GD_AT, p->ntables, &sane, err);
	if (ret)
		return ret;
	*usable = vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-magic", 0, sane
		? "the rest of the header agrees with the descriptor: would "
		"set it" : NULL), "not an ESX sparse extent: no \"COWD\" at "
		"its start");
	if (*usable) {
		memcpy(p->head, "COWD", 4);
		p->changed = true;
	}
	return 0;
}

/* Which sizes go with the number of tables?  One, or none is meant. */
static void
audit_grain(struct vmdk_part *p, bool *usable)
{
	uint64_t told = vmdk_le32(p->head + 24), only = 0, g;

	if (p->grain && !(p->grain & (p->grain - 1)) &&
	    p->grain <= VMDK_GRAIN_MAX)
		return;
	for (g = 1; g <= 2048 && p->sectors; g *= 2)
		if (tables_for(p->sectors, g) == told)
			only = only ? UINT64_MAX : g;
	*usable = vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-grain-size", 16,
		only && only != UINT64_MAX ? "the number of tables goes with "
		"one size only: would set it" : NULL), "grain size of %" PRIu64
		" sectors is not a power of two up to %u", p->grain,
		VMDK_GRAIN_MAX);
	if (*usable)
		vmdk_part_set32(p, 16, (uint32_t)only);
}

static void
audit_capacity(struct vmdk_part *p, bool *usable)
{
	uint64_t told = vmdk_le32(p->head + 24);

	if (p->capacity && (!p->sectors || (p->capacity >= p->sectors &&
	    p->capacity - p->sectors < p->grain)))
		return;
	*usable = vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-capacity", 12,
		p->sectors && p->sectors <= UINT32_MAX &&
		tables_for(p->sectors, p->grain) == told ?
		"the number of tables goes with what the descriptor says: "
		"would set that" : NULL), "the header speaks of %" PRIu64
		" sectors, the descriptor of %" PRIu64, p->capacity,
		p->sectors);
	if (*usable)
		vmdk_part_set32(p, 12, (uint32_t)p->sectors);
}

static int
audit_directory(struct vmdk_part *p, bool *usable, struct vd_err *err)
{
	uint32_t told = vmdk_le32(p->head + 24);
	bool sane = false;
	int ret;

	if (p->gd_at < GD_AT || !vmdk_directory_inside(p, p->gd_at)) {
		ret = directory_sane(p, GD_AT, p->ntables, &sane, err);
		if (ret)
			return ret;
		*usable = vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE,
			"vmdk-directory", 20, sane ? "one was found where it "
			"belongs: would set its place" : NULL), "the grain "
			"directory is said to be at sector %" PRIu64
			", outside the file or in its header", p->gd_at);
		if (!*usable)
			return 0;
		vmdk_part_set32(p, 20, GD_AT);
	}
	if (told >= p->ntables)
		return 0;
	ret = directory_sane(p, p->gd_at, p->ntables, &sane, err);
	if (ret)
		return ret;
	*usable = vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-table-count", 24,
		sane ? "the directory has as many as the capacity needs: would "
		"set that" : NULL), "a directory of %u tables, but the "
		"capacity needs %" PRIu64, told, p->ntables);
	if (*usable)
		vmdk_part_set32(p, 24, (uint32_t)p->ntables);
	return 0;
}

void
vmdk_audit_free_sector(struct vmdk_part *p, uint64_t end)
{
	uint32_t told = vmdk_le32(p->head + 28);

	/* The last grain may end where no number leads. */
	end = end < UINT32_MAX ? end : UINT32_MAX;
	if (told < end && vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE,
	    "vmdk-free-sector", 28, "would set the end of what is in use"),
	    "sector %u is said to be the first free one, but those before %"
	    PRIu64 " are in use: ESX would write over them", told, end))
		vmdk_part_set32(p, 28, (uint32_t)end);
}

/* Before the file is cut off there: it must stay inside. */
int
vmdk_lower_free_sector(struct vmdk_part *p, uint64_t end, struct vd_err *err)
{
	if (vmdk_le32(p->head + 28) > end)
		vmdk_part_set32(p, 28, (uint32_t)end);
	return vmdk_part_put(p, err);
}

int
vmdk_audit_cowd(struct vmdk_part *p, bool *usable, struct vd_err *err)
{
	int ret;

	*usable = true;
	ret = audit_magic(p, usable, err);
	if (!ret && *usable && p->version != 1)
		ret = vd_fail(err, ENOTSUP, 4, "ESX sparse extent of version "
			      "%u, only 1 is known", p->version);
	if (!ret && *usable)
		audit_grain(p, usable);
	if (!ret && *usable)
		audit_capacity(p, usable);
	if (!ret && *usable && p->ntables > VMDK_GD_MAX)
		ret = vd_fail(err, EFBIG, 12, "capacity needs %" PRIu64
			      " grain tables, limit is %u", p->ntables,
			      VMDK_GD_MAX);
	if (!ret && *usable)
		ret = audit_directory(p, usable, err);
	return ret;
}
