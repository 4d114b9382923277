"""The dashboard: its page, and the stream of what happens."""

from e2e_520_admin_http import *


class Stream:
    """An event stream of the admin address."""

    def __init__(self, admin, headers=(), path="/dashboard/stream"):
        self.connection = connect(admin)
        self.connection.sendall("\r\n".join(["GET %s HTTP/1.1" % path, "Host: 127.0.0.1", *headers]).encode() + b"\r\n\r\n")
        self.reader = Reader(self.connection)
        self.head = Response(self.reader.until(b"\r\n\r\n"))

    def next(self, name=None):
        """The next event (of that name), from JSON."""
        while True:
            lines = self.reader.until(b"\n\n").decode().strip().split("\n")
            check(lines[0].startswith("event: ") and lines[1].startswith("data: ") and len(lines) == 2, "an event", lines)
            if name in (None, lines[0][7:]):
                return json.loads(lines[1][6:])

    def until(self, what, good):
        """Follows the changes until good(objects by name) says so; what it said."""
        objects, events, end = {}, [], time.monotonic() + SECONDS
        while time.monotonic() < end:
            state = self.next("state")
            if state.get("all"):
                objects = {}
            for o in state["objects"]:
                objects[o["k"]] = o
            events += state.get("events", [])
            done = good({o.get("name", "all"): o for o in objects.values()}, events)
            if done:
                return done
        raise AssertionError("the stream does not tell: " + what)

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()


def test_the_page_is_one_answer_under_a_strict_policy(t):
    s, front, admin = start_admin(t)
    r = ask(admin, "/")
    check_eq((r.status, r.header("content-type"), r.header("cache-control")), (200, "text/html; charset=utf-8", "no-store"))
    policy = dict(d.strip().split(" ", 1) for d in r.header("content-security-policy").split(";"))
    check_eq((policy["default-src"], policy["connect-src"], policy["frame-ancestors"]), ("'none'", "'self'", "'none'"))
    page = r.body.decode()
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        inline = re.findall(r"<%s>(.*?)</%s>" % (tag, tag), page, re.S)
        check_eq(len(inline), 1, tag)
        digest = hashlib.sha256(inline[0].encode()).digest()
        check_eq(policy[directive], "'sha256-%s'" % base64.b64encode(digest).decode())
    check(re.search(r"\son\w+=|style=|javascript:|innerHTML", page) is None, "nothing that the policy forbids")
    check_eq(re.findall(r"""(?:src|href)="(?!data:|#|/api/v1/|/metrics)[^"]*""", page), [], "it asks for nothing more")
    check_eq(ask(admin, "/", ["Host: evil.example"]).status, 421)
    check_eq(ask(admin, "/", method="POST").status, 405)


def test_the_stream_begins_with_everything(t):
    backends = [t.backend(app(by_name)) for _ in range(2)]
    s, front, admin = start_admin(t, backends)
    with Stream(admin) as stream:
        check_eq((stream.head.status, stream.head.header("content-type")), (200, "text/event-stream"))
        check_eq(stream.next("hello"), {"level": "user", "may_change": False, "token": ""})
        state = stream.next("state")
        check_eq([o["k"][0] for o in state["objects"]], ["A", "L", "P", "B", "B"])
        check_eq(state["objects"][0]["k"], "A", "the page looks for it by this key")
        b1 = state["objects"][3]
        check_eq((b1["name"], b1["address"], b1["state"], b1["weight"]), ("b1", "%s:%d" % backends[0].address, "nocheck", 1))
        check_eq(set(state["history"]), {o["k"] for o in state["objects"]})
        check_eq(len(state["history"][b1["k"]]["strip"]), 60)
        check_eq(state["process"]["not_ready"], "")
        check_match("ready", "\n".join(e["text"] for e in state["events"]))
    head = ask_head(admin)
    check_eq(head.status, 200)


def ask_head(admin):
    with connect(admin) as c:
        c.sendall(b"HEAD /dashboard/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        return answer_of(Reader(c), body=False)


def test_the_stream_tells_what_changes(t):
    b = t.backend(app(by_name))
    s, front, admin = start_admin(t, [b, t.backend(app(by_name))], pool='health = { interval = "100ms"; fall = 1; };')
    with Stream(admin) as stream:
        for n in range(20):
            check_eq(fetch(front, "/%d" % n).status, 200)
        rates = stream.until("a rate", lambda o, e: o["front"]["now"][0] > 0 and (o["front"]["now"], o["app"]["now"], o["all"]["now"]))
        for rate, errors, p50, p99 in rates:
            check(errors == 0 and 0 < p50 <= p99, "latencies", rates)
        b.stop()
        down = stream.until("down", lambda o, e: o["b1"]["state"] == "down" and e and (o["b1"], o["app"], e))
        check_in("refused", down[0]["reason"].lower())
        check_eq((down[1]["up"], down[1]["of"], down[1]["usable"]), (1, 2, True))
        check_match("app/b1", " ".join(e["text"] for e in down[2]))
        s.ok("set server app/b2 state maint a kernel update")
        maint = stream.until("maintenance", lambda o, e: o["b2"]["state"] == "maint" and o["b2"])
        check_eq(maint["reason"], "a kernel update")
    wait_until(lambda: ask(admin, "/livez").status == 200, "it lives on")


def test_a_reload_is_told_with_all_there_is_then(t):
    s, front, admin = start_admin(t, [t.backend(app(by_name)), t.backend(app(by_name))])
    with Stream(admin) as stream:
        stream.until("two", lambda o, e: "b2" in o)
        s.ok("set server app/b2 state maint")
        check_in("deleted", s.ctl("del server app/b2"))
        stream.until("one", lambda o, e: "b2" not in o and "b1" in o)
        check_in("registered", s.ctl("add server app/b3 127.0.0.1:9"))
        stream.until("another", lambda o, e: "b3" in o)
