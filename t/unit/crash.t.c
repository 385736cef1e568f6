/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * crash.t.c - a power cut at any moment loses nothing that was flushed.
 *
 * The five calls that change a file are replaced here and recorded.  From the
 * record come crash states: everything up to the last sync before the cut, and
 * of what came after it a random part, cut at any sector.  Each state is opened
 * and compared with what the guest had been promised (W1, W2).
 *
 * The same states built from a record in which the last sync of every flush does
 * not count must show losses (W2), and in a child over a full parent also those
 * in which the sync between data and tables does not (W1): that is how we know
 * the test can fail.  (In an image without a parent the latter shows none: a
 * fresh unit that was not written reads as zeros, which is what was there.)
 *
 * And a process that is killed loses nothing that was acknowledged (W6).
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vdisk/vdisk.h>
#include "tap.h"

#define DISK		(8u << 20)
#define SECTORS		(DISK / 512)
#define OPS		400
#define STATES		150
#define FILE_MAX	(32u << 20)

/* ------------------------------------------------------------ the record */

enum kind { WROTE, ZEROED, SIZED, SYNCED, FLUSHED };

struct event {
	enum kind	kind;
	uint64_t	off, len;	/* FLUSHED: off is the operation */
	unsigned char  *data;
};

static struct event *events;
static size_t nevents, events_cap;
static bool recording;
static ino_t image_ino;

static void
record(int fd, enum kind kind, uint64_t off, uint64_t len, const void *data)
{
	struct stat st;

	if (!recording || (fd >= 0 && (fstat(fd, &st) < 0 ||
				       st.st_ino != image_ino)))
		return;
	if (nevents == events_cap) {
		events_cap = events_cap ? 2 * events_cap : 1024;
		events = realloc(events, events_cap * sizeof(*events));
	}
	events[nevents] = (struct event){ kind, off, len, NULL };
	if (data) {
		events[nevents].data = malloc(len);
		memcpy(events[nevents].data, data, len);
	}
	nevents++;
}

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	ssize_t ret = syscall(SYS_pwritev, fd, iov, n, off, 0);
	off_t at = off, end = off + (ret > 0 ? ret : 0);

	for (int i = 0; i < n && at < end; i++) {
		size_t len = iov[i].iov_len;

		if ((off_t)len > end - at)
			len = (size_t)(end - at);
		record(fd, WROTE, (uint64_t)at, len, iov[i].iov_base);
		at += (off_t)len;
	}
	return ret;
}

/* Through us, as a read and a write: so it is recorded. */
ssize_t
copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t len,
		unsigned flags)
{
	static _Thread_local char buf[65536];
	struct iovec iov = { buf, len < sizeof(buf) ? len : sizeof(buf) };
	ssize_t n = pread(in, buf, iov.iov_len, *from);

	(void)flags;
	if (n <= 0)
		return n;
	iov.iov_len = (size_t)n;
	n = pwritev(out, &iov, 1, *to);
	if (n > 0) {
		*from += n;
		*to += n;
	}
	return n;
}

int
ftruncate(int fd, off_t size)
{
	record(fd, SIZED, (uint64_t)size, 0, NULL);
	return (int)syscall(SYS_ftruncate, fd, size);
}

int
fallocate(int fd, int mode, off_t off, off_t len)
{
	int ret = (int)syscall(SYS_fallocate, fd, mode, off, len);

	if (ret == 0 && mode)
		record(fd, ZEROED, (uint64_t)off, (uint64_t)len, NULL);
	return ret;
}

int
fdatasync(int fd)
{
	record(fd, SYNCED, 0, 0, NULL);
	return 0;
}

/* ------------------------------------------------- what the guest wrote */

/* Every sector of a write is filled with one number, never used again. */
struct version {
	struct version *older;
	uint64_t	number;		/* 0: zeros */
	unsigned	op;
	size_t		begun;		/* events when it was issued */
};

static struct version *newest[SECTORS];
static uint64_t rnd;
static bool over_parent;	/* which is full of what first() says */

static uint64_t
first(unsigned sector)
{
	return over_parent ? (UINT64_C(1) << 60) + sector : 0;
}

static uint64_t
random64(void)
{
	rnd ^= rnd << 13;
	rnd ^= rnd >> 7;
	rnd ^= rnd << 17;
	return rnd;
}

static void
remember(uint64_t sector, uint64_t number, unsigned op)
{
	struct version *v = malloc(sizeof(*v));

	*v = (struct version){ newest[sector], number, op, nevents };
	newest[sector] = v;
}

static void
forget_all(void)
{
	for (unsigned i = 0; i < SECTORS; i++) {
		while (newest[i]) {
			struct version *v = newest[i];

			newest[i] = v->older;
			free(v);
		}
	}
	for (size_t i = 0; i < nevents; i++)
		free(events[i].data);
	nevents = 0;
}

/* May this sector hold `number` after a cut at event `cut`? */
static bool
allowed(unsigned sector, uint64_t number, unsigned promised, size_t cut)
{
	for (struct version *v = newest[sector]; v; v = v->older) {
		if (v->begun <= cut && v->number == number)
			return true;
		if (v->op <= promised)
			return false;	/* this one had to be there */
	}
	return number == first(sector);
}

static int
one_op(struct vd_disk *d, unsigned op, struct vd_err *err)
{
	static uint64_t buf[(256u << 10) / 8];
	uint64_t r = random64();
	uint64_t len = ((r >> 8) % 512 >> (r % 9)) + 1;
	uint64_t at = random64() % (SECTORS - len + 1);
	bool zero = r % 16 == 1;
	int ret;

	if (r % 16 == 0) {
		ret = d ? vd_disk_flush(d, err) : 0;
		record(-1, FLUSHED, op, 0, NULL);
		return ret;
	}
	for (uint64_t i = 0; i < len; i++) {
		uint64_t number = zero ? 0 : ((uint64_t)op << 20) + i + 1;

		for (unsigned k = 0; k < 64; k++)
			buf[i * 64 + k] = number;
		remember(at + i, number, op);
	}
	if (!d)			/* only say again what was done */
		return 0;
	if (zero)
		return vd_disk_write_zeroes(d, at * 512, len * 512, 0, err);
	ret = vd_disk_write(d, buf, len * 512, at * 512,
			    r % 128 == 2 ? VD_FUA : 0, err);
	if (r % 128 == 2)
		record(-1, FLUSHED, op, 0, NULL);
	return ret;
}

/* ------------------------------------------------------- crash states */

static unsigned char *durable, *state;
static uint64_t durable_size, state_size;

static void
apply(unsigned char *img, uint64_t *size, const struct event *e, uint64_t from,
      uint64_t to)
{
	if (e->kind == SIZED) {
		if (e->off < *size)
			memset(img + e->off, 0, *size - e->off);
		*size = e->off;
	} else if (e->kind == WROTE || e->kind == ZEROED) {
		if (e->kind == WROTE)
			memcpy(img + e->off + from, e->data + from, to - from);
		else
			memset(img + e->off + from, 0, to - from);
		if (e->off + to > *size)
			*size = e->off + to;
	}
}

/* The sync that makes a flush's promise true: none follows it. */
static bool
ends_flush(size_t i)
{
	for (i++; i < nevents && events[i].kind != FLUSHED; i++)
		if (events[i].kind == SYNCED)
			return false;
	return true;
}

/* Which syncs of the record count. */
enum control { ALL, NO_LAST, NO_ORDER };

static bool
counts(size_t i, enum control c)
{
	return events[i].kind == SYNCED &&
	       (c == ALL || ends_flush(i) == (c == NO_ORDER));
}

static void
build_state(size_t *done, size_t cut, enum control control)
{
	size_t last = *done;

	for (size_t i = *done; i < cut; i++)
		if (counts(i, control))
			last = i + 1;
	for (size_t i = *done; i < last; i++)
		apply(durable, &durable_size, &events[i], 0, events[i].len);
	*done = last;
	memcpy(state, durable, FILE_MAX);
	state_size = durable_size;
	for (size_t i = last; i < cut; i++) {
		uint64_t sectors = (events[i].len + 511) / 512;
		uint64_t r = random64(), from, to;

		if (r % 3 == 0)
			continue;	/* never reached the disk */
		from = r % 5 == 0 ? (r >> 8) % (sectors + 1) * 512 : 0;
		to = r % 7 == 0 ? (r >> 24) % (sectors + 1) * 512
				: events[i].len;
		if (to > events[i].len)
			to = events[i].len;
		if (from < to || events[i].kind == SIZED)
			apply(state, &state_size, &events[i],
			      from < to ? from : 0, to);
	}
}

static void
store(const char *path, const unsigned char *img, uint64_t size)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);

	if (fd < 0 || write(fd, img, size) != (ssize_t)size)
		diag("cannot write %s", path);
	close(fd);
}

/* Sectors that hold what they may not; -1 when it does not even open. */
static long
losses(struct vd_library *lib, const char *path, unsigned promised, size_t cut,
       unsigned flags)
{
	struct vd_open o = { .size = sizeof(o), .flags = flags };
	static uint64_t content[DISK / 8];
	struct vd_err err = { 0 };
	struct vd_disk *d;
	long bad = 0;
	char text[1024];

	if (vd_disk_open(lib, path, &o, &d, &err) ||
	    vd_disk_read(d, content, DISK, 0, &err)) {
		diag("%s", vd_err_text(&err, text, sizeof(text)));
		return -1;
	}
	for (unsigned s = 0; s < SECTORS; s++) {
		uint64_t *w = content + s * 64;
		bool torn = false;

		for (unsigned k = 1; k < 64; k++)
			torn |= w[k] != w[0];
		if (torn || !allowed(s, w[0], promised, cut))
			bad++;
	}
	vd_disk_close(d, NULL);
	return bad;
}

static int
by_size(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return x < y ? -1 : x > y;
}

/* Build STATES states of the record; returns how many lost something. */
static unsigned
campaign(struct vd_library *lib, const char *path, const unsigned char *start,
	 uint64_t start_size, enum control control)
{
	size_t cuts[STATES], done = 0;
	unsigned lost = 0;

	memset(durable, 0, FILE_MAX);
	memcpy(durable, start, start_size);
	durable_size = start_size;
	for (unsigned i = 0; i < STATES; i++) {
		cuts[i] = random64() % (nevents + 1);
		/* Every other one where it hurts: around the end of a flush. */
		while (i % 2 && cuts[i] > 4 && cuts[i] < nevents &&
		       events[cuts[i]].kind != FLUSHED)
			cuts[i]--;
		if (i % 2 && cuts[i] > 4)
			cuts[i] = cuts[i] + 1 - random64() % 5;
	}
	qsort(cuts, STATES, sizeof(*cuts), by_size);
	for (unsigned i = 0; i < STATES; i++) {
		unsigned promised = 0;
		long bad;

		for (size_t k = 0; k < cuts[i]; k++)
			if (events[k].kind == FLUSHED)
				promised = (unsigned)events[k].off;
		build_state(&done, cuts[i], control);
		store(path, state, state_size);
		bad = losses(lib, path, promised, cuts[i], i % 4 ?
			     VD_DISK_RDONLY : 0);
		if (bad && control == ALL)
			diag("cut at event %zu of %zu: %ld sectors lost, "
			     "promised up to operation %u", cuts[i], nevents,
			     bad, promised);
		lost += bad != 0;
	}
	return lost;
}

static uint64_t
load(const char *path, unsigned char *img)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	ssize_t n = 0;

	if (fd >= 0 && fstat(fd, &st) == 0) {
		image_ino = st.st_ino;
		n = read(fd, img, FILE_MAX);
	}
	close(fd);
	return n > 0 ? (uint64_t)n : 0;
}

/* A parent in which every sector tells its number. */
static int
make_parent(struct vd_library *lib, const char *path, struct vd_err *err)
{
	struct vd_create c = { .size = sizeof(c), .virtual_size = DISK };
	static uint64_t content[DISK / 8];
	struct vd_disk *d;
	int ret;

	if (access(path, F_OK) == 0)
		return 0;
	for (unsigned i = 0; i < DISK / 8; i++)
		content[i] = first(i / 64);
	ret = vd_create_image(lib, "raw", path, &c, err);
	if (!ret)
		ret = vd_disk_open(lib, path, NULL, &d, err);
	if (ret)
		return ret;
	ret = vd_disk_write(d, content, DISK, 0, 0, err);
	vd_disk_close(d, NULL);
	return ret;
}

static void
make(struct vd_library *lib, const char *format, uint64_t unit,
     const char *path)
{
	struct vd_create c = {
		.size = sizeof(c), .virtual_size = DISK, .unit = unit,
	};
	struct vd_err err = { 0 };
	char text[1024], parent[80];
	int ret;

	unlink(path);
	over_parent = !strcmp(format, "delta");
	snprintf(parent, sizeof(parent), "%s.raw", path);
	if (over_parent) {
		ret = make_parent(lib, parent, &err);
		if (!ret)
			ret = vd_create_child(lib, format, path, parent, NULL,
					      &c, &err);
	} else {
		ret = vd_create_image(lib, format, path, &c, &err);
	}
	ok(!ret, "%s: make an image", format) ||
		(diag("%s", vd_err_text(&err, text, sizeof(text))), 0);
}

static void
power_cuts(struct vd_library *lib, const char *format, uint64_t unit,
	   const char *path)
{
	static unsigned char start[FILE_MAX];
	struct vd_err err = { 0 };
	struct vd_disk *d;
	uint64_t size;
	int ret;

	make(lib, format, unit, path);
	size = load(path, start);
	ok(vd_disk_open(lib, path, NULL, &d, &err) == 0, "%s: open", format);
	recording = true;
	ret = 0;
	for (unsigned op = 1; op <= OPS && !ret; op++)
		ret = one_op(d, op, &err);
	ok(ret == 0, "%s: %u operations", format, OPS);
	ok(vd_disk_close(d, &err) == 0, "%s: close", format);
	record(-1, FLUSHED, OPS, 0, NULL);
	recording = false;
	is_int(campaign(lib, path, start, size, ALL), 0,
	       "%s: %u crash states lose nothing (W1, W2)", format, STATES);
	ok(campaign(lib, path, start, size, NO_LAST) > 0,
	   "%s: without the last sync of each flush, some do", format);
	if (over_parent)
		ok(campaign(lib, path, start, size, NO_ORDER) > 0,
		   "%s: without the sync between data and tables, some do",
		   format);
	forget_all();
}

/* -------------------------------------------------------------- kill -9 */

static void
child_writes(struct vd_library *lib, const char *path, uint64_t seed,
	     atomic_uint *acked)
{
	struct vd_err err = { 0 };
	struct vd_disk *d;

	rnd = seed;
	if (vd_disk_open(lib, path, NULL, &d, &err))
		_exit(1);
	for (unsigned op = 1; op <= 100000; op++) {
		if (one_op(d, op, &err))
			_exit(1);
		atomic_store(acked, op);
	}
	_exit(0);
}

static void
kills(struct vd_library *lib, const char *format, uint64_t unit,
      const char *path)
{
	atomic_uint *acked = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned lost = 0, total = 0;
	uint64_t seed = 77;

	for (int round = 0; round < 12; round++) {
		unsigned upto;
		pid_t pid;
		long bad;

		make(lib, format, unit, path);
		atomic_store(acked, 0);
		seed += 1000;
		pid = fork();
		if (pid == 0)
			child_writes(lib, path, seed, acked);
		while (atomic_load(acked) < 10u + 30u * (unsigned)round &&
		       waitpid(pid, NULL, WNOHANG) == 0)
			usleep(100);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		upto = atomic_load(acked);
		total += upto;
		/* Say the same operations again, without a disk. */
		rnd = seed;
		for (unsigned op = 1; op <= upto + 1; op++)
			one_op(NULL, op, NULL);
		bad = losses(lib, path, upto, SIZE_MAX, 0);
		if (bad)
			diag("%s round %d: %ld sectors lost of %u operations",
			     format, round, bad, upto);
		lost += bad != 0;
		forget_all();
	}
	is_int(lost, 0, "%s: 12 kills, %u acknowledged operations, none lost "
	       "(W6)", format, total);
	munmap(acked, 4096);
}

int
main(void)
{
	struct vd_library *lib;
	struct vd_err err = { 0 };
	char dir[] = "/tmp/vdisk-crash-XXXXXX", path[64], run[64];

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/disk", dir);
	snprintf(run, sizeof(run), "%s/run", dir);
	setenv("VDISK_RUN_DIR", run, 1);
	durable = malloc(FILE_MAX);
	state = malloc(FILE_MAX);
	rnd = 12345;
	ok(vd_library_open(NULL, &lib, &err) == 0, "modules");
	power_cuts(lib, "vdi", 65536, path);
	power_cuts(lib, "vmdk", 0, path);
	power_cuts(lib, "delta", 0, path);
	kills(lib, "vdi", 65536, path);
	kills(lib, "vmdk", 0, path);
	kills(lib, "delta", 4096, path);
	vd_library_close(lib);
	unlink(path);
	snprintf(path + strlen(path), 5, ".raw");
	unlink(path);
	rmdir(run);
	rmdir(dir);
	free(durable);
	free(state);
	free(events);
	return done_testing();
}
