/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * diskverify - writes a disk in every shape and proves it kept every sector
 *
 * A run is a list of operations drawn from a seed: operation i is the same
 * whoever runs it, however fast the disk answers.  So what a sector must hold
 * after N operations can be computed without the disk, and another program run
 * (after a detach, on the host, on a converted copy) can check it again from
 * "seed, N" alone.  Operations that touch the same sectors never overlap in
 * time; all others do, up to the queue depth.
 *
 * Every sector says which one it is, which operation wrote it, and carries a
 * crc32c, so that a wrong one can be told apart: stale, misplaced, or torn.
 *
 * Static, no library: it runs in a guest that has nothing else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECTOR		512u
#define MAX_BYTES	(1u << 20)
#define MAX_DEPTH	64
#define MAX_PENDING	MAX_DEPTH
#define MAX_REPORTS	8
#define MAGIC		0x59465644u	/* "DVFY" */
#define HANG_SECONDS	60

enum kind { OP_WRITE, OP_READ, OP_FLUSH };

/* Exit statuses; "the disk failed" is not "the disk lied". */
enum { DONE = 0, WRONG = 1, USAGE = 2, REFUSED = 3 };

struct op {
	enum kind	kind;
	uint64_t	sector;
	uint32_t	count;		/* sectors */
	uint32_t	skew;		/* sectors the buffer starts into its page */
	uint32_t	gen;		/* operation number, from 1 */
};

struct slot {
	struct iocb	iocb;		/* first: io_getevents gives it back */
	struct op	op;
	uint8_t	       *mem;
	bool		busy;
};

struct stamp {				/* the first bytes of every sector */
	uint32_t	magic;
	uint32_t	crc;		/* of the whole sector with this as 0 */
	uint64_t	sector;
	uint64_t	seed;
	uint32_t	gen;
	uint32_t	zero;
};

static struct {
	const char     *path;
	int		fd;
	uint64_t	sectors;
	uint64_t	seed;
	uint64_t	ops;
	unsigned	depth;
	unsigned	seconds;
	unsigned	read_percent;
	unsigned	flush_every;
	bool		check_only;
	bool		blank;		/* what was never written must be zero */

	uint32_t       *table;		/* sector -> generation, 0: never */
	uint32_t       *maybe;		/* or this one: it was not acknowledged */
	uint32_t	pending[MAX_PENDING];
	unsigned	npending;

	aio_context_t	aio;
	struct slot	slot[MAX_DEPTH];
	unsigned	inflight;

	uint64_t	rng;
	uint64_t	hot;		/* where half of the operations go */
	uint64_t	issued, wrote, read, flushes, checked;
	unsigned	wrong, failed;
} dv;

static volatile sig_atomic_t stop;
static uint32_t crc_table[256];

static void
crc_init(void)
{
	uint32_t n, k, c;

	for (n = 0; n < 256; n++) {
		c = n;
		for (k = 0; k < 8; k++)
			c = c & 1 ? 0x82f63b78u ^ (c >> 1) : c >> 1;
		crc_table[n] = c;
	}
}

static uint32_t
crc32c(const uint8_t *p, size_t len)
{
	uint32_t c = ~0u;

	while (len--)
		c = crc_table[(c ^ *p++) & 0xff] ^ (c >> 8);
	return ~c;
}

/* splitmix64: any seed is a good one, and it can start in the middle. */
static uint64_t
mix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t
below(uint64_t limit)
{
	return limit ? mix(&dv.rng) % limit : 0;
}

static void
sector_fill(uint8_t *out, uint64_t sector, uint32_t gen)
{
	struct stamp st = {
		.magic = MAGIC, .sector = sector, .seed = dv.seed, .gen = gen,
	};
	uint64_t state = dv.seed ^ sector << 20 ^ gen;
	uint64_t word;
	size_t i;

	memcpy(out, &st, sizeof(st));
	for (i = sizeof(st); i < SECTOR; i += sizeof(word)) {
		word = mix(&state);
		memcpy(out + i, &word, sizeof(word));
	}
	st.crc = crc32c(out, SECTOR);
	memcpy(out + offsetof(struct stamp, crc), &st.crc, sizeof(st.crc));
}

static bool
is_zero(const uint8_t *p, size_t len)
{
	return !p[0] && !memcmp(p, p + 1, len - 1);
}

/* What is there instead, in words that point at the kind of fault. */
static void
sector_explain(const uint8_t *have, uint64_t sector, uint32_t want)
{
	uint8_t copy[SECTOR];
	struct stamp st;
	uint32_t crc;

	printf("diskverify: %s: sector %" PRIu64 " (byte %" PRIu64 "): ",
	       dv.path, sector, sector * SECTOR);
	if (want)
		printf("operation %u expected, ", want);
	else
		printf("never written, ");
	memcpy(&st, have, sizeof(st));
	crc = st.crc;
	st.crc = 0;
	memcpy(copy, have, SECTOR);
	memcpy(copy, &st, sizeof(st));
	if (is_zero(have, SECTOR))
		printf("found zeroes\n");
	else if (st.magic != MAGIC)
		printf("found foreign bytes %02x %02x %02x %02x\n",
		       have[0], have[1], have[2], have[3]);
	else if (crc32c(copy, SECTOR) != crc)
		printf("found a torn sector of operation %u\n", st.gen);
	else if (st.seed != dv.seed)
		printf("found one of seed %" PRIu64 "\n", st.seed);
	else if (st.sector != sector)
		printf("found sector %" PRIu64 " of operation %u\n",
		       st.sector, st.gen);
	else
		printf("found operation %u\n", st.gen);
}

static void
sector_check(const uint8_t *have, uint64_t sector)
{
	uint32_t want = dv.table[sector];
	uint8_t expect[SECTOR];

	if (want || dv.blank)
		dv.checked++;
	if (want) {
		sector_fill(expect, sector, want);
		if (!memcmp(have, expect, SECTOR))
			return;
	} else if (!dv.blank || is_zero(have, SECTOR)) {
		return;
	}
	if (dv.maybe[sector]) {
		sector_fill(expect, sector, dv.maybe[sector]);
		if (!memcmp(have, expect, SECTOR))
			return;
	}
	if (dv.wrong++ < MAX_REPORTS)
		sector_explain(have, sector, want);
}

static uint32_t
draw_count(void)
{
	switch (below(10)) {
	case 0 ... 3:
		return 8 * (1 + below(4));		/* pages */
	case 4 ... 6:
		return 1 + below(16);			/* crooked */
	case 7 ... 8:
		return 1 + below(256);
	default:
		return 1 + below(MAX_BYTES / SECTOR);
	}
}

static uint64_t
draw_sector(uint32_t count)
{
	uint64_t last = dv.sectors - count;
	uint64_t s;

	if (dv.issued % 64 == 0)
		dv.hot = below(last + 1);
	switch (below(32)) {
	case 0:
		return 0;
	case 1:
		return last;
	case 2 ... 16:
		s = dv.hot + below(4096);
		break;
	default:
		s = below(last + 1);
	}
	if (below(2))
		s &= ~7ull;		/* as a file system would */
	return s > last ? last : s;
}

/* Operation number dv.issued + 1: a function of the seed and nothing else. */
static void
draw(struct op *op)
{
	dv.rng = dv.seed * 0x2545f4914f6cdd1du + dv.issued * 0x9e3779b1u;
	memset(op, 0, sizeof(*op));
	if (dv.flush_every && below(dv.flush_every) == 0)
		op->kind = OP_FLUSH;
	else
		op->kind = below(100) < dv.read_percent ? OP_READ : OP_WRITE;
	op->count = draw_count();
	if (op->count > dv.sectors)
		op->count = dv.sectors;
	op->sector = draw_sector(op->count);
	op->skew = below(8);
	op->gen = ++dv.issued;
	if (op->kind == OP_FLUSH)
		op->count = 0;
}

static void
table_write(const struct op *op)
{
	uint32_t i;

	for (i = 0; i < op->count; i++)
		dv.table[op->sector + i] = op->gen;
}

static bool
is_pending(uint32_t gen)
{
	unsigned i;

	for (i = 0; i < dv.npending; i++)
		if (dv.pending[i] == gen)
			return true;
	return false;
}

/* An unacknowledged write may have arrived, sector by sector, or not. */
static void
table_maybe(const struct op *op)
{
	uint32_t i;

	for (i = 0; i < op->count; i++)
		dv.maybe[op->sector + i] = op->gen;
}

static uint8_t *
slot_buf(struct slot *s)
{
	return s->mem + s->op.skew * SECTOR;
}

static void
slot_done(struct slot *s, int64_t res)
{
	uint64_t bytes = (uint64_t)s->op.count * SECTOR;
	uint32_t i;

	s->busy = false;
	dv.inflight--;
	if (res < 0 || (uint64_t)res != bytes) {
		if (dv.failed++ < MAX_REPORTS)
			printf("diskverify: %s: %s of operation %u at byte %" PRIu64
			       " + %" PRIu64 ": %s\n", dv.path,
			       s->op.kind == OP_WRITE ? "write" :
			       s->op.kind == OP_READ ? "read" : "flush",
			       s->op.gen, s->op.sector * SECTOR, bytes,
			       res < 0 ? strerror(-res) : "short");
		if (s->op.kind == OP_WRITE && dv.npending < MAX_PENDING) {
			dv.pending[dv.npending++] = s->op.gen;
			table_maybe(&s->op);
		}
		return;
	}
	switch (s->op.kind) {
	case OP_WRITE:
		dv.wrote += bytes;
		table_write(&s->op);
		break;
	case OP_READ:
		dv.read += bytes;
		for (i = 0; i < s->op.count; i++)
			sector_check(slot_buf(s) + i * SECTOR, s->op.sector + i);
		break;
	case OP_FLUSH:
		dv.flushes++;
	}
}

/* At least one answer; false when the disk has not given any for a minute. */
static bool
reap(void)
{
	struct timespec limit = { .tv_sec = HANG_SECONDS };
	struct io_event ev[MAX_DEPTH];
	long i, n;

	do {
		n = syscall(SYS_io_getevents, dv.aio, 1, MAX_DEPTH, ev, &limit);
	} while (n < 0 && errno == EINTR);
	for (i = 0; i < n; i++)
		slot_done((struct slot *)(uintptr_t)ev[i].data, ev[i].res);
	return n > 0;
}

static bool
overlaps(const struct op *a, const struct op *b)
{
	return a->sector < b->sector + b->count &&
	       b->sector < a->sector + a->count;
}

static bool
in_the_way(const struct op *op)
{
	unsigned i;

	if (op->kind == OP_FLUSH)
		return false;
	for (i = 0; i < dv.depth; i++)
		if (dv.slot[i].busy && dv.slot[i].op.kind != OP_FLUSH &&
		    overlaps(op, &dv.slot[i].op))
			return true;
	return false;
}

static struct slot *
free_slot(void)
{
	unsigned i;

	for (i = 0; i < dv.depth; i++)
		if (!dv.slot[i].busy)
			return &dv.slot[i];
	return NULL;
}

static void
submit(struct slot *s, const struct op *op)
{
	static const uint16_t code[] = {
		[OP_WRITE] = IOCB_CMD_PWRITE, [OP_READ] = IOCB_CMD_PREAD,
		[OP_FLUSH] = IOCB_CMD_FDSYNC,
	};
	struct iocb *list[1] = { &s->iocb };
	uint32_t i;

	s->op = *op;
	s->busy = true;
	dv.inflight++;
	if (op->kind == OP_WRITE)
		for (i = 0; i < op->count; i++)
			sector_fill(slot_buf(s) + i * SECTOR, op->sector + i,
				    op->gen);
	memset(&s->iocb, 0, sizeof(s->iocb));
	s->iocb.aio_data = (uintptr_t)s;
	s->iocb.aio_lio_opcode = code[op->kind];
	s->iocb.aio_fildes = dv.fd;
	if (op->kind != OP_FLUSH) {
		s->iocb.aio_buf = (uintptr_t)slot_buf(s);
		s->iocb.aio_nbytes = (uint64_t)op->count * SECTOR;
		s->iocb.aio_offset = op->sector * SECTOR;
	}
	if (syscall(SYS_io_submit, dv.aio, 1, list) != 1)
		slot_done(s, -errno);
}

/*
 * Requests that never come back are listed like failed ones: what they left
 * on the disk is as unknown.
 */
static void
give_up_waiting(void)
{
	unsigned i;

	printf("diskverify: %s: %u requests unanswered for %u s\n", dv.path,
	       dv.inflight, HANG_SECONDS);
	for (i = 0; i < dv.depth; i++)
		if (dv.slot[i].busy)
			slot_done(&dv.slot[i], -ETIMEDOUT);
}

static void
run(void)
{
	time_t end = dv.seconds ? time(NULL) + dv.seconds : 0;
	struct slot *s;
	struct op op;

	while (dv.issued < dv.ops && !stop && !dv.failed && !dv.wrong) {
		if (end && time(NULL) >= end)
			break;
		draw(&op);
		while (!(s = free_slot()) || in_the_way(&op)) {
			if (!reap()) {
				dv.issued--;
				goto hung;
			}
		}
		if (dv.failed) {
			dv.issued--;	/* drawn, never sent */
			break;
		}
		submit(s, &op);
	}
	while (dv.inflight)
		if (!reap())
			goto hung;
	return;
hung:
	give_up_waiting();
}

/* The same list, without the disk. */
static void
replay(void)
{
	struct op op;

	while (dv.issued < dv.ops) {
		draw(&op);
		if (op.kind != OP_WRITE)
			continue;
		if (is_pending(op.gen))
			table_maybe(&op);
		else
			table_write(&op);
	}
}

static void
check_all(void)
{
	uint8_t *buf = dv.slot[0].mem;
	uint64_t sector, n;
	ssize_t ret;
	uint32_t i;

	for (sector = 0; sector < dv.sectors; sector += n) {
		n = dv.sectors - sector;
		if (n > MAX_BYTES / SECTOR)
			n = MAX_BYTES / SECTOR;
		ret = pread(dv.fd, buf, n * SECTOR, sector * SECTOR);
		if (ret != (ssize_t)(n * SECTOR)) {
			printf("diskverify: %s: read at byte %" PRIu64 ": %s\n",
			       dv.path, sector * SECTOR,
			       ret < 0 ? strerror(errno) : "short");
			dv.failed++;
			return;
		}
		dv.read += n * SECTOR;
		for (i = 0; i < n; i++)
			sector_check(buf + i * SECTOR, sector + i);
	}
}

static int
fail(const char *what)
{
	fprintf(stderr, "diskverify: %s: %s: %s\n", dv.path, what,
		strerror(errno));
	return -REFUSED;
}

static int
measure(void)
{
	struct stat st;
	uint64_t bytes = 0;

	if (fstat(dv.fd, &st) < 0)
		return fail("stat");
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(dv.fd, BLKGETSIZE64, &bytes) < 0)
			return fail("size");
	} else {
		bytes = st.st_size;
	}
	if (!dv.sectors || dv.sectors > bytes / SECTOR)
		dv.sectors = bytes / SECTOR;
	if (!dv.sectors || dv.sectors > UINT32_MAX / 4) {
		errno = dv.sectors ? EFBIG : ENODATA;
		return fail("size");
	}
	return 0;
}

static int
prepare(void)
{
	int flags = dv.check_only ? O_RDONLY : O_RDWR;
	unsigned i;

	dv.fd = open(dv.path, flags | O_DIRECT | O_CLOEXEC);
	if (dv.fd < 0 && errno == EINVAL)	/* tmpfs, on a build host */
		dv.fd = open(dv.path, flags | O_CLOEXEC);
	if (dv.fd < 0)
		return fail("open");
	if (measure() < 0)
		return -REFUSED;
	dv.table = calloc(dv.sectors, sizeof(*dv.table));
	dv.maybe = calloc(dv.sectors, sizeof(*dv.maybe));
	if (!dv.table || !dv.maybe)
		return fail("memory for the table");
	for (i = 0; i < dv.depth; i++)
		if (posix_memalign((void **)&dv.slot[i].mem, 4096,
				   MAX_BYTES + 4096))
			return fail("memory for buffers");
	if (syscall(SYS_io_setup, MAX_DEPTH, &dv.aio) < 0)
		return fail("io_setup");
	return 0;
}

/* One line, made to be copied: seed, ops and pending are the next run's. */
static void
summary(void)
{
	unsigned i;

	printf("diskverify: %s: seed=%" PRIu64 " ops=%" PRIu64 " sectors=%" PRIu64,
	       dv.path, dv.seed, dv.issued, dv.sectors);
	if (dv.npending)
		printf(" pending=");
	for (i = 0; i < dv.npending; i++)
		printf("%s%u", i ? "," : "", dv.pending[i]);
	printf(" wrote=%" PRIu64 " read=%" PRIu64 " flushes=%" PRIu64
	       " checked=%" PRIu64 " wrong=%u failed=%u\n", dv.wrote, dv.read,
	       dv.flushes, dv.checked, dv.wrong, dv.failed);
}

static int
usage(FILE *to)
{
	fputs("usage: diskverify [options] DEVICE\n"
	      "  -s, --seed N         which list of operations (1)\n"
	      "  -n, --ops N          how many of it (1000)\n"
	      "  -d, --depth N        in flight at once, to 64 (32)\n"
	      "  -t, --seconds N      stop after that time\n"
	      "  -S, --sectors N      only the first N sectors\n"
	      "  -r, --reads PERCENT  share of reads (30)\n"
	      "  -f, --flush-every N  one flush in N operations and one at the\n"
	      "                       end (20; 0: none at all)\n"
	      "  -b, --blank          unwritten sectors must be zero\n"
	      "  -c, --check-only     no writing: what would be there by now?\n"
	      "  -p, --pending N,...  operations that may not have arrived\n"
	      "Same seed, reads, flush-every and sectors: same list.\n"
	      "Exit: 0 right, 1 wrong data, 2 usage, 3 the disk or system failed.\n",
	      to);
	return to == stdout ? DONE : USAGE;
}

static bool
parse_pending(char *arg)
{
	char *one;

	for (one = strtok(arg, ","); one; one = strtok(NULL, ",")) {
		if (dv.npending == MAX_PENDING)
			return false;
		dv.pending[dv.npending++] = strtoul(one, NULL, 10);
	}
	return true;
}

static int
parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "seed", 1, NULL, 's' }, { "ops", 1, NULL, 'n' },
		{ "depth", 1, NULL, 'd' }, { "seconds", 1, NULL, 't' },
		{ "sectors", 1, NULL, 'S' }, { "reads", 1, NULL, 'r' },
		{ "flush-every", 1, NULL, 'f' }, { "blank", 0, NULL, 'b' },
		{ "check-only", 0, NULL, 'c' }, { "pending", 1, NULL, 'p' },
		{ "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "s:n:d:t:S:r:f:bcp:h", longs, NULL)) != -1) {
		switch (c) {
		case 's': dv.seed = strtoull(optarg, NULL, 0); break;
		case 'n': dv.ops = strtoull(optarg, NULL, 0); break;
		case 'd': dv.depth = strtoul(optarg, NULL, 0); break;
		case 't': dv.seconds = strtoul(optarg, NULL, 0); break;
		case 'S': dv.sectors = strtoull(optarg, NULL, 0); break;
		case 'r': dv.read_percent = strtoul(optarg, NULL, 0); break;
		case 'f': dv.flush_every = strtoul(optarg, NULL, 0); break;
		case 'b': dv.blank = true; break;
		case 'c': dv.check_only = true; break;
		case 'p':
			if (!parse_pending(optarg))
				return -usage(stderr);
			break;
		case 'h': exit(usage(stdout));
		default: return -usage(stderr);
		}
	}
	if (optind + 1 != argc || !dv.depth || dv.depth > MAX_DEPTH ||
	    dv.ops > UINT32_MAX)
		return -usage(stderr);
	dv.path = argv[optind];
	return 0;
}

static void
on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

int
main(int argc, char **argv)
{
	int ret;

	dv.seed = 1;
	dv.ops = 1000;
	dv.depth = 32;
	dv.read_percent = 30;
	dv.flush_every = 20;
	crc_init();
	ret = parse(argc, argv);
	if (ret == 0)
		ret = prepare();
	if (ret < 0)
		return -ret;
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	if (dv.check_only)
		replay();
	else
		run();
	/* Asked for none, the run shall prove what holds without any. */
	if (!dv.failed && !dv.wrong && !dv.check_only && dv.flush_every &&
	    fdatasync(dv.fd) < 0)
		return -fail("flush");
	if (!dv.failed)
		check_all();
	summary();
	return dv.wrong ? WRONG : dv.failed ? REFUSED : DONE;
}
