/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-stream.h - what the files about compressed extents share.
 */
#ifndef VMDK_AUDIT_STREAM_H
#define VMDK_AUDIT_STREAM_H

#include <libdeflate.h>
#include "audit.h"

#define STREAM_MARK	12u	/* bytes of a marker before a grain's data */

enum { STREAM_EOS, STREAM_GT, STREAM_GD, STREAM_FOOTER, STREAM_PROGRESS };

struct stream {
	struct vmdk_part *p;
	struct libdeflate_decompressor *inflate;
	uint8_t	       *in, *out;	/* a grain, compressed and not */
	uint64_t	in_len;		/* longest data of a grain: as a reader has it */
	uint64_t	data;		/* byte where grains begin */
	uint64_t	low;		/* the first one that a table names */
	uint64_t	end;		/* byte behind the last whole grain */
	uint64_t	tried;		/* bytes inflated to find a marker */
	uint64_t	found;		/* grains */
	uint64_t	quiet, loud;	/* nothing between them makes sense */
	bool		ended;		/* an end marker was seen */
	bool		footer;		/* a good one was found */
	bool		other;		/* one was found, of another disk */
	bool		endless;	/* one was found, the end behind it not */
	bool		rebuild;	/* leave was given for a new directory */
	bool		homeless;	/* a grain could not be entered */
	uint64_t	named, seen;	/* by tables; of these, by the markers */
	uint64_t	clash;		/* a grain with a table on it */
	uint64_t	room;		/* sectors that a text may take */
	unsigned	doubtful;	/* grains: with a marker, or without? */
	unsigned	nmade;

	uint64_t	gd_at;		/* the directory that counts; 0: none */
	uint32_t       *gd;		/* where its tables are */
	uint32_t       *places;		/* the same, sorted */
	uint32_t	loaded;		/* table in e, its number + 1 */
	uint32_t	empty;		/* the last one that had no entry */
	uint32_t       *e;
	uint32_t      **made;		/* instead: tables made from markers */
};

struct marker {
	uint64_t	val;
	uint32_t	size, type;
};

/* stream-bytes.c */
int	stream_marker(struct stream *s, uint64_t off, struct marker *m,
		      struct vd_err *err);
/* Could this be a grain's?  By its numbers alone. */
bool	stream_plausible(const struct stream *s, uint64_t off,
			 const struct marker *m);
/* Bytes that a grain must inflate to: the last may hold only what is there. */
uint64_t stream_needed(const struct stream *s, uint64_t grain);
/* Inflate len bytes at off as this grain; what is wrong with it, or NULL. */
const char *stream_inflate(struct stream *s, uint64_t off, uint64_t len,
			   uint64_t grain, uint64_t *took);
/* The same where there are no markers: bare, or behind its length. */
const char *stream_inflate_bare(struct stream *s, uint64_t off, uint64_t grain,
				uint64_t *took);
/* A reader finds this grain whole at off, also where the header has them begin later. */
bool	stream_early_grain(struct stream *s, uint64_t off, uint64_t grain);
/* Where the next thing that makes sense begins behind off; or the file's end. */
uint64_t stream_resync(struct stream *s, uint64_t off);
/* The same, or the text of the disk. */
uint64_t stream_behind(struct stream *s, uint64_t off);
uint64_t stream_size(const struct stream *s);
/* What a table says of a grain, and the byte of that; 0: there is no table. */
int	stream_entry(struct stream *s, uint64_t grain, uint32_t *e,
		     uint64_t *at, struct vd_err *err);
int	stream_enter(struct stream *s, uint64_t grain, uint32_t e,
		     struct vd_err *err);
/* Each entry of the tables that is more than none or zeros; at: its byte. */
typedef int stream_look(struct stream *s, uint64_t grain, uint32_t e,
			uint64_t at, struct vd_err *err);
int	stream_each(struct stream *s, stream_look *look, struct vd_err *err);
/* Is the sector at off the text's, or in a grain before it that can be read? */
bool	stream_taken(struct stream *s, uint64_t off);

/* audit-footer.c */
int	stream_locate(struct stream *s, struct vd_err *err);
/* The first byte from off on that is a table's; UINT64_MAX: there is none. */
uint64_t stream_next_table(const struct stream *s, uint64_t off);
/* Has the directory more than one entry for this table? */
bool	stream_is_shared(const struct stream *s, uint64_t t);
/* Does a table lie in the sector at off, or their directory? */
bool	stream_in_use(const struct stream *s, uint64_t off);
/* For a grain's data behind a marker at off: up to a table, or what makes sense. */
uint64_t stream_room(struct stream *s, uint64_t off);

/* mend-stream.c */
/* Tables, directory, footer and end, behind the last grain. */
int	stream_rebuild(struct stream *s, struct vd_err *err);
/* In s->in, not longer than size; 0: it would be. */
size_t	stream_zeros(struct stream *s, uint64_t grain, uint64_t size);
/* A grain of zeros that takes the same room, marker included. */
int	stream_put_zeros(struct stream *s, uint64_t off, uint64_t grain,
			 uint64_t size, struct vd_err *err);
int	stream_put_marker(struct stream *s, uint64_t off,
			  const struct marker *m, struct vd_err *err);

#endif
