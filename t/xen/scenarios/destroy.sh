# xl destroy while requests are in flight: no zombie, no grant, no process.
ok 'a guest is there' guest_up || return
id=$(guest_id)

n=0
for image in /disks/load/*; do
	n=$((n + 1))
	dev=xvd$(echo bcdefgh | cut -c$n)
	ok "${image##*/}: attach" attach "$image" $dev w
	case $n in
	1)	# Idle at the end, and never flushed: acknowledged is enough.
		idle_image=$image
		ok "${image##*/}: the guest writes" \
			guest "diskverify -s 41 -n 60 -f 0 /dev/$dev" ;;
	*)	ok "${image##*/}: the verifier starts" \
			load_start $dev -s 4$n -n 1000000 -t 60
		ok "${image##*/}: requests are moving" moves $dev ;;
	esac
done
is 'as many servers as disks' $n "$(servers)"
ok 'xl destroy' xl destroy $G
ok 'the domain is gone for good' wait_for 30 domain_gone $id
is 'no zombie' '' "$(zombies)"
ok 'every vdisk process has ended' wait_for 30 no_servers
ok 'nothing of the disks is left in xenstore' wait_for 10 swept
is 'Xen counts no grant of it' 0 "$(domain_maps $id)"

ok 'another guest boots' guest_start
ok "${idle_image##*/}: attach to the new guest" attach "$idle_image" xvdb w
ok "${idle_image##*/}: what was acknowledged is there" \
	guest 'diskverify -c -s 41 -n 60 -f 0 /dev/xvdb'
ok "${idle_image##*/}: detach" detach xvdb
ok 'the guest stops' guest_stop
ok 'every vdisk process has ended' wait_for 10 no_servers
