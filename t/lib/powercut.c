/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * powercut.c - the record of a folder's changes, and the states made from it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include "powercut.h"

#define INODES		256u
#define FILE_MAX	(16u << 20)
#define TEXT_MAX	(64u << 10)	/* files that stdio may have written */

struct inode {
	ino_t		ino;		/* as recorded */
	ino_t		standin;	/* of the file that plays it */
	int		fd;		/* that file */
	bool		folder;
	uint8_t	       *start, *now;	/* at the beginning; durable at the cut */
	uint64_t	start_size, now_size;
	struct timespec	start_time, now_time;
	bool		known;		/* the file equals now but for changed */
	uint64_t	lo, hi;		/* bytes that differ from now */
};

struct event {
	enum pc_kind	kind;
	unsigned	inode;		/* also of PC_NAME; the mark's number */
	uint64_t	off, len;
	uint8_t	       *data;
	char	       *name, *to;	/* relative to the folder */
	struct timespec	time;
	bool		pending;	/* before the cut, not durable */
};

struct name {
	char	       *name;
	unsigned	inode;
	struct name    *next;
};

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static enum { OFF, RECORD, REPLAY } mode;
static char root[PATH_MAX], aside[PATH_MAX + 16];
static struct inode inodes[INODES];
static unsigned ninodes;
static struct event *events;
static size_t nevents, cap;
static struct name *start_names, *durable_names, *shown_names;
static size_t at;		/* the cut, while states are made */

static void
die(const char *what)
{
	fprintf(stderr, "# powercut: %s: %s\n", what, strerror(errno));
	abort();
}

/* ----------------------------------------------------------------- names */

static struct name **
find_name(struct name **list, const char *name)
{
	while (*list && strcmp((*list)->name, name))
		list = &(*list)->next;
	return list;
}

static void
set_name(struct name **list, const char *name, unsigned inode)
{
	struct name **n = find_name(list, name);

	if (!*n) {
		*n = calloc(1, sizeof(**n));
		(*n)->name = strdup(name);
	}
	(*n)->inode = inode;
}

static void
drop_name(struct name **list, const char *name)
{
	struct name **n = find_name(list, name), *gone = *n;

	if (!gone)
		return;
	*n = gone->next;
	free(gone->name);
	free(gone);
}

static void
copy_names(struct name **to, const struct name *from)
{
	while (*to)
		drop_name(to, (*to)->name);
	for (; from; from = from->next)
		set_name(to, from->name, from->inode);
}

static void
apply_name(struct name **list, const struct event *e)
{
	struct name *from = *find_name(list, e->name), *to;
	unsigned inode = from ? from->inode : 0;

	switch (e->kind) {
	case PC_NAME:
		set_name(list, e->name, e->inode);
		break;
	case PC_UNNAME:
		drop_name(list, e->name);
		break;
	case PC_RENAME:
		if (!from)
			break;
		drop_name(list, e->name);
		set_name(list, e->to, inode);
		break;
	case PC_EXCHANGE:
		to = *find_name(list, e->to);
		if (from && to) {
			from->inode = to->inode;
			to->inode = inode;
		}
		break;
	default:
		break;
	}
}

/* The part of a path below the folder, or NULL; in buf. */
static const char *
below(int dirfd, const char *path, char buf[PATH_MAX])
{
	char whole[PATH_MAX], dir[PATH_MAX], fd[64];
	size_t len = strlen(root);
	char *slash, *end;

	if (path[0] != '/' && dirfd != AT_FDCWD) {
		ssize_t n;

		snprintf(fd, sizeof(fd), "/proc/self/fd/%d", dirfd);
		n = readlink(fd, dir, sizeof(dir) - 1);
		if (n < 0)
			return NULL;
		dir[n] = '\0';
		if (snprintf(whole, sizeof(whole), "%s/%s", dir, path) >=
		    (int)sizeof(whole))
			return NULL;
	} else {
		snprintf(whole, sizeof(whole), "%s%s",
			 path[0] == '/' ? "" : "./", path);
	}
	end = whole + strlen(whole);
	while (end > whole + 1 && end[-1] == '/')
		*--end = '\0';
	slash = strrchr(whole, '/');
	*slash = '\0';
	if (!realpath(whole[0] ? whole : "/", dir))
		return NULL;
	if (strncmp(dir, root, len) || (dir[len] && dir[len] != '/'))
		return NULL;
	if (snprintf(buf, PATH_MAX, "%s%s%s", dir[len] ? dir + len + 1 : "",
		     dir[len] ? "/" : "", slash + 1) >= PATH_MAX)
		return NULL;
	return buf;
}

/* ---------------------------------------------------------------- record */

static unsigned
inode_by_number(ino_t ino)
{
	for (unsigned i = ninodes; i > 0; i--)
		if (inodes[i - 1].ino == ino)
			return i - 1;
	return INODES;
}

static unsigned
inode_new(ino_t ino, bool folder)
{
	if (ninodes == INODES)
		die("too many files");
	inodes[ninodes] = (struct inode){ .ino = ino, .folder = folder,
					  .fd = -1 };
	return ninodes++;
}

static unsigned
inode_of(int fd)
{
	struct stat st;

	return mode == RECORD && syscall(SYS_fstat, fd, &st) == 0
		? inode_by_number(st.st_ino) : INODES;
}

static struct event *
add(enum pc_kind kind, unsigned inode)
{
	if (nevents == cap) {
		cap = cap ? 2 * cap : 4096;
		events = realloc(events, cap * sizeof(*events));
		if (!events)
			die("memory");
	}
	events[nevents] = (struct event){ .kind = kind, .inode = inode };
	return &events[nevents++];
}

static void
add_data(int fd, unsigned inode, enum pc_kind kind, uint64_t off, uint64_t len,
	 const void *data)
{
	struct event *e = add(kind, inode);
	struct stat st;

	if (off > FILE_MAX || len > FILE_MAX - off)
		die("file too large");
	e->off = off;
	e->len = len;
	if (data) {
		e->data = malloc(len ? len : 1);
		memcpy(e->data, data, len);
	}
	if (syscall(SYS_fstat, fd, &st) == 0)
		e->time = st.st_mtim;
}

/* What went past us: stdio's own writes, and clones.  Seen when it is synced. */
static void
add_whole(int fd, unsigned inode)
{
	struct stat st;
	uint8_t *buf;

	if (syscall(SYS_fstat, fd, &st) || st.st_size > FILE_MAX)
		return;
	buf = malloc((size_t)st.st_size + 1);
	if (pread(fd, buf, (size_t)st.st_size, 0) == st.st_size) {
		add_data(fd, inode, PC_SIZE, 0, 0, NULL);
		add_data(fd, inode, PC_WRITE, 0, (uint64_t)st.st_size, buf);
	}
	free(buf);
}

static void
add_name(enum pc_kind kind, unsigned inode, const char *name, const char *to)
{
	struct event *e = add(kind, inode);

	e->name = strdup(name);
	e->to = to ? strdup(to) : NULL;
}

/* A name that is new stands for a file that is new. */
static void
note_created(int fd, const char *name, bool folder)
{
	struct stat st;

	if (syscall(SYS_fstat, fd, &st) == 0)
		add_name(PC_NAME, inode_new(st.st_ino, folder), name, NULL);
}

/* ------------------------------------------- in front of the C library */

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	unsigned inode;
	ssize_t ret, left;

	pthread_mutex_lock(&lock);
	ret = left = syscall(SYS_pwritev, fd, iov, n, off, 0);
	inode = inode_of(fd);
	for (int i = 0; i < n && left > 0 && inode < INODES; i++) {
		size_t len = iov[i].iov_len < (size_t)left ? iov[i].iov_len
							  : (size_t)left;

		add_data(fd, inode, PC_WRITE, (uint64_t)off, len,
			 iov[i].iov_base);
		off += (off_t)len;
		left -= (ssize_t)len;
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

ssize_t
pwritev2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	if (off < 0 || (flags & ~(RWF_NOWAIT | RWF_HIPRI))) {
		errno = EOPNOTSUPP;	/* what we could not record */
		return -1;
	}
	return pwritev(fd, iov, n, off);
}

ssize_t
pwrite(int fd, const void *buf, size_t len, off_t off)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };

	return pwritev(fd, &iov, 1, off);
}

ssize_t
copy_file_range(int from, off_t *from_off, int to, off_t *to_off, size_t len,
		unsigned flags)
{
	off_t place = to_off ? *to_off : 0;
	unsigned inode;
	ssize_t ret;

	pthread_mutex_lock(&lock);
	ret = syscall(SYS_copy_file_range, from, from_off, to, to_off, len,
		      flags);
	inode = inode_of(to);
	if (ret > 0 && inode < INODES) {
		uint8_t *buf = malloc((size_t)ret);

		if (!to_off || pread(to, buf, (size_t)ret, place) != ret)
			die("copy_file_range");
		add_data(to, inode, PC_WRITE, (uint64_t)place, (uint64_t)ret,
			 buf);
		free(buf);
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

int
ioctl(int fd, unsigned long request, ...)
{
	unsigned inode;
	va_list ap;
	void *arg;
	int ret;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	pthread_mutex_lock(&lock);
	ret = (int)syscall(SYS_ioctl, fd, request, arg);
	if (ret == 0 && (request == FICLONE || request == FICLONERANGE) &&
	    (inode = inode_of(fd)) < INODES)
		add_whole(fd, inode);
	pthread_mutex_unlock(&lock);
	return ret;
}

int
ftruncate(int fd, off_t size)
{
	unsigned inode;
	int ret;

	pthread_mutex_lock(&lock);
	ret = (int)syscall(SYS_ftruncate, fd, size);
	inode = inode_of(fd);
	if (ret == 0 && inode < INODES)
		add_data(fd, inode, PC_SIZE, (uint64_t)size, 0, NULL);
	pthread_mutex_unlock(&lock);
	return ret;
}

int
fallocate(int fd, int how, off_t off, off_t len)
{
	unsigned inode;
	struct stat st;
	int ret;

	pthread_mutex_lock(&lock);
	ret = (int)syscall(SYS_fallocate, fd, how, off, len);
	inode = inode_of(fd);
	if (ret == 0 && inode < INODES) {
		if (how & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
			add_data(fd, inode, PC_ZERO, (uint64_t)off,
				 (uint64_t)len, NULL);
		if (!(how & FALLOC_FL_KEEP_SIZE) &&
		    syscall(SYS_fstat, fd, &st) == 0)
			add_data(fd, inode, PC_SIZE, (uint64_t)st.st_size, 0,
				 NULL);
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

/* The disk under the tests needs no rest: nothing is really synced. */
static int
synced(int fd, enum pc_kind kind)
{
	unsigned inode;
	struct stat st;

	pthread_mutex_lock(&lock);
	inode = inode_of(fd);
	if (inode < INODES && syscall(SYS_fstat, fd, &st) == 0) {
		if (kind == PC_SYNC && S_ISREG(st.st_mode) &&
		    st.st_size < (off_t)TEXT_MAX)
			add_whole(fd, inode);
		add_data(fd, inode, S_ISDIR(st.st_mode) ? PC_FOLDERSYNC : kind,
			 0, 0, NULL);
	}
	pthread_mutex_unlock(&lock);
	return 0;
}

int
fdatasync(int fd)
{
	return synced(fd, PC_DATASYNC);
}

int
fsync(int fd)
{
	return synced(fd, PC_SYNC);
}

static int
open_at(int dirfd, const char *path, int flags, mode_t bits)
{
	char buf[PATH_MAX];
	const char *name = NULL;
	struct stat st;
	bool fresh = false;
	int fd;

	pthread_mutex_lock(&lock);
	if (mode == RECORD && (flags & (O_CREAT | O_TRUNC)) &&
	    (flags & O_TMPFILE) != O_TMPFILE) {
		name = below(dirfd, path, buf);
		fresh = syscall(SYS_newfstatat, dirfd, path, &st, 0) != 0;
	}
	fd = (int)syscall(SYS_openat, dirfd, path, flags, bits);
	if (fd >= 0 && name && fresh)
		note_created(fd, name, false);
	else if (fd >= 0 && name && (flags & O_TRUNC) && inode_of(fd) < INODES)
		add_data(fd, inode_of(fd), PC_SIZE, 0, 0, NULL);
	pthread_mutex_unlock(&lock);
	return fd;
}

static mode_t
mode_arg(int flags, va_list ap)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
}

int
open(const char *path, int flags, ...)
{
	va_list ap;
	int fd;

	va_start(ap, flags);
	fd = open_at(AT_FDCWD, path, flags, mode_arg(flags, ap));
	va_end(ap);
	return fd;
}

int
openat(int dirfd, const char *path, int flags, ...)
{
	va_list ap;
	int fd;

	va_start(ap, flags);
	fd = open_at(dirfd, path, flags, mode_arg(flags, ap));
	va_end(ap);
	return fd;
}

int
mkdirat(int dirfd, const char *path, mode_t bits)
{
	char buf[PATH_MAX];
	const char *name;
	int ret, fd;

	pthread_mutex_lock(&lock);
	ret = (int)syscall(SYS_mkdirat, dirfd, path, bits);
	name = ret == 0 && mode == RECORD ? below(dirfd, path, buf) : NULL;
	if (name) {
		fd = (int)syscall(SYS_openat, dirfd, path, O_RDONLY, 0);
		note_created(fd, name, true);
		close(fd);
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

int
mkdir(const char *path, mode_t bits)
{
	return mkdirat(AT_FDCWD, path, bits);
}

int
unlinkat(int dirfd, const char *path, int flags)
{
	char buf[PATH_MAX];
	const char *name;
	int ret;

	pthread_mutex_lock(&lock);
	name = mode == RECORD ? below(dirfd, path, buf) : NULL;
	ret = (int)syscall(SYS_unlinkat, dirfd, path, flags);
	if (ret == 0 && name)
		add_name(PC_UNNAME, 0, name, NULL);
	pthread_mutex_unlock(&lock);
	return ret;
}

int
unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int
rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int
linkat(int fromfd, const char *from, int tofd, const char *to, int flags)
{
	char buf[PATH_MAX];
	const char *name;
	struct stat st;
	int ret;

	pthread_mutex_lock(&lock);
	ret = (int)syscall(SYS_linkat, fromfd, from, tofd, to, flags);
	name = ret == 0 && mode == RECORD ? below(tofd, to, buf) : NULL;
	if (name && syscall(SYS_newfstatat, tofd, to, &st,
			    AT_SYMLINK_NOFOLLOW) == 0)
		add_name(PC_NAME, inode_by_number(st.st_ino), name, NULL);
	pthread_mutex_unlock(&lock);
	return ret;
}

int
link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int
renameat2(int fromfd, const char *from, int tofd, const char *to,
	  unsigned flags)
{
	char buf[PATH_MAX], buf2[PATH_MAX];
	const char *name, *name2;
	int ret;

	pthread_mutex_lock(&lock);
	name = mode == RECORD ? below(fromfd, from, buf) : NULL;
	name2 = mode == RECORD ? below(tofd, to, buf2) : NULL;
	ret = (int)syscall(SYS_renameat2, fromfd, from, tofd, to, flags);
	if (ret == 0 && name && name2)
		add_name(flags & RENAME_EXCHANGE ? PC_EXCHANGE : PC_RENAME, 0,
			 name, name2);
	pthread_mutex_unlock(&lock);
	return ret;
}

int
rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* The files of a state answer with the numbers of those they stand for. */
static void
old_number(struct stat *st)
{
	for (unsigned i = 0; mode == REPLAY && i < ninodes; i++)
		if (inodes[i].standin == st->st_ino && !inodes[i].folder) {
			st->st_ino = inodes[i].ino;
			return;
		}
}

int
fstat(int fd, struct stat *st)
{
	int ret = (int)syscall(SYS_fstat, fd, st);

	if (ret == 0)
		old_number(st);
	return ret;
}

int
stat(const char *path, struct stat *st)
{
	int ret = (int)syscall(SYS_newfstatat, AT_FDCWD, path, st, 0);

	if (ret == 0)
		old_number(st);
	return ret;
}

int
lstat(const char *path, struct stat *st)
{
	int ret = (int)syscall(SYS_newfstatat, AT_FDCWD, path, st,
			       AT_SYMLINK_NOFOLLOW);

	if (ret == 0)
		old_number(st);
	return ret;
}

/* ------------------------------------------------------------ the start */

static void
take_in(const char *folder, const char *rel)
{
	char path[2 * PATH_MAX], name[PATH_MAX];
	DIR *dir = opendir(folder);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		struct inode *in;
		struct stat st;
		int fd;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		snprintf(name, sizeof(name), "%s%s%.255s", rel,
			 rel[0] ? "/" : "", e->d_name);
		fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0);
		if (fd < 0 || syscall(SYS_fstat, fd, &st))
			die(path);
		if (inode_by_number(st.st_ino) == INODES)
			inode_new(st.st_ino, S_ISDIR(st.st_mode));
		in = &inodes[inode_by_number(st.st_ino)];
		set_name(&start_names, name, (unsigned)(in - inodes));
		if (in->folder) {
			take_in(path, name);
		} else if (!in->start) {
			in->start = calloc(1, FILE_MAX);
			in->start_size = (uint64_t)st.st_size;
			in->start_time = st.st_mtim;
			if (!in->start || st.st_size > FILE_MAX ||
			    pread(fd, in->start, FILE_MAX, 0) != st.st_size)
				die(path);
		}
		close(fd);
	}
	if (dir)
		closedir(dir);
}

void
pc_record(const char *folder)
{
	struct stat st;

	if (!realpath(folder, root) || syscall(SYS_newfstatat, AT_FDCWD, root,
					       &st, 0))
		die(folder);
	inode_new(st.st_ino, true);
	take_in(root, "");
	mode = RECORD;
}

size_t
pc_count(void)
{
	size_t n;

	pthread_mutex_lock(&lock);
	n = nevents;
	pthread_mutex_unlock(&lock);
	return n;
}

void
pc_mark(unsigned what)
{
	pthread_mutex_lock(&lock);
	if (mode == RECORD)
		add(PC_MARK, what);
	pthread_mutex_unlock(&lock);
}

enum pc_kind
pc_kind(size_t i, unsigned *what)
{
	if (what)
		*what = events[i].inode;
	return events[i].kind;
}

/* ------------------------------------------------------------- replaying */

static void
remove_all(const char *folder)
{
	char path[2 * PATH_MAX];
	DIR *dir = opendir(folder);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		if (syscall(SYS_unlinkat, AT_FDCWD, path, 0)) {
			remove_all(path);
			syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
		}
	}
	if (dir)
		closedir(dir);
}

void
pc_rewind(void)
{
	for (unsigned i = 0; i < ninodes; i++) {
		struct inode *in = &inodes[i];

		if (in->folder)
			continue;
		in->now_size = in->start_size;
		in->now_time = in->start_time;
		if (in->start)
			memcpy(in->now, in->start, in->start_size);
		in->known = false;
	}
	for (size_t i = 0; i < nevents; i++)
		events[i].pending = false;
	copy_names(&durable_names, start_names);
	at = 0;
}

void
pc_replay(void)
{
	char path[PATH_MAX + 64];

	mode = REPLAY;
	snprintf(aside, sizeof(aside), "%s.files", root);
	remove_all(root);
	if (syscall(SYS_mkdirat, AT_FDCWD, aside, 0700) && errno != EEXIST)
		die(aside);
	for (unsigned i = 0; i < ninodes; i++) {
		struct stat st;

		if (inodes[i].folder)
			continue;
		snprintf(path, sizeof(path), "%s/%u", aside, i);
		inodes[i].fd = (int)syscall(SYS_openat, AT_FDCWD, path,
					    O_RDWR | O_CREAT | O_TRUNC, 0644);
		if (inodes[i].fd < 0 ||
		    syscall(SYS_fstat, inodes[i].fd, &st))
			die(path);
		inodes[i].standin = st.st_ino;
		inodes[i].now = calloc(1, FILE_MAX);
		if (!inodes[i].now)
			die("memory");
	}
	copy_names(&shown_names, NULL);
	pc_rewind();
}

void
pc_spoilt(void)
{
	for (unsigned i = 0; i < ninodes; i++)
		inodes[i].known = false;
	remove_all(root);
	copy_names(&shown_names, NULL);
}

/* One change of a file, in memory: bytes [from, to) of it. */
static void
apply_durable(struct inode *in, const struct event *e)
{
	uint64_t end = e->off + e->len;

	in->now_time = e->time;
	if (e->kind == PC_SIZE) {
		if (e->off < in->now_size)
			memset(in->now + e->off, 0, in->now_size - e->off);
		in->now_size = e->off;
		in->known = false;
		return;
	}
	if (e->kind == PC_ZERO && end > in->now_size)
		end = in->now_size > e->off ? in->now_size : e->off;
	if (e->kind == PC_WRITE)
		memcpy(in->now + e->off, e->data, e->len);
	else
		memset(in->now + e->off, 0, end - e->off);
	if (e->kind == PC_WRITE && end > in->now_size) {
		in->now_size = end;
		in->known = false;
	}
	if (in->known) {	/* the stand-in is behind now */
		if (e->off < in->lo)
			in->lo = e->off;
		if (end > in->hi)
			in->hi = end;
	}
}

static bool
is_content(enum pc_kind kind)
{
	return kind == PC_WRITE || kind == PC_ZERO || kind == PC_SIZE;
}

static bool
is_naming(enum pc_kind kind)
{
	return kind >= PC_NAME && kind <= PC_EXCHANGE;
}

/* Does the change touch a name in this folder? */
static bool
names_in(const struct event *e, unsigned folder)
{
	const char *both[2] = { e->name, e->to };

	for (int i = 0; i < 2; i++) {
		const char *slash = both[i] ? strrchr(both[i], '/') : NULL;
		struct name *n;
		char *dir;

		if (!both[i])
			continue;
		if (!slash) {
			if (folder == 0)
				return true;
			continue;
		}
		dir = strndup(both[i], (size_t)(slash - both[i]));
		n = *find_name(&durable_names, dir);
		free(dir);
		/* A folder whose own name is not durable yet: of the newest. */
		if (n ? n->inode == folder : inodes[folder].folder && folder)
			return true;
	}
	return false;
}

static size_t first_pending;

static void
names_durable(const struct event *sync)
{
	size_t last = SIZE_MAX, i;

	for (i = first_pending; &events[i] < sync; i++)
		if (events[i].pending && is_naming(events[i].kind) &&
		    names_in(&events[i], sync->inode))
			last = i;
	for (i = first_pending; last != SIZE_MAX && i <= last; i++)
		if (events[i].pending && is_naming(events[i].kind)) {
			apply_name(&durable_names, &events[i]);
			events[i].pending = false;
		}
}

static void
file_durable(const struct event *sync)
{
	struct inode *in = &inodes[sync->inode];
	struct timespec before = in->now_time;

	for (size_t i = first_pending; &events[i] < sync; i++)
		if (events[i].pending && is_content(events[i].kind) &&
		    events[i].inode == sync->inode) {
			apply_durable(in, &events[i]);
			events[i].pending = false;
		}
	if (sync->kind == PC_DATASYNC)
		in->now_time = before;
}

static void
advance(size_t cut, bool forget_syncs)
{
	if (cut < at || cut > nevents)
		die("no such cut");
	if (at == 0)
		first_pending = 0;
	for (; at < cut; at++) {
		struct event *e = &events[at];

		if (is_content(e->kind) || is_naming(e->kind))
			e->pending = true;
		else if (e->kind == PC_FOLDERSYNC && !forget_syncs)
			names_durable(e);
		else if (e->kind != PC_MARK && !forget_syncs)
			file_durable(e);
	}
	while (first_pending < at && !events[first_pending].pending)
		first_pending++;
}

static uint64_t rnd;

static uint64_t
random64(void)
{
	rnd ^= rnd << 13;
	rnd ^= rnd >> 7;
	rnd ^= rnd << 17;
	return rnd;
}

static void
put(struct inode *in, const void *data, uint64_t len, uint64_t off)
{
	struct iovec iov = { (void *)(uintptr_t)data, len };

	while (iov.iov_len) {
		ssize_t n = syscall(SYS_pwritev, in->fd, &iov, 1, off, 0);

		if (n <= 0)
			die("write");
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		off += (uint64_t)n;
	}
}

/* The stand-in equals what is durable. */
static void
restore(struct inode *in)
{
	if (!in->known) {
		syscall(SYS_ftruncate, in->fd, 0);
		in->lo = 0;
		in->hi = in->now_size;
	}
	syscall(SYS_ftruncate, in->fd, in->now_size);
	if (in->hi > in->now_size)
		in->hi = in->now_size;
	if (in->lo < in->hi)
		put(in, in->now + in->lo, in->hi - in->lo, in->lo);
	in->known = true;
	in->lo = UINT64_MAX;
	in->hi = 0;
}

static void
touched(struct inode *in, uint64_t from, uint64_t to)
{
	if (from < in->lo)
		in->lo = from;
	if (to > in->hi)
		in->hi = to;
}

/* A part of a change that the cut let through. */
static void
apply_shown(struct inode *in, const struct event *e, uint64_t from, uint64_t to)
{
	static uint8_t zeros[FILE_MAX];
	struct stat st;

	syscall(SYS_fstat, in->fd, &st);
	if (e->kind == PC_SIZE) {
		touched(in, e->off < (uint64_t)st.st_size ? e->off : 0,
			FILE_MAX);
		syscall(SYS_ftruncate, in->fd, e->off);
		return;
	}
	if (e->kind == PC_ZERO && e->off + to > (uint64_t)st.st_size)
		to = (uint64_t)st.st_size > e->off
		     ? (uint64_t)st.st_size - e->off : 0;
	if (from >= to)
		return;
	put(in, e->kind == PC_WRITE ? e->data + from : zeros, to - from,
	    e->off + from);
	touched(in, e->off + from, e->off + to);
}

static void
show_content(struct event *e, enum pc_part part)
{
	uint64_t sectors = (e->off % 512 + e->len + 511) / 512;
	uint64_t r = random64(), from = 0, to = e->len;

	if (part == PC_NONE || (part != PC_ALL && r % 3 == 0))
		return;
	/* Cut at the sectors of the disk, not at those of the write. */
	if (part == PC_TORN && r % 5 == 0)
		from = (r >> 8) % (sectors + 1) * 512;
	if (part == PC_TORN && r % 7 == 0)
		to = (r >> 24) % (sectors + 1) * 512;
	from = from > e->off % 512 ? from - e->off % 512 : 0;
	if (to != e->len)
		to = to > e->off % 512 ? to - e->off % 512 : 0;
	if (to > e->len)
		to = e->len;
	if (from < to || e->kind == PC_SIZE)
		apply_shown(&inodes[e->inode], e, from, to);
}

static bool
same_names(const struct name *a, const struct name *b)
{
	size_t n = 0, m = 0;
	struct name *list = (struct name *)(uintptr_t)b;

	for (; b; b = b->next)
		m++;
	for (; a; a = a->next, n++) {
		struct name *other = *find_name(&list, a->name);

		if (!other || other->inode != a->inode)
			return false;
	}
	return n == m;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp((*(struct name *const *)a)->name,
		      (*(struct name *const *)b)->name);
}

/* Folders before what is in them: in the order of names. */
static void
show_names(const struct name *names)
{
	char path[2 * PATH_MAX], from[PATH_MAX + 64];
	const struct name *sorted[2 * INODES];
	size_t n = 0;

	if (same_names(names, shown_names))
		return;
	remove_all(root);
	for (const struct name *a = names; a && n < 2 * INODES; a = a->next)
		sorted[n++] = a;
	qsort(sorted, n, sizeof(*sorted), by_name);
	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", root, sorted[i]->name);
		snprintf(from, sizeof(from), "%s/%u", aside, sorted[i]->inode);
		/* A name in a folder that did not survive is gone with it. */
		if (inodes[sorted[i]->inode].folder)
			syscall(SYS_mkdirat, AT_FDCWD, path, 0700);
		else
			syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, path, 0);
	}
	copy_names(&shown_names, names);
}

void
pc_state(size_t cut, enum pc_part part, uint64_t seed, bool forget_syncs)
{
	struct name *names = NULL;
	struct timespec newest[INODES];
	bool naming, keep;

	rnd = seed * 0x9e3779b97f4a7c15u + 1;
	advance(cut, forget_syncs);
	for (unsigned i = 0; i < ninodes; i++) {
		newest[i] = inodes[i].now_time;
		if (!inodes[i].folder)
			restore(&inodes[i]);
	}
	copy_names(&names, durable_names);
	naming = part != PC_NONE;
	for (size_t i = first_pending; i < at; i++) {
		struct event *e = &events[i];

		if (!e->pending)
			continue;
		if (is_content(e->kind)) {
			show_content(e, part);
			if (part == PC_ALL || random64() % 2)
				newest[e->inode] = e->time;
		} else if (naming) {
			keep = part == PC_ALL || random64() % 4;
			if (keep)
				apply_name(&names, e);
			naming = keep || part == PC_TORN;
		}
	}
	show_names(names);
	copy_names(&names, NULL);
	for (unsigned i = 0; i < ninodes; i++) {
		struct timespec t[2] = { { .tv_nsec = UTIME_OMIT }, newest[i] };

		if (!inodes[i].folder)
			syscall(SYS_utimensat, inodes[i].fd, NULL, t, 0);
	}
}

void
pc_end(void)
{
	mode = OFF;
	for (unsigned i = 0; i < ninodes; i++) {
		if (inodes[i].fd >= 0)
			close(inodes[i].fd);
		free(inodes[i].start);
		free(inodes[i].now);
	}
	for (size_t i = 0; i < nevents; i++) {
		free(events[i].data);
		free(events[i].name);
		free(events[i].to);
	}
	copy_names(&start_names, NULL);
	copy_names(&durable_names, NULL);
	copy_names(&shown_names, NULL);
	ninodes = 0;
	nevents = 0;
	remove_all(root);
	if (aside[0]) {
		remove_all(aside);
		syscall(SYS_unlinkat, AT_FDCWD, aside, AT_REMOVEDIR);
	}
}
