"""Mode http: messages of every kind go both ways as RFC 9110 and 9112 want them."""

from http_raw import *

HOST = b"Host: www.example.com\r\n"


def echo_body(r, b):
    return answer(body=r.body, headers=["X-Method: " + r.method])


def curl(t, *args, status=0):
    done = subprocess.run(["curl", "-sS", "--max-time", "60", *args], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, cwd=t.dir)
    check_eq(done.returncode, status, "curl: " + done.stderr.decode())
    return done.stdout


def url(address, path="/"):
    return "http://%s:%d%s" % (*address, path)


def raw_server(*responses):
    """The n-th request of a connection gets the n-th of these; then the connection is closed."""
    def handler(conn, b):
        reader = Reader(conn)
        for response in responses:
            raw = reader.until(b"\r\n\r\n")
            if raw is None:
                return
            request = Request(raw)
            b.seen = b.seen + [request]
            reader.body(request)
            conn.sendall(response)
    return handler


def raw_client(address, data):
    c = Client(address)
    c.s.sendall(data)
    return c


# ---- real programs -------------------------------------------------------------------------------

def test_curl_and_sluice_origin(t):
    address = t.address()
    t.program([t.binary, "origin", where(address), "--bytes", "1000"], stdout=subprocess.DEVNULL)
    wait_until(lambda: listens(address), "sluice origin listens")
    s, front = start(t, [address])
    out = curl(t, "-o", "a", url(front), "-o", "b", url(front), "-w", "%{http_code} %{num_connects}\\n")
    check_eq(out, b"200 1\n200 0\n", "one connection for both")
    check_eq(os.path.getsize(t.path("a")), 1000)
    check_in(b"200", curl(t, "-I", url(front)).splitlines()[0])
    check_eq(curl(t, "-o", "c", "-w", "%{http_code}", "-d", "x" * 5000, url(front)), b"200")
    wait_until(lambda: s.number("app", "b1", "hrsp_2xx") == 4, "four answers")


def listens(address):
    with contextlib.suppress(OSError):
        connect(address).close()
        return True


def test_curl_and_nginx(t):
    """Ranges, conditional requests, 404 of the application, uploads."""
    address = t.address()
    with open(t.path("page"), "wb") as f:
        f.write(pattern(300000))
    user = "user root;" if os.geteuid() == 0 else ""
    with open(t.path("nginx.conf"), "w") as f:
        f.write("""%s daemon off; worker_processes 1; pid %s; error_log %s crit;
events { worker_connections 256; }
http { access_log off; client_body_temp_path %s; proxy_temp_path %s; fastcgi_temp_path %s;
  uwsgi_temp_path %s; scgi_temp_path %s; keepalive_requests 7;
  server { listen %s:%d; root %s; location /put/ { dav_methods PUT; create_full_put_path on; } } }
""" % (user, t.path("nginx.pid"), t.path("nginx.errors"), *[t.path("tmp%d" % i) for i in range(5)],
            *address, t.dir))
    t.program(["nginx", "-c", t.path("nginx.conf"), "-e", t.path("nginx.errors")])
    wait_until(lambda: listens(address), "nginx listens")
    s, front = start(t, [address])
    with open(t.path("page"), "rb") as f:
        page = f.read()
    check(curl(t, url(front, "/page")) == page, "download")
    check(curl(t, "-r", "1000-1999", url(front, "/page")) == page[1000:2000], "range")
    head = curl(t, "-I", url(front, "/page")).decode()
    etag = check_match(r"(?i)^etag: (.*?)\r$", head).group(1)
    check_match(r"(?i)^content-length: 300000\r$", head)
    check_match(r"(?i)^server: nginx", head)
    check_eq(curl(t, "-w", "%{http_code}", "-H", "If-None-Match: " + etag, url(front, "/page")), b"304")
    check_eq(curl(t, "-o", "x", "-w", "%{http_code}", url(front, "/none")), b"404")
    check_eq(curl(t, "-w", "%{http_code}", "-T", "page", url(front, "/put/copy")), b"201")
    with open(t.path("put/copy"), "rb") as f:
        check(f.read() == page, "upload")
    many = curl(t, "-o", "got#1", "-w", "%{http_code}\n", url(front, "/page?[1-40]")).split()
    check_eq(many, [b"200"] * 40, "over connections that nginx closes after 7 requests")
    check_eq(s.number("app", "b1", "eresp"), 0)


def test_curl_expects_100_continue(t):
    b = t.backend(app(echo_body))
    s, front = start(t, [b])
    body = pattern(2 << 20)
    with open(t.path("body"), "wb") as f:
        f.write(body)
    out = curl(t, "-v", "--stderr", "trace", "-H", "Expect: 100-continue", "--expect100-timeout", "30",
               "--data-binary", "@body", url(front))
    check(out == body, "echoed body")
    with open(t.path("trace")) as f:
        check_in("< HTTP/1.1 100 ", f.read())
    check_eq(b.seen[0].header("expect"), "100-continue")


# ---- methods and connections ---------------------------------------------------------------------

def test_methods(t):
    b = t.backend(app(lambda r, b: answer(body=b"" if r.method == "HEAD" else r.body or b"none")
                      if r.method != "HEAD" else b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n"))
    s, front = start(t, [b])
    with Client(front) as c:
        for method in ("GET", "DELETE", "OPTIONS", "PROPFIND", "get", "POST", "HEAD", "PUT", "PATCH"):
            body = b"x" * 10 if method in ("POST", "PUT", "PATCH") else None
            r = c.request("/", method, body=body)
            if method == "HEAD":
                check_eq(r.header("content-length"), "77")
            else:
                check_eq(r.body, body or b"none", method)
            check_eq(b.seen[-1].method, method)
    check_eq(b.accepted, 1, "connections to the backend")


def test_pipelining(t):
    """In order, however slow the first is; all in one segment, and cut anywhere."""
    def slow_first(r, b):
        if r.path == "/0":
            time.sleep(0.05)
        return answer(body=r.target.encode() + b" " + r.body)
    b = t.backend(app(slow_first))
    s, front = start(t, [b])
    data = b"".join(
        b"POST /%d HTTP/1.1\r\n" % i + HOST + b"Content-Length: %d\r\n\r\n" % i + b"b" * i
        if i % 2 else b"GET /%d HTTP/1.1\r\n" % i + HOST + b"\r\n" for i in range(40))
    expected = [b"/%d " % i + b"b" * (i % 2 * i) for i in range(40)]
    with raw_client(front, data) as c:
        check_eq([c.response().body for _ in range(40)], expected)
    with Client(front) as c:
        for i in range(0, len(data), 97):
            c.s.sendall(data[i:i + 97])
        check_eq([c.response().body for _ in range(40)], expected)
    check_eq([r.target for r in b.seen], ["/%d" % i for i in range(40)] * 2)


def test_pipelining_stops_at_connection_close(t):
    b = t.backend(app(by_name))
    s, front = start(t, [b])
    with raw_client(front, b"GET /1 HTTP/1.1\r\n" + HOST + b"\r\nGET /2 HTTP/1.1\r\n" + HOST +
                    b"Connection: close\r\n\r\nGET /3 HTTP/1.1\r\n" + HOST + b"\r\n") as c:
        check_eq(c.response().header("connection"), None)
        check_eq(c.response().header("connection"), "close")
        expect_eof(c.s)
    check_eq([r.target for r in b.seen], ["/1", "/2"])


def test_204_and_304_have_no_body(t):
    b = t.backend(app(lambda r, b: answer(int(r.path[1:]), headers=["ETag: \"x\""]
                                          + (["Content-Length: 10"] if r.path == "/304" else []))))
    s, front = start(t, [b])
    with Client(front) as c:
        for status in (204, 304, 204, 200):
            r = c.request("/%d" % status)
            check_eq((r.status, r.header("etag")), (status, '"x"'))
            check_eq(r.header("transfer-encoding"), None)
            check_eq(r.header("content-length"), {204: None, 304: "10", 200: "0"}[status])


def test_date_and_server_are_untouched_and_nothing_is_added(t):
    response = (b"HTTP/1.1 200 Fine with me\r\ndate: whenever\r\nSERVER: mine/1\r\nX-Odd:a  b\r\n"
                b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok")
    b = t.backend(app(lambda r, b: response))
    s, front = start(t, [b])
    with Client(front) as c:
        r = c.request()
    check_eq(r.raw, b"HTTP/1.1 200 Fine with me\r\ndate: whenever\r\nSERVER: mine/1\r\nX-Odd: a  b\r\n"
             b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2")
    check_eq(b.seen[0].all("via"), [], "Via of the request")


def test_hop_by_hop_fields_go_no_further(t):
    """RFC 9110 section 7.6.1, those that Connection names too; both ways."""
    b = t.backend(app(lambda r, b: (
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive, x-private\r\nX-Private: 1\r\nX-Public: 2\r\n"
        b"Keep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\n"
        b"Content-Length: 0\r\n\r\n")))
    s, front = start(t, [b])
    r = fetch(front, headers=[
        "Connection: X-Secret , close,, x-list", "X-Secret: 1", "x-List: 2", "X-Public: 3",
        "Connection: X-Third", "X-THIRD: 4", "Keep-Alive: timeout=5", "Proxy-Connection: close",
        "TE: gzip", "Upgrade: websocket", "Proxy-Authorization: Basic eA=="])
    at_backend = b.seen[0]
    names = {n for n, _ in at_backend.fields}
    check(not names & {"x-secret", "x-list", "x-third", "keep-alive", "proxy-connection", "te",
                       "upgrade", "transfer-encoding"}, "fields at the backend", at_backend.fields)
    check_eq(at_backend.header("x-public"), "3")
    check_eq({n for n, _ in r.fields}, {"x-public", "content-length", "connection"})


def test_connection_may_not_name_what_frames_a_message(t):
    """Else a client could take Host or the length away from what the backend reads."""
    b = t.backend(app(echo_body))
    s, front = start(t, [b])
    r = fetch(front, "/", "POST", body=b"hello", headers=[
        "Connection: host, content-length, x-forwarded-for, cookie", "Cookie: a=b"])
    check_eq((r.status, r.body), (200, b"hello"))
    check_eq(b.seen[0].header("host"), "www.example.com")
    check_eq(b.seen[0].header("x-forwarded-for"), "127.0.0.1")


def test_upgrade_to_h2c_is_not_passed_on(t):
    b = t.backend(app(by_name))
    s, front = start(t, [b])
    for fields in (["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"],
                   ["Upgrade: H2C , h2c", "Connection: upgrade"],
                   ["HTTP2-Settings: AAMAAABk"]):
        check_eq(fetch(front, headers=fields).status, 200)
        r = b.seen[-1]
        check_eq((r.header("upgrade"), r.header("http2-settings")), (None, None), str(fields))
        check("pgrade" not in (r.header("connection") or ""), "Connection", r.fields)


def websocket(conn, backend):
    reader = Reader(conn)
    r = Request(reader.until(b"\r\n\r\n"))
    backend.seen = backend.seen + [r]
    conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
                 b"hello")
    while reader.data or reader.more():
        conn.sendall(reader.data)
        reader.data = b""


def test_upgrade_to_websocket_makes_a_tunnel(t):
    b = t.backend(websocket)
    s, front = start(t, [b])
    with raw_client(front, b"GET /ws HTTP/1.1\r\n" + HOST + b"Connection: keep-alive, Upgrade\r\n"
                    b"Upgrade: websocket\r\n\r\nearly") as c:
        r = c.head()
        check_eq((r.status, r.header("upgrade"), r.header("connection")),
                 (101, "websocket", "upgrade"))
        check_eq(c.reader.exactly(10), b"helloearly")
        data = pattern(300000)
        writer = threading.Thread(target=c.s.sendall, args=(data,))
        writer.start()
        check(c.reader.exactly(len(data)) == data, "echoed bytes")
        writer.join()
        c.s.shutdown(socket.SHUT_WR)
        expect_eof(c.s)
    check_eq((b.seen[0].header("upgrade"), b.seen[0].header("connection")), ("websocket", "upgrade"))


def test_101_that_nobody_asked_for_is_502(t):
    b = t.backend(raw_server(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"))
    s, front = start(t, [b], listener=JSON_LOG)
    check_eq(fetch(front).status, 502)
    check_eq(rows(s, 1)[0]["reason"], "unexpected-101")


def test_upgrade_that_is_declined_is_a_usual_response(t):
    b = t.backend(app(by_name))
    s, front = start(t, [b])
    with Client(front) as c:
        r = c.request("/", headers=["Connection: upgrade", "Upgrade: websocket"])
        check_eq((r.status, r.body), (200, b"b1"))
        check_eq(c.request().body, b"b1", "on the same connection")


# ---- forms of targets ----------------------------------------------------------------------------

def test_absolute_form(t):
    """RFC 9112 section 3.2.2: the target's authority counts, and the backend gets origin form."""
    b = t.backend(app(by_name))
    s, front = start(t, [b])
    for target, host, expected in (
            ("http://a.example/x/y?z=1", "a.example", ("/x/y?z=1", "a.example")),
            ("HTTP://A.example:80/", "a.example", ("/", "A.example:80")),
            ("http://a.example?q", "a.example", ("/?q", "a.example"))):
        check_eq(fetch(front, target, headers=["Host: " + host]).status, 200, target)
        check_eq((b.seen[-1].target, b.seen[-1].header("host")), expected, target)


def test_options_asterisk(t):
    b = t.backend(app(by_name))
    s, front = start(t, [b])
    with Client(front) as c:
        for target in ("*", "http://www.example.com"):
            check_eq(c.request(target, "OPTIONS").status, 200)
            check_eq(b.seen[-1].line, "OPTIONS * HTTP/1.1", target)


# ---- HTTP/1.0 ------------------------------------------------------------------------------------

def test_clients_of_http_1_0(t):
    b = t.backend(app(by_name))
    s, front = start(t, [b])
    with raw_client(front, b"GET /a HTTP/1.0\r\n\r\n") as c:
        r = c.response()
        check_eq((r.body, r.header("connection")), (b"b1", "close"))
        expect_eof(c.s)
    check_eq((b.seen[-1].version, b.seen[-1].all("host")), ("HTTP/1.1", [""]), "without Host")
    with raw_client(front, b"GET /b HTTP/1.0\r\nHost: h\r\nConnection: Keep-Alive\r\n\r\n"
                    b"GET /c HTTP/1.0\r\nHost: h\r\n\r\n") as c:
        r = c.response()
        check_eq((r.body, r.header("connection")), (b"b1", "keep-alive"))
        check_eq(c.response().header("connection"), "close")
        expect_eof(c.s)
    check_eq(b.seen[-1].header("host"), "h")
    check_eq(b.accepted, 1, "connections to the backend")


def test_a_chunked_response_to_http_1_0_ends_with_the_connection(t):
    b = t.backend(app(lambda r, b: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                      b"5\r\nhello\r\n6\r\n world\r\n0\r\nX-T: 1\r\n\r\n"))
    s, front = start(t, [b])
    with raw_client(front, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") as c:
        r = c.response()
        check_eq((r.body, r.header("transfer-encoding"), r.header("connection")),
                 (b"hello world", None, "close"))


def test_no_1xx_to_http_1_0(t):
    b = t.backend(raw_server(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK))
    s, front = start(t, [b])
    with raw_client(front, b"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n") as c:
        check_eq(c.response().status, 200)


def test_backends_of_http_1_0(t):
    """With a length, without one, with keep-alive."""
    def old(conn, b):
        r = Request(Reader(conn).until(b"\r\n\r\n"))
        if r.path == "/length":
            conn.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        else:
            conn.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello")
    b = t.backend(old)
    s, front = start(t, [b])
    with Client(front) as c:
        for _ in range(2):
            r = c.request("/length")
            check_eq((r.body, r.line), (b"hello", "HTTP/1.1 200 OK"))
            r = c.request("/close")
            check_eq((r.body, r.header("transfer-encoding"), r.header("connection")),
                     (b"hello", "chunked", None))
    with raw_client(front, b"GET /close HTTP/1.0\r\n\r\n") as c:
        check_eq(c.response().body, b"hello")


def test_a_large_response_until_close(t):
    body = pattern(3 << 20)

    def until_close(conn, b):
        Reader(conn).until(b"\r\n\r\n")
        conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + body)
    b = t.backend(until_close)
    s, front = start(t, [b])
    with Client(front) as c:
        check(c.request().body == body, "chunked for HTTP/1.1")
        check(c.request().body == body, "again on the same connection")
    with raw_client(front, b"GET / HTTP/1.0\r\n\r\n") as c:
        check(c.response().body == body, "to the end of the stream for HTTP/1.0")


# ---- 1xx -----------------------------------------------------------------------------------------

def test_early_hints_are_passed_on(t):
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nConnection: x\r\nX: y\r\n\r\n"
    b = t.backend(raw_server(hints * 2 + OK, OK))
    s, front = start(t, [b])
    with Client(front) as c:
        c.send()
        for _ in range(2):
            r = c.head()
            check_eq((r.status, r.header("link"), r.header("x")),
                     (103, "</style.css>; rel=preload", None))
        check_eq(c.response().body, b"ok")
        check_eq(c.request().body, b"ok")


def test_100_continue(t):
    """The body is sent after the backend's 100 only; an early final answer needs none."""
    def on_expect(conn, b):
        reader = Reader(conn)
        r = Request(reader.until(b"\r\n\r\n"))
        b.before = getattr(b, "before", b"") + reader.data
        if r.path == "/no":
            conn.sendall(answer(417))
            return
        conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        conn.sendall(answer(body=reader.exactly(5), headers=["Connection: close"]))
    b = t.backend(on_expect)
    s, front = start(t, [b])
    with Client(front) as c:
        c.send("/yes", "POST", headers=["Content-Length: 5", "Expect: 100-continue"])
        check_eq(c.head().status, 100)
        c.s.sendall(b"hello")
        check_eq(c.response().body, b"hello")
    with Client(front) as c:
        c.send("/no", "POST", headers=["Content-Length: 5", "Expect: 100-continue"])
        r = c.response()
        check_eq((r.status, r.header("connection")), (417, "close"))
        expect_eof(c.s)
    check_eq(b.before, b"", "bytes before the 100")


# ---- bodies --------------------------------------------------------------------------------------

def test_chunked_both_ways_with_trailers(t):
    b = t.backend(records(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                          b"3\r\nabc\r\n0\r\nX-Sum: 6\r\nContent-Length: 7\r\n\r\n"))
    s, front = start(t, [b])
    with raw_client(front, b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n"
                    b"TE: trailers\r\n\r\n4\r\nwxyz\r\n0\r\nX-Check: 1\r\nHost: evil\r\n"
                    b"Transfer-Encoding: x\r\n\r\n") as c:
        r = c.head()
        check_eq((r.header("transfer-encoding"), r.header("content-length")), ("chunked", None))
        check_eq(c.reader.until(b"\r\n\r\n"), b"3\r\nabc\r\n0\r\nX-Sum: 6", "what may be a trailer")
        wait_until(lambda: got(b).endswith(b"\r\n4\r\nwxyz\r\n0\r\nX-Check: 1\r\n\r\n"),
                   lambda: "the backend has the body and its trailer: %r" % got(b))


def test_a_body_in_dribbles_of_one_byte_both_ways(t):
    def dribbles(r, b):
        data = b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
            b"1\r\n%c\r\n" % c for c in r.body) + b"0\r\nX-End: yes\r\n\r\n"

        def send(conn):
            for i in range(len(data)):
                conn.sendall(data[i:i + 1])
            conn.recv(1)
        return send
    b = t.backend(app(dribbles))
    s, front = start(t, [b])
    body = pattern(200)
    for framed in (b"Content-Length: 200\r\n\r\n" + body,
                   b"Transfer-Encoding: chunked\r\n\r\n" +
                   b"".join(b"1\r\n%c\r\n" % c for c in body) + b"0\r\n\r\n"):
        data = b"POST / HTTP/1.1\r\n" + HOST + framed
        with Client(front) as c:
            for i in range(len(data)):
                c.s.sendall(data[i:i + 1])
            check_eq(c.response().body, body)


BIG = 50 << 20


def digests(r, b):
    return answer(body=hashlib.sha256(r.body).hexdigest().encode())


def hashing(conn, b):
    """Answers with the digest of what it gets, without keeping it; GET /N: N bytes of a pattern."""
    reader = Reader(conn)
    while True:
        raw = reader.until(b"\r\n\r\n")
        if raw is None:
            return
        r, h = Request(raw), hashlib.sha256()
        if r.method == "GET":
            n = int(r.path.split("/")[2])
            if r.path.startswith("/chunked"):
                conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                block = BLOCKS[:n]
                for i in range(0, n, 60000):
                    part = block[i:i + 60000]
                    conn.sendall(b"%x\r\n%s\r\n" % (len(part), part))
                conn.sendall(b"0\r\n\r\n")
            else:
                conn.sendall(answer(200, b"")[:-4].replace(b"Length: 0", b"Length: %d" % n) + b"\r\n\r\n")
                conn.sendall(memoryview(BLOCKS)[:n])
            continue
        if r.header("transfer-encoding"):
            for part in iter(reader.chunk, b""):
                h.update(part)
        else:
            left = int(r.header("content-length"))
            while left > 0:
                if not reader.data and not reader.more():
                    return
                part, reader.data = reader.data[:left], reader.data[left:]
                h.update(part)
                left -= len(part)
        conn.sendall(answer(body=h.hexdigest().encode()))


BLOCKS = b""


def big_data(t):
    """50 MB of a pattern, in memory and in a file."""
    global BLOCKS
    BLOCKS = pattern(BIG)
    with open(t.path("big"), "wb") as f:
        f.write(BLOCKS)
    return hashlib.sha256(BLOCKS).hexdigest()


def test_50_mb_up(t):
    digest = big_data(t)
    s, front = start(t, [t.backend(hashing)])
    check_eq(curl(t, "-T", "big", url(front, "/up")).decode(), digest, "with a length")
    check_eq(curl(t, "-T", "big", "-H", "Transfer-Encoding: chunked", url(front, "/up")).decode(),
             digest, "chunked")
    check(status_kb(s.pid, "VmHWM") < 40000 or t.sanitized, "memory", status_kb(s.pid, "VmHWM"))


def test_50_mb_down(t):
    digest = big_data(t)
    s, front = start(t, [t.backend(hashing)])
    for kind in ("length", "chunked"):
        out = curl(t, url(front, "/%s/%d" % (kind, BIG)))
        check_eq(hashlib.sha256(out).hexdigest(), digest, kind)
    check(status_kb(s.pid, "VmHWM") < 40000 or t.sanitized, "memory", status_kb(s.pid, "VmHWM"))


def test_slow_readers_hold_few_buffers(t):
    """Of a chunked response, which nobody splices, a client that does not read holds what is on its way."""
    def endless(conn, b):
        Reader(conn).until(b"\r\n\r\n")
        conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                conn.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
    s, front = start(t, [t.backend(endless)])
    clients = [Client(front, rcvbuf=4096) for _ in range(20)]
    for c in clients:
        c.send()
        check_eq(c.head().status, 200)
    before = [None]

    def stalled():
        now = s.number("app", "BACKEND", "bin"), s.number("app", "BACKEND", "bout")
        same, before[0] = now == before[0], now
        return same
    wait_until(stalled, "nothing moves", every=0.3)
    held = int(s.info()["PoolUsed_bytes"])
    check(held < len(clients) * (768 << 10), "bytes of buffers for 20 clients", held)
    for c in clients:
        c.close()


def test_slow_readers_and_slow_senders(t):
    """They get and send everything, in small buffers, beside each other."""
    digest_of = {}
    global BLOCKS
    BLOCKS = pattern(1 << 20)
    n = len(BLOCKS)
    digest = hashlib.sha256(BLOCKS).hexdigest()
    s, front = start(t, [t.backend(hashing, rcvbuf=8192)])

    def one(i):
        kind = ("length", "chunked", "up")[i % 3]
        with Client(front, rcvbuf=8192) as c:
            if kind == "up":
                c.send("/up", "PUT", headers=["Content-Length: %d" % n])
                for at in range(0, n, 40000):
                    c.s.sendall(BLOCKS[at:at + 40000])
                    time.sleep(0.002)
                return c.response().body.decode() == digest
            c.send("/%s/%d" % (kind, n))
            r, h = c.head(), hashlib.sha256()
            if kind == "chunked":
                for part in iter(c.reader.chunk, b""):
                    h.update(part)
                    time.sleep(0.002)
            else:
                for at in range(0, n, 60000):
                    h.update(c.reader.exactly(min(60000, n - at)))
                    time.sleep(0.002)
            return h.hexdigest() == digest
    check_eq(in_threads(9, one), [True] * 9, "digests")


def test_a_response_may_begin_before_the_request_ends(t):
    """Both streams run at the same time (RFC 9112 section 9.3 lets them)."""
    def chat(conn, b):
        reader = Reader(conn)
        reader.until(b"\r\n\r\n")
        conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in iter(reader.chunk, b""):
            conn.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        conn.sendall(b"0\r\n\r\n")
    b = t.backend(chat)
    s, front = start(t, [b])
    with raw_client(front, b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n") as c:
        check_eq(c.head().status, 200)
        for word in (b"one", b"two", b"three"):
            c.s.sendall(b"%x\r\n%s\r\n" % (len(word), word))
            check_eq(c.reader.chunk(), word)
        c.s.sendall(b"0\r\n\r\n")
        check_eq(c.reader.chunk(), b"")
