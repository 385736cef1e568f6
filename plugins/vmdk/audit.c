/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit.c - all files of a disk, one after the other: first the text that says
 * which they are, then each of them.
 */
#include <stdio.h>
#include "audit.h"

static int
audit_part(struct vmdk_part *p, bool *usable, struct vd_err *err)
{
	int ret = 0;

	if (p->kind == VMDK_SESPARSE)
		return vmdk_audit_sesparse(p, err);
	*usable = true;
	/* One that was found elsewhere is no more trusted than any other. */
	if (p->kind == VMDK_SPARSE && memcmp(p->head, "KDMV", 4))
		ret = vmdk_audit_lost(p, usable, err);
	if (!ret && p->kind == VMDK_COWD)
		ret = vmdk_audit_cowd(p, usable, err);
	else if (!ret && *usable)
		ret = vmdk_audit_head(p, usable, err);
	return ret ? ret : vmdk_part_put(p, err);
}

static int
audit_inside(struct vmdk_part *p, struct vd_err *err)
{
	if (p->kind == VMDK_SESPARSE)
		return 0;
	return vmdk_is_stream(p) ? vmdk_audit_stream(p, err)
				 : vmdk_audit_tables(p, err);
}

/* --------------------------------------------------- descriptor in the file */

/* A part of a split disk has no text, or room for one that is all zeros. */
static bool
named_as_part(const char *path)
{
	size_t n = strlen(path);

	return n > 10 && path[n - 10] == '-' &&
	       (path[n - 9] == 's' || path[n - 9] == 'f') &&
	       strspn(path + n - 8, "0123456789") == 3;
}

bool
vmdk_is_text(struct vmdk_part *p, uint64_t sector)
{
	char b[32] = "";

	return vmdk_inside(p, sector, 1) &&
	       !vd_file_read(p->f, b, 24, sector * VMDK_SECTOR, NULL) &&
	       (!strncmp(b, "# Disk Descriptor", 17) ||
		!strncmp(b, "#Disk Descriptor", 16));
}

/* Sectors from here on, len at most, that are no directory's. */
static uint64_t
room_at(const struct vmdk_part *p, uint64_t at, uint64_t len)
{
	bool two = (p->flags & VMDK_F_RGD) && !vmdk_is_stream(p);
	uint64_t dirs[2] = { p->gd_at, two ? p->rgd_at : 0 };

	for (int i = 0; i < 2; i++) {
		if (!dirs[i])
			continue;
		if (at >= dirs[i] && at - dirs[i] < p->dir_len)
			return 0;
		if (dirs[i] > at && dirs[i] - at < len)
			len = dirs[i] - at;
	}
	return len;
}

/* Where the text must be, whatever the header says. */
static void
place_text(struct vmdk_part *p, struct vmdk_audit_text *t)
{
	bool known = !memcmp(p->head, "KDMV", 4);
	bool told = known && p->desc_len &&
		    vmdk_inside(p, p->desc_at, p->desc_len);
	uint64_t at = told ? p->desc_at : 1, len = told ? p->desc_len : 20;

	if (len > VMDK_DESC_MAX / VMDK_SECTOR)
		len = VMDK_DESC_MAX / VMDK_SECTOR;
	t->off = at * VMDK_SECTOR;
	p->text_at = at;
	p->text_len = known ? room_at(p, at, len) : len;
	t->room = p->text_len * VMDK_SECTOR;
}

static int
not_here(struct vd_err *err)
{
	return vd_fail(err, ENOTSUP, 0, "this is one extent of a disk and "
		       "holds no descriptor: open the disk's descriptor file "
		       "instead");
}

static int
audit_text(struct vmdk_audit_text *t, struct vmdk_part *p, struct vd_err *err)
{
	int ret = 0;

	if (t->headless)
		vmdk_text_begin(t);
	else if (!t->readable)
		ret = vmdk_text_rebuild(t, p, err);
	if (!ret && t->readable)
		ret = vmdk_text_audit(t, err);
	if (!ret)
		ret = vmdk_text_put(t, err);
	if (!ret && t->readable) {
		struct vd_err e = { 0 };

		ret = vmdk_desc_supported(&t->desc, t->embedded, t->off, &e);
		if (ret == -ENOTSUP)
			return vd_fail(err, ENOTSUP, e.off, "%s", e.msg);
		ret = 0;
	}
	return ret;
}

/* Among the grains it may be one; before them it ends where they begin. */
static int
find_room(struct vmdk_audit_text *t, struct vmdk_part *p, struct vd_err *err)
{
	uint64_t room;
	int ret;

	t->fixed = p->text_at >= p->overhead;
	if (t->fixed) {
		p->text_len = t->readable ? p->text_len : 0;
		return 0;
	}
	if (p->text_len > p->overhead - p->text_at)
		p->text_len = p->overhead - p->text_at;
	room = p->text_len;
	ret = vmdk_stream_room(p, &room, err);
	t->fixed = room * VMDK_SECTOR <= t->len;
	if (!t->fixed)
		t->room = room * VMDK_SECTOR;
	return ret;
}

/* Each value that is changed would change an entry. */
static int
find_fixed(struct vmdk_audit_text *t, struct vmdk_part *p, struct vd_err *err)
{
	bool apart = true;
	int ret;

	if (vmdk_is_stream(p))
		return find_room(t, p, err);
	ret = vmdk_tables_apart(p, p->gd_at, 0, &apart, err);
	if (!ret && apart && (p->flags & VMDK_F_RGD))
		ret = vmdk_tables_apart(p, p->rgd_at, 0, &apart, err);
	t->fixed = !apart;
	return ret;
}

static int
audit_embedded(struct vmdk *v, struct vd_audit *a, struct vmdk_part *p,
	       struct vd_err *err)
{
	struct vmdk_audit_text t = { .a = a, .v = v, .embedded = true };
	bool usable = false, whole = !memcmp(p->head, "KDMV", 4);
	int ret;

	if (whole && (!p->desc_at || named_as_part(p->name)) &&
	    !vmdk_is_text(p, p->desc_at ? p->desc_at : 1))
		return not_here(err);
	place_text(p, &t);
	ret = vmdk_text_load(&t, err);
	if (!ret) {
		vmdk_text_parse(&t, NULL);
		if (t.readable && t.desc.nextents == 1)
			p->sectors = t.desc.sectors;
		p->child = t.readable && vmdk_desc_is_child(&t.desc);
		ret = audit_part(p, &usable, err);
	}
	if (!ret && usable) {		/* its place is certain now */
		free(t.text);
		place_text(p, &t);
		ret = vmdk_text_load(&t, err);
		vmdk_text_parse(&t, NULL);
	}
	if (!ret && usable)
		ret = find_fixed(&t, p, err);
	else
		t.fixed = p->tangled || (!memcmp(p->head, "KDMV", 4) &&
			vmdk_is_stream(p) && p->text_at + p->text_len >
			p->overhead);
	/* Something begins before its end: it is not known as a whole. */
	t.fixed |= t.len == t.room && p->text_len < p->desc_len;
	if (!ret)
		ret = audit_text(&t, usable ? p : NULL, err);
	if (!ret && usable) {
		p->child = t.readable && vmdk_desc_is_child(&t.desc);
		ret = audit_inside(p, err);
	}
	free(t.text);
	return ret;
}

/* ------------------------------------------------------ descriptor as a file */

static int
audit_flat(struct vd_audit *a, struct vd_file *f, const struct vmdk_extline *x,
	   bool device, struct vd_err *err)
{
	uint64_t need = (x->offset + x->sectors) * VMDK_SECTOR;
	uint64_t size = vd_file_size(f);

	if (size >= need)
		return 0;
	if (vd_flaw(a, &(struct vd_flaw){ VD_DAMAGE, "vmdk-extent-short",
	    vd_file_name(f), size, device ? NULL : "would make it longer: "
	    "what was there is lost, and reads as zeros" },
	    "the file ends %" PRIu64 " bytes before its extent does",
	    need - size))
		return vd_file_truncate(f, need, err);
	return 0;
}

static int
audit_sparse(struct vmdk_audit_text *t, struct vd_file *f,
	     const struct vmdk_extline *x, struct vd_err *err)
{
	struct vmdk_part *p = calloc(1, sizeof(*p));
	bool usable = true;
	int ret;

	if (!p)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	p->a = t->a;
	p->f = f;
	p->kind = x->kind;
	p->sectors = x->sectors;
	p->child = vmdk_desc_is_child(&t->desc);
	p->resizing = t->desc.resizing;
	ret = vmdk_part_load(p, err);
	if (!ret)
		ret = audit_part(p, &usable, err);
	if (!ret && usable)
		ret = audit_inside(p, err);
	if (ret)
		vd_err_file(err, vd_file_name(f));
	vmdk_part_free(p);
	free(p);
	return ret;
}

static int
audit_extent(struct vmdk_audit_text *t, const struct vmdk_extline *x,
	     struct vd_err *err)
{
	char name[VD_NAME_MAX];
	bool device = vmdk_extline_device(&t->desc, x);
	struct vd_err e = { 0 };
	struct vd_file *f;

	if (x->access == VMDK_NOACCESS || x->kind == VMDK_ZERO ||
	    x->kind > VMDK_DEVICE)
		return 0;
	/* Devices are open by now, if they may be. */
	vmdk_str_copy(x->name, name, sizeof(name));
	if (vmdk_audit_open(t->v, name, &f, &e)) {
		vd_flaw(t->a, &(struct vd_flaw){ VD_DAMAGE,
			"vmdk-extent-missing", e.file[0] ? e.file : name,
			VD_NOWHERE, NULL }, "%s%s%s", e.msg, e.help[0] ? "; "
			: "", e.help);
		return 0;
	}
	device = device || vd_file_is_block(f);
	return device || x->kind == VMDK_FLAT
		? audit_flat(t->a, f, x, device, err)
		: audit_sparse(t, f, x, err);
}

/* What is mended for the one would be damage to the other. */
static bool
is_shared(const struct vmdk_audit_text *t, size_t pos)
{
	for (size_t i = 0; i < t->nshared; i++)
		if (t->shared[i] == pos)
			return true;
	return false;
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* A disk with an extent in the file that describes it. */
static bool
names_itself(const struct vmdk_audit_text *t)
{
	struct vmdk_cursor c = { t->text, t->len, 0 };
	struct vmdk_extline x;
	struct vmdk_line l;
	char name[VD_NAME_MAX];

	while (vmdk_line_next(&c, &l)) {
		if (l.kind != VMDK_LINE_EXTENT ||
		    vmdk_extline_parse(&l, 0, &x, NULL))
			continue;
		vmdk_str_copy(x.name, name, sizeof(name));
		/* By which way does not matter: better too often. */
		if (!strcmp(base_name(name), base_name(t->name)))
			return true;
	}
	return false;
}

static int
audit_file(struct vmdk *v, struct vd_audit *a, struct vd_err *err)
{
	struct vmdk_audit_text t = { .a = a, .v = v };
	struct vmdk_cursor c;
	struct vmdk_extline x;
	struct vmdk_line l;
	int ret = vmdk_text_load(&t, err);

	if (!ret) {
		vmdk_text_parse(&t, NULL);
		t.fixed = names_itself(&t);
		ret = audit_text(&t, NULL, err);
	}
	c = (struct vmdk_cursor){ t.text, t.len, 0 };
	while (!ret && t.readable && vmdk_line_next(&c, &l)) {
		if (l.kind != VMDK_LINE_EXTENT ||
		    (a->mend && is_shared(&t, l.pos)))
			continue;
		ret = vmdk_extline_parse(&l, t.off, &x, err);
		if (!ret)
			ret = audit_extent(&t, &x, err);
	}
	free(t.shared);
	free(t.text);
	return ret;
}

/* -------------------------------------------------------------------- all */

/* The copy of a header in front of the end. */
static bool
has_footer(struct vmdk_part *p)
{
	uint64_t end = vmdk_part_sectors(p);
	uint8_t b[4];

	return end > 8 && !vd_file_read(p->f, b, 4, (end - 2) * VMDK_SECTOR,
					NULL) && !memcmp(b, "KDMV", 4);
}

static int
cannot_look(const struct vmdk *v, struct vd_err *err)
{
	vd_fail(err, ENOTSUP, v->flaw.off, "%s", v->flaw.msg);
	if (v->flaw.help[0])
		vd_err_help(err, "%s", v->flaw.help);
	return -ENOTSUP;
}

int
vmdk_audit(struct vmdk *v, struct vd_audit *a, struct vd_err *err)
{
	struct vmdk_part *p = calloc(1, sizeof(*p));
	/* What a reader takes for a text is one, whatever else is in there. */
	bool text = v->text && !v->embedded &&
		    vmdk_desc_looks(v->text, v->text_len);
	int ret;

	if (!p)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	p->a = a;
	p->f = v->file;
	p->kind = VMDK_SPARSE;
	ret = vmdk_part_load(p, err);
	if (!ret && v->flaw.code == ENOTSUP && memcmp(p->head, "KDMV", 4))
		ret = cannot_look(v, err);
	else if (!ret && !text && (!memcmp(p->head, "KDMV", 4) ||
				   vmdk_is_text(p, 1) || has_footer(p)))
		ret = audit_embedded(v, a, p, err);
	else if (!ret)
		ret = audit_file(v, a, err);
	if (!ret)
		vd_audit_end(a);
	vmdk_part_free(p);
	free(p);
	return ret;
}
