/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * copies.c - snapshots of raw disks: whole files that share their blocks.
 *
 * A raw file has no room to name a parent, so its snapshot cannot become one.
 * Where the file system lets two files share their blocks (FICLONE), it is a
 * copy that takes neither room nor time, stands alone, and never lends a byte
 * to the disk above: the top is not touched at all.  Where it does not, there
 * is no such snapshot; a delta over the disk does the same under another name.
 *
 * A name like disk@before.raw proves nothing: a person may have called a disk
 * so.  Both files carry a mark beside their bytes (an extended attribute): the
 * disk a random name of its own, each copy that name and a running number.
 *
 * C1  A copy is whole and durable, mark included, before it gets its name.
 * C2  Going back: the new top is a copy of the snapshot that takes the name of
 *     the top by one rename.  Newer snapshots go when that is durable; the list
 *     in the work folder says by which file a second run can tell (TODO_NEW).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "work.h"

#define MARK_DISK	"user.vdisk.disk"
#define MARK_COPY	"user.vdisk.copy-of"
#define MARK_MAX	64
#define NAMES_MAX	100000u		/* looked at in one folder */

struct copy {
	uint64_t	number;
	dev_t		dev;
	ino_t		ino;
	char	       *name;
	char	       *path;
};

struct vd_copies {
	char		disk[33];	/* what the top calls itself, or "" */
	struct copy    *copy;		/* the oldest first */
	unsigned	n;
};

bool
vd_copies_possible(const struct vd_disk *d)
{
	const struct vd_layer *top = &d->layers[0];

	return (top->format->flags & VD_FORMAT_REST) &&
	       !top->format->create_child && !top->file->block;
}

void
vd_copies_free(struct vd_copies *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->n; i++) {
		free(c->copy[i].name);
		free(c->copy[i].path);
	}
	free(c->copy);
	free(c);
}

/* ------------------------------------------------------------------- list */

static bool
get_mark(int fd, const char *mark, char text[MARK_MAX])
{
	char proc[40];
	ssize_t n;

	/* By this way also a file that was only looked at. */
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	n = getxattr(proc, mark, text, MARK_MAX - 1);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* name is STEM@NAME.EXT of the top's STEM.EXT: where NAME is, or 0. */
static size_t
copy_name(const char *top, const char *name, size_t *len)
{
	const char *base = vd_base_name(top), *dot = strrchr(base, '.');
	size_t stem = dot ? (size_t)(dot - base) : strlen(base);
	size_t tail = strlen(base + stem), n = strlen(name);

	if (n <= stem + 1 + tail || strncmp(name, base, stem) ||
	    name[stem] != '@' || strcmp(name + n - tail, base + stem))
		return 0;
	*len = n - stem - 1 - tail;
	return stem + 1;
}

static void
add_copy(struct vd_copies *c, const struct vd_layer *top, const char *name,
	 size_t at, size_t len)
{
	int fd = vd_find_beside(top->host->dir, name, false);
	struct copy new = { 0 }, *more;
	char text[MARK_MAX];
	struct stat st;
	unsigned i;

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && get_mark(fd, MARK_COPY, text) &&
	    !strncmp(text, c->disk, 32) && text[32] == ' ' &&
	    (more = realloc(c->copy, (c->n + 1) * sizeof(*more)))) {
		c->copy = more;
		new.number = strtoull(text + 33, NULL, 10);
		new.dev = st.st_dev;
		new.ino = st.st_ino;
		new.name = strndup(name + at, len);
		if (asprintf(&new.path, "%s%s", top->host->dir, name) < 0)
			new.path = NULL;
		for (i = c->n; i && more[i - 1].number > new.number; i--)
			more[i] = more[i - 1];
		more[i] = new;
		c->n++;
	}
	close(fd);
}

static struct vd_copies *
list(struct vd_disk *d)
{
	const struct vd_layer *top = &d->layers[0];
	const char *folder = top->host->dir;
	struct vd_copies *c = d->copies;
	char text[MARK_MAX];
	unsigned names = 0;
	struct dirent *e;
	DIR *dir;

	if (c || !(c = calloc(1, sizeof(*c))))
		return c;
	d->copies = c;
	if (!vd_copies_possible(d) ||
	    !get_mark(top->file->fd, MARK_DISK, text) || strlen(text) != 32)
		return c;
	memcpy(c->disk, text, sizeof(c->disk));
	dir = opendir(folder[0] ? folder : ".");
	while (dir && names++ < NAMES_MAX && (e = readdir(dir))) {
		size_t len, at = copy_name(top->path, e->d_name, &len);

		if (at)
			add_copy(c, top, e->d_name, at, len);
	}
	if (dir)
		closedir(dir);
	return c;
}

const char *
vd_snapshot_copy(struct vd_disk *d, unsigned i, const char **path)
{
	const struct vd_copies *c = list(d);

	if (!c || i >= c->n || !c->copy[i].name || !c->copy[i].path)
		return NULL;
	if (path)
		*path = c->copy[i].path;
	return c->copy[i].name;
}

/* ------------------------------------------------------------------- make */

static int
cannot_share(const struct vd_layer *top, struct vd_err *err)
{
	int ret = vd_fail(err, ENOTSUP, VD_NOWHERE, "a raw disk has snapshots "
			  "where two files can share blocks and carry marks "
			  "(XFS, Btrfs); this file system cannot");

	vd_err_help(err, "leave it as it is and write to a child: `vdiskadm "
		    "create -p %s NEW.delta`", top->path);
	return ret;
}

/* A random name, once. */
static int
name_disk(struct vd_layer *top, struct vd_copies *c, struct vd_err *err)
{
	uint8_t id[16];
	int ret;

	if (c->disk[0])
		return 0;
	ret = vd_random(id, sizeof(id), err);
	if (ret)
		return ret;
	for (int i = 0; i < 16; i++)
		snprintf(c->disk + 2 * i, 3, "%02x", id[i]);
	if (fsetxattr(top->file->fd, MARK_DISK, c->disk, 32, 0) < 0) {
		c->disk[0] = '\0';
		return cannot_share(top, err);
	}
	return 0;
}

/* A marked copy of the file open as `from`, durable (C1). */
static int
make_copy(const struct vd_layer *top, int from, const char *place,
	  const char *mark, const char *text, struct vd_err *err)
{
	int fd = open(place, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC |
		      O_NOFOLLOW, 0600);
	int ret = 0;

	if (fd < 0)
		return vd_fail(err, errno, VD_NOWHERE, "cannot create: %s",
			       strerror(errno));
	if (vd_share_blocks(from, 0, fd, 0, 0) ||
	    fsetxattr(fd, mark, text, strlen(text), 0))
		ret = errno == EIO || errno == ENOSPC || errno == EDQUOT
			? vd_fail(err, errno, VD_NOWHERE, "%s",
				  strerror(errno)) : cannot_share(top, err);
	else if (fsync(fd))
		ret = vd_fail(err, errno, VD_NOWHERE, "cannot make it "
			      "durable: %s", strerror(errno));
	close(fd);
	if (ret)
		unlink(place);
	else
		vd_same_owner(place, top->path);
	return ret;
}

int
vd_copy_take(struct vd_work *w, struct vd_disk *d, const char *frozen,
	     struct vd_err *err)
{
	struct vd_layer *top = &d->layers[0];
	struct vd_copies *c = list(d);
	char *place = vd_work_place(w), text[MARK_MAX];
	int ret;

	if (!c || !place) {
		free(place);
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	}
	ret = name_disk(top, c, err);
	if (!ret) {
		snprintf(text, sizeof(text), "%s %llu", c->disk, c->n ?
			 (unsigned long long)c->copy[c->n - 1].number + 1 : 1);
		ret = make_copy(top, top->file->fd, place, MARK_COPY, text,
				err);
	}
	/* The mark of the top, too: without it the copy is nobody's. */
	if (!ret && fsync(top->file->fd))
		ret = vd_fail(err, errno, VD_NOWHERE, "cannot be made durable: "
			      "%s", strerror(errno));
	if (!ret && renameat2(AT_FDCWD, place, AT_FDCWD, frozen,
			      RENAME_NOREPLACE))
		ret = vd_fail(err, errno, VD_NOWHERE, "%s: %s", frozen,
			      strerror(errno));
	free(place);
	return ret ? ret : vd_sync_folder(w->folder, err);
}

/* ----------------------------------------------------------------- remove */

/* Deltas may lie over a copy, as over any file. */
static int
copy_has_children(struct vd_disk *d, const struct copy *c, struct vd_err *err)
{
	static const struct vd_format none = { .name = "raw" };
	struct vd_file f = { .dev = c->dev, .ino = c->ino };
	struct vd_layer l = { .file = &f, .format = &none, .path = c->path };

	return vd_has_children(d, &l, NULL, err);
}

static int
drop_copies(struct vd_work *w, struct vd_disk *d, unsigned from,
	    struct vd_err *err)
{
	const struct vd_copies *c = list(d);
	int ret = 0;

	for (unsigned i = from; c && i < c->n && !ret; i++) {
		ret = copy_has_children(d, &c->copy[i], err);
		if (!ret)
			ret = vd_work_add(w, TODO_COPY, c->copy[i].path,
					  c->copy[i].dev, c->copy[i].ino, err);
	}
	return ret;
}

unsigned
vd_copies_count(struct vd_disk *d)
{
	const struct vd_copies *c = list(d);

	return c ? c->n : 0;
}

int
vd_copies_drop(struct vd_work *w, struct vd_disk *d, struct vd_err *err)
{
	return drop_copies(w, d, 0, err);
}

static const struct copy *
find(struct vd_disk *d, const char *name)
{
	const struct vd_copies *c = list(d);

	for (unsigned i = 0; c && i < c->n; i++)
		if (c->copy[i].name && c->copy[i].path &&
		    (!strcmp(c->copy[i].name, name) ||
		     !strcmp(vd_base_name(c->copy[i].path), name)))
			return &c->copy[i];
	return NULL;
}

/* Open it, if it is still the same; nobody may be writing to it. */
static int
open_copy(const struct copy *c, struct vd_err *err)
{
	struct stat st;
	int fd = vd_open_plain(c->path, O_RDONLY | O_NOFOLLOW, &st, err);
	int ret = fd;

	if (fd >= 0 && (st.st_dev != c->dev || st.st_ino != c->ino))
		ret = vd_fail(err, EBUSY, VD_NOWHERE, "was replaced "
			      "meanwhile");
	if (ret >= 0)
		ret = vd_lock_file(fd, c->path, false, err);
	if (ret < 0 && fd >= 0)
		close(fd);
	vd_err_file(err, c->path);
	return ret < 0 ? ret : fd;
}

int
vd_copy_remove(struct vd_work *w, struct vd_disk *d, const char *name,
	       struct vd_err *err)
{
	const struct copy *c = find(d, name);
	int ret, fd;

	if (!c)
		return vd_no_snapshot(d->layers[0].path, name, err);
	ret = copy_has_children(d, c, err);
	if (ret)
		return ret;
	fd = open_copy(c, err);
	if (fd < 0)
		return fd;
	if (unlink(c->path) < 0) {
		ret = vd_fail(err, errno, VD_NOWHERE, "cannot remove it: %s",
			      strerror(errno));
		vd_err_file(err, c->path);
	}
	close(fd);
	return ret ? ret : vd_sync_folder(w->folder, err);
}

/* --------------------------------------------------------------- rollback */

static int
switch_to(struct vd_work *w, const char *place, bool *switched,
	  struct vd_err *err)
{
	struct stat st;
	int ret = 0;

	if (lstat(place, &st) < 0)
		return vd_fail(err, errno, VD_NOWHERE, "%s", strerror(errno));
	ret = vd_work_add(w, TODO_NEW, w->top, st.st_dev, st.st_ino, err);
	if (!ret)
		ret = vd_work_save(w, err);
	if (ret)
		return ret;
	if (rename(place, w->top) < 0)
		return vd_fail(err, errno, VD_NOWHERE, "%s", strerror(errno));
	*switched = true;
	return vd_sync_folder(w->folder, err);			/* C2 */
}

static int
go_back(struct vd_work *w, struct vd_disk *d, const struct copy *c,
	struct vd_err *err)
{
	struct vd_copies *all = d->copies;
	char *place = vd_work_place(w);
	bool switched = false;
	int fd, ret;

	if (!place)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = fd = open_copy(c, err);
	if (fd >= 0)
		ret = vd_has_children(d, &d->layers[0], NULL, err);
	if (!ret)
		ret = drop_copies(w, d, (unsigned)(c - all->copy) + 1, err);
	if (!ret)
		ret = make_copy(&d->layers[0], fd, place, MARK_DISK, all->disk,
				err);
	if (!ret)
		ret = switch_to(w, place, &switched, err);
	if (switched && ret)
		w->keep = true;
	if (fd >= 0)
		close(fd);
	free(place);
	return ret ? ret : vd_work_settle(w, SWITCH_YES, d, NULL, NULL, err);
}

int
vd_copy_back(struct vd_work *w, struct vd_disk *d, const char *name,
	     unsigned flags, struct vd_err *err)
{
	const struct copy *c = find(d, name);
	unsigned newer = c ? d->copies->n - (unsigned)(c - d->copies->copy) - 1
			   : 0;

	if (!c)
		return vd_no_snapshot(d->layers[0].path, name, err);
	if (newer && !(flags & VD_NEWER))
		return vd_newer_exist(newer, err);
	return go_back(w, d, c, err);
}

/* ------------------------------------------------- other disks' bytes, too */

/* Where a byte of the chain lies in a file, and how far; 0: in none. */
static uint64_t
place_of(struct vd_disk *d, uint64_t off, uint64_t len, struct vd_extent *e)
{
	for (unsigned i = 0; i < d->nlayers; i++) {
		if (vd_layer_map(&d->layers[i], off, len, e, NULL))
			return 0;
		if (e->len < len)
			len = e->len;
		if (e->kind != VD_EXT_HOLE)
			return e->kind == VD_EXT_DATA ? len : 0;
	}
	return 0;
}

int
vd_disk_share(struct vd_disk *in, struct vd_disk *out, uint64_t off,
	      uint64_t len, uint64_t *shared, struct vd_err *err)
{
	uint64_t left = off < in->size && off < out->size
		? (in->size < out->size ? in->size : out->size) - off : 0;
	struct vd_extent from, to;
	struct stat st;
	int ret;

	*shared = 0;
	if (out->readonly || out->guard || in->alone || out->alone)
		return 0;
	len = place_of(in, off, len < left ? len : left, &from);
	if (!len || vd_layer_map(&out->layers[0], off, len, &to, NULL) ||
	    to.kind != VD_EXT_DATA || from.file->block || to.file->block ||
	    fstat(to.file->fd, &st))
		return 0;
	len = to.len < len ? to.len : len;
	len -= len % (uint64_t)st.st_blksize;
	if (!len)
		return 0;
	ret = vd_engine_begin(out, err);
	if (!ret && !vd_share_blocks(from.file->fd, from.host_off, to.file->fd,
				     to.host_off, len)) {
		vd_file_wrote(to.file);
		*shared = len;
	}
	return ret;
}
