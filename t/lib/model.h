/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * model.h - what a disk has to hold, kept in memory: sparse, and cheap to
 * freeze, since a copy shares its pages until one of the two is written.
 */
#ifndef VD_T_MODEL_H
#define VD_T_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MD_SAME	UINT64_MAX	/* md_diff(): no byte differs */

struct md;

struct md *md_new(uint64_t size);	/* zeros */
struct md *md_copy(const struct md *m);
void	 md_free(struct md *m);
uint64_t md_size(const struct md *m);
/* What is cut off is gone; what is added is zeros. */
void	 md_resize(struct md *m, uint64_t size);
void	 md_put(struct md *m, const void *buf, uint64_t off, uint64_t len);
void	 md_zero(struct md *m, uint64_t off, uint64_t len);
/* The first byte of the disk at which buf differs. */
uint64_t md_diff(const struct md *m, const void *buf, uint64_t off,
		 uint64_t len);
bool	 md_is_zero(const struct md *m, uint64_t off, uint64_t len);
/* As a raw file with holes; 0 or -errno. */
int	 md_save(const struct md *m, const char *path);

#endif
