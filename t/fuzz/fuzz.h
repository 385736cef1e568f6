/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz.h - an input of the fuzzers: a few sparse files and a list of requests.
 *
 * As bytes, all numbers little-endian:
 *
 *	"vf1\n"  u8 files  u8 how  u8 requests  u8 0
 *	a file:     u8 length of its name, name, u64 size, u16 regions
 *	a region:   u64 offset, u32 length, u16 n, n bytes (repeated to length)
 *	a request:  u8 what, u8 value, u16 length, u32 where
 *
 * Anything is an input: what is missing is zero, what is too much is ignored,
 * and bytes that do not begin with "vf1\n" are the first file as it is.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FZ_FILES	6u
#define FZ_REGIONS	400u		/* of a file */
#define FZ_NAME		32u		/* of a file, with its NUL */
#define FZ_REQUESTS	24u
#define FZ_FILL_MAX	(256u << 10)	/* bytes that a region can be */
#define FZ_HEAP_MAX	(256u << 20)	/* bytes that one input may hold */
#define FZ_ROOM		(512u << 10)	/* bytes of all regions */

struct fz_region {
	uint64_t	off;
	uint32_t	len;		/* bytes of the file; n of them differ */
	uint32_t	n;
	uint8_t	       *data;
};

struct fz_file {
	char		name[FZ_NAME];
	uint64_t	size;
	unsigned	nregions;
	struct fz_region region[FZ_REGIONS];
};

struct fz_request {
	uint8_t		what, value;
	uint16_t	len;
	uint32_t	where;
};

struct fz_input {
	unsigned	nfiles;		/* at least 1; the first is the image */
	uint8_t		how;		/* FZ_HOW_* */
	unsigned	nrequests;
	struct fz_request request[FZ_REQUESTS];
	struct fz_file	file[FZ_FILES];
	size_t		used;
	uint8_t		room[FZ_ROOM];
};
#define FZ_HOW_NAMED	0x1		/* the format is named, not probed */
#define FZ_HOW_JOURNAL	0x2		/* with a place for crash journals */
#define FZ_HOW_BATCH	0x4

/* input.c */
void	fz_load(struct fz_input *z, const uint8_t *data, size_t len,
		const char *name);
/* 0 when it does not fit. */
size_t	fz_save(const struct fz_input *z, uint8_t *out, size_t room);
void	fz_peek(const struct fz_file *f, uint64_t off, void *buf, size_t len);
/* false: no room. */
bool	fz_poke(struct fz_input *z, struct fz_file *f, uint64_t off,
		const void *buf, size_t len);
/* Data of n bytes for a region; NULL: no room. */
uint8_t *fz_take(struct fz_input *z, size_t n);
/* Append a region that shows len bytes made of n; NULL: no room. */
struct fz_region *fz_add(struct fz_input *z, struct fz_file *f, uint64_t off,
			 uint32_t len, size_t n);

static inline uint32_t
fz_get32(const struct fz_file *f, uint64_t off)
{
	uint8_t b[4];

	fz_peek(f, off, b, 4);
	return b[0] | b[1] << 8 | b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t
fz_get64(const struct fz_file *f, uint64_t off)
{
	return fz_get32(f, off) | (uint64_t)fz_get32(f, off + 4) << 32;
}

/* Little-endian, 1..8 bytes. */
bool	fz_put(struct fz_input *z, struct fz_file *f, uint64_t off, uint64_t v,
	       unsigned bytes);

/* place.c: the files of an input in a folder of our own */
void	fz_place_open(void);
void	fz_place(const struct fz_input *z);
void	fz_place_clear(void);
const char *fz_path(const char *name);	/* one at a time */
/* Of all files: their sizes and every byte that is not zero. */
uint64_t fz_print(const struct fz_input *z);
/* More was written than an input may: what fails from here on is no news. */
extern bool fz_full;
extern size_t fz_write_max;	/* bytes, of one input */

/* oper.c, use.c, mend.c: what is done with them */
enum fz_what { FZ_PROBE, FZ_READ, FZ_VERIFY, FZ_REPAIR };
struct vd_library;
void	fz_probe(struct vd_library *lib, const struct fz_input *z);
void	fz_read(struct vd_library *lib, const struct fz_input *z,
		const char *format);
void	fz_verify(struct vd_library *lib, const struct fz_input *z,
		  const char *format);
void	fz_repair(struct vd_library *lib, const struct fz_input *z,
		  const char *format);

/* target.c */
__attribute__((noreturn, format(printf, 1, 2)))
void	fz_die(const char *fmt, ...);
/* "read-vdi" chooses the operation and the module; false: no such. */
bool	fz_target(const char *name);
void	fz_run(const uint8_t *data, size_t len);
const char *fz_module(void);

/* mutate.c and its helpers; the state of z is any */
uint32_t fz_any(uint32_t n);		/* 0 .. n - 1 */
uint64_t fz_nasty(const struct fz_file *f);
void	fz_seed(unsigned seed);
void	fz_mutate(struct fz_input *z);
bool	fz_mutate_vdi(struct fz_input *z, struct fz_file *f);
bool	fz_mutate_vmdk(struct fz_input *z, struct fz_file *f);
bool	fz_mutate_text(struct fz_input *z, struct fz_file *f);
bool	fz_mutate_delta(struct fz_input *z, struct fz_file *f);

#endif
