/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mend.c - repair an image.
 *
 * A repair that nobody agrees to does nothing.  One that is agreed to comes to an
 * end, takes nothing away that could be read, and can be undone to the byte.
 */
#include <unistd.h>
#include "oper.h"

/* Of repairs until nothing is asked: what one mends lets the next see more. */
#define ROUNDS	5u

static unsigned damage;		/* that all repairs together told */

/* Of two with its name the later one is there. */
static const struct fz_file *
image_of(const struct fz_input *z)
{
	unsigned i = z->nfiles - 1;

	while (strcmp(z->file[i].name, z->file[0].name))
		i--;
	return &z->file[i];
}

static void
forget(uint64_t off, uint64_t len)
{
	for (unsigned i = 0; i < fz_nwindows * FZ_CHUNKS; i++) {
		struct fz_window *w = &fz_windows[i / FZ_CHUNKS];
		uint64_t at = w->off + i % FZ_CHUNKS * FZ_CHUNK;

		if (at < off + len && off < at + FZ_CHUNK)
			w->known &= ~(1u << i % FZ_CHUNKS);
	}
}

/*
 * Of two tables that differ the first is read, and the other may be the right
 * one: such a grain reads in another way afterwards, and that was said.
 */
static void
forget_moved(const struct fz_input *z, const struct fz_sink *s)
{
	const struct fz_file *f = image_of(z);
	uint64_t grain = fz_get64(f, 20) * 512;
	uint64_t table = grain * fz_get32(f, 44);

	if (!s->nmoved && !s->ntables)
		return;
	if (fz_get32(f, 0) != 0x564d444b || !grain || grain > UINT32_MAX ||
	    s->nmoved > FZ_MOVED || s->ntables > FZ_MOVED) {
		forget(0, UINT64_MAX);
		return;
	}
	for (unsigned i = 0; i < s->nmoved; i++)
		forget(s->moved[i] * grain, grain);
	for (unsigned i = 0; i < s->ntables; i++)
		forget(s->tables[i] * table, table);
}

/* Returns how much was asked, -errno if it could not go on. */
static int
mend(struct vd_library *lib, const struct fz_input *z, const char *format,
     bool yes, const char *undo)
{
	struct vd_disk *d = fz_start(lib, z, format, VD_DISK_CHECK);
	struct fz_sink s = fz_sink(yes);
	struct vd_err err = { 0 };
	char path[512] = "";
	int ret;

	if (!d)
		return -EINVAL;
	if (undo)
		snprintf(path, sizeof(path), "%s", fz_path(undo));
	ret = vd_disk_repair(d, &s.r, undo ? path : NULL, &err);
	fz_must_tell("repair", ret, &err);
	fz_tell("repair", &err);
	damage += s.damage;
	if (yes)
		forget_moved(z, &s);
	if (yes && s.swapped)
		fz_forget_zeros();
	if (fz_stop(d) && !fz_full)
		fz_die("close failed after a repair");
	return ret ? ret : (int)s.asked;
}

static void
undo_one(struct vd_library *lib, const struct fz_input *z, const char *format,
	 const char *undo)
{
	struct vd_open o = { .size = sizeof(o),
			     .format = z->how & FZ_HOW_NAMED ? format : NULL };
	struct vd_err err = { 0 };
	char path[512];

	snprintf(path, sizeof(path), "%s", fz_path(undo));
	if (access(path, F_OK))
		return;		/* nothing was changed */
	if (vd_disk_undo(lib, fz_path(z->file[0].name), path, &o, &err) &&
	    !fz_full)
		fz_die("a repair cannot be undone: %s", err.msg);
}

/* Repair until there is nothing left to ask; the files of their undos. */
static unsigned
mend_all(struct vd_library *lib, const struct fz_input *z, const char *format,
	 const char *const *undo)
{
	unsigned n = 0;
	int asked = 1;

	while (asked > 0 && n < ROUNDS) {
		asked = mend(lib, z, format, true, undo[n++]);
		if (fz_full)
			return n;
	}
	if (asked > 0)
		fz_die("repair number %u still asks for %d changes", n, asked);
	return n;
}

/*
 * What a redundant table still knew, or a marker, may come back where zeros, or
 * the parent, were read for the lack of it.
 */
static void
may_come_back(bool has_parent)
{
	fz_zeros_may_go = true;
	for (unsigned k = 0; k < fz_nwindows && has_parent; k++)
		fz_windows[k].known = 0;
}

void
fz_repair(struct vd_library *lib, const struct fz_input *z, const char *format)
{
	static const char *const undo[ROUNDS] = { ".u0", ".u1", ".u2", ".u3",
						   ".u4" };
	struct fz_sink s;
	struct vd_disk *d;
	bool tables = false, has_parent = false;
	uint64_t print;
	unsigned n;

	fz_place(z);
	print = fz_print(z);
	fz_nwindows = damage = 0;
	fz_loose = fz_zeros_may_go = false;
	d = fz_start(lib, z, format, VD_DISK_RDONLY);
	if (d) {
		fz_choose_windows(z, vd_disk_size(d));
		fz_look_all(d);
		tables = !strcmp(vd_disk_format(d, 0)->name, "vmdk");
		has_parent = vd_disk_depth(d) > 1;
		fz_stop(d);
	}
	mend(lib, z, format, false, NULL);
	if (fz_print(z) != print)
		fz_die("a repair that nobody agreed to has changed something");
	damage = 0;
	n = mend_all(lib, z, format, undo);
	if (fz_full)
		return;
	if (tables && damage)
		may_come_back(has_parent);
	d = fz_start(lib, z, format, VD_DISK_RDONLY | VD_DISK_CHECK);
	if (d) {
		fz_check(d, &s);
		fz_stop(d);
	}
	d = fz_start(lib, z, format, VD_DISK_RDONLY);
	if (d) {
		fz_compare_all(d, "after a repair");
		fz_stop(d);
	} else if (fz_nwindows) {
		fz_die("after a repair it does not open any more");
	}
	while (n--)
		undo_one(lib, z, format, undo[n]);
	if (!fz_full && fz_print(z) != print)
		fz_die("undone, it is not what it was");
}
