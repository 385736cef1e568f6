/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * care.c - check, repair and resize: what a module does to a whole image.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "internal.h"

static int
cannot(const struct vd_layer *l, const char *what, struct vd_err *err)
{
	int ret = vd_fail(err, ENOTSUP, VD_NOWHERE, "module %s cannot %s its "
			  "images", l->format->name, what);

	vd_err_file(err, l->path);
	return ret;
}

int
vd_disk_check(struct vd_disk *d, unsigned layer, struct vd_report *report,
	      struct vd_err *err)
{
	struct vd_layer *l = &d->layers[layer];
	int ret;

	if (layer >= d->nlayers)
		return vd_fail(err, ERANGE, VD_NOWHERE, "no such image in "
			       "the chain");
	if (!l->format->check)
		return cannot(l, "check", err);
	ret = l->format->check(l->img, report, err);
	if (ret)
		vd_err_file(err, l->path);
	return ret;
}

int
vd_disk_repair(struct vd_disk *d, struct vd_report *report, const char *undo,
	       struct vd_err *err)
{
	struct vd_layer *l = &d->layers[0];
	struct vd_undo *u = NULL;
	int ret = 0, ret2;

	if (!l->format->repair)
		return cannot(l, "repair", err);
	if (undo)
		ret = vd_undo_open(undo, &u, err);
	if (ret)
		return ret;
	if (u)
		vd_undo_watch(u, l->host);
	ret = l->format->repair(l->img, report, err);
	ret2 = vd_host_sync_files(l->host, ret ? NULL : err);
	if (ret || ret2)
		vd_err_file(err, l->path);
	d->undo = u;		/* the close may still write, and ends it */
	return ret ? ret : ret2;
}

int
vd_disk_undo(struct vd_library *lib, const char *path, const char *undo,
	     const struct vd_open *o, struct vd_err *err)
{
	/* It may be damaged still: that must not keep anyone from going back. */
	struct vd_open opts = { .size = sizeof(opts), .flags = VD_DISK_CHECK };
	struct vd_disk *d;
	int ret, ret2;

	if (o) {
		opts.flags |= o->flags & VD_DISK_ANYWHERE;
		opts.format = o->format;
	}
	ret = vd_disk_open(lib, path, &opts, &d, err);
	if (ret)
		return ret;
	ret = vd_undo_apply(undo, d->layers[0].host, err);
	ret2 = vd_disk_close(d, ret ? NULL : err);
	return ret ? ret : ret2;
}

/* Nobody builds on a parent of which a child shows but a part. */
static int
not_below_parent(struct vd_disk *d, uint64_t size, struct vd_err *err)
{
	uint64_t below = d->nlayers > 1 ? d->layers[1].info.virtual_size : 0;
	int ret;

	if (size >= below || size >= d->size)
		return 0;
	ret = vd_fail(err, ENOTSUP, VD_NOWHERE, "cannot be shorter than its "
		      "parent, which has %" PRIu64 " bytes", below);
	vd_err_help(err, "`vdiskadm clone` makes a copy that has no parent");
	return ret;
}

/* A child that grows must not show what a longer parent has there. */
static int
hide_parent(struct vd_disk *d, uint64_t from, uint64_t to, struct vd_err *err)
{
	uint64_t below = d->nlayers > 1 ? d->layers[1].info.virtual_size : 0;

	if (to > below)
		to = below;
	return from < to ? vd_disk_write_zeroes(d, from, to - from, 0, err) : 0;
}

int
vd_disk_resize(struct vd_disk *d, uint64_t size, struct vd_err *err)
{
	struct vd_layer *l = &d->layers[0];
	uint64_t old = d->size;
	int ret = 0;

	if (!l->format->resize)
		return cannot(l, "resize", err);
	if (d->readonly)
		ret = vd_fail(err, EROFS, VD_NOWHERE, "is read-only");
	else if (d->alone)
		ret = vd_fail(err, EPERM, VD_NOWHERE, "was opened without its "
			      "parent");
	else if (!size || (size & 511) || size > VD_DISK_MAX)
		ret = vd_fail(err, EINVAL, VD_NOWHERE, "%" PRIu64 " bytes is "
			      "not a size for a disk", size);
	else
		ret = not_below_parent(d, size, err);
	if (!ret)
		ret = vd_guess_resize(d, size, err);
	/* Can it be done at all?  Before anything is given up for it. */
	if (!ret)
		ret = l->format->resize(l->img, old, err);
	/* Nothing else may run while a module changes the size. */
	vd_flusher_stop(d);
	if (!ret)
		ret = vd_disk_flush(d, err);
	if (!ret && size != old) {
		ret = vd_engine_begin(d, err);
		/* Modules do not cut off what is in use: it is given up here. */
		if (!ret && size < old && l->format->discard)
			ret = vd_disk_discard(d, size, old - size, err);
		vd_flusher_stop(d);
		if (!ret)
			ret = l->format->resize(l->img, size, err);
		if (!ret)
			d->size = l->info.virtual_size = size;
		vd_index_close(d);
		if (!ret)
			ret = vd_index_open(d, err);
		if (!ret)
			ret = hide_parent(d, old, size, err);
		if (!ret)
			ret = vd_disk_flush(d, err);
	}
	if (ret)
		vd_err_file(err, l->path);
	return ret;
}
