"""gRPC through sluice, by grpcio on both sides: HTTP/2 on both, trailers, streams both ways at the same time,
deadlines, cancellation. Messages are raw bytes."""

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from concurrent import futures

import grpc

from http_tools import *

SERVICE = "/test.Echo/"
POOL = 'protocol = "http2"; '


class Server:
    """A gRPC server; what it saw of calls stands in .ended, .active."""

    def __init__(self, t, name="b1", workers=40):
        self.address, self.name = t.address(), name
        self.ended, self.active, self.lock = [], 0, threading.Lock()
        self.release = threading.Event()
        self.workers = workers
        self.start()

    def start(self):
        self.server = grpc.server(futures.ThreadPoolExecutor(self.workers), options=[("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers((Handlers(self),))
        check_eq(self.server.add_insecure_port(where(self.address)), self.address[1], "port")
        self.server.start()

    def stop(self, grace=None):
        self.server.stop(grace).wait()

    # ---- methods

    def unary(self, request, context):
        context.send_initial_metadata((("x-server", self.name),))
        context.set_trailing_metadata((("x-sum", str(len(request))), ("x-data-bin", b"\0\1\xff")))
        return request[::-1]

    def fails(self, request, context):
        context.set_trailing_metadata((("x-why", "asked for"),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no: %s" % request.decode())

    def counts(self, request, context):  # server streaming
        for i in range(int(request)):
            yield b"%d" % i

    def sums(self, requests, context):  # client streaming
        return b"%d" % sum(len(r) for r in requests)

    def talks(self, requests, context):  # both
        for r in requests:
            yield r.upper()

    def sleeps(self, request, context):
        with self.lock:
            self.active += 1
        done = threading.Event()
        context.add_callback(done.set)
        done.wait(SECONDS)
        with self.lock:
            self.active -= 1
            self.ended.append(context.is_active())
        return b"slept"


class Handlers(grpc.GenericRpcHandler):
    def __init__(self, server):
        self.methods = {
            "unary": grpc.unary_unary_rpc_method_handler(server.unary),
            "fails": grpc.unary_unary_rpc_method_handler(server.fails),
            "counts": grpc.unary_stream_rpc_method_handler(server.counts),
            "sums": grpc.stream_unary_rpc_method_handler(server.sums),
            "talks": grpc.stream_stream_rpc_method_handler(server.talks),
            "sleeps": grpc.unary_unary_rpc_method_handler(server.sleeps),
        }

    def service(self, details):
        return self.methods.get(details.method[len(SERVICE):])


@contextlib.contextmanager
def site(t, n=1, pool=NO_CHECKS, **kw):
    """(sluice, channel, servers)"""
    servers = [Server(t, "b%d" % (i + 1)) for i in range(n)]
    s, front = start(t, servers, pool=POOL + pool, listener='log = { format = "json"; };', **kw)
    channel = grpc.insecure_channel(where(front), options=[("grpc.enable_retries", 0),
                                                           ("grpc.use_local_subchannel_pool", 1)])
    try:
        yield s, channel, servers
    finally:
        channel.close()
        for server in servers:
            server.stop()


def status_of(call):
    """(code, details) of a call that is to fail."""
    try:
        call()
    except grpc.RpcError as e:
        return e.code(), e.details()
    raise Failure("the call went well")


def test_unary_calls_with_metadata_and_trailers(t):
    with site(t) as (s, channel, _):
        call = channel.unary_unary(SERVICE + "unary")
        got, info = call.with_call(b"hello", timeout=SECONDS, metadata=(("x-in", "1"),))
        check_eq(got, b"olleh")
        check_in(("x-server", "b1"), list(info.initial_metadata()))
        check_in(("x-sum", "5"), list(info.trailing_metadata()))
        check_in(("x-data-bin", b"\0\1\xff"), list(info.trailing_metadata()))
        check_eq(info.code(), grpc.StatusCode.OK)
        big = pattern(2000000)
        check(call(big, timeout=SECONDS) == big[::-1], "2 MB both ways")
        check_eq(call(b"", timeout=SECONDS), b"")


def test_many_calls_at_once(t):
    with site(t) as (s, channel, _):
        call = channel.unary_unary(SERVICE + "unary")
        calls = [call.future(b"%d" % i, timeout=SECONDS) for i in range(300)]
        check_eq([c.result() for c in calls], [(b"%d" % i)[::-1] for i in range(300)])
        no_places_taken(s)


def test_an_error_is_a_trailer(t):
    with site(t) as (_, channel, _):
        call = channel.unary_unary(SERVICE + "fails")
        check_eq(status_of(lambda: call(b"why", timeout=SECONDS)),
                 (grpc.StatusCode.FAILED_PRECONDITION, "no: why"))
        try:
            call(b"x", timeout=SECONDS)
        except grpc.RpcError as e:
            check_in(("x-why", "asked for"), list(e.trailing_metadata()))


def test_an_unknown_method_is_the_servers_answer(t):
    """A head that is trailers at the same time."""
    with site(t) as (_, channel, _):
        call = channel.unary_unary(SERVICE + "nothing")
        check_eq(status_of(lambda: call(b"", timeout=SECONDS))[0], grpc.StatusCode.UNIMPLEMENTED)


def test_streams_of_the_server(t):
    with site(t) as (_, channel, _):
        got = list(channel.unary_stream(SERVICE + "counts")(b"2000", timeout=SECONDS))
        check_eq(got, [b"%d" % i for i in range(2000)])
        check_eq(list(channel.unary_stream(SERVICE + "counts")(b"0", timeout=SECONDS)), [])


def test_streams_of_the_client(t):
    with site(t) as (_, channel, _):
        parts = [pattern(n) for n in (1, 70000, 300000, 5)]
        check_eq(channel.stream_unary(SERVICE + "sums")(iter(parts), timeout=SECONDS), b"370006")


def test_both_ways_at_the_same_time(t):
    """Each message is answered before the next one is sent."""
    with site(t) as (_, channel, _):
        gate = threading.Semaphore(1)
        n = 200

        def questions():
            for i in range(n):
                check(gate.acquire(timeout=SECONDS), "an answer to question %d" % (i - 1))
                yield b"question %d" % i
        for i, got in enumerate(channel.stream_stream(SERVICE + "talks")(questions(), timeout=SECONDS)):
            check_eq(got, b"QUESTION %d" % i)
            gate.release()
        check_eq(i, n - 1)


def test_a_deadline_ends_the_call_at_the_server_too(t):
    with site(t) as (s, channel, servers):
        call = channel.unary_unary(SERVICE + "sleeps")
        check_eq(status_of(lambda: call(b"", timeout=0.5))[0], grpc.StatusCode.DEADLINE_EXCEEDED)
        wait_until(lambda: servers[0].ended == [False], "the server sees the end")
        no_places_taken(s)


def test_a_cancelled_call_ends_at_the_server(t):
    with site(t) as (s, channel, servers):
        calls = [channel.unary_unary(SERVICE + "sleeps").future(b"", timeout=SECONDS) for _ in range(5)]
        wait_until(lambda: servers[0].active == 5, "all are with the server")
        for c in calls[1:]:
            c.cancel()
        wait_until(lambda: servers[0].ended == [False] * 4, "four have ended")
        check_eq(servers[0].active, 1)
        check_eq(s.number("app", "b1", "scur"), 1, "requests under way")
        calls[0].cancel()
        no_places_taken(s)


def test_a_client_that_stops_reading_a_stream_stops_its_server_alone(t):
    with site(t) as (_, channel, _):
        slow = channel.unary_stream(SERVICE + "counts")(b"1000000", timeout=60)
        check_eq(next(slow), b"0")
        for i in range(50):
            check_eq(channel.unary_unary(SERVICE + "unary")(b"ab", timeout=SECONDS), b"ba")
        slow.cancel()


def test_no_server_is_unavailable(t):
    with site(t) as (_, channel, servers):
        servers[0].stop()
        check_eq(status_of(lambda: channel.unary_unary(SERVICE + "unary")(b"", timeout=SECONDS))[0],
                 grpc.StatusCode.UNAVAILABLE)


def test_a_server_that_ends_in_order_costs_no_call(t):
    """It says GOAWAY and lets calls finish; new ones go to the other, or wait for nothing."""
    checks = 'health = { type = "tcp"; interval = "100ms"; rise = 1; fall = 1; };'
    with site(t, 2, checks) as (s, channel, servers):
        stop, codes = threading.Event(), []

        def load(_):
            call = channel.unary_unary(SERVICE + "unary")
            while not stop.is_set():
                try:
                    codes.append(call(b"x", timeout=SECONDS) == b"x")
                except grpc.RpcError as e:
                    codes.append((e.code(), e.details()))
        threads = [threading.Thread(target=load, args=(i,)) for i in range(4)]
        for th in threads:
            th.start()
        for server in servers:
            before = len(codes)
            wait_until(lambda: len(codes) > before + 100, "calls flow")
            server.stop(SECONDS)
            before = len(codes)
            wait_until(lambda: len(codes) > before + 100, "calls flow without it")
            server.start()
            s.wait_status("app", server.name, "UP")
        stop.set()
        for th in threads:
            th.join()
        # A call that grpcio's server had accepted and not begun when it was told to stop, it answers so.
        its_own = (grpc.StatusCode.CANCELLED, "CANCELLED")
        check_eq(set(codes) - {its_own}, {True}, "what came of %d calls" % len(codes))
        check(codes.count(its_own) <= 8, "calls that a server has cancelled itself", codes.count(its_own))
        check_eq(re.findall(r'"status":(?!200)\w+', s.access), [], "statuses")
