/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * iov.t.c - walking along vectors, with empty ones in between.
 */
/* objects: core/iov.o */
#include "tap.h"
#include "core/internal.h"

int
main(void)
{
	char a[10], b[20], c[30];
	struct iovec v[] = {
		{ a, 0 }, { a, 10 }, { b, 0 }, { b, 20 }, { c, 30 }, { c, 0 },
	};
	struct vd_iter it = { v, 6, 0 };
	struct iovec out[8];
	uint64_t took;

	is_int(vd_iov_len(v, 6), 60, "length of all");
	is_int(vd_iter_take(&it, 15, out, 8, &took), 2, "two slots for 15");
	ok(took == 15 && out[0].iov_base == a && out[0].iov_len == 10 &&
	   out[1].iov_base == b && out[1].iov_len == 5, "the right ones");
	is_int(vd_iter_take(&it, 100, out, 1, &took), 1, "no more than asked");
	ok(took == 15 && out[0].iov_base == b + 5, "the rest of the second");
	vd_iter_skip(&it, 4);
	is_int(vd_iter_take(&it, 2, out, 8, &took), 1, "after a skip");
	ok(out[0].iov_base == c + 4, "it goes on there");
	memset(c, 1, sizeof(c));
	vd_iter_zero(&it, 100);
	ok(c[5] == 1 && c[6] == 0 && c[29] == 0, "zeros to the end, not past");
	is_int(vd_iter_take(&it, 5, out, 8, &took), 0, "nothing is left");
	is_int(took, 0, "and nothing was taken");
	return done_testing();
}
