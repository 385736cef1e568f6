#!/bin/sh
# The bench runs every kind of lane, checks what it reads, and leaves a table and
# a picture.  How fast anything is, is not looked at.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/nbd.sh"
need python3 qemu-nbd qemu-img
cd "$tmp" || exit 1

bench() {
	timeout 240 python3 "$srcdir/bench/run" --build "$builddir" \
		--data "$tmp/d" --out "$tmp/o" --size 8m --huge 1g --reads 500 \
		--seconds 0.05 --reps 1 --servers vdisk,qemu-nbd "$@"
}
columns() {	# of a file: N of the field, where field M is a value
	awk -F'\t' -v n="$2" -v m="$3" -v v="$4" '$m == v { print $n }' "$1" |
		sort -u | paste -sd ' '
}

fails_with 'a lane that is none' 'no lane is called sideways' \
	bench --lanes sideways
ok 'lanes' bench --lanes rr32,rwf32,sr1m,aw1,fill64k,cow32,open,rss
says 'the table tells what is wanted' '0\.8x: '
ok 'not a word of an error' sh -c '! grep "^bench: vdisk" "$1"' - "$tmp/.out"
is 'both servers are in every lane' "$(awk -F'\t' 'NR > 1 {
	s[$1 "\t" $2] = s[$1 "\t" $2] " " $3 } END {
	for (k in s) print s[k] }' o/results.tsv | tr ' ' '\n' | sort |
	uniq -c | awk 'NF > 1 { print $1 }' | uniq | wc -l | tr -d ' ')" 1
is 'formats of a mapped lane' "$(columns o/results.tsv 2 1 rr32)" 'raw vdi vmdk'
is 'formats of a lane that allocates' "$(columns o/results.tsv 2 1 aw1)" 'vdi vmdk'
is 'nothing is zero' "$(awk -F'\t' 'NR > 1 && $5 <= 0' o/results.tsv)" ''
is 'each median has its ratio' "$(awk -F'\t' '$3 == "vdisk" && $12 <= 0' \
	o/summary.tsv)" ''
ok 'the picture is XML' python3 -c '
import sys, xml.dom.minidom
d = xml.dom.minidom.parse("o/plot.svg")
assert len(d.getElementsByTagName("circle")) > 20'
ok 'its rows are the lanes' grep -q '>cow32 vmdk</text>' o/plot.svg

ok 'more lanes' bench --append --lanes chain,convert,ring --formats raw,vmdk \
	--servers vdisk
is 'were added' "$(columns o/results.tsv 2 1 rr32)" 'raw vdi vmdk'
ok 'chains' grep -q '^chain32.q32	vmdk	vdisk' o/results.tsv
ok 'the ring' grep -q '^ring-rw128	vmdk	loop' o/results.tsv
ok 'conversion' grep -q '^convert	raw-vmdk	vdiskadm' o/results.tsv
ok 'in the picture, too' grep -q 'images in the chain' o/plot.svg
rm o/table.txt o/plot.svg
ok 'again from the results' bench --report
ok 'table and picture' test -s o/table.txt -a -s o/plot.svg
is 'no run leaves anything but images' "$(ls d | grep -v '\.raw$\|\.vmdk$\|\.vdi$')" ''

# The client sees what is wrong.
ok 'a wrong block' vd-io d/full-8m.raw 'write 1M 8 0'
ok 'is served' serve d/full-8m.raw
fails_with 'and found' 'wrong=[1-9]' "$builddir/bench/nbdload" -s "$sock" \
	-p seqread -b 4096 -n 512 -c
ok 'ends' serve_ends
fails_with 'also through the ring' 'the run failed' "$builddir/bench/ringload" \
	-i d/full-8m.raw -p randread -q 32 -t 0.5 -c
done_testing
