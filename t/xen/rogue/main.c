/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rogue DOMID DEVID ROUNDS WHAT... - tries to break the backend of a disk
 *
 * The disk is attached and has no frontend.  Results are the lab's: "ok - ",
 * "not ok - " and "# ".  Exit status 3: it could not even begin.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rogue.h"

unsigned rounds;

static const struct {
	const char     *name;
	void	      (*fn)(void);
} tries[] = {
	{ "requests", try_requests },
	{ "indirect", try_indirect },
	{ "index", try_index },
	{ "races", try_races },
	{ "events", try_events },
	{ "nodes", try_nodes },
	{ "states", try_states },
	{ "full", try_full },
	{ "stuck", try_stuck },
	{ "readonly", try_readonly },
	{ "vanish", try_vanish },
	{ "removal", try_removal },
};

static void
say(const char *before, const char *fmt, va_list ap)
{
	fputs(before, stdout);
	vprintf(fmt, ap);
	putchar('\n');
	fflush(stdout);
}

void
ok(bool good, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(good ? "ok - " : "not ok - ", fmt, ap);
	va_end(ap);
}

void
note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("# ", fmt, ap);
	va_end(ap);
}

int
main(int argc, char **argv)
{
	unsigned i;
	int a;

	if (argc < 5) {
		fprintf(stderr, "usage: rogue DOMID DEVID ROUNDS WHAT...\n");
		return 2;
	}
	rounds = (unsigned)strtoul(argv[3], NULL, 10);
	if (front_open((unsigned)strtoul(argv[1], NULL, 10),
		       (unsigned)strtoul(argv[2], NULL, 10)))
		return 3;
	for (a = 4; a < argc; a++)
		for (i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
			if (!strcmp(argv[a], tries[i].name))
				tries[i].fn();
	return 0;
}
