/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdi-check.t.c - each damage is found, named and mended; a sound image is left in peace. */
/* objects: plugins/vdi/header.o plugins/vdi/probe.o plugins/vdi/image.o plugins/vdi/scan.o plugins/vdi/write.o plugins/vdi/create.o plugins/vdi/child.o plugins/vdi/resize.o plugins/vdi/audit.o plugins/vdi/audit-layout.o plugins/vdi/check.o plugins/vdi/repair.o core/error.o core/file.o core/flaw.o core/host.o core/iov.o core/journal.o core/lock.o core/table.o */
#include "t/unit/vdi-bench.h"

/* The patient: blocks A B C free E zero G free, in slots 0 1 2 . 4 . 3 . */
#define MAP	"abc.e0d."
#define CONTENT	"ABC.E.G."
#define E(i)	(512 + 4 * (i))
#define SLOT(n)	(1024 + 512 * (n))

struct poke {
	uint32_t	off, value;
};

/* What is done to it, what check says, what it reads as when mended. */
struct damage {
	const char     *what;
	const char     *code;
	uint32_t	severity;
	uint64_t	off;
	const char     *after;		/* NULL: cannot be mended */
	struct poke	poke[4];	/* off 0: no more */
	uint64_t	len;		/* of the file, 0: as it was */
	const char     *map;		/* NULL: MAP */
};

#define CHILD	{ 76, 4 }, { 424, 7 }

/* What a line does not say is nothing. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

static const struct damage damages[] = {
	/* the header */
	{ "a header length that is none", "vdi-header-length", VD_DAMAGE, 72,
	  CONTENT, { { 72, 100 } } },
	{ "no type", "vdi-type", VD_DAMAGE, 76, CONTENT, { { 76, 0 } } },
	{ "a type of tomorrow, with a parent", "vdi-type", VD_DAMAGE, 76,
	  "ABC^E.G^", { { 76, 9 }, { 424, 7 } } },
	{ "flags of tomorrow", "vdi-flags", VD_DAMAGE, 80, CONTENT,
	  { { 80, 0x10 } } },
	{ "no sector size", "vdi-sector-size", VD_NOTE, 360, CONTENT,
	  { { 360, 0 } } },
	{ "large sectors", "vdi-sector-size", VD_NOTE, 360, CONTENT,
	  { { 360, 4096 } } },
	{ "no sector size in the second geometry", "vdi-lchs-sector-size",
	  VD_NOTE, 468, CONTENT, { { 468, 0 } } },
	{ "an odd size", "vdi-odd-size", VD_NOTE, 368, CONTENT,
	  { { 368, 4096 + 7 }, { 384, 9 }, { E(8), VDI_FREE } } },
	{ "no size", "vdi-disk-size", VD_DAMAGE, 368, CONTENT, { { 368, 0 } } },
	{ "an impossible size", "vdi-disk-size", VD_DAMAGE, 368, CONTENT,
	  { { 372, 0xff000000 } } },
	{ "a block size that is no power of two", "vdi-block-size", VD_DAMAGE,
	  376, CONTENT, { { 376, 513 } } },
	{ "no block size", "vdi-block-size", VD_DAMAGE, 376, CONTENT,
	  { { 376, 0 } } },
	{ "a prefix that is no power of two", "vdi-block-extra", VD_DAMAGE,
	  380, CONTENT, { { 380, 3 } } },
	{ "a block count that is too low", "vdi-block-count", VD_DAMAGE, 384,
	  CONTENT, { { 384, 7 } } },
	{ "no blocks at all", "vdi-block-count", VD_DAMAGE, 384, CONTENT,
	  { { 384, 0 } } },
	{ "more blocks than the map has room for", "vdi-block-count",
	  VD_DAMAGE, 384, CONTENT, { { 384, 4096 } } },
	{ "a map inside the header", "vdi-map-offset", VD_DAMAGE, 340,
	  CONTENT, { { 340, 100 } } },
	{ "a map behind the data", "vdi-map-offset", VD_DAMAGE, 340,
	  CONTENT, { { 340, 0x40000000 } } },
	{ "data over the map", "vdi-data-offset", VD_DAMAGE, 344, CONTENT,
	  { { 344, 520 } } },
	{ "no data offset", "vdi-data-offset", VD_DAMAGE, 344, CONTENT,
	  { { 344, 0 }, { 340, 512 } } },
	{ "no UUID", "vdi-uuid", VD_DAMAGE, 392, CONTENT, { { 392, 0 } } },
	{ "no UUID of the content", "vdi-uuid-modify", VD_DAMAGE, 408,
	  CONTENT, { { 408, 0 } } },
	{ "a parent, but type dynamic", "vdi-type-parent", VD_NOTE, 76,
	  "ABC^E.G^", { { 424, 7 } } },
	{ "content of a parent that is not named", "vdi-parent-modify",
	  VD_NOTE, 440, CONTENT, { { 440, 7 } } },
	{ "a child without parent", "vdi-parent-missing", VD_DAMAGE, 424, NULL,
	  { { 76, 4 } } },
	{ "its own parent", "vdi-parent-self", VD_DAMAGE, 424, NULL,
	  { { 76, 4 }, { 424, 1 } } },
	{ "a cut header", "vdi-header-cut", VD_DAMAGE, 400, NULL, { { 0 } }, 400 },
	{ "a cut map", "vdi-map-cut", VD_DAMAGE, 384, NULL, { { 0 } }, 530 },

	/* the count */
	{ "a count that is too low", "vdi-count-low", VD_DAMAGE, 388, CONTENT,
	  { { 388, 2 } } },
	{ "no count", "vdi-count-low", VD_DAMAGE, 388, CONTENT, { { 388, 0 } } },
	{ "a count that is too high", "vdi-count-high", VD_LEAK, 388, CONTENT,
	  { { 388, 7 } } },
	{ "a count of more than there are", "vdi-count-range", VD_DAMAGE, 388,
	  CONTENT, { { 388, 9 } } },
	{ "a count of minus one", "vdi-count-range", VD_DAMAGE, 388, CONTENT,
	  { { 388, 0xffffffff } } },

	/* the map */
	{ "two blocks in one place", "vdi-duplicate-block", VD_DAMAGE, E(1),
	  "AAC.E.G.", { { E(1), 0 } } },
	{ "three blocks in one place", "vdi-duplicate-block", VD_DAMAGE, E(1),
	  "AAA.E.G.", { { E(1), 0 }, { E(2), 0 } } },
	{ "two blocks in the last place, the rest full", "vdi-duplicate-block",
	  VD_DAMAGE, E(7), "ABCDEFGG", { { E(7), 6 } }, 0, "abcdefgh" },
	{ "a shared place in a child", "vdi-duplicate-block", VD_DAMAGE, E(3),
	  "ABCCE.G^", { CHILD, { E(3), 2 } } },
	{ "a place past the last", "vdi-slot-range", VD_DAMAGE, E(3), CONTENT,
	  { { E(3), 8 } } },
	{ "a wild place", "vdi-slot-range", VD_DAMAGE, E(3), CONTENT,
	  { { E(3), 0xfffffffd } } },
	{ "a wild place in a child", "vdi-slot-range", VD_DAMAGE, E(3),
	  "ABC.E.G^", { CHILD, { E(3), 0x10000000 } } },
	{ "a place past the last that the file has", "vdi-slot-range",
	  VD_DAMAGE, E(3), "ABCXE.G.", { { E(3), 9 }, { SLOT(9), 0x58585858 } },
	  SLOT(10) },
	{ "a place past the end of the file", "vdi-block-lost", VD_DAMAGE, E(3),
	  CONTENT, { { E(3), 7 } } },
	{ "a file that lost its last block", "vdi-block-lost", VD_DAMAGE, E(4),
	  "ABC...G.", { { 0 } }, SLOT(4) },
	{ "the signature lost", "vdi-signature", VD_DAMAGE, 64, CONTENT,
	  { { 64, 0 } }, 0 },
	{ "a child that lost its last block", "vdi-block-lost", VD_DAMAGE, E(4),
	  "ABC^..G^", { CHILD }, SLOT(4) },
	{ "a file that lost its last blocks and half of another",
	  "vdi-block-cut", VD_DAMAGE, E(2), "AB?.....", { { 0 } },
	  SLOT(2) + 256 },
	{ "a file that lost all blocks", "vdi-block-lost", VD_DAMAGE, E(0),
	  "........", { { 0 } }, 1024 },
	{ "a place that no block has", "vdi-unused-place", VD_LEAK, SLOT(1),
	  "A.C.E.G.", { { E(1), VDI_FREE } } },
	{ "three of them", "vdi-unused-place", VD_LEAK, SLOT(0), "....E...",
	  { { E(0), VDI_FREE }, { E(1), VDI_ZERO }, { E(2), VDI_FREE },
	    { E(6), VDI_FREE } } },
	{ "a block behind the end of the disk", "vdi-surplus-block", VD_LEAK,
	  E(8), CONTENT, { { 384, 9 }, { E(8), 5 }, { 388, 6 } }, SLOT(6) },
	{ "bytes behind the last block", "vdi-tail", VD_LEAK, SLOT(5), CONTENT,
	  { { SLOT(5), 0x58585858 } }, SLOT(6) },
	{ "a few bytes behind it", "vdi-tail", VD_LEAK, SLOT(5), CONTENT,
	  { { 0 } }, SLOT(5) + 9 },
	{ "all at once: head, count and map", "vdi-block-size", VD_DAMAGE,
	  376, "ABBXE.G.", { { 376, 0 }, { E(2), 1 }, { E(3), 9 },
	  { SLOT(9), 0x58585858 } }, SLOT(10) },
};

/* ------------------------------------------------------------------ damages */

static void
fill_pattern(struct bench_file *f, const struct poke *p)
{
	/* A poke into the data stands for its whole block. */
	if (p->off >= 1024 && p->off + 512 <= f->size)
		memset(f->bytes + p->off, (int)(p->value & 0xff), 512);
}

static void
injure(struct bench_file *f, const struct damage *d)
{
	static const struct vdi_header plain;

	bench_make(f, &plain, d->map ? d->map : MAP);
	if (d->len)
		f->size = d->len;
	for (unsigned i = 0; i < 4 && d->poke[i].off; i++) {
		vdi_put32(f->bytes + d->poke[i].off, d->poke[i].value);
		fill_pattern(f, &d->poke[i]);
	}
	memset(f->bytes + f->size, 0, BENCH_FILE_MAX - f->size);
	bench_save(f);
}

static void
found(const struct damage *d)
{
	struct bench_report r;
	int ret = bench_check(&r, d->code);

	ok(!ret && r.sought, "%s: %s (%s%s)", d->what, d->code,
	   bench_err.msg, r.text);
	is_int(r.severity >= d->severity ? r.off : ~0ull, d->off,
	       "%s: and where", d->what);
}

/* Without leave nothing is written, not even a little. */
static void
asked(const struct damage *d, const struct bench_file *f)
{
	static struct bench_file after;
	struct bench_report r;
	int ret = bench_repair(&r, d->code, false);

	bench_read(&after);
	ok(!ret && r.sought && !memcmp(f, &after, sizeof(after)),
	   "%s: repair asks first (%s%s)", d->what, bench_err.msg, r.text);
}

static const char *want;
static bool was_covered;

/* No place in use may be uncounted: VirtualBox would write over it. */
static bool
covered(const struct bench_file *f)
{
	uint32_t count = vdi_get32(f->bytes + 388);

	for (unsigned i = 0; i < 8; i++)
		if (vdi_get32(f->bytes + E(i)) < VDI_ZERO &&
		    vdi_get32(f->bytes + E(i)) >= count)
			return false;
	return true;
}

/* After a power cut: a second repair gets to the same end. */
static bool
mends_again(unsigned at)
{
	static struct bench_file cut;
	struct bench_report r;
	struct bench_image b;
	bool good;

	(void)at;
	bench_read(&cut);
	if (was_covered && !covered(&cut)) {
		diag("a block is not counted");
		return false;
	}
	if (bench_repair(&r, NULL, true) || bench_check(&r, NULL) ||
	    r.findings) {
		diag("repair after a cut:%s %s", r.text, bench_err.msg);
		return false;
	}
	good = !bench_open(&b, 0) && bench_reads(&b, want);
	if (!good)
		diag("reads %s, not %s", b.img ? bench_content(&b) : "nothing",
		     want);
	bench_close(&b);
	return good;
}

static void
mended(const struct damage *d, const struct bench_file *before)
{
	unsigned tried = 0, bad;
	struct bench_report r;
	struct bench_image b;
	int ret;

	bench_forget();
	bench_on = true;
	ret = bench_repair(&r, d->code, true);
	bench_on = false;
	ok(!ret && r.sought && !r.findings, "%s: mended (%s%s)", d->what,
	   bench_err.msg, r.text);
	ret = bench_check(&r, NULL);
	ok(!ret && !r.findings, "%s: and nothing is left (%s)", d->what, r.text);
	ret = bench_open(&b, 0);
	ok(!ret && bench_reads(&b, d->after), "%s: reads %s (%s%s)", d->what,
	   d->after, b.img ? bench_content(&b) : "nothing", bench_err.msg);
	bench_close(&b);
	want = d->after;
	was_covered = covered(before);
	bad = bench_cuts(before, &tried, mends_again);
	is_int(bad, 0, "%s: at each of %u power cuts too", d->what, tried);
}

static void
test_damages(void)
{
	static struct bench_file f, after;
	struct bench_report r;

	for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
		const struct damage *d = &damages[i];

		injure(&f, d);
		found(d);
		if (d->after) {
			asked(d, &f);
			mended(d, &f);
			continue;
		}
		ok(!bench_repair(&r, d->code, true) && r.sought && r.findings,
		   "%s: repair says so, too", d->what);
		bench_read(&after);
		ok(!memcmp(&f, &after, sizeof(f)), "%s: and lets it be", d->what);
	}
}

/* ------------------------------------------------------------------- health */

static void
healthy(const char *what, struct vdi_header h, const char *map)
{
	static struct bench_file f, after;
	struct bench_report r;

	bench_make(&f, &h, map);
	ok(!bench_check(&r, NULL) && !r.findings, "%s: nothing to tell (%s)",
	   what, r.text);
	ok(!bench_repair(&r, NULL, true) && !r.asked,
	   "%s: nothing to mend (%s)", what, r.text);
	bench_read(&after);
	ok(!memcmp(&f, &after, sizeof(f)), "%s: untouched", what);
}

static void
test_healthy(void)
{
	static struct bench_file f;
	struct bench_report r;

	healthy("empty", (struct vdi_header){ 0 }, "........");
	healthy("full", (struct vdi_header){ 0 }, "habcdefg");
	healthy("fixed", (struct vdi_header){ .type = VDI_FIXED }, "abcd");
	healthy("a child", (struct vdi_header){ .type = VDI_DIFF,
		.link = { 7 }, .link_modify = { 8 } }, "a.0b");
	healthy("a short header", (struct vdi_header){
		.header_len = VDI_HEADER_SHORT, .map_off = 456 }, MAP);
	healthy("all odd", (struct vdi_header){ .extra = 64, .map_off = 475,
		.data_off = 777 }, MAP);
	healthy("known flags", (struct vdi_header){ .flags = 0x301 }, MAP);
	healthy("a map longer than the disk", (struct vdi_header){
		.disk = 2048 }, "abc.....");

	/* A crash of another program leaves a leak, and no more. */
	bench_make(&f, &(struct vdi_header){ 0 }, MAP);
	vdi_put32(f.bytes + 388, 6);
	f.size += 512;
	bench_save(&f);
	ok(!bench_check(&r, "vdi-count-high") && r.sought &&
	   r.severity == VD_LEAK, "a crash before the map: a leak (%s)", r.text);
}

/* A map of thousands of entries that cannot be is not mended block by block. */
static void
test_garbage(void)
{
	static struct bench_file f, after;
	struct bench_report r;
	unsigned asked;
	bool seen;

	bench_make(&f, &(struct vdi_header){ .blocks = 20000,
		.data_off = 512 + 80000 }, "a");
	memset(f.bytes + 512, 0, 80000);
	bench_save(&f);
	seen = !bench_check(&r, "vdi-map-garbage") && r.sought;
	ok(seen && r.findings < 1100,
	   "a map of zeros is seen to be none (%u findings)", r.findings);
	ok(!bench_repair(&r, "vdi-map-garbage", true) && r.sought,
	   "and not repaired");
	asked = r.asked;
	bench_read(&after);
	ok(!asked && !memcmp(&f, &after, sizeof(f)), "nor changed");
}

static void
test_many(void)
{
	static struct bench_file f;
	struct bench_report r;
	unsigned i;

	/* 5000 blocks that lie behind the end: each is asked for. */
	bench_make(&f, &(struct vdi_header){ .blocks = 5000,
		.data_off = 512 + 20480 }, "a");
	for (i = 1; i < 5000; i++)
		vdi_put32(f.bytes + 512 + 4 * i, i);
	bench_save(&f);
	ok(!bench_check(&r, "vdi-block-lost") && r.sought == 1001,
	   "of 4999 lost blocks 1000 are told, and how many more");
	ok(!bench_repair(&r, "vdi-block-lost", true) && r.sought == 4999,
	   "repair asks for all (%u)", r.sought);
	ok(!bench_check(&r, NULL) && !r.findings, "and mends them (%s)", r.text);
}

static void
test_old(void)
{
	static const struct poke v0[] = { { 68, 2 }, { 72, 1 }, { 352, 1024 },
		{ 360, 512 }, { 364, 2 }, { 368, 2 }, { 372, 1 }, { 388, 1 },
		{ 420, 0 }, { 424, 0 } };
	static struct bench_file f, after;
	struct bench_report r;

	memset(&f, 0, sizeof(f));
	vdi_put32(f.bytes + 64, VDI_SIGNATURE);
	for (unsigned i = 0; i < sizeof(v0) / sizeof(*v0); i++)
		vdi_put32(f.bytes + v0[i].off, v0[i].value);
	f.size = 428 + 1024;
	bench_save(&f);
	ok(!bench_check(&r, "vdi-duplicate-block") && r.off == 424,
	   "version 0 is checked (%s)", r.text);
	ok(bench_repair(&r, NULL, true) < 0, "and not repaired: %s",
	   bench_err.msg);
	bench_read(&after);
	ok(!memcmp(&f, &after, sizeof(f)), "nor changed");

	vdi_put32(f.bytes + 68, 0x20000);
	bench_save(&f);
	ok(bench_check(&r, "vdi-version") == -ENOTSUP && r.off == 68 &&
	   r.severity == VD_NOTE, "version 2 is left to others (%s)", r.text);
	ok(bench_repair(&r, NULL, true) == -ENOTSUP && !r.asked,
	   "nor is it called sound by a repair: %s", bench_err.msg);
	vdi_put32(f.bytes + 68, 1);
	vdi_put32(f.bytes + 72, 0);
	bench_save(&f);
	ok(!bench_check(&r, "vdi-type") && r.off == 72,
	   "nor a type 0 of version 0 (%s)", r.text);
}

int
main(void)
{
	bench_begin();
	test_healthy();
	test_garbage();
	test_many();
	test_old();
	test_damages();
	return bench_end();
}
