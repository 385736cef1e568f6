/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * loop.c - a guest without Xen: its memory is a memfd, its grants page numbers.
 *
 * The other end shares the memfd and may be hostile.  It can change what is in
 * it, which the handler expects; it must not be able to take it away, which
 * would be a SIGBUS for us, so the file is sealed against shrinking.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop.h"

#define GUEST_PAGES_MAX	(1u << 20)	/* 4 GiB */

struct loop {
	uint8_t	       *mem;
	size_t		size;
	uint8_t	       *guest;
	uint32_t	guest_pages;
	int		notify_fd;
};

static int
copy_one(const struct loop *l, const struct ring_copy *c, bool to_guest)
{
	uint8_t *page;

	if (c->gref >= l->guest_pages)
		return -EINVAL;
	if (c->off > RING_PAGE_SIZE || c->len > RING_PAGE_SIZE - c->off)
		return -EINVAL;
	page = l->guest + (size_t)c->gref * RING_PAGE_SIZE + c->off;
	if (to_guest)
		memcpy(page, c->buf, c->len);
	else
		memcpy(c->buf, page, c->len);
	return 0;
}

static int
loop_copy(void *ctx, struct ring_copy *c, unsigned n, bool to_guest)
{
	unsigned i;
	int ret = 0;

	for (i = 0; i < n; i++) {	/* all of them, always */
		c[i].status = copy_one(ctx, &c[i], to_guest);
		if (ret == 0)
			ret = c[i].status;
	}
	return ret;
}

/*
 * An eventfd whose counter is full is readable already, so a write that would
 * block has nothing to add.
 */
static void
loop_notify(void *ctx)
{
	struct loop *l = ctx;
	uint64_t one = 1;
	ssize_t n;

	n = write(l->notify_fd, &one, sizeof(one));
	(void)n;
}

static int
seal(int fd, size_t size, struct vd_err *err)
{
	struct stat st;

	/* The order matters: sealed first, it cannot shrink after the look. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		return vd_fail(err, errno, VD_NOWHERE,
			       "shared memory cannot be sealed: "
			       "it must be a memfd with MFD_ALLOW_SEALING");
	if (fstat(fd, &st) < 0)
		return vd_fail(err, errno, VD_NOWHERE, "fstat of memfd");
	if ((uint64_t)st.st_size < size)
		return vd_fail(err, EINVAL, (uint64_t)st.st_size,
			       "shared memory is shorter than ring and guest");
	return 0;
}

static int
set_nonblock(int fd, struct vd_err *err)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return vd_fail(err, errno, VD_NOWHERE, "eventfd of loop");
	return 0;
}

int
loop_open(int memfd, unsigned ring_pages, unsigned guest_pages,
	  int notify_fd, struct loop **out, struct vd_err *err)
{
	struct loop *l;
	size_t size;
	int ret;

	if (ring_pages == 0 || ring_pages > 1u << RING_MAX_ORDER ||
	    guest_pages > GUEST_PAGES_MAX)
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "loop of %u ring and %u guest pages",
			       ring_pages, guest_pages);
	size = (size_t)(ring_pages + guest_pages) * RING_PAGE_SIZE;
	ret = seal(memfd, size, err);
	if (ret == 0)
		ret = set_nonblock(notify_fd, err);
	if (ret < 0)
		return ret;

	l = calloc(1, sizeof(*l));
	if (!l)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for a loop");
	l->mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (l->mem == MAP_FAILED) {
		ret = vd_fail(err, errno, VD_NOWHERE, "mmap of memfd");
		free(l);
		return ret;
	}
	l->size = size;
	l->guest = l->mem + (size_t)ring_pages * RING_PAGE_SIZE;
	l->guest_pages = guest_pages;
	l->notify_fd = notify_fd;
	*out = l;
	return 0;
}

void *
loop_ring(struct loop *l)
{
	return l->mem;
}

struct ring_transport
loop_transport(struct loop *l)
{
	return (struct ring_transport){
		.copy = loop_copy,
		.notify = loop_notify,
		.ctx = l,
	};
}

void
loop_close(struct loop *l)
{
	if (!l)
		return;
	munmap(l->mem, l->size);
	free(l);
}
