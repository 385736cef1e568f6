/*
 * tapdev.h - a node of xpvtap, opened and mapped: what tapcat and taprogue
 * share.  Written against kmod/uapi/xpvtap.h alone, not against vdisk.
 */
#ifndef TAPDEV_H
#define TAPDEV_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../kmod/uapi/xpvtap.h"

enum { OP_READ, OP_WRITE, OP_BARRIER, OP_FLUSH, OP_DISCARD = 5, OP_INDIRECT };

struct segment {
	uint32_t	page;
	uint8_t		first, last;
	uint16_t	pad;
};

struct request {
	uint8_t		op;
	uint8_t		n;		/* indirect: the inner operation */
	uint16_t	n16;		/* indirect: how many */
	uint32_t	pad;
	uint64_t	id;
	uint64_t	sector;
	union {
		struct segment	seg[11];
		uint64_t	sectors;
		struct {
			uint32_t	handle;
			uint32_t	list[8];
		};
	};
};
_Static_assert(sizeof(struct request) == 112, "a slot of x86_64");

struct response {
	uint64_t	id;
	uint8_t		op;
	uint8_t		pad;
	int16_t		status;
	uint32_t	pad2;
};

struct ring {
	uint32_t	req_prod, req_event, rsp_prod, rsp_event;
	uint8_t		pad[48];
	union {
		struct request	req;
		struct response	rsp;
	} slot[];
};

struct tapdev {
	int		fd;
	struct xpvtap_info	info;
	struct ring    *ring;
	uint8_t	       *window;
	uint32_t	entries;
	uint32_t	cons, prod;
};

/* -1 with errno, as the system calls. */
static inline int
tapdev_map(struct tapdev *t)
{
	t->info.size = sizeof(t->info);
	if (ioctl(t->fd, XPVTAP_IOC_INFO, &t->info) < 0)
		return -1;
	t->ring = mmap(NULL, t->info.ring_bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED, t->fd, XPVTAP_RING_OFFSET);
	t->window = mmap(NULL, t->info.window_bytes, PROT_READ | PROT_WRITE,
			 MAP_SHARED, t->fd, XPVTAP_WINDOW_OFFSET);
	if (t->ring == MAP_FAILED || t->window == MAP_FAILED)
		return -1;
	t->entries = 1;
	while (64 + t->entries * 2 * sizeof(struct request) <= t->info.ring_bytes)
		t->entries *= 2;
	t->cons = t->prod = 0;
	return 0;
}

static inline int
tapdev_open(struct tapdev *t, const char *node)
{
	memset(t, 0, sizeof(*t));
	t->fd = open(node, O_RDWR | O_CLOEXEC);
	return t->fd < 0 ? -1 : tapdev_map(t);
}

static inline void
tapdev_close(struct tapdev *t)
{
	munmap(t->ring, t->info.ring_bytes);
	munmap(t->window, t->info.window_bytes);
	close(t->fd);
}

static inline int
tapdev_ready(struct tapdev *t, uint64_t sectors, uint32_t flags)
{
	struct xpvtap_ready r = {
		.size = sizeof(r), .flags = flags, .sectors = sectors,
		.physical_sector_bytes = 4096, .discard_granularity = 4096,
		.max_segments = t->info.max_segments,
	};

	return ioctl(t->fd, XPVTAP_IOC_READY, &r);
}

static inline uint32_t
tapdev_pending(struct tapdev *t)
{
	return __atomic_load_n(&t->ring->req_prod, __ATOMIC_ACQUIRE) - t->cons;
}

/* The next request, when one comes within so many milliseconds. */
static inline bool
tapdev_next(struct tapdev *t, struct request *req, int ms)
{
	struct pollfd p = { .fd = t->fd, .events = POLLIN };

	while (!tapdev_pending(t)) {
		t->ring->req_event = t->cons + 1;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (tapdev_pending(t))
			break;
		if (poll(&p, 1, ms) <= 0 || p.revents & POLLHUP)
			return false;
	}
	*req = t->ring->slot[t->cons++ & (t->entries - 1)].req;
	return true;
}

static inline void
tapdev_answer(struct tapdev *t, uint64_t id, uint8_t op, int16_t status)
{
	struct response r = { .id = id, .op = op, .status = status };

	t->ring->slot[t->prod++ & (t->entries - 1)].rsp = r;
	__atomic_store_n(&t->ring->rsp_prod, t->prod, __ATOMIC_RELEASE);
}

#endif
