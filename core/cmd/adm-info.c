/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-info.c - vdiskadm info: what an image is and what it takes.
 *
 * Opened read-only and shared: the answer is wanted most while a guest runs.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "adm.h"
#include "cmd.h"
#include "json.h"

/* What the format tells, printed as it comes. */
struct details {
	struct vd_info_out out;		/* first: the callback gets this */
	struct json    *json;		/* NULL: for people */
};

static void
add_detail(struct vd_info_out *out, const char *key, const char *value)
{
	struct details *d = (struct details *)out;

	if (d->json) {
		json_open(d->json, NULL, '{');
		json_str(d->json, "key", key);
		json_str(d->json, "value", value);
		json_close(d->json, '}');
		return;
	}
	cmd_print_safe(stdout, key);
	printf(":%*s", (int)(strlen(key) < 15 ? 15 - strlen(key) : 1), "");
	cmd_print_safe(stdout, value);
	putchar('\n');
}

static int
tell_details(struct vd_disk *disk, struct json *json, struct vd_err *err)
{
	struct details d = {
		.out = { .size = sizeof(d.out), .add = add_detail },
		.json = json,
	};

	if (!vd_disk_format(disk, 0)->info)
		return 0;
	return vd_disk_info(disk, 0, &d.out, err);
}

/* --------------------------------------------------------------- figures */

struct figures {
	uint64_t	allocated;	/* bytes of the disk that have a place */
	uint64_t	file_size;	/* of the file named, not of its parts */
	uint64_t	file_used;
};

static int
count_allocated(struct vd_disk *disk, uint64_t *sum, struct vd_err *err)
{
	uint64_t off = 0, size = vd_disk_size(disk);
	struct vd_run run;
	int ret;

	for (*sum = 0; off < size; off += run.len) {
		ret = vd_disk_extent(disk, off, size - off, &run, err);
		if (ret)
			return ret;
		if (run.kind != VD_EXT_ZERO)
			*sum += run.len;
	}
	return 0;
}

static int
measure(struct vd_disk *disk, const char *path, struct figures *f,
	struct vd_err *err)
{
	struct stat st = { 0 };

	stat(path, &st);
	f->file_size = (uint64_t)st.st_size;
	f->file_used = (uint64_t)st.st_blocks * 512;
	return count_allocated(disk, &f->allocated, err);
}

/* ----------------------------------------------------------------- output */

static void
print_bytes(const char *key, uint64_t bytes)
{
	char text[32];

	printf("%-16s%s (%" PRIu64 " bytes)\n", key,
	       cmd_size_text(bytes, text, sizeof(text)), bytes);
}

static int
print_info(struct vd_disk *disk, const char *path, const struct figures *f,
	   struct vd_err *err)
{
	const struct vd_image_info *i = vd_disk_image(disk, 0);

	printf("image:          ");
	cmd_print_safe(stdout, path);
	printf("\nformat:         %s\n", vd_disk_format(disk, 0)->name);
	if (i->variant[0])
		printf("variant:        %s\n", i->variant);
	print_bytes("size:", vd_disk_size(disk));
	print_bytes("allocated:", f->allocated);
	if (i->unit)
		print_bytes("unit:", i->unit);
	print_bytes("file size:", f->file_size);
	print_bytes("file takes:", f->file_used);
	if (i->flags & VD_IMG_RDONLY)
		printf("writable:       no, this dialect can only be read\n");
	if (i->flags & VD_IMG_UNCLEAN)
		printf("unclean:        its last writer did not close it\n");
	return tell_details(disk, NULL, err);
}

static int
json_info(struct vd_disk *disk, const char *path, const struct figures *f,
	  struct vd_err *err)
{
	const struct vd_image_info *i = vd_disk_image(disk, 0);
	struct json j = { .out = stdout };
	int ret;

	json_open(&j, NULL, '{');
	json_str(&j, "path", path);
	json_str(&j, "format", vd_disk_format(disk, 0)->name);
	json_str(&j, "variant", i->variant);
	json_u64(&j, "virtual_size", vd_disk_size(disk));
	json_u64(&j, "allocated", f->allocated);
	json_u64(&j, "unit", i->unit);
	json_u64(&j, "file_size", f->file_size);
	json_u64(&j, "file_used", f->file_used);
	json_u64(&j, "depth", vd_disk_depth(disk));
	json_bool(&j, "readonly", i->flags & VD_IMG_RDONLY);
	json_bool(&j, "unclean", i->flags & VD_IMG_UNCLEAN);
	json_open(&j, "details", '[');
	ret = tell_details(disk, &j, err);
	json_close(&j, ']');
	json_close(&j, '}');
	putchar('\n');
	return ret;
}

/* ------------------------------------------------------------------- verb */

static int
open_image(struct vd_library *lib, const char *path, const char *format,
	   unsigned flags, struct vd_disk **disk, struct vd_err *err)
{
	struct vd_open opts = {
		.size = sizeof(opts),
		.flags = VD_DISK_RDONLY | VD_DISK_SHARED | flags,
		.format = format,
	};
	int ret = vd_disk_open(lib, path, &opts, disk, err);

	if (ret)
		vd_err_file(err, path);
	return ret;
}

static int
tell(struct vd_library *lib, const char *path, const char *format,
     unsigned flags, bool json)
{
	struct vd_err err = { 0 };
	struct vd_disk *disk;
	struct figures f;
	int ret;

	ret = open_image(lib, path, format, flags, &disk, &err);
	if (ret)
		return adm_failed(&err);
	ret = measure(disk, path, &f, &err);
	if (!ret)
		ret = (json ? json_info : print_info)(disk, path, &f, &err);
	vd_disk_close(disk, NULL);
	vd_err_file(&err, path);
	return ret ? adm_failed(&err) : CMD_OK;
}

static int
run(struct vd_library *lib, int argc, char **argv)
{
	static const struct option options[] = {
		{ "devices", no_argument, NULL, 'D' },
		{ "json", no_argument, NULL, 'j' },
		{ "type", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct adm_type type = { 0 };
	unsigned flags = 0;
	bool json = false;
	int c;

	while ((c = getopt_long(argc, argv, ":jt:h", options, NULL)) != -1) {
		switch (c) {
		case 'D':
			flags |= VD_DISK_DEVICES;
			break;
		case 'j':
			json = true;
			break;
		case 't':
			adm_parse_type(&adm_info, lib, optarg, &type);
			break;
		case 'h':
			adm_help(&adm_info);
		default:
			adm_bad_option(&adm_info, c, argv);
		}
	}
	if (optind + 1 != argc)
		adm_usage(&adm_info, optind == argc ?
			  "the name of the image is missing" :
			  "one image at a time");
	return tell(lib, argv[optind], type.format ? type.format->name : NULL,
		    flags, json);
}

const struct adm_verb adm_info = {
	.name = "info",
	.summary = "tell what an image is and what it takes",
	.usage = "info [--json] [--devices] [-t type] path",
	.details =
"  -j, --json  one JSON object\n"
"  --devices   block devices that the image is kept on may be read\n"
"  -t type     the format; usually found by looking\n"
"\n"
"path is only read, also while a guest or another program writes it.\n",
	.run = run,
};
