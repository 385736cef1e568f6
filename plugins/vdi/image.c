/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image.c - an open VDI: where its bytes are, and what it says of itself.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "vdi.h"

/* Entries one map() call looks at; the core asks again for the rest. */
#define VDI_MAP_RUN	(1u << 20)
/* Blocks that info() counts in the map: well under a second. */
#define VDI_COUNT_MAX	(1u << 24)

void
vdi_unload(struct vdi *v)
{
	if (v->map)
		vd_table_close(v->map);
	v->map = NULL;
	free(v->used);
	v->used = NULL;
}

static void
vdi_free(struct vdi *v)
{
	if (!v)
		return;
	vdi_unload(v);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

/* Page n of the map has one copy, right behind page n - 1. */
static void
vdi_locate(void *ctx, uint64_t page, uint64_t off[2])
{
	const struct vdi *v = ctx;

	off[0] = v->h.map_off + page * VDI_PAGE_ENTRIES * 4;
	off[1] = 0;
}

static int
vdi_open_map(struct vdi *v, struct vd_err *err)
{
	struct vd_table_spec spec = {
		.size = sizeof(spec),
		.entry_bytes = 4,
		.page_entries = VDI_PAGE_ENTRIES,
		.copies = 1,
		.entries = v->h.blocks,
		.locate = vdi_locate,
		.ctx = v,
		.absent = VDI_FREE,
	};

	vdi_content(v->head, spec.content);
	return vd_table_open(v->host, v->file, &spec, &v->map, err);
}

static int
vdi_read_header(struct vdi *v, struct vd_err *err)
{
	uint64_t size = vd_file_size(v->file);
	uint32_t len = size < VDI_HEAD_MAX ? (uint32_t)size : VDI_HEAD_MAX;
	enum vd_verdict verdict;
	int ret;

	ret = vd_file_read(v->file, v->head, len, 0, err);
	if (ret < 0)
		return ret;
	verdict = vdi_parse(v->head, len, size, &v->h, err);
	if (verdict == VD_NOT_MINE)
		return vd_fail(err, EINVAL, VDI_OFF_SIGNATURE,
			       "not a VDI: the signature is missing");
	if (verdict == VD_MINE_BROKEN)
		return -EINVAL;
	v->disk = vdi_disk_size(&v->h);
	v->child = vdi_is_child(&v->h);
	v->rdonly |= vdi_only_read(&v->h);
	v->eof = v->written = v->keep = size;
	v->counted = v->h.allocated;
	/* Never rewrite map entries from a copy of the header's neighbourhood. */
	v->head_len = v->h.map_off < len ? v->h.map_off : len;
	return vdi_supported(&v->h, err);
}

/* A writable image is looked through once: a wrong map costs other data. */
static int
vdi_prepare_write(struct vdi *v, struct vd_err *err)
{
	int ret = 0;

	if (!vdi_flags_known(&v->h))
		ret = vd_fail(err, ENOTSUP, VDI_OFF_FLAGS,
			      "image flags 0x%x are unknown: writing could break a promise they make",
			      v->h.flags);
	else if (4ull * v->h.blocks > VDI_MAP_MAX)
		ret = vd_fail(err, EFBIG, VDI_OFF_BLOCKS,
			      "block map of %" PRIu64 " bytes: more than %" PRIu64
			      " are not opened for writing",
			      (uint64_t)v->h.blocks * 4, VDI_MAP_MAX);
	if (!ret)
		return vdi_scan(v, err);
	vd_err_help(err, "it can be opened read-only");
	return ret;
}

int
vdi_load(struct vdi *v, struct vd_err *err)
{
	int ret = vdi_read_header(v, err);

	if (!ret)
		ret = vdi_open_map(v, err);
	if (!ret && !v->rdonly)
		ret = vdi_prepare_write(v, err);
	return ret;
}

/*
 * For check and repair, which read the file for themselves.  Damage is no
 * reason to fail; a header that says nothing at all is.  What a dead process
 * left in the crash journal goes into the map first: a repair that did not
 * know of it would give those blocks away.
 */
static int
vdi_load_damaged(struct vdi *v, struct vd_err *err)
{
	uint8_t mark[12];
	int ret;

	/* Signature, version, length: two of them are enough to go by. */
	ret = vd_file_read(v->file, mark, sizeof(mark), VDI_OFF_SIGNATURE, err);
	if (!ret && vdi_get32(mark) != VDI_SIGNATURE &&
	    (vdi_get32(mark + 4) != 0x10001 ||
	     (vdi_get32(mark + 8) != 384 && vdi_get32(mark + 8) != 400)))
		ret = vd_fail(err, EINVAL, VDI_OFF_SIGNATURE,
			      "not a VDI: the signature is missing");
	if (ret || vdi_read_header(v, NULL))
		return ret;
	if (!v->rdonly) {
		ret = vdi_open_map(v, err);
		if (!ret && vd_table_dirty(v->map))
			ret = vd_table_sync(v->map, NULL, NULL, err);
	}
	vdi_unload(v);
	return ret;
}

static void
vdi_describe(const struct vdi *v, struct vd_image_info *info)
{
	if (v->h.disk <= INT64_MAX)
		info->virtual_size = v->disk;
	info->unit = v->h.block;
	if (v->child)
		info->flags |= VD_IMG_CHILD;
	if (vdi_only_read(&v->h))
		info->flags |= VD_IMG_RDONLY;
	vdi_variant(&v->h, info->variant);
}

int
vdi_open(struct vd_host *host, struct vd_file *file, unsigned flags,
	 struct vd_image_info *info, void **img, struct vd_err *err)
{
	struct vdi *v = calloc(1, sizeof(*v));
	int ret;

	if (!v)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for an image");
	pthread_mutex_init(&v->lock, NULL);
	v->host = host;
	v->file = file;
	v->rdonly = v->looking = flags & VD_OPEN_RDONLY;
	ret = flags & VD_OPEN_CHECK ? vdi_load_damaged(v, err)
				    : vdi_load(v, err);
	if (ret < 0) {
		vd_err_file(err, vd_file_name(file));
		vdi_free(v);
		return ret;
	}
	vdi_describe(v, info);
	/* Nobody needs an undo image written, but it may need a repair. */
	if ((flags & VD_OPEN_CHECK) && v->h.major)
		info->flags &= ~(uint32_t)VD_IMG_RDONLY;
	*img = v;
	return 0;
}

int
vdi_close(void *img, struct vd_err *err)
{
	struct vdi *v = img;
	int ret = 0;

	/*
	 * What could not be written keeps its room.  A merge into this image
	 * has made it longer without a begin_write.
	 */
	if (v->map && !v->rdonly && !vd_table_dirty(v->map)) {
		ret = vdi_give_back(v, err);
		if (!ret && v->ahead)
			ret = vdi_write_header(v, err);	/* W4: all is there */
	}
	vdi_free(v);
	return ret;
}

/*
 * How many of len bytes from at on the file has.  Only a read-only image may
 * end before its blocks do; whoever writes it meanwhile may make it longer.
 */
static uint64_t
vdi_in_file(struct vdi *v, uint64_t at, uint64_t len)
{
	uint64_t eof;

	if (!v->rdonly)
		return len;
	eof = vd_file_size(v->file);
	if (at >= eof)
		return 0;
	return eof - at < len ? eof - at : len;
}

/* What one block's entry means for the len bytes that begin skip into it. */
static void
vdi_one(struct vdi *v, uint32_t entry, uint64_t skip, uint64_t len,
	struct vd_extent *ext)
{
	uint64_t at, have;

	ext->len = len;
	if (!vdi_present(entry)) {
		ext->kind = entry == VDI_ZERO ? VD_EXT_ZERO : VD_EXT_HOLE;
		return;
	}
	ext->kind = VD_EXT_ZERO;
	at = vdi_slot(v, entry);
	if (at > INT64_MAX - (1ull << 33))
		return;
	at += v->h.extra + skip;
	have = vdi_in_file(v, at, len);
	if (have) {
		ext->kind = VD_EXT_DATA;
		ext->len = have;
		ext->file = v->file;
		ext->host_off = at;
	}
}

/* How far the run goes on that begins with a whole rest of block i: bytes. */
static uint64_t
vdi_run(struct vdi *v, uint64_t i, uint32_t entry, uint64_t first,
	uint64_t len)
{
	uint64_t most = (len - first + v->h.block - 1) / v->h.block + 1, n;
	bool present = vdi_present(entry);

	/* Slots with extra bytes in front are not one piece. */
	if (present && v->h.extra)
		return first;
	n = vd_table_run(v->map, i, most < VDI_MAP_RUN ? most : VDI_MAP_RUN,
			 entry, present);
	/* The last slot number is not followed by one, but by "zero". */
	if (present && n > (uint64_t)VDI_ZERO - entry)
		n = (uint64_t)VDI_ZERO - entry;
	first += n > 1 ? (n - 1) * v->h.block : 0;
	return first < len ? first : len;
}

int
vdi_map(void *img, uint64_t off, uint64_t len, struct vd_extent *ext,
	struct vd_err *err)
{
	struct vdi *v = img;
	uint64_t i = off / v->h.block, skip = off % v->h.block, want, entry;
	int ret;

	ret = vdi_entry(v, i, &entry, err);
	if (ret < 0)
		return ret;
	ext->unit_off = i * v->h.block;
	ext->unit_len = vdi_block_len(v, i);
	want = v->h.block - skip;
	if (want < len)
		want = vdi_run(v, i, (uint32_t)entry, want, len);
	vdi_one(v, (uint32_t)entry, skip, want < len ? want : len, ext);
	return 0;
}

/* The UUIDs as they are in the file now: begin_write changes one. */
int
vdi_identity(void *img, struct vd_identity *id, struct vd_err *err)
{
	struct vdi *v = img;
	char text[37];

	(void)err;
	id->virtual_size = v->disk;
	pthread_mutex_lock(&v->lock);
	vdi_uuid_text(v->h.major ? v->head + VDI_OFF_CREATE : v->h.create, text);
	snprintf(id->id, sizeof(id->id), "%s", text);
	vdi_uuid_text(v->h.major ? v->head + VDI_OFF_MODIFY : v->h.modify, text);
	snprintf(id->content, sizeof(id->content), "%s", text);
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static void
vdi_add_number(struct vd_info_out *out, const char *key, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	out->add(out, key, text);
}

/* VirtualBox leaves the second one behind when it merges: it is only told. */
static void
vdi_add_parent(struct vdi *v, struct vd_info_out *out)
{
	char text[37];

	if (!v->child)
		return;
	vdi_uuid_text(v->h.link, text);
	out->add(out, "parent uuid", text);
	vdi_uuid_text(v->h.link_modify, text);
	out->add(out, "parent uuid modify", text);
}

/* What the header counts is told always, what the map says if it is quick. */
static int
vdi_add_blocks(struct vdi *v, struct vd_info_out *out, struct vd_err *err)
{
	uint64_t i, entry, data = 0, zero = 0;
	int ret;

	vdi_add_number(out, "blocks", v->h.blocks);
	vdi_add_number(out, "blocks counted", v->h.major
		       ? vdi_get32(v->head + VDI_OFF_ALLOCATED)
		       : v->h.allocated);
	if (!v->map || v->h.blocks > VDI_COUNT_MAX)
		return 0;
	for (i = 0; i < v->h.blocks; i++) {
		ret = vd_table_get(v->map, i, &entry, err);
		if (ret < 0)
			return ret;
		data += vdi_present(entry);
		zero += entry == VDI_ZERO;
	}
	vdi_add_number(out, "blocks allocated", data);
	vdi_add_number(out, "blocks zero", zero);
	return 0;
}

int
vdi_info(void *img, struct vd_info_out *out, struct vd_err *err)
{
	struct vdi *v = img;
	struct vd_identity id = { .size = sizeof(id) };
	char version[16];

	vdi_identity(v, &id, err);
	snprintf(version, sizeof(version), "%u.%u", v->h.major, v->h.minor);
	out->add(out, "version", version);
	vdi_add_number(out, "header length", v->h.header_len);
	if (v->h.text[0])
		out->add(out, "writer", v->h.text);
	if (v->h.comment[0])
		out->add(out, "comment", v->h.comment);
	out->add(out, "uuid", id.id);
	out->add(out, "uuid modify", id.content);
	vdi_add_parent(v, out);
	vdi_add_number(out, "block size", v->h.block);
	if (v->h.extra)
		vdi_add_number(out, "block extra", v->h.extra);
	vdi_add_number(out, "map offset", v->h.map_off);
	vdi_add_number(out, "data offset", v->h.data_off);
	return vdi_add_blocks(v, out, err);
}
