/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * input.c - an input as bytes, and as what it describes.
 */
#include <string.h>
#include "fuzz.h"

struct cursor {
	const uint8_t  *p;
	size_t		left;
};

static uint64_t
take(struct cursor *c, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes && c->left; i++, c->p++, c->left--)
		v |= (uint64_t)*c->p << 8 * i;
	return v;
}

/* A name is one word in our own folder, whatever the bytes say. */
static void
take_name(struct cursor *c, char name[FZ_NAME], unsigned number)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz0123456789.-@_";
	size_t n = take(c, 1) % FZ_NAME;

	memset(name, 0, FZ_NAME);
	for (size_t i = 0; i < n; i++) {
		char ch = (char)take(c, 1);

		name[i] = ch && strchr(good, ch) ? ch : '_';
	}
	if (!name[0] || name[0] == '.')
		name[0] = (char)('a' + number);
}

uint8_t *
fz_take(struct fz_input *z, size_t n)
{
	uint8_t *p = z->room + z->used;

	if (n > FZ_ROOM - z->used)
		return NULL;
	z->used += n;
	return p;
}

struct fz_region *
fz_add(struct fz_input *z, struct fz_file *f, uint64_t off, uint32_t len,
       size_t n)
{
	struct fz_region *r = &f->region[f->nregions];
	uint8_t *data;

	if (f->nregions == FZ_REGIONS || !n || n > 65535 ||
	    len > FZ_FILL_MAX || !(data = fz_take(z, n)))
		return NULL;
	*r = (struct fz_region){ off, len < n ? (uint32_t)n : len,
				 (uint32_t)n, data };
	memset(data, 0, n);
	f->nregions++;
	return r;
}

static void
take_file(struct fz_input *z, struct cursor *c, struct fz_file *f,
	  unsigned number)
{
	unsigned regions;

	take_name(c, f->name, number);
	f->size = take(c, 8) & INT64_MAX;
	f->nregions = 0;
	regions = (unsigned)take(c, 2);
	while (regions-- && c->left) {
		uint64_t off = take(c, 8) & INT64_MAX;
		uint32_t len = (uint32_t)take(c, 4) % (FZ_FILL_MAX + 1);
		size_t n = take(c, 2);
		struct fz_region *r;

		if (n > c->left)
			n = c->left;
		r = fz_add(z, f, off, len, n);
		if (r)
			memcpy(r->data, c->p, n);
		c->p += n;
		c->left -= n;
	}
}

static void
load_plain(struct fz_input *z, struct cursor *c, const char *name)
{
	struct fz_file *f = &z->file[0];
	struct fz_region *r;

	z->nfiles = 1;
	strncpy(f->name, name, FZ_NAME - 1);
	f->size = c->left;
	for (uint64_t off = 0; c->left; off += r->n) {
		r = fz_add(z, f, off, 0, c->left < 4096 ? c->left : 4096);
		if (!r)
			break;
		memcpy(r->data, c->p, r->n);
		c->p += r->n;
		c->left -= r->n;
	}
}

void
fz_load(struct fz_input *z, const uint8_t *data, size_t len, const char *name)
{
	struct cursor c = { data, len };

	z->nfiles = z->nrequests = 0;
	z->used = 0;
	z->how = 0;
	for (unsigned i = 0; i < FZ_FILES; i++) {
		memset(z->file[i].name, 0, FZ_NAME);
		z->file[i].size = z->file[i].nregions = 0;
	}
	if (len < 8 || memcmp(data, "vf1\n", 4)) {
		load_plain(z, &c, name);
		return;
	}
	take(&c, 4);
	z->nfiles = 1 + ((unsigned)take(&c, 1) + FZ_FILES - 1) % FZ_FILES;
	z->how = (uint8_t)take(&c, 1);
	z->nrequests = (unsigned)take(&c, 1) % (FZ_REQUESTS + 1);
	take(&c, 1);
	for (unsigned i = 0; i < z->nfiles; i++)
		take_file(z, &c, &z->file[i], i);
	for (unsigned i = 0; i < z->nrequests; i++) {
		struct fz_request *q = &z->request[i];

		q->what = (uint8_t)take(&c, 1);
		q->value = (uint8_t)take(&c, 1);
		q->len = (uint16_t)take(&c, 2);
		q->where = (uint32_t)take(&c, 4);
	}
}

/* ---------------------------------------------------------------- as bytes */

struct writer {
	uint8_t	       *p;
	size_t		left;
	bool		full;
};

static void
put(struct writer *w, uint64_t v, unsigned bytes)
{
	if (w->left < bytes) {
		w->full = true;
		return;
	}
	for (unsigned i = 0; i < bytes; i++, v >>= 8)
		*w->p++ = (uint8_t)v;
	w->left -= bytes;
}

static void
put_bytes(struct writer *w, const void *buf, size_t len)
{
	if (w->left < len) {
		w->full = true;
		return;
	}
	memcpy(w->p, buf, len);
	w->p += len;
	w->left -= len;
}

size_t
fz_save(const struct fz_input *z, uint8_t *out, size_t room)
{
	struct writer w = { out, room, false };

	put_bytes(&w, "vf1\n", 4);
	put(&w, z->nfiles, 1);
	put(&w, z->how, 1);
	put(&w, z->nrequests, 1);
	put(&w, 0, 1);
	for (unsigned i = 0; i < z->nfiles; i++) {
		const struct fz_file *f = &z->file[i];

		put(&w, strlen(f->name), 1);
		put_bytes(&w, f->name, strlen(f->name));
		put(&w, f->size, 8);
		put(&w, f->nregions, 2);
		for (unsigned k = 0; k < f->nregions; k++) {
			put(&w, f->region[k].off, 8);
			put(&w, f->region[k].len, 4);
			put(&w, f->region[k].n, 2);
			put_bytes(&w, f->region[k].data, f->region[k].n);
		}
	}
	for (unsigned i = 0; i < z->nrequests; i++) {
		put(&w, z->request[i].what, 1);
		put(&w, z->request[i].value, 1);
		put(&w, z->request[i].len, 2);
		put(&w, z->request[i].where, 4);
	}
	return w.full ? 0 : room - w.left;
}

/* ------------------------------------------------------- bytes of one file */

/* Later regions lie over earlier ones. */
void
fz_peek(const struct fz_file *f, uint64_t off, void *buf, size_t len)
{
	uint8_t *out = buf;

	memset(buf, 0, len);
	for (unsigned k = 0; k < f->nregions; k++) {
		const struct fz_region *r = &f->region[k];
		uint64_t from = off > r->off ? off : r->off;
		uint64_t to = off + len < r->off + r->len
			? off + len : r->off + r->len;

		if (r->len == r->n && from < to)
			memcpy(out + (from - off), r->data + (from - r->off),
			       to - from);
		else for (; from < to; from++)
			out[from - off] = r->data[(from - r->off) % r->n];
	}
}

/* In place where one region holds it all and shows it once. */
bool
fz_poke(struct fz_input *z, struct fz_file *f, uint64_t off, const void *buf,
	size_t len)
{
	struct fz_region *r;

	for (unsigned k = f->nregions; k--; ) {
		r = &f->region[k];
		if (off >= r->off + r->len || off + len <= r->off)
			continue;
		if (r->len == r->n && off >= r->off &&
		    off + len <= r->off + r->n) {
			memcpy(r->data + (off - r->off), buf, len);
			return true;
		}
		break;
	}
	r = fz_add(z, f, off, (uint32_t)len, len);
	if (r)
		memcpy(r->data, buf, len);
	return r != NULL;
}

bool
fz_put(struct fz_input *z, struct fz_file *f, uint64_t off, uint64_t v,
       unsigned bytes)
{
	uint8_t b[8];

	for (unsigned i = 0; i < 8; i++, v >>= 8)
		b[i] = (uint8_t)v;
	return fz_poke(z, f, off, b, bytes);
}
