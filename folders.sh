# folders.sh - read by configure: the folders that are found, or follow.
#
# Folders that other programs look into are theirs to choose where we install
# under /usr or /usr/local.  Any other prefix is private: all stays inside.

# The full name of a folder.
expand() {
	x=$1
	while :; do
		case $x in
		*\$\{*|*\$\(*)	eval "y=\"$(printf %s "$x" | tr '()' '{}')\""
				[ "$x" = "$y" ] && break
				x=$y ;;
		*)		break ;;
		esac
	done
	printf %s "$x"
}

# folder NAME PRIVATE PUBLIC [PACKAGE VARIABLE]: unless an option said it.
folder() {
	eval "dir=\${$1:-}"
	if [ -z "$dir" ]; then
		case $(expand "$prefix") in
		/usr|/usr/local)
			dir=$($PKG_CONFIG --variable="${5:-x}" "${4:-x}" 2>>$log)
			dir=${dir:-$3} ;;
		*)	dir=$2 ;;
		esac
	fi
	eval "$1=\$dir"
}

plugindir=$(expand "$libdir")/vdisk
# nbdkit finds its plugins in one folder.
[ $with_nbdkit = no ] ||
	folder nbdplugindir '${libdir}/nbdkit/plugins' '' nbdkit plugindir
folder xenscriptdir '${prefix}/etc/xen/scripts' /etc/xen/scripts
folder systemdsystemunitdir '${prefix}/lib/systemd/system' /lib/systemd/system \
	systemd systemdsystemunitdir
folder udevrulesdir '${prefix}/lib/udev/rules.d' /lib/udev/rules.d
folder tmpfilesdir '${prefix}/lib/tmpfiles.d' /usr/lib/tmpfiles.d systemd tmpfilesdir
folder sysusersdir '${prefix}/lib/sysusers.d' /usr/lib/sysusers.d systemd sysusersdir
folder modprobedir '${prefix}/lib/modprobe.d' /lib/modprobe.d
