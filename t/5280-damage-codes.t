#!/bin/sh
# Every code that a check can report is in vdisk-damage(7), and no other.
. "${srcdir:-.}/t/lib/tap.sh"

grep -rhoE '"(vmdk|vdi|delta)-[a-z0-9]+[a-z0-9-]*"' "$srcdir"/plugins/*/*audit*.c \
	"$srcdir"/plugins/*/check.c "$srcdir"/plugins/*/repair.c \
	>"$tmp/found"
grep -hoE '"(cannot-open|parent-[a-z]+)"' "$srcdir/core/cmd/adm-verify.c" \
	>>"$tmp/found"
tr -d '"' <"$tmp/found" | sort -u >"$tmp/sources"
sed -n 's/^\.It \([a-z].*\)/\1/p' "$srcdir/doc/vdisk-damage.7" |
	tr ',' '\n' | tr -d ' ' | sort -u >"$tmp/page"
ok 'there are many' test "$(wc -l <"$tmp/sources")" -gt 90
ok 'the page and the sources agree' diff -u "$tmp/sources" "$tmp/page"
done_testing
