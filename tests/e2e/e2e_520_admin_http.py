"""The admin address: probes, the API, who may ask, and clients that do not behave."""

import base64

from http_tools import *


def start_admin(t, backends=None, more="", **kw):
    admin = t.address()
    s, front = start(t, backends or [t.backend(app(by_name))], top='admin = { bind = "%s:%d"; %s };' % (*admin, more), **kw)
    return s, front, admin


def ask(address, path, headers=(), method="GET", body=b""):
    with connect(address) as c:
        lines = ["%s %s HTTP/1.1" % (method, path), *headers]
        if not any(h.lower().startswith("host:") for h in headers):
            lines.append("Host: 127.0.0.1")
        if body:
            lines.append("Content-Length: %d" % len(body))
        c.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return answer_of(Reader(c))


def answer_of(reader, body=True):
    r = Response(reader.until(b"\r\n\r\n"))
    r.body = reader.body(r) if body else b""
    return r


def test_probes(t):
    b = t.backend(app(by_name))
    s, front, admin = start_admin(t, [b], pool='health = { interval = "100ms"; fall = 1; };')
    check_eq((ask(admin, "/livez").status, ask(admin, "/livez").body), (200, b"ok\n"))
    check_eq(ask(admin, "/readyz").status, 200)
    r = ask(admin, "/readyz", ["Host: any.name.example"])
    check_eq(r.status, 200, "probes may use any name")
    b.stop()
    wait_until(lambda: ask(admin, "/readyz").status == 503, "not ready without a backend")
    check_in(b"no backend is up", ask(admin, "/readyz").body)
    check_eq(ask(admin, "/livez").status, 200)


def test_readiness_ends_with_the_drain(t):
    there, go = threading.Event(), threading.Event()

    def slow(conn, b):
        Reader(conn).until(b"\r\n\r\n")
        there.set()
        go.wait(SECONDS)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    b = t.backend(slow)
    s, front, admin = start_admin(t, [b])
    with connect(front) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        check(there.wait(SECONDS), "it is there")
        s.process.send_signal(signal.SIGTERM)
        wait_until(lambda: ask(admin, "/readyz").status == 503, "draining")
        check_in(b"drain", ask(admin, "/readyz").body)
        go.set()
        check_in(b"200 OK", c.recv(1000))
    s.wait_end()


def test_the_api_mirrors_the_stats_socket(t):
    s, front, admin = start_admin(t, more='level = "operator";')
    check_eq(fetch(front, "/").status, 200)
    listed = json.loads(ask(admin, "/api/v1/").body)["paths"]
    check(len(listed) > 10, "paths", listed)
    for row in listed:
        r = ask(admin, row["path"])
        check_eq((r.status, r.header("content-type")), (200, "application/json"), row["path"])
        json.loads(r.body)
    check_eq(json.loads(ask(admin, "/api/v1/ready").body)[0]["ready"], True)
    same = json.loads(s.ctl("show servers state json"))
    check_eq([row for row in json.loads(ask(admin, "/api/v1/servers").body)][0].keys(), same[0].keys())
    check_eq(ask(admin, "/api/v1/nothing").status, 404)


def test_levels(t):
    s, front, admin = start_admin(t)
    r = ask(admin, "/api/v1/flight")
    check_eq(r.status, 403, "flight tells of clients")
    check_in(b"admin.level", r.body)


def test_only_known_hosts(t):
    s, front, admin = start_admin(t, more='hosts = [ "lb.example.net" ];')
    for host, status in (("127.0.0.1", 200), ("[::1]:8404", 200), ("localhost:1", 200), ("lb.example.net:80", 200),
                         ("LB.example.net", 200), ("evil.example", 421), ("lb.example.net.evil.example", 421),
                         ("127.0.0.1.evil.example", 421), ("localhost.evil.example", 421)):
        check_eq(ask(admin, "/metrics", ["Host: " + host]).status, status, host)
    with connect(admin) as c:
        c.sendall(b"GET /api/v1/version HTTP/1.0\r\n\r\n")
        check_in(b"200 OK", c.recv(2000))


def test_a_token(t):
    token = "a secret that nobody knows"
    s, front, admin = start_admin(t, more='token = "%s"; level = "admin";' % token)
    basic = base64.b64encode(b"me:" + token.encode()).decode()
    r = ask(admin, "/metrics")
    check_eq((r.status, r.header("www-authenticate")), (401, 'Basic realm="sluice"'))
    for header, status in (("Bearer " + token, 200), ("bearer " + token, 200), ("Basic " + basic, 200),
                           ("Bearer " + token + "x", 401), ("Bearer " + token[:-1], 401), ("Basic " + basic[:-4], 401),
                           ("Basic !!!!", 401), ("Basic", 401), (token, 401), ("Digest x", 401)):
        check_eq(ask(admin, "/metrics", ["Authorization: " + header]).status, status, header)
    check_eq(ask(admin, "/livez").status, 200, "probes need none")
    check(token not in s.log, "the token is not logged")


def test_beyond_this_host_more_than_looking_needs_a_token(t):
    front = t.address()
    rest = """pools = ( { name = "app"; mode = "http"; backends = ( { name = "b"; address = "127.0.0.1:1"; } ); } );
listeners = ( { name = "f"; mode = "http"; bind = "%s:%d"; pool = "app"; } );""" % front
    for admin, good in (('bind = "*:8404"; level = "admin";', False), ('bind = "[::]:8404"; level = "operator";', False),
                        ('bind = "*:8404";', True), ('bind = "127.0.0.1:8404"; level = "admin";', True),
                        ('bind = "*:8404"; level = "admin"; token = "${T}";', True)):
        with open(t.path("a.conf"), "w") as f:
            f.write("admin = { %s };\n%s" % (admin, rest))
        status, out, err = t.run("-t", "-c", t.path("a.conf"), env={"T": "0123456789abcdef"})
        check_eq(status, 0 if good else 1, admin + err)
        if not good:
            check_match(r"a\.conf:1: error: admin\.level: found .* which others reach; expected \"user\"", err)


def test_requests_one_after_the_other_and_ahead(t):
    s, front, admin = start_admin(t)
    with connect(admin) as c:
        reader = Reader(c)
        for _ in range(3):
            c.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            check_eq(answer_of(reader).body, b"ok\n")
        c.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 50)
        for _ in range(50):
            check_eq(answer_of(reader).body, b"ok\n")
        c.sendall(b"HEAD /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        check(int(answer_of(reader, body=False).header("content-length")) > 1000, "the length that GET would have")
        check_eq(answer_of(reader).status, 200)


def test_what_is_refused(t):
    s, front, admin = start_admin(t)
    for request, status in ((b"GET /livez HTTP/1.1\r\n\r\n", 400), (b"nonsense\r\n\r\n", 400),
                            (b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 20000 + b"\r\n\r\n", 431),
                            (b"GET /../x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
                            (b"DELETE /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
                            (b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
                            (b"GET /metrics?compat=other HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
                            (b"POST /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999\r\n\r\n", 413),
                            (b"POST /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411)):
        with connect(admin) as c:
            c.sendall(request)
            check_eq(answer_of(Reader(c)).status, status, request[:60])
    check_eq(ask(admin, "/metrics", method="POST").header("allow"), "GET, HEAD")


def test_a_body_that_is_waited_for(t):
    s, front, admin = start_admin(t)
    with connect(admin) as c:
        reader = Reader(c)
        c.sendall(b"POST /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        check_in(b"100 Continue", reader.until(b"\r\n\r\n"))
        for byte in b"hello":
            c.sendall(bytes([byte]))
        check_eq(answer_of(reader).status, 405)
        c.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        check_eq(answer_of(reader).status, 200, "the body was all of it")


def test_many_clients_and_some_that_say_nothing(t):
    s, front, admin = start_admin(t)
    silent = [connect(admin) for _ in range(100)]
    check_eq(ask(admin, "/livez").status, 200)
    for c in silent:
        c.close()
    wait_until(lambda: ask(admin, "/livez").status == 200, "others are served")
    check_eq(fetch(front, "/").status, 200)


def test_a_reload_keeps_it_and_says_what_needs_a_restart(t):
    s, front, admin = start_admin(t)
    with connect(admin) as c:
        reader = Reader(c)
        c.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        check_eq(answer_of(reader).status, 200)
        check_in("", s.ctl("reload"))
        c.sendall(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        check_eq(answer_of(reader).status, 200)


def test_a_taken_address_is_told(t):
    admin = t.address()
    with socket.create_server(admin):
        with open(t.path("a.conf"), "w") as f:
            f.write("""admin = { bind = "%s:%d"; };
pools = ( { name = "app"; mode = "tcp"; backends = ( { name = "b"; address = "127.0.0.1:1"; } ); } );
listeners = ( { name = "f"; mode = "tcp"; bind = "%s:%d"; pool = "app"; } );""" % (*admin, *t.address()))
        status, out, err = t.run("-c", t.path("a.conf"))
        check_eq(status, 1)
        check_in("admin: cannot listen on %s:%d" % admin, err)


def test_quick_has_one_too(t):
    front, admin, b = t.address(), t.address(), t.backend(app(by_name))
    process = t.program([t.binary, "quick", "--mode", "http", "--admin", "%s:%d" % admin, "%s:%d" % front, "%s:%d" % b.address],
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ready():
        with contextlib.suppress(OSError):
            return ask(admin, "/readyz").status == 200
    wait_until(ready, "it is ready")
    process.terminate()
    check_eq(process.wait(SECONDS), 0)
