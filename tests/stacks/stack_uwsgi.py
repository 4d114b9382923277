"""uWSGI in its own protocol and over SCGI, tcp and unix sockets: etc/examples/uwsgi.conf."""

import hashlib

from applications import *


def site(t):
    """Two real uWSGI behind the example, one of them at a unix socket."""
    return Site(t, "uwsgi.conf", [uwsgi(t, "one"), uwsgi(t, "two", address=t.path("two.sock"))])


def one(t, protocol, server):
    front = t.address()
    s = t.sluice("""pools = ( { name = "app"; mode = "http"; protocol = "%s"; health = { type = "%s"; path = "/healthz"; };
      backends = ( { name = "b1"; address = "%s"; } ); } );
    listeners = ( { name = "web"; mode = "http"; bind = "%s"; routes = ( { pool = "app"; } ); } );
    """ % (protocol, protocol, where(server.address), where(front)))
    return s, front


def exchange_much(front):
    """What every one of the protocols must bring across."""
    v = values(fetch(front, "/a%20b/c?x=y", headers=["X-A: 1", "Proxy: evil", "Host: www.example.com"]).body)
    check_eq((v["REQUEST_METHOD"], v["REQUEST_URI"], v["PATH_INFO"], v["SCRIPT_NAME"], v["QUERY_STRING"]),
             ("GET", "/a%20b/c?x=y", "/a b/c", "", "x=y"))
    check_eq((v["REMOTE_ADDR"], v["wsgi.url_scheme"], v["HTTP_X_FORWARDED_FOR"]), ("127.0.0.1", "http", "127.0.0.1"))
    check_eq((v["HTTP_HOST"], v["SERVER_PORT"], v["HTTP_X_A"], v["HTTP_PROXY"]),
             ("www.example.com", str(front[1]), "1", "-"))
    r = fetch(front, "/status?code=418")
    check_eq((r.status, r.body), (418, b"with a body"))
    check_eq(fetch(front, "/status?code=204").body, b"")
    r = fetch(front, "/healthz", "HEAD")
    check_eq((r.status, r.header("content-length"), r.body), (200, "7", b""))
    want = b"".join(bytes([97 + i % 26]) * 65536 for i in range(800))
    check_eq(hashlib.md5(fetch(front, "/big?n=800").body).hexdigest(), hashlib.md5(want).hexdigest())
    data = os.urandom(MIB) * 50
    v = values(fetch(front, "/upload", "POST", body=data).body)
    check_eq((v["bytes"], v["md5"]), (str(len(data)), hashlib.md5(data).hexdigest()))
    with Client(front) as c:
        c.s.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        check_eq(values(c.response("POST").body)["bytes"], "5")


def test_uwsgi_brings_everything_across(t):
    _, front = one(t, "uwsgi", uwsgi(t))
    exchange_much(front)


def test_scgi_brings_everything_across(t):
    _, front = one(t, "scgi", uwsgi(t, kind="scgi-socket"))
    exchange_much(front)


def test_fastcgi_brings_everything_across(t):
    """uWSGI speaks that too, as an application that is none of PHP's."""
    server = uwsgi(t, kind="fastcgi-socket")
    front = t.address()
    t.sluice("""pools = ( { name = "app"; mode = "http"; protocol = "fastcgi"; cgi = { split = ""; };
      backends = ( { name = "b1"; address = "%s"; } ); } );
    listeners = ( { name = "web"; mode = "http"; bind = "%s"; routes = ( { pool = "app"; } ); } );
    """ % (where(server.address), where(front)))
    r = fetch(front, "/x?y=z")
    check_eq((r.status, values(r.body)["QUERY_STRING"]), (200, "y=z"))
    for path in ("/x", "/"):
        check_eq(fetch(front, path, "POST", body=os.urandom(3 * MIB)).status, 200)


def test_the_example(t):
    one = site(t)
    one.sluice.wait_log(r"backend app/b is UP: HTTP 200 \(check uwsgi")
    goes_through_everything(one, websockets=False)
    kill_and_restart(one.front, one.servers, one.sluice, "app", one.backends, two_writes=True)


def test_an_application_that_is_mounted_sees_its_own_paths(t):
    one = site(t)
    v = values(one.get("/shop/basket?x").body)
    check_eq((v["SCRIPT_NAME"], v["PATH_INFO"], v["REQUEST_URI"]), ("/shop", "/basket", "/shop/basket?x"))
    v = values(one.get("/shop").body)
    check_eq((v["SCRIPT_NAME"], v["PATH_INFO"]), ("/shop", ""))


def test_a_head_that_the_protocol_cannot_carry_is_refused(t):
    """A packet of uwsgi has 64 KiB at most; uWSGI itself takes less, and hangs up on more."""
    s, front = one(t, "uwsgi", uwsgi(t))
    many = ["X-%d: %s" % (i, "v" * 7000) for i in range(3)]
    check_eq(fetch(front, "/", headers=many).status, 502, "more than uWSGI's buffer-size")
    check_eq(fetch(front, "/").status, 200)
