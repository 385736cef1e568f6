/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmdk-crash.t.c - cut the power anywhere: W1, W2, W4 and W5 hold in the file. */
/* objects: plugins/vmdk/text.o plugins/vmdk/desc.o plugins/vmdk/edit.o plugins/vmdk/header.o plugins/vmdk/sparse.o plugins/vmdk/verify.o plugins/vmdk/image.o plugins/vmdk/extent.o plugins/vmdk/stream.o plugins/vmdk/cowd.o plugins/vmdk/sesparse.o plugins/vmdk/write.o plugins/vmdk/rewrite.o plugins/vmdk/discard.o plugins/vmdk/compose.o plugins/vmdk/child.o core/error.o core/file.o core/host.o core/iov.o core/journal.o core/lock.o core/rewrite.o core/table.o */
/*
 * Every change of the image is recorded on its way to the kernel.  A power cut
 * after n of them keeps those that a completed sync covers, and any of the
 * others: tried are none, all, each alone, each one missing, random choices.
 * Each such file is judged twice: by a reader of this test's own, and by the
 * module itself, which must take it for writing and leave it clean.
 *
 * Grains are one sector, tables have 64 entries, and the last of three does
 * not exist at first.
 */
#include <endian.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <tap.h>
#include <unistd.h>
#include "core/internal.h"
#include "plugins/vmdk/vmdk.h"

#define TABLES	3u
#define GTES	64u
#define GRAINS	(TABLES * GTES)
#define OVERHEAD 16u		/* sectors */
#define MAX	(512u * 1024)	/* bytes of the file, at most */
#define STEPS	220u
#define OLD_CID	0x12345678u

struct change {
	enum { WRITE, GROW, SYNC } what;
	uint64_t	off;
	uint32_t	len;
	uint8_t	       *bytes;
};

static struct change *log_;
static unsigned nlog;
static bool recording;

/* What a grain held when; allowed is the last flushed or anything later. */
static struct version {
	unsigned	grain;
	uint8_t		byte;
	unsigned	at;
} versions[STEPS];
static unsigned nversions;
static struct flushed {
	unsigned	at, versions;
} flushes[STEPS + 2];
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
	if (!log_ || off + len > MAX)
		abort();
	c = &log_[nlog++];
	*c = (struct change){ .what = what, .off = off, .len = (uint32_t)len };
	c->bytes = what == WRITE ? calloc(1, len ? len : 1) : NULL;
	return c;
}

/* These stand in front of libc's: the core's objects are in this program. */
ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	struct change *c;
	size_t at = 0;

	if (recording) {
		c = record(WRITE, (uint64_t)off, vd_iov_len(iov, n));
		for (int i = 0; i < n; at += iov[i].iov_len, i++)
			memcpy(c->bytes + at, iov[i].iov_base, iov[i].iov_len);
	}
	return syscall(SYS_pwritev, fd, iov, n, off, 0);
}

int
ftruncate(int fd, off_t size)
{
	if (recording)
		record(GROW, (uint64_t)size, 0);
	return (int)syscall(SYS_ftruncate, fd, size);
}

int
fdatasync(int fd)
{
	(void)fd;
	if (recording)
		record(SYNC, 0, 0);
	return 0;		/* what a disk does is this test's affair */
}

/* -------------------------------------------------------------- the image */

struct disk {
	uint8_t		b[MAX];
	uint64_t	size;
};
static struct disk start, sure_disk, disk;

static void
put32(struct disk *d, uint64_t off, uint32_t v)
{
	v = htole32(v);
	memcpy(d->b + off, &v, 4);
}

static uint32_t
get32(const struct disk *d, uint64_t off)
{
	uint32_t v;

	memcpy(&v, d->b + off, 4);
	return le32toh(v);
}

#define RGD	(3u * 512)
#define GD	(7u * 512)

static void
make_start(void)
{
	struct vmdk_header h = {
		.version = 1, .flags = VMDK_F_NEWLINE | VMDK_F_RGD,
		.capacity = GRAINS, .grain_sectors = 1, .desc_sector = 1,
		.desc_sectors = 2, .gtes = GTES, .rgd_sector = RGD / 512,
		.gd_sector = GD / 512, .overhead = OVERHEAD,
		.newline = { '\n', ' ', '\r', '\n' },
	};

	vmdk_header_encode(&h, start.b);
	snprintf((char *)start.b + 512, 1024, "# Disk DescriptorFile\n"
		 "version=1\nCID=%08x\nparentCID=ffffffff\n"
		 "createType=\"monolithicSparse\"\nRW %u SPARSE \"x.vmdk\"\n"
		 "ddb.longContentID = \"0123456789abcdef01234567%08x\"\n",
		 OLD_CID, GRAINS, OLD_CID);
	for (unsigned i = 0; i < TABLES - 1; i++) {
		put32(&start, RGD + 4 * i, RGD / 512 + 1 + i);
		put32(&start, GD + 4 * i, GD / 512 + 1 + i);
	}
	start.size = OVERHEAD * 512;
}

static void
to_file(const struct disk *d, const char *path)
{
	FILE *f = fopen(path, "wb");

	if (!f || (d->size && fwrite(d->b, d->size, 1, f) != 1) || fclose(f))
		abort();
}

static void
from_file(struct disk *d, const char *path)
{
	FILE *f = fopen(path, "rb");

	memset(d, 0, sizeof(*d));
	d->size = f ? fread(d->b, 1, MAX, f) : 0;
	if (!f || fclose(f))
		abort();
}

/* ------------------------------------------------------ what the core does */

static void *img;
static struct vd_host *host;
static struct vd_err err;

static int
open_image(const char *path)
{
	struct vd_image_info info = { .size = sizeof(info) };
	struct vd_file *file;
	int ret;

	/* One batch: no crash journal, a power cut takes it anyway. */
	ret = vd_host_new(path, VD_DISK_BATCH, &host, &err);
	if (!ret)
		ret = vd_host_open_main(host, path, &file, &err);
	if (!ret)
		ret = vmdk_open(host, file, 0, &info, &img, &err);
	if (ret)
		vd_host_free(host);
	return ret;
}

static int
put_grain(unsigned grain, uint8_t byte)
{
	struct vd_extent e = { 0 };
	struct vd_alloc a = { 0 };
	uint8_t bytes[512];
	int ret;

	memset(bytes, byte, sizeof(bytes));
	versions[nversions++] = (struct version){ grain, byte, nlog };
	ret = vmdk_map(img, grain * 512, 512, &e, &err);
	if (ret)
		return ret;
	if (e.kind == VD_EXT_DATA)
		return vd_file_write(e.file, bytes, 512, e.host_off, &err);
	ret = vmdk_allocate(img, grain * 512, &a, &err);
	if (!ret && any(8) == 0) {	/* the write "failed"; try again */
		ret = vd_file_write(a.file, bytes, 512, a.host_off, &err);
		vmdk_abandon(img, &a);
		if (!ret)
			ret = vmdk_allocate(img, grain * 512, &a, &err);
	}
	if (!ret)
		ret = vd_file_write(a.file, bytes, 512, a.host_off, &err);
	return ret ? ret : vmdk_commit(img, &a, &err);
}

static int
flush(void)
{
	unsigned before = nversions;
	int ret = vmdk_sync(img, &err);

	flushes[nflushes++] = (struct flushed){ nlog, before };
	return ret;
}

static int
drive(const char *path)
{
	int ret = open_image(path);

	if (ret)
		return ret;
	recording = true;
	ret = vmdk_begin_write(img, &err);
	for (unsigned i = 0; i < STEPS && !ret; i++)
		ret = any(12) ? put_grain(any(GRAINS), (uint8_t)(1 + any(200)))
			      : flush();
	if (!ret)
		ret = flush();
	if (!ret)
		ret = vmdk_close(img, &err);
	recording = false;
	vd_host_free(host);
	return ret;
}

/* --------------------------------------------------------- after the crash */

static char why[300];
static bool quiet;
#define no(...) (snprintf(why, sizeof(why), __VA_ARGS__), false)

static bool
allowed(unsigned grain, uint8_t byte, unsigned at)
{
	unsigned flushed = 0, i;
	uint8_t last = 0;

	for (i = 0; i < nflushes && flushes[i].at <= at; i++)
		flushed = flushes[i].versions;
	for (i = 0; i < flushed; i++)
		if (versions[i].grain == grain)
			last = versions[i].byte;
	if (byte == last)
		return true;
	for (i = flushed; i < nversions && versions[i].at <= at; i++)
		if (versions[i].grain == grain && versions[i].byte == byte)
			return true;
	return false;
}

static bool
check_grain(const struct disk *d, unsigned g, unsigned at, bool *changed)
{
	uint64_t a = get32(d, GD + g / GTES * 4) * 512ull;
	uint64_t b = get32(d, RGD + g / GTES * 4) * 512ull;
	uint32_t p = a ? get32(d, a + g % GTES * 4) : 0;
	uint32_t q = b ? get32(d, b + g % GTES * 4) : 0;
	uint8_t *x, byte = 0;

	if (p != q && (!d->b[VMDK_HEADER_UNCLEAN] || (p && q)))
		return no("W4: grain %u at %u and at %u, unclean %u", g, p, q,
			  d->b[VMDK_HEADER_UNCLEAN]);
	if (p) {
		if (p < OVERHEAD || (p + 1) * 512ull > d->size)
			return no("W1: grain %u at sector %u of %ju", g, p,
				  (uintmax_t)d->size / 512);
		x = (uint8_t *)d->b + p * 512ull;
		byte = x[0];
		if (memcmp(x, x + 1, 511))
			return no("W1: grain %u is torn", g);
	}
	*changed = *changed || p || q;
	return allowed(g, byte, at) ? true : no("%s: grain %u holds %02x",
						p && !byte ? "W1" : "W2", g,
						byte);
}

static uint32_t
cid_of(const struct disk *d)
{
	struct vmdk_desc desc;

	if (vmdk_desc_parse((const char *)d->b + 512, 1024, 512, &desc, NULL))
		return OLD_CID;
	return desc.cid;
}

static bool
check_disk(const struct disk *d, unsigned at)
{
	bool changed = false;

	for (unsigned g = 0; g < GRAINS; g++)
		if (!check_grain(d, g, at, &changed))
			return false;
	for (unsigned i = 0; i < TABLES; i++) {
		uint32_t a = get32(d, GD + i * 4), b = get32(d, RGD + i * 4);

		if ((a && (a + 1) * 512ull > d->size) ||
		    (b && (b + 1) * 512ull > d->size))
			return no("W1: table %u is not in the file", i);
		if (!a != !b && !d->b[VMDK_HEADER_UNCLEAN])
			return no("W4: half a table %u in a clean image", i);
	}
	if (changed && cid_of(d) == OLD_CID)
		return no("W5: changed under the old CID");
	return true;
}

/* The module's own opinion: it must be able to go on. */
static bool
check_reopen(const char *path, unsigned at)
{
	static struct disk after;
	int ret;

	to_file(&disk, path);
	vd_err_clear(&err);
	ret = open_image(path);
	if (ret)
		return no("cannot be opened again: %.200s", err.msg);
	ret = vmdk_begin_write(img, &err);
	if (!ret)
		ret = vmdk_sync(img, &err);
	if (!ret)
		ret = vmdk_close(img, &err);
	vd_host_free(host);
	if (ret)
		return no("cannot be written again: %.200s", err.msg);
	from_file(&after, path);
	if (after.b[VMDK_HEADER_UNCLEAN])
		return no("not clean after a close");
	return check_disk(&after, at);
}

static void
apply(struct disk *d, const struct change *c)
{
	uint64_t end = c->off + c->len;

	if (c->what == WRITE)
		memcpy(d->b + c->off, c->bytes, c->len);
	if (c->what != SYNC && end > d->size)
		d->size = end;
}

enum { NONE, ALL, ONLY, WITHOUT, RANDOM };

static bool
crash(const char *path, unsigned sure, unsigned at, int how, unsigned which)
{
	unsigned i;
	bool good;

	for (i = sure; i < at; i++)
		if (how == ALL || (how == ONLY && i == which) ||
		    (how == WITHOUT && i != which) || (how == RANDOM && any(2)))
			apply(&disk, &log_[i]);
	good = check_disk(&disk, at) && check_reopen(path, at);
	if (!good && !quiet)
		diag("cut behind change %u of %u, sure up to %u, way %d/%u: %s",
		     at, nlog, sure, how, which, why);
	for (i = sure; i < at; i++)
		if (log_[i].what == WRITE)
			memcpy(disk.b + log_[i].off,
			       sure_disk.b + log_[i].off, log_[i].len);
	disk.size = sure_disk.size;
	return good;
}

static unsigned
crash_everywhere(const char *path, unsigned *tried)
{
	unsigned at, i, sure = 0, bad = 0;

	sure_disk = start;
	disk = start;
	for (at = 0; at <= nlog && bad < 5; at++) {
		if (at && log_[at - 1].what == SYNC)
			for (; sure < at; sure++) {
				apply(&sure_disk, &log_[sure]);
				apply(&disk, &log_[sure]);
			}
		bad += !crash(path, sure, at, NONE, 0) +
		       !crash(path, sure, at, ALL, 0);
		*tried += 2;
		for (i = sure; i < at && bad < 5; i++, *tried += 3)
			bad += !crash(path, sure, at, ONLY, i) +
			       !crash(path, sure, at, WITHOUT, i) +
			       !crash(path, sure, at, RANDOM, i);
	}
	return bad;
}

int
main(void)
{
	/* Twenty thousand files: in memory if there is such a place. */
	char shm[] = "/dev/shm/vmdk-crash.XXXXXX";
	char tmp[] = "/tmp/vmdk-crash.XXXXXX", *path = shm;
	int fd = mkstemp(shm), ret;
	unsigned tried = 0, i;

	if (fd < 0)
		fd = mkstemp(path = tmp);
	if (fd < 0)
		plan_skip_all("no temporary file");
	close(fd);
	make_start();
	to_file(&start, path);
	ret = drive(path);
	is_int(ret, 0, "%u writes, %u flushes, %u changes: %s", nversions,
	       nflushes, nlog, err.msg);
	is_int(crash_everywhere(path, &tried), 0,
	       "no power cut breaks an invariant");
	ok(tried > 1000, "%u power cuts", tried);

	/* Would it notice?  The same log with its syncs forgotten. */
	for (i = 0; i < nlog; i++)
		if (log_[i].what == SYNC)
			log_[i].what = GROW;	/* to nothing */
	quiet = true;
	ok(crash_everywhere(path, &tried) > 0, "without syncs it would");
	while (nlog)
		free(log_[--nlog].bytes);
	free(log_);
	unlink(path);
	return done_testing();
}
