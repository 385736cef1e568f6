/*
 * tapcat - serves a plain file at a node of xpvtap; dies where it is told to.
 *
 *	tapcat [-rdb] [-s SECTORS] [-m SEGMENTS] [-g SECTORS] [-x|-z N,PHASE]
 *	       NODE FILE
 *
 *	-r	read-only		-d	no discard
 *	-b	no flush, only barriers
 *	-g	after SIGUSR1 the disk has so many sectors (READY again)
 *	-x	kill -9 of itself at the Nth request: 1 taken, 2 done,
 *		3 answer on the ring, 4 pushed
 *	-z	the same, but it is stopped
 *
 * Says "ready" when it is.  SIGTERM: the disk is let go between two requests.
 */
#define _GNU_SOURCE
#include "tapdev.h"
#include <sys/stat.h>
#include <sys/uio.h>

static struct tapdev tap;
static int file;
static unsigned long die_at, die_phase, seen;
static int die_by = SIGKILL;
static volatile sig_atomic_t stop, grow;
static uint64_t longest;

static void on_term(int sig) { (void)sig; stop = 1; }
static void on_usr1(int sig) { (void)sig; grow = 1; }

static void
phase(unsigned long n)
{
	if (seen == die_at && n == die_phase)
		raise(die_by);
}

static void
die(const char *what)
{
	fprintf(stderr, "tapcat: %s: %s\n", what, strerror(errno));
	exit(3);
}

/* All of one request in one system call. */
static int
move(bool write, const struct segment *seg, unsigned n, uint64_t sector)
{
	struct iovec iov[256];
	size_t bytes = 0;
	ssize_t got;
	unsigned i;

	for (i = 0; i < n; i++) {
		iov[i].iov_base = tap.window + seg[i].page * 4096ULL +
				  seg[i].first * 512;
		iov[i].iov_len = (seg[i].last - seg[i].first + 1) * 512;
		bytes += iov[i].iov_len;
	}
	got = write ? pwritev(file, iov, n, sector * 512)
		    : preadv(file, iov, n, sector * 512);
	return got == (ssize_t)bytes ? 0 : -1;
}

static int
serve(const struct request *q)
{
	struct segment list[256];

	switch (q->op) {
	case OP_READ:
	case OP_WRITE:
		return move(q->op == OP_WRITE, q->seg, q->n, q->sector);
	case OP_BARRIER:
		if (fdatasync(file) || (q->n && move(true, q->seg, q->n, q->sector)))
			return -1;
		return fdatasync(file);
	case OP_FLUSH:
		return fdatasync(file);
	case OP_DISCARD:
		return fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 q->sector * 512, q->sectors * 512);
	case OP_INDIRECT:
		if (q->n16 > longest)
			longest = q->n16;
		memcpy(list, tap.window + q->list[0] * 4096ULL,
		       q->n16 * sizeof(*list));
		return move(q->n == OP_WRITE, list, q->n16, q->sector);
	}
	return -2;
}

static void
serve_some(void)
{
	struct request q;

	while (!stop && tapdev_next(&tap, &q, 0)) {
		seen++;
		phase(1);
		int status = serve(&q);
		phase(2);
		tapdev_answer(&tap, q.id, q.op, status);
		phase(3);
		if (seen == die_at && ioctl(tap.fd, XPVTAP_IOC_PUSH) < 0)
			die("PUSH");
		phase(4);
	}
	if (ioctl(tap.fd, XPVTAP_IOC_PUSH) < 0)
		die("PUSH");
}

static void
loop(uint64_t larger, uint32_t flags)
{
	struct pollfd p = { .fd = tap.fd, .events = POLLIN };

	while (!stop) {
		if (grow) {
			grow = 0;
			if (ftruncate(file, larger * 512) ||
			    tapdev_ready(&tap, larger, flags))
				die("READY again");
		}
		if (poll(&p, 1, 500) < 0 && errno != EINTR)
			die("poll");
		if (p.revents & POLLHUP)
			break;
		serve_some();
	}
}

int
main(int argc, char **argv)
{
	uint32_t flags = XPVTAP_READY_FLUSH | XPVTAP_READY_BARRIER |
			 XPVTAP_READY_DISCARD;
	uint64_t sectors = 0, larger = 0, segments = 0;
	struct stat st;
	int c;

	while ((c = getopt(argc, argv, "rdbs:m:g:x:z:")) != -1) {
		switch (c) {
		case 'r': flags |= XPVTAP_READY_READONLY; break;
		case 'd': flags &= ~XPVTAP_READY_DISCARD; break;
		case 'b': flags &= ~XPVTAP_READY_FLUSH; break;
		case 's': sectors = strtoull(optarg, NULL, 0); break;
		case 'm': segments = strtoull(optarg, NULL, 0); break;
		case 'g': larger = strtoull(optarg, NULL, 0); break;
		case 'z':
			die_by = SIGSTOP;
			/* fall through */
		case 'x':
			if (sscanf(optarg, "%lu,%lu", &die_at, &die_phase) != 2)
				return 2;
			break;
		default: return 2;
		}
	}
	if (argc - optind != 2)
		return 2;
	signal(SIGTERM, on_term);
	signal(SIGUSR1, on_usr1);
	file = open(argv[optind + 1], flags & XPVTAP_READY_READONLY ? O_RDONLY : O_RDWR);
	if (file < 0 || fstat(file, &st))
		die(argv[optind + 1]);
	if (tapdev_open(&tap, argv[optind]))
		die(argv[optind]);
	if (segments)
		tap.info.max_segments = segments;
	if (tapdev_ready(&tap, sectors ? sectors : (uint64_t)st.st_size / 512, flags))
		die("READY");
	printf("ready, open %llu, %u again, %s\n", (unsigned long long)tap.info.opens,
	       tap.info.again,
	       tap.info.features & XPVTAP_F_MAP ? "pages of the guest" : "copies");
	fflush(stdout);
	loop(larger, flags);
	tapdev_close(&tap);
	printf("%lu requests, longest %llu segments\n", seen,
	       (unsigned long long)longest);
	return 0;
}
