/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenstore.c - the store part of struct xen, on libxenstore.
 *
 * libxenstore starts a thread at the first watch; it reads the connection and
 * queues events in memory without a limit.  Hence fired() takes all there are
 * and keeps none: a guest that writes its state in a loop must not make us
 * grow.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xenstore.h>
#include "store.h"

#define FIRED_AT_ONCE	4096	/* events taken in one call */

struct xen_libs {
	struct xen	xen;		/* first: struct xen * is ours */
	struct xs_handle *xs;
};

static struct xs_handle *
handle(struct xen *x)
{
	return ((struct xen_libs *)x)->xs;
}

/* libxenstore sets errno, but does not promise to. */
static int
failed(void)
{
	return errno ? -errno : -EIO;
}

static int
lib_read(struct xen *x, uint32_t t, const char *path, char **value)
{
	unsigned len;
	char *v;

	errno = 0;
	v = xs_read(handle(x), t, path, &len);
	if (!v)
		return failed();
	if (len >= XEN_VALUE_MAX || strlen(v) != len) {
		free(v);
		return len >= XEN_VALUE_MAX ? -E2BIG : -EILSEQ;
	}
	*value = v;
	return 0;
}

static int
lib_write(struct xen *x, uint32_t t, const char *path, const char *value)
{
	errno = 0;
	return xs_write(handle(x), t, path, value, (unsigned)strlen(value)) ?
	       0 : failed();
}

static int
lib_remove(struct xen *x, uint32_t t, const char *path)
{
	errno = 0;
	return xs_rm(handle(x), t, path) ? 0 : failed();
}

static int
lib_list(struct xen *x, uint32_t t, const char *path, char ***names,
	 unsigned *n)
{
	errno = 0;
	*names = xs_directory(handle(x), t, path, n);
	return *names ? 0 : failed();
}

static int
lib_allow(struct xen *x, uint32_t t, const char *path, unsigned owner,
	  unsigned reader)
{
	struct xs_permissions p[2] = {
		{ .id = owner, .perms = XS_PERM_NONE },
		{ .id = reader, .perms = XS_PERM_READ },
	};

	errno = 0;
	return xs_set_permissions(handle(x), t, path, p, 2) ? 0 : failed();
}

static int
lib_begin(struct xen *x, uint32_t *t)
{
	errno = 0;
	*t = xs_transaction_start(handle(x));
	return *t != XBT_NULL ? 0 : failed();
}

static int
lib_commit(struct xen *x, uint32_t t)
{
	errno = 0;
	return xs_transaction_end(handle(x), t, false) ? 0 : failed();
}

static void
lib_abort(struct xen *x, uint32_t t)
{
	xs_transaction_end(handle(x), t, true);
}

static int
lib_watch(struct xen *x, const char *path, const char *token)
{
	errno = 0;
	return xs_watch(handle(x), path, token) ? 0 : failed();
}

static int
lib_fired(struct xen *x)
{
	char **event;
	int n;

	for (n = 0; n < FIRED_AT_ONCE; n++) {
		errno = 0;
		event = xs_check_watch(handle(x));
		if (!event)
			break;
		free(event);
	}
	if (n || errno == EAGAIN || errno == EWOULDBLOCK)
		return n;
	return failed();
}

static int
lib_store_fd(struct xen *x)
{
	return xs_fileno(handle(x));
}

static bool
lib_introduced(struct xen *x, unsigned domid)
{
	return xs_is_domain_introduced(handle(x), domid);
}

static uint64_t
lib_now(struct xen *x)
{
	struct timespec ts;

	(void)x;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void
lib_close(struct xen *x)
{
	struct xen_libs *l = (struct xen_libs *)x;

	xen_drop_grants(x);
	if (l->xs)
		xs_close(l->xs);
	free(l);
}

static const struct xen store_calls = {
	.read = lib_read,
	.write = lib_write,
	.remove = lib_remove,
	.list = lib_list,
	.allow = lib_allow,
	.begin = lib_begin,
	.commit = lib_commit,
	.abort = lib_abort,
	.watch = lib_watch,
	.fired = lib_fired,
	.store_fd = lib_store_fd,
	.introduced = lib_introduced,
	.now = lib_now,
	.close = lib_close,
};

static bool
on_xen(void)
{
	char type[16] = "";
	ssize_t n = 0;
	int fd;

	fd = open("/sys/hypervisor/type", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, type, sizeof(type) - 1);
		close(fd);
	}
	return (n >= 3 && !memcmp(type, "xen", 3)) ||
	       !access("/proc/xen/capabilities", F_OK);
}

/* Which part is missing?  The library's own errno rarely tells. */
static int
why_no_store(struct vd_err *err)
{
	int code = errno ? errno : ENOENT;

	if (!on_xen()) {
		vd_fail(err, ENODEV, VD_NOWHERE,
			"this machine does not run Xen");
		vd_err_help(err, "boot it with the Xen hypervisor, or load "
			    "the module xenfs and mount it on /proc/xen");
		return -ENODEV;
	}
	if (geteuid()) {
		vd_fail(err, EACCES, VD_NOWHERE,
			"only root may talk to xenstore");
		return -EACCES;
	}
	vd_fail(err, code, VD_NOWHERE, "xenstored does not answer");
	vd_err_help(err, "start it: systemctl start xenstored");
	return -code;
}

int
xen_store_open(struct xen **out, struct vd_err *err)
{
	struct xen_libs *l;
	int ret;

	l = calloc(1, sizeof(*l));
	if (!l)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	l->xen = store_calls;
	errno = 0;
	l->xs = xs_open(0);
	if (!l->xs) {
		ret = why_no_store(err);
		free(l);
		return ret;
	}
	/* Made now: the thread of the first watch must find its pipe. */
	xs_fileno(l->xs);
	*out = &l->xen;
	return 0;
}

int
xen_open(struct xen **out, struct vd_err *err)
{
	struct xen *x;
	int ret;

	ret = xen_store_open(&x, err);
	if (ret)
		return ret;
	ret = xen_add_grants(x, err);
	if (ret) {
		x->close(x);
		return ret;
	}
	*out = x;
	return 0;
}
