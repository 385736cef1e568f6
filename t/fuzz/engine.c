/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * engine.c - what libFuzzer calls.  The target is the name of the program:
 * links to it are called read-vdi, repair-vmdk, ...
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "heap.h"
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
			       unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t alen,
				 const uint8_t *b, size_t blen, uint8_t *out,
				 size_t max, unsigned seed);

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	if (!fz_target((*argv)[0])) {
		fprintf(stderr, "fuzz: no target is called %s\n", (*argv)[0]);
		exit(2);
	}
	/* Most write much less; the others took most of the time. */
	fz_write_max = 6u << 20;
	heap_sanitized(NULL);	/* libFuzzer has its own word on a death */
	return 0;
}

static void
too_much(const char *why)
{
	fz_die("%s", why);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	heap_mark(FZ_HEAP_MAX, too_much);
	fz_run(data, size);
	heap_mark(0, NULL);
	return 0;
}

static void
name_of_first(char name[FZ_NAME])
{
	snprintf(name, FZ_NAME, "a.%s", fz_module());
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	static struct fz_input z;
	char name[FZ_NAME];
	size_t n;

	name_of_first(name);
	fz_seed(seed);
	fz_load(&z, data, size, name);
	fz_mutate(&z);
	n = fz_save(&z, data, max);
	return n ? n : size;
}

/* The files of one, with a file or the requests of the other. */
size_t
LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t alen, const uint8_t *b,
			  size_t blen, uint8_t *out, size_t max, unsigned seed)
{
	static struct fz_input x, y;
	char name[FZ_NAME];
	struct fz_file *from;
	size_t n;

	name_of_first(name);
	fz_seed(seed);
	fz_load(&x, a, alen, name);
	fz_load(&y, b, blen, name);
	from = &y.file[fz_any(y.nfiles)];
	if (!fz_any(3)) {
		memcpy(x.request, y.request, sizeof(x.request));
		x.nrequests = y.nrequests;
		x.how = y.how;
	} else if (x.nfiles < FZ_FILES && fz_any(3)) {
		x.file[x.nfiles++] = *from;
	} else {
		x.file[fz_any(x.nfiles)] = *from;
	}
	n = fz_save(&x, out, max);
	if (n)
		return n;
	n = alen < max ? alen : max;
	memcpy(out, a, n);
	return n;
}
