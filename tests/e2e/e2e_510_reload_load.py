"""Reloads under load, each with a change, with tunnels and upgraded connections open: no request fails, no
connection is lost, nothing grows.

RELOADS and RELOAD_TUNNELS (of each kind) make it larger; the promise is 100 and 1,000."""

from reload_tools import *
import e2e_130_names as names
from e2e_382_http_upgrade import ASK, echoes

RELOADS = int(os.environ.get("RELOADS", "15"))
TUNNELS = int(os.environ.get("RELOAD_TUNNELS", "60"))


def app_or_echo(conn, b):
    """Upgrades what asks for it; answers the rest."""
    reader = Reader(conn)
    while True:
        raw = reader.until(b"\r\n\r\n")
        if raw is None:
            return
        r = Request(raw)
        body = reader.body(r)
        if r.header("upgrade"):
            conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            echoes(conn, reader)
            return
        conn.sendall(answer(body=b"%s %d" % (b.name.encode(), len(body))))


class Load:
    """Clients that keep their connections, and some that make one for each request."""

    def __init__(self, front, n):
        self.front, self.stop, self.failed, self.done = front, threading.Event(), [], 0
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(n)]
        for thread in self.threads:
            thread.start()

    def run(self, i):
        try:
            while not self.stop.is_set():
                with Client(self.front) as c:
                    for k in range(50 if i % 4 else 1):
                        method, body = (("POST", b"x" * 1000), ("GET", None))[k % 2]
                        r = c.request("/%d" % k, method=method, body=body)
                        check_eq(r.status, 200)
                        self.done += 1
                        if r.header("connection") == "close" or self.stop.is_set():
                            break
        except Exception as e:
            self.failed.append(repr(e))

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(SECONDS)
        check(not self.failed, "requests that failed", self.failed[:5])
        check(self.done > 0, "requests were sent")


def configuration(t, n, backends, tcp_backend, front, tunnel):
    """The n-th: weights, a route, a backend and a pool that come and go, limits that change."""
    used = backends if n % 3 else backends[:2]
    rows = ",".join('{ name = "%s"; address = "%s"; weight = %d; }' % (
        b.name, where(b.address), 1 + (n + i) % 5) for i, b in enumerate(used))
    extra = '{ path = "/none%d"; answer = { status = 404; }; },' % n if n % 2 else ""
    other = ', { name = "other%d"; mode = "tcp"; backends = ( { name = "o"; address = "%s"; } ); }' % (
        n % 4, where(tcp_backend.address)) if n % 5 else ""
    return """workers = 2;
io = "%s";
stats = { socket = "%s"; level = "admin"; };
log = { access = "off"; };
pools = ( { name = "app"; mode = "http"; health = { interval = "500ms"; }; backends = ( %s ); },
  { name = "deep"; mode = "tcp"; retries = { attempts = %d; };
    backends = ( { name = "e"; address = "%s"; } ); } %s );
listeners = (
  { name = "front"; mode = "http"; bind = "%s"; routes = ( %s { name = "all"; pool = "app"; } ); },
  { name = "tunnel"; mode = "tcp"; bind = "%s"; pool = "deep"; } );
""" % (t.engine, t.path("sluice.sock"), rows, n % 3, where(tcp_backend.address), other, where(front), extra,
       where(tunnel))


def all_echo(conns, text):
    for c in conns:
        c.sendall(text)
    for c in conns:
        check_eq(recv_exact(c, len(text)), text, "an open connection")


def test_reloads_under_load_lose_nothing(t):
    backends = [t.backend(app_or_echo, name="b%d" % i, backlog=4096) for i in range(3)]
    deep = t.backend(echo, name="e", backlog=4096)
    front, tunnel = t.address(), t.address()
    s = t.sluice(configuration(t, 0, backends, deep, front, tunnel))
    open_conns = []
    for _ in range(TUNNELS):
        c = Client(front)
        c.send("/up", headers=ASK)
        check_eq(c.head().status, 101)
        open_conns += [c.s, connect(tunnel)]
    all_echo(open_conns, b"first\n")
    load = Load(front, 4)
    sizes, fds = [], []
    for n in range(1, RELOADS + 1):
        text = configuration(t, n, backends, deep, front, tunnel)
        reloaded(s, lambda _, text=text: text)
        if n % 5 == 0:
            all_echo(open_conns, b"after %d\n" % n)
        sizes.append(status_kb(s.pid, "VmRSS"))
        fds.append(sum(fds_of(s.pid).values()))
        check(not load.failed, "requests that failed", load.failed[:5])
    all_echo(open_conns, b"last\n")
    load.end()
    for c in open_conns:
        c.close()
    early = min(9, len(sizes) // 2)
    if not t.sanitized:  # their quarantine grows for long
        check(sizes[-1] <= sizes[early] * 1.2 + 2048, "memory does not grow", sizes)
    check(min(fds[early:]) <= max(fds[:early + 1]) + 30, "descriptors do not grow", fds)
    wait_until(lambda: not s.in_flight(), "all ended")
    s.baseline = s.settled_fds()


def one_after_the_other(t, first, second):
    """Reloads between two lists of backends, each of which has one that takes requests."""
    s, front = start(t, first)
    load = Load(front, 4)
    for n in range(2 * RELOADS):
        reloaded(s, change_backends(t, first if n % 2 else second))
        check(not load.failed, "requests that failed", load.failed[:5])
    load.end()


def test_another_backend_in_place_of_the_only_one(t):
    a, b = (t.backend(app_or_echo, name=name, backlog=4096) for name in ("a", "b"))
    one_after_the_other(t, [a], [b])


def test_blue_and_green_by_weight(t):
    a, b = (t.backend(app_or_echo, name=name, backlog=4096) for name in ("a", "b"))
    one_after_the_other(t, [a, (b, "weight = 0;")], [(a, "weight = 0;"), b])


def test_blue_and_green_by_state(t):
    a, b = (t.backend(app_or_echo, name=name, backlog=4096) for name in ("a", "b"))
    one_after_the_other(t, [a, (b, 'state = "maint";')], [(a, 'state = "drain";'), b])


def named_backend(dns, front, name, address):
    return """resolver = { servers = [ "%s" ]; refresh = "1s"; timeout = "500ms"; };
pools = ( { name = "app"; mode = "http"; backends = ( { name = "%s"; address = "%s"; } ); } );
listeners = ( { name = "front"; mode = "http"; bind = "%s"; routes = ( { pool = "app"; } ); } );
""" % (dns.address, name, address, where(front))


def another_row(name, address):
    row = 'backends = ( { name = "%s"; address = "%s"; }' % (name, address)
    return lambda text: re.sub(r"backends = \( \{[^}]*\}", row, text, 1)


def test_names_that_a_reload_brings(t):
    """In place of a name, of an address, in another backend or in the same."""
    a, b = (t.backend(app_or_echo, name=name, backlog=4096) for name in ("a", "b"))
    dns = names.Dns(t.ip, t.port())
    dns.answers["a.example"] = dns.answers["b.example"] = [t.ip]
    front = t.address()
    rows = (("a", where(a.address)), ("a", "a.example:%d" % a.address[1]), ("b", "b.example:%d" % b.address[1]),
            ("b", "a.example:%d" % a.address[1]), ("c", "b.example:%d" % b.address[1]))
    s = t.sluice(named_backend(dns, front, *rows[0]))
    load = Load(front, 4)
    for n in range(1, 2 * RELOADS):
        reloaded(s, another_row(*rows[n % len(rows)]))
        check(not load.failed, "requests that failed", n, load.failed[:5])
    load.end()


def test_a_reload_waits_for_a_name_server_but_not_for_long(t):
    b = t.backend(app_or_echo, name="b")
    dns = names.Dns(t.ip, t.port())
    front = t.address()
    s = t.sluice(named_backend(dns, front, "b", where(b.address)))
    check_eq(fetch(front).status, 200)
    dns.answers["b.example"], dns.silent = [t.ip], True
    reloaded(s, another_row("other", "b.example:%d" % b.address[1]))
    s.wait_log("backend app/other gets no traffic: .*b.example|not all names of backends were answered")
    dns.silent = False
    wait_until(lambda: fetch(front).status == 200, "its name is known")


def test_hundreds_of_reloads_keep_no_memory(t):
    """Without load, so that what grows is the reload's. (The sanitizers look for leaks themselves.)"""
    a, b = t.backend(named), t.backend(named)
    s, front = t.simple([a])
    sizes = []
    for n in range(1, 41 if t.sanitized else 161):
        reloaded(s, change_backends(t, [(a, "weight = %d;" % (1 + n % 9))] + ([b] if n % 2 else [])))
        sizes.append(status_kb(s.pid, "VmRSS"))
    check(t.sanitized or sizes[-1] <= sizes[40] + 1024, "kB of memory after the 40th and the last",
          sizes[::20])
    check_in(who(front), ("b1", "b2"))
