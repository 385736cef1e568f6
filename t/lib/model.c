/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* model.c - see model.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model.h"

#define PAGE	65536u

struct page {
	unsigned	refs;
	uint8_t		data[PAGE];
};

struct md {
	uint64_t	size;
	uint64_t	n;		/* pages there is room for */
	struct page   **page;		/* NULL: zeros */
};

static const uint8_t zeros[PAGE];

/* A test that has no memory has nothing to say. */
static void *
need(void *p)
{
	if (!p)
		abort();
	return p;
}

static uint64_t
pages(uint64_t size)
{
	return (size + PAGE - 1) / PAGE;
}

struct md *
md_new(uint64_t size)
{
	struct md *m = need(calloc(1, sizeof(*m)));

	m->size = size;
	m->n = pages(size);
	m->page = need(calloc(m->n + 1, sizeof(*m->page)));
	return m;
}

struct md *
md_copy(const struct md *m)
{
	struct md *c = md_new(m->size);

	for (uint64_t i = 0; i < m->n; i++) {
		c->page[i] = m->page[i];
		if (c->page[i])
			c->page[i]->refs++;
	}
	return c;
}

static void
drop(struct md *m, uint64_t i)
{
	if (m->page[i] && !--m->page[i]->refs)
		free(m->page[i]);
	m->page[i] = NULL;
}

void
md_free(struct md *m)
{
	for (uint64_t i = 0; m && i < m->n; i++)
		drop(m, i);
	if (m)
		free(m->page);
	free(m);
}

uint64_t
md_size(const struct md *m)
{
	return m->size;
}

/* A page of m's own, to be written to. */
static uint8_t *
own(struct md *m, uint64_t i)
{
	struct page *p = m->page[i], *mine;

	if (p && p->refs == 1)
		return p->data;
	mine = need(malloc(sizeof(*mine)));
	mine->refs = 1;
	memcpy(mine->data, p ? p->data : zeros, PAGE);
	drop(m, i);
	m->page[i] = mine;
	return mine->data;
}

/* The part of [off, off + len) that lies in off's page. */
static uint64_t
step(uint64_t off, uint64_t len)
{
	return len < PAGE - off % PAGE ? len : PAGE - off % PAGE;
}

void
md_put(struct md *m, const void *buf, uint64_t off, uint64_t len)
{
	const uint8_t *from = buf;

	for (uint64_t n; len; off += n, from += n, len -= n) {
		n = step(off, len);
		memcpy(own(m, off / PAGE) + off % PAGE, from, n);
	}
}

void
md_zero(struct md *m, uint64_t off, uint64_t len)
{
	for (uint64_t n; len; off += n, len -= n) {
		n = step(off, len);
		if (n == PAGE)
			drop(m, off / PAGE);
		else if (m->page[off / PAGE])
			memset(own(m, off / PAGE) + off % PAGE, 0, n);
	}
}

void
md_resize(struct md *m, uint64_t size)
{
	uint64_t n = pages(size);

	if (size < m->size)
		md_zero(m, size, m->size - size);
	for (uint64_t i = n; i < m->n; i++)
		drop(m, i);
	m->page = need(realloc(m->page, (n + 1) * sizeof(*m->page)));
	for (uint64_t i = m->n; i < n; i++)
		m->page[i] = NULL;
	m->n = n;
	m->size = size;
}

uint64_t
md_diff(const struct md *m, const void *buf, uint64_t off, uint64_t len)
{
	const uint8_t *got = buf, *want;

	for (uint64_t n; len; off += n, got += n, len -= n) {
		n = step(off, len);
		want = m->page[off / PAGE] ? m->page[off / PAGE]->data : zeros;
		want += off % PAGE;
		if (!memcmp(got, want, n))
			continue;
		while (*got == *want) {
			got++;
			want++;
			off++;
		}
		return off;
	}
	return MD_SAME;
}

bool
md_is_zero(const struct md *m, uint64_t off, uint64_t len)
{
	for (uint64_t n; len; off += n, len -= n) {
		n = step(off, len);
		if (md_diff(m, zeros, off, n) != MD_SAME)
			return false;
	}
	return true;
}

int
md_save(const struct md *m, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int ret = fd < 0 || ftruncate(fd, (off_t)m->size) ? -errno : 0;

	for (uint64_t i = 0; i < m->n && !ret; i++) {
		uint64_t n = m->size - i * PAGE < PAGE ? m->size - i * PAGE
						       : PAGE;

		if (m->page[i] && pwrite(fd, m->page[i]->data, n,
					 (off_t)(i * PAGE)) != (ssize_t)n)
			ret = -EIO;
	}
	if (fd >= 0 && close(fd) && !ret)
		ret = -errno;
	return ret;
}
