/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * extent.c - the extents of a disk: what an extent line asks for, and which
 * extent holds a byte.
 *
 * An extent that cannot be written to (RDONLY, compressed) answers TRANSFORM
 * in a disk that is open for writing: the core then refuses a write there, and
 * leaves the rest of the disk writable.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

/* ------------------------------------------------------------------ open */

static int
check_kind(struct vmdk *v, const struct vmdk_extline *l, struct vd_err *err)
{
	const struct vmdk_type *t = vmdk_type_find(v->desc.create_type);
	enum vmdk_kind want = v->embedded ? VMDK_SPARSE : t->kind;

	if (l->kind == want || (l->kind == VMDK_ZERO && !v->embedded) ||
	    (want == VMDK_ANY && l->kind != VMDK_OTHER))
		return 0;
	return vd_fail(err, ENOTSUP, v->text_off + l->pos, "extents of type "
		       "%.*s are not supported in %s images",
		       l->type.n < 32 ? (int)l->type.n : 32, l->type.p,
		       t ? t->name : "sparse");
}

static int
check_line(struct vmdk *v, const struct vmdk_extline *l, struct vd_err *err)
{
	int ret = check_kind(v, l, err);

	if (!ret && l->offset && vmdk_str_is(l->type, "VMFS"))
		ret = vd_fail(err, EINVAL, v->text_off + l->pos,
			      "a VMFS extent cannot have an offset");
	return ret;
}

static bool
same_name(struct vmdk_str a, struct vmdk_str b)
{
	return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

/* One raw file may hold several extents, as long as they do not overlap. */
static int
share_file(struct vmdk *v, struct vmdk_extent *x,
	   const struct vmdk_extline *l, struct vd_err *err)
{
	uint64_t from = l->offset * VMDK_SECTOR;

	for (struct vmdk_extent *o = v->extents; o < x; o++) {
		if (!o->file || !same_name(o->name, l->name))
			continue;
		if (l->kind != VMDK_FLAT || o->kind != VMDK_FLAT)
			return vd_fail(err, EINVAL, v->text_off + l->pos,
				       "two extents name the same file");
		if (from < o->file_off + o->len && o->file_off < from + x->len)
			return vd_fail(err, EINVAL, v->text_off + l->pos,
				       "two extents name the same file, and "
				       "the same part of it");
		x->file = o->file;
	}
	return 0;
}

/* Devices are read only: something else on this host lives there. */
static bool
is_device(const struct vmdk *v, const struct vmdk_extline *l)
{
	return !v->embedded && vmdk_extline_device(&v->desc, l);
}

static int
open_file(struct vmdk *v, struct vmdk_extent *x,
	  const struct vmdk_extline *l, struct vd_err *err)
{
	char name[VD_NAME_MAX];
	int ret;

	/* The name inside an embedded descriptor may be from before a rename. */
	if (v->embedded) {
		x->file = v->file;
		return 0;
	}
	ret = share_file(v, x, l, err);
	for (unsigned i = 0; i < v->nopen && !x->file; i++)
		if (same_name((struct vmdk_str){ v->open[i].name,
			      strlen(v->open[i].name) }, l->name))
			x->file = v->open[i].file;
	if (ret || x->file)
		return ret;
	ret = vd_host_open(v->host, vmdk_str_copy(l->name, name, sizeof(name)),
			   (v->rdonly || x->frozen ? VD_OPEN_RDONLY : 0) |
			   (is_device(v, l) ? VD_OPEN_DEVICE : 0), &x->file,
			   err);
	if (ret)
		vd_err_help(err, "%s lists it as an extent",
			    vd_file_name(v->file));
	return ret;
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
open_kind(struct vmdk *v, struct vmdk_extent *x, const struct vmdk_extline *l,
	  struct vd_err *err)
{
	int ret = open_file(v, x, l, err);

	if (ret)
		return ret;
	ret = x->kind == VMDK_FLAT ? open_flat(x, l->offset, err)
				   : vmdk_sparse_open(v, x, l->sectors, err);
	if (ret)
		vd_err_file(err, vd_file_name(x->file));
	return ret;
}

static int
open_extent(struct vmdk *v, const struct vmdk_extline *l, struct vd_err *err)
{
	struct vmdk_extent *x;
	int ret = check_line(v, l, err);

	if (ret)
		return ret;
	x = &v->extents[v->nextents++];
	x->kind = l->kind == VMDK_DEVICE ? VMDK_FLAT : l->kind;
	x->access = l->access;
	x->frozen = l->access != VMDK_RW || l->kind == VMDK_ZERO ||
		    is_device(v, l);
	x->name = l->name;
	x->start = v->size;
	x->len = l->sectors * VMDK_SECTOR;
	v->size += x->len;
	if (x->kind == VMDK_ZERO || x->access == VMDK_NOACCESS)
		return 0;
	return open_kind(v, x, l, err);
}

int
vmdk_extents_open(struct vmdk *v, struct vd_err *err)
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

int
vmdk_extents_files(struct vmdk *v, struct vd_err *err)
{
	struct vmdk_cursor c = { v->text, v->text_len, 0 };
	struct vmdk_extline l;
	struct vmdk_line line;

	v->extents = calloc(v->desc.nextents + 1, sizeof(*v->extents));
	if (!v->extents)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	while (v->nextents < v->desc.nextents && vmdk_line_next(&c, &line)) {
		struct vmdk_extent *x = &v->extents[v->nextents];

		if (line.kind != VMDK_LINE_EXTENT)
			continue;
		if (vmdk_extline_parse(&line, v->text_off, &l, NULL))
			break;
		v->nextents++;
		x->kind = l.kind;
		x->access = l.access;
		x->frozen = v->rdonly;
		x->name = l.name;
		x->len = l.sectors * VMDK_SECTOR;
		if (x->kind == VMDK_ZERO || x->access == VMDK_NOACCESS ||
		    x->kind == VMDK_OTHER)
			continue;
		/* What may not be opened is not damaged. */
		if (open_file(v, x, &l, is_device(v, &l) ? &v->flaw : NULL) &&
		    is_device(v, &l))
			v->flaw.code = ENOTSUP;
	}
	return 0;
}

void
vmdk_extents_free(struct vmdk *v)
{
	for (unsigned i = 0; i < v->nextents; i++)
		vmdk_sparse_free(&v->extents[i]);
	free(v->extents);
}

/* -------------------------------------------------------------- map, read */

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

/* off, len: inside the extent; so are the offsets of the answer. */
static int
map_extent(struct vmdk *v, struct vmdk_extent *x, uint64_t off, uint64_t len,
	   struct vd_extent *ext, struct vd_err *err)
{
	int ret;

	if (x->access == VMDK_NOACCESS) {
		ret = vd_fail(err, EACCES, VD_NOWHERE, "disk offset %" PRIu64
			      " is in an extent that may not be accessed "
			      "(NOACCESS)", x->start + off);
		vd_err_file(err, vd_file_name(v->file));
		return ret;
	}
	*ext = (struct vd_extent){ .kind = VD_EXT_ZERO, .len = len,
				   .unit_len = x->len };
	if (x->kind == VMDK_ZERO)
		return 0;
	if (x->kind != VMDK_FLAT)
		return vmdk_sparse_map(x, off, len, ext, err);
	ext->kind = VD_EXT_DATA;
	ext->file = x->file;
	ext->host_off = x->file_off + off;
	return 0;
}

int
vmdk_map(void *img, uint64_t off, uint64_t len, struct vd_extent *ext,
	 struct vd_err *err)
{
	struct vmdk *v = img;
	struct vmdk_extent *x = vmdk_extent_at(v, off);
	uint64_t in = off - x->start;
	int ret = map_extent(v, x, in, len < x->len - in ? len : x->len - in,
			     ext, err);

	if (ret)
		return ret;
	ext->unit_off += x->start;
	if (ext->kind == VD_EXT_DATA && x->frozen && !v->rdonly)
		ext->kind = VD_EXT_TRANSFORM;
	return 0;
}

/* TRANSFORM: compressed, or only not to be written to. */
int
vmdk_read(void *img, void *buf, uint64_t off, uint64_t len, struct vd_err *err)
{
	struct vmdk *v = img;
	struct vmdk_extent *x = vmdk_extent_at(v, off);
	uint64_t in = off - x->start;
	struct vd_extent e;
	uint8_t *p = buf;
	int ret = 0;

	if (x->stream)
		return vmdk_stream_read(x, buf, in, len, err);
	for (; len && !ret; in += e.len, p += e.len, len -= e.len) {
		ret = map_extent(v, x, in, len, &e, err);
		if (ret)
			break;
		if (e.kind == VD_EXT_DATA)
			ret = vd_file_read(e.file, p, e.len, e.host_off, err);
		else
			memset(p, 0, e.len);
	}
	return ret;
}
