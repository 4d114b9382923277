"""IPv4, IPv6 and unix sockets (also abstract ones) on both sides."""

import os

from harness import *


def both_ways(t, listen, backend_address):
    b = t.backend(answers, "b1", address=backend_address)
    s, front = t.simple([b], listen=listen)
    check_eq(talk(listen), b"b1 hello\n")
    data = pattern(200000).replace(b"\n", b" ")
    check_eq(len(talk(listen, data + b"\n")), len(data) + 4)
    return s


def test_ipv6_to_ipv6(t):
    both_ways(t, ("::1", t.port()), ("::1", t.port()))


def test_ipv6_to_ipv4_and_back(t):
    both_ways(t, ("::1", t.port()), t.address()).finish()
    both_ways(t, t.address(), ("::1", t.port()))


def test_unix_to_unix(t):
    both_ways(t, t.path("front.sock"), t.path("back.sock"))


def test_unix_to_ipv4_and_back(t):
    both_ways(t, t.path("front.sock"), t.address()).finish()
    both_ways(t, t.address(), t.path("back.sock"))


def test_abstract_unix_sockets(t):
    both_ways(t, "@sl-front-%d" % os.getpid(), "@sl-back-%d" % os.getpid())


def test_ipv6_listener_leaves_ipv4_alone(t):
    port = t.port()
    b = t.backend(named)
    conf = """pools = ( { name = "app"; mode = "tcp"; backends = (%s); } );
listeners = ( { name = "front"; mode = "tcp"; bind = [ "[::]:%d", "%s:%d" ]; pool = "app"; } );
""" % (t.backend_list([b]), port, t.ip, port)
    s = t.sluice(conf)
    check_eq(who(("::1", port)), "b1")
    check_eq(who((t.ip, port)), "b1")


def test_several_listeners_and_pools(t):
    a, b = t.backend(named), t.backend(named)
    first, second = t.address(), t.address()
    conf = """pools = ( { name = "one"; mode = "tcp"; backends = (%s); },
  { name = "two"; mode = "tcp"; backends = (%s); } );
listeners = ( { name = "f1"; mode = "tcp"; bind = "%s"; pool = "one"; },
  { name = "f2"; mode = "tcp"; bind = "%s"; pool = "two"; } );
""" % (t.backend_list([a]), t.backend_list([b]), where(first), where(second))
    s = t.sluice(conf)
    check_eq((who(first), who(second)), ("b1", "b2"))
    s.wait_number("f1", "FRONTEND", "stot", 1)
    s.wait_number("two", "b2", "stot", 1)


def test_a_unix_backend_with_a_full_backlog_is_waited_for(t):
    """EAGAIN on connect is queueing, not a failed backend."""
    import socket
    import threading
    path = t.path("back.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(0)
    s, front = t.simple([path], pool='health = { type = "none"; };')
    clients = [connect(front) for _ in range(12)]
    wait_until(lambda: s.number("front", "FRONTEND", "scur") == 12, "all are accepted")

    def serve():
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            conn.sendall(b"hi\n")
            conn.close()
    threading.Thread(target=serve, daemon=True).start()
    for c in clients:
        check_eq(recv_line(c), b"hi\n")
        c.close()
    check_eq(s.number("app", "b1", "econ"), 0, "connect errors")
    listener.close()
