/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vd-io - read, write and compare parts of a virtual disk from a shell test.
 *
 *	vd-io disk.vdi 'write 3M 1M 0x5a' flush 'expect 3M 1M 0x5a'
 *
 * Commands run in order; the first that fails ends it with status 1 and a
 * sentence on stderr.  Wrong usage: 2.  See usage() for the commands.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vdisk/vdisk.h>

#define CHUNK	(1u << 20)

struct io {
	struct vd_disk *disk;
	unsigned char  *buf;		/* CHUNK bytes */
	struct vd_err	err;
};

static const char usage_text[] =
"vd-io [-r] [-b] [-f FORMAT] FILE COMMAND...\n"
"  -r  read-only   -b  one batch (VD_DISK_BATCH)\n"
"numbers: 512, 0x200, 3k 3M 3G 3T, 7s (sectors); `end' is the disk's size\n"
"  write OFF LEN BYTE      expect OFF LEN BYTE\n"
"  fill OFF LEN SEED       verify OFF LEN SEED    every sector different\n"
"  zero OFF LEN            unmap OFF LEN          write zeroes, keep/give back\n"
"  discard OFF LEN         flush\n"
"  size                    extents                print what the disk says\n"
"  hash                    the content as one word; zeros count for nothing\n"
"  dump OFF LEN            bytes to stdout\n"
"  die                     end here and now, without a close\n";

static int
usage(void)
{
	fputs(usage_text, stderr);
	return 2;
}

static int
number(struct io *io, const char *s, uint64_t *out)
{
	static const char suffix[] = "skMGT";
	static const unsigned shift[] = { 9, 10, 20, 30, 40 };
	const char *p;
	char *end;

	if (!s || !strcmp(s, "end")) {
		*out = vd_disk_size(io->disk);
		return s ? 0 : -EINVAL;
	}
	errno = 0;
	*out = strtoull(s, &end, 0);
	if (errno || end == s)
		return -EINVAL;
	if (!*end)
		return 0;
	p = strchr(suffix, *end);
	if (!p || end[1])
		return -EINVAL;
	*out <<= shift[p - suffix];
	return 0;
}

/* A word that depends on seed and place: splitmix64. */
static uint64_t
mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static void
pattern(unsigned char *buf, size_t len, uint64_t off, uint64_t seed)
{
	for (size_t i = 0; i < len; i++) {
		uint64_t at = off + i;

		buf[i] = mix(seed ^ (at & ~UINT64_C(7))) >> (at & 7) * 8;
	}
}

enum how { PUT_BYTE, PUT_PATTERN, IS_BYTE, IS_PATTERN, DUMP };

static int
compare(struct io *io, size_t len, uint64_t off, enum how how, uint64_t arg)
{
	unsigned char *want = io->buf + CHUNK;

	if (how == IS_BYTE)
		memset(want, (int)arg, len);
	else
		pattern(want, len, off, arg);
	for (size_t i = 0; i < len; i++)
		if (io->buf[i] != want[i])
			return vd_fail(&io->err, EILSEQ, off + i,
				       "disk offset 0x%" PRIx64
				       ": found 0x%02x, expected 0x%02x",
				       off + i, io->buf[i], want[i]);
	return 0;
}

static int
piece(struct io *io, size_t len, uint64_t off, enum how how, uint64_t arg)
{
	int ret;

	switch (how) {
	case PUT_BYTE:
		memset(io->buf, (int)arg, len);
		break;
	case PUT_PATTERN:
		pattern(io->buf, len, off, arg);
		break;
	default:
		ret = vd_disk_read(io->disk, io->buf, len, off, &io->err);
		if (ret < 0)
			return ret;
		if (how != DUMP)
			return compare(io, len, off, how, arg);
		return fwrite(io->buf, len, 1, stdout) == 1 ? 0 : -EIO;
	}
	return vd_disk_write(io->disk, io->buf, len, off, 0, &io->err);
}

static int
each_piece(struct io *io, uint64_t off, uint64_t len, enum how how,
	   uint64_t arg)
{
	while (len) {
		size_t n = len < CHUNK ? len : CHUNK;
		int ret = piece(io, n, off, how, arg);

		if (ret < 0)
			return ret;
		off += n;
		len -= n;
	}
	return 0;
}

static uint64_t
hash_sectors(const unsigned char *buf, size_t len, uint64_t off)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < len; i += 512) {
		uint64_t h = off + i, w, any = 0;

		for (size_t j = i; j < i + 512 && j < len; j += 8) {
			memcpy(&w, buf + j, 8);
			any |= w;
			h = mix(h ^ w);
		}
		sum += any ? h : 0;
	}
	return sum;
}

/* Runs that are known to be zero are not read: a disk may have 2 TiB. */
static int
hash(struct io *io)
{
	uint64_t size = vd_disk_size(io->disk), sum = mix(size);
	struct vd_run run;
	uint64_t off = 0;
	size_t n;
	int ret;

	while (off < size) {
		ret = vd_disk_extent(io->disk, off, size - off, &run,
				     &io->err);
		if (ret < 0)
			return ret;
		if (run.kind == VD_EXT_ZERO) {
			off += run.len;
			continue;
		}
		n = run.len < CHUNK ? run.len : CHUNK;
		ret = vd_disk_read(io->disk, io->buf, n, off, &io->err);
		if (ret < 0)
			return ret;
		sum += hash_sectors(io->buf, n, off);
		off += n;
	}
	printf("%016" PRIx64 "\n", sum);
	return 0;
}

static int
extents(struct io *io)
{
	uint64_t off = 0, size = vd_disk_size(io->disk);
	struct vd_run run;
	int ret;

	while (off < size) {
		ret = vd_disk_extent(io->disk, off, size - off, &run,
				     &io->err);
		if (ret < 0)
			return ret;
		printf("%" PRIu64 " %" PRIu64 " %s\n", run.off, run.len,
		       run.kind == VD_EXT_ZERO ? "zero" : "data");
		off += run.len;
	}
	return 0;
}

static int
command(struct io *io, char *text)
{
	char *save = NULL, *verb = strtok_r(text, " ", &save);
	uint64_t off = 0, len = 0, arg = 0;
	char *w[4] = { 0 };

	if (!verb)
		return -EINVAL;
	for (int i = 0; i < 4; i++)
		w[i] = strtok_r(NULL, " ", &save);
	if (!strcmp(verb, "flush"))
		return vd_disk_flush(io->disk, &io->err);
	if (!strcmp(verb, "hash"))
		return hash(io);
	if (!strcmp(verb, "extents"))
		return extents(io);
	if (!strcmp(verb, "size"))
		return printf("%" PRIu64 "\n", vd_disk_size(io->disk)) < 0;
	if (!strcmp(verb, "die")) {
		fflush(stdout);
		_exit(0);
	}
	if (number(io, w[0], &off) || number(io, w[1], &len))
		return -EINVAL;
	if (!strcmp(verb, "zero"))
		return vd_disk_write_zeroes(io->disk, off, len, 0, &io->err);
	if (!strcmp(verb, "unmap"))
		return vd_disk_write_zeroes(io->disk, off, len, VD_MAY_UNMAP,
					    &io->err);
	if (!strcmp(verb, "discard"))
		return vd_disk_discard(io->disk, off, len, &io->err);
	if (!strcmp(verb, "dump"))
		return each_piece(io, off, len, DUMP, 0);
	if (number(io, w[2], &arg))
		return -EINVAL;
	if (!strcmp(verb, "write"))
		return each_piece(io, off, len, PUT_BYTE, arg);
	if (!strcmp(verb, "expect"))
		return each_piece(io, off, len, IS_BYTE, arg);
	if (!strcmp(verb, "fill"))
		return each_piece(io, off, len, PUT_PATTERN, arg);
	if (!strcmp(verb, "verify"))
		return each_piece(io, off, len, IS_PATTERN, arg);
	return -EINVAL;
}

static int
complain(struct io *io, int ret, const char *what)
{
	char text[1400];

	if (!io->err.code)
		vd_fail(&io->err, ret < 0 ? -ret : EIO, VD_NOWHERE,
			"cannot do '%s'", what);
	fflush(stdout);
	fprintf(stderr, "vd-io: %s\n", vd_err_text(&io->err, text,
						   sizeof(text)));
	vd_err_clear(&io->err);
	return 1;
}

static int
run(struct io *io, char **words)
{
	int status = 0, ret;

	io->buf = malloc(2 * CHUNK);
	if (!io->buf)
		return complain(io, -ENOMEM, "malloc");
	for (; *words && !status; words++) {
		char *copy = strdup(*words);

		ret = copy ? command(io, copy) : -ENOMEM;
		if (ret)
			status = complain(io, ret, *words);
		free(copy);
	}
	free(io->buf);
	return status;
}

int
main(int argc, char **argv)
{
	struct vd_open opts = { .size = sizeof(opts) };
	struct vd_library *lib = NULL;
	struct io io = { 0 };
	int c, ret, status;

	while ((c = getopt(argc, argv, "rbf:")) != -1) {
		if (c == 'r')
			opts.flags |= VD_DISK_RDONLY;
		else if (c == 'b')
			opts.flags |= VD_DISK_BATCH;
		else if (c == 'f')
			opts.format = optarg;
		else
			return usage();
	}
	if (optind >= argc)
		return usage();
	ret = vd_library_open(NULL, &lib, &io.err);
	if (ret < 0)
		return complain(&io, ret, "load modules");
	ret = vd_disk_open(lib, argv[optind], &opts, &io.disk, &io.err);
	if (ret < 0) {
		status = complain(&io, ret, "open");
	} else {
		status = run(&io, argv + optind + 1);
		ret = vd_disk_close(io.disk, &io.err);
		if (ret < 0)
			status = complain(&io, ret, "close");
	}
	vd_library_close(lib);
	return status;
}
