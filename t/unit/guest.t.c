/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * guest.t.c - what the tools read and remove in xenstore.
 */
/* objects: core/cmd/libcmd.a core/ring/libvdring.a */
#include <unistd.h>
#include "tap.h"
#include "fakexen.h"
#include "../../core/cmd/guest.h"
#include "../../core/cmd/server.h"

static struct fakexen *f;

static void
finding(void)
{
	struct vd_err err = { 0 };
	unsigned id = 99;
	char name[32];

	put(f, "domid", "0");
	put(f, "/local/domain/0/name", "Domain-0");
	put(f, "/local/domain/7/name", "nevada");
	put(f, "/local/domain/9/name", "7");
	is_int(guest_find(&f->xen, "nevada", &id, NULL), 0, "by name");
	is_int(id, 7, "its number");
	is_int(guest_find(&f->xen, "0", &id, NULL), 0, "by number");
	is_int(id, 0, "is the number");
	is_int(guest_find(&f->xen, "7", &id, NULL), 0, "a name of digits");
	is_int(id, 7, "does not hide a number");
	is_int(guest_find(&f->xen, "utah", &id, &err), -ESRCH, "nobody");
	ok(strstr(err.msg, "utah") && *err.help, "is named, with help");
	is_int(guest_find(&f->xen, "8", &id, NULL), -ESRCH, "no such number");
	is_int(guest_find(&f->xen, "-7", &id, NULL), -ESRCH, "no number");
	is_int(guest_find(&f->xen, "", &id, NULL), -ESRCH, "nothing");
	f->dead = true;
	memset(&err, 0, sizeof(err));
	is_int(guest_find(&f->xen, "nevada", &id, &err), -ESRCH, "dying");
	ok(strstr(err.msg, "dying"), "is called so");
	f->dead = false;
	is_str(guest_name(&f->xen, 7, name, sizeof(name)), "nevada", "name");
	is_str(guest_name(&f->xen, 8, name, sizeof(name)), "8", "or number");
}

static int
count(struct xen *x, const struct guest_disk *d, void *ctx)
{
	unsigned *n = ctx;

	(void)x;
	n[0]++;
	n[1] += d->domid == 7 && d->devid == 51728;
	return 0;
}

static void
disks(void)
{
	struct guest_disk d, second;
	struct guest_state st;
	unsigned n[2] = { 0 };
	char id[64];

	guest_disk(&f->xen, GUEST_GRANTS, 7, 51728, &d);
	is_str(d.back, FAKE_B, "backend");
	is_str(d.front, FAKE_F, "frontend");
	guest_state(&f->xen, &d, &st);
	ok(!st.there && !st.pid, "not there yet");
	is_int(guest_each(&f->xen, count, n, NULL), 0, "no disk at all");
	fake_attach(f);
	guest_disk(&f->xen, GUEST_GRANTS, 7, 51744, &second);
	put(f, "/local/domain/0/backend/vdisk/7/51744/state", "4");
	put(f, "/local/domain/0/backend/vdisk/x/51744/state", "4");
	put(f, "/local/domain/0/backend/vdisk/7/x/state", "4");
	guest_each(&f->xen, count, n, NULL);
	ok(n[0] == 2 && n[1] == 1, "each disk once, nonsense never");

	guest_state(&f->xen, &d, &st);
	ok(st.there && st.front == 1 && st.back == 1 && !st.pid, "states");
	server_identity(getpid(), id, sizeof(id));
	put(f, FAKE_B "/vdisk-server", "%s", id);
	put(f, FAKE_F "/state", "%s", "4 ");
	guest_state(&f->xen, &d, &st);
	ok(st.alive && st.pid == getpid(), "its server lives");
	is_int(st.front, XENBUS_ODD, "a state of nonsense is none");
	put(f, FAKE_B "/vdisk-server", "%d 1", (int)getpid());
	guest_state(&f->xen, &d, &st);
	ok(!st.alive && st.pid == getpid(), "another one with its number");

	is_int(guest_remove(&f->xen, &d), 0, "removed");
	ok(!fake_find(f, FAKE_B) && !fake_find(f, FAKE_F), "both are gone");
	ok(get(f, "/local/domain/0/backend/vdisk/7/51744/state") != NULL,
	   "the other disk is not");
	is_int(guest_remove(&f->xen, &d), 0, "twice does no harm");
	rm(f, "/local/domain/0/backend/vdisk/7/x");
	fake_attach(f);
	put(f, FAKE_F "/backend", "/local/domain/0/backend/vbd/7/51728");
	guest_remove(&f->xen, &d);
	ok(fake_find(f, FAKE_F) != NULL, "another backend's frontend stays");
	guest_remove(&f->xen, &second);
	ok(!fake_find(f, "/local/domain/0/backend/vdisk/7"),
	   "an empty directory goes");
}

/* Which of the three directories is it?  Only what is ours counts. */
static void
kinds(void)
{
	unsigned n[2] = { 0 };
	struct guest_state st;
	struct guest_disk d;
	char node[GUEST_PATH_MAX];

	rm(f, "/local/domain/0/backend");
	rm(f, FAKE_F);
	ok(!guest_which(&f->xen, 7, 51728, &d), "no disk");
	is_str(d.type, GUEST_GRANTS, "would be one of grants");
	put(f, "/local/domain/0/backend/tap/7/51728/state", "4");
	ok(guest_which(&f->xen, 7, 51728, &d), "behind the driver");
	is_str(d.type, GUEST_TAP, "by its directory");
	ok(guest_by_driver(&d), "is known as such");
	guest_node(&d, node);
	is_str(node, "/dev/xen/xpvtap/7-51728", "with its node");
	put(f, FAKE_F "/backend", "/local/domain/0/backend/vdisk/7/51728");
	put(f, "/local/domain/0/backend/vdisk/7/51728/state", "4");
	guest_which(&f->xen, 7, 51728, &d);
	is_str(d.type, GUEST_GRANTS, "the frontend says which counts");
	put(f, FAKE_F "/backend", "/local/domain/0/backend/vbd/7/51728");
	put(f, "/local/domain/0/backend/vbd/7/51728/script",
	    "/etc/xen/scripts/block");
	ok(!guest_which(&f->xen, 7, 51728, &d), "another script is not ours");
	guest_each(&f->xen, count, n, NULL);
	is_int(n[0], 2, "nor listed");
	put(f, "/local/domain/0/backend/vbd/7/51728/script",
	    "/etc/xen/scripts/block-vdisk");
	ok(guest_which(&f->xen, 7, 51728, &d) && !strcmp(d.type, GUEST_XL),
	   "xl's with our script");
	guest_each(&f->xen, count, n, NULL);
	is_int(n[0], 5, "are listed, too");
	put(f, FAKE_F "/backend", "/local/domain/0/backend/qdisk/7/51728");
	ok(!guest_which(&f->xen, 7, 51728, &d), "of another backend: not ours");
	put(f, "/local/domain/0/backend/tap/32000/1/vdisk-server", "%d 1",
	    (int)getpid());
	guest_disk(&f->xen, GUEST_TAP, 32000, 1, &d);
	guest_state(&f->xen, &d, &st);
	ok(!st.pid && st.there, "what the store says of a process is no proof "
	   "behind the driver");
}

/* A server that ends, and cleans up, just while someone looks. */
static int
read_and_end(struct xen *x, uint32_t t, const char *path, char **value)
{
	int ret = fake_read(x, t, path, value);

	if (strstr(path, "/vdisk-server"))
		rm(f, FAKE_B);
	return ret;
}

static void
ending(void)
{
	struct guest_disk d;
	struct guest_state st;

	rm(f, "/local/domain/0/backend");
	rm(f, FAKE_F);
	fake_attach(f);
	put(f, FAKE_B "/vdisk-server", "999999999 1");
	guest_disk(&f->xen, GUEST_GRANTS, 7, 51728, &d);
	f->xen.read = read_and_end;
	guest_state(&f->xen, &d, &st);
	f->xen.read = fake_read;
	ok(!st.there, "a server that ends while we look is not a dead one");
}

int
main(void)
{
	f = fake_new();
	finding();
	disks();
	kinds();
	ending();
	f->xen.close(&f->xen);
	return done_testing();
}
