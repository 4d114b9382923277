"""harness.py - what the end-to-end tests are written with.

A test is a function `test_…(t)`; `t` is a Test: it starts sluice with a configuration, backends and
clients, and knows the engine. Every test has a loopback address of its own (t.ip, from its process
id), so ports never meet those of other tests or other runs. When the function returns, the invariants
of every sluice that it started are checked (Sluice.check_quiet): alive, in-flight counts zero,
descriptors and buffers given back, exit status 0 after SIGTERM, nothing said by a sanitizer.

Python's standard library only. Wait for conditions (wait_until), never for times.
"""

import contextlib
import csv
import errno
import fcntl
import hashlib
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

SECONDS = 15  # how long a condition may take; generous, as sanitizers on a busy machine are slow
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# A test that holds thousands of connections needs more open files than most logins have. sluice starts
# with the limit that we were given: raising it is its own business.
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)
FILES_OF_TESTS = 16384

SANITIZER_MARKS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
                   "WARNING: ThreadSanitizer", "ThreadSanitizer:DEADLYSIGNAL",
                   "AddressSanitizer:DEADLYSIGNAL", "assertion failed", "Assertion")


class Skip(Exception):
    """The machine lacks what the test is about; said in the runner's line."""


class Failure(AssertionError):
    pass


def check(condition, what, *details):
    if not condition:
        raise Failure(" ".join([what] + [repr(d) for d in details]))


def check_eq(got, expected, what=""):
    if got != expected:
        raise Failure("%s: got %s, expected %s" % (what or "value", short(got), short(expected)))


def check_in(part, whole, what=""):
    if part not in whole:
        raise Failure("%s: %r is not in %s" % (what or "text", part, short(whole)))


def check_match(pattern, text, what=""):
    found = re.search(pattern, text, re.M)
    if not found:
        raise Failure("%s: /%s/ does not match %s" % (what or "text", pattern, short(text)))
    return found


def short(value, limit=2000):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[:limit // 2] + " … " + text[-limit // 2:]


def wait_until(condition, what, seconds=SECONDS, every=0.02):
    """Calls condition() until it is true and returns what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            text = what() if callable(what) else what
            raise Failure("not within %g s: %s" % (seconds, text))
        time.sleep(every)


def holds_for(seconds, condition, what):
    """Fails when condition() turns false within these seconds: for things that must not happen."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        check(condition(), what)
        time.sleep(0.02)


# ---- sockets -------------------------------------------------------------------------------------

def connect(address, timeout=SECONDS, source=None, rcvbuf=None):
    """A client connection; address is (host, port) or a unix path ("@x": abstract)."""
    if isinstance(address, str):
        s = socket.socket(socket.AF_UNIX)
        address = "\0" + address[1:] if address.startswith("@") else address
    else:
        s = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            s.bind((source, 0))
    if rcvbuf:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    s.settimeout(timeout)
    try:
        s.connect(address)
    except BaseException:
        s.close()
        raise
    return s


def recv_exact(s, n):
    parts = []
    while n > 0:
        part = s.recv(min(n, 1 << 18))
        if not part:
            raise Failure("end of stream, %d bytes missing; before: %s" %
                          (n, short(b"".join(parts), 200)))
        parts.append(part)
        n -= len(part)
    return b"".join(parts)


def recv_line(s):
    line = b""
    while not line.endswith(b"\n"):
        part = s.recv(1)
        if not part:
            raise Failure("end of stream after %r, expected a line" % line)
        line += part
    return line


def recv_all(s):
    parts = []
    while True:
        part = s.recv(1 << 18)
        if not part:
            return b"".join(parts)
        parts.append(part)


def expect_eof(s, what="connection"):
    data = s.recv(1)
    check(data == b"", what + ": expected the end of the stream, got", data)


def expect_reset(s, what="connection"):
    """Reads until the reset; an orderly end instead is a failure."""
    try:
        data = recv_all(s)
    except ConnectionResetError:
        return
    raise Failure("%s: expected a reset, got an orderly end after %s" % (what, short(data, 200)))


def expect_closed(s, what="connection"):
    """The peer ended it, one way or the other."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        data = recv_all(s)
        check(data == b"", what + ": expected the end, got data first", data[:200])


def reset(s):
    """Closes with a reset (TCP)."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def pattern(n, seed=b"sluice"):
    """n bytes that repeat nowhere near; the same for the same seed."""
    block = b"".join(hashlib.sha256(seed + struct.pack(">I", i)).digest() for i in range(2048))
    head = struct.pack(">Q", n)
    return (head + block * (n // len(block) + 1))[:n]


class Backend:
    """A TCP server in threads. handler(conn, backend) runs for every connection and may do whatever
    it likes with it; when it returns the connection is closed. address: (ip, port) or a path."""

    def __init__(self, address, handler, name="", backlog=1024, rcvbuf=None):
        self.address, self.handler, self.name = address, handler, name
        self.backlog, self.rcvbuf = backlog, rcvbuf
        self.accepted = 0
        self.seen, self.heads, self.ended, self.sent = [], 0, 0, 0  # for handlers, which may count there
        self.errors = []
        self.lock = threading.Lock()
        self.conns = set()
        self.listener = None
        self.start()

    def start(self):
        """Listens (again, after stop)."""
        if isinstance(self.address, str):
            family = socket.AF_UNIX
            address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
            with contextlib.suppress(FileNotFoundError):
                if not self.address.startswith("@"):
                    os.unlink(self.address)
        else:
            family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
            address = self.address
        s = socket.socket(family)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.rcvbuf:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.rcvbuf)
        s.bind(address)
        s.listen(self.backlog)
        self.listener = s
        threading.Thread(target=self._accept, args=(s,), daemon=True).start()
        return self

    def _accept(self, listener):
        while True:
            try:
                conn, self.peer = listener.accept()
            except OSError:
                return
            with self.lock:
                self.accepted += 1
                self.conns.add(conn)
            conn.settimeout(SECONDS * 4)
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        try:
            self.handler(conn, self)
        except (ConnectionError, TimeoutError, socket.timeout):
            pass
        except OSError as e:
            if e.errno not in (errno.EBADF, errno.ENOTCONN):
                self.errors.append(repr(e))
        except Exception as e:  # a test's own mistake must not go unseen
            self.errors.append(repr(e))
        finally:
            with self.lock:
                self.conns.discard(conn)
            with contextlib.suppress(OSError):
                conn.close()

    def stop(self):
        """Refuses new connections; existing ones stay."""
        if self.listener:
            # shutdown wakes the thread in accept(2); the kernel holds the port until it returns
            with contextlib.suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None

    def kill(self):
        """As a dying process: nobody listens, all connections are reset."""
        self.stop()
        with self.lock:
            conns, self.conns = list(self.conns), set()
        for conn in conns:
            with contextlib.suppress(OSError):
                conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # close() alone would wait for the handler's recv; a shutdown wakes it
                conn.shutdown(socket.SHUT_RD)
                conn.close()

    @property
    def open(self):
        with self.lock:
            return len(self.conns)


# What backends do.

def echo(conn, backend):
    while True:
        data = conn.recv(65536)
        if not data:
            return
        conn.sendall(data)


def named(conn, backend):
    """Server first: says its name and a newline, then echoes."""
    conn.sendall(backend.name.encode() + b"\n")
    echo(conn, backend)


def answers(conn, backend):
    """Per line: `NAME LINE`."""
    reader = conn.makefile("rb")
    for line in reader:
        conn.sendall(backend.name.encode() + b" " + line)


def hangs(conn, backend):
    """Takes everything, says nothing, until the peer ends."""
    while conn.recv(65536):
        pass


def resets_at_once(conn, backend):
    reset(conn)


def closes_at_once(conn, backend):
    pass


def http_status(status=200, body=b"ok"):
    """A handler: one HTTP answer per connection; status may be a function."""
    def handler(conn, backend):
        data = b""
        while b"\r\n\r\n" not in data:
            part = conn.recv(4096)
            if not part:
                return
            data += part
        backend.last_request = data
        code = status() if callable(status) else status
        conn.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" %
                     (code, len(body), body))
    return handler


# ---- sluice --------------------------------------------------------------------------------------

def fds_of(pid, but=()):
    """{kind: count} of a process' open descriptors; kinds as in /proc: socket, pipe, anon, file. but: folders whose
    files do not count."""
    kinds = {}
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            target = os.readlink("/proc/%d/fd/%s" % (pid, fd))
        except FileNotFoundError:
            continue
        if target.startswith(tuple(but)):
            continue
        kind = ("socket" if target.startswith("socket:") else "pipe" if target.startswith("pipe:")
                else "anon" if target.startswith("anon_inode:") else "file")
        kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


def status_kb(pid, field):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"^%s:\s+(\d+) kB" % field, f.read(), re.M).group(1))


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Ctl:
    """One connection to the stats socket in prompt mode, for several commands."""

    def __init__(self, path):
        self.s = connect(path)
        self.command("prompt")

    def command(self, text):
        self.s.sendall(text.encode() + b"\n")
        data = b""
        while not data.endswith(b"\n> "):
            part = self.s.recv(65536)
            if not part:
                raise Failure("stats socket ended after %r, answering %r" % (data, text))
            data += part
        return data[:-3].decode()

    def close(self):
        self.s.close()


class Sluice:
    """A running sluice. conf: configuration text, or None for extra arguments alone (quick)."""

    def __init__(self, test, conf=None, args=None, env=None, nofile=None, wait=True, stats=True,
                 ready=True, number=0):
        self.test = test
        self.name = "sluice%s" % (number or "")
        self.stats_path = os.path.join(test.dir, self.name + ".sock")
        self.log_path = os.path.join(test.dir, self.name + ".log")
        self.access_path = os.path.join(test.dir, self.name + ".access")
        self.quiet = True  # check the invariants at the end
        self.roots = []  # of files that it serves: those are kept open for a while, as is what waits for disks
        self.ended = False
        self.expected_exit = 0
        command = [test.binary]
        if conf is not None:
            self.conf_path = os.path.join(test.dir, self.name + ".conf")
            if stats and not re.search(r"^\s*stats\s*=", conf, re.M):
                conf = 'stats = { socket = "%s"; level = "admin"; };\n' % self.stats_path + conf
            if not re.search(r"^\s*io\s*=", conf, re.M):
                conf = 'io = "%s";\n' % test.engine + conf
            if not re.search(r"^\s*workers\s*=", conf, re.M):
                conf = "workers = 2;\n" + conf
            with open(self.conf_path, "w") as f:
                f.write(conf)
            command += ["-c", self.conf_path]
        command += args or []
        full_env = dict(os.environ, **(env or {}))
        # an aborted assertion shows its stack
        full_env["ASAN_OPTIONS"] = full_env.get("ASAN_OPTIONS", "") + ":handle_abort=1"

        # By a program: what a preexec_fn asks for is a fork of a process with threads, in which grpc hangs.
        limits = ["prlimit", "--nofile=" + ":".join(
            "unlimited" if n == resource.RLIM_INFINITY else str(n) for n in ((nofile, nofile) if nofile else FILES))]
        self.started_at = time.monotonic()
        with open(self.log_path, "ab") as log, open(self.access_path, "ab") as access:
            self.process = subprocess.Popen(limits + test.prefix + command, stdin=subprocess.DEVNULL,
                                            stdout=access, stderr=log, env=full_env, cwd=test.dir)
        self.pid = self.process.pid
        if not wait:
            return
        if stats:
            wait_until(self.answers, lambda: "the stats socket answers; log:\n" + self.log)
            if ready:
                wait_until(lambda: self.ctl("show ready").strip() == "ready",
                           lambda: "show ready says ready, not %r; log:\n%s" %
                           (self.ctl("show ready"), self.log))
            self.baseline = self.settled_fds()

    # -- what it says

    @property
    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    @property
    def access(self):
        with open(self.access_path, errors="replace") as f:
            return f.read()

    def alive(self):
        return self.process.poll() is None

    def wait_log(self, regex, seconds=SECONDS, count=1):
        return wait_until(lambda: len(re.findall(regex, self.log, re.M)) >= count,
                          lambda: "log line /%s/; log:\n%s" % (regex, short(self.log)), seconds)

    def wait_access(self, regex, seconds=SECONDS, count=1):
        wait_until(lambda: len(re.findall(regex, self.access, re.M)) >= count,
                   lambda: "access line /%s/; access log:\n%s" % (regex, short(self.access)),
                   seconds)
        return re.search(regex, self.access, re.M)

    # -- stats socket

    def answers(self):
        if not self.alive():
            raise Failure("sluice ended with %s at start; log:\n%s" %
                          (self.process.returncode, self.log))
        try:
            return "Pid:" in self.ctl("show info")
        except (FileNotFoundError, ConnectionError):
            return False

    def ctl(self, command):
        """One command line, not interactive; the answer without the empty line that ends it."""
        with contextlib.closing(connect(self.stats_path)) as s:
            s.sendall(command.encode() + b"\n")
            data = recv_all(s).decode()
        check(data.endswith("\n"), "answer to %r does not end with an empty line" % command, data)
        return data[:-1]

    def ok(self, command):
        """A command that must say nothing."""
        check_eq(self.ctl(command).strip(), "", "answer to %r" % command)

    def info(self):
        return dict(line.split(": ", 1) for line in self.ctl("show info").splitlines()
                    if ": " in line)

    def stat(self):
        """{(pxname, svname): {column: text}}"""
        lines = self.ctl("show stat").splitlines()
        check(lines[0].startswith("# pxname,svname,"), "show stat header", lines[0][:80])
        names = lines[0][2:].split(",")
        rows = {}
        for fields in csv.reader(lines[1:]):  # texts of checks may have commas, in quotes
            row = dict(zip(names, fields))
            rows[row["pxname"], row["svname"]] = row
        return rows

    def status(self, pool, backend):
        return self.stat()[pool, backend]["status"]

    def wait_status(self, pool, backend, regex, seconds=SECONDS):
        def now():
            return re.fullmatch(regex, self.status(pool, backend))
        wait_until(now, lambda: "%s/%s is %r, expected /%s/; log:\n%s" % (
            pool, backend, self.status(pool, backend), regex, short(self.log)), seconds)

    def number(self, pool, name, column):
        return int(self.stat()[pool, name][column] or 0)

    def wait_number(self, pool, name, column, expected, seconds=SECONDS):
        wait_until(lambda: self.number(pool, name, column) == expected,
                   lambda: "%s/%s %s is %d, expected %d" % (
                       pool, name, column, self.number(pool, name, column), expected), seconds)

    # -- invariants

    def settled_fds(self):
        """The smallest number of sockets seen for a while: checks come and go."""
        best = None
        since = time.monotonic()
        while time.monotonic() - since < 0.15:
            now = fds_of(self.pid)
            if best is None or now.get("socket", 0) < best.get("socket", 0):
                best = now
            time.sleep(0.02)
        return best

    def in_flight(self):
        """What is not zero and should be when no client is there."""
        left = []
        for (px, sv), row in self.stat().items():
            for column in ("scur", "qcur"):
                if row.get(column) not in ("", "0", None):
                    left.append("%s/%s %s=%s" % (px, sv, column, row[column]))
        info = self.info()
        if info.get("CurrConns", "0") != "0":
            left.append("CurrConns=" + info["CurrConns"])
        for key in ("PipesUsed", "PoolUsed_bytes"):  # pipes and buffers of all workers
            if info.get(key) != "0":
                left.append("%s=%s" % (key, info.get(key)))
        return left

    def check_quiet(self):
        """Invariants after a scenario, when its clients are gone."""
        check(self.alive(), "sluice died with %s; log:\n%s" % (self.process.returncode, self.log))
        wait_until(lambda: not self.in_flight(),
                   lambda: "in-flight counts back to zero: %s\n%s" % (
                       ", ".join(self.in_flight()), short(self.ctl("show sess"))))

        def idle():  # connections to backends that are kept for the next request
            return sum(int(row["srv_icur"] or 0) for (_, sv), row in self.stat().items()
                       if sv not in ("FRONTEND", "BACKEND"))

        def back():  # checks come and go
            now = fds_of(self.pid, self.roots)
            allowed = dict(self.baseline, socket=self.baseline.get("socket", 0) + idle(),
                           anon=self.baseline.get("anon", 0) + (2 if self.roots else 0))
            return all(n <= allowed.get(kind, 0) for kind, n in now.items() if kind != "pipe")
        wait_until(back, lambda: "descriptors back to %s and %d idle ones: %s" % (
            self.baseline, idle(), fds_of(self.pid)))
        # Up to 64 idle pipes per worker are kept on purpose.
        pipes = fds_of(self.pid).get("pipe", 0) - self.baseline.get("pipe", 0)
        check(pipes <= 2 * 64 * 2, "pipes left open", pipes)

    def terminate(self, sig=signal.SIGTERM, seconds=SECONDS):
        """Sends the signal, waits for the end, checks status and sanitizers."""
        if self.alive():
            self.process.send_signal(sig)
        self.wait_end(seconds)

    def wait_end(self, seconds=SECONDS, status=0):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure("sluice did not end within %g s; log:\n%s" % (seconds, self.log))
        self.ended = True
        self.check_sanitizers()
        check_eq(self.process.returncode, status, "exit status; log:\n%s\n" % short(self.log))

    def check_sanitizers(self):
        log = self.log
        for mark in SANITIZER_MARKS:
            if mark in log:
                at = log.index(mark)
                raise Failure("sanitizer or assertion:\n" + log[max(0, at - 500):at + 4000])

    def finish(self):
        """The end of every test."""
        if self.ended:
            return
        if self.quiet:
            self.check_quiet()
        self.terminate()


# ---- a test --------------------------------------------------------------------------------------

def allow_many_files():
    soft, hard = FILES
    wanted = FILES_OF_TESTS if hard == resource.RLIM_INFINITY else min(FILES_OF_TESTS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Test:
    def __init__(self, engine, directory, binary, prefix=()):
        self.engine, self.dir, self.binary = engine, directory, binary
        self.prefix = list(prefix)
        pid = os.getpid()
        # 127.0.0.0/8 is all ours: the process id makes an address that nobody else uses
        host = (1 + pid // 62500 % 100, 1 + pid // 250 % 250, 1 + pid % 250)
        self.ip = "127.%d.%d.%d" % host
        self.other_ip = "127.%d.%d.%d" % (host[0] + 100, *host[1:])
        # ::1 is there once for all: tests that run at the same time begin at different ports
        self.ports = iter(range(20001 + pid % 450 * 20, 30001))
        self.backends, self.sluices, self.processes = [], [], []
        code = open(binary, "rb").read() if binary else b""
        self.sanitized = b"__asan_init" in code or b"__tsan_init" in code

    def port(self):
        """A free port on this test's own address, on ::1 too. One that somebody has on the wildcard
        address, perhaps as the end of a connection of his own, is free on neither."""
        def free(family, host, port):
            with contextlib.closing(socket.socket(family)) as s:
                try:
                    s.bind((host, port))
                    return True
                except OSError:
                    return False
        for port in self.ports:
            if free(socket.AF_INET, self.ip, port) and free(socket.AF_INET6, "::1", port):
                return port
        raise Failure("no free port")

    def address(self):
        return (self.ip, self.port())

    def path(self, name):
        return os.path.join(self.dir, name)

    def backend(self, handler=named, name=None, address=None, **kw):
        b = Backend(address or self.address(), handler,
                    name or "b%d" % (len(self.backends) + 1), **kw)
        self.backends.append(b)
        return b

    def closed_address(self):
        """An address where nobody listens: connects are refused."""
        return self.address()

    def hanging_address(self):
        """An address whose connects hang: a listener with a full backlog."""
        address = self.address()
        s = socket.socket()
        s.bind(address)
        s.listen(0)
        fillers = []
        for _ in range(8):
            c = socket.socket()
            c.setblocking(False)
            c.connect_ex(address)
            fillers.append(c)
        self.keep = getattr(self, "keep", []) + [s, fillers]
        probe = socket.socket()
        probe.settimeout(0.3)
        try:
            probe.connect(address)
        except (TimeoutError, socket.timeout):
            return address
        finally:
            probe.close()
        raise Skip("a full backlog does not make connects hang here")

    def sluice(self, conf=None, **kw):
        s = Sluice(self, conf, number=len(self.sluices), **kw)
        self.sluices.append(s)
        return s

    def simple(self, backends, listen=None, pool="", listener="", top="", **kw):
        """The usual: one tcp listener `front` before one pool `app` with these backends (Backend
        objects or addresses; a tuple (x, "settings") adds settings). Returns (sluice, address)."""
        listen = listen or self.address()
        conf = top + '\npools = ( { name = "app"; mode = "tcp"; %s\n  backends = (%s); } );\n' % (
            pool, self.backend_list(backends))
        conf += 'listeners = ( { name = "front"; mode = "tcp"; bind = "%s"; pool = "app"; %s } );\n' % (
            where(listen), listener)
        return self.sluice(conf, **kw), listen

    def backend_list(self, backends):
        """Rows of the configuration. A Backend has its own name, an address b1, b2… by its place (x1,
        x2… where a Backend has that name)."""
        rows = []
        plain = [b[0] if isinstance(b, tuple) and isinstance(b[1], str) else b for b in backends]
        taken = {b.name for b in plain if hasattr(b, "name")}
        for i, item in enumerate(backends):
            extra = ""
            if isinstance(item, tuple) and isinstance(item[1], str):
                item, extra = item
            name = item.name if hasattr(item, "name") else "b%d" % (i + 1)
            if not hasattr(item, "name") and name in taken:
                name = "x%d" % (i + 1)
            address = item.address if hasattr(item, "address") else item
            rows.append('\n    { name = "%s"; address = "%s"; %s }' % (name, where(address), extra))
        return ",".join(rows)

    def run(self, *args, **kw):
        """sluice with arguments, to its end: (status, stdout, stderr)."""
        env = dict(os.environ, **kw.pop("env", {}))
        done = subprocess.run(self.prefix + [self.binary, *args], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SECONDS * 2,
                              env=env, cwd=self.dir, **kw)
        err = done.stderr.decode(errors="replace")
        for mark in SANITIZER_MARKS:
            check(mark not in err, "sanitizer: " + err)
        return done.returncode, done.stdout.decode(errors="replace"), err

    def program(self, args, **kw):
        """A helper program (nginx, an exporter) that ends with the test."""
        if not shutil.which(args[0], path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            raise Skip(args[0] + " is not installed")
        args = [shutil.which(args[0], path=os.environ["PATH"] + ":/usr/sbin:/sbin"), *args[1:]]
        p = subprocess.Popen(args, stdin=subprocess.DEVNULL, **kw)
        self.processes.append(p)
        return p

    def finish(self):
        for s in self.sluices:
            s.finish()
        for b in self.backends:
            check(not b.errors, "a backend's handler failed", b.errors[:3])

    def clean_up(self):
        for b in self.backends:
            b.stop()
        for p in self.processes + [s.process for s in self.sluices]:
            if p.poll() is None:
                kill_with_children(p)
                p.wait()


def kill_with_children(process):
    """Children of a server that has no time to end them would outlive it: those of its group end with it."""
    if os.getpgid(process.pid) == process.pid:
        os.killpg(process.pid, 9)
    else:
        process.kill()


def where(address):
    """An address as the configuration wants it."""
    if isinstance(address, str):
        return address if address.startswith("unix:") or not address.startswith(("/", "@")) \
            else "unix:" + address
    return "[%s]:%d" % address[:2] if ":" in address[0] else "%s:%d" % address[:2]


def talk(address, text=b"hello\n", **kw):
    """One exchange with `answers` or `echo` backends: the answer's line."""
    with contextlib.closing(connect(address, **kw)) as s:
        s.sendall(text)
        return recv_line(s)


def who(address, **kw):
    """Which `named` backend takes a connection."""
    with contextlib.closing(connect(address, **kw)) as s:
        return recv_line(s).strip().decode()


def in_threads(n, work):
    """Runs work(i) in n threads, raises the first exception, returns the results."""
    results, errors = [None] * n, []

    def one(i):
        try:
            results[i] = work(i)
        except BaseException as e:
            errors.append(e)
    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(n)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    for thread in threads:
        thread.join(max(0.1, deadline - time.monotonic()))
    if errors:
        raise errors[0]
    check(not any(thread.is_alive() for thread in threads), "a client thread hangs")
    return results
