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

/*
 * Entries that follow one another by the length of a table, the first behind
 * the directory: that is how all writers begin.
 */
int
vmdk_directory_fits(struct vmdk_part *p, uint64_t sector, uint64_t n,
		    bool *fits, struct vd_err *err)
{
	uint64_t len = n / 128 + !!(n % 128), i = 0;
	uint32_t d[128];
	int ret = 0;

	*fits = n && n <= VMDK_GD_MAX && vmdk_inside(p, sector, len + 4 * n);
	/* Sector by sector: most guesses are wrong at the first entry. */
	while (*fits && i < len * 128 && !ret) {
		ret = vmdk_part_read32(p, sector + i / 128, d, 128, err);
		for (unsigned k = 0; k < 128 && *fits; k++, i++)
			*fits = d[k] == (i < n ? sector + len + 4 * i : 0);
	}
	return ret;
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

/* ------------------------------------------------------- where things are */

/* A directory of ntables behind the other's tables, or before them. */
static int
find_directory(struct vmdk_part *p, bool redundant, uint64_t *at,
	       struct vd_err *err)
{
	uint64_t span = p->dir_len + p->ntables * p->gt_len, other, s;
	uint64_t begin = p->desc_at ? p->desc_at + p->desc_len : 1;
	bool fits = false;
	int ret = 0;

	*at = 0;
	other = redundant ? p->gd_at : p->flags & VMDK_F_RGD ? p->rgd_at : 0;
	if (!redundant && other)
		ret = vmdk_directory_fits(p, s = other + span, p->ntables,
					  &fits, err);
	else if (redundant && other > span)
		ret = vmdk_directory_fits(p, s = other - span, p->ntables,
					  &fits, err);
	if (!ret && !fits && begin < 4096 && begin != other)
		ret = vmdk_directory_fits(p, s = begin, p->ntables, &fits,
					  err);
	if (!ret && fits && s != other)
		*at = s;
	return ret;
}

/* Copies of the other directory's tables at the end, and a directory there. */
static int
make_directory(struct vmdk_part *p, uint64_t from, uint64_t *at,
	       struct vd_err *err)
{
	uint64_t gt = p->gt_len * VMDK_SECTOR, i;
	uint32_t *d = calloc(p->dir_len * 128, 4), start;
	uint8_t *buf = malloc(gt);
	int ret = d && buf ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	if (!ret)
		ret = vmdk_part_read32(p, from, d, p->ntables, err);
	if (!ret)
		ret = vmdk_part_room(p, p->dir_len + p->ntables * p->gt_len,
				     &start, err);
	for (i = 0; i < p->ntables && !ret; i++) {
		uint32_t to = start + (uint32_t)(p->dir_len + i * p->gt_len);

		/* One that is not there is asked for when all are known. */
		if (!d[i] || !vmdk_inside(p, d[i], p->gt_len)) {
			d[i] = htole32(d[i]);
			continue;
		}
		ret = vd_file_read(p->f, buf, gt, (uint64_t)d[i] *
				   VMDK_SECTOR, err);
		if (!ret)
			ret = vd_file_write(p->f, buf, gt, (uint64_t)to *
					    VMDK_SECTOR, err);
		d[i] = htole32(to);
	}
	if (!ret)
		ret = vd_file_write(p->f, d, p->dir_len * VMDK_SECTOR,
				    (uint64_t)start * VMDK_SECTOR, err);
	*at = start;
	free(d);
	free(buf);
	return ret;		/* vmdk_part_put() makes it durable first */
}

static bool
apart(uint64_t a, uint64_t n, uint64_t b, uint64_t m)
{
	return a + n <= b || b + m <= a;
}

/*
 * Do the tables that are read now lie on the text, on their directory or on the
 * one that was found?  Which of them is right cannot be told.
 */
int
vmdk_tables_apart(struct vmdk_part *p, uint64_t at, uint64_t found, bool *good,
		  struct vd_err *err)
{
	uint64_t span = p->dir_len + p->ntables * p->gt_len;
	uint64_t most = vmdk_part_sectors(p);
	uint32_t d[128];
	int ret = 0;

	*good = true;
	for (uint64_t i = 0; i < p->ntables && *good && !ret; i++) {
		if (i % 128 == 0)
			ret = vmdk_part_read32(p, at + i / 128, d, 128, err);
		if (ret || !vmdk_within(most, d[i % 128], p->gt_len))
			continue;
		*good = apart(d[i % 128], p->gt_len, p->desc_at,
			      p->desc_len) &&
			apart(d[i % 128], p->gt_len, p->text_at,
			      p->text_len) &&
			apart(d[i % 128], p->gt_len, at, p->dir_len) &&
			(!found || apart(d[i % 128], p->gt_len, found, span));
	}
	return ret;
}

/* No entry is a table in the file: at a wrong place it may be a grain's data. */
static int
names_none(struct vmdk_part *p, uint64_t at, bool *none, struct vd_err *err)
{
	uint64_t most = vmdk_part_sectors(p), n;
	uint32_t d[128];
	int ret = 0;

	*none = true;
	for (uint64_t i = 0; i < p->ntables && *none && !ret; i += n) {
		n = p->ntables - i < 128 ? p->ntables - i : 128;
		ret = vmdk_part_read32(p, at + i / 128, d, n, err);
		for (uint64_t k = 0; k < n && *none && !ret; k++)
			*none = !vmdk_within(most, d[k], p->gt_len);
	}
	return ret;
}

/* Among the tables of the other one, which is whole: what is there are grains. */
static int
on_tables(struct vmdk_part *p, uint64_t at, uint64_t other, bool *on,
	  struct vd_err *err)
{
	uint64_t span = p->dir_len + p->ntables * p->gt_len;
	int ret = 0;

	*on = at > other && at - other < span;
	if (*on)
		ret = vmdk_directory_fits(p, other, p->ntables, on, err);
	return ret;
}

static int
audit_directory(struct vmdk_part *p, bool redundant, bool *usable,
		struct vd_err *err)
{
	uint64_t at = redundant ? p->rgd_at : p->gd_at, good;
	uint64_t other = redundant ? p->gd_at : p->rgd_at;
	unsigned field = redundant ? 48 : 56;
	bool copy = vmdk_directory_inside(p, other) &&
		    (redundant || (p->flags & VMDK_F_RGD));
	const char *what = redundant ? "redundant grain directory"
				     : "grain directory";
	/* Of two in one place it is the first that is where it belongs. */
	bool first = at == (p->desc_at ? p->desc_at + p->desc_len : 1);
	bool placed = vmdk_directory_inside(p, at) && (at != other ||
		      first == redundant || !(p->flags & VMDK_F_RGD));
	bool sound = true, none = true;
	int ret = placed ? names_none(p, at, &none, err) : 0;

	if (!ret && !none && (p->flags & VMDK_F_RGD))
		ret = on_tables(p, at, other, &none, err);
	if (ret || !none)
		return ret;
	ret = find_directory(p, redundant, &good, err);
	if (ret || (placed && (!good || good == at)))
		return ret;
	if (at == other)
		ret = vmdk_tables_apart(p, at, good, &sound, err);
	if (ret)
		return ret;
	if (!sound) {
		good = copy = false;
		p->tangled = true;
	}
	*usable = vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, redundant ?
		"vmdk-redundant-directory" : "vmdk-directory", field, good ?
		"one was found where it belongs: would set its place" : copy ?
		"would make one at the end of the file from the other" : NULL),
		"the %s is said to be at sector %" PRIu64 ", %s", what, at,
		placed ? "where there is none" : at == other ? "where the "
		"other one is" : "outside the file");
	if (!*usable) {
		*usable = redundant;	/* readers can do without it */
		p->flags &= redundant ? ~VMDK_F_RGD : UINT32_MAX;
		return 0;
	}
	if (!good)
		ret = make_directory(p, other, &good, err);
	if (ret)
		return ret;
	/* What is found knows less than what was read up to now. */
	p->copy_read |= !redundant && at == other;
	vmdk_part_set64(p, field, good);
	return 0;
}

/* Does the text at sector 1 go on over the directory that comes next? */
static bool
over_directory(struct vmdk_part *p, uint64_t first)
{
	uint8_t last = 1;
	bool none = true;

	if (p->desc_at != 1 || first < 2 || p->desc_len <= first - 1 ||
	    vmdk_is_stream(p) || p->ntables > VMDK_GD_MAX ||
	    !vmdk_directory_inside(p, first))
		return false;
	vd_file_read(p->f, &last, 1, first * VMDK_SECTOR - 1, NULL);
	return !last && !names_none(p, first, &none, NULL) && !none;
}

static void
audit_descriptor_place(struct vmdk_part *p)
{
	uint64_t first = p->gd_at;
	uint8_t text[32] = { 0 }, last = 0;

	vd_file_read(p->f, text, 20, VMDK_SECTOR, NULL);
	/* In a part nobody looks there. */
	if (!p->desc_at && (!p->desc_len || !p->text_len) &&
	    !strstr((char *)text, "Disk"))
		return;
	if ((p->flags & VMDK_F_RGD) && !vmdk_inside(p, p->rgd_at, 1))
		first = first < 21 ? first : 21;	/* as all writers do */
	else if ((p->flags & VMDK_F_RGD) && p->rgd_at < first)
		first = p->rgd_at;
	/* A place that is in the file may be a grain's: it is not written to. */
	if (vmdk_inside(p, p->desc_at, p->desc_len) && p->desc_len &&
	    (!p->text_len || vmdk_is_text(p, p->desc_at) ||
	     !vmdk_is_text(p, 1)) && !over_directory(p, first))
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
	ret = audit_directory(p, false, usable, err);
	if (!ret && *usable && (p->flags & VMDK_F_RGD))
		ret = audit_directory(p, true, usable, err);
	return ret;
}
