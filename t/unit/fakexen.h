/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fakexen.h - a Xen in memory for the tests: a store, a guest, a clock.
 *
 * Transactions are real enough to be lost: one conflicts when anything was
 * written outside it after it began.  Everything that is mapped, bound or
 * copied is counted, so that a test can ask for a clean end.
 */
#ifndef VD_FAKEXEN_H
#define VD_FAKEXEN_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "xen.h"

#define FAKE_NODES	256
#define FAKE_PAGES	64

struct fake_node {
	char	path[256];
	char   *value;		/* NULL: free slot */
	size_t	len;		/* may hold NULs */
	int	owner, reader;
};

struct fakexen {
	struct xen	xen;
	struct fake_node node[FAKE_NODES], saved[FAKE_NODES];
	unsigned	transaction;	/* open one, 0: none */
	unsigned	serial;
	bool		spoilt;		/* by a write from outside */
	unsigned	conflicts;	/* commits still to be refused */
	unsigned	commits;
	unsigned	fired;
	unsigned	watches;
	uint64_t	clock;
	bool		dead;		/* the domain is gone */
	bool		store_down;

	uint8_t	       *memory;		/* the guest's, FAKE_PAGES pages */
	unsigned	mapped;		/* ring pages mapped now */
	unsigned	maps, abandons;
	int		map_error, bind_error;
	uint32_t	last_refs[16];
	unsigned	bound;		/* ports bound now */
	unsigned	notified;
	unsigned	copies;
	unsigned	copied_void;	/* copies while nothing is mapped */
	uint32_t	last_remote;
	uint32_t	rung;		/* port + 1, 0: none */
	unsigned	unmasked;
};

static inline struct fakexen *
fake(struct xen *x)
{
	return (struct fakexen *)x;
}

static inline struct fake_node *
fake_find(struct fakexen *f, const char *path)
{
	unsigned i;

	for (i = 0; i < FAKE_NODES; i++)
		if (f->node[i].value && !strcmp(f->node[i].path, path))
			return &f->node[i];
	return NULL;
}

static inline struct fake_node *
fake_make(struct fakexen *f, const char *path)
{
	struct fake_node *n = fake_find(f, path);
	char parent[256], *slash;
	unsigned i;

	if (n)
		return n;
	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (slash && slash != parent) {
		*slash = '\0';
		fake_make(f, parent);
	}
	for (i = 0; i < FAKE_NODES && f->node[i].value; i++)
		;
	if (i == FAKE_NODES)
		abort();
	n = &f->node[i];
	snprintf(n->path, sizeof(n->path), "%s", path);
	n->value = strdup("");
	n->len = 0;
	return n;
}

static inline void
fake_put(struct fakexen *f, const char *path, const void *value, size_t len)
{
	struct fake_node *n = fake_make(f, path);

	free(n->value);
	n->value = malloc(len + 1);
	memcpy(n->value, value, len);
	n->value[len] = '\0';
	n->len = len;
	f->fired++;
}

static inline bool
fake_rm(struct fakexen *f, const char *path)
{
	size_t len = strlen(path);
	bool any = false;
	unsigned i;

	for (i = 0; i < FAKE_NODES; i++) {
		if (!f->node[i].value || strncmp(f->node[i].path, path, len) ||
		    (f->node[i].path[len] && f->node[i].path[len] != '/'))
			continue;
		free(f->node[i].value);
		f->node[i].value = NULL;
		any = true;
	}
	if (any)
		f->fired++;
	return any;
}

/* ---- what the test does as guest or toolstack: outside any transaction */

__attribute__((format(printf, 3, 4))) static inline void
put(struct fakexen *f, const char *path, const char *fmt, ...)
{
	char value[8192];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	fake_put(f, path, value, strlen(value));
	f->spoilt = true;
}

static inline const char *
get(struct fakexen *f, const char *path)
{
	struct fake_node *n = fake_find(f, path);

	return n ? n->value : NULL;
}

static inline void
rm(struct fakexen *f, const char *path)
{
	fake_rm(f, path);
	f->spoilt = true;
}

/* ---- the table */

static inline int
fake_read(struct xen *x, uint32_t t, const char *path, char **value)
{
	struct fake_node *n = fake_find(fake(x), path);

	(void)t;
	if (fake(x)->store_down)
		return -EIO;
	if (!n)
		return -ENOENT;
	if (n->len >= XEN_VALUE_MAX)
		return -E2BIG;
	if (strlen(n->value) != n->len)
		return -EILSEQ;
	*value = strdup(n->value);
	return 0;
}

static inline int
fake_write(struct xen *x, uint32_t t, const char *path, const char *value)
{
	if (fake(x)->store_down)
		return -EIO;
	(void)t;
	fake_put(fake(x), path, value, strlen(value));
	return 0;
}

static inline int
fake_remove(struct xen *x, uint32_t t, const char *path)
{
	(void)t;
	if (fake(x)->store_down)
		return -EIO;
	return fake_rm(fake(x), path) ? 0 : -ENOENT;
}

static inline int
fake_list(struct xen *x, uint32_t t, const char *path, char ***names,
	  unsigned *count)
{
	struct fakexen *f = fake(x);
	size_t len = strlen(path), room = sizeof(char *);
	unsigned i, n = 0;
	char *p;

	(void)t;
	if (!fake_find(f, path))
		return -ENOENT;
	for (i = 0; i < FAKE_NODES; i++)
		room += sizeof(char *) + sizeof(f->node[i].path);
	*names = malloc(room);
	p = (char *)(*names + FAKE_NODES);
	for (i = 0; i < FAKE_NODES; i++) {
		const char *s = f->node[i].path;

		if (!f->node[i].value || strncmp(s, path, len) ||
		    s[len] != '/' || strchr(s + len + 1, '/'))
			continue;
		(*names)[n++] = strcpy(p, s + len + 1);
		p += strlen(p) + 1;
	}
	*count = n;
	return 0;
}

static inline int
fake_allow(struct xen *x, uint32_t t, const char *path, unsigned owner,
	   unsigned reader)
{
	struct fake_node *n = fake_find(fake(x), path);

	(void)t;
	if (!n)
		return -ENOENT;
	n->owner = (int)owner;
	n->reader = (int)reader;
	return 0;
}

static inline void
fake_copy_nodes(struct fake_node *to, const struct fake_node *from)
{
	unsigned i;

	for (i = 0; i < FAKE_NODES; i++) {
		free(to[i].value);
		to[i] = from[i];
		if (!from[i].value)
			continue;
		to[i].value = malloc(from[i].len + 1);
		memcpy(to[i].value, from[i].value, from[i].len + 1);
	}
}

static inline int
fake_begin(struct xen *x, uint32_t *t)
{
	struct fakexen *f = fake(x);

	if (f->store_down)
		return -EIO;
	if (f->transaction)
		abort();	/* never two: a guest could make us pile them up */
	fake_copy_nodes(f->saved, f->node);
	f->transaction = *t = ++f->serial;
	f->spoilt = false;
	return 0;
}

static inline void
fake_abort(struct xen *x, uint32_t t)
{
	struct fakexen *f = fake(x);

	if (t != f->transaction)
		abort();
	fake_copy_nodes(f->node, f->saved);
	f->transaction = 0;
}

static inline int
fake_commit(struct xen *x, uint32_t t)
{
	struct fakexen *f = fake(x);

	if (f->spoilt || f->conflicts) {
		if (f->conflicts)
			f->conflicts--;
		fake_abort(x, t);
		return -EAGAIN;
	}
	f->transaction = 0;
	f->commits++;
	return 0;
}

static inline int
fake_watch(struct xen *x, const char *path, const char *token)
{
	(void)path;
	(void)token;
	fake(x)->watches++;
	fake(x)->fired++;
	return 0;
}

static inline int
fake_fired(struct xen *x)
{
	int n = (int)fake(x)->fired;

	fake(x)->fired = 0;
	return n;
}

static inline int
fake_fd(struct xen *x)
{
	(void)x;
	return -1;
}

static inline bool
fake_introduced(struct xen *x, unsigned domid)
{
	(void)domid;
	return !fake(x)->dead && !fake(x)->store_down;
}

/* A grant reference is an index of a guest page; others are bad. */
static inline int
fake_map(struct xen *x, unsigned domid, const uint32_t *refs, unsigned n,
	 void **addr)
{
	struct fakexen *f = fake(x);
	unsigned i;

	(void)domid;
	if (f->map_error)
		return f->map_error;
	for (i = 0; i < n; i++)
		if (refs[i] >= FAKE_PAGES || (i && refs[i] != refs[0] + i))
			return -EINVAL;
	memcpy(f->last_refs, refs, n * sizeof(*refs));
	f->mapped += n;
	f->maps++;
	*addr = f->memory + (size_t)refs[0] * RING_PAGE_SIZE;
	return 0;
}

static inline void
fake_unmap(struct xen *x, void *addr, unsigned n)
{
	struct fakexen *f = fake(x);

	if ((uint8_t *)addr < f->memory || n > f->mapped)
		abort();
	f->mapped -= n;
}

/* The guest's pages move away from under the address, as in real life. */
static inline int
fake_abandon(struct xen *x, void *addr, unsigned n)
{
	struct fakexen *f = fake(x);

	if (mmap(addr, (size_t)n * RING_PAGE_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -errno;
	f->mapped -= n;
	f->abandons++;
	return 0;
}

static inline int
fake_copy(struct xen *x, unsigned domid, struct ring_copy *c, unsigned n,
	  bool to_guest)
{
	struct fakexen *f = fake(x);
	int first = 0;
	unsigned i;

	(void)domid;
	f->copies += n;
	if (!f->mapped)
		f->copied_void++;
	for (i = 0; i < n; i++) {
		uint8_t *p = f->memory + (size_t)c[i].gref * RING_PAGE_SIZE +
			     c[i].off;

		c[i].status = c[i].gref < FAKE_PAGES ? 0 : -EFAULT;
		if (c[i].status)
			first = first ? first : c[i].status;
		else if (to_guest)
			memcpy(p, c[i].buf, c[i].len);
		else
			memcpy(c[i].buf, p, c[i].len);
	}
	return first;
}

static inline int
fake_bind(struct xen *x, unsigned domid, uint32_t remote, uint32_t *port)
{
	struct fakexen *f = fake(x);

	(void)domid;
	if (f->bind_error)
		return f->bind_error;
	f->bound++;
	f->last_remote = remote;
	*port = 40 + f->maps;
	return 0;
}

static inline void
fake_unbind(struct xen *x, uint32_t port)
{
	(void)port;
	if (!fake(x)->bound)
		abort();
	fake(x)->bound--;
}

static inline void
fake_notify(struct xen *x, uint32_t port)
{
	(void)port;
	fake(x)->notified++;
}

static inline int
fake_pending(struct xen *x, uint32_t *port)
{
	if (!fake(x)->rung)
		return 0;
	*port = fake(x)->rung - 1;
	fake(x)->rung = 0;
	return 1;
}

static inline void
fake_unmask(struct xen *x, uint32_t port)
{
	(void)port;
	fake(x)->unmasked++;
}

static inline uint64_t
fake_now(struct xen *x)
{
	return fake(x)->clock;
}

static inline void
fake_close(struct xen *x)
{
	struct fakexen *f = fake(x);
	unsigned i;

	for (i = 0; i < FAKE_NODES; i++) {
		free(f->node[i].value);
		free(f->saved[i].value);
	}
	munmap(f->memory, (size_t)FAKE_PAGES * RING_PAGE_SIZE);
	free(f);
}

static inline struct fakexen *
fake_new(void)
{
	struct fakexen *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->xen = (struct xen){
		.read = fake_read, .write = fake_write,
		.remove = fake_remove, .list = fake_list,
		.allow = fake_allow, .begin = fake_begin,
		.commit = fake_commit, .abort = fake_abort,
		.watch = fake_watch, .fired = fake_fired,
		.store_fd = fake_fd, .introduced = fake_introduced,
		.map = fake_map, .unmap = fake_unmap,
		.abandon = fake_abandon, .copy = fake_copy,
		.bind = fake_bind, .unbind = fake_unbind,
		.notify = fake_notify, .pending = fake_pending,
		.unmask = fake_unmask, .event_fd = fake_fd,
		.now = fake_now, .close = fake_close,
	};
	f->clock = 100000;
	f->memory = mmap(NULL, (size_t)FAKE_PAGES * RING_PAGE_SIZE,
			 PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f->memory == MAP_FAILED)
		abort();
	return f;
}

#define FAKE_B "/local/domain/0/backend/vdisk/7/51728"
#define FAKE_F "/local/domain/7/device/vbd/51728"

/* The nodes as vdisk-attach makes them. */
static inline void
fake_attach(struct fakexen *f)
{
	put(f, FAKE_B "/frontend", FAKE_F);
	put(f, FAKE_B "/frontend-id", "7");
	put(f, FAKE_B "/online", "1");
	put(f, FAKE_B "/mode", "w");
	put(f, FAKE_B "/managed-by", "vdisk-attach");
	put(f, FAKE_B "/state", "1");
	put(f, FAKE_F "/backend", FAKE_B);
	put(f, FAKE_F "/backend-id", "0");
	put(f, FAKE_F "/state", "1");
}

#endif
