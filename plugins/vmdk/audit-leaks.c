/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit-leaks.c - what of a sparse file belongs to no grain and no table:
 * between them, and at the end.
 */
#include "audit-grains.h"

/* Bytes of it that take room on the host. */
static uint64_t
taken(struct vmdk_part *p, uint64_t off, uint64_t end)
{
	uint64_t sum = 0, n;
	bool hole;

	for (; off < end; off += n) {
		n = end - off;
		if (vd_file_run(p->f, off, &n, &hole, NULL) || !n)
			return sum + (end - off);
		sum += hole ? 0 : n;
		if (hole && n > end - off)
			break;
	}
	return sum;
}

/* Of terabytes of holes nothing is kept to be put back. */
static int
punch_data(struct vmdk_part *p, uint64_t off, uint64_t end, struct vd_err *err)
{
	uint64_t n;
	bool hole;
	int ret = 0;

	for (; off < end && !ret; off += n) {
		n = end - off;
		ret = vd_file_run(p->f, off, &n, &hole, err);
		if (!n)
			break;
		if (!ret && !hole)
			ret = vd_file_punch(p->f, off, n, err);
	}
	return ret;
}

static int
gap(struct vmdk_part *p, uint64_t from, uint64_t to, struct vd_err *err)
{
	uint64_t off = from * VMDK_SECTOR, end = to * VMDK_SECTOR;
	/* Of what shares a page with something else nothing comes back. */
	uint64_t first = (off + 4095) / 4096 * 4096, last = end / 4096 * 4096;

	if (to - from < p->grain || !taken(p, first, last) ||
	    taken(p, off, end) < p->grain * VMDK_SECTOR)
		return 0;
	if (!vd_flaw(p->a, VMDK_FLAW(p, VD_LEAK, "vmdk-leak", off,
	    p->given_up ? NULL : "would give the room back"), "%" PRIu64
	    " bytes are used by nobody", end - off))
		return 0;
	return punch_data(p, off, end, err);
}

/* What is not metadata of [from, to). */
static int
gap_around(struct vmdk_part *p, size_t *piece, uint64_t from, uint64_t to,
	   struct vd_err *err)
{
	int ret = 0;

	for (; *piece < p->nlate && from < to && !ret; ++*piece) {
		const struct vmdk_piece *m = &p->late[*piece];

		if (m->at >= to)
			break;
		if (m->at > from)
			ret = gap(p, from, m->at, err);
		if (m->at + m->len > from)
			from = m->at + m->len;
	}
	return !ret && from < to ? gap(p, from, to, err) : ret;
}

int
leaks_between(struct walk *w, uint64_t *from, size_t *piece, struct vd_err *err)
{
	struct vmdk_part *p = w->p;
	int ret = 0;

	for (uint64_t k = 1; k <= w->slots && !ret; k++) {
		if (!w->touched[k / PART])
			k |= PART - 1;
		if (k > w->slots || !w->owner[k])
			continue;
		if (w->owner[k] > *from)
			ret = gap_around(p, piece, *from, w->owner[k], err);
		*from = w->owner[k] + p->grain;
	}
	return ret;
}

/* The last grain ends at from; a table may lie behind it. */
uint64_t
leaks_end(const struct vmdk_part *p, uint64_t from)
{
	uint64_t end = from;

	for (size_t i = 0; i < p->nlate; i++)
		if (p->late[i].at + p->late[i].len > end)
			end = p->late[i].at + p->late[i].len;
	return end;
}

int
leaks_tail(struct vmdk_part *p, uint64_t from, size_t piece, struct vd_err *err)
{
	uint64_t all = vmdk_part_sectors(p), end = leaks_end(p, from);
	int ret;

	ret = gap_around(p, &piece, from, end, err);
	/* ESX wants one sector behind the first free one. */
	if (p->kind == VMDK_COWD)
		end++;
	if (ret || all < end + p->grain || p->given_up ||
	    vd_file_is_block(p->f))
		return ret;
	if (!vd_flaw(p->a, VMDK_FLAW(p, VD_LEAK, "vmdk-tail", end *
	    VMDK_SECTOR, "would cut them off"), "%" PRIu64 " bytes at the end "
	    "of the file belong to no grain", (all - end) * VMDK_SECTOR))
		return 0;
	if (p->kind == VMDK_COWD)
		ret = vmdk_lower_free_sector(p, end - 1, err);
	return ret ? ret : vd_file_truncate(p->f, end * VMDK_SECTOR, err);
}
