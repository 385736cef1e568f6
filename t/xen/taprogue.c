/*
 * taprogue - a process that breaks every rule of uapi/xpvtap.h at its node.
 *
 *	taprogue NODE SECTORS		what needs no request of a guest
 *	taprogue NODE SECTORS amid	and what does: one must be reading and
 *					writing the disk all the while
 *
 * Says TAP lines without numbers.
 *
 * Between two crimes it behaves, so that the guest goes on: a disk of SECTORS
 * that reads as it was written is not promised, only that each request ends.
 */
#define _GNU_SOURCE
#include "taprogue.h"
#include <pthread.h>
#include <sys/wait.h>

const char *node;
uint64_t sectors;
int failures;
volatile bool scribbling;
__thread sigjmp_buf no_page;

/* SIGSEGV is of a window that is being mapped anew. */
static void
on_bus(int sig)
{
	(void)sig;
	siglongjmp(no_page, 1);
}

/* -------------------------------------------------------- open and fork */

static void
test_open(void)
{
	struct tapdev t;
	int fd, status;
	pid_t pid;

	fails(open(node, O_RDONLY), EACCES, "a reader may not even open it");
	fails(open(node, O_WRONLY), EACCES, "nor one that only writes");
	fresh(&t, false);
	fails(open(node, O_RDWR), EBUSY, "the second open is EBUSY");
	pid = fork();
	if (!pid) {
		struct xpvtap_info info = { .size = sizeof(info) };

		signal(SIGSEGV, SIG_DFL);
		if (ioctl(t.fd, XPVTAP_IOC_INFO, &info))
			_exit(1);
		*(volatile uint8_t *)t.window;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV,
	   "a child has the descriptor and no mapping");
	close(t.fd);
	fails(open(node, O_RDWR), EBUSY, "a mapping alone keeps it open");
	munmap(t.ring, t.info.ring_bytes);
	munmap(t.window, t.info.window_bytes);
	fd = open(node, O_RDWR);
	ok(fd >= 0, "and then it is free again");
	close(fd);
}

/* ----------------------------------------------------------------- mmap */

static bool
no_map(struct tapdev *t, size_t len, int prot, int flags, off_t off)
{
	void *p = mmap(NULL, len, prot, flags, t->fd, off);

	if (p != MAP_FAILED) {
		munmap(p, len);
		errno = 0;
		return false;
	}
	return errno == EINVAL;
}

static void
test_mmap(void)
{
	const int rw = PROT_READ | PROT_WRITE;
	const size_t ring = 16 * 4096;
	struct tapdev t;
	size_t window;
	off_t off;
	bool good;

	fresh(&t, false);
	window = t.info.window_bytes;
	ok(no_map(&t, ring, rw, MAP_PRIVATE, 0) &&
	   no_map(&t, window, rw, MAP_PRIVATE, XPVTAP_WINDOW_OFFSET),
	   "mmap PRIVATE is EINVAL");
	ok(no_map(&t, ring, rw | PROT_EXEC, MAP_SHARED, 0), "mmap EXEC is EINVAL");
	ok(no_map(&t, 4096, rw, MAP_SHARED, 0) &&
	   no_map(&t, ring - 4096, rw, MAP_SHARED, 0) &&
	   no_map(&t, ring + 4096, rw, MAP_SHARED, 0) &&
	   no_map(&t, window, rw, MAP_SHARED, 0),
	   "a ring of any other length is EINVAL");
	ok(no_map(&t, 4096, rw, MAP_SHARED, XPVTAP_WINDOW_OFFSET) &&
	   no_map(&t, window - 4096, rw, MAP_SHARED, XPVTAP_WINDOW_OFFSET) &&
	   no_map(&t, window + 4096, rw, MAP_SHARED, XPVTAP_WINDOW_OFFSET),
	   "a window of any other length is EINVAL");
	good = true;
	for (off = 4096; off; off <<= 1)
		if (off != XPVTAP_WINDOW_OFFSET)
			good = good && no_map(&t, window, rw, MAP_SHARED, off & INT64_MAX);
	ok(good, "and so is every other offset");
	ok(mremap(t.ring, ring, 2 * ring, MREMAP_MAYMOVE) == MAP_FAILED,
	   "a mapping does not grow");
	ok(mprotect(t.window, window, rw | PROT_EXEC) < 0 && errno == EACCES,
	   "nor becomes executable");
	tapdev_close(&t);
}

/* ---------------------------------------------------------------- ioctl */

static struct xpvtap_ready
decent(struct tapdev *t)
{
	return (struct xpvtap_ready) {
		.size = sizeof(struct xpvtap_ready), .flags = FLAGS,
		.sectors = sectors, .physical_sector_bytes = 4096,
		.discard_granularity = 4096, .max_segments = t->info.max_segments,
	};
}

static void
test_ready(void)
{
	struct tapdev t;
	struct xpvtap_ready r;
	int n = 0, bad = 0;

	fresh(&t, false);
	fails(push(&t), ENOTCONN, "PUSH before READY is ENOTCONN");
#define TRY(change) do { \
		r = decent(&t); \
		change; \
		n++; \
		if (ioctl(t.fd, XPVTAP_IOC_READY, &r) == 0 || errno != EINVAL) { \
			bad++; \
			printf("#   taken: %s\n", #change); \
		} \
	} while (0)
	TRY(r.sectors = 0);
	TRY(r.sectors = (1ULL << 54) + 1);
	TRY(r.sectors = UINT64_MAX);
	TRY(r.physical_sector_bytes = 0);
	TRY(r.physical_sector_bytes = 1);
	TRY(r.physical_sector_bytes = 256);
	TRY(r.physical_sector_bytes = 513);
	TRY(r.physical_sector_bytes = 4095);
	TRY(r.physical_sector_bytes = 1 << 17);
	TRY(r.physical_sector_bytes = 1u << 31);
	TRY(r.discard_granularity = 100);
	TRY(r.discard_granularity = UINT32_MAX);
	TRY(r.max_segments = 0);
	TRY(r.max_segments = 10);
	TRY(r.max_segments = t.info.max_segments + 1);
	TRY(r.max_segments = UINT32_MAX);
	TRY(r.flags = 1u << 6);
	TRY(r.flags = UINT32_MAX);
	TRY(r.pad = 1);
	TRY(r.size = 0);
	TRY(r.size = sizeof(r) - 1);
	TRY(r.size = UINT32_MAX);
	printf("# %d kinds of nonsense\n", n);
	ok(!bad, "READY with nonsense is EINVAL");
	fails(push(&t), ENOTCONN, "and was no READY");
	fails(ioctl(t.fd, XPVTAP_IOC_READY, (void *)16), EFAULT, "READY from nowhere");

	r = decent(&t);
	ok(!ioctl(t.fd, XPVTAP_IOC_READY, &r), "READY with sense");
	ok(!ioctl(t.fd, XPVTAP_IOC_READY, &r), "and once more the same");
	bad = 0;
	TRY(r.sectors--);
	TRY(r.flags ^= XPVTAP_READY_FLUSH);
	TRY(r.physical_sector_bytes = 512);
	TRY(r.max_segments = 11);
	ok(!bad, "READY again with anything but more is EINVAL");
	tapdev_close(&t);

	t.fd = open(node, O_RDWR);
	r = decent(&t);
	fails(ioctl(t.fd, XPVTAP_IOC_READY, &r), EINVAL, "READY before mmap is EINVAL");
	close(t.fd);
}

static void
test_ioctl(void)
{
	struct {
		struct xpvtap_info info;
		uint64_t more[8];
	} big;
	struct tapdev t;
	unsigned i, odd = 0;

	fresh(&t, false);
	big.info.size = sizeof(big.info) - 1;
	fails(ioctl(t.fd, XPVTAP_IOC_INFO, &big), EINVAL, "INFO into too little");
	memset(&big, 0x55, sizeof(big));
	big.info.size = sizeof(big);
	ok(!ioctl(t.fd, XPVTAP_IOC_INFO, &big) && big.info.version == XPVTAP_VERSION &&
	   !big.more[0] && !big.more[7], "INFO into more than it knows: zeroes");
	fails(ioctl(t.fd, XPVTAP_IOC_INFO, NULL), EFAULT, "INFO into nothing");
	for (i = 0; i < 65536; i += 7) {
		if (ioctl(t.fd, _IO('X', i & 255) | (i >> 8) << 16, &big) < 0 &&
		    errno != ENOTTY)
			odd++;
	}
	for (i = 4; i < 256; i++)
		if (ioctl(t.fd, _IO('X', i), &big) == 0 || errno != ENOTTY)
			odd++;
	ok(!odd, "ioctls that are none are ENOTTY");
	for (i = 0; i < 20000; i++)
		push(&t);
	ok(true, "a storm of PUSH");
	for (i = 0; i < 20000; i++) {
		struct pollfd p = { .fd = t.fd, .events = POLLOUT | POLLIN | POLLPRI };

		poll(&p, 1, 0);
	}
	ok(true, "a storm of poll");
	ok(read(t.fd, &big, 1) < 0 && write(t.fd, &big, 1) < 0, "no read, no write");
	tapdev_close(&t);
}

/* ------------------------------------------------------------- the ring */

/* An answer that must end this opener's business, and no more. */
static void
crime(struct tapdev *t, const char *text)
{
	int first = push(t), e1 = errno;
	int second = push(t), e2 = errno;

	ok(first < 0 && e1 == EINVAL && second < 0 && e2 == EINVAL, text);
	tapdev_close(t);
}

static void
test_far_ahead(void)
{
	static const uint32_t ahead[] = { 1, 2, 511, 512, 513, 0x7fffffff,
					  0x80000000, 0xfffffc00 };
	struct tapdev t;
	unsigned i;

	for (i = 0; i < sizeof(ahead) / sizeof(*ahead); i++) {
		char text[64];

		fresh(&t, true);
		t.ring->rsp_prod = t.ring->req_prod + ahead[i];
		snprintf(text, sizeof(text), "rsp_prod %#x beyond req_prod", ahead[i]);
		crime(&t, text);
	}
}

/* Everything that comes, for so long, answered with an error-free nothing. */
static void
behave(struct tapdev *t, int rounds)
{
	struct request q;

	while (rounds--)
		if (tapdev_next(t, &q, 50)) {
			tapdev_answer(t, q.id, q.op, 0);
			if (push(t))
				ok(false, "behaving");
		}
}

static void
test_wrong_ids(void)
{
	struct tapdev t;
	struct request q, p;
	unsigned i;

	fresh(&t, true);
	q = one(&t);
	tapdev_close(&t);
	fresh(&t, false);
	ok(t.info.again > 0, "what was not answered comes again");
	if (tapdev_ready(&t, sectors, FLAGS))
		ok(false, "READY after it");
	p = one(&t);
	ok(p.id != q.id && p.op == q.op && p.sector == q.sector,
	   "the same request, with a new id");
	tapdev_answer(&t, q.id, q.op, 0);
	crime(&t, "the id it had before");

	for (i = 0; i < 6; i++) {
		static const char * const text[] = {
			"id of the next slot", "id of 2^64 more or less",
			"id of another time", "id 0", "id all ones", "id of slot 512"
		};

		fresh(&t, true);
		q = one(&t);
		tapdev_answer(&t, i == 0 ? q.id ^ 1 : i == 1 ? q.id ^ 1ULL << 63 :
			      i == 2 ? q.id + 512 : i == 3 ? 0 :
			      i == 4 ? UINT64_MAX : q.id | 512, q.op, 0);
		if (i == 5 && q.id == (q.id | 512))
			t.ring->slot[0].rsp.id = q.id & ~512ULL;
		crime(&t, text[i]);
	}
}

static void
test_twice(void)
{
	struct tapdev t;
	struct request q;

	fresh(&t, true);
	q = one(&t);
	tapdev_answer(&t, q.id, q.op, 0);
	ok(!push(&t), "an answer in order");
	one(&t);
	tapdev_answer(&t, q.id, q.op, 0);
	crime(&t, "the same answer again");

	fresh(&t, true);
	q = one(&t);
	one(&t);
	tapdev_answer(&t, q.id, q.op, 0);
	tapdev_answer(&t, q.id, q.op, 0);
	crime(&t, "twice in one PUSH");

	fresh(&t, true);
	q = one(&t);
	tapdev_answer(&t, q.id, 77, 12345);
	ok(!push(&t), "an operation and a status that are none: its own affair");
	tapdev_close(&t);
}

/* At each moment of a request's life. */
static void
test_close(void)
{
	struct tapdev t;
	struct request q;
	int i, moment;

	for (i = 0; i < 40; i++) {
		moment = i % 5;
		fresh(&t, moment > 0);
		if (moment > 1)
			q = one(&t);
		if (moment > 2)
			tapdev_answer(&t, q.id, q.op, 0);
		if (moment > 3)
			push(&t);
		tapdev_close(&t);
	}
	fresh(&t, true);
	behave(&t, 20);
	tapdev_close(&t);
	ok(true, "closed at each moment, eight times");
}

static void *
scribble(void *arg)
{
	struct tapdev *t = arg;
	volatile uint64_t x = 88172645463325252ULL;
	uint8_t *to = (uint8_t *)t->ring;

	sigsetjmp(no_page, 1);
	while (scribbling) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		if (x & 15)
			*(uint64_t *)(to + x % (t->info.ring_bytes - 8)) = x * 7;
		else
			((uint32_t *)to)[(x >> 8) & 3] = x >> 32;
		t->window[(x >> 20) % t->info.window_bytes] = x;
	}
	return NULL;
}

static void
test_garbage(void)
{
	struct tapdev t;
	pthread_t thread;
	int i, k;

	for (i = 0; i < 60; i++) {
		fresh(&t, true);
		scribbling = true;
		if (pthread_create(&thread, NULL, scribble, &t))
			break;
		for (k = 0; k < 200; k++) {
			struct pollfd p = { .fd = t.fd, .events = POLLIN };

			push(&t);
			poll(&p, 1, 0);
		}
		scribbling = false;
		pthread_join(thread, NULL);
		tapdev_close(&t);
	}
	ok(i == 60, "sixty rings full of garbage, changing all the time");
	fresh(&t, true);
	behave(&t, 50);
	tapdev_close(&t);
}

int
main(int argc, char **argv)
{
	struct tapdev t;

	if (argc < 3)
		return 2;
	node = argv[1];
	sectors = strtoull(argv[2], NULL, 0);
	signal(SIGBUS, on_bus);
	signal(SIGSEGV, on_bus);
	fresh(&t, false);
	tapdev_close(&t);
	if (argc < 4) {
		if (maps(&t))
			map_without();
		test_open();
		test_mmap();
		test_ioctl();
		test_ready();
		test_far_ahead();
	} else {
		test_wrong_ids();
		test_twice();
		test_close();
		if (maps(&t))
			map_amid();
		test_garbage();
	}
	return failures != 0;
}
