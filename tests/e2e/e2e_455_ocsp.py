"""OCSP responses that sluice fetches itself (ocsp = "fetch"): from a responder that answers with what OpenSSL says,
and from ones that are broken, gone or lie."""

import subprocess

from certs import Authority, install, openssl, read
from http_tools import *

NAME = "www.example.com"


class Responder:
    """Over http at an address; answers by `openssl ocsp`, as the authority's index knows, or with `reply`."""

    def __init__(self, t, ca):
        self.t, self.ca, self.reply, self.days = t, ca, None, 7
        self.asked, self.lock = 0, threading.Lock()
        self.signer = (ca.cert, ca.key)
        self.backend = t.backend(self.serve, name="responder")
        self.url = "http://%s:%d/ocsp" % self.backend.address

    def serve(self, conn, _):
        reader = Reader(conn)
        head = reader.until(b"\r\n\r\n")
        if head is None:
            return
        r = Request(head)
        check_eq((r.method, r.target, r.header("content-type")), ("POST", "/ocsp", "application/ocsp-request"))
        request = reader.exactly(int(r.header("content-length")))
        with self.lock:
            self.asked += 1
            if self.reply is not None:
                conn.sendall(self.reply)
                return
            answer = self.answer(request)
        conn.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: application/ocsp-response\r\n\r\n" + answer)

    def answer(self, request):
        paths = self.t.path("ocsp.request"), self.t.path("ocsp.answer")
        with open(paths[0], "wb") as f:
            f.write(request)
        openssl("ocsp", "-index", self.ca.path("index.txt"), "-rsigner", self.signer[0], "-rkey", self.signer[1],
                "-CA", self.ca.cert, "-reqin", paths[0], "-respout", paths[1], "-ndays", str(self.days))
        return read(paths[1])


class Site:
    def __init__(self, t, prepare=lambda site: None, listener=""):
        self.t, self.root = t, Authority(t.dir)
        self.ca = self.root.authority("Inner CA")
        self.responder = Responder(t, self.ca)
        self.cert = self.install(self.leaf())
        prepare(self)
        self.sluice, self.address = start(t, [t.backend(app(by_name))], listener="""tls = { certificates = ( { cert = "%s";
            key = "%s"; ocsp = "fetch"; } ); }; %s""" % (t.path("site.pem"), t.path("site.key"), listener))

    def leaf(self):
        return self.ca.leaf(NAME, extensions="authorityInfoAccess = OCSP;URI:" + self.responder.url)

    def install(self, cert):
        install(cert, self.t.dir)
        return cert

    def staple(self):
        """What a client is told; None: nothing."""
        done = subprocess.run(["openssl", "s_client", "-connect", where(self.address), "-servername", NAME, "-status",
                               "-CAfile", self.root.cert], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60, check=False)
        found = re.search(rb"Cert Status: (\w+)", done.stdout)
        check_in(b"Verify return code: 0 (ok)", done.stdout)
        return found.group(1) if found else None

    def show(self):
        return self.sluice.ctl("show ssl cert " + self.t.path("site.pem"))


def reply(body, status="200 OK"):
    return b"HTTP/1.0 %s\r\nContent-Length: %d\r\n\r\n" % (status.encode(), len(body)) + body


def test_a_response_is_fetched_and_given_out(t):
    site = Site(t)
    site.sluice.wait_log(r"listener front: OCSP response for \S*site.pem from http://[\d.:]+: good until \d{4}-")
    wait_until(lambda: site.staple() == b"good", "it is stapled")
    check_match(r"OCSP: fetch \(good until .+\)", site.show())
    check_eq(site.responder.asked, 1)


def test_a_new_certificate_is_asked_for_at_once(t):
    site = Site(t)
    wait_until(lambda: site.staple() == b"good", "it is stapled")
    site.responder.reply = reply(b"", "503 Not Now")
    site.install(site.leaf())
    site.sluice.wait_log(r"new certificate")
    site.sluice.wait_log(r"no OCSP response for .*: bad answer: HTTP 503; none is given out meanwhile")
    check_eq(site.staple(), None, "that of the certificate before is not given out")
    check_match(r"OCSP: fetch \(none yet\)", site.show())
    site.responder.reply = None
    wait_until(lambda: site.staple() == b"good", "it is asked again", seconds=20)


def test_the_same_certificate_keeps_it_when_its_file_is_written_anew(t):
    site = Site(t)
    wait_until(lambda: site.staple() == b"good", "it is stapled")
    site.install(site.cert)
    site.sluice.wait_log("were read again")
    check_eq(site.staple(), b"good")
    check_eq(site.responder.asked, 1)


def test_what_is_no_good_answer_is_not_given_out(t):
    answers = {}

    def prepare(site):
        other = Authority(t.dir, "Other CA")
        unknown = site.ca.leaf(NAME)
        site.responder.days = 7
        request = t.path("other.request")
        openssl("ocsp", "-issuer", site.ca.cert, "-cert", unknown.leaf, "-no_nonce", "-reqout", request)
        good = site.responder.answer(read(request))
        site.responder.signer = (other.cert, other.key)
        openssl("ocsp", "-issuer", site.ca.cert, "-cert", site.cert.leaf, "-no_nonce", "-reqout", request)
        forged = site.responder.answer(read(request))
        site.responder.signer = (site.ca.cert, site.ca.key)
        answers.update({
            "it is no OCSP response": reply(b"hello"),
            "the responder says trylater": reply(bytes.fromhex("30030a0103")),
            "it does not speak of this certificate": reply(good),
            "it is not signed by the certificate's issuer": reply(forged),
            "bad answer: it is too large": reply(bytes(100_000)),
            "bad answer: it is cut": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nab",
            "bad answer: HTTP 404": reply(b"", "404 No"),
            "bad answer: it has no plain body": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "bad answer: ": b"nonsense\r\n\r\n",
        })
        site.responder.reply = b""
    site = Site(t, prepare)
    site.sluice.wait_log("bad answer: it is cut|no answer|connection lost")
    for words, answer in answers.items():
        site.responder.reply = answer
        n = len(re.findall(re.escape(words), site.sluice.log))
        site.install(site.cert)  # the same: not asked for anew
        site.install(site.leaf()) if words != "it is not signed by the certificate's issuer" else site.install(site.cert)
        site.sluice.wait_log(re.escape(words), count=n + 1, seconds=30)
    check_eq(site.staple(), None)
    check(site.sluice.alive(), "it serves on")


def test_a_revoked_certificate_is_told_in_the_log(t):
    site = Site(t, lambda site: site.ca.revoke(site.cert))
    site.sluice.wait_log(r"WARN listener front: no OCSP response for .*: the certificate is REVOKED")
    check_eq(site.staple(), None)


def test_a_responder_that_is_gone_costs_nothing(t):
    site = Site(t, lambda site: site.responder.backend.stop())
    site.sluice.wait_log(r"no OCSP response for .*: cannot connect: Connection refused; none is given out meanwhile")
    with contextlib.closing(connect(site.address)):
        check_eq(site.staple(), None)


def test_one_that_is_silent_does_not_hold_up_the_end(t):
    def silent(site):
        site.responder.backend.handler = hangs
    site = Site(t, silent)
    wait_until(lambda: site.responder.backend.accepted, "it is asked")
    site.sluice.terminate()


def test_a_certificate_without_a_responder_is_a_warning(t):
    ca = Authority(t.dir)
    install(ca.leaf(NAME), t.dir)
    conf = t.path("x.conf")
    with open(conf, "w") as f:
        f.write('pools = ( { name = "app"; mode = "http"; backends = ( { name = "a"; address = "127.0.0.1:1"; } ); } );\n'
                'listeners = ( { name = "front"; mode = "http"; bind = "127.0.0.1:1443"; routes = ( { pool = "app"; } );\n'
                'tls = { certificates = ( { cert = "site.pem"; key = "site.key";\n ocsp = "fetch"; } ); }; } );\n')
    status, _, err = t.run("-t", "-c", conf)
    check_eq(status, 0, err)
    check_in(':4: warning: listeners[front].tls.certificates.ocsp: "fetch": the certificate\'s issuer does not stand behind it '
             "in its file", err)
