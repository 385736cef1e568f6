/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * compose.c - the descriptor of a new image.
 *
 * The order of the lines is the one that the strictest reader (VirtualBox)
 * asks for.  Its four identities are written, too: it would add them at its
 * first open, and a child of its kind could not name its parent without.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmdk.h"

__attribute__((format(printf, 2, 3))) void
vmdk_say(struct vmdk_text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->len, t->room - t->len, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= t->room - t->len)
		t->full = true;
	else
		t->len += (size_t)n;
}

int
vmdk_text_new(struct vmdk_text *t, size_t room, struct vd_err *err)
{
	*t = (struct vmdk_text){ .buf = malloc(room), .room = room };
	return t->buf ? 0 : vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
}

int
vmdk_new_uuid(char out[VMDK_UUID_LEN + 1], struct vd_err *err)
{
	uint8_t r[16];
	int ret = vd_random(r, sizeof(r), err);

	if (ret)
		return ret;
	r[6] = (r[6] & 0x0f) | 0x40;	/* a random one, RFC 4122 */
	r[8] = (r[8] & 0x3f) | 0x80;
	snprintf(out, VMDK_UUID_LEN + 1, "%02x%02x%02x%02x-%02x%02x-%02x%02x-"
		 "%02x%02x-%02x%02x%02x%02x%02x%02x", r[0], r[1], r[2], r[3],
		 r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12],
		 r[13], r[14], r[15]);
	return 0;
}

/* VirtualBox's own escapes; nobody else reads ddb.comment. */
static void
say_comment(struct vmdk_text *t, const char *c)
{
	vmdk_say(t, "ddb.comment = \"");
	for (; *c; c++) {
		if (*c == '\n')
			vmdk_say(t, "\\n");
		else if (*c == '\r')
			vmdk_say(t, "\\r");
		else if (*c == '\\')
			vmdk_say(t, "\\\\");
		else
			vmdk_say(t, "%c", *c == '"' ? '\'' :
				 (unsigned char)*c < ' ' ? ' ' : *c);
	}
	vmdk_say(t, "\"\n");
}

/*
 * The geometry of an IDE disk, which every reader accepts at any size; ESX has
 * SCSI disks only.
 */
static void
say_ddb(struct vmdk_text *t, bool esx, uint64_t sectors, const uint8_t r[32])
{
	unsigned heads = esx ? 255 : 16, most = esx ? 65535 : 16383;
	uint64_t cylinders = sectors / (heads * 63);

	if (cylinders > most)
		cylinders = most;
	if (!cylinders)
		cylinders = 1;
	vmdk_say(t, "\n# The Disk Data Base\n#DDB\n\n"
		 "ddb.adapterType = \"%s\"\n"
		 "ddb.geometry.cylinders = \"%" PRIu64 "\"\n"
		 "ddb.geometry.heads = \"%u\"\n"
		 "ddb.geometry.sectors = \"63\"\n"
		 "ddb.virtualHWVersion = \"4\"\n"
		 "ddb.toolsVersion = \"2147483647\"\n", esx ? "lsilogic"
		 : "ide", cylinders, heads);
	vmdk_say(t, "ddb.uuid = \"60 00 C2 9%x %02x %02x %02x %02x-"
		 "%02x %02x %02x %02x %02x %02x %02x %02x\"\n", r[16] & 15,
		 r[17], r[18], r[19], r[20], r[21], r[22], r[23], r[24],
		 r[25], r[26], r[27], r[28]);
}

static int
say_uuids(struct vmdk_text *t, const struct vmdk_link *up, struct vd_err *err)
{
	char image[VMDK_UUID_LEN + 1], modified[VMDK_UUID_LEN + 1];
	int ret = vmdk_new_uuid(image, err);

	if (!ret)
		ret = vmdk_new_uuid(modified, err);
	if (ret)
		return ret;
	vmdk_say(t, "ddb.uuid.image = \"%s\"\nddb.uuid.modification = \"%s\"\n"
		 "ddb.uuid.parent = \"%s\"\n"
		 "ddb.uuid.parentmodification = \"%s\"\n", image, modified,
		 up ? up->id : VMDK_UUID_NIL,
		 up ? up->modified : VMDK_UUID_NIL);
	if (up && up->format[0])
		vmdk_say(t, "ddb.vdisk.parentFormat = \"%s\"\n", up->format);
	return 0;
}

static void
say_head(struct vmdk_text *t, const char *type, uint32_t cid,
	 const char *extents, const struct vmdk_link *up)
{
	vmdk_say(t, "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\n"
		 "CID=%08x\nparentCID=%08x\nisNativeSnapshot=\"no\"\n"
		 "createType=\"%s\"\n", cid, up ? up->cid : VMDK_NO_PARENT,
		 type);
	if (up)
		vmdk_say(t, "parentFileNameHint=\"%s\"\n", up->hint);
	vmdk_say(t, "\n# Extent description\n%s", extents);
}

/* up: the parent, or NULL. */
int
vmdk_compose(struct vmdk_text *t, const char *type, const char *extents,
	     const struct vmdk_link *up, const struct vd_create *c,
	     struct vd_err *err)
{
	uint8_t r[32];
	uint32_t cid, id[3];
	int ret;

	do {
		ret = vd_random(r, sizeof(r), err);
		if (ret)
			return ret;
		memcpy(&cid, r, 4);
	} while (!cid || cid >= VMDK_NEVER_WRITTEN);
	memcpy(id, r + 4, 12);
	say_head(t, type, cid, extents, up);
	say_ddb(t, !strcmp(type, "vmfs"), c->virtual_size / VMDK_SECTOR, r);
	if (!strcmp(type, "vmfs") && !(c->flags & VD_CREATE_FIXED))
		vmdk_say(t, "ddb.thinProvisioned = \"1\"\n");
	vmdk_say(t, "ddb.longContentID = \"%08x%08x%08x%08x\"\n", id[0],
		 id[1], id[2], cid);
	ret = say_uuids(t, up, err);
	if (ret)
		return ret;
	if (c->comment && c->comment[0])
		say_comment(t, c->comment);
	if (t->full)
		return vd_fail(err, EFBIG, VD_NOWHERE, "the descriptor does "
			       "not fit its %zu bytes", t->room - 1);
	return 0;
}
