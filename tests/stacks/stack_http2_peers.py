"""HTTP/2 over TLS with real peers: nginx as a backend, and gRPC by grpcio with TLS on both sides."""

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from concurrent import futures

from servers import *
import stack_packaging
from tls_site import NAME, Authority, Client, fetch, start


def nginx_http2(t, ca, name):
    """An nginx that speaks HTTP/2 over TLS and says its protocol."""
    cert, address = ca.leaf("localhost", name), t.address()
    root = t.path(name)
    os.makedirs(root)
    with open(os.path.join(root, "nginx.conf"), "w") as f:
        f.write("""daemon off; pid %(root)s/pid; error_log %(root)s/errors; worker_processes 1; %(user)s
events { }
http { access_log off; client_body_temp_path %(root)s/b; proxy_temp_path %(root)s/p; fastcgi_temp_path %(root)s/f;
       uwsgi_temp_path %(root)s/u; scgi_temp_path %(root)s/s; client_max_body_size 100m;
       server { listen %(at)s ssl http2; ssl_certificate %(cert)s; ssl_certificate_key %(key)s; ssl_protocols TLSv1.2 TLSv1.3;
                location / { return 200 "%(name)s $server_protocol $ssl_protocol $http_host"; }
                location /big { root %(root)s; } } }
""" % dict(root=root, at=where(address), cert=cert.cert, key=cert.key, name=name,
           user="user root;" if os.geteuid() == 0 else ""))
    with open(os.path.join(root, "big"), "wb") as f:
        f.write(bytes(range(256)) * 40000)
    return Server(t, name, [stack_packaging.need("nginx"), "-c", os.path.join(root, "nginx.conf"), "-e",
                            os.path.join(root, "errors")], address)


def test_nginx_as_a_backend_over_http2_and_tls(t):
    ca = Authority(t.dir)
    servers = [nginx_http2(t, ca, "n%d" % n) for n in range(2)]
    s, front = start(t, [x.address for x in servers],
                     pool='protocol = "http2"; tls = { ca = "%s"; sni = "localhost"; };'
                          'health = { type = "http"; path = "/"; interval = "100ms"; };' % ca.cert)
    got = {fetch(front, "/").body.decode().split(" ", 1)[1].rsplit(" ", 1)[0] for _ in range(20)}
    check_eq(got, {"HTTP/2.0 TLSv1.3"})
    check_eq({fetch(front, "/").body.decode().split()[0] for _ in range(20)}, {"n0", "n1"})
    with Client(front) as c:
        for _ in range(3):
            check_eq(hashlib.md5(c.request("/big").body).hexdigest(), hashlib.md5(bytes(range(256)) * 40000).hexdigest())
    failed = []

    def load():
        for n in range(300):
            with contextlib.suppress(ConnectionError):
                if fetch(front, "/%d" % n).status == 200:
                    continue
            failed.append(n)
    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    servers[0].kill()
    s.wait_status("app", "b1", "DOWN")
    servers[0].start()
    s.wait_status("app", "b1", "UP")
    for thread in threads:
        thread.join()
    check_eq(failed, [], "requests that failed while one was killed")


def test_grpc_with_tls_on_both_sides(t):
    import grpc

    class Handlers(grpc.GenericRpcHandler):
        def service(self, details):
            kinds = {"/test/Unary": grpc.unary_unary_rpc_method_handler(lambda request, _: request[::-1]),
                     "/test/Talk": grpc.stream_stream_rpc_method_handler(lambda requests, _: (r.upper() for r in requests)),
                     "/test/Count": grpc.unary_stream_rpc_method_handler(
                         lambda request, _: (b"%d" % n for n in range(int(request))))}
            return kinds.get(details.method)

    def read(path):
        with open(path, "rb") as f:
            return f.read()
    ca = Authority(t.dir)
    inner, outer = ca.leaf("localhost", "inner"), ca.leaf(NAME, "outer")
    at = t.address()
    server = grpc.server(futures.ThreadPoolExecutor(20), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((Handlers(),))
    server.add_secure_port(where(at), grpc.ssl_server_credentials([(read(inner.key), read(inner.cert))]))
    server.start()
    s, front = start(t, [at], pool='protocol = "http2"; tls = { ca = "%s"; sni = "localhost"; };'
                                   'health = { type = "none"; };' % ca.cert,
                     listener='tls = { certificates = ( { cert = "%s"; key = "%s"; } ); };' % (outer.cert, outer.key))
    with grpc.secure_channel(where(front), grpc.ssl_channel_credentials(read(ca.cert)),
                             options=[("grpc.ssl_target_name_override", NAME), ("grpc.max_receive_message_length", -1)]) as channel:
        unary = channel.unary_unary("/test/Unary")
        check_eq(unary(b"abc", timeout=SECONDS), b"cba")
        big = bytes(range(256)) * 8000
        check_eq(unary(big, timeout=SECONDS) == big[::-1], True, "2 MB both ways")
        check_eq(list(channel.unary_stream("/test/Count")(b"500", timeout=SECONDS)), [b"%d" % n for n in range(500)])
        check_eq(list(channel.stream_stream("/test/Talk")(iter([b"a", b"b", b"c"]), timeout=SECONDS)), [b"A", b"B", b"C"])
        try:
            channel.unary_unary("/test/Nothing")(b"", timeout=SECONDS)
            check(False, "an unknown method is refused")
        except grpc.RpcError as e:
            check_eq(e.code(), grpc.StatusCode.UNIMPLEMENTED)
    server.stop(None).wait()
