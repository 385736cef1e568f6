/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * scan.c - look at every map entry before the first write.
 *
 * An entry that points where another one does, or where the file has nothing,
 * cannot be told from damage; a write through it may cost a second block.  So
 * such an image is read, but not written.  What comes out of the scan is the
 * set of used slots, from which write.c takes new ones: the header's own
 * counter is not believed, for programs exist that leave it behind the map.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include "vdi.h"

#define VDI_SCAN_PIECE	65536u		/* entries read at once */

/*
 * The bytes the guest can reach must be in the file.  A last block cut short
 * where the disk ends is not damage: nobody ever sees the rest.
 */
static bool
vdi_has_bytes(struct vdi *v, uint64_t i, uint32_t slot)
{
	uint64_t at = vdi_slot(v, slot), need = 0;

	if (i < vdi_reach(v))
		need = v->h.extra + vdi_block_len(v, i);
	return at <= v->eof && need <= v->eof - at;
}

static int
vdi_scan_entry(struct vdi *v, uint64_t i, uint32_t slot, struct vd_err *err)
{
	uint64_t place = v->h.map_off + 4 * i, bit = 1ull << slot % 64;

	if (slot >= v->slots)
		return vd_fail(err, EUCLEAN, place,
			"block %" PRIu64 " is at place %u of an image of %u blocks",
			i, slot, v->h.blocks);
	if (!vdi_has_bytes(v, i, slot))
		return vd_fail(err, EUCLEAN, place,
			"block %" PRIu64 " lies past the end of the file, at byte %"
			PRIu64, i, vdi_slot(v, slot));
	if (v->used[slot / 64] & bit)
		return vd_fail(err, EUCLEAN, place,
			"block %" PRIu64 " shares place %u with a block before it",
			i, slot);
	v->used[slot / 64] |= bit;
	if (slot >= v->top)
		v->top = slot + 1;
	return 0;
}

/* Blocks from i on whose slots go up one by one. */
static int
vdi_scan_run(struct vdi *v, uint64_t i, uint32_t slot, uint64_t n,
	     struct vd_err *err)
{
	int ret = 0;

	for (uint64_t k = 0; k < n && !ret; k++) {
		/* A word at once, where its 64 blocks are good and new. */
		if (slot % 64 == 0 && n - k >= 64 && slot + 63 < v->slots &&
		    !v->used[slot / 64] && i + 63 < v->h.blocks &&
		    vdi_slot(v, slot + 64) <= v->eof) {
			v->used[slot / 64] = UINT64_MAX;
			if (slot + 64 > v->top)
				v->top = slot + 64;
			k += 63;
			slot += 64;
			i += 64;
			continue;
		}
		ret = vdi_scan_entry(v, i++, slot++, err);
	}
	return ret;
}

/*
 * As many places as blocks.  More only after a resize that was cut short: it
 * counts every place it takes, and the file has them all.
 */
static uint32_t
vdi_count_slots(struct vdi *v)
{
	uint32_t counted = v->h.allocated;

	if (counted > v->h.blocks &&
	    counted - v->h.blocks <= VDI_SPARE_MAX &&
	    vdi_slot(v, counted) <= v->eof)
		return counted;
	return v->h.blocks;
}

/* What a dead process left in the crash journal is in the table only. */
static int
vdi_scan_table(struct vdi *v, struct vd_err *err)
{
	uint64_t i, n, entry;
	int ret = 0;

	for (i = 0; i < v->h.blocks && !ret; i += n) {
		ret = vd_table_get(v->map, i, &entry, err);
		if (ret)
			break;
		n = vd_table_run(v->map, i, v->h.blocks - i, entry,
				 vdi_present(entry));
		n = n ? n : 1;
		if (vdi_present(entry))
			ret = vdi_scan_run(v, i, (uint32_t)entry, n, err);
	}
	return ret;
}

/* A piece of the map, run by run. */
static int
vdi_scan_piece(struct vdi *v, uint64_t first, const uint8_t *map, uint64_t n,
	       struct vd_err *err)
{
	uint64_t i = 0, end;
	int ret = 0;

	while (i < n && !ret) {
		uint32_t entry = vdi_get32(map + 4 * i);

		end = i + 1;
		if (vdi_present(entry)) {
			while (end < n && vdi_get32(map + 4 * end) ==
			       entry + (uint32_t)(end - i))
				end++;
			ret = vdi_scan_run(v, first + i, entry, end - i, err);
		}
		i = end;
	}
	return ret;
}

/* In large pieces, past the table: it would keep pages nobody asked for. */
static int
vdi_scan_file(struct vdi *v, struct vd_err *err)
{
	uint8_t *buf = malloc(4 * VDI_SCAN_PIECE);
	uint64_t i, n;
	int ret = buf ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	for (i = 0; i < v->h.blocks && !ret; i += n) {
		n = v->h.blocks - i;
		if (n > VDI_SCAN_PIECE)
			n = VDI_SCAN_PIECE;
		ret = vd_file_read(v->file, buf, 4 * n, v->h.map_off + 4 * i,
				   err);
		if (!ret)
			ret = vdi_scan_piece(v, i, buf, n, err);
	}
	free(buf);
	return ret;
}

int
vdi_scan(struct vdi *v, struct vd_err *err)
{
	int ret;

	v->slots = vdi_count_slots(v);
	v->top = 0;
	v->hint = 0;
	/* The map lies within the file, so the file bounds this. */
	v->used = calloc(v->slots / 64 + 1, sizeof(*v->used));
	if (!v->used)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for %u blocks",
			       v->h.blocks);
	ret = vd_table_dirty(v->map) ? vdi_scan_table(v, err)
				     : vdi_scan_file(v, err);
	if (ret)
		vd_err_help(err, "it can be opened read-only: `vdiskadm translate` saves what is readable");
	return ret;
}
