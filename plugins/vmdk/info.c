/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * info.c - what an open image tells about itself.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "vmdk.h"

static void
add_text(struct vd_info_out *out, const char *key, struct vmdk_str s)
{
	char buf[1100];

	if (s.n)
		out->add(out, key, vmdk_str_copy(s, buf, sizeof(buf)));
}

__attribute__((format(printf, 3, 4))) static void
add(struct vd_info_out *out, const char *key, const char *fmt, ...)
{
	char buf[VD_NAME_MAX + 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	out->add(out, key, buf);
}

static void
add_sparse(struct vd_info_out *out, const struct vmdk_extent *x)
{
	add(out, "header-version", "%u", x->h.version);
	add(out, "grain-size", "%" PRIu64, x->grain);
	add(out, "grain-tables", "%u", x->ntables);
	if (x->stream) {
		add(out, "compressed", "yes, %s", x->table
		    ? "with a grain directory"
		    : "without a grain directory: read by its markers");
		return;
	}
	add(out, "redundant-tables", x->rgd ? "yes" : "no");
	add(out, "zero-grains", x->h.flags & VMDK_F_ZERO_GRAIN ? "yes" : "no");
	add(out, "closed", x->h.unclean ? "no, by its last writer" : "yes");
}

static void
add_esx(struct vd_info_out *out, const struct vmdk_extent *x)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < x->ntables; i++)
		n += x->gd[i] != 0;
	add(out, "grain-size", "%" PRIu64, x->grain);
	add(out, "grain-tables", "%u of %u", n, x->ntables);
	if (x->kind == VMDK_COWD)
		add(out, "closed", x->h.unclean ? "no, by its last writer"
						: "yes");
}

static void
add_desc(struct vd_info_out *out, const struct vmdk_desc *d)
{
	if (d->has_cid)
		add(out, "cid", "%08x", d->cid);
	add_text(out, "long-content-id", d->long_content_id);
	add_text(out, "uuid", d->uuid);
	if (d->cylinders.n && d->heads.n && d->spt.n)
		add(out, "geometry", "%.*s/%.*s/%.*s",
		    d->cylinders.n < 20 ? (int)d->cylinders.n : 20,
		    d->cylinders.p, d->heads.n < 20 ? (int)d->heads.n : 20,
		    d->heads.p, d->spt.n < 20 ? (int)d->spt.n : 20, d->spt.p);
	add_text(out, "adapter", d->adapter);
	add_text(out, "hardware-version", d->hw_version);
	add_text(out, "comment", d->comment);
	add_text(out, "uuid-image", d->uuid_image);
	add_text(out, "uuid-modification", d->uuid_modified);
	if (vmdk_desc_is_child(d)) {
		add_text(out, "parent", d->parent_hint);
		add(out, "parent-cid", "%08x", d->has_parent_cid
		    ? d->parent_cid : VMDK_NO_PARENT);
		add_text(out, "parent-uuid", d->uuid_parent);
	}
	add_text(out, "change-tracking", d->change_track);
}

int
vmdk_info(void *img, struct vd_info_out *out, struct vd_err *err)
{
	struct vmdk *v = img;
	const struct vmdk_extent *x = v->extents;

	(void)err;
	pthread_mutex_lock(&v->text_lock);
	add_desc(out, &v->desc);
	pthread_mutex_unlock(&v->text_lock);
	if (v->checking)
		return 0;		/* only being checked */
	if (x->kind == VMDK_SPARSE && x->file)
		add_sparse(out, x);
	else if (x->grain)
		add_esx(out, x);
	for (unsigned i = 0; i < v->nextents && !v->embedded; i++)
		add(out, "extent", "%s, %" PRIu64 " bytes%s", x[i].file
		    ? vd_file_name(x[i].file) : "zeros", x[i].len,
		    x[i].access == VMDK_RW ? "" : x[i].access == VMDK_RDONLY
		    ? ", read-only" : ", not to be accessed");
	return 0;
}
