/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-slots.c - the two slots of the header: which one counts, what is wrong
 * with the other, and how a header that was mended gets into both.
 */
#include "audit.h"

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

int
slots_find(struct audit *t, bool *usable, struct vd_err *err)
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
int
slots_put(struct audit *t, struct vd_err *err)
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
