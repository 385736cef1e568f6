/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm-snap.c - what the verbs about snapshots and whole images share.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "adm.h"
#include "cmd.h"

static void
take(struct adm_words *w, int c)
{
	switch (c) {
	case 'r':
		w->recursive = true;
		break;
	case 'j':
		w->json = true;
		break;
	case 'f':
		w->files = true;
		break;
	case 'p':
		w->parsable = true;
		break;
	case 'n':
		w->plan = true;
		break;
	case 'S':
		w->shrink++;
		break;
	case 'c':
		w->comment = optarg;
		break;
	case 'u':
		w->undo = optarg;
		break;
	case 'R':
		w->restore = optarg;
		break;
	}
}

void
adm_get_words(const struct adm_verb *v, int argc, char **argv,
	      const char *letters, int least, int most, const char *what,
	      struct adm_words *w)
{
	static const struct option options[] = {
		{ "allow-outside", no_argument, NULL, 'O' },
		{ "devices", no_argument, NULL, 'D' },
		{ "json", no_argument, NULL, 'j' },
		{ "plan", no_argument, NULL, 'n' },
		{ "shrink", no_argument, NULL, 'S' },
		{ "comment", required_argument, NULL, 'c' },
		{ "undo", required_argument, NULL, 'u' },
		{ "restore", required_argument, NULL, 'R' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*w = (struct adm_words){ .open.size = sizeof(w->open) };
	while ((c = getopt_long(argc, argv, ":rjfpnc:u:h", options,
				NULL)) != -1) {
		if (c == 'h')
			adm_help(v);
		if (c == 'O' || c == 'D') {
			w->open.flags |= c == 'O' ? VD_DISK_ANYWHERE
						  : VD_DISK_DEVICES;
			continue;
		}
		if (c == '?' || c == ':')
			adm_bad_option(v, c, argv);
		if (!strchr(letters, c)) {
			optopt = c >= 'a' && argv[optind - 1][1] != '-' ? c : 0;
			adm_bad_option(v, '?', argv);
		}
		take(w, c);
	}
	w->n = argc - optind;
	w->word = argv + optind;
	if (w->n < least)
		adm_usage(v, "%s is missing", what);
	if (w->n > most)
		adm_usage(v, "what is \"%s\"?", w->word[most]);
}

static char *
copy(const struct adm_verb *v, const char *s, size_t len)
{
	char *p = strndup(s, len);

	(void)v;
	if (!p)
		cmd_dief("no memory");
	return p;
}

/* As the file is called: the name of the snapshot stands before the ending. */
static bool
split_file_name(const struct adm_verb *v, const char *arg, const char *at,
		bool must, struct adm_snap *s)
{
	const char *dot = strrchr(at, '.');
	size_t stem = (size_t)(at - arg);
	struct stat st;
	char *path;

	if (!dot)
		return false;
	path = copy(v, arg, strlen(arg));
	memmove(path + stem, dot, strlen(dot) + 1);
	if (!must && lstat(path, &st)) {
		free(path);	/* an image whose own name has an @ */
		return false;
	}
	s->path = path;
	s->name = copy(v, at + 1, (size_t)(dot - at) - 1);
	return true;
}

void
adm_get_snap(const struct adm_verb *v, struct vd_library *lib, const char *arg,
	     bool must, struct adm_snap *s)
{
	const char *base = strrchr(arg, '/');
	const char *at = strrchr(base ? base : arg, '@');
	char *left;

	*s = (struct adm_snap){ 0 };
	if (at) {
		left = copy(v, arg, (size_t)(at - arg));
		if (vd_library_by_extension(lib, left) ||
		    !vd_library_by_extension(lib, arg)) {
			s->path = left;
			s->name = copy(v, at + 1, strlen(at + 1));
		} else {
			free(left);
			split_file_name(v, arg, at, must, s);
		}
	}
	if (!s->path)
		s->path = copy(v, arg, strlen(arg));
	if (s->name ? !*s->name : must)
		adm_usage(v, "a snapshot is named with an @: %s@NAME",
			  s->path);
}

int
adm_change(const struct adm_verb *v, struct vd_library *lib, int argc,
	   char **argv, const char *letters, const char *what, bool must,
	   int (*change)(struct vd_library *lib, const struct adm_snap *s,
			 const struct adm_words *w, struct vd_err *err))
{
	struct vd_err err = { 0 };
	struct adm_words w;
	struct adm_snap s;
	int ret;

	adm_get_words(v, argc, argv, letters, 1, 1, what, &w);
	adm_get_snap(v, lib, w.word[0], must, &s);
	ret = change(lib, &s, &w, &err);
	free(s.path);
	free(s.name);
	return ret ? adm_failed(&err) : CMD_OK;
}
