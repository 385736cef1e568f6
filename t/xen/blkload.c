/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blkload - requests of one kind at a disk, as fast as it answers
 *
 *	blkload [-w] [-r] [-b BYTES] [-d DEPTH] [-t SECONDS] DEVICE
 *
 * One line: requests, seconds, requests a second, MB a second.  Nothing is
 * looked at; that is what diskverify is for.  Static, no library: it runs in
 * a guest that has nothing else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_DEPTH	64

static struct {
	bool		write, random;
	unsigned long	bytes, depth, seconds;
	int		fd;
	uint64_t	size, next, rng;
	aio_context_t	aio;
	struct iocb	iocb[MAX_DEPTH];
} bl = { .bytes = 4096, .depth = 1, .seconds = 5, .rng = 88172645463325252ull };

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t
place(void)
{
	uint64_t blocks = bl.size / bl.bytes;

	bl.rng ^= bl.rng << 13;
	bl.rng ^= bl.rng >> 7;
	bl.rng ^= bl.rng << 17;
	return (bl.random ? bl.rng : bl.next++) % blocks * bl.bytes;
}

static void
die(const char *what)
{
	perror(what);
	exit(3);
}

static void
submit(struct iocb *cb)
{
	cb->aio_offset = (long long)place();
	if (syscall(SYS_io_submit, bl.aio, 1, &cb) != 1)
		die("blkload: submit");
}

static void
prepare(void)
{
	unsigned long i;
	void *mem;

	for (i = 0; i < bl.depth; i++) {
		if (posix_memalign(&mem, 4096, bl.bytes))
			die("blkload: memory");
		memset(mem, (int)i + 1, bl.bytes);
		bl.iocb[i].aio_data = i;
		bl.iocb[i].aio_fildes = (uint32_t)bl.fd;
		bl.iocb[i].aio_lio_opcode = bl.write ? IOCB_CMD_PWRITE :
						       IOCB_CMD_PREAD;
		bl.iocb[i].aio_buf = (uintptr_t)mem;
		bl.iocb[i].aio_nbytes = bl.bytes;
	}
	if (syscall(SYS_io_setup, MAX_DEPTH, &bl.aio) < 0)
		die("blkload: io_setup");
}

static unsigned long
run(double *took)
{
	double began = now(), end = began + (double)bl.seconds;
	struct io_event ev[MAX_DEPTH];
	unsigned long i, done = 0, out = bl.depth;
	long n;

	for (i = 0; i < bl.depth; i++)
		submit(&bl.iocb[i]);
	while (out) {
		n = syscall(SYS_io_getevents, bl.aio, 1, MAX_DEPTH, ev, NULL);
		if (n < 0)
			die("blkload: io_getevents");
		*took = now() - began;
		for (i = 0; i < (unsigned long)n; i++) {
			if (ev[i].res != (long long)bl.bytes) {
				errno = ev[i].res < 0 ? (int)-ev[i].res : EIO;
				die("blkload: the disk");
			}
			done++;
			if (now() < end)
				submit(&bl.iocb[ev[i].data]);
			else
				out--;
		}
	}
	return done;
}

int
main(int argc, char **argv)
{
	unsigned long done;
	double took = 0;
	int c;

	while ((c = getopt(argc, argv, "wrb:d:t:")) != -1) {
		switch (c) {
		case 'w': bl.write = true; break;
		case 'r': bl.random = true; break;
		case 'b': bl.bytes = strtoul(optarg, NULL, 0); break;
		case 'd': bl.depth = strtoul(optarg, NULL, 0); break;
		case 't': bl.seconds = strtoul(optarg, NULL, 0); break;
		default: return 2;
		}
	}
	if (optind + 1 != argc || !bl.depth || bl.depth > MAX_DEPTH ||
	    !bl.bytes || bl.bytes % 512) {
		fprintf(stderr, "usage: blkload [-wr] [-b bytes] [-d depth] "
			"[-t seconds] device\n");
		return 2;
	}
	bl.fd = open(argv[optind], (bl.write ? O_RDWR : O_RDONLY) | O_DIRECT);
	if (bl.fd < 0 || ioctl(bl.fd, BLKGETSIZE64, &bl.size) < 0 ||
	    bl.size < bl.bytes)
		die(argv[optind]);
	prepare();
	done = run(&took);
	printf("%lu requests in %.2f s: %.1f/s %.2f MB/s\n", done, took,
	       (double)done / took, (double)done * (double)bl.bytes / took / 1e6);
	return 0;
}
