/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mutate.c - what an input can be changed into: by what its files are, or not.
 */
#include <string.h>
#include "fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

static uint64_t state;

void
fz_seed(unsigned seed)
{
	state = seed * 0x2545f4914f6cdd1du + 1;
}

static uint64_t
rnd(void)
{
	uint64_t x = state += 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

uint32_t
fz_any(uint32_t n)
{
	return n ? (uint32_t)(rnd() % n) : 0;
}

/* A number that is close to something. */
uint64_t
fz_nasty(const struct fz_file *f)
{
	static const uint64_t v[] = {
		0, 1, 2, 3, 4, 7, 8, 21, 63, 64, 127, 128, 255, 256, 511, 512,
		513, 1024, 2048, 4095, 4096, 65535, 65536, 0x100000, 0x200000,
		0x7fffffff, 0x80000000, 0xfffffffc, 0xfffffffd, 0xfffffffe,
		0xffffffff, 0x100000000, 1ull << 40, 1ull << 54,
		INT64_MAX - 511, INT64_MAX, 1ull << 63, UINT64_MAX - 511,
		UINT64_MAX,
	};

	switch (fz_any(7)) {
	case 0:
		return f->size + fz_any(1025) - 512;
	case 1:
		return f->size / 512 + fz_any(5) - 2;
	case 2:
		return 1ull << fz_any(64);
	case 3:
		return fz_any(2) ? rnd() : rnd() >> fz_any(64);
	case 4:
		return (1ull << fz_any(64)) + fz_any(3) - 1;
	default:
		return v[fz_any(sizeof(v) / sizeof(v[0]))];
	}
}

/* ------------------------------------------------ without knowing anything */

static void
change_bytes(struct fz_input *z, struct fz_file *f)
{
	struct fz_region *r;

	if (!f->nregions)
		return;
	r = &f->region[fz_any(f->nregions)];
	if (fz_any(2)) {
		LLVMFuzzerMutate(r->data, r->n, r->n);
	} else {
		unsigned width = 1u << fz_any(4);

		if (width <= r->n)
			fz_put(z, f, r->off + fz_any(r->n - width + 1),
			       fz_nasty(f), width);
	}
}

static void
change_region(struct fz_input *z, struct fz_file *f)
{
	struct fz_region *r, *new;

	if (!f->nregions)
		return;
	r = &f->region[fz_any(f->nregions)];	/* stays where it is */
	switch (fz_any(4)) {
	case 0:		/* somewhere else, too */
		new = fz_add(z, f, fz_any(2) ? f->size : fz_nasty(f) / 2,
			     r->len, r->n);
		if (!new)
			break;
		memcpy(new->data, r->data, r->n);
		if (new->off == f->size)
			f->size += new->len;
		break;
	case 1:
		*r = f->region[--f->nregions];
		break;
	case 2:
		r->off += fz_any(2) ? 512ull * fz_any(16) : fz_any(64) - 32ull;
		r->off &= INT64_MAX;
		break;
	default:
		fz_add(z, f, fz_nasty(f) / 2, 1 + fz_any(4096), 1 + fz_any(8));
	}
}

static void
change_size(struct fz_file *f)
{
	switch (fz_any(5)) {
	case 0:
		f->size = fz_any((uint32_t)(f->size < 1u << 30 ? f->size
							       : 1u << 30));
		break;
	case 1:
		f->size -= f->size < 1024 ? f->size : 1 + fz_any(1024);
		break;
	case 2:
		f->size += 1 + fz_any(70000);
		break;
	case 3:
		f->size = f->size / 512 * 512;
		break;
	default:
		f->size = fz_nasty(f);
	}
	f->size &= INT64_MAX;
}

static void
change_files(struct fz_input *z)
{
	unsigned i = fz_any(z->nfiles), k = fz_any(z->nfiles);
	static struct fz_file spare;
	char name[FZ_NAME];

	switch (fz_any(5)) {
	case 0:		/* a copy: whose regions are not shared by a poke */
		if (z->nfiles == FZ_FILES)
			break;
		z->file[z->nfiles] = z->file[i];
		memset(z->file[z->nfiles].name, 0, FZ_NAME);
		z->file[z->nfiles].name[0] = (char)('a' + z->nfiles);
		z->nfiles++;
		break;
	case 1:
		if (z->nfiles > 1)
			z->file[i] = z->file[--z->nfiles];
		break;
	case 2:		/* the contents change places */
		spare = z->file[i];
		z->file[i] = z->file[k];
		z->file[k] = spare;
		memcpy(name, z->file[i].name, FZ_NAME);
		memcpy(z->file[i].name, z->file[k].name, FZ_NAME);
		memcpy(z->file[k].name, name, FZ_NAME);
		break;
	case 3:
		memcpy(z->file[i].name, z->file[k].name, FZ_NAME);
		break;
	default:
		spare = z->file[i];
		z->file[i] = z->file[k];
		z->file[k] = spare;
	}
}

static void
change_requests(struct fz_input *z)
{
	struct fz_request *q;

	if (!fz_any(4))
		z->how = (uint8_t)fz_any(8);
	if (z->nrequests < FZ_REQUESTS && !fz_any(3))
		memset(&z->request[z->nrequests++], 0, sizeof(*q));
	else if (z->nrequests && !fz_any(6))
		z->nrequests--;
	if (!z->nrequests)
		return;
	q = &z->request[fz_any(z->nrequests)];
	q->what = (uint8_t)rnd();
	q->value = (uint8_t)rnd();
	q->len = (uint16_t)(fz_any(2) ? rnd() : fz_any(2048));
	if (fz_any(2))
		q->where = (uint32_t)rnd();
}

/* ------------------------------------------------------------------- all */

static bool
knowingly(struct fz_input *z, struct fz_file *f)
{
	static bool (*const how[])(struct fz_input *, struct fz_file *) = {
		fz_mutate_vdi, fz_mutate_vmdk, fz_mutate_delta,
		fz_mutate_text,
	};

	for (unsigned i = 0; i < sizeof(how) / sizeof(how[0]); i++)
		if (how[i](z, f))
			return true;
	return false;
}

void
fz_mutate(struct fz_input *z)
{
	unsigned n = 1 + fz_any(fz_any(3) ? 3 : 8);

	while (n--) {
		struct fz_file *f = &z->file[fz_any(3) ? 0 :
					     fz_any(z->nfiles)];
		unsigned how = fz_any(16);

		if (how < 10 && knowingly(z, f))
			continue;
		if (how < 12)
			change_bytes(z, f);
		else if (how == 12)
			change_region(z, f);
		else if (how == 13)
			change_size(f);
		else if (how == 14)
			change_requests(z);
		else
			change_files(z);
	}
}
