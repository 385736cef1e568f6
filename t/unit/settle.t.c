/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * settle.t.c - mappings nobody flushes reach the image all the same, after
 * their data (W1); and a file is no longer than what is in it, but for now.
 *
 * The calls that change a file are replaced and recorded.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vdisk/vdisk.h>
#include "tap.h"

#define MB	(1u << 20)
#define DISK	(64u * MB)

struct event {
	enum { WROTE, SYNCED } kind;
	uint64_t	off, len;
	uint8_t		bytes[4096];	/* of the map: what was written */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct event *events;
static size_t nevents;
static bool recording;
static uint64_t map_at, data_at;	/* of the VDI under test */

static void
record(int kind, uint64_t off, uint64_t len, const struct iovec *iov)
{
	struct event *e;

	pthread_mutex_lock(&lock);
	if (recording && nevents < 10000) {
		e = &events[nevents++];
		e->kind = kind;
		e->off = off;
		e->len = len;
		if (iov && off >= map_at && off < data_at)
			memcpy(e->bytes, iov->iov_base, len < sizeof(e->bytes)
			       ? len : sizeof(e->bytes));
	}
	pthread_mutex_unlock(&lock);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	ssize_t ret = syscall(SYS_pwritev, fd, iov, n, off, 0);

	if (ret > 0)
		record(WROTE, (uint64_t)off, (uint64_t)ret, iov);
	return ret;
}

/* Recorded when it is done: what is written meanwhile may not be on it. */
int
fdatasync(int fd)
{
	(void)fd;
	record(SYNCED, 0, 0, NULL);
	return 0;
}

static bool
is_map(const struct event *e)
{
	return e->kind == WROTE && e->off >= map_at && e->off < data_at;
}

static unsigned
map_writes(void)
{
	unsigned n = 0;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < nevents; i++)
		n += is_map(&events[i]);
	pthread_mutex_unlock(&lock);
	return n;
}

/* Until the disk's own thread has written the map, or half a minute is over. */
static bool
comes_by_itself(unsigned more_than)
{
	for (int i = 0; i < 3000; i++) {
		if (map_writes() > more_than)
			return true;
		usleep(10000);
	}
	return false;
}

/* Was the block in this slot written, and synced after that, before event at? */
static bool
was_durable(uint32_t slot, size_t at)
{
	uint64_t from = data_at + (uint64_t)slot * MB;
	size_t wrote = at;

	for (size_t i = 0; i < at; i++) {
		if (events[i].kind == WROTE && events[i].off >= from &&
		    events[i].off < from + MB)
			wrote = i;
		else if (events[i].kind == SYNCED && i > wrote)
			return true;
	}
	return false;
}

/* Entries that were in a written map before their block was durable. */
static unsigned
too_early(unsigned *entries)
{
	unsigned bad = 0;

	*entries = 0;
	for (size_t i = 0; i < nevents; i++) {
		uint32_t slot;

		if (!is_map(&events[i]))
			continue;
		for (size_t k = 0; k + 4 <= events[i].len && k < DISK / MB * 4;
		     k += 4) {
			memcpy(&slot, events[i].bytes + k, 4);
			if (slot >= 0xfffffffe)
				continue;
			++*entries;
			bad += !was_durable(slot, i);
		}
	}
	return bad;
}

static struct vd_library *lib;
static struct vd_err err;
static char dir[] = "/tmp/vdisk-settle-XXXXXX", path[64];

static bool
make(const char *format)
{
	struct vd_create c = { .size = sizeof(c), .virtual_size = DISK };

	snprintf(path, sizeof(path), "%s/d.%s", dir, format);
	return !vd_create_image(lib, format, path, &c, &err);
}

static long long
file_size(void)
{
	struct stat st;

	return stat(path, &st) ? -1 : st.st_size;
}

static struct vd_disk *
open_disk(uint32_t entries, uint32_t ms)
{
	struct vd_open o = { .size = sizeof(o), .flush_entries = entries,
			     .flush_ms = ms };
	struct vd_disk *d = NULL;

	if (vd_disk_open(lib, path, &o, &d, &err))
		diag("does not open");
	return d;
}

static int
put(struct vd_disk *d, unsigned block)
{
	char buf[4096];

	memset(buf, (int)block + 1, sizeof(buf));
	return vd_disk_write(d, buf, sizeof(buf), (uint64_t)block * MB, 0,
			     &err);
}

static bool
holds(struct vd_disk *d, unsigned block)
{
	char buf[4096];

	return !vd_disk_read(d, buf, sizeof(buf), (uint64_t)block * MB, &err) &&
	       buf[0] == (char)(block + 1) && buf[4095] == buf[0];
}

static void
where_is_it(void)
{
	uint32_t v[2] = { 0, 0 };
	int fd = open(path, O_RDONLY);

	ok(fd >= 0 && pread(fd, v, 8, 0x154) == 8, "a VDI");
	close(fd);
	map_at = v[0];
	data_at = v[1];
}

static void
in_the_background(void)
{
	unsigned entries, before;
	struct vd_disk *d;

	ok(make("vdi"), "an image");
	where_is_it();
	d = open_disk(8, 1000000);
	recording = true;
	for (unsigned i = 0; i < 8; i++)
		put(d, i * 3);
	is_int(map_writes(), 0, "eight mappings may wait");
	put(d, 30);
	ok(comes_by_itself(0), "nine are written though nobody flushes");
	ok(!vd_disk_close(d, &err), "close");

	d = open_disk(1000, 20);
	before = map_writes();
	put(d, 40);
	ok(comes_by_itself(before), "one is written when it is old");
	for (unsigned i = 41; i < 60; i++)
		put(d, i);
	ok(!vd_disk_close(d, &err), "close");
	recording = false;
	is_int(too_early(&entries), 0, "no entry went before its data (W1)");
	ok(entries >= 29, "of %u entries in %zu events", entries, nevents);
	unlink(path);
}

/* As long as it has to be, with n units that lie one behind the other. */
static void
growth(const char *format, long long unit)
{
	long long empty, used;
	struct vd_disk *d;
	int status = 1;
	pid_t child;

	ok(make(format), "%s", format);
	empty = (file_size() + unit - 1) / unit * unit;
	if (!strcmp(format, "vdi"))
		empty = (long long)data_at;
	used = empty + 3 * unit;
	d = open_disk(0, 0);
	for (unsigned i = 0; i < 3; i++)
		put(d, i * 9);
	ok(file_size() > used, "grows ahead of what is written");
	ok(!vd_disk_close(d, &err), "close");
	is_int(file_size(), used, "and gives that back");

	child = fork();
	if (!child) {
		d = open_disk(0, 0);
		_exit(!d || put(d, 50) || put(d, 51));
	}
	ok(child > 0 && waitpid(child, &status, 0) == child && !status,
	   "a process that writes, and dies");
	ok(file_size() > used + 2 * unit, "leaves it long");
	d = open_disk(0, 0);
	ok(holds(d, 50) && holds(d, 51) && holds(d, 18) && !put(d, 60),
	   "the next one finds what was written");
	ok(!vd_disk_close(d, &err), "close");
	is_int(file_size(), used + 3 * unit, "and cuts off the rest");
	d = open_disk(0, 0);
	ok(holds(d, 0) && holds(d, 51) && holds(d, 60), "nothing else");
	vd_disk_close(d, &err);
}

int
main(void)
{
	char cmd[64];

	events = calloc(10000, sizeof(*events));
	if (!mkdtemp(dir) || !events)
		return 1;
	setenv("VDISK_RUN_DIR", dir, 1);
	ok(!vd_library_open(NULL, &lib, &err), "the modules");
	in_the_background();
	growth("vdi", MB);
	growth("vmdk", 65536);
	vd_library_close(lib);
	free(events);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd) ? 1 : done_testing();
}
