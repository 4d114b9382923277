"""Mode http over TLS: the handshake, what comes before it, and what is known after it."""

from tls_site import *


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


def test_a_certificate_that_is_no_good_is_told_and_names_nobody(t):
    b = t.backend(app(by_name))
    site = Site(t, [b], tls=lambda ca: 'verify = "optional"; client_ca = "%s"; ' % ca.cert, route=facts_route())
    mallory = Authority(t.dir, "Other CA").leaf("mallory", client=True)
    with site.client(cert=mallory) as c:
        check_eq(c.request().status, 200)
    facts = facts_of(b.seen[0])
    check_in("FAILED:", facts["client_verify"])
    check_eq((facts["client_subject"], facts["client_issuer"], facts["client_serial"]), ("", "", ""))
    check_eq(len(facts["client_fingerprint"]), 64)
    check_eq(rows(site.sluice, 1)[0]["tls_client_subject"], "CN=mallory", "the log says who tried")


def test_a_name_that_is_refused_stands_in_the_log(t):
    site = Site(t, [t.backend(app(by_name))], tls="strict_sni = true; ")
    with contextlib.suppress(ssl.SSLError), site.client(name="other.example"):
        raise Failure("it was let in")
    row = rows(site.sluice, 1)[0]
    check_eq((row["detail"], row["tls_sni"], row["tls_cipher"]), ("unknown name", "other.example", None))


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
