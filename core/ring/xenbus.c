/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenbus.c - one disk's end of the xenbus handshake: looking and doing.
 *
 * What to do is decided in xenbus_state.c.  Here are the two halves around it:
 * look() turns xenstore into a view, and do_step() carries a step out.
 *
 * Nothing waits: a drain, a pause between two connects and the grace of a
 * polite end are moments kept in the object, and xenbus_timeout() tells the
 * event loop about the next one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "xenbus_int.h"

#define DRAIN_MS	8000	/* xl waits 10 s for Closed */
#define LINGER_MS	200	/* of silence, before a closed ring is taken ... */
#define LINGER_BUSY_MS	1000	/* ... when it was in use to the last */
#define GRACE_MS	5000	/* for a guest to close when we must end */
#define PACE_MIN_MS	10	/* between two connects ... */
#define PACE_MAX_MS	1000
#define PACE_CALM_MS	10000	/* ... forgotten after so long */
#define LOOKS_FREE	16	/* looks without effect ... */
#define LOOK_MAX_MS	100	/* ... before they get slower, up to this */
#define STEPS_AT_ONCE	8

void
xenbus_say(struct xenbus *b, const struct vd_err *err)
{
	char text[1024];

	b->owner.log(b->owner.ctx, vd_err_text(err, text, sizeof(text)));
}

/* ------------------------------------------------------------------- look */

static int
read_state(struct xenbus *b, const char *dir)
{
	uint64_t v;
	int ret;

	ret = store_get_uint(b->x, 0, dir, "state", XENBUS_CLOSED, &v);
	if (!ret)
		return (int)v;
	return ret == -ENOENT ? XENBUS_UNKNOWN : XENBUS_ODD;
}

/*
 * Resumed guests put up a new ring and go to Initialised while we are up.  A
 * guest that has meanwhile gone on to Connected means the ring it had, whatever
 * it does to its keys then.
 */
static bool
ring_renewed(struct xenbus *b)
{
	struct xenbus_front f;

	return b->v.connected && b->v.front == XENBUS_INITIALISED &&
	       !xenbus_front_read(b->x, b->front, b->disk.max_order, &f,
				  NULL) &&
	       memcmp(&f, &b->keys, sizeof(f)) &&
	       read_state(b, b->front) == XENBUS_INITIALISED;
}

static void
look(struct xenbus *b)
{
	struct xenbus_view *v = &b->v;
	uint64_t online = 0;
	int front, back, ret;

	ret = xenbus_still_there(b->x, 0, b->path.back);
	if (ret && ret != -ENOENT)
		return;		/* no xenstored: no reason to stop the disk */
	v->backend_gone = ret == -ENOENT;
	b->dead = !b->x->introduced(b->x, b->path.domid);
	v->front_gone = b->dead || !store_exists(b->x, 0, b->front);
	store_get_uint(b->x, 0, b->path.back, "online", 1, &online);
	v->online = online;
	/* The only state that others write into ours. */
	back = read_state(b, b->path.back);
	if (back == XENBUS_CLOSING && v->back < XENBUS_CLOSING)
		v->back = back;
	front = read_state(b, b->front);
	if (front == XENBUS_ODD && v->front != XENBUS_ODD) {
		struct vd_err err = { 0 };

		vd_fail(&err, EPROTO, VD_NOWHERE,
			"the frontend's state is none that a disk has");
		xenbus_say(b, &err);
	}
	v->front = front;
	v->renewed = ring_renewed(b);
}

/* A guest can write its state as often as it likes: look less often then. */
static void
maybe_look(struct xenbus *b)
{
	uint64_t now = b->x->now(b->x);
	unsigned delay = 0;

	if (!b->look_due || now < b->look_at)
		return;
	b->look_due = false;
	if (now - b->look_at > PACE_MAX_MS)
		b->idle_looks = 0;
	else
		b->idle_looks++;
	if (b->idle_looks > LOOKS_FREE)
		delay = b->idle_looks - LOOKS_FREE;
	b->look_at = now + (delay < LOOK_MAX_MS ? delay : LOOK_MAX_MS);
	look(b);
}

/* ------------------------------------------------------------------- step */

static bool
our_own_trouble(int ret)
{
	return ret == -ENOMEM || ret == -EAGAIN || ret == -EINTR ||
	       ret == -EMFILE || ret == -ENFILE || ret == -ENOSPC;
}

static void
set_pace(struct xenbus *b)
{
	uint64_t now = b->x->now(b->x);

	if (now - b->connected_at > PACE_CALM_MS)
		b->pace = 0;
	b->pace = b->pace ? b->pace * 2 : PACE_MIN_MS;
	if (b->pace > PACE_MAX_MS)
		b->pace = PACE_MAX_MS;
	b->connected_at = now;
	b->not_before = now + b->pace;
}

static void
connect_ring(struct xenbus *b)
{
	struct vd_err err = { 0 };
	char text[1024];
	int ret;

	xenbus_drop_ring(b);
	if (b->abandoned) {	/* renewed under a stuck disk: start over */
		xenbus_set_state(b, XENBUS_CLOSED, NULL);
		return;
	}
	set_pace(b);
	ret = xenbus_make_ring(b, false, &err);
	if (!ret) {
		xenbus_put_properties(b);
		return;
	}
	xenbus_say(b, &err);
	/* Ours: stay in InitWait and try again.  The guest's: it shall close. */
	if (!our_own_trouble(ret))
		xenbus_set_state(b, XENBUS_CLOSING,
			  vd_err_text(&err, text, sizeof(text)));
	else if (b->v.back != XENBUS_INIT_WAIT)
		xenbus_set_state(b, XENBUS_INIT_WAIT, NULL);
}

/*
 * No state is written: the guest has not noticed.  If the ring cannot be had it
 * is asked to close, as it would have been without a log.
 */
static void
resume_ring(struct xenbus *b)
{
	struct vd_err err = { 0 };
	int ret;

	ret = xenbus_same_disk(b, &err);
	if (!ret)
		ret = xenbus_make_ring(b, true, &err);
	if (!ret) {
		b->published = true;
		b->v.resumable = false;
		return;
	}
	xenbus_say(b, &err);
	if (our_own_trouble(ret))
		b->retry_at = b->x->now(b->x) + PACE_MAX_MS;
	else
		b->v.resumable = false;
}

static void
leave(struct xenbus *b)
{
	xenbus_drop_ring(b);
	if (b->abandoned)
		xenbus_bury_ring(b);
	/* Closed is the word that the image may be used by others. */
	b->owner.finish(b->owner.ctx);
	b->done = true;
	if (b->v.backend_gone)
		return;
	if (!b->v.front_gone)
		xenbus_set_state(b, XENBUS_CLOSED, NULL);
	if (!b->v.backend_gone)
		xenbus_remove_nodes(b);
}

/*
 * Linux says Closed, or lets its device be removed, with requests in the ring
 * and more in its queues.  It hands those on when an event comes, and its
 * xenbus thread hangs for good if they are not answered.  So such a ring is
 * served until it has been silent for a while (a busy guest on a busy host
 * may pause longer between two requests), and the event is sent.  The
 * ring of any other frontend has no last request: nothing more is fetched.
 */
static void
start_drain(struct xenbus *b)
{
	bool closed = b->v.front == XENBUS_CLOSED || b->v.front_gone ||
		      b->v.front == XENBUS_UNKNOWN;
	bool at_once = !closed || b->is_void;
	uint64_t now = b->x->now(b->x);

	if (!b->v.stopped) {
		b->v.stopped = true;
		b->drain_until = now + DRAIN_MS;
		b->cut = false;
		b->busy = b->rang_at && now < b->rang_at + LINGER_BUSY_MS;
		if (!at_once)
			b->x->notify(b->x, b->port);
	} else if (b->cut || !at_once) {
		return;
	}
	b->cut = at_once;
	xenbus_rang(b);
	b->owner.drain(b->owner.ctx, at_once);
}

void
xenbus_rang(struct xenbus *b)
{
	b->rang_at = b->x->now(b->x);
	b->quiet_at = b->rang_at + (b->busy ? LINGER_BUSY_MS : LINGER_MS);
}

static void
ask_to_close(struct xenbus *b)
{
	const char *why = NULL;

	if (b->v.broken)
		why = "the frontend's ring indices make no sense";
	else if (b->v.back >= XENBUS_INITIALISED && !b->v.connected &&
		 (b->v.front == XENBUS_INITIALISED ||
		  b->v.front == XENBUS_CONNECTED))
		why = "the process that served this disk died";
	xenbus_set_state(b, XENBUS_CLOSING, why);
}

/* True: things have changed, decide again. */
static bool
do_step(struct xenbus *b, enum xenbus_step step)
{
	switch (step) {
	case XENBUS_PUBLISH:
		xenbus_drop_ring(b);
		if (!xenbus_put_features(b))
			b->published = true;
		return true;
	case XENBUS_CONNECT:
		connect_ring(b);
		return true;
	case XENBUS_RESUME:
		resume_ring(b);
		return true;
	case XENBUS_DRAIN:
		start_drain(b);
		return false;
	case XENBUS_CLOSE_REQUEST:
		ask_to_close(b);
		return true;
	case XENBUS_CLOSE:
		xenbus_drop_ring(b);
		xenbus_set_state(b, XENBUS_CLOSED, NULL);
		return true;
	case XENBUS_LEAVE:
		leave(b);
		return false;
	default:
		return false;
	}
}

static void
refresh(struct xenbus *b)
{
	struct xenbus_view *v = &b->v;
	uint64_t now = b->x->now(b->x);

	if (b->abandoned && !b->owner.inflight(b->owner.ctx))
		xenbus_bury_ring(b);
	if (v->connected && (b->dead || v->front == XENBUS_INITIALISING))
		b->is_void = true;
	v->inflight = v->connected ? b->owner.inflight(b->owner.ctx) : 0;
	if (v->stopped && v->inflight) {
		b->busy = true;
		xenbus_rang(b);
	}
	v->lively = v->connected && !b->cut && !b->is_void &&
		    (!v->stopped || now < b->quiet_at);
	v->hold = now < b->not_before;
	v->overdue = v->stopped && now >= b->drain_until;
	v->grace_over = v->quit && (b->quit_now || now >= b->grace_until);
}

void
xenbus_run(struct xenbus *b, bool look_now)
{
	unsigned i;

	if (b->done)
		return;
	b->look_due |= look_now;
	maybe_look(b);
	for (i = 0; i < STEPS_AT_ONCE; i++) {
		if (b->x->now(b->x) < b->retry_at)
			return;
		refresh(b);
		b->step = xenbus_decide(&b->v);
		if (!do_step(b, b->step))
			return;
	}
}

static void
sooner(uint64_t *at, uint64_t when)
{
	if (when < *at)
		*at = when;
}

int
xenbus_timeout(struct xenbus *b)
{
	uint64_t at = UINT64_MAX, now = b->x->now(b->x);

	if (b->done)
		return -1;
	if (b->look_due)
		sooner(&at, b->look_at);
	if (b->v.stopped)
		sooner(&at, b->drain_until);
	if (b->v.stopped && !b->cut && !b->v.inflight)
		sooner(&at, b->quiet_at);
	if (b->step == XENBUS_WAIT)
		sooner(&at, b->v.hold || !b->v.quit ? b->not_before :
		       b->grace_until);
	if (b->retry_at > now)
		sooner(&at, b->retry_at);
	if (at == UINT64_MAX)
		return -1;
	return at <= now ? 0 : (int)(at - now < 60000 ? at - now : 60000);
}

/* -------------------------------------------------------- open, ask, close */

void
xenbus_broken(struct xenbus *b, const char *why)
{
	struct vd_err err = { 0 };

	if (b->v.broken)
		return;
	b->v.broken = true;
	vd_fail(&err, EPROTO, VD_NOWHERE, "%s", why);
	xenbus_say(b, &err);
}

void
xenbus_quit(struct xenbus *b)
{
	if (b->v.quit)
		b->quit_now = true;
	else
		b->grace_until = b->x->now(b->x) + GRACE_MS;
	b->v.quit = true;
}

void
xenbus_may_resume(struct xenbus *b)
{
	b->v.resumable = true;
}

bool
xenbus_done(struct xenbus *b)
{
	return b->done;
}

bool
xenbus_published(struct xenbus *b)
{
	return b->published;
}

int
xenbus_back_state(struct xenbus *b)
{
	return b->v.back;
}

bool
xenbus_port(struct xenbus *b, uint32_t *port)
{
	*port = b->port;
	return b->bound;
}

/*
 * The tools wrote B/; F/ is the guest's, and B/frontend must name a directory
 * of that guest.
 */
static int
find_front(struct xenbus *b, struct vd_err *err)
{
	char want[64], *front;
	uint64_t domid;
	int ret;

	ret = store_get_uint(b->x, 0, b->path.back, "frontend-id", UINT32_MAX,
			     &domid);
	if (ret || domid != b->path.domid)
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "%s/frontend-id does not say %u", b->path.back,
			       b->path.domid);
	ret = store_get(b->x, 0, b->path.back, "frontend", &front);
	if (ret)
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "cannot read %s/frontend: %s", b->path.back,
			       strerror(-ret));
	snprintf(want, sizeof(want), "/local/domain/%u/device/",
		 b->path.domid);
	if (strncmp(front, want, strlen(want)) || strstr(front, "..") ||
	    strlen(front) >= sizeof(b->front) - 64)
		ret = vd_fail(err, EINVAL, VD_NOWHERE,
			      "%s/frontend is \"%.200s\": expected %s...",
			      b->path.back, front, want);
	else
		strcpy(b->front, front);
	free(front);
	return ret;
}

static int
watch_all(struct xenbus *b)
{
	char path[XEN_PATH_MAX];
	int ret;

	/* F/state alone: the guest may write anything else there. */
	ret = store_path(path, sizeof(path), "%s/state", b->front);
	if (!ret)
		ret = b->x->watch(b->x, path, "front");
	if (!ret)
		ret = store_path(path, sizeof(path), "%s/state", b->path.back);
	if (!ret)
		ret = b->x->watch(b->x, path, "back");
	if (!ret)
		ret = store_path(path, sizeof(path), "%s/online",
				 b->path.back);
	if (!ret)
		ret = b->x->watch(b->x, path, "online");
	if (!ret)
		ret = b->x->watch(b->x, "@releaseDomain", "release");
	return ret;
}

/* What a predecessor left; its ring is gone in any case. */
static void
first_state(struct xenbus *b)
{
	int state = read_state(b, b->path.back);

	b->v.back = state >= XENBUS_INITIALISED && state <= XENBUS_CLOSED ?
		    state : XENBUS_INITIALISING;
}

int
xenbus_open(struct xen *x, const struct xenbus_path *p,
	    const struct xenbus_disk *disk, const struct xenbus_owner *owner,
	    const char *server, struct xenbus **out, struct vd_err *err)
{
	struct xenbus *b;
	char *by = NULL;
	int ret;

	b = calloc(1, sizeof(*b));
	if (!b)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	b->x = x;
	b->path = *p;
	b->disk = *disk;
	b->owner = *owner;
	b->v.ready = true;
	snprintf(b->server, sizeof(b->server), "%s", server);
	ret = find_front(b, err);
	if (ret)
		goto fail;
	if (!store_get(x, 0, p->back, "managed-by", &by))
		b->managed = !strcmp(by, "vdisk-attach");
	free(by);
	first_state(b);
	ret = xenbus_claim(b);
	if (!ret)
		ret = watch_all(b);
	if (ret) {
		vd_fail(err, -ret, VD_NOWHERE, "cannot take %s: %s", p->back,
			strerror(-ret));
		goto fail;
	}
	b->look_due = true;
	*out = b;
	return 0;
fail:
	xenbus_close(b);
	return ret;
}

void
xenbus_close(struct xenbus *b)
{
	if (!b)
		return;
	xenbus_drop_ring(b);
	if (b->abandoned)
		xenbus_bury_ring(b);
	free(b);
}
