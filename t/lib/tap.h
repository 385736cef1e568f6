/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tap.h - just enough TAP for C tests: one claim a line, prove counts them.
 *
 *	int main(void)
 *	{
 *		ok(1 + 1 == 2, "sums");
 *		is_int(strlen("abc"), 3, "length of %s", "abc");
 *		return done_testing();
 *	}
 *
 * Safe from several threads as far as the counting goes; the text of a claim
 * should name its thread.
 */
#ifndef VD_TAP_H
#define VD_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned tap_done, tap_bad;

/* The part of a claim after "ok N"; '#' and newlines would be directives. */
static inline bool
tap_say(bool good, const char *fmt, va_list ap)
{
	char text[512], *p;
	unsigned n = __atomic_add_fetch(&tap_done, 1, __ATOMIC_RELAXED);

	vsnprintf(text, sizeof(text), fmt, ap);
	for (p = text; *p; p++)
		if (*p == '#' || *p == '\n')
			*p = ' ';
	if (!good)
		__atomic_add_fetch(&tap_bad, 1, __ATOMIC_RELAXED);
	printf("%sok %u - %s\n", good ? "" : "not ", n, text);
	fflush(stdout);
	if (!good)
		fprintf(stderr, "# not ok %u - %s\n", n, text);
	return good;
}

/* A comment on a failure: on stderr, where prove lets it through. */
__attribute__((format(printf, 1, 2))) static inline void
diag(const char *fmt, ...)
{
	char text[2048], *line, *save = NULL;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		fprintf(stderr, "# %s\n", line);
}

__attribute__((format(printf, 4, 5))) static inline bool
tap_ok(bool good, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tap_say(good, fmt, ap);
	va_end(ap);
	if (!good)
		diag("failed at %s:%d", file, line);
	return good;
}

__attribute__((format(printf, 5, 6))) static inline bool
tap_is_int(long long got, long long want, const char *file, int line,
	   const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tap_say(got == want, fmt, ap);
	va_end(ap);
	if (got != want)
		diag("failed at %s:%d\n  got %lld (0x%llx)\n want %lld (0x%llx)",
		     file, line, got, got, want, want);
	return got == want;
}

__attribute__((format(printf, 5, 6))) static inline bool
tap_is_str(const char *got, const char *want, const char *file, int line,
	   const char *fmt, ...)
{
	bool good = got == want || (got && want && !strcmp(got, want));
	va_list ap;

	va_start(ap, fmt);
	tap_say(good, fmt, ap);
	va_end(ap);
	if (!good)
		diag("failed at %s:%d\n  got '%s'\n want '%s'", file, line,
		     got ? got : "(null)", want ? want : "(null)");
	return good;
}

#define ok(cond, ...) \
	tap_ok(!!(cond), __FILE__, __LINE__, __VA_ARGS__)
#define is_int(got, want, ...) \
	tap_is_int((long long)(got), (long long)(want), __FILE__, __LINE__, \
		   __VA_ARGS__)
#define is_str(got, want, ...) \
	tap_is_str((got), (want), __FILE__, __LINE__, __VA_ARGS__)

/* Before the first claim: nothing here can be tested on this machine. */
__attribute__((noreturn)) static inline void
plan_skip_all(const char *reason)
{
	printf("1..0 # SKIP %s\n", reason);
	exit(0);
}

/* n claims that cannot be tested here. */
static inline void
skip(unsigned n, const char *reason)
{
	while (n--)
		printf("ok %u # SKIP %s\n",
		       __atomic_add_fetch(&tap_done, 1, __ATOMIC_RELAXED),
		       reason);
	fflush(stdout);
}

/* The last statement of main(): return done_testing(); */
static inline int
done_testing(void)
{
	printf("1..%u\n", tap_done);
	if (tap_bad)
		diag("%u of %u failed", tap_bad, tap_done);
	fflush(stdout);
	return tap_bad != 0;
}

#endif
