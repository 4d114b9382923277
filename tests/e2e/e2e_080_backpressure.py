"""A slow reader never makes memory grow: what it does not take stays with the sender."""

import contextlib
import socket
import threading
import time

from harness import *

NO_CHECKS = 'health = { type = "none"; };'  # handlers here count their connections

MANY = 20
BOUND_KB = 48 << 10  # for MANY connections; unbounded copying would be far beyond


def peak_rss(s, stop):
    peak = [0]

    def watch():
        while not stop.is_set():
            with contextlib.suppress(OSError, AttributeError):
                peak[0] = max(peak[0], status_kb(s.pid, "VmRSS"))
            time.sleep(0.05)
    threading.Thread(target=watch, daemon=True).start()
    return peak


def stuck(sock):
    """Sends until the way is full; returns the bytes it took."""
    sock.settimeout(1.0)
    sent = 0
    with contextlib.suppress(TimeoutError, socket.timeout):
        while True:
            sent += sock.send(b"s" * 65536)
    return sent


def test_slow_clients_hold_back_the_backend(t):
    sent = []

    def flood(conn, b):
        sent.append(stuck(conn))
        conn.settimeout(SECONDS)
        conn.sendall(b"END")
    s, front = t.simple([t.backend(flood)], pool=NO_CHECKS)
    before = status_kb(s.pid, "VmRSS")
    stop = threading.Event()
    peak = peak_rss(s, stop)
    clients = [connect(front, rcvbuf=8192) for _ in range(MANY)]
    wait_until(lambda: len(sent) == MANY, "all backends are blocked", seconds=40)
    grown = peak[0] - before
    check(grown < BOUND_KB, "kB that the process grew", grown)
    # then all of it arrives
    for c, _ in zip(clients, sent):
        data = recv_all(c)
        check(data.endswith(b"END"), "the end arrives")
        c.close()
    stop.set()


def test_slow_backends_hold_back_the_client(t):
    go = threading.Event()
    got = []

    def slow(conn, b):
        go.wait(60)
        got.append(len(recv_all(conn)))
    s, front = t.simple([t.backend(slow, rcvbuf=8192)], pool=NO_CHECKS)
    before = status_kb(s.pid, "VmRSS")
    stop = threading.Event()
    peak = peak_rss(s, stop)
    clients = [connect(front) for _ in range(MANY)]
    sent = in_threads(MANY, lambda i: stuck(clients[i]))
    check(peak[0] - before < BOUND_KB, "kB that the process grew", peak[0] - before)
    for c in clients:
        c.shutdown(socket.SHUT_WR)
    go.set()
    wait_until(lambda: len(got) == MANY, "the backends have read", seconds=40)
    check_eq(sorted(got), sorted(sent))
    for c in clients:
        expect_eof(c)
        c.close()
    stop.set()


def test_a_slow_reader_starves_nobody_else(t):
    def serve(conn, b):
        line = recv_line(conn)
        if line == b"flood\n":
            stuck(conn)
        else:
            conn.sendall(b"quick\n")
    s, front = t.simple([t.backend(serve)], top="workers = 1;", pool=NO_CHECKS)
    slow = [connect(front, rcvbuf=4096) for _ in range(10)]
    for c in slow:
        c.sendall(b"flood\n")
    for _ in range(50):
        started = time.monotonic()
        check_eq(talk(front, b"hi\n"), b"quick\n")
        check(time.monotonic() - started < 2, "a quick answer is quick")
    for c in slow:
        c.close()


def test_a_slow_reader_that_reads_a_byte_at_a_time_gets_everything_right(t):
    data = pattern(400000)

    def serve(conn, b):
        conn.sendall(data)
    s, front = t.simple([t.backend(serve)], pool=NO_CHECKS)
    with contextlib.closing(connect(front, rcvbuf=4096)) as c:
        head = b"".join(c.recv(1) for _ in range(3000))
        check(head + recv_all(c) == data, "bytes differ")
