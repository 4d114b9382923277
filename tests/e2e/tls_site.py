"""tls_site.py - for tests of mode http over TLS: a sluice with a certificate of an authority of the test's
own, clients by Python's ssl and by curl, and one whose bytes on the wire are in the test's hands."""

import hashlib
import ssl
import subprocess

from certs import Authority, openssl
from http_raw import *

NAME = "www.example.com"


class Site:
    """An authority, a certificate of NAME's, and a started sluice before the backends."""

    def __init__(self, t, backends, tls="", listener="", cert=None, clear_log=False, **kw):
        self.t, self.ca = t, Authority(t.dir)
        self.cert = cert(self.ca) if cert else self.ca.leaf(NAME)
        self.tls = 'tls = { certificates = ( { cert = "%s"; key = "%s"; } ); %s };' % (
            self.cert.cert, self.cert.key, tls(self.ca) if callable(tls) else tls)
        self.sluice, self.address = start(t, backends, listener=("" if clear_log else JSON_LOG) + self.tls + listener, **kw)

    def client(self, **kw):
        return TlsClient(self.address, self.ca, **kw)

    def curl(self, target="/", *words, scheme="https"):
        done = subprocess.run(
            ["curl", "-sS", "--http1.1", "--max-time", "60", "--cacert", self.ca.cert, "--resolve",
             "%s:%d:%s" % (NAME, self.address[1], self.address[0]), *words,
             "%s://%s:%d%s" % (scheme, NAME, self.address[1], target)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=90, check=False)
        check_eq((done.returncode, done.stderr), (0, b""), "curl")
        return done.stdout


class TlsClient(Client):
    def __init__(self, address, ca, name=NAME, preface=b"", versions=None, cert=None, alpn=None, ctx=None,
                 session=None, **kw):
        plain = connect(address, **kw)
        plain.sendall(preface)
        ctx = ctx or ca.client(cert=cert, alpn=alpn, versions=versions)
        try:
            self.s = ctx.wrap_socket(plain, server_hostname=name, session=session, suppress_ragged_eofs=False)
        except BaseException:
            plain.close()
            raise
        self.reader = Reader(self.s)

    def ends_with_close_notify(self):
        """Nothing more comes, and its end was said (recv() would raise for a cut)."""
        check_eq(self.s.recv(1), b"", "end of the stream")


class Wire:
    """A TLS client whose bytes on the wire are in the test's hands."""

    def __init__(self, address, ca, name=NAME, **kw):
        self.raw = connect(address)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ca.client(**kw).wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def close(self):
        self.raw.close()

    def flush(self):
        self.raw.sendall(self.outgoing.read())

    def more(self):
        """What came is given to TLS; False: the end of the descriptor's stream."""
        data = self.raw.recv(1 << 16)
        if not data:
            return False
        self.incoming.write(data)
        return True

    def handshake(self):
        while True:
            try:
                self.tls.do_handshake()
                self.flush()
                return self
            except ssl.SSLWantReadError:
                self.flush()
                check(self.more(), "the handshake goes on")

    def send(self, data):
        self.tls.write(data)
        self.flush()

    def notify(self):
        """close_notify; the descriptor stays open."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.flush()

    def read_all(self):
        """(plaintext up to its end, whether close_notify was its end)"""
        parts = []
        while True:
            try:
                parts.append(self.tls.read(1 << 16))
            except ssl.SSLWantReadError:
                if not self.more():
                    return b"".join(parts), False
                continue
            except ssl.SSLZeroReturnError:
                return b"".join(parts), True
            if not parts[-1]:
                return b"".join(parts), True


def digest(data):
    return hashlib.sha256(data).hexdigest()


def echoes_body(r, backend):
    return answer(body=r.body, headers=["X-Digest: " + digest(r.body)])
