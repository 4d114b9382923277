"""app.py - a WSGI application: what it is asked for decides what it does."""

import hashlib
import os
import time
import urllib.parse

NAMES = ("REQUEST_METHOD", "REQUEST_URI", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "HTTPS",
         "wsgi.url_scheme", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "CONTENT_TYPE", "CONTENT_LENGTH",
         "HTTP_HOST", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_PROXY", "HTTP_X_A")


def variables(env):
    """client, scheme and host as the server says them: there is nothing to be taken from headers."""
    seen = {"client": env.get("REMOTE_ADDR"), "scheme": env["wsgi.url_scheme"], "host": env.get("HTTP_HOST")}
    return "".join("%s=%s\n" % pair for pair in [*seen.items(), *((name, env.get(name, "-")) for name in NAMES)]).encode()


def events(gate):
    for i in (1, 2, 3):
        yield b"id: %d\ndata: event %d\n\n" % (i, i)
        while i < 3 and not os.path.exists("%s.%d" % (gate, i)):
            time.sleep(0.01)


def upload(env):
    n, digest = 0, hashlib.md5()
    while True:
        data = env["wsgi.input"].read(65536)
        if not data:
            return b"bytes=%d\nmd5=%s\n" % (n, digest.hexdigest().encode())
        n += len(data)
        digest.update(data)


def application(env, start):
    path = env.get("PATH_INFO", "/")
    query = dict(urllib.parse.parse_qsl(env.get("QUERY_STRING", "")))
    headers = [("X-Instance", os.environ.get("APP_NAME", "")), ("Content-Type", "text/plain")]
    if path == "/big":
        start("200 OK", headers)
        return (bytes([97 + i % 26]) * 65536 for i in range(int(query["n"])))
    if path == "/events":
        start("200 OK", headers[:1] + [("Content-Type", "text/event-stream")])
        return events(query["gate"])
    if path == "/slow":
        time.sleep(int(query["ms"]) / 1000)
    if path == "/status":
        start(query["code"] + " As Asked", headers)
        return [b"with a body"] if query["code"] != "204" else []
    body = upload(env) if path == "/upload" else b"healthy" if path == "/healthz" else variables(env)
    start("200 OK", headers + [("Content-Length", str(len(body)))])
    return [body]
