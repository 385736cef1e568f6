/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenbus-device.t.c - whole lives of a disk, against a store in memory.
 *
 * The test is the guest and the toolstack.  The owner is a stub that counts:
 * how often it was connected, and whether anything was asked of it in a wrong
 * order.
 */
/* objects: core/ring/libvdring.a */
#include "tap.h"
#include "fakexen.h"
#include "xenbus.h"

struct owner {
	unsigned	connects, drains, disconnects, finishes, logs;
	unsigned	inflight;
	int		refuse;		/* connect() returns this */
	bool		up, stopped, wrong, resumed;
	enum ring_abi	abi;
	unsigned	pages;
	struct ring_transport transport;
	char		state_at_finish[16];
	unsigned	mapped_at_finish;
	char		last_log[1024];
};

static struct fakexen *f;
static struct xenbus *bus;
static struct owner o;
static struct vd_err err;

static int
on_connect(void *ctx, const struct xenbus_ring *r, struct vd_err *e)
{
	(void)ctx;
	o.wrong |= o.up || o.finishes;
	if (o.refuse)
		return vd_fail(e, -o.refuse, VD_NOWHERE, "refused");
	o.connects++;
	o.up = true;
	o.stopped = false;
	o.resumed = r->resume;
	o.wrong |= r->keys->abi != r->abi || 1u << r->keys->order != r->pages;
	o.abi = r->abi;
	o.pages = r->pages;
	o.transport = r->transport;
	return 0;
}

static void
on_drain(void *ctx, bool at_once)
{
	(void)ctx;
	o.wrong |= !o.up || (o.stopped && !at_once);
	o.drains++;
	o.stopped = at_once;
}

static unsigned
on_inflight(void *ctx)
{
	(void)ctx;
	return o.up ? o.inflight : 0;
}

static void
on_disconnect(void *ctx)
{
	(void)ctx;
	o.wrong |= !o.up;
	o.disconnects++;
	o.inflight = 0;		/* as ring_close(), which waits */
	o.up = false;
}

static void
on_finish(void *ctx)
{
	(void)ctx;
	o.wrong |= o.up || o.finishes;
	o.finishes++;
	o.mapped_at_finish = f->mapped + f->bound;
	snprintf(o.state_at_finish, sizeof(o.state_at_finish), "%s",
		 get(f, FAKE_B "/state") ? get(f, FAKE_B "/state") : "gone");
}

static void
on_log(void *ctx, const char *text)
{
	(void)ctx;
	o.logs++;
	snprintf(o.last_log, sizeof(o.last_log), "%s", text);
}

static int
try_open(void)
{
	const struct xenbus_owner owner = {
		on_connect, on_drain, on_inflight, on_disconnect, on_finish,
		on_log, NULL,
	};
	const struct xenbus_disk disk = {
		.sectors = 131072, .discard = true,
		.discard_granularity = 65536, .max_order = 4,
		.max_indirect = 256,
	};
	struct xenbus_path p;

	memset(&err, 0, sizeof(err));
	if (xenbus_parse_path("backend/vdisk/7/51728", &p, &err))
		return -1;
	return xenbus_open(&f->xen, &p, &disk, &owner, "123 456", &bus, &err);
}

static void
begin(void)
{
	f = fake_new();
	memset(&o, 0, sizeof(o));
	fake_attach(f);
	if (try_open())
		abort();
	xenbus_run(bus, false);
}

static void
end(const char *what)
{
	ok(!o.wrong, "%s: the owner was called in order", what);
	xenbus_close(bus);
	is_int(f->mapped + f->bound, 0, "%s: nothing stays mapped or bound",
	       what);
	f->xen.close(&f->xen);
	bus = NULL;
}

/* What the event loop does, until nothing happens any more. */
static void
settle(void)
{
	unsigned i;
	int ms;

	for (i = 0; i < 50 && !xenbus_done(bus); i++) {
		bool look = f->xen.fired(&f->xen) > 0;

		ms = xenbus_timeout(bus);
		if (!look && (ms < 0 || ms > 250))
			break;
		f->clock += !look && ms > 0 ? (uint64_t)ms : 0;
		xenbus_run(bus, look);
	}
}

static void
front_keys(const char *protocol, unsigned ref, unsigned port)
{
	put(f, FAKE_F "/protocol", "%s", protocol);
	put(f, FAKE_F "/ring-ref", "%u", ref);
	put(f, FAKE_F "/event-channel", "%u", port);
}

static void
front_state(int state)
{
	put(f, FAKE_F "/state", "%d", state);
	settle();
}

#define back_is(n, ...) is_str(get(f, FAKE_B "/state"), #n, __VA_ARGS__)
#define key_is(key, want, ...) is_str(get(f, FAKE_B "/" key), want, __VA_ARGS__)

static void
connected(void)
{
	begin();
	front_keys("x86_64-abi", 8, 15);
	front_state(3);
	front_state(4);
}

static void
attach_and_detach(void)
{
	begin();
	back_is(2, "after the start: InitWait");
	key_is("feature-flush-cache", "1", "flush is offered");
	key_is("feature-barrier", "1", "barrier is offered");
	key_is("feature-discard", "1", "discard is offered");
	key_is("discard-granularity", "65536", "in the image's units");
	key_is("max-ring-page-order", "4", "16 pages");
	key_is("feature-max-indirect-segments", "256", "indirect");
	key_is("feature-persistent", NULL, "what we do not do is absent");
	key_is("vdisk-server", "123 456", "who serves it");
	key_is("sectors", NULL, "no property before the connect");
	front_keys("x86_32-abi", 8, 15);
	front_state(3);
	back_is(4, "Initialised is answered by Connected");
	key_is("sectors", "131072", "sectors");
	key_is("sector-size", "512", "sector size");
	key_is("info", "0", "writable");
	is_int(o.connects, 1, "connected once");
	is_int(o.abi, RING_ABI_X86_32, "with the frontend's ABI");
	is_int(f->last_refs[0], 8, "its page");
	is_int(f->last_remote, 15, "its port");
	front_state(4);
	is_int(o.connects, 1, "Connected changes nothing");

	put(f, FAKE_B "/online", "0");
	put(f, FAKE_B "/state", "5");
	settle();
	back_is(5, "detach: it is the guest's turn");
	ok(o.up && !o.stopped, "the ring still works");
	front_state(5);
	ok(o.up && !o.stopped, "also while the guest closes");
	front_state(6);
	ok(xenbus_done(bus), "Closed and offline: done");
	is_int(o.finishes, 1, "the image was closed");
	is_int(o.mapped_at_finish, 0, "after the ring");
	is_str(o.state_at_finish, "5", "before Closed was said");
	ok(!fake_find(f, FAKE_B) && !fake_find(f, FAKE_F),
	   "both directories are gone");
	ok(!fake_find(f, "/local/domain/0/backend/vdisk/7"),
	   "and the empty one above");
	end("detach");
}

static void
reconnects(void)
{
	static const struct {
		const char *abi;
		int order;
	} kinds[] = {
		{ "x86_64-abi", -1 }, { "x86_32-abi", 2 }, { "x86_64-abi", 4 },
		{ "arm-abi", 0 },
	};
	unsigned i, n, bad = 0;
	char key[64];

	begin();
	for (i = 0; i < 400; i++) {
		unsigned pages = kinds[i % 4].order > 0 ?
				 1u << kinds[i % 4].order : 1;

		rm(f, FAKE_F "/ring-page-order");
		if (kinds[i % 4].order >= 0)
			put(f, FAKE_F "/ring-page-order", "%d",
			    kinds[i % 4].order);
		for (n = 0; n < pages; n++) {
			snprintf(key, sizeof(key), FAKE_F "/ring-ref%u", n);
			put(f, key, "%u", 16 + n);
		}
		front_keys(kinds[i % 4].abi, 8, 15 + i);
		f->clock += 20000;
		front_state(i & 1 ? 3 : 4);
		bad += strcmp(get(f, FAKE_B "/state"), "4") ||
		       o.pages != pages || f->mapped != pages ||
		       f->last_remote != 15 + i;
		if (i & 2)
			front_state(5);
		front_state(6);		/* GRUB skips 5 */
		bad += strcmp(get(f, FAKE_B "/state"), "6") || f->mapped ||
		       f->bound;
		front_state(1);
		bad += strcmp(get(f, FAKE_B "/state"), "2") != 0;
	}
	is_int(bad, 0, "400 reconnects with other ABIs, pages and ports");
	is_int(o.connects, 400, "each one connected");
	is_int(o.finishes, 0, "the image stayed open");
	end("reconnect");
}

static void
fast_toggle(void)
{
	uint64_t start;
	unsigned i;

	begin();
	front_keys("x86_64-abi", 8, 15);
	start = f->clock;
	for (i = 0; i < 2000; i++) {
		front_state(3);
		front_state(6);
		front_state(1);
	}
	diag("%u connects in %llu ms", o.connects,
	     (unsigned long long)(f->clock - start));
	ok(o.connects <= 16 + (f->clock - start) / 1000,
	   "R-45: at most one connect a second in the long run");
	ok(o.connects > 3, "R-45: but they do connect");
	end("toggle");
}

static void
jumps(void)
{
	connected();
	front_state(1);		/* a crash kernel says nothing before */
	back_is(2, "a restarted frontend finds InitWait");
	is_int(f->mapped, 0, "its old ring is unmapped");
	front_keys("x86_64-abi", 9, 16);
	front_state(3);
	back_is(4, "and connects again");
	is_int(f->last_refs[0], 9, "with its new ring");

	/* NetBSD: Closed, then Initialised at once. */
	front_state(6);
	back_is(6, "Closed");
	front_state(3);
	back_is(4, "without passing Initialising");

	front_state(7);
	back_is(4, "Reconfiguring is ignored");
	put(f, FAKE_F "/state", "4x");
	settle();
	put(f, FAKE_F "/state", "%s", "99999999999999999999999");
	settle();
	fake_put(f, FAKE_F "/state", "4\0", 2);
	settle();
	back_is(4, "and so is garbage");
	ok(o.up && !o.stopped, "the disk works on");
	end("jumps");
}

static void
resume(void)
{
	connected();
	put(f, FAKE_F "/ring-ref", "12");
	settle();
	is_int(o.connects, 1, "R-43: changed keys of a connected ring are "
	       "not looked at");
	put(f, FAKE_F "/event-channel", "33");
	front_state(3);
	is_int(o.connects, 2, "a resumed guest is connected to its new ring");
	is_int(f->last_refs[0], 12, "by its page");
	is_int(f->last_remote, 33, "and port");
	is_int(f->mapped, 1, "the old one is unmapped");
	front_state(3);
	is_int(o.connects, 2, "the same keys again change nothing");
	end("resume");
}

static void
draining(void)
{
	struct ring_copy c = { .gref = 3, .len = 512 };
	uint8_t buf[512] = { 0 };
	unsigned copies;

	connected();
	o.inflight = 3;
	front_state(6);
	ok(o.drains == 1 && o.up, "R-48: the ring is to become empty");
	ok(!o.stopped, "what the guest put there before it closed is fetched");
	back_is(4, "R-48: not Closed before they are done");
	c.buf = buf;
	is_int(o.transport.copy(o.transport.ctx, &c, 1, true), 0,
	       "Linux waits for the answers though it said Closed");
	is_int(f->notified, 1, "it was woken, to hand on what it has queued");
	o.transport.notify(o.transport.ctx);
	is_int(f->notified, 2, "and hears of the answers");
	front_state(3);
	ok(o.stopped && o.up, "coming back now does not revive the ring");
	front_state(1);
	copies = f->copies;
	ok(o.transport.copy(o.transport.ctx, &c, 1, true) == -ESHUTDOWN &&
	   c.status == -ESHUTDOWN, "after a restart late answers are void");
	o.transport.notify(o.transport.ctx);
	is_int(f->copies, copies, "not a byte of them");
	is_int(f->notified, 2, "nor a word");
	front_state(3);
	o.inflight = 0;
	f->clock += 20000;
	xenbus_run(bus, false);
	settle();
	back_is(4, "but is served when it is empty");
	is_int(o.connects, 2, "with a new connect");
	end("drain");

	connected();
	o.inflight = 1;		/* an image on a dead NFS server */
	front_state(6);
	f->clock += 7900;
	xenbus_run(bus, false);
	back_is(4, "R-48: it waits");
	f->clock += 200;
	xenbus_run(bus, false);
	back_is(6, "R-48: but not for ever");
	is_int(f->abandons, 1, "the guest's pages are given back");
	is_int(f->mapped, 0, "all of them");
	ok(o.up, "the requests' own memory is not");
	front_state(1);
	front_state(3);
	back_is(2, "no new ring while the disk is stuck");
	o.inflight = 0;
	f->clock += 1000;
	xenbus_run(bus, true);
	settle();
	back_is(4, "the new ring when it is not");
	is_int(o.disconnects, 1, "after the old one was freed");
	end("stuck");
}

static void
deaths(void)
{
	connected();
	o.inflight = 2;
	rm(f, FAKE_F);
	settle();
	ok(!o.stopped && !xenbus_done(bus) && f->notified,
	   "R-50: the frontend vanished: it gets its answers");
	o.inflight = 0;
	xenbus_run(bus, false);
	ok(!xenbus_done(bus), "and a moment to ask for more");
	settle();
	ok(xenbus_done(bus), "R-50: then it is done");
	is_int(o.finishes, 1, "image closed");
	ok(!fake_find(f, FAKE_B), "our directory is cleaned");
	end("frontend gone");

	connected();
	o.inflight = 2;
	f->dead = true;
	f->fired++;
	settle();
	ok(!xenbus_done(bus) && o.stopped, "R-53: dead guest: drained first");
	o.inflight = 0;
	xenbus_run(bus, false);
	ok(xenbus_done(bus), "R-53: then left");
	ok(!fake_find(f, FAKE_B), "our directory is cleaned");
	end("dead guest");

	connected();
	o.inflight = 0;
	front_state(6);
	back_is(6, "an idle ring is Closed");
	is_int(f->notified, 1, "after a wake-up");
	end("idle close");

	connected();
	put(f, FAKE_F "/state", "6");
	xenbus_run(bus, true);
	f->clock += 150;
	xenbus_rang(bus);
	xenbus_run(bus, false);
	f->clock += 150;
	xenbus_run(bus, false);
	back_is(4, "a guest that still rings is still served");
	f->clock += 60;
	xenbus_run(bus, false);
	back_is(6, "until it has been silent");
	end("late requests");

	connected();
	xenbus_rang(bus);
	f->clock += 500;
	put(f, FAKE_F "/state", "6");
	xenbus_run(bus, true);
	f->clock += 900;
	xenbus_run(bus, false);
	back_is(4, "one that rang just before is given more silence");
	f->clock += 150;
	xenbus_run(bus, false);
	back_is(6, "but not for ever");
	end("busy to the last");

	connected();
	rm(f, FAKE_B);
	settle();
	ok(xenbus_done(bus), "the backend's directory vanished: done");
	ok(!fake_find(f, FAKE_B), "R-51: and was not made again");
	is_int(o.finishes, 1, "image closed");
	end("backend gone");

	connected();
	rm(f, FAKE_B);
	put(f, FAKE_F "/state", "6");
	settle();
	ok(!fake_find(f, FAKE_B), "R-51: neither when the guest closes");
	end("both");

	connected();
	f->store_down = true;
	f->fired++;
	settle();
	ok(!xenbus_done(bus) && o.up && !o.stopped,
	   "a dead xenstored is no reason to stop");
	f->store_down = false;
	end("no store");
}

static void
foreign_nodes(void)
{
	connected();
	rm(f, FAKE_B "/managed-by");
	xenbus_close(bus);
	if (try_open())
		abort();
	xenbus_run(bus, false);
	settle();
	put(f, FAKE_B "/online", "0");
	put(f, FAKE_B "/state", "5");
	front_state(6);
	ok(xenbus_done(bus), "nodes of another toolstack: done");
	back_is(6, "it is told Closed");
	ok(fake_find(f, FAKE_F) != NULL, "and keeps its nodes");
	key_is("vdisk-server", NULL, "without our name");
	o.wrong = false;	/* this owner served two devices */
	end("foreign");
}

static void
predecessor(void)
{
	f = fake_new();
	memset(&o, 0, sizeof(o));
	fake_attach(f);
	put(f, FAKE_B "/state", "4");
	front_keys("x86_64-abi", 8, 15);
	put(f, FAKE_F "/state", "4");
	if (try_open())
		abort();
	xenbus_run(bus, false);
	settle();
	back_is(5, "a dead predecessor's ring is not taken over");
	is_int(o.connects, 0, "nobody could say which requests are open");
	ok(strstr(get(f, FAKE_B "/error"), "died"), "the reason is there");
	front_state(6);
	front_state(1);
	front_state(3);
	back_is(4, "after a proper close it can be used again");
	key_is("error", NULL, "and the reason is gone");
	end("predecessor");
}

/* What a process that was killed leaves of a connected disk, and a log. */
static void
killed(int front, int back)
{
	f = fake_new();
	memset(&o, 0, sizeof(o));
	fake_attach(f);
	put(f, FAKE_B "/state", "%d", back);
	put(f, FAKE_B "/sectors", "131072");
	put(f, FAKE_B "/info", "0");
	front_keys("x86_64-abi", 8, 15);
	put(f, FAKE_F "/state", "%d", front);
	if (try_open())
		abort();
	xenbus_may_resume(bus);
}

static void
taken_over(void)
{
	killed(4, 4);
	o.inflight = 3;
	xenbus_run(bus, false);
	settle();
	back_is(4, "a dead predecessor with a log: the guest stays connected");
	is_int(o.connects + o.resumed, 2, "its ring is taken over");
	ok(xenbus_published(bus), "the disk is ready");
	key_is("vdisk-server", "123 456", "it says who serves it now");
	is_int(f->bound, 1, "the event channel is bound again");
	o.inflight = 0;
	front_state(5);
	back_is(5, "and it can be closed");
	front_state(6);
	front_state(1);
	front_state(3);
	back_is(4, "and used again");
	ok(o.connects == 2 && !o.resumed, "with a fresh ring");
	end("taken over");

	killed(4, 5);
	settle();
	back_is(5, "one that was asked to close is served until it does");
	ok(o.resumed, "from the log");
	end("taken over while it closes");

	killed(3, 4);
	settle();
	is_int(o.connects, 0, "a guest that is not connected yet");
	front_state(4);
	ok(o.resumed, "is taken once it is");
	end("taken over early");
}

static void
not_taken_over(void)
{
	killed(4, 4);
	o.refuse = -EPROTO;
	settle();
	back_is(5, "the log of another ring: closed as without one");
	ok(strstr(get(f, FAKE_B "/error"), "died"), "the reason is there");
	is_int(f->mapped + f->bound, 0, "nothing stays");
	o.refuse = 0;
	front_state(6);
	front_state(1);
	front_state(3);
	back_is(4, "and can be used again");
	ok(!o.resumed, "with a fresh ring");
	end("another ring");

	killed(4, 4);
	put(f, FAKE_B "/sectors", "131073");
	settle();
	back_is(5, "a disk that was larger is not put in its place");
	is_int(o.connects, 0, "nor connected");
	ok(strstr(o.last_log, "131073"), "and it is told: %s", o.last_log);
	end("another size");

	killed(4, 4);
	put(f, FAKE_B "/info", "4");
	settle();
	back_is(5, "nor one of other rights");
	end("other rights");

	killed(4, 4);
	f->bind_error = -EAGAIN;
	settle();
	back_is(4, "a trouble of our own");
	f->bind_error = 0;
	f->clock += 2000;
	xenbus_run(bus, false);
	ok(o.resumed, "is tried again");
	end("own trouble");

	killed(4, 4);
	f->bind_error = -EINVAL;
	settle();
	back_is(5, "one of the guest's is not");
	end("guest's trouble");
}

static void
refusals(void)
{
	begin();
	front_keys("vax-abi", 8, 15);
	front_state(3);
	back_is(5, "the guest's mistake: Closing");
	ok(strstr(get(f, FAKE_B "/error"), "vax-abi"), "with the reason");
	is_int(o.logs, 1, "logged once");
	front_state(3);
	is_int(o.logs, 1, "not again and again");
	front_state(6);
	front_keys("x86_64-abi", 8, 15);
	front_state(1);
	front_state(3);
	back_is(4, "it may try again");
	end("refused");

	begin();
	front_keys("x86_64-abi", 63, 15);
	put(f, FAKE_F "/ring-page-order", "1");
	put(f, FAKE_F "/ring-ref0", "63");
	put(f, FAKE_F "/ring-ref1", "64");
	front_state(3);
	back_is(5, "R-31: one bad page of two: refused");
	is_int(f->mapped, 0, "and none mapped");
	end("bad grant");

	begin();
	front_keys("x86_64-abi", 8, 15);
	f->bind_error = -EINVAL;
	front_state(3);
	back_is(5, "R-41: a bad port: refused");
	is_int(f->mapped, 0, "the ring is unmapped again");
	end("bad port");

	begin();
	front_keys("x86_64-abi", 8, 15);
	f->map_error = -ENOMEM;
	front_state(3);
	back_is(2, "our own trouble: it stays in InitWait");
	f->map_error = 0;
	o.refuse = -ENOMEM;
	f->clock += 2000;
	xenbus_run(bus, false);
	back_is(2, "whoever has it");
	is_int(f->mapped + f->bound, 0, "with nothing held");
	o.refuse = 0;
	f->clock += 2000;
	xenbus_run(bus, false);
	back_is(4, "and is tried again by itself");
	end("trouble");

	connected();
	xenbus_broken(bus, "nonsense");
	xenbus_broken(bus, "nonsense");
	xenbus_run(bus, false);
	back_is(5, "R-04: a broken ring is closed");
	is_int(o.logs, 1, "R-04: logged once");
	end("broken");
}

static void
quitting(void)
{
	connected();
	xenbus_quit(bus);
	xenbus_run(bus, false);
	back_is(5, "SIGTERM: the guest is asked to close");
	ok(o.up && !o.stopped, "and may write back");
	front_state(6);
	ok(xenbus_done(bus), "it closed: done");
	ok(!fake_find(f, FAKE_F), "the disk is gone for the guest");
	end("quit");

	connected();
	xenbus_quit(bus);
	xenbus_run(bus, false);
	o.inflight = 1;
	f->clock += 5100;
	xenbus_run(bus, false);
	ok(o.stopped && !xenbus_done(bus),
	   "a guest that does not close is drained after a grace");
	o.inflight = 0;
	xenbus_run(bus, false);
	ok(xenbus_done(bus), "and left");
	end("quit, stubborn guest");

	connected();
	xenbus_quit(bus);
	xenbus_run(bus, false);
	xenbus_quit(bus);
	xenbus_run(bus, false);
	ok(xenbus_done(bus), "a second signal does not wait");
	end("quit twice");
}

static void
storms(void)
{
	unsigned i, before;
	uint64_t start;

	connected();
	start = f->clock;
	before = f->serial;
	for (i = 0; i < 100000; i++) {
		put(f, FAKE_F "/state", "4");
		xenbus_run(bus, f->xen.fired(&f->xen) > 0);
		f->clock += i % 10 == 0;
	}
	ok(f->clock - start == 10000, "R-46: 100000 watch events in 10 s");
	ok(o.connects == 1 && f->serial == before, "R-46: nothing happened");
	put(f, FAKE_F "/state", "6");
	f->clock += 200;
	xenbus_run(bus, true);
	is_int(o.drains, 1, "R-46: a change is still seen within 200 ms");
	end("storm");
}

static void
bad_nodes(void)
{
	static const char *const fronts[] = {
		"/local/domain/8/device/vbd/51728", "/local/domain/7/data/x",
		"/vm/7", "device/vbd/51728",
		"/local/domain/7/device/../../8/device/vbd/1",
	};
	unsigned i;

	f = fake_new();
	memset(&o, 0, sizeof(o));
	ok(try_open() < 0, "no nodes: refused");
	fake_attach(f);
	put(f, FAKE_B "/frontend-id", "8");
	ok(try_open() < 0, "R-28: another guest's number: refused");
	put(f, FAKE_B "/frontend-id", "7");
	for (i = 0; i < sizeof(fronts) / sizeof(fronts[0]); i++) {
		put(f, FAKE_B "/frontend", "%s", fronts[i]);
		ok(try_open() < 0, "R-49: %s: refused", fronts[i]);
	}
	f->xen.close(&f->xen);
}

int
main(void)
{
	attach_and_detach();
	reconnects();
	fast_toggle();
	jumps();
	resume();
	draining();
	deaths();
	foreign_nodes();
	predecessor();
	taken_over();
	not_taken_over();
	refusals();
	quitting();
	storms();
	bad_nodes();
	return done_testing();
}
