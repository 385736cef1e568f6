/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sesparse.c - read space-efficient sparse extents (seSparse), as ESXi makes
 * them.
 *
 * Everything is in 64 bits, and every size but one is fixed.  Only read: how
 * its journal is written is not published, and an extent whose journal has to
 * be replayed first is refused.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

#define MAGIC		0xcafebabeu
#define VOLATILE_MAGIC	0xcafecafeu
#define VERSION		0x200000001u
#define GRAIN		8u		/* sectors */
#define TABLE		64u		/* sectors: 4096 entries */
#define ENTRIES		4096u
#define DIRECTORY_MAX	(1u << 22)	/* tables: 64 TiB */

enum {	/* 64-bit words of the header */
	W_MAGIC, W_VERSION, W_CAPACITY, W_GRAIN, W_TABLE, W_FLAGS,
	W_VOLATILE = 10, W_GD = 16, W_TABLES = 18, W_GRAINS = 24,
	W_PAD = 26, W_ALL = 64,
};

static int
read_words(struct vmdk_extent *x, uint64_t sector, uint64_t w[W_ALL],
	   struct vd_err *err)
{
	int ret = vd_file_read(x->file, w, W_ALL * 8, sector * VMDK_SECTOR,
			       err);

	for (unsigned i = 0; i < W_ALL && !ret; i++)
		w[i] = le64toh(w[i]);
	return ret;
}

static int
check_words(const uint64_t w[W_ALL], struct vd_err *err)
{
	static const struct {
		unsigned word;
		uint64_t value;
		const char *name;
	} fixed[] = {
		{ W_VERSION, VERSION, "version" },
		{ W_GRAIN, GRAIN, "grain size" },
		{ W_TABLE, TABLE, "table size" },
		{ W_FLAGS, 0, "flags" },
		{ W_FLAGS + 1, 0, "reserved field" },
		{ W_FLAGS + 2, 0, "reserved field" },
		{ W_FLAGS + 3, 0, "reserved field" },
		{ W_FLAGS + 4, 0, "reserved field" },
	};

	if (w[W_MAGIC] != MAGIC)
		return vd_fail(err, EINVAL, 0, "not a space-efficient sparse "
			       "extent");
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (w[fixed[i].word] != fixed[i].value)
			return vd_fail(err, ENOTSUP, fixed[i].word * 8,
				       "%s is 0x%" PRIx64 ", only 0x%" PRIx64
				       " is known", fixed[i].name,
				       w[fixed[i].word], fixed[i].value);
	for (unsigned i = W_PAD; i < W_ALL; i++)
		if (w[i])
			return vd_fail(err, ENOTSUP, i * 8, "something behind "
				       "what is known of the header");
	if (!w[W_CAPACITY] || w[W_CAPACITY] > (uint64_t)DIRECTORY_MAX *
	    ENTRIES * GRAIN)
		return vd_fail(err, EINVAL, W_CAPACITY * 8, "capacity of %"
			       PRIu64 " sectors is beyond 64 TiB",
			       w[W_CAPACITY]);
	return 0;
}

/* Do n sectors from there lie in the file? */
static int
inside(const struct vmdk_extent *x, const uint64_t w[W_ALL], unsigned word,
       uint64_t n, const char *what, struct vd_err *err)
{
	uint64_t most = x->size / VMDK_SECTOR;

	if (w[word] && w[word] <= most && n <= most - w[word])
		return 0;
	return vd_fail(err, EINVAL, word * 8, "%s at sector %" PRIu64
		       " is outside the file", what, w[word]);
}

static int
check_journal(struct vmdk_extent *x, uint64_t sector, struct vd_err *err)
{
	uint64_t w[W_ALL];
	int ret = read_words(x, sector, w, err);

	if (ret)
		return ret;
	if (w[0] != VOLATILE_MAGIC)
		return vd_fail(err, EINVAL, sector * VMDK_SECTOR, "volatile "
			       "header has the wrong magic 0x%" PRIx64, w[0]);
	if (!w[3])
		return 0;
	ret = vd_fail(err, ENOTSUP, sector * VMDK_SECTOR + 24, "was not "
		      "closed: its journal would have to be replayed, which "
		      "only ESXi can");
	vd_err_help(err, "open and close it there once, or copy it there with "
		    "vmkfstools -i");
	return ret;
}

/* Which table: its number + 1, as x->gd has it; 0 is none. */
static int
read_gd(struct vmdk_extent *x, uint64_t sector, struct vd_err *err)
{
	uint64_t *raw = calloc(x->ntables, 8), most;
	int ret;

	x->gd = calloc(x->ntables, sizeof(*x->gd));
	if (!raw || !x->gd) {
		free(raw);
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for a "
			       "grain directory");
	}
	most = (x->size / VMDK_SECTOR - x->se_tables) / TABLE;
	ret = vd_file_read(x->file, raw, (size_t)x->ntables * 8,
			   sector * VMDK_SECTOR, err);
	for (uint32_t i = 0; i < x->ntables && !ret; i++) {
		uint64_t e = le64toh(raw[i]);

		if (!e)
			continue;
		if (e >> 32 != 0x10000000 || (uint32_t)e >= most)
			ret = vd_fail(err, EINVAL, sector * VMDK_SECTOR +
				      (uint64_t)i * 8, "directory entry 0x%"
				      PRIx64 " is no table inside the file",
				      e);
		x->gd[i] = (uint32_t)e + 1;
	}
	free(raw);
	return ret;
}

static void
locate(void *ctx, uint64_t page, uint64_t off[2])
{
	struct vmdk_extent *x = ctx;

	off[0] = x->gd[page] ? (x->se_tables + (uint64_t)(x->gd[page] - 1) *
				TABLE) * VMDK_SECTOR : 0;
	off[1] = 0;
}

/* x->file, x->len and x->size are set. */
int
vmdk_sesparse_open(struct vmdk *v, struct vmdk_extent *x, struct vd_err *err)
{
	struct vd_table_spec spec = {
		.size = sizeof(spec), .entry_bytes = 8,
		.page_entries = ENTRIES, .copies = 1,
		.locate = locate, .ctx = x,
	};
	uint64_t w[W_ALL];
	int ret = read_words(x, 0, w, err);

	x->frozen = true;
	if (!ret)
		ret = check_words(w, err);
	if (ret)
		return ret;
	x->h = (struct vmdk_header){ .capacity = w[W_CAPACITY],
				     .grain_sectors = GRAIN,
				     .gtes = ENTRIES };
	x->grain = GRAIN * VMDK_SECTOR;
	x->ntables = (uint32_t)vmdk_header_tables(&x->h);
	if ((uint64_t)x->ntables * 8 > w[W_GD + 1] * VMDK_SECTOR &&
	    w[W_GD + 1] < DIRECTORY_MAX)
		return vd_fail(err, EINVAL, W_GD * 8 + 8, "grain directory of "
			       "%" PRIu64 " sectors is too short for %u "
			       "tables", w[W_GD + 1], x->ntables);
	x->se_tables = w[W_TABLES];
	x->se_grains = w[W_GRAINS];
	ret = inside(x, w, W_VOLATILE, 1, "volatile header", err);
	if (!ret)
		ret = inside(x, w, W_GD, ((uint64_t)x->ntables * 8 +
			     VMDK_SECTOR - 1) / VMDK_SECTOR,
			     "grain directory", err);
	if (!ret)
		ret = inside(x, w, W_TABLES, 0, "grain tables", err);
	if (!ret)
		ret = inside(x, w, W_GRAINS, 0, "data", err);
	if (!ret)
		ret = check_journal(x, w[W_VOLATILE], err);
	if (!ret)
		ret = read_gd(x, w[W_GD], err);
	if (ret)
		return ret;
	spec.entries = (x->len + x->grain - 1) / x->grain;
	vmdk_sparse_content(v, false, spec.content);
	return vd_table_open(v->host, x->file, &spec, &x->table, err);
}

/*
 * What an entry says.  Unmapped by the guest (1) reads as zeros: it was data
 * once, and what the parent has there is older.  *wrong: why it says nothing.
 */
uint32_t
vmdk_sesparse_entry(struct vmdk_extent *x, uint64_t e, uint64_t *host_off,
		    const char **wrong)
{
	uint64_t sector = x->se_grains +
		((e >> 48 & 0xfff) | (e & 0xffffffffffff) << 12) * GRAIN;

	*wrong = NULL;
	switch (e >> 60) {
	case 0:
		if (e)
			*wrong = "is neither in use nor free";
		return VD_EXT_HOLE;
	case 1:
	case 2:
		return VD_EXT_ZERO;
	case 3:
		/* 60 bits of grains: beyond any file, and no overflow. */
		if ((e & 0xffffffffffff) >> 40 ||
		    sector + GRAIN > (x->size + VMDK_SECTOR - 1) / VMDK_SECTOR)
			*wrong = "points past the end of the file";
		*host_off = sector * VMDK_SECTOR;
		return VD_EXT_DATA;
	}
	*wrong = "is of no known kind";
	return VD_EXT_HOLE;
}
