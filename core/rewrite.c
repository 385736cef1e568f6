/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rewrite.c - a small file of an image with other content, or no file any more.
 *
 * The new content grows in a file beside the old one, is durable before it is
 * shown, and is shown by one rename.  The open file is the new one then, and
 * locked as the old one was.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "library.h"

#define PREFIX	".vdisk-new-"

/* What a killed run left is nobody's: we hold the image's lock. */
static int
make_beside(const char *beside, struct vd_file **out, struct vd_err *err)
{
	int fd = -1, ret;

	for (int i = 0; i < 2 && fd < 0; i++) {
		fd = open(beside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC |
			  O_NOFOLLOW, 0600);
		if (fd >= 0 || errno != EEXIST || unlink(beside))
			break;
	}
	if (fd < 0)
		return vd_fail(err, errno, VD_NOWHERE, "cannot make %s: %s",
			       beside, strerror(errno));
	ret = vd_lock_file(fd, beside, true, err);
	if (!ret)
		ret = vd_file_wrap(fd, beside, true, out, err);
	if (ret) {
		close(fd);
		unlink(beside);
	}
	return ret;
}

/* Whoever could use the old one can use the new one. */
static int
same_rights(int fd, const struct stat *st)
{
	mode_t mode = st->st_mode & 07777u;

	if (fchown(fd, st->st_uid, st->st_gid))
		mode &= 0777u;
	return fchmod(fd, mode);
}

static int
take_over(struct vd_file *f, struct vd_file *new, const char *path,
	  const char *beside, struct vd_err *err)
{
	struct stat st;

	if (stat(path, &st) || st.st_dev != f->dev || st.st_ino != f->ino)
		return vd_fail(err, EBUSY, VD_NOWHERE, "was replaced meanwhile");
	if (same_rights(new->fd, &st))
		return vd_fail(err, errno, VD_NOWHERE, "cannot hand its rights "
			       "on: %s", strerror(errno));
	/* From here on both names may lead to it: the descriptor goes first. */
	if (rename(beside, path) < 0 || dup3(new->fd, f->fd, O_CLOEXEC) < 0)
		return vd_fail(err, errno, VD_NOWHERE, "cannot be replaced: %s",
			       strerror(errno));
	f->dev = new->dev;
	f->ino = new->ino;
	f->born = new->born;
	return 0;
}

static int
rewrite(struct vd_file *f, const char *path, const char *folder,
	const char *beside, const void *buf, size_t len, struct vd_err *err)
{
	struct vd_file *new;
	int ret = make_beside(beside, &new, err);

	if (ret)
		return ret;
	ret = vd_file_write(new, buf, len, 0, err);
	if (!ret)
		ret = vd_file_sync(new, err);
	if (!ret)
		ret = take_over(f, new, path, beside, err);
	if (ret)
		unlink(beside);
	else
		ret = vd_sync_folder(folder, err);
	vd_file_free(new);
	return ret;
}

/* Under the eyes of an undo file every byte goes the usual way. */
static int
in_place(struct vd_file *f, const void *buf, size_t len, struct vd_err *err)
{
	int ret = vd_file_write(f, buf, len, 0, err);

	if (!ret && !f->block && vd_file_size(f) > len)
		ret = vd_file_truncate(f, len, err);
	return ret ? ret : vd_file_sync(f, err);
}

int
vd_file_remove(struct vd_file *f, struct vd_err *err)
{
	char *path = realpath(f->name, NULL), *slash;
	struct stat st;
	int ret = 0;

	if (!path || stat(path, &st) || st.st_dev != f->dev ||
	    st.st_ino != f->ino || !S_ISREG(st.st_mode)) {
		free(path);
		return vd_fail(err, EBUSY, VD_NOWHERE, "was replaced meanwhile");
	}
	if (unlink(path) < 0)
		ret = vd_fail(err, errno, VD_NOWHERE, "cannot be removed: %s",
			      strerror(errno));
	slash = strrchr(path, '/');
	slash[1] = '\0';
	if (!ret)
		ret = vd_sync_folder(path, err);
	if (ret)
		vd_err_file(err, f->name);
	free(path);
	return ret;
}

int
vd_file_rewrite(struct vd_file *f, const void *buf, size_t len,
		struct vd_err *err)
{
	char *path, *folder = NULL, *beside = NULL;
	size_t n;
	int ret;

	if (f->undo || f->block)
		return in_place(f, buf, len, err);
	path = realpath(f->name, NULL);
	n = path ? (size_t)(strrchr(path, '/') + 1 - path) : 0;
	folder = path ? strndup(path, n) : NULL;
	if (!folder || asprintf(&beside, "%s" PREFIX "%s", folder,
				path + n) < 0)
		ret = vd_fail(err, errno, VD_NOWHERE, "%s", strerror(errno));
	else
		ret = rewrite(f, path, folder, beside, buf, len, err);
	if (ret)
		vd_err_file(err, f->name);
	free(beside);
	free(folder);
	free(path);
	return ret;
}
