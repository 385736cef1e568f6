/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disk.c - opening and closing what a guest sees: a chain of images.
 *
 * The top is opened here, what lies below it in chain.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "library.h"

/* New mappings that wait in memory, and for how long, if nobody flushes. */
#define FLUSH_ENTRIES	32768u
#define FLUSH_MS	5000u

/*
 * Which module?  Named by the caller; or raw, for a block device; or probed.
 * A guess must be safe: a guest that writes an image header into its raw disk
 * must not be able to change what we take the file for.
 */
static int
choose_format(struct vd_disk *d, struct vd_layer *l, unsigned flags,
	      const char *format, struct vd_err *err)
{
	const struct vd_format *by_name;
	struct vd_probe_in in;
	uint8_t *buf;
	int ret;

	if (!format && l->file->block)
		format = "raw";
	if (format) {
		l->format = vd_library_find(d->lib, format);
		if (l->format)
			return 0;
		ret = vd_fail(err, ENOENT, VD_NOWHERE,
			      "no module for format %s", format);
		vd_err_help(err, "`vdisk-probe --modules` lists what is "
			    "loaded and what was skipped");
		return ret;
	}
	buf = malloc(VD_PROBE_HEAD + VD_PROBE_TAIL);
	if (!buf)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = vd_probe_read(l->file, l->path, buf, &in, err);
	if (!ret)
		vd_probe_run(d->lib, &in, &l->format);
	free(buf);
	if (ret)
		return ret;
	by_name = vd_library_by_extension(d->lib, l->path);
	/* To be mended: what its head was, before it was lost. */
	if (!l->format && by_name && (flags & VD_DISK_CHECK) &&
	    by_name->check && !(by_name->flags & VD_FORMAT_REST))
		l->format = by_name;
	if (!l->format && by_name && !(by_name->flags & VD_FORMAT_REST)) {
		ret = vd_fail(err, EINVAL, 0, "its name says %s, its bytes do "
			      "not", by_name->name);
		vd_err_help(err, "name the format (raw) if that is what "
			    "it is");
		return ret;
	}
	if (l->format && by_name && (by_name->flags & VD_FORMAT_REST)) {
		ret = vd_fail(err, EINVAL, 0, "its name says %s, its bytes "
			      "say %s", by_name->name, l->format->name);
		vd_err_help(err, "name the format: a guest may have written "
			    "those bytes");
		return ret;
	}
	if (l->format)
		return 0;
	l->format = vd_library_find(d->lib, "raw");
	d->guard = l->format != NULL;
	return l->format ? 0 : vd_fail(err, ENOENT, 0, "no module knows these "
				       "bytes, and raw is not loaded");
}

void
vd_layer_free_files(struct vd_layer *l)
{
	vd_host_free(l->host);
	free(l->path);
	memset(l, 0, sizeof(*l));
}

/* What a module says of an image must make sense to us. */
static int
check_image(const struct vd_layer *l, unsigned flags, struct vd_err *err)
{
	int ret;

	if ((l->info.virtual_size & 511) || !l->format->map ||
	    l->info.virtual_size > VD_DISK_MAX)
		return vd_fail(err, EINVAL, VD_NOWHERE, "module %s claims %"
			       PRIu64 " bytes, or cannot map them",
			       l->format->name, l->info.virtual_size);
	if ((l->info.flags & VD_IMG_CHILD) && !l->format->parent)
		return vd_fail(err, ENOTSUP, VD_NOWHERE, "has a parent, but "
			       "module %s cannot tell which",
			       l->format->name);
	if (!(l->info.flags & VD_IMG_RDONLY) || (flags & VD_DISK_RDONLY))
		return 0;
	ret = vd_fail(err, EROFS, VD_NOWHERE, "%s images can only be read",
		      l->info.variant);
	vd_err_help(err, "open it read-only, or translate it: `vdiskadm "
		    "translate -I %s -x %s -d OUT`", l->path, l->format->name);
	return ret;
}

int
vd_layer_open_image(struct vd_disk *d, struct vd_layer *l, unsigned flags,
		    const char *format, struct vd_err *err)
{
	unsigned how = (flags & VD_DISK_RDONLY ? VD_OPEN_RDONLY : 0) |
		       (flags & VD_DISK_CHECK ? VD_OPEN_CHECK : 0);
	int ret = choose_format(d, l, flags, format, err);

	if (ret)
		return ret;
	l->info.size = sizeof(l->info);
	l->host->cache = d->cache;
	ret = l->format->open(l->host, l->file, how, &l->info, &l->img, err);
	if (ret)
		return ret;
	ret = check_image(l, flags, err);
	if (ret)
		l->format->close(l->img, NULL);
	return ret;
}

static int
top_open(struct vd_disk *d, const char *path, unsigned flags,
	 const char *format, struct vd_err *err)
{
	struct vd_layer *l = &d->layers[0];
	int ret;

	l->path = strdup(path);
	if (!l->path)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = vd_host_new(path, flags, &l->host, err);
	if (!ret)
		ret = vd_host_open_main(l->host, path, &l->file, err);
	if (!ret)
		ret = vd_layer_open_image(d, l, flags, format, err);
	if (ret) {
		vd_err_file(err, path);
		vd_layer_free_files(l);
	}
	return ret;
}

static void
disk_free(struct vd_disk *d)
{
	pthread_mutex_destroy(&d->guard_lock);
	pthread_mutex_destroy(&d->begin_lock);
	for (unsigned i = 0; i < VD_UNIT_LOCKS; i++)
		pthread_mutex_destroy(&d->units[i]);
	pthread_mutex_destroy(&d->buf_lock);
	vd_flusher_free(d);
	vd_unit_free_bufs(d);
	vd_cache_free(d->cache);
	pthread_mutex_destroy(&d->sync_mutex);
	pthread_cond_destroy(&d->sync_cond);
	vd_undo_close(d->undo, false);
	vd_kin_free(d->kin);
	vd_copies_free(d->copies);
	free(d->layers);
	free(d);
}

/* What was given in o, or the usual. */
static void
take_limits(struct vd_disk *d, const struct vd_open *o)
{
	size_t most = SIZE_MAX / 2, bytes = VD_CACHE_DEFAULT;

	if (o->cache)
		bytes = o->cache < most ? (size_t)o->cache : most;
	d->cache = vd_cache_new(bytes);
	d->flush_entries = o->flush_entries ? o->flush_entries : FLUSH_ENTRIES;
	d->flush_ms = o->flush_ms ? o->flush_ms : FLUSH_MS;
}

static struct vd_disk *
disk_new(struct vd_library *lib, const struct vd_open *o)
{
	struct vd_disk *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->lib = lib;
	d->layers = calloc(1, sizeof(*d->layers));
	pthread_mutex_init(&d->guard_lock, NULL);
	pthread_mutex_init(&d->begin_lock, NULL);
	for (unsigned i = 0; i < VD_UNIT_LOCKS; i++)
		pthread_mutex_init(&d->units[i], NULL);
	pthread_mutex_init(&d->buf_lock, NULL);
	vd_flusher_init(d);
	take_limits(d, o);
	pthread_mutex_init(&d->sync_mutex, NULL);
	pthread_cond_init(&d->sync_cond, NULL);
	if (d->layers && d->cache)
		return d;
	disk_free(d);
	return NULL;
}

/*
 * Before a repair: what a dead process has acknowledged and not yet written
 * goes into the image, as far as it opens.  A repair that does not know of it
 * would give that room away.
 */
static void
finish_journal(struct vd_library *lib, const char *path,
	       const struct vd_open *o)
{
	struct vd_open j = { .size = sizeof(j), .format = o->format,
			     .flags = (o->flags & VD_DISK_ANYWHERE) |
				      VD_DISK_ALONE | VD_DISK_JOURNAL };
	struct vd_disk *d;

	if ((o->flags & VD_DISK_CHECK) && !(o->flags & VD_DISK_RDONLY) &&
	    !vd_disk_open(lib, path, &j, &d, NULL))
		vd_disk_close(d, NULL);
}

int
vd_disk_open(struct vd_library *lib, const char *path,
	     const struct vd_open *opts, struct vd_disk **out,
	     struct vd_err *err)
{
	struct vd_open o = { .size = sizeof(o) };
	struct vd_disk *d;
	int ret;

	if (opts)
		memcpy(&o, opts, opts->size < sizeof(o) ? opts->size
							: sizeof(o));
	finish_journal(lib, path, &o);
	d = disk_new(lib, &o);
	if (!d)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	if (o.flags & VD_DISK_SHARED)
		o.flags |= VD_DISK_RDONLY;
	d->readonly = o.flags & VD_DISK_RDONLY;
	d->batch = o.flags & VD_DISK_BATCH;
	d->same = o.flags & VD_DISK_SAME;
	ret = top_open(d, path, o.flags, o.format, err);
	if (ret) {
		disk_free(d);
		return ret;
	}
	d->nlayers = 1;
	d->size = d->layers[0].info.virtual_size;
	d->alone = (o.flags & VD_DISK_CHECK) ||
		   ((o.flags & VD_DISK_ALONE) &&
		    (d->layers[0].info.flags & VD_IMG_CHILD));
	ret = d->alone ? 0 : vd_chain_open(d, o.flags, err);
	if (!ret)
		ret = vd_index_open(d, err);
	if (ret) {
		vd_disk_close(d, NULL);
		return ret;
	}
	/*
	 * What a dead process left in the crash journal goes into the image
	 * now, before anything new is added to it; and when that process was
	 * the last to write, the mark it left goes when we close.
	 */
	if (!d->readonly && !(o.flags & VD_DISK_CHECK) &&
	    (atomic_load(&d->layers[0].host->dirty_entries) ||
	     (!(o.flags & VD_DISK_JOURNAL) &&
	      (d->layers[0].info.flags & VD_IMG_UNCLEAN)))) {
		ret = vd_engine_begin(d, err);
		if (!ret)
			ret = vd_disk_flush(d, err);
		if (ret) {
			vd_disk_close(d, NULL);
			return ret;
		}
	}
	*out = d;
	return 0;
}

static int
layer_close(struct vd_layer *l, struct vd_err *err)
{
	int ret = l->format->close(l->img, err);
	int ret2 = vd_host_sync_files(l->host, ret ? NULL : err);

	if (ret || ret2)
		vd_err_file(err, l->path);
	vd_layer_free_files(l);
	return ret ? ret : ret2;
}

int
vd_disk_close(struct vd_disk *d, struct vd_err *err)
{
	int ret, ret2;

	if (!d)
		return 0;
	vd_flusher_stop(d);
	ret = vd_disk_flush(d, err);
	vd_index_close(d);
	for (unsigned i = 0; i < d->nlayers; i++) {
		ret2 = layer_close(&d->layers[i], ret ? NULL : err);
		ret = ret ? ret : ret2;
	}
	disk_free(d);
	return ret;
}

uint64_t
vd_disk_size(struct vd_disk *d)
{
	return d->size;
}

bool
vd_disk_readonly(struct vd_disk *d)
{
	return d->readonly;
}

bool
vd_disk_can_discard(struct vd_disk *d)
{
	return !d->readonly && d->layers[0].format->discard;
}

unsigned
vd_disk_depth(struct vd_disk *d)
{
	return d->nlayers;
}

const char *
vd_disk_path(struct vd_disk *d, unsigned layer)
{
	return layer < d->nlayers ? d->layers[layer].path : NULL;
}

const struct vd_format *
vd_disk_format(struct vd_disk *d, unsigned layer)
{
	return layer < d->nlayers ? d->layers[layer].format : NULL;
}

const struct vd_image_info *
vd_disk_image(struct vd_disk *d, unsigned layer)
{
	return layer < d->nlayers ? &d->layers[layer].info : NULL;
}

int
vd_disk_info(struct vd_disk *d, unsigned layer, struct vd_info_out *out,
	     struct vd_err *err)
{
	if (layer >= d->nlayers)
		return vd_fail(err, ERANGE, VD_NOWHERE, "no such image in "
			       "the chain");
	if (!d->layers[layer].format->info)
		return 0;
	return d->layers[layer].format->info(d->layers[layer].img, out, err);
}

int
vd_create_image(struct vd_library *lib, const char *format, const char *path,
		const struct vd_create *c, struct vd_err *err)
{
	const struct vd_format *f = vd_library_find(lib, format);
	struct vd_create copy = { .size = sizeof(copy) };
	struct vd_host *h;
	int ret;

	if (!f || !f->create) {
		ret = vd_fail(err, f ? ENOTSUP : ENOENT, VD_NOWHERE, f
			      ? "module %s cannot create images"
			      : "no module for format %s", format);
		vd_err_help(err, "`vdisk-probe --modules` lists what can");
		return ret;
	}
	memcpy(&copy, c, c->size < sizeof(copy) ? c->size : sizeof(copy));
	if (!copy.virtual_size || (copy.virtual_size & 511)) {
		ret = vd_fail(err, EINVAL, VD_NOWHERE, "%" PRIu64 " bytes is "
			      "not a multiple of 512", copy.virtual_size);
		vd_err_file(err, path);
		return ret;
	}
	if (copy.virtual_size > VD_DISK_MAX) {
		ret = vd_fail(err, EFBIG, VD_NOWHERE, "%" PRIu64 " bytes are "
			      "more than a file can hold", copy.virtual_size);
		vd_err_file(err, path);
		return ret;
	}
	ret = vd_host_new(path, copy.flags & VD_CREATE_NOSYNC ? VD_DISK_NOSYNC
			  : 0, &h, err);
	copy.flags &= ~(uint32_t)VD_CREATE_NOSYNC;
	if (ret)
		return ret;
	ret = f->create(h, path, &copy, err);
	if (!ret)
		ret = vd_host_sync_created(h, err);
	if (ret) {
		vd_host_unlink_created(h);
		vd_err_file(err, path);
	}
	vd_host_free(h);
	return ret;
}
