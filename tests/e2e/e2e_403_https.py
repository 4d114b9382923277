"""What https brings with it: cookies, hsts, redirects from http, early data."""

from tls_site import *


# ---- https ---------------------------------------------------------------------------------------

def test_sticky_cookies_are_for_https_only(t):
    site = Site(t, [t.backend(app(by_name))], pool=NO_CHECKS + 'sticky = { cookie = "s"; };')
    with site.client() as c:
        cookie = c.request().header("set-cookie")
    check_in("; Secure", cookie)


def test_hsts(t):
    site = Site(t, [t.backend(app(lambda r, _: answer(headers=["Strict-Transport-Security: max-age=1"])))],
                listener='hsts = { max_age = "8760h"; subdomains = true; preload = true; };', route='path = "/app";')
    with site.client() as c:
        for path, status in (("/app", 200), ("/none", 404)):
            r = c.request(path)
            check_eq((r.status, r.all("strict-transport-security")),
                     (status, ["max-age=31536000; includeSubDomains; preload"]))


def test_https_is_where_no_route_is(t):
    b = t.backend(app(by_name))
    for setting, port in (("true", ""), ("8443", ":8443")):
        s, front = start(t, [b], listener="redirect_https = %s;" % setting, route='path = "/.well-known/";')
        with Client(front) as c:
            r = c.request("/a%20b/../c?x=1&y=%2F", headers=["Host: Example.COM:80"])
            check_eq((r.status, r.header("location")), (308, "https://example.com%s/c?x=1&y=%%2F" % port))
            r = c.request("/", method="POST", body=b"x" * 10, headers=["Host: [::1]:80"])
            check_eq((r.status, r.header("location")), (308, "https://[::1]%s/" % port))
            check_eq(c.request("/.well-known/x").status, 200)
        s.terminate()


def test_who_came_by_https_is_not_sent_there(t):
    s, front = start(t, [t.backend(app(by_name))], route='path = "/x";',
                     listener='redirect_https = true; trusted_proxies = [ "127.0.0.0/8" ];')
    check_eq(fetch(front, "/", headers=["X-Forwarded-Proto: https"]).status, 404)
    check_eq(fetch(front, "/").status, 308)


# ---- early data ----------------------------------------------------------------------------------

def s_client(site, *words, stdin=b""):
    done = subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % site.address, "-servername", NAME, "-tls1_3",
                           "-CAfile", site.ca.cert, "-ign_eof", *words], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60, check=False)
    return done.stdout.decode(errors="replace")


def early(site, request):
    """The request as 0-RTT; what s_client says."""
    session, data = site.t.path("session.pem"), site.t.path("early")
    s_client(site, "-sess_out", session, stdin=b"GET /first HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    with open(data, "wb") as f:
        f.write(request)
    return s_client(site, "-sess_in", session, "-early_data", data)


def test_a_safe_request_may_come_early_and_is_marked(t):
    b = t.backend(app(by_name))
    site = Site(t, [b], tls="early_data = true; ")
    out = early(site, b"GET /early HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    check_in("Early data was accepted", out)
    check_in("b1", out)
    check_eq([(r.path, r.header("early-data")) for r in b.seen], [("/first", None), ("/early", "1")])


def test_an_unsafe_request_waits_for_the_handshake(t):
    b = t.backend(app(echoes_body))
    site = Site(t, [b], tls="early_data = true; ")
    for head in (b"POST /early HTTP/1.1", b"GET /early HTTP/1.1"):
        b.seen = []
        out = early(site, head + b"\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        check_in("Early data was accepted", out)
        check_in("hello", out)
        check_eq([(r.path, r.header("early-data")) for r in b.seen], [("/first", None), ("/early", None)])


def test_early_data_is_refused_unless_it_is_asked_for(t):
    b = t.backend(app(by_name))
    site = Site(t, [b], listener='timeouts = { request_head = "500ms"; };')
    out = early(site, b"GET /early HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    check("Early data was accepted" not in out, "early data", out)
    check_eq([r.path for r in b.seen], ["/first"])


def test_a_mark_of_a_proxy_before_us_stays(t):
    b = t.backend(app(by_name))
    site = Site(t, [b])
    with site.client() as c:
        check_eq(c.request(headers=["Early-Data: 1"]).status, 200)
    check_eq(b.seen[0].header("early-data"), "1")


# ---- explain -------------------------------------------------------------------------------------

def test_explain_tells_of_https(t):
    b = t.backend(app(by_name))
    s, front = start(t, [b], listener="redirect_https = 8443;", route='path = "/x";')
    said = s.ctl("explain GET http://www.example.com:%d/y?a=1" % front[1])
    check_in("status 308 to https://www.example.com:8443/y?a=1", said)
    site = Site(t, [t.backend(app(by_name))])
    said = site.sluice.ctl("explain GET https://www.example.com:%d/y" % site.address[1])
    check_match(r"X-Forwarded-Proto: https", said)
