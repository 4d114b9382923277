#!/usr/bin/python3
"""bench.py [SCENARIO...] - compares sluice with HAProxy, nginx and a bare relay, in one run.

Method: the proxy under test is pinned to core 1 with one worker, load generator and origin run on
core 0; all proxies are up at the same time and get the load in turn, ROUNDS times (3), each time for
BENCH_SECONDS (2); medians of the rounds. CPU is what the scheduler counted (schedstat) for all threads
of the proxy in the very window of the load, divided by the requests answered in it. Each proxy with
its best settings as far as we found them (see PEERS below), access logs and checks off.

Scenarios: small bulk conn latency memory idle pool checks, http_* for mode http, https_* and h2_small
(secure.py) over TLS, fastcgi* (fastcgi.py) with PHP-FPM behind. Prints a table per scenario, with the ratio
to the better peer, and writes build/bench.json.
"""

import argparse
import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import confs
import fastcgi
import secure

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROXY_CORE, LOAD_CORE = 1, 0
USER_CPU_S = 30  # of CPU, for a split into user and system time
MIB = 1 << 20
IDLE = 4000


def say(text=""):
    print(text, flush=True)


def die(text):
    print("bench: " + text, file=sys.stderr)
    sys.exit(1)


def free_port(taken=set()):
    while True:
        with contextlib.closing(socket.socket()) as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        # outside of the range that outgoing connections use, so that none of them takes it
        port = 12000 + port % 16000
        with contextlib.closing(socket.socket()) as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in taken:
            taken.add(port)
            return port


def pinned(core):
    def set_core():
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {core})
    return set_core


def children(pid):
    """A process and its descendants."""
    found = [pid]
    with contextlib.suppress(FileNotFoundError):
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, task)) as f:
                for child in f.read().split():
                    found += children(int(child))
    return found


def user_kb(pids):
    """Memory in user space: proportional set size, so shared pages count once."""
    total = 0
    for pid in pids:
        with open("/proc/%d/smaps_rollup" % pid) as f:
            total += int(re.search(r"^Pss:\s+(\d+) kB", f.read(), re.M).group(1))
    return total


def cpu_ns(pids):
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):  # a helper of its start
            for task in os.listdir("/proc/%d/task" % pid):
                with open("/proc/%d/task/%s/schedstat" % (pid, task)) as f:
                    total += int(f.read().split()[0])
    return total


def cpu_ticks(pids):
    """[user, system] of all threads, in clock ticks."""
    total = [0, 0]
    for pid in pids:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        total = [total[0] + int(fields[11]), total[1] + int(fields[12])]
    return total


@contextlib.contextmanager
def slow_reader():
    """A backend that takes 4 KiB from each connection every 10 ms, and never answers."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    over = threading.Event()
    connections = []

    def run():
        listener.settimeout(0.01)
        while not over.is_set():
            with contextlib.suppress(OSError):
                c, _ = listener.accept()
                c.setblocking(False)
                connections.append(c)
            for c in connections:
                with contextlib.suppress(OSError):
                    c.recv(4096)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        thread.join()
        for s in connections + [listener]:
            s.close()


def upload_slowly(proxy, seconds):
    """(bytes sent, the most memory that the proxy had, in KiB)"""
    clients = []
    for _ in range(64):
        c = socket.create_connection(("127.0.0.1", proxy.port))
        c.sendall(b"POST /u HTTP/1.1\r\nHost: bench\r\nContent-Length: 1073741824\r\n\r\n")
        c.setblocking(False)
        clients.append(c)
    sent, peak, end = 0, 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for c in clients:
            with contextlib.suppress(OSError):
                sent += c.send(b"x" * 65536)
        peak = max(peak, user_kb(proxy.pids))
    for c in clients:
        c.close()
    return sent, peak


# ---- the proxies ---------------------------------------------------------------------------------

HTTP_BULK_PEERS = {
    "haproxy auto": {},
    "haproxy resp": {"splice": "option splice-response"},
    "haproxy copy256k": {"splice": "", "bufsize": 262144},
    "nginx 64k": {"buffer": "64k"},
    "nginx off": {"buffering": "off"},
}

BULK_PEERS = {
    "haproxy auto": {},
    "haproxy resp": {"splice": "option splice-response"},
    "haproxy copy256k": {"splice": "", "bufsize": 262144},
    "nginx 64k": {},
    "nginx 256k": {"buffer": "256k"},
}


class Proxy:
    """One proxy in front of `backends`; pids are all of its processes."""

    def __init__(self, bench, name, backends, **kw):
        self.name, self.port = name, free_port()
        self.dir = tempfile.mkdtemp(prefix="sl-bench-", dir=bench.dir)
        os.chmod(self.dir, 0o755)
        args = getattr(self, "start_" + name.split(" ")[0])(bench, backends, **kw)
        with open(os.path.join(self.dir, "err"), "w") as err:
            self.process = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=err,
                                            stdin=subprocess.DEVNULL,
                                            preexec_fn=pinned(PROXY_CORE))
        bench.processes.append(self.process)
        deadline = time.monotonic() + 10
        while kw.get("mode") != "udp":
            with contextlib.closing(socket.socket()) as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            if self.process.poll() is not None or time.monotonic() > deadline:
                with open(os.path.join(self.dir, "err")) as f:
                    die("%s does not start: %s" % (name, f.read()[-2000:]))
            time.sleep(0.02)
        time.sleep(1 if kw.get("mode") == "udp" else 0.2)
        self.pids = children(self.process.pid)

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def certificate(self, bench, mode):
        """Puts it into this proxy's folder; whether there is to be one."""
        if mode != "https":
            return False
        for name in ("cert.pem", "key.pem", "both.pem"):
            shutil.copy(os.path.join(bench.certificate(), name), self.dir)
        return True

    def start_sluice(self, bench, backends, mode="tcp", workers=1, **kw):
        engine = "epoll" if "epoll" in self.name else "uring"
        if mode == "tcp":
            return [bench.sluice, "-c", self.write("sluice.conf", confs.sluice_conf(
                engine, self.port, backends, **kw))]
        if mode == "udp":
            return [bench.sluice, "-c", self.write("sluice.conf", confs.SLUICE_UDP % {
                "engine": engine, "port": self.port, "backend": backends[0]})]
        if mode == "files":
            return [bench.sluice, "-c", self.write("sluice.conf", confs.SLUICE_FILES % {
                "engine": engine, "port": self.port, "root": backends[0]})]
        if mode == "fastcgi":
            return [bench.sluice, "-c", self.write("sluice.conf", confs.SLUICE_FASTCGI % {
                "engine": engine, "port": self.port, "root": backends[0],
                "reuse": "always" if kw["keep"] else "never"})]
        rows = ",\n".join('    { name = "b%d"; address = "%s"; }' % (i, b)
                          for i, b in enumerate(backends))
        tls = confs.SLUICE_TLS % {"dir": self.dir} if self.certificate(bench, mode) else ""
        return [bench.sluice, "-c", self.write("sluice.conf", confs.SLUICE_HTTP % {
            "engine": engine, "port": self.port, "rows": rows, "tls": tls, "workers": workers})]

    def start_haproxy(self, bench, backends, bufsize=16384, splice="option splice-auto",
                      mode="tcp", workers=1):
        servers = "\n".join("  server b%d %s" % (i, b) for i, b in enumerate(backends))
        tls = ""
        if self.certificate(bench, mode):
            tls = " ssl crt %s/both.pem alpn h2,http/1.1" % self.dir
        return ["/usr/sbin/haproxy", "-db", "-f", self.write(
            "haproxy.cfg", (confs.HAPROXY if mode == "tcp" else confs.HAPROXY_HTTP) % {
                "port": self.port, "servers": servers, "bufsize": bufsize, "splice": splice,
                "tls": tls, "workers": workers})]

    def start_nginx(self, bench, backends, buffer="64k", buffering="on", mode="tcp", keep=False):
        servers = " ".join("server %s;" % b for b in backends)
        tls = ""
        conf = {"tcp": confs.NGINX, "udp": confs.NGINX_UDP, "files": confs.NGINX_FILES,
                "fastcgi": confs.NGINX_FASTCGI}.get(mode, confs.NGINX_HTTP)
        if self.certificate(bench, mode):
            tls = " ssl http2"
            conf = conf.replace("http {", "http {\n  ssl_certificate %(dir)s/cert.pem;\n"
                                "  ssl_certificate_key %(dir)s/key.pem; ssl_protocols TLSv1.2 TLSv1.3;\n"
                                "  http2_max_concurrent_streams 256;", 1)
        conf = conf % {
            "dir": self.dir, "port": self.port, "servers": servers, "buffer": buffer, "tls": tls,
            "buffering": buffering, "root": backends[0], "keep_conn": "on" if keep else "off",
            "keepalive": "keepalive 64; keepalive_requests 1000000000;" if keep else "", "module": "/usr/lib/nginx/modules/ngx_stream_module.so"}
        if os.geteuid() == 0:
            conf = "user root;\n" + conf  # so that it can read its folder
        return ["/usr/sbin/nginx", "-p", self.dir, "-e", self.dir + "/nginx.log", "-c",
                self.write("nginx.conf", conf)]

    def start_h2o(self, bench, backends, mode="https"):
        self.certificate(bench, mode)
        return ["/usr/bin/h2o", "-m", "worker", "-c", self.write("h2o.conf", confs.H2O % {
            "dir": self.dir, "port": self.port, "backend": backends[0],
            "user": pwd.getpwuid(os.geteuid()).pw_name})]

    def start_relay(self, bench, backends, mode="tcp"):
        return [bench.tool("relay"), "127.0.0.1:%d" % self.port, backends[0]]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        if self.process.poll() is None:
            for pid in self.pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()


class Direct:
    """No proxy: the floor of latency, and what the load generator can do."""
    name, pids = "direct", []

    def __init__(self, address):
        self.port = int(address.rsplit(":", 1)[1])

    def stop(self):
        pass


# ---- measuring -----------------------------------------------------------------------------------

AIMS = {
    ("tcp", "small"): "aim: io_uring 0.92 (0.85), epoll 1.02",
    ("tcp", "bulk"): "aim: 0.88 (0.80), and 1.10 of the relay",
    ("tcp", "conn"): "aim: 0.95 (0.85)",
    ("tcp", "memory"): "aim: at most 1024 bytes",
    ("http", "small"): "aim: io_uring 0.75, epoll 0.90",
    ("http", "bulk"): "aim: 0.75",
    ("http", "conn"): "aim: 0.85",
    ("http", "memory"): "aim: at most 512 bytes",
    ("https", "small"): "aim: 0.80",
    ("https", "bulk"): "aim: 1.0",
}


def prefix(mode):
    return "" if mode == "tcp" else mode + "_"


def tls_option(mode):
    return ["-T"] if mode == "https" else []


class Bench(secure.Scenarios, fastcgi.Scenarios):
    def __init__(self, args):
        self.rounds, self.seconds = args.rounds, args.seconds
        self.sluice = os.path.abspath(os.path.join(ROOT, args.sluice))
        self.out = os.path.join(ROOT, "build")
        self.dir = tempfile.mkdtemp(prefix="sl-bench-")
        os.chmod(self.dir, 0o755)
        self.processes = []
        self.result = {"machine": self.machine(), "rounds": self.rounds, "seconds": self.seconds,
                       "scenarios": {}}
        self.only = args.proxies
        self.have_sluice = os.access(self.sluice, os.X_OK)

    def machine(self):
        def first(command):
            with contextlib.suppress(OSError):
                return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
                                      ).stdout.decode().splitlines()[0]
            return "?"
        return {"cpus": os.cpu_count(), "kernel": os.uname().release,
                "haproxy": first(["/usr/sbin/haproxy", "-v"]),
                "nginx": first(["/usr/sbin/nginx", "-v"]),
                "sluice": first([self.sluice, "-v"])}

    def tool(self, name):
        return os.path.join(self.out, "tests/bench", name)

    def origin(self, body):
        """The origin listens on all of 127.0.0.0/8, so that it can stand for many backends."""
        port = free_port()
        self.processes.append(subprocess.Popen(
            [self.tool("origin"), "0.0.0.0:%d" % port, str(body)], preexec_fn=pinned(LOAD_CORE)))
        time.sleep(0.2)
        return "127.0.0.1:%d" % port

    def load(self, proxy, *args, seconds=None, tool="load"):
        command = [self.tool(tool), "-t", str(seconds or self.seconds)]
        if proxy.pids:
            command += ["-p", ",".join(map(str, proxy.pids))]
        command += [str(a) for a in args] + ["127.0.0.1:%d" % proxy.port]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              preexec_fn=pinned(LOAD_CORE))
        if done.returncode != 0:
            die("load on %s: %s" % (proxy.name, done.stderr.decode()))
        row = json.loads(done.stdout)
        row["cpu_us"] = row["cpu_ns"] / 1000 / max(1, row["requests"])
        if row["errors"]:
            say("  %s: %d errors" % (proxy.name, row["errors"]))
        return row

    def sluices(self):
        return ["sluice uring", "sluice epoll"] if self.have_sluice else []

    def start(self, names, backends, mode="tcp", **kw):
        if self.only:
            names = [n for n in names if any(o in n for o in self.only)]
        return [Proxy(self, n, backends, mode=mode, **kw.get(n, kw.get(n.split(" ")[0], {})))
                for n in names if n != "relay" or mode == "tcp"]

    def interleave(self, proxies, *args, **kw):
        """{name: [row of each round]}"""
        rows = {p.name: [] for p in proxies}
        for _ in range(self.rounds):
            for p in proxies:
                rows[p.name].append(self.load(p, *args, **kw))
        return rows

    def stop(self, proxies):
        for p in proxies:
            p.stop()

    def close(self):
        self.stop_servers()
        for p in self.processes:
            if p.poll() is None:
                p.kill()
                p.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    # -- output

    def keep(self, scenario, values):
        self.result["scenarios"][scenario] = values
        path = os.path.join(self.out, "bench.json")
        with open(path + ".new", "w") as f:
            json.dump(self.result, f, indent=1)
        os.replace(path + ".new", path)

    def table(self, title, columns, rows, ratio_of=0, target=None):
        """rows: {name: [numbers]}; the ratio is that of column ratio_of to the better peer's."""
        peers = [v[ratio_of] for n, v in rows.items() if n.split(" ")[0] in ("haproxy", "nginx")]
        best = min(peers) if peers else None
        say("\n" + title)
        say("  %-16s" % "" + "".join("%12s" % c for c in columns) + ("%10s" % "ratio"))
        for name, values in rows.items():
            ratio = "%10.2f" % (values[ratio_of] / best) if best and values[ratio_of] else ""
            say("  %-16s" % name + "".join(
                "%12s" % ("-" if v is None else "%.1f" % v if v < 1000 else "%.0f" % v)
                for v in values) + ratio)
        if target:
            say("  (" + target + ")")

    def cpu_table(self, title, rows, unit, target):
        out = {}
        for name, rounds in rows.items():
            mid = {k: statistics.median(r[k] for r in rounds) for k in
                   ("cpu_us", "rate", "p50_us", "p99_us")}
            out[name] = [mid["cpu_us"] or None, mid["rate"], mid["p50_us"], mid["p99_us"]]
        self.table(title, ["CPU us/" + unit, "per second", "p50 us", "p99 us"],
                   {n: [v or 0 for v in r] for n, r in out.items()}, 0, target)
        return {n: dict(zip(("cpu_us", "rate", "p50_us", "p99_us"), v),
                        spread=[r["cpu_us"] for r in rows[n]],
                        errors=sum(r["errors"] for r in rows[n])) for n, v in out.items()}

    # -- scenarios

    def small(self, mode="tcp"):
        origin = self.origin(13)
        proxies = self.start(self.sluices() + ["haproxy", "nginx", "relay"], [origin], mode)
        rows = self.interleave(proxies + [Direct(origin)][:mode != "https"], "-c", 64, *tls_option(mode))
        self.stop(proxies)
        self.keep(prefix(mode) + "small", self.cpu_table(prefix(mode) + "small: 64 connections, 13-byte bodies", rows, "request",
                                          AIMS[mode, "small"]))

    def udp_echo(self):
        port = free_port()
        self.processes.append(subprocess.Popen(
            [self.sluice, "origin", "--udp", "127.0.0.1:%d" % port], stderr=subprocess.DEVNULL,
            preexec_fn=pinned(LOAD_CORE)))
        time.sleep(0.5)
        proxies = self.start(self.sluices() + ["nginx"], ["127.0.0.1:%d" % port], "udp")
        rows = self.interleave(proxies, "-c", 64, "-b", 64, tool="udp_load")
        self.stop(proxies)
        self.keep("udp_echo", self.cpu_table("udp_echo: 64 clients, 64 bytes there and back", rows,
                                             "echo", "aim: 0.80"))

    def bulk(self, mode="tcp"):
        origin = self.origin(MIB)
        peers = BULK_PEERS if mode == "tcp" else HTTP_BULK_PEERS
        proxies = self.start(self.sluices() + list(peers) + ["relay"], [origin], mode, **peers)
        rows = self.interleave(proxies + [Direct(origin)][:mode != "https"], "-c", 16,
                               *tls_option(mode))
        self.stop(proxies)
        values = self.cpu_table(prefix(mode) + "bulk: 16 connections, 1 MiB bodies", rows, "MiB",
                                AIMS[mode, "bulk"])
        for name in values:
            if name.startswith("sluice") and "relay" in values:
                say("  %s / relay: %.2f" % (name, values[name]["cpu_us"] / values["relay"]["cpu_us"]))
        self.keep(prefix(mode) + "bulk", values)

    def conn(self, mode="tcp"):
        origin = self.origin(13)
        proxies = self.start(self.sluices() + ["haproxy", "nginx"], [origin], mode)
        rows = self.interleave(proxies + [Direct(origin)], "-c", 64, "-k")
        self.stop(proxies)
        self.keep(prefix(mode) + "conn", self.cpu_table(prefix(mode) + "conn: a connection per request, 64 at a time", rows,
                                         "request", AIMS[mode, "conn"]))

    def latency(self, mode="tcp"):
        origin = self.origin(13)
        proxies = self.start(self.sluices() + ["haproxy", "nginx"], [origin], mode)
        slowest = min(self.load(p, "-c", 64, seconds=1)["rate"] for p in proxies)
        rate = int(slowest / 2)
        rows = self.interleave(proxies + [Direct(origin)], "-c", 64, "-r", rate)
        self.stop(proxies)
        out = {n: {k: statistics.median(r[k] for r in rounds) for k in
                   ("p99_us", "p50_us", "p90_us", "p999_us", "cpu_us")}
               for n, rounds in rows.items()}
        self.table(prefix(mode) + "latency: %d requests per second at fixed times, 64 connections" % rate,
                   ["p99 us", "p50 us", "p90 us", "p99.9 us", "CPU us"],
                   {n: list(v.values()) for n, v in out.items()}, 0, "aim: p99 at most 1.10")
        out["rate"] = rate
        self.keep(prefix(mode) + "latency", out)

    def memory(self, mode="tcp"):
        origin = self.origin(13)
        out = {}
        for name in self.sluices() + ["haproxy", "nginx"]:
            for p in self.start([name], [origin], mode):
                self.load(p, "-c", 64, seconds=0.5)
                time.sleep(0.3)
                before = user_kb(p.pids)
                holder = subprocess.Popen(
                    [self.tool("load"), "-m", "-i", str(IDLE), "127.0.0.1:%d" % p.port],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=pinned(LOAD_CORE))
                if holder.stdout.readline() != b"idle\n":
                    die("%s: no %d idle connections" % (name, IDLE))
                time.sleep(1)
                out[name] = [(user_kb(p.pids) - before) * 1024 / IDLE, before]
                holder.stdin.close()
                holder.wait()
                p.stop()
        self.table(prefix(mode) + "memory: %d idle connections through the proxy (user space, Pss)" % IDLE,
                   ["bytes/pair", "before kB"], out, 0, AIMS[mode, "memory"])
        self.keep(prefix(mode) + "memory", {n: {"bytes_per_pair": v[0], "before_kb": v[1]} for n, v in out.items()})

    def http_small(self):
        self.small("http")

    def http_bulk(self):
        self.bulk("http")

    def http_conn(self):
        self.conn("http")

    def http_latency(self):
        self.latency("http")

    def http_memory(self):
        self.memory("http")

    def http_user(self):
        """Long enough that the kernel's sampling of user and system time means something."""
        origin = self.origin(13)
        proxies = self.start(self.sluices() + ["haproxy", "nginx"], [origin], "http")
        out = {}
        for p in proxies:
            before, requests = cpu_ticks(p.pids), 0
            while sum(cpu_ticks(p.pids)) - sum(before) < USER_CPU_S * os.sysconf("SC_CLK_TCK"):
                requests += self.load(p, "-c", 64, seconds=5)["requests"]
            us = [(b - a) * 1e6 / os.sysconf("SC_CLK_TCK") / requests
                  for a, b in zip(before, cpu_ticks(p.pids))]
            out[p.name] = [us[0], us[1]]
        self.stop(proxies)
        self.table("http_user: CPU per small request over %d s of CPU" % USER_CPU_S,
                   ["user us", "system us"], out, 0, "aim: at most 4 in user space")
        self.keep("http_user", {n: {"user_us": v[0], "system_us": v[1]} for n, v in out.items()})

    def http_uploads(self):
        """64 uploads of 1 GiB to a backend that reads slowly: what the proxy holds meanwhile."""
        out = {}
        for name in self.sluices() + ["haproxy", "nginx"]:
            with slow_reader() as port:
                for p in self.start([name], ["127.0.0.1:%d" % port], "http"):
                    before = user_kb(p.pids)
                    sent, peak = upload_slowly(p, self.seconds + 3)
                    out[name] = [peak / 1024, before / 1024, sent / MIB]
                    p.stop()
        self.table("http_uploads: 64 slow uploads of 1 GiB (user space, Pss, the most)",
                   ["MiB", "before", "sent"], out, 0, "aim: at most 64 MiB")
        self.keep("http_uploads", {n: {"peak_mib": v[0]} for n, v in out.items()})

    def static(self, name, size, connections, unit, aim):
        root = os.path.join(self.dir, "www")
        os.makedirs(root, exist_ok=True)
        with open(os.path.join(root, "file.html"), "wb") as f:
            f.write(os.urandom(size))
        proxies = self.start(self.sluices() + ["nginx"], [root], "files")
        rows = self.interleave(proxies, "-c", connections, "-P", "/file.html")
        self.stop(proxies)
        self.keep(name, self.cpu_table("%s: %d connections, a file of %d bytes" % (name, connections, size),
                                       rows, unit, aim))

    def static_small(self):
        self.static("static_small", 4000, 64, "request", "aim: 0.90")

    def static_large(self):
        self.static("static_large", MIB, 16, "MiB", "aim: 1.0")

    def idle(self):
        origin = self.origin(13)
        proxies = self.start(self.sluices() + ["haproxy", "nginx"], [origin])
        alone = {p.name: [] for p in proxies}
        crowd = {p.name: [] for p in proxies}
        for _ in range(self.rounds):
            for p in proxies:
                alone[p.name].append(self.load(p, "-c", 64)["cpu_us"])
                crowd[p.name].append(self.load(p, "-c", 64, "-i", IDLE - 64)["cpu_us"])
        self.stop(proxies)
        out = {n: (statistics.median(crowd[n]), statistics.median(alone[n])) for n in alone}
        say("\nidle: 64 active connections, alone and among %d" % IDLE)
        say("  %-16s%12s%12s%10s" % ("", "CPU us 4000", "CPU us 64", "ratio"))
        for n, (a, b) in out.items():
            say("  %-16s%12.1f%12.1f%10.2f" % (n, a, b, a / b))
        say("  (aim: sluice 1.15)")
        self.keep("idle", {n: {"crowd_us": a, "alone_us": b} for n, (a, b) in out.items()})

    def pool(self):
        """A connection per request, so that each request is a pick."""
        origin = self.origin(13)
        port = origin.rsplit(":", 1)[1]
        sizes = {n: ["127.1.%d.%d:%s" % (i // 250, 1 + i % 250, port) for i in range(n)]
                 for n in (10, 1000)}
        out = {}
        say("\npool: a connection per request, 10 and 1000 backends")
        say("  %-20s%12s%12s%10s" % ("", "CPU us 1000", "CPU us 10", "ratio"))
        for balance in ("round_robin", "least_connections", "random_two", "hash"):
            proxies = {n: self.start(self.sluices()[:1], backends, sluice={"balance": balance})
                       for n, backends in sizes.items()}
            rows = {n: [] for n in sizes}
            for _ in range(self.rounds):
                for n, started in proxies.items():
                    rows[n] += [self.load(p, "-c", 64, "-k", seconds=min(1, self.seconds))["cpu_us"]
                                for p in started]
            for started in proxies.values():
                self.stop(started)
            if all(rows.values()):
                mid = {n: statistics.median(r) for n, r in rows.items()}
                out[balance] = mid
                say("  %-20s%12.1f%12.1f%10.2f" % (balance, mid[1000], mid[10],
                                                   mid[1000] / mid[10]))
        self.keep("pool", out)

    def checks(self):
        """The same number of checks a second, spread over 10 and over 1000 backends."""
        origin = self.origin(13)
        port = origin.rsplit(":", 1)[1]
        out = {}
        per_second = 500
        for n in (10, 1000):
            backends = ["127.1.%d.%d:%s" % (i // 250, 1 + i % 250, port) for i in range(n)]
            health = 'type = "tcp"; interval = "%dms";' % (n * 1000 // per_second)
            for p in self.start(self.sluices()[:1], backends, sluice={"health": health}):
                time.sleep(2.5)
                before = cpu_ns(p.pids)
                took = max(4, self.seconds)
                time.sleep(took)
                out[n] = (cpu_ns(p.pids) - before) / 1000 / (per_second * took)
                p.stop()
        if out:
            say("\nchecks: %d tcp checks per second" % per_second)
            say("  CPU us per check: 10 backends %.1f, 1000 backends %.1f, ratio %.2f" % (
                out[10], out[1000], out[1000] / out[10]))
        self.keep("checks", out)


SCENARIOS = ("small", "bulk", "conn", "latency", "memory", "idle", "pool", "checks", "udp_echo",
             "http_small", "http_bulk", "http_conn", "http_latency", "http_memory", "http_uploads",
             "http_user", "static_small", "static_large") + secure.SCENARIOS + fastcgi.SCENARIOS


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenarios", nargs="*", help=" ".join(SCENARIOS))
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS") or 3))
    parser.add_argument("--seconds", type=float,
                        default=float(os.environ.get("BENCH_SECONDS") or 2))
    parser.add_argument("--sluice", default="build/sluice")
    parser.add_argument("--proxies", nargs="*", help="only these: sluice haproxy nginx relay")
    args = parser.parse_args()
    for name in args.scenarios:
        if name not in SCENARIOS:
            die("unknown scenario '%s', expected some of: %s" % (name, " ".join(SCENARIOS)))
    if len(os.sched_getaffinity(0)) < 2:
        die("two processors are needed: one for the proxy, one for load and origin")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    bench = Bench(args)
    if not bench.have_sluice:
        say("bench: %s is not there, measuring the others only" % args.sluice)
    say("kernel %(kernel)s, %(cpus)s processors; %(sluice)s; %(haproxy)s; %(nginx)s" %
        bench.result["machine"])
    try:
        for name in args.scenarios or SCENARIOS:
            getattr(bench, name)()
    finally:
        bench.close()
    say("\nwritten: build/bench.json")


if __name__ == "__main__":
    main()
