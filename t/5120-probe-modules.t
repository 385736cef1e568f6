#!/bin/sh
# vdisk-probe --modules lists what is loaded and what each module can do.
. "${srcdir:-.}/t/lib/tap.sh"

mods=$(vdisk-probe --modules 2>"$tmp/err")
has() { printf '%s\n' "$mods" | grep -q -e "$1" || { echo "$mods"; false; }; }

for m in raw vdi vmdk; do
	ok "$m with its ABI and its file" has "^$m  ABI 1\.[0-9]*  .*/$m\.so\$"
done
ok 'file name endings' has 'names:.* \.vmdk'
ok 'what takes the rest' has 'whatever no other module claims'
ok 'operations that are there' has '^  can: .* probe open close'
ok 'operations that are not' has '^  lacks: '
is 'nothing was skipped' "$(cat "$tmp/err")" ''

j=$(vdisk-probe --json --modules)
hasj() { case $j in *"$1"*) true;; *) echo "$j"; false;; esac; }
ok 'json: names' hasj '"name": "vmdk"'
ok 'json: slots' hasj '"slots": ["probe", "open", "close"'
ok 'json: nothing skipped' hasj '"skipped": []'

mkdir "$tmp/p"
cp "$builddir/lib/vdisk/raw.so" "$tmp/p/"
echo 'no module at all' >"$tmp/p/junk.so"
VDISK_PLUGIN_PATH=$tmp/p
mods=$(vdisk-probe --modules 2>"$tmp/err")
ok 'a module beside a broken one is loaded' has '^raw '
ok 'the broken one is named' grep -q 'p/junk\.so' "$tmp/err"
j=$(vdisk-probe --json --modules)
ok 'json: the broken one, too' hasj "\"skipped\": [{\"file\": \"$tmp/p/junk.so\""
exits 'a skipped module is no failure' 0 vdisk-probe --modules

mkdir "$tmp/none"
VDISK_PLUGIN_PATH=$tmp/none
exits 'no module at all: 1' 1 vdisk-probe --modules
exits '--modules with a file: 2' 2 vdisk-probe --modules x
done_testing
