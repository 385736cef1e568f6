#!/bin/sh
# Each dialect, child and mixture that is written is served, too: what it holds
# comes out, what nbdcopy and fio put in is there, and the parents stay as they
# were.  VD_VARIANTS names some.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/nbd.sh"
. "$srcdir/t/lib/variants.sh"
need nbdcopy cksum
lived_in "$tmp/lived"

parents() {	# what lies below the top, as one word
	find . -type f ! -name "$v_file" ! -name 'p[0-9].vmdk' \
		! -name 'c[0-9].vmdk' ! -name 'f*.vmdk' ! -name 'd-*' \
		! -name '*.out' -exec cksum {} + | sort | cksum
}
fio_works() {
	fio --name=x --ioengine=nbd --uri="$uri" --rw=randrw --bsrange=512-64k \
		--bs_unaligned=0 --size=1500k --iodepth=16 \
		--verify=crc32c --verify_fatal=1 --verify_state_save=0 --randseed=9 --fsync=30
}

fio=no
command -v fio >/dev/null && fio --enghelp 2>/dev/null | grep -qw nbd && fio=yes
for v in ${VD_VARIANTS:-$v_all}; do
	mkdir "$tmp/$v" && cd "$tmp/$v" || exit 1
	if ! variant $v >make.out 2>&1; then
		ok "$v: made" sh -c 'cat make.out; false'
		continue
	fi
	was=$(content_of $v_file) below=$(parents)
	ok "$v: served" serve $v_file || continue
	ok "$v: nbdcopy out" nbdcopy "$uri" x.out
	is "$v: what it holds" "$(content_of x.out 2>&1)" "$was"
	if [ $v != custom ]; then	# a part of it is read-only
		size=$(nbdinfo --size "$uri")
		head -c $size "$tmp/lived" >in.out
		ok "$v: nbdcopy in" nbdcopy --flush in.out "$uri"
		ok "$v: the map" nbdinfo --map "$uri"
		ok "$v: nbdcopy out again" nbdcopy "$uri" x.out
		ok "$v: the same" cmp x.out in.out
		[ $fio = no ] || ok "$v: fio" fio_works
		ok "$v: nbdcopy out, the last" nbdcopy "$uri" in.out
	fi
	ok "$v: ends" serve_ends
	if [ $v != custom ]; then
		ok "$v: translated" vdiskadm translate -I $v_file -x raw \
			-d "$tmp/x.raw"
		ok "$v: it holds what it served" cmp "$tmp/x.raw" in.out
		rm -f "$tmp/x.raw"
	fi
	is "$v: its parents" "$(parents)" "$below"
	cd "$tmp" && rm -rf "${tmp:?}/$v"
done
done_testing
