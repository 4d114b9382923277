"""FastCGI, uwsgi and SCGI from backends that no real server would be: broken, oversized, cut, overloaded. The
real ones are in tests/stacks."""

import struct

from http_raw import *

STDOUT, STDERR, END = 6, 7, 3


def record(kind, data=b"", pad=0, request=1, version=1):
    return struct.pack(">BBHHBB", version, kind, request, len(data), pad, 0) + data + bytes(pad)


def end(protocol=0, app=0):
    return record(END, struct.pack(">IB3x", app, protocol))


HELLO = record(STDOUT, b"Content-Type: text/plain\r\n\r\nhello") + end()


def pairs(data):
    """Names and values of a block of FastCGI."""
    def number(at):
        if data[at] < 128:
            return data[at], at + 1
        return struct.unpack(">I", data[at:at + 4])[0] & 0x7fffffff, at + 4
    out, at = {}, 0
    while at < len(data):
        name, at = number(at)
        value, at = number(at)
        out[data[at:at + name].decode()] = data[at + name:at + name + value].decode("latin-1")
        at += name + value
    return out


class Asked:
    """A request as a FastCGI backend reads it."""

    def __init__(self, conn):
        self.params, self.stdin, self.keep, self.kinds = b"", b"", None, []
        ended = set()
        while not {4, 5} <= ended:
            head = recv_exact(conn, 8)
            version, kind, request, n, pad, _ = struct.unpack(">BBHHBB", head)
            check_eq((version, request), (1, 1))
            data = recv_exact(conn, n + pad)[:n]
            self.kinds.append((kind, n))
            if kind == 1:
                role, flags = struct.unpack(">HB5x", data)
                check_eq(role, 1)
                self.keep = bool(flags & 1)
            elif n == 0:
                ended.add(kind)
            elif kind == 4:
                self.params += data
            elif kind == 5:
                self.stdin += data
        self.vars = pairs(self.params)


def fastcgi(reply=HELLO, close=True):
    """A backend that answers everything alike; what it was asked stands in .seen."""
    def handler(conn, backend):
        while True:
            try:
                asked = Asked(conn)
            except (Failure, ConnectionError):
                return
            backend.seen.append(asked)
            data = reply(asked) if callable(reply) else reply
            conn.sendall(data)
            if close:
                return
    return handler


def serve(t, backends, pool="", **kw):
    return start(t, backends, pool='health = { type = "none"; }; protocol = "fastcgi"; ' + pool, listener=JSON_LOG, **kw)


def test_a_request_is_records_and_variables(t):
    b = t.backend(fastcgi())
    _, front = serve(t, [b], pool='cgi = { root = "/srv"; params = ( { name = "APP"; value = "$listener"; }, '
                                  '{ name = "SERVER_SOFTWARE"; value = "x"; } ); };')
    r = fetch(front, "/a.php/b?c=d", "POST", headers=["X-A: 1"], body=b"payload")
    check_eq((r.status, r.header("content-type"), r.body), (200, "text/plain", b"hello"))
    v = b.seen[0].vars
    check_eq((v["SCRIPT_FILENAME"], v["SCRIPT_NAME"], v["PATH_INFO"], v["PATH_TRANSLATED"], v["DOCUMENT_ROOT"]),
             ("/srv/a.php", "/a.php", "/b", "/srv/b", "/srv"))
    check_eq((v["APP"], v["SERVER_SOFTWARE"], v["HTTP_X_A"], v["CONTENT_LENGTH"]), ("front", "x", "1", "7"))
    check_eq((b.seen[0].stdin, b.seen[0].keep), (b"payload", False))
    check_eq(b.seen[0].params.count(b"SERVER_SOFTWARE"), 1, "the operator's stands in place of ours")


def test_the_server_is_where_the_client_connected_to(t):
    """Ours, or what a PROXY header names; the same for every request of a connection."""
    for header, address, port in ((b"", None, None),
                                  (b"PROXY TCP4 198.51.100.7 203.0.113.9 4711 443\r\n", "203.0.113.9", "443"),
                                  (b"PROXY TCP6 2001:db8::7 2001:db8::9 4711 443\r\n", "2001:db8::9", "443")):
        b = t.backend(fastcgi())
        front = t.address()
        s = t.sluice("""pools = ( { name = "app"; mode = "http"; protocol = "fastcgi"; health = { type = "none"; };
          backends = ( { name = "b1"; address = "%s"; } ); } );
        listeners = ( { name = "front"; mode = "http"; bind = "%s"; pool = "app"; %s } );""" % (
            where(b.address), where(front), 'proxy_protocol = "v1"; proxy_from = [ "127.0.0.0/8" ];' if header else ""))
        with contextlib.closing(connect(front)) as c:
            c.sendall(header + b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            check_eq(recv_all(c).count(b"hello"), 2)
        for asked in b.seen:
            check_eq((asked.vars["SERVER_ADDR"], asked.vars["SERVER_PORT"]), (address or front[0], port or str(front[1])))
        check_eq(len(b.seen), 2)
        s.finish()


def test_variables_and_payload_beyond_a_record_take_several(t):
    b = t.backend(fastcgi())
    _, front = serve(t, [b], pool='cgi = { params = (%s); };' % ", ".join(
        '{ name = "P%d"; value = "%s"; }' % (i, "v" * 8000) for i in range(9)))
    data = os.urandom(200_000)
    check_eq(fetch(front, "/", "POST", body=data).status, 200)
    check_eq(b.seen[0].vars["P8"], "v" * 8000)
    check_eq(b.seen[0].stdin == data, True)
    check(len([n for kind, n in b.seen[0].kinds if kind == 4 and n]) == 2, "records of variables")
    check(max(n for _, n in b.seen[0].kinds) <= 65535, "content of a record")


def test_broken_answers_are_502_with_the_reason(t):
    head = record(STDOUT, b"X: y\r\n\r\n")
    for reply, reason in ((b"HTTP/1.1 200 OK\r\n\r\n", "not-fastcgi"),
                          (record(STDOUT, b"X: y\r\n\r\n", request=2), "record-of-another-request"),
                          (record(4, b"x"), "unexpected-record"),
                          (record(END, b"1234"), "bad-end-request"),
                          (end(), "no-head"),
                          (record(STDOUT, b"nocolon\r\n\r\n") + end(), "no-colon"),
                          (record(STDOUT, b"Status: abc\r\n\r\n") + end(), "bad-status"),
                          (record(STDOUT, b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n") + end(), "transfer-encoding"),
                          (b"".join(record(STDOUT, b"X: " + b"y" * 60000 + b"\r\n") for _ in range(2)) + head, "head-too-large")):
        b = t.backend(fastcgi(reply))
        s, front = serve(t, [b])
        check_eq(fetch(front).status, 502, reason)
        s.wait_access('"reason":"%s"' % reason)
        s.finish()


def test_an_answer_that_is_cut_is_cut_for_the_client_too(t):
    head = b"Content-Length: 10\r\n\r\n"
    for reply in (record(STDOUT, b"X: y\r\n\r\nhello"), record(STDOUT, head + b"hello"),
                  record(STDOUT, head + b"hello") + end()):
        b = t.backend(fastcgi(reply))
        s, front = serve(t, [b])
        with Client(front) as c:
            c.send()
            got = c.reader
            with contextlib.suppress(ConnectionError):
                while got.more():
                    pass
            check(b"\r\n0\r\n\r\n" not in got.data and not got.data.endswith(b"helloworld"), "a whole answer", got.data)
        slots_are_free(s)
        s.finish()


def test_a_head_that_is_cut_is_502(t):
    _, front = serve(t, [t.backend(fastcgi(record(STDOUT, b"X: y\r\n")))])
    check_eq(fetch(front).status, 502)


def test_what_comes_beyond_the_length_is_dropped(t):
    b = t.backend(fastcgi(record(STDOUT, b"Content-Length: 5\r\n\r\nhello and more") + end(), close=False))
    _, front = serve(t, [b], pool='reuse = "always";')
    with Client(front) as c:
        for _ in range(3):
            check_eq(c.request().body, b"hello")
    check_eq(b.accepted, 1)


def test_small_records_and_padding_make_one_body(t):
    text = bytes(range(65, 91)) * 40
    reply = b"".join(record(STDOUT, bytes([c]), pad=c % 7) for c in b"A: b\n\n" + text) + record(STDOUT) + end()
    b = t.backend(fastcgi(reply))
    _, front = serve(t, [b])
    check_eq(fetch(front).body, text)


def test_one_that_is_overloaded_costs_no_request(t):
    full = t.backend(fastcgi(end(protocol=2)), name="full")
    good = t.backend(fastcgi(), name="good")
    _, front = serve(t, [full, good])
    for i in range(6):
        check_eq(fetch(front, "/", "POST", body=b"x" * i).body, b"hello", "it has not begun, so any request moves on")
    check(len(full.seen) > 0, "it was asked")


def test_alone_it_is_502_with_the_reason(t):
    s, front = serve(t, [t.backend(fastcgi(end(protocol=2)))])
    check_eq(fetch(front).status, 502)
    s.wait_access('"reason":"fastcgi-overloaded"')


def test_a_kept_connection_that_is_dead_is_not_noticed(t):
    def once(conn, backend):
        backend.seen.append(Asked(conn))
        conn.sendall(HELLO)
    b = t.backend(once)
    _, front = serve(t, [b], pool='reuse = "always";')
    for i in range(4):
        check_eq(fetch(front).body, b"hello")
    check_eq(b.seen[0].keep, True)


def test_floods_of_stderr_are_bounded_in_the_log(t):
    reply = b"".join(record(STDERR, b"line %d\n" % i) for i in range(1000)) + HELLO
    s, front = serve(t, [t.backend(fastcgi(reply))])
    check_eq(fetch(front).body, b"hello")
    s.wait_log(r"WARN pool app: backend b1: stderr: 984 more lines")
    check_eq(s.log.count("stderr: line"), 16)


def test_a_client_that_does_not_read_holds_up_its_backend(t):
    def floods(conn, backend):
        Asked(conn)
        conn.sendall(record(STDOUT, b"X: y\r\n\r\n"))
        piece = record(STDOUT, bytes(60000))
        with contextlib.suppress(ConnectionError):
            while backend.sent < 64 << 20:
                conn.sendall(piece)
                backend.sent += len(piece)
    b = t.backend(floods)
    s, front = serve(t, [b])
    before = status_kb(s.pid, "VmRSS")
    with Client(front, rcvbuf=65536) as c:
        c.send()
        check_eq(c.head().status, 200)

        def stands():
            was = b.sent
            time.sleep(0.3)
            return b.sent == was
        wait_until(stands, "the backend is held up")
        check(b.sent < 32 << 20, "bytes under way", b.sent)
        grown = status_kb(s.pid, "VmRSS") - before
        check(t.sanitized or grown < 6144, "memory grows by kB:", grown)
    slots_are_free(s)


# ---- uwsgi, SCGI ---------------------------------------------------------------------------------

def plain(reply, read):
    def handler(conn, backend):
        backend.seen.append(read(conn))
        conn.sendall(reply)
    return handler


def read_uwsgi(conn):
    modifier1, n, modifier2 = struct.unpack("<BHB", recv_exact(conn, 4))
    check_eq((modifier1, modifier2), (0, 0))
    data, out = recv_exact(conn, n), {}
    while data:
        fields = []
        for _ in range(2):
            size = struct.unpack("<H", data[:2])[0]
            fields.append(data[2:2 + size].decode("latin-1"))
            data = data[2 + size:]
        out[fields[0]] = fields[1]
    return out, recv_exact(conn, int(out.get("CONTENT_LENGTH") or 0))


def read_scgi(conn):
    size = b""
    while not size.endswith(b":"):
        size += recv_exact(conn, 1)
    data = recv_exact(conn, int(size[:-1]))
    check_eq(recv_exact(conn, 1), b",")
    words = data.split(b"\0")[:-1]
    check_eq((words[0], words[2:4]), (b"CONTENT_LENGTH", [b"SCGI", b"1"]))
    out = {k.decode(): v.decode("latin-1") for k, v in zip(words[::2], words[1::2])}
    return out, recv_exact(conn, int(out["CONTENT_LENGTH"]))


def test_streams_of_bytes_carry_the_same(t):
    for protocol, read in (("uwsgi", read_uwsgi), ("scgi", read_scgi)):
        b = t.backend(plain(b"Status: 201 Made\nX: y\n\nhello", read), name=protocol)
        s, front = start(t, [b], pool='health = { type = "none"; }; protocol = "%s"; cgi = { mount = "/m"; };' % protocol)
        r = fetch(front, "/m/a%20b?c", "POST", body=b"payload")
        check_eq((r.status, r.header("x"), r.body), (201, "y", b"hello"))
        v, body = b.seen[0]
        check_eq((v["SCRIPT_NAME"], v["PATH_INFO"], v["QUERY_STRING"], v["REQUEST_URI"], body),
                 ("/m", "/a b", "c", "/m/a%20b?c", b"payload"))
        s.finish()


def test_a_head_that_uwsgi_cannot_carry_is_refused(t):
    b = t.backend(plain(b"\n\n", read_uwsgi))
    s, front = start(t, [b], pool='health = { type = "none"; }; protocol = "uwsgi"; cgi = { params = (%s); };' % ", ".join(
        '{ name = "P%d"; value = "%s"; }' % (i, "v" * 8000) for i in range(9)), listener=JSON_LOG)
    check_eq(fetch(front).status, 431)
    s.wait_access('"reason":"head-too-large"')
    check_eq(b.seen, [])


def test_a_body_that_is_cut_is_cut_for_the_client_too(t):
    b = t.backend(plain(b"Content-Length: 10\n\nhello", read_scgi))
    s, front = start(t, [b], pool='health = { type = "none"; }; protocol = "scgi";')
    with Client(front) as c:
        c.send()
        c.head()
        with contextlib.suppress(ConnectionError):
            while c.reader.more():
                pass
        check_eq(c.reader.data, b"hello")
    slots_are_free(s)


# ---- checks --------------------------------------------------------------------------------------

def test_checks_judge_the_answer(t):
    for reply, seen in ((record(STDOUT, b"Status: 503 No\n\n") + end(), "HTTP 503, expected 200-399"),
                        (b"nonsense", "bad answer in fastcgi: not-fastcgi"),
                        (end(protocol=2), "bad answer in fastcgi: overloaded"),
                        (record(STDOUT, b"X: y\n\nping") + end(), 'HTTP 200, body does not contain "pong"'),
                        (record(STDOUT, b"X: y\n"), "bad answer in fastcgi: it ended within its head")):
        b = t.backend(fastcgi(reply))
        s, _ = start(t, [b], ready=False, pool='protocol = "fastcgi"; health = { type = "fastcgi"; path = "/ping"; '
                     'interval = "100ms"; %s };' % ('body = "pong";' if b"ping" in reply else ""))
        s.wait_status("app", b.name, "DOWN")
        s.wait_log(re.escape(seen))
        v = b.seen[0].vars
        check_eq((v["SCRIPT_NAME"], v["SCRIPT_FILENAME"], v["REQUEST_METHOD"]), ("/ping", "/ping", "GET"))
        s.finish()
