/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cowd.c - the header of an ESX sparse extent ("COWD", vmfsSparse).
 *
 * The same directory and tables as everywhere, told in other words: one copy,
 * tables of 4096 entries made when they are needed, no entry that means zeros,
 * and a count of used sectors in the header.  QEMU never brings that up to
 * date: it is a hint to us, and a promise we keep for others.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "vmdk.h"

#define HEADER_LEN	2048u
#define FREE_SECTOR	28u	/* byte of freeSector */
#define UNCLEAN		1648u	/* byte of uncleanShutdown */

static uint32_t
get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return le32toh(v);
}

static int
check(const struct vmdk_header *h, uint64_t entries, uint64_t size,
      struct vd_err *err)
{
	uint64_t g = h->grain_sectors, need;

	if (h->version != 1)
		return vd_fail(err, ENOTSUP, 4, "ESX sparse extent of version "
			       "%u, only 1 is known", h->version);
	if (!h->capacity)
		return vd_fail(err, EINVAL, 12, "a capacity of 0");
	if (!g || (g & (g - 1)) || g > VMDK_GRAIN_MAX)
		return vd_fail(err, EINVAL, 16, "grain size of %" PRIu64
			       " sectors is not a power of two up to %u", g,
			       VMDK_GRAIN_MAX);
	need = vmdk_header_tables(h);
	if (need > VMDK_GD_MAX)
		return vd_fail(err, EFBIG, 12, "capacity needs %" PRIu64
			       " grain tables, limit is %u", need,
			       VMDK_GD_MAX);
	if (entries < need)
		return vd_fail(err, EINVAL, 24, "a directory of %" PRIu64
			       " tables, but the capacity needs %" PRIu64,
			       entries, need);
	if (h->gd_sector < HEADER_LEN / VMDK_SECTOR ||
	    h->gd_sector > size / VMDK_SECTOR ||
	    need * 4 > size - h->gd_sector * VMDK_SECTOR)
		return vd_fail(err, EINVAL, 20, "grain directory at sector %"
			       PRIu64 " is outside the file, or in its header",
			       h->gd_sector);
	return 0;
}

/* x->file and x->size are set. */
int
vmdk_cowd_header(struct vmdk_extent *x, struct vd_err *err)
{
	uint8_t b[HEADER_LEN];
	uint64_t entries;
	int ret = vd_file_read(x->file, b, sizeof(b), 0, err);

	if (ret)
		return ret;
	if (memcmp(b, "COWD", 4))
		return vd_fail(err, EINVAL, 0, "not an ESX sparse extent: no "
			       "\"COWD\" at its start");
	x->h = (struct vmdk_header){
		.version = get32(b + 4), .capacity = get32(b + 12),
		.grain_sectors = get32(b + 16), .gtes = VMDK_COWD_GTES,
		.gd_sector = get32(b + 20), .unclean = get32(b + UNCLEAN) != 0,
	};
	entries = get32(b + 24);
	x->free_sector = get32(b + FREE_SECTOR);
	x->unclean_at = UNCLEAN;
	ret = check(&x->h, entries, x->size, err);
	x->h.overhead = x->h.gd_sector + (vmdk_header_tables(&x->h) * 4 +
					  VMDK_SECTOR - 1) / VMDK_SECTOR;
	return ret;
}

static int
put_free(struct vmdk_extent *x, uint32_t sector, struct vd_err *err)
{
	uint32_t le = htole32(sector);
	int ret = vd_file_write(x->file, &le, 4, FREE_SECTOR, err);

	if (!ret)
		ret = vd_file_sync(x->file, err);
	if (!ret)
		x->free_sector = sector;
	return ret;
}

/*
 * Whoever goes by freeSector would put his next grain over ours: it is durable
 * before any pointer is.  x->lock held.
 */
int
vmdk_cowd_used(struct vmdk_extent *x, struct vd_err *err)
{
	uint32_t sector = (uint32_t)(x->next / VMDK_SECTOR);

	return sector > x->free_sector ? put_free(x, sector, err) : 0;
}

/* Room at the end is about to go: freeSector first, it must stay inside. */
int
vmdk_cowd_lower(struct vmdk_extent *x, uint64_t end, struct vd_err *err)
{
	uint32_t sector = (uint32_t)(end / VMDK_SECTOR);

	return sector < x->free_sector ? put_free(x, sector, err) : 0;
}

/* The same between the data and the tables. */
int
vmdk_cowd_between(void *ctx, struct vd_err *err)
{
	struct vmdk_extent *x = ctx;
	int ret;

	pthread_mutex_lock(&x->lock);
	ret = vmdk_cowd_used(x, err);
	pthread_mutex_unlock(&x->lock);
	return ret;
}
