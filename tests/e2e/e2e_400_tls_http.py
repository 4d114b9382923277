"""Mode http over TLS: what the client sends and gets is what it would be in clear, and everybody is told
that it was not in clear."""

import hashlib
import ssl
import subprocess

from certs import Authority, openssl
from http_raw import *

NAME = "www.example.com"


class Site:
    """An authority, a certificate of NAME's, and a started sluice before the backends."""

    def __init__(self, t, backends, tls="", listener="", cert=None, clear_log=False, **kw):
        self.t, self.ca = t, Authority(t.dir)
        self.cert = cert(self.ca) if cert else self.ca.leaf(NAME)
        self.tls = 'tls = { certificates = ( { cert = "%s"; key = "%s"; } ); %s };' % (
            self.cert.cert, self.cert.key, tls(self.ca) if callable(tls) else tls)
        self.sluice, self.address = start(t, backends, listener=("" if clear_log else JSON_LOG) + self.tls + listener, **kw)

    def client(self, **kw):
        return TlsClient(self.address, self.ca, **kw)

    def curl(self, target="/", *words, scheme="https"):
        done = subprocess.run(
            ["curl", "-sS", "--http1.1", "--max-time", "60", "--cacert", self.ca.cert, "--resolve",
             "%s:%d:%s" % (NAME, self.address[1], self.address[0]), *words,
             "%s://%s:%d%s" % (scheme, NAME, self.address[1], target)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=90, check=False)
        check_eq((done.returncode, done.stderr), (0, b""), "curl")
        return done.stdout


class TlsClient(Client):
    def __init__(self, address, ca, name=NAME, preface=b"", versions=None, cert=None, alpn=None, ctx=None,
                 session=None, **kw):
        plain = connect(address, **kw)
        plain.sendall(preface)
        ctx = ctx or ca.client(cert=cert, alpn=alpn, versions=versions)
        try:
            self.s = ctx.wrap_socket(plain, server_hostname=name, session=session, suppress_ragged_eofs=False)
        except BaseException:
            plain.close()
            raise
        self.reader = Reader(self.s)

    def ends_with_close_notify(self):
        """Nothing more comes, and its end was said (recv() would raise for a cut)."""
        check_eq(self.s.recv(1), b"", "end of the stream")


class Wire:
    """A TLS client whose bytes on the wire are in the test's hands."""

    def __init__(self, address, ca, name=NAME, **kw):
        self.raw = connect(address)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ca.client(**kw).wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def close(self):
        self.raw.close()

    def flush(self):
        self.raw.sendall(self.outgoing.read())

    def more(self):
        """What came is given to TLS; False: the end of the descriptor's stream."""
        data = self.raw.recv(1 << 16)
        if not data:
            return False
        self.incoming.write(data)
        return True

    def handshake(self):
        while True:
            try:
                self.tls.do_handshake()
                self.flush()
                return self
            except ssl.SSLWantReadError:
                self.flush()
                check(self.more(), "the handshake goes on")

    def send(self, data):
        self.tls.write(data)
        self.flush()

    def notify(self):
        """close_notify; the descriptor stays open."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.flush()

    def read_all(self):
        """(plaintext up to its end, whether close_notify was its end)"""
        parts = []
        while True:
            try:
                parts.append(self.tls.read(1 << 16))
            except ssl.SSLWantReadError:
                if not self.more():
                    return b"".join(parts), False
                continue
            except ssl.SSLZeroReturnError:
                return b"".join(parts), True
            if not parts[-1]:
                return b"".join(parts), True


def digest(data):
    return hashlib.sha256(data).hexdigest()


def echoes_body(r, backend):
    return answer(body=r.body, headers=["X-Digest: " + digest(r.body)])


# ---- requests and responses ----------------------------------------------------------------------

def test_curl_gets_what_the_backend_says(t):
    b = t.backend(app(by_name))
    site = Site(t, [b])
    check_eq(site.curl("/x?y=1"), b"b1")
    r = b.seen[0]
    check_eq(r.target, "/x?y=1")
    check_eq(r.all("x-forwarded-proto"), ["https"])
    check_eq(r.all("x-forwarded-port"), [str(site.address[1])])
    row = rows(site.sluice, 1)[0]
    check_eq((row["scheme"], row["status"], row["tls_version"]), ("https", 200, "TLSv1.3"))


def test_both_versions_of_tls(t):
    site = Site(t, [t.backend(app(by_name))])
    for python, name in (("TLSv1_2", "TLSv1.2"), ("TLSv1_3", "TLSv1.3")):
        with site.client(versions=(python, python)) as c:
            check_eq((c.request().body, c.s.version()), (b"b1", name))


def test_many_requests_on_one_connection(t):
    b = t.backend(app(echoes_body))
    site = Site(t, [b])
    with site.client() as c:
        for n in range(50):
            body = pattern(n * 37)
            check_eq(c.request("/%d" % n, "POST", body=body).body, body)
    check_eq(site.sluice.number("front", "FRONTEND", "stot"), 1, "sessions")
    check_eq([r.path for r in b.seen], ["/%d" % n for n in range(50)])


def test_pipelined_requests(t):
    site = Site(t, [t.backend(app(lambda r, _: answer(body=r.path.encode())))])
    with site.client() as c:
        c.s.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(200)))
        for n in range(200):
            check_eq(c.response().body, b"/%d" % n)


def test_big_bodies_both_ways(t):
    site = Site(t, [t.backend(app(echoes_body))])
    body = pattern(20000000)
    with site.client() as c:
        threading.Thread(target=lambda: c.send("/", "POST", body=body), daemon=True).start()
        r = c.response()
        check_eq((len(r.body), digest(r.body), r.header("x-digest")), (len(body), digest(body), digest(body)))


def test_chunked_both_ways(t):
    def respond(r, backend):
        check_eq(r.header("transfer-encoding"), "chunked")
        return lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
            b"%x\r\n%s\r\n" % (len(p), p) for p in (r.body[i:i + 777] for i in range(0, len(r.body), 777))) +
            b"0\r\n\r\n")
    site = Site(t, [t.backend(app(respond))])
    body = pattern(300000)
    with site.client() as c:
        c.s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(0, len(body), 5000):
            part = body[i:i + 5000]
            c.s.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        c.s.sendall(b"0\r\n\r\n")
        check_eq(digest(c.response().body), digest(body))


def test_every_cut_of_a_record_is_the_same_request(t):
    b = t.backend(app(echoes_body))
    site = Site(t, [b])
    w = Wire(site.address, site.ca)
    w.raw.settimeout(SECONDS)
    with contextlib.closing(w):
        w.handshake()
        w.tls.write(b"POST /cut HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        for byte in w.outgoing.read():
            w.raw.sendall(bytes([byte]))
        data, notified = w.read_all()
        check(data.endswith(b"\r\n\r\nhello") and notified, "the response, then close_notify", data)


def test_a_slow_reader_costs_bounded_memory(t):
    body = pattern(30000000)
    site = Site(t, [t.backend(app(lambda r, _: answer(body=body)))])
    s = site.sluice
    check_eq(site.curl("/"), body)
    before = status_kb(s.pid, "VmRSS")
    clients = [site.client(rcvbuf=4096) for _ in range(20)]
    for c in clients:
        c.send("/")
        c.head()
    sent = [None]

    def stalled():
        now = s.number("app", "BACKEND", "bout")
        same, sent[0] = now == sent[0], now
        return same
    wait_until(lambda: s.number("app", "BACKEND", "scur") == 20, "all wait")
    wait_until(stalled, "nothing moves", every=0.5)
    grown = status_kb(s.pid, "VmRSS") - before
    check(grown < 120000 or t.sanitized, "KiB for 20 slow readers of 30 MB", grown)
    r = clients[0].reader
    check_eq(digest(r.exactly(len(body))), digest(body))
    for c in clients:
        c.close()


def test_an_upgraded_connection(t):
    def respond(conn, b):
        reader = Reader(conn)
        reader.until(b"\r\n\r\n")
        conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        conn.sendall(reader.data)
        echo(conn, None)
    site = Site(t, [t.backend(respond)])
    data = pattern(3000000)
    with site.client() as c:
        c.send("/ws", headers=["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="])
        check_eq(c.head().status, 101)
        threading.Thread(target=c.s.sendall, args=(data,), daemon=True).start()
        check_eq(digest(c.reader.exactly(len(data))), digest(data))
    no_places_taken(site.sluice)


# ---- ends ----------------------------------------------------------------------------------------

def test_a_connection_that_closes_says_so(t):
    site = Site(t, [t.backend(app(by_name))])
    with site.client() as c:
        check_eq(c.request(headers=["Connection: close"]).body, b"b1")
        c.ends_with_close_notify()


def test_an_idle_connection_ends_with_close_notify(t):
    site = Site(t, [t.backend(app(by_name))], listener='timeouts = { idle = "300ms"; };')
    with site.client() as c:
        check_eq(c.request().body, b"b1")
        c.ends_with_close_notify()


def test_a_refused_request_is_answered_while_its_body_still_comes(t):
    site = Site(t, [t.backend(app(by_name))], listener='limits = { body_bytes = "1k"; };')
    with site.client() as c:
        c.s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n")
        c.s.sendall(bytes(100000))
        r = c.response()
        check_eq((r.status, r.header("connection")), (413, "close"))


def test_the_body_of_a_closing_backend_ends_with_close_notify(t):
    site = Site(t, [t.backend(http_old)])
    w = Wire(site.address, site.ca)
    with contextlib.closing(w):
        w.handshake().send(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        data, notified = w.read_all()
        check(data.endswith(b"\r\n\r\n" + b"x" * 100000) and notified, "all of it, and its end", data[-20:], notified)


def http_old(conn, backend):
    """No length: its end is the connection's."""
    Reader(conn).until(b"\r\n\r\n")
    conn.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 100000)


def http_cut(conn, backend):
    Reader(conn).until(b"\r\n\r\n")
    conn.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 100000)
    wait_until(lambda: backend.go, "the client has read")
    reset(conn)


def test_a_body_that_was_cut_does_not_end_with_close_notify(t):
    b = t.backend(http_cut)
    b.go = False
    site = Site(t, [b])
    w = Wire(site.address, site.ca)
    with contextlib.closing(w):
        w.handshake().send(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        n = 0
        while n < 100000:
            try:
                n += len(w.tls.read(1 << 16))
            except ssl.SSLWantReadError:
                check(w.more(), "the body comes")
        b.go = True
        try:
            data, notified = w.read_all()
            check(not notified, "its end is not a good one", data)
        except ConnectionResetError:
            pass


def test_a_client_that_ends_its_half_is_answered_where_that_is_wanted(t):
    site = Site(t, [t.backend(app(by_name))], listener="half_close = true;")
    for end in (Wire.notify, lambda w: w.raw.shutdown(socket.SHUT_WR)):
        w = Wire(site.address, site.ca)
        with contextlib.closing(w):
            w.handshake().send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            end(w)
            data = b""
            with contextlib.suppress(ssl.SSLError):
                data, _ = w.read_all()
            check(data.endswith(b"b1"), "the answer", data)


def test_a_client_that_leaves_frees_the_backend(t):
    site = Site(t, [t.backend(hangs)])
    for leave in (lambda w: w.raw.close(), lambda w: reset(w.raw), Wire.notify):
        w = Wire(site.address, site.ca).handshake()
        w.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: site.sluice.number("app", "b1", "scur") == 1, "the request waits")
        leave(w)
        wait_until(lambda: site.sluice.number("app", "b1", "scur") == 0, "the place is free")
        w.close()
    check_eq({row["end_code"][0] for row in rows(site.sluice, 3)}, {"C"})


def test_a_request_whose_body_is_cut_is_not_taken_for_whole(t):
    b = t.backend(app(echoes_body))
    site = Site(t, [b])
    w = Wire(site.address, site.ca).handshake()
    w.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
    w.notify()
    w.raw.close()
    row = rows(site.sluice, 1)[0]
    check(row["end_code"][0] == "C", "the client's end", row["end_code"])
    check_eq(seen(b), [], "whole requests")


# ---- the handshake -------------------------------------------------------------------------------

def test_failed_handshakes_are_counted_and_logged(t):
    site = Site(t, [t.backend(app(by_name))], tls='min_version = "1.3"; ')
    try:
        site.client(versions=("TLSv1_2", "TLSv1_2"))
        raise Failure("TLS 1.2 was accepted")
    except ssl.SSLError as e:
        check_in("VERSION", e.reason.upper())
    row = rows(site.sluice, 1)[0]
    check_eq((row["end_code"], row["status"], row["reason"]), ("PR", None, "tls-handshake"))
    check_in("protocol", row["detail"])
    with contextlib.closing(connect(site.address)) as c:  # nothing that TLS knows
        c.sendall(b"\x16\x03\x01garbage")
        expect_closed_after_alert(c)
    check_eq(rows(site.sluice, 2)[1]["reason"], "tls-handshake")
    with contextlib.closing(connect(site.address)) as c:  # leaves in the midst of its ClientHello
        c.sendall(b"\x16\x03\x01\x01\x00\x01\x00")
    check_eq(rows(site.sluice, 3)[2]["reason"], "tls-handshake")
    check_eq(site.sluice.number("front", "FRONTEND", "req_tot"), 0, "requests")
    with site.client() as c:
        check_eq(c.request().body, b"b1")


def expect_closed_after_alert(c):
    with contextlib.suppress(ConnectionResetError):
        data = recv_all(c)
        check(data == b"" or data[0] == 0x15, "an alert at most", data)


def test_who_connects_and_says_nothing_is_not_logged(t):
    site = Site(t, [t.backend(app(by_name))], listener='timeouts = { handshake = "200ms"; };')
    with contextlib.closing(connect(site.address)) as c:
        expect_closed(c)
    connect(site.address).close()
    with site.client() as c:
        c.request()
    check_eq([row["status"] for row in rows(site.sluice, 1)], [200])


def test_a_handshake_has_to_end_in_time(t):
    site = Site(t, [t.backend(app(by_name))], listener='timeouts = { handshake = "300ms"; };')
    w = Wire(site.address, site.ca)
    with contextlib.closing(w):
        with contextlib.suppress(ssl.SSLWantReadError):
            w.tls.do_handshake()
        hello = w.outgoing.read()
        w.raw.sendall(hello[:40])
        sessions = site.sluice.ctl("show sess")
        with contextlib.suppress(ConnectionResetError):
            check_eq(recv_all(w.raw), b"")
    row = rows(site.sluice, 1)[0]
    check_eq((row["end_code"], row["reason"]), ("cR", "tls-timeout"))
    check_in("front", sessions)


def test_show_sess_knows_of_handshakes(t):
    site = Site(t, [t.backend(app(by_name))])
    w = Wire(site.address, site.ca)
    with contextlib.closing(w):
        with contextlib.suppress(ssl.SSLWantReadError):
            w.tls.do_handshake()
        w.raw.sendall(w.outgoing.read()[:40])
        wait_until(lambda: "handshake" in site.sluice.ctl("show sess"), lambda: site.sluice.ctl("show sess"))


def test_a_drain_does_not_wait_for_who_has_said_nothing(t):
    site = Site(t, [t.backend(app(by_name))])
    with contextlib.closing(connect(site.address)) as c:
        wait_until(lambda: "handshake" in site.sluice.ctl("show sess"), "it is there")
        os.kill(site.sluice.pid, signal.SIGTERM)
        expect_closed(c)
        site.sluice.wait_end()


def test_a_drain_lets_a_handshake_and_its_request_finish(t):
    site = Site(t, [t.backend(app(by_name))])
    w = Wire(site.address, site.ca)
    with contextlib.closing(w):
        with contextlib.suppress(ssl.SSLWantReadError):
            w.tls.do_handshake()
        hello = w.outgoing.read()
        w.raw.sendall(hello[:40])
        wait_until(lambda: "handshake" in site.sluice.ctl("show sess"), "it is there")
        os.kill(site.sluice.pid, signal.SIGTERM)
        wait_until(lambda: "drain" in site.sluice.log, "it drains")
        w.raw.sendall(hello[40:])
        w.handshake().send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        data, notified = w.read_all()
        check(data.endswith(b"b1") and notified, "the answer", data)
        check_in(b"onnection: close", data)
        site.sluice.wait_end()


def test_a_request_in_clear_is_told_so(t):
    site = Site(t, [t.backend(app(by_name))], listener="hsts = { };")
    data = send_raw(site.address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    check_eq(status_of(data), 400)
    check_in(b"TLS", data)
    check(b"Strict-Transport" not in data, "hsts is only said where TLS is", data)
    row = rows(site.sluice, 1)[0]
    check_eq((row["status"], row["reason"], row["scheme"]), (400, "plain-http", "http"))


def test_a_proxy_header_comes_before_tls(t):
    b = t.backend(app(by_name))
    site = Site(t, [b], listener='proxy_protocol = "v1";')
    with site.client(preface=b"PROXY TCP4 192.0.2.5 203.0.113.1 4711 8443\r\n") as c:
        check_eq(c.request().body, b"b1")
    r = b.seen[0]
    check_eq((r.header("x-forwarded-for"), r.header("x-forwarded-port")), ("192.0.2.5", "8443"))
    w = Wire(site.address, site.ca)  # and in one piece with the ClientHello
    with contextlib.closing(w):
        with contextlib.suppress(ssl.SSLWantReadError):
            w.tls.do_handshake()
        w.raw.sendall(b"PROXY TCP4 192.0.2.6 203.0.113.1 4711 8443\r\n" + w.outgoing.read())
        w.handshake().send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        check(w.read_all()[0].endswith(b"b1"), "the answer")
    check_eq(b.seen[1].header("x-forwarded-for"), "192.0.2.6")


# ---- what is known -------------------------------------------------------------------------------

FACTS = ("version", "cipher", "sni", "alpn", "resumed", "client_verify", "client_subject", "client_issuer",
         "client_serial", "client_fingerprint")


def facts_route():
    return "request_headers = { set = ( %s ); };" % ", ".join(
        '{ name = "X-%s"; value = "$tls_%s"; }' % (f.replace("_", "-"), f) for f in FACTS)


def facts_of(r):
    return {f: r.header("x-" + f.replace("_", "-")) or "" for f in FACTS}


def test_variables_of_a_connection_without_a_client_s_certificate(t):
    b = t.backend(app(by_name))
    site = Site(t, [b], route=facts_route())
    with site.client(alpn=["http/1.1"]) as c:
        c.request()
        cipher = c.s.cipher()[0]
    check_eq(facts_of(b.seen[0]), {
        "version": "TLSv1.3", "cipher": cipher, "sni": NAME, "alpn": "http/1.1", "resumed": "0", "client_verify": "NONE",
        "client_subject": "", "client_issuer": "", "client_serial": "", "client_fingerprint": ""})
    row = rows(site.sluice, 1)[0]
    check_eq([row["tls_" + f] for f in FACTS], ["TLSv1.3", cipher, NAME, "http/1.1", False, "NONE"] + [None] * 4)


def test_variables_of_a_client_s_certificate(t):
    b = t.backend(app(by_name))
    site = Site(t, [b], tls=lambda ca: 'verify = "optional"; client_ca = "%s"; ' % ca.cert, route=facts_route())
    alice = site.ca.leaf("alice", client=True)
    der = openssl("x509", "-in", alice.leaf, "-outform", "DER")
    with site.client(cert=alice) as c:
        check_eq(c.request().status, 200)
    with site.client() as c:
        check_eq(c.request().status, 200)
    facts = facts_of(b.seen[0])
    check_eq(facts["client_verify"], "SUCCESS")
    check_eq(facts["client_subject"], "CN=alice")
    check_eq(facts["client_issuer"], "CN=Test CA")
    check_eq(facts["client_serial"].lower(), alice.serial.lower())
    check_eq(facts["client_fingerprint"].lower().replace(":", ""), hashlib.sha256(der).hexdigest())
    check_eq(facts_of(b.seen[1])["client_verify"], "NONE")
    row = rows(site.sluice, 2)[0]
    check_eq((row["tls_client_subject"], row["tls_client_verify"]), ("CN=alice", "SUCCESS"))


def test_a_client_s_certificate_that_is_required(t):
    site = Site(t, [t.backend(app(by_name))], tls=lambda ca: 'verify = "required"; client_ca = "%s"; ' % ca.cert)
    with site.client(cert=site.ca.leaf("bob", client=True)) as c:
        check_eq(c.request().status, 200)
    for versions in (("TLSv1_2", "TLSv1_2"), ("TLSv1_3", "TLSv1_3")):
        for cert in (None, Authority(t.dir, "Other CA").leaf("mallory", client=True)):
            try:
                with site.client(cert=cert, versions=versions) as c:
                    c.request()
                raise Failure("it was let in")
            except ssl.SSLError as e:
                check_in("ALERT", e.reason, "the client is told why")
    lines = rows(site.sluice, 5)[1:]
    check_eq({row["reason"] for row in lines}, {"tls-handshake"})
    check(all(row["detail"] for row in lines), "a detail each", [row["detail"] for row in lines])


def test_variables_in_access_lines(t):
    site = Site(t, [t.backend(app(by_name))],
                top='workers = 1; log = { format = "$tls_version/$tls_cipher/$tls_sni/$tls_resumed/$tls_client_subject"; };',
                tls='tickets = true; ', clear_log=True)
    with site.client() as c:
        c.request()
        cipher = c.s.cipher()[0]
    wait_until(lambda: "\n" in site.sluice.access, "a line")
    check_eq(site.sluice.access, "TLSv1.3/%s/%s/0/-\n" % (cipher, NAME))


def test_a_resumed_session(t):
    b = t.backend(app(by_name))
    site = Site(t, [b], route=facts_route())
    for versions in (("TLSv1_2", "TLSv1_2"), ("TLSv1_3", "TLSv1_3")):
        b.seen = []
        ctx = site.ca.client(versions=versions)
        with site.client(ctx=ctx) as c:
            c.request()
            session = c.s.session
        with site.client(ctx=ctx, session=session) as c:
            c.request()
            check(c.s.session_reused, "the client resumed", versions)
        check_eq([facts_of(r)["resumed"] for r in b.seen], ["0", "1"])


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
