/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * module.c - the loader: finds format modules, and says why it skipped some.
 *
 * A module runs with our rights, so it must belong to root or to us and not be
 * writable by the world.  One bad module never keeps the others from loading.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "config.h"
#include "library.h"

#define MODULES_MAX	64

const char *
vd_version(void)
{
	return VDISK_VERSION;
}

static int
check_owner(int fd, struct stat *st, struct vd_err *err)
{
	if (fstat(fd, st) < 0)
		return vd_fail(err, errno, VD_NOWHERE, "%s", strerror(errno));
	if (!S_ISREG(st->st_mode))
		return vd_fail(err, EINVAL, VD_NOWHERE, "not a regular file");
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return vd_fail(err, EPERM, VD_NOWHERE, "belongs to user %u, "
			       "not to root or to you",
			       (unsigned)st->st_uid);
	if (st->st_mode & S_IWOTH)
		return vd_fail(err, EPERM, VD_NOWHERE,
			       "writable by everybody");
	return 0;
}

/*
 * The dynamic linker maps what the headers say and dies of SIGBUS when a
 * truncated file does not have it: look before it does.
 */
static int
check_elf(int fd, uint64_t size, struct vd_err *err)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph;

	if (pread(fd, &eh, sizeof(eh), 0) != (ssize_t)sizeof(eh) ||
	    memcmp(eh.e_ident, ELFMAG, SELFMAG))
		return vd_fail(err, ENOEXEC, 0, "not a shared object");
	if (eh.e_ident[EI_CLASS] != ELFCLASS64)
		return 0;	/* the linker knows better */
	if (eh.e_phentsize != sizeof(ph))
		return vd_fail(err, ENOEXEC, 0, "not a shared object");
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		uint64_t at = eh.e_phoff + i * sizeof(ph);

		if (pread(fd, &ph, sizeof(ph), (off_t)at) !=
		    (ssize_t)sizeof(ph))
			return vd_fail(err, ENOEXEC, at, "truncated");
		if (ph.p_type == PT_LOAD &&
		    (ph.p_filesz > size || ph.p_offset > size - ph.p_filesz))
			return vd_fail(err, ENOEXEC, size, "truncated: a "
				       "segment ends past the file");
	}
	return 0;
}

static bool
name_ok(const char *name)
{
	return name && name[0] && strlen(name) < 16 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") ==
	       strlen(name);
}

/* Is the descriptor one that we may copy and call? */
static int
check_format(const struct vd_format *theirs, struct vd_err *err)
{
	if (!theirs)
		return vd_fail(err, EINVAL, VD_NOWHERE, "has no descriptor");
	if (theirs->abi_major != VD_ABI_MAJOR)
		return vd_fail(err, ENOEXEC, VD_NOWHERE, "was built for ABI "
			       "%u.%u, this vdisk speaks %u.%u",
			       theirs->abi_major, theirs->abi_minor,
			       VD_ABI_MAJOR, VD_ABI_MINOR);
	if (theirs->size < offsetof(struct vd_format, close) + sizeof(void *))
		return vd_fail(err, EINVAL, VD_NOWHERE, "descriptor of %u "
			       "bytes lacks the mandatory functions",
			       theirs->size);
	if (!name_ok(theirs->name))
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "its format has no proper name");
	if (!theirs->probe || !theirs->open || !theirs->close)
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "probe, open or close is missing");
	return 0;
}

static int
load_into(struct vd_library *lib, struct module *m, const char *path,
	  struct vd_err *err)
{
	const struct vd_format *(*entry)(void);
	const struct vd_format *theirs;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	size_t n;
	int ret;

	if (fd < 0)
		return vd_fail(err, errno, VD_NOWHERE, "%s", strerror(errno));
	ret = check_owner(fd, &st, err);
	if (!ret)
		ret = check_elf(fd, (uint64_t)st.st_size, err);
	close(fd);
	if (ret)
		return ret;
	m->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!m->handle)
		return vd_fail(err, ENOEXEC, VD_NOWHERE, "%s", dlerror());
	*(void **)&entry = dlsym(m->handle, "vd_module");
	if (!entry)
		return vd_fail(err, ENOEXEC, VD_NOWHERE,
			       "not a format module (exports no vd_module)");
	theirs = entry();
	ret = check_format(theirs, err);
	if (ret)
		return ret;
	n = theirs->size < sizeof(m->format) ? theirs->size
					     : sizeof(m->format);
	memset(&m->format, 0, sizeof(m->format));
	memcpy(&m->format, theirs, n);
	if (vd_library_find(lib, m->format.name))
		return vd_fail(err, EEXIST, VD_NOWHERE, "format %s is "
			       "provided by another module already",
			       m->format.name);
	return 0;
}

static void
library_skip(struct vd_library *lib, const struct vd_err *err)
{
	struct vd_err *more = realloc(lib->skipped, (lib->nskipped + 1) *
						    sizeof(*more));

	if (!more || lib->nskipped >= 4 * MODULES_MAX)
		return;
	lib->skipped = more;
	lib->skipped[lib->nskipped++] = *err;
}

static void
library_load(struct vd_library *lib, const char *path)
{
	struct module *m = calloc(1, sizeof(*m));
	struct vd_err err = { 0 };
	int ret;

	if (!m || !(m->path = strdup(path)))
		ret = vd_fail(&err, ENOMEM, VD_NOWHERE, "no memory");
	else if (lib->nmodules == MODULES_MAX)
		ret = vd_fail(&err, E2BIG, VD_NOWHERE, "more than %d modules",
			      MODULES_MAX);
	else
		ret = load_into(lib, m, path, &err);
	if (!ret) {
		lib->modules[lib->nmodules++] = m;
		return;
	}
	vd_err_file(&err, path);
	library_skip(lib, &err);
	if (m && m->handle)
		dlclose(m->handle);
	if (m)
		free(m->path);
	free(m);
}

static int
is_module(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return n > 3 && !strcmp(e->d_name + n - 3, ".so");
}

/* Whoever may rename files in it may exchange a module after it was checked. */
static int
check_folder(const char *dir, struct vd_err *err)
{
	struct stat st;

	if (stat(dir, &st) < 0)
		return vd_fail(err, errno, VD_NOWHERE,
			       "cannot look for modules: %s", strerror(errno));
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return vd_fail(err, EPERM, VD_NOWHERE, "a folder of modules "
			       "that belongs to user %u",
			       (unsigned)st.st_uid);
	if (st.st_mode & S_IWOTH)
		return vd_fail(err, EPERM, VD_NOWHERE, "a folder of modules "
			       "that everybody can write to");
	return 0;
}

static void
library_scan(struct vd_library *lib, const char *dir)
{
	struct vd_err err = { 0 };
	struct dirent **list;
	char path[4096];
	int n = -1, ret = check_folder(dir, &err);

	if (!ret && (n = scandir(dir, &list, is_module, alphasort)) < 0)
		vd_fail(&err, errno, VD_NOWHERE, "cannot look for modules: %s",
			strerror(errno));
	if (n < 0) {
		vd_err_file(&err, dir);
		library_skip(lib, &err);
		return;
	}
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name);
		library_load(lib, path);
		free(list[i]);
	}
	free(list);
}

int
vd_library_open(const char *path, struct vd_library **out, struct vd_err *err)
{
	struct vd_library *lib = calloc(1, sizeof(*lib));
	const char *env = secure_getenv("VDISK_PLUGIN_PATH");
	char *dirs, *save = NULL;

	if (!path)
		path = env ? env : VDISK_PLUGIN_DIR;
	dirs = strdup(path);
	if (!lib || !dirs ||
	    !(lib->modules = calloc(MODULES_MAX, sizeof(*lib->modules)))) {
		free(dirs);
		free(lib);
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	}
	for (char *d = strtok_r(dirs, ":", &save); d;
	     d = strtok_r(NULL, ":", &save))
		library_scan(lib, d);
	free(dirs);
	*out = lib;
	return 0;
}

void
vd_library_close(struct vd_library *lib)
{
	if (!lib)
		return;
	for (unsigned i = 0; i < lib->nmodules; i++) {
		dlclose(lib->modules[i]->handle);
		free(lib->modules[i]->path);
		free(lib->modules[i]);
	}
	free(lib->modules);
	free(lib->skipped);
	free(lib);
}

const struct vd_format *
vd_library_format(struct vd_library *lib, unsigned i, const char **file)
{
	if (i >= lib->nmodules)
		return NULL;
	if (file)
		*file = lib->modules[i]->path;
	return &lib->modules[i]->format;
}

const struct vd_format *
vd_library_find(struct vd_library *lib, const char *name)
{
	for (unsigned i = 0; i < lib->nmodules; i++)
		if (!strcasecmp(lib->modules[i]->format.name, name))
			return &lib->modules[i]->format;
	return NULL;
}

const struct vd_format *
vd_library_by_extension(struct vd_library *lib, const char *path)
{
	const char *base = strrchr(path, '/');
	const char *dot = strrchr(base ? base : path, '.');

	for (unsigned i = 0; dot && i < lib->nmodules; i++) {
		const char *const *e = lib->modules[i]->format.extensions;

		for (; e && *e; e++)
			if (!strcasecmp(dot + 1, *e))
				return &lib->modules[i]->format;
	}
	return NULL;
}

const struct vd_err *
vd_library_skipped(struct vd_library *lib, unsigned i)
{
	return i < lib->nskipped ? &lib->skipped[i] : NULL;
}
