"""http_raw.py - for tests of mode http that look at single bytes: backends that record what they get and
say what they are told to, and the rows of the access log. Beside http_tools.py."""

import json
import re

from http_tools import *

JSON_LOG = 'log = { format = "json"; };'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ADDED = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
         "x-request-id", "traceparent")  # what sluice adds to every request unless told otherwise


def records(reply=OK, close=False):
    """A handler: backend.got has a bytearray per connection. Each head is answered with reply, which may
    be a function of the bytes so far; close: and then the connection is closed."""
    def handler(conn, backend):
        data, answered = bytearray(), 0
        with backend.lock:
            if not hasattr(backend, "got"):
                backend.got = []
            backend.got.append(data)
        while True:
            part = conn.recv(1 << 16)
            if not part:
                return
            data += part
            while b"\r\n\r\n" in data[answered:]:
                answered = data.index(b"\r\n\r\n", answered) + 4
                conn.sendall(reply(bytes(data)) if callable(reply) else reply)
                if close:
                    return
                if b"transfer-encoding" in data.lower():
                    answered = 1 << 62  # the end of its body is no head
    return handler


def got(backend):
    """All that came, of all connections."""
    with backend.lock:
        return b"".join(bytes(data) for data in getattr(backend, "got", []))


def send_raw(address, data):
    """All that comes back until the end, however it ends."""
    with contextlib.closing(connect(address)) as c:
        with contextlib.suppress(ConnectionError):
            c.sendall(data)
        parts = []
        with contextlib.suppress(ConnectionError):
            while True:
                part = c.recv(1 << 16)
                if not part:
                    break
                parts.append(part)
        return b"".join(parts)


def status_of(response):
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", response)
    return int(found.group(1)) if found else None


def rows(s, count):
    """The first `count` rows of the access log (format json), once they are there."""
    wait_until(lambda: s.access.count("\n") >= count,
               lambda: "%d access lines:\n%s" % (count, short(s.access)))
    return [json.loads(line) for line in s.access.splitlines()[:count]]


def without_added(raw):
    """A recorded head without the fields that sluice adds."""
    lines = raw.split(b"\r\n")
    return b"\r\n".join(line for line in lines
                        if line.split(b":")[0].decode("latin-1").lower() not in ADDED)


def slots_are_free(s, pool="app"):
    """No request is under way at any backend, now and not when the client happens to have left."""
    wait_until(lambda: all(row["scur"] in ("", "0") and row["qcur"] in ("", "0")
                           for (px, _), row in s.stat().items() if px == pool),
               lambda: "free slots: %s" % {k: v["scur"] for k, v in s.stat().items()})
