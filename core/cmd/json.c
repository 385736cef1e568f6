/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * json.c - writing JSON to a stream, on one line, nothing kept in memory.
 */
#include <inttypes.h>
#include "cmd.h"
#include "json.h"

static void
begin(struct json *j, const char *key)
{
	if (j->more)
		fputs(", ", j->out);
	j->more = true;
	if (key) {
		cmd_json_string(j->out, key);
		fputs(": ", j->out);
	}
}

void
json_open(struct json *j, const char *key, char bracket)
{
	begin(j, key);
	putc(bracket, j->out);
	j->more = false;
}

void
json_close(struct json *j, char bracket)
{
	putc(bracket, j->out);
	j->more = true;
}

void
json_str(struct json *j, const char *key, const char *value)
{
	begin(j, key);
	cmd_json_string(j->out, value);
}

void
json_u64(struct json *j, const char *key, uint64_t value)
{
	begin(j, key);
	fprintf(j->out, "%" PRIu64, value);
}

void
json_bool(struct json *j, const char *key, bool value)
{
	begin(j, key);
	fputs(value ? "true" : "false", j->out);
}

void
json_null(struct json *j, const char *key)
{
	begin(j, key);
	fputs("null", j->out);
}
