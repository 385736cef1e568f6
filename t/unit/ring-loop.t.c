/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ring-loop.t.c - the loop transport: its bounds, and a peer that cheats. */
/* objects: t/lib/frontend.o core/ring/libvdring.a */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <tap.h>
#include <unistd.h>

#include "core/ring/loop.h"
#include "frontend.h"

static void
test_open(void)
{
	struct loop *l = NULL;
	struct vd_err err = { 0 };
	int plain = memfd_create("plain", MFD_CLOEXEC);
	int fd = memfd_create("short", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int ev = eventfd(0, EFD_CLOEXEC);

	ok(ftruncate(plain, 16 * 4096) == 0 && ftruncate(fd, 16 * 4096) == 0,
	   "memfds");
	is_int(loop_open(plain, 1, 15, ev, &l, &err), -EPERM,
	       "memory that cannot be sealed is refused");
	is_int(loop_open(fd, 1, 16, ev, &l, NULL), -EINVAL, "too short");
	is_int(loop_open(fd, 17, 0, ev, &l, NULL), -EINVAL, "17 ring pages");
	is_int(loop_open(fd, 0, 1, ev, &l, NULL), -EINVAL, "no ring");
	is_int(loop_open(fd, 1, ~0u, ev, &l, NULL), -EINVAL, "2^32 pages");
	is_int(loop_open(fd, 1, 15, ev, &l, NULL), 0, "a good one");
	ok(ftruncate(fd, 4096) < 0 && errno == EPERM,
	   "the peer cannot take memory away");
	loop_close(l);
	close(plain);
	close(fd);
	close(ev);
}

static void
test_copy(void)
{
	static const struct {
		uint32_t gref;
		uint16_t off, len;
		bool good;
	} rows[] = {
		{ 0, 0, 4096, true }, { 3, 4095, 1, true }, { 3, 4096, 0, true },
		{ 4, 0, 1, false }, { ~0u, 0, 1, false },
		{ 0x100000, 0, 1, false }, { 0, 1, 4096, false },
		{ 0, 4096, 1, false }, { 0, 65535, 65535, false },
		{ 3, 512, 3584, true },
	};
	static uint8_t buf[65536];
	struct ring_copy c[10];
	struct ring_transport t;
	struct loop *l = NULL;
	struct fe fe;
	unsigned i, right = 0;
	int ret;

	fe_open(&fe, FE_64, 0, 4, 0);
	loop_open(fe.memfd, 1, 4, fe.notify_fd, &l, NULL);
	t = loop_transport(l);
	for (i = 0; i < 10; i++)
		c[i] = (struct ring_copy){ .gref = rows[i].gref,
			.off = rows[i].off, .len = rows[i].len, .buf = buf,
			.status = 12345 };
	ret = t.copy(t.ctx, c, 10, false);
	for (i = 0; i < 10; i++)
		right += c[i].status == (rows[i].good ? 0 : -EINVAL);
	is_int(right, 10, "R-22: each piece gets its own status");
	is_int(ret, -EINVAL, "and the call the first failure");
	memset(buf, 7, 512);
	c[0] = (struct ring_copy){ .gref = 2, .off = 1024, .len = 512,
		.buf = buf };
	is_int(t.copy(t.ctx, c, 1, true), 0, "to the guest");
	ok(fe_page(&fe, 2)[1023] == 0 && fe_page(&fe, 2)[1024] == 7 &&
	   fe_page(&fe, 2)[1535] == 7 && fe_page(&fe, 2)[1536] == 0,
	   "to its place");
	ok(loop_ring(l) != fe.mem && !memcmp(loop_ring(l), fe.mem, 4096),
	   "the ring is shared");
	t.notify(t.ctx);
	ok(fe_rung(&fe) && !fe_rung(&fe), "the bell rings once");
	loop_close(l);
	fe_close(&fe);
}

/* A peer that never reads its eventfd must not block us. */
static void
test_full_bell(void)
{
	uint64_t n = UINT64_MAX - 1;
	struct ring_transport t;
	struct loop *l = NULL;
	struct fe fe;

	fe_open(&fe, FE_64, 0, 4, 0);
	fcntl(fe.notify_fd, F_SETFL, 0);	/* blocking, to be rude */
	loop_open(fe.memfd, 1, 4, fe.notify_fd, &l, NULL);
	t = loop_transport(l);
	is_int(write(fe.notify_fd, &n, sizeof(n)), 8, "a bell that is full");
	alarm(5);
	t.notify(t.ctx);
	alarm(0);
	ok(fe_rung(&fe), "does not stop us");
	loop_close(l);
	fe_close(&fe);
}

int
main(void)
{
	test_open();
	test_copy();
	test_full_bell();
	return done_testing();
}
