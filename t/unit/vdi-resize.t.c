/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdi-resize.t.c - a resize that is cut short leaves the old disk or the new one. */
/* objects: plugins/vdi/header.o plugins/vdi/probe.o plugins/vdi/image.o plugins/vdi/scan.o plugins/vdi/write.o plugins/vdi/create.o plugins/vdi/child.o plugins/vdi/resize.o plugins/vdi/audit.o plugins/vdi/audit-layout.o plugins/vdi/check.o plugins/vdi/repair.o core/error.o core/flaw.o core/file.o core/host.o core/iov.o core/journal.o core/lock.o core/table.o */
#include "t/unit/vdi-bench.h"

static uint64_t old_size, new_size;
static const char *old_content, *new_content;
static const char *gone_content;	/* the old one, what is cut off given up */

/* Either of the two, for readers and for writers. */
static bool
old_or_new(unsigned at)
{
	struct bench_image b;
	bool good = true;

	(void)at;
	for (int flags = 0; flags <= VD_OPEN_RDONLY && good; flags++) {
		good = !bench_open(&b, (unsigned)flags) &&
			((b.info.virtual_size == old_size &&
			  (bench_reads(&b, old_content) ||
			   (gone_content && bench_reads(&b, gone_content)))) ||
			 (b.info.virtual_size == new_size &&
			  bench_reads(&b, new_content)));
		if (!good)
			diag("%llu bytes: %s %s",
			     (unsigned long long)b.info.virtual_size,
			     b.img ? bench_content(&b) : "", bench_err.msg);
		bench_close(&b);
	}
	return good;
}

static int
resize(uint64_t blocks)
{
	struct bench_image b;
	int ret = bench_open(&b, 0);

	if (!ret)
		ret = vdi_resize(b.img, blocks * 512, &bench_err);
	if (!ret && !bench_reads(&b, new_content))
		ret = vd_fail(&bench_err, EIO, VD_NOWHERE,
			      "the open image reads %s", bench_content(&b));
	bench_close(&b);
	return ret;
}

/* And what is written into a block nobody had stays there. */
static int
write_last(char byte)
{
	struct vd_alloc a = { 0 };
	struct bench_image b;
	uint8_t bytes[512];
	int ret = bench_open(&b, 0);

	memset(bytes, byte, sizeof(bytes));
	if (!ret)
		ret = vdi_begin_write(b.img, &bench_err);
	if (!ret)
		ret = vdi_allocate(b.img, new_size - 512, &a, &bench_err);
	if (!ret)
		ret = vd_file_write(a.file, bytes, 512, a.host_off, &bench_err);
	if (!ret)
		ret = vdi_commit(b.img, &a, &bench_err);
	bench_close(&b);
	return ret;
}

static void
changes(const char *what, struct vdi_header h, const char *map,
	const char *before, uint64_t blocks, const char *after)
{
	static struct bench_file start;
	unsigned tried = 0, bad;
	struct bench_report r;
	struct bench_image b;
	int ret;

	bench_make(&start, &h, map);
	old_content = before;
	new_content = after;
	ret = bench_open(&b, 0);
	old_size = b.info.virtual_size;
	new_size = blocks * 512;
	bench_close(&b);
	bench_forget();
	bench_on = true;
	ret = ret ? ret : resize(blocks);
	bench_on = false;
	ok(!ret, "%s: done %s", what, bench_err.msg);
	ret = bench_open(&b, VD_OPEN_RDONLY);
	ok(!ret && b.info.virtual_size == new_size && bench_reads(&b, after),
	   "%s: %llu bytes, reads %s (%s)", what,
	   (unsigned long long)b.info.virtual_size, after,
	   b.img ? bench_content(&b) : bench_err.msg);
	bench_close(&b);
	ret = bench_check(&r, NULL);
	ok(!ret && !r.findings, "%s: check is silent (%s)", what, r.text);
	if (new_size > old_size && h.type != VDI_FIXED)
		ok(!write_last('z') && !bench_check(&r, NULL) && !r.findings,
		   "%s: the new end can be written %s (%s)", what,
		   bench_err.msg, r.text);
	bad = bench_cuts(&start, &tried, old_or_new);
	is_int(bad, 0, "%s: at each of %u power cuts the old or the new",
	       what, tried);
}

/* Cut short at every point, and done again: the second run ends well. */
static uint64_t again_blocks;

static bool
done_again(unsigned at)
{
	struct bench_report r;

	(void)at;
	if (resize(again_blocks) || bench_check(&r, NULL) ||
	    r.severity == VD_DAMAGE) {
		diag("again: %s%s", bench_err.msg, r.text);
		return false;
	}
	return old_or_new(at);
}

static void
again(const char *what, const char *map, const char *before, uint64_t blocks,
      const char *after)
{
	static struct bench_file start;
	unsigned tried = 0, bad;

	bench_make(&start, &(struct vdi_header){ 0 }, map);
	again_blocks = blocks;
	old_content = before;
	new_content = after;
	old_size = strlen(map) * 512;
	new_size = blocks * 512;
	bench_forget();
	bench_on = true;
	ok(!resize(blocks), "%s: done %s", what, bench_err.msg);
	bench_on = false;
	bad = bench_cuts(&start, &tried, done_again);
	is_int(bad, 0, "%s: cut %u times and done again", what, tried);
}

static void
refuses(const char *what, struct vdi_header h, const char *map, uint64_t bytes,
	const char *why)
{
	static struct bench_file start, after;
	struct bench_image b;
	int ret;

	bench_make(&start, &h, map);
	ret = bench_open(&b, 0);
	ret = ret ? 0 : vdi_resize(b.img, bytes, &bench_err);
	ok(ret < 0 && strstr(bench_err.msg, why), "%s: %s", what,
	   bench_err.msg);
	bench_close(&b);
	bench_read(&after);
	/* A new uuidModify is all that may have changed. */
	memcpy(after.bytes + VDI_OFF_MODIFY, start.bytes + VDI_OFF_MODIFY, 16);
	ok(!memcmp(&start, &after, sizeof(start)), "%s: untouched", what);
}

int
main(void)
{
	struct vdi_header none = { 0 };

	bench_begin();
	changes("a block more", none, "ca.b0", "AB.D.", 6, "AB.D..");
	changes("as far as the map has room", none, "ca.b0", "AB.D.", 128,
		"AB.D*");
	changes("one further: the map moves", none, "ca.b0", "AB.D.", 129,
		"AB.D*");
	changes("far", none, "ca.b0", "AB.D.", 1500, "AB.D*");
	changes("a full image, far", none, "cabd", "ABCD", 1500, "ABCD*");
	changes("an empty one", none, "....", "....", 1500, "*");
	changes("a child", (struct vdi_header){ .type = VDI_DIFF,
		.link = { 7 } }, "b.a", "A^C", 9, "A^C......");
	changes("a child, far", (struct vdi_header){ .type = VDI_DIFF,
		.link = { 7 } }, "b.a", "A^C", 1000, "A^C*");
	changes("a fixed image", (struct vdi_header){ .type = VDI_FIXED },
		"abcd", "ABCD", 7, "ABCD...");
	changes("a fixed image, its map moves", (struct vdi_header){
		.type = VDI_FIXED, .data_off = 528 }, "abcd", "ABCD", 9,
		"ABCD.....");
	changes("a map under the second geometry", (struct vdi_header){
		.map_off = 457, .data_off = 473 }, "cadb", "ABCD", 8,
		"ABCD....");
	changes("prefixes, all odd", (struct vdi_header){ .extra = 64,
		.map_off = 475, .data_off = 777 }, "cadb", "ABCD", 400,
		"ABCD*");
	changes("shorter", none, "ca.b0..", "AB.D...", 4, "AB.D");
	changes("shorter, from high places", none, "hg.f....", "AB.D....", 4,
		"AB.D");
	gone_content = "ABC.....";
	changes("shorter, and what is cut off has data", none, "hgfe.cba",
		"ABCD.FGH", 3, "ABC");
	gone_content = "A...";
	changes("a fixed image, shorter", (struct vdi_header){
		.type = VDI_FIXED }, "dcba", "ABCD", 1, "A");
	gone_content = NULL;
	changes("a child, shorter", (struct vdi_header){ .type = VDI_DIFF,
		.link = { 7 } }, "b.a0.", "A^C.^", 3, "A^C");
	/* Behind the old end are D's, and now they are zeros: neither. */
	changes("a disk that ended inside a block", (struct vdi_header){
		.block = 2048, .disk = 3 * 2048 + 512 }, "cadb", "ABCD", 20,
		"ABC?.");
	changes("the same with a moving map", (struct vdi_header){
		.block = 2048, .disk = 3 * 2048 + 512, .data_off = 528 },
		"cadb", "ABCD", 20, "ABC?.");
	again("far", "ca.b0", "AB.D.", 600, "AB.D*");
	again("a full image", "cabd", "ABCD", 600, "ABCD*");
	again("shorter", "hg.f....", "AB.D....", 4, "AB.D");
	gone_content = "ABC.....";
	again("shorter, with data behind", "hgfe.cba", "ABCD.FGH", 3, "ABC");

	refuses("no size", none, "ab", 0, "multiple of 512");
	refuses("half a sector", none, "ab", 700, "multiple of 512");
	refuses("more blocks than we serve", none, "ab", 512ull << 29,
		"more than");
	return bench_end();
}
