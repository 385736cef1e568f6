/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring-disk.t.c - from a guest's page to a file and back: the ring over the
 * real library and a raw image, with each I/O driver.
 */
/* objects: t/lib/stress.o t/lib/rig.o t/lib/frontend.o core/ring/libvdring.a */
#include <fcntl.h>
#include <sys/stat.h>
#include <tap.h>
#include <unistd.h>

#include "stress.h"

static char path[] = "/tmp/ring-disk.XXXXXX.raw";

static struct vd_disk *
open_disk(struct vd_library *lib, unsigned flags)
{
	struct vd_open o = { .size = sizeof(o), .flags = flags,
			     .format = "raw" };
	struct vd_disk *disk = NULL;
	struct vd_err err = { 0 };
	char text[1024];

	if (vd_disk_open(lib, path, &o, &disk, &err) < 0)
		diag("%s", vd_err_text(&err, text, sizeof(text)));
	return disk;
}

/* What the file holds, read by plain calls. */
static unsigned
differing_sectors(const struct stress *s)
{
	uint8_t want[512], got[512];
	int fd = open(path, O_RDONLY);
	unsigned i, bad = 0;

	for (i = 0; i < STRESS_SECTORS; i++) {
		stress_sector(i, s->version[i], want);
		bad += pread(fd, got, 512, 512 * i) != 512 ||
		       memcmp(got, want, 512);
	}
	close(fd);
	return bad;
}

static void
test_stress(struct vd_library *lib, enum vd_driver driver, enum fe_abi abi,
	    unsigned order)
{
	static struct stress s;
	static struct rig r;
	struct vd_err err = { 0 };
	bool good;

	if (truncate(path, 0) < 0 || truncate(path, STRESS_SECTORS * 512) < 0) {
		ok(false, "an empty image");
		return;
	}
	memset(&r, 0, sizeof(r));
	memset(&s, 0, sizeof(s));
	r.abi = abi;
	r.order = order;
	r.guest_pages = 2048;
	r.cfg.disk = open_disk(lib, 0);
	if (!r.cfg.disk || vd_queue_open(r.cfg.disk, driver, 64, &r.cfg.queue,
					 &err) < 0) {
		ok(driver == VD_DRIVER_URING && r.cfg.disk,
		   "no such driver here: %s", err.msg);
		if (r.cfg.disk)
			vd_disk_close(r.cfg.disk, NULL);
		return;
	}
	r.cfg.max_indirect = 256;
	if (rig_open(&r) < 0)
		ok(false, "rig opens");
	s.seed = 4711 + order;
	s.requests = 3000;
	s.max_segs = 64;
	s.threaded = true;
	good = stress_run(&r, &s);
	ok(good, "%s: %s-bit ring, order %u, %u requests, %u at once",
	   vd_queue_driver(r.cfg.queue), abi == FE_64 ? "64" : "32", order,
	   s.requests, s.most);
	if (!good)
		diag("%s; last log: %s", s.why, r.last_log);
	is_int(ring_inflight(r.ring), 0, "nothing in flight");
	rig_close(&r);
	vd_queue_close(r.cfg.queue);
	is_int(vd_disk_close(r.cfg.disk, &err), 0, "disk closes");
	is_int(differing_sectors(&s), 0, "the file holds what was written");
}

/* Each operation once, on a disk that is or is not what it should be. */
static void
test_ops(struct vd_library *lib, bool readonly)
{
	static struct rig r;
	static const struct fe_req reqs[] = {
		{ .op = FE_WRITE, .nseg = 1, .seg = { { 1, 0, 7 } } },
		{ .op = FE_FLUSH },
		{ .op = FE_BARRIER, .nseg = 1, .sector = 8,
		  .seg = { { 1, 0, 7 } } },
		{ .op = FE_BARRIER },
		{ .op = FE_DISCARD, .sector = 0, .nr_sectors = 16 },
		{ .op = FE_READ, .nseg = 1, .seg = { { 2, 0, 7 } } },
	};
	struct vd_err err = { 0 };
	unsigned i;
	int want;

	memset(&r, 0, sizeof(r));
	r.cfg.disk = open_disk(lib, readonly ? VD_DISK_RDONLY : 0);
	is_int(vd_queue_open(r.cfg.disk, VD_DRIVER_AUTO, 32, &r.cfg.queue,
			     &err), 0, "a queue");
	r.cfg.readonly = readonly;
	r.cfg.discard = vd_disk_can_discard(r.cfg.disk);
	if (rig_open(&r) < 0)
		ok(false, "rig opens");
	for (i = 0; i < 6; i++) {
		want = FE_OKAY;
		if (readonly && (i == 0 || i == 2 || i == 4))
			want = FE_ERROR;
		if (i == 4 && !r.cfg.discard)
			want = FE_NOTSUPP;
		is_int(rig_one(&r, &reqs[i]), want, "R-15: operation %u, %s",
		       reqs[i].op, readonly ? "read-only" : "writable");
	}
	rig_close(&r);
	vd_queue_close(r.cfg.queue);
	is_int(vd_disk_close(r.cfg.disk, NULL), 0, "disk closes");
}

int
main(void)
{
	struct vd_library *lib = NULL;
	struct vd_err err = { 0 };
	struct stat before, after;
	int fd;

	if (vd_library_open(NULL, &lib, &err) < 0 ||
	    !vd_library_find(lib, "raw"))
		plan_skip_all("needs the raw module: set VDISK_PLUGIN_PATH");
	fd = mkstemps(path, 4);
	if (fd < 0 || ftruncate(fd, STRESS_SECTORS * 512) < 0)
		plan_skip_all("cannot make a file in /tmp");

	test_stress(lib, VD_DRIVER_SYNC, FE_64, 0);
	test_stress(lib, VD_DRIVER_SYNC, FE_32, 4);
	test_stress(lib, VD_DRIVER_URING, FE_64, 2);
	test_stress(lib, VD_DRIVER_URING, FE_32, 1);
	test_ops(lib, false);
	fstat(fd, &before);
	test_ops(lib, true);
	fstat(fd, &after);
	ok(before.st_mtim.tv_sec == after.st_mtim.tv_sec &&
	   before.st_mtim.tv_nsec == after.st_mtim.tv_nsec,
	   "a read-only guest leaves the file untouched");
	close(fd);
	unlink(path);
	vd_library_close(lib);
	return done_testing();
}
