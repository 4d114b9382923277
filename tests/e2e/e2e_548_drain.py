"""Drain, and `show drain`: what is left of which kind, and what becomes of each."""

import json

from e2e_382_http_upgrade import ASK, echoes
from h2_client import *
from h2_raw import *
from upgrade_tools import *


class Site:
    """One connection of each kind, in the middle of what it does."""

    def __init__(self, t, deadline="20s", **kw):
        self.t, self.gate = t, threading.Event()
        web = t.backend(self.answer, name="web")
        deep = t.backend(echo, name="deep")
        self.front, self.tunnel = t.address(), t.address()
        self.sluice = t.sluice("""drain = { deadline = "%s"; };
pools = ( { name = "app"; mode = "http"; backends = ( { name = "w"; address = "%s"; } ); },
          { name = "deep"; mode = "tcp"; backends = ( { name = "d"; address = "%s"; } ); } );
listeners = ( { name = "front"; mode = "http"; bind = "%s"; routes = ( { pool = "app"; } ); },
              { name = "tunnel"; mode = "tcp"; bind = "%s"; pool = "deep"; } );
""" % (deadline, where(web.address), where(deep.address), where(self.front), where(self.tunnel)), **kw)
        self.idle, self.active, self.upgraded = Client(self.front), Client(self.front), Client(self.front)
        check_eq(self.idle.request("/").status, 200)
        self.active.send("/slow")
        self.upgraded.send("/up", headers=ASK)
        check_eq(self.upgraded.head().status, 101)
        self.h2 = Raw(self.front)
        self.streams = [self.h2.open(path="/slow"), self.h2.open(path="/slow")]
        self.tcp = connect(self.tunnel)
        self.echoes(b"first\n")
        self.wait_left({"front http_idle": (1, 0), "front http": (1, 0), "front h2": (1, 2),
                        "front upgraded": (1, 0), "tunnel tcp": (1, 0)})

    def answer(self, conn, backend):
        reader = Reader(conn)
        while (raw := reader.until(b"\r\n\r\n")) is not None:
            if b"/slow" in raw:
                check(self.gate.wait(SECONDS), "slow requests may go on")
            if b"/up " in raw:
                conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
                echoes(conn, reader)
                return
            conn.sendall(answer(body=b"web"))

    def echoes(self, text):
        for c in (self.upgraded.s, self.tcp):
            c.sendall(text)
            check_eq(recv_exact(c, len(text)), text)

    def drain(self, path=None):
        code, out, err = self.t.run("ctl", "-s", path or self.sluice.stats_path, "show", "drain", "json")
        check_eq(code, 0, err)
        return json.loads(out)

    def left(self, path=None):
        return {"%s %s" % (r["listener"], r["kind"]): (r["connections"], r["streams"])
                for r in self.drain(path)["rows"]}

    def wait_left(self, expected, path=None):
        wait_until(lambda: self.left(path) == expected, lambda: "left %s, not %s" % (expected, self.left(path)))

    def finish_all(self, path=None):
        """Everything ends as it should, with the process."""
        r = self.idle.request("/")  # within a second, it may ask a last time
        check_eq((r.status, r.header("connection")), (200, "close"))
        expect_eof(self.idle.s)
        check_eq(self.h2.until(lambda f: f.kind == GOAWAY, "GOAWAY").code(), 0)
        self.wait_left({"front http": (1, 0), "front h2": (1, 2), "front upgraded": (1, 0), "tunnel tcp": (1, 0)},
                       path)
        self.gate.set()
        r = self.active.response()
        check_eq((r.status, r.header("connection")), (200, "close"))
        expect_eof(self.active.s)
        for stream in self.streams:
            check_eq(self.h2.ends(stream)[0], 200)
        self.wait_left({"front upgraded": (1, 0), "tunnel tcp": (1, 0)}, path)
        self.echoes(b"still here\n")
        self.upgraded.s.close()
        self.wait_left({"tunnel tcp": (1, 0)}, path)
        self.tcp.close()


def test_each_kind_ends_in_its_way(t):
    site = Site(t)
    s = site.sluice
    check_eq(site.drain()["state"], "running")
    s.process.send_signal(signal.SIGTERM)
    wait_until(lambda: site.drain()["state"] == "draining", "it drains")
    d = site.drain()
    check_eq((d["why"], d["sessions"]), ("signal TERM", 5))
    check(d["since_ms"] + d["cut_in_ms"] == 20000, "since and until", d)
    text = s.ctl("show drain")
    check_match(r"\Astate: draining: signal TERM\nsince: [0-9.]+ s, with 5 connections\ncut in: [12][0-9.]+ s\nleft: \d\n"
                r"# listener kind connections streams oldest_ms\n(front|tunnel) ", text)
    site.finish_all()
    s.wait_end()
    check("are cut" not in s.log, "nothing was cut", s.log)


def test_each_kind_ends_in_its_way_when_another_process_serves(t):
    site = Site(t)
    old = site.sluice
    n = upgraded(t, old)
    path = "%s.%d" % (old.stats_path, old.pid)
    check_eq(site.drain(path)["why"], "handed over to process %d" % n.pid)
    check_eq(site.drain()["state"], "running")
    site.finish_all(path)
    old.wait_end()
    check_eq(fetch(site.front).body, b"web")


def test_the_deadline_cuts_what_is_left(t):
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(t.path("notify"))
    notify.settimeout(SECONDS)
    site = Site(t, deadline="3s", env={"NOTIFY_SOCKET": t.path("notify")})
    begun = time.monotonic()
    site.sluice.process.send_signal(signal.SIGTERM)
    expect_closed(site.active.s)
    expect_closed(site.upgraded.s)
    expect_closed(site.tcp)
    check(2.5 < time.monotonic() - begun, "not before the deadline")
    site.sluice.wait_end()
    check_match("the deadline is reached: 4 sessions are cut", site.sluice.log)
    site.gate.set()
    notify.settimeout(0.1)
    said = []
    with contextlib.suppress(OSError):
        while True:
            said.append(notify.recv(4096).decode())
    check_in("STOPPING=1", said)
    check_in("STATUS=draining: 5 of 5 connections left, cut in 3 s", said)
    check(any(re.match("STATUS=draining: 4 of 5 connections left, cut in [12] s", m) for m in said), "progress", said)
