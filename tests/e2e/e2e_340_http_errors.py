"""Mode http: errors that sluice answers itself, its timeouts, and clients that leave."""

from http_raw import *


def keep_waiting(conn, backend):
    """Takes a request and never answers. backend.heads and backend.ended count."""
    reader = Reader(conn)
    try:
        if reader.until(b"\r\n\r\n") is not None:
            with backend.lock:
                backend.heads += 1
        while reader.more():
            pass
    finally:
        with backend.lock:
            backend.ended += 1


def has_request(backend, n=1):
    wait_until(lambda: backend.heads >= n, "the backend has the request")


def check_error(r, status, retry_after=None):
    check_eq(r.status, status)
    check_in(b"%d " % status, r.body)
    check_eq(r.header("content-type"), "text/plain; charset=utf-8")
    check_eq(r.header("content-length"), str(len(r.body)))
    check((r.header("retry-after") is not None) == bool(retry_after), "Retry-After", r.fields)


# ---- statuses ------------------------------------------------------------------------------------

def test_404_without_a_route(t):
    b = t.backend(records())
    s, address = start(t, [b], route='path = "/app";', listener=JSON_LOG)
    with Client(address) as c:
        for target in ("/", "/application", "/App"):
            check_error(c.request(target), 404)
        check_eq(c.request("/app").status, 200, "the connection goes on")
        r = c.request("/nowhere", "HEAD")
        check_eq((r.status, r.header("content-length")), (404, "14"))
        check_eq(c.request("/app/x").status, 200, "behind an answer to HEAD")
        check_eq(c.request("/nowhere", "POST", body=b"x" * 5000).status, 404)
        check_eq(c.request("/app/x").status, 200, "behind a refused body")
    check_eq([r["reason"] for r in rows(s, 8)],
             ["no-route"] * 3 + [None, "no-route", None, "no-route", None])


def test_503_without_a_backend(t):
    s, address = start(t, [t.closed_address()], listener=JSON_LOG,
                       pool='health = { type = "tcp"; interval = "50ms"; fall = 1; };', ready=False)
    s.wait_status("app", "b1", "DOWN.*")
    with Client(address) as c:
        r = c.request()
        check_error(r, 503, retry_after=True)
        check_eq(r.header("retry-after"), "1")
        check_eq(c.request().status, 503, "the connection goes on")
    row = rows(s, 1)[0]
    check_eq((row["reason"], row["end_code"], row["backend"]), ("no-backend", "SC", None))


def test_503_when_the_queue_is_full_or_takes_too_long(t):
    b = t.backend(keep_waiting)
    s, address = start(t, [(b, "max_connections = 1;")], listener=JSON_LOG,
                       pool=NO_CHECKS + 'queue = { limit = 1; timeout = "200ms"; };')
    with Client(address) as first, Client(address) as second:
        first.send("/first")
        has_request(b)
        second.send("/second")
        wait_until(lambda: s.number("app", "BACKEND", "qcur") == 1, "the second one waits")
        check_error(fetch(address, "/third"), 503, retry_after=True)
        check_error(second.response(), 503, retry_after=True)
    check_eq({r["uri"]: r["reason"] for r in rows(s, 2)},
             {"/third": "queue-full", "/second": "queue-timeout"})


def test_502_where_connects_are_refused(t):
    s, address = start(t, [t.closed_address()], listener=JSON_LOG)
    check_error(fetch(address), 502)
    check_error(fetch(address, "/", "POST", body=b"x"), 502)
    row = rows(s, 1)[0]
    check_eq((row["reason"], row["end_code"], row["detail"]),
             ("connect-failed", "SC", "Connection refused"))


def test_502_where_the_backend_closes_or_resets(t):
    def ends(end):
        def handler(conn, b):
            Reader(conn).until(b"\r\n\r\n")
            end(conn)
        return handler
    for end in (lambda conn: None, reset):
        b = t.backend(ends(end))
        s, address = start(t, [b], listener=JSON_LOG)
        with Client(address) as c:
            check_error(c.request("/", "POST", body=b"x"), 502)
            check_error(c.request(), 502)
        for row in rows(s, 2):
            check_eq((row["reason"], row["end_code"]), ("server-closed", "SH"))


def test_504_where_connects_hang(t):
    s, address = start(t, [t.hanging_address()], listener=JSON_LOG,
                       pool=NO_CHECKS + 'timeouts = { connect = "100ms"; }; retries = { attempts = 0; };')
    check_error(fetch(address), 504)
    check_eq(rows(s, 1)[0]["reason"], "connect-timeout")


def test_504_where_no_answer_comes(t):
    b = t.backend(keep_waiting)
    s, address = start(t, [b], listener=JSON_LOG,
                       pool=NO_CHECKS + 'timeouts = { response_head = "150ms"; };')
    with Client(address) as c:
        check_error(c.request(), 504)
        check_error(c.request("/", "POST", body=b"x" * 3000), 504)
    for row in rows(s, 2):
        check_eq((row["reason"], row["end_code"]), ("response-timeout", "sH"))
    wait_until(lambda: b.open == 0, "the backend's connections are dropped")
    check_eq(b.heads, 2, "requests at the backend")


def test_413_by_the_length_alone(t):
    """Before the body is sent: nothing of the request goes to the backend."""
    b = t.backend(records())
    s, address = start(t, [b], listener=JSON_LOG + 'limits = { body_bytes = "1000b"; };')
    with Client(address) as c:
        c.send("/", "POST", headers=["Content-Length: 1001", "Expect: 100-continue"])
        r = c.response()
        check_error(r, 413)
        check_eq(r.header("connection"), "close")
        expect_eof(c.s)
    check_eq((rows(s, 1)[0]["reason"], b.accepted), ("body-too-large", 0))


def test_413_in_the_middle_of_chunks(t):
    def until_it_ends(conn, b):
        reader = Reader(conn)
        with contextlib.suppress(ConnectionError):
            while reader.more():
                pass
        b.data = reader.data
    b = t.backend(until_it_ends)
    s, address = start(t, [b], listener=JSON_LOG + 'limits = { body_bytes = "1000b"; };')
    with Client(address) as c:
        c.send("/", "POST", headers=["Transfer-Encoding: chunked"])
        c.s.sendall(b"1f4\r\n%s\r\n" % (b"x" * 500) * 2)
        wait_until(lambda: s.number("app", "b1", "bin") >= 0 and b.accepted == 1, "it is sent on")
        c.s.sendall(b"1\r\nx\r\n")
        check_error(c.response(), 413)
    wait_until(lambda: hasattr(b, "data"), "the request is cut")
    check(not b.data.endswith(b"0\r\n\r\n"), "the backend got a complete request")


# ---- error pages ---------------------------------------------------------------------------------

def test_error_pages(t):
    pages = {404: ("404.html", b"<h1>not here</h1>", "text/html"),
             502: ("502.json", b'{"error": "backend"}', "application/json"),
             400: ("400.txt", b"what?", "text/plain")}
    for name, body, _ in pages.values():
        with open(t.path(name), "wb") as f:
            f.write(body)
    s, address = start(t, [t.closed_address()], route='path = "/app";', listener=JSON_LOG +
                       "error_pages = ( %s );" % ", ".join(
                           '{ status = %d; file = "%s"; }' % (k, v[0]) for k, v in pages.items()))
    for target, status in (("/", 404), ("/app", 502), ("/%zz", 400)):
        r = fetch(address, target)
        check_eq((r.status, r.body), (status, pages[status][1]))
        check_match("^" + pages[status][2], r.header("content-type"))
        check_eq(r.header("content-length"), str(len(r.body)))
    with Client(address) as c:
        r = c.request("/", "HEAD")
        check_eq((r.status, r.header("content-length")), (404, str(len(pages[404][1]))))
        check_eq(c.request("/", "GET").body, pages[404][1], "behind HEAD")


# ---- timeouts ------------------------------------------------------------------------------------

def test_408_for_a_slow_head(t):
    """However busily it dribbles (slow loris)."""
    b = t.backend(records())
    s, address = start(t, [b], listener=JSON_LOG + 'timeouts = { request_head = "300ms"; };')
    with contextlib.closing(connect(address)) as c:
        started = time.monotonic()
        c.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n")
        c.settimeout(0.02)
        data = b""
        while not data:
            check(time.monotonic() - started < SECONDS, "it is never cut off")
            c.sendall(b"X: y\r\n")
            with contextlib.suppress(TimeoutError):
                data = c.recv(4096)
        check_eq(status_of(data), 408)
        check_in(b"\r\nConnection: close\r\n", data)
        c.settimeout(SECONDS)
        expect_closed(c)
    row = rows(s, 1)[0]
    check_eq((row["reason"], row["end_code"], row["status"]), ("request-timeout", "cR", 408))
    check_eq(b.accepted, 0)


def test_a_client_that_says_nothing_is_closed_without_a_word(t):
    s, address = start(t, [t.backend(records())],
                       listener='timeouts = { request_head = "150ms"; };')
    with contextlib.closing(connect(address)) as c:
        expect_eof(c)


def test_idle_connections_are_closed(t):
    s, address = start(t, [t.backend(records())], listener='timeouts = { idle = "150ms"; };')
    with Client(address) as c:
        for _ in range(3):
            check_eq(c.request().status, 200)
        expect_eof(c.s)


def test_408_for_a_body_that_stops(t):
    b = t.backend(keep_waiting)
    s, address = start(t, [b], listener=JSON_LOG + 'timeouts = { body = "200ms"; };')
    for fields in (["Content-Length: 10"], ["Transfer-Encoding: chunked"]):
        with Client(address) as c:
            c.send("/", "POST", headers=fields)
            c.s.sendall(b"1\r\n")
            r = c.response()
            check_error(r, 408)
            check_eq(r.header("connection"), "close")
            expect_closed(c.s)
    for row in rows(s, 2):
        check_eq((row["reason"], row["end_code"]), ("body-timeout", "cH"))
    wait_until(lambda: b.ended == 2, "the backend's connections are dropped")


def test_a_body_that_moves_is_let_be(t):
    """Longer in all than the timeout."""
    b = t.backend(app(lambda r, b: answer(body=b"%d" % len(r.body))))
    s, address = start(t, [b], listener='timeouts = { body = "300ms"; };')
    with Client(address) as c:
        c.send("/", "POST", headers=["Content-Length: 12"])
        for _ in range(12):
            c.s.sendall(b"x")
            time.sleep(0.06)
        check_eq(c.response().body, b"12")


def test_a_response_that_stops_is_cut(t):
    def stops(conn, b):
        Reader(conn).until(b"\r\n\r\n")
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        while conn.recv(100):
            pass
    b = t.backend(stops)
    s, address = start(t, [b], listener=JSON_LOG, pool=NO_CHECKS + 'timeouts = { body = "150ms"; };')
    with Client(address) as c:
        c.send()
        check_eq(c.head().status, 200)
        check_eq(c.reader.exactly(5), b"hello")
        expect_closed(c.s)
    row = rows(s, 1)[0]
    check_eq((row["reason"], row["end_code"]), ("body-timeout", "sD"))
    wait_until(lambda: b.open == 0, "the backend's connection is dropped")


def test_a_client_that_stops_reading_is_cut(t):
    body = pattern(8 << 20)

    def big(conn, b):
        Reader(conn).until(b"\r\n\r\n")
        conn.sendall(answer(body=body))
    b = t.backend(big)
    s, address = start(t, [b], listener=JSON_LOG + 'timeouts = { body = "200ms"; };')
    with Client(address, rcvbuf=16384) as c:
        c.send()
        s.wait_access("cD")
        slots_are_free(s)
    row = rows(s, 1)[0]
    check_eq((row["end_code"], row["status"]), ("cD", 200))


# ---- clients that leave --------------------------------------------------------------------------

def unsent(s):
    """Bytes that the other side's kernel has not acknowledged."""
    SIOCOUTQ = 0x5411
    return struct.unpack("i", fcntl.ioctl(s, SIOCOUTQ, b"\0" * 4))[0]


def leaves(c):
    reset(c.s)


def closes(c):
    c.s.close()


def ends_stream(c):
    c.s.shutdown(socket.SHUT_WR)


LEAVINGS = (("reset", leaves), ("close", closes), ("end of stream", ends_stream))


def gone(t, s, b, n, codes, count, what=""):
    """The backend's request is cancelled and its slot free, long before the client is really gone."""
    wait_until(lambda: b.ended == n, "the backend's request is cancelled: " + what)
    slots_are_free(s)
    row = rows(s, count)[count - 1]
    check(row["end_code"] in codes, "end code", row["end_code"], codes)


def test_a_client_that_leaves_while_it_waits(t):
    b = t.backend(keep_waiting)
    s, address = start(t, [(b, "max_connections = 1;")], listener=JSON_LOG)
    for n, (what, leave) in enumerate(LEAVINGS, 1):
        with Client(address) as c:
            c.send("/" + what.replace(" ", "-"))
            has_request(b, n)
            check_eq(s.number("app", "b1", "scur"), 1, "requests under way")
            leave(c)
            gone(t, s, b, n, ("CH", "CD"), n, what)
    check_eq(s.number("app", "b1", "cli_abrt"), 3)


def test_a_client_that_leaves_behind_unread_bytes(t):
    """It has sent more than is read ahead (64 KiB) before it went."""
    for what, leave in LEAVINGS:
        b = t.backend(keep_waiting)
        s, address = start(t, [(b, "max_connections = 1;")], listener=JSON_LOG)
        with Client(address) as c:
            c.send("/")
            has_request(b)
            c.s.sendall((b"GET /pipelined HTTP/1.1\r\nHost: h\r\n\r\n" * 3000)[:100000])
            wait_until(lambda: unsent(c.s) == 0, "it is all in sluice's kernel")
            leave(c)
            gone(t, s, b, 1, ("CH", "CD"), 1, what)


def test_a_client_that_leaves_while_it_sends(t):
    b = t.backend(keep_waiting)
    s, address = start(t, [(b, "max_connections = 1;")], listener=JSON_LOG)
    for n, (what, leave) in enumerate(LEAVINGS, 1):
        with Client(address) as c:
            c.send("/", "POST", headers=["Content-Length: 100000"])
            c.s.sendall(b"x" * 5000)
            has_request(b, n)
            leave(c)
            gone(t, s, b, n, ("CD", "CH"), n, what)


def test_a_client_that_leaves_while_it_gets(t):
    """The backend has still plenty to send."""
    ended = []

    def endless(conn, b):
        Reader(conn).until(b"\r\n\r\n")
        conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                conn.sendall(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        except ConnectionError:
            ended.append(1)
    b = t.backend(endless)
    s, address = start(t, [(b, "max_connections = 1;")], listener=JSON_LOG)
    for n, (what, leave) in enumerate(LEAVINGS[:2], 1):
        with Client(address, rcvbuf=32768) as c:
            c.send()
            check_eq(c.head().status, 200)
            leave(c)
            wait_until(lambda: len(ended) == n, "the backend's request is cancelled")
            slots_are_free(s)


def test_a_client_that_leaves_a_silent_response(t):
    """Between two parts of it nothing is sent that could fail."""
    def one_part(conn, b):
        Reader(conn).until(b"\r\n\r\n")
        conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        with contextlib.suppress(ConnectionError):
            while conn.recv(100):
                pass
        b.ended += 1
    b = t.backend(one_part)
    s, address = start(t, [b], listener=JSON_LOG)
    for n, (what, leave) in enumerate(LEAVINGS, 1):
        with Client(address) as c:
            c.send()
            check_eq(c.head().status, 200)
            check_eq(c.reader.exactly(10), b"5\r\nhello\r\n")
            leave(c)
            wait_until(lambda: b.ended == n, "the backend's request is cancelled: " + what)
            slots_are_free(s)


def test_a_client_that_leaves_the_queue(t):
    b = t.backend(keep_waiting)
    s, address = start(t, [(b, "max_connections = 1;")], listener=JSON_LOG)
    with Client(address) as first:
        first.send("/first")
        has_request(b)
        for n, (what, leave) in enumerate(LEAVINGS, 1):
            with Client(address) as c:
                c.send("/second")
                wait_until(lambda: s.number("app", "BACKEND", "qcur") == 1, "it waits")
                leave(c)
                wait_until(lambda: s.number("app", "BACKEND", "qcur") == 0, "its place is free")
                check_eq(rows(s, n)[n - 1]["end_code"], "CQ")
    check_eq(b.accepted, 1, "connections to the backend")


def test_a_client_that_leaves_while_the_backend_is_dialled(t):
    s, address = start(t, [t.hanging_address()], listener=JSON_LOG)
    for n, (what, leave) in enumerate(LEAVINGS, 1):
        with Client(address) as c:
            c.send()
            wait_until(lambda: s.number("app", "BACKEND", "scur") == 1, "it is dialled")
            leave(c)
            slots_are_free(s)
            check_eq(rows(s, n)[n - 1]["end_code"], "CC")


def test_half_close_lets_a_client_end_its_stream(t):
    """Behind one request, behind several, and behind a body; a reset still means that it has left."""
    gate = threading.Event()

    def slow(r, b):
        if r.path == "/slow":
            gate.wait(SECONDS)
        return answer(body=r.path.encode())
    b = t.backend(app(slow))
    s, address = start(t, [b], listener="half_close = true;" + JSON_LOG)
    with Client(address) as c:
        c.send("/slow")
        wait_until(lambda: seen(b), "the backend has the request")
        c.s.shutdown(socket.SHUT_WR)
        holds_for(0.1, lambda: b.open == 1, "the request goes on")
        gate.set()
        r = c.response()
        check_eq((r.status, r.body), (200, b"/slow"))
        expect_eof(c.s)
    with Client(address) as c:
        for target in ("/one", "/two", "/three"):
            c.send(target)
        c.s.shutdown(socket.SHUT_WR)
        check_eq([c.response().body for _ in range(3)], [b"/one", b"/two", b"/three"])
        expect_eof(c.s)
    with Client(address) as c:
        c.send("/body", "POST", body=b"x" * 100000)
        c.s.shutdown(socket.SHUT_WR)
        check_eq(c.response().body, b"/body")
        expect_eof(c.s)


def test_half_close_does_not_hide_a_reset(t):
    b = t.backend(keep_waiting)
    s, address = start(t, [b], listener="half_close = true;" + JSON_LOG)
    with Client(address) as c:
        c.send()
        has_request(b)
        c.s.shutdown(socket.SHUT_WR)
        holds_for(0.1, lambda: b.open == 1, "the request goes on")
        reset(c.s)
        gone(t, s, b, 1, ("CH", "CD"), 1)
