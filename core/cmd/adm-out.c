/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-out.c - the image being made, in sight only when it is whole.
 *
 * It grows in a folder of its own beside its place, and its files (a vmdk may
 * have several) are renamed there when all is written and durable.  Whatever
 * happens before that - an error, ^C, a power cut - the name the user asked
 * for shows nothing half-made, and what is left over is one folder whose name
 * begins with ".vdiskadm-"; the next run that makes the same image takes it over.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "adm.h"

static int
no_memory(struct vd_err *err)
{
	return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for a path");
}

/* The folder of path, with its slash; "": the current one; NULL: no memory. */
static char *
folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strndup(path, slash ? (size_t)(slash - path) + 1 : 0);
}

static const char *
base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static char *
join(const char *folder, const char *name)
{
	char *s;

	return asprintf(&s, "%s%s", folder, name) < 0 ? NULL : s;
}

/* ------------------------------------------------------------------ begin */

static void	take_back(struct adm_out *o);

/* Ours alone: an earlier run, cut short, may have left it with what it made. */
static int
take_work(struct adm_out *o, struct vd_err *err)
{
	struct stat st;

	if (mkdir(o->work, 0700) && errno != EEXIST)
		return vd_fail(err, errno, VD_NOWHERE, "cannot make a file in "
			       "this folder: %s", strerror(errno));
	o->lock = open(o->work, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
		       O_CLOEXEC);
	if (o->lock < 0 || fstat(o->lock, &st) || st.st_uid != geteuid() ||
	    (st.st_mode & 022))
		return vd_fail(err, EPERM, VD_NOWHERE, "%s is in the way",
			       o->work);
	if (flock(o->lock, LOCK_EX | LOCK_NB) || fstat(o->lock, &st) ||
	    !st.st_nlink)
		return vd_fail(err, EBUSY, VD_NOWHERE, "another vdiskadm is "
			       "making it");
	return 0;
}

static int
make_work(struct adm_out *o, struct vd_err *err)
{
	char *folder = folder_of(o->path);
	int ret;

	o->work = folder && asprintf(&o->work, "%s.vdiskadm-+%s", folder,
				     base_of(o->path)) >= 0 ? o->work : NULL;
	free(folder);
	ret = o->work ? take_work(o, err) : no_memory(err);
	if (!ret) {
		char *slashed = join(o->work, "/");

		free(o->work);
		o->work = slashed;
		o->made = slashed ? join(slashed, base_of(o->path)) : NULL;
		if (!o->made)
			return no_memory(err);
		take_back(o);
		return 0;
	}
	/* Not ours to empty. */
	if (o->lock >= 0)
		close(o->lock);
	free(o->work);
	o->work = NULL;
	return ret;
}

static int
use_device(struct adm_out *o, struct vd_err *err)
{
	o->device = true;
	o->made = strdup(o->path);
	return o->made ? 0 : no_memory(err);
}

int
adm_out_begin(struct adm_out *o, const char *path, struct vd_err *err)
{
	struct stat st;

	o->lock = -1;
	o->path = strdup(path);
	if (!o->path)
		return no_memory(err);
	if (!*base_of(path))
		return vd_fail(err, EISDIR, VD_NOWHERE, "names a folder");
	if (!stat(path, &st) && S_ISBLK(st.st_mode))
		return use_device(o, err);
	/* Also a link that leads nowhere is something we do not replace. */
	if (!lstat(path, &st)) {
		make_work(o, NULL);	/* and remove what a dead run left */
		return vd_fail(err, EEXIST, VD_NOWHERE, "exists already");
	}
	if (errno != ENOENT)
		return vd_fail(err, errno, VD_NOWHERE, "%s", strerror(errno));
	return make_work(o, err);
}

/* ---------------------------------------------------------------- publish */

/* Call fn for each file in the work folder until it fails. */
static int
each_file(struct adm_out *o,
	  int (*fn)(struct adm_out *, const char *name, const char *from,
		    const char *to, struct vd_err *),
	  struct vd_err *err)
{
	char *folder = folder_of(o->path), *from, *to;
	DIR *d = folder ? opendir(o->work) : NULL;
	struct dirent *e;
	int ret = 0;

	if (!d) {
		ret = vd_fail(err, folder ? errno : ENOMEM, VD_NOWHERE,
			      "cannot list the files made");
		free(folder);
		return ret;
	}
	while (!ret && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		from = join(o->work, e->d_name);
		to = join(folder, e->d_name);
		ret = from && to ? fn(o, e->d_name, from, to, err)
				 : no_memory(err);
		free(from);
		free(to);
	}
	closedir(d);
	free(folder);
	return ret;
}

static int
taken(const char *path, struct vd_err *err)
{
	int ret = vd_fail(err, EEXIST, VD_NOWHERE, "exists already");

	vd_err_file(err, path);
	return ret;
}

static int
check_one(struct adm_out *o, const char *name, const char *from, const char *to,
	  struct vd_err *err)
{
	struct stat st;

	(void)o, (void)name, (void)from;
	return lstat(to, &st) ? 0 : taken(to, err);
}

int
adm_out_check(struct adm_out *o, struct vd_err *err)
{
	return o->device ? 0 : each_file(o, check_one, err);
}

/* Rename, never onto something. */
static int
move(const char *from, const char *to, struct vd_err *err)
{
	struct stat st;
	int ret;

	if (!renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE))
		return 0;
	if (errno == EINVAL || errno == ENOSYS) {
		/* A file system that cannot promise it: look, then do it. */
		if (!lstat(to, &st))
			return taken(to, err);
		if (!rename(from, to))
			return 0;
	}
	if (errno == EEXIST)
		return taken(to, err);
	ret = vd_fail(err, errno, VD_NOWHERE, "cannot be renamed to its place: "
		      "%s", strerror(errno));
	vd_err_file(err, to);
	return ret;
}

/*
 * All but the image's own file, which goes last: it makes the rest an image.
 * They keep their names in the work folder as long, so that a second run knows
 * them for ours and takes them back.
 */
static int
publish_part(struct adm_out *o, const char *name, const char *from,
	     const char *to, struct vd_err *err)
{
	int ret = 0;

	if (!strcmp(name, base_of(o->path)))
		return 0;
	if (o->nmoved == ADM_OUT_PARTS)
		return vd_fail(err, E2BIG, VD_NOWHERE,
			       "an image of more than %u files",
			       ADM_OUT_PARTS);
	o->moved[o->nmoved] = strdup(to);
	if (!o->moved[o->nmoved])
		return no_memory(err);
	if (link(from, to))
		ret = errno == EEXIST ? taken(to, err) : move(from, to, err);
	if (!ret)
		o->nmoved++;
	else
		free(o->moved[o->nmoved]);
	return ret;
}

/* Somebody took a name since we looked: none of ours may stay. */
static void
unpublish(struct adm_out *o)
{
	for (unsigned i = 0; i < o->nmoved; i++)
		unlink(o->moved[i]);
}

static int
sync_one(const char *folder, struct vd_err *err)
{
	int fd = open(*folder ? folder : ".", O_RDONLY | O_DIRECTORY |
		      O_CLOEXEC);
	int ret = 0;

	/* EINVAL: the file system has no such thing as a folder to sync. */
	if (fd < 0 || (fsync(fd) && errno != EINVAL))
		ret = vd_fail(err, errno, VD_NOWHERE, "the folder could not be "
			      "synced: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return ret;
}

static int
sync_folder(struct adm_out *o, struct vd_err *err)
{
	char *folder = folder_of(o->path);
	int ret = folder ? sync_one(folder, err) : no_memory(err);

	free(folder);
	return ret;
}

static int
count_one(struct adm_out *o, const char *name, const char *from, const char *to,
	  struct vd_err *err)
{
	(void)name, (void)from, (void)to, (void)err;
	o->nfiles++;
	return 0;
}

/* Several files are not published in one step: what is ours must be known. */
static int
settle_work(struct adm_out *o, struct vd_err *err)
{
	int ret;

	o->nfiles = 0;
	ret = each_file(o, count_one, err);
	if (ret || o->nfiles < 2)
		return ret;
	ret = sync_one(o->work, err);
	return ret ? ret : sync_folder(o, err);
}

int
adm_out_publish(struct adm_out *o, struct vd_err *err)
{
	int ret;

	if (o->device)
		return 0;
	ret = adm_out_check(o, err);
	if (!ret)
		ret = settle_work(o, err);
	if (!ret)
		ret = each_file(o, publish_part, err);
	/* Before the image is there its parts are, also after a power cut. */
	if (!ret && o->nmoved)
		ret = sync_folder(o, err);
	if (!ret)
		ret = move(o->made, o->path, err);
	if (ret) {
		unpublish(o);
		return ret;
	}
	return o->nosync ? 0 : sync_folder(o, err);
}

static int
forget(const char *path, struct vd_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret = 0;

	if (fd < 0 || fdatasync(fd)) {
		ret = vd_fail(err, errno, VD_NOWHERE, "cannot make it durable: "
			      "%s", strerror(errno));
		vd_err_file(err, path);
	} else {
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	}
	if (fd >= 0)
		close(fd);
	return ret;
}

static int
forget_one(struct adm_out *o, const char *name, const char *from,
	   const char *to, struct vd_err *err)
{
	(void)o, (void)name, (void)to;
	return forget(from, err);
}

int
adm_out_forget(struct adm_out *o, struct vd_err *err)
{
	return o->device ? forget(o->made, err) : each_file(o, forget_one, err);
}

/* A message about a file in the work folder is about the one to be. */
void
adm_out_name_error(struct adm_out *o, struct vd_err *err)
{
	size_t len = o->work ? strlen(o->work) : 0;
	char part[sizeof(err->file)];
	char *folder;

	if (!len || strncmp(err->file, o->work, len))
		return;
	folder = folder_of(o->path);
	if (!folder)
		return;
	snprintf(part, sizeof(part), "%s", err->file + len);
	snprintf(err->file, sizeof(err->file), "%s%s", folder, part);
	free(folder);
}

/* -------------------------------------------------------------------- end */

static int
remove_one(struct adm_out *o, const char *name, const char *from,
	   const char *to, struct vd_err *err)
{
	(void)o, (void)name, (void)to, (void)err;
	unlink(from);
	return 0;
}

static void
empty_work(struct adm_out *o)
{
	each_file(o, remove_one, NULL);
}

/* A part that was published without its image. */
static int
take_back_one(struct adm_out *o, const char *name, const char *from,
	      const char *to, struct vd_err *err)
{
	struct stat a, b;

	(void)err;
	if (strcmp(name, base_of(o->path)) && !lstat(from, &a) &&
	    !lstat(to, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		unlink(to);
	return 0;
}

static void
take_back(struct adm_out *o)
{
	struct stat st;

	if (lstat(o->path, &st))
		each_file(o, take_back_one, NULL);
	empty_work(o);
}

void
adm_out_end(struct adm_out *o)
{
	if (o->work) {
		empty_work(o);
		rmdir(o->work);
		close(o->lock);
	}
	for (unsigned i = 0; i < o->nmoved; i++)
		free(o->moved[i]);
	free(o->work);
	free(o->made);
	free(o->path);
	*o = (struct adm_out){ 0 };
}
