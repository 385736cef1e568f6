/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-translate.c - vdiskadm translate: the same disk in another format.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "adm.h"
#include "cmd.h"

struct args {
	const char     *in;
	const char     *out;
	struct adm_type	from;		/* format NULL: probe */
	struct adm_type	to;
	unsigned	flags;		/* VD_DISK_DEVICES */
	uint64_t	unit;
	bool		hash, verify, nosync;
	const char     *progress;
};

struct job {
	struct vd_library *lib;
	const struct adm_job *args;
	struct adm_meter *meter;
	struct vd_disk *to;
	struct adm_out	out;
};

/* -------------------------------------------------------------- arguments */

#define OWN_FDS	"/proc/self/fd/"	/* as adm_spool() has it */

enum { OPT_HASH = 256, OPT_VERIFY, OPT_NO_SYNC, OPT_PROGRESS };

static void
parse_unit(const char *arg, uint64_t *unit)
{
	struct vd_err err = { 0 };

	if (cmd_parse_size(arg, unit, &err) < 0)
		adm_usage(&adm_translate, "--unit: %s", err.msg);
}

static bool
takes_variant(const struct adm_type *t)
{
	const char *const *p = t->format->packs;

	for (; p && *p; p++)
		if (!strcmp(*p, t->variant ? t->variant : ""))
			return true;
	return false;
}

/* Only what is made in one pass can go into a pipe. */
static void
check_pipe(struct args *a)
{
	const char *const *p = a->to.format->packs;

	if (isatty(STDOUT_FILENO))
		adm_usage(&adm_translate, "-d -: not onto a terminal");
	if (a->verify)
		adm_usage(&adm_translate, "--verify reads what was written "
			  "again: not from a pipe");
	if (a->to.fixed)
		adm_usage(&adm_translate, "a pipe takes no space: not :fixed");
	if (takes_variant(&a->to))
		a->to.pack = true;
	else if (p && *p)
		adm_usage(&adm_translate, "this type cannot be written to a "
			  "pipe, %s:%s can", a->to.format->name, *p);
	else
		adm_usage(&adm_translate, "%s cannot be written to a pipe",
			  a->to.format->name);
}

static void
check_args(struct args *a)
{
	const struct adm_verb *v = &adm_translate;

	if (!a->in)
		adm_usage(v, "the image to read is missing (-I)");
	if (!a->out)
		adm_usage(v, "the image to make is missing (-d)");
	if (!a->to.format)
		adm_usage(v, "the type to make is missing (-x)");
	if (a->unit && (a->to.format->flags & VD_FORMAT_REST))
		adm_usage(v, "%s has no units", a->to.format->name);
	if (a->progress && strcmp(a->progress, "json") &&
	    strcmp(a->progress, "bar") && strcmp(a->progress, "none"))
		adm_usage(v, "--progress=%s: it is bar, json or none",
			  a->progress);
	if (!strcmp(a->out, "-"))
		check_pipe(a);
}

static void
parse(struct vd_library *lib, int argc, char **argv, struct args *a)
{
	static const struct option options[] = {
		{ "devices", no_argument, NULL, 'D' },
		{ "unit", required_argument, NULL, 'u' },
		{ "hash", no_argument, NULL, OPT_HASH },
		{ "verify", no_argument, NULL, OPT_VERIFY },
		{ "no-sync", no_argument, NULL, OPT_NO_SYNC },
		{ "progress", required_argument, NULL, OPT_PROGRESS },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const struct adm_verb *v = &adm_translate;
	int c;

	while ((c = getopt_long(argc, argv, ":i:I:x:d:u:h", options,
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
		case 'u':
			parse_unit(optarg, &a->unit);
			break;
		case OPT_HASH:
			a->hash = true;
			break;
		case OPT_VERIFY:
			a->verify = true;
			break;
		case OPT_NO_SYNC:
			a->nosync = true;
			break;
		case OPT_PROGRESS:
			a->progress = optarg;
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
	check_args(a);
}

/* -------------------------------------------------------------------- job */

/* A pipe may hold anything, a server's words of regret for example. */
static int
check_guess(struct vd_disk *in, struct vd_err *err)
{
	if (!(vd_disk_format(in, 0)->flags & VD_FORMAT_REST))
		return 0;
	vd_disk_close(in, NULL);
	vd_fail(err, EMEDIUMTYPE, VD_NOWHERE, "no image that is known");
	vd_err_help(err, "if it is the bytes of a disk, say -i raw");
	return -EMEDIUMTYPE;
}

/* *fd: what the disk is read from, if it had to be laid out first. */
static int
open_in(struct vd_library *lib, const struct args *a, int *fd,
	struct vd_disk **in, struct vd_err *err)
{
	struct vd_open opts = {
		.size = sizeof(opts),
		.flags = VD_DISK_RDONLY | a->flags,
		.format = a->from.format ? a->from.format->name : NULL,
	};
	bool pipe = !strcmp(a->in, "-");
	char path[64];
	int ret = adm_spool(lib, a->in, a->from.format, a->out, fd, path, err);

	if (!ret)
		ret = vd_disk_open(lib, *fd >= 0 ? path : a->in, &opts, in,
				   err);
	if (!ret && pipe && !a->from.format)
		ret = check_guess(*in, err);
	if (ret && !strncmp(err->file, OWN_FDS, strlen(OWN_FDS))) {
		err->file[0] = err->help[0] = '\0';
		vd_err_help(err, "what comes from a pipe, or gzip, must be one "
			    "file with all of its disk");
	}
	if (ret)
		vd_err_file(err, pipe ? "standard input" : a->in);
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
		.flags = (j->args->to.fixed ? VD_CREATE_FIXED : 0) |
			 (j->args->nosync ? VD_CREATE_NOSYNC : 0),
		.virtual_size = vd_disk_size(j->args->in),
		.unit = j->args->unit,
		.variant = j->args->to.variant,
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
open_out(struct job *j, unsigned flags, struct vd_err *err)
{
	struct vd_open opts = {
		.size = sizeof(opts),
		.flags = flags,
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

static int
close_out(struct job *j, int ret, struct vd_err *err)
{
	struct vd_err late = { 0 };
	struct vd_disk *to = j->to;

	if (!to)
		return ret;
	/* Closing what will be removed may fail as it likes. */
	j->to = NULL;
	if (vd_disk_close(to, ret ? &late : err) && !ret)
		ret = -err->code;
	return ret;
}

static int
fill_by_writes(struct job *j, struct vd_err *err)
{
	int ret = create_out(j, err);

	if (!ret)
		ret = adm_interrupted(err);
	if (!ret)
		ret = open_out(j, VD_DISK_BATCH | (j->args->nosync ?
					VD_DISK_NOSYNC : 0), err);
	if (!ret)
		ret = check_size(j, err);
	if (!ret)
		ret = adm_copy(j->args->in, j->to, !j->out.device, j->meter,
			       err);
	return close_out(j, ret, err);
}

static int
fill_in_one_pass(struct job *j, struct vd_err *err)
{
	int fd, ret;

	if (j->out.device)
		return check_device(j, err);
	fd = open(j->out.made, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return vd_fail(err, errno, VD_NOWHERE, "cannot create: %s",
			       strerror(errno));
	ret = adm_pack(j->lib, j->args, fd, j->meter, err);
	if (!ret && !j->args->nosync && fsync(fd))
		ret = vd_fail(err, errno, VD_NOWHERE, "cannot make it "
			      "durable: %s", strerror(errno));
	if (close(fd) && !ret)
		ret = vd_fail(err, errno, VD_NOWHERE, "cannot close: %s",
			      strerror(errno));
	return ret;
}

/* What is compared comes from the disk, not from the memory it went through. */
static int
verify(struct job *j, struct vd_err *err)
{
	struct adm_hash *hash = j->meter->hash;
	int ret = adm_out_forget(&j->out, err);

	if (!ret)
		ret = open_out(j, VD_DISK_RDONLY, err);
	if (!ret)
		ret = check_size(j, err);
	j->meter->hash = NULL;
	if (!ret)
		ret = adm_compare(j->args->in, j->to,
				  vd_disk_size(j->args->in), j->meter, err);
	j->meter->hash = hash;
	return close_out(j, ret, err);
}

/* Each step runs only if all before it did; what was begun is ended. */
static int
make_out(struct job *j, struct vd_err *err)
{
	int ret;

	if (!strcmp(j->args->out, "-"))
		return adm_pack(j->lib, j->args, STDOUT_FILENO, j->meter, err);
	j->out.nosync = j->args->nosync;
	ret = adm_out_begin(&j->out, j->args->out, err);
	if (!ret)
		ret = j->args->to.pack ? fill_in_one_pass(j, err)
				       : fill_by_writes(j, err);
	if (!ret)
		ret = adm_interrupted(err);
	if (!ret && j->args->verify)
		ret = verify(j, err);
	if (!ret)
		ret = adm_interrupted(err);
	return ret ? ret : adm_out_publish(&j->out, err);
}

int
adm_make_copy(struct vd_library *lib, const struct adm_job *args,
	      struct vd_err *err)
{
	struct job j = { .lib = lib, .args = args, .meter = args->meter };
	struct adm_meter usual;
	int ret;

	if (!j.meter) {
		adm_meter_init(&usual);
		j.meter = &usual;
	}
	ret = make_out(&j, err);
	if (ret) {
		adm_out_name_error(&j.out, err);
		vd_err_file(err, strcmp(args->out, "-") ? args->out
							: "standard output");
	}
	if (ret && j.out.device && j.meter->done)
		vd_err_help(err, "the device holds a part of the copy now");
	adm_out_end(&j.out);
	return ret;
}

/* To stdout, unless that is where the disk went. */
static void
tell_hash(const struct args *a, struct adm_meter *m)
{
	FILE *out = strcmp(a->out, "-") ? stdout : stderr;
	char text[65];

	adm_hash_text(m->hash, text);
	if (m->show == ADM_JSON)
		fprintf(stderr, "{\"sha256\":\"%s\"}\n", text);
	else
		fprintf(out, "sha256:%s\n", text);
}

static int
translate(struct vd_library *lib, const struct args *a, struct adm_meter *m,
	  struct vd_err *err)
{
	struct adm_job job = {
		.out = a->out, .to = a->to, .unit = a->unit, .meter = m,
		.verify = a->verify, .nosync = a->nosync,
	};
	int fd = -1;
	int ret = a->hash ? adm_hash_new(&m->hash, err) : 0;

	if (!ret)
		ret = open_in(lib, a, &fd, &job.in, err);
	if (!ret) {
		ret = adm_make_copy(lib, &job, err);
		vd_disk_close(job.in, NULL);
	}
	if (fd >= 0)
		close(fd);
	if (!ret && m->hash)
		tell_hash(a, m);
	adm_hash_free(m->hash);
	return ret;
}

static int
run(struct vd_library *lib, int argc, char **argv)
{
	struct args a = { 0 };
	struct adm_meter m;
	struct vd_err err = { 0 };
	int ret;

	parse(lib, argc, argv, &a);
	adm_meter_init(&m);
	if (a.progress)
		m.show = !strcmp(a.progress, "json") ? ADM_JSON :
			 !strcmp(a.progress, "bar") ? ADM_BAR : ADM_QUIET;
	/* Into a pipe there is nothing to take back, and writing may block. */
	if (strcmp(a.out, "-"))
		adm_catch_signals();
	ret = translate(lib, &a, &m, &err);
	adm_die_if_stopped();
	return ret ? adm_failed(&err) : CMD_OK;
}

const struct adm_verb adm_translate = {
	.name = "translate",
	.summary = "copy an image to another format",
	.usage = "translate [-i type] [--devices] -I in -x type[:opt] [-u size] [--hash]\n"
		 "       [--verify] [--no-sync] [--progress=bar|json|none] -d out",
	.details =
"  -I in       the image to read; only read, and not while others write it;\n"
"              - is standard input; gzip around a known image is taken off\n"
"  -i type     its format; usually found by looking\n"
"  --devices   block devices that it is kept on may be read\n"
"  -d out      the image to make, which must not exist; or, for raw, a block\n"
"              device that is large enough; or - for standard output\n"
"  -x type     its format\n"
"     :sparse  takes space for what is not zero (usual)\n"
"     :fixed   takes all its space\n"
"     :name    what the format calls it, as in vmdk:streamOptimized\n"
"  -u size     of its units (grains, blocks), also --unit\n"
"  --hash      tell the SHA-256 of the disk's content\n"
"  --verify    read the new image again and compare, before it gets its name\n"
"  --no-sync   do not wait until the new image is safely on disk\n"
"  --progress  bar (usual on a terminal), json (lines on stderr) or none\n"
"\n"
"raw and vmdk:streamOptimized can be written to a pipe.\n"
"Nothing half-made stays under the name out, whatever happens.\n",
	.run = run,
};
