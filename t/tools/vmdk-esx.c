/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmdk-esx.c - the two kinds of sparse extent that ESX makes, sane or not. */
/*
 *	vmdk-esx cowd FILE [KEY=VALUE | GRAIN[,SECTOR]]...
 *	vmdk-esx se FILE [KEY=VALUE | GRAIN[,ENTRY]]...
 *	vmdk-esx -s FILE
 *
 * Numbers in C manner.  A grain holds the byte 0x40 + GRAIN unless where it is
 * to be (COWD) or its whole entry (se) is given.  Keys: size (MiB), grain
 * (sectors, cowd only), len (bytes of the file at the end), bN=VALUE (the 32-bit
 * word at byte N).  -s shows a COWD extent.
 */
#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fd;

static void
put(const void *p, size_t len, uint64_t off)
{
	if (pwrite(fd, p, len, (off_t)off) != (ssize_t)len)
		exit(3);
}

static void
put32(uint32_t v, uint64_t off)
{
	v = htole32(v);
	put(&v, 4, off);
}

static void
put64(uint64_t v, uint64_t off)
{
	v = htole64(v);
	put(&v, 8, off);
}

static uint32_t
get32(uint64_t off)
{
	uint32_t v = 0;

	return pread(fd, &v, 4, (off_t)off) == 4 ? le32toh(v) : 0;
}

static uint64_t
key(char **args, int n, const char *name, uint64_t usual)
{
	size_t len = strlen(name);

	for (int i = 0; i < n; i++)
		if (!strncmp(args[i], name, len) && args[i][len] == '=')
			return strtoull(args[i] + len + 1, NULL, 0);
	return usual;
}

static void
fill(uint64_t grain, uint64_t off, size_t len)
{
	char *p = malloc(len);

	memset(p, 0x40 + (int)grain, len);
	put(p, len, off);
	free(p);
}

static uint64_t
size_of_file(void)
{
	struct stat st;

	fstat(fd, &st);
	return ((uint64_t)st.st_size + 511) / 512 * 512;
}

/* The table of a grain, made when it is needed, at the end. */
static uint64_t
cowd_table(uint64_t i)
{
	uint64_t at = get32(2048 + i * 4) * 512ull;

	if (!at) {
		at = size_of_file();
		if (ftruncate(fd, (off_t)at + 16384))
			exit(3);
		put32((uint32_t)(at / 512), 2048 + i * 4);
	}
	return at;
}

static void
cowd(char **args, int n)
{
	uint64_t sectors = key(args, n, "size", 8) * 2048;
	uint64_t size = key(args, n, "grain", 1) * 512;
	uint64_t tables = (sectors * 512 + size * 4096 - 1) / (size * 4096);
	uint32_t head[8] = { 0x44574f43, 1, 3, (uint32_t)sectors,
			     (uint32_t)(size / 512), 4, (uint32_t)tables, 0 };

	for (int i = 0; i < 8; i++)
		put32(head[i], (uint64_t)i * 4);
	if (ftruncate(fd, (off_t)(2048 + (tables * 4 + 511) / 512 * 512)))
		exit(3);
	for (int i = 0; i < n; i++) {
		char *p;
		uint64_t grain, table, at;

		if (args[i][0] < '0' || args[i][0] > '9')
			continue;
		grain = strtoull(args[i], &p, 0);
		table = cowd_table(grain / 4096);
		at = size_of_file();
		if (*p)
			at = strtoull(p + 1, NULL, 0) * 512;
		else
			fill(grain, at, size);
		put32((uint32_t)(at / 512), table + grain % 4096 * 4);
	}
	put32((uint32_t)(size_of_file() / 512), 28);
}

/* Places in sectors: volatile 1, directory 8, tables 64, grains behind. */
static void
se(char **args, int n)
{
	uint64_t sectors = key(args, n, "size", 64) * 2048;
	uint64_t tables = (sectors + 32767) / 32768, next = 0;
	uint64_t grains = 64 + tables * 64;
	static const uint64_t first[] = { 0xcafebabe, 0x200000001, 0, 8, 64 };

	for (int i = 0; i < 5; i++)
		put64(i == 2 ? sectors : first[i], (uint64_t)i * 8);
	put64(1, 80);
	put64(8, 128);
	put64(48, 136);
	put64(64, 144);
	put64(grains, 192);
	put64(0xcafecafe, 512);
	if (ftruncate(fd, (off_t)grains * 512))
		exit(3);
	/* Tables in backward order: their numbers count. */
	for (uint64_t i = 0; i < tables; i++)
		put64(0x1000000000000000 | (tables - 1 - i), 4096 + i * 8);
	for (int i = 0; i < n; i++) {
		char *p;
		uint64_t grain, e, at;

		if (args[i][0] < '0' || args[i][0] > '9')
			continue;
		grain = strtoull(args[i], &p, 0);
		e = 0x3000000000000000 | (next & 0xfff) << 48 | next >> 12;
		if (*p)
			e = strtoull(p + 1, NULL, 0);
		else
			fill(grain, (grains + next * 8) * 512, 4096);
		next += !*p;
		at = (64 + (tables - 1 - grain / 4096) * 64) * 512;
		put64(e, at + grain % 4096 * 8);
	}
}

static int
show(void)
{
	uint32_t grains = get32(12) / get32(16);

	printf("free %u\nunclean %u\nlen %" PRIu64 "\nmap", get32(28),
	       get32(1648), size_of_file());
	for (uint32_t g = 0; g < grains; g++) {
		uint64_t t = get32(2048 + g / 4096 * 4) * 512ull;
		uint32_t e = t ? get32(t + g % 4096 * 4) : 0;

		if (e)
			printf(" %u:%u", g, e);
	}
	printf("\n");
	return 0;
}

int
main(int argc, char **argv)
{
	bool looks = argc == 3 && !strcmp(argv[1], "-s");
	uint64_t len;

	if (argc < 3)
		return 2;
	fd = open(argv[2], looks ? O_RDONLY : O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (fd < 0)
		return 3;
	if (looks)
		return show();
	if (!strcmp(argv[1], "cowd"))
		cowd(argv + 3, argc - 3);
	else
		se(argv + 3, argc - 3);
	for (int i = 3; i < argc; i++)
		if (argv[i][0] == 'b' && strchr(argv[i], '='))
			put32((uint32_t)strtoul(strchr(argv[i], '=') + 1,
						NULL, 0),
			      strtoull(argv[i] + 1, NULL, 0));
	len = key(argv + 3, argc - 3, "len", UINT64_MAX);
	return len != UINT64_MAX && ftruncate(fd, (off_t)len) ? 3 : 0;
}
