/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * boxed.c - a format module from outside: a page of header, then the bytes.
 *
 *	0	8	"VDBOXED1"
 *	8	8	disk size in bytes, little-endian, a multiple of 512
 *	4096	size	the disk
 *
 * The smallest format that is not raw.  Built from the installed headers
 * alone; a starting point for a real one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <vdisk/format.h>

#define MAGIC	"VDBOXED1"
#define PAYLOAD	4096u

struct boxed {
	struct vd_file *file;
	uint64_t	size;
};

static uint64_t
get64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

static void
put64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++, v >>= 8)
		p[i] = (uint8_t)v;
}

/* Whole sectors, and all of them in the file? */
static bool
size_fits(uint64_t size, uint64_t file_size)
{
	return size && size % 512 == 0 && file_size >= PAYLOAD &&
	       size <= file_size - PAYLOAD;
}

static enum vd_verdict
boxed_probe(const struct vd_probe_in *in, struct vd_probe_out *out)
{
	uint64_t size;

	if (in->head_len < 16 || memcmp(in->head, MAGIC, 8))
		return VD_NOT_MINE;
	size = get64(in->head + 8);
	out->confidence = 90;
	strcpy(out->variant, "plain");
	if (!size_fits(size, in->file_size)) {
		strcpy(out->reason, "the disk does not fit into the file");
		out->reason_off = 8;
		return VD_MINE_BROKEN;
	}
	out->virtual_size = size;
	return VD_MINE;
}

static int
boxed_open(struct vd_host *host, struct vd_file *file, unsigned flags,
	   struct vd_image_info *info, void **img, struct vd_err *err)
{
	uint8_t head[16];
	struct boxed *b;
	int ret;

	(void)host;
	(void)flags;
	ret = vd_file_read(file, head, sizeof(head), 0, err);
	if (ret < 0)
		return ret;
	if (memcmp(head, MAGIC, 8))
		return vd_fail(err, EINVAL, 0, "not a boxed image");
	if (!size_fits(get64(head + 8), vd_file_size(file)))
		return vd_fail(err, EINVAL, 8,
			       "a disk of %" PRIu64 " bytes does not fit into"
			       " the file", get64(head + 8));
	b = calloc(1, sizeof(*b));
	if (!b)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	b->file = file;
	b->size = get64(head + 8);
	info->virtual_size = b->size;
	strcpy(info->variant, "plain");
	*img = b;
	return 0;
}

static int
boxed_close(void *img, struct vd_err *err)
{
	(void)err;
	free(img);
	return 0;
}

static int
boxed_map(void *img, uint64_t off, uint64_t len, struct vd_extent *ext,
	  struct vd_err *err)
{
	struct boxed *b = img;

	(void)err;
	ext->kind = VD_EXT_DATA;
	ext->len = len;
	ext->file = b->file;
	ext->host_off = PAYLOAD + off;
	ext->unit_off = 0;
	ext->unit_len = b->size;
	return 0;
}

static int
boxed_create(struct vd_host *host, const char *path,
	     const struct vd_create *c, struct vd_err *err)
{
	uint8_t head[16] = MAGIC;
	struct vd_file *f;
	int ret;

	put64(head + 8, c->virtual_size);
	ret = vd_host_create(host, path, &f, err);
	if (ret < 0)
		return ret;
	ret = vd_file_truncate(f, PAYLOAD + c->virtual_size, err);
	if (!ret)
		ret = vd_file_write(f, head, sizeof(head), 0, err);
	return ret;
}

static int
boxed_info(void *img, struct vd_info_out *out, struct vd_err *err)
{
	(void)img;
	(void)err;
	out->add(out, "payload", "one to one, from byte 4096");
	return 0;
}

static const char *const extensions[] = { "boxed", NULL };

static const struct vd_format boxed = {
	VD_FORMAT_INIT,
	.name = "boxed",
	.summary = "a header and the bytes of the disk",
	.extensions = extensions,
	.probe = boxed_probe,
	.open = boxed_open,
	.close = boxed_close,
	.map = boxed_map,
	.create = boxed_create,
	.info = boxed_info,
};

const struct vd_format *
vd_module(void)
{
	return &boxed;
}
