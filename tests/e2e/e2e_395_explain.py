"""sluice explain: what would happen to a request, offline and live, is what happens."""

import json
import re

from harness import *
from http_tools import *

POOLS = """pools = (
  { name = "app"; mode = "http"; balance = "hash"; hash = { key = "path"; };
    backends = ( { name = "a"; address = "127.0.0.1:3001"; max_connections = 100; },
                 { name = "b"; address = "127.0.0.1:3002"; },
                 { name = "c"; address = "127.0.0.1:3003"; backup = true; } ); },
  { name = "new"; mode = "http"; balance = "least_connections";
    backends = ( { name = "n1"; address = "127.0.0.1:3009"; } ); }
);
"""
LISTENERS = """listeners = (
  { name = "web"; mode = "http"; bind = "127.0.0.1:8080"; trusted_proxies = "10.0.0.0/8"; routes = (
    { host = "api.example"; path = "/v1/"; pool = "app"; strip_prefix = "/v1";
      access = { deny = "192.0.2.0/24"; };
      request_headers = { set = ( { name = "X-Api"; value = "$path $client_ip"; } ); remove = "X-Secret"; };
      response_headers = { remove = "Server"; }; },
    { path = "/old"; redirect = { to = "/new"; status = 308; }; },
    { path = "/limited"; pool = "new"; ratelimit = { key = "header:X-Key"; rate = "10/s"; }; },
    { path = "/split"; split = ( { pool = "app"; weight = 9; }, { pool = "new"; weight = 1; } ); },
    { path = "/gone"; answer = { status = 410; }; } ); },
  { name = "other"; mode = "http"; bind = "127.0.0.1:8081"; pool = "new"; },
  { name = "raw"; mode = "tcp"; bind = "127.0.0.1:8082"; pool = "db"; } );
"""
TCP_POOL = 'pools = ( { name = "db"; mode = "tcp"; backends = ( { name = "d"; ' \
           'address = "127.0.0.1:1"; } ); },'


def config(t, tests=""):
    path = t.path("explain.conf")
    with open(path, "w") as f:
        f.write(POOLS.replace("pools = (", TCP_POOL, 1) + LISTENERS + tests)
    return path


def explain(t, *words, status=0, conf=None):
    got, out, err = t.run("explain", "-c", conf or config(t), *words)
    check_eq(got, status, out + err)
    return out if status < 2 else err


def as_json(t, *words, status=0, **kw):
    return json.loads(explain(t, *words, "--json", status=status, **kw))


def line_of(text, what):
    return 1 + text[:text.index(what)].count("\n")


# ---- on a file -----------------------------------------------------------------------------------

def test_explain_tells_the_whole_way(t):
    conf = config(t)
    out = explain(t, "GET", "http://API.example:8080/v1/../v1/x?y", "-H",
                  "X-Forwarded-For: 203.0.113.7", "-H", "Connection: Foo", "-H", "Foo: 1", "-H",
                  "X-Secret: s", "--from", "10.1.1.1", conf=conf)
    for part in (
            "listener web (127.0.0.1:8080): has the URL's port\n",
            "client 203.0.113.7 (by X-Forwarded-For, as 10.1.1.1 is a trusted proxy)",
            "host api.example, path /v1/x\n",
            "  hit   web#1 (%s:%d): host=api.example path=/v1/ -> pool app\n" %
            (conf, line_of(open(conf).read(), '{ host = "api.example"')),
            "  pass  access: 203.0.113.7 is in none of the networks of deny\n",
            "  GET /x?y\n  Host: API.example:8080\n",
            "  remove  Foo: 1\n",
            "  remove  X-Secret: s\n",
            "  set     X-Forwarded-For: 203.0.113.7, 10.1.1.1 (was 203.0.113.7)\n",
            "  add     X-Api: /v1/x 203.0.113.7\n",
            "response, as configured\n  remove  Server\n",
            "pool app, hash\n",
            "  * a 127.0.0.1:3001: configured, weight 1, in flight 0 of 100\n",
            "    c 127.0.0.1:3003: configured, weight 1, in flight 0, backup;",
            "by hash of path\n",
            "connect 5s, response head 60s"):
        check_in(part, out)
    check_match(r"result: pool app, backend [ab]\n$", out)


def test_explain_says_why_rules_missed(t):
    out = explain(t, "GET", "http://h/nowhere", status=1)
    check_in('miss  web#1', out)
    check_in('host "h" is not api.example', out)
    check_in('path "/nowhere" is not /old', out)
    check_in("refused: status 404 (no-route)", out)


def test_explain_answers_and_redirects_are_taken(t):
    check_in("result: status 308 to /new?a=b\n",
             explain(t, "GET", "http://h/old?a=b"))
    check_in("result: status 410\n", explain(t, "GET", "http://h/gone"))


def test_explain_refusals_have_their_codes(t):
    for words, code in (
            (("GET", "http://h/a%2fb"), "status 400 (encoded-slash)"),
            (("GET", "http://h/../x"), "status 400 (above-root)"),
            (("GET", "/x"), "status 400 (no-host)"),
            (("CONNECT", "http://h/x"), "status 400 (bad-target)"),
            (("G@T", "http://h/x"), "status 400 (bad-method)"),
            (("GET", "http://h/x", "-H", "Host: a", "-H", "Host: b"), "status 400 (repeated-host)"),
            (("GET", "http://h/x", "-H", "A : b"), "status 400 (space-before-colon)"),
            (("GET", "http://h/x y"), "status 400 "),
            (("GET", "http://api.example/v1/", "--from", "192.0.2.9"), "status 403 (denied)")):
        check_in(code, explain(t, *words, status=1), words)


def test_explain_which_listener(t):
    check_in("listener other", explain(t, "GET", "http://h:8081/x"))
    check_in("listener web (127.0.0.1:8080): the first, as none has the URL's port",
             explain(t, "GET", "http://h/gone"))
    check_in("listener other (127.0.0.1:8081): named",
             explain(t, "GET", "http://h:8080/x", "--listener", "other"))


def test_explain_a_host_header_stands_for_the_urls(t):
    check_in("result: pool app", explain(t, "GET", "http://127.0.0.1:8080/v1/x", "-H",
                                         "Host: api.example"))


def test_explain_all_pools_of_a_split(t):
    e = as_json(t, "GET", "http://h/split")
    check_eq([(p["name"], p["share"]) for p in e["pools"]], [("app", 9), ("new", 1)])


def test_explain_json(t):
    e = as_json(t, "GET", "http://api.example/v1/x", "-H", 'X-Odd: "\\ é')
    check_eq((e["taken"], e["status"], e["route"]), (True, 0, "web#1"))
    check_eq(e["to_backend"]["target"], "/x")
    check_eq([b["name"] for b in e["pools"][0]["backends"] if b["candidate"]], ["a", "b"])
    e = as_json(t, "GET", "http://h/none", status=1)
    check_eq((e["taken"], e["status"], e["reason"]), (False, 404, "no-route"))
    check_eq([r["hit"] for r in e["routes"]], [False] * 5)


def test_explain_usage(t):
    for words, text in (
            ((), "a method and a URL are needed"),
            (("GET",), "a URL is needed"),
            (("GET", "h/x"), "is no URL"),
            (("GET", "http://"), "is no URL"),
            (("GET", "http://h/", "more"), 'unexpected "more"'),
            (("GET", "http://h/", "-H", "nonsense"), "is no header"),
            (("GET", "http://h/", "-H", "a: b\r\nc: d"), "is no header"),
            (("GET", "http://h/", "-H"), "-H needs a value"),
            (("GET", "http://h/", "--form", "1.2.3.4"), "unknown option --form"),
            (("GET", "http://h/", "--from", "h"), "is no IP address"),
            (("GET", "http://h/", "--listener", "raw"), 'no listener "raw" of mode http'),
            (("GET", "http://h/", "-s", "x"), "-c and -s do not go together")):
        err = explain(t, *words, status=2)
        check_in(text, err, words)
        check_in("usage: sluice explain", err)


def test_explain_a_bad_configuration(t):
    path = t.path("bad.conf")
    with open(path, "w") as f:
        f.write("workers = many;\n")
    status, out, err = t.run("explain", "-c", path, "GET", "http://h/")
    check_eq((status, out), (2, ""))
    check_in("bad.conf:1", err)


# ---- the tests block -----------------------------------------------------------------------------

def test_explain_is_what_the_tests_block_asks(t):
    good = """tests = (
      { request = "GET http://api.example/v1/x"; expect = { pool = "app"; }; },
      { request = "GET http://h/v1/x"; headers = "Host: api.example"; expect = { pool = "app"; }; },
      { request = "GET http://api.example/v1/x"; from = "192.0.2.1"; expect = { status = 403; }; },
      { request = "GET http://h/limited"; expect = { pool = "new"; }; },
      { request = "GET http://h/old"; expect = { status = 308; location = "/new"; }; } );
    """
    status, out, err = t.run("-t", "-c", config(t, good))
    check_eq(status, 0, err)
    path = config(t, 'tests = (\n{ request = "GET http://api.example/v1/x"; expect = { pool = '
                     '"new"; }; } );\n')
    status, out, err = t.run("-t", "-c", path)
    check_eq(status, 1, err)
    text = open(path).read()
    check_in('explain.conf:%d: error: tests[#1].expect.pool: "GET http://api.example/v1/x" gets '
             'pool app, by the route at %s:%d, expected new\n' %
             (line_of(text, "{ request ="), path, line_of(text, '{ host = "api.example"')), err)
    check_in("  route web#1, the first that matches: host=api.example path=/v1/ -> pool app\n", err)
    check_in("  filter access passes it", err)
    check_in("1 of 1 tests failed", err)


# ---- live ----------------------------------------------------------------------------------------

def live(t, s, *words, status=0):
    got, out, err = t.run("explain", "-s", s.stats_path, *words)
    check_eq(got, status, out + err)
    return out


def live_json(t, s, *words, status=0):
    return json.loads(live(t, s, *words, "--json", status=status))


HASHED = NO_CHECKS + ' balance = "hash"; hash = { key = "path"; };'


def test_explain_live_says_what_the_backend_sees(t):
    b = t.backend(app(by_name), name="one")
    s, front = start(t, [b], listener='trusted_proxies = "127.0.0.0/8";', route="""
        path = "/v1"; replace_path = "/new$path"; set_host = "inner.example";
        request_headers = { set = ( { name = "X-Client"; value = "$client_ip $scheme"; } );
                            add = ( { name = "X-Tag"; value = "two"; } ); remove = "X-Gone"; };""")
    headers = ["X-Forwarded-For: 198.51.100.4", "X-Forwarded-Proto: https", "X-Gone: 1",
               "X-Tag: one", "Connection: X-Hop", "X-Hop: 1", "Accept: */*",
               "X-Request-ID: mine-1"]
    url = "http://www.example.com:%d/v1/a/../b?q=1" % front[1]
    check_eq(fetch(front, "/v1/a/../b?q=1", headers=[
        "Host: www.example.com:%d" % front[1], *headers]).status, 200)
    words = [w for h in headers for w in ("-H", h)]
    e = live_json(t, s, "GET", url, *words)
    r = seen(b)[0]
    check_eq(e["pools"][0]["pick"], "one")
    check_eq(e["to_backend"]["target"], r.target)
    check_eq(e["to_backend"]["host"], r.header("host"))
    sent = {h.split(":")[0].lower() for h in headers}
    for edit in e["to_backend"]["headers"]:
        got, name = r.all(edit["name"]), edit["name"].lower()
        if edit["do"] == "remove":
            check_eq(got, [], edit)
        elif edit["value"] != "(a new one)":
            check_in(edit["value"], got, edit)
        else:
            check_eq(len(got), 1, edit)
    told = {x["name"].lower() for x in e["to_backend"]["headers"]}
    for name, _ in r.fields:
        check(name in told | sent | {"host"}, "the backend saw more than was told", name)


def test_explain_live_names_the_backend_that_gets_it(t):
    backends = [t.backend(app(by_name), name="h%d" % i) for i in range(4)]
    s, front = start(t, backends, pool=HASHED)
    for i in range(12):
        path = "/p%d" % i
        got = fetch(front, path).body.decode()
        e = live_json(t, s, "GET", "http://www.example.com%s" % path)
        check_eq(e["pools"][0]["pick"], got, path)


def test_explain_offline_agrees_with_live(t):
    backends = [t.backend(app(by_name), name="h%d" % i) for i in range(3)]
    s, front = start(t, backends, pool=HASHED)
    path = t.path("same.conf")
    with open(path, "w") as f:
        f.write(http_conf(t, backends, front, pool=HASHED))
    for i in range(8):
        url = "http://www.example.com/p%d" % i
        check_eq(as_json(t, "GET", url, conf=path)["pools"][0]["pick"],
                 live_json(t, s, "GET", url)["pools"][0]["pick"], url)


def test_explain_live_follows_the_cookie(t):
    backends = [t.backend(app(by_name), name="s%d" % i) for i in range(3)]
    s, front = start(t, backends, pool=NO_CHECKS + ' sticky = { cookie = "SRV"; secret = '
                     '"0123456789abcdef0123456789abcdef"; };')
    r = fetch(front)
    cookie, name = r.header("set-cookie").split(";")[0], r.body.decode()
    out = live(t, s, "GET", "http://h/", "-H", "Cookie: " + cookie)
    check_in("  sticky: cookie SRV names %s\n" % name, out)
    check_in("result: pool app, backend %s\n" % name, out)
    check_in("no cookie SRV: one is set", live(t, s, "GET", "http://h/"))
    s.ok("disable server app/%s" % name)
    out = live(t, s, "GET", "http://h/", "-H", "Cookie: " + cookie)
    check_in("which cannot take it: another is chosen", out)
    check_match(r"(?m)^    %s 127\.[\d.]+:\d+: maint,.*; by a command on the stats socket$" % name,
                out)


def test_explain_live_follows_an_application_s_session(t):
    backends = [t.backend(app(by_name), name="s%d" % i) for i in range(3)]
    s, front = start(t, backends, pool=NO_CHECKS + ' sticky = { cookie = "SID"; route = true; };')
    out = live(t, s, "GET", "http://h/", "-H", "Cookie: SID=1.s2")
    check_in("  sticky: session SID names s2\n", out)
    check_in("result: pool app, backend s2\n", out)
    check_in("no SID that names a backend", live(t, s, "GET", "http://h/", "-H", "Cookie: SID=1.s3"))


def test_explain_live_says_why_a_server_is_down(t):
    up = t.backend(app(by_name), name="good")
    s, front = start(t, [up, t.closed_address()], ready=False, pool='balance = "first"; health = { '
                     'type = "tcp"; interval = "50ms"; fall = 1; rise = 1; };')
    s.wait_status("app", "b2", "DOWN.*")
    s.wait_status("app", "good", "UP")
    out = live(t, s, "GET", "http://h/")
    check_match(r"(?m)^    b2 127\.[\d.]+:\d+: down, .*; for \d+s: .*refused", out)
    check_match(r"(?m)^  \* good 127\.[\d.]+:\d+: up, ", out)
    check_in("choice: good, the first with room, now\n", out)
    up.stop()
    s.wait_status("app", "good", "DOWN.*")
    out = live(t, s, "GET", "http://h/", status=1)
    check_in("choice: none", out)
    check_in("refused: status 503 (no-backend)", out)


def test_explain_counts_nothing(t):
    b = t.backend(app(by_name), name="one")
    s, front = start(t, [b], route='ratelimit = { key = "route"; rate = "1/h"; burst = 1; };')
    for _ in range(3):
        check_in("if not more than 1 in 3600s, 1 at once, for the route",
                 live(t, s, "GET", "http://h/"))
    check_eq(s.number("front", "FRONTEND", "req_tot"), 0)
    check_eq(fetch(front).status, 200)
    check_eq(fetch(front).status, 429)
    check_eq(len(seen(b)), 1)


def test_explain_on_the_stats_socket(t):
    s, front = start(t, [t.backend(app(by_name), name="one")],
                     route='header = { name = "X-A"; value = "b c"; };')
    for words in ('-H "X-A: b c"', "-H 'X-A: b c' --from 192.0.2.1", "-H X-A: b c",
                  "-H X-A:\\ b\\ c", "--from 2001:db8::1 -H X-A: b c --listener front"):
        check_in("result: pool app", s.ctl("explain GET http://h/ " + words), words)
    check_eq(json.loads(s.ctl("explain json GET http://h/ -H X-A: b c"))["taken"], True)
    check_eq(json.loads(s.ctl("explain json GET http://h/"))["reason"], "no-route")
    check_in("is no URL", s.ctl("explain GET h"))
    check_in("a method and a URL are needed", s.ctl("explain"))
    check_in("refused: status 404", s.ctl("user; explain GET http://h/"))
    check_in("explain ", s.ctl("help explain"))
    status, out, err = t.run("ctl", "-s", s.stats_path, "explain", "GET", "http://h/", "-H",
                             "X-A: b c")
    check_eq(status, 0, err)
    check_in("result: pool app", out)
    status, out, err = t.run("ctl", "-s", s.stats_path, "explain", "GET")
    check_eq(status, 1)


def test_explain_without_a_server(t):
    status, out, err = t.run("explain", "-s", t.path("none.sock"), "GET", "http://h/")
    check_eq((status, out), (2, ""))
    check_in("none.sock", err)
