/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * journal.t.c - a journal that is in use is never tidied away: it is locked, and
 * looked for by its name once it is.
 */
#include <fcntl.h>
#include <glob.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vdisk/vdisk.h>
#include "tap.h"

static char dir[] = "/tmp/vdisk-journal-XXXXXX", image[64], all[64];
static unsigned tidied;			/* how often, from now */

/* The file's name, or NULL if there is none, or not one. */
static const char *
journal(void)
{
	static char path[256];
	glob_t g;

	path[0] = '\0';
	if (!glob(all, 0, NULL, &g) && g.gl_pathc == 1)
		snprintf(path, sizeof(path), "%s", g.gl_pathv[0]);
	globfree(&g);
	return path[0] ? path : NULL;
}

/* Somebody is faster, and takes away what was just made. */
int
flock(int fd, int how)
{
	if (tidied && how == LOCK_SH && journal()) {
		tidied--;
		unlink(journal());
	}
	return (int)syscall(SYS_flock, fd, how);
}

static bool
is_held(const char *path)
{
	int fd = open(path, O_RDONLY);
	bool held = fd < 0 || flock(fd, LOCK_EX | LOCK_NB);

	close(fd);
	return held;
}

static struct vd_disk *
serve(struct vd_library *lib)
{
	struct vd_err err = { 0 };
	struct vd_disk *d;

	if (!vd_disk_open(lib, image, NULL, &d, &err))
		return d;
	ok(false, "the image opens: %s", err.msg);
	exit(done_testing());
}

int
main(void)
{
	struct vd_create c = { .size = sizeof(c), .virtual_size = 8 << 20 };
	struct vd_err err = { 0 };
	struct vd_library *lib;
	struct vd_disk *d;

	if (!mkdtemp(dir))
		return 1;
	setenv("VDISK_RUN_DIR", dir, 1);
	snprintf(image, sizeof(image), "%s/disk.vdi", dir);
	snprintf(all, sizeof(all), "%s/*.journal", dir);
	if (vd_library_open(NULL, &lib, &err) ||
	    vd_create_image(lib, "vdi", image, &c, &err))
		return diag("%s", err.msg), 1;
	d = serve(lib);
	ok(journal() && is_held(journal()), "a journal in use is locked");
	ok(!vd_disk_close(d, &err) && !journal(), "and goes with its disk");

	tidied = 3;
	d = serve(lib);
	is_int(tidied, 0, "one that was tidied away meanwhile");
	ok(journal() && is_held(journal()), "is made again, with a name");
	ok(!vd_disk_write(d, "x", 1, 1 << 20, 0, &err), "a write");
	ok(!vd_disk_close(d, &err) && !journal(), "and its end");
	vd_library_close(lib);
	unlink(image);
	ok(!rmdir(dir), "nothing is left");
	return done_testing();
}
