# SPDX-License-Identifier: LGPL-2.1-or-later
"""names.py - cut the power on names: build what may be left of a folder.

    names.py ROOT TOP WHAT DROP PROGRAM [ARGUMENT...]

Runs PROGRAM once in ROOT, recorded by names.so ($NAMES_SO).  At each moment of
the record, what was synced is there, and of the rest any part may be: a change
of a name is durable when its folder was synced after it, a file's content when
the file was.  Each such folder is built out of the same inodes, looked at, and
given to PROGRAM again:

  * TOP reads as before or as after (or, if WHAT is `removal`, is gone);
  * no other image that is there before and after ever differs;
  * one that is only there after is whole, or not there;
  * the second run leaves what the first left.

DROP: the how-manieth sync of a folder is left out of the record, to see that it
matters; 0: none.  Says how many states there were, and what was wrong.
"""

import os
import shutil
import subprocess
import sys

ALL_SUBSETS = 6     # more changes than that: only some of their subsets
AGAIN = ('exists already', 'No such file', 'no snapshot called')


def images(root):
    return sorted(os.path.relpath(os.path.join(d, f), root)
                  for d, _, fs in os.walk(root) for f in fs
                  if '/.vdiskadm' not in d and not f.startswith('.') and
                  f.rsplit('.', 1)[-1] in ('vmdk', 'vdi', 'delta', 'raw'))


def names(root):
    return sorted(os.path.relpath(os.path.join(d, n), root)
                  for d, ds, fs in os.walk(root) for n in ds + fs)


def content(root, name):
    p = subprocess.run(['vd-io', '-r', name, 'hash'], cwd=root,
                       capture_output=True, text=True, check=False)
    return p.stdout if p.returncode == 0 else p.stderr


def contents(root):
    return {n: content(root, n) for n in images(root)}


class Record:
    """What happened, line by line, and which state any moment could leave."""

    def __init__(self, root, rec):
        self.root, self.rec = root, rec
        self.start = {}
        self.dirs = set()
        for d, ds, fs in os.walk(root):
            for n in ds:
                self.dirs.add(os.path.relpath(os.path.join(d, n), root))
            for n in fs:
                path = os.path.join(d, n)
                ino = os.stat(path).st_ino
                self.start[os.path.relpath(path, root)] = ino
                keep = f'{rec}/keep/{ino}'
                if not os.path.exists(keep):
                    os.link(path, keep)
                    shutil.copy2(path, f'{rec}/data/{ino}.0')

    def read(self):
        with open(f'{self.rec}/log', encoding='utf-8') as f:
            self.lines = [x.rstrip('\n').split('\t') for x in f]

    @staticmethod
    def folders(op):
        """The folder whose sync makes a change of a name durable."""
        return os.path.dirname(op[2] if op[0] in ('rename', 'link') else op[1])

    def moments(self, drop):
        """For each line: the changes so far, which are durable, contents."""
        ops, sure, now, safe = [], [], {}, {}
        for ino in self.start.values():
            now[ino] = safe[ino] = 0
        for l in self.lines:
            if l[0] == 'ver':
                now[int(l[1])] = int(l[2])
            elif l[0] == 'sync':
                safe[int(l[1])] = now[int(l[1])]
            elif l[0] == 'syncdir':
                drop -= 1
                if drop == 0:
                    continue
                sure = [s or self.folders(o) == l[1]
                        for o, s in zip(ops, sure)]
            else:
                ops.append(l)
                sure.append(False)
            yield list(ops), list(sure), dict(now), dict(safe)

    def apply(self, ops, chosen):
        """The names, if of all changes only the chosen ones have happened."""
        real, left, dirs = dict(self.start), dict(self.start), set(self.dirs)
        for op, take in zip(ops, chosen):
            what, a, b = op[0], op[1], op[2] if len(op) > 2 else ''
            if what == 'create':
                real[a] = int(b)
            elif what == 'link':
                real[b] = real[a]
            elif what == 'rename':
                real[b] = real.pop(a)
            elif what == 'exchange':
                real[a], real[b] = real[b], real[a]
            elif what == 'unlink':
                real.pop(a)
            if not take:
                continue
            if what in ('create', 'link', 'rename'):
                new = b if what != 'create' else a
                if os.path.dirname(new) in dirs | {''}:
                    left[new] = real[new]
                if what == 'rename':
                    left.pop(a, None)
            elif what == 'exchange':
                left[a], left[b] = real[a], real[b]
            elif what == 'unlink':
                left.pop(a, None)
            elif what == 'mkdir':
                dirs.add(a)
            elif what == 'rmdir':
                dirs.discard(a)
                for n in [n for n in left if n.startswith(a + '/')]:
                    del left[n]
        return left, dirs

    @staticmethod
    def choices(sure):
        """Sets of changes that happened: all durable ones, some others."""
        free = [i for i, s in enumerate(sure) if not s]
        if len(free) <= ALL_SUBSETS:
            picks = [{f for k, f in enumerate(free) if bits >> k & 1}
                     for bits in range(1 << len(free))]
        else:
            picks = [set(free[:k]) for k in range(len(free) + 1)]
            picks += [set(free) - {f} for f in free] + [{f} for f in free]
        for p in picks:
            yield [s or i in p for i, s in enumerate(sure)]

    def states(self, drop):
        seen = set()
        for ops, sure, now, safe in self.moments(drop):
            for chosen in self.choices(sure):
                left, dirs = self.apply(ops, chosen)
                for versions in (safe, now):
                    state = (frozenset(dirs), frozenset(
                        (n, i, versions.get(i, -1)) for n, i in left.items()))
                    if state not in seen:
                        seen.add(state)
                        yield state

    def build(self, state):
        dirs, files = state
        for n in os.listdir(self.root):
            p = f'{self.root}/{n}'
            if os.path.isdir(p):
                shutil.rmtree(p)
            else:
                os.unlink(p)
        for d in sorted(dirs):
            os.mkdir(f'{self.root}/{d}', 0o700)
        for name, ino, version in files:
            keep = f'{self.rec}/keep/{ino}'
            with open(keep, 'r+b') as f:
                f.truncate(0)
                if version >= 0:
                    fill(f, f'{self.rec}/data/{ino}.{version}')
            if version >= 0:
                st = os.stat(f'{self.rec}/data/{ino}.{version}')
                os.utime(keep, ns=(st.st_atime_ns, st.st_mtime_ns))
            os.link(keep, f'{self.root}/{name}')


def fill(f, path):
    with open(path, 'rb') as g:
        at = 0
        while piece := g.read(1 << 16):
            if piece.count(0) != len(piece):
                f.seek(at)
                f.write(piece)
            at += len(piece)
        f.truncate(at)


def look(root, top, what, before, after):
    """What is wrong with the state as it is found."""
    found = contents(root)
    if top not in found:
        if what != 'removal':
            yield f'{top} is gone'
    elif found[top] not in (before.get(top), after.get(top)):
        yield f'{top} is neither: {found[top]}'
    for n in set(before) | set(after):
        good = {before.get(n), after.get(n)}
        if n == top or what == 'removal':
            continue
        if n in before and n in after and n not in found:
            yield f'{n} is gone'
        elif n in found and n in after and found[n] not in good:
            yield f'{n} is not what it was: {found[n]}'


def again(root, argv, after, left):
    """What a second run leaves undone."""
    p = subprocess.run(argv, cwd=root, capture_output=True, text=True,
                       check=False)
    if p.returncode and not any(a in p.stderr for a in AGAIN):
        yield f'again: {p.stderr}'
    if names(root) != left:
        yield f'again: left behind: {names(root)}'
    elif contents(root) != after:
        yield 'again: not as after'


def main():
    root, top, what, drop = sys.argv[1:4] + [int(sys.argv[4])]
    argv = sys.argv[5:]
    root = os.path.realpath(root)
    rec, run = root + '.rec', os.environ['VDISK_RUN_DIR']
    for d in ('', '/keep', '/data'):
        os.mkdir(rec + d)
    before = contents(root)
    r = Record(root, rec)
    env = dict(os.environ, LD_PRELOAD=os.environ['NAMES_SO'],
               NAMES_ROOT=root, NAMES_REC=rec)
    subprocess.run(argv, cwd=root, env=env, check=True)
    after, left = contents(root), names(root)
    r.read()
    n = bad = 0
    for state in r.states(drop):
        r.build(state)
        shutil.rmtree(run, ignore_errors=True)
        wrong = list(look(root, top, what, before, after))
        if not drop:
            wrong += again(root, argv, after, left)
        n += 1
        if wrong:
            bad += 1
            if bad < 4:
                print(f'state {n}: {sorted(state[1])}')
                print('\n'.join(wrong))
    syncs = sum(l[0] == 'syncdir' for l in r.lines)
    print(f'states={n} bad={bad} syncs={syncs}')
    sys.exit(1 if bad else 0)


main()
