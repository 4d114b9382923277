"""Databases as people run them: etc/examples/postgres.conf, mariadb.conf and redis.conf before real servers, through a
failover under load, with TLS and with clients' own addresses."""

import hashlib
import threading

from certs import Authority
from servers import *

MIB = 1 << 20


class Load:
    """Clients that work all the time, connect again when they must, and count."""

    def __init__(self, n, work):
        self.over, self.done, self.failed, self.wrong = False, 0, 0, []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(work,), daemon=True) for _ in range(n)]
        for thread in self.threads:
            thread.start()

    def run(self, work):
        while not self.over:
            try:
                said = work()
            except (OSError, Failure):  # the end of a stream where a line should be
                said = None
            with self.lock:
                self.done += said is True
                self.failed += said is None
                if said not in (True, None):
                    self.wrong.append(said)
            if said is not True:
                time.sleep(0.05)

    def goes_on(self, what):
        """Some more is done from now on."""
        before = self.done
        wait_until(lambda: self.done >= before + 5, what, seconds=30)

    def stop(self):
        self.over = True
        for thread in self.threads:
            thread.join()
        check_eq(self.wrong, [], "answers that should not be")


def comes_back_as_a_replica(s, pool, backend):
    wait_until(lambda: "is a replica, expected a primary" in s.stat()[pool, backend]["last_chk"],
               lambda: "it is back: %r" % s.stat()[pool, backend]["last_chk"])
    check_eq(s.status(pool, backend), "DOWN")


def psql(address, text, *words, user="postgres", env=None, host=None):
    """(status, what it says)"""
    done = subprocess.run(["psql", "-XAtq", *words, "host=%s hostaddr=%s port=%d user=%s dbname=postgres connect_timeout=5 %s" % (
        host or address[0], address[0], address[1], user, " ".join("%s=%s" % pair for pair in (env or {}).items())), "-c", text],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return done.returncode, done.stdout.decode().strip() or done.stderr.decode()


def test_postgres_fails_over_under_load(t):
    one = Postgres(t, "one")
    one.sql("CREATE ROLE sluice LOGIN PASSWORD 'it''s'; CREATE TABLE seen (n serial)")
    two = Postgres(t, "two", primary=one)
    wait_until(lambda: two.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'sluice'") == "1", "the replica follows")
    read = t.address()
    s, write = start_example(t, "postgres.conf", PG1=where(one.address), PG2=where(two.address), PASSWORD="it's",
                             INTERVAL="100ms", LISTEN_READ=where(read))
    s.wait_status("postgres-write", "pg1", "UP")
    s.wait_status("postgres-read", "pg2", "UP")
    check_eq(psql(write, "SELECT pg_is_in_recovery()"), (0, "f"))
    check_eq(psql(read, "SELECT pg_is_in_recovery()"), (0, "t"))

    def insert():
        status, said = psql(write, "INSERT INTO seen DEFAULT VALUES RETURNING 'ok', pg_is_in_recovery()")
        return True if (status, said) == (0, "ok|f") else None if status != 0 else said
    load = Load(3, insert)
    load.goes_on("before")
    one.kill()
    one.start()
    load.goes_on("it is back")
    one.kill()
    two.promote()
    s.wait_status("postgres-write", "pg2", "UP")
    load.goes_on("the new primary is written to")
    load.stop()
    check_match("DOWN", s.status("postgres-write", "pg1"))
    check(int(two.sql("SELECT count(*) FROM seen")) >= 5, "rows are there")
    # 50 MB each way.
    text = "SELECT length(string_agg(repeat('x', 1048576), '')) FROM generate_series(1, 50)"
    check_eq(psql(write, text), (0, str(50 * MIB)))
    check_eq(len(psql(write, "SELECT repeat('y', %d)" % (50 * MIB))[1]), 50 * MIB)


def test_tls_of_postgres_passes_through(t):
    ca = Authority(t.dir)
    leaf = ca.leaf("db.example.com")
    pg = Postgres(t, "secure")
    pg.sql("CREATE ROLE sluice LOGIN PASSWORD 'x'")
    for name, path in (("server.crt", leaf.cert), ("server.key", leaf.key)):
        to = os.path.join(pg.data, name)
        shutil.copy(path, to)
        shutil.chown(to, *(["postgres"] * 2 if pg.user else []) or [os.getuid(), os.getgid()])
        os.chmod(to, 0o600)
    pg.sql("ALTER SYSTEM SET ssl = on")
    pg.sql("SELECT pg_reload_conf()")
    front = t.address()
    s = t.sluice(example("postgres.conf"), ready=False, env=dict(
        LISTEN=where(front), LISTEN_READ=where(t.address()), STATS=t.path("sluice.sock"), INTERVAL="100ms", PASSWORD="x",
        PG1=where(pg.address), PG2=where(t.closed_address())))
    s.wait_status("postgres-write", "pg1", "UP")
    strict = {"sslmode": "verify-full", "sslrootcert": ca.cert}
    wait_until(lambda: psql(front, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", env=strict,
                            host="db.example.com") == (0, "t"), "TLS from end to end")
    status, said = psql(front, "SELECT 1", env=strict, host="other.example.com")
    check(status != 0, "another name is refused by the client")
    check_in("db.example.com", said)


def test_mariadb_sees_its_clients_and_a_killed_one_is_replaced(t):
    os.chmod(t.dir, 0o777)
    front = t.address()
    ca = Authority(t.path("ca"))
    leaf = ca.leaf("db.example.com", front[0])
    cert, key = t.path("db.pem"), t.path("db.key")
    for path, to in ((leaf.cert, cert), (leaf.key, key)):
        shutil.copy(path, to)
        if as_user("mysql"):
            shutil.chown(to, "mysql")
    more = ("--proxy-protocol-networks=127.0.0.0/8", "--max-allowed-packet=128M", "--ssl-cert=" + cert, "--ssl-key=" + key)
    one, two = MariaDb(t, "db1", more=more), MariaDb(t, "db2", more=more)
    for db in (one, two):
        db.sql("CREATE USER sluice@'%' IDENTIFIED BY 'x'; CREATE USER app@'%' IDENTIFIED BY 'y'; GRANT ALL ON *.* TO app@'%'")
    two.sql("SET GLOBAL read_only = 1")
    s = t.sluice(example("mariadb.conf"), env=dict(LISTEN=where(front), STATS=t.path("sluice.sock"), DB1=where(one.address),
                                                   DB2=where(two.address), PASSWORD="x", INTERVAL="100ms"))
    s.wait_status("mariadb", "db1", "UP")
    s.wait_status("mariadb", "db2", "DOWN")

    def ask(text, *words):
        done = subprocess.run(["mariadb", "--no-defaults", "-N", "-h", front[0], "-P", str(front[1]), "-u", "app", "-py", "--connect-timeout=5",
                               "--max-allowed-packet=128M", *words], input=text.encode(), capture_output=True, timeout=60)
        return done.stdout.decode().strip() if done.returncode == 0 else None
    host = ask("SELECT host FROM information_schema.processlist WHERE id = connection_id()")
    check_match(r"^127\.0\.0\.1:\d+$", host)
    s.wait_access("^" + re.escape(host) + " ")  # not a port of sluice's, but the client's own
    strict = ("--ssl-verify-server-cert", "--ssl-ca=")
    check_match(r"^Ssl_cipher\tTLS_", ask("SHOW STATUS LIKE 'Ssl_cipher'", strict[0], strict[1] + ca.cert), "TLS from end to end")
    check_eq(ask("SELECT 1", strict[0], strict[1] + Authority(t.path("other")).cert), None, "another authority's")

    def work():
        said = ask("SELECT @@read_only")
        return True if said == "0" else said
    load = Load(3, work)
    load.goes_on("before")
    two.sql("SET GLOBAL read_only = 0")
    one.kill()
    load.goes_on("the other one serves")
    s.wait_status("mariadb", "db1", "DOWN")
    one.command.append("--read-only")
    one.start()
    comes_back_as_a_replica(s, "mariadb", "db1")
    load.goes_on("nobody is sent back to it")
    load.stop()
    data = "0123456789abcdef" * (50 * MIB // 16)
    check_eq(ask("SELECT MD5('%s')" % data), hashlib.md5(data.encode()).hexdigest(), "50 MB up")
    check(ask("SELECT REPEAT('0123456789abcdef', %d)" % (50 * MIB // 16)) == data, "50 MB down")


def test_redis_fails_over_under_load(t):
    more = ("--requirepass", "secret", "--masterauth", "secret")
    one, two = redis(t, "redis1", more=more), redis(t, "redis2", more=more)

    def do(address, *words):
        with contextlib.closing(connect(address)) as c:
            for line in (("AUTH", "secret"), words):
                c.sendall(b"*%d\r\n" % len(line) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in line))
                said = recv_line(c)
            return said
    check_eq(do(two.address, "REPLICAOF", one.address[0], str(one.address[1])), b"+OK\r\n")
    s, front = start_example(t, "redis.conf", REDIS1=where(one.address), REDIS2=where(two.address), PASSWORD="secret", INTERVAL="100ms")
    s.wait_status("redis", "redis1", "UP")
    s.wait_status("redis", "redis2", "DOWN")

    def work():
        said = do(front, "SET", "key", "value")
        return True if said == b"+OK\r\n" else None if said == b"" else said
    load = Load(4, work)
    load.goes_on("before")
    one.kill()
    check_eq(do(two.address, "REPLICAOF", "NO", "ONE"), b"+OK\r\n")
    load.goes_on("the new master is written to")
    s.wait_status("redis", "redis1", "DOWN")
    one.command += ["--replicaof", two.address[0], str(two.address[1])]
    one.start()
    comes_back_as_a_replica(s, "redis", "redis1")
    load.goes_on("nobody is sent back to the old one")
    load.stop()
    check_eq(do(two.address, "GET", "key"), b"$5\r\n")
    s.wait_status("redis", "redis2", "UP")
    data = pattern(MIB) * 50
    with contextlib.closing(connect(front)) as c:
        c.sendall(b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$%d\r\n%s\r\n" % (len(data), data))
        check_eq((recv_line(c), recv_line(c)), (b"+OK\r\n", b"+OK\r\n"), "50 MB up")
        c.sendall(b"*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n")
        check_eq(recv_line(c), b"$%d\r\n" % len(data))
        check(recv_exact(c, len(data)) == data, "50 MB down")
