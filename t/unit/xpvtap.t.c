/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xpvtap.t.c - the node of a driver: what it says is bounded, what goes wrong
 * with it is told with the sentence that helps, data moves in both ways.
 */
/* objects: t/lib/faketap.o t/lib/frontend.o t/lib/fakequeue.o core/ring/libvdring.a */
#include <errno.h>
#include <sys/epoll.h>
#include <tap.h>
#include <unistd.h>

#include "fakequeue.h"
#include "faketap.h"

static struct faketap f;
static struct vd_err err;
static char text[1400];

static void
setup(void)
{
	vd_err_clear(&err);
	if (faketap_open(&f, 0, 64))
		ok(false, "the fake opens");
}

static const char *
why(void)
{
	vd_err_text(&err, text, sizeof(text));
	return text;
}

/* Opens? then closes again. */
static int
try_open(void)
{
	struct xpvtap *t = NULL;
	int ret = xpvtap_open(FAKETAP_NODE, &faketap_system, &t, &err);

	if (!ret)
		xpvtap_close(t);
	faketap_released(&f);
	return ret;
}

static void
refused(int ret, int code, const char *says, const char *what)
{
	is_int(ret, -code, "%s is refused", what);
	if (!ok(strstr(why(), says) || strstr(err.help, says),
		"with a sentence about \"%s\"", says))
		diag("%s; %s", why(), err.help);
	if (!strstr(why(), FAKETAP_NODE))
		ok(false, "%s does not name the node", why());
}

static void
test_open_fails(void)
{
	static const struct {
		int	code;
		const char *says;
	} c[] = {
		{ ENOENT, "modprobe xpvtap" }, { ENXIO, "modprobe xpvtap" },
		{ EBUSY, "serves this disk already" },
		{ EACCES, "group is xvm" }, { EPERM, "group is xvm" },
		{ EMFILE, "Too many" },
	};

	for (unsigned i = 0; i < sizeof(c) / sizeof(*c); i++) {
		setup();
		f.sh->open_fails = c[i].code;
		refused(try_open(), c[i].code, c[i].says,
			strerror(c[i].code));
		faketap_close(&f);
	}
	setup();
	f.sh->info_fails = ENOTTY;
	refused(try_open(), ENOTTY, "no node of the xpvtap driver",
		"something else");
	faketap_close(&f);
}

/* The numbers of struct xpvtap_info, each with values that cannot be. */
static void
test_garbage(void)
{
	static const struct {
		const char *what;
		size_t	at, len;
		uint64_t is;
	} c[] = {
#define X(field, v)	{ #field, offsetof(struct xpvtap_info, field), \
			  sizeof(((struct xpvtap_info *)0)->field), v }
		X(features, 0), X(features, XPVTAP_F_RESIZE),
		X(version, 0), X(version, 2), X(version, UINT32_MAX),
		X(ring_bytes, 0), X(ring_bytes, 1), X(ring_bytes, 4097),
		X(ring_bytes, 12288), X(ring_bytes, 131072),
		X(ring_bytes, UINT32_MAX), X(ring_bytes, 1u << 31),
		X(window_pages, 0), X(window_pages, 63), X(window_pages, 65),
		X(window_pages, UINT32_MAX), X(window_pages, 1u << 20),
		X(window_bytes, 0), X(window_bytes, 4096),
		X(window_bytes, UINT64_MAX), X(window_bytes, 64 * 4096 + 1),
		X(max_segments, 0), X(max_segments, 10), X(state, 4),
		X(state, UINT32_MAX), X(state, XPVTAP_GONE),
#undef X
	};

	for (unsigned i = 0; i < sizeof(c) / sizeof(*c); i++) {
		setup();
		memcpy((char *)&f.sh->info + c[i].at, &c[i].is, c[i].len);
		ok(try_open() < 0 && err.code, "%s of %llu is refused: %s",
		   c[i].what, (unsigned long long)c[i].is, err.msg);
		faketap_close(&f);
	}
	/* Both together, equal, and still too much. */
	setup();
	f.sh->info.window_pages = 1u << 20;
	f.sh->info.window_bytes = UINT64_C(1) << 32;
	ok(try_open() < 0, "a window of 4 GiB is refused");
	f.sh->info.window_pages = f.fe.guest_pages;
	f.sh->info.window_bytes = f.fe.guest_pages * FE_PAGE;
	f.sh->info.version = 2;
	vd_err_clear(&err);
	refused(try_open(), EPROTONOSUPPORT, "same release", "version 2");
	faketap_close(&f);
}

static void
test_alone(void)
{
	struct xpvtap *t, *u;

	setup();
	is_int(xpvtap_open(FAKETAP_NODE, &faketap_system, &t, &err), 0,
	       "it opens");
	is_int(xpvtap_open(FAKETAP_NODE, &faketap_system, &u, &err), -EBUSY,
	       "but once");
	xpvtap_close(t);
	faketap_close(&f);
}

static void
test_map_fails(void)
{
	struct ring_config cfg = { 0 };
	struct xpvtap *t;

	setup();
	f.sh->mmap_fails = ENOMEM;
	xpvtap_open(FAKETAP_NODE, &faketap_system, &t, &err);
	refused(xpvtap_map(t, &cfg, &err), ENOMEM, "cannot map the ring",
		"no memory");
	xpvtap_close(t);
	faketap_close(&f);
}

static void
test_segments(uint32_t told, unsigned want)
{
	struct ring_config cfg = { 0 };
	struct xpvtap *t;

	setup();
	f.sh->info.max_segments = told;
	xpvtap_open(FAKETAP_NODE, &faketap_system, &t, &err);
	is_int(xpvtap_map(t, &cfg, &err), 0, "maps");
	is_int(cfg.max_indirect, want, "%u segments", told);
	xpvtap_close(t);
	faketap_close(&f);
}

static void
test_ready_fails(void)
{
	static const struct xpvtap_ready good = {
		.sectors = 100, .physical_sector_bytes = 4096,
		.max_segments = 11,
	};
	struct xpvtap_ready r = good;
	struct xpvtap *t;

	setup();
	xpvtap_open(FAKETAP_NODE, &faketap_system, &t, &err);
	is_int(xpvtap_ready(t, &r, &err), 0, "ready");
	r.sectors = 0;
	refused(xpvtap_ready(t, &r, &err), EINVAL, "refuses this disk",
		"no sector");
	f.sh->ready_fails = EBUSY;
	r = good;
	vd_err_clear(&err);
	refused(xpvtap_ready(t, &r, &err), EBUSY, "it was larger",
		"another disk");
	xpvtap_close(t);
	faketap_close(&f);
}

static void
test_events(void)
{
	struct xpvtap *t;

	setup();
	xpvtap_open(FAKETAP_NODE, &faketap_system, &t, &err);
	is_int(xpvtap_came(t, EPOLLIN), 0, "nothing came");
	faketap_state(&f, XPVTAP_CONNECTED);
	is_int(xpvtap_came(t, EPOLLIN), EPOLLPRI, "the state did");
	is_int(xpvtap_info(t)->state, XPVTAP_CONNECTED, "and is known");
	is_int(xpvtap_came(t, EPOLLIN), 0, "once");
	f.sh->info.ring_bytes = 65536;
	faketap_state(&f, 77);
	xpvtap_came(t, EPOLLIN);
	is_int(xpvtap_info(t)->state, XPVTAP_CONNECTED, "nonsense is not");
	is_int(xpvtap_info(t)->ring_bytes, 4096, "nor a ring that has grown");
	faketap_hangup(&f);
	is_int(xpvtap_came(t, EPOLLIN) & EPOLLHUP, EPOLLHUP, "the end is");
	xpvtap_close(t);
	faketap_close(&f);
}

struct lane {
	struct xpvtap  *t;
	struct ring_config cfg;
	struct ring    *ring;
};

static void
connect(struct lane *l)
{
	struct xpvtap_ready r = { .sectors = 2048, .max_segments = 32,
				  .physical_sector_bytes = 512 };

	memset(l, 0, sizeof(*l));
	setup();
	l->cfg.disk = fq_disk(1 << 20);
	l->cfg.queue = fq_open(l->cfg.disk, FQ_AUTO);
	l->cfg.queue->direct = true;
	if (xpvtap_open(FAKETAP_NODE, &faketap_system, &l->t, &err) ||
	    xpvtap_map(l->t, &l->cfg, &err) ||
	    ring_open(&l->cfg, &l->ring, &err) ||
	    xpvtap_ready(l->t, &r, &err) || !faketap_again(&f, 0))
		ok(false, "lane opens");
}

static void
disconnect(struct lane *l)
{
	ring_close(l->ring);
	xpvtap_close(l->t);
	vd_queue_close(l->cfg.queue);
	fq_disk_free(l->cfg.disk);
	faketap_close(&f);
}

static int
one(struct lane *l, const struct fe_req *q)
{
	struct fe_rsp rsp = { .status = 99 };

	fe_put(&f.fe, q);
	fe_push(&f.fe);
	for (int i = 0; i < 10 && !fe_next(&f.fe, &rsp); i++) {
		ring_run(l->ring);
		usleep(ring_delay_ms(l->ring) * 1000);
	}
	return rsp.status;
}

static void
test_data(void)
{
	struct fe_req w = { .op = FE_WRITE, .nseg = 2, .sector = 8,
			    .seg = { { 3, 0, 7 }, { 4, 0, 7 } } };
	struct fe_req g = { .op = FE_READ, .nseg = 2, .sector = 8,
			    .seg = { { 9, 0, 7 }, { 7, 0, 7 } } };
	struct fe_req bad = { .op = FE_WRITE, .nseg = 2, .sector = 8,
			      .seg = { { 63, 0, 7 }, { 64, 0, 7 } } };
	struct ring_stats st;
	struct lane l;

	connect(&l);
	memset(fe_page(&f.fe, 3), 0x33, FE_PAGE);
	memset(fe_page(&f.fe, 4), 0x44, FE_PAGE);
	is_int(one(&l, &w), FE_OKAY, "a write from the window");
	is_int(l.cfg.disk->data[4096], 0x33, "is on the disk");
	is_int(l.cfg.disk->data[12287], 0x44, "all of it");
	is_int(one(&l, &g), FE_OKAY, "a read into pages that are no row");
	is_int(fe_page(&f.fe, 9)[4095], 0x33, "is in the first");
	is_int(fe_page(&f.fe, 7)[0], 0x44, "and in the second");
	is_int(one(&l, &bad), FE_ERROR, "a page behind the window's end");
	bad.seg[0].gref = UINT32_MAX;
	is_int(one(&l, &bad), FE_ERROR, "and one far behind it");
	ring_stats(l.ring, &st);
	is_int(st.direct, 1, "one was done in place");
	ok(f.sh->pushes >= 4, "each turn's answers are pushed (%u)",
	   f.sh->pushes);
	disconnect(&l);
}

/* Whatever the event index says. */
static void
test_push(void)
{
	struct fe_req q = { .op = FE_FLUSH };
	struct lane l;
	unsigned before;

	connect(&l);
	*fe_word(&f.fe, FE_RSP_EVENT) = 1000;
	one(&l, &q);
	one(&l, &q);
	is_int(f.sh->pushes, 2, "PUSH does not wait to be asked for");
	is_int(xpvtap_failed(l.t), 0, "nothing is wrong");
	f.sh->push_fails = EINVAL;
	one(&l, &q);
	is_int(xpvtap_failed(l.t), -EINVAL, "until the driver says so");
	f.sh->push_fails = 0;
	before = f.sh->pushes;
	one(&l, &q);
	is_int(xpvtap_failed(l.t), -EINVAL, "which is for good");
	is_int(f.sh->pushes, before, "and nothing more is pushed");
	disconnect(&l);
}

int
main(void)
{
	test_open_fails();
	test_garbage();
	test_alone();
	test_map_fails();
	test_segments(11, 0);
	test_segments(12, 12);
	test_segments(64, 64);
	test_segments(512, 256);
	test_ready_fails();
	test_events();
	test_data();
	test_push();
	return done_testing();
}
