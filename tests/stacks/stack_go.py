"""Go: net/http with HTTP/1.1, HTTP/2 in clear, gRPC and WebSockets at one port: etc/examples/go.conf."""

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc

from applications import *

GO = "/usr/share/gocode"


def go(t, name):
    if not shutil.which("go") or not os.path.isdir(GO + "/src/google.golang.org/grpc"):
        raise Skip("golang-go or golang-google-grpc-dev is not installed: scripts/setup.sh stacks does it")
    program = built("go", ["go/main.go"], lambda out: ["go", "build", "-o", out, "./go"], env={
        "GOPATH": GO, "GO111MODULE": "off", "GOFLAGS": "", "GOCACHE": os.path.join(ROOT, "build", "stacks-go", "cache")})
    address = t.address()
    return Server(t, name, [program, where(address)], address, env={"APP_NAME": name})


def site(t):
    return Site(t, "go.conf", [go(t, "one"), go(t, "two")])


def test_net_http(t):
    one = site(t)
    goes_through_everything(one)
    survives_a_kill(one)


def test_http2_in_clear(t):
    one = site(t)
    for pool in ("h2", "grpc"):
        for backend in one.backends:
            one.sluice.wait_status(pool, backend, "UP", seconds=60)
    check_in(b"proto=HTTP/2.0\n", one.get("/h2/").body)
    check_in(b"proto=HTTP/1.1\n", one.get("/").body)
    client_and_scheme_are_seen(one, "/h2/")
    large_bodies_are_whole(one, "/h2/upload", "/h2/big?n=800")
    connections_are_shared(one)
    load = Load(one.front, threads=2, target="/h2/")
    calls(one)
    load.stop(cut=2)


# ---- gRPC ----------------------------------------------------------------------------------------

def wrap(data):
    """google.protobuf.BytesValue"""
    size, n = b"", len(data)
    while n > 127:
        size, n = size + bytes([n & 127 | 128]), n >> 7
    return b"\n" + size + bytes([n]) + data if data else b""


def unwrap(data):
    at = 1
    while at < len(data) and data[at] & 128:
        at += 1
    return data[at + 1:]


def calls(one):
    """Of one channel, while one of the servers is killed and comes back."""
    s = one.sluice
    channel = grpc.insecure_channel(where(one.front), options=[
        ("grpc.enable_retries", 0), ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
    raw = {"request_serializer": wrap, "response_deserializer": unwrap}
    with contextlib.closing(channel):
        who = channel.unary_unary("/test.App/who", **raw)

        def instance():
            body, info = who.with_call(b"", timeout=SECONDS)
            v = values(body)
            check_eq((v["client"], v["scheme"]), ("127.0.0.1", "http"))
            return dict(info.trailing_metadata())["x-instance"]
        check_eq({instance() for _ in range(6)}, {"one", "two"}, "calls of one channel are balanced")
        data = pattern(MIB) * 50
        check(channel.unary_unary("/test.App/turns", **raw)(data, timeout=60) == data[::-1], "50 MB both ways")
        gate = threading.Semaphore(1)

        def questions():
            for i in range(50):
                check(gate.acquire(timeout=SECONDS), "an answer to question %d" % (i - 1))
                yield b"question %d" % i
        for i, got in enumerate(channel.stream_stream("/test.App/talks", **raw)(questions(), timeout=SECONDS)):
            check_eq(got, b"QUESTION %d" % i)
            gate.release()
        check_eq(i, 49)
        one.servers[0].kill()
        check_eq({instance() for _ in range(20)}, {"two"})
        s.wait_status("grpc", "a", "DOWN", seconds=30)
        one.servers[0].start()
        s.wait_status("grpc", "a", "UP", seconds=30)
        wait_until(lambda: instance() == "one", "it is back")
