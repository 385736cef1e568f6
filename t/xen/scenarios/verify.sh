# Three disks at once, each verified sector by sector, flushes in between.
ok 'a guest is there' guest_up || return
idle=$(guest_maps)
ops=300

n=0
for image in $disks/blank/*; do
	n=$((n + 1))
	dev=xvd$(echo bcdefgh | cut -c$n)
	ok "${image##*/} is attached as $dev" attach "$image" $dev w
	ok "the verifier starts on $dev" load_start $dev -s $n -n $ops -b
done
is 'as many servers as disks' $n "$(servers)"
ok 'grants are in use meanwhile' test "$(guest_maps)" -gt "$idle"

n=0
for image in $disks/blank/*; do
	n=$((n + 1))
	name=${image##*/}
	dev=xvd$(echo bcdefgh | cut -c$n)
	ok "$name: the verifier comes to its end" wait_for 300 load_ended $dev
	is "$name: every sector is right" 0 "$(load_status $dev)"
	guest "cat /tmp/$dev.out"
	ok "$name: detach" detach $dev
	ok "$name: attach again, read-only" attach "$image" $dev r
	ok "$name: every sector is still right" \
		guest "diskverify -c -b -s $n -n $ops /dev/$dev"
	is "$name: the guest knows it is read-only" 1 \
		"$(guest "cat /sys/block/$dev/ro")"
	refused "$name: and cannot write" '1' 'read-only|not permitted|denied' \
		guest "dd if=/dev/zero of=/dev/$dev bs=4k count=1 oflag=direct conv=notrunc"
	ok "$name: detach again" detach $dev
done
ok 'every vdisk process has ended' wait_for 10 no_servers
is 'nothing of the disks is left in xenstore' '' "$(backends)"
is 'no grant of the guest is still in use' "$idle" "$(guest_maps)"
