"""Mode http: what the access log and the stats socket say of requests."""

import contextlib
import json
import re

from harness import *

# No idle connections to the backend: each test ends with the descriptors that it began with.
POOL = 'health = { type = "none"; }; reuse = "never";'
ROUTES = """( { path = "/redirect"; redirect = { to = "/new"; status = 302; }; },
    { path = "/answer"; answer = { status = 200; body = "ok"; type = "text/plain"; }; },
    { path = "/app"; name = "application"; pool = "app"; } )"""


def status_by_path(conn, backend):
    """An HTTP/1.1 server: /app/STATUS?delay answers with that status and 5 bytes; /app/close closes
    without an answer, /app/bad answers garbage."""
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            got = conn.recv(65536)
            if not got:
                return
            data += got
        head, data = data.split(b"\r\n\r\n", 1)
        target = head.split(b" ")[1].decode()
        what = target.split("/")[2].split("?")[0]
        if what == "close":
            return
        if what == "bad":
            conn.sendall(b"HTTP/1.1 20x OK\r\n\r\n")
            return
        if target.endswith("?slow"):
            time.sleep(0.1)
        conn.sendall(b"HTTP/1.1 %s Whatever\r\nContent-Length: 5\r\nX-App: yes\r\n\r\nhello" %
                     what.encode())


def http(t, log="", pool="", handler=status_by_path):
    """(sluice, address, backend): listener `front` with ROUTES before pool `app` with `b1`."""
    listen = t.address()
    backend = t.backend(handler)
    conf = 'pools = ( { name = "app"; mode = "http"; %s %s backends = (%s); } );\n' % (
        POOL, pool, t.backend_list([backend]))
    conf += 'listeners = ( { name = "front"; mode = "http"; bind = "%s"; %s routes = %s; } );\n' % (
        where(listen), "log = { %s };" % log if log else "", ROUTES)
    return t.sluice(conf), listen, backend


def request(address, target="/app/200", method="GET", headers=()):
    """One request on a connection of its own; all that came back."""
    with contextlib.closing(connect(address)) as c:
        lines = ["%s %s HTTP/1.1" % (method, target), "Host: www.example.com", "Connection: close",
                 *headers]
        c.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        return recv_all(c)


def status(answer):
    return int(answer.split(b" ")[1])


def test_http_combined_is_the_default(t):
    s, front, _ = http(t)
    check_eq(status(request(front, "/app/200?a=1", headers=[
        "User-Agent: probe/1.0", "Referer: http://r.example/"])), 200)
    s.wait_access(r'^127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] '
                  r'"GET /app/200\?a=1 HTTP/1\.1" 200 5 "http://r\.example/" "probe/1\.0"$')
    request(front, "/nowhere")
    s.wait_access(r'"GET /nowhere HTTP/1\.1" 404 \d+ "-" "-"$')


def test_http_a_client_cannot_forge_a_line(t):
    s, front, _ = http(t)
    request(front, headers=['User-Agent: x" 200 1 "\\ \xff'])
    s.wait_access(r'200 5 "-" "x\\x22 200 1 \\x22\\x5C \\xFF"$')
    s.terminate()
    check_eq(len(s.access.splitlines()), 1)


def test_http_httplog_tells_how_requests_ended(t):
    s, front, _ = http(t, 'format = "httplog";')
    times = r"\d+/\d+/\d+/\d+/\d+"
    for target, expected in (
            ("/app/200", r"front app/b1 %s 200 \d+ - - ---- 1/1/\d+/\d+/0 0/0 " % times),
            ("/redirect", r"front front/<NOSRV> \d+/-1/-1/-1/\d+ 302 \d+ - - LR-- "),
            ("/answer", r"front front/<NOSRV> \d+/-1/-1/-1/\d+ 200 \d+ - - LR-- "),
            ("/nowhere", r"front front/<NOSRV> \d+/-1/-1/-1/\d+ 404 \d+ - - LR-- "),
            ("/app/bad", r"front app/b1 \d+/\d+/\d+/-1/\d+ 502 \d+ - - PH-- ")):
        request(front, target)
        s.wait_access(expected + r'.*"GET %s HTTP/1\.1"$' % re.escape(target))
    request(front, "/app/close", method="POST", headers=["Content-Length: 0"])
    s.wait_access(r'front app/b1 \d+/\d+/\d+/-1/\d+ 502 \d+ - - SH-- .*"POST /app/close HTTP/1\.1"$')


def test_http_httplog_of_what_is_no_request(t):
    s, front, _ = http(t, 'format = "httplog";')
    with contextlib.closing(connect(front)) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        check_in(b" 400 ", recv_all(c)[:13])
    s.wait_access(r'front front/<NOSRV> -1/-1/-1/-1/\d+ 400 \d+ - - PR-- .*"<BADREQ>"$')


def test_http_httplog_tells_how_the_sticky_cookie_fared(t):
    s, front, _ = http(t, 'format = "httplog";',
                       'sticky = { cookie = "SRV"; secret = "0123456789abcdef0123456789abcdef"; };')
    answer = request(front)
    s.wait_access(r" - - --NI ")
    cookie = re.search(rb"(?i)set-cookie: (SRV=[^;\r]+)", answer).group(1).decode()
    request(front, headers=["Cookie: " + cookie])
    s.wait_access(r" - - --VN ")
    request(front, headers=["Cookie: SRV=nonsense"])
    s.wait_access(r" - - --II ")


def test_http_json(t):
    s, front, _ = http(t, 'format = "json";')
    request(front, "/app/500?x=%C3%A9", headers=['User-Agent: a"b\\c'])
    request(front, "/nowhere")
    wait_until(lambda: len(s.access.splitlines()) == 2, "two lines")
    row, second = [json.loads(line) for line in s.access.splitlines()]
    for key, value in {"method": "GET", "uri": "/app/500?x=%C3%A9", "protocol": "HTTP/1.1",
                       "host": "www.example.com", "status": 500, "route": "application",
                       "pool": "app", "backend": "b1", "user_agent": 'a"b\\c', "reason": None,
                       "body_bytes_out": 5, "end_code": "--", "sequence": 1}.items():
        check_eq(row[key], value, key)
    check(0 <= row["response_ms"] <= row["total_ms"], "times", row)
    check_eq((second["status"], second["backend"], second["response_ms"]), (404, None, None))
    check(second["reason"], "a reason", second)


def test_http_template_with_headers(t):
    s, front, _ = http(t, 'format = "$status|$header_x_mine|$response_header_x_app|$cookie_b|$query_q|$route";')
    request(front, "/app/201?p=1&q=2", headers=["X-Mine: one", "Cookie: a=1; b=2"])
    s.wait_access(r"^201\|one\|yes\|2\|2\|application$")


def row_of(s, command, start):
    """The cells of the line that begins so, by column."""
    lines = s.ctl(command).splitlines()
    columns = lines[0].lstrip("# ").split(" ")
    for line in lines[1:]:
        if line.startswith(start + " "):
            return dict(zip(columns, line.split(" ", len(columns) - 1)))
    raise Failure("%s: no line %s: %s" % (command, start, lines))


def test_http_stat_counts_requests_by_class(t):
    s, front, _ = http(t)
    for target in ("/app/200", "/app/201", "/app/302", "/app/404", "/app/500", "/redirect", "/nowhere",
                   "/app/close"):
        request(front, target, method="POST", headers=["Content-Length: 0"])
    rows = s.stat()
    front_row, pool, server = [rows[x] for x in (
        ("front", "FRONTEND"), ("app", "BACKEND"), ("app", "b1"))]
    check_eq({row["mode"] for row in rows.values()}, {"http"})
    check_eq([front_row["hrsp_%s" % c] for c in ("1xx", "2xx", "3xx", "4xx", "5xx", "other")],
             ["0", "2", "2", "2", "2", "0"])
    check_eq(front_row["req_tot"], "8")
    check_eq([server["hrsp_%s" % c] for c in ("2xx", "3xx", "4xx", "5xx")], ["2", "1", "1", "1"])
    check_eq([pool["hrsp_%s" % c] for c in ("2xx", "3xx", "4xx", "5xx")], ["2", "1", "1", "2"])
    check_eq(pool["req_tot"], server["req_tot"])


def test_http_routes_latency_and_refusals(t):
    s, front, _ = http(t)
    for _ in range(5):
        request(front, "/app/200?slow")
    request(front, "/redirect")
    with contextlib.closing(connect(front)) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        recv_all(c)
    route = row_of(s, "show routes", "front application")
    check_eq((route["requests"], route["hrsp_2xx"], route["hrsp_3xx"]), ("5", "5", "0"))
    check(100000 <= int(route["mean_us"]) <= int(route["max_us"]), "times", route)
    check_eq(row_of(s, "show routes", "front front#1")["hrsp_3xx"], "1")
    for start, count in (("listener front", 7), ("pool app", 5), ("backend app b1", 5)):
        row = row_of(s, "show latency", start)
        check(98000 <= int(row["p90_us"]) <= int(row["max_us"]) * 1.02, "p90 of " + start, row)
        check(int(row["count"]) <= count, "count of " + start, row)
    refused = json.loads(s.ctl("show refused json"))
    check(any(r["name"] == "front" and "host" in r["reason"] for r in refused), "a reason", refused)
    s.ok("clear counters all")
    check_eq(row_of(s, "show routes", "front application")["requests"], "0")
    check_eq(row_of(s, "show latency", "backend app b1")["count"], "0")
    check_eq(json.loads(s.ctl("show refused json")), [])
