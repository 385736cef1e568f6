/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit.c - every rule for the head of a VDI, and what can be known of a
 * field whose value cannot be true.
 *
 * A header tells some things twice: size, block size and block count belong
 * together, and so do count, offsets and the length of the file.  One wrong
 * field can be worked out from the others; two cannot, and are only told.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "audit.h"

/* A map that is tried at a place is read as a whole. */
#define VDI_FITS_MAX	(16u << 20)

/* ---------------------------------------------------------------- telling */

/* Where version 0 has what version 1.1 has at off. */
static uint64_t
vdi_flaw_place(const struct vdi_audit *a, uint64_t off)
{
	if (a->version >> 16 || off < 72 || off >= 420)
		return off;
	return off == 76 ? 72 : off == 80 ? 76 : off == 368 ? 352 :
		off == 376 ? 360 : off == 384 ? 364 : off == 388 ? 368 : off;
}

bool
vdi_flaw(struct vdi_audit *a, const struct vdi_flaw *f, const char *fmt, ...)
{
	struct vd_flaw flaw = {
		f->severity, f->code, vd_file_name(a->file),
		vdi_flaw_place(a, f->off), f->cure,
	};
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	a->telling.report = a->report;
	a->telling.mend = a->mend;
	return vd_flaw(&a->telling, &flaw, "%s", text);
}

void
vdi_flaw_end(struct vdi_audit *a)
{
	a->telling.report = a->report;
	vd_audit_end(&a->telling);
}

/* ----------------------------------------------------------------- fields */

static void
vdi_audit_read(struct vdi_audit *a)
{
	const uint8_t *p = a->head;

	a->version = vdi_get32(p + 68);
	if (a->version >> 16 == 0) {
		a->type = vdi_get32(p + 72);
		a->flags = vdi_get32(p + 76);
		a->disk = vdi_get64(p + 352);
		a->block = vdi_get32(p + 360);
		a->blocks = vdi_get32(p + 364);
		a->counted = vdi_get32(p + 368);
		a->map_off = 420;
		a->data_off = 420 + 4 * a->blocks;
		return;
	}
	a->header_len = vdi_get32(p + 72);
	a->type = vdi_get32(p + 76);
	a->flags = vdi_get32(p + 80);
	a->map_off = vdi_get32(p + 340);
	a->data_off = vdi_get32(p + 344);
	a->disk = vdi_get64(p + 368);
	a->block = vdi_get32(p + 376);
	a->extra = vdi_get32(p + 380);
	a->blocks = vdi_get32(p + 384);
	a->counted = vdi_get32(p + 388);
}

static void
vdi_mend32(struct vdi_audit *a, unsigned off, uint64_t value)
{
	vdi_put32(a->head + off, (uint32_t)value);
	a->changed = true;
	vdi_audit_read(a);
}

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

static bool
vdi_null(const uint8_t *uuid)
{
	static const uint8_t null[16];

	return !memcmp(uuid, null, 16);
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

/*
 * Is this a map for the blocks and the file as we know them?  Every entry
 * makes sense, no two are equal, and there are as many as are counted.
 */
int
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

/* -------------------------------------------------- what kind, whose child */

static void
vdi_audit_kind(struct vdi_audit *a)
{
	bool link = !vdi_null(a->head + 424);
	struct vdi_flaw type = { VD_DAMAGE, "vdi-type", 76, link
		? "it names a parent: would set 4, differencing"
		: "would set 1, dynamic, which holds for every image without parent" };
	struct vdi_flaw flags = { VD_DAMAGE, "vdi-flags", 80,
		"would clear them; what they promised is not known" };
	struct vdi_flaw len = { VD_DAMAGE, "vdi-header-length", 72,
		"would set 384: every header has that much" };

	if (a->header_len < 384 &&
	    vdi_flaw(a, &len, "header length %u is below 384", a->header_len))
		vdi_mend32(a, 72, 384);
	if ((a->type < 1 || a->type > 4) &&
	    vdi_flaw(a, &type, "image type %u is unknown", a->type))
		vdi_mend32(a, 76, link ? 4 : 1);
	if ((a->flags & ~0x301u) &&
	    vdi_flaw(a, &flags, "image flags 0x%x are unknown", a->flags))
		vdi_mend32(a, 80, a->flags & 0x301);
}

static void
vdi_audit_parent(struct vdi_audit *a)
{
	bool link = !vdi_null(a->head + 424);
	struct vdi_flaw none = { VD_DAMAGE, "vdi-parent-missing", 424, NULL };
	struct vdi_flaw type = { VD_NOTE, "vdi-type-parent", 76,
		"would set type 4, differencing, as which it is read" };
	struct vdi_flaw self = { VD_DAMAGE, "vdi-parent-self", 424, NULL };
	struct vdi_flaw stale = { VD_NOTE, "vdi-parent-modify", 440,
		"would clear it; QEMU refuses the image with it" };

	if (a->type == 4 && !link)
		vdi_flaw(a, &none, "a differencing image that names no parent: `vdiskadm relink` names one");
	if (a->type != 4 && link &&
	    vdi_flaw(a, &type, "type %u, but names a parent", a->type))
		vdi_mend32(a, 76, 4);
	if (link && !memcmp(a->head + 424, a->head + 392, 16))
		vdi_flaw(a, &self, "names itself as its parent");
	if (!link && a->type != 4 && !vdi_null(a->head + 440) &&
	    vdi_flaw(a, &stale, "names the content of a parent, but no parent")) {
		memset(a->head + 440, 0, 16);
		a->changed = true;
	}
}

/* A UUID for an image that has none. */
static int
vdi_audit_uuid(struct vdi_audit *a, unsigned off, const char *code,
	       struct vd_err *err)
{
	struct vdi_flaw f = { VD_DAMAGE, code, off, "would give it a new one" };
	int ret;

	if (!vdi_null(a->head + off) ||
	    !vdi_flaw(a, &f, "the image has no UUID of its %s; VirtualBox refuses it",
		      off == 392 ? "own" : "content"))
		return 0;
	ret = vd_random(a->head + off, 16, err);
	a->head[off + 7] = (a->head[off + 7] & 0x0f) | 0x40;
	a->head[off + 8] = (a->head[off + 8] & 0x3f) | 0x80;
	a->changed = true;
	return ret;
}

/* Others refuse a geometry in other sectors; to us the disk is bytes. */
static void
vdi_audit_sectors(struct vdi_audit *a)
{
	struct vdi_flaw old = { VD_NOTE, "vdi-sector-size", 360,
		"would set 512; QEMU refuses the image" };
	struct vdi_flaw lchs = { VD_NOTE, "vdi-lchs-sector-size", 468,
		"would set 512; VirtualBox refuses the image" };

	if (vdi_get32(a->head + 360) != 512 &&
	    vdi_flaw(a, &old, "sector size of the geometry is %u",
		     vdi_get32(a->head + 360)))
		vdi_mend32(a, 360, 512);
	if (a->header_len >= 400 && a->map_off >= 472 &&
	    vdi_get32(a->head + 468) != 512 &&
	    vdi_flaw(a, &lchs, "sector size of the second geometry is %u",
		     vdi_get32(a->head + 468)))
		vdi_mend32(a, 468, 512);
}

/* ------------------------------------------------------------------ whole */

static int
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

int
vdi_audit_head(struct vdi_audit *a, struct vd_err *err)
{
	struct vdi_flaw cut = { VD_DAMAGE, "vdi-header-cut", 0, NULL };
	struct vdi_flaw version = { VD_NOTE, "vdi-version", 68, NULL };
	struct vdi_flaw mark = { VD_DAMAGE, "vdi-signature", 64,
		"version and length are those of a header: would set it" };
	int ret;

	a->size = vd_file_size(a->file);
	a->block_device = vd_file_is_block(a->file);
	ret = vd_file_read(a->file, a->head, sizeof(a->head), 0, err);
	if (ret)
		return ret;
	vdi_audit_read(a);
	cut.off = a->size;
	if (a->size < (a->version >> 16 ? 456u : 420u)) {
		vdi_flaw(a, &cut, "the file ends inside the header");
		return 0;
	}
	if (vdi_get32(a->head + 64) != 0xbeda107f &&
	    vdi_flaw(a, &mark, "the signature is missing"))
		vdi_mend32(a, 64, 0xbeda107f);
	if (a->version >> 16 && a->version != 0x10001) {
		vdi_flaw(a, &version, "version %u.%u is not known and was not checked",
			 a->version >> 16, a->version & 0xffff);
		return 0;
	}
	if (a->version >> 16 == 0)
		a->mend = false;	/* nobody needs to write these */
	if (a->version >> 16) {
		vdi_audit_kind(a);
		vdi_audit_parent(a);
		ret = vdi_audit_uuid(a, 392, "vdi-uuid", err);
		if (!ret)
			ret = vdi_audit_uuid(a, 408, "vdi-uuid-modify", err);
	}
	if (!ret)
		ret = vdi_audit_layout(a, err);
	/* Last: the second geometry is there if the map is not. */
	if (!ret && a->version >> 16)
		vdi_audit_sectors(a);
	return ret;
}
