"""grpc_app.py ADDRESS:PORT CERT KEY - a gRPC service over TLS: `who` says its name, `talks` gives each message of a
stream back at once, `turns` gives one back turned round."""

import os
import sys
from concurrent import futures

import grpc

address, cert, key = sys.argv[1:]


def who(request, context):
    context.set_trailing_metadata((("x-instance", os.environ["APP_NAME"]),))
    meta = dict(context.invocation_metadata())
    return ("client=%s\nscheme=%s\n" % (meta.get("x-forwarded-for"), meta.get("x-forwarded-proto"))).encode()


class Service(grpc.GenericRpcHandler):
    def service(self, details):
        return {
            "/test.App/who": grpc.unary_unary_rpc_method_handler(who),
            "/test.App/turns": grpc.unary_unary_rpc_method_handler(lambda request, context: request[::-1]),
            "/test.App/talks": grpc.stream_stream_rpc_method_handler(lambda requests, context: (r.upper() for r in requests)),
        }.get(details.method)


server = grpc.server(futures.ThreadPoolExecutor(20), options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)])
server.add_generic_rpc_handlers((Service(),))
with open(cert, "rb") as c, open(key, "rb") as k:
    credentials = grpc.ssl_server_credentials([(k.read(), c.read())])
assert server.add_secure_port(address, credentials)
server.start()
server.wait_for_termination()
