/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * snapshot.c - freeze the top, go back to what was frozen, remove a disk.
 *
 * S1  The name of the top always leads to a whole disk: the old one or the
 *     new.  What takes its place grows in the work folder, is durable before
 *     it is shown, and is shown by one rename.
 * S2  The old top has its second name, durably, before it loses the first.
 * S3  A file of the old chain is removed only when the new one has been made
 *     durable, and only if no image beside it names it as its parent.
 * S4  All this happens while the top is locked as by a writer: nobody serves
 *     the disk meanwhile.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "work.h"

/* ----------------------------------------------------------------- begin */

/* A dialect that can only be read is as good a parent as any. */
static int
open_top(struct vd_library *lib, const char *top, const struct vd_open *o,
	 struct vd_disk **d, struct vd_err *err)
{
	struct vd_open opts = { .size = sizeof(opts) };
	struct vd_err first = { 0 };
	int ret;

	if (o)
		opts.flags = o->flags & VD_DISK_ANYWHERE;
	ret = vd_disk_open(lib, top, &opts, d, &first);
	if (ret == -EROFS) {
		opts.flags |= VD_DISK_RDONLY;
		ret = vd_disk_open(lib, top, &opts, d, err);
	} else if (ret && err && !err->code) {
		*err = first;
	}
	if (!ret && (*d)->layers[0].file->block) {
		vd_disk_close(*d, NULL);
		ret = vd_fail(err, ENOTSUP, VD_NOWHERE, "is a block device: "
			      "its name cannot change hands");
	}
	return ret;
}

int
vd_change_begin(struct vd_library *lib, const char *path,
		const struct vd_open *o, const char *want, bool *dropped,
		struct vd_work *w, struct vd_disk **d, struct vd_err *err)
{
	char *top = vd_real_top(path);
	int ret;

	*w = (struct vd_work){ .fd = -1 };
	*d = NULL;
	if (!top)
		return vd_fail(err, errno, VD_NOWHERE, "%s", strerror(errno));
	ret = open_top(lib, top, o, d, err);
	if (!ret) {
		ret = vd_work_open(w, top, err);
		if (!ret)
			ret = vd_work_settle(w, SWITCH_ASK, *d, want, dropped,
					     err);
		if (!ret)
			vd_work_forget(w);
		else
			vd_disk_close(*d, NULL);
	}
	if (ret) {
		vd_err_file(err, path);
		vd_work_close(w);
	}
	free(top);
	return ret;
}

int
vd_layer_identity(const struct vd_layer *l, struct vd_identity *id,
		  struct vd_err *err)
{
	*id = (struct vd_identity){ .size = sizeof(*id) };
	if (l->format->identity) {
		int ret = l->format->identity(l->img, id, err);

		if (ret)
			return ret;
	}
	id->virtual_size = l->info.virtual_size;
	return 0;
}

int
vd_change_end(struct vd_work *w, struct vd_disk *d, const char *path, int ret,
	      struct vd_err *err)
{
	int ret2;

	vd_work_close(w);
	ret2 = vd_disk_close(d, ret ? NULL : err);
	ret = ret ? ret : ret2;
	if (ret)
		vd_err_file(err, path);
	return ret;
}

/* ---------------------------------------------------------------- child */

static int
make_child(const struct vd_format *f, const char *place,
	   const struct vd_layer *parent, const char *hint,
	   const struct vd_create *given, struct vd_err *err)
{
	struct vd_create c = { .size = sizeof(c) };
	struct vd_parent p = { .size = sizeof(p) };
	struct vd_host *h;
	int ret;

	if (given)
		memcpy(&c, given, given->size < sizeof(c) ? given->size
							  : sizeof(c));
	c.virtual_size = parent->info.virtual_size;
	if (!f->create_child) {
		ret = vd_fail(err, ENOTSUP, VD_NOWHERE, "%s images cannot "
			      "depend on another", f->name);
		/* A name that says raw may not hide anything else. */
		if (f->flags & VD_FORMAT_REST)
			vd_err_help(err, "leave it as it is and write to a "
				    "child: `vdiskadm create -p %s NEW.delta`",
				    parent->path);
		return ret;
	}
	snprintf(p.hint, sizeof(p.hint), "%s", hint);
	snprintf(p.format, sizeof(p.format), "%s", parent->format->name);
	ret = vd_layer_identity(parent, &p.expected, err);
	if (!ret)
		ret = vd_host_new(place, 0, &h, err);
	if (ret)
		return ret;
	ret = f->create_child(h, place, parent->format->name, &p, &c, err);
	if (!ret)
		ret = vd_host_sync_created(h, err);
	if (ret)
		vd_host_unlink_created(h);
	vd_host_free(h);
	return ret;
}

void
vd_same_owner(const char *place, const char *top)
{
	struct stat st;

	if (stat(top, &st))
		return;
	if (chown(place, st.st_uid, st.st_gid))
		st.st_mode &= 0777u;	/* then at least the rights */
	chmod(place, st.st_mode & 07777u);
}

/* A file of the image besides its own goes where that will be. */
static int
move_part(struct vd_work *w, const char *name, bool record, struct vd_err *err)
{
	char *from = NULL, *to = NULL;
	struct stat st;
	int ret;

	if (asprintf(&from, "%s%s", w->path, name) < 0 ||
	    asprintf(&to, "%s%s", w->folder, name) < 0)
		ret = vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	else if (lstat(from, &st) < 0)
		ret = vd_fail(err, errno, VD_NOWHERE, "%s", strerror(errno));
	else if (record)
		ret = vd_work_add(w, TODO_DROP, to, st.st_dev, st.st_ino, err);
	else
		ret = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE)
			? vd_fail(err, errno, VD_NOWHERE, "%s: %s", to,
				  strerror(errno)) : 0;
	free(from);
	free(to);
	return ret;
}

static int
each_part(struct vd_work *w, bool record, unsigned *n, struct vd_err *err)
{
	DIR *dir = opendir(w->path);
	struct dirent *e;
	int ret = dir ? 0 : vd_fail(err, errno, VD_NOWHERE, "%s",
				    strerror(errno));

	for (*n = 0; !ret && (e = readdir(dir)); ) {
		if (e->d_name[0] == '.' || !strcmp(e->d_name, VD_WORK_LIST) ||
		    !strcmp(e->d_name, vd_base_name(w->top)))
			continue;
		ret = move_part(w, e->d_name, record, err);
		++*n;
	}
	if (dir)
		closedir(dir);
	return ret;
}

/*
 * The parts of an image that has some come first, the image last: it makes them
 * one.  Until then the list says that they have no use (settle_parts).
 */
static int
publish_parts(struct vd_work *w, struct vd_err *err)
{
	unsigned n;
	int ret = each_part(w, true, &n, err);

	if (ret || !n)
		return ret;
	ret = vd_work_save(w, err);
	if (!ret)
		ret = each_part(w, false, &n, err);
	return ret ? ret : vd_sync_folder(w->folder, err);
}

/* Parts of an image that did not come to be: by us, or by a run before. */
static int
settle_parts(struct vd_work *w, struct vd_err *err)
{
	struct stat st;

	return lstat(w->top, &st) ? vd_work_settle(w, SWITCH_YES, NULL, NULL,
						   NULL, err) : 0;
}

/* Would it find its parent from there?  If not, it has no use. */
static int
publish_child(struct vd_disk *d, const struct vd_work *w, const char *place,
	      unsigned flags, struct vd_err *err)
{
	struct vd_err why = { 0 };
	int ret;

	if (renameat2(AT_FDCWD, place, AT_FDCWD, w->top, RENAME_NOREPLACE))
		return vd_fail(err, errno, VD_NOWHERE, "%s", errno == EEXIST
			       ? "exists already" : strerror(errno));
	ret = vd_see_chain(d->lib, w->top, d->layers[0].file, flags, &why);
	if (!ret)
		return vd_sync_folder(w->folder, err);
	unlink(w->top);
	ret = vd_fail(err, -ret, VD_NOWHERE, "would not open: %s", why.msg);
	vd_err_help(err, "%s", why.help[0] == '`' ? "make it where its parent is"
						  : why.help);
	return ret;
}

int
vd_create_child(struct vd_library *lib, const char *format, const char *path,
		const char *parent, const struct vd_open *o,
		const struct vd_create *c, struct vd_err *err)
{
	const struct vd_format *f = vd_library_find(lib, format);
	struct vd_open opts = { .size = sizeof(opts), .flags = VD_DISK_RDONLY };
	struct vd_work w = { .fd = -1 };
	char hint[VD_NAME_MAX], *place = NULL;
	struct vd_disk *d;
	int ret;

	if (!f)
		return vd_fail(err, ENOENT, VD_NOWHERE, "no module for format "
			       "%s", format);
	if (o)
		opts.flags |= o->flags & (VD_DISK_ANYWHERE | VD_DISK_DEVICES);
	ret = vd_disk_open(lib, parent, &opts, &d, err);
	if (ret)
		return ret;
	ret = vd_work_open(&w, path, err);
	if (!ret)
		ret = settle_parts(&w, err);
	if (!ret)
		ret = vd_relative_name(w.folder, parent, hint, sizeof(hint),
				       err);
	if (!ret && !(place = vd_work_place(&w)))
		ret = vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	if (!ret) {
		vd_work_forget(&w);
		ret = make_child(f, place, &d->layers[0], hint, c, err);
	}
	if (!ret)
		ret = publish_parts(&w, err);
	if (!ret)
		ret = publish_child(d, &w, place, opts.flags, err);
	if (ret && w.fd >= 0)
		settle_parts(&w, NULL);
	free(place);
	return vd_change_end(&w, d, path, ret, err);
}

/* -------------------------------------------------------------- snapshot */

/* Does the top hold nothing of its own? */
static bool
top_is_empty(struct vd_disk *d)
{
	struct vd_extent e;

	for (uint64_t off = 0; off < d->size; off += e.len)
		if (vd_layer_map(&d->layers[0], off, d->size - off, &e, NULL) ||
		    e.kind != VD_EXT_HOLE)
			return false;
	return true;
}

static int
switch_by_link(const char *top, const char *frozen, const char *place,
	       const char *folder, struct vd_err *err)
{
	int ret;

	if (link(top, frozen) < 0)
		return -errno;
	ret = vd_sync_folder(folder, err);			/* S2 */
	if (!ret && rename(place, top) < 0)			/* S1 */
		ret = vd_fail(err, errno, VD_NOWHERE, "%s", strerror(errno));
	return ret;
}

static int
switch_by_exchange(const char *top, const char *frozen, const char *place,
		   const char *folder, struct vd_err *err)
{
	int ret, code;

	if (renameat2(AT_FDCWD, place, AT_FDCWD, frozen, RENAME_NOREPLACE) < 0)
		return vd_fail(err, errno, VD_NOWHERE, "%s: %s", frozen,
			       strerror(errno));
	ret = vd_sync_folder(folder, err);
	if (!ret && !renameat2(AT_FDCWD, top, AT_FDCWD, frozen,
			       RENAME_EXCHANGE))
		return 0;
	code = errno;
	unlink(frozen);
	return ret ? ret : vd_fail(err, ENOTSUP, VD_NOWHERE, "this file system "
				   "has no hard links and cannot exchange two "
				   "names: %s", strerror(code));
}

/* The list knows both ways how it may have begun. */
static int
freeze(struct vd_work *w, const struct vd_layer *top, const char *frozen,
       const char *place, bool *switched, struct vd_err *err)
{
	struct stat st;
	int ret = 0;

	vd_same_owner(place, w->top);
	if (lstat(place, &st) < 0)
		ret = vd_fail(err, errno, VD_NOWHERE, "%s", strerror(errno));
	if (!ret)
		ret = vd_work_add(w, TODO_LINK, frozen, top->file->dev,
				  top->file->ino, err);
	if (!ret)
		ret = vd_work_add(w, TODO_DROP, frozen, st.st_dev, st.st_ino,
				  err);
	if (!ret)
		ret = vd_work_save(w, err);
	if (ret)
		return ret;
	ret = switch_by_link(w->top, frozen, place, w->folder, err);
	if (ret == -EPERM || ret == -EOPNOTSUPP || ret == -ENOSYS ||
	    ret == -EMLINK)
		ret = switch_by_exchange(w->top, frozen, place, w->folder,
					 err);
	if (ret)
		return vd_fail(err, -ret, VD_NOWHERE, "cannot be given its "
			       "second name %s: %s", frozen, strerror(-ret));
	*switched = true;
	return vd_sync_folder(w->folder, err);
}

static int
take_snapshot(struct vd_work *w, struct vd_disk *d, const char *frozen,
	      struct vd_err *err)
{
	struct vd_layer *top = &d->layers[0];
	char *place = vd_work_place(w);
	bool switched = false;
	int ret, ret2;

	if (!place)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = make_child(top->format, place, top, vd_base_name(frozen), NULL,
			 err);
	if (!ret)
		ret = freeze(w, top, frozen, place, &switched, err);
	ret2 = vd_work_settle(w, switched ? SWITCH_YES : SWITCH_NO, d, NULL,
			      NULL, ret ? NULL : err);
	free(place);
	return ret ? ret : ret2;
}

int
vd_snapshot(struct vd_library *lib, const char *path, const char *name,
	    const struct vd_open *o, struct vd_err *err)
{
	char frozen[VD_NAME_MAX + 512];
	struct vd_work w;
	struct vd_disk *d;
	struct stat st;
	int ret;

	ret = vd_frozen_path(path, name, frozen, sizeof(frozen), err);
	if (!ret)
		ret = vd_change_begin(lib, path, o, NULL, NULL, &w, &d, err);
	if (ret) {
		vd_err_file(err, path);
		return ret;
	}
	/* The name again, where a link led us elsewhere. */
	ret = vd_frozen_path(w.top, name, frozen, sizeof(frozen), err);
	if (!ret && lstat(frozen, &st)) {
		ret = vd_copies_possible(d)
			? vd_copy_take(&w, d, frozen, err)
			: take_snapshot(&w, d, frozen, err);
	} else if (!ret && (!w.resumed || d->nlayers < 2 ||
			    d->layers[1].file->ino != st.st_ino ||
			    d->layers[1].file->dev != st.st_dev ||
			    !top_is_empty(d))) {
		ret = vd_fail(err, EEXIST, VD_NOWHERE, "exists already");
		vd_err_file(err, frozen);
	} else if (!ret) {
		/* An earlier run came so far, and nothing was written since. */
		ret = vd_sync_folder(w.folder, err);
	}
	return vd_change_end(&w, d, path, ret, err);
}

/* -------------------------------------------------------------- rollback */

int
vd_has_children(struct vd_disk *d, const struct vd_layer *l,
	     const struct vd_layer *but, struct vd_err *err)
{
	char first[512];
	unsigned n = vd_children_of(d, l, but, first, sizeof(first));
	int ret;

	if (!n)
		return 0;
	ret = vd_fail(err, EBUSY, VD_NOWHERE, "%u more image%s depend%s on it, "
		      "%s%s", n, n > 1 ? "s" : "", n > 1 ? "" : "s",
		      n > 1 ? "one is " : "", first);
	vd_err_file(err, l->path);
	vd_err_help(err, "an image without its parent is lost; copy it first: "
		    "`vdiskadm clone %s NEW`", first);
	return ret;
}

/* Layers 0 .. n-1 will go: nobody else may need them. */
static int
drop_newer(struct vd_work *w, struct vd_disk *d, unsigned n,
	   struct vd_err *err)
{
	int ret = 0;

	for (unsigned i = 0; i < n && !ret; i++) {
		ret = vd_has_children(d, &d->layers[i],
				   i ? &d->layers[i - 1] : NULL, err);
		if (!ret)
			ret = vd_work_drop_layer(w, &d->layers[i], err);
	}
	return ret;
}

int
vd_no_snapshot(const char *path, const char *name, struct vd_err *err)
{
	int ret = vd_fail(err, ENOENT, VD_NOWHERE, "has no snapshot called "
			  "\"%s\"", name);

	vd_err_help(err, "`vdiskadm list %s` tells which it has", path);
	return ret;
}

int
vd_newer_exist(unsigned n, struct vd_err *err)
{
	int ret = vd_fail(err, ENOTEMPTY, VD_NOWHERE, "%u more recent "
			  "snapshot%s exist%s", n, n > 1 ? "s" : "",
			  n > 1 ? "" : "s");

	vd_err_help(err, "-r removes the snapshots in between, too");
	return ret;
}

static int
roll_back(struct vd_work *w, struct vd_disk *d, unsigned n, struct vd_err *err)
{
	const struct vd_format *f = d->layers[0].format;
	char hint[VD_NAME_MAX], *place = vd_work_place(w);
	bool switched = false;
	int ret;

	if (!place)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = vd_relative_name(w->folder, d->layers[n].path, hint,
			       sizeof(hint), err);
	if (!ret)
		ret = drop_newer(w, d, n, err);
	if (!ret)
		ret = make_child(f, place, &d->layers[n], hint, NULL, err);
	if (!ret)
		ret = vd_work_save(w, err);
	if (!ret) {
		vd_same_owner(place, w->top);
		switched = !rename(place, w->top);		/* S1 */
		ret = switched ? vd_sync_folder(w->folder, err)	/* S3 */
			       : vd_fail(err, errno, VD_NOWHERE, "%s",
					 strerror(errno));
	}
	/* Not durable: the old files must stay, the next run looks again. */
	if (switched && ret)
		w->keep = true;
	free(place);
	return ret ? ret : vd_work_settle(w, SWITCH_YES, d, NULL, NULL, err);
}

int
vd_rollback(struct vd_library *lib, const char *path, const char *name,
	    unsigned flags, const struct vd_open *o, struct vd_err *err)
{
	struct vd_work w;
	struct vd_disk *d;
	unsigned n;
	int ret;

	ret = vd_change_begin(lib, path, o, NULL, NULL, &w, &d, err);
	if (ret)
		return ret;
	n = vd_layer_named(d, name);
	if (!n && vd_copies_possible(d))
		ret = vd_copy_back(&w, d, name, flags, err);
	else if (!n)
		ret = vd_no_snapshot(path, name, err);
	else if (n > 1 && !(flags & VD_NEWER))
		ret = vd_newer_exist(n - 1, err);
	else
		ret = roll_back(&w, d, n, err);
	return vd_change_end(&w, d, path, ret, err);
}

/* ---------------------------------------------------------------- remove */

/* The top's own snapshots; what lies below one that is not is not ours. */
static unsigned
own_snapshots(struct vd_disk *d)
{
	unsigned n = 1;
	char name[512];

	while (n < d->nlayers &&
	       vd_snapshot_name(d, n, name, sizeof(name)) == name)
		n++;
	return n - 1;
}

/* Its name first: from then on there is no disk, only files to clear away. */
static int
remove_top(struct vd_work *w, struct vd_disk *d, struct vd_err *err)
{
	int ret;

	if (unlink(w->top) < 0 && errno != ENOENT)
		return vd_fail(err, errno, VD_NOWHERE, "cannot remove it: %s",
			       strerror(errno));
	ret = vd_sync_folder(w->folder, err);
	if (ret)
		w->keep = true;
	return ret ? ret : vd_work_settle(w, SWITCH_YES, d, NULL, NULL, err);
}

/* The top is gone; did an earlier run take it away? */
static int
resume_remove(const char *path, struct vd_err *err)
{
	struct vd_work w;
	struct stat st;
	bool ours = false;
	int ret;

	if (!lstat(path, &st))
		return -EEXIST;
	ret = vd_work_resume(&w, path, err);
	for (unsigned i = 0; i < w.n && !ret; i++)
		ours = ours || w.todo[i].kind == TODO_TOP;
	if (!ret && !ours)
		w.keep = w.n != 0;	/* empty: all but the folder is done */
	if (!ret)
		ret = ours ? vd_work_settle(&w, SWITCH_YES, NULL, NULL, NULL,
					    err) : -ENOENT;
	vd_work_close(&w);
	return ret;
}

int
vd_remove(struct vd_library *lib, const char *path, unsigned flags,
	  const struct vd_open *o, struct vd_err *err)
{
	struct vd_work w;
	struct vd_disk *d;
	unsigned n;
	int ret;

	if (!resume_remove(path, NULL))
		return 0;
	ret = vd_change_begin(lib, path, o, NULL, NULL, &w, &d, err);
	if (ret)
		return ret;
	n = own_snapshots(d) + vd_copies_count(d);
	if (n && !(flags & VD_NEWER)) {
		ret = vd_fail(err, ENOTEMPTY, VD_NOWHERE, "has %u snapshot%s",
			      n, n > 1 ? "s" : "");
		vd_err_help(err, "-r removes the disk and all its snapshots");
	}
	if (!ret)
		ret = vd_work_add(&w, TODO_TOP, w.top, d->layers[0].file->dev,
				  d->layers[0].file->ino, err);
	if (!ret)
		ret = drop_newer(&w, d, own_snapshots(d) + 1, err);
	if (!ret)
		ret = vd_copies_drop(&w, d, err);
	if (!ret)
		ret = vd_work_save(&w, err);
	if (!ret)
		ret = remove_top(&w, d, err);
	return vd_change_end(&w, d, path, ret, err);
}
