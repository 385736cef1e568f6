/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image.c - open and close: the descriptor, its extents, and which of them
 * holds a byte of the disk.
 *
 * Nothing is written here, also not by an open for writing: an image that no
 * guest wrote to stays as it was, byte by byte.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

#define GROWTH	256u	/* what a new identity may add to the text */

static void
vmdk_free(struct vmdk *v)
{
	if (!v)
		return;
	for (unsigned i = 0; i < v->nextents; i++)
		if (v->extents[i].kind == VMDK_SPARSE)
			vmdk_sparse_free(&v->extents[i]);
	pthread_mutex_destroy(&v->text_lock);
	free(v->extents);
	free(v->text);
	free(v);
}

/* Where is the text, and how long may it be? */
static int
find_text(struct vmdk *v, uint64_t *len, struct vd_err *err)
{
	uint8_t raw[VMDK_HEADER_LEN];
	struct vmdk_header h;
	uint64_t size = vd_file_size(v->file);
	int ret = vd_file_read(v->file, raw, sizeof(raw), 0, err);

	if (ret)
		return ret;
	v->embedded = vmdk_header_decode(raw, &h);
	if (!v->embedded) {
		*len = size <= VMDK_DESC_MAX ? size : VMDK_DESC_MAX + 1;
		v->text_room = *len + GROWTH;
		return 0;
	}
	ret = vmdk_header_check(&h, size, err);
	if (!ret)
		ret = vmdk_header_supported(&h, err);
	v->text_off = h.desc_sector * VMDK_SECTOR;
	*len = h.desc_sector ? h.desc_sectors * VMDK_SECTOR : 0;
	if (*len > VMDK_DESC_MAX)
		*len = VMDK_DESC_MAX;
	v->text_room = *len;
	return ret;
}

static int
refuse_magic(const char *text, size_t len, struct vd_err *err)
{
	static const char sesparse[8] = "\xbe\xba\xfe\xca";

	if (len >= 4 && !memcmp(text, "COWD", 4))
		return vd_fail(err, ENOTSUP, 0, "ESX sparse (COWD) extents "
			       "are not supported, and hold no descriptor");
	if (len >= 8 && !memcmp(text, sesparse, 8))
		return vd_fail(err, ENOTSUP, 0, "space-efficient sparse "
			       "extents are not supported, and hold no "
			       "descriptor");
	return vd_fail(err, EINVAL, 0, "neither a sparse extent nor a VMDK "
		       "descriptor");
}

static int
load_text(struct vmdk *v, struct vd_err *err)
{
	uint64_t len;
	int ret = find_text(v, &len, err);

	if (ret)
		return ret;
	v->text = calloc(1, v->text_room + 1);
	if (!v->text)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for the "
			       "descriptor");
	ret = vd_file_read(v->file, v->text, len, v->text_off, err);
	if (ret)
		return ret;
	v->text_len = strnlen(v->text, len);
	if (!v->embedded && !vmdk_desc_looks(v->text, v->text_len))
		return refuse_magic(v->text, len, err);
	if (v->text_len > VMDK_DESC_MAX)
		return vd_fail(err, EFBIG, VMDK_DESC_MAX, "descriptor is "
			       "longer than %u bytes", VMDK_DESC_MAX);
	ret = vmdk_desc_parse(v->text, v->text_len, v->text_off, &v->desc,
			      err);
	if (!ret)
		ret = vmdk_desc_supported(&v->desc, v->embedded, v->text_off,
					  err);
	return ret;
}

/*
 * VMware's change tracking file would go stale silently, and with it the
 * owner's next incremental backup.
 */
static int
check_writing(const struct vmdk *v, struct vd_err *err)
{
	const struct vmdk_desc *d = &v->desc;
	int ret;

	if (v->rdonly || (d->version != 3 && !d->change_track.n))
		return 0;
	ret = vd_fail(err, ENOTSUP, v->text_off, "has a change tracking file, "
		      "which a write would make wrong");
	vd_err_help(err, "open it read-only, or copy it: vdiskadm translate "
		    "-I %s -x vmdk -d NEW.vmdk", vd_file_name(v->file));
	return ret;
}

static int
named_twice(struct vmdk *v, const struct vmdk_extline *l, struct vd_err *err)
{
	for (unsigned i = 0; i < v->nextents; i++) {
		struct vmdk_str s = v->extents[i].name;

		if (s.n == l->name.n && !memcmp(s.p, l->name.p, s.n))
			return vd_fail(err, EINVAL, v->text_off + l->pos,
				       "two extents name the same file");
	}
	return 0;
}

static int
check_line(struct vmdk *v, const struct vmdk_extline *l, struct vd_err *err)
{
	const struct vmdk_type *t = vmdk_type_find(v->desc.create_type);
	enum vmdk_kind want = v->embedded ? VMDK_SPARSE : t->kind;
	uint64_t at = v->text_off + l->pos;

	if (l->kind != want)
		return vd_fail(err, ENOTSUP, at, "extents of type %.*s are "
			       "not supported in %s images",
			       l->type.n < 32 ? (int)l->type.n : 32,
			       l->type.p, t ? t->name : "sparse");
	if (l->access == VMDK_NOACCESS)
		return vd_fail(err, ENOTSUP, at, "an extent may not be "
			       "accessed (NOACCESS)");
	if (l->access == VMDK_RDONLY && !v->rdonly)
		return vd_fail(err, EROFS, at, "an extent is marked RDONLY: "
			       "the image can only be read");
	if (l->offset && vmdk_str_is(l->type, "VMFS"))
		return vd_fail(err, EINVAL, at,
			       "a VMFS extent cannot have an offset");
	return v->embedded ? 0 : named_twice(v, l, err);
}

static int
open_flat(struct vmdk_extent *x, uint64_t offset, struct vd_err *err)
{
	uint64_t need, size = vd_file_size(x->file);

	x->file_off = offset * VMDK_SECTOR;
	need = x->file_off + x->len;
	if (size >= need)
		return 0;
	return vd_fail(err, EINVAL, size, "the file ends %" PRIu64 " bytes "
		       "before its extent does", need - size);
}

static int
open_extent(struct vmdk *v, const struct vmdk_extline *l, struct vd_err *err)
{
	struct vmdk_extent *x;
	char name[VD_NAME_MAX];
	int ret = check_line(v, l, err);

	if (ret)
		return ret;
	x = &v->extents[v->nextents++];
	x->kind = l->kind;
	x->name = l->name;
	x->start = v->size;
	x->len = l->sectors * VMDK_SECTOR;
	v->size += x->len;
	/* The name inside an embedded descriptor may be from before a rename. */
	x->file = v->file;
	if (!v->embedded)
		ret = vd_host_open(v->host,
				   vmdk_str_copy(l->name, name, sizeof(name)),
				   v->rdonly ? VD_OPEN_RDONLY : 0, &x->file,
				   err);
	if (ret) {
		vd_err_help(err, "%s lists it as an extent",
			    vd_file_name(v->file));
		return ret;
	}
	ret = l->kind == VMDK_FLAT
		? open_flat(x, l->offset, err)
		: vmdk_sparse_open(v, x, l->sectors, err);
	if (ret)
		vd_err_file(err, vd_file_name(x->file));
	return ret;
}

static int
open_extents(struct vmdk *v, struct vd_err *err)
{
	struct vmdk_cursor c = { v->text, v->text_len, 0 };
	struct vmdk_extline x;
	struct vmdk_line l;
	int ret = 0;

	v->extents = calloc(v->desc.nextents, sizeof(*v->extents));
	if (!v->extents)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	while (!ret && vmdk_line_next(&c, &l)) {
		if (l.kind != VMDK_LINE_EXTENT)
			continue;
		ret = vmdk_extline_parse(&l, v->text_off, &x, err);
		if (!ret)
			ret = open_extent(v, &x, err);
	}
	return ret;
}

static void
tell(const struct vmdk *v, struct vd_image_info *info)
{
	const struct vmdk_extent *x = v->extents;

	info->virtual_size = v->size;
	info->unit = x->kind == VMDK_SPARSE ? x->grain : 0;
	for (unsigned i = 0; i < v->nextents; i++)
		if (x[i].kind == VMDK_SPARSE && x[i].h.unclean)
			info->flags |= VD_IMG_UNCLEAN;
	snprintf(info->variant, sizeof(info->variant), "%s",
		 vmdk_variant(v->embedded ? &x->h : NULL, &v->desc));
}

int
vmdk_open(struct vd_host *host, struct vd_file *file, unsigned flags,
	  struct vd_image_info *info, void **img, struct vd_err *err)
{
	struct vmdk *v = calloc(1, sizeof(*v));
	int ret;

	if (!v)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	pthread_mutex_init(&v->text_lock, NULL);
	v->host = host;
	v->file = file;
	v->rdonly = flags & VD_OPEN_RDONLY;
	ret = load_text(v, err);
	if (!ret)
		ret = check_writing(v, err);
	if (!ret)
		ret = open_extents(v, err);
	if (ret) {
		vd_err_file(err, vd_file_name(file));
		vmdk_free(v);
		return ret;
	}
	tell(v, info);
	*img = v;
	return 0;
}

int
vmdk_close(void *img, struct vd_err *err)
{
	struct vmdk *v = img;
	int ret = v->begun ? vmdk_mark_clean(v, err) : 0;

	vmdk_free(v);
	return ret;
}

struct vmdk_extent *
vmdk_extent_at(struct vmdk *v, uint64_t off)
{
	unsigned lo = 0, hi = v->nextents;

	while (hi - lo > 1) {
		unsigned mid = lo + (hi - lo) / 2;

		if (v->extents[mid].start <= off)
			lo = mid;
		else
			hi = mid;
	}
	return &v->extents[lo];
}

int
vmdk_map(void *img, uint64_t off, uint64_t len, struct vd_extent *ext,
	 struct vd_err *err)
{
	struct vmdk *v = img;
	struct vmdk_extent *x = vmdk_extent_at(v, off);
	uint64_t in = off - x->start;
	int ret;

	if (len > x->len - in)
		len = x->len - in;
	if (x->kind == VMDK_FLAT) {
		ext->kind = VD_EXT_DATA;
		ext->len = len;
		ext->file = x->file;
		ext->host_off = x->file_off + in;
		return 0;
	}
	ret = vmdk_sparse_map(x, in, len, ext, err);
	ext->unit_off += x->start;
	return ret;
}
