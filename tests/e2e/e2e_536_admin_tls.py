"""The admin address over TLS: all that it has, certificates that change, clients that must show theirs."""

import ssl

from certs import Authority, install
from e2e_532_dashboard_changes import *

NAME = "lb1.example.net"


class Site:
    """A sluice whose admin address has a certificate of an authority of the test's own."""

    def __init__(self, t, tls="", more="", backends=None, **kw):
        self.t, self.ca = t, Authority(t.dir)
        self.cert = self.ca.leaf(NAME)
        install(self.cert, t.dir)
        self.sluice, self.front, self.admin = start_admin(
            t, backends, 'hosts = "%s"; tls = { certificates = { cert = "%s"; key = "%s"; }; %s }; %s' % (
                NAME, t.path("site.pem"), t.path("site.key"), tls(self.ca) if callable(tls) else tls, more), **kw)

    def connect(self, cert=None, versions=None):
        ctx = self.ca.client(cert=cert, versions=versions)
        return ctx.wrap_socket(connect(self.admin), server_hostname=NAME, suppress_ragged_eofs=False)

    def ask(self, path, headers=(), method="GET", body=b"", **kw):
        with self.connect(**kw) as c:
            fields = ["Host: %s:%d" % (NAME, self.admin[1]), "Connection: close", *headers]
            if body:
                fields.append("Content-Length: %d" % len(body))
            c.sendall("\r\n".join(["%s %s HTTP/1.1" % (method, path), *fields]).encode() + b"\r\n\r\n" + body)
            r = answer_of(Reader(c))
            check_eq(c.recv(1), b"", "its end is said")
            return r

    def stream(self):
        """An event stream, as Stream has it in clear."""
        s = Stream.__new__(Stream)
        s.connection = self.connect()
        s.connection.sendall(b"GET /dashboard/stream HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\n\r\n")
        s.reader = Reader(s.connection)
        s.head = Response(s.reader.until(b"\r\n\r\n"))
        return s

    def shown(self):
        """The serial number of the certificate that is shown now."""
        with self.connect() as c:
            return c.getpeercert()["serialNumber"]


def test_everything_is_there_over_tls(t):
    site = Site(t, more=ADMIN, backends=[t.closed_address()] * 300)
    check_eq(site.ask("/livez").body, b"ok\n")
    check_in(b"sluice_", site.ask("/metrics").body)
    check(len(site.ask("/metrics").body) > 200000, "a long answer comes as a whole")
    check_in("default-src 'none'", site.ask("/").header("content-security-policy"))
    check_in(t.path("site.pem"), site.sluice.ctl("show ssl cert"))
    with site.connect() as c:  # one connection, several requests
        reader = Reader(c)
        for _ in range(3):
            c.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
            for _ in range(2):
                check_eq(answer_of(reader).status, 200)
    with site.stream() as stream:
        token = stream.next("hello")["token"]
        check_eq(len([o for o in stream.next("state")["objects"] if o["k"][0] == "B"]), 300)
        body = urllib.parse.urlencode(dict(pool="app", backend="b1", verb="drain")).encode()
        origin = "https://%s:%d" % (NAME, site.admin[1])
        r = site.ask("/dashboard/change", ["Origin: " + origin, "Sec-Fetch-Site: same-origin", "X-Sluice-Token: " + token,
                                           "Content-Type: application/x-www-form-urlencoded"], "POST", body)
        check_eq((r.status, r.body.strip()), (200, b""))
        stream.until("the change", lambda o, e: o.get("b1", {}).get("state") == "drain")
    site.sluice.settled_fds()


def test_who_does_not_speak_tls_is_turned_away(t):
    site = Site(t, tls='profile = "modern";')
    with connect(site.admin) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            check(not recv_all(c).startswith(b"HTTP/"), "no answer in clear")
    try:
        site.connect(versions=("TLSv1_2", "TLSv1_2"))
    except (ssl.SSLError, ConnectionError):
        pass
    else:
        raise AssertionError("the profile is modern, but 1.2 is spoken")
    with connect(site.admin):  # says nothing, and leaves
        pass
    check_eq(site.ask("/livez").status, 200)
    site.sluice.settled_fds()


def test_a_new_certificate_is_in_use_without_a_restart(t):
    site = Site(t)
    check_eq(site.shown(), site.cert.serial)
    with site.stream() as stream:
        stream.next("state")
        new = site.ca.leaf(NAME, "more.example.net")
        install(new, t.dir)
        wait_until(lambda: site.shown() == new.serial, "the new one is shown")
        stream.until("the certificate", lambda o, e: [x for x in e if x["kind"] == "certificate" and "more.example.net" in x["text"]])
    with open(t.path("site.key"), "w") as f:
        f.write("no key\n")
    site.sluice.wait_log("listener admin: a new file is refused, what was read before serves on")
    check_eq(site.shown(), new.serial)


def test_clients_must_show_a_certificate(t):
    site = Site(t, tls=lambda ca: 'verify = "required"; client_ca = "%s";' % ca.cert)
    good = site.ca.leaf("an operator", client=True)
    check_eq(site.ask("/livez", cert=good).status, 200)
    try:
        site.ask("/livez")
    except (ssl.SSLError, ConnectionError):
        pass
    else:
        raise AssertionError("who shows none is answered")


def test_what_may_be_done_from_elsewhere_needs_tls_or_a_token(t):
    ca = Authority(t.dir)
    cert = ca.leaf(NAME)
    port = t.address()[1]

    def told(tls, file=cert.cert):
        path = t.path("admin.conf")
        with open(path, "w") as f:
            f.write('admin = { bind = "*:%d"; level = "admin";\n %s };\n'
                    'pools = ( { name = "app"; mode = "tcp"; backends = ( { name = "b"; address = "127.0.0.1:9"; } ); } );\n'
                    'listeners = ( { name = "in"; mode = "tcp"; bind = "127.0.0.1:%d"; pool = "app"; } );\n' % (
                        port, tls.replace("FILE", 'certificates = { cert = "%s"; key = "%s"; };' % (file, cert.key)), t.address()[1]))
        status, out, err = t.run("-t", "-c", path)
        return status, out + err

    status, text = told("")
    check_eq(status, 1)
    check_in("admin.conf:1: error: admin.level: found \"admin\" on *:%d, which others reach" % port, text)
    status, text = told("tls = { FILE };")
    check_eq(status, 0, text)
    check_in("admin.conf:1: warning: admin.level: \"admin\" is for everybody who reaches", text)
    status, text = told('tls = { FILE verify = "required"; client_ca = "%s"; };' % ca.cert)
    check_eq((status, "warning" in text), (0, False), text)
    status, text = told("tls = { FILE };", t.path("nothing.pem"))
    check_eq(status, 1)
    check_in("admin.conf:2: error: admin.tls.certificates.cert: ", text)
