/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xenbus_front.c - the frontend's keys: read once, all together, strictly.
 *
 * The guest owns these keys and may hold anything in them, also what another
 * frontend left behind (boot loader, crash kernel).  Hence they are read
 * afresh at every connect and never again until the next.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "store.h"
#include "xenbus.h"

struct reading {
	const char     *dir;
	unsigned	max_order;
	struct xenbus_front *f;
	struct vd_err  *err;
};

/* Guests' mistakes are EPROTO: the caller tells them from our own troubles. */
static int
bad_key(struct reading *r, const char *key, int ret)
{
	switch (ret) {
	case -ENOENT:
		return vd_fail(r->err, EPROTO, VD_NOWHERE,
			       "the frontend's %s is missing", key);
	case -EINVAL:
	case -EILSEQ:
	case -E2BIG:
		return vd_fail(r->err, EPROTO, VD_NOWHERE,
			       "the frontend's %s is not a number", key);
	case -ERANGE:
		return vd_fail(r->err, EPROTO, VD_NOWHERE,
			       "the frontend's %s is out of range", key);
	default:
		return vd_fail(r->err, -ret, VD_NOWHERE,
			       "cannot read the frontend's %s: %s", key,
			       strerror(-ret));
	}
}

static int
read_protocol(struct reading *r, struct xen *x, uint32_t t)
{
	char *value;
	int ret;

	ret = store_get(x, t, r->dir, "protocol", &value);
	if (ret == -ENOENT) {
		/* Frontends older than the key are 32 bits wide on x86. */
#if defined(__x86_64__) || defined(__i386__)
		r->f->abi = RING_ABI_X86_32;
#else
		r->f->abi = RING_ABI_X86_64;
#endif
		return 0;
	}
	if (ret == -EILSEQ || ret == -E2BIG)
		return vd_fail(r->err, EPROTO, VD_NOWHERE,
			       "the frontend's protocol is not a word");
	if (ret)
		return bad_key(r, "protocol", ret);
	if (!strcmp(value, "x86_64-abi") || !strcmp(value, "arm-abi"))
		r->f->abi = RING_ABI_X86_64;
	else if (!strcmp(value, "x86_32-abi"))
		r->f->abi = RING_ABI_X86_32;
	else
		ret = vd_fail(r->err, EPROTO, VD_NOWHERE,
			      "the frontend speaks \"%.40s\": expected "
			      "x86_64-abi, x86_32-abi or arm-abi", value);
	free(value);
	return ret;
}

/*
 * How many pages, and is the key ring-ref or ring-ref0?  Two spellings of the
 * number exist, and either may be a leftover of a frontend before.
 */
static int
read_order(struct reading *r, struct xen *x, uint32_t t, bool *numbered)
{
	uint64_t v;
	int ret;

	*numbered = false;
	r->f->order = 0;
	ret = store_get_uint(x, t, r->dir, "ring-page-order", r->max_order, &v);
	if (!ret) {
		*numbered = true;
		r->f->order = (unsigned)v;
		return 0;
	}
	if (ret != -ENOENT)
		return bad_key(r, "ring-page-order", ret);	/* */

	ret = store_get_uint(x, t, r->dir, "num-ring-pages",
			     UINT64_C(1) << r->max_order, &v);
	if (ret == -ENOENT)
		return 0;
	if (!ret && (!v || (v & (v - 1))))
		ret = -ERANGE;
	if (ret)
		return bad_key(r, "num-ring-pages", ret);
	if (v > 1) {
		*numbered = true;
		r->f->order = (unsigned)__builtin_ctzll(v);
	}
	return 0;
}

static int
read_refs(struct reading *r, struct xen *x, uint32_t t, bool numbered)
{
	unsigned i, n = 1u << r->f->order;
	char key[32] = "ring-ref";
	uint64_t v;
	int ret;

	for (i = 0; i < n; i++) {
		if (numbered)
			snprintf(key, sizeof(key), "ring-ref%u", i);
		ret = store_get_uint(x, t, r->dir, key, UINT32_MAX, &v);
		if (ret == -ENOENT && n == 1 && numbered) {
			strcpy(key, "ring-ref");
			ret = store_get_uint(x, t, r->dir, key, UINT32_MAX, &v);
		}
		if (ret)
			return bad_key(r, key, ret);
		r->f->refs[i] = (uint32_t)v;
	}
	return 0;
}

static int
read_all(struct xen *x, uint32_t t, void *ctx)
{
	struct reading *r = ctx;
	uint64_t port;
	bool numbered;
	int ret;

	memset(r->f, 0, sizeof(*r->f));
	ret = read_protocol(r, x, t);
	if (!ret)
		ret = read_order(r, x, t, &numbered);
	if (!ret)
		ret = read_refs(r, x, t, numbered);
	if (ret)
		return ret;
	ret = store_get_uint(x, t, r->dir, "event-channel", UINT32_MAX, &port);
	if (!ret && !port)
		ret = -ERANGE;				/* */
	if (ret)
		return bad_key(r, "event-channel", ret);
	r->f->port = (uint32_t)port;
	return 0;
}

int
xenbus_front_read(struct xen *x, const char *dir, unsigned max_order,
		  struct xenbus_front *f, struct vd_err *err)
{
	struct reading r = {
		.dir = dir, .max_order = max_order, .f = f, .err = err,
	};
	int ret;

	ret = store_transact(x, read_all, &r);
	if (ret)
		vd_fail(err, -ret, VD_NOWHERE,
			"cannot read the frontend's keys: %s", strerror(-ret));
	return ret;
}
