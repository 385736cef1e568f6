/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * table.t.c - a table under many writers while syncs run, and what a sync may
 * and may not write.
 */
/* objects: core/table.o core/journal.o core/host.o core/file.o core/lock.o core/iov.o core/error.o */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "tap.h"
#include "core/internal.h"

#define ENTRIES		10000u
#define PAGE		128u
#define GAP		37u	/* the page that does not exist */
#define WRITERS		4

static struct vd_host *host;
static size_t budget;		/* of the next open_table(); 0: the usual */
static struct vd_file *file;
static struct vd_table *table;
static char path[64];

static void
locate(void *ctx, uint64_t page, uint64_t off[2])
{
	(void)ctx;
	off[0] = page == GAP ? 0 : 4096 + page * PAGE * 4;
	off[1] = page == GAP ? 0 : 262144 + page * PAGE * 4;
}

static void
open_table(const char *content)
{
	struct vd_table_spec s = {
		.size = sizeof(s), .entry_bytes = 4, .page_entries = PAGE,
		.copies = 2, .entries = ENTRIES, .locate = locate,
		.absent = 42,
	};
	struct vd_err err = { 0 };
	char text[1200];

	memcpy(s.content, content, strlen(content));
	if (vd_host_new(path, 0, &host, &err))
		diag("%s", vd_err_text(&err, text, sizeof(text)));
	if (budget) {
		host->cache = vd_cache_new(budget);
		host->own_cache = true;
	}
	if (vd_host_open_main(host, path, &file, &err) ||
	    vd_table_open(host, file, &s, &table, &err))
		diag("%s", vd_err_text(&err, text, sizeof(text)));
}

static void
close_table(void)
{
	vd_table_close(table);
	vd_host_free(host);
}

/* The entry as the file has it. */
static uint32_t
in_file(unsigned entry, int copy)
{
	uint64_t off[2];
	uint32_t v = 0;

	locate(NULL, entry / PAGE, off);
	vd_file_read(file, &v, 4, off[copy] + entry % PAGE * 4, NULL);
	return v;
}

static uint64_t
get(unsigned entry)
{
	uint64_t v = 0;

	return vd_table_get(table, entry, &v, NULL) ? UINT64_MAX : v;
}

/* Runs in the middle of a sync: what is set now may not be written by it. */
static int
set_meanwhile(void *ctx, struct vd_err *err)
{
	(void)ctx;
	vd_table_set(table, 1, 111, err);	/* page of a frozen entry */
	return vd_table_set(table, 5000, 555, err);
}

static int
refuse(void *ctx, struct vd_err *err)
{
	(void)ctx;
	return vd_fail(err, EIO, VD_NOWHERE, "no");
}

static void
order(void)
{
	open_table("first");
	is_int(get(GAP * PAGE + 3), 42, "a page that does not exist");
	ok(vd_table_set(table, GAP * PAGE, 1, NULL) < 0, "takes no entry");
	ok(vd_table_set(table, ENTRIES, 1, NULL) < 0, "nor does the end");
	vd_table_set(table, 0, 10, NULL);
	vd_table_set(table, 1, 11, NULL);
	is_int(get(1), 11, "an entry is seen at once");
	is_int(in_file(1, 0), 0, "but not in the file (W1)");
	ok(vd_table_sync(table, set_meanwhile, NULL, NULL) == 0, "sync");
	is_int(in_file(0, 0), 10, "writes what was set before");
	is_int(in_file(0, 1), 10, "to both places (W4)");
	is_int(in_file(1, 0), 11, "and not what is set while it runs (W1)");
	is_int(in_file(5000, 0), 0, "on other pages neither");
	is_int(get(1), 111, "though it is seen");
	is_int(vd_table_dirty(table), 2, "and counts as waiting");
	vd_table_set(table, 7, 77, NULL);
	ok(vd_table_sync(table, refuse, NULL, NULL) < 0, "a sync that fails");
	is_int(in_file(7, 0), 0, "writes nothing");
	ok(vd_table_sync(table, NULL, NULL, NULL) == 0, "the next one");
	ok(in_file(7, 1) == 77 && in_file(1, 0) == 111 &&
	   in_file(5000, 0) == 555, "writes all of it");
	is_int(vd_table_dirty(table), 0, "nothing waits");
	close_table();
}

static void
recovery(void)
{
	static const uint8_t third[32] = "third";

	open_table("second");
	vd_table_set(table, 9, 99, NULL);
	vd_table_content(table, third);
	close_table();			/* as if the process had died */
	open_table("third");
	is_int(get(9), 99, "a dead process's entry is back");
	is_int(in_file(9, 0), 0, "in memory only");
	close_table();
	open_table("second");
	is_int(get(9), 99, "also under the identity before the last (W6)");
	vd_table_sync(table, NULL, NULL, NULL);
	close_table();
	open_table("fourth");
	is_int(get(9), 99, "in the file after a sync");
	vd_table_set(table, 9, 98, NULL);
	close_table();
	table = NULL;
	open_table("foreign");
	ok(!table, "never applied to other content");
	vd_host_free(host);
}

static void *
writer(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;

	for (unsigned round = 1; round <= 40; round++)
		for (unsigned e = me; e < ENTRIES; e += WRITERS)
			if (e / PAGE != GAP &&
			    vd_table_set(table, e, round * ENTRIES + e, NULL))
				vd_table_sync(table, NULL, NULL, NULL);
	return NULL;
}

static void
crowd(void)
{
	pthread_t t[WRITERS];
	unsigned bad = 0;

	open_table("crowd");
	for (uintptr_t i = 0; i < WRITERS; i++)
		pthread_create(&t[i], NULL, writer, (void *)i);
	for (int i = 0; i < 50; i++)
		vd_table_sync(table, NULL, NULL, NULL);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(t[i], NULL);
	ok(vd_table_sync(table, NULL, NULL, NULL) == 0, "last sync");
	for (unsigned e = 0; e < ENTRIES; e++)
		if (e / PAGE != GAP && (in_file(e, 0) != get(e) ||
					in_file(e, 1) != get(e)))
			bad++;
	is_int(bad, 0, "after many writers and syncs the file has all entries");
	close_table();
}

static void
runs(void)
{
	open_table("runs");
	for (unsigned i = 0; i < 300; i++)
		vd_table_set(table, 50 + i, 1000 + 7 * i, NULL);
	is_int(vd_table_run(table, 50, 9999, 1000, 7), 300,
	       "a run that goes up, over several pages");
	is_int(vd_table_run(table, 50, 200, 1000, 7), 200, "at most so many");
	is_int(vd_table_run(table, 50, 9999, 1001, 7), 0, "not that value");
	is_int(vd_table_run(table, 50, 9999, 1000, 8), 1, "not that step");
	is_int(vd_table_run(table, 350, 9999, 0, 0), GAP * PAGE - 350,
	       "a run of zeros, up to a page that does not exist");
	is_int(vd_table_run(table, GAP * PAGE + 5, 9999, 42, 0), PAGE - 5,
	       "which is a run of its own");
	is_int(vd_table_run(table, GAP * PAGE, 9999, 42, 1), 0,
	       "that does not go up");
	is_int(vd_table_run(table, ENTRIES - 3, 9999, 0, 0), 3,
	       "no run leaves the table");
	is_int(vd_table_run(table, ENTRIES, 9999, 0, 0), 0, "or begins there");
	vd_table_sync(table, NULL, NULL, NULL);
	close_table();
	open_table("runs");
	vd_nowait = true;
	is_int(vd_table_run(table, 50, 9999, 1000, 7), 0,
	       "without waiting there is nothing in memory yet");
	is_int(vd_table_run(table, GAP * PAGE, 9999, 42, 0), PAGE,
	       "but what does not exist is known");
	vd_nowait = false;
	close_table();
}

/* Entries hold their own number, or that and ENTRIES. */
static void *
reader(void *arg)
{
	uint64_t bad = 0, v;
	unsigned e = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < 200000; i++) {
		e = e * 1103515245u + 12345u;
		v = (e >> 8) % ENTRIES;
		if (v / PAGE != GAP && get((unsigned)v) % ENTRIES != v)
			bad++;
		v -= v % PAGE;
		if (v / PAGE != GAP && i % 16 == 0 &&
		    vd_table_run(table, v, 8, get((unsigned)v), 1) == 0)
			bad++;	/* a writer may cut it short, no more */
	}
	return (void *)(uintptr_t)bad;
}

static void *
flipper(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg, e = me;

	for (unsigned i = 0; i < 4000; i++) {
		e = e * 1103515245u + 12345u;
		unsigned at = (e >> 8) % ENTRIES;

		/* Not the first of a page: a run of it may not be empty. */
		if (at / PAGE != GAP && at % PAGE)
			vd_table_set(table, at, at + (i & 1) * ENTRIES, NULL);
		if (i % 100 == 0)
			vd_table_sync(table, NULL, NULL, NULL);
	}
	return NULL;
}

/* Pages come and go under the readers; writers keep theirs until a sync. */
static void
squeezed(void)
{
	uint64_t v[2], bad = 0;
	pthread_t r[4], w[2];
	void *ret;

	open_table("squeezed");
	for (unsigned e = 0; e < ENTRIES; e++)
		if (e / PAGE != GAP)
			vd_table_set(table, e, e, NULL);
	vd_table_sync(table, NULL, NULL, NULL);
	close_table();
	budget = 12 * PAGE * 4;
	open_table("squeezed");
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&r[i], NULL, reader, (void *)i);
	for (uintptr_t i = 0; i < 2; i++)
		pthread_create(&w[i], NULL, flipper, (void *)(i + 7));
	for (int i = 0; i < 4; i++) {
		pthread_join(r[i], &ret);
		bad += (uintptr_t)ret;
	}
	for (int i = 0; i < 2; i++)
		pthread_join(w[i], NULL);
	is_int(bad, 0, "no reader sees a page that was given to another use");
	vd_table_sync(table, NULL, NULL, NULL);
	for (unsigned e = 0; e < ENTRIES; e += PAGE)
		if (vd_table_get(table, e, v, NULL) == 0 && e / PAGE != GAP)
			bad += v[0] != e;
	ok(!bad && vd_cache_used(host->cache) <= budget + PAGE * 4 + 128,
	   "%zu bytes are kept, allowed are %zu", vd_cache_used(host->cache),
	   budget);
	ok(vd_cache_used(host->cache) > budget / 2, "and not much less");
	is_int(atomic_load(&host->dirty_bytes), 0, "none of it waits");
	close_table();
	budget = 0;
}

int
main(void)
{
	char dir[] = "/tmp/vdisk-table-XXXXXX", run[64];
	int fd;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/t", dir);
	snprintf(run, sizeof(run), "%s/run", dir);
	setenv("VDISK_RUN_DIR", run, 1);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	ok(fd >= 0 && ftruncate(fd, 1 << 20) == 0, "a file");
	close(fd);
	order();
	recovery();
	if (unlink(path) < 0 || (fd = open(path, O_CREAT | O_RDWR, 0600)) < 0)
		return 1;
	ok(ftruncate(fd, 1 << 20) == 0, "another file");
	close(fd);
	crowd();
	if (unlink(path) < 0 || (fd = open(path, O_CREAT | O_RDWR, 0600)) < 0)
		return 1;
	ok(ftruncate(fd, 1 << 20) == 0, "a third");
	close(fd);
	runs();
	squeezed();
	snprintf(run, sizeof(run), "rm -rf %s", dir);
	return system(run) ? 1 : done_testing();
}
