/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * json.h - writing JSON to a stream, on one line, nothing kept in memory.
 *
 * key is NULL inside an array and at the top.  Strings may hold any bytes:
 * see cmd_json_string().
 */
#ifndef VD_JSON_H
#define VD_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
	FILE	       *out;
	bool		more;	/* a comma is due before the next value */
};

/* bracket: '{' or '['; the matching one ends it. */
void	json_open(struct json *j, const char *key, char bracket);
void	json_close(struct json *j, char bracket);
void	json_str(struct json *j, const char *key, const char *value);
void	json_u64(struct json *j, const char *key, uint64_t value);
void	json_bool(struct json *j, const char *key, bool value);
void	json_null(struct json *j, const char *key);

#endif
