# The lab against the kernel's own backend: what fails here is not vdisk.
#
# A guest, the verifier and the exchange of files are proved with xen-blkback
# on a loop device, attached by hand as xl would do it.
vbd() { echo $(( (202 << 8) | (($(printf '%d' "'$1") - 97) << 4) )); }

phy_attach()
{
	loop=$(losetup -f) && losetup "$loop" "$1" || return 1
	id=$(vbd "$2")
	d=$(guest_id)
	f=/local/domain/$d/device/vbd/$id
	b=/local/domain/0/backend/vbd/$d/$id
	node=$(printf '%x:%x' $(stat -c '0x%t 0x%T' "$loop"))
	xenstore-write "$f" '' "$b" ''
	xenstore-chmod "$f" n$d r0
	xenstore-chmod "$b" n0 r$d
	xenstore-write "$f/backend" "$b" "$f/backend-id" 0 \
		"$f/virtual-device" $id "$f/device-type" disk "$f/state" 1 \
		"$b/frontend" "$f" "$b/frontend-id" $d "$b/online" 1 \
		"$b/mode" w "$b/type" phy "$b/dev" "xvd$2" "$b/state" 1 \
		"$b/physical-device" "$node"
	wait_for 20 guest_sees "xvd$2"
}

state_is() { [ "$(xenstore-read "$1" 2>/dev/null)" = "$2" ]; }

phy_detach()
{
	id=$(vbd "$1")
	d=$(guest_id)
	b=/local/domain/0/backend/vbd/$d/$id
	xenstore-write "$b/online" 0 "$b/state" 5
	wait_for 20 state_is "$b/state" 6 || return 1
	xenstore-rm "$b" "/local/domain/$d/device/vbd/$id"
	losetup -d "$loop"
	wait_for 20 guest_lost "xvd$1"
}

load_modules()
{
	for mod in loop xen-blkback; do
		while read -r ko; do
			insmod "/modules/$ko" 2>/dev/null
		done <"/modules/$mod.order"
	done
	grep -q '^xen_blkback ' /proc/modules
}

ok 'the kernel backend is loaded' load_modules
ok 'the guest starts' guest_start
before=$(guest_maps)
ok 'a disk is attached' phy_attach /disks/lab.raw b
cat /proc/uptime
ok 'the verifier finds every sector' guest 'diskverify -n 300 -b /dev/xvdb'
cat /proc/uptime
ok 'grants are in use meanwhile' test "$(guest_maps)" -gt "$before"
ok 'the disk is detached' phy_detach b
is 'no grant is left' "$before" "$(guest_maps)"
ok 'the guest stops' guest_stop
