"""Mode http: connections to backends carry one request after the other, and a backend that closes them
when it likes costs nobody a request."""

import json
import random

from http_tools import *


def numbered(r, b):
    """How many requests this connection has carried before."""
    return answer(body=b"%d" % r.n)


def test_one_connection_carries_many_requests(t):
    b = t.backend(app(numbered))
    s, front = start(t, [b])
    for i in range(30):  # a client connection each
        check_eq(fetch(front).body, b"%d" % i)
    check_eq(b.accepted, 1, "connections to the backend")
    check_eq(s.number("app", "b1", "reuse"), 29, "reuses counted")
    check_eq(s.number("app", "b1", "srv_icur"), 1, "idle connections counted")


def test_the_latest_idle_connection_is_taken_first(t):
    """So the others run out: two requests at once, then one by one."""
    gate = threading.Barrier(2)

    def respond(r, b):
        if r.path == "/both":
            gate.wait(SECONDS)
        return answer(body=b"%d" % id(r.conn))
    b = t.backend(app(respond))
    s, front = start(t, [b])
    in_threads(2, lambda i: fetch(front, "/both"))
    wait_until(lambda: s.number("app", "b1", "srv_icur") == 2, "both connections are idle")
    check_eq(len({fetch(front).body for _ in range(10)}), 1, "connections used in turn")
    check_eq(b.accepted, 2, "connections to the backend")


def test_reuse_never_takes_a_connection_per_request(t):
    b = t.backend(app(numbered))
    s, front = start(t, [b], pool=NO_CHECKS + 'reuse = "never";')
    for _ in range(5):
        check_eq(fetch(front).body, b"0")
    check_eq(b.accepted, 5, "connections to the backend")
    check_eq([r.header("connection") for r in b.seen], ["close"] * 5, "Connection of requests")
    check_eq(s.number("app", "b1", "srv_icur"), 0, "idle connections")


def rest_idle(s, seconds=1.1):
    """Until every idle connection has been so for more than a second, as `safe` wants to know."""
    started = time.monotonic()
    wait_until(lambda: time.monotonic() - started > seconds, "a second passes")


def test_reuse_safe_sends_a_post_on_a_connection_of_its_own_client_or_a_new_one(t):
    b = t.backend(app(numbered))
    s, front = start(t, [b])
    check_eq(fetch(front, "/warm").body, b"0")
    rest_idle(s)
    with Client(front) as c:
        check_eq(c.request("/p", "POST", body=b"x").body, b"0", "not on another client's old one")
        check_eq(c.request("/p", "POST", body=b"x").body, b"1", "on one that was used just now")
        rest_idle(s)
        check_eq(c.request("/p", "POST", body=b"x").body, b"2", "on its own, however old")
    check_eq(b.accepted, 2, "connections to the backend")


def test_reuse_always_sends_a_post_on_any_connection(t):
    b = t.backend(app(numbered))
    s, front = start(t, [b], pool=NO_CHECKS + 'reuse = "always";')
    check_eq(fetch(front, "/warm").body, b"0")
    rest_idle(s)
    check_eq(fetch(front, "/p", "POST", body=b"x").body, b"1")
    check_eq(b.accepted, 1, "connections to the backend")


def test_keep_idle_bounds_the_idle_connections(t):
    n = 6
    gate = threading.Barrier(n)

    def respond(r, b):
        gate.wait(SECONDS)
        return answer(body=b"x")
    b = t.backend(app(respond))
    s, front = start(t, [b], pool=NO_CHECKS + "keep_idle = 2;")
    in_threads(n, lambda i: fetch(front))
    check_eq(b.accepted, n, "connections to the backend")
    wait_until(lambda: b.open == 2, lambda: "two of them are kept, not %d" % b.open)
    check_eq(s.number("app", "b1", "srv_icur"), 2, "idle connections counted")


def test_keep_idle_0_keeps_none(t):
    b = t.backend(app(numbered))
    s, front = start(t, [b], pool=NO_CHECKS + "keep_idle = 0;")
    check_eq([fetch(front).body for _ in range(3)], [b"0"] * 3)


def test_idle_connections_end_after_the_configured_time(t):
    b = t.backend(app(numbered))
    s, front = start(t, [b], pool=NO_CHECKS + 'timeouts = { backend_idle = "200ms"; };')
    fetch(front)
    wait_until(lambda: b.open == 0, "the idle connection is closed")
    check_eq(s.number("app", "b1", "srv_icur"), 0, "idle connections counted")
    check_eq(fetch(front).body, b"0")


def test_a_keep_alive_header_is_believed(t):
    """timeout=2: dropped a second before the backend would."""
    b = t.backend(app(lambda r, b: answer(headers=["Keep-Alive: timeout=2, max=100"])))
    s, front = start(t, [b])
    started = time.monotonic()
    r = fetch(front)
    check_eq(r.header("keep-alive"), None, "hop-by-hop field towards the client")
    wait_until(lambda: b.open == 0, "the idle connection is closed")
    check(0.8 < time.monotonic() - started < 1.9, "after about a second, not",
          time.monotonic() - started)


def test_connection_close_of_a_backend_is_obeyed(t):
    b = t.backend(app(lambda r, b: answer(body=b"%d" % r.n, headers=["Connection: close"])))
    s, front = start(t, [b])
    with Client(front) as c:
        for _ in range(3):
            r = c.request()
            check_eq((r.body, r.header("connection")), (b"0", None))
    check_eq(b.accepted, 3, "connections to the backend")


def test_a_connection_of_http_1_0_is_not_kept(t):
    b = t.backend(app(lambda r, b: b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n%d" % r.n))
    s, front = start(t, [b])
    check_eq([fetch(front).body for _ in range(3)], [b"0"] * 3)


def test_a_close_is_seen_before_the_connection_is_used_again(t):
    """Even a POST, which cannot be sent twice, never meets it."""
    b = t.backend(app(lambda r, b: lambda conn: conn.sendall(answer(body=b"x"))))
    s, front = start(t, [b], pool=NO_CHECKS + 'reuse = "always";')
    for i in range(10):
        check_eq(fetch(front, "/%d" % i, "POST", body=b"x").status, 200)
        wait_until(lambda: s.number("app", "b1", "srv_icur") == 0, "the close is observed")
    check_eq(len(b.seen), 10, "requests at the backend")


def test_bytes_that_nobody_asked_for_end_an_idle_connection(t):
    """They could be taken for the answer to the next request."""
    b = t.backend(app(lambda r, b: answer(body=b"%d" % r.n) + answer(body=b"smuggled")))
    s, front = start(t, [b])
    for _ in range(5):
        check_eq(fetch(front).body, b"0")
        wait_until(lambda: b.open == 0, "the connection is closed")


def test_a_request_that_is_answered_early_leaves_no_connection_behind(t):
    """The backend answers before it has the body: what follows on that connection is the body's rest."""
    def respond(conn, b):
        reader = Reader(conn)
        reader.until(b"\r\n\r\n")
        conn.sendall(answer(413))
        while reader.more():
            pass
        b.got = reader.data
    b = t.backend(respond)
    s, front = start(t, [b])
    with Client(front) as c:
        c.send("/", "POST", headers=["Content-Length: 100"])
        check_eq(c.response().status, 413)
    wait_until(lambda: b.open == 0, "the connection to the backend is closed")
    check_eq(s.number("app", "b1", "srv_icur"), 0, "idle connections")


def test_answers_without_a_body_leave_the_connection_usable(t):
    """HEAD, 204, 304 and 205: their lengths are of what is not there."""
    said = {"/304": answer(304, headers=["Content-Length: 7", "ETag: x"]), "/204": answer(204),
            "/205": answer(205), "/103": answer(103, headers=["Link: </a>"]) + answer(body=b"late")}

    def respond(r, b):
        if r.method == "HEAD":
            return answer(headers=["X-N: %d" % r.n])[:-len("Content-Length: 0\r\n\r\n")] + \
                b"Content-Length: 1000\r\n\r\n"
        return said.get(r.path) or answer(body=b"%d" % r.n)
    b = t.backend(app(respond))
    s, front = start(t, [b])
    with Client(front) as c:
        for i in range(2):
            check_eq(c.request("/", "HEAD").header("content-length"), "1000")
            check_eq(c.request("/304").status, 304)
            check_eq(c.request("/204").status, 204)
            check_eq(c.request("/205").status, 205)
            check_eq(c.request("/103").status, 103)
            check_eq(c.response().body, b"late")
            check_eq(c.request("/n").body, b"%d" % (6 * i + 5))
    check_eq(b.accepted, 1, "connections to the backend")


def test_a_chunked_answer_leaves_the_connection_usable(t):
    b = t.backend(app(lambda r, b: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                   b"3;x=y\r\nabc\r\n1\r\n%d\r\n0\r\nX-Sum: 1\r\n\r\n" % r.n))
    s, front = start(t, [b])
    check_eq([fetch(front).body for _ in range(3)], [b"abc0", b"abc1", b"abc2"])


def test_a_backend_that_moves_is_not_asked_at_its_old_address(t):
    old, new = t.backend(app(by_name), name="old"), t.backend(app(by_name), name="new")
    s, front = start(t, [old])
    check_eq(fetch(front).body, b"old")
    check_eq(s.number("app", "old", "srv_icur"), 1)
    s.ctl("set server app/old addr %s port %d" % new.address)
    check_eq(fetch(front).body, b"new")
    wait_until(lambda: old.open == 0, "the connection to the old one is closed")


def test_connections_that_carry_a_client_s_address_are_its_own(t):
    def respond(conn, b):
        line = recv_line(conn)
        app(lambda r, _: answer(body=line))(conn, b)
    b = t.backend(respond)
    s, front = start(t, [b], pool=NO_CHECKS + 'send_proxy = "v1"; reuse = "always";')
    for ip in (t.ip, t.other_ip) * 2:
        check_match(r"^PROXY TCP4 %s " % re.escape(ip), fetch(front, source=ip).body.decode())
    check_eq(b.accepted, 4, "connections to the backend")


def test_two_workers_keep_connections_of_their_own(t):
    b = t.backend(app(by_name))
    s, front = start(t, [b], top="workers = 2;")
    in_threads(4, lambda i: [fetch(front) for _ in range(25)])
    check(b.accepted <= 16, "connections to the backend", b.accepted)
    check(1 <= s.number("app", "b1", "srv_icur") <= b.accepted, "idle connections")


# ---- real Node -----------------------------------------------------------------------------------

def counts(node):
    return json.loads(fetch(node.address, "/counts").body)


def race(front, seconds, clients, rounds):
    """They ask all at once, so that each has a connection to Node, rest for about as long as Node keeps
    it, and ask again: half of them GET, half POST. Returns {target: status}."""
    statuses = {}
    together = threading.Barrier(clients)

    def client(i):
        rng = random.Random(i)
        method = ("GET", "POST")[i % 2]
        with Client(front) as c:
            for n in range(rounds):
                together.wait(SECONDS)
                if n > 0:
                    time.sleep(seconds + rng.uniform(-0.012, 0.004))
                target = "/late/%s-%d-%d" % (method, i, n)
                body = b"x" * 10 if method == "POST" else None
                statuses[target] = c.request(target, method, body=body).status
    in_threads(clients, client)
    return statuses


def kept_for(node):
    """Seconds that Node keeps an idle connection: a second more than it says, in newer versions."""
    with Client(node.address) as c:
        c.request()
        answered = time.monotonic()
        check(not c.reader.more(), "bytes on an idle connection")
        return time.monotonic() - answered


def check_race(t, keep_alive_ms, clients=24, rounds=2, reuse="safe", quiet=True):
    short = Node(t, "plain.js", 100)
    rest = kept_for(short) + (keep_alive_ms - 100) / 1000
    node = Node(t, "plain.js", keep_alive_ms, *(["quiet"] if quiet else []))
    s, front = start(t, [node], pool=NO_CHECKS + 'reuse = "%s";' % reuse)
    statuses = race(front, rest, clients, rounds)
    gets = {k: v for k, v in statuses.items() if k.startswith("/late/GET")}
    posts = {k: v for k, v in statuses.items() if k.startswith("/late/POST")}
    check_eq({k: v for k, v in gets.items() if v != 200}, {}, "GETs that saw an error")
    check_eq({k: v for k, v in posts.items() if v not in (200, 502)}, {}, "answers to POSTs")
    delivered = counts(node)["counts"]
    check_eq([k for k, n in delivered.items() if n != 1], [], "POSTs delivered twice")
    check_eq([k for k, v in posts.items() if v == 200 and k not in delivered], [],
             "POSTs answered 200 and not delivered")
    check_eq(s.number("app", "node", "hanafail"), 0, "failures of Node")


def test_node_that_closes_after_300_ms(t):
    check_race(t, 300)


def test_node_that_closes_after_300_ms_and_says_so(t):
    check_race(t, 300, quiet=False)


def test_node_that_closes_after_300_ms_with_reuse_always(t):
    check_race(t, 300, reuse="always")


def test_node_that_closes_after_its_5_s(t):
    check_race(t, 5000, 60, 2)


def test_node_tells_that_it_closes_after_5_s_and_is_left_before(t):
    node = Node(t, "plain.js")
    s, front = start(t, [node])
    check_eq(fetch(front).status, 200)
    check_eq(s.number("app", "node", "srv_icur"), 1, "idle connections")
    started = time.monotonic()
    wait_until(lambda: s.number("app", "node", "srv_icur") == 0, "the connection is dropped")
    check(3.5 < time.monotonic() - started < 4.9, "after 4 s, not", time.monotonic() - started)
