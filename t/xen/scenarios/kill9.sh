# kill -9 to an idle vdisk: what it acknowledged is in the image (W6), though
# the guest never flushed, and the next server finds it.
ok 'a guest is there' guest_up || return
idle=$(guest_maps)
attach_options=--no-respawn

seed=50
for image in /disks/load/*; do
	seed=$((seed + 1))
	name=${image##*/}
	ok "$name: attach" attach "$image" xvdb w || continue
	ok "$name: the guest writes, without any flush" \
		guest "diskverify -s $seed -n 150 -f 0 /dev/xvdb"
	ok "$name: kill -9" kill -9 $(serving)
	ok "$name: no server is left" wait_for 10 no_servers
	ok "$name: vdisk-detach clears what it left" vdisk-detach $G xvdb
	ok "$name: the guest has no disk left" wait_for 30 guest_lost xvdb
	ok "$name: attach again" attach "$image" xvdb w || continue
	ok "$name: every acknowledged sector is there" \
		guest "diskverify -c -s $seed -n 150 -f 0 /dev/xvdb"
	ok "$name: detach" detach xvdb
done
is 'nothing of the disks is left in xenstore' '' "$(backends)"
is 'no grant of the guest is still in use' "$idle" "$(guest_maps)"
