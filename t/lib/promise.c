/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * promise.c - every number a sector ever held, and when.
 */
#include <stdlib.h>
#include <string.h>
#include "promise.h"

#define FROZEN_MAX	16u
#define SIZES_MAX	32u

struct version {
	struct version *older;
	uint64_t	number;		/* 0: zeros */
	unsigned	op;
	size_t		begun;
};

struct frozen {
	char		name[16];
	uint64_t	sectors;
	uint64_t       *content;	/* a number a sector */
};

static struct version **newest;
static uint64_t *first, now_sectors, max_sectors, bad_sector;
static unsigned op;
static struct frozen frozen[FROZEN_MAX];
static unsigned nfrozen;
static struct { uint64_t sectors; size_t begun, ended; } sizes[SIZES_MAX];
static unsigned nsizes;

void
promise_begin(uint64_t sectors_max, uint64_t sectors)
{
	newest = calloc(sectors_max, sizeof(*newest));
	first = calloc(sectors_max, sizeof(*first));
	max_sectors = sectors_max;
	now_sectors = sectors;
	sizes[nsizes++].sectors = sectors;
}

void
promise_first(uint64_t sector, uint64_t number)
{
	first[sector] = number;
}

unsigned
promise_op(void)
{
	return ++op;
}

void
promise_write(uint64_t sector, uint64_t number, size_t begun)
{
	struct version *v = malloc(sizeof(*v));

	*v = (struct version){ newest[sector], number, op, begun };
	newest[sector] = v;
}

uint64_t
promise_newest(uint64_t sector)
{
	return newest[sector] ? newest[sector]->number : first[sector];
}

/* What lay behind the end of a shorter disk is zeros when it grows again. */
void
promise_resize(uint64_t sectors, size_t begun, size_t ended)
{
	op++;
	for (uint64_t i = sectors; i < max_sectors; i++)
		if (promise_newest(i))
			promise_write(i, 0, begun);
	now_sectors = sectors;
	sizes[nsizes].sectors = sectors;
	sizes[nsizes].begun = begun;
	sizes[nsizes++].ended = ended;
}

bool
promise_size_allowed(uint64_t sectors, size_t cut)
{
	unsigned i = nsizes - 1;

	while (i && sizes[i].begun >= cut)
		i--;
	if (sizes[i].sectors == sectors)
		return true;
	return i && sizes[i].ended > cut && sizes[i - 1].sectors == sectors;
}

static bool
allowed(uint64_t sector, uint64_t number, unsigned upto, size_t cut)
{
	for (struct version *v = newest[sector]; v; v = v->older) {
		if (v->begun <= cut && v->number == number)
			return true;
		if (v->op <= upto)
			return false;	/* this one had to be there */
	}
	return number == first[sector];
}

static bool
whole(const uint64_t *sector)
{
	return !memcmp(sector, sector + 1, 504);
}

long
promise_check(const uint64_t *content, uint64_t sectors, unsigned upto,
	      size_t cut)
{
	long bad = 0;

	for (uint64_t s = 0; s < sectors; s++) {
		const uint64_t *w = content + s * 64;

		if (whole(w) && allowed(s, w[0], upto, cut))
			continue;
		if (!bad++)
			bad_sector = s;
	}
	return bad;
}

uint64_t
promise_bad_sector(void)
{
	return bad_sector;
}

struct frozen *
promise_freeze(const char *name)
{
	struct frozen *f = &frozen[nfrozen++];

	strncpy(f->name, name, sizeof(f->name) - 1);
	f->sectors = now_sectors;
	f->content = calloc(now_sectors, sizeof(*f->content));
	for (uint64_t i = 0; i < now_sectors; i++)
		f->content[i] = promise_newest(i);
	return f;
}

struct frozen *
promise_frozen(const char *name)
{
	for (unsigned i = nfrozen; i > 0; i--)
		if (!strcmp(frozen[i - 1].name, name))
			return &frozen[i - 1];
	return NULL;
}

struct frozen *
promise_frozen_no(unsigned i)
{
	return i < nfrozen ? &frozen[i] : NULL;
}

const char *
promise_name(const struct frozen *f)
{
	return f->name;
}

bool
promise_newer(const struct frozen *a, const struct frozen *than)
{
	return a > than;
}

bool
promise_check_frozen(const struct frozen *f, const uint64_t *content,
		     uint64_t sectors)
{
	if (sectors != f->sectors)
		return false;
	for (uint64_t s = 0; s < sectors; s++)
		if (!whole(content + s * 64) ||
		    content[s * 64] != f->content[s])
			return false;
	return true;
}

void
promise_return_to(const struct frozen *f, size_t begun)
{
	op++;
	for (uint64_t i = 0; i < f->sectors; i++)
		if (promise_newest(i) != f->content[i])
			promise_write(i, f->content[i], begun);
}
