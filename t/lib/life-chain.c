/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * life-chain.c - what the owner of a disk does to it, and the reckoning after:
 * every state that is kept is read whole, and each image has to be healthy.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "life.h"

#define PIECE	(1u << 20)

void
life_bad(struct life *f, const char *fmt, ...)
{
	va_list ap;

	f->bad = true;
	fprintf(stderr, "vd-life: %s: %s: ", f->path, f->what);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void
life_failed(struct life *f, const char *what)
{
	char text[1400];

	life_bad(f, "%s: %s", what, vd_err_text(&f->err, text, sizeof(text)));
	vd_err_clear(&f->err);
}

/* ---------------------------------------------------------------- compare */

void
life_compare(struct life *f, struct vd_disk *d, const struct md *state)
{
	uint64_t size = md_size(state), n, at = MD_SAME;
	char *buf = malloc(PIECE);

	if (vd_disk_size(d) != size)
		life_bad(f, "%s has %llu bytes, expected %llu",
			 vd_disk_path(d, 0),
			 (unsigned long long)vd_disk_size(d),
			 (unsigned long long)size);
	for (uint64_t off = 0; off < size && !f->bad; off += n) {
		n = size - off < PIECE ? size - off : PIECE;
		if (vd_disk_read(d, buf, n, off, &f->err))
			life_failed(f, "read all");
		else
			at = md_diff(state, buf, off, n);
		if (at != MD_SAME)
			life_bad(f, "%s: byte %llu differs (unit %llu)",
				 vd_disk_path(d, 0), (unsigned long long)at,
				 (unsigned long long)f->unit);
	}
	free(buf);
}

static struct vd_disk *
open_to_read(struct life *f, const char *path)
{
	struct vd_open o = { .size = sizeof(o), .flags = VD_DISK_RDONLY };
	struct vd_disk *d;

	if (!vd_disk_open(f->lib, path, &o, &d, &f->err))
		return d;
	life_failed(f, path);
	return NULL;
}

static void
compare_file(struct life *f, const char *path, const struct md *state)
{
	struct vd_disk *d = f->bad ? NULL : open_to_read(f, path);

	if (d)
		life_compare(f, d, state);
	vd_disk_close(d, NULL);
}

void
life_compare_all(struct life *f)
{
	for (unsigned i = 0; i < f->nsnaps; i++)
		compare_file(f, f->snap[i].path, f->snap[i].state);
	compare_file(f, f->path, f->top);
}

/* ----------------------------------------------------------------- verify */

struct judge {
	struct vd_report report;
	struct life    *life;
};

static void
finding(struct vd_report *r, const struct vd_finding *x)
{
	struct judge *j = (struct judge *)(void *)r;

	/* Space that nobody uses is what a death may leave. */
	if (x->severity == VD_LEAK &&
	    (j->life->killed ||
	     (j->life->leak && !strcmp(x->code, j->life->leak))))
		return;
	life_bad(j->life, "verify: %s: byte %llu: %s: %s", x->file,
		 (unsigned long long)x->off, x->code, x->text);
}

static void
verify_one(struct life *f, const char *path)
{
	struct vd_open o = { .size = sizeof(o),
			     .flags = VD_DISK_RDONLY | VD_DISK_CHECK };
	struct judge j = { { .size = sizeof(j.report), .finding = finding },
			   f };
	struct vd_disk *d;
	int ret = 0;

	if (vd_disk_open(f->lib, path, &o, &d, &f->err)) {
		life_failed(f, "open to verify");
		return;
	}
	if (vd_disk_format(d, 0)->check)
		ret = vd_disk_check(d, 0, &j.report, &f->err);
	if (ret)
		life_failed(f, "verify");
	vd_disk_close(d, NULL);
}

/* A healthy image gives no reason to say anything. */
static void
verify_all(struct life *f)
{
	verify_one(f, f->path);
	for (unsigned i = 0; i < f->nsnaps && !f->bad; i++)
		verify_one(f, f->snap[i].path);
}

/* -------------------------------------------------------------- open, end */

bool
life_open(struct life *f)
{
	if (f->bad)
		return false;
	if (vd_disk_open(f->lib, f->path, &f->open, &f->disk, &f->err)) {
		f->disk = NULL;
		life_failed(f, "open");
		return false;
	}
	f->unit = vd_disk_image(f->disk, 0)->unit;
	return true;
}

bool
life_close(struct life *f)
{
	if (!f->disk)
		return !f->bad;
	if (vd_disk_close(f->disk, &f->err))
		life_failed(f, "close");
	f->disk = NULL;
	f->killed = false;
	return !f->bad;
}

static struct md *
read_state(struct life *f, const char *path)
{
	struct vd_disk *d = open_to_read(f, path);
	struct md *m = d ? md_new(vd_disk_size(d)) : NULL;
	char *buf = malloc(PIECE);
	uint64_t n;

	for (uint64_t off = 0; m && off < md_size(m) && !f->bad; off += n) {
		n = md_size(m) - off < PIECE ? md_size(m) - off : PIECE;
		if (vd_disk_read(d, buf, n, off, &f->err))
			life_failed(f, "read");
		else
			md_put(m, buf, off, n);
	}
	free(buf);
	vd_disk_close(d, NULL);
	return m;
}

/* Images that lie below the disk from the start are snapshots of it. */
bool
life_begin(struct life *f)
{
	struct vd_disk *d = open_to_read(f, f->path);
	unsigned n = d ? vd_disk_depth(d) : 0;
	const char *name;

	if (n > LIFE_SNAPS)
		life_bad(f, "%u images are too many", n);
	for (unsigned i = n; !f->bad && i-- > 1; ) {
		struct life_snap *s = &f->snap[f->nsnaps++];

		snprintf(s->path, sizeof(s->path), "%s", vd_disk_path(d, i));
		name = vd_snapshot_name(d, i, s->name, sizeof(s->name));
		if (name && name != s->name)
			snprintf(s->name, sizeof(s->name), "%s", name);
	}
	vd_disk_close(d, NULL);
	for (unsigned i = 0; i < f->nsnaps; i++)
		f->snap[i].state = read_state(f, f->snap[i].path);
	f->top = f->bad ? NULL : read_state(f, f->path);
	return !f->bad && life_open(f);
}

/* Somebody else's opinion of the disk; called with the content as a raw file. */
static void
ask_hook(struct life *f)
{
	char raw[600], line[2048];
	int ret;

	snprintf(raw, sizeof(raw), "%smodel.raw", f->dir);
	ret = md_save(f->top, raw);
	if (ret) {
		life_bad(f, "%s: %s", raw, strerror(-ret));
		return;
	}
	snprintf(line, sizeof(line), "%s '%s' '%s' %u >&2", f->hook, f->path,
		 raw, f->nsnaps + 1);
	fflush(NULL);
	ret = system(line);
	if (ret)
		life_bad(f, "others do not agree (status 0x%x)", ret);
	else
		unlink(raw);
}

/* A disk that stands alone can be read by more programs, and is rarer. */
static bool
hook_is_due(struct life *f)
{
	if (!f->hook)
		return false;
	if (!f->nsnaps)
		return ++f->alone % ((f->hook_each + 3) / 4) == 0;
	return ++f->reopened % f->hook_each == 0;
}

int
life_reopen(struct life *f)
{
	bool killed = f->killed;
	unsigned i;

	snprintf(f->what, sizeof(f->what), "reopen");
	if (!life_close(f))
		return 0;
	f->killed = killed;	/* an open gives back what a death left */
	verify_all(f);
	f->killed = false;
	if (!f->bad && hook_is_due(f))
		ask_hook(f);
	if (f->nsnaps) {
		i = life_random(f) % f->nsnaps;
		compare_file(f, f->snap[i].path, f->snap[i].state);
	}
	if (life_open(f))
		life_compare(f, f->disk, f->top);
	return 0;
}

/* Between two opens; ret is handed on.  When it was done, all is looked at. */
static int
changed(struct life *f, int ret)
{
	if (!ret) {
		verify_all(f);
		life_compare_all(f);
	}
	if (life_open(f) && ret)
		life_compare(f, f->disk, f->top);
	return ret;
}

/* -------------------------------------------------------------- snapshots */

static void
forget(struct life *f, unsigned i)
{
	md_free(f->snap[i].state);
	memmove(&f->snap[i], &f->snap[i + 1],
		(--f->nsnaps - i) * sizeof(f->snap[0]));
}

int
life_snapshot(struct life *f)
{
	struct life_snap *s = &f->snap[f->nsnaps];
	int ret, stem = (int)(strlen(f->path) - strlen(f->ext) - 1);
	char name[16];

	if (f->nsnaps == LIFE_SNAPS)
		return life_merge(f);
	snprintf(name, sizeof(name), "s%u", ++f->named);
	snprintf(f->what, sizeof(f->what), "snapshot @%s", name);
	if (!life_close(f))
		return 0;
	ret = vd_snapshot(f->lib, f->path, name, &f->open, &f->err);
	if (!ret) {
		strcpy(s->name, name);
		snprintf(s->path, sizeof(s->path), "%.*s@%s.%s", stem, f->path,
			 name, f->ext);
		s->state = md_copy(f->top);
		f->nfrozen = 0;		/* the new top takes all */
		f->replaced = true;
		f->nsnaps++;
	}
	return changed(f, ret);
}

int
life_rollback(struct life *f)
{
	unsigned i = f->nsnaps - 1 - (life_random(f) % 4
				      ? 0 : life_random(f) % f->nsnaps);
	unsigned flags = i + 1 < f->nsnaps ? VD_NEWER : 0;
	int ret;

	snprintf(f->what, sizeof(f->what), "rollback @%s", f->snap[i].name);
	if (!life_close(f))
		return 0;
	if (flags && vd_rollback(f->lib, f->path, f->snap[i].name, 0, &f->open,
				 NULL) != -ENOTEMPTY)
		life_bad(f, "newer snapshots went without a word");
	ret = vd_rollback(f->lib, f->path, f->snap[i].name, flags, &f->open,
			  &f->err);
	if (!ret) {
		md_free(f->top);
		f->top = md_copy(f->snap[i].state);
		f->nfrozen = 0;
		f->replaced = true;
		while (f->nsnaps > i + 1)
			forget(f, f->nsnaps - 1);
	}
	return changed(f, ret);
}

int
life_merge(struct life *f)
{
	unsigned i = life_random(f) % f->nsnaps;
	int ret;

	snprintf(f->what, sizeof(f->what), "merge @%s", f->snap[i].name);
	snprintf(f->pair, sizeof(f->pair), "merge@%s>%s", f->snap[i].name,
		 i + 1 < f->nsnaps ? f->snap[i + 1].name : "");
	if (!life_close(f))
		return 0;
	ret = vd_merge(f->lib, f->path, f->snap[i].name, &f->open, &f->err);
	if (!ret) {
		if (!access(f->snap[i].path, F_OK))
			life_bad(f, "%s is still there", f->snap[i].path);
		forget(f, i);
	}
	return changed(f, ret);
}

/* ------------------------------------------------------------------- size */

static int
resize(struct life *f, uint64_t size)
{
	int ret;

	snprintf(f->what, sizeof(f->what), "resize %llu to %llu",
		 (unsigned long long)md_size(f->top),
		 (unsigned long long)size);
	ret = vd_disk_resize(f->disk, size, &f->err);
	if (!ret)
		md_resize(f->top, size);
	if (vd_disk_size(f->disk) != md_size(f->top))
		life_bad(f, "has %llu bytes",
			 (unsigned long long)vd_disk_size(f->disk));
	else
		life_compare(f, f->disk, f->top);
	return ret;
}

int
life_grow(struct life *f)
{
	uint64_t size = md_size(f->top);
	uint64_t more = 512 * (1 + life_random(f) % (1 + size / 2048));

	if (size + more > f->size_max)
		more = 512;
	return resize(f, size + more);
}

int
life_shrink(struct life *f)
{
	uint64_t size = md_size(f->top);
	uint64_t less = 512 * (1 + life_random(f) % (1 + size / 4096));

	if (size - less < f->size_max / 4)
		less = 512;
	if (f->nsnaps && size - less < md_size(f->snap[f->nsnaps - 1].state)) {
		snprintf(f->what, sizeof(f->what), "shrink below the parent");
		f->aside = true;
		if (!vd_disk_resize(f->disk, size - less, &f->err))
			life_bad(f, "was done");
		return 0;
	}
	return resize(f, size - less);
}

/* ----------------------------------------------------------------- copies */

/* vdiskadm copies a state to a disk of any format that stands alone. */
int
life_clone(struct life *f)
{
	static const char *const ext[] = { "vmdk", "vdi", "raw" };
	unsigned i = life_random(f) % (f->nsnaps + 1);
	char to[600], from[700], line[2048];

	snprintf(to, sizeof(to), "%sclone.%s", f->dir,
		 ext[life_random(f) % 3]);
	snprintf(from, sizeof(from), "%s%s%s", f->path,
		 i < f->nsnaps ? "@" : "", i < f->nsnaps ? f->snap[i].name
							  : "");
	snprintf(f->what, sizeof(f->what), "clone %.100s %.100s", from, to);
	snprintf(line, sizeof(line), "vdiskadm clone '%s' '%s' >&2", from, to);
	if (!life_close(f))
		return 0;
	fflush(NULL);
	if (system(line))
		life_bad(f, "vdiskadm refused");
	compare_file(f, to, i < f->nsnaps ? f->snap[i].state : f->top);
	if (!f->bad && vd_remove(f->lib, to, 0, NULL, &f->err))
		life_failed(f, "remove the clone");
	life_open(f);
	return 0;
}

/* A second child of a snapshot: neither merge nor rollback may take its parent. */
int
life_branch(struct life *f)
{
	unsigned i = life_random(f) % f->nsnaps;
	const char *format = vd_disk_format(f->disk, 0)->name;
	char to[600];
	int ret;

	snprintf(to, sizeof(to), "%sbranch.%s", f->dir, f->ext);
	snprintf(f->what, sizeof(f->what), "branch of @%s", f->snap[i].name);
	if (!life_close(f))
		return 0;
	ret = vd_create_child(f->lib, format, to, f->snap[i].path, &f->open,
			      NULL, &f->err);
	if (!ret) {
		compare_file(f, to, f->snap[i].state);
		if (vd_merge(f->lib, f->path, f->snap[i].name, &f->open,
			     NULL) != -EBUSY)
			life_bad(f, "the parent of two was merged");
		if (!f->bad && strchr(f->snap[i].path, '@') &&
		    vd_remove(f->lib, f->path, VD_NEWER, &f->open,
			      NULL) != -EBUSY)
			life_bad(f, "the parent of two was removed");
		if (vd_remove(f->lib, to, 0, &f->open, &f->err))
			life_failed(f, "remove the branch");
	}
	return changed(f, ret);
}
