/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * check.c - look at everything that a disk's files say about one another.
 *
 * Reads only, and reads the tables itself: it shares nothing with what writes
 * them.  What VMware, QEMU or VirtualBox leave behind when all went well is no
 * finding; what an interrupted writer leaves is a note or a leak; what costs
 * data, or makes another program refuse the image or spoil it, is damage.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

#define GRAINS_MAX	(64u << 20)	/* pointers kept for comparison */
#define BAD_MAX		4096u

struct audit {			/* of one extent */
	struct vd_report *r;
	struct vmdk    *v;
	struct vmdk_extent *x;
	uint64_t	sectors;	/* of the file */
	uint32_t       *used;		/* sectors of grains */
	size_t		n, room;
	uint32_t	bad[BAD_MAX];	/* sectors claimed more than once */
	unsigned	nbad;
	bool		no_memory;
};

__attribute__((format(printf, 6, 7))) static void
find(struct vd_report *r, enum vd_severity how, const char *code,
     const char *file, uint64_t off, const char *fmt, ...)
{
	struct vd_finding f = { .size = sizeof(f), .severity = how,
				.code = code, .file = file, .off = off };
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	f.text = text;
	r->finding(r, &f);
}

/* What open() would say is what we say. */
static void
find_err(struct vd_report *r, const char *code, const char *file,
	 const struct vd_err *e)
{
	find(r, VD_DAMAGE, code, e->file[0] ? e->file : file, e->off, "%s",
	     e->msg);
}

/* ---------------------------------------------------------------- tables */

static int
read_entries(struct audit *a, uint64_t sector, uint32_t *e, uint32_t n,
	     struct vd_err *err)
{
	int ret = vd_file_read(a->x->file, e, (size_t)n * 4,
			       sector * VMDK_SECTOR, err);

	for (uint32_t i = 0; i < n; i++)
		e[i] = le32toh(e[i]);
	return ret;
}

static bool
table_inside(const struct audit *a, uint32_t sector)
{
	return sector && sector <= a->sectors &&
	       vmdk_gt_sectors(&a->x->h) <= a->sectors - sector;
}

/* A directory with what is outside the file taken out; NULL: no memory. */
static uint32_t *
load_directory(struct audit *a, uint64_t at, struct vd_err *err)
{
	const char *file = vd_file_name(a->x->file);
	uint32_t *d = calloc(a->x->ntables, sizeof(*d));

	if (!d || read_entries(a, at, d, a->x->ntables, err)) {
		vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
		free(d);
		return NULL;
	}
	for (uint32_t i = 0; i < a->x->ntables; i++) {
		if (!d[i] || table_inside(a, d[i]))
			continue;
		find(a->r, VD_DAMAGE, "vmdk-table-outside", file,
		     at * VMDK_SECTOR + 4ull * i, "grain table %u at sector "
		     "%u is outside the file", i, d[i]);
		d[i] = 0;
	}
	return d;
}

/* A table that its writer was making when it died: all zeros. */
static bool
unborn(struct audit *a, uint32_t sector)
{
	uint32_t e[VMDK_COWD_GTES];

	if (!a->x->h.unclean || read_entries(a, sector, e, a->x->h.gtes, NULL))
		return false;
	for (uint32_t k = 0; k < a->x->h.gtes; k++)
		if (e[k])
			return false;
	return true;
}

static void
check_presence(struct audit *a, const uint32_t *gd, const uint32_t *rgd)
{
	const struct vmdk_extent *x = a->x;

	for (uint32_t i = 0; i < x->ntables; i++) {
		uint64_t which = gd[i] ? x->h.rgd_sector : x->h.gd_sector;

		if (!gd[i] != !rgd[i])
			find(a->r, unborn(a, gd[i] ? gd[i] : rgd[i])
			     ? VD_NOTE : VD_DAMAGE, "vmdk-table-single", vd_file_name(x->file),
			     which * VMDK_SECTOR + 4ull * i, "grain table %u "
			     "exists in one of the two grain directories "
			     "only", i);
		else if (gd[i] && gd[i] == rgd[i])
			find(a->r, VD_DAMAGE, "vmdk-table-shared",
			     vd_file_name(x->file), which * VMDK_SECTOR +
			     4ull * i, "both directories have the same grain "
			     "table %u: its copy is none", i);
	}
}

struct piece {
	uint64_t	at, len;
	const char     *what;
};

static int
piece_cmp(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/* No table may lie on another, on a directory, or on the descriptor. */
static void
check_overlap(struct audit *a, const uint32_t *gd, const uint32_t *rgd)
{
	const struct vmdk_extent *x = a->x;
	uint64_t dir = ((uint64_t)x->ntables * 4 + 511) / VMDK_SECTOR;
	uint64_t gt = vmdk_gt_sectors(&x->h);
	struct piece *p = calloc((size_t)x->ntables * 2 + 4, sizeof(*p));
	size_t n = 0;

	if (!p) {
		a->no_memory = true;
		return;
	}
	p[n++] = (struct piece){ 0, x->kind == VMDK_COWD ? 4 : 1, "header" };
	p[n++] = (struct piece){ x->h.gd_sector, dir, "grain directory" };
	if (x->h.desc_sector)
		p[n++] = (struct piece){ x->h.desc_sector, x->h.desc_sectors,
					 "descriptor" };
	if (rgd)
		p[n++] = (struct piece){ x->h.rgd_sector, dir,
					 "redundant grain directory" };
	for (uint32_t i = 0; i < x->ntables; i++) {
		if (gd[i])
			p[n++] = (struct piece){ gd[i], gt, "grain table" };
		if (rgd && rgd[i] && rgd[i] != gd[i])
			p[n++] = (struct piece){ rgd[i], gt,
						 "redundant grain table" };
	}
	qsort(p, n, sizeof(*p), piece_cmp);
	for (size_t i = 1; i < n; i++)
		if (p[i - 1].at + p[i - 1].len > p[i].at)
			find(a->r, VD_DAMAGE, "vmdk-tables-overlap",
			     vd_file_name(x->file), p[i].at * VMDK_SECTOR,
			     "a %s lies on a %s", p[i].what, p[i - 1].what);
	free(p);
}

/* ---------------------------------------------------------------- grains */

static void
keep(struct audit *a, uint32_t sector)
{
	if (a->n == a->room) {
		size_t room = a->room ? a->room * 2 : 4096;
		uint32_t *more = room <= GRAINS_MAX
			? realloc(a->used, room * sizeof(*more)) : NULL;

		if (!more) {
			a->no_memory = true;
			return;
		}
		a->used = more;
		a->room = room;
	}
	a->used[a->n++] = sector;
}

static bool
hits(uint64_t at, uint64_t len, uint64_t start, uint64_t n)
{
	return at < start + n && at + len > start;
}

/* One entry that names a grain of `visible` bytes. */
static void
check_pointer(struct audit *a, uint64_t place, uint64_t grain, uint32_t e,
	      uint64_t visible)
{
	const struct vmdk_extent *x = a->x;
	const char *file = vd_file_name(x->file);
	uint64_t end = e + (visible + 511) / VMDK_SECTOR;
	uint64_t most = (vd_file_size(x->file) + 511) / VMDK_SECTOR;

	if (e == 1 && x->kind != VMDK_COWD) {
		if (!(x->h.flags & VMDK_F_ZERO_GRAIN))
			find(a->r, VD_NOTE, "vmdk-zero-unannounced", file,
			     place, "grain %" PRIu64 " is marked as zeros, "
			     "but the header does not say that such marks "
			     "exist: other programs read the descriptor "
			     "there", grain);
		return;
	}
	if (e < x->h.overhead || hits(e, x->h.grain_sectors, x->h.gd_sector,
				      ((uint64_t)x->ntables * 4 + 511) / 512))
		find(a->r, VD_DAMAGE, "vmdk-grain-in-tables", file, place,
		     "grain %" PRIu64 " at sector %u lies on the image's own "
		     "tables", grain, e);
	else if (end > most)
		find(a->r, VD_DAMAGE, "vmdk-grain-outside", file, place,
		     "grain %" PRIu64 " at sector %u lies past the end of "
		     "the file", grain, e);
	else
		keep(a, e);
}

static uint64_t
visible_bytes(const struct vmdk_extent *x, uint64_t grain)
{
	uint64_t off = grain * x->grain;

	if (off >= x->len)
		return 0;
	return x->len - off < x->grain ? x->len - off : x->grain;
}

static bool
is_bad(const struct audit *a, uint32_t sector)
{
	for (unsigned i = 0; i < a->nbad; i++)
		if (a->bad[i] == sector)
			return true;
	return false;
}

enum pass { POINTERS, TWICE };

static void
check_entry(struct audit *a, enum pass pass, uint32_t table, uint64_t grain,
	    uint32_t e)
{
	const struct vmdk_extent *x = a->x;
	uint64_t place = (uint64_t)table * VMDK_SECTOR +
			 grain % x->h.gtes * 4;
	uint64_t visible = visible_bytes(x, grain);

	if (!e || !visible)
		return;
	if (pass == POINTERS)
		check_pointer(a, place, grain, e, visible);
	else if (is_bad(a, e))
		find(a->r, VD_DAMAGE, "vmdk-grain-twice",
		     vd_file_name(x->file), place, "grain %" PRIu64 " at "
		     "sector %u shares its room with another grain", grain, e);
}

static void
check_copies(struct audit *a, uint32_t i, const uint32_t *gd,
	     const uint32_t *rgd, const uint32_t *e, uint32_t *copy,
	     struct vd_err *err)
{
	const struct vmdk_extent *x = a->x;

	if (!rgd || !rgd[i] || rgd[i] == gd[i] ||
	    read_entries(a, rgd[i], copy, x->h.gtes, err))
		return;
	for (uint32_t k = 0; k < x->h.gtes; k++) {
		if (e[k] == copy[k])
			continue;
		find(a->r, x->h.unclean && (!e[k] || !copy[k]) ? VD_NOTE
		     : VD_DAMAGE, "vmdk-copies-differ", vd_file_name(x->file),
		     (uint64_t)rgd[i] * VMDK_SECTOR + 4ull * k, "grain %"
		     PRIu64 " is at sector %u, in the redundant table at %u",
		     (uint64_t)i * x->h.gtes + k, e[k], copy[k]);
	}
}

static int
each_table(struct audit *a, enum pass pass, const uint32_t *gd,
	   const uint32_t *rgd, struct vd_err *err)
{
	uint32_t n = a->x->h.gtes;
	uint32_t *e = calloc(2 * (size_t)n, sizeof(*e));
	int ret = e ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	for (uint32_t i = 0; i < a->x->ntables && !ret; i++) {
		if (!gd[i])
			continue;
		ret = read_entries(a, gd[i], e, n, err);
		for (uint32_t k = 0; k < n && !ret; k++)
			check_entry(a, pass, gd[i], (uint64_t)i * n + k, e[k]);
		if (!ret && pass == POINTERS)
			check_copies(a, i, gd, rgd, e, e + n, err);
	}
	free(e);
	return ret;
}

static int
number_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Which rooms are used twice, and how much is used by nobody? */
static void
check_rooms(struct audit *a, const uint32_t *gd, const uint32_t *rgd)
{
	uint64_t g = a->x->h.grain_sectors, late = 0, room;
	uint32_t gt = vmdk_gt_sectors(&a->x->h);

	if (a->n)
		qsort(a->used, a->n, sizeof(*a->used), number_cmp);
	for (size_t i = 1; i < a->n; i++) {
		if (a->used[i] - a->used[i - 1] >= g)
			continue;
		for (int k = 0; k < 2; k++)
			if (a->nbad < BAD_MAX && !is_bad(a, a->used[i - k]))
				a->bad[a->nbad++] = a->used[i - k];
	}
	for (uint32_t i = 0; i < a->x->ntables; i++)
		late += gt * ((gd[i] >= a->x->h.overhead) +
			      (rgd && rgd[i] >= a->x->h.overhead));
	room = a->sectors > a->x->h.overhead + late
		? (a->sectors - a->x->h.overhead - late) / g : 0;
	/* Small change between tables and grains is nobody's loss. */
	if (room > a->n + (late ? 1 + late / g : 0) && !a->nbad)
		find(a->r, VD_LEAK, "vmdk-leak", vd_file_name(a->x->file),
		     VD_NOWHERE, "%" PRIu64 " grains of %" PRIu64 " bytes are "
		     "used by nobody", room - a->n, a->x->grain);
}

/* ---------------------------------------------------------------- extents */

static int
check_tables(struct audit *a, struct vd_err *err)
{
	struct vmdk_extent *x = a->x;
	uint32_t *gd = load_directory(a, x->h.gd_sector, err), *rgd = NULL;
	int ret = gd ? 0 : -EIO;

	if (!ret && (x->h.flags & VMDK_F_RGD)) {
		rgd = load_directory(a, x->h.rgd_sector, err);
		ret = rgd ? 0 : -EIO;
	}
	if (!ret && rgd)
		check_presence(a, gd, rgd);
	if (!ret)
		check_overlap(a, gd, rgd);
	if (!ret)
		ret = each_table(a, POINTERS, gd, rgd, err);
	if (!ret)
		check_rooms(a, gd, rgd);
	if (!ret && a->nbad)
		ret = each_table(a, TWICE, gd, rgd, err);
	if (!ret && a->no_memory)
		ret = vd_fail(err, ENOMEM, VD_NOWHERE, "no memory to compare "
			      "so many grains");
	free(gd);
	free(rgd);
	return ret;
}

/* Compressed: every grain is inflated.  The open image is a reader's. */
static int
check_stream(struct audit *a, struct vd_err *err)
{
	struct vmdk_extent *x = a->x;
	uint64_t grains = (x->len + x->grain - 1) / x->grain, sector;
	uint8_t *buf = malloc(x->grain);
	int ret = buf ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	if (!ret && x->h.gd_sector == VMDK_GD_AT_END)
		find(a->r, VD_DAMAGE, "vmdk-footer-missing",
		     vd_file_name(x->file), a->sectors * VMDK_SECTOR,
		     "neither a footer nor a grain directory: read by its "
		     "markers here, refused elsewhere");
	for (uint64_t g = 0; g < grains && !ret; g++) {
		struct vd_err e = { 0 };

		ret = vmdk_stream_entry(x, g, &sector, err);
		if (ret || sector <= 1)
			continue;
		if (vmdk_stream_read(x, buf, g * x->grain,
				     visible_bytes(x, g), &e))
			find_err(a->r, "vmdk-grain-packed",
				 vd_file_name(x->file), &e);
	}
	free(buf);
	return ret;
}

static int
check_sparse(struct audit *a, uint64_t sectors, struct vd_err *err)
{
	struct vmdk_extent *x = a->x;
	struct vd_err e = { 0 };
	bool read = !vmdk_sparse_open(a->v, x, sectors, &e);

	a->sectors = vd_file_size(x->file) / VMDK_SECTOR;
	/* A header that is whole, in front of tables that are not. */
	if (!read && (!x->ntables || x->stream || x->kind == VMDK_SESPARSE)) {
		find_err(a->r, x->stream ? "vmdk-stream" : "vmdk-header",
			 vd_file_name(x->file), &e);
		return 0;
	}
	if (x->h.unclean && !x->stream)
		find(a->r, VD_NOTE, "vmdk-unclean", vd_file_name(x->file),
		     x->unclean_at, "was not closed by its last writer, or is "
		     "open now");
	if (x->kind == VMDK_SESPARSE)
		return 0;
	return x->stream ? check_stream(a, err) : check_tables(a, err);
}

static int
check_extent(struct vmdk *v, struct vd_report *r, unsigned i,
	     const struct vmdk_extline *l, struct vd_err *err)
{
	struct vmdk_extent x = { .kind = l->kind, .access = VMDK_RDONLY,
				 .frozen = true, .name = l->name,
				 .len = l->sectors * VMDK_SECTOR,
				 .file = v->embedded ? v->file :
				 i < v->nextents ? v->extents[i].file : NULL };
	struct audit *a;
	char name[VD_NAME_MAX];
	struct vd_err e = { 0 };
	int ret = 0;

	vmdk_str_copy(l->name, name, sizeof(name));
	if (!x.file && vd_host_open(v->host, name, VD_OPEN_RDONLY, &x.file,
				    &e)) {
		find_err(r, "vmdk-extent-missing", name, &e);
		return 0;
	}
	if (l->kind == VMDK_FLAT) {
		uint64_t need = l->offset * VMDK_SECTOR + x.len;
		uint64_t size = vd_file_size(x.file);

		if (size < need)
			find(r, VD_DAMAGE, "vmdk-extent-short",
			     vd_file_name(x.file), size, "the file ends %"
			     PRIu64 " bytes before its extent does",
			     need - size);
		return 0;
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	a->r = r;
	a->v = v;
	a->x = &x;
	ret = check_sparse(a, l->sectors, err);
	vmdk_sparse_free(&x);
	free(a->used);
	free(a);
	return ret;
}

/* ------------------------------------------------------------- descriptor */

static void
check_parent(struct vmdk *v, struct vd_report *r)
{
	const struct vmdk_desc *d = &v->desc;

	if (vmdk_desc_is_child(d) && !d->vbox_child &&
	    (!d->parent_hint.n || !d->has_parent_cid ||
	     d->parent_cid == VMDK_NO_PARENT))
		find(r, VD_DAMAGE, "vmdk-parent-unnamed",
		     vd_file_name(v->file), v->text_off, "has a parent, but "
		     "says only half of who that is");
}

/* Two extents in one place: what is written to one changes the other. */
static void
check_shared(struct vmdk *v, struct vd_report *r,
	     const struct vmdk_extline *l)
{
	struct vmdk_cursor c = { v->text, l->pos, 0 };
	uint64_t from = l->offset, to = l->offset + l->sectors;
	struct vmdk_extline o;
	struct vmdk_line line;

	while (vmdk_line_next(&c, &line)) {
		if (line.kind != VMDK_LINE_EXTENT ||
		    vmdk_extline_parse(&line, 0, &o, NULL) ||
		    !o.name.n || o.name.n != l->name.n ||
		    memcmp(o.name.p, l->name.p, o.name.n))
			continue;
		if (o.kind != VMDK_FLAT || l->kind != VMDK_FLAT ||
		    (from < o.offset + o.sectors && o.offset < to))
			find(r, VD_DAMAGE, "vmdk-extents-overlap",
			     vd_file_name(v->file), v->text_off + l->pos,
			     "two extents are in the same place");
	}
}

int
vmdk_check(void *img, struct vd_report *r, struct vd_err *err)
{
	struct vmdk *v = img;
	struct vmdk_cursor c = { v->text, v->text_len, 0 };
	struct vmdk_extline x;
	struct vmdk_line l;
	unsigned i = 0;
	int ret = 0;

	if (v->flaw.code == ENOTSUP) {		/* nothing is wrong with it */
		if (err && !err->code)
			*err = v->flaw;
		return -ENOTSUP;
	}
	if (v->flaw.code) {
		find_err(r, "vmdk-descriptor", vd_file_name(v->file),
			 &v->flaw);
		return 0;
	}
	check_parent(v, r);
	while (!ret && vmdk_line_next(&c, &l)) {
		if (l.kind != VMDK_LINE_EXTENT)
			continue;
		ret = vmdk_extline_parse(&l, v->text_off, &x, err);
		if (!ret)
			check_shared(v, r, &x);
		if (!ret && x.offset && vmdk_str_is(x.type, "VMFS"))
			find(r, VD_DAMAGE, "vmdk-extent-line",
			     vd_file_name(v->file), v->text_off + l.pos,
			     "a VMFS extent cannot have an offset");
		if (!ret && x.access != VMDK_NOACCESS &&
		    x.kind != VMDK_ZERO && x.kind != VMDK_DEVICE)
			ret = check_extent(v, r, i, &x, err);
		i++;
	}
	return ret;
}
