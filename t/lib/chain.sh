# chain.sh - chains for shell tests; sourced after tap.sh.

# names DIR: what is in it, sorted, on one line.
names() {
	(cd "$1" && ls -A) | sort | paste -sd ' '
}

# make_chain DIR TYPE: DIR/d.TYPE of 4 MiB over snapshots @a and @b, each state
# with data of its own, data over data, zeros over data and holes.  For delta
# the base is a raw disk.
make_chain() {
	mkdir -p "$1" || return
	c_d=$1/d.$2
	case $2 in
	delta)	vdiskadm create -s 4m "$1/base.raw" &&
		vd-io "$1/base.raw" 'fill 0 1M 1' 'fill 3M 64k 2' &&
		vdiskadm create -p "$1/base.raw" "$c_d" ;;
	*)	vdiskadm create -s 4m "$c_d" &&
		vd-io "$c_d" 'fill 0 1M 1' 'fill 3M 64k 2' ;;
	esac &&
	vdiskadm snapshot "$c_d@a" &&
	vd-io "$c_d" 'fill 512k 64k 3' 'zero 0 128k' 'fill 2M 512 4' &&
	vdiskadm snapshot "$c_d@b" &&
	vd-io "$c_d" 'fill 640k 1k 5' 'fill 64k 3k 6' 'zero 3M 64k' \
		'fill 1500k 100k 7'
}

# All states of a chain of make_chain, and of images called new, as words, the
# top's last.
states() {
	c_all=
	for c_f in "$1"/new.* "$1/d@a.$2" "$1/d@b.$2" "$1/d.$2"; do
		[ "$c_f" != "$1/new.*" ] || continue
		if [ -e "$c_f" ]; then
			c_all="$c_all $(vd-io -r "$c_f" hash 2>&1)"
		else
			c_all="$c_all -"
		fi
	done
	echo "$c_all"
}

# killed TYPE WHAT FILES ARGS: ARGS of vdiskadm, run in a copy of the chain;
# FILES are there in the end.  Before and after are learned from a run that
# nobody disturbs.
killed() {
	k_type=$1 k_what=$2 k_files=$3
	shift 3
	rm -rf w; cp -a "chain-$k_type" w
	k_before=$(states w "$k_type")
	(cd w && vdiskadm "$@") >out 2>&1 || {
		ok "$k_type: $k_what" sh -c 'cat out; false'
		return
	}
	k_after=$(states w "$k_type")
	k_list=$(vdiskadm list "w/d.$k_type" 2>&1)
	is "$k_type: $k_what leaves these files" "$(names w)" "$k_files"
	k_n=1 k_bad=
	while [ $k_n -lt 400 ]; do
		rm -rf w; cp -a "chain-$k_type" w
		(cd w && vd-kill $k_n vdiskadm "$@") >out 2>&1
		k_rc=$?
		[ $k_rc -eq 77 ] || break
		k_top=$(vd-io -r "w/d.$k_type" hash 2>&1)
		case $k_top in
		"${k_before##* }"|"${k_after##* }") ;;
		*)	[ ! -e "w/d.$k_type" ] && [ "$k_what" = 'removal' ] ||
			k_bad="$k_bad
$k_n: opens as neither: $k_top" ;;
		esac
		(cd w && vdiskadm "$@") >out 2>&1 ||
			grep -q 'exists already\|No such file\|no snapshot called' out ||
			k_bad="$k_bad
$k_n: again: $(cat out)"
		[ "$(names w)" = "$k_files" ] || k_bad="$k_bad
$k_n: left behind: $(names w)"
		[ "$(vdiskadm list "w/d.$k_type" 2>&1)" = "$k_list" ] || k_bad="$k_bad
$k_n: the chain: $(vdiskadm list "w/d.$k_type" 2>&1)"
		[ "$(states w "$k_type")" = "$k_after" ] || k_bad="$k_bad
$k_n: the states differ: $(states w "$k_type")"
		k_n=$((k_n + 1))
	done
	diag "$k_type: $k_what: $((k_n - 1)) places"
	is "$k_type: $k_what, killed before each change" \
		"$k_rc, enough: $([ $k_n -gt 5 ] && echo yes)$k_bad" \
		'0, enough: yes'
}

# reflink_folder: a folder, through $folder, on a file system where files can share
# blocks; or one where a preloaded library pretends so, by copying.
reflink_folder() {
	folder=$tmp/shared
	mkdir -p "$folder" || return
	echo x >"$folder/.x"
	cp --reflink=always "$folder/.x" "$folder/.y" 2>/dev/null && return
	for c_fs in xfs btrfs; do
		rm -f "$tmp/$c_fs.img"
		truncate -s 400M "$tmp/$c_fs.img" &&
			mkfs.$c_fs -q "$tmp/$c_fs.img" >"$tmp/.out" 2>&1 &&
			mount -o loop "$tmp/$c_fs.img" "$folder" 2>"$tmp/.out" ||
			continue
		cleanup "umount '$folder'"
		echo "# $c_fs on a loop device"
		echo x >"$folder/.x"
		cp --reflink=always "$folder/.x" "$folder/.y" && return
	done
	[ "${VD_FLAVOUR:-plain}" = plain ] || return
	cat >"$tmp/share.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

int
ioctl(int fd, unsigned long request, ...)
{
	struct file_clone_range *r;
	struct stat st;
	static char buf[16 << 20];	/* one write: vd-kill counts them */
	va_list ap;
	ssize_t n;

	va_start(ap, request);
	r = va_arg(ap, void *);
	va_end(ap);
	if (request != FICLONERANGE)
		return ((__typeof__(&ioctl))dlsym(RTLD_NEXT, "ioctl"))(fd,
			request, r);
	if (!r->src_length && !fstat((int)r->src_fd, &st))
		r->src_length = (unsigned long long)st.st_size;
	for (unsigned long long i = 0; i < r->src_length; i += sizeof(buf)) {
		n = pread((int)r->src_fd, buf, sizeof(buf),
			  (off_t)(r->src_offset + i));
		if (n < 0 || pwrite(fd, buf, (size_t)n,
				    (off_t)(r->dest_offset + i)) != n)
			return -1;
	}
	return 0;
}
C
	${CC:-cc} -shared -fPIC -o "$tmp/share.so" "$tmp/share.c" -ldl || return
	echo '# no such file system: a library copies'
	LD_PRELOAD=$tmp/share.so
	export LD_PRELOAD
}
