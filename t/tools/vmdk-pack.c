/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmdk-pack.c - streamOptimized images in the shapes that their writers have. */
/* objects: plugins/vmdk/header.o */
/*
 *	vmdk-pack [-e END] [-l LEVEL] [-g SECTORS] [-v VERSION] [-f FLAGS]
 *		[-swn] RAW FILE
 *
 * END, how the file ends and where its grain directory is:
 *	footer	tables behind their grains, directory, footer, end marker
 *	eos	grains and an end marker, no directory anywhere
 *	gd	like footer, but cut off behind the directory
 *	cut	like eos, without the end marker
 *	front	directory in front, grains, end marker
 *	bare	directory in front and nothing behind the last grain
 * -s: the last grain holds only what belongs to the disk.  -w: a wrong number
 * in the marker of the second grain.  -n: no markers.
 */
#include <endian.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "plugins/vmdk/vmdk.h"

static FILE *out;
static struct vmdk_header h = {
	.version = 3, .flags = 0x30001, .grain_sectors = 128, .desc_sector = 1,
	.desc_sectors = 1, .gtes = 512, .gd_sector = VMDK_GD_AT_END,
	.overhead = 128, .newline = { '\n', ' ', '\r', '\n' }, .compress = 1,
};
static const char *ending = "footer";
static int level = 6, cut_last, wrong_marker, plain;
static uint32_t *gd, *gt;
static uint64_t ngd, table_at;		/* 0: tables go behind their grains */

static void
put(const void *p, size_t len)
{
	if (fwrite(p, 1, len, out) != len)
		exit(3);
}

static uint64_t
sector(void)
{
	static const char zeros[512];
	long at = ftell(out);

	if (at % 512)
		put(zeros, 512 - (size_t)(at % 512));
	return (uint64_t)ftell(out) / 512;
}

static void
marker(uint64_t val, uint32_t size, uint32_t type)
{
	sector();
	val = htole64(val);
	size = htole32(size);
	type = htole32(type);
	put(&val, 8);
	put(&size, 4);
	if (!size) {
		put(&type, 4);
		sector();
	}
}

static void
header(void)
{
	uint8_t raw[VMDK_HEADER_LEN];

	vmdk_header_encode(&h, raw);
	put(raw, sizeof(raw));
}

static void
grain(uint64_t n, const uint8_t *data, size_t len)
{
	static char packed[3 << 20];
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(level);
	size_t got = libdeflate_zlib_compress(c, data, len, packed,
					      sizeof(packed));
	static int count;

	libdeflate_free_compressor(c);
	if (!got)
		exit(3);
	gt[n % 512] = (uint32_t)sector();
	if (!plain)
		marker((n + (wrong_marker && ++count == 2)) *
		       h.grain_sectors, (uint32_t)got, 0);
	put(packed, got);
}

/* The table of the grains so far: behind them, or into its place in front. */
static void
table(uint64_t i)
{
	uint64_t bytes = 0;

	for (int k = 0; k < 512; k++)
		bytes += gt[k] != 0;
	if (table_at) {
		long at = ftell(out);

		fseek(out, (long)(table_at + i * 4) * 512, SEEK_SET);
		put(gt, 2048);
		fseek(out, at, SEEK_SET);
		gd[i] = (uint32_t)(table_at + i * 4);
	} else if (bytes && strcmp(ending, "eos") && strcmp(ending, "cut")) {
		marker(4, 0, 1);
		gd[i] = (uint32_t)sector();
		put(gt, 2048);
	}
	memset(gt, 0, 2048);
}

static void
grains(FILE *in, uint64_t size)
{
	size_t len = h.grain_sectors * 512;
	uint8_t *buf = malloc(len);

	for (uint64_t n = 0; n * len < size; n++) {
		size_t got;

		memset(buf, 0, len);
		got = fread(buf, 1, len, in);
		if (buf[0] || memcmp(buf, buf + 1, len - 1))
			grain(n, buf, cut_last ? got : len);
		if (n % 512 == 511 || (n + 1) * len >= size)
			table(n / 512);
	}
	free(buf);
}

static void
finish(void)
{
	uint64_t secs = (ngd * 4 + 511) / 512;

	if (table_at) {
		fseek(out, (long)h.gd_sector * 512, SEEK_SET);
		put(gd, ngd * 4);
		fseek(out, 0, SEEK_END);
	} else if (!strcmp(ending, "footer") || !strcmp(ending, "gd")) {
		marker(secs, 0, 2);
		h.gd_sector = sector();
		put(gd, ngd * 4);
		sector();
	}
	if (!strcmp(ending, "footer")) {
		marker(1, 0, 3);
		header();
	}
	if (!strcmp(ending, "footer") || !strcmp(ending, "eos") ||
	    !strcmp(ending, "front"))
		marker(0, 0, 0);
	sector();
}

int
main(int argc, char **argv)
{
	uint64_t size;
	FILE *in;
	int c;

	while ((c = getopt(argc, argv, "e:l:g:v:f:swn")) != -1) {
		if (c == 'e') ending = optarg;
		else if (c == 'l') level = atoi(optarg);
		else if (c == 'g') h.grain_sectors = strtoull(optarg, NULL, 0);
		else if (c == 'v') h.version = (uint32_t)atoi(optarg);
		else if (c == 'f') h.flags = (uint32_t)strtoul(optarg, NULL, 0);
		else if (c == 's') cut_last = 1;
		else if (c == 'w') wrong_marker = 1;
		else if (c == 'n') plain = 1;
		else return 2;
	}
	if (optind + 2 != argc || !(in = fopen(argv[optind], "rb")) ||
	    !(out = fopen(argv[optind + 1], "w+b")))
		return 2;
	fseek(in, 0, SEEK_END);
	size = (uint64_t)ftell(in);
	rewind(in);
	h.capacity = size / 512;
	ngd = vmdk_header_tables(&h);
	gd = calloc(ngd, 4);
	gt = calloc(512, 4);
	if (!strcmp(ending, "front") || !strcmp(ending, "bare")) {
		h.gd_sector = 2;
		table_at = 2 + (ngd * 4 + 511) / 512;
		h.overhead = (table_at + ngd * 4 + 127) / 128 * 128;
	}
	header();
	fprintf(out, "# Disk DescriptorFile\nversion=1\nCID=1234abcd\n"
		"parentCID=ffffffff\ncreateType=\"streamOptimized\" \n"
		"RDONLY %" PRIu64 " SPARSE \"x.vmdk\"\n", h.capacity);
	while (sector() < h.overhead)
		put("", 1);
	grains(in, size);
	finish();
	return fclose(out) ? 3 : 0;
}
