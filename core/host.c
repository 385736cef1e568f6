/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * host.c - the files of one image: which may be opened, and how.
 *
 * Names inside images come from strangers.  They are resolved beneath the
 * image's own folder by the kernel (openat2), and must be regular files: no
 * name can make us read /etc/shadow, wait on a FIFO or touch a device.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "internal.h"

int
vd_host_new(const char *path, unsigned flags, struct vd_host **out,
	    struct vd_err *err)
{
	struct vd_host *h = calloc(1, sizeof(*h));
	const char *slash = strrchr(path, '/');

	if (!h)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	pthread_mutex_init(&h->lock, NULL);
	h->flags = flags;
	h->dir = strndup(path, slash ? (size_t)(slash - path) + 1 : 0);
	if (!h->dir) {
		vd_host_free(h);
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	}
	*out = h;
	return 0;
}

static void
host_add(struct vd_host *h, struct vd_file *f)
{
	pthread_mutex_lock(&h->lock);
	f->next = h->files;
	h->files = f;
	f->undo = h->undo;
	f->save = h->save;
	pthread_mutex_unlock(&h->lock);
}

/* Take over fd: wrap, lock and remember it. */
static int
host_adopt(struct vd_host *h, int fd, const char *name, bool write,
	   struct vd_file **out, struct vd_err *err)
{
	int ret = 0;

	if (!(h->flags & VD_DISK_SHARED))
		ret = vd_lock_file(fd, name, write, err);
	if (!ret)
		ret = vd_file_wrap(fd, name, write, out, err);
	if (ret)
		close(fd);
	else
		host_add(h, *out);
	if (!ret) {
		(*out)->nosync = h->flags & VD_DISK_NOSYNC;
		(*out)->early = write && (h->flags & VD_DISK_BATCH) &&
				!(*out)->nosync;
	}
	return ret;
}

int
vd_open_plain(const char *path, int flags, struct stat *st,
	      struct vd_err *err)
{
	int fd = -1, ret = 0;

	/* Look first: opening a device or a FIFO can have effects. */
	if (stat(path, st) < 0)
		ret = vd_fail(err, errno, VD_NOWHERE, "%s", strerror(errno));
	else if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		ret = vd_fail(err, S_ISDIR(st->st_mode) ? EISDIR : EINVAL,
			      VD_NOWHERE, "%s", S_ISDIR(st->st_mode)
			      ? "is a folder, not an image"
			      : "neither a regular file nor a block device");
	else if ((fd = open(path, flags | O_CLOEXEC | O_NONBLOCK |
			    O_NOCTTY)) < 0)
		ret = vd_fail(err, errno, VD_NOWHERE, "cannot open: %s",
			      strerror(errno));
	else if (fstat(fd, st) < 0 ||
		 (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))) {
		close(fd);
		ret = vd_fail(err, EINVAL, VD_NOWHERE,
			      "changed its type while being opened");
	}
	vd_err_file(err, path);
	return ret ? ret : fd;
}

/*
 * Between our open and our lock a snapshot may have given the name to another
 * file.  The one we hold is a parent then, and must not be written (W5).
 */
static int
still_there(const struct vd_file *f, const char *path, struct vd_err *err)
{
	struct stat st;

	if (!stat(path, &st) && st.st_dev == f->dev && st.st_ino == f->ino)
		return 0;
	return vd_fail(err, EBUSY, VD_NOWHERE, "was replaced while being "
		       "opened: try again");
}

int
vd_host_open_main(struct vd_host *h, const char *path, struct vd_file **out,
		  struct vd_err *err)
{
	bool write = !(h->flags & VD_DISK_RDONLY);
	struct stat st;
	int fd = vd_open_plain(path, write ? O_RDWR : O_RDONLY, &st, err);
	int ret = fd;

	if (fd >= 0)
		ret = host_adopt(h, fd, path, write, out, err);
	if (!ret && write && !(*out)->block)
		ret = still_there(*out, path, err);
	return ret;
}

/*
 * For kernels before 5.6: step by step, through no link at all.  An O_PATH
 * descriptor, or -1 with errno.
 */
static int
walk_beneath(int dirfd, const char *name)
{
	char part[NAME_MAX + 1];
	int fd = dup(dirfd), next;

	while (fd >= 0) {
		size_t n = strcspn(name, "/");
		bool last = !name[n];

		if (!n || n > NAME_MAX || (n == 2 && !memcmp(name, "..", 2))) {
			close(fd);
			errno = n > NAME_MAX ? ENAMETOOLONG : EXDEV;
			return -1;
		}
		memcpy(part, name, n);
		part[n] = '\0';
		next = openat(fd, part, O_PATH | O_NOFOLLOW | O_CLOEXEC |
			      (last ? 0 : O_DIRECTORY));
		close(fd);
		if (last)
			return next;
		fd = next;
		name += n + 1 + strspn(name + n + 1, "/");
	}
	return -1;
}

/* Beneath the folder, through no link that leaves it. */
static int
look_beneath(int dirfd, const char *name)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));

	return fd >= 0 || errno != ENOSYS ? (int)fd
					  : walk_beneath(dirfd, name);
}

int
vd_find_beside(const char *dir, const char *name, bool anywhere)
{
	int dirfd = open(dir[0] ? dir : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int at;

	if (dirfd < 0)
		return -errno;
	at = anywhere ? openat(dirfd, name, O_PATH | O_CLOEXEC)
		      : look_beneath(dirfd, name);
	if (at < 0)
		at = errno == ELOOP ? -EXDEV : -errno;
	close(dirfd);
	if (at >= 0 && (fstat(at, &st) < 0 || !S_ISREG(st.st_mode))) {
		close(at);
		return -EINVAL;
	}
	return at;
}

/* Open for data what was only looked at before. */
static int
reopen(int at, bool write)
{
	char proc[40];

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", at);
	return open(proc, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC |
		    O_NONBLOCK | O_NOCTTY);
}

int
vd_host_open_found(struct vd_host *h, int at, const char *path,
		   struct vd_file **out, struct vd_err *err)
{
	bool write = !(h->flags & VD_DISK_RDONLY);
	int fd = reopen(at, write), ret;

	if (fd >= 0)
		return host_adopt(h, fd, path, write, out, err);
	ret = vd_fail(err, errno, VD_NOWHERE, "cannot open: %s",
		      strerror(errno));
	vd_err_file(err, path);
	return ret;
}

/*
 * No name in an image alone opens a device, and no permission opens what is not
 * one: terminals, pipes and sockets do things when they are opened.
 */
static int
open_device(struct vd_host *h, const char *name, const char *shown,
	    struct vd_file **out, struct vd_err *err)
{
	int dirfd, at, fd, ret = -ENOENT;
	struct stat st;

	if (!(h->flags & VD_DISK_DEVICES)) {
		ret = vd_fail(err, EPERM, VD_NOWHERE, "the image is kept on a "
			      "device of its host: those are not opened");
		vd_err_help(err, "allow it with --devices if you trust the "
			    "image");
		return ret;
	}
	dirfd = open(h->dir[0] ? h->dir : ".", O_PATH | O_DIRECTORY |
		     O_CLOEXEC);
	at = dirfd < 0 ? -1 : openat(dirfd, name, O_PATH | O_CLOEXEC);
	if (dirfd >= 0)
		close(dirfd);
	if (at < 0 || fstat(at, &st) < 0)
		ret = vd_fail(err, errno, VD_NOWHERE, "cannot open a device of "
			      "the image: %s", strerror(errno));
	else if (S_ISREG(st.st_mode))
		ret = -EAGAIN;
	else if (!S_ISBLK(st.st_mode))
		ret = vd_fail(err, EPERM, VD_NOWHERE, "neither a block device "
			      "nor a regular file");
	else if ((fd = reopen(at, false)) < 0)
		ret = vd_fail(err, errno, VD_NOWHERE, "cannot open a device of "
			      "the image: %s", strerror(errno));
	else
		ret = host_adopt(h, fd, shown, false, out, err);
	if (at >= 0)
		close(at);
	return ret;
}

int
vd_host_open(struct vd_host *h, const char *name, unsigned flags,
	     struct vd_file **out, struct vd_err *err)
{
	bool write = !(flags & VD_OPEN_RDONLY) &&
		     !(h->flags & VD_DISK_RDONLY);
	char shown[512];
	int at, fd = -1, ret;

	snprintf(shown, sizeof(shown), "%s%s", name[0] == '/' ? "" : h->dir,
		 name);
	if (!name[0] || strlen(name) >= VD_NAME_MAX)
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "the image names a file with %s name",
			       name[0] ? "too long a" : "an empty");
	if (flags & VD_OPEN_DEVICE) {
		ret = open_device(h, name, shown, out, err);
		if (ret != -EAGAIN) {
			vd_err_file(err, shown);
			return ret;
		}
		write = false;
	}
	at = vd_find_beside(h->dir, name, h->flags & VD_DISK_ANYWHERE);
	if (at == -EXDEV) {
		ret = vd_fail(err, EPERM, VD_NOWHERE, "the image names a file "
			      "outside its own folder");
		vd_err_help(err, "allow it with --allow-outside if you trust "
			    "the image");
	} else if (at == -EINVAL) {
		ret = vd_fail(err, EPERM, VD_NOWHERE,
			      "a part of the image is not a regular file");
	} else if (at < 0) {
		ret = vd_fail(err, -at, VD_NOWHERE, "cannot open a part of "
			      "the image: %s", strerror(-at));
	} else if ((fd = reopen(at, write)) < 0) {
		ret = vd_fail(err, errno, VD_NOWHERE, "cannot open a part of "
			      "the image: %s", strerror(errno));
	} else {
		ret = host_adopt(h, fd, shown, write, out, err);
	}
	if (at >= 0)
		close(at);
	vd_err_file(err, shown);
	return ret;
}

int
vd_host_create(struct vd_host *h, const char *path, struct vd_file **out,
	       struct vd_err *err)
{
	char **more = realloc(h->created,
			      (h->ncreated + 1) * sizeof(*h->created));
	char *name = strdup(path);
	int fd, ret;

	if (more)
		h->created = more;
	if (!more || !name) {
		free(name);
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	}
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		  0644);
	if (fd < 0) {
		ret = vd_fail(err, errno, VD_NOWHERE, "cannot create: %s",
			      strerror(errno));
		vd_err_file(err, path);
		free(name);
		return ret;
	}
	h->created[h->ncreated++] = name;
	return host_adopt(h, fd, path, true, out, err);
}

void
vd_host_unlink_created(struct vd_host *h)
{
	for (unsigned i = 0; i < h->ncreated; i++)
		unlink(h->created[i]);
}

int
vd_sync_folder(const char *folder, struct vd_err *err)
{
	int fd = open(folder[0] ? folder : ".",
		      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret = 0;

	/* EINVAL: the file system has no such thing as a folder to sync. */
	if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
		ret = vd_fail(err, errno, VD_NOWHERE, "the folder could not "
			      "be synced: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return ret;
}

/* Files and their names survive a power cut. */
int
vd_host_sync_created(struct vd_host *h, struct vd_err *err)
{
	int ret = vd_host_sync_files(h, err);

	if (ret || (h->flags & VD_DISK_NOSYNC))
		return ret;
	ret = vd_sync_folder(h->dir, err);
	if (ret)
		vd_err_file(err, h->dir);
	return ret;
}

int
vd_host_sync_files(struct vd_host *h, struct vd_err *err)
{
	int ret = 0;

	pthread_mutex_lock(&h->lock);
	for (struct vd_file *f = h->files; f && !ret; f = f->next)
		if (f->writable)
			ret = vd_file_sync(f, err);
	pthread_mutex_unlock(&h->lock);
	return ret;
}

bool
vd_host_lost(struct vd_host *h)
{
	bool lost = false;

	pthread_mutex_lock(&h->lock);
	for (struct vd_file *f = h->files; f; f = f->next)
		lost |= atomic_load(&f->sync_failed) != 0;
	pthread_mutex_unlock(&h->lock);
	return lost;
}

void
vd_host_free(struct vd_host *h)
{
	struct vd_file *f, *next;

	if (!h)
		return;
	for (f = h->files; f; f = next) {
		next = f->next;
		vd_file_free(f);
	}
	for (unsigned i = 0; i < h->ncreated; i++)
		free(h->created[i]);
	free(h->created);
	free(h->dir);
	if (h->own_cache)
		vd_cache_free(h->cache);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

int
vd_random(void *buf, size_t len, struct vd_err *err)
{
	uint8_t *p = buf;

	while (len) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno != EINTR)
			return vd_fail(err, errno, VD_NOWHERE,
				       "no random bytes: %s", strerror(errno));
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return 0;
}
