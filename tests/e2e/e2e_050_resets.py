"""Resets are passed on as resets, at every stage, and leave nothing behind."""

import contextlib
import os
import socket
import sys
import threading
import time

from harness import *

NO_CHECKS = 'health = { type = "none"; };'  # handlers here count their connections


class Seen:
    """A backend's handler that notes how its connection ended."""

    def __init__(self, first=b""):
        self.first, self.ends = first, []

    def __call__(self, conn, backend):
        if self.first:
            conn.sendall(self.first)
        try:
            n = len(recv_all(conn))
            self.ends.append(("eof", n))
        except ConnectionResetError:
            self.ends.append(("reset", 0))

    def wait(self, kind):
        wait_until(lambda: self.ends, "the backend's connection ended")
        check_eq(self.ends[0][0], kind, "end as the backend sees it")


def test_client_reset_reaches_the_backend_as_reset(t):
    seen = Seen(b"hello\n")
    s, front = t.simple([t.backend(seen)], pool=NO_CHECKS)
    c = connect(front)
    recv_line(c)
    c.sendall(b"some data")
    reset(c)
    seen.wait("reset")


def test_client_reset_before_any_byte(t):
    seen = Seen()
    b = t.backend(seen)
    s, front = t.simple([b], pool=NO_CHECKS)
    c = connect(front)
    wait_until(lambda: b.open, "the backend is connected")
    reset(c)
    wait_until(lambda: b.open == 0, "the backend's connection ended")
    s.wait_number("app", "b1", "scur", 0)


def test_server_reset_reaches_the_client_as_reset(t):
    def after_first(conn, b):
        conn.sendall(b"partial")
        recv_exact(conn, 4)
        reset(conn)
    s, front = t.simple([t.backend(after_first)], pool=NO_CHECKS)
    with contextlib.closing(connect(front)) as c:
        check_eq(recv_exact(c, 7), b"partial")
        c.sendall(b"ping")
        expect_reset(c)


def test_server_reset_in_the_middle_of_a_big_answer(t):
    def half_way(conn, b):
        conn.sendall(b"z" * 3000000)
        recv_exact(conn, 4)
        conn.sendall(b"z" * 100000)
        reset(conn)
    s, front = t.simple([t.backend(half_way)], pool=NO_CHECKS)
    with contextlib.closing(connect(front)) as c:
        recv_exact(c, 3000000)
        c.sendall(b"more")
        expect_reset(c)


def test_client_reset_in_the_middle_of_a_big_upload(t):
    seen = Seen()
    b = t.backend(seen)
    s, front = t.simple([b], pool=NO_CHECKS)
    c = connect(front)
    wait_until(lambda: b.open, "the backend is connected")  # else it need not hear of it
    c.sendall(b"u" * 2000000)
    reset(c)
    wait_until(lambda: seen.ends, "the backend's connection ended")
    check_eq(seen.ends[0][0], "reset")


def test_client_reset_while_the_backend_is_not_reading(t):
    """Bytes wait on both sides; the reset must be seen although nothing can be sent."""
    stop = threading.Event()

    def stuck(conn, b):
        conn.sendall(b"!")
        stop.wait(60)
    b = t.backend(stuck)
    s, front = t.simple([b], pool=NO_CHECKS)
    c = connect(front)
    recv_exact(c, 1)
    c.settimeout(0.5)
    with contextlib.suppress(TimeoutError, socket.timeout):
        while True:
            c.sendall(b"w" * 65536)
    reset(c)
    s.wait_number("front", "FRONTEND", "scur", 0)
    stop.set()


def test_server_reset_while_the_client_is_not_reading(t):
    go = threading.Event()

    def flood(conn, b):
        conn.settimeout(0.5)
        with contextlib.suppress(TimeoutError, socket.timeout):
            while True:
                conn.sendall(b"f" * 65536)
        go.set()
        reset(conn)
    s, front = t.simple([t.backend(flood)], pool=NO_CHECKS)
    c = connect(front)
    check(go.wait(SECONDS * 2), "the backend is blocked")
    # the client still reads nothing: its window is closed, the session must end all the same
    s.wait_number("app", "b1", "scur", 0)
    c.close()


def test_client_reset_after_its_half_close(t):
    seen_end = []

    def late(conn, b):
        recv_all(conn)  # the client's end
        try:
            while True:
                conn.sendall(b"." * 1000)
                time.sleep(0.01)
        except (ConnectionResetError, BrokenPipeError):
            seen_end.append(True)
    s, front = t.simple([t.backend(late)], pool=NO_CHECKS)
    c = connect(front)
    c.shutdown(socket.SHUT_WR)
    recv_exact(c, 1000)
    reset(c)
    wait_until(lambda: seen_end, "the backend notices")


def test_server_reset_after_its_half_close(t):
    def late(conn, b):
        conn.sendall(b"x")
        conn.shutdown(socket.SHUT_WR)
        recv_exact(conn, 4)
        reset(conn)
    s, front = t.simple([t.backend(late)], pool=NO_CHECKS)
    with contextlib.closing(connect(front)) as c:
        check_eq(recv_all(c), b"x")
        c.sendall(b"ping")

        def broken():
            try:
                c.sendall(b"more")
                return False
            except (ConnectionResetError, BrokenPipeError):
                return True
        wait_until(broken, "the client's sends fail")


def test_both_reset_at_once_many_times(t):
    def r(conn, b):
        conn.sendall(b"k")
        recv_exact(conn, 1)
        reset(conn)
    s, front = t.simple([t.backend(r)], pool=NO_CHECKS)

    def client(i):
        for _ in range(25):
            c = connect(front)
            recv_exact(c, 1)
            c.sendall(b"g")
            reset(c)
    in_threads(8, client)
    s.wait_number("front", "FRONTEND", "scur", 0)


def test_clients_that_leave_while_connecting(t):
    s, front = t.simple([t.hanging_address()],
                        pool='health = { type = "none"; };', top='timeouts = { connect = "60s"; };'
                        ' drain = { deadline = "1s"; };')
    clients = [connect(front) for _ in range(10)]
    s.wait_number("front", "FRONTEND", "scur", 10)
    for i, c in enumerate(clients):
        reset(c) if i % 2 else c.close()
    # an orderly end may be a half-close of a client that still waits for an answer; a reset may not
    wait_until(lambda: s.number("front", "FRONTEND", "scur") <= 5, "resets are noticed")
    s.quiet = False


def test_server_reset_right_behind_its_answer(t):
    """Answer and reset are both there before the worker looks (it is made to wait by busy processors):
    the end must be seen all the same."""
    def answer_and_reset(conn, b):
        conn.sendall(b"a" * 100)
        reset(conn)
    t.prefix += ["nice", "-n", "15"]
    s, front = t.simple([t.backend(answer_and_reset)], pool=NO_CHECKS)
    hogs = [t.program([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() + 1)]

    def client(i):
        for _ in range(100):
            with contextlib.suppress(ConnectionResetError):
                with contextlib.closing(connect(front, timeout=5)) as c:
                    recv_all(c)
    in_threads(4, client)
    for hog in hogs:
        hog.kill()
