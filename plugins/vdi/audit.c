/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit.c - the head of a VDI, for check and repair: its fields, and the rules
 * for those that stand for themselves.  What says where the data is: see
 * audit-layout.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "audit.h"

/* ---------------------------------------------------------------- telling */

/* Where version 0 has what version 1.1 has at off. */
static uint64_t
vdi_flaw_place(const struct vdi_audit *a, uint64_t off)
{
	if (a->version >> 16 || off < 72 || off >= 420)
		return off;
	return off == 76 ? 72 : off == 80 ? 76 : off == 368 ? 352 :
		off == 376 ? 360 : off == 384 ? 364 : off == 388 ? 368 : off;
}

bool
vdi_flaw(struct vdi_audit *a, const struct vdi_flaw *f, const char *fmt, ...)
{
	struct vd_flaw flaw = {
		f->severity, f->code, vd_file_name(a->file),
		vdi_flaw_place(a, f->off), f->cure,
	};
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	a->telling.report = a->report;
	a->telling.mend = a->mend;
	return vd_flaw(&a->telling, &flaw, "%s", text);
}

void
vdi_flaw_end(struct vdi_audit *a)
{
	a->telling.report = a->report;
	vd_audit_end(&a->telling);
}

/* ----------------------------------------------------------------- fields */

void
vdi_audit_read(struct vdi_audit *a)
{
	const uint8_t *p = a->head;

	a->version = vdi_get32(p + 68);
	if (a->version >> 16 == 0) {
		a->type = vdi_get32(p + 72);
		a->flags = vdi_get32(p + 76);
		a->disk = vdi_get64(p + 352);
		a->block = vdi_get32(p + 360);
		a->blocks = vdi_get32(p + 364);
		a->counted = vdi_get32(p + 368);
		a->map_off = 420;
		a->data_off = 420 + 4 * a->blocks;
		return;
	}
	a->header_len = vdi_get32(p + 72);
	a->type = vdi_get32(p + 76);
	a->flags = vdi_get32(p + 80);
	a->map_off = vdi_get32(p + 340);
	a->data_off = vdi_get32(p + 344);
	a->disk = vdi_get64(p + 368);
	a->block = vdi_get32(p + 376);
	a->extra = vdi_get32(p + 380);
	a->blocks = vdi_get32(p + 384);
	a->counted = vdi_get32(p + 388);
}

void
vdi_mend32(struct vdi_audit *a, unsigned off, uint64_t value)
{
	vdi_put32(a->head + off, (uint32_t)value);
	a->changed = true;
	vdi_audit_read(a);
}

static bool
vdi_null(const uint8_t *uuid)
{
	static const uint8_t null[16];

	return !memcmp(uuid, null, 16);
}

/* -------------------------------------------------- what kind, whose child */

static void
vdi_audit_type(struct vdi_audit *a, bool link)
{
	struct vdi_flaw type = { VD_DAMAGE, "vdi-type", 76, link
		? "it names a parent: would set 4, differencing"
		: "would set 1, dynamic, which holds for every image without parent" };

	if ((a->type < 1 || a->type > 4) &&
	    vdi_flaw(a, &type, "image type %u is unknown", a->type))
		vdi_mend32(a, 76, link ? 4 : 1);
}

static void
vdi_audit_kind(struct vdi_audit *a)
{
	struct vdi_flaw flags = { VD_DAMAGE, "vdi-flags", 80,
		"would clear them; what they promised is not known" };
	struct vdi_flaw len = { VD_DAMAGE, "vdi-header-length", 72,
		"would set 384: every header has that much" };

	if (a->header_len < 384 &&
	    vdi_flaw(a, &len, "header length %u is below 384", a->header_len))
		vdi_mend32(a, 72, 384);
	vdi_audit_type(a, !vdi_null(a->head + 424));
	if ((a->flags & ~0x301u) &&
	    vdi_flaw(a, &flags, "image flags 0x%x are unknown", a->flags))
		vdi_mend32(a, 80, a->flags & 0x301);
}

static void
vdi_audit_parent(struct vdi_audit *a)
{
	bool link = !vdi_null(a->head + 424);
	struct vdi_flaw none = { VD_DAMAGE, "vdi-parent-missing", 424, NULL };
	struct vdi_flaw type = { VD_NOTE, "vdi-type-parent", 76,
		"would set type 4, differencing, as which it is read" };
	struct vdi_flaw self = { VD_DAMAGE, "vdi-parent-self", 424, NULL };
	struct vdi_flaw stale = { VD_NOTE, "vdi-parent-modify", 440,
		"would clear it; QEMU refuses the image with it" };

	if (a->type == 4 && !link)
		vdi_flaw(a, &none, "a differencing image that names no parent: `vdiskadm relink` names one");
	if (a->type != 4 && link &&
	    vdi_flaw(a, &type, "type %u, but names a parent", a->type))
		vdi_mend32(a, 76, 4);
	if (link && !memcmp(a->head + 424, a->head + 392, 16))
		vdi_flaw(a, &self, "names itself as its parent");
	if (!link && a->type != 4 && !vdi_null(a->head + 440) &&
	    vdi_flaw(a, &stale, "names the content of a parent, but no parent")) {
		memset(a->head + 440, 0, 16);
		a->changed = true;
	}
}

/* A UUID for an image that has none. */
static int
vdi_audit_uuid(struct vdi_audit *a, unsigned off, const char *code,
	       struct vd_err *err)
{
	struct vdi_flaw f = { VD_DAMAGE, code, off, "would give it a new one" };
	int ret;

	if (!vdi_null(a->head + off) ||
	    !vdi_flaw(a, &f, "the image has no UUID of its %s; VirtualBox refuses it",
		      off == 392 ? "own" : "content"))
		return 0;
	ret = vd_random(a->head + off, 16, err);
	a->head[off + 7] = (a->head[off + 7] & 0x0f) | 0x40;
	a->head[off + 8] = (a->head[off + 8] & 0x3f) | 0x80;
	a->changed = true;
	return ret;
}

/* Others refuse a geometry in other sectors; to us the disk is bytes. */
static void
vdi_audit_sectors(struct vdi_audit *a)
{
	struct vdi_flaw old = { VD_NOTE, "vdi-sector-size", 360,
		"would set 512; QEMU refuses the image" };
	struct vdi_flaw lchs = { VD_NOTE, "vdi-lchs-sector-size", 468,
		"would set 512; VirtualBox refuses the image" };

	if (vdi_get32(a->head + 360) != 512 &&
	    vdi_flaw(a, &old, "sector size of the geometry is %u",
		     vdi_get32(a->head + 360)))
		vdi_mend32(a, 360, 512);
	if (a->header_len >= 400 && a->map_off >= 472 &&
	    vdi_get32(a->head + 468) != 512 &&
	    vdi_flaw(a, &lchs, "sector size of the second geometry is %u",
		     vdi_get32(a->head + 468)))
		vdi_mend32(a, 468, 512);
}

/* ------------------------------------------------------------------ whole */

int
vdi_audit_head(struct vdi_audit *a, struct vd_err *err)
{
	struct vdi_flaw cut = { VD_DAMAGE, "vdi-header-cut", 0, NULL };
	struct vdi_flaw version = { VD_NOTE, "vdi-version", 68, NULL };
	struct vdi_flaw mark = { VD_DAMAGE, "vdi-signature", 64,
		"version and length are those of a header: would set it" };
	int ret;

	a->size = vd_file_size(a->file);
	a->block_device = vd_file_is_block(a->file);
	ret = vd_file_read(a->file, a->head, sizeof(a->head), 0, err);
	if (ret)
		return ret;
	vdi_audit_read(a);
	cut.off = a->size;
	if (a->size < (a->version >> 16 ? 456u : 420u)) {
		vdi_flaw(a, &cut, "the file ends inside the header");
		return 0;
	}
	if (vdi_get32(a->head + 64) != 0xbeda107f &&
	    vdi_flaw(a, &mark, "the signature is missing"))
		vdi_mend32(a, 64, 0xbeda107f);
	if (a->version >> 16 && a->version != 0x10001) {
		vdi_flaw(a, &version, "version %u.%u is not known and was not checked",
			 a->version >> 16, a->version & 0xffff);
		return vd_fail(err, ENOTSUP, 68, "version %u.%u is not known: "
			       "nothing can be said of it", a->version >> 16,
			       a->version & 0xffff);
	}
	if (a->version >> 16 == 0) {
		a->mend = false;	/* nobody needs to write these */
		vdi_audit_type(a, false);
	}
	if (a->version >> 16) {
		vdi_audit_kind(a);
		vdi_audit_parent(a);
		ret = vdi_audit_uuid(a, 392, "vdi-uuid", err);
		if (!ret)
			ret = vdi_audit_uuid(a, 408, "vdi-uuid-modify", err);
	}
	if (!ret)
		ret = vdi_audit_layout(a, err);
	/* Last: the second geometry is there if the map is not. */
	if (!ret && a->version >> 16)
		vdi_audit_sectors(a);
	return ret;
}
