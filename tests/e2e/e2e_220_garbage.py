"""Nothing that comes in on any socket crashes, hangs or leaks; every run has a seed and says it."""

import contextlib
import os
import random
import socket
import time

from harness import *


def seeded():
    seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
    print("SEED=%d" % seed)
    return random.Random(seed)


def test_garbage_on_the_stats_socket(t):
    s, front = t.simple([t.backend(named)])
    r = seeded()
    words = ["show", "stat", "info", "sess", "set", "server", "app/b1", "app/", "/", "weight", "-1", "json",
             "typed", "#1/#1", "#9", "help", "prompt", ";", "\\;", "clear", "counters", "<<", "state",
             "99999999999999999999", "%", "get", "addr", "1.2.3.4", "port", "shutdown", "session", "0x1"]
    for i in range(150):
        with contextlib.closing(connect(s.stats_path)) as c:
            if i % 3 == 0:
                line = bytes(r.randrange(256) for _ in range(r.randrange(1, 400)))
            else:
                line = " ".join(r.choice(words) for _ in range(r.randrange(1, 8))).encode()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError,
                                     socket.timeout):
                c.sendall(line + b"\n")
                c.shutdown(socket.SHUT_WR)
                c.settimeout(5)
                recv_all(c)
        check(s.alive(), "alive after", line)
    check_in("Pid", s.ctl("show info"))


def test_endless_lines_on_the_stats_socket(t):
    s, front = t.simple([t.backend(named)])
    before = status_kb(s.pid, "VmRSS")
    for _ in range(3):
        with contextlib.closing(connect(s.stats_path)) as c, \
                contextlib.suppress(ConnectionError, TimeoutError, socket.timeout):
            c.settimeout(2)
            for _ in range(200):
                c.sendall(b"x" * 65536)
    check(status_kb(s.pid, "VmRSS") - before < 16 << 10, "memory grew")
    check_in("Pid", s.ctl("show info"))


def test_many_stats_clients_that_say_nothing(t):
    s, front = t.simple([t.backend(named)])
    silent = []
    for _ in range(100):
        with contextlib.suppress(OSError):
            silent.append(connect(s.stats_path, timeout=2))
    check_eq(who(front), "b1", "traffic goes on")
    for c in silent:
        c.close()
    wait_until(lambda: answers_again(s), "it answers again")


def answers_again(s):
    with contextlib.suppress(OSError, Failure):
        return "Pid" in s.ctl("show info")


def test_garbage_as_proxy_header(t):
    s, front = t.simple([t.backend(answers)], listener='proxy_protocol = "any";')
    r = seeded()
    good = [b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 2222\r\n",
            b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(range(12)),
            b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x05abcde"]
    for i in range(300):
        data = bytearray(r.choice(good))
        for _ in range(r.randrange(1, 4)):
            at = r.randrange(len(data))
            what = r.randrange(3)
            if what == 0:
                data[at] = r.randrange(256)
            elif what == 1:
                del data[at:]
                data += b"\0"
            else:
                data[at:at] = bytes(r.randrange(256) for _ in range(5))
        with contextlib.closing(connect(front)) as c, contextlib.suppress(OSError):
            c.sendall(bytes(data) + b"\n")
            if r.random() < 0.5:
                c.shutdown(socket.SHUT_WR)
                recv_all(c)
            elif r.random() < 0.5:
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    check(s.alive(), "alive")


def test_random_behaviour_of_clients_and_backends(t):
    """Both sides do random things: sizes, pauses, half-closes, resets. Checked is that nothing is left."""
    r = seeded()

    def act(conn, rr):
        conn.settimeout(0.3)
        with contextlib.suppress(OSError):
            for _ in range(rr.randrange(1, 6)):
                what = rr.randrange(6)
                if what <= 1:
                    conn.sendall(b"r" * rr.choice((1, 100, 5000, 200000)))
                elif what == 2:
                    conn.recv(rr.choice((1, 1000, 100000)))
                elif what == 3:
                    time.sleep(rr.random() * 0.02)
                elif what == 4:
                    conn.shutdown(socket.SHUT_WR)
                else:
                    reset(conn)
                    return
    seeds = iter([r.randrange(1 << 32) for _ in range(20000)])
    b = [t.backend(lambda conn, be: act(conn, random.Random(next(seeds)))) for _ in range(3)]
    s, front = t.simple(b, pool='health = { type = "none"; };')

    def client(i):
        for _ in range(60):
            with contextlib.suppress(ConnectionResetError):  # the backend may be as quick as that
                c = connect(front)
                act(c, random.Random(next(seeds)))
                c.close()
    in_threads(8, client)
