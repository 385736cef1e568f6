/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * serve-xenbus.c - a guest reached through grants, event channels and xenstore.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "inflight.h"
#include "log.h"
#include "serve-part.h"
#include "server.h"
#include "xenbus.h"

enum { WAKE_STORE, WAKE_GUEST };

struct way {
	struct xen     *x;
	struct xenbus_path path;
	struct xenbus  *bus;
	char		self[64];	/* server_identity() */
	bool		leaving;	/* another process goes on */
	bool		look;		/* xenstore has something new */
	bool		masked;		/* the port has rung, not unmasked yet */
	uint32_t	rung;
};

/* --------------------------------------------------- what xenbus asks for */

static int
on_connect(void *ctx, const struct xenbus_ring *r, struct vd_err *err)
{
	struct serve *s = ctx;
	struct way *w = s->at;
	struct inflight_key key = {
		.abi = r->abi, .pages = r->pages, .port = r->keys->port,
	};
	struct ring_config cfg = {
		.ring = r->ring,
		.pages = r->pages,
		.abi = r->abi,
		.transport = r->transport,
		.max_indirect = RING_MAX_INDIRECT,
		.key = &key,
		.resume = r->resume,
	};
	int ret;

	memcpy(key.refs, r->keys->refs, sizeof(key.refs));
	if (r->resume && !inflight_fits(s->log, &key))
		return vd_fail(err, EPROTO, VD_NOWHERE, "the guest's ring is "
			       "not the one that was served before");
	w->masked = false;
	ret = serve_open_ring(s, &cfg, err);
	if (!ret && r->resume)
		log_info("goes on with %u requests that were in flight",
			 ring_inflight(s->ring));
	return ret;
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
	if (((struct way *)s->at)->leaving)
		return ring_busy(s->ring);
	return ring_inflight(s->ring) + ring_unfetched(s->ring);
}

static void
on_disconnect(void *ctx)
{
	struct serve *s = ctx;
	struct way *w = s->at;

	serve_close_ring(s);
	if (s->log && !w->leaving)
		inflight_end(s->log);
	w->masked = false;
}

static void
on_finish(void *ctx)
{
	serve_close_image(ctx);
}

/* ---------------------------------------------------------------- opening */

static int
name(struct serve *s, struct vd_err *err)
{
	struct way *w = calloc(1, sizeof(*w));
	int ret;

	if (!w)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	s->at = w;
	ret = xenbus_parse_path(s->o->node, &w->path, err);
	s->asked.domid = w->path.domid;
	s->asked.devid = w->path.devid;
	return ret;
}

/* Two servers on one ring would both answer.  Was there ever one? */
static int
check_alone(struct way *w, bool *first, struct vd_err *err)
{
	char path[XEN_PATH_MAX + 16], *other;
	pid_t pid;
	bool alive;
	int ret;

	snprintf(path, sizeof(path), "%s/vdisk-server", w->path.back);
	ret = w->x->read(w->x, 0, path, &other);
	*first = ret == -ENOENT;
	if (ret)
		return 0;
	alive = server_alive(other, &pid);
	free(other);
	return alive && pid != getpid() ?
	       vd_fail(err, EBUSY, VD_NOWHERE, "%s is served by process %d",
		       w->path.back, (int)pid) : 0;
}

static int
connect_xen(struct serve *s, struct vd_err *err)
{
	struct way *w = s->at;
	struct xenbus_asked asked;
	unsigned self = 0;
	bool first;
	int ret;

	if (!server_identity(getpid(), w->self, sizeof(w->self)))
		return vd_fail(err, ENOENT, VD_NOWHERE,
			       "cannot read /proc/self/stat");
	ret = xen_open(&w->x, err);
	if (!ret)
		ret = xenbus_asked(w->x, &w->path, &asked, err);
	if (!ret)
		ret = check_alone(w, &first, err);
	if (ret)
		return ret;
	s->asked.readonly = asked.readonly;
	s->asked.discard = asked.discard;
	serve_open_log(s, first);
	sscanf(w->path.back, "/local/domain/%u/", &self);
	if (w->path.domid == self)
		serve_own_disk();
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
		.log = serve_say,
		.ctx = s,
	};
	const struct xenbus_disk disk = {
		.sectors = s->told.sectors,
		.readonly = s->told.readonly,
		.discard = s->told.discard,
		.discard_granularity = s->told.discard_granularity,
		.max_order = RING_MAX_ORDER,
		.max_indirect = RING_MAX_INDIRECT,
	};
	struct way *w = s->at;

	return xenbus_open(w->x, &w->path, &disk, &owner, w->self, &w->bus,
			   err);
}

static int
start(struct serve *s, struct vd_err *err)
{
	struct way *w = s->at;
	int ret;

	ret = serve_wait_for(s, w->x->store_fd(w->x), WAKE_STORE, EPOLLIN,
			     err);
	if (!ret)
		ret = serve_wait_for(s, w->x->event_fd(w->x), WAKE_GUEST,
				     EPOLLIN, err);
	if (!ret)
		ret = open_bus(s, err);
	if (!ret && s->log && inflight_left(s->log))
		xenbus_may_resume(w->bus);
	return ret;
}

static void
close_way(struct serve *s)
{
	struct way *w = s->at;
	/* The log stays for as long as the guest may have its ring. */
	bool ended = w->bus && xenbus_done(w->bus);

	xenbus_close(w->bus);
	serve_close_image(s);
	serve_close_log(s, ended);
	if (w->x)
		w->x->close(w->x);
	free(w);
	s->at = NULL;
}

/* ------------------------------------------------------------------- loop */

static void
guest_rang(struct serve *s)
{
	struct way *w = s->at;
	uint32_t port, ours;

	if (w->x->pending(w->x, &port) <= 0)
		return;
	if (!xenbus_port(w->bus, &ours) || port != ours) {
		/* Of a ring that was closed meanwhile. */
		return;
	}
	w->rung = port;
	w->masked = true;
	xenbus_rang(w->bus);
	s->run_ring = true;
}

static void
store_came(struct serve *s)
{
	struct way *w = s->at;
	int ret = w->x->fired(w->x);

	if (ret >= 0) {
		w->look |= ret > 0;
		return;
	}
	/* The disk can be served without it, but not be closed in order. */
	log_error("the connection to xenstore is lost: %s", strerror(-ret));
	serve_listen(s, w->x->store_fd(w->x), WAKE_STORE, 0);
}

static void
woke(struct serve *s, unsigned n, uint32_t events)
{
	(void)events;
	if (n == WAKE_STORE)
		store_came(s);
	else
		guest_rang(s);
}

/*
 * The port stays masked until everything was fetched and the ring was told to
 * ring again, and of a broken ring for good.
 */
static void
rested(struct serve *s, enum ring_state state)
{
	struct way *w = s->at;

	if (state == RING_BROKEN)
		xenbus_broken(w->bus, "the frontend's ring indices make no "
			      "sense; it is not served any more");
	if (state == RING_IDLE && w->masked) {
		w->masked = false;
		w->x->unmask(w->x, w->rung);
	}
}

static void
turn(struct serve *s)
{
	struct way *w = s->at;

	if (w->leaving) {
		s->done = !s->run_ring && !(s->ring && ring_busy(s->ring));
		return;
	}
	xenbus_run(w->bus, w->look);
	w->look = false;
	/* The guest begins anew: what was left of another ring is void. */
	if (s->log && !s->ring &&
	    xenbus_back_state(w->bus) == XENBUS_INIT_WAIT)
		inflight_end(s->log);
	if (xenbus_published(w->bus))
		serve_is_ready(s);
	s->done = xenbus_done(w->bus);
}

static int
timeout(struct serve *s)
{
	if (((struct way *)s->at)->leaving)
		return -1;
	return xenbus_timeout(((struct way *)s->at)->bus);
}

static void
quit(struct serve *s)
{
	xenbus_quit(((struct way *)s->at)->bus);
}

static void
hand_over(struct serve *s)
{
	struct way *w = s->at;

	if (s->ring && !s->log) {
		log_error("there is no log of requests: nobody can go on");
		return;
	}
	w->leaving = s->again = true;
	if (s->ring)
		ring_leave(s->ring);
	s->run_ring = s->ring;
}

const struct serve_way serve_xenbus = {
	.name = name,
	.open = connect_xen,
	.start = start,
	.woke = woke,
	.turn = turn,
	.rested = rested,
	.timeout = timeout,
	.quit = quit,
	.hand_over = hand_over,
	.close = close_way,
};
