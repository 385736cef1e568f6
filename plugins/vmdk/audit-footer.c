/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-footer.c - the grain directory of a compressed extent: where is it, and
 * may its tables be changed?
 *
 * In front, or named by a footer at the end.  Without one, or with one that is
 * of another disk, it is made from the markers.  Tables that lie on something
 * else are told and left: they may be read as they are.
 */
#include "audit-stream.h"

/* Marker and header once more, and is it of this disk? */
static bool
is_footer(struct stream *s, const uint8_t *b)
{
	struct vmdk_part *p = s->p;
	const uint8_t *h = b + VMDK_SECTOR;

	if (vmdk_le32(b + 8) || vmdk_le32(b + 12) != STREAM_FOOTER ||
	    memcmp(h, "KDMV", 4) || vmdk_le64(h + 56) == UINT64_MAX)
		return false;
	s->footer = vmdk_le64(h + 12) == p->capacity &&
		    vmdk_le64(h + 20) == p->grain &&
		    vmdk_le32(h + 44) == p->gtes;
	s->other = !s->footer;
	if (s->footer)
		s->gd_at = vmdk_le64(h + 56);
	return true;
}

/*
 * The last three sectors: a footer and the end; or two, the end cut off, if the
 * header names no directory.
 */
static int
find_footer(struct stream *s, struct vd_err *err)
{
	uint64_t at = stream_size(s) / VMDK_SECTOR;
	uint8_t b[3 * VMDK_SECTOR];
	const uint8_t *end = b + 2 * VMDK_SECTOR;
	int ret;

	if (at < 4)
		return 0;
	at = (at - 3) * VMDK_SECTOR;
	ret = vd_file_read(s->p->f, b, sizeof(b), at, err);
	if (!ret && !vmdk_le64(end) && !vmdk_le64(end + 8))
		is_footer(s, b);
	else if (!ret && s->p->gd_at == UINT64_MAX)
		s->endless = is_footer(s, b + VMDK_SECTOR);
	return ret;
}

/* No directory: it is made from the markers, if they may be believed. */
static int
no_directory(struct stream *s, const char *code, uint64_t off, const char *why,
	     struct vd_err *err)
{
	struct vmdk_part *p = s->p;
	bool markers = p->flags & VMDK_F_MARKERS;

	s->gd_at = 0;
	s->rebuild = vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, code, off, markers
		? "would make a directory from the markers; if the file was "
		"cut short, what came behind is lost and would read as zeros"
		: NULL), "%s", why);
	if (!markers)
		return 0;
	s->made = calloc(p->ntables + 1, sizeof(*s->made));
	return s->made ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
}

static bool
meets(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return a < b + blen && b < a + alen;
}

/* A change of one of its entries would destroy something else. */
static bool
on_other(const struct stream *s, uint32_t at)
{
	const struct vmdk_part *p = s->p;
	/* Whatever its length is said to be, it ends where others begin. */
	bool known = p->text_len && p->text_at == p->desc_at;

	return (!known && meets(at, p->gt_len, p->desc_at, p->desc_len)) ||
	       meets(at, p->gt_len, p->text_at, p->text_len) ||
	       meets(at, p->gt_len, s->gd_at, p->dir_len);
}

/* It may be read as it is, and the markers need not know what it knows. */
static int
not_apart(struct stream *s, uint64_t t)
{
	vd_flaw(s->p->a, VMDK_FLAW(s->p, VD_DAMAGE, "vmdk-tables-overlap",
		s->gd_at * VMDK_SECTOR + 4 * t, NULL), "grain table %" PRIu64
		" at sector %u lies on other metadata", t, s->gd[t]);
	free(s->gd);
	s->gd = NULL;
	return 0;
}

static int
by_place(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* In places: the first table that ends behind off. */
static uint64_t
table_behind(const struct stream *s, uint64_t off)
{
	uint64_t table = s->p->gt_len * VMDK_SECTOR;
	uint64_t lo = 0, hi = s->places ? s->p->ntables : 0;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;

		if ((uint64_t)s->places[mid] * VMDK_SECTOR + table <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint64_t
stream_next_table(const struct stream *s, uint64_t off)
{
	uint64_t i = table_behind(s, off), at;

	if (!s->places || i == s->p->ntables)
		return UINT64_MAX;
	at = (uint64_t)s->places[i] * VMDK_SECTOR;
	return at > off ? at : off;
}

bool
stream_is_shared(const struct stream *s, uint64_t t)
{
	uint64_t i = table_behind(s, (uint64_t)s->gd[t] * VMDK_SECTOR);

	return i + 1 < s->p->ntables && s->places[i + 1] == s->gd[t];
}

bool
stream_in_use(const struct stream *s, uint64_t off)
{
	uint64_t sector = off / VMDK_SECTOR;

	return s->gd && (stream_next_table(s, off) < off + VMDK_SECTOR ||
			 (sector >= s->gd_at &&
			  sector - s->gd_at < s->p->dir_len));
}

uint64_t
stream_room(struct stream *s, uint64_t off)
{
	uint64_t next = stream_behind(s, off), table = stream_next_table(s, off);

	if (next > table)
		next = table;
	return next > off + STREAM_MARK ? next - off - STREAM_MARK : 0;
}

/* One that several entries of the directory share, or that lies on another. */
static int
find_shared(struct stream *s, uint64_t *clash, struct vd_err *err)
{
	const uint32_t *at = s->places;
	uint32_t e[VMDK_GTES_MAX], empty = 0;
	int ret = 0;

	for (uint64_t i = 1; i < s->p->ntables && !*clash && !ret; i++) {
		if (!at[i - 1] || at[i] - at[i - 1] >= s->p->gt_len ||
		    at[i] == empty)
			continue;
		ret = vmdk_part_read32(s->p, at[i], e, s->p->gtes, err);
		for (uint32_t k = 0; k < s->p->gtes && !ret && !*clash; k++)
			if (e[k] || at[i] != at[i - 1])
				*clash = (uint64_t)at[i] * VMDK_SECTOR;
		empty = at[i];
	}
	return ret;
}

static int
on_table(struct stream *s, uint64_t grain, uint32_t e, uint64_t at,
	 struct vd_err *err)
{
	uint64_t off = (uint64_t)e * VMDK_SECTOR, took = 0;
	struct marker m;
	int ret = stream_marker(s, off, &m, err);

	(void)at;
	if (!(s->p->flags & VMDK_F_MARKERS))
		stream_inflate_bare(s, off, grain, &took);
	else if (!ret && stream_plausible(s, off, &m) &&
		 m.val == grain * s->p->grain)
		took = STREAM_MARK + (uint64_t)m.size;
	if (stream_next_table(s, off) < off + took)
		s->clash = off;
	return ret;
}

/*
 * A table on a grain: each change of the one would destroy the other.  By the
 * markers alone, which step over the tables that are where they belong; then
 * the grains that these do not come by.
 */
static int
find_clash(struct stream *s, uint64_t *clash, struct vd_err *err)
{
	uint64_t off = s->data, n = s->p->ntables, len;
	struct marker m;
	int ret;

	*clash = 0;
	s->places = malloc(n * 4 + 1);
	if (!s->places)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	memcpy(s->places, s->gd, n * 4);
	qsort(s->places, n, 4, by_place);
	ret = find_shared(s, clash, err);
	if (!(s->p->flags & VMDK_F_MARKERS))
		off = UINT64_MAX - STREAM_MARK;
	while (!ret && !*clash && off + STREAM_MARK < stream_size(s)) {
		ret = stream_marker(s, off, &m, err);
		if (!m.size && !m.val && m.type == STREAM_EOS)
			break;
		if (!m.size && m.type >= STREAM_GT &&
		    m.type <= STREAM_PROGRESS &&
		    m.val < (stream_size(s) - off) / VMDK_SECTOR) {
			off += (1 + m.val) * VMDK_SECTOR;
			continue;
		}
		if (!stream_plausible(s, off, &m)) {
			off += VMDK_SECTOR;
			continue;
		}
		len = STREAM_MARK + (uint64_t)m.size;
		if (stream_next_table(s, off) < off + len)
			*clash = off;
		off += (len + VMDK_SECTOR - 1) / VMDK_SECTOR * VMDK_SECTOR;
	}
	if (!ret && !*clash) {
		ret = stream_each(s, on_table, err);
		*clash = s->clash;
	}
	return ret;
}

static int
on_grains_or_each_other(struct stream *s, struct vd_err *err)
{
	uint64_t clash = 0;
	int ret = find_clash(s, &clash, err);

	if (ret || !clash)
		return ret;
	vd_flaw(s->p->a, VMDK_FLAW(s->p, VD_DAMAGE, "vmdk-tables-overlap",
		clash, NULL), "a grain table lies on another one, or on a "
		"grain");
	free(s->gd);
	s->gd = NULL;
	return 0;
}

#define DOUBTFUL	64u	/* grains that read neither with a marker nor without */

/* Found out at the first grain that can be read: the flag stays set, or not. */
static int
has_marker(struct stream *s, uint64_t grain, uint32_t e, uint64_t at,
	   struct vd_err *err)
{
	uint64_t off = (uint64_t)e * VMDK_SECTOR, took;

	(void)at, (void)err;
	if (!stream_inflate_bare(s, off, grain, &took))
		return 1;
	s->p->flags |= VMDK_F_MARKERS;
	if (stream_early_grain(s, off, grain))
		return 1;
	s->p->flags &= ~VMDK_F_MARKERS;
	return ++s->doubtful == DOUBTFUL;
}

/* Without its flag no grain can be read, and each would be given up. */
static int
find_markers(struct stream *s, struct vd_err *err)
{
	struct vmdk_part *p = s->p;
	int ret = stream_each(s, has_marker, err);

	if (ret < 0 || !(p->flags & VMDK_F_MARKERS))
		return ret < 0 ? ret : 0;
	if (vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-flags", 8, "would say "
	    "that they have"), "the header says that grains have no markers, "
	    "and they have")) {
		vmdk_part_set32(p, 8, p->flags);
		return vmdk_part_put(p, err);
	}
	if (p->a->mend) {
		free(s->gd);
		s->gd = NULL;
	}
	return 0;
}

static int
load_directory(struct stream *s, struct vd_err *err)
{
	struct vmdk_part *p = s->p;
	uint64_t where = s->footer ? VD_NOWHERE : 56, bad = 0;
	uint64_t most = vmdk_part_sectors(p);
	int ret;

	if (!vmdk_directory_inside(p, s->gd_at))
		return no_directory(s, "vmdk-directory", where, "the grain "
				    "directory is outside the file", err);
	s->gd = calloc(p->ntables, 4);
	if (!s->gd)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = vmdk_part_read32(p, s->gd_at, s->gd, p->ntables, err);
	for (uint64_t t = 0; t < p->ntables && !ret; t++) {
		if (s->gd[t] && on_other(s, s->gd[t]))
			return not_apart(s, t);
		if (s->gd[t] && !bad && !vmdk_within(most, s->gd[t], p->gt_len))
			bad = t + 1;
	}
	if (!ret && !bad && !(p->flags & VMDK_F_MARKERS))
		ret = find_markers(s, err);
	if (ret || !bad)
		return ret || !s->gd ? ret : on_grains_or_each_other(s, err);
	ret = no_directory(s, "vmdk-table-outside", s->gd_at * VMDK_SECTOR +
			   4 * (bad - 1), "the grain directory leads to "
			   "tables that are outside the file", err);
	free(s->gd);
	s->gd = NULL;
	return ret;
}

int
stream_locate(struct stream *s, struct vd_err *err)
{
	struct vmdk_part *p = s->p;
	int ret = find_footer(s, err);

	if (ret)
		return ret;
	if (s->other)
		return no_directory(s, "vmdk-footer", stream_size(s) /
				    VMDK_SECTOR * VMDK_SECTOR - 2 * VMDK_SECTOR,
				    "header and footer speak of different "
				    "disks", err);
	if (!s->footer && p->gd_at == UINT64_MAX)
		return no_directory(s, "vmdk-footer-missing", stream_size(s),
				    "neither a footer nor a grain directory: "
				    "read by its markers here, refused "
				    "elsewhere", err);
	if (!s->footer)
		s->gd_at = p->gd_at;
	return load_directory(s, err);
}

/* ---------------------------------------------------------- room for a text */

static void
ends_before(struct vmdk_part *p, uint64_t other, uint64_t n, uint64_t *len)
{
	if (other + n > p->text_at && other < p->text_at + *len)
		*len = other > p->text_at ? other - p->text_at : 0;
}

/* One that begins before the text may go through it. */
static int
before_grain(struct stream *s, uint64_t grain, uint32_t e, uint64_t at,
	     struct vd_err *err)
{
	(void)grain, (void)at, (void)err;
	ends_before(s->p, e, e < s->p->text_at ? UINT32_MAX : 1, &s->room);
	return 0;
}

int
vmdk_stream_room(struct vmdk_part *p, uint64_t *len, struct vd_err *err)
{
	struct stream s = { .p = p, .room = *len };
	uint64_t most = vmdk_part_sectors(p);
	int ret = find_footer(&s, err);

	if (!s.footer)
		s.gd_at = p->gd_at;
	if (ret || !vmdk_directory_inside(p, s.gd_at))
		return ret;
	ends_before(p, s.gd_at, p->dir_len, &s.room);
	s.gd = calloc(p->ntables, 4);
	s.e = calloc(p->gtes, 4);
	if (!s.gd || !s.e)
		ret = vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	else
		ret = vmdk_part_read32(p, s.gd_at, s.gd, p->ntables, err);
	for (uint64_t t = 0; t < p->ntables && !ret; t++) {
		if (!vmdk_within(most, s.gd[t], p->gt_len))
			s.gd[t] = 0;
		else
			ends_before(p, s.gd[t], p->gt_len, &s.room);
	}
	if (!ret)
		ret = stream_each(&s, before_grain, err);
	*len = s.room;
	free(s.gd);
	free(s.e);
	return ret;
}
