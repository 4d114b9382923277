"""caching_sha2_password, as MySQL 8 and 9 have it and MariaDB has not: a server by MySQL's documentation of the protocol,
that takes nothing but what is written there."""

import hashlib
import ssl

from certs import openssl
from e2e_410_tls_backends import Site
from e2e_412_checks_starttls import packet, take_packet
from http_tools import *

PASSWORD = "it's ünlikely, and longer than a seed"
LONG_PASSWORD, CONNECT_WITH_DB, PROTOCOL_41, SSL, SECURE, PLUGIN_AUTH = 1, 8, 0x200, 0x800, 0x8000, 0x80000
SHA2, NATIVE = b"caching_sha2_password", b"mysql_native_password"


class Refused(Exception):
    pass


def proof(plugin, seed, password=PASSWORD):
    if plugin == NATIVE:
        once = hashlib.sha1(password.encode()).digest()
        mixed = hashlib.sha1(seed + hashlib.sha1(once).digest()).digest()
    else:
        once = hashlib.sha256(password.encode()).digest()
        mixed = hashlib.sha256(hashlib.sha256(once).digest() + seed).digest()
    return bytes(a ^ b for a, b in zip(once, mixed))


class Server:
    """plugin: of its greeting; user_plugin: of the user. cached: it knows who proves the password."""

    def __init__(self, t, site, key, plugin=SHA2, user_plugin=SHA2, cached=False, password=PASSWORD, tls=False, name="b", pem=None):
        self.plugin, self.user_plugin, self.cached, self.password, self.tls = plugin, user_plugin, cached, password, tls
        self.site, self.key, self.pem, self.ways = site, key, pem, set()
        self.wrong = []
        self.backend = t.backend(self.serve, name=name)

    def serve(self, conn, b):
        try:
            self.session(conn)
        except Failure as e:
            self.wrong.append(str(e))
            self.conn.close()
        except (ssl.SSLError, OSError):
            pass

    def send(self, body):
        self.conn.sendall(packet(self.sequence, body))
        self.sequence = (self.sequence + 1) % 256

    def receive(self):
        sequence, body = take_packet(self.conn)
        check_eq(sequence, self.sequence, "sequence")
        self.sequence += 1
        return body

    def session(self, conn):
        conn.setsockopt(6, 1, 1)
        self.conn, self.sequence, self.seed = conn, 0, bytes(1 + b % 126 for b in os.urandom(20))
        flags = LONG_PASSWORD | CONNECT_WITH_DB | PROTOCOL_41 | SECURE | PLUGIN_AUTH | (SSL if self.tls else 0)
        self.send(b"\x0a8.4.5\0" + (7).to_bytes(4, "little") + self.seed[:8] + b"\0" + (flags & 0xffff).to_bytes(2, "little") + b"\xff\2\0" +
                  (flags >> 16).to_bytes(2, "little") + b"\x15" + bytes(10) + self.seed[8:] + b"\0" + self.plugin + b"\0")
        body = self.receive()
        if self.tls:
            check_eq(len(body), 32, "a request for TLS")
            self.conn = self.site.ca.server(self.site.cert).wrap_socket(conn, server_side=True)
            front, body = body, self.receive()
            check_eq(body[:32], front, "what was said in clear and inside")
        plugin, answer = self.response(body)
        try:
            self.authenticate(plugin, answer)
        except Refused:
            self.send(b"\xff\x15\4#28000Access denied for user 'check'")
            return
        self.send(b"\0\0\0\2\0\0\0")
        self.sequence = 0
        check_eq(self.receive(), b"\1", "COM_QUIT")

    def response(self, body):
        """HandshakeResponse41: nothing is left over."""
        flags = int.from_bytes(body[:4], "little")
        check_eq(flags & ~(LONG_PASSWORD | CONNECT_WITH_DB | SSL), PROTOCOL_41 | SECURE | PLUGIN_AUTH, "flags")
        check_eq(bool(flags & SSL), self.tls, "CLIENT_SSL")
        check_eq(body[9:32], bytes(23), "a filler")
        user, rest = body[32:].split(b"\0", 1)
        check_eq(user, b"check")
        answer, rest = rest[1:1 + rest[0]], rest[1 + rest[0]:]
        if flags & CONNECT_WITH_DB:
            check_eq(rest.split(b"\0", 1)[0], b"shop")
            rest = rest.split(b"\0", 1)[1]
        check_eq(rest[-1:], b"\0", "an end")
        return rest[:-1], answer

    def authenticate(self, plugin, answer):
        if plugin != self.user_plugin:
            self.ways.add("switch")
            self.seed = bytes(1 + b % 126 for b in os.urandom(20))
            self.send(b"\xfe" + self.user_plugin + b"\0" + self.seed + b"\0")
            answer = self.receive()
        if self.user_plugin == NATIVE or self.cached:
            if answer != proof(self.user_plugin, self.seed, self.password):
                raise Refused
            if self.user_plugin == SHA2:
                self.ways.add("fast")
                self.send(b"\1\3")
            return
        check_eq(len(answer), 32, "a proof")
        self.send(b"\1\4")
        if self.full() != self.password.encode() + b"\0":
            raise Refused

    def full(self):
        said = self.receive()
        if self.tls:
            self.ways.add("tls")
            return said
        check_eq(said, b"\2", "asks for the key, and sends nothing in clear")
        self.send(b"\1" + (self.pem or openssl("pkey", "-in", self.key, "-pubout")))
        secret = self.receive()
        self.ways.add("rsa")
        mixed = openssl("pkeyutl", "-decrypt", "-inkey", self.key, "-pkeyopt", "rsa_padding_mode:oaep", stdin=secret)
        return bytes(b ^ self.seed[i % 20] for i, b in enumerate(mixed))


def start(t, servers):
    """servers: {pool: Server}"""
    pools = ",\n".join("""{ name = "%s"; mode = "tcp";
      health = { type = "mysql"; user = "check"; password = "%s"; database = "shop"; interval = "1s"; timeout = "10s"; rise = 1; fall = 1; %s };
      backends = ( { name = "b"; address = "%s"; } ); }""" % (
        name, PASSWORD, server.site.tls('sni = "app.example";') if server.tls else "", where(server.backend.address))
        for name, server in servers.items())
    listeners = ",\n".join('{ name = "%s"; mode = "tcp"; bind = "%s"; pool = "%s"; }' % (name, where(t.address()), name) for name in servers)
    return t.sluice("pools = (%s);\nlisteners = (%s);\n" % (pools, listeners), ready=False)


def test_caching_sha2_password_in_all_its_ways(t):
    site, key = Site(t), t.path("rsa.key")
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
    good = {"fast": Server(t, site, key, cached=True), "rsa": Server(t, site, key), "tls": Server(t, site, key, tls=True),
            "fast_tls": Server(t, site, key, tls=True, cached=True), "native": Server(t, site, key, plugin=NATIVE, user_plugin=NATIVE),
            "to_native": Server(t, site, key, user_plugin=NATIVE), "to_sha2": Server(t, site, key, plugin=NATIVE),
            "to_sha2_fast": Server(t, site, key, plugin=NATIVE, cached=True)}
    bad = {"wrong_" + name: Server(t, site, key, password="another one", **more) for name, more in (
        ("fast", {"cached": True}), ("rsa", {}), ("tls", {"tls": True}))}
    s = start(t, {**good, **bad})
    for name in good:
        s.wait_status(name, "b", "UP")
    for name in bad:
        s.wait_status(name, "b", "DOWN")
        s.wait_log("backend %s/b is DOWN: mysql: Access denied for user 'check'" % name)
    check_eq({n: server.ways for n, server in good.items()}, {
        "fast": {"fast"}, "rsa": {"rsa"}, "tls": {"tls"}, "fast_tls": {"fast"}, "native": set(), "to_native": {"switch"},
        "to_sha2": {"switch", "rsa"}, "to_sha2_fast": {"switch", "fast"}})
    for name, server in {**good, **bad}.items():
        check_eq(server.wrong, [], name)


def test_what_is_no_key_gets_no_password(t):
    site, key, ec = Site(t), t.path("rsa.key"), t.path("ec.key")
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", ec)
    whole = openssl("pkey", "-in", key, "-pubout")
    servers = {"noise": Server(t, site, key, pem=b"no key"), "cut": Server(t, site, key, pem=whole[:200]),
               "ec": Server(t, site, key, pem=openssl("pkey", "-in", ec, "-pubout"))}
    s = start(t, servers)
    for name in servers:
        s.wait_status(name, "b", "DOWN")
        s.wait_log("backend %s/b is DOWN: mysql: its public key will not do" % name)


def test_a_server_that_wants_tls_is_understood(t):
    class Strict(Server):
        def authenticate(self, plugin, answer):
            self.send(b"\xff" + (3159).to_bytes(2, "little") + b"#HY000Connections using insecure transport are prohibited")
            raise ConnectionError("it hangs up")
    s = start(t, {"strict": Strict(t, Site(t), None)})
    s.wait_status("strict", "b", "DOWN")
    s.wait_log(r"backend strict/b is DOWN: mysql: Connections using insecure .*\(error 3159\) \(set health\.tls\)")
