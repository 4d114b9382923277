"""Mode http: what stands between a client and its backend: networks, users, rates, headers."""

import base64

from http_tools import *

USERS = """# users of the test
alice:$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy
bob:$5$rounds=1000$saltstring$OU37a5sG7EvLPeOTUc03rsJEIElz/Z9Mftx7aX04XG9

carla:$6$rounds=1000$saltstring$78sTZVfY6CM.dp14boKWH22Sy5/r8XWFDLZFNrkC9cmdVpKq94t7lmvSGPE0hHSluosQkqbtvJhaIO2uSfU6B0
slow:$2b$13$abcdefghijklmnopqrstuu5JUOTyyWoQ7tkBQZzdAOCFNIXtEznci
"""


def echo_head(r, b):
    return answer(body=r.raw, headers=["X-App: yes", "X-Debug-Time: 3", "X-Debug-Sql: select",
                                       "Server: app", "Date: Mon, 01 Jan 2024 00:00:00 GMT"])


def filtered(t, route, respond=echo_head, **kw):
    b = t.backend(app(respond))
    s, front = start(t, [b], route=route, **kw)
    return s, front, b


def basic(user, password):
    return "Authorization: Basic " + base64.b64encode(
        ("%s:%s" % (user, password)).encode()).decode()


# ---- access --------------------------------------------------------------------------------------

def test_access_by_network(t):
    s, front, b = filtered(t, 'access = { allow = ["%s/32", "10.0.0.0/8"]; };' % t.ip)
    check_eq(fetch(front, source=t.ip).status, 200)
    check_eq(fetch(front, source=t.other_ip).status, 403)
    check_eq(len(seen(b)), 1, "requests at the backend")
    check_eq(s.number("front", "FRONTEND", "dreq"), 1, "denied requests counted")


def test_access_deny_beats_allow(t):
    s, front, b = filtered(t, 'access = { allow = ["127.0.0.0/8"]; deny = ["%s"]; };' % t.other_ip)
    check_eq(fetch(front, source=t.ip).status, 200)
    check_eq(fetch(front, source=t.other_ip).status, 403)


def test_access_looks_at_the_client_behind_trusted_proxies_only(t):
    s, front, b = filtered(t, 'access = { allow = ["203.0.113.0/24"]; };',
                           listener='trusted_proxies = ["%s"];' % t.ip)
    forwarded = ["X-Forwarded-For: 203.0.113.9"]
    check_eq(fetch(front, source=t.ip, headers=forwarded).status, 200)
    check_eq(fetch(front, source=t.ip).status, 403)
    check_eq(fetch(front, source=t.other_ip, headers=forwarded).status, 403, "who is not trusted")


def test_a_refused_body_does_not_reach_the_next_request(t):
    """The connection goes on, or ends: never is the body taken for a request."""
    s, front, b = filtered(t, 'access = { deny = ["%s"]; };' % t.ip)
    inner = b"GET /inner HTTP/1.1\r\nHost: x\r\n\r\n"
    with Client(front, source=t.ip) as c:
        c.send("/", "POST", body=inner)
        check_eq(c.response().status, 403)
        with contextlib.suppress(ConnectionError):
            check_eq(c.request("/next").status, 403)
    s.wait_access('"POST / HTTP/1.1" 403')
    s.terminate()
    check("/inner" not in s.access, "the body was read as a request")
    check_eq(seen(b), [], "requests at the backend")


# ---- basic auth ----------------------------------------------------------------------------------

def with_users(t, realm="", **kw):
    with open(t.path("users"), "w") as f:
        f.write(USERS)
    return filtered(t, 'auth = { basic = { file = "users"; %s }; };' % realm, **kw)


def test_users_of_every_kind_of_hash(t):
    s, front, b = with_users(t)
    for user, password in (("alice", "open sesame"), ("bob", "pass:word"), ("carla", "pässword")):
        for _ in range(2):  # the second is remembered
            check_eq(fetch(front, headers=[basic(user, password)]).status, 200, user)
        check_eq(fetch(front, headers=[basic(user, password + "x")]).status, 401, user)
        check_eq(fetch(front, headers=[basic(user, password[:-1])]).status, 401, user)
        check_eq(fetch(front, headers=[basic(user, "")]).status, 401, user)
    check_eq(len(b.seen), 6, "requests at the backend")


def test_who_does_not_say_who_he_is_gets_a_challenge(t):
    s, front, b = with_users(t, 'realm = "the office";')
    for headers in ([], [basic("nobody", "open sesame")], [basic("", "")],
                    [basic("alice", "open sesame")] * 2,  # which one counts?
                    ["Authorization: Bearer abc"], ["Authorization: Basic !!!"],
                    ["Authorization: Basic YWxpY2U="],  # without a colon
                    ["Authorization: " + base64.b64encode(b"alice:open sesame").decode()],
                    [basic("ALICE", "open sesame")]):
        r = fetch(front, headers=headers)
        check_eq(r.status, 401, headers)
        check_match(r'^Basic realm="the office"', r.header("www-authenticate"))
    check_eq(seen(b), [], "requests at the backend")


def test_a_connection_goes_on_after_401(t):
    s, front, b = with_users(t)
    with Client(front) as c:
        check_eq(c.request().status, 401)
        check_eq(c.request("/", "POST", [basic("alice", "open sesame")], b"body").status, 200)
        check_eq(c.request().status, 401, "it holds for one request only")


def test_a_slow_hash_holds_nobody_up(t):
    """bcrypt takes its time in a thread of its own: meanwhile others are answered."""
    s, front, b = with_users(t)
    check_eq(fetch(front, headers=[basic("alice", "open sesame")]).status, 200)
    with Client(front) as c:
        c.send("/slow", headers=[basic("slow", "slow")])
        check_eq(fetch(front, "/quick", headers=[basic("alice", "open sesame")]).status, 200)
        check_eq(c.response().status, 200)
    check_eq([r.path for r in b.seen], ["/", "/quick", "/slow"], "order")


def test_who_leaves_during_the_check_is_forgotten(t):
    s, front, b = with_users(t)
    for leave in (lambda c: c.close(), lambda c: reset(c.s)) * 2:
        c = Client(front)
        c.send("/left", headers=[basic("slow", "slow")])
        wait_until(lambda: s.info()["CurrConns"] != "0", "it is there")
        leave(c)
    wait_until(lambda: s.info()["CurrConns"] == "0", "they are gone")
    check_eq(fetch(front, headers=[basic("alice", "open sesame")]).status, 200)


def test_a_user_file_that_is_no_good_stops_the_start(t):
    for text, expected in (("alice:plain\n", r"users:1: .*"), ("ok:$2b$99$x\n", r"users:1: ")):
        with open(t.path("users"), "w") as f:
            f.write(text)
        listen = t.address()
        with open(t.path("x.conf"), "w") as f:
            f.write(http_conf(t, [t.closed_address()], listen,
                              route='auth = { basic = { file = "users"; }; };'))
        status, _, err = t.run("-t", "-c", t.path("x.conf"))
        check_eq(status, 1)
        check_match(expected, err)


# ---- rates ---------------------------------------------------------------------------------------

def test_too_many_are_429_and_told_when_to_come_back(t):
    s, front, b = filtered(t, 'ratelimit = { rate = "3/m"; };')
    got = [fetch(front) for _ in range(4)]
    passed = [r for r in got if r.status == 200]
    r = got[-1]
    check_eq((len(passed), r.status), (1, 429), "a burst of one where 3 come in a minute")
    check(1 <= int(r.header("retry-after")) <= 20, "Retry-After", r.header("retry-after"))
    check_eq(r.header("ratelimit-policy"), '"default";q=3;w=60')
    check_match(r'^"default";r=0;t=\d+$', r.header("ratelimit"))
    check_eq(passed[0].header("ratelimit"), None, "RateLimit of one that passed")
    check_eq(len(b.seen), 1, "requests at the backend")
    check_eq(s.number("front", "FRONTEND", "dreq"), 3, "denied requests counted")


def test_a_burst_passes_and_time_gives_more(t):
    s, front, b = filtered(t, 'ratelimit = { rate = "5/s"; burst = 10; };')
    with Client(front) as c:
        got = [c.request().status for _ in range(14)]
        check(10 <= got.count(200) <= 12, "of the burst", got)
        check_eq(got[:10], [200] * 10)
        wait_until(lambda: c.request().status == 200, "another passes", seconds=2)


def check_keys(t, key, make, n=3):
    """Each key has a bucket of its own."""
    s, front, b = filtered(t, 'ratelimit = { key = "%s"; rate = "1/m"; burst = 2; };' % key)
    for i in range(n):
        check_eq([fetch(front, **make(i)).status for _ in range(3)], [200, 200, 429], "%s %d" % (key, i))


def test_rates_by_source(t):
    check_keys(t, "source", lambda i: {"source": (t.ip, t.other_ip)[i]}, 2)


def test_rates_by_header(t):
    check_keys(t, "header:X-Key", lambda i: {"headers": ["X-Key: k%d" % i]})


def test_rates_by_cookie(t):
    check_keys(t, "cookie:id", lambda i: {"headers": ["Cookie: a=b; id=k%d" % i]})


def test_rates_by_path(t):
    check_keys(t, "path", lambda i: {"target": "/p%d?ignored" % i})


def test_rates_by_route_count_everybody(t):
    s, front, b = filtered(t, 'ratelimit = { key = "route"; rate = "1/m"; burst = 2; };')
    got = [fetch(front, "/%d" % i, source=(t.ip, t.other_ip)[i % 2]).status for i in range(5)]
    check_eq(got, [200, 200, 429, 429, 429])


def test_workers_share_the_rate(t):
    s, front, b = filtered(t, 'ratelimit = { rate = "1/m"; burst = 60; };', top="workers = 2;")
    got = in_threads(8, lambda i: [fetch(front).status for _ in range(15)])
    passed = sum(statuses.count(200) for statuses in got)
    check(59 <= passed <= 61, "requests that passed, of a burst of 60", passed)


# ---- headers -------------------------------------------------------------------------------------

def test_headers_of_requests(t):
    s, front, b = filtered(t, '''request_headers = {
        set = ( { name = "X-Client"; value = "$client_ip"; }, { name = "X-Where"; value = "$scheme://$host"; } );
        add = ( { name = "X-Twice"; value = "two"; } ); remove = [ "X-Internal-*", "Cookie" ]; };''')
    r = fetch(front, headers=["X-Internal-User: root", "x-internal-: 1", "Cookie: a=b", "X-Twice: one",
                              "X-Client: forged", "x-client: forged too", "X-Internal: stays"],
              source=t.other_ip)
    check_eq(r.status, 200)
    got = b.seen[0]
    check_eq(got.header("x-client"), t.other_ip)
    check_eq(got.header("x-where"), "http://www.example.com")
    check_eq(got.all("x-twice"), ["one", "two"])
    check_eq(got.header("x-internal"), "stays")
    check_eq([n for n, _ in got.fields if n.startswith("x-internal-") or n == "cookie"], [])


def test_headers_of_responses(t):
    s, front, b = filtered(t, '''response_headers = {
        set = ( { name = "X-App"; value = "sluice"; }, { name = "X-By"; value = "$backend"; },
                { name = "X-Id"; value = "$request_id"; } );
        add = ( { name = "Vary"; value = "Cookie"; } ); remove = [ "X-Debug-*" ]; };''')
    r = fetch(front, headers=["X-Request-ID: abc-123"])
    check_eq((r.header("x-app"), r.header("x-by"), r.header("x-id"), r.header("vary")),
             ("sluice", "b1", "abc-123", "Cookie"))
    check_eq([n for n, _ in r.fields if n.startswith("x-debug")], [])
    check_eq((r.header("server"), r.header("date")), ("app", "Mon, 01 Jan 2024 00:00:00 GMT"),
             "Server and Date")


def test_a_variable_cannot_make_a_header_line(t):
    s, front, b = filtered(t, 'response_headers = { set = ( { name = "X-Path"; value = "$path"; } ); };')
    r = fetch(front, "/a%0d%0aX-Evil:%201")
    check(r.status in (200, 400), "answer", r.status)
    check_eq(r.header("x-evil"), None)
    check(all(n != "x-evil" for q in seen(b) for n, _ in q.fields), "at the backend")


def test_filters_stand_in_their_order(t):
    """Networks first, then rates, then users: who may not come in costs nobody his share, and who
    guesses passwords has no more than his own."""
    with open(t.path("users"), "w") as f:
        f.write(USERS)
    s, front, b = filtered(t, '''access = { deny = ["%s"]; }; auth = { basic = { file = "users"; }; };
        ratelimit = { key = "route"; rate = "1/m"; burst = 2; };''' % t.other_ip)
    good = [basic("alice", "open sesame")]
    check_eq([fetch(front, headers=good, source=t.other_ip).status for _ in range(3)], [403] * 3)
    check_eq([fetch(front, headers=h, source=t.ip).status for h in ([], good, good)], [401, 200, 429])
