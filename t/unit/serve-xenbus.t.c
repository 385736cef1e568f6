/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * serve-xenbus.t.c - a process hands a guest's ring over to the next one, by way
 * of xenstore, grants and the log of requests.
 *
 * One process and one thread: serve() is called several times, and the guest
 * acts when it is notified.  Xen is fakexen.h.
 */
/* objects: t/lib/frontend.o core/cmd/libcmd.a core/ring/libvdring.a */
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tap.h>
#include <time.h>
#include <unistd.h>

#include "core/cmd/cmd.h"
#include "core/cmd/serve.h"
#include "core/ring/inflight.h"
#include "fakexen.h"
#include "frontend.h"
#include "harsh.h"

#define RING_REF	8u
#define BLOCKS		64u

/* Once entered there is no way back, and these are several servers in one. */
static enum sandbox_mode mode = SANDBOX_OFF;
static struct fakexen *f;
static struct fe fe;
static int store_fd, event_fd;
static char dir[] = "/tmp/serve-xenbus.XXXXXX", image[64];

/*
 * The guest: how many writes it still makes, and what it has been told.  When it
 * has been told all, the server is asked to end.
 */
static unsigned todo, next, under_way, answered[BLOCKS], wrong;
static unsigned signal_after;	/* answers from now; 0: none */

static void
wake(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void
put_some(void)
{
	struct fe_req q = { .op = FE_WRITE, .nseg = 1 };

	for (; todo && under_way < 20; todo--, under_way++, next++) {
		unsigned page = 16 + next % 40;

		q.id = next;
		q.sector = 8 * (next % BLOCKS);
		q.seg[0] = (struct fe_seg){ page, 0, 7 };
		memset(f->memory + page * FE_PAGE, (int)(next % BLOCKS) + 1,
		       FE_PAGE);
		fe_put(&fe, &q);
	}
	fe_push(&fe);
	f->rung = 40 + f->maps + 1;
	wake(event_fd);
}

/* An event: take the answers, ask for more, and perhaps end the server. */
static void
notified(struct xen *x, uint32_t port)
{
	struct fe_rsp rsp;

	(void)x;
	(void)port;
	do {
		while (fe_next(&fe, &rsp)) {
			wrong += rsp.status != FE_OKAY || rsp.id >= next;
			answered[rsp.id % BLOCKS]++;
			under_way--;
			if (signal_after && !--signal_after)
				raise(SIGUSR1);
		}
	} while (fe_rearm(&fe));
	put_some();
	if (!todo && !under_way)
		raise(SIGTERM);
}

static int
the_store_fd(struct xen *x)
{
	(void)x;
	return store_fd;
}

static int
the_event_fd(struct xen *x)
{
	(void)x;
	return event_fd;
}

static int
one_event(struct xen *x, uint32_t *port)
{
	uint64_t n;

	(void)!read(event_fd, &n, sizeof(n));
	return fake_pending(x, port);
}

/* The guest does what a guest does on a state of ours. */
static void
guest_looks(void)
{
	static const char *const follows[] = { "", "", "3", "", "4", "6", "" };
	const char *back = get(f, FAKE_B "/state");
	const char *front = get(f, FAKE_F "/state");
	const char *now = back ? follows[*back - '0'] : "";

	if (!front || !*now || !strcmp(front, now) ||
	    (*front == '1' && *back != '2'))
		return;
	put(f, FAKE_F "/state", "%s", now);
	if (*now == '4')
		put_some();
	f->fired++;
	wake(store_fd);
}

static int
committed(struct xen *x, uint32_t t)
{
	int ret = fake_commit(x, t);

	if (!ret)
		guest_looks();
	return ret;
}

static int
some_fired(struct xen *x)
{
	uint64_t n;

	(void)!read(store_fd, &n, sizeof(n));
	return fake_fired(x);
}

static void
stays(struct xen *x)
{
	(void)x;
}

static uint64_t
real_now(struct xen *x)
{
	struct timespec ts;

	(void)x;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* In place of those on the Xen libraries. */
int
xen_open(struct xen **out, struct vd_err *err)
{
	(void)err;
	*out = &f->xen;
	return 0;
}

int
xen_store_open(struct xen **out, struct vd_err *err)
{
	return xen_open(out, err);
}

static void
setup(unsigned writes)
{
	uint8_t *memory;
	int fd;

	f = fake_new();
	fake_attach(f);
	put(f, FAKE_F "/protocol", "x86_64-abi");
	put(f, FAKE_F "/ring-ref", "%u", RING_REF);
	put(f, FAKE_F "/event-channel", "15");
	f->xen.commit = committed;
	f->xen.fired = some_fired;
	f->xen.store_fd = the_store_fd;
	f->xen.event_fd = the_event_fd;
	f->xen.pending = one_event;
	f->xen.notify = notified;
	f->xen.close = stays;
	f->xen.now = real_now;
	/* A frontend whose ring is a page of that guest. */
	fe_open(&fe, FE_64, 0, 1, 0);
	memory = f->memory + RING_REF * FE_PAGE;
	memcpy(memory, fe.mem, FE_PAGE);
	munmap(fe.mem, 2 * FE_PAGE);
	fe.mem = memory;
	fe.slots = memory + 64;
	store_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	todo = writes;
	next = under_way = wrong = signal_after = 0;
	memset(answered, 0, sizeof(answered));
	fd = open(image, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || ftruncate(fd, BLOCKS * FE_PAGE))
		abort();
	close(fd);
}

/* Hand over after so many answers (0: never); then, or at the end: the status. */
static int
serve_until(unsigned answers, bool kept)
{
	const struct serve_options o = {
		.path = image, .format = "raw", .ready_fd = -1, .kept = kept,
		.node = "backend/vdisk/7/51728",
		.sandbox = { .mode = mode, .uses = SANDBOX_GNTTAB },
	};

	signal_after = answers;
	return serve(&o);
}

static void
teardown(void)
{
	close(store_fd);
	close(event_fd);
	close(fe.memfd);
	close(fe.kick_fd);
	close(fe.notify_fd);
	fake_close(&f->xen);
}

static unsigned
blocks_wrong(unsigned times)
{
	unsigned i, bad = 0;
	uint8_t b;
	int fd = open(image, O_RDONLY);

	for (i = 0; i < BLOCKS; i++)
		bad += answered[i] != times || pread(fd, &b, 1, i * FE_PAGE) !=
		       1 || b != i + 1;
	close(fd);
	return bad;
}

static void
test_hand_over(void)
{
	unsigned i, again = 0;

	setup(16 * BLOCKS);
	for (i = 0; i < 9; i++)
		again += serve_until(25, true) == SERVE_AGAIN;
	is_int(again, 9, "nine processes hand over");
	is_str(get(f, FAKE_B "/state"), "4", "the guest does not notice");
	is_str(get(f, FAKE_F "/state"), "4", "and stays connected");
	is_int(f->mapped + f->bound, 0, "nothing of it stays with them");
	is_int(serve_until(0, true), 0,
	       "the last one is asked to end");
	is_int(blocks_wrong(16) + wrong, 0,
	       "each write was answered once, and is on the disk");
	ok(!get(f, FAKE_B "/state"), "the disk is gone");
	is_int(f->maps, 10, "ten mapped the ring");
	teardown();
}

/* Somebody else's log in the way is no reason not to serve. */
static void
test_no_log(void)
{
	char path[96];

	setup(BLOCKS);
	snprintf(path, sizeof(path), "%s/vbd-7-51728.inflight", dir);
	mkdir(path, 0700);
	is_int(serve_until(0, false), 0, "without a log");
	is_int(blocks_wrong(1) + wrong, 0, "a disk is served as well");
	rmdir(path);
	teardown();
}

/* The guest went away while nobody served: what was left is nobody's. */
static void
test_guest_restarts(void)
{
	setup(2 * BLOCKS);
	is_int(serve_until(20, true), SERVE_AGAIN, "handed over");
	ok(under_way + todo > 0, "with requests to come");
	put(f, FAKE_F "/state", "1");
	memset(fe.mem, 0, FE_PAGE);
	*fe_word(&fe, FE_RSP_EVENT) = 1;
	fe.req_prod = fe.rsp_cons = 0;
	todo = BLOCKS;
	next = under_way = 0;
	memset(answered, 0, sizeof(answered));
	is_int(serve_until(0, true), 0, "a guest starts again");
	is_int(blocks_wrong(1) + wrong, 0, "with a fresh ring");
	teardown();
}

/* B4: what another disk with this number has lost is not this one's loss. */
static void
test_attached_anew(void)
{
	struct vd_err err = { 0 };
	struct inflight *l;

	is_int(inflight_open(7, 51728, &l, &err), 0, "a log");
	inflight_set_lost(l);
	inflight_close(l);
	setup(BLOCKS);
	is_int(serve_until(0, true), 0, "a disk that is attached anew");
	is_int(blocks_wrong(1) + wrong, 0, "takes each write");
	teardown();

	setup(2 * BLOCKS);
	is_int(serve_until(20, true), SERVE_AGAIN, "handed over");
	is_int(inflight_open(7, 51728, &l, &err), 0, "its log");
	inflight_set_lost(l);
	inflight_close(l);
	is_int(serve_until(0, true), 0, "one that is only served anew");
	ok(wrong > 0, "does not");
	teardown();
}

/* All that the log takes is opened ahead: a forbidden call would be the last. */
static void
test_sandboxed(void)
{
	struct vd_err err = { 0 };
	struct inflight *l;
	int status;
	pid_t pid;

	setup(4 * BLOCKS);
	pid = fork();
	if (!pid) {
		mode = harsh_sandbox();
		_exit(serve_until(25, true));
	}
	waitpid(pid, &status, 0);
	is_int(status, SERVE_AGAIN << 8, "handed over from a sandbox");
	teardown();
	setup(BLOCKS);
	pid = fork();
	if (!pid) {
		mode = harsh_sandbox();
		_exit(serve_until(0, true));
	}
	waitpid(pid, &status, 0);
	is_int(status, 0, "served to the end in a sandbox");
	teardown();
	is_int(inflight_open(7, 51728, &l, &err), 0, "what it could not remove");
	ok(!inflight_left(l), "says nothing");
	inflight_close(l);
}

int
main(void)
{
	if (!mkdtemp(dir))
		return 1;
	setenv("VDISK_RUN_DIR", dir, 1);
	snprintf(image, sizeof(image), "%s/disk.raw", dir);
	cmd_init("vdisk");
	if (!getenv("LOUD") && !freopen("/dev/null", "w", stderr))
		return 1;
	test_hand_over();
	test_no_log();
	test_guest_restarts();
	test_attached_anew();
	test_sandboxed();
	unlink(image);
	ok(!rmdir(dir), "no log is left");
	return done_testing();
}
