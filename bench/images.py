# SPDX-License-Identifier: LGPL-2.1-or-later
"""The images of the lanes: made once, kept in the data folder, held hot."""
import array
import ctypes
import mmap
import os
import shutil
import struct
import subprocess

SECTOR = 512
GRAIN = 128             # sectors
TABLE = 512             # grains of a grain table
BLOCK = 1 << 20         # of a vdi
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int,
                      ctypes.c_int, ctypes.c_int, ctypes.c_long]
LIBC.mlock.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Hot:
    """Files in the page cache, held there; in small pieces.

    After a sequential read the kernel may keep a file in large folios, and a
    4 KiB write into one of them can cost more than any server does: read as if
    at random, all servers find the same cache.
    """

    def __init__(self, paths):
        self.paths, self.held = paths, []

    def __enter__(self):
        for path in self.paths:
            fd = os.open(path, os.O_RDONLY)
            length = os.fstat(fd).st_size
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
            while os.read(fd, 1 << 20):
                pass
            at = LIBC.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
            os.close(fd)
            if at != ctypes.c_void_p(-1).value:
                # Without the right to lock it stays as hot as it happens to.
                LIBC.mlock(at, length)
                self.held.append((at, length))
        return self

    def __exit__(self, *_):
        for at, length in self.held:
            LIBC.munmap(at, length)


class Images:
    def __init__(self, bench, args):
        self.bench, self.args = bench, args
        self.data = args.data
        self.missing = set()
        self.half_size = args.size // 2

    def path(self, name):
        return os.path.join(self.data, name)

    def run(self, *command):
        subprocess.run(command, check=True, env=self.bench.env,
                       stdout=subprocess.DEVNULL)

    def once(self, name, make):
        """name belongs to a size: another --size makes another image."""
        path = self.path(name)
        if not os.path.exists(path):
            print('bench: making %s' % path, flush=True)
            half = os.path.join(self.bench.work, name)
            make(half)
            self.settle(half)
            os.rename(half, path)
        return path

    @staticmethod
    def settle(*paths):
        for path in paths:
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)

    @staticmethod
    def hot(*paths):
        return Hot(paths)

    def full(self, fmt):
        """Every block holds its own number, and noise."""
        mib = self.args.size >> 20
        if fmt == 'raw':
            return self.once('full-%dm.raw' % mib, lambda to: self.run(
                self.bench.nbdload, '-w', to, '-n', str(self.args.size)))
        raw = self.full('raw')
        return self.once('full-%dm.%s' % (mib, fmt), lambda to: self.run(
            self.bench.vdiskadm, 'translate', '-i', 'raw', '-I', raw,
            '-x', fmt, '-d', to))

    def new(self, fmt):
        path = os.path.join(self.bench.work, 'new.' + fmt)
        self.run(self.bench.vdiskadm, 'create', '-t', fmt, '-s',
                 '%dm' % (self.args.size >> 20), path)
        return path

    def child(self, parent, name='child.vmdk'):
        path = os.path.join(self.bench.work, name)
        self.run(self.bench.vdiskadm, 'create', '--allow-outside', '-p',
                 parent, path)
        return path

    def chain(self, parent, depth):
        links = [parent]
        for i in range(1, depth):
            links.append(self.child(links[-1], 'link%d.vmdk' % i))
        return links

    def half(self, kind):
        """Half of it zeros, half of the rest text: what conversion meets."""
        mib = self.half_size >> 20
        raw = self.once('half-%dm.raw' % mib, self.make_half)
        if kind == 'raw':
            return raw
        if kind == 'stream':
            return self.once('half-%dm-stream.vmdk' % mib, lambda to: self.run(
                'qemu-img', 'convert', '-f', 'raw', '-O', 'vmdk', '-o',
                'subformat=streamOptimized', raw, to))
        return self.once('half-%dm.%s' % (mib, kind), lambda to: self.run(
            self.bench.vdiskadm, 'translate', '-i', 'raw', '-I', raw,
            '-x', kind, '-d', to))

    def make_half(self, path):
        words = b'so many words about so few things, '
        with open(path, 'wb') as f:
            for at in range(self.half_size >> 20):
                if at % 2:
                    f.write(bytes(1 << 20))
                    continue
                noise = os.urandom(1 << 19)
                text = (b'%d ' % at + words * 60)[:2048]
                f.write(b''.join(noise[i:i + 2048] + text
                                 for i in range(0, 1 << 19, 2048)))

    def same(self, src, frm, dst, to):
        """What was made must be what it was made of."""
        if not shutil.which('qemu-img'):
            return
        kind = {'stream': 'vmdk'}
        self.run('qemu-img', 'compare', '-f', kind.get(frm, frm), '-F',
                 kind.get(to, to), src, dst)

    def huge(self, fmt):
        """Every unit mapped, but only the tables take space."""
        name = 'huge-%dg.%s' % (self.args.huge >> 30, fmt)
        return self.once(name, {'vmdk': self.huge_vmdk,
                                'vdi': self.huge_vdi}[fmt])

    def create_huge(self, path):
        self.run(self.bench.vdiskadm, 'create', '-s',
                 '%dm' % (self.args.huge >> 20), path)

    def huge_vmdk(self, path):
        self.create_huge(path)
        grains = (self.args.huge // SECTOR + GRAIN - 1) // GRAIN
        tables = (grains + TABLE - 1) // TABLE
        with open(path, 'r+b') as f:
            head = f.read(SECTOR)
            second, first, data = struct.unpack_from('<QQQ', head, 48)
            data = (data + GRAIN - 1) // GRAIN * GRAIN
            places = []
            for directory in (first, second):
                f.seek(directory * SECTOR)
                places.append(array.array('I', f.read(4 * tables)))
            for t in range(tables):
                n = min(TABLE, grains - t * TABLE)
                start = data + t * TABLE * GRAIN
                entries = array.array('I', range(start, start + n * GRAIN,
                                                 GRAIN)).tobytes()
                for copy in places:
                    f.seek(copy[t] * SECTOR)
                    f.write(entries)
            f.truncate((data + grains * GRAIN) * SECTOR)

    def huge_vdi(self, path):
        self.create_huge(path)
        with open(path, 'r+b') as f:
            head = bytearray(f.read(SECTOR))
            table, data = struct.unpack_from('<II', head, 0x154)
            blocks, = struct.unpack_from('<I', head, 0x180)
            struct.pack_into('<I', head, 0x184, blocks)
            f.seek(0)
            f.write(head)
            f.seek(table)
            f.write(array.array('I', range(blocks)).tobytes())
            f.truncate(data + blocks * BLOCK)
