"""Mode http: what two parsers could read differently is refused, with a reason, and nothing of it reaches
a backend. The rows are those of the codec's unit tests (tests/support/strict_*.inc): what was sent, the
section of the RFC that rules, the verdict. Here they go through the whole of sluice."""

import ast

from http_raw import *

# What a client is told and the log says of each verdict.
VERDICTS = {
    "H1_BAD_START": (400, "bad-start"),
    "H1_BAD_METHOD": (400, "bad-method"),
    "H1_BAD_TARGET": (400, "bad-target"),
    "H1_BAD_VERSION": (400, "bad-version"),
    "H1_VERSION_UNSUPPORTED": (505, "version-unsupported"),
    "H1_BAD_STATUS": (400, "bad-status"),
    "H1_BARE_CR": (400, "bare-cr"),
    "H1_BARE_LF": (400, "bare-lf"),
    "H1_BAD_FIELD_NAME": (400, "bad-field-name"),
    "H1_SPACE_BEFORE_COLON": (400, "space-before-colon"),
    "H1_NO_COLON": (400, "no-colon"),
    "H1_OBS_FOLD": (400, "obs-fold"),
    "H1_BAD_FIELD_VALUE": (400, "bad-field-value"),
    "H1_HEAD_TOO_LARGE": (431, "head-too-large"),
    "H1_TOO_MANY_FIELDS": (431, "too-many-fields"),
    "H1_TARGET_TOO_LONG": (414, "target-too-long"),
    "H1_BAD_CONTENT_LENGTH": (400, "bad-content-length"),
    "H1_REPEATED_CONTENT_LENGTH": (400, "repeated-content-length"),
    "H1_LENGTH_AND_CODING": (400, "length-and-coding"),
    "H1_BAD_CODING": (400, "bad-coding"),
    "H1_UNKNOWN_CODING": (501, "unknown-coding"),
    "H1_NO_HOST": (400, "no-host"),
    "H1_REPEATED_HOST": (400, "repeated-host"),
    "H1_BAD_HOST": (400, "bad-host"),
    "H1_HOST_MISMATCH": (400, "host-mismatch"),
    "H1_BAD_EXPECT": (417, "bad-expect"),
}
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"


def table(kind):
    """Rows (verdict, section, what, bytes) of the unit tests' table."""
    with open(os.path.join(ROOT, "tests", "support", "strict_%ss.inc" % kind.lower())) as f:
        text = f.read()
    found = re.findall(r'^%s\((\w+), "([^"]*)", "([^"]*)", (.*)\)$' % kind, text, re.M)
    check(len(found) > 30, "rows in the table", len(found))
    check_eq(len(found), len(re.findall(r"^%s\(H1" % kind, text, re.M)), "rows that were understood")
    # adjacent C literals are adjacent bytes literals: the same escapes in both
    return [(verdict, section, what, ast.literal_eval("(b%s)" % re.sub(r'" "', '" b"', literal)))
            for verdict, section, what, literal in found]


def canonical(raw):
    """What a backend is to get for a legal head, written from RFC 9112 and not from sluice's code:
    without what sluice adds. Connection-bound fields do not stand in the table's legal rows."""
    head = re.sub(rb"^(\r\n)+", b"", raw).split(b"\r\n\r\n")[0]
    lines = head.split(b"\r\n")
    method, target, _ = lines[0].split(b" ")
    fields = [[part.strip(b" \t") for part in line.split(b":", 1)] for line in lines[1:]]
    host = b"".join(v for n, v in fields if n.lower() == b"host")
    absolute = re.match(rb"https?://([^/?]*)([^?]*)(.*)", target)
    if absolute:
        host, target = absolute.group(1), (absolute.group(2) or b"/") + absolute.group(3)
    framing = [(n, v) for n, v in fields if n.lower() in (b"content-length", b"transfer-encoding")]
    others = [(n, v) for n, v in fields
              if n.lower() not in (b"host", b"content-length", b"transfer-encoding")]
    out = [method + b" " + target + b" HTTP/1.1", b"Host: " + host]
    out += [n + b": " + v for n, v in others]
    out += [b"Content-Length: " + v if n.lower() == b"content-length" else
            b"Transfer-Encoding: chunked" for n, v in framing]
    return b"\r\n".join(out) + b"\r\n\r\n"


def front(t, reply=OK, close=False, listener="", pool=""):
    b = t.backend(records(reply, close))
    s, address = start(t, [b], listener=JSON_LOG + listener, pool=NO_CHECKS + pool)
    return s, address, b


def test_refused_requests_reach_no_backend(t):
    """Each with a second request behind it, which must not be taken for one either."""
    s, address, b = front(t, listener='limits = { header_bytes = "1k"; headers = 8; };')
    cases = [row for row in table("Request".upper()) if row[0] not in ("H1_DONE",
                                                                     "H1_TARGET_TOO_LONG")]
    bad = []
    for verdict, section, what, data in cases:
        response = send_raw(address, data + SMUGGLED)
        expected = VERDICTS[verdict][0]
        if status_of(response) != expected or response.count(b"HTTP/1.1 ") != 1 or \
                b"\r\nConnection: close\r\n" not in response:
            bad.append((what, section, data, expected, response[:80]))
    check_eq(bad, [], "answers")
    for (verdict, section, what, data), row in zip(cases, rows(s, len(cases))):
        check_eq((what, row["status"], row["reason"], row["end_code"], row["backend"]),
                 (what, *VERDICTS[verdict], "PR", None))
    check_eq((b.accepted, got(b)), (0, b""), "what the backend got")
    check_eq(s.number("front", "FRONTEND", "ereq"), len(cases), "bad requests counted")
    counted = {r["reason"]: r["count"] for r in json.loads(s.ctl("show refused json"))}
    for verdict, count in ((v, sum(c[0] == v for c in cases)) for v in VERDICTS):
        check_eq(counted.get(VERDICTS[verdict][1], 0), count, "counted by reason " + verdict)


def test_refused_byte_by_byte_as_in_one_piece(t):
    s, address, b = front(t, listener='limits = { header_bytes = "1k"; headers = 8; };')
    for verdict, _, what, data in table("REQUEST")[::9]:
        if verdict in ("H1_DONE", "H1_TARGET_TOO_LONG"):
            continue
        with contextlib.closing(connect(address)) as c:
            with contextlib.suppress(ConnectionError):
                for i in range(len(data)):
                    c.sendall(data[i:i + 1])
            with contextlib.suppress(ConnectionResetError):
                check_eq(status_of(recv_all(c)), VERDICTS[verdict][0], what)
    check_eq(b.accepted, 0, "connections to the backend")


def test_legal_requests_reach_the_backend_in_canonical_form(t):
    s, address, b = front(t, pool='reuse = "never";', close=True,
                          listener='limits = { header_bytes = "1k"; headers = 8; };')
    for verdict, section, what, data in table("REQUEST"):
        if verdict != "H1_DONE" or data.startswith(b"CONNECT"):
            continue
        seen_before = len(getattr(b, "got", []))
        with contextlib.closing(connect(address)) as c:
            c.sendall(data)
            reader = Reader(c)
            while True:
                response = Response(reader.until(b"\r\n\r\n"))
                if response.status >= 200:
                    break
        check_eq(response.status, 200, what)
        wait_until(lambda: len(b.got) == seen_before + 1, "one connection to the backend: " + what)
        raw = bytes(b.got[-1]).replace(b"Connection: close\r\n", b"")
        expected = canonical(data)
        if b"Expect:" in expected:
            expected = expected.replace(b"100-Continue", b"100-continue")
            raw = raw.replace(b"100-Continue", b"100-continue")
        check_eq(without_added(raw), expected, what)


def test_connect_is_refused(t):
    """RFC 9110 section 9.3.6: 405, with what is allowed."""
    s, address, b = front(t)
    response = send_raw(address, b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\nConnection: close\r\n\r\n")
    check_eq(status_of(response), 405)
    check_in(b"\r\nAllow: GET, HEAD, ", response)
    check_eq(rows(s, 1)[0]["reason"], "connect-refused")
    check_eq(b.accepted, 0)


# ---- limits, both sides of each ------------------------------------------------------------------

def padded(n, line=b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"):
    """A head of n bytes."""
    return line + b"X: " + b"a" * (n - len(line) - 7) + b"\r\n\r\n"


def outcomes(t, cases, **kw):
    """cases: (bytes, status, reason); checks answers and log, returns what the backend got."""
    s, address, b = front(t, **kw)
    for data, status, reason in cases:
        check_eq(status_of(send_raw(address, data)), status, short(repr(data), 100))
    for row, (data, status, reason) in zip(rows(s, len(cases)), cases):
        check_eq((row["status"], row["reason"]), (status, reason), short(repr(data), 100))
    return got(b)


def test_limit_of_the_head(t):
    for n in (1024, 2000, 64000):
        check_eq(len(padded(n)), n)
        outcomes(t, [(padded(n), 200, None), (padded(n + 1), 431, "head-too-large")],
                 listener='limits = { header_bytes = "%db"; };' % n)


def test_limit_of_fields(t):
    def fields(n):
        return b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + b"X: y\r\n" * (n - 2) + b"\r\n"
    for n in (3, 40, 1000):
        outcomes(t, [(fields(n), 200, None), (fields(n + 1), 431, "too-many-fields")],
                 listener='limits = { header_bytes = "65535b"; headers = %d; };' % n)


def test_limit_of_the_target(t):
    def target(n):
        return b"GET /" + b"a" * (n - 1) + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    outcomes(t, [(target(16384), 200, None), (target(16385), 414, "target-too-long")],
             listener='limits = { header_bytes = "65535b"; };')


def test_limit_of_the_body(t):
    head = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
    def sized(n):
        return head + b"Content-Length: %d\r\n\r\n" % n + b"x" * n
    def chunks(n):
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * n + b"0\r\n\r\n"

    def whole(r, b):
        return answer(200)
    for make in (sized, chunks):
        b = t.backend(app(whole))
        s, address = start(t, [b], listener=JSON_LOG + 'limits = { body_bytes = "1000b"; };')
        check_eq(status_of(send_raw(address, make(1000))), 200)
        check_eq(status_of(send_raw(address, make(1001))), 413)
        check_eq([r["reason"] for r in rows(s, 2)], [None, "body-too-large"])
        check_eq(rows(s, 2)[1]["end"], "the request's body is too large")
        check_eq([len(r.body) for r in seen(b)], [1000], "bodies that came through")


# ---- chunks --------------------------------------------------------------------------------------

CHUNKS = [  # RFC 9112 section 7.1; (section, what, body, reason)
    ("7.1", "no digits", b"\r\n", "bad-chunk-size"),
    ("7.1", "no hexadecimal digit", b"g\r\n", "bad-chunk-size"),
    ("7.1", "a sign", b"+1\r\nx\r\n", "bad-chunk-size"),
    ("7.1", "below zero", b"-1\r\nx\r\n", "bad-chunk-size"),
    ("7.1", "0x", b"0x1\r\nx\r\n", "bad-chunk-size"),
    ("7.1", "a space before the size", b" 1\r\nx\r\n", "bad-chunk-size"),
    ("7.1", "a space behind the size", b"1 \r\nx\r\n", None),
    ("7.1", "17 digits", b"00000000000000001\r\nx\r\n", None),
    ("7.1", "a size that overflows", b"fffffffffffffffff\r\n", None),
    ("7.1", "a size beyond 2^60", b"1000000000000001\r\n", "chunk-too-large"),
    ("2.2", "LF behind the size", b"1\nx\r\n", "bad-chunk-size"),
    ("2.2", "CR behind the size", b"1\rx\r\n", "bad-chunk-size"),
    ("7.1", "data longer than the size", b"1\r\nxy\r\n", "bad-chunk-end"),
    ("7.1", "LF behind the data", b"1\r\nx\n0\r\n\r\n", "bad-chunk-end"),
    ("7.1", "NUL in the size", b"1\0\r\nx\r\n", "bad-chunk-size"),
    ("7.1.1", "an extension without name", b"1;\r\nx\r\n", "bad-chunk-extension"),
    ("7.1.1", "an extension with a bad name", b"1;(=1\r\nx\r\n", "bad-chunk-extension"),
    ("7.1.1", "LF in an extension", b"1;a\nx\r\n", "bad-chunk-extension"),
    ("7.1.1", "CR in a quoted extension", b'1;a="\r"\r\nx\r\n', "bad-chunk-extension"),
    ("7.1.1", "an extension without end", b"1;" + b"a" * 5000, "chunk-extension-too-long"),
    ("7.1.2", "a trailer without colon", b"0\r\nnonsense\r\n\r\n", "no-colon"),
    ("7.1.2", "LF ends a trailer", b"0\r\nA: b\n\r\n", "bare-lf"),
    ("7.1.2", "a folded trailer", b"0\r\nA: b\r\n c\r\n\r\n", "obs-fold"),
    ("7.1.2", "a space before a trailer's colon", b"0\r\nA : b\r\n\r\n", "space-before-colon"),
    ("7.1.2", "33 trailers", b"0\r\n" + b"A: b\r\n" * 33 + b"\r\n", "too-many-fields"),
]
CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_bad_chunks_of_a_request(t):
    """The backend sees a message that is cut, never one that is complete."""
    bodies = []

    def handler(conn, b):
        data = b""
        with contextlib.suppress(ConnectionError):
            while True:
                part = conn.recv(65536)
                if not part:
                    break
                data += part
        bodies.append(data.split(b"\r\n\r\n", 1)[-1])
    b = t.backend(handler)
    s, address = start(t, [b], listener=JSON_LOG)
    for section, what, body, reason in CHUNKS:
        response = send_raw(address, CHUNKED_HEAD + b"3\r\nabc\r\n" + body + SMUGGLED)
        check_eq(status_of(response), 400, what)
        check_eq(response.count(b"HTTP/1.1 "), 1, what)
    for (section, what, _, reason), row in zip(CHUNKS, rows(s, len(CHUNKS))):
        check(row["reason"] == reason or (reason is None and "chunk" in row["reason"]), what, row)
        check_eq(row["end_code"], "PD", what)
    wait_until(lambda: len(bodies) == b.accepted, "the backend's connections are over")
    for body in bodies:
        check(b"0\r\n" not in body and b"smuggled" not in body, "the backend got an end", body)
    check_eq(s.number("app", "b1", "eresp"), 0, "counted against the backend")


def test_legal_chunks_arrive_framed_anew(t):
    b = t.backend(app(lambda r, b: answer(body=r.body)))
    s, address = start(t, [b])
    for what, body in (("extensions", b'3;a;b=c;d="e\\"f" ; g = h\r\nabc\r\n0;x=y\r\n\r\n'),
                       ("zeros before the size", b"0003\r\nabc\r\n0000\r\n\r\n"),
                       ("one by one", b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"),
                       ("a trailer", b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n")):
        with Client(address) as c:
            c.s.sendall(CHUNKED_HEAD + body)
            check_eq(c.response().body, b"abc", what)
            check_eq(c.request("/next").status, 200, "behind " + what)


# ---- responses -----------------------------------------------------------------------------------

def replay(t, cases, pool="", listener=""):
    """A backend that answers the n-th request on /n with the n-th of these bytes and closes."""
    def handler(conn, b):
        reader = Reader(conn)
        raw = reader.until(b"\r\n\r\n")
        if raw is None:
            return
        conn.sendall(cases[int(Request(raw).path[1:])])
        conn.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while conn.recv(4096):
                pass
    b = t.backend(handler)
    s, address = start(t, [b], listener=JSON_LOG + listener, pool=NO_CHECKS + pool)
    return s, address, b


def test_malformed_responses_are_502(t):
    cases = [row for row in table("RESPONSE") if row[0] != "H1_DONE" and row[1] != "limits"]
    s, address, b = replay(t, [row[3] for row in cases])
    with Client(address) as c:  # the client's connection has done nothing wrong
        for i, (_, section, what, _) in enumerate(cases):
            check_eq((what, c.request("/%d" % i).status), (what, 502))
    for (verdict, section, what, _), row in zip(cases, rows(s, len(cases))):
        check_eq((what, row["status"], row["reason"], row["end_code"], row["backend"]),
                 (what, 502, VERDICTS[verdict][1], "PH", "b1"))
    wait_until(lambda: b.open == 0, "the backend's connections are dropped")
    check_eq(b.accepted, len(cases), "a connection each")
    check_eq(s.number("app", "b1", "eresp"), len(cases), "counted against the backend")
    check_eq(s.number("front", "FRONTEND", "ereq"), 0, "counted against the client")
    reasons = {r["reason"] for r in json.loads(s.ctl("show refused json")) if r["name"] == "app"}
    check_eq(reasons, {VERDICTS[row[0]][1] for row in cases}, "reasons of the pool")


def test_legal_responses_pass(t):
    cases = [row for row in table("RESPONSE") if row[0] == "H1_DONE"]
    ends = {True: b"0\r\n\r\n", False: b""}
    s, address, b = replay(t, [row[3] + ends[b"chunked" in row[3]] for row in cases])
    for i, (_, _, what, data) in enumerate(cases):
        r = fetch(address, "/%d" % i)
        check_eq((r.status, r.body), (int(data.split(b" ")[1][:3]), b""), what)
    check_eq(s.number("app", "b1", "eresp"), 0)


def test_limits_of_responses(t):
    """64 KiB - 1 of head, 256 fields."""
    def head(n):
        start = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: "
        return start + b"a" * (n - len(start) - 4) + b"\r\n\r\n"

    def fields(n):
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"X: y\r\n" * (n - 1) + b"\r\n"
    cases = [(head(60000), 200, None), (head(65536), 502, "head-too-large"),
             (fields(256), 200, None), (fields(257), 502, "too-many-fields")]
    s, address, b = replay(t, [case[0] for case in cases])
    for i, (_, status, _) in enumerate(cases):
        check_eq(fetch(address, "/%d" % i).status, status, "case %d" % i)
    check_eq([row["reason"] for row in rows(s, 4)], [case[2] for case in cases])


def test_bad_chunks_of_a_response(t):
    """The head has gone out: the client must see that the body is not complete."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    s, address, b = replay(t, [head + body for _, _, body, _ in CHUNKS])
    for i, (section, what, _, _) in enumerate(CHUNKS):
        response = send_raw(address, b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % i)
        check(b"0\r\n\r\n" not in response, "the client got a complete body: " + what, response)
    for (section, what, body, reason), row in zip(CHUNKS, rows(s, len(CHUNKS))):
        check(row["reason"] == reason or (reason is None and "chunk" in row["reason"]), what, row)
        check_eq(row["end_code"], "PD", what)
    wait_until(lambda: b.open == 0, "the backend's connections are dropped")
    check_eq(s.number("app", "b1", "eresp"), len(CHUNKS), "counted against the backend")


BARE = b"HTTP/1.1 200 OK\nContent-Length: 5\nX-Old: yes\n\nhello"
HALF_BARE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\nX-Old: yes\r\n\nhello"


def test_accept_bare_lf(t):
    s, address, b = replay(t, [BARE, HALF_BARE, b"HTTP/1.1 200 OK\nX: a\rb\n\n"],
                           pool="accept_bare_lf = true;")
    for i in (0, 1):
        r = fetch(address, "/%d" % i)
        check_eq((r.status, r.header("x-old"), r.body), (200, "yes", b"hello"))
        check(b"\n" not in r.raw.replace(b"\r\n", b""), "framed anew", r.raw)
    check_eq(fetch(address, "/2").status, 502, "a bare CR")
    check_eq(rows(s, 3)[2]["reason"], "bare-cr")


def test_accept_bare_lf_is_off_and_never_for_requests(t):
    s, address, b = replay(t, [BARE])
    check_eq(fetch(address, "/0").status, 502)
    s, address, b = replay(t, [BARE], pool="accept_bare_lf = true;")
    check_eq(status_of(send_raw(address, b"GET /0 HTTP/1.1\nHost: h\n\n")), 400)


def test_a_response_that_is_cut(t):
    """RFC 9112 section 8: an incomplete message is not passed on as a complete one."""
    s, address, b = replay(t, [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
                               b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
                               b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                               b"HTTP/1.1 200 OK\r\nContent-Le"])
    for i in range(3):
        with Client(address) as c:
            c.send("/%d" % i)
            check_eq(c.head().status, 200)
            try:
                rest = c.reader.data + recv_all(c.s)
            except ConnectionResetError:
                rest = b""
            check(b"0\r\n\r\n" not in rest, "a complete body", rest)
    check_eq(fetch(address, "/3").status, 502)
    check_eq([row["end_code"] for row in rows(s, 4)], ["SD", "SD", "SD", "SH"])
    check(s.number("app", "b1", "srv_abrt") >= 3, "counted against the backend")


def test_what_follows_a_response_is_not_the_next_ones(t):
    """Response splitting: bytes behind a response's end make the connection unusable."""
    s, address, b = replay(t, [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + OK,
                               b"HTTP/1.1 304 Not Modified\r\n\r\nbody"])
    with Client(address) as c:
        check_eq(c.request("/0").body, b"ok")
        check_eq(c.request("/1").status, 304)
        check_eq(c.request("/0").body, b"ok")
    check_eq(b.accepted, 3, "connections to the backend")
