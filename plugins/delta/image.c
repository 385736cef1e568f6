/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image.c - probe, open, close, and where a byte of the disk is.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "delta.h"

#define RUN_UNITS	(1u << 26)	/* looked at by one map call at most */

static enum vd_verdict
delta_probe(const struct vd_probe_in *in, struct vd_probe_out *out)
{
	struct delta_header h;
	enum delta_slot s;
	const char *wrong;

	if (in->head_len < 8 || memcmp(in->head, DELTA_MAGIC, 8))
		return VD_NOT_MINE;
	out->confidence = 100;
	snprintf(out->variant, sizeof(out->variant), "raw delta");
	s = delta_choose(in->head, in->head_len, &h);
	wrong = s != DELTA_GOOD ? "neither header slot is whole"
				: delta_wrong(&h, in->file_size);
	if (wrong) {
		snprintf(out->reason, sizeof(out->reason), "%s", wrong);
		out->reason_off = 0;
		return VD_MINE_BROKEN;
	}
	out->virtual_size = h.virtual_size;
	delta_text(h.id, out->id);
	out->ref(out, VD_REF_PARENT, h.parent.hint, strlen(h.parent.hint));
	if (h.unclean)
		out->warn(out, "was not closed by its last writer");
	return VD_MINE;
}

static void
locate(void *ctx, uint64_t page, uint64_t off[2])
{
	(void)ctx;
	off[0] = DELTA_BITMAP + page * DELTA_PAGE * 8;
	off[1] = 0;
}

static void
delta_free(struct delta *d)
{
	vd_table_close(d->table);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static int
read_header(struct delta *d, struct vd_err *err)
{
	uint8_t *buf = malloc(2 * DELTA_SLOT);
	const char *wrong = NULL;
	int ret = buf ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");

	if (!ret)
		ret = vd_file_read(d->file, buf, 2 * DELTA_SLOT, 0, err);
	if (!ret && delta_choose(buf, 2 * DELTA_SLOT, &d->h) != DELTA_GOOD)
		wrong = "neither header slot is whole";
	if (!ret && !wrong)
		wrong = delta_wrong(&d->h, vd_file_size(d->file));
	if (wrong)
		ret = vd_fail(err, EINVAL, 0, "damaged raw delta: %s", wrong);
	free(buf);
	return ret;
}

int
delta_open(struct vd_host *host, struct vd_file *file, unsigned flags,
	   struct vd_image_info *info, void **img, struct vd_err *err)
{
	struct delta *d = calloc(1, sizeof(*d));
	struct vd_table_spec spec = {
		.size = sizeof(spec), .entry_bytes = 8, .copies = 1,
		.page_entries = DELTA_PAGE, .locate = locate,
	};
	int ret;

	if (!d)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	pthread_mutex_init(&d->lock, NULL);
	d->file = file;
	d->rdonly = flags & VD_OPEN_RDONLY;
	ret = read_header(d, flags & VD_OPEN_CHECK ? NULL : err);
	if (flags & VD_OPEN_CHECK) {
		if (ret)		/* audit.c looks for itself */
			memset(&d->h, 0, sizeof(d->h));
		ret = 0;
	} else if (!ret) {
		d->units = delta_units(&d->h);
		spec.entries = (d->units + DELTA_WORD - 1) / DELTA_WORD;
		delta_content(&d->h, spec.content);
		ret = vd_table_open(host, file, &spec, &d->table, err);
	}
	if (ret) {
		vd_err_file(err, vd_file_name(file));
		delta_free(d);
		return ret;
	}
	info->virtual_size = d->h.virtual_size;
	info->unit = d->h.unit;
	info->flags = VD_IMG_CHILD | (d->h.unclean ? VD_IMG_UNCLEAN : 0);
	snprintf(info->variant, sizeof(info->variant), "raw delta");
	*img = d;
	return 0;
}

int
delta_close(void *img, struct vd_err *err)
{
	struct delta *d = img;
	int ret = 0;

	/* Entries that could not be written: the mark stays, too. */
	if (d->begun && !vd_table_dirty(d->table)) {
		d->h.unclean = 0;
		ret = delta_put_header(d, err);
	}
	delta_free(d);
	return ret;
}

/* Units from this one on that are (not) here; word: of the first. */
static uint64_t
run_of(struct delta *d, uint64_t unit, uint64_t most, uint64_t word)
{
	uint64_t in = unit % DELTA_WORD, n, at, words;
	uint64_t same = word >> in & 1 ? ~UINT64_C(0) : 0;
	uint64_t differ = (word ^ same) >> in;

	if (differ)
		return (uint64_t)__builtin_ctzll(differ);
	n = DELTA_WORD - in;
	if (n >= most)
		return n;
	at = (unit + n) / DELTA_WORD;
	words = vd_table_run(d->table, at, (most - n + DELTA_WORD - 1) /
			     DELTA_WORD, same, 0);
	n += words * DELTA_WORD;
	/* The one that ends the run has its first units in it. */
	if (n < most && !vd_table_get(d->table, at + words, &word, NULL) &&
	    word != same)
		n += (uint64_t)__builtin_ctzll(word ^ same);
	return n;
}

int
delta_map(void *img, uint64_t off, uint64_t len, struct vd_extent *ext,
	  struct vd_err *err)
{
	struct delta *d = img;
	uint64_t first = off / d->h.unit, last = (off + len - 1) / d->h.unit;
	uint64_t end, word, most = last - first + 1;
	bool here;
	int ret = vd_table_get(d->table, first / DELTA_WORD, &word, err);

	if (ret)
		return ret;
	if (most > RUN_UNITS)
		most = RUN_UNITS;
	here = word >> (first % DELTA_WORD) & 1;
	end = (first + run_of(d, first, most, word)) * d->h.unit;
	ext->len = end - off < len ? end - off : len;
	ext->kind = here ? VD_EXT_DATA : VD_EXT_HOLE;
	ext->file = here ? d->file : NULL;
	ext->host_off = here ? d->h.data_off + off : 0;
	ext->unit_off = first * d->h.unit;
	ext->unit_len = d->h.virtual_size - ext->unit_off < d->h.unit
		? d->h.virtual_size - ext->unit_off : d->h.unit;
	return 0;
}

int
delta_identity(void *img, struct vd_identity *id, struct vd_err *err)
{
	struct delta *d = img;

	(void)err;
	id->virtual_size = d->h.virtual_size;
	delta_text(d->h.id, id->id);
	delta_text(d->h.content, id->content);
	return 0;
}

int
delta_parent(void *img, struct vd_parent *p, struct vd_err *err)
{
	struct delta *d = img;

	(void)err;
	*p = d->h.parent;
	return 0;
}

int
delta_match(void *img, const char *format, const struct vd_identity *id,
	    struct vd_err *err)
{
	const struct delta *d = img;
	const struct vd_parent *p = &d->h.parent;

	if (p->format[0] && strcasecmp(p->format, format))
		return vd_fail(err, ESTALE, VD_NOWHERE, "its parent is a %s "
			       "image, not %s", p->format, format);
	if (p->expected.virtual_size != id->virtual_size)
		return vd_fail(err, ESTALE, VD_NOWHERE, "its parent had %"
			       PRIu64 " bytes, not %" PRIu64,
			       p->expected.virtual_size, id->virtual_size);
	if (strcasecmp(p->expected.id, id->id))
		return vd_fail(err, ESTALE, VD_NOWHERE, "its parent is {%s}, "
			       "not {%s}", p->expected.id, id->id);
	if (strcasecmp(p->expected.content, id->content))
		return vd_fail(err, ESTALE, VD_NOWHERE, "its parent was "
			       "changed since: content %s, expected %s",
			       id->content, p->expected.content);
	return 0;
}

int
delta_info(void *img, struct vd_info_out *out, struct vd_err *err)
{
	const struct delta *d = img;
	char text[VD_ID_MAX];

	(void)err;
	delta_text(d->h.id, text);
	out->add(out, "id", text);
	delta_text(d->h.content, text);
	out->add(out, "content", text);
	out->add(out, "parent", d->h.parent.hint);
	out->add(out, "parent-format", d->h.parent.format);
	out->add(out, "parent-id", d->h.parent.expected.id);
	out->add(out, "parent-content", d->h.parent.expected.content);
	return 0;
}

static const char *const extensions[] = { "delta", NULL };

static const struct vd_format delta_format = {
	VD_FORMAT_INIT,
	.name = "delta",
	.summary = "raw delta: the child of a raw disk, or of any other",
	.extensions = extensions,
	.probe = delta_probe,
	.open = delta_open,
	.close = delta_close,
	.map = delta_map,
	.begin_write = delta_begin_write,
	.allocate = delta_allocate,
	.commit = delta_commit,
	.zero = delta_zero,
	.discard = delta_discard,
	.sync = delta_sync,
	.create_child = delta_create_child,
	.identity = delta_identity,
	.parent = delta_parent,
	.match_parent = delta_match,
	.relink = delta_relink,
	.info = delta_info,
	.check = delta_check,
	.repair = delta_repair,
};

const struct vd_format *
vd_module(void)
{
	return &delta_format;
}
