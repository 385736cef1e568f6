#!/bin/sh
# vdisk-probe says of each file in one line what it is, and sums up in its exit status.
. "${srcdir:-.}/t/lib/tap.sh"
cd "$tmp" || exit 1

vdiskadm create -s 10m -c hello a.vmdk
vdiskadm create -s 3m -t vmdk:fixed flat.vmdk
vdiskadm create -s 20m b.vdi
vdiskadm create -s 2m -t vdi:fixed f.vdi
vdiskadm create -s 5m c.raw
cp c.raw stranger.bin
cp b.vdi broken.vdi
printf '\001\002\003\000' | dd of=broken.vdi bs=1 seek=376 conv=notrunc status=none

line() { vdisk-probe "$@" 2>/dev/null; }
json() { vdisk-probe --json "$@" 2>/dev/null; }
has() { case $1 in *"$2"*) true;; *) echo "no $2 in: $1"; false;; esac; }

is 'a sparse vmdk'	"$(line a.vmdk)"	'a.vmdk: vmdk monolithicSparse, 10 MiB'
is 'a vdi'		"$(line b.vdi)"		'b.vdi: vdi dynamic, 20 MiB'
is 'a fixed vdi'	"$(line f.vdi)"		'f.vdi: vdi fixed, 2 MiB'
is 'a flat vmdk names its other file' "$(line flat.vmdk)" \
	'flat.vmdk: vmdk monolithicFlat, 3 MiB, names 1 other file'
is 'raw, where the name says so too' "$(line c.raw)" \
	'c.raw: raw (by its name; no module claims its bytes), 5 MiB'
is 'no signature, no name: unknown, and what it would be' "$(line stranger.bin)" \
	'stranger.bin: unknown: no module claims its bytes; taken as raw it would be a disk, 5 MiB'
ok 'a damaged header is called broken, with the byte' \
	has "$(line broken.vdi)" 'broken.vdi: broken vdi'
ok '... the byte' has "$(line broken.vdi)" '(byte 0x178)'
is 'several files, a line each' "$(line a.vmdk b.vdi c.raw | wc -l)" 3

exits 'all sound: 0'		0 vdisk-probe a.vmdk flat.vmdk b.vdi f.vdi c.raw
exits 'one broken: 1'		1 vdisk-probe a.vmdk broken.vdi
exits 'one unknown: 1'		1 vdisk-probe a.vmdk stranger.bin
exits 'one missing: 3, though another is broken' 3 vdisk-probe missing broken.vdi
exits 'no file: 2'		2 vdisk-probe
exits 'a bad option: 2'		2 vdisk-probe --nonsense a.vmdk
exits '--help: 0'		0 vdisk-probe --help
exits '--version: 0'		0 vdisk-probe --version
exits 'a full disk below stdout: 3' 3 sh -c 'vdisk-probe a.vmdk >/dev/full'

j=$(json a.vmdk)
ok 'json: path'		has "$j" '"path": "a.vmdk"'
ok 'json: format'	has "$j" '"format": "vmdk"'
ok 'json: variant'	has "$j" '"variant": "monolithicSparse"'
ok 'json: verdict'	has "$j" '"verdict": "ok"'
ok 'json: size'		has "$j" '"virtual_size": 10485760'
ok 'json: no parent'	has "$j" '"parent": null'
ok 'json: references'	has "$(json flat.vmdk)" \
	'"references": [{"kind": "extent", "name": "flat-flat.vmdk"}]'
j=$(json broken.vdi)
ok 'json: broken'	has "$j" '"verdict": "broken"'
ok 'json: with offset'	has "$j" '"offset": 376'
j=$(json stranger.bin)
ok 'json: unknown'	has "$j" '"verdict": "unknown"'
ok 'json: guessed'	has "$j" '"guessed": true'
ok 'json: the unread one has its line, too' \
	has "$(json missing)" '"error": {"code": 2,'

odd=$(printf 'odd \033[31m\377"\\name.vdi')
cp b.vdi "$odd"
ok 'control characters in a name do not reach the terminal' \
	has "$(line "$odd")" 'odd \x1b[31m\xff"\name.vdi: vdi dynamic'
if command -v python3 >/dev/null; then
	ok 'every line is JSON, and gives a strange name back' python3 -c '
import json, subprocess, sys, os
out = subprocess.run(["vdisk-probe", "--json"] + sys.argv[1:],
		     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
got = [json.loads(l)["path"] for l in out.splitlines()]
assert got == sys.argv[1:], got
' a.vmdk broken.vdi missing stranger.bin "$odd"
else
	skip 'every line is JSON' 'needs python3'
fi
done_testing
