/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring-restart.t.c - a process that serves a ring is killed at every point
 * where it writes something that counts; the next one goes on.  Each request is
 * answered once, and what was answered is on the disk.
 *
 * The ring handler here was built with points between those writes, and calls
 * ring_point() at each.  The disk is memory that survives the process.
 */
/* objects: t/lib/frontend.o t/lib/fakequeue.o t/points/libvdring.a */
#define RING_POINTS
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <tap.h>
#include <unistd.h>

#include "core/ring/inflight.h"
#include "core/ring/loop.h"
#include "core/ring/ring.h"
#include "fakequeue.h"
#include "frontend.h"

#define DISK_BYTES	(1u << 20)
#define REQUESTS	64u
#define KILLED		1000

static struct shared {
	unsigned	hits;		/* points passed by this process */
	unsigned	kill_at;	/* 0: never */
	unsigned	fetched;	/* .. or when so many were; 0: never */
	char		where[64];	/* it was killed */
} *sh;

static struct fe fe;
static struct vd_disk *disk;
static const struct inflight_key key = { .abi = 1, .pages = 1, .port = 5,
					 .refs = { 8 } };
static unsigned out_of_order;
static struct vd_queue *queue;		/* of the last one in this process */

void
ring_point(const char *where)
{
	bool enough;

	if (!sh)
		return;
	enough = sh->fetched && !strcmp(where, "request fetched") &&
		 !--sh->fetched;
	if (++sh->hits != sh->kill_at && !enough)
		return;
	snprintf(sh->where, sizeof(sh->where), "%s", where);
	raise(SIGKILL);
}

/* ----------------------------------------------------------------- server */

static void
say(void *ctx, const char *text)
{
	(void)ctx;
	(void)text;
}

/* Runs until everything that is in the ring is answered. */
static int
serve(bool resume)
{
	struct ring_config cfg = {
		.pages = 1, .abi = RING_ABI_X86_64, .disk = disk,
		.discard = true, .max_indirect = 32, .key = &key,
		.resume = resume, .log = say,
	};
	struct vd_err err = { 0 };
	struct loop *loop;
	struct ring *ring;

	cfg.queue = queue = fq_open(disk, out_of_order ? FQ_RANDOM : FQ_AUTO);
	cfg.queue->seed += out_of_order;
	if (inflight_open(7, 51728, &cfg.inflight, &err) ||
	    loop_open(fe.memfd, 1, fe.guest_pages, fe.notify_fd, &loop, &err))
		return 10;
	cfg.ring = loop_ring(loop);
	cfg.transport = loop_transport(loop);
	if (resume != inflight_fits(cfg.inflight, &key))
		return 11;
	if (ring_open(&cfg, &ring, &err))
		return 12;
	while (ring_run(ring) == RING_MORE || ring_inflight(ring) ||
	       ring_unfetched(ring))
		usleep(ring_delay_ms(ring) * 1000);
	ring_close(ring);
	loop_close(loop);
	inflight_close(cfg.inflight);
	return 0;
}

/* The exit status, or KILLED. */
static int
run(bool resume, unsigned kill_at)
{
	int status;
	pid_t pid;

	sh->hits = 0;
	sh->kill_at = kill_at;
	pid = fork();
	if (!pid)
		_exit(serve(resume));
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? KILLED :
	       WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

/* ------------------------------------------------------------------ guest */

static struct job {
	uint8_t		op;
	int		want;
	unsigned	answers;
	bool		put;
} jobs[REQUESTS];
static unsigned wrong;

static uint8_t
content(unsigned i)
{
	return (uint8_t)(i + 1);
}

/* Page i and sectors 8 i .. 8 i + 7 belong to request i. */
static void
put(unsigned i, uint8_t op)
{
	struct fe_req q = { .op = op, .id = 0x1000 + i, .sector = 8 * i };

	jobs[i] = (struct job){ .op = op, .put = true };
	memset(fe_page(&fe, i), op == FE_READ ? 0xee : content(i), FE_PAGE);
	switch (op) {
	case FE_FLUSH:
		break;
	case FE_BARRIER:
	case FE_READ:
	case FE_WRITE:
		q.nseg = 1;
		q.seg[0] = (struct fe_seg){ i, 0, 7 };
		break;
	case FE_DISCARD:
		q.nr_sectors = 8;
		break;
	case FE_INDIRECT:
		q.inner = FE_WRITE;
		q.nseg = 1;
		q.indirect[0] = REQUESTS + i;
		fe_indirect_page(&fe, REQUESTS + i,
				 &(struct fe_seg){ i, 0, 7 }, 1);
		break;
	default:
		jobs[i].want = FE_NOTSUPP;
	}
	fe_put(&fe, &q);
}

static void
check(unsigned i, const struct fe_rsp *rsp)
{
	const uint8_t *at = disk->data + i * FE_PAGE;

	if (rsp->status != jobs[i].want)
		wrong++;
	else if (jobs[i].op == FE_READ)
		wrong += fe_page(&fe, i)[17] != at[17];
	else if (jobs[i].op == FE_DISCARD)
		wrong += at[0] || at[FE_PAGE - 1];
	else if (jobs[i].want == FE_OKAY && jobs[i].op != FE_FLUSH)
		wrong += at[0] != content(i) || at[FE_PAGE - 1] != content(i);
}

static void
take(void)
{
	struct fe_rsp rsp;

	while (fe_next(&fe, &rsp)) {
		unsigned i = (unsigned)(rsp.id - 0x1000);

		if (i >= REQUESTS || !jobs[i].put || jobs[i].answers++) {
			wrong++;
			continue;
		}
		check(i, &rsp);
	}
}

static const uint8_t mix[] = {
	FE_WRITE, FE_READ, FE_WRITE, FE_FLUSH, 77, FE_INDIRECT, FE_DISCARD,
	FE_WRITE, FE_BARRIER, FE_READ, FE_WRITE, FE_WRITE, FE_FLUSH, FE_WRITE,
};
#define MIX	(unsigned)sizeof(mix)

/* More requests, into the slots that the answers taken so far have freed. */
static void
put_mix(unsigned first)
{
	unsigned i;

	for (i = 0; i < MIX && !fe_full(&fe) && first + i < REQUESTS; i++)
		put(first + i, mix[i]);
	fe_push(&fe);
}

static unsigned
unanswered(void)
{
	unsigned i, n = 0;

	for (i = 0; i < REQUESTS; i++)
		n += jobs[i].put && jobs[i].answers != 1;
	return n;
}

/* A fresh guest, whose indices are about to wrap. */
static void
begin(void)
{
	memset(jobs, 0, sizeof(jobs));
	memset(disk->data, 0x99, DISK_BYTES);
	if (fe_open(&fe, FE_64, 0, 2 * REQUESTS, UINT32_MAX - 5))
		ok(false, "guest");
	put_mix(0);
}

/* The log goes with the guest, else the next one's ring would have it. */
static void
end(void)
{
	struct vd_err err = { 0 };
	struct inflight *l;

	if (inflight_open(7, 51728, &l, &err))
		ok(false, "the log opens");
	inflight_end(l);
	inflight_close(l);
	fe_close(&fe);
}

/* ------------------------------------------------------------------ tests */

/*
 * Killed at point `first`, the next one after `second` more, the third not.
 * Between them the guest takes answers and puts more requests.  False: the first
 * one was done before that.
 */
static bool
kill_twice(unsigned first, unsigned second)
{
	bool valid;
	int ret;

	begin();
	ret = run(false, first);
	valid = strcmp(sh->where, "begun, not valid");
	if (ret == KILLED) {
		take();
		put_mix(MIX);
		ret = run(valid, second);
	}
	valid |= ret != KILLED || strcmp(sh->where, "begun, not valid");
	take();
	put_mix(2 * MIX);
	if (ret == KILLED || ret == 0)
		ret = run(valid, 0);
	take();
	if (ret || unanswered() || wrong) {
		diag("killed at point %u (%s), then %u: status %d, %u not "
		     "answered once, %u wrong", first, sh->where, second, ret,
		     unanswered(), wrong);
		wrong++;
	}
	end();
	return sh->hits && ret == 0;
}

static unsigned
points_of_one(void)
{
	unsigned n;

	begin();
	is_int(run(false, 0), 0, "a process that nobody kills");
	n = sh->hits;
	take();
	is_int(unanswered() + wrong, 0, "answers all, once");
	end();
	return n;
}

static void
test_every_point(unsigned seed)
{
	unsigned n, i;

	out_of_order = seed;
	wrong = 0;
	n = points_of_one();
	for (i = 1; i <= n && wrong < 3; i++)
		kill_twice(i, 0);
	is_int(wrong, 0, "killed at each of %u points (order %u)", n, seed);
	for (i = 1; i <= n && wrong < 3; i++)
		kill_twice(i, 1 + (i * 7 + seed) % 40);
	is_int(wrong, 0, "and the next one as well");
}

/* Killed again and again, never getting far. */
static void
test_many(void)
{
	unsigned n = 0, at;
	int ret;

	out_of_order = 5;
	wrong = 0;
	begin();
	ret = run(false, 30);
	for (at = 1; ret == KILLED && n < 500; n++) {
		take();
		at = at % 23 + 3;
		ret = run(true, at);
	}
	take();
	ok(!ret && !unanswered() && !wrong, "killed %u times in a row", n);
	end();
}

/* What was written before a barrier is written before it again. */
static void
test_barrier(void)
{
	static const uint32_t want[] = { VD_OP_WRITE, VD_OP_WRITE, VD_OP_WRITE,
		VD_OP_FLUSH, VD_OP_WRITE, VD_OP_FLUSH };
	unsigned i, n = 0;

	out_of_order = wrong = 0;
	begin();
	is_int(run(false, 0), 0, "a process ends with the ring in use");
	take();
	for (i = 0; i < 4; i++)
		put(20 + i, i < 3 ? FE_WRITE : FE_BARRIER);
	fe_push(&fe);
	sh->fetched = 4;
	is_int(run(true, 0), KILLED, "the next is killed behind a barrier");
	sh->kill_at = sh->fetched = 0;
	is_int(serve(true), 0, "and the next ends well");
	for (i = 0; i < queue->nevents && n < 6; i++)
		if (queue->events[i].what == FQ_SUBMIT &&
		    queue->events[i].op == want[n])
			n++;
		else if (queue->events[i].what == FQ_SUBMIT)
			break;
	is_int(n, 6, "three writes, then flush, its own write, flush");
	take();
	is_int(unanswered() + wrong, 0, "all answered once");
	vd_queue_close(queue);
	end();
}

int
main(void)
{
	char dir[] = "/tmp/ring-restart.XXXXXX";
	unsigned seed;

	if (!mkdtemp(dir))
		return 1;
	setenv("VDISK_RUN_DIR", dir, 1);
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	disk = fq_disk(DISK_BYTES);
	free(disk->data);
	disk->data = mmap(NULL, DISK_BYTES, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (seed = 0; seed < 3; seed++)
		test_every_point(seed);
	test_many();
	test_barrier();
	ok(!rmdir(dir), "an end in order leaves no log");
	return done_testing();
}
