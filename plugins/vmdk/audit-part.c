/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-part.c - the bytes of one sparse file, for check and repair.
 */
#include "audit.h"

uint64_t
vmdk_part_sectors(const struct vmdk_part *p)
{
	return vd_file_size(p->f) / VMDK_SECTOR;
}

bool
vmdk_inside(const struct vmdk_part *p, uint64_t sector, uint64_t len)
{
	return vmdk_within(vmdk_part_sectors(p), sector, len);
}

bool
vmdk_directory_inside(const struct vmdk_part *p, uint64_t sector)
{
	return vmdk_inside(p, sector, 0) && p->ntables <=
	       (vd_file_size(p->f) - sector * VMDK_SECTOR) / 4;
}

bool
vmdk_is_stream(const struct vmdk_part *p)
{
	return p->kind == VMDK_SPARSE &&
	       ((p->flags & (VMDK_F_COMPRESSED | VMDK_F_MARKERS)) ||
		p->compress || p->gd_at == UINT64_MAX);
}

static void
derive(struct vmdk_part *p)
{
	uint64_t each = p->grain <= VMDK_GRAIN_MAX ? p->grain * p->gtes : 0;

	p->ntables = each ? p->capacity / each + !!(p->capacity % each) : 0;
	p->gt_len = ((uint64_t)p->gtes * 4 + 511) / VMDK_SECTOR;
	p->dir_len = p->ntables / 128 + !!(p->ntables % 128);
}

void
vmdk_part_fields(struct vmdk_part *p)
{
	const uint8_t *b = p->head;

	p->version = vmdk_le32(b + 4);
	p->flags = vmdk_le32(b + 8);
	if (p->kind == VMDK_COWD) {
		p->flags = 0;
		p->capacity = vmdk_le32(b + 12);
		p->grain = vmdk_le32(b + 16);
		p->gd_at = vmdk_le32(b + 20);
		p->gtes = VMDK_COWD_GTES;
		p->unclean = vmdk_le32(b + 1648) != 0;
		derive(p);
		p->overhead = p->gd_at + p->dir_len;
		return;
	}
	p->capacity = vmdk_le64(b + 12);
	p->grain = vmdk_le64(b + 20);
	p->desc_at = vmdk_le64(b + 28);
	p->desc_len = vmdk_le64(b + 36);
	p->gtes = vmdk_le32(b + 44);
	p->rgd_at = vmdk_le64(b + 48);
	p->gd_at = vmdk_le64(b + 56);
	p->overhead = vmdk_le64(b + 64);
	p->unclean = b[72];
	p->compress = b[77] | (uint32_t)b[78] << 8;
	derive(p);
}

int
vmdk_part_load(struct vmdk_part *p, struct vd_err *err)
{
	int ret = vd_file_read(p->f, p->head, VMDK_PART_HEAD, 0, err);

	p->name = vd_file_name(p->f);
	p->head_len = p->kind == VMDK_COWD ? VMDK_PART_HEAD : VMDK_SECTOR;
	p->limit = (vd_file_size(p->f) + VMDK_SECTOR - 1) / VMDK_SECTOR;
	if (!ret)
		vmdk_part_fields(p);
	return ret;
}

void
vmdk_part_free(struct vmdk_part *p)
{
	free(p->gd);
	free(p->rgd);
	free(p->late);
}

void
vmdk_part_set32(struct vmdk_part *p, unsigned off, uint32_t v)
{
	vmdk_put32(p->head + off, v);
	p->changed = true;
	vmdk_part_fields(p);
}

void
vmdk_part_set64(struct vmdk_part *p, unsigned off, uint64_t v)
{
	vmdk_put64(p->head + off, v);
	p->changed = true;
	vmdk_part_fields(p);
}

int
vmdk_part_put(struct vmdk_part *p, struct vd_err *err)
{
	int ret;

	if (!p->changed)
		return 0;
	ret = vd_file_sync(p->f, err);
	if (!ret)
		ret = vd_file_write(p->f, p->head, p->head_len, 0, err);
	if (!ret)
		ret = vd_file_sync(p->f, err);
	p->changed = ret != 0;
	return ret;
}

int
vmdk_part_read32(struct vmdk_part *p, uint64_t sector, uint32_t *e, uint64_t n,
		 struct vd_err *err)
{
	int ret = vd_file_read(p->f, e, n * 4, sector * VMDK_SECTOR, err);

	for (uint64_t i = 0; i < n; i++)
		e[i] = le32toh(e[i]);
	return ret;
}

int
vmdk_part_write32(struct vmdk_part *p, uint64_t off, uint32_t v,
		  struct vd_err *err)
{
	v = htole32(v);
	return vd_file_write(p->f, &v, 4, off, err);
}

int
vmdk_part_room(struct vmdk_part *p, uint64_t len, uint32_t *sector,
	       struct vd_err *err)
{
	uint64_t g = p->grain, size = vd_file_size(p->f), at;

	at = size / VMDK_SECTOR + !!(size % VMDK_SECTOR);
	/* Where the file ended, the last grain may still have room. */
	if (at < p->limit + g - 1)
		at = p->limit + g - 1;
	at = (at + g - 1) / g * g;
	if (at + len > VMDK_FILE_SECTORS_MAX)
		return vd_fail(err, ENOSPC, VD_NOWHERE, "the file has reached "
			       "2 TiB");
	*sector = (uint32_t)at;
	return vd_file_truncate(p->f, (at + len) * VMDK_SECTOR, err);
}
