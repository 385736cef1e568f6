/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pack.c - the bytes of a disk from the first to the last, zeros too.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "raw.h"

#define PIECE	(1u << 20)

struct piece {
	uint64_t	off, len;
	bool		zero;
	uint8_t	       *buf;
};

struct pack {
	const struct vd_source *src;
	const struct vd_sink *to;
	uint64_t	size, next;
	unsigned	npieces;
	struct piece   *pieces;
	uint8_t	       *zeros;		/* PIECE of them */
};

static int
take(void *ctx, unsigned slot, struct vd_err *err)
{
	struct pack *p = ctx;
	struct piece *i = &p->pieces[slot];
	uint64_t left = p->size - p->next;
	int ret;

	if (!left)
		return 0;
	i->off = p->next;
	ret = p->src->run(p->src->ctx, i->off, left, &i->len, &i->zero, err);
	if (i->len > PIECE - i->off % PIECE)
		i->len = PIECE - i->off % PIECE;
	p->next += i->len;
	return ret ? ret : 1;
}

static int
work(void *ctx, unsigned slot, struct vd_err *err)
{
	struct pack *p = ctx;
	struct piece *i = &p->pieces[slot];

	return i->zero ? 0 : p->src->read(p->src->ctx, i->buf, i->off, i->len,
					  err);
}

static int
give(void *ctx, unsigned slot, struct vd_err *err)
{
	struct pack *p = ctx;
	struct piece *i = &p->pieces[slot];
	int ret = p->to->put(p->to->ctx, i->zero ? p->zeros : i->buf, i->len,
			     err);

	return ret ? ret : p->src->passed(p->src->ctx, i->zero ? NULL : i->buf,
					  i->off, i->len, err);
}

static int
prepare(struct pack *p, struct vd_err *err)
{
	bool whole;

	p->npieces = 4 * vd_lanes_threads(0) + 8;
	p->pieces = calloc(p->npieces, sizeof(*p->pieces));
	p->zeros = calloc(1, PIECE);
	whole = p->pieces && p->zeros;
	for (unsigned n = 0; whole && n < p->npieces; n++) {
		p->pieces[n].buf = malloc(PIECE);
		whole = p->pieces[n].buf;
	}
	return whole ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
}

int
raw_pack(const char *name, const struct vd_create *c,
	 const struct vd_source *src, const struct vd_sink *to,
	 struct vd_err *err)
{
	struct pack p = { .src = src, .to = to, .size = c->virtual_size };
	struct vd_lanes l = {
		.size = sizeof(l),
		.ctx = &p,
		.take = take, .work = work, .give = give,
	};
	int ret = 0;

	(void)name;
	if (c->variant && strcmp(c->variant, "raw"))
		ret = vd_fail(err, EINVAL, VD_NOWHERE, "raw has no variant %s",
			      c->variant);
	if (!ret)
		ret = prepare(&p, err);
	l.slots = p.npieces;
	if (!ret)
		ret = vd_in_order(&l, err);
	for (unsigned n = 0; p.pieces && n < p.npieces; n++)
		free(p.pieces[n].buf);
	free(p.pieces);
	free(p.zeros);
	return ret;
}
