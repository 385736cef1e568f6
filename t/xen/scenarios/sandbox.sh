# What a process holds that serves a disk: nothing that could be stolen.
#
# In the lab every vdisk is ended by the first forbidden system call (main), so
# that each other scenario is a test of the list, too.
ok 'a guest is there' guest_up || return

xvm=$(id -u xvm)

set -- /disks/blank/*.vmdk
image=$1
ok 'attach' attach "$image" xvdb w || return
ok 'the guest uses it' guest 'diskverify -n 60 /dev/xvdb'
pid=$(serving)
cat /proc/$pid/status
ls -l /proc/$pid/fd /proc/$pid/ns /proc/$pid/root /proc/$pid/cwd
is 'one process serves it' 1 "$(serving | wc -l)"
is 'it is xvm' "$xvm $xvm $xvm $xvm" "$(status_of $pid Uid)"
is 'and in no other group' "" "$(status_of $pid Groups | sed 's/ *$//')"
for set in CapInh CapPrm CapEff CapBnd CapAmb; do
	is "$set is empty" 0000000000000000 "$(status_of $pid $set)"
done
is 'it can get no right back' 1 "$(status_of $pid NoNewPrivs)"
is 'its system calls are filtered' 2 "$(status_of $pid Seccomp)"
for ns in mnt net ipc uts; do
	ok "its $ns namespace is its own" test \
		"$(readlink /proc/$pid/ns/$ns)" != "$(readlink /proc/self/ns/$ns)"
done
is 'it has no device open but its own' '' \
	"$(ls -l /proc/$pid/fd | sed -n 's/.* -> \(\/dev\/.*\)/\1/p' |
		grep -vE '^/dev/(null|xen/(xpvtap/|gntdev|evtchn))')"
case ${TRANSPORT:-} in
xpvtap)	is 'it has no handle of Xen' '' \
		"$(ls -l /proc/$pid/fd | grep -E 'gntdev|evtchn|privcmd|xenbus|xenstored')"
	node=/dev/xen/xpvtap/$(guest_id)-$(vbd b)
	is 'nobody but root and xvm may open its node' 'root:xvm 660' \
		"$(stat -c '%U:%G %a' $node)"
	# A window without struct pages ("pf") is one of the guest's own.
	is "the guest's own pages are in it, or not" ${MAP:-0} \
		"$(grep -A30 'xpvtap/' /proc/$pid/smaps | grep -c '^VmFlags:.* pf')" ;;
esac
# What was tried, each with what the kernel said to it.
tried() { sed -n '/^tried:/,/^[^ ]/s/^  //p' /tmp/show; }
for node in backend/vdisk/1/51728 /dev/xen/xpvtap/1-51728; do
	/real/vdisk --show-sandbox -x $node >/tmp/show 2>&1
	is "vdisk --show-sandbox -x $node: all is as it must be" 0 $?
	cat /tmp/show
	ok "$node: file, socket, process, program were tried" \
		test "$(tried | grep -cE 'file|socket|process|program')" -ge 5
	is "$node: and nothing of it could be had" '' \
		"$(tried | grep -v 'not permitted')"
done
ok 'detach' detach xvdb
ok 'every vdisk process has ended' wait_for 10 no_servers
ok 'no process was ended by its filter' kernel_quiet
