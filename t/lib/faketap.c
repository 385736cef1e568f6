/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* faketap.c - see faketap.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "faketap.h"

static struct faketap *tap;	/* inherited by whoever serves */

static int
fails(int code)
{
	errno = code;
	return -1;
}

static void
post(int fd)
{
	uint64_t one = 1;
	ssize_t n = write(fd, &one, sizeof(one));

	(void)n;
}

static int
take_node(const char *path, int flags)
{
	struct faketap_shared *sh = tap->sh;

	(void)flags;
	if (sh->open_fails)
		return fails(sh->open_fails);
	if (strcmp(path, FAKETAP_NODE))
		return fails(ENOENT);
	if (sh->holder)
		return fails(EBUSY);
	sh->holder = getpid();
	sh->info.opens++;
	/* The user ring starts at zero with each open. */
	memset(tap->fe.mem, 0, (size_t)tap->fe.ring_pages * FE_PAGE);
	*fe_word(&tap->fe, FE_REQ_EVENT) = 1;
	*fe_word(&tap->fe, FE_RSP_EVENT) = 1;
	return dup(tap->fe.kick_fd);
}

static int
say_info(struct xpvtap_info *info)
{
	struct faketap_shared *sh = tap->sh;

	if (sh->info_fails)
		return fails(sh->info_fails);
	if (info->size != sizeof(*info))
		return fails(EINVAL);
	sh->infos++;
	sh->news = false;
	*info = sh->info;
	return 0;
}

static bool
is_power(uint32_t n)
{
	return n && !(n & (n - 1));
}

static int
take_ready(const struct xpvtap_ready *r)
{
	struct faketap_shared *sh = tap->sh;

	if (sh->ready_fails)
		return fails(sh->ready_fails);
	if (r->size != sizeof(*r) || r->pad || !r->sectors ||
	    r->sectors > UINT64_C(1) << 54 ||
	    !is_power(r->physical_sector_bytes) ||
	    r->physical_sector_bytes < 512 ||
	    r->physical_sector_bytes > 65536 ||
	    r->discard_granularity % 512 || r->max_segments < 11 ||
	    r->max_segments > sh->info.max_segments)
		return fails(EINVAL);
	sh->ready = *r;
	sh->readies++;
	post(tap->ready_fd);
	return 0;
}

static int
take_answers(void)
{
	struct faketap_shared *sh = tap->sh;

	if (sh->push_fails)
		return fails(sh->push_fails);
	if (!sh->readies)
		return fails(ENOTCONN);
	sh->pushes++;
	post(tap->fe.notify_fd);
	return 0;
}

static int
fake_ioctl(int fd, unsigned long what, void *arg)
{
	(void)fd;
	switch (what) {
	case XPVTAP_IOC_INFO:
		return say_info(arg);
	case XPVTAP_IOC_READY:
		return take_ready(arg);
	case XPVTAP_IOC_PUSH:
		return take_answers();
	}
	return fails(ENOTTY);
}

static void *
fake_mmap(int fd, size_t len, off_t off)
{
	size_t ring = (size_t)tap->fe.ring_pages * FE_PAGE;

	(void)fd;
	if (tap->sh->mmap_fails) {
		errno = tap->sh->mmap_fails;
		return MAP_FAILED;
	}
	if (off == XPVTAP_RING_OFFSET && len == ring)
		off = 0;
	else if (off == XPVTAP_WINDOW_OFFSET &&
		 len == (size_t)tap->fe.guest_pages * FE_PAGE)
		off = (off_t)ring;
	else
		return errno = EINVAL, MAP_FAILED;
	return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED,
		    tap->fe.memfd, off);
}

/* Level-triggered: readable for as long as there is a reason. */
static uint32_t
fake_came(int fd, uint32_t events)
{
	struct faketap_shared *sh = tap->sh;
	uint32_t prod, event;
	uint64_t n;

	(void)events;
	if (read(fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		return EPOLLERR;
	prod = *fe_word(&tap->fe, FE_REQ_PROD);
	event = *fe_word(&tap->fe, FE_REQ_EVENT);
	events = ((int32_t)(prod - event) >= 0 ? EPOLLIN : 0) |
		 (sh->news ? EPOLLPRI : 0) | (sh->hangup ? EPOLLHUP : 0);
	if (events)
		post(fd);
	return events;
}

const struct xpvtap_system faketap_system = {
	take_node, fake_ioctl, fake_mmap, fake_came,
};

int
faketap_open(struct faketap *f, unsigned order, unsigned window_pages)
{
	int ret;

	memset(f, 0, sizeof(*f));
	ret = fe_open(&f->fe, FE_64, order, window_pages, 0);
	if (ret < 0)
		return ret;
	f->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->sh = mmap(NULL, sizeof(*f->sh), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (f->ready_fd < 0 || f->sh == MAP_FAILED)
		return -errno;
	f->sh->info = (struct xpvtap_info){
		.size = sizeof(struct xpvtap_info),
		.version = XPVTAP_VERSION,
		.features = XPVTAP_F_COPY,
		.domid = 7,
		.devid = 51728,
		.asked = XPVTAP_ASKED_DISCARD,
		.ring_bytes = f->fe.ring_pages * FE_PAGE,
		.max_segments = 32,
		.window_bytes = (uint64_t)window_pages * FE_PAGE,
		.window_pages = window_pages,
	};
	tap = f;
	return 0;
}

void
faketap_close(struct faketap *f)
{
	munmap(f->sh, sizeof(*f->sh));
	close(f->ready_fd);
	fe_close(&f->fe);
}

void
faketap_released(struct faketap *f)
{
	f->sh->holder = 0;
}

bool
faketap_again(struct faketap *f, int ms)
{
	struct pollfd p = { .fd = f->ready_fd, .events = POLLIN };
	uint64_t n;

	if (poll(&p, 1, ms) <= 0 || read(f->ready_fd, &n, sizeof(n)) < 0)
		return false;
	f->fe.req_prod = f->fe.rsp_cons = 0;
	fe_rung(&f->fe);
	return true;
}

void
faketap_state(struct faketap *f, uint32_t state)
{
	f->sh->info.state = state;
	f->sh->news = true;
	post(f->fe.kick_fd);
}

void
faketap_hangup(struct faketap *f)
{
	f->sh->hangup = true;
	f->sh->info.state = XPVTAP_GONE;
	post(f->fe.kick_fd);
}
