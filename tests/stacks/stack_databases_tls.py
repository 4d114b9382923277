"""Checks of databases and of a mail server over TLS, each begun as its protocol has it: right and wrong authorities and
names, servers that speak none, passwords inside. The pools themselves pass TLS through."""

import ssl
import sys

from certs import Authority
from servers import *
from stack_databases import FAST, conf, pool

NAME = "db.example.com"


class Site:
    """Two authorities and a certificate of the first, which the servers have; settings of checks by what they expect."""

    def __init__(self, t, owner=None):
        os.chmod(t.dir, 0o755)
        for folder in ("ca", "other"):
            os.mkdir(t.path(folder))
        self.ca, other = Authority(t.path("ca")), Authority(t.path("other"))
        leaf = self.ca.leaf(NAME)
        self.cert, self.key = t.path("site.pem"), t.path("site.key")
        for path, to in ((leaf.cert, self.cert), (leaf.key, self.key)):
            shutil.copy(path, to)
            if owner and as_user(owner):
                shutil.chown(to, owner, owner)
            os.chmod(to, 0o600)
        self.good = 'tls = { ca = "%s"; sni = "%s"; };' % (self.ca.cert, NAME)
        self.blind = "tls = { verify = false; };"
        self.bad = {"other_ca": 'tls = { ca = "%s"; sni = "%s"; };' % (other.cert, NAME),
                    "other_name": 'tls = { ca = "%s"; sni = "other.example.com"; };' % self.ca.cert,
                    "system": 'tls = true;'}


def start(t, server, type_, pools):
    """pools: {name: settings of the check}; all pass what comes through, one listener each. So many would never be quiet if
    they were fast."""
    text = conf({n: (t.address(), pool(n, [server], 'type = "%s"; %s' % (type_, health))) for n, health in pools.items()})
    return t.sluice(text.replace(FAST, 'interval = "1s"; timeout = "2s";'), ready=False)


def look(s, server, up, down):
    """down: {pool: what the log says}; each is there, and they are told from another by nothing else."""
    for name in up:
        s.wait_status(name, server, "UP")
    for name, why in down.items():
        s.wait_status(name, server, "DOWN")
        s.wait_log("backend %s/%s is DOWN: %s" % (name, server, why))


BAD = {"other_ca": "tls: .*certificate", "other_name": "tls: .*(name|match)", "system": "tls: .*"}


def test_postgres_over_tls(t):
    site, user = Site(t, "postgres"), 'user = "check_user"; password = "secret"; database = "postgres"; role = "primary"; '
    pg, plain = Postgres(t, "pg"), Postgres(t, "plain")
    for db in (pg, plain):
        db.sql("CREATE ROLE check_user LOGIN PASSWORD 'secret'")
    pg.sql("ALTER SYSTEM SET ssl = on")
    pg.sql("ALTER SYSTEM SET ssl_cert_file = '%s'" % site.cert)
    pg.sql("ALTER SYSTEM SET ssl_key_file = '%s'" % site.key)
    with open(os.path.join(pg.data, "pg_hba.conf"), "w") as f:
        f.write("host all postgres all trust\nhostssl all all all scram-sha-256\n")
    pg.sql("SELECT pg_reload_conf()")
    wait_until(lambda: pg.sql("SHOW ssl") == "on", lambda: pg.log)
    s = start(t, pg, "postgres", {"good": user + site.good, "nobody": site.good, "blind": user + site.blind, "clear": user,
                                  "wrong": site.good + user.replace("secret", "guess"),
                                  **{n: user + b for n, b in site.bad.items()}})
    look(s, "pg", ("good", "nobody", "blind"), {
        **BAD, "clear": r"postgres: no pg_hba.conf entry .*\(SQLSTATE 28000\) \(set health.tls\)", "wrong": "postgres: password authentication failed"})
    s.wait_log("backend good/pg is UP: postgres: is a primary")
    s.finish()
    # A method that wants the password as it is: over TLS it gets it, in clear it does not.
    with open(os.path.join(pg.data, "pg_hba.conf"), "w") as f:
        f.write("host all postgres all trust\nhost all all all password\n")
    pg.sql("SELECT pg_reload_conf()")
    s = start(t, pg, "postgres", {"good": user + site.good, "clear": user, "wrong": site.good + user.replace("secret", "guess")})
    look(s, "pg", ("good",), {"clear": "postgres: asks for the password in clear, which a check sends over TLS only",
                              "wrong": "postgres: password authentication failed"})
    s.finish()
    s = start(t, plain, "postgres", {"tls": user + site.good, "clear": user})
    look(s, "plain", ("clear",), {"tls": r"postgres: takes no TLS \(its ssl is off\)"})


def test_mysql_over_tls(t):
    site, user = Site(t, "mysql"), 'user = "check_user"; password = "secret"; role = "primary"; '
    db = MariaDb(t, "db", more=("--ssl-cert=" + site.cert, "--ssl-key=" + site.key))
    db.sql("CREATE USER check_user@'%' IDENTIFIED BY 'secret' REQUIRE SSL")
    s = start(t, db, "mysql", {"good": user + site.good, "nobody": site.good, "blind": user + site.blind, "clear": user,
                               "wrong": site.good + user.replace("secret", "guess"),
                               **{n: user + b for n, b in site.bad.items()}})
    look(s, "db", ("good", "nobody", "blind"), {**BAD, "clear": "mysql: Access denied", "wrong": "mysql: Access denied"})
    s.wait_log("backend good/db is UP: mysql: is a primary")
    db.sql("SET GLOBAL read_only = 1")
    s.wait_status("good", "db", "DOWN")
    s.finish()


def test_mysql_without_tls_where_it_is_expected(t):
    site, plain = Site(t), MariaDb(t, "plain", more=("--skip-ssl",))
    left = "SHOW GLOBAL STATUS LIKE 'Aborted_connects_preauth'"
    wait_until(lambda: plain.sql(left).endswith("\t1"), "who looked whether it listens is counted")
    s = start(t, plain, "mysql", {"tls": 'user = "check_user"; password = "x"; ' + site.good, "clear": ""})
    look(s, "plain", ("clear",), {"tls": r"mysql: takes no TLS \(it has no certificate\)"})
    # Who does not go on is said good-bye to: a host that has left too often is blocked.
    check_match(r"\t1$", plain.sql(left))


def test_redis_over_tls(t):
    site = Site(t)
    address = t.address()
    db = Server(t, "db", ["redis-server", "--port", "0", "--bind", address[0], "--tls-port", str(address[1]), "--tls-cert-file", site.cert,
                          "--tls-key-file", site.key, "--tls-auth-clients", "no", "--save", "", "--dir", t.dir, "--requirepass", "secret"], address)
    plain, word = redis(t, "plain"), 'password = "secret"; role = "primary"; '
    s = start(t, db, "redis", {"good": word + site.good, "blind": word + site.blind, "clear": word,
                               "wrong": site.good + word.replace("secret", "guess"), **{n: word + b for n, b in site.bad.items()}})
    look(s, "db", ("good", "blind"), {**BAD, "clear": "connected, then: |redis: ", "wrong": "redis: WRONGPASS"})
    s.finish()
    s = start(t, plain, "redis", {"tls": site.good})
    look(s, "plain", (), {"tls": "connected, but no TLS handshake within 2s"})  # it waits for the end of a line


MAIL = """
import asyncio, ssl, sys
from aiosmtpd.smtp import SMTP


def context():
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(*sys.argv[4:6])
    return c

host, port, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
more = {"tls_context": context(), "require_starttls": True} if how == "starttls" else {}
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.run_until_complete(loop.create_server(lambda: SMTP(object(), hostname="mail.example", loop=loop, **more), host, port,
                                           ssl=context() if how == "smtps" else None))
loop.run_forever()
"""


def mail(t, name, how, site):
    address = t.address()
    return Server(t, name, [sys.executable, "-c", MAIL, address[0], str(address[1]), how, site.cert, site.key], address)


def test_smtp_over_tls(t):
    site = Site(t)
    server, smtps, plain = (mail(t, n, n, site) for n in ("starttls", "smtps", "plain"))
    s = start(t, server, "smtp", {"good": site.good, "blind": site.blind, **site.bad})
    look(s, "starttls", ("good", "blind"), BAD)
    s.wait_log("backend good/starttls is UP: smtp: 250 ")
    s.finish()
    s = start(t, smtps, "smtp", {"good": "starttls = false; " + site.good, "asks": site.good, **{
        n: "starttls = false; " + b for n, b in site.bad.items()}})
    look(s, "smtps", ("good",), {**BAD, "asks": "connected, but TLS was not agreed on within 2s"})
    s.finish()
    s = start(t, plain, "smtp", {"tls": site.good, "clear": ""})
    look(s, "plain", ("clear",), {"tls": "smtp: does not offer STARTTLS"})
