"""HTTP/2 from clients: whatever HTTP/1 does on a connection of its own, on one connection for all."""

import hashlib
import subprocess
import threading

from certs import Authority
from h2_client import *

NAME = "www.example.com"
BIG = 5000000


def curl(address, target="/", *words, scheme="http", fails=None):
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "60", *([] if scheme == "https" else ["--http2-prior-knowledge"]), *words,
         "%s://%s:%d%s" % (scheme, NAME, address[1], target), "--resolve", "%s:%d:%s" % (NAME, address[1], address[0])],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=90, check=False)
    if fails is None:
        check_eq((done.returncode, done.stderr), (0, b""), "curl")
    else:
        check_eq(done.returncode, fails, "curl")
    return done.stdout


def raw_answer(data):
    """Answers every request with these bytes."""
    return app(lambda r, b: data)


def h2load(address, n, clients, streams, target="/", scheme="http"):
    done = subprocess.run(["h2load", "-n", str(n), "-c", str(clients), "-m", str(streams),
                           "%s://%s:%d%s" % (scheme, address[0], address[1], target)],
                          stdout=subprocess.PIPE, timeout=120, check=True)
    check_in("%d succeeded, 0 failed, 0 errored" % n, done.stdout.decode())


# ---- requests and responses ----------------------------------------------------------------------

def test_a_request_is_answered_and_logged(t):
    b = t.backend(app(by_name))
    s, front = start(t, [b])
    head = curl(front, "/x?y=1", "-i").decode()
    check_match(r"^HTTP/2 200", head)
    check(head.endswith("b1"), "body", head)
    r = seen(b)[0]
    check_eq((r.method, r.target, r.version, r.header("host")), ("GET", "/x?y=1", "HTTP/1.1", "%s:%d" % (NAME, front[1])))
    s.wait_access(r'"GET /x\?y=1 HTTP/2\.0" 200 2 ')


def test_many_requests_share_a_connection(t):
    s, front = start(t, [t.backend(app(by_name)), t.backend(app(by_name))])
    h2load(front, 600, 2, 32)
    s.wait_number("front", "FRONTEND", "hrsp_2xx", 600)
    check_eq(s.number("front", "FRONTEND", "stot"), 2, "connections")
    no_places_taken(s)


def test_large_payloads_arrive_whole_both_ways(t):
    body = pattern(BIG)

    def respond(r, b):
        return answer(body=body if r.method == "GET" else hashlib.md5(r.body).hexdigest().encode())
    s, front = start(t, [t.backend(app(respond))])
    with open(t.path("body"), "wb") as f:
        f.write(body)
    check_eq(curl(front), body)
    want = hashlib.md5(body).hexdigest().encode()
    check_eq(curl(front, "/", "--data-binary", "@" + t.path("body")), want, "with a length")
    check_eq(curl(front, "/", "-T", t.path("body"), "-H", "content-length:"), want, "without")
    no_places_taken(s)


def test_over_tls_clients_choose_it(t):
    ca = Authority(t.dir)
    cert = ca.leaf(NAME)
    s, front = start(t, [t.backend(app(by_name))], listener='tls = { certificates = ( { cert = "%s"; key = "%s"; } ); };'
                     % (cert.cert, cert.key))
    check_eq(curl(front, "/", "--http2", "--cacert", ca.cert, "-w", "%{http_version}", scheme="https"), b"b12")
    check_eq(curl(front, "/", "--http1.1", "--cacert", ca.cert, "-w", "%{http_version}", scheme="https"), b"b11.1")
    h2load(front, 300, 2, 16, scheme="https")
    no_places_taken(s)


def test_responses_without_payload_end_with_their_head(t):
    replies = {"/204": answer(204), "/304": answer(304), "/empty": answer(200), "/head": answer(body=b"x" * 9)[:-9]}
    s, front = start(t, [t.backend(app(lambda r, b: replies[r.path]))])
    with Raw(front) as c:
        for path, status in (("/204", 204), ("/304", 304), ("/empty", 200)):
            check_eq(c.ask(path=path), (status, b"", None), path)
        check_eq(c.ask(path="/head", method="HEAD"), (200, b"", None), "HEAD")
        check_eq([f for f in c.frames if f.kind == DATA], [], "frames of payload")


def test_fields_of_the_backend_s_connection_stay_behind(t):
    reply = answer(body=b"ok", headers=["Connection: keep-alive, X-Hop", "Keep-Alive: timeout=5", "X-Hop: 1",
                                        "Proxy-Connection: x", "X-Stays: 1", "Set-Cookie: a=b"])
    s, front = start(t, [t.backend(raw_answer(reply))])
    head = curl(front, "/", "-i").decode().split("\r\n\r\n")[0].split("\r\n")
    check_eq([line.split(":")[0] for line in head[1:]], ["x-stays", "set-cookie", "content-length"])


def test_trailers_pass_both_ways(t):
    got = []

    def respond(r, b):
        return (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nGrpc-Status: 0\r\n\r\n")

    def handler(conn, b):
        reader = Reader(conn)
        while (raw := reader.until(b"\r\n\r\n")) is not None:
            body = reader.until(b"\r\n\r\n")
            got.append((Request(raw), body))
            conn.sendall(respond(None, b))
    s, front = start(t, [t.backend(handler)])
    with Raw(front) as c:
        stream = c.open(request(method="POST", more=[("te", "trailers")]), end=False)
        c.data(stream, b"abc")
        c.send(HEADERS, END_STREAM | END_HEADERS, stream, block([("x-sum", "7"), ("content-length", "9")]))
        check_eq(c.ends(stream), (200, b"ok", None))
        last = [f for f in c.frames if f.kind == HEADERS][-1]
        check_eq((last.flags, b"0" in last.payload or len(last.payload) > 4), (END_STREAM | END_HEADERS, True))
    r, body = got[0]
    check_eq(r.header("te"), "trailers")
    check_eq(body, b"3\r\nabc\r\n0\r\nx-sum: 7")


def test_interim_responses_pass(t):
    s, front = start(t, [t.backend(raw_answer(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(body=b"ok")))])
    with Raw(front) as c:
        check_eq(c.ask(), (200, b"ok", None))
        heads = [f for f in c.frames if f.kind == HEADERS]
        check_eq([status_of_block(h.payload) for h in heads], [103, 200])


def test_answers_of_our_own(t):
    s, front = start(t, [t.closed_address()], route='path = "/x";', pool=NO_CHECKS + "retries = { attempts = 0; };")
    with Raw(front) as c:
        check_eq(c.ask(path="/nowhere")[0], 404)
        check_eq(c.ask(path="/x")[0], 502)
        check_eq(c.ask(request(more=[("expect", "tea")]))[0], 417)
        check_eq(c.ask([(":method", "CONNECT"), (":authority", "h:1")])[0], 405)


def test_cookie_crumbs_are_joined(t):
    b = t.backend(app(by_name))
    s, front = start(t, [b])
    with Raw(front) as c:
        check_eq(c.ask(request(more=[("cookie", "a=1"), ("cookie", "b=2"), ("x", "y"), ("cookie", "c=3")]))[0], 200)
    check_eq(seen(b)[0].header("cookie"), "a=1; b=2; c=3")


def test_a_host_that_says_something_else_is_refused(t):
    b = t.backend(app(by_name))
    s, front = start(t, [b])
    with Raw(front) as c:
        check_eq(c.ask(request(more=[("host", "other")]))[0], 400)
        check_eq(c.ask(request(more=[("host", NAME)]))[0], 200)
    s.wait_access("host-mismatch|400")
    check_eq(len(seen(b)), 1)


def test_what_is_malformed_is_reset_and_never_reaches_a_backend(t):
    b = t.backend(app(by_name))
    s, front = start(t, [b])
    bad = [request(more=[("X-Upper", "1")]), request(more=[("x", "a\r\nb: c")]), request(more=[("x y", "1")]),
           request(more=[("connection", "close")]), request(more=[("transfer-encoding", "chunked")]),
           request(more=[("te", "gzip")]), request(more=[(":path", "/")]), request(more=[("content-length", "5")]),
           request()[1:], request(more=[(":status", "200")]), request(more=[("x", "1"), (":scheme", "http")]),
           request(more=[("x", "\0")]), request(more=[("x\n", "1")]), request(more=[("upgrade", "h2c")])]
    with Raw(front) as c:
        for fields in bad:
            check_eq(c.ask(fields)[1:], (b"", PROTOCOL_ERROR), fields[-1])
        for path in ("/a b", "/\r\nx", "http://h/", "/\x7f"):
            check_eq(c.ask(path=path)[0], 400, path)
        check_eq(c.ask()[0], 200, "and the connection lives")
    check_eq(len(seen(b)), 1)
    s.wait_number("front", "FRONTEND", "ereq", len(bad) + 4)


def test_a_length_must_be_that_of_the_payload(t):
    b = t.backend(app(by_name))
    s, front = start(t, [b])
    with Raw(front) as c:
        for length, payload in (("3", b"abcd"), ("3", b"ab")):
            stream = c.open(request(method="POST", more=[("content-length", length)]), end=False)
            c.data(stream, payload, end=True)
            check_eq(c.ends(stream)[2], PROTOCOL_ERROR, payload)
        check_eq(c.ask()[0], 200, "and the connection lives")
    no_places_taken(s)


def test_heads_beyond_the_limits_are_refused(t):
    s, front = start(t, [t.backend(app(by_name))], listener='limits = { header_bytes = "4k"; headers = 10; };')
    with Raw(front) as c:
        check_eq(c.ask(request(more=[("x", "v" * 4000)]))[0], 431, "bytes")
        check_eq(c.ask(request(more=[("x", "v")] * 11))[0], 431, "fields")
        check_eq(c.ask(request(more=[("x", "v")] * 9))[0], 200)


# ---- websocket -----------------------------------------------------------------------------------

def switching(conn, b):
    reader = Reader(conn)
    b.seen = [Request(reader.until(b"\r\n\r\n"))]
    conn.sendall(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                 b"Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n")
    echo(conn, b)


def test_a_websocket_is_an_extended_connect(t):
    b = t.backend(switching)
    s, front = start(t, [b])
    with Raw(front) as c:
        c.until(lambda f: f.kind == SETTINGS and struct.pack(">HI", CONNECT_PROTOCOL, 1) in f.payload)
        stream = c.open(request("/chat", "CONNECT", more=[(":protocol", "websocket"), ("sec-websocket-version", "13")]), end=False)
        head = c.until(lambda f: f.kind == HEADERS)
        check_eq((status_of_block(head.payload), head.flags), (200, END_HEADERS))
        for text in (b"ping", pattern(40000)):
            for i in range(0, len(text), 10000):
                c.data(stream, text[i:i + 10000])
            have = b""
            while len(have) < len(text):
                f = c.frame()
                have += f.payload if f.kind == DATA else b""
            check_eq(have, text)
        c.data(stream, b"", end=True)
        check_eq(c.ends(stream)[2], None, "an end in order")
    r = b.seen[0]
    check_eq((r.method, r.target, r.header("upgrade"), r.header("connection").lower()),
             ("GET", "/chat", "websocket", "upgrade"))
    check_eq(len(r.header("sec-websocket-key")), 24)
    no_places_taken(s)


def test_a_websocket_that_is_refused_says_why(t):
    s, front = start(t, [t.backend(app(lambda r, b: answer(403, b"no")))])
    with Raw(front) as c:
        stream = c.open(request("/chat", "CONNECT", more=[(":protocol", "websocket")]), end=False)
        check_eq(c.ends(stream)[:2], (403, b"no"))
        stream = c.open(request("/chat", "CONNECT", more=[(":protocol", "connect-udp")]), end=False)
        check_eq(c.ends(stream)[0], 501)


def test_a_page_is_no_websocket(t):
    """2xx would mean to the client that the tunnel is there."""
    s, front = start(t, [t.backend(app(by_name))], listener=JSON_LOG)
    with Raw(front) as c:
        stream = c.open(request("/", "CONNECT", more=[(":protocol", "websocket")]), end=False)
        check_eq(c.ends(stream)[0], 502)
        s.wait_access('"no-websocket"')
        check_eq(c.ask()[:2], (200, b"b1"), "the next request")
    no_places_taken(s)


# ---- flow ----------------------------------------------------------------------------------------

def test_payload_waits_for_the_client_s_windows(t):
    body = pattern(300000)
    s, front = start(t, [t.backend(app(lambda r, b: answer(body=body)))])
    with Raw(front, settings=[(INITIAL_WINDOW, 10)], window=0) as c:
        stream = c.open()
        first = c.until(lambda f: f.kind == DATA)
        check_eq(first.payload, body[:10])
        c.window(stream, len(body) * 2)
        have = lambda: sum(len(f.payload) for f in c.frames if f.kind == DATA)
        while have() < 65535:
            check(c.frame() is not None, "more payload")
        check_eq(have(), 65535, "the connection's window")
        c.window(0, len(body))
        check_eq(c.ends(stream), (200, body, None))


def test_a_client_that_does_not_read_costs_little_memory(t):
    s, front = start(t, [t.backend(app(lambda r, b: answer(body=bytes(30000000))))])
    with Raw(front) as c:
        before = status_kb(s.pid, "VmRSS")
        for _ in range(20):
            c.window(c.open(), 1 << 30)
        wait_until(lambda: s.number("app", "b1", "scur") == 20, "all under way")
        holds_for(1, lambda: status_kb(s.pid, "VmRSS") < before + 40000, "memory")
    no_places_taken(s)


def test_a_backend_that_does_not_read_slows_the_client(t):
    go = threading.Event()

    def handler(conn, b):
        go.wait(60)
        app(lambda r, bb: answer(body=b"%d" % len(r.body)))(conn, b)
    s, front = start(t, [t.backend(handler, rcvbuf=4096)])
    with Raw(front) as c:
        stream, total = c.open(request(method="POST"), end=False), 0
        window = [65536]  # what its settings say
        c.until(lambda f: f.kind == SETTINGS and not f.flags & ACK)

        def heard():
            c.s.settimeout(0.5)
            try:
                while True:
                    f = c.frame()
                    if f.kind == WINDOW_UPDATE and f.stream == stream:
                        window[0] += struct.unpack(">I", f.payload)[0]
            except TimeoutError:
                pass
            c.s.settimeout(SECONDS)
        while window[0] >= 8192:
            c.data(stream, bytes(8192))
            window[0], total = window[0] - 8192, total + 8192
            if window[0] < 8192:
                heard()
            check(total < 20000000, "an end of it", total)
        go.set()
        while window[0] < 8192:
            heard()
        c.data(stream, b"", end=True)
        check_eq(c.ends(stream)[:2], (200, b"%d" % total))


def test_a_small_response_does_not_wait_for_a_large_one(t):
    def respond(r, b):
        return answer(body=bytes(20000000) if r.path == "/big" else b"small")
    s, front = start(t, [t.backend(app(respond))])
    with Raw(front, rcvbuf=100000) as c:
        big = c.open(path="/big")
        c.window(big, 1 << 30)
        c.until(lambda f: f.kind == DATA and f.stream == big)
        check_eq(c.ask(path="/small"), (200, b"small", None))
        sent = sum(len(f.payload) for f in c.frames if f.stream == big)
        check(sent < 20000000, "the small one came before the end of the large one", sent)
        check_eq(len(c.ends(big)[1]), 20000000)


def test_a_backend_that_fails_harms_one_request_only(t):
    def respond(r, b):
        if r.path == "/cut":
            return lambda conn: conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
        return answer(body=b"ok")
    s, front = start(t, [t.backend(app(respond))])
    with Raw(front) as c:
        check_eq(c.ask(path="/cut")[1:], (b"some", 2), "INTERNAL_ERROR")
        check_eq(c.ask(path="/fine"), (200, b"ok", None))
    no_places_taken(s)


# ---- ends ----------------------------------------------------------------------------------------

def test_a_reset_ends_its_request_alone(t):
    gone = threading.Event()

    def handler(conn, b):
        reader = Reader(conn)
        if b"/wait" in reader.until(b"\r\n\r\n"):
            with contextlib.suppress(ConnectionError):
                conn.recv(1)
            gone.set()
        else:
            conn.sendall(answer(body=b"ok"))
    s, front = start(t, [t.backend(handler)])
    with Raw(front) as c:
        waits = c.open(path="/wait")
        s.wait_number("app", "b1", "scur", 1)
        c.reset(waits)
        check(gone.wait(SECONDS), "the backend hears of it")
        check_eq(c.ask(), (200, b"ok", None))
    s.wait_access(r"/wait")
    no_places_taken(s)


def test_a_client_that_leaves_ends_all_of_its_requests(t):
    s, front = start(t, [t.backend(hangs)])
    c = Raw(front)
    for _ in range(20):
        c.open()
    s.wait_number("app", "b1", "scur", 20)
    c.close()
    no_places_taken(s)
    s.wait_access("GET / ", count=20)


def test_more_streams_than_allowed_are_refused(t):
    s, front = start(t, [t.backend(hangs)], listener="http2 = { max_streams = 5; };")
    with Raw(front) as c:
        streams = [c.open() for _ in range(6)]  # it does not know better yet
        check_eq(c.ends(streams[5])[2], REFUSED_STREAM)
        c.until(lambda f: f.kind == SETTINGS and struct.pack(">HI", MAX_STREAMS, 5) in f.payload)
        s.wait_number("app", "b1", "scur", 5)
    no_places_taken(s)


def test_draining_finishes_what_is_under_way(t):
    go = threading.Event()

    def respond(r, b):
        go.wait(60)
        return answer(body=b"late")
    s, front = start(t, [t.backend(app(respond))])
    with Raw(front) as c, Raw(front) as idle:
        stream = c.open()
        s.wait_number("app", "b1", "scur", 1)
        idle.frame()
        os.kill(s.pid, signal.SIGTERM)
        first = c.goaway()
        check_eq((first.last_stream(), first.code()), ((1 << 31) - 1, NO_ERROR))
        last = c.until(lambda f: f.kind == GOAWAY and f.last_stream() != (1 << 31) - 1)
        check_eq((last.last_stream(), last.code()), (stream, NO_ERROR))
        idle.to_the_end()
        go.set()
        check_eq(c.ends(stream), (200, b"late", None))
        c.to_the_end()
    s.wait_end()


def test_an_idle_connection_is_told_before_it_ends(t):
    s, front = start(t, [t.backend(app(by_name))], listener='timeouts = { idle = "1s"; };')
    with Raw(front) as c:
        check_eq(c.ask()[0], 200)
        check_eq(c.goaway().code(), NO_ERROR)
        c.to_the_end()


def test_a_head_that_does_not_come_to_its_end_is_not_waited_for(t):
    s, front = start(t, [t.backend(app(by_name))], listener='timeouts = { request_head = "1s"; };')
    with Raw(front) as c:
        c.send(HEADERS, END_STREAM, 1, block(request())[:20])
        c.goaway()
        c.to_the_end()
    s.wait_access("request-timeout|cR| 0 |408| - ")


def test_a_client_that_takes_nothing_is_given_up(t):
    s, front = start(t, [t.backend(app(lambda r, b: answer(body=bytes(100000))))],
                     listener='timeouts = { body = "1s"; };')
    with Raw(front, settings=[(INITIAL_WINDOW, 0)]) as c:
        slow = c.open()
        check(c.ends(slow)[2] is not None, "a reset")
        check_eq(c.ask(method="HEAD")[0], 200, "and the connection lives")
    no_places_taken(s)


def test_garbage_ends_the_connection(t):
    s, front = start(t, [t.backend(app(by_name))])
    for garbage in (b"\xff" * 100, frame(DATA, 0, 0, b"x"), frame(HEADERS, END_HEADERS, 2, block(request())),
                    frame(HEADERS, END_HEADERS, 1, b"\xff" * 30), frame(WINDOW_UPDATE, 0, 0, bytes(4)),
                    frame(SETTINGS, 0, 0, b"xyz"), frame(PUSH_PROMISE, 4, 1, bytes(8)), frame(CONTINUATION, 4, 1, b"")):
        with Raw(front) as c:
            c.s.sendall(garbage)
            frames = c.to_the_end()
            check([f for f in frames if f.kind == GOAWAY and f.code() != NO_ERROR], "GOAWAY", garbage[:20], frames[-3:])
    check_eq(curl(front), b"b1")


def test_a_preface_that_is_wrong_or_late(t):
    s, front = start(t, [t.backend(app(by_name))])
    c = connect(front)
    c.sendall(PREFACE[:10])
    holds_for(0.2, lambda: True, "nothing")
    c.sendall(PREFACE[10:] + frame(SETTINGS, 0, 0))
    with contextlib.closing(c):
        check_eq(recv_exact(c, 9)[3], SETTINGS)
    check_eq(status_of(send_raw(front, b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")) in (400, 505), True)
