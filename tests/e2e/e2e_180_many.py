"""Thousands of connections at once."""

import contextlib
import socket

from harness import *

N = 2000


def test_2000_connections_at_once(t):
    b = t.backend(echo)
    s, front = t.simple([b])
    conns = [connect(front) for _ in range(N)]
    s.wait_number("front", "FRONTEND", "scur", N, seconds=40)
    for round_ in range(2):
        for i, c in enumerate(conns):
            c.sendall(b"%06d" % i)
        for i, c in enumerate(conns):
            check_eq(recv_exact(c, 6), b"%06d" % i)
    check_eq(s.number("app", "b1", "scur"), N)
    for i, c in enumerate(conns):
        reset(c) if i % 3 == 0 else c.close()
    s.wait_number("front", "FRONTEND", "scur", 0, seconds=40)
    check_eq(s.number("app", "b1", "smax"), N)


def test_2000_connections_in_one_burst_and_gone_at_once(t):
    b = t.backend(hangs)
    s, front = t.simple([b])
    conns = []
    for _ in range(N):
        c = socket.socket()
        c.setblocking(False)
        c.connect_ex(front)
        conns.append(c)
    wait_until(lambda: s.number("front", "FRONTEND", "stot") == N, "all are accepted", 40)
    for c in conns:
        c.close()
    s.wait_number("front", "FRONTEND", "scur", 0, seconds=40)


def test_the_backend_dies_under_2000_connections(t):
    b = t.backend(named)
    s, front = t.simple([b])
    conns = [connect(front) for _ in range(N)]
    for c in conns:
        recv_line(c)
    b.kill()
    for c in conns:
        expect_closed(c)
        c.close()
    s.wait_number("app", "b1", "scur", 0, seconds=40)
