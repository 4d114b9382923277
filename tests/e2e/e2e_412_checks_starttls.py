"""Checks that ask for TLS in clear first: byte by byte, behind a PROXY header; and whoever goes on in clear is not believed."""

import ssl

from e2e_410_tls_backends import Site
from http_tools import *
from reload_tools import reloaded, replace

MYSQL = b"\x0a8.0.36\0" + b"\1\0\0\0" + b"12345678" + b"\0" + b"%b" + b"\x2d\2\0\xff\xdf\x15" + bytes(10) + b"123456789012\0mysql_native_password\0"


def packet(sequence, body):
    return len(body).to_bytes(3, "little") + bytes([sequence]) + body


GREETING = packet(0, MYSQL.replace(b"%b", b"\xff\xff"))
NO_TLS = packet(0, MYSQL.replace(b"%b", b"\xff\xf7"))
OK = packet(3, b"\0\0\0\2\0\0\0")


def slowly(conn, data):
    for i in range(len(data)):
        conn.sendall(data[i:i + 1])


def expect(conn, what):
    check_eq(recv_exactly(conn, len(what)), what)


def take_packet(conn):
    head = recv_exactly(conn, 4)
    return head[3], recv_exactly(conn, int.from_bytes(head[:3], "little"))


def recv_exactly(conn, n):
    data = b""
    while len(data) < n:
        more = conn.recv(n - len(data))
        if not more:
            raise ConnectionError("the check has left")
        data += more
    return data


def ask_postgres(conn, more=b""):
    expect(conn, bytes.fromhex("0000000804d2162f"))
    conn.sendall(b"S" + more)


def ask_mysql(conn, more=b""):
    slowly(conn, GREETING)
    sequence, body = take_packet(conn)
    check_eq((sequence, len(body)), (1, 32))
    check(body[1] & 8, "CLIENT_SSL")
    conn.sendall(more)


def ask_smtp(conn, more=b""):
    slowly(conn, b"220-mail\r\n220 ready\r\n")
    expect(conn, b"EHLO localhost\r\n")
    slowly(conn, b"250-mail\r\n250-StartTLS\r\n250 SIZE\r\n")
    expect(conn, b"STARTTLS\r\n")
    conn.sendall(b"220 go\r\n" + more)


def inside_postgres(conn):
    n = int.from_bytes(recv_exactly(conn, 4), "big")
    check_in(b"user\0sluice\0", recv_exactly(conn, n - 4))
    slowly(conn, b"R\0\0\0\x08\0\0\0\0")


def inside_mysql(conn):
    sequence, body = take_packet(conn)
    check_eq(sequence, 2)
    check(body[1] & 8, "CLIENT_SSL again")
    slowly(conn, OK)
    check_eq(take_packet(conn), (0, b"\1"))


def inside_smtp(conn):
    expect(conn, b"EHLO localhost\r\n")
    slowly(conn, b"250-mail\r\n250 SIZE\r\n")
    expect(conn, b"QUIT\r\n")


KINDS = {"postgres": (ask_postgres, inside_postgres), "mysql": (ask_mysql, inside_mysql), "smtp": (ask_smtp, inside_smtp)}


def start(t, site, handlers, more="", health=""):
    """One pool for each kind, with one backend."""
    pools, listeners = [], []
    for kind, handler in handlers.items():
        b = t.backend(handler, name="b")
        pools.append("""{ name = "%s"; mode = "tcp"; %s
          health = { type = "%s"; interval = "1s"; timeout = "3s"; rise = 1; fall = 1; %s %s };
          backends = ( { name = "b"; address = "%s"; } ); }""" % (kind, more, kind, health, site.tls('sni = "app.example";'), where(b.address)))
        listeners.append('{ name = "%s"; mode = "tcp"; bind = "%s"; pool = "%s"; }' % (kind, where(t.address()), kind))
    return t.sluice("pools = (%s);\nlisteners = (%s);\n" % (",\n".join(pools), ",\n".join(listeners)), ready=False)


def test_tls_begins_behind_words_in_clear(t):
    site, wrong = Site(t), []

    def serve(kind):
        ask, inside = KINDS[kind]

        def handler(conn, b):
            try:
                expect(conn, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")  # LOCAL, of the PROXY protocol
                ask(conn)
                with contextlib.closing(site.ca.server(site.cert).wrap_socket(conn, server_side=True)) as tls:
                    inside(tls)
            except Failure as e:
                wrong.append("%s: %s" % (kind, e))
            except (ssl.SSLError, OSError):
                pass  # the end of the test is one of checks under way
        return handler
    s = start(t, site, {kind: serve(kind) for kind in KINDS}, 'send_proxy = "v2";')
    for kind in KINDS:
        s.wait_status(kind, "b", "UP")
    check_eq(wrong, [], "what checks sent")


def test_a_reload_changes_how_tls_begins(t):
    site = Site(t)

    def smtp(conn, b):
        try:
            ask_smtp(conn)
            with contextlib.closing(site.ca.server(site.cert).wrap_socket(conn, server_side=True)) as tls:
                inside_smtp(tls)
        except (Failure, ssl.SSLError, OSError):
            pass  # a ClientHello is no EHLO
    s = start(t, site, {"smtp": smtp}, health="starttls = false;")
    s.wait_status("smtp", "b", "DOWN")
    s.wait_log("backend smtp/b is DOWN: tls: ")
    reloaded(s, replace("starttls = false;", ""))
    s.wait_status("smtp", "b", "UP")
    s.wait_log("backend smtp/b is UP: smtp: 250 SIZE")


def test_what_comes_in_clear_behind_the_answer_is_not_believed(t):
    site = Site(t)
    inject = {"postgres": b"R\0\0\0\x08\0\0\0\0", "smtp": b"250 mail\r\n"}

    def serve(kind):
        def handler(conn, b):
            if kind == "mysql":  # in one piece with the greeting: nothing comes between
                conn.sendall(GREETING + OK)
            else:
                KINDS[kind][0](conn, inject[kind])
            while conn.recv(4096):
                pass
        return handler
    s = start(t, site, {kind: serve(kind) for kind in KINDS})
    for kind in KINDS:
        s.wait_status(kind, "b", "DOWN")
        s.wait_log("backend %s/b is DOWN: %s: goes on in clear where TLS should begin" % (kind, kind))


def test_servers_that_refuse_tls_say_so(t):
    def mysql(conn, b):
        conn.sendall(NO_TLS)
        sequence, body = take_packet(conn)
        check_eq(sequence, 1)
        check_in(b"sluice\0\0mysql_native_password\0", body)  # nobody's name, no password
        conn.sendall(packet(2, b"\xff\x15\4#28000Access denied"))
        conn.recv(4096)

    def postgres(conn, b):
        expect(conn, bytes.fromhex("0000000804d2162f"))
        conn.sendall(b"N")
        conn.recv(4096)

    def smtp(conn, b):
        conn.sendall(b"220 mail\r\n")
        expect(conn, b"EHLO localhost\r\n")
        conn.sendall(b"250-STARTTLS\r\n250 SIZE\r\n")
        expect(conn, b"STARTTLS\r\n")
        conn.sendall(b"454 TLS not available\r\n")
        expect(conn, b"QUIT\r\n")
    s = start(t, Site(t), {"mysql": mysql, "postgres": postgres, "smtp": smtp})
    for kind, why in (("mysql", r"takes no TLS \(it has no certificate\)"), ("postgres", r"takes no TLS \(its ssl is off\)"),
                      ("smtp", r'"454 TLS not available" to STARTTLS, expected 220')):
        s.wait_status(kind, "b", "DOWN")
        s.wait_log("backend %s/b is DOWN: %s: %s" % (kind, kind, why))
