# A frontend that goes and comes back (another driver, kexec, GRUB): the same
# backend serves it again, and what the first one wrote is there.
ok 'a guest is there' guest_up || return
idle=$(guest_maps)

for image in /disks/blank/*; do
	name=${image##*/}
	ok "$name: attach" attach "$image" xvdb w || continue
	server=$(pidof vdisk)
	ok "$name: the guest writes" guest 'diskverify -s 31 -n 60 /dev/xvdb'
	for round in 1 2; do
		ok "$name: the frontend lets go ($round)" \
			guest 'echo vbd-51728 >/sys/bus/xen/drivers/vbd/unbind'
		ok "$name: and is back ($round)" \
			guest 'echo vbd-51728 >/sys/bus/xen/drivers/vbd/bind'
		ok "$name: the disk is back ($round)" wait_for 20 guest_sees xvdb
	done
	ok "$name: what it wrote is there" \
		guest 'diskverify -c -s 31 -n 60 /dev/xvdb'
	is "$name: by the same process" "$server" "$(pidof vdisk)"
	ok "$name: detach" detach xvdb
done
is 'no grant of the guest is still in use' "$idle" "$(guest_maps)"
