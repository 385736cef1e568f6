/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * error.t.c - the error object: first failure wins, NULL is allowed.
 */
#include <errno.h>
#include <vdisk/error.h>
#include "tap.h"

int
main(void)
{
	struct vd_err e = { 0 };
	char text[256], tiny[8];

	is_int(vd_fail(&e, EFBIG, 512, "claims %d bytes", 7), -EFBIG,
	       "returns -errno");
	is_int(vd_fail(&e, EIO, 0, "open failed"), -EIO,
	       "of its own failure");
	ok(e.code == EFBIG && e.off == 512,
	   "an outer failure does not hide the inner one");
	is_str(e.msg, "claims 7 bytes", "the sentence");
	is_int(vd_fail(NULL, EIO, 0, "x"), -EIO, "nobody has to listen");
	is_int(vd_fail(NULL, 0, 0, "x"), -EIO, "a failure has a number");
	is_int(vd_fail(NULL, -ENOSPC, 0, "x"), -ENOSPC, "either sign will do");
	vd_err_file(&e, "a\nb\x1b[2J.vmdk");
	vd_err_file(&e, "other");
	vd_err_help(&e, "run %s", "this");
	is_str(vd_err_text(&e, text, sizeof(text)),
	       "a\\x0ab\\x1b[2J.vmdk: claims 7 bytes (byte 0x200)\n"
	       "        run this",
	       "file, sentence, byte, help; control characters escaped");
	ok(strlen(vd_err_text(&e, tiny, sizeof(tiny))) < sizeof(tiny),
	   "a small buffer is not overrun");
	vd_err_clear(&e);
	vd_err_file(&e, "f");
	vd_err_help(&e, "h");
	is_str(vd_err_text(&e, text, sizeof(text)), "no error",
	       "nothing sticks to an object without a failure");
	return done_testing();
}
