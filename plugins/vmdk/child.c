/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * child.c - who an image is, who its parent must be.
 *
 * VMware's children name their parent by file and by its CID; VirtualBox's by
 * two UUIDs and no file.  Ours are linked both ways, and what both say must
 * hold: VMware and QEMU change the CID when they write, VirtualBox only its
 * ddb.uuid.modification.  So the content of an image is told as "CID+UUID".
 *
 * A parent of another format has no CID.  Its content identity is hashed into
 * one, so that whoever knows only CIDs sees a child, and not a disk with holes.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "vmdk.h"

static bool
looks_uuid(const char *s)
{
	size_t i;

	for (i = 0; i < VMDK_UUID_LEN; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? s[i] != '-' : !isxdigit((unsigned char)s[i]))
			return false;
	}
	return !s[i];
}

static bool
nil(const char *uuid)
{
	return !uuid[0] || !strcmp(uuid, VMDK_UUID_NIL);
}

/* FNV-1a, kept away from the numbers that mean something. */
static uint32_t
hash(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 16777619u;
	return h >= VMDK_NEVER_WRITTEN ? h - 2 : h;
}

/* What an image of any format says of its content, in VMDK's words. */
static void
split_content(const char *content, uint32_t *cid, char *modified)
{
	struct vmdk_str digits = { content, strcspn(content, "+") };
	const char *rest = content + digits.n;

	strcpy(modified, VMDK_UUID_NIL);
	if (!content[0]) {
		*cid = VMDK_NEVER_WRITTEN;
	} else if (digits.n == 8 && vmdk_take_hex32(digits, cid)) {
		if (*rest && looks_uuid(rest + 1))
			strcpy(modified, rest + 1);
	} else {
		*cid = hash(content);
		if (looks_uuid(content))
			strcpy(modified, content);
	}
}

/* How a child names this parent; hint is checked for what cannot be quoted. */
int
vmdk_link_to(struct vmdk_link *up, const char *format,
	     const struct vd_parent *p, struct vd_err *err)
{
	*up = (struct vmdk_link){ .hint = p->hint };
	for (const char *s = p->hint; *s; s++)
		if (*s == '"' || (unsigned char)*s < ' ')
			return vd_fail(err, EINVAL, VD_NOWHERE, "the name of "
				       "a parent cannot hold quotes or control "
				       "characters");
	/* VirtualBox's children have none. */
	if (!p->hint[0] && !looks_uuid(p->expected.id))
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "a parent without a name");
	if (format && strcmp(format, "vmdk"))
		snprintf(up->format, sizeof(up->format), "%s", format);
	split_content(p->expected.content, &up->cid, up->modified);
	strcpy(up->id, looks_uuid(p->expected.id) ? p->expected.id
						  : VMDK_UUID_NIL);
	return 0;
}

static void
tell_content(uint32_t cid, const char *modified, char out[VD_ID_MAX])
{
	bool both = looks_uuid(modified) && !nil(modified);

	snprintf(out, VD_ID_MAX, "%08x%s%s", cid, both ? "+" : "",
		 both ? modified : "");
}

int
vmdk_identity(void *img, struct vd_identity *id, struct vd_err *err)
{
	struct vmdk *v = img;
	char modified[VMDK_UUID_LEN + 2];	/* one more: too long is none */
	const struct vmdk_desc *d = &v->desc;

	(void)err;
	id->virtual_size = v->size;
	pthread_mutex_lock(&v->text_lock);
	vmdk_str_copy(d->uuid_image, id->id, sizeof(id->id));
	vmdk_str_copy(d->uuid_modified, modified, sizeof(modified));
	if (d->has_cid)
		tell_content(d->cid, modified, id->content);
	pthread_mutex_unlock(&v->text_lock);
	if (nil(id->id))
		id->id[0] = '\0';
	return 0;
}

static bool
by_cid(const struct vmdk_desc *d)
{
	return d->has_parent_cid && d->parent_cid != VMDK_NO_PARENT;
}

/* A half-named parent is no parent, and certainly not zeros. */
static int
enough(const struct vmdk *v, struct vd_err *err)
{
	const struct vmdk_desc *d = &v->desc;

	if (by_cid(d) && !d->parent_hint.n && !d->vbox_child)
		return vd_fail(err, EINVAL, v->text_off, "has a parent "
			       "(parentCID %08x) but does not name it",
			       d->parent_cid);
	if (!by_cid(d) && !d->vbox_child)
		return vd_fail(err, EINVAL, v->text_off, "names a parent "
			       "(\"%.*s\"), but no parentCID to know it by",
			       d->parent_hint.n < 200 ? (int)d->parent_hint.n
						      : 200, d->parent_hint.p);
	return 0;
}

/* The child's own size, unless it was resized and says otherwise. */
static uint64_t
parent_size(const struct vmdk *v)
{
	return v->desc.parent_sectors ? v->desc.parent_sectors * VMDK_SECTOR
				      : v->size;
}

int
vmdk_parent(void *img, struct vd_parent *p, struct vd_err *err)
{
	struct vmdk *v = img;
	const struct vmdk_desc *d = &v->desc;
	char modified[VMDK_UUID_LEN + 2];
	int ret;

	pthread_mutex_lock(&v->text_lock);
	ret = enough(v, err);
	vmdk_str_copy(d->parent_hint, p->hint, sizeof(p->hint));
	vmdk_str_copy(d->parent_format, p->format, sizeof(p->format));
	p->expected.virtual_size = parent_size(v);
	if (d->vbox_child)
		vmdk_str_copy(d->uuid_parent, p->expected.id,
			      sizeof(p->expected.id));
	vmdk_str_copy(d->uuid_parent_modified, modified, sizeof(modified));
	tell_content(by_cid(d) ? d->parent_cid : VMDK_NO_PARENT, modified,
		     p->expected.content);
	pthread_mutex_unlock(&v->text_lock);
	vd_err_file(err, vd_file_name(v->file));
	if (ret)
		vd_err_help(err, "`vdiskadm relink %s PARENT` tells it where "
			    "its parent is", vd_file_name(v->file));
	return ret;
}

/* ------------------------------------------------------------------ match */

static int
stale(const struct vmdk *v, struct vd_err *err, const char *what,
      const char *want, const char *found)
{
	return vd_fail(err, ESTALE, v->text_off, "is not a child of this "
		       "parent: its %s is %s, expected %s", what,
		       found[0] ? found : "unknown", want);
}

static int
match_text(const struct vmdk *v, const struct vmdk_desc *d,
	   const char *format, const struct vd_identity *id,
	   struct vd_err *err)
{
	char want[VD_ID_MAX], text[16], now[16], modified[VMDK_UUID_LEN + 1];
	bool same = !strcmp(format, "vmdk");
	uint32_t cid;

	split_content(id->content, &cid, modified);
	snprintf(text, sizeof(text), "%08x", d->parent_cid);
	snprintf(now, sizeof(now), "%08x", cid);
	/* UUIDs decide where there is no CID, and where the parent has none. */
	if (d->vbox_child && (!by_cid(d) || (!same && id->id[0]))) {
		vmdk_str_copy(d->uuid_parent, want, sizeof(want));
		if (strcasecmp(want, id->id))
			return stale(v, err, "UUID", want, id->id);
	} else if (cid != d->parent_cid) {
		return stale(v, err, same ? "content (CID)" : "content", text,
			     now);
	}
	vmdk_str_copy(d->uuid_parent_modified, want, sizeof(want));
	if (!nil(want) && !nil(modified) && strcasecmp(want, modified))
		return stale(v, err, "modification UUID", want, modified);
	return 0;
}

int
vmdk_match_parent(void *img, const char *parent_format,
		  const struct vd_identity *id, struct vd_err *err)
{
	struct vmdk *v = img;
	char want[32], found[32];
	int ret;

	snprintf(want, sizeof(want), "%" PRIu64 " bytes", parent_size(v));
	snprintf(found, sizeof(found), "%" PRIu64 " bytes", id->virtual_size);
	if (id->virtual_size != parent_size(v))
		return stale(v, err, "size", want, found);
	pthread_mutex_lock(&v->text_lock);
	ret = match_text(v, &v->desc, parent_format, id, err);
	pthread_mutex_unlock(&v->text_lock);
	return ret;
}

/* ----------------------------------------------------------------- relink */

static int
set(struct vmdk *v, char *text, size_t *len, const char *key,
    const char *value, struct vd_err *err)
{
	return vmdk_desc_set(text, len, v->text_room, key, value,
			     strcmp(key, "parentCID") != 0, err);
}

/* A line only where the parent is not as large as the child. */
static int
set_size(struct vmdk *v, char *text, size_t *len, uint64_t size,
	 struct vd_err *err)
{
	char word[24];

	if (!size || size == v->size) {
		vmdk_desc_drop(text, *len, VMDK_PARENT_SECTORS);
		return 0;
	}
	snprintf(word, sizeof(word), "%" PRIu64, size / VMDK_SECTOR);
	return set(v, text, len, VMDK_PARENT_SECTORS, word, err);
}

static int
edit_link(struct vmdk *v, char *text, size_t *len, const struct vmdk_link *up,
	  struct vd_err *err)
{
	char cid[16];
	int ret;

	snprintf(cid, sizeof(cid), "%08x", up->cid);
	ret = set(v, text, len, "parentCID", cid, err);
	/* A base again: the line goes, in place. */
	if (!up->hint[0])
		vmdk_desc_drop(text, *len, "parentFileNameHint");
	else if (!ret)
		ret = set(v, text, len, "parentFileNameHint", up->hint, err);
	if (!up->format[0])
		vmdk_desc_drop(text, *len, "ddb.vdisk.parentFormat");
	else if (!ret)
		ret = set(v, text, len, "ddb.vdisk.parentFormat", up->format,
			  err);
	if (!ret && (v->desc.uuid_parent.n || !nil(up->id)))
		ret = set(v, text, len, "ddb.uuid.parent", up->id, err);
	if (!ret && (v->desc.uuid_parent_modified.n || !nil(up->modified)))
		ret = set(v, text, len, "ddb.uuid.parentmodification",
			  up->modified, err);
	return ret;
}

/*
 * p == NULL: from now on a base.  The image's own identity stays as it was.
 */
int
vmdk_relink(void *img, const struct vd_parent *p, struct vd_err *err)
{
	struct vmdk *v = img;
	struct vmdk_link up = { .hint = "", .cid = VMDK_NO_PARENT,
				.id = VMDK_UUID_NIL,
				.modified = VMDK_UUID_NIL };
	size_t len = v->text_len;
	char *text;
	int ret = 0;

	if (v->rdonly)
		return vd_fail(err, EROFS, VD_NOWHERE, "is open to be read "
			       "only");
	if (p)
		ret = vmdk_link_to(&up, p->format[0] ? p->format : "vmdk", p,
				   err);
	if (ret)
		return ret;
	text = calloc(1, v->text_room + 1);
	if (!text)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	memcpy(text, v->text, len);
	ret = edit_link(v, text, &len, &up, err);
	if (!ret)
		ret = set_size(v, text, &len, p ? p->expected.virtual_size : 0,
			       err);
	if (!ret)
		ret = vmdk_write_text(v, text, len, err);
	if (ret)
		free(text);
	else
		vmdk_take_text(v, text, len);
	return ret;
}
