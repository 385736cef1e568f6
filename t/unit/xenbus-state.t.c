/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenbus-state.t.c - the decision over every view there can be.
 *
 * First the rows of the protocol's table, each by name; then laws that must
 * hold for all views, checked by walking through them all.
 */
/* objects: core/ring/libvdring.a */
#include "tap.h"
#include "xenbus.h"

static struct xenbus_view
view(int front, int back)
{
	return (struct xenbus_view){
		.front = front,
		.back = back,
		.online = true,
		.ready = true,
		.connected = back == XENBUS_CONNECTED,
	};
}

static const char *
step_name(enum xenbus_step s)
{
	static const char *const names[] = {
		"nothing", "wait", "publish", "connect", "resume",
		"drain", "close request", "close", "leave",
	};

	return names[s];
}

#define step_is(v, want, ...) \
	is_str(step_name(xenbus_decide(&(v))), step_name(want), __VA_ARGS__)

static void
table(void)
{
	static const struct {
		int front, back;
		enum xenbus_step step;
	} rows[] = {
		{ 1, 1, XENBUS_PUBLISH },	/* announced */
		{ 1, 2, XENBUS_NOTHING },
		{ 1, 4, XENBUS_PUBLISH },	/* crash kernel */
		{ 1, 5, XENBUS_PUBLISH },
		{ 1, 6, XENBUS_PUBLISH },	/* reconnect */
		{ 2, 1, XENBUS_PUBLISH },
		{ 2, 4, XENBUS_NOTHING },
		{ 3, 1, XENBUS_PUBLISH },	/* NetBSD does not wait */
		{ 3, 2, XENBUS_CONNECT },
		{ 3, 4, XENBUS_NOTHING },
		{ 3, 5, XENBUS_NOTHING },
		{ 3, 6, XENBUS_PUBLISH },
		{ 4, 1, XENBUS_PUBLISH },
		{ 4, 2, XENBUS_CONNECT },	/* mini-os, OVMF (D-11) */
		{ 4, 4, XENBUS_NOTHING },
		{ 4, 5, XENBUS_NOTHING },
		{ 4, 6, XENBUS_PUBLISH },
		{ 5, 2, XENBUS_CLOSE_REQUEST },
		{ 5, 4, XENBUS_CLOSE_REQUEST },
		{ 5, 5, XENBUS_NOTHING },
		{ 5, 6, XENBUS_NOTHING },
		{ 6, 1, XENBUS_CLOSE },
		{ 6, 2, XENBUS_CLOSE },
		{ 6, 4, XENBUS_CLOSE },
		{ 6, 5, XENBUS_CLOSE },
		{ 6, 6, XENBUS_NOTHING },
		{ 0, 2, XENBUS_LEAVE },
		{ 0, 4, XENBUS_LEAVE },
		{ XENBUS_ODD, 2, XENBUS_NOTHING },
		{ XENBUS_ODD, 4, XENBUS_NOTHING },
	};
	unsigned i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct xenbus_view v = view(rows[i].front, rows[i].back);

		step_is(v, rows[i].step, "frontend %d, backend %d: %s",
			v.front, v.back, step_name(rows[i].step));
	}
}

static void
conditions(void)
{
	struct xenbus_view v;

	v = view(3, 2);
	v.ready = false;
	step_is(v, XENBUS_NOTHING, "no connect before the image is open");
	v = view(3, 2);
	v.hold = true;
	step_is(v, XENBUS_WAIT, "R-45: connects are paced");
	v = view(1, 6);
	v.hold = true;
	step_is(v, XENBUS_WAIT, "R-45: so is coming back");

	v = view(1, 6);
	v.online = false;
	step_is(v, XENBUS_LEAVE, "no reconnect when the tools said no");
	v = view(6, 5);
	v.online = false;
	step_is(v, XENBUS_LEAVE, "closed and not wanted: leave");
	v = view(4, 6);
	v.online = false;
	step_is(v, XENBUS_LEAVE, "closed and not wanted, frontend still up");
	v = view(1, 5);
	v.online = false;
	step_is(v, XENBUS_LEAVE, "a disk that was never used goes at once");

	v = view(4, 4);
	v.connected = false;
	step_is(v, XENBUS_CLOSE_REQUEST, "a dead predecessor's ring is closed");
	v.resumable = true;
	step_is(v, XENBUS_RESUME, "or, with a log, taken over");
	v.ready = false;
	step_is(v, XENBUS_NOTHING, "but not before the image is open");
	v = view(4, 5);
	v.resumable = true;
	step_is(v, XENBUS_RESUME, "also one that was asked to close");
	v = view(5, 4);
	v.connected = false;
	v.resumable = true;
	step_is(v, XENBUS_RESUME, "or is closing: it waits for answers");
	v = view(3, 4);
	v.connected = false;
	v.resumable = true;
	step_is(v, XENBUS_NOTHING, "one that is not connected yet will be");
	v = view(3, 5);
	v.resumable = true;
	step_is(v, XENBUS_NOTHING, "but not if it was told Closing");
	v = view(6, 4);
	v.connected = false;
	v.resumable = true;
	step_is(v, XENBUS_CLOSE, "a closed ring is not taken");
	v = view(1, 4);
	v.connected = false;
	v.resumable = true;
	step_is(v, XENBUS_PUBLISH, "nor that of a guest that starts again");
	v = view(4, 2);
	v.resumable = true;
	step_is(v, XENBUS_CONNECT, "nor one that was never connected");
	v = view(4, 4);
	v.resumable = true;
	step_is(v, XENBUS_NOTHING, "and ours is ours already");
	v = view(4, 4);
	v.connected = false;
	v.resumable = v.quit = true;
	step_is(v, XENBUS_LEAVE, "at the end there is nothing to take");
	v = view(4, 4);
	v.broken = true;
	step_is(v, XENBUS_CLOSE_REQUEST, "R-04: a broken ring is closed");
	v = view(3, 4);
	v.renewed = true;
	step_is(v, XENBUS_CONNECT, "a resumed guest's new ring is taken");
	v.inflight = 3;
	step_is(v, XENBUS_DRAIN, "but not before the old one is empty");

	v = view(6, 5);
	v.connected = true;
	v.inflight = 1;
	step_is(v, XENBUS_DRAIN, "R-48: requests in flight come first");
	v.overdue = true;
	step_is(v, XENBUS_CLOSE, "R-48: but not for ever");

	v = view(4, 4);
	v.stopped = true;
	v.inflight = 2;
	step_is(v, XENBUS_DRAIN, "a stopped ring is drained to the end");
	v.inflight = 0;
	step_is(v, XENBUS_CLOSE, "and closed, though the frontend came back");

	v = view(4, 4);
	v.quit = true;
	step_is(v, XENBUS_CLOSE_REQUEST, "the end begins with Closing");
	v.back = XENBUS_CLOSING;
	step_is(v, XENBUS_WAIT, "the guest gets its grace");
	v.grace_over = true;
	v.inflight = 1;
	step_is(v, XENBUS_DRAIN, "then it is drained");
	v.inflight = 0;
	step_is(v, XENBUS_LEAVE, "and left");
	v = view(6, 5);
	v.connected = v.quit = true;
	step_is(v, XENBUS_LEAVE, "a guest that closes is not waited for");
	v = view(1, 2);
	v.quit = true;
	step_is(v, XENBUS_LEAVE, "without a ring there is nothing to wait for");
}

/* Every view, a bit pattern for the flags. */
static bool
each(bool (*law)(const struct xenbus_view *v, enum xenbus_step s))
{
	static const int fronts[] = { 0, 1, 2, 3, 4, 5, 6, XENBUS_ODD };
	unsigned f, b, bits;

	for (f = 0; f < 8; f++)
	for (b = 1; b <= 6; b++)
	for (bits = 0; bits < 1u << 15; bits++) {
		struct xenbus_view v = {
			.front = fronts[f], .back = (int)b,
			.backend_gone = bits & 1, .front_gone = bits & 2,
			.online = bits & 4, .ready = bits & 8,
			.connected = bits & 16, .stopped = bits & 32,
			.broken = bits & 64, .renewed = bits & 128,
			.quit = bits & 256, .grace_over = bits & 512,
			.hold = bits & 1024, .overdue = bits & 2048,
			.inflight = bits >> 12 & 1 ? 5 : 0,
			.lively = bits >> 13 & 1,
			.resumable = bits >> 14 & 1,
		};

		/* What cannot be is no claim. */
		if (!v.connected && (v.inflight || v.stopped))
			continue;
		if (!law(&v, xenbus_decide(&v))) {
			diag("front %d back %d bits %#x: %s", v.front, v.back,
			     bits, step_name(xenbus_decide(&v)));
			return false;
		}
	}
	return true;
}

static bool
no_ring_lost(const struct xenbus_view *v, enum xenbus_step s)
{
	bool takes = s == XENBUS_PUBLISH || s == XENBUS_CONNECT ||
		     s == XENBUS_CLOSE || s == XENBUS_LEAVE;

	return !(takes && v->connected && v->inflight && !v->overdue);
}

static bool
closed_is_heard_out(const struct xenbus_view *v, enum xenbus_step s)
{
	bool closed = v->front == 6 || v->front == 0 || v->front_gone;

	return !(closed && v->lively && v->connected && !v->overdue &&
		 (s == XENBUS_CLOSE || s == XENBUS_LEAVE));
}

static bool
gone_means_leave(const struct xenbus_view *v, enum xenbus_step s)
{
	if (!v->backend_gone && !v->front_gone && v->front)
		return true;
	return s == XENBUS_LEAVE || s == XENBUS_DRAIN;
}

static bool
connect_has_keys(const struct xenbus_view *v, enum xenbus_step s)
{
	if (s != XENBUS_CONNECT)
		return true;
	return (v->front == 3 || v->front == 4) && !v->hold && !v->quit &&
	       (v->ready || v->renewed);
}

static bool
resume_has_a_ring(const struct xenbus_view *v, enum xenbus_step s)
{
	if (s != XENBUS_RESUME)
		return true;
	return (v->front == 4 || v->front == 5) &&
	       (v->back == 4 || v->back == 5) && v->resumable &&
	       !v->connected && !v->quit && v->ready;
}

/* A step that changes nothing in its own view would be taken for ever. */
static bool
steps_progress(const struct xenbus_view *v, enum xenbus_step s)
{
	struct xenbus_view n = *v;

	switch (s) {
	case XENBUS_CLOSE_REQUEST:
		n.back = XENBUS_CLOSING;
		break;
	case XENBUS_RESUME:	/* in either case */
		n.resumable = false;
		break;
	case XENBUS_PUBLISH:
		n.back = XENBUS_INIT_WAIT;
		n.connected = n.stopped = n.broken = n.renewed = false;
		n.inflight = 0;
		break;
	case XENBUS_CLOSE:
		n.back = XENBUS_CLOSED;
		n.connected = n.stopped = n.broken = n.renewed = false;
		n.inflight = 0;
		break;
	default:
		return true;
	}
	return xenbus_decide(&n) != s;
}

static bool
refused_is_not_reconnected(const struct xenbus_view *v, enum xenbus_step s)
{
	/* Closing, and the frontend still up: its turn, whatever else. */
	if (v->back != 5 || (v->front != 3 && v->front != 4))
		return true;
	return s != XENBUS_CONNECT && s != XENBUS_PUBLISH;
}

int
main(void)
{
	table();
	conditions();
	ok(each(no_ring_lost), "all views: no ring is taken with requests in it");
	ok(each(closed_is_heard_out),
	   "all views: a closed frontend may finish its sentence");
	ok(each(gone_means_leave), "all views: gone means leave");
	ok(each(resume_has_a_ring), "all views: what is resumed is a ring");
	ok(each(connect_has_keys), "all views: a connect has keys, image, time");
	ok(each(steps_progress), "all views: no step repeats itself");
	ok(each(refused_is_not_reconnected),
	   "all views: no reconnect while Closing");
	is_str(xenbus_state_name(4), "Connected", "states have names");
	is_str(xenbus_state_name(XENBUS_ODD), "no valid state", "others not");
	return done_testing();
}
