"""dashboard_fixture.py - the dashboard's page as sluice serves it, before a state that stands still: so that two
pictures of it are the same, whenever and wherever they are made."""

import http.server
import json
import math
import threading

NOW = 1764000000000  # 2025-11-24 16:00 UTC
STATES = ["nocheck", "up", "unknown", "failing", "drain", "maint", "rising", "ejected", "unresolved", "down"]
WORDS = {"nocheck": "no check", "up": "UP", "unknown": "UP", "failing": "UP 2/3", "drain": "DRAIN", "maint": "MAINT", "rising": "DOWN 1/2",
         "ejected": "DOWN", "unresolved": "MAINT (resolution)", "down": "DOWN"}


def waves(seed, high, errors=0, ms=40, dead=0):
    """The last minutes of an object; dead: points at the end without anything."""
    points = []
    for i in range(150):
        w = 0.55 + 0.25 * math.sin(i / 11 + seed) + 0.12 * math.sin(i / 3.1 + 2 * seed) + 0.08 * math.sin(i * 1.7 + seed)
        if i >= 150 - dead:
            points += [0, 0, 0, 0]
            continue
        bump = errors if 70 < i < 90 or i > 146 else 0
        points += [int(high * w), int(bump * (0.6 + 0.4 * math.sin(i))), int(ms * 1000 * (0.2 + 0.1 * w)),
                   int(ms * 1000 * (0.9 + 0.5 * w + (0.8 if i % 37 == 5 else 0)))]
    return points


def strip(state, seed):
    now = 1 + STATES.index(state)
    old = 2 if state != "nocheck" else 1
    pieces = [old] * 60
    if state in ("down", "rising", "ejected", "drain", "maint"):
        pieces[-(4 + seed % 9):] = [now] * (4 + seed % 9)
    if seed % 3 == 1 and state != "nocheck":
        pieces[20 + seed % 20] = 4
    if seed % 5 == 2:
        pieces[12:15] = [10, 10, 7]
    pieces[-1] = max(pieces[-1], now)
    return pieces


class State:
    def __init__(self):
        self.objects, self.history, self.seed = [], {}, 0
        self.certificates, self.events = CERTIFICATES, EVENTS

    def add(self, key, points, strip=(), **more):
        self.objects.append({"k": key, **more, "now": points[-4:], "bytes": [points[-4] * 310, points[-4] * 4800]})
        self.history[key] = {"points": points, "strip": list(strip)}

    def listener(self, n, name, mode, tls, high, **more):
        self.add("L%d" % n, waves(n, high, errors=90, ms=60), name=name, mode=mode, tls=tls, open=high // 40, limit=0,
                 sessions=high * 900, refused=more.get("refused", 0))

    def pool(self, n, name, mode, balance, backends, high, errors=0, queue=0):
        """backends: (name, address, state, reason, more)"""
        up = sum(1 for b in backends if b[2] in ("up", "failing", "nocheck"))
        self.add("P%d" % n, waves(n, high, errors), name=name, mode=mode, balance=balance, usable=up > 0, up=up, of=len(backends),
                 open=high // 60, queue=queue)
        for i, (name, address, state, reason, more) in enumerate(backends):
            self.seed += 1
            dead = {"down": 60, "maint": 40, "unresolved": 150, "rising": 30}.get(state, 0)
            points = waves(self.seed, high // max(1, up), errors if state in ("failing", "ejected") else 0, dead=dead)
            row = {"pool": "P%d" % n, "name": name, "address": address, "state": state, "status": WORDS[state], "reason": reason,
                   "check": "L7OK" if state == "up" else "L4CON", "seen": "HTTP 200" if state == "up" else reason,
                   "since": NOW - (i * i * 977 + 41) * 1000, "backup": False, "weight": 10, "configured": 10, "effective": 1000,
                   "open": points[-4] // 25, "limit": 0, "sessions": high * 1300, "checks": 4312, "checks_failed": i * 3, "downs": i % 3}
            row.update(more)
            self.add("B%d.%d" % (n, i + 1), points, strip(state, self.seed), **row)

    def text(self, **process):
        everything = waves(0, 41870, errors=90, ms=60)
        self.add("A", everything)
        state = {"all": True, "step_ms": 2000, "points": 150, "strip_s": 60, "states": STATES, "now": NOW,
                 "process": {"pid": 4711, "version": "0.1.0", "node": "edge-1.example.net", "description": "", "engine": "io_uring",
                             "started": NOW - 1036800000, "limit": 65536, "not_ready": "", "life": "running", "ending": "", "left": 0,
                             "left_out": 0, **process},
                 "workers": [[34, 512, 90000, 0], [29, 498, 88000, 0], [41, 533, 91000, 0], [22, 470, 87000, 0]],
                 "strip_at": NOW // 60000, "objects": self.objects, "history": self.history, "certificates": self.certificates,
                 "events": self.events}
        return json.dumps(state)


CERTIFICATES = [
    {"days": days, "until": NOW // 1000 + days * 86400 + 4000, "listener": "secure", "file": "/etc/sluice/%s.pem" % names[0],
     "subject": "CN=" + names[0], "issuer": "CN=Example CA", "key": key, "refused": False, "stapled": stapled, "names": names}
    for days, names, key, stapled in ((71, ["www.example.com", "example.com"], "EC P-256", True), (5, ["old.example.com"], "RSA 2048", False),
                                      (18, ["*.api.example.com"], "EC P-256", False))]
EVENTS = [
    {"serial": n + 1, "time_us": (NOW - ago * 1000) * 1000, "severity": severity, "kind": kind, "object": object, "text": text}
    for n, (ago, severity, kind, object, text) in enumerate((
        (90011, "info", "life", "", "ready: 11 of 14 backends are up"),
        (7300, "info", "reload", "", "configuration reloaded: 1 backend added, 2 changed"),
        (3011, "warn", "certificate", "secure", "certificate old.example.com expires in 5 days"),
        (1811, "info", "change", "shop/web-5", "backend shop/web-5: put in maintenance by the dashboard: kernel update, back at 17:00"),
        (619, "warn", "health", "shop/web-4", "backend shop/web-4 is down: connect: Connection refused"),
        (102, "info", "ejection", "search/node-b", "backend search/node-b is ejected for 30 s: 5 failed requests in a row"),
        (44, "error", "limit", "", "accepting is paused: too many open files"),
        (12, "warn", "refused", "secure", "listener secure: 14 requests refused in 10 s: bad-host")))]


def usual():
    s = State()
    s.listener(1, "web", "http", False, 9200, refused=31)
    s.listener(2, "secure", "http", True, 31700, refused=1204)
    s.listener(3, "pg", "tcp", False, 160)
    s.pool(4, "shop", "http", "least_connections", [
        ("web-1", "10.0.4.11:3001", "up", "", {}),
        ("web-2", "10.0.4.12:3001", "up", "", {"limit": 400}),
        ("web-3", "10.0.4.13:3001", "failing", "HTTP 503, expected 200-399", {}),
        ("web-4", "10.0.4.14:3001", "down", "connect: Connection refused", {}),
        ("web-5", "10.0.4.15:3001", "maint", "kernel update, back at 17:00", {}),
        ("web-6", "10.0.4.16:3001", "drain", "old release", {"weight": 4}),
        ("standby", "unix:/run/shop/standby.sock", "up", "", {"backup": True})], 24000, errors=240)
    s.pool(5, "search", "http", "peak_ewma", [
        ("node-a", "[2001:db8:12::a]:9200", "up", "", {}),
        ("node-b", "[2001:db8:12::b]:9200", "ejected", "5 failed requests in a row", {}),
        ("node-c", "[2001:db8:12::c]:9200", "rising", "HTTP 200", {})], 7200, errors=80, queue=3)
    s.pool(6, "postgres", "tcp", "first", [
        ("primary", "10.0.9.5:5432", "up", "", {}),
        ("replica", "", "unresolved", "replica.db.internal: no such name", {})], 160)
    s.pool(7, "legacy", "http", "round_robin", [("only", "192.0.2.7:8080", "nocheck", "", {}),
                                                ("new", "192.0.2.8:8080", "unknown", "", {})], 310)
    return s


def many():
    """A pool of 200, names as long as they may be, and one that nothing is up of."""
    s = State()
    s.listener(1, "a-listener-whose-name-takes-all-the-room-that-there-is-for-it-64", "http", True, 9200)
    s.pool(2, "fleet", "http", "hash", [("instance-%03d" % i, "10.1.%d.%d:8080" % (i // 100, i % 100 + 1), "down" if i in (77, 150) else "up",
                                         "connect: Connection timed out" if i in (77, 150) else "", {}) for i in range(200)], 88000)
    long = "a_name_without_any_blank_that_is_as_long_as_names_may_be_123456"
    s.pool(3, "pool-" + long, "http", "random_two", [
        (long, "[2001:db8:1111:2222:3333:4444:5555:6666]:65535", "down",
         "an answer that explains at length what went wrong: HTTP 500, expected 200-399; body " + "x" * 60, {"limit": 100000, "open": 99999}),
        ("<b onclick=alert(1)>&amp;</b>", "127.0.0.1:1", "maint", "<script>document.title='bad'</script>", {})], 12)
    return s


def nothing():
    """A pool without backends, no events, no certificates."""
    s = State()
    s.certificates, s.events = [], []
    s.pool(1, "empty", "http", "round_robin", [], 0)
    return s


class Site:
    """page: (headers, body) as sluice answered; state: State; changes: forms that were posted."""

    def __init__(self, address, page, state, level="admin", **process):
        self.changes, self.answer = [], (200, "")
        hello = {"level": level, "may_change": level == "admin", "token": "secret" if level == "admin" else ""}
        first = "event: hello\ndata: %s\n\nevent: state\ndata: %s\n\n" % (json.dumps(hello), state.text(**process))
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def answer(self, status, kind, body, headers=()):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                if self.path == "/":
                    self.answer(200, "text/html; charset=utf-8", page[1], page[0])
                elif self.path == "/dashboard/stream" and site.lost:
                    self.close_connection = True    # without a word
                elif self.path == "/dashboard/stream":
                    over = site.over
                    self.send_response(200)
                    self.send_header("Content-Type", "text/event-stream")
                    self.end_headers()
                    self.wfile.write(first.encode())
                    self.wfile.flush()
                    over.wait()
                    self.close_connection = True
                else:
                    self.answer(404, "text/plain", b"")

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                site.changes.append((self.path, self.headers["X-Sluice-Token"], body))
                self.answer(site.answer[0], "text/plain", site.answer[1].encode())

        self.over, self.lost = threading.Event(), False
        self.server = http.server.ThreadingHTTPServer(address, Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://%s:%d/" % address

    def lose(self):
        """Streams end, and there are no new ones."""
        self.lost = True
        self.over.set()

    def find(self):
        self.over, self.lost = threading.Event(), False

    def close(self):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
