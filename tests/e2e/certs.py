"""certs.py - an authority for tests, its certificates, revocation lists and OCSP responses, made with the
openssl command (3.0 and newer). ECDSA unless asked otherwise: that takes a few milliseconds.

    ca = Authority(t.dir)
    site = ca.leaf("app.example", "*.app.example")       # site.cert (with its chain), site.key, site.both
    rsa = ca.leaf("app.example", kind="rsa")
    old = ca.leaf("old.example", begins=-30, ends=-1)    # days from now; fractions will do
    alice = ca.leaf("alice", client=True)
    inner = ca.authority("Inner CA")                     # an intermediate one; its leaves carry its certificate
    ca.revoke(alice); ca.crl(path)
    ca.ocsp(site, path)                                  # a DER response to staple
    ctx = ca.client()                                    # an ssl.SSLContext that trusts it
    ctx = ca.client(cert=alice, alpn=["h2"], versions=("TLSv1_2", "TLSv1_2"))
    ctx = ca.server(site)                                # for a backend
"""

import collections
import os
import secrets
import ssl
import subprocess
import time

CONFIG = """
[ca]
default_ca = here
[here]
dir = {dir}
database = $dir/index.txt
serial = $dir/serial
crlnumber = $dir/crlnumber
new_certs_dir = $dir
certificate = $dir/ca.pem
private_key = $dir/ca.key
default_md = sha256
policy = any
unique_subject = no
copy_extensions = none
[any]
organizationName = optional
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = {usage}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
{san}
[inner]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""

KINDS = {"ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
         "p384": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"],
         "rsa": ["-newkey", "rsa:2048"],
         "rsa1024": ["-newkey", "rsa:1024"],
         "ed25519": ["-newkey", "ed25519"]}

# cert: PEM file, the leaf first, then its chain; key; both: the two in one file; leaf: without chain
Cert = collections.namedtuple("Cert", "cert key both leaf names serial")


def openssl(*words, stdin=None):
    done = subprocess.run(["openssl"] + [str(w) for w in words], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError("openssl %s: %s" % (" ".join(map(str, words)), done.stderr.decode(errors="replace")))
    return done.stdout


def write(path, data, mode=0o600):
    """In one step, as who renews certificates should do."""
    temporary = "%s.%s" % (path, secrets.token_hex(4))
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(fd, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())
    os.rename(temporary, path)
    return path


def read(path):
    with open(path, "rb") as f:
        return f.read()


def when(days):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * 86400))


def ticket_keys(path, keys=1):
    """A file of random keys for listeners.tls.ticket_keys."""
    return write(path, os.urandom(80 * keys))


class Authority:
    def __init__(self, folder, name="Test CA", parent=None):
        self.folder = os.path.join(folder, "ca-%s" % secrets.token_hex(4))
        self.parent = parent
        os.makedirs(self.folder)
        write(self.path("index.txt"), "")
        write(self.path("serial"), "%032x\n" % (secrets.randbits(120) | 1 << 119))
        write(self.path("crlnumber"), "01\n")
        self.cert, self.key = self.path("ca.pem"), self.path("ca.key")
        if parent is None:
            self.chain = b""
            openssl("req", "-x509", *KINDS["ec"], "-noenc", "-keyout", self.key, "-out", self.cert,
                    "-days", 3650, "-subj", "/CN=" + name, "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")
        else:
            parent.sign(name, "ec", "inner", "", "", self.key, self.cert, -1, 3650)
            self.chain = read(self.cert) + parent.chain
        self.n = 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def config(self, usage="serverAuth", san=""):
        return write(self.path("openssl.cnf"), CONFIG.format(dir=self.folder, usage=usage, san=san))

    def sign(self, name, kind, section, usage, san, key, cert, begins, ends):
        config = self.config(usage or "serverAuth", san)
        request = self.path("request.pem")
        openssl("req", "-new", "-config", config, *KINDS[kind], "-noenc", "-keyout", key, "-out", request,
                "-subj", "/CN=" + name)
        openssl("ca", "-batch", "-notext", "-config", config, "-extensions", section, "-in", request, "-out", cert,
                "-startdate", when(begins), "-enddate", when(ends))

    def authority(self, name):
        """An intermediate one."""
        return Authority(self.folder, name, parent=self)

    def leaf(self, *names, kind="ec", begins=-1, ends=90, client=False, extensions=""):
        """The first name is the subject; all of them are DNS names (addresses: IP), but for a client's.
        extensions: more lines, such as "tlsfeature = status_request"."""
        self.n += 1
        stem = self.path("%03d-%s" % (self.n, "".join(c if c.isalnum() else "_" for c in names[0])))
        dns = [] if client else ["IP:" + n if n.replace(".", "").isdigit() or ":" in n else "DNS:" + n for n in names]
        san = "subjectAltName = " + ", ".join(dns) if dns else ""
        leaf, key = stem + ".leaf.pem", stem + ".key"
        self.sign(names[0], kind, "leaf", "clientAuth" if client else "serverAuth, clientAuth", san + "\n" + extensions,
                  key, leaf, begins, ends)
        cert = write(stem + ".pem", read(leaf) + self.chain)
        both = write(stem + ".both.pem", read(cert) + read(key))
        serial = openssl("x509", "-noout", "-serial", "-in", leaf).decode().strip().split("=")[1]
        return Cert(cert, key, both, leaf, names, serial)

    def revoke(self, cert):
        openssl("ca", "-config", self.config(), "-revoke", cert.leaf)

    def crl(self, path=None, days=30):
        path = path or self.path("crl.pem")
        return write(path, openssl("ca", "-config", self.config(), "-gencrl", "-crldays", days))

    def ocsp(self, cert, path=None, days=7):
        """A response (DER) that says what revoke() has told."""
        path = path or cert.cert + ".ocsp"
        request, answer = self.path("ocsp.req"), self.path("ocsp.resp")
        openssl("ocsp", "-issuer", self.cert, "-cert", cert.leaf, "-no_nonce", "-reqout", request)
        openssl("ocsp", "-index", self.path("index.txt"), "-rsigner", self.cert, "-rkey", self.key, "-CA", self.cert,
                "-reqin", request, "-respout", answer, "-ndays", days)
        return write(path, read(answer))

    # ---- for Python's ssl ----

    def client(self, cert=None, alpn=None, versions=None, verify=True):
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.load_verify_locations(self.cert)
        if not verify:
            ctx.check_hostname = False
            ctx.verify_mode = ssl.CERT_NONE
        return _more(ctx, cert, alpn, versions)

    def server(self, cert, alpn=None, versions=None, clients=None):
        """clients: the authority whose certificates they must show."""
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if clients is not None:
            ctx.load_verify_locations(clients.cert)
            ctx.verify_mode = ssl.CERT_REQUIRED
        return _more(ctx, cert, alpn, versions)


def _more(ctx, cert, alpn, versions):
    if cert is not None:
        ctx.load_cert_chain(cert.cert, cert.key)
    if alpn:
        ctx.set_alpn_protocols(alpn)
    if versions:
        ctx.minimum_version = getattr(ssl.TLSVersion, versions[0])
        ctx.maximum_version = getattr(ssl.TLSVersion, versions[1])
    return ctx


def install(cert, folder, name="site"):
    """Copies a certificate and its key to FOLDER/NAME.pem and .key, each in one step."""
    key = write(os.path.join(folder, name + ".key"), read(cert.key))
    return write(os.path.join(folder, name + ".pem"), read(cert.cert)), key
