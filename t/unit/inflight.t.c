/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inflight.t.c - whose log is believed: ours, of this boot, of this ring, and
 * whole.  Any other is as good as none.
 */
/* objects: core/ring/libvdring.a */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <tap.h>
#include <unistd.h>

#include "core/ring/inflight.h"

static char dir[] = "/tmp/inflight.XXXXXX", file[128], other[128];
static const struct inflight_key key = { .abi = 1, .pages = 2, .port = 9,
					 .refs = { 11, 12 } };

static struct inflight *
take(void)
{
	struct vd_err err = { 0 };
	struct inflight *l = NULL;

	if (inflight_open(7, 51728, &l, &err))
		diag("%s: %s", err.file, err.msg);
	return l;
}

/* A log with three requests in places 0 to 2; the one in place 1 is answered. */
static void
leave(void)
{
	struct inflight *l = take();
	char slot[112];
	unsigned i;

	inflight_begin(l, &key, 100);
	for (i = 0; i < 3; i++) {
		memset(slot, (int)i, sizeof(slot));
		inflight_take(l, i, slot, sizeof(slot));
	}
	inflight_answer(l, 1, 100);
	inflight_pushing(l, 101);
	inflight_pushed(l);
	inflight_close(l);
}

static bool
left(void)
{
	struct inflight *l = take();
	bool is = l && inflight_left(l);

	inflight_close(l);
	return is;
}

static void
poke(off_t at, const void *data, size_t len)
{
	int fd = open(file, O_WRONLY);

	if (pwrite(fd, data, len, at) != (ssize_t)len)
		ok(false, "poke");
	close(fd);
}

static void
test_left(void)
{
	struct inflight *l;
	struct stat st;
	uint64_t nth;
	const char *slot;

	ok(!left(), "no log: nothing is left");
	is_int(access(file, F_OK), -1, "and nothing stays");
	leave();
	is_int(stat(file, &st), 0, "a log without an end stays");
	is_int(st.st_mode & 0777, 0600, "for us alone");
	l = take();
	ok(inflight_fits(l, &key), "it fits the ring");
	is_int(inflight_resume(l, 64, 101), 0, "and is whole");
	is_int(inflight_answered(l), 101, "answered so far");
	is_int(inflight_fetched(l), 103, "fetched so far");
	slot = inflight_request(l, 2, &nth);
	ok(slot && slot[0] == 2 && slot[111] == 2, "a request as it was");
	is_int((uint32_t)nth, 102, "the third");
	ok(inflight_request(l, 0, &nth), "and the first");
	ok(!inflight_request(l, 1, &nth), "the second is answered");
	ok(!inflight_request(l, 3, &nth), "there is no fourth");
	inflight_end(l);
	inflight_close(l);
	is_int(access(file, F_OK), -1, "after an end there is none");
}

static void
test_key(void)
{
	struct inflight_key k[5] = { key, key, key, key, key };
	struct inflight *l;
	unsigned i;

	k[0].abi = 2;
	k[1].pages = 1;
	k[2].port = 10;
	k[3].refs[1] = 13;
	k[4].refs[15] = 1;
	leave();
	l = take();
	for (i = 0; i < 5; i++)
		ok(!inflight_fits(l, &k[i]), "another ring, %u", i);
	inflight_close(l);
}

/* The header's text, as inflight.c lays it out. */
static void
test_stale(void)
{
	uint32_t domid = 8;

	leave();
	poke(0, "vdisk inflight 2", 16);
	ok(!left(), "another version");
	leave();
	poke(16, "00000000-1111-2222-3333-444444444444", 36);
	ok(!left(), "another boot");
	leave();
	poke(56, &domid, 4);
	ok(!left(), "another guest");
	leave();
	ok(left(), "(and else it is left)");
}

static void
test_stranger(void)
{
	struct inflight *l;
	struct stat st;
	int fd;

	leave();
	chmod(file, 0644);
	ok(!left(), "one that others can read is made anew");
	leave();
	chmod(file, 0620);
	ok(!left(), "or write");
	leave();
	link(file, other);
	ok(!left(), "or that has another name");
	is_int(stat(other, &st), 0, "which stays");
	unlink(other);
	leave();
	truncate(file, 4096);
	ok(!left(), "or is too short");
	leave();
	truncate(file, 1 << 20);
	ok(!left(), "or too long");
	if (geteuid() == 0) {
		leave();
		chown(file, 1, 1);
		ok(!left(), "or a stranger's");
	}

	fd = open(other, O_CREAT | O_WRONLY, 0600);
	close(fd);
	unlink(file);
	symlink(other, file);
	l = take();
	ok(l, "a symbolic link is replaced");
	is_int(lstat(file, &st) || !S_ISREG(st.st_mode), 0, "by a file");
	is_int(stat(other, &st) || st.st_size, 0, "and not followed");
	inflight_close(l);
	unlink(other);
	mkfifo(file, 0600);
	l = take();
	ok(l, "so is a pipe");
	inflight_close(l);
	mkdir(file, 0700);
	ok(!take(), "a folder is an error");
	rmdir(file);
}

static void
test_alone(void)
{
	struct inflight *l = take(), *m;
	struct vd_err err = { 0 };

	is_int(inflight_open(7, 51728, &m, &err), -EBUSY, "one at a time");
	is_int(inflight_open(7, 51744, &m, &err), 0, "of each disk");
	inflight_close(m);
	inflight_close(l);
	chmod(dir, 0777);
	is_int(inflight_open(7, 51728, &m, &err), -ENOENT,
	       "not where others could put one");
	chmod(dir, 0700);
}

static void
test_other_ring(void)
{
	struct inflight *l;

	leave();
	l = take();
	is_int(inflight_resume(l, 64, 100), -EPROTO,
	       "a ring whose answers end elsewhere");
	is_int(inflight_resume(l, 64, 0), -EPROTO, "a fresh one");
	is_int(inflight_resume(l, 1024, 101), -EPROTO, "one that is too large");
	is_int(inflight_resume(l, 2, 101), -EPROTO, "one that is too small");
	is_int(inflight_resume(l, 64, 101), 0, "(and else it resumes)");
	inflight_pushing(l, 102);
	is_int(inflight_resume(l, 64, 103), -EPROTO, "never beyond");
	inflight_end(l);
	inflight_close(l);
}

/*
 * Random bytes in the counters and places: refused, or a log of which each
 * request is in a place of the ring, and as many as the indices say.
 */
static void
test_garbage(void)
{
	uint64_t x = 88172645463325252u, v, nth;
	unsigned i, k, n, bad = 0, resumed = 0;
	struct inflight *l;

	for (i = 0; i < 1000; i++) {
		leave();
		for (k = 0; k < 1 + i % 3; k++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			v = x % 5 == 0 ? x : x % 5 == 1 ? UINT64_MAX :
			    (UINT64_C(1) << 32) + 95 + x % 11;
			/* The three counters, or a place's two numbers. */
			if (x >> 20 & 1)
				poke(144 + 8 * (off_t)(x >> 24 & 3), &v, 8);
			else
				poke(4096 + 128 * (off_t)(x >> 24 & 7) +
				     8 * (off_t)(x >> 30 & 1), &v, 8);
		}
		l = take();
		if (inflight_left(l) && !inflight_resume(l, 64, 101)) {
			for (n = k = 0; k < 64; k++)
				n += !!inflight_request(l, k, &nth);
			bad += n != inflight_fetched(l) -
				    inflight_answered(l);
			resumed++;
		}
		inflight_end(l);
		inflight_close(l);
	}
	is_int(bad, 0, "of %u damaged logs %u resume, none with too much",
	       i, resumed);
}

static bool
lost(void)
{
	struct inflight *l = take();
	bool is = l && inflight_lost(l);

	inflight_close(l);
	return is;
}

/* B4: a loss is the disk's, with a ring or without, until it is forgotten. */
static void
test_lost(void)
{
	uint32_t devid = 51744;
	struct inflight *l;

	unlink(file);
	l = take();
	ok(!inflight_lost(l), "a new log knows of no loss");
	inflight_set_lost(l);
	inflight_close(l);
	ok(lost() && lost(), "a loss without a ring stays");
	l = take();
	ok(!inflight_left(l), "it is no ring");
	inflight_begin(l, &key, 100);
	ok(inflight_lost(l), "a new ring has it, too");
	inflight_end(l);
	inflight_close(l);
	ok(lost(), "and leaves it behind");
	l = take();
	inflight_forget(l);
	ok(!inflight_lost(l), "until it is forgotten");
	inflight_close(l);
	is_int(access(file, F_OK), -1, "and nothing stays");

	leave();
	l = take();
	inflight_set_lost(l);
	inflight_close(l);
	ok(lost() && left(), "beside a ring it stays, too");
	poke(60, &devid, 4);
	ok(!lost(), "another disk's is none");
	leave();
	l = take();
	inflight_set_lost(l);
	inflight_close(l);
	poke(16, "00000000-1111-2222-3333-444444444444", 36);
	ok(!lost(), "nor one of another boot");
	leave();
	ok(!lost(), "which a new ring does not take over");
}

int
main(void)
{
	if (!mkdtemp(dir))
		return 1;
	setenv("VDISK_RUN_DIR", dir, 1);
	snprintf(file, sizeof(file), "%s/vbd-7-51728.inflight", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	test_left();
	test_key();
	test_stale();
	test_stranger();
	test_alone();
	test_other_ring();
	test_garbage();
	test_lost();
	unlink(file);
	ok(!rmdir(dir), "nothing else is in the folder");
	return done_testing();
}
