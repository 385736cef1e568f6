# SIGTERM to a serving vdisk: it finishes what it took, closes, and goes.
ok 'a guest is there' guest_up || return
idle=$(guest_maps)

for image in /disks/load/*; do
	name=${image##*/}
	ok "$name: attach" attach "$image" xvdb w || continue
	# The image is not blank any more: other scenarios wrote it.
	ok "$name: the verifier starts" load_start xvdb -s 21 -n 1000000 -t 60
	ok "$name: requests are moving" moves xvdb
	ok "$name: SIGTERM" kill -TERM $(serving)
	ok "$name: vdisk ends in time" wait_for 20 no_servers
	ok "$name: the guest still answers" guest true
	# The disk may wait for a successor or be gone; the admin can remove it.
	if [ -n "$(backends)" ]; then
		ok "$name: vdisk-detach clears what is left" vdisk-detach $G xvdb
	fi
	ok "$name: the guest has no disk left" wait_for 30 guest_lost xvdb
	ok "$name: the verifier is not left hanging" wait_for 90 load_ended xvdb
	args=$(load_args xvdb)
	ok "$name: attach again" attach "$image" xvdb w
	ok "$name: every acknowledged sector is there" \
		guest "diskverify -c $args /dev/xvdb"
	ok "$name: detach" detach xvdb
done
is 'nothing of the disks is left in xenstore' '' "$(backends)"
is 'no grant of the guest is still in use' "$idle" "$(guest_maps)"
