/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * names.c - preloaded: write down what a program does to names and when it syncs.
 *
 * $NAMES_ROOT is the folder that is watched, $NAMES_REC where the record goes: a
 * line in `log` for each change of a name and each sync, and in `data` the
 * content of each file as it was then, as INODE.VERSION.  A second name in
 * `keep` keeps every inode alive, so that t/lib/names.py can build any state
 * again out of the very same inodes.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define NEXT(name)	((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FILES_MAX	64
#define PIECE		65536

static struct file {
	ino_t	ino;
	int	version;
	off_t	size;
	struct timespec mtime;
	int	dirty;
} files[FILES_MAX];
static int nfiles;

static void
die(const char *what)
{
	fprintf(stderr, "names.c: %s: %s\n", what, strerror(errno));
	_exit(98);
}

/* "keep/12", "data/12.3" of the record */
static char *
place(char *buf, const char *kind, ino_t ino, int version)
{
	if (version < 0)
		snprintf(buf, PATH_MAX, "%s/%s/%llu", getenv("NAMES_REC"),
			 kind, (unsigned long long)ino);
	else
		snprintf(buf, PATH_MAX, "%s/%s/%llu.%d", getenv("NAMES_REC"),
			 kind, (unsigned long long)ino, version);
	return buf;
}

static void
line(const char *fmt, ...)
{
	char path[PATH_MAX], text[3 * PATH_MAX];
	va_list ap;
	int fd, n;

	snprintf(path, sizeof(path), "%s/log", getenv("NAMES_REC"));
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fd = NEXT(open)(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (fd < 0 || NEXT(write)(fd, text, (size_t)n) != n)
		die("log");
	close(fd);
}

static void
copy(const char *from, const char *to)
{
	static char buf[PIECE], zeros[PIECE];
	int in = NEXT(open)(from, O_RDONLY);
	int out = NEXT(open)(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	struct timespec t[2];
	struct stat st;
	ssize_t n;

	if (in < 0 || out < 0 || fstat(in, &st) ||
	    NEXT(ftruncate)(out, st.st_size))
		die(to);
	for (off_t at = 0; (n = pread(in, buf, PIECE, at)) > 0; at += n)
		if (memcmp(buf, zeros, (size_t)n) &&
		    NEXT(pwrite)(out, buf, (size_t)n, at) != n)
			die(to);
	t[0] = st.st_atim;
	t[1] = st.st_mtim;
	futimens(out, t);
	close(in);
	close(out);
}

/* The path below the root, or NULL. */
static const char *
below(int dirfd, const char *path, char *buf)
{
	const char *root = getenv("NAMES_ROOT");
	size_t n = root ? strlen(root) : 0;
	char dir[PATH_MAX], proc[40];
	ssize_t len;

	if (!n)
		return NULL;
	snprintf(proc, sizeof(proc), dirfd == AT_FDCWD ? "/proc/self/cwd"
						       : "/proc/self/fd/%d",
		 dirfd);
	len = readlink(proc, dir, sizeof(dir) - 1);
	if (len < 0)
		return NULL;
	dir[len] = '\0';
	if (!strcmp(path, ".") || !*path)
		snprintf(buf, PATH_MAX, "%.2000s", dir);
	else if (path[0] == '/')
		snprintf(buf, PATH_MAX, "%.2000s", path);
	else
		snprintf(buf, PATH_MAX, "%.2000s/%.2000s", dir, path);
	len = (ssize_t)strlen(buf);
	while (len > 1 && buf[len - 1] == '/')
		buf[--len] = '\0';
	if (strncmp(buf, root, n) || (buf[n] && buf[n] != '/'))
		return NULL;
	return buf + n + (buf[n] == '/');
}

/* Content that changed since it was last looked at becomes a version. */
static void
look(void)
{
	char from[PATH_MAX], to[PATH_MAX];
	struct stat st;

	for (int i = 0; i < nfiles; i++) {
		struct file *f = &files[i];

		if (stat(place(from, "keep", f->ino, -1), &st))
			die(from);
		if (!f->dirty && f->size == st.st_size &&
		    !memcmp(&f->mtime, &st.st_mtim, sizeof(f->mtime)))
			continue;
		f->dirty = 0;
		f->size = st.st_size;
		f->mtime = st.st_mtim;
		copy(from, place(to, "data", f->ino, ++f->version));
		line("ver\t%llu\t%d\n", (unsigned long long)f->ino,
		     f->version);
	}
}

static struct file *
known(ino_t ino)
{
	for (int i = 0; i < nfiles; i++)
		if (files[i].ino == ino)
			return &files[i];
	if (nfiles == FILES_MAX)
		die("too many files");
	files[nfiles].ino = ino;
	return &files[nfiles++];
}

/* What the driver has put into keep before. */
static void __attribute__((constructor))
begin(void)
{
	char path[PATH_MAX];
	struct dirent *e;
	struct stat st;
	DIR *dir;

	if (!getenv("NAMES_REC"))
		return;
	snprintf(path, sizeof(path), "%s/keep", getenv("NAMES_REC"));
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		struct file *f;

		if (e->d_name[0] == '.' || fstatat(dirfd(dir), e->d_name, &st,
						   0))
			continue;
		f = known(st.st_ino);
		f->size = st.st_size;
		f->mtime = st.st_mtim;
	}
	if (dir)
		closedir(dir);
}

static void
touched(int fd)
{
	struct stat st;

	if (nfiles && !fstat(fd, &st))
		for (int i = 0; i < nfiles; i++)
			if (files[i].ino == st.st_ino)
				files[i].dirty = 1;
}

/* ------------------------------------------------------------------- opens */

static int
opened(int fd, int dirfd, const char *path, int flags, int was_there)
{
	char buf[PATH_MAX], keep[PATH_MAX], proc[40];
	const char *name = fd >= 0 ? below(dirfd, path, buf) : NULL;
	int code = errno;
	struct stat st;

	if (!name || !(flags & O_CREAT) || was_there || fstat(fd, &st)) {
		if (name && (flags & O_TRUNC))
			touched(fd);
		errno = code;
		return fd;
	}
	look();
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	if (NEXT(linkat)(AT_FDCWD, proc, AT_FDCWD,
			 place(keep, "keep", st.st_ino, -1),
			 AT_SYMLINK_FOLLOW))
		die(keep);
	known(st.st_ino)->version = -1;
	known(st.st_ino)->dirty = 1;
	line("create\t%s\t%llu\n", name, (unsigned long long)st.st_ino);
	look();
	errno = code;
	return fd;
}

#define OPEN(name, params, dirfd, args)					\
int name params								\
{									\
	mode_t mode = 0;						\
	struct stat st;							\
	int there;							\
	va_list ap;							\
									\
	va_start(ap, flags);						\
	if (flags & (O_CREAT | __O_TMPFILE))				\
		mode = va_arg(ap, mode_t);				\
	va_end(ap);							\
	there = !fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW);	\
	return opened(NEXT(name) args, dirfd, path, flags, there);	\
}

OPEN(open, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPEN(openat, (int at, const char *path, int flags, ...), at,
     (at, path, flags, mode))
OPEN(openat64, (int at, const char *path, int flags, ...), at,
     (at, path, flags, mode))

/* -------------------------------------------------------------- the content */

#define CHANGES(type, name, params, args)				\
type name params							\
{									\
	type done_ = NEXT(name) args;					\
	int code = errno;						\
									\
	touched(fd);							\
	errno = code;							\
	return done_;							\
}

CHANGES(ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n))
CHANGES(ssize_t, pwrite, (int fd, const void *b, size_t n, off_t o),
	(fd, b, n, o))
CHANGES(ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t o),
	(fd, v, n, o))
CHANGES(int, ftruncate, (int fd, off_t n), (fd, n))
CHANGES(int, fallocate, (int fd, int m, off_t o, off_t n), (fd, m, o, n))

static int
synced(int fd, int ret)
{
	char buf[PATH_MAX];
	struct stat st;
	const char *name;
	int code = errno;

	if (!ret && getenv("NAMES_REC") && !fstat(fd, &st)) {
		name = below(fd, "", buf);
		if (S_ISDIR(st.st_mode) && name) {
			look();
			line("syncdir\t%s\n", name);
		} else if (S_ISREG(st.st_mode)) {
			look();
			line("sync\t%llu\n", (unsigned long long)st.st_ino);
		}
	}
	errno = code;
	return ret;
}

int fsync(int fd) { return synced(fd, NEXT(fsync)(fd)); }
int fdatasync(int fd) { return synced(fd, NEXT(fdatasync)(fd)); }

/* --------------------------------------------------------------- the names */

/* After a call that went well: content as of now, then what was done. */
static int
done(int ret, const char *what, int at1, const char *p1, int at2,
     const char *p2)
{
	char b1[PATH_MAX], b2[PATH_MAX];
	const char *n1, *n2;
	int code = errno;

	if (!ret && getenv("NAMES_REC")) {
		n1 = below(at1, p1, b1);
		n2 = p2 ? below(at2, p2, b2) : "";
		look();
		if (n1 && n2)
			line("%s\t%s\t%s\n", what, n1, n2);
	}
	errno = code;
	return ret;
}

int
rename(const char *a, const char *b)
{
	return done(NEXT(rename)(a, b), "rename", AT_FDCWD, a, AT_FDCWD, b);
}

int
renameat2(int da, const char *a, int db, const char *b, unsigned flags)
{
	return done(NEXT(renameat2)(da, a, db, b, flags),
		    flags & RENAME_EXCHANGE ? "exchange" : "rename", da, a, db,
		    b);
}

int
link(const char *a, const char *b)
{
	return done(NEXT(link)(a, b), "link", AT_FDCWD, a, AT_FDCWD, b);
}

int
unlink(const char *p)
{
	return done(NEXT(unlink)(p), "unlink", AT_FDCWD, p, 0, NULL);
}

int
unlinkat(int at, const char *p, int flags)
{
	return done(NEXT(unlinkat)(at, p, flags), flags & AT_REMOVEDIR
		    ? "rmdir" : "unlink", at, p, 0, NULL);
}

int
mkdir(const char *p, mode_t mode)
{
	return done(NEXT(mkdir)(p, mode), "mkdir", AT_FDCWD, p, 0, NULL);
}

char *
mkdtemp(char *p)
{
	char *made = NEXT(mkdtemp)(p);

	done(made ? 0 : -1, "mkdir", AT_FDCWD, p, 0, NULL);
	return made;
}

int
rmdir(const char *p)
{
	return done(NEXT(rmdir)(p), "rmdir", AT_FDCWD, p, 0, NULL);
}
