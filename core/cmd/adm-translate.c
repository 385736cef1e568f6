/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-translate.c - vdiskadm translate: the same disk in another format.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include "adm.h"
#include "cmd.h"

struct args {
	const char     *in;
	const char     *out;
	struct adm_type	from;		/* format NULL: probe */
	struct adm_type	to;
	unsigned	flags;		/* VD_DISK_DEVICES */
};

struct job {
	struct vd_library *lib;
	const struct adm_job *args;
	struct vd_disk *to;
	struct adm_out	out;
};

/* -------------------------------------------------------------- arguments */

static void
parse(struct vd_library *lib, int argc, char **argv, struct args *a)
{
	static const struct option options[] = {
		{ "devices", no_argument, NULL, 'D' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const struct adm_verb *v = &adm_translate;
	int c;

	while ((c = getopt_long(argc, argv, ":i:I:x:d:h", options,
				NULL)) != -1) {
		switch (c) {
		case 'i':
			adm_parse_type(v, lib, optarg, &a->from);
			break;
		case 'I':
			a->in = optarg;
			break;
		case 'x':
			adm_parse_type(v, lib, optarg, &a->to);
			break;
		case 'd':
			a->out = optarg;
			break;
		case 'D':
			a->flags |= VD_DISK_DEVICES;
			break;
		case 'h':
			adm_help(v);
		default:
			adm_bad_option(v, c, argv);
		}
	}
	if (optind < argc)
		adm_usage(v, "what is \"%s\"? the image is named with -I",
			  argv[optind]);
	if (!a->in)
		adm_usage(v, "the image to read is missing (-I)");
	if (!a->out)
		adm_usage(v, "the image to make is missing (-d)");
	if (!a->to.format)
		adm_usage(v, "the type to make is missing (-x)");
}

/* -------------------------------------------------------------------- job */

static int
open_in(struct vd_library *lib, const struct args *a, struct vd_disk **in,
	struct vd_err *err)
{
	struct vd_open opts = {
		.size = sizeof(opts),
		.flags = VD_DISK_RDONLY | a->flags,
		.format = a->from.format ? a->from.format->name : NULL,
	};
	int ret = vd_disk_open(lib, a->in, &opts, in, err);

	if (ret)
		vd_err_file(err, a->in);
	return ret;
}

static bool
same_device(const char *a, const char *b)
{
	struct stat sa, sb;

	return !stat(a, &sa) && !stat(b, &sb) && S_ISBLK(sa.st_mode) &&
	       S_ISBLK(sb.st_mode) && sa.st_rdev == sb.st_rdev;
}

static int
check_device(struct job *j, struct vd_err *err)
{
	const struct vd_format *f = j->args->to.format;

	if (!(f->flags & VD_FORMAT_REST))
		return vd_fail(err, ENOTSUP, VD_NOWHERE, "a device takes raw "
			       "bytes, not %s; use -x raw", f->name);
	if (same_device(vd_disk_path(j->args->in, 0), j->args->out))
		return vd_fail(err, EINVAL, VD_NOWHERE,
			       "is the disk to read, too");
	return 0;
}

static int
create_out(struct job *j, struct vd_err *err)
{
	struct vd_create c = {
		.size = sizeof(c),
		.flags = j->args->to.fixed ? VD_CREATE_FIXED : 0,
		.virtual_size = vd_disk_size(j->args->in),
		.comment = j->args->comment,
	};
	int ret;

	if (j->out.device)
		return check_device(j, err);
	ret = vd_create_image(j->lib, j->args->to.format->name, j->out.made, &c,
			      err);
	return ret ? ret : adm_out_check(&j->out, err);
}

static int
open_out(struct job *j, struct vd_err *err)
{
	struct vd_open opts = {
		.size = sizeof(opts),
		.flags = VD_DISK_BATCH,
		.format = j->args->to.format->name,
	};

	return vd_disk_open(j->lib, j->out.made, &opts, &j->to, err);
}

/* A device may be larger; an image that is made has the size it was asked. */
static int
check_size(struct job *j, struct vd_err *err)
{
	uint64_t in = vd_disk_size(j->args->in), to = vd_disk_size(j->to);

	if (j->out.device && to < in)
		return vd_fail(err, ENOSPC, VD_NOWHERE, "the device has %"
			       PRIu64 " bytes, the disk %" PRIu64, to, in);
	if (!j->out.device && to != in)
		return vd_fail(err, ERANGE, VD_NOWHERE, "%s cannot hold a disk "
			       "of exactly %" PRIu64 " bytes, only %" PRIu64,
			       j->args->to.format->name, in, to);
	return 0;
}

/* Each step runs only if all before it did; what was begun is ended. */
static int
make_out(struct job *j, struct vd_err *err)
{
	struct vd_err late = { 0 };
	int ret;

	ret = adm_out_begin(&j->out, j->args->out, err);
	if (!ret)
		ret = create_out(j, err);
	if (!ret)
		ret = adm_interrupted(err);
	if (!ret)
		ret = open_out(j, err);
	if (ret)
		return ret;

	ret = check_size(j, err);
	if (!ret)
		ret = adm_copy(j->args->in, j->to, !j->out.device, err);
	/* Closing what will be removed may fail as it likes. */
	if (vd_disk_close(j->to, ret ? &late : err) && !ret)
		ret = -err->code;
	if (!ret)
		ret = adm_interrupted(err);
	return ret ? ret : adm_out_publish(&j->out, err);
}

int
adm_make_copy(struct vd_library *lib, const struct adm_job *args,
	      struct vd_err *err)
{
	struct job j = { .lib = lib, .args = args };
	int ret = make_out(&j, err);

	if (ret) {
		adm_out_name_error(&j.out, err);
		vd_err_file(err, args->out);
	}
	if (ret && j.out.device && j.to)
		vd_err_help(err, "the device holds a part of the copy now");
	adm_out_end(&j.out);
	return ret;
}

static int
run(struct vd_library *lib, int argc, char **argv)
{
	struct args a = { 0 };
	struct adm_job job = { 0 };
	struct vd_err err = { 0 };
	int ret;

	parse(lib, argc, argv, &a);
	adm_catch_signals();
	ret = open_in(lib, &a, &job.in, &err);
	if (!ret) {
		job.out = a.out;
		job.to = a.to;
		ret = adm_make_copy(lib, &job, &err);
		vd_disk_close(job.in, NULL);
	}
	adm_die_if_stopped();
	return ret ? adm_failed(&err) : CMD_OK;
}

const struct adm_verb adm_translate = {
	.name = "translate",
	.summary = "copy an image to another format",
	.usage = "translate [-i type] [--devices] -I in "
		 "-x type[:sparse|:fixed] -d out",
	.details =
"  -I in       the image to read; only read, and not while others write it\n"
"  -i type     its format; usually found by looking\n"
"  --devices   block devices that it is kept on may be read\n"
"  -d out      the image to make, which must not exist; or, for raw, a block\n"
"              device that is large enough\n"
"  -x type     its format\n"
"     :sparse  takes space for what is not zero (usual)\n"
"     :fixed   takes all its space\n"
"\n"
"Nothing half-made stays under the name out, whatever happens.\n",
	.run = run,
};
