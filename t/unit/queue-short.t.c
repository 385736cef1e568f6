/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * queue-short.t.c - a kernel that takes no request for a while, for want of
 * memory, gets it later; nobody need submit another one for that.
 */
#include <dlfcn.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>
#include <vdisk/vdisk.h>
#include "tap.h"

#define LEN	(256u << 10)	/* too long to be copied here and now */

static int refusals, answers, result = 1;

int
io_uring_submit(struct io_uring *ring)
{
	int (*real)(struct io_uring *);

	*(void **)&real = dlsym(RTLD_NEXT, "io_uring_submit");
	return refusals-- > 0 ? -EAGAIN : real(ring);
}

static void
done(struct vd_req *req)
{
	result = req->result;
	answers++;
}

int
main(void)
{
	char path[] = "/tmp/queue-short.XXXXXX";
	char *buf = calloc(1, LEN);
	struct iovec iov = { buf, LEN };
	struct vd_req req = { .op = VD_OP_READ, .len = LEN, .iov = &iov,
			      .niov = 1, .done = done };
	struct vd_library *lib = NULL;
	struct vd_queue *q = NULL;
	struct vd_err err = { 0 };
	struct vd_disk *d = NULL;
	struct pollfd pfd;
	int fd = mkstemp(path), looks;

	if (!buf || fd < 0 || ftruncate(fd, 1 << 20) ||
	    pwrite(fd, "late", 4, 0) != 4)
		return 1;
	if (vd_library_open(NULL, &lib, &err) ||
	    vd_disk_open(lib, path, NULL, &d, &err)) {
		diag("%s", err.msg);
		return 1;
	}
	if (vd_queue_open(d, VD_DRIVER_URING, 8, &q, &err)) {
		ok(true, "# SKIP no io_uring here");
		unlink(path);
		return done_testing();
	}
	refusals = 40;
	vd_queue_submit(q, &req);
	vd_queue_kick(q);
	is_int(answers, 0, "the kernel has not taken it yet");
	pfd = (struct pollfd){ .fd = vd_queue_fd(q), .events = POLLIN };
	/* Each look is a wake-up, or there are no more. */
	for (looks = 0; !answers && looks < 1000 && poll(&pfd, 1, 10000) > 0;
	     looks++)
		vd_queue_reap(q);
	is_int(answers, 1, "asked again, it does");
	is_int(result, 0, "and answers");
	ok(!memcmp(buf, "late", 4), "with what was asked for");
	ok(refusals < 0, "all refusals were met");
	vd_queue_close(q);
	vd_disk_close(d, NULL);
	vd_library_close(lib);
	unlink(path);
	free(buf);
	return done_testing();
}
