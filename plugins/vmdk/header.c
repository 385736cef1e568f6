/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * header.c - the 512 bytes in front of a sparse extent, and where a new one
 * keeps its tables.
 *
 * Pure.  Two questions are kept apart on purpose: is the header whole (else
 * the file is broken), and is it a dialect we read (else it is only refused).
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "vmdk.h"

static const uint8_t newline_test[4] = { '\n', ' ', '\r', '\n' };

static uint32_t
get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return le32toh(v);
}

static uint64_t
get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return le64toh(v);
}

static void
put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, 4);
}

static void
put64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, 8);
}

bool
vmdk_header_decode(const uint8_t b[VMDK_HEADER_LEN], struct vmdk_header *h)
{
	*h = (struct vmdk_header){ 0 };
	if (memcmp(b, "KDMV", 4))
		return false;
	h->version = get32(b + 4);
	h->flags = get32(b + 8);
	h->capacity = get64(b + 12);
	h->grain_sectors = get64(b + 20);
	h->desc_sector = get64(b + 28);
	h->desc_sectors = get64(b + 36);
	h->gtes = get32(b + 44);
	h->rgd_sector = get64(b + 48);
	h->gd_sector = get64(b + 56);
	h->overhead = get64(b + 64);
	h->unclean = b[VMDK_HEADER_UNCLEAN];
	memcpy(h->newline, b + 73, 4);
	h->compress = (uint16_t)(b[77] | b[78] << 8);
	return true;
}

void
vmdk_header_encode(const struct vmdk_header *h, uint8_t b[VMDK_HEADER_LEN])
{
	memset(b, 0, VMDK_HEADER_LEN);
	memcpy(b, "KDMV", 4);
	put32(b + 4, h->version);
	put32(b + 8, h->flags);
	put64(b + 12, h->capacity);
	put64(b + 20, h->grain_sectors);
	put64(b + 28, h->desc_sector);
	put64(b + 36, h->desc_sectors);
	put32(b + 44, h->gtes);
	put64(b + 48, h->rgd_sector);
	put64(b + 56, h->gd_sector);
	put64(b + 64, h->overhead);
	b[VMDK_HEADER_UNCLEAN] = h->unclean;
	memcpy(b + 73, h->newline, 4);
	b[77] = (uint8_t)h->compress;
	b[78] = (uint8_t)(h->compress >> 8);
}

bool
vmdk_header_is_stream(const struct vmdk_header *h)
{
	return (h->flags & (VMDK_F_COMPRESSED | VMDK_F_MARKERS)) ||
	       h->compress || h->gd_sector == VMDK_GD_AT_END;
}

uint64_t
vmdk_header_tables(const struct vmdk_header *h)
{
	uint64_t coverage = h->grain_sectors * h->gtes;

	return coverage ? (h->capacity + coverage - 1) / coverage : 0;
}

static int
check_geometry(const struct vmdk_header *h, struct vd_err *err)
{
	uint64_t g = h->grain_sectors;

	if (!g || (g & (g - 1)) || g > VMDK_GRAIN_MAX)
		return vd_fail(err, EINVAL, 20, "grain size of %" PRIu64
			       " sectors is not a power of two up to %u",
			       g, VMDK_GRAIN_MAX);
	if (!h->gtes || h->gtes > VMDK_GTES_MAX)
		return vd_fail(err, EINVAL, 44, "grain tables of %u entries, "
			       "expected 1 to %u", h->gtes, VMDK_GTES_MAX);
	if (h->capacity > VMDK_SECTORS_MAX)
		return vd_fail(err, EINVAL, 12, "capacity of %" PRIu64
			       " sectors is beyond any disk", h->capacity);
	if (vmdk_header_tables(h) > VMDK_GD_MAX)
		return vd_fail(err, EFBIG, 12, "capacity needs %" PRIu64
			       " grain tables, limit is %u",
			       vmdk_header_tables(h), VMDK_GD_MAX);
	return 0;
}

/* Does [sector, sector + bytes) lie inside the file and behind the header? */
static bool
inside(uint64_t sector, uint64_t bytes, uint64_t file_size)
{
	return sector >= 1 && sector <= file_size / VMDK_SECTOR &&
	       bytes <= file_size - sector * VMDK_SECTOR;
}

static int
check_tables(const struct vmdk_header *h, uint64_t file_size,
	     struct vd_err *err)
{
	uint64_t n = vmdk_header_tables(h);

	if (!inside(h->gd_sector, n * 4, file_size))
		return vd_fail(err, EINVAL, 56, "grain directory at sector %"
			       PRIu64 " is outside the file", h->gd_sector);
	if ((h->flags & VMDK_F_RGD) &&
	    !inside(h->rgd_sector, n * 4, file_size))
		return vd_fail(err, EINVAL, 48, "redundant grain directory at "
			       "sector %" PRIu64 " is outside the file",
			       h->rgd_sector);
	if (h->overhead > file_size / VMDK_SECTOR)
		return vd_fail(err, EINVAL, 64, "%" PRIu64 " sectors of "
			       "metadata, but the file ends before",
			       h->overhead);
	return 0;
}

int
vmdk_header_check(const struct vmdk_header *h, uint64_t file_size,
		  struct vd_err *err)
{
	int ret;

	if ((h->flags & VMDK_F_NEWLINE) &&
	    memcmp(h->newline, newline_test, 4))
		return vd_fail(err, EINVAL, 73, "newline characters of the "
			       "header are changed: the file was damaged by a "
			       "transfer in text mode");
	if (!h->version)
		return vd_fail(err, EINVAL, 4, "header version 0");
	if (h->version > 3 || (h->flags & VMDK_F_UNKNOWN))
		return 0;	/* not ours to judge; see supported() */
	if (h->desc_sector &&
	    !inside(h->desc_sector, h->desc_sectors > VMDK_SECTORS_MAX ?
		    UINT64_MAX : h->desc_sectors * VMDK_SECTOR, file_size))
		return vd_fail(err, EINVAL, 28, "descriptor at sector %" PRIu64
			       " is outside the file", h->desc_sector);
	ret = check_geometry(h, err);
	if (!ret && !vmdk_header_is_stream(h))
		ret = check_tables(h, file_size, err);
	return ret;
}

static int
supported_stream(const struct vmdk_header *h, struct vd_err *err)
{
	if (!(h->flags & VMDK_F_COMPRESSED))
		return vd_fail(err, ENOTSUP, 8, "streamOptimized without "
			       "compressed grains is not supported (flags "
			       "0x%x)", h->flags);
	if (h->compress != 1)
		return vd_fail(err, ENOTSUP, 77, "compression method %u is "
			       "not known, only 1 (deflate)", h->compress);
	if (h->grain_sectors > VMDK_PACKED_MAX)
		return vd_fail(err, ENOTSUP, 20, "compressed grains of %"
			       PRIu64 " sectors are not supported, only up to "
			       "%u", h->grain_sectors, VMDK_PACKED_MAX);
	return 0;
}

int
vmdk_header_supported(const struct vmdk_header *h, struct vd_err *err)
{
	if (h->version > 3)
		return vd_fail(err, ENOTSUP, 4, "sparse header version %u is "
			       "not supported: only 1 to 3 are", h->version);
	if (h->flags & VMDK_F_UNKNOWN)
		return vd_fail(err, ENOTSUP, 8, "the header asks for features "
			       "that are not known here (flags 0x%x)",
			       h->flags & VMDK_F_UNKNOWN);
	if (!h->capacity)
		return vd_fail(err, ENOTSUP, 12, "a sparse file of capacity 0 "
			       "that only wraps a descriptor is not "
			       "supported");
	return vmdk_header_is_stream(h) ? supported_stream(h, err) : 0;
}

static uint64_t
round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/*
 * The order that other writers use, and the offsets that come of it: header,
 * descriptor, redundant directory and its tables, directory and its tables,
 * then grains from the next grain boundary on.
 */
static void
lay_out(struct vmdk_header *h)
{
	uint64_t tables = vmdk_header_tables(h);
	uint64_t gd = round_up(tables * 4, VMDK_SECTOR) / VMDK_SECTOR;

	h->rgd_sector = 1 + h->desc_sectors;
	h->gd_sector = h->rgd_sector + gd + tables * vmdk_gt_sectors(h);
	h->overhead = round_up(h->gd_sector + gd + tables *
			       vmdk_gt_sectors(h), h->grain_sectors);
}

void
vmdk_header_layout_part(struct vmdk_header *h, uint64_t capacity,
			uint64_t grain_sectors)
{
	*h = (struct vmdk_header){
		.version = 1, .flags = VMDK_F_NEWLINE | VMDK_F_RGD,
		.capacity = capacity, .grain_sectors = grain_sectors,
		.gtes = VMDK_GTES_MAX,
	};
	memcpy(h->newline, newline_test, 4);
	lay_out(h);
}

void
vmdk_header_layout(struct vmdk_header *h, uint64_t capacity,
		   uint64_t grain_sectors)
{
	vmdk_header_layout_part(h, capacity, grain_sectors);
	h->desc_sector = 1;
	h->desc_sectors = 20;
	lay_out(h);
}
