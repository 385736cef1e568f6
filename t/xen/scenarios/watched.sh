# The kernel of dom0 watched itself, to the end, and had nothing to tell; and it
# would have told: a module does what is wrong, last of all.
kernel=$(uname -r)
kernel=${kernel##*-}
note "the kernel is $(uname -r)"
ok 'the kernel of dom0 has nothing to complain about' kernel_quiet || return

# told WHAT WORDS: after wrong.ko the log has these, and kernel_quiet finds them.
told()
{
	dmesg -c
	insmod /modules/wrong.ko what=$1
	ok "$1: the kernel tells" sh -c "dmesg | grep -qE '$2'"
	refused "$1: which is a complaint" 1 "$2" kernel_quiet
}

# The first complaint ends the day for lockdep; with panic_on_warn, for the kernel.
echo 0 >/proc/sys/kernel/panic_on_warn
case $kernel in
lockdep)
	is 'lockdep has been on all the time' 1 \
		"$(sed -n 's/^ *debug_locks: *//p' /proc/lockdep_stats)"
	told sleep 'BUG: sleeping function called from invalid context'
	told order 'possible circular locking dependency' ;;
*)	ok "it is one that watches" false ;;
esac
