/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* front.c - nodes, grants and an event channel: what makes a frontend. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <poll.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>
#include "rogue.h"

struct front f;
static struct xs_handle *xs;
static xenevtchn_handle *ev;
static xengntshr_handle *shr;

uint64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void
nap_ms(unsigned ms)
{
	poll(NULL, 0, (int)ms);
}

static char *
node_get(const char *dir, const char *key)
{
	char path[256];
	unsigned len;

	snprintf(path, sizeof(path), "%s/%s", dir, key);
	return xs_read(xs, XBT_NULL, path, &len);
}

void
node_put(const char *key, const char *value)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", f.dir, key);
	xs_write(xs, XBT_NULL, path, value, (unsigned)strlen(value));
}

void
node_rm(const char *key)
{
	char path[256];

	snprintf(path, sizeof(path), "%s%s%s", f.dir, *key ? "/" : "", key);
	xs_rm(xs, XBT_NULL, *key == '/' ? key : path);
}

bool
node_gone(const char *path)
{
	unsigned len;
	char *v = xs_read(xs, XBT_NULL, path, &len);

	free(v);
	return !v;
}

bool
back_has(const char *key, uint64_t *v)
{
	char *s = node_get(f.back, key);
	bool has = s && *s;

	if (has)
		*v = strtoull(s, NULL, 10);
	free(s);
	return has;
}

int
back_state(void)
{
	uint64_t v;

	return back_has("state", &v) ? (int)v : 0;
}

/* Each step would wait its whole time for what is no more. */
static void
must_be_there(void)
{
	if (back_state())
		return;
	ok(false, "the backend of the disk is still there");
	exit(1);
}

bool
back_becomes(int state, unsigned ms)
{
	uint64_t end = now_ms() + ms;

	while (back_state() != state) {
		if (now_ms() > end)
			return false;
		nap_ms(5);
	}
	return true;
}

static void
put_number(const char *key, const char *given, uint32_t v)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", v);
	if (!given)
		node_put(key, text);
	else if (strcmp(given, "-"))
		node_put(key, given);
	else
		node_rm(key);
}

static void
put_keys(const struct keys *k)
{
	char key[32];
	unsigned i;

	if (!k->protocol || strcmp(k->protocol, "-"))
		node_put("protocol", k->protocol ? k->protocol :
			 k->abi32 ? "x86_32-abi" : "x86_64-abi");
	else
		node_rm("protocol");
	for (i = 0; i < 1u << k->order; i++) {
		snprintf(key, sizeof(key), "ring-ref%u", i);
		put_number(key, k->ring_ref, f.ring_ref[k->twice ? 0 : i]);
	}
	put_number("ring-ref", k->ring_ref, f.ring_ref[0]);
	put_number("ring-page-order", k->page_order ? k->page_order :
		   k->order ? NULL : "-", k->order);
	put_number("num-ring-pages", k->pages ? k->pages : "-", 0);
	put_number("multi-queue-num-queues", k->queues ? k->queues : "-", 0);
	put_number("event-channel", k->event_channel, (uint32_t)f.port);
}

static void
fresh_ring(const struct keys *k)
{
	uint32_t n = 1;

	memset(f.ring, 0, PAGE << MAX_ORDER);
	f.stride = k->abi32 ? sizeof(struct blkif_rw_32) :
		   sizeof(struct blkif_rw_64);
	while (2 * n * f.stride <= (PAGE << k->order) -
				   sizeof(struct blkif_header))
		n *= 2;
	f.entries = n;
	f.req_prod = f.rsp_cons = 0;
	header()->req_event = header()->rsp_event = 1;
	f.keys = *k;
}

static void
read_features(void)
{
	uint64_t v;

	f.order = back_has("max-ring-page-order", &v) && v <= MAX_ORDER ?
		  (unsigned)v : 0;
	f.max_indirect = back_has("feature-max-indirect-segments", &v) ?
			 (unsigned)v : 0;
	f.discard = back_has("feature-discard", &v) && v;
	f.barrier = back_has("feature-barrier", &v) && v;
	f.sectors = back_has("sectors", &v) ? v : 0;
}

/* A refusal may also be to stay where it is; that is not waited for at length. */
static unsigned
patience(const struct keys *k)
{
	bool crooked = k->protocol || k->ring_ref || k->event_channel ||
		       k->page_order || k->pages || k->queues;

	return crooked ? 4000 : STEP_MS;
}

int
front_connect(const struct keys *k)
{
	uint64_t end = now_ms() + patience(k);
	int state;

	must_be_there();
	fresh_ring(k);
	put_keys(k);
	node_put("state", "3");
	while ((state = back_state()) >= 1 && state <= 3 && now_ms() < end)
		nap_ms(5);
	f.up = state == 4;
	if (f.up) {
		read_features();
		node_put("state", "4");
	}
	return state;
}

bool
front_reset(void)
{
	bool good;

	must_be_there();
	f.up = false;
	node_put("state", "6");
	good = back_becomes(6, STEP_MS);
	node_put("ring-ref", "");
	node_put("event-channel", "");
	node_put("state", "1");
	return back_becomes(2, STEP_MS) && good;
}

bool
front_again(const struct keys *k)
{
	return front_reset() && front_connect(k) == 4;
}

void
ring_bell(void)
{
	xenevtchn_notify(ev, (evtchn_port_t)f.port);
}

bool
bell_rang(unsigned ms)
{
	struct pollfd pfd = { .fd = xenevtchn_fd(ev), .events = POLLIN };
	xenevtchn_port_or_error_t p;

	if (poll(&pfd, 1, (int)ms) != 1)
		return false;
	p = xenevtchn_pending(ev);
	if (p >= 0)
		xenevtchn_unmask(ev, (evtchn_port_t)p);
	return p >= 0;
}

int
front_open(unsigned domid, unsigned devid)
{
	char *back;

	xs = xs_open(0);
	ev = xenevtchn_open(NULL, 0);
	shr = xengntshr_open(NULL, 0);
	if (!xs || !ev || !shr) {
		perror("rogue: xenstore, evtchn or gntalloc");
		return -1;
	}
	snprintf(f.dir, sizeof(f.dir), "/local/domain/%u/device/vbd/%u",
		 domid, devid);
	back = node_get(f.dir, "backend");
	if (!back) {
		fprintf(stderr, "rogue: no disk at %s\n", f.dir);
		return -1;
	}
	snprintf(f.back, sizeof(f.back), "%s", back);
	free(back);
	f.ring = xengntshr_share_pages(shr, domid, 1 << MAX_ORDER, f.ring_ref,
				       1);
	f.data = xengntshr_share_pages(shr, domid, DATA_PAGES, f.ref, 1);
	f.fixed = xengntshr_share_pages(shr, domid, 1, &f.fixed_ref, 0);
	f.port = xenevtchn_bind_unbound_port(ev, domid);
	if (!f.ring || !f.data || !f.fixed || f.port < 0) {
		perror("rogue: pages or event channel");
		return -1;
	}
	return 0;
}
