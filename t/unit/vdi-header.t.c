/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdi-header.t.c - a VDI header is believed only where it agrees with itself. */
/* objects: plugins/vdi/header.o */
#include <errno.h>
#include <tap.h>
#include "plugins/vdi/vdi.h"

#define FILE_SIZE	(64u << 20)

static uint8_t head[VDI_HEAD_MAX];
static struct vdi_header h;
static struct vd_err err;

/* A sound dynamic image of 10 MiB as QEMU lays it out. */
static void
sound(void)
{
	memset(&h, 0, sizeof(h));
	memset(&err, 0, sizeof(err));
	h.major = h.minor = 1;
	h.header_len = VDI_HEADER_SHORT;
	h.type = VDI_DYNAMIC;
	h.map_off = 512;
	h.data_off = 1024;
	h.sector = 512;
	h.disk = 10 << 20;
	h.block = 1 << 20;
	h.blocks = 10;
	memset(h.create, 0x11, 16);
	memset(h.modify, 0x22, 16);
	strcpy(h.text, "<<< a test >>>\n");
	vdi_encode(&h, head);
}

static enum vd_verdict
parse(void)
{
	memset(&err, 0, sizeof(err));
	return vdi_parse(head, sizeof(head), FILE_SIZE, &h, &err);
}

/* One field changed: the header is refused and the field named. */
static void
breaks(unsigned field, uint32_t value, const char *why)
{
	sound();
	vdi_put32(head + field, value);
	ok(parse() == VD_MINE_BROKEN && strstr(err.msg, why),
	   "%u at byte %u: %s", value, field, err.msg);
}

static void
survives(unsigned field, uint32_t value)
{
	sound();
	vdi_put32(head + field, value);
	ok(parse() == VD_MINE, "%u at byte %u is allowed: %s", value, field,
	   err.msg);
}

static void
test_sound(void)
{
	char variant[VD_VARIANT_MAX];

	sound();
	ok(parse() == VD_MINE, "a sound header is taken");
	is_int(vdi_disk_size(&h), 10 << 20, "disk size");
	is_int(h.blocks, 10, "blocks");
	is_str(h.text, "<<< a test >>>", "text, its newline cut");
	ok(vdi_supported(&h, &err) == 0 && !vdi_is_child(&h) &&
	   !vdi_only_read(&h), "served, alone, written");
	vdi_variant(&h, variant);
	is_str(variant, "dynamic", "variant");

	sound();
	memset(head + VDI_OFF_COMMENT, 'x', VDI_COMMENT_LEN);
	parse();
	is_int(strlen(h.comment), VDI_COMMENT_LEN, "a comment without its NUL");
}

static void
test_broken(void)
{
	breaks(VDI_OFF_HEADER_LEN, 383, "header length");
	breaks(VDI_OFF_TYPE, 0, "image type");
	breaks(VDI_OFF_TYPE, 5, "image type");
	breaks(VDI_OFF_BLOCK, 0, "block size");
	breaks(VDI_OFF_BLOCK, 256, "block size");
	breaks(VDI_OFF_BLOCK, (1 << 20) - 1, "block size");
	breaks(VDI_OFF_EXTRA, 3, "extra block data");
	breaks(VDI_OFF_MAP, 455, "inside the header");
	breaks(VDI_OFF_DATA, 512 + 39, "overlaps the block map");
	breaks(VDI_OFF_MAP, 0xfffffff0, "overlaps the block map");
	breaks(VDI_OFF_BLOCKS, 9, "cannot hold");
	breaks(VDI_OFF_BLOCKS, 0, "cannot hold");
	breaks(VDI_OFF_BLOCKS, 0xffffffff, "overlaps the block map");
	breaks(VDI_OFF_DISK + 4, 0x80000000, "disk size");
	breaks(VDI_OFF_DISK, 511, "disk size");

	sound();
	vdi_put32(head + VDI_OFF_BLOCKS, FILE_SIZE / 4);
	vdi_put32(head + VDI_OFF_DATA, 0xf0000000);
	ok(parse() == VD_MINE_BROKEN && strstr(err.msg, "past the end of the file"),
	   "a map longer than its file: %s", err.msg);
	is_int(err.off, VDI_OFF_BLOCKS, "the byte is named");
}

static void
test_tolerated(void)
{
	survives(VDI_OFF_EXTRA, 512);
	survives(VDI_OFF_DATA, 512 + 40);	/* unaligned data */
	survives(VDI_OFF_MAP, 456);
	survives(VDI_OFF_BLOCKS, 128);		/* longer map than disk */
	survives(VDI_OFF_ALLOCATED, 11);	/* only a counter */
	survives(VDI_OFF_SECTOR, 0);
	survives(VDI_OFF_FLAGS, 1);
	survives(VDI_OFF_HEADER_LEN, 1 << 20);
	survives(VDI_OFF_DISK, (10 << 20) - 511);

	sound();
	vdi_put32(head + VDI_OFF_DISK, (5 << 20) + 1023);
	parse();
	is_int(vdi_disk_size(&h), (5 << 20) + 512, "an odd size is rounded down");

	/* 384 bytes in truth: what would be the second geometry is the map. */
	sound();
	vdi_put32(head + VDI_OFF_HEADER_LEN, VDI_HEADER_LONG);
	vdi_put32(head + VDI_OFF_MAP, VDI_END_SHORT);
	vdi_put32(head + VDI_OFF_LCHS_SECTOR, 7);
	ok(parse() == VD_MINE && h.lchs_sector == 512,
	   "a geometry under the map is none");
}

static void
refused(const char *variant, const char *why)
{
	char got[VD_VARIANT_MAX];

	ok(parse() == VD_MINE, "%s is recognised", variant);
	vdi_variant(&h, got);
	is_str(got, variant, "as %s", variant);
	memset(&err, 0, sizeof(err));
	ok(vdi_supported(&h, &err) == -ENOTSUP && strstr(err.msg, why),
	   "and refused by name: %s", err.msg);
}

static void
served(const char *variant, bool child, bool only_read)
{
	char got[VD_VARIANT_MAX];

	ok(parse() == VD_MINE && vdi_supported(&h, &err) == 0,
	   "%s is served: %s", variant, err.msg);
	vdi_variant(&h, got);
	is_str(got, variant, "as %s", variant);
	is_int(vdi_is_child(&h), child, "with%s a parent", child ? "" : "out");
	is_int(vdi_only_read(&h), only_read, "read%s",
	       only_read ? " only" : " and written");
}

/* The same disk as a version 0 header tells it. */
static void
sound_v0(void)
{
	sound();
	memset(head + VDI_OFF_VERSION, 0, sizeof(head) - VDI_OFF_VERSION);
	vdi_put32(head + VDI_OFF_VERSION, 2);
	vdi_put32(head + VDI0_OFF_TYPE, VDI_DYNAMIC);
	vdi_put64(head + VDI0_OFF_DISK, (10 << 20) - 3);
	vdi_put32(head + VDI0_OFF_BLOCK, 1 << 20);
	vdi_put32(head + VDI0_OFF_BLOCKS, 10);
	vdi_put32(head + VDI0_OFF_ALLOCATED, 7);
	memset(head + VDI0_OFF_CREATE, 0x11, 16);
	memset(head + VDI0_OFF_MODIFY, 0x22, 16);
}

static void
breaks_v0(unsigned field, uint32_t value, const char *why)
{
	sound_v0();
	vdi_put32(head + field, value);
	ok(parse() == VD_MINE_BROKEN && strstr(err.msg, why) &&
	   err.off == field, "version 0, %u at byte %u: %s", value, field,
	   err.msg);
}

static void
test_kinds(void)
{
	sound();
	vdi_put32(head + VDI_OFF_TYPE, VDI_DIFF);
	served("differencing", true, false);
	sound();
	memset(head + VDI_OFF_LINK, 0x33, 16);	/* type says dynamic */
	served("differencing", true, false);
	sound();
	vdi_put32(head + VDI_OFF_TYPE, VDI_UNDO);
	served("undo", false, true);

	sound_v0();
	served("version 0.2", false, true);
	is_int(vdi_disk_size(&h), (10 << 20) - 512, "its size");
	is_int(h.map_off, 420, "its map");
	is_int(h.data_off, 420 + 40, "its data");
	is_int(h.allocated, 7, "its count");
	ok(h.create[0] == 0x11 && h.modify[15] == 0x22, "its UUIDs");
	memset(head + VDI0_OFF_LINK, 0x33, 16);
	served("version 0.2", true, true);
	breaks_v0(VDI0_OFF_TYPE, 5, "image type");
	breaks_v0(VDI0_OFF_BLOCK, 3, "block size");
	breaks_v0(VDI0_OFF_BLOCKS, 9, "cannot hold");
	breaks_v0(VDI0_OFF_BLOCKS, FILE_SIZE / 4, "past the end of the file");
	breaks_v0(VDI0_OFF_DISK, 100, "disk size");
	sound_v0();
	vdi_put32(head + VDI0_OFF_BLOCKS, 0xffffffff);
	ok(parse() == VD_MINE_BROKEN, "a map of 16 GiB: %s", err.msg);
}

static void
test_unsupported(void)
{
	sound();
	vdi_put32(head + VDI_OFF_VERSION, 0x00010002);
	refused("version 1.2", "only 1.1");
	sound();
	vdi_put32(head + VDI_OFF_VERSION, 0x00020000);
	refused("version 2.0", "only 1.1");
}

static void
test_short(void)
{
	unsigned len, bad = 0;

	sound();
	for (len = 0; len < VDI_END_SHORT; len++) {
		uint8_t *exact = malloc(len ? len : 1);	/* ASan sees one over */
		enum vd_verdict v;

		memcpy(exact, head, len);
		v = vdi_parse(exact, len, FILE_SIZE, &h, NULL);
		bad += v != (len < 68 ? VD_NOT_MINE : VD_MINE_BROKEN);
		free(exact);
	}
	is_int(bad, 0, "every cut header is seen to be cut");
	head[64]++;
	ok(parse() == VD_NOT_MINE && !err.code, "another signature is not ours");
}

static void
test_uuid(void)
{
	static const uint8_t u[16] = {
		0x67, 0x45, 0x23, 0x01, 0xab, 0x89, 0xef, 0xcd,
		0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef };
	uint8_t r[16];
	char text[37];

	vdi_uuid_text(u, text);
	is_str(text, "01234567-89ab-cdef-0123-456789abcdef",
	       "a UUID's first groups are stored backwards");
	ok(vdi_uuid_parse(text, r) && !memcmp(u, r, 16), "and read back");
	ok(vdi_uuid_parse("01234567-89AB-CDEF-0123-456789ABCDEF", r) &&
	   !memcmp(u, r, 16), "in capitals, too");
	ok(!vdi_uuid_parse("", r) && !vdi_uuid_parse("12345678", r) &&
	   !vdi_uuid_parse("01234567-89ab-cdef-0123-456789abcde", r) &&
	   !vdi_uuid_parse("01234567-89ab-cdef-0123-456789abcdef0", r) &&
	   !vdi_uuid_parse("01234567-89ab-cdef-0123456789abcdef0", r) &&
	   !vdi_uuid_parse("01234567-89ab-cdef-0123- 56789abcdef", r),
	   "nothing else is a UUID");
	ok(vdi_uuid_random(r, NULL) == 0 && (r[7] & 0xf0) == 0x40 &&
	   (r[8] & 0xc0) == 0x80, "random UUIDs say so");
}

/* What encode writes parse reads, field by field. */
static void
test_round_trip(void)
{
	struct vdi_header a;
	uint8_t again[VDI_HEAD_MAX];

	sound();
	a = h;
	a.header_len = VDI_HEADER_LONG;
	a.lchs_sector = 512;
	a.type = VDI_FIXED;
	a.flags = 1;
	a.data_off = 0x100000;
	a.extra = 4096;
	a.allocated = 10;
	strcpy(a.comment, "a comment");
	vdi_encode(&a, head);
	ok(parse() == VD_MINE, "parsed");
	vdi_encode(&h, again);
	/* The text lost its newline; all else is the same. */
	ok(!memcmp(head + 64, again + 64, sizeof(head) - 64),
	   "encode and parse are each other's opposite");
}

int
main(void)
{
	test_sound();
	test_broken();
	test_tolerated();
	test_kinds();
	test_unsupported();
	test_short();
	test_uuid();
	test_round_trip();
	return done_testing();
}
