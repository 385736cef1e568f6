/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-desc.c - every rule for the text of a descriptor.
 *
 * A line that says what cannot be is mended in place, everything else stays as
 * it was written.  A text that cannot be read is written anew (audit-rebuild.c).
 */
#include <stdio.h>
#include "audit.h"

#define FLAW(t, how, code, off, cure) \
	(&(struct vd_flaw){ (how), (code), (t)->name, (off), (cure) })

/* Whatever lies behind the NUL is not ours to write over. */
static void
keep_rest(struct vmdk_audit_text *t, size_t len)
{
	size_t end = t->len;

	while (end < len && !t->text[end])
		end++;
	if (end < len)
		t->room = end - 1;
}

int
vmdk_text_load(struct vmdk_audit_text *t, struct vd_err *err)
{
	uint64_t size = vd_file_size(t->v->file), len = t->room;
	int ret;

	t->name = vd_file_name(t->v->file);
	if (!t->embedded) {
		t->room = VMDK_DESC_MAX;
		len = size <= VMDK_DESC_MAX ? size : VMDK_DESC_MAX + 1;
	}
	t->text = calloc(1, t->room + 2);
	if (!t->text)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = vd_file_read(t->v->file, t->text, len, t->off, err);
	t->len = t->had = strnlen(t->text, len);
	if (!t->embedded)
		keep_rest(t, len);
	return ret;
}

void
vmdk_text_parse(struct vmdk_audit_text *t, struct vd_err *why)
{
	struct vd_err e = { 0 };

	if (t->len > VMDK_DESC_MAX)
		vd_fail(&e, EFBIG, t->off + VMDK_DESC_MAX, "the descriptor is "
			"longer than %u bytes", VMDK_DESC_MAX);
	t->readable = !vmdk_desc_parse(t->text, t->len, t->off, &t->desc, &e) &&
		      t->desc.nextents && t->len <= VMDK_DESC_MAX;
	if (!t->readable && !e.code)
		vd_fail(&e, EINVAL, t->off, t->len ? "no line of the descriptor "
			"names an extent" : "the descriptor is empty");
	t->headless = t->readable && !t->embedded &&
		      !vmdk_desc_looks(t->text, t->len);
	t->readable = t->readable && !t->headless;
	if (why)
		*why = e;
}

int
vmdk_text_put(struct vmdk_audit_text *t, struct vd_err *err)
{
	struct vd_file *f = t->v->file;
	bool all;		/* it is all that is in the file */
	int ret;

	if (!t->changed)
		return 0;
	memset(t->text + t->len, 0, t->room - t->len);
	all = !t->embedded && vd_file_size(f) == t->had;
	ret = vd_file_write(f, t->text, t->embedded ? t->room : t->len > t->had
			    || all ? t->len : t->had, t->off, err);
	if (!ret && all)
		ret = vd_file_truncate(f, t->len, err);
	if (!ret)
		ret = vd_file_sync(f, err);
	t->changed = ret != 0;
	return ret;
}

/* Put bytes in place of others, if there is room. */
static bool
splice(struct vmdk_audit_text *t, size_t pos, size_t old, const char *new,
       size_t n)
{
	if (t->len - old + n > t->room)
		return false;
	memmove(t->text + pos + n, t->text + pos + old, t->len - pos - old);
	memcpy(t->text + pos, new, n);
	t->len += n - old;
	memset(t->text + t->len, 0, t->room - t->len);
	t->changed = true;
	return true;
}

/* The rest is a descriptor, but no program takes it for one. */
void
vmdk_text_begin(struct vmdk_audit_text *t)
{
	static const char head[] = "# Disk DescriptorFile\nversion=1\n";

	if (vd_flaw(t->a, FLAW(t, VD_DAMAGE, "vmdk-descriptor", t->off,
	    t->fixed || t->len + sizeof(head) > t->room ? NULL :
	    "would put that in front"), "the descriptor does not begin with "
	    "its version: no program knows it for one") &&
	    splice(t, 0, 0, head, sizeof(head) - 1))
		vmdk_text_parse(t, NULL);
}

/* A new line goes behind the first one: "version=" has to stay there. */
static size_t
behind_version(const struct vmdk_audit_text *t, bool ddb)
{
	struct vmdk_cursor c = { t->text, t->len, 0 };
	struct vmdk_line l;
	size_t at = 0;

	while (vmdk_line_next(&c, &l))
		if (ddb || (l.kind == VMDK_LINE_KEY &&
			    vmdk_str_is(l.key, "version")))
			at = c.next;
	return at;
}

struct value {
	const char     *key, *value;
};

/* Given twice, both lines say it: programs take the one or the other. */
static bool
set_lines(struct vmdk_audit_text *t, const char *key, const char *value,
	  bool *found)
{
	struct vmdk_cursor c = { t->text, t->len, 0 };
	struct vmdk_line l;
	size_t n = strlen(value);

	while (vmdk_line_next(&c, &l)) {
		if (l.kind != VMDK_LINE_KEY || !vmdk_str_is(l.key, key))
			continue;
		*found = true;
		if (!splice(t, (size_t)(l.value.p - t->text), l.value.n, value,
			    n))
			return false;
		c.next = c.next + n - l.value.n;
		c.len = t->len;
	}
	return true;
}

static bool
set_value(struct vmdk_audit_text *t, const char *key, const char *value)
{
	bool ddb = !strncmp(key, "ddb.", 4), hex = strstr(key, "CID") && !ddb;
	bool found = false, fits = set_lines(t, key, value, &found);
	char line[512];
	size_t at;
	int n;

	if (found)
		return fits;
	at = behind_version(t, ddb);
	n = snprintf(line, sizeof(line), "%s%s%s%s%s%s\n", at &&
		     t->text[at - 1] != '\n' ? "\n" : "", key, ddb ? " = \"" :
		     hex ? "=" : "=\"", value, ddb || !hex ? "\"" : "", "");
	return n > 0 && (size_t)n < sizeof(line) &&
	       splice(t, at, 0, line, (size_t)n);
}

/*
 * May these values be set?  What an embedded text has no room for is not
 * offered: it would be asked again for ever.
 */
static int
offer(struct vmdk_audit_text *t, const struct vd_flaw *f, const char *what,
      const struct value *v, size_t n, struct vd_err *err)
{
	struct vmdk_audit_text new = *t;
	struct vd_flaw flaw = *f;
	bool fits = true;

	new.text = malloc(t->room + 2);
	if (!new.text)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	memcpy(new.text, t->text, t->room + 2);
	for (size_t i = 0; i < n && fits; i++)
		fits = set_value(&new, v[i].key, v[i].value);
	if (!fits || t->fixed)
		flaw.cure = NULL;
	if (vd_flaw(t->a, &flaw, "%s", what)) {
		memcpy(t->text, new.text, t->room + 2);
		t->len = new.len;
		t->changed = true;
		vmdk_text_parse(t, NULL);
	}
	free(new.text);
	return 0;
}

/* ------------------------------------------------------------------- rules */

static int
audit_cid(struct vmdk_audit_text *t, struct vd_err *err)
{
	uint32_t cid;
	char text[16];
	int ret;

	if (t->desc.has_cid)
		return 0;
	do
		ret = vd_random(&cid, sizeof(cid), err);
	while (!ret && cid >= VMDK_NEVER_WRITTEN);
	if (ret)
		return ret;
	snprintf(text, sizeof(text), "%08x", cid);
	return offer(t, FLAW(t, VD_DAMAGE, "vmdk-cid", t->off, "would give it "
		     "one; a child, if there is one, has to be relinked"),
		     "the disk has no CID, by which a child knows its parent",
		     &(struct value){ "CID", text }, 1, err);
}

/* What its extents are, by the words of createType. */
static const char *
type_of_extents(struct vmdk_audit_text *t)
{
	static const char *const words[] = {
		[VMDK_FLAT] = "monolithicFlat", [VMDK_SPARSE] =
		"twoGbMaxExtentSparse", [VMDK_COWD] = "vmfsSparse",
		[VMDK_SESPARSE] = "seSparse",
	};
	struct vmdk_cursor c = { t->text, t->len, 0 };
	enum vmdk_kind kind = 0;
	struct vmdk_extline x;
	struct vmdk_line l;

	if (t->embedded)
		return "monolithicSparse";
	while (vmdk_line_next(&c, &l)) {
		if (l.kind != VMDK_LINE_EXTENT)
			continue;
		if (vmdk_extline_parse(&l, 0, &x, NULL) ||
		    x.kind > VMDK_SESPARSE || x.kind == VMDK_ZERO)
			return "custom";
		if (vmdk_str_is(x.type, "VMFS"))
			return t->desc.nextents == 1 ? "vmfs" : "custom";
		if (kind && x.kind != kind)
			return "custom";
		kind = x.kind;
	}
	if (kind == VMDK_FLAT && t->desc.nextents > 1)
		return "twoGbMaxExtentFlat";
	return kind ? words[kind] : "custom";
}

/* A descriptor in a sparse file cannot say that the disk is something else. */
static bool
type_goes(const struct vmdk_audit_text *t, const struct vmdk_type *type,
	  const struct vmdk_type *is)
{
	if (t->embedded)
		return !type->device && (type->kind == VMDK_SPARSE ||
					 type->kind == VMDK_ANY);
	return !type->kind || type->kind == VMDK_ANY ||
	       (is && is->kind == type->kind);
}

static int
audit_type(struct vmdk_audit_text *t, struct vd_err *err)
{
	struct vmdk_str old = t->desc.create_type;
	char text[128];

	const struct vmdk_type *type = vmdk_type_find(t->desc.create_type);
	const char *should = type_of_extents(t);
	const struct vmdk_type *is = vmdk_type_find((struct vmdk_str){
		should, strlen(should) });

	if (type && type_goes(t, type, is))
		return 0;
	if (t->embedded && !old.n)
		return 0;	/* the header says it */
	if (!type && old.n)
		return 0;	/* not known: refused by its name below */
	if (is && is->kind == VMDK_ANY && type)
		return 0;	/* with ZERO extents between: borne with */
	snprintf(text, sizeof(text), "createType \"%.*s\" does not go with "
		 "the extents", (int)(old.n < 64 ? old.n : 64),
		 old.n ? old.p : "");
	return offer(t, FLAW(t, VD_DAMAGE, "vmdk-type", t->off, "would set "
		     "what the extents are"), text,
		     &(struct value){ "createType", should }, 1, err);
}

static void
audit_parent(struct vmdk_audit_text *t)
{
	const struct vmdk_desc *d = &t->desc;

	if (!vmdk_desc_is_child(d) || d->vbox_child)
		return;
	if (!d->parent_hint.n || !d->has_parent_cid ||
	    d->parent_cid == VMDK_NO_PARENT)
		vd_flaw(t->a, FLAW(t, VD_DAMAGE, "vmdk-parent-unnamed", t->off,
			NULL), "has a parent, but says only half of who that "
			"is: `vdiskadm relink` names one");
}

static bool
number(struct vmdk_str s, uint64_t least, uint64_t most)
{
	uint64_t n;

	return vmdk_take_decimal(s, &n) && n >= least && n <= most;
}

/* Whoever boots from it asks; the data does not. */
static int
audit_geometry(struct vmdk_audit_text *t, struct vd_err *err)
{
	const struct vmdk_desc *d = &t->desc;
	char cylinders[32];
	const struct value all[] = {
		{ "ddb.geometry.cylinders", cylinders },
		{ "ddb.geometry.heads", "255" },
		{ "ddb.geometry.sectors", "63" },
	};

	if (!d->cylinders.n && !d->heads.n && !d->spt.n)
		return 0;	/* a child has its parent's */
	if (number(d->cylinders, d->sectors >= 16065, UINT32_MAX) &&
	    number(d->heads, 1, 255) && number(d->spt, 1, 63))
		return 0;
	snprintf(cylinders, sizeof(cylinders), "%" PRIu64,
		 vmdk_cylinders(d->sectors));
	return offer(t, FLAW(t, VD_NOTE, "vmdk-geometry", t->off, "would set "
		     "one with 255 heads and 63 sectors"), "the geometry is "
		     "impossible", all, 3, err);
}

/* -------------------------------------------------- extents among themselves */

static int
by_file(const void *a, const void *b)
{
	const struct vmdk_extline *x = a, *y = b;
	size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
	int c = n ? memcmp(x->name.p, y->name.p, n) : 0;

	if (c || x->name.n != y->name.n)
		return c ? c : x->name.n < y->name.n ? -1 : 1;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return x->pos < y->pos ? -1 : 1;
}

/* Two extents in one place: what is written to one changes the other. */
static void
overlap(struct vmdk_audit_text *t, struct vmdk_extline *x, size_t n)
{
	qsort(x, n, sizeof(*x), by_file);
	for (size_t i = 1; i < n; i++) {
		if (!x[i].name.n || x[i].name.n != x[i - 1].name.n ||
		    memcmp(x[i].name.p, x[i - 1].name.p, x[i].name.n))
			continue;
		if (x[i].kind == VMDK_FLAT && x[i - 1].kind == VMDK_FLAT &&
		    x[i - 1].offset + x[i - 1].sectors <= x[i].offset)
			continue;
		t->shared[t->nshared++] = x[i - 1].pos;
		t->shared[t->nshared++] = x[i].pos;
		vd_flaw(t->a, FLAW(t, VD_DAMAGE, "vmdk-extents-overlap",
			t->off + x[i].pos, NULL), "two extents are in the "
			"same place");
	}
}

static int
audit_lines(struct vmdk_audit_text *t, struct vd_err *err)
{
	struct vmdk_cursor c = { t->text, t->len, 0 };
	struct vmdk_extline *x = calloc(t->desc.nextents, sizeof(*x));
	struct vmdk_line l;
	size_t n = 0;

	t->shared = calloc(2 * (size_t)t->desc.nextents, sizeof(*t->shared));
	if (!x || !t->shared) {
		free(x);
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	}
	while (n < t->desc.nextents && vmdk_line_next(&c, &l)) {
		if (l.kind != VMDK_LINE_EXTENT ||
		    vmdk_extline_parse(&l, t->off, &x[n], NULL))
			continue;
		if (x[n].offset && vmdk_str_is(x[n].type, "VMFS"))
			vd_flaw(t->a, FLAW(t, VD_DAMAGE, "vmdk-extent-line",
				t->off + l.pos, NULL), "a VMFS extent cannot "
				"have an offset");
		n++;
	}
	overlap(t, x, n);
	free(x);
	return 0;
}

int
vmdk_text_audit(struct vmdk_audit_text *t, struct vd_err *err)
{
	int ret = audit_cid(t, err);

	if (!ret)
		ret = audit_type(t, err);
	audit_parent(t);
	if (!ret)
		ret = audit_geometry(t, err);
	return ret || t->embedded ? ret : audit_lines(t, err);
}
