#!/bin/sh
# A module from outside may know its images by their last bytes (VHD is such a
# format): a guest cannot write those either, nor can a new size bring them there.
. "${srcdir:-.}/t/lib/tap.sh"
need cc
cd "$tmp" || exit 1

mkdir m
cat >tail.c <<'EOF'
#include <string.h>
#include <vdisk/format.h>
static enum vd_verdict probe(const struct vd_probe_in *in, struct vd_probe_out *out)
{
	(void)out;
	return in->tail_len >= 512 &&
	       !memcmp(in->tail + in->tail_len - 512, "LASTWORD", 8)
	       ? VD_MINE : VD_NOT_MINE;
}
static int no(struct vd_host *h, struct vd_file *f, unsigned g,
	      struct vd_image_info *n, void **i, struct vd_err *e)
{ (void)h; (void)f; (void)g; (void)n; (void)i; (void)e; return -22; }
static int c(void *i, struct vd_err *e) { (void)i; (void)e; return 0; }
static const struct vd_format f = { VD_FORMAT_INIT, .name = "tail",
	.probe = probe, .open = no, .close = c };
const struct vd_format *vd_module(void) { return &f; }
EOF
ok 'a module that looks at the tail' \
	cc -I"$srcdir/include" -Wall -fPIC -shared tail.c -o m/tail.so
VDISK_PLUGIN_PATH=$tmp/m:$builddir/lib/vdisk
export VDISK_PLUGIN_PATH

word=4c415354574f5244		# LASTWORD
truncate -s 1M disk
end=$((1048576 - 512))
fails_with 'a guest cannot write what it looks for' 'look like a tail' \
	vd-put disk $end $word
fails_with 'nor in two halves' 'look like a tail' sh -c '
	vd-put disk $(($1 + 4)) 574f5244 && vd-put disk $1 4c415354' - $end
ok 'elsewhere it can' vd-put disk 524288 $word
ok 'and beside it' vd-put disk $((end + 8)) $word
fails_with 'a shorter disk must not end there' \
	'new size that would make.*look like a tail' \
	vdiskadm resize --shrink --shrink disk $((524288 + 512))
ok 'another end is fine' vdiskadm resize --shrink --shrink disk 512k
ok 'and a longer one' vdiskadm resize disk 2M

# At the end of a file that is no multiple of 512, a write makes it longer.
truncate -s $((1048576 + 100)) odd
{ printf LASTWORD && head -c 504 /dev/zero; } >last
fails_with 'an end that comes with a write' 'look like a tail' \
	vd-put -t odd 1048576 last
dd if=last of=disk bs=512 seek=4095 conv=notrunc status=none
ok 'what the owner writes there' vdisk-probe disk
says 'is what the module claims' tail
done_testing
