# SPDX-License-Identifier: LGPL-2.1-or-later
"""Figures as SVG, drawn by hand: nothing to install, nothing to load."""
import math
from xml.sax.saxutils import escape

COLOURS = {
    'vdisk': '#c0392b', 'vdiskadm': '#c0392b', 'loop': '#c0392b',
    'qemu-nbd': '#2c6fbb', 'qemu-nbd-uring': '#58a6d6', 'qsd': '#7b68c8',
    'nbdkit-file': '#3a9d5d', 'qemu-img': '#2c6fbb', 'fio': '#3a9d5d',
}
LOW = ('ms', 'MiB')
WIDTH = 980
LEFT, RIGHT = 190, 150
ROW = 20
INK, PALE = '#333', '#e4e4e4'


class Picture:
    def __init__(self):
        self.parts, self.height = [], 0

    def text(self, x, y, words, size=12, anchor='start', colour=INK,
             weight='normal'):
        self.parts.append(
            '<text x="%.1f" y="%.1f" font-size="%d" text-anchor="%s" '
            'fill="%s" font-weight="%s">%s</text>' %
            (x, y, size, anchor, colour, weight, escape(words)))

    def line(self, x1, y1, x2, y2, colour=INK, width=1.0):
        self.parts.append(
            '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" '
            'stroke-width="%.1f"/>' % (x1, y1, x2, y2, colour, width))

    def dot(self, x, y, colour, radius=4.5):
        self.parts.append('<circle cx="%.1f" cy="%.1f" r="%.1f" fill="%s"/>' %
                          (x, y, radius, colour))

    def path(self, points, colour, dashed=False):
        self.parts.append(
            '<polyline points="%s" fill="none" stroke="%s" stroke-width="2"%s/>'
            % (' '.join('%.1f,%.1f' % p for p in points), colour,
               ' stroke-dasharray="5 4"' if dashed else ''))

    def svg(self):
        return ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" '
                'height="%d" viewBox="0 0 %d %d" font-family="sans-serif">\n'
                '<rect width="100%%" height="100%%" fill="white"/>\n%s\n</svg>\n'
                % (WIDTH, self.height, WIDTH, self.height,
                   '\n'.join(self.parts)))


def colour(name):
    return COLOURS.get(name, '#888')


def legend(p, names, y):
    x = LEFT
    for name in names:
        p.dot(x, y - 4, colour(name))
        p.text(x + 9, y, name)
        x += 30 + 7 * len(name)


# ------------------------------------------------- every lane, times the peer

def ratios(lines):
    """Rows of (label, {server: (low, median, high)}, ours), peer = 1."""
    rows = []
    for lane, fmt, cells, ratio, best in lines:
        if ratio is None or lane.startswith(('chain', 'ring-')):
            continue
        base = cells[best].median
        row = {}
        for name, c in cells.items():
            three = [max(v, 1e-9) / base for v in (c.low, c.median, c.high)]
            if c.unit in LOW:
                three = [1 / v for v in reversed(three)]
            row[name] = three
        rows.append(('%s %s' % (lane, fmt), row, ratio))
    return rows


def ticks(low, high):
    t, out = 10 ** math.floor(math.log10(low)), []
    while t <= high * 1.0001:
        for m in (1, 2, 5):
            if low * 0.9999 <= t * m <= high * 1.0001:
                out.append(t * m)
        t *= 10
    return out


def dots(p, rows):
    y = p.height + 30
    p.text(LEFT, y, 'Each lane, as a multiple of the best qemu-nbd mode '
           '(qemu-img): to the right is better', 14, weight='bold')
    names = []
    for _, row, _ in rows:
        names += [n for n in row if n not in names]
    legend(p, names, y + 24)
    values = [v for _, row, _ in rows for three in row.values() for v in three]
    low, high = min(0.5, min(values)), max(2, max(values))
    low, high = low / 1.2, high * 1.2

    def at(v):
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log(v / low) /
                                                math.log(high / low))
    top = y + 40
    bottom = top + ROW * len(rows) + 8
    for t in ticks(low, high):
        p.line(at(t), top, at(t), bottom, INK if t == 1 else PALE,
               1.4 if t == 1 else 1)
        p.text(at(t), bottom + 15, '%gx' % t, 11, 'middle')
    for i, (label, row, ratio) in enumerate(rows):
        mid = top + ROW * i + ROW / 2 + 4
        p.text(LEFT - 10, mid + 4, label, 12, 'end')
        # Ours last, on top.
        for name in sorted(row, key=lambda n: colour(n) == COLOURS['vdisk']):
            a, m, b = row[name]
            p.line(at(a), mid, at(b), mid, colour(name), 1.6)
            p.dot(at(m), mid, colour(name))
        p.text(WIDTH - RIGHT + 12, mid + 4, '%.2fx' % ratio, 12,
               colour=COLOURS['vdisk'], weight='bold')
    p.height = bottom + 30


# ------------------------------------------------------------ against a depth

def curves(p, title, what, series, dashed=()):
    """series: {label: (colour, [(x, value)])}; both axes are logarithmic."""
    y, tall = p.height + 30, 230
    p.text(LEFT, y, title, 14, weight='bold')
    xs = sorted({x for _, s in series.values() for x, _ in s})
    values = [v for _, s in series.values() for _, v in s]
    low, high = min(values) / 1.2, max(values) * 1.2
    top, bottom = y + 18, y + 18 + tall
    right = WIDTH - RIGHT - 40

    def at(x, v):
        span = math.log(xs[-1] / xs[0]) or 1
        return (LEFT + (right - LEFT) * math.log(x / xs[0]) / span,
                bottom - tall * math.log(v / low) / math.log(high / low))
    for t in ticks(low, high):
        p.line(LEFT, at(xs[0], t)[1], right, at(xs[0], t)[1], PALE)
        p.text(LEFT - 8, at(xs[0], t)[1] + 4,
               '%gk' % (t / 1000) if t >= 1000 else '%g' % t, 11, 'end')
    for x in xs:
        p.text(at(x, low)[0], bottom + 16, '%d' % x, 11, 'middle')
    p.text((LEFT + right) / 2, bottom + 34, what, 12, 'middle')
    taken = []
    for label, (shade, s) in sorted(series.items(),
                                    key=lambda i: -i[1][1][-1][1]):
        points = [at(x, v) for x, v in sorted(s)]
        p.path(points, shade, label in dashed)
        for point in points:
            p.dot(*point, shade, 3)
        where = points[-1][1] + 4
        while any(abs(where - t) < 13 for t in taken):
            where += 2
        taken.append(where)
        p.text(points[-1][0] + 9, where, label, 11, colour=shade)
    p.height = bottom + 44


def depth_of(lane, prefix, suffix=''):
    middle = lane[len(prefix):len(lane) - len(suffix)]
    if lane.startswith(prefix) and lane.endswith(suffix) and middle.isdigit():
        return int(middle)
    return None


def chains(p, lines):
    for q in (32, 1):
        series = {}
        for lane, _, cells, _, _ in lines:
            n = depth_of(lane, 'chain', '.q%d' % q)
            for name, c in cells.items() if n else ():
                series.setdefault(name, (colour(name), []))[1].append(
                    (n, c.median))
        if series:
            curves(p, 'Random 4 KiB reads a second, queue depth %d' % q,
                   'images in the chain', series)


RING_COLOURS = {'raw': '#c0392b', 'vmdk': '#e08e0b', 'vdi': '#8e44ad'}


def rings(p, lines):
    for prefix, what in (('ring-rr', 'reads'), ('ring-rw', 'writes')):
        series = {}
        for lane, fmt, cells, _, _ in lines:
            n = depth_of(lane, prefix)
            if not n:
                continue
            if 'loop' in cells:
                series.setdefault('loop, ' + fmt, (RING_COLOURS.get(
                    fmt, INK), []))[1].append((n, cells['loop'].median))
            if 'fio' in cells and fmt == 'raw':
                series.setdefault('fio io_uring', (colour('fio'), []))[1] \
                    .append((n, cells['fio'].median))
        if series:
            curves(p, 'Random 4 KiB %s a second through a ring, and by fio on '
                   'the raw file' % what, 'requests in flight', series,
                   ('fio io_uring',))


def draw(lines):
    p = Picture()
    rows = ratios(lines)
    if rows:
        dots(p, rows)
    chains(p, lines)
    rings(p, lines)
    p.height = max(p.height, 40)
    return p.svg()
