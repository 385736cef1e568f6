# systemd's udevd: disks that no script of xl starts, guests that a shutdown ends,
# modules that come when there is a disk for them.
. /lab/job/units.sh

ok 'a guest is there' guest_up || return
guest_listen
set -- /disks/systemd/*.vmdk /disks/systemd/*.vdi /disks/systemd/*.raw
mkdir -p /disks/bad

# --- by udevd alone -----------------------------------------------------------

ok 'somebody makes a disk in backend/tap' put_nodes d tap params "vdisk:$3"
ok 'udevd runs tap-event, and that the unit' wait_for 90 is_now $(unit_of d) active ||
	xenstore-ls $b
ok 'which says so in xenstore' wait_for 30 state_is $b/hotplug-status connected
ok 'the guest sees it' wait_for 20 guest_sees xvdd
ok 'and uses it' guest 'diskverify -s 97 -n 100 -d 8 /dev/xvdd'
ok 'it is taken away' xp_detach d tap
all_gone 'taken away'
ok 'somebody makes one whose image is not there' \
	put_nodes d tap params vdisk:/disks/bad/nothing.raw
ok 'that is an error' wait_for 90 state_is $b/hotplug-status error
ok 'with its sentence' sh -c \
	"xenstore-read $b/hotplug-error | grep -qi 'nothing.raw: no such file'"
is 'no unit is left' '' "$(units)"
ok 'it is taken away' xp_detach d tap
all_gone 'taken away, too'

# --- vdisk-attach, on both ways -----------------------------------------------

for way in xpvtap gnttab; do
	attach_options=--transport=$way
	ok "vdisk-attach by $way" attach "$3" xvdd
	is "$way: udevd leaves it to its keeper" '' "$(units)"
	ok "$way: every sector is there" guest "diskverify -c -s 97 -n 100 -d 8 /dev/xvdd"
	ok "$way: vdisk-detach" detach xvdd
	all_gone "$way"
done

# --- a shutdown destroys the guest -------------------------------------------------

# What a shutdown does in one go, but to no more than these two units: guests
# go first.  (That xl's script does not wait for systemd then: t/7040.)
now=/run/systemd/system
cat >$now/xendomains.service <<-'U'
	[Service]
	Type=oneshot
	RemainAfterExit=yes
	ExecStart=/bin/true
	ExecStop=/bin/sh /tmp/destroy
U
cat >/tmp/destroy <<-'T'
	xl destroy guest
	echo $? >/tmp/destroying
	mv /tmp/destroying /tmp/destroyed
T
attach_options=--transport=xpvtap
ok 'xl block-attach' xl_attach xvdb "$1"
ok 'vdisk-attach' attach "$2" xvdc
unit=$(unit_of b)
printf '[Unit]\nConflicts=xendomains.service %s\n' $unit >$now/lab-shutdown.target
ok 'a unit xendomains' systemctl daemon-reload
ok 'which is up' systemctl start xendomains.service
for c in b c; do
	ok "the verifier starts on xvd$c" load_start xvd$c -s 98 -n 1000000 -t 60
	ok 'requests are moving' moves xvd$c
done
is 'the guest kernel saw nothing odd' '' "$(guest_complaints)"
id=$(guest_id)
ok 'all of it is to be stopped' systemctl start lab-shutdown.target
ok 'the guests are stopped' wait_for 120 test -s /tmp/destroyed
is 'by xl destroy, under load' 0 "$(cat /tmp/destroyed)"
ok 'its disk was served until then' \
	sh -c "journalctl -q -u $unit | tail -n 5 | grep -q 'taken away'"
ok 'the domain is gone for good' wait_for 30 domain_gone $id
# It names the unit, which then is known for as long.
rm $now/lab-shutdown.target
ok 'no more of this' systemctl daemon-reload
all_gone 'xl destroy'
is 'no zombie' '' "$(zombies)"
is 'Xen counts no grant of it' 0 "$(domain_maps $id)"

# --- modules, and what was said -------------------------------------------------

ok 'both drivers can go' rmmod xen_blkback xpvtap
ok 'modprobe xen-blkback' /sbin/modprobe xen-blkback
is 'brings xpvtap, which comes before it' 'xen_blkback xpvtap ' "$(loaded)"
is 'no line of our files is unknown to who reads them' '' \
	"$(journalctl -q -b -o cat | grep -E 'vdisk@?\.service:[0-9]|60-vdisk|vdisk\.conf:|xpvtap\.conf')"
ok 'the kernel of dom0 has nothing to complain about' kernel_quiet
