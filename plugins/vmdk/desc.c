/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * desc.c - what the lines of a descriptor say together.
 *
 * Pure: text in, meaning out, every number bounded.  Other writers' habits
 * that we bear with are listed in doc/vmdk.md.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "vmdk.h"

/*
 * What VMware asks of a descriptor is that its first line that is neither
 * blank nor a comment be version=DIGIT.  Too little to take somebody's
 * settings file for a disk: we want one more sign.
 */
bool
vmdk_desc_looks(const char *text, size_t len)
{
	struct vmdk_cursor c = { text, len, 0 };
	struct vmdk_line l;
	bool title = false, first = true;
	unsigned budget = 2000;

	while (budget-- && vmdk_line_next(&c, &l)) {
		if (l.kind == VMDK_LINE_BLANK) {
			if (vmdk_str_begins(l.text, "# Disk Descriptor") ||
			    vmdk_str_begins(l.text, "#Disk Descriptor"))
				title = true;
			continue;
		}
		if (first) {
			if (l.kind != VMDK_LINE_KEY || !l.value.n ||
			    !vmdk_str_is(l.key, "version") ||
			    l.value.p[0] < '0' || l.value.p[0] > '9')
				return false;
			first = false;
			if (title)
				return true;
			continue;
		}
		if (l.kind == VMDK_LINE_KEY &&
		    (vmdk_str_is(l.key, "createType") ||
		     vmdk_str_is(l.key, "parentCID")))
			return true;
	}
	return false;
}

static enum vmdk_kind
kind_of(struct vmdk_str type)
{
	static const struct {
		const char *name;
		enum vmdk_kind kind;
	} kinds[] = {
		{ "FLAT", VMDK_FLAT }, { "VMFS", VMDK_FLAT },
		{ "SPARSE", VMDK_SPARSE }, { "ZERO", VMDK_ZERO },
		{ "VMFSSPARSE", VMDK_COWD }, { "SESPARSE", VMDK_SESPARSE },
		{ "VMFSRDM", VMDK_DEVICE }, { "VMFSRAW", VMDK_DEVICE },
	};
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (vmdk_str_is(type, kinds[i].name))
			return kinds[i].kind;
	return VMDK_OTHER;
}

/* ACCESS SECTORS TYPE ["FILE" [OFFSET [PARTITION_UUID [DEVICE_ID]]]] */
int
vmdk_extline_parse(const struct vmdk_line *line, uint64_t at,
		   struct vmdk_extline *x, struct vd_err *err)
{
	struct vmdk_str rest = line->text, w;

	*x = (struct vmdk_extline){ .pos = line->pos };
	w = vmdk_take_word(&rest);
	x->access = vmdk_str_is(w, "RW") ? VMDK_RW :
		    vmdk_str_is(w, "RDONLY") ? VMDK_RDONLY : VMDK_NOACCESS;
	if (!vmdk_take_decimal(vmdk_take_word(&rest), &x->sectors) || !x->sectors)
		return vd_fail(err, EINVAL, at + line->pos, "extent line "
			       "needs a number of sectors after its access");
	if (x->sectors > VMDK_SECTORS_MAX)
		return vd_fail(err, EFBIG, at + line->pos,
			       "extent of %" PRIu64 " sectors is beyond any "
			       "disk", x->sectors);
	x->type = vmdk_take_word(&rest);
	x->kind = kind_of(x->type);
	if (!x->type.n)
		return vd_fail(err, EINVAL, at + line->pos,
			       "extent line without a type");
	x->name = vmdk_take_word(&rest);
	if (x->name.n >= VD_NAME_MAX)
		return vd_fail(err, ENAMETOOLONG, at + line->pos,
			       "extent's file name is longer than %d bytes",
			       VD_NAME_MAX - 1);
	w = vmdk_take_word(&rest);
	if (x->kind == VMDK_FLAT && w.n &&
	    (!vmdk_take_decimal(w, &x->offset) || x->offset > VMDK_SECTORS_MAX))
		return vd_fail(err, EINVAL, at + line->pos,
			       "extent's offset is not a number of sectors");
	if (!x->name.n && (x->kind == VMDK_FLAT || x->kind == VMDK_SPARSE ||
			   x->kind == VMDK_COWD || x->kind == VMDK_SESPARSE))
		return vd_fail(err, EINVAL, at + line->pos,
			       "extent line without a file name");
	return 0;
}

static int
add_extent(struct vmdk_desc *d, const struct vmdk_line *l, uint64_t at,
	   struct vd_err *err)
{
	struct vmdk_extline x;
	int ret = vmdk_extline_parse(l, at, &x, err);

	if (ret)
		return ret;
	if (++d->nextents > VMDK_EXTENTS_MAX)
		return vd_fail(err, EFBIG, at + l->pos,
			       "more than %u extents", VMDK_EXTENTS_MAX);
	d->sectors += x.sectors;
	if (d->sectors > VMDK_SECTORS_MAX)
		return vd_fail(err, EFBIG, at + l->pos,
			       "the extents add up to more than any disk");
	return 0;
}

/* An identity told twice, differently, is no identity. */
static int
set_cid(const struct vmdk_line *l, uint64_t at, bool *have, uint32_t *cid,
	struct vd_err *err)
{
	uint32_t v;

	if (!vmdk_take_hex32(l->value, &v))
		return vd_fail(err, EINVAL, at + l->pos,
			       "%.*s is not up to 8 hexadecimal digits",
			       (int)(l->key.n < 16 ? l->key.n : 16), l->key.p);
	if (*have && v != *cid)
		return vd_fail(err, EINVAL, at + l->pos,
			       "%.*s is given twice, differently",
			       (int)(l->key.n < 16 ? l->key.n : 16), l->key.p);
	*have = true;
	*cid = v;
	return 0;
}

static bool
nil_uuid(struct vmdk_str s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (s.p[i] != '0' && s.p[i] != '-')
			return false;
	return true;
}

static int
add_key(struct vmdk_desc *d, const struct vmdk_line *l, uint64_t at,
	struct vd_err *err)
{
	const struct {
		const char *key;
		struct vmdk_str *where;
	} plain[] = {
		{ "parentFileNameHint", &d->parent_hint },
		{ "changeTrackPath", &d->change_track },
		{ "ddb.longContentID", &d->long_content_id },
		{ "ddb.uuid", &d->uuid },
		{ "ddb.uuid.image", &d->uuid_image },
		{ "ddb.uuid.modification", &d->uuid_modified },
		{ "ddb.uuid.parent", &d->uuid_parent },
		{ "ddb.uuid.parentmodification", &d->uuid_parent_modified },
		{ "ddb.vdisk.parentFormat", &d->parent_format },
		{ "ddb.adapterType", &d->adapter },
		{ "ddb.virtualHWVersion", &d->hw_version },
		{ "ddb.geometry.cylinders", &d->cylinders },
		{ "ddb.geometry.heads", &d->heads },
		{ "ddb.geometry.sectors", &d->spt },
		{ "ddb.comment", &d->comment },
	};
	uint64_t n;
	size_t i;

	for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (vmdk_str_is(l->key, plain[i].key)) {
			*plain[i].where = l->value;
			return 0;
		}
	if (vmdk_str_is(l->key, VMDK_PARENT_SECTORS))
		return vmdk_take_decimal(l->value, &d->parent_sectors) &&
		       d->parent_sectors <= VMDK_SECTORS_MAX ? 0 :
		       vd_fail(err, EINVAL, at + l->pos, "the parent's size "
			       "is not a number of sectors");
	if (vmdk_str_is(l->key, VMDK_RESIZING))
		d->resizing = true;
	if (vmdk_str_is(l->key, "CID"))
		return set_cid(l, at, &d->has_cid, &d->cid, err);
	if (vmdk_str_is(l->key, "parentCID"))
		return set_cid(l, at, &d->has_parent_cid, &d->parent_cid, err);
	if (vmdk_str_is(l->key, "createType")) {
		if (d->create_type.n && (d->create_type.n != l->value.n ||
		    memcmp(d->create_type.p, l->value.p, l->value.n)))
			return vd_fail(err, EINVAL, at + l->pos,
				       "createType is given twice, "
				       "differently");
		d->create_type = l->value;
	} else if (vmdk_str_is(l->key, "version")) {
		struct vmdk_str v = l->value;

		/* "1 " and "1;" have been seen: the digits count. */
		for (v.n = 0; v.n < l->value.n && v.p[v.n] >= '0' &&
		     v.p[v.n] <= '9'; v.n++)
			;
		d->version = vmdk_take_decimal(v, &n) && n < 1000 ?
			     (unsigned)n : 1000;
	} else if (vmdk_str_is(l->key, "isNativeSnapshot")) {
		d->native_snapshot = vmdk_str_is(l->value, "yes");
	} else if (vmdk_str_begins(l->key, "encryption") ||
		   vmdk_str_is(l->key, "keyID")) {
		d->encrypted = true;
	}
	return 0;
}

int
vmdk_desc_parse(const char *text, size_t len, uint64_t at,
		struct vmdk_desc *d, struct vd_err *err)
{
	struct vmdk_cursor c = { text, len, 0 };
	struct vmdk_line l;
	int ret = 0;

	*d = (struct vmdk_desc){ 0 };
	while (!ret && vmdk_line_next(&c, &l)) {
		if (l.text.n > VMDK_LINE_MAX)
			return vd_fail(err, EFBIG, at + l.pos, "descriptor "
				       "line is longer than %u bytes",
				       VMDK_LINE_MAX);
		if (l.kind == VMDK_LINE_EXTENT)
			ret = add_extent(d, &l, at, err);
		else if (l.kind == VMDK_LINE_KEY)
			ret = add_key(d, &l, at, err);
		else if (l.kind == VMDK_LINE_UNKNOWN)
			d->unknown++;
	}
	d->vbox_child = !nil_uuid(d->uuid_parent);
	return ret;
}

static const struct vmdk_type types[] = {
	{ "monolithicSparse", NULL, VMDK_SPARSE, false },
	{ "monolithicFlat", NULL, VMDK_FLAT, false },
	{ "twoGbMaxExtentSparse", "2GbMaxExtentSparse", VMDK_SPARSE, false },
	{ "twoGbMaxExtentFlat", "2GbMaxExtentFlat", VMDK_FLAT, false },
	{ "vmfs", NULL, VMDK_FLAT, false },
	{ "vmfsPreallocated", NULL, VMDK_FLAT, false },
	{ "vmfsEagerZeroedThick", NULL, VMDK_FLAT, false },
	{ "vmfsThick", NULL, VMDK_FLAT, false },
	{ "vmfsThin", NULL, VMDK_FLAT, false },
	{ "streamOptimized", NULL, VMDK_SPARSE, false },
	{ "vmfsSparse", NULL, VMDK_COWD, false },
	{ "seSparse", "vmfsSeSparse", VMDK_SESPARSE, false },
	{ "custom", NULL, VMDK_ANY, false },
	{ "fullDevice", NULL, VMDK_ANY, true },
	{ "partitionedDevice", NULL, VMDK_ANY, true },
	{ "vmfsRDM", "vmfsRawDeviceMap", VMDK_ANY, true },
	{ "vmfsRDMP", "vmfsPassthroughRawDeviceMap", VMDK_ANY, true },
	{ "vmfsRaw", NULL, VMDK_ANY, true },
};

const struct vmdk_type *
vmdk_type_find(struct vmdk_str s)
{
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (vmdk_str_is(s, types[i].name) ||
		    (types[i].alias && vmdk_str_is(s, types[i].alias)))
			return &types[i];
	return NULL;
}

bool
vmdk_extline_device(const struct vmdk_desc *d, const struct vmdk_extline *l)
{
	const struct vmdk_type *t = vmdk_type_find(d->create_type);

	return l->kind == VMDK_DEVICE ||
	       (l->kind == VMDK_FLAT && t && t->device);
}

const char *
vmdk_variant(const struct vmdk_header *h, const struct vmdk_desc *d)
{
	const struct vmdk_type *t = vmdk_type_find(d->create_type);

	if (h && vmdk_header_is_stream(h))
		return "streamOptimized";
	if (h && !d->nextents && !d->create_type.n)
		return "sparse extent";	/* -s001.vmdk: no descriptor in it */
	if (h && (!t || t->kind != VMDK_SPARSE))
		return "monolithicSparse";
	return t ? t->name : "unknown";
}

bool
vmdk_desc_is_child(const struct vmdk_desc *d)
{
	return (d->has_parent_cid && d->parent_cid != VMDK_NO_PARENT) ||
	       d->parent_hint.n || d->vbox_child;
}

/* What has no holes cannot have a parent below them. */
static int
supported_parent(const struct vmdk_desc *d, bool embedded, uint64_t at,
		 struct vd_err *err)
{
	const struct vmdk_type *t = vmdk_type_find(d->create_type);

	if (embedded || !vmdk_desc_is_child(d) ||
	    (t->kind != VMDK_FLAT && t->kind != VMDK_ANY))
		return 0;
	return vd_fail(err, ENOTSUP, at, "is a child of \"%.*s\", and of type "
		       "%s: not supported", d->parent_hint.n < 200
		       ? (int)d->parent_hint.n : 200, d->parent_hint.n
		       ? d->parent_hint.p : "", t->name);
}

static int
supported_type(const struct vmdk_desc *d, bool embedded, uint64_t at,
	       struct vd_err *err)
{
	const struct vmdk_type *t = vmdk_type_find(d->create_type);
	struct vmdk_str s = d->create_type;

	if (embedded) {		/* its header decides, if it says nothing odd */
		if (t && (t->device || (t->kind != VMDK_SPARSE &&
					t->kind != VMDK_ANY)))
			return vd_fail(err, EINVAL, at, "a sparse file whose "
				       "descriptor calls it %s", t->name);
	} else if (!s.n) {
		return vd_fail(err, EINVAL, at,
			       "descriptor without a createType");
	} else if (!t) {
		return vd_fail(err, ENOTSUP, at, "createType \"%.*s\" is not "
			       "known", s.n < 64 ? (int)s.n : 64, s.p);
	}
	return 0;
}

int
vmdk_desc_supported(const struct vmdk_desc *d, bool embedded, uint64_t at,
		    struct vd_err *err)
{
	int ret;

	if (d->encrypted)
		return vd_fail(err, ENOTSUP, at, "encrypted images are not "
			       "supported");
	if (d->version > 3)
		return vd_fail(err, ENOTSUP, at, "descriptor version %u is "
			       "not known", d->version);
	if (d->native_snapshot)
		return vd_fail(err, ENOTSUP, at, "a snapshot kept by the "
			       "storage array (isNativeSnapshot) is not "
			       "supported");
	ret = supported_type(d, embedded, at, err);
	if (!ret)
		ret = supported_parent(d, embedded, at, err);
	if (ret)
		return ret;
	if (!d->nextents)
		return embedded
			? vd_fail(err, ENOTSUP, at, "this is one extent of a "
				  "disk and holds no descriptor: open the "
				  "disk's descriptor file instead")
			: vd_fail(err, EINVAL, at,
				  "descriptor without extents");
	if (embedded && d->nextents > 1)
		return vd_fail(err, ENOTSUP, at, "a sparse file whose "
			       "descriptor lists %u extents is not supported",
			       d->nextents);
	return 0;
}
