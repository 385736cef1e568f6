/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * probe.c - is this a VDI, and what does it tell?  And the module's one symbol.
 *
 * The signature alone decides whose file it is; every other field decides
 * whether it is sound.  The text at byte 0 is for people and decides nothing.
 */
#include <inttypes.h>
#include <stdio.h>
#include "vdi.h"

static void
vdi_warn(struct vd_probe_out *out, const char *text)
{
	if (out->warn)
		out->warn(out, text);
}

/* What its owner should know though the image can be read. */
static void
vdi_warnings(const struct vdi_header *h, uint64_t file_size,
	     struct vd_probe_out *out)
{
	uint64_t stride = (uint64_t)h->extra + h->block;

	if (h->disk % 512)
		vdi_warn(out, "the disk size is not a multiple of 512; the rest is cut off");
	if (h->sector != 512 || h->lchs_sector != 512)
		vdi_warn(out, "the geometry's sector size is not 512; other programs refuse the image");
	if (!vdi_flags_known(h))
		vdi_warn(out, "unknown image flags; the image is not opened for writing");
	if (vdi_uuid_null(h->create) || vdi_uuid_null(h->modify))
		vdi_warn(out, "the image has no UUID; VirtualBox refuses it");
	if (vdi_only_read(h))
		vdi_warn(out, "an image of this kind is not opened for writing");
	if (h->allocated > h->blocks)
		vdi_warn(out, "more blocks are counted as allocated than there are");
	else if (file_size < h->data_off ||
		 (file_size - h->data_off) / stride < h->allocated)
		vdi_warn(out, "the file is shorter than the blocks it counts; data may be missing");
	if (h->type == VDI_DIFF && vdi_uuid_null(h->link))
		vdi_warn(out, "a differencing image that names no parent");
	if (h->type != VDI_DIFF && !vdi_uuid_null(h->link))
		vdi_warn(out, "names a parent though its type says that it has none");
}

/* What a child's uuidLinkage would say; a null one is nobody's name. */
static void
vdi_tell_id(const struct vdi_header *h, struct vd_probe_out *out)
{
	char uuid[37];

	if (out->size < offsetof(struct vd_probe_out, id) + sizeof(out->id) ||
	    vdi_uuid_null(h->create))
		return;
	vdi_uuid_text(h->create, uuid);
	snprintf(out->id, sizeof(out->id), "%s", uuid);
}

/* A VDI knows its parent by UUID only; no path is in the file. */
static void
vdi_name_parent(const struct vdi_header *h, struct vd_probe_out *out)
{
	char name[48], uuid[37];

	if (!out->ref || vdi_uuid_null(h->link))
		return;
	vdi_uuid_text(h->link, uuid);
	snprintf(name, sizeof(name), "uuid:%s", uuid);
	out->ref(out, VD_REF_PARENT, name, strlen(name));
}

enum vd_verdict
vdi_probe(const struct vd_probe_in *in, struct vd_probe_out *out)
{
	struct vd_err err = { 0 };
	struct vdi_header h;
	enum vd_verdict verdict;

	verdict = vdi_parse(in->head, in->head_len, in->file_size, &h, &err);
	if (verdict == VD_NOT_MINE)
		return verdict;
	out->confidence = 95;
	out->virtual_size = vdi_disk_size(&h);
	vdi_variant(&h, out->variant);
	if (verdict == VD_MINE_BROKEN) {
		snprintf(out->reason, sizeof(out->reason), "%.255s", err.msg);
		out->reason_off = err.off;
		return verdict;
	}
	if (vdi_supported(&h, NULL) < 0)
		return verdict;
	vdi_tell_id(&h, out);
	vdi_warnings(&h, in->file_size, out);
	if (vdi_is_child(&h))
		vdi_name_parent(&h, out);
	return verdict;
}

static const char *const vdi_extensions[] = { "vdi", NULL };

static const struct vd_format vdi_format = {
	VD_FORMAT_INIT,
	.name		= "vdi",
	.summary	= "VirtualBox disk image: dynamic, fixed, differencing",
	.extensions	= vdi_extensions,
	.probe		= vdi_probe,
	.open		= vdi_open,
	.close		= vdi_close,
	.map		= vdi_map,
	.begin_write	= vdi_begin_write,
	.allocate	= vdi_allocate,
	.commit		= vdi_commit,
	.abandon	= vdi_abandon,
	.zero		= vdi_zero,
	.discard	= vdi_discard,
	.sync		= vdi_sync,
	.create		= vdi_create,
	.create_child	= vdi_create_child,
	.identity	= vdi_identity,
	.parent		= vdi_parent,
	.match_parent	= vdi_match_parent,
	.relink		= vdi_relink,
	.resize		= vdi_resize,
	.check		= vdi_check,
	.repair		= vdi_repair,
	.info		= vdi_info,
};

const struct vd_format *
vd_module(void)
{
	return &vdi_format;
}
