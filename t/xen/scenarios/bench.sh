# How fast is a raw disk through each backend, in one guest, one boot.
#
# Ratios only: time is emulated, and one emulated processor does everything.
# All serve the same file, one after the other, in rounds, so that what the
# machine does besides hits each of them; the middle of the rounds counts.
rounds=${LAB_ROUNDS:-3}
seconds=${LAB_SECONDS:-4}
file=/disks/bench.raw

load_blkback && load_xpvtap
ok 'a guest is there' guest_up || return

kinds='
r4k-1	-r -b 4096 -d 1
w4k-1	-r -w -b 4096 -d 1
r4k-32	-r -b 4096 -d 32
w4k-32	-r -w -b 4096 -d 32
r64k	-b 65536 -d 8
w64k	-w -b 65536 -d 8
r1m	-b 1048576 -d 4
w1m	-w -b 1048576 -d 4'

measure()
{
	printf '%s\n' "$kinds" | while read -r kind args; do
		[ -n "$kind" ] || continue
		line=$(guest "blkload $args -t $seconds /dev/xvdb" </dev/null)
		printf '%s %s %s\n' "$1" "$kind" \
			"$(echo "$line" | sed -n 's/.*: \([0-9.]*\)\/s.*/\1/p')" |
			tee -a /tmp/bench
	done
}

# On another round another one is the first.
one_way()
{
	case $1 in
	blkback)
		phy_attach $file b || return 1
		measure $1
		phy_detach b ;;
	*)
		via_vdisk $1 ;;
	esac
}

via_vdisk()
{
	transport=--transport=$1
	attach $file xvdb w || return 1
	measure $1
	detach xvdb && wait_for 20 no_servers
}

: >/tmp/bench
guest 'true'
n=0
while [ $n -lt $rounds ]; do
	case $((n % 2)) in
	0)	order='blkback xpvtap gnttab' ;;
	1)	order='gnttab xpvtap blkback' ;;
	esac
	n=$((n + 1))
	for way in $order; do
		ok "round $n: $way" one_way $way
	done
done

# The middle one of the rounds, and how it compares with blkback's.
sort -k1,2 -k3,3n /tmp/bench | awk '
	{ key = $1 " " $2; v[key, ++count[key]] = $3; ways[$1]; kinds[$2] }
	function middle(key) { return v[key, int((count[key] + 1) / 2)] }
	END {
		for (k in kinds)
			for (w in ways) {
				base = middle("blkback " k)
				mine = middle(w " " k)
				if (mine != "" && base > 0)
					printf "%-7s %-11s %8.1f/s  %.2f of blkback\n", k, w, mine, mine / base
			}
	}' | sort >/tmp/bench.table
while read -r line; do
	note "$line"
done </tmp/bench.table
cp /tmp/bench /tmp/bench.table /lab/log/
