"""Backends that speak HTTP/2: requests of clients go as streams of connections that they share, whatever the
clients speak, and what a backend has not taken is sent elsewhere."""

import json
import os
import subprocess

import h2_client
from certs import Authority
from h2_raw import *

H2 = NO_CHECKS + 'protocol = "http2"; '


def node(t, *args, **kw):
    return Node(t, "h2_app.js", *args, **{"name": "b1", **kw})


def begin(t, backends, pool="", **kw):
    return start(t, backends, pool=H2 + pool, **kw)


def state(front):
    """What the backend knows, without this request."""
    return json.loads(fetch(front, "/state").body)


# ---- messages ------------------------------------------------------------------------------------

def test_a_request_arrives_as_it_was_sent(t):
    _, front = begin(t, [node(t)])
    r = fetch(front, "/say?a=1&b=%2F", "POST", body=b"some body",
              headers=["Host: shop.example.com", "X-Thing: One", "Cookie: a=1", "Cookie: b=2",
                       "Connection: x-hop", "X-Hop: 1", "TE: trailers", "Keep-Alive: timeout=5"])
    check_eq(r.status, 200)
    said = json.loads(r.body)
    h = said["headers"]
    check_eq((h[":method"], h[":path"], h[":scheme"], h[":authority"]),
             ("POST", "/say?a=1&b=%2F", "http", "shop.example.com"))
    check_eq((h["x-thing"], h["content-length"], h["cookie"], h["te"]),
             ("One", "9", "a=1; b=2", "trailers"))
    check_eq([n for n in h if n in ("host", "connection", "keep-alive", "x-hop", "transfer-encoding")], [])
    check_eq(said["body"], "some body")


def test_responses_of_every_kind(t):
    _, front = begin(t, [node(t)])
    with Client(front) as c:
        r = c.request("/x")
        check_eq((r.status, r.body, r.header("content-length"), r.header("transfer-encoding")),
                 (200, b"ok", "2", None))
        check_eq(c.request("/x", "HEAD").status, 200)
        check_eq(c.request("/204").status, 204)
        r = c.request("/empty")
        check_eq((r.status, r.body), (200, b""))
        r = c.request("/say")
        check_eq((r.header("transfer-encoding"), r.header("content-length")), ("chunked", None))
        check_eq(c.request("/y").body, b"ok", "the connection of the client goes on")


def test_interim_responses_are_passed_on(t):
    _, front = begin(t, [node(t)])
    with Client(front) as c:
        c.send("/hints")
        for link in ("</a.css>; rel=preload", "</b.css>; rel=preload"):
            r = c.head()
            check_eq((r.status, r.header("link")), (103, link))
        check_eq(c.response().body, b"hinted")


def test_trailers_go_both_ways(t):
    _, front = begin(t, [node(t)])
    with Client(front) as c:
        c.s.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n")
        r = c.head()
        check_eq(r.header("transfer-encoding"), "chunked")
        check_eq(c.reader.chunk(), b"hello")
        check_eq(c.reader.until(b"\r\n"), b"0")
        check_eq(c.reader.until(b"\r\n\r\n").lower(), b"x-sum: 42")


def test_large_bodies_both_ways(t):
    _, front = begin(t, [node(t)])
    body = pattern(5000000)
    with Client(front) as c:
        done = threading.Thread(target=c.send, args=("/echo", "POST", (), body))
        done.start()
        r = c.response()
        done.join()
        check(r.body == body, "5 MB come back")


def test_both_ways_at_the_same_time(t):
    """The response begins before the request ends, and what is said is answered at once."""
    _, front = begin(t, [node(t)])
    with Client(front) as c:
        c.s.sendall(b"POST /trickle HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        check_eq(c.head().status, 200)
        check_eq(c.reader.chunk(), b"first")
        for word in (b"one", b"two", b"last"):
            c.s.sendall(b"%x\r\n%s\r\n" % (len(word), word))
            check_eq(c.reader.chunk(), word)
        c.s.sendall(b"0\r\n\r\n")
        check_eq(c.reader.chunk(), b"")


def test_an_early_answer_ends_the_upload(t):
    """The rest of the request is not wanted (RFC 9113 section 8.1): the answer is the client's none the less."""
    s, front = begin(t, [node(t)])
    with Client(front) as c:
        c.s.sendall(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n" + bytes(200000))
        r = c.response()
        check_eq((r.status, r.body), (413, b"too much"))
    no_places_taken(s)
    check_eq(fetch(front).body, b"ok")


def test_a_response_that_breaks_off_is_cut(t):
    _, front = begin(t, [node(t)])
    with Client(front) as c:
        c.send("/cut")
        check_eq(c.head().header("content-length"), "10")
        try:
            rest = c.reader.data + recv_all(c.s)
        except ConnectionResetError:
            rest = b""
        check(len(rest) < 10, "less than was said", rest)
    check_eq(fetch(front).body, b"ok")


def test_a_response_that_ends_by_a_reset_without_an_error(t):
    """As Node's server does when windows hold it up."""
    def respond(h2, stream, b):
        length = [("content-length", "4")] if len(b.streams) % 2 else []
        h2.send(headers(stream, (":status", "200"), *length), data(stream, b"some", end=False),
                reset_stream(stream, NO_ERROR))
    _, front = begin(t, [t.backend(h2_server(respond))])
    check_eq(fetch(front).body, b"some", "it is whole by its length")
    with contextlib.closing(connect(front)) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        data_ = b""
        with contextlib.suppress(ConnectionResetError):
            data_ = recv_all(c)
        check(not data_.endswith(b"0\r\n\r\n"), "whether this one is whole is not known", data_)
    with h2_client.Raw(front) as c:
        check_eq(c.ask()[1:], (b"some", None))
        check_eq(c.ask()[1:], (b"some", NO_ERROR), "and a client of HTTP/2 is told what we were")


# ---- connections ---------------------------------------------------------------------------------

def test_requests_share_one_connection(t):
    n = 20
    s, front = begin(t, [node(t)])
    clients = [Client(front) for _ in range(n)]
    for c in clients:
        c.send("/slow")
    wait_until(lambda: state(front)["now"] == n + 1, "all are with the backend")
    check_eq(state(front)["accepted"], 1, "connections")
    check_eq(s.number("app", "b1", "scur"), n, "requests under way count as sessions")
    check_eq(fetch(front, "/go").body, b"gone")
    check_eq([c.response().body for c in clients], [b"slow"] * n)
    for c in clients:
        c.close()
    no_places_taken(s)
    check_eq(s.number("app", "b1", "srv_icur"), 1, "idle connections")


def test_more_connections_are_opened_where_the_backend_takes_few_streams(t):
    n = 12
    s, front = begin(t, [node(t, 3)])
    check_eq(fetch(front).body, b"ok")  # its settings are known
    clients = [Client(front) for _ in range(n)]
    for c in clients:
        c.send("/slow")
    wait_until(lambda: state(front)["now"] == n + 1, "all are with the backend")
    opened = state(front)["accepted"]
    check(4 <= opened <= 6, "connections for 12 and one", opened)
    fetch(front, "/go")
    check_eq([c.response().body for c in clients], [b"slow"] * n)


def test_max_streams_bounds_them_too(t):
    n = 6
    s, front = begin(t, [node(t)], 'http2 = { max_streams = 2; };')
    clients = [Client(front) for _ in range(n)]
    for c in clients:
        c.send("/slow")
    wait_until(lambda: state(front)["now"] == n + 1, "all are with the backend")
    check_eq(state(front)["accepted"], 4, "connections for 6 and one")
    fetch(front, "/go")
    check_eq([c.response().body for c in clients], [b"slow"] * n)


def test_requests_that_come_at_once_wait_for_one_connection(t):
    n = 30
    _, front = begin(t, [node(t)])
    check_eq({r.body for r in in_threads(n, lambda i: fetch(front))}, {b"ok"})
    check_eq(state(front)["accepted"], 1, "connections")


def test_max_connections_counts_requests(t):
    _, front = begin(t, [(node(t), "max_connections = 2;")], 'queue = { timeout = "10s"; };')
    clients = [Client(front) for _ in range(2)]
    for c in clients:
        c.send("/slow")
    with Client(front) as other:
        other.send("/state")
        holds_for(0.2, lambda: not other.reader.data, "it waits for a place")


def test_idle_connections_expire(t):
    b = node(t)
    s, front = begin(t, [b], 'timeouts = { backend_idle = "300ms"; };')
    check_eq(fetch(front).body, b"ok")
    check_eq(s.number("app", "b1", "srv_icur"), 1, "idle connections")
    wait_until(lambda: s.number("app", "b1", "srv_icur") == 0, "the connection is closed")
    check_eq(state(front)["accepted"], 2)


def test_reuse_never_opens_a_connection_for_each(t):
    _, front = begin(t, [node(t)], 'reuse = "never";')
    for _ in range(3):
        check_eq(fetch(front).body, b"ok")
    got = state(front)
    check_eq((got["accepted"], got["open"]), (4, 1))


def test_a_client_that_leaves_cancels_its_request_alone(t):
    s, front = begin(t, [node(t)])
    other = Client(front)
    other.send("/slow")
    with Client(front) as c:
        c.send("/hang")
        wait_until(lambda: state(front)["now"] == 3, "both are with the backend")
    wait_until(lambda: state(front)["cancelled"] == 1, "the backend is told")
    fetch(front, "/go")
    check_eq(other.response().body, b"slow")
    check_eq(state(front)["accepted"], 1, "connections")


def test_a_slow_client_holds_up_nobody_else(t):
    """... and costs a window of memory, not its response."""
    s, front = begin(t, [node(t)], top="workers = 1;")
    slow = []
    before = status_kb(s.process.pid, "VmRSS")
    for _ in range(20):
        c = Client(front, rcvbuf=4096)
        c.send("/bytes?50000000")
        c.head()
        slow.append(c)
    for _ in range(20):
        check_eq(len(fetch(front, "/bytes?300000").body), 300000)
    check_eq(state(front)["accepted"], 1, "connections")
    grown = status_kb(s.process.pid, "VmRSS") - before
    check(grown < 20000 or t.sanitized, "memory for 20 slow clients is bounded; KiB:", grown)
    for c in slow:
        c.close()
    no_places_taken(s)


def test_a_backend_that_reads_slowly_holds_up_its_sender_alone(t):
    def hangs_on_first(h2, stream, backend):
        h2.answer(stream)
    b = t.backend(h2_server(hangs_on_first, window=1000))
    s, front = begin(t, [b])
    c = Client(front)
    c.s.settimeout(0.5)
    try:
        c.send("/up", "POST", body=bytes(50000000))
        raise Failure("50 MB were taken although the backend wanted 1000 bytes")
    except TimeoutError:
        pass
    check_eq(fetch(front).body, b"ok")
    reset(c.s)
    no_places_taken(s)


def test_endless_interim_responses_wait_for_the_client(t):
    def respond(h2, stream, backend):
        with contextlib.suppress(OSError):
            for _ in range(200000):
                h2.send(headers(stream, (":status", "103"), ("link", "x" * 100)) * 50)
    s, front = begin(t, [t.backend(h2_server(respond))], "retries = { attempts = 0; };")
    with Client(front, rcvbuf=4096) as c:
        c.send("/")
        wait_until(lambda: s.number("app", "b1", "scur") == 0, "the request is given up")
    check_eq(s.number("app", "b1", "econ"), 0)


# ---- over TLS, and for clients that speak HTTP/2 themselves ----------------------------------------

def with_tls(t, alpn="", protocol='protocol = "http2";', **kw):
    """(sluice, address, backend): Node speaks both versions over TLS."""
    ca = Authority(t.dir)
    cert = ca.leaf("app.example", t.ip)
    b = node(t, 0, cert.cert, cert.key)
    s, front = start(t, [b], pool=NO_CHECKS + '%s tls = { ca = "%s"; %s };' % (protocol, ca.cert, alpn), **kw)
    return s, front, b


def test_over_tls_by_alpn(t):
    s, front, _ = with_tls(t)
    check_eq(in_threads(20, lambda i: fetch(front).body), [b"ok"] * 20)
    check_eq(state(front)["accepted"], 1, "connections")
    h = json.loads(fetch(front, "/say").body)["headers"]
    check_eq((h[":scheme"], h[":authority"]), ("https", "www.example.com"))
    body = pattern(3000000)
    with Client(front) as c:
        done = threading.Thread(target=c.send, args=("/echo", "POST", (), body))
        done.start()
        check(c.response().body == body, "3 MB come back")
        done.join()


def test_what_alpn_agrees_on_is_spoken(t):
    """Both are offered: Node prefers HTTP/2, an old server knows HTTP/1.1 alone."""
    _, front, _ = with_tls(t, 'alpn = [ "h2", "http/1.1" ];')
    check_eq(json.loads(fetch(front, "/say").body)["headers"][":method"], "GET")
    ca = Authority(t.path("other"))
    ctx = ca.server(ca.leaf("app.example", t.ip))
    ctx.set_alpn_protocols(["http/1.1"])

    def over_tls(conn, b):
        with contextlib.suppress(OSError):
            app(by_name)(ctx.wrap_socket(conn, server_side=True), b)
    b = t.backend(over_tls)
    s, front = begin(t, [b], 'tls = { ca = "%s"; alpn = [ "h2", "http/1.1" ]; };' % ca.cert)
    for _ in range(2):
        check_eq([r.body for r in in_threads(10, lambda i: fetch(front))], [b.name.encode()] * 10)
    no_places_taken(s)


def curl(front, target, *words):
    done = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", "--max-time", "60", *words,
                           "http://%s%s" % (where(front), target)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=90, check=False)
    check_eq((done.returncode, done.stderr), (0, b""), "curl")
    return done.stdout


def test_from_http2_to_http2(t):
    _, front = begin(t, [node(t)])
    check_eq(curl(front, "/x"), b"ok")
    check_eq(curl(front, "/hints"), b"hinted")
    check_eq(curl(front, "/empty"), b"")
    said = json.loads(curl(front, "/say?q=1", "-d", "some body", "-H", "Cookie: a=1; b=2", "-H", "TE: trailers"))
    check_eq((said["headers"][":method"], said["headers"][":path"], said["body"]), ("POST", "/say?q=1", "some body"))
    check_eq((said["headers"]["cookie"], said["headers"]["te"]), ("a=1; b=2", "trailers"))
    check_eq(len(curl(front, "/bytes?10000000")), 10000000)
    path = t.path("body")
    with open(path, "wb") as f:
        f.write(pattern(5000000))
    check(curl(front, "/echo", "--data-binary", "@" + path) == pattern(5000000), "5 MB come back")


def test_many_streams_of_one_client(t):
    """nghttp's h2load: 2000 requests, 50 at a time on each of 4 connections."""
    _, front = begin(t, [node(t)])
    done = subprocess.run(["h2load", "-n", "2000", "-c", "4", "-m", "50", "http://%s/x" % where(front)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90, check=False)
    check_in(b"2000 succeeded, 0 failed, 0 errored, 0 timeout", done.stdout, "h2load")


def test_nghttpd_as_a_backend(t):
    address, www = t.address(), t.path("www")
    os.mkdir(www)
    with open(os.path.join(www, "big"), "wb") as f:
        f.write(pattern(4000000))
    t.program(["nghttpd", "--no-tls", "-a", address[0], "-d", www, str(address[1])],
              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, front = begin(t, [address])
    wait_until(lambda: fetch(front, "/none").status == 404, "nghttpd listens")
    for get in (lambda: fetch(front, "/big").body, lambda: curl(front, "/big")):
        check(get() == pattern(4000000), "a file of 4 MB")


# ---- what goes wrong -----------------------------------------------------------------------------

def test_goaway_lets_the_present_requests_finish(t):
    s, front = begin(t, [node(t)])
    c = Client(front)
    c.send("/slow")
    wait_until(lambda: state(front)["now"] == 2, "it is with the backend")
    check_eq(fetch(front, "/goaway").body, b"bye")
    check_eq(fetch(front).body, b"ok")
    check_eq(state(front)["accepted"], 2, "a new connection for new requests")
    fetch(front, "/go")
    check_eq(c.response().body, b"slow")
    wait_until(lambda: state(front)["open"] == 1, "the old one is closed")


def test_what_goaway_says_was_not_taken_is_sent_again(t):
    """A POST too: it was not delivered."""
    def respond(h2, stream, backend):
        if h2.n == 1 and stream == 3:
            h2.send(goaway(1))
        else:
            h2.answer(stream, b"%d" % h2.n)
    b = t.backend(h2_server(respond))
    s, front = begin(t, [b])
    check_eq(fetch(front).body, b"1")
    r = fetch(front, "/p", "POST", body=b"x" * 5000)
    check_eq((r.status, r.body), (200, b"2"))
    check_eq(s.number("app", "b1", "wretr"), 0, "no retry is counted")
    check_eq(s.number("app", "b1", "eresp"), 0)


def test_a_refused_stream_is_sent_again(t):
    def respond(h2, stream, backend):
        if len(backend.streams) == 2:
            h2.send(reset_stream(stream, REFUSED_STREAM))
        else:
            h2.answer(stream, b"taken")
    b = t.backend(h2_server(respond))
    s, front = begin(t, [b])
    for _ in range(4):
        check_eq(fetch(front, "/p", "POST", body=b"x").body, b"taken")
    check_eq(len(b.streams), 5)


def test_the_very_first_stream_may_be_refused_too(t):
    def respond(h2, stream, backend):
        if len(backend.streams) == 1:
            h2.send(goaway(0))
        else:
            h2.answer(stream, b"taken")
    s, front = begin(t, [t.backend(h2_server(respond))])
    check_eq(fetch(front, "/p", "POST", body=b"x").body, b"taken")


def test_streams_beyond_what_the_backend_takes_are_sent_again(t):
    """Its settings come after our first requests."""
    n = 10
    def respond(h2, stream, backend):
        time.sleep(0.01)
        h2.answer(stream, b"taken")

    def handler(conn, backend):
        h2 = H2Conn(conn)
        first = [h2.until(lambda f: f.ends).stream]
        h2.send(settings(streams=1))
        while True:
            f = h2.next()
            if f is None:
                return
            if f.kind == SETTINGS and f.flags & ACK and first:
                h2.answer(first.pop(), b"taken")
            elif f.ends:
                h2.answer(f.stream, b"taken")
    s, front = begin(t, [t.backend(handler)])
    check_eq({r.body for r in in_threads(n, lambda i: fetch(front, "/p", "POST", body=b"x"))}, {b"taken"})


def test_a_lost_connection_costs_no_idempotent_request(t):
    """Several streams at once; a POST that may have been processed is not sent twice."""
    n = 5

    def respond(h2, stream, backend):
        if h2.n == 1 and len(backend.streams) == n + 2:
            reset(h2.conn)
        elif h2.n > 1 or len(backend.streams) == 1:
            h2.answer(stream, b"%d" % h2.n)
    b = t.backend(h2_server(respond))
    s, front = begin(t, [b])
    check_eq(fetch(front).body, b"1")
    gets = [Client(front) for _ in range(n)]
    for c in gets:
        c.send("/get")
    wait_until(lambda: len(getattr(b, "streams", [])) == n + 1, "all are with the backend")
    with Client(front) as post:
        post.send("/p", "POST", body=b"x")
        check_eq(post.response().status, 502)
    check_eq([c.response().body for c in gets], [b"2"] * n)
    check_eq(b.accepted, 2, "connections")


def test_an_idle_connection_that_dies_costs_nothing(t):
    def respond(h2, stream, backend):
        h2.answer(stream, b"%d" % h2.n)
        if h2.n == 1:
            h2.conn.shutdown(socket.SHUT_WR)
    s, front = begin(t, [t.backend(h2_server(respond))])
    check_eq(fetch(front).body, b"1")
    wait_until(lambda: s.number("app", "b1", "srv_icur") == 0, "its end is seen")
    check_eq(fetch(front, "/p", "POST", body=b"x").body, b"2")


def test_a_connection_that_has_died_silently_is_found_out(t):
    """Asked by PING with the first request after a silence; who waits is sent elsewhere."""
    silent = threading.Event()

    def handler(conn, backend):
        h2 = H2Conn(conn)
        with backend.lock:
            n = backend.accepted
        while True:
            f = h2.next()
            if f is None:
                return
            if f.ends:
                h2.answer(f.stream, b"%d" % n)
            if n == 1 and f.ends:
                silent.wait(60)
                return
    b = t.backend(handler)
    s, front = begin(t, [b])
    check_eq(fetch(front).body, b"1")
    started = time.monotonic()
    wait_until(lambda: time.monotonic() - started > 3.1, "3 seconds pass")
    got = in_threads(3, lambda i: fetch(front).body)
    silent.set()
    check_eq(got, [b"2"] * 3)


def test_a_backend_that_is_restarted_under_load_costs_no_request(t):
    nodes = [node(t), node(t, name="b2")]
    s, front = begin(t, nodes)
    stop, answers_of = threading.Event(), []

    def load(i):
        with Client(front) as c:
            while not stop.is_set():
                answers_of.append(c.request("/x").status)
    threads = [threading.Thread(target=load, args=(i,)) for i in range(8)]
    for th in threads:
        th.start()
    for b in nodes:
        for what in ("/stop", None):
            seen_before = len(answers_of)
            wait_until(lambda: len(answers_of) > seen_before + 100, "requests flow")
            if what:
                with Client(b.address) as c:  # prior knowledge is needed to ask it itself
                    c.s.sendall(PREFACE + settings() + headers(
                        1, (":method", "GET"), (":scheme", "http"), (":path", what), (":authority", "x"), end=True))
                    recv_all_quietly(c.s)
            else:
                b.kill()
                wait_until(lambda: len(answers_of) > seen_before + 200, "requests flow without it")
                b.start()
    stop.set()
    for th in threads:
        th.join()
    check_eq(set(answers_of), {200}, "statuses of %d requests" % len(answers_of))


def recv_all_quietly(s):
    with contextlib.suppress(ConnectionError):
        recv_all(s)


def test_malformed_responses_are_502(t):
    ok = (":status", "200")
    cases = [
        [lambda i: headers(i, ("x", "1"), end=True)],  # no status
        [lambda i: headers(i, (":status", "99"), end=True)],
        [lambda i: headers(i, ok, ("Upper", "1"), end=True)],
        [lambda i: headers(i, ok, ("connection", "close"), end=True)],
        [lambda i: headers(i, ok, ("transfer-encoding", "chunked"), end=True)],
        [lambda i: headers(i, ok, ("x", "a\r\nb"), end=True)],
        [lambda i: headers(i, ok, ("content-length", "5"), end=True)],
        [lambda i: headers(i, ok, ("content-length", "5"), ("content-length", "6")), lambda i: data(i, b"12345")],
        [lambda i: headers(i, ok, (":path", "/"), end=True)],
        [lambda i: headers(i, (":status", "101"), end=False)],
        [lambda i: data(i, b"no head")],
    ]
    def respond(h2, stream, backend):
        h2.send(*(f(stream) for f in cases[backend.case]))
    b = t.backend(h2_server(respond))
    s, front = begin(t, [b], "retries = { attempts = 0; };")
    for b.case in range(len(cases)):
        check_eq(fetch(front, "/%d" % b.case).status, 502, "case %d" % b.case)
    no_places_taken(s)


def test_payload_that_is_not_what_was_said_is_cut(t):
    for body in (b"123", b"1234567"):
        def respond(h2, stream, backend):
            h2.send(headers(stream, (":status", "200"), ("content-length", "5")), data(stream, body))
        _, front = begin(t, [t.backend(h2_server(respond))])
        with Client(front) as c:
            c.send("/")
            try:
                r = c.head()
                check(r.status == 502 or len(c.reader.data + recv_all(c.s)) < 5, "cut")
            except ConnectionError:
                pass


def test_floods_of_a_backend_end_the_connection(t):
    floods = [settings() * 100, frame(PING, 0, 0, bytes(8)) * 100, data(1, b"", end=False) * 100,
              frame(PRIORITY, 0, 1, struct.pack(">IB", 0, 1)) * 100, frame(0x77) * 100,
              frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 100]
    ended = []
    for flood in floods:
        def respond(h2, stream, backend):
            h2.send(headers(stream, (":status", "200")))

            def pour():
                try:
                    while True:
                        h2.send(flood)
                except OSError:
                    ended.append(True)
            threading.Thread(target=pour, daemon=True).start()
        s, front = begin(t, [t.backend(h2_server(respond))])
        with Client(front) as c:
            c.send("/", headers=["Connection: close"])
            with contextlib.suppress(ConnectionError):
                recv_all(c.s)
        wait_until(lambda: len(ended) == floods.index(flood) + 1, "the connection is ended")


def test_endless_continuation_ends_the_connection(t):
    ended = threading.Event()

    def respond(h2, stream, backend):
        try:
            h2.send(frame(HEADERS, 0, stream, fields((":status", "200"))))
            while True:
                h2.send(frame(CONTINUATION, 0, stream, fields(("x-long", "a" * 100)) * 10))
        except OSError:
            ended.set()
    s, front = begin(t, [t.backend(h2_server(respond))], "retries = { attempts = 0; };")
    check_eq(fetch(front).status, 502)
    check(ended.wait(SECONDS), "the connection is ended")


def test_a_backend_that_speaks_http1_is_502(t):
    def respond(conn, backend):
        conn.recv(100)
        conn.sendall(answer(400))
    s, front = begin(t, [t.backend(respond)], "retries = { attempts = 0; };")
    check_eq(fetch(front).status, 502)


# ---- WebSocket -----------------------------------------------------------------------------------

WEBSOCKET = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]


def test_a_websocket_goes_by_extended_connect(t):
    """RFC 8441; the key is RFC 6455's example."""
    s, front = begin(t, [node(t)])
    for _ in range(2):  # on a connection whose settings are awaited, and on one where they are known
        with Client(front) as c:
            c.send("/ws", headers=WEBSOCKET)
            r = c.head()
            check_eq((r.status, r.header("upgrade"), r.header("connection").lower(),
                      r.header("sec-websocket-accept")),
                     (101, "websocket", "upgrade", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
            for word in (b"ping", pattern(300000)):
                c.s.sendall(word)
                check(c.reader.exactly(len(word)) == word, "echo")
            c.s.shutdown(socket.SHUT_WR)
            check_eq(recv_all(c.s), b"")
    no_places_taken(s)
    check_eq(state(front)["accepted"], 1, "connections")


def test_a_websocket_from_http2_to_http2(t):
    s, front = begin(t, [node(t)])
    done = subprocess.run(["node", os.path.join(NODE, "h2_ws_client.js"), front[0], str(front[1])],
                          stdout=subprocess.PIPE, timeout=60, check=True)
    check_eq(done.stdout, b"200 undefined\nping\n")
    no_places_taken(s)


def test_a_websocket_that_is_declined_is_a_response(t):
    _, front = begin(t, [node(t)])
    with Client(front) as c:
        c.send("/no", headers=WEBSOCKET)
        check_eq(c.response().status, 403)


def test_a_backend_without_extended_connect_gets_no_websocket(t):
    s, front = begin(t, [t.backend(h2_server(lambda h2, stream, b: h2.answer(stream)))],
                     listener='log = { format = "json"; };')
    check_eq(fetch(front, "/ws", headers=WEBSOCKET).status, 502)
    wait_until(lambda: "no-websocket" in s.access, "the reason is logged")
    check_eq(fetch(front).body, b"ok")


# ---- the end -------------------------------------------------------------------------------------

def test_a_drain_says_goodbye(t):
    said = []

    def handler(conn, backend):
        h2 = H2Conn(conn)
        while True:
            f = h2.next()
            if f is None:
                return
            said.append(f)
            if f.ends:
                h2.answer(f.stream)
    s, front = begin(t, [t.backend(handler)])
    check_eq(fetch(front).body, b"ok")
    s.terminate()
    wait_until(lambda: [f for f in said if f.kind == GOAWAY], "GOAWAY")
