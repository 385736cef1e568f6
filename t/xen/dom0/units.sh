# dom0/units.sh - verbs for scenarios where systemd runs.  Sourced by them.
#
#	unit_of VDEV		the unit of xvdX, by its letter
#	prop UNIT NAME		what systemd knows of it; is_now UNIT STATE
#	units, failed		those of disks, in whatever state; those that failed
#	words UNIT		what the journal has of it
#	all_gone TEXT		no unit, process, directory or file of a disk is left

. /lab/job/xpvtap.sh

unit_of() { echo vdisk@$(guest_id)-$(vbd $1).service; }
prop() { systemctl show -p $2 --value $1; }
is_now() { [ "$(prop $1 ActiveState)" = $2 ]; }
tried_again() { [ "$(prop $1 NRestarts)" -ge "$2" ]; }
failed() { systemctl list-units --failed --plain --no-legend; }
units() { systemctl list-units --all --plain --no-legend 'vdisk@*' | cut -d' ' -f1; }
no_units() { [ -z "$(units)" ]; }
no_files() { [ -z "$(find /run/vdisk -type f -size +0)" ]; }
words() { journalctl -q -o cat -u $1; }
loaded() { grep -oE '^(xpvtap|xen_blkback) ' /proc/modules | sort | tr -d '\n'; }

all_gone()
{
	ok "$1: its unit has ended" wait_for 20 no_units
	is "$1: no unit has failed" '' "$(failed)"
	ok "$1: no process is left" wait_for 10 no_servers
	ok "$1: nothing is left in xenstore" wait_for 10 no_backends
	# udev's news come when they come.
	ok "$1: nor in /run/vdisk, but empty files" wait_for 40 no_files
}
