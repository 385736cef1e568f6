/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* objects: t/lib/powercut.o t/lib/promise.o */
/*
 * crash-lab.c - many power cuts of one format in one scenario.
 *
 *	crash-lab [-n STATES] [-s SEED] [-x] FORMAT SCENARIO FOLDER
 *
 * A disk is used as the scenario says; every change of its folder is recorded.
 * From the record come STATES states that a power cut may have left (see
 * powercut.h): the whole record up to each change, the same without what was
 * not synced, and random parts of that, torn at sectors.  Each is opened and
 *
 *	a loss		holds, somewhere, neither what was promised nor
 *			anything written later; or does not open
 *	damage		is what verify says of one of its images
 *	stuck		cannot be written to afterwards, or the interrupted
 *			call cannot be made again
 *
 * are counted.  -x forgets every sync: a campaign that can find losses does.
 * Exit: 0 none of these, 1 some, 3 the scenario itself failed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vdisk/vdisk.h>
#include "powercut.h"
#include "promise.h"

#define DISK_MAX	(6u << 20)	/* bytes, after it has grown */
#define SHOWN_MAX	5		/* failures told in words */

static struct {
	const char     *format, *scenario;
	char		top[512];	/* the disk */
	uint64_t	disk, unit;	/* bytes, to begin with */
	struct vd_library *lib;
	uint64_t	rnd;
	bool		discards;
	bool		quiet;
	unsigned	shown;
	unsigned long	states, losses, damaged, stuck;
	struct vd_err	err;
} lab;

/* What changes more than data: at most one is under way at a cut. */
struct step {
	enum { SNAPSHOT, ROLLBACK, MERGE, RESIZE } what;
	char		name[16];
	uint64_t	size;		/* RESIZE */
	size_t		begun, ended;	/* changes recorded */
	struct frozen  *frozen;		/* the state it makes, goes to, removes */
};
static struct step steps[32];
static unsigned nsteps;

static uint64_t
random64(void)
{
	lab.rnd ^= lab.rnd << 13;
	lab.rnd ^= lab.rnd >> 7;
	lab.rnd ^= lab.rnd << 17;
	return lab.rnd;
}

__attribute__((noreturn)) static void
give_up(const char *what)
{
	char text[1400];

	fprintf(stderr, "crash-lab: %s %s: %s: %s\n", lab.format, lab.scenario,
		what, vd_err_text(&lab.err, text, sizeof(text)));
	exit(3);
}

/* -------------------------------------------------------------- the guest */

static uint64_t buf[DISK_MAX / 8];

/* After a discard a sector is what it was or zeros: ask. */
static int
discard(struct vd_disk *d, uint64_t at, uint64_t len)
{
	size_t begun = pc_count();
	int ret = vd_disk_discard(d, at * 512, len * 512, &lab.err);

	if (ret == -ENOTSUP) {
		lab.err = (struct vd_err){ 0 };
		return 0;
	}
	if (!ret)
		ret = vd_disk_read(d, buf, len * 512, at * 512, &lab.err);
	promise_op();
	for (uint64_t i = 0; i < len && !ret; i++)
		if (buf[i * 64] != promise_newest(at + i))
			promise_write(at + i, buf[i * 64], begun);
	return ret;
}

static int
write_some(struct vd_disk *d, uint64_t at, uint64_t len, bool zero,
	   unsigned flags)
{
	unsigned op = promise_op();

	for (uint64_t i = 0; i < len; i++) {
		uint64_t number = zero ? 0 : ((uint64_t)op << 20) + i + 1;

		for (unsigned k = 0; k < 64; k++)
			buf[i * 64 + k] = number;
		promise_write(at + i, number, pc_count());
	}
	if (zero)
		return vd_disk_write_zeroes(d, at * 512, len * 512, flags,
					    &lab.err);
	return vd_disk_write(d, buf, len * 512, at * 512, flags, &lab.err);
}

static void
promised(void)
{
	pc_mark(promise_op());
}

static int
one_op(struct vd_disk *d)
{
	uint64_t r = random64(), sectors = vd_disk_size(d) / 512;
	uint64_t len = ((r >> 8) % 256 >> (r % 9)) + 1;
	uint64_t at = random64() % (sectors - len + 1);
	unsigned flags = r % 61 == 2 ? VD_FUA : 0;
	int ret;

	if (r % 16 == 0) {
		ret = vd_disk_flush(d, &lab.err);
		promised();
		return ret;
	}
	if (lab.discards && r % 3 == 1) {
		at &= ~UINT64_C(7);
		len = len * 4 < sectors - at ? len * 4 : sectors - at;
		return discard(d, at, len);
	}
	ret = write_some(d, at, len, r % 16 == 1, flags |
			 (lab.discards ? VD_MAY_UNMAP : 0));
	if (flags && !ret)
		promised();
	return ret;
}

/* A guest's session: closing flushes. */
static void
use(unsigned ops)
{
	struct vd_disk *d;
	int ret = vd_disk_open(lab.lib, lab.top, NULL, &d, &lab.err);

	if (ret)
		give_up("open");
	while (ops-- && !ret)
		ret = one_op(d);
	if (ret)
		give_up("an operation");
	if (vd_disk_close(d, &lab.err))
		give_up("close");
	promised();
}

/* ----------------------------------------------------------- whole steps */

static int
do_step(const struct step *s)
{
	struct vd_open o = { .size = sizeof(o), .flags = VD_DISK_ALONE };
	struct vd_disk *d;
	int ret, ret2;

	switch (s->what) {
	case SNAPSHOT:
		return vd_snapshot(lab.lib, lab.top, s->name, NULL, &lab.err);
	case ROLLBACK:
		return vd_rollback(lab.lib, lab.top, s->name, VD_NEWER, NULL,
				   &lab.err);
	case MERGE:
		return vd_merge(lab.lib, lab.top, s->name, NULL, &lab.err);
	case RESIZE:
		break;
	}
	ret = vd_disk_open(lab.lib, lab.top, &o, &d, &lab.err);
	if (ret)
		return ret;
	if (vd_disk_size(d) != s->size)
		ret = vd_disk_resize(d, s->size, &lab.err);
	ret2 = vd_disk_close(d, &lab.err);
	return ret ? ret : ret2;
}

/* false: this format cannot. */
static bool
step(int what, const char *name, uint64_t size)
{
	struct step *s = &steps[nsteps];
	int ret;

	*s = (struct step){ .what = what, .size = size, .begun = pc_count() };
	snprintf(s->name, sizeof(s->name), "%s", name ? name : "");
	if (what == SNAPSHOT)
		s->frozen = promise_freeze(name);
	else if (what != RESIZE)
		s->frozen = promise_frozen(name);
	ret = do_step(s);
	if (ret == -ENOTSUP && what == RESIZE) {
		lab.err = (struct vd_err){ 0 };
		return false;
	}
	if (ret)
		give_up(name ? name : "resize");
	s->ended = pc_count();
	if (what == ROLLBACK)
		promise_return_to(s->frozen, s->begun);
	if (what == RESIZE)
		promise_resize(size / 512, s->begun, s->ended);
	promised();
	nsteps++;
	return true;
}

/* -------------------------------------------------------------- scenarios */

static void
make(const char *path, const char *format, uint64_t unit)
{
	struct vd_create c = {
		.size = sizeof(c), .virtual_size = lab.disk, .unit = unit,
	};

	if (vd_create_image(lab.lib, format, path, &c, &lab.err))
		give_up(path);
}

/* A parent in which every sector tells its number. */
static void
fill(const char *path)
{
	struct vd_disk *d;

	for (unsigned i = 0; i < lab.disk / 8; i++)
		buf[i] = (UINT64_C(1) << 60) + i / 64;
	for (unsigned i = 0; i < lab.disk / 512; i++)
		promise_first(i, (UINT64_C(1) << 60) + i);
	if (vd_disk_open(lab.lib, path, NULL, &d, &lab.err) ||
	    vd_disk_write(d, buf, lab.disk, 0, 0, &lab.err) ||
	    vd_disk_close(d, &lab.err))
		give_up(path);
}

/* Small units, so that a table has several pages. */
static void
choose_sizes(void)
{
	bool vmdk = !strcmp(lab.format, "vmdk");

	lab.disk = vmdk ? 4u << 20 : 2u << 20;
	lab.unit = !strcmp(lab.format, "vdi") ? 2048 : 4096;
}

static void
make_disk(const char *folder, bool over)
{
	bool delta = !strcmp(lab.format, "delta");
	struct vd_create c = {
		.size = sizeof(c), .unit = lab.unit,
	};
	char parent[512];

	/* A disk of a raw base keeps its name; the delta comes with a snapshot. */
	snprintf(lab.top, sizeof(lab.top), "%s/disk.%s", folder, lab.format);
	if (!over && !delta) {
		make(lab.top, lab.format, c.unit);
		return;
	}
	snprintf(parent, sizeof(parent), "%s/parent.%s", folder,
		 delta ? "raw" : lab.format);
	make(parent, delta ? "raw" : lab.format, delta ? 0 : c.unit);
	if (over)
		fill(parent);
	if (vd_create_child(lab.lib, lab.format, lab.top, parent, NULL, &c,
			    &lab.err))
		give_up(lab.top);
}

static void
play_base(void)
{
	for (int i = 0; i < 4; i++)
		use(120);
}

static void
play_resize(void)
{
	static const unsigned sizes[] = { 10, 4, 12, 6, 8 };	/* eighths */

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		use(80);
		if (!step(RESIZE, NULL, lab.disk / 8 * sizes[i])) {
			printf("# %s cannot be resized\n", lab.format);
			exit(2);
		}
	}
	use(80);
}

static void
play_snapshot(void)
{
	use(60);
	step(SNAPSHOT, "a", 0);
	use(60);
	step(SNAPSHOT, "b", 0);
	use(60);
	step(ROLLBACK, "b", 0);
	use(60);
	step(ROLLBACK, "a", 0);
	use(60);
	step(SNAPSHOT, "c", 0);
	use(30);
}

static void
play_merge(void)
{
	use(60);
	step(SNAPSHOT, "a", 0);
	use(60);
	step(SNAPSHOT, "b", 0);
	use(60);
	step(SNAPSHOT, "c", 0);
	use(60);
	step(MERGE, "b", 0);
	use(60);
	step(MERGE, "c", 0);
	use(60);
}

static const struct scenario {
	const char     *name;
	bool		over, discards;
	void	      (*play)(void);
} scenarios[] = {
	{ "base", false, false, play_base },
	{ "child", true, false, play_base },
	{ "discard", false, true, play_base },
	{ "discard-child", true, true, play_base },
	{ "resize", false, false, play_resize },
	{ "snapshot", true, true, play_snapshot },
	{ "merge", true, false, play_merge },
};

/* ------------------------------------------------------- after the crash */

static void
tell(size_t cut, const char *what, const char *text)
{
	if (lab.quiet || lab.shown++ >= SHOWN_MAX)
		return;
	fprintf(stderr, "# %s %s: cut at change %zu of %zu: %s: %s\n",
		lab.format, lab.scenario, cut, pc_count(), what, text);
}

static void
tell_error(size_t cut, const char *what)
{
	char text[1400];

	tell(cut, what, vd_err_text(&lab.err, text, sizeof(text)));
	lab.err = (struct vd_err){ 0 };
}

struct verdict {
	struct vd_report report;
	size_t		cut;
	unsigned	damages;
};

static void
finding(struct vd_report *r, const struct vd_finding *f)
{
	struct verdict *v = (struct verdict *)r;
	char text[1024];

	if (f->severity != VD_DAMAGE)
		return;
	v->damages++;
	snprintf(text, sizeof(text), "%s: %s (%s, byte %" PRIu64 ")", f->code,
		 f->text, f->file, f->off);
	tell(v->cut, "damage", text);
}

/* Every image of the chain, by itself. */
static bool
verify(struct vd_disk *d, size_t cut)
{
	struct verdict v = {
		.report = { .size = sizeof(v.report), .finding = finding },
		.cut = cut,
	};

	for (unsigned i = 0; i < vd_disk_depth(d); i++) {
		struct vd_open o = {
			.size = sizeof(o),
			.flags = VD_DISK_CHECK | VD_DISK_RDONLY |
				 VD_DISK_SHARED,
		};
		struct vd_disk *one;
		int ret = vd_disk_open(lab.lib, vd_disk_path(d, i), &o, &one,
				       &lab.err);

		if (ret) {
			v.damages++;
			tell_error(cut, "verify cannot open");
			continue;
		}
		ret = vd_disk_check(one, 0, &v.report, &lab.err);
		if (ret && ret != -ENOTSUP) {
			v.damages++;
			tell_error(cut, "verify");
		}
		lab.err = (struct vd_err){ 0 };
		vd_disk_close(one, NULL);
	}
	return !v.damages;
}

static const struct step *
step_at(size_t cut)
{
	for (unsigned i = 0; i < nsteps; i++)
		if (steps[i].begun < cut && cut < steps[i].ended)
			return &steps[i];
	return NULL;
}

/* Which snapshots must be there, and which may. */
static void
expect_frozen(size_t cut, struct frozen *f, bool *must, bool *may)
{
	*must = *may = false;
	for (unsigned i = 0; i < nsteps && steps[i].begun < cut; i++) {
		const struct step *s = &steps[i];
		bool over = s->ended <= cut;
		bool makes = s->what == SNAPSHOT && s->frozen == f;
		/* A rollback removes what is newer than its aim. */
		bool removes = (s->what == MERGE && s->frozen == f) ||
			       (s->what == ROLLBACK &&
				promise_newer(f, s->frozen));

		if (makes) {
			*may = true;
			*must = over;
		}
		if (removes) {
			*must = false;
			*may = *may && !over;
		}
	}
}

static bool
check_frozen(struct vd_disk *d, unsigned layer, struct frozen *f, size_t cut)
{
	struct vd_open o = {
		.size = sizeof(o), .flags = VD_DISK_RDONLY | VD_DISK_SHARED,
	};
	struct vd_disk *s;
	bool good;

	if (vd_disk_open(lab.lib, vd_disk_path(d, layer), &o, &s, &lab.err)) {
		tell_error(cut, "a snapshot does not open");
		return false;
	}
	good = vd_disk_read(s, buf, vd_disk_size(s), 0, &lab.err) == 0 &&
	       promise_check_frozen(f, buf, vd_disk_size(s) / 512);
	if (!good)
		tell(cut, "a snapshot changed", vd_disk_path(d, layer));
	vd_disk_close(s, NULL);
	return good;
}

static bool
check_snapshots(struct vd_disk *d, size_t cut)
{
	struct frozen *f;
	char name[256];
	bool good = true;

	for (unsigned i = 0; (f = promise_frozen_no(i)); i++) {
		bool must, may, found = false;

		expect_frozen(cut, f, &must, &may);
		for (unsigned l = 1; l < vd_disk_depth(d); l++) {
			const char *n = vd_snapshot_name(d, l, name,
							 sizeof(name));

			if (!n || strcmp(n, promise_name(f)))
				continue;
			found = true;
			if (may)
				good &= check_frozen(d, l, f, cut);
		}
		if (must && !found) {
			tell(cut, "a snapshot is lost", promise_name(f));
			good = false;
		}
	}
	return good;
}

static bool
check_content(struct vd_disk *d, size_t cut, unsigned upto)
{
	uint64_t size = vd_disk_size(d);
	char text[128];
	long bad;

	if (size > DISK_MAX || !promise_size_allowed(size / 512, cut)) {
		snprintf(text, sizeof(text), "%" PRIu64 " bytes", size);
		tell(cut, "size", text);
		return false;
	}
	if (vd_disk_read(d, buf, size, 0, &lab.err)) {
		tell_error(cut, "read");
		return false;
	}
	bad = promise_check(buf, size / 512, upto, cut);
	if (bad) {
		snprintf(text, sizeof(text), "%ld sectors, the first %"
			 PRIu64 " of operation %" PRIu64 ", promised up to %u",
			 bad, promise_bad_sector(), buf[promise_bad_sector() *
			 64] >> 20, upto);
		tell(cut, "loss", text);
	}
	return !bad;
}

/* Opens, holds what was promised, and its images are sound. */
static bool
look(size_t cut, unsigned upto, bool write)
{
	struct vd_open o = {
		.size = sizeof(o), .flags = write ? 0 : VD_DISK_RDONLY,
	};
	struct vd_disk *d;
	bool good;

	if (vd_disk_open(lab.lib, lab.top, &o, &d, &lab.err)) {
		tell_error(cut, "does not open");
		lab.losses++;
		return false;
	}
	good = check_content(d, cut, upto);
	if (good && (nsteps || write))
		good = check_snapshots(d, cut);
	lab.losses += !good;
	if (good && !write && !verify(d, cut)) {
		lab.damaged++;
		good = false;
	}
	vd_disk_close(d, NULL);
	return good;
}

/* The interrupted call once more; then the disk takes a write. */
static void
go_on(size_t cut, unsigned upto)
{
	const struct step *s = step_at(cut);
	struct vd_disk *d = NULL;
	int ret = 0;

	if (s) {
		ret = do_step(s);
		/* It may have been through, and only its folder be left. */
		if (ret == -EEXIST || ret == -ENOENT)
			ret = 0;
		if (ret)
			tell_error(cut, "not a second time");
		lab.err = (struct vd_err){ 0 };
	}
	if (!ret)
		ret = vd_disk_open(lab.lib, lab.top, NULL, &d, &lab.err);
	if (!ret && !s && !check_content(d, cut, upto))
		ret = -EIO;
	if (!ret) {
		memset(buf, 0x5a, 8192);
		ret = vd_disk_write(d, buf, 8192, 65536, VD_FUA, &lab.err);
	}
	if (d && vd_disk_close(d, &lab.err) && !ret)
		ret = -EIO;
	if (!ret)
		ret = vd_disk_open(lab.lib, lab.top, &(struct vd_open){
				   .size = sizeof(struct vd_open),
				   .flags = VD_DISK_RDONLY }, &d, &lab.err);
	if (!ret) {
		ret = verify(d, cut) ? 0 : -EIO;
		vd_disk_close(d, NULL);
	}
	if (ret) {
		tell_error(cut, "stuck");
		lab.stuck++;
	}
	pc_spoilt();
}

struct cut {
	size_t		at;
	enum pc_part	part;
};

static int
by_place(const void *a, const void *b)
{
	const struct cut *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/*
 * A quarter of the cuts: everything up to a change, each change in turn (or as
 * many of them as there are cuts).  Of the rest half are anywhere, half where
 * it hurts: close to a promise.
 */
static struct cut *
choose_cuts(unsigned n)
{
	static const enum pc_part parts[] = { PC_TORN, PC_SOME, PC_TORN, PC_NONE };
	struct cut *cuts = calloc(n, sizeof(*cuts));
	size_t all = pc_count();
	unsigned whole = n / 4 < all + 1 ? n / 4 : (unsigned)all + 1;

	for (unsigned i = 0; i < n; i++) {
		size_t c = random64() % (all + 1);

		if (i >= whole && i % 2) {
			while (c > 4 && c < all && pc_kind(c, NULL) != PC_MARK)
				c--;
			c = c > 4 ? c + 1 - random64() % 5 : c;
			c = c < all ? c : all;
		}
		cuts[i] = i < whole
			? (struct cut){ i * all / whole, PC_ALL }
			: (struct cut){ c, parts[i / 2 % 4] };
	}
	qsort(cuts, n, sizeof(*cuts), by_place);
	return cuts;
}

static void
campaign(unsigned n, bool forget_syncs)
{
	struct cut *cuts = choose_cuts(n);
	unsigned upto = 0, what;
	size_t seen = 0;

	for (unsigned i = 0; i < n; i++) {
		size_t cut = cuts[i].at;

		for (; seen < cut; seen++)
			if (pc_kind(seen, &what) == PC_MARK)
				upto = what;
		pc_state(cut, cuts[i].part, random64(), forget_syncs);
		lab.states++;
		if (look(cut, upto, false) && i % 8 == 0 && !forget_syncs)
			go_on(cut, upto);
	}
	free(cuts);
}

/* ------------------------------------------------------------------- main */

__attribute__((noreturn)) static void
usage(void)
{
	fprintf(stderr, "usage: crash-lab [-n states] [-s seed] [-x] format "
		"scenario folder\n");
	exit(2);
}

static const struct scenario *
find_scenario(const char *name)
{
	for (unsigned i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++)
		if (!strcmp(scenarios[i].name, name))
			return &scenarios[i];
	usage();
}

int
main(int argc, char **argv)
{
	const struct scenario *s;
	unsigned n = 1000;
	uint64_t seed = 1;
	bool forget = false;
	int c;

	while ((c = getopt(argc, argv, "n:s:x")) != -1) {
		switch (c) {
		case 'n':
			n = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'x':
			forget = lab.quiet = true;
			break;
		default:
			usage();
		}
	}
	if (argc - optind != 3)
		usage();
	lab.format = argv[optind];
	lab.scenario = argv[optind + 1];
	s = find_scenario(lab.scenario);
	lab.discards = s->discards;
	lab.rnd = seed * 0x9e3779b97f4a7c15u + 1;
	if (mkdir(argv[optind + 2], 0700) && errno != EEXIST)
		give_up("mkdir");
	if (vd_library_open(NULL, &lab.lib, &lab.err))
		give_up("modules");
	choose_sizes();
	promise_begin(DISK_MAX / 512, lab.disk / 512);
	make_disk(argv[optind + 2], s->over);
	pc_record(argv[optind + 2]);
	s->play();
	pc_replay();
	campaign(n, forget);
	printf("%s %s: %lu states of %zu changes, %u promises: %lu losses, "
	       "%lu damaged, %lu stuck\n", lab.format, lab.scenario,
	       lab.states, pc_count(), promise_op(), lab.losses, lab.damaged,
	       lab.stuck);
	pc_end();
	vd_library_close(lab.lib);
	return lab.losses || lab.damaged || lab.stuck;
}
