"""h2_raw.py - HTTP/2 frame by frame, for tests whose peer does what no library would do. Header blocks are
written without compression and never read: who sends which is known by the number of its stream."""

import struct

from http_tools import *

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, CANCEL = 0, 1, 7, 8
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def fields(*pairs):
    """A header block of (name, value), literals that are not indexed."""
    out = b""
    for name, value in pairs:
        name, value = (x.encode("latin-1") if isinstance(x, str) else x for x in (name, value))
        check(len(name) < 127 and len(value) < 127, "short names and values")
        out += b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value
    return out


def headers(stream, *pairs, end=False):
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, fields(*pairs))


def data(stream, payload=b"", end=True):
    return frame(DATA, END_STREAM if end else 0, stream, payload)


def settings(**values):
    ids = {"streams": MAX_CONCURRENT_STREAMS, "window": INITIAL_WINDOW_SIZE}
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", ids[k], v) for k, v in values.items()))


def goaway(last, error=NO_ERROR):
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, error))


def reset_stream(stream, error):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", error))


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload
        self.ends = kind in (DATA, HEADERS) and bool(flags & END_STREAM)

    def __repr__(self):
        return "frame %d of stream %d, flags %#x, %d bytes" % (
            self.kind, self.stream, self.flags, len(self.payload))


class H2Conn:
    """A connection that a client has opened: frames come out of next()."""

    def __init__(self, conn, **first_settings):
        self.conn, self.reader, self.lock = conn, Reader(conn), threading.Lock()
        check_eq(self.reader.exactly(len(PREFACE)), PREFACE, "preface")
        self.send(settings(**first_settings))

    def send(self, *frames):
        with self.lock:
            self.conn.sendall(b"".join(frames))

    def next(self):
        """The next frame; None: the end. Settings are acknowledged, pings answered."""
        try:
            head = self.reader.exactly(9)
            f = Frame(head[3], head[4], struct.unpack(">I", head[5:])[0] & 0x7fffffff,
                      self.reader.exactly(struct.unpack(">I", b"\0" + head[:3])[0]))
        except ConnectionError:
            return None
        if f.kind == SETTINGS and not f.flags & ACK:
            self.send(frame(SETTINGS, ACK))
        if f.kind == PING and not f.flags & ACK:
            self.send(frame(PING, ACK, 0, f.payload))
        return f

    def answer(self, stream, body=b"ok", *pairs):
        self.send(headers(stream, (":status", "200"), *pairs), data(stream, body))

    def until(self, what):
        """The next frame of which what(frame) is true."""
        while True:
            f = self.next()
            if f is None:
                raise ConnectionError("end of the connection")
            if what(f):
                return f

    def wait_end(self):
        while self.next():
            pass


def h2_server(on_request, **first_settings):
    """A handler: on_request(h2, stream, backend) for every request that is complete. backend.streams: all of
    them, as (connection, stream); backend.frames: everything that came."""
    def handler(conn, backend):
        h2 = H2Conn(conn, **first_settings)
        with backend.lock:
            h2.n = backend.accepted
            for name in ("streams", "frames"):
                if not hasattr(backend, name):
                    setattr(backend, name, [])
        while True:
            f = h2.next()
            if f is None:
                return
            backend.frames.append(f)
            if f.ends:
                backend.streams.append((h2, f.stream))
                on_request(h2, f.stream, backend)
    return handler
