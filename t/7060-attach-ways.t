#!/bin/sh
# vdisk-attach gives a disk by the driver or by grants, and leaves nothing of what failed.
. "${srcdir:-.}/t/lib/tap.sh"
need vdisk-attach vdisk-detach vdisk-list cc flock

cc -shared -fPIC -O1 -o "$tmp/fakestore.so" "$srcdir/t/lib/fakestore.c" -ldl \
	>"$tmp/cc.log" 2>&1 || skip_all 'cc makes no shared object'
machine=$tmp/machine
export machine
calls=$tmp/calls
export calls
store=$machine/store
mkdir "$tmp/bin" "$tmp/lib"
for p in vdisk-attach vdisk-detach vdisk-list; do
	cp "$(command -v $p)" "$tmp/bin/"
done
# Beside it, as vdisk-attach looks for it.
cat >"$tmp/bin/vdisk" <<'P'
#!/bin/sh
printf '%s\n' "vdisk $*" >>"$calls"
[ ! -f "$machine/fails" ] || { echo 'vdisk: no such luck' >&2; exit 3; }
unset LD_PRELOAD
for a; do case ${last:-} in -p) pid=$machine$a ;; -x) node=$a ;; esac; last=$a; done
case $node in
/*)	node=$machine$node back=${node##*/} back=tap/${back%-*}/${back#*-} ;;
*)	back=${node#*backend/} ;;
esac
state=$machine/store/local/domain/0/backend/$back/state
# It holds its pid file, and ends when it is told to.
(
	exec 8>"$pid"
	flock 8
	sh -c 'echo $PPID' >&8
	printf 2 >"$state/="
	: >"$machine/up"
	while [ -e "$machine/up" ]; do sleep 0.05; done
) </dev/null >/dev/null 2>&1 &
while [ ! -e "$machine/up" ]; do sleep 0.05; done
P
chmod +x "$tmp/bin/vdisk"

preloaded() {
	p=$1
	shift
	env LD_PRELOAD="$tmp/fakestore.so" ASAN_OPTIONS="$ASAN_OPTIONS:verify_asan_link_order=0" \
		"$tmp/bin/$p" "$@"
}
key() {
	cat "$store/local/domain/$1/=" 2>/dev/null
}
set_key() {
	mkdir -p "$store/local/domain/$1"
	printf %s "$2" >"$store/local/domain/$1/="
}

# The driver: a node for each disk, closed when that is wanted.
driver() {
	b=$store/local/domain/0/backend/tap/7/51728
	node=$machine/dev/xen/xpvtap/7-51728
	while [ -e "$machine" ]; do
		if [ -e "$b/online/=" ] && [ "$(cat "$b/online/=")" = 0 ]; then
			rm -f "$machine/up" "$node"
			printf 6 >"$b/state/="
		elif [ -e "$b/state/=" ] && [ ! -e "$node" ] && [ ! -f "$machine/deaf" ]; then
			: >"$node"
		elif [ ! -e "$b" ]; then
			rm -f "$node"
		fi 2>/dev/null
		sleep 0.05
	done
}
end_all() {
	rm -rf "$machine"
	[ -z "${kernel:-}" ] || wait "$kernel" 2>/dev/null
	kernel=
}
cleanup end_all

# boot [with]: a machine, with the driver or without
boot() {
	end_all
	: >"$calls"
	mkdir -p "$machine/run/vdisk" "$machine/dev/xen/xpvtap" "$machine/sys/bus/xen-backend/drivers"
	set_key 0/domid 0
	set_key 7/name nevada
	if [ "${1:-}" = with ]; then
		mkdir -p "$machine/sys/bus/xen-backend/drivers/xpvtap"
		driver &
		kernel=$!
	fi
}

ok 'an image' vdiskadm create -s 8M -t vmdk "$tmp/a.vmdk"
tap=0/backend/tap/7/51728 grants=0/backend/vdisk/7/51728

boot with
ok 'attach' preloaded vdisk-attach nevada "tap:vdisk:$tmp/a.vmdk" xvdb
is 'in the driver'"'"'s directory' "$(key $tap/params)" "vdisk:$tmp/a.vmdk"
is 'the frontend knows' "$(key 7/device/vbd/51728/backend)" "/local/domain/$tap"
is 'udev keeps off' "$(key $tap/managed-by)" vdisk-attach
is 'on its node, kept' "$(cat "$calls")" \
	"vdisk --daemon --respawn -f $tmp/a.vmdk -x /dev/xen/xpvtap/7-51728 -p /run/vdisk/vbd-7-51728.pid"
ok 'vdisk-list' preloaded vdisk-list
says 'shows it, with its process' "^nevada.* xvdb .* $(cat "$machine/run/vdisk/vbd-7-51728.pid") *xpvtap  *$tmp/a.vmdk"
fails_with 'the same device again' 'vdisk-detach nevada xvdb' \
	preloaded vdisk-attach nevada "$tmp/a.vmdk" xvdb
# Three of journals: left over, in use since a moment ago, not empty.
: >"$machine/run/vdisk/1-10.journal"
echo something >"$machine/run/vdisk/1-12.journal"
ok 'detach, while an empty journal is open' \
	flock -s "$machine/run/vdisk/1-11.journal" env LD_PRELOAD="$tmp/fakestore.so" \
	ASAN_OPTIONS="$ASAN_OPTIONS:verify_asan_link_order=0" \
	"$tmp/bin/vdisk-detach" nevada xvdb
is 'no nodes are left' "$(find "$store" -path '*51728*')" ''
is 'no pid file, and no journal that nobody needs' \
	"$(echo $(ls "$machine/run/vdisk"))" '1-11.journal 1-12.journal'
ok 'vdisk-list' preloaded vdisk-list
is 'tidies up as well' "$(ls "$machine/run/vdisk")" 1-12.journal
rm "$machine/run/vdisk/1-12.journal"

ok 'attach read-only' preloaded vdisk-attach nevada "$tmp/a.vmdk" xvdb r
is 'says so' "$(key $tap/mode)" r
# The process dies and nobody starts it again: the driver goes on.
rm "$machine/up"
until flock -n "$machine/run/vdisk/vbd-7-51728.pid" true; do sleep 0.05; done
ok 'vdisk-list with a dead process' preloaded vdisk-list
says 'calls it so' '(dead)'
fails_with 'its device is in use' 'is in use' preloaded vdisk-attach nevada "$tmp/a.vmdk" xvdb
ok 'detach' preloaded vdisk-detach nevada xvdb
is 'no nodes are left' "$(find "$store" -path '*51728*')" ''

: >"$machine/fails"
fails_with 'a server that fails' 'is not attached' preloaded vdisk-attach nevada "$tmp/a.vmdk" xvdb
is 'no nodes are left' "$(find "$store" -path '*51728*')" ''
rm "$machine/fails"
ok 'gnttab, though the driver is there' preloaded vdisk-attach --transport=gnttab \
	nevada "$tmp/a.vmdk" xvdb
is 'in its own directory' "$(key $grants/params) $(key $grants/transport)" "$tmp/a.vmdk gnttab"
is 'which is the server'"'"'s' "$(sed -n '$s/.* -x \([^ ]*\) .*/\1/p' "$calls")" \
	"/local/domain/$grants"

boot
ok 'without the driver' preloaded vdisk-attach nevada "$tmp/a.vmdk" xvdb
is 'by grants' "$(key $grants/transport)" gnttab
boot
fails_with 'xpvtap without the driver' 'not loaded' preloaded vdisk-attach \
	--transport=xpvtap nevada "$tmp/a.vmdk" xvdb
says 'names the other way' 'transport=gnttab'
is 'nothing was written' "$(find "$store" -path '*51728*')" ''
exits 'another word' 2 preloaded vdisk-attach --transport=tap nevada "$tmp/a.vmdk" xvdb

# xl's own: listed, and left to it.
boot with
set_key 0/backend/vbd/7/51744/script /etc/xen/scripts/block-vdisk
set_key 0/backend/vbd/7/51744/params "$tmp/a.vmdk"
set_key 0/backend/vbd/7/51744/state 4
set_key 0/backend/vbd/7/51760/script /etc/xen/scripts/block
set_key 7/device/vbd/51744/backend /local/domain/0/backend/vbd/7/51744
ok 'vdisk-list' preloaded vdisk-list --json
says "shows xl's disk" '"vdev": "xvdc".*"by": "xl"'
is 'and not the others' "$(grep -c xvdd "$tmp/.out")" 0
fails_with 'detach' 'xl block-detach' preloaded vdisk-detach nevada xvdc
ok 'changes nothing' test -e "$store/local/domain/0/backend/vbd/7/51744"

# Of a guest that is gone.
boot with
ok 'a disk' preloaded vdisk-attach nevada "$tmp/a.vmdk" xvdb
rm -rf "$store/local/domain/7" "$machine/up"
until flock -n "$machine/run/vdisk/vbd-7-51728.pid" true; do sleep 0.05; done
ok 'vdisk-list' preloaded vdisk-list
says 'cleans up' 'note: removed what'
is 'no nodes are left' "$(find "$store" -path '*51728*')" ''
done_testing
