/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * serve-loss.t.c - data that could not be written back behind the driver: what
 * the guest gets then, from whichever process (B3, B4 of core/ring/flush.c).
 */
/* objects: t/lib/faketap.o t/lib/frontend.o core/cmd/libcmd.a core/ring/libvdring.a */
#include <sys/syscall.h>

#include "servetap.h"

static int fail_sync;		/* errno of the host's, in processes to come */

int
fdatasync(int fd)
{
	if (!fail_sync)
		return (int)syscall(SYS_fdatasync, fd);
	errno = fail_sync;
	return -1;
}

static bool
answered(void)
{
	struct fe_rsp rsp;

	return fe_next(&f.fe, &rsp);
}

/* What a guest gets from a disk that is lost (B3): errors, silence, data. */
static void
is_lost(const char *where)
{
	is_int(one(FE_WRITE, 0, 1), FE_ERROR, "%s: a write fails", where);
	put(FE_FLUSH, 1, 0, 0);
	put(FE_READ, 2, 0, 3);
	fe_push(&f.fe);
	is_int(answer(NULL), FE_OKAY, "%s: a read does not", where);
	ok(!answered(), "%s: a flush is not answered", where);
}

static void
end_by(int signo)
{
	kill(child, signo);
	is_int(ended(), signo == SIGKILL ? 1000 + SIGKILL : 0, "signal %d",
	       signo);
}

/* A disk whose first process has a sync that fails with error. */
static void
begin_failing(int error, bool kept)
{
	setup();
	if (kept)
		be_keeper();
	o.driver = VD_DRIVER_SYNC;
	f.sh->info.state = XPVTAP_CONNECTED;
	fail_sync = error;
	begin();
	fail_sync = 0;
	is_int(one(FE_WRITE, 0, 1), FE_OKAY, "a write");
}

/* B4: whoever comes next knows it, and nobody after the disk's end. */
static void
test_lost(void)
{
	begin_failing(EIO, false);
	put(FE_FLUSH, 1, 0, 0);
	put(FE_READ, 2, 0, 3);
	fe_push(&f.fe);
	is_int(answer(NULL), FE_OKAY, "a read beside a flush that fails");
	while (one(FE_WRITE, 0, 1) == FE_OKAY)
		usleep(1000);
	is_lost("the process that failed");
	kill(child, SIGKILL);
	ended();
	begin();
	ok(has_said("takes no more writes"), "the next one says so");
	is_lost("after SIGKILL");
	end_by(SIGTERM);
	begin();
	is_lost("after SIGTERM");
	faketap_hangup(&f);
	is_int(ended(), 0, "the disk is taken away");
	f.sh->hangup = false;
	f.sh->info.state = XPVTAP_WAITING;
	begin();
	is_int(one(FE_WRITE, 0, 1), FE_OKAY, "what comes then is another");
	end_by(SIGTERM);
	faketap_close(&f);
}

/* Nobody was there when the disk was taken away, and another has its number. */
static void
test_lost_number(void)
{
	begin_failing(EIO, false);
	put(FE_FLUSH, 1, 0, 0);
	fe_push(&f.fe);
	while (one(FE_WRITE, 0, 1) == FE_OKAY)
		usleep(1000);
	end_by(SIGKILL);
	f.sh->info.opens = 0;
	begin();
	is_int(one(FE_WRITE, 0, 1), FE_OKAY, "a disk with an old number");
	is_int(one(FE_FLUSH, 0, 0), FE_OKAY, "has lost nothing");
	end_by(SIGTERM);
	faketap_close(&f);
}

/* The last flush is nobody's request: its failure is as much of one. */
static void
test_lost_at_end(int error, bool is)
{
	begin_failing(error, false);
	kill(child, SIGTERM);
	is_int(ended(), CMD_REFUSED, "the image cannot be flushed: %s",
	       strerror(error));
	begin();
	if (is)
		is_lost("afterwards");
	else
		is_int(one(FE_WRITE, 0, 1), FE_OKAY, "but nothing was lost");
	end_by(SIGTERM);
	faketap_close(&f);
}

/* Handed over in spite of it: the next one has the guest's reads to answer. */
static void
test_lost_handed_over(void)
{
	begin_failing(EIO, true);
	kill(child, SIGUSR1);
	is_int(ended(), SERVE_AGAIN, "an image that cannot be flushed is "
	       "handed over");
	keeper_ends();
	o.kept = false;
	begin();
	is_lost("after that");
	end_by(SIGTERM);
	faketap_close(&f);
}

int
main(void)
{
	if (!begin_tests())
		return 1;
	test_lost();
	test_lost_number();
	test_lost_handed_over();
	test_lost_at_end(EIO, true);
	test_lost_at_end(ENOMEM, false);
	return end_tests();
}
