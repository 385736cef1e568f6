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
extern const struct adm_verb adm_snapshot, adm_rollback, adm_clone,
			     adm_destroy, adm_list, adm_relink;
extern const struct adm_verb adm_verify, adm_repair, adm_resize, adm_compact;

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

/*
 * type[:opt], type in any case, opt exactly "sparse", "fixed" or one of the
 * variants that the format can make.
 */
struct adm_type {
	const struct vd_format *format;
	bool		fixed;
	const char     *variant;	/* NULL: the usual one */
	bool		pack;		/* made in one pass, and no other way */
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
	int		lock;	/* of the folder */
	unsigned	nfiles;	/* in it */
	bool		device;
	bool		nosync;
	unsigned	nmoved;	/* files besides the image's own, published */
	char	       *moved[ADM_OUT_PARTS];
};

int	adm_out_begin(struct adm_out *o, const char *path, struct vd_err *err);
/* Is every name that the image needs still free? */
int	adm_out_check(struct adm_out *o, struct vd_err *err);
/* Make it durable, and let memory forget it: the next read is the disk's. */
int	adm_out_forget(struct adm_out *o, struct vd_err *err);
int	adm_out_publish(struct adm_out *o, struct vd_err *err);
void	adm_out_name_error(struct adm_out *o, struct vd_err *err);
/* Remove what is not published; harmless after publish. */
void	adm_out_end(struct adm_out *o);

/* ---- adm-snap.c: what the verbs about chains share */

/* Which options a verb has is said by their letters; words: what is left. */
struct adm_words {
	struct vd_open	open;		/* --allow-outside: VD_DISK_ANYWHERE */
	bool		recursive;	/* r */
	bool		json;		/* j, --json */
	bool		files;		/* f */
	bool		parsable;	/* p */
	bool		plan;		/* n, --plan */
	unsigned	shrink;		/* S, --shrink; how often */
	const char     *comment;	/* c */
	const char     *undo;		/* u, --undo */
	const char     *restore;	/* R, --restore */
	int		n;
	char	      **word;
};
/* least .. most words, called `what` in the message. */
void	adm_get_words(const struct adm_verb *v, int argc, char **argv,
		      const char *letters, int least, int most,
		      const char *what, struct adm_words *w);

/*
 * "web01.vmdk@before", or as the file is called, "web01@before.vmdk".  name is
 * NULL when there is none; must: then the usage error is ours.
 */
struct adm_snap {
	char	       *path;
	char	       *name;
};
void	adm_get_snap(const struct adm_verb *v, struct vd_library *lib,
		     const char *arg, bool must, struct adm_snap *s);
/* A verb that takes one disk or snapshot, called `what`, and changes it. */
int	adm_change(const struct adm_verb *v, struct vd_library *lib, int argc,
		   char **argv, const char *letters, const char *what,
		   bool must,
		   int (*change)(struct vd_library *lib,
				 const struct adm_snap *s,
				 const struct adm_words *w,
				 struct vd_err *err));

/* ---- adm-translate.c */

struct adm_job {
	struct vd_disk *in;
	const char     *out;
	struct adm_type	to;
	uint64_t	unit;		/* 0: the usual one */
	const char     *comment;
	struct adm_meter *meter;	/* NULL: one that shows on a terminal */
	bool		verify;		/* read it again and compare */
	bool		nosync;		/* done before it is on disk */
};
/* Make out, whole or not at all, with the content of in. */
int	adm_make_copy(struct vd_library *lib, const struct adm_job *job,
		      struct vd_err *err);

/* ---- adm-meter.c: how far it is, and what has passed */

struct adm_meter {
	enum { ADM_QUIET, ADM_BAR, ADM_JSON } show;
	const char     *step;		/* "copy", "verify" */
	uint64_t	size, done;
	int64_t		began, shown;	/* ms */
	struct adm_hash *hash;		/* or NULL */
};
void	adm_meter_init(struct adm_meter *m);	/* a bar, on a terminal */
void	adm_meter_begin(struct adm_meter *m, const char *step, uint64_t size);
/* len bytes more, in order; NULL: zeros.  ECANCELED after ^C. */
int	adm_meter_passed(struct adm_meter *m, const void *buf, uint64_t len,
			 struct vd_err *err);
void	adm_meter_end(struct adm_meter *m);

/* ---- adm-hash.c: SHA-256 of a disk's content, if it was built in */

int	adm_hash_new(struct adm_hash **h, struct vd_err *err);
void	adm_hash_add(struct adm_hash *h, const void *buf, uint64_t len);
void	adm_hash_text(struct adm_hash *h, char text[65]);	/* once */
void	adm_hash_free(struct adm_hash *h);

/* ---- adm-copy.c */

/* Copy all of in to out.  fresh: out reads as zeros, so zeros are left out. */
int	adm_copy(struct vd_disk *in, struct vd_disk *out, bool fresh,
		 struct adm_meter *m, struct vd_err *err);
/* The content of in as a new image, in one pass, to a descriptor. */
int	adm_pack(struct vd_library *lib, const struct adm_job *job, int fd,
		 struct adm_meter *m, struct vd_err *err);
/* Do both hold the same?  Their sizes are as they should be. */
int	adm_compare(struct vd_disk *a, struct vd_disk *b, uint64_t size,
		    struct adm_meter *m, struct vd_err *err);

/* ---- adm-spool.c: what comes from a pipe, or is packed by gzip */

/*
 * Is `in` ("-": standard input) something that has to be laid out first?  Then
 * do it, in a file without a name in the folder of `beside`; *path opens it for
 * as long as *fd stays open.  Else *fd is -1 and *path is in.
 */
int	adm_spool(struct vd_library *lib, const char *in,
		  const struct vd_format *named, const char *beside, int *fd,
		  char path[64], struct vd_err *err);

#endif
