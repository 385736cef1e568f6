/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdi-probe.t.c - the verdict on bytes: stable, bounded, and never a crash. */
/* objects: plugins/vdi/header.o plugins/vdi/probe.o plugins/vdi/image.o plugins/vdi/scan.o plugins/vdi/write.o plugins/vdi/create.o plugins/vdi/child.o plugins/vdi/resize.o plugins/vdi/audit.o plugins/vdi/audit-layout.o plugins/vdi/check.o plugins/vdi/repair.o */
#include <tap.h>
#include "plugins/vdi/vdi.h"

struct answer {
	struct vd_probe_out out;	/* first: the sinks get a pointer to it */
	unsigned	refs;
	unsigned	warnings;
	char		ref[64];
	char		warning[256];
};

static uint8_t head[VDI_HEAD_MAX];

static void
take_ref(struct vd_probe_out *out, enum vd_ref_kind kind, const char *name,
	 size_t len)
{
	struct answer *a = (struct answer *)out;

	if (kind == VD_REF_PARENT && len < sizeof(a->ref)) {
		memcpy(a->ref, name, len);
		a->ref[len] = '\0';
	}
	a->refs++;
}

static void
take_warning(struct vd_probe_out *out, const char *text)
{
	struct answer *a = (struct answer *)out;

	snprintf(a->warning, sizeof(a->warning), "%s", text);
	a->warnings++;
}

static enum vd_verdict
probe(struct answer *a, size_t len, uint64_t file_size)
{
	struct vd_probe_in in = {
		.size = sizeof(in),
		.head = head,
		.head_len = (uint32_t)len,
		.tail = head,
		.tail_len = (uint32_t)len,
		.file_size = file_size,
		.name = "x.vdi",
	};

	memset(a, 0, sizeof(*a));
	a->out.size = sizeof(a->out);
	a->out.ref = take_ref;
	a->out.warn = take_warning;
	return vdi_probe(&in, &a->out);
}

static void
sound(void)
{
	struct vdi_header h = {
		.major = 1, .minor = 1, .header_len = VDI_HEADER_LONG,
		.type = VDI_FIXED, .map_off = 512, .data_off = 4096,
		.sector = 512, .lchs_sector = 512, .disk = 8 << 20,
		.block = 1 << 20, .blocks = 8, .allocated = 8,
		.create = { 1 }, .modify = { 2 },
	};

	vdi_encode(&h, head);
}

static void
test_verdicts(void)
{
	struct answer a;

	sound();
	ok(probe(&a, sizeof(head), 4096 + (8 << 20)) == VD_MINE, "a fixed image");
	is_str(a.out.variant, "fixed", "variant");
	is_str(a.out.id, "00000001-0000-0000-0000-000000000000",
	       "the identity by which children name it");
	is_int(a.out.virtual_size, 8 << 20, "virtual size");
	is_int(a.warnings + a.refs, 0, "nothing to warn of, nothing outside");

	vdi_put32(head + VDI_OFF_BLOCKS, 7);
	ok(probe(&a, sizeof(head), 4096 + (8 << 20)) == VD_MINE_BROKEN,
	   "a block too few");
	is_int(a.out.reason_off, VDI_OFF_BLOCKS, "the byte");
	ok(strstr(a.out.reason, "7 blocks"), "the reason: %s", a.out.reason);
	ok(a.out.confidence > 0, "still claimed: no other module may have it");
}

static void
warns(const char *text, unsigned field, uint32_t value)
{
	struct answer a;

	sound();
	vdi_put32(head + field, value);
	ok(probe(&a, sizeof(head), 4096 + (8 << 20)) == VD_MINE &&
	   a.warnings == 1 && strstr(a.warning, text), "warns: %s", a.warning);
}

static void
test_warnings(void)
{
	struct answer a;

	warns("not a multiple of 512", VDI_OFF_DISK, (8 << 20) - 1);
	warns("sector size", VDI_OFF_SECTOR, 4096);
	warns("sector size", VDI_OFF_LCHS_SECTOR, 0);
	warns("unknown image flags", VDI_OFF_FLAGS, 2);
	warns("no UUID", VDI_OFF_MODIFY, 0);
	warns("counted as allocated", VDI_OFF_ALLOCATED, 9);
	warns("differencing image that names no parent", VDI_OFF_TYPE, VDI_DIFF);
	warns("though its type", VDI_OFF_LINK, 1);
	warns("not opened for writing", VDI_OFF_TYPE, VDI_UNDO);
	sound();
	ok(probe(&a, sizeof(head), 4096 + (7 << 20)) == VD_MINE &&
	   strstr(a.warning, "shorter"), "warns: %s", a.warning);
}

static void
test_parent(void)
{
	struct answer a;

	sound();
	vdi_put32(head + VDI_OFF_TYPE, VDI_DIFF);
	vdi_put32(head + VDI_OFF_LINK, 0x01234567);
	ok(probe(&a, sizeof(head), 4096 + (8 << 20)) == VD_MINE && a.refs == 1,
	   "a differencing image names one parent");
	is_str(a.ref, "uuid:01234567-0000-0000-0000-000000000000", "by UUID");
}

/* Every value of every header byte, one at a time. */
static void
test_any_byte(void)
{
	unsigned at, value, unsure = 0, mine = 0;
	struct answer a;

	for (at = VDI_OFF_SIGNATURE; at < VDI_END_LONG; at++)
		for (value = 0; value < 256; value++) {
			enum vd_verdict v;

			sound();
			head[at] = (uint8_t)value;
			v = probe(&a, sizeof(head), 4096 + (8 << 20));
			mine += v == VD_MINE;
			if (v == VD_MINE_BROKEN)
				unsure += !a.out.reason[0] ||
					  a.out.reason_off > VDI_END_LONG;
			else if (v == VD_MINE)
				unsure += a.out.virtual_size % 512 != 0;
		}
	is_int(unsure, 0, "every verdict has its reason and its place");
	ok(mine > 400, "and most bytes are free (%u)", mine);
}

int
main(void)
{
	test_verdicts();
	test_warnings();
	test_parent();
	test_any_byte();
	is_str(vd_module()->name, "vdi", "the module's name");
	return done_testing();
}
