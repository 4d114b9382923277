"""Reload and HTTP/2, on both sides: streams that are under way, connections that are shared."""

import json

from h2_client import *
from h2_raw import *
from reload_tools import *


def node(t, name="b1"):
    return Node(t, "h2_app.js", name=name)


def test_streams_of_one_client_connection_go_by_the_configuration_they_began_with(t):
    gate, begun = threading.Event(), threading.Event()

    def slow(r, backend):
        begun.set()
        check(gate.wait(SECONDS), "the reload is over")
        return answer(body=backend.name.encode())
    a, b = t.backend(app(slow)), t.backend(app(by_name))
    s, front = start(t, [a])
    with Raw(front) as c:
        first = c.open()
        check(begun.wait(SECONDS), "the first request is under way")
        reloaded(s, lambda x: change_backends(t, [b])(x).replace(
            'routes = ( {', 'routes = ( { path = "/gone"; answer = { status = 410; }; }, {'))
        check_eq(c.ask(path="/gone")[0], 410)
        check_eq(c.ask()[:2], (200, b"b2"))
        gate.set()
        check_eq(c.ends(first)[:2], (200, b"b1"))
        check_eq(c.ask()[:2], (200, b"b2"))


def test_clients_of_a_listener_that_is_gone_are_sent_away_in_order(t):
    b = t.backend(app(by_name))
    s, front = start(t, [b])
    other = t.address()
    with Raw(front) as c, Client(front) as plain:
        check_eq(c.ask()[0], 200)
        check_eq(plain.request().status, 200)
        reloaded(s, replace('name = "front"; mode = "http"; bind = "%s"' % where(front),
                            'name = "new"; mode = "http"; bind = "%s"' % where(other)))
        goaway = c.until(lambda f: f.kind == GOAWAY, "GOAWAY")
        check_eq(goaway.code(), 0)
        r = plain.request()
        check_eq((r.status, r.header("connection")), (200, "close"))
    check_eq(fetch(other).body, b"b1")
    wait_until(lambda: not s.in_flight(), "all ended")
    s.baseline = s.settled_fds()


def test_a_shared_connection_to_a_backend_stays_when_its_pool_changes(t):
    n = node(t)
    s, front = start(t, [n], pool=NO_CHECKS + 'protocol = "http2";')
    with Client(front) as c:
        before = json.loads(c.request("/state").body)
        for i in range(3):
            reloaded(s, lambda x, i=i: re.sub(r'protocol = "http2";( retries = [^;]*; };)?',
                                              'protocol = "http2"; retries = { attempts = %d; };' % i, x, 1))
            check_eq(c.request("/x").body, b"ok")
        after = json.loads(c.request("/state").body)
    check_eq((before["accepted"], after["accepted"]), (1, 1), "connections to the backend")
    check_eq(s.number("app", "b1", "srv_icur"), 1, "one connection")


def test_a_backend_over_http2_goes_away_with_streams_under_way(t):
    n, b = node(t), node(t, "b2")
    s, front = start(t, [n], pool=NO_CHECKS + 'protocol = "http2";')
    with Client(front) as c:
        c.s.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfirst")
        s.wait_number("app", "b1", "scur", 1)
        reloaded(s, change_backends(t, [b]))
        check_eq(fetch(front, "/x").body, b"ok")
        c.s.sendall(b"-half")
        check_eq(c.response().body, b"first-half")
    wait_until(lambda: ("app", "b1") not in s.stat(), "it is not shown")
    wait_until(lambda: not s.in_flight(), "all ended")
