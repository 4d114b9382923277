"""Mode http: what a path is for routes and for backends, which rule takes a request, and what rules do
to it."""

from http_raw import *


def serve(t, routes, handler=None, listener="", pools=1):
    """Listener `front` with these routes (rows of the configuration) before pools app, app2... whose
    backends are b1, b2...: (sluice, address, backends)."""
    address = t.address()
    backends = [t.backend(handler or app(by_name)) for _ in range(pools)]
    conf = "workers = 1;\npools = ( %s );\n" % ", ".join(
        '{ name = "app%s"; mode = "http"; %s backends = (%s); }' % (
            i + 1 if i else "", NO_CHECKS, t.backend_list([b])) for i, b in enumerate(backends))
    conf += 'listeners = ( { name = "front"; mode = "http"; bind = "%s"; %s %s routes = ( %s ); } );\n' % (
        where(address), JSON_LOG, listener, ",\n  ".join("{ %s }" % r for r in routes))
    return t.sluice(conf), address, backends


# ---- paths ---------------------------------------------------------------------------------------

FORWARDED = [  # (as sent, what the backend gets, what a rule sees)
    ("/", "/", "/"),
    ("/a/b", "/a/b", "/a/b"),
    ("/a//b/", "/a//b/", "/a//b/"),
    ("/%7euser/%41", "/%7euser/%41", "/~user/A"),
    ("/a%20b%c3%a4", "/a%20b%c3%a4", "/a%20b%C3%A4"),
    ("/a;x=1/b,c=@!$&'()*+", "/a;x=1/b,c=@!$&'()*+", "/a;x=1/b,c=@!$&'()*+"),
    ("/.../..a/.b/c.", "/.../..a/.b/c.", "/.../..a/.b/c."),
    ("/a/./b", "/a/b", "/a/b"),
    ("/a/../b", "/b", "/b"),
    ("/a/b/..", "/a/", "/a/"),
    ("/a/.", "/a/", "/a/"),
    ("/a/..", "/", "/"),
    ("/a/%2e%2E/b", "/b", "/b"),
    ("/a/%2e./.%2e/../..", None, "above-root"),
    ("/a/%2e/b?x=/../%2f%00", "/a/b?x=/../%2f%00", "/a/b"),
    ("/a?b/../../..", "/a?b/../../..", "/a"),
    ("/a/../%7e/%c3", "/~/%C3", "/~/%C3"),
    ("/a?", "/a?", "/a"),
    ("/..", None, "above-root"),
    ("/../a", None, "above-root"),
    ("/a/../../b", None, "above-root"),
    ("/%2e%2e/a", None, "above-root"),
    ("/a%2fb", None, "encoded-slash"),
    ("/a/%2F", None, "encoded-slash"),
    ("/..%2f", None, "encoded-slash"),
    ("/a%5cb", None, "encoded-slash"),
    ("/a%5C..", None, "encoded-slash"),
    ("/a%00", None, "encoded-nul"),
    ("/%", None, "bad-escape"),
    ("/%4", None, "bad-escape"),
    ("/%4g", None, "bad-escape"),
    ("/%%41", None, "bad-escape"),
]


def check_paths(t, table, listener=""):
    s, address, (b,) = serve(
        t, ['pool = "app"; request_headers = { set = { name = "X-Path"; value = "$path"; }; }'],
        listener=listener)
    with_reason = []
    for target, expected, rule in table:
        before = len(seen(b))
        r = fetch(address, target)
        if expected is None:
            check_eq((target, r.status, r.header("connection")), (target, 400, None))
            check_eq(len(seen(b)), before, "requests at the backend: " + target)
        else:
            check_eq((r.status, b.seen[-1].target, b.seen[-1].header("x-path")),
                     (200, expected, rule), target)
        with_reason.append(rule if expected is None else None)
    check_eq([row["reason"] for row in rows(s, len(table))], with_reason)
    check_eq([row["uri"] for row in rows(s, len(table))], [row[0] for row in table])


def test_paths(t):
    check_paths(t, FORWARDED)


def test_paths_where_encoded_slashes_are_kept(t):
    """As sent, and never taken for a slash; NUL stays refused."""
    check_paths(t, [("/a%2fb", "/a%2fb", "/a%2Fb"), ("/a%2f../b", "/a%2f../b", "/a%2F../b"),
                    ("/a%5Cb", "/a%5Cb", "/a%5Cb"), ("/a/%2e%2e/b%2f", "/b%2F", "/b%2F"),
                    ("/a%00", None, "encoded-nul"), ("/..%2f/..", "/", "/"),
                    ("/../..%2f", None, "above-root")],
                listener='encoded_slash = "keep";')


def test_no_spelling_of_a_path_evades_its_rule(t):
    s, address, (b,) = serve(t, ['path = "/admin"; answer = { status = 403; body = "no"; }',
                                 'pool = "app"'])
    for target in ("/admin", "/admin/", "/admin/x", "/%61dmin", "/%61%64min/x", "/x/../admin",
                   "/x/%2e%2e/admin", "/./admin", "/admin/.", "/admin?x", "/admin/x/..",
                   "http://www.example.com/admin"):
        check_eq(fetch(address, target).status, 403, target)
    for target in ("/admin%2f", "/x%2f..%2fadmin", "/../admin", "/admin%00", "/admin%5c"):
        check_eq(fetch(address, target).status, 400, target)
    check_eq(seen(b), [], "requests at the backend")
    for target in ("/administrator", "/Admin", "/x/admin", "/admin;x"):
        check_eq(fetch(address, target).status, 200, target)


# ---- what rules do to a request ------------------------------------------------------------------

def test_strip_prefix(t):
    s, address, (b,) = serve(t, ['path = "/api"; strip_prefix = "/api"; pool = "app"'])
    for target, expected in (("/api/x/y?q=1", "/x/y?q=1"), ("/api", "/"), ("/api/", "/"),
                             ("/api?q", "/?q"), ("/%61pi/x", "/x"), ("/x/../api/y/./z", "/y/z"),
                             ("/api/%7e%20", None)):
        check_eq(fetch(address, target).status, 200)
        check_eq(b.seen[-1].target, expected or "/~%20", target)
    check_eq(b.seen[-1].header("x-forwarded-host"), "www.example.com")


def test_replace_path_and_set_host(t):
    s, address, (b,) = serve(t, [
        'path = "~^/user/([a-z]+)/(\\\\d+)$"; replace_path = "/u/$2/$1"; set_host = "users.internal"; pool = "app"',
        'path = "/old"; replace_path = "/new$path"; pool = "app"',
        'path = "/q"; replace_path = "/x"; set_host = "$query_h.internal:81"; pool = "app"'])
    for target, expected, host in (
            ("/user/ann/7?x=y", "/u/7/ann?x=y", "users.internal"),
            ("/old/a%20b", "/new/old/a%20b", "www.example.com"),
            ("/q?h=one", "/x?h=one", "one.internal:81")):
        check_eq(fetch(address, target).status, 200, target)
        r = b.seen[-1]
        check_eq((r.target, r.header("host"), r.header("x-forwarded-host")),
                 (expected, host, "www.example.com"), target)


def test_what_a_client_puts_into_a_rewrite_stays_in_its_place(t):
    """No line, no other header, no other path comes out of a value that the client chose."""
    s, address, (b,) = serve(t, [
        'path = "/p"; replace_path = "/x/$query_v/y"; pool = "app"',
        'path = "/h"; set_host = "$query_v.internal"; pool = "app"',
        'path = "/s"; request_headers = { set = { name = "X-V"; value = "[$query_v]"; }; }; pool = "app"'])
    for path in ("/p", "/h", "/s"):
        for value in ("%0d%0aX-Evil:%201", "a/../../b", "a%2f..%2f", "..", "a:b@c", "%00", "a?b", "a#b"[:1]):
            r = fetch(address, "%s?v=%s" % (path, value))
            if r.status != 200:
                check_eq(r.status, 400, path + value)
                continue
            at = b.seen[-1]
            check_eq(at.all("x-evil"), [], path + " " + value)
            if path == "/p":
                check_match(r"^/x/.*y\?", at.target)
                check(at.path.startswith("/x/") and "/../" not in at.path, "path", at.target)
            check_match(r"^[A-Za-z0-9.:\-]*$", at.header("host"))


def test_redirects(t):
    s, address, _ = serve(t, [
        'path = "/r"; redirect = { to = "/new"; }',
        'path = "/all"; redirect = { to = "https://$host$path"; status = 301; }',
        'path = "/own"; redirect = { to = "/o?from=$path"; status = 308; }',
        'path = "~^/id/(.*)$"; redirect = { to = "https://other.example/$1"; status = 307; }'])
    with Client(address) as c:
        for target, status, to in (
                ("/r", 302, "/new"), ("/r?a=b", 302, "/new?a=b"),
                ("/all/x?y", 301, "https://www.example.com/all/x?y"),
                ("/own/x?y", 308, "/o?from=/own/x"),
                ("/id/7/8", 307, "https://other.example/7/8")):
            r = c.request(target)
            check_eq((r.status, r.header("location")), (status, to), target)
        check_eq(c.request("/r", "POST", body=b"x" * 100).status, 302, "a body is passed over")
        check_eq(c.request("/r", "HEAD").status, 302)
        check_eq(c.request("/r").status, 302, "the connection goes on")


def test_fixed_answers(t):
    s, address, _ = serve(t, [
        'path = "/text"; answer = { body = "fine"; }',
        'path = "/json"; answer = { status = 418; body = "{\\"host\\": \\"$host\\"}"; type = "application/json"; }',
        'path = "/none"; answer = { status = 204; }',
        'path = "/gone"; answer = { status = 410; }'])
    with Client(address) as c:
        for target, status, body, kind in (
                ("/text", 200, b"fine", "text/plain; charset=utf-8"),
                ("/json", 418, b'{"host": "www.example.com"}', "application/json"),
                ("/none", 204, b"", None), ("/text", 200, b"fine", "text/plain; charset=utf-8")):
            r = c.request(target)
            check_eq((r.status, r.body, r.header("content-type")), (status, body, kind), target)
        check_eq(c.request("/gone").status, 410)
        r = c.request("/text", "HEAD")
        check_eq(r.header("content-length"), "4")
        check_eq(c.request("/text").body, b"fine")


def test_headers_are_changed_both_ways(t):
    response = (b"HTTP/1.1 200 OK\r\nServer: secret\r\nX-Powered-By: x\r\nX-Debug-A: 1\r\nX-Debug-B: 2\r\n"
                b"Cache-Control: a\r\nContent-Length: 0\r\n\r\n")
    s, address, (b,) = serve(t, ["""name = "main"; pool = "app";
      request_headers = { remove = [ "Cookie", "X-Old-*" ];
        set = ( { name = "X-Who"; value = "$client_ip $scheme $host $route"; },
                { name = "X-Same"; value = "new"; }, { name = "X-Id"; value = "$request_id"; } );
        add = { name = "X-Also"; value = "$method $uri"; }; };
      response_headers = { remove = [ "Server", "X-Debug-*" ];
        set = ( { name = "X-Backend"; value = "$backend $status"; }, { name = "x-powered-by"; value = "us"; } );
        add = { name = "Cache-Control"; value = "b"; }; };"""], app(lambda r, b: response))
    r = fetch(address, "/p?q", headers=[
        "Cookie: a=b", "X-Old-One: 1", "x-old-two: 2", "X-Older: 3", "X-Same: old", "x-same: older",
        "X-Also: first", "X-Who: forged"])
    at = b.seen[0]
    check_eq(at.all("cookie") + at.all("x-old-one") + at.all("x-old-two"), [])
    check_eq(at.header("x-older"), "3")
    check_eq(at.header("x-who"), "127.0.0.1 http www.example.com main")
    check_eq(at.header("x-same"), "new")
    check_eq(at.all("x-also"), ["first", "GET /p?q"])
    check_eq(at.header("x-id"), at.header("x-request-id"))
    check_eq(r.all("server") + r.all("x-debug-a") + r.all("x-debug-b"), [])
    check_eq((r.header("x-backend"), r.header("x-powered-by")), ("b1 200", "us"))
    check_eq(r.all("cache-control"), ["a", "b"])


# ---- which rule ----------------------------------------------------------------------------------

def rule(name, text):
    return 'name = "%s"; %s; answer = { body = "%s"; }' % (name, text, name)


def taken(address, target="/", host="www.example.com", method="GET", headers=()):
    r = fetch(address, target, method, headers=["Host: " + host, *headers])
    return r.body.decode() if r.status == 200 else r.status


def test_rules_by_host(t):
    s, address, _ = serve(t, [rule("exact", 'host = "a.example"'),
                              rule("suffix", 'host = "*.example"'),
                              rule("two", 'host = [ "x.test", "y.test" ]'),
                              rule("v6", 'host = "[::1]"'),
                              rule("none", 'path = "=/any"; host = "*"')])
    for host, expected in (("a.example", "exact"), ("A.EXAMPLE", "exact"), ("a.example:8080", "exact"),
                           ("a.example.", "exact"), ("b.example", "suffix"), ("b.a.example", "suffix"),
                           ("example", 404), ("aexample", 404), ("y.test", "two"), ("z.test", 404),
                           ("[::1]:80", "v6")):
        check_eq(taken(address, "/", host), expected, host)
    check_eq(taken(address, "/any", "whatever"), "none")


def test_rules_by_path(t):
    s, address, _ = serve(t, [rule("exact", 'path = "=/exact"'), rule("regex", 'path = "~\\\\.(png|gif)$"'),
                              rule("deep", 'path = "/a/b"'), rule("prefix", 'path = "/a"'),
                              rule("slash", 'path = "/s/"'),
                              rule("several", 'path = [ "/m", "=/n" ]')])
    for path, expected in (("/exact", "exact"), ("/exact/", 404), ("/exact?x", "exact"),
                           ("/x.png", "regex"), ("/a/x.gif", "regex"), ("/x.pngs", 404),
                           ("/a/b/c", "deep"), ("/a/bc", "prefix"), ("/a", "prefix"), ("/a/", "prefix"),
                           ("/ab", 404), ("/s/x", "slash"), ("/m/1", "several"), ("/n", "several"),
                           ("/n/1", 404), ("/%61", "prefix"), ("/x%2Epng", "regex")):
        check_eq(taken(address, path), expected, path)


def test_rules_by_everything_else(t):
    s, address, _ = serve(t, [
        rule("delete", 'method = "DELETE"'), rule("methods", 'method = [ "PUT", "PATCH" ]'),
        rule("header", 'header = { name = "X-Kind"; value = "one"; }'),
        rule("header-regex", 'header = { name = "x-kind"; value = "~^t.o$"; }'),
        rule("header-there", 'header = { name = "X-There"; }'),
        rule("cookie", 'cookie = ( { name = "a"; value = "1"; }, { name = "b"; } )'),
        rule("query", 'query = { name = "v"; value = "x y"; }'),
        rule("query-there", 'query = { name = "flag"; }'),
        rule("source", 'from = [ "127.9.0.0/16" ]'),
        rule("rest", 'from = [ "127.0.0.0/8" ]')])
    for expected, arguments in (
            ("delete", {"method": "DELETE"}), ("methods", {"method": "PATCH"}),
            ("rest", {"method": "delete"}),
            ("header", {"headers": ["x-kind: one"]}), ("header-regex", {"headers": ["X-KIND: two"]}),
            ("header", {"headers": ["X-Kind: other", "X-Kind: one"]}),
            ("rest", {"headers": ["X-Kind: One"]}), ("header-there", {"headers": ["x-there:"]}),
            ("cookie", {"headers": ["Cookie: x=y; b=; a=1"]}),
            ("cookie", {"headers": ["Cookie: a=1", "Cookie: b=2"]}),
            ("rest", {"headers": ["Cookie: a=1"]}), ("rest", {"headers": ["Cookie: a=2; b=1"]}),
            ("query", {"target": "/?v=x%20y"}), ("query", {"target": "/?a=b&v=x+y"}),
            ("rest", {"target": "/?v=x"}), ("query-there", {"target": "/?flag"}),
            ("query-there", {"target": "/?x=1&flag=2"}), ("rest", {"target": "/?flagged"})):
        check_eq(taken(address, **arguments), expected, str(arguments))
    r = fetch(address, source="127.9.8.7")
    check_eq(r.body, b"source")


def test_the_first_rule_wins(t):
    s, address, _ = serve(t, [rule("one", 'path = "/a"; method = "POST"'), rule("two", 'host = "h"'),
                              rule("three", 'path = "/a"'), rule("four", 'path = "/a/b"')])
    check_eq(taken(address, "/a/b"), "three")
    check_eq(taken(address, "/a/b", "h"), "two")
    check_eq(taken(address, "/a/b", "h", "POST"), "one")


def test_splits_share_by_weight(t):
    s, address, backends = serve(t, [
        'path = "/"; split = ( { pool = "app"; weight = 3; }, { pool = "app2"; weight = 1; }, '
        '{ pool = "app3"; weight = 0; } )'], pools=3)
    counts = {}
    with Client(address) as c:
        for _ in range(600):
            name = c.request().body.decode()
            counts[name] = counts.get(name, 0) + 1
    check_eq(set(counts), {"b1", "b2"})
    check(390 <= counts["b1"] <= 510, "3 of 4 requests", counts)  # 450 and 5.6 deviations
