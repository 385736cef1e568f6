/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * engine.c - formats translate, the core moves data.
 *
 * The calls here may block and may be made from many threads.  queue.c asks
 * vd_engine_map() first and comes here only for what needs a decision.
 *
 * W1  An entry is set (commit) after its unit's data was written: unit.c; it
 *     reaches the file after a sync of that data: table.c.
 * W2  A flush returns after a sync that began after it was called: flush.c.
 * W5  Only layers[0] is ever written.
 * W6  commit() puts the mapping into the crash journal before the write is
 *     acknowledged; without a journal the write syncs before it returns.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "internal.h"

#define SLOTS		64
/* Bytes that a module is asked to give back at once. */
#define DISCARD_STEP	(256u << 20)

static int
check_range(struct vd_disk *d, uint64_t off, uint64_t len, struct vd_err *err)
{
	if (d->alone)
		return vd_fail(err, EPERM, VD_NOWHERE, "was opened without its "
			       "parent: there is no content to see");
	if (off <= d->size && len <= d->size - off)
		return 0;
	return vd_fail(err, EINVAL, VD_NOWHERE, "%" PRIu64 " bytes at %" PRIu64
		       " leave the disk of %" PRIu64, len, off, d->size);
}

static int
check_write(struct vd_disk *d, uint64_t off, uint64_t len, struct vd_err *err)
{
	if (d->readonly)
		return vd_fail(err, EROFS, VD_NOWHERE,
			       "the disk is read-only");
	return check_range(d, off, len, err);
}

/* One layer's answer, held to what a module may say. */
int
vd_layer_map(struct vd_layer *l, uint64_t off, uint64_t len,
	     struct vd_extent *e, struct vd_err *err)
{
	uint64_t size = l->info.virtual_size;
	int ret;

	/*
	 * A parent may be shorter than its child.  Behind its end are zeros,
	 * not what lies there in a longer grandparent.
	 */
	if (off >= size) {
		*e = (struct vd_extent){ .kind = VD_EXT_ZERO, .len = len };
		return 0;
	}
	if (len > size - off)
		len = size - off;
	memset(e, 0, sizeof(*e));
	ret = l->format->map(l->img, off, len, e, err);
	if (ret) {
		if (ret != -EAGAIN)
			vd_err_file(err, l->path);
		return ret;
	}
	if (!e->len || e->len > len || e->kind < VD_EXT_DATA ||
	    e->kind > VD_EXT_TRANSFORM ||
	    (e->kind == VD_EXT_DATA && !e->file) ||
	    (e->kind == VD_EXT_TRANSFORM && !l->format->read))
		return vd_fail(err, EIO, VD_NOWHERE, "module %s answered "
			       "nonsense", l->format->name);
	return 0;
}

/*
 * Who holds the bytes at off, from layer `from` down?  Iterative: a chain's
 * length is the image owner's to choose.  Kind HOLE never comes out: what
 * nobody has is zeros.
 */
static int
chain_walk(struct vd_disk *d, unsigned from, uint64_t off, uint64_t len,
	   struct vd_extent *e, unsigned *layer, struct vd_err *err)
{
	*layer = 0;
	for (unsigned i = from; i < d->nlayers; i++) {
		int ret = vd_layer_map(&d->layers[i], off, len, e, err);

		if (ret)
			return ret;
		*layer = i;
		if (e->kind != VD_EXT_HOLE)
			return 0;
		len = e->len;
	}
	*e = (struct vd_extent){ .kind = VD_EXT_ZERO, .len = len };
	return 0;
}

/* The same, with what is remembered: for reads, which are short. */
static int
chain_map(struct vd_disk *d, unsigned from, uint64_t off, uint64_t len,
	  struct vd_extent *e, unsigned *layer, struct vd_err *err)
{
	unsigned known = d->index ? vd_index_from(d, off, &len) : 0;

	return chain_walk(d, known > from ? known : from, off, len, e, layer,
			  err);
}

/* TRANSFORM: the module fills one buffer; we spread it, if it has to be. */
static int
transform_read(struct vd_layer *l, struct vd_iter *it, uint64_t off,
	       uint64_t len, struct vd_err *err)
{
	struct vd_iter ahead = *it;
	struct iovec whole;
	uint64_t all;
	char *buf;
	int ret;

	if (vd_iter_take(&ahead, len, &whole, 1, &all) && all == len) {
		*it = ahead;
		return l->format->read(l->img, whole.iov_base, off, len, err);
	}
	buf = malloc(len);
	if (!buf)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = l->format->read(l->img, buf, off, len, err);
	for (uint64_t at = 0; at < len && !ret; ) {
		struct iovec one;
		uint64_t took;

		if (!vd_iter_take(it, len - at, &one, 1, &took))
			break;
		memcpy(one.iov_base, buf + at, took);
		at += took;
	}
	free(buf);
	return ret;
}

int
vd_engine_move(struct vd_file *f, bool write, struct vd_iter *it, uint64_t off,
	  uint64_t len, struct vd_err *err)
{
	struct iovec part[SLOTS];
	uint64_t took;
	int ret = 0;

	for (; len && !ret; off += took, len -= took) {
		int n = vd_iter_take(it, len, part, SLOTS, &took);

		ret = write ? vd_file_writev(f, part, n, off, err)
			    : vd_file_readv(f, part, n, off, err);
	}
	return ret;
}

int
vd_engine_read(struct vd_disk *d, unsigned from, struct vd_iter *it,
	       uint64_t off, uint64_t len, struct vd_err *err)
{
	struct vd_extent e;
	unsigned layer;
	int ret = 0;

	for (; len && !ret; off += e.len, len -= e.len) {
		uint64_t ask = len < (1u << 30) ? len : 1u << 30;

		ret = chain_map(d, from, off, ask, &e, &layer, err);
		if (ret)
			break;
		if (e.kind == VD_EXT_ZERO) {
			vd_iter_zero(it, e.len);
		} else if (e.kind == VD_EXT_DATA) {
			ret = vd_engine_move(e.file, false, it, e.host_off, e.len,
					err);
		} else {
			if (e.len > (1u << 20))
				e.len = 1u << 20;
			ret = transform_read(&d->layers[layer], it, off,
					     e.len, err);
		}
	}
	return ret;
}

int
vd_engine_below(struct vd_disk *d, unsigned from, uint64_t off, uint64_t len,
		struct vd_extent *e, struct vd_err *err)
{
	unsigned layer;

	return chain_map(d, from, off, len, e, &layer, err);
}

int
vd_disk_readv(struct vd_disk *d, const struct iovec *iov, int n, uint64_t off,
	      struct vd_err *err)
{
	struct vd_iter it = { iov, n, 0 };
	uint64_t len = vd_iov_len(iov, n);
	int ret = check_range(d, off, len, err);

	return ret ? ret : vd_engine_read(d, 0, &it, off, len, err);
}

int
vd_disk_read(struct vd_disk *d, void *buf, size_t len, uint64_t off,
	     struct vd_err *err)
{
	struct iovec iov = { buf, len };

	return vd_disk_readv(d, &iov, 1, off, err);
}

/* ------------------------------------------------------------------ write */

int
vd_engine_begin(struct vd_disk *d, struct vd_err *err)
{
	struct vd_layer *top = &d->layers[0];
	int ret = 0;

	if (atomic_load(&d->began))
		return 0;
	pthread_mutex_lock(&d->begin_lock);
	if (!atomic_load(&d->began)) {
		/* A merge changes no content: its children still match. */
		if (top->format->begin_write && !d->same)
			ret = top->format->begin_write(top->img, err);
		if (!ret)
			atomic_store(&d->began, true);
		else
			vd_err_file(err, top->path);
	}
	pthread_mutex_unlock(&d->begin_lock);
	return ret;
}

/* One step of a write: into what is mapped, or into one new unit. */
static int
write_step(struct vd_disk *d, struct vd_iter *it, uint64_t off, uint64_t len,
	   uint64_t *done, struct vd_err *err)
{
	struct vd_layer *top = &d->layers[0];
	uint64_t unit, unit_len;
	struct vd_extent e;
	int ret = vd_layer_map(top, off, len, &e, err);

	if (ret)
		return ret;
	if (e.kind == VD_EXT_TRANSFORM)
		return vd_fail(err, EROFS, VD_NOWHERE, "%s images can only be "
			       "read", top->info.variant);
	if (e.kind == VD_EXT_DATA) {
		*done = e.len;
		return vd_engine_move(e.file, true, it, e.host_off, e.len, err);
	}
	if (!e.unit_len || off < e.unit_off || off >= e.unit_off + e.unit_len)
		return vd_fail(err, EIO, VD_NOWHERE, "module %s named the "
			       "wrong unit", top->format->name);
	unit = e.unit_off;
	unit_len = e.unit_len;
	if (len > unit + unit_len - off)
		len = unit + unit_len - off;
	*done = len;
	vd_unit_lock(d, unit, unit_len);
	ret = vd_layer_map(top, off, len, &e, err);	/* while we waited? */
	if (!ret && e.kind == VD_EXT_DATA) {
		*done = e.len;
		ret = vd_engine_move(e.file, true, it, e.host_off, e.len, err);
	} else if (!ret) {
		ret = vd_unit_fill(d, it, off, len, err);
	}
	vd_unit_unlock(d, unit, unit_len);
	return ret ? ret : vd_engine_settle(d, err);
}

static int
write_all(struct vd_disk *d, const struct iovec *iov, int n, uint64_t off,
	  uint64_t len, struct vd_err *err)
{
	struct vd_guess g = { .iov = iov, .n = n };
	int ret = vd_guess_begin(d, &g, off, len, err);
	struct vd_iter it = { g.iov, g.n, 0 };
	uint64_t done = 0;

	if (!ret)
		ret = vd_engine_begin(d, err);
	for (; len && !ret; off += done, len -= done)
		ret = write_step(d, &it, off, len, &done, err);
	vd_guess_end(d, &g);
	return ret;
}

int
vd_disk_writev(struct vd_disk *d, const struct iovec *iov, int n, uint64_t off,
	       unsigned flags, struct vd_err *err)
{
	uint64_t len = vd_iov_len(iov, n);
	int ret = check_write(d, off, len, err);

	if (!ret && len)
		ret = write_all(d, iov, n, off, len, err);
	if (!ret && (flags & VD_FUA))
		ret = vd_disk_flush(d, err);
	return ret;
}

int
vd_disk_write(struct vd_disk *d, const void *buf, size_t len, uint64_t off,
	      unsigned flags, struct vd_err *err)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };

	return vd_disk_writev(d, &iov, 1, off, flags, err);
}

/* ------------------------------------------------------- zeroes, discard */

static int
zero_mapped(const struct vd_extent *e, unsigned flags, struct vd_err *err)
{
	bool unmap = flags & VD_MAY_UNMAP;

	return flags & VD_FAST
	       ? vd_file_zero_fast(e->file, e->host_off, e->len, unmap, err)
	       : vd_file_zero(e->file, e->host_off, e->len, unmap, err);
}

/* Zeros into what is mapped as data; *done says how far. */
static int
zero_step(struct vd_disk *d, uint64_t off, uint64_t len, unsigned flags,
	  uint64_t *done, struct vd_err *err)
{
	struct vd_layer *top = &d->layers[0];
	bool whole, bare = d->nlayers == 1;
	struct vd_err why = { 0 };	/* -ENOTSUP is no failure yet */
	uint64_t unit, unit_len;
	struct vd_extent e;
	int ret = vd_layer_map(top, off, len, &e, err);

	if (ret)
		return ret;
	*done = e.len;
	if (e.kind == VD_EXT_ZERO || (e.kind == VD_EXT_HOLE && bare))
		return 0;		/* they are zeros already */
	if (e.kind == VD_EXT_DATA)
		return zero_mapped(&e, flags, err);
	if (e.kind == VD_EXT_TRANSFORM)
		return vd_fail(err, EROFS, VD_NOWHERE, "%s images can only be "
			       "read", top->info.variant);
	/* A hole over a parent: it must be hidden for good. */
	unit = e.unit_off;
	unit_len = e.unit_len;
	if (len > unit + unit_len - off)
		len = unit + unit_len - off;
	*done = len;
	whole = off == unit && len == unit_len;
	vd_unit_lock(d, unit, unit_len);
	ret = vd_layer_map(top, off, len, &e, err);
	if (!ret && e.kind == VD_EXT_DATA) {
		*done = e.len;
		ret = zero_mapped(&e, flags & VD_FAST, err);
	} else if (!ret && e.kind == VD_EXT_HOLE) {
		ret = -ENOTSUP;
		if (whole && top->format->zero)
			ret = top->format->zero(top->img, off, len, &why);
		if (ret && ret != -ENOTSUP && err && !err->code)
			*err = why;
		vd_index_changed(d, off, len);
		if (ret == -ENOTSUP && (flags & VD_FAST))
			vd_fail(err, ENOTSUP, VD_NOWHERE, "this takes a whole "
				"unit of zeros");
		else if (ret == -ENOTSUP)
			ret = vd_unit_fill(d, NULL, off, len, err);
	}
	vd_unit_unlock(d, unit, unit_len);
	return ret ? ret : vd_engine_settle(d, err);
}

int
vd_disk_write_zeroes(struct vd_disk *d, uint64_t off, uint64_t len,
		     unsigned flags, struct vd_err *err)
{
	struct vd_guess g = { 0 };
	uint64_t done = 0;
	int ret = check_write(d, off, len, err);

	if (!ret)
		ret = vd_guess_begin(d, &g, off, len, err);
	if (!ret && len)
		ret = vd_engine_begin(d, err);
	for (; len && !ret; off += done, len -= done)
		ret = zero_step(d, off, len, flags, &done, err);
	vd_guess_end(d, &g);
	if (!ret && (flags & VD_FUA))
		ret = vd_disk_flush(d, err);
	return ret;
}

/* In steps: a discard of everything may not fill the journal, nor hold all. */
static int
discard_units(struct vd_disk *d, uint64_t off, uint64_t end,
	      struct vd_err *err)
{
	struct vd_layer *top = &d->layers[0];
	uint64_t unit = top->info.unit ? top->info.unit : 512, len;
	uint64_t step = unit < DISCARD_STEP ? DISCARD_STEP / unit * unit : unit;
	int ret = 0;

	for (; off < end && !ret; off += len) {
		len = step - off % step;
		if (len > end - off)
			len = end - off;
		vd_unit_lock(d, off, len);
		ret = top->format->discard(top->img, off, len, err);
		vd_index_changed(d, off, len);
		vd_unit_unlock(d, off, len);
		if (!ret)
			ret = vd_engine_settle(d, err);
	}
	return ret;
}

int
vd_disk_discard(struct vd_disk *d, uint64_t off, uint64_t len,
		struct vd_err *err)
{
	struct vd_layer *top = &d->layers[0];
	uint64_t unit = top->info.unit ? top->info.unit : 512;
	uint64_t end = off + len;
	struct vd_guess g = { 0 };
	int ret = check_write(d, off, len, err);

	if (ret || !len)
		return ret;
	if (!top->format->discard)
		return vd_fail(err, ENOTSUP, VD_NOWHERE, "%s images give "
			       "nothing back", top->format->name);
	/* Whole units only: a discard is a hint, its edges may stay. */
	off = (off + unit - 1) / unit * unit;
	if (end != d->size)
		end = end / unit * unit;
	if (off >= end)
		return 0;
	ret = vd_guess_begin(d, &g, off, end - off, err);
	if (!ret)
		ret = vd_engine_begin(d, err);
	if (!ret)
		ret = discard_units(d, off, end, err);
	vd_guess_end(d, &g);
	return ret;
}

/* ---------------------------------------------------------------- extents */

/* One run as mapped, refined by what the file system knows of holes. */
static int
run_at(struct vd_disk *d, uint64_t off, uint64_t len, struct vd_run *run,
       struct vd_err *err)
{
	struct vd_extent e;
	unsigned layer = 0;
	bool hole = false;
	int ret = chain_walk(d, 0, off, len, &e, &layer, err);

	if (ret)
		return ret;
	if (e.kind == VD_EXT_DATA)
		ret = vd_file_run(e.file, e.host_off, &e.len, &hole, err);
	*run = (struct vd_run){
		.off = off, .len = e.len,
		.kind = hole ? (uint32_t)VD_EXT_ZERO : e.kind,
		.layer = hole || e.kind == VD_EXT_ZERO ? 0 : layer,
	};
	return ret;
}

int
vd_disk_extent(struct vd_disk *d, uint64_t off, uint64_t len,
	       struct vd_run *run, struct vd_err *err)
{
	int ret = check_range(d, off, len, err);
	uint64_t end = off + len;
	struct vd_run next;

	if (ret)
		return ret;
	if (!len)
		return vd_fail(err, EINVAL, VD_NOWHERE, "an empty run");
	ret = run_at(d, off, len, run, err);
	while (!ret && run->off + run->len < end) {
		off = run->off + run->len;
		ret = run_at(d, off, end - off, &next, err);
		if (ret || next.kind != run->kind || next.layer != run->layer)
			break;
		run->len += next.len;
	}
	return ret;
}

/* --------------------------------------------------- for queue.c: no waits */

int
vd_engine_map(struct vd_disk *d, bool write, uint64_t off, uint64_t len,
	      struct vd_seg *segs, int max)
{
	int n = 0;

	if (write && (d->readonly || !atomic_load(&d->began) ||
		      vd_guess_sees(d, off, len)))
		return -EAGAIN;
	if (check_range(d, off, len, NULL))
		return -EAGAIN;	/* the blocking call words the error */
	vd_nowait = true;
	while (len && n < max) {
		struct vd_extent e;
		unsigned layer;
		int ret = write ? vd_layer_map(&d->layers[0], off, len, &e, NULL)
				: chain_map(d, 0, off, len, &e, &layer, NULL);

		if (ret || (e.kind != VD_EXT_DATA &&
			    (write || e.kind != VD_EXT_ZERO)))
			break;
		segs[n++] = (struct vd_seg){
			e.kind == VD_EXT_DATA ? e.file : NULL, e.host_off,
			e.len };
		off += e.len;
		len -= e.len;
	}
	vd_nowait = false;
	return len ? -EAGAIN : n;
}
