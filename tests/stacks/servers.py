"""servers.py - real application servers for the tests beside it, each a process of the test's own."""

import fcntl
import glob
import os
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
from http_tools import *  # noqa: E402,F401,F403

ROOT = os.path.dirname(os.path.dirname(HERE))


def example(name):
    """A configuration of etc/examples, as it is."""
    with open(os.path.join(ROOT, "etc", "examples", name)) as f:
        return f.read()


def start_example(t, name, **env):
    """(sluice, address): its variables are the environment's."""
    front = t.address()
    s = t.sluice(example(name), env=dict(env, LISTEN=where(front), STATS=t.path("sluice.sock")))
    return s, front


def environment():
    """Without our own TMPDIR: servers that run as other users may not write there."""
    return {name: value for name, value in os.environ.items() if name != "TMPDIR"}


def built(name, sources, command, env=None):
    """The path of what command(path) makes of these files of ours; made once for all tests, which may ask at once."""
    folder = os.path.join(ROOT, "build", "stacks-" + name)
    os.makedirs(folder, exist_ok=True)
    path, sources = os.path.join(folder, "made"), [os.path.join(HERE, s) for s in sources]
    with open(os.path.join(folder, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path) or os.path.getmtime(path) < max(map(os.path.getmtime, sources)):
            new = path + ".new"
            shutil.rmtree(new, ignore_errors=True)
            run_quietly(command(new), name, cwd=HERE, env=dict(environment(), **(env or {})))
            if os.path.isdir(path):
                shutil.rmtree(path)
            os.rename(new, path)
    return path


class Server:
    """A program that listens at an address ((host, port) or a path); ends with the test."""

    def __init__(self, t, name, command, address, env=None):
        self.t, self.name, self.command, self.address = t, name, command, address
        self.env = dict(environment(), **(env or {}))
        self.log_path = t.path("%s.log" % name)
        self.start()

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = self.t.program(self.command, stdout=log, stderr=log, env=self.env,
                                          start_new_session=True)

        def listens():
            check(self.process.poll() is None, "%s ended: %s" % (self.name, self.log))
            return self.answers()
        wait_until(listens, lambda: "%s listens: %s" % (self.name, self.log), seconds=30)
        return self

    def answers(self):
        try:
            connect(self.address).close()
            return True
        except OSError:
            return False

    @property
    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def kill(self):
        """All of its processes at once."""
        try:
            os.killpg(self.process.pid, 9)
        except ProcessLookupError:
            pass
        self.process.wait()


def state_of(pid):
    """A letter of proc(5), None when there is no such process."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def php_fpm(t, name="fpm", address=None, children=4, root=os.path.join(HERE, "php")):
    found = sorted(glob.glob("/usr/sbin/php-fpm*"))
    if not found:
        raise Skip("php-fpm is not installed: scripts/setup.sh stacks does it")
    address = address or t.address()
    conf = t.path(name + ".conf")
    with open(conf, "w") as f:
        f.write("""[global]
error_log = /dev/stderr
daemonize = no
[www]
listen = %s
pm = static
pm.max_children = %d
ping.path = /ping
pm.status_path = /fpm-status
clear_env = no
php_admin_flag[log_errors] = on
php_admin_value[post_max_size] = 200M
php_admin_value[memory_limit] = 256M
""" % (where(address).removeprefix("unix:"), children))
        if os.geteuid() == 0:
            f.write("user = nobody\ngroup = nogroup\nlisten.mode = 0666\n")
    s = Server(t, name, [found[-1], "-y", conf, "-F", "-n", *(["-R"] if os.geteuid() == 0 else [])], address,
               env={"FPM_NAME": name})
    s.root = root
    return s


def uwsgi(t, name="uwsgi", kind="socket", address=None, module="app", more=()):
    address = address or t.address()
    where_ = address if isinstance(address, str) else "%s:%d" % address
    command = ["uwsgi-core", "--plugin", "python3", "--" + kind, where_, "--module", module + ":application",
               "--chdir", os.path.join(HERE, "python"), "--master", "--processes", "2", "--buffer-size", "16384",
               "--chmod-socket=666", "--die-on-term", "--need-app", *more]
    return Server(t, name, command, address, env={"APP_NAME": name})


def values(body):
    """"NAME=VALUE" by line."""
    return dict(line.split("=", 1) for line in body.decode().splitlines() if "=" in line)


class Load:
    """Requests without a pause from several threads until stop(); what goes wrong is kept. An answer that ends
    behind its head is none that a proxy could ask for again: those are counted as `cut`."""

    def __init__(self, front, threads=4, target="/", good=lambda r: r.status == 200):
        self.done, self.bad, self.good, self.cut = threading.Event(), [], 0, 0
        self.lock = threading.Lock()

        def once():
            with Client(front) as c:
                c.send(target)
                r = c.head()
                if not good(r):
                    return "bad", (r.status, r.raw[:200])
                try:
                    c.reader.body(r)
                except (ConnectionError, TypeError):  # TypeError: no chunk where one should be
                    return "cut", None
            return "good", None

        def run():
            while not self.done.is_set():
                try:
                    kind, what = once()
                except Exception as e:  # noqa: BLE001 - whatever a client may see
                    kind, what = "bad", repr(e)
                with self.lock:
                    if kind == "bad":
                        self.bad.append(what)
                    else:
                        setattr(self, kind, getattr(self, kind) + 1)
        self.threads = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
        for one in self.threads:
            one.start()

    def goes_on(self):
        """A hundred more good ones."""
        n = self.good + 100
        wait_until(lambda: self.good >= n or self.bad, "requests are answered", seconds=60)

    def stop(self, cut=0):
        """cut: so many may have ended behind their head."""
        self.done.set()
        for one in self.threads:
            one.join()
        check_eq(self.bad[:5], [], "requests that went wrong")
        check(self.cut <= cut, "answers that ended behind their head", self.cut)


def kill_and_restart(front, servers, s, pool, backends, two_writes=False, target="/"):
    """Each of them once, under load: nobody notices. two_writes: the server sends an answer's head by itself; who
    is killed between head and body has cut off an answer that was under way, at most one for each client."""
    load = Load(front, target=target)
    try:
        load.goes_on()
        for server, backend in zip(servers, backends):
            server.kill()
            s.wait_status(pool, backend, "DOWN", seconds=30)
            load.goes_on()
            server.start()
            s.wait_status(pool, backend, "UP", seconds=30)
            load.goes_on()
    finally:
        load.stop(cut=len(load.threads) * len(servers) if two_writes else 0)


# ---- databases -----------------------------------------------------------------------------------

def as_user(name):
    """Words before a command that must not run as root; none where we are not root."""
    return ["setpriv", "--reuid", name, "--regid", name, "--clear-groups"] if os.geteuid() == 0 else []


def run_quietly(command, what, **kw):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=240, env=kw.pop("env", None) or environment(), **kw)
    check_eq(done.returncode, 0, "%s: %s" % (what, done.stdout.decode(errors="replace")[-2000:]))
    return done.stdout.decode(errors="replace").strip()


def private_folder(t, name, user):
    path = t.path(name)
    os.mkdir(path, 0o700)
    if os.geteuid() == 0:
        shutil.chown(path, user, user)
    return path


class Postgres(Server):
    def __init__(self, t, name, primary=None, auth="scram-sha-256"):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found:
            raise Skip("postgresql is not installed: scripts/setup.sh stacks does it")
        self.bin, self.data, address = found[-1], private_folder(t, name, "postgres"), t.address()
        self.user = as_user("postgres")
        if primary is None:
            self.call("initdb", "-D", self.data, "-U", "postgres", "--no-sync", "-A", "trust", "-E", "UTF8")
            with open(os.path.join(self.data, "pg_hba.conf"), "w") as f:
                f.write("local all all trust\nhost all postgres all trust\nhost replication all all trust\n"
                        "host all all all %s\n" % auth)
            with open(os.path.join(self.data, "postgresql.conf"), "a") as f:
                f.write("fsync = off\nunix_socket_directories = ''\nmax_connections = 30\nwal_level = replica\n"
                        "shared_buffers = 8MB\npassword_encryption = '%s'\n" % ("md5" if auth == "md5" else "scram-sha-256"))
        else:
            os.rmdir(self.data)
            os.chmod(t.dir, 0o777)
            self.call("pg_basebackup", "-D", self.data, "-h", primary.address[0], "-p", str(primary.address[1]),
                      "-U", "postgres", "-R", "-c", "fast", "--no-sync", "-X", "fetch")
        super().__init__(t, name, [*self.user, os.path.join(self.bin, "postgres"), "-D", self.data, "-h", address[0],
                                   "-p", str(address[1])], address)
        wait_until(lambda: self.sql("SELECT 1") == "1", lambda: "it answers: " + self.log, seconds=30)

    def kill(self):
        """All at once. Its processes lead groups of their own, and one that is left would keep the next Postgres from
        starting; so the first is stopped before they are counted, or it would begin others for those that it sees end."""
        os.kill(self.process.pid, signal.SIGSTOP)
        wait_until(lambda: state_of(self.process.pid) == "T", "Postgres stops")
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
            children = [int(pid) for pid in f.read().split()]
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        super().kill()
        wait_until(lambda: not any(state_of(pid) not in (None, "Z") for pid in children), "processes of Postgres end")

    def call(self, program, *args):
        return run_quietly([*self.user, os.path.join(self.bin, program), *args], program, cwd="/")

    def sql(self, text, user="postgres"):
        done = subprocess.run(["psql", "-XAtq", "-h", self.address[0], "-p", str(self.address[1]), "-U", user, "postgres",
                               "-c", text], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def promote(self):
        self.call("pg_ctl", "promote", "-D", self.data, "-w")


class MariaDb(Server):
    def __init__(self, t, name, more=()):
        data, address = private_folder(t, name, "mysql"), t.address()
        user = as_user("mysql")
        os.chmod(t.dir, 0o777)
        own = dict(environment(), TMPDIR=private_folder(t, name + "-tmp", "mysql"))  # who starts clears it of tables
        run_quietly(["mariadb-install-db", "--no-defaults", "--datadir=" + data, "--auth-root-authentication-method=normal",
                     "--skip-test-db", *(["--user=mysql"] if user else [])], "mariadb-install-db", cwd="/", env=own)
        self.socket = t.path(name + ".sock")
        super().__init__(t, name, [*user, "mariadbd", "--no-defaults", "--datadir=" + data, "--bind-address=" + address[0],
                                   "--port=%d" % address[1], "--socket=" + self.socket, "--skip-log-bin",
                                   "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=8M", "--skip-name-resolve", *more], address, env=own)

    def sql(self, text):
        return run_quietly(["mariadb", "--no-defaults", "-N", "-S", self.socket, "-u", "root", "-e", text], text)


def redis(t, name="redis", more=()):
    address = t.address()
    return Server(t, name, ["redis-server", "--bind", address[0], "--port", str(address[1]), "--save", "", "--appendonly", "no",
                            "--dir", t.dir, "--protected-mode", "no", *more], address)


def redis_do(address, *words):
    """One command; what it answers, as it is."""
    with contextlib.closing(connect(address)) as s:
        s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
        return recv_line(s)
