/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * merge.c - take an image out of a chain, or put another one in its place.
 *
 * M1  Units that the child lacks are copied into it from the snapshot.  What
 *     the child shows stays the same at every moment, so its identity does,
 *     and its own children still match.
 * M2  All of them are durable before the child's reference changes; that is
 *     one step of its format module, durable on return.
 * M3  The snapshot's files go after the new chain was seen to open.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "work.h"

#define PIECE	(4u << 20)

/* ------------------------------------------------------------------ copy */

struct merge {
	struct vd_disk *d;	/* its top is the child, layer 1 the snapshot */
	bool		base;	/* nothing lies below the snapshot */
	char	       *buf;	/* PIECE bytes */
};

static bool
is_zero(const char *buf, size_t len)
{
	return !buf[0] && !memcmp(buf, buf + 1, len - 1);
}

/*
 * The child has no unit at off, the snapshot (len bytes of) one.  One write
 * into it takes the whole unit along: the engine copies up the rest.
 */
static int
pull_unit(struct merge *m, uint64_t off, uint64_t *len, bool zero,
	  struct vd_err *err)
{
	struct vd_extent e;
	uint64_t end;
	size_t n;
	int ret = vd_layer_map(&m->d->layers[0], off, 1, &e, err);

	if (ret)
		return ret;
	end = e.unit_off + e.unit_len;
	if (zero && off == e.unit_off && *len >= e.unit_len) {
		*len = e.unit_len;
		return vd_disk_write_zeroes(m->d, off, *len, 0, err);
	}
	n = end - off < PIECE ? end - off : PIECE;
	*len = end - off;
	ret = vd_disk_read(m->d, m->buf, n, off, err);
	/* In a base to be, what is missing is zeros: leave those missing. */
	if (!ret && m->base && n == end - off && off == e.unit_off &&
	    is_zero(m->buf, n))
		return 0;
	return ret ? ret : vd_disk_write(m->d, m->buf, n, off, 0, err);
}

/* A run that the child lacks and for which the snapshot may have something. */
static int
pull_run(struct merge *m, uint64_t off, uint64_t len, struct vd_err *err)
{
	struct vd_extent s;
	bool hole;
	int ret = 0;

	for (; len && !ret; off += s.len, len -= s.len < len ? s.len : len) {
		ret = vd_layer_map(&m->d->layers[1], off, len, &s, err);
		hole = s.kind == VD_EXT_ZERO;
		if (!ret && s.kind == VD_EXT_DATA)
			ret = vd_file_run(s.file, s.host_off, &s.len, &hole,
					  err);
		if (ret || s.kind == VD_EXT_HOLE || (hole && m->base))
			continue;
		ret = pull_unit(m, off, &s.len, hole, err);
	}
	return ret;
}

static int
pull_all(struct vd_disk *d, struct vd_err *err)
{
	struct merge m = { .d = d, .base = d->nlayers == 2 };
	struct vd_extent e;
	int ret = 0;

	m.buf = malloc(PIECE);
	if (!m.buf)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	for (uint64_t off = 0; off < d->size && !ret; off += e.len) {
		ret = vd_layer_map(&d->layers[0], off, d->size - off, &e, err);
		if (!ret && e.kind == VD_EXT_HOLE)
			ret = pull_run(&m, off, e.len, err);
	}
	free(m.buf);
	vd_flusher_stop(d);
	return ret ? ret : vd_disk_flush(d, err);		/* M2 */
}

/* ------------------------------------------------------------- reference */

/* How a child in folder names l. */
static int
describe_parent(const char *folder, const struct vd_layer *l,
		struct vd_parent *p, struct vd_err *err)
{
	int ret;

	*p = (struct vd_parent){ .size = sizeof(*p) };
	snprintf(p->format, sizeof(p->format), "%s", l->format->name);
	ret = vd_relative_name(folder, l->path, p->hint, sizeof(p->hint), err);
	return ret ? ret : vd_layer_identity(l, &p->expected, err);
}

int
vd_see_chain(struct vd_library *lib, const char *child,
	     const struct vd_file *parent, unsigned flags, struct vd_err *err)
{
	struct vd_open o = {
		.size = sizeof(o),
		.flags = VD_DISK_RDONLY | VD_DISK_SHARED |
			 (flags & VD_DISK_ANYWHERE),
	};
	struct vd_disk *d;
	bool good;
	int ret = vd_disk_open(lib, child, &o, &d, err);

	if (ret)
		return ret;
	good = parent ? d->nlayers > 1 &&
			d->layers[1].file->dev == parent->dev &&
			d->layers[1].file->ino == parent->ino
		      : d->nlayers == 1;
	vd_disk_close(d, NULL);
	return good ? 0 : vd_fail(err, ESTALE, VD_NOWHERE, "finds another "
				  "parent than the one it was told");
}

/* Rewrite the reference; taken back if the new chain does not open (M3). */
static int
set_parent(struct vd_library *lib, struct vd_layer *child,
	   const struct vd_layer *parent, unsigned flags, struct vd_err *err)
{
	struct vd_parent new, old = { .size = sizeof(old) };
	struct vd_err why = { 0 };
	bool had;
	int ret = 0;

	old.expected.size = sizeof(old.expected);
	if (!child->format->relink || !child->format->parent)
		return vd_fail(err, ENOTSUP, VD_NOWHERE, "module %s cannot "
			       "give an image another parent",
			       child->format->name);
	if (parent)
		ret = describe_parent(child->host->dir, parent, &new, err);
	/* A reference may be damaged, or missing: then none is restored. */
	had = !child->format->parent(child->img, &old, NULL);
	if (!ret)
		ret = child->format->relink(child->img, parent ? &new : NULL,
					    err);
	if (!ret)
		ret = vd_host_sync_files(child->host, err);
	if (ret)
		return ret;
	ret = vd_see_chain(lib, child->path, parent ? parent->file : NULL,
			   flags, &why);
	if (!ret)
		return 0;
	if (had)
		child->format->relink(child->img, &old, NULL);
	ret = vd_fail(err, -ret, VD_NOWHERE, "would not open with this "
		      "parent: %s", why.msg);
	vd_err_help(err, "move the parent to where it is looked for, or allow "
		    "it with --allow-outside");
	return ret;
}

/* ----------------------------------------------------------------- merge */

static bool
same_inode(const struct vd_file *f, const struct stat *st)
{
	return f->dev == st->st_dev && f->ino == st->st_ino;
}

/* Open the child of a snapshot that lies deeper, while the top stays locked. */
static int
reopen_at(struct vd_disk **d, unsigned n, const struct vd_work *w,
	  unsigned flags, struct vd_host **hold, struct vd_err *err)
{
	struct vd_open o = { .size = sizeof(o), .flags = flags | VD_DISK_SAME };
	struct vd_library *lib = (*d)->lib;
	char *path = strdup((*d)->layers[n - 1].path);
	struct stat child, snap;
	struct vd_file *f;
	int ret = 0;

	if (!path || fstat((*d)->layers[n - 1].file->fd, &child) ||
	    fstat((*d)->layers[n].file->fd, &snap))
		ret = vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	if (!ret)
		ret = vd_disk_close(*d, err);
	else
		vd_disk_close(*d, NULL);
	*d = NULL;
	if (!ret)
		ret = vd_host_new(w->top, 0, hold, err);
	if (!ret)
		ret = vd_host_open_main(*hold, w->top, &f, err);
	if (!ret)
		ret = vd_disk_open(lib, path, &o, d, err);
	if (!ret && ((*d)->nlayers < 2 ||
		     !same_inode((*d)->layers[0].file, &child) ||
		     !same_inode((*d)->layers[1].file, &snap)))
		ret = vd_fail(err, EBUSY, VD_NOWHERE, "the chain changed "
			      "meanwhile");
	free(path);
	return ret;
}

/* The snapshot is layer 1. */
static int
merge_up(struct vd_work *w, struct vd_disk *d, unsigned flags,
	 struct vd_err *err)
{
	const struct vd_layer *below = d->nlayers > 2 ? &d->layers[2] : NULL;
	struct vd_layer *child = &d->layers[0];
	int ret;

	if (d->readonly)
		return vd_fail(err, EROFS, VD_NOWHERE, "%s images can only be "
			       "read: it cannot take what the snapshot holds",
			       child->info.variant);
	if (!child->format->relink)
		return vd_fail(err, ENOTSUP, VD_NOWHERE, "module %s cannot "
			       "give an image another parent",
			       child->format->name);
	if (!below && !child->format->create)
		return vd_fail(err, ENOTSUP, VD_NOWHERE, "a %s cannot stand "
			       "without a parent", child->format->name);
	ret = vd_work_drop_layer(w, &d->layers[1], err);
	if (!ret)
		ret = vd_work_save(w, err);
	if (!ret)
		ret = pull_all(d, err);				/* M1 */
	if (!ret)
		ret = set_parent(d->lib, child, below, flags, err);
	if (ret)
		vd_err_file(err, child->path);
	return ret ? ret : vd_work_settle(w, SWITCH_YES, d, NULL, NULL, err);
}

int
vd_merge(struct vd_library *lib, const char *path, const char *name,
	 const struct vd_open *o, struct vd_err *err)
{
	unsigned n, flags = o ? o->flags & VD_DISK_ANYWHERE : 0;
	char frozen[VD_NAME_MAX + 512] = "";
	struct vd_host *hold = NULL;
	bool dropped = false;
	struct vd_work w;
	struct vd_disk *d;
	int ret;

	vd_frozen_path(path, name, frozen, sizeof(frozen), NULL);
	ret = vd_change_begin(lib, path, o, frozen, &dropped, &w, &d, err);
	if (ret)
		return ret;
	n = vd_layer_named(d, name);
	if (!n && vd_copies_possible(d))
		ret = vd_copy_remove(&w, d, name, err);
	else if (!n && !dropped)
		ret = vd_no_snapshot(path, name, err);
	if (n)
		ret = vd_has_children(d, &d->layers[n], &d->layers[n - 1],
				      err);
	if (!ret && n > 1)
		ret = reopen_at(&d, n, &w, flags, &hold, err);
	if (!ret && n)
		ret = merge_up(&w, d, flags, err);
	ret = vd_change_end(&w, d, path, ret, err);
	vd_host_free(hold);
	return ret;
}

/* ---------------------------------------------------------------- relink */

/* Would the child's module take an image of this format and size? */
static int
fits(struct vd_layer *child, const struct vd_layer *parent,
     struct vd_err *differs, struct vd_err *err)
{
	struct vd_parent p = { .size = sizeof(p) };
	struct vd_err why = { 0 };
	struct vd_identity id;
	int ret;

	p.expected.size = sizeof(p.expected);
	if (!child->format->match_parent ||
	    child->format->parent(child->img, &p, NULL))
		return 0;
	ret = vd_layer_identity(parent, &id, err);
	if (ret)
		return ret;
	child->format->match_parent(child->img, parent->format->name, &id,
				    differs);
	/* A child that was resized may do with it; the owner should know. */
	if (id.virtual_size != child->info.virtual_size)
		vd_fail(differs, ESTALE, VD_NOWHERE, "the parent has %" PRIu64
			" bytes, its child %" PRIu64, id.virtual_size,
			child->info.virtual_size);
	memcpy(id.id, p.expected.id, sizeof(id.id));
	memcpy(id.content, p.expected.content, sizeof(id.content));
	ret = child->format->match_parent(child->img, parent->format->name,
					  &id, &why);
	return ret ? vd_fail(err, why.code, why.off, "cannot have %s for its "
			     "parent: %.380s", vd_base_name(parent->path),
			     why.msg) : 0;
}

static int
in_circle(const struct vd_disk *child, const struct vd_disk *parent,
	  struct vd_err *err)
{
	const struct vd_file *c = child->layers[0].file;

	for (unsigned i = 0; i < parent->nlayers; i++)
		if (parent->layers[i].file->dev == c->dev &&
		    parent->layers[i].file->ino == c->ino)
			return vd_fail(err, ELOOP, VD_NOWHERE, i ? "is an "
				       "ancestor of %s: the chain would be a "
				       "circle" : "cannot be its own parent: "
				       "%s", parent->layers[0].path);
	return 0;
}

static int
relink(struct vd_library *lib, struct vd_disk *c, struct vd_disk *p,
       unsigned flags, struct vd_err *differs, struct vd_err *err)
{
	int ret = in_circle(c, p, err);

	if (!ret && !(c->layers[0].info.flags & VD_IMG_CHILD))
		ret = vd_fail(err, EINVAL, VD_NOWHERE, "has no parent: it "
			      "holds all of its disk");
	if (!ret)
		ret = fits(&c->layers[0], &p->layers[0], differs, err);
	if (!ret)
		ret = set_parent(lib, &c->layers[0], &p->layers[0], flags,
				 err);
	return ret;
}

int
vd_relink(struct vd_library *lib, const char *child, const char *parent,
	  const struct vd_open *o, struct vd_err *differs, struct vd_err *err)
{
	unsigned flags = o ? o->flags & VD_DISK_ANYWHERE : 0;
	struct vd_open co = { .size = sizeof(co),
			      .flags = flags | VD_DISK_ALONE | VD_DISK_SAME };
	/* Without locks: the child may turn out to be below it. */
	struct vd_open po = { .size = sizeof(po),
			      .flags = flags | VD_DISK_RDONLY | VD_DISK_SHARED };
	struct vd_disk *c, *p;
	int ret, ret2;

	ret = vd_disk_open(lib, child, &co, &c, err);
	if (ret) {
		vd_err_file(err, child);
		return ret;
	}
	ret = vd_disk_open(lib, parent, &po, &p, err);
	if (ret) {
		vd_err_file(err, parent);
	} else {
		ret = relink(lib, c, p, flags, differs, err);
		vd_disk_close(p, NULL);
	}
	ret2 = vd_disk_close(c, ret ? NULL : err);
	ret = ret ? ret : ret2;
	if (ret)
		vd_err_file(err, child);
	return ret;
}
