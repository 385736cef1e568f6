/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * write.c - new data in an image: with discard.c, all that a guest can change.
 *
 * W1  A grain pointer reaches the file after the grain's data is durable:
 *     commit only sets it in the core's table; vd_table_sync() orders them.
 *     The same for a grain table made late: zeros, sync, then its directory
 *     entries, sync - and only then a pointer inside it.  ESX's freeSector
 *     covers a grain or table, durably, before anything points there.
 * W2  vmdk_sync() returns when all that is durable, in both table copies.
 * W3  Room is used again only when no durable entry points to it: see
 *     discard.c.  What abandon() gives back was never pointed to; nor was what
 *     is cut off the end of the file, at close or by the writer after a crash.
 * W4  Both grain tables are written between the same two syncs.  Cut short,
 *     they differ only in grains that no flush has promised; the primary one
 *     is believed, and the next writer makes the copy equal (vmdk_mark).
 *     uncleanShutdown tells that writer to look, and is durable before the
 *     first change of a table, also where a merge keeps the identity (W5).
 * W5  The content identity (CID) is new on disk before the first change: a
 *     child made from the old content can then be told from one that fits.
 *     An open that writes nothing changes no byte.
 * W6  Set pointers are in the core's crash journal; what binds it to this
 *     image (vmdk_sparse_content) changes before the file does.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

/* Steps in which a file grows, bytes. */
#define GROW_MIN	(16ull << 20)
#define GROW_MAX	(256ull << 20)

/* ------------------------------------------------------------ begin_write */

/* A CID that says something, and nothing that the present one says. */
static int
new_cid(const struct vmdk_desc *d, uint32_t *cid, struct vd_err *err)
{
	int ret;

	do {
		ret = vd_random(cid, sizeof(*cid), err);
	} while (!ret && (!*cid || *cid == VMDK_NO_PARENT ||
			  *cid == VMDK_NEVER_WRITTEN ||
			  (d->has_cid && *cid == d->cid)));
	return ret;
}

/*
 * VMware's change tracking file knows nothing of what we write.  Left named, it
 * would make the owner's next incremental backup wrong without a sign; so
 * tracking is off from the first write on, and that backup has to be a whole
 * one.  In place: one sector at most is torn by a power cut.
 */
static int
stop_tracking(struct vmdk *v, char *text, size_t *len, struct vd_err *err)
{
	if (v->desc.version != 3 && !v->desc.change_track.n)
		return 0;
	vmdk_desc_drop(text, *len, "changeTrackPath");
	return v->desc.version != 3 ? 0 :
	       vmdk_desc_set(text, len, v->text_room, "version", "1", false,
			     err);
}

/* By which VirtualBox knows that a parent has changed. */
static int
new_modification(struct vmdk *v, char *text, size_t *len, struct vd_err *err)
{
	char uuid[VMDK_UUID_LEN + 1];
	int ret = vmdk_new_uuid(uuid, err);

	return ret ? ret : vmdk_desc_set(text, len, v->text_room,
					 "ddb.uuid.modification", uuid, true,
					 err);
}

/* The descriptor with a new CID, and longContentID where there is one. */
static int
new_text(struct vmdk *v, char *text, size_t *len, struct vd_err *err)
{
	uint32_t cid, r[3];
	char word[40];
	int ret = new_cid(&v->desc, &cid, err);

	if (!ret)
		ret = vd_random(r, sizeof(r), err);
	if (ret)
		return ret;
	memcpy(text, v->text, v->text_len);
	*len = v->text_len;
	snprintf(word, sizeof(word), "%08x", cid);
	ret = vmdk_desc_set(text, len, v->text_room, "CID", word, false, err);
	if (!ret)
		ret = stop_tracking(v, text, len, err);
	if (v->desc.resizing)
		vmdk_desc_drop(text, *len, VMDK_RESIZING);
	if (!ret && v->desc.uuid_modified.n)
		ret = new_modification(v, text, len, err);
	if (ret || !v->desc.long_content_id.n)
		return ret;
	snprintf(word, sizeof(word), "%08x%08x%08x%08x", r[0], r[1], r[2],
		 cid);
	return vmdk_desc_set(text, len, v->text_room, "ddb.longContentID",
			     word, true, err);
}

static int
write_unclean(struct vmdk_extent *x, uint8_t unclean, struct vd_err *err)
{
	int ret = vd_file_write(x->file, &unclean, 1, x->unclean_at, err);

	if (!ret)
		x->h.unclean = unclean;
	return ret;
}

/* Version 3 of a plain extent says "tracked" and nothing else. */
static int
write_version(struct vmdk_extent *x, struct vd_err *err)
{
	uint8_t version = x->h.flags & VMDK_F_ZERO_GRAIN ? 2 : 1;
	int ret;

	if (x->h.version != 3)
		return 0;
	ret = vd_file_write(x->file, &version, 1, VMDK_HEADER_VERSION, err);
	if (!ret)
		x->h.version = version;
	return ret;
}

static int
write_marks(struct vmdk *v, struct vd_err *err)
{
	int ret = 0;

	for (unsigned i = 0; i < v->nextents && !ret; i++) {
		struct vmdk_extent *x = &v->extents[i];

		if (!vmdk_has_tables(x))
			continue;
		ret = write_version(x, err);
		if (!ret)
			ret = write_unclean(x, 1, err);
		if (!ret)
			ret = vd_file_sync(x->file, err);
	}
	return ret ? ret : vd_file_sync(v->file, err);
}

/* The next owner of the journal must know the image by either identity. */
static void
announce(struct vmdk *v, const char *text, size_t len)
{
	struct vmdk next = { 0 };
	uint8_t content[32];

	vmdk_desc_parse(text, len, 0, &next.desc, NULL);
	vmdk_sparse_content(&next, true, content);
	for (unsigned i = 0; i < v->nextents; i++)
		if (vmdk_has_tables(&v->extents[i]))
			vd_table_content(v->extents[i].table, content);
}

/* What the last writer left half done: see W4. */
static int
equal_copies(struct vmdk *v, struct vd_err *err)
{
	int ret = 0;

	for (unsigned i = 0; i < v->nextents && !ret; i++) {
		struct vmdk_extent *x = &v->extents[i];

		if (!vmdk_has_tables(x) || !x->stale_copies)
			continue;
		ret = vmdk_room_sync(x, err);
		if (!ret)
			ret = vmdk_sparse_equal(x, err);
		x->stale_copies = ret != 0;
	}
	return ret;
}

static uint64_t
round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* Room that the last writer took, and died before it used. */
static int
cut_tails(struct vmdk *v, struct vd_err *err)
{
	int ret = 0;

	for (unsigned i = 0; i < v->nextents && !ret; i++) {
		struct vmdk_extent *x = &v->extents[i];
		uint64_t end = round_up(x->used_end, x->grain ? x->grain : 1);

		if (!vmdk_has_tables(x) || !x->used_end)
			continue;
		if (x->kind == VMDK_COWD)
			end = x->used_end;
		if (vd_file_size(x->file) > end)
			ret = vd_file_truncate(x->file, end, err);
		if (!ret)
			x->size = vd_file_size(x->file);
		x->used_end = 0;
	}
	return ret;
}

int
vmdk_begin_write(void *img, struct vd_err *err)
{
	struct vmdk *v = img;
	char *text = calloc(1, v->text_room + 1);
	size_t len;
	int ret;

	if (!text)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = new_text(v, text, &len, err);
	if (!ret)
		ret = equal_copies(v, err);
	if (!ret)
		ret = vmdk_resize_finish(v, err);
	if (!ret) {
		announce(v, text, len);			/* W6 */
		ret = len == v->text_len && !vmdk_text_is_away(v)
			? vmdk_write_digits(v, text, err)
			: vmdk_write_text(v, text, len, err);
	}
	if (!ret)
		ret = write_marks(v, err);		/* W4, W5 */
	if (!ret)
		ret = cut_tails(v, err);
	if (ret) {
		free(text);
		return ret;
	}
	vmdk_take_text(v, text, len);
	__atomic_store_n(&v->marked, true, __ATOMIC_RELEASE);
	return 0;
}

/*
 * A merge into this image leaves its identity alone, and begin_write out.  Its
 * tables change all the same: who finds them cut short must know (W4).
 */
static int
mark_only(struct vmdk *v, struct vd_err *err)
{
	int ret = equal_copies(v, err);

	if (!ret) {
		announce(v, v->text, v->text_len);	/* W6 */
		ret = write_marks(v, err);
	}
	return ret ? ret : cut_tails(v, err);
}

int
vmdk_mark(struct vmdk *v, struct vd_err *err)
{
	int ret = 0;

	if (__atomic_load_n(&v->marked, __ATOMIC_ACQUIRE))
		return 0;
	pthread_mutex_lock(&v->mark_lock);
	if (!v->marked)
		ret = mark_only(v, err);
	if (!ret)
		__atomic_store_n(&v->marked, true, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&v->mark_lock);
	return ret;
}

/* --------------------------------------------------------------- allocate */

/* Grains of ours begin at multiples of their size; ESX's at any sector. */
static uint64_t
alignment(const struct vmdk_extent *x)
{
	return x->kind == VMDK_COWD ? VMDK_SECTOR : x->grain;
}

/* Where the first thing that this open adds will go. */
static uint64_t
first_free(struct vmdk_extent *x)
{
	uint64_t at = vd_file_size(x->file);

	if (at < x->h.overhead * VMDK_SECTOR)
		at = x->h.overhead * VMDK_SECTOR;
	if (at < x->last_end)
		at = x->last_end;
	return round_up(at, alignment(x));
}

/* ESX wants freeSector to be less than the length of the file. */
static uint64_t
file_end(const struct vmdk_extent *x, uint64_t used)
{
	return x->kind == VMDK_COWD ? used + VMDK_SECTOR : used;
}

/* All grains and tables that there can be, behind what is there. */
static uint64_t
longest(const struct vmdk_extent *x, uint64_t from)
{
	uint64_t tables = (uint64_t)x->ntables * vmdk_gt_sectors(&x->h) *
			  VMDK_SECTOR * 2;
	uint64_t end = from + round_up(x->len, x->grain) + tables;
	uint64_t most = VMDK_FILE_SECTORS_MAX * VMDK_SECTOR;

	return file_end(x, end < most ? end : most);
}

uint64_t
vmdk_end(struct vmdk_extent *x)
{
	if (!x->next) {
		x->next = x->floor = first_free(x);
		x->most = longest(x, x->next);
	}
	return x->floor;
}

/*
 * A longer file costs the file system a transaction, a hole in it nothing: it
 * grows in steps.  vmdk_give_back() cuts off what was not used; after a crash the
 * next writer does.  x->lock held.
 */
static int
lengthen(struct vmdk_extent *x, uint64_t end, struct vd_err *err)
{
	uint64_t step = end / 8, want;
	int ret;

	if (end <= x->size)
		return 0;
	if (step < GROW_MIN)
		step = GROW_MIN;
	want = end + (step < GROW_MAX ? step : GROW_MAX);
	if (want > x->most)
		want = x->most > end ? x->most : end;
	ret = vd_file_truncate(x->file, want, err);
	if (!ret)
		__atomic_store_n(&x->size, want, __ATOMIC_RELEASE);
	return ret;
}

/* Take len bytes at the end of what is used; they read as zeros.  x->lock held. */
static int
grow(struct vmdk_extent *x, uint64_t len, uint64_t *off, struct vd_err *err)
{
	uint64_t at = vmdk_end(x) ? x->next : 0, end = at + len;
	int ret;

	if (end > (VMDK_FILE_SECTORS_MAX - 1) * VMDK_SECTOR &&
	    (x->kind == VMDK_COWD || end > VMDK_FILE_SECTORS_MAX *
	     VMDK_SECTOR))
		return vd_fail(err, ENOSPC, VD_NOWHERE, "the extent file has "
			       "reached 2 TiB: a sparse VMDK cannot point "
			       "further");
	ret = lengthen(x, file_end(x, end), err);
	if (ret)
		return ret;
	x->next = round_up(end, alignment(x));
	*off = at;
	return 0;
}

/* Cut off what grow() took and nobody used. */
int
vmdk_give_back(struct vmdk_extent *x, struct vd_err *err)
{
	uint64_t end = file_end(x, x->next);

	if (!x->next || x->size <= end)
		return 0;
	x->size = end;
	return vd_file_truncate(x->file, end, err);
}

static int
put_entry(struct vmdk_extent *x, uint64_t directory, uint32_t i,
	  uint64_t table, struct vd_err *err)
{
	uint32_t e = htole32((uint32_t)(table / VMDK_SECTOR));

	return vd_file_write(x->file, &e, 4, directory * VMDK_SECTOR +
			     (uint64_t)i * 4, err);
}

static int
add_spans(struct vmdk_extent *x, uint64_t off, uint32_t n, struct vd_err *err)
{
	uint32_t gt = vmdk_gt_sectors(&x->h);
	struct vmdk_span *more = realloc(x->spans, (x->nspans + n) *
					 sizeof(*more));

	if (!more)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	x->spans = more;
	/* Tables come at the end of the file: the list stays sorted. */
	for (uint32_t i = 0; i < n; i++)
		more[x->nspans + i] = (struct vmdk_span){
			(uint32_t)(off / VMDK_SECTOR) + i * gt, gt };
	__atomic_store_n(&x->nspans, x->nspans + n, __ATOMIC_RELEASE);
	return 0;
}

/*
 * Other writers leave out tables that have nothing to say.  A pointer needs
 * one: both copies, zeros, durable before a directory names them (W1).
 * x->lock held.
 */
static int
make_table(struct vmdk_extent *x, uint32_t i, struct vd_err *err)
{
	uint64_t bytes = (uint64_t)vmdk_gt_sectors(&x->h) * VMDK_SECTOR, off;
	uint32_t copies = x->rgd ? 2 : 1;
	int ret = grow(x, bytes * copies, &off, err);

	if (!ret)
		ret = add_spans(x, off, copies, err);
	if (!ret && x->kind == VMDK_COWD)
		ret = vmdk_cowd_used(x, err);
	if (!ret)
		ret = vd_file_sync(x->file, err);
	if (!ret)
		ret = put_entry(x, x->h.gd_sector, i, off, err);
	if (!ret && x->rgd)
		ret = put_entry(x, x->h.rgd_sector, i, off + bytes, err);
	if (!ret)
		ret = vd_file_sync(x->file, err);
	if (ret)
		return ret;
	if (x->rgd)
		__atomic_store_n(&x->rgd[i], (uint32_t)((off + bytes) /
				 VMDK_SECTOR), __ATOMIC_RELEASE);
	__atomic_store_n(&x->gd[i], (uint32_t)(off / VMDK_SECTOR),
			 __ATOMIC_RELEASE);
	return 0;
}

int
vmdk_need_table(struct vmdk_extent *x, uint64_t grain, struct vd_err *err)
{
	uint32_t i = (uint32_t)(grain / x->h.gtes);
	int ret = 0;

	pthread_mutex_lock(&x->lock);
	if (!x->gd[i])
		ret = make_table(x, i, err);
	pthread_mutex_unlock(&x->lock);
	return ret;
}

int
vmdk_read_only_here(const struct vmdk_extent *x, uint64_t off,
		    struct vd_err *err)
{
	return vd_fail(err, EROFS, VD_NOWHERE, "disk offset %" PRIu64 " is in "
		       "an extent that can only be read", x->start + off);
}

/* Room for a grain: given back by somebody, or fresh.  x->lock held. */
static int
take_grain(struct vmdk_extent *x, uint64_t grain, struct vd_alloc *a,
	   struct vd_err *err)
{
	bool held;

	a->flags = 0;
	if (vmdk_room_take(x, grain, &a->host_off, &held)) {
		a->cookie[0] = held;
		return 0;
	}
	a->flags = VD_ALLOC_ZEROED;
	a->cookie[0] = 0;
	return grow(x, x->grain, &a->host_off, err);
}

int
vmdk_allocate(void *img, uint64_t off, struct vd_alloc *a, struct vd_err *err)
{
	struct vmdk *v = img;
	struct vmdk_extent *x = vmdk_extent_at(v, off);
	uint64_t grain, value, in;
	int ret;

	if (!vmdk_has_tables(x))
		return vmdk_read_only_here(x, off - x->start, err);
	grain = (off - x->start) / x->grain;
	ret = vmdk_mark(v, err);
	if (!ret)
		ret = vd_table_get(x->table, grain, &value, err);
	if (ret)
		return ret;
	in = grain * x->grain;
	a->unit_off = x->start + in;
	a->unit_len = x->len - in < x->grain ? x->len - in : x->grain;
	a->file = x->file;
	a->host_len = x->grain;		/* a whole one, also the last */
	a->was = value ? VD_EXT_ZERO : VD_EXT_HOLE;
	ret = vmdk_need_table(x, grain, err);
	pthread_mutex_lock(&x->lock);
	if (!ret)
		ret = take_grain(x, grain, a, err);
	pthread_mutex_unlock(&x->lock);
	if (ret)
		vd_err_file(err, vd_file_name(x->file));
	return ret;
}

int
vmdk_commit(void *img, const struct vd_alloc *a, struct vd_err *err)
{
	struct vmdk_extent *x = vmdk_extent_at(img, a->unit_off);

	return vd_table_set(x->table, (a->unit_off - x->start) / x->grain,
			    a->host_off / VMDK_SECTOR, err);
}

void
vmdk_abandon(void *img, const struct vd_alloc *a)
{
	struct vmdk_extent *x = vmdk_extent_at(img, a->unit_off);
	uint32_t sector = (uint32_t)(a->host_off / VMDK_SECTOR);

	pthread_mutex_lock(&x->lock);
	if (a->cookie[0])		/* its entry may still be in the file */
		vmdk_room_hold(x, (a->unit_off - x->start) / x->grain, sector);
	else
		vmdk_room_give(x, sector);
	pthread_mutex_unlock(&x->lock);
}

/* ------------------------------------------------------------ sync, close */

int
vmdk_sync(void *img, struct vd_err *err)
{
	struct vmdk *v = img;
	int ret = 0;

	for (unsigned i = 0; i < v->nextents && !ret; i++) {
		struct vmdk_extent *x = &v->extents[i];

		/* Recovered from a journal, maybe: W4. */
		if (vmdk_has_tables(x) && vd_table_dirty(x->table))
			ret = vmdk_mark(v, err);
		if (ret)
			break;
		if (vmdk_has_tables(x))
			ret = vmdk_room_sync(x, err);
		else if (!x->frozen)
			ret = vd_file_sync(x->file, err);
	}
	return ret;
}

/*
 * The last write of all.  An extent with pointers that could not be written
 * keeps its mark: the next writer has to look.
 */
int
vmdk_mark_clean(struct vmdk *v, struct vd_err *err)
{
	int ret = 0;

	for (unsigned i = 0; i < v->nextents; i++) {
		struct vmdk_extent *x = &v->extents[i];
		int one;

		if (!vmdk_has_tables(x) || vd_table_dirty(x->table))
			continue;
		vmdk_give_back(x, NULL);	/* or leave a hole at the end */
		one = vmdk_room_trim(x, ret ? NULL : err);
		if (!one)
			one = vd_file_sync(x->file, ret ? NULL : err);
		if (!one)
			one = write_unclean(x, 0, ret ? NULL : err);
		if (!one)
			one = vd_file_sync(x->file, ret ? NULL : err);
		if (!ret)
			ret = one;
	}
	return ret;
}
