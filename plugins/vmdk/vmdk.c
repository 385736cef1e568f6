/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmdk.c - the module: what it can do, and nothing of how.
 */
#include "vmdk.h"

static const char *const extensions[] = { "vmdk", NULL };
static const char *const variants[] = {
	"monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse",
	"twoGbMaxExtentFlat", "vmfs", VMDK_CUSTOM, NULL
};
static const char *const packs[] = { "streamOptimized", NULL };

static const struct vd_format vmdk_format = {
	VD_FORMAT_INIT,
	.name = "vmdk",
	.summary = "VMware virtual disk: sparse, flat, split, compressed",
	.extensions = extensions,
	.probe = vmdk_probe,
	.open = vmdk_open,
	.close = vmdk_close,
	.map = vmdk_map,
	.read = vmdk_read,
	.begin_write = vmdk_begin_write,
	.allocate = vmdk_allocate,
	.commit = vmdk_commit,
	.abandon = vmdk_abandon,
	.sync = vmdk_sync,
	.zero = vmdk_zero,
	.discard = vmdk_discard,
	.create = vmdk_create,
	.create_child = vmdk_create_child,
	.identity = vmdk_identity,
	.parent = vmdk_parent,
	.match_parent = vmdk_match_parent,
	.relink = vmdk_relink,
	.resize = vmdk_resize,
	.check = vmdk_check,
	.repair = vmdk_repair,
	.info = vmdk_info,
	.variants = variants,
	.packs = packs,
	.pack = vmdk_pack,
};

const struct vd_format *
vd_module(void)
{
	return &vmdk_format;
}
