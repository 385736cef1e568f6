/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* objects: t/lib/powercut.o */
/*
 * repair-lab.c - power cuts in the middle of a repair.
 *
 *	repair-lab [-n STATES] [-s SEED] [-x] FOLDER IMAGE SOUND
 *
 * IMAGE in FOLDER is damaged; SOUND holds its content from before that, raw.
 * The image is repaired, yes to everything, and each change of the folder
 * recorded.  Behind each change in turn the power is cut, in several ways (see
 * powercut.h), and of what that leaves
 *
 *	a loss		does not open or cannot be read where it could be when
 *			it was damaged; or holds what it never did
 *	stuck		is not mended by a second repair to the end, or verify
 *			says that it is not
 *	a stranger	does not become the damaged image again, to the byte, by
 *			both undo files
 *
 * are counted.  -x forgets every sync: a campaign that can find any of it does.
 * Exit: 0 none of these, 1 some, 3 the repair itself failed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vdisk/vdisk.h>
#include "powercut.h"

#define SECTOR		512u
#define DISK_MAX	(16u << 20)
#define FILES_MAX	8u
#define SHOWN_MAX	5u

/* What a disk reads as, and which sectors of it can be read. */
struct content {
	bool		opens;
	uint64_t	size;
	uint8_t	       *bytes;
	bool		known[DISK_MAX / SECTOR];
};

struct bytes {			/* a file of the damaged image */
	char		path[600];
	uint8_t	       *data;
	size_t		len;
};

static struct {
	char		image[512], undo[2][540];
	struct vd_library *lib;
	struct content	sound, damaged, mended, now;
	struct bytes	files[FILES_MAX];
	unsigned	nfiles;
	bool		quiet;
	unsigned	shown;
	unsigned long	states, losses, stuck, strangers;
	struct vd_err	err;
} lab;

__attribute__((noreturn)) static void
give_up(const char *what)
{
	char text[1400];

	fprintf(stderr, "repair-lab: %s: %s: %s\n", lab.image, what,
		lab.err.code ? vd_err_text(&lab.err, text, sizeof(text))
			     : strerror(errno));
	exit(3);
}

static bool
no(size_t cut, const char *what)
{
	char text[1400];

	if (!lab.quiet && lab.shown++ < SHOWN_MAX)
		fprintf(stderr, "# cut at change %zu of %zu: %s: %s\n", cut,
			pc_count(), what, lab.err.code ?
			vd_err_text(&lab.err, text, sizeof(text)) : "");
	lab.err = (struct vd_err){ 0 };
	return false;
}

/* ------------------------------------------------------------- the content */

static void
read_all(struct vd_disk *d, struct content *c)
{
	for (uint64_t off = 0; off < c->size; off += SECTOR)
		c->known[off / SECTOR] = !vd_disk_read(d, c->bytes + off,
						       SECTOR, off, NULL);
}

static bool
look(struct content *c)
{
	struct vd_open o = { .size = sizeof(o), .flags = VD_DISK_RDONLY };
	struct vd_disk *d;

	c->opens = !vd_disk_open(lab.lib, lab.image, &o, &d, &lab.err);
	if (!c->opens)
		return false;
	c->size = vd_disk_size(d);
	if (c->size > DISK_MAX) {
		errno = EFBIG;
		give_up("the disk");
	}
	if (!c->bytes && !(c->bytes = malloc(DISK_MAX)))
		give_up("memory");
	memset(c->known, 1, sizeof(c->known));
	if (vd_disk_read(d, c->bytes, c->size, 0, NULL))
		read_all(d, c);
	vd_disk_close(d, NULL);
	return true;
}

static void
load_sound(const char *path)
{
	struct content *c = &lab.sound;
	int fd = open(path, O_RDONLY);
	ssize_t n;

	c->bytes = malloc(DISK_MAX);
	n = fd < 0 || !c->bytes ? -1 : read(fd, c->bytes, DISK_MAX);
	if (n <= 0)
		give_up(path);
	c->size = (uint64_t)n;
	c->opens = true;
	memset(c->known, 1, sizeof(c->known));
	close(fd);
}

static bool
is(const struct content *c, uint64_t off)
{
	return c->opens && off < c->size && c->known[off / SECTOR] &&
	       !memcmp(c->bytes + off, lab.now.bytes + off, SECTOR);
}

/* As it was before, as it is now that it is damaged, or as it is mended. */
static bool
keeps(size_t cut)
{
	struct content *n = &lab.now;

	if (!look(n))
		return lab.damaged.opens ? no(cut, "does not open any more")
					 : (lab.err = (struct vd_err){ 0 }, true);
	if (n->size != lab.sound.size &&
	    !(lab.damaged.opens && n->size == lab.damaged.size))
		return no(cut, "is a disk of another size");
	for (uint64_t off = 0; off < n->size; off += SECTOR) {
		bool could = lab.damaged.opens &&
			     lab.damaged.known[off / SECTOR];

		if (!n->known[off / SECTOR] && could)
			return no(cut, "cannot be read any more");
		if (n->known[off / SECTOR] && !is(&lab.sound, off) &&
		    !is(&lab.damaged, off) && !is(&lab.mended, off))
			return no(cut, "holds what it never did");
	}
	return true;
}

/* ------------------------------------------------------ repair, verify, undo */

struct teller {
	struct vd_report r;
	unsigned	damages, asked;
};

static void
finding(struct vd_report *r, const struct vd_finding *f)
{
	((struct teller *)r)->damages += f->severity == VD_DAMAGE;
}

static bool
may(struct vd_report *r, const struct vd_finding *f)
{
	(void)f;
	((struct teller *)r)->asked++;
	return true;
}

/* Repair; or only look, without an undo file.  The damages that are left. */
static int
care(const char *undo, unsigned *damages, unsigned *asked)
{
	struct vd_open o = { .size = sizeof(o), .flags = VD_DISK_CHECK |
			     (undo ? 0 : VD_DISK_RDONLY) };
	struct teller t = { .r = { .size = sizeof(t.r), .finding = finding,
				   .may = may } };
	struct vd_disk *d;
	int ret = vd_disk_open(lab.lib, lab.image, &o, &d, &lab.err), ret2;

	if (ret)
		return ret;
	ret = undo ? vd_disk_repair(d, &t.r, undo, &lab.err)
		   : vd_disk_check(d, 0, &t.r, &lab.err);
	ret2 = vd_disk_close(d, ret ? NULL : &lab.err);
	*damages = t.damages;
	*asked = t.asked;
	return ret ? ret : ret2;
}

/* The first may have come so far that nothing is left to ask. */
static bool
ends(size_t cut)
{
	unsigned damages, asked;

	if (care(lab.undo[access(lab.undo[0], F_OK) == 0], &damages, &asked))
		return no(cut, "a second repair fails");
	if (care(NULL, &damages, &asked))
		return no(cut, "cannot be verified");
	if (damages)
		return no(cut, "is damaged after a second repair");
	if (!look(&lab.now))
		return no(cut, "does not open after a second repair");
	return keeps(cut);
}

/* All files of the folder but those that a repair adds. */
static void
remember(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		struct bytes *b = &lab.files[lab.nfiles];
		struct stat st;
		int fd;

		snprintf(b->path, sizeof(b->path), "%.300s/%.255s", folder,
			 e->d_name);
		fd = open(b->path, O_RDONLY);
		if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
			close(fd);
			continue;
		}
		b->len = (size_t)st.st_size;
		b->data = malloc(b->len + 1);
		if (!b->data || read(fd, b->data, b->len) != (ssize_t)b->len ||
		    ++lab.nfiles == FILES_MAX)
			give_up(b->path);
		close(fd);
	}
	if (dir)
		closedir(dir);
}

static bool
is_as_remembered(const struct bytes *b)
{
	uint8_t *got = malloc(b->len + 1);
	int fd = open(b->path, O_RDONLY);
	bool same = got && fd >= 0 &&
		    read(fd, got, b->len + 1) == (ssize_t)b->len &&
		    !memcmp(got, b->data, b->len);

	if (fd >= 0)
		close(fd);
	free(got);
	return same;
}

static bool
goes_back(size_t cut)
{
	for (int i = 1; i >= 0; i--)
		if (!access(lab.undo[i], F_OK) &&
		    vd_disk_undo(lab.lib, lab.image, lab.undo[i], NULL,
				 &lab.err))
			return no(cut, "cannot be undone");
	for (unsigned i = 0; i < lab.nfiles; i++)
		if (!is_as_remembered(&lab.files[i]))
			return no(cut, lab.files[i].path);
	return true;
}

/* ---------------------------------------------------------------- campaign */

static void
one(size_t cut, enum pc_part part, uint64_t seed, bool forget)
{
	pc_state(cut, part, seed, forget);
	lab.states++;
	if (!keeps(cut))
		lab.losses++;
	else if (!ends(cut))
		lab.stuck++;
	else if (!goes_back(cut))
		lab.strangers++;
	pc_spoilt();
}

static void
campaign(unsigned n, uint64_t seed, bool forget)
{
	static const enum pc_part parts[] = { PC_ALL, PC_TORN, PC_NONE, PC_SOME };
	size_t all = pc_count();
	unsigned each = n / (unsigned)(all + 1) + 1;

	for (size_t cut = 0; cut <= all; cut++)
		for (unsigned i = 0; i < each; i++)
			one(cut, forget ? parts[i % 2 * 2 + 1] :
			    parts[i % 4], seed * 1000003 + cut * 1009 + i,
			    forget);
}

static void
first_repair(void)
{
	unsigned damages, asked;

	if (care(lab.undo[0], &damages, &asked))
		give_up("repair");
	if (!asked || damages) {
		errno = EINVAL;
		give_up(asked ? "not all of it can be mended"
			      : "there is nothing to mend");
	}
}

static void
prepare(char **arg)
{
	snprintf(lab.image, sizeof(lab.image), "%s/%s", arg[0], arg[1]);
	snprintf(lab.undo[0], sizeof(lab.undo[0]), "%s.undo", lab.image);
	snprintf(lab.undo[1], sizeof(lab.undo[1]), "%s.undo.2", lab.image);
	if (vd_library_open(NULL, &lab.lib, &lab.err))
		give_up("modules");
	load_sound(arg[2]);
	remember(arg[0]);
	look(&lab.damaged);
	lab.err = (struct vd_err){ 0 };
	pc_record(arg[0]);
	first_repair();
	if (!look(&lab.mended))
		give_up("it does not open when it is mended");
	pc_replay();
	lab.now.bytes = malloc(DISK_MAX);
	if (!lab.now.bytes)
		give_up("memory");
	memcpy(lab.now.bytes, lab.mended.bytes, lab.mended.size);
	for (uint64_t off = 0; off < lab.mended.size; off += SECTOR)
		if (lab.damaged.opens && lab.damaged.known[off / SECTOR] &&
		    !is(&lab.damaged, off) && !is(&lab.sound, off))
			give_up("the repair itself loses something");
}

int
main(int argc, char **argv)
{
	unsigned n = 600;
	uint64_t seed = 1;
	bool forget = false;
	int c;

	while ((c = getopt(argc, argv, "n:s:x")) != -1) {
		if (c == 'n')
			n = (unsigned)strtoul(optarg, NULL, 0);
		else if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 'x')
			forget = lab.quiet = true;
		else
			return 2;
	}
	if (argc - optind != 3) {
		fprintf(stderr, "usage: repair-lab [-n states] [-s seed] [-x] "
			"folder image sound\n");
		return 2;
	}
	prepare(argv + optind);
	campaign(n, seed, forget);
	printf("%s: %lu states of %zu changes: %lu losses, %lu stuck, %lu "
	       "strangers\n", argv[optind + 1], lab.states, pc_count(),
	       lab.losses, lab.stuck, lab.strangers);
	pc_end();
	vd_library_close(lab.lib);
	return lab.losses || lab.stuck || lab.strangers;
}
