#!/bin/sh
# The library exports what its headers declare, no more and no less.
. "${srcdir:-.}/t/lib/tap.sh"
need nm

# Comments and bodies out, then every vd_name( that is left is a function.
declared() {
	cat "$srcdir"/include/vdisk/*.h | tr '\n' ' ' |
		sed -e 's,/\*,\n&,g' -e 's,\*/,&\n,g' | sed '/^\/\*/d' |
		tr '\n' ' ' | sed -e 's/extern "C" {//g' -e 's/[{}]/\n&/g' |
		awk '{ n = substr($0, 1, 1); if (n == "{") d++;
			if (n == "}" && d > 0) d--; if (!d) print }' |
		grep -oE '\bvd_[a-z0-9_]+ *\(' | tr -d '( ' |
		grep -v '^vd_module$' | sort -u
}
exported() {
	nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
		sort -u
}

declared >"$tmp/declared"
exported "$builddir/lib/libvdisk.so" >"$tmp/exported"
ok 'there are some' grep -q '^vd_disk_open$' "$tmp/declared"
ok 'exported and declared agree' diff -u "$tmp/declared" "$tmp/exported"
ok 'all of it in the version of this release' sh -c \
	"! nm -D --defined-only '$builddir/lib/libvdisk.so' | grep ' T ' | grep -v '@@VDISK_1.0'"
is 'and the name a program asks for' \
	"$(objdump -p "$builddir/lib/libvdisk.so" | awk '/SONAME/ { print $2 }')" \
	libvdisk.so.1
for m in "$builddir"/lib/vdisk/*.so; do
	is "module ${m##*/} shows one symbol" "$(exported "$m")" vd_module
done
# A process that is loaded into others does not end or speak for them.
ok 'no exit, no printing' sh -c \
	"! nm -D --undefined-only '$builddir/lib/libvdisk.so' |
		grep -wE 'exit|_exit|abort|printf|puts|putchar|perror|stdout|stderr|__printf_chk'"
done_testing
