/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store.c - reading and writing xenstore without believing it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "store.h"

#define TRANSACTION_TRIES	100

int
store_parse(const char *s, uint64_t max, uint64_t *v)
{
	uint64_t n = 0;
	unsigned digits = 0;

	for (; *s >= '0' && *s <= '9'; s++) {
		if (++digits > 20)
			return -ERANGE;
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*s - '0'), &n))
			return -ERANGE;
	}
	if (!digits || *s)
		return -EINVAL;
	if (n > max)
		return -ERANGE;
	*v = n;
	return 0;
}

int
store_path(char *buf, size_t len, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, len, fmt, ap);
	va_end(ap);
	return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}

int
store_get(struct xen *x, uint32_t t, const char *dir, const char *key,
	  char **value)
{
	char path[XEN_PATH_MAX];
	int ret;

	ret = store_path(path, sizeof(path), "%s/%s", dir, key);
	if (!ret)
		ret = x->read(x, t, path, value);
	if (!ret && !**value) {
		free(*value);
		ret = -ENOENT;
	}
	return ret;
}

int
store_get_uint(struct xen *x, uint32_t t, const char *dir, const char *key,
	       uint64_t max, uint64_t *v)
{
	char *value;
	int ret;

	ret = store_get(x, t, dir, key, &value);
	if (ret)
		return ret;
	ret = store_parse(value, max, v);
	free(value);
	return ret;
}

int
store_put(struct xen *x, uint32_t t, const char *dir, const char *key,
	  const char *fmt, ...)
{
	char path[XEN_PATH_MAX], value[XEN_VALUE_MAX];
	va_list ap;
	int n, ret;

	ret = store_path(path, sizeof(path), "%s/%s", dir, key);
	if (ret)
		return ret;
	va_start(ap, fmt);
	n = vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(value))
		return -E2BIG;
	return x->write(x, t, path, value);
}

bool
store_exists(struct xen *x, uint32_t t, const char *path)
{
	char *value;
	int ret;

	ret = x->read(x, t, path, &value);
	if (!ret)
		free(value);
	/* Something is there, even when it is too long or too strange. */
	return !ret || ret == -EILSEQ || ret == -E2BIG || ret == -EACCES;
}

int
store_transact(struct xen *x,
	       int (*body)(struct xen *x, uint32_t t, void *ctx), void *ctx)
{
	unsigned tries;
	uint32_t t;
	int ret;

	for (tries = 0; tries < TRANSACTION_TRIES; tries++) {
		ret = x->begin(x, &t);
		if (ret)
			return ret;
		ret = body(x, t, ctx);
		if (ret) {
			x->abort(x, t);
			return ret;
		}
		ret = x->commit(x, t);
		if (ret != -EAGAIN)
			return ret;
	}
	return -EAGAIN;
}

struct pair {
	const char     *back;
	const char     *front;
};

/* A directory without children goes with its last one: no litter. */
static int
remove_empty_parent(struct xen *x, uint32_t t, const char *path)
{
	char parent[XEN_PATH_MAX], **names;
	unsigned n;

	snprintf(parent, sizeof(parent), "%s", path);
	*strrchr(parent, '/') = '\0';
	if (x->list(x, t, parent, &names, &n))
		return 0;
	free(names);
	return n ? 0 : x->remove(x, t, parent);
}

static int
remove_body(struct xen *x, uint32_t t, void *ctx)
{
	const struct pair *p = ctx;
	char *back = NULL;
	int ret = 0;

	if (!store_get(x, t, p->front, "backend", &back) &&
	    !strcmp(back, p->back))
		ret = x->remove(x, t, p->front);
	free(back);
	if (!ret || ret == -ENOENT)
		ret = x->remove(x, t, p->back);
	if (!ret)
		ret = remove_empty_parent(x, t, p->back);
	return ret == -ENOENT ? 0 : ret;
}

int
store_remove_disk(struct xen *x, const char *back, const char *front)
{
	struct pair p = { back, front };

	return store_transact(x, remove_body, &p);
}
