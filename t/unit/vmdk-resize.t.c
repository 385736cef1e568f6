/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmdk-resize.t.c - a resize or a relink that is cut short leaves the old or the new. */
/* objects: plugins/vmdk/text.o plugins/vmdk/desc.o plugins/vmdk/edit.o plugins/vmdk/header.o plugins/vmdk/sparse.o plugins/vmdk/verify.o plugins/vmdk/check.o plugins/vmdk/audit.o plugins/vmdk/audit-part.o plugins/vmdk/audit-head.o plugins/vmdk/audit-directory.o plugins/vmdk/audit-lost.o plugins/vmdk/audit-overhead.o plugins/vmdk/audit-tables.o plugins/vmdk/audit-grains.o plugins/vmdk/audit-entry.o plugins/vmdk/audit-leaks.o plugins/vmdk/audit-cowd.o plugins/vmdk/audit-sesparse.o plugins/vmdk/audit-stream.o plugins/vmdk/audit-footer.o plugins/vmdk/stream-bytes.o plugins/vmdk/mend-stream.o plugins/vmdk/audit-desc.o plugins/vmdk/audit-rebuild.o plugins/vmdk/image.o plugins/vmdk/extent.o plugins/vmdk/stream.o plugins/vmdk/cowd.o plugins/vmdk/sesparse.o plugins/vmdk/write.o plugins/vmdk/rewrite.o plugins/vmdk/discard.o plugins/vmdk/resize.o plugins/vmdk/split.o plugins/vmdk/create.o plugins/vmdk/custom.o plugins/vmdk/compose.o plugins/vmdk/child.o core/error.o core/flaw.o core/file.o core/host.o core/iov.o core/journal.o core/lock.o core/rewrite.o core/table.o */
/*
 * Small images, cut at every change (t/lib/cuts.h, torn sectors included),
 * must open as the disk that was or as the one that was asked for; and the same
 * call again must end well.
 */
#include <errno.h>
#include <stdlib.h>
#include <tap.h>

#define CUT_FILE_MAX	(320u << 10)
#define CUT_FILES	1
#define CUT_UNITS	1
#include "t/lib/cuts.h"
#include "plugins/vmdk/vmdk.h"

#define GTES	16u
#define DESC	3u		/* sectors of text */

/* What an image starts as. */
struct shape {
	uint64_t	sectors;	/* of the disk */
	uint64_t	grain;		/* sectors */
	bool		child, plain;	/* plain: one copy of the tables */
	const char     *content;	/* a letter a grain, '.' none */
	bool		odd;		/* entries behind the end, and dirt */
};

static struct cut_file start;
static struct vd_err err;
static void *img;
static struct vd_host *host;
static struct vd_image_info info;

/* ------------------------------------------------------------- the images */

static void
put32(uint64_t off, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		start.b[off + i] = (uint8_t)(v >> 8 * i);
}

static void
put_tables(const struct vmdk_header *h, uint64_t dir, uint64_t tables)
{
	uint64_t first = dir + (tables * 4 + 511) / 512;

	for (uint64_t i = 0; i < tables; i++)
		put32(dir * 512 + 4 * i, (uint32_t)(first + i *
						    vmdk_gt_sectors(h)));
}

static void
put_entry(const struct vmdk_header *h, uint64_t g, uint32_t sector)
{
	uint64_t tables = vmdk_header_tables(h);
	uint64_t dirs[2] = { h->gd_sector, h->rgd_sector };

	for (int i = 0; i < (h->flags & VMDK_F_RGD ? 2 : 1); i++)
		put32((dirs[i] + (tables * 4 + 511) / 512 + g / GTES) * 512 +
		      g % GTES * 4, sector);
}

static void
make(const struct shape *s)
{
	struct vmdk_header h;
	uint64_t tables, dir;

	vmdk_header_layout(&h, s->sectors, s->grain);
	h.desc_sectors = DESC;
	h.gtes = GTES;
	if (s->plain)
		h.flags &= ~VMDK_F_RGD;
	tables = vmdk_header_tables(&h);
	dir = (tables * 4 + 511) / 512;
	h.rgd_sector = 1 + DESC;
	h.gd_sector = h.rgd_sector + dir + tables;
	h.overhead = (h.gd_sector + dir + tables + s->grain - 1) / s->grain *
		     s->grain;
	memset(&start, 0, sizeof(start));
	vmdk_header_encode(&h, start.b);
	snprintf((char *)start.b + 512, DESC * 512, "# Disk DescriptorFile\n"
		 "version=1\nCID=12345678\nparentCID=%s\n"
		 "createType=\"monolithicSparse\"\n%s\nRW %ju SPARSE \"x\"\n"
		 "# %0450d\nddb.geometry.cylinders = \"1\"\n"
		 "ddb.geometry.heads = \"1\"\nddb.geometry.sectors = \"4\"\n"
		 "ddb.uuid.parent = \"%s\"\n", s->child ? "11111111"
		 : "ffffffff", s->child ? "parentFileNameHint=\"old\"" : "#",
		 (uintmax_t)s->sectors, 0, s->child
		 ? "11111111-2222-4333-8444-555555555555" : VMDK_UUID_NIL);
	put_tables(&h, h.gd_sector, tables);
	if (!s->plain)
		put_tables(&h, h.rgd_sector, tables);
	start.size = h.overhead * 512;
	for (uint64_t g = 0; s->content[g]; g++) {
		if (s->content[g] == '.')
			continue;
		put_entry(&h, g, (uint32_t)(start.size / 512));
		memset(start.b + start.size, s->content[g], s->grain * 512);
		start.size += s->grain * 512;
	}
	if (s->odd)
		put_entry(&h, tables * GTES - 1, (uint32_t)(h.overhead));
}

static int
open_image(unsigned flags)
{
	struct vd_file *file;
	int ret;

	vd_err_clear(&err);
	img = NULL;
	info = (struct vd_image_info){ .size = sizeof(info) };
	ret = vd_host_new(cut_path[0], VD_DISK_BATCH |
			  (flags & VD_OPEN_RDONLY ? VD_DISK_RDONLY : 0),
			  &host, &err);
	if (!ret)
		ret = vd_host_open_main(host, cut_path[0], &file, &err);
	if (!ret)
		ret = vmdk_open(host, file, flags, &info, &img, &err);
	return ret;
}

static int
close_image(void)
{
	int ret = 0;

	if (img) {
		ret = vmdk_sync(img, &err);
		ret = vmdk_close(img, &err) ? -1 : ret;
	}
	vd_host_free(host);
	return ret;
}

/* A letter a sector: what it is full of, '.' zeros or nothing, '?' a mixture. */
static const char *
content(void)
{
	static char text[4096];
	size_t n = 0;

	for (uint64_t off = 0; off < info.virtual_size && n < 4095;
	     off += 512) {
		struct vd_extent e = { 0 };
		uint8_t b[512] = { 0 };

		if (vmdk_map(img, off, 512, &e, &err))
			return "unmapped";
		if (e.kind == VD_EXT_DATA &&
		    vd_file_read(e.file, b, 512, e.host_off, &err))
			return "unread";
		text[n++] = memcmp(b, b + 1, 511) ? '?' : b[0] ? (char)b[0]
			    : '.';
	}
	text[n] = '\0';
	return text;
}

/* ------------------------------------------------------------ the opinions */

struct tally {
	struct vd_report r;		/* first */
	unsigned	damage, leaks;
	char		first[200];
};

static void
count(struct vd_report *r, const struct vd_finding *f)
{
	struct tally *t = (struct tally *)r;

	if (f->severity == VD_DAMAGE && !t->damage++)
		snprintf(t->first, sizeof(t->first), "%s: %s", f->code,
			 f->text);
	t->leaks += f->severity == VD_LEAK;
}

static bool
undamaged(void)
{
	struct tally t = { .r = { .size = sizeof(t.r), .finding = count } };
	int ret = open_image(VD_OPEN_RDONLY | VD_OPEN_CHECK);

	if (!ret)
		ret = vmdk_check(img, &t.r, &err);
	vmdk_close(img, NULL);
	vd_host_free(host);
	if (ret || t.damage)
		return no("check: %.150s%.100s", t.first, err.msg);
	return true;
}

static uint64_t old_sectors, new_sectors;
static char *old_content, *new_content;
static const char *gone_content;	/* the old one, its end given up */

static bool
old_or_new(void)
{
	const char *c = content();
	uint64_t sectors = info.virtual_size / 512;

	return (sectors == old_sectors && (!strcmp(c, old_content) ||
		(gone_content && !strcmp(c, gone_content)))) ||
	       (sectors == new_sectors && !strcmp(c, new_content)) ||
	       no("%ju sectors: %.64s", (uintmax_t)sectors, c);
}

static bool
judge_open(unsigned flags)
{
	bool good = !open_image(flags);

	good = good ? old_or_new() : no("does not open: %.200s", err.msg);
	if (close_image() && good)
		good = no("does not close: %.200s", err.msg);
	return good;
}

static int
resize(uint64_t sectors)
{
	int ret = open_image(0), ret2;

	if (!ret)
		ret = vmdk_begin_write(img, &err);
	if (!ret)
		ret = vmdk_resize(img, sectors * 512, &err);
	info.virtual_size = sectors * 512;
	if (!ret && strcmp(content(), new_content))
		ret = vd_fail(&err, EIO, VD_NOWHERE, "the open disk reads %s",
			      content());
	ret2 = close_image();
	return ret ? ret : ret2;
}

static bool
judge_resize(const struct cut_file *f, unsigned at)
{
	(void)at;
	cut_save(f, cut_path[0]);
	if (!judge_open(VD_OPEN_RDONLY) || !judge_open(0) || !undamaged())
		return false;
	cut_save(f, cut_path[0]);
	if (resize(new_sectors))
		return no("again: %.200s", err.msg);
	gone_content = NULL;
	return judge_open(VD_OPEN_RDONLY) && undamaged();
}

/* "ab.." by grains -> a letter a sector, `sectors` of them. */
static char *
spread(const char *s, uint64_t grain, uint64_t sectors)
{
	char *out = calloc(1, sectors + 1);

	if (!out)
		abort();
	memset(out, '.', sectors);
	for (uint64_t i = 0; i < sectors && i / grain < strlen(s); i++)
		out[i] = s[i / grain];
	return out;
}

/* As it is open, and as the file has it; what a cut gives up may be gone. */
static bool
is_one(bool new)
{
	const char *want = new ? new_content : old_content, *c;

	info.virtual_size = (new ? new_sectors : old_sectors) * 512;
	c = content();
	for (uint64_t i = 0; want[i]; i++)
		if (c[i] != want[i] && (c[i] != '.' || i < new_sectors))
			return no("it reads %.64s", c);
	return true;
}

/* One change fails, the others do not: the old disk, and it can be used. */
static bool
one_fails(unsigned n, bool *through)
{
	int ret;

	cut_save(&start, cut_path[0]);
	if (open_image(0) || vmdk_begin_write(img, &err))
		return no("open: %.200s", err.msg);
	cut_on = true;
	cut_fails = n;
	ret = vmdk_resize(img, new_sectors * 512, &err);
	*through = cut_fails;
	cut_on = false;
	cut_fails = 0;
	if (ret ? !err.msg[0] : false)
		return no("failed without a reason");
	if (!is_one(!ret))
		return false;
	if (close_image())
		return no("close: %.200s", err.msg);
	if (open_image(VD_OPEN_RDONLY))
		return no("open again: %.200s", err.msg);
	if (info.virtual_size / 512 != (ret ? old_sectors : new_sectors) ||
	    !is_one(!ret))
		return no("opened again: %ju sectors",
			  (uintmax_t)info.virtual_size / 512);
	close_image();
	return undamaged();
}

static void
each_fails(const char *what)
{
	unsigned n = 0;
	bool through = false, good = true;

	cut_why[0] = 0;
	while (good && !through && ++n < 1000)
		good = one_fails(n, &through);
	ok(good && n > 3, "%s: one of %u changes fails, each in turn: %u %s",
	   what, n, good ? 0 : n, cut_why);
}

static void
changes(const char *what, struct shape s, uint64_t sectors)
{
	unsigned tried = 0, bad;
	int ret;

	old_sectors = s.sectors;
	new_sectors = sectors;
	old_content = spread(s.content, s.grain, s.sectors);
	new_content = spread(s.content, s.grain, sectors);
	for (uint64_t i = s.sectors; i < sectors; i++)
		new_content[i] = '.';
	gone_content = NULL;
	make(&s);
	cut_save(&start, cut_path[0]);
	cut_forget();
	cut_on = true;
	ret = resize(sectors);
	cut_on = false;
	is_int(ret, 0, "%s: done %s", what, err.msg);
	ok(judge_open(VD_OPEN_RDONLY) && info.virtual_size == sectors * 512,
	   "%s: %s", what, cut_why);
	ok(undamaged(), "%s: check finds no damage", what);
	bad = cut_everywhere(&start, &tried, judge_resize);
	is_int(bad, 0, "%s: at each of %u power cuts the old or the new",
	       what, tried);
	each_fails(what);
	free(old_content);
	free(new_content);
}

/* ---------------------------------------------------------------- relink */

static const char *const parents[] = {
	"old", "a-name-that-is-a-good-deal-longer-than-the-old-one", "",
};
static unsigned to_parent;

static int
relink(unsigned to)
{
	struct vd_parent p = { .size = sizeof(p) };
	int ret = open_image(0), ret2;

	snprintf(p.hint, sizeof(p.hint), "%s", parents[to]);
	snprintf(p.expected.content, VD_ID_MAX, "abcdef%02x", to);
	snprintf(p.expected.id, VD_ID_MAX, "%08u-2222-4333-8444-555555555555",
		 to);
	if (!ret)
		ret = vmdk_relink(img, parents[to][0] ? &p : NULL, &err);
	ret2 = close_image();
	return ret ? ret : ret2;
}

/* All three references are one parent's. */
static bool
is_parent(unsigned to)
{
	struct vd_parent p = { .size = sizeof(p) };
	char id[VD_ID_MAX], cid[VD_ID_MAX];

	if (!parents[to][0])
		return !(info.flags & VD_IMG_CHILD);
	if (!(info.flags & VD_IMG_CHILD) || vmdk_parent(img, &p, NULL))
		return false;
	snprintf(id, sizeof(id), "%08u-2222-4333-8444-555555555555",
		 to ? to : 11111111);
	snprintf(cid, sizeof(cid), to ? "abcdef%02x" : "11111111", to);
	return !strcmp(p.hint, parents[to]) && !strcmp(p.expected.id, id) &&
	       !strncmp(p.expected.content, cid, 8);
}

static bool
judge_parents(bool only_new)
{
	bool good = !open_image(VD_OPEN_RDONLY);

	good = !good ? no("does not open: %.200s", err.msg) :
	       is_parent(to_parent) || (!only_new && is_parent(0)) ||
	       no("%s parent", only_new ? "not the new" : "a mixed");
	close_image();
	return good;
}

static bool
judge_relink(const struct cut_file *f, unsigned at)
{
	static struct cut_file after;

	(void)at;
	cut_save(f, cut_path[0]);
	if (!judge_parents(false) || !undamaged())
		return false;
	if (relink(to_parent))
		return no("again: %.200s", err.msg);
	cut_load(&after, cut_path[0]);
	if (after.b[28] != 1 && to_parent)
		return no("the text did not come home");
	return judge_parents(true) && undamaged();
}

static void
relinks(unsigned to, struct shape s)
{
	static struct cut_file after;
	unsigned tried = 0, bad;

	to_parent = to;
	make(&s);
	cut_save(&start, cut_path[0]);
	cut_forget();
	cut_on = true;
	is_int(relink(to), 0, "relink to \"%s\": %s", parents[to], err.msg);
	cut_on = false;
	cut_why[0] = 0;
	ok(judge_parents(true), "is read again: %s", cut_why);
	cut_load(&after, cut_path[0]);
	ok(after.size == start.size && after.b[28] == 1, "all in its place");
	bad = cut_everywhere(&start, &tried, judge_relink);
	is_int(bad, 0, "at each of %u power cuts the old parent or the new", tried);
	cut_without_syncs();
	cut_quiet = true;
	ok(cut_everywhere(&start, &tried, judge_relink) > 0,
	   "without syncs it would be neither");
	cut_quiet = false;
}

int
main(void)
{
	char shm[] = "/dev/shm/vmdk-resize.XXXXXX";
	char tmp[] = "/tmp/vmdk-resize.XXXXXX";
	struct shape s = { .sectors = 40, .grain = 1, .content = "ab.d" };

	if (!cut_place(shm, tmp, &cut_path[0]))
		plan_skip_all("no temporary file");
	changes("no new table", s, 45);
	changes("a table more", s, 60);
	changes("as far as the directory has room", s, 128 * GTES);
	changes("one further: it moves", s, 128 * GTES + 1);
	s.plain = true;
	changes("one copy, far", s, 128 * GTES + 1);
	s.plain = false;
	s.odd = true;
	changes("with entries behind the end", s, 60);
	changes("inside half a grain", (struct shape){ .sectors = 7,
		.grain = 4, .content = "ab", .odd = true }, 30);
	s = (struct shape){ .sectors = 40, .grain = 1, .child = true,
			    .content = "ab.d" };
	changes("a child", s, 60);
	s.content = "ab.d........................e.f";
	changes("shorter", s, 10);
	s.child = false;
	changes("a base, shorter", s, 31);
	s = (struct shape){ .sectors = 40, .grain = 1, .child = true,
			    .content = "ab.d" };
	relinks(1, s);
	relinks(2, s);
	cut_forget();
	unlink(cut_path[0]);
	return done_testing();
}
