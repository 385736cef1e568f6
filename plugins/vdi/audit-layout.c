/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-layout.c - what says where the data is, and what can be known of a field
 * whose value cannot be true.
 *
 * A header tells some things twice: size, block size and block count belong
 * together, and so do count, offsets and the length of the file.  One wrong
 * field can be worked out from the others; two cannot, and are only told.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include "audit.h"

/* A map that is tried at a place is read as a whole. */
#define VDI_FITS_MAX	(16u << 20)

static bool
vdi_two_power(uint64_t n)
{
	return n && !(n & (n - 1));
}

static bool
vdi_sound_block(uint64_t n)
{
	return n >= 512 && n <= 1u << 31 && vdi_two_power(n);
}

static bool
vdi_sound_disk(uint64_t n)
{
	return n >= 512 && n <= INT64_MAX;
}

/*
 * Is this a map for the blocks and the file as we know them?  Every entry
 * makes sense, no two are equal, and there are as many as are counted.
 */
static int
vdi_audit_map_fits(struct vdi_audit *a, uint64_t map_off, bool *fits,
		   struct vd_err *err)
{
	uint64_t i, n = 0, bytes = 4 * a->blocks;
	uint8_t *map, *seen;
	int ret;

	*fits = false;
	if (bytes > VDI_FITS_MAX || map_off + bytes > a->size)
		return 0;
	map = malloc(bytes + 1);
	seen = calloc(1, a->blocks / 8 + 1);
	ret = map && seen ? vd_file_read(a->file, map, bytes, map_off, err)
			  : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	for (i = 0; !ret && i < a->blocks; i++) {
		uint32_t e = vdi_get32(map + 4 * i);

		if (e >= 0xfffffffe)
			continue;
		if (e >= a->blocks || seen[e / 8] >> e % 8 & 1 ||
		    !vdi_audit_there(a, i, e))
			break;
		seen[e / 8] |= (uint8_t)(1 << e % 8);
		n++;
	}
	*fits = !ret && i == a->blocks && n == a->counted;
	free(seen);
	free(map);
	return ret;
}

/* --------------------------------------------- size, block size and count */

/* The one block size that this size and this count go with, or 0. */
static uint64_t
vdi_guess_block(const struct vdi_audit *a)
{
	uint64_t b;

	for (b = 512; b <= 1u << 31; b <<= 1)
		if ((a->disk - 1) / b + 1 == a->blocks)
			return b;
	return 0;
}

static bool
vdi_audit_block(struct vdi_audit *a)
{
	struct vdi_flaw f = { VD_DAMAGE, "vdi-block-size", 376, NULL };
	uint64_t guess = vdi_sound_disk(a->disk) ? vdi_guess_block(a) : 0;

	if (vdi_sound_block(a->block))
		return true;
	if (guess)
		f.cure = "the disk's size and the number of blocks go with one size only: would set it";
	if (!vdi_flaw(a, &f, "block size %" PRIu64
		      " is not a power of two from 512 on", a->block))
		return false;
	vdi_mend32(a, 376, guess);
	return true;
}

/* All blocks whole: what is too much of the last one reads as zeros. */
static bool
vdi_audit_disk(struct vdi_audit *a)
{
	struct vdi_flaw f = { VD_DAMAGE, "vdi-disk-size", 368, NULL };
	struct vdi_flaw odd = { VD_NOTE, "vdi-odd-size", 368,
		"would round it down, as VirtualBox shows it" };

	if (!vdi_sound_disk(a->disk)) {
		if (a->blocks && a->blocks * a->block <= INT64_MAX)
			f.cure = "would set it to the size of all blocks; the disk may become up to one block longer than it was";
		if (!vdi_flaw(a, &f, "disk size %" PRIu64 " is impossible",
			      a->disk))
			return false;
		vdi_put64(a->head + 368, a->blocks * a->block);
		a->changed = true;
	} else if (a->disk % 512 &&
		   vdi_flaw(a, &odd, "disk size %" PRIu64
			    " is not a multiple of 512", a->disk)) {
		vdi_put64(a->head + 368, a->disk & ~511ull);
		a->changed = true;
	}
	vdi_audit_read(a);
	return true;
}

/* Too few blocks for the disk, or more than the map has room for. */
static int
vdi_audit_blocks(struct vdi_audit *a, bool *good, struct vd_err *err)
{
	struct vdi_flaw f = { VD_DAMAGE, "vdi-block-count", 384, NULL };
	uint64_t need = ((a->disk & ~511ull) - 1) / a->block + 1;
	struct vdi_audit as_needed = *a;
	bool fits = false;
	int ret;

	*good = a->blocks >= need &&
		a->map_off + 4 * a->blocks <= a->data_off;
	if (*good)
		return 0;
	as_needed.blocks = need;
	if (need <= UINT32_MAX && a->map_off >= 456 &&
	    a->map_off + 4 * need <= a->data_off && a->mend) {
		ret = vdi_audit_map_fits(&as_needed, a->map_off, &fits, err);
		if (ret)
			return ret;
	}
	if (fits)
		f.cure = "the map has the right number of sound entries: would set that";
	*good = vdi_flaw(a, &f, "%" PRIu64 " blocks of %" PRIu64
			 " bytes with a map of %" PRIi64
			 " bytes for a disk of %" PRIu64, a->blocks, a->block,
			 (int64_t)(a->data_off - a->map_off), a->disk);
	if (*good)
		vdi_mend32(a, 384, need);
	return 0;
}

/* ------------------------------------------------------------ where it is */

/* The blocks that are counted end where the file ends. */
static bool
vdi_ends_there(const struct vdi_audit *a, uint64_t data_off)
{
	uint64_t stride = a->block + a->extra;

	return a->counted && a->counted <= a->blocks &&
		data_off + a->counted * stride == a->size;
}

static int
vdi_audit_map_off(struct vdi_audit *a, bool *good, struct vd_err *err)
{
	static const uint32_t usual[] = { 512, 1 << 20, 456, 472 };
	struct vdi_flaw f = { VD_DAMAGE, "vdi-map-offset", 340, NULL };
	uint64_t guess = 0;
	bool fits;
	unsigned i;
	int ret;

	/* Of two offsets in the wrong order the one inside the header is wrong. */
	*good = a->map_off >= 456 &&
		(a->map_off < a->data_off || a->data_off < 456);
	if (*good)
		return 0;
	for (i = 0; i < 4 && a->mend && !guess; i++) {
		if (usual[i] + 4 * a->blocks > a->data_off)
			continue;
		ret = vdi_audit_map_fits(a, usual[i], &fits, err);
		if (ret)
			return ret;
		if (fits)
			guess = usual[i];
	}
	if (guess)
		f.cure = "a map that agrees with everything else was found: would set its place";
	*good = vdi_flaw(a, &f, "the block map cannot be at byte %" PRIu64,
			 a->map_off);
	if (*good)
		vdi_mend32(a, 340, guess);
	return 0;
}

static bool
vdi_audit_data_off(struct vdi_audit *a)
{
	struct vdi_flaw f = { VD_DAMAGE, "vdi-data-offset", 344, NULL };
	uint64_t end = a->map_off + 4 * a->blocks, guess = 0;
	uint64_t mib = (end + 0xfffff) & ~0xfffffull;
	uint64_t sector = (end + 511) & ~511ull;

	if (a->data_off >= end)
		return true;
	if (vdi_ends_there(a, sector))
		guess = sector;
	else if (vdi_ends_there(a, mib))
		guess = mib;
	if (guess)
		f.cure = "the number of blocks and the file's length go with one place only: would set it";
	if (!vdi_flaw(a, &f, "data from byte %" PRIu64
		      " on overlaps the block map, which ends at %" PRIu64,
		      a->data_off, end))
		return false;
	vdi_mend32(a, 344, guess);
	return true;
}

static bool
vdi_audit_extra(struct vdi_audit *a)
{
	struct vdi_flaw f = { VD_DAMAGE, "vdi-block-extra", 380, NULL };
	struct vdi_audit none = *a;

	if (!a->extra || vdi_two_power(a->extra))
		return true;
	none.extra = 0;
	if (vdi_ends_there(&none, a->data_off))
		f.cure = "the file has room for blocks without such data: would set 0";
	if (!vdi_flaw(a, &f, "extra data of %" PRIu64
		      " bytes a block is not a power of two", a->extra))
		return false;
	vdi_mend32(a, 380, 0);
	return true;
}

/* ------------------------------------------------------------------ whole */

int
vdi_audit_layout(struct vdi_audit *a, struct vd_err *err)
{
	struct vdi_flaw cut = { VD_DAMAGE, "vdi-map-cut", 384, NULL };
	bool good = true;
	int ret = 0;

	if (!vdi_audit_block(a) || !vdi_audit_disk(a))
		return 0;
	if (a->version >> 16) {
		if (!vdi_audit_extra(a))
			return 0;
		ret = vdi_audit_map_off(a, &good, err);
		/* The count is right, then it is the offset that is not. */
		if (!ret && good &&
		    ((a->disk & ~511ull) - 1) / a->block + 1 == a->blocks)
			good = vdi_audit_data_off(a);
	}
	if (!ret && good)
		ret = vdi_audit_blocks(a, &good, err);
	if (ret || !good)
		return ret;
	if (a->map_off + 4 * a->blocks > a->size)
		vdi_flaw(a, &cut, "the block map ends at byte %" PRIu64
			 ", past the end of the file (%" PRIu64 " bytes)",
			 a->map_off + 4 * a->blocks, a->size);
	else
		a->usable = true;
	return 0;
}
