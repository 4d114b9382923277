"""Mode http: upgraded connections byte by byte, and the drain while others wait."""

from http_tools import *

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
ASK = ["Connection: Upgrade", "Upgrade: echo"]


def switching(joined, head=SWITCH):
    """Answers 101 and goes on with joined(conn, reader)."""
    def respond(conn, b):
        reader = Reader(conn)
        raw = reader.until(b"\r\n\r\n")
        if raw is None:
            return
        b.seen = seen(b) + [Request(raw)]
        conn.sendall(head)
        joined(conn, reader)
    return respond


def echoes(conn, reader):
    if reader.data:
        conn.sendall(reader.data)
    echo(conn, None)


def upgraded(front):
    c = Client(front)
    c.send("/up", headers=ASK)
    r = c.head()
    check_eq((r.status, r.header("upgrade"), r.header("connection").lower()), (101, "echo", "upgrade"))
    return c


def test_the_backend_sees_the_upgrade(t):
    b = t.backend(switching(echoes))
    s, front = start(t, [b])
    with upgraded(front) as c:
        c.s.sendall(b"ping")
        check_eq(c.reader.exactly(4), b"ping")
    r = b.seen[0]
    check_eq((r.header("upgrade"), r.header("connection").lower()), ("echo", "upgrade"))
    no_places_taken(s)
    check_eq(s.number("app", "b1", "srv_icur"), 0, "idle connections")


def test_what_the_client_says_before_101_waits_for_it(t):
    s, front = start(t, [t.backend(switching(echoes))])
    with Client(front) as c:
        c.s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly")
        check_eq(c.head().status, 101)
        check_eq(c.reader.exactly(5), b"early")


def test_what_the_backend_says_with_101_arrives(t):
    s, front = start(t, [t.backend(switching(echoes, SWITCH + b"hello" * 1000))])
    with upgraded(front) as c:
        check_eq(c.reader.exactly(5000), b"hello" * 1000)


def test_the_client_s_end_is_passed_on_and_the_backend_may_go_on(t):
    def counts(conn, reader):
        data = reader.data + recv_all(conn)
        conn.sendall(b"%d bytes" % len(data))
    s, front = start(t, [t.backend(switching(counts))])
    with upgraded(front) as c:
        c.s.sendall(pattern(3000000))
        c.s.shutdown(socket.SHUT_WR)
        check_eq(recv_all(c.s), b"3000000 bytes")
    no_places_taken(s)


def test_the_backend_s_end_is_passed_on_and_the_client_may_go_on(t):
    got = []

    def listens(conn, reader):
        conn.sendall(pattern(3000000))
        conn.shutdown(socket.SHUT_WR)
        got.append(reader.data + recv_all(conn))
    s, front = start(t, [t.backend(switching(listens))])
    with upgraded(front) as c:
        check(c.reader.exactly(3000000) == pattern(3000000), "bytes differ")
        expect_eof(c.s)
        c.s.sendall(b"still here")
        c.s.shutdown(socket.SHUT_WR)
        wait_until(lambda: got == [b"still here"], lambda: "the backend has the rest: %r" % got)
    no_places_taken(s)


def test_resets_of_a_tunnel_are_passed_on(t):
    ended = []

    def until_reset(conn, reader):
        try:
            ended.append(recv_all(conn))
        except ConnectionResetError:
            ended.append("reset")
    b = t.backend(switching(until_reset))
    s, front = start(t, [b])
    c = upgraded(front)
    reset(c.s)
    wait_until(lambda: ended == ["reset"], lambda: "the backend's end: %r" % ended)
    c = upgraded(front)
    b.kill()
    expect_reset(c.s)
    c.close()
    no_places_taken(s)


def test_large_data_both_ways_at_once(t):
    s, front = start(t, [t.backend(switching(echoes))])
    data = pattern(8 << 20)
    with upgraded(front) as c:
        sender = threading.Thread(target=c.s.sendall, args=(data,), daemon=True)
        sender.start()
        check(c.reader.exactly(len(data)) == data, "bytes differ")
        sender.join()
    no_places_taken(s)


def test_an_upgrade_that_is_declined_is_a_request_like_others(t):
    b = t.backend(app(lambda r, b: answer(426, b"no", ["Connection: Upgrade", "Upgrade: other"])))
    s, front = start(t, [b])
    with Client(front) as c:
        for _ in range(3):
            c.send("/", headers=ASK)
            r = c.response()
            check_eq((r.status, r.body), (426, b"no"))
    no_places_taken(s)


def test_a_101_that_nobody_asked_for_is_502(t):
    s, front = start(t, [t.backend(switching(echoes))])
    check_eq(fetch(front).status, 502)
    no_places_taken(s)


def test_a_tunnel_takes_a_place_until_it_ends(t):
    b = t.backend(switching(echoes))
    s, front = start(t, [(b, "max_connections = 1;")], pool=NO_CHECKS + 'queue = { timeout = "100ms"; };')
    with upgraded(front):
        check_eq(fetch(front).status, 503)
        check_eq(s.number("app", "b1", "scur"), 1)
    no_places_taken(s)
    with upgraded(front):
        pass


def test_sigterm_serves_those_who_wait_for_a_place(t):
    gate = threading.Event()

    def respond(r, b):
        gate.wait(SECONDS)
        return answer(body=b"x")
    b = t.backend(app(respond))
    s, front = start(t, [(b, "max_connections = 1;")])
    clients = [Client(front) for _ in range(3)]
    for c in clients:
        c.send()
    s.wait_number("app", "BACKEND", "qcur", 2)
    s.process.send_signal(signal.SIGTERM)
    s.wait_log("drain")
    gate.set()
    for c in clients:
        r = c.response()
        check_eq((r.status, r.body, r.header("connection")), (200, b"x", "close"))
        expect_eof(c.s)
    s.wait_end()


def test_sigterm_in_the_midst_of_an_upload_takes_the_rest(t):
    s, front = start(t, [t.backend(app(lambda r, b: answer(body=b"%d" % len(r.body))))])
    with Client(front) as c:
        c.send("/", "POST", headers=["Content-Length: 2000000"])
        c.s.sendall(b"x" * 1000000)
        s.wait_number("app", "b1", "scur", 1)
        s.process.send_signal(signal.SIGTERM)
        s.wait_log("drain")
        c.s.sendall(b"x" * 1000000)
        r = c.response()
        check_eq((r.status, r.body, r.header("connection")), (200, b"2000000", "close"))
    s.wait_end()
