"""Reload of TLS: listeners and pools that get it, change it or lose it, and sessions that are resumed."""

import ssl

from certs import Authority
from reload_tools import *

NAME = "www.example.com"


def tls(cert, more=""):
    return 'tls = { certificates = ( { cert = "%s"; key = "%s"; } ); alpn = "http/1.1"; %s };' % (
        cert.cert, cert.key, more)


def ask(address, ca, name=NAME, session=None, ctx=None):
    """(status, serial of the certificate, the session, whether it was resumed)"""
    ctx = ctx or ca.client()
    with ctx.wrap_socket(connect(address), server_hostname=name, session=session) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % name.encode())
        text = recv_all(s)
        return int(text.split(b" ")[1]), s.getpeercert()["serialNumber"], s.session, s.session_reused


def over_tls(ctx, handler):
    def wrapped(conn, b):
        try:
            s = ctx.wrap_socket(conn, server_side=True)
        except (ssl.SSLError, OSError):
            return
        with contextlib.closing(s), contextlib.suppress(ssl.SSLError, ConnectionError):
            handler(s, b)
    return wrapped


def test_a_process_without_tls_gets_a_listener_that_has_it(t):
    ca = Authority(t.dir)
    cert = ca.leaf(NAME)
    s, front = start(t, [t.backend(app(by_name))])
    secure = t.address()
    more = ', { name = "secure"; mode = "http"; bind = "%s"; %s routes = ( { pool = "app"; } ); } );\n' % (
        where(secure), tls(cert))
    with Client(front) as c:
        check_eq(c.request().body, b"b1")
        check_in("listeners: 1 added", reloaded(s, lambda x: x.rstrip()[:-2] + more))
        check_eq(ask(secure, ca)[0], 200)
        check_eq(c.request().body, b"b1")
    check_eq(fetch(front).body, b"b1")
    s.baseline = s.settled_fds()


def test_a_certificate_of_another_file_is_in_use_and_tickets_stay_good(t):
    ca = Authority(t.dir)
    one, two = ca.leaf(NAME), ca.leaf(NAME, "two.example.com")
    s, front = start(t, [t.backend(app(by_name))], listener=tls(one))
    ctx = ca.client(versions=("TLSv1_2", "TLSv1_2"))
    status, serial, session, _ = ask(front, ca, ctx=ctx)
    check_eq((status, serial), (200, one.serial))
    reloaded(s, lambda x: x.replace(one.cert, two.cert).replace(one.key, two.key))
    check_eq(ask(front, ca)[:2], (200, two.serial))
    resumed = ask(front, ca, session=session, ctx=ctx)
    check_eq((resumed[0], resumed[3]), (200, True), "a session from before the reload")


def test_a_certificate_that_will_not_do_refuses_the_reload(t):
    ca = Authority(t.dir)
    one, two = ca.leaf(NAME), ca.leaf(NAME)
    s, front = start(t, [t.backend(app(by_name))], listener=tls(one))
    out = reload(s, lambda x: x.replace(one.key, two.key))
    check_match(r"sluice\.conf:\d+: error: .*key", out)
    check_eq(ask(front, ca)[:2], (200, one.serial))
    check_in("nothing has changed", reload(s, lambda x: x.replace(two.key, one.key)))


def test_a_pool_gets_tls_and_loses_it_again(t):
    ca = Authority(t.dir)
    cert = ca.leaf("app.example", t.ip)
    plain = t.backend(app(by_name), name="plain")
    secure = t.backend(over_tls(ca.server(cert), app(by_name)), name="secure")
    s, front = start(t, [plain])
    with Client(front) as c:
        check_eq(c.request().body, b"plain")
        group = 'mode = "http"; tls = { ca = "%s"; };' % ca.cert

        def to_secure(x):
            x = change_backends(t, [secure])(x)
            return x.replace('name = "app"; mode = "http";', 'name = "app"; ' + group)
        reloaded(s, to_secure)
        check_eq(c.request().body, b"secure")
        check_eq(c.request().body, b"secure")

        def to_plain(x):
            return change_backends(t, [plain])(x.replace(group, 'mode = "http";'))
        reloaded(s, to_plain)
        check_eq(c.request().body, b"plain")


def test_the_same_backend_with_and_without_tls_never_shares_a_connection(t):
    """An idle connection in clear must not carry what is to go over TLS, and the other way round."""
    ca = Authority(t.dir)
    cert = ca.leaf("app.example", t.ip)

    def either(conn, b):
        first = conn.recv(1, socket.MSG_PEEK)
        if first == b"\x16":
            over_tls(ca.server(cert), app(lambda r, _: answer(body=b"tls")))(conn, b)
        else:
            app(lambda r, _: answer(body=b"clear"))(conn, b)
    b = t.backend(either)
    s, front = start(t, [b])
    group = 'mode = "http"; tls = { ca = "%s"; };' % ca.cert
    with Client(front) as c:
        for _ in range(3):
            check_eq(c.request().body, b"clear")
            reloaded(s, replace('name = "app"; mode = "http";', 'name = "app"; ' + group))
            check_eq(c.request().body, b"tls")
            reloaded(s, replace('name = "app"; ' + group, 'name = "app"; mode = "http";'))
