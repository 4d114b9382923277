"""Mode http over TLS: what the client sends and gets is what it would be in clear, and how it ends."""

from tls_site import *


# ---- requests and responses ----------------------------------------------------------------------

def test_curl_gets_what_the_backend_says(t):
    b = t.backend(app(by_name))
    site = Site(t, [b])
    check_eq(site.curl("/x?y=1"), b"b1")
    r = b.seen[0]
    check_eq(r.target, "/x?y=1")
    check_eq(r.all("x-forwarded-proto"), ["https"])
    check_eq(r.all("x-forwarded-port"), [str(site.address[1])])
    row = rows(site.sluice, 1)[0]
    check_eq((row["scheme"], row["status"], row["tls_version"]), ("https", 200, "TLSv1.3"))


def test_both_versions_of_tls(t):
    site = Site(t, [t.backend(app(by_name))])
    for python, name in (("TLSv1_2", "TLSv1.2"), ("TLSv1_3", "TLSv1.3")):
        with site.client(versions=(python, python)) as c:
            check_eq((c.request().body, c.s.version()), (b"b1", name))


def test_many_requests_on_one_connection(t):
    b = t.backend(app(echoes_body))
    site = Site(t, [b])
    with site.client() as c:
        for n in range(50):
            body = pattern(n * 37)
            check_eq(c.request("/%d" % n, "POST", body=body).body, body)
    check_eq(site.sluice.number("front", "FRONTEND", "stot"), 1, "sessions")
    check_eq([r.path for r in b.seen], ["/%d" % n for n in range(50)])


def test_pipelined_requests(t):
    site = Site(t, [t.backend(app(lambda r, _: answer(body=r.path.encode())))])
    with site.client() as c:
        c.s.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(200)))
        for n in range(200):
            check_eq(c.response().body, b"/%d" % n)


def test_big_bodies_both_ways(t):
    site = Site(t, [t.backend(app(echoes_body))])
    body = pattern(20000000)
    with site.client() as c:
        c.send("/", "POST", body=body)
        r = c.response()
        check_eq((len(r.body), digest(r.body), r.header("x-digest")), (len(body), digest(body), digest(body)))


def test_chunked_both_ways(t):
    def respond(r, backend):
        check_eq(r.header("transfer-encoding"), "chunked")
        return lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
            b"%x\r\n%s\r\n" % (len(p), p) for p in (r.body[i:i + 777] for i in range(0, len(r.body), 777))) +
            b"0\r\n\r\n")
    site = Site(t, [t.backend(app(respond))])
    body = pattern(300000)
    with site.client() as c:
        c.s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(0, len(body), 5000):
            part = body[i:i + 5000]
            c.s.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        c.s.sendall(b"0\r\n\r\n")
        check_eq(digest(c.response().body), digest(body))


def test_every_cut_of_a_record_is_the_same_request(t):
    b = t.backend(app(echoes_body))
    site = Site(t, [b])
    w = Wire(site.address, site.ca)
    w.raw.settimeout(SECONDS)
    with contextlib.closing(w):
        w.handshake()
        w.tls.write(b"POST /cut HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        for byte in w.outgoing.read():
            w.raw.sendall(bytes([byte]))
        data, notified = w.read_all()
        check(data.endswith(b"\r\n\r\nhello") and notified, "the response, then close_notify", data)


def test_a_slow_reader_costs_bounded_memory(t):
    body = pattern(30000000)
    site = Site(t, [t.backend(app(lambda r, _: answer(body=body)))])
    s = site.sluice
    check_eq(site.curl("/"), body)
    before = status_kb(s.pid, "VmRSS")
    clients = [site.client(rcvbuf=4096) for _ in range(20)]
    for c in clients:
        c.send("/")
        c.head()
    sent = [None]

    def stalled():
        now = s.number("app", "BACKEND", "bout")
        same, sent[0] = now == sent[0], now
        return same
    wait_until(lambda: s.number("app", "BACKEND", "scur") == 20, "all wait")
    wait_until(stalled, "nothing moves", every=0.5)
    grown = status_kb(s.pid, "VmRSS") - before
    check(grown < 120000 or t.sanitized, "KiB for 20 slow readers of 30 MB", grown)
    r = clients[0].reader
    check_eq(digest(r.exactly(len(body))), digest(body))
    for c in clients:
        c.close()


def or_none(call, *args):
    """None where it would wait."""
    try:
        return call(*args)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return None


def sent_and_received(c, data):
    """What comes back while all of it is sent. By one thread: OpenSSL's connections are not for two at once."""
    back, at = c.reader.data, 0
    c.s.setblocking(False)
    while len(back) < len(data):
        select.select([c.s], [c.s] if at < len(data) else [], [], 30)
        if at < len(data):
            at += or_none(c.s.send, data[at:at + 65536]) or 0
        while (part := or_none(c.s.recv, 1 << 17)) is not None:
            check(part, "the end came after", len(back))
            back += part
    c.s.setblocking(True)
    return back


def test_an_upgraded_connection(t):
    def respond(conn, b):
        reader = Reader(conn)
        reader.until(b"\r\n\r\n")
        conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        conn.sendall(reader.data)
        echo(conn, None)
    site = Site(t, [t.backend(respond)])
    data = pattern(3000000)
    with site.client() as c:
        c.send("/ws", headers=["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="])
        check_eq(c.head().status, 101)
        check_eq(digest(sent_and_received(c, data)), digest(data))
    no_places_taken(site.sluice)


# ---- ends ----------------------------------------------------------------------------------------

def test_a_connection_that_closes_says_so(t):
    site = Site(t, [t.backend(app(by_name))])
    with site.client() as c:
        check_eq(c.request(headers=["Connection: close"]).body, b"b1")
        c.ends_with_close_notify()


def test_an_idle_connection_ends_with_close_notify(t):
    site = Site(t, [t.backend(app(by_name))], listener='timeouts = { idle = "300ms"; };')
    with site.client() as c:
        check_eq(c.request().body, b"b1")
        c.ends_with_close_notify()


def test_a_refused_request_is_answered_while_its_body_still_comes(t):
    site = Site(t, [t.backend(app(by_name))], listener='limits = { body_bytes = "1k"; };')
    with site.client() as c:
        c.s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n")
        c.s.sendall(bytes(100000))
        r = c.response()
        check_eq((r.status, r.header("connection")), (413, "close"))


def test_the_body_of_a_closing_backend_ends_with_close_notify(t):
    site = Site(t, [t.backend(http_old)])
    w = Wire(site.address, site.ca)
    with contextlib.closing(w):
        w.handshake().send(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        data, notified = w.read_all()
        check(data.endswith(b"\r\n\r\n" + b"x" * 100000) and notified, "all of it, and its end", data[-20:], notified)


def http_old(conn, backend):
    """No length: its end is the connection's."""
    Reader(conn).until(b"\r\n\r\n")
    conn.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 100000)


def http_cut(conn, backend):
    Reader(conn).until(b"\r\n\r\n")
    conn.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 100000)
    wait_until(lambda: backend.go, "the client has read")
    reset(conn)


def test_a_body_that_was_cut_does_not_end_with_close_notify(t):
    b = t.backend(http_cut)
    b.go = False
    site = Site(t, [b])
    w = Wire(site.address, site.ca)
    with contextlib.closing(w):
        w.handshake().send(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        n = 0
        while n < 100000:
            try:
                n += len(w.tls.read(1 << 16))
            except ssl.SSLWantReadError:
                check(w.more(), "the body comes")
        b.go = True
        try:
            data, notified = w.read_all()
            check(not notified, "its end is not a good one", data)
        except ConnectionResetError:
            pass


def test_a_client_that_ends_its_half_is_answered_where_that_is_wanted(t):
    site = Site(t, [t.backend(app(by_name))], listener="half_close = true;")
    for end in (Wire.notify, lambda w: w.raw.shutdown(socket.SHUT_WR)):
        w = Wire(site.address, site.ca)
        with contextlib.closing(w):
            w.handshake().send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            end(w)
            data = b""
            with contextlib.suppress(ssl.SSLError):
                data, _ = w.read_all()
            check(data.endswith(b"b1"), "the answer", data)


def test_a_client_that_leaves_frees_the_backend(t):
    site = Site(t, [t.backend(hangs)])
    for leave in (lambda w: w.raw.close(), lambda w: reset(w.raw), Wire.notify):
        w = Wire(site.address, site.ca).handshake()
        w.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: site.sluice.number("app", "b1", "scur") == 1, "the request waits")
        leave(w)
        wait_until(lambda: site.sluice.number("app", "b1", "scur") == 0, "the place is free")
        w.close()
    check_eq({row["end_code"][0] for row in rows(site.sluice, 3)}, {"C"})


def test_a_request_whose_body_is_cut_is_not_taken_for_whole(t):
    b = t.backend(app(echoes_body))
    site = Site(t, [b])
    w = Wire(site.address, site.ca).handshake()
    w.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
    w.notify()
    w.raw.close()
    row = rows(site.sluice, 1)[0]
    check(row["end_code"][0] == "C", "the client's end", row["end_code"])
    check_eq(seen(b), [], "whole requests")
