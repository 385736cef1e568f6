/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-directory.c - where the header says that a grain directory is, and where
 * there is one.
 *
 * Writers lay the two out in one way, so that one whose place is lost is found
 * again; one that is gone is made from the other.
 */
#include "audit.h"

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

int
vmdk_audit_directory(struct vmdk_part *p, bool redundant, bool *usable,
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
	/* What is read now is left where the other one speaks against it, too. */
	if (ret || (placed && (!good || good == at ||
	    ((p->flags & VMDK_F_RGD) && !apart(other, p->dir_len, good,
	    p->dir_len + p->ntables * p->gt_len)))))
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
bool
vmdk_over_directory(struct vmdk_part *p, uint64_t first)
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
