/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * adm.h - what the verbs of vdiskadm share.
 */
#ifndef VD_ADM_H
#define VD_ADM_H

#include <stdbool.h>
#include <vdisk/vdisk.h>

struct adm_verb {
	const char     *name;
	const char     *summary;
	const char     *usage;		/* what follows "usage: vdiskadm " */
	const char     *details;
	/* argv[0] is the verb; returns the exit status. */
	int	      (*run)(struct vd_library *lib, int argc, char **argv);
};

extern const struct adm_verb adm_create, adm_info, adm_translate;

/* The sentence, then how the verb is used; exit CMD_USAGE. */
void	adm_usage(const struct adm_verb *v, const char *fmt, ...)
		__attribute__((noreturn, format(printf, 2, 3)));
void	adm_bad_option(const struct adm_verb *v, int c, char **argv)
		__attribute__((noreturn));
void	adm_help(const struct adm_verb *v) __attribute__((noreturn));

/*
 * Print err; returns CMD_NO when the image itself is the reason (damaged,
 * not supported), CMD_REFUSED when the system is.
 */
int	adm_failed(const struct vd_err *err);

/* type[:opt], type in any case, opt exactly "sparse" or "fixed". */
struct adm_type {
	const struct vd_format *format;
	bool		fixed;
};
void	adm_parse_type(const struct adm_verb *v, struct vd_library *lib,
		       const char *arg, struct adm_type *type);

/*
 * ^C and its like are remembered, so that what was begun can be taken back:
 * look with adm_interrupted() (ECANCELED) between steps, clean up, then die.
 */
void	adm_catch_signals(void);
int	adm_interrupted(struct vd_err *err);
void	adm_die_if_stopped(void);

/* ---- adm-out.c: the image being made, in sight only when it is whole */

#define ADM_OUT_PARTS	64

struct adm_out {
	char	       *path;	/* where the user wants it */
	char	       *work;	/* where it grows: its own folder beside path */
	char	       *made;	/* the image in there; path, if a device */
	bool		device;
	unsigned	nmoved;	/* files besides the image's own, published */
	char	       *moved[ADM_OUT_PARTS];
};

int	adm_out_begin(struct adm_out *o, const char *path, struct vd_err *err);
/* Is every name that the image needs still free? */
int	adm_out_check(struct adm_out *o, struct vd_err *err);
int	adm_out_publish(struct adm_out *o, struct vd_err *err);
void	adm_out_name_error(struct adm_out *o, struct vd_err *err);
/* Remove what is not published; harmless after publish. */
void	adm_out_end(struct adm_out *o);

/* ---- adm-copy.c */

/* Copy all of in to out.  fresh: out reads as zeros, so zeros are left out. */
int	adm_copy(struct vd_disk *in, struct vd_disk *out, bool fresh,
		 struct vd_err *err);

#endif
