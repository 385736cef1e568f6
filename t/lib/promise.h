/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * promise.h - what each sector of a disk may hold after a crash.
 *
 * Every write fills its sectors with a number never used again.  A sector may
 * hold the last number that was promised - a flush returned - or any that was
 * written after it and begun before the crash.
 *
 * Sectors are of 512 bytes; places in time are counts of recorded changes.
 */
#ifndef PROMISE_H
#define PROMISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void	 promise_begin(uint64_t sectors_max, uint64_t sectors);
/* What a sector holds before anything is written; zeros otherwise. */
void	 promise_first(uint64_t sector, uint64_t number);
unsigned promise_op(void);		/* the next operation's number */
void	 promise_write(uint64_t sector, uint64_t number, size_t begun);
uint64_t promise_newest(uint64_t sector);
void	 promise_resize(uint64_t sectors, size_t begun, size_t ended);
bool	 promise_size_allowed(uint64_t sectors, size_t cut);

/*
 * Compare a disk (64 numbers a sector) with what may be there after a crash at
 * `cut` when all up to operation `upto` was promised: how many sectors are
 * wrong, or torn.
 */
long	 promise_check(const uint64_t *content, uint64_t sectors, unsigned upto,
		       size_t cut);
uint64_t promise_bad_sector(void);	/* the first of the last check */

/* A state that was frozen: it never changes again. */
struct frozen;

struct frozen *promise_freeze(const char *name);
struct frozen *promise_frozen(const char *name);	/* the latest of it */
struct frozen *promise_frozen_no(unsigned i);
const char *promise_name(const struct frozen *f);
bool	 promise_newer(const struct frozen *a, const struct frozen *than);
bool	 promise_check_frozen(const struct frozen *f, const uint64_t *content,
			      uint64_t sectors);
/* The disk has that state again. */
void	 promise_return_to(const struct frozen *f, size_t begun);

#endif
