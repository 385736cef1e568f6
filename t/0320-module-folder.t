#!/bin/sh
# A folder of modules that others can write to is named and left alone.
. "${srcdir:-.}/t/lib/tap.sh"
mkdir "$tmp/mods" && cp "$builddir"/lib/vdisk/*.so "$tmp/mods" || exit 1
chmod 755 "$tmp/mods"
export VDISK_PLUGIN_PATH="$tmp/mods"
ok 'a folder of our own' vdisk-probe --modules
chmod 777 "$tmp/mods"
fails_with 'one that everybody can write to' \
	'mods: a folder of modules that everybody can write to' \
	vdisk-probe --modules
export VDISK_PLUGIN_PATH="$tmp/mods:$builddir/lib/vdisk"
ok 'does not keep others from loading' vdisk-probe --modules
export VDISK_PLUGIN_PATH="$tmp/none"
fails_with 'one that is not there' 'none: cannot look for modules' \
	vdisk-probe --modules
if [ "$(id -u)" -eq 0 ]; then
	chmod 755 "$tmp/mods"
	chown 12345 "$tmp/mods"
	export VDISK_PLUGIN_PATH="$tmp/mods"
	fails_with "somebody else's" 'belongs to user 12345' \
		vdisk-probe --modules
fi
done_testing
