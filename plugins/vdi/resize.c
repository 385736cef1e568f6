/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * resize.c - a longer or a shorter disk.
 *
 * Size, map and data are all named in the header, and the header is one
 * sector.  So a resize prepares everything where the old header does not
 * look, and then writes the new one: a power cut leaves the old disk (what was
 * to be cut off may be zeros already) or the new one, and whatever was
 * prepared in vain is a leak.
 *
 *   1. Blocks behind the end of a shorter disk are given up; sync.  Blocks in
 *      the way get another slot, by the rules of write.c: data, sync, entries,
 *      sync.  The slots they leave are not used again.
 *   2. The map's new entries - or, if there is no room behind the old ones,
 *      a whole new map in the slots that were vacated - are written; sync.
 *   3. The header; sync.
 *   4. Room that is not needed any more goes back to the file system.
 *
 * In the way are, when the map has to move, as many leading slots as the new
 * map takes; when the disk is to be shorter, those behind as many slots as
 * there are blocks left: other programs count on no gap between them.  The first may need more slots than an image of the
 * old size should have; then cBlocksAllocated exceeds cBlocks between 1 and
 * 3, and VirtualBox refuses the image until the resize is done again.
 *
 * New blocks are free in a base, zero in a child (its parent must not come
 * through, whatever it is), and have their room at once in a fixed image.
 *
 * Nothing else may be under way on the image: blocks move.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include "vdi.h"

#define VDI_MOVES	256u		/* blocks moved between two syncs */
#define VDI_COPY_BYTES	(1u << 20)
#define VDI_CHUNK_ENTRIES 16384u

/* What the image is going to be. */
struct vdi_plan {
	uint64_t	disk;
	uint32_t	blocks;
	uint32_t	kept;		/* blocks of the old disk that remain */
	uint32_t	vacate;		/* leading slots that become map */
	uint32_t	map_off;
	uint32_t	data_off;
	uint32_t	first_new;	/* slot of the first new block, if fixed */
};

/* --------------------------------------------------------- moving blocks */

struct vdi_move {
	uint64_t	block;
	uint32_t	to;
};

static int
vdi_copy_slot(struct vdi *v, uint32_t from, uint32_t to, struct vd_err *err)
{
	uint64_t len = (uint64_t)v->h.extra + v->h.block, at, n;
	size_t room = len < VDI_COPY_BYTES ? (size_t)len : VDI_COPY_BYTES;
	uint8_t *buf = malloc(room);
	int ret = 0;

	if (!buf)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	for (at = 0; at < len && !ret; at += n) {
		n = len - at < room ? len - at : room;
		ret = vd_file_read(v->file, buf, n, vdi_slot(v, from) + at,
				   err);
		if (!ret)
			ret = vd_file_write(v->file, buf, n,
					    vdi_slot(v, to) + at, err);
	}
	free(buf);
	return ret;
}

/* A slot at or above *from and below end that is nobody's; it is taken. */
static int
vdi_find_slot(struct vdi *v, uint32_t *from, uint32_t end, uint32_t *slot,
	      struct vd_err *err)
{
	uint32_t n = *from;
	bool fresh;
	int ret;

	while (n < end && v->used[n / 64] >> n % 64 & 1)
		n++;
	*from = n;
	if (n >= end)
		return vd_fail(err, ENOSPC, VDI_OFF_BLOCKS,
			       "no place to move a block to");
	pthread_mutex_lock(&v->lock);
	ret = vdi_grow(v, n, &fresh, err);
	if (!ret)
		v->used[n / 64] |= 1ull << n % 64;		/* W3 */
	pthread_mutex_unlock(&v->lock);
	*slot = n;
	return ret;
}

/* The blocks were copied; have the map say so. */
static int
vdi_publish(struct vdi *v, const struct vdi_move *m, unsigned n,
	    struct vd_err *err)
{
	unsigned i;
	int ret = 0;

	for (i = 0; i < n; i++)
		if (m[i].to >= v->top)
			v->top = m[i].to + 1;			/* W4 */
	for (i = 0; i < n && !ret; i++)
		ret = vd_table_set(v->map, m[i].block, m[i].to, err);
	return ret ? ret : vdi_sync(v, err);			/* W1 */
}

/* Move every block that is in slots [lo, hi) to slots [from, end). */
static int
vdi_vacate(struct vdi *v, uint32_t lo, uint32_t hi, uint32_t from,
	   uint32_t end, struct vd_err *err)
{
	struct vdi_move *moves = calloc(VDI_MOVES, sizeof(*moves));
	uint64_t i, entry;
	unsigned n = 0;
	int ret = 0;

	if (!moves)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	for (i = 0; i < v->h.blocks && !ret; i++) {
		ret = vd_table_get(v->map, i, &entry, err);
		if (ret < 0 || !vdi_present(entry) || entry < lo ||
		    entry >= hi)
			continue;
		moves[n].block = i;
		ret = vdi_find_slot(v, &from, end, &moves[n].to, err);
		if (!ret)
			ret = vdi_copy_slot(v, (uint32_t)entry, moves[n].to,
					    err);
		if (!ret && ++n == VDI_MOVES) {
			ret = vdi_publish(v, moves, n, err);
			n = 0;
		}
	}
	if (!ret && n)
		ret = vdi_publish(v, moves, n, err);
	free(moves);
	return ret;
}

static int
vdi_more_slots(struct vdi *v, uint32_t slots, struct vd_err *err)
{
	size_t had = v->slots / 64 + 1, need = slots / 64 + 1;
	uint64_t *more;

	if (slots <= v->slots)
		return 0;
	more = realloc(v->used, need * sizeof(*more));
	if (!more)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for %u blocks",
			       slots);
	memset(more + had, 0, (need - had) * sizeof(*more));
	v->used = more;
	v->slots = slots;
	return 0;
}

/* -------------------------------------------------------------- the plan */

/* Where the map goes when its old place is too small. */
static int
vdi_plan_map(struct vdi *v, struct vdi_plan *p, struct vd_err *err)
{
	uint64_t stride = (uint64_t)v->h.extra + v->h.block;
	uint64_t map_off = v->h.map_off, map_end, vacate, data_off;
	int ret;

	p->map_off = v->h.map_off;
	p->data_off = v->h.data_off;
	if (map_off + 4ull * p->blocks <= v->h.data_off)
		return 0;
	map_off = (v->h.data_off + 511ull) & ~511ull;	/* QEMU wants sectors */
	map_end = map_off + 4ull * p->blocks;
	vacate = (map_end - v->h.data_off + stride - 1) / stride;
	data_off = v->h.data_off + vacate * stride;
	if (data_off > UINT32_MAX || vacate > VDI_SPARE_MAX) {
		ret = vd_fail(err, EFBIG, VDI_OFF_DATA,
			      "a map of %u blocks does not fit in front of the data",
			      p->blocks);
		vd_err_help(err, "translate the disk into a larger image");
		return ret;
	}
	p->vacate = (uint32_t)vacate;
	p->map_off = (uint32_t)map_off;
	p->data_off = (uint32_t)data_off;
	return 0;
}

static int
vdi_plan(struct vdi *v, uint64_t disk, struct vdi_plan *p, struct vd_err *err)
{
	uint64_t blocks;

	memset(p, 0, sizeof(*p));
	if (!disk || disk % 512 || disk > INT64_MAX)
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "vdi: disk size %" PRIu64
			       " is not a multiple of 512", disk);
	blocks = (disk - 1) / v->h.block + 1;
	if (4 * blocks > VDI_MAP_MAX)
		return vd_fail(err, EFBIG, VD_NOWHERE,
			       "vdi: %" PRIu64 " blocks are more than the %"
			       PRIu64 " we serve", blocks, VDI_MAP_MAX / 4);
	p->disk = disk;
	p->blocks = (uint32_t)blocks;
	p->kept = (uint32_t)vdi_reach(v);
	if (p->kept > p->blocks)
		p->kept = p->blocks;
	return vdi_plan_map(v, p, err);
}

/* ------------------------------------------------------------- preparing */

/*
 * Blocks behind the end of a shorter disk: the caller has seen to it that they
 * may go.  Their entries go first, and durably, for their slots may be wanted
 * for others (W3).
 */
static int
vdi_give_up(struct vdi *v, const struct vdi_plan *p, struct vd_err *err)
{
	uint64_t i, entry;
	int ret = 0;

	for (i = p->kept; i < v->h.blocks && !ret; i++) {
		ret = vd_table_get(v->map, i, &entry, err);
		if (ret < 0 || !vdi_present(entry))
			continue;
		ret = vd_table_set(v->map, i, v->child ? VDI_ZERO : VDI_FREE,
				   err);
		if (!ret && vd_table_dirty(v->map) >= VDI_MOVES)
			ret = vdi_sync(v, err);
	}
	return ret ? ret : vdi_sync(v, err);
}

/* Which slots are in use, once more from the map. */
static int
vdi_count_again(struct vdi *v, struct vd_err *err)
{
	free(v->used);
	v->used = NULL;
	return vdi_scan(v, err);
}

/*
 * What the guest could not see of the last block becomes visible: it must be
 * zeros, whatever the writer of the image left there, and in the file.
 */
static int
vdi_clear_tail(struct vdi *v, struct vd_err *err)
{
	uint64_t i = vdi_reach(v) - 1, used = vdi_block_len(v, i), entry, at;
	bool fresh;
	int ret;

	ret = vd_table_get(v->map, i, &entry, err);
	if (ret < 0 || used == v->h.block || !vdi_present(entry))
		return ret;
	at = vdi_slot(v, (uint32_t)entry) + v->h.extra + used;
	ret = vdi_grow(v, (uint32_t)entry, &fresh, err);
	if (!ret)
		ret = vd_file_punch(v->file, at, v->h.block - used, err);
	if (!ret && v->h.type == VDI_FIXED)
		ret = vd_file_reserve(v->file, at, v->h.block - used, err);
	return ret;
}

/*
 * A fixed image takes the room of its new blocks now.  Their slots follow the
 * highest one in use; what an earlier writer left behind it is cleared.
 */
static int
vdi_take_room(struct vdi *v, struct vdi_plan *p, struct vd_err *err)
{
	uint64_t stride = (uint64_t)v->h.extra + v->h.block;
	uint32_t first = v->top > p->vacate ? v->top : p->vacate;
	uint64_t from = vdi_slot(v, first);
	uint64_t len = (uint64_t)(p->blocks - p->kept) * stride;
	int ret;

	if (first - p->vacate > p->kept) {
		ret = vd_fail(err, EUCLEAN, VDI_OFF_BLOCKS,
			      "a fixed image with unused places between its blocks");
		vd_err_help(err, "`vdiskadm repair %s` closes them",
			    vd_file_name(v->file));
		return ret;
	}
	if (from > INT64_MAX - len)
		return vd_fail(err, EFBIG, VD_NOWHERE,
			       "vdi: too large for a file");
	p->first_new = first - p->vacate;
	ret = vd_file_punch(v->file, from, len, err);
	if (!ret && !vd_file_is_block(v->file) && from + len > v->eof)
		ret = vd_file_truncate(v->file, from + len, err);
	return ret ? ret : vd_file_reserve(v->file, from, len, err);
}

static int
vdi_new_entry(struct vdi *v, const struct vdi_plan *p, uint32_t i,
	      uint32_t *out, struct vd_err *err)
{
	uint64_t entry;
	int ret;

	*out = VDI_FREE;
	if (i >= p->kept) {
		*out = v->h.type == VDI_FIXED ? p->first_new + (i - p->kept)
			: v->child ? VDI_ZERO : VDI_FREE;
		return 0;
	}
	ret = vd_table_get(v->map, i, &entry, err);
	if (!ret)
		*out = (uint32_t)entry;
	if (!ret && vdi_present(entry))
		*out -= p->vacate;
	return ret;
}

/* The new map, or what is new of it; the old header sees nothing of either. */
static int
vdi_write_map(struct vdi *v, const struct vdi_plan *p, struct vd_err *err)
{
	uint32_t i = p->vacate ? 0 : p->kept, n, k, entry;
	uint8_t *chunk = malloc(4 * VDI_CHUNK_ENTRIES);
	int ret = 0;

	if (!chunk)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	for (; i < p->blocks && !ret; i += n) {
		n = p->blocks - i;
		if (n > VDI_CHUNK_ENTRIES)
			n = VDI_CHUNK_ENTRIES;
		for (k = 0; k < n && !ret; k++) {
			ret = vdi_new_entry(v, p, i + k, &entry, err);
			vdi_put32(chunk + 4 * k, entry);
		}
		if (!ret)
			ret = vd_file_write(v->file, chunk, 4 * n,
					    p->map_off + 4ull * i, err);
	}
	free(chunk);
	return ret;
}

/* Blocks behind the end of the disk, in a map that is longer than it. */
static int
vdi_check_surplus(struct vdi *v, struct vd_err *err)
{
	uint64_t i, entry;
	int ret;

	for (i = vdi_reach(v); i < v->h.blocks; i++) {
		ret = vd_table_get(v->map, i, &entry, err);
		if (ret < 0)
			return ret;
		if (!vdi_present(entry))
			continue;
		ret = vd_fail(err, EUCLEAN, v->h.map_off + 4 * i,
			      "block %" PRIu64 " lies behind the end of the disk",
			      i);
		vd_err_help(err, "`vdiskadm repair %s` removes it",
			    vd_file_name(v->file));
		return ret;
	}
	return 0;
}

/* How many slots are in use, wherever they are. */
static uint32_t
vdi_slots_used(const struct vdi *v)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i <= v->slots / 64; i++)
		n += (uint32_t)__builtin_popcountll(v->used[i]);
	return n;
}

static int
vdi_prepare(struct vdi *v, struct vdi_plan *p, struct vd_err *err)
{
	uint32_t spare, used;
	int ret;

	if (p->disk < v->disk) {
		ret = vdi_give_up(v, p, err);
		if (!ret)
			ret = vdi_count_again(v, err);
		if (ret)
			return ret;
		used = vdi_slots_used(v);
		return vdi_vacate(v, used, v->slots, 0, used, err);
	}
	ret = vdi_check_surplus(v, err);
	if (!ret)
		ret = vdi_clear_tail(v, err);
	if (!ret && p->vacate) {
		spare = v->slots > p->vacate ? v->slots : p->vacate;
		spare += p->vacate;
		ret = vdi_more_slots(v, spare, err);
		if (!ret)
			ret = vdi_vacate(v, 0, p->vacate, p->vacate, spare,
					 err);
	}
	if (!ret && v->h.type == VDI_FIXED)
		ret = vdi_take_room(v, p, err);
	if (!ret)
		ret = vdi_write_map(v, p, err);
	return ret ? ret : vd_file_sync(v->file, err);
}

/* --------------------------------------------------------- the one write */

/* 1 + the highest slot that the new map names. */
static int
vdi_new_count(struct vdi *v, const struct vdi_plan *p, uint32_t *count,
	      struct vd_err *err)
{
	uint32_t i, entry;
	int ret;

	*count = 0;
	for (i = 0; i < p->blocks; i++) {
		ret = vdi_new_entry(v, p, i, &entry, err);
		if (ret < 0)
			return ret;
		if (vdi_present(entry) && entry >= *count)
			*count = entry + 1;
	}
	return 0;
}

/*
 * When the map leaves a place close behind the header, bytes that were map
 * become header: a long header's second geometry must make sense then.
 */
static void
vdi_encode_plan(struct vdi *v, const struct vdi_plan *p, uint32_t count,
		uint8_t *head, uint32_t *len)
{
	memcpy(head, v->head, VDI_HEAD_MAX);
	*len = v->head_len;
	vdi_put64(head + VDI_OFF_DISK, p->disk);
	vdi_put32(head + VDI_OFF_BLOCKS, p->blocks);
	vdi_put32(head + VDI_OFF_ALLOCATED, count);
	vdi_put32(head + VDI_OFF_MAP, p->map_off);
	vdi_put32(head + VDI_OFF_DATA, p->data_off);
	if (p->map_off == v->h.map_off || v->h.map_off >= VDI_HEAD_MAX)
		return;
	*len = VDI_HEAD_MAX;
	if (v->h.map_off < VDI_END_LONG) {
		memset(head + VDI_END_SHORT, 0, VDI_HEAD_MAX - VDI_END_SHORT);
		vdi_put32(head + VDI_OFF_LCHS_SECTOR, 512);
	}
}

static int
vdi_switch(struct vdi *v, const struct vdi_plan *p, struct vd_err *err)
{
	uint8_t head[VDI_HEAD_MAX];
	uint32_t count, len;
	uint64_t end;
	int ret;

	ret = vdi_new_count(v, p, &count, err);
	if (ret < 0)
		return ret;
	vdi_encode_plan(v, p, count, head, &len);
	end = p->data_off + (uint64_t)count *
		((uint64_t)v->h.extra + v->h.block);
	if (!vd_file_is_block(v->file) && vd_file_size(v->file) < p->data_off)
		ret = vd_file_truncate(v->file, p->data_off, err);
	if (!ret)
		ret = vd_file_write(v->file, head, len, 0, err);
	if (!ret)
		ret = vd_file_sync(v->file, err);
	if (!ret && !vd_file_is_block(v->file) && vd_file_size(v->file) > end)
		ret = vd_file_truncate(v->file, end, err);
	return ret;
}

int
vdi_resize(void *img, uint64_t virtual_size, struct vd_err *err)
{
	struct vdi *v = img;
	struct vdi_plan p;
	int ret;

	if (v->rdonly)
		return vd_fail(err, EROFS, VD_NOWHERE,
			       "the image was opened read-only");
	ret = vdi_plan(v, virtual_size, &p, err);
	if (ret < 0 || virtual_size == v->disk)
		return ret;
	if (!v->began)
		ret = vdi_begin_write(v, err);
	if (!ret)
		ret = vdi_sync(v, err);
	if (!ret)
		ret = vdi_give_back(v, err);
	if (!ret)
		ret = vdi_prepare(v, &p, err);
	if (!ret)
		ret = vdi_switch(v, &p, err);
	if (ret < 0)
		return ret;
	vdi_unload(v);
	return vdi_load(v, err);
}
