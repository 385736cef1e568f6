# A disk that is taken away while the guest uses it: the guest gets errors,
# not silence, and the image keeps everything it acknowledged.
ok 'a guest is there' guest_up || return
idle=$(guest_maps)

for image in /disks/load/*; do
	name=${image##*/}
	ok "$name: attach" attach "$image" xvdb w || continue
	ok "$name: the verifier starts" load_start xvdb -s 11 -n 1000000 -t 60
	ok "$name: requests are moving" moves xvdb
	ok "$name: hot detach under load" detach xvdb
	ok "$name: the verifier is not left hanging" wait_for 90 load_ended xvdb
	is "$name: it was told (status 3, an I/O error)" 3 "$(load_status xvdb)"
	ok "$name: the guest still answers" guest true
	ok "$name: its vdisk process has ended" wait_for 20 no_servers
	args=$(load_args xvdb)
	ok "$name: attach again" attach "$image" xvdb w
	ok "$name: every acknowledged sector is there" \
		guest "diskverify -c $args /dev/xvdb"
	ok "$name: detach when idle" detach xvdb
done
is 'nothing of the disks is left in xenstore' '' "$(backends)"
is 'no grant of the guest is still in use' "$idle" "$(guest_maps)"
