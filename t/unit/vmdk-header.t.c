/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmdk-header.t.c - the sparse header: layout by the book, and each lie refused. */
/* objects: plugins/vmdk/header.o */
#include <errno.h>
#include <tap.h>
#include "plugins/vmdk/vmdk.h"

#define MIB	2048ull		/* sectors */

static struct vd_err err;

static void
test_layout(void)
{
	struct vmdk_header h;

	/* Where QEMU and VirtualBox put them. */
	vmdk_header_layout(&h, 64 * MIB, 128);
	is_int(h.rgd_sector, 21, "64 MiB: rgd");
	is_int(h.gd_sector, 30, "64 MiB: gd");
	is_int(h.overhead, 128, "64 MiB: overhead");
	vmdk_header_layout(&h, 100 * 1000 * 1000 / 512, 128);
	is_int(h.gd_sector, 34, "100 MB: gd");
	vmdk_header_layout(&h, 100 * MIB, 128);
	is_int(h.gd_sector, 38, "100 MiB: gd");
	vmdk_header_layout(&h, 5 * 1024 * MIB, 128);
	is_int(vmdk_header_tables(&h), 160, "5 GiB: tables");
	is_int(h.gd_sector, 663, "5 GiB: gd");
	is_int(h.overhead, 1408, "5 GiB: overhead");
	vmdk_header_layout(&h, 1ull << 32, 128);
	is_int(vmdk_header_tables(&h), 65536, "2 TiB: tables");
	ok(h.overhead < 1ull << 32, "2 TiB: within 32 bits");
	vmdk_header_layout(&h, 1, 128);
	is_int(vmdk_header_tables(&h), 1, "one sector: one table");
}

static void
test_bytes(void)
{
	uint8_t b[VMDK_HEADER_LEN];
	struct vmdk_header h, g;

	vmdk_header_layout(&h, 0x1122334455, 128);
	h.unclean = 1;
	vmdk_header_encode(&h, b);
	ok(!memcmp(b, "KDMV\1\0\0\0\3\0\0\0\x55\x44\x33\x22\x11\0\0\0\x80", 21),
	   "magic, version, flags, capacity, grain");
	is_int(b[28], 1, "descriptor at");
	is_int(b[36], 20, "descriptor length");
	ok(b[44] == 0 && b[45] == 2, "512 entries");
	is_int(b[VMDK_HEADER_UNCLEAN], 1, "unclean mark");
	ok(!memcmp(b + 73, "\n \r\n", 4), "newline test");
	ok(vmdk_header_decode(b, &g) && !memcmp(&g, &h, sizeof(h)),
	   "and back again");
	b[0] = 'k';
	ok(!vmdk_header_decode(b, &g), "another magic is another file");
}

static struct vmdk_header good;
#define FILE_SIZE	(128ull * 512)

static int
check(const struct vmdk_header *h, uint64_t size)
{
	vd_err_clear(&err);
	return vmdk_header_check(h, size, &err);
}

#define BAD(field, value, byte, ...) do {				\
	struct vmdk_header h_ = good;					\
	h_.field = (value);						\
	ok(check(&h_, FILE_SIZE) < 0, __VA_ARGS__);			\
	is_int(err.off, byte, "names byte %u", (unsigned)(byte));	\
} while (0)

static void
test_lies(void)
{
	vmdk_header_layout(&good, 64 * MIB, 128);
	is_int(check(&good, FILE_SIZE), 0, "a good one");
	BAD(newline[1], '\n', 73, "text mode transfer");
	BAD(version, 0, 4, "version 0");
	BAD(grain_sectors, 0, 20, "grain of nothing");
	BAD(grain_sectors, 100, 20, "grain not a power of two");
	BAD(grain_sectors, UINT64_MAX, 20, "grain of 2^64 - 1");
	BAD(grain_sectors, 1ull << 63, 20, "grain of 2^63");
	BAD(gtes, 0, 44, "no entries");
	BAD(gtes, 513, 44, "too many entries");
	BAD(gtes, UINT32_MAX, 44, "far too many entries");
	BAD(capacity, UINT64_MAX, 12, "capacity of 2^64 - 1");
	BAD(capacity, 1ull << 40, 12, "more tables than we allow");
	BAD(gd_sector, 0, 56, "directory in the header");
	BAD(gd_sector, 128, 56, "directory at the end");
	BAD(gd_sector, UINT64_MAX - 1, 56, "directory that wraps around");
	BAD(rgd_sector, 1ull << 55, 48, "second directory that wraps around");
	BAD(overhead, 129, 64, "metadata past the end");
	BAD(overhead, UINT64_MAX, 64, "metadata without end");
	BAD(desc_sectors, 128, 28, "descriptor past the end");
	BAD(desc_sectors, UINT64_MAX, 28, "descriptor length that overflows");
	BAD(desc_sector, UINT64_MAX / 512 + 1, 28,
	    "descriptor place that overflows");
	is_int(check(&good, 0) < 0, 1, "an empty file");
}

static int
supported(struct vmdk_header h)
{
	vd_err_clear(&err);
	return vmdk_header_supported(&h, &err);
}

static void
test_supported(void)
{
	struct vmdk_header h = good;

	is_int(supported(h), 0, "version 1");
	h.version = 2;
	h.flags |= VMDK_F_ZERO_GRAIN;
	is_int(supported(h), 0, "version 2 with zero grains");
	h.version = 3;
	is_int(supported(h), 0, "version 3");
	h.version = 4;
	is_int(supported(h), -ENOTSUP, "version 4");
	ok(strstr(err.msg, "version 4") != NULL, "by its number");
	h = good;
	h.flags |= VMDK_F_COMPRESSED | VMDK_F_MARKERS;
	h.compress = 1;
	is_int(supported(h), 0, "compressed");
	h.compress = 2;
	is_int(supported(h), -ENOTSUP, "in another way");
	h.compress = 1;
	h.grain_sectors = VMDK_PACKED_MAX * 2;
	is_int(supported(h), -ENOTSUP, "in grains of 32 MiB");
	h = good;
	h.compress = 1;
	is_int(supported(h), -ENOTSUP, "compressed without the flag");
	h = good;
	h.gd_sector = VMDK_GD_AT_END;
	is_int(supported(h), -ENOTSUP, "directory at the end");
	h = good;
	h.flags |= 0x80000000u;
	is_int(supported(h), -ENOTSUP, "a flag that forbids");
	h.flags = good.flags | 0x100;
	is_int(supported(h), 0, "a flag that does not");
	h = good;
	h.capacity = 0;
	is_int(supported(h), -ENOTSUP, "a wrapper of capacity 0");
}

int
main(void)
{
	test_layout();
	test_bytes();
	test_lies();
	test_supported();
	return done_testing();
}
