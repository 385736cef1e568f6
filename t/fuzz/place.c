/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * place.c - the files of an input, for real, in a folder of our own on tmpfs.
 *
 * The library reaches them through its ordinary file layer; three of its system
 * calls go through here (the linker's --wrap).  Syncs cost nothing, and a range
 * of zeros is a hole, as on the file systems that images live on; what tmpfs
 * would do instead is write all of them.  Who writes more than fz_write_max bytes
 * finds the disk full: there are images that ask for terabytes honestly.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include "fuzz.h"

#define PLACE_MAX	(2u << 20)	/* of the input itself */
#define PAGE		4096u

static char folder[128];	/* ends in '/' */
static size_t written, placed;
size_t fz_write_max = 16u << 20;
bool fz_full;

static bool
charge(size_t n)
{
	written += n;
	if (written <= fz_write_max)
		return true;
	fz_full = true;
	errno = ENOSPC;
	return false;
}

ssize_t __real_pwritev(int fd, const struct iovec *iov, int n, off_t off);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t off);
int __wrap_fallocate(int fd, int mode, off_t off, off_t len);
int __real_fallocate(int fd, int mode, off_t off, off_t len);
int __wrap_fdatasync(int fd);

ssize_t
__wrap_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	size_t len = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	return charge(len) ? __real_pwritev(fd, iov, n, off) : -1;
}

int
__wrap_fallocate(int fd, int mode, off_t off, off_t len)
{
	bool zero = mode == FALLOC_FL_ZERO_RANGE;
	struct stat st;

	if (!mode && !charge((size_t)len))
		return -1;
	if (zero)
		mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	if (__real_fallocate(fd, mode, off, len) < 0)
		return -1;
	return zero && !fstat(fd, &st) && st.st_size < off + len
		? ftruncate(fd, off + len) : 0;
}

int
__wrap_fdatasync(int fd)
{
	(void)fd;
	return 0;
}

/* ------------------------------------------------------------- the folder */

const char *
fz_path(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s%s", folder, name);
	return path;
}

static void
fails(const char *what)
{
	fprintf(stderr, "fuzz: %s: %s\n", what, strerror(errno));
	_exit(3);
}

static void
clear(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		closedir(dir);
}

static void
leave(void)
{
	char up[140];

	clear(fz_path("../run"));
	rmdir(fz_path("../run"));
	clear(folder);
	rmdir(folder);
	snprintf(up, sizeof(up), "%.*s", (int)strlen(folder) - 3, folder);
	rmdir(up);
}

/* One below another: what an image may look for one up finds nothing there. */
void
fz_place_open(void)
{
	const char *base = getenv("FUZZ_FOLDER");

	snprintf(folder, sizeof(folder), "%s/vdisk-fuzz.XXXXXX",
		 base ? base : access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(folder))
		fails(folder);
	strcat(folder, "/a/");
	if (mkdir(folder, 0700) < 0)
		fails(folder);
	atexit(leave);
}

void
fz_place_clear(void)
{
	clear(folder);
}

static void
put_region(int fd, const struct fz_region *r, uint64_t size)
{
	uint8_t *buf = r->data;
	uint32_t len = r->len;

	if (r->off >= size || placed > PLACE_MAX)
		return;
	if (len > size - r->off)
		len = (uint32_t)(size - r->off);
	placed += len;
	if (r->len != r->n) {
		buf = malloc(r->len);
		if (!buf)
			fails("malloc");
		memcpy(buf, r->data, r->n);
		for (uint32_t done = r->n, k; done < len; done += k) {
			k = done < len - done ? done : len - done;
			memcpy(buf + done, buf, k);
		}
	}
	if (len && pwrite(fd, buf, len, (off_t)r->off) != (ssize_t)len)
		fails("pwrite");
	if (buf != r->data)
		free(buf);
}

void
fz_place(const struct fz_input *z)
{
	fz_full = false;
	written = placed = 0;
	for (unsigned i = 0; i < z->nfiles; i++) {
		const struct fz_file *f = &z->file[i];
		struct timespec never[2] = { { 0, 0 }, { 0, 0 } };
		int fd = open(fz_path(f->name), O_RDWR | O_CREAT | O_TRUNC |
			      O_CLOEXEC, 0600);

		if (fd < 0 || ftruncate(fd, (off_t)f->size) < 0)
			fails(f->name);
		for (unsigned k = 0; k < f->nregions; k++)
			put_region(fd, &f->region[k], f->size);
		futimens(fd, never);	/* a part of what a raw file is */
		close(fd);
	}
}

/* -------------------------------------------------------------- all of it */

static uint64_t
mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

/* Ours, over every page, many times an input: a sanitizer has nothing to find. */
#if defined(__clang__)
#define PLAIN	__attribute__((no_sanitize("address", "undefined", "coverage")))
#else
#define PLAIN
#endif

/* Where zeros are does not matter, nor whether they are a hole. */
PLAIN static uint64_t
print_page(uint64_t h, uint64_t off, const uint64_t *page)
{
	uint64_t any = 0, sum = off;

	for (unsigned i = 0; i < PAGE / 8; i++) {
		any |= page[i];
		sum = (sum ^ page[i]) * 0x100000001b3u + (sum >> 31);
	}
	return any ? mix(h, sum) : h;
}

static uint64_t
print_file(uint64_t h, const char *name)
{
	uint64_t page[PAGE / 8];
	int fd = open(fz_path(name), O_RDONLY | O_CLOEXEC);
	uint64_t at, end;
	off_t next = 0;
	ssize_t n;

	if (fd < 0)
		return mix(h, 1);
	h = mix(h, (uint64_t)lseek(fd, 0, SEEK_END));
	while (next >= 0 && (next = lseek(fd, next, SEEK_DATA)) >= 0) {
		at = (uint64_t)next;
		end = (uint64_t)lseek(fd, next, SEEK_HOLE);
		/* The last page that can be: tmpfs calls it both. */
		if (end <= at)
			end = at + 1;
		for (at = at / PAGE * PAGE; at < end; at += PAGE) {
			n = pread(fd, page, INT64_MAX - at < PAGE ?
				  (size_t)(INT64_MAX - at) : PAGE, (off_t)at);
			if (n < 0)
				fails("pread");
			memset((char *)page + n, 0, PAGE - (size_t)n);
			h = print_page(h, at, page);
		}
		next = (off_t)at;
	}
	close(fd);
	return h;
}

uint64_t
fz_print(const struct fz_input *z)
{
	uint64_t h = 0;

	for (unsigned i = 0; i < z->nfiles; i++)
		h = print_file(h, z->file[i].name);
	return h;
}
