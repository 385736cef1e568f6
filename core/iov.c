/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * iov.c - walking along the caller's vectors.
 */
#include <string.h>
#include "internal.h"

uint64_t
vd_iov_len(const struct iovec *iov, int n)
{
	uint64_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* Step over what is used up, so that iov[0] has something left or n is 0. */
static void
settle(struct vd_iter *it)
{
	while (it->n && it->skip == it->iov->iov_len) {
		it->iov++;
		it->n--;
		it->skip = 0;
	}
}

int
vd_iter_take(struct vd_iter *it, uint64_t len, struct iovec *out, int max,
	     uint64_t *took)
{
	int used = 0;

	*took = 0;
	settle(it);
	while (len && it->n && used < max) {
		size_t left = it->iov->iov_len - it->skip;
		size_t take = left < len ? left : (size_t)len;

		out[used].iov_base = (char *)it->iov->iov_base + it->skip;
		out[used++].iov_len = take;
		it->skip += take;
		len -= take;
		*took += take;
		settle(it);
	}
	return used;
}

void
vd_iter_skip(struct vd_iter *it, uint64_t len)
{
	struct iovec one;
	uint64_t took;

	while (len && vd_iter_take(it, len, &one, 1, &took))
		len -= took;
}

void
vd_iter_zero(struct vd_iter *it, uint64_t len)
{
	struct iovec one;
	uint64_t took;

	for (; len && vd_iter_take(it, len, &one, 1, &took); len -= took)
		memset(one.iov_base, 0, one.iov_len);
}
