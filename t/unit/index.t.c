/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * index.t.c - what the index of a chain remembers is right, whatever is
 * written, zeroed and given back meanwhile, and however little it may keep.
 *
 * A chain of six, a budget that holds a few pages, and four threads: each owns
 * regions of a megabyte, far apart, and knows what its blocks of 4 KiB hold.
 * In the end the disk is opened again and compared as a whole.
 */
#include <pthread.h>
#include <unistd.h>
#include <vdisk/vdisk.h>
#include "tap.h"

#define DISK	(1ull << 30)
#define DEPTH	6u
#define REGIONS	64u
#define STRIDE	(DISK / REGIONS)
#define BLOCKS	256u			/* of a region, 4 KiB each */
#define BLOCK	4096u
#define THREADS	4u
#define OPS	3000u

static struct vd_library *lib;
static struct vd_disk *disk;
static struct vd_err err;
static char dir[] = "/tmp/vdisk-index-XXXXXX";
static uint32_t holds[REGIONS][BLOCKS];	/* what each block is full of */

static uint64_t
place(unsigned region, unsigned block)
{
	return region * STRIDE + (uint64_t)block * BLOCK;
}

static void
path_of(char *to, size_t n, const char *format, unsigned layer)
{
	snprintf(to, n, "%s/%s%u.%s", dir, format, layer,
		 !strcmp(format, "delta") && !layer ? "raw" : format);
}

static int
put(unsigned region, unsigned block, unsigned n, uint32_t value)
{
	uint32_t *buf = malloc((size_t)n * BLOCK);
	int ret;

	for (size_t i = 0; i < (size_t)n * BLOCK / 4; i++)
		buf[i] = value;
	for (unsigned i = 0; i < n; i++)
		holds[region][block + i] = value;
	ret = vd_disk_write(disk, buf, (size_t)n * BLOCK, place(region, block),
			    0, NULL);
	free(buf);
	return ret;
}

/* How many of n blocks do not hold what they should. */
static unsigned
wrong(unsigned region, unsigned block, unsigned n)
{
	uint32_t *buf = malloc((size_t)n * BLOCK);
	unsigned bad = 0;

	if (vd_disk_read(disk, buf, (size_t)n * BLOCK, place(region, block),
			 NULL))
		bad = n;
	for (unsigned i = 0; i < n && !bad; i++)
		for (unsigned k = 0; k < BLOCK / 4; k++)
			if (buf[i * BLOCK / 4 + k] != holds[region][block + i]) {
				bad++;
				break;
			}
	free(buf);
	return bad;
}

/* A discard may do nothing to a block; what it holds now is what counts. */
static unsigned
discard(unsigned region)
{
	uint32_t now, word;
	unsigned bad = 0;

	if (vd_disk_discard(disk, place(region, 0), BLOCKS * BLOCK, NULL))
		return 1;
	for (unsigned b = 0; b < BLOCKS; b++) {
		if (vd_disk_read(disk, &word, 4, place(region, b), NULL))
			return BLOCKS;
		now = word;
		bad += now && now != holds[region][b];
		holds[region][b] = now;
	}
	return bad;
}

static void *
owner(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	uint64_t r = 88172645463325252u + me * 977;
	unsigned bad = 0;

	for (unsigned i = 0; i < OPS; i++) {
		unsigned region, block, n, what;

		r ^= r << 13;
		r ^= r >> 7;
		r ^= r << 17;
		region = (unsigned)(r >> 8) % (REGIONS / THREADS) * THREADS +
			 me;
		block = (unsigned)(r >> 20) % BLOCKS;
		n = 1 + (unsigned)(r >> 32) % 20;
		n = n < BLOCKS - block ? n : BLOCKS - block;
		what = (unsigned)(r >> 44) % 32;
		if (what < 6) {
			bad += put(region, block, n, 1000000 * (me + 1) + i) != 0;
		} else if (what == 6) {
			for (unsigned k = 0; k < n; k++)
				holds[region][block + k] = 0;
			bad += vd_disk_write_zeroes(disk, place(region, block),
						    n * BLOCK, 0, NULL) != 0;
		} else if (what == 7 && vd_disk_can_discard(disk)) {
			bad += discard(region);
		} else {
			bad += wrong(region, block, n);
		}
	}
	return (void *)(uintptr_t)bad;
}

/* Layer by layer, each with something of its own in some of the regions. */
static int
build(const char *format)
{
	struct vd_create c = { .size = sizeof(c), .virtual_size = DISK };
	struct vd_open o = { .size = sizeof(o) };
	char path[128], below[128];
	int ret;

	memset(holds, 0, sizeof(holds));
	for (unsigned l = 0; l < DEPTH; l++) {
		bool raw = !l && !strcmp(format, "delta");

		path_of(path, sizeof(path), format, l);
		ret = l ? vd_create_child(lib, format, path, below, NULL, NULL,
					  &err)
			: vd_create_image(lib, raw ? "raw" : format, path, &c,
					  &err);
		o.format = raw ? "raw" : NULL;
		if (ret || vd_disk_open(lib, path, &o, &disk, &err))
			return -1;
		for (unsigned r = 0; r < REGIONS; r++)
			if ((r + l) % 5 < 2 &&
			    put(r, (r * 7 + l * 31) % 200, 40, 100 * l + r + 1))
				return -1;
		if (vd_disk_close(disk, &err))
			return -1;
		memcpy(below, path, sizeof(below));
	}
	return 0;
}

static unsigned
all_wrong(void)
{
	unsigned bad = 0;

	for (unsigned r = 0; r < REGIONS; r++)
		bad += wrong(r, 0, BLOCKS);
	return bad;
}

/* The walk without an index has to agree: zeros are where it says so. */
static unsigned
runs_disagree(void)
{
	struct vd_run run;
	unsigned bad = 0;

	for (unsigned r = 0; r < REGIONS; r++)
		for (unsigned b = 0; b < BLOCKS; b++)
			if (vd_disk_extent(disk, place(r, b), BLOCK, &run,
					   NULL) ||
			    (run.kind == VD_EXT_ZERO && run.len >= BLOCK &&
			     holds[r][b]))
				bad++;
	return bad;
}

static void
one_format(const char *format, uint64_t cache)
{
	struct vd_open o = { .size = sizeof(o), .cache = cache };
	pthread_t t[THREADS];
	char path[128], text[1024];
	uintptr_t bad = 0;

	if (build(format))
		diag("%s", vd_err_text(&err, text, sizeof(text)));
	path_of(path, sizeof(path), format, DEPTH - 1);
	ok(!vd_disk_open(lib, path, &o, &disk, &err) &&
	   vd_disk_depth(disk) == DEPTH, "%s: a chain of %u", format, DEPTH);
	is_int(all_wrong(), 0, "reads like its layers");
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, owner, (void *)i);
	for (unsigned i = 0; i < THREADS; i++) {
		void *ret;

		pthread_join(t[i], &ret);
		bad += (uintptr_t)ret;
	}
	is_int((long)bad, 0, "every thread finds what it wrote, with %llu KiB",
	       (unsigned long long)(cache ? cache >> 10 : 65536));
	is_int(all_wrong(), 0, "all of it once more");
	is_int(runs_disagree(), 0, "the runs say the same");
	ok(!vd_disk_close(disk, &err) &&
	   !vd_disk_open(lib, path, NULL, &disk, &err), "opened again");
	is_int(all_wrong(), 0, "the images hold it");
	vd_disk_close(disk, NULL);
}

int
main(void)
{
	char cmd[64];

	if (!mkdtemp(dir))
		return 1;
	setenv("VDISK_RUN_DIR", dir, 1);
	ok(!vd_library_open(NULL, &lib, &err), "the modules");
	one_format("vmdk", 24 << 10);
	one_format("vdi", 24 << 10);
	one_format("delta", 0);
	vd_library_close(lib);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd) ? 1 : done_testing();
}
