#!/bin/sh
# Every program has a manual, explains itself and refuses nonsense with 2.
. "${srcdir:-.}/t/lib/tap.sh"

for p in "$builddir"/bin/*; do
	p=${p##*/}
	exits "$p --help" 0 $p --help
	exits "$p --version" 0 $p --version
	says "$p says which version" "^$p [0-9]"
	exits "$p --no-such-option" 2 $p --no-such-option
	[ $p = vdisk-list ] || exits "$p without arguments" 2 $p
done
for p in "$builddir"/bin/*; do
	p=${p##*/}
	ok "$p has a manual" sh -c "ls '$srcdir/core/cmd/$p'.[18]"
done
for m in "$srcdir"/core/cmd/*.[1-8] "$srcdir"/hotplug/*.[1-8] "$srcdir"/nbd/*.[1-8] \
	"$srcdir"/doc/*.[1-8] "$srcdir"/kmod/*.[1-8]; do
	[ -f "$m" ] || continue
	# A page under another name, as man reads it once it is installed.
	if grep -q '^\.so ' "$m"; then
		ok "${m##*/} names a page of ours" \
			test -f "${m%/*}/$(sed 's,.*/,,' "$m")"
		continue
	fi
	if command -v mandoc >/dev/null; then
		ok "${m##*/} is good mdoc" mandoc -T lint -W warning "$m"
	else
		skip "${m##*/} is good mdoc" 'needs mandoc'
	fi
done
done_testing
