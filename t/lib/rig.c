/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rig.c - see rig.h. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "rig.h"

static int
rig_copy(void *ctx, struct ring_copy *c, unsigned n, bool to_guest)
{
	struct rig *r = ctx;
	unsigned i;
	int ret;

	if (to_guest)
		r->copies_out++;
	else
		r->copies_in++;
	ret = r->real.copy(r->real.ctx, c, n, to_guest);
	for (i = 0; r->copy_hook && i < n; i++) {
		int fault = r->copy_hook(r, &c[i]);

		if (fault)
			c[i].status = ret = fault;
	}
	return ret;
}

static void
rig_notify(void *ctx)
{
	struct rig *r = ctx;

	r->notifies++;
	r->real.notify(r->real.ctx);
}

static void *
rig_pages(void *ctx, uint32_t gref, unsigned n)
{
	struct rig *r = ctx;

	if (gref >= r->guest_pages || n > r->guest_pages - gref)
		return NULL;
	return fe_page(&r->fe, gref);
}

static void
rig_log(void *ctx, const char *text)
{
	struct rig *r = ctx;

	r->log_lines++;
	snprintf(r->last_log, sizeof(r->last_log), "%s", text);
}

int
rig_open(struct rig *r)
{
	struct vd_err err = { 0 };
	int ret;

	if (!r->abi)
		r->abi = FE_64;
	if (!r->guest_pages)
		r->guest_pages = 64;
	ret = fe_open(&r->fe, r->abi, r->order, r->guest_pages, r->start);
	if (ret < 0)
		return ret;
	ret = loop_open(r->fe.memfd, r->fe.ring_pages, r->guest_pages,
			r->fe.notify_fd, &r->loop, &err);
	if (ret < 0)
		return ret;
	r->real = loop_transport(r->loop);
	r->cfg.ring = loop_ring(r->loop);
	r->cfg.pages = r->fe.ring_pages;
	r->cfg.abi = r->abi == FE_64 ? RING_ABI_X86_64 : RING_ABI_X86_32;
	r->cfg.transport = (struct ring_transport){
		.copy = rig_copy, .notify = rig_notify, .ctx = r,
		.pages = r->direct ? rig_pages : NULL,
	};
	r->cfg.log = rig_log;
	r->cfg.log_ctx = r;
	return ring_open(&r->cfg, &r->ring, &err);
}

void
rig_close(struct rig *r)
{
	ring_close(r->ring);
	loop_close(r->loop);
	fe_close(&r->fe);
}

enum ring_state
rig_turn(struct rig *r)
{
	r->turns++;
	return r->state = ring_run(r->ring);
}

static uint64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

unsigned
rig_collect(struct rig *r, struct fe_rsp *rsp, unsigned n)
{
	uint64_t end = now_ms() + 1000;
	struct fe_rsp none;
	unsigned got = 0;

	while (got < n && now_ms() < end) {
		rig_turn(r);
		while (got < n && fe_next(&r->fe, rsp ? &rsp[got] : &none))
			got++;
		if (r->state == RING_THROTTLED)
			poll(NULL, 0, (int)ring_delay_ms(r->ring));
	}
	return got;
}

int
rig_one(struct rig *r, const struct fe_req *req)
{
	struct fe_rsp rsp;

	fe_put(&r->fe, req);
	fe_push(&r->fe);
	return rig_collect(r, &rsp, 1) ? rsp.status : 99;
}

/* What the owner of a ring does: see ring_run() and ring_delay_ms(). */
static void *
rig_main(void *arg)
{
	struct rig *r = arg;
	struct pollfd p[3];
	uint64_t n;
	int ms = 0;

	for (;;) {
		p[0] = (struct pollfd){ .fd = r->quit_fd, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = vd_queue_fd(r->cfg.queue),
					.events = POLLIN };
		p[2] = (struct pollfd){ .fd = r->fe.kick_fd, .events = POLLIN };
		if (r->state == RING_THROTTLED)
			p[2].fd = -1;
		poll(p, 3, r->turns ? ms : 0);
		if (p[0].revents)
			return NULL;
		if (p[2].revents && read(r->fe.kick_fd, &n, sizeof(n)) < 0)
			return NULL;
		rig_turn(r);
		ms = (int)ring_delay_ms(r->ring);
		ms = r->state == RING_MORE ? 0 : ms ? ms : -1;
	}
}

void
rig_thread(struct rig *r)
{
	if (!r->quit_fd)
		r->quit_fd = eventfd(0, EFD_CLOEXEC);
	pthread_create(&r->thread, NULL, rig_main, r);
}

void
rig_join(struct rig *r)
{
	uint64_t one = 1;

	if (write(r->quit_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(r->thread, NULL);
	close(r->quit_fd);
	r->quit_fd = 0;
}
