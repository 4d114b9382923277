"""applications.py - what each application server of the tests beside it is put through. Their applications
all do the same: / says who asks in lines NAME=VALUE (client, scheme, host), /upload counts, /big?n=N sends
N pieces of 64 KiB, /events?gate=PATH sends three server-sent events, the
next one when PATH.1, PATH.2 is there, /ws is a WebSocket that echoes; X-Instance is
the instance's name."""

import base64
import hashlib
import tempfile

import certs
from servers import *

MIB = 1 << 20
CLIENT = "127.77.0.9"  # an address that nobody else has


class Site:
    """Servers [Server...] behind an example that names them as ${APP1}, ${APP2}... and as backends a, b... of its
    pool app, unless told otherwise."""

    def __init__(self, t, name, servers, authority=None, status="UP", pool="app", backends=None, **env):
        self.servers, self.backends = servers, backends or [chr(97 + i) for i in range(len(servers))]
        front = t.address()
        leaf = (authority or certs.Authority(t.path("ca"))).leaf("www.example.com")
        self.tls, self.leaf = t.address(), leaf
        env.update({"APP%d" % (i + 1): where(s.address) for i, s in enumerate(servers)})
        self.sluice = t.sluice(example(name), env=dict(
            env, LISTEN=where(front), LISTEN_TLS=where(self.tls), CERT=leaf.cert, KEY=leaf.key,
            STATS=t.path("sluice.sock")))
        self.front, self.pool, self.dir = front, pool, t.dir
        for backend in self.backends:
            self.sluice.wait_status(self.pool, backend, status, seconds=60)

    def get(self, *args, **kw):
        return fetch(self.front, *args, **kw)


def all_instances_answer(site):
    names = {s.name for s in site.servers}
    wait_until(lambda: {site.get().header("x-instance") for _ in range(4)} == names, "all instances answer")


def client_and_scheme_are_seen(site, path="/"):
    """The client's address, and not what it claims; the scheme, over TLS too."""
    lies = ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: gopher", "Host: www.example.com"]
    v = values(site.get(path, headers=lies, source=CLIENT).body)
    check_eq((v["client"], v["scheme"], v["host"]), (CLIENT, "http", "www.example.com"))
    done = subprocess.run(["curl", "-sk", "--http1.1", "--interface", CLIENT, "-H", lies[0], "-H", lies[1],
                           "--connect-to", "::%s:%d" % site.tls, "https://www.example.com" + path],
                          capture_output=True, timeout=60)
    v = values(done.stdout)
    check_eq((v["client"], v["scheme"], v["host"]), (CLIENT, "https", "www.example.com"))


def connections_are_shared(site, pool="h2", path="/h2/"):
    """Those of HTTP/2: each of the two workers has one to a backend, and one more where a POST went."""
    for _ in range(40):
        check_eq(site.get(path).status, 200)
    for backend in site.backends:
        n = site.sluice.number(pool, backend, "connect")
        check(0 < n <= 4, "connections for some 20 requests", n)


def large_bodies_are_whole(site, upload="/upload", big="/big?n=800"):
    want = hashlib.md5(b"".join(bytes([97 + i % 26]) * 65536 for i in range(800))).hexdigest()
    check_eq(hashlib.md5(site.get(big, timeout=60).body).hexdigest(), want, "50 MB down")
    data = pattern(MIB) * 50
    v = values(site.get(upload, "POST", body=data, headers=["Content-Type: application/octet-stream"], timeout=60).body)
    check_eq((v["bytes"], v["md5"]), (str(len(data)), hashlib.md5(data).hexdigest()), "50 MB up")


def events_come_one_by_one(site):
    """None is held back until the next one comes: that comes when the client has it."""
    gate = os.path.join(tempfile.mkdtemp(dir=site.dir), "had")
    os.chmod(os.path.dirname(gate), 0o755)
    with Client(site.front) as c:
        c.send("/events?gate=" + gate)
        r = c.head()
        check_in("text/event-stream", r.header("content-type"))
        for i in (1, 2, 3):
            data = b""
            while b"event %d" % i not in data:
                data += c.reader.chunk()
            open("%s.%d" % (gate, i), "w").close()


class WebSocket:
    """A client, as plain as can be."""

    def __init__(self, front, path="/ws"):
        self.c = Client(front)
        key = base64.b64encode(os.urandom(16)).decode()
        self.c.send(path, headers=["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                                   "Sec-WebSocket-Key: " + key])
        r = self.c.head()
        check_eq(r.status, 101, "the upgrade")
        accept = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        check_eq(r.header("sec-websocket-accept"), base64.b64encode(accept).decode())

    def send(self, data, opcode=2):
        n = len(data)
        size = bytes([128 | n]) if n < 126 else b"\xfe" + struct.pack(">H", n) if n < 65536 else b"\xff" + struct.pack(">Q", n)
        self.c.s.sendall(bytes([128 | opcode]) + size + bytes(4) + data)  # a mask of zeros

    def take(self):
        """(opcode, data) of a message, its frames together."""
        kind, data = None, b""
        while True:
            first, n = self.c.reader.exactly(2)
            n = n & 127
            n = struct.unpack(">H", self.c.reader.exactly(2))[0] if n == 126 else n
            n = struct.unpack(">Q", self.c.reader.exactly(8))[0] if n == 127 else n
            kind = first & 15 if kind is None else kind
            data += self.c.reader.exactly(n)
            if first & 128:
                return kind, data

    def echo(self, data):
        self.send(data)
        while True:
            kind, got = self.take()
            if kind == 9:  # a ping
                self.send(got, 10)
                continue
            check_eq((kind, len(got), got == data), (2, len(data), True), "the echo")
            return

    def close(self):
        self.send(struct.pack(">H", 1000), 8)
        while self.take()[0] != 8:
            pass
        self.c.close()


def websockets_echo(site):
    w = WebSocket(site.front)
    for n in (0, 5, 126, 65536, 300_000):
        w.echo(pattern(n))
    w.close()


def goes_through_everything(site, events=True, websockets=True):
    all_instances_answer(site)
    client_and_scheme_are_seen(site)
    large_bodies_are_whole(site)
    if events:
        events_come_one_by_one(site)
    if websockets:
        websockets_echo(site)


def survives_a_kill(site, websockets=True, two_writes=False):
    """An instance is killed under load: no GET fails, and of the WebSockets only its own end."""
    kept = [WebSocket(site.front) for _ in range(4)] if websockets else []
    kill_and_restart(site.front, site.servers[:1], site.sluice, site.pool, site.backends[:1],
                     two_writes=two_writes)
    left = 0
    for w in kept:
        with contextlib.suppress(ConnectionError):
            w.echo(b"still here")
            left += 1
    if websockets:
        check(0 < left < len(kept), "those of the other instance are left", left)
        websockets_echo(site)
