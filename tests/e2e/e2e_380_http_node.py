"""Mode http before real applications: WebSockets by ws, server-sent events and Express, and the drain
on SIGTERM with node:http behind."""

import json
import queue

from http_tools import *

CUT = 1006  # what a WebSocket reports that ended without a close frame


# ---- WebSockets ----------------------------------------------------------------------------------

class WebSocket:
    """node/ws_client.js as a process; event() gives the next of its events."""

    def __init__(self, t, address, path="/"):
        self.process = subprocess.Popen(
            ["node", os.path.join(NODE, "ws_client.js"), "ws://%s%s" % (where(address), path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=dict(os.environ, NODE_PATH=NODE_MODULES), text=True, bufsize=1)
        t.processes.append(self.process)
        self.events = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line) if line.startswith("[") else line)
        self.events.put(None)

    def event(self, seconds=SECONDS):
        try:
            return self.events.get(timeout=seconds)
        except queue.Empty:
            raise Failure("the WebSocket has nothing to say")

    def do(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")

    def expect(self, *event):
        check_eq(self.event(), list(event), "event")


def websockets(t, **kw):
    want_packages("ws")
    node = Node(t, "websocket.js", name="ws")
    s, front = start(t, [node], **kw)
    return s, front, node


def opened(t, front):
    w = WebSocket(t, front)
    w.expect("open")
    return w


def server_state(node):
    return json.loads(fetch(node.address, "/state").body)


def test_websocket_echo_both_ways(t):
    s, front, node = websockets(t)
    w = opened(t, front)
    w.do("send", "hello")
    w.expect("text", "hello")
    for n in (0, 1, 125, 126, 65535, 65536, 1 << 20, 20 << 20):
        w.do("echo", n)
        w.expect("echo", n, True)
    w.do("send", "big 5000000")
    w.expect("binary", 5000000)
    check_eq(s.number("app", "ws", "hrsp_1xx"), 1, "responses 101")
    w.do("close", 1000, "bye")
    w.expect("close", 1000, "bye")
    wait_until(lambda: server_state(node)["closes"] == [[1000, "bye"]], "the server heard of it")
    no_places_taken(s)


def test_websocket_close_codes_of_both_sides(t):
    s, front, node = websockets(t)
    for code in (1000, 1011, 4999):
        client, server = opened(t, front), opened(t, front)
        server.do("send", "close %d server" % code)
        server.expect("close", code, "server")
        client.do("close", code, "client")
        client.expect("close", code, "client")
    no_places_taken(s)


def test_websocket_ends_without_a_close(t):
    s, front, node = websockets(t)
    a, b = opened(t, front), opened(t, front)
    a.do("send", "terminate")
    a.expect("close", CUT, "")
    b.do("terminate")
    b.expect("close", CUT, "")
    wait_until(lambda: server_state(node)["open"] == 0, "the server heard of both")
    no_places_taken(s)


def test_websocket_process_killed(t):
    s, front, node = websockets(t)
    w = opened(t, front)
    node.kill()
    w.expect("close", CUT, "")
    no_places_taken(s)


def test_websocket_idle_longer_than_requests_may_be(t):
    """Its idle time is that of tunnels, not of requests or of keep-alive."""
    s, front, node = websockets(t, top='workers = 1; timeouts = { idle = "100ms"; body = "100ms"; '
                                'response_head = "100ms"; request_head = "100ms"; };')
    w = opened(t, front)
    holds_for(0.6, w.events.empty, "the WebSocket stays")
    w.do("send", "still there")
    w.expect("text", "still there")
    w.do("close", 1000, "bye")
    w.expect("close", 1000, "bye")


def test_websocket_tunnel_timeout(t):
    s, front, node = websockets(t, top='workers = 1; timeouts = { tunnel = "400ms"; };')
    w = opened(t, front)
    for i in range(6):  # traffic keeps it
        time.sleep(0.1)
        w.do("send", i)
        w.expect("text", str(i))
    w.expect("close", CUT, "")
    no_places_taken(s)


def test_upgrade_to_h2c_is_not_passed_on(t):
    b = t.backend(app(lambda r, b: answer(body=r.raw)))
    s, front = start(t, [b])
    r = fetch(front, headers=["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
                              "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"])
    check_eq(r.status, 200)
    for name in (b"upgrade", b"http2-settings", b"h2c"):
        check(name not in r.body.lower(), "passed on", name, r.body)


# ---- Express -------------------------------------------------------------------------------------

def site(t, **kw):
    want_packages("express")
    node = Node(t, "site.js", name="site")
    s, front = start(t, [node], **kw)
    return s, front, node


def test_events_arrive_one_by_one(t):
    s, front, node = site(t)
    with Client(front) as c:
        c.send("/events", headers=["Accept: text/event-stream"])
        r = c.head()
        check_eq(r.header("content-type").split(";")[0], "text/event-stream")
        for i in range(1, 6):
            check_eq(c.reader.data, b"", "nothing before its time")
            check_eq(fetch(front, "/tick", "POST", body=b"").status, 200)
            check_eq(c.reader.chunk(), b"id: %d\ndata: tick %d\n\n" % (i, i))
        check_eq(json.loads(fetch(front, "/streams").body)["open"], 1)
    wait_until(lambda: json.loads(fetch(front, "/streams").body)["open"] == 0,
               "the application hears that the client left")
    no_places_taken(s)


def test_express_sees_who_asks(t):
    s, front, node = site(t)
    r = json.loads(fetch(front, "/who", source=t.other_ip,
                         headers=["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https",
                                  "X-Forwarded-Host: evil.example"]).body)
    check_eq((r["ip"], r["protocol"], r["forwardedHost"]), (t.other_ip, "http", "www.example.com"),
             "forged ones are replaced")
    check(r["id"], "a request id")


def test_express_behind_a_trusted_proxy(t):
    s, front, node = site(t, listener='trusted_proxies = ["%s"];' % t.other_ip)
    headers = ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"]
    r = json.loads(fetch(front, "/who", source=t.other_ip, headers=headers).body)
    check_eq((r["ips"][0], r["protocol"], r["secure"]), ("203.0.113.9", "https", True))
    r = json.loads(fetch(front, "/who", source=t.ip, headers=headers).body)
    check_eq((r["ip"], r["protocol"]), (t.ip, "http"), "one that is not trusted")


def test_express_takes_bodies_and_redirects(t):
    s, front, node = site(t)
    value = {"text": "x" * 20000, "list": list(range(100))}
    body = json.dumps(value).encode()
    with Client(front) as c:
        r = c.request("/json", "POST", ["Content-Type: application/json"], body)
        check_eq((r.status, json.loads(r.body)), (201, value))
        chunked = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:7], body[7:])) + b"0\r\n\r\n"
        c.send("/json", "POST", ["Content-Type: application/json", "Transfer-Encoding: chunked"])
        c.s.sendall(chunked)
        r = c.response()
        check_eq((r.status, json.loads(r.body)), (201, value))
        r = c.request("/redirect")
        check_eq((r.status, r.header("location")), (302, "/who"))
        r = c.request("/who", "HEAD")
        check(r.status == 200 and int(r.header("content-length")) > 0, "HEAD")
        r = c.request("/file/9000000")
        check_eq((r.status, len(r.body), set(r.body)), (200, 9000000, {ord("f")}))
        etag = c.request("/who").header("etag")
        check_eq(c.request("/nothing").status, 404)
        r = c.request("/who", headers=["If-None-Match: " + etag])
        check(r.status in (200, 304), "conditional request", r.status)


def test_curl_asks_express(t):
    s, front, node = site(t)
    done = subprocess.run(["curl", "-sS", "--fail", "--max-time", "15", "-d", '{"a": 1}', "-H",
                           "Content-Type: application/json", "-H", "Expect: 100-continue",
                           "http://%s/json" % where(front), "--next", "-sS", "-L",
                           "http://%s/redirect" % where(front)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    check_eq(done.returncode, 0, done.stdout)
    check(done.stdout.startswith(b'{"a":1}{"ip":"127.'), "answers", done.stdout)


# ---- drain ---------------------------------------------------------------------------------------

def test_sigterm_answers_what_is_under_way_and_closes_politely(t):
    node = Node(t, "plain.js")
    s, front = start(t, [node])
    busy, idle, last = Client(front), Client(front), Client(front)
    check_eq(idle.request().header("connection"), None)
    check_eq(last.request().header("connection"), None)
    busy.send("/slow")
    wait_until(lambda: json.loads(fetch(node.address, "/counts").body)["waiting"] == 1,
               "the request is there")
    s.process.send_signal(signal.SIGTERM)
    began = time.monotonic()

    def refused():
        try:
            connect(front).close()
            return False
        except ConnectionResetError: # it came in as the socket closed
            return False
        except ConnectionRefusedError:
            return True
    wait_until(refused, "new connections are refused")
    r = last.request("/last")
    check_eq((r.status, r.header("connection")), (200, "close"), "a last request is answered")
    expect_eof(last.s, "the connection of the last request")
    expect_eof(idle.s, "the idle connection")
    took = time.monotonic() - began
    check(took < 2.5, "idle connections are closed within about a second, not", took)
    check(s.alive(), "sluice waits for the request under way")
    check_eq(fetch(node.address, "/go").status, 200)
    r = busy.response()
    check_eq((r.status, r.body, r.header("connection")), (200, b"slow", "close"))
    expect_eof(busy.s, "the connection of the request under way")
    s.wait_end()


def test_sigterm_in_the_midst_of_a_response_finishes_it(t):
    gate = threading.Event()

    def respond(r, b):
        def two_halves(conn):
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
            gate.wait(SECONDS)
            conn.sendall(b"world")
        return two_halves
    s, front = start(t, [t.backend(app(respond))])
    with Client(front) as c:
        c.send()
        check_eq(c.head().status, 200)
        check_eq(c.reader.exactly(5), b"hello")
        s.process.send_signal(signal.SIGTERM)
        s.wait_log("drain")
        gate.set()
        check_eq(c.reader.exactly(5), b"world")
        expect_eof(c.s)
    s.wait_end()


def test_sigterm_with_idle_backend_connections_ends_at_once(t):
    node = Node(t, "plain.js")
    s, front = start(t, [node])
    check_eq(fetch(front).status, 200)
    check_eq(s.number("app", "node", "srv_icur"), 1)
    began = time.monotonic()
    s.terminate()
    check(time.monotonic() - began < 2, "it ends soon, not after", time.monotonic() - began)


def test_the_deadline_cuts_websockets(t):
    s, front, node = websockets(t, top='workers = 1; drain = { deadline = "500ms"; };')
    w = opened(t, front)
    s.process.send_signal(signal.SIGTERM)
    w.expect("close", CUT, "")
    s.wait_end()
