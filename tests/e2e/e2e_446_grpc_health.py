"""Checks by gRPC's health protocol, against grpcio's server: what it says of itself and of a service decides."""

import csv
import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from concurrent import futures

import grpc

from certs import Authority
from http_tools import *

CHECK = "/grpc.health.v1.Health/Check"
UNKNOWN, SERVING, NOT_SERVING = b"\x08\x00", b"\x08\x01", b"\x08\x02"


def pool(more="", tls=""):
    return ('protocol = "http2"; %s health = { type = "grpc"; interval = "50ms"; timeout = "5s"; rise = 1; fall = 1; %s };'
            % (tls, more))


class Server:
    """A gRPC server with a health service of this test's: .says of the whole and of services by name."""

    def __init__(self, t, credentials=None, method=CHECK):
        self.address, self.name, self.method = t.address(), "b1", method
        self.says, self.asked = {"": SERVING}, []
        self.server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers((self,))
        port = (self.server.add_secure_port(where(self.address), credentials) if credentials else
                self.server.add_insecure_port(where(self.address)))
        check_eq(port, self.address[1], "port")
        self.server.start()

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(self.check) if details.method == self.method else None

    def check(self, request, context):
        name = self.name_of(request)
        self.asked.append((name, dict(context.invocation_metadata())))
        if name not in self.says:
            context.abort(grpc.StatusCode.NOT_FOUND, "who is %s?" % name)
        return self.says[name]

    @staticmethod
    def name_of(request):
        if not request:
            return ""
        check_eq(request[0], 0x0a, "field 1, a string")
        at, length, shift = 1, 0, 0
        while True:
            length |= (request[at] & 0x7f) << shift
            at, shift = at + 1, shift + 7
            if request[at - 1] < 0x80:
                break
        check_eq(length, len(request) - at, "length of the name")
        return request[at:].decode()


@contextlib.contextmanager
def site(t, pool, server=None, **kw):
    server = server or Server(t)
    try:
        s, front = start(t, [server], pool=pool, ready=False, **kw)
        yield s, server
    finally:
        server.server.stop(None).wait()


def told(s):
    """(status, text) of the last check."""
    rows = csv.DictReader(s.ctl("show stat").lstrip("# ").splitlines())
    row = [r for r in rows if (r["pxname"], r["svname"]) == ("app", "b1")][0]
    return row["check_status"].replace("* ", ""), row["last_chk"]


def down(s, status, text):
    s.wait_status("app", "b1", "DOWN")
    got = told(s)
    check_eq(got[0], status, got[1])
    check_match(text, got[1])


def test_it_is_up_while_it_says_serving(t):
    with site(t, pool()) as (s, server):
        s.wait_status("app", "b1", "UP")
        wait_until(lambda: told(s) == ("L7OK", "SERVING"), "the check's words")
        name, metadata = server.asked[0]
        check_eq(name, "")
        check_in("sluice-health/", metadata["user-agent"])
        server.says[""] = NOT_SERVING
        down(s, "L7STS", "NOT_SERVING, expected SERVING")
        server.says[""] = SERVING
        s.wait_status("app", "b1", "UP")
        server.says[""] = b""  # proto3 leaves out what is zero
        down(s, "L7STS", "^UNKNOWN, expected SERVING")


def test_one_service_is_asked_for(t):
    long = "shop.v1." + "x" * 200
    server = Server(t)
    server.says = {"": NOT_SERVING, long: SERVING}
    with site(t, pool('service = "%s"; host = "shop.example"; ' % long), server) as (s, _):
        s.wait_status("app", "b1", "UP")
        wait_until(lambda: server.asked, "asked")
        check_eq({name for name, _ in server.asked}, {long})
        del server.says[long]
        down(s, "L7STS", r"grpc-status 5 \(no such service\): who is shop\.v1\.x+")
        server.says[long] = b"\x12\x03abc\x08\x01\x19" + b"8bytes.." + b"\x25four"  # fields of a later version
        s.wait_status("app", "b1", "UP")
        server.says[long] = b"\x12\x7fabc"
        down(s, "L7RSP", "the answer is no HealthCheckResponse")


def test_who_has_no_health_service_is_down(t):
    with site(t, pool(), Server(t, method="/other/Check")) as (s, _):
        down(s, "L7STS", r"grpc-status 12 \(no health service\)")


def test_who_speaks_no_http2_is_down(t):
    def handler(conn, b):
        if conn.recv(4096):
            conn.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    s, _ = start(t, [t.backend(handler)], pool=pool(), ready=False)
    down(s, "L7RSP", "the answer is not HTTP/2")


def test_over_tls(t):
    ca = Authority(t.dir)
    leaf = ca.leaf("app.example", t.ip)
    with open(leaf.key, "rb") as key, open(leaf.cert, "rb") as cert:
        credentials = grpc.ssl_server_credentials([(key.read(), cert.read())])
    with site(t, pool(tls='tls = { ca = "%s"; };' % ca.cert), Server(t, credentials)) as (s, server):
        s.wait_status("app", "b1", "UP")
        wait_until(lambda: told(s) == ("L7OK", "SERVING"), "the check's words")
        server.says[""] = NOT_SERVING
        down(s, "L7STS", "NOT_SERVING")


def test_a_pool_of_any_mode_is_asked_in_http2(t):
    ca = Authority(t.dir)
    leaf = ca.leaf("app.example", t.ip)
    with open(leaf.key, "rb") as key, open(leaf.cert, "rb") as cert:
        server = Server(t, grpc.ssl_server_credentials([(key.read(), cert.read())]))
    tls = 'tls = { ca = "%s"; };' % ca.cert
    listen = t.address()
    conf = ('listeners = ( { name = "front"; bind = "%s"; mode = "tcp"; pool = "app"; } );\n'
            'pools = ( { name = "app"; mode = "tcp"; %s backends = ( { name = "b1"; address = "%s"; } ); } );\n'
            % (where(listen), pool(tls=tls).replace('protocol = "http2";', ""), where(server.address)))
    try:
        t.sluice(conf, ready=False).wait_status("app", "b1", "UP")
    finally:
        server.server.stop(None).wait()


def test_settings_that_cannot_work_are_told(t):
    for text, why in (
            ('health = { type = "http"; service = "x"; };', 'health.service: found .*no effect without health.type = "grpc"'),
            ('health = { type = "grpc"; service = "a b"; };', 'health.service: found "a b", expected')):
        with open(t.path("bad.conf"), "w") as f:
            f.write('listeners = ( { name = "l"; bind = "127.0.0.1:8080"; mode = "http"; pool = "app"; } );\n'
                    'pools = ( { name = "app"; mode = "http"; %s\n'
                    '  backends = ( { name = "b1"; address = "127.0.0.1:1"; } ); } );\n' % text)
        _, _, err = t.run("-t", "-c", t.path("bad.conf"))
        check_match(why, err)
