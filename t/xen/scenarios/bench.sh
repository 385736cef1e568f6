# How fast is a raw disk through each backend, in one guest, one boot.
#
# Ratios only: time is emulated, and one emulated processor does everything.
# All serve the same file, one after the other, in rounds, so that what the
# machine does besides hits each of them; the middle of the rounds counts.  map
# is the driver with map=1, said between two disks; qdisk is QEMU's backend, if
# dom0 has one.
. /lab/job/xpvtap.sh
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
	map)
		via_map ;;
	qdisk)
		via_qdisk ;;
	*)
		via_vdisk $1 $1 ;;
	esac
}

# via_vdisk NAME TRANSPORT
via_vdisk()
{
	transport=--transport=$2
	attach $file xvdb w || return 1
	measure $1
	detach xvdb && wait_for 20 no_servers
}

via_map()
{
	MAP=1
	xpvtap_way
	via_vdisk map xpvtap
	went=$?
	MAP=0
	xpvtap_way
	return $went
}

qemu=$(command -v xen-qemu-system-i386)

# As libxl starts it for a PV guest; it stays for all rounds.
qdisk_up()
{
	[ -z "$(pidof xen-qemu-system-i386)" ] || return 0
	$qemu -xen-domid $(guest_id) -xen-attach -machine xenpv -m 192 -name $G \
		-nodefaults -no-user-config -nographic -monitor none -serial none \
		>/lab/log/qdisk.log 2>&1 </dev/null &
	wait_for 30 state_is /local/domain/0/device-model/$(guest_id)/state running
}

via_qdisk()
{
	qdisk_up || return 1
	put_nodes b qdisk params raw:$file device-type disk removable 0 bootable 1
	wait_for 20 guest_sees xvdb || return 1
	measure qdisk
	xp_detach b qdisk && wait_for 20 guest_lost xvdb
}

: >/tmp/bench
guest 'true'
n=0
while [ $n -lt $rounds ]; do
	case $((n % 2)) in
	0)	order="blkback xpvtap map gnttab ${qemu:+qdisk}" ;;
	1)	order="${qemu:+qdisk} gnttab map xpvtap blkback" ;;
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
