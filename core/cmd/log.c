/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * log.c - what a serving process has to say, to stderr or to syslog.
 *
 * Every line may hold a guest's words: control characters are shown, and
 * nothing that came from outside is a format.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include "cmd.h"
#include "log.h"

#define GUEST_BURST	10

static char name[128];
static bool to_syslog;

void
log_name(const char *n)
{
	snprintf(name, sizeof(name), "%s", n);
}

void
log_open_syslog(void)
{
	openlog(*name ? name : cmd_name(), LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

void
log_to_syslog(void)
{
	log_open_syslog();
	to_syslog = true;
}

/* One write a line, so that lines of several processes do not mix. */
static void
put_line(int level, const char *text)
{
	char *line = NULL;
	size_t len = 0;
	FILE *f;

	f = open_memstream(&line, &len);
	if (!f)
		return;
	if (!to_syslog)
		fprintf(f, "%s: ", *name ? name : cmd_name());
	cmd_print_safe(f, text);
	if (!to_syslog)
		putc('\n', f);
	if (!fclose(f)) {
		if (to_syslog)
			syslog(level, "%s", line);
		else
			fwrite(line, 1, len, stderr);
	}
	free(line);
}

static void
vput(int level, const char *fmt, va_list ap)
{
	char text[2048];

	vsnprintf(text, sizeof(text), fmt, ap);
	put_line(level, text);
}

void
log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vput(LOG_INFO, fmt, ap);
	va_end(ap);
}

void
log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vput(LOG_ERR, fmt, ap);
	va_end(ap);
}

void
log_err(const struct vd_err *err)
{
	char text[2048], *line, *save = NULL;

	vd_err_text(err, text, sizeof(text));
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		put_line(LOG_ERR, line + strspn(line, " "));
}

void
log_guest(const char *text)
{
	static unsigned tokens = GUEST_BURST, dropped;
	static time_t refilled;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec > refilled) {
		if (now.tv_sec - refilled >= GUEST_BURST)
			tokens = GUEST_BURST;
		else if (tokens < GUEST_BURST)
			tokens++;
		refilled = now.tv_sec;
	}
	if (!tokens) {
		dropped++;
		return;
	}
	tokens--;
	if (dropped)
		log_info("%u more lines like these were not written", dropped);
	dropped = 0;
	put_line(LOG_WARNING, text);
}
