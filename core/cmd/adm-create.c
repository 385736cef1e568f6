/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-create.c - vdiskadm create: a new, empty image.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include "adm.h"
#include "cmd.h"

struct args {
	const char     *path;
	const char     *comment;
	const char     *parent;
	uint64_t	bytes, unit;
	struct adm_type	type;
	struct vd_open	open;		/* of the parent */
};

static void
parse_size(const char *arg, uint64_t *bytes)
{
	struct vd_err err = { 0 };

	if (cmd_parse_size(arg, bytes, &err) < 0)
		adm_usage(&adm_create, "%s", err.msg);
	if (*bytes % 512)
		adm_usage(&adm_create, "a disk is a multiple of 512 bytes; "
			  "%s is not", arg);
}

/*
 * The name decides what the image is when it is opened, so a type that
 * contradicts it would make a file that is refused, or misread, later.
 */
static void
settle_type(struct vd_library *lib, struct args *a)
{
	const struct vd_format *by_name;

	by_name = vd_library_by_extension(lib, a->path);
	if (!by_name)
		adm_usage(&adm_create, "%s: its name must end like that of an "
			  "image (.vmdk, .vdi, .raw); a disk that is a folder "
			  "cannot be made yet", a->path);
	if (!a->type.format)
		a->type.format = by_name;
	if (a->type.format != by_name)
		adm_usage(&adm_create, "%s: its name says %s, but -t says %s",
			  a->path, by_name->name, a->type.format->name);
}

static void
parse(struct vd_library *lib, int argc, char **argv, struct args *a)
{
	static const struct option options[] = {
		{ "size", required_argument, NULL, 's' },
		{ "type", required_argument, NULL, 't' },
		{ "comment", required_argument, NULL, 'c' },
		{ "parent", required_argument, NULL, 'p' },
		{ "unit", required_argument, NULL, 'u' },
		{ "allow-outside", no_argument, NULL, 'O' },
		{ "devices", no_argument, NULL, 'D' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, ":s:t:c:p:u:h", options, NULL)) != -1) {
		switch (c) {
		case 's':
			parse_size(optarg, &a->bytes);
			break;
		case 't':
			adm_parse_type(&adm_create, lib, optarg, &a->type);
			break;
		case 'c':
			a->comment = optarg;
			break;
		case 'p':
			a->parent = optarg;
			break;
		case 'u':
			parse_size(optarg, &a->unit);
			break;
		case 'O':
			a->open.flags |= VD_DISK_ANYWHERE;
			break;
		case 'D':
			a->open.flags |= VD_DISK_DEVICES;
			break;
		case 'h':
			adm_help(&adm_create);
		default:
			adm_bad_option(&adm_create, c, argv);
		}
	}
	if (optind == argc)
		adm_usage(&adm_create, "the name of the image is missing");
	if (optind + 1 < argc)
		adm_usage(&adm_create, "one image at a time, not also \"%s\"",
			  argv[optind + 1]);
	if (!a->bytes && !a->parent)
		adm_usage(&adm_create, "the size is missing (-s)");
	if (a->parent && (a->bytes || a->type.fixed))
		adm_usage(&adm_create, "a child has the size of its parent, "
			  "and takes space as it is written");
	a->path = argv[optind];
	settle_type(lib, a);
}

static int
create(struct vd_library *lib, const struct args *a, struct adm_out *out,
       struct vd_err *err)
{
	struct vd_create c = {
		.size = sizeof(c),
		.flags = a->type.fixed ? VD_CREATE_FIXED : 0,
		.virtual_size = a->bytes,
		.unit = a->unit,
		.variant = a->type.variant,
		.comment = a->comment,
	};
	int ret;

	ret = adm_out_begin(out, a->path, err);
	if (!ret && out->device)
		ret = vd_fail(err, EEXIST, VD_NOWHERE, "is a block device");
	if (!ret)
		ret = vd_create_image(lib, a->type.format->name, out->made, &c,
				      err);
	if (ret && a->type.pack)
		vd_err_help(err, "vdiskadm translate -I DISK -x %s:%s -d %s "
			    "makes one from another disk",
			    a->type.format->name, a->type.variant, a->path);
	if (!ret)
		ret = adm_interrupted(err);
	return ret ? ret : adm_out_publish(out, err);
}

static int
create_child(struct vd_library *lib, const struct args *a)
{
	struct vd_create c = {
		.size = sizeof(c),
		.unit = a->unit,
		.variant = a->type.variant,
		.comment = a->comment,
	};
	struct vd_err err = { 0 };

	if (!vd_create_child(lib, a->type.format->name, a->path, a->parent,
			     &a->open, &c, &err))
		return CMD_OK;
	vd_err_file(&err, a->path);
	return adm_failed(&err);
}

static int
run(struct vd_library *lib, int argc, char **argv)
{
	struct args a = { .open.size = sizeof(a.open) };
	struct adm_out out = { 0 };
	struct vd_err err = { 0 };
	int ret;

	parse(lib, argc, argv, &a);
	if (a.parent)
		return create_child(lib, &a);
	adm_catch_signals();
	ret = create(lib, &a, &out, &err);
	if (ret) {
		adm_out_name_error(&out, &err);
		vd_err_file(&err, a.path);
	}
	adm_out_end(&out);
	adm_die_if_stopped();
	return ret ? adm_failed(&err) : CMD_OK;
}

const struct adm_verb adm_create = {
	.name = "create",
	.summary = "make a new, empty image",
	.usage = "create -s size [-t type[:sparse|:fixed|:name]] [-u size]\n"
		 "                       [-c comment] path\n"
		 "       vdiskadm create -p parent [-t type[:name]] [-u size]\n"
		 "                       [-c comment] path",
	.details =
"  -s size     of the disk: 10g, 1.5T, 64m; powers of 1024\n"
"  -t type     the format; usually the end of path says it\n"
"     :sparse  takes space as it is written (usual)\n"
"     :fixed   takes all its space now\n"
"     :name    what the format calls it: vmdk:twoGbMaxExtentSparse, vmdk:vmfs,\n"
"              vmdk:vmfs:fixed, vmdk:custom:sparse=4g,zero=1g,flat=2g\n"
"  -u size     of an allocation unit: 4k, 1m; what the format allows\n"
"  -p parent   make a child of this image: it reads as its parent does, of which\n"
"              it needs every byte from now on, and takes what is written\n"
"  --allow-outside  the parent may lie outside the folder of path\n"
"  --devices   block devices that the parent is kept on may be read\n"
"  -c comment  kept in the image, where the format has room for it\n"
"\n"
"path must not exist and ends like an image: .vmdk, .vdi, .raw.\n",
	.run = run,
};
