/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * repair.c - mend what can be mended without guessing, one question at a time.
 *
 * Nothing that can be read today is lost: a block that shares its place gets
 * a copy, a block that is nowhere reads as the zeros it reads as now (and says
 * so; in a child it does not become the parent's), the head is set right from
 * what else the file tells.
 *
 * A repair that is cut short leaves a file that is no worse and can be repaired
 * again.  The order, with a sync after each:
 *
 *   1. the head, as far as it says where things are
 *   2. entries that point to nothing, or that nobody can see
 *   3. copies of shared blocks, into places that no entry names; the count,
 *      when it is too low for them; the entries
 *   4. copies of the last blocks into places that are unused, the entries
 *   5. the count, the rest of the head, and last the file's length
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include "audit.h"

#define VDI_NOBODY	UINT32_MAX
#define VDI_COPY_MAX	(1u << 20)
#define VDI_PAGE	1024u		/* entries that are written at once */

struct vdi_job {
	struct vdi_audit a;
	uint8_t	       *map;		/* as it will be in the file */
	uint8_t	       *dirty;		/* one a page of the map */
	uint32_t       *owner;		/* of each place; VDI_NOBODY */
	uint64_t	next;		/* no free place below */
	uint64_t	top;
};

static uint32_t
vdi_entry_get(const struct vdi_job *j, uint64_t i)
{
	return vdi_get32(j->map + 4 * i);
}

static void
vdi_entry_put(struct vdi_job *j, uint64_t i, uint32_t slot)
{
	vdi_put32(j->map + 4 * i, slot);
	j->dirty[i / VDI_PAGE] = 1;
}

/* ------------------------------------------------------------ writing it */

static int
vdi_put_head(struct vdi_job *j, struct vd_err *err)
{
	uint64_t len = j->a.map_off < VDI_HEAD_MAX ? j->a.map_off : VDI_HEAD_MAX;
	int ret;

	if (!j->a.changed)
		return 0;
	if (len < VDI_END_SHORT)	/* the map is not known; the fields are */
		len = VDI_END_SHORT;
	ret = vd_file_write(j->a.file, j->a.head, len, 0, err);
	if (!ret)
		ret = vd_file_sync(j->a.file, err);
	j->a.changed = ret != 0;
	return ret;
}

static int
vdi_put_count(struct vdi_job *j, uint64_t count, struct vd_err *err)
{
	vdi_put32(j->a.head + 388, (uint32_t)count);
	j->a.counted = count;
	j->a.changed = true;
	return vdi_put_head(j, err);
}

/* The blocks first, then a count that covers them, then their entries. */
static int
vdi_put_map(struct vdi_job *j, struct vd_err *err)
{
	uint64_t pages = (j->a.blocks + VDI_PAGE - 1) / VDI_PAGE, p, n;
	bool any = memchr(j->dirty, 1, pages) != NULL;
	int ret = vd_file_sync(j->a.file, err);

	if (!ret && any && j->top > j->a.counted)
		ret = vdi_put_count(j, j->top, err);
	for (p = 0; p < pages && !ret; p++) {
		if (!j->dirty[p])
			continue;
		n = j->a.blocks - p * VDI_PAGE;
		if (n > VDI_PAGE)
			n = VDI_PAGE;
		ret = vd_file_write(j->a.file, j->map + 4 * p * VDI_PAGE,
				    4 * n, j->a.map_off + 4 * p * VDI_PAGE,
				    err);
		j->dirty[p] = 0;
	}
	return ret ? ret : vd_file_sync(j->a.file, err);
}

static int
vdi_copy_place(struct vdi_job *j, uint64_t from, uint64_t to,
	       struct vd_err *err)
{
	uint64_t len = j->a.extra + j->a.block, at, n;
	size_t room = len < VDI_COPY_MAX ? (size_t)len : VDI_COPY_MAX;
	uint8_t *buf = malloc(room);
	int ret = 0;

	if (!buf)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	for (at = 0; at < len && !ret; at += n) {
		n = len - at < room ? len - at : room;
		ret = vd_file_read(j->a.file, buf, n,
				   vdi_audit_slot(&j->a, from) + at, err);
		if (!ret)
			ret = vd_file_write(j->a.file, buf, n,
					    vdi_audit_slot(&j->a, to) + at,
					    err);
	}
	free(buf);
	if (!ret && vdi_audit_slot(&j->a, to) + len > j->a.size)
		j->a.size = vdi_audit_slot(&j->a, to) + len;
	return ret;
}

/* --------------------------------------------------------- single entries */

/* Give block i, which can be read at `from`, a place of its own. */
static int
vdi_move_out(struct vdi_job *j, uint64_t i, uint32_t from, struct vd_err *err)
{
	int ret;

	while (j->next < j->a.blocks && j->owner[j->next] != VDI_NOBODY)
		j->next++;
	if (j->next == j->a.blocks)
		return vd_fail(err, ENOSPC, j->a.map_off + 4 * i,
			       "no place is free for a copy of block %" PRIu64,
			       i);
	ret = vdi_copy_place(j, from, j->next, err);
	if (ret)
		return ret;
	j->owner[j->next] = (uint32_t)i;
	vdi_entry_put(j, i, (uint32_t)j->next);
	if (j->next >= j->top)
		j->top = j->next + 1;
	return 0;
}

static int
vdi_mend_twice(struct vdi_job *j, uint64_t i, uint32_t slot,
	       struct vd_err *err)
{
	struct vdi_flaw f = { VD_DAMAGE, "vdi-duplicate-block",
		j->a.map_off + 4 * i,
		"would give it a copy: both read as they do now, but one of them was overwritten by the other" };

	if (!vdi_flaw(&j->a, &f, "block %" PRIu64
		      " shares place %u with block %u", i, slot,
		      j->owner[slot]))
		return 0;
	return vdi_move_out(j, i, slot, err);
}

static int
vdi_mend_range(struct vdi_job *j, uint64_t i, uint32_t slot, bool there,
	       struct vd_err *err)
{
	struct vdi_flaw f = { VD_DAMAGE, "vdi-slot-range",
		j->a.map_off + 4 * i, there
		? "would move what is read there to a place of its own"
		: "would make it zeros, as it reads now: the file has no bytes for it" };

	if (!vdi_flaw(&j->a, &f, "block %" PRIu64
		      " is at place %u of an image of %" PRIu64 " blocks", i,
		      slot, j->a.blocks))
		return 0;
	if (there)
		return vdi_move_out(j, i, slot, err);
	vdi_entry_put(j, i, 0xfffffffe);
	return 0;
}

static void
vdi_mend_surplus(struct vdi_job *j, uint64_t i, uint32_t slot)
{
	struct vdi_flaw f = { VD_LEAK, "vdi-surplus-block",
		j->a.map_off + 4 * i, "would give it up: no guest can read it" };

	if (vdi_audit_slot(&j->a, slot) > j->a.size)
		f.severity = VD_DAMAGE;
	if (!vdi_flaw(&j->a, &f, "block %" PRIu64
		      " lies behind the end of the disk", i))
		return;
	vdi_entry_put(j, i, 0xffffffff);
}

static int
vdi_mend_cut(struct vdi_job *j, uint64_t i, uint32_t slot, uint64_t missing,
	     struct vd_err *err)
{
	struct vdi_flaw f = { VD_DAMAGE, "vdi-block-cut",
		j->a.map_off + 4 * i,
		"would fill it up with zeros, as it reads now: what was there is lost" };
	uint64_t end = vdi_audit_slot(&j->a, slot) + j->a.extra + j->a.block;
	int ret;

	if (j->a.block_device)
		f.cure = NULL;
	if (!vdi_flaw(&j->a, &f, "the file ends %" PRIu64
		      " bytes before the end of block %" PRIu64, missing, i))
		return 0;
	ret = vd_file_truncate(j->a.file, end, err);
	if (!ret)
		j->a.size = end;
	return ret;
}

static void
vdi_mend_lost(struct vdi_job *j, uint64_t i)
{
	struct vdi_flaw f = { VD_DAMAGE, "vdi-block-lost",
		j->a.map_off + 4 * i,
		"would make it zeros, as it reads now: what was there is lost" };

	if (!vdi_flaw(&j->a, &f, "block %" PRIu64
		      " lies past the end of the file", i))
		return;
	vdi_entry_put(j, i, 0xfffffffe);
}

/* First what only changes an entry. */
static int
vdi_mend_entry(struct vdi_job *j, uint64_t i, uint32_t slot,
	       struct vd_err *err)
{
	uint64_t want = vdi_audit_visible(&j->a, i);
	uint64_t have = vdi_audit_there(&j->a, i, slot);

	if (!want)
		vdi_mend_surplus(j, i, slot);
	else if (!have && slot >= j->a.blocks)
		return vdi_mend_range(j, i, slot, false, err);
	else if (!have)
		vdi_mend_lost(j, i);
	else if (have < want && slot < j->a.blocks)
		return vdi_mend_cut(j, i, slot, want - have, err);
	return 0;
}

/* Then what takes places that no entry names, those just freed included. */
static int
vdi_mend_place(struct vdi_job *j, uint64_t i, uint32_t slot,
	       struct vd_err *err)
{
	if (!vdi_audit_there(&j->a, i, slot))
		return 0;	/* told already, and left */
	if (slot >= j->a.blocks)
		return vdi_mend_range(j, i, slot, true, err);
	return j->owner[slot] == i ? 0 : vdi_mend_twice(j, i, slot, err);
}

/* Of two blocks in one place the first is its owner. */
static void
vdi_find_owners(struct vdi_job *j)
{
	uint64_t i;

	memset(j->owner, 0xff, 4 * j->a.blocks);
	j->top = 0;
	for (i = 0; i < j->a.blocks; i++) {
		uint32_t slot = vdi_entry_get(j, i);

		if (slot >= j->a.blocks)
			continue;
		if (j->owner[slot] == VDI_NOBODY)
			j->owner[slot] = (uint32_t)i;
		if (slot >= j->top)
			j->top = slot + 1ull;
	}
}

static int
vdi_mend_each(struct vdi_job *j,
	      int (*mend)(struct vdi_job *j, uint64_t i, uint32_t slot,
			  struct vd_err *err), struct vd_err *err)
{
	uint64_t i;
	uint32_t slot;
	int ret = 0;

	vdi_find_owners(j);
	j->next = 0;
	for (i = 0; i < j->a.blocks && !ret; i++) {
		slot = vdi_entry_get(j, i);
		if (slot < 0xfffffffe)
			ret = mend(j, i, slot, err);
	}
	return ret ? ret : vdi_put_map(j, err);
}

/* --------------------------------------------------------------- the gaps */

/* Is any place named twice, or one that cannot be?  Then nothing moves. */
static bool
vdi_map_sound(struct vdi_job *j)
{
	uint64_t i;

	for (i = 0; i < j->a.blocks; i++) {
		uint32_t slot = vdi_entry_get(j, i);

		if (slot < 0xfffffffe &&
		    (slot >= j->a.blocks || j->owner[slot] != i))
			return false;
	}
	return true;
}

/*
 * Programs that count expect the blocks without gaps.  The last block moves
 * into the first gap, and so on; the places they leave are behind the end.
 */
static int
vdi_mend_gaps(struct vdi_job *j, struct vd_err *err)
{
	struct vdi_flaw f = { VD_LEAK, "vdi-unused-place", 0,
		"would move the last block there" };
	uint64_t gap, last = j->top;
	int ret = 0;

	for (gap = 0; gap < last && !ret; gap++) {
		if (j->owner[gap] != VDI_NOBODY)
			continue;
		while (last > gap && j->owner[last - 1] == VDI_NOBODY)
			last--;
		if (last <= gap)
			break;
		f.off = vdi_audit_slot(&j->a, gap);
		if (!vdi_flaw(&j->a, &f, "place %" PRIu64
			      " belongs to no block", gap))
			continue;
		ret = vdi_copy_place(j, last - 1, gap, err);
		if (ret)
			break;
		vdi_entry_put(j, j->owner[last - 1], (uint32_t)gap);
		last--;
	}
	if (!ret)
		ret = vdi_put_map(j, err);
	vdi_find_owners(j);
	return ret;
}

/* --------------------------------------------------- the count, the length */

static void
vdi_mend_count(struct vdi_job *j)
{
	bool low = j->a.counted < j->top;
	struct vdi_flaw f = { low || j->a.counted > j->a.blocks
			? VD_DAMAGE : VD_LEAK,
		low ? "vdi-count-low" : j->a.counted > j->a.blocks
			? "vdi-count-range" : "vdi-count-high", 388,
		"would set it right" };

	if (j->a.counted == j->top ||
	    !vdi_flaw(&j->a, &f, "%" PRIu64 " blocks are counted, and %" PRIu64
		      " are there", j->a.counted, j->top))
		return;
	vdi_put32(j->a.head + 388, (uint32_t)j->top);
	j->a.counted = j->top;
	j->a.changed = true;
}

static int
vdi_mend_tail(struct vdi_job *j, struct vd_err *err)
{
	uint64_t slots = j->a.counted > j->top && j->a.counted <= j->a.blocks
		? j->a.counted : j->top;
	uint64_t end = vdi_audit_slot(&j->a, slots);
	struct vdi_flaw f = { VD_LEAK, "vdi-tail", end, "would cut them off" };
	int ret;

	if (j->a.block_device || end >= j->a.size ||
	    !vdi_flaw(&j->a, &f, "%" PRIu64
		      " bytes at the end of the file belong to no block",
		      j->a.size - end))
		return 0;
	ret = vd_file_truncate(j->a.file, end, err);
	return ret ? ret : vd_file_sync(j->a.file, err);
}

static int
vdi_mend_map(struct vdi_job *j, struct vd_err *err)
{
	int ret = vd_file_read(j->a.file, j->map, 4 * j->a.blocks, j->a.map_off,
			       err);

	if (!ret)
		ret = vdi_mend_each(j, vdi_mend_entry, err);
	if (!ret)
		ret = vdi_mend_each(j, vdi_mend_place, err);
	vdi_find_owners(j);
	if (ret || !vdi_map_sound(j))	/* leave was not given for all of it */
		return ret;
	ret = vdi_mend_gaps(j, err);
	if (ret)
		return ret;
	vdi_mend_count(j);
	ret = vdi_put_head(j, err);
	return ret ? ret : vdi_mend_tail(j, err);
}

/* Thousands of copies of one block are no repair: is there a map at all? */
static int
vdi_no_map(struct vdi_job *j, bool *garbage, struct vd_err *err)
{
	struct vd_report quiet = { .size = sizeof(quiet) };
	struct vdi_audit look = j->a;
	struct vdi_flaw bad = { VD_DAMAGE, "vdi-map-garbage", j->a.map_off,
		NULL };
	int ret;

	look.report = &quiet;
	look.mend = false;
	ret = vdi_audit_map(&look, garbage, err);
	if (!ret && *garbage)
		vdi_flaw(&j->a, &bad, "%u entries and more make no sense: this is no map",
			 VDI_BAD_MAX);
	return ret;
}

int
vdi_repair(void *img, struct vd_report *r, struct vd_err *err)
{
	struct vdi *v = img;
	struct vdi_job j = {
		.a = { .file = v->file, .report = r, .mend = true },
	};
	bool garbage = false;
	int ret;

	if (v->looking)
		return vd_fail(err, EROFS, VD_NOWHERE,
			       "the image was opened read-only");
	ret = vdi_audit_head(&j.a, err);
	if (!ret && !j.a.usable && j.a.changed)
		ret = vdi_put_head(&j, err);
	if (!ret && !(j.a.version >> 16))
		ret = vd_fail(err, EROFS, VDI_OFF_VERSION,
			      "images of version 0 can only be read");
	if (!ret && j.a.usable)
		ret = vdi_no_map(&j, &garbage, err);
	if (!ret && garbage)	/* what was agreed to is done */
		ret = vdi_put_head(&j, err);
	if (ret || !j.a.usable || garbage)
		return ret;
	if (4 * j.a.blocks > VDI_MAP_MAX)
		return vd_fail(err, EFBIG, 384, "block map of %" PRIu64
			       " bytes: more than %" PRIu64 " are not repaired",
			       4 * j.a.blocks, VDI_MAP_MAX);
	j.map = malloc(4 * j.a.blocks);
	j.dirty = calloc(1, j.a.blocks / VDI_PAGE + 1);
	j.owner = malloc(4 * j.a.blocks);
	if (!j.map || !j.dirty || !j.owner) {
		ret = vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	} else {
		ret = vdi_put_head(&j, err);
		if (!ret)
			ret = vdi_mend_map(&j, err);
		vdi_flaw_end(&j.a);
	}
	free(j.map);
	free(j.dirty);
	free(j.owner);
	return ret;
}
