"""One line per tcp session: who, where to, how many bytes, how long, why it ended."""

import contextlib
import json
import os
import re
import signal

from harness import *

NO_CHECKS = 'health = { type = "none"; };'


def test_access_tcplog(t):
    s, front = t.simple([t.backend(answers)])
    with contextlib.closing(connect(front)) as c:
        mine = c.getsockname()
        c.sendall(b"12345\n")
        recv_line(c)
    found = s.wait_access(
        r"^%s:%d \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\.\d{3}\] front app/b1 "
        r"(\d+)/(\d+)/(\d+) 9 (\S\S) (\d+)/(\d+)/(\d+)/(\d+)/(\+?\d+) (\d+)/(\d+)$" %
        (re.escape(mine[0]), mine[1]))
    check_eq(found.group(4), "--")


def test_access_json(t):
    s, front = t.simple([t.backend(answers)], top='log = { format = "json"; };')
    with contextlib.closing(connect(front)) as c:
        mine = "%s:%d" % c.getsockname()
        c.sendall(b"12345\n")
        recv_line(c)
    wait_until(lambda: s.access.strip(), "a line")
    row = json.loads(s.access.splitlines()[0])
    text = json.dumps(row)
    check_in(c and mine, text)
    for part in ("front", "app", "b1"):
        check_in(part, text)
    values = list(row.values())
    check(6 in values and 9 in values, "bytes both ways", row)


def test_access_reasons(t):
    """The two letters for the ends that a client or server can cause."""
    def half(conn, b):
        conn.sendall(b"x")
        conn.recv(1)
        reset(conn)
    s, front = t.simple([t.backend(half)], pool=NO_CHECKS)
    c = connect(front)
    recv_exact(c, 1)
    c.sendall(b"!")
    expect_closed(c)
    c.close()
    s.wait_access(r" SD ")
    c = connect(front)
    recv_exact(c, 1)
    reset(c)
    s.wait_access(r" CD ")


def test_access_names_a_client_that_reset_before_it_was_accepted(t):
    for listen in (t.address(), ("::1", t.port())):
        s, front = t.simple([t.backend(answers)], listen=listen)
        os.kill(s.pid, signal.SIGSTOP)
        c = connect(front)
        host, port = c.getsockname()[:2]
        reset(c)
        os.kill(s.pid, signal.SIGCONT)
        s.wait_access(r"^%s:%d \[" % (re.escape(host), port))


def test_access_retries_are_shown(t):
    s, front = t.simple([t.closed_address(), t.backend(named)], pool=NO_CHECKS, top="workers = 1;")
    for _ in range(2):
        who(front)
    s.wait_access(r"front app/\S+ .*/\+\d+ ")


def test_access_off(t):
    s, front = t.simple([t.backend(named)], top='log = { access = "off"; };')
    for _ in range(5):
        who(front)
    s.terminate()
    check_eq(s.access, "")


def test_access_lines_are_whole_with_many_at_once(t):
    s, front = t.simple([t.backend(named)], top="workers = 4;")
    in_threads(8, lambda i: [who(front) for _ in range(50)])
    s.wait_number("front", "FRONTEND", "scur", 0)
    s.terminate()
    lines = s.access.splitlines()
    check_eq(len(lines), 400, "lines")
    for line in lines:
        check_match(r"^127\.\S+:\d+ \[[^]]+\] front app/b1 .* \d+/\d+$", line)


def test_log_to_file_and_levels(t):
    path = t.path("process.log-file")
    s, front = t.simple([t.backend(named)], top='log = { level = "warn"; output = "%s"; };' % path)
    who(front)
    s.terminate()
    with open(path) as f:
        text = f.read()
    check(" info " not in text.lower(), "no info lines at level warn", text)
