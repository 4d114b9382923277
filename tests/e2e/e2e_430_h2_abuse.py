"""HTTP/2 from clients that mean ill: cut for it, while everybody else is served, and memory stays where it was."""

from h2_client import *

ROOM = 30000  # kB that an attack may cost, of everything together
ROOM_SANITIZED = 300000  # what is freed stays for a while


class Site:
    def __init__(self, t, respond=None, **kw):
        self.b = t.backend(app(respond or by_name))
        self.s, self.front = start(t, [self.b], **kw)
        self.before = status_kb(self.s.pid, "VmRSS")
        with open("/proc/%d/maps" % self.s.pid) as f:
            self.room = ROOM_SANITIZED if "libasan" in f.read() else ROOM

    def serves(self):
        with Raw(self.front) as c:
            check_eq(c.ask()[:2], (200, b"b1"), "somebody else's request")
        now = status_kb(self.s.pid, "VmRSS")
        check(now < self.before + self.room, "memory", self.before, now)

    def is_fine(self):
        self.serves()
        no_places_taken(self.s)


def attack(t, attempt, reason, settings=(), respond=None):
    """attempt(c, i) sends something, until the connection is cut; while others are served."""
    site = Site(t, respond, listener=JSON_LOG)
    with Raw(site.front, settings=settings) as c:
        c.until(lambda f: f.kind == SETTINGS and not f.flags & ACK)
        c.s.settimeout(0.01)
        i = 0
        try:
            while i < 200000:
                attempt(c, i)
                i += 1
                if i % 50 == 0:
                    with contextlib.suppress(TimeoutError):
                        if c.frame() is None or [f for f in c.frames if f.kind == GOAWAY]:
                            break
                if i == 20:
                    site.serves()
        except ConnectionError:
            pass
        check(i < 200000, "an end of it", reason)
        c.s.settimeout(SECONDS)
        c.to_the_end()
        codes = [f.code() for f in c.frames if f.kind == GOAWAY]  # a reset of the connection may swallow it
        check_eq(codes, [ENHANCE_YOUR_CALM] * len(codes), reason)
    site.s.wait_access('"%s"' % reason)
    site.is_fine()
    return site


def and_its_reset(c, stream):
    """More than the allowed number at a time would be another mistake."""
    c.s.settimeout(SECONDS)
    with contextlib.suppress(Failure):
        c.ends(stream)
    c.frames = [f for f in c.frames if f.kind == GOAWAY]
    c.s.settimeout(0.01)


def test_rapid_reset(t):
    def attempt(c, i):
        c.reset(c.open())
    site = attack(t, attempt, "h2-rapid-reset")
    check(len(seen(site.b)) < 1000, "requests that got through", len(seen(site.b)))


def test_resets_that_we_are_made_to_send(t):
    def attempt(c, i):  # a window that grows too large is an error of the stream
        stream = c.open()
        c.window(stream, (1 << 31) - 1)
        and_its_reset(c, stream)
    attack(t, attempt, "h2-rapid-reset")


def test_payload_behind_its_end(t):
    def attempt(c, i):
        stream = c.open(request(method="POST", more=[("content-length", "1")]), end=False)
        c.data(stream, b"xx", end=True)
        and_its_reset(c, stream)
    attack(t, attempt, "h2-rapid-reset")


def test_settings_flood(t):
    attack(t, lambda c, i: c.send(SETTINGS), "h2-settings-flood")


def test_ping_flood(t):
    attack(t, lambda c, i: c.send(PING, 0, 0, bytes(8)), "h2-ping-flood")


def test_ping_flood_from_a_client_that_does_not_read(t):
    site = Site(t, listener=JSON_LOG)
    with Raw(site.front, rcvbuf=4096) as c:
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                c.s.sendall(frame(PING, 0, 0, bytes(8)) * 1000)
        site.s.wait_access('"h2-ping-flood"')
    site.is_fine()


def test_priority_flood(t):
    attack(t, lambda c, i: c.send(PRIORITY, 0, 3, bytes([0, 0, 0, 0, 16])), "h2-priority-flood")


def test_window_update_flood(t):
    attack(t, lambda c, i: [c.window(0, 1) for _ in range(20)], "h2-window-flood")


def test_empty_frames(t):
    def attempt(c, i):
        if i == 0:
            c.stream = c.open(request(method="POST"), end=False)
        c.data(c.stream, b"")
    attack(t, attempt, "h2-empty-frames")


def test_frames_of_unknown_kinds(t):
    attack(t, lambda c, i: c.send(0x55, 0, 0, b"x"), "h2-empty-frames")


def test_continuation_flood(t):
    def attempt(c, i):
        if i == 0:
            c.send(HEADERS, END_STREAM, 1, block(request()))
        c.send(CONTINUATION, 0, 1, block([("x", "y" * 1000)]))
    attack(t, attempt, "h2-continuation-flood")


def test_empty_continuations(t):
    def attempt(c, i):
        if i == 0:
            c.send(HEADERS, END_STREAM, 1, block(request()))
        c.send(CONTINUATION, 0, 1, b"")
    attack(t, attempt, "h2-continuation-flood")


def test_a_head_that_unpacks_to_much_more(t):
    """One large field in the table, then a thousand times its index."""
    bomb = b"\x40" + number(1) + b"x" + number(4000) + b"v" * 4000 + b"\xbe" * 12000

    def attempt(c, i):
        stream, c.next = c.next, c.next + 2
        c.send(HEADERS, END_HEADERS | END_STREAM, stream, block(request()) + bomb)
    attack(t, attempt, "h2-head-bomb")


def test_refused_heads_without_end(t):
    def attempt(c, i):
        and_its_reset(c, c.open(request(more=[("connection", "close")])))
    attack(t, attempt, "h2-bad-heads")


def test_windows_of_one_byte(t):
    def attempt(c, i):
        if i == 0:
            c.stream = c.open(path="/large")
        else:
            c.frames = [f for f in c.frames if f.kind == GOAWAY]
            c.window(c.stream, 1)
        c.s.settimeout(SECONDS)
        with contextlib.suppress(Failure):
            c.until(lambda f: f.kind in (DATA, GOAWAY))
        c.s.settimeout(0.01)

    def respond(r, b):
        return answer(body=bytes(100000) if r.path == "/large" else b"b1")
    attack(t, attempt, "h2-tiny-windows", settings=[(INITIAL_WINDOW, 1)], respond=respond)


def test_a_thousand_streams_at_a_time(t):
    def attempt(c, i):
        c.open(request(method="POST"), end=False)
    site = Site(t, listener=JSON_LOG)
    with Raw(site.front) as c:
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                c.open(request(method="POST"), end=False)
        check([f for f in c.to_the_end() if f.kind in (GOAWAY, RST_STREAM)], "refused")
    site.is_fine()


def test_many_attackers_at_a_time_cost_no_more_than_their_number(t):
    site = Site(t, listener=JSON_LOG)
    for _ in range(50):
        with Raw(site.front) as c:
            with contextlib.suppress(ConnectionError):
                c.s.sendall(b"".join(frame(HEADERS, 5, 2 * i + 1, block(request())) +
                                     frame(RST_STREAM, 0, 2 * i + 1, bytes(4)) for i in range(400)))
                c.to_the_end()
    site.is_fine()
    wait_until(lambda: site.s.number("front", "FRONTEND", "scur") == 0, "nobody is left")


# ---- who is honest -------------------------------------------------------------------------------

def test_a_client_that_opens_its_windows_with_each_read_is_served(t):
    """As some libraries do: both, for every 4 KiB."""
    size = 24 << 20
    b = t.backend(app(lambda r, _: answer(body=b"x" * size)))
    _, front = start(t, [b])
    with Raw(front, settings=[(INITIAL_WINDOW, 1 << 20)], window=1 << 20) as c:
        stream, got = c.open(), 0
        while got < size:
            f = c.frame()
            check(f is not None and f.kind not in (GOAWAY, RST_STREAM), "it goes on", f, got)
            if f.kind == DATA:
                got += len(f.payload)
                for at in range(0, len(f.payload), 4096):
                    n = min(4096, len(f.payload) - at)
                    c.s.sendall(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", n)) +
                                frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", n)))


def test_a_client_that_has_seen_enough_of_every_answer_is_served(t):
    b = t.backend(app(lambda r, _: answer(body=b"x" * 100000)))
    _, front = start(t, [b])
    with Raw(front, settings=[(INITIAL_WINDOW, 100)]) as c:
        for _ in range(1500):  # the library would stop at 1000
            stream = c.open()
            c.until(lambda f: f.stream == stream and f.kind == DATA, "the beginning of an answer")
            c.reset(stream)
            c.frames.clear()
