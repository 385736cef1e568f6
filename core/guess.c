/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guess.c - a disk that was guessed to be raw stays one.
 *
 * A guest that could write an image header into its raw disk, where a probe
 * looks for one, would choose what the file is taken for next time.  So a change
 * within sight of a probe is first made in memory, and every module is asked
 * what it would say of that.  A new size counts as a change: a probe may ask for
 * it, and another end of the file comes into sight.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "internal.h"

#define SECTOR	512u		/* what the size of a disk is rounded up to */

/* What the file is about to be. */
struct plan {
	uint64_t	size;
	const uint8_t  *bytes;		/* len of them; NULL: zeros */
	uint64_t	off, len;	/* what changes */
};

bool
vd_guess_sees(const struct vd_disk *d, uint64_t off, uint64_t len)
{
	/* Asked of every write: the file, a sector shorter at most, is not. */
	return d->guard && len && (off < VD_PROBE_HEAD ||
	       off + len + VD_PROBE_TAIL + SECTOR > d->size);
}

/* The part of the change that falls into len bytes from off on. */
static void
overlay(const struct plan *p, uint8_t *buf, uint64_t off, uint64_t len)
{
	uint64_t from = p->off > off ? p->off : off, end = p->off + p->len;

	if (end > off + len)
		end = off + len;
	if (from >= end)
		return;
	if (p->bytes)
		memcpy(buf + (from - off), p->bytes + (from - p->off),
		       end - from);
	else
		memset(buf + (from - off), 0, end - from);
}

/* len bytes from off on, as they will be.  buf holds zeros. */
static int
foresee(struct vd_file *f, const struct plan *p, uint8_t *buf, uint64_t off,
	uint64_t len, struct vd_err *err)
{
	uint64_t size = vd_file_size(f), there = 0;
	int ret = 0;

	if (off < size)
		there = len < size - off ? len : size - off;
	if (there)
		ret = vd_file_read(f, buf, there, off, err);
	if (!ret)
		overlay(p, buf, off, len);
	return ret;
}

/* The module that would claim the file; NULL: none. */
static int
claimed(struct vd_disk *d, const struct plan *p, const struct vd_format **claim,
	struct vd_err *err)
{
	struct vd_layer *l = &d->layers[0];
	uint8_t *buf = calloc(1, VD_PROBE_HEAD + VD_PROBE_TAIL);
	struct vd_probe_in in;
	int ret;

	if (!buf)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	vd_probe_frame(&in, l->path, p->size, buf);
	ret = foresee(l->file, p, buf, 0, in.head_len, err);
	if (!ret)
		ret = foresee(l->file, p, buf + VD_PROBE_HEAD,
			      p->size - in.tail_len, in.tail_len, err);
	if (!ret)
		vd_probe_run(d->lib, &in, claim);
	free(buf);
	return ret;
}

static int
refuse(const char *what, const struct vd_format *claim, struct vd_err *err)
{
	int ret = vd_fail(err, EPERM, 0, "refused a %s that would make this raw "
			  "disk look like a %s image", what, claim->name);

	vd_err_help(err, "open it with the format named (raw) to allow that");
	return ret;
}

/* A guest may share its pages with us, and change them after they were seen. */
static int
own_copy(struct vd_guess *g, uint64_t len, struct vd_err *err)
{
	struct vd_iter it = { g->iov, g->n, 0 };
	struct iovec one;
	uint64_t took, at;

	g->copy.iov_base = malloc(len);
	if (!g->copy.iov_base)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for %" PRIu64
			       " bytes", len);
	for (at = 0; at < len && vd_iter_take(&it, len - at, &one, 1, &took);
	     at += took)
		memcpy((char *)g->copy.iov_base + at, one.iov_base, took);
	g->copy.iov_len = at;
	g->iov = &g->copy;
	g->n = 1;
	return 0;
}

int
vd_guess_begin(struct vd_disk *d, struct vd_guess *g, uint64_t off,
	       uint64_t len, struct vd_err *err)
{
	struct plan p = { .off = off, .len = len };
	const struct vd_format *claim = NULL;
	int ret = 0;

	if (!vd_guess_sees(d, off, len))
		return 0;
	if (g->iov)
		ret = own_copy(g, len, err);
	if (ret)
		return ret;
	pthread_mutex_lock(&d->guard_lock);
	g->held = true;
	/* A file that is no multiple of 512 grows: more of it is looked at. */
	p.size = vd_file_size(d->layers[0].file);
	if (p.size < off + len)
		p.size = off + len;
	p.bytes = g->copy.iov_base;
	ret = claimed(d, &p, &claim, err);
	return !ret && claim ? refuse("write", claim, err) : ret;
}

void
vd_guess_end(struct vd_disk *d, struct vd_guess *g)
{
	if (g->held)
		pthread_mutex_unlock(&d->guard_lock);
	free(g->copy.iov_base);
}

int
vd_guess_resize(struct vd_disk *d, uint64_t size, struct vd_err *err)
{
	struct plan p = { .size = size };
	const struct vd_format *claim = NULL;
	int ret = d->guard ? claimed(d, &p, &claim, err) : 0;

	return !ret && claim ? refuse("new size", claim, err) : ret;
}
