/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdev.t.c - device names and numbers, sizes, JSON text: what users type.
 */
/* objects: core/cmd/libcmd.a core/ring/libvdring.a */
#include "tap.h"
#include "../../core/cmd/cmd.h"
#include "../../core/cmd/server.h"
#include "../../core/cmd/vdev.h"
#include <unistd.h>

static void
devices(void)
{
	static const struct {
		const char *name;
		uint32_t id;
		const char *back;
	} good[] = {
		{ "xvda", 51712, "xvda" }, { "xvdb", 51728, "xvdb" },
		{ "xvdb1", 51729, "xvdb1" }, { "xvdp15", 51967, "xvdp15" },
		{ "/dev/xvdc", 51744, "xvdc" },
		{ "xvdq", 268439552, "xvdq" }, { "xvda16", 268435472, "xvda16" },
		{ "xvdaa", 268442112, "xvdaa" },
		{ "hda", 768, "hda" }, { "hdb", 832, "hdb" },
		{ "hdc", 5632, "hdc" }, { "hdd63", 5759, "hdd63" },
		{ "sda", 2048, "sda" }, { "sdp15", 2303, "sdp15" },
		{ "51712", 51712, "xvda" }, { "0xca10", 51728, "xvdb" },
		{ "3", 3, "3" }, { "0", 0, "0" },
		{ "4294967295", 4294967295u, "4294967295" },
	};
	static const char *const bad[] = {
		"", "xvd", "xvd1", "xvdB", "xvdb01", "xvdb-1", "xvdb 1",
		"xvda256", "hde", "hda64", "sdq", "sda16", "vda", "bogus",
		"4294967296", "-1", "0x", "0xg", "1x", " 3", "3 ", "/dev/",
		"xvdzzzzzzzzzzzzzzzzzzz", "xvdb1x", "hda:cdrom", "sd", "hd",
		"99999999999999999999999999",
	};
	char buf[24];
	uint32_t id;
	unsigned i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		is_int(vdev_parse(good[i].name, &id), 0, "%s", good[i].name);
		is_int(id, good[i].id, "%s is %u", good[i].name, good[i].id);
		is_str(vdev_name(id, buf, sizeof(buf)), good[i].back,
		       "%u is %s", id, good[i].back);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(vdev_parse(bad[i], &id) < 0, "no device: '%s'", bad[i]);
}

/* Every name this makes must be read back as the same number. */
static void
round_trip(void)
{
	uint32_t id, again, wrong = 0;
	char buf[24];

	for (id = 0; id < 1u << 20; id++)
		wrong += vdev_parse(vdev_name(id, buf, sizeof(buf)), &again) ||
			 (again != id);
	is_int(wrong, 0, "a million numbers survive being named");
}

static void
sizes(void)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "512", 512 }, { "10g", 10ull << 30 }, { "10G", 10ull << 30 },
		{ "64kb", 65536 }, { "1.5T", 3ull << 39 }, { "2m", 2 << 20 },
		{ "0.5k", 512 }, { ".5k", 512 }, { "7b", 7 },
		{ "15E", 15ull << 60 }, { "18446744073709551615",
					  UINT64_MAX },
	};
	static const char *const bad[] = {
		"", "0", "-1", "g", "1q", "1gbb", "1 g", "16E", "1Z", "0.1b",
		"1.0000000000000000000000001g", "18446744073709551616", ".",
		"1bb", "0x10", "1e3", "99999999999999999999g",
	};
	struct vd_err err = { 0 };
	char buf[32];
	uint64_t v;
	unsigned i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ok(!cmd_parse_size(good[i].text, &v, &err) &&
		   v == good[i].bytes, "size %s", good[i].text);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(cmd_parse_size(bad[i], &v, &err) < 0, "no size: '%s'",
		   bad[i]);
	is_str(cmd_size_text(512, buf, sizeof(buf)), "512 B", "bytes");
	is_str(cmd_size_text(10ull << 30, buf, sizeof(buf)), "10 GiB", "GiB");
	is_str(cmd_size_text(3ull << 19, buf, sizeof(buf)), "1.5 MiB", "MiB");
	is_str(cmd_size_text(UINT64_MAX, buf, sizeof(buf)), "15.9 EiB", "EiB");
}

static void
json(void)
{
	char *out = NULL;
	size_t len;
	FILE *m;

	m = open_memstream(&out, &len);
	cmd_json_string(m, "a\"\\\n\x01\x7f\xc3\xa4\xff\xc3");
	fclose(m);
	is_str(out, "\"a\\\"\\\\\\n\\u0001\\u007f\xc3\xa4\\udcff\\udcc3\"",
	       "JSON text");
	free(out);
	m = open_memstream(&out, &len);
	cmd_print_safe(m, "a\x1b[2J\xc2\x9b\xff\xc3\xa4");
	fclose(m);
	is_str(out, "a\\x1b[2J\\xc2\\x9b\\xff\xc3\xa4", "text for a terminal");
	free(out);
}

static void
servers(void)
{
	char id[64], other[80];
	pid_t pid;

	ok(server_identity(getpid(), id, sizeof(id)), "we are someone");
	ok(server_alive(id, &pid) && pid == getpid(), "and alive");
	snprintf(other, sizeof(other), "%s9", id);
	ok(!server_alive(other, &pid), "the same number, another start: no");
	ok(!server_alive("999999999 1", &pid), "nobody");
	ok(!server_alive("", &pid) && !server_alive("x y", &pid) &&
	   !server_alive("-1 5", &pid), "nonsense");
}

int
main(void)
{
	devices();
	round_trip();
	sizes();
	json();
	servers();
	return done_testing();
}
