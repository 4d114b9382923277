"""Routing by SNI without decrypting: the ClientHello names the pool, the backends have the certificates."""

import contextlib
import json
import os
import socket
import ssl
import struct
import subprocess
import time

from certs import Authority
from e2e_100_proxy_protocol import tcp4, v2
from e2e_405_tls_tcp import ended, exchange, over_tls
from harness import *


def hello(name, ctx=None):
    """The bytes of a ClientHello, as one record."""
    ctx = ctx or ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ctx.wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def in_records(record, each):
    """The same message in records of so many bytes."""
    body = record[5:]
    return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(body[i:i + each])) + body[i:i + each]
                    for i in range(0, len(body), each))


class Setup:
    """Pools pa, pb and, as the fallback, pd: each with a backend that has a certificate of its own."""

    def __init__(self, t, fallback=True, listener="", pool="", top="", handler=named, rules=None):
        self.t, self.ca = t, Authority(t.dir)
        self.certs = {"a": self.ca.leaf("a.example"), "b": self.ca.leaf("*.b.example", "b.example"),
                      "d": self.ca.leaf("other.example", "d.example")}
        self.backends = {k: t.backend(over_tls(self.ca.server(c), handler), name=k) for k, c in self.certs.items()}
        self.address = t.address()
        pools = ",".join('{ name = "p%s"; mode = "tcp"; health = { type = "none"; }; %s backends = (%s); }' %
                         (k, pool, t.backend_list([b])) for k, b in self.backends.items())
        rules = rules or '{ host = "a.example"; pool = "pa"; }, { host = [ "*.b.example", "b.example" ]; pool = "pb"; }'
        self.s = t.sluice('''%s
pools = ( %s );
listeners = ( { name = "front"; mode = "tcp"; bind = "%s"; %s %s sni = ( %s ); } );
''' % (top, pools, where(self.address), 'pool = "pd";' if fallback else "", listener, rules))
        self.context = self.ca.client()

    def connect(self, name, ctx=None, header=b""):
        raw = connect(self.address)
        raw.sendall(header)
        return (ctx or self.context).wrap_socket(raw, server_hostname=name)

    def who(self, name, **kw):
        with contextlib.closing(self.connect(name, **kw)) as c:
            return recv_line(c).strip().decode()


# ---- where it goes -------------------------------------------------------------------------------

def test_names_lead_to_their_pools(t):
    """The client checks the backend's certificate: nobody is in between."""
    x = Setup(t, top='log = { format = "$tls_sni $pool/$backend $end_code"; };')
    for name, backend in (("a.example", "a"), ("x.b.example", "b"), ("b.example", "b"), ("other.example", "d")):
        check_eq(x.who(name), backend, name)
        x.s.wait_access("^%s p%s/%s --$" % (name.replace(".", r"\."), backend, backend))


def test_the_name_is_in_json_lines(t):
    x = Setup(t, top='log = { format = "json"; };')
    check_eq(x.who("a.example"), "a")
    line = json.loads(x.s.wait_access('^{.*"tls_sni".*}$').group())
    check_eq((line["tls_sni"], line["pool"], line["backend"]), ("a.example", "pa", "a"))


def test_names_are_compared_without_regard_to_case_and_the_last_dot(t):
    x = Setup(t)
    ctx = x.ca.client()
    ctx.check_hostname = False
    for name in ("A.EXAMPLE", "a.Example"):
        check_eq(x.who(name, ctx=ctx), "a", name)


def test_without_a_name_the_fallback_takes_it(t):
    x = Setup(t, top='log = { format = "$tls_sni $pool/$backend $end_code"; };')
    ctx = x.ca.client(verify=False)
    check_eq(x.who(None, ctx=ctx), "d")
    x.s.wait_access("^- pd/d --$")


def alert(t, address, data):
    with contextlib.closing(connect(address)) as c:
        c.sendall(data)
        return recv_all(c)


def test_a_name_that_no_rule_has_is_refused_by_an_alert(t):
    x = Setup(t, fallback=False, top='log = { format = "$tls_sni $pool/$backend $end_code $end: $detail"; };')
    try:
        x.connect("unknown.example")
        raise Failure("a handshake with nobody")
    except ssl.SSLError as e:
        check_match("(?i)unrecognized.name", str(e))
    x.s.wait_access(r"^unknown\.example front/<NOSRV> PR no pool has the server name: no rule has this server name$")
    check_eq(alert(t, x.address, hello("unknown.example")), b"\x15\x03\x03\x00\x02\x02\x70")
    ctx = x.ca.client(verify=False)
    check_eq(alert(t, x.address, hello(None, ctx)), b"\x15\x03\x03\x00\x02\x02\x70")
    x.s.wait_access(r"^- front/<NOSRV> PR no pool has the server name: no server name was sent$")
    x.s.wait_number("front", "FRONTEND", "ereq", 3)
    check_eq(x.who("a.example"), "a")


def test_ten_thousand_names(t):
    rules = []
    for form, pool in (("host%d.example", "pa"), ("*.zone%d.example", "pb")):
        for at in range(0, 5000, 1000):
            hosts = ", ".join('"%s"' % (form % i) for i in range(at, at + 1000))
            rules.append('{ host = [ %s ]; pool = "%s"; }' % (hosts, pool))
    x = Setup(t, fallback=False, rules=",\n".join(rules))
    ctx = x.ca.client(verify=False)
    for name, backend in (("host0.example", "a"), ("host4999.example", "a"), ("x.zone4999.example", "b"), ("y.z.zone17.example", "b")):
        check_eq(x.who(name, ctx=ctx), backend, name)
    check_eq(alert(t, x.address, hello("zone17.example"))[:1], b"\x15")


# ---- how the hello comes -------------------------------------------------------------------------

def through(c, x, first, name="a.example"):
    """A whole handshake whose first flight is sent by `first(socket, bytes)`; the backend's greeting."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = x.context.wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    first(c, outgoing.read())
    got = b""
    while not got.endswith(b"\n"):
        try:
            tls.do_handshake()
            got += tls.read()
        except ssl.SSLWantReadError:
            c.sendall(outgoing.read())
            part = c.recv(65536)
            check(part, "the end during the handshake")
            incoming.write(part)
    return got


def test_a_hello_in_single_bytes(t):
    x = Setup(t)

    def dribble(c, data):
        for byte in data:
            c.sendall(bytes([byte]))
    with contextlib.closing(connect(x.address)) as c:
        check_eq(through(c, x, dribble), b"a\n")


def test_a_hello_in_many_records_and_segments(t):
    x = Setup(t)
    for each in (1, 40, 200):
        def pieces(c, data):
            data = in_records(data, each)
            for i in range(0, len(data), 150):
                c.sendall(data[i:i + 150])
                time.sleep(0.002)
        with contextlib.closing(connect(x.address)) as c:
            check_eq(through(c, x, pieces), b"a\n")


def with_extension(record, size, kind=21):
    """The hello with one extension more, of so many bytes (padding is 21), before the others."""
    body = record[5 + 4:]
    at = 2 + 32
    at += 1 + body[at]
    at += 2 + struct.unpack(">H", body[at:at + 2])[0]
    at += 1 + body[at]
    extensions = body[at + 2:]
    extensions = struct.pack(">HH", kind, size) + bytes(size) + extensions
    body = body[:at] + struct.pack(">H", len(extensions)) + extensions
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message


def test_a_hello_with_the_key_shares_of_post_quantum_key_exchange(t):
    """Larger than a segment: its name stands in the second or third one."""
    seen = []

    def takes_it(conn, backend):
        seen.append(recv_exact(conn, len(big)))

    x = Setup(t)
    x.backends["a"].handler = takes_it
    for size in (1184, 4000, 12000):
        big = with_extension(hello("a.example"), size, kind=0x6399)
        with contextlib.closing(connect(x.address)) as c:
            for i in range(0, len(big), 1400):
                c.sendall(big[i:i + 1400])
                time.sleep(0.002)
            wait_until(lambda: seen, "the backend has it")
            check_eq(seen.pop(), big, "the hello as the backend had it")


def test_a_hello_that_is_too_long_is_refused(t):
    x = Setup(t, top='log = { format = "$end_code $detail"; };')
    big = with_extension(hello("a.example"), 8000)
    check_eq(alert(t, x.address, b"\x16\x03\x01\x10\x00\x01\x00\x50\x00" + bytes(100))[:1], b"\x15")
    x.s.wait_access("^PR the ClientHello is too long$")
    with contextlib.closing(connect(x.address)) as c:
        with contextlib.suppress(OSError):
            c.sendall(in_records(big, 1))
        ended(c)
    x.s.wait_access("^PR the ClientHello is too long$", count=2)
    check_eq(x.backends["a"].accepted, 0)


def test_what_is_no_tls_is_closed(t):
    x = Setup(t, top='log = { format = "$end_code $end: $detail"; };')
    for text in (b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", b"\x80\x2e\x01\x03\x01", b"SSH-2.0-x\r\n"):
        check_eq(alert(t, x.address, text), b"")
    x.s.wait_access("^PR no usable ClientHello: this is not TLS$", count=3)
    for text in (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", b"\x16\x03\x01\x00\x00", hello("a.example")[:30] + bytes(300)):
        check_eq(alert(t, x.address, text)[:1], b"\x15")
    x.s.wait_access("^PR no usable ClientHello: .+", count=6)
    check_eq(sum(b.accepted for b in x.backends.values()), 0, "connections to backends")
    check_eq(x.who("a.example"), "a")


def test_a_hello_that_never_ends_has_the_handshake_s_time(t):
    x = Setup(t, listener='timeouts = { handshake = "2s"; };')
    first = hello("a.example")[:-1]
    with contextlib.closing(connect(x.address)) as c, contextlib.closing(connect(x.address)) as d:
        c.sendall(first)
        wait_until(lambda: "client-hello" in x.s.ctl("show sess"), "its state is shown")
        ended(c)
        ended(d)
    x.s.wait_access(" cR ", count=2)
    check_eq(x.backends["a"].accepted, 0)


def test_a_client_that_leaves_before_its_hello_is_complete(t):
    x = Setup(t)
    connect(x.address).close()
    with contextlib.closing(connect(x.address)) as c:
        c.sendall(hello("a.example")[:50])
    with contextlib.closing(connect(x.address)) as c:
        c.sendall(hello("a.example")[:50])
        reset(c)
    x.s.wait_access(" CC ", count=3)
    check_eq(sum(b.accepted for b in x.backends.values()), 0)


# ---- as any tcp session --------------------------------------------------------------------------

def test_a_proxy_header_before_the_hello(t):
    x = Setup(t, listener='proxy_protocol = "any";')
    for header in (b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 2222\r\n", v2(block=tcp4())):
        check_eq(x.who("a.example", header=header), "a")

        def together(c, data):
            c.sendall(header + data)
        with contextlib.closing(connect(x.address)) as c:
            check_eq(through(c, x, together, "x.b.example"), b"b\n")
    x.s.wait_access(r"^10\.1\.2\.3:1111 .* pa/a ", count=2)
    x.s.wait_access(r"^10\.1\.2\.3:1111 .* pb/b ", count=2)


def test_a_proxy_header_goes_to_the_backend_before_the_hello(t):
    heads = []

    def reads_header(conn, backend):
        heads.append(recv_line(conn))
        tls(conn, backend)

    x = Setup(t, pool='send_proxy = "v1";')
    tls = x.backends["a"].handler
    x.backends["a"].handler = reads_header
    check_eq(x.who("a.example"), "a")
    check_match(r"^PROXY TCP4 127\.", heads[0].decode())


def test_another_backend_is_tried(t):
    ca = Authority(t.dir)
    good = t.backend(over_tls(ca.server(ca.leaf("a.example")), named), name="good")
    address = t.address()
    s = t.sluice('''
pools = ( { name = "p"; mode = "tcp"; balance = "first"; health = { type = "none"; }; backends = (%s); } );
listeners = ( { name = "front"; mode = "tcp"; bind = "%s"; sni = ( { host = "a.example"; pool = "p"; } ); } );
''' % (t.backend_list([t.closed_address(), good]), where(address)))
    with ca.client().wrap_socket(connect(address), server_hostname="a.example") as c:
        check_eq(recv_line(c), b"good\n")
    s.wait_access(r"p/good .*/\+1 ")


def test_much_goes_both_ways_unchanged(t):
    x = Setup(t, handler=lambda conn, backend: echo(conn, backend))
    data = pattern((4 if t.sanitized else 30) << 20)
    with contextlib.closing(x.connect("a.example")) as c:
        check_eq(exchange(c, data), hashlib.sha256(data).hexdigest(), "hash")


def test_backends_of_other_making(t):
    """nginx with certificates of its own; openssl's client."""
    ca = Authority(t.dir)
    ports = {}
    servers = ""
    for name in ("a.example", "b.example"):
        leaf, ports[name] = ca.leaf(name), t.address()
        servers += 'server { listen %s ssl; ssl_certificate %s; ssl_certificate_key %s; location / { return 200 "%s\\n"; } }\n' % (
            where(ports[name]), leaf.cert, leaf.key, name)
    conf = t.path("nginx.conf")
    with open(conf, "w") as f:
        f.write('daemon off; master_process off; pid %s; error_log stderr; events {}\n'
                'http { access_log off; client_body_temp_path %s; proxy_temp_path %s; fastcgi_temp_path %s;'
                ' uwsgi_temp_path %s; scgi_temp_path %s;\n%s}\n' %
                (t.path("nginx.pid"), *(t.path("nginx-tmp%d" % i) for i in range(5)), servers))
    t.program(["nginx", "-c", conf, "-p", t.dir, "-e", "stderr"], stderr=subprocess.DEVNULL)
    address = t.address()
    s = t.sluice('''
pools = ( { name = "pa"; mode = "tcp"; backends = (%s); }, { name = "pb"; mode = "tcp"; backends = (%s); } );
listeners = ( { name = "front"; mode = "tcp"; bind = "%s";
    sni = ( { host = "a.example"; pool = "pa"; }, { host = "b.example"; pool = "pb"; } ); } );
''' % (t.backend_list([ports["a.example"]]), t.backend_list([ports["b.example"]]), where(address)))
    s.wait_status("pa", "b1", "^UP")
    s.wait_status("pb", "b1", "^UP")
    for name in ports:
        done = subprocess.run(["openssl", "s_client", "-connect", where(address), "-servername", name, "-CAfile", ca.cert,
                               "-verify_return_error", "-quiet", "-no_ign_eof", "-ign_eof"],
                              input=b"GET / HTTP/1.0\r\nHost: %s\r\n\r\n" % name.encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=SECONDS, check=False)
        check(done.stdout.endswith(b"\n%s\n" % name.encode()), "nginx's answer through openssl s_client", done)


def test_the_example_is_good(t):
    """etc/examples/sni.conf"""
    path = os.path.join(ROOT, "etc", "examples", "sni.conf")
    check_eq(t.run("-t", "-c", path), (0, "", path + ": the configuration is good\n"))
