/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring-stress.t.c - random requests in every ring there is, every byte checked.
 *
 * Once turn by turn, where what is durable can be checked at each flush, and
 * once with the ring in a thread, where a lost wakeup would show.
 */
/* objects: t/lib/stress.o t/lib/rig.o t/lib/frontend.o t/lib/fakequeue.o core/ring/libvdring.a */
#include <tap.h>

#include "fakequeue.h"
#include "stress.h"

static void
test(enum fe_abi abi, unsigned order, bool threaded, unsigned max_segs,
     uint64_t max_bytes, unsigned requests, bool direct)
{
	struct ring_stats st;
	static struct stress s;
	static struct rig r;
	uint8_t want[512];
	unsigned i, bad = 0;
	bool good;

	memset(&r, 0, sizeof(r));
	memset(&s, 0, sizeof(s));
	r.abi = abi;
	r.order = order;
	r.start = UINT32_MAX - 1000;	/* over the wrap, too */
	r.guest_pages = 2048;
	r.direct = direct;
	r.cfg.disk = fq_disk(STRESS_SECTORS * 512);
	r.cfg.queue = fq_open(r.cfg.disk, FQ_RANDOM);
	r.cfg.queue->direct = direct;
	r.cfg.discard = true;
	r.cfg.max_indirect = max_segs;
	r.cfg.max_bytes = max_bytes;
	if (rig_open(&r) < 0)
		ok(false, "rig opens");
	s.seed = 1234567 + order * 10 + abi;
	s.requests = requests;
	s.max_segs = max_segs;
	s.discard = true;
	s.threaded = threaded;
	s.rows = direct;
	s.durable = threaded ? NULL : r.cfg.disk->durable;
	good = stress_run(&r, &s);
	ok(good, "%s-bit ring, order %u, up to %u segments%s: "
	   "%u requests, %u at once%s", abi == FE_64 ? "64" : "32", order,
	   max_segs, threaded ? ", in a thread" : "", requests, s.most,
	   direct ? ", in place" : "");
	if (s.why[0])
		diag("%s; last log: %s", s.why, r.last_log);
	for (i = 0; i < STRESS_SECTORS; i++) {
		stress_sector(i, s.version[i], want);
		bad += !!memcmp(r.cfg.disk->data + 512 * i, want, 512);
	}
	is_int(bad, 0, "and the disk holds what the model says");
	ring_stats(r.ring, &st);
	if (direct)
		ok(st.direct > requests / 10 && r.copies_in && r.copies_out,
		   "%u requests in the guest's pages, others not",
		   (unsigned)st.direct);
	else
		ok(!st.direct, "none in the guest's pages");
	rig_close(&r);
	vd_queue_close(r.cfg.queue);
	fq_disk_free(r.cfg.disk);
}

int
main(void)
{
	enum fe_abi abi;
	unsigned order;

	for (abi = FE_64; abi <= FE_32; abi++) {
		for (order = 0; order <= 4; order++) {
			test(abi, order, false, 32, 0, 3000, false);
			test(abi, order, true, 32, 0, 3000, false);
		}
		test(abi, 4, false, 0, 0, 3000, false);
		test(abi, 2, true, 256, 1 << 20, 2000, false);
		test(abi, 2, false, 256, 2 << 20, 2000, false);
		test(abi, 4, false, 0, 0, 3000, true);
		test(abi, 0, true, 32, 0, 3000, true);
		test(abi, 3, false, 256, 2 << 20, 2000, true);
	}
	return done_testing();
}
