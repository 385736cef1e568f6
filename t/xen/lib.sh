# t/xen/lib.sh - what the host side of the lab shares.  Sourced, never run.
#
# Nothing here needs root, a loop device or a kernel module on the host.

lab_name=${0##*/}

say()
{
	printf '%s\n' "$*"
}

# The system said no: name what and what helps, exit 3.  broken: we did, 1.
broken()
{
	( die "$@" ) || exit 1
}

die()
{
	printf '%s: %s\n' "$lab_name" "$1" >&2
	shift
	for line; do
		printf '%*s  %s\n' ${#lab_name} '' "$line" >&2
	done
	exit 3
}

# need PROGRAM PACKAGE ...: all at once, so that one message lists everything.
need()
{
	miss=
	while [ $# -gt 1 ]; do
		command -v "$1" >/dev/null 2>&1 || miss="$miss $2"
		shift 2
	done
	[ -z "$miss" ] || die "programs are missing" \
		"apt-get install$miss"
}

# debugfs, mke2fs and depmod live where a user's PATH does not look.
PATH=$PATH:/usr/sbin:/sbin
export PATH

# The one file that a pattern names, or a sentence.
only()
{
	set -- $1
	[ -e "$1" ] || die "no file like $1" "remove the folder and fetch again"
	printf '%s\n' "$1"
}

# Where the unpacked packages keep shared libraries, for ld.so and ldd.
tree_libpath()
{
	find -H "$1" -type f -name '*.so*' -printf '%h\n' |
		grep -v -e /python -e /vdisk$ | sort -u | paste -sd:
}

# copy_libs ROOT FILE...: the shared libraries these need, under the names the
# loader asks for.  LIBPATH says where to look before the host's own.
#
# A missing one is an error here, not a daemon that does not start in dom0.
copy_libs()
{
	root=$1
	shift
	for elf; do
		LD_LIBRARY_PATH=$LIBPATH ldd "$elf" 2>/dev/null || :
	done | sort -u >"$root.ldd"
	if grep 'not found' "$root.ldd" >"$root.missing"; then
		die "a library is missing:" "$(cat "$root.missing")"
	fi
	mkdir -p "$root/lib/x86_64-linux-gnu" "$root/lib64"
	sed -n 's/^[[:space:]]*\([^ /]*\) => \(\/[^ ]*\) .*/\1 \2/p' "$root.ldd" |
	sort -u -k1,1 |
	while read -r name path; do
		cp -L "$path" "$root/lib/x86_64-linux-gnu/$name"
	done
	sed -n 's/^[[:space:]]*\(\/lib64\/ld[^ ]*\) .*/\1/p' "$root.ldd" | sort -u |
	while read -r path; do
		cp -L "$path" "$root$path"
	done
	rm -f "$root.ldd" "$root.missing"
}

# copy_modules TREE ROOT NAME...: kernel modules with what they depend on, in
# one folder, and a file that says in which order to load each NAME.
copy_modules()
{
	tree=$1 root=$2
	shift 2
	kver=$(cat "$tree/kernel-version")
	mkdir -p "$root/modules"
	for mod; do
		modprobe -d "$tree" -S "$kver" --show-depends --ignore-install "$mod" \
			>"$root.deps" 2>&1 ||
			die "kernel $kver has no module $mod" "$(cat "$root.deps")"
		sed -n 's/^insmod \([^ ]*\).*/\1/p' "$root.deps" |
		while read -r ko; do
			name=${ko##*/}
			case $name in
			*.xz)	xz -dc "$ko" >"$root/modules/${name%.xz}" ;;
			*.zst)	zstd -qdc "$ko" >"$root/modules/${name%.zst}" ;;
			*)	cp "$ko" "$root/modules/$name" ;;
			esac
			name=${name%.xz}
			printf '%s\n' "${name%.zst}"
		done >"$root/modules/$mod.order"
	done
	rm -f "$root.deps"
}

# copy_busybox ROOT: the static one, with a link for every applet, except
# those that a caller has put there in their real form.
copy_busybox()
{
	bb=$(command -v busybox) || die "no busybox" "apt-get install busybox-static"
	if ldd "$bb" >/dev/null 2>&1; then
		die "$bb is not static" "apt-get install busybox-static"
	fi
	mkdir -p "$1/bin" "$1/sbin" "$1/usr/bin" "$1/usr/sbin"
	cp "$bb" "$1/bin/busybox"
	"$bb" --list | while read -r applet; do
		[ -e "$1/bin/$applet" ] || ln -s busybox "$1/bin/$applet"
	done
}

# pack ROOT FILE: an initramfs owned by root, whoever packs it.
pack()
{
	(cd "$1" && find . -print0 | LC_ALL=C sort -z |
		cpio -0 -o -H newc -R 0:0 --quiet) | gzip -1 >"$2.new" ||
		die "cannot pack $2"
	mv "$2.new" "$2"
}
