#!/bin/sh
# Each public header stands alone, in C11 and in C++, without a warning.
. "${srcdir:-.}/t/lib/tap.sh"
need cc

for h in "$srcdir"/include/vdisk/*.h; do
	h=${h##*/}
	printf '#include <vdisk/%s>\nint main(void) { return 0; }\n' "$h" >"$tmp/x.c"
	cp "$tmp/x.c" "$tmp/x.cc"
	ok "$h in C11" cc -std=c11 -pedantic -Wall -Wextra -Werror -Wundef \
		-I"$srcdir/include" -fsyntax-only "$tmp/x.c"
	for cxx in g++ clang++; do
		if command -v $cxx >/dev/null; then
			ok "$h with $cxx" $cxx -std=c++11 -Wall -Wextra -Werror \
				-I"$srcdir/include" -fsyntax-only "$tmp/x.cc"
		else
			skip "$h with $cxx" "needs $cxx"
		fi
	done
done
# Macros that programs use may not need anything else either.
cat >"$tmp/y.c" <<'P'
#include <vdisk/format.h>
static const struct vd_format f = { VD_FORMAT_INIT, .name = "x" };
int main(void) { return f.size != sizeof(f); }
P
ok 'VD_FORMAT_INIT' cc -std=c11 -pedantic -Wall -Werror -I"$srcdir/include" \
	-fsyntax-only "$tmp/y.c"
done_testing
