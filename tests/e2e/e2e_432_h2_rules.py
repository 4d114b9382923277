"""HTTP/2's rules of frames and states (RFC 9113 sections 4 to 6, RFC 7541), each broken once: the connection or
the stream ends with the code that the rule names, and another connection is served."""

import subprocess

from h2_client import *

FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, COMPRESSION_ERROR = 3, 5, 6, 9


def head(stream, more=b"", flags=END_HEADERS | END_STREAM, before=b""):
    return frame(HEADERS, flags, stream, before + block(request()) + more)


def u32(n):
    return struct.pack(">I", n)


def setting(k, v):
    return frame(SETTINGS, 0, 0, struct.pack(">HI", k, v))


OPEN = head(1, flags=END_HEADERS)  # a request whose payload is to come

CONNECTION = (  # what is sent, the codes that GOAWAY may have
    # 4.1, 4.2, 4.3
    ("a frame that is longer than was allowed", OPEN + frame(DATA, 0, 1, b"x" * 16385), {FRAME_SIZE_ERROR}),
    ("an index of no entry", frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\x7f"), {COMPRESSION_ERROR}),
    ("a head that ends within a field", frame(HEADERS, END_HEADERS | END_STREAM, 1, block(request())[:-3]), {COMPRESSION_ERROR}),
    ("a table that is larger than was allowed", head(1, before=b"\x3f\xe2\x7f"), {COMPRESSION_ERROR}),
    ("a change of the table behind fields", head(1, more=b"\x20"), {COMPRESSION_ERROR}),
    ("a Huffman code that is padded with zeros", head(1, more=b"\0\x01x\x81\x00"), {COMPRESSION_ERROR}),
    ("a Huffman code with its end in it", head(1, more=b"\0\x01x\x84\xff\xff\xff\xff"), {COMPRESSION_ERROR}),
    # 5.1
    ("payload on a stream that was never opened", frame(DATA, END_STREAM, 1, b"x"), {PROTOCOL_ERROR, STREAM_CLOSED}),
    ("a reset of such a one", frame(RST_STREAM, 0, 1, u32(CANCEL)), {PROTOCOL_ERROR}),
    ("a window of such a one", frame(WINDOW_UPDATE, 0, 1, u32(100)), {PROTOCOL_ERROR}),
    ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, block(request())), {PROTOCOL_ERROR}),
    ("an even stream", head(2), {PROTOCOL_ERROR}),
    ("a stream below the last one", head(5) + head(3), {PROTOCOL_ERROR, STREAM_CLOSED}),
    # 6.1, 6.2
    ("payload on the connection", frame(DATA, END_STREAM, 0, b"x"), {PROTOCOL_ERROR}),
    ("padding that is longer than the frame", OPEN + frame(DATA, PADDED | END_STREAM, 1, b"\xffab"), {PROTOCOL_ERROR}),
    ("a head on the connection", head(0), {PROTOCOL_ERROR}),
    ("a head with too much padding", head(1, flags=END_HEADERS | END_STREAM | PADDED, before=b"\xff"), {PROTOCOL_ERROR}),
    ("another frame within a head", head(1, flags=END_STREAM) + frame(PING, 0, 0, b"x" * 8), {PROTOCOL_ERROR}),
    ("another stream's continuation", head(1, flags=END_STREAM) + frame(CONTINUATION, END_HEADERS, 3), {PROTOCOL_ERROR}),
    ("another head within a head", head(1, flags=END_STREAM) + head(3), {PROTOCOL_ERROR}),
    # 6.3, 6.4
    ("a priority of the connection", frame(PRIORITY, 0, 0, b"\0\0\0\1\7"), {PROTOCOL_ERROR}),
    ("a reset of the connection", frame(RST_STREAM, 0, 0, u32(CANCEL)), {PROTOCOL_ERROR}),
    ("a priority that is too short", frame(PRIORITY, 0, 1, b"\0\0\0\1"), {PROTOCOL_ERROR, FRAME_SIZE_ERROR}),
    ("a reset that is too short", OPEN + frame(RST_STREAM, 0, 1, b"\0\0\0"), {FRAME_SIZE_ERROR}),
    # 6.5
    ("settings that are acknowledged with some", frame(SETTINGS, ACK, 0, b"\0\3\0\0\0\1"), {FRAME_SIZE_ERROR}),
    ("settings of a stream", frame(SETTINGS, 0, 1), {PROTOCOL_ERROR}),
    ("half a setting", frame(SETTINGS, 0, 0, b"\0\3\0"), {FRAME_SIZE_ERROR}),
    ("push that is neither on nor off", setting(2, 2), {PROTOCOL_ERROR}),
    ("a window of 2^31", setting(4, 1 << 31), {FLOW_CONTROL_ERROR}),
    ("frames below the least", setting(5, 16383), {PROTOCOL_ERROR}),
    ("frames above the most", setting(5, 1 << 24), {PROTOCOL_ERROR}),
    # 6.6 to 6.9
    ("a promise of a client", OPEN + frame(PUSH_PROMISE, END_HEADERS, 1, u32(2) + block(request())), {PROTOCOL_ERROR}),
    ("a ping of a stream", frame(PING, 0, 1, b"x" * 8), {PROTOCOL_ERROR}),
    ("a short ping", frame(PING, 0, 0, b"x" * 6), {FRAME_SIZE_ERROR}),
    ("a farewell of a stream", frame(GOAWAY, 0, 1, u32(0) + u32(0)), {PROTOCOL_ERROR}),
    ("an increment of 0", frame(WINDOW_UPDATE, 0, 0, u32(0)), {PROTOCOL_ERROR}),
    ("a short increment", frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"), {FRAME_SIZE_ERROR}),
    ("a window beyond 2^31", frame(WINDOW_UPDATE, 0, 0, u32((1 << 31) - 1)) * 2, {FLOW_CONTROL_ERROR}),
)

STREAM = (  # what is sent, the codes that RST_STREAM or GOAWAY may have
    ("an increment of 0", OPEN + frame(WINDOW_UPDATE, 0, 1, u32(0)), {PROTOCOL_ERROR}),
    ("a window beyond 2^31", OPEN + frame(WINDOW_UPDATE, 0, 1, u32((1 << 31) - 1)), {FLOW_CONTROL_ERROR}),
    ("payload behind the end", head(1) + frame(DATA, END_STREAM, 1, b"x"), {STREAM_CLOSED}),
    ("a head behind the end", head(1) + head(1), {STREAM_CLOSED}),
    ("a second head without an end", OPEN + head(1, flags=END_HEADERS), {PROTOCOL_ERROR}),
    ("trailers with a pseudo field", OPEN + head(1), {PROTOCOL_ERROR}),
    ("a stream that depends on itself", head(1, flags=END_HEADERS | END_STREAM | 0x20, before=u32(1) + b"\7"), {PROTOCOL_ERROR}),
)

HARMLESS = (
    ("a frame of a kind that nobody knows", frame(0x7f, 0xff, 0, b"x" * 8) + head(1)),
    ("a setting that nobody knows", setting(0xff, 1) + head(1)),
    ("an acknowledged ping that nobody sent", frame(PING, ACK, 0, b"x" * 8) + head(1)),
    ("a priority of a stream to come", frame(PRIORITY, 0, 5, b"\0\0\0\0\7") + head(1)),
    ("a priority by RFC 9218", frame(16, 0, 0, u32(1) + b"u=1, i") + head(1)),
    ("a head in pieces", frame(HEADERS, END_STREAM, 1, block(request())[:9]) +
     frame(CONTINUATION, 0, 1, block(request())[9:20]) + frame(CONTINUATION, END_HEADERS, 1, block(request())[20:])),
    ("padding", frame(HEADERS, END_HEADERS | PADDED, 1, b"\4" + block(request(method="POST")) + b"\0" * 4) +
     frame(DATA, END_STREAM | PADDED, 1, b"\5abc" + b"\0" * 5)),
    ("a stream that others were left out before", head(101)),
    ("a window of 0 that is opened again", setting(4, 0) + head(1) + setting(4, 1000)),
    ("trailers of a stream before the last one",
     head(1, flags=END_HEADERS) + head(7) + frame(HEADERS, END_HEADERS | END_STREAM, 1, block([("x", "1")]))),
    ("a smaller table", setting(1, 100) + head(1, before=b"\x20")),
)


def told(c):
    """Codes of the first frame that says an end."""
    f = c.until(lambda f: f.kind in (GOAWAY, RST_STREAM), "an end")
    return f.kind, f.code()


def start_here(t):
    return start(t, [t.backend(app(by_name))])


def test_a_rule_of_connections_that_is_broken_ends_the_connection(t):
    _, front = start_here(t)
    wrong = []
    for what, data, codes in CONNECTION:
        with Raw(front, timeout=3) as c:
            c.s.sendall(data)
            try:
                f = [x for x in c.to_the_end() if x.kind == GOAWAY]
            except TimeoutError:
                f = []
            if not f or f[-1].code() not in codes:
                wrong.append((what, f[-1].code() if f else c.frames[-3:]))
    check_eq(wrong, [], "the connection ends as the rule says")
    with Raw(front) as c:
        check_eq(c.ask()[0], 200)


def test_a_rule_of_streams_that_is_broken_ends_the_stream(t):
    _, front = start_here(t)
    wrong = []
    for what, data, codes in STREAM:
        with Raw(front) as c:
            c.s.sendall(data)
            kind, code = told(c)
            if code not in codes:
                wrong.append((what, kind, code))
    check_eq(wrong, [], "the stream or the connection ends as the rule says")


def test_what_no_rule_forbids_is_served(t):
    _, front = start_here(t)
    for what, data in HARMLESS:
        with Raw(front) as c:
            c.s.sendall(data)
            f = c.until(lambda f: f.kind in (GOAWAY, RST_STREAM) or f.flags & END_STREAM and f.kind == DATA, what)
            check_eq(f.kind, DATA, what)


# ---- answered before the request is complete -----------------------------------------------------

def refusing(t):
    return start(t, [t.backend(app(by_name))], listener='limits = { body_bytes = "1k"; };')


def test_who_is_answered_early_is_told_to_stop_when_he_has_had_time_to_read(t):
    s, front = refusing(t)
    with Raw(front) as c:
        stream = c.open(request(method="POST", more=[("content-length", "100000")]), end=False)
        c.data(stream, b"x" * 10000)
        status, _, reset = c.ends(stream)
        check_eq((status, reset), (413, None), "the answer first")
        f = c.until(lambda f: f.stream == stream and f.kind == RST_STREAM, "a reset")
        check_eq(f.code(), NO_ERROR)
        check_eq(c.ask()[0], 200, "and the connection lives")
    no_places_taken(s)


def test_who_stops_by_himself_is_told_nothing(t):
    s, front = refusing(t)
    with Raw(front) as c:
        streams = [c.open(request(method="POST", more=[("content-length", "100000")]), end=False) for _ in range(3)]
        for stream in streams:
            check_eq(c.ends(stream)[0], 413)
        c.data(streams[0], b"x" * 100, end=True)
        c.reset(streams[1])
        c.until(lambda f: f.stream == streams[2] and f.kind == RST_STREAM, "a reset of the one that goes on")
        check_eq([f.stream for f in c.frames if f.kind == RST_STREAM], [streams[2]])
    no_places_taken(s)


def test_many_that_are_answered_early(t):
    s, front = refusing(t)
    with Raw(front) as c:
        for _ in range(2):
            streams = [c.open(request(method="POST", more=[("content-length", "100000")]), end=False) for _ in range(120)]
            for stream in streams:
                c.until(lambda f: f.stream == stream and f.kind == RST_STREAM, "a reset")
            c.frames.clear()
        check_eq(c.ask()[0], 200)
    no_places_taken(s)


def test_curl_knows_what_it_was_answered(t):
    _, front = refusing(t)
    with open(t.path("upload"), "wb") as f:
        f.write(b"x" * (3 << 20))
    done = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", "--data-binary", "@" + t.path("upload"), "-o", "/dev/null",
                           "-w", "%{http_code}", "-H", "Expect:", "http://%s:%d/" % front], stdout=subprocess.PIPE, timeout=60)
    check_eq(done.stdout, b"413")
