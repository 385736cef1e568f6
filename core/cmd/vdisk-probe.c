/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk-probe - what is this file?  Bytes in, verdict out.
 *
 * For people one line a file, for programs one JSON object a line.  A
 * stranger's image is judged by its own head and tail; nothing it names is
 * opened.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <vdisk/vdisk.h>
#include "cmd.h"
#include "json.h"
#include "probe.h"

static const char help_text[] =
"usage: vdisk-probe [--json] FILE...\n"
"       vdisk-probe [--json] --modules\n"
"\n"
"Says what each FILE is, from its first and last bytes alone.\n"
"\n"
"  -j, --json      one JSON object a line\n"
"  -m, --modules   list the format modules and what each can do\n"
"  -h, --help      this text\n"
"  -V, --version   the version\n"
"\n"
"exit: 0 all images are sound, 1 one is broken or unknown, 2 wrong usage,\n"
"      3 a file could not be read\n";

static const struct option options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "modules", no_argument, NULL, 'm' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

/* ---------------------------------------------------------------- verdict */

enum answer { ANSWER_OK, ANSWER_BROKEN, ANSWER_UNKNOWN };

static const char *const answer_text[] = { "ok", "broken", "unknown" };

/* Does the file's name say what nothing in its bytes contradicts? */
static bool
named_so(struct vd_library *lib, const char *path,
	 const struct vd_probe_result *r)
{
	return r->format && vd_library_by_extension(lib, path) == r->format;
}

/*
 * "Nothing claims these bytes" is an answer only if the name says raw as
 * well: a program that asks whether to accept a file must not be told "ok"
 * for whatever has no signature.
 */
static enum answer
judge(struct vd_library *lib, const char *path,
      const struct vd_probe_result *r)
{
	if (!r->format || r->verdict == VD_NOT_MINE)
		return ANSWER_UNKNOWN;
	if (r->verdict == VD_MINE_BROKEN)
		return ANSWER_BROKEN;
	if (r->guessed && !named_so(lib, path, r))
		return ANSWER_UNKNOWN;
	return ANSWER_OK;
}

static const char *
parent_of(const struct vd_probe_result *r)
{
	for (unsigned i = 0; i < r->nrefs; i++)
		if (r->refs[i].kind == VD_REF_PARENT)
			return r->refs[i].name;
	return NULL;
}

/* ------------------------------------------------------------- for people */

static void
print_size(uint64_t size)
{
	char text[32];

	printf(", %s", cmd_size_text(size, text, sizeof(text)));
}

static void
print_refs(const struct vd_probe_result *r)
{
	const char *parent = parent_of(r);
	unsigned others = r->nrefs + r->refs_dropped - (parent ? 1 : 0);

	if (parent) {
		printf(", child of \"");
		cmd_print_safe(stdout, parent);
		putchar('"');
	}
	if (others)
		printf(", names %u other file%s", others,
		       others == 1 ? "" : "s");
}

static void
print_unknown(const struct vd_probe_result *r)
{
	printf("unknown: no module claims its bytes");
	if (r->format && r->virtual_size) {
		printf("; taken as %s it would be a disk", r->format->name);
		print_size(r->virtual_size);
	} else if (!r->file_size) {
		printf("; it is empty");
	}
}

static void
print_known(const struct vd_probe_result *r, bool broken)
{
	printf("%s%s", broken ? "broken " : "", r->format->name);
	if (r->variant[0] && strcmp(r->variant, r->format->name)) {
		putchar(' ');
		cmd_print_safe(stdout, r->variant);
	}
	if (r->guessed)
		printf(" (by its name; no module claims its bytes)");
	if (broken) {
		printf(": ");
		cmd_print_safe(stdout, r->reason);
		if (r->reason_off != VD_NOWHERE)
			printf(" (byte 0x%llx)",
			       (unsigned long long)r->reason_off);
		return;
	}
	if (r->virtual_size)
		print_size(r->virtual_size);
	print_refs(r);
}

static void
print_line(const char *path, const struct vd_probe_result *r, enum answer a)
{
	cmd_print_safe(stdout, path);
	printf(": ");
	if (a == ANSWER_UNKNOWN)
		print_unknown(r);
	else
		print_known(r, a == ANSWER_BROKEN);
	for (unsigned i = 0; i < r->nwarnings; i++) {
		printf("; note: ");
		cmd_print_safe(stdout, r->warnings[i]);
	}
	putchar('\n');
}

/* ----------------------------------------------------------- for programs */

static const char *
kind_text(enum vd_ref_kind kind)
{
	switch (kind) {
	case VD_REF_PARENT:
		return "parent";
	case VD_REF_EXTENT:
		return "extent";
	case VD_REF_AUX:
		return "auxiliary";
	}
	return "other";
}

static void
json_u64_or_null(struct json *j, const char *key, uint64_t value,
		 uint64_t null)
{
	if (value != null)
		json_u64(j, key, value);
	else
		json_null(j, key);
}

static void
json_refs(struct json *j, const struct vd_probe_result *r)
{
	probe_json_str(j, "parent", parent_of(r));
	json_open(j, "references", '[');
	for (unsigned i = 0; i < r->nrefs; i++) {
		json_open(j, NULL, '{');
		json_str(j, "kind", kind_text(r->refs[i].kind));
		json_str(j, "name", r->refs[i].name);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_u64(j, "references_dropped", r->refs_dropped);
}

static void
json_line(const char *path, const struct vd_probe_result *r, enum answer a)
{
	struct json j = { .out = stdout };

	json_open(&j, NULL, '{');
	json_str(&j, "path", path);
	probe_json_str(&j, "format", r->format ? r->format->name : NULL);
	probe_json_str(&j, "variant", r->variant);
	json_str(&j, "verdict", answer_text[a]);
	json_bool(&j, "guessed", r->guessed);
	json_u64(&j, "confidence", r->confidence);
	json_u64_or_null(&j, "virtual_size", r->virtual_size, 0);
	json_u64(&j, "file_size", r->file_size);
	json_refs(&j, r);
	json_open(&j, "warnings", '[');
	for (unsigned i = 0; i < r->nwarnings; i++)
		json_str(&j, NULL, r->warnings[i]);
	json_close(&j, ']');
	if (a == ANSWER_BROKEN) {
		json_str(&j, "reason", r->reason);
		json_u64_or_null(&j, "offset", r->reason_off, VD_NOWHERE);
	}
	json_close(&j, '}');
	putchar('\n');
}

/* A file that could not be read still gets its line: none may be missed. */
static void
json_unread(const char *path, const struct vd_err *err)
{
	struct json j = { .out = stdout };

	json_open(&j, NULL, '{');
	json_str(&j, "path", path);
	json_null(&j, "format");
	json_null(&j, "variant");
	json_str(&j, "verdict", answer_text[ANSWER_UNKNOWN]);
	probe_json_error(&j, err);
	json_close(&j, '}');
	putchar('\n');
}

static int
probe_file(struct vd_library *lib, const char *path, bool json)
{
	struct vd_probe_result *r;
	struct vd_err err = { 0 };
	enum answer a;

	if (vd_probe_path(lib, path, &r, &err) < 0) {
		vd_err_file(&err, path);
		cmd_error(&err);
		if (json)
			json_unread(path, &err);
		return CMD_REFUSED;
	}
	a = judge(lib, path, r);
	if (json)
		json_line(path, r, a);
	else
		print_line(path, r, a);
	vd_probe_free(r);
	return a == ANSWER_OK ? CMD_OK : CMD_NO;
}

/* ------------------------------------------------------------------- main */

/* Could not be read outweighs broken or unknown. */
static int
probe_files(struct vd_library *lib, int n, char **paths, bool json)
{
	int status = CMD_OK;

	if (!vd_library_format(lib, 0, NULL))
		cmd_errorf("no format module is loaded, so nothing is known; "
			   "see `%s --modules`", cmd_name());
	for (int i = 0; i < n; i++) {
		int s = probe_file(lib, paths[i], json);

		if (s > status)
			status = s;
	}
	return status;
}

int
main(int argc, char **argv)
{
	bool json = false, modules = false;
	struct vd_err err = { 0 };
	struct vd_library *lib;
	int c, status;

	cmd_init("vdisk-probe");
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":jmhV", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'm':
			modules = true;
			break;
		case 'h':
			cmd_help(help_text);
		case 'V':
			cmd_version();
		default:
			cmd_bad_option(c, argv);
		}
	}
	if (modules && optind < argc)
		cmd_usage("--modules takes no file");
	if (!modules && optind == argc)
		cmd_usage("which file?");

	if (vd_library_open(NULL, &lib, &err) < 0)
		cmd_die(&err);
	if (modules)
		status = probe_modules(lib, json);
	else
		status = probe_files(lib, argc - optind, argv + optind, json);
	vd_library_close(lib);
	return cmd_finish(status);
}
