/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-stream.c - a compressed extent: what its tables say against what its
 * markers say, and every grain inflated.
 *
 * Each of the two can be made from the other.  First the tables: an entry must
 * lead to the marker of its grain; if only the marker is damaged, it is written
 * anew.  Then the markers, from one end to the other: each must be in the table.
 * Where there is no directory at all, it is made from them.
 */
#include "audit-stream.h"

#define END_PADDING	(64u << 10)	/* borne with behind the end marker */

/* ------------------------------------------------ from tables to markers */

static int
drop_entry(struct stream *s, uint64_t grain, uint64_t at, const char *code,
	   const char *why, uint32_t e, struct vd_err *err)
{
	struct vmdk_part *p = s->p;

	if (!vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, code, at, "would take it "
	    "out of the table: if no marker is found for it below, it reads as "
	    "zeros, and what it held is lost"), "grain %" PRIu64 " at sector %u "
	    "%s", grain, e, why))
		return 0;
	return stream_enter(s, grain, 0, err);
}

/* No zeros go there: it may be in the middle of another grain. */
static int
lost_marker(struct stream *s, uint64_t grain, uint32_t e, struct vd_err *err)
{
	struct vmdk_part *p = s->p;
	uint64_t off = (uint64_t)e * VMDK_SECTOR, took = 0;
	uint64_t room = stream_room(s, off);

	if (stream_inflate(s, off + STREAM_MARK, room, grain, &took) ||
	    stream_taken(s, off))
		return drop_entry(s, grain, off, "vmdk-grain-packed", "has "
				  "neither a marker nor data that can be read",
				  e, err);
	if (!vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-marker", off, "its "
	    "data is whole: would write the marker anew"), "the marker of "
	    "grain %" PRIu64 " is damaged", grain))
		return 0;
	s->named++;
	return stream_put_marker(s, off, &(struct marker){ grain * p->grain,
				 (uint32_t)took, 0 }, err);
}

/*
 * A whole grain that another entry should lead to: that one is e's, or leads
 * back to ours.  Else it is the marker that is wrong, and *done stays false.
 */
static int
wrong_entry(struct stream *s, uint64_t grain, uint32_t e, uint64_t owner,
	    uint64_t at, bool *done, struct vd_err *err)
{
	uint64_t where, off;
	uint32_t other;
	int ret = stream_entry(s, owner, &other, &where, err);

	if (ret)
		return ret;
	off = (uint64_t)other * VMDK_SECTOR;
	*done = other == e || (off >= s->data &&
			       stream_early_grain(s, off, grain));
	if (other == e)
		return drop_entry(s, grain, at, "vmdk-grain-marker",
				  "leads to the marker of another grain", e,
				  err);
	if (!*done || !vd_flaw(s->p->a, VMDK_FLAW(s->p, VD_DAMAGE,
	    "vmdk-grain-marker", at, "both are whole: would exchange the two "
	    "entries"), "grain %" PRIu64 " at sector %u is grain %" PRIu64
	    ", whose entry leads to this one", grain, e, owner))
		return 0;
	ret = stream_enter(s, owner, e, err);
	return ret ? ret : stream_enter(s, grain, other, err);
}

static int
check_entry(struct stream *s, uint64_t grain, uint32_t e, uint64_t at,
	    struct vd_err *err)
{
	struct vmdk_part *p = s->p;
	uint64_t off = (uint64_t)e * VMDK_SECTOR, took;
	bool done = false;
	struct marker m;
	const char *why;
	int ret;

	if (off < s->data && stream_early_grain(s, off, grain)) {
		s->low = off < s->low ? off : s->low;
		s->named++;
		return 0;
	}
	if (off < s->data || off + STREAM_MARK >= stream_size(s))
		return drop_entry(s, grain, at, "vmdk-grain-outside", off <
				  s->data ? "lies before the first grain"
				  : "lies past the end of the file", e, err);
	if (!(p->flags & VMDK_F_MARKERS)) {
		why = stream_inflate_bare(s, off, grain, &took);
		return why ? drop_entry(s, grain, at, "vmdk-grain-packed", why,
					e, err) : 0;
	}
	ret = stream_marker(s, off, &m, err);
	if (ret)
		return ret;
	if (stream_plausible(s, off, &m) && m.val == grain * p->grain) {
		s->named++;
		return 0;
	}
	if (stream_plausible(s, off, &m) &&
	    !stream_inflate(s, off + STREAM_MARK, m.size, m.val / p->grain,
			    &took)) {
		ret = wrong_entry(s, grain, e, m.val / p->grain, at, &done,
				  err);
		if (ret || done)
			return ret;
	}
	if (!m.size && m.type >= STREAM_GT && m.type <= STREAM_PROGRESS)
		return drop_entry(s, grain, at, "vmdk-grain-marker",
				  "leads to another marker", e, err);
	if (stream_in_use(s, off))
		return drop_entry(s, grain, at, "vmdk-grain-marker",
				  "leads to a grain table", e, err);
	return lost_marker(s, grain, e, err);
}

/* Is there the data that a marker announces? */
static int
check_data(struct stream *s, uint64_t grain, uint32_t e, uint64_t at,
	   struct vd_err *err)
{
	uint64_t off = (uint64_t)e * VMDK_SECTOR, took;
	struct marker m;
	const char *why;
	int ret = 0;

	if (off + STREAM_MARK < stream_size(s))
		ret = stream_marker(s, off, &m, err);
	else
		return 0;
	if (ret || !stream_plausible(s, off, &m) ||
	    m.val != grain * s->p->grain)
		return ret;
	why = stream_inflate(s, off + STREAM_MARK, m.size, grain, &took);
	return why ? drop_entry(s, grain, at, "vmdk-grain-packed", why, e, err)
		   : 0;
}

/* Grains before what the header calls the first. */
static int
check_low(struct stream *s, struct vd_err *err)
{
	struct vmdk_part *p = s->p;

	if (s->low >= s->data)
		return 0;
	if (p->overhead * VMDK_SECTOR > s->low &&
	    vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-overhead", 64,
	    "would set where the first one is"), "grains begin at sector %"
	    PRIu64 ", not at %" PRIu64, s->low / VMDK_SECTOR, s->data /
	    VMDK_SECTOR))
		vmdk_part_set64(p, 64, s->low / VMDK_SECTOR);
	s->data = s->low;
	return vmdk_part_put(p, err);
}

/* ------------------------------------------------ from markers to tables */

static int
cut_grain(struct stream *s, uint64_t off, uint64_t grain, struct vd_err *err)
{
	struct vmdk_part *p = s->p;
	uint64_t at;
	uint32_t e;
	int ret = stream_entry(s, grain, &e, &at, err);

	s->end = off;
	s->seen += e == off / VMDK_SECTOR;
	if (ret || !vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-grain-cut",
	    off, "would give it up, and cut off what is left of it: it reads "
	    "as zeros, and what it held is lost"), "the file ends inside grain "
	    "%" PRIu64, grain))
		return ret;
	if (e == off / VMDK_SECTOR)
		ret = stream_enter(s, grain, 0, err);
	if (!ret)
		ret = vd_file_sync(p->f, err);
	return ret ? ret : vd_file_truncate(p->f, off, err);
}

static int
enter_grain(struct stream *s, uint64_t off, const struct marker *m,
	    struct vd_err *err)
{
	struct vmdk_part *p = s->p;
	uint64_t grain = m->val / p->grain, at;
	uint32_t e;
	int ret = stream_entry(s, grain, &e, &at, err);
	/* A table that lies on it would change it, and one may be two. */
	bool room = off / VMDK_SECTOR <= UINT32_MAX && (s->made || (at &&
		    !stream_is_shared(s, grain / p->gtes))) &&
		    stream_next_table(s, off) >= off + STREAM_MARK + m->size;

	s->seen += e == off / VMDK_SECTOR;
	if (ret || e == off / VMDK_SECTOR)
		return ret;
	if (e > 1) {
		vd_flaw(p->a, VMDK_FLAW(p, VD_LEAK, "vmdk-grain-twice", off,
			NULL), "grain %" PRIu64 " is here once more; sector %u "
			"is read", grain, e);
		return 0;
	}
	if ((!s->made || !room) && !vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE,
	    "vmdk-grain-unlisted", off, room ? "would enter it" : NULL),
	    "grain %" PRIu64 " is in no grain table", grain)) {
		s->homeless = true;
		return 0;
	}
	return stream_enter(s, grain, (uint32_t)(off / VMDK_SECTOR), err);
}

/* Leave to write over what begins at off: it may be a table's, or a grain's. */
static const char *
cure_of(struct stream *s, uint64_t off, const char *cure)
{
	return s->p->a->mend && (stream_in_use(s, off) || stream_taken(s, off))
		? NULL : cure;
}

static int
set_length(struct stream *s, uint64_t off, struct marker *m, uint64_t took,
	   struct vd_err *err)
{
	struct vmdk_part *p = s->p;

	m->size = (uint32_t)took;
	if (!vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-marker", off + 8,
	    cure_of(s, off, "would set what the data itself says")), "the "
	    "length of compressed grain %" PRIu64 " is wrong", m->val /
	    p->grain))
		return 0;
	return stream_put_marker(s, off, m, err);
}

/* What was in it is lost; where zeros do not fit, it is to be skipped. */
static int
give_up(struct stream *s, uint64_t off, struct marker *m, const char *why,
	struct vd_err *err)
{
	struct vmdk_part *p = s->p;
	uint64_t grain = m->val / p->grain, at;
	size_t zeros = p->a->mend ? stream_zeros(s, grain, m->size) : 1;
	uint32_t e;
	int ret;

	if (!vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-grain-packed", off,
	    cure_of(s, off, zeros ? "what it held is lost: would put a grain "
	    "of zeros there" : "what it held is lost: would mark it as to be "
	    "skipped, and it reads as zeros")), "compressed grain %" PRIu64
	    " %s", grain, why))
		return enter_grain(s, off, m, err);
	if (zeros)
		ret = stream_put_zeros(s, off, grain, m->size, err);
	else
		ret = stream_put_marker(s, off, &(struct marker){ (STREAM_MARK +
			(uint64_t)m->size - 1) / VMDK_SECTOR, 0,
			STREAM_PROGRESS }, err);
	if (ret || zeros)
		return ret ? ret : enter_grain(s, off, m, err);
	ret = stream_entry(s, grain, &e, &at, err);
	return ret || e != off / VMDK_SECTOR ? ret
		: stream_enter(s, grain, 0, err);
}

/* Does not inflate: is its length wrong, or is it lost? */
static int
bad_grain(struct stream *s, uint64_t off, struct marker *m, const char *why,
	  struct vd_err *err)
{
	uint64_t room = stream_size(s) - off - STREAM_MARK, took, free, own;
	int ret;

	if (room > s->in_len)
		room = s->in_len;
	free = stream_room(s, off);
	/* Not over a grain that is found by its marker alone. */
	if (!stream_inflate(s, off + STREAM_MARK, room, m->val / s->p->grain,
			    &took) && (!s->made || took <= free)) {
		ret = set_length(s, off, m, took, err);
		return ret ? ret : enter_grain(s, off, m, err);
	}
	/* As many sectors as it had: who reads by markers goes on behind them. */
	own = (STREAM_MARK + (uint64_t)m->size - 1) / VMDK_SECTOR *
	      VMDK_SECTOR + VMDK_SECTOR - STREAM_MARK;
	free = free < room ? free : room;
	if (m->size < 256 || free < m->size)
		m->size = (uint32_t)(own < free ? own : free);
	return give_up(s, off, m, why, err);
}

static int
one_grain(struct stream *s, uint64_t off, struct marker *m,
	  struct vd_err *err)
{
	uint64_t grain = m->val / s->p->grain, took;
	const char *why = stream_inflate(s, off + STREAM_MARK, m->size, grain,
					 &took);

	return why ? bad_grain(s, off, m, why, err)
		   : enter_grain(s, off, m, err);
}

/* Neither a grain nor a marker: on with the next that is one. */
static int
garbage(struct stream *s, uint64_t off, uint64_t *len, struct vd_err *err)
{
	struct vmdk_part *p = s->p;
	uint64_t next = stream_resync(s, off);

	*len = next - off;
	if (stream_in_use(s, off)) {
		vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-marker", off,
			NULL), "a grain table or directory has no marker "
			"before it");
		return 0;
	}
	if (vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-marker", off,
	    cure_of(s, off, "would mark it as to be skipped; if a grain was "
	    "there, it is lost")), "%" PRIu64 " bytes are neither a grain nor "
	    "a marker", *len))
		return stream_put_marker(s, off, &(struct marker){ *len /
			VMDK_SECTOR - 1, 0, STREAM_PROGRESS }, err);
	return 0;
}

/* A descriptor that its header has among the grains. */
static bool
on_text(const struct stream *s, uint64_t off, uint64_t *len)
{
	uint64_t at = s->p->text_at, end = at + s->p->text_len;

	if (off / VMDK_SECTOR < at || off / VMDK_SECTOR >= end)
		return false;
	*len = end * VMDK_SECTOR - off;
	return true;
}

/* Nothing follows, or no more than a reader bears with. */
static bool
is_end(struct stream *s, uint64_t off, const struct marker *m)
{
	return !m->size && m->type == STREAM_EOS && !m->val && (!s->made ||
	       stream_size(s) - off <= VMDK_SECTOR + END_PADDING ||
	       stream_resync(s, off) >= stream_size(s));
}

/* More than there can be of it, but all else is true, and its data whole. */
static bool
only_too_long(struct stream *s, uint64_t off, const struct marker *m)
{
	const struct marker as_said = { m->val, !!m->size, 0 };
	uint64_t room = stream_size(s) - off - STREAM_MARK, took;

	return stream_plausible(s, off, &as_said) &&
	       (m->size > s->in_len || m->size > room) &&
	       !stream_inflate(s, off + STREAM_MARK, room, m->val /
			       s->p->grain, &took);
}

static int
one_marker(struct stream *s, uint64_t off, uint64_t *len, struct vd_err *err)
{
	uint64_t size = stream_size(s);
	struct marker m;
	bool cut;
	int ret = stream_marker(s, off, &m, err);

	*len = VMDK_SECTOR;
	if (on_text(s, off, len))
		return ret;
	if (ret || (off + VMDK_SECTOR > size && !stream_plausible(s, off, &m)))
		return ret;
	if (is_end(s, off, &m)) {
		s->ended = true;
		return 0;
	}
	if (!m.size && m.type >= STREAM_GT && m.type <= STREAM_PROGRESS &&
	    m.val < (size - off) / VMDK_SECTOR) {
		*len += m.val * VMDK_SECTOR;
		return 0;
	}
	cut = off + STREAM_MARK + m.size > size;
	/* Nothing is cut off that another grain lies in. */
	if (only_too_long(s, off, &m))
		cut = false;
	else if (!stream_plausible(s, off, &m) ||
		 (cut && stream_behind(s, off) < size))
		return garbage(s, off, len, err);
	if (cut) {
		*len = size - off;
		return cut_grain(s, off, m.val / s->p->grain, err);
	}
	ret = m.size > s->in_len ? bad_grain(s, off, &m, "", err)
				 : one_grain(s, off, &m, err);
	*len = (STREAM_MARK + (uint64_t)m.size + VMDK_SECTOR - 1) /
	       VMDK_SECTOR * VMDK_SECTOR;
	if (off + *len > s->end)
		s->end = off + *len;
	return ret;
}

static int
check_markers(struct stream *s, struct vd_err *err)
{
	uint64_t off = s->data, len;
	int ret = 0;

	s->end = s->data;
	while (!ret && !s->ended && off + STREAM_MARK < stream_size(s)) {
		ret = one_marker(s, off, &len, err);
		off += len;
	}
	if (!ret && s->made && !s->ended && !s->p->a->mend)
		vd_flaw(s->p->a, VMDK_FLAW(s->p, VD_DAMAGE, "vmdk-cut",
			stream_size(s), NULL), "the file ends without an end "
			"marker: it was cut short");
	/* A grain that was found again, or zeros, before all else. */
	return !ret && s->p->a->mend ? vd_file_sync(s->p->f, err) : ret;
}

/* Behind a footer that was found without it. */
static int
put_end(struct stream *s, struct vd_err *err)
{
	uint64_t at = stream_size(s) / VMDK_SECTOR * VMDK_SECTOR;
	struct marker m = { 0, 0, STREAM_EOS };

	/* Up to now it is read by its markers. */
	if (vd_flaw(s->p->a, VMDK_FLAW(s->p, VD_DAMAGE, "vmdk-cut", at,
	    s->homeless ? NULL : "would write it"), "the end marker behind the "
	    "footer is missing"))
		return stream_put_marker(s, at, &m, err);
	return 0;
}

/* -------------------------------------------------------------------- all */

static int
prepare(struct stream *s, struct vd_err *err)
{
	struct vmdk_part *p = s->p;
	uint64_t first = p->overhead, bytes = p->grain * VMDK_SECTOR;

	if (p->grain > VMDK_PACKED_MAX)
		return vd_fail(err, ENOTSUP, 20, "compressed grains of %" PRIu64
			       " sectors are not supported, only up to %u",
			       p->grain, VMDK_PACKED_MAX);
	/* One that begins before them ends before them, whatever its length. */
	if (vmdk_inside(p, p->desc_at, p->desc_len) && first <= p->desc_at)
		first = p->desc_at + p->desc_len;
	/* Whatever it says: never the header itself. */
	s->data = first > vmdk_part_sectors(p) ? UINT64_MAX
		: (first ? first : 1) * VMDK_SECTOR;
	s->in_len = 2 * bytes + VMDK_SECTOR;
	s->in = malloc(s->in_len);
	s->out = malloc(bytes);
	s->e = calloc(p->gtes, 4);
	s->inflate = libdeflate_alloc_decompressor();
	return s->in && s->out && s->e && s->inflate ? 0 :
	       vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
}

int
vmdk_audit_stream(struct vmdk_part *p, struct vd_err *err)
{
	struct stream s = { .p = p, .low = UINT64_MAX };
	int ret = prepare(&s, err);

	if (!ret && s.data > stream_size(&s)) {
		vd_flaw(p->a, VMDK_FLAW(p, VD_DAMAGE, "vmdk-overhead", 64,
			NULL), "the file ends before its first grain");
		goto out;
	}
	if (!ret)
		ret = stream_locate(&s, err);
	if (!ret && s.gd && !s.made)
		ret = stream_each(&s, check_entry, err);
	if (!ret)
		ret = check_low(&s, err);
	if (!ret && (s.made || s.gd) && (p->flags & VMDK_F_MARKERS))
		ret = check_markers(&s, err);
	/* Behind an end, or inside of something else. */
	if (!ret && s.gd && !s.made && s.seen < s.named)
		ret = stream_each(&s, check_data, err);
	if (!ret && s.endless && s.footer && s.gd && !s.made)
		ret = put_end(&s, err);
	if (!ret && s.rebuild)
		ret = stream_rebuild(&s, err);
out:
	for (uint64_t t = 0; s.made && t < p->ntables; t++)
		free(s.made[t]);
	free(s.made);
	free(s.gd);
	free(s.places);
	free(s.e);
	free(s.in);
	free(s.out);
	if (s.inflate)
		libdeflate_free_decompressor(s.inflate);
	return ret;
}
