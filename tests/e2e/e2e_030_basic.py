"""Bytes go both ways unchanged, and every side may end its own direction."""

import contextlib
import socket
import subprocess
import threading
import time

from harness import *

NO_CHECKS = 'health = { type = "none"; };'  # where a handler counts its connections


def test_basic_echo(t):
    s, front = t.simple([t.backend(echo)])
    data = pattern(300000)
    with contextlib.closing(connect(front)) as c:
        writer = threading.Thread(target=c.sendall, args=(data,))
        writer.start()
        check(recv_exact(c, len(data)) == data, "echoed bytes differ")
        writer.join()


def test_basic_server_speaks_first(t):
    s, front = t.simple([t.backend(named)])
    with contextlib.closing(connect(front)) as c:
        check_eq(recv_line(c), b"b1\n")
        c.sendall(b"then me")
        check_eq(recv_exact(c, 7), b"then me")


def test_basic_many_short_connections(t):
    b = t.backend(answers)
    s, front = t.simple([b])
    in_threads(8, lambda i: [check_eq(talk(front, b"%d\n" % i), b"b1 %d\n" % i) for _ in range(40)])
    s.wait_number("front", "FRONTEND", "stot", 320)
    check_eq(s.number("app", "b1", "stot"), 320)
    check_eq(s.number("app", "BACKEND", "stot"), 320)


def test_basic_bytes_are_counted_exactly(t):
    s, front = t.simple([t.backend(answers)])
    with contextlib.closing(connect(front)) as c:
        c.sendall(b"12345\n")
        check_eq(recv_line(c), b"b1 12345\n")
    s.wait_number("front", "FRONTEND", "scur", 0)
    for row in (("front", "FRONTEND"), ("app", "b1"), ("app", "BACKEND")):
        check_eq((s.number(*row, "bin"), s.number(*row, "bout")), (6, 9), "bytes of %s" % (row,))


def test_client_half_close_then_answer(t):
    def after_eof(conn, b):
        data = recv_all(conn)
        conn.sendall(b"got %d" % len(data))
    s, front = t.simple([t.backend(after_eof)])
    with contextlib.closing(connect(front)) as c:
        c.sendall(b"x" * 100000)
        c.shutdown(socket.SHUT_WR)
        check_eq(recv_all(c), b"got 100000")


def test_client_half_close_before_any_byte(t):
    def after_eof(conn, b):
        conn.sendall(b"got %d" % len(recv_all(conn)))
    s, front = t.simple([t.backend(after_eof)])
    with contextlib.closing(connect(front)) as c:
        c.shutdown(socket.SHUT_WR)
        check_eq(recv_all(c), b"got 0")


def test_server_half_close_then_client_goes_on(t):
    got = []

    def half(conn, b):
        conn.sendall(b"bye")
        conn.shutdown(socket.SHUT_WR)
        got.append(recv_all(conn))
    s, front = t.simple([t.backend(half)], pool=NO_CHECKS)
    with contextlib.closing(connect(front)) as c:
        check_eq(recv_all(c), b"bye")
        for _ in range(20):
            c.sendall(b"y" * 5000)
            time.sleep(0.005)
    wait_until(lambda: got, "the backend read to the end")
    check_eq(len(got[0]), 100000)


def test_half_close_both_ways_with_data_after(t):
    def both(conn, b):
        conn.sendall(b"first")
        check_eq(recv_exact(conn, 4), b"ping")
        conn.sendall(b"second")
        conn.shutdown(socket.SHUT_WR)
        check_eq(recv_all(conn), b"tail" * 1000)
    b = t.backend(both)
    s, front = t.simple([b], pool=NO_CHECKS)
    with contextlib.closing(connect(front)) as c:
        check_eq(recv_exact(c, 5), b"first")
        c.sendall(b"ping")
        check_eq(recv_all(c), b"second")
        c.sendall(b"tail" * 1000)
        c.shutdown(socket.SHUT_WR)
        wait_until(lambda: b.open == 0, "the backend is done")


def test_one_byte_dribbles_both_ways(t):
    def dribble(conn, b):
        for byte in recv_exact(conn, 300):
            conn.sendall(bytes([byte]))
            time.sleep(0.0005)
    s, front = t.simple([t.backend(dribble)])
    data = pattern(300)

    def client(i):
        with contextlib.closing(connect(front)) as c:
            for byte in data:
                c.sendall(bytes([byte]))
                time.sleep(0.0005)
            check(recv_all(c) == data, "dribbled bytes differ")
    in_threads(10, client)


def test_urgent_looking_and_binary_bytes_pass(t):
    s, front = t.simple([t.backend(echo)])
    data = bytes(range(256)) * 3
    with contextlib.closing(connect(front)) as c:
        c.sendall(data)
        check(recv_exact(c, len(data)) == data, "bytes differ")


def test_connections_are_spread_over_workers_and_counted_once(t):
    b = t.backend(answers)
    s, front = t.simple([b], top="workers = 4;")
    conns = [connect(front) for _ in range(64)]
    for c in conns:
        c.sendall(b"a\n")
        check_eq(recv_line(c), b"b1 a\n")
    check_eq(s.number("front", "FRONTEND", "scur"), 64)
    check_eq(s.number("app", "b1", "scur"), 64)
    check_eq(s.info()["CurrConns"], "64")
    for c in conns:
        c.close()
    s.wait_number("front", "FRONTEND", "scur", 0)


def test_http_through_curl_and_nginx(t):
    port = t.port()
    with open(t.path("page"), "wb") as f:
        f.write(pattern(3 << 20))
    os_user = "user root;" if __import__("os").geteuid() == 0 else ""
    with open(t.path("nginx.conf"), "w") as f:
        f.write("""%s daemon off; worker_processes 1; pid %s; error_log %s crit;
events { worker_connections 256; }
http { access_log off; client_body_temp_path %s; proxy_temp_path %s; fastcgi_temp_path %s;
  uwsgi_temp_path %s; scgi_temp_path %s;
  server { listen %s:%d; root %s; } }
""" % (os_user, t.path("nginx.pid"), t.path("nginx.errors"), *[t.path("tmp%d" % i) for i in range(5)],
            t.ip, port, t.dir))
    t.program(["nginx", "-c", t.path("nginx.conf"), "-e", t.path("nginx.errors")])
    s, front = t.simple([(t.ip, port)], pool='health = { type = "http"; path = "/page"; interval = "100ms"; };')
    done = subprocess.run(["curl", "-s", "-S", "--max-time", "20", "-o", t.path("got#1"),
                           "http://%s:%d/page?[1-20]" % front], stderr=subprocess.PIPE)
    check_eq(done.returncode, 0, done.stderr.decode())
    with open(t.path("page"), "rb") as a:
        page = a.read()
    for i in range(1, 21):
        with open(t.path("got%d" % i), "rb") as f:
            check(f.read() == page, "download differs", i)


def test_basic_a_server_that_speaks_first_is_not_waited_for(t):
    """A banner must not wait for a delayed acknowledgement (40 to 200 ms)."""
    s, front = t.simple([t.backend(named)])
    times = []
    for _ in range(10):
        started = time.monotonic()
        who(front)
        times.append(time.monotonic() - started)
    check(sorted(times)[5] < 0.03, "median seconds until the banner", sorted(times)[5])
