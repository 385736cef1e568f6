#!/bin/sh
# A module that cannot be used is named with its reason and skipped; the
# others work on.
. "${srcdir:-.}/t/lib/tap.sh"
need cc

m=$tmp/m
mkdir "$m"
VDISK_PLUGIN_PATH=$m:$builddir/lib/vdisk

# module NAME: C source on stdin, with the parts every descriptor needs
module() {
	cat - >"$tmp/$1.c"
	cc -I"$srcdir/include" -Wall -fPIC -shared -x c - -o "$m/$1.so" <<-EOF
	#include <stddef.h>
	#include <vdisk/format.h>
	static enum vd_verdict p(const struct vd_probe_in *i, struct vd_probe_out *o)
	{ (void)i; (void)o; return VD_NOT_MINE; }
	static int o(struct vd_host *h, struct vd_file *f, unsigned g,
		     struct vd_image_info *n, void **i, struct vd_err *e)
	{ (void)h; (void)f; (void)g; (void)n; (void)i; (void)e; return -1; }
	static int c(void *i, struct vd_err *e) { (void)i; (void)e; return 0; }
	#define REST .probe = p, .open = o, .close = c
	#define SHOW(f) const struct vd_format *vd_module(void) { return f; } \\
		void *unused[] = { (void *)p, (void *)o, (void *)c };
	#include "$tmp/$1.c"
	EOF
}

# skipped NAME REASON...: listed as skipped, for this reason
skipped() {
	ok "$1: the list is printed all the same" vdisk-probe --modules
	says "$1: named, with the reason" "$1\.so: .*$2"
	says "$1: vdi is there" '^ *vdi'
}

module good <<-'EOF'
static const struct vd_format f = { VD_FORMAT_INIT, .name = "good", REST };
SHOW(&f)
EOF
ok 'a good one is listed' vdisk-probe --modules
says 'by its name' '^ *good'

module major <<-'EOF'
static const struct vd_format f = { VD_FORMAT_INIT, .abi_major = 77, .name = "major", REST };
SHOW(&f)
EOF
skipped major 'ABI 77'

module short <<-'EOF'
static const struct vd_format f = { VD_FORMAT_INIT, .size = 24, .name = "short", REST };
SHOW(&f)
EOF
skipped short 'descriptor of 24 bytes'

module noopen <<-'EOF'
static const struct vd_format f = { VD_FORMAT_INIT, .name = "noopen", .probe = p, .close = c };
SHOW(&f)
EOF
skipped noopen 'missing'

module name <<-'EOF'
static const struct vd_format f = { VD_FORMAT_INIT, .name = "../evil", REST };
SHOW(&f)
EOF
skipped name 'name'

module null <<-'EOF'
SHOW(NULL)
EOF
skipped null 'descriptor'

module twin <<-'EOF'
static const struct vd_format f = { VD_FORMAT_INIT, .name = "good", REST };
SHOW(&f)
EOF
skipped twin 'another module'

module undefined <<-'EOF'
extern int vd_no_such_call(void);
static const struct vd_format f = { VD_FORMAT_INIT, .name = "undefined", REST };
const struct vd_format *vd_module(void) { vd_no_such_call(); return &f; }
void *unused[] = { (void *)p, (void *)o, (void *)c };
EOF
skipped undefined 'vd_no_such_call'

echo 'int something;' | cc -fPIC -shared -x c - -o "$m/nomodule.so"
skipped nomodule 'vd_module'
echo 'just text' >"$m/text.so"
skipped text 'not a shared object'
: >"$m/empty.so"
skipped empty 'not a shared object'
mkdir "$m/folder.so"
skipped folder 'not a regular file'
mkfifo "$m/fifo.so"
skipped fifo 'not a regular file'
ln -s nowhere "$m/dangling.so"
skipped dangling 'No such file'

cp "$m/good.so" "$tmp/keep.so"
mv "$m/good.so" "$m/writable.so"
rm "$m/twin.so"
chmod 666 "$m/writable.so"
skipped writable 'writable'
rm "$m/writable.so"
if [ "$(id -u)" -eq 0 ]; then
	cp "$tmp/keep.so" "$m/foreign.so"
	chown 12345 "$m/foreign.so"
	skipped foreign '12345'
else
	skip 'a foreign one' 'needs root'
fi

# Newer than us by a minor number, with members we do not know: still good.
module newer <<-'EOF'
static const struct { struct vd_format f; void *more[8]; } big = { .f = {
	VD_FORMAT_INIT, .size = sizeof(big), .abi_minor = 99, .name = "newer",
	REST }, .more = { (void *)1 } };
SHOW(&big.f)
EOF
ok 'a newer minor is taken' vdisk-probe --modules
says 'it is listed' '^ *newer'

# Cut at any length: skipped or loaded, never the death of the program.
rm -rf "$m"
mkdir "$m"
bad= n=0 size=$(wc -c <"$tmp/keep.so")
len=0
while [ $len -lt "$size" ]; do
	head -c $len "$tmp/keep.so" >"$m/cut.so"
	vdisk-probe --modules >"$tmp/list" 2>&1 ||
		[ $? -lt 99 ] || bad="$bad $len"
	grep -q 'cut.so: ' "$tmp/list" && n=$((n + 1))
	len=$((len + 331))
done
is 'cut anywhere: no crash' "$bad" ''
ok 'most are named' test $n -gt 20
done_testing
