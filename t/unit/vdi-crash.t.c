/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdi-crash.t.c - cut the power anywhere: W1, W2, W3 and W4 hold in the file. */
/* objects: plugins/vdi/header.o plugins/vdi/probe.o plugins/vdi/image.o plugins/vdi/scan.o plugins/vdi/write.o plugins/vdi/create.o plugins/vdi/child.o plugins/vdi/resize.o plugins/vdi/audit.o plugins/vdi/check.o plugins/vdi/repair.o core/error.o core/flaw.o core/file.o core/host.o core/iov.o core/journal.o core/lock.o core/table.o */
/*
 * Every change of the image is recorded on its way to the kernel.  A power cut
 * after n of them may keep any of those that no completed sync covers; tried
 * are none, all, each alone, each one missing, and random choices.  In every
 * such file: the head is sound, no two entries share a slot, the count covers
 * the map, and each block has what was flushed last or written since.
 *
 * All slots are full of 0xee beforehand, so an entry that is ahead of its data
 * cannot pass for a block of zeros.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <tap.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "core/internal.h"
#include "plugins/vdi/vdi.h"

#define BLOCKS	2048u		/* two pages of the map */
#define BLOCK	512u
#define DATA	(512 + 4 * BLOCKS)
#define SIZE	(DATA + BLOCKS * BLOCK)
#define STALE	0xee
#define STEPS	400u
#define HOT	64u		/* blocks that are written at all */
#define PARENT	0xdd		/* what a child's free blocks read as */

static bool child;

struct change {
	enum { WRITE, PUNCH, SYNC } what;
	uint64_t	off;
	uint32_t	len;
	uint8_t	       *bytes;
};

static struct change *log_;
static unsigned nlog;

/* What a block held when: to be allowed, it must be the last flushed or later. */
struct version {
	unsigned	block;
	uint8_t		byte;
	unsigned	at;		/* changes recorded when it was written */
};
static struct version versions[STEPS];
static unsigned nversions;
struct flushed {
	unsigned	at;		/* changes recorded when it returned */
	unsigned	versions;	/* versions that came before its call */
};
static struct flushed flushes[STEPS + 1];
static unsigned nflushes;

static unsigned seed = 1;

static unsigned
any(unsigned n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 8) % n;
}

/* ------------------------------------------------------------- recording */

static struct change *
record(int what, uint64_t off, uint64_t len)
{
	struct change *c;

	log_ = realloc(log_, (nlog + 1) * sizeof(*log_));
	if (!log_ || off + len > SIZE)
		abort();
	c = &log_[nlog++];
	*c = (struct change){ .what = what, .off = off, .len = (uint32_t)len };
	c->bytes = len ? calloc(1, len) : NULL;
	return c;
}

/* These stand in front of libc's, for the core's objects are part of this program. */
ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	struct change *c = record(WRITE, (uint64_t)off, vd_iov_len(iov, n));
	size_t at = 0;

	for (int i = 0; i < n; at += iov[i].iov_len, i++)
		memcpy(c->bytes + at, iov[i].iov_base, iov[i].iov_len);
	return syscall(SYS_pwritev, fd, iov, n, off, 0);
}

int
fallocate(int fd, int mode, off_t off, off_t len)
{
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		record(PUNCH, (uint64_t)off, (uint64_t)len);
	return (int)syscall(SYS_fallocate, fd, mode, off, len);
}

int
fdatasync(int fd)
{
	record(SYNC, 0, 0);
	return (int)syscall(SYS_fdatasync, fd);
}

/* -------------------------------------------------------------- the image */

static uint8_t start[SIZE];

static void
make_start(const char *path)
{
	struct vdi_header h = {
		.major = 1, .minor = 1, .header_len = VDI_HEADER_SHORT,
		.type = VDI_DYNAMIC, .map_off = 512, .data_off = DATA,
		.sector = 512, .disk = BLOCKS * BLOCK, .block = BLOCK,
		.blocks = BLOCKS, .create = { 1 }, .modify = { 2 },
		.link = { child },
	};
	FILE *f = fopen(path, "wb");

	memset(start, STALE, sizeof(start));
	vdi_encode(&h, start);
	memset(start + 512, 0xff, 4 * BLOCKS);
	if (!f || fwrite(start, sizeof(start), 1, f) != 1 || fclose(f))
		exit(1);
}

/* ------------------------------------------------------ what the core does */

static void *img;
static struct vd_err err;

static int
put_block(unsigned block, uint8_t byte)
{
	struct vd_extent e = { 0 };
	struct vd_alloc a = { 0 };
	uint8_t bytes[BLOCK];
	int ret;

	memset(bytes, byte, sizeof(bytes));
	versions[nversions++] = (struct version){ block, byte, nlog };
	ret = vdi_map(img, block * BLOCK, BLOCK, &e, &err);
	if (ret)
		return ret;
	if (e.kind == VD_EXT_DATA)
		return vd_file_write(e.file, bytes, BLOCK, e.host_off, &err);
	ret = vdi_allocate(img, block * BLOCK, &a, &err);
	if (!ret)
		ret = vd_file_write(a.file, bytes, BLOCK, a.host_off, &err);
	if (!ret && any(8) == 0) {	/* the write "failed"; try again */
		vdi_abandon(img, &a);
		ret = vdi_allocate(img, block * BLOCK, &a, &err);
		if (!ret)
			ret = vd_file_write(a.file, bytes, BLOCK, a.host_off,
					    &err);
	}
	return ret ? ret : vdi_commit(img, &a, &err);
}

static int
zero_block(unsigned block)
{
	versions[nversions++] = (struct version){ block, 0, nlog };
	return vdi_zero(img, block * BLOCK, BLOCK, &err);
}

/* Of a base a discard promises nothing for a free block; here it reads zeros. */
static int
discard_block(unsigned block)
{
	versions[nversions++] = (struct version){ block, 0, nlog };
	return vdi_discard(img, block * BLOCK, BLOCK, &err);
}

static int
flush(void)
{
	unsigned before = nversions;
	int ret = vdi_sync(img, &err);

	flushes[nflushes++] = (struct flushed){ nlog, before };
	return ret;
}

/* A block of the first half or of the second: two pages are dirty at once. */
static unsigned
any_block(void)
{
	return any(HOT) + (any(2) ? BLOCKS - HOT : 0);
}

static int
drive(const char *path)
{
	struct vd_image_info info = { .size = sizeof(info) };
	struct vd_host *host;
	struct vd_file *file;
	int ret;

	/* One batch: no crash journal, a power cut takes it anyway. */
	ret = vd_host_new(path, VD_DISK_BATCH, &host, &err);
	if (!ret)
		ret = vd_host_open_main(host, path, &file, &err);
	if (!ret)
		ret = vdi_open(host, file, 0, &info, &img, &err);
	if (!ret)
		ret = vdi_begin_write(img, &err);
	for (unsigned i = 0; i < STEPS && !ret; i++) {
		unsigned what = any(16);

		if (what < 12)
			ret = put_block(any_block(), (uint8_t)(1 + any(200)));
		else if (what < 14)
			ret = zero_block(any_block());
		else if (what < 15)
			ret = discard_block(any_block());
		else
			ret = flush();
	}
	if (!ret)
		ret = flush();
	if (!ret)
		ret = vdi_close(img, &err);
	vd_host_free(host);
	return ret;
}

/* --------------------------------------------------------- after the crash */

static uint8_t sure_disk[SIZE];	/* all that syncs cover */
static uint8_t disk[SIZE];	/* the same, but while a cut is looked at */
static uint8_t used[BLOCKS];
static char why[256];
static bool quiet;

static bool
allowed(unsigned block, uint8_t byte, unsigned at)
{
	unsigned flushed = 0, i;
	uint8_t last = child ? PARENT : 0;	/* before all versions */

	for (i = 0; i < nflushes && flushes[i].at <= at; i++)
		flushed = flushes[i].versions;
	for (i = 0; i < flushed; i++)
		if (versions[i].block == block)
			last = versions[i].byte;
	if (byte == last)
		return true;
	for (i = flushed; i < nversions && versions[i].at <= at; i++)
		if (versions[i].block == block && versions[i].byte == byte)
			return true;
	return false;
}

static bool
check_block(unsigned i, uint32_t count, unsigned at)
{
	uint32_t e = vdi_get32(disk + 512 + 4 * i);
	uint8_t *p, byte = child && e == VDI_FREE ? PARENT : 0;

	if (vdi_present(e)) {
		if (e >= count) {
			snprintf(why, sizeof(why),
				 "W4: block %u in slot %u, count %u", i, e, count);
			return false;
		}
		if (used[e]++) {
			snprintf(why, sizeof(why), "W3: slot %u twice", e);
			return false;
		}
		p = disk + DATA + e * BLOCK;
		byte = p[0];
		if (memcmp(p, p + 1, BLOCK - 1)) {
			snprintf(why, sizeof(why), "block %u is torn", i);
			return false;
		}
	}
	if (!allowed(i, byte, at)) {
		snprintf(why, sizeof(why), "%s: block %u holds %02x", byte == STALE
			 ? "W1" : "W2 or W3", i, byte);
		return false;
	}
	return true;
}

static bool
check_disk(unsigned at)
{
	struct vdi_header h;
	struct vd_err e = { 0 };

	if (vdi_parse(disk, 512, SIZE, &h, &e) != VD_MINE) {
		snprintf(why, sizeof(why), "header: %.200s", e.msg);
		return false;
	}
	memset(used, 0, sizeof(used));
	for (unsigned i = 0; i < HOT; i++)
		if (!check_block(i, h.allocated, at) ||
		    !check_block(BLOCKS - 1 - i, h.allocated, at))
			return false;
	return true;
}

static void
apply(uint8_t *to, const struct change *c)
{
	if (c->len)
		memcpy(to + c->off, c->bytes, c->len);
}

enum { NONE, ALL, ONLY, WITHOUT, RANDOM };

/* The file after a cut behind `at` changes; `how` chooses among the unsure. */
static bool
crash(unsigned sure, unsigned at, int how, unsigned which)
{
	unsigned i;
	bool good;

	for (i = sure; i < at; i++)
		if (how == ALL || (how == ONLY && i == which) ||
		    (how == WITHOUT && i != which) || (how == RANDOM && any(2)))
			apply(disk, &log_[i]);
	good = check_disk(at);
	for (i = sure; i < at; i++)
		memcpy(disk + log_[i].off, sure_disk + log_[i].off,
		       log_[i].len);
	if (!good && !quiet)
		diag("cut behind change %u of %u, sure up to %u, way %d/%u: %s",
		     at, nlog, sure, how, which, why);
	return good;
}

static unsigned
crash_everywhere(unsigned *tried)
{
	unsigned at, i, sure = 0, bad = 0;

	memcpy(sure_disk, start, SIZE);
	memcpy(disk, start, SIZE);
	for (at = 0; at <= nlog && bad < 5; at++) {
		if (at && log_[at - 1].what == SYNC)
			for (; sure < at; sure++) {
				apply(sure_disk, &log_[sure]);
				apply(disk, &log_[sure]);
			}
		bad += !crash(sure, at, NONE, 0) + !crash(sure, at, ALL, 0);
		*tried += 2;
		for (i = sure; i < at && bad < 5; i++, *tried += 3)
			bad += !crash(sure, at, ONLY, i) +
			       !crash(sure, at, WITHOUT, i) +
			       !crash(sure, at, RANDOM, i);
	}
	return bad;
}

static void
test_one(const char *path, const char *what)
{
	unsigned tried = 0, i;

	while (nlog)
		free(log_[--nlog].bytes);
	nversions = nflushes = 0;
	quiet = false;
	make_start(path);
	i = (unsigned)drive(path);
	ok(i == 0, "%s: %u writes, %u flushes, %u changes: %s", what,
	   nversions, nflushes, nlog, err.msg);
	is_int(crash_everywhere(&tried), 0,
	       "%s: no power cut breaks an invariant", what);
	ok(tried > 1000, "%s: %u power cuts", what, tried);

	/* Would it notice?  The same log with its syncs forgotten. */
	for (i = 0; i < nlog; i++)
		if (log_[i].what == SYNC && log_[i].off == 0)
			log_[i].what = PUNCH;	/* of no bytes */
	quiet = true;
	ok(crash_everywhere(&tried) > 0, "%s: without syncs it would", what);
}

int
main(void)
{
	char path[] = "/tmp/vdi-crash.XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0)
		plan_skip_all("no temporary file");
	close(fd);
	test_one(path, "an image of its own");
	child = true;
	test_one(path, "a child");
	unlink(path);
	while (nlog)
		free(log_[--nlog].bytes);
	free(log_);
	return done_testing();
}
