"""How many look on, and what becomes of those who do not keep up, of a process that ends, of one that takes over."""

from e2e_530_dashboard import *
from upgrade_tools import reloaded, upgraded


def test_the_33rd_stream_is_refused(t):
    s, front, admin = start_admin(t)
    streams = [Stream(admin) for _ in range(32)]
    for stream in streams:
        check_eq(stream.next("state")["all"], True)
    with Stream(admin) as one_more:
        check_eq(one_more.head.status, 503)
        check_in("32 event streams", one_more.reader.body(one_more.head).decode())
    check_eq(ask(admin, "/livez").status, 200, "others are answered")
    streams.pop().close()

    def there_is_room():
        with Stream(admin) as stream:
            return stream.head.status == 200
    wait_until(there_is_room, "the place of one that left is free")
    for stream in streams:
        stream.next("state")
        stream.close()


def test_one_that_does_not_read_is_cut_and_the_others_are_not(t):
    # All that there is to say of so many backends is more than what waits for a slow one may be.
    s, front, admin = start_admin(t, [t.closed_address()] * 1000)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.settimeout(SECONDS)
    slow.connect(admin)
    slow.sendall(b"GET /dashboard/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    with Stream(admin) as stream:
        for n in range(12):
            s.ctl("add server app/more%d 127.0.0.1:9" % n)
            Stream(admin).close()  # who comes has the others told at once: everything, as there is a backend more
            stream.until("another", lambda o, e: "more%d" % n in o)
        with contextlib.suppress(ConnectionResetError):
            end = time.monotonic() + SECONDS
            while slow.recv(1 << 20):
                check(time.monotonic() < end, "it is cut")
        stream.next("state")
    slow.close()


def test_it_tells_of_the_end_and_ends(t):
    there, go = threading.Event(), threading.Event()

    def slow(conn, b):
        Reader(conn).until(b"\r\n\r\n")
        there.set()
        go.wait(SECONDS)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    s, front, admin = start_admin(t, [t.backend(slow)])
    with Stream(admin) as stream, connect(front) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        check(there.wait(SECONDS), "it is there")
        s.process.send_signal(signal.SIGTERM)
        while not stream.next("state")["process"]["ending"]:
            pass
        go.set()
        check_in(b"200 OK", c.recv(1000))
        s.wait_end()
        with contextlib.suppress(ConnectionError):
            while stream.reader.until(b"\n\n") is not None:
                pass


def test_those_who_look_on_are_sent_to_the_next_process(t):
    s, front, admin = start_admin(t)
    for _ in range(3):
        streams = [Stream(admin) for _ in range(10)]
        for stream in streams:
            check_eq(stream.next("state")["process"]["pid"], s.pid)
        with connect(front):  # the old one has something to wait for
            n = upgraded(t, s)
            for stream in streams:
                while stream.reader.until(b"\n\n") is not None:
                    pass
                stream.close()
            with Stream(admin) as stream:
                check_eq(stream.next("state")["process"]["pid"], n.pid)
        s.wait_end()
        s = n


def test_reloads_cost_nobody_his_stream(t):
    s, front, admin = start_admin(t)
    streams = [Stream(admin) for _ in range(10)]
    wait_until(lambda: all(stream.next("state") for stream in streams), "all look on")
    sockets = fds_of(s.pid).get("socket", 0)
    for i in range(4):
        reloaded(s, lambda text: re.sub(r'name = "b1";( weight = \d+;)?', 'name = "b1"; weight = %d;' % (i + 2), text))
        for stream in streams:
            stream.until("the new weight", lambda o, e: "b1" in o and o["b1"]["configured"] == i + 2)
    check(fds_of(s.pid).get("socket", 0) <= sockets, "no descriptor is left", sockets, fds_of(s.pid))
    for stream in streams:
        stream.close()
