"""secure.py - bench.py's scenarios over TLS and HTTP/2: https_small https_bulk https_full https_resume
https_workers https_memory h2_small."""

import json
import os
import re
import statistics
import subprocess
import sys
import time

SCENARIOS = ("https_small", "https_bulk", "https_full", "https_resume", "https_workers",
             "https_memory", "h2_small")
IDLE = 2000
LOAD_CORE = 0


def bench_module():
    return sys.modules["__main__"]


class Scenarios:
    """Of class Bench, which has all that is used here."""

    def certificate(self):
        """The folder of cert.pem, key.pem, both.pem: ECDSA P-256, made once."""
        folder = os.path.join(self.dir, "certificate")
        if not os.path.isdir(folder):
            os.mkdir(folder)
            cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                            "-days", "30", "-subj", "/CN=bench.example",
                            "-addext", "subjectAltName=DNS:bench.example"],
                           check=True, stderr=subprocess.DEVNULL)
            with open(os.path.join(folder, "both.pem"), "w") as both:
                for name in (cert, key):
                    with open(name) as f:
                        both.write(f.read())
        return folder

    def https_small(self):
        self.small("https")

    def https_bulk(self):
        self.bulk("https")

    def handshakes(self, name, title, aim, *options):
        origin = self.origin(13)
        proxies = self.start(self.sluices() + ["haproxy", "nginx"], [origin], "https")
        rows = self.interleave(proxies, "-c", 16, "-k", "-T", *options)
        self.stop(proxies)
        values = self.cpu_table(title, rows, "connect", aim)
        for n, rounds in rows.items():
            share = sum(r["resumed"] for r in rounds) / max(1, sum(r["connects"] for r in rounds))
            values[n]["resumed"] = share
            say("  %s: %d %% resumed" % (n, round(100 * share)))
        self.keep(name, values)

    def https_full(self):
        self.handshakes("https_full", "https_full: a full handshake and a request per connection",
                        "aim: 1.0")

    def https_resume(self):
        self.handshakes("https_resume", "https_resume: a resumed session and a request per connection",
                        "aim: 0.9", "-R")

    def https_workers(self):
        """CPU per handshake with one worker and with two: what threads cost each other."""
        origin = self.origin(13)
        out = {}
        for name in [s for s in self.sluices()[:1]] + ["haproxy"]:
            started = {n: self.start([name], [origin], "https", **{name.split(" ")[0]: {"workers": n}})
                       for n in (1, 2)}
            rows = {1: [], 2: []}
            for _ in range(self.rounds):
                for n, proxies in started.items():
                    for p in proxies:
                        for pid in p.pids:  # with both cores
                            subprocess.run(["taskset", "-a", "-c", "-p", "0,1", str(pid)],
                                           stdout=subprocess.DEVNULL)
                        rows[n].append(self.load(p, "-c", 16, "-k", "-T")["cpu_us"])
            for proxies in started.values():
                self.stop(proxies)
            if all(rows.values()):
                mid = {n: statistics.median(r) for n, r in rows.items()}
                out[name] = [mid[1], mid[2], mid[2] / mid[1]]
        say("\nhttps_workers: CPU per full handshake with one worker and with two")
        for name, (one, two, ratio) in out.items():
            say("  %-16s%12.1f%12.1f%10.2f" % (name, one, two, ratio))
        say("  (aim: 1.1)")
        self.keep("https_workers", {n: {"one": v[0], "two": v[1]} for n, v in out.items()})

    def https_memory(self):
        main = bench_module()
        origin = self.origin(13)
        out = {}
        for name in self.sluices() + ["haproxy", "nginx"]:
            for p in self.start([name], [origin], "https"):
                self.load(p, "-c", 64, "-T", seconds=0.5)
                time.sleep(0.3)
                before = main.user_kb(p.pids)
                holder = subprocess.Popen(
                    [self.tool("load"), "-m", "-T", "-i", str(IDLE), "127.0.0.1:%d" % p.port],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    preexec_fn=main.pinned(LOAD_CORE))
                if holder.stdout.readline() != b"idle\n":
                    main.die("%s: no %d idle connections" % (name, IDLE))
                time.sleep(1)
                out[name] = [(main.user_kb(p.pids) - before) * 1024 / IDLE, before]
                holder.stdin.close()
                holder.wait()
                p.stop()
        floor = self.openssl_floor()
        self.table("https_memory: %d idle TLS connections (user space, Pss)" % IDLE,
                   ["bytes", "before kB"], out, 0,
                   "what OpenSSL itself holds: %d bytes; aim: at most 1024 more" % floor)
        self.keep("https_memory", dict({n: {"bytes": v[0]} for n, v in out.items()},
                                       openssl={"bytes": floor}))

    def openssl_floor(self):
        """Bytes of an idle server connection in OpenSSL alone, by a program that does nothing else."""
        done = subprocess.run([self.tool("openssl_memory"), self.certificate(), str(IDLE)],
                              stdout=subprocess.PIPE, check=True)
        return int(done.stdout)

    def h2_small(self):
        main = bench_module()
        origin = self.origin(13)
        names = self.sluices() + ["haproxy", "nginx"]
        if os.access("/usr/bin/h2o", os.X_OK):
            names.append("h2o")
        proxies = self.start(names, [origin], "https")
        rows = {p.name: [] for p in proxies}
        for _ in range(self.rounds):
            for p in proxies:
                rows[p.name].append(self.h2load(p))
        self.stop(proxies)
        self.keep("h2_small", self.cpu_table(
            "h2_small: HTTP/2 over TLS, 8 connections of 32 streams, 13-byte bodies", rows,
            "request", "aim: 0.70 of the better of HAProxy and nginx"))

    def h2load(self, proxy):
        main = bench_module()
        command = ["h2load", "-c", "8", "-m", "32", "-t", "1",
                   "https://127.0.0.1:%d/" % proxy.port]
        run = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                   preexec_fn=main.pinned(LOAD_CORE))
        subprocess.run(command + ["-n", "2000"], **run)
        before, start = main.cpu_ns(proxy.pids), time.monotonic()
        done = subprocess.run(command + ["-n", str(int(10000 * self.seconds))], **run)
        took = time.monotonic() - start
        cpu = main.cpu_ns(proxy.pids) - before
        text = done.stdout.decode()
        counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", text)
        if counts is None:
            main.die("h2load on %s: %s" % (proxy.name, text[-500:]))
        ok = int(counts.group(1))
        mean = re.search(r"time for request:\s+\S+\s+(\S+?)(us|ms|s)\s+(\S+?)(us|ms|s)", text)
        unit = {"us": 1, "ms": 1e3, "s": 1e6}
        most, middle = float(mean.group(1)) * unit[mean.group(2)], float(mean.group(3)) * unit[mean.group(4)]
        return {"cpu_us": cpu / 1000 / max(1, ok), "rate": ok / took, "p50_us": middle,
                "p99_us": most, "errors": int(counts.group(2)), "requests": ok}


def say(text=""):
    print(text, flush=True)
