/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * table.c - allocation tables: in memory for reading, in order for writing.
 *
 * VMDK's grain tables, VDI's block map: arrays of little-endian entries in
 * pages of a file.  Pages are read when first needed and kept under a budget;
 * changed ones stay until a sync has written them.
 *
 * W1 is kept here: vd_table_sync() freezes what was set before it began,
 * syncs the data, and only then writes the frozen pages.  An entry set while
 * that runs changes the page in memory, but not the frozen picture of it.
 * W6 is kept by the crash journal, W4 by writing both copies of a page between
 * the same two syncs.
 */
#include <errno.h>
#include <endian.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "internal.h"

#define STRIPES		16u
#define BUDGET		(64u << 20)	/* bytes of clean pages per table */
#define PAGES_MAX	(1u << 22)

_Thread_local bool vd_nowait;

struct page {
	uint64_t	no;
	bool		dirty;		/* on the dirty list */
	bool		frozen;		/* being written by a sync */
	bool		used;		/* second chance for eviction */
	uint8_t	       *snap;		/* as frozen, if changed since */
	uint8_t		raw[];		/* as in the file */
};

struct stripe {
	pthread_mutex_t	lock;
	struct page   **loaded;
	size_t		n, cap, hand;
};

struct vd_table {
	struct vd_host *host;
	struct vd_file *file;
	struct vd_table_spec spec;
	uint64_t	npages;
	struct page   **pages;
	struct stripe	stripes[STRIPES];
	pthread_mutex_t	dirty_lock;	/* taken inside a stripe's lock */
	struct page   **dirty;		/* pages changed since the last sync */
	size_t		ndirty_pages, dirty_cap;
	atomic_ulong	ndirty;		/* entries set since the last sync */
	pthread_mutex_t	sync_lock;
	struct vd_journal *journal;
	bool		writable;
};

static size_t
page_bytes(const struct vd_table *t, uint64_t no)
{
	uint64_t first = no * t->spec.page_entries;
	uint64_t n = t->spec.entries - first;

	if (n > t->spec.page_entries)
		n = t->spec.page_entries;
	return (size_t)n * t->spec.entry_bytes;
}

static uint64_t
entry_get(const struct vd_table *t, const uint8_t *raw, size_t i)
{
	uint64_t v64;
	uint32_t v32;

	if (t->spec.entry_bytes == 8) {
		memcpy(&v64, raw + 8 * i, 8);
		return le64toh(v64);
	}
	memcpy(&v32, raw + 4 * i, 4);
	return le32toh(v32);
}

static void
entry_put(const struct vd_table *t, uint8_t *raw, size_t i, uint64_t v)
{
	uint64_t v64 = htole64(v);
	uint32_t v32 = htole32((uint32_t)v);

	if (t->spec.entry_bytes == 8)
		memcpy(raw + 8 * i, &v64, 8);
	else
		memcpy(raw + 4 * i, &v32, 4);
}

static struct stripe *
stripe_of(struct vd_table *t, uint64_t page)
{
	return &t->stripes[page % STRIPES];
}

/* Make room: drop a page nobody used lately.  Called under the lock. */
static void
stripe_evict(struct vd_table *t, struct stripe *s)
{
	for (size_t tries = 0; tries < 2 * s->n; tries++) {
		struct page *p = s->loaded[s->hand %= s->n];

		if (!p->dirty && !p->frozen && !p->used) {
			t->pages[p->no] = NULL;
			s->loaded[s->hand] = s->loaded[--s->n];
			free(p);
			return;
		}
		p->used = false;
		s->hand++;
	}
}

static int
stripe_add(struct vd_table *t, struct stripe *s, struct page *p)
{
	size_t most = BUDGET / STRIPES / page_bytes(t, 0) + 1;

	if (s->n >= most)
		stripe_evict(t, s);
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 16;
		struct page **more = realloc(s->loaded, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->loaded = more;
		s->cap = cap;
	}
	s->loaded[s->n++] = p;
	t->pages[p->no] = p;
	return 0;
}

/*
 * The page, loaded; NULL with 0 when the file has no such page.  Called under
 * the stripe's lock.
 */
static int
page_get(struct vd_table *t, uint64_t no, struct page **out,
	 struct vd_err *err)
{
	uint64_t off[2] = { 0, 0 };
	struct page *p = t->pages[no];
	int ret;

	*out = p;
	if (p) {
		p->used = true;
		return 0;
	}
	t->spec.locate(t->spec.ctx, no, off);
	if (!off[0])
		return 0;
	if (vd_nowait)
		return -EAGAIN;
	p = calloc(1, sizeof(*p) + page_bytes(t, no));
	if (!p)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for a "
			       "table page");
	p->no = no;
	p->used = true;
	ret = vd_file_read(t->file, p->raw, page_bytes(t, no), off[0], err);
	if (!ret)
		ret = stripe_add(t, stripe_of(t, no), p);
	if (ret)
		free(p);
	else
		*out = p;
	return ret;
}

int
vd_table_get(struct vd_table *t, uint64_t entry, uint64_t *value,
	     struct vd_err *err)
{
	uint64_t no = entry / t->spec.page_entries;
	struct stripe *s = stripe_of(t, no);
	struct page *p;
	int ret;

	if (entry >= t->spec.entries)
		return vd_fail(err, ERANGE, VD_NOWHERE, "table entry %" PRIu64
			       " of %" PRIu64, entry, t->spec.entries);
	pthread_mutex_lock(&s->lock);
	ret = page_get(t, no, &p, err);
	if (!ret)
		*value = p ? entry_get(t, p->raw, entry % t->spec.page_entries)
			   : t->spec.absent;
	pthread_mutex_unlock(&s->lock);
	return ret;
}

static int
dirty_add(struct vd_table *t, struct page *p)
{
	int ret = 0;

	pthread_mutex_lock(&t->dirty_lock);
	if (t->ndirty_pages == t->dirty_cap) {
		size_t cap = t->dirty_cap ? 2 * t->dirty_cap : 64;
		struct page **more = realloc(t->dirty, cap * sizeof(*more));

		if (more) {
			t->dirty = more;
			t->dirty_cap = cap;
		} else {
			ret = -ENOMEM;
		}
	}
	if (!ret)
		t->dirty[t->ndirty_pages++] = p;
	pthread_mutex_unlock(&t->dirty_lock);
	return ret;
}

/* Under the stripe's lock: keep the frozen picture, enlist the page. */
static int
page_touch(struct vd_table *t, struct page *p)
{
	int ret;

	if (p->frozen && !p->snap) {
		p->snap = malloc(page_bytes(t, p->no));
		if (!p->snap)
			return -ENOMEM;
		memcpy(p->snap, p->raw, page_bytes(t, p->no));
	}
	ret = p->dirty ? 0 : dirty_add(t, p);
	if (!ret)
		p->dirty = true;
	return ret;
}

static int
table_put(struct vd_table *t, uint64_t entry, uint64_t value, bool log,
	  struct vd_err *err)
{
	uint64_t no = entry / t->spec.page_entries;
	struct stripe *s = stripe_of(t, no);
	struct page *p;
	int ret;

	pthread_mutex_lock(&s->lock);
	ret = page_get(t, no, &p, err);
	if (!ret && !p)
		ret = vd_fail(err, EINVAL, VD_NOWHERE, "table page %" PRIu64
			      " does not exist yet", no);
	if (!ret && (ret = page_touch(t, p)))
		vd_fail(err, -ret, VD_NOWHERE, "no memory for a table page");
	/* After the page is enlisted: see vd_table_sync() about the mark. */
	if (!ret && log && t->journal &&
	    (ret = vd_journal_append(t->journal, entry, value)))
		vd_fail(err, -ret, VD_NOWHERE, "the crash journal is full");
	if (!ret) {
		entry_put(t, p->raw, entry % t->spec.page_entries, value);
		atomic_fetch_add(&t->ndirty, 1);
		atomic_fetch_add(&t->host->dirty_entries, 1);
	}
	pthread_mutex_unlock(&s->lock);
	return ret;
}

int
vd_table_set(struct vd_table *t, uint64_t entry, uint64_t value,
	     struct vd_err *err)
{
	if (entry >= t->spec.entries)
		return vd_fail(err, ERANGE, VD_NOWHERE, "table entry %" PRIu64
			       " of %" PRIu64, entry, t->spec.entries);
	return table_put(t, entry, value, true, err);
}

static int
replay_one(void *ctx, uint64_t entry, uint64_t value)
{
	struct vd_table *t = ctx;

	if (entry >= t->spec.entries)
		return -ESTALE;
	return table_put(t, entry, value, false, NULL);
}

static int
table_recover(struct vd_table *t, struct vd_err *err)
{
	struct vd_journal_key key = {
		.dev = t->file->dev, .ino = t->file->ino,
		.born = t->file->born,
		.entry_bytes = t->spec.entry_bytes,
		.entries = t->spec.entries,
	};
	int ret;

	if (t->host->flags & (VD_DISK_BATCH | VD_DISK_SHARED))
		return 0;
	memcpy(key.content, t->spec.content, sizeof(key.content));
	ret = vd_journal_open(&key, t->file->name, t->writable, &t->journal,
			      err);
	if (ret)
		return ret;
	if (!t->journal && t->writable)
		atomic_store(&t->host->through, true);
	if (t->journal && vd_journal_replay(t->journal, replay_one, t)) {
		ret = vd_fail(err, ESTALE, VD_NOWHERE,
			      "the crash journal does not fit this image");
		vd_err_file(err, t->file->name);
	}
	return ret;
}

int
vd_table_open(struct vd_host *h, struct vd_file *f,
	      const struct vd_table_spec *spec, struct vd_table **out,
	      struct vd_err *err)
{
	struct vd_table *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	memcpy(&t->spec, spec, spec->size < sizeof(t->spec)
			       ? spec->size : sizeof(t->spec));
	t->host = h;
	t->file = f;
	t->writable = f->writable;
	for (unsigned i = 0; i < STRIPES; i++)
		pthread_mutex_init(&t->stripes[i].lock, NULL);
	pthread_mutex_init(&t->dirty_lock, NULL);
	pthread_mutex_init(&t->sync_lock, NULL);
	if ((spec->entry_bytes != 4 && spec->entry_bytes != 8) ||
	    !spec->page_entries || spec->page_entries > (1u << 20) ||
	    !spec->entries || !spec->locate || spec->copies > 2) {
		ret = vd_fail(err, EINVAL, VD_NOWHERE,
			      "not a table: bad shape");
		goto fail;
	}
	t->npages = (spec->entries - 1) / spec->page_entries + 1;
	if (t->npages > PAGES_MAX) {
		ret = vd_fail(err, EFBIG, VD_NOWHERE, "allocation table has %"
			      PRIu64 " pages, limit is %u", t->npages,
			      PAGES_MAX);
		goto fail;
	}
	t->pages = calloc(t->npages, sizeof(*t->pages));
	ret = t->pages ? table_recover(t, err)
		       : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	if (ret)
		goto fail;
	*out = t;
	return 0;
fail:
	vd_table_close(t);
	return ret;
}

void
vd_table_close(struct vd_table *t)
{
	if (!t)
		return;
	vd_journal_close(t->journal, t->ndirty_pages != 0);
	for (unsigned i = 0; i < STRIPES; i++) {
		struct stripe *s = &t->stripes[i];

		for (size_t k = 0; k < s->n; k++) {
			free(s->loaded[k]->snap);
			free(s->loaded[k]);
		}
		free(s->loaded);
		pthread_mutex_destroy(&s->lock);
	}
	pthread_mutex_destroy(&t->dirty_lock);
	pthread_mutex_destroy(&t->sync_lock);
	free(t->dirty);
	free(t->pages);
	free(t);
}

/* The pages one sync writes. */
struct batch {
	struct page   **pages;
	size_t		n;
	unsigned long	entries;
};

/* Take the dirty pages; from here on a sync sees their present picture. */
static void
table_freeze(struct vd_table *t, struct batch *b)
{
	pthread_mutex_lock(&t->dirty_lock);
	*b = (struct batch){ t->dirty, t->ndirty_pages,
			     atomic_exchange(&t->ndirty, 0) };
	t->dirty = NULL;
	t->ndirty_pages = t->dirty_cap = 0;
	pthread_mutex_unlock(&t->dirty_lock);
	for (size_t i = 0; i < b->n; i++) {
		struct stripe *s = stripe_of(t, b->pages[i]->no);

		pthread_mutex_lock(&s->lock);
		b->pages[i]->dirty = false;
		b->pages[i]->frozen = true;
		pthread_mutex_unlock(&s->lock);
	}
}

/* Write the frozen picture of a page to all its places. */
static int
page_write(struct vd_table *t, struct page *p, uint8_t *buf,
	   struct vd_err *err)
{
	struct stripe *s = stripe_of(t, p->no);
	size_t len = page_bytes(t, p->no);
	uint64_t off[2] = { 0, 0 };
	int ret = 0;

	pthread_mutex_lock(&s->lock);
	memcpy(buf, p->snap ? p->snap : p->raw, len);
	t->spec.locate(t->spec.ctx, p->no, off);
	pthread_mutex_unlock(&s->lock);
	for (uint32_t i = 0; i < t->spec.copies && !ret; i++)
		if (off[i])
			ret = vd_file_write(t->file, buf, len, off[i], err);
	return ret;
}

/* Undo the freeze; after a failure the pages are dirty as before. */
static void
table_thaw(struct vd_table *t, struct batch *b, bool failed)
{
	for (size_t i = 0; i < b->n; i++) {
		struct page *p = b->pages[i];
		struct stripe *s = stripe_of(t, p->no);

		pthread_mutex_lock(&s->lock);
		p->frozen = false;
		free(p->snap);
		p->snap = NULL;
		if (failed && page_touch(t, p))
			p->frozen = true;	/* no memory: keep it pinned */
		pthread_mutex_unlock(&s->lock);
	}
	if (failed)
		atomic_fetch_add(&t->ndirty, b->entries);
	else
		atomic_fetch_sub(&t->host->dirty_entries, b->entries);
	free(b->pages);
}

static int
batch_write(struct vd_table *t, struct batch *b,
	    int (*between)(void *ctx, struct vd_err *), void *ctx,
	    struct vd_err *err)
{
	uint8_t *buf = malloc(page_bytes(t, 0));
	int ret = buf ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	if (!ret && between)
		ret = between(ctx, err);
	for (size_t i = 0; i < b->n && !ret; i++)
		ret = page_write(t, b->pages[i], buf, err);
	free(buf);
	return ret;
}

int
vd_table_sync(struct vd_table *t, int (*between)(void *ctx, struct vd_err *),
	      void *ctx, struct vd_err *err)
{
	struct batch b;
	uint64_t mark;
	int ret;

	pthread_mutex_lock(&t->sync_lock);
	/*
	 * The mark comes before the freeze: what was appended up to it is on
	 * pages that the freeze takes, with its entry already put.
	 */
	mark = t->journal ? vd_journal_mark(t->journal) : 0;
	table_freeze(t, &b);
#ifdef VD_WITHOUT_W1	/* make check-crash: does the campaign notice? */
	ret = 0;
#else
	ret = vd_file_sync(t->file, err);		/* W1: data first */
#endif
	if (!ret && b.n) {
		ret = batch_write(t, &b, between, ctx, err);
		if (!ret)
			ret = vd_file_sync(t->file, err);	/* W2 */
	}
	table_thaw(t, &b, ret != 0);
	if (!ret && t->journal)
		vd_journal_retire(t->journal, mark);
	pthread_mutex_unlock(&t->sync_lock);
	return ret;
}

void
vd_table_content(struct vd_table *t, const uint8_t content[32])
{
	memcpy(t->spec.content, content, sizeof(t->spec.content));
	if (t->journal)
		vd_journal_content(t->journal, content);
}

uint64_t
vd_table_dirty(struct vd_table *t)
{
	return atomic_load(&t->ndirty);
}
