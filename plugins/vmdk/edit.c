/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * edit.c - change one value of a descriptor and nothing else.
 *
 * VMware writes the whole text anew from a pattern of its own.  We do not know
 * what the owner's other programs keep in there: order, comments and lines
 * that we do not understand stay as they are.
 */
#include <errno.h>
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
