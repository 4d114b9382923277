"""http_tools.py - what the end-to-end tests of mode http are written with, beside harness.py: a client
that keeps its connection, servers in threads, Node programs, a configuration of one pool.

The client parses by itself and strictly: http.client would hide what a proxy does to a message."""

import contextlib
import os
import re
import shutil
import subprocess
import threading

from harness import *

NO_CHECKS = 'health = { type = "none"; };'
NODE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "node")
NODE_MODULES = os.path.join(ROOT, "build", "node", "node_modules")  # scripts/setup.sh test fills it


# ---- messages ------------------------------------------------------------------------------------

class Head:
    """A start line and fields; header(name) is the only value of that name, or None."""

    def __init__(self, raw):
        lines = raw.decode("latin-1").split("\r\n")
        self.raw, self.line = raw, lines[0]
        self.fields = [tuple(line.split(":", 1)) for line in lines[1:]]
        self.fields = [(n.lower(), v.strip()) for n, v in self.fields]

    def all(self, name):
        return [v for n, v in self.fields if n == name.lower()]

    def header(self, name):
        values = self.all(name)
        check(len(values) <= 1, "one field of the name " + name, values)
        return values[0] if values else None


class Request(Head):
    """As a server sees it; .body is complete."""

    def __init__(self, raw):
        super().__init__(raw)
        self.method, self.target, self.version = self.line.split(" ")
        self.path = self.target.split("?")[0]


class Response(Head):
    def __init__(self, raw):
        super().__init__(raw)
        self.status = int(self.line.split(" ")[1])
        self.body = b""


class Reader:
    """Bytes of a socket, taken piece by piece."""

    def __init__(self, s):
        self.s, self.data = s, b""

    def more(self):
        part = self.s.recv(1 << 17)
        self.data += part
        return bool(part)

    def until(self, mark):
        """Up to and without the mark; None: the end came first, with nothing before it."""
        while mark not in self.data:
            if not self.more():
                if not self.data:
                    return None
                raise ConnectionError("end of stream within a message: %r" % self.data[:200])
        part, self.data = self.data.split(mark, 1)
        return part

    def exactly(self, n):
        while len(self.data) < n:
            if not self.more():
                raise ConnectionError("end of stream, %d bytes of %d are there" % (
                    len(self.data), n))
        part, self.data = self.data[:n], self.data[n:]
        return part

    def chunk(self):
        size = int(self.until(b"\r\n"), 16)
        if size == 0:
            while self.until(b"\r\n"):
                pass
            return b""
        part = self.exactly(size)
        check_eq(self.exactly(2), b"\r\n", "end of a chunk")
        return part

    def body(self, head):
        if head.header("transfer-encoding"):
            return b"".join(iter(self.chunk, b""))
        return self.exactly(int(head.header("content-length") or 0))


# ---- the client ----------------------------------------------------------------------------------

class Client:
    """A connection that carries one request after the other."""

    def __init__(self, address, **kw):
        self.s = connect(address, **kw)
        self.reader = Reader(self.s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.s.close()

    def send(self, target="/", method="GET", headers=(), body=None):
        fields = list(headers)
        if not any(f.lower().startswith("host:") for f in fields):
            fields.insert(0, "Host: www.example.com")
        if body is not None:
            fields.append("Content-Length: %d" % len(body))
        text = "\r\n".join(["%s %s HTTP/1.1" % (method, target), *fields]) + "\r\n\r\n"
        self.s.sendall(text.encode("latin-1") + (body or b""))

    def head(self):
        """The next response's head. ConnectionError: there is none."""
        raw = self.reader.until(b"\r\n\r\n")
        if raw is None:
            raise ConnectionError("end of stream instead of a response")
        return Response(raw)

    def response(self, method="GET"):
        r = self.head()
        if method == "HEAD" or r.status < 200 or r.status in (204, 304):
            return r
        if r.header("transfer-encoding") or r.header("content-length") is not None:
            r.body = self.reader.body(r)
        else:
            while self.reader.more():
                pass
            r.body, self.reader.data = self.reader.data, b""
        return r

    def request(self, target="/", method="GET", headers=(), body=None):
        self.send(target, method, headers, body)
        return self.response(method)


def fetch(address, target="/", method="GET", headers=(), body=None, **kw):
    """One request on a connection of its own."""
    with Client(address, **kw) as c:
        return c.request(target, method, headers, body)


# ---- servers -------------------------------------------------------------------------------------

def answer(status=200, body=b"", headers=()):
    fields = ["HTTP/1.1 %d Whatever" % status, *headers]
    if status >= 200 and status not in (204, 304):
        fields.append("Content-Length: %d" % len(body))
    return ("\r\n".join(fields) + "\r\n\r\n").encode("latin-1") + body


def app(respond):
    """A handler that keeps connections alive. respond(request, backend) gives the bytes to send, None
    to close, or a function that is called with the connection and closes when it returns.
    backend.seen: all requests; request.n is its number on its connection, from 0."""
    def handler(conn, backend):
        reader, n = Reader(conn), 0
        while True:
            raw = reader.until(b"\r\n\r\n")
            if raw is None:
                return
            r = Request(raw)
            if r.header("expect"):
                conn.sendall(answer(100))
            r.body, r.n, r.conn = reader.body(r), n, conn
            n += 1
            backend.seen.append(r)
            out = respond(r, backend)
            if callable(out):
                out(conn)
                return
            if out is None:
                return
            conn.sendall(out)
    return handler


def seen(backend):
    return backend.seen


def by_name(r, backend):
    """The backend's name as body."""
    return answer(body=backend.name.encode())


# ---- sluice --------------------------------------------------------------------------------------

def http_conf(t, backends, listen, pool=NO_CHECKS, listener="", route="", top="workers = 1;"):
    """One listener `front` before one pool `app`; route: settings of the only route."""
    conf = top + '\npools = ( { name = "app"; mode = "http"; %s\n  backends = (%s); } );\n' % (
        pool, t.backend_list(backends))
    return conf + ('listeners = ( { name = "front"; mode = "http"; bind = "%s"; %s\n'
                   '  routes = ( { pool = "app"; %s } ); } );\n' % (where(listen), listener, route))


def start(t, backends, **kw):
    """(sluice, address)"""
    listen = t.address()
    of_sluice = {k: kw.pop(k) for k in ("ready", "wait", "env", "args") if k in kw}
    return t.sluice(http_conf(t, backends, listen, **kw), **of_sluice), listen


def no_places_taken(s):
    """Slots and counters of requests under way are back to zero."""
    def busy():
        return [(k, c, row[c]) for k, row in s.stat().items() for c in ("qcur",)
                if row[c] not in ("", "0")] + [
            (k, "scur", row["scur"]) for k, row in s.stat().items()
            if k[1] != "FRONTEND" and row["scur"] not in ("", "0")]
    wait_until(lambda: not busy(), lambda: "places given back: %s" % busy())


# ---- Node ----------------------------------------------------------------------------------------

class Node:
    """tests/e2e/node/SCRIPT ADDRESS PORT [ARGUMENTS]: a real process."""

    def __init__(self, t, script, *args, name="node", address=None):
        check(shutil.which("node"), "node is not installed: scripts/setup.sh test does it")
        self.t, self.name, self.address = t, name, address or t.address()
        self.command = ["node", os.path.join(NODE, script), self.address[0], str(self.address[1]),
                        *map(str, args)]
        self.log_path = t.path("%s-%d.log" % (name, len(t.processes)))
        self.start()

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(os.environ, NODE_PATH=NODE_MODULES))
        self.t.processes.append(self.process)

        def listens():
            check(self.process.poll() is None, "node ended: " + self.log)
            return self.answers()
        wait_until(listens, lambda: "node listens: " + self.log)
        return self

    def answers(self):
        try:
            connect(self.address).close()
            return True
        except OSError:
            return False

    @property
    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def kill(self):
        self.process.kill()
        self.process.wait()


def want_packages(*names):
    """npm's packages that a test needs. Their absence is a failure: the promise would be untested."""
    for name in names:
        check(os.path.isdir(os.path.join(NODE_MODULES, name)),
              "the npm package %s is not in %s: run scripts/setup.sh test (it needs npm's registry)" %
              (name, os.path.relpath(NODE_MODULES, ROOT)))
