/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdi-crash.t.c - cut the power anywhere: W1, W2, W3 and W4 hold in the file. */
/* objects: plugins/vdi/header.o plugins/vdi/probe.o plugins/vdi/image.o plugins/vdi/scan.o plugins/vdi/write.o plugins/vdi/create.o plugins/vdi/child.o plugins/vdi/resize.o plugins/vdi/audit.o plugins/vdi/audit-layout.o plugins/vdi/check.o plugins/vdi/repair.o core/error.o core/flaw.o core/file.o core/host.o core/iov.o core/journal.o core/lock.o core/table.o */
/*
 * Every set of changes that a power cut may keep (t/lib/cuts.h) is judged:
 * the head is sound, no two entries share a slot, the count covers the map, and
 * each block has what was flushed last or written since.
 *
 * All slots are full of 0xee beforehand, so an entry that is ahead of its data
 * cannot pass for a block of zeros.
 */
#include <stdlib.h>
#include <tap.h>

#define BLOCKS	2048u		/* two pages of the map */
#define BLOCK	512u
#define DATA	(512 + 4 * BLOCKS)
#define SIZE	(DATA + BLOCKS * BLOCK)
#define STALE	0xee
#define STEPS	400u
#define HOT	64u		/* blocks that are written at all */
#define PARENT	0xdd		/* what a child's free blocks read as */

#define CUT_FILE_MAX	SIZE
#define CUT_FILES	1
#define CUT_UNITS	(STEPS + 1)
#include "t/lib/cuts.h"
#include "plugins/vdi/vdi.h"

static bool child;

/* -------------------------------------------------------------- the image */

static struct cut_file start;

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

	memset(start.b, STALE, SIZE);
	start.size = SIZE;
	vdi_encode(&h, start.b);
	memset(start.b + 512, 0xff, 4 * BLOCKS);
	cut_save(&start, path);
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
	cut_writes(block, byte);
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
	cut_writes(block, 0);
	return vdi_zero(img, block * BLOCK, BLOCK, &err);
}

/* Of a base a discard promises nothing for a free block; here it reads zeros. */
static int
discard_block(unsigned block)
{
	cut_writes(block, 0);
	return vdi_discard(img, block * BLOCK, BLOCK, &err);
}

static int
flush(void)
{
	unsigned before = cut_nversions;
	int ret = vdi_sync(img, &err);

	cut_flushed(before);
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

static uint8_t used[BLOCKS];

static bool
check_block(const uint8_t *disk, unsigned i, uint32_t count, unsigned at)
{
	uint32_t e = vdi_get32(disk + 512 + 4 * i);
	uint8_t before = child ? PARENT : 0;
	uint8_t byte = child && e == VDI_FREE ? PARENT : 0;
	const uint8_t *p;

	if (vdi_present(e)) {
		if (e >= count)
			return no("W4: block %u in slot %u, count %u", i, e,
				  count);
		if (used[e]++)
			return no("W3: slot %u twice", e);
		p = disk + DATA + e * BLOCK;
		byte = p[0];
		if (memcmp(p, p + 1, BLOCK - 1))
			return no("block %u is torn", i);
	}
	return cut_allowed(i, byte, before, at) ||
	       no("%s: block %u holds %02x", byte == STALE ? "W1"
		  : "W2 or W3", i, byte);
}

static bool
check_disk(const struct cut_file *f, unsigned at)
{
	struct vdi_header h;
	struct vd_err e = { 0 };

	if (vdi_parse(f->b, 512, SIZE, &h, &e) != VD_MINE)
		return no("header: %.200s", e.msg);
	memset(used, 0, sizeof(used));
	for (unsigned i = 0; i < HOT; i++)
		if (!check_block(f->b, i, h.allocated, at) ||
		    !check_block(f->b, BLOCKS - 1 - i, h.allocated, at))
			return false;
	return true;
}

static void
test_one(const char *what)
{
	unsigned tried = 0, i;

	cut_forget();
	cut_nversions = cut_nflushes = 0;
	cut_quiet = false;
	make_start(cut_path[0]);
	cut_on = true;
	i = (unsigned)drive(cut_path[0]);
	cut_on = false;
	ok(i == 0, "%s: %u writes, %u flushes, %u changes: %s", what,
	   cut_nversions, cut_nflushes, cut_n, err.msg);
	is_int(cut_everywhere(&start, &tried, check_disk), 0,
	       "%s: no power cut breaks an invariant", what);
	ok(tried > 1000, "%s: %u power cuts", what, tried);
	cut_without_syncs();
	cut_quiet = true;
	ok(cut_everywhere(&start, &tried, check_disk) > 0,
	   "%s: without syncs it would", what);
}

int
main(void)
{
	char shm[] = "/dev/shm/vdi-crash.XXXXXX", tmp[] = "/tmp/vdi-crash.XXXXXX";

	if (!cut_place(shm, tmp, &cut_path[0]))
		plan_skip_all("no temporary file");
	test_one("an image of its own");
	child = true;
	test_one("a child");
	unlink(cut_path[0]);
	cut_forget();
	return done_testing();
}
