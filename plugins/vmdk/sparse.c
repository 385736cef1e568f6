/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sparse.c - open a sparse extent and look grains up in it.
 *
 * The grain directory is read at open, the grain tables page by page by the
 * core (struct vd_table).  A grain pointer is believed only when it points
 * behind all metadata and into the file: what a hostile or damaged image can
 * make a guest read are grains, never tables and never another file.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

#define RUN_GRAINS	(1u << 20)	/* looked at by one map call at most */
#define RUN_CHECKED	4096u	/* the same where each needs a look */

static void
locate(void *ctx, uint64_t page, uint64_t off[2])
{
	struct vmdk_extent *x = ctx;

	off[0] = (uint64_t)__atomic_load_n(&x->gd[page], __ATOMIC_ACQUIRE) *
		 VMDK_SECTOR;
	off[1] = x->rgd ? (uint64_t)__atomic_load_n(&x->rgd[page],
						    __ATOMIC_ACQUIRE) *
			  VMDK_SECTOR : 0;
	if (off[1] == off[0])
		off[1] = 0;
}

/* What ties a crash journal to what the file says now: see doc/vmdk.md. */
void
vmdk_sparse_content(const struct vmdk *v, bool unclean, uint8_t content[32])
{
	struct vmdk_str id = v->desc.long_content_id;
	char cid[16];

	memset(content, 0, 32);
	snprintf(cid, sizeof(cid), "%08x%c", v->desc.cid, unclean ? 'U' : 'C');
	memcpy(content, cid, 9);
	if (id.n)
		memcpy(content + 9, id.p, id.n < 23 ? id.n : 23);
}

int
vmdk_read_directory(struct vmdk_extent *x, uint64_t sector, bool lenient,
	       uint32_t **out, struct vd_err *err)
{
	uint32_t *d = calloc(x->ntables, sizeof(*d));
	uint64_t most = x->size / VMDK_SECTOR;
	uint32_t i;
	int ret;

	if (!d)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for a "
			       "grain directory");
	ret = vd_file_read(x->file, d, (size_t)x->ntables * 4,
			   sector * VMDK_SECTOR, err);
	for (i = 0; i < x->ntables && !ret; i++) {
		d[i] = le32toh(d[i]);
		if (!d[i] || (d[i] <= most &&
			      vmdk_gt_sectors(&x->h) <= most - d[i]))
			continue;
		if (lenient)
			d[i] = 0;
		else
			ret = vd_fail(err, EINVAL, sector * VMDK_SECTOR +
				      (uint64_t)i * 4, "grain table %u at "
				      "sector %u is outside the file", i, d[i]);
	}
	if (ret)
		free(d);
	else
		*out = d;
	return ret;
}

/* For qsort: by start. */
int
vmdk_span_cmp(const void *a, const void *b)
{
	uint32_t x = ((const struct vmdk_span *)a)->start;
	uint32_t y = ((const struct vmdk_span *)b)->start;

	return x < y ? -1 : x > y;
}

static unsigned
late_tables(struct vmdk_extent *x, const uint32_t *d, struct vmdk_span *out)
{
	uint32_t n = vmdk_gt_sectors(&x->h);
	unsigned found = 0;

	for (uint32_t i = 0; i < x->ntables; i++)
		if (d[i] && (uint64_t)d[i] + n > x->h.overhead) {
			if (out)
				out[found] = (struct vmdk_span){ d[i], n };
			found++;
		}
	return found;
}

/*
 * Metadata normally ends where overHead says.  Tables made later lie among
 * the grains; remember them, so that no grain pointer is followed into them.
 */
static int
find_spans(struct vmdk_extent *x, struct vd_err *err)
{
	unsigned n = late_tables(x, x->gd, NULL) +
		     (x->rgd ? late_tables(x, x->rgd, NULL) : 0);
	unsigned at = 0;

	if (!n)
		return 0;
	x->spans = calloc(n, sizeof(*x->spans));
	if (!x->spans)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	at = late_tables(x, x->gd, x->spans);
	if (x->rgd)
		late_tables(x, x->rgd, x->spans + at);
	qsort(x->spans, n, sizeof(*x->spans), vmdk_span_cmp);
	x->nspans = n;
	return 0;
}

static bool
hits_span(struct vmdk_extent *x, uint64_t sector)
{
	uint64_t end = sector + x->h.grain_sectors;
	unsigned lo = 0, hi = x->nspans;

	/* The first table that ends behind our start. */
	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if ((uint64_t)x->spans[mid].start + x->spans[mid].count <=
		    sector)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < x->nspans && x->spans[lo].start < end;
}

/* The directories themselves may lie behind overHead in odd files. */
static bool
hits_directory(const struct vmdk_extent *x, uint64_t sector)
{
	uint64_t end = sector + x->h.grain_sectors;
	uint64_t n = ((uint64_t)x->ntables * 4 + VMDK_SECTOR - 1) /
		     VMDK_SECTOR;

	return (sector < x->h.gd_sector + n && end > x->h.gd_sector) ||
	       ((x->h.flags & VMDK_F_RGD) && sector < x->h.rgd_sector + n &&
		end > x->h.rgd_sector) ||
	       (x->h.desc_sector && sector < x->h.desc_sector +
		x->h.desc_sectors && end > x->h.desc_sector);
}

/* With the lock: what the fast checks below could not decide. */
static const char *
look_closer(struct vmdk_extent *x, uint64_t sector, uint64_t end)
{
	uint64_t size;
	bool hit;

	pthread_mutex_lock(&x->lock);
	hit = x->nspans && hits_span(x, sector);
	if (end > x->size)
		__atomic_store_n(&x->size, vd_file_size(x->file),
				 __ATOMIC_RELEASE);
	size = x->size;
	pthread_mutex_unlock(&x->lock);
	if (hit)
		return "points into the image's own tables";
	/* A file that was cut inside its last sector is whole enough. */
	size = (size + VMDK_SECTOR - 1) / VMDK_SECTOR * VMDK_SECTOR;
	return end > size ? "points past the end of the file" : NULL;
}

/* May the grain at this sector be used for len bytes?  NULL: yes. */
const char *
vmdk_pointer_wrong(struct vmdk_extent *x, uint64_t sector, uint64_t len)
{
	uint64_t end = sector * VMDK_SECTOR + len;

	if (!sector || sector < x->h.overhead || hits_directory(x, sector))
		return "points into the image's own tables";
	if (__atomic_load_n(&x->nspans, __ATOMIC_ACQUIRE) ||
	    end > __atomic_load_n(&x->size, __ATOMIC_ACQUIRE))
		return look_closer(x, sector, end);
	return NULL;
}

/* The byte of an entry in the file. */
static uint64_t
entry_at(struct vmdk_extent *x, uint64_t grain)
{
	uint64_t page = grain / x->h.gtes, in = grain % x->h.gtes;

	if (x->kind == VMDK_SESPARSE)
		return (x->se_tables + (uint64_t)(x->gd[page] - 1) * 64) *
		       VMDK_SECTOR + in * 8;
	return x->gd ? (uint64_t)x->gd[page] * VMDK_SECTOR + in * 4
		     : VD_NOWHERE;
}

static int
bad_pointer(struct vmdk_extent *x, uint64_t grain, uint64_t value,
	    const char *wrong, struct vd_err *err)
{
	int ret = vd_fail(err, EIO, entry_at(x, grain), x->kind ==
			  VMDK_SESPARSE ? "grain %" PRIu64 ", entry 0x%"
			  PRIx64 ", %s" : "grain %" PRIu64 " at sector %"
			  PRIu64 " %s", grain, value, wrong);

	vd_err_file(err, vd_file_name(x->file));
	return ret;
}

/*
 * What an entry of 32 bits says.  1 means "zeros" when the header says that
 * such entries exist.  Where it does not, sector 1 is the descriptor and can be
 * nobody's data: writers that forgot the flag meant zeros all the same.  ESX
 * has no such entry.
 */
static uint32_t
plain_entry(struct vmdk_extent *x, uint64_t sector, uint64_t need,
	    uint64_t *host_off, const char **wrong)
{
	*wrong = NULL;
	*host_off = sector * VMDK_SECTOR;
	if (!sector)
		return VD_EXT_HOLE;
	if (sector == 1 && x->kind != VMDK_COWD)
		return VD_EXT_ZERO;
	if (x->stream)
		return VD_EXT_TRANSFORM;
	*wrong = vmdk_pointer_wrong(x, sector, need);
	return VD_EXT_DATA;
}

/* One grain: its entry, its kind, and where it is. */
struct found {
	uint64_t	value, host_off;
	uint32_t	kind;
};

static int
look_up(struct vmdk_extent *x, uint64_t grain, uint64_t need, bool quiet,
	struct found *f, struct vd_err *err)
{
	const char *wrong;
	int ret = x->stream
		? vmdk_stream_entry(x, grain, &f->value, quiet ? NULL : err)
		: vd_table_get(x->table, grain, &f->value, quiet ? NULL : err);

	if (ret)
		return ret;
	f->kind = x->kind == VMDK_SESPARSE
		? vmdk_sesparse_entry(x, f->value, &f->host_off, &wrong)
		: plain_entry(x, f->value, need, &f->host_off, &wrong);
	if (!wrong)
		return 0;
	return quiet ? -EIO : bad_pointer(x, grain, f->value, wrong, err);
}

static uint64_t
grain_bytes(const struct vmdk_extent *x, uint64_t grain)
{
	uint64_t left = x->len - grain * x->grain;

	return left < x->grain ? left : x->grain;
}

/* Grain by grain: entries that the table cannot compare for us. */
static uint64_t
run_checked(struct vmdk_extent *x, uint64_t grain, uint64_t most,
	    const struct found *first)
{
	struct found f;
	uint64_t n = 1;

	if (most > RUN_CHECKED)
		most = RUN_CHECKED;
	while (n < most &&
	       !look_up(x, grain + n, grain_bytes(x, grain + n), true, &f,
			NULL) && f.kind == first->kind &&
	       (f.kind != VD_EXT_DATA ||
		f.host_off == first->host_off + n * x->grain))
		n++;
	return n;
}

/* Grains from this one on that are of one kind, and in one piece. */
static uint64_t
run_of(struct vmdk_extent *x, uint64_t grain, uint64_t most,
       const struct found *first)
{
	uint64_t value = first->value, n;

	if (x->stream || x->kind == VMDK_SESPARSE)
		return run_checked(x, grain, most, first);
	if (most > RUN_GRAINS)
		most = RUN_GRAINS;
	if (first->kind != VD_EXT_DATA)
		return vd_table_run(x->table, grain, most, value, 0);
	n = vd_table_run(x->table, grain, most < RUN_CHECKED ? most
			 : RUN_CHECKED, value, x->h.grain_sectors);
	for (uint64_t i = 1; i < n; i++) {
		value += x->h.grain_sectors;
		if (vmdk_pointer_wrong(x, value, grain_bytes(x, grain + i)))
			return i;
	}
	return n;
}

/* off, len: inside the extent; so are the offsets of the answer. */
int
vmdk_sparse_map(struct vmdk_extent *x, uint64_t off, uint64_t len,
		struct vd_extent *ext, struct vd_err *err)
{
	uint64_t grain = off / x->grain, unit = grain * x->grain, run, n;
	struct found first;
	int ret;

	ext->unit_off = unit;
	ext->unit_len = grain_bytes(x, grain);
	ret = look_up(x, grain, ext->unit_len, false, &first, err);
	if (ret)
		return ret;
	ext->kind = first.kind;
	run = unit + ext->unit_len - off;
	if (run < len) {
		n = run_of(x, grain, (len - run + x->grain - 1) / x->grain + 1,
			   &first);
		if (n > 1)
			run = (grain + n) * x->grain - off;
	}
	ext->len = run < len ? run : len;
	if (ext->kind == VD_EXT_DATA) {
		ext->file = x->file;
		ext->host_off = first.host_off + (off - unit);
	}
	return 0;
}

static int
check_capacity(const struct vmdk *v, struct vmdk_extent *x, uint64_t sectors,
	       struct vd_err *err)
{
	uint64_t more = x->h.capacity - sectors;

	if (x->h.capacity < sectors)
		return vd_fail(err, EINVAL, 12, "the header has room for %"
			       PRIu64 " sectors, but the descriptor says %"
			       PRIu64, x->h.capacity, sectors);
	if (more >= x->h.grain_sectors && !v->desc.resizing)
		return vd_fail(err, EINVAL, 12, "the header speaks of %" PRIu64
			       " sectors, the descriptor of %" PRIu64
			       ": one of them is wrong", x->h.capacity,
			       sectors);
	return 0;
}

int
vmdk_open_table(struct vmdk *v, struct vmdk_extent *x, struct vd_err *err)
{
	struct vd_table_spec spec = {
		.size = sizeof(spec), .entry_bytes = 4,
		.page_entries = x->h.gtes, .copies = x->rgd ? 2 : 1,
		.entries = (x->len + x->grain - 1) / x->grain,
		.locate = locate, .ctx = x,
	};

	vmdk_sparse_content(v, x->h.unclean, spec.content);
	return vd_table_open(v->host, x->file, &spec, &x->table, err);
}

static int
hosted_header(struct vmdk_extent *x, struct vd_err *err)
{
	uint8_t raw[VMDK_HEADER_LEN];
	int ret = vd_file_read(x->file, raw, sizeof(raw), 0, err);

	if (ret)
		return ret;
	if (!vmdk_header_decode(raw, &x->h))
		return vd_fail(err, EINVAL, 0, "not a sparse extent: no "
			       "\"KDMV\" at its start");
	x->unclean_at = VMDK_HEADER_UNCLEAN;
	ret = vmdk_header_check(&x->h, x->size, err);
	return ret ? ret : vmdk_header_supported(&x->h, err);
}

static bool
reads_only(const struct vmdk *v, const struct vmdk_extent *x)
{
	return v->rdonly || x->frozen;
}

static void
take_header(struct vmdk_extent *x)
{
	x->grain = x->h.grain_sectors * VMDK_SECTOR;
	x->ntables = (uint32_t)vmdk_header_tables(&x->h);
}

static int
open_directories(const struct vmdk *v, struct vmdk_extent *x,
		 struct vd_err *err)
{
	int ret;

	take_header(x);
	ret = vmdk_read_directory(x, x->h.gd_sector, false, &x->gd, err);
	/* A reader can do without the copies. */
	if (!ret && (x->h.flags & VMDK_F_RGD))
		ret = vmdk_read_directory(x, x->h.rgd_sector, reads_only(v, x),
					  &x->rgd, err);
	if (!ret)
		ret = find_spans(x, err);
	if (!ret && !reads_only(v, x))
		ret = vmdk_sparse_writable(x, v->marked, err);
	return ret;
}

int
vmdk_sparse_rehearse(const struct vmdk *v, const struct vmdk_extent *x,
		     const struct vmdk_header *h, uint64_t sectors,
		     struct vd_err *err)
{
	struct vmdk_extent next = {
		.kind = x->kind, .file = x->file, .h = *h,
		.size = vd_file_size(x->file), .len = sectors * VMDK_SECTOR,
		.unclean_at = x->unclean_at, .have_lock = true,
	};
	int ret;

	pthread_mutex_init(&next.lock, NULL);
	ret = vmdk_header_check(h, next.size, err);
	if (!ret)
		ret = vmdk_header_supported(h, err);
	if (!ret)
		ret = open_directories(v, &next, err);
	if (ret)
		vd_err_file(err, vd_file_name(x->file));
	vmdk_sparse_free(&next);
	return ret;
}

/* The file may end where the disk does, within its last grain. */
static void
find_last(struct vmdk_extent *x)
{
	uint64_t last = (x->len - 1) / x->grain, e;

	if (!vd_table_get(x->table, last, &e, NULL) && e > 1 &&
	    !vmdk_pointer_wrong(x, e, grain_bytes(x, last)))
		x->last_end = e * VMDK_SECTOR + x->grain;
}

/*
 * x->file and x->len are set.  Bounds first, then allocations: a directory is
 * as long as the file can hold at most.
 */
int
vmdk_sparse_open(struct vmdk *v, struct vmdk_extent *x, uint64_t sectors,
		 struct vd_err *err)
{
	int ret;

	x->size = vd_file_size(x->file);
	pthread_mutex_init(&x->lock, NULL);
	x->have_lock = true;
	if (x->kind == VMDK_SESPARSE) {
		ret = vmdk_sesparse_open(v, x, err);
		return ret ? ret : check_capacity(v, x, sectors, err);
	}
	ret = x->kind == VMDK_COWD ? vmdk_cowd_header(x, err)
				   : hosted_header(x, err);
	if (!ret)
		ret = check_capacity(v, x, sectors, err);
	if (ret)
		return ret;
	if (vmdk_header_is_stream(&x->h)) {
		take_header(x);
		return vmdk_stream_open(v, x, err);
	}
	ret = open_directories(v, x, err);
	if (!ret)
		ret = vmdk_open_table(v, x, err);
	if (!ret && !reads_only(v, x)) {
		find_last(x);
		ret = vmdk_sparse_recovered(x, err);
	}
	return ret;
}

void
vmdk_sparse_free(struct vmdk_extent *x)
{
	vd_table_close(x->table);
	vmdk_stream_free(x);
	vmdk_room_end(x);
	free(x->gd);
	free(x->rgd);
	free(x->spans);
	if (x->have_lock)
		pthread_mutex_destroy(&x->lock);
}
