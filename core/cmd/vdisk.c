/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk.c - the server of one disk: options.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cmd.h"
#include "daemon.h"
#include "keeper.h"
#include "log.h"
#include "serve.h"

static const char help[] =
"usage: vdisk -f PATH -x NODE [-p PIDFILE] [option...]\n"
"       vdisk -q sectors -f PATH\n"
"       vdisk --show-sandbox [-x NODE]\n"
"\n"
"Serve the virtual disk kept in PATH to a Xen guest.\n"
"\n"
"  -f, --file PATH       the image: vmdk, vdi or raw\n"
"  -x, --node NODE       the driver's node, /dev/xen/xpvtap/DOMID-DEVID, or the\n"
"                        backend's directory in xenstore,\n"
"                        backend/vdisk/DOMID/DEVID; vdisk-attach makes it\n"
"  -p, --pidfile FILE    write the process number there, remove it at the end\n"
"  -q, --query sectors   print the size in sectors of 512 bytes, and exit\n"
"      --format NAME     do not guess the image's format\n"
"      --read-only       never write to the image\n"
"      --driver NAME     auto, sync or io_uring\n"
"      --cache SIZE      memory for the tables of all images: 64M\n"
"      --allow-outside   extents and parents may lie outside PATH's folder\n"
"      --devices         block devices that PATH is kept on may be read\n"
"      --daemon          go to the background once the disk is ready\n"
"      --respawn         start the server again when it is killed\n"
"      --ready-fd N      write a newline to file descriptor N when ready\n"
"      --user NAME       what root becomes once all is open: xvm\n"
"      --sandbox WORD    on, kill (at the first forbidden call), off\n"
"      --show-sandbox    say what the process holds while it serves\n"
"  -h, --help            this text\n"
"      --version         what version this is\n"
"\n"
"SIGTERM, SIGINT and SIGHUP close the image in order.\n"
"Exit status: 0 done, 2 wrong usage, 3 the system refused.\n";

enum {
	OPT_FORMAT = 256, OPT_READONLY, OPT_DRIVER, OPT_CACHE, OPT_OUTSIDE,
	OPT_DEVICES, OPT_DAEMON, OPT_READY, OPT_USER, OPT_SANDBOX, OPT_SHOW,
	OPT_VERSION, OPT_RESPAWN, OPT_KEPT,
};

static const struct option options[] = {
	{ "file", required_argument, NULL, 'f' },
	{ "node", required_argument, NULL, 'x' },
	{ "pidfile", required_argument, NULL, 'p' },
	{ "query", required_argument, NULL, 'q' },
	{ "format", required_argument, NULL, OPT_FORMAT },
	{ "read-only", no_argument, NULL, OPT_READONLY },
	{ "driver", required_argument, NULL, OPT_DRIVER },
	{ "cache", required_argument, NULL, OPT_CACHE },
	{ "allow-outside", no_argument, NULL, OPT_OUTSIDE },
	{ "devices", no_argument, NULL, OPT_DEVICES },
	{ "daemon", no_argument, NULL, OPT_DAEMON },
	{ "ready-fd", required_argument, NULL, OPT_READY },
	{ "respawn", no_argument, NULL, OPT_RESPAWN },
	{ "kept", required_argument, NULL, OPT_KEPT },	/* by keeper.c */
	{ "user", required_argument, NULL, OPT_USER },
	{ "sandbox", required_argument, NULL, OPT_SANDBOX },
	{ "show-sandbox", no_argument, NULL, OPT_SHOW },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

static enum vd_driver
driver_named(const char *name)
{
	if (!strcmp(name, "auto"))
		return VD_DRIVER_AUTO;
	if (!strcmp(name, "sync"))
		return VD_DRIVER_SYNC;
	if (!strcmp(name, "io_uring"))
		return VD_DRIVER_URING;
	cmd_usage("--driver %s: expected auto, sync or io_uring", name);
}

static uint64_t
cache_size(const char *text)
{
	struct vd_err err = { 0 };
	uint64_t bytes = 0;

	if (cmd_parse_size(text, &bytes, &err) || !bytes)
		cmd_usage("--cache %s: expected a size, such as 64M", text);
	return bytes;
}

static int
open_fd(const char *text)
{
	char *end;
	long fd;

	errno = 0;
	fd = strtol(text, &end, 10);
	if (errno || *end || end == text || fd < 0 || fd > INT32_MAX ||
	    fcntl((int)fd, F_GETFD) < 0)
		cmd_usage("--ready-fd %s: no open file descriptor", text);
	return (int)fd;
}

static enum sandbox_mode
sandbox_mode(const char *word)
{
	enum sandbox_mode mode;

	if (sandbox_parse(word, &mode))
		cmd_usage("--sandbox %s: expected on, kill or off", word);
	return mode;
}

/* Another process may have it open: a size can be asked at any time. */
static int
query_sectors(const struct serve_options *o)
{
	struct vd_open how = {
		.size = sizeof(how),
		.flags = VD_DISK_RDONLY | VD_DISK_SHARED |
			 (o->anywhere ? VD_DISK_ANYWHERE : 0) |
			 (o->devices ? VD_DISK_DEVICES : 0),
		.format = o->format,
	};
	struct vd_library *lib;
	struct vd_err err = { 0 };
	struct vd_disk *disk;

	if (vd_library_open(NULL, &lib, &err))
		cmd_die(&err);
	if (vd_disk_open(lib, o->path, &how, &disk, &err))
		cmd_die(&err);
	printf("%" PRIu64 "\n", vd_disk_size(disk) / 512);
	if (vd_disk_close(disk, &err))
		cmd_die(&err);
	vd_library_close(lib);
	return cmd_finish(CMD_OK);
}

/*
 * We are the server that a keeper has started: the background, the pid file and
 * who waits for us are its business, as long as it lives: "FD[,log][,pid=FD]".
 * Keepers of an earlier version do not say the last.
 */
static void
be_kept(struct serve_options *o, const char *kept)
{
	char *end, *pid;
	int pid_fd;

	o->ready_fd = (int)strtol(kept, &end, 10);
	if (end == kept || fcntl(o->ready_fd, F_SETFD, FD_CLOEXEC) < 0)
		cmd_usage("--kept is for the keeper that --respawn makes");
	o->kept = true;
	o->pidfile = NULL;
	if (!strncmp(end, ",log", 4))
		log_to_syslog();
	pid = strstr(end, ",pid=");
	pid_fd = pid ? (int)strtol(pid + 5, NULL, 10) : -1;
	if (pid && fcntl(pid_fd, F_GETFD) >= 0)
		daemon_keeper(dup(o->ready_fd), pid_fd);
}

static int
keep_serving(const struct serve_options *o, char **argv)
{
	const struct keeper k = {
		.argv = argv,
		.what = o->node,
		.pidfile = o->pidfile,
		.background = o->background,
		.ready_fd = o->ready_fd,
		.lived_ms = KEEPER_LIVED_MS,
		.pause_ms = KEEPER_PAUSE_MS,
		.most = KEEPER_MOST,
	};

	return keep(&k);
}

int
main(int argc, char **argv)
{
	struct serve_options o = {
		.driver = VD_DRIVER_AUTO,
		.ready_fd = -1,
	};
	const char *query = NULL, *ready = NULL, *kept = NULL;
	bool respawn = false, show = false;
	int c;

	cmd_init("vdisk");
	while ((c = getopt_long(argc, argv, "f:x:p:q:h", options,
				NULL)) != -1) {
		switch (c) {
		case 'f': o.path = optarg; break;
		case 'x': o.node = optarg; break;
		case 'p': o.pidfile = optarg; break;
		case 'q': query = optarg; break;
		case 'h': cmd_help(help);
		case OPT_FORMAT: o.format = optarg; break;
		case OPT_READONLY: o.readonly = true; break;
		case OPT_DRIVER: o.driver = driver_named(optarg); break;
		case OPT_CACHE: o.cache = cache_size(optarg); break;
		case OPT_OUTSIDE: o.anywhere = true; break;
		case OPT_DEVICES: o.devices = true; break;
		case OPT_DAEMON: o.background = true; break;
		case OPT_READY: ready = optarg; break;
		case OPT_RESPAWN: respawn = true; break;
		case OPT_KEPT: kept = optarg; break;
		case OPT_USER: o.sandbox.user = optarg; break;
		case OPT_SANDBOX: o.sandbox.mode = sandbox_mode(optarg); break;
		case OPT_SHOW: show = true; break;
		case OPT_VERSION: cmd_version();
		default: cmd_usage("usage: vdisk -f PATH -x NODE");
		}
	}
	if (optind < argc)
		cmd_usage("what is \"%s\"?", argv[optind]);
	o.sandbox.uses = o.node && serve_by_driver(o.node) ?
			 SANDBOX_XPVTAP : SANDBOX_GNTTAB;
	if (show)
		return sandbox_show(&o.sandbox);
	if (!o.path)
		cmd_usage("-f PATH is missing");
	if (query && o.node)
		cmd_usage("-q and -x exclude each other");
	if (!query && !o.node)
		cmd_usage("-x NODE is missing");
	if (query && strcmp(query, "sectors"))
		cmd_usage("-q %s: only sectors can be asked for", query);
	if (query)
		return query_sectors(&o);
	if (kept)
		be_kept(&o, kept);
	else if (ready)
		o.ready_fd = open_fd(ready);
	if (respawn && !kept)
		return keep_serving(&o, argv);
	return serve(&o);
}
