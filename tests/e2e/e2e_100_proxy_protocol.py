"""The PROXY protocol: accepted where configured, refused when malformed, sent to backends."""

import contextlib
import socket
import struct
import time

from harness import *

SIG = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(command=1, family=0x11, block=b"", tlvs=b"", version=2, length=None):
    body = block + tlvs
    return SIG + struct.pack(">BBH", version << 4 | command, family,
                             len(body) if length is None else length) + body


def tcp4(src="10.1.2.3", dst="10.4.5.6", sport=1111, dport=2222):
    return socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack(">HH", sport, dport)


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def accepted(t, mode, header, rest=b"data\n", access=None):
    """The header is cut off, the rest arrives; the access log has the header's source."""
    s, front = t.simple([t.backend(answers)], listener='proxy_protocol = "%s";' % mode)
    with contextlib.closing(connect(front)) as c:
        c.sendall(header + rest)
        check_eq(recv_line(c), b"b1 " + rest)
    if access:
        s.wait_access(access)
    return s, front


def refused(t, mode, *headers):
    b = t.backend(answers)
    s, front = t.simple([b], listener='proxy_protocol = "%s";' % mode)
    for header in headers:
        with contextlib.closing(connect(front)) as c:
            c.sendall(header)
            try:
                expect_closed(c, "after %r" % header[:40])
            except (TimeoutError, socket.timeout):
                raise Failure("still open after %r" % header[:40])
    s.wait_number("front", "FRONTEND", "ereq", len(headers))
    check_eq(s.number("app", "b1", "stot"), 0, "sessions that reached the backend")
    s.wait_access(" PR ")
    s.wait_log("WARN listener front: a connection from 127.* is refused: PROXY header: ")


def test_v1_tcp4(t):
    accepted(t, "v1", b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 2222\r\n", access=r"10\.1\.2\.3:1111")


def test_v1_tcp6(t):
    accepted(t, "v1", b"PROXY TCP6 2001:db8::1 2001:db8::2 1111 2222\r\n",
             access=r"2001:db8::1\]?:1111")


def test_v1_unknown_uses_the_real_peer(t):
    accepted(t, "v1", b"PROXY UNKNOWN ffff::1 whatever\r\n", access=r"127\.")


def test_v2_tcp4(t):
    accepted(t, "v2", v2(block=tcp4()), access=r"10\.1\.2\.3:1111")


def test_v2_local_uses_the_real_peer(t):
    accepted(t, "v2", v2(command=0, family=0, tlvs=b"skip me"), access=r"127\.")


def test_v2_with_tlvs_and_checksum(t):
    head = v2(block=tcp4(), tlvs=tlv(3, b"\0\0\0\0") + tlv(4, b"noop") + tlv(2, b"name.example"))
    head = head.replace(tlv(3, b"\0\0\0\0"), tlv(3, struct.pack(">I", crc32c(head))))
    accepted(t, "v2", head, access=r"10\.1\.2\.3:1111")


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def test_any_takes_both(t):
    s, front = accepted(t, "any", v2(block=tcp4()))
    with contextlib.closing(connect(front)) as c:
        c.sendall(b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 2222\r\nx\n")
        check_eq(recv_line(c), b"b1 x\n")


def test_a_header_in_single_bytes(t):
    for mode, header in (("v1", b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 2222\r\n"),
                         ("v2", v2(block=tcp4(), tlvs=tlv(4, b"x" * 30)))):
        s, front = t.simple([t.backend(answers, name="b")], listener='proxy_protocol = "%s";' % mode)
        with contextlib.closing(connect(front)) as c:
            for byte in header + b"ok\n":
                c.sendall(bytes([byte]))
                time.sleep(0.001)
            check_eq(recv_line(c), b"b ok\n")
        s.finish()


def test_malformed_v1_is_refused(t):
    refused(t, "v1",
            b"GET / HTTP/1.0\r\n\r\n",
            b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 22222222\r\n",
            b"PROXY TCP4 10.1.2.3 10.4.5.6 01111 2222\r\n",
            b"PROXY TCP4 10.1.2.300 10.4.5.6 1111 2222\r\n",
            b"PROXY TCP4 10.01.2.3 10.4.5.6 1111 2222\r\n",
            b"PROXY TCP6 10.1.2.3 10.4.5.6 1111 2222\r\n",
            b"PROXY TCP4 ::1 ::1 1111 2222\r\n",
            b"PROXY TCP4 10.1.2.3 10.4.5.6 1111\r\n",
            b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 2222 \r\n",
            b"PROXY  TCP4 10.1.2.3 10.4.5.6 1111 2222\r\n",
            b"PROXY TCP5 10.1.2.3 10.4.5.6 1111 2222\r\n",
            b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 2222\n",
            b"PROXY TCP4 " + b"1" * 200,
            b"proxy TCP4 10.1.2.3 10.4.5.6 1111 2222\r\n",
            v2(block=tcp4()))


def test_malformed_v2_is_refused(t):
    refused(t, "v2",
            b"GET / HTTP/1.0\r\n\r\n",
            b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 2222\r\n",
            v2(version=1, block=tcp4()),
            v2(command=2, block=tcp4()),
            v2(block=tcp4()[:8]),
            v2(family=0x21, block=tcp4()),
            v2(family=0x41, block=tcp4()),
            v2(block=tcp4(), tlvs=b"\x04\xff\xff"),
            v2(block=tcp4(), tlvs=tlv(3, b"\1\2\3\4")),
            SIG[:-1] + b"X" + b"\x21\x11\x00\x0c" + tcp4())


def test_a_client_that_sends_no_header_is_ended(t):
    s, front = t.simple([t.backend(named)], listener='proxy_protocol = "v1";',
                        top='timeouts = { handshake = "300ms"; };')
    with contextlib.closing(connect(front)) as c:
        expect_closed(c)
    s.wait_access(" cR ")
    with contextlib.closing(connect(front)) as c:
        c.sendall(b"PROXY TCP4 10.1.")
        expect_closed(c)
    s.wait_access(" cR ", count=2)


def test_a_client_that_leaves_within_its_header(t):
    s, front = t.simple([t.backend(named)], listener='proxy_protocol = "any";')
    for end in (reset, lambda c: c.close()):
        for part in (b"", b"PROXY TC", SIG[:7], v2(block=tcp4())[:20]):
            c = connect(front)
            if part:
                c.sendall(part)
            end(c)
    s.wait_number("front", "FRONTEND", "scur", 0)


def test_header_and_end_of_stream_in_one(t):
    s, front = t.simple([t.backend(answers)], listener='proxy_protocol = "v1";')
    with contextlib.closing(connect(front)) as c:
        c.sendall(b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 2222\r\nlast\n")
        c.shutdown(socket.SHUT_WR)
        check_eq(recv_all(c), b"b1 last\n")


def test_proxy_from_limits_who_may_send_it(t):
    b = t.backend(answers)
    s, front = t.simple([b], listener='proxy_protocol = "v1"; proxy_from = [ "127.8.0.0/16" ];')
    header = b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 2222\r\n"
    check_eq(talk(front, header + b"x\n", source="127.8.0.1"), b"b1 x\n")
    s.wait_access(r"10\.1\.2\.3:1111")
    # from elsewhere it is not trusted: refused, or taken as plain data, but never believed
    with contextlib.suppress(Failure, ConnectionResetError):
        talk(front, header + b"y\n", source="127.7.0.1")
    s.wait_number("front", "FRONTEND", "scur", 0)
    check_eq(s.access.count("10.1.2.3:1111"), 1, "lines with the claimed address")


class Header:
    """A backend that reads a PROXY header, keeps it and then answers lines. Health checks that speak
    the protocol come too: kept are headers that are followed by data."""

    def __init__(self, version):
        self.version, self.headers = version, []

    def __call__(self, conn, b):
        try:
            if self.version == 1:
                head = recv_line(conn)
            else:
                head = recv_exact(conn, 16)
                head += recv_exact(conn, struct.unpack(">H", head[14:16])[0])
            line = recv_line(conn)
        except Failure:  # a check
            return
        self.headers.append(head)
        conn.sendall(b"ok " + line)


def sent_header(t, version, family="4"):
    h = Header(version)
    listen = t.address() if family == "4" else ("::1", t.port())
    s, front = t.simple([t.backend(h)], listen=listen, pool='send_proxy = "v%d";' % version)
    with contextlib.closing(connect(front)) as c:
        mine = c.getsockname()
        c.sendall(b"hello\n")
        check_eq(recv_line(c), b"ok hello\n")
    return h.headers[0], mine, front


def test_v1_is_sent(t):
    head, mine, front = sent_header(t, 1)
    check_eq(head.decode(), "PROXY TCP4 %s %s %d %d\r\n" % (mine[0], front[0], mine[1], front[1]))


def test_v1_is_sent_for_ipv6(t):
    head, mine, front = sent_header(t, 1, "6")
    check_eq(head.decode(), "PROXY TCP6 ::1 ::1 %d %d\r\n" % (mine[1], front[1]))


def test_v2_is_sent(t):
    head, mine, front = sent_header(t, 2)
    check_eq(head[:14], SIG + b"\x21\x11")
    check_eq(head[16:28], tcp4(mine[0], front[0], mine[1], front[1]))


def test_an_accepted_header_is_passed_on(t):
    h = Header(1)
    s, front = t.simple([t.backend(h)], pool='send_proxy = "v1";', listener='proxy_protocol = "v2";')
    with contextlib.closing(connect(front)) as c:
        c.sendall(v2(block=tcp4()) + b"hello\n")
        check_eq(recv_line(c), b"ok hello\n")
    check_eq(h.headers[0], b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 2222\r\n")


def test_a_server_that_speaks_first_after_the_header(t):
    def serve(conn, b):
        if not conn.recv(1):  # a check
            return
        recv_line(conn)
        conn.sendall(b"welcome\n")
        recv_all(conn)
    s, front = t.simple([t.backend(serve)], pool='send_proxy = "v1";')
    with contextlib.closing(connect(front)) as c:
        check_eq(recv_line(c), b"welcome\n")
