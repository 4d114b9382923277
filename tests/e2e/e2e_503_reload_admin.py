"""Reload of the admin address: it comes, moves, changes and goes, and who looks on notices no more than that."""

import contextlib
import signal
import socket

from e2e_536_admin_tls import *
from hardened import as_ordinary
from reload_tools import *
from upgrade_tools import upgraded

TOKEN = "a-token-of-some-length"


def refused(address):
    try:
        connect(address).close()
        return False
    except ConnectionRefusedError:
        return True


def over(stream):
    """What is left of the stream comes to its end, which is no reset."""
    with contextlib.suppress(ConnectionAbortedError):
        while stream.connection.recv(1 << 16):
            pass
    return True


def move(old, new):
    return replace('admin = { bind = "%s"' % where(old), 'admin = { bind = "%s"' % where(new))


def test_it_moves(t):
    s, front, old = start_admin(t)
    new = t.address()
    with Stream(old) as stream, connect(old) as idle, connect(old) as early:
        stream.next("state")
        early.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n")  # in the midst of its request
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        check_eq(answer_of(Reader(idle)).body, b"ok\n")
        out = reloaded(s, move(old, new))
        check("warning" not in out, "nothing waits for a restart", out)
        check_eq(ask(new, "/livez").body, b"ok\n")
        over(stream)
        check_eq(idle.recv(1), b"", "who asks nothing is let go")
        early.sendall(b"\r\n")
        check_eq(answer_of(Reader(early)).body, b"ok\n")
    wait_until(lambda: refused(old), "nobody is there any more")
    with Stream(new) as stream:
        stream.next("state")
        reloaded(s, replace("workers = 2;", "workers = 2; limits = { connections = 99; };"))
        for _ in range(2):
            stream.next("state")  # of an address that stays it lives on
    reloaded(s, move(new, old))
    check_eq(ask(old, "/livez").body, b"ok\n")


def test_it_comes_and_goes(t):
    s, front = start(t, [t.backend(app(by_name))])
    admin = t.address()
    text = 'admin = { bind = "%s"; };\n' % where(admin)
    reloaded(s, lambda x: text + x)
    check_eq(ask(admin, "/livez").body, b"ok\n")
    with Stream(admin) as stream:
        stream.next("state")
        reloaded(s, replace(text, ""))
        over(stream)
    wait_until(lambda: refused(admin), "it is gone")
    check_eq(fetch(front).status, 200)
    s.baseline = s.settled_fds()


def test_its_settings(t):
    s, front, admin = start_admin(t)
    here = 'admin = { bind = "%s"; ' % where(admin)
    bearer = ["Authorization: Bearer " + TOKEN]
    with Stream(admin) as stream, connect(admin) as c:
        stream.next("state")
        reader = Reader(c)
        c.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        check_eq(answer_of(reader).status, 200)
        reloaded(s, replace(here, here + 'token = "%s"; ' % TOKEN))
        over(stream)
        c.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        check_eq(answer_of(reader).status, 401, "who was there already too")
    check_eq(ask(admin, "/metrics").status, 401)
    check_eq(ask(admin, "/metrics", bearer).status, 200)
    check("…" in s.ctl("show config") or TOKEN not in s.ctl("show config"), "the secret is hidden")
    name = ["Host: lb1.example.net"]
    check_eq(ask(admin, "/metrics", bearer + name).status, 421)
    reloaded(s, replace(here, here + 'hosts = "lb1.example.net"; level = "admin"; '))
    check_eq(ask(admin, "/metrics", bearer + name).status, 200)
    with Stream(admin, bearer) as stream:
        hello = stream.next("hello")
        check_eq(hello["level"], "admin")
        check_eq(change(admin, hello["token"], headers=bearer, pool="app", backend="b1", verb="drain").status // 100, 2)
        reloaded(s, replace('level = "admin"; token', 'level = "user"; token'))
        check_eq(change(admin, hello["token"], headers=bearer, pool="app", backend="b1", verb="ready").status, 403)


def test_tls_comes_and_goes(t):
    site = Site(t)
    s, admin = site.sluice, site.admin
    with open(s.conf_path) as f:
        text = f.read()
    clear = re.sub(r"tls = \{ certificates = \{.*?\}; *\};", "", text)
    check(clear != text, "TLS is in the configuration", text)
    check_eq(site.ask("/livez").body, b"ok\n")
    with site.connect():  # who is connected with TLS does not keep it
        reloaded(s, lambda x: clear)
    check_eq(ask(admin, "/livez").body, b"ok\n")
    check("site.pem" not in s.ctl("show ssl cert"), "it is not shown any more")
    with connect(admin) as c:
        c.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        check_eq(answer_of(Reader(c)).body, b"ok\n")
        reloaded(s, lambda x: text)
        check_eq(c.recv(1), b"", "nothing goes on in clear")
    check_eq(site.ask("/livez").body, b"ok\n")
    check_in("site.pem", s.ctl("show ssl cert"))
    before = site.shown()
    install(site.ca.leaf(NAME), t.dir)
    s.ctl("reload")
    check(site.shown() != before, "its files are read again")


def test_what_cannot_be_refuses_all(t):
    s, front, admin = start_admin(t)
    blocked = t.address()
    stats, inode = s.stats_path, os.stat(s.stats_path).st_ino
    with contextlib.closing(socket.create_server(blocked)), Stream(admin) as stream:
        stream.next("state")
        said = reload(s, lambda x: move(admin, blocked)(x).replace('level = "admin"; };', 'mode = "666"; };', 1))
        check_match(r"sluice\.conf: error: admin\.bind: cannot listen on %s: .*another process has this port" %
                    re.escape(where(blocked)), said)
        check_eq((os.stat(stats).st_ino, os.stat(stats).st_mode & 0o777), (inode, 0o600), "as it was")
        stream.next("state")
        said = reload(s, lambda x: x.replace('bind = "%s"; ' % where(blocked),
                                             'bind = "%s"; tls = { certificates = { cert = "none.pem"; key = "none.key"; }; }; '
                                             % where(admin)))
        check_in("none.pem", said)
        stream.next("state")
    check_eq(ask(admin, "/livez").body, b"ok\n")


def test_a_listener_and_the_admin_address_change_places(t):
    s, front, admin = start_admin(t)
    reloaded(s, lambda x: x.replace(where(admin), "ADMIN").replace(where(front), where(admin)).replace("ADMIN", where(front)))
    wait_until(lambda: ask(front, "/livez").body == b"ok\n", "the admin address is there")
    wait_until(lambda: fetch(admin).status == 200 and fetch(admin).body == b"b1", "the listener is there")


def test_it_widens_and_narrows(t):
    s, front, admin = start_admin(t)
    port = admin[1]
    wide = "*:%d" % port
    reloaded(s, lambda x: x.replace('bind = "%s"' % where(admin), 'bind = "%s"' % wide, 1))
    check_eq(ask(admin, "/livez").body, b"ok\n")
    reloaded(s, lambda x: x.replace('bind = "%s"' % wide, 'bind = "%s"' % where(admin), 1))
    check_eq(ask(admin, "/livez").body, b"ok\n")


def test_as_an_ordinary_user(t):
    as_ordinary(t)
    s, front, admin = start_admin(t)
    new = t.address()
    reloaded(s, move(admin, new))
    check_eq(ask(new, "/livez").body, b"ok\n")


def test_another_process_takes_the_moved_address_over(t):
    s, front, admin = start_admin(t)
    new = t.address()
    reloaded(s, move(admin, new))
    n = upgraded(t, s)
    s.wait_end()
    check_eq(ask(new, "/livez").body, b"ok\n")
    check_eq(fetch(front).status, 200)
