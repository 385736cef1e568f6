/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * check.c - every rule of doc/raw-delta.md, looked at in the file itself; and
 * what can be mended without a guess.
 *
 * Shares nothing with the code that reads and writes deltas: the rules are
 * written down a second time here.  What a crash may leave is a leak or a note;
 * what costs data is damage.  Nothing that is read today changes by a repair.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "delta.h"

#define SAY_MAX		1000u	/* runs of unused data that are told */
#define WORDS		8192u	/* of the bitmap, read at once */
#define BITMAP_MAX	(UINT64_C(1) << 30)	/* bytes; a longer one is left alone */

struct audit {
	struct vd_file *file;
	struct vd_report *report;
	bool		mend;
	uint64_t	size;			/* of the file */
	uint8_t		head[2 * DELTA_SLOT];
	const uint8_t  *slot;			/* the one that counts, or NULL */
	uint64_t	disk, unit, data;	/* bytes; where units begin */
	bool		unclean;
};

static uint64_t
number(const uint8_t *p, int bytes)
{
	uint64_t n = 0;

	while (bytes--)
		n = n << 8 | p[bytes];
	return n;
}

/* Tell it, or ask for leave to mend it: true means now. */
static bool
flaw(struct audit *a, enum vd_severity severity, const char *code,
     uint64_t off, bool cure, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));

static bool
flaw(struct audit *a, enum vd_severity severity, const char *code,
     uint64_t off, bool cure, const char *fmt, ...)
{
	char text[256];
	struct vd_finding f = {
		.size = sizeof(f), .severity = severity, .code = code,
		.file = vd_file_name(a->file), .off = off, .text = text,
	};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (a->mend && cure)
		return a->report->may(a->report, &f);
	a->report->finding(a->report, &f);
	return false;
}

/* ----------------------------------------------------------------- header */

static bool
whole(const uint8_t *s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (unsigned i = 0; i < DELTA_SLOT - 8; i++)
		h = (h ^ s[i]) * 0x100000001b3u;
	return !memcmp(s, DELTA_MAGIC, 8) && number(s + 8184, 8) == h;
}

static bool
blank(const uint8_t *s)
{
	return !s[0] && !memcmp(s, s + 1, DELTA_SLOT - 1);
}

/* The one of a new image was never written: that is no flaw. */
static int
check_slots(struct audit *a, struct vd_err *err)
{
	const uint8_t *one = a->head, *two = a->head + DELTA_SLOT, *torn;
	bool first = whole(one), second = whole(two);

	if (first && second) {
		a->slot = number(one + 16, 8) > number(two + 16, 8) ? one : two;
		if (memcmp(one + 12, two + 12, 4) ||
		    memcmp(one + 24, two + 24, 16) ||
		    memcmp(one + 48, two + 48, 16))
			flaw(a, VD_DAMAGE, "delta-slots-differ", 0, false,
			     "the two header slots are of different images");
		return 0;
	}
	a->slot = first ? one : second ? two : NULL;
	if (!a->slot) {
		flaw(a, VD_DAMAGE, "delta-header", 0, false,
		     "neither header slot is whole");
		return 0;
	}
	torn = first ? two : one;
	if (blank(torn) ||
	    !flaw(a, VD_NOTE, "delta-slot-torn", (uint64_t)(torn - one), true,
		  "a header slot was not written to its end; the other counts"))
		return 0;
	return vd_file_write(a->file, a->slot, DELTA_SLOT,
			     (uint64_t)(torn - one), err);
}

/* false: the rest cannot be looked at. */
static bool
check_fields(struct audit *a)
{
	uint64_t at = (uint64_t)(a->slot - a->head), words;

	if (number(a->slot + 8, 4) != 1) {
		flaw(a, VD_NOTE, "delta-version", at + 8, false, "version %"
		     PRIu64 " is not known here", number(a->slot + 8, 4));
		return false;
	}
	a->unit = number(a->slot + 12, 4);
	a->disk = number(a->slot + 24, 8);
	a->data = number(a->slot + 32, 8);
	a->unclean = number(a->slot + 40, 4);
	if (a->unclean)
		flaw(a, VD_NOTE, "delta-unclean", at + 40, false,
		     "was not closed by its last writer");
	if (!a->slot[232])
		flaw(a, VD_DAMAGE, "delta-parent-missing", at + 232, false,
		     "names no parent");
	if (a->unit < 4096 || a->unit > 64u << 20 || (a->unit & (a->unit - 1))) {
		flaw(a, VD_DAMAGE, "delta-unit", at + 12, false, "a unit of %"
		     PRIu64 " bytes", a->unit);
		return false;
	}
	if (!a->disk || a->disk % 512 || a->disk > UINT64_C(1) << 62) {
		flaw(a, VD_DAMAGE, "delta-size", at + 24, false, "a disk of %"
		     PRIu64 " bytes", a->disk);
		return false;
	}
	words = ((a->disk + a->unit - 1) / a->unit + 63) / 64;
	if (a->data % a->unit || a->data > a->size || a->data < 65536 ||
	    words > (a->data - 65536) / 8) {
		flaw(a, VD_DAMAGE, "delta-data-offset", at + 32, false,
		     "units begin at byte %" PRIu64 ", in the bitmap or behind "
		     "the end of the file", a->data);
		return false;
	}
	if (words > BITMAP_MAX / 8) {
		flaw(a, VD_NOTE, "delta-bitmap-large", at + 24, false,
		     "a bitmap of more than 1 GiB was not looked at");
		return false;
	}
	return true;
}

/* ----------------------------------------------------------------- bitmap */

/* Data of [off, off + len) that no bit makes the disk's. */
static int
check_unused(struct audit *a, uint64_t off, uint64_t len, unsigned *told,
	     struct vd_err *err)
{
	uint64_t run;
	bool hole;
	int ret = 0;

	for (; len && !ret && *told < SAY_MAX; off += run, len -= run) {
		run = len;
		ret = vd_file_run(a->file, a->data + off, &run, &hole, err);
		/* The end of a file may be less than can be given back. */
		if (ret || hole || run < 4096)
			continue;
		++*told;
		/* A dead writer's bits may still be in its journal. */
		if (flaw(a, VD_LEAK, "delta-unused", a->data + off,
			 !a->unclean, "%" PRIu64 " bytes under units that are "
			 "not here", run))
			ret = vd_file_punch(a->file, a->data + off, run, err);
	}
	return ret;
}

/* The last word: bits of units that the disk does not have. */
static int
check_beyond(struct audit *a, uint64_t words, uint64_t word, struct vd_err *err)
{
	uint64_t units = (a->disk + a->unit - 1) / a->unit;
	uint64_t off = 65536 + (words - 1) * 8;
	uint8_t bytes[8];

	if (units % 64 == 0 || !(word >> units % 64) ||
	    !flaw(a, VD_NOTE, "delta-bit-beyond", off, true,
		  "units behind the end of the disk are marked"))
		return 0;
	word &= (UINT64_C(1) << units % 64) - 1;
	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(word >> 8 * i);
	return vd_file_write(a->file, bytes, 8, off, err);
}

static int
check_bitmap(struct audit *a, struct vd_err *err)
{
	uint64_t units = (a->disk + a->unit - 1) / a->unit;
	uint64_t words = (units + 63) / 64, word = 0, from = 0;
	uint8_t *buf = malloc(8 * WORDS);
	unsigned told = 0;
	int ret = buf ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	for (uint64_t u = 0; u <= units && !ret; u++) {
		uint64_t left = words - u / 64;

		if (u < units && u % (64 * WORDS) == 0)
			ret = vd_file_read(a->file, buf, 8 * (size_t)(left <
					   WORDS ? left : WORDS),
					   65536 + u / 8, err);
		if (u < units && u % 64 == 0)
			word = number(buf + u / 64 % WORDS * 8, 8);
		/* A run of units that are not here ends. */
		if (ret || (u < units && !(word >> u % 64 & 1)))
			continue;
		if (u > from)
			ret = check_unused(a, from * a->unit, (u < units
					   ? u * a->unit : a->disk) -
					   from * a->unit, &told, err);
		from = u + 1;
	}
	free(buf);
	return ret ? ret : check_beyond(a, words, word, err);
}

static int
check_tail(struct audit *a, struct vd_err *err)
{
	uint64_t end = a->data + a->disk;

	if (a->size <= end || vd_file_is_block(a->file) ||
	    !flaw(a, VD_LEAK, "delta-tail", end, true, "%" PRIu64
		  " bytes behind the end of the disk", a->size - end))
		return 0;
	return vd_file_truncate(a->file, end, err);
}

static int
audit(struct delta *d, struct vd_report *r, bool mend, struct vd_err *err)
{
	struct audit *a = calloc(1, sizeof(*a));
	int ret;

	if (!a)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	*a = (struct audit){
		.file = d->file, .report = r, .mend = mend,
		.size = vd_file_size(d->file),
	};
	ret = vd_file_read(a->file, a->head, sizeof(a->head), 0, err);
	if (!ret)
		ret = check_slots(a, err);
	if (!ret && a->slot && check_fields(a)) {
		ret = check_bitmap(a, err);
		if (!ret)
			ret = check_tail(a, err);
	}
	free(a);
	return ret;
}

int
delta_check(void *img, struct vd_report *r, struct vd_err *err)
{
	return audit(img, r, false, err);
}

int
delta_repair(void *img, struct vd_report *r, struct vd_err *err)
{
	return audit(img, r, true, err);
}
