/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * edit.c - change one value of a descriptor and nothing else.
 *
 * VMware writes the whole text anew from a pattern of its own.  We do not know
 * what the owner's other programs keep in there: order, comments and lines
 * that we do not understand stay as they are.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "vmdk.h"

/*
 * Where a new line goes: after "version=", which must stay the first; a parent
 * behind createType, where everybody has it.
 */
static size_t
insert_at(const char *text, size_t len, const char *key)
{
	struct vmdk_cursor c = { text, len, 0 };
	struct vmdk_line l;
	bool ddb = !strncmp(key, "ddb.", 4);
	bool hint = !strcmp(key, "parentFileNameHint");
	size_t at = 0;

	while (vmdk_line_next(&c, &l))
		if (ddb || (l.kind == VMDK_LINE_KEY &&
			    (vmdk_str_is(l.key, "version") ||
			     (hint && vmdk_str_is(l.key, "createType")))))
			at = c.next;
	return at;
}

/* Replace old bytes at pos by new ones; the tail moves, NULs behind it. */
static int
splice(char *text, size_t *len, size_t room, size_t pos, size_t old,
       const char *new, size_t n, struct vd_err *err)
{
	if (*len - old + n > room)
		return vd_fail(err, ENOSPC, VD_NOWHERE, "the descriptor has "
			       "no room for the change");
	memmove(text + pos + n, text + pos + old, *len - pos - old);
	memcpy(text + pos, new, n);
	*len = *len - old + n;
	if (n < old)
		memset(text + *len, 0, old - n);
	return 0;
}

int
vmdk_desc_set(char *text, size_t *len, size_t room, const char *key,
	      const char *value, bool quoted, struct vd_err *err)
{
	struct vmdk_cursor c = { text, *len, 0 };
	struct vmdk_line l;
	char line[VD_NAME_MAX + 64];
	size_t pos, n;
	bool ddb = !strncmp(key, "ddb.", 4), found = false;
	int ret = 0;

	while (!ret && vmdk_line_next(&c, &l)) {
		if (l.kind != VMDK_LINE_KEY || !vmdk_str_is(l.key, key))
			continue;
		found = true;
		pos = (size_t)(l.value.p - text);
		ret = splice(text, len, room, pos, l.value.n, value,
			     strlen(value), err);
		/* Given twice: keep both alike.  Go on behind this line. */
		c.next = pos + strlen(value);
		while (c.next < *len && text[c.next] != '\n')
			c.next++;
		c.len = *len;
	}
	if (found || ret)
		return ret;
	pos = insert_at(text, *len, key);
	n = (size_t)snprintf(line, sizeof(line), "%s%s%s%s%s%s\n",
			     pos && text[pos - 1] != '\n' ? "\n" : "", key,
			     ddb ? " = " : "=", quoted ? "\"" : "", value,
			     quoted ? "\"" : "");
	if (n >= sizeof(line))
		return vd_fail(err, EINVAL, VD_NOWHERE, "value too long");
	return splice(text, len, room, pos, 0, line, n, err);
}

/* The i-th extent line, from 0 on. */
static bool
find_extent(const char *text, size_t len, unsigned i, struct vmdk_cursor *c,
	    struct vmdk_line *l)
{
	*c = (struct vmdk_cursor){ text, len, 0 };
	while (vmdk_line_next(c, l))
		if (l->kind == VMDK_LINE_EXTENT && !i--)
			return true;
	return false;
}

/* sectors == 0: the line goes. */
int
vmdk_desc_set_extent(char *text, size_t *len, size_t room, unsigned i,
		     uint64_t sectors, struct vd_err *err)
{
	struct vmdk_cursor c;
	struct vmdk_line l;
	struct vmdk_str rest, w;
	char word[24];

	if (!find_extent(text, *len, i, &c, &l))
		return vd_fail(err, EINVAL, VD_NOWHERE, "no extent %u in the "
			       "descriptor", i);
	if (!sectors)
		return splice(text, len, room, l.pos, c.next - l.pos, "", 0,
			      err);
	rest = l.text;
	vmdk_take_word(&rest);
	w = vmdk_take_word(&rest);
	snprintf(word, sizeof(word), "%" PRIu64, sectors);
	return splice(text, len, room, (size_t)(w.p - text), w.n, word,
		      strlen(word), err);
}

/* One more line behind the last one. */
int
vmdk_desc_add_extent(char *text, size_t *len, size_t room, const char *line,
		     struct vd_err *err)
{
	struct vmdk_cursor c = { text, *len, 0 };
	struct vmdk_line l;
	size_t at = 0;

	while (vmdk_line_next(&c, &l))
		if (l.kind == VMDK_LINE_EXTENT)
			at = c.next;
	if (at && text[at - 1] != '\n') {
		int ret = splice(text, len, room, at++, 0, "\n", 1, err);

		if (ret)
			return ret;
	}
	return splice(text, len, room, at, 0, line, strlen(line), err);
}

/* Take lines away, byte for byte in place: what was a key is a comment now. */
void
vmdk_desc_drop(char *text, size_t len, const char *key)
{
	struct vmdk_cursor c = { text, len, 0 };
	struct vmdk_line l;

	while (vmdk_line_next(&c, &l))
		if (l.kind == VMDK_LINE_KEY && vmdk_str_is(l.key, key))
			text[l.key.p - text] = '#';
}
