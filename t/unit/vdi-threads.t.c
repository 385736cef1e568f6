/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdi-threads.t.c - many writers and flushes at once fill a disk without a loss. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <tap.h>
#include <unistd.h>
#include <vdisk/vdisk.h>

#define THREADS	4u
#define BLOCK	4096u
#define BLOCKS	3000u		/* three pages of the map, the last one short */
#define ROUNDS	(2 * BLOCKS)

static struct vd_disk *disk;

/* Byte n of the disk, once everything was written. */
static uint8_t
pattern(uint64_t sector)
{
	return (uint8_t)(1 + sector * 37 % 251);
}

/* No divisor in common with BLOCKS: each thread comes to every block. */
static const unsigned stride[THREADS] = { 1, 7, 11, 2999 };

/* Each thread has its own sector of every block: blocks are shared. */
static void *
writer(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg, at = me * 7919;
	uint8_t buf[512];
	intptr_t bad = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t sector;

		at = (at + stride[me]) % BLOCKS;
		sector = (uint64_t)at * (BLOCK / 512) + me;
		memset(buf, pattern(sector), sizeof(buf));
		if (vd_disk_write(disk, buf, sizeof(buf), sector * 512, 0, NULL))
			bad++;
		if (i % 500 == me && vd_disk_flush(disk, NULL))
			bad++;
	}
	return (void *)bad;
}

/* What threads wrote is there, what nobody wrote is zeros. */
static unsigned
wrong_sectors(struct vd_disk *d)
{
	unsigned wrong = 0;
	uint8_t buf[512];

	for (uint64_t s = 0; s < BLOCKS * (BLOCK / 512); s++) {
		uint8_t want = s % (BLOCK / 512) < THREADS ? pattern(s) : 0;

		if (vd_disk_read(d, buf, sizeof(buf), s * 512, NULL))
			return UINT32_MAX;
		wrong += buf[0] != want || memcmp(buf, buf + 1, 511);
	}
	return wrong;
}

int
main(void)
{
	char dir[] = "/tmp/vdi-threads.XXXXXX", path[64];
	struct vd_create c = { .size = sizeof(c), .unit = BLOCK,
			       .virtual_size = BLOCKS * BLOCK };
	struct vd_open rw = { .size = sizeof(rw), .format = "vdi" };
	struct vd_library *lib;
	struct vd_err err = { 0 };
	pthread_t t[THREADS];
	char text[1024];
	intptr_t bad = 0;

	if (!mkdtemp(dir))
		plan_skip_all("no temporary folder");
	snprintf(path, sizeof(path), "%s/a.vdi", dir);
	setenv("VDISK_RUN_DIR", dir, 1);
	ok(vd_library_open(NULL, &lib, &err) == 0 &&
	   vd_create_image(lib, "vdi", path, &c, &err) == 0 &&
	   vd_disk_open(lib, path, &rw, &disk, &err) == 0, "made and opened %s",
	   err.code ? vd_err_text(&err, text, sizeof(text)) : "");
	for (unsigned i = 0; i < THREADS && disk; i++)
		pthread_create(&t[i], NULL, writer, (void *)(uintptr_t)i);
	for (unsigned i = 0; i < THREADS && disk; i++) {
		void *ret;

		pthread_join(t[i], &ret);
		bad += (intptr_t)ret;
	}
	is_int(bad, 0, "all writes and flushes succeeded");
	is_int(disk ? wrong_sectors(disk) : 1, 0, "every sector is right");
	is_int(vd_disk_close(disk, &err), 0, "closed");
	rw.flags = 0;		/* writable: the map is looked through */
	disk = NULL;
	is_int(vd_disk_open(lib, path, &rw, &disk, &err), 0,
	       "opened again: no slot is used twice");
	is_int(disk ? wrong_sectors(disk) : 1, 0, "every sector is right");
	vd_disk_close(disk, NULL);
	vd_library_close(lib);
	unlink(path);
	is_int(rmdir(dir), 0, "and no journal is left");
	return done_testing();
}
