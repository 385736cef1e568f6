/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * raw.c - the bytes of the file are the bytes of the disk.
 *
 * A regular file or a block device.  Claims nothing when probing: raw is what
 * remains, and the core decides when it may be guessed.
 *
 * A file whose size is no multiple of 512 is served rounded up: the missing
 * bytes read as zeros, and the file grows by them when they are written.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "raw.h"

struct raw {
	struct vd_file *file;
	uint64_t	size;
};

static enum vd_verdict
raw_probe(const struct vd_probe_in *in, struct vd_probe_out *out)
{
	out->confidence = 0;
	out->virtual_size = (in->file_size + 511) & ~UINT64_C(511);
	snprintf(out->variant, sizeof(out->variant), "raw");
	if (in->file_size & 511)
		out->warn(out, "size is not a multiple of 512 bytes");
	return VD_MINE;
}

static int
raw_open(struct vd_host *host, struct vd_file *file, unsigned flags,
	 struct vd_image_info *info, void **img, struct vd_err *err)
{
	struct raw *r = calloc(1, sizeof(*r));

	(void)host;
	(void)flags;
	if (!r)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	r->file = file;
	r->size = (vd_file_size(file) + 511) & ~UINT64_C(511);
	info->virtual_size = r->size;
	snprintf(info->variant, sizeof(info->variant), "%s",
		 vd_file_is_block(file) ? "block device" : "raw");
	*img = r;
	return 0;
}

static int
raw_close(void *img, struct vd_err *err)
{
	(void)err;
	free(img);
	return 0;
}

static int
raw_map(void *img, uint64_t off, uint64_t len, struct vd_extent *ext,
	struct vd_err *err)
{
	struct raw *r = img;

	(void)err;
	ext->kind = VD_EXT_DATA;
	ext->len = len;
	ext->file = r->file;
	ext->host_off = off;
	return 0;
}

static int
raw_discard(void *img, uint64_t off, uint64_t len, struct vd_err *err)
{
	struct raw *r = img;

	return vd_file_punch(r->file, off, len, err);
}

/* The new part is a hole of the file; a partition or volume is for others. */
static int
raw_resize(void *img, uint64_t size, struct vd_err *err)
{
	struct raw *r = img;
	int ret;

	if (vd_file_is_block(r->file))
		return vd_fail(err, ENOTSUP, VD_NOWHERE,
			       "is a block device, which has its size");
	if (size == r->size)
		return 0;
	ret = vd_file_truncate(r->file, size, err);
	if (!ret)
		r->size = size;
	return ret;
}

/* Raw bytes have no name; their content is known by size and time. */
static int
raw_identity(void *img, struct vd_identity *id, struct vd_err *err)
{
	struct raw *r = img;

	(void)err;
	id->virtual_size = r->size;
	vd_file_stamp(r->file, id->content, sizeof(id->content));
	return 0;
}

static int
raw_create(struct vd_host *host, const char *path, const struct vd_create *c,
	   struct vd_err *err)
{
	struct vd_file *f;
	int ret;

	if (c->variant && strcmp(c->variant, "raw"))
		return vd_fail(err, EINVAL, VD_NOWHERE, "raw has no variant "
			       "%s", c->variant);
	ret = vd_host_create(host, path, &f, err);
	if (!ret)
		ret = vd_file_truncate(f, c->virtual_size, err);
	if (!ret && (c->flags & VD_CREATE_FIXED))
		ret = vd_file_reserve(f, 0, c->virtual_size, err);
	return ret;
}

static const char *const raw_extensions[] = { "raw", NULL };
static const char *const raw_packs[] = { "", NULL };

static const struct vd_format raw_format = {
	VD_FORMAT_INIT,
	.name = "raw",
	.summary = "plain files and block devices",
	.extensions = raw_extensions,
	.flags = VD_FORMAT_REST,
	.probe = raw_probe,
	.open = raw_open,
	.close = raw_close,
	.map = raw_map,
	.discard = raw_discard,
	.create = raw_create,
	.resize = raw_resize,
	.identity = raw_identity,
	.packs = raw_packs,
	.pack = raw_pack,
};

const struct vd_format *
vd_module(void)
{
	return &raw_format;
}
