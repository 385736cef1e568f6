/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdi-craft - make a VDI by hand, or show one; knows nothing of the library.
 *
 *	vdi-craft x.vdi size=3M block=64k extra=512 map=457 data=5001 1,free,0,zero
 *	vdi-craft -s x.vdi
 *
 * The last word is the block map; what it does not name is free.  Block i that
 * has a slot is filled with the byte 0x40 + i, its extra part with 0xee.  Keys
 * set header fields; those not given are what a careful writer would choose.
 * create=, modify=, link= and linkmod= set the first 4 bytes of a UUID.
 * version=2 makes the header of version 0, with the map right behind it.
 * raw=OFF:VALUE, given as often as needed, overwrites 4 bytes at the end;
 * len=N cuts or extends the file.
 */
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIZE, BLOCK, EXTRA, MAP, DATA, HEADER, TYPE, FLAGS, COUNT, BLOCKS,
       VERSION, SECTOR, LINK, LINKMOD, CREATE, MODIFY, LEN, KEYS };
static const char *const keys[KEYS] = {
	"size", "block", "extra", "map", "data", "header", "type", "flags",
	"count", "blocks", "version", "sector", "link", "linkmod", "create",
	"modify", "len" };
static uint64_t val[KEYS];
static int given[KEYS];

static FILE *f;

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t
number(const char *s)
{
	char *end;
	uint64_t n = strtoull(s, &end, 0);

	switch (*end) {
	case 'T': n <<= 10;	/* fall through */
	case 'G': n <<= 10;	/* fall through */
	case 'M': n <<= 10;	/* fall through */
	case 'k': n <<= 10;
	}
	return n;
}

static void
put(uint64_t off, uint64_t v, unsigned bytes)
{
	v = htole64(v);
	if (fseeko(f, (off_t)off, SEEK_SET) || fwrite(&v, bytes, 1, f) != 1)
		die("write");
}

static uint64_t
get(uint64_t off, unsigned bytes)
{
	uint64_t v = 0;

	if (fseeko(f, (off_t)off, SEEK_SET) || fread(&v, bytes, 1, f) != 1)
		return 0;
	return le64toh(v);
}

static void
fill(uint64_t off, int byte, uint64_t len)
{
	if (fseeko(f, (off_t)off, SEEK_SET))
		die("seek");
	while (len--)
		if (putc(byte, f) == EOF)
			die("write");
}

static void
usual(int key, uint64_t v)
{
	if (!given[key])
		val[key] = v;
}

static uint32_t
entry(const char *word)
{
	if (!strcmp(word, "free"))
		return 0xffffffff;
	if (!strcmp(word, "zero"))
		return 0xfffffffe;
	return (uint32_t)number(word);
}

static void
put_header_v0(void)
{
	put(72, val[TYPE], 4);
	put(76, val[FLAGS], 4);
	put(352, val[SIZE], 8);
	put(360, val[BLOCK], 4);
	put(364, val[BLOCKS], 4);
	put(368, val[COUNT], 4);
	put(372, val[CREATE], 4);
	put(388, val[MODIFY], 4);
	put(404, val[LINK], 4);
	put(416, 0, 4);
}

static void
put_header(void)
{
	static const char text[] = "<<< crafted by hand >>>\n";

	if (fwrite(text, sizeof(text), 1, f) != 1)
		die("write");
	put(64, 0xbeda107f, 4);
	put(68, val[VERSION], 4);
	if (val[VERSION] >> 16 == 0) {
		put_header_v0();
		return;
	}
	put(72, val[HEADER], 4);
	put(76, val[TYPE], 4);
	put(80, val[FLAGS], 4);
	put(340, val[MAP], 4);
	put(344, val[DATA], 4);
	put(360, val[SECTOR], 4);
	put(368, val[SIZE], 8);
	put(376, val[BLOCK], 4);
	put(380, val[EXTRA], 4);
	put(384, val[BLOCKS], 4);
	put(388, val[COUNT], 4);
	put(392, val[CREATE], 4);
	put(408, val[MODIFY], 4);
	put(424, val[LINK], 4);
	put(440, val[LINKMOD], 4);
	if (val[HEADER] >= 400 && val[MAP] >= 472)
		put(468, 512, 4);
}

static int
make(char **word, int n)
{
	uint64_t i, used = 0, stride;
	uint32_t *map;
	char *w, *raw[16];
	int nraw = 0;

	for (; n && strchr(*word, '='); word++, n--) {
		if (!strncmp(*word, "raw=", 4) && nraw < 16) {
			raw[nraw++] = *word + 4;
			continue;
		}
		for (i = 0; i < KEYS; i++)
			if (!strncmp(*word, keys[i], strlen(keys[i])) &&
			    (*word)[strlen(keys[i])] == '=') {
				val[i] = number(strchr(*word, '=') + 1);
				given[i] = 1;
				break;
			}
		if (i == KEYS) {
			fprintf(stderr, "vdi-craft: no key %s\n", *word);
			return 2;
		}
	}
	usual(SIZE, 4 << 20);
	usual(BLOCK, 1 << 20);
	usual(BLOCKS, (val[SIZE] - 1) / (val[BLOCK] ? val[BLOCK] : 1) + 1);
	usual(HEADER, 400);
	usual(TYPE, 1);
	usual(VERSION, 0x10001);
	usual(MAP, val[VERSION] >> 16 ? 512 : 420);
	usual(DATA, val[VERSION] >> 16
	      ? (val[MAP] + 4 * val[BLOCKS] + 511) & ~UINT64_C(511)
	      : 420 + 4 * val[BLOCKS]);
	usual(SECTOR, 512);
	usual(CREATE, given[MODIFY] && !val[MODIFY] ? 0 : 0xc0ffee);
	usual(MODIFY, 0xfeed);

	map = malloc(val[BLOCKS] * 4 + 4);
	if (!map)
		die("malloc");
	memset(map, 0xff, val[BLOCKS] * 4);
	w = n ? strtok(*word, ",") : NULL;
	for (i = 0; w && i < val[BLOCKS]; i++, w = strtok(NULL, ",")) {
		map[i] = entry(w);
		if (map[i] < 0xfffffffe && map[i] + UINT64_C(1) > used)
			used = map[i] + UINT64_C(1);
	}
	usual(COUNT, used);
	put_header();
	stride = val[BLOCK] + val[EXTRA];
	for (i = 0; i < val[BLOCKS]; i++) {
		uint64_t at = val[DATA] + stride * map[i];

		put(val[MAP] + 4 * i, map[i], 4);
		if (map[i] >= val[BLOCKS])
			continue;
		fill(at, 0xee, val[EXTRA]);
		fill(at + val[EXTRA], 0x40 + (int)i, val[BLOCK]);
	}
	free(map);
	while (nraw--)
		put(number(raw[nraw]), number(strchr(raw[nraw], ':') + 1), 4);
	if (fflush(f) || (given[LEN] && ftruncate(fileno(f), (off_t)val[LEN])))
		die("truncate");
	return 0;
}

static int
show(void)
{
	uint64_t map = get(340, 4), n = get(384, 4), i;

	printf("type %" PRIu64 "\nsize %" PRIu64 "\n", get(76, 4), get(368, 8));
	printf("count %" PRIu64 "\n", get(388, 4));
	printf("create %08" PRIx64 "\nmodify %016" PRIx64 "%016" PRIx64 "\n",
	       get(392, 4), get(408, 8), get(416, 8));
	printf("link %08" PRIx64 " %016" PRIx64 "%016" PRIx64 "\n",
	       get(424, 4), get(440, 8), get(448, 8));
	printf("map");
	for (i = 0; i < n && i < 64; i++) {
		uint64_t e = get(map + 4 * i, 4);

		if (e == 0xffffffff)
			printf(" free");
		else if (e == 0xfffffffe)
			printf(" zero");
		else
			printf(" %" PRIu64, e);
	}
	putchar('\n');
	return 0;
}

int
main(int argc, char **argv)
{
	int status = 2;

	if (argc == 3 && !strcmp(argv[1], "-s")) {
		f = fopen(argv[2], "rb");
		if (!f)
			die(argv[2]);
		status = show();
	} else if (argc >= 2 && argv[1][0] != '-') {
		f = fopen(argv[1], "w+b");
		if (!f)
			die(argv[1]);
		status = make(argv + 2, argc - 2);
	} else {
		fputs("usage: vdi-craft FILE [key=value...] [map] | -s FILE\n",
		      stderr);
		return 2;
	}
	if (fclose(f))
		die("close");
	return status;
}
