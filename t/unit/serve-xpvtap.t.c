/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * serve-xpvtap.t.c - a process that serves an xpvtap node: how it begins, how
 * it ends, and what the next one finds.
 */
/* objects: t/lib/faketap.o t/lib/frontend.o core/cmd/libcmd.a core/ring/libvdring.a */
#include "servetap.h"

/* -------------------------------------------------------------- beginnings */

static void
test_serves(void)
{
	setup();
	begin();
	is_int(f.sh->readies, 1, "READY is said");
	is_int(f.sh->ready.sectors, SECTORS, "with the size");
	is_int(f.sh->ready.max_segments, 32, "and the driver's segments");
	is_int(f.sh->ready.flags, XPVTAP_READY_DISCARD | XPVTAP_READY_FLUSH |
	       XPVTAP_READY_BARRIER, "discard, flush and barrier");
	memset(fe_page(&f.fe, 5), 0x5a, FE_PAGE);
	is_int(one(FE_WRITE, 16, 5), FE_OKAY, "a write");
	is_int(byte_at(16 * 512), 0x5a, "is in the image");
	is_int(one(FE_FLUSH, 0, 0), FE_OKAY, "a flush");
	is_int(one(FE_READ, 16, 9), FE_OKAY, "a read");
	is_int(fe_page(&f.fe, 9)[4095], 0x5a, "is in the window");
	is_int(one(FE_DISCARD, 16, 0), FE_OKAY, "a discard");
	is_int(one(FE_WRITE, SECTORS - 7, 5), FE_ERROR, "a write past the end");
	is_int(one(FE_FLUSH, 0, 0), FE_OKAY, "and all is well");
	ok(!nobody_there(), "there is a pid file");
	kill(child, SIGTERM);
	is_int(ended(), 0, "SIGTERM: status 0");
	ok(nobody_there(), "no pid file, or an empty one");
	ok(has_said("serving"), "and a word in the log");
	faketap_close(&f);
}

/* In the sandbox there are no sockets: it was connected before. */
static void
test_notify(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char text[128] = "";

	setup();
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/notify", dir);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)))
		ok(false, "a supervisor's socket");
	setenv("NOTIFY_SOCKET", at.sun_path, 1);
	begin();
	unsetenv("NOTIFY_SOCKET");
	ok(recv(fd, text, sizeof(text) - 1, 0) > 0 &&
	   strstr(text, "READY=1\nMAINPID="), "a supervisor hears READY");
	kill(child, SIGTERM);
	memset(text, 0, sizeof(text));
	ok(recv(fd, text, sizeof(text) - 1, 0) > 0 &&
	   strstr(text, "STOPPING=1"), "and STOPPING");
	is_int(ended(), 0, "status 0");
	unlink(at.sun_path);
	close(fd);
	faketap_close(&f);
}

/* Capabilities, filter, user: as the kernel shows them of the process itself. */
static void
test_holds(void)
{
	static char text[8192];
	char name[64];
	ssize_t n;
	int fd;

	if (harsh_sandbox() == SANDBOX_OFF)
		return;
	setup();
	begin();
	is_int(one(FE_FLUSH, 0, 0), FE_OKAY, "it serves");
	snprintf(name, sizeof(name), "/proc/%d/status", (int)child);
	fd = open(name, O_RDONLY);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	ok(strstr(text, "CapPrm:\t0000000000000000") &&
	   strstr(text, "CapEff:\t0000000000000000") &&
	   strstr(text, "CapInh:\t0000000000000000"), "no capability");
	ok(strstr(text, "NoNewPrivs:\t1"), "and no new one");
#ifdef HAVE_SECCOMP
	ok(strstr(text, "Seccomp:\t2"), "under the filter");
#endif
	if (!geteuid())
		ok(!strstr(text, "Uid:\t0") &&
		   strstr(text, "CapBnd:\t0000000000000000"), "as another");
	kill(child, SIGTERM);
	is_int(ended(), 0, "status 0");
	faketap_close(&f);
}

static void
test_asked(uint32_t asked, uint32_t flags, const char *what)
{
	setup();
	f.sh->info.asked = asked;
	begin();
	is_int(f.sh->ready.flags, flags | XPVTAP_READY_FLUSH |
	       XPVTAP_READY_BARRIER, "%s", what);
	is_int(one(FE_WRITE, 0, 0), asked & XPVTAP_ASKED_READONLY ? FE_ERROR :
	       FE_OKAY, "is kept for a write");
	is_int(one(FE_DISCARD, 0, 0), flags & XPVTAP_READY_DISCARD ? FE_OKAY :
	       FE_NOTSUPP, "and for a discard");
	kill(child, SIGTERM);
	is_int(ended(), 0, "status 0");
	faketap_close(&f);
}

static void
refused(const char *why)
{
	start();
	is_int(ended(), CMD_REFUSED, "refused");
	ok(has_said(why), "and says \"%s\"", why);
	ok(nobody_there(), "no pid file stays, or an empty one");
	faketap_close(&f);
}

static void
test_refused(void)
{
	setup();
	f.sh->holder = 1;
	refused("a process serves this disk already");
	setup();
	f.sh->info.version = 9;
	refused("the driver speaks version 9");
	setup();
	f.sh->info.ring_bytes = 0x7ffff000;
	refused("ring_bytes");
	setup();
	f.sh->info.domid = 8;
	refused("is the node of disk 8-51728");
	setup();
	f.sh->ready_fails = EBUSY;
	refused("it was larger");
	setup();
	f.sh->open_fails = EACCES;
	refused("group is xvm");
	setup();
	o.node = "/dev/xen/xpvtap/7";
	refused("expected /dev/xen/xpvtap/DOMID-DEVID");
	setup();
	o.path = "/nonexistent/image";
	refused("/nonexistent/image");
}

/* -------------------------------------------------------------------- ends */

static void
test_signal(int signo)
{
	setup();
	begin();
	f.sh->info.state = XPVTAP_CONNECTED;
	memset(fe_page(&f.fe, 1), 0x11, FE_PAGE);
	is_int(one(FE_WRITE, 0, 1), FE_OKAY, "a write");
	kill(child, signo);
	is_int(ended(), 0, "signal %d: status 0", signo);
	is_int(f.fe.rsp_cons, *fe_word(&f.fe, FE_RSP_PROD),
	       "no answer that nobody asked for");
	faketap_close(&f);
}

/* A server whose keeper was killed is found by the keeper's pid file. */
static void
test_orphan(void)
{
	int i;

	setup();
	be_keeper();
	begin();
	is_int(one(FE_READ, 0, 1), FE_OKAY, "a server that is kept");
	is_int(pid_told(), 1234567, "is not named in the pid file");
	keeper_ends();
	for (i = 0; i < SOON && pid_told() != child; i++)
		usleep(1000);
	is_int(pid_told(), child, "when its keeper is killed, it is");
	ok(pidfile_held(pidfile), "and holds it");
	is_int(one(FE_WRITE, 0, 1), FE_OKAY, "and serves");
	/* It says so after it is named, but before it serves again. */
	ok(has_said("going on without"), "and says so");
	kill(child, SIGTERM);
	is_int(ended(), 0, "until it is told to end");
	ok(nobody_there() && !pidfile_held(pidfile), "nobody is there then");
	faketap_close(&f);
}

/* A keeper's server says that another one shall begin. */
static void
test_hand_over(bool kept)
{
	setup();
	if (kept)
		be_keeper();
	begin();
	memset(fe_page(&f.fe, 1), 0x11, FE_PAGE);
	is_int(one(FE_WRITE, 0, 1), FE_OKAY, "a write");
	kill(child, SIGUSR1);
	is_int(ended(), kept ? SERVE_AGAIN : 0, "SIGUSR1, %s keeper",
	       kept ? "with a" : "without");
	if (kept) {
		is_int(pid_told(), 1234567, "whose pid file is its own");
		keeper_ends();
	}
	faketap_close(&f);
}

static void
test_hangup(void)
{
	setup();
	begin();
	memset(fe_page(&f.fe, 1), 0x22, FE_PAGE);
	is_int(one(FE_WRITE, 0, 1), FE_OKAY, "a write");
	faketap_hangup(&f);
	is_int(ended(), 0, "the disk is gone: status 0");
	is_int(byte_at(0), 0x22, "and what was written is there");
	ok(has_said("taken away"), "it says so");
	faketap_close(&f);
}

static void
test_states(void)
{
	unsigned i, before;

	setup();
	begin();
	for (i = 0; i < 3; i++) {
		before = f.sh->infos;
		faketap_state(&f, i);
		/* Asked for once more by the time of the next answer. */
		is_int(one(FE_READ, 0, 1), FE_OKAY, "serving in state %u", i);
		while (f.sh->infos == before)
			usleep(1000);
	}
	kill(child, SIGTERM);
	is_int(ended(), 0, "status 0");
	faketap_close(&f);
}

static void
test_driver_refuses(void)
{
	setup();
	begin();
	f.sh->push_fails = EINVAL;
	put(FE_FLUSH, 1, 0, 0);
	fe_push(&f.fe);
	is_int(ended(), CMD_REFUSED, "a driver that refuses our answers");
	ok(has_said("does not take our answers"), "is given up");
	faketap_close(&f);

	setup();
	begin();
	put(FE_FLUSH, 1, 0, 0);
	f.fe.req_prod += 1000;
	fe_push(&f.fe);
	is_int(ended(), CMD_REFUSED, "indices that make no sense");
	ok(has_said("indices make no sense"), "are given up");
	faketap_close(&f);
}

/* ---------------------------------------------------------------- restarts */

#define DEPTH	32u

/* What the driver does: all that was not answered comes again, oldest first. */
static void
put_again(uint32_t out, uint32_t serial)
{
	for (unsigned i = 0; i < DEPTH; i++)
		if (out & 1u << i)
			put(FE_WRITE, (uint64_t)serial << 8 | i, 8 * i, i);
	fe_push(&f.fe);
}

/* Answers to what is out, each once; stops at `left` that are. */
static bool
take(uint32_t *out, unsigned left, uint32_t serial)
{
	uint64_t id;

	while ((unsigned)__builtin_popcount(*out) > left) {
		if (answer(&id) != FE_OKAY || id >> 8 != serial ||
		    !(*out & 1u << (id & 0xff)))
			return false;
		*out &= ~(1u << (id & 0xff));
	}
	return true;
}

static void
take_late(uint32_t *out)
{
	struct fe_rsp rsp;

	while (fe_next(&f.fe, &rsp))
		*out &= ~(1u << (rsp.id & 0xff));
}

static void
test_restart(int signo)
{
	uint32_t out = UINT32_MAX, serial, good = 0, n;

	setup();
	for (n = 0; n < DEPTH; n++)
		memset(fe_page(&f.fe, n), (int)n + 1, FE_PAGE);
	for (serial = 1; serial <= 20 && out; serial++) {
		begin();
		put_again(out, serial);
		/* Killed before, or while it works on them. */
		if (serial % 4 == 0 && !take(&out,
		    (unsigned)__builtin_popcount(out) - 1, serial))
			break;
		kill(child, signo);
		good += ended() == (signo == SIGKILL ? 1000 + SIGKILL : 0);
		take_late(&out);
	}
	is_int(good, serial - 1, "signal %d: each of %u processes ends so",
	       signo, serial - 1);
	begin();
	put_again(out, 100);
	ok(take(&out, 0, 100), "and the last one answers the rest");
	for (n = 0, good = 0; n < DEPTH; n++)
		good += byte_at(n * FE_PAGE) == n + 1;
	is_int(good, DEPTH, "all that was answered is in the image");
	kill(child, SIGTERM);
	is_int(ended(), 0, "status 0");
	faketap_close(&f);
}

int
main(void)
{
	if (!begin_tests())
		return 1;
	test_serves();
	test_notify();
	if (harsh_sandbox() != SANDBOX_OFF)
		test_holds();
	test_asked(0, 0, "no discard");
	test_asked(XPVTAP_ASKED_DISCARD, XPVTAP_READY_DISCARD, "discard");
	test_asked(XPVTAP_ASKED_READONLY | XPVTAP_ASKED_DISCARD,
		   XPVTAP_READY_READONLY, "read-only");
	test_asked(XPVTAP_ASKED_READONLY | XPVTAP_ASKED_CDROM |
		   XPVTAP_ASKED_REMOVABLE, XPVTAP_READY_READONLY |
		   XPVTAP_READY_CDROM | XPVTAP_READY_REMOVABLE, "a CD-ROM");
	test_refused();
	test_signal(SIGTERM);
	test_signal(SIGINT);
	test_signal(SIGHUP);
	test_hand_over(false);
	test_hand_over(true);
	test_orphan();
	test_hangup();
	test_states();
	test_driver_refuses();
	test_restart(SIGTERM);
	test_restart(SIGKILL);
	return end_tests();
}
