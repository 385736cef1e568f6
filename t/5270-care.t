#!/bin/sh
# verify, repair, resize, compact: their words and exits; a repair can be undone.
. "${srcdir:-.}/t/lib/tap.sh"
need perl
cd "$tmp" || exit 1
content() {
	cksum <"$1"
}

vdiskadm create -s 4m d.vdi && vd-io d.vdi 'fill 0 3M 1' &&
	vdiskadm snapshot d.vdi@a && vd-io d.vdi 'fill 1M 512 2'
ok 'verify: a healthy chain' vdiskadm verify d.vdi
is 'verify: has nothing to say' "$(cat .out)" ''
ok 'verify --json' sh -c 'vdiskadm verify --json d.vdi |
	grep -q "\"findings\": \[\], \"damages\": 0"'
was=$(content d.vdi)
is 'verify: reads only' "$(content d.vdi)" "$was"
mv d@a.vdi d@a.gone
exits 'verify: no parent is damage' 1 vdiskadm verify d.vdi
says 'verify: and says so' 'damage: its parent .* \[parent-missing\]'
mv d@a.gone d@a.vdi
mkdir -p k/k && cp d@a.vdi k/k/keep
perl -e 'open my $f, "+<", "d\@a.vdi" or die; seek $f, 392, 0;
	print $f "another id, now"; close $f or die'
exits 'verify: nor is one with another id' 1 vdiskadm verify d.vdi
says 'verify: and says so' 'damage: .* \[parent-'
mv k/k/keep d@a.vdi
exits 'verify: no such file' 3 vdiskadm verify nothere.vdi
fails_with 'verify: raw has nothing to check' 'module raw cannot check' \
	sh -c 'vdiskadm create -s 1m r.raw; vdiskadm verify r.raw'
exits 'verify: that is not supported' 1 vdiskadm verify r.raw
exits 'repair: neither' 1 vdiskadm repair r.raw

# Two blocks at one place, in the parent: found from the top, mended by name.
perl -e 'open my $f, "+<", "d\@a.vdi" or die; binmode $f;
	read $f, my $h, 512; my $map = unpack "V", substr $h, 340, 4;
	seek $f, $map, 0; read $f, my $e, 4; seek $f, $map + 8, 0;
	print $f $e; close $f or die'
exits 'verify: damage in a parent' 1 vdiskadm verify d.vdi
says 'verify: in which file, and its code' '^d@a.vdi: damage: .*vdi-duplicate'
exits 'verify --json: 1, too' 1 vdiskadm verify --json d.vdi
cat >look.pl <<'E'
use JSON::PP;
local $/;
my $j = decode_json(<STDIN>);
exit !($j->{damages} >= 1 && $j->{findings}[0]{file} eq 'd@a.vdi');
E
ok 'verify --json: is JSON' sh -c 'vdiskadm verify --json d.vdi | perl look.pl'
damaged=$(content d@a.vdi)
exits 'repair --plan: there is something to do' 1 vdiskadm repair --plan d@a.vdi
says 'repair --plan: what' 'would mend: '
is 'repair --plan: does nothing' "$(content d@a.vdi)" "$damaged"
ok 'repair --plan: keeps nothing' test ! -e d@a.vdi.undo
ok 'repair' vdiskadm repair d@a.vdi
says 'repair: where the old bytes are' 'd@a.vdi.undo'
ok 'repair: healthy now' vdiskadm verify d@a.vdi
ok 'repair: nothing more to do' vdiskadm repair --plan d@a.vdi
ok 'repair: again' vdiskadm repair d@a.vdi
ok 'repair: an empty undo file is not kept' test ! -e d@a.vdi.undo2
ok 'repair --restore' vdiskadm repair --restore d@a.vdi.undo d@a.vdi
is 'repair --restore: to the byte' "$(content d@a.vdi)" "$damaged"
fails_with 'an undo file of another image' 'not a file of this image' \
	vdiskadm repair --restore d@a.vdi.undo d.vdi
fails_with 'a file that is none' 'not the undo file' \
	vdiskadm repair --restore d@a.vdi d.vdi
# One that was cut short in its last record.
cp d@a.vdi.undo cut && cp d@a.vdi keep.vdi
for n in 5 13 20 100 4000; do
	head -c $n d@a.vdi.undo >cut
	vdiskadm repair --restore cut d@a.vdi >/dev/null 2>&1
	ok "an undo file of $n bytes does no harm" cmp -s d@a.vdi keep.vdi
done

for t in vmdk vdi raw; do
	vdiskadm create -s 4m z.$t
	vd-io z.$t 'fill 0 1M 1' 'fill 2M 1M 2' && vd-io z.$t 'write 2M 1M 0'
	if vdiskadm compact z.$t 2>&1 | grep -q "module $t cannot"; then
		skip "$t: compact, resize" "module $t cannot yet"
		continue
	fi
	ok "$t: compact" vdiskadm compact z.$t
	says "$t: what it gained" 'took .* takes'
	ok "$t: reads the same" vd-io -r z.$t 'verify 0 1M 1' 'expect 1M 3M 0'
	ok "$t: is smaller" test "$(du -k z.$t | cut -f1)" -lt 1500
	ok "$t: grow" vdiskadm resize z.$t 9m
	is "$t: has the size" "$(vd-io -r z.$t size)" 9437184
	ok "$t: the new part is zero" vd-io -r z.$t 'verify 0 1M 1' \
		'expect 1M 8M 0'
	ok "$t: is writable" vd-io z.$t 'fill 8M 1M 3'
	fails_with "$t: shrink must be asked for" 'would shrink' \
		vdiskadm resize z.$t 5m
	fails_with "$t: twice, where there is data" 'holds data behind' \
		vdiskadm resize --shrink z.$t 5m
	is "$t: has the size" "$(vd-io -r z.$t size)" 9437184
	ok "$t: and its data" vd-io -r z.$t 'verify 8M 1M 3'
done
exits 'a size that is none' 2 vdiskadm resize z.vmdk 5q
exits 'half a sector' 2 vdiskadm resize z.vmdk 1000

# A child that grows does not show what a longer parent has there.
vdiskadm create -s 4m p.vdi && vd-io p.vdi 'fill 0 4M 1'
vdiskadm snapshot p.vdi@a
if vdiskadm resize p.vdi 8m >out 2>&1; then
	ok 'a child grows' vd-io p.vdi 'verify 0 4M 1' 'expect 4M 4M 0' \
		'fill 7M 1M 2'
	ok 'and its snapshot keeps its size' sh -c \
		'[ "$(vd-io -r p@a.vdi size)" = 4194304 ]'
	ok 'merged, it is the same' sh -c "vdiskadm destroy p.vdi@a && \
		vd-io p.vdi 'verify 0 4M 1' 'expect 4M 3M 0' 'verify 7M 1M 2'"
else
	ok 'a child says why it does not grow' grep -q 'p.vdi: ' out
fi
done_testing
