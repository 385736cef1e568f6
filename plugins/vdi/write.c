/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * write.c - the only file that changes an image.
 *
 * W1  A map entry reaches the file only after the block it points to is
 *     durable.  vd_table_sync() keeps that; commit() writes nothing itself.
 * W2  A flush returns when data, header and map are durable: vdi_sync().
 * W3  A slot is handed out again only if no entry in the file points to it.
 *     Slots are free because the scan found no entry for them or because they
 *     were never published (abandon); what is cut off the end of the file has
 *     no slot that the map knows.  zero() and discard() keep a block's slot
 *     and punch the data, so nothing here ever unpublishes a slot.
 * W4  cBlocksAllocated may be ahead of the map, never behind it: it is durable
 *     before the entries that need it.  Behind, VirtualBox would put its next
 *     block over a live one; ahead, a block leaks.  The map is the truth.
 * W5  Nothing here knows a parent's file.  What hides a parent's data is an
 *     entry like any other: a block, or VDI_ZERO; never VDI_FREE.
 * W6  Entries wait in the table's crash journal, which is bound to uuidModify
 *     and cBlocksAllocated.  The journal is told the new values before the
 *     header says them and knows the old ones as well, so that a death in
 *     between leaves both readings good.
 *
 * The header is rewritten in one write that stays within its first 512 bytes,
 * one sector of any disk: a power cut leaves the old one or the new one.
 */
#include <errno.h>
#include <inttypes.h>
#include "vdi.h"

/* Steps in which a file grows, bytes. */
#define VDI_GROW_MIN	(16ull << 20)
#define VDI_GROW_MAX	(256ull << 20)
/* Blocks counted before they are there. */
#define VDI_COUNT_AHEAD	64u
/* Pieces of a file's end that are looked at. */
#define VDI_TAIL_RUNS	64

void
vdi_content(const uint8_t *head, uint8_t content[32])
{
	memset(content, 0, 32);
	memcpy(content, head + VDI_OFF_MODIFY, 16);
	memcpy(content + 16, head + VDI_OFF_ALLOCATED, 4);
}

/* Called under the lock. */
static int
vdi_put_count(struct vdi *v, uint32_t count, struct vd_err *err)
{
	uint8_t content[32];
	int ret;

	vdi_put32(v->head + VDI_OFF_ALLOCATED, count);
	vdi_content(v->head, content);
	vd_table_content(v->map, content);			/* W6 */
	ret = vd_file_write(v->file, v->head, v->head_len, 0, err);
	if (!ret) {
		v->counted = count;
		v->ahead = count > v->top;
	}
	return ret;
}

int
vdi_write_header(struct vdi *v, struct vd_err *err)
{
	return vdi_put_count(v, v->top, err);
}

/*
 * The image is about to change: give its content a new name, so that whoever
 * remembers the old one (a child's uuidParentModify) can see that.  A second
 * try keeps the UUID of the first, for the journal knows only two.
 */
static int
vdi_renew(struct vdi *v, struct vd_err *err)
{
	uint8_t modify[16], create[16];
	int ret;

	if (v->renewed)
		return 0;
	ret = vdi_uuid_random(modify, err);
	if (!ret)
		ret = vdi_uuid_random(create, err);
	if (ret < 0)
		return ret;
	memcpy(v->head + VDI_OFF_MODIFY, modify, 16);
	/* VirtualBox refuses an image without identity; this is our chance. */
	if (vdi_uuid_null(v->head + VDI_OFF_CREATE))
		memcpy(v->head + VDI_OFF_CREATE, create, 16);
	v->renewed = true;
	return 0;
}

/*
 * What a process that died had grown the file by: a hole behind all blocks.
 * Bytes that were written there stay, for it is not known whose they are.
 */
static int
vdi_cut_tail(struct vdi *v, struct vd_err *err)
{
	uint64_t end = vdi_slot(v, v->top), run;
	bool hole = false;

	if (v->h.type == VDI_FIXED || vd_file_is_block(v->file) ||
	    end >= v->eof)
		return 0;
	for (int i = 0; i < VDI_TAIL_RUNS && end < v->eof; i++, end += run) {
		run = v->eof - end;
		if (vd_file_run(v->file, end, &run, &hole, NULL) ||
		    (hole && run == v->eof - end))
			break;
	}
	if (!hole || end >= v->eof)
		return 0;
	v->eof = v->written = v->keep = end;
	return vd_file_truncate(v->file, end, err);
}

int
vdi_begin_write(void *img, struct vd_err *err)
{
	struct vdi *v = img;
	int ret;

	pthread_mutex_lock(&v->lock);
	ret = vdi_renew(v, err);
	if (!ret)
		ret = vdi_write_header(v, err);		/* W4: a count set right */
	if (!ret)
		ret = vd_file_sync(v->file, err);
	if (!ret && !v->began)
		ret = vdi_cut_tail(v, err);
	if (!ret)
		v->began = true;
	pthread_mutex_unlock(&v->lock);
	return ret;
}

/* The lowest free slot; more blocks than slots there cannot be.  Locked. */
static int
vdi_take_slot(struct vdi *v, uint32_t *slot, struct vd_err *err)
{
	uint32_t n = v->hint;

	while (n < v->slots) {
		uint64_t free = ~v->used[n / 64] >> n % 64;

		if (free) {
			n += (uint32_t)__builtin_ctzll(free);
			break;
		}
		n = (n / 64 + 1) * 64;
	}
	if (n >= v->slots)
		return vd_fail(err, ENOSPC, VDI_OFF_BLOCKS,
			       "all %u places for blocks are taken", v->slots);
	v->used[n / 64] |= 1ull << n % 64;
	v->hint = n + 1;
	*slot = n;
	return 0;
}

static void
vdi_give_slot(struct vdi *v, uint32_t slot)
{
	v->used[slot / 64] &= ~(1ull << slot % 64);
	if (slot < v->hint)
		v->hint = slot;
}

/*
 * Have the file reach to the end of a slot; *fresh when its bytes were not in
 * the file before and therefore are zeros.  Locked.
 */
int
vdi_grow(struct vdi *v, uint32_t slot, bool *fresh, struct vd_err *err)
{
	uint64_t at = vdi_slot(v, slot), end;
	int ret;

	if (at > INT64_MAX - (1ull << 33))
		return vd_fail(err, EFBIG, VD_NOWHERE,
			       "a new block would lie past what a file can hold");
	end = at + v->h.extra + v->h.block;
	*fresh = at + v->h.extra >= v->written;
	if (end > v->written)
		v->written = end;
	if (end <= v->eof)
		return 0;
	if (vd_file_is_block(v->file))
		return vd_fail(err, ENOSPC, VD_NOWHERE,
			       "the block device is too small for another block");
	ret = vd_file_truncate(v->file, end, err);
	if (!ret)
		v->eof = end;
	return ret;
}

/*
 * A longer file costs the file system a transaction, a hole in it nothing: it
 * grows in steps, but never past the last slot.  Locked.
 */
static int
vdi_grow_ahead(struct vdi *v, uint32_t slot, bool *fresh, struct vd_err *err)
{
	uint64_t stride = (uint64_t)v->h.extra + v->h.block;
	uint64_t end = vdi_slot(v, slot), step, most = vdi_slot(v, v->slots);

	if (end > INT64_MAX - (1ull << 33) || end + stride <= v->eof ||
	    vd_file_is_block(v->file))
		return vdi_grow(v, slot, fresh, err);
	end += stride;
	step = end / 8 < VDI_GROW_MIN ? VDI_GROW_MIN : end / 8;
	end += step < VDI_GROW_MAX ? step : VDI_GROW_MAX;
	end = end < most ? end : most;
	/* Where it may not be that long, just long enough must do. */
	if (!vd_file_truncate(v->file, end, NULL))
		v->eof = end;
	return vdi_grow(v, slot, fresh, err);
}

int
vdi_give_back(struct vdi *v, struct vd_err *err)
{
	uint64_t end = vdi_slot(v, v->top);

	if (end < v->keep)
		end = v->keep;
	if (v->eof <= end || vd_file_is_block(v->file))
		return 0;
	v->eof = end;
	if (v->written > end)
		v->written = end;
	return vd_file_truncate(v->file, end, err);
}

int
vdi_allocate(void *img, uint64_t off, struct vd_alloc *a, struct vd_err *err)
{
	struct vdi *v = img;
	uint64_t i = off / v->h.block, entry;
	bool fresh = false;
	uint32_t slot = 0;
	int ret;

	ret = vdi_entry(v, i, &entry, err);
	if (ret < 0)
		return ret;
	if (vdi_present(entry))
		return vd_fail(err, EEXIST, v->h.map_off + 4 * i,
			       "block %" PRIu64 " is there already", i);
	pthread_mutex_lock(&v->lock);
	ret = vdi_take_slot(v, &slot, err);			/* W3 */
	if (!ret) {
		ret = vdi_grow_ahead(v, slot, &fresh, err);
		if (ret < 0)
			vdi_give_slot(v, slot);
	}
	pthread_mutex_unlock(&v->lock);
	if (ret < 0)
		return ret;
	a->unit_off = i * v->h.block;
	a->unit_len = vdi_block_len(v, i);
	a->file = v->file;
	a->host_off = vdi_slot(v, slot) + v->h.extra;
	a->host_len = v->h.block;
	a->flags = fresh ? VD_ALLOC_ZEROED : 0;
	a->was = entry == VDI_ZERO ? VD_EXT_ZERO : VD_EXT_HOLE;
	a->cookie[0] = slot;
	return 0;
}

int
vdi_commit(void *img, const struct vd_alloc *a, struct vd_err *err)
{
	struct vdi *v = img;
	uint32_t slot = (uint32_t)a->cookie[0];

	/* First the count, then the entry: a sync may run in between (W4). */
	pthread_mutex_lock(&v->lock);
	if (slot >= v->top)
		v->top = slot + 1;
	pthread_mutex_unlock(&v->lock);
	return vd_table_set(v->map, a->unit_off / v->h.block, slot, err);
}

void
vdi_abandon(void *img, const struct vd_alloc *a)
{
	struct vdi *v = img;

	pthread_mutex_lock(&v->lock);
	vdi_give_slot(v, (uint32_t)a->cookie[0]);		/* W3 */
	pthread_mutex_unlock(&v->lock);
}

/*
 * A block that is there stays there and gives its bytes back: other programs
 * count on every slot below cBlocksAllocated being some block's.  A fixed
 * image keeps the room it was promised.
 */
static int
vdi_zero_data(struct vdi *v, uint32_t slot, struct vd_err *err)
{
	uint64_t at = vdi_slot(v, slot) + v->h.extra;
	int ret = vd_file_punch(v->file, at, v->h.block, err);

	if (!ret && v->h.type == VDI_FIXED)
		ret = vd_file_reserve(v->file, at, v->h.block, err);
	return ret;
}

int
vdi_zero(void *img, uint64_t off, uint64_t len, struct vd_err *err)
{
	struct vdi *v = img;
	uint64_t i = off / v->h.block;
	uint64_t end = (off + len + v->h.block - 1) / v->h.block;
	uint64_t entry;
	int ret = 0;

	for (; i < end && !ret; i++) {
		ret = vdi_entry(v, i, &entry, err);
		if (ret < 0)
			return ret;
		if (vdi_present(entry))
			ret = vdi_zero_data(v, (uint32_t)entry, err);
		else if (entry != VDI_ZERO)
			ret = vd_table_set(v->map, i, VDI_ZERO, err);
	}
	return ret;
}

/*
 * Give the room of whole blocks back to the file system.  A block's slot stays
 * the block's: to unpublish it would leave a gap that other programs count,
 * and to fill the gap would move another block for each one given up.  A free
 * block of a child has to hide its parent from now on.
 */
int
vdi_discard(void *img, uint64_t off, uint64_t len, struct vd_err *err)
{
	struct vdi *v = img;
	uint64_t i = off / v->h.block;
	uint64_t end = (off + len + v->h.block - 1) / v->h.block;
	uint64_t entry;
	int ret = 0;

	if (v->child)
		return vdi_zero(img, off, len, err);
	for (; i < end && !ret; i++) {
		ret = vdi_entry(v, i, &entry, err);
		if (!ret && vdi_present(entry))
			ret = vdi_zero_data(v, (uint32_t)entry, err);
	}
	return ret;
}

/*
 * What to count where blocks are added while a flush runs: some that the next
 * one will need, too, as far as the file has places for them.  Each flush would
 * else sync the header for a few blocks more; close sets it right, and so does
 * the next writer after a crash.
 */
static uint32_t
vdi_count_ahead(const struct vdi *v)
{
	uint64_t stride = (uint64_t)v->h.extra + v->h.block;
	uint64_t count = (uint64_t)v->top + VDI_COUNT_AHEAD, room = 0;

	if (v->eof > v->h.data_off)
		room = (v->eof - v->h.data_off) / stride;
	if (count > room)
		count = room;
	if (count > v->slots)
		count = v->slots;
	return count > v->top ? (uint32_t)count : v->top;
}

/* Write the count if entries that are about to be written need it (W4). */
static int
vdi_raise_count(struct vdi *v, bool ahead, bool *wrote, struct vd_err *err)
{
	int ret = 0;

	pthread_mutex_lock(&v->lock);
	*wrote = v->top > v->counted;
	if (*wrote)
		ret = vdi_put_count(v, ahead ? vdi_count_ahead(v) : v->top,
				    err);
	pthread_mutex_unlock(&v->lock);
	return ret;
}

/* Blocks committed since vdi_sync() raised the count may be among those now. */
static int
vdi_between(void *ctx, struct vd_err *err)
{
	struct vdi *v = ctx;
	bool wrote;
	int ret;

	ret = vdi_raise_count(v, true, &wrote, err);
	if (!ret && wrote)
		ret = vd_file_sync(v->file, err);		/* W4 */
	return ret;
}

/*
 * The count goes first, so that the sync which makes the data durable takes
 * it along.  An image that was not written and has nothing recovered from a
 * dead process is left alone, however wrong its count is.
 */
int
vdi_sync(void *img, struct vd_err *err)
{
	struct vdi *v = img;
	bool wrote;
	int ret = 0;

	if (!v->map)		/* a resize got that far and no further */
		return 0;
	if (v->began || vd_table_dirty(v->map))
		ret = vdi_raise_count(v, false, &wrote, err);
	if (!ret)
		ret = vd_table_sync(v->map, vdi_between, v, err);	/* W1, W2 */
	return ret;
}
