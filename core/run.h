/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * run.h - the folder for what must outlive a process, and not a boot.
 */
#ifndef VD_RUN_H
#define VD_RUN_H

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Made if needed; "" if there is none that is ours alone. */
static inline void
run_folder(char *buf, size_t len)
{
	const char *dir = secure_getenv("VDISK_RUN_DIR");
	const char *user = secure_getenv("XDG_RUNTIME_DIR");
	struct stat st;

	if (dir)
		snprintf(buf, len, "%s", dir);
	else if (geteuid() == 0 || !user)
		snprintf(buf, len, "/run/vdisk");
	else
		snprintf(buf, len, "%s/vdisk", user);
	if (mkdir(buf, 0700) < 0 && errno != EEXIST)
		buf[0] = '\0';
	/* Nobody else may plant a file. */
	else if (lstat(buf, &st) < 0 || !S_ISDIR(st.st_mode) ||
		 st.st_uid != geteuid() || (st.st_mode & 022))
		buf[0] = '\0';
}

static inline void
run_boot_id(char buf[40])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, 39);

	buf[n > 0 ? n : 0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	if (fd >= 0)
		close(fd);
}

#endif
