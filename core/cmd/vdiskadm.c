/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdiskadm - make, copy, freeze, check and mend virtual disks.
 *
 * Here: which verb, its help, and what the verbs share.  Each verb has a file
 * of its own, adm-VERB.c.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "adm.h"
#include "cmd.h"

static const struct adm_verb *const verbs[] = {
	&adm_list, &adm_create, &adm_destroy, &adm_translate, &adm_info,
	&adm_snapshot, &adm_rollback, &adm_clone, &adm_relink,
	&adm_verify, &adm_repair, &adm_resize, &adm_compact,
};
#define NVERBS	(sizeof(verbs) / sizeof(verbs[0]))

/* ------------------------------------------------------------------- help */

static void
print_verb(FILE *out, const struct adm_verb *v)
{
	fprintf(out, "%s - %s\n\nusage: vdiskadm %s\n", v->name, v->summary,
		v->usage);
}

void
adm_usage(const struct adm_verb *v, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	cmd_errorf("%s", text);
	cmd_helpf("usage: vdiskadm %.*s", (int)strcspn(v->usage, "\n"),
		  v->usage);
	for (const char *s = strchr(v->usage, '\n'); s; s = strchr(s, '\n')) {
		s++;
		cmd_helpf("%.*s", (int)strcspn(s, "\n"), s);
	}
	exit(CMD_USAGE);
}

void
adm_bad_option(const struct adm_verb *v, int c, char **argv)
{
	char name[3] = { '-', (char)optopt };
	const char *option = optopt ? name : argv[optind - 1];

	if (c == ':')
		adm_usage(v, "option %s needs an argument", option);
	adm_usage(v, "bad option %s", option);
}

void
adm_help(const struct adm_verb *v)
{
	print_verb(stdout, v);
	printf("\n%s", v->details);
	exit(cmd_finish(CMD_OK));
}

static void
print_formats(struct vd_library *lib)
{
	const struct vd_format *f;

	printf("\nformats that can be made (-t, -x):");
	for (unsigned i = 0; (f = vd_library_format(lib, i, NULL)); i++)
		if (f->create)
			printf(" %s", f->name);
	printf("\nformats that can be read (-i):    ");
	for (unsigned i = 0; (f = vd_library_format(lib, i, NULL)); i++)
		printf(" %s", f->name);
	putchar('\n');
}

static int
list_verbs(struct vd_library *lib)
{
	printf("vdiskadm - make, copy, freeze, check and mend virtual disks\n\n"
	       "usage: vdiskadm command [argument ...]\n\n");
	for (size_t i = 0; i < NVERBS; i++)
		printf("  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
	printf("  %-10s this list; `vdiskadm help command` tells more\n",
	       "help");
	print_formats(lib);
	printf("\nexit: 0 done, 1 the image is damaged or not supported, "
	       "2 wrong usage,\n      3 the system refused\n");
	return CMD_OK;
}

static const struct adm_verb *
find_verb(const char *name)
{
	for (size_t i = 0; i < NVERBS; i++)
		if (!strcmp(verbs[i]->name, name))
			return verbs[i];
	return NULL;
}

static int
help(struct vd_library *lib, int argc, char **argv)
{
	const struct adm_verb *v;

	if (argc == 1)
		return list_verbs(lib);
	v = argc == 2 ? find_verb(argv[1]) : NULL;
	if (!v)
		cmd_usage("usage: vdiskadm help [command]; "
			  "`vdiskadm help` lists the commands");
	adm_help(v);
}

/* ----------------------------------------------------------------- shared */

/* Codes that only the content of an image, or a format's limits, can earn. */
static bool
image_is_the_reason(int code)
{
	switch (code) {
	case EINVAL:
	case EILSEQ:
	case EBADMSG:
	case EUCLEAN:
	case EPROTO:
	case EFBIG:
	case ERANGE:
	case EOVERFLOW:
	case ENOTSUP:
	case ENOSYS:
	case EMEDIUMTYPE:
		return true;
	}
	return false;
}

int
adm_failed(const struct vd_err *err)
{
	cmd_error(err);
	return image_is_the_reason(err->code) ? CMD_NO : CMD_REFUSED;
}

static const struct vd_format *
find_format(struct vd_library *lib, const char *name, size_t len)
{
	const struct vd_format *f;

	for (unsigned i = 0; (f = vd_library_format(lib, i, NULL)); i++)
		if (strlen(f->name) == len && !strncasecmp(f->name, name, len))
			return f;
	return NULL;
}

/*
 * The format's own spelling of a name, or NULL.  One that ends in a colon takes
 * more words behind it, which are the format's own affair.
 */
static const char *
find_name(const char *const *list, const char *name, size_t len)
{
	for (; list && *list; list++) {
		size_t n = strlen(*list);

		if (!n || len < n || strncasecmp(*list, name, n))
			continue;
		if (len == n && (*list)[n - 1] != ':')
			return *list;
		if (len > n && (*list)[n - 1] == ':')
			return name;
	}
	return NULL;
}

static bool
ends_in_fixed(const char *opt, size_t *len)
{
	static const char fixed[] = ":fixed";
	size_t n = strlen(opt), m = strlen(fixed);

	*len = n > m && !strcmp(opt + n - m, fixed) ? n - m : n;
	return *len != n;
}

static void
bad_variant(const struct adm_verb *v, const struct vd_format *f,
	    const char *arg)
{
	char names[256] = "";
	const char *const *list[] = { f->variants, f->packs };

	for (size_t i = 0; i < 2; i++)
		for (const char *const *n = list[i]; n && *n; n++)
			if (**n && strlen(names) + strlen(*n) + 3 <
			    sizeof(names))
				strcat(strcat(names, ", "), *n);
	adm_usage(v, "\"%s\": after the colon comes sparse or fixed%s%s", arg,
		  *names ? ", or one of " : "", *names ? names + 2 : "");
}

void
adm_parse_type(const struct adm_verb *v, struct vd_library *lib,
	       const char *arg, struct adm_type *type)
{
	size_t len = strcspn(arg, ":");
	const char *opt = arg[len] ? arg + len + 1 : "sparse";
	const struct vd_format *f = find_format(lib, arg, len);

	if (!f)
		adm_usage(v, "no format is called \"%.*s\"; "
			  "`vdiskadm help` lists them", (int)len, arg);
	*type = (struct adm_type){ .format = f };
	type->fixed = !strcmp(opt, "fixed");
	if (type->fixed || !strcmp(opt, "sparse"))
		return;
	type->fixed = ends_in_fixed(opt, &len);
	type->variant = find_name(f->variants, opt, len);
	if (type->variant)
		return;
	type->variant = find_name(f->packs, opt, strlen(opt));
	type->pack = type->variant;
	if (!type->pack)
		bad_variant(v, f, arg);
}

/* ---------------------------------------------------------------- signals */

static volatile sig_atomic_t stop;

static void
on_signal(int sig)
{
	stop = sig;
}

/* SA_RESTART: a write in progress ends well, the copy loop then looks. */
void
adm_catch_signals(void)
{
	static const int sigs[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction old, act = {
		.sa_handler = on_signal,
		.sa_flags = SA_RESTART,
	};

	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		if (!sigaction(sigs[i], NULL, &old) &&
		    old.sa_handler != SIG_IGN)	/* nohup */
			sigaction(sigs[i], &act, NULL);
}

int
adm_interrupted(struct vd_err *err)
{
	return stop ? vd_fail(err, ECANCELED, VD_NOWHERE, "interrupted") : 0;
}

/* Of the signal that asked for it, so that a shell loop around us ends too. */
void
adm_die_if_stopped(void)
{
	if (!stop)
		return;
	signal(stop, SIG_DFL);
	raise(stop);
}

/* ------------------------------------------------------------------- main */

static int
run(struct vd_library *lib, int argc, char **argv)
{
	const struct adm_verb *v;

	if (!strcmp(argv[0], "help"))
		return help(lib, argc, argv);
	v = find_verb(argv[0]);
	if (!v)
		cmd_usage("unknown command \"%s\"; "
			  "`vdiskadm help` lists the commands", argv[0]);
	optind = 0;	/* getopt starts over, at the verb's own arguments */
	return v->run(lib, argc, argv);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	struct vd_err err = { 0 };
	struct vd_library *lib;
	bool want_help = false;
	int c, status;

	cmd_init("vdiskadm");
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:hV", options, NULL)) != -1) {
		if (c == 'V')
			cmd_version();
		if (c != 'h')
			cmd_bad_option(c, argv);
		want_help = true;
	}
	if (!want_help && optind == argc)
		cmd_usage("which command?");

	if (vd_library_open(NULL, &lib, &err) < 0)
		cmd_die(&err);
	if (want_help)
		status = list_verbs(lib);
	else
		status = run(lib, argc - optind, argv + optind);
	vd_library_close(lib);
	return cmd_finish(status);
}
