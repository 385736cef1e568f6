/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * serve-xpvtap.c - a guest reached through a node of the kernel driver xpvtap.
 *
 * The driver does the handshake with the guest and keeps each request until it
 * is answered.  So this process may end at any time: the guest waits, and the
 * next one that opens the node is given what is left.  A signal therefore ends
 * the process and not the disk; the disk ends when the driver hangs up.
 *
 * What the driver does not know is that a flush has failed: that goes to the log
 * (B4), from each process to the next.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include "cmd.h"
#include "log.h"
#include "serve-part.h"
#include "xpvtap.h"

#define PHYSICAL_SECTOR	4096	/* where most images have their blocks */
#define EVENTS		(EPOLLIN | EPOLLPRI)

struct way {
	struct xpvtap  *t;
	uint32_t	events;		/* that epoll knows we wait for */
	uint32_t	state;		/* the last one that was told */
	bool		leaving;
	bool		gone;		/* the disk, not only we */
};

static int
name(struct serve *s, struct vd_err *err)
{
	const char *last = strrchr(s->o->node, '/');
	struct way *w;
	char more;

	if (!last || sscanf(last, "/%5u-%10u%c", &s->asked.domid,
			    &s->asked.devid, &more) != 2) {
		vd_fail(err, EINVAL, VD_NOWHERE, "\"%.200s\" is no node of the "
			"xpvtap driver: expected " XPVTAP_NODES "DOMID-DEVID",
			s->o->node);
		return -EINVAL;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	s->at = w;
	return 0;
}

static int
open_node(struct serve *s, struct vd_err *err)
{
	struct way *w = s->at;
	const struct xpvtap_info *i;
	int ret;

	ret = xpvtap_open(s->o->node, s->o->xpvtap, &w->t, err);
	if (ret)
		return ret;
	i = xpvtap_info(w->t);
	if (i->domid != s->asked.domid || i->devid != s->asked.devid)
		return vd_fail(err, EINVAL, VD_NOWHERE, "%.200s is the node of "
			       "disk %u-%u", s->o->node, i->domid, i->devid);
	s->asked.readonly = i->asked & XPVTAP_ASKED_READONLY;
	s->asked.discard = i->asked & XPVTAP_ASKED_DISCARD;
	w->state = i->state;
	serve_open_log(s, i->opens == 1);
	if (!i->domid)
		serve_own_disk();
	if (i->again)
		log_info("%u requests that an earlier process left",
			 i->again);
	return 0;
}

/* asked as it was when the node was opened; both sides' bits are alike. */
static void
fill_ready(const struct serve *s, const struct ring_config *cfg,
	   struct xpvtap_ready *r)
{
	uint32_t asked = xpvtap_info(((struct way *)s->at)->t)->asked;

	*r = (struct xpvtap_ready){
		.flags = XPVTAP_READY_FLUSH | XPVTAP_READY_BARRIER |
			 (s->told.readonly ? XPVTAP_READY_READONLY : 0) |
			 (s->told.discard ? XPVTAP_READY_DISCARD : 0) |
			 (asked & XPVTAP_ASKED_CDROM ?
			  XPVTAP_READY_CDROM : 0) |
			 (asked & XPVTAP_ASKED_REMOVABLE ?
			  XPVTAP_READY_REMOVABLE : 0),
		.sectors = s->told.sectors,
		.physical_sector_bytes = PHYSICAL_SECTOR,
		.discard_granularity = s->told.discard ?
				       s->told.discard_granularity : 0,
		.max_segments = cfg->max_indirect ? cfg->max_indirect : 11,
	};
}

static int
start(struct serve *s, struct vd_err *err)
{
	struct way *w = s->at;
	struct ring_config cfg = { 0 };
	struct xpvtap_ready ready;
	int ret;

	ret = xpvtap_map(w->t, &cfg, err);
	if (!ret)
		ret = serve_open_ring(s, &cfg, err);
	w->events = EVENTS;
	if (!ret)
		ret = serve_wait_for(s, xpvtap_fd(w->t), 0, w->events, err);
	if (ret)
		return ret;
	fill_ready(s, &cfg, &ready);
	ret = xpvtap_ready(w->t, &ready, err);
	if (!ret)
		serve_is_ready(s);
	return ret;
}

static void
close_way(struct serve *s)
{
	struct way *w = s->at;

	if (s->ring)
		serve_close_ring(s);
	serve_close_image(s);
	serve_close_log(s, w->gone);
	xpvtap_close(w->t);
	free(w);
	s->at = NULL;
}

/* ------------------------------------------------------------------- loop */

/*
 * Nothing more is taken; what the disk works on is finished, and answered if
 * there is still someone to answer.
 */
static void
leave(struct serve *s)
{
	struct way *w = s->at;

	w->leaving = true;
	ring_leave(s->ring);
	s->run_ring = true;
}

static void
tell_state(struct way *w)
{
	static const char *const names[] = {
		"no guest is connected", "a guest is connected",
		"the guest closes", "taken away",
	};
	uint32_t now = xpvtap_info(w->t)->state;

	if (now != w->state)
		log_guest(names[now]);
	w->state = now;
}

static void
woke(struct serve *s, unsigned n, uint32_t events)
{
	struct way *w = s->at;

	(void)n;
	events = xpvtap_came(w->t, events);
	tell_state(w);
	if (events & EPOLLIN)
		s->run_ring = true;
	if (!(events & EPOLLHUP))
		return;
	/* It will not become quiet again. */
	serve_listen(s, xpvtap_fd(w->t), 0, 0);
	w->events = 0;
	w->gone = true;
	log_info("the disk was taken away: closing");
	s->again = false;
	leave(s);
}

/*
 * The driver says that there are requests for as long as there are, also while
 * the ring waits for the disk and can take none: then it is not listened to.
 */
static void
rested(struct serve *s, enum ring_state state)
{
	struct way *w = s->at;
	uint32_t events = EPOLLPRI;

	if (state == RING_BROKEN && !w->leaving) {
		log_error("the driver's ring indices make no sense");
		s->status = CMD_REFUSED;
		leave(s);
	}
	if (state == RING_IDLE && ring_armed(s->ring))
		events |= EPOLLIN;
	if (w->events && events != w->events) {
		serve_listen(s, xpvtap_fd(w->t), 0, events);
		w->events = events;
	}
}

static void
turn(struct serve *s)
{
	struct way *w = s->at;

	if (!w->leaving && xpvtap_failed(w->t)) {
		log_error("the driver does not take our answers: %s",
			  strerror(-xpvtap_failed(w->t)));
		s->status = CMD_REFUSED;
		leave(s);
	}
	s->done = w->leaving && !s->run_ring && !ring_busy(s->ring);
}

static int
timeout(struct serve *s)
{
	(void)s;
	return -1;
}

static void
quit(struct serve *s)
{
	leave(s);
}

static void
hand_over(struct serve *s)
{
	s->again = true;
	leave(s);
}

const struct serve_way serve_xpvtap = {
	.name = name,
	.open = open_node,
	.start = start,
	.woke = woke,
	.turn = turn,
	.rested = rested,
	.timeout = timeout,
	.quit = quit,
	.hand_over = hand_over,
	.close = close_way,
};
