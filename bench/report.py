# SPDX-License-Identifier: LGPL-2.1-or-later
"""Medians and ratios of results.tsv: a table, a file for programs, a plot."""
import collections
import os
import statistics

import plot

BETTER_LOW = ('ms', 'MiB')
# Who is compared with whom: ours, and the best of the others that do the same.
OURS = ('vdisk', 'vdiskadm', 'loop')
PEERS = ('qemu-nbd', 'qemu-nbd-uring', 'qemu-img', 'fio')
# What the engine is held to: times the best peer (rss: MiB at most).
GOALS = {
    ('aw32', 'vmdk'): 40, ('aw1', 'vmdk'): 10,
    ('aw32', 'vdi'): 20, ('aw1', 'vdi'): 8,
    ('awf32', 'vmdk'): 5, ('awf32', 'vdi'): 10,
    ('cow32', 'vmdk'): 6, ('cow1', 'vmdk'): 3.5,
    ('fill64k', 'vmdk'): 8, ('fill64k', 'vdi'): 1.1,
    ('rw32', 'vmdk'): 5, ('rw32', 'vdi'): 2,
    ('rr32', 'vmdk'): 1.4, ('rr32', 'vdi'): 1.2,
    ('chain32.q32', 'vmdk'): 30, ('open', 'vmdk'): 1, ('open', 'vdi'): 1,
    ('ring-rr32', 'raw'): 0.85, ('ring-rw32', 'raw'): 0.85,
    ('ring-rr32', 'vmdk'): 0.85, ('ring-rw32', 'vmdk'): 0.85,
    ('ring-rr32', 'vdi'): 0.85, ('ring-rw32', 'vdi'): 0.85,
    ('convert', 'raw-stream'): 3, ('convert', 'stream-raw'): 2,
    ('convert', 'raw-vmdk'): 1.5, ('convert', 'vmdk-raw'): 1,
    ('convert', 'raw-vdi'): 1,
}
GOALS.update({('convertsync', what): times
              for (lane, what), times in GOALS.items() if lane == 'convert'})
FLOOR = 0.8     # of every other lane
RSS_MOST = 96

Cell = collections.namedtuple('Cell', 'median low high unit n cpu rss p99')


def read(path):
    """{(lane, format): {server: [row]}}, in the order of the file."""
    rows = {}
    with open(path) as f:
        names = f.readline().rstrip('\n').split('\t')
        for line in f:
            r = dict(zip(names, line.rstrip('\n').split('\t')))
            rows.setdefault((r['lane'], r['format']), {}) \
                .setdefault(r['server'], []).append(r)
    return rows


def middle(rows, key):
    values = [float(r[key]) for r in rows if r[key]]
    return statistics.median(values) if values else None


def cell(rows):
    values = [float(r['value']) for r in rows]
    return Cell(statistics.median(values), min(values), max(values),
                rows[0]['unit'], len(values), middle(rows, 'cpu_us'),
                middle(rows, 'rss_kib'), middle(rows, 'p99_us'))


def summary(rows):
    """[(lane, format, {server: Cell}, ratio or None, peer)]"""
    out = []
    fio = {lane: s['fio'] for (lane, _), s in rows.items() if 'fio' in s}
    for (lane, fmt), servers in rows.items():
        cells = {name: cell(r) for name, r in servers.items()}
        if lane in fio and 'fio' not in cells:
            cells['fio'] = cell(fio[lane])
        unit = next(iter(cells.values())).unit
        low = unit in BETTER_LOW
        best = None
        for name in PEERS:
            if name in cells and (best is None or (
                    cells[name].median < cells[best].median if low else
                    cells[name].median > cells[best].median)):
                best = name
        ours = next((n for n in OURS if n in cells), None)
        ratio = None
        if ours and best:
            a, b = cells[ours].median, cells[best].median
            ratio = b / a if low else a / b
        out.append((lane, fmt, cells, ratio, best))
    return out


def verdict(lane, fmt, cells, ratio):
    if lane == 'rss' and 'vdisk' in cells:
        good = cells['vdisk'].median <= RSS_MOST
        return 'below %d MiB: %s' % (RSS_MOST, 'yes' if good else 'NO')
    if ratio is None:
        return ''
    goal = GOALS.get((lane, fmt), FLOOR)
    return '%gx: %s' % (goal, 'yes' if ratio >= goal else 'NO')


def number(value):
    if value is None:
        return ''
    return '%.0f' % value if value >= 1000 else '%.1f' % value


def within(lines):
    """Formats against raw through the same program; long chains against none."""
    medians = {(lane, fmt): cells[n].median for lane, fmt, cells, _, _ in lines
               for n in ('vdisk', 'loop') if n in cells}
    out = []
    for (lane, fmt), value in medians.items():
        if fmt in ('vmdk', 'vdi') and medians.get((lane, 'raw')):
            out.append('%-12s %s is at %.2f of raw' %
                       (lane, fmt, value / medians[lane, 'raw']))
        if lane.startswith('chain32.'):
            one = medians.get((lane.replace('chain32', 'chain1'), fmt))
            if one:
                out.append('%-12s at %.2f of a chain of 1' % (lane, value / one))
    return out


def table(lines):
    head = '%-12s %-10s %-15s %2s %10s %21s %5s %8s %8s %7s  %s' % (
        'lane', 'format', 'server', 'n', 'median', 'min .. max', 'unit',
        'p99 us', 'cpu us', 'ratio', 'wanted')
    out = [head, '-' * len(head)]
    for lane, fmt, cells, ratio, best in lines:
        for name, c in cells.items():
            ours = name in OURS
            out.append(('%-12s %-10s %-15s %2d %10s %21s %5s %8s %8s %7s  %s' % (
                lane, fmt, name, c.n, number(c.median),
                number(c.low) + ' .. ' + number(c.high), c.unit,
                number(c.p99), number(c.cpu),
                '%.2f' % ratio if ours and ratio else
                'best' if name == best else '',
                verdict(lane, fmt, cells, ratio) if ours else '')).rstrip())
    more = within(lines)
    return '\n'.join(out + ([''] + more if more else [])) + '\n'


def tsv(lines):
    out = ['lane\tformat\tserver\tn\tmedian\tmin\tmax\tunit\tp99_us\tcpu_us\t'
           'rss_kib\tratio_to_best_peer\twanted']
    for lane, fmt, cells, ratio, _ in lines:
        for name, c in cells.items():
            ours = name in OURS
            out.append('\t'.join(map(str, (
                lane, fmt, name, c.n, '%.3f' % c.median, '%.3f' % c.low,
                '%.3f' % c.high, c.unit, number(c.p99), number(c.cpu),
                number(c.rss), '%.3f' % ratio if ours and ratio else '',
                verdict(lane, fmt, cells, ratio) if ours else ''))))
    return '\n'.join(out) + '\n'


def write(results, out):
    lines = summary(read(results))
    text = table(lines)
    for name, content in (('table.txt', text), ('summary.tsv', tsv(lines)),
                          ('plot.svg', plot.draw(lines))):
        with open(os.path.join(out, name), 'w') as f:
            f.write(content)
    print('\n' + text)
    print('bench: %s: results.tsv table.txt summary.tsv plot.svg' % out)
