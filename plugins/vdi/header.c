/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * header.c - the head of a VDI: read, bound, cross-check, write.
 *
 * Pure functions of their arguments: probe calls them on a stranger's bytes,
 * so nothing here allocates, does I/O or believes a number before checking it.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include "vdi.h"

/* Bytes up to the first NUL or line end; the field need not have either. */
static void
vdi_get_text(const uint8_t *from, size_t len, char *to)
{
	size_t n = 0;

	while (n < len && from[n] && from[n] != '\n')
		n++;
	memcpy(to, from, n);
	to[n] = '\0';
}

static void
vdi_get_fields(const uint8_t *p, size_t len, struct vdi_header *h)
{
	h->header_len = vdi_get32(p + VDI_OFF_HEADER_LEN);
	h->type = vdi_get32(p + VDI_OFF_TYPE);
	h->flags = vdi_get32(p + VDI_OFF_FLAGS);
	vdi_get_text(p + VDI_OFF_COMMENT, VDI_COMMENT_LEN, h->comment);
	h->map_off = vdi_get32(p + VDI_OFF_MAP);
	h->data_off = vdi_get32(p + VDI_OFF_DATA);
	h->sector = vdi_get32(p + VDI_OFF_SECTOR);
	h->disk = vdi_get64(p + VDI_OFF_DISK);
	h->block = vdi_get32(p + VDI_OFF_BLOCK);
	h->extra = vdi_get32(p + VDI_OFF_EXTRA);
	h->blocks = vdi_get32(p + VDI_OFF_BLOCKS);
	h->allocated = vdi_get32(p + VDI_OFF_ALLOCATED);
	memcpy(h->create, p + VDI_OFF_CREATE, 16);
	memcpy(h->modify, p + VDI_OFF_MODIFY, 16);
	memcpy(h->link, p + VDI_OFF_LINK, 16);
	memcpy(h->link_modify, p + VDI_OFF_LINK_MODIFY, 16);

	/*
	 * The long header's second geometry may lie under the map of an old
	 * file that claims 400 bytes: then these bytes are map entries.
	 */
	h->lchs_sector = 512;
	if (h->header_len >= VDI_HEADER_LONG && h->map_off >= VDI_END_LONG &&
	    len >= VDI_END_LONG)
		h->lchs_sector = vdi_get32(p + VDI_OFF_LCHS_SECTOR);
}

/* Version 0 has the same fields but two, elsewhere, and its map behind them. */
static void
vdi_get_fields_v0(const uint8_t *p, struct vdi_header *h)
{
	h->type = vdi_get32(p + VDI0_OFF_TYPE);
	h->flags = vdi_get32(p + VDI0_OFF_FLAGS);
	vdi_get_text(p + VDI0_OFF_COMMENT, VDI_COMMENT_LEN, h->comment);
	h->disk = vdi_get64(p + VDI0_OFF_DISK);
	h->block = vdi_get32(p + VDI0_OFF_BLOCK);
	h->blocks = vdi_get32(p + VDI0_OFF_BLOCKS);
	h->allocated = vdi_get32(p + VDI0_OFF_ALLOCATED);
	memcpy(h->create, p + VDI0_OFF_CREATE, 16);
	memcpy(h->modify, p + VDI0_OFF_MODIFY, 16);
	memcpy(h->link, p + VDI0_OFF_LINK, 16);
	h->header_len = VDI0_END - VDI_OFF_HEADER_LEN;
	h->map_off = VDI0_END;
	h->data_off = VDI0_END + 4 * h->blocks;
}

/* Where a field is, given where version 1.1 has it: for messages. */
static uint64_t
vdi_place(const struct vdi_header *h, unsigned off)
{
	if (h->major)
		return off;
	switch (off) {
	case VDI_OFF_TYPE:	return VDI0_OFF_TYPE;
	case VDI_OFF_DISK:	return VDI0_OFF_DISK;
	case VDI_OFF_BLOCK:	return VDI0_OFF_BLOCK;
	case VDI_OFF_BLOCKS:	return VDI0_OFF_BLOCKS;
	default:		return VD_NOWHERE;
	}
}

static bool
vdi_power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

/* What each field may be on its own. */
static int
vdi_check_fields(const struct vdi_header *h, struct vd_err *err)
{
	if (h->major && h->header_len < VDI_HEADER_SHORT)
		return vd_fail(err, EINVAL, VDI_OFF_HEADER_LEN,
			       "header length %u is below %u", h->header_len,
			       VDI_HEADER_SHORT);
	if (h->type < VDI_DYNAMIC || h->type > VDI_DIFF)
		return vd_fail(err, EINVAL, vdi_place(h, VDI_OFF_TYPE),
			       "image type %u is unknown", h->type);
	if (!vdi_power_of_two(h->block) || h->block < VDI_BLOCK_MIN)
		return vd_fail(err, EINVAL, vdi_place(h, VDI_OFF_BLOCK),
			       "block size %u is not a power of two from %u on",
			       h->block, VDI_BLOCK_MIN);
	if (h->extra && !vdi_power_of_two(h->extra))
		return vd_fail(err, EINVAL, VDI_OFF_EXTRA,
			       "extra block data of %u bytes is not a power of two",
			       h->extra);
	if (h->disk < 512 || h->disk > INT64_MAX)
		return vd_fail(err, EINVAL, vdi_place(h, VDI_OFF_DISK),
			       "disk size %" PRIu64 " is impossible", h->disk);
	return 0;
}

/* What the fields say together: header, map, data, in this order, all there. */
static int
vdi_check_layout(const struct vdi_header *h, uint64_t file_size,
		 struct vd_err *err)
{
	uint64_t map_end = h->map_off + 4ull * h->blocks;
	uint64_t room = (uint64_t)h->blocks * h->block;

	if (room < vdi_disk_size(h))
		return vd_fail(err, EINVAL, vdi_place(h, VDI_OFF_BLOCKS),
			       "%u blocks of %u bytes cannot hold the disk of %"
			       PRIu64 " bytes", h->blocks, h->block, h->disk);
	if (h->major && h->map_off < VDI_END_SHORT)
		return vd_fail(err, EINVAL, VDI_OFF_MAP,
			       "block map at byte %u lies inside the header",
			       h->map_off);
	if (h->data_off < map_end)
		return vd_fail(err, EINVAL, vdi_place(h, VDI_OFF_DATA),
			       "data from byte %u on overlaps the block map, which ends at %"
			       PRIu64, h->data_off, map_end);
	if (map_end > file_size)
		return vd_fail(err, EINVAL, vdi_place(h, VDI_OFF_BLOCKS),
			       "block map ends at byte %" PRIu64
			       ", past the end of the file (%" PRIu64 " bytes)",
			       map_end, file_size);
	return 0;
}

/*
 * head is the beginning of a file of file_size bytes.  VD_MINE means: the
 * fields of h agree with each other and with the file - or the version is one
 * we only know by name, see vdi_supported().
 */
enum vd_verdict
vdi_parse(const uint8_t *head, size_t len, uint64_t file_size,
	  struct vdi_header *h, struct vd_err *err)
{
	uint32_t version;

	memset(h, 0, sizeof(*h));
	h->lchs_sector = 512;
	h->sector = 512;
	if (len < VDI_OFF_VERSION ||
	    vdi_get32(head + VDI_OFF_SIGNATURE) != VDI_SIGNATURE)
		return VD_NOT_MINE;
	vdi_get_text(head + VDI_OFF_TEXT, VDI_TEXT_LEN, h->text);
	if (len < VDI_OFF_HEADER_LEN) {
		vd_fail(err, EINVAL, len, "file ends inside the header");
		return VD_MINE_BROKEN;
	}
	version = vdi_get32(head + VDI_OFF_VERSION);
	h->major = version >> 16;
	h->minor = version & 0xffff;
	if (h->major > 1 || (h->major && h->minor != 1))
		return VD_MINE;
	if (len < (h->major ? (size_t)VDI_END_SHORT : (size_t)VDI0_END)) {
		vd_fail(err, EINVAL, len, "file ends inside the header");
		return VD_MINE_BROKEN;
	}
	if (h->major)
		vdi_get_fields(head, len, h);
	else
		vdi_get_fields_v0(head, h);
	if (vdi_check_fields(h, err) < 0 ||
	    vdi_check_layout(h, file_size, err) < 0)
		return VD_MINE_BROKEN;
	return VD_MINE;
}

/*
 * A parent's UUID makes a child whatever the type says: free blocks of such an
 * image are the parent's, and showing zeros for them would be misreading it.
 */
bool
vdi_is_child(const struct vdi_header *h)
{
	return h->type == VDI_DIFF || !vdi_uuid_null(h->link);
}

int
vdi_supported(const struct vdi_header *h, struct vd_err *err)
{
	int ret;

	if (h->major == 0 || (h->major == 1 && h->minor == 1))
		return 0;
	ret = vd_fail(err, ENOTSUP, VDI_OFF_VERSION,
		      "vdi: version %u.%u is not supported, only 1.1 and 0 are",
		      h->major, h->minor);
	vd_err_help(err, "`VBoxManage clonemedium OLD NEW.vdi` writes version 1.1");
	return ret;
}

bool
vdi_only_read(const struct vdi_header *h)
{
	return h->major == 0 || h->type == VDI_UNDO;
}

void
vdi_variant(const struct vdi_header *h, char out[VD_VARIANT_MAX])
{
	static const char *const names[] = {
		[VDI_DYNAMIC] = "dynamic",
		[VDI_FIXED] = "fixed",
		[VDI_UNDO] = "undo",
		[VDI_DIFF] = "differencing",
	};

	out[0] = '\0';
	if (h->major != 1 || h->minor != 1) {
		if (h->major || h->minor)
			snprintf(out, VD_VARIANT_MAX, "version %u.%u",
				 h->major, h->minor);
	} else if (vdi_is_child(h)) {
		snprintf(out, VD_VARIANT_MAX, "%s", names[VDI_DIFF]);
	} else if (h->type >= VDI_DYNAMIC && h->type <= VDI_UNDO) {
		snprintf(out, VD_VARIANT_MAX, "%s", names[h->type]);
	}
}

/* Whole sectors; VirtualBox drops an odd rest, so the guest never saw it. */
uint64_t
vdi_disk_size(const struct vdi_header *h)
{
	return h->disk & ~511ull;
}

/*
 * Bit 0 asks that new blocks be zeroed, which we always do; 0x100 and 0x200
 * say fixed and differencing once more, and VirtualBox accepts them.
 */
bool
vdi_flags_known(const struct vdi_header *h)
{
	return !(h->flags & ~0x301u);
}

/* The long header of a new image. */
void
vdi_encode(const struct vdi_header *h, uint8_t head[VDI_HEAD_MAX])
{
	memset(head, 0, VDI_HEAD_MAX);
	memcpy(head + VDI_OFF_TEXT, h->text, strnlen(h->text, VDI_TEXT_LEN));
	vdi_put32(head + VDI_OFF_SIGNATURE, VDI_SIGNATURE);
	vdi_put32(head + VDI_OFF_VERSION, (uint32_t)h->major << 16 | h->minor);
	vdi_put32(head + VDI_OFF_HEADER_LEN, h->header_len);
	vdi_put32(head + VDI_OFF_TYPE, h->type);
	vdi_put32(head + VDI_OFF_FLAGS, h->flags);
	memcpy(head + VDI_OFF_COMMENT, h->comment,
	       strnlen(h->comment, VDI_COMMENT_LEN));
	vdi_put32(head + VDI_OFF_MAP, h->map_off);
	vdi_put32(head + VDI_OFF_DATA, h->data_off);
	vdi_put32(head + VDI_OFF_SECTOR, h->sector);
	vdi_put64(head + VDI_OFF_DISK, h->disk);
	vdi_put32(head + VDI_OFF_BLOCK, h->block);
	vdi_put32(head + VDI_OFF_EXTRA, h->extra);
	vdi_put32(head + VDI_OFF_BLOCKS, h->blocks);
	vdi_put32(head + VDI_OFF_ALLOCATED, h->allocated);
	memcpy(head + VDI_OFF_CREATE, h->create, 16);
	memcpy(head + VDI_OFF_MODIFY, h->modify, 16);
	memcpy(head + VDI_OFF_LINK, h->link, 16);
	memcpy(head + VDI_OFF_LINK_MODIFY, h->link_modify, 16);
	if (h->header_len >= VDI_HEADER_LONG)
		vdi_put32(head + VDI_OFF_LCHS_SECTOR, h->lchs_sector);
}

/* The first three groups are stored as little-endian numbers. */
void
vdi_uuid_text(const uint8_t u[16], char out[37])
{
	snprintf(out, 37,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		 u[3], u[2], u[1], u[0], u[5], u[4], u[7], u[6], u[8], u[9],
		 u[10], u[11], u[12], u[13], u[14], u[15]);
}

/* The opposite, for what vdi_uuid_text() writes, in either case. */
bool
vdi_uuid_parse(const char *text, uint8_t u[16])
{
	static const uint8_t place[16] = {
		3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	unsigned i, byte;
	int used;

	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			if (*text++ != '-')
				return false;
		if (!isxdigit((unsigned char)text[0]) ||
		    !isxdigit((unsigned char)text[1]) ||
		    sscanf(text, "%2x%n", &byte, &used) != 1 || used != 2)
			return false;
		u[place[i]] = (uint8_t)byte;
		text += 2;
	}
	return !*text;
}

bool
vdi_uuid_null(const uint8_t uuid[16])
{
	static const uint8_t null[16];

	return !memcmp(uuid, null, 16);
}

int
vdi_uuid_random(uint8_t uuid[16], struct vd_err *err)
{
	int ret = vd_random(uuid, 16, err);

	if (ret < 0)
		return ret;
	uuid[7] = (uuid[7] & 0x0f) | 0x40;	/* version 4: random */
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
	return 0;
}
