"""h2_client.py - HTTP/2 frame by frame, for tests: a client whose heads are literals (nothing is compressed),
and that understands of what comes as much as tests need."""

import struct

from http_raw import *

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
NO_ERROR, PROTOCOL_ERROR, CANCEL, REFUSED_STREAM, ENHANCE_YOUR_CALM = 0, 1, 8, 7, 11
MAX_STREAMS, INITIAL_WINDOW, MAX_HEADER_LIST, CONNECT_PROTOCOL = 3, 4, 6, 8


def number(n, bits=7, first=0):
    """An integer of HPACK."""
    most = (1 << bits) - 1
    if n < most:
        return bytes([first | n])
    out, n = bytes([first | most]), n - most
    while n >= 128:
        out, n = out + bytes([n % 128 + 128]), n // 128
    return out + bytes([n])


def block(fields):
    """Literals without indexing."""
    out = b""
    for name, value in fields:
        name, value = (x if isinstance(x, bytes) else x.encode("latin-1") for x in (name, value))
        out += b"\0" + number(len(name)) + name + number(len(value)) + value
    return out


def request(path="/", method="GET", authority="www.example.com", scheme="http", more=()):
    return [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path), *more]


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def status_of_block(b):
    """None: it has none, a trailer section."""
    while b[0] & 0xe0 == 0x20:  # a change of the table's size
        b = b[1:]
    if not b[0] & 0x80 and b[0] & 0x0f != 8:
        return None
    known = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
    if b[0] & 0x80:
        return known[b[0] & 0x7f]
    length, text = b[1] & 0x7f, b[2:2 + (b[1] & 0x7f)]
    if not b[1] & 0x80:
        return int(text)
    bits, out = "".join(format(c, "08b") for c in text), ""
    codes = {"00000": "0", "00001": "1", "00010": "2",
             **{format(0x19 + i, "06b"): str(3 + i) for i in range(7)}}  # RFC 7541, appendix B
    at = 0
    while len(out) < 3 and at < 8 * length:
        n = 5 if bits[at:at + 5] in codes else 6
        out, at = out + codes[bits[at:at + n]], at + n
    return int(out)


class Frame:
    def __init__(self, head, payload):
        self.kind, self.flags = head[3], head[4]
        self.stream, self.payload = struct.unpack(">I", head[5:9])[0], payload

    def __repr__(self):
        return "kind %d flags %d stream %d: %r" % (self.kind, self.flags, self.stream, self.payload[:40])

    def code(self):
        """Of RST_STREAM and GOAWAY."""
        return struct.unpack(">I", self.payload[-4:] if self.kind == RST_STREAM else self.payload[4:8])[0]

    def last_stream(self):
        return struct.unpack(">I", self.payload[:4])[0]


class Raw:
    """A connection that has said the preface and settings."""

    def __init__(self, address, settings=(), s=None, window=1 << 30, **kw):
        self.s = s or connect(address, **kw)
        self.reader, self.next, self.frames = Reader(self.s), 1, []
        settings = [(1, 0), *settings]  # no table: heads can be read one by one
        payload = b"".join(struct.pack(">HI", k, v) for k, v in settings)
        self.s.sendall(PREFACE + frame(SETTINGS, 0, 0, payload))
        if window:
            self.window(0, window)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.s.close()

    def send(self, kind, flags=0, stream=0, payload=b""):
        self.s.sendall(frame(kind, flags, stream, payload))

    def window(self, stream, n):
        self.send(WINDOW_UPDATE, 0, stream, struct.pack(">I", n))

    def reset(self, stream, code=CANCEL):
        self.send(RST_STREAM, 0, stream, struct.pack(">I", code))

    def open(self, fields=None, end=True, **kw):
        """Sends a request's head; its stream."""
        stream, self.next = self.next, self.next + 2
        self.send(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(fields or request(**kw)))
        return stream

    def data(self, stream, payload, end=False):
        self.send(DATA, END_STREAM if end else 0, stream, payload)

    def frame(self):
        """The next that comes; settings and pings are answered. None: the end."""
        try:
            head = self.reader.exactly(9)
            f = Frame(head, self.reader.exactly(struct.unpack(">I", b"\0" + head[:3])[0]))
        except (ConnectionError, EOFError, Failure):
            return None
        if f.kind in (SETTINGS, PING) and not f.flags & ACK:
            with contextlib.suppress(ConnectionError):
                self.send(f.kind, ACK, 0, f.payload if f.kind == PING else b"")
        self.frames.append(f)
        return f

    def until(self, wanted, what="frame"):
        """The first that fits, of those that have come and that will."""
        for f in self.frames:
            if wanted(f):
                return f
        while True:
            f = self.frame()
            check(f is not None, "%s before the end of the connection" % what, self.frames[-5:])
            if wanted(f):
                return f

    def ends(self, stream):
        """How a stream ends: (status, payload, code of the reset or None)."""
        last = self.until(lambda f: f.stream == stream and
                          (f.kind == RST_STREAM or (f.kind in (DATA, HEADERS) and f.flags & END_STREAM)),
                          "end of stream %d" % stream)
        heads = [f for f in self.frames if f.stream == stream and f.kind == HEADERS]
        body = b"".join(f.payload for f in self.frames if f.stream == stream and f.kind == DATA)
        status = [n for n in (status_of_block(h.payload) for h in heads) if n]
        return (status[-1] if status else None, body, last.code() if last.kind == RST_STREAM else None)

    def ask(self, *a, **kw):
        return self.ends(self.open(*a, **kw))

    def to_the_end(self):
        """All frames until the connection ends."""
        while self.frame() is not None:
            pass
        return self.frames

    def goaway(self):
        return self.until(lambda f: f.kind == GOAWAY, "GOAWAY")
