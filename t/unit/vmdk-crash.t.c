/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmdk-crash.t.c - cut the power anywhere: W1 to W5 hold in the files. */
/* objects: plugins/vmdk/text.o plugins/vmdk/desc.o plugins/vmdk/edit.o plugins/vmdk/header.o plugins/vmdk/sparse.o plugins/vmdk/verify.o plugins/vmdk/image.o plugins/vmdk/extent.o plugins/vmdk/stream.o plugins/vmdk/cowd.o plugins/vmdk/sesparse.o plugins/vmdk/write.o plugins/vmdk/rewrite.o plugins/vmdk/discard.o plugins/vmdk/resize.o plugins/vmdk/split.o plugins/vmdk/create.o plugins/vmdk/custom.o plugins/vmdk/compose.o plugins/vmdk/child.o core/error.o core/file.o core/host.o core/iov.o core/journal.o core/lock.o core/rewrite.o core/table.o */
/*
 * Every set of changes that a power cut may keep (t/lib/cuts.h) is judged
 * twice: by a reader of this test's own, and by the module itself, which must
 * take the files for writing and leave them clean.
 *
 * Grains are one sector.  A hosted extent has tables of 64 entries, and the
 * last of three does not exist at first; an ESX one has one of 4096, which does
 * not either.  A merge is a session in which begin_write is left out.
 */
#include <endian.h>
#include <errno.h>
#include <tap.h>

#define UNITS	192u
#define STEPS	140u
#define CUT_FILE_MAX	(256u * 1024)
#define CUT_FILES	2		/* the image, an ESX delta */
#define CUT_UNITS	(STEPS + 2)
#include "t/lib/cuts.h"
#include "plugins/vmdk/vmdk.h"

#define TABLES	3u
#define GTES	64u
#define OVERHEAD 16u		/* sectors */
#define RGD	(3u * 512)
#define GD	(7u * 512)
#define OLD_CID	0x12345678u
#define PARENT	0xdd		/* what is not in a child reads as */
#define ESX_SECTORS UNITS	/* the file grows as far as it might need */
#define ESX_GD	4u		/* sector */
#define ESX_UNCLEAN 1648u

static const struct kind {
	const char     *name;
	bool		esx, child, marks, merge;
} kinds[] = {
	{ "a base", false, false, false, false },
	{ "a child", false, true, false, false },
	{ "a child of version 2", false, true, true, false },
	{ "a merge into a child", false, true, false, true },
	{ "an ESX base", true, false, false, false },
	{ "an ESX child", true, true, false, false },
	{ "a merge into an ESX child", true, true, false, true },
};
static const struct kind *kind;

/* -------------------------------------------------------------- the image */

static struct cut_file start[CUT_FILES];

static void
put32(struct cut_file *d, uint64_t off, uint32_t v)
{
	v = htole32(v);
	memcpy(d->b + off, &v, 4);
}

static uint32_t
get32(const struct cut_file *d, uint64_t off)
{
	uint32_t v;

	memcpy(&v, d->b + off, 4);
	return le32toh(v);
}

static size_t
make_text(char *to, size_t room)
{
	return (size_t)snprintf(to, room, "# Disk DescriptorFile\n"
		"version=1\nCID=%08x\nparentCID=%s\n"
		"createType=\"%s\"\n%s%s\n"
		"ddb.longContentID = \"0123456789abcdef01234567%08x\"\n",
		OLD_CID, kind->child ? "11111111\nparentFileNameHint=\"p\""
		: "ffffffff", kind->esx ? "vmfsSparse" : "monolithicSparse",
		kind->esx ? "RW 192 VMFSSPARSE " : "RW 192 SPARSE ",
		kind->esx ? "\"delta\"" : "\"x.vmdk\"", OLD_CID);
}

static void
make_hosted(struct cut_file *f)
{
	struct vmdk_header h = {
		.version = kind->marks ? 2 : 1,
		.flags = VMDK_F_NEWLINE | VMDK_F_RGD |
			 (kind->marks ? VMDK_F_ZERO_GRAIN : 0),
		.capacity = UNITS, .grain_sectors = 1, .desc_sector = 1,
		.desc_sectors = 2, .gtes = GTES, .rgd_sector = RGD / 512,
		.gd_sector = GD / 512, .overhead = OVERHEAD,
		.newline = { '\n', ' ', '\r', '\n' },
	};

	vmdk_header_encode(&h, f->b);
	make_text((char *)f->b + 512, 1024);
	for (unsigned i = 0; i < TABLES - 1; i++) {
		put32(f, RGD + 4 * i, RGD / 512 + 1 + i);
		put32(f, GD + 4 * i, GD / 512 + 1 + i);
	}
	f->size = OVERHEAD * 512;
}

static void
make_esx(struct cut_file *f)
{
	f->size = make_text((char *)f->b, 1024);
	memcpy(f[1].b, "COWD", 4);
	put32(f + 1, 4, 1);
	put32(f + 1, 8, 3);
	put32(f + 1, 12, ESX_SECTORS);
	put32(f + 1, 16, 1);
	put32(f + 1, 20, ESX_GD);
	put32(f + 1, 24, 1);
	put32(f + 1, 28, ESX_GD + 1);
	f[1].size = (ESX_GD + 2) * 512;
}

static void
make_start(void)
{
	memset(start, 0, sizeof(start));
	if (kind->esx)
		make_esx(start);
	else
		make_hosted(start);
	for (unsigned i = 0; i < CUT_FILES; i++)
		cut_save(&start[i], cut_path[i]);
}

/* ------------------------------------------------------ what the core does */

static void *img;
static struct vd_host *host;
static struct vd_err err;

static int
open_image(void)
{
	struct vd_image_info info = { .size = sizeof(info) };
	struct vd_file *file;
	int ret;

	/* One batch: no crash journal, a power cut takes it anyway. */
	ret = vd_host_new(cut_path[0], VD_DISK_BATCH, &host, &err);
	if (!ret)
		ret = vd_host_open_main(host, cut_path[0], &file, &err);
	if (!ret)
		ret = vmdk_open(host, file, 0, &info, &img, &err);
	if (ret)
		vd_host_free(host);
	return ret;
}

static int
fill(struct vd_alloc *a, uint8_t byte)
{
	uint8_t bytes[512];

	memset(bytes, byte, sizeof(bytes));
	return vd_file_write(a->file, bytes, 512, a->host_off, &err);
}

static int
put_new(unsigned unit, uint8_t byte)
{
	struct vd_alloc a = { 0 };
	int ret = vmdk_allocate(img, unit * 512, &a, &err);

	if (!ret && any(8) == 0) {	/* the write "failed"; try again */
		ret = fill(&a, byte);
		vmdk_abandon(img, &a);
		if (!ret)
			ret = vmdk_allocate(img, unit * 512, &a,
					    &err);
	}
	if (!ret)
		ret = fill(&a, byte);
	return ret ? ret : vmdk_commit(img, &a, &err);
}

static int
kind_of(unsigned unit, struct vd_extent *e)
{
	*e = (struct vd_extent){ 0 };
	return vmdk_map(img, unit * 512, 512, e, &err);
}

static int
put_unit(unsigned unit, uint8_t byte)
{
	struct vd_extent e;
	struct vd_alloc a;
	int ret = kind_of(unit, &e);

	cut_writes(unit, byte);
	if (ret || e.kind != VD_EXT_DATA)
		return ret ? ret : put_new(unit, byte);
	a = (struct vd_alloc){ .file = e.file, .host_off = e.host_off };
	return fill(&a, byte);
}

static int
zero_unit(unsigned unit)
{
	int ret;

	cut_writes(unit, 0);
	ret = vmdk_zero(img, unit * 512, 512, &err);
	return ret == -ENOTSUP ? put_new(unit, 0) : ret;
}

/* A hint: a hole that cannot hide its parent stays one. */
static int
discard_units(unsigned unit)
{
	unsigned n = 1 + any(8);
	struct vd_extent e;
	int ret = 0;

	for (; n-- && unit < UNITS && !ret; unit++) {
		ret = kind_of(unit, &e);
		if (e.kind != VD_EXT_HOLE || !kind->child || kind->marks)
			cut_writes(unit, 0);
		if (!ret)
			ret = vmdk_discard(img, unit * 512, 512,
					   &err);
	}
	return ret;
}

static int
flush(void)
{
	unsigned before = cut_nversions;
	int ret = vmdk_sync(img, &err);

	cut_flushed(before);
	return ret;
}

static int
step(void)
{
	unsigned what = any(24);

	/* In a merge nothing is given up that could set the mark first. */
	if (kind->merge && what >= 16)
		what = 23;
	if (what < 16)
		return put_unit(any(UNITS), (uint8_t)(1 + any(200)));
	if (what < 18)
		return zero_unit(any(UNITS));
	return what < 22 ? discard_units(any(UNITS)) : flush();
}

static int
drive(void)
{
	int ret = open_image();

	if (ret)
		return ret;
	cut_on = true;
	if (!kind->merge)
		ret = vmdk_begin_write(img, &err);
	while (cut_nversions < STEPS - 10 && !ret)
		ret = step();
	if (!ret)
		ret = flush();
	if (!ret)
		ret = vmdk_close(img, &err);
	cut_on = false;
	vd_host_free(host);
	return ret;
}

/* --------------------------------------------------------- after the crash */

struct look {			/* at one set of files */
	const struct cut_file *d;	/* with the tables */
	unsigned	at;
	bool		changed;
	uint8_t		used[CUT_FILE_MAX / 512];
};

/* An entry of the table that a directory names; 0: there is no table. */
static uint32_t
entry(const struct cut_file *d, uint32_t dir, uint64_t grain)
{
	unsigned gtes = kind->esx ? VMDK_COWD_GTES : GTES;
	uint64_t table = get32(d, dir + grain / gtes * 4) * 512ull;

	return table ? get32(d, table + grain % gtes * 4) : 0;
}

static bool
unclean(const struct cut_file *d)
{
	return d->b[kind->esx ? ESX_UNCLEAN : VMDK_HEADER_UNCLEAN];
}

static bool
check_room(struct look *l, unsigned u, uint32_t p, uint8_t *byte)
{
	const uint8_t *x = l->d->b + p * 512ull;
	uint32_t least = kind->esx ? ESX_GD + 1 : OVERHEAD;

	if (p < least || (p + 1) * 512ull > l->d->size)
		return no("W1: unit %u at sector %u of %ju", u, p,
			  (uintmax_t)l->d->size / 512);
	if (kind->esx && p + 1 > get32(l->d, 28))
		return no("W1: unit %u at sector %u, freeSector %u", u, p,
			  get32(l->d, 28));
	if (l->used[p]++)
		return no("W3: two units at sector %u", p);
	*byte = x[0];
	return !memcmp(x, x + 1, 511) || no("W1: unit %u is torn", u);
}

static bool
check_unit(struct look *l, unsigned u)
{
	uint64_t g = u;
	uint32_t p = entry(l->d, kind->esx ? ESX_GD * 512 : GD, g);
	uint32_t q = kind->esx ? p : entry(l->d, RGD, g);
	uint8_t before = kind->child ? PARENT : 0, byte = p ? 0 : before;

	if (p != q && (!unclean(l->d) || (p > 1 && q > 1)))
		return no("W4: unit %u at %u and at %u, unclean %u", u, p, q,
			  unclean(l->d));
	if (p > (kind->marks ? 1 : 0) && !check_room(l, u, p, &byte))
		return false;
	l->changed = l->changed || p || q;
	return cut_allowed(u, byte, before, l->at) ||
	       no("%s: unit %u holds %02x", p && !byte ? "W1" : "W2 or W3", u,
		  byte);
}

static bool
check_tables(const struct cut_file *d)
{
	for (unsigned i = 0; i < TABLES && !kind->esx; i++) {
		uint32_t a = get32(d, GD + i * 4), b = get32(d, RGD + i * 4);

		if ((a && (a + 1) * 512ull > d->size) ||
		    (b && (b + 1) * 512ull > d->size))
			return no("W1: table %u is not in the file", i);
		if (!a != !b && !unclean(d))
			return no("W4: half a table %u in a clean image", i);
	}
	return true;
}

static uint32_t
cid_of(const struct cut_file *f)
{
	struct vmdk_desc desc;
	size_t at = kind->esx ? 0 : 512;

	if (vmdk_desc_parse((const char *)f->b + at, 1024, 0, &desc, NULL))
		return OLD_CID;
	return desc.cid;
}

static bool
check_files(const struct cut_file *f, unsigned at)
{
	static struct look l;

	memset(&l, 0, sizeof(l));
	l.d = kind->esx ? &f[1] : f;
	l.at = at;
	for (unsigned u = 0; u < UNITS; u++)
		if (!check_unit(&l, u))
			return false;
	if (l.changed && cid_of(f) == OLD_CID && !kind->merge)
		return no("W5: changed under the old CID");
	if (cid_of(f) != OLD_CID && kind->merge)
		return no("a merge changed the identity");
	return check_tables(l.d);
}

/* The module's own opinion: it must be able to go on. */
static bool
check_reopen(const struct cut_file *f, unsigned at)
{
	static struct cut_file after[CUT_FILES];
	int ret;

	for (unsigned i = 0; i < CUT_FILES; i++)
		cut_save(&f[i], cut_path[i]);
	vd_err_clear(&err);
	ret = open_image();
	if (ret)
		return no("cannot be opened again: %.200s", err.msg);
	ret = kind->merge ? vmdk_mark(img, &err) : vmdk_begin_write(img, &err);
	if (!ret)
		ret = vmdk_sync(img, &err);
	if (!ret)
		ret = vmdk_close(img, &err);
	vd_host_free(host);
	if (ret)
		return no("cannot be written again: %.200s", err.msg);
	for (unsigned i = 0; i < CUT_FILES; i++)
		cut_load(&after[i], cut_path[i]);
	if (unclean(kind->esx ? &after[1] : after))
		return no("not clean after a close");
	return check_files(after, at);
}

static bool
judge(const struct cut_file *f, unsigned at)
{
	return check_files(f, at) && check_reopen(f, at);
}

static void
test_one(void)
{
	unsigned tried = 0;
	int ret;

	cut_forget();
	cut_nversions = cut_nflushes = 0;
	cut_quiet = false;
	vd_err_clear(&err);
	make_start();
	ret = drive();
	is_int(ret, 0, "%s: %u writes, %u flushes, %u changes: %s", kind->name,
	       cut_nversions, cut_nflushes, cut_n, err.msg);
	is_int(cut_everywhere(start, &tried, judge), 0,
	       "%s: no power cut breaks an invariant", kind->name);
	ok(tried > 1000, "%s: %u power cuts", kind->name, tried);
	cut_without_syncs();
	cut_quiet = true;
	ok(cut_everywhere(start, &tried, judge) > 0,
	   "%s: without syncs it would", kind->name);
}

int
main(void)
{
	char shm[] = "/dev/shm/vmdk-crash.XXXXXX";
	char tmp[] = "/tmp/vmdk-crash.XXXXXX", *dir = mkdtemp(shm);
	char image[64], delta[64];

	if (!dir)
		dir = mkdtemp(tmp);
	if (!dir)
		plan_skip_all("no temporary folder");
	snprintf(image, sizeof(image), "%s/x.vmdk", dir);
	snprintf(delta, sizeof(delta), "%s/delta", dir);
	cut_path[0] = image;
	cut_path[1] = delta;
	for (kind = kinds; kind < kinds + sizeof(kinds) / sizeof(*kinds);
	     kind++)
		test_one();
	cut_forget();
	unlink(image);
	unlink(delta);
	rmdir(dir);
	return done_testing();
}
