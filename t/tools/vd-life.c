/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vd-life.c - the whole life of a disk, at random, held against a copy in memory. */
/* objects: t/lib/model.o t/lib/life-io.o t/lib/life-chain.o */
/*
 *	vd-life [-s SEED] [-n COUNT] [-k STEP] [-v] [-f FORMAT] [-x OP,OP]
 *		[-l LEAK] [-r OFF:LEN] [-e EACH -c COMMAND] FILE
 *
 * Writes, zeros, discards, flushes, deaths, threads, and what its owner does:
 * snapshot, rollback, merge, resize, clone.  After each change of the chain, and
 * each time the disk is opened again, all is equal and `verify' is silent.
 *
 * -x names what FILE cannot do: that has to be refused each time, and all else
 * has to work each time.  Operations on a disk with a parent are others than
 * those without: grow and grow-child, merge and merge-base (the lowest);
 * merge@NAME>CHILD is one merge of two images that FILE has from the start;
 * first:OP is refused until a snapshot or rollback has made another top.
 * -l: verify may report a leak of this code, where room is kept to be used again.
 * -r: writes to this range are refused.  -c: every EACH times that the disk is
 * closed, COMMAND FILE RAW DEPTH is asked; RAW holds what FILE has to.
 *
 * A failure tells the seed and the step; with -k STEP the same run stops in
 * front of it, and the files are as it found them.
 * Exit: 0 all as it should be, 1 not.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "life.h"

static const struct op {
	const char     *name, *child;	/* child: with a parent below */
	int	      (*run)(struct life *f);
	unsigned	weight;
	bool		needs_snap;
} ops[] = {
	{ "write", NULL, life_write, 60, false },
	{ "zero", NULL, life_zero, 16, false },
	{ "unmap", NULL, life_unmap, 12, false },
	{ "discard", "discard-child", life_discard, 16, false },
	{ "flush", NULL, life_flush, 12, false },
	{ "read", NULL, life_read, 12, false },
	{ "extents", NULL, life_extents, 4, false },
	{ "burst", NULL, life_burst, 6, false },
	{ "die", NULL, life_die, 5, false },
	{ "reopen", NULL, life_reopen, 12, false },
	{ "snapshot", NULL, life_snapshot, 6, false },
	{ "rollback", NULL, life_rollback, 3, true },
	{ "merge", "merge-base", life_merge, 8, true },
	{ "grow", "grow-child", life_grow, 5, false },
	{ "shrink", "shrink-child", life_shrink, 5, false },
	{ "clone", NULL, life_clone, 1, false },
	{ "branch", NULL, life_branch, 2, true },
};
#define NOPS	(sizeof(ops) / sizeof(*ops))

static struct {
	uint64_t	done, refused;
} count[NOPS][2];

static struct life f;
static const char *cannot = "";
static bool loud;

static bool
listed(const char *name)
{
	size_t n = strlen(name);

	for (const char *p = cannot; (p = strstr(p, name)); p += n)
		if ((p == cannot || p[-1] == ',') && (!p[n] || p[n] == ','))
			return true;
	return false;
}

static const struct op *
by_name(const char *name)
{
	const struct op *o = ops;

	while (strcmp(o->name, name))
		o++;
	return o;
}

/* From time to time the chain is let grow short. */
static const struct op *
choose(void)
{
	bool calm = f.step / 64 % 4 == 3;
	unsigned sum = 0, at;

	for (unsigned i = 0; i < NOPS; i++)
		sum += ops[i].weight;
	at = life_random(&f) % sum;
	for (unsigned i = 0; ; i++) {
		if (at >= ops[i].weight) {
			at -= ops[i].weight;
			continue;
		}
		if (calm && ops[i].run == life_snapshot)
			i = (unsigned)(by_name("merge") - ops);
		return ops[i].needs_snap && !f.nsnaps ? &ops[0] : &ops[i];
	}
}

/* What is tried has to work or to be refused, as it is known of FILE. */
static void
judge(const char *name, int ret)
{
	char text[1400];

	if (!ret && listed(name))
		life_bad(&f, "works, and is said not to (%s)", name);
	else if (ret && !listed(name))
		life_failed(&f, name);
	else if (ret && ret != -ENOTSUP && ret != -EROFS)
		life_failed(&f, "refused, but for another reason");
	else if (ret && !f.err.msg[0])
		life_bad(&f, "refused without a word");
	else if (ret && loud)
		fprintf(stderr, "  %s\n", vd_err_text(&f.err, text,
						      sizeof(text)));
}

static void
step(void)
{
	char lowest[sizeof(f.snap[0].name) + 2];
	const struct op *o = choose();
	unsigned before = f.nsnaps;
	bool child, first = !f.replaced;
	char begun[180];
	const char *name;
	int ret;

	snprintf(lowest, sizeof(lowest), "@%s", f.snap[0].name);
	ret = o->run(&f);
	if (!strncmp(f.what, "merge ", 6))	/* instead of one too many */
		o = by_name("merge");
	child = o->run == life_merge ? !strcmp(f.what + 6, lowest) : before > 0;
	name = o->run == life_merge && listed(f.pair) ? f.pair :
	       child && o->child ? o->child : o->name;
	snprintf(begun, sizeof(begun), "first:%s", name);
	if (first && listed(begun))
		name = begun;
	if (loud)
		fprintf(stderr, "%s%s\n", f.what, ret ? ": refused" : "");
	if (!f.aside) {
		count[o - ops][child && o->child].done += !ret;
		count[o - ops][child && o->child].refused += ret != 0;
		judge(name, ret);
	}
	f.aside = false;
	vd_err_clear(&f.err);
}

static void
summary(void)
{
	for (unsigned i = 0; i < NOPS; i++)
		for (unsigned k = 0; k < 2; k++) {
			const char *name = k ? ops[i].child : ops[i].name;

			if (count[i][k].done)
				printf("%s %llu\n", name,
				       (unsigned long long)count[i][k].done);
			if (count[i][k].refused)
				printf("no %s %llu\n", name,
				       (unsigned long long)count[i][k].refused);
		}
}

static int
usage(void)
{
	fputs("usage: vd-life [-s SEED] [-n COUNT] [-k STEP] [-v] [-f FORMAT] "
	      "[-x OP,OP] [-l LEAK] [-r OFF:LEN] "
	      "[-e EACH -c COMMAND] FILE\n", stderr);
	return 2;
}

static bool
options(int argc, char **argv, uint64_t *n, uint64_t *seed)
{
	char *end;
	int c;

	while ((c = getopt(argc, argv, "s:n:k:vf:x:l:r:e:c:")) != -1) {
		if (c == 's') {
			*seed = strtoull(optarg, NULL, 0);
		} else if (c == 'n' || c == 'k') {
			*n = strtoull(optarg, NULL, 0) - (c == 'k');
		} else if (c == 'v') {
			loud = true;
		} else if (c == 'f') {
			f.open.format = optarg;
		} else if (c == 'x') {
			cannot = optarg;
		} else if (c == 'l') {
			f.leak = optarg;
		} else if (c == 'r' && f.nfrozen < LIFE_FROZEN) {
			f.frozen[f.nfrozen].off = strtoull(optarg, &end, 0);
			f.frozen[f.nfrozen++].len = strtoull(end + 1, NULL, 0);
		} else if (c == 'e') {
			f.hook_each = (unsigned)atoi(optarg);
		} else if (c == 'c') {
			f.hook = optarg;
		} else {
			return false;
		}
	}
	return optind + 1 == argc;
}

/* FILE's folder, and how its name ends. */
static void
place(const char *path)
{
	static char dir[512];
	const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');

	f.path = path;
	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash + 1 - path) : 0,
		 path);
	f.dir = dir;
	f.ext = dot ? dot + 1 : "";
}

int
main(int argc, char **argv)
{
	uint64_t n = 2000, seed = 1;

	f.open.size = sizeof(f.open);
	f.hook_each = 1;
	if (!options(argc, argv, &n, &seed))
		return usage();
	place(argv[optind]);
	f.rnd = seed * 0x9e3779b97f4a7c15u + 1;
	snprintf(f.what, sizeof(f.what), "begin");
	if (vd_library_open(NULL, &f.lib, &f.err) || !life_begin(&f)) {
		life_failed(&f, "open");
		return 1;
	}
	f.size_max = 2 * md_size(f.top);
	for (; f.step < n && !f.bad; f.step++) {
		if (loud)
			fprintf(stderr, "%llu ",
				(unsigned long long)f.step + 1);
		step();
	}
	if (f.bad)
		fprintf(stderr, "vd-life: at step %llu with -s %llu\n",
			(unsigned long long)f.step, (unsigned long long)seed);
	snprintf(f.what, sizeof(f.what), "end");
	if (!f.bad)
		life_reopen(&f);
	life_close(&f);
	if (!f.bad)
		life_compare_all(&f);
	while (f.nsnaps)
		md_free(f.snap[--f.nsnaps].state);
	md_free(f.top);
	vd_library_close(f.lib);
	if (!f.bad)
		summary();
	return f.bad ? 1 : 0;
}
