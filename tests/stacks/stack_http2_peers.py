"""HTTP/2 over TLS behind sluice: nginx, and gRPC by grpcio with TLS on both sides: etc/examples/http2.conf."""

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc

import stack_proxies
from applications import *
from proxies import Nginx2


class Both:
    """Two nginx before an application, two gRPC services, all of them behind the example."""

    def __init__(self, t):
        self.ca = certs.Authority(t.path("ca"))
        leaf = self.ca.leaf("www.example.com")
        app_ = stack_proxies.express(t)
        self.web = [Nginx2(t, name, app_.address, leaf) for name in ("one", "two")]
        self.grpc = []
        for name in ("three", "four"):
            address = t.address()
            self.grpc.append(Server(t, name, [sys.executable, os.path.join(HERE, "python", "grpc_app.py"), where(address),
                                              leaf.cert, leaf.key], address, env={"APP_NAME": name}))
        self.site = Site(t, "http2.conf", self.web, self.ca, CA=self.ca.cert, GRPC1=where(self.grpc[0].address),
                         GRPC2=where(self.grpc[1].address))

    @contextlib.contextmanager
    def channel(self):
        with open(self.ca.cert, "rb") as f:
            credentials = grpc.ssl_channel_credentials(f.read())
        channel = grpc.secure_channel(where(self.site.tls), credentials, options=[
            ("grpc.ssl_target_name_override", "www.example.com"), ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
        try:
            yield channel
        finally:
            channel.close()


def test_nginx(t):
    both = Both(t)
    goes_through_everything(both.site, websockets=False)
    wait_until(lambda: both.site.sluice.number("app", "a", "reuse") > 0, "connections are shared")
    survives_a_kill(both.site, websockets=False, two_writes=True)


def test_grpc(t):
    both = Both(t)
    s = both.site.sluice
    with both.channel() as channel:
        who = channel.unary_unary("/test.App/who")
        names = set()
        for _ in range(6):
            body, info = who.with_call(b"", timeout=SECONDS)
            v = values(body)
            check_eq((v["client"], v["scheme"]), ("127.0.0.1", "https"))
            names.add(dict(info.trailing_metadata())["x-instance"])
        check_eq(names, {"three", "four"}, "calls of one channel are balanced")
        data = pattern(MIB) * 50
        check(channel.unary_unary("/test.App/turns")(data, timeout=60) == data[::-1], "50 MB both ways")
        gate = threading.Semaphore(1)

        def questions():
            for i in range(50):
                check(gate.acquire(timeout=SECONDS), "an answer to question %d" % (i - 1))
                yield b"question %d" % i
        for i, got in enumerate(channel.stream_stream("/test.App/talks")(questions(), timeout=SECONDS)):
            check_eq(got, b"QUESTION %d" % i)
            gate.release()
        check_eq(i, 49)
        # One is killed between two calls, comes back, and takes its share.
        both.grpc[0].kill()
        for _ in range(20):
            check_eq(dict(who.with_call(b"", timeout=SECONDS)[1].trailing_metadata())["x-instance"], "four")
        s.wait_status("grpc", "a", "DOWN", seconds=30)
        both.grpc[0].start()
        s.wait_status("grpc", "a", "UP", seconds=30)
        wait_until(lambda: dict(who.with_call(b"", timeout=SECONDS)[1].trailing_metadata())["x-instance"] == "three", "it is back")
