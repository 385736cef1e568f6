/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * create.c - new images: monolithicSparse, and monolithicFlat.
 *
 * All grain tables exist from the start, in both copies: VMware cannot use
 * images without, and QEMU destroys them.  They are holes of the host file and
 * cost nothing.  The header is written last: until then the file is no image.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "vmdk.h"

#define TEXT_MAX	10240u		/* 20 sectors, as everybody has it */
#define COMMENT_MAX	1024u
#define GRAIN_USUAL	65536u
#define GRAIN_LEAST	4096u
#define GRAIN_MOST	(1u << 20)

struct text {			/* a text that grows, or stops growing */
	char		buf[TEXT_MAX];
	size_t		len;
	bool		full;
};

__attribute__((format(printf, 2, 3))) static void
say(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->len, sizeof(t->buf) - t->len, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(t->buf) - t->len)
		t->full = true;
	else
		t->len += (size_t)n;
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The descriptor knows no way to quote a quote. */
static int
check_name(const char *path, struct vd_err *err)
{
	const char *p;

	for (p = base_name(path); *p; p++)
		if (*p == '"' || (unsigned char)*p < ' ')
			return vd_fail(err, EINVAL, VD_NOWHERE, "the name of "
				       "a VMDK cannot hold quotes or control "
				       "characters");
	return 0;
}

/* VirtualBox's own escapes; nobody else reads ddb.comment. */
static void
say_comment(struct text *t, const char *c)
{
	say(t, "ddb.comment = \"");
	for (; *c; c++) {
		if (*c == '\n')
			say(t, "\\n");
		else if (*c == '\r')
			say(t, "\\r");
		else if (*c == '\\')
			say(t, "\\\\");
		else
			say(t, "%c", *c == '"' ? '\'' :
			    (unsigned char)*c < ' ' ? ' ' : *c);
	}
	say(t, "\"\n");
}

/* The geometry of an IDE disk, which every reader accepts at any size. */
static void
say_ddb(struct text *t, uint64_t sectors, const uint8_t r[32])
{
	uint64_t cylinders = sectors / (16 * 63);

	if (cylinders > 16383)
		cylinders = 16383;
	if (!cylinders)
		cylinders = 1;
	say(t, "\n# The Disk Data Base\n#DDB\n\n"
	    "ddb.adapterType = \"ide\"\n"
	    "ddb.geometry.cylinders = \"%" PRIu64 "\"\n"
	    "ddb.geometry.heads = \"16\"\n"
	    "ddb.geometry.sectors = \"63\"\n"
	    "ddb.virtualHWVersion = \"4\"\n"
	    "ddb.toolsVersion = \"2147483647\"\n", cylinders);
	say(t, "ddb.uuid = \"60 00 C2 9%x %02x %02x %02x %02x-"
	    "%02x %02x %02x %02x %02x %02x %02x %02x\"\n", r[16] & 15, r[17],
	    r[18], r[19], r[20], r[21], r[22], r[23], r[24], r[25], r[26],
	    r[27], r[28]);
}

static int
make_text(struct text *t, const char *type, const char *extent,
	  const struct vd_create *c, struct vd_err *err)
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
	*t = (struct text){ .len = 0 };
	say(t, "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\n"
	    "CID=%08x\nparentCID=ffffffff\nisNativeSnapshot=\"no\"\n"
	    "createType=\"%s\"\n\n# Extent description\n%s", cid, type,
	    extent);
	say_ddb(t, c->virtual_size / VMDK_SECTOR, r);
	say(t, "ddb.longContentID = \"%08x%08x%08x%08x\"\n", id[0], id[1],
	    id[2], cid);
	if (c->comment && c->comment[0])
		say_comment(t, c->comment);
	if (t->full)
		return vd_fail(err, EFBIG, VD_NOWHERE,
			       "the descriptor does not fit its 20 sectors");
	return 0;
}

/* Entry i of a directory: its tables follow it. */
static int
write_directory(struct vd_file *f, const struct vmdk_header *h,
		uint64_t sector, struct vd_err *err)
{
	uint32_t n = (uint32_t)vmdk_header_tables(h), i;
	uint64_t first = sector + ((uint64_t)n * 4 + VMDK_SECTOR - 1) /
			 VMDK_SECTOR;
	uint32_t *d = calloc(n, sizeof(*d));
	int ret;

	if (!d)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	for (i = 0; i < n; i++)
		d[i] = htole32((uint32_t)(first + (uint64_t)i *
					  vmdk_gt_sectors(h)));
	ret = vd_file_write(f, d, (size_t)n * 4, sector * VMDK_SECTOR, err);
	free(d);
	return ret;
}

static int
check_sparse(const struct vd_create *c, uint64_t grain, struct vd_err *err)
{
	int ret;

	if (grain < GRAIN_LEAST || grain > GRAIN_MOST || (grain & (grain - 1)))
		return vd_fail(err, EINVAL, VD_NOWHERE, "a grain of %" PRIu64
			       " bytes is not a power of two from 4 KiB to "
			       "1 MiB", grain);
	if (c->virtual_size <= VMDK_FILE_SECTORS_MAX * VMDK_SECTOR)
		return 0;
	ret = vd_fail(err, EFBIG, VD_NOWHERE, "a sparse VMDK cannot hold more "
		      "than 2 TiB");
	vd_err_help(err, "vmdk:fixed or vdi can");
	return ret;
}

static int
create_sparse(struct vd_host *host, const char *path,
	      const struct vd_create *c, struct vd_err *err)
{
	uint64_t grain = c->unit ? c->unit : GRAIN_USUAL;
	uint8_t raw[VMDK_HEADER_LEN];
	struct vmdk_header h;
	struct vd_file *f;
	struct text *t;
	char line[VD_NAME_MAX + 64];
	int ret = check_sparse(c, grain, err);

	if (ret)
		return ret;
	vmdk_header_layout(&h, c->virtual_size / VMDK_SECTOR,
			   grain / VMDK_SECTOR);
	snprintf(line, sizeof(line), "RW %" PRIu64 " SPARSE \"%s\"\n",
		 h.capacity, base_name(path));
	t = malloc(sizeof(*t));
	if (!t)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = make_text(t, "monolithicSparse", line, c, err);
	if (!ret)
		ret = vd_host_create(host, path, &f, err);
	if (!ret)
		ret = vd_file_truncate(f, h.overhead * VMDK_SECTOR, err);
	if (!ret)
		ret = vd_file_write(f, t->buf, t->len,
				    h.desc_sector * VMDK_SECTOR, err);
	if (!ret)
		ret = write_directory(f, &h, h.rgd_sector, err);
	if (!ret)
		ret = write_directory(f, &h, h.gd_sector, err);
	if (!ret)
		ret = vd_file_sync(f, err);
	vmdk_header_encode(&h, raw);
	if (!ret)
		ret = vd_file_write(f, raw, sizeof(raw), 0, err);
	free(t);
	return ret;
}

/* X.vmdk keeps its data in X-flat.vmdk. */
static int
flat_path(const char *path, char *buf, size_t len, struct vd_err *err)
{
	size_t n = strlen(path);

	if (strlen(base_name(path)) > 5 && !strcasecmp(path + n - 5, ".vmdk"))
		n -= 5;
	if ((size_t)snprintf(buf, len, "%.*s-flat.vmdk", (int)n, path) >= len)
		return vd_fail(err, ENAMETOOLONG, VD_NOWHERE,
			       "the path is too long");
	return 0;
}

static int
create_flat(struct vd_host *host, const char *path, const struct vd_create *c,
	    struct vd_err *err)
{
	char data[VD_NAME_MAX], line[VD_NAME_MAX + 64];
	struct vd_file *f, *df;
	struct text *t;
	int ret = flat_path(path, data, sizeof(data), err);

	if (ret)
		return ret;
	snprintf(line, sizeof(line), "RW %" PRIu64 " FLAT \"%s\" 0\n",
		 c->virtual_size / VMDK_SECTOR, base_name(data));
	t = malloc(sizeof(*t));
	if (!t)
		return vd_fail(err, ENOMEM, VD_NOWHERE, "no memory");
	ret = make_text(t, "monolithicFlat", line, c, err);
	if (!ret)
		ret = vd_host_create(host, data, &df, err);
	if (!ret)
		ret = vd_file_truncate(df, c->virtual_size, err);
	if (!ret && (c->flags & VD_CREATE_FIXED))
		ret = vd_file_reserve(df, 0, c->virtual_size, err);
	if (!ret)
		ret = vd_host_create(host, path, &f, err);
	if (!ret)
		ret = vd_file_write(f, t->buf, t->len, 0, err);
	free(t);
	return ret;
}

/* NULL, and what people write after "vmdk:", are as good as the real names. */
static int
choose(const struct vd_create *c, bool *flat, struct vd_err *err)
{
	const char *v = c->variant;
	bool fixed = c->flags & VD_CREATE_FIXED;

	*flat = fixed;
	if (!v)
		return 0;
	*flat = !strcasecmp(v, "fixed") || !strcasecmp(v, "monolithicFlat");
	if (!*flat && strcasecmp(v, "sparse") &&
	    strcasecmp(v, "monolithicSparse"))
		return vd_fail(err, ENOTSUP, VD_NOWHERE, "cannot create a "
			       "VMDK of type %s: only monolithicSparse and "
			       "monolithicFlat", v);
	if (fixed && !*flat)
		return vd_fail(err, EINVAL, VD_NOWHERE, "%s cannot take all "
			       "its space at creation: that is "
			       "monolithicFlat", v);
	return 0;
}

int
vmdk_create(struct vd_host *host, const char *path, const struct vd_create *c,
	    struct vd_err *err)
{
	bool flat;
	int ret = choose(c, &flat, err);

	if (!ret)
		ret = check_name(path, err);
	if (!ret && c->comment && strlen(c->comment) > COMMENT_MAX)
		ret = vd_fail(err, EINVAL, VD_NOWHERE, "the comment is longer "
			      "than %u bytes", COMMENT_MAX);
	if (ret)
		return ret;
	return flat ? create_flat(host, path, c, err)
		    : create_sparse(host, path, c, err);
}
