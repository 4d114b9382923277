"""Mode http: ends that come late, from the other side, or while something is short."""

import resource

from http_tools import *

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


def test_endless_interim_responses_wait_for_a_client_that_does_not_read(t):
    """... so the backend is held up, and sluice's memory does not grow."""
    sent = []

    def handler(conn, b):
        Reader(conn).until(b"\r\n\r\n")
        conn.settimeout(1)
        with contextlib.suppress(OSError):
            while sum(sent) < 100 << 20:
                sent.append(conn.send(answer(103, headers=["Link: " + "x" * 100]) * 100))
            return
        b.held = True
    b = t.backend(handler)
    s, front = start(t, [b])
    with Client(front, rcvbuf=4096) as c:
        c.send("/")
        wait_until(lambda: getattr(b, "held", False) or sum(sent) >= 100 << 20, "the backend is held up")
    check(sum(sent) < 100 << 20, "the backend is held up", sum(sent))


def test_chunks_of_one_byte_arrive(t):
    n = 20000

    def handler(conn, b):
        Reader(conn).until(b"\r\n\r\n")
        conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
                     b"".join(b"1\r\n%c\r\n" % (65 + i % 26) for i in range(n)) +
                     b"2000\r\n" + bytes(0x2000) + b"\r\n3\r\nend\r\n0\r\n\r\n")
    _, front = start(t, [t.backend(handler)])
    check(fetch(front).body == b"".join(b"%c" % (65 + i % 26) for i in range(n)) + bytes(0x2000) + b"end",
          "payload")


def test_an_upgraded_connection_ends_when_its_backend_takes_no_more(t):
    """The backend has closed: what the client still says is answered by a reset, and nobody will read
    the rest."""
    def closes(conn, backend):
        if Reader(conn).until(b"\r\n\r\n") is not None:
            conn.sendall(SWITCH)
    s, front = start(t, [t.backend(closes)])
    with Client(front) as c:
        c.send("/", headers=["Connection: Upgrade", "Upgrade: echo"])
        check_eq(c.head().status, 101)
        expect_eof(c.s)
        with contextlib.suppress(OSError):
            for _ in range(3):
                c.s.sendall(b"is anybody there?")
                time.sleep(0.1)
            c.s.shutdown(socket.SHUT_WR)
        no_places_taken(s)


def test_an_upload_goes_on_without_pipes(t):
    """Large payload is spliced; where no descriptor is left for a pipe it is copied."""
    s, front = start(t, [t.backend(app(lambda r, b: answer(body=b"%d" % len(r.body))))])
    with Client(front) as c:
        c.request("/")
        wait_until(lambda: s.number("app", "b1", "srv_icur") == 1, "an idle connection")
        fds = [int(fd) for fd in os.listdir("/proc/%d/fd" % s.process.pid)]
        limits = resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE)
        free = set(range(max(fds) + 1)) - set(fds)
        resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, (max(fds) + 1 - len(free), limits[1]))
        r = c.request("/", method="PUT", body=pattern(1 << 20))
        check_eq((r.status, r.body), (200, b"%d" % (1 << 20)))
        resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, limits)


def test_a_unix_client_that_leaves_behind_unread_bytes_frees_the_backend(t):
    b = t.backend(hangs)
    listen = t.path("front.sock")
    s = t.sluice(http_conf(t, [b], listen))
    c = connect(listen)
    c.settimeout(1)
    with contextlib.suppress(OSError):
        c.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20000)
    wait_until(lambda: b.open == 1, "the request is there")
    c.close()
    wait_until(lambda: b.open == 0, "the backend is left")
    no_places_taken(s)


def test_a_client_that_leaves_within_its_payload_does_not_stay_in_the_queue(t):
    b = t.backend(hangs)
    s, front = start(t, [(b, "max_connections = 1;")], pool=NO_CHECKS + 'queue = { timeout = "60s"; };')
    with Client(front) as first:
        first.send("/")
        wait_until(lambda: b.open == 1, "the place is taken")
        with Client(front) as second:
            second.s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
            wait_until(lambda: s.number("app", "BACKEND", "qcur") == 1, "the second waits")
        wait_until(lambda: s.number("app", "BACKEND", "qcur") == 0, "the second has left")


def test_the_end_of_a_request_that_comes_with_the_response_s_end_is_sent(t):
    """Both complete in one turn: the connection is kept only with nothing unsent."""
    got = []

    def early(conn, backend):
        reader = Reader(conn)
        if reader.until(b"\r\n\r\n") is None:
            return
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
        reader.exactly(5)
        t.go_on.wait(10)
        conn.sendall(b"x")
        while reader.more():
            got.append(reader.data)
    t.go_on = threading.Event()
    s, front = start(t, [t.backend(early)])
    with Client(front) as c:
        c.s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabcde")
        check_eq(c.head().status, 200)
        os.kill(s.process.pid, signal.SIGSTOP)
        try:
            c.s.sendall(b"fghij")
            t.go_on.set()
            time.sleep(0.2)
        finally:
            os.kill(s.process.pid, signal.SIGCONT)
        check_eq(c.reader.exactly(1), b"x")
    wait_until(lambda: got and got[-1] == b"fghij", lambda: "the rest is there: %r" % got)


def test_trailers_are_sent_again_with_the_request(t):
    """On a reused connection that was dead."""
    seen_raw = []

    def dies_once(conn, backend):
        reader = Reader(conn)
        n = 0
        while True:
            raw = reader.until(b"\r\n\r\n")
            if raw is None:
                return
            r = Request(raw)
            if r.header("transfer-encoding"):
                body = reader.until(b"0\r\n")
                body += b"0\r\n" + reader.until(b"\r\n\r\n" if b"X-Sum" in reader.data else b"\r\n")
                seen_raw.append(body)
                if n == 1:
                    return
            conn.sendall(answer(body=b"ok"))
            n += 1
    b = t.backend(dies_once)
    s, front = start(t, [b])
    with Client(front) as c:
        c.request("/")
        c.s.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                    b"3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n")
        check_eq(c.response().status, 200)
    check_eq(len(seen_raw), 2, "sent twice")
    check_eq(seen_raw[1], seen_raw[0], "the same both times")


def test_what_comes_behind_pipelined_requests_is_not_stored(t):
    """The client reads none of its answers and goes on sending: that is not stored for it."""
    s, front = start(t, [t.backend(app(lambda r, b: answer(body=b"x" * 8000)))])
    before = status_kb(s.process.pid, "VmRSS")
    clients = []
    for _ in range(4):
        c = connect(front, rcvbuf=4096)
        c.settimeout(0.5)
        clients.append(c)
        # the answers fill the kernel's buffers, and the last is the connection's last
        for _ in range(2000):
            c.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(OSError):
            c.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            for _ in range(400):
                c.sendall(bytes(1 << 16))
    grown = status_kb(s.process.pid, "VmRSS") - before
    check(grown < 20000, "memory has grown by %d kB" % grown)
    for c in clients:
        c.close()
