/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store.h - reading and writing xenstore without believing it.
 */
#ifndef VD_STORE_H
#define VD_STORE_H

#include "xen.h"

/*
 * Strict decimal: digits only, no sign, no blank, nothing after it, at
 * most 20 digits, at most max.  -EINVAL or -ERANGE.
 */
int	store_parse(const char *s, uint64_t max, uint64_t *v);

/* DIR/KEY; -ENAMETOOLONG instead of a shortened path. */
int	store_path(char *buf, size_t len, const char *fmt, ...)
		__attribute__((format(printf, 3, 4)));

/* Read DIR/KEY; an empty string counts as absent (-ENOENT). */
int	store_get(struct xen *x, uint32_t t, const char *dir, const char *key,
		  char **value);
int	store_get_uint(struct xen *x, uint32_t t, const char *dir,
		       const char *key, uint64_t max, uint64_t *v);
int	store_put(struct xen *x, uint32_t t, const char *dir, const char *key,
		  const char *fmt, ...) __attribute__((format(printf, 5, 6)));
bool	store_exists(struct xen *x, uint32_t t, const char *path);

/*
 * Run body inside a transaction until it commits; it may run several times.
 * A body that fails aborts the transaction, and its error is returned.
 */
int	store_transact(struct xen *x,
		       int (*body)(struct xen *x, uint32_t t, void *ctx),
		       void *ctx);

/*
 * A disk's two directories, F/ only if it is still this backend's, and B/'s
 * parent when that was its last disk.  0 also when nothing was there.
 */
int	store_remove_disk(struct xen *x, const char *back, const char *front);

#endif
