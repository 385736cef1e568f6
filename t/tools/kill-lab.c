/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* objects: t/lib/frontend.o t/lib/faketap.o core/cmd/libcmd.a core/ring/libvdring.a */
/*
 * kill-lab.c - kill -9 of a process that serves a disk, at random moments.
 *
 *	kill-lab [-n ROUNDS] [-s SEED] [-q DEPTH] [-r log|tap] FILE
 *
 * A child process serves FILE through the ring handler, as vdisk does, but with
 * the loop transport.  This process is the guest: up to DEPTH writes are in
 * flight, it remembers which were answered.  Then the server is killed, and the
 * disk opened again: each block holds what was answered last, or a write that
 * was under way (W6).  The next round goes on with the same disk.
 *
 * With -r the guest lives on, and what is in flight must be answered by the next
 * process, once: on the same ring by the log of requests (core/ring/inflight.c),
 * or as the kernel driver xpvtap does it, which presents them again to vdisk's
 * own loop.  Every other process is asked to end in order (tap), or killed early.
 * At the end nothing is unanswered, and each block holds exactly what was.
 *
 * Exit: 0 nothing was lost, 1 something was, 3 it could not be tried.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <vdisk/vdisk.h>
#include "core/cmd/cmd.h"
#include "core/cmd/serve.h"
#include "core/ring/inflight.h"
#include "core/ring/loop.h"
#include "core/ring/ring.h"
#include "faketap.h"
#include "frontend.h"

#define BLOCK		4096u
#define BLOCKS_MAX	16384u
#define DEPTH_MAX	32u

enum restart { NONE, BY_LOG, BY_TAP };

static struct {
	struct vd_library *lib;
	const char     *path;
	enum restart	restart;
	struct faketap	tap;
	struct fe      *fe;		/* in tap, or of its own */
	uint64_t	seq;		/* of requests, for the driver's order */
	uint64_t	rnd, next;
	unsigned	depth, blocks;
	uint64_t	answered[BLOCKS_MAX];	/* the number a block holds */
	uint64_t	under_way[BLOCKS_MAX];	/* 0: none */
	struct {
		bool	busy;
		bool	used;			/* kept since the last process */
		unsigned block;			/* BLOCKS_MAX: a flush */
		uint64_t seq;
		struct fe_req req;
	} slot[DEPTH_MAX];
	unsigned long	writes, flushes, lost, again;
	struct vd_err	err;
} k;

static uint64_t
random64(void)
{
	k.rnd ^= k.rnd << 13;
	k.rnd ^= k.rnd >> 7;
	k.rnd ^= k.rnd << 17;
	return k.rnd;
}

__attribute__((noreturn)) static void
give_up(const char *what)
{
	char text[1400];

	fprintf(stderr, "kill-lab: %s: %s\n", what,
		k.err.code ? vd_err_text(&k.err, text, sizeof(text))
			   : strerror(errno));
	exit(3);
}

/* ----------------------------------------------------------------- server */

/* The guest's number: a log of another run is of another ring. */
static struct inflight_key ring_key = { .abi = 1, .pages = 1 };

/* A process that is gone takes a while to leave its files. */
static void
open_log(struct ring_config *cfg)
{
	for (int i = 0; i < 1000; i++) {
		k.err = (struct vd_err){ 0 };
		if (inflight_open(7, 51728, &cfg->inflight, &k.err) != -EBUSY)
			break;
		usleep(5000);
	}
	if (k.err.code)
		give_up("log");
	cfg->key = &ring_key;
	cfg->resume = inflight_fits(cfg->inflight, &ring_key);
}

static struct vd_disk *open_again(void);

static void
serve_loop(void)
{
	struct ring_config cfg = { .abi = RING_ABI_X86_64 };
	struct loop *loop;
	struct ring *ring;
	int ms = 0;

	cfg.disk = open_again();
	if (vd_queue_open(cfg.disk, VD_DRIVER_AUTO, 64, &cfg.queue, &k.err) ||
	    loop_open(k.fe->memfd, k.fe->ring_pages, k.fe->guest_pages,
		      k.fe->notify_fd, &loop, &k.err))
		give_up("server");
	cfg.ring = loop_ring(loop);
	cfg.pages = k.fe->ring_pages;
	cfg.transport = loop_transport(loop);
	if (k.restart == BY_LOG)
		open_log(&cfg);
	if (ring_open(&cfg, &ring, &k.err))
		give_up("ring");
	for (;;) {
		struct pollfd p[2] = {
			{ .fd = vd_queue_fd(cfg.queue), .events = POLLIN },
			{ .fd = k.fe->kick_fd, .events = POLLIN },
		};
		enum ring_state state = ring_run(ring);
		uint64_t n;

		ms = (int)ring_delay_ms(ring);
		poll(p, 2, state == RING_MORE ? 0 : ms ? ms : -1);
		if (p[1].revents && read(k.fe->kick_fd, &n, sizeof(n)) < 0)
			_exit(3);
	}
}

static void
serve_tap(void)
{
	const struct serve_options o = {
		.path = k.path, .node = FAKETAP_NODE, .ready_fd = -1,
		.xpvtap = &faketap_system,
	};

	cmd_init("vdisk");
	if (!freopen("/dev/null", "w", stderr))
		_exit(3);
	_exit(serve(&o));
}

/* ------------------------------------------------------------------ guest */

static unsigned
free_block(void)
{
	unsigned b;

	do
		b = (unsigned)(random64() % k.blocks);
	while (k.under_way[b]);
	return b;
}

/* Page i of the guest belongs to slot i. */
static void
put_one(unsigned i)
{
	struct fe_req req = { .op = FE_WRITE, .id = i, .nseg = 1 };
	struct fe_req *kept = &k.slot[i].req;
	uint64_t *page = (uint64_t *)(void *)fe_page(k.fe, i);

	k.slot[i].busy = true;
	k.slot[i].seq = k.seq++;
	if (random64() % 24 == 0) {
		k.slot[i].block = BLOCKS_MAX;
		req.op = FE_FLUSH;
		req.nseg = 0;
		*kept = req;
		fe_put(k.fe, &req);
		return;
	}
	k.slot[i].block = free_block();
	k.under_way[k.slot[i].block] = ++k.next;
	for (unsigned w = 0; w < BLOCK / 8; w++)
		page[w] = k.next;
	req.sector = (uint64_t)k.slot[i].block * (BLOCK / 512);
	req.seg[0] = (struct fe_seg){ .gref = i, .first = 0, .last = 7 };
	*kept = req;
	fe_put(k.fe, &req);
}

/* As the driver does: what is unanswered once more, the oldest first. */
static void
put_again(void)
{
	for (;;) {
		unsigned i, oldest = DEPTH_MAX;

		for (i = 0; i < k.depth; i++)
			if (k.slot[i].busy && k.slot[i].used &&
			    (oldest == DEPTH_MAX ||
			     k.slot[i].seq < k.slot[oldest].seq))
				oldest = i;
		if (oldest == DEPTH_MAX)
			return;
		k.slot[oldest].used = false;
		fe_put(k.fe, &k.slot[oldest].req);
		k.again++;
	}
}

static void
take_answers(void)
{
	struct fe_rsp rsp;

	while (fe_next(k.fe, &rsp)) {
		unsigned b;

		if (rsp.id >= k.depth || !k.slot[rsp.id].busy ||
		    rsp.status != FE_OKAY) {
			fprintf(stderr, "kill-lab: answer %d to %" PRIu64 "\n",
				rsp.status, rsp.id);
			exit(3);
		}
		b = k.slot[rsp.id].block;
		k.slot[rsp.id].busy = false;
		if (b == BLOCKS_MAX) {
			k.flushes++;
			continue;
		}
		k.answered[b] = k.under_way[b];
		k.under_way[b] = 0;
		k.writes++;
	}
}

static int64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static void
put_all(void)
{
	for (unsigned i = 0; i < k.depth; i++)
		if (!k.slot[i].busy)
			put_one(i);
	fe_push(k.fe);
}

static bool
any_busy(void)
{
	for (unsigned i = 0; i < k.depth; i++)
		if (k.slot[i].busy)
			return true;
	return false;
}

/*
 * Keep the server busy for a while; it always has something under way.  us < 0:
 * until nothing is.
 */
static void
use(int64_t us)
{
	int64_t end = 0;

	while (us < 0 ? any_busy() : !end || now_us() < end) {
		if (us >= 0)
			put_all();
		if (!fe_rearm(k.fe) && !fe_wait(k.fe, 5000))
			give_up("no answer in five seconds");
		take_answers();
		if (!end)	/* counted from the first answer on */
			end = now_us() + us;
	}
}

static void
one_round(void)
{
	pid_t pid;
	int status;

	memset(k.slot, 0, sizeof(k.slot));
	memset(k.under_way, 0, sizeof(k.under_way));
	if (fe_open(k.fe, FE_64, 0, DEPTH_MAX, 0))
		give_up("guest");
	pid = fork();
	if (pid == 0)
		serve_loop();
	if (pid < 0)
		give_up("fork");
	use((int64_t)(random64() % 40000));
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		give_up("the server ended by itself");
	take_answers();
	fe_close(k.fe);
}

/* The kernel takes an io_uring down, and with it our lock, a little later. */
static struct vd_disk *
open_again(void)
{
	struct vd_disk *d;
	int ret = -EBUSY;

	for (int i = 0; i < 1000 && ret; i++) {
		k.err = (struct vd_err){ 0 };
		ret = vd_disk_open(k.lib, k.path, NULL, &d, &k.err);
		if (ret && ret != -EBUSY)
			break;
		if (ret)
			usleep(5000);
	}
	if (ret)
		give_up("the disk does not open again");
	return d;
}

/* What was under way and got through counts as answered from now on. */
static void
check(unsigned round)
{
	static uint64_t buf[BLOCK / 8];
	struct vd_disk *d = open_again();

	for (unsigned b = 0; b < k.blocks; b++) {
		if (vd_disk_read(d, buf, BLOCK, (uint64_t)b * BLOCK, &k.err))
			give_up("read");
		if (buf[0] == k.answered[b] &&
		    !memcmp(buf, buf + 1, BLOCK - 8))
			continue;
		/* One that was under way may be there in part. */
		if (k.under_way[b]) {
			bool mixed = false;

			for (unsigned w = 0; w < BLOCK / 8; w++)
				mixed |= buf[w] != k.answered[b] &&
					 buf[w] != k.under_way[b];
			if (!mixed) {
				for (unsigned w = 0; w < BLOCK / 8; w++)
					buf[w] = k.under_way[b];
				k.answered[b] = k.under_way[b];
				if (vd_disk_write(d, buf, BLOCK, (uint64_t)b *
						  BLOCK, 0, &k.err))
					give_up("write");
				continue;
			}
		}
		if (k.lost++ < 5)
			fprintf(stderr, "# round %u: block %u holds %" PRIu64
				", answered was %" PRIu64 ", under way %" PRIu64
				"\n", round, b, buf[0], k.answered[b],
				k.under_way[b]);
	}
	if (vd_disk_close(d, &k.err))
		give_up("close");
}

/* ------------------------------------------- a guest that lives through it */

static pid_t
next_server(void)
{
	pid_t pid = fork();

	if (pid < 0)
		give_up("fork");
	if (pid == 0 && k.restart == BY_TAP)
		serve_tap();
	if (pid == 0)
		serve_loop();
	if (k.restart == BY_TAP) {
		if (!faketap_again(&k.tap, 60000))
			give_up("no READY");
		put_again();
		fe_push(k.fe);
	}
	return pid;
}

static void
end_server(pid_t pid, int signo)
{
	int status;

	kill(pid, signo);
	if (waitpid(pid, &status, 0) != pid ||
	    (signo == SIGKILL ? !WIFSIGNALED(status) : status != 0))
		give_up("the server ended in another way");
	if (k.restart == BY_TAP) {
		faketap_released(&k.tap);
		take_answers();
		for (unsigned i = 0; i < k.depth; i++)
			k.slot[i].used = k.slot[i].busy;
	}
}

static void
live_through(unsigned rounds)
{
	unsigned i;
	pid_t pid;

	if (k.restart == BY_TAP ? faketap_open(&k.tap, 0, DEPTH_MAX) :
	    fe_open(k.fe, FE_64, 0, DEPTH_MAX, 0))
		give_up("guest");
	ring_key.port = (uint32_t)getpid();
	for (i = 0; i < rounds; i++) {
		bool early = random64() % 3 == 0;

		pid = next_server();
		if (early && i)
			usleep((useconds_t)(random64() % 3000));
		else
			use((int64_t)(random64() % 20000));
		if (i) {	/* in the middle of it */
			put_all();
			usleep((useconds_t)(random64() % 300));
		}
		end_server(pid, k.restart == BY_TAP && i % 2 ? SIGTERM :
			   SIGKILL);
	}
	pid = next_server();
	use(-1);
	end_server(pid, SIGKILL);
	if (k.restart == BY_TAP)
		faketap_close(&k.tap);
	else
		fe_close(k.fe);
}

__attribute__((noreturn)) static void
usage(void)
{
	fprintf(stderr, "usage: kill-lab [-n rounds] [-s seed] [-q depth] "
		"[-r log|tap] file\n");
	exit(2);
}

static void
start(const char *path)
{
	struct vd_disk *d;

	k.path = path;
	if (vd_library_open(NULL, &k.lib, &k.err) ||
	    vd_disk_open(k.lib, path, NULL, &d, &k.err))
		give_up("open");
	k.blocks = (unsigned)(vd_disk_size(d) / BLOCK);
	if (k.blocks > BLOCKS_MAX)
		k.blocks = BLOCKS_MAX;
	/* What is there now counts as answered. */
	for (unsigned b = 0; b < k.blocks; b++)
		if (vd_disk_read(d, &k.answered[b], 8, (uint64_t)b * BLOCK,
				 &k.err))
			give_up("read");
	if (vd_disk_close(d, &k.err))
		give_up("close");
}

int
main(int argc, char **argv)
{
	unsigned rounds = 20;
	uint64_t seed = 1;
	int c;

	k.depth = 8;
	k.fe = &k.tap.fe;
	while ((c = getopt(argc, argv, "n:s:q:r:")) != -1) {
		if (c == 'n')
			rounds = (unsigned)strtoul(optarg, NULL, 0);
		else if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 'q')
			k.depth = (unsigned)strtoul(optarg, NULL, 0);
		else if (c == 'r' && !strcmp(optarg, "log"))
			k.restart = BY_LOG;
		else if (c == 'r' && !strcmp(optarg, "tap"))
			k.restart = BY_TAP;
		else
			usage();
	}
	if (argc - optind != 1 || !k.depth || k.depth > DEPTH_MAX)
		usage();
	k.rnd = seed * 0x9e3779b97f4a7c15u + 1;
	start(argv[optind]);
	if (k.restart != NONE) {
		live_through(rounds);
		check(rounds);
	}
	for (unsigned i = 1; i <= rounds && !k.lost && k.restart == NONE;
	     i++) {
		one_round();
		check(i);
	}
	printf("%s: %u kills, %lu writes and %lu flushes answered: %lu lost\n",
	       k.path, rounds, k.writes, k.flushes, k.lost);
	if (k.restart == BY_TAP)
		printf("%lu requests presented again\n", k.again);
	vd_library_close(k.lib);
	return k.lost != 0;
}
