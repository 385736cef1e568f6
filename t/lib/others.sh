#!/bin/sh
# others.sh FILE RAW DEPTH - do other programs read FILE as RAW?  Exit 0: all that
# were asked do.  Called by vd-life.
#
# Asked are those of $OTHERS (qemu 7z libvmdk) when the disk stands alone, those
# of $OTHERS_CHAIN when it has DEPTH - 1 images below it.  Each that agrees adds
# its name to $OTHERS_LOG.

file=$1 raw=$2 format=${1##*.}

# libvmdk's answer is one of two: its tool's about the size, its library's about
# the content, where python can be asked.
libvmdk() {
	[ "$(vmdkinfo "$file" |
		sed -n 's/.*Media size.*[ (]\([0-9]*\) bytes.*/\1/p')" = \
	  "$(stat -c %s "$raw")" ] || return
	[ -z "${PYVMDK:-}" ] || $PYVMDK -c '
import pyvmdk, sys
h = pyvmdk.handle()
h.open(sys.argv[1])
h.open_extent_data_files()
with open(sys.argv[2], "rb") as raw:
    while True:
        want = raw.read(1 << 20)
        if not want:
            break
        if h.read_buffer(len(want)) != want:
            sys.exit("libvmdk reads otherwise, before byte %d" % raw.tell())
' "$file" "$raw"
}

agrees() {
	case $1 in
	qemu)	if [ "$format" != raw ]; then
			qemu-img check -q -f "$format" "$file" || return
		fi
		qemu-img compare -q -f "$format" -F raw "$file" "$raw" ;;
	7z)	7z x -so "$file" 2>/dev/null | cmp - "$raw" ;;
	libvmdk) libvmdk ;;
	esac
}

[ "$3" -eq 1 ] || OTHERS=${OTHERS_CHAIN:-}
for who in $OTHERS; do
	agrees "$who" || {
		echo "$who does not agree about $file ($3 images)"
		exit 1
	}
	echo "$who $3" >>"$OTHERS_LOG"
done
