/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fakestore.c - for LD_PRELOAD: xenstore is a tree of files, and so is the machine.
 *
 * A value lies in the file "=" in its key's folder, as in t/lib/hotplug.sh.  The
 * folders of the driver and of /run/vdisk are below $machine.  One program at a
 * time: a transaction is none.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name)	((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* ------------------------------------------------------------- the machine */

static const char *
place(const char *path, char *buf, size_t len)
{
	static const char *const ours[] = {
		"/sys/bus/xen-backend", "/dev/xen", "/run/vdisk",
	};
	unsigned i;

	for (i = 0; path && i < 3; i++)
		if (!strncmp(path, ours[i], strlen(ours[i]))) {
			snprintf(buf, len, "%s%s", getenv("machine"), path);
			return buf;
		}
	return path;
}

#define PLACE(path)	char buf[4096]; path = place(path, buf, sizeof(buf))

int
access(const char *path, int mode)
{
	PLACE(path);
	return REAL(access)(path, mode);
}

int
open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	PLACE(path);
	return REAL(open)(path, flags, mode);
}

FILE *
fopen(const char *path, const char *mode)
{
	PLACE(path);
	return REAL(fopen)(path, mode);
}

int
unlink(const char *path)
{
	PLACE(path);
	return REAL(unlink)(path);
}

DIR *
opendir(const char *path)
{
	PLACE(path);
	return REAL(opendir)(path);
}

int
mkdir(const char *path, mode_t mode)
{
	PLACE(path);
	return REAL(mkdir)(path, mode);
}

int
chown(const char *path, uid_t uid, gid_t gid)
{
	(void)path;
	(void)uid;
	(void)gid;
	return 0;
}

int
chmod(const char *path, mode_t mode)
{
	PLACE(path);
	return REAL(chmod)(path, mode);
}

/* ---------------------------------------------------------------- the store */

void *xs_open(unsigned long flags);
void xs_close(void *h);
int xs_fileno(void *h);
void *xs_read(void *h, uint32_t t, const char *path, unsigned *len);
bool xs_write(void *h, uint32_t t, const char *path, const void *p, unsigned len);
bool xs_rm(void *h, uint32_t t, const char *path);
char **xs_directory(void *h, uint32_t t, const char *path, unsigned *n);
bool xs_set_permissions(void *h, uint32_t t, const char *path, void *p, unsigned n);
uint32_t xs_transaction_start(void *h);
bool xs_transaction_end(void *h, uint32_t t, bool abort);
bool xs_is_domain_introduced(void *h, unsigned domid);

static char *
key(const char *path, const char *file)
{
	static char buf[8192];

	snprintf(buf, sizeof(buf), "%s/store%s%s%s", getenv("machine"),
		 *path == '/' ? "" : "/local/domain/0/", path, file);
	return buf;
}

void *
xs_open(unsigned long flags)
{
	(void)flags;
	return (void *)1;
}

void
xs_close(void *h)
{
	(void)h;
}

int
xs_fileno(void *h)
{
	(void)h;
	return 0;
}

void *
xs_read(void *h, uint32_t t, const char *path, unsigned *len)
{
	char *text = calloc(1, 8192);
	ssize_t n = -1;
	int fd;

	(void)h;
	(void)t;
	if (!access(key(path, ""), F_OK))
		n = 0;
	fd = REAL(open)(key(path, "/="), O_RDONLY);
	if (fd >= 0) {
		n = read(fd, text, 8191);
		close(fd);
	}
	if (n < 0) {
		free(text);
		errno = ENOENT;
		return NULL;
	}
	*len = (unsigned)n;
	return text;
}

bool
xs_write(void *h, uint32_t t, const char *path, const void *p, unsigned len)
{
	char *k = key(path, "/="), *at;
	FILE *f;

	(void)h;
	(void)t;
	for (at = k + 1; (at = strchr(at, '/')); *at++ = '/') {
		*at = '\0';
		REAL(mkdir)(k, 0755);
	}
	f = REAL(fopen)(k, "w");
	fwrite(p, 1, len, f);
	return !fclose(f);
}

bool
xs_rm(void *h, uint32_t t, const char *path)
{
	char *k = key(path, ""), command[9000];

	(void)h;
	(void)t;
	if (access(k, F_OK))
		return errno = ENOENT, false;
	snprintf(command, sizeof(command), "rm -rf '%s'", k);
	return !system(command);
}

char **
xs_directory(void *h, uint32_t t, const char *path, unsigned *n)
{
	char **names = calloc(256, sizeof(*names) + 64), *text;
	DIR *d = opendir(key(path, ""));
	struct dirent *e;

	(void)h;
	(void)t;
	*n = 0;
	if (!d) {
		free(names);
		errno = ENOENT;
		return NULL;
	}
	text = (char *)(names + 256);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' && e->d_name[0] != '=' && *n < 256) {
			snprintf(text, 64, "%.63s", e->d_name);
			names[(*n)++] = text;
			text += 64;
		}
	closedir(d);
	return names;
}

bool
xs_set_permissions(void *h, uint32_t t, const char *path, void *p, unsigned n)
{
	(void)h;
	(void)t;
	(void)p;
	(void)n;
	return !access(key(path, ""), F_OK);
}

uint32_t
xs_transaction_start(void *h)
{
	(void)h;
	return 1;
}

bool
xs_transaction_end(void *h, uint32_t t, bool abort)
{
	(void)h;
	(void)t;
	(void)abort;
	return true;
}

bool
xs_is_domain_introduced(void *h, unsigned domid)
{
	char path[64];

	(void)h;
	snprintf(path, sizeof(path), "/local/domain/%u", domid);
	return !access(key(path, ""), F_OK);
}
