/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * probe-modules.c - vdisk-probe --modules: what is loaded, what was skipped.
 */
#include <stddef.h>
#include <string.h>
#include <vdisk/vdisk.h>
#include "cmd.h"
#include "json.h"
#include "probe.h"

void
probe_json_str(struct json *j, const char *key, const char *value)
{
	if (value && value[0])
		json_str(j, key, value);
	else
		json_null(j, key);
}

void
probe_json_error(struct json *j, const struct vd_err *err)
{
	json_open(j, "error", '{');
	json_u64(j, "code", (uint64_t)err->code);
	json_str(j, "message", err->msg);
	probe_json_str(j, "help", err->help);
	json_close(j, '}');
}

/* What a module can do is which slots it filled: no list to keep in step. */
#define SLOT(name)	{ #name, offsetof(struct vd_format, name) }
static const struct {
	const char     *name;
	size_t		at;
} slots[] = {
	SLOT(probe), SLOT(open), SLOT(close), SLOT(map), SLOT(begin_write),
	SLOT(allocate), SLOT(commit), SLOT(abandon), SLOT(zero),
	SLOT(discard), SLOT(sync), SLOT(read), SLOT(write), SLOT(create),
	SLOT(create_child), SLOT(identity), SLOT(parent), SLOT(match_parent),
	SLOT(relink), SLOT(resize), SLOT(check), SLOT(repair), SLOT(info),
	SLOT(write_stream), SLOT(rename), SLOT(pack),
};
#define NSLOTS	(sizeof(slots) / sizeof(slots[0]))

static bool
has_slot(const struct vd_format *f, size_t i)
{
	void *fn;

	memcpy(&fn, (const char *)f + slots[i].at, sizeof(fn));
	return fn;
}

static void
print_slots(const struct vd_format *f, const char *what, bool filled)
{
	printf("  %s", what);
	for (size_t i = 0; i < NSLOTS; i++)
		if (has_slot(f, i) == filled)
			printf(" %s", slots[i].name);
	putchar('\n');
}

static void
print_module(const struct vd_format *f, const char *file)
{
	cmd_print_safe(stdout, f->name);
	printf("  ABI %u.%u  ", f->abi_major, f->abi_minor);
	cmd_print_safe(stdout, file);
	if (f->summary) {
		printf("\n  ");
		cmd_print_safe(stdout, f->summary);
	}
	printf("\n  names:");
	for (const char *const *e = f->extensions; e && *e; e++) {
		printf(" .");
		cmd_print_safe(stdout, *e);
	}
	if (f->flags & VD_FORMAT_REST)
		printf(" (and whatever no other module claims)");
	putchar('\n');
	print_slots(f, "can:  ", true);
	print_slots(f, "lacks:", false);
}

static void
json_module(struct json *j, const struct vd_format *f, const char *file)
{
	json_open(j, NULL, '{');
	json_str(j, "name", f->name);
	json_str(j, "file", file);
	json_open(j, "abi", '[');
	json_u64(j, NULL, f->abi_major);
	json_u64(j, NULL, f->abi_minor);
	json_close(j, ']');
	probe_json_str(j, "summary", f->summary);
	json_open(j, "extensions", '[');
	for (const char *const *e = f->extensions; e && *e; e++)
		json_str(j, NULL, *e);
	json_close(j, ']');
	json_bool(j, "rest", f->flags & VD_FORMAT_REST);
	json_open(j, "slots", '[');
	for (size_t i = 0; i < NSLOTS; i++)
		if (has_slot(f, i))
			json_str(j, NULL, slots[i].name);
	json_close(j, ']');
	json_close(j, '}');
}

static void
json_modules(struct vd_library *lib)
{
	struct json j = { .out = stdout };
	const struct vd_format *f;
	const struct vd_err *e;
	const char *file;

	json_open(&j, NULL, '{');
	json_open(&j, "modules", '[');
	for (unsigned i = 0; (f = vd_library_format(lib, i, &file)); i++)
		json_module(&j, f, file ? file : "");
	json_close(&j, ']');
	json_open(&j, "skipped", '[');
	for (unsigned i = 0; (e = vd_library_skipped(lib, i)); i++) {
		json_open(&j, NULL, '{');
		json_str(&j, "file", e->file);
		probe_json_error(&j, e);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
	putchar('\n');
}

static void
print_modules(struct vd_library *lib)
{
	const struct vd_format *f;
	const struct vd_err *e;
	const char *file;

	for (unsigned i = 0; (f = vd_library_format(lib, i, &file)); i++)
		print_module(f, file ? file : "");
	for (unsigned i = 0; (e = vd_library_skipped(lib, i)); i++)
		cmd_error(e);
}

/* A skipped module is said, and no failure: the others do their work. */
int
probe_modules(struct vd_library *lib, bool json)
{
	if (json)
		json_modules(lib);
	else
		print_modules(lib);
	if (vd_library_format(lib, 0, NULL))
		return CMD_OK;
	cmd_errorf("no format module is loaded");
	cmd_helpf("VDISK_PLUGIN_PATH names the folders to look in");
	return CMD_NO;
}
