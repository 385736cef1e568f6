/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * beneath.t.c - what a name inside an image can and cannot reach, with openat2
 * and on kernels that lack it.
 */
/* objects: core/host.o core/file.o core/lock.o core/iov.o core/error.o */
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "tap.h"
#include "core/internal.h"

static bool old_kernel;

/* Ours comes first: an old kernel says that it has no openat2. */
long
syscall(long number, ...)
{
	static long (*real)(long, ...);
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_openat2 && old_kernel) {
		errno = ENOSYS;
		return -1;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int
find(const char *dir, const char *name)
{
	int at = vd_find_beside(dir, name, false);

	if (at >= 0)
		close(at);
	return at < 0 ? at : 0;
}

static void
names(const char *dir, const char *kernel)
{
	is_int(find(dir, "file"), 0, "%s: a file beside", kernel);
	is_int(find(dir, "sub/file"), 0, "%s: one below", kernel);
	is_int(find(dir, "sub//file"), 0, "%s: with two slashes", kernel);
	is_int(find(dir, "none"), -ENOENT, "%s: none", kernel);
	is_int(find(dir, "/etc/passwd"), -EXDEV, "%s: absolute", kernel);
	is_int(find(dir, "../out"), -EXDEV, "%s: one up", kernel);
	ok(find(dir, "sub/../../out") < 0, "%s: one up, by a detour", kernel);
	ok(find(dir, "link-out") < 0, "%s: a link that leaves", kernel);
	ok(find(dir, "dir-out/passwd") < 0, "%s: through a link that leaves",
	   kernel);
	is_int(find(dir, "sub"), -EINVAL, "%s: a folder", kernel);
	is_int(find(dir, "fifo"), -EINVAL, "%s: a FIFO", kernel);
	ok(find(dir, "file/x") < 0, "%s: below a file", kernel);
	ok(find(dir, "") < 0, "%s: no name", kernel);
}

int
main(void)
{
	char dir[64] = "/tmp/vdisk-beneath-XXXXXX", cmd[512];

	if (!mkdtemp(dir))
		return 1;
	snprintf(cmd, sizeof(cmd), "cd %s && mkdir d d/sub && touch out d/file "
		 "d/sub/file && mkfifo d/fifo && ln -s ../out d/link-out && "
		 "ln -s /etc d/dir-out", dir);
	ok(system(cmd) == 0, "a folder");
	strcat(dir, "/d/");
	names(dir, "openat2");
	old_kernel = true;
	names(dir, "without");
	dir[strlen(dir) - 3] = '\0';
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd) ? 1 : done_testing();
}
