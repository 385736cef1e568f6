# A server that was killed, and a guest that is not asked: the administrator
# can clear both, the guest lives on, and the image can be used again.
ok 'a guest is there' guest_up || return
idle=$(guest_maps)

set -- /disks/load/*
image=$1 name=${1##*/}
ok "$name: attach, waiting for the guest" \
	vdisk-attach --no-respawn --wait=60 $G "tap:vdisk:$image" xvdb w
ok "$name: the verifier starts" load_start xvdb -s 61 -n 1000000 -t 60
ok "$name: requests are moving" moves xvdb
ok "$name: kill -9" kill -9 $(serving)
ok "$name: no server is left" wait_for 10 no_servers
vdisk-list
ok "$name: vdisk-list calls it dead" sh -c "vdisk-list | grep -q dead"
refused "$name: a waiting guest's device is not given away" '3' 'in use' \
	vdisk-attach $G "tap:vdisk:$image" xvdb w
ok "$name: vdisk-detach clears it" vdisk-detach $G xvdb
is "$name: nothing is left in xenstore" '' "$(backends)"
# Its requests are lost with their server: the verifier may hang for good.
ok 'the guest still answers' guest true
ok 'the guest is destroyed' xl destroy $G
ok 'another guest boots' guest_start

for image in /disks/load/*; do
	name=${image##*/}
	ok "$name: attach to the new guest" attach "$image" xvdb w
	ok "$name: the verifier starts" load_start xvdb -s 62 -n 1000000 -t 60
	ok "$name: requests are moving" moves xvdb
	ok "$name: vdisk-detach --force under load" vdisk-detach --force $G xvdb
	ok "$name: no server is left" wait_for 10 no_servers
	ok "$name: the guest has lost the disk" wait_for 30 guest_lost xvdb
	ok "$name: the verifier is not left hanging" wait_for 90 load_ended xvdb
	ok "$name: the guest still answers" guest true
done
is 'nothing of the disks is left in xenstore' '' "$(backends)"
is 'no grant of the guest is still in use' "$idle" "$(guest_maps)"
