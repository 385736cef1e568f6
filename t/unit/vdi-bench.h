/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdi-bench.h - small VDIs for unit tests: made, opened, read, and cut short.
 *
 * The four calls through which the core changes a file are recorded.  cuts()
 * then makes every file that a power cut may have left: of the changes that no
 * completed sync covers none, all, each alone, each one missing, or some.
 */
#ifndef VDI_BENCH_H
#define VDI_BENCH_H

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <tap.h>
#include <unistd.h>
#include "core/internal.h"
#include "plugins/vdi/vdi.h"

#define BENCH_FILE_MAX	(256u << 10)

/* ------------------------------------------------------------ the recorder */

struct bench_change {
	enum { B_WRITE, B_ZERO, B_SIZE, B_SYNC } what;
	uint64_t	off, len;
	uint8_t	       *bytes;
};
static struct bench_change *bench_log;
static unsigned bench_n;
static bool bench_on;

static inline struct bench_change *
bench_record(int what, uint64_t off, uint64_t len)
{
	struct bench_change *c;

	bench_log = realloc(bench_log, (bench_n + 1) * sizeof(*bench_log));
	if (!bench_log || off + len > BENCH_FILE_MAX)
		abort();
	c = &bench_log[bench_n++];
	*c = (struct bench_change){ .what = what, .off = off, .len = len };
	return c;
}

/* These stand in front of libc's, for the core's objects are part of the test. */
ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	struct bench_change *c;
	size_t at = 0;

	if (bench_on) {
		c = bench_record(B_WRITE, (uint64_t)off, vd_iov_len(iov, n));
		c->bytes = malloc(c->len + 1);
		for (int i = 0; i < n && c->bytes; at += iov[i].iov_len, i++)
			memcpy(c->bytes + at, iov[i].iov_base, iov[i].iov_len);
	}
	return syscall(SYS_pwritev, fd, iov, n, off, 0);
}

int
fallocate(int fd, int mode, off_t off, off_t len)
{
	if (bench_on && (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)))
		bench_record(B_ZERO, (uint64_t)off, (uint64_t)len);
	return (int)syscall(SYS_fallocate, fd, mode, off, len);
}

int
ftruncate(int fd, off_t size)
{
	if (bench_on)
		bench_record(B_SIZE, (uint64_t)size, 0);
	return (int)syscall(SYS_ftruncate, fd, size);
}

/* Nobody cuts the power of the machine that tests. */
int
fdatasync(int fd)
{
	(void)fd;
	if (bench_on)
		bench_record(B_SYNC, 0, 0);
	return 0;
}

/* ------------------------------------------------------------- the files */

struct bench_file {
	uint8_t		bytes[BENCH_FILE_MAX];
	uint64_t	size;
};

static char bench_path[40];
static struct vd_err bench_err;

static inline void
bench_save(const struct bench_file *f)
{
	int fd = open(bench_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, f->bytes, f->size) != (ssize_t)f->size)
		abort();
	close(fd);
}

static inline void
bench_read(struct bench_file *f)
{
	int fd = open(bench_path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, f->bytes, sizeof(f->bytes));

	if (n < 0)
		abort();
	memset(f->bytes + n, 0, sizeof(f->bytes) - (size_t)n);
	f->size = (uint64_t)n;
	close(fd);
}

static inline void
bench_apply(struct bench_file *f, const struct bench_change *c)
{
	if (c->what == B_WRITE) {
		memcpy(f->bytes + c->off, c->bytes, c->len);
	} else if (c->what == B_ZERO) {
		memset(f->bytes + c->off, 0, c->len);
	} else if (c->what == B_SIZE) {
		if (c->off < f->size)
			memset(f->bytes + c->off, 0, f->size - c->off);
		f->size = c->off;
	}
	if (c->what == B_WRITE && c->off + c->len > f->size)
		f->size = c->off + c->len;
}

static inline void
bench_forget(void)
{
	while (bench_n)
		free(bench_log[--bench_n].bytes);
}

enum { CUT_NONE, CUT_ALL, CUT_ONLY, CUT_WITHOUT, CUT_SOME, CUT_WAYS };

static inline bool
bench_cut(struct bench_file *f, unsigned sure, unsigned at, int how,
	  unsigned which, bool (*good)(unsigned at))
{
	static unsigned seed = 1;
	bool fine;

	for (unsigned i = sure; i < at; i++) {
		seed = seed * 1103515245u + 12345u;
		if (how == CUT_ALL || (how == CUT_ONLY && i == which) ||
		    (how == CUT_WITHOUT && i != which) ||
		    (how == CUT_SOME && seed >> 16 & 1))
			bench_apply(f, &bench_log[i]);
	}
	bench_save(f);
	fine = good(at);
	if (!fine)
		diag("cut behind change %u of %u, sure up to %u, way %d/%u",
		     at, bench_n, sure, how, which);
	return fine;
}

/* Every power cut of what was recorded since *start; how many were bad. */
static inline unsigned
bench_cuts(const struct bench_file *start, unsigned *tried,
	   bool (*good)(unsigned at))
{
	static struct bench_file base, f;
	unsigned at, sure = 0, bad = 0, i;

	base = *start;
	for (at = 0; at <= bench_n && bad < 3; at++) {
		if (at && bench_log[at - 1].what == B_SYNC)
			for (; sure < at; sure++)
				bench_apply(&base, &bench_log[sure]);
		for (int how = CUT_NONE; how < CUT_WAYS && bad < 3; how++)
			for (i = sure; bad < 3 && i < (how <= CUT_ALL
						       ? sure + 1 : at); i++) {
				f = base;
				bad += !bench_cut(&f, sure, at, how, i, good);
				++*tried;
			}
	}
	return bad;
}

/* ------------------------------------------------------------- the images */

struct bench_image {
	struct vd_host *host;
	struct vd_image_info info;
	void	       *img;
};

/* Without a crash journal: a power cut takes it anyway. */
static inline int
bench_open(struct bench_image *b, unsigned flags)
{
	struct vd_file *file;
	int ret;

	memset(b, 0, sizeof(*b));
	memset(&bench_err, 0, sizeof(bench_err));
	b->info.size = sizeof(b->info);
	ret = vd_host_new(bench_path, VD_DISK_BATCH |
			  (flags & VD_OPEN_RDONLY ? VD_DISK_RDONLY : 0),
			  &b->host, &bench_err);
	if (!ret)
		ret = vd_host_open_main(b->host, bench_path, &file, &bench_err);
	if (!ret)
		ret = vdi_open(b->host, file, flags, &b->info, &b->img,
			       &bench_err);
	return ret;
}

static inline int
bench_close(struct bench_image *b)
{
	int ret = b->img ? vdi_sync(b->img, &bench_err) : 0;

	if (b->img)
		vdi_close(b->img, &bench_err);
	vd_host_free(b->host);
	memset(b, 0, sizeof(*b));
	return ret;
}

/*
 * One character a block: what it is full of, '.' for zeros, '^' for "ask the
 * parent", '?' for bytes that differ.  At most 63.
 */
static inline const char *
bench_content(struct bench_image *b)
{
	static char text[64];
	struct vdi *v = b->img;
	unsigned i, k, n = 0;

	for (i = 0; i < vdi_reach(v) && n < 63; i++) {
		uint64_t len = vdi_block_len(v, i);
		struct vd_extent e = { 0 };
		uint8_t buf[32 * 512] = { 0 };
		char c;

		if (vdi_map(v, (uint64_t)i * v->h.block, len, &e, &bench_err))
			return "map failed";
		if (e.kind == VD_EXT_DATA &&
		    (e.len > sizeof(buf) ||
		     vd_file_read(e.file, buf, e.len, e.host_off, &bench_err)))
			return "read failed";
		c = e.kind == VD_EXT_HOLE && v->child ? '^'
			: buf[0] ? (char)buf[0] : '.';
		for (k = 1; k < len && k < sizeof(buf); k++)
			if (buf[k] != buf[0])
				c = '?';
		text[n++] = c;
	}
	text[n] = '\0';
	return text;
}

/* Compares content, '*' standing for dots to the end. */
static inline bool
bench_reads(struct bench_image *b, const char *want)
{
	const char *got = bench_content(b);
	size_t n = strcspn(want, "*");

	if (!want[n])
		return !strcmp(got, want);
	return !strncmp(got, want, n) && strspn(got + n, ".") == strlen(got + n);
}

/* ------------------------------------------------------------ the reports */

struct bench_report {
	struct vd_report r;		/* first */
	unsigned	findings;
	unsigned	asked;
	bool		allow;
	const char     *seek;		/* a code to look for */
	unsigned	sought;		/* how often it came */
	uint32_t	severity;	/* the worst */
	uint64_t	off;		/* of the sought one */
	char		text[1024];	/* all codes */
};

static inline void
bench_note(struct bench_report *b, const struct vd_finding *f)
{
	size_t n = strlen(b->text);

	if (n < sizeof(b->text) - 100)
		snprintf(b->text + n, sizeof(b->text) - n, " %s", f->code);
	if (f->severity > b->severity)
		b->severity = f->severity;
	if (b->seek && !strcmp(f->code, b->seek) && !b->sought++)
		b->off = f->off;
}

static inline void
bench_finding(struct vd_report *r, const struct vd_finding *f)
{
	struct bench_report *b = (struct bench_report *)r;

	b->findings++;
	bench_note(b, f);
}

static inline bool
bench_may(struct vd_report *r, const struct vd_finding *f)
{
	struct bench_report *b = (struct bench_report *)r;

	b->asked++;
	bench_note(b, f);
	return b->allow;
}

static inline void
bench_report(struct bench_report *b, const char *seek, bool allow)
{
	memset(b, 0, sizeof(*b));
	b->r = (struct vd_report){ .size = sizeof(b->r),
		.finding = bench_finding, .may = bench_may };
	b->seek = seek;
	b->allow = allow;
}

static inline int
bench_check(struct bench_report *r, const char *seek)
{
	struct bench_image b;
	int ret = bench_open(&b, VD_OPEN_RDONLY | VD_OPEN_CHECK);

	bench_report(r, seek, false);
	if (!ret)
		ret = vdi_check(b.img, &r->r, &bench_err);
	bench_close(&b);
	return ret;
}

static inline int
bench_repair(struct bench_report *r, const char *seek, bool allow)
{
	struct bench_image b;
	int ret = bench_open(&b, VD_OPEN_CHECK);

	bench_report(r, seek, allow);
	if (!ret)
		ret = vdi_repair(b.img, &r->r, &bench_err);
	bench_close(&b);
	return ret;
}

/* ---------------------------------------------------------- making images */

/*
 * Blocks of 512 bytes unless h says more; map is one character a block: '.'
 * free, '0' zero, a letter: the slot ('a' is 0).  Block i is full of 'A' + i.
 */
static inline void
bench_make(struct bench_file *f, const struct vdi_header *want, const char *map)
{
	struct vdi_header h = *want;
	uint8_t head[VDI_HEAD_MAX];
	uint32_t top = 0, i, slot, b;

	memset(f, 0, sizeof(*f));
	h.major = h.minor = 1;
	h.header_len = h.header_len ? h.header_len : VDI_HEADER_LONG;
	h.type = h.type ? h.type : VDI_DYNAMIC;
	h.map_off = h.map_off ? h.map_off : 512;
	h.sector = h.lchs_sector = 512;
	b = h.block = h.block ? h.block : 512;
	h.blocks = h.blocks ? h.blocks : (uint32_t)strlen(map);
	h.disk = h.disk ? h.disk : (uint64_t)h.blocks * b;
	h.data_off = h.data_off ? h.data_off : 1024;
	h.create[0] = h.modify[0] = 1;
	memset(f->bytes + h.map_off, 0xff, 4 * h.blocks);
	for (i = 0; map[i]; i++) {
		if (map[i] == '.')
			continue;
		slot = map[i] == '0' ? VDI_ZERO : (uint32_t)(map[i] - 'a');
		vdi_put32(f->bytes + h.map_off + 4 * i, slot);
		if (slot == VDI_ZERO)
			continue;
		top = slot >= top ? slot + 1 : top;
		memset(f->bytes + h.data_off + slot * (b + h.extra) + h.extra,
		       'A' + (int)i, b);
	}
	h.allocated = top;
	vdi_encode(&h, head);
	memcpy(f->bytes, head, h.map_off < 512 ? h.map_off : 512);
	f->size = h.data_off + top * (b + h.extra);
	bench_save(f);
}

static inline void
bench_begin(void)
{
	int fd;

	/* In memory, if there is such a place: thousands of files come and go. */
	strcpy(bench_path, "/dev/shm/vdi-bench.XXXXXX");
	fd = mkstemp(bench_path);
	if (fd < 0) {
		strcpy(bench_path, "/tmp/vdi-bench.XXXXXX");
		fd = mkstemp(bench_path);
	}
	if (fd < 0)
		plan_skip_all("no temporary file");
	close(fd);
}

static inline int
bench_end(void)
{
	unlink(bench_path);
	bench_forget();
	free(bench_log);
	return done_testing();
}

#endif
