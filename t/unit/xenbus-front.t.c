/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenbus-front.t.c - strange keys of a frontend are refused, or survived.
 */
/* objects: core/ring/libvdring.a */
#include "tap.h"
#include "fakexen.h"
#include "store.h"
#include "xenbus.h"

static struct fakexen *f;
static struct vd_err err;

static int
read_keys(struct xenbus_front *front)
{
	memset(&err, 0, sizeof(err));
	return xenbus_front_read(&f->xen, FAKE_F, RING_MAX_ORDER, front, &err);
}

/* A fresh frontend with one page, as Linux writes it. */
static void
plain_keys(void)
{
	rm(f, FAKE_F);
	put(f, FAKE_F "/protocol", "x86_64-abi");
	put(f, FAKE_F "/ring-ref", "8");
	put(f, FAKE_F "/event-channel", "15");
}

static void
numbers(void)
{
	static const char *const bad[] = {
		"", " ", "-1", "+1", " 1", "1 ", "1\n", "\t1", "0x10", "1x",
		"3abc", "1.0", "1e3", "--1", "1,0", "1 2", "one", "%d", "%n",
		"\xd9\xa3", "1/2", "\"1\"", "'1'", "1\x01", "\x7f", "0b1",
		"4294967296x", "NaN", "inf", "~0", "_1", "1_000",
	};
	uint64_t v = 77;
	unsigned i, taken = 0;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!store_parse(bad[i], UINT32_MAX, &v)) {
			diag("taken: '%s'", bad[i]);
			taken++;
		}
	is_int(taken, 0, "R-42: %u strings that are no numbers",
	       (unsigned)(sizeof(bad) / sizeof(bad[0])));
	is_int(v, 77, "R-42: and the result is left alone");
	is_int(store_parse("18446744073709551616", UINT64_MAX, &v), -ERANGE,
	       "R-42: 2^64 does not wrap");
	is_int(store_parse("000000000000000000000000000001", 10, &v), -ERANGE,
	       "R-42: a length cap");
	is_int(store_parse("4294967296", UINT32_MAX, &v), -ERANGE,
	       "R-42: 2^32 is not 0");
	is_int(store_parse("18446744073709551615", UINT64_MAX, &v), 0,
	       "the largest number");
	ok(v == UINT64_MAX, "is itself");
}

static void
protocols(void)
{
	struct xenbus_front k;

	plain_keys();
	is_int(read_keys(&k), 0, "x86_64-abi");
	is_int(k.abi, RING_ABI_X86_64, "is 64 bits wide");
	is_int(k.refs[0], 8, "ring-ref");
	is_int(k.port, 15, "event-channel");
	is_int(k.order, 0, "one page");
	put(f, FAKE_F "/protocol", "x86_32-abi");
	read_keys(&k);
	is_int(k.abi, RING_ABI_X86_32, "x86_32-abi");
	put(f, FAKE_F "/protocol", "arm-abi");
	read_keys(&k);
	is_int(k.abi, RING_ABI_X86_64, "arm-abi is laid out as x86_64");
#if defined(__x86_64__) || defined(__i386__)
	rm(f, FAKE_F "/protocol");
	is_int(read_keys(&k), 0, "D-12: no protocol at all");
	is_int(k.abi, RING_ABI_X86_32, "is an old 32-bit frontend");
	put(f, FAKE_F "/protocol", "%s", "");
	read_keys(&k);
	is_int(k.abi, RING_ABI_X86_32, "empty is absent (after GRUB)");
#endif
	put(f, FAKE_F "/protocol", "x86_64-abi ");
	is_int(read_keys(&k), -EPROTO, "the word is compared exactly");
	put(f, FAKE_F "/protocol", "%s", "%n\n\x1b[2J");
	is_int(read_keys(&k), -EPROTO, "R-40: a hostile word is refused");
	{
		char text[1024];

		vd_err_text(&err, text, sizeof(text));
		ok(!strchr(text, '\x1b') && !strchr(text, '\n'),
		   "R-40: and shown escaped");
	}
	fake_put(f, FAKE_F "/protocol", "x86_64-abi\0x", 12);
	is_int(read_keys(&k), -EPROTO, "a NUL inside");
}

static void
pages(void)
{
	static const char *const bad[] = {
		"5", "31", "32", "4294967295", "4294967296", "-1", "1x", "64",
	};
	struct xenbus_front k;
	char key[64];
	unsigned i;

	plain_keys();
	put(f, FAKE_F "/ring-page-order", "2");
	is_int(read_keys(&k), -EPROTO, "order 2 without ring-ref0");
	ok(strstr(err.msg, "ring-ref0"), "the message names it");
	for (i = 0; i < 4; i++) {
		snprintf(key, sizeof(key), FAKE_F "/ring-ref%u", i);
		put(f, key, "%u", 20 + i);
	}
	is_int(read_keys(&k), 0, "order 2 with four pages");
	ok(k.order == 2 && k.refs[0] == 20 && k.refs[3] == 23, "in order");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put(f, FAKE_F "/ring-page-order", "%s", bad[i]);
		is_int(read_keys(&k), -EPROTO, "R-31: order %s", bad[i]);
	}
	put(f, FAKE_F "/ring-page-order", "0");
	is_int(read_keys(&k), 0, "order 0 may use ring-ref0");
	is_int(k.refs[0], 20, "which it does");
	rm(f, FAKE_F "/ring-ref0");
	is_int(read_keys(&k), 0, "or ring-ref");
	is_int(k.refs[0], 8, "which it does, too");

	put(f, FAKE_F "/ring-page-order", "%s", "");
	put(f, FAKE_F "/num-ring-pages", "4");
	put(f, FAKE_F "/ring-ref0", "20");
	is_int(read_keys(&k), 0, "the other spelling");
	is_int(k.order, 2, "of four pages");
	put(f, FAKE_F "/num-ring-pages", "3");
	is_int(read_keys(&k), -EPROTO, "three pages are no ring");
	put(f, FAKE_F "/num-ring-pages", "0");
	is_int(read_keys(&k), -EPROTO, "nor are none");
	put(f, FAKE_F "/num-ring-pages", "32");
	is_int(read_keys(&k), -EPROTO, "R-31: nor 32");
	put(f, FAKE_F "/num-ring-pages", "1");
	is_int(read_keys(&k), 0, "one page");
	is_int(k.refs[0], 8, "is ring-ref");
}

static void
ports(void)
{
	static const char *const bad[] = {
		"0", "-1", "4294967296", "1x", "", "0x5", " 5",
	};
	struct xenbus_front k;
	unsigned i;

	plain_keys();
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put(f, FAKE_F "/event-channel", "%s", bad[i]);
		is_int(read_keys(&k), -EPROTO, "R-41: port '%s'", bad[i]);
	}
	put(f, FAKE_F "/event-channel", "15");
	put(f, FAKE_F "/ring-ref", "%s", "");
	is_int(read_keys(&k), -EPROTO, "an empty ring-ref is a missing one");
	rm(f, FAKE_F);
	is_int(read_keys(&k), -EPROTO, "R-50: all keys gone");
}

static void
stale(void)
{
	struct xenbus_front k;

	plain_keys();
	put(f, FAKE_F "/multi-queue-num-queues", "4");
	put(f, FAKE_F "/queue-0/ring-ref", "99");
	put(f, FAKE_F "/feature-persistent", "1");
	is_int(read_keys(&k), 0, "what another frontend left does no harm");
	is_int(k.refs[0], 8, "the top-level key is the one");

	f->conflicts = 3;
	is_int(read_keys(&k), 0, "R-43: a conflict reads all again");
	is_int(f->conflicts, 0, "as often as it takes");
	f->conflicts = 1000000;
	ok(read_keys(&k) == -EAGAIN, "R-43: but not for ever");
	f->conflicts = 0;
}

static void
paths(void)
{
	static const char *const bad[] = {
		"", "/", "backend", "backend/vdisk/7", "backend/vdisk/7/",
		"backend/vdisk//51728", "backend/vdisk/-7/51728",
		"backend/vdisk/7/51728/", "backend/vdisk/7/51728/state",
		"backend/../7/51728", "backend/VDISK/7/1", "frontend/vdisk/7/1",
		"/local/domain/0/device/vbd/1", "/local/domain/x/backend/a/1/1",
		"backend/vdisk/40000/51728", "backend/vdisk/7/4294967296",
		"backend/vdisk/7/0x10", "backend/vbd/7/51728",
		"backend/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/7/1",
	};
	struct xenbus_path p;
	unsigned i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_int(xenbus_parse_path(bad[i], &p, NULL), -EINVAL,
		       "no backend: '%s'", bad[i]);
	is_int(xenbus_parse_path("backend/vdisk/7/51728", &p, NULL), 0,
	       "a relative one");
	is_str(p.back, FAKE_B, "is our own domain's");
	is_int(p.domid, 7, "guest");
	is_int(p.devid, 51728, "device");
	is_int(xenbus_parse_path("/local/domain/3/backend/qdisk/0/4294967295",
				 &p, NULL), 0, "an absolute one");
	is_str(p.back, "/local/domain/3/backend/qdisk/0/4294967295",
	       "is taken as it is");
}

int
main(void)
{
	f = fake_new();
	numbers();
	protocols();
	pages();
	ports();
	stale();
	paths();
	f->xen.close(&f->xen);
	return done_testing();
}
