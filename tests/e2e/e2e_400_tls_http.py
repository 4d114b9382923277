"""Mode http over TLS: what the client sends and gets is what it would be in clear, and everybody is told
that it was not in clear."""

import hashlib
import ssl
import subprocess

from certs import Authority, openssl
from http_raw import *

NAME = "www.example.com"


class Site:
    """An authority, a certificate of NAME's, and a started sluice before the backends."""

    def __init__(self, t, backends, tls="", listener="", cert=None, **kw):
        self.t, self.ca = t, Authority(t.dir)
        self.cert = cert(self.ca) if cert else self.ca.leaf(NAME)
        self.tls = 'tls = { certificates = ( { cert = "%s"; key = "%s"; } ); %s };' % (
            self.cert.cert, self.cert.key, tls(self.ca) if callable(tls) else tls)
        self.sluice, self.address = start(t, backends, listener=JSON_LOG + self.tls + listener, **kw)

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


def digest(data):
    return hashlib.sha256(data).hexdigest()


def echoes_body(r, backend):
    return answer(body=r.body, headers=["X-Digest: " + digest(r.body)])


# ---- requests and responses ----------------------------------------------------------------------

def test_curl_gets_what_the_backend_says(t):
    b = t.backend(app(by_name))
    site = Site(t, [b])
    check_eq(site.curl("/x?y=1"), b"b1")
    r = b.seen[0]
    check_eq(r.target, "/x?y=1")
    check_eq(r.all("x-forwarded-proto"), ["https"])
    check_eq(r.all("x-forwarded-port"), [str(site.address[1])])
    row = rows(site.sluice, 1)[0]
    check_eq((row["scheme"], row["status"], row["tls_version"]), ("https", 200, "TLSv1.3"))


def test_both_versions_of_tls(t):
    site = Site(t, [t.backend(app(by_name))])
    for python, name in (("TLSv1_2", "TLSv1.2"), ("TLSv1_3", "TLSv1.3")):
        with site.client(versions=(python, python)) as c:
            check_eq((c.request().body, c.s.version()), (b"b1", name))


def test_many_requests_on_one_connection(t):
    b = t.backend(app(echoes_body))
    site = Site(t, [b])
    with site.client() as c:
        for n in range(50):
            body = pattern(n * 37)
            check_eq(c.request("/%d" % n, "POST", body=body).body, body)
    check_eq(site.sluice.number("front", "FRONTEND", "stot"), 1, "sessions")
    check_eq([r.path for r in b.seen], ["/%d" % n for n in range(50)])


def test_pipelined_requests(t):
    site = Site(t, [t.backend(app(lambda r, _: answer(body=r.path.encode())))])
    with site.client() as c:
        c.s.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(200)))
        for n in range(200):
            check_eq(c.response().body, b"/%d" % n)


def test_big_bodies_both_ways(t):
    site = Site(t, [t.backend(app(echoes_body))])
    body = pattern(20000000)
    with site.client() as c:
        threading.Thread(target=lambda: c.send("/", "POST", body=body), daemon=True).start()
        r = c.response()
        check_eq((len(r.body), digest(r.body), r.header("x-digest")), (len(body), digest(body), digest(body)))


if __name__ == "__main__":
    pass
