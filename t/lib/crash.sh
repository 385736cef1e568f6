# crash.sh - for the tests of power cuts: see t/tools/crash-lab.c.
#
# VD_CRASH_STATES is how many states a scenario gets, VD_CRASH_SEED which.

. "${srcdir:-.}/t/lib/tap.sh"
need crash-lab

states=${VD_CRASH_STATES:-600}
seed=${VD_CRASH_SEED:-1}
work_in_memory

# survives FORMAT SCENARIO: no state of it loses anything.
survives() {
	ok "$1 $2: $states power cuts lose nothing, damage nothing" \
		crash-lab -n "$states" -s "$seed" "$1" "$2" "$1.$2"
	tail -n 1 "$tmp/.out" | sed 's/^/# /'
}

# notices FORMAT SCENARIO: without any sync the same campaign finds losses.
notices() {
	exits "$1 $2: were nothing ever synced, it would be seen" 1 \
		crash-lab -x -n 300 -s "$seed" "$1" "$2" "$1.$2.x"
}

# power_cuts FORMAT SCENARIO...
power_cuts() {
	format=$1
	shift
	for scenario; do
		survives "$format" "$scenario"
		notices "$format" "$scenario"
	done
}
