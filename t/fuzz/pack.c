/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pack.c - files into an input, an input into files.
 *
 *	pack [-s SEED] [-h HOW] OUT FILE...	the first is the image
 *	pack -x INPUT FOLDER
 *
 * Zeros are left out, long runs of one byte told in short.  The requests are
 * made of the seed; 0 is none.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "fuzz.h"

#define GAP	24u		/* zeros that end a region */
#define PART	16384u		/* a region is no longer than that */
#define LONG	64u		/* a run worth being told in short */

static struct fz_input z;

static void
die(const char *what)
{
	perror(what);
	exit(3);
}

static size_t
run_of(const uint8_t *p, size_t n)
{
	size_t i = 1;

	while (i < n && p[i] == p[0])
		i++;
	return i;
}

/* The length of what is to be one region. */
static size_t
length_of(const uint8_t *p, size_t n)
{
	size_t i = 0, run;

	while (i < n && i < PART) {
		run = run_of(p + i, n - i);
		if ((!p[i] && run >= GAP) || run >= LONG)
			break;
		i += run;
	}
	return i < PART ? i : PART;
}

static void
add(struct fz_file *f, uint64_t off, const uint8_t *p, size_t len, size_t n)
{
	struct fz_region *r = fz_add(&z, f, off, (uint32_t)len, n);

	if (!r) {
		fprintf(stderr, "pack: %s has too much in it\n", f->name);
		exit(1);
	}
	memcpy(r->data, p, n);
}

static void
pack_bytes(struct fz_file *f, uint64_t off, const uint8_t *p, size_t n)
{
	size_t i = 0, len;

	while (i < n) {
		len = run_of(p + i, n - i);
		if (!p[i] && (len >= GAP || i + len == n)) {
			i += len;
			continue;
		}
		if (len >= LONG) {
			add(f, off + i, p + i, len, 1);
			i += len;
			continue;
		}
		len = length_of(p + i, n - i);
		add(f, off + i, p + i, len, len);
		i += len;
	}
}

static void
pack_file(const char *path)
{
	struct fz_file *f = &z.file[z.nfiles++];
	const char *base = strrchr(path, '/');
	int fd = open(path, O_RDONLY);
	off_t at = 0, end;
	struct stat st;
	uint8_t *buf;

	if (fd < 0 || fstat(fd, &st))
		die(path);
	base = base ? base + 1 : path;
	if (strlen(base) >= FZ_NAME || z.nfiles > FZ_FILES)
		die("pack: too long a name, or too many files");
	strcpy(f->name, base);
	f->size = (uint64_t)st.st_size;
	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		end = lseek(fd, at, SEEK_HOLE);
		if (end - at > FZ_FILL_MAX)
			end = at + FZ_FILL_MAX;
		buf = malloc((size_t)(end - at));
		if (!buf || pread(fd, buf, (size_t)(end - at), at) != end - at)
			die(path);
		pack_bytes(f, (uint64_t)at, buf, (size_t)(end - at));
		free(buf);
		at = end;
	}
	close(fd);
}

static void
requests(unsigned seed)
{
	srand(seed);
	z.nrequests = seed ? 4 + seed % 12 : 0;
	for (unsigned i = 0; i < z.nrequests; i++)
		z.request[i] = (struct fz_request){
			(uint8_t)rand(), (uint8_t)rand(), (uint16_t)rand(),
			(uint32_t)rand() };
}

static int
unpack(const char *path, const char *dir)
{
	static uint8_t data[1 << 20];
	FILE *in = fopen(path, "rb");
	char name[4096];

	if (!in)
		die(path);
	fz_load(&z, data, fread(data, 1, sizeof(data), in), "a");
	for (unsigned i = 0; i < z.nfiles; i++) {
		struct fz_file *f = &z.file[i];
		int fd;

		snprintf(name, sizeof(name), "%s/%s", dir, f->name);
		fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
		if (fd < 0)
			die(name);
		for (unsigned k = 0; k < f->nregions; k++)
			for (uint32_t n = 0; n < f->region[k].len; n++)
				pwrite(fd, f->region[k].data + n %
				       f->region[k].n, 1,
				       (off_t)f->region[k].off + n);
		if (ftruncate(fd, (off_t)f->size))
			die(name);
		close(fd);
		printf("%s %llu\n", name, (unsigned long long)f->size);
	}
	printf("how %u, %u requests\n", z.how, z.nrequests);
	return 0;
}

int
main(int argc, char **argv)
{
	static uint8_t out[FZ_ROOM];
	unsigned seed = 0;
	size_t n;
	FILE *f;
	int c;

	while ((c = getopt(argc, argv, "xs:h:")) != -1) {
		if (c == 'x' && argc == optind + 2)
			return unpack(argv[optind], argv[optind + 1]);
		else if (c == 's') seed = (unsigned)atoi(optarg);
		else if (c == 'h') z.how = (uint8_t)atoi(optarg);
		else return 2;
	}
	if (argc - optind < 2)
		return 2;
	for (int i = optind + 1; i < argc; i++)
		pack_file(argv[i]);
	requests(seed);
	n = fz_save(&z, out, sizeof(out));
	f = fopen(argv[optind], "wb");
	if (!f || fwrite(out, 1, n, f) != n || fclose(f))
		die(argv[optind]);
	return 0;
}
