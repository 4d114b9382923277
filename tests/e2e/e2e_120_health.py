"""Health checks: each transition with its reason in the log, the effect on traffic, and what the
operator sees."""

import contextlib
import socket
import struct
import threading
import time

from harness import *

FAST = 'interval = "50ms"; timeout = "500ms"; rise = 2; fall = 3;'


def test_health_tcp_down_and_up_with_reason_and_duration(t):
    a, b = t.backend(named), t.backend(named)
    s, front = t.simple([a, b], pool='health = { type = "tcp"; %s };' % FAST)
    b.kill()
    s.wait_status("app", "b2", "DOWN.*")
    s.wait_log(r"app/b2.*(?i:down).*connection refused")
    for _ in range(6):
        check_eq(who(front), "b1")
    row = s.stat()["app", "b2"]
    check_eq(row["check_status"].replace("* ", ""), "L4CON")
    check_eq(row["chkdown"], "1")
    check(int(row["chkfail"]) >= 3, "failed checks", row["chkfail"])
    b.start()
    s.wait_status("app", "b2", "UP")
    s.wait_log(r"app/b2.*(?i:\bup\b)")
    # how long it had been down stands in the line
    check_match(r"app/b2.*(?i:\bup\b).*\d+(\.\d+)?\s*m?s", s.log)
    wait_until(lambda: who(front) == "b2", "traffic returns")


def test_health_http_status(t):
    code = [200]
    b = t.backend(http_status(lambda: code[0]))
    s, front = t.simple([b], pool='health = { type = "http"; path = "/healthz"; host = "h.example"; '
                                  'status = "200-299"; %s };' % FAST)
    check_match(rb"^GET /healthz HTTP/1\.1\r\n".decode(), b.last_request.decode())
    check_match(r"(?i)^host: h\.example\r$", b.last_request.decode())
    check_eq(s.stat()["app", "b1"]["check_status"].replace("* ", ""), "L7OK")
    code[0] = 503
    s.wait_status("app", "b1", "DOWN.*")
    s.wait_log(r"app/b1.*HTTP 503, expected 200-299")
    row = s.stat()["app", "b1"]
    check_eq((row["check_status"].replace("* ", ""), row["check_code"]), ("L7STS", "503"))
    code[0] = 204
    s.wait_status("app", "b1", "UP")


def test_health_http_body(t):
    s, front = t.simple([t.backend(http_status(200, b"all fine")),
                         t.backend(http_status(200, b"trouble"))], ready=False,
                        pool='health = { type = "http"; path = "/"; body = "fine"; %s };' % FAST)
    s.wait_status("app", "b1", "UP")
    s.wait_status("app", "b2", "DOWN.*")
    s.wait_log(r"app/b2.*(?i:body|contain)")


def test_health_http_nonsense_answer(t):
    def nonsense(conn, b):
        conn.recv(1000)
        conn.sendall(b"220 mail.example ESMTP\r\n")
    s, front = t.simple([t.backend(nonsense)], ready=False,
                        pool='health = { type = "http"; %s };' % FAST)
    s.wait_status("app", "b1", "DOWN.*")
    check_eq(s.stat()["app", "b1"]["check_status"].replace("* ", ""), "L7RSP")


def test_health_http_timeout(t):
    s, front = t.simple([t.backend(hangs)], ready=False,
                        pool='health = { type = "http"; interval = "100ms"; timeout = "150ms"; '
                             'rise = 1; fall = 2; };')
    s.wait_status("app", "b1", "DOWN.*")
    check_eq(s.stat()["app", "b1"]["check_status"].replace("* ", ""), "L7TOUT")


def test_health_tcp_connect_timeout(t):
    s, front = t.simple([t.hanging_address()], ready=False,
                        pool='health = { type = "tcp"; interval = "100ms"; timeout = "150ms"; '
                             'rise = 1; fall = 2; };')
    s.wait_status("app", "b1", "DOWN.*")
    check_eq(s.stat()["app", "b1"]["check_status"].replace("* ", ""), "L4TOUT")


def test_health_send_and_expect(t):
    def redis(answer):
        def handler(conn, b):
            check_eq(recv_line(conn), b"PING\r\n")
            conn.sendall(answer)
        return handler
    s, front = t.simple([t.backend(redis(b"+PONG\r\n")), t.backend(redis(b"-LOADING\r\n"))],
                        ready=False,
                        pool='health = { type = "tcp"; send = "PING\\r\\n"; expect = "+PONG"; %s };'
                             % FAST)
    s.wait_status("app", "b1", "UP")
    s.wait_status("app", "b2", "DOWN.*")


def test_health_rise_and_fall_are_counted(t):
    """With fall = 3 two failures are only UP n/3; the operator sees the steps."""
    fail = [0]

    def handler(conn, b):
        if fail[0] > 0:
            fail[0] -= 1
            http_status(500)(conn, b)
        else:
            http_status(200)(conn, b)
    s, front = t.simple([t.backend(handler)],
                        pool='health = { type = "http"; interval = "40ms"; rise = 2; fall = 3; };')
    for _ in range(3):
        fail[0] = 2
        wait_until(lambda: fail[0] == 0, "the failures were seen")
        s.wait_status("app", "b1", "UP")
    check_eq(s.stat()["app", "b1"]["chkdown"], "0")
    fail[0] = 10 ** 6
    s.wait_status("app", "b1", "DOWN.*")


def test_health_all_are_checked_at_once_at_start(t):
    """Ready within little more than one check, although the interval is a minute."""
    started = time.monotonic()
    s, front = t.simple([t.backend(named) for _ in range(20)],
                        pool='health = { type = "tcp"; interval = "60s"; };')
    check(time.monotonic() - started < 8, "time until ready", time.monotonic() - started)
    check(all(row["status"] == "UP" for (px, sv), row in s.stat().items() if sv[0] == "b"),
          "all are up")


def test_health_initial_down_needs_rise_checks(t):
    gate = threading.Event()

    def handler(conn, b):
        gate.wait(SECONDS)
        http_status(200)(conn, b)
    s, front = t.simple([t.backend(handler)], ready=False,
                        pool='health = { type = "http"; initial = "down"; interval = "50ms"; '
                             'timeout = "10s"; rise = 2; };')
    check_match("DOWN", s.status("app", "b1"))
    gate.set()
    s.wait_status("app", "b1", "UP")


def test_health_unknown_backends_serve_only_where_none_is_up(t):
    gate = threading.Event()

    def slow(conn, b):
        gate.wait(SECONDS)
        http_status(200)(conn, b)
    s, front = t.simple([t.backend(slow)], ready=False,
                        pool='health = { type = "http"; interval = "50ms"; timeout = "20s"; };')
    check_eq(s.ctl("show ready").startswith("not ready: "), True)
    row = s.stat()["app", "b1"]
    check_eq(row["status"], "UP")
    check_match("INI", row["check_status"])
    gate.set()
    s.wait_status("app", "b1", "UP")
    wait_until(lambda: s.ctl("show ready").strip() == "ready", "ready after the first check")


def test_health_on_another_port(t):
    real = t.backend(named)
    checked = t.backend(hangs)
    s, front = t.simple([real], pool='health = { type = "tcp"; port = %d; %s };' %
                                     (checked.address[1], FAST))
    checked.kill()
    s.wait_status("app", "b1", "DOWN.*")
    checked.start()
    s.wait_status("app", "b1", "UP")
    check_eq(who(front), "b1")


def test_health_checks_send_the_proxy_header_where_traffic_does(t):
    heads = []

    def handler(conn, b):
        heads.append(recv_line(conn))
        http_status(200)(conn, b)
    s, front = t.simple([t.backend(handler)], pool='send_proxy = "v1"; health = { type = "http"; %s };'
                                                   % FAST)
    check_match(r"^PROXY (TCP4 |UNKNOWN)", heads[0].decode())


def proxy_header_of_tcp_checks(t, version, talk):
    """Of each check connection: (what came before the talk, both addresses as the backend sees them)."""
    seen = []

    def handler(conn, b):
        head = recv_line(conn) if version == 1 else recv_exact(conn, 16)
        if version == 2:
            head += recv_exact(conn, struct.unpack(">H", head[14:])[0])
        if "send" in talk:
            check_eq(recv_line(conn), b"PING\n")
        if "expect" in talk:
            conn.sendall(b"PONG\n")
        rest = recv_all(conn)
        seen.append((head, rest, conn.getpeername() + conn.getsockname()))
    b = t.backend(handler)
    s, front = t.simple([b], pool='send_proxy = "v%d"; health = { type = "tcp"; %s %s };' %
                                  (version, talk, FAST))
    wait_until(lambda: len(seen) >= 2, "two checks that came to their end")
    check_eq(s.status("app", b.name), "UP")
    return seen


TALKS = ("", 'send = "PING\\n";', 'expect = "PONG";', 'send = "PING\\n"; expect = "PONG";')


def test_health_tcp_checks_send_proxy_v1_with_their_own_addresses(t):
    for talk in TALKS:
        for head, rest, (host, port, own_host, own_port) in proxy_header_of_tcp_checks(t, 1, talk):
            line = "PROXY TCP4 %s %s %d %d\r\n" % (host, own_host, port, own_port)
            check_eq((head, rest), (line.encode(), b""), talk)


def test_health_tcp_checks_send_proxy_v2_local(t):
    for talk in TALKS:
        for head, rest, _ in proxy_header_of_tcp_checks(t, 2, talk):
            check_eq((head[:13], rest), (b"\r\n\r\n\x00\r\nQUIT\n\x20", b""), talk)


def test_health_on_down_close_ends_established_connections(t):
    b = t.backend(named)
    checked = t.backend(hangs)
    s, front = t.simple([b], pool='on_down = "close"; health = { type = "tcp"; port = %d; %s };' %
                                  (checked.address[1], FAST))
    conns = [connect(front) for _ in range(8)]
    for c in conns:
        recv_line(c)
    checked.kill()
    for c in conns:
        expect_closed(c)
        c.close()
    s.wait_access(" DD ", count=8)


def test_health_on_down_keep_leaves_them(t):
    b = t.backend(named)
    checked = t.backend(hangs)
    s, front = t.simple([b], pool='health = { type = "tcp"; port = %d; %s };' %
                                  (checked.address[1], FAST))
    with contextlib.closing(connect(front)) as c:
        recv_line(c)
        checked.kill()
        s.wait_status("app", "b1", "DOWN.*")
        c.sendall(b"still here")
        check_eq(recv_exact(c, 10), b"still here")


def test_health_type_none_is_no_check(t):
    s, front = t.simple([t.backend(named)], pool='health = { type = "none"; };')
    check_eq(s.status("app", "b1"), "no check")
    check_eq(who(front), "b1")


def test_health_checks_keep_coming_and_leave_nothing(t):
    b = t.backend(named)
    s, front = t.simple([b], pool='health = { type = "tcp"; interval = "10ms"; };')
    before = b.accepted
    wait_until(lambda: b.accepted > before + 100, "100 checks")
    check(b.open <= 3, "open check connections", b.open)


def test_health_a_flapping_backend_is_logged_each_time(t):
    code = [200]
    s, front = t.simple([t.backend(http_status(lambda: code[0]))],
                        pool='health = { type = "http"; interval = "20ms"; rise = 1; fall = 1; };')
    for i in range(1, 5):
        code[0] = 500
        s.wait_status("app", "b1", "DOWN.*")
        code[0] = 200
        s.wait_status("app", "b1", "UP.*")
    s.wait_log(r"app/b1.*HTTP 500", count=4)
    check_eq(s.stat()["app", "b1"]["chkdown"], "4")
