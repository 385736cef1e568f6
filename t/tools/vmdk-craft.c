/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmdk-craft.c - sparse extents as nobody sane would write them, and a look inside. */
/* objects: plugins/vmdk/header.o plugins/vmdk/text.o plugins/vmdk/desc.o */
/*
 *	vmdk-craft FILE [KEY=VALUE | GRAIN,SECTOR[,COPY]]...
 *	vmdk-craft -s FILE
 *
 * Makes a monolithicSparse image of 8 MiB with grains of 64 KiB in which every
 * table exists, then spoils it: GRAIN,SECTOR sets an entry of both tables (COPY
 * sets the redundant one apart); SECTOR `new' appends a grain full of the byte
 * 0x40 + GRAIN.  Keys, numbers in C manner: size (MiB) grain (sectors) version
 * flags unclean capacity sectors (of the extent line) gtes gd rgd overhead
 * newline compress desc descsize cid (text) parent (text) type (text) name (of
 * the extent) head (a line of text before it) line (one behind it) long (1: with a longContentID) gde=N,SECTOR
 * rgde=N,SECTOR len (bytes of the file, at the end).
 */
#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "plugins/vmdk/vmdk.h"

struct craft {
	int		fd;
	struct vmdk_header h;
	uint64_t	gd, rgd, ngt;	/* where things really are */
	uint64_t	sectors;
	const char     *cid, *parent, *type, *name, *head, *line;
	int		with_long;
};

static void
put(int fd, const void *buf, size_t len, uint64_t off)
{
	if (pwrite(fd, buf, len, (off_t)off) != (ssize_t)len) {
		perror("vmdk-craft");
		exit(3);
	}
}

static void
put32(int fd, uint32_t v, uint64_t off)
{
	v = htole32(v);
	put(fd, &v, 4, off);
}

static uint32_t
get32(int fd, uint64_t off)
{
	uint32_t v = 0;

	return pread(fd, &v, 4, (off_t)off) == 4 ? le32toh(v) : 0;
}

static uint64_t
table_at(const struct craft *c, uint64_t directory, uint64_t i)
{
	return (directory + (c->ngt * 4 + 511) / 512 + i * 4) * 512;
}

static void
directories(struct craft *c)
{
	for (uint64_t i = 0; i < c->ngt; i++) {
		put32(c->fd, (uint32_t)(table_at(c, c->gd, i) / 512),
		      c->gd * 512 + i * 4);
		put32(c->fd, (uint32_t)(table_at(c, c->rgd, i) / 512),
		      c->rgd * 512 + i * 4);
	}
}

static void
set_grain(struct craft *c, const char *arg)
{
	char *p;
	uint64_t grain = strtoull(arg, &p, 0);
	uint32_t sector = 0, copy;
	struct stat st;

	if (!strncmp(p, ",new", 4)) {
		char *fill = malloc(c->h.grain_sectors * 512);

		memset(fill, 0x40 + (int)grain, c->h.grain_sectors * 512);
		fstat(c->fd, &st);
		sector = (uint32_t)(st.st_size / 512);
		put(c->fd, fill, c->h.grain_sectors * 512, sector * 512ull);
		free(fill);
		p += 4;
	} else if (*p == ',') {
		sector = (uint32_t)strtoul(p + 1, &p, 0);
	}
	copy = *p == ',' ? (uint32_t)strtoul(p + 1, NULL, 0) : sector;
	put32(c->fd, sector, table_at(c, c->gd, grain / 512) +
	      grain % 512 * 4);
	put32(c->fd, copy, table_at(c, c->rgd, grain / 512) +
	      grain % 512 * 4);
}

static bool
set_key(struct craft *c, const char *arg, uint64_t *len)
{
	const char *v = strchr(arg, '=');
	size_t n = v ? (size_t)(v - arg) : 0;
	uint64_t x = v ? strtoull(++v, NULL, 0) : 0, sector = 0;
	const char *comma = v ? strchr(v, ',') : NULL;

	if (!n)
		return false;
	if (comma)
		sector = strtoull(comma + 1, NULL, 0);
#define KEY(word) (n == strlen(word) && !memcmp(arg, word, n))
	if (KEY("version")) c->h.version = (uint32_t)x;
	else if (KEY("flags")) c->h.flags = (uint32_t)x;
	else if (KEY("unclean")) c->h.unclean = (uint8_t)x;
	else if (KEY("capacity")) c->h.capacity = x;
	else if (KEY("sectors")) c->sectors = x;
	else if (KEY("gtes")) c->h.gtes = (uint32_t)x;
	else if (KEY("gd")) c->h.gd_sector = x;
	else if (KEY("rgd")) c->h.rgd_sector = x;
	else if (KEY("overhead")) c->h.overhead = x;
	else if (KEY("newline")) c->h.newline[2] = (uint8_t)x;
	else if (KEY("compress")) c->h.compress = (uint16_t)x;
	else if (KEY("desc")) c->h.desc_sector = x;
	else if (KEY("descsize")) c->h.desc_sectors = x;
	else if (KEY("grainsize")) c->h.grain_sectors = x;
	else if (KEY("cid")) c->cid = v;
	else if (KEY("parent")) c->parent = v;
	else if (KEY("type")) c->type = v;
	else if (KEY("name")) c->name = v;
	else if (KEY("head")) c->head = v;
	else if (KEY("line")) c->line = v;
	else if (KEY("long")) c->with_long = (int)x;
	else if (KEY("len")) *len = x;
	else if (KEY("gde")) put32(c->fd, (uint32_t)sector, c->gd * 512 + x * 4);
	else if (KEY("rgde")) put32(c->fd, (uint32_t)sector, c->rgd * 512 + x * 4);
	else if (!KEY("size") && !KEY("grain")) return false;
	return true;
#undef KEY
}

static void
put_text(struct craft *c)
{
	char text[4096], id[64] = "";

	if (c->with_long)
		snprintf(id, sizeof(id), "ddb.longContentID = "
			 "\"0123456789abcdef01234567%s\"\n", c->cid);
	snprintf(text, sizeof(text), "# Disk DescriptorFile\nversion=1\n"
		 "CID=%s\nparentCID=%s\ncreateType=\"%s\"\n%s\n"
		 "# Extent description\nRW %" PRIu64 " SPARSE \"%s\"\n%s\n\n# The Disk Data Base\n#DDB\n\n%s", c->cid,
		 c->parent, c->type, c->head, c->sectors, c->name, c->line, id);
	put(c->fd, text, strlen(text), 512);
}

static int
make(const char *path, char **args, int n)
{
	struct craft c = { .cid = "1234abcd", .parent = "ffffffff",
			   .type = "monolithicSparse",
			   .name = "old-name.vmdk", .head = "", .line = "" };
	uint64_t mib = 8, grain = 128, len = UINT64_MAX;
	uint8_t raw[VMDK_HEADER_LEN];

	for (int i = 0; i < n; i++) {
		if (!strncmp(args[i], "size=", 5))
			mib = strtoull(args[i] + 5, NULL, 0);
		if (!strncmp(args[i], "grain=", 6))
			grain = strtoull(args[i] + 6, NULL, 0);
	}
	vmdk_header_layout(&c.h, mib * 2048, grain);
	c.ngt = vmdk_header_tables(&c.h);
	c.gd = c.h.gd_sector;
	c.rgd = c.h.rgd_sector;
	c.sectors = c.h.capacity;
	c.fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (c.fd < 0 || ftruncate(c.fd, (off_t)c.h.overhead * 512)) {
		perror(path);
		return 3;
	}
	directories(&c);
	for (int i = 0; i < n; i++) {
		if (args[i][0] >= '0' && args[i][0] <= '9')
			set_grain(&c, args[i]);
		else if (!set_key(&c, args[i], &len)) {
			fprintf(stderr, "vmdk-craft: %s?\n", args[i]);
			return 2;
		}
	}
	put_text(&c);
	vmdk_header_encode(&c.h, raw);
	put(c.fd, raw, sizeof(raw), 0);
	return len != UINT64_MAX && ftruncate(c.fd, (off_t)len) ? 3 : 0;
}

/* Both tables as they are, without asking any of the module's judgement. */
static void
show_tables(int fd, const struct vmdk_header *h)
{
	uint64_t grains = (h->capacity + h->grain_sectors - 1) /
			  h->grain_sectors;
	bool equal = true;

	printf("map");
	for (uint64_t g = 0; g < grains; g++) {
		uint64_t i = g / h->gtes;
		uint64_t a = get32(fd, h->gd_sector * 512 + i * 4) * 512ull;
		uint64_t b = get32(fd, h->rgd_sector * 512 + i * 4) * 512ull;
		uint32_t x = a ? get32(fd, a + g % h->gtes * 4) : 0;
		uint32_t y = b ? get32(fd, b + g % h->gtes * 4) : 0;

		if (x)
			printf(" %" PRIu64 ":%u", g, x);
		equal = equal && x == y && !a == !b;
	}
	printf("\ncopies %s\n", equal ? "equal" : "differ");
}

static int
show(const char *path)
{
	uint8_t raw[VMDK_HEADER_LEN];
	char text[10241] = "", word[64];
	struct vmdk_desc d;
	struct vmdk_header h;
	struct stat st;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || pread(fd, raw, 512, 0) != 512 ||
	    !vmdk_header_decode(raw, &h) || fstat(fd, &st) ||
	    pread(fd, text, 10240, 512) < 0)
		return 3;
	vmdk_desc_parse(text, strlen(text), 512, &d, NULL);
	printf("unclean %u\ncid %08x\nlong %s\nlen %jd\n", h.unclean, d.cid,
	       vmdk_str_copy(d.long_content_id, word, sizeof(word)),
	       (intmax_t)st.st_size);
	show_tables(fd, &h);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "-s"))
		return show(argv[2]);
	if (argc < 2) {
		fprintf(stderr, "usage: vmdk-craft FILE [KEY=VALUE | "
			"GRAIN,SECTOR[,COPY]]... | -s FILE\n");
		return 2;
	}
	return make(argv[1], argv + 2, argc - 2);
}
