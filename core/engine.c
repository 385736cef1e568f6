/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * engine.c - formats translate, the core moves data.
 *
 * The calls here may block and may be made from many threads.  queue.c asks
 * vd_engine_map() first and comes here only for what needs a decision.
 *
 * W1  An entry is set (commit) after its unit's data was written, and reaches
 *     the file after a sync of that data: table.c.
 * W2  vd_disk_flush() returns after a sync that began after it was called.
 * W5  Only layers[0] is ever written.
 * W6  commit() puts the mapping into the crash journal before the write is
 *     acknowledged; without a journal the write syncs before it returns.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "internal.h"

/* Entries that may wait in memory before a writer has to sync them. */
#define DIRTY_MAX	16384u
#define SLOTS		64

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
chain_map(struct vd_disk *d, unsigned from, uint64_t off, uint64_t len,
	  struct vd_extent *e, unsigned *layer, struct vd_err *err)
{
	for (unsigned i = from; i < d->nlayers; i++) {
		int ret = vd_layer_map(&d->layers[i], off, len, e, err);

		if (ret)
			return ret;
		*layer = i;
		if (e->kind != VD_EXT_HOLE)
			return 0;
		len = e->len;
	}
	e->kind = VD_EXT_ZERO;
	e->len = len;
	return 0;
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

/* Move len bytes between the vectors and one place of a file. */
static int
file_move(struct vd_file *f, bool write, struct vd_iter *it, uint64_t off,
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

static int
read_from(struct vd_disk *d, unsigned from, struct vd_iter *it, uint64_t off,
	  uint64_t len, struct vd_err *err)
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
			ret = file_move(e.file, false, it, e.host_off, e.len,
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
vd_disk_readv(struct vd_disk *d, const struct iovec *iov, int n, uint64_t off,
	      struct vd_err *err)
{
	struct vd_iter it = { iov, n, 0 };
	uint64_t len = vd_iov_len(iov, n);
	int ret = check_range(d, off, len, err);

	return ret ? ret : read_from(d, 0, &it, off, len, err);
}

int
vd_disk_read(struct vd_disk *d, void *buf, size_t len, uint64_t off,
	     struct vd_err *err)
{
	struct iovec iov = { buf, len };

	return vd_disk_readv(d, &iov, 1, off, err);
}

/* ------------------------------------------------------------------ flush */

static int
sync_top(struct vd_disk *d, struct vd_err *err)
{
	struct vd_layer *top = &d->layers[0];
	int ret = 0;

	if (top->format->sync)
		ret = top->format->sync(top->img, err);
	if (!ret)
		ret = vd_host_sync_files(top->host, err);
	if (ret)
		vd_err_file(err, top->path);
	/*
	 * A sync that failed has lost data, for good.  Anything else has
	 * not: what could not be written is still here, and may be tried again.
	 */
	return ret && !vd_host_lost(top->host) ? -EAGAIN : ret;
}

/*
 * A caller is content with any sync that began after it came; those who wait
 * meanwhile share the next one (W2).
 */
int
vd_disk_flush(struct vd_disk *d, struct vd_err *err)
{
	uint64_t need;
	int ret;

	if (d->readonly || !atomic_load(&d->began))
		return 0;
	pthread_mutex_lock(&d->sync_mutex);
	need = d->sync_started + 1;
	while (d->sync_done < need) {
		struct vd_err e = { 0 };

		if (d->sync_running) {
			pthread_cond_wait(&d->sync_cond, &d->sync_mutex);
			continue;
		}
		d->sync_running = true;
		d->sync_started++;
		pthread_mutex_unlock(&d->sync_mutex);
		ret = sync_top(d, &e);
		pthread_mutex_lock(&d->sync_mutex);
		d->sync_running = false;
		d->sync_done = d->sync_started;
		d->sync_result = ret;
		d->sync_err = e;
		pthread_cond_broadcast(&d->sync_cond);
	}
	ret = d->sync_result;
	if (ret && err && !err->code)
		*err = d->sync_err;
	pthread_mutex_unlock(&d->sync_mutex);
	return ret;
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

static void
unit_take(struct vd_disk *d, struct unit_lock *u)
{
	pthread_mutex_lock(&d->unit_mutex);
again:
	for (struct unit_lock *o = d->units; o; o = o->next) {
		if (u->off < o->off + o->len && o->off < u->off + u->len) {
			pthread_cond_wait(&d->unit_cond, &d->unit_mutex);
			goto again;
		}
	}
	u->next = d->units;
	d->units = u;
	pthread_mutex_unlock(&d->unit_mutex);
}

static void
unit_drop(struct vd_disk *d, struct unit_lock *u)
{
	struct unit_lock **at = &d->units;

	pthread_mutex_lock(&d->unit_mutex);
	while (*at != u)
		at = &(*at)->next;
	*at = u->next;
	pthread_cond_broadcast(&d->unit_cond);
	pthread_mutex_unlock(&d->unit_mutex);
}

/*
 * The mapping of this write is in memory and in the journal.  Without a
 * journal it must be in the file before the write is acknowledged (W6); with
 * too many waiting, somebody has to pay, and it is whoever makes them.
 */
static int
settle_mapping(struct vd_disk *d, struct vd_err *err)
{
	struct vd_host *h = d->layers[0].host;

	if (atomic_load(&h->dirty_entries) > DIRTY_MAX ||
	    (atomic_load(&h->through) && !d->batch))
		return vd_disk_flush(d, err);
	return 0;
}

/* Fill [off, off+len) of a fresh unit with what was there before. */
static int
copy_up(struct vd_disk *d, const struct vd_alloc *a, char *buf, uint64_t off,
	uint64_t len, struct vd_err *err)
{
	struct iovec iov = { buf, len };
	struct vd_iter it = { &iov, 1, 0 };

	if (a->was == VD_EXT_HOLE && d->nlayers > 1)
		return read_from(d, 1, &it, off, len, err);
	memset(buf, 0, len);
	return 0;
}

static int
put_around(struct vd_disk *d, const struct vd_alloc *a, uint64_t from,
	   uint64_t to, struct vd_err *err)
{
	bool zeros = a->was != VD_EXT_HOLE || d->nlayers == 1;
	uint64_t disk_end = a->unit_off + a->unit_len;
	uint64_t place = a->host_off + (from - a->unit_off);
	uint64_t stop;
	char *buf;
	int ret = 0;

	if (from == to)
		return 0;
	if (zeros && (a->flags & VD_ALLOC_ZEROED))
		return 0;
	if (zeros)
		return vd_file_zero(a->file, place, to - from, false, err);
	/* Past the end of the disk there is only padding. */
	stop = to < disk_end ? to : disk_end;
	if (stop > from) {
		buf = malloc(stop - from);
		if (!buf)
			return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
		ret = copy_up(d, a, buf, from, stop - from, err);
		if (!ret)
			ret = vd_file_write(a->file, buf, stop - from, place,
					    err);
		free(buf);
	}
	if (!ret && to > stop && !(a->flags & VD_ALLOC_ZEROED))
		ret = vd_file_zero(a->file, place + (stop - from), to - stop,
				   false, err);
	return ret;
}

/* Everything of the unit is written before commit() shows it. */
static int
fill_unit(struct vd_disk *d, const struct vd_alloc *a, struct vd_iter *it,
	  uint64_t off, uint64_t len, struct vd_err *err)
{
	int ret = put_around(d, a, a->unit_off, off, err);

	if (!ret && it)
		ret = file_move(a->file, true, it,
				a->host_off + (off - a->unit_off), len, err);
	else if (!ret && !(a->flags & VD_ALLOC_ZEROED))
		ret = vd_file_zero(a->file, a->host_off + (off - a->unit_off),
				   len, false, err);
	if (!ret)
		ret = put_around(d, a, off + len, a->unit_off + a->host_len,
				 err);
	return ret;
}

/*
 * Write into the unit holding off (len stays inside it); it == NULL writes
 * zeros.  Called under the unit's lock.
 */
static int
allocate_and_fill(struct vd_disk *d, struct vd_iter *it, uint64_t off,
		  uint64_t len, struct vd_err *err)
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
	}
	if (ret && top->format->abandon)
		top->format->abandon(top->img, &a);
	return ret;
}

/* One step of a write: into what is mapped, or into one new unit. */
static int
write_step(struct vd_disk *d, struct vd_iter *it, uint64_t off, uint64_t len,
	   uint64_t *done, struct vd_err *err)
{
	struct vd_layer *top = &d->layers[0];
	struct unit_lock u;
	struct vd_extent e;
	int ret = vd_layer_map(top, off, len, &e, err);

	if (ret)
		return ret;
	if (e.kind == VD_EXT_TRANSFORM)
		return vd_fail(err, EROFS, VD_NOWHERE, "%s images can only be "
			       "read", top->info.variant);
	if (e.kind == VD_EXT_DATA) {
		*done = e.len;
		return file_move(e.file, true, it, e.host_off, e.len, err);
	}
	if (!e.unit_len || off < e.unit_off || off >= e.unit_off + e.unit_len)
		return vd_fail(err, EIO, VD_NOWHERE, "module %s named the "
			       "wrong unit", top->format->name);
	u = (struct unit_lock){ .off = e.unit_off, .len = e.unit_len };
	if (len > e.unit_off + e.unit_len - off)
		len = e.unit_off + e.unit_len - off;
	*done = len;
	unit_take(d, &u);
	ret = vd_layer_map(top, off, len, &e, err);	/* while we waited? */
	if (!ret && e.kind == VD_EXT_DATA) {
		*done = e.len;
		ret = file_move(e.file, true, it, e.host_off, e.len, err);
	} else if (!ret) {
		ret = allocate_and_fill(d, it, off, len, err);
	}
	unit_drop(d, &u);
	return ret ? ret : settle_mapping(d, err);
}

/*
 * A disk that was guessed to be raw may not grow a header that would make it
 * something else when it is probed next time.
 */
static int
guard_check(struct vd_disk *d, const struct iovec *iov, int n, uint64_t off,
	    uint64_t len, struct vd_err *err)
{
	struct vd_iter it = { iov, n, 0 };
	const struct vd_format *claim;
	struct vd_probe_in in;
	struct iovec one;
	uint64_t took;
	uint8_t *buf = malloc(VD_PROBE_HEAD + VD_PROBE_TAIL);
	int ret;

	if (!buf)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = vd_probe_read(d->layers[0].file, d->layers[0].path, buf, &in,
			    err);
	while (!ret && len && off < in.head_len) {
		took = len < in.head_len - off ? len : in.head_len - off;
		if (!iov)
			memset(buf + off, 0, took);
		else if (vd_iter_take(&it, took, &one, 1, &took))
			memcpy(buf + off, one.iov_base, took);
		else
			break;
		off += took;
		len -= took;
	}
	if (!ret) {
		vd_probe_run(d->lib, &in, &claim);
		if (claim) {
			ret = vd_fail(err, EPERM, 0, "refused a write that "
				      "would make this raw disk look like a "
				      "%s image", claim->name);
			vd_err_help(err, "open it with the format named (raw) "
				    "to allow that");
		}
	}
	free(buf);
	return ret;
}

/* iov == NULL: len zeros. */
static int
write_all(struct vd_disk *d, const struct iovec *iov, int n, uint64_t off,
	  uint64_t len, struct vd_err *err)
{
	struct vd_iter it = { iov, n, 0 };
	bool guarded = d->guard && off < VD_PROBE_HEAD;
	uint64_t done = 0;
	int ret = 0;

	if (guarded) {
		/* Held over the write: two halves must not slip in apart. */
		pthread_mutex_lock(&d->guard_lock);
		ret = guard_check(d, iov, n, off, len, err);
	}
	if (!ret)
		ret = vd_engine_begin(d, err);
	for (; len && !ret; off += done, len -= done)
		ret = write_step(d, &it, off, len, &done, err);
	if (guarded)
		pthread_mutex_unlock(&d->guard_lock);
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

/* Zeros into what is mapped as data; *done says how far. */
static int
zero_step(struct vd_disk *d, uint64_t off, uint64_t len, unsigned flags,
	  uint64_t *done, struct vd_err *err)
{
	struct vd_layer *top = &d->layers[0];
	bool whole, bare = d->nlayers == 1;
	struct unit_lock u;
	struct vd_extent e;
	int ret = vd_layer_map(top, off, len, &e, err);

	if (ret)
		return ret;
	*done = e.len;
	if (e.kind == VD_EXT_ZERO || (e.kind == VD_EXT_HOLE && bare))
		return 0;		/* they are zeros already */
	if (e.kind == VD_EXT_DATA)
		return vd_file_zero(e.file, e.host_off, e.len,
				    flags & VD_MAY_UNMAP, err);
	if (e.kind == VD_EXT_TRANSFORM)
		return vd_fail(err, EROFS, VD_NOWHERE, "%s images can only be "
			       "read", top->info.variant);
	/* A hole over a parent: it must be hidden for good. */
	u = (struct unit_lock){ .off = e.unit_off, .len = e.unit_len };
	if (len > e.unit_off + e.unit_len - off)
		len = e.unit_off + e.unit_len - off;
	*done = len;
	whole = off == e.unit_off && len == e.unit_len;
	unit_take(d, &u);
	ret = vd_layer_map(top, off, len, &e, err);
	if (!ret && e.kind == VD_EXT_DATA) {
		*done = e.len;
		ret = vd_file_zero(e.file, e.host_off, e.len, false, err);
	} else if (!ret && e.kind == VD_EXT_HOLE) {
		ret = -ENOTSUP;
		if (whole && top->format->zero)
			ret = top->format->zero(top->img, off, len, NULL);
		if (ret == -ENOTSUP)
			ret = allocate_and_fill(d, NULL, off, len, err);
	}
	unit_drop(d, &u);
	return ret ? ret : settle_mapping(d, err);
}

int
vd_disk_write_zeroes(struct vd_disk *d, uint64_t off, uint64_t len,
		     unsigned flags, struct vd_err *err)
{
	bool guarded = d->guard && off < VD_PROBE_HEAD;
	uint64_t done = 0;
	int ret = check_write(d, off, len, err);

	if (!ret && guarded) {
		pthread_mutex_lock(&d->guard_lock);
		ret = guard_check(d, NULL, 0, off, len, err);
	} else {
		guarded = false;
	}
	if (!ret && len)
		ret = vd_engine_begin(d, err);
	for (; len && !ret; off += done, len -= done)
		ret = zero_step(d, off, len, flags, &done, err);
	if (guarded)
		pthread_mutex_unlock(&d->guard_lock);
	if (!ret && (flags & VD_FUA))
		ret = vd_disk_flush(d, err);
	return ret;
}

int
vd_disk_discard(struct vd_disk *d, uint64_t off, uint64_t len,
		struct vd_err *err)
{
	struct vd_layer *top = &d->layers[0];
	uint64_t unit = top->info.unit ? top->info.unit : 512;
	uint64_t end = off + len;
	struct unit_lock u;
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
	if (d->guard && off < VD_PROBE_HEAD) {
		pthread_mutex_lock(&d->guard_lock);
		ret = guard_check(d, NULL, 0, off, end - off, err);
		pthread_mutex_unlock(&d->guard_lock);
	}
	if (!ret)
		ret = vd_engine_begin(d, err);
	if (ret)
		return ret;
	u = (struct unit_lock){ .off = off, .len = end - off };
	unit_take(d, &u);
	ret = top->format->discard(top->img, off, end - off, err);
	unit_drop(d, &u);
	return ret ? ret : settle_mapping(d, err);
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
	int ret = chain_map(d, 0, off, len, &e, &layer, err);

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
		      (d->guard && off < VD_PROBE_HEAD)))
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
