/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * abi.t.c - what modules and programs were compiled with stays as it was.
 *
 * A line that fails says that a binary built yesterday would be misread.
 * Append members, give new names new values; never change a line here.
 * A release that appends (VD_ABI_MINOR) adds lines and raises the SIZE.
 */
#include <stddef.h>
#include <vdisk/vdisk.h>
#include "tap.h"

#define SIZE(type, n) \
	is_int(sizeof(struct type), n, "sizeof %s", #type)
#define AT(type, member, n) \
	is_int(offsetof(struct type, member), n, "%s.%s", #type, #member)
#define VALUE(name, n) \
	ok((unsigned long long)(name) == (n), "%s", #name)

static void
structs(void)
{
	SIZE(vd_err, 1040);
	AT(vd_err, code, 0);
	AT(vd_err, pad, 4);
	AT(vd_err, off, 8);
	AT(vd_err, file, 16);
	AT(vd_err, msg, 272);
	AT(vd_err, help, 784);

	SIZE(vd_probe_in, 48);
	AT(vd_probe_in, size, 0);
	AT(vd_probe_in, head_len, 4);
	AT(vd_probe_in, head, 8);
	AT(vd_probe_in, tail, 16);
	AT(vd_probe_in, tail_len, 24);
	AT(vd_probe_in, pad, 28);
	AT(vd_probe_in, file_size, 32);
	AT(vd_probe_in, name, 40);

	SIZE(vd_probe_out, 424);
	AT(vd_probe_out, size, 0);
	AT(vd_probe_out, confidence, 4);
	AT(vd_probe_out, virtual_size, 8);
	AT(vd_probe_out, variant, 16);
	AT(vd_probe_out, reason, 80);
	AT(vd_probe_out, reason_off, 336);
	AT(vd_probe_out, ref, 344);
	AT(vd_probe_out, warn, 352);
	AT(vd_probe_out, id, 360);

	SIZE(vd_extent, 48);
	AT(vd_extent, kind, 0);
	AT(vd_extent, pad, 4);
	AT(vd_extent, len, 8);
	AT(vd_extent, file, 16);
	AT(vd_extent, host_off, 24);
	AT(vd_extent, unit_off, 32);
	AT(vd_extent, unit_len, 40);

	SIZE(vd_alloc, 64);
	AT(vd_alloc, unit_off, 0);
	AT(vd_alloc, unit_len, 8);
	AT(vd_alloc, file, 16);
	AT(vd_alloc, host_off, 24);
	AT(vd_alloc, host_len, 32);
	AT(vd_alloc, flags, 40);
	AT(vd_alloc, was, 44);
	AT(vd_alloc, cookie, 48);

	SIZE(vd_image_info, 88);
	AT(vd_image_info, size, 0);
	AT(vd_image_info, flags, 4);
	AT(vd_image_info, virtual_size, 8);
	AT(vd_image_info, unit, 16);
	AT(vd_image_info, variant, 24);

	SIZE(vd_identity, 144);
	AT(vd_identity, size, 0);
	AT(vd_identity, pad, 4);
	AT(vd_identity, virtual_size, 8);
	AT(vd_identity, id, 16);
	AT(vd_identity, content, 80);

	SIZE(vd_parent, 4264);
	AT(vd_parent, size, 0);
	AT(vd_parent, pad, 4);
	AT(vd_parent, hint, 8);
	AT(vd_parent, expected, 4104);
	AT(vd_parent, format, 4248);

	SIZE(vd_finding, 40);
	AT(vd_finding, size, 0);
	AT(vd_finding, severity, 4);
	AT(vd_finding, code, 8);
	AT(vd_finding, file, 16);
	AT(vd_finding, off, 24);
	AT(vd_finding, text, 32);

	SIZE(vd_report, 24);
	AT(vd_report, size, 0);
	AT(vd_report, pad, 4);
	AT(vd_report, finding, 8);
	AT(vd_report, may, 16);

	SIZE(vd_audit, 1552);
	AT(vd_audit, size, 0);
	AT(vd_audit, mend, 4);
	AT(vd_audit, left, 5);
	AT(vd_audit, report, 8);
	AT(vd_audit, said, 16);

	SIZE(vd_flaw, 40);
	AT(vd_flaw, severity, 0);
	AT(vd_flaw, code, 8);
	AT(vd_flaw, file, 16);
	AT(vd_flaw, off, 24);
	AT(vd_flaw, cure, 32);

	SIZE(vd_info_out, 16);
	AT(vd_info_out, size, 0);
	AT(vd_info_out, pad, 4);
	AT(vd_info_out, add, 8);

	SIZE(vd_create, 40);
	AT(vd_create, size, 0);
	AT(vd_create, flags, 4);
	AT(vd_create, virtual_size, 8);
	AT(vd_create, unit, 16);
	AT(vd_create, variant, 24);
	AT(vd_create, comment, 32);

	SIZE(vd_format, 264);
	AT(vd_format, size, 0);
	AT(vd_format, abi_major, 4);
	AT(vd_format, abi_minor, 6);
	AT(vd_format, name, 8);
	AT(vd_format, summary, 16);
	AT(vd_format, extensions, 24);
	AT(vd_format, flags, 32);
	AT(vd_format, probe, 40);
	AT(vd_format, open, 48);
	AT(vd_format, close, 56);
	AT(vd_format, map, 64);
	AT(vd_format, begin_write, 72);
	AT(vd_format, allocate, 80);
	AT(vd_format, commit, 88);
	AT(vd_format, abandon, 96);
	AT(vd_format, zero, 104);
	AT(vd_format, discard, 112);
	AT(vd_format, sync, 120);
	AT(vd_format, read, 128);
	AT(vd_format, write, 136);
	AT(vd_format, create, 144);
	AT(vd_format, create_child, 152);
	AT(vd_format, identity, 160);
	AT(vd_format, parent, 168);
	AT(vd_format, match_parent, 176);
	AT(vd_format, relink, 184);
	AT(vd_format, resize, 192);
	AT(vd_format, check, 200);
	AT(vd_format, repair, 208);
	AT(vd_format, info, 216);
	AT(vd_format, write_stream, 224);
	AT(vd_format, rename, 232);
	AT(vd_format, variants, 240);
	AT(vd_format, packs, 248);
	AT(vd_format, pack, 256);

	SIZE(vd_source, 40);
	AT(vd_source, size, 0);
	AT(vd_source, pad, 4);
	AT(vd_source, ctx, 8);
	AT(vd_source, run, 16);
	AT(vd_source, read, 24);
	AT(vd_source, passed, 32);

	SIZE(vd_sink, 24);
	AT(vd_sink, size, 0);
	AT(vd_sink, pad, 4);
	AT(vd_sink, ctx, 8);
	AT(vd_sink, put, 16);

	SIZE(vd_lanes, 48);
	AT(vd_lanes, size, 0);
	AT(vd_lanes, threads, 4);
	AT(vd_lanes, slots, 8);
	AT(vd_lanes, pad, 12);
	AT(vd_lanes, ctx, 16);
	AT(vd_lanes, take, 24);
	AT(vd_lanes, work, 32);
	AT(vd_lanes, give, 40);

	SIZE(vd_table_spec, 80);
	AT(vd_table_spec, size, 0);
	AT(vd_table_spec, entry_bytes, 4);
	AT(vd_table_spec, page_entries, 8);
	AT(vd_table_spec, copies, 12);
	AT(vd_table_spec, entries, 16);
	AT(vd_table_spec, locate, 24);
	AT(vd_table_spec, ctx, 32);
	AT(vd_table_spec, absent, 40);
	AT(vd_table_spec, content, 48);

	SIZE(vd_probe_ref, 16);
	AT(vd_probe_ref, kind, 0);
	AT(vd_probe_ref, name, 8);

	SIZE(vd_probe_result, 464);
	AT(vd_probe_result, format, 0);
	AT(vd_probe_result, verdict, 8);
	AT(vd_probe_result, guessed, 12);
	AT(vd_probe_result, confidence, 16);
	AT(vd_probe_result, virtual_size, 24);
	AT(vd_probe_result, file_size, 32);
	AT(vd_probe_result, variant, 40);
	AT(vd_probe_result, reason, 104);
	AT(vd_probe_result, reason_off, 360);
	AT(vd_probe_result, nrefs, 368);
	AT(vd_probe_result, refs_dropped, 372);
	AT(vd_probe_result, refs, 376);
	AT(vd_probe_result, nwarnings, 384);
	AT(vd_probe_result, warnings, 392);

	SIZE(vd_open, 32);
	AT(vd_open, size, 0);
	AT(vd_open, flags, 4);
	AT(vd_open, format, 8);
	AT(vd_open, cache, 16);
	AT(vd_open, flush_entries, 24);
	AT(vd_open, flush_ms, 28);

	SIZE(vd_run, 24);
	AT(vd_run, off, 0);
	AT(vd_run, len, 8);
	AT(vd_run, kind, 16);
	AT(vd_run, layer, 20);

	SIZE(vd_req, 104);
	AT(vd_req, op, 0);
	AT(vd_req, flags, 4);
	AT(vd_req, off, 8);
	AT(vd_req, len, 16);
	AT(vd_req, iov, 24);
	AT(vd_req, niov, 32);
	AT(vd_req, result, 36);
	AT(vd_req, done, 40);
	AT(vd_req, opaque, 48);
	AT(vd_req, priv, 56);
}

static void
values(void)
{
	VALUE(VD_NOT_MINE, 0u);
	VALUE(VD_MINE, 1u);
	VALUE(VD_MINE_BROKEN, 2u);
	VALUE(VD_REF_PARENT, 1u);
	VALUE(VD_REF_EXTENT, 2u);
	VALUE(VD_REF_AUX, 3u);
	VALUE(VD_EXT_DATA, 1u);
	VALUE(VD_EXT_ZERO, 2u);
	VALUE(VD_EXT_HOLE, 3u);
	VALUE(VD_EXT_TRANSFORM, 4u);
	VALUE(VD_NOTE, 0u);
	VALUE(VD_LEAK, 1u);
	VALUE(VD_DAMAGE, 2u);
	VALUE(VD_OP_READ, 1u);
	VALUE(VD_OP_WRITE, 2u);
	VALUE(VD_OP_FLUSH, 3u);
	VALUE(VD_OP_DISCARD, 4u);
	VALUE(VD_OP_WRITE_ZEROES, 5u);
	VALUE(VD_DRIVER_AUTO, 0u);
	VALUE(VD_DRIVER_SYNC, 1u);
	VALUE(VD_DRIVER_URING, 2u);
	VALUE(VD_NOWHERE, 18446744073709551615u);
	VALUE(VD_ABI_MAJOR, 1u);
	VALUE(VD_ABI_MINOR, 1u);
	VALUE(VD_NAME_MAX, 4096u);
	VALUE(VD_VARIANT_MAX, 64u);
	VALUE(VD_ID_MAX, 64u);
	VALUE(VD_PROBE_HEAD, 65536u);
	VALUE(VD_PROBE_TAIL, 4096u);
	VALUE(VD_ALLOC_ZEROED, 1u);
	VALUE(VD_OPEN_RDONLY, 1u);
	VALUE(VD_IMG_RDONLY, 1u);
	VALUE(VD_IMG_CHILD, 2u);
	VALUE(VD_IMG_UNCLEAN, 4u);
	VALUE(VD_CREATE_FIXED, 1u);
	VALUE(VD_CREATE_NOSYNC, 2u);
	VALUE(VD_FORMAT_REST, 1u);
	VALUE(VD_PROBE_REFS_MAX, 1024u);
	VALUE(VD_PROBE_WARNINGS_MAX, 64u);
	VALUE(VD_DISK_RDONLY, 1u);
	VALUE(VD_DISK_BATCH, 2u);
	VALUE(VD_DISK_ANYWHERE, 4u);
	VALUE(VD_DISK_SHARED, 8u);
	VALUE(VD_FUA, 1u);
	VALUE(VD_MAY_UNMAP, 2u);
}

int
main(void)
{
	structs();
	values();
	return done_testing();
}
