/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * create.c - a new, empty image.
 *
 * Map and data begin at whole MiB, as VirtualBox lays them out, so that guest
 * blocks fall on host blocks.  The header is written last: a file left over
 * from a creation that was cut short is not taken for a VDI.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "vdi.h"

#define VDI_CHUNK_ENTRIES	16384u

static int
vdi_create_type(const struct vd_create *c, uint32_t *type, struct vd_err *err)
{
	bool fixed = c->flags & VD_CREATE_FIXED;
	const char *name = c->variant;

	*type = fixed ? VDI_FIXED : VDI_DYNAMIC;
	if (!name || !*name)
		return 0;
	if (!strcmp(name, "fixed") || (!strcmp(name, "dynamic") && !fixed)) {
		*type = !strcmp(name, "fixed") ? VDI_FIXED : VDI_DYNAMIC;
		return 0;
	}
	if (!strcmp(name, "dynamic"))
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "a vdi cannot be both dynamic and fixed");
	return vd_fail(err, EINVAL, VD_NOWHERE,
		       "vdi: no variant '%s'; there are dynamic and fixed",
		       name);
}

static int
vdi_create_layout(struct vdi_header *h, const struct vd_create *c,
		  struct vd_err *err)
{
	uint64_t block = c->unit ? c->unit : VDI_BLOCK_USUAL, blocks;
	int ret;

	if (block < VDI_BLOCK_MIN || block > 1u << 31 || block & (block - 1))
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "vdi: block size %" PRIu64
			       " is not a power of two from 512 to 2 GiB",
			       block);
	if (!c->virtual_size || c->virtual_size % 512 ||
	    c->virtual_size > INT64_MAX)
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "vdi: disk size %" PRIu64
			       " is not a multiple of 512", c->virtual_size);
	blocks = (c->virtual_size - 1) / block + 1;
	if (4 * blocks > VDI_MAP_MAX) {
		ret = vd_fail(err, EFBIG, VD_NOWHERE,
			      "vdi: %" PRIu64 " blocks are more than the %" PRIu64 " we serve",
			      blocks, VDI_MAP_MAX / 4);
		vd_err_help(err, c->unit ? "choose larger blocks"
				: "a raw image has no such limit");
		return ret;
	}
	h->disk = c->virtual_size;
	h->block = (uint32_t)block;
	h->blocks = (uint32_t)blocks;
	h->map_off = VDI_ALIGN;
	h->data_off = (uint32_t)((VDI_ALIGN + 4 * blocks + VDI_ALIGN - 1) /
				 VDI_ALIGN * VDI_ALIGN);
	return 0;
}

/* All but the type and the parent. */
static int
vdi_create_header(struct vdi_header *h, const struct vd_create *c,
		  struct vd_err *err)
{
	int ret;

	memset(h, 0, sizeof(*h));
	h->major = 1;
	h->minor = 1;
	h->header_len = VDI_HEADER_LONG;
	h->sector = 512;
	h->lchs_sector = 512;
	snprintf(h->text, sizeof(h->text), VDI_TEXT_OURS "\n");
	if (c->comment && strlen(c->comment) >= VDI_COMMENT_LEN)
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "vdi: a comment has at most %d bytes",
			       VDI_COMMENT_LEN - 1);
	if (c->comment)
		snprintf(h->comment, sizeof(h->comment), "%s", c->comment);
	ret = vdi_create_layout(h, c, err);
	if (!ret)
		ret = vdi_uuid_random(h->create, err);
	if (!ret)
		ret = vdi_uuid_random(h->modify, err);
	return ret;
}

/* All free, or every block at its own place. */
static int
vdi_create_map(struct vd_file *f, const struct vdi_header *h,
	       struct vd_err *err)
{
	uint8_t *chunk = malloc(4 * VDI_CHUNK_ENTRIES);
	uint32_t done, n, i;
	int ret = 0;

	if (!chunk)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	for (done = 0; done < h->blocks && !ret; done += n) {
		n = h->blocks - done;
		if (n > VDI_CHUNK_ENTRIES)
			n = VDI_CHUNK_ENTRIES;
		for (i = 0; i < n; i++)
			vdi_put32(chunk + 4 * i, h->type == VDI_FIXED
				  ? done + i : VDI_FREE);
		ret = vd_file_write(f, chunk, 4 * n,
				    h->map_off + 4ull * done, err);
	}
	free(chunk);
	return ret;
}

/* Both kinds read as zeros; a fixed image also owns its room. */
static int
vdi_create_data(struct vd_file *f, const struct vdi_header *h,
		struct vd_err *err)
{
	uint64_t len = (uint64_t)h->allocated * h->block;
	int ret;

	if (len > (uint64_t)INT64_MAX - h->data_off)
		return vd_fail(err, EFBIG, VD_NOWHERE,
			       "vdi: too large for a file");
	ret = vd_file_truncate(f, h->data_off + len, err);
	if (!ret && len)
		ret = vd_file_reserve(f, h->data_off, len, err);
	return ret;
}

static int
vdi_create_file(struct vd_host *host, const char *path,
		const struct vdi_header *h, struct vd_err *err)
{
	uint8_t head[VDI_HEAD_MAX];
	struct vd_file *f;
	int ret;

	ret = vd_host_create(host, path, &f, err);
	if (!ret)
		ret = vdi_create_data(f, h, err);
	if (!ret)
		ret = vdi_create_map(f, h, err);
	if (ret < 0)
		return ret;
	vdi_encode(h, head);
	return vd_file_write(f, head, sizeof(head), 0, err);
}

int
vdi_create(struct vd_host *host, const char *path, const struct vd_create *c,
	   struct vd_err *err)
{
	struct vdi_header h;
	uint32_t type;
	int ret;

	ret = vdi_create_type(c, &type, err);
	if (!ret)
		ret = vdi_create_header(&h, c, err);
	if (ret < 0)
		return ret;
	h.type = type;
	if (type == VDI_FIXED)
		h.allocated = h.blocks;
	return vdi_create_file(host, path, &h, err);
}

/* A child can name any parent that has a UUID, of whatever format. */
static int
vdi_create_link(struct vdi_header *h, const char *format,
		const struct vd_identity *parent, struct vd_err *err)
{
	int ret;

	if (parent->virtual_size && parent->virtual_size != h->disk)
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "vdi: a child has the size of its parent, %"
			       PRIu64 " bytes", parent->virtual_size);
	if (!vdi_uuid_parse(parent->id, h->link) || vdi_uuid_null(h->link)) {
		ret = vd_fail(err, ENOTSUP, VD_NOWHERE,
			      "vdi: a child names its parent by UUID, and this %s image has none",
			      format);
		vd_err_help(err, "choose another format for the child");
		return ret;
	}
	vdi_content_id(parent->content, h->link_modify);
	h->type = VDI_DIFF;
	return 0;
}

int
vdi_create_child(struct vd_host *host, const char *path,
		 const char *parent_format, const struct vd_parent *parent,
		 const struct vd_create *c, struct vd_err *err)
{
	struct vdi_header h;
	int ret;

	if ((c->flags & VD_CREATE_FIXED) ||
	    (c->variant && *c->variant && strcmp(c->variant, "differencing")))
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "vdi: a child is always of variant differencing");
	ret = vdi_create_header(&h, c, err);
	if (!ret)
		ret = vdi_create_link(&h, parent_format, &parent->expected,
				      err);
	return ret ? ret : vdi_create_file(host, path, &h, err);
}
