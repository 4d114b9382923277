"""Postgres, MariaDB and Redis over tcp, checked in their own protocols; a pool that follows its primary. A mail
server, as it speaks first too."""

import sys

from servers import *

FAST = 'interval = "100ms"; timeout = "2s";'


def pool(name, servers, health, more=""):
    return """{ name = "%s"; mode = "tcp"; %s health = { %s %s };
      backends = (%s); }""" % (name, more, FAST, health, ", ".join(
        '{ name = "%s"; address = "%s"; }' % (s.name, where(s.address)) for s in servers))


def listener(name, address):
    return '{ name = "%s"; mode = "tcp"; bind = "%s"; pool = "%s"; }' % (name, where(address), name)


def conf(pools):
    """pools: {name: (address, text)}"""
    return "pools = ( %s );\nlisteners = ( %s );\n" % (
        ",\n".join(text for _, text in pools.values()), ",\n".join(listener(n, a) for n, (a, _) in pools.items()))


# ---- Postgres ------------------------------------------------------------------------------------

def psql(address, text, user="app", password="it's ünlikely"):
    done = subprocess.run(["psql", "-XAtq", "-h", address[0], "-p", str(address[1]), "-U", user, "postgres", "-c", text],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, env=dict(os.environ, PGPASSWORD=password))
    return done.stdout.decode().strip() or done.stderr.decode()


def test_postgres_checks_authenticate(t):
    for auth in ("scram-sha-256", "md5", "trust"):
        pg = Postgres(t, "pg-" + auth[:4], auth=auth)
        pg.sql("CREATE ROLE check_user LOGIN PASSWORD 'se''cret,='")
        front = [t.address() for _ in range(3)]
        user = 'user = "check_user"; database = "postgres"; '
        s = t.sluice(conf({
            "good": (front[0], pool("good", [pg], 'type = "postgres"; password = "se\'cret,="; ' + user)),
            "bad": (front[1], pool("bad", [pg], 'type = "postgres"; password = "wrong"; ' + user)),
            "nobody": (front[2], pool("nobody", [pg], 'type = "postgres";'))}), ready=False)
        s.wait_status("good", pg.name, "UP")
        s.wait_status("nobody", pg.name, "UP")
        if auth == "trust":
            s.wait_status("bad", pg.name, "UP")
        else:
            s.wait_status("bad", pg.name, "DOWN")
            s.wait_log(r'postgres: password authentication failed for user .*\(SQLSTATE 28P01\)')
        check_eq(psql(front[0], "SELECT 41 + 1", user="postgres"), "42")
        pg.kill()
        s.wait_status("nobody", pg.name, "DOWN")
        s.finish()


def test_a_pool_follows_the_primary_of_postgres(t):
    one = Postgres(t, "one")
    one.sql("CREATE ROLE check_user LOGIN PASSWORD 'x'")
    two = Postgres(t, "two", primary=one)
    wait_until(lambda: two.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'check_user'") == "1", "it follows")
    write, read = t.address(), t.address()
    check_ = 'type = "postgres"; user = "check_user"; password = "x"; database = "postgres"; role = "%s";'
    s = t.sluice(conf({"write": (write, pool("write", [one, two], check_ % "primary", 'on_down = "close";')),
                       "read": (read, pool("read", [one, two], check_ % "replica"))}))
    for name, backend, status in (("write", "one", "UP"), ("write", "two", "DOWN"), ("read", "one", "DOWN"), ("read", "two", "UP")):
        s.wait_status(name, backend, status)
    s.wait_log("backend write/two is DOWN: postgres: is a replica, expected a primary")
    check_eq(psql(write, "SELECT pg_is_in_recovery()", user="postgres"), "f")
    check_eq(psql(read, "SELECT pg_is_in_recovery()", user="postgres"), "t")
    # A session of the old primary ends when it has gone; the new one is found.
    old = subprocess.Popen(["psql", "-XAtq", "-h", write[0], "-p", str(write[1]), "-U", "postgres", "postgres"],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    t.processes.append(old)
    old.stdin.write(b"SELECT 'here';\n")
    old.stdin.flush()
    check_eq(old.stdout.readline(), b"here\n")
    one.kill()
    two.promote()
    s.wait_status("write", "two", "UP")
    s.wait_status("write", "one", "DOWN")
    check_eq(psql(write, "SELECT pg_is_in_recovery()", user="postgres"), "f")
    old.stdin.write(b"SELECT 'there';\n")
    old.stdin.close()
    check("there\n" not in old.stdout.read().decode().splitlines(keepends=True), "the old session is over")


# ---- MariaDB -------------------------------------------------------------------------------------

def test_mysql_checks_authenticate_and_know_who_may_be_written_to(t):
    db = MariaDb(t, "db")
    left = "SHOW GLOBAL STATUS LIKE 'Aborted_connects_preauth'"
    wait_until(lambda: db.sql(left).endswith("\t1"), "who looked whether it listens is counted")
    db.sql("CREATE USER plain@'%'; CREATE USER check_user@'%' IDENTIFIED BY 'secret'")
    names = {"nobody": "", "empty": 'user = "plain"; role = "primary";',
             "good": 'user = "check_user"; password = "secret"; role = "primary";',
             "bad": 'user = "check_user"; password = "wrong";',
             "replica": 'user = "check_user"; password = "secret"; role = "replica";'}
    s = t.sluice(conf({n: (t.address(), pool(n, [db], 'type = "mysql"; ' + h)) for n, h in names.items()}), ready=False)
    for n in names:
        s.wait_status(n, "db", "DOWN" if n in ("bad", "replica") else "UP")
    s.wait_log(r"mysql: Access denied for user .*\(error 1045\)")
    s.wait_log("backend replica/db is DOWN: mysql: is a primary, expected a replica")
    db.sql("SET GLOBAL read_only = 1")
    s.wait_status("good", "db", "DOWN")
    s.wait_status("replica", "db", "UP")
    # Nobody's host is blocked by checks that were answered.
    check_match(r"\t1$", db.sql(left))
    db.kill()
    s.wait_status("nobody", "db", "DOWN")


# ---- Redis ---------------------------------------------------------------------------------------

def test_redis_checks_know_passwords_and_roles(t):
    one, two = redis(t, "one"), redis(t, "two")
    locked = redis(t, "locked", more=("--requirepass", "secret"))
    check_eq(redis_do(two.address, "REPLICAOF", one.address[0], str(one.address[1])), b"+OK\r\n")
    front = t.address()
    s = t.sluice(conf({
        "ping": (t.address(), pool("ping", [one, two, locked], 'type = "redis";')),
        "locked": (t.address(), pool("locked", [locked], 'type = "redis"; password = "secret";')),
        "wrong": (t.address(), pool("wrong", [locked], 'type = "redis"; password = "guess";')),
        "write": (front, pool("write", [one, two], 'type = "redis"; role = "primary";'))}), ready=False)
    for name, backend, status in (("ping", "one", "UP"), ("ping", "two", "UP"), ("ping", "locked", "DOWN"),
                                  ("locked", "locked", "UP"), ("wrong", "locked", "DOWN"),
                                  ("write", "one", "UP"), ("write", "two", "DOWN")):
        s.wait_status(name, backend, status)
    s.wait_log(r"NOAUTH Authentication required\. \(set health\.password\)")
    s.wait_log("backend write/two is DOWN: redis: is a replica, expected a primary")
    check_eq(redis_do(front, "SET", "a", "1"), b"+OK\r\n")
    one.kill()
    check_eq(redis_do(two.address, "REPLICAOF", "NO", "ONE"), b"+OK\r\n")
    s.wait_status("write", "two", "UP")
    check_eq(redis_do(front, "SET", "a", "2"), b"+OK\r\n")


# ---- a mail server -------------------------------------------------------------------------------

def test_smtp_checks_say_hello(t):
    address = t.address()
    mail = Server(t, "mail", [sys.executable, "-m", "aiosmtpd", "-n", "-l", "%s:%d" % address], address)
    front = t.address()
    s = t.sluice(conf({"mail": (front, pool("mail", [mail], 'type = "smtp"; host = "check.example.com";'))}))
    s.wait_status("mail", "mail", "UP")
    s.wait_log(r"backend mail/mail is UP: smtp: 250 ")
    with contextlib.closing(connect(front)) as c:
        check_in(b"220 ", recv_line(c))
        c.sendall(b"QUIT\r\n")
    mail.kill()
    s.wait_status("mail", "mail", "DOWN")
