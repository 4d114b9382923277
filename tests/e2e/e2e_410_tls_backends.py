"""Pools with tls: the handshake is a part of connecting, the backend's certificate and name are verified,
and whatever goes wrong has its reason in words; checks go the same way."""

import csv
import socket
import ssl
import subprocess

from certs import *
from http_tools import *

LARGE = 3 << 20


def over(ctx, handler, goodbye=True):
    """A handler over TLS. b.shakes: of each connection (version, resumed, subject of the client);
    b.refused: what went wrong with others; b.sni: the names that were asked for."""
    def on_sni(_, name, __):
        names.append(name)

    names = []
    ctx.sni_callback = on_sni

    def wrapped(conn, b):
        b.__dict__.setdefault("shakes", [])
        b.__dict__.setdefault("refused", [])
        b.sni = names
        try:
            tls = ctx.wrap_socket(conn, server_side=True)
        except (ssl.SSLError, OSError) as e:
            b.refused.append(str(e))
            return
        with contextlib.closing(tls):
            subject = tls.getpeercert() or {}
            b.shakes.append((tls.version(), tls.session_reused, dict(x[0] for x in subject.get("subject", ()))))
            try:
                handler(tls, b)
                if goodbye:
                    tls.unwrap()
            except (ssl.SSLError, ConnectionError):
                pass
    return wrapped


class Site:
    """An authority and a good certificate for app.example and the test's address."""

    def __init__(self, t):
        self.ca = Authority(t.dir)
        self.t = t
        self.cert = self.ca.leaf("app.example", t.ip)

    def backend(self, handler=None, cert=None, goodbye=True, name=None, **kw):
        return self.t.backend(over(self.ca.server(cert or self.cert, **kw), handler or app(by_name), goodbye), name)

    def tls(self, more="", ca=None):
        return 'tls = { ca = "%s"; %s };' % ((ca or self.ca).cert, more)


CHECKED = 'health = { type = "http"; interval = "50ms"; timeout = "5s"; rise = 1; fall = 1; };'


def last_check(s, server):
    rows = csv.DictReader(s.ctl("show stat").lstrip("# ").splitlines())
    row = [r for r in rows if (r["pxname"], r["svname"]) == ("app", server)][0]
    return row["check_status"].replace("* ", ""), row["last_chk"]


def server_state(s, server):
    """A row of show servers state."""
    lines = s.ctl("show servers state").splitlines()
    names = lines[1].lstrip("# ").split()
    rows = [dict(zip(names, line.split())) for line in lines[2:]]
    return [row for row in rows if row["srv_name"] == server][0]


def speaks_plainly(conn, b):
    """An HTTP server that makes nothing of a ClientHello."""
    if conn.recv(4096):
        conn.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def refused(t, s, front, reason, econ=1):
    """A request is answered 502, and the log says why."""
    check_eq(fetch(front, "/").status, 502, "a request without harm")
    check_eq(fetch(front, "/", "POST", body=b"x").status, 502, "a request that must not be sent twice")
    for _ in range(2):
        s.wait_access('"end_code": *"SC".*"detail": *"tls: [^"]*%s' % reason, count=2)
    check(s.number("app", "b1", "econ") >= econ, "connect errors are counted")


def json_log(pool, **kw):
    return dict(pool=pool, top='workers = 1; log = { format = "json"; };', **kw)


# ---- what is verified ----------------------------------------------------------------------------

def test_requests_go_over_tls_and_connections_are_kept(t):
    site = Site(t)
    b = site.backend()
    s, front = start(t, [b], pool=NO_CHECKS + site.tls())
    with Client(front) as c:
        for i in range(5):
            check_eq(c.request("/%d" % i).body, b"b1")
        check_eq(c.request("/p", "POST", body=b"x" * 100000).body, b"b1")
    check_eq(len(b.shakes), 1, "handshakes")
    check_eq(b.shakes[0][0], "TLSv1.3")
    check_eq([len(r.body) for r in b.seen], [0] * 5 + [100000])
    check_eq(s.number("app", "b1", "econ"), 0)
    check_eq(s.number("app", "b1", "reuse"), 5)
    check_eq(server_state(s, "b1")["srv_use_ssl"], "1")


def test_an_address_is_verified_as_an_address_and_not_sent_as_a_name(t):
    site = Site(t)
    b = site.backend()
    _, front = start(t, [b], pool=NO_CHECKS + site.tls())
    check_eq(fetch(front).body, b"b1")
    check_eq(b.sni, [None])


def test_sni_is_what_the_pool_says_and_what_is_verified(t):
    site = Site(t)
    b = site.backend(cert=site.ca.leaf("inner.example"))
    _, front = start(t, [b], pool=NO_CHECKS + site.tls('sni = "inner.example";'))
    check_eq(fetch(front).body, b"b1")
    check_eq(b.sni, ["inner.example"])


def test_a_host_name_is_sent_and_verified(t):
    site = Site(t)
    b = site.backend(cert=site.ca.leaf("localhost"))
    b.stop()
    b = t.backend(over(site.ca.server(site.ca.leaf("localhost")), app(by_name)), "local",
                  address=("127.0.0.1", t.port()))
    _, front = start(t, ["localhost:%d" % b.address[1]], pool=NO_CHECKS + site.tls())
    check_eq(fetch(front).body, b"local")
    check_eq(b.sni, ["localhost"])


def test_a_unix_socket_has_the_name_localhost(t):
    site = Site(t)
    b = t.backend(over(site.ca.server(site.ca.leaf("localhost")), app(by_name)), address=t.path("b.sock"))
    s, front = start(t, [b], pool=site.tls() + CHECKED)
    s.wait_status("app", "b1", "UP")
    check_eq(fetch(front).body, b"b1")
    check_eq(set(b.sni), {"localhost"})


def test_a_certificate_for_another_name_is_refused(t):
    site = Site(t)
    b = site.backend(cert=site.ca.leaf("other.example"))
    s, front = start(t, [b], **json_log(NO_CHECKS + site.tls('sni = "app.example";')))
    refused(t, s, front, "hostname mismatch")
    wait_until(lambda: "connect-failed: tls: hostname mismatch" in s.ctl("show flight failed"), "it is said there too")
    check_eq(seen(b), [], "nothing of a request was sent")


def test_a_certificate_for_another_address_is_refused(t):
    site = Site(t)
    b = site.backend(cert=site.ca.leaf("127.0.0.1"))
    s, front = start(t, [b], **json_log(NO_CHECKS + site.tls()))
    refused(t, s, front, "IP address mismatch")


def test_an_expired_certificate_is_refused(t):
    site = Site(t)
    b = site.backend(cert=site.ca.leaf(t.ip, begins=-30, ends=-1))
    s, front = start(t, [b], **json_log(NO_CHECKS + site.tls()))
    refused(t, s, front, "certificate has expired")


def test_the_authorities_of_the_system_are_asked_where_none_is_named(t):
    site = Site(t)
    b = site.backend()
    s, front = start(t, [b], **json_log(NO_CHECKS + "tls = true;"))
    refused(t, s, front, "(unable to get local issuer|self-signed|unable to verify)")


def test_another_authority_is_refused(t):
    site = Site(t)
    b = site.backend()
    s, front = start(t, [b], **json_log(NO_CHECKS + site.tls(ca=Authority(t.dir, "Other CA"))))
    refused(t, s, front, "(unable to get local issuer|self-signed)")


def test_verify_off_takes_whoever_answers(t):
    site = Site(t)
    b = site.backend(cert=site.ca.leaf("old.example", begins=-30, ends=-1))
    _, front = start(t, [b], pool=NO_CHECKS + "tls = { verify = false; };")
    check_eq(fetch(front).body, b"b1")


def test_intermediate_certificates_are_followed(t):
    site = Site(t)
    b = site.backend(cert=site.ca.authority("Inner CA").leaf(t.ip))
    _, front = start(t, [b], pool=NO_CHECKS + site.tls())
    check_eq(fetch(front).body, b"b1")


def test_a_backend_without_tls_is_said_to_have_none(t):
    b = t.backend(speaks_plainly)
    s, front = start(t, [b], **json_log(NO_CHECKS + "tls = { verify = false; };"))
    refused(t, s, front, "the peer speaks no TLS")


# ---- versions, protocols, certificates of ours ---------------------------------------------------

def test_backends_with_tls_1_2_only(t):
    site = Site(t)
    b = site.backend(versions=("TLSv1_2", "TLSv1_2"))
    _, front = start(t, [b], pool=NO_CHECKS + site.tls() + 'reuse = "never";')
    for _ in range(3):
        check_eq(fetch(front).body, b"b1")
    check_eq([(v, resumed) for v, resumed, _ in b.shakes],
             [("TLSv1.2", False), ("TLSv1.2", True), ("TLSv1.2", True)])


def test_a_version_that_is_too_old_is_refused(t):
    site = Site(t)
    b = site.backend(versions=("TLSv1_2", "TLSv1_2"))
    s, front = start(t, [b], **json_log(NO_CHECKS + site.tls('min_version = "1.3";')))
    refused(t, s, front, "[a-z]+")


def test_http_1_1_is_offered_by_alpn(t):
    site = Site(t)
    agreed = []

    def note(conn, b):
        agreed.append(conn.selected_alpn_protocol())
        app(by_name)(conn, b)
    b = site.backend(note, alpn=["h2", "http/1.1"])
    _, front = start(t, [b], pool=NO_CHECKS + site.tls())
    check_eq(fetch(front).body, b"b1")
    check_eq(agreed, ["http/1.1"])


def test_a_pool_of_http2_wants_a_backend_that_agrees(t):
    site = Site(t)
    b = site.backend(alpn=["http/1.1"])
    s, front = start(t, [b], **json_log(NO_CHECKS + site.tls() + 'protocol = "http2";'))
    refused(t, s, front, "(does not agree on h2|no application protocol)")


def test_a_client_certificate_is_shown(t):
    site, clients = Site(t), Authority(t.dir, "Clients")
    mine = clients.leaf("sluice", client=True)
    b = site.backend(clients=clients)
    _, front = start(t, [b], pool=NO_CHECKS + site.tls('cert = "%s"; key = "%s";' % (mine.cert, mine.key)))
    check_eq(fetch(front).body, b"b1")
    check_eq(b.shakes[0][2].get("commonName"), "sluice")


def test_without_the_client_certificate_that_is_wanted_the_reason_is_logged(t):
    site = Site(t)
    for versions in (("TLSv1_2", "TLSv1_2"), ("TLSv1_3", "TLSv1_3")):
        b = site.backend(clients=Authority(t.dir, "Clients"), versions=versions)
        s, front = start(t, [b], **json_log(NO_CHECKS + site.tls()))
        # With 1.3 the backend refuses after the handshake is over for us, when a request is on its way.
        check_eq(fetch(front).status, 502, versions)
        s.wait_access('"end_code": *"(SC|SH)".*"detail": *"tls: [^"]*(alert|handshake|certificate)')


# ---- sessions ------------------------------------------------------------------------------------

def test_sessions_are_resumed_by_backend(t):
    site = Site(t)
    bs = [site.backend(), site.backend()]
    _, front = start(t, bs, pool=NO_CHECKS + site.tls() + 'reuse = "never"; balance = "round_robin";')
    for _ in range(6):
        check_eq(fetch(front).status, 200)
    for b in bs:
        check_eq([resumed for _, resumed, _ in b.shakes], [False, True, True], b.name)


def nginx(t, server):
    """Runs with these lines in its server block."""
    with open(t.path("nginx.conf"), "w") as f:
        f.write("""daemon off; worker_processes 1; pid %(dir)s/nginx.pid; error_log %(dir)s/nginx.err; events {}
http { log_format x '$ssl_server_name $ssl_protocol $ssl_session_reused $server_protocol $request_uri';
access_log %(dir)s/nginx.log x; client_body_temp_path %(dir)s/1; proxy_temp_path %(dir)s/2;
fastcgi_temp_path %(dir)s/3; uwsgi_temp_path %(dir)s/4; scgi_temp_path %(dir)s/5;
server { %(server)s location / { return 200 nginx; } } }
""" % dict(dir=t.dir, server=server))
    t.program(["nginx", "-c", t.path("nginx.conf"), "-p", t.dir], stderr=subprocess.DEVNULL)


def nginx_lines(t):
    with open(t.path("nginx.log")) as f:
        return f.read().splitlines()


def test_nginx_sees_the_name_and_resumed_sessions(t):
    site = Site(t)
    address = t.address()
    nginx(t, "listen %s ssl; ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.3; "
          "ssl_session_cache shared:s:1m;" % (where(address), site.cert.cert, site.cert.key))
    s, front = start(t, [address], pool=site.tls('sni = "app.example";') + 'reuse = "never";' + CHECKED, ready=False)
    s.wait_status("app", "b1", "UP")
    for i in range(3):
        check_eq(fetch(front, "/%d" % i).body, b"nginx")

    def lines():
        return [line for line in nginx_lines(t) if not line.endswith(" /")]
    wait_until(lambda: len(lines()) == 3, lambda: "three lines: %r" % lines())
    check_eq(lines(), ["app.example TLSv1.3 %s HTTP/1.1 /%d" % ("." if i == 0 else "r", i) for i in range(3)])


# ---- connecting ----------------------------------------------------------------------------------

def test_a_failed_handshake_sends_every_request_to_another(t):
    site = Site(t)
    bad = site.backend(cert=site.ca.leaf("other.example"))
    good = site.backend(name="good")
    s, front = start(t, [bad, good], pool=NO_CHECKS + site.tls() +
                     'retries = { attempts = 2; budget = 0; budget_min = 0; };')
    for method, body in (("GET", None), ("POST", b"pay"), ("PUT", b"x" * 100000)) * 3:
        check_eq(fetch(front, "/", method, body=body).body, b"good", method)
    check(s.number("app", "b1", "econ") > 0, "connect errors are counted")
    check(s.number("app", "BACKEND", "wredis") > 0, "redispatches are counted")
    check_eq(seen(bad), [])
    no_places_taken(s)


def test_a_handshake_that_hangs_ends_with_the_connect_timeout(t):
    site = Site(t)
    silent = t.backend(hangs)
    good = site.backend(name="good")
    s, front = start(t, [silent, good], pool=NO_CHECKS + site.tls() + 'timeouts = { connect = "200ms"; };')
    for _ in range(4):
        check_eq(fetch(front).body, b"good")
    check(s.number("app", "b1", "econ") > 0, "connect errors are counted")


def test_where_all_handshakes_hang_the_answer_is_504(t):
    s, front = start(t, [t.backend(hangs)], **json_log(
        NO_CHECKS + "tls = { verify = false; };" + 'timeouts = { connect = "200ms"; };'))
    check_eq(fetch(front).status, 504)
    s.wait_access('"end_code": *"sC".*"detail": *"tls: no answer to the handshake"')


def test_a_connection_that_ends_within_the_handshake(t):
    for handler in (closes_at_once, resets_at_once):
        site = Site(t)
        good = site.backend(name="good")
        s, front = start(t, [t.backend(handler), good], pool=NO_CHECKS + site.tls())
        for _ in range(4):
            check_eq(fetch(front, "/", "POST", body=b"x").body, b"good")
        check(s.number("app", s_name(s), "econ") > 0, "connect errors are counted")


def s_name(s):
    """Of the backend that is not the good one."""
    return [sv for (px, sv) in s.stat() if px == "app" and sv not in ("good", "BACKEND")][0]


def test_a_client_that_leaves_within_the_handshake_leaves_nothing_behind(t):
    silent = t.backend(hangs)
    s, front = start(t, [silent], pool=NO_CHECKS + "tls = { verify = false; };")
    clients = [Client(front) for _ in range(20)]
    for c in clients:
        c.send("/")
    wait_until(lambda: silent.accepted == 20, "all are in their handshakes")
    for c in clients:
        c.close()
    wait_until(lambda: silent.open == 0, "their connections end")
    no_places_taken(s)


def test_a_proxy_header_goes_before_the_handshake(t):
    site = Site(t)
    headers = []

    def after_header(conn, b):
        line = b""
        while not line.endswith(b"\r\n"):
            part = conn.recv(1)
            if not part:
                return
            line += part
        headers.append(line)
        over(site.ca.server(site.cert), app(by_name))(conn, b)
    b = t.backend(after_header)
    s, front = start(t, [b], pool=site.tls() + 'send_proxy = "v1";' + CHECKED)
    s.wait_status("app", "b1", "UP")
    check_eq(last_check(s, "b1")[0], "L7OK")
    with connect(front) as c:
        mine = c.getsockname()
        c.sendall(b"GET /mine HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        check_in(b"b1", recv_all(c))
    check_in(b"PROXY TCP4 %s %s %d %d\r\n" % (mine[0].encode(), t.ip.encode(), mine[1], front[1]), headers)
    check(all(h.startswith(b"PROXY ") for h in headers), "every connection has one", headers)


# ---- idle connections and ends -------------------------------------------------------------------

def test_a_backend_that_closes_idle_connections_is_not_seen(t):
    """Whether it says goodbye or not; requests meet the end at any moment."""
    for goodbye in (True, False):
        site = Site(t)

        def twice(r, b):
            if r.n < 1:
                return answer(body=b"ok")
            return lambda conn: conn.sendall(answer(body=b"ok"))  # and closes, without having said so
        b = site.backend(app(twice), goodbye=goodbye)
        s, front = start(t, [b], pool=NO_CHECKS + site.tls())

        def work(i):
            with Client(front) as c:
                for _ in range(30):
                    check_eq(c.request("/").status, 200)
        in_threads(4, work)
        check(len(b.shakes) >= 50, "connections ended", len(b.shakes))
        s.terminate()


def test_what_tls_says_on_an_idle_connection_does_not_end_it(t):
    """openssl s_server, typed to: K asks for new keys on both sides."""
    site = Site(t)
    address = t.address()
    log = open(t.path("s_server.log"), "w+b")
    p = subprocess.Popen(["openssl", "s_server", "-accept", where(address), "-cert", site.cert.cert, "-key",
                          site.cert.key, "-tls1_3", "-crlf"], stdin=subprocess.PIPE, stdout=log, stderr=log)
    t.processes.append(p)

    def said():
        with open(t.path("s_server.log"), "rb") as f:
            return f.read()
    wait_until(lambda: b"ACCEPT" in said(), lambda: "s_server listens: %r" % said())
    s, front = start(t, [address], pool=NO_CHECKS + site.tls())
    with Client(front) as c:
        for i in range(3):
            c.send("/round-%d" % i)
            wait_until(lambda: b"/round-%d" % i in said(), lambda: "it has the request: %r" % said())
            p.stdin.write(b"HTTP/1.1 200 OK\nContent-Length: 4\n\nab\n")
            p.stdin.flush()
            check_eq(c.response().body, b"ab\r\n")
            wait_until(lambda: s.number("app", "b1", "srv_icur") == 1, "the connection is idle")
            p.stdin.write(b"K\n")
            p.stdin.flush()
            holds_for(0.2, lambda: s.number("app", "b1", "srv_icur") == 1, "it stays")
    check_eq(s.number("app", "b1", "reuse"), 2)
    check_eq(said().count(b"BEGIN SSL SESSION PARAMETERS"), 1, "handshakes")


def test_payload_passes_both_ways(t):
    site = Site(t)

    def mirror(r, b):
        return answer(body=r.body)
    b = site.backend(app(mirror))
    _, front = start(t, [b], pool=NO_CHECKS + site.tls())
    body = pattern(LARGE)

    def work(i):
        with Client(front) as c:
            for _ in range(2):
                check_eq(c.request("/", "POST", body=body).body == body, True, "the same bytes")
    in_threads(3, work)


def test_a_response_that_only_the_end_delimits_is_whole_with_a_goodbye_only(t):
    """RFC 9112 section 9.8: without close_notify anybody may have cut it."""
    for goodbye in (True, False):
        site = Site(t)

        def until_end(r, b):
            return lambda conn: conn.sendall(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        b = site.backend(app(until_end), goodbye=goodbye)
        s, front = start(t, [b], pool=NO_CHECKS + site.tls())
        with connect(front) as c:
            c.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            got = b""
            with contextlib.suppress(ConnectionResetError):
                got = recv_all(c)
        check_eq(got.endswith(b"0\r\n\r\n"), goodbye, "the last chunk comes: %r" % got)
        s.terminate()


def test_an_upgraded_connection_is_a_tunnel_over_tls(t):
    site = Site(t)

    def switch(r, b):
        def talk_on(conn):
            conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            echo(conn, b)
        return talk_on
    b = site.backend(app(switch))
    s, front = start(t, [b], pool=NO_CHECKS + site.tls())
    with Client(front) as c:
        c.send("/", headers=["Connection: Upgrade", "Upgrade: echo"])
        check_eq(c.head().status, 101)
        for i in range(50):
            c.s.sendall(b"word %d" % i)
            check_eq(c.reader.exactly(len(b"word %d" % i)), b"word %d" % i)
        c.s.shutdown(socket.SHUT_WR)
        expect_eof(c.s)


def test_a_restart_of_backends_under_load_loses_nothing(t):
    site = Site(t)
    bs = [site.backend(), site.backend()]
    s, front = start(t, bs, pool=site.tls() + 'retries = { attempts = 2; };' + CHECKED)
    stop = []
    done = [0]

    def client(i):
        with Client(front) as c:
            while not stop:
                check_eq(c.request("/").status, 200)
                done[0] += 1

    def restart(i):
        try:
            for round in range(4):
                b = bs[round % 2]
                other = bs[(round + 1) % 2]
                s.wait_status("app", other.name, "UP")
                b.stop()
                s.wait_status("app", b.name, "DOWN")
                b.start()
                before = done[0]
                s.wait_status("app", b.name, "UP")
                wait_until(lambda: done[0] > before + 20, "requests go on")
        finally:
            stop.append(True)
    in_threads(5, lambda i: restart(i) if i == 0 else client(i))


# ---- checks --------------------------------------------------------------------------------------

def check_down(t, backend, pool, status, text):
    s, front = start(t, [backend], pool=pool, ready=False)
    s.wait_status("app", "b1", "DOWN")
    got = last_check(s, "b1")
    check_eq(got[0], status, got[1])
    check_match(text, got[1], "last_chk")
    check_match("backend app/b1 is DOWN: .*" + text, s.log, "log")
    check_eq(fetch(front).status, 503)
    return s


def test_checks_verify_as_the_pool_does(t):
    site = Site(t)
    t.backends = []
    b = site.backend(cert=site.ca.leaf(t.ip, begins=-30, ends=-1), name="b1")
    check_down(t, b, site.tls() + CHECKED, "L6RSP", "tls: certificate has expired")


def test_a_check_sees_a_wrong_name(t):
    site = Site(t)
    b = site.backend(cert=site.ca.leaf("other.example"), name="b1")
    check_down(t, b, site.tls('sni = "app.example";') + CHECKED, "L6RSP", "tls: hostname mismatch")


def test_a_check_of_a_backend_without_tls(t):
    b = t.backend(speaks_plainly)
    check_down(t, b, "tls = { verify = false; };" + CHECKED, "L6RSP", "tls: ")


def test_a_handshake_of_a_check_that_hangs(t):
    b = t.backend(hangs)
    check_down(t, b, "tls = { verify = false; };" + CHECKED.replace("5s", "200ms"), "L6TOUT",
               "no TLS handshake within 200ms")


def test_a_status_over_tls_is_judged(t):
    site = Site(t)
    b = site.backend(http_status(503))
    check_down(t, b, site.tls() + CHECKED, "L7STS", "HTTP 503")


def test_kinds_of_checks_over_tls(t):
    site = Site(t)
    for health, status, text in (
            ('type = "http";', "L7OK", "HTTP 200"),
            ('type = "tcp";', "L6OK", r"connected, TLSv1\.3, certificate verified"),
            ('type = "tls";', "L6OK", r"connected, TLSv1\.3, certificate verified"),
            ('type = "tcp"; send = "GET / HTTP/1.0\\r\\n\\r\\n"; expect = "200 OK";', "L7OK", "answer contains"),
            ('type = "tls"; tls = { verify = false; };', "L6OK", "certificate not verified")):
        b = site.backend(http_status(200, b"200 OK"), name="b1")
        pool = site.tls() + 'health = { %s interval = "50ms"; timeout = "5s"; };' % health
        s, _ = start(t, [b], pool=pool)
        s.wait_status("app", "b1", "UP")
        got = last_check(s, "b1")
        check_eq(got[0], status, health)
        check_match(text, got[1], health)
        wait_until(lambda: len(b.shakes) >= 4, "some checks")
        check(not any(resumed for _, resumed, _ in b.shakes), "each sees the certificate", b.shakes)
        s.terminate()
        b.stop()


def test_checks_of_http2_speak_it(t):
    site = Site(t)
    clear, safe = t.address(), t.address()
    nginx(t, "listen %s http2; listen %s ssl http2; ssl_certificate %s; ssl_certificate_key %s; "
          "location /broken { return 503; } location /none { return 204; }" % (
              where(clear), where(safe), site.cert.cert, site.cert.key))
    for address, tls in ((clear, ""), (safe, site.tls())):
        for more, status, text in (
                ("", "L7OK", "HTTP 200"), ('body = "nginx";', "L7OK", 'body contains "nginx"'),
                ('body = "apache";', "L7RSP", 'does not contain "apache"'), ('path = "/none";', "L7OK", "HTTP 204"),
                ('path = "/broken";', "L7STS", "HTTP 503"), ('method = "HEAD";', "L7OK", "HTTP 200")):
            s, _ = start(t, [address], pool=tls + 'protocol = "http2"; health = { type = "http"; interval = "50ms"; '
                         'timeout = "5s"; fall = 1; rise = 1; %s };' % more, ready=False)
            s.wait_status("app", "b1", "UP" if status == "L7OK" else "DOWN")
            wait_until(lambda: last_check(s, "b1")[0] != "L4CON", "nginx listens")
            got = last_check(s, "b1")
            check_eq(got[0], status, (more, tls, got[1]))
            check_match(text, got[1])
            s.terminate()
    check(all("HTTP/2.0" in line for line in nginx_lines(t)), "all in HTTP/2", nginx_lines(t))


def test_checks_of_http2_against_a_server_of_http1(t):
    site = Site(t)
    plain = t.backend(http_status(200), name="b1")
    check_down(t, plain, 'protocol = "http2";' + CHECKED, "L7RSP", "the answer is not HTTP/2")
    old = site.backend(http_status(200), name="b1")
    check_down(t, old, site.tls() + 'protocol = "http2";' + CHECKED, "L6RSP", "tls: does not agree on h2")


def test_checks_of_http2_at_a_port_of_their_own_speak_what_is_there(t):
    site = Site(t)
    address = t.address()
    nginx(t, "listen %s http2;" % where(address))
    plain = t.backend(http_status(200))
    s, _ = start(t, [address], pool='protocol = "http2"; health = { type = "http"; interval = "50ms"; '
                 'port = %d; };' % plain.address[1])
    s.wait_status("app", "b1", "UP")
    check_eq(last_check(s, "b1"), ("L7OK", "HTTP 200"))


def test_checks_in_clear_of_a_pool_with_tls(t):
    site = Site(t)
    b, plain = site.backend(name="b1"), t.backend(http_status(200))
    s, front = start(t, [b], pool=site.tls() + 'health = { type = "http"; interval = "50ms"; tls = false; '
                     'address = "%s"; };' % where(plain.address))
    s.wait_status("app", "b1", "UP")
    check_eq(fetch(front).body, b"b1")
    check_eq(len(b.shakes), 1, "only the request's")


def test_checks_over_tls_of_a_pool_in_clear(t):
    site = Site(t)
    b, safe = t.backend(app(by_name)), site.backend(http_status(200))
    s, front = start(t, [b], pool='health = { type = "http"; interval = "50ms"; address = "%s"; '
                     'tls = { ca = "%s"; }; };' % (where(safe.address), site.ca.cert))
    s.wait_status("app", "b1", "UP")
    check_eq(fetch(front).body, b"b1")
    check(safe.shakes, "the checks are over TLS")


def test_failed_handshakes_of_clients_are_told_to_the_checker(t):
    """The check goes elsewhere and passes; what clients meet is in the log."""
    site = Site(t)
    fine = t.backend(http_status(200), name="fine")
    bad = site.backend(cert=site.ca.leaf("other.example"), name="b1")
    s, front = start(t, [bad], pool=site.tls() + 'health = { type = "http"; interval = "1h"; fall = 1; tls = false; '
                     'address = "%s"; };' % where(fine.address), top='workers = 1; log = { level = "debug"; };')
    s.wait_status("app", "b1", "UP")
    before = fine.accepted
    check_eq(fetch(front).status, 502)
    wait_until(lambda: fine.accepted > before, "a check at once")
