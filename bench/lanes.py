# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lanes: which image, which server, which load.

A row of results is one lane, once, on one server.  Servers take turns within
each repetition, in the other order every second time, so that what else the
machine does hits all of them alike.
"""
import json
import os
import shutil
import subprocess
import sys
import time

import images

FORMATS = ['raw', 'vmdk', 'vdi']
UNIT = {'raw': 65536, 'vmdk': 65536, 'vdi': 1 << 20}
CHAIN = [1, 2, 4, 8, 16, 32]
RING = [1, 2, 4, 8, 16, 32, 64, 128]

# name: (formats, command).  {plugin} is ours.
SERVERS = {
    'vdisk': (FORMATS, 'nbdkit -f -U {sock} {plugin} {image} format={format} '
              'chain=anywhere'),
    'qemu-nbd': (FORMATS, 'qemu-nbd -t -k {sock} -f {format} '
                 '--cache=writeback --aio=threads {image}'),
    'qemu-nbd-uring': (FORMATS, 'qemu-nbd -t -k {sock} -f {format} '
                       '--cache=writeback --aio=io_uring {image}'),
    'qsd': (FORMATS, 'qemu-storage-daemon '
            '--blockdev driver=file,node-name=f,filename={image} '
            '--blockdev driver={format},node-name=d,file=f '
            '--nbd-server addr.type=unix,addr.path={sock} '
            '--export type=nbd,id=e,node-name=d,name=,writable=on'),
    'nbdkit-file': (['raw'], 'nbdkit -f -U {sock} file {image}'),
}

# name: (image, arguments of nbdload, times the seconds)
MAPPED = {
    'rr1': '-p randread -q 1 -c', 'rr32': '-p randread -q 32 -c',
    'rw1': '-p randwrite -q 1', 'rw32': '-p randwrite -q 32',
    'rwf1': '-p randwrite -q 1 -f 1', 'rwf32': '-p randwrite -q 32 -f 32',
    'sr1m': '-p seqread -b 1048576 -q 4 -c',
    'sw1m': '-p seqwrite -b 1048576 -q 4 -n 1000000000',
}
EMPTY = {
    'aw1': '-p fresh -q 1 -F', 'aw32': '-p fresh -q 32 -F',
    'awf32': '-p fresh -q 32 -f 32 -F',
    'fill64k': '-p seqwrite -b 65536 -q 4 -F',
    'fill1m': '-p seqwrite -b 1048576 -q 4 -F',
}
CHILD = {
    'cow1': '-p fresh -q 1 -F', 'cow32': '-p fresh -q 32 -F',
    'cowf32': '-p fresh -q 32 -f 32 -F',
}
ALL = [*MAPPED, *EMPTY, *CHILD, 'chain', 'open', 'rss', 'convert',
       'convertsync', 'ring']
COLUMNS = ('lane', 'format', 'server', 'rep', 'value', 'unit', 'p50_us',
           'p99_us', 'cpu_us', 'rss_kib', 'extra')


class Stop(Exception):
    pass


def pairs(line):
    return dict(w.split('=', 1) for w in line.split() if '=' in w)


class Server:
    """A server for as long as a with statement; killed if need be."""

    def __init__(self, bench, name, image, fmt):
        self.bench, self.name = bench, name
        self.sock = os.path.join(bench.work, 'sock')
        words = SERVERS[name][1].split()
        self.command = [w.format(sock=self.sock, image=image, format=fmt,
                                 plugin=bench.plugin) for w in words]

    def __enter__(self):
        if os.path.exists(self.sock):
            os.unlink(self.sock)
        self.log = open(os.path.join(self.bench.work, 'server.log'), 'w+')
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            ['timeout', '-k', '5', '3600'] + self.command,
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env=self.bench.env)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def pid(self):
        """Of the server, not of the timeout before it."""
        path = '/proc/%d/task/%d/children' % ((self.process.pid,) * 2)
        for _ in range(2000):
            children = open(path).read().split()
            if children:
                return int(children[0])
            if self.process.poll() is not None:
                break
            time.sleep(0.001)
        raise Stop('%s: %s' % (' '.join(self.command), self.said()))

    def said(self):
        self.log.seek(0)
        return self.log.read().strip() or 'did not start'

    def cpu(self):
        words = open('/proc/%d/stat' % self.pid()).read().rpartition(')')[2]
        return sum(map(int, words.split()[11:13])) / os.sysconf('SC_CLK_TCK')

    def rss(self):
        for line in open('/proc/%d/status' % self.pid()):
            if line.startswith('VmHWM'):
                return int(line.split()[1])

    def load(self, *arguments):
        """One run of the client; None if it failed, which is reported."""
        p = subprocess.run([self.bench.nbdload, '-s', self.sock,
                            *map(str, arguments)], capture_output=True,
                           text=True, timeout=900, env=self.bench.env)
        if p.returncode or not p.stdout:
            print('bench: %s: %s %s' % (self.name, p.stderr.strip(),
                                        self.said()), file=sys.stderr)
            return None
        return pairs(p.stdout)


class Bench:
    def __init__(self, args, results):
        build = os.path.abspath(args.build)
        self.args, self.build = args, build
        self.plugin = os.path.join(build, 'lib', 'nbdkit-vdisk-plugin.so')
        self.nbdload = os.path.join(build, 'bench', 'nbdload')
        self.ringload = os.path.join(build, 'bench', 'ringload')
        self.vdiskadm = os.path.join(build, 'bin', 'vdiskadm')
        self.env = dict(os.environ, LC_ALL='C',
                        VDISK_PLUGIN_PATH=os.path.join(build, 'lib', 'vdisk'))
        self.work = os.path.join(args.data, 'run.%d' % os.getpid())
        os.makedirs(self.work)
        if len(self.work) > 90:
            raise Stop('%s is too long for the name of a socket; --data DIR '
                       'elsewhere' % self.work)
        self.images = images.Images(self, args)
        fresh = not os.path.exists(results)
        self.out = open(results, 'a')
        if fresh:
            self.out.write('\t'.join(COLUMNS) + '\n')

    def row(self, lane, fmt, server, rep, value, unit, *more, extra=''):
        cells = [lane, fmt, server, rep, '%.3f' % value, unit]
        cells += ['%.2f' % m if m is not None else '' for m in more]
        cells += [''] * (len(COLUMNS) - 1 - len(cells)) + [extra]
        print('%-14s %-5s %-15s %2d %12.1f %s' % (lane, fmt, server, rep,
                                                  value, unit), flush=True)
        self.out.write('\t'.join(map(str, cells)) + '\n')
        self.out.flush()

    def servers(self, fmt):
        """Who can serve this, and is installed."""
        found = []
        for name, (formats, command) in SERVERS.items():
            if self.args.servers and name not in self.args.servers:
                continue
            if fmt not in formats:
                continue
            if not shutil.which(command.split()[0]) or \
               ('{plugin}' in command and not os.path.exists(self.plugin)):
                if name not in self.images.missing:
                    print('bench: %s is not here' % name, file=sys.stderr)
                self.images.missing.add(name)
                continue
            found.append(name)
        return found

    def turns(self, names):
        for rep in range(1, self.args.reps + 1):
            for name in names if rep % 2 else list(reversed(names)):
                yield rep, name

    def one(self, lane, fmt, name, rep, image, arguments, seconds):
        with Server(self, name, image, fmt) as s:
            s.pid()
            first = s.load('-p', 'first')
            if not first:
                return
            before = s.cpu()
            got = s.load(*arguments.split(), '-t', seconds, '-S', rep)
            if not got:
                return
            cpu = (s.cpu() - before) * 1e6 / float(got['ops'])
            # Throughput is told in MB/s where requests are large.
            large = float(got['mbps']) > 8192e-6 * float(got['iops'])
            self.row(lane, fmt, name, rep,
                     float(got['mbps' if large else 'iops']),
                     'MB/s' if large else 'op/s', float(got['p50_us']),
                     float(got['p99_us']), cpu, s.rss(),
                     extra='ops=%s secs=%s flushes=%s last_flush_ms=%s' % (
                         got['ops'], got['secs'], got['flushes'],
                         got['last_flush_ms']))


def mapped(b, lane):
    """All formats take turns: they are held against raw."""
    images = {fmt: b.images.full(fmt) for fmt in b.args.formats}
    with b.images.hot(*images.values()):
        for rep, (fmt, name) in b.turns([(fmt, name) for fmt in images
                                         for name in b.servers(fmt)]):
            b.one(lane, fmt, name, rep, images[fmt], MAPPED[lane],
                  b.args.seconds)
            b.images.settle(images[fmt])


def empty(b, lane):
    for fmt in b.args.formats:
        if fmt == 'raw':
            continue
        for rep, name in b.turns(b.servers(fmt)):
            image = b.images.new(fmt)
            b.one(lane, fmt, name, rep, image, EMPTY[lane] + ' -u %d' %
                  UNIT[fmt], 2 * b.args.seconds)
            os.unlink(image)


def child(b, lane):
    """VMDK only: QEMU makes no children of vdi."""
    if 'vmdk' not in b.args.formats:
        return
    parent = b.images.full('vmdk')
    with b.images.hot(parent):
        for rep, name in b.turns(b.servers('vmdk')):
            image = b.images.child(parent)
            b.one(lane, 'vmdk', name, rep, image, CHILD[lane] + ' -u 65536',
                  2 * b.args.seconds)
            os.unlink(image)


def chain(b, _):
    if 'vmdk' not in b.args.formats:
        return
    parent = b.images.full('vmdk')
    links = b.images.chain(parent, max(CHAIN))
    with b.images.hot(parent):
        for rep, (name, depth, q) in b.turns(
                [(name, depth, q) for q in (1, 32) for depth in CHAIN
                 for name in b.servers('vmdk')]):
            b.one('chain%d.q%d' % (depth, q), 'vmdk', name, rep,
                  links[depth - 1], '-p randread -c -q %d' % q,
                  b.args.seconds)


def huge_lane(b, what):
    for fmt in b.args.formats:
        if fmt == 'raw':
            continue
        image = b.images.huge(fmt)
        for rep, name in b.turns(b.servers(fmt)):
            with Server(b, name, image, fmt) as s:
                if what == 'open':
                    got = s.load('-p', 'first', '-o', b.args.huge // 2 // 4096
                                 * 4096)
                    if got:
                        b.row('open', fmt, name, rep, 1e3 *
                              (time.monotonic() - s.began), 'ms', None, None,
                              None, s.rss())
                    continue
                got = s.load('-p', 'randread', '-q', 32, '-t', 600, '-n',
                             b.args.reads, '-S', rep)
                if got:
                    b.row('rss', fmt, name, rep, s.rss() / 1024, 'MiB', None,
                          None, None, s.rss(), extra='ops=%s iops=%s' %
                          (got['ops'], got['iops']))


def rss(b, _):
    """Memory repeats itself: once is enough, and takes long enough."""
    reps, b.args.reps = b.args.reps, 1
    huge_lane(b, 'rss')
    b.args.reps = reps


# name: (from, to)
CONVERT = {
    'raw-stream': ('raw', 'stream'), 'stream-raw': ('stream', 'raw'),
    'raw-vmdk': ('raw', 'vmdk'), 'vmdk-raw': ('vmdk', 'raw'),
    'raw-vdi': ('raw', 'vdi'),
}


def convert_command(b, who, src, frm, dst, to, wait):
    """Neither waits for the disk, or both do."""
    if who == 'vdiskadm':
        kind = {'raw': 'raw', 'vdi': 'vdi', 'vmdk': 'vmdk',
                'stream': 'vmdk:streamOptimized'}
        return [b.vdiskadm, 'translate', *([] if wait else ['--no-sync']),
                '-I', src, '-i', 'vmdk' if frm == 'stream' else frm,
                '-x', kind[to], '-d', dst]
    options = ['-t', 'writeback' if wait else 'unsafe']
    if to == 'stream':
        options += ['-o', 'subformat=streamOptimized']
    return ['qemu-img', 'convert', '-f', 'vmdk' if frm == 'stream' else frm,
            '-O', 'vmdk' if to == 'stream' else to, *options, src, dst]


def convert(b, lane):
    who = [w for w in ('vdiskadm', 'qemu-img')
           if w == 'vdiskadm' or shutil.which(w)]
    for name, (frm, to) in CONVERT.items():
        src = b.images.half(frm)
        dst = os.path.join(b.work, 'out.' + ('vmdk' if to == 'stream' else to))
        able = list(who)
        with b.images.hot(src):
            for rep, w in b.turns(who):
                if w not in able:
                    continue
                began = time.monotonic()
                p = subprocess.run(convert_command(b, w, src, frm, dst, to,
                                                   lane == 'convertsync'),
                                   env=b.env, capture_output=True, text=True)
                secs = time.monotonic() - began
                if p.returncode:
                    print('bench: %s: %s' % (w, p.stderr.strip()),
                          file=sys.stderr)
                    able.remove(w)
                else:
                    b.row(lane, name, w, rep, b.images.half_size / 1e6 /
                          secs, 'MB/s', extra='out_kib=%d' %
                          (os.stat(dst).st_blocks // 2))
                    if rep == 1:
                        b.images.same(src, frm, dst, to)
                if os.path.exists(dst):
                    os.unlink(dst)


def fio(b, image, pattern, depth, rep):
    p = subprocess.run(
        ['fio', '--name=x', '--filename=' + image, '--ioengine=io_uring',
         '--direct=0', '--rw=' + pattern, '--bs=4k', '--iodepth=%d' % depth,
         '--time_based', '--runtime=%dms' % (b.args.seconds * 1000),
         '--norandommap', '--randrepeat=0', '--overwrite=1', '--invalidate=0',
         '--randseed=%d' % rep, '--output-format=json'],
        capture_output=True, text=True)
    text = p.stdout[p.stdout.find('{'):]
    if p.returncode or not text.startswith('{'):
        print('bench: fio: %s' % p.stderr.strip(), file=sys.stderr)
        return None
    job = json.loads(text)['jobs'][0]
    side = job['read' if pattern == 'randread' else 'write']
    percent = side['clat_ns']['percentile']
    return side['iops'], percent['50.000000'] / 1e3, percent['99.000000'] / 1e3


def ring(b, _):
    """The loop frontend, on every format, and fio on the file itself."""
    who = ['loop-' + f for f in b.args.formats]
    if shutil.which('fio'):
        who.append('fio')
    if b.args.servers and 'vdisk' not in b.args.servers:
        return
    files = {f: b.images.full(f) for f in {*b.args.formats, 'raw'}}
    with b.images.hot(*files.values()):
        for pattern in ('randread', 'randwrite'):
            lane = {'randread': 'ring-rr%d', 'randwrite': 'ring-rw%d'}[pattern]
            for depth in RING:
                for rep, w in b.turns(who):
                    if w == 'fio':
                        got = fio(b, files['raw'], pattern, depth, rep)
                    else:
                        got = ringload(b, files[w[5:]], w[5:], pattern, depth,
                                       rep)
                    if got:
                        b.row(lane % depth, w[5:] if w != 'fio' else 'raw',
                              'fio' if w == 'fio' else 'loop', rep, got[0],
                              'op/s', got[1], got[2])
                    if pattern == 'randwrite':
                        b.images.settle(*files.values())


def ringload(b, image, fmt, pattern, depth, rep):
    p = subprocess.run(
        ['timeout', '600', b.ringload, '-i', image, '-r', fmt, '-p', pattern,
         '-q', str(depth), '-t', str(b.args.seconds), '-S', str(rep), '-c'],
        capture_output=True, text=True, env=b.env)
    if p.returncode:
        print('bench: ringload: %s' % p.stderr.strip(), file=sys.stderr)
        return None
    got = pairs(p.stdout)
    return float(got['iops']), float(got['p50_us']), float(got['p99_us'])


def run(args, results):
    b = Bench(args, results)
    try:
        for lane in args.lanes or ALL:
            if lane in MAPPED:
                mapped(b, lane)
            elif lane in EMPTY:
                empty(b, lane)
            elif lane in CHILD:
                child(b, lane)
            else:
                {'chain': chain, 'rss': rss, 'convert': convert,
                 'convertsync': convert, 'ring': ring,
                 'open': huge_lane}[lane](b, lane)
    finally:
        b.out.close()
        shutil.rmtree(b.work, ignore_errors=True)
