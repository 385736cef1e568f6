/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmdk-pack.t.c - a stream made by threads, and read by threads in odd parts. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <tap.h>
#include <unistd.h>
#include <vdisk/vdisk.h>

#define THREADS	4u
#define READS	4000u
#define SIZE	(40ull * 1048576 + 1536)	/* two tables, an odd end */
#define HOLE	(3ull << 20)			/* zeros, told by run() */
#define DATA	(5ull << 20)			/* and then this much data */

static struct vd_disk *disk;
static uint64_t passed;			/* all before it has */
static bool skipped;

static bool
is_hole(uint64_t off)
{
	return off % (HOLE + DATA) >= DATA;
}

/* Byte off of the disk: zeros here and there in what is no hole, too. */
static uint8_t
pattern(uint64_t off)
{
	uint64_t x = (off / 16 + 1) * 0x9e3779b97f4a7c15u;

	return is_hole(off) || off / 65536 % 5 == 1 ? 0
						     : (uint8_t)(x >> 56);
}

static int
run(void *ctx, uint64_t off, uint64_t len, uint64_t *n, bool *zero,
    struct vd_err *err)
{
	uint64_t at = off % (HOLE + DATA);

	(void)ctx, (void)err;
	*zero = is_hole(off);
	*n = (*zero ? HOLE + DATA : DATA) - at;
	if (*n > len)
		*n = len;
	return 0;
}

static int
get(void *ctx, void *buf, uint64_t off, uint64_t len, struct vd_err *err)
{
	uint64_t fail_at = *(uint64_t *)ctx;

	for (uint64_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = pattern(off + i);
	return fail_at >= off && fail_at < off + len
		? vd_fail(err, EIO, off, "as asked") : 0;
}

static int
pass(void *ctx, const void *buf, uint64_t off, uint64_t len,
     struct vd_err *err)
{
	(void)ctx, (void)err;
	skipped |= off != passed;
	for (uint64_t i = 0; buf && i < len; i += 4093)
		skipped |= ((const uint8_t *)buf)[i] != pattern(off + i);
	passed = off + len;
	return 0;
}

static int
pack(struct vd_library *lib, const char *path, uint64_t fail_at,
     struct vd_err *err)
{
	struct vd_create c = { .size = sizeof(c), .virtual_size = SIZE,
			       .variant = "streamOptimized" };
	struct vd_source src = { .size = sizeof(src), .ctx = &fail_at,
				 .run = run, .read = get, .passed = pass };
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	int ret = vd_pack_image(lib, "vmdk", fd, "a.vmdk", &c, &src, err);

	close(fd);
	return ret;
}

/* Parts of grains, grains, several: from everywhere, at the same time. */
static void *
reader(void *arg)
{
	static const unsigned lens[] = { 1, 512, 4096, 65536, 131072, 200000 };
	uint64_t x = (uintptr_t)arg * 7919 + 1;
	uint8_t *buf = malloc(200000);
	intptr_t bad = 0;

	for (unsigned i = 0; i < READS; i++) {
		unsigned len = lens[i % 6];
		uint64_t off;

		x = x * 6364136223846793005u + 1442695040888963407u;
		off = (x >> 20) % (SIZE - len);
		if (i % 6 == 3 || i % 6 == 4)
			off = off / 65536 * 65536;
		bad += vd_disk_read(disk, buf, len, off, NULL) != 0;
		bad += buf[0] != pattern(off);
		bad += buf[len / 2] != pattern(off + len / 2);
		bad += buf[len - 1] != pattern(off + len - 1);
	}
	free(buf);
	return (void *)bad;
}

static intptr_t
read_all(void)
{
	pthread_t t[THREADS];
	intptr_t bad = 0;
	void *ret;

	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, reader, (void *)(uintptr_t)i);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(t[i], &ret);
		bad += (intptr_t)ret;
	}
	return bad;
}

int
main(void)
{
	struct vd_open ro = { .size = sizeof(ro), .flags = VD_DISK_RDONLY };
	char dir[] = "/tmp/vmdk-pack.XXXXXX", path[64];
	struct vd_err err = { 0 };
	struct vd_library *lib;

	if (!mkdtemp(dir))
		plan_skip_all("no temporary folder");
	snprintf(path, sizeof(path), "%s/a.vmdk", dir);
	ok(vd_library_open(NULL, &lib, &err) == 0, "modules");
	is_int(pack(lib, path, UINT64_MAX, &err), 0, "made");
	is_int(passed, SIZE, "all of it has passed");
	ok(!skipped, "in order, and as it was read");
	ok(vd_disk_open(lib, path, &ro, &disk, &err) == 0, "opened");
	is_int(disk ? read_all() : 1, 0, "every read is right");
	vd_disk_close(disk, NULL);
	is_int(pack(lib, path, 9ull << 20, &err), -EIO, "what fails, ends it");
	ok(!strcmp(err.msg, "as asked"), "with the words of the one who failed");
	vd_library_close(lib);
	unlink(path);
	rmdir(dir);
	return done_testing();
}
