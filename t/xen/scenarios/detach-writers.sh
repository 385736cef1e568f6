# A disk that is taken away from many who use it, by the page cache and around
# it, over and over: whatever waits in the guest's queues at that moment comes to
# an end, or its xenbus thread would hang for good.
ok 'a guest is there' guest_up || return
idle=$(guest_maps)
rounds=${LAB_LONG:+60}
rounds=${LAB_ROUNDS:-${rounds:-2}}
writers='dd if=/dev/zero bs=1M >&3 & dd if=/dev/zero bs=1M >&3'
readers='dd if=/dev/xvdb of=/dev/null bs=64k iflag=direct'
readers="$readers & $readers & $readers"
none_left() { guest '! pidof dd >/dev/null'; }

set -- /disks/load/*
image=$1 name=${1##*/} n=0
while [ $((n += 1)) -le $rounds ]; do
	attach "$image" xvdb w || { ok "$name: attach, time $n" false; return; }
	# Opened before anything is taken away: dd would make a file of that name.
	guest "{ $writers & $writers & $readers & $readers & $readers & } 3<>/dev/xvdb 2>/dev/null"
	ok "$name: requests are moving" moves xvdb
	usleep $((n % 7 * 130000))
	ok "$name: detach, time $n" detach xvdb || return
	if ! ok "$name: nobody is left hanging" wait_for 60 none_left; then
		guest 'for p in $(pidof dd); do cat /proc/$p/stack; done'
		return
	fi
	wait_for 20 no_servers || ok "$name: its vdisk process has ended" false
done
is 'nothing of the disks is left in xenstore' '' "$(backends)"
is 'no grant of the guest is still in use' "$idle" "$(guest_maps)"
