/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stream.c - read sparse extents whose grains are compressed
 * (streamOptimized).
 *
 * Where the grains are is told by a grain directory in front, or by one that a
 * footer points to, or - where the footer is missing - by the markers before
 * each grain, which are then read from one end to the other, once.
 *
 * A grain is inflated as a whole.  Who wants all of it (a conversion) gets it
 * straight into his memory; for those who want parts - a guest reads 4 KiB at a
 * time - it is kept for a while, in one of several caches so that threads
 * rarely meet.  No lock is held while anything is read or inflated.  Memory is
 * bounded by the size of a grain; how long the compressed form may be, by the
 * file and by what deflate can make of a grain.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

#define CACHE		(4u << 20)	/* bytes of inflated grains, all caches */
#define SLOTS_MIN	2u		/* of one cache */
#define SLOTS_MAX	64u
#define CACHES		8u		/* for large grains fewer */
#define HANDS		16u		/* kept; more are made when needed */
#define FIRST_READ	(16u << 10)
#define END_PADDING	(64u << 10)	/* borne with behind the end marker */
#define SCAN_TABLES	65536u		/* 128 MiB: 2 TiB of 64 KiB grains */

#define MARKER_LEN	12u		/* before a grain's data */

enum { MARK_EOS, MARK_GT, MARK_GD, MARK_FOOTER, MARK_PROGRESS };

/* What inflating takes, besides room for the result. */
struct hand {
	uint8_t	       *in;
	struct libdeflate_decompressor *inflate;
};

struct slot {
	uint64_t	grain;
	uint64_t	used;		/* by the clock below; 0: empty */
	unsigned	readers;	/* copy from data, the lock not held */
	bool		busy;		/* being filled, the lock not held */
	uint8_t	       *data;		/* allocated when first needed */
};

struct cache {
	pthread_mutex_t	lock;
	pthread_cond_t	change;
	uint64_t	clock;
	struct slot    *slots;
};

struct vmdk_stream {
	pthread_mutex_t	lock;		/* of the hands */
	unsigned	nhands;
	struct hand	hands[HANDS];
	uint32_t      **scan;		/* tables made from markers, or NULL */
	unsigned	ntables;
	unsigned	nslots;		/* of each cache */
	unsigned	ncaches;
	struct cache	caches[CACHES];
};

struct marker {
	uint64_t	val;
	uint32_t	size, type;
};

/* At the end of the file there is nothing but zeros. */
static int
read_marker(struct vmdk_extent *x, uint64_t off, struct marker *m,
	    struct vd_err *err)
{
	uint8_t raw[16];
	int ret = vd_file_read(x->file, raw, sizeof(raw), off, err);

	if (ret)
		return ret;
	memcpy(&m->val, raw, 8);
	memcpy(&m->size, raw + 8, 4);
	memcpy(&m->type, raw + 12, 4);
	m->val = le64toh(m->val);
	m->size = le32toh(m->size);
	m->type = le32toh(m->type);
	return 0;
}

/* ------------------------------------------------------------ the footer */

/*
 * The last three sectors: its marker, itself, the end.  A header that already
 * names a directory is not overridden by less than all three.
 */
static int
find_footer(struct vmdk_extent *x, struct vmdk_header *f, bool *found,
	    struct vd_err *err)
{
	uint64_t end = x->size / VMDK_SECTOR * VMDK_SECTOR;
	uint8_t raw[VMDK_HEADER_LEN];
	struct marker before, after;
	int ret;

	*found = false;
	if (end < 4 * VMDK_SECTOR)
		return 0;
	ret = read_marker(x, end - 3 * VMDK_SECTOR, &before, err);
	if (!ret)
		ret = vd_file_read(x->file, raw, sizeof(raw),
				   end - 2 * VMDK_SECTOR, err);
	if (!ret)
		ret = read_marker(x, end - VMDK_SECTOR, &after, err);
	*found = !ret && !before.size && before.type == MARK_FOOTER &&
		 !after.val && !after.size && !after.type &&
		 vmdk_header_decode(raw, f);
	return ret;
}

static int
use_directory(struct vmdk *v, struct vmdk_extent *x, struct vd_err *err)
{
	uint64_t bytes = (uint64_t)x->ntables * 4;
	uint64_t at = x->h.gd_sector;
	int ret;

	if (at < 1 || at > x->size / VMDK_SECTOR ||
	    bytes > x->size - at * VMDK_SECTOR)
		return vd_fail(err, EINVAL, 56, "grain directory at sector %"
			       PRIu64 " is outside the file", at);
	ret = vmdk_read_directory(x, at, false, &x->gd, err);
	return ret ? ret : vmdk_open_table(v, x, err);
}

/* ----------------------------------------------------------- the markers */

static int
scan_grain(struct vmdk_extent *x, uint64_t off, const struct marker *m,
	   struct vd_err *err)
{
	struct vmdk_stream *s = x->stream;
	uint64_t grain = m->val / x->h.grain_sectors;
	uint64_t gt = grain / x->h.gtes;

	if (off / VMDK_SECTOR >= VMDK_FILE_SECTORS_MAX)
		return vd_fail(err, EFBIG, off, "a grain behind 2 TiB");
	if (m->val % x->h.grain_sectors || m->val >= x->h.capacity)
		return vd_fail(err, EINVAL, off, "a grain for sector %" PRIu64
			       ", which no grain begins with", m->val);
	if (off + MARKER_LEN + m->size > x->size)
		return vd_fail(err, EINVAL, off, "the file ends inside a "
			       "grain: it was cut short");
	if (!s->scan[gt]) {
		if (s->ntables++ == SCAN_TABLES)
			return vd_fail(err, EFBIG, off, "too large a disk to "
				       "be read without its grain directory");
		s->scan[gt] = calloc(x->h.gtes, sizeof(**s->scan));
		if (!s->scan[gt])
			return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	}
	if (s->scan[gt][grain % x->h.gtes])
		return vd_fail(err, EINVAL, off, "grain %" PRIu64 " comes "
			       "twice", grain);
	s->scan[gt][grain % x->h.gtes] = (uint32_t)(off / VMDK_SECTOR);
	return 0;
}

/* Payload behind a marker that is not a grain's; *end: nothing follows. */
static int
scan_other(struct vmdk_extent *x, uint64_t off, const struct marker *m,
	   bool *whole, bool *end, struct vd_err *err)
{
	*whole = *whole || m->type == MARK_GD || m->type == MARK_FOOTER;
	if (m->type == MARK_EOS && !m->val) {
		if (x->size - off > VMDK_SECTOR + END_PADDING)
			return vd_fail(err, EINVAL, off, "an end marker in "
				       "the middle of the file");
		*whole = *end = true;
		return 0;
	}
	if (m->type == MARK_EOS || m->type > MARK_PROGRESS ||
	    m->val > (x->size - off) / VMDK_SECTOR)
		return vd_fail(err, EINVAL, off, "neither a grain nor a "
			       "marker: type %u, %" PRIu64 " sectors",
			       m->type, m->val);
	return 0;
}

/*
 * Grains that are not in the file read as zeros only when the writer has said
 * that it was done: a file cut short must not look like an emptier disk.
 */
static int
scan_markers(struct vmdk_extent *x, struct vd_err *err)
{
	uint64_t first = x->h.overhead, off;
	bool whole = false, end = false;
	struct marker m;
	int ret = 0;

	if (!(x->h.flags & VMDK_F_MARKERS))
		return vd_fail(err, EINVAL, 56, "neither a grain directory "
			       "nor markers to find grains by");
	/* A text that begins before the grains ends before them. */
	if (x->h.desc_sector && first <= x->h.desc_sector)
		first = x->h.desc_sector + x->h.desc_sectors;
	if (!first || first > x->size / VMDK_SECTOR)
		return vd_fail(err, EINVAL, 64, "the file ends before its "
			       "first grain");
	x->stream->scan = calloc(x->ntables, sizeof(*x->stream->scan));
	if (!x->stream->scan)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	for (off = first * VMDK_SECTOR; !ret && !end && off + VMDK_SECTOR <=
	     x->size; ) {
		uint64_t len = VMDK_SECTOR;

		ret = read_marker(x, off, &m, err);
		if (!ret && m.size) {
			ret = scan_grain(x, off, &m, err);
			len = (MARKER_LEN + (uint64_t)m.size + VMDK_SECTOR -
			       1) / VMDK_SECTOR * VMDK_SECTOR;
		} else if (!ret) {
			ret = scan_other(x, off, &m, &whole, &end, err);
			len += m.val * VMDK_SECTOR;
		}
		off += len;
	}
	if (!ret && !whole)
		ret = vd_fail(err, EINVAL, x->size, "the file ends without an "
			      "end marker: it was cut short");
	return ret;
}

/* ------------------------------------------------------------ open, free */

static unsigned
between(uint64_t n, unsigned least, unsigned most)
{
	return n < least ? least : n > most ? most : (unsigned)n;
}

static int
new_stream(struct vmdk_extent *x, struct vd_err *err)
{
	uint64_t n = CACHE / x->grain;
	struct vmdk_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	pthread_mutex_init(&s->lock, NULL);
	x->stream = s;
	s->nslots = between(n / CACHES, SLOTS_MIN, SLOTS_MAX);
	n = between(n / s->nslots, 1, CACHES);
	while (s->ncaches < n) {
		struct cache *c = &s->caches[s->ncaches];

		c->slots = calloc(s->nslots, sizeof(*c->slots));
		if (!c->slots)
			return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
		pthread_mutex_init(&c->lock, NULL);
		pthread_cond_init(&c->change, NULL);
		s->ncaches++;
	}
	return 0;
}

/* The header is checked and supported; x->grain and x->ntables are set. */
int
vmdk_stream_open(struct vmdk *v, struct vmdk_extent *x, struct vd_err *err)
{
	struct vmdk_header f;
	bool found;
	int ret = new_stream(x, err);

	x->frozen = true;
	if (!ret)
		ret = find_footer(x, &f, &found, err);
	if (ret)
		return ret;
	if (found && f.gd_sector != VMDK_GD_AT_END) {
		if (f.capacity != x->h.capacity || f.gtes != x->h.gtes ||
		    f.grain_sectors != x->h.grain_sectors)
			return vd_fail(err, EINVAL, (x->size / VMDK_SECTOR -
				       2) * VMDK_SECTOR, "header and footer "
				       "speak of different disks");
		x->h.gd_sector = f.gd_sector;
	}
	if (x->h.gd_sector == VMDK_GD_AT_END)
		return scan_markers(x, err);
	return use_directory(v, x, err);
}

static void
free_cache(struct vmdk_stream *s, struct cache *c)
{
	for (unsigned i = 0; i < s->nslots; i++)
		free(c->slots[i].data);
	free(c->slots);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->change);
}

static void
free_hand(struct hand *h)
{
	if (h->inflate)
		libdeflate_free_decompressor(h->inflate);
	free(h->in);
}

void
vmdk_stream_free(struct vmdk_extent *x)
{
	struct vmdk_stream *s = x->stream;

	if (!s)
		return;
	for (unsigned i = 0; i < s->ncaches; i++)
		free_cache(s, &s->caches[i]);
	for (unsigned i = 0; i < s->nhands; i++)
		free_hand(&s->hands[i]);
	for (uint32_t i = 0; s->scan && i < x->ntables; i++)
		free(s->scan[i]);
	free(s->scan);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int
vmdk_stream_entry(struct vmdk_extent *x, uint64_t grain, uint64_t *sector,
		  struct vd_err *err)
{
	uint32_t **scan = x->stream->scan;

	if (!scan)
		return vd_table_get(x->table, grain, sector, err);
	*sector = scan[grain / x->h.gtes]
		? scan[grain / x->h.gtes][grain % x->h.gtes] : 0;
	return 0;
}

/* ---------------------------------------------------------------- inflate */

static int
bad_grain(struct vmdk_extent *x, struct vd_err *err, uint64_t off,
	  uint64_t grain, const char *what)
{
	int ret = vd_fail(err, EIO, off, "compressed grain %" PRIu64 " %s",
			  grain, what);

	vd_err_file(err, vd_file_name(x->file));
	return ret;
}

/* Data of a grain, compressed. */
static uint64_t
longest(const struct vmdk_extent *x)
{
	return 2 * x->grain + VMDK_SECTOR;
}

/*
 * Where the zlib stream begins in what was read, and how long it may be.
 * Without markers there is nothing, or a length, before it: both are tried, as a
 * length may look like the beginning of one.
 */
static const char *
find_data(struct vmdk_extent *x, uint64_t grain, const uint8_t *in,
	  uint64_t have, uint64_t *skip, uint64_t *len)
{
	uint64_t lba;
	uint32_t size;

	*skip = 0;
	*len = have;
	if (!(x->h.flags & VMDK_F_MARKERS)) {
		*len = have < longest(x) ? have : longest(x);
		return NULL;
	}
	if (have < MARKER_LEN)
		return "begins at the end of the file";
	memcpy(&lba, in, 8);
	memcpy(&size, in + 8, 4);
	if (!le32toh(size))
		return "is not there: another marker is";
	if (le64toh(lba) != grain * x->h.grain_sectors)
		return "is not there: its marker names another grain";
	*skip = MARKER_LEN;
	*len = le32toh(size);
	if (*len > longest(x))
		return "claims to be longer than twice its size";
	return NULL;
}

static int
inflate_into(struct vmdk_extent *x, struct hand *h, uint64_t grain,
	     uint8_t *data, uint64_t off, struct vd_err *err)
{
	uint8_t *in = h->in;
	uint64_t most = MARKER_LEN + longest(x), skip, len;
	uint64_t left = x->size - off, have, need;
	enum libdeflate_result how;
	size_t took, got = 0;
	const char *wrong;
	int ret;

	if (most > left)
		most = left;
	have = most < FIRST_READ || !(x->h.flags & VMDK_F_MARKERS)
		? most : FIRST_READ;
	ret = vd_file_read(x->file, in, have, off, err);
	if (ret)
		return ret;
	wrong = find_data(x, grain, in, have, &skip, &len);
	if (!wrong && skip + len > left)
		wrong = "goes on past the end of the file";
	if (wrong)
		return bad_grain(x, err, off, grain, wrong);
	if (skip + len > have) {
		ret = vd_file_read(x->file, in + have, skip + len - have,
				   off + have, err);
		if (ret)
			return ret;
	}
	/* The last one may hold only what belongs to the disk. */
	need = x->len - grain * x->grain;
	if (need > x->grain)
		need = x->grain;
	how = libdeflate_zlib_decompress_ex(h->inflate, in + skip, len, data,
					    x->grain, &took, &got);
	if ((how || got < need) && !skip && have > 4)
		how = libdeflate_zlib_decompress_ex(h->inflate, in + 4,
			have - 4 < longest(x) ? have - 4 : longest(x), data,
			x->grain, &took, &got);
	switch (how) {
	case LIBDEFLATE_SUCCESS:
		break;
	case LIBDEFLATE_INSUFFICIENT_SPACE:
		return bad_grain(x, err, off, grain, "inflates to more than a "
				 "grain");
	default:
		return bad_grain(x, err, off, grain, "does not inflate: its "
				 "data is damaged");
	}
	if (got < need)
		return bad_grain(x, err, off, grain, "inflates to less than a "
				 "grain");
	return 0;
}

static int
take_hand(struct vmdk_extent *x, struct hand *h, struct vd_err *err)
{
	struct vmdk_stream *s = x->stream;

	*h = (struct hand){ 0 };
	pthread_mutex_lock(&s->lock);
	if (s->nhands)
		*h = s->hands[--s->nhands];
	pthread_mutex_unlock(&s->lock);
	if (h->inflate)
		return 0;
	h->inflate = libdeflate_alloc_decompressor();
	h->in = malloc(MARKER_LEN + longest(x) + VMDK_SECTOR);
	if (h->inflate && h->in)
		return 0;
	free_hand(h);
	return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
}

static void
drop_hand(struct vmdk_stream *s, struct hand *h)
{
	bool keep;

	pthread_mutex_lock(&s->lock);
	keep = s->nhands < HANDS;
	if (keep)
		s->hands[s->nhands++] = *h;
	pthread_mutex_unlock(&s->lock);
	if (!keep)
		free_hand(h);
}

/* All of a grain to data, which has room for a whole one. */
static int
inflate_grain(struct vmdk_extent *x, uint64_t grain, uint64_t sector,
	      uint8_t *data, struct vd_err *err)
{
	uint64_t off = sector * VMDK_SECTOR;
	struct hand h;
	int ret;

	if (off >= x->size)
		return bad_grain(x, err, off, grain, "lies past the end of the "
				 "file");
	ret = take_hand(x, &h, err);
	if (ret)
		return ret;
	ret = inflate_into(x, &h, grain, data, off, err);
	drop_hand(x->stream, &h);
	return ret;
}

/* ------------------------------------------------------------- the caches */

/* The slot that holds the grain, or the one used longest ago; lock held. */
static struct slot *
pick(struct vmdk_stream *s, struct cache *c, uint64_t grain, bool *holds)
{
	struct slot *oldest = NULL;

	for (unsigned i = 0; i < s->nslots; i++) {
		struct slot *o = &c->slots[i];

		*holds = (o->used || o->busy) && o->grain == grain;
		if (*holds)
			return o;
		if (!o->busy && !o->readers &&
		    (!oldest || o->used < oldest->used))
			oldest = o;
	}
	*holds = false;
	return oldest;
}

static int
fill(struct vmdk_extent *x, struct cache *c, struct slot *o, uint64_t grain,
     uint64_t sector, struct vd_err *err)
{
	int ret = 0;

	o->grain = grain;
	o->used = 0;
	o->busy = true;
	pthread_mutex_unlock(&c->lock);
	if (!o->data)
		o->data = malloc(x->grain);
	if (!o->data)
		ret = vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	else
		ret = inflate_grain(x, grain, sector, o->data, err);
	pthread_mutex_lock(&c->lock);
	o->busy = false;
	pthread_cond_broadcast(&c->change);
	return ret;
}

/* Part of one grain. */
static int
read_part(struct vmdk_extent *x, uint64_t grain, uint64_t sector, void *buf,
	  uint64_t at, uint64_t len, struct vd_err *err)
{
	struct vmdk_stream *s = x->stream;
	struct cache *c = &s->caches[grain % s->ncaches];
	struct slot *o;
	bool holds;
	int ret = 0;

	pthread_mutex_lock(&c->lock);
	while (!(o = pick(s, c, grain, &holds)) || (holds && o->busy))
		pthread_cond_wait(&c->change, &c->lock);
	if (!holds)
		ret = fill(x, c, o, grain, sector, err);
	if (!ret) {
		o->used = ++c->clock;
		o->readers++;
		pthread_mutex_unlock(&c->lock);
		memcpy(buf, o->data + at, len);
		pthread_mutex_lock(&c->lock);
		if (!--o->readers)
			pthread_cond_broadcast(&c->change);
	}
	pthread_mutex_unlock(&c->lock);
	return ret;
}

int
vmdk_stream_read(struct vmdk_extent *x, void *buf, uint64_t off, uint64_t len,
		 struct vd_err *err)
{
	uint8_t *p = buf;
	int ret = 0;

	while (len && !ret) {
		uint64_t grain = off / x->grain, at = off % x->grain, sector;
		uint64_t n = len < x->grain - at ? len : x->grain - at;

		ret = vmdk_stream_entry(x, grain, &sector, err);
		if (!ret && sector <= 1)
			memset(p, 0, n);
		else if (!ret && n == x->grain)
			ret = inflate_grain(x, grain, sector, p, err);
		else if (!ret)
			ret = read_part(x, grain, sector, p, at, n, err);
		p += n;
		off += n;
		len -= n;
	}
	return ret;
}
