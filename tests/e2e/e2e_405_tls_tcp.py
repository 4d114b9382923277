"""TLS in mode tcp: with clients, with backends, and with both, as any tcp session otherwise."""

import contextlib
import hashlib
import select
import signal
import socket
import ssl
import struct
import time

from certs import Authority
from e2e_100_proxy_protocol import SIG, tcp4, v2
from harness import *

MIB = 1 << 20


def over_tls(ctx, handler):
    """A backend's handler with TLS around its connection."""
    def serve(conn, backend):
        try:
            tls = ctx.wrap_socket(conn, server_side=True)
        except ssl.SSLError as e:
            backend.refused = getattr(backend, "refused", []) + [str(e)]
            return
        with contextlib.closing(tls):
            tls.settimeout(SECONDS * 4)
            handler(tls, backend)
    return serve


class Setup:
    """A listener `front` before a pool `app`, each with TLS or without."""

    def __init__(self, t, handler=answers, front=True, back=True, n=1, pool="", listener="", top="", names=("app.example",),
                 client=None, versions=None, raw=None, start=True):
        self.ca = Authority(t.dir)
        if "health" not in pool:  # checks would be counted among the connections
            pool += ' health = { type = "none"; };'
        self.site = self.ca.leaf("front.example")
        self.inner = self.ca.leaf(*names)
        wrapped = over_tls(self.ca.server(self.inner), handler) if back else handler
        self.backends = [t.backend(raw or wrapped) for _ in range(n)]
        if front:
            listener += ' tls = { certificates = ( { cert = "%s"; key = "%s"; } ); };' % (self.site.cert, self.site.key)
        if back:
            pool += ' tls = { ca = "%s"; sni = "app.example"; };' % self.ca.cert
        self.front, self.alpn = front, None
        self.context = self.ca.client(versions=versions)
        self.s, self.address = t.simple(self.backends, pool=pool, listener=listener, top=top)

    def connect(self, header=b"", name="front.example", **kw):
        raw = connect(self.address, **kw)
        if header:
            raw.sendall(header)
        return self.context.wrap_socket(raw, server_hostname=name) if self.front else raw

    def talk(self, text=b"hello\n", **kw):
        with contextlib.closing(self.connect(**kw)) as c:
            c.sendall(text)
            return recv_line(c)


KINDS = {"clients": (True, False), "backends": (False, True), "both": (True, True)}


def ended(c):
    """The connection has been ended, gently or not; what came before."""
    got = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while True:
            part = c.recv(65536)
            if not part:
                break
            got += part
    return got


def each_kind(t, work, **kw):
    for front, back in KINDS.values():
        setup = Setup(t, front=front, back=back, **kw)
        work(setup)
        setup.s.finish()


# ---- bytes ---------------------------------------------------------------------------------------

def test_lines_go_through(t):
    def work(x):
        check_eq(x.talk(b"one\n"), x.backends[0].name.encode() + b" one\n")
        x.s.wait_access(r"front app/b\d ")
    each_kind(t, work)


def test_a_server_that_speaks_first(t):
    def work(x):
        with contextlib.closing(x.connect()) as c:
            check_eq(recv_line(c), x.backends[0].name.encode() + b"\n")
            c.sendall(b"then I\n")
            check_eq(recv_line(c), b"then I\n")
    each_kind(t, work, handler=named)


def exchange(c, data):
    """Sends and receives at the same time; the hash of all that came back. One thread: Python's TLS is not for two."""
    got, sent, received = hashlib.sha256(), 0, 0
    deadline = time.monotonic() + 60
    c.setblocking(False)
    while received < len(data):
        check(time.monotonic() < deadline, "all comes back in time", sent, received)
        waits = 0
        try:
            part = c.recv(1 << 16)
            check(part, "the end of the stream after %d bytes, %d sent" % (received, sent))
            got.update(part)
            received += len(part)
        except (ssl.SSLWantReadError, BlockingIOError):
            waits += 1
        try:
            if sent < len(data):
                sent += c.send(data[sent:sent + 65536])
        except (ssl.SSLWantWriteError, BlockingIOError):
            waits += 1
        if waits == 2 or (waits == 1 and sent == len(data)):
            select.select([c], [c] if sent < len(data) else [], [], 1)
    return got.hexdigest()


def test_much_goes_both_ways_unchanged(t):
    size = 6 * MIB if t.sanitized else 40 * MIB
    data = pattern(size)

    def work(x):
        with contextlib.closing(x.connect(timeout=60)) as c:
            check_eq(exchange(c, data), hashlib.sha256(data).hexdigest(), "hash")
        x.s.wait_number("front", "FRONTEND", "bin", size)
        x.s.wait_number("front", "FRONTEND", "bout", size)
    each_kind(t, work, handler=echo)


def test_an_end_of_stream_is_passed_on_and_the_answer_comes_after_it(t):
    """Half close: close_notify toward TLS, FIN toward plain sockets."""
    def digest(conn, backend):
        sha = hashlib.sha256()
        while True:
            part = conn.recv(65536)
            if not part:
                break
            sha.update(part)
        conn.sendall(sha.hexdigest().encode())

    # Python's unwrap() waits for the answer's close_notify: what comes before it is read by the test
    data = pattern(300000)
    x = Setup(t, handler=digest, back=False)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = x.context.wrap_bio(incoming, outgoing, server_hostname="front.example")
    with contextlib.closing(connect(x.address)) as c:
        def run(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    c.sendall(outgoing.read())
                    part = c.recv(65536)
                    incoming.write(part) if part else incoming.write_eof()
        run(tls.do_handshake)
        for at in range(0, len(data), 10000):
            tls.write(data[at:at + 10000])
            c.sendall(outgoing.read())
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLError):
            tls.unwrap()
        c.sendall(outgoing.read())  # close_notify
        # after it the library reads no data any more; sluice sends them, and its own close_notify
        answer = recv_all(c)
        check(len(answer) > 64, "an answer after the half close", len(answer))
    x.s.wait_access(r" 64 -- |/\d+ 64 --")


def test_a_plain_client_half_closes_toward_a_backend_with_tls(t):
    done = []

    def counts(conn, backend):
        n = 0
        while True:
            part = conn.recv(65536)
            if not part:
                break
            n += len(part)
        done.append(n)

    x = Setup(t, handler=counts, front=False)
    with contextlib.closing(connect(x.address)) as c:
        c.sendall(pattern(500000))
        c.shutdown(socket.SHUT_WR)
        check_eq(recv_all(c), b"")
    check_eq(done, [500000], "bytes that the backend had before the end")
    x.s.wait_access(" -- ")


def test_a_close_of_the_backend_ends_the_client(t):
    def one_line(conn, backend):
        conn.sendall(b"bye\n")

    def work(x):
        with contextlib.closing(x.connect()) as c:
            check_eq(recv_all(c), b"bye\n")
    each_kind(t, work, handler=one_line)


def test_an_end_without_close_notify_stays_one(t):
    """Whether something was cut off is for the client to judge: sluice must not make a clean end of it."""
    def cuts(conn, backend):
        conn.sendall(b"cut here\n")
        raw = socket.socket(fileno=conn.detach())  # the end of the socket, not of TLS
        raw.close()

    def closes(conn, backend):
        conn.sendall(b"clean\n")
        with contextlib.suppress(OSError):
            conn.unwrap()

    for handler, line, clean in ((cuts, b"cut here\n", False), (closes, b"clean\n", True)):
        x = Setup(t, handler=handler, top='log = { format = "$end_code $detail -"; };')
        x.context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # Python's default
        with contextlib.closing(x.context.wrap_socket(connect(x.address), server_hostname="front.example",
                                                      suppress_ragged_eofs=False)) as c:
            check_eq(recv_line(c), line)
            try:
                check_eq((c.recv(100), clean), (b"", True), "the end, with close_notify")
            except ssl.SSLError as e:
                check(not clean, "an end without close_notify", e)
                check_match("(?i)eof", str(e))
        x.s.wait_access("^-- - -$" if clean else "^(--|CD) ")  # this client complains of it
        x.s.finish()


def test_a_reset_of_the_client_reaches_the_backend(t):
    seen = []

    def watches(conn, backend):
        conn.sendall(b"x\n")
        try:
            while conn.recv(1000):
                pass
            seen.append("end")
        except (OSError, ssl.SSLError) as e:
            seen.append(type(e).__name__)

    x = Setup(t, handler=watches, back=False)
    c = x.connect()
    check_eq(recv_line(c), b"x\n")
    reset(c)
    wait_until(lambda: seen, "the backend notices")
    check_eq(seen, ["ConnectionResetError"])
    x.s.wait_access(" CD ")


def test_a_reset_of_the_backend_reaches_the_client(t):
    def line_then_reset(conn, backend):
        conn.sendall(b"x\n")
        conn.recv(100)
        reset(conn)

    x = Setup(t, handler=line_then_reset, back=False)
    with contextlib.closing(x.connect()) as c:
        check_eq(recv_line(c), b"x\n")
        c.sendall(b"go\n")
        ended(c)
    x.s.wait_access(" SD ")


# ---- memory --------------------------------------------------------------------------------------

def test_who_reads_slowly_is_waited_for_in_bounded_memory(t):
    total = 24 * MIB

    def floods(conn, backend):
        block = bytes(65536)
        backend.sent = 0
        while backend.sent < total:
            conn.sendall(block)
            backend.sent += len(block)

    for front, back in ((True, False), (True, True)):
        x = Setup(t, handler=floods, front=front, back=back)
        pid = x.s.process.pid
        with contextlib.closing(x.connect(rcvbuf=65536)) as c:
            check_eq(len(recv_exact(c, 1000)), 1000)
            before = status_kb(pid, "VmRSS")
            b = x.backends[0]

            def stands():
                was = b.sent
                time.sleep(0.3)
                return b.sent == was
            wait_until(stands, "the backend is held up")
            check(b.sent < total - 4 * MIB, "the backend has to wait", b.sent)
            grown = status_kb(pid, "VmRSS") - before
            check(t.sanitized or grown < 6144, "memory grows by kB:", grown)
            check_eq(len(recv_exact(c, total - 1000)), total - 1000)
        x.s.finish()


# ---- backends that fail --------------------------------------------------------------------------

def test_another_backend_is_tried_when_one_refuses(t):
    ca = Authority(t.dir)
    good = t.backend(over_tls(ca.server(ca.leaf("app.example")), named), name="good")
    site = ca.leaf("front.example")
    for bad in (t.closed_address(), t.backend(closes_at_once, name="bad").address,
                t.backend(resets_at_once, name="bad").address):
        s, front = t.simple([(bad, "weight = 256;"), good],
                            pool='balance = "first"; health = { type = "none"; }; tls = { ca = "%s"; sni = "app.example"; };' % ca.cert,
                            listener='tls = { certificates = ( { cert = "%s"; key = "%s"; } ); };' % (site.cert, site.key))
        for _ in range(3):
            with ca.client().wrap_socket(connect(front), server_hostname="front.example") as c:
                check_eq(recv_line(c), b"good\n")
        s.wait_access(r"app/good .* -- .*/\+1 ")
        s.finish()


def test_another_backend_is_tried_when_a_certificate_does_not_fit(t):
    ca = Authority(t.dir)
    good = t.backend(over_tls(ca.server(ca.leaf("app.example")), named), name="good")
    bad = t.backend(over_tls(ca.server(ca.leaf("other.example")), named), name="bad")
    s, front = t.simple([bad, good], pool='balance = "first"; health = { type = "none"; };'
                                          ' tls = { ca = "%s"; sni = "app.example"; };' % ca.cert)
    check_eq(who(front), "good")
    s.wait_access(r"app/good .*/\+1 ")
    s.wait_number("app", "bad", "econ", 1)


def test_a_backend_that_never_answers_the_handshake_is_left_in_time(t):
    ca = Authority(t.dir)
    good = t.backend(over_tls(ca.server(ca.leaf("app.example")), named), name="good")
    silent = t.backend(hangs, name="silent")
    s, front = t.simple([silent, good], pool='balance = "first"; health = { type = "none"; }; timeouts = { connect = "300ms"; };'
                                             ' tls = { ca = "%s"; sni = "app.example"; };' % ca.cert)
    check_eq(who(front), "good")
    s.wait_access(r"app/good .*/\+1 ")


def test_why_no_backend_could_be_reached_is_logged(t):
    ca = Authority(t.dir)
    other = Authority(t.dir, "Another CA")
    bad = t.backend(over_tls(other.server(other.leaf("app.example")), named), name="bad")
    s, front = t.simple([bad], pool='health = { type = "none"; }; tls = { ca = "%s"; sni = "app.example"; };' % ca.cert,
                        top='log = { format = "$end_code $detail"; };')
    with contextlib.closing(connect(front)) as c:
        ended(c)
    s.wait_access(r"SC tls: .*certificate")


def test_bytes_that_came_before_the_backend_failed_reach_the_next_one(t):
    """What a plain backend did not take is kept, though the client has sent it once only."""
    x = Setup(t, back=False, n=2, pool='balance = "first"; health = { type = "none"; };')
    x.backends[0].handler = resets_at_once
    for _ in range(20):
        with contextlib.closing(x.connect()) as c:
            c.sendall(b"kept\n")
            try:
                line = recv_line(c)
            except (Failure, OSError):
                continue  # the kernel had taken it for the one that reset
            check_eq(line, b"b2 kept\n")


# ---- the handshake -------------------------------------------------------------------------------

def test_a_client_that_does_not_speak_tls_is_refused(t):
    x = Setup(t, top='log = { format = "$end_code $end: $detail"; };')
    for text in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 50, b"\x16\x03\x01\x00\x05hello"):
        with contextlib.closing(connect(x.address)) as c:
            c.sendall(text)
            check(ended(c)[:1] in (b"", b"\x15"), "nothing but an alert comes back")
    x.s.wait_access(r"^PR the TLS handshake with the client failed: .+", count=3)
    x.s.wait_number("front", "FRONTEND", "ereq", 3)
    check_eq(x.backends[0].accepted, 0, "connections to the backend")
    check_eq(x.talk(), b"b1 hello\n")


def test_an_alert_says_why(t):
    """Of versions that we do not speak."""
    x = Setup(t)
    ctx = x.ca.client()
    ctx.minimum_version = ctx.maximum_version = ssl.TLSVersion.TLSv1_1
    ctx.set_ciphers("ALL:@SECLEVEL=0")
    try:
        with ctx.wrap_socket(connect(x.address), server_hostname="front.example"):
            raise Failure("a handshake with TLS 1.1")
    except ssl.SSLError as e:
        check_match("(?i)alert|version|protocol", str(e))
    x.s.wait_access(" PR ")


def test_a_client_that_says_nothing_has_the_handshake_s_time(t):
    x = Setup(t, listener='timeouts = { handshake = "1s"; };')
    with contextlib.closing(connect(x.address)) as c, contextlib.closing(connect(x.address)) as d:
        d.sendall(b"\x16\x03\x01")
        ended(c)
        ended(d)
    x.s.wait_access(" cR ", count=2)
    check_eq(x.backends[0].accepted, 0, "connections to the backend")


def test_a_client_that_leaves_during_the_handshake(t):
    x = Setup(t)
    connect(x.address).close()
    with contextlib.closing(connect(x.address)) as c:
        c.sendall(b"\x16\x03\x01")
    x.s.wait_access(r"front/? ?.* (CC|PR) ", count=2)
    check_eq(x.talk(), b"b1 hello\n")


def test_what_was_agreed_on_is_logged(t):
    x = Setup(t, top='log = { format = "$end_code $tls_version $tls_cipher $tls_sni"; };')
    check_eq(x.talk(), b"b1 hello\n")
    x.s.wait_access(r"^-- TLSv1\.3 TLS_\S+ front\.example$")


def test_both_versions_of_tls(t):
    for version in ("TLSv1_2", "TLSv1_3"):
        x = Setup(t, versions=(version, version))
        check_eq(x.talk(), x.backends[0].name.encode() + b" hello\n")
        x.s.finish()


def test_a_pool_is_chosen_by_the_name_behind_tls(t):
    ca = Authority(t.dir)
    both = ca.leaf("a.example", "*.b.example", "other.example")
    a, b = t.backend(named, name="a"), t.backend(named, name="b")
    front = t.address()
    s = t.sluice('''
pools = ( { name = "pa"; mode = "tcp"; backends = (%s); }, { name = "pb"; mode = "tcp"; backends = (%s); } );
listeners = ( { name = "front"; mode = "tcp"; bind = "%s";
    tls = { certificates = ( { cert = "%s"; key = "%s"; } ); };
    sni = ( { host = "a.example"; pool = "pa"; }, { host = "*.b.example"; pool = "pb"; } ); } );
''' % (t.backend_list([a]), t.backend_list([b]), where(front), both.cert, both.key))
    for name, expected in (("a.example", b"a\n"), ("A.Example", b"a\n"), ("x.b.example", b"b\n")):
        with ca.client().wrap_socket(connect(front), server_hostname=name) as c:
            check_eq(recv_line(c), expected)
    with ca.client().wrap_socket(connect(front), server_hostname="other.example") as c:
        ended(c)
    s.wait_access(r"front front/<NOSRV> .* PR ")


# ---- as any tcp session --------------------------------------------------------------------------

def test_a_proxy_header_comes_before_the_handshake(t):
    for mode, header in (("v1", b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 2222\r\n"), ("v2", v2(block=tcp4()))):
        x = Setup(t, listener='proxy_protocol = "%s";' % mode)
        name = x.backends[0].name.encode()
        check_eq(x.talk(header=header), name + b" hello\n")
        x.s.wait_access(r"10\.1\.2\.3:1111")
        # ... also together with it, and in pieces
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = x.context.wrap_bio(incoming, outgoing, server_hostname="front.example")
        with contextlib.closing(connect(x.address)) as c:
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
            first = header + outgoing.read()
            c.sendall(first[:len(header) + 3])
            time.sleep(0.05)
            c.sendall(first[len(header) + 3:])
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    c.sendall(outgoing.read())
                    incoming.write(c.recv(65536))
            tls.write(b"again\n")
            c.sendall(outgoing.read())
            got = b""
            while not got.endswith(b"\n"):
                try:
                    got += tls.read()
                except ssl.SSLWantReadError:
                    incoming.write(c.recv(65536))
            check_eq(got, name + b" again\n")
        x.s.finish()


def test_a_proxy_header_goes_to_the_backend_before_its_handshake(t):
    ca = Authority(t.dir)
    ctx = ca.server(ca.leaf("app.example"))
    heads = []

    def reads_header(conn, backend):
        head = recv_exact(conn, 16)
        rest = recv_exact(conn, struct.unpack(">H", head[14:16])[0])
        heads.append(head + rest)
        over_tls(ctx, answers)(conn, backend)

    x = Setup(t, raw=reads_header, listener='proxy_protocol = "v2";', pool='health = { type = "none"; }; send_proxy = "v2";')
    x.s.finish()
    s, front = t.simple(x.backends, listener='proxy_protocol = "v2";',
                        pool='health = { type = "none"; }; send_proxy = "v2"; tls = { ca = "%s"; sni = "app.example"; };' % ca.cert)
    with contextlib.closing(connect(front)) as c:
        c.sendall(v2(block=tcp4()) + b"hello\n")
        check_eq(recv_line(c), b"b1 hello\n")
    check_eq(heads[0][:12], SIG)
    check_eq(heads[0][16:28], tcp4())
    # ... and toward a plain backend of a listener with TLS
    plain = []

    def plain_header(conn, backend):
        head = recv_exact(conn, 16)
        plain.append(recv_exact(conn, struct.unpack(">H", head[14:16])[0]))
        answers(conn, backend)

    y = Setup(t, raw=plain_header, back=False, listener='proxy_protocol = "v2";', pool='health = { type = "none"; }; send_proxy = "v2";')
    check_eq(y.talk(header=v2(block=tcp4())), y.backends[0].name.encode() + b" hello\n")
    check_eq(plain[0][:12], tcp4())


def test_sessions_wait_in_the_queue(t):
    ca = Authority(t.dir)
    site = ca.leaf("front.example")
    b = t.backend(named)
    s, front = t.simple([(b, "max_connections = 1;")], pool='health = { type = "none"; };',
                        listener='tls = { certificates = ( { cert = "%s"; key = "%s"; } ); };' % (site.cert, site.key))
    first = ca.client().wrap_socket(connect(front), server_hostname="front.example")
    check_eq(recv_line(first), b"b1\n")
    with contextlib.closing(ca.client().wrap_socket(connect(front), server_hostname="front.example")) as second:
        wait_until(lambda: "queued" in s.ctl("show sess"), "the second waits")
        check_eq(b.accepted, 1)
        first.close()
        check_eq(recv_line(second), b"b1\n")


def test_sessions_are_cut_when_their_backend_goes_down(t):
    healthy = [True]
    check_server = t.backend(http_status(lambda: 200 if healthy[0] else 503), name="check")
    x = Setup(t, handler=named, pool='on_down = "close"; health = { type = "http"; interval = "100ms"; rise = 1; fall = 1; tls = false;'
                                     ' address = "%s:%d"; };' % check_server.address)
    x.s.wait_status("app", "b2", "^UP")
    with contextlib.closing(x.connect()) as c:
        check_eq(recv_line(c), b"b2\n")
        healthy[0] = False
        ended(c)
    x.s.wait_access(" DD ")


def test_sessions_end_at_the_drain_s_deadline_and_not_before(t):
    x = Setup(t, handler=named, top='drain = { deadline = "2s"; };')
    name = x.backends[0].name.encode() + b"\n"
    with contextlib.closing(x.connect()) as c, contextlib.closing(x.connect()) as d:
        check_eq(recv_line(c), name)
        check_eq(recv_line(d), name)
        x.s.process.send_signal(signal.SIGTERM)
        c.sendall(b"still here\n")
        check_eq(recv_line(c), b"still here\n")
        c.close()
        ended(d)
    x.s.wait_end()
    x.s.wait_access(" KD ")


def test_the_operator_ends_a_session(t):
    x = Setup(t, handler=named)
    with contextlib.closing(x.connect()) as c:
        recv_line(c)
        x.s.ok("shutdown sessions server app/b1")
        ended(c)
    x.s.wait_access(" KD ")


def test_idle_sessions_end(t):
    x = Setup(t, handler=named, listener='timeouts = { tunnel = "400ms"; };')
    with contextlib.closing(x.connect()) as c:
        recv_line(c)
        ended(c)
    x.s.wait_access(" sD ")


def test_limits_on_connections(t):
    x = Setup(t, handler=named, listener='limits = { connections = 1; };')
    with contextlib.closing(x.connect()) as c:
        recv_line(c)
        try:
            x.connect().close()
            raise Failure("a second connection was let in")
        except (OSError, ssl.SSLError):
            pass
    x.s.wait_number("front", "FRONTEND", "dcon", 1)


def test_many_at_once(t):
    def work(x):
        def one(i):
            with contextlib.closing(x.connect()) as c:
                for k in range(5):
                    line = b"%d-%d\n" % (i, k)
                    c.sendall(line)
                    check_eq(recv_line(c)[-len(line):], line)
        in_threads(30, one)
    each_kind(t, work)
