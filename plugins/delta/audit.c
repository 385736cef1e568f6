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
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "delta.h"

enum {	/* bytes of a slot */
	AT_VERSION = 8, AT_UNIT = 12, AT_SEQUENCE = 16, AT_SIZE = 24,
	AT_DATA = 32, AT_UNCLEAN = 40, AT_ID = 48, AT_CONTENT = 64,
	AT_HINT = 232, AT_SUM = 8184, SLOT = 8192, AT_BITMAP = 65536,
};

#define CHUNK	8192u		/* words of the bitmap at a time: 64 KiB */

struct audit {
	struct vd_audit *a;
	struct vd_file *f;
	const char     *name;
	uint8_t	       *slots;		/* both */
	uint8_t	       *h;		/* the one that counts */
	unsigned	which;
	bool		changed;	/* h differs from the file */
	bool		unused;		/* what a dead writer may want was left */
	uint64_t	size;		/* of the file */
	/* as h says */
	uint64_t	unit, disk, data, words;
};

#define FLAW(t, how, code, off, cure) \
	(&(struct vd_flaw){ (how), (code), (t)->name, (off), (cure) })

static uint32_t
get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return le32toh(v);
}

static uint64_t
get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return le64toh(v);
}

static void
set64(struct audit *t, unsigned at, uint64_t v)
{
	v = htole64(v);
	memcpy(t->h + at, &v, 8);
	t->changed = true;
}

static void
set32(struct audit *t, unsigned at, uint32_t v)
{
	v = htole32(v);
	memcpy(t->h + at, &v, 4);
	t->changed = true;
}

/* FNV-1a, 64 bits. */
static uint64_t
sum(const uint8_t *p)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (unsigned i = 0; i < AT_SUM; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h;
}

static bool
has_magic(const uint8_t *s)
{
	return !memcmp(s, DELTA_MAGIC, 8);
}

static bool
whole(const uint8_t *s)
{
	return has_magic(s) && get64(s + AT_SUM) == sum(s);
}

static bool
empty(const uint8_t *s)
{
	for (unsigned i = 0; i < SLOT; i++)
		if (s[i])
			return false;
	return true;
}

/* ----------------------------------------------------------- which header */

static bool
unit_good(uint64_t u)
{
	return u >= 4096 && u <= 64 << 20 && !(u & (u - 1));
}

static uint64_t
words_of(uint64_t disk, uint64_t unit)
{
	return (disk / unit + !!(disk % unit) + 63) / 64;
}

static bool
sane(const uint8_t *s)
{
	uint64_t unit = get32(s + AT_UNIT), disk = get64(s + AT_SIZE);
	uint64_t data = get64(s + AT_DATA);

	return unit_good(unit) && disk && !(disk & 511) && !(disk >> 62) &&
	       data >= AT_BITMAP && !(data % unit) &&
	       words_of(disk, unit) <= (data - AT_BITMAP) / 8 && s[AT_HINT];
}

/* Neither is whole: is one of them good enough to be taken for what it says? */
static bool
broken(struct audit *t)
{
	const uint8_t *a = t->slots, *b = a + SLOT;
	bool sane_a = sane(a) && get32(a + AT_VERSION) == DELTA_VERSION;
	bool sane_b = sane(b) && get32(b + AT_VERSION) == DELTA_VERSION;

	t->which = sane_a && sane_b ? get64(b + AT_SEQUENCE) >
		   get64(a + AT_SEQUENCE) : !sane_a;
	t->h = t->slots + t->which * SLOT;
	if (!vd_flaw(t->a, FLAW(t, VD_DAMAGE, "delta-header", t->which * SLOT +
	    (uint64_t)AT_SUM, sane_a || sane_b ? "which of its bytes are wrong "
	    "cannot be told, but size, places and parent make sense: would "
	    "take it as it is" : NULL), "neither header slot is whole"))
		return false;
	memcpy(t->h, DELTA_MAGIC, 8);
	t->changed = true;
	return true;
}

static void
audit_slots(struct audit *t)
{
	const uint8_t *other = t->slots + !t->which * SLOT;
	uint64_t at = !t->which * (uint64_t)SLOT;

	if (t->which && !has_magic(other) &&
	    vd_flaw(t->a, FLAW(t, VD_DAMAGE, "delta-magic", 0, "the second "
	    "slot is whole: would write the first from it"), "the file does "
	    "not begin as a raw delta does"))
		t->changed = true;
	else if (!whole(other) && !empty(other) && (!t->which ||
		 has_magic(other)) && vd_flaw(t->a, FLAW(t, VD_NOTE,
		 "delta-slot-torn", at, "would write it from the other"), "a header "
		 "slot is torn; the other one is whole"))
		t->changed = true;
	if (whole(other) && get64(other + AT_SEQUENCE) == get64(t->h +
	    AT_SEQUENCE) && memcmp(other, t->h, SLOT) &&
	    vd_flaw(t->a, FLAW(t, VD_NOTE, "delta-sequence", at + AT_SEQUENCE,
	    "would take the first for the newer"), "both header slots have the "
	    "same number and differ"))
		t->changed = true;
	if ((get64(t->h + AT_SEQUENCE) & 1) != t->which &&
	    vd_flaw(t->a, FLAW(t, VD_NOTE, "delta-slot-place", t->which *
	    (uint64_t)SLOT + AT_SEQUENCE, "would write both anew"), "the header "
	    "is in the wrong slot: the next one would be written over it"))
		t->changed = true;
}

static int
find_header(struct audit *t, bool *usable, struct vd_err *err)
{
	const uint8_t *a = t->slots, *b = a + SLOT;
	int ret = vd_file_read(t->f, t->slots, 2 * SLOT, 0, err);

	*usable = true;
	if (ret)
		return ret;
	if (!whole(a) && !whole(b)) {
		*usable = broken(t);
		return 0;
	}
	t->which = !whole(a) || (whole(b) && get64(b + AT_SEQUENCE) >
				 get64(a + AT_SEQUENCE));
	t->h = t->slots + t->which * SLOT;
	if (get32(t->h + AT_VERSION) != DELTA_VERSION) {
		vd_flaw(t->a, FLAW(t, VD_NOTE, "delta-version", t->which *
			(uint64_t)SLOT + AT_VERSION, NULL), "version %u is "
			"not known and was not checked", get32(t->h +
			AT_VERSION));
		return vd_fail(err, ENOTSUP, t->which * (uint64_t)SLOT +
			       AT_VERSION, "version %u is not known: nothing "
			       "can be said of it", get32(t->h + AT_VERSION));
	}
	if (whole(a) && whole(b) && memcmp(a + AT_ID, b + AT_ID, 16)) {
		vd_flaw(t->a, FLAW(t, VD_DAMAGE, "delta-slots-differ", !t->which
			* (uint64_t)SLOT + AT_ID, NULL), "the header slots are "
			"of two different images");
		*usable = false;
		return 0;
	}
	audit_slots(t);
	return 0;
}

/* To the slot that is not in use; then, if that is not whole, to the other. */
static int
put_header(struct audit *t, struct vd_err *err)
{
	uint64_t seq = get64(t->h + AT_SEQUENCE);
	uint8_t *s = malloc(SLOT);
	int ret = s ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	if (!ret)
		memcpy(s, t->h, SLOT);
	for (int i = 0; i < 2 && !ret; i++) {
		uint64_t v;

		t->which = !t->which;
		seq++;
		if ((seq & 1) != t->which)
			seq++;
		v = htole64(seq);
		memcpy(s + AT_SEQUENCE, &v, 8);
		v = htole64(sum(s));
		memcpy(s + AT_SUM, &v, 8);
		ret = vd_file_write(t->f, s, SLOT, t->which * (uint64_t)SLOT,
				    err);
		if (!ret)
			ret = vd_file_sync(t->f, err);
		if (!ret)
			memcpy(t->slots + t->which * SLOT, s, SLOT);
	}
	t->h = t->slots + t->which * SLOT;
	t->changed = ret != 0;
	free(s);
	return ret;
}

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
	return !ret && t->changed ? put_header(t, err) : ret;
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
	    (uint64_t)SLOT + AT_UNCLEAN, t->a->left || t->unused ? NULL : "would take the "
	    "mark away"), "was not closed by its last writer, or is open now"))
		return ret;
	set32(t, AT_UNCLEAN, 0);
	return put_header(t, err);
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
	ret = find_header(t, &usable, err);
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
