"""sluice starts, says what is wrong when it can't, and ends when told."""

import os
import re
import signal
import socket

from harness import *


def test_serves_a_connection_and_ends_with_0(t):
    s, front = t.simple([t.backend(named)])
    check_eq(who(front), "b1")


def test_says_which_engine_runs_and_why(t):
    s, front = t.simple([t.backend(named)])
    name = {"uring": "io_uring", "epoll": "epoll"}[t.engine]
    check_match(r"engine.*%s|%s.*engine" % (name, name), s.log, "log")


def test_says_its_limits_in_one_line(t):
    s, front = t.simple([t.backend(named)])
    check_match(r"(?i)descriptors|open files", s.log, "log")


def test_version_options(t):
    status, out, err = t.run("-v")
    check_eq(status, 0)
    check_match(r"\d+\.\d+", out, "-v")
    status, out, err = t.run("-V")
    check_eq(status, 0)
    check_in("io_uring", out, "-V")


def test_unknown_options_are_usage_errors(t):
    for args in (["--no-such-option"], ["-Z"], ["nonsense"], ["-c"]):
        status, out, err = t.run(*args)
        check_eq(status, 2, "status of %r" % args)
        check(err.strip(), "an error is said for", args)


def test_a_missing_configuration_is_said(t):
    status, out, err = t.run("-c", t.path("no-such.conf"))
    check_eq(status, 1)
    check_in("no-such.conf", err)


def test_a_taken_port_is_an_error_even_with_reuseport(t):
    address = t.address()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(address)
        other.listen()
        s, front = t.simple([t.closed_address()], listen=address, wait=False)
        s.wait_end(status=1)
        check_in("%s:%d" % address, s.log, "log names the address")
        check_match(r"(?i)in use", s.log)


def test_two_sluices_cannot_share_a_port(t):
    b = t.backend(named)
    first, front = t.simple([b])
    second, _ = t.simple([b], listen=front, wait=False)
    second.wait_end(status=1)
    check_match(r"(?i)in use", second.log)
    check_eq(who(front), "b1", "the first still works")


def test_a_stale_unix_socket_is_replaced_a_live_one_is_an_error(t):
    path = t.path("front.sock")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    b = t.backend(named)
    first, front = t.simple([b], listen=path)
    check_eq(who(path), "b1")
    second, _ = t.simple([b], listen=path, wait=False)
    second.wait_end(status=1)
    check_in(path, second.log)
    check_eq(who(path), "b1", "the first still works")


def test_the_listener_and_the_stats_socket_are_gone_after_the_end(t):
    path = t.path("front.sock")
    s, front = t.simple([t.backend(named)], listen=path)
    check_eq(who(path), "b1")
    s.terminate()
    check(not os.path.exists(path), "unix listener is removed")
    check(not os.path.exists(s.stats_path), "stats socket is removed")


def test_systemd_is_told_ready_and_stopping(t):
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(t.path("notify"))
    notify.settimeout(SECONDS)
    s, front = t.simple([t.backend(named)], env={"NOTIFY_SOCKET": t.path("notify")})
    said = ""
    while "READY=1" not in said:
        said += notify.recv(4096).decode() + "\n"
    s.terminate()
    while "STOPPING=1" not in said:
        said += notify.recv(4096).decode() + "\n"


def test_workers_1_and_4_work(t):
    b = t.backend(answers)
    for workers in (1, 4):
        s, front = t.simple([b], top="workers = %d;" % workers)
        in_threads(16, lambda i: check_eq(talk(front, b"x\n"), b"b1 x\n"))
        check_eq(s.info()["Nbthread"], str(workers))
        s.finish()
