/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * check.c - look at every entry of the map, from the file itself.
 *
 * Reads only, and believes nothing of what the open image has in memory.
 * What QEMU or VirtualBox write is never a flaw; what a crash may leave
 * behind is a leak; what costs data, or makes another program refuse the image
 * or destroy it, is damage.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include "audit.h"

#define VDI_CHECK_ENTRIES 16384u

struct vdi_walk {
	struct vdi_audit *a;
	uint8_t	       *used;		/* one bit a slot */
	unsigned	bad;		/* entries that cannot be */
	uint64_t	top;		/* 1 + highest slot */
	uint64_t	unset;		/* entries without a slot */
};

/* Is what the entry points to in the file? */
static void
vdi_check_bytes(struct vdi_walk *w, uint64_t i, uint32_t slot, uint64_t place)
{
	struct vdi_audit *a = w->a;
	struct vdi_flaw cut = { VD_DAMAGE, "vdi-block-cut", place, NULL };
	struct vdi_flaw lost = { VD_DAMAGE, "vdi-block-lost", place, NULL };
	uint64_t want = vdi_audit_visible(a, i);
	uint64_t have = vdi_audit_there(a, i, slot);

	if (have == want)
		return;
	if (have)
		vdi_flaw(a, &cut, "the file ends %" PRIu64
			 " bytes before the end of block %" PRIu64,
			 want - have, i);
	else
		vdi_flaw(a, &lost, "block %" PRIu64
			 " lies past the end of the file", i);
}

static void
vdi_check_entry(struct vdi_walk *w, uint64_t i, uint32_t slot)
{
	struct vdi_audit *a = w->a;
	uint64_t place = a->map_off + 4 * i;
	struct vdi_flaw range = { VD_DAMAGE, "vdi-slot-range", place, NULL };
	struct vdi_flaw twice = { VD_DAMAGE, "vdi-duplicate-block", place, NULL };
	struct vdi_flaw surplus = { VD_LEAK, "vdi-surplus-block", place, NULL };

	if (slot >= a->blocks) {
		w->bad++;
		vdi_flaw(a, &range, "block %" PRIu64
			 " is at place %u of an image of %" PRIu64 " blocks",
			 i, slot, a->blocks);
		return;
	}
	if (w->used[slot / 8] >> slot % 8 & 1) {
		w->bad++;
		vdi_flaw(a, &twice, "block %" PRIu64
			 " shares place %u with a block before it", i, slot);
		return;
	}
	w->used[slot / 8] |= (uint8_t)(1 << slot % 8);
	if (slot >= w->top)
		w->top = slot + 1ull;
	/* For a writer it is in the file, or the image is damaged. */
	if (vdi_audit_slot(a, slot) > a->size)
		surplus.severity = VD_DAMAGE;
	if (!vdi_audit_visible(a, i))
		vdi_flaw(a, &surplus, "block %" PRIu64
			 " lies behind the end of the disk", i);
	else
		vdi_check_bytes(w, i, slot, place);
}

static int
vdi_check_map(struct vdi_walk *w, struct vd_err *err)
{
	struct vdi_audit *a = w->a;
	uint8_t *chunk = malloc(4 * VDI_CHECK_ENTRIES);
	uint64_t i, k, n;
	uint32_t entry;
	int ret = 0;

	if (!chunk)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	for (i = 0; i < a->blocks && !ret && w->bad < VDI_BAD_MAX; i += n) {
		n = a->blocks - i;
		if (n > VDI_CHECK_ENTRIES)
			n = VDI_CHECK_ENTRIES;
		ret = vd_file_read(a->file, chunk, 4 * n, a->map_off + 4 * i,
				   err);
		for (k = 0; k < n && !ret; k++) {
			entry = vdi_get32(chunk + 4 * k);
			if (entry < 0xfffffffe)
				vdi_check_entry(w, i + k, entry);
			else
				w->unset++;
		}
	}
	free(chunk);
	return ret;
}

static void
vdi_check_count(struct vdi_walk *w)
{
	struct vdi_audit *a = w->a;
	struct vdi_flaw range = { VD_DAMAGE, "vdi-count-range", 388, NULL };
	struct vdi_flaw low = { VD_DAMAGE, "vdi-count-low", 388, NULL };
	struct vdi_flaw high = { VD_LEAK, "vdi-count-high", 388, NULL };
	struct vdi_flaw fixed = { VD_NOTE, "vdi-fixed-free", 76, NULL };

	if (a->counted > a->blocks)
		vdi_flaw(a, &range, "%" PRIu64 " of %" PRIu64
			 " blocks are counted as allocated; VirtualBox refuses the image",
			 a->counted, a->blocks);
	else if (a->counted < w->top)
		vdi_flaw(a, &low, "%" PRIu64 " blocks are counted, but place %"
			 PRIu64 " is in use: VirtualBox would write over it",
			 a->counted, w->top - 1);
	else if (a->counted > w->top)
		vdi_flaw(a, &high, "%" PRIu64 " blocks are counted, %" PRIu64
			 " places are in use", a->counted, w->top);
	if (a->type == 2 && w->unset)
		vdi_flaw(a, &fixed, "a fixed image in which %" PRIu64
			 " blocks have no place", w->unset);
}

/* Places between the blocks that no entry names: a crash, or a lost map. */
static void
vdi_check_gaps(struct vdi_walk *w)
{
	struct vdi_audit *a = w->a;
	struct vdi_flaw gap = { VD_LEAK, "vdi-unused-place", 0, NULL };
	uint64_t i, from;

	for (i = 0; i < w->top; i++) {
		if (i % 8 == 0 && w->used[i / 8] == 0xff) {
			i += 7;
			continue;
		}
		if (w->used[i / 8] >> i % 8 & 1)
			continue;
		for (from = i; i < w->top && !(w->used[i / 8] >> i % 8 & 1); )
			i++;
		gap.off = vdi_audit_slot(a, from);
		vdi_flaw(a, &gap, "%" PRIu64
			 " places from place %" PRIu64 " on belong to no block",
			 i - from, from);
	}
}

static void
vdi_check_tail(struct vdi_walk *w)
{
	struct vdi_audit *a = w->a;
	uint64_t slots = a->counted > w->top && a->counted <= a->blocks
		? a->counted : w->top;
	uint64_t end = vdi_audit_slot(a, slots);
	struct vdi_flaw tail = { VD_LEAK, "vdi-tail", end, NULL };

	if (!a->block_device && end < a->size)
		vdi_flaw(a, &tail, "%" PRIu64
			 " bytes at the end of the file belong to no block",
			 a->size - end);
}

/* A hostile file may be all map, and the map all zeros: that takes no time. */
int
vdi_audit_map(struct vdi_audit *a, bool *garbage, struct vd_err *err)
{
	struct vdi_flaw bad = { VD_DAMAGE, "vdi-map-garbage", a->map_off, NULL };
	struct vdi_flaw large = { VD_NOTE, "vdi-map-large", 384, NULL };
	struct vdi_walk w = { .a = a };
	int ret;

	*garbage = false;
	if (4 * a->blocks > VDI_MAP_MAX) {
		vdi_flaw(a, &large, "a map of %" PRIu64
			 " bytes was not looked at, the limit is %" PRIu64,
			 4 * a->blocks, VDI_MAP_MAX);
		return vd_fail(err, EFBIG, 384, "block map of %" PRIu64
			       " bytes: more than %" PRIu64 " are not looked "
			       "at", 4 * a->blocks, VDI_MAP_MAX);
	}
	w.used = calloc(1, a->blocks / 8 + 1);
	if (!w.used)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for %" PRIu64
			       " blocks", a->blocks);
	ret = vdi_check_map(&w, err);
	*garbage = w.bad >= VDI_BAD_MAX;
	if (!ret && *garbage) {
		vdi_flaw(a, &bad, "%u entries and more make no sense: this is no map",
			 VDI_BAD_MAX);
	} else if (!ret) {
		vdi_check_count(&w);
		vdi_check_gaps(&w);
		vdi_check_tail(&w);
	}
	free(w.used);
	return ret;
}

int
vdi_check(void *img, struct vd_report *r, struct vd_err *err)
{
	struct vdi *v = img;
	struct vdi_audit a = { .file = v->file, .report = r };
	bool garbage;
	int ret = vdi_audit_head(&a, err);

	if (!ret && a.usable)
		ret = vdi_audit_map(&a, &garbage, err);
	if (!ret)
		vdi_flaw_end(&a);
	return ret;
}
