/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * probe.c - which dialect is it?  Reads bytes, touches nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "vmdk.h"

static void
set_variant(struct vd_probe_out *out, const char *name)
{
	snprintf(out->variant, sizeof(out->variant), "%s", name);
}

static enum vd_verdict
broken(struct vd_probe_out *out, const struct vd_err *e)
{
	snprintf(out->reason, sizeof(out->reason), "%.*s",
		 (int)sizeof(out->reason) - 1, e->msg);
	out->reason_off = e->off;
	return VD_MINE_BROKEN;
}

static void
refer(struct vd_probe_out *out, enum vd_ref_kind kind, struct vmdk_str s)
{
	if (s.n && out->ref)
		out->ref(out, kind, s.p, s.n < VD_NAME_MAX ? s.n
							   : VD_NAME_MAX - 1);
}

static void
warn(struct vd_probe_out *out, const char *text)
{
	if (out->warn)
		out->warn(out, text);
}

static void
refer_all(struct vd_probe_out *out, const struct vmdk_desc *d,
	  const char *text, size_t len, bool embedded)
{
	struct vmdk_cursor c = { text, len, 0 };
	struct vmdk_extline x;
	struct vmdk_line l;

	refer(out, VD_REF_PARENT, d->parent_hint);
	refer(out, VD_REF_AUX, d->change_track);
	while (!embedded && vmdk_line_next(&c, &l))
		if (l.kind == VMDK_LINE_EXTENT &&
		    !vmdk_extline_parse(&l, 0, &x, NULL))
			refer(out, VD_REF_EXTENT, x.name);
}

static void
warn_desc(struct vd_probe_out *out, const struct vmdk_desc *d)
{
	if (!d->has_cid)
		warn(out, "the descriptor has no CID");
	if (d->unknown)
		warn(out, "the descriptor has lines that are neither keys nor "
		     "extents");
	if (d->change_track.n)
		warn(out, "change tracking is on: the first write turns it off");
	if (d->parent_hint.n && (!d->has_parent_cid ||
				 d->parent_cid == VMDK_NO_PARENT))
		warn(out, "names a parent, but no parentCID to know it by");
	if (d->has_parent_cid && d->parent_cid != VMDK_NO_PARENT &&
	    !d->parent_hint.n && !d->vbox_child)
		warn(out, "has a parent, but does not name it");
}

static void
set_id(struct vd_probe_out *out, const struct vmdk_desc *d)
{
	if (out->size >= offsetof(struct vd_probe_out, id) + VD_ID_MAX)
		vmdk_str_copy(d->uuid_image, out->id, sizeof(out->id));
}

/* Text that ends with what we were given may go on behind it. */
static size_t
whole_lines(const char *text, size_t len)
{
	while (len && text[len - 1] != '\n')
		len--;
	return len;
}

static enum vd_verdict
probe_text(const struct vd_probe_in *in, struct vd_probe_out *out)
{
	const char *text = (const char *)in->head;
	size_t len = strnlen(text, in->head_len);
	bool cut = len == in->head_len && in->file_size > len;
	struct vd_err e = { 0 };
	struct vmdk_desc d;

	if (cut)
		len = whole_lines(text, len);
	if (!vmdk_desc_looks(text, len))
		return VD_NOT_MINE;
	out->confidence = 90;
	if (vmdk_desc_parse(text, len, 0, &d, &e)) {
		set_variant(out, "descriptor");
		return broken(out, &e);
	}
	set_variant(out, vmdk_variant(NULL, &d));
	if (cut)
		warn(out, "the descriptor is longer than what a probe reads");
	else
		out->virtual_size = d.sectors * VMDK_SECTOR;
	warn_desc(out, &d);
	set_id(out, &d);
	refer_all(out, &d, text, len, false);
	if (!d.create_type.n || (!d.nextents && !cut)) {
		vd_fail(&e, EINVAL, 0, "descriptor without %s",
			d.create_type.n ? "extents" : "a createType");
		return broken(out, &e);
	}
	return VD_MINE;
}

/* The descriptor inside a sparse file, as far as the head shows it. */
static enum vd_verdict
probe_embedded(const struct vd_probe_in *in, struct vd_probe_out *out,
	       const struct vmdk_header *h)
{
	uint64_t off = h->desc_sector * VMDK_SECTOR, room;
	struct vd_err e = { 0 };
	struct vmdk_desc d = { 0 };
	const char *text;
	size_t len;

	room = h->desc_sectors * VMDK_SECTOR;
	if (!off || off >= in->head_len) {
		set_variant(out, vmdk_variant(h, &d));
		if (off)
			warn(out, "the descriptor is not where a probe looks");
		return VD_MINE;
	}
	if (room > in->head_len - off)
		room = in->head_len - off;
	text = (const char *)in->head + off;
	len = strnlen(text, room);
	if (vmdk_desc_parse(text, len, off, &d, &e)) {
		set_variant(out, "monolithicSparse");
		return broken(out, &e);
	}
	set_variant(out, vmdk_variant(h, &d));
	set_id(out, &d);
	if (d.nextents) {
		warn_desc(out, &d);
		if (d.sectors != h->capacity)
			warn(out, "header and descriptor disagree about the "
			     "size of the disk");
		if (d.sectors < h->capacity)
			out->virtual_size = d.sectors * VMDK_SECTOR;
	}
	refer_all(out, &d, text, len, d.nextents <= 1);
	return VD_MINE;
}

static enum vd_verdict
probe_sparse(const struct vd_probe_in *in, struct vd_probe_out *out,
	     const struct vmdk_header *h)
{
	struct vd_err e = { 0 };

	out->confidence = 100;
	set_variant(out, vmdk_header_is_stream(h) ? "streamOptimized"
						  : "monolithicSparse");
	if (vmdk_header_check(h, in->file_size, &e))
		return broken(out, &e);
	if (h->version > 3 || (h->flags & VMDK_F_UNKNOWN)) {
		warn(out, "a newer kind of sparse file than is known here");
		return VD_MINE;
	}
	out->virtual_size = h->capacity * VMDK_SECTOR;
	if (h->unclean)
		warn(out, "was not closed by its last writer, or is open now");
	if (!(h->flags & VMDK_F_RGD) && !vmdk_header_is_stream(h))
		warn(out, "has no second copy of its tables");
	return probe_embedded(in, out, h);
}

static bool
named_vmdk(const char *s, size_t n)
{
	struct vmdk_str name = { s, n };

	for (; name.n >= 5; name.p++, name.n--)
		if (vmdk_str_begins(name, ".vmdk") &&
		    (name.n == 5 || name.p[5] == '.'))
			return true;
	return false;
}

/*
 * OVF packages may hold disks that gzip has been over.  What is inside cannot
 * be seen from here: the name of the file, or the one gzip has kept, tells.
 */
static bool
looks_packed(const struct vd_probe_in *in)
{
	const uint8_t *b = in->head;
	const char *kept = (const char *)b + 10;

	if (in->head_len < 18 || b[0] != 0x1f || b[1] != 0x8b || b[2] != 8)
		return false;
	if (in->name && named_vmdk(in->name, strlen(in->name)))
		return true;
	return (b[3] & 0x0c) == 0x08 &&
	       named_vmdk(kept, strnlen(kept, in->head_len - 10));
}

static enum vd_verdict
probe_packed(struct vd_probe_out *out)
{
	out->confidence = 60;
	set_variant(out, "gzip");
	warn(out, "is packed by gzip: vdiskadm translate unpacks it");
	return VD_MINE;
}

static enum vd_verdict
probe_other(const struct vd_probe_in *in, struct vd_probe_out *out)
{
	static const uint8_t sesparse[8] = { 0xbe, 0xba, 0xfe, 0xca };
	const uint8_t *b = in->head;
	struct vd_err e = { 0 };

	out->confidence = 100;
	if (!memcmp(b, "COWD", 4) && b[4] == 1 && !b[5] && !b[6] && !b[7]) {
		set_variant(out, "vmfsSparse");
		out->virtual_size = VMDK_SECTOR * (b[12] | b[13] << 8 |
			b[14] << 16 | (uint64_t)b[15] << 24);
		return VD_MINE;
	}
	if (!memcmp(b, sesparse, 8)) {
		set_variant(out, "seSparse");
		return VD_MINE;
	}
	/* open-vmdk's mark for "I am still writing this". */
	if (!memcmp(b, "vmdk", 4) && b[4] && b[4] <= 3 && !b[5] && !b[6] &&
	    !b[7]) {
		set_variant(out, "streamOptimized");
		vd_fail(&e, EINVAL, 0, "was never finished by its writer");
		return broken(out, &e);
	}
	out->confidence = 0;
	return looks_packed(in) ? probe_packed(out) : probe_text(in, out);
}

enum vd_verdict
vmdk_probe(const struct vd_probe_in *in, struct vd_probe_out *out)
{
	struct vmdk_header h;

	if (in->head_len < VMDK_HEADER_LEN)
		return in->head_len ? probe_text(in, out) : VD_NOT_MINE;
	if (vmdk_header_decode(in->head, &h))
		return probe_sparse(in, out, &h);
	return probe_other(in, out);
}
