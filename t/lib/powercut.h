/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * powercut.h - what a power cut would have left of a folder.
 *
 * A program linked with powercut.o has its calls that change files recorded,
 * libvdisk's included: these functions stand in front of libc's.  From the
 * record the folder can be put back as a cut may have left it:
 *
 * - a file has all that a completed fsync or fdatasync of it covers, and of
 *   what came later a part: any of the writes, each cut at any sector;
 * - of the changes of names it has those that a completed fsync of their folder
 *   covers, and of the later ones some first ones, in their order, as file
 *   systems with a journal do; PC_TORN: any of them, which is all that POSIX
 *   promises;
 * - the time of the last change is durable after fsync, not after fdatasync.
 *
 * A state stands at the folder's own path, and its files answer with the inode
 * numbers that they had, so that whatever wrote those down finds them again.
 *
 * One folder at a time; recording is safe from many threads.
 */
#ifndef POWERCUT_H
#define POWERCUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pc_kind {
	PC_WRITE, PC_ZERO, PC_SIZE, PC_SYNC, PC_DATASYNC,	/* of a file */
	PC_NAME, PC_UNNAME, PC_RENAME, PC_EXCHANGE,		/* of names */
	PC_FOLDERSYNC,
	PC_MARK,						/* the caller's */
};

/* From now on what happens below folder is recorded; what is there is durable. */
void	pc_record(const char *folder);
/* The folder is moved aside; states can be made at its path. */
void	pc_replay(void);
/* All is forgotten, the folder emptied. */
void	pc_end(void);

size_t	pc_count(void);			/* changes so far */
/* Put a mark of the caller's into the record. */
void	pc_mark(unsigned what);
/* The kind of change i; a mark's number through *what (may be NULL). */
enum pc_kind pc_kind(size_t i, unsigned *what);

/* How much of what is not durable a state gets. */
enum pc_part { PC_ALL, PC_NONE, PC_SOME, PC_TORN };
/*
 * The state after the first `cut` changes; cuts may not go back but by
 * pc_rewind().  forget_syncs: as if no sync had ever worked.
 */
void	pc_state(size_t cut, enum pc_part part, uint64_t seed,
		 bool forget_syncs);
void	pc_rewind(void);
/* The state was opened for writing: nothing of it can be used again. */
void	pc_spoilt(void);

#endif
