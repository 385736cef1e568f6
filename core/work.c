/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * work.c - the folder of a change under way, and what a second run needs.
 *
 * It is called .vdiskadm-TOP, lies beside the top and is locked while somebody
 * works in it.  In it grows the image that will take the top's name, and the
 * list of files that have no use once it did.  A list that names too much does
 * no harm: nothing is removed that is not the very file it was made for, or
 * that the chain still needs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "work.h"

#define PREFIX		".vdiskadm-"
#define LIST_MAX	(4u << 20)	/* bytes; 4096 images of some files */
#define RETRIES		16

static int
no_memory(struct vd_err *err)
{
	return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
}

const char *
vd_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

char *
vd_real_top(const char *path)
{
	struct stat st;

	if (!lstat(path, &st) && S_ISLNK(st.st_mode))
		return realpath(path, NULL);
	return strdup(path);
}

/* ---------------------------------------------------------------- folder */

/* What is not ours, or not understood, is left as it is. */
static int
let_go(struct vd_work *w, int ret)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	return ret;
}

/* Make it, or enter what an earlier run left. */
static int
enter_folder(struct vd_work *w, bool make, struct vd_err *err)
{
	/* Without the slash, which would lead through a symbolic link. */
	char *path = strndup(w->path, strlen(w->path) - 1);
	int ret = 0;

	if (!path)
		return no_memory(err);
	w->resumed = !make || mkdir(path, 0700) < 0;
	if (make && w->resumed && errno != EEXIST)
		ret = vd_fail(err, errno, VD_NOWHERE, "cannot make a folder "
			      "beside it: %s", strerror(errno));
	if (!ret)
		w->fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
			     O_CLOEXEC);
	if (!ret && w->fd < 0)
		ret = errno == ENOENT ? (make ? -EAGAIN : -ENOENT) :
		      vd_fail(err, errno, VD_NOWHERE, "%s: %s", path,
			      strerror(errno));
	free(path);
	return ret;
}

/* Locked, and still in its place. */
static int
take_folder(struct vd_work *w, bool make, struct vd_err *err)
{
	struct stat st;
	int ret = enter_folder(w, make, err);

	if (ret)
		return ret;
	/* What a stranger put there must not tell us what to remove. */
	if (fstat(w->fd, &st) < 0 || st.st_uid != geteuid() ||
	    (st.st_mode & 022))
		return let_go(w, vd_fail(err, EPERM, VD_NOWHERE, "%s belongs "
					 "to somebody else", w->path));
	if (flock(w->fd, LOCK_EX | LOCK_NB) < 0)
		return let_go(w, vd_fail(err, EBUSY, VD_NOWHERE, "another "
					 "vdiskadm is changing it"));
	if (fstat(w->fd, &st) < 0 || !st.st_nlink)
		return let_go(w, -EAGAIN);	/* removed while we waited */
	return 0;
}

static int
add(struct vd_work *w, enum todo_kind kind, uint64_t dev, uint64_t ino,
    char *path)
{
	struct vd_todo *more = realloc(w->todo, (w->n + 1) * sizeof(*more));

	if (!more || !path) {
		w->todo = more ? more : w->todo;
		free(path);
		return -ENOMEM;
	}
	w->todo = more;
	more[w->n++] = (struct vd_todo){ kind, dev, ino, path };
	return 0;
}

/* Records end in a NUL: names may hold anything else. */
static int
parse_list(struct vd_work *w, const char *buf, size_t len)
{
	const char *end = buf + len, *next;
	int ret = 0;

	for (; !ret && buf < end; buf = next + 1) {
		uint64_t dev, ino;
		char kind, *path;
		int at = 0;

		next = memchr(buf, '\0', (size_t)(end - buf));
		if (!next)
			break;		/* cut short: before any switch */
		if (sscanf(buf, "%c %" SCNx64 " %" SCNx64 " %n", &kind, &dev,
			   &ino, &at) < 3 || !at)
			continue;
		if (asprintf(&path, "%s%s", buf[at] == '/' ? "" : w->folder,
			     buf + at) < 0)
			path = NULL;
		ret = add(w, (enum todo_kind)kind, dev, ino, path);
	}
	return ret;
}

static int
load_list(struct vd_work *w, struct vd_err *err)
{
	int fd = openat(w->fd, VD_WORK_LIST, O_RDONLY | O_NOFOLLOW | O_CLOEXEC |
			O_NONBLOCK);
	struct stat st;
	ssize_t n = -1;
	char *buf;
	int ret = 0;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_size > LIST_MAX) {
		close(fd);
		return vd_fail(err, EINVAL, VD_NOWHERE, "%s%s is not what an "
			       "earlier run left", w->path, VD_WORK_LIST);
	}
	buf = malloc((size_t)st.st_size + 1);
	if (buf)
		n = pread(fd, buf, (size_t)st.st_size, 0);
	if (n >= 0)
		ret = parse_list(w, buf, (size_t)n);
	free(buf);
	close(fd);
	return n < 0 || ret ? no_memory(err) : 0;
}

static int
work_open(struct vd_work *w, const char *path, bool make, struct vd_err *err)
{
	int ret = -EAGAIN;

	*w = (struct vd_work){ .fd = -1 };
	w->top = vd_real_top(path);
	if (w->top)
		w->folder = strndup(w->top, (size_t)(vd_base_name(w->top) -
						     w->top));
	if (!w->folder || asprintf(&w->path, "%s%s%s/", w->folder, PREFIX,
				   vd_base_name(w->top)) < 0) {
		w->path = NULL;
		return no_memory(err);
	}
	for (int i = 0; ret == -EAGAIN && i < RETRIES; i++)
		ret = take_folder(w, make, err);
	if (ret == -EAGAIN)
		ret = vd_fail(err, EBUSY, VD_NOWHERE, "another vdiskadm is "
			      "changing it");
	if (!ret && load_list(w, err))
		ret = let_go(w, -EINVAL);
	return ret;
}

int
vd_work_open(struct vd_work *w, const char *path, struct vd_err *err)
{
	return work_open(w, path, true, err);
}

int
vd_work_resume(struct vd_work *w, const char *path, struct vd_err *err)
{
	return work_open(w, path, false, err);
}

char *
vd_work_place(const struct vd_work *w)
{
	char *s;

	return asprintf(&s, "%s%s", w->path, vd_base_name(w->top)) < 0 ? NULL
								       : s;
}

/* ------------------------------------------------------------------ list */

int
vd_work_add(struct vd_work *w, enum todo_kind kind, const char *path,
	    uint64_t dev, uint64_t ino, struct vd_err *err)
{
	return add(w, kind, dev, ino, strdup(path)) ? no_memory(err) : 0;
}

int
vd_work_drop_layer(struct vd_work *w, const struct vd_layer *l,
		   struct vd_err *err)
{
	int ret = 0;

	for (struct vd_file *f = l->host->files; f && !ret; f = f->next)
		ret = vd_work_add(w, TODO_DROP, f == l->file ? l->path
							     : f->name,
				  f->dev, f->ino, err);
	return ret;
}

static int
write_list(struct vd_work *w, FILE *f)
{
	size_t len = strlen(w->folder);

	for (unsigned i = 0; i < w->n; i++) {
		const struct vd_todo *t = &w->todo[i];
		char *whole = NULL;
		const char *p = t->path;

		if (!strncmp(p, w->folder, len) && p[len] != '/')
			p += len;
		else if (p[0] != '/')
			p = whole = realpath(p, NULL);
		if (p)
			fprintf(f, "%c %" PRIx64 " %" PRIx64 " %s%c",
				(char)t->kind, t->dev, t->ino, p, '\0');
		free(whole);
	}
	return fflush(f) || ferror(f) || fsync(fileno(f)) ? -1 : 0;
}

int
vd_work_save(struct vd_work *w, struct vd_err *err)
{
	int fd = openat(w->fd, VD_WORK_LIST, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW |
			O_CLOEXEC, 0600);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	int ret = f ? write_list(w, f) : -1;
	int code = errno;

	if (f)
		fclose(f);
	else if (fd >= 0)
		close(fd);
	if (ret)
		return vd_fail(err, code, VD_NOWHERE, "cannot write down what "
			       "is about to be done: %s", strerror(code));
	ret = vd_sync_folder(w->path, err);
	return ret ? ret : vd_sync_folder(w->folder, err);
}

static bool
in_chain(const struct vd_disk *d, const struct vd_todo *t)
{
	for (unsigned i = 0; d && i < d->nlayers; i++)
		for (struct vd_file *f = d->layers[i].host->files; f;
		     f = f->next)
			if (f->dev == t->dev && f->ino == t->ino)
				return true;
	return false;
}

static bool
is_file(const char *path, uint64_t dev, uint64_t ino)
{
	struct stat st;

	return !lstat(path, &st) && S_ISREG(st.st_mode) && st.st_dev == dev &&
	       st.st_ino == ino;
}

/* Is the top the file that was to take its place? */
static bool
has_new_top(const struct vd_work *w)
{
	for (unsigned i = 0; i < w->n; i++)
		if (w->todo[i].kind == TODO_NEW)
			return is_file(w->top, w->todo[i].dev, w->todo[i].ino);
	return false;
}

/* Is it this entry's time? */
static bool
due(const struct vd_work *w, const struct vd_todo *t, enum vd_switched how,
    const struct vd_disk *d)
{
	if (!is_file(t->path, t->dev, t->ino))
		return false;
	switch (t->kind) {
	case TODO_DROP:
		return how == SWITCH_YES ||
		       (how == SWITCH_ASK && d && !in_chain(d, t));
	case TODO_LINK:
		return strcmp(t->path, w->top) &&
		       is_file(w->top, t->dev, t->ino);
	case TODO_COPY:
		return how == SWITCH_YES ||
		       (how == SWITCH_ASK && has_new_top(w));
	case TODO_TOP:
	case TODO_NEW:
		break;
	}
	return false;
}

int
vd_work_settle(struct vd_work *w, enum vd_switched how,
	       const struct vd_disk *d, const char *want, bool *dropped,
	       struct vd_err *err)
{
	bool any = false;
	int ret = 0;

	for (unsigned i = 0; i < w->n && !ret; i++) {
		struct vd_todo *t = &w->todo[i];

		/* Now, or already by the run before. */
		if (want && dropped && t->kind == TODO_DROP &&
		    !strcmp(t->path, want) && !in_chain(d, t))
			*dropped = true;
		if (!due(w, t, how, d))
			continue;
		any = true;
		if (unlink(t->path) < 0 && errno != ENOENT) {
			ret = vd_fail(err, errno, VD_NOWHERE, "cannot remove "
				      "it: %s", strerror(errno));
			vd_err_file(err, t->path);
		}
	}
	if (any && !ret)
		ret = vd_sync_folder(w->folder, err);
	w->keep = ret != 0;
	return ret;
}

/* ----------------------------------------------------------------- close */

static void
empty_folder(struct vd_work *w)
{
	int fd = dup(w->fd);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	/* Before what it tells of: another file may get that number. */
	unlinkat(w->fd, VD_WORK_LIST, 0);
	if (dir)
		rewinddir(dir);		/* the place is shared with w->fd */
	while (dir && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			unlinkat(w->fd, e->d_name, 0);
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
}

static void
free_list(struct vd_work *w)
{
	for (unsigned i = 0; i < w->n; i++)
		free(w->todo[i].path);
	free(w->todo);
	w->todo = NULL;
	w->n = 0;
}

void
vd_work_forget(struct vd_work *w)
{
	empty_folder(w);
	free_list(w);
}

void
vd_work_close(struct vd_work *w)
{
	if (w->fd >= 0 && !w->keep) {
		empty_folder(w);
		rmdir(w->path);		/* not a link: we are inside */
	}
	let_go(w, 0);
	free_list(w);
	free(w->path);
	free(w->folder);
	free(w->top);
	*w = (struct vd_work){ .fd = -1 };
}
