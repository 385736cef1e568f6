# The process that serves a disk is killed, stopped, replaced, under load: the
# guest sees a pause, never an error, and nothing is lost.
kills=${LAB_LONG:+100}
kills=${LAB_KILLS:-${kills:-10}}
real=/real/vdisk
ok 'a guest is there' guest_up || return

# kill_one SIGNAL: and another process takes its place.
kill_one()
{
	old=$(serving)
	kill -$1 $old && wait_for 30 another "$old"
}

# A keeper waits longer and longer for one that dies young, and gives up some
# time; a second of life is forgiven, which is what each fourth has.
kill_next()
{
	kill_one 9 && wait_for 30 writes $(serving) || return 1
	# Not always when it has just begun.
	usleep $((n * 37 % 10 * 100000))
	[ $((n % 4)) -ne 0 ] || { sleep 1; moves xvdb; }
}

kill_many()
{
	n=0
	while [ $n -lt $kills ]; do
		n=$((n + 1))
		kill_next && continue
		echo "kill $n:"
		stall_report xvdb
		return 1
	done
}

set -- /disks/load/*${LAB_TYPE:+.$LAB_TYPE}
[ -n "${LAB_LONG:-}" ] || shift $(($# - 1))
for image; do
	name=${image##*/}
	ok "$name: attach" attach "$image" xvdb w || continue
	ok "$name: the verifier starts" \
		load_start xvdb -s 91 -n 100000000 -d 16 -t 100000
	ok "$name: requests are moving" moves xvdb
	ok "$name: kill -9, $kills times, and requests move after each" kill_many
	is "$name: the process that was killed ran this program" $real \
		"$(readlink /proc/$(serving)/exe)"
	ok "$name: another build takes its place" \
		sh -c "cp $real $real.new && echo >>$real.new && mv $real.new $real"
	is "$name: which the process does not notice" "$real (deleted)" \
		"$(readlink /proc/$(serving)/exe)"
	ok "$name: SIGHUP to the keeper" replaced b
	is "$name: and the new one serves" $real "$(readlink /proc/$(serving)/exe)"
	ok "$name: requests are moving" moves xvdb
	load_ends xvdb "$name"
	ok "$name: detach" detach xvdb
	ok "$name: every vdisk process has ended" wait_for 20 no_servers
	ok "$name: attach again" attach "$image" xvdb w
	ok "$name: every acknowledged sector is there" \
		guest "diskverify -c $args /dev/xvdb"
	ok "$name: the verifier starts" load_start xvdb -s 92 -n 1000000 -t 60
	ok "$name: requests are moving" moves xvdb
	ok "$name: kill -9" kill_one 9
	id=$(guest_id)
	ok "$name: xl destroy" xl destroy $G
	ok "$name: the domain is gone for good" wait_for 30 domain_gone $id
	is "$name: no zombie" '' "$(zombies)"
	ok "$name: every vdisk process has ended" wait_for 30 no_servers
	ok "$name: nothing is left in xenstore" wait_for 10 swept
	is "$name: Xen counts no grant of it" 0 "$(domain_maps $id)"
	ok 'another guest boots' guest_start
done
is 'nothing but empty files is left in /run/vdisk' '' \
	"$(find /run/vdisk -type f -size +0)"
vdisk-list
is 'and of journals none, once vdisk-list has looked' '' \
	"$(ls /run/vdisk | grep journal)"
ok 'the kernel of dom0 has nothing to complain about' kernel_quiet
