/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vd-model.c - random operations on a disk, held against a copy in memory.
 *
 *	vd-model [-f FORMAT] [-d auto|sync|io_uring] [-s SEED] [-n COUNT]
 *		 [-q DEPTH] [-D] FILE
 *
 * Without -q the blocking calls are used, one at a time.  With -q requests go
 * through a queue, up to DEPTH at once, none overlapping another in flight;
 * they are answered in any order.  The disk is read back whole at the end, and
 * again after it was closed and opened.  -D discards, too: what was discarded
 * may read as anything until it is written again.
 *
 * Exit: 0 equal, 1 different, 3 an operation failed.  The disk may have at
 * most 256 MiB.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vdisk/vdisk.h>

#define MAX_LEN		(512u << 10)
#define MAX_DEPTH	256
#define NIOV		3

struct slot {
	struct vd_req	req;
	struct iovec	iov[NIOV];
	unsigned char  *buf;
	bool		busy, check;
};

static struct {
	struct vd_disk *disk;
	struct vd_queue *queue;
	unsigned char  *model;
	unsigned char  *wild;		/* a byte a sector: was discarded */
	uint64_t	size, rnd;
	struct slot	slots[MAX_DEPTH];
	unsigned	depth;
	bool		discard;
	int		status;
	struct vd_err	err;
} m;

static uint64_t
random64(void)
{
	m.rnd ^= m.rnd << 13;
	m.rnd ^= m.rnd >> 7;
	m.rnd ^= m.rnd << 17;
	return m.rnd;
}

static void
failed(const char *what, int status, int code)
{
	char text[1400];

	if (m.err.code)
		vd_err_text(&m.err, text, sizeof(text));
	else
		snprintf(text, sizeof(text), "%s", strerror(code));
	fprintf(stderr, "vd-model: %s: %s\n", what, text);
	if (m.status < status)
		m.status = status;
}

static void
compare(const unsigned char *buf, uint64_t off, uint64_t len)
{
	for (uint64_t at = 0; at < len; at += 512) {
		if (m.wild[(off + at) / 512] ||
		    !memcmp(buf + at, m.model + off + at, 512))
			continue;
		fprintf(stderr, "vd-model: sector at byte %" PRIu64 " differs"
			" (0x%02x, expected 0x%02x)\n", off + at, buf[at],
			m.model[off + at]);
		m.status = 1;
		return;
	}
}

static void
done(struct vd_req *req)
{
	struct slot *s = req->opaque;

	if (req->result)
		failed("request", 3, -req->result);
	else if (s->check)
		compare(s->buf, req->off, req->len);
	s->busy = false;
}

static bool
overlaps(uint64_t off, uint64_t len)
{
	for (unsigned i = 0; i < m.depth; i++) {
		struct slot *s = &m.slots[i];

		if (s->busy && s->req.op != VD_OP_FLUSH &&
		    off < s->req.off + s->req.len && s->req.off < off + len)
			return true;
	}
	return false;
}

/* Decide what to do next, and do it to the model. */
static void
choose(struct slot *s)
{
	static const unsigned char ops[16] = {
		VD_OP_WRITE, VD_OP_WRITE, VD_OP_WRITE, VD_OP_WRITE,
		VD_OP_WRITE, VD_OP_WRITE, VD_OP_READ, VD_OP_READ,
		VD_OP_READ, VD_OP_READ, VD_OP_READ, VD_OP_WRITE_ZEROES,
		VD_OP_WRITE_ZEROES, VD_OP_FLUSH, VD_OP_DISCARD, VD_OP_WRITE,
	};
	struct vd_req *r = &s->req;
	uint64_t rnd = random64(), split;

	memset(r, 0, sizeof(*r));
	r->op = ops[rnd % 16];
	if (r->op == VD_OP_DISCARD && !m.discard)
		r->op = VD_OP_READ;
	r->opaque = s;
	r->done = done;
	s->check = r->op == VD_OP_READ;
	if (r->op == VD_OP_FLUSH)
		return;
	do {
		rnd = random64();
		r->len = ((rnd >> 8) % (MAX_LEN / 512) >> (rnd % 11)) * 512;
		r->len = r->len ? r->len : 512;
		r->len = r->len < m.size ? r->len : m.size;
		r->off = random64() % ((m.size - r->len) / 512 + 1) * 512;
	} while (overlaps(r->off, r->len));
	rnd = random64();
	if (r->op == VD_OP_WRITE) {
		r->flags = rnd % 64 == 0 ? VD_FUA : 0;
		memset(s->buf, (int)(rnd >> 20), r->len);
		memcpy(s->buf, &rnd, sizeof(rnd));
		memcpy(m.model + r->off, s->buf, r->len);
	} else if (r->op == VD_OP_WRITE_ZEROES) {
		r->flags = rnd % 2 ? VD_MAY_UNMAP : 0;
		memset(m.model + r->off, 0, r->len);
	}
	if (r->op == VD_OP_WRITE || r->op == VD_OP_WRITE_ZEROES)
		memset(m.wild + r->off / 512, 0, r->len / 512);
	if (r->op == VD_OP_DISCARD)
		memset(m.wild + r->off / 512, 1, r->len / 512);
	split = r->len / 512 > 2 ? rnd % (r->len / 512 - 2) * 512 + 512 : 0;
	s->iov[0] = (struct iovec){ s->buf, split };
	s->iov[1] = (struct iovec){ s->buf + split, r->len - split };
	r->iov = s->iov + !split;
	r->niov = split ? 2 : 1;
}

static void
do_blocking(struct slot *s)
{
	struct vd_req *r = &s->req;
	int ret = 0;

	choose(s);
	if (r->op == VD_OP_READ)
		ret = vd_disk_readv(m.disk, r->iov, r->niov, r->off, &m.err);
	else if (r->op == VD_OP_WRITE)
		ret = vd_disk_writev(m.disk, r->iov, r->niov, r->off,
				     r->flags, &m.err);
	else if (r->op == VD_OP_WRITE_ZEROES)
		ret = vd_disk_write_zeroes(m.disk, r->off, r->len, r->flags,
					   &m.err);
	else if (r->op == VD_OP_DISCARD)
		ret = vd_disk_discard(m.disk, r->off, r->len, &m.err);
	else
		ret = vd_disk_flush(m.disk, &m.err);
	r->result = ret;
	done(r);
}

static void
wait_some(void)
{
	struct pollfd pfd = { vd_queue_fd(m.queue), POLLIN, 0 };

	vd_queue_kick(m.queue);
	if (poll(&pfd, 1, 20000) == 0) {
		failed("no answer in 20 s", 3, ETIMEDOUT);
		_exit(3);
	}
	vd_queue_reap(m.queue);
}

static void
do_queued(void)
{
	for (;;) {
		for (unsigned i = 0; i < m.depth; i++) {
			struct slot *s = &m.slots[i];

			if (s->busy)
				continue;
			choose(s);
			s->busy = true;
			vd_queue_submit(m.queue, &s->req);
			return;
		}
		wait_some();
	}
}

static void
read_back(const char *when)
{
	unsigned char *buf = malloc(MAX_LEN);

	for (uint64_t off = 0; off < m.size && !m.status; off += MAX_LEN) {
		uint64_t n = m.size - off < MAX_LEN ? m.size - off : MAX_LEN;

		if (vd_disk_read(m.disk, buf, n, off, &m.err))
			failed("read", 3, 0);
		else
			compare(buf, off, n);
	}
	if (m.status)
		fprintf(stderr, "vd-model: ... %s\n", when);
	free(buf);
}

static int
usage(void)
{
	fputs("usage: vd-model [-D] [-f FORMAT] [-d DRIVER] [-s SEED] "
	      "[-n COUNT] [-q DEPTH] FILE\n", stderr);
	return 2;
}

int
main(int argc, char **argv)
{
	struct vd_open o = { .size = sizeof(o) };
	enum vd_driver driver = VD_DRIVER_AUTO;
	uint64_t count = 2000;
	struct vd_library *lib;
	int c;

	m.rnd = 1;
	while ((c = getopt(argc, argv, "f:d:s:n:q:D")) != -1) {
		if (c == 'f')
			o.format = optarg;
		else if (c == 'd')
			driver = optarg[0] == 's' ? VD_DRIVER_SYNC :
				 optarg[0] == 'i' ? VD_DRIVER_URING :
				 VD_DRIVER_AUTO;
		else if (c == 's')
			m.rnd = strtoull(optarg, NULL, 0);
		else if (c == 'n')
			count = strtoull(optarg, NULL, 0);
		else if (c == 'q')
			m.depth = (unsigned)atoi(optarg);
		else if (c == 'D')
			m.discard = true;
		else
			return usage();
	}
	if (optind + 1 != argc || m.depth > MAX_DEPTH)
		return usage();
	m.rnd = m.rnd * 0x9e3779b97f4a7c15u + 1;
	if (vd_library_open(NULL, &lib, &m.err) ||
	    vd_disk_open(lib, argv[optind], &o, &m.disk, &m.err) ||
	    (m.depth && vd_queue_open(m.disk, driver, m.depth, &m.queue,
				      &m.err))) {
		failed("open", 3, 0);
		return 3;
	}
	m.size = vd_disk_size(m.disk);
	if (m.size > (256u << 20))
		return usage();
	m.discard = m.discard && vd_disk_can_discard(m.disk);
	m.model = malloc(m.size);
	m.wild = calloc(1, m.size / 512);
	for (unsigned i = 0; i < (m.depth ? m.depth : 1); i++)
		m.slots[i].buf = malloc(MAX_LEN);
	if (vd_disk_read(m.disk, m.model, m.size, 0, &m.err))
		failed("read", 3, 0);
	while (count-- && !m.status) {
		if (m.depth)
			do_queued();
		else
			do_blocking(&m.slots[0]);
	}
	while (m.depth && vd_queue_inflight(m.queue))
		wait_some();
	vd_queue_close(m.queue);
	if (!m.status)
		read_back("in the end");
	if (vd_disk_close(m.disk, &m.err))
		failed("close", 3, 0);
	o.flags |= VD_DISK_RDONLY;
	if (!m.status && vd_disk_open(lib, argv[optind], &o, &m.disk, &m.err))
		failed("open again", 3, 0);
	else if (!m.status) {
		read_back("after it was opened again");
		vd_disk_close(m.disk, NULL);
	}
	vd_library_close(lib);
	return m.status;
}
