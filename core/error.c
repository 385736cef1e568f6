/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * error.c - the error object: first failure wins, NULL is allowed.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <vdisk/error.h>

int
vd_fail(struct vd_err *err, int code, uint64_t off, const char *fmt, ...)
{
	va_list ap;

	if (code == 0)
		code = 5;	/* EIO: a failure always has a number */
	if (code < 0)
		code = -code;
	if (err && !err->code) {
		err->code = code;
		err->off = off;
		va_start(ap, fmt);
		vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
		va_end(ap);
	}
	return -code;
}

void
vd_err_file(struct vd_err *err, const char *file)
{
	if (err && err->code && !err->file[0] && file)
		snprintf(err->file, sizeof(err->file), "%s", file);
}

void
vd_err_help(struct vd_err *err, const char *fmt, ...)
{
	va_list ap;

	if (!err || !err->code || err->help[0])
		return;
	va_start(ap, fmt);
	vsnprintf(err->help, sizeof(err->help), fmt, ap);
	va_end(ap);
}

void
vd_err_clear(struct vd_err *err)
{
	if (err)
		memset(err, 0, sizeof(*err));
}

/* Append src to buf at *at; control characters become \xNN. */
static void
put(char *buf, size_t len, size_t *at, const char *src)
{
	for (; *src && *at + 5 < len; src++) {
		unsigned char c = (unsigned char)*src;

		if (c < 0x20 || c == 0x7f)
			*at += (size_t)snprintf(buf + *at, len - *at,
						"\\x%02x", c);
		else
			buf[(*at)++] = (char)c;
	}
	if (len)
		buf[*at < len ? *at : len - 1] = '\0';
}

char *
vd_err_text(const struct vd_err *err, char *buf, size_t len)
{
	char place[48];
	size_t at = 0;

	if (len)
		buf[0] = '\0';
	if (!err || !err->code) {
		put(buf, len, &at, "no error");
		return buf;
	}
	if (err->file[0]) {
		put(buf, len, &at, err->file);
		put(buf, len, &at, ": ");
	}
	put(buf, len, &at, err->msg);
	if (err->off != VD_NOWHERE) {
		snprintf(place, sizeof(place), " (byte 0x%" PRIx64 ")",
			 err->off);
		put(buf, len, &at, place);
	}
	if (err->help[0] && at + 12 < len) {
		memcpy(buf + at, "\n        ", 10);
		at += 9;
		put(buf, len, &at, err->help);
	}
	return buf;
}
