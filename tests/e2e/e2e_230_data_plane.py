"""Corners of the data plane: what a hostile or unlucky peer does must not make it spin, starve or forget."""

import contextlib
import os
import signal
import socket
import threading
import time

from harness import *

NO_CHECKS = 'health = { type = "none"; };'  # handlers here count their connections


def stuck(sock):
    """Sends until the way is full; returns the bytes it took."""
    sock.settimeout(1.0)
    sent = 0
    with contextlib.suppress(TimeoutError, socket.timeout):
        while True:
            sent += sock.send(b"s" * 65536)
    return sent


def check_rests(s, what, seconds=1.0):
    """The process sleeps: hardly any processor time is used (a spin would take all of it)."""
    before = cpu_seconds(s.pid)
    time.sleep(seconds)
    used = cpu_seconds(s.pid) - before
    check(used < seconds / 3, "%s: processor seconds used" % what, used)


def half_closed_slow_reader(t, rest):
    blocked = threading.Event()
    sent = []

    def flood(conn, b):
        recv_all(conn)
        sent.append(stuck(conn))
        blocked.set()
        conn.settimeout(SECONDS)
        conn.sendall(rest)
    s, front = t.simple([t.backend(flood)], pool=NO_CHECKS)
    with contextlib.closing(connect(front, rcvbuf=4096)) as c:
        c.shutdown(socket.SHUT_WR)
        check(blocked.wait(SECONDS * 2), "the backend is blocked")
        check_rests(s, "a half-closed client that does not read")
        check_eq(len(recv_all(c)), sent[0] + len(rest))


def test_a_half_closed_client_that_does_not_read_costs_no_processor_time(t):
    half_closed_slow_reader(t, b"END")


def test_a_half_closed_client_blocked_in_buffers_costs_no_processor_time(t):
    """As above, before it is bulk: little by little, so that it is a send that waits, not a splice."""
    blocked = threading.Event()
    total = []

    def trickle(conn, b):
        recv_all(conn)
        conn.settimeout(1.0)
        n = 0
        with contextlib.suppress(TimeoutError, socket.timeout):
            while True:
                n += conn.send(b"t" * 3000)
                if n < 4000000 and n % 300000 == 0:
                    time.sleep(0.001)
        total.append(n)
        blocked.set()
    s, front = t.simple([t.backend(trickle)], pool=NO_CHECKS)
    with contextlib.closing(connect(front, rcvbuf=4096)) as c:
        c.shutdown(socket.SHUT_WR)
        check(blocked.wait(SECONDS * 2), "the backend is blocked")
        check_rests(s, "a half-closed client that does not read")
        check_eq(len(recv_all(c)), total[0])


def test_urgent_data_in_a_bulk_transfer_neither_spins_nor_stops_it(t):
    got = []

    def sink(conn, b):
        got.append(len(recv_all(conn)))
    s, front = t.simple([t.backend(sink)], pool=NO_CHECKS)
    with contextlib.closing(connect(front)) as c:
        c.sendall(b"b" * 8000000)
        c.send(b"!", socket.MSG_OOB)
        c.sendall(b"after")
        time.sleep(0.3)
        check_rests(s, "urgent data")
        c.sendall(b"c" * 1000000)
        c.send(b"!", socket.MSG_OOB)
        c.shutdown(socket.SHUT_WR)
        wait_until(lambda: got, "the backend has it all")
        check_in(got[0], range(9000005, 9000008), "bytes, with or without the urgent ones")


def test_urgent_data_just_before_the_end_of_a_bulk_transfer_costs_none_of_it(t):
    got = []

    def sink(conn, b):
        got.append(len(recv_all(conn)))
    s, front = t.simple([t.backend(sink)], pool=NO_CHECKS)
    for i in range(5):
        with contextlib.closing(connect(front)) as c:
            c.sendall(b"b" * 4000000)
            c.send(b"!", socket.MSG_OOB)
            c.sendall(b"c" * 100000)
            c.shutdown(socket.SHUT_WR)
            expect_eof(c)
    wait_until(lambda: len(got) == 5, "the backend has it all")
    for n in got:
        check_in(n, (4100000, 4100001), "bytes, with or without the urgent one")


def proxied(front, source):
    c = connect(front)
    c.sendall(b"PROXY TCP4 %s 10.4.5.6 1111 2222\r\nhi\n" % source)
    return c


def test_per_source_caps_count_the_source_that_a_proxy_header_names(t):
    s, front = t.simple([t.backend(answers)],
                        listener='proxy_protocol = "v1"; limits = { per_source = 2; };')
    held = []
    for i in (1, 1, 2, 2, 3, 3):
        held.append(proxied(front, b"10.9.8.%d" % i))
        check_eq(recv_line(held[-1]), b"b1 hi\n")
    with contextlib.closing(proxied(front, b"10.9.8.2")) as c:
        with contextlib.suppress(ConnectionResetError):
            expect_closed(c)
    check_eq(s.number("front", "FRONTEND", "dcon"), 1, "refusals are counted")
    for c in held:
        c.close()
    s.wait_number("front", "FRONTEND", "scur", 0)
    for _ in range(4):
        with contextlib.closing(proxied(front, b"10.9.8.2")) as c:
            check_eq(recv_line(c), b"b1 hi\n")
        s.wait_number("front", "FRONTEND", "scur", 0)
