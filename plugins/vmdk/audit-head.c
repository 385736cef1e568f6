/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-head.c - every field of a hosted sparse header, and what can be known
 * of one whose value cannot be true.
 *
 * The header tells some things twice, and the descriptor and the directories
 * tell them a third time.  A field is mended only where the rest leaves one
 * value for it; else it is told.
 */
#include "audit.h"

static const uint8_t newlines[4] = { '\n', ' ', '\r', '\n' };

static bool
good_grain(uint64_t g)
{
	return g && !(g & (g - 1)) && g <= VMDK_GRAIN_MAX;
}

/* The directories lie as they were laid out for a disk of this size. */
static int
layout_fits(struct vmdk_part *p, uint64_t capacity, uint64_t grain,
	    uint32_t gtes, bool *fits, struct vd_err *err)
{
	uint64_t each = grain * gtes, n = capacity / each + !!(capacity % each);

	*fits = false;
	if (gtes != VMDK_GTES_MAX)
		return 0;
	return vmdk_directory_fits(p, p->gd_at, n, fits, err);
}

/* The only grain size that this capacity and this directory go with, or 0. */
static int
prove_grain(struct vmdk_part *p, uint64_t *grain, struct vd_err *err)
{
	uint64_t capacity = p->sectors ? p->sectors : p->capacity, g;
	uint64_t room = vmdk_part_sectors(p) - p->overhead;
	bool fits;
	int ret = 0;

	*grain = 0;
	if (p->overhead > vmdk_part_sectors(p))
		return 0;
	for (g = 1; g <= 2048 && !ret; g *= 2) {
		ret = layout_fits(p, capacity, g, p->gtes, &fits, err);
		/* Metadata is filled up to a grain, and the file is grains. */
		if (ret || !fits || p->overhead % g || room % g ||
		    p->overhead - (p->gd_at + (capacity / (512 * g) + !!(capacity
		    % (512 * g))) * 4 + 1) >= 2 * g)
			continue;
		if (*grain) {
			*grain = 0;
			return 0;	/* two: no proof */
		}
		*grain = g;
	}
	return ret;
}

static int
audit_grain(struct vmdk_part *p, bool *usable, struct vd_err *err)
{
	uint64_t g = 0;
	int ret = 0;

	if (p->gtes == 0 || p->gtes > VMDK_GTES_MAX) {
		*usable = vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE,
			"vmdk-table-length", 44, "would set 512, as all "
			"writers do"), "grain tables of %u entries, expected "
			"1 to %u", p->gtes, VMDK_GTES_MAX);
		if (!*usable)
			return 0;
		vmdk_part_set32(p, 44, VMDK_GTES_MAX);
	}
	if (good_grain(p->grain))
		return 0;
	if (!vmdk_is_stream(p))
		ret = prove_grain(p, &g, err);
	if (ret)
		return ret;
	*usable = vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-grain-size", 20,
		g ? "the directories and the file's length go with one size "
		"only: would set it" : NULL), "grain size of %" PRIu64
		" sectors is not a power of two up to %u", p->grain,
		VMDK_GRAIN_MAX);
	if (*usable)
		vmdk_part_set64(p, 20, g);
	return 0;
}

/* One sign of four that its grains are compressed is none. */
static void
audit_compressed(struct vmdk_part *p)
{
	if ((p->flags & (VMDK_F_COMPRESSED | VMDK_F_MARKERS)) !=
	    VMDK_F_COMPRESSED || p->compress || p->gd_at == UINT64_MAX ||
	    p->version > 2)
		return;
	if (vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-flags", 8, "would "
	    "clear the flag"), "grains are said to be compressed, but not how, "
	    "nor are there markers, nor is it version 3"))
		vmdk_part_set32(p, 8, p->flags & ~VMDK_F_COMPRESSED);
}

/* Bits that no program knows: the file is another's, or damaged. */
static int
audit_dialect(struct vmdk_part *p, struct vd_err *err)
{
	if (p->version > 3)
		return vd_fail(err, ENOTSUP, 4, "sparse header version %u is "
			       "not supported: only 1 to 3 are", p->version);
	if (p->flags & VMDK_F_UNKNOWN)
		return vd_fail(err, ENOTSUP, 8, "the header asks for features "
			       "that are not known here (flags 0x%x)",
			       p->flags & VMDK_F_UNKNOWN);
	audit_compressed(p);
	if (vmdk_is_stream(p) && p->compress > 1)
		return vd_fail(err, ENOTSUP, 77, "compression method %u is "
			       "not known, only 1 (deflate)", p->compress);
	if (vmdk_is_stream(p) && !(p->flags & VMDK_F_COMPRESSED))
		return vd_fail(err, ENOTSUP, 8, "streamOptimized without "
			       "compressed grains is not supported");
	if (vmdk_is_stream(p) && !p->compress && vd_flaw(p->a, VMDK_FLAW(p,
	    VD_DAMAGE, "vmdk-flags", 77, "would set deflate, as there is no "
	    "other"), "grains are compressed, but by no method")) {
		p->head[77] = 1;
		p->changed = true;
		vmdk_part_fields(p);
	}
	if (!p->version && vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE,
	    "vmdk-version", 4, "would set what the flags go with"),
	    "header version 0"))
		vmdk_part_set32(p, 4, vmdk_is_stream(p) ? 3 : p->flags &
				VMDK_F_ZERO_GRAIN ? 2 : 1);
	return 0;
}

static int
audit_newlines(struct vmdk_part *p, bool *usable, struct vd_err *err)
{
	bool fits = false;
	int ret = 0;

	if (!(p->flags & VMDK_F_NEWLINE) || !memcmp(p->head + 73, newlines, 4))
		return 0;
	if (good_grain(p->grain) && p->gtes == VMDK_GTES_MAX)
		ret = layout_fits(p, p->capacity, p->grain, p->gtes, &fits,
				  err);
	if (ret)
		return ret;
	*usable = vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-newlines", 73,
		fits ? "the directories are whole, which such a transfer would "
		"not leave them: would set the four bytes" : NULL), "newline "
		"characters of the header are changed, as by a transfer in "
		"text mode");
	if (*usable) {
		memcpy(p->head + 73, newlines, 4);
		p->changed = true;
	}
	return 0;
}

/* Does this table, if it is one, name no grain from this entry on? */
static int
empty_table(struct vmdk_part *p, uint32_t table, uint64_t k, bool *empty,
	    struct vd_err *err)
{
	uint32_t e[VMDK_GTES_MAX];
	int ret;

	if (!table || !vmdk_inside(p, table, p->gt_len))
		return 0;
	ret = vmdk_part_read32(p, table, e, p->gtes, err);
	for (; k < p->gtes && *empty && !ret; k++)
		*empty = !e[k];
	return ret;
}

/*
 * Is no grain in use behind the end that the descriptor tells?  A sector of the
 * directory at a time: the capacity may be anything.
 */
static int
empty_behind(struct vmdk_part *p, bool *empty, struct vd_err *err)
{
	uint64_t first = (p->sectors + p->grain - 1) / p->grain;
	uint64_t t = first / p->gtes, k = first % p->gtes, n;
	uint32_t d[128];
	int ret = 0;

	*empty = p->capacity <= VMDK_SECTORS_MAX && p->ntables <= VMDK_GD_MAX &&
		 vmdk_directory_inside(p, p->gd_at);
	for (; t < p->ntables && *empty && !ret; t += n) {
		n = p->ntables - t < 128 ? p->ntables - t : 128;
		ret = vd_file_read(p->f, d, 4 * n, p->gd_at * VMDK_SECTOR +
				   4 * t, err);
		for (uint64_t i = 0; i < n && *empty && !ret; i++, k = 0)
			ret = empty_table(p, le32toh(d[i]), k, empty, err);
	}
	return ret;
}

/* The descriptor was told, the header not yet: nothing is wrong with the disk. */
static bool
cut_resize(struct vmdk_part *p)
{
	if (!p->resizing || !p->sectors || p->capacity <= p->sectors ||
	    p->capacity > VMDK_SECTORS_MAX)
		return false;
	if (vd_flaw(p->a, VMDK_FLAW(p, VD_NOTE, "vmdk-resizing", 12, "would "
	    "set what the descriptor says"), "a resize to %" PRIu64 " sectors "
	    "was cut short before the header's %" PRIu64 " followed: the next "
	    "writer, or the same `vdiskadm resize`, finishes it", p->sectors,
	    p->capacity))
		vmdk_part_set64(p, 12, p->sectors);
	return true;
}

/* Which of the two is it?  The layout may say; else the larger loses nothing. */
static int
audit_capacity(struct vmdk_part *p, bool *usable, struct vd_err *err)
{
	bool as_is = true, as_told = true, empty = false;
	const char *cure = NULL;
	int ret = 0;

	if (!p->sectors && p->capacity && p->capacity <= VMDK_SECTORS_MAX)
		return 0;
	if (p->sectors && p->capacity >= p->sectors &&
	    p->capacity - p->sectors < p->grain)
		return 0;
	if (cut_resize(p))
		return 0;
	if (p->sectors && !vmdk_is_stream(p)) {
		ret = layout_fits(p, p->capacity, p->grain, p->gtes, &as_is,
				  err);
		if (!ret)
			ret = layout_fits(p, p->sectors, p->grain, p->gtes,
					  &as_told, err);
	}
	if (!ret && p->sectors && p->sectors < p->capacity &&
	    !vmdk_is_stream(p))
		ret = empty_behind(p, &empty, err);
	if (ret)
		return ret;
	if (empty)
		cure = "no grain is in use behind that: would set what the "
		       "descriptor says";
	if (p->sectors && as_told && (!as_is || p->sectors > p->capacity))
		cure = "would set what the descriptor says, which the tables "
		       "have room for";
	*usable = vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-capacity", 12,
		cure), "the header speaks of %" PRIu64 " sectors, the "
		"descriptor of %" PRIu64, p->capacity, p->sectors);
	if (*usable)
		vmdk_part_set64(p, 12, p->sectors);
	return 0;
}

static void
audit_descriptor_place(struct vmdk_part *p)
{
	uint64_t first = p->gd_at;
	uint8_t text[32] = { 0 }, last = 0;

	vd_file_read(p->f, text, 20, VMDK_SECTOR, NULL);
	/* In a part nobody looks there; it may have been a disk once. */
	if (!p->desc_at && (!p->text_len || (!p->desc_len &&
	    !strstr((char *)text, "Disk"))))
		return;
	if ((p->flags & VMDK_F_RGD) && !vmdk_inside(p, p->rgd_at, 1))
		first = first < 21 ? first : 21;	/* as all writers do */
	else if ((p->flags & VMDK_F_RGD) && p->rgd_at < first)
		first = p->rgd_at;
	/* A place that is in the file may be a grain's: it is not written to. */
	if (vmdk_inside(p, p->desc_at, p->desc_len) && p->desc_len &&
	    (!p->text_len || vmdk_is_text(p, p->desc_at) ||
	     !vmdk_is_text(p, 1)) && !vmdk_over_directory(p, first))
		return;
	if (vmdk_is_stream(p) && (!first || first > p->overhead))
		first = p->overhead;
	vd_file_read(p->f, &last, 1, first * VMDK_SECTOR - 1, NULL);
	if (vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-descriptor-place", 28,
	    strstr((char *)text, "Disk") && first > 1 && first < 20482 &&
	    vmdk_inside(p, 1, first - 1) && !last ?
	    "it is at sector 1: would set that, and the room to what comes "
	    "next" : NULL), "the descriptor is said to have %" PRIu64
	    " sectors at sector %" PRIu64, p->desc_len, p->desc_at)) {
		vmdk_part_set64(p, 28, 1);
		vmdk_part_set64(p, 36, first - 1);
	}
}

/* A writer that was not told of RGD leaves its place 0. */
int
vmdk_audit_head(struct vmdk_part *p, bool *usable, struct vd_err *err)
{
	int ret = audit_dialect(p, err);

	*usable = true;
	if (!ret)
		ret = audit_newlines(p, usable, err);
	if (!ret && *usable)
		ret = audit_grain(p, usable, err);
	if (!ret && *usable)
		audit_descriptor_place(p);
	if (!ret && *usable)
		ret = audit_capacity(p, usable, err);
	if (!ret && *usable && p->ntables > VMDK_GD_MAX)
		ret = vd_fail(err, EFBIG, 12, "capacity needs %" PRIu64
			      " grain tables, limit is %u", p->ntables,
			      VMDK_GD_MAX);
	if (ret || !*usable || vmdk_is_stream(p))
		return ret;
	ret = vmdk_audit_directory(p, false, usable, err);
	if (!ret && *usable && (p->flags & VMDK_F_RGD))
		ret = vmdk_audit_directory(p, true, usable, err);
	return ret;
}
