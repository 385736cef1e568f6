/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit.c - check and repair of a raw delta, by one walk.
 *
 * Written from doc/raw-delta.md and not from header.c and write.c.  There is
 * one copy of the bitmap and there are two of the header: the header is mended
 * from its other slot, and of the bitmap only what must be so is put right.
 * A header that is mended goes to the slot that is not the one in use, as with
 * every writer, so that a repair cut short leaves the old one.
 */
#include "audit.h"

#define CHUNK	8192u		/* words of the bitmap at a time: 64 KiB */

/* ----------------------------------------------------------------- fields */

static void
take_fields(struct audit *t)
{
	t->unit = get32(t->h + AT_UNIT);
	t->disk = get64(t->h + AT_SIZE);
	t->data = get64(t->h + AT_DATA);
	t->words = unit_good(t->unit) ? words_of(t->disk, t->unit) : 0;
}

static bool
audit_unit(struct audit *t)
{
	uint64_t at = t->which * (uint64_t)SLOT;

	if (!unit_good(t->unit)) {
		vd_flaw(t->a, FLAW(t, VD_DAMAGE, "delta-unit", at + AT_UNIT,
			NULL), "the unit of %" PRIu64 " bytes is no power of "
			"two from 4 KiB to 64 MiB", t->unit);
		return false;
	}
	if (!t->disk || (t->disk & 511) || t->disk >> 62) {
		vd_flaw(t->a, FLAW(t, VD_DAMAGE, "delta-size", at + AT_SIZE,
			NULL), "a disk of %" PRIu64 " bytes is none", t->disk);
		return false;
	}
	return true;
}

/* There is one place where every writer puts it. */
static bool
audit_places(struct audit *t)
{
	uint64_t end, usual, at = t->which * (uint64_t)SLOT;

	if (t->words > t->size / 8)
		end = UINT64_MAX;
	else
		end = AT_BITMAP + t->words * 8;
	usual = end == UINT64_MAX ? 0 : (end + t->unit - 1) / t->unit * t->unit;
	if (t->data % t->unit || t->data < end ||
	    (t->data > t->size && t->data != usual)) {
		if (!vd_flaw(t->a, FLAW(t, VD_DAMAGE, "delta-data-offset", at +
		    AT_DATA, usual && usual <= t->size ? "would set where a "
		    "writer puts it, behind the bitmap" : NULL), "the data "
		    "cannot begin at byte %" PRIu64 ": the bitmap ends at %"
		    PRIu64, t->data, end))
			return false;
		set64(t, AT_DATA, usual);
		take_fields(t);
	}
	if (t->data > t->size &&
	    vd_flaw(t->a, FLAW(t, VD_DAMAGE, "delta-bitmap-cut", t->size,
	    end > t->size ? "the units whose bits are gone read as in the "
	    "parent; what they held is lost: would make the file longer" :
	    "would make the file longer"), "the file ends before its data "
	    "begins, at byte %" PRIu64, t->data)) {
		if (vd_file_truncate(t->f, t->data, NULL))
			return false;
		t->size = t->data;
	}
	return t->data <= t->size;
}

static int
audit_id(struct audit *t, unsigned at, const char *code, struct vd_err *err)
{
	static const uint8_t none[16];

	if (memcmp(t->h + at, none, 16) ||
	    !vd_flaw(t->a, FLAW(t, VD_DAMAGE, code, t->which * (uint64_t)SLOT +
	    at, "would give it one; a child has to be relinked"), "the image "
	    "has no id of its %s", at == AT_ID ? "own" : "content"))
		return 0;
	t->changed = true;
	return vd_random(t->h + at, 16, err);
}

static int
audit_fields(struct audit *t, bool *usable, struct vd_err *err)
{
	int ret = audit_id(t, AT_ID, "delta-id", err);

	take_fields(t);
	if (!ret)
		ret = audit_id(t, AT_CONTENT, "delta-content-id", err);
	if (!t->h[AT_HINT])
		vd_flaw(t->a, FLAW(t, VD_DAMAGE, "delta-parent-missing",
			t->which * (uint64_t)SLOT + AT_HINT, NULL), "names no "
			"parent: `vdiskadm relink` names one");
	*usable = audit_unit(t) && audit_places(t);
	/* What was agreed to is done, even if the rest cannot be looked at. */
	return !ret && t->changed ? slots_put(t, err) : ret;
}

/* ------------------------------------------------------------------ bitmap */

/* Bits for units that the disk does not have. */
static int
audit_last_word(struct audit *t, struct vd_err *err)
{
	uint64_t units = t->disk / t->unit + !!(t->disk % t->unit), word, keep;
	uint64_t at = AT_BITMAP + (t->words - 1) * 8;
	int ret;

	if (units % 64 == 0)
		return 0;
	ret = vd_file_read(t->f, &word, 8, at, err);
	keep = (UINT64_C(1) << units % 64) - 1;
	if (ret || !(le64toh(word) & ~keep) ||
	    !vd_flaw(t->a, FLAW(t, VD_NOTE, "delta-bit-beyond", at, "would "
	    "clear them"), "bits are set for units behind the end of the disk"))
		return ret;
	word &= htole64(keep);
	return vd_file_write(t->f, &word, 8, at, err);
}

/* Units that are the parent's, and still take room here. */
static int
give_back(struct audit *t, uint64_t from, uint64_t to, struct vd_err *err)
{
	uint64_t off = t->data + from * t->unit, end = t->data + to * t->unit;
	uint64_t all = t->data + t->disk, n;
	bool hole;
	int ret = 0;

	if (end > all)
		end = all;
	for (; off < end && off < t->size && !ret; off += n) {
		n = end - off;
		ret = vd_file_run(t->f, off, &n, &hole, err);
		if (ret || !n)
			break;
		if (hole)
			continue;
		t->unused = true;
		/* The end of a file may be less than can be given back. */
		if (n < 4096)
			continue;
		if (!vd_flaw(t->a, FLAW(t, VD_LEAK, "delta-unused", off,
		    get32(t->h + AT_UNCLEAN) ? NULL : "would give the room "
		    "back"), "%" PRIu64 " bytes belong to units that are read "
		    "from the parent", n))
			continue;
		ret = vd_file_punch(t->f, off, n, err);
	}
	return ret;
}

static int
audit_words(struct audit *t, const uint64_t *w, uint64_t first, uint64_t n,
	    uint64_t *from, struct vd_err *err)
{
	int ret = 0;

	for (uint64_t i = 0; i < n && !ret; i++) {
		uint64_t word = le64toh(w[i]), unit = (first + i) * 64;

		if (!word)
			continue;	/* the run of clear bits goes on */
		for (unsigned k = 0; k < 64 && !ret; k++) {
			if (!(word >> k & 1))
				continue;
			if (unit + k > *from)
				ret = give_back(t, *from, unit + k, err);
			*from = unit + k + 1;
		}
	}
	return ret;
}

/* How many words from this one on are a hole: clear bits, which nobody reads. */
static uint64_t
words_in_hole(struct audit *t, uint64_t word, uint64_t most)
{
	uint64_t n = (most - word) * 8;
	bool hole;

	if (vd_file_run(t->f, AT_BITMAP + word * 8, &n, &hole, NULL) || !hole)
		return 0;
	return n / 8;
}

/* Only as far as the file goes: behind that nothing takes room. */
static int
audit_bitmap(struct audit *t, struct vd_err *err)
{
	uint64_t *w = malloc(CHUNK * 8), from = 0, n, most;
	int ret = w ? audit_last_word(t, err)
		    : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	most = t->size > t->data ? words_of(t->size - t->data, t->unit) : 0;
	if (most > t->words)
		most = t->words;
	for (uint64_t i = 0; i < most && !ret; i += n) {
		n = words_in_hole(t, i, most);
		if (n)
			continue;
		n = most - i < CHUNK ? most - i : CHUNK;
		ret = vd_file_read(t->f, w, n * 8, AT_BITMAP + i * 8, err);
		if (!ret)
			ret = audit_words(t, w, i, n, &from, err);
	}
	if (!ret && from < most * 64)
		ret = give_back(t, from, most * 64, err);
	free(w);
	return ret;
}

static int
audit_end(struct audit *t, struct vd_err *err)
{
	uint64_t end = t->data + (t->disk + t->unit - 1) / t->unit * t->unit;
	int ret = 0;

	if (t->size > end && !vd_file_is_block(t->f) &&
	    vd_flaw(t->a, FLAW(t, VD_LEAK, "delta-tail", end, "would cut them "
	    "off"), "%" PRIu64 " bytes lie behind the end of the disk",
	    t->size - end))
		ret = vd_file_truncate(t->f, end, err);
	if (!ret && t->a->mend)
		ret = vd_file_sync(t->f, err);
	if (ret || !get32(t->h + AT_UNCLEAN) ||
	    !vd_flaw(t->a, FLAW(t, VD_NOTE, "delta-unclean", t->which *
	    (uint64_t)SLOT + AT_UNCLEAN, t->a->left || t->unused ? NULL
	    : "would take the mark away"), "was not closed by its last writer, or is open now"))
		return ret;
	set32(t, AT_UNCLEAN, 0);
	return slots_put(t, err);
}

static int
audit(struct audit *t, struct vd_err *err)
{
	bool usable;
	int ret;

	t->name = vd_file_name(t->f);
	t->size = vd_file_size(t->f);
	t->slots = calloc(2, SLOT);
	if (!t->slots)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = slots_find(t, &usable, err);
	if (!ret && usable)
		ret = audit_fields(t, &usable, err);
	else
		usable = false;
	if (!ret && usable)
		ret = audit_bitmap(t, err);
	if (!ret && usable)
		ret = audit_end(t, err);
	if (!ret)
		vd_audit_end(t->a);
	free(t->slots);
	return ret;
}

int
delta_check(void *img, struct vd_report *r, struct vd_err *err)
{
	struct vd_audit a = { .size = sizeof(a), .report = r };
	struct audit t = { .a = &a, .f = ((struct delta *)img)->file };

	return audit(&t, err);
}

int
delta_repair(void *img, struct vd_report *r, struct vd_err *err)
{
	struct vd_audit a = { .size = sizeof(a), .report = r, .mend = true };
	struct delta *d = img;
	struct audit t = { .a = &a, .f = d->file };

	if (d->rdonly)
		return vd_fail(err, EROFS, VD_NOWHERE, "is open to be read "
			       "only");
	return audit(&t, err);
}
