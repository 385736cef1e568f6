/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * target.c - one input through one operation of one module.
 *
 * The library and all modules are in this very program, so that the fuzzer sees
 * every branch and the linker can put place.c before three system calls.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include "core/library.h"
#include "fuzz.h"

#define CPU_SECONDS	5	/* however busy the machine is */

const struct vd_format *vd_module_raw(void);
const struct vd_format *vd_module_vdi(void);
const struct vd_format *vd_module_vmdk(void);
const struct vd_format *vd_module_delta(void);

static struct {
	enum fz_what	what;
	const char     *module;
	struct vd_library *lib;
} t;

void
fz_die(const char *fmt, ...)
{
	va_list ap;

	fputs("fuzz: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

static void
on_cpu(int sig)
{
	static const char text[] = "fuzz: an input needs too much CPU\n";

	(void)sig;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) > 0)
		abort();
	abort();
}

static void
watch(bool on)
{
	struct itimerval cpu = { .it_value.tv_sec = on ? CPU_SECONDS : 0 };

	setitimer(ITIMER_PROF, &cpu, NULL);
}

static struct vd_library *
library(void)
{
	static const struct vd_format *(*const all[])(void) = {
		vd_module_delta, vd_module_raw, vd_module_vdi, vd_module_vmdk,
	};
	static struct module m[sizeof(all) / sizeof(all[0])];
	static struct module *list[sizeof(all) / sizeof(all[0])];
	static struct vd_library lib = { .modules = list };

	for (; lib.nmodules < sizeof(all) / sizeof(all[0]); lib.nmodules++) {
		m[lib.nmodules].format = *all[lib.nmodules]();
		list[lib.nmodules] = &m[lib.nmodules];
	}
	return &lib;
}

const char *
fz_module(void)
{
	return t.module;
}

bool
fz_target(const char *name)
{
	static const char *const whats[] = {
		[FZ_PROBE] = "probe", [FZ_READ] = "read",
		[FZ_VERIFY] = "verify", [FZ_REPAIR] = "repair",
	};
	const char *dash = strrchr(name, '-'), *base = strrchr(name, '/');
	const struct vd_format *f;

	base = base ? base + 1 : name;
	if (!dash || dash < base)
		return false;
	t.lib = library();
	f = vd_library_find(t.lib, dash + 1);
	for (unsigned i = 0; f && i < sizeof(whats) / sizeof(whats[0]); i++) {
		if (strlen(whats[i]) != (size_t)(dash - base) ||
		    strncmp(whats[i], base, (size_t)(dash - base)))
			continue;
		t.what = (enum fz_what)i;
		t.module = f->name;
		signal(SIGPROF, on_cpu);
		fz_place_open();
		return true;
	}
	return false;
}

/* The next file's number: one that stays open is a leak no sanitizer tells. */
static int
next_file(void)
{
	int fd = dup(STDERR_FILENO);

	close(fd);
	return fd;
}

void
fz_run(const uint8_t *data, size_t len)
{
	static struct fz_input z;
	char name[FZ_NAME];
	int fd = next_file();

	snprintf(name, sizeof(name), "a.%s", t.module);
	fz_load(&z, data, len, name);
	setenv("VDISK_RUN_DIR", z.how & FZ_HOW_JOURNAL ? fz_path("../run")
	       : "/proc/nowhere", 1);
	watch(true);
	switch (t.what) {
	case FZ_PROBE: fz_probe(t.lib, &z); break;
	case FZ_READ: fz_read(t.lib, &z, t.module); break;
	case FZ_VERIFY: fz_verify(t.lib, &z, t.module); break;
	case FZ_REPAIR: fz_repair(t.lib, &z, t.module); break;
	}
	watch(false);
	if (next_file() != fd)
		fz_die("a file was left open");
	fz_place_clear();
}
