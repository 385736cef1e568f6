/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * child.c - a differencing image and the parent it names.
 *
 * A VDI names its parent by UUIDs alone: uuidLinkage is the parent's
 * uuidCreate, uuidParentModify the parent's uuidModify when the child was
 * made.  The first must agree, always.  The second is no such proof: when
 * VirtualBox merges a snapshot into its parent it leaves the other children's
 * uuidParentModify as it was.  So it is believed only in children that we
 * made, for we keep it true; in others it is shown by info() and no more.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include "vdi.h"

/*
 * A content identity as 16 bytes: a UUID as such, another format's shorter
 * text (a VMDK's CID) as its characters.  Enough to see that it changed.
 */
void
vdi_content_id(const char *text, uint8_t id[16])
{
	memset(id, 0, 16);
	if (!vdi_uuid_parse(text, id)) {
		memset(id, 0, 16);
		memcpy(id, text, strnlen(text, 16));
	}
}

int
vdi_parent(void *img, struct vd_parent *p, struct vd_err *err)
{
	struct vdi *v = img;
	char text[37];

	if (!v->child)
		return vd_fail(err, ENOENT, VDI_OFF_LINK, "has no parent");
	if (vdi_uuid_null(v->h.link))
		return vd_fail(err, ENOENT, VDI_OFF_LINK,
			       "a differencing image that names no parent");
	p->hint[0] = '\0';
	p->expected.virtual_size = 0;
	vdi_uuid_text(v->h.link, text);
	snprintf(p->expected.id, sizeof(p->expected.id), "%s", text);
	p->expected.content[0] = '\0';
	if (!vdi_uuid_null(v->h.link_modify)) {
		vdi_uuid_text(v->h.link_modify, text);
		snprintf(p->expected.content, sizeof(p->expected.content),
			 "%s", text);
	}
	return 0;
}

static bool
vdi_ours(const struct vdi *v)
{
	return !strncmp(v->h.text, VDI_TEXT_OURS, sizeof(VDI_TEXT_OURS) - 1);
}

static int
vdi_match_content(struct vdi *v, const struct vd_identity *id,
		  struct vd_err *err)
{
	uint8_t content[16];
	char text[37];

	vdi_content_id(id->content, content);
	if (!vdi_ours(v) || vdi_uuid_null(v->h.link_modify) ||
	    !memcmp(content, v->h.link_modify, 16))
		return 0;
	vdi_uuid_text(v->h.link_modify, text);
	return vd_fail(err, ESTALE, VDI_OFF_LINK_MODIFY,
		       "its parent was written to since this child was made: the content was {%s} and is {%s}",
		       text, id->content);
}

/* Does the child ask its parent for anything from byte `from` on? */
static int
vdi_asks_beyond(struct vdi *v, uint64_t from, bool *asks, struct vd_err *err)
{
	uint64_t i = (from + v->h.block - 1) / v->h.block, entry;
	int ret;

	*asks = false;
	for (; i < vdi_reach(v) && !*asks; i++) {
		ret = vd_table_get(v->map, i, &entry, err);
		if (ret < 0)
			return ret;
		*asks = entry == VDI_FREE;
	}
	return 0;
}

/*
 * A child is made as long as its parent.  When resize() makes it longer, its
 * new blocks hide the parent: so a parent is too short exactly if the child
 * would ask it for a block that it does not have.  A parent that has grown
 * shows less of itself than it has; VirtualBox does the same to snapshots of
 * a disk it resizes.  That can be read, but not built on.
 */
static int
vdi_match_size(struct vdi *v, uint64_t size, struct vd_err *err)
{
	bool asks;
	int ret;

	if (size == v->disk)
		return 0;
	if (size > v->disk && v->rdonly)
		return 0;
	if (size < v->disk && v->map) {
		ret = vdi_asks_beyond(v, size, &asks, err);
		if (ret < 0 || !asks)
			return ret;
	}
	ret = vd_fail(err, ESTALE, VDI_OFF_DISK,
		      "its parent should have %" PRIu64 " bytes and has %"
		      PRIu64, v->disk, size);
	if (size > v->disk)
		vd_err_help(err, "it can be opened read-only; if another file is its parent, `vdiskadm relink` names it");
	return ret;
}

int
vdi_match_parent(void *img, const char *parent_format,
		 const struct vd_identity *id, struct vd_err *err)
{
	struct vdi *v = img;
	uint8_t create[16];
	char text[37];
	int ret;

	vdi_uuid_text(v->h.link, text);
	if (!vdi_uuid_parse(id->id, create))
		return vd_fail(err, ESTALE, VDI_OFF_LINK,
			       "its parent has the UUID {%s}; the %s image found has none",
			       text, parent_format);
	if (memcmp(create, v->h.link, 16))
		return vd_fail(err, ESTALE, VDI_OFF_LINK,
			       "its parent has the UUID {%s}; the image found has {%s}",
			       text, id->id);
	ret = vdi_match_size(v, id->virtual_size, err);
	return ret ? ret : vdi_match_content(v, id, err);
}

/*
 * All of the reference is in the first sector of the file: one write changes
 * it, and a power cut leaves the old one or the new one.  p == NULL cuts the
 * image loose, for the end of a merge into it: every block is its own then.
 */
int
vdi_relink(void *img, const struct vd_parent *p, struct vd_err *err)
{
	struct vdi *v = img;
	uint8_t link[16] = { 0 }, modify[16] = { 0 }, old[VDI_HEAD_MAX];
	int ret;

	if (v->rdonly)
		return vd_fail(err, EROFS, VD_NOWHERE,
			       "the image was opened read-only");
	if (!v->child || (p && !vdi_uuid_parse(p->expected.id, link)) ||
	    (p && vdi_uuid_null(link)))
		return vd_fail(err, EINVAL, VDI_OFF_LINK, v->child
			       ? "a VDI names its parent by UUID, and this parent has none"
			       : "has no parent that could be changed");
	if (p)
		vdi_content_id(p->expected.content, modify);
	pthread_mutex_lock(&v->lock);
	if (!memcmp(link, v->head + VDI_OFF_CREATE, 16)) {
		pthread_mutex_unlock(&v->lock);
		return vd_fail(err, ELOOP, VDI_OFF_CREATE,
			       "cannot be its own parent");
	}
	memcpy(old, v->head, sizeof(old));
	memcpy(v->head + VDI_OFF_LINK, link, 16);
	memcpy(v->head + VDI_OFF_LINK_MODIFY, modify, 16);
	vdi_put32(v->head + VDI_OFF_TYPE, p ? VDI_DIFF : VDI_DYNAMIC);
	ret = vd_file_write(v->file, v->head, v->head_len, 0, err);
	if (!ret)
		ret = vd_file_sync(v->file, err);
	if (!ret) {
		memcpy(v->h.link, link, 16);
		memcpy(v->h.link_modify, modify, 16);
		v->h.type = p ? VDI_DIFF : VDI_DYNAMIC;
		v->child = p != NULL;
	} else {
		memcpy(v->head, old, sizeof(old));
	}
	pthread_mutex_unlock(&v->lock);
	return ret;
}
