# systemd: what cannot be attached or started is told, and is not tried for ever.
. /lab/job/units.sh

ok 'a guest is there' guest_up || return
guest_listen
set -- /disks/systemd/*.vmdk /disks/systemd/*.vdi
mkdir -p /disks/bad

ok 'xl block-attach' xl_attach xvdb "$1" || return
unit=$(unit_of b)
# wrong NAME IMAGE WORDS: told by xl; the good disk alone has a unit.
wrong()
{
	refused "$1" 1 "$3" xl block-attach $G "$(spec xvdf $2)"
	is "$1: no unit of it is left" $unit "$(units)"
	is "$1: no unit has failed" '' "$(failed)"
	xl block-detach $G xvdf
}
wrong 'no such file' /disks/bad/nothing.vmdk '/disks/bad/nothing.vmdk: no such file'
wrong 'an image that is in use' "$1" "$1: in use by another program"
head -c 100000 /dev/urandom >/disks/bad/garbage.vmdk
wrong 'garbage named vmdk' /disks/bad/garbage.vmdk 'garbage.vmdk: its name says vmdk'
m=$(words $(unit_of f) | wc -l)
sleep 2
is 'none of them is started again' $m "$(words $(unit_of f) | wc -l)"
ok 'a disk that is not there: systemctl start' systemctl start vdisk@99-51728.service
is 'does nothing' inactive "$(prop vdisk@99-51728.service ActiveState)"
is 'and fails at nothing' '' "$(failed)"
ok 'xl block-detach' xl_detach xvdb
all_gone 'xl block-detach'

# A name that would be words, variables and quotes to a shell or to systemd.
odd="/disks/systemd/it's 5%i \"odd\" \$HOME \\n.vdi"
mv "$2" "$odd"
ok 'an image with an odd name: xl block-attach, read-only' xl_attach xvdc "$odd" r
is 'the guest may only read it' 1 "$(guest 'cat /sys/block/xvdc/ro')"
unit=$(unit_of c)
# Its image goes, its process dies; and then the disk is detached.
mv "$odd" "$2"
ok 'killed when the image is gone' systemctl kill -s KILL $unit
ok 'it is tried again' wait_for 60 tried_again $unit 1
ok 'xl block-detach meanwhile' xl_detach xvdc
all_gone 'detached while it is tried again'
is 'the guest kernel saw nothing odd' '' "$(guest_complaints)"
