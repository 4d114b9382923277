"""Signals: the drain of TERM, QUIT and INT, the second one, HUP, USR1, USR2."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time

from harness import *


def gone(front):
    """The listener is closed: connects are refused."""
    try:
        connect(front, timeout=2).close()
        return False
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it came between the last accept and the close
        return False


def test_drain_an_idle_process_ends_at_once(t):
    for sig in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
        s, front = t.simple([t.backend(named)])
        who(front)
        s.wait_number("front", "FRONTEND", "scur", 0)
        started = time.monotonic()
        s.terminate(sig)
        check(time.monotonic() - started < 4, "seconds to end", time.monotonic() - started)


def test_drain_lets_a_transfer_finish(t):
    """SIGTERM in the middle of transfers: new connections are refused, the running ones end whole."""
    data = pattern(30 << 20)
    go = threading.Event()

    def serve(conn, b):
        conn.sendall(data[:1 << 20])
        go.wait(SECONDS)
        conn.sendall(data[1 << 20:])
    s, front = t.simple([t.backend(serve)])
    conns = [connect(front) for _ in range(4)]
    heads = [recv_exact(c, 1000) for c in conns]
    s.process.send_signal(signal.SIGTERM)
    wait_until(lambda: gone(front), "the listener is closed")
    go.set()
    results = in_threads(4, lambda i: heads[i] + recv_all(conns[i]))
    check(all(r == data for r in results), "transfers are whole", [len(r) for r in results])
    for c in conns:
        c.close()
    s.wait_end()


def test_drain_deadline_cuts_tunnels(t):
    s, front = t.simple([t.backend(named)], top='drain = { deadline = "1s"; };')
    conns = [connect(front) for _ in range(5)]
    for c in conns:
        recv_line(c)
    started = time.monotonic()
    s.process.send_signal(signal.SIGTERM)
    for c in conns:
        expect_closed(c)
        c.close()
    s.wait_end()
    took = time.monotonic() - started
    check(0.9 <= took < 6, "seconds to the end", took)
    check_match(r"(?m) KD ", s.access)


def test_drain_delay_goes_on_accepting(t):
    s, front = t.simple([t.backend(named)], top='drain = { delay = "1s"; deadline = "10s"; };')
    s.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    time.sleep(0.3)
    check_eq(who(front), "b1", "while the delay lasts")
    check_match(r"^not ready: .*drain", s.ctl("show ready"))
    s.wait_end()
    check(time.monotonic() - started >= 0.9, "seconds to the end", time.monotonic() - started)


def test_drain_a_second_signal_ends_at_once(t):
    s, front = t.simple([t.backend(named)])
    c = connect(front)
    recv_line(c)
    s.process.send_signal(signal.SIGTERM)
    wait_until(lambda: gone(front), "draining")
    check(s.alive(), "the tunnel keeps it")
    started = time.monotonic()
    s.process.send_signal(signal.SIGTERM)
    s.wait_end()
    check(time.monotonic() - started < 4, "seconds to the end")
    c.close()


def test_drain_int_with_something_in_flight(t):
    s, front = t.simple([t.backend(named)])
    c = connect(front)
    recv_line(c)
    s.process.send_signal(signal.SIGINT)
    wait_until(lambda: gone(front), "draining")
    c.sendall(b"still")
    check_eq(recv_exact(c, 5), b"still")
    c.close()
    s.wait_end()


def test_drain_queued_and_connecting_sessions_end(t):
    s, front = t.simple([(t.backend(named), "max_connections = 1;")],
                        pool='queue = { timeout = "60s"; };', top='drain = { deadline = "1s"; };')
    held = connect(front)
    recv_line(held)
    waiting = [connect(front) for _ in range(3)]
    s.wait_number("app", "BACKEND", "qcur", 3)
    s.process.send_signal(signal.SIGTERM)
    s.wait_end()
    for c in waiting + [held]:
        c.close()


def test_drain_during_bulk_with_a_deadline(t):
    """Cut in the middle of splicing: no leak, status 0."""
    def endless(conn, b):
        while True:
            conn.sendall(b"e" * 65536)
    s, front = t.simple([t.backend(endless)], top='drain = { deadline = "500ms"; };')
    conns = [connect(front) for _ in range(6)]
    stop = threading.Event()

    def read(i):
        with contextlib.suppress(ConnectionError):
            while conns[i].recv(1 << 18) and not stop.is_set():
                pass
    threads = [threading.Thread(target=read, args=(i,), daemon=True) for i in range(6)]
    for thread in threads:
        thread.start()
    wait_until(lambda: s.number("front", "FRONTEND", "bout") > 20 << 20, "bulk runs")
    s.process.send_signal(signal.SIGTERM)
    s.wait_end()
    stop.set()
    for c in conns:
        c.close()


def test_hup_and_usr2_of_the_same_file_change_nothing_and_say_so(t):
    s, front = t.simple([t.backend(named)])
    for n, sig in enumerate((signal.SIGHUP, signal.SIGUSR2), 1):
        s.process.send_signal(sig)
        s.wait_log(r"reload of .*: nothing has changed", count=n)
        check_eq(who(front), "b1")


def test_usr1_reopens_the_access_log(t):
    path = t.path("access-file")
    s, front = t.simple([t.backend(named)], top='log = { access = "%s"; };' % path)

    def lines():
        try:
            with open(path) as f:
                return len(f.readlines())
        except FileNotFoundError:
            return 0
    who(front)
    wait_until(lambda: lines() == 1, "the first line")
    os.rename(path, path + ".1")
    who(front)
    s.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: os.path.exists(path), "the file is made again")
    who(front)
    wait_until(lambda: lines() >= 1, "lines in the new file")


def test_a_stopped_and_continued_process_goes_on(t):
    s, front = t.simple([t.backend(named)])
    s.process.send_signal(signal.SIGSTOP)
    c = connect(front)
    time.sleep(0.3)
    s.process.send_signal(signal.SIGCONT)
    check_eq(recv_line(c), b"b1\n")
    c.close()
