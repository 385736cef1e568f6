/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-rebuild.c - a descriptor that is lost, from the extents it was about.
 *
 * Their names beside it say in which order they come, their headers how long
 * they are.  Lines of the old text that can still be read are taken over.  What
 * nothing tells is who the parent was: where there must have been one, the disk
 * does not open until it is told; never are its holes taken for zeros.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include "audit.h"

#define GAP_MAX	8u	/* parts looked for behind one that is missing */

struct plan {
	char		stem[VD_NAME_MAX];	/* of the file's name */
	char	       *extents;		/* their lines */
	size_t		len, room;
	uint64_t	sectors;
	const char     *type;
	bool		child;			/* it must have had a parent */
	bool		doubt;			/* more than one way */
};

static void
get_stem(struct plan *m, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t n;

	snprintf(m->stem, sizeof(m->stem), "%s", slash ? slash + 1 : path);
	n = strlen(m->stem);
	if (n > 5 && !strcmp(m->stem + n - 5, ".vmdk"))
		m->stem[n - 5] = '\0';
}

/* disk-000003, as VMware calls what a snapshot has left on top. */
static bool
named_as_child(const char *stem)
{
	size_t n = strlen(stem);

	if (n < 8 || stem[n - 7] != '-')
		return false;
	for (size_t i = n - 6; i < n; i++)
		if (!isdigit((unsigned char)stem[i]))
			return false;
	return true;
}

/* A file is locked by whoever has it open, also by ourselves: once is enough. */
static struct vd_file *
open_already(struct vmdk *v, const char *name)
{
	size_t n = strlen(name);

	for (unsigned i = 0; i < v->nextents; i++)
		if (v->extents[i].file && v->extents[i].name.n == n &&
		    !memcmp(v->extents[i].name.p, name, n))
			return v->extents[i].file;
	for (unsigned i = 0; i < v->nfound; i++) {
		const char *path = vd_file_name(v->found[i]);
		size_t len = strlen(path);

		if (len >= n && !strcmp(path + len - n, name) &&
		    (len == n || path[len - n - 1] == '/'))
			return v->found[i];
	}
	return NULL;
}

int
vmdk_audit_open(struct vmdk *v, const char *name, struct vd_file **out,
		struct vd_err *err)
{
	struct vd_file **more;
	int ret = -EROFS;

	*out = open_already(v, name);
	if (*out)
		return 0;
	more = realloc(v->found, (v->nfound + 1) * sizeof(*more));
	if (!more)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	v->found = more;
	if (!v->rdonly)
		ret = vd_host_open(v->host, name, 0, out, NULL);
	if (ret)
		ret = vd_host_open(v->host, name, VD_OPEN_RDONLY, out, err);
	if (!ret)
		v->found[v->nfound++] = *out;
	return ret;
}

/* How many sectors such a file is about; 0: it is none. */
static uint64_t
sectors_of(struct vd_file *f, enum vmdk_kind kind)
{
	uint8_t h[32];

	if (kind == VMDK_FLAT)
		return vd_file_size(f) / VMDK_SECTOR;
	if (vd_file_read(f, h, sizeof(h), 0, NULL))
		return 0;
	if (kind == VMDK_SPARSE)
		return memcmp(h, "KDMV", 4) ? 0 : vmdk_le64(h + 12);
	if (kind == VMDK_COWD)
		return memcmp(h, "COWD", 4) ? 0 : vmdk_le32(h + 12);
	return vmdk_le64(h) == 0xcafebabe ? vmdk_le64(h + 16) : 0;
}

static bool
add_line(struct plan *m, uint64_t sectors, const char *type, const char *name,
	 const char *behind)
{
	int n = snprintf(m->extents + m->len, m->room - m->len, "RW %" PRIu64
			 " %s \"%s\"%s\n", sectors, type, name, behind);

	if (!sectors || sectors > VMDK_SECTORS_MAX || n < 0 ||
	    (size_t)n >= m->room - m->len)
		return false;
	m->len += (size_t)n;
	m->sectors += sectors;
	return true;
}

static bool
add_file(struct vmdk *v, struct plan *m, const char *name, enum vmdk_kind kind)
{
	static const char *const words[] = {
		[VMDK_FLAT] = "FLAT", [VMDK_SPARSE] = "SPARSE",
		[VMDK_COWD] = "VMFSSPARSE", [VMDK_SESPARSE] = "SESPARSE",
	};
	struct vd_file *f;

	if (vmdk_audit_open(v, name, &f, NULL))
		return false;
	if (!add_line(m, sectors_of(f, kind), words[kind], name,
		      kind == VMDK_FLAT ? " 0" : ""))
		m->doubt = true;
	return true;
}

/* One file with this ending? */
static void
one(struct vmdk *v, struct plan *m, const char *ending, enum vmdk_kind kind,
    const char *type)
{
	char name[VD_NAME_MAX + 16];

	snprintf(name, sizeof(name), "%s%s", m->stem, ending);
	if (!add_file(v, m, name, kind))
		return;
	m->doubt |= m->type != NULL;
	m->type = type;
	m->child |= kind == VMDK_COWD || kind == VMDK_SESPARSE;
}

/* -s001 and on; one that is missing in between is no end. */
static void
many(struct vmdk *v, struct plan *m, char letter, enum vmdk_kind kind,
     const char *type)
{
	char name[VD_NAME_MAX + 16];
	unsigned missing = 0, found = 0;

	for (unsigned i = 1; i <= VMDK_EXTENTS_MAX && missing < GAP_MAX; i++) {
		snprintf(name, sizeof(name), "%s-%c%03u.vmdk", m->stem, letter,
			 i);
		if (!add_file(v, m, name, kind)) {
			missing++;
			continue;
		}
		m->doubt |= missing != 0 || (!found && m->type);
		found++;
	}
	if (found)
		m->type = type;
}

static void
look_beside(struct vmdk *v, struct plan *m)
{
	one(v, m, "-flat.vmdk", VMDK_FLAT, "monolithicFlat");
	one(v, m, "-delta.vmdk", VMDK_COWD, "vmfsSparse");
	one(v, m, "-sesparse.vmdk", VMDK_SESPARSE, "seSparse");
	many(v, m, 's', VMDK_SPARSE, "twoGbMaxExtentSparse");
	many(v, m, 'f', VMDK_FLAT, "twoGbMaxExtentFlat");
}

static void
say(struct vmdk_audit_text *t, char *out, const char *fmt, ...)
{
	size_t n = strlen(out);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out + n, t->room + 1 - n, fmt, ap);
	va_end(ap);
}

static bool
worth(const struct vmdk_line *l)
{
	if (l->kind != VMDK_LINE_KEY || l->text.n > VMDK_LINE_MAX)
		return false;
	return (l->text.n < 1024 && vmdk_str_begins(l->key, "ddb.")) ||
	       vmdk_str_is(l->key, "encoding") ||
	       vmdk_str_is(l->key, "isNativeSnapshot") ||
	       vmdk_str_begins(l->key, "encryption") ||
	       vmdk_str_is(l->key, "keyID");
}

/* A value that the old text still tells; buf is "" if none. */
static bool
old_value(struct vmdk_audit_text *t, const char *key, char *buf, size_t len)
{
	struct vmdk_cursor c = { t->text, t->len, 0 };
	struct vmdk_line l;

	buf[0] = '\0';
	while (vmdk_line_next(&c, &l))
		if (l.kind == VMDK_LINE_KEY && vmdk_str_is(l.key, key) &&
		    l.value.n && l.value.n < len && !buf[0])
			vmdk_str_copy(l.value, buf, len);
	return buf[0];
}

/* Any of its lines: one that was told of a parent had one. */
static bool
told_of_parent(struct vmdk_audit_text *t)
{
	struct vmdk_cursor c = { t->text, t->len, 0 };
	struct vmdk_line l;
	uint32_t n;

	while (vmdk_line_next(&c, &l))
		if (l.kind == VMDK_LINE_KEY && vmdk_str_is(l.key, "parentCID") &&
		    vmdk_take_hex32(l.value, &n) && n != VMDK_NO_PARENT)
			return true;
	return false;
}

static void
say_parent(struct vmdk_audit_text *t, struct plan *m, char *out)
{
	char cid[16], hint[VD_NAME_MAX];
	uint32_t n;
	bool known = old_value(t, "parentCID", cid, sizeof(cid)) &&
		     vmdk_take_hex32((struct vmdk_str){ cid, strlen(cid) }, &n);
	bool named = old_value(t, "parentFileNameHint", hint, sizeof(hint));
	bool none = known && n == VMDK_NO_PARENT && !named;

	if (none && told_of_parent(t)) {
		known = false;		/* told twice, differently */
		m->child = true;
	} else if (none)
		m->child = false;
	else if (named || known)
		m->child = true;
	say(t, out, "parentCID=%s\n", !m->child ? "ffffffff" : known ? cid
	    : "fffffffe");
	say(t, out, "createType=\"%s\"\n", m->type);
	if (named)
		say(t, out, "parentFileNameHint=\"%s\"\n", hint);
}

static int
compose(struct vmdk_audit_text *t, struct plan *m, char *out,
	struct vd_err *err)
{
	struct vmdk_cursor c = { t->text, t->len, 0 };
	char cid[16];
	struct vmdk_line l;
	uint32_t n;
	bool geometry = false;
	int ret = 0;

	if (!old_value(t, "CID", cid, sizeof(cid)) ||
	    !vmdk_take_hex32((struct vmdk_str){ cid, strlen(cid) }, &n)) {
		ret = vd_random(&n, sizeof(n), err);
		snprintf(cid, sizeof(cid), "%08x", n & 0x7fffffff);
	}
	say(t, out, "# Disk DescriptorFile\nversion=1\nCID=%s\n", cid);
	while (vmdk_line_next(&c, &l))
		if (worth(&l) && !vmdk_str_begins(l.key, "ddb."))
			say(t, out, "%.*s\n", (int)l.text.n, l.text.p);
	c = (struct vmdk_cursor){ t->text, t->len, 0 };
	say_parent(t, m, out);
	say(t, out, "\n# Extent description\n%s\n# The Disk Data Base\n#DDB\n\n",
	    m->extents);
	while (vmdk_line_next(&c, &l))
		if (worth(&l) && vmdk_str_begins(l.key, "ddb.")) {
			geometry |= vmdk_str_begins(l.key, "ddb.geometry");
			say(t, out, "%.*s\n", (int)l.text.n, l.text.p);
		}
	if (!old_value(t, "ddb.adapterType", cid, sizeof(cid)))
		say(t, out, "ddb.adapterType = \"lsilogic\"\n");
	if (!geometry)
		say(t, out, "ddb.geometry.cylinders = \"%" PRIu64 "\"\n"
		    "ddb.geometry.heads = \"255\"\nddb.geometry.sectors = "
		    "\"63\"\n", vmdk_cylinders(m->sectors));
	if (!old_value(t, "ddb.virtualHWVersion", cid, sizeof(cid)))
		say(t, out, "ddb.virtualHWVersion = \"4\"\n");
	return ret;
}

/* It may have been cut for want of room. */
static bool
is_whole(const struct vmdk_audit_text *t, const char *out)
{
	size_t len = strlen(out);
	struct vmdk_desc d;

	return len && len < t->room &&
	       !vmdk_desc_parse(out, len, t->off, &d, NULL) && d.nextents;
}

static void
one_inside(struct vmdk_audit_text *t, struct vmdk_part *p, struct plan *m)
{
	char name[VD_NAME_MAX + 8];

	snprintf(name, sizeof(name), "%s.vmdk", m->stem);
	m->type = vmdk_is_stream(p) ? "streamOptimized" : "monolithicSparse";
	if (!add_line(m, p->sectors && p->sectors <= p->capacity ? p->sectors
		      : p->capacity, "SPARSE", name, ""))
		m->doubt = true;
	(void)t;
}

int
vmdk_text_rebuild(struct vmdk_audit_text *t, struct vmdk_part *p,
		  struct vd_err *err)
{
	struct plan m = { .room = 256u << 10 };
	struct vd_err why;
	char *out = calloc(1, t->room + 1);
	const char *cure = NULL;
	int ret = 0;

	vmdk_text_parse(t, &why);
	m.extents = calloc(1, m.room);
	if (!out || !m.extents) {
		ret = vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
		goto out;
	}
	get_stem(&m, vd_file_name(t->v->file));
	if (p)
		one_inside(t, p, &m);
	else if (t->a->mend)
		look_beside(t->v, &m);
	m.child |= named_as_child(m.stem);
	if (m.type && !m.doubt && !strpbrk(m.stem, "\"\n\r"))
		ret = compose(t, &m, out, err);
	if (ret)
		goto out;
	if (is_whole(t, out) && !t->fixed)
		cure = m.child ? "would write one from its extents, as the "
			"child of a parent that `vdiskadm relink` has to name"
			: "would write one from its extents; if it was a "
			"child, its parent has to be named with `vdiskadm "
			"relink`";
	if (vd_flaw(t->a, &(struct vd_flaw){ VD_DAMAGE, "vmdk-descriptor",
	    vd_file_name(t->v->file), why.off == VD_NOWHERE ? t->off : why.off,
	    cure }, "the descriptor cannot be read: %s", why.msg)) {
		memcpy(t->text, out, t->room + 1);
		t->len = strlen(t->text);
		t->changed = true;
		vmdk_text_parse(t, NULL);
	}
out:
	free(out);
	free(m.extents);
	return ret;
}
