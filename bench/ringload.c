/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* objects: t/lib/frontend.o t/lib/rig.o core/ring/libvdring.a */
/*
 * ringload.c - the way of a guest's request without a guest and without Xen.
 *
 *	ringload -i IMAGE -p randread|randwrite [-q depth] [-t secs] [-c]
 *
 * A frontend in one thread, the ring handler and its queue in another, shared
 * memory between them (the loop transport): what the ring costs on top of the
 * file can be held against fio on the same file.
 */
#include <errno.h>
#include <getopt.h>

#include "rig.h"
#include "tally.h"

#define SECTORS		(BLOCK / 512)

struct ringload {
	const char     *image, *pattern, *format;
	uint32_t	depth;
	double		secs;
	bool		write, check;
	uint64_t	seed, blocks, wrong;
	uint64_t       *off, *began;	/* by slot, which is also its page */
	uint32_t       *idle, nidle;
	struct rig	rig;
	struct tally	tally;
};

static int
usage(void)
{
	fputs("usage: ringload -i IMAGE -p randread|randwrite [-q depth] "
	      "[-t secs] [-S seed]\n"
	      "                [-r format] [-c] check what is read\n", stderr);
	return 2;
}

static int
failed(const struct vd_err *err)
{
	char text[1200];

	fprintf(stderr, "ringload: %s\n", vd_err_text(err, text, sizeof(text)));
	return 1;
}

static void
submit(struct ringload *l)
{
	uint32_t slot = l->idle[--l->nidle];
	uint64_t block = random_next(&l->seed) % l->blocks;
	struct fe_req q = {
		.op = l->write ? FE_WRITE : FE_READ,
		.nseg = 1, .id = slot, .sector = block * SECTORS,
		.seg = { { slot, 0, SECTORS - 1 } },
	};

	l->off[slot] = block * BLOCK;
	if (l->write)
		stamp(fe_page(&l->rig.fe, slot), l->off[slot], BLOCK);
	l->began[slot] = now_ns();
	fe_put(&l->rig.fe, &q);
}

static bool
take(struct ringload *l, const struct fe_rsp *r)
{
	uint32_t slot = (uint32_t)r->id;

	if (slot >= l->depth || r->status != FE_OKAY) {
		fprintf(stderr, "ringload: request %u: status %d\n", slot,
			r->status);
		return false;
	}
	tally_one(&l->tally, l->began[slot], now_ns());
	if (l->check && !l->write)
		l->wrong += count_wrong(fe_page(&l->rig.fe, slot),
					l->off[slot], BLOCK);
	l->idle[l->nidle++] = slot;
	return true;
}

static bool
run(struct ringload *l)
{
	uint64_t end = l->tally.start + (uint64_t)(l->secs * 1e9);
	struct fe *fe = &l->rig.fe;
	bool more = true;
	struct fe_rsp r;

	while (more || l->nidle < l->depth) {
		while (more && l->nidle)
			submit(l);
		fe_push(fe);
		/* As a guest does: sleep when there is nothing to take. */
		while (l->nidle < l->depth && !fe_next(fe, &r)) {
			if (!fe_rearm(fe) && !fe_wait(fe, 10000)) {
				fputs("ringload: no answer\n", stderr);
				return false;
			}
			continue;
		}
		do {
			if (l->nidle == l->depth)
				break;
			if (!take(l, &r))
				return false;
		} while (fe_next(fe, &r));
		if (now_ns() >= end)
			more = false;
	}
	return true;
}

static int
serve(struct ringload *l, struct vd_disk *disk, struct vd_err *err)
{
	struct vd_queue *queue;
	bool good;
	int ret = vd_queue_open(disk, VD_DRIVER_AUTO, 2 * l->depth, &queue,
				err);

	if (ret)
		return ret;
	l->rig.order = l->depth > 64 ? 2 : l->depth > 32 ? 1 : 0;
	l->rig.guest_pages = l->depth;
	l->rig.cfg.disk = disk;
	l->rig.cfg.queue = queue;
	ret = rig_open(&l->rig);
	if (ret)
		return vd_fail(err, -ret, VD_NOWHERE, "cannot open a ring");
	rig_thread(&l->rig);
	l->tally.start = now_ns();
	good = run(l);
	if (good) {
		tally_print(&l->tally, now_ns(), BLOCK);
		printf(" driver=%s kicks=%llu wrong=%llu\n",
		       vd_queue_driver(queue),
		       (unsigned long long)l->rig.fe.kicks,
		       (unsigned long long)l->wrong);
	}
	rig_join(&l->rig);
	rig_close(&l->rig);
	vd_queue_close(queue);
	return good && !l->wrong ? 0 : vd_fail(err, EIO, VD_NOWHERE,
					       "the run failed");
}

static int
measure(struct ringload *l)
{
	struct vd_open o = { .size = sizeof(o), .format = l->format };
	struct vd_err err = { 0 };
	struct vd_library *lib;
	struct vd_disk *disk;
	int ret;

	if (!l->write)
		o.flags = VD_DISK_RDONLY;
	if (vd_library_open(NULL, &lib, &err))
		return failed(&err);
	if (vd_disk_open(lib, l->image, &o, &disk, &err)) {
		vd_library_close(lib);
		return failed(&err);
	}
	l->blocks = vd_disk_size(disk) / BLOCK;
	ret = serve(l, disk, &err);
	vd_disk_close(disk, ret ? NULL : &err);
	vd_library_close(lib);
	return err.code ? failed(&err) : 0;
}

int
main(int argc, char **argv)
{
	struct ringload l = { .depth = 1, .secs = 2, .seed = 1 };
	int c;

	while ((c = getopt(argc, argv, "i:p:q:t:S:r:c")) != -1) {
		switch (c) {
		case 'i': l.image = optarg; break;
		case 'p': l.pattern = optarg; break;
		case 'q': l.depth = (uint32_t)strtoul(optarg, NULL, 0); break;
		case 't': l.secs = strtod(optarg, NULL); break;
		case 'S': l.seed += strtoull(optarg, NULL, 0) * 7919; break;
		case 'r': l.format = optarg; break;
		case 'c': l.check = true; break;
		default: return usage();
		}
	}
	if (!l.image || !l.pattern || !l.depth || l.depth > 128 ||
	    optind != argc)
		return usage();
	l.write = !strcmp(l.pattern, "randwrite");
	l.off = calloc(l.depth, sizeof(*l.off));
	l.began = calloc(l.depth, sizeof(*l.began));
	l.idle = calloc(l.depth, sizeof(*l.idle));
	l.tally.lat = malloc(SAMPLES * sizeof(*l.tally.lat));
	for (uint32_t i = 0; i < l.depth; i++)
		l.idle[l.nidle++] = i;
	return measure(&l);
}
