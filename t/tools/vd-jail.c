/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vd-jail - serve an image to a guest's ring from inside the sandbox.
 *
 *	vd-jail DRIVER IMAGE [MODE [USER]]
 *
 * The image is opened, the sandbox entered and sealed as vdisk does it, and
 * then everything happens that may happen to a disk: random requests over a ring
 * in a thread, each byte checked; flushes by the disk's own thread; zeros,
 * discards, the last flush and the close.  With MODE kill (usual) a system call
 * that is not on the list ends it.
 */
/* objects: t/lib/stress.o t/lib/rig.o t/lib/frontend.o core/cmd/libcmd.a core/ring/libvdring.a */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "core/cmd/cmd.h"
#include "core/cmd/sandbox.h"
#include "stress.h"

#define REQUESTS	3000
#define FLUSH_MS	20
#define MIB		(1u << 20)

static struct rig rig;
static struct stress stress;

static enum vd_driver
driver_named(const char *name)
{
	if (!strcmp(name, "sync"))
		return VD_DRIVER_SYNC;
	if (!strcmp(name, "io_uring"))
		return VD_DRIVER_URING;
	cmd_usage("DRIVER: sync or io_uring");
}

static void
check_content(struct vd_disk *disk)
{
	static uint8_t got[STRESS_SECTORS * 512];
	struct vd_err err = { 0 };
	uint8_t want[512];
	unsigned i;

	if (vd_disk_read(disk, got, sizeof(got), 0, &err))
		cmd_die(&err);
	for (i = 0; i < STRESS_SECTORS; i++) {
		stress_sector(i, stress.version[i], want);
		if (memcmp(got + 512 * i, want, 512))
			cmd_dief("sector %u is not what was written", i);
	}
}

/* New units behind the stressed ones, without a flush that was asked for. */
static void
grow(struct vd_disk *disk)
{
	static uint8_t buf[MIB];
	uint64_t size = vd_disk_size(disk), at;
	struct vd_err err = { 0 };

	memset(buf, 0x5a, sizeof(buf));
	for (at = 2 * MIB; at + MIB <= size; at += MIB) {
		if (vd_disk_write(disk, buf, sizeof(buf), at, 0, &err))
			cmd_die(&err);
		usleep(2 * FLUSH_MS * 1000);	/* its own thread flushes */
	}
}

static void
shrink(struct vd_disk *disk)
{
	uint64_t size = vd_disk_size(disk);
	struct vd_err err = { 0 };

	if (vd_disk_write_zeroes(disk, 2 * MIB + 4096, MIB, 0, &err) ||
	    (vd_disk_can_discard(disk) &&
	     vd_disk_discard(disk, 3 * MIB, size - 3 * MIB, &err)) ||
	    vd_disk_flush(disk, &err))
		cmd_die(&err);
}

static void
enter(const struct sandbox *s)
{
	struct vd_err err = { 0 };

	if (sandbox_enter(s, &err))
		cmd_die(&err);
}

static void
seal(const struct sandbox *s)
{
	struct vd_err err = { 0 };

	if (sandbox_seal(s, &err))
		cmd_die(&err);
}

static struct vd_disk *
open_disk(const char *path, struct vd_library **lib)
{
	struct vd_open how = { .size = sizeof(how), .flush_ms = FLUSH_MS };
	struct vd_err err = { 0 };
	struct vd_disk *disk;

	if (vd_library_open(NULL, lib, &err) ||
	    vd_disk_open(*lib, path, &how, &disk, &err))
		cmd_die(&err);
	if (vd_disk_size(disk) < 4 * MIB)
		cmd_dief("%s: at least 4 MiB are needed", path);
	return disk;
}

static void
serve(struct vd_disk *disk, enum vd_driver driver, const struct sandbox *s)
{
	struct vd_err err = { 0 };

	rig.guest_pages = 2048;
	rig.cfg.disk = disk;
	rig.cfg.max_indirect = 256;
	rig.quit_fd = eventfd(0, EFD_CLOEXEC);
	stress.seed = 4711;
	stress.requests = REQUESTS;
	stress.max_segs = 64;
	stress.threaded = true;
	if (vd_queue_open(disk, driver, 64, &rig.cfg.queue, &err))
		cmd_die(&err);
	if (rig_open(&rig) < 0)
		cmd_dief("no ring");
	seal(s);
	if (!stress_run(&rig, &stress))
		cmd_dief("%s", stress.why);
	check_content(disk);
	grow(disk);
	shrink(disk);
	check_content(disk);
	rig_close(&rig);
	vd_queue_close(rig.cfg.queue);
}

int
main(int argc, char **argv)
{
	struct sandbox s = { .mode = SANDBOX_KILL, .uses = SANDBOX_XPVTAP };
	struct vd_err err = { 0 };
	struct vd_library *lib;
	struct vd_disk *disk;

	cmd_init("vd-jail");
	if (argc < 3 || argc > 5 ||
	    (argc > 3 && sandbox_parse(argv[3], &s.mode)))
		cmd_usage("vd-jail DRIVER IMAGE [on|kill|off [USER]]");
	s.user = argc > 4 ? argv[4] : NULL;
	disk = open_disk(argv[2], &lib);
	enter(&s);
	serve(disk, driver_named(argv[1]), &s);
	if (vd_disk_close(disk, &err))
		cmd_die(&err);
	vd_library_close(lib);
	/* stdio would ask what kind of file this is. */
	return write(1, "served\n", 7) != 7;
}
