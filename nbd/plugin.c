/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * plugin.c - what nbdkit asks of the disk that open.c opened.
 *
 * One disk serves all connections, so a flush on any of them covers the writes
 * acknowledged on all (W2): clients may spread their work (multi-conn).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "nbd.h"

#define THREAD_MODEL	NBDKIT_THREAD_MODEL_PARALLEL

static struct nbd_export it;

/* -------------------------------------------------------------- life cycle */

static int
plug_config(const char *key, const char *value)
{
	return nbd_config(&it.want, key, value);
}

static int
plug_config_complete(void)
{
	if (it.want.file)
		return 0;
	nbdkit_error("which disk?  nbdkit vdisk FILE");
	return -1;
}

/*
 * Here an error can still be told to whoever sits before the terminal, and the
 * user is still the one who started us.  Then nbdkit forks.  An open disk comes
 * through whole: it has no thread before its first write (core/flush.c), and its
 * locks belong to the open files.
 */
static int
plug_get_ready(void)
{
	return nbd_open(&it);
}

static void
plug_cleanup(void)
{
	nbd_close(&it);
}

static void
plug_unload(void)
{
	nbd_close(&it);
	free(it.want.file);
}

static void
plug_dump(void)
{
	struct vd_library *lib;
	const struct vd_format *f;

	printf("vdisk_version=%s\n", vd_version());
	printf("vdisk_format_abi=%d.%d\n", VD_ABI_MAJOR, VD_ABI_MINOR);
	if (vd_library_open(NULL, &lib, NULL))
		return;
	printf("vdisk_formats=");
	for (unsigned i = 0; (f = vd_library_format(lib, i, NULL)); i++)
		printf("%s%s", i ? " " : "", f->name);
	putchar('\n');
	vd_library_close(lib);
}

static void *
plug_open(int readonly)
{
	(void)readonly;		/* nbdkit -r: it will not write */
	return NBDKIT_HANDLE_NOT_NEEDED;
}

/* ------------------------------------------------------------- properties */

static int64_t
plug_get_size(void *h)
{
	(void)h;
	return (int64_t)vd_disk_size(it.disk);
}

static const char *
plug_export_description(void *h)
{
	const struct vd_image_info *i = vd_disk_image(it.disk, 0);
	unsigned depth = vd_disk_depth(it.disk);

	(void)h;
	if (depth == 1)
		return nbdkit_printf_intern("%s %s",
			vd_disk_format(it.disk, 0)->name, i->variant);
	return nbdkit_printf_intern("%s %s, a chain of %u images",
		vd_disk_format(it.disk, 0)->name, i->variant, depth);
}

static int
plug_block_size(void *h, uint32_t *minimum, uint32_t *preferred,
		uint32_t *maximum)
{
	(void)h;
	*minimum = 1;
	*preferred = 4096;
	*maximum = 32u << 20;
	return 0;
}

static int
plug_can_write(void *h)
{
	(void)h;
	return !vd_disk_readonly(it.disk);
}

static int
plug_can_trim(void *h)
{
	(void)h;
	return vd_disk_can_discard(it.disk);
}

static int
plug_can_fua(void *h)
{
	(void)h;
	return NBDKIT_FUA_NATIVE;
}

/* What is read once is in the page cache: that is all there is to do. */
static int
plug_can_cache(void *h)
{
	(void)h;
	return NBDKIT_CACHE_EMULATE;
}

static int
plug_yes(void *h)
{
	(void)h;
	return 1;
}

static int
plug_no(void *h)
{
	(void)h;
	return 0;
}

/* -------------------------------------------------------------------- data */

static int
plug_pread(void *h, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	struct vd_err err = { 0 };
	int ret = vd_disk_read(it.disk, buf, count, offset, &err);

	(void)h;
	(void)flags;
	return ret ? nbd_failed(ret, &err) : 0;
}

static int
plug_pwrite(void *h, const void *buf, uint32_t count, uint64_t offset,
	    uint32_t flags)
{
	unsigned fua = flags & NBDKIT_FLAG_FUA ? VD_FUA : 0;
	struct vd_err err = { 0 };
	int ret = vd_disk_write(it.disk, buf, count, offset, fua, &err);

	(void)h;
	return ret ? nbd_failed(ret, &err) : 0;
}

static int
plug_flush(void *h, uint32_t flags)
{
	struct vd_err err = { 0 };
	int ret = vd_disk_flush(it.disk, &err);

	(void)h;
	(void)flags;
	return ret ? nbd_failed(ret, &err) : 0;
}

static int
plug_trim(void *h, uint32_t count, uint64_t offset, uint32_t flags)
{
	struct vd_err err = { 0 };
	int ret = vd_disk_discard(it.disk, offset, count, &err);

	(void)h;
	if (!ret && (flags & NBDKIT_FLAG_FUA))
		ret = vd_disk_flush(it.disk, &err);
	return ret ? nbd_failed(ret, &err) : 0;
}

static int
plug_zero(void *h, uint32_t count, uint64_t offset, uint32_t flags)
{
	unsigned how = (flags & NBDKIT_FLAG_FUA ? VD_FUA : 0) |
		       (flags & NBDKIT_FLAG_MAY_TRIM ? VD_MAY_UNMAP : 0) |
		       (flags & NBDKIT_FLAG_FAST_ZERO ? VD_FAST : 0);
	struct vd_err err = { 0 };
	int ret = vd_disk_write_zeroes(it.disk, offset, count, how, &err);

	(void)h;
	if (ret != -ENOTSUP || !(flags & NBDKIT_FLAG_FAST_ZERO))
		return ret ? nbd_failed(ret, &err) : 0;
	nbdkit_set_error(ENOTSUP);	/* an answer, not a failure */
	return -1;
}

/*
 * The library tells layers apart, a client does not care: nbdkit joins what is
 * alike, and one run is complete when another kind follows.
 */
static int
plug_extents(void *h, uint32_t count, uint64_t offset, uint32_t flags,
	     struct nbdkit_extents *extents)
{
	uint64_t start = offset, end = offset + count;
	uint32_t type, first = 0;
	struct vd_err err = { 0 };
	struct vd_run run;
	int ret;

	(void)h;
	for (; offset < end; offset += run.len) {
		ret = vd_disk_extent(it.disk, offset, end - offset, &run,
				     &err);
		if (ret)
			return nbd_failed(ret, &err);
		type = run.kind == VD_EXT_ZERO
		       ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0;
		if (offset == start)
			first = type;
		else if ((flags & NBDKIT_FLAG_REQ_ONE) && type != first)
			break;
		if (nbdkit_add_extent(extents, offset, run.len, type) < 0)
			return -1;
	}
	return 0;
}

static struct nbdkit_plugin plugin = {
	.name			= "vdisk",
	.longname		= "vdisk: vmdk, vdi and raw disks with their chains",
	.version		= VDISK_VERSION,
	.description		= "Serve a virtual disk that is kept in files, in "
				  "any format that vdisk has a module for.",
	.magic_config_key	= "file",
	.config_help		= nbd_config_help,
	.config			= plug_config,
	.config_complete	= plug_config_complete,
	.dump_plugin		= plug_dump,
	.get_ready		= plug_get_ready,
	.cleanup		= plug_cleanup,
	.unload			= plug_unload,
	.open			= plug_open,
	.get_size		= plug_get_size,
	.export_description	= plug_export_description,
	.block_size		= plug_block_size,
	.can_write		= plug_can_write,
	.can_flush		= plug_yes,
	.is_rotational		= plug_no,
	.can_trim		= plug_can_trim,
	.can_zero		= plug_yes,
	.can_fast_zero		= plug_yes,
	.can_fua		= plug_can_fua,
	.can_multi_conn		= plug_yes,
	.can_extents		= plug_yes,
	.can_cache		= plug_can_cache,
	.pread			= plug_pread,
	.pwrite			= plug_pwrite,
	.flush			= plug_flush,
	.trim			= plug_trim,
	.zero			= plug_zero,
	.extents		= plug_extents,
};

struct nbdkit_plugin *plugin_init(void);
NBDKIT_REGISTER_PLUGIN(plugin)
