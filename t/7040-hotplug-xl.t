#!/bin/sh
# block-vdisk starts what xl asks for, once, and tells xl what is wrong with it.
. "${srcdir:-.}/t/lib/tap.sh"
. "${srcdir:-.}/t/lib/hotplug.sh"

# refused TEXT PATTERN: by add; xl finds the sentence, and nothing runs.
refused() {
	fails_with "$1" "$2" xl add
	is "$1: status" "$(key hotplug-status)" error
	if key hotplug-error | grep -q -e "$2"; then
		tap_result 0 "$1: xl finds the sentence"
	else
		tap_result 1 "$1: xl finds the sentence"
		diag "$(key hotplug-error)"
	fi
	is "$1: in this order" "$(sed -n 's/^write \(hotplug-[a-z]*\).*/\1/p' "$calls" |
		tr '\n' ' ')" 'hotplug-error hotplug-status '
	ok "$1: nothing runs" ended
	is "$1: nothing is left" "$(ls "$VDISK_RUN")" ''
}

for how in daemon systemd; do
	boot
	[ $how = daemon ] || mkdir -p "$VDISK_BOOTED"
	ok "$how: add" xl add
	is "$how: connected" "$(key hotplug-status)" connected
	is "$how: no physical-device, blkback would take it" "$(key physical-device)" ''
	ok "$how: it runs" running
	if [ $how = daemon ]; then
		called 'with its image, node and pid file' \
			"^vdisk --daemon --respawn -p $VDISK_RUN/vbd-7-51728.pid -x $node -f $tmp/disk.vmdk\$"
		ok 'it holds neither the lock nor a pipe' \
			sh -c "! grep -E ' [0-9] -> .*(lock|pipe:)' '$machine/fds'"
	else
		called 'by its unit' '^systemctl start vdisk@7-51728.service$'
	fi
	ok "$how: add once more" xl add
	called "$how: starts nothing" "^vdisk "
	cp "$VDISK_RUN/7-51728.conf" "$tmp/conf"
	set_key params /another
	fails_with "$how: another image as the same disk" 'another image' xl add
	ok "$how: the first goes on" running
	ok "$how: with its settings" cmp "$tmp/conf" "$VDISK_RUN/7-51728.conf"
	set_key params "$tmp/disk.vmdk"
	# libxl: remove comes when the device is closed.
	set_key state 6
	set_key online 0
	rm "$node"
	ok "$how: remove" xl remove
	ok "$how: it has ended" ended
	is "$how: nothing is left" "$(ls "$VDISK_RUN")" ''
	ok "$how: remove once more" xl remove
	# At a shutdown it would wait until the guest is gone, which waits for it.
	called "$how: systemd's turn is not waited for" '^systemctl stop' 0
done

# ------------------------------------------------------------------ what for

for t in "$tmp/disk.vmdk" "vdisk:$tmp/disk.vmdk" "tap:vdisk:$tmp/disk.vmdk"; do
	boot xpvtap "$t"
	ok "target=${t%"$tmp"*}..." xl add
	called 'is that image' " -f $tmp/disk.vmdk\$"
done
boot
set_key mode r
ok 'access=r' xl add
called 'is served read-only' '^vdisk .*--read-only'
boot
set_key device-type cdrom
ok 'a CD-ROM' xl add
called 'is served read-only' '^vdisk .*--read-only'

boot xpvtap ''
refused 'no target' 'target=/path'
boot xpvtap disk.vmdk
refused 'a relative target' 'absolute'
boot xpvtap tap:vdisk:disk.vmdk
refused 'a relative target with its prefix' 'absolute'
boot xpvtap aio:/disk
refused 'another prefix' 'absolute'
boot xpvtap /images/../etc/shadow
refused 'a way through ..' 'must not lead'
boot xpvtap /images/..
refused 'a way to ..' 'must not lead'
boot xpvtap "$(printf '/a\033[2Jb')"
refused 'control characters' 'control characters'
boot xpvtap "$(printf '/a\nVDISK_OPTIONS=--allow-outside')"
refused 'a line feed' 'control characters'
boot xpvtap "/$(printf '%01100d' 0)"
refused 'a very long name' 'longer than'
boot
set_key mode 'w!'
refused 'access=w!' 'two sides'
boot
set_key mode x
refused 'access=x' 'expected r or w'

# --------------------------------------------------------- what vdisk says

boot
printf '%s\n' 'vdisk 7/xvdb: there is no user xvm' \
	'vdisk: /a.vmdk: in use by another program' \
	'vdisk: `lsof` names it' >"$machine/vdisk-says"
refused 'an image in use' '/a.vmdk: in use by another program `lsof` names it$'
boot
: >"$machine/vdisk-says"
refused 'a vdisk that says nothing' 'gave up (status 3)'
boot
: >"$machine/vdisk-hangs"
VDISK_SECONDS=2
refused 'a vdisk that hangs' 'not ready in time'
boot
mkdir -p "$VDISK_BOOTED"
: >"$machine/vdisk-hangs"
refused 'a unit that hangs' "^\(block-vdisk: \)*$tmp/disk.vmdk was not ready in time; see systemctl"
called 'it is stopped' '^systemctl stop vdisk@7-51728'
VDISK_SECONDS=12
boot
mkdir -p "$VDISK_BOOTED"
: >"$machine/unit-fails"
# systemd has tried once more before anybody looks, and was stopped in that.
for line in 'note: no user xvm' '/a.vmdk: grain table 31 points past the end' \
	'`vdiskadm repair /a.vmdk` would help' 'note: no user xvm' \
	'/a.vmdk: grain table 31 points past the end'; do
	echo "vdisk: $line"
done >"$machine/journal"
refused 'a unit that fails' \
	'^\(block-vdisk: \)*/a.vmdk: grain table 31 points past the end `vdiskadm repair /a.vmdk` would help$'
called 'it is stopped, not started for ever' '^systemctl stop vdisk@7-51728'
boot
mkdir -p "$VDISK_BOOTED"
: >"$machine/unit-fails"
refused 'and of which the journal knows nothing' 'Job for vdisk@7-51728.service failed'

# ------------------------------------------------------------- the driver

boot vbd
rebinding
ok 'blkback was there first' xl add
is 'it lets go, then xpvtap takes it' "$(grep bind "$calls" | tr '\n' ' ')" \
	'unbind vbd-7-51728 bind vbd-7-51728 '
boot other
refused 'some other driver' 'driver other serves'
boot none
rmdir "$bus/drivers/xpvtap"
echo 'modprobe: FATAL: Module xpvtap not found in directory /lib/modules/6.1' \
	>"$machine/no-module"
refused 'a driver that is not installed' 'xpvtap is not loaded: modprobe: FATAL: Module'
boot none
rmdir "$bus/drivers/xpvtap"
cat >"$machine/on-modprobe" <<-M
	mkdir -p "$bus/devices/real"
	ln -s "$bus/devices/real" "$bus/devices/vbd-7-51728"
	ln -s "$bus/drivers/xpvtap" "$bus/devices/real/driver"
	: >"$node"
M
ok 'a driver that is not loaded yet' xl add
called 'is loaded' '^modprobe xpvtap$'
VDISK_SECONDS=3
boot none
refused 'a device that the kernel does not know' 'is missing'
boot
rm "$node"
refused 'no node' 'does not appear'
VDISK_SECONDS=12

# ----------------------------------------------------------------- hostile

for path in '/a b/it'\''s.vmdk' '/a"b.vmdk' '/$(touch pwned).vmdk' \
	'/`touch pwned`' '/a\b\\c' '/-x --allow-outside' '/a;b|c&d' '/%n%s%i' '/*' '/ä€.vmdk'
do
	boot xpvtap "$path"
	cd "$machine" || exit 1
	ok "an image named $path" xl add
	is 'reaches vdisk as it is' "$(sed -n 's/^vdisk .* -f //p' "$calls")" "$path"
	# As a unit gets it: by rules that sh shares.
	is 'and its unit' "$(. "$VDISK_RUN/7-51728.conf"; printf %s "$VDISK_PATH")" "$path"
	ok 'and nothing else happens' test ! -e pwned
	cd "$tmp" || exit 1
done
boot xpvtap "$(printf '/not-utf8-\377')"
mkdir -p "$VDISK_BOOTED"
refused 'a name that systemd would not pass on' 'not in UTF-8'

for path in '' backend backend/vbd/7 backend/vbd/7/51728/x /backend/vbd/7/1 \
	backend/vbd/x/1 backend/vbd/7/1x ../backend/vbd/7/1 'backend/vbd/7/1;reboot' \
	backend/vbd//1 'backend/../7/1' backend/vbd/7/-1; do
	exits "XENBUS_PATH=$path" 2 env PATH="$bin:$PATH" XENBUS_PATH="$path" "$script" add
done
exits 'no word' 2 xl
exits 'another word' 2 xl start

# ----------------------------------------------------------- the script itself

if command -v shellcheck >/dev/null; then
	ok 'shellcheck finds nothing' shellcheck -s sh "$script"
else
	skip 'shellcheck finds nothing' 'no shellcheck'
fi
for sh in dash bash 'busybox sh'; do
	if command -v ${sh%% *} >/dev/null; then
		boot
		ok "$sh runs it" env PATH="$bin:$PATH" XENBUS_PATH=$B $sh "$script" add
		is "$sh: connected" "$(key hotplug-status)" connected
	else
		skip "$sh runs it" "no $sh"
	fi
done
done_testing
