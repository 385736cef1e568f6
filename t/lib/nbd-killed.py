# nbd-killed.py - a client that remembers, and a server that is killed.
#
#	nbd-killed.py ROUNDS SEED SOCKET COMMAND...
#	nbd-killed.py fill SECTORS >FILE
#
# COMMAND serves a disk on SOCKET, empty or (BASE=1) over such a FILE.  Each round
# reads the whole disk, holds it against what was acknowledged before, writes on
# with many requests in flight, and kills the server with SIGKILL after some of
# them were answered.  A sector must hold what was last acknowledged, or what was
# under way when it died.
import nbd, os, random, signal, struct, subprocess, sys, time

SECTOR = 512
DEPTH = 24
BASE = 1 << 60 if os.environ.get('BASE') else 0
if sys.argv[1] == 'fill':
    for s in range(int(sys.argv[2])):
        sys.stdout.buffer.write(struct.pack('<QQ', 1 << 60, s) * 32)
    sys.exit()
rounds, seed, sock, command = (int(sys.argv[1]), int(sys.argv[2]),
                               sys.argv[3], sys.argv[4:])
rng = random.Random(seed)
held = {}       # sector: the write that was acknowledged last; absent: never
maybe = {}      # sector: writes that were under way
next_id = 1


def picture(write, sector):
    """What a write puts into a sector; write 0 is zeros."""
    if write <= 0:
        return bytes(SECTOR)
    return struct.pack('<QQ', write, sector) * (SECTOR // 16)


def start():
    if os.path.exists(sock):
        os.unlink(sock)
    server = subprocess.Popen(command)
    for _ in range(2000):
        if server.poll() is not None:
            sys.exit('the server ended with %d' % server.returncode)
        try:
            h = nbd.NBD()
            h.connect_unix(sock)
            return server, h
        except nbd.Error:
            time.sleep(0.005)
    server.kill()
    sys.exit('the server does not answer')


def compare(h, what):
    """What was maybe there is now known."""
    for first in range(0, h.get_size() // SECTOR, 2048):
        n = min(2048, h.get_size() // SECTOR - first)
        data = h.pread(n * SECTOR, first * SECTOR)
        for s in range(first, first + n):
            got = data[(s - first) * SECTOR:(s - first + 1) * SECTOR]
            for write in [held.get(s, BASE)] + maybe.get(s, []):
                if got == picture(write, s):
                    held[s] = write
                    break
            else:
                found = struct.unpack('<QQ', got[:16])
                sys.exit('%s: sector %d holds write %d of sector %d; '
                         'acknowledged: %d, under way: %s' %
                         (what, s, found[0], found[1], held.get(s, BASE),
                          maybe.get(s, [])))
    maybe.clear()


def one_round(h, server, kill_after):
    global next_id
    busy, acked = {}, 0
    sectors = h.get_size() // SECTOR

    def free_range():
        while True:
            n = rng.choice((1, 1, 2, 8, 8, 64, 200))
            s = rng.randrange(sectors - n + 1)
            if all(s + n <= b or b + m <= s for b, m, _ in busy.values()):
                return s, n

    def submit():
        global next_id
        i, zero = next_id, rng.random() < 0.15
        next_id += 1
        s, n = free_range()
        write = 0 if zero else i
        busy[i] = s, n, write

        def done(error):
            nonlocal acked
            if server.killed:
                return 1
            if error.value:
                sys.exit('write %d: errno %d' % (i, error.value))
            for t in range(s, s + n):
                held[t] = write
            del busy[i]
            acked += 1
            return 1

        if zero:
            h.aio_zero(n * SECTOR, s * SECTOR, completion=done)
        else:
            data = b''.join(picture(i, t) for t in range(s, s + n))
            h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)),
                         s * SECTOR, completion=done)
        if rng.random() < 0.02:
            h.aio_flush(completion=lambda error: 1)

    while acked < kill_after:
        while len(busy) < DEPTH:
            submit()
        h.poll(1000)
    server.killed = True
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    for s, n, write in busy.values():
        for t in range(s, s + n):
            maybe.setdefault(t, []).append(write)
    return acked


total = 0
for r in range(rounds + 1):
    server, h = start()
    server.killed = False
    compare(h, 'after %d kills' % r)
    if r == rounds:
        h.shutdown()
        server.terminate()
        sys.exit(server.wait())
    total += one_round(h, server, rng.randint(1, 150))
    print('round', r, 'acknowledged', total, flush=True)
