/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mend-stream.c - what a repair writes into a compressed extent.
 *
 * Grains stay where they are.  Tables, directory, footer and end marker are made
 * from what the markers said, behind the last grain, where a writer would have
 * put them; cut short, the markers still say it.  The header comes last.
 */
#include "audit-stream.h"

int
stream_put_marker(struct stream *s, uint64_t off, const struct marker *m,
		  struct vd_err *err)
{
	uint8_t b[VMDK_SECTOR] = { 0 };

	vmdk_put64(b, m->val);
	vmdk_put32(b + 8, m->size);
	vmdk_put32(b + 12, m->type);
	if (off > s->quiet && off < s->loud)
		s->quiet = off;		/* from here on, still nothing */
	/* Before a grain's data it is only these twelve bytes. */
	return vd_file_write(s->p->f, b, m->size ? STREAM_MARK : VMDK_SECTOR,
			     off, err);
}

/* All of it where there is room, as some want it; else what a reader needs. */
size_t
stream_zeros(struct stream *s, uint64_t grain, uint64_t size)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
	size_t n;

	if (!c)
		return 0;
	memset(s->out, 0, s->p->grain * VMDK_SECTOR);
	memset(s->in, 0, s->in_len);
	n = libdeflate_zlib_compress(c, s->out, s->p->grain * VMDK_SECTOR,
				     s->in, size);
	if (!n)
		n = libdeflate_zlib_compress(c, s->out, stream_needed(s, grain),
					     s->in, size);
	libdeflate_free_compressor(c);
	return n;
}

int
stream_put_zeros(struct stream *s, uint64_t off, uint64_t grain, uint64_t size,
		 struct vd_err *err)
{
	struct marker m = { grain * s->p->grain, (uint32_t)size, 0 };
	int ret;

	if (!stream_zeros(s, grain, size))
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = vd_file_write(s->p->f, s->in, size, off + STREAM_MARK, err);
	return ret ? ret : stream_put_marker(s, off, &m, err);
}

static int
put_table(struct stream *s, uint64_t t, uint64_t *at, uint32_t *gde,
	  struct vd_err *err)
{
	struct marker m = { s->p->gt_len, 0, STREAM_GT };
	uint8_t *b = calloc(1, s->p->gt_len * VMDK_SECTOR);
	int ret = b ? stream_put_marker(s, *at, &m, err)
		    : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	for (uint32_t k = 0; k < s->p->gtes && !ret; k++)
		vmdk_put32(b + 4 * k, s->made[t][k]);
	*at += VMDK_SECTOR;
	if (!ret)
		ret = vd_file_write(s->p->f, b, s->p->gt_len * VMDK_SECTOR,
				    *at, err);
	*gde = (uint32_t)(*at / VMDK_SECTOR);
	*at += s->p->gt_len * VMDK_SECTOR;
	free(b);
	return ret;
}

static int
put_directory(struct stream *s, const uint32_t *gd, uint64_t *at,
	      struct vd_err *err)
{
	struct marker m = { s->p->dir_len, 0, STREAM_GD };
	uint8_t *b = calloc(s->p->dir_len, VMDK_SECTOR);
	int ret = b ? stream_put_marker(s, *at, &m, err)
		    : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	for (uint64_t t = 0; t < s->p->ntables && !ret; t++)
		vmdk_put32(b + 4 * t, gd[t]);
	*at += VMDK_SECTOR;
	s->gd_at = *at / VMDK_SECTOR;
	if (!ret)
		ret = vd_file_write(s->p->f, b, s->p->dir_len * VMDK_SECTOR,
				    *at, err);
	*at += s->p->dir_len * VMDK_SECTOR;
	free(b);
	return ret;
}

/* Footer and end in one write: half of it is no footer. */
static int
put_footer(struct stream *s, uint64_t *at, struct vd_err *err)
{
	uint8_t b[3 * VMDK_SECTOR] = { 0 };
	int ret = vd_file_sync(s->p->f, err);

	vmdk_put64(b, 1);
	vmdk_put32(b + 12, STREAM_FOOTER);
	memcpy(b + VMDK_SECTOR, s->p->head, VMDK_SECTOR);
	vmdk_put64(b + VMDK_SECTOR + 56, s->gd_at);
	if (!ret)
		ret = vd_file_write(s->p->f, b, sizeof(b), *at, err);
	*at += sizeof(b);
	if (!ret)
		ret = vd_file_truncate(s->p->f, *at, err);
	return ret ? ret : vd_file_sync(s->p->f, err);
}

int
stream_rebuild(struct stream *s, struct vd_err *err)
{
	struct vmdk_part *p = s->p;
	uint64_t at = s->end, text = (p->text_at + p->text_len) * VMDK_SECTOR;
	uint32_t *gd = calloc(p->ntables, 4);
	int ret = gd ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	if (p->text_len && at < text)
		at = text;
	/* Pointers are 32 bits. */
	if (!ret && at / VMDK_SECTOR + p->dir_len + s->nmade * (1 + p->gt_len) +
	    2 > UINT32_MAX)
		ret = vd_fail(err, EFBIG, at, "no room for a directory below "
			      "2 TiB");
	/* No directory in front, and no copy of one. */
	if (p->gd_at != UINT64_MAX || p->rgd_at || (p->flags & VMDK_F_RGD)) {
		vmdk_part_set32(p, 8, p->flags & ~VMDK_F_RGD);
		vmdk_part_set64(p, 48, 0);
		vmdk_part_set64(p, 56, UINT64_MAX);
	}
	for (uint64_t t = 0; t < p->ntables && !ret; t++)
		if (s->made[t])
			ret = put_table(s, t, &at, &gd[t], err);
	if (!ret)
		ret = put_directory(s, gd, &at, err);
	if (!ret)
		ret = put_footer(s, &at, err);
	free(gd);
	return ret ? ret : vmdk_part_put(p, err);
}
