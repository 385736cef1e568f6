/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * serve.c - serve one image to one guest until either of them goes away.
 *
 * One process, one disk, one loop.  Four things wake it: the guest (event
 * channel), the disk (the queue's file descriptor), xenstore, and a signal.
 * The loop sleeps no longer than the next moment one of the parts asked for.
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
#include <unistd.h>
#include "cmd.h"
#include "daemon.h"
#include "log.h"
#include "ring.h"
#include "sandbox.h"
#include "serve.h"
#include "server.h"
#include "vdev.h"
#include "xenbus.h"

#define QUEUE_DEPTH	512	/* requests of a ring of 16 pages */
#define DISCARD_GRAIN	4096	/* where the image names no unit */
#define SECTOR_SHIFT	9
/* A process that was killed holds its images until its io_uring is gone. */
#define BUSY_TRIES	100
#define BUSY_PAUSE	20000	/* microseconds */

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

enum { WAKE_GUEST = 1, WAKE_DISK, WAKE_STORE, WAKE_SIGNAL };

struct serve {
	const struct serve_options *o;
	struct vd_library *lib;
	struct vd_disk *disk;
	struct vd_queue *queue;
	struct xen     *x;
	struct xenbus_path path;
	struct xenbus_disk told;	/* what the guest is told */
	struct xenbus  *bus;
	struct ring    *ring;
	int		epoll;
	int		signals;
	bool		run_ring;
	uint64_t	ring_at;	/* 0: when something happens */
	bool		masked;		/* the port has rung, not unmasked yet */
	uint32_t	rung;
	bool		ready;
	char		self[64];	/* server_identity() */
	int		status;
};

/* --------------------------------------------------- what xenbus asks for */

static void
guest_said(void *ctx, const char *text)
{
	(void)ctx;
	log_guest(text);
}

static int
on_connect(void *ctx, const struct xenbus_ring *r, struct vd_err *err)
{
	struct serve *s = ctx;
	struct ring_config cfg = {
		.ring = r->ring,
		.pages = r->pages,
		.abi = r->abi,
		.transport = r->transport,
		.disk = s->disk,
		.queue = s->queue,
		.readonly = s->told.readonly,
		.discard = s->told.discard,
		.max_indirect = s->told.max_indirect,
		.log = guest_said,
	};
	int ret;

	ret = ring_open(&cfg, &s->ring, err);
	if (ret)
		return ret;
	/* Requests may lie there since before the event was bound. */
	s->run_ring = true;
	s->masked = false;
	return 0;
}

static void
on_drain(void *ctx, bool at_once)
{
	struct serve *s = ctx;

	if (at_once)
		ring_stop(s->ring);
	s->run_ring = true;
}

static unsigned
on_inflight(void *ctx)
{
	struct serve *s = ctx;

	if (!s->ring)
		return 0;
	return ring_inflight(s->ring) + ring_unfetched(s->ring);
}

static void
on_disconnect(void *ctx)
{
	struct serve *s = ctx;

	ring_close(s->ring);
	s->ring = NULL;
	s->run_ring = false;
	s->masked = false;
	s->ring_at = 0;
}

/* The queue first: it uses the disk. */
static void
close_image(struct serve *s)
{
	struct vd_err err = { 0 };

	if (s->queue)
		vd_queue_close(s->queue);
	s->queue = NULL;
	if (s->disk && vd_disk_close(s->disk, &err)) {
		log_err(&err);
		s->status = CMD_REFUSED;
	}
	s->disk = NULL;
}

static void
on_finish(void *ctx)
{
	struct serve *s = ctx;

	if (s->queue)
		epoll_ctl(s->epoll, EPOLL_CTL_DEL, vd_queue_fd(s->queue), NULL);
	close_image(s);
}

/* ---------------------------------------------------------------- opening */

static int
open_disk(struct serve *s, const struct vd_open *how, struct vd_err *err)
{
	struct vd_err why = { 0 };
	int ret = vd_disk_open(s->lib, s->o->path, how, &s->disk, &why);

	for (int i = 0; ret == -EBUSY && i < BUSY_TRIES; i++) {
		usleep(BUSY_PAUSE);
		why = (struct vd_err){ 0 };
		ret = vd_disk_open(s->lib, s->o->path, how, &s->disk, &why);
	}
	if (ret && err && !err->code)
		*err = why;
	return ret;
}

static int
open_image(struct serve *s, const struct xenbus_asked *asked,
	   struct vd_err *err)
{
	struct vd_open how = {
		.size = sizeof(how),
		.flags = (s->o->readonly || asked->readonly ?
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
	/* Nothing is opened by name from here on; threads come after it. */
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
	s->told = (struct xenbus_disk){
		.sectors = vd_disk_size(s->disk) >> SECTOR_SHIFT,
		.readonly = vd_disk_readonly(s->disk),
		.discard = asked->discard && vd_disk_can_discard(s->disk) &&
			   !vd_disk_readonly(s->disk),
		.discard_granularity = unit && unit <= UINT32_MAX ?
				       (uint32_t)unit : DISCARD_GRAIN,
		.max_order = RING_MAX_ORDER,
		.max_indirect = RING_MAX_INDIRECT,
	};
	return 0;
}

static int
open_bus(struct serve *s, struct vd_err *err)
{
	const struct xenbus_owner owner = {
		.connect = on_connect,
		.drain = on_drain,
		.inflight = on_inflight,
		.disconnect = on_disconnect,
		.finish = on_finish,
		.log = guest_said,
		.ctx = s,
	};

	return xenbus_open(s->x, &s->path, &s->told, &owner, s->self, &s->bus,
			   err);
}

/* Two servers on one ring would both answer. */
static int
check_alone(struct serve *s, struct vd_err *err)
{
	char path[XEN_PATH_MAX + 16], *other;
	pid_t pid;
	bool alive;

	snprintf(path, sizeof(path), "%s/vdisk-server", s->path.back);
	if (s->x->read(s->x, 0, path, &other))
		return 0;
	alive = server_alive(other, &pid);
	free(other);
	return alive && pid != getpid() ?
	       vd_fail(err, EBUSY, VD_NOWHERE, "%s is served by process %d",
		       s->path.back, (int)pid) : 0;
}

static int
wake_on(struct serve *s, int fd, uint32_t what, struct vd_err *err)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = what };

	if (!epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev))
		return 0;
	return vd_fail(err, errno, VD_NOWHERE, "cannot wait for events: %s",
		       strerror(errno));
}

static int
open_loop(struct serve *s, struct vd_err *err)
{
	int ret;

	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0)
		return vd_fail(err, errno, VD_NOWHERE,
			       "cannot wait for events: %s", strerror(errno));
	ret = wake_on(s, s->signals, WAKE_SIGNAL, err);
	if (!ret)
		ret = wake_on(s, s->x->store_fd(s->x), WAKE_STORE, err);
	if (!ret)
		ret = wake_on(s, s->x->event_fd(s->x), WAKE_GUEST, err);
	if (!ret)
		ret = wake_on(s, vd_queue_fd(s->queue), WAKE_DISK, err);
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
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals < 0)
		return vd_fail(err, errno, VD_NOWHERE,
			       "cannot wait for signals: %s", strerror(errno));
	return 0;
}

/*
 * A disk of the very domain we run in: its dirty pages are written back
 * through us, so we must not wait for memory that only we can free.  Best
 * effort; without the right it works until memory is short.
 */
static void
guard_against_ourselves(struct serve *s)
{
	unsigned self = 0;

	sscanf(s->path.back, "/local/domain/%u/", &self);
	if (s->path.domid != self)
		return;
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		log_info("cannot become an I/O flusher: %s", strerror(errno));
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		log_info("cannot lock memory: %s", strerror(errno));
}

static int
open_all(struct serve *s, struct vd_err *err)
{
	struct xenbus_asked asked;
	char name[64], vdev[24];
	int ret;

	ret = xenbus_parse_path(s->o->node, &s->path, err);
	if (ret)
		return ret;
	snprintf(name, sizeof(name), "vdisk %u/%s", s->path.domid,
		 vdev_name(s->path.devid, vdev, sizeof(vdev)));
	log_name(name);
	if (!server_identity(getpid(), s->self, sizeof(s->self)))
		return vd_fail(err, ENOENT, VD_NOWHERE,
			       "cannot read /proc/self/stat");
	ret = catch_signals(s, err);
	if (!ret && s->o->pidfile)
		ret = pidfile_open(s->o->pidfile, err);
	if (!ret)
		ret = xen_open(&s->x, err);
	if (!ret)
		ret = xenbus_asked(s->x, &s->path, &asked, err);
	if (!ret)
		ret = check_alone(s, err);
	if (!ret)
		guard_against_ourselves(s);
	if (!ret)
		ret = open_image(s, &asked, err);
	if (!ret)
		ret = open_loop(s, err);
	if (!ret)
		ret = open_bus(s, err);
	if (!ret)
		ret = sandbox_seal(&s->o->sandbox, err);
	return ret;
}

static void
close_all(struct serve *s)
{
	xenbus_close(s->bus);
	close_image(s);
	if (s->lib)
		vd_library_close(s->lib);
	if (s->x)
		s->x->close(s->x);
	pidfile_remove();
	if (s->epoll >= 0)
		close(s->epoll);
	if (s->signals >= 0)
		close(s->signals);
}

/* ------------------------------------------------------------------- loop */

/*
 * The port stays masked until everything was fetched and the ring was told to
 * ring again; a guest that rings for nothing stays masked for the time
 * the ring's throttle says.
 */
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
	if (state == RING_BROKEN) {
		xenbus_broken(s->bus, "the frontend's ring indices make no "
			      "sense; it is not served any more");
		return;		/* and stays masked */
	}
	if (state == RING_MORE) {
		s->run_ring = true;
		return;
	}
	delay = ring_delay_ms(s->ring);
	if (delay || state == RING_THROTTLED)
		s->ring_at = s->x->now(s->x) + (delay ? delay : 1);
	if (state == RING_IDLE && s->masked) {
		s->masked = false;
		s->x->unmask(s->x, s->rung);
	}
}

static void
guest_rang(struct serve *s)
{
	uint32_t port, ours;

	if (s->x->pending(s->x, &port) <= 0)
		return;
	if (!xenbus_port(s->bus, &ours) || port != ours) {
		/* Of a ring that was closed meanwhile. */
		return;
	}
	s->rung = port;
	s->masked = true;
	xenbus_rang(s->bus);
	s->run_ring = true;
}

static void
signal_came(struct serve *s)
{
	struct signalfd_siginfo si;

	while (read(s->signals, &si, sizeof(si)) == sizeof(si)) {
		log_info("signal %u: closing", si.ssi_signo);
		daemon_stopping();
		xenbus_quit(s->bus);
	}
}

static bool
store_came(struct serve *s)
{
	int ret = s->x->fired(s->x);

	if (ret >= 0)
		return ret > 0;
	/* The disk can be served without it, but not be closed in order. */
	log_error("the connection to xenstore is lost: %s", strerror(-ret));
	epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->x->store_fd(s->x), NULL);
	return false;
}

static int
timeout(struct serve *s)
{
	int bus = xenbus_timeout(s->bus), ring = -1;
	uint64_t now;

	if (s->run_ring)
		return 0;
	if (s->ring_at) {
		now = s->x->now(s->x);
		ring = s->ring_at > now ? (int)(s->ring_at - now) : 0;
	}
	return bus < 0 || (ring >= 0 && ring < bus) ? ring : bus;
}

static void
one_turn(struct serve *s)
{
	struct epoll_event ev[8];
	bool look = false;
	int i, n;

	n = epoll_wait(s->epoll, ev, 8, timeout(s));
	for (i = 0; i < n; i++) {
		switch (ev[i].data.u32) {
		case WAKE_GUEST:
			guest_rang(s);
			break;
		case WAKE_DISK:
			s->run_ring = true;
			break;
		case WAKE_STORE:
			look = store_came(s);
			break;
		case WAKE_SIGNAL:
			signal_came(s);
			break;
		}
	}
	if (s->ring_at && s->x->now(s->x) >= s->ring_at)
		s->run_ring = true;
	if (s->run_ring)
		run_ring(s);
	xenbus_run(s->bus, look);
	if (!s->ready && xenbus_published(s->bus)) {
		s->ready = true;
		daemon_ready(s->o->ready_fd);
		if (s->disk)
			log_info("serving %s (%s, %s, %s)", s->o->path,
				 vd_disk_format(s->disk, 0)->name,
				 s->told.readonly ? "read-only" : "read-write",
				 vd_queue_driver(s->queue));
	}
}

int
serve(const struct serve_options *o)
{
	struct serve s = { .o = o, .epoll = -1, .signals = -1 };
	struct vd_err err = { 0 };

	if ((o->background && daemon_fork(&err)) || open_all(&s, &err)) {
		log_name("");
		log_err(&err);
		close_all(&s);
		return CMD_REFUSED;
	}
	while (!xenbus_done(s.bus))
		one_turn(&s);
	if (!s.ready) {
		log_error("the disk was taken away before it was ready");
		s.status = CMD_REFUSED;
	}
	close_all(&s);
	return s.status;
}
