"""Mode http: who the client is, whom sluice believes about it, and what the backend is told."""

from http_raw import *

IDS = r"^[0-9a-f]{32}$"
TRACE = r"^00-[0-9a-f]{32}-[0-9a-f]{16}-00$"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # of version 2


def told(t, listener="", pool="", headers=(), target="/", source=None, preface=b""):
    """(sluice, what the backend got) of one request."""
    b = t.backend(app(by_name))
    s, address = start(t, [b], listener=JSON_LOG + listener, pool=NO_CHECKS + pool)
    with Client(address, source=source) as c:
        c.s.sendall(preface)
        check_eq(c.request(target, headers=headers).status, 200)
    r = b.seen[0]
    r.listen = address
    return s, r


FORGED = ["X-Forwarded-For: 192.0.2.1", "x-forwarded-for: 192.0.2.2", "X-Forwarded-Proto: https",
          "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 1", "Forwarded: for=192.0.2.1;proto=https"]


def test_a_client_alone(t):
    s, r = told(t)
    check_eq(r.all("x-forwarded-for"), ["127.0.0.1"])
    check_eq(r.all("x-forwarded-proto"), ["http"])
    check_eq(r.all("x-forwarded-host"), ["www.example.com"])
    check_eq(r.all("x-forwarded-port"), [str(r.listen[1])])
    check_eq(r.all("forwarded") + r.all("via"), [])
    check_match(IDS, r.header("x-request-id"))
    check_match(TRACE, r.header("traceparent"))


def test_what_others_say_is_replaced(t):
    s, r = told(t, headers=FORGED)
    check_eq(r.all("x-forwarded-for"), ["127.0.0.1"])
    check_eq(r.all("x-forwarded-proto"), ["http"])
    check_eq(r.all("x-forwarded-host"), ["www.example.com"])
    check_eq(r.all("x-forwarded-port"), [str(r.listen[1])])
    check_eq(r.all("forwarded"), [])
    check_match(r"^127\.0\.0\.1:\d+$", rows(s, 1)[0]["client"], "client in the log")


def test_what_trusted_proxies_say_is_kept_and_added_to(t):
    s, r = told(t, listener='trusted_proxies = [ "127.0.0.0/8" ];', headers=FORGED)
    check_eq(r.all("x-forwarded-for"), ["192.0.2.1, 192.0.2.2, 127.0.0.1"])
    check_eq(r.all("x-forwarded-proto"), ["https"])
    check_eq(r.all("x-forwarded-host"), ["evil.example"])
    check_eq(r.all("x-forwarded-port"), ["1"])
    check_eq(r.all("forwarded"), ["for=192.0.2.1;proto=https"])
    row = rows(s, 1)[0]
    check_match(r"^192\.0\.2\.2", row["client"], "client in the log: the nearest that is not trusted")
    check_eq(row["scheme"], "https")


def test_trust_is_of_who_is_connected(t):
    s, r = told(t, listener='trusted_proxies = [ "127.5.0.0/16" ];', headers=FORGED)
    check_eq(r.all("x-forwarded-for"), ["127.0.0.1"], "from elsewhere")
    s, r = told(t, listener='trusted_proxies = [ "127.5.0.0/16" ];', headers=FORGED, source="127.5.1.1")
    check_eq(r.all("x-forwarded-for"), ["192.0.2.1, 192.0.2.2, 127.5.1.1"])


def test_the_client_is_the_nearest_one_that_is_not_trusted(t):
    """What stands left of it was written by nobody whom we know."""
    b = t.backend(app(by_name))
    s, address = start(t, [b], listener=JSON_LOG + """
        trusted_proxies = [ "127.0.0.0/8", "10.0.0.0/8", "2001:db8:1::/48" ];""",
        route='request_headers = { set = { name = "X-Client"; value = "$client_ip $peer_ip"; }; };')
    for chain, expected in (
            ("192.0.2.9, 10.1.1.1, 10.2.2.2", "192.0.2.9"),
            ("6.6.6.6, 192.0.2.9, 10.1.1.1", "192.0.2.9"),
            ("192.0.2.9:4711", "192.0.2.9"),
            ("2001:db8:2::7, 2001:db8:1::1", "2001:db8:2::7"),
            ("[2001:db8:2::7]:80", "2001:db8:2::7"),
            ("10.1.1.1", "10.1.1.1"),
            ("unknown, 10.1.1.1", "10.1.1.1"),
            ("192.0.2.9, nonsense", "127.0.0.1"),
            ("192.0.2.9,, 10.1.1.1", "10.1.1.1")):
        fetch(address, headers=["X-Forwarded-For: " + chain])
        check_eq(b.seen[-1].header("x-client"), expected + " 127.0.0.1", chain)
        check_eq(b.seen[-1].header("x-forwarded-for"), chain + ", 127.0.0.1")


def test_routes_see_the_client_that_trusted_proxies_tell(t):
    b = t.backend(app(by_name))
    s, address = start(t, [b], listener='trusted_proxies = [ "127.0.0.0/8" ];',
                       route='from = [ "192.0.2.0/24" ];')
    check_eq(fetch(address, headers=["X-Forwarded-For: 192.0.2.1"]).status, 200)
    check_eq(fetch(address, headers=["X-Forwarded-For: 192.0.3.1"]).status, 404)
    check_eq(fetch(address).status, 404)


def test_forwarded_of_rfc_7239(t):
    s, r = told(t, listener="forwarded = true;", headers=FORGED)
    check_eq(r.all("forwarded"), ['for=127.0.0.1;host="www.example.com";proto=http'])
    s, r = told(t, listener='forwarded = true; trusted_proxies = [ "127.0.0.0/8" ];', headers=FORGED)
    check_eq(r.all("forwarded"), ["for=192.0.2.1;proto=https, "
                                  'for=127.0.0.1;host="www.example.com";proto=https'])


def test_fields_with_underscores_are_others(t):
    """X_Forwarded_For is no spelling of X-Forwarded-For that we would believe."""
    s, r = told(t, listener='trusted_proxies = [ "127.0.0.0/8" ];', headers=["X_Forwarded_For: 192.0.2.1"])
    check_eq(r.all("x-forwarded-for"), ["127.0.0.1"])


# ---- the PROXY protocol --------------------------------------------------------------------------

def v2(src, dst, sport, dport, v6=False):
    family = socket.AF_INET6 if v6 else socket.AF_INET
    body = socket.inet_pton(family, src) + socket.inet_pton(family, dst) + struct.pack("!HH", sport, dport)
    return SIGNATURE + bytes([0x21, 0x21 if v6 else 0x11]) + \
        struct.pack("!H", len(body)) + body


def test_the_proxy_protocol_says_who_the_client_is(t):
    for preface, ip, port in (
            (b"PROXY TCP4 192.0.2.5 203.0.113.1 4711 8443\r\n", "192.0.2.5", "8443"),
            (v2("192.0.2.6", "203.0.113.1", 4711, 443), "192.0.2.6", "443"),
            (v2("2001:db8::6", "2001:db8::1", 4711, 80, v6=True), "2001:db8::6", "80")):
        s, r = told(t, listener='proxy_protocol = "any"; forwarded = true;', headers=FORGED, preface=preface)
        check_eq(r.all("x-forwarded-for"), [ip])
        check_eq(r.all("x-forwarded-port"), [port])
        check_in('for="[%s]"' % ip if ":" in ip else "for=" + ip, r.header("forwarded"))
        check_in(ip, rows(s, 1)[0]["client"])


def test_the_proxy_protocol_holds_for_all_requests_of_a_connection(t):
    b = t.backend(app(by_name))
    s, address = start(t, [b], listener='proxy_protocol = "v1";' + JSON_LOG)
    with Client(address) as c:
        c.s.sendall(b"PROXY TCP4 192.0.2.5 203.0.113.1 4711 80\r\n")
        for _ in range(3):
            c.request()
            check_eq(b.seen[-1].header("x-forwarded-for"), "192.0.2.5")
    with contextlib.closing(connect(address)) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        expect_closed(c)
    check_eq(len(b.seen), 3)


def test_trust_is_of_whom_the_proxy_protocol_names(t):
    s, r = told(t, listener='proxy_protocol = "v1"; trusted_proxies = [ "127.0.0.0/8" ];', headers=FORGED,
                preface=b"PROXY TCP4 192.0.2.5 203.0.113.1 4711 80\r\n")
    check_eq(r.all("x-forwarded-for"), ["192.0.2.5"])


def test_backends_are_told_by_the_proxy_protocol(t):
    """A connection carries one client then: it is used for one request."""
    for version, pattern_ in (("v1", rb"PROXY TCP4 192\.0\.2\.5 [0-9.]+ 4711 \d+\r\nGET /"),
                              ("v2", rb"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x05")):
        b = t.backend(records(close=True))
        s, address = start(t, [b], listener='proxy_protocol = "v1";',
                           pool=NO_CHECKS + 'send_proxy = "%s";' % version)
        with Client(address) as c:
            c.s.sendall(b"PROXY TCP4 192.0.2.5 203.0.113.1 4711 80\r\n")
            for _ in range(2):
                check_eq(c.request().body, b"ok")
        check_eq(b.accepted, 2, "connections to the backend")
        for data in b.got:
            check(re.match(pattern_, bytes(data)), "the header before the request", bytes(data))


# ---- ids -----------------------------------------------------------------------------------------

def test_request_ids_are_passed_or_made(t):
    b = t.backend(app(by_name))
    s, address = start(t, [b], listener=JSON_LOG)
    given = ["abc-123", "x" * 128]
    made = [None, "x" * 129, "with blank", "", "\xe4"]
    for value in given + made:
        fetch(address, headers=["X-Request-ID: " + value] if value is not None else [])
    ids = [r.header("x-request-id") for r in b.seen]
    check_eq(ids[:2], given)
    for value in ids[2:]:
        check_match(IDS, value)
    check_eq(len(set(ids)), len(ids), "different ids")
    check_eq([row["request_id"] for row in rows(s, len(ids))], ids)


def test_traceparent_is_passed_or_made(t):
    b = t.backend(app(by_name))
    s, address = start(t, [b], listener=JSON_LOG)
    good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    bad = [None, good.upper(), good[:-1], "ff" + good[2:], "00-" + "0" * 32 + good[35:], good[:36] + "0" * 16 + "-01"]
    for value in [good] + bad:
        fetch(address, headers=["traceparent: " + value] if value else [])
    values = [r.header("traceparent") for r in b.seen]
    check_eq(values[0], good)
    for value in values[1:]:
        check_match(TRACE, value)
    check_eq(len(set(values)), len(values), "different ones")
    check_eq([row["traceparent"] for row in rows(s, len(values))], values)
