/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vd-put.c - write given bytes to a place of a disk.
 *
 *	vd-put [-f FORMAT] FILE OFFSET HEX
 *	vd-put [-f FORMAT] -t FILE OFFSET CONTENT-FILE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vdisk/vdisk.h>

static size_t
from_hex(const char *hex, unsigned char *buf, size_t max)
{
	size_t n = 0;
	unsigned byte;

	while (n < max && sscanf(hex + 2 * n, "%2x", &byte) == 1) {
		buf[n++] = (unsigned char)byte;
		if (!hex[2 * n] || !hex[2 * n + 1])
			break;
	}
	return n;
}

static size_t
from_file(const char *path, unsigned char *buf, size_t max)
{
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(buf, 1, max, f) : 0;

	if (f)
		fclose(f);
	return n;
}

int
main(int argc, char **argv)
{
	static unsigned char buf[65536];
	struct vd_open o = { .size = sizeof(o) };
	struct vd_err err = { 0 };
	struct vd_library *lib = NULL;
	struct vd_disk *d = NULL;
	char text[1400];
	bool file = false;
	size_t n;
	int c;

	while ((c = getopt(argc, argv, "f:t")) != -1) {
		if (c == 'f')
			o.format = optarg;
		else
			file = true;
	}
	if (optind + 3 != argc)
		return 2;
	n = file ? from_file(argv[optind + 2], buf, sizeof(buf))
		 : from_hex(argv[optind + 2], buf, sizeof(buf));
	if (!n)
		return 2;
	if (!vd_library_open(NULL, &lib, &err) &&
	    !vd_disk_open(lib, argv[optind], &o, &d, &err))
		vd_disk_write(d, buf, n, strtoull(argv[optind + 1], NULL, 0),
			      0, &err);
	vd_disk_close(d, &err);
	vd_library_close(lib);
	if (!err.code)
		return 0;
	fprintf(stderr, "vd-put: %s\n", vd_err_text(&err, text, sizeof(text)));
	return 1;
}
