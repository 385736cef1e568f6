/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * server.c - is the process that serves a disk still the one that began?
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "server.h"
#include "store.h"

#define STAT_START	22	/* field of /proc/PID/stat, counted from 1 */
#define STAT_STATE	3

/*
 * The second field is the program's name in parentheses and may hold blanks
 * and parentheses: count from the last ')'.
 */
static const char *
field(const char *stat, unsigned n)
{
	const char *p = strrchr(stat, ')');
	unsigned i;

	if (!p)
		return NULL;
	for (i = 2; i < n && p; i++) {
		p = strchr(p, ' ');
		if (p)
			p++;
	}
	return p;
}

bool
server_identity(pid_t pid, char *buf, size_t len)
{
	char path[64], stat[1024];
	const char *start, *state;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	if (n <= 0)
		return false;
	stat[n] = '\0';
	state = field(stat, STAT_STATE);
	start = field(stat, STAT_START);
	/* A zombie serves nobody. */
	if (!start || !state || *state == 'Z' || *state == 'X')
		return false;
	snprintf(buf, len, "%d %.*s", (int)pid, (int)strcspn(start, " "),
		 start);
	return true;
}

bool
server_alive(const char *identity, pid_t *pid)
{
	char number[16], now[64];
	size_t n = strcspn(identity, " ");
	uint64_t v;

	*pid = 0;
	if (n >= sizeof(number))
		return false;
	memcpy(number, identity, n);
	number[n] = '\0';
	if (store_parse(number, INT32_MAX, &v) || !v)
		return false;
	*pid = (pid_t)v;
	return server_identity(*pid, now, sizeof(now)) &&
	       !strcmp(now, identity);
}
