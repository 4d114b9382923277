"""flask_app.py - Flask behind one proxy: ProxyFix takes the client's address and the scheme from it."""

import hashlib
import os
import time

from flask import Flask, Response, request
from werkzeug.middleware.proxy_fix import ProxyFix

application = Flask(__name__)
application.wsgi_app = ProxyFix(application.wsgi_app, x_for=1, x_proto=1)


@application.after_request
def name(response):
    response.headers["X-Instance"] = os.environ.get("APP_NAME", "")
    return response


@application.route("/", defaults={"path": ""})
@application.route("/<path:path>")
def who(path):
    return "client=%s\nscheme=%s\nhost=%s\n" % (request.remote_addr, request.scheme, request.host)


@application.post("/upload")
def upload():
    n, digest = 0, hashlib.md5()
    while data := request.stream.read(65536):
        n += len(data)
        digest.update(data)
    return "bytes=%d\nmd5=%s\n" % (n, digest.hexdigest())


@application.get("/big")
def big():
    return Response(bytes([97 + i % 26]) * 65536 for i in range(int(request.args["n"])))


@application.get("/events")
def events():
    gate = request.args["gate"]

    def produce():
        for i in (1, 2, 3):
            yield "id: %d\ndata: event %d\n\n" % (i, i)
            while i < 3 and not os.path.exists("%s.%d" % (gate, i)):
                time.sleep(0.01)
    return Response(produce(), mimetype="text/event-stream")
