/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * unit.c - a unit that is not there yet: its lock, and what goes into it.
 *
 * W1  A unit is written whole - what the guest writes, and around it what was
 *     read there before - and only then shown (commit).
 * W5  What was there before is read from the layers below, never changed.
 *
 * Only what the guest does not write is copied up, and of that only what is
 * not zeros already in the room that was given.  The kernel copies where it can
 * (a file system may share instead of copying): half the time of a read and a
 * write of 60 KiB.  What is left of a small unit goes out in one write; a large
 * one in pieces, each read and written while it is in the processor's cache.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "internal.h"

#define SLOTS		64
#define PIECE		(256u << 10)	/* copied at once */
#define BUFS_KEPT	16u
#define COPY_MIN	(12u << 10)	/* less is sooner read and written */

/* ------------------------------------------------------------------ locks */

/*
 * Which locks cover a range: first, and how many from there on, in a circle.
 * Units that share one by chance wait for each other, and no more.
 */
static unsigned
locks_of(struct vd_disk *d, uint64_t off, uint64_t len, unsigned *first)
{
	uint64_t unit = d->layers[0].info.unit;
	uint64_t a, b;

	if (!unit)
		unit = 64u << 10;
	a = off / unit;
	b = (off + len - 1) / unit;
	*first = a % VD_UNIT_LOCKS;
	return b - a < VD_UNIT_LOCKS ? (unsigned)(b - a) + 1 : VD_UNIT_LOCKS;
}

static bool
covers(unsigned first, unsigned n, unsigned i)
{
	return (i + VD_UNIT_LOCKS - first) % VD_UNIT_LOCKS < n;
}

/* In one order, so that two ranges cannot wait for each other. */
void
vd_unit_lock(struct vd_disk *d, uint64_t off, uint64_t len)
{
	unsigned first, n = locks_of(d, off, len, &first);

	if (n == 1) {
		pthread_mutex_lock(&d->units[first]);
		return;
	}
	for (unsigned i = 0; i < VD_UNIT_LOCKS; i++)
		if (covers(first, n, i))
			pthread_mutex_lock(&d->units[i]);
}

void
vd_unit_unlock(struct vd_disk *d, uint64_t off, uint64_t len)
{
	unsigned first, n = locks_of(d, off, len, &first);

	for (unsigned i = 0; i < VD_UNIT_LOCKS; i++)
		if (covers(first, n, i))
			pthread_mutex_unlock(&d->units[i]);
}

/* ---------------------------------------------------------------- buffers */

struct vd_buf {
	struct vd_buf  *next;		/* while it is free */
};

static void *
buf_get(struct vd_disk *d)
{
	struct vd_buf *b;

	pthread_mutex_lock(&d->buf_lock);
	b = d->bufs;
	if (b) {
		d->bufs = b->next;
		d->nbufs--;
	}
	pthread_mutex_unlock(&d->buf_lock);
	return b ? b : malloc(PIECE);
}

static void
buf_put(struct vd_disk *d, void *buf)
{
	struct vd_buf *b = buf;

	if (!b)
		return;
	pthread_mutex_lock(&d->buf_lock);
	if (d->nbufs < BUFS_KEPT) {
		b->next = d->bufs;
		d->bufs = b;
		d->nbufs++;
		b = NULL;
	}
	pthread_mutex_unlock(&d->buf_lock);
	free(b);
}

void
vd_unit_free_bufs(struct vd_disk *d)
{
	while (d->bufs) {
		struct vd_buf *b = d->bufs;

		d->bufs = b->next;
		free(b);
	}
}

/* ---------------------------------------------------------------- copy up */

/* A part of the unit that the guest does not write. */
struct part {
	uint64_t	from, to;	/* disk */
};

static bool
over_zeros(const struct vd_disk *d, const struct vd_alloc *a)
{
	return a->was != VD_EXT_HOLE || d->nlayers == 1;
}

static uint64_t
place(const struct vd_alloc *a, uint64_t off)
{
	return a->host_off + (off - a->unit_off);
}

/* Zeros into the room, where it is not zeros already. */
static int
put_zeros(const struct vd_alloc *a, struct part p, struct vd_err *err)
{
	if (p.from >= p.to || (a->flags & VD_ALLOC_ZEROED))
		return 0;
	return vd_file_zero(a->file, place(a, p.from), p.to - p.from, false,
			    err);
}

static int
copy_piece(struct vd_disk *d, const struct vd_alloc *a, void *buf,
	   uint64_t off, uint64_t len, struct vd_err *err)
{
	struct iovec iov = { buf, len };
	struct vd_iter it = { &iov, 1, 0 };
	int ret = vd_engine_read(d, 1, &it, off, len, err);

	return ret ? ret : vd_file_write(a->file, buf, len, place(a, off), err);
}

/* In the kernel, where that pays and it can. */
static bool
copied(const struct vd_alloc *a, const struct vd_extent *e, uint64_t off)
{
	return e->kind == VD_EXT_DATA && e->len >= COPY_MIN &&
	       !vd_file_copy(a->file, place(a, off), e->file, e->host_off,
			     e->len);
}

/* From below, run by run and piece by piece. */
static int
copy_part(struct vd_disk *d, const struct vd_alloc *a, struct part p,
	  struct vd_err *err)
{
	struct vd_extent e;
	void *buf = NULL;
	int ret = 0;

	for (; p.from < p.to && !ret; p.from += e.len) {
		ret = vd_engine_below(d, 1, p.from, p.to - p.from, &e, err);
		if (ret)
			break;
		if (e.kind == VD_EXT_ZERO) {
			ret = put_zeros(a, (struct part){ p.from,
					p.from + e.len }, err);
			continue;
		}
		if (copied(a, &e, p.from))
			continue;
		if (e.len > PIECE)
			e.len = PIECE;
		if (!buf && !(buf = buf_get(d)))
			ret = vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
		else
			ret = copy_piece(d, a, buf, p.from, e.len, err);
	}
	buf_put(d, buf);
	return ret;
}

static int
put_part(struct vd_disk *d, const struct vd_alloc *a, struct part p,
	 struct vd_err *err)
{
	return over_zeros(d, a) ? put_zeros(a, p, err)
				: copy_part(d, a, p, err);
}

/* Read a part into the buffer; *skip: there is nothing left to write of it. */
static int
fetch(struct vd_disk *d, const struct vd_alloc *a, struct part p, void *buf,
      bool *skip, struct vd_err *err)
{
	uint64_t len = p.to - p.from;
	struct iovec iov = { buf, len };
	struct vd_iter it = { &iov, 1, 0 };
	struct vd_extent e;
	int ret;

	*skip = !len;
	if (!len)
		return 0;
	ret = vd_engine_below(d, 1, p.from, len, &e, err);
	if (ret)
		return ret;
	if (e.len == len)
		*skip = (e.kind == VD_EXT_ZERO && (a->flags &
						   VD_ALLOC_ZEROED)) ||
			copied(a, &e, p.from);
	return *skip ? 0 : vd_engine_read(d, 1, &it, p.from, len, err);
}

/* Head, what the guest writes, tail: one write. */
static int
fill_at_once(struct vd_disk *d, const struct vd_alloc *a, struct vd_iter *it,
	     struct part head, struct part tail, char *buf, struct vd_err *err)
{
	struct iovec out[SLOTS];
	uint64_t from = head.to, len = tail.from - head.to, took;
	bool no_head, no_tail;
	char *buf2 = buf + (head.to - head.from);
	int n = 0, ret;

	ret = fetch(d, a, head, buf, &no_head, err);
	if (!ret)
		ret = fetch(d, a, tail, buf2, &no_tail, err);
	if (ret)
		return ret;
	if (!no_head) {
		out[n++] = (struct iovec){ buf, head.to - head.from };
		from = head.from;
	}
	n += vd_iter_take(it, len, out + n, SLOTS - 2, &took);
	if (!no_tail)
		out[n++] = (struct iovec){ buf2, tail.to - tail.from };
	return vd_file_writev(a->file, out, n, place(a, from), err);
}

/* Is it small, and in few enough pieces? */
static bool
goes_at_once(struct vd_disk *d, const struct vd_alloc *a,
	     const struct vd_iter *it, uint64_t len)
{
	return it && !over_zeros(d, a) && it->n <= SLOTS - 2 &&
	       a->unit_len - len > 0 && a->unit_len - len <= PIECE;
}

static int
fill_unit(struct vd_disk *d, const struct vd_alloc *a, struct vd_iter *it,
	  uint64_t off, uint64_t len, struct vd_err *err)
{
	uint64_t end = a->unit_off + a->unit_len;
	struct part head = { a->unit_off, off }, tail = { off + len, end };
	int ret;

	/* Past the end of the disk there is only padding. */
	ret = put_zeros(a, (struct part){ end, a->unit_off + a->host_len },
			err);
	if (ret)
		return ret;
	if (goes_at_once(d, a, it, len)) {
		char *buf = buf_get(d);

		ret = buf ? fill_at_once(d, a, it, head, tail, buf, err)
			  : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
		buf_put(d, buf);
		return ret;
	}
	ret = put_part(d, a, head, err);
	if (!ret)
		ret = it ? vd_engine_move(a->file, true, it, place(a, off), len,
					  err)
			 : put_zeros(a, (struct part){ off, off + len }, err);
	return ret ? ret : put_part(d, a, tail, err);
}

int
vd_unit_fill(struct vd_disk *d, struct vd_iter *it, uint64_t off, uint64_t len,
	     struct vd_err *err)
{
	struct vd_layer *top = &d->layers[0];
	struct vd_alloc a = { 0 };
	int ret;

	if (!top->format->allocate || !top->format->commit)
		return vd_fail(err, EROFS, VD_NOWHERE, "%s images cannot "
			       "take new data", top->info.variant);
	ret = top->format->allocate(top->img, off, &a, err);
	if (ret)
		return ret;
	if (!a.file || off < a.unit_off || a.host_len < a.unit_len ||
	    off + len > a.unit_off + a.unit_len) {
		ret = vd_fail(err, EIO, VD_NOWHERE, "module %s reserved the "
			      "wrong unit", top->format->name);
	} else {
		ret = fill_unit(d, &a, it, off, len, err);
		if (!ret)
			ret = top->format->commit(top->img, &a, err);
		if (!ret)
			vd_index_changed(d, a.unit_off, a.unit_len);
	}
	if (ret && top->format->abandon)
		top->format->abandon(top->img, &a);
	return ret;
}
