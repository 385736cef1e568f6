# A frontend that lets go of its disk without being asked: the same server
# gives the ring up, says Closed, and offers the disk to the next one.
#
# Linux cannot be that next one (it never writes Initialising itself); what a
# boot loader would write is written for it, up to the offer.
ok 'a guest is there' guest_up || return
idle=$(guest_maps)

set -- /disks/blank/*.vmdk
ok 'attach' attach "$1" xvdb w || return
server=$(serving)
front=/local/domain/$(guest_id)/device/vbd/51728
back=$(xenstore-read $front/backend)
ok 'the guest writes' guest 'diskverify -s 31 -n 60 /dev/xvdb'
ok 'its driver lets go' \
	guest 'echo vbd-51728 >/sys/bus/xen/drivers/vbd/unbind'
ok 'the backend is Closed' wait_for 20 state_is $back/state 6
is 'with no grant left' "$idle" "$(guest_maps)"
xenstore-write $front/state 1
ok 'and offers the disk again' wait_for 20 state_is $back/state 2
is 'by the same process' "$server" "$(serving)"
ok 'detach, with nobody using it' vdisk-detach $G xvdb
ok 'the process has ended' wait_for 10 no_servers
ok 'attach, as if nothing had been' attach "$1" xvdb w
ok 'what the guest wrote is there' guest 'diskverify -c -s 31 -n 60 /dev/xvdb'
ok 'detach' detach xvdb
is 'nothing of the disk is left in xenstore' '' "$(backends)"
is 'no grant of the guest is still in use' "$idle" "$(guest_maps)"
