/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * serve.c - serve one image to one guest until either of them goes away.
 *
 * One process, one disk, one loop.  It is woken by the guest, by the disk (the
 * queue's file descriptor) and by a signal, and sleeps no longer than the next
 * moment one of the parts asked for.  How the guest is reached is a matter of
 * serve-xenbus.c and serve-xpvtap.c.
 *
 * Signals arrive through a file descriptor and only set the end in motion:
 * nothing is written, closed or freed inside a handler (D-15).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#include "cmd.h"
#include "daemon.h"
#include "inflight.h"
#include "log.h"
#include "serve-part.h"
#include "vdev.h"
#include "xpvtap.h"

#define QUEUE_DEPTH	512	/* requests of a ring of 16 pages */
#define DISCARD_GRAIN	4096	/* where the image names no unit */
#define SECTOR_SHIFT	9

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

enum { WAKE_DISK = 1, WAKE_SIGNAL, WAKE_KEEPER };

/* ------------------------------------------------------- for the ways' use */

uint64_t
serve_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void
serve_say(void *ctx, const char *text)
{
	(void)ctx;
	log_guest(text);
}

/*
 * Who had it may be dead and have threads that are not.  A disk without a log
 * works as well, until we die.
 */
void
serve_open_log(struct serve *s, bool anew)
{
	struct vd_err err = { 0 };
	int ret = -EBUSY;

	for (int i = 0; ret == -EBUSY && i < SERVE_BUSY_TRIES; i++) {
		if (i)
			usleep(SERVE_BUSY_PAUSE);
		vd_err_clear(&err);
		ret = inflight_open(s->asked.domid, s->asked.devid, &s->log,
				    &err);
	}
	if (ret)
		log_err(&err);
	else if (anew)
		inflight_forget(s->log);
	else if (inflight_lost(s->log))
		log_error("a process before this one could not write data "
			  "back: the disk takes no more writes until it is "
			  "attached anew");
}

void
serve_close_log(struct serve *s, bool ended)
{
	if (s->log && ended)
		inflight_forget(s->log);
	inflight_close(s->log);
	s->log = NULL;
}

int
serve_open_ring(struct serve *s, struct ring_config *cfg, struct vd_err *err)
{
	int ret;

	cfg->disk = s->disk;
	cfg->queue = s->queue;
	cfg->readonly = s->told.readonly;
	cfg->discard = s->told.discard;
	cfg->inflight = s->log;
	cfg->log = serve_say;
	ret = ring_open(cfg, &s->ring, err);
	/* Requests may lie there since before we listened. */
	s->run_ring = !ret;
	return ret;
}

void
serve_close_ring(struct serve *s)
{
	ring_close(s->ring);
	s->ring = NULL;
	s->run_ring = false;
	s->ring_at = 0;
}

/*
 * The queue first: it uses the disk.  Its last flush fails as any other does, but
 * there is no ring left to remember it.
 */
void
serve_close_image(struct serve *s)
{
	struct vd_err err = { 0 };
	int ret = 0;

	if (s->queue && s->epoll >= 0)
		epoll_ctl(s->epoll, EPOLL_CTL_DEL, vd_queue_fd(s->queue), NULL);
	if (s->queue)
		vd_queue_close(s->queue);
	s->queue = NULL;
	if (s->disk)
		ret = vd_disk_close(s->disk, &err);
	if (ret)
		log_err(&err);
	/* Who is to go on knows, and has the reads to answer. */
	if (ret && !(s->again && s->o->kept && s->log))
		s->status = CMD_REFUSED;
	if (s->log && ring_flush_lost(ret))
		inflight_set_lost(s->log);			/* B4 */
	s->disk = NULL;
}

static int
wait_for(struct serve *s, int fd, uint32_t what, uint32_t events,
	 struct vd_err *err)
{
	struct epoll_event ev = { .events = events, .data.u32 = what };

	if (!epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev))
		return 0;
	return vd_fail(err, errno, VD_NOWHERE, "cannot wait for events: %s",
		       strerror(errno));
}

int
serve_wait_for(struct serve *s, int fd, unsigned n, uint32_t events,
	       struct vd_err *err)
{
	return wait_for(s, fd, WAKE_WAY + n, events, err);
}

void
serve_listen(struct serve *s, int fd, unsigned n, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.u32 = WAKE_WAY + n };

	epoll_ctl(s->epoll, events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL, fd, &ev);
}

void
serve_is_ready(struct serve *s)
{
	if (s->ready)
		return;
	s->ready = true;
	daemon_ready(s->o->ready_fd);
	if (s->disk)
		log_info("serving %s (%s, %s, %s)", s->o->path,
			 vd_disk_format(s->disk, 0)->name,
			 s->told.readonly ? "read-only" : "read-write",
			 vd_queue_driver(s->queue));
}

/*
 * A disk of the very domain we run in: its dirty pages are written back
 * through us, so we must not wait for memory that only we can free.  Best
 * effort; without the right it works until memory is short.
 */
void
serve_own_disk(void)
{
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		log_info("cannot become an I/O flusher: %s", strerror(errno));
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		log_info("cannot lock memory: %s", strerror(errno));
}

/* ---------------------------------------------------------------- opening */

static int
open_disk(struct serve *s, const struct vd_open *how, struct vd_err *err)
{
	struct vd_err why = { 0 };
	int ret = vd_disk_open(s->lib, s->o->path, how, &s->disk, &why);

	for (int i = 0; ret == -EBUSY && i < SERVE_BUSY_TRIES; i++) {
		usleep(SERVE_BUSY_PAUSE);
		why = (struct vd_err){ 0 };
		ret = vd_disk_open(s->lib, s->o->path, how, &s->disk, &why);
	}
	if (ret && err && !err->code)
		*err = why;
	return ret;
}

static int
open_image(struct serve *s, struct vd_err *err)
{
	struct vd_open how = {
		.size = sizeof(how),
		.flags = (s->o->readonly || s->asked.readonly ?
			  VD_DISK_RDONLY : 0) |
			 (s->o->anywhere ? VD_DISK_ANYWHERE : 0) |
			 (s->o->devices ? VD_DISK_DEVICES : 0),
		.format = s->o->format,
		.cache = s->o->cache,
	};
	uint64_t unit;
	int ret;

	ret = vd_library_open(NULL, &s->lib, err);
	if (!ret)
		ret = open_disk(s, &how, err);
	/* All that has a name is open; threads begin with the queue. */
	if (!ret)
		daemon_prepare();
	if (!ret)
		ret = sandbox_enter(&s->o->sandbox, err);
	if (!ret)
		ret = vd_queue_open(s->disk, s->o->driver, QUEUE_DEPTH,
				    &s->queue, err);
	if (ret)
		return ret;
	unit = vd_disk_image(s->disk, 0)->unit;
	s->told = (struct serve_disk){
		.sectors = vd_disk_size(s->disk) >> SECTOR_SHIFT,
		.readonly = vd_disk_readonly(s->disk),
		.discard = s->asked.discard && vd_disk_can_discard(s->disk) &&
			   !vd_disk_readonly(s->disk),
		.discard_granularity = unit && unit <= UINT32_MAX &&
				       unit % (1u << SECTOR_SHIFT) == 0 ?
				       (uint32_t)unit : DISCARD_GRAIN,
	};
	return 0;
}

static int
open_loop(struct serve *s, struct vd_err *err)
{
	int ret;

	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0)
		return vd_fail(err, errno, VD_NOWHERE,
			       "cannot wait for events: %s", strerror(errno));
	ret = wait_for(s, s->signals, WAKE_SIGNAL, EPOLLIN, err);
	if (!ret)
		ret = wait_for(s, vd_queue_fd(s->queue), WAKE_DISK, EPOLLIN,
			       err);
	/* Nothing but the error that comes without being asked for. */
	if (!ret && daemon_keeper_fd() >= 0)
		ret = wait_for(s, daemon_keeper_fd(), WAKE_KEEPER, 0, err);
	return ret;
}

/* Before any thread exists: all of them inherit the mask. */
static int
catch_signals(struct serve *s, struct vd_err *err)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals < 0)
		return vd_fail(err, errno, VD_NOWHERE,
			       "cannot wait for signals: %s", strerror(errno));
	return 0;
}

bool
serve_by_driver(const char *node)
{
	return !strncmp(node, "/dev/", 5);
}

static int
choose_way(struct serve *s, struct vd_err *err)
{
	if (s->o->xpvtap || serve_by_driver(s->o->node)) {
		s->way = &serve_xpvtap;
		return 0;
	}
#ifdef HAVE_XEN
	(void)err;
	s->way = &serve_xenbus;
	return 0;
#else
	vd_fail(err, ENOTSUP, VD_NOWHERE, "\"%.200s\" is no node of the xpvtap "
		"driver, and this build has no Xen libraries", s->o->node);
	vd_err_help(err, "use " XPVTAP_NODES "DOMID-DEVID, or build with "
		    "libxen-dev");
	return -ENOTSUP;
#endif
}

static int
open_all(struct serve *s, struct vd_err *err)
{
	char name[64], vdev[24];
	int ret;

	ret = choose_way(s, err);
	if (!ret)
		ret = s->way->name(s, err);
	if (ret)
		return ret;
	snprintf(name, sizeof(name), "vdisk %u/%s", s->asked.domid,
		 vdev_name(s->asked.devid, vdev, sizeof(vdev)));
	log_name(name);
	ret = catch_signals(s, err);
	if (!ret && s->o->pidfile)
		ret = pidfile_open(s->o->pidfile, err);
	if (!ret)
		ret = s->way->open(s, err);
	if (!ret)
		ret = open_image(s, err);
	if (!ret)
		ret = open_loop(s, err);
	if (!ret)
		ret = sandbox_seal(&s->o->sandbox, err);
	if (!ret)
		ret = s->way->start(s, err);
	return ret;
}

static void
close_all(struct serve *s)
{
	if (s->at)
		s->way->close(s);
	serve_close_image(s);
	if (s->lib)
		vd_library_close(s->lib);
	pidfile_remove();
	if (s->epoll >= 0)
		close(s->epoll);
	if (s->signals >= 0)
		close(s->signals);
}

/* ------------------------------------------------------------------- loop */

/* A guest that rings for nothing is not listened to for a while. */
static void
run_ring(struct serve *s)
{
	enum ring_state state;
	unsigned delay;

	s->run_ring = false;
	s->ring_at = 0;
	if (!s->ring) {
		if (s->queue)
			vd_queue_reap(s->queue);
		return;
	}
	state = ring_run(s->ring);
	if (state == RING_MORE) {
		s->run_ring = true;
	} else if (state != RING_BROKEN) {
		delay = ring_delay_ms(s->ring);
		if (delay || state == RING_THROTTLED)
			s->ring_at = serve_now() + (delay ? delay : 1);
	}
	s->way->rested(s, state);
}

static void
signal_came(struct serve *s)
{
	struct signalfd_siginfo si;

	while (read(s->signals, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGUSR1) {
			log_info("handing over to another process");
			s->way->hand_over(s);
			continue;
		}
		log_info("signal %u: closing", si.ssi_signo);
		daemon_stopping();
		s->way->quit(s);
	}
}

static void
keeper_ended(struct serve *s)
{
	epoll_ctl(s->epoll, EPOLL_CTL_DEL, daemon_keeper_fd(), NULL);
	daemon_orphaned();
	log_error("the keeper was killed: going on without");
}

static int
timeout(struct serve *s)
{
	int way = s->way->timeout(s), ring = -1;
	uint64_t now;

	if (s->run_ring)
		return 0;
	if (s->ring_at) {
		now = serve_now();
		ring = s->ring_at > now ? (int)(s->ring_at - now) : 0;
	}
	return way < 0 || (ring >= 0 && ring < way) ? ring : way;
}

static void
one_turn(struct serve *s)
{
	struct epoll_event ev[8];
	int i, n;

	n = epoll_wait(s->epoll, ev, 8, timeout(s));
	for (i = 0; i < n; i++) {
		switch (ev[i].data.u32) {
		case WAKE_DISK:
			s->run_ring = true;
			break;
		case WAKE_SIGNAL:
			signal_came(s);
			break;
		case WAKE_KEEPER:
			keeper_ended(s);
			break;
		default:
			s->way->woke(s, ev[i].data.u32 - WAKE_WAY,
				     ev[i].events);
		}
	}
	if (s->ring_at && serve_now() >= s->ring_at)
		s->run_ring = true;
	if (s->run_ring)
		run_ring(s);
	s->way->turn(s);
}

static int
go_background(const struct serve_options *o, struct vd_err *err)
{
	if (!o->background)
		return 0;
	if (!o->kept)
		return daemon_fork(err);
	daemon_kept();
	return 0;
}

int
serve(const struct serve_options *o)
{
	struct serve s = { .o = o, .epoll = -1, .signals = -1 };
	struct vd_err err = { 0 };

	if (go_background(o, &err) || open_all(&s, &err)) {
		log_name("");
		log_err(&err);
		close_all(&s);
		return CMD_REFUSED;
	}
	while (!s.done)
		one_turn(&s);
	if (!s.ready) {
		log_error("the disk was taken away before it was ready");
		s.status = CMD_REFUSED;
	}
	close_all(&s);
	return s.again && o->kept && !s.status ? SERVE_AGAIN : s.status;
}
