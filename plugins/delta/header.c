/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * header.c - the header slots: decode, check, encode.  Pure.
 */
#include <endian.h>
#include <stdio.h>
#include <string.h>
#include "delta.h"

/* A slot as in the file. */
struct slot {
	char		magic[8];
	uint32_t	version;
	uint32_t	unit;
	uint64_t	sequence;
	uint64_t	virtual_size;
	uint64_t	data_off;
	uint32_t	unclean;
	uint32_t	pad;
	uint8_t		id[16];
	uint8_t		content[16];
	uint64_t	parent_size;
	char		parent_format[16];
	char		parent_id[VD_ID_MAX];
	char		parent_content[VD_ID_MAX];
	char		parent_hint[VD_NAME_MAX];
	uint8_t		rest[DELTA_SLOT - 4336];
	uint64_t	checksum;	/* FNV-1a of all that is before it */
};

_Static_assert(sizeof(struct slot) == DELTA_SLOT, "a slot has 8 KiB");

/*
 * Tells a slot that was written whole from one that was not; it is no
 * protection against anybody.
 */
static uint64_t
fnv1a(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = 0xcbf29ce484222325u;

	while (len--)
		h = (h ^ *p++) * 0x100000001b3u;
	return h;
}

/* A text of the file may lack its NUL. */
static void
get_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%.*s", (int)size - 1, from);
}

enum delta_slot
delta_decode(const uint8_t *bytes, struct delta_header *h)
{
	struct slot s;

	memcpy(&s, bytes, sizeof(s));
	if (memcmp(s.magic, DELTA_MAGIC, 8))
		return DELTA_NONE;
	if (le64toh(s.checksum) != fnv1a(&s, offsetof(struct slot, checksum)) ||
	    le32toh(s.version) != DELTA_VERSION)
		return DELTA_BROKEN;
	memset(h, 0, sizeof(*h));
	h->sequence = le64toh(s.sequence);
	h->virtual_size = le64toh(s.virtual_size);
	h->data_off = le64toh(s.data_off);
	h->unit = le32toh(s.unit);
	h->unclean = le32toh(s.unclean);
	memcpy(h->id, s.id, 16);
	memcpy(h->content, s.content, 16);
	h->parent.size = sizeof(h->parent);
	h->parent.expected.size = sizeof(h->parent.expected);
	h->parent.expected.virtual_size = le64toh(s.parent_size);
	get_text(h->parent.format, sizeof(h->parent.format), s.parent_format);
	get_text(h->parent.expected.id, VD_ID_MAX, s.parent_id);
	get_text(h->parent.expected.content, VD_ID_MAX, s.parent_content);
	get_text(h->parent.hint, VD_NAME_MAX, s.parent_hint);
	return DELTA_GOOD;
}

void
delta_encode(const struct delta_header *h, uint8_t *bytes)
{
	struct slot s = {
		.version = htole32(DELTA_VERSION),
		.unit = htole32(h->unit),
		.sequence = htole64(h->sequence),
		.virtual_size = htole64(h->virtual_size),
		.data_off = htole64(h->data_off),
		.unclean = htole32(h->unclean),
		.parent_size = htole64(h->parent.expected.virtual_size),
	};

	memcpy(s.magic, DELTA_MAGIC, 8);
	memcpy(s.id, h->id, 16);
	memcpy(s.content, h->content, 16);
	memcpy(s.parent_format, h->parent.format, sizeof(s.parent_format));
	memcpy(s.parent_id, h->parent.expected.id, VD_ID_MAX);
	memcpy(s.parent_content, h->parent.expected.content, VD_ID_MAX);
	memcpy(s.parent_hint, h->parent.hint, VD_NAME_MAX);
	s.checksum = htole64(fnv1a(&s, offsetof(struct slot, checksum)));
	memcpy(bytes, &s, sizeof(s));
}

enum delta_slot
delta_choose(const uint8_t *buf, size_t len, struct delta_header *h)
{
	struct delta_header other;
	enum delta_slot a, b;

	if (len < 2 * DELTA_SLOT || memcmp(buf, DELTA_MAGIC, 8))
		return DELTA_NONE;
	a = delta_decode(buf, h);
	b = delta_decode(buf + DELTA_SLOT, &other);
	if (b == DELTA_GOOD && (a != DELTA_GOOD ||
				other.sequence > h->sequence)) {
		*h = other;
		a = DELTA_GOOD;
	}
	return a;
}

uint64_t
delta_units(const struct delta_header *h)
{
	return (h->virtual_size + h->unit - 1) / h->unit;
}

const char *
delta_wrong(const struct delta_header *h, uint64_t file_size)
{
	uint64_t words;

	if (h->unit < DELTA_UNIT_MIN || h->unit > DELTA_UNIT_MAX ||
	    (h->unit & (h->unit - 1)))
		return "the unit is no power of two from 4 KiB to 64 MiB";
	if (!h->virtual_size || (h->virtual_size & 511) ||
	    h->virtual_size > (uint64_t)1 << 62)
		return "the size is no number of sectors, or absurd";
	words = (delta_units(h) + DELTA_WORD - 1) / DELTA_WORD;
	/* The file's own size bounds what a table can make us allocate. */
	if (h->data_off > file_size ||
	    h->data_off % h->unit || h->data_off < DELTA_BITMAP ||
	    words > (h->data_off - DELTA_BITMAP) / 8)
		return "the bitmap does not fit between header and data";
	if (!h->parent.hint[0])
		return "no parent is named";
	return NULL;
}

/* The usual text of a UUID. */
void
delta_text(const uint8_t id[16], char out[VD_ID_MAX])
{
	char *p = out;

	for (int i = 0; i < 16; i++)
		p += sprintf(p, "%s%02x", i == 4 || i == 6 || i == 8 ||
			     i == 10 ? "-" : "", id[i]);
}

void
delta_content(const struct delta_header *h, uint8_t out[32])
{
	memcpy(out, h->id, 16);
	memcpy(out + 16, h->content, 16);
}
