"""The files of TLS: mistakes in them are told before anything is bound; when they change they are read
again, without a connection noticing; ticket keys that instances share."""

import os
import shutil
import signal
import ssl

from certs import Authority, install, openssl, read, ticket_keys, write
from http_tools import *

NAME = "www.example.com"


class Site:
    """A started sluice whose certificate is at the same place whatever it is."""

    def __init__(self, t, tls="", certs="", backends=None, ca=None, cert=None, **kw):
        self.t, self.ca = t, ca or Authority(t.dir)
        self.cert = self.install(cert or self.ca.leaf(NAME))
        self.backend = t.backend(app(by_name))
        self.sluice, self.address = start(
            t, backends or [self.backend], listener=tls_group(
                t.path("site.pem"), t.path("site.key"), tls, certs), **kw)

    def install(self, cert):
        install(cert, self.t.dir)
        return cert

    def client(self, name=NAME, **kw):
        return TlsClient(self.address, self.ca, name, **kw)

    def serial(self):
        """Of the certificate that a new client is shown."""
        with self.client() as c:
            return c.s.getpeercert()["serialNumber"]

    def serves(self, cert):
        wait_until(lambda: self.serial() == cert.serial, "the new certificate is shown")


def tls_group(cert, key, more="", certs=""):
    return 'tls = { certificates = ( { cert = "%s"; key = "%s"; } %s ); alpn = "http/1.1"; %s };' % (
        cert, key, certs, more)


class TlsClient(Client):
    def __init__(self, address, ca, name=NAME, session=None, ctx=None, **kw):
        ctx = ctx or ca.client(**kw)
        plain = connect(address)
        try:
            self.s = ctx.wrap_socket(plain, server_hostname=name, session=session)
        except BaseException:
            plain.close()
            raise
        self.reader = Reader(self.s)


def lines(sluice, part):
    return [line for line in sluice.log.splitlines() if part in line]


# ---- read again ----------------------------------------------------------------------------------

def test_a_new_certificate_is_taken_without_a_restart(t):
    site = Site(t)
    with site.client() as old:
        check_eq(old.request().body, b"b1")
        new = site.install(site.ca.leaf(NAME, "more.example.com"))
        site.serves(new)
        check_eq(old.request().body, b"b1", "the connection from before goes on")
        check_eq(old.s.getpeercert()["serialNumber"], site.cert.serial)
    site.sluice.wait_log("new certificate")  # written by a thread of its own, after the fact
    line = lines(site.sluice, "new certificate")[0]
    check_in(t.path("site.pem"), line)
    check_in("www.example.com, more.example.com (EC P-256), expires in 89 days", line)
    check_in("Serial: " + new.serial.lstrip("0"), site.sluice.ctl("show ssl cert " + t.path("site.pem")))


def test_reloads_under_load_lose_nothing(t):
    """New connections and old ones, all the time; certificates change under them."""
    site = Site(t, top="workers = 2;")
    done = threading.Event()
    counts = [0] * 6

    def load(i):
        ctx = site.ca.client(versions=("TLSv1_2", "TLSv1_2") if i % 3 == 1 else None)
        kept = TlsClient(site.address, site.ca, ctx=ctx) if i % 2 else None
        while not done.is_set():
            if kept:
                check_eq(kept.request("/%d" % i).body, b"b1")
            else:
                with TlsClient(site.address, site.ca, ctx=ctx) as c:
                    check_eq(c.request("/%d" % i).body, b"b1")
            counts[i] += 1
        if kept:
            kept.close()

    def change():
        try:
            for n in range(4):
                before = list(counts)
                new = site.install(site.ca.leaf(NAME, kind="rsa" if n % 2 else "ec"))
                site.serves(new)
                wait_until(lambda: all(b < c for b, c in zip(before, counts)), "everybody goes on")
        finally:
            done.set()
    in_threads(7, lambda i: change() if i == 6 else load(i))
    check(min(counts) > 4, "requests of each client", counts)
    site.sluice.wait_log("new certificate", count=4)
    check_eq(len(lines(site.sluice, "new certificate")), 4)
    check_eq(lines(site.sluice, "file is refused"), [])
    check_eq(site.sluice.number("front", "FRONTEND", "ereq"), 0)


def test_certificate_and_key_may_come_one_after_the_other(t):
    """The new certificate is not tried with the old key."""
    site = Site(t)
    for _ in range(3):
        new = site.ca.leaf(NAME)
        write(t.path("site.pem"), read(new.cert))
        write(t.path("site.key"), read(new.key))
        site.serves(new)
    check_eq(lines(site.sluice, "file is refused"), [])


def test_a_bad_pair_is_refused_once_and_the_old_one_serves_on(t):
    site = Site(t)
    new = site.ca.leaf(NAME)
    write(t.path("site.pem"), read(new.cert))  # with the key of the old one
    site.sluice.wait_log(r"ERROR listener front: a new file is refused, what was read before serves on: "
                         r".*site\.key.*is not the key of the certificate")
    check_eq(site.serial(), site.cert.serial)
    check_in("refused", site.sluice.ctl("show ssl cert " + t.path("site.pem")))
    holds_for(2.5, lambda: len(lines(site.sluice, "file is refused")) == 1, "it is told once")
    write(t.path("site.key"), read(new.key))
    site.serves(new)
    check_in("Newer files: none", site.sluice.ctl("show ssl cert " + t.path("site.pem")))
    os.unlink(t.path("site.key"))
    wait_until(lambda: len(lines(site.sluice, "file is refused")) == 2, "a missing file is told")
    check_in("No such file", lines(site.sluice, "file is refused")[1])
    check_eq(site.serial(), new.serial)


def test_one_bad_pair_does_not_hold_up_the_others(t):
    ca = Authority(t.dir)
    other = ca.leaf("other.example")
    install(other, t.dir, "other")
    site = Site(t, ca=ca, certs=', { cert = "%s"; key = "%s"; }' % (t.path("other.pem"), t.path("other.key")))

    def serial():
        with site.client(name="other.example") as c:
            return c.s.getpeercert()["serialNumber"]
    write(t.path("other.key"), b"no key\n")
    site.sluice.wait_log(r"is refused.*other\.key.*has no private key")
    site.serves(site.install(ca.leaf(NAME)))
    check_eq(serial(), other.serial, "the other one is as it was")
    check_in("Newer files: refused", site.sluice.ctl("show ssl cert " + t.path("other.pem")))
    check_in("Newer files: none", site.sluice.ctl("show ssl cert " + t.path("site.pem")))
    new = ca.leaf("other.example")
    install(new, t.dir, "other")
    wait_until(lambda: serial() == new.serial, "the other one is new")


def test_links_of_a_volume(t):
    """As Kubernetes replaces mounted secrets: a link to a folder is moved."""
    ca = Authority(t.dir)
    first, second = ca.leaf(NAME), ca.leaf(NAME)
    for name, cert in (("one", first), ("two", second)):
        os.mkdir(t.path(name))
        install(cert, t.path(name))
    os.symlink("one", t.path("data"))
    b = t.backend(app(by_name))
    s, address = start(t, [b], listener=tls_group(t.path("data/site.pem"), t.path("data/site.key")))

    def serial():
        with TlsClient(address, ca) as c:
            return c.s.getpeercert()["serialNumber"]
    check_eq(serial(), first.serial)
    os.symlink("two", t.path("next"))
    os.rename(t.path("next"), t.path("data"))
    wait_until(lambda: serial() == second.serial, "the new certificate is shown")
    check_eq(lines(s, "file is refused"), [])


def test_hup_reads_again(t):
    site = Site(t)
    site.sluice.process.send_signal(signal.SIGHUP)
    site.sluice.wait_log("the files of its TLS were read again, its certificates are the same")
    check_eq(site.serial(), site.cert.serial)


def test_many_reloads_leave_nothing_behind(t):
    """Contexts, files, memory: the harness and the sanitizer look when it ends."""
    site = Site(t)
    with site.client() as kept:
        for n in range(1, 21):
            site.sluice.process.send_signal(signal.SIGHUP)
            wait_until(lambda: len(lines(site.sluice, "were read again")) == n, "reload %d" % n)
            check_eq(kept.request().status, 200)
            check_eq(site.serial(), site.cert.serial)


def test_a_revocation_list_is_read_again(t):
    clients = Authority(t.dir, "Clients")
    alice = clients.leaf("alice", client=True)
    crl = clients.crl(t.path("clients.crl"))
    site = Site(t, tls='verify = "required"; client_ca = "%s"; crl = "%s";' % (clients.cert, crl))
    with site.client(cert=alice) as c:
        check_eq(c.request().status, 200)
        clients.revoke(alice)
        clients.crl(crl)
        site.sluice.wait_log("the files of its TLS were read again")
        check_eq(c.request().status, 200, "who is connected stays")

    def refused():
        try:
            with site.client(cert=alice) as c:
                c.request()
        except (ssl.SSLError, ConnectionError):
            return True
        return False
    wait_until(refused, "a revoked certificate is refused")


def test_an_ocsp_response_is_read_again(t):
    ca = Authority(t.dir)
    cert = ca.leaf(NAME)
    ocsp = ca.ocsp(cert, t.path("site.ocsp"))
    b = t.backend(app(by_name))
    group = tls_group(cert.cert, cert.key).replace("key =", 'ocsp = "%s"; key =' % ocsp)
    s, address = start(t, [b], listener=group)

    def status():
        done = subprocess.run(["openssl", "s_client", "-connect", where(address), "-servername", NAME, "-status"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=60, check=False)
        found = re.search(rb"Cert Status: (\w+)", done.stdout)
        return found.group(1) if found else None
    check_eq(status(), b"good")
    ca.revoke(cert)
    ca.ocsp(cert, ocsp)
    wait_until(lambda: status() == b"revoked", "the new response is sent")
    check_eq(lines(s, "file is refused"), [])


def test_a_pools_authorities_are_read_again(t):
    right, wrong = Authority(t.dir), Authority(t.dir, "Another CA")
    cert = right.leaf("backend.example")
    server = right.server(cert)

    def handler(conn, backend):
        try:
            tls = server.wrap_socket(conn, server_side=True)
        except (OSError, ssl.SSLError):
            return
        with tls:
            app(by_name)(tls, backend)
    b = t.backend(handler)
    write(t.path("ca.pem"), read(wrong.cert))
    s, address = start(t, [b], pool=NO_CHECKS + 'retries = { attempts = 0; }; tls = { ca = "%s"; sni = "backend.example"; };'
                       % t.path("ca.pem"))
    check_eq(fetch(address).status, 502)
    write(t.path("ca.pem"), read(right.cert))
    s.wait_log("pool app: the files of its TLS were read again")
    wait_until(lambda: fetch(address).status == 200, "the backend is trusted now")


# ---- tickets -------------------------------------------------------------------------------------

def session_of(site, ctx):
    with TlsClient(site.address, site.ca, ctx=ctx) as c:
        c.request()
        return c.s.session


def resumes(site, ctx, session):
    with TlsClient(site.address, site.ca, ctx=ctx, session=session) as c:
        c.request()
        return c.s.session_reused


VERSIONS = ("TLSv1_2", "TLSv1_3")


def test_instances_that_share_ticket_keys_share_sessions(t):
    keys = ticket_keys(t.path("ticket.keys"))
    ca = Authority(t.dir)
    cert = ca.leaf(NAME)
    first = Site(t, tls='ticket_keys = "%s";' % keys, ca=ca, cert=cert)
    second = Site(t, tls='ticket_keys = "%s";' % keys, ca=ca, cert=cert)
    stranger = Site(t, ca=ca, cert=cert)
    for version in VERSIONS:
        ctx = ca.client(versions=(version, version))
        session = session_of(first, ctx)
        check(resumes(first, ctx, session), "the first knows it", version)
        session = session_of(first, ctx)
        check(resumes(second, ctx, session), "the second knows it", version)
        check(not resumes(stranger, ctx, session_of(first, ctx)), "who has other keys does not", version)


def test_ticket_keys_are_read_again(t):
    keys = ticket_keys(t.path("ticket.keys"))
    site = Site(t, tls='ticket_keys = "%s";' % keys)
    ctx = site.ca.client(versions=("TLSv1_2", "TLSv1_2"))
    session = session_of(site, ctx)
    write(keys, os.urandom(80) + read(keys))  # a new one first, the old one is still taken
    site.sluice.wait_log("new ticket keys")
    check(resumes(site, ctx, session), "the old key is still good")
    write(keys, os.urandom(80))
    wait_until(lambda: len(lines(site.sluice, "new ticket keys")) == 2, "they are read again")
    check(not resumes(site, ctx, session), "the old key is gone")
    session = session_of(site, ctx)
    write(keys, b"short")
    site.sluice.wait_log(r"ERROR listener front: .*ticket\.keys.* with 5 bytes, expected 1 to 4 keys of 80 bytes")
    check(resumes(site, ctx, session), "those from before serve on")


def test_workers_share_random_ticket_keys(t):
    site = Site(t, top="workers = 2;")
    for version in VERSIONS:
        ctx = site.ca.client(versions=(version, version))
        for _ in range(10):  # the kernel shares connections out
            check(resumes(site, ctx, session_of(site, ctx)), "resumed", version)


def test_sessions_outlive_a_new_certificate(t):
    site = Site(t)
    ctx = site.ca.client(versions=("TLSv1_2", "TLSv1_2"))
    session = session_of(site, ctx)
    site.serves(site.install(site.ca.leaf(NAME)))
    check(resumes(site, ctx, session), "resumed")


# ---- expiry and permissions ----------------------------------------------------------------------

def test_certificates_that_end_soon_are_told(t):
    ca = Authority(t.dir)
    soon, old, fine = ca.leaf("soon.example", ends=3.5), ca.leaf("old.example", begins=-9, ends=-2.5), ca.leaf("fine.example", ends=30)
    certs = "".join(', { cert = "%s"; key = "%s"; }' % (c.cert, c.key) for c in (soon, old, fine))
    site = Site(t, certs=certs, ca=ca)
    site.sluice.wait_log(r"WARN listener front: certificate .*soon_example.* expires in 3 days")
    site.sluice.wait_log(r"ERROR listener front: certificate .*old_example.* has expired 2 days ago")
    check_eq(lines(site.sluice, "fine.example"), [])
    rows = site.sluice.ctl("show ssl expiry").splitlines()
    check_eq([row.split()[-1] for row in rows[1:5]], ["old.example", "soon.example", "fine.example", NAME])
    check_eq([row.split()[0] for row in rows[1:3]], ["-3", "3"])
    check_in("SslCertExpiry_days: -3\n", site.sluice.ctl("show info"))


def test_a_pools_own_certificate_that_ends_soon_is_told(t):
    me = Authority(t.dir).leaf("me", client=True, ends=5.5)
    s, _ = start(t, [t.backend(app(by_name))], pool=NO_CHECKS + 'tls = { cert = "%s"; key = "%s"; };' % (me.cert, me.key))
    s.wait_log(r"WARN pool app: certificate .*me.* expires in 5 days")


def test_a_key_that_others_can_read_is_told(t):
    ca = Authority(t.dir)
    cert = ca.leaf(NAME)
    os.chmod(cert.key, 0o644)
    status, _, err = t.run("-t", "-c", conf_of(t, tls_group(cert.cert, cert.key)))
    check_eq(status, 0)
    check_match(r"warning: listeners\[front\]\.tls\.certificates.*key.*others can read this private key", err)
    os.chmod(cert.key, 0o640)  # a group may: that is how keys are shared
    check_eq(t.run("-t", "-c", conf_of(t, tls_group(cert.cert, cert.key)))[2].count("warning"), 0)


def test_a_key_that_only_root_reads_serves_until_the_restart(t):
    """Read before the rights are given up; that it cannot be read again is told, and harms nothing."""
    if os.geteuid() != 0:
        raise Skip("only root can become somebody else")
    os.chmod(t.dir, 0o755)
    site = Site(t, top='user = "nobody"; hardening = { keeper = "off"; };')
    site.sluice.wait_log(r"WARN listener front: .*site\.key: Permission denied: changes of it will not be seen "
                         "before a restart")
    site.install(site.ca.leaf(NAME))
    site.sluice.wait_log(r"ERROR listener front: a new file is refused.*site\.key.*Permission denied")
    check_eq(site.serial(), site.cert.serial)


def test_a_key_that_only_root_reads_is_read_again_by_the_keeper(t):
    if os.geteuid() != 0:
        raise Skip("only root can become somebody else")
    os.chmod(t.dir, 0o755)
    site = Site(t, top='user = "nobody";')
    check_eq(os.stat(t.path("site.key")).st_mode & 0o077, 0)
    site.serves(site.install(site.ca.leaf(NAME)))
    check_eq(lines(site.sluice, "Permission denied"), [])


# ---- mistakes ------------------------------------------------------------------------------------

def conf_of(t, listener, pool=""):
    text = http_conf(t, [t.closed_address()], t.address(), pool=pool, listener=listener)
    return write(t.path("check.conf"), text)


def test_mistakes_are_told_by_t_and_at_start(t):
    ca, other = Authority(t.dir), Authority(t.dir)
    cert, stranger = ca.leaf(NAME), other.leaf(NAME)
    openssl("ec", "-in", cert.key, "-aes128", "-passout", "pass:x", "-out", t.path("locked.key"))
    write(t.path("empty.pem"), b"")
    write(t.path("text.pem"), b"hello\n")
    with open(cert.cert, "rb") as f:
        write(t.path("cut.pem"), f.read() + b"-----BEGIN CERTIFICATE-----\nMIIB")
    os.mkdir(t.path("folder"))
    for group, setting, says in (
            (tls_group("/none.pem", cert.key), "certificates.cert", r'"/none\.pem": No such file'),
            (tls_group(t.path("folder"), cert.key), "certificates.cert", "no regular file"),
            (tls_group(t.path("empty.pem"), cert.key), "certificates.cert", "empty"),
            (tls_group(t.path("text.pem"), cert.key), "certificates.cert", "no certificate"),
            (tls_group(t.path("cut.pem"), cert.key), "certificates.cert", "damaged"),
            (tls_group(cert.cert, "/none.key"), "certificates.key", "No such file"),
            (tls_group(cert.cert, cert.cert), "certificates.key", "no private key"),
            (tls_group(cert.cert, t.path("locked.key")), "certificates.key", "encrypted"),
            (tls_group(cert.cert, stranger.key), "certificates.key", "not the key of the certificate"),
            (tls_group(cert.cert, cert.key, 'ciphers = "NONE-SUCH";'), "ciphers", "NONE-SUCH"),
            (tls_group(cert.cert, cert.key, 'ciphersuites = "TLS_NONE";'), "ciphersuites", "TLS_NONE"),
            (tls_group(cert.cert, cert.key, 'curves = "P-1";'), "curves", "P-1"),
            (tls_group(cert.cert, cert.key, 'verify = "optional"; client_ca = "%s";' % t.path("text.pem")),
             "client_ca", "no certificate"),
            (tls_group(cert.cert, cert.key, 'verify = "optional"; client_ca = "%s"; crl = "/none";' % ca.cert),
             "crl", "No such file"),
            (tls_group(cert.cert, cert.key, 'ticket_keys = "%s";' % cert.key), "ticket_keys",
             "expected 1 to 4 keys of 80 bytes")):
        conf = conf_of(t, group)
        status, _, err = t.run("-t", "-c", conf)
        check_eq(status, 1, says)
        check_match(r"^%s:\d+: error: listeners\[front\]\.tls\.%s: .*%s" % (conf, setting, says), err)
        status, _, started = t.run("-c", conf)
        check_eq((status, started), (1, err), "the same at start")


def test_mistakes_of_pools_are_told(t):
    ca, other = Authority(t.dir), Authority(t.dir)
    mine, stranger = ca.leaf("me", client=True), other.leaf("you", client=True)
    for group, setting, says in (
            ('tls = { ca = "/none.pem"; };', "tls.ca", "No such file"),
            ('tls = { cert = "%s"; key = "%s"; };' % (mine.cert, stranger.key), "tls.key", "not the key"),
            ('tls = { ciphers = "NONE-SUCH"; };', "tls.ciphers", "NONE-SUCH"),
            ('health = { tls = { ca = "/none.pem"; }; };', "health.tls.ca", "No such file")):
        status, _, err = t.run("-t", "-c", conf_of(t, "", pool=group))
        check_eq(status, 1, says)
        check_match(r"error: pools\[app\]\.%s: .*%s" % (setting.replace(".", r"\."), says), err)


def test_files_are_relative_to_the_configuration(t):
    ca = Authority(t.dir)
    install(ca.leaf(NAME), t.dir)
    status, _, err = t.run("-t", "-c", conf_of(t, tls_group("site.pem", "site.key")))
    check_eq((status, err.count("error")), (0, 0))


def test_the_example_is_good(t):
    """etc/examples/tls.conf, with the files that it names."""
    shutil.copy(os.path.join(ROOT, "etc", "examples", "tls.conf"), t.path("tls.conf"))
    os.mkdir(t.path("tls"))
    ca = Authority(t.dir)
    for name, cert in (("example", ca.leaf("example.com")), ("example-rsa", ca.leaf("example.com", kind="rsa")),
                       ("sluice-client", ca.leaf("sluice", client=True))):
        install(cert, t.path("tls"), name)
    for name in ("internal-ca", "partners-ca"):
        write(t.path("tls/%s.pem" % name), read(ca.cert))
    check_eq(t.run("-t", "-c", t.path("tls.conf")), (0, "", t.path("tls.conf") + ": the configuration is good\n"))


def test_quick_speaks_tls(t):
    ca = Authority(t.dir)
    cert = ca.leaf(NAME)
    b, front = t.backend(app(by_name)), t.address()
    t.sluice(None, args=["quick", "--mode", "http", "--stats", t.path("sluice.sock"), "--cert", cert.cert, "--key", cert.key,
                         where(front), where(b.address)])
    with TlsClient(front, ca) as c:
        check_eq(c.request().body, b"b1")
