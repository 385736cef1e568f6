/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cuts.h - record every change of a few files, then make each set of files that
 * a power cut may leave, and have the unit test judge it.  (For folders, names
 * and whole programs: powercut.h.)
 *
 * A cut behind n changes keeps those that a completed sync of their file
 * covers, and any of the others: tried are none, all, each alone, each one
 * missing, random choices, and random sectors of each ("torn").
 *
 *	#define CUT_FILE_MAX	(512u << 10)	bytes of a file, at most
 *	#define CUT_FILES	1		how many files
 *	#define CUT_UNITS	400u		versions remembered
 *	#include "t/lib/cuts.h"
 *
 * The four calls through which the core changes a file stand here in front of
 * libc's: the core's objects are part of the test.
 */
#ifndef CUTS_H
#define CUTS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <tap.h>
#include <unistd.h>
#include "core/internal.h"

#define CUT_SECTOR	512u

static unsigned cut_seed = 1;

static inline unsigned
any(unsigned n)
{
	cut_seed = cut_seed * 1103515245u + 12345u;
	return (cut_seed >> 8) % n;
}

/* ------------------------------------------------------------ the recorder */

struct cut_change {
	enum { CUT_WRITE, CUT_ZERO, CUT_SIZE, CUT_SYNC, CUT_NOTHING } what;
	unsigned	file;
	bool		sure;		/* while cuts are made: a sync covers it */
	uint64_t	off, len;
	uint8_t	       *bytes;
};

static struct cut_change *cut_log;
static unsigned cut_n;
static bool cut_on;
static const char *cut_path[CUT_FILES];	/* the test's: the files */

static inline bool
cut_find(int fd, unsigned *file)
{
	struct stat st, is;

	if (!cut_on || fstat(fd, &st))
		return false;
	for (*file = 0; *file < CUT_FILES; ++*file)
		if (!stat(cut_path[*file], &is) && is.st_ino == st.st_ino &&
		    is.st_dev == st.st_dev)
			return true;
	return false;
}

static inline struct cut_change *
cut_record(int fd, int what, uint64_t off, uint64_t len)
{
	struct cut_change *c;
	unsigned file;

	if (!cut_find(fd, &file))
		return NULL;
	cut_log = realloc(cut_log, (cut_n + 1) * sizeof(*cut_log));
	if (!cut_log || off + len > CUT_FILE_MAX)
		abort();
	c = &cut_log[cut_n++];
	*c = (struct cut_change){ .what = what, .file = file, .off = off,
				  .len = len };
	return c;
}

/* For a while: change number so many fails, as on a full disk; 0: none. */
static unsigned cut_fails;

static inline bool
cut_fails_now(int fd)
{
	unsigned file;

	if (!cut_fails || !cut_find(fd, &file) || --cut_fails)
		return false;
	errno = ENOSPC;
	return true;
}

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	struct cut_change *c;
	size_t at = 0;

	if (cut_fails_now(fd))
		return -1;
	c = cut_record(fd, CUT_WRITE, (uint64_t)off, vd_iov_len(iov, n));
	if (c && !(c->bytes = malloc(c->len + 1)))
		abort();
	for (int i = 0; c && i < n; at += iov[i].iov_len, i++)
		memcpy(c->bytes + at, iov[i].iov_base, iov[i].iov_len);
	return syscall(SYS_pwritev, fd, iov, n, off, 0);
}

int
fallocate(int fd, int mode, off_t off, off_t len)
{
	if (cut_fails_now(fd))
		return -1;
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		cut_record(fd, CUT_ZERO, (uint64_t)off, (uint64_t)len);
	return (int)syscall(SYS_fallocate, fd, mode, off, len);
}

int
ftruncate(int fd, off_t size)
{
	if (cut_fails_now(fd))
		return -1;
	cut_record(fd, CUT_SIZE, (uint64_t)size, 0);
	return (int)syscall(SYS_ftruncate, fd, size);
}

/* Nobody cuts the power of the machine that tests. */
int
fdatasync(int fd)
{
	cut_record(fd, CUT_SYNC, 0, 0);
	return 0;
}

static inline void
cut_forget(void)
{
	while (cut_n)
		free(cut_log[--cut_n].bytes);
	free(cut_log);
	cut_log = NULL;
}

/* Would the test notice?  The same log, its syncs forgotten. */
static inline void
cut_without_syncs(void)
{
	for (unsigned i = 0; i < cut_n; i++)
		if (cut_log[i].what == CUT_SYNC)
			cut_log[i].what = CUT_NOTHING;
}

/* --------------------------------------------------------------- the files */

struct cut_file {		/* zeros behind size, always */
	uint8_t		b[CUT_FILE_MAX];
	uint64_t	size;
};

static inline void
cut_save(const struct cut_file *f, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, f->b, f->size) != (ssize_t)f->size)
		abort();
	close(fd);
}

static inline void
cut_load(struct cut_file *f, const char *path)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, f->b, sizeof(f->b));

	if (n < 0)
		abort();
	memset(f->b + n, 0, sizeof(f->b) - (size_t)n);
	f->size = (uint64_t)n;
	close(fd);
}

/* len bytes of a change, from its byte `from` on. */
static inline void
cut_apply_part(struct cut_file *f, const struct cut_change *c, uint64_t from,
	       uint64_t len)
{
	uint64_t at = c->off + from, end = at + len;

	if (c->what == CUT_WRITE) {
		memcpy(f->b + at, c->bytes + from, len);
		f->size = end > f->size ? end : f->size;
	} else if (c->what == CUT_ZERO) {
		memset(f->b + at, 0, len);
	} else if (c->what == CUT_SIZE) {
		if (at < f->size)
			memset(f->b + at, 0, f->size - at);
		f->size = at;
	}
}

static inline void
cut_apply(struct cut_file *f, const struct cut_change *c)
{
	cut_apply_part(&f[c->file], c, 0, c->len);
}

static inline void
cut_apply_torn(struct cut_file *f, const struct cut_change *c)
{
	uint64_t from = 0, n;

	if (c->what == CUT_SIZE && any(2))
		cut_apply(f, c);
	for (; from < c->len; from += n) {
		n = CUT_SECTOR - (c->off + from) % CUT_SECTOR;
		n = n < c->len - from ? n : c->len - from;
		if (any(2))
			cut_apply_part(&f[c->file], c, from, n);
	}
}

/* ---------------------------------------------------------------- the cuts */

enum { CUT_NONE, CUT_ALL, CUT_ONLY, CUT_WITHOUT, CUT_SOME, CUT_TORN,
       CUT_WAYS };

/* May a cut behind `at` changes leave these?  Not to be changed. */
typedef bool cut_judge(const struct cut_file *f, unsigned at);

static char cut_why[300];
static bool cut_quiet;
#define no(...) (snprintf(cut_why, sizeof(cut_why), __VA_ARGS__), false)

static inline bool
cut_unsure(unsigned i)
{
	return !cut_log[i].sure && cut_log[i].what <= CUT_SIZE;
}

static inline void
cut_take_back(struct cut_file *f, const struct cut_file *base,
	      const struct cut_change *c)
{
	if (c->what == CUT_SIZE)
		memcpy(f[c->file].b, base[c->file].b, CUT_FILE_MAX);
	else
		memcpy(f[c->file].b + c->off, base[c->file].b + c->off, c->len);
	f[c->file].size = base[c->file].size;
}

static inline bool
cut_one(struct cut_file *f, const struct cut_file *base, unsigned first,
	unsigned at, int how, unsigned which, cut_judge *good)
{
	bool fine;

	for (unsigned i = first; i < at; i++) {
		if (!cut_unsure(i))
			continue;
		if (how == CUT_ALL || (how == CUT_ONLY && i == which) ||
		    (how == CUT_WITHOUT && i != which) ||
		    (how == CUT_SOME && any(2)))
			cut_apply(f, &cut_log[i]);
		else if (how == CUT_TORN)
			cut_apply_torn(f, &cut_log[i]);
	}
	fine = good(f, at);
	if (!fine && !cut_quiet)
		diag("cut behind change %u of %u, sure up to %u, way %d/%u: %s",
		     at, cut_n, first, how, which, cut_why);
	for (unsigned i = first; i < at; i++)
		if (cut_unsure(i))
			cut_take_back(f, base, &cut_log[i]);
	return fine;
}

/* The sync that ends in front of `at` makes changes of its file sure. */
static inline unsigned
cut_make_sure(struct cut_file *f, struct cut_file *base, unsigned first,
	      unsigned at)
{
	for (unsigned i = first; i < at; i++) {
		if (cut_log[i].file != cut_log[at - 1].file ||
		    cut_log[i].sure)
			continue;
		cut_apply(f, &cut_log[i]);
		cut_apply(base, &cut_log[i]);
		cut_log[i].sure = true;
	}
	while (first < at && !cut_unsure(first))
		first++;
	return first;
}

/* Every cut of what was recorded since *start; how many were bad (5: enough). */
static inline unsigned
cut_everywhere(const struct cut_file *start, unsigned *tried, cut_judge *good)
{
	static struct cut_file base[CUT_FILES], f[CUT_FILES];
	unsigned at, i, first = 0, bad = 0;

	memcpy(base, start, sizeof(base));
	memcpy(f, start, sizeof(f));
	for (i = 0; i < cut_n; i++)
		cut_log[i].sure = false;
	for (at = 0; at <= cut_n && bad < 5; at++) {
		if (at && cut_log[at - 1].what == CUT_SYNC)
			first = cut_make_sure(f, base, first, at);
		for (int how = CUT_NONE; how <= CUT_ALL; how++, ++*tried)
			bad += !cut_one(f, base, first, at, how, 0, good);
		for (i = first; i < at && bad < 5; i++)
			for (int how = CUT_ONLY; cut_unsure(i) &&
			     how < CUT_WAYS; how++, ++*tried)
				bad += !cut_one(f, base, first, at, how, i,
						good);
	}
	return bad;
}

/* ------------------------------------------------------------ the promises */

/* What a unit held when; allowed is the last that was flushed or anything later. */
static struct cut_version {
	unsigned	unit;
	uint8_t		byte;
	unsigned	at;		/* changes recorded when it was written */
} cut_versions[CUT_UNITS];
static unsigned cut_nversions;
static struct cut_flush {
	unsigned	at;		/* changes recorded when it returned */
	unsigned	versions;	/* that came before its call */
} cut_flushes[CUT_UNITS];
static unsigned cut_nflushes;

/* The unit is about to be given this content. */
static inline void
cut_writes(unsigned unit, uint8_t byte)
{
	if (cut_nversions == CUT_UNITS)
		abort();
	cut_versions[cut_nversions++] = (struct cut_version){ unit, byte,
							      cut_n };
}

/* A flush that began when there were so many versions has returned. */
static inline void
cut_flushed(unsigned versions)
{
	if (cut_nflushes == CUT_UNITS)
		abort();
	cut_flushes[cut_nflushes++] = (struct cut_flush){ cut_n, versions };
}

/* before: what the unit held before all versions. */
static inline bool
cut_allowed(unsigned unit, uint8_t byte, uint8_t before, unsigned at)
{
	unsigned flushed = 0, i;
	uint8_t last = before;

	for (i = 0; i < cut_nflushes && cut_flushes[i].at <= at; i++)
		flushed = cut_flushes[i].versions;
	for (i = 0; i < flushed; i++)
		if (cut_versions[i].unit == unit)
			last = cut_versions[i].byte;
	if (byte == last)
		return true;
	for (i = flushed; i < cut_nversions && cut_versions[i].at <= at; i++)
		if (cut_versions[i].unit == unit &&
		    cut_versions[i].byte == byte)
			return true;
	return false;
}

/* A fresh file in memory, if there is such a place: there will be thousands. */
static inline bool
cut_place(char *shm, char *tmp, const char **path)
{
	int fd = mkstemp(shm);

	*path = shm;
	if (fd < 0)
		fd = mkstemp(tmp), *path = tmp;
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

#endif
