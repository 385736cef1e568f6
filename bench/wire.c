/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wire.c - see wire.h. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

#define MAGIC_SERVER	UINT64_C(0x4e42444d41474943)	/* NBDMAGIC */
#define MAGIC_OPTION	UINT64_C(0x49484156454f5054)	/* IHAVEOPT */
#define MAGIC_ANSWER	UINT64_C(0x0003e889045565a9)
#define MAGIC_REQUEST	UINT32_C(0x25609513)
#define MAGIC_REPLY	UINT32_C(0x67446698)
#define OPTION_GO	7
#define ANSWER_ACK	1
#define ANSWER_INFO	3
#define IOVS		1024	/* of one sendmsg */
#define SOCKET_BUFFER	(4 << 20)

struct request {
	uint32_t	magic;
	uint16_t	flags, type;
	uint64_t	slot, off;
	uint32_t	len;
} __attribute__((packed));

struct reply {
	uint32_t	magic, error;
	uint64_t	slot;
} __attribute__((packed));

struct wire {
	int		fd;
	uint64_t	size;
	uint32_t	slots;
	struct request *req;		/* by slot */
	uint32_t       *reads;		/* bytes that follow its reply */
	struct iovec   *iov;
	unsigned	niov;
	uint8_t	       *buf;
	size_t		room, from, to;
};

static bool
say(const char *what)
{
	fprintf(stderr, "nbdload: %s%s%s\n", what, errno ? ": " : "",
		errno ? strerror(errno) : "");
	return false;
}

static bool
put_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return say("send");
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool
get_all(int fd, void *data, size_t len)
{
	char *p = data;

	while (len) {
		ssize_t n = recv(fd, p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return say(n ? "receive" : "the server hung up");
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* A server that was just started takes a moment. */
static int
dial(const char *path, unsigned ms)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int bytes = SOCKET_BUFFER;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	for (unsigned tries = 4 * ms; fd >= 0; tries--) {
		struct timespec quarter = { .tv_nsec = 250000 };

		if (!connect(fd, (struct sockaddr *)&a, sizeof(a)))
			break;
		if (!tries) {
			say(path);
			close(fd);
			return -1;
		}
		nanosleep(&quarter, NULL);
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	return fd;
}

/* One answer to our only option; true when the last was an acknowledgement. */
static bool
answers(struct wire *w)
{
	struct {
		uint64_t magic;
		uint32_t option, type, len;
	} __attribute__((packed)) a;
	uint8_t body[4096];
	uint64_t size;

	for (;;) {
		if (!get_all(w->fd, &a, sizeof(a)))
			return false;
		errno = 0;
		if (be64toh(a.magic) != MAGIC_ANSWER ||
		    be32toh(a.len) > sizeof(body))
			return say("this is no NBD server");
		if (!get_all(w->fd, body, be32toh(a.len)))
			return false;
		if (be32toh(a.type) == ANSWER_ACK)
			return true;
		if (be32toh(a.type) != ANSWER_INFO)
			return say("the server refuses the export");
		/* Kind 0: the size, and flags that we do not ask about. */
		if (be32toh(a.len) >= 10 && !body[0] && !body[1]) {
			memcpy(&size, body + 2, sizeof(size));
			w->size = be64toh(size);
		}
	}
}

static bool
shake_hands(struct wire *w)
{
	struct {
		uint64_t magic, option;
		uint16_t flags;
	} __attribute__((packed)) hello;
	struct {
		uint32_t flags;
		uint64_t magic;
		uint32_t option, len;
		uint32_t name;		/* its length: the default export */
		uint16_t infos;
	} __attribute__((packed)) go = {
		.flags = htobe32(3),	/* fixed newstyle, no zeroes */
		.magic = htobe64(MAGIC_OPTION),
		.option = htobe32(OPTION_GO),
		.len = htobe32(6),
	};

	if (!get_all(w->fd, &hello, sizeof(hello)))
		return false;
	errno = 0;
	if (be64toh(hello.magic) != MAGIC_SERVER ||
	    be64toh(hello.option) != MAGIC_OPTION ||
	    !(be16toh(hello.flags) & 1))
		return say("this is no server of our kind");
	return put_all(w->fd, &go, sizeof(go)) && answers(w);
}

struct wire *
wire_open(const char *path, unsigned ms, uint32_t slots, uint32_t max)
{
	struct wire *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->slots = slots;
	w->room = (size_t)slots * (max + sizeof(struct reply));
	if (w->room < (4u << 20))
		w->room = 4u << 20;
	w->req = calloc(slots, sizeof(*w->req));
	w->reads = calloc(slots, sizeof(*w->reads));
	w->iov = calloc(2 * (size_t)slots, sizeof(*w->iov));
	w->buf = malloc(w->room);
	w->fd = dial(path, ms);
	if (w->req && w->reads && w->iov && w->buf && w->fd >= 0 &&
	    shake_hands(w))
		return w;
	wire_close(w);
	return NULL;
}

uint64_t
wire_size(const struct wire *w)
{
	return w->size;
}

void
wire_put(struct wire *w, int type, uint32_t slot, uint64_t off, uint32_t len,
	 const void *data)
{
	w->req[slot] = (struct request){
		.magic = htobe32(MAGIC_REQUEST),
		.type = htobe16((uint16_t)type),
		.slot = slot,		/* comes back as it went */
		.off = htobe64(off),
		.len = htobe32(len),
	};
	w->reads[slot] = type == WIRE_READ ? len : 0;
	w->iov[w->niov++] = (struct iovec){ &w->req[slot],
					    sizeof(struct request) };
	if (type == WIRE_WRITE)
		w->iov[w->niov++] = (struct iovec){ (void *)(uintptr_t)data,
						    len };
}

bool
wire_send(struct wire *w)
{
	struct iovec *v = w->iov;
	unsigned n = w->niov;

	while (n) {
		struct msghdr m = { .msg_iov = v,
				    .msg_iovlen = n < IOVS ? n : IOVS };
		ssize_t got = sendmsg(w->fd, &m, MSG_NOSIGNAL);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return say("send");
		for (; n && (size_t)got >= v->iov_len; v++, n--)
			got -= (ssize_t)v->iov_len;
		if (n) {
			v->iov_base = (char *)v->iov_base + got;
			v->iov_len -= (size_t)got;
		}
	}
	w->niov = 0;
	return true;
}

/* The next n bytes are in the buffer, in one piece; as wire_next(). */
static int
have(struct wire *w, size_t n, bool wait)
{
	while (w->to - w->from < n) {
		ssize_t got;

		if (w->from == w->to) {
			w->from = w->to = 0;
		} else if (w->room - w->from < n) {
			memmove(w->buf, w->buf + w->from, w->to - w->from);
			w->to -= w->from;
			w->from = 0;
		}
		if (!wait)
			return 0;
		got = recv(w->fd, w->buf + w->to, w->room - w->to, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			say(got ? "receive" : "the server hung up");
			return -1;
		}
		w->to += (size_t)got;
	}
	return 1;
}

int
wire_next(struct wire *w, bool wait, struct wire_reply *r)
{
	struct reply a;
	int ret = have(w, sizeof(a), wait);

	if (ret <= 0)
		return ret;
	memcpy(&a, w->buf + w->from, sizeof(a));
	errno = 0;
	if (be32toh(a.magic) != MAGIC_REPLY || a.slot >= w->slots) {
		say("an answer to nothing");
		return -1;
	}
	r->slot = (uint32_t)a.slot;
	r->error = be32toh(a.error);
	ret = have(w, sizeof(a) + (r->error ? 0 : w->reads[r->slot]), wait);
	if (ret <= 0)
		return ret;
	r->data = w->buf + w->from + sizeof(a);
	w->from += sizeof(a) + (r->error ? 0 : w->reads[r->slot]);
	return 1;
}

void
wire_close(struct wire *w)
{
	if (w->fd >= 0 && w->size) {
		wire_put(w, WIRE_CLOSE, 0, 0, 0, NULL);
		wire_send(w);
	}
	if (w->fd >= 0)
		close(w->fd);
	free(w->req);
	free(w->reads);
	free(w->iov);
	free(w->buf);
	free(w);
}
