/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenbus_state.c - what to do next, decided from how things are.
 *
 * A pure function of its view, so that a test can walk through all of them.
 * A frontend may jump from any state to any other at any time, restart without
 * a word (a crash kernel), or come back after Closed with another ABI and
 * another ring (boot loader, then kernel), any number of times.
 */
#include "xenbus.h"

const char *
xenbus_state_name(int state)
{
	static const char *const names[] = {
		"Unknown", "Initialising", "InitWait", "Initialised",
		"Connected", "Closing", "Closed",
	};

	if (state < 0 || state > XENBUS_CLOSED)
		return "no valid state";
	return names[state];
}

/* Before a ring is taken away its requests are finished - for a while. */
static enum xenbus_step
settled(const struct xenbus_view *v, enum xenbus_step step)
{
	bool closed = v->front == XENBUS_CLOSED || v->front_gone ||
		      v->front == XENBUS_UNKNOWN;

	if (v->connected && !v->overdue &&
	    (v->inflight || (closed && v->lively)))
		return XENBUS_DRAIN;
	return step;
}

/* A guest that comes and goes all the time has to wait. */
static enum xenbus_step
paced(const struct xenbus_view *v, enum xenbus_step step)
{
	return v->hold ? XENBUS_WAIT : settled(v, step);
}

/*
 * Politely: Closing, and the ring runs on, because a frontend may write its
 * caches back now.  One that does not want to close is left after the grace.
 */
static enum xenbus_step
when_quitting(const struct xenbus_view *v)
{
	if (!v->connected || v->grace_over ||
	    v->front == XENBUS_CLOSED || v->front == XENBUS_INITIALISING)
		return settled(v, XENBUS_LEAVE);
	if (v->back < XENBUS_CLOSING)
		return XENBUS_CLOSE_REQUEST;
	return XENBUS_WAIT;
}

/* The frontend (re)starts: whatever ring there was is void. */
static enum xenbus_step
front_starts(const struct xenbus_view *v)
{
	switch (v->back) {
	case XENBUS_INITIALISING:
		return settled(v, XENBUS_PUBLISH);
	case XENBUS_INIT_WAIT:
		return XENBUS_NOTHING;
	default:
		if (!v->online)
			return settled(v, XENBUS_LEAVE);
		return paced(v, XENBUS_PUBLISH);
	}
}

/*
 * Our predecessor died and left a log of its requests.  A frontend that is
 * connected has the ring that the log is about; one that is Initialised is
 * about to be, since it sees our state.
 */
static bool
resumes(const struct xenbus_view *v, enum xenbus_step *step)
{
	if (!v->resumable || v->connected ||
	    (v->back != XENBUS_CONNECTED && v->back != XENBUS_CLOSING))
		return false;
	*step = v->ready && v->front != XENBUS_INITIALISED ? XENBUS_RESUME :
		XENBUS_NOTHING;
	return v->front == XENBUS_CONNECTED || v->front == XENBUS_CLOSING ||
	       (v->front == XENBUS_INITIALISED &&
		v->back == XENBUS_CONNECTED);
}

/* Initialised and Connected both say: the ring's keys are there. */
static enum xenbus_step
front_is_up(const struct xenbus_view *v)
{
	switch (v->back) {
	case XENBUS_INITIALISING:
		return settled(v, XENBUS_PUBLISH);
	case XENBUS_INIT_WAIT:
		return v->ready ? paced(v, XENBUS_CONNECT) : XENBUS_NOTHING;
	case XENBUS_CLOSING:
		return XENBUS_NOTHING;	/* its turn */
	case XENBUS_CLOSED:
		/* It did not pass through Initialising (NetBSD). */
		return v->online ? paced(v, XENBUS_PUBLISH) :
		       settled(v, XENBUS_LEAVE);
	default:
		break;
	}
	/*
	 * Not connected: our predecessor died, and left no log.  Its answers
	 * lie where unread requests were, so that nobody can tell which are
	 * still to be done.
	 */
	if (!v->connected || v->broken)
		return XENBUS_CLOSE_REQUEST;
	if (v->renewed)			/* resumed from a save */
		return paced(v, XENBUS_CONNECT);
	return XENBUS_NOTHING;
}

static enum xenbus_step
by_front(const struct xenbus_view *v)
{
	enum xenbus_step step;

	if (resumes(v, &step))
		return step;
	switch (v->front) {
	case XENBUS_INITIALISING:
		return front_starts(v);
	case XENBUS_INIT_WAIT:
		return v->back == XENBUS_INITIALISING ?
		       settled(v, XENBUS_PUBLISH) : XENBUS_NOTHING;
	case XENBUS_INITIALISED:
	case XENBUS_CONNECTED:
		return front_is_up(v);
	case XENBUS_CLOSING:
		return v->back < XENBUS_CLOSING ?
		       XENBUS_CLOSE_REQUEST : XENBUS_NOTHING;
	case XENBUS_CLOSED:
		if (!v->online)
			return settled(v, XENBUS_LEAVE);
		return v->back == XENBUS_CLOSED ?
		       XENBUS_NOTHING : settled(v, XENBUS_CLOSE);
	default:
		return XENBUS_NOTHING;	/* nonsense closes no working disk */
	}
}

enum xenbus_step
xenbus_decide(const struct xenbus_view *v)
{
	enum xenbus_step step;

	if (v->backend_gone || v->front_gone || v->front == XENBUS_UNKNOWN)
		return settled(v, XENBUS_LEAVE);	/* */

	step = v->quit ? when_quitting(v) : by_front(v);
	/*
	 * A frontend that said Closed and changes its mind while we drain
	 * would keep a ring that nobody serves.
	 */
	if (v->connected && v->stopped && step < XENBUS_PUBLISH)
		return settled(v, XENBUS_CLOSE);
	return step == XENBUS_CLOSE_REQUEST && v->connected && v->stopped ?
	       settled(v, XENBUS_CLOSE) : step;
}
