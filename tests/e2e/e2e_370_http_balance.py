"""Mode http: which backend gets a request. Counted are requests, not connections."""

import collections

from http_tools import *


def pool_of(t, n, respond=by_name):
    return [t.backend(app(respond)) for _ in range(n)]


def asked(front, n=1, target="/", client=None, **kw):
    """Which backends answer n requests, one after the other; all on one connection where there is a
    client."""
    request = client.request if client else lambda *a, **k: fetch(front, *a, **k)
    return collections.Counter(request(target, **kw).body.decode() for _ in range(n))


class Gate:
    """Requests to /hold wait here until they are let go."""

    def __init__(self):
        self.open = threading.Event()
        self.lock = threading.Lock()
        self.held = self.most = self.total = 0

    def __call__(self, r, b):
        if r.path == "/hold":
            with self.lock:
                self.held += 1
                self.total += 1
                self.most = max(self.most, self.held)
            self.open.wait(SECONDS)
            with self.lock:
                self.held -= 1
        return by_name(r, b)

    def wait_held(self, n):
        wait_until(lambda: self.held == n, lambda: "%d requests at backends, not %d" % (n, self.held))


# ---- algorithms ----------------------------------------------------------------------------------

def test_requests_of_one_connection_go_to_all(t):
    s, front = start(t, pool_of(t, 3))
    with Client(front) as c:
        check_eq(asked(front, 30, client=c), {"b1": 10, "b2": 10, "b3": 10})
    check_eq([s.number("app", "b%d" % i, "req_tot") for i in (1, 2, 3)], [10, 10, 10])


def test_least_connections_counts_requests(t):
    """Many idle connections weigh nothing, one request under way does."""
    gate = Gate()
    s, front = start(t, pool_of(t, 2, gate), pool=NO_CHECKS + 'balance = "least_connections";')
    in_threads(8, lambda i: asked(front, 5))
    with Client(front) as held:
        held.send("/hold")
        gate.wait_held(1)
        busy = [b for b in ("b1", "b2") if s.number("app", b, "scur") == 1]
        check_eq(len(busy), 1, "backends with a request under way")
        other = {"b1": "b2", "b2": "b1"}[busy[0]]
        check_eq(asked(front, 10), {other: 10})
        gate.open.set()
        check_eq(held.response().body.decode(), busy[0])
    no_places_taken(s)


def test_peak_ewma_avoids_the_slow_one(t):
    def respond(r, b):
        if b.name == "b1":
            time.sleep(0.03)
        return by_name(r, b)
    s, front = start(t, pool_of(t, 3, respond), pool=NO_CHECKS + 'balance = "peak_ewma";')
    got = sum(in_threads(4, lambda i: asked(front, 40)), collections.Counter())
    check(got["b1"] < 32, "requests at the slow one, of 160", got)


def check_hash(t, key, make, alike=None):
    """make(i): arguments of a request with the i-th key; alike: of one with another rest."""
    s, front = start(t, pool_of(t, 3), pool=NO_CHECKS + 'balance = "hash"; hash = { key = "%s"; };' % key)
    first = [fetch(front, **make(i)).body for i in range(40)]
    check_eq([fetch(front, **make(i)).body for i in range(40)], first, key + ": the same again")
    spread = collections.Counter(first)
    check(len(spread) == 3 and min(spread.values()) >= 4, key + " spreads", spread)
    if alike:
        check_eq([fetch(front, **alike(i)).body for i in range(40)], first, key + ": only it counts")


def test_hash_of_a_header(t):
    check_hash(t, "header:X-Tenant", lambda i: {"headers": ["X-Tenant: t%d" % i]},
               lambda i: {"headers": ["x-tenant: t%d" % i, "X-Other: x"], "target": "/other"})


def test_hash_of_a_cookie(t):
    check_hash(t, "cookie:id", lambda i: {"headers": ["Cookie: id=u%d" % i]},
               lambda i: {"headers": ["Cookie: a=b; id=u%d; idx=9" % i]})


def test_hash_of_the_path(t):
    check_hash(t, "path", lambda i: {"target": "/p%d" % i}, lambda i: {"target": "/p%d?x=%d" % (i, i * 7)})


def test_hash_of_the_query(t):
    check_hash(t, "query:user", lambda i: {"target": "/?user=u%d" % i},
               lambda i: {"target": "/else?a=1&user=u%d&user2=x" % i})


def test_hash_of_the_uri(t):
    check_hash(t, "uri", lambda i: {"target": "/same?n=%d" % i})


def test_hash_of_the_host(t):
    check_hash(t, "host", lambda i: {"headers": ["Host: h%d.example.com" % i]},
               lambda i: {"headers": ["Host: H%d.Example.com:80" % i]})


def test_backups_are_used_when_no_active_one_is_up(t):
    a, b = pool_of(t, 2)
    s, front = start(t, [a, (b, "backup = true;")],
                     pool='health = { type = "tcp"; interval = "50ms"; rise = 1; fall = 1; };')
    check_eq(asked(front, 5), {"b1": 5})
    a.stop()
    s.wait_status("app", "b1", "DOWN.*")
    check_eq(asked(front, 5), {"b2": 5})
    a.start()
    s.wait_status("app", "b1", "UP")
    check_eq(asked(front, 5), {"b1": 5})


def test_a_backend_without_any_left_is_503_with_retry_after(t):
    s, front = start(t, pool_of(t, 1))
    s.ok("set server app/b1 state maint")
    wait_until(lambda: fetch(front).status == 503, "503 without a backend")
    r = fetch(front)
    check_eq(r.status, 503)
    check(int(r.header("retry-after")) >= 1, "Retry-After", r.header("retry-after"))
    s.ok("set server app/b1 state ready")
    wait_until(lambda: fetch(front).status == 200, "200 with one again")


# ---- limits and queues ---------------------------------------------------------------------------

def test_max_connections_is_a_limit_of_requests(t):
    """Exact, over two workers, and reached."""
    lock, now, most = threading.Lock(), [0], [0]

    def respond(r, b):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.005)
        with lock:
            now[0] -= 1
        return by_name(r, b)
    b = t.backend(app(respond))
    s, front = start(t, [(b, "max_connections = 3;")], top="workers = 2;")

    def client(i):
        with Client(front) as c:
            return [c.request().status for _ in range(15)]
    statuses = in_threads(12, client)
    check_eq(statuses, [[200] * 15] * 12, "answers")
    check_eq(most[0], 3, "requests at the same time")
    check_eq(s.number("app", "b1", "smax"), 3, "smax")
    check(s.number("app", "BACKEND", "qmax") > 0, "some were queued")
    no_places_taken(s)


def test_an_idle_connection_takes_no_place(t):
    b = t.backend(app(by_name))
    s, front = start(t, [(b, "max_connections = 1;")])
    clients = [Client(front) for _ in range(5)]
    for c in clients * 2:
        check_eq(c.request().status, 200)
    for c in clients:
        c.close()


def test_who_waits_too_long_is_503(t):
    gate = Gate()
    b = t.backend(app(gate))
    s, front = start(t, [(b, "max_connections = 1;")], pool=NO_CHECKS + 'queue = { timeout = "200ms"; };')
    with Client(front) as held:
        held.send("/hold")
        gate.wait_held(1)
        r = fetch(front)
        check_eq(r.status, 503)
        check(r.header("retry-after"), "Retry-After")
        gate.open.set()
        check_eq(held.response().status, 200)
    check_eq(len(b.seen), 1, "requests at the backend")
    no_places_taken(s)


def test_a_full_queue_is_503_at_once(t):
    gate = Gate()
    b = t.backend(app(gate))
    s, front = start(t, [(b, "max_connections = 1;")],
                     pool=NO_CHECKS + 'queue = { limit = 2; timeout = "10s"; };')
    clients = [Client(front) for _ in range(3)]
    for c in clients:
        c.send("/hold")
    gate.wait_held(1)
    s.wait_number("app", "BACKEND", "qcur", 2)
    check_eq(fetch(front).status, 503)
    gate.open.set()
    check_eq([c.response().status for c in clients], [200] * 3, "those who waited")
    for c in clients:
        c.close()
    no_places_taken(s)


def test_who_leaves_the_queue_is_not_served(t):
    gate = Gate()
    b = t.backend(app(gate))
    s, front = start(t, [(b, "max_connections = 1;")])
    with Client(front) as held:
        held.send("/hold")
        gate.wait_held(1)
        with Client(front) as leaves:
            leaves.send("/left")
            s.wait_number("app", "BACKEND", "qcur", 1)
        s.wait_number("app", "BACKEND", "qcur", 0)
        gate.open.set()
        check_eq(held.response().status, 200)
    check_eq([r.path for r in b.seen], ["/hold"])


def test_who_leaves_while_the_backend_works_frees_the_place(t):
    gate = Gate()
    b = t.backend(app(gate))
    s, front = start(t, [(b, "max_connections = 1;")])
    for leave in (lambda c: c.close(), lambda c: reset(c.s)):
        c = Client(front)
        c.send("/hold")
        gate.wait_held(1)
        leave(c)
        s.wait_number("app", "b1", "scur", 0)
        gate.open.set()
        gate.wait_held(0)
        gate.open.clear()
        check_eq(fetch(front).status, 200)


# ---- sticky cookies ------------------------------------------------------------------------------

SECRET = "0123456789abcdef0123456789abcdef"


def sticky(t, backends, extra="", pool=NO_CHECKS, **kw):
    return start(t, backends, pool=pool + ' sticky = { cookie = "srv"; secret = "%s"; %s };' % (
        SECRET, extra), **kw)


def cookie_of(r):
    """The value that a response sets, or None."""
    text = r.header("set-cookie")
    return text and check_match(r"^srv=([A-Za-z0-9_-]{22}); ", text).group(1)


def with_cookie(front, value, **kw):
    return fetch(front, headers=["Cookie: a=1; srv=%s; z=2" % value], **kw)


def test_a_cookie_brings_a_client_back(t):
    s, front = sticky(t, pool_of(t, 3))
    for _ in range(4):
        r = fetch(front)
        check_match(r"^srv=[A-Za-z0-9_-]{22}; Path=/; HttpOnly; SameSite=Lax$", r.header("set-cookie"))
        for _ in range(6):
            again = with_cookie(front, cookie_of(r))
            check_eq((again.body, again.header("set-cookie")), (r.body, None))


def test_a_cookie_says_nothing_about_the_backend_and_may_have_an_age(t):
    backends = pool_of(t, 2)
    s, front = sticky(t, backends, 'max_age = "1h";')
    r = fetch(front)
    check_in("; Max-Age=3600;", r.header("set-cookie"))
    for b in backends:
        check(b.name not in cookie_of(r) and str(b.address[1]) not in cookie_of(r), "cookie", cookie_of(r))


def test_the_application_s_own_cookies_stay(t):
    b = t.backend(app(lambda r, b: answer(headers=["Set-Cookie: session=1; Secure", "Set-Cookie: x=2"])))
    s, front = sticky(t, [b])
    check_eq(len(fetch(front).all("set-cookie")), 3)


def test_a_forged_cookie_is_replaced(t):
    s, front = sticky(t, pool_of(t, 2))
    good = cookie_of(fetch(front))
    last = "A" if good[-1] != "A" else "Q"
    for bad in ("b1", "1", "", "x" * 22, good[:-1], good + "A", good[:-1] + last, good[1:] + good[0],
                good.lower() if good.lower() != good else good.upper(), '"%s"' % good[:20]):
        r = with_cookie(front, bad)
        check_eq(r.status, 200)
        check(cookie_of(r), "a new cookie instead of", bad)


def test_what_a_command_has_changed_counts_for_the_next_request(t):
    s, front = start(t, pool_of(t, 2), pool=NO_CHECKS, top="workers = 2;")
    for i in range(20):
        off, on = (("b1", "b2"), ("b2", "b1"))[i % 2]
        s.ok("%s app/%s%s" % (("disable server", off, "") if i % 4 < 2 else
                              ("set server", off, " state drain")))
        check_eq(asked(front, 3), {on: 3})
        s.ok("set server app/%s state ready" % off)
        s.ok("set weight app/%s 0" % on)
        check_eq(asked(front, 3), {off: 3})
        s.ok("set weight app/%s 100%%" % on)


def test_drain_takes_those_who_were_there_only(t):
    s, front = sticky(t, pool_of(t, 2))
    r = fetch(front)
    other = {"b1": "b2", "b2": "b1"}[r.body.decode()]
    s.ok("set server app/%s state drain" % r.body.decode())
    wait_until(lambda: asked(front, 4) == {other: 4}, "others go elsewhere")
    for _ in range(5):
        again = with_cookie(front, cookie_of(r))
        check_eq((again.body, again.header("set-cookie")), (r.body, None))
        check_eq(fetch(front).body.decode(), other)


def check_moved(front, r, other):
    moved = with_cookie(front, cookie_of(r))
    check_eq(moved.body.decode(), other)
    check(cookie_of(moved) and cookie_of(moved) != cookie_of(r), "the cookie is renewed")
    again = with_cookie(front, cookie_of(moved))
    check_eq((again.body.decode(), again.header("set-cookie")), (other, None))


def test_maintenance_moves_clients(t):
    s, front = sticky(t, pool_of(t, 2))
    r = fetch(front)
    other = {"b1": "b2", "b2": "b1"}[r.body.decode()]
    s.ok("set server app/%s state maint" % r.body.decode())
    check_moved(front, r, other)
    s.ok("set server app/%s state ready" % r.body.decode())
    check_eq(with_cookie(front, cookie_of(r)).body, r.body, "the old cookie holds again")


def test_a_backend_that_is_down_moves_its_clients(t):
    backends = pool_of(t, 2)
    s, front = sticky(t, backends, pool='health = { type = "tcp"; interval = "50ms"; rise = 1; fall = 1; };')
    r = fetch(front)
    victim = [b for b in backends if b.name == r.body.decode()][0]
    other = {"b1": "b2", "b2": "b1"}[victim.name]
    victim.kill()
    s.wait_status("app", victim.name, "DOWN.*")
    check_moved(front, r, other)


def test_an_application_s_session_brings_a_client_back(t):
    """Its value ends in the backend's name; who has no cookies has it in the path."""
    s, front = start(t, pool_of(t, 3), pool=NO_CHECKS + ' sticky = { cookie = "JSESSIONID"; route = true; };')
    check_eq(asked(front, 6), {"b1": 2, "b2": 2, "b3": 2})
    for name in ("b2", "b1", "b3"):
        for how in ({"headers": ["Cookie: x=1.b1; JSESSIONID=0A1B." + name]},
                    {"headers": ["Cookie: JSESSIONID=0A1B.gone", "Cookie: JSESSIONID=0A1B." + name]},
                    {"target": "/a;jsessionid=0A1B.%s/b?c;jsessionid=0.b1" % name},
                    {"target": "/a;v=1;JSessionId=0A1B.%s;w=2" % name, "headers": ["Cookie: x=1"]}):
            for _ in range(3):
                r = fetch(front, **how)
                check_eq((r.body.decode(), r.header("set-cookie")), (name, None), how)
    for target in ("/a;jsessionid", "/a;jsessionid=", "/;xjsessionid=0.b1", "/a;jsessionid=;x.b1", "/?x;jsessionid=1.b1",
                   "/a;jsessionid=0A1B.b4"):
        check_eq({fetch(front, target).body for _ in range(3)}, {b"b1", b"b2", b"b3"}, target)
    s.ok("set server app/b2 state drain")
    check_eq(fetch(front, headers=["Cookie: JSESSIONID=0A1B.b2"]).body, b"b2")
    s.ok("set server app/b2 state maint")
    r = fetch(front, headers=["Cookie: JSESSIONID=0A1B.b2"])
    check_eq((r.status, r.header("set-cookie")), (200, None))
    check(r.body != b"b2", "another one answers")


def test_a_backend_that_refuses_moves_its_clients_before_any_check(t):
    backends = pool_of(t, 2)
    s, front = sticky(t, backends)
    r = fetch(front)
    victim = [b for b in backends if b.name == r.body.decode()][0]
    victim.kill()
    check_moved(front, r, {"b1": "b2", "b2": "b1"}[victim.name])


def test_a_backend_that_stays_full_moves_its_clients(t):
    gate = Gate()
    backends = [t.backend(app(gate)) for _ in range(2)]
    s, front = sticky(t, [(b, "max_connections = 1;") for b in backends],
                      pool=NO_CHECKS + 'queue = { timeout = "200ms"; };')
    r = fetch(front)
    other = {"b1": "b2", "b2": "b1"}[r.body.decode()]
    with Client(front) as held:
        held.send("/hold", headers=["Cookie: srv=" + cookie_of(r)])
        gate.wait_held(1)
        check_moved(front, r, other)
        gate.open.set()
        check_eq(held.response().body, r.body)
    no_places_taken(s)


def test_instances_with_one_secret_agree(t):
    backends = pool_of(t, 3)
    s1, front1 = sticky(t, backends)
    s2, front2 = sticky(t, backends)
    for _ in range(3):
        r = fetch(front1)
        again = with_cookie(front2, cookie_of(r))
        check_eq((again.body, again.header("set-cookie")), (r.body, None))


def test_without_a_secret_there_is_a_warning_and_cookies_are_the_instances_own(t):
    backends = pool_of(t, 2)
    own = [start(t, backends, pool=NO_CHECKS + ' sticky = { cookie = "srv"; };') for _ in range(2)]
    r = fetch(own[0][1])
    check_eq(with_cookie(own[0][1], cookie_of(r)).header("set-cookie"), None)
    check(cookie_of(with_cookie(own[1][1], cookie_of(r))), "the other instance makes a cookie of its own")
    check_match(r"(?i)warn.*sticky.*secret", own[0][0].log)


def test_a_cookie_brings_back_each_request_of_a_connection(t):
    """Requests of two clients through a proxy before us share a connection."""
    s, front = sticky(t, pool_of(t, 2))
    by_backend = {}
    with Client(front) as c:
        while len(by_backend) < 2:
            r = c.request()
            by_backend[r.body] = cookie_of(r)
        for _ in range(5):
            for body, value in by_backend.items():
                check_eq(c.request("/", headers=["Cookie: srv=" + value]).body, body)


# ---- ejection ------------------------------------------------------------------------------------

class Moody:
    """Answers with a status by backend."""

    def __init__(self):
        self.status = collections.defaultdict(lambda: 200)

    def __call__(self, r, b):
        return answer(self.status[b.name], b.name.encode())


def test_a_backend_that_fails_in_a_row_is_ejected_and_comes_back(t):
    moody = Moody()
    s, front = start(t, pool_of(t, 2, moody),
                     pool=NO_CHECKS + 'ejection = { failures = 3; time = "700ms"; };')
    moody.status["b2"] = 500
    answers = [fetch(front).status for _ in range(6)]
    check_eq(answers.count(500), 3, "errors until it is ejected")
    wait_until(lambda: asked(front, 4) == {"b1": 4}, "b2 gets none")
    s.wait_log(r"app/b2.*(?i:eject)")
    moody.status["b2"] = 200
    wait_until(lambda: "b2" in asked(front, 4), "b2 is back")


def test_good_answers_between_keep_a_backend_in(t):
    n = [0]

    def respond(r, b):
        n[0] += 1
        return answer(500 if b.name == "b2" and r.path == "/bad" else 200, b.name.encode())
    s, front = start(t, pool_of(t, 2, respond), pool=NO_CHECKS + 'ejection = { failures = 3; };')
    for _ in range(5):
        for path in ("/bad",) * 4 + ("/good",) * 2:
            fetch(front, path)
    check("b2" in asked(front, 2), "b2 is still used")


def test_4xx_is_the_clients_fault(t):
    moody = Moody()
    moody.status["b2"] = 404
    s, front = start(t, pool_of(t, 2, moody), pool=NO_CHECKS + 'ejection = { failures = 2; };')
    check_eq(asked(front, 20)["b2"], 10)


def test_no_more_than_max_percent_are_ejected(t):
    moody = Moody()
    for name in ("b1", "b2", "b3"):
        moody.status[name] = 503
    s, front = start(t, pool_of(t, 4, moody),
                     pool=NO_CHECKS + 'ejection = { failures = 2; time = "60s"; max_percent = 50; };')
    wait_until(lambda: len(asked(front, 20)) == 2, "two of four are ejected")
    check_eq(len(asked(front, 20)), 2, "and no more")


def test_failed_connects_eject_too(t):
    good = t.backend(app(by_name))
    s, front = start(t, [good, t.closed_address()],
                     pool=NO_CHECKS + 'ejection = { failures = 3; time = "60s"; };')
    for _ in range(10):
        check_eq(fetch(front).status, 200)
    wait_until(lambda: fetch(front).status == 200 and re.search("(?i)eject", s.log), "b2 is ejected")
    before = s.number("app", "x1" if ("app", "x1") in s.stat() else "b2", "econ")
    check_eq(asked(front, 10), {"b1": 10})
    check_eq(s.number("app", "x1" if ("app", "x1") in s.stat() else "b2", "econ"), before)


# ---- on_down -------------------------------------------------------------------------------------

def upgraded(front):
    c = Client(front)
    c.send("/up", headers=["Connection: Upgrade", "Upgrade: echo"])
    check_eq(c.head().status, 101)
    return c


def echo_or_hold(gate):
    def respond(r, b):
        if r.header("upgrade"):
            def joined(conn):
                conn.sendall(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
                echo(conn, b)
            return joined
        return gate(r, b)
    return respond


def on_down(t, what):
    gate = Gate()
    b, checked = t.backend(app(echo_or_hold(gate))), t.backend(hangs)
    s, front = start(t, [b], pool='on_down = "%s"; health = { type = "tcp"; port = %d; '
                     'interval = "50ms"; rise = 1; fall = 1; };' % (what, checked.address[1]))
    tunnel, held = upgraded(front), Client(front)
    held.send("/hold")
    gate.wait_held(1)
    checked.stop()
    s.wait_status("app", "b1", "DOWN.*")
    return s, gate, tunnel, held


def test_on_down_keep_lets_tunnels_and_requests_finish(t):
    s, gate, tunnel, held = on_down(t, "keep")
    tunnel.s.sendall(b"still there")
    check_eq(recv_exact(tunnel.s, 11), b"still there")
    gate.open.set()
    check_eq(held.response().status, 200)
    tunnel.close()
    held.close()


def test_on_down_close_cuts_tunnels_and_lets_requests_finish(t):
    s, gate, tunnel, held = on_down(t, "close")
    expect_closed(tunnel.s)
    gate.open.set()
    check_eq(held.response().status, 200)
    tunnel.close()
    held.close()


# ---- changes while requests wait -----------------------------------------------------------------

def test_an_ejected_backend_moves_its_clients(t):
    moody = Moody()
    s, front = sticky(t, pool_of(t, 2, moody), pool=NO_CHECKS + 'ejection = { failures = 2; time = "60s"; };')
    r = fetch(front)
    name = r.body.decode()
    moody.status[name] = 500
    for _ in range(2):
        check_eq(with_cookie(front, cookie_of(r)).status, 500)
    s.wait_log("app/%s.*eject" % name)
    check_moved(front, r, {"b1": "b2", "b2": "b1"}[name])


def test_who_waits_for_his_backend_moves_when_it_goes_to_maintenance(t):
    gate = Gate()
    s, front = sticky(t, [(t.backend(app(gate)), "max_connections = 1;"), t.backend(app(gate))],
                      pool=NO_CHECKS + 'queue = { timeout = "60s"; };')
    r = wait_until(lambda: next((r for r in [fetch(front)] if r.body == b"b1"), None), "a cookie of b1")
    cookie = ["Cookie: srv=" + cookie_of(r)]
    with Client(front) as held, Client(front) as waits:
        held.send("/hold", headers=cookie)
        gate.wait_held(1)
        waits.send("/x", headers=cookie)
        s.wait_number("app", "BACKEND", "qcur", 1)
        s.ok("set server app/b1 state maint")
        check_eq(waits.response().body, b"b2")
        gate.open.set()
        check_eq(held.response().body, b"b1")
    no_places_taken(s)


def test_those_who_wait_go_to_a_backend_that_comes_back(t):
    gate = Gate()
    s, front = start(t, [(t.backend(app(gate)), "max_connections = 1;"), t.backend(app(gate))],
                     pool=NO_CHECKS + 'queue = { timeout = "60s"; };', top="workers = 2;")
    s.ok("set server app/b2 state maint")
    clients = [Client(front) for _ in range(4)]
    for c in clients:
        c.send("/hold")
    gate.wait_held(1)
    s.wait_number("app", "BACKEND", "qcur", 3)
    s.ok("set server app/b2 state ready")
    gate.wait_held(4)
    gate.open.set()
    check_eq(sorted(c.response().body for c in clients), [b"b1", b"b2", b"b2", b"b2"])
    for c in clients:
        c.close()
    no_places_taken(s)


def test_those_who_wait_hear_when_nothing_is_left(t):
    gate = Gate()
    s, front = start(t, [(t.backend(app(gate)), "max_connections = 1;")],
                     pool=NO_CHECKS + 'queue = { timeout = "60s"; };')
    with Client(front) as held, Client(front) as waits:
        held.send("/hold")
        gate.wait_held(1)
        waits.send("/x")
        s.wait_number("app", "BACKEND", "qcur", 1)
        s.ok("set server app/b1 state maint")
        check_eq(waits.response().status, 503)
        gate.open.set()
        check_eq(held.response().status, 200)
    no_places_taken(s)
