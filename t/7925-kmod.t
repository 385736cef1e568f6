#!/bin/sh
# The kernel driver compiles without a word, from the tree and as DKMS would.
. "${srcdir:-.}/t/lib/tap.sh"
need make gcc
cache=${XEN_CACHE:-$builddir/xen-cache}
rc=0
"$srcdir/t/xen/fetch" "$cache" >"$tmp/fetch.log" 2>&1 || rc=$?
[ $rc -ne 3 ] || skip_all "$(grep -v '^fetch: [0-9]' "$tmp/fetch.log" | tr -s ' \n' ' ')"
headers=$(cd "$cache" && pwd)/tree/headers

# What the compiler and sparse say, less what make says of itself; the kernel
# has no BTF here, which is told each time.
remarks()
{
	grep -vE '^(make|  [A-Z]|$)|BTF' "$1" >"$1.remarks"
	sed 's/^/# /' "$1.remarks"
	[ ! -s "$1.remarks" ]
}

mkdir "$tmp/kmod"
cp -R "$srcdir"/kmod/*.[ch] "$srcdir/kmod/Kbuild" "$srcdir/kmod/uapi" "$tmp/kmod/"
checker=
command -v sparse >/dev/null && checker=C=2
ok 'it compiles with W=1' sh -c "make -C '$headers' M='$tmp/kmod' W=1 $checker modules \
	>'$tmp/build' 2>&1"
ok 'and the compiler has nothing to say' remarks "$tmp/build"
if [ -n "$checker" ]; then
	ok 'sparse looked at every file' test "$(grep -c '^  CHECK' "$tmp/build")" -ge \
		"$(ls "$srcdir"/kmod/*.c | wc -l)"
else
	skip 'sparse looked at every file' 'needs sparse'
fi

ok 'what DKMS is given is installed' make -s -C "$builddir" install-kmod \
	DESTDIR="$tmp/dest" prefix=/usr
tree=$(ls -d "$tmp"/dest/usr/src/vdisk-xpvtap-*)
ok 'it says which version' grep -q "^PACKAGE_VERSION=\"${tree##*-}\"\$" "$tree/dkms.conf"
ok 'it compiles' make -s -C "$tree" KDIR="$headers"
ok 'to the module that dkms.conf names' test -f "$tree/xpvtap.ko"
ok 'it cleans up' make -s -C "$tree" KDIR="$headers" clean
ok 'after which the module is gone' test ! -e "$tree/xpvtap.ko"
ok 'uninstall' make -s -C "$builddir" uninstall-kmod DESTDIR="$tmp/dest" prefix=/usr
is 'leaves no file' '' "$(find "$tmp/dest" -type f)"
fails_with 'no kernel, no driver: it says what helps' 'linux-headers-amd64' \
	make -s -C "$builddir" kmod KDIR=/nonexistent
done_testing
