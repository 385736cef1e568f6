/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * write.c - the only file that changes a delta.
 *
 * W1  A bit is set in the core's table after its unit was written, and reaches
 *     the file after a sync of that.
 * W2  delta_sync() returns when both are durable.
 * W3  Does not arise: a unit has one place, and no other ever uses it.
 * W4  The header has two slots, written in turn, each with a checksum and a
 *     number: whichever is whole and newer counts.  The bitmap has no copy.
 * W5  The content identity is new on disk before the first change of an open.
 * W6  Set bits are in the core's crash journal.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "delta.h"

/* Into the slot that is not the present one; durable on return. */
int
delta_put_header(struct delta *d, struct vd_err *err)
{
	uint8_t *slot = malloc(DELTA_SLOT);
	int ret;

	if (!slot)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	d->h.sequence++;
	delta_encode(&d->h, slot);
	ret = vd_file_write(d->file, slot, DELTA_SLOT,
			    (d->h.sequence & 1) * DELTA_SLOT, err);
	if (!ret)
		ret = vd_file_sync(d->file, err);
	free(slot);
	return ret;
}

int
delta_begin_write(void *img, struct vd_err *err)
{
	struct delta *d = img;
	uint8_t content[32];
	int ret = vd_random(d->h.content, sizeof(d->h.content), err);

	if (ret)
		return ret;
	d->h.unclean = 1;
	delta_content(&d->h, content);
	vd_table_content(d->table, content);		/* W6 */
	ret = delta_put_header(d, err);			/* W5 */
	d->begun = !ret;
	return ret;
}

int
delta_allocate(void *img, uint64_t off, struct vd_alloc *a, struct vd_err *err)
{
	struct delta *d = img;
	uint64_t left, run;
	bool hole = false;
	int ret;

	a->unit_off = off / d->h.unit * d->h.unit;
	left = d->h.virtual_size - a->unit_off;
	a->unit_len = left < d->h.unit ? left : d->h.unit;
	a->host_len = a->unit_len;
	a->host_off = d->h.data_off + a->unit_off;
	a->file = d->file;
	a->was = VD_EXT_HOLE;
	/*
	 * A clear bit does not mean that nothing was ever written there: a
	 * process may have died in between.  The file system knows.
	 */
	run = a->host_len;
	ret = vd_file_run(d->file, a->host_off, &run, &hole, err);
	a->flags = hole && run == a->host_len ? VD_ALLOC_ZEROED : 0;
	return ret;
}

/* Bits of one word come from several threads. */
static int
set_bits(struct delta *d, uint64_t first, uint64_t last, struct vd_err *err)
{
	uint64_t word;
	int ret = 0;

	pthread_mutex_lock(&d->lock);
	while (first <= last && !ret) {
		uint64_t at = first / DELTA_WORD, mask = 0;

		for (; first <= last && first / DELTA_WORD == at; first++)
			mask |= UINT64_C(1) << (first % DELTA_WORD);
		ret = vd_table_get(d->table, at, &word, err);
		if (!ret && (word | mask) != word)
			ret = vd_table_set(d->table, at, word | mask, err);
	}
	pthread_mutex_unlock(&d->lock);
	return ret;
}

int
delta_commit(void *img, const struct vd_alloc *a, struct vd_err *err)
{
	struct delta *d = img;
	uint64_t unit = a->unit_off / d->h.unit;

	return set_bits(d, unit, unit, err);
}

/* A unit that is here and has no data reads as zeros. */
int
delta_zero(void *img, uint64_t off, uint64_t len, struct vd_err *err)
{
	struct delta *d = img;
	int ret = vd_file_punch(d->file, d->h.data_off + off, len, err);

	if (ret || !len)
		return ret;
	return set_bits(d, off / d->h.unit, (off + len - 1) / d->h.unit, err);
}

/*
 * Only units that are here have something to give back, and they stay here:
 * the parent must not show through again.
 */
int
delta_discard(void *img, uint64_t off, uint64_t len, struct vd_err *err)
{
	struct delta *d = img;
	struct vd_extent e;
	int ret = 0;

	for (; len && !ret; off += e.len, len -= e.len) {
		ret = delta_map(d, off, len, &e, err);
		if (!ret && e.kind == VD_EXT_DATA)
			ret = vd_file_punch(d->file, e.host_off, e.len, err);
	}
	return ret;
}

int
delta_sync(void *img, struct vd_err *err)
{
	return vd_table_sync(((struct delta *)img)->table, NULL, NULL, err);
}

int
delta_relink(void *img, const struct vd_parent *p, struct vd_err *err)
{
	struct delta *d = img;
	struct vd_parent old = d->h.parent;
	int ret;

	if (!p || !p->hint[0])
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "a delta needs the name of its parent");
	d->h.parent = *p;
	ret = delta_put_header(d, err);
	if (ret)
		d->h.parent = old;
	return ret;
}
