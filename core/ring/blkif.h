/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * blkif.h - the block interface on the wire: rings, requests, responses.
 *
 * Three ABIs, two layouts: x86_64 and arm align 64-bit fields to 8 bytes,
 * x86_32 to 4.  Everything else is equal, so the handler reads requests through
 * a small table of offsets (struct blkif_layout) instead of in two copies of
 * the same code.
 *
 * Sectors are 512 bytes and pages 4096 for every ABI, also where the guest's
 * own pages are larger.
 */
#ifndef VD_BLKIF_H
#define VD_BLKIF_H

#include <stddef.h>
#include <stdint.h>

#define BLKIF_SECTOR_SHIFT	9
#define BLKIF_SECTOR		512u
#define BLKIF_PAGE_SECTORS	8u	/* first_sect, last_sect: 0..7 */
#define BLKIF_MAX_SEGS		11u	/* of a request without indirection */
#define BLKIF_SEGS_PER_PAGE	512u	/* of one indirect page */
#define BLKIF_INDIRECT_PAGES	8u

enum blkif_op {
	BLKIF_OP_READ,
	BLKIF_OP_WRITE,
	BLKIF_OP_WRITE_BARRIER,
	BLKIF_OP_FLUSH,
	BLKIF_OP_RESERVED,		/* never assigned in public */
	BLKIF_OP_DISCARD,
	BLKIF_OP_INDIRECT,
};

#define BLKIF_DISCARD_SECURE	0x1

/* The only values a response may carry; never an errno. */
#define BLKIF_RSP_OKAY		0
#define BLKIF_RSP_ERROR		(-1)
#define BLKIF_RSP_EOPNOTSUPP	(-2)

/* The first 64 bytes of the first page, equal in every ABI. */
struct blkif_header {
	uint32_t	req_prod;	/* guest's */
	uint32_t	req_event;	/* ours */
	uint32_t	rsp_prod;	/* ours */
	uint32_t	rsp_event;	/* guest's */
	uint8_t		pad[48];
};

struct blkif_segment {
	uint32_t	gref;
	uint8_t		first_sect;	/* inclusive */
	uint8_t		last_sect;	/* inclusive */
	uint16_t	pad;
};

/* x86_64 and arm */
struct blkif_rw_64 {
	uint8_t		operation;
	uint8_t		nr_segments;
	uint16_t	handle;
	uint32_t	pad;
	uint64_t	id;
	uint64_t	sector;
	struct blkif_segment seg[BLKIF_MAX_SEGS];
};

struct blkif_discard_64 {
	uint8_t		operation;
	uint8_t		flag;
	uint16_t	handle;
	uint32_t	pad;
	uint64_t	id;
	uint64_t	sector;
	uint64_t	nr_sectors;
};

struct blkif_indirect_64 {
	uint8_t		operation;
	uint8_t		indirect_op;
	uint16_t	nr_segments;
	uint32_t	pad;
	uint64_t	id;
	uint64_t	sector;
	uint16_t	handle;
	uint16_t	pad2;
	uint32_t	grefs[BLKIF_INDIRECT_PAGES];
	uint32_t	pad3;
};

/* x86_32 */
struct blkif_rw_32 {
	uint8_t		operation;
	uint8_t		nr_segments;
	uint16_t	handle;
	uint64_t	id;
	uint64_t	sector;
	struct blkif_segment seg[BLKIF_MAX_SEGS];
} __attribute__((packed, aligned(4)));

struct blkif_discard_32 {
	uint8_t		operation;
	uint8_t		flag;
	uint16_t	handle;
	uint64_t	id;
	uint64_t	sector;
	uint64_t	nr_sectors;
} __attribute__((packed, aligned(4)));

struct blkif_indirect_32 {
	uint8_t		operation;
	uint8_t		indirect_op;
	uint16_t	nr_segments;
	uint64_t	id;
	uint64_t	sector;
	uint16_t	handle;
	uint16_t	pad2;
	uint32_t	grefs[BLKIF_INDIRECT_PAGES];
	uint64_t	pad3;
} __attribute__((packed, aligned(4)));

/*
 * A response lies in the slot of a request and has the stride of one.  The
 * fields have the same offsets in every ABI; what follows them differs, and
 * is not ours to write.
 */
struct blkif_response {
	uint64_t	id;
	uint8_t		operation;
	uint8_t		pad;
	int16_t		status;
} __attribute__((packed, aligned(4)));

#define BLKIF_MAX_STRIDE	sizeof(struct blkif_rw_64)

struct blkif_layout {
	uint8_t		stride;
	uint8_t		id;
	uint8_t		sector;		/* of every operation that has one */
	uint8_t		segs;
	uint8_t		discard_sectors;
	uint8_t		indirect_grefs;
};

#define BLKIF_LAYOUT(abi) {						\
	.stride = sizeof(struct blkif_rw_##abi),			\
	.id = offsetof(struct blkif_rw_##abi, id),			\
	.sector = offsetof(struct blkif_rw_##abi, sector),		\
	.segs = offsetof(struct blkif_rw_##abi, seg),			\
	.discard_sectors = offsetof(struct blkif_discard_##abi, nr_sectors), \
	.indirect_grefs = offsetof(struct blkif_indirect_##abi, grefs),	\
}

#define BLKIF_AT(type, field, off)					\
	_Static_assert(offsetof(struct type, field) == (off),		\
		       #type "." #field " has moved")
#define BLKIF_SIZE(type, size)						\
	_Static_assert(sizeof(struct type) == (size), #type " has grown")

BLKIF_AT(blkif_header, req_prod, 0);
BLKIF_AT(blkif_header, req_event, 4);
BLKIF_AT(blkif_header, rsp_prod, 8);
BLKIF_AT(blkif_header, rsp_event, 12);
BLKIF_SIZE(blkif_header, 64);
BLKIF_AT(blkif_segment, first_sect, 4);
BLKIF_AT(blkif_segment, last_sect, 5);
BLKIF_SIZE(blkif_segment, 8);

BLKIF_AT(blkif_rw_64, nr_segments, 1);
BLKIF_AT(blkif_rw_64, id, 8);
BLKIF_AT(blkif_rw_64, sector, 16);
BLKIF_AT(blkif_rw_64, seg, 24);
BLKIF_SIZE(blkif_rw_64, 112);
BLKIF_AT(blkif_discard_64, flag, 1);
BLKIF_AT(blkif_discard_64, id, 8);
BLKIF_AT(blkif_discard_64, sector, 16);
BLKIF_AT(blkif_discard_64, nr_sectors, 24);
BLKIF_AT(blkif_indirect_64, indirect_op, 1);
BLKIF_AT(blkif_indirect_64, nr_segments, 2);
BLKIF_AT(blkif_indirect_64, id, 8);
BLKIF_AT(blkif_indirect_64, sector, 16);
BLKIF_AT(blkif_indirect_64, handle, 24);
BLKIF_AT(blkif_indirect_64, grefs, 28);
BLKIF_SIZE(blkif_indirect_64, 64);

BLKIF_AT(blkif_rw_32, nr_segments, 1);
BLKIF_AT(blkif_rw_32, id, 4);
BLKIF_AT(blkif_rw_32, sector, 12);
BLKIF_AT(blkif_rw_32, seg, 20);
BLKIF_SIZE(blkif_rw_32, 108);
BLKIF_AT(blkif_discard_32, flag, 1);
BLKIF_AT(blkif_discard_32, id, 4);
BLKIF_AT(blkif_discard_32, sector, 12);
BLKIF_AT(blkif_discard_32, nr_sectors, 20);
BLKIF_AT(blkif_indirect_32, indirect_op, 1);
BLKIF_AT(blkif_indirect_32, nr_segments, 2);
BLKIF_AT(blkif_indirect_32, id, 4);
BLKIF_AT(blkif_indirect_32, sector, 12);
BLKIF_AT(blkif_indirect_32, handle, 20);
BLKIF_AT(blkif_indirect_32, grefs, 24);
BLKIF_SIZE(blkif_indirect_32, 64);

BLKIF_AT(blkif_response, operation, 8);
BLKIF_AT(blkif_response, status, 10);
BLKIF_SIZE(blkif_response, 12);

/* Xen guests are little endian, and so is every host that runs them. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little endian");

#endif
