"""Mode http: a backend that dies before, during or after its response. What may be sent again goes to
another backend, what may not is answered 502, and nobody is left holding a place."""

import json
import os

from http_tools import *

LARGE = 4 << 20  # more than the kernel's buffers take from one who does not read


def front_of(t, *backends, pool="", retries="attempts = 2;", **kw):
    return start(t, backends, pool=NO_CHECKS + "retries = { %s }; %s" % (retries, pool), **kw)


def resets_after_head(conn, b):
    """Counts what it got, then dies."""
    reader = Reader(conn)
    raw = reader.until(b"\r\n\r\n")
    if raw is None:
        return
    b.seen = seen(b) + [Request(raw)]
    reset(conn)


def dies_after(part, with_reset=False):
    """Reads a request and sends a part of a response."""
    def handler(conn, b):
        reader = Reader(conn)
        raw = reader.until(b"\r\n\r\n")
        if raw is None:
            return
        b.seen = seen(b) + [Request(raw)]
        conn.sendall(part)
        if with_reset:  # once the other side has it all: a reset overtakes data
            wait_until(lambda: unsent(conn) == 0, "the part is received")
            reset(conn)
    return handler


def unsent(conn):
    buf = bytearray(4)
    fcntl.ioctl(conn, 0x5411, buf)  # TIOCOUTQ
    return struct.unpack("i", buf)[0]


# ---- before a response ---------------------------------------------------------------------------

def test_refused_connects_go_to_another(t):
    good = t.backend(app(by_name))
    s, front = front_of(t, t.closed_address(), t.closed_address(), good)
    for method, body in (("GET", None), ("POST", b"pay"), ("PUT", b"x" * 100000)):
        for _ in range(6):
            check_eq(fetch(front, "/", method, body=body).body, b"b1", method)
    check(s.number("app", "BACKEND", "wredis") > 0, "redispatches are counted")
    check(s.number("app", "x1", "econ") > 0, "connect errors are counted")
    no_places_taken(s)


def test_hanging_connects_go_to_another(t):
    good = t.backend(app(by_name))
    s, front = front_of(t, t.hanging_address(), good, top='workers = 1; timeouts = { connect = "200ms"; };')
    for method, body in (("GET", None), ("POST", b"pay")) * 2:
        check_eq(fetch(front, "/", method, body=body).body, b"b1", method)
    no_places_taken(s)


def test_all_refused_is_502(t):
    s, front = front_of(t, t.closed_address(), t.closed_address())
    check_eq(fetch(front).status, 502)
    no_places_taken(s)


def test_all_hanging_is_504(t):
    s, front = front_of(t, t.hanging_address(), retries="attempts = 0;",
                        top='workers = 1; timeouts = { connect = "100ms"; };')
    check_eq(fetch(front).status, 504)
    no_places_taken(s)


def test_connects_are_tried_attempts_times_more(t):
    s, front = front_of(t, *[t.closed_address() for _ in range(8)], retries="attempts = 3;")
    check_eq(fetch(front).status, 502)
    rows = s.stat()
    check_eq(sum(int(rows["app", "b%d" % i]["econ"]) for i in range(1, 9)), 4, "connects tried")


def test_failed_connects_cost_no_budget(t):
    good = t.backend(app(by_name))
    s, front = front_of(t, t.closed_address(), good,
                        retries="attempts = 2; budget = 0; budget_min = 0;")
    for _ in range(20):
        check_eq(fetch(front, "/", "POST", body=b"x").status, 200)


# ---- a request that was sent ---------------------------------------------------------------------

def test_a_get_that_was_sent_goes_to_another(t):
    bad, good = t.backend(resets_after_head), t.backend(app(by_name))
    s, front = front_of(t, bad, good)
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE") * 2:
        body = b"new" if method == "PUT" else None
        check_eq(fetch(front, "/", method, body=body).status, 200, method)
    check_eq({r.body for r in good.seen if r.method == "PUT"}, {b"new"}, "payload sent again")
    check(len(seen(bad)) > 0, "the other had some")
    no_places_taken(s)


def test_a_post_that_was_sent_is_never_sent_again(t):
    bad = [t.backend(resets_after_head), t.backend(resets_after_head)]
    s, front = front_of(t, *bad)
    for method in ("POST", "PATCH"):
        check_eq(fetch(front, "/", method, body=b"pay 100").status, 502, method)
    check_eq([r.method for b in bad for r in seen(b)].count("POST"), 1, "POSTs delivered")
    check_eq([r.method for b in bad for r in seen(b)].count("PATCH"), 1, "PATCHes delivered")
    no_places_taken(s)


def test_a_get_is_sent_attempts_times_more_and_no_more(t):
    bad = [t.backend(resets_after_head) for _ in range(6)]
    for attempts in (0, 2):
        s, front = front_of(t, *bad, retries="attempts = %d;" % attempts)
        before = sum(len(seen(b)) for b in bad)
        check_eq(fetch(front).status, 502)
        check_eq(sum(len(seen(b)) for b in bad) - before, attempts + 1, "requests at backends")
        no_places_taken(s)


def test_the_budget_bounds_what_is_sent_again(t):
    """No share and none a second: nothing is."""
    bad = [t.backend(resets_after_head) for _ in range(3)]
    s, front = front_of(t, *bad, retries="attempts = 2; budget = 0; budget_min = 0;")
    for _ in range(10):
        check_eq(fetch(front).status, 502)
    check_eq(sum(len(seen(b)) for b in bad), 10, "requests at backends")


def test_the_budget_is_a_share_of_the_requests(t):
    bad = [t.backend(resets_after_head) for _ in range(3)]
    n = 200
    s, front = front_of(t, *bad, retries="attempts = 2; budget = 20; budget_min = 0;")
    for _ in range(n):
        check_eq(fetch(front).status, 502)
    again = sum(len(seen(b)) for b in bad) - n
    check(n * 0.1 <= again <= n * 0.2 + 2, "requests sent again", again)


def test_a_large_body_is_not_kept_to_be_sent_again(t):
    """It is gone from memory, so even a PUT says 502, and its backend's reset does not hang it."""
    def reads_some(conn, b):
        reader = Reader(conn)
        if reader.until(b"\r\n\r\n") is None:
            return
        b.seen = seen(b) + [1]
        reader.exactly(1 << 20)
        reset(conn)
    bad = [t.backend(reads_some), t.backend(reads_some)]
    s, front = front_of(t, *bad)
    with Client(front) as c:
        c.send("/", "PUT", headers=["Content-Length: %d" % LARGE])
        with contextlib.suppress(ConnectionError):
            c.s.sendall(b"x" * LARGE)
        try:
            check_eq(c.response().status, 502)
        except ConnectionResetError:
            pass  # the answer may be lost where the rest of the body meets a closed socket
    check_eq(sum(len(seen(b)) for b in bad), 1, "requests at backends")
    no_places_taken(s)


def test_a_dead_reused_connection_is_nobodys_failure(t):
    """The backend closes after each answer, without saying so, when the next request has come."""
    def respond(r, b):
        return answer(body=b"%d" % r.n) if r.n == 0 else None
    b = t.backend(app(respond))
    s, front = front_of(t, b, retries="attempts = 0; budget = 0; budget_min = 0;")
    for i in range(10):
        check_eq(fetch(front, "/%d" % i).body, b"0", "GET on a fresh connection")
    check_eq(len(b.seen), 19, "requests at the backend")
    check_eq(s.number("app", "b1", "hanafail"), 0, "failures")
    check_eq(s.status("app", "b1"), "no check", "state")
    no_places_taken(s)


def test_a_post_on_a_dead_reused_connection_is_502_and_not_repeated(t):
    def respond(r, b):
        return answer(body=b"%d" % r.n) if r.n == 0 else None
    b = t.backend(app(respond))
    s, front = front_of(t, b, pool='reuse = "always";')
    check_eq(fetch(front, "/warm").status, 200)
    check_eq(fetch(front, "/pay", "POST", body=b"100").status, 502)
    check_eq([r.target for r in b.seen], ["/warm", "/pay"])


def test_no_response_in_time_is_504_and_not_repeated(t):
    silent = [t.backend(app(lambda r, b: lambda conn: conn.recv(1))) for _ in range(2)]
    s, front = front_of(t, *silent, top='workers = 1; timeouts = { response_head = "150ms"; };')
    check_eq(fetch(front).status, 504)
    check_eq(sum(len(seen(b)) for b in silent), 1, "requests at backends")
    no_places_taken(s)


def resets_after_first(conn, b):
    """Dies when it has the body's beginning."""
    reader = Reader(conn)
    while b"first" not in reader.data:
        if not reader.more():
            return
    b.seen = seen(b) + [1]
    reset(conn)


def test_a_body_that_was_sent_in_part_is_sent_again_whole(t):
    """A backend dies with half of it, the client sends the rest later."""
    bad = [t.backend(resets_after_first) for _ in range(2)]
    good = t.backend(app(lambda r, b: answer(body=r.body)))
    s, front = front_of(t, *bad, good, retries="attempts = 2; budget = 100; budget_min = 100;")
    for chunked in (False, True) * 3:
        before = sum(len(seen(b)) for b in bad)
        with Client(front) as c:
            c.send("/", "PUT", headers=["Transfer-Encoding: chunked" if chunked else "Content-Length: 11"])
            c.s.sendall(b"5\r\nfirst\r\n" if chunked else b"first")
            wait_until(lambda: sum(len(seen(b)) for b in bad) > before or s.number("app", "b3", "scur"),
                       "a backend has a part")
            c.s.sendall(b"6\r\nsecond\r\n0\r\n\r\n" if chunked else b"second")
            r = c.response()
            check_eq((r.status, r.body), (200, b"firstsecond"), "chunked" if chunked else "length")
    check(sum(len(seen(b)) for b in bad) > 0, "some died")
    no_places_taken(s)


def test_a_post_without_its_body_is_not_sent_again_either(t):
    """The head alone may have done something."""
    bad = [t.backend(resets_after_head) for _ in range(2)]
    s, front = front_of(t, *bad)
    with Client(front) as c:
        c.send("/", "POST", headers=["Content-Length: 10"])
        check_eq(c.response().status, 502)
    check_eq(sum(len(seen(b)) for b in bad), 1, "requests at backends")


def test_after_100_or_103_nothing_is_sent_again(t):
    """The backend has begun to work on it."""
    bad = [t.backend(dies_after(answer(103, headers=["Link: </x>"]), True)) for _ in range(2)]
    s, front = front_of(t, *bad)
    with Client(front) as c:
        check_eq(c.request().status, 103)
        check_eq(c.response().status, 502)
    check_eq(sum(len(seen(b)) for b in bad), 1, "requests at backends")


def test_a_retry_waits_for_a_place_like_everybody(t):
    """The first backend dies, the second has one place, which is taken."""
    gate = threading.Event()

    def respond(r, b):
        if r.path == "/hold":
            gate.wait(SECONDS)
        return by_name(r, b)
    bad, good = t.backend(resets_after_head), t.backend(app(respond))
    s, front = front_of(t, bad, (good, "max_connections = 1;"))
    with Client(front) as held, Client(front) as c:
        held.send("/hold")
        s.wait_number("app", "b2", "scur", 1)
        c.send("/x")
        s.wait_number("app", "BACKEND", "qcur", 1)
        gate.set()
        check_eq((held.response().status, c.response().status), (200, 200))
    no_places_taken(s)


# ---- during the response -------------------------------------------------------------------------

HALF_HEAD = b"HTTP/1.1 200 OK\r\nContent-Le"
HALF_BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 40
HALF_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
HALF_CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhello"


def test_half_a_head_is_502(t):
    """Something of the response was there: it is not asked for again."""
    for with_reset in (False, True):
        bad = [t.backend(dies_after(HALF_HEAD, with_reset)) for _ in range(2)]
        s, front = front_of(t, *bad)
        check_eq(fetch(front).status, 502)
        check_eq(sum(len(seen(b)) for b in bad), 1, "requests at backends")
        no_places_taken(s)


def test_half_a_response_is_a_cut_connection(t):
    """A client must not take it for the whole, but it gets what there was."""
    for part in (HALF_BODY, HALF_CHUNKS, HALF_CHUNK):
        for with_reset in (False, True):
            bad = [t.backend(dies_after(part, with_reset)) for _ in range(2)]
            s, front = front_of(t, *bad)
            with Client(front) as c:
                c.send()
                check_eq(c.head().status, 200)
                got = c.reader.data + recv_all(c.s)
                check(b"hello" in got or got == b"x" * 40, "what there was", got)
                check(not got.endswith(b"0\r\n\r\n") and len(got) < 100, "no end", got)
            check_eq(sum(len(seen(b)) for b in bad), 1, "requests at backends")
            check_eq(s.number("app", "BACKEND", "srv_abrt"), 1, "aborts of the backend")
            no_places_taken(s)


def test_a_large_response_that_is_cut_ends_at_once(t):
    """The kernel moves it by itself: the end must be seen there too. And nothing may go on trying."""
    for size in (10000, 2 << 20):
        for with_reset in (False, True):
            part = b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n" + pattern(size)
            s, front = front_of(t, t.backend(dies_after(part, with_reset)))
            with Client(front) as c:
                c.send()
                check_eq(c.head().status, 200)
                got = c.reader.data + recv_all(c.s)
                check_eq(got, pattern(size)[:len(got)], "payload")
                if not with_reset:  # a reset overtakes data
                    check_eq(len(got), size, "bytes of it")
            check_eq(s.number("app", "BACKEND", "srv_abrt"), 1, "aborts of the backend")
            no_places_taken(s)


def test_a_large_upload_that_is_cut_ends_at_once(t):
    """The same the other way: the client leaves in the midst, orderly or not."""
    b = t.backend(lambda conn, b: recv_all(conn))
    s, front = front_of(t, b)
    for leave in (lambda c: c.s.shutdown(socket.SHUT_WR), lambda c: c.close(), lambda c: reset(c.s)):
        with Client(front) as c:
            c.send("/", "PUT", headers=["Content-Length: 10485760"])
            c.s.sendall(pattern(2 << 20))
            s.wait_number("app", "b1", "scur", 1)
            leave(c)
            s.wait_number("app", "b1", "scur", 0)
    wait_until(lambda: b.open == 0, "the backend is left")


def test_a_response_that_ends_with_its_connection_is_whole(t):
    b = t.backend(dies_after(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300000))
    s, front = front_of(t, b)
    r = fetch(front)
    check_eq((r.status, r.body), (200, b"x" * 300000))
    check_eq(r.header("transfer-encoding"), "chunked", "the client can tell that it is whole")


def test_a_response_that_ends_with_a_reset_is_cut(t):
    b = t.backend(dies_after(b"HTTP/1.1 200 OK\r\n\r\nhello", with_reset=True))
    s, front = front_of(t, b)
    with Client(front) as c:
        c.send()
        check_eq(c.head().status, 200)
        got = c.reader.data + recv_all(c.s)
        check(not got.endswith(b"0\r\n\r\n"), "no last chunk", got)
    no_places_taken(s)


def test_after_the_response_a_reset_hurts_nobody(t):
    b = t.backend(dies_after(answer(body=b"done"), with_reset=True))
    s, front = front_of(t, b)
    with Client(front) as c:
        for _ in range(5):
            check_eq(c.request().body, b"done")
            wait_until(lambda: s.number("app", "b1", "srv_icur") == 0, "the reset is observed")
    no_places_taken(s)


# ---- real processes, killed ----------------------------------------------------------------------

def test_processes_killed_under_load(t):
    """Three Node backends, one after the other killed and started again. GETs see no error, POSTs are
    answered 200 or 502 and never delivered twice, to nobody."""
    nodes = [Node(t, "journal.js", t.path("journal%d" % i), name="n%d" % i) for i in range(3)]
    s, front = start(t, nodes, pool='health = { type = "tcp"; interval = "100ms"; rise = 1; fall = 1; }; '
                     'retries = { attempts = 3; budget = 100; };', top="workers = 2;")
    for n in nodes:
        s.wait_status("app", n.name, "UP")
    stop = threading.Event()
    answers_to = {}

    def client(i):
        n = 0
        while not stop.is_set():
            method = "POST" if i % 2 else "GET"
            target = "/%s-%d-%d" % (method, i, n)
            try:
                with Client(front) as c:
                    for _ in range(5):
                        n += 1
                        target = "/%s-%d-%d" % (method, i, n)
                        answers_to[target] = c.request(
                            target, method, body=b"x" if i % 2 else None).status
            except ConnectionError as e:
                answers_to[target] = repr(e)

    def killer(_):
        try:
            for node in nodes:
                before = len(answers_to)
                wait_until(lambda: len(answers_to) > before + 20, "requests are answered")
                node.kill()
                s.wait_status("app", node.name, "DOWN.*")
                node.start()
                s.wait_status("app", node.name, "UP")
        finally:
            stop.set()
    in_threads(7, lambda i: killer(i) if i == 6 else client(i))
    delivered = {}
    for i in range(3):
        with open(t.path("journal%d" % i)) as f:
            for line in f:
                delivered[line.strip()] = delivered.get(line.strip(), 0) + 1
    gets = {k: v for k, v in answers_to.items() if k.startswith("/GET") and v != 200}
    check_eq(gets, {}, "GETs that saw an error")
    posts = {k: v for k, v in answers_to.items() if k.startswith("/POST")}
    check_eq({k: v for k, v in posts.items() if v not in (200, 502)}, {}, "answers to POSTs")
    check_eq([k for k, n in delivered.items() if k.startswith("/POST") and n > 1], [],
             "POSTs delivered twice")
    check_eq([k for k, v in posts.items() if v == 200 and k not in delivered], [],
             "POSTs answered 200 and not delivered")
    check(len(posts) > 50, "POSTs made", len(posts))
    no_places_taken(s)


def test_a_process_killed_while_it_answers(t):
    node = Node(t, "journal.js", t.path("journal"))
    s, front = start(t, [node])
    with Client(front) as c, Client(front) as waits:
        c.send("/stream")
        check_eq(c.head().status, 200)
        check(c.reader.chunk(), "a first chunk")
        waits.send("/hang", "POST", body=b"x")
        wait_until(lambda: "/hang" in open(t.path("journal")).read(), "the POST is there")
        node.kill()
        got = recv_all(c.s)
        check(not got.endswith(b"0\r\n\r\n"), "no last chunk", got)
        check_eq(waits.response().status, 502)
    no_places_taken(s)
    node.start()
    check_eq(fetch(front, "/x").status, 200)
