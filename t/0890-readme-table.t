#!/bin/sh
# README's table of variants says what the tests of this build have shown.
#
# It runs after all others (rules.yml).  Only when each test that has facts ran and
# passed since the library was built is there something to compare with.
. "${srcdir:-.}/t/lib/tap.sh"
[ "$VD_FLAVOUR" = plain ] || skip_all 'one build is enough'
facts=$builddir/facts

for t in $(grep -lE '^[^#]*\<fact "' "$srcdir"/t/[0-9]*.t); do
	t=${t##*/}
	[ -e "$facts/$t" ] || skip_all "t/$t did not run, or failed"
	for lib in "$builddir"/lib/libvdisk.so "$builddir"/lib/vdisk/*.so; do
		[ "$facts/$t" -nt "$lib" ] ||
			skip_all "t/$t did not run since ${lib##*/} was built"
	done
done

ok 'the facts make a table' sh "$srcdir/t/lib/table" "$facts"
cp "$tmp/.out" "$tmp/want"
is 'no cell is left open' "$(grep -c '| ? |' "$tmp/want")" 0
sh "$srcdir/t/lib/table" "$facts" --shown "$srcdir/README.md" >"$tmp/shown"
ok 'README shows this table' diff "$tmp/shown" "$tmp/want" || diag \
	'to change it:  sh t/lib/table BUILD/facts README.md'
done_testing
