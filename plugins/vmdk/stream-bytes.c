/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stream-bytes.c - markers, grains and tables of a compressed extent, as check
 * and repair read them.
 */
#include "audit-stream.h"

#define TABLES_MAX	65536u	/* made from markers: 128 MiB */

uint64_t
stream_size(const struct stream *s)
{
	return vd_file_size(s->p->f);
}

int
stream_marker(struct stream *s, uint64_t off, struct marker *m,
	      struct vd_err *err)
{
	uint8_t raw[16];
	int ret = vd_file_read(s->p->f, raw, sizeof(raw), off, err);

	*m = (struct marker){ vmdk_le64(raw), vmdk_le32(raw + 8),
			      vmdk_le32(raw + 12) };
	return ret;
}

bool
stream_plausible(const struct stream *s, uint64_t off, const struct marker *m)
{
	const struct vmdk_part *p = s->p;

	return m->size && m->val % p->grain == 0 && m->val < p->capacity &&
	       m->size <= s->in_len &&
	       off + STREAM_MARK < stream_size(s);
}

/* Bytes that a grain must inflate to: the last may hold only what is there. */
uint64_t
stream_needed(const struct stream *s, uint64_t grain)
{
	const struct vmdk_part *p = s->p;
	uint64_t n = p->sectors && p->sectors < p->capacity ? p->sectors
							    : p->capacity;

	if (grain * p->grain >= n)
		return 0;
	n -= grain * p->grain;
	return (n < p->grain ? n : p->grain) * VMDK_SECTOR;
}

const char *
stream_inflate(struct stream *s, uint64_t off, uint64_t len, uint64_t grain,
	       uint64_t *took)
{
	uint64_t size = stream_size(s);
	size_t in, out;

	if (len > s->in_len)
		len = s->in_len;
	if (off >= size || len > size - off)
		return "goes on past the end of the file";
	if (vd_file_read(s->p->f, s->in, len, off, NULL))
		return "cannot be read";
	switch (libdeflate_zlib_decompress_ex(s->inflate, s->in, len, s->out,
					      s->p->grain * VMDK_SECTOR, &in,
					      &out)) {
	case LIBDEFLATE_SUCCESS:
		*took = in;
		return out < stream_needed(s, grain)
			? "inflates to less than a grain" : NULL;
	case LIBDEFLATE_INSUFFICIENT_SPACE:
		return "inflates to more than a grain";
	default:
		return "does not inflate: its data is damaged";
	}
}

static bool
whole_grain(struct stream *s, uint64_t off, const struct marker *m)
{
	uint8_t z[2];
	uint64_t took;

	if (!stream_plausible(s, off, m) ||
	    vd_file_read(s->p->f, z, 2, off + STREAM_MARK, NULL) ||
	    (z[0] & 15) != 8 || (z[0] * 256u + z[1]) % 31)
		return false;
	/* Somebody may have made a file of nothing but beginnings. */
	s->tried += m->size;
	if (s->tried > 16 * stream_size(s) + (64u << 20))
		return false;
	return !stream_inflate(s, off + STREAM_MARK, m->size,
			       m->val / s->p->grain, &took);
}

static bool
makes_sense(struct stream *s, uint64_t off)
{
	struct marker m;

	if (stream_marker(s, off, &m, NULL))
		return false;
	return whole_grain(s, off, &m) ||
	       (!m.size && m.type >= STREAM_GT && m.type <= STREAM_FOOTER &&
		m.val && m.val <= 1 + s->p->dir_len + s->p->gt_len &&
		m.val <= (stream_size(s) - off) / VMDK_SECTOR);
}

/* A hole of terabytes is passed in one step, and nothing is searched twice. */
uint64_t
stream_resync(struct stream *s, uint64_t off)
{
	uint64_t size = stream_size(s), data = 0, n;
	bool hole;

	if (off >= s->quiet && off < s->loud && s->loud <= size)
		return s->loud;
	s->quiet = off;
	/* The last grain need not fill its sector. */
	for (off += VMDK_SECTOR; off + STREAM_MARK < size;
	     off += VMDK_SECTOR) {
		n = size - off;
		if (off >= data && !vd_file_run(s->p->f, off, &n, &hole, NULL)) {
			if (hole && n > VMDK_SECTOR) {
				off += n / VMDK_SECTOR * VMDK_SECTOR -
				       VMDK_SECTOR;
				continue;
			}
			data = off + n;
		}
		if (makes_sense(s, off))
			break;
	}
	s->loud = off + STREAM_MARK < size ? off : size;
	return s->loud;
}

uint64_t
stream_behind(struct stream *s, uint64_t off)
{
	uint64_t next = stream_resync(s, off);
	uint64_t text = s->p->text_at * VMDK_SECTOR;

	return s->p->text_len && text > off && text < next ? text : next;
}

/* ----------------------------------------------------------------- tables */

static int
load(struct stream *s, uint32_t t, struct vd_err *err)
{
	int ret;

	if (s->loaded == t + 1)
		return 0;
	ret = vmdk_part_read32(s->p, s->gd[t], s->e, s->p->gtes, err);
	s->loaded = ret ? 0 : t + 1;
	return ret;
}

int
stream_entry(struct stream *s, uint64_t grain, uint32_t *e, uint64_t *at,
	     struct vd_err *err)
{
	uint64_t t = grain / s->p->gtes, k = grain % s->p->gtes;
	int ret = 0;

	*at = 0;
	*e = 0;
	if (s->made) {
		*e = s->made[t] ? s->made[t][k] : 0;
		return 0;
	}
	if (!s->gd[t])
		return 0;
	ret = load(s, (uint32_t)t, err);
	if (!ret) {
		*e = s->e[k];
		*at = (uint64_t)s->gd[t] * VMDK_SECTOR + 4 * k;
	}
	return ret;
}

/* Many that are empty may be one: it is looked at once. */
static int
has_entries(struct stream *s, uint64_t t, bool *any, struct vd_err *err)
{
	int ret;

	*any = false;
	if (!s->gd[t] || s->gd[t] == s->empty)
		return 0;
	ret = load(s, (uint32_t)t, err);
	for (uint32_t k = 0; k < s->p->gtes && !ret && !*any; k++)
		*any = s->e[k] != 0;
	if (!ret && !*any)
		s->empty = s->gd[t];
	return ret;
}

int
stream_each(struct stream *s, stream_look *look, struct vd_err *err)
{
	const struct vmdk_part *p = s->p;
	uint64_t grains = p->capacity / p->grain + !!(p->capacity % p->grain);
	uint64_t g, at;
	bool any;
	uint32_t e;
	int ret = 0;

	for (uint64_t t = 0; t < p->ntables && !ret; t++) {
		ret = has_entries(s, t, &any, err);
		for (g = t * p->gtes; !ret && any && g < grains &&
		     g < (t + 1) * p->gtes; g++) {
			ret = stream_entry(s, g, &e, &at, err);
			if (!ret && e > 1)
				ret = look(s, g, e, at, err);
		}
	}
	return ret;
}

static int
enter_made(struct stream *s, uint64_t grain, uint32_t e, struct vd_err *err)
{
	uint32_t **t = &s->made[grain / s->p->gtes];

	if (!s->p->a->mend)	/* to be told, nothing need be kept */
		return 0;
	if (!*t && s->nmade++ == TABLES_MAX)
		return vd_fail(err, EFBIG, VD_NOWHERE, "too large a disk to "
			       "make its grain directory anew");
	if (!*t)
		*t = calloc(s->p->gtes, 4);
	if (!*t)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	(*t)[grain % s->p->gtes] = e;
	return 0;
}

int
stream_enter(struct stream *s, uint64_t grain, uint32_t e, struct vd_err *err)
{
	uint64_t at;
	uint32_t was;
	int ret;

	if (s->made)
		return enter_made(s, grain, e, err);
	ret = stream_entry(s, grain, &was, &at, err);
	if (ret || !at)
		return ret;
	s->e[grain % s->p->gtes] = e;
	s->empty = 0;
	return vmdk_part_write32(s->p, at, e, err);
}

const char *
stream_inflate_bare(struct stream *s, uint64_t off, uint64_t grain,
		    uint64_t *took)
{
	uint64_t size = stream_size(s);
	const char *why = stream_inflate(s, off, size - off, grain, took);

	if (!why)
		return NULL;
	why = stream_inflate(s, off + 4, size - off - 4, grain, took);
	*took = why ? 0 : *took + 4;	/* its length */
	return why;
}

bool
stream_early_grain(struct stream *s, uint64_t off, uint64_t grain)
{
	uint64_t took;
	struct marker m;

	if (off + STREAM_MARK >= stream_size(s))
		return false;
	if (!(s->p->flags & VMDK_F_MARKERS))
		return !stream_inflate_bare(s, off, grain, &took);
	return !stream_marker(s, off, &m, NULL) &&
	       stream_plausible(s, off, &m) && m.val == grain * s->p->grain &&
	       !stream_inflate(s, off + STREAM_MARK, m.size, grain, &took);
}

bool
stream_taken(struct stream *s, uint64_t off)
{
	uint64_t far = STREAM_MARK + s->in_len, at = off, took, where;
	struct marker m;
	uint32_t e;

	if (off / VMDK_SECTOR >= s->p->text_at &&
	    off / VMDK_SECTOR - s->p->text_at < s->p->text_len)
		return true;
	while (at >= 2 * VMDK_SECTOR && off - (at -= VMDK_SECTOR) < far) {
		/* Not for ever: then it may be. */
		s->tried += VMDK_SECTOR / 8;
		if (s->tried > 16 * stream_size(s) + (64u << 20) ||
		    stream_marker(s, at, &m, NULL))
			return true;
		if (stream_plausible(s, at, &m) &&
		    at + STREAM_MARK + m.size > off &&
		    !stream_entry(s, m.val / s->p->grain, &e, &where, NULL) &&
		    e == at / VMDK_SECTOR &&
		    !stream_inflate(s, at + STREAM_MARK, m.size, m.val /
				    s->p->grain, &took))
			return true;
	}
	return false;
}
