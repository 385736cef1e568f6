#!/bin/sh
# nbdkit is killed while a client writes: no acknowledged write is lost (W6), and
# the image opens without a repair.  VD_KILL_ROUNDS sets how often.
. "${srcdir:-.}/t/lib/tap.sh"
. "$srcdir/t/lib/nbd.sh"
need_python_nbd
cd "$tmp" || exit 1
rounds=${VD_KILL_ROUNDS:-8}
seed=${VD_SEED:-$(date +%s)}
diag "seed $seed"

killed() {	# FILE
	ok "$1: $rounds kills" timeout 1800 $python \
		"$srcdir/t/lib/nbd-killed.py" $rounds $seed "$tmp/s" \
		env LD_PRELOAD="$nbd_preload" nbdkit -f -U "$tmp/s" \
		"$plugin" "$1"
	case $1 in
	*.raw|*.delta)	;;	# no module to ask
	*)	ok "$1: in order" vdiskadm verify "$1" ;;
	esac
}

for t in raw vdi vmdk; do
	vdiskadm create -s 6M d.$t
	killed d.$t
done
# Copy-up can be cut short, too: the parent is full.
$python "$srcdir/t/lib/nbd-killed.py" fill 12288 >p.raw
BASE=1
export BASE
for t in vdi vmdk delta; do
	p=p.$t
	if [ $t = delta ]; then
		p=p.raw
	else
		vdiskadm translate -I p.raw -x $t -d $p
	fi
	vdiskadm create -p $p child.$t
	before=$(cksum <$p)
	killed child.$t
	is "child.$t: its parent was not touched" "$(cksum <$p)" "$before"
done
done_testing
