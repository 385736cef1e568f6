/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cmd.c - what every program of vdisk shares: exit codes, errors, sizes, JSON.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <vdisk/vdisk.h>
#include "cmd.h"

static const char *program = "vdisk";

/* Each image of a chain is an open file; 1024 is the usual soft limit. */
static void
raise_files(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur >= r.rlim_max)
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

void
cmd_init(const char *name)
{
	program = name;
	raise_files();
}

const char *
cmd_name(void)
{
	return program;
}

/* ----------------------------------------------------------------- errors */

/* Lines after the first are indented to where the first sentence begins. */
static void
print_lines(const char *text)
{
	int indent = (int)strlen(program) + 2;

	fflush(stdout);
	fprintf(stderr, "%s: ", program);
	for (; *text; text++) {
		putc(*text, stderr);
		if (*text == '\n' && text[1]) {
			fprintf(stderr, "%*s", indent, "");
			while (text[1] == ' ')
				text++;
		}
	}
	putc('\n', stderr);
}

void
cmd_error(const struct vd_err *err)
{
	char text[2048];

	print_lines(vd_err_text(err, text, sizeof(text)));
}

/* Arguments may hold names from anywhere: no control characters. */
static void
vprint_line(FILE *out, const char *fmt, va_list ap)
{
	char text[2048];

	vsnprintf(text, sizeof(text), fmt, ap);
	cmd_print_safe(out, text);
	putc('\n', out);
}

void
cmd_errorf(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "%s: ", program);
	va_start(ap, fmt);
	vprint_line(stderr, fmt, ap);
	va_end(ap);
}

void
cmd_helpf(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%*s", (int)strlen(program) + 2, "");
	va_start(ap, fmt);
	vprint_line(stderr, fmt, ap);
	va_end(ap);
}

void
cmd_die(const struct vd_err *err)
{
	cmd_error(err);
	exit(CMD_REFUSED);
}

void
cmd_dief(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "%s: ", program);
	va_start(ap, fmt);
	vprint_line(stderr, fmt, ap);
	va_end(ap);
	exit(CMD_REFUSED);
}

void
cmd_usage(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", program);
	va_start(ap, fmt);
	vprint_line(stderr, fmt, ap);
	va_end(ap);
	cmd_helpf("see `%s --help`", program);
	exit(CMD_USAGE);
}

void
cmd_bad_option(int c, char **argv)
{
	char name[3] = { '-', (char)optopt };
	const char *option = optopt ? name : argv[optind - 1];

	if (c == ':')
		cmd_usage("option %s needs an argument", option);
	cmd_usage("bad option %s", option);
}

void
cmd_version(void)
{
	printf("%s %s\n", program, vd_version());
	exit(cmd_finish(CMD_OK));
}

void
cmd_help(const char *text)
{
	fputs(text, stdout);
	exit(cmd_finish(CMD_OK));
}

int
cmd_finish(int status)
{
	int failed = ferror(stdout);

	errno = 0;
	if (!fflush(stdout) && !failed)
		return status;
	cmd_errorf("cannot write to standard output: %s",
		   errno ? strerror(errno) : "an earlier write failed");
	return CMD_REFUSED;
}

/* ------------------------------------------------------------------ sizes */

static const char units[] = "BKMGTPEZ";

/* Digits before and after the point; what follows through *end. */
static int
parse_decimal(const char *s, uint64_t *whole, uint64_t *frac, uint64_t *scale,
	      const char **end)
{
	unsigned digits = 0;

	*whole = 0;
	*frac = 0;
	*scale = 1;
	for (; *s >= '0' && *s <= '9'; s++, digits++)
		if (__builtin_mul_overflow(*whole, 10, whole) ||
		    __builtin_add_overflow(*whole, (uint64_t)(*s - '0'), whole))
			return -ERANGE;
	if (*s == '.') {
		for (s++; *s >= '0' && *s <= '9'; s++, digits++) {
			if (*scale >= UINT64_C(1000000000000000000))
				return -ERANGE;
			*scale *= 10;
			*frac = *frac * 10 + (uint64_t)(*s - '0');
		}
	}
	*end = s;
	return digits ? 0 : -EINVAL;
}

/* The power of two a suffix stands for, or -1. */
static int
parse_suffix(const char *s)
{
	const char *u;
	bool bytes;

	if (!*s)
		return 0;
	u = strchr(units, *s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s);
	if (!u)
		return -1;
	bytes = u == units;
	s++;
	if (!bytes && (*s == 'b' || *s == 'B'))
		s++;
	return *s ? -1 : (int)(u - units) * 10;
}

int
cmd_parse_size(const char *s, uint64_t *bytes, struct vd_err *err)
{
	uint64_t whole, frac, scale;
	unsigned __int128 v, f;
	const char *end;
	int shift, ret;

	ret = parse_decimal(s, &whole, &frac, &scale, &end);
	if (ret == -ERANGE)
		goto range;
	shift = ret ? -1 : parse_suffix(end);
	if (shift < 0)
		return vd_fail(err, EINVAL, VD_NOWHERE, "bad size \"%s\": "
			       "expected a number and one of B K M G T P E Z",
			       s);
	if (shift > 60 && (whole || frac))
		goto range;
	v = (unsigned __int128)whole << shift;
	f = (unsigned __int128)frac << shift;
	if (f % scale)
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "bad size \"%s\": not a whole number of bytes",
			       s);
	v += f / scale;
	if (v > UINT64_MAX)
		goto range;
	if (!v)
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "bad size \"%s\": must be more than 0", s);
	*bytes = (uint64_t)v;
	return 0;
range:
	return vd_fail(err, ERANGE, VD_NOWHERE,
		       "size \"%s\" does not fit in 64 bits", s);
}

char *
cmd_size_text(uint64_t bytes, char *buf, size_t len)
{
	uint64_t tenths;
	unsigned u = 0;

	while (u < 6 && bytes >> (10 * (u + 1)))
		u++;
	if (!u) {
		snprintf(buf, len, "%llu B", (unsigned long long)bytes);
		return buf;
	}
	/* The remainder has less than 60 bits; drop 6 of them, not the top. */
	tenths = bytes & ((UINT64_C(1) << (10 * u)) - 1);
	tenths = ((tenths >> 6) * 10) >> (10 * u - 6);
	if (tenths)
		snprintf(buf, len, "%llu.%llu %ciB",
			 (unsigned long long)(bytes >> (10 * u)),
			 (unsigned long long)tenths, units[u]);
	else
		snprintf(buf, len, "%llu %ciB",
			 (unsigned long long)(bytes >> (10 * u)), units[u]);
	return buf;
}

/* ------------------------------------------------------------------- text */

/* Length of the well-formed UTF-8 character at s, 0 if there is none. */
static int
utf8_len(const unsigned char *s)
{
	uint32_t c;
	int n, i;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2, c = s[0] & 0x1f;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		n = 3, c = s[0] & 0x0f;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4, c = s[0] & 0x07;
	else
		return 0;
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && c < 0x10000) || c > 0x10ffff ||
	    (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return n;
}

static void
json_char(FILE *out, unsigned char c)
{
	if (c == '"' || c == '\\')
		fprintf(out, "\\%c", c);
	else if (c == '\n')
		fputs("\\n", out);
	else if (c == '\t')
		fputs("\\t", out);
	else if (c < 0x20 || c == 0x7f)
		fprintf(out, "\\u%04x", c);
	else
		putc(c, out);
}

void
cmd_json_string(FILE *out, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;
	int n;

	putc('"', out);
	while (*p) {
		n = utf8_len(p);
		if (!n)
			fprintf(out, "\\udc%02x", *p++);
		else if (n == 1)
			json_char(out, *p++);
		else
			for (; n; n--)
				putc(*p++, out);
	}
	putc('"', out);
}

void
cmd_print_safe(FILE *out, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;
	int n;

	while (*p) {
		n = utf8_len(p);
		/* C0, DEL, C1 (0xc2 0x80..0x9f) and broken UTF-8 are shown. */
		if (!n || (n == 1 && (*p < 0x20 || *p == 0x7f)) ||
		    (n == 2 && p[0] == 0xc2 && p[1] < 0xa0)) {
			for (n = n ? n : 1; n; n--)
				fprintf(out, "\\x%02x", *p++);
			continue;
		}
		for (; n; n--)
			putc(*p++, out);
	}
}
