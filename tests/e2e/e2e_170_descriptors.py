"""Running out of descriptors pauses accepting; it never spins or crashes, and it recovers."""

import contextlib
import time

from harness import *


def test_descriptors_run_out_and_come_back(t):
    b = t.backend(named)
    s, front = t.simple([b], nofile=96, pool='health = { type = "none"; };')
    conns = []
    for _ in range(120):  # more than fit; the rest waits in the accept queue
        c = connect(front)
        conns.append(c)
    wait_until(lambda: fds_of(s.pid)["socket"] > 50, "many are open")
    time.sleep(0.5)
    used = cpu_seconds(s.pid)
    time.sleep(2)
    used = cpu_seconds(s.pid) - used
    check(used < 0.5, "CPU seconds in 2 s while out of descriptors", used)
    check(s.alive(), "alive")
    check_in("Pid", s.ctl("show info"), "the stats socket still answers")
    check_match(r"(?i)descriptor|too many open files|EMFILE|limit", s.log)
    for c in conns:
        c.close()
    s.wait_number("front", "FRONTEND", "scur", 0)
    wait_until(lambda: works(front), "new connections are served")
    in_threads(8, lambda i: [check_eq(who(front), "b1") for _ in range(10)])


def works(front):
    with contextlib.suppress(Failure, OSError):
        return who(front, timeout=2) == "b1"


def test_those_that_were_accepted_keep_working(t):
    s, front = t.simple([t.backend(echo)], nofile=96, pool='health = { type = "none"; };')
    conns = [connect(front) for _ in range(10)]
    for c in conns:
        c.sendall(b"1")
        check_eq(recv_exact(c, 1), b"1")
    crowd = [connect(front) for _ in range(120)]
    time.sleep(0.3)
    for c in conns:
        c.sendall(b"2")
        check_eq(recv_exact(c, 1), b"2")
    for c in crowd + conns:
        c.close()


def test_bulk_without_pipes_still_arrives(t):
    """So few descriptors that splicing cannot get pipes: it is copied."""
    data = pattern(20 << 20)

    def serve(conn, b):
        conn.sendall(data)
    s, front = t.simple([t.backend(serve)], nofile=60, top="workers = 1;",
                        pool='health = { type = "none"; };')
    idle = [connect(front) for _ in range(4)]

    def one(i):
        with contextlib.closing(connect(front)) as c:
            check(recv_all(c) == data, "bytes differ")
    in_threads(4, one)
    for c in idle:
        c.close()
