/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * work.h - changes of a chain that can be cut short: snapshot.c, merge.c.
 *
 * Each of them has one atomic step, the switch: a rename over the name of the
 * top, a reference rewritten, the top's name removed.  Before it the disk
 * opens as before, behind it as after.  What else has to go is listed in the
 * work folder before the switch, so that a second run can tell.
 */
#ifndef VD_WORK_H
#define VD_WORK_H

#include "library.h"

#define VD_WORK_LIST	"todo"		/* its name in the work folder */

enum todo_kind {
	TODO_DROP = 'D',	/* a file of the old chain: goes, once it left it */
	TODO_LINK = 'L',	/* a second name of the top: goes, if still that */
	TODO_TOP = 'T',		/* the top itself is being removed */
	TODO_COPY = 'C',	/* a copy (copies.c): goes, after the switch */
	TODO_NEW = 'N',		/* ... which has happened if the top is this file */
};

struct vd_todo {
	enum todo_kind	kind;
	uint64_t	dev, ino;
	char	       *path;
};

struct vd_work {
	char	       *top;		/* the image; not a symbolic link */
	char	       *folder;		/* its folder: "" or ends in '/' */
	char	       *path;		/* the work folder, ends in '/' */
	int		fd;		/* of the work folder, locked; -1 */
	bool		resumed;	/* an earlier run was cut short */
	bool		keep;		/* not all could be done: leave the list */
	struct vd_todo *todo;
	unsigned	n;
};

/* The work folder of an image, made if it is not there.  Ends with close. */
int	vd_work_open(struct vd_work *w, const char *path, struct vd_err *err);
/* The same, but -ENOENT when no earlier run left one. */
int	vd_work_resume(struct vd_work *w, const char *path,
		       struct vd_err *err);
/* A path in the work folder with the base name of the top; caller frees. */
char   *vd_work_place(const struct vd_work *w);
int	vd_work_add(struct vd_work *w, enum todo_kind kind, const char *path,
		    uint64_t dev, uint64_t ino, struct vd_err *err);
/* Every file of a layer is to be dropped. */
int	vd_work_drop_layer(struct vd_work *w, const struct vd_layer *l,
			   struct vd_err *err);
/* The list is durable on return: the switch may come. */
int	vd_work_save(struct vd_work *w, struct vd_err *err);

enum vd_switched { SWITCH_NO, SWITCH_YES, SWITCH_ASK };

/*
 * Do what the list says.  SWITCH_ASK: whether the switch has happened is told
 * by the chain that is open now (d), file by file.  *dropped (may be NULL):
 * has a file with the path `want` been removed?
 */
int	vd_work_settle(struct vd_work *w, enum vd_switched how,
		       const struct vd_disk *d, const char *want,
		       bool *dropped, struct vd_err *err);
/* The list is done: empty the folder for what comes now. */
void	vd_work_forget(struct vd_work *w);
/* Remove the folder with what is in it, free. */
void	vd_work_close(struct vd_work *w);

/* path, with what a symbolic link at its end leads to; caller frees. */
char   *vd_real_top(const char *path);
/* "web01.vmdk", "before" -> "web01@before.vmdk"; 0 or -errno. */
int	vd_frozen_path(const char *top, const char *name, char *buf,
		       size_t len, struct vd_err *err);
/* What a child in folder has to call the file at path. */
int	vd_relative_name(const char *folder, const char *path, char *buf,
			 size_t len, struct vd_err *err);
const char *vd_base_name(const char *path);

/*
 * How many images in and around the folders of d's layers depend on layer,
 * besides the image `but` (may be NULL)?  first: the name of one.
 */
unsigned vd_children_of(struct vd_disk *d, const struct vd_layer *layer,
			const struct vd_layer *but, char *first, size_t len);

/* Open the top for writing, take the work folder, clean up after others. */
int	vd_change_begin(struct vd_library *lib, const char *path,
			const struct vd_open *o, const char *want,
			bool *dropped, struct vd_work *w, struct vd_disk **d,
			struct vd_err *err);
/* Report the first failure, close all; the answer of the whole. */
int	vd_change_end(struct vd_work *w, struct vd_disk *d, const char *path,
		      int ret, struct vd_err *err);
/* An error if images depend on l, besides `but`. */
int	vd_has_children(struct vd_disk *d, const struct vd_layer *l,
			const struct vd_layer *but, struct vd_err *err);
int	vd_no_snapshot(const char *path, const char *name, struct vd_err *err);
int	vd_newer_exist(unsigned n, struct vd_err *err);
/* Whoever could use the file top can use the one at place. */
void	vd_same_owner(const char *place, const char *top);

/* ---- copies.c: snapshots that are files of their own */

/* Is the top of a kind that has them? */
bool	vd_copies_possible(const struct vd_disk *d);
unsigned vd_copies_count(struct vd_disk *d);
int	vd_copy_take(struct vd_work *w, struct vd_disk *d, const char *frozen,
		     struct vd_err *err);
int	vd_copy_back(struct vd_work *w, struct vd_disk *d, const char *name,
		     unsigned flags, struct vd_err *err);
int	vd_copy_remove(struct vd_work *w, struct vd_disk *d, const char *name,
		       struct vd_err *err);
/* All of them are to be dropped. */
int	vd_copies_drop(struct vd_work *w, struct vd_disk *d,
		       struct vd_err *err);
/* The layer that a snapshot's name, or a file's, stands for; 0: none. */
unsigned vd_layer_named(struct vd_disk *d, const char *name);
/* Does the image at child open, over this parent (NULL: over none)? */
int	vd_see_chain(struct vd_library *lib, const char *child,
		     const struct vd_file *parent, unsigned flags,
		     struct vd_err *err);
int	vd_layer_identity(const struct vd_layer *l, struct vd_identity *id,
			  struct vd_err *err);

#endif
