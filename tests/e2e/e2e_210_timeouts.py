"""Timeouts: of connecting, and of tunnels where nothing moves."""

import contextlib
import time

from harness import *

NO_CHECKS = 'health = { type = "none"; };'


def test_connect_timeout(t):
    s, front = t.simple([t.hanging_address()], pool=NO_CHECKS + " retries = { attempts = 0; };",
                        top='timeouts = { connect = "300ms"; };')
    started = time.monotonic()
    with contextlib.closing(connect(front)) as c:
        expect_closed(c)
    took = time.monotonic() - started
    check(0.25 <= took < 5, "seconds", took)
    s.wait_access(" sC ")


def test_tunnel_timeout(t):
    s, front = t.simple([t.backend(named)], top='timeouts = { tunnel = "500ms"; };')
    with contextlib.closing(connect(front)) as c:
        recv_line(c)
        started = time.monotonic()
        expect_closed(c)
        took = time.monotonic() - started
    check(0.4 <= took < 5, "seconds", took)
    s.wait_access(" [cs]D ")


def test_a_busy_tunnel_is_not_idle(t):
    s, front = t.simple([t.backend(echo)], top='timeouts = { tunnel = "700ms"; };')
    with contextlib.closing(connect(front)) as c:
        for _ in range(12):
            c.sendall(b"x")
            check_eq(recv_exact(c, 1), b"x")
            time.sleep(0.15)


def test_one_busy_direction_keeps_the_tunnel(t):
    def ticks(conn, b):
        for _ in range(12):
            conn.sendall(b".")
            time.sleep(0.15)
    s, front = t.simple([t.backend(ticks)], top='timeouts = { tunnel = "700ms"; };')
    with contextlib.closing(connect(front)) as c:
        check_eq(recv_all(c), b"." * 12)


def test_tunnel_timeout_with_a_reader_that_stopped(t):
    """Nothing moves because the client does not read: that is idle too."""
    def flood(conn, b):
        while True:
            conn.sendall(b"f" * 65536)
    s, front = t.simple([t.backend(flood)], top='timeouts = { tunnel = "500ms"; };')
    c = connect(front, rcvbuf=4096)
    s.wait_number("front", "FRONTEND", "scur", 1)
    s.wait_number("front", "FRONTEND", "scur", 0)
    c.close()


def test_tunnel_timeout_of_the_listener_wins(t):
    s, front = t.simple([t.backend(named)], top='timeouts = { tunnel = "60s"; };',
                        listener='timeouts = { tunnel = "300ms"; };')
    with contextlib.closing(connect(front)) as c:
        recv_line(c)
        expect_closed(c)
