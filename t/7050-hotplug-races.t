#!/bin/sh
# Whatever comes in between of block-vdisk and tap-event: nothing hangs, nothing outlives its disk.
. "${srcdir:-.}/t/lib/tap.sh"
. "${srcdir:-.}/t/lib/hotplug.sh"
VDISK_SECONDS=9

# until_true COMMAND...: a minute at most.
until_true() {
	i=0
	until "$@"; do
		[ $((i += 1)) -lt 1200 ] || return 1
		sleep 0.05
	done
}

# From now on it is ready when $machine/go is there.
vdisk_waits() {
	cat >"$machine/on-vdisk" <<-M
		until [ -e "$machine/go" ]; do sleep 0.05; done
	M
}

# The script alone is killed while vdisk starts, as libxl does after 40 seconds.
script_killed() {
	boot
	vdisk_waits
	env PATH="$bin:$PATH" XENBUS_PATH=$B "$script" add >/dev/null 2>&1 & one=$!
	until_true grep -q '^vdisk' "$calls"
	kill -KILL $one
}

# ------------------------------------------------------------ tap-event

type=tap B=backend/tap/7/51728
boot xpvtap "vdisk:$tmp/disk.vmdk"
ok 'a tap device that somebody made' udev add
is 'is connected' "$(key hotplug-status)" connected
called 'with its image' "-f $tmp/disk.vmdk\$"
rm -r "$node" "$bus/devices/tap-7-51728" "${store:?}/$B"
ok 'and when it has gone' udev remove
ok 'its process has ended' ended
is 'nothing is left' "$(ls "$VDISK_RUN")" ''
ok 'a remove of what was not there' udev remove

boot xpvtap
set_key managed-by vdisk-attach
ok 'what vdisk-attach made' udev add
is 'is left to it' "$(cat "$calls")" ''
type=vdisk B=backend/vdisk/7/51728
boot
set_key transport gnttab
ok 'what is served by grants' udev add
is 'is left alone' "$(cat "$calls")" ''
type=vbd B=backend/vbd/7/51728
boot
ok "what is xl's" udev add
is 'is left to its script' "$(cat "$calls")" ''
type=tap B=backend/tap/7/51728
boot xpvtap relative
fails_with 'an image that cannot be' absolute udev add
is 'is an error in xenstore' "$(key hotplug-status)" error

# What vdisk-attach wrote, of a guest that is there and then is not.
boot xpvtap
set_key managed-by vdisk-attach
mkdir -p "$store/local/domain/7/device/vbd/51728/backend"
printf /x >"$store/local/domain/7/device/vbd/51728/backend/="
rm -r "$node" "$bus/devices/tap-7-51728"
ok 'the device goes, the guest stays' udev remove
ok 'the directory stays for vdisk-detach' test -e "$store/$B"
rm -r "$store/local"
: >"$bus/devices/tap-7-51728"
ok 'a device of the same name is there again' udev remove
ok 'and keeps its directory' test -e "$store/$B"
rm "$bus/devices/tap-7-51728"
ok 'the guest is gone' udev remove
ok 'and so is the directory' test ! -e "$store/$B"

# A guest that was slow: xl has given up, its script never ran.
type=vbd B=backend/vbd/7/51728
boot
ok 'a disk of xl' xl add
rm -r "$node" "$bus/devices/vbd-7-51728" "${store:?}/$B"
ok 'that goes without its script' udev remove
is 'is cleaned up, too' "$(ls "$VDISK_RUN")" ''
boot
ok 'a new disk of the same name' xl add
ok "udev's late news of the old one" udev remove
ok 'do it no harm' running
is 'at all' "$(sort "$calls" | grep -c systemctl)" 0

# ----------------------------------------------- the device goes meanwhile

for how in daemon systemd; do
	boot
	[ $how = daemon ] || mkdir -p "$VDISK_BOOTED"
	cat >"$machine/on-vdisk" <<-M
		rm -rf "$store/$B" "$node"
	M
	exits "$how: it goes while vdisk starts" 1 xl add
	ok "$how: no directory is made anew" test ! -e "$store/$B"
	ok "$how: and no process stays" until_true ended

	boot
	[ $how = daemon ] || mkdir -p "$VDISK_BOOTED"
	cat >"$machine/on-vdisk" <<-M
		printf 0 >"$store/$B/online/="
	M
	fails_with "$how: it is detached while it is attached" 'taken away' xl add
	ok "$how: and no process stays" until_true ended
	is "$how: nor a file" "$(ls "$VDISK_RUN" | grep -v pid)" ''
done
boot
mkdir -p "$VDISK_BOOTED"
rm "$node"
VDISK_SECONDS=2
fails_with 'the node goes before systemd looks' 'does not appear' xl add
VDISK_SECONDS=9
boot
set_key state 5
fails_with 'it is closing already' 'taken away' xl add
called 'nothing is started' '^vdisk' 0
boot
rm -rf "${store:?}/$B"
exits 'it is gone already' 1 xl add
ok 'and stays so' test ! -e "$store/$B"

# -------------------------------------------------- several at a time

boot
vdisk_waits
xl add >"$tmp/one" 2>&1 & one=$!
xl add >"$tmp/two" 2>&1 & two=$!
until_true grep -q '^vdisk' "$calls"
: >"$machine/go"
ok 'one of two adds' wait $one
wait $one && wait $two
tap_result $? 'both of two adds'
called 'start one process' '^vdisk'
is 'which is connected' "$(key hotplug-status)" connected

boot
vdisk_waits
xl add >"$tmp/one" 2>&1 & one=$!
until_true grep -q '^vdisk' "$calls"
xl remove >"$tmp/two" 2>&1 & two=$!
: >"$machine/go"
wait $one
tap_result $? 'an add that a remove waits for'
wait $two
tap_result $? 'and the remove after it'
ok 'no process is left' ended
is 'and no file' "$(ls "$VDISK_RUN")" ''

script_killed
: >"$machine/go"
until_true running
ok 'a killed script holds no lock: add' xl add
called 'the process it had started is taken' '^vdisk'
rm "$node"
ok 'and ends with its disk' until_true ended
script_killed
rm "$node"
: >"$machine/go"
ok 'killed, and the disk taken away: no process stays' until_true ended

VDISK_SECONDS=2
boot
mkdir -p "$VDISK_RUN"
flock "$VDISK_RUN/7-51728.lock" sleep 20 & one=$!
until_true sh -c "! flock -n '$VDISK_RUN/7-51728.lock' true"
fails_with 'somebody holds the lock' 'another block-vdisk' xl add
is 'xl hears of it' "$(key hotplug-status)" error
kill $one
VDISK_SECONDS=9

# ------------------------------------------------------------- remove

boot
ok 'a process' xl add
: >"$machine/no-end"
rm "$node"
ok 'that does not end with its disk is asked to' xl remove
ok 'and ends' ended
boot
mkdir -p "$VDISK_RUN"
sleep 30 & other=$!
echo $other >"$VDISK_RUN/vbd-7-51728.pid"
ok "a pid file with another process's number" xl remove
ok 'does that no harm' kill -0 $other
kill $other
boot
mkdir -p "$VDISK_RUN"
for text in '' '-1' '1' 'x y' '0'; do
	echo "$text" >"$VDISK_RUN/vbd-7-51728.pid"
	ok "a pid file with \"$text\"" xl remove
done
# The same program for another disk.
boot
: >"$VDISK_NODES/8-51728"
PATH="$bin:$PATH" vdisk -x "$VDISK_NODES/8-51728" -p "$tmp/other.pid"
mkdir -p "$VDISK_RUN"
cp "$tmp/other.pid" "$VDISK_RUN/vbd-7-51728.pid"
ok "a pid file with another disk's vdisk" xl remove
ok 'does that no harm' kill -0 "$(cat "$tmp/other.pid")"
kill "$(cat "$tmp/other.pid")"
done_testing
