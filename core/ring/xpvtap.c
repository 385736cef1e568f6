/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xpvtap.c - a guest's requests by way of the kernel driver xpvtap.
 *
 * The driver has checked the requests, and the ring handler checks them again:
 * what lies in the window may be the guest's own pages, and a driver of another
 * version is no friend either.  Nothing it says is used unbounded.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "blkif.h"
#include "xpvtap.h"

#define WINDOW_PAGES_MAX	(1u << 18)	/* 1 GiB */

struct xpvtap {
	const struct xpvtap_system *system;
	const char     *node;		/* the caller's; for messages */
	struct xpvtap_info info;
	int		fd;
	int		failed;
	void	       *ring;
	uint8_t	       *window;
	uint32_t	pages;		/* of the window */
};

/* ------------------------------------------------------ the system's calls */

static int
real_open(const char *path, int flags)
{
	return open(path, flags);
}

static int
real_ioctl(int fd, unsigned long what, void *arg)
{
	return ioctl(fd, what, arg);
}

static void *
real_mmap(int fd, size_t len, off_t off)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, off);
}

static uint32_t
real_came(int fd, uint32_t events)
{
	(void)fd;
	return events;
}

static const struct xpvtap_system real = {
	real_open, real_ioctl, real_mmap, real_came,
};

static int
call(const struct xpvtap *t, unsigned long what, void *arg)
{
	int ret;

	do
		ret = t->system->ioctl(t->fd, what, arg);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

/* ---------------------------------------------------------- the transport */

/*
 * a reference is a page's number, and believed only below the last.
 *
 * The disk reads and writes these pages through the page cache, in calls of this
 * process: when it is dead nothing touches them any more, and the driver may give
 * them to other requests.  With O_DIRECT that would not be so: the device would
 * go on after our end.
 *
 * If they are the guest's own (F_MAP), it may change them under us; each byte is
 * used once.  Nor could O_DIRECT, or a buffer registered with io_uring,
 * get hold of them: EFAULT.
 */
static void *
window_pages(void *ctx, uint32_t gref, unsigned n)
{
	const struct xpvtap *t = ctx;

	if (gref >= t->pages || n > t->pages - gref)
		return NULL;
	return t->window + (size_t)gref * RING_PAGE_SIZE;
}

static int
copy_one(struct xpvtap *t, const struct ring_copy *c, bool to_guest)
{
	uint8_t *page = window_pages(t, c->gref, 1);

	if (!page || c->off > RING_PAGE_SIZE ||
	    c->len > RING_PAGE_SIZE - c->off)
		return -EINVAL;
	if (to_guest)
		memcpy(page + c->off, c->buf, c->len);
	else
		memcpy(c->buf, page + c->off, c->len);
	return 0;
}

static int
window_copy(void *ctx, struct ring_copy *c, unsigned n, bool to_guest)
{
	unsigned i;
	int ret = 0;

	for (i = 0; i < n; i++) {	/* each one has a status */
		c[i].status = copy_one(ctx, &c[i], to_guest);
		if (!ret)
			ret = c[i].status;
	}
	return ret;
}

/* Once is enough: a driver that found fault with us does not change its mind. */
static void
push_answers(void *ctx)
{
	struct xpvtap *t = ctx;

	if (!t->failed)
		t->failed = call(t, XPVTAP_IOC_PUSH, NULL);
}

/* ------------------------------------------------------------------- open */

static int
said(struct vd_err *err, const struct xpvtap *t, int ret)
{
	vd_err_file(err, t->node);
	return ret;
}

static int
cannot_open(const struct xpvtap *t, int code, struct vd_err *err)
{
	vd_fail(err, code, VD_NOWHERE, code == EBUSY ?
		"a process serves this disk already" :
		"cannot open the xpvtap node: %s", strerror(code));
	if (code == ENOENT || code == ENXIO || code == ENODEV)
		vd_err_help(err, "modprobe xpvtap, if it is not loaded; "
			    "a guest's disk has a node once it is attached");
	else if (code == EPERM || code == EACCES)
		vd_err_help(err, "its group is xvm: run as root, or as a "
			    "member of that group");
	else if (code == EBUSY)
		vd_err_help(err, "vdisk-list shows which one");
	return said(err, t, -code);
}

static bool
power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

static int
wrong(const struct xpvtap *t, struct vd_err *err, const char *what,
      uint64_t is)
{
	return said(err, t, vd_fail(err, EPROTO, VD_NOWHERE,
				    "the driver says %s is %llu: that cannot "
				    "be", what, (unsigned long long)is));
}

static int
check_info(const struct xpvtap *t, struct vd_err *err)
{
	const struct xpvtap_info *i = &t->info;

	if (i->version != XPVTAP_VERSION) {
		vd_fail(err, EPROTONOSUPPORT, VD_NOWHERE, "the driver speaks "
			"version %u, expected %u", i->version, XPVTAP_VERSION);
		vd_err_help(err, "install vdisk and xpvtap of the same "
			    "release, then rmmod xpvtap; modprobe xpvtap");
		return said(err, t, -EPROTONOSUPPORT);
	}
	if (!(i->features & (XPVTAP_F_COPY | XPVTAP_F_MAP)))
		return wrong(t, err, "features", i->features);
	if (i->ring_bytes % RING_PAGE_SIZE ||
	    !power_of_two(i->ring_bytes / RING_PAGE_SIZE) ||
	    i->ring_bytes / RING_PAGE_SIZE > 1u << RING_MAX_ORDER)
		return wrong(t, err, "ring_bytes", i->ring_bytes);
	if (!i->window_pages || i->window_pages > WINDOW_PAGES_MAX)
		return wrong(t, err, "window_pages", i->window_pages);
	if (i->window_bytes != (uint64_t)i->window_pages * RING_PAGE_SIZE)
		return wrong(t, err, "window_bytes", i->window_bytes);
	if (i->max_segments < BLKIF_MAX_SEGS)
		return wrong(t, err, "max_segments", i->max_segments);
	if (i->state > XPVTAP_GONE)
		return wrong(t, err, "state", i->state);
	return 0;
}

static int
get_info(struct xpvtap *t, struct vd_err *err)
{
	int ret;

	t->info = (struct xpvtap_info){ .size = sizeof(t->info) };
	ret = call(t, XPVTAP_IOC_INFO, &t->info);
	if (ret == -ENOTTY) {
		vd_fail(err, ENOTTY, VD_NOWHERE,
			"this is no node of the xpvtap driver");
		vd_err_help(err, "expected " XPVTAP_NODES "DOMID-DEVID");
		return said(err, t, ret);
	}
	if (ret)
		return said(err, t, vd_fail(err, -ret, VD_NOWHERE, "the driver "
					    "does not tell about the disk: %s",
					    strerror(-ret)));
	return check_info(t, err);
}

int
xpvtap_open(const char *node, const struct xpvtap_system *system,
	    struct xpvtap **out, struct vd_err *err)
{
	struct xpvtap *t;
	int ret;

	t = calloc(1, sizeof(*t));
	if (!t)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	t->system = system ? system : &real;
	t->node = node;
	t->fd = t->system->open(node, O_RDWR | O_CLOEXEC);
	ret = t->fd < 0 ? cannot_open(t, errno, err) : get_info(t, err);
	if (!ret && t->info.state == XPVTAP_GONE)
		ret = said(err, t, vd_fail(err, ENODEV, VD_NOWHERE,
					   "the disk has been taken away"));
	if (ret) {
		xpvtap_close(t);
		return ret;
	}
	*out = t;
	return 0;
}

/* -------------------------------------------------------------- map, ready */

static int
map_one(struct xpvtap *t, void **at, size_t len, off_t off, const char *what,
	struct vd_err *err)
{
	void *p = t->system->mmap(t->fd, len, off);

	if (p == MAP_FAILED)
		return said(err, t, vd_fail(err, errno, VD_NOWHERE,
					    "cannot map the %s: %s", what,
					    strerror(errno)));
	*at = p;
	return 0;
}

int
xpvtap_map(struct xpvtap *t, struct ring_config *cfg, struct vd_err *err)
{
	const struct xpvtap_info *i = &t->info;
	void *window = NULL;
	int ret;

	ret = map_one(t, &t->ring, i->ring_bytes, XPVTAP_RING_OFFSET, "ring",
		      err);
	if (!ret)
		ret = map_one(t, &window, i->window_bytes,
			      XPVTAP_WINDOW_OFFSET, "window", err);
	if (ret)
		return ret;
	t->window = window;
	t->pages = i->window_pages;
	cfg->ring = t->ring;
	cfg->pages = i->ring_bytes / RING_PAGE_SIZE;
	cfg->abi = RING_ABI_X86_64;
	cfg->max_indirect = i->max_segments <= BLKIF_MAX_SEGS ? 0 :
			    i->max_segments < RING_MAX_INDIRECT ?
			    i->max_segments : RING_MAX_INDIRECT;
	cfg->transport = (struct ring_transport){
		.copy = window_copy,
		.notify = push_answers,
		.ctx = t,
		.pages = window_pages,
		.always = true,
	};
	return 0;
}

int
xpvtap_ready(struct xpvtap *t, struct xpvtap_ready *ready, struct vd_err *err)
{
	int ret;

	ready->size = sizeof(*ready);
	ret = call(t, XPVTAP_IOC_READY, ready);
	if (!ret)
		return 0;
	vd_fail(err, -ret, VD_NOWHERE, ret == -EBUSY ?
		"the guest uses this disk, and it was larger, or not as "
		"writable" : "the driver refuses this disk: %s",
		strerror(-ret));
	if (ret == -EBUSY)
		vd_err_help(err, "serve the image it had before, or take the "
			    "disk away with vdisk-detach");
	return said(err, t, ret);
}

/* ------------------------------------------------------------------ events */

const struct xpvtap_info *
xpvtap_info(const struct xpvtap *t)
{
	return &t->info;
}

int
xpvtap_fd(const struct xpvtap *t)
{
	return t->fd;
}

int
xpvtap_failed(const struct xpvtap *t)
{
	return t->failed;
}

/* Of all that INFO tells only the state may change. */
uint32_t
xpvtap_came(struct xpvtap *t, uint32_t events)
{
	struct xpvtap_info now = { .size = sizeof(now) };

	events = t->system->came(t->fd, events);
	if ((events & EPOLLPRI) && !call(t, XPVTAP_IOC_INFO, &now) &&
	    now.state <= XPVTAP_GONE)
		t->info.state = now.state;
	if (t->info.state == XPVTAP_GONE || (events & EPOLLERR))
		events |= EPOLLHUP;
	return events;
}

void
xpvtap_close(struct xpvtap *t)
{
	if (!t)
		return;
	if (t->window)
		munmap(t->window, t->info.window_bytes);
	if (t->ring)
		munmap(t->ring, t->info.ring_bytes);
	if (t->fd >= 0)
		close(t->fd);
	free(t);
}
