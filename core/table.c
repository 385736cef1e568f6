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
#define PAGES_MAX	(1u << 22)
#define WRITE_RUN	(64u << 10)	/* pages side by side go in one write */

_Thread_local bool vd_nowait;

struct page {
	struct vd_kept	kept;		/* first */
	uint64_t	no;
	bool		dirty;		/* on the dirty list */
	bool		frozen;		/* being written by a sync */
	uint8_t	       *snap;		/* as frozen, if changed since */
	_Alignas(8) uint8_t raw[];	/* as in the file */
};

struct vd_table {
	struct vd_keeper keeper;	/* first */
	struct vd_host *host;
	struct vd_file *file;
	struct vd_table_spec spec;
	uint64_t	npages;
	_Atomic(struct page *) *pages;
	/* For changes, and to load a page; a lookup takes none. */
	pthread_mutex_t	stripes[STRIPES];
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

/* Entries are read while others are set: each is one load, one store. */
static uint64_t
entry_get(const struct vd_table *t, const uint8_t *raw, size_t i)
{
	if (t->spec.entry_bytes == 8)
		return le64toh(__atomic_load_n((const uint64_t *)raw + i,
					       __ATOMIC_ACQUIRE));
	return le32toh(__atomic_load_n((const uint32_t *)raw + i,
				       __ATOMIC_ACQUIRE));
}

static void
entry_put(const struct vd_table *t, uint8_t *raw, size_t i, uint64_t v)
{
	if (t->spec.entry_bytes == 8)
		__atomic_store_n((uint64_t *)raw + i, htole64(v),
				 __ATOMIC_RELEASE);
	else
		__atomic_store_n((uint32_t *)raw + i, htole32((uint32_t)v),
				 __ATOMIC_RELEASE);
}

static pthread_mutex_t *
stripe_of(struct vd_table *t, uint64_t page)
{
	return &t->stripes[page % STRIPES];
}

static bool
drop_page(struct vd_keeper *keeper, struct vd_kept *kept)
{
	struct vd_table *t = (struct vd_table *)keeper;
	struct page *p = (struct page *)kept;
	pthread_mutex_t *lock = stripe_of(t, p->no);
	bool may;

	pthread_mutex_lock(lock);
	may = !p->dirty && !p->frozen;
	if (may)
		atomic_store(&t->pages[p->no], NULL);
	pthread_mutex_unlock(lock);
	return may;
}

static int
page_read(struct vd_table *t, uint64_t no, uint64_t off, struct page **out,
	  struct vd_err *err)
{
	size_t len = page_bytes(t, no);
	struct page *p = malloc(sizeof(*p) + len);
	int ret;

	if (!p)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory for a "
			       "table page");
	memset(p, 0, sizeof(*p));
	p->kept.keeper = &t->keeper;
	p->kept.bytes = sizeof(*p) + len + 16;
	p->no = no;
	ret = vd_file_read(t->file, p->raw, len, off, err);
	if (ret)
		free(p);
	else
		*out = p;
	return ret;
}

/*
 * The page, loaded; NULL with 0 when the file has no such page.  Called under
 * the stripe's lock; *fresh is for vd_cache_add(), once that is given up.
 */
static int
page_get(struct vd_table *t, uint64_t no, struct page **out,
	 struct vd_kept **fresh, struct vd_err *err)
{
	uint64_t off[2] = { 0, 0 };
	int ret;

	*out = atomic_load(&t->pages[no]);
	if (*out) {
		vd_cache_touch(&(*out)->kept);
		return 0;
	}
	t->spec.locate(t->spec.ctx, no, off);
	if (!off[0])
		return 0;
	if (vd_nowait)
		return -EAGAIN;
	ret = page_read(t, no, off[0], out, err);
	if (!ret) {
		atomic_store(&t->pages[no], *out);
		*fresh = &(*out)->kept;
	}
	return ret;
}

/* How many of n entries are value, value + step, ... */
static uint64_t
run_in(const struct vd_table *t, const uint8_t *raw, uint64_t from, uint64_t n,
       uint64_t value, uint64_t step)
{
	uint64_t i = 0;

	while (i < n && entry_get(t, raw, from + i) == value + i * step)
		i++;
	return i;
}

/* What to ask of one page. */
struct look {
	uint64_t	no, in;		/* page, entry in it */
	uint64_t	value, step, n;	/* for a run; n is 0: the value */
	bool		absent;		/* answered: there is no such page */
};

static void
look_at(const struct vd_table *t, const struct page *p, struct look *l)
{
	if (l->n)
		l->n = run_in(t, p->raw, l->in, l->n, l->value, l->step);
	else
		l->value = entry_get(t, p->raw, l->in);
}

/* The page is not in memory, or was not a moment ago. */
static int
look_slowly(struct vd_table *t, struct look *l, struct vd_err *err)
{
	pthread_mutex_t *lock = stripe_of(t, l->no);
	struct vd_kept *fresh = NULL;
	struct page *p;
	int ret;

	pthread_mutex_lock(lock);
	ret = page_get(t, l->no, &p, &fresh, err);
	if (!ret && p)
		look_at(t, p, l);
	pthread_mutex_unlock(lock);
	vd_cache_add(t->host->cache, fresh);
	if (ret || p)
		return ret;
	l->absent = true;
	if (!l->n)
		l->value = t->spec.absent;
	else if (l->step || l->value != t->spec.absent)
		l->n = 0;
	return 0;
}

static int
look(struct vd_table *t, struct look *l, struct vd_err *err)
{
	unsigned token = vd_read_begin(t->host->cache);
	struct page *p = atomic_load(&t->pages[l->no]);

	if (p) {
		look_at(t, p, l);
		vd_cache_touch(&p->kept);
	}
	vd_read_end(t->host->cache, token);
	return p ? 0 : look_slowly(t, l, err);
}

int
vd_table_get(struct vd_table *t, uint64_t entry, uint64_t *value,
	     struct vd_err *err)
{
	struct look l = { .no = entry / t->spec.page_entries,
			  .in = entry % t->spec.page_entries };
	int ret;

	if (entry >= t->spec.entries)
		return vd_fail(err, ERANGE, VD_NOWHERE, "table entry %" PRIu64
			       " of %" PRIu64, entry, t->spec.entries);
	ret = look(t, &l, err);
	if (!ret)
		*value = l.value;
	return ret;
}

uint64_t
vd_table_run(struct vd_table *t, uint64_t entry, uint64_t max, uint64_t value,
	     uint64_t step)
{
	uint64_t done = 0, ask;

	if (entry >= t->spec.entries)
		return 0;
	if (max > t->spec.entries - entry)
		max = t->spec.entries - entry;
	while (done < max) {
		struct look l = { .no = (entry + done) / t->spec.page_entries,
				  .in = (entry + done) % t->spec.page_entries,
				  .value = value + done * step, .step = step };

		ask = t->spec.page_entries - l.in;
		l.n = ask < max - done ? ask : max - done;
		ask = l.n;
		if (look(t, &l, NULL))
			break;
		done += l.n;
		if (l.n < ask)
			break;
	}
	return done;
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
	if (!ret) {
		t->dirty[t->ndirty_pages++] = p;
		atomic_fetch_add(&t->host->dirty_bytes, p->kept.bytes);
	}
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
	pthread_mutex_t *lock = stripe_of(t, no);
	struct vd_kept *fresh = NULL;
	struct page *p;
	int ret;

	pthread_mutex_lock(lock);
	ret = page_get(t, no, &p, &fresh, err);
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
	pthread_mutex_unlock(lock);
	vd_cache_add(t->host->cache, fresh);
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
	t->keeper.drop = drop_page;
	for (unsigned i = 0; i < STRIPES; i++)
		pthread_mutex_init(&t->stripes[i], NULL);
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
	if (!h->cache) {
		h->cache = vd_cache_new(0);
		h->own_cache = true;
	}
	ret = t->pages && h->cache ? table_recover(t, err)
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
	for (size_t i = 0; i < t->ndirty_pages; i++)
		atomic_fetch_sub(&t->host->dirty_bytes,
				 t->dirty[i]->kept.bytes);
	if (t->host->cache)
		vd_cache_forget(t->host->cache, &t->keeper);
	for (uint64_t i = 0; t->pages && i < t->npages; i++) {
		struct page *p = atomic_load(&t->pages[i]);

		if (p)
			free(p->snap);
		free(p);
	}
	for (unsigned i = 0; i < STRIPES; i++)
		pthread_mutex_destroy(&t->stripes[i]);
	pthread_mutex_destroy(&t->dirty_lock);
	pthread_mutex_destroy(&t->sync_lock);
	free(t->dirty);
	free(t->pages);
	free(t);
}

/* The pages one sync writes, in the order of the table. */
struct batch {
	struct page   **pages;
	size_t		n;
	unsigned long	entries;
};

static int
by_number(const void *a, const void *b)
{
	uint64_t x = (*(struct page *const *)a)->no;
	uint64_t y = (*(struct page *const *)b)->no;

	return x < y ? -1 : x > y;
}

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
		pthread_mutex_t *lock = stripe_of(t, b->pages[i]->no);

		pthread_mutex_lock(lock);
		b->pages[i]->dirty = false;
		b->pages[i]->frozen = true;
		pthread_mutex_unlock(lock);
	}
	if (b->n)
		qsort(b->pages, b->n, sizeof(*b->pages), by_number);
}

/* The frozen picture of a page, and its places. */
static size_t
page_picture(struct vd_table *t, struct page *p, uint8_t *buf, uint64_t off[2])
{
	pthread_mutex_t *lock = stripe_of(t, p->no);
	size_t len = page_bytes(t, p->no);

	off[0] = off[1] = 0;
	pthread_mutex_lock(lock);
	memcpy(buf, p->snap ? p->snap : p->raw, len);
	t->spec.locate(t->spec.ctx, p->no, off);
	pthread_mutex_unlock(lock);
	return len;
}

/* As many pages as lie side by side, to all their places; *i: the next. */
static int
run_write(struct vd_table *t, struct batch *b, size_t *i, uint8_t *buf,
	  struct vd_err *err)
{
	uint64_t at[2], off[2];
	size_t len = page_picture(t, b->pages[(*i)++], buf, at);
	int ret = 0;

	while (*i < b->n && len + page_bytes(t, 0) <= WRITE_RUN) {
		size_t more = page_picture(t, b->pages[*i], buf + len, off);

		if (off[0] != at[0] + len ||
		    off[1] != (at[1] ? at[1] + len : 0))
			break;
		len += more;
		++*i;
	}
	for (uint32_t c = 0; c < t->spec.copies && !ret; c++)
		if (at[c])
			ret = vd_file_write(t->file, buf, len, at[c], err);
	return ret;
}

/* Undo the freeze; after a failure the pages are dirty as before. */
static void
table_thaw(struct vd_table *t, struct batch *b, bool failed)
{
	for (size_t i = 0; i < b->n; i++) {
		struct page *p = b->pages[i];
		pthread_mutex_t *lock = stripe_of(t, p->no);
		size_t bytes = p->kept.bytes;

		pthread_mutex_lock(lock);
		p->frozen = false;
		free(p->snap);
		p->snap = NULL;
		if (failed && page_touch(t, p))
			p->frozen = true;	/* no memory: keep it pinned */
		pthread_mutex_unlock(lock);
		atomic_fetch_sub(&t->host->dirty_bytes, bytes);
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
	uint8_t *buf = malloc(page_bytes(t, 0) + WRITE_RUN);
	int ret = buf ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	if (!ret && between)
		ret = between(ctx, err);
	for (size_t i = 0; i < b->n && !ret; )
		ret = run_write(t, b, &i, buf, err);
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
	/* Retired before they are off the count that keeps it from filling. */
	if (!ret && t->journal)
		vd_journal_retire(t->journal, mark);
	table_thaw(t, &b, ret != 0);
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
