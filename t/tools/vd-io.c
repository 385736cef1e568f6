/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vd-io.c - do a few things to a disk, for tests written in shell.
 *
 *	vd-io [-r] [-f FORMAT] FILE COMMAND...
 *
 *	write OFF LEN BYTE    expect OFF LEN BYTE    zero OFF LEN
 *	discard OFF LEN       flush                  size N
 *	random SEED COUNT     (writes and checks against a model in memory)
 *	die                   (_exit without closing, like kill -9)
 *
 * Numbers may end in k, M, G or T.  Exit: 0, 1 when an expectation fails, 3.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vdisk/vdisk.h>

#define CHUNK	(1u << 20)

static struct vd_disk *disk;
static struct vd_err err;

static int
complain(const char *what)
{
	char text[1200];

	fprintf(stderr, "vd-io: %s: %s\n", what,
		vd_err_text(&err, text, sizeof(text)));
	return 3;
}

static uint64_t
number(const char *s)
{
	char *end;
	uint64_t n = s ? strtoull(s, &end, 0) : 0;
	static const char units[] = "kMGT";

	for (int i = 0; s && units[i]; i++)
		if (*end == units[i])
			n <<= 10 * (i + 1);
	return n;
}

static int
fill(uint64_t off, uint64_t len, int byte)
{
	char *buf = malloc(CHUNK);
	int ret = 0;

	memset(buf, byte, CHUNK);
	while (len && !ret) {
		uint64_t n = len < CHUNK ? len : CHUNK;

		ret = vd_disk_write(disk, buf, n, off, 0, &err);
		off += n;
		len -= n;
	}
	free(buf);
	return ret ? complain("write") : 0;
}

static int
expect(uint64_t off, uint64_t len, int byte)
{
	unsigned char *buf = malloc(CHUNK);
	int ret = 0;

	while (len && !ret) {
		uint64_t n = len < CHUNK ? len : CHUNK;

		if (vd_disk_read(disk, buf, n, off, &err))
			ret = complain("read");
		for (uint64_t i = 0; i < n && !ret; i++) {
			if (buf[i] == byte)
				continue;
			fprintf(stderr, "vd-io: byte %" PRIu64 " is 0x%02x, "
				"expected 0x%02x\n", off + i, buf[i], byte);
			ret = 1;
		}
		off += n;
		len -= n;
	}
	free(buf);
	return ret;
}

static uint64_t seed;

static uint64_t
next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Random writes, zeroes and reads, checked against a copy of the disk. */
static int
random_ops(uint64_t count)
{
	uint64_t size = vd_disk_size(disk);
	unsigned char *model, *buf = malloc(CHUNK);
	int ret = 0;

	if (size > (256u << 20) || !(model = malloc(size)))
		return 3;
	if (vd_disk_read(disk, model, size, 0, &err))
		return complain("read");
	while (count-- && !ret) {
		uint64_t r = next_random();
		uint64_t len = ((r >> 8) % (CHUNK / 512) >> (r % 11)) * 512;
		uint64_t off;

		len = len ? len : 512;
		if (len > size)
			len = size;
		off = next_random() % ((size - len) / 512 + 1) * 512;
		if (r % 8 < 4) {
			memset(buf, (int)(r >> 32), len);
			memset(model + off, (int)(r >> 32), len);
			ret = vd_disk_write(disk, buf, len, off,
					    r % 64 == 3 ? VD_FUA : 0, &err);
		} else if (r % 8 == 4) {
			memset(model + off, 0, len);
			ret = vd_disk_write_zeroes(disk, off, len, 0, &err);
		} else if (r % 8 == 5 && r % 128 < 8) {
			ret = vd_disk_flush(disk, &err);
		} else {
			ret = vd_disk_read(disk, buf, len, off, &err);
			if (!ret && memcmp(buf, model + off, len)) {
				fprintf(stderr, "vd-io: content differs at "
					"%" PRIu64 " + %" PRIu64 "\n", off,
					len);
				return 1;
			}
		}
	}
	if (ret)
		return complain("random");
	if (vd_disk_read(disk, buf, CHUNK < size ? CHUNK : size, 0, &err))
		return complain("read");
	for (uint64_t off = 0; off < size; off += CHUNK) {
		uint64_t n = size - off < CHUNK ? size - off : CHUNK;

		if (vd_disk_read(disk, buf, n, off, &err))
			return complain("read");
		if (memcmp(buf, model + off, n)) {
			fprintf(stderr, "vd-io: content differs in the end\n");
			return 1;
		}
	}
	free(model);
	free(buf);
	return 0;
}

static int
run(char *command)
{
	char *save, *w[4] = { 0 };
	int n = 0;

	for (char *s = strtok_r(command, " ", &save); s && n < 4;
	     s = strtok_r(NULL, " ", &save))
		w[n++] = s;
	if (n == 4 && !strcmp(w[0], "write"))
		return fill(number(w[1]), number(w[2]), (int)number(w[3]));
	if (n == 4 && !strcmp(w[0], "expect"))
		return expect(number(w[1]), number(w[2]), (int)number(w[3]));
	if (n == 3 && !strcmp(w[0], "zero"))
		return vd_disk_write_zeroes(disk, number(w[1]), number(w[2]),
					    0, &err) ? complain("zero") : 0;
	if (n == 3 && !strcmp(w[0], "discard"))
		return vd_disk_discard(disk, number(w[1]), number(w[2]), &err)
			? complain("discard") : 0;
	if (n == 1 && !strcmp(w[0], "flush"))
		return vd_disk_flush(disk, &err) ? complain("flush") : 0;
	if (n == 2 && !strcmp(w[0], "size"))
		return vd_disk_size(disk) == number(w[1]) ? 0 : 1;
	if (n == 3 && !strcmp(w[0], "random")) {
		seed = number(w[1]) * 0x9e3779b97f4a7c15u + 1;
		return random_ops(number(w[2]));
	}
	if (n == 1 && !strcmp(w[0], "die"))
		_exit(0);
	fprintf(stderr, "vd-io: what is \"%s\"?\n", w[0] ? w[0] : "");
	return 2;
}

int
main(int argc, char **argv)
{
	struct vd_open o = { .size = sizeof(o) };
	struct vd_library *lib;
	int c, ret = 0;

	while ((c = getopt(argc, argv, "rf:")) != -1) {
		if (c == 'r')
			o.flags |= VD_DISK_RDONLY;
		else if (c == 'f')
			o.format = optarg;
		else
			return 2;
	}
	if (optind >= argc)
		return 2;
	if (vd_library_open(NULL, &lib, &err) ||
	    vd_disk_open(lib, argv[optind], &o, &disk, &err))
		return complain("open");
	for (int i = optind + 1; i < argc && !ret; i++)
		ret = run(argv[i]);
	if (vd_disk_close(disk, &err) && !ret)
		ret = complain("close");
	vd_library_close(lib);
	return ret;
}
