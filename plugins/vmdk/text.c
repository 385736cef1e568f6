/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * text.c - the words and lines of a descriptor.
 *
 * Pure: nothing here allocates, and nothing depends on the locale.  The text
 * is a stranger's: it may lack its NUL, its newline, its quotes.
 */
#include <string.h>
#include "vmdk.h"

static bool
blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static struct vmdk_str
trim(struct vmdk_str s)
{
	while (s.n && blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool
vmdk_str_is(struct vmdk_str s, const char *word)
{
	size_t i;

	for (i = 0; i < s.n && word[i]; i++)
		if (lower(s.p[i]) != lower(word[i]))
			return false;
	return i == s.n && !word[i];
}

bool
vmdk_str_begins(struct vmdk_str s, const char *word)
{
	size_t n = strlen(word);

	if (s.n < n)
		return false;
	s.n = n;
	return vmdk_str_is(s, word);
}

char *
vmdk_str_copy(struct vmdk_str s, char *buf, size_t len)
{
	size_t n = s.n < len ? s.n : len - 1;

	if (n)
		memcpy(buf, s.p, n);
	buf[n] = '\0';
	return buf;
}

struct vmdk_str
vmdk_take_word(struct vmdk_str *s)
{
	struct vmdk_str w;
	const char *q;

	*s = trim(*s);
	w = *s;
	if (w.n && w.p[0] == '"') {
		w.p++;
		w.n--;
		q = w.n ? memchr(w.p, '"', w.n) : NULL;
		if (q)
			w.n = (size_t)(q - w.p);
		s->n -= w.n + 1 + (q != NULL);
		s->p += w.n + 1 + (q != NULL);
		return w;
	}
	for (w.n = 0; w.n < s->n && !blank(s->p[w.n]); w.n++)
		;
	s->p += w.n;
	s->n -= w.n;
	return w;
}

bool
vmdk_take_decimal(struct vmdk_str w, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	if (!w.n || w.n > 19)
		return false;
	for (i = 0; i < w.n; i++) {
		if (w.p[i] < '0' || w.p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(w.p[i] - '0');
	}
	*out = v;
	return true;
}

bool
vmdk_take_hex32(struct vmdk_str w, uint32_t *out)
{
	uint32_t v = 0;
	size_t i;

	if (!w.n || w.n > 8)
		return false;
	for (i = 0; i < w.n; i++) {
		char c = lower(w.p[i]);

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint32_t)(c - 'a' + 10);
		else
			return false;
	}
	*out = v;
	return true;
}

static bool
is_access(struct vmdk_str w)
{
	return vmdk_str_is(w, "RW") || vmdk_str_is(w, "RDONLY") ||
	       vmdk_str_is(w, "NOACCESS");
}

/* key = value; the value ends at its closing quote or with the line. */
static void
classify(struct vmdk_line *l)
{
	struct vmdk_str rest = l->text;
	const char *eq;

	l->kind = VMDK_LINE_BLANK;
	if (!rest.n || rest.p[0] == '#')
		return;
	l->kind = VMDK_LINE_EXTENT;
	if (is_access(vmdk_take_word(&rest)) && rest.n)
		return;
	l->kind = VMDK_LINE_UNKNOWN;
	eq = memchr(l->text.p, '=', l->text.n);
	if (!eq || eq == l->text.p)
		return;
	l->kind = VMDK_LINE_KEY;
	l->key = trim((struct vmdk_str){ l->text.p, (size_t)(eq - l->text.p) });
	rest = trim((struct vmdk_str){ eq + 1, l->text.n -
				       (size_t)(eq + 1 - l->text.p) });
	l->value = rest.n && rest.p[0] == '"' ? vmdk_take_word(&rest) : rest;
}

bool
vmdk_line_next(struct vmdk_cursor *c, struct vmdk_line *line)
{
	const char *p = c->text + c->next, *end;
	size_t left = c->len - c->next;

	if (!left || !*p)
		return false;
	for (end = p; end < p + left && *end && *end != '\n'; end++)
		;
	*line = (struct vmdk_line){ .pos = c->next };
	line->text = trim((struct vmdk_str){ p, (size_t)(end - p) });
	c->next += (size_t)(end - p);
	if (c->next < c->len && *end == '\n')
		c->next++;
	else			/* the last line */
		c->len = c->next;
	classify(line);
	return true;
}
