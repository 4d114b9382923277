"""Limits hold exactly: connections of a backend (with queue and its time-out), of a listener, of a source,
of the process."""

import contextlib
import re
import socket
import time

from harness import *


def held(front, n, **kw):
    conns = [connect(front, **kw) for _ in range(n)]
    for c in conns:
        recv_line(c)
    return conns


def test_max_connections_queues_the_rest(t):
    b = t.backend(named)
    # One worker: of two that accept in the same microsecond nobody can tell who was first.
    s, front = t.simple([(b, "max_connections = 3;")], top="workers = 1;")
    first = held(front, 3)
    late = [connect(front) for _ in range(4)]
    s.wait_number("app", "BACKEND", "qcur", 4)
    check_eq(s.number("app", "b1", "scur"), 3)
    for c in first:
        c.close()
    for c in late[:3]:
        check_eq(recv_line(c), b"b1\n")
    late[0].close()
    check_eq(recv_line(late[3]), b"b1\n")
    for c in late:
        c.close()
    check_eq(s.number("app", "b1", "smax"), 3, "most connections at a time")


def test_the_queue_is_served_in_order_and_across_workers(t):
    b = t.backend(named)
    s, front = t.simple([(b, "max_connections = 1;")], top="workers = 4;")

    def client(i):
        for _ in range(10):
            check_eq(who(front), "b1")
    in_threads(12, client)
    check_eq(s.number("app", "b1", "smax"), 1)


def test_queue_timeout(t):
    s, front = t.simple([(t.backend(named), "max_connections = 1;")],
                        pool='queue = { timeout = "300ms"; };')
    first = held(front, 1)
    c = connect(front)
    started = time.monotonic()
    expect_closed(c)
    check(time.monotonic() - started >= 0.25, "it waited first")
    c.close()
    s.wait_access(" sQ ")
    for x in first:
        x.close()


def test_queue_limit(t):
    s, front = t.simple([(t.backend(named), "max_connections = 1;")], top="workers = 1;",
                        pool='queue = { limit = 2; timeout = "30s"; };')
    first = held(front, 1)
    waiting = [connect(front), connect(front)]
    s.wait_number("app", "BACKEND", "qcur", 2)
    c = connect(front)
    expect_closed(c)
    c.close()
    s.wait_access(" SQ ")
    for x in first + waiting:
        x.close()


def test_a_client_that_leaves_the_queue_gives_its_place_back(t):
    s, front = t.simple([(t.backend(named), "max_connections = 1;")], pool='queue = { timeout = "30s"; };')
    first = held(front, 1)
    waiting = [connect(front) for _ in range(5)]
    s.wait_number("app", "BACKEND", "qcur", 5)
    for c in waiting:
        reset(c)
    s.wait_number("app", "BACKEND", "qcur", 0)
    for c in first:
        c.close()


def test_full_backends_are_passed_over(t):
    a, b = t.backend(named), t.backend(named)
    s, front = t.simple([(a, "max_connections = 2;"), (b, "max_connections = 4;")])
    conns = held(front, 6)
    check_eq((s.number("app", "b1", "scur"), s.number("app", "b2", "scur")), (2, 4))
    for c in conns:
        c.close()


def test_per_listener_cap(t):
    s, front = t.simple([t.backend(named)], listener="limits = { connections = 5; };")
    conns = held(front, 5)
    refused(front)
    s.wait_log("WARN listener front: a connection .*is refused: the listener has limits.connections")
    check_eq(s.number("front", "FRONTEND", "scur"), 5)
    check_eq(s.number("front", "FRONTEND", "smax"), 5)
    for c in conns:
        c.close()
    wait_until(lambda: works(front), "room again")


def refused(front, **kw):
    """Over a cap: ended at once, even while connecting."""
    with contextlib.suppress(ConnectionResetError):
        with contextlib.closing(connect(front, **kw)) as c:
            expect_closed(c)


def works(front, **kw):
    try:
        return who(front, **kw) == "b1"
    except (Failure, ConnectionError):
        return False


def test_per_source_cap(t):
    s, front = t.simple([t.backend(named)], listener="limits = { per_source = 3; };",
                        top="workers = 4;")
    conns = held(front, 3, source="127.9.0.1")
    for _ in range(4):
        refused(front, source="127.9.0.1")
    s.wait_log("WARN listener front: a connection from 127.9.0.1:[0-9]+ is refused: its source has ")
    check(len(re.findall("is refused", s.log)) <= 4, "not each has its line")
    check_eq(who(front, source="127.9.0.2"), "b1", "another source")
    conns[0].close()
    wait_until(lambda: works(front, source="127.9.0.1"), "room for the first source again")
    check(s.number("front", "FRONTEND", "dcon") >= 4, "refusals are counted")
    for c in conns:
        c.close()


def test_process_cap(t):
    s, front = t.simple([t.backend(named)], top="limits = { connections = 8; };")
    conns = held(front, 8)
    # more of them are refused or wait to be accepted
    extra = []
    for _ in range(4):
        with contextlib.suppress(ConnectionResetError):
            extra.append(connect(front))
    holds_for(0.3, lambda: int(s.info()["CurrConns"]) <= 8, "connections of the process")
    for c in conns + extra:
        c.close()
    wait_until(lambda: works(front), "room again")


def test_max_connections_can_be_reached_by_many_workers_at_once(t):
    b = t.backend(named)
    s, front = t.simple([(b, "max_connections = 7;")], top="workers = 4;")
    in_threads(40, lambda i: [who(front) for _ in range(5)])
    check(s.number("app", "b1", "smax") <= 7, "most at a time", s.number("app", "b1", "smax"))
    check_eq(s.number("app", "b1", "stot"), 200)
