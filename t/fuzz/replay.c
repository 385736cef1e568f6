/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * replay.c - inputs once more, without a fuzzer: replay TARGET FILE|FOLDER...
 *
 * Says how many there were; an input that fails is named before it dies.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "heap.h"
#include "fuzz.h"

#define INPUT_MAX	(1u << 20)

static char now[4096];		/* the input */
static unsigned count;

static void
name_it(void)
{
	if (write(STDERR_FILENO, "\nreplay: ", 9) > 0 &&
	    write(STDERR_FILENO, now, strlen(now)) > 0 &&
	    write(STDERR_FILENO, "\n", 1) > 0)
		return;
}

static void
on_signal(int sig)
{
	name_it();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void
too_much(const char *why)
{
	fz_die("%s", why);
}

static void
one(const char *path)
{
	static uint8_t data[INPUT_MAX];
	uint8_t *exact;
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f) {
		perror(path);
		exit(3);
	}
	n = fread(data, 1, sizeof(data), f);
	fclose(f);
	snprintf(now, sizeof(now), "%s", path);
	exact = malloc(n ? n : 1);
	memcpy(exact, data, n);
	heap_mark(FZ_HEAP_MAX, too_much);
	fz_run(exact, n);
	heap_mark(0, NULL);
	free(exact);
	count++;
}

static void
all(const char *path)
{
	struct dirent **list;
	char name[4096];
	struct stat st;
	int n;

	if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
		one(path);
		return;
	}
	n = scandir(path, &list, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%s/%s", path, list[i]->d_name);
		if (list[i]->d_name[0] != '.')
			one(name);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
}

int
main(int argc, char **argv)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };

	if (argc < 3 || !fz_target(argv[1])) {
		fputs("replay TARGET INPUT|FOLDER...  (read-vdi, ...)\n",
		      stderr);
		return 2;
	}
	if (!heap_sanitized(name_it))
		for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
			signal(fatal[i], on_signal);
	for (int i = 2; i < argc; i++)
		all(argv[i]);
	printf("%u inputs\n", count);
	return count ? 0 : 1;
}
