"""fastcgi.py - bench.py's scenarios with PHP-FPM behind: fastcgi (a connection per request, as everybody's
defaults have it) and fastcgi_keep (connections are kept); fastcgi_busy and fastcgi_busy_keep are the same with
a backend that costs nothing, so that the proxy is busy instead of asleep."""

import contextlib
import glob
import os
import socket
import subprocess
import sys
import time

SCENARIOS = ("fastcgi", "fastcgi_keep", "fastcgi_busy", "fastcgi_busy_keep")
CHILDREN = 16
LOAD_CORE = 0

HELLO = """<?php
$text = "Hello, World!\\n";
header("Content-Length: " . strlen($text));
echo $text;
"""

POOL = """[global]
error_log = %(dir)s/fpm.log
daemonize = no
[www]
%(user)s
listen = %(socket)s
listen.backlog = 511
pm = static
pm.max_children = %(children)d
"""


class Scenarios:
    """Of class Bench, which has all that is used here."""

    servers = []  # they end their children only where they are asked to

    def php_fpm(self):
        """The socket of a PHP-FPM of its own: kept connections of one proxy would hold processes that
        the next one wants."""
        found = sorted(glob.glob("/usr/sbin/php-fpm*"))
        if not found:
            sys.exit("bench: php-fpm is not installed: scripts/setup.sh bench does it")
        folder = os.path.join(self.dir, "fpm%d" % len(self.servers))
        os.makedirs(folder, exist_ok=True)
        path, conf = os.path.join(folder, "socket"), os.path.join(folder, "conf")
        root = os.geteuid() == 0
        with open(os.path.join(folder, "index.php"), "w") as f:
            f.write(HELLO)
        with open(conf, "w") as f:
            f.write(POOL % {"dir": folder, "socket": path, "children": CHILDREN,
                            "user": "user = root\ngroup = root" if root else ""})
        process = subprocess.Popen([found[-1], "-n", "-F", "-y", conf, *(["-R"] if root else [])],
                                   preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}))
        self.servers.append(process)
        return self.listens(folder)

    def fastcgi_origin(self):
        folder = os.path.join(self.dir, "fastcgi%d" % len(self.servers))
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "socket")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.servers.append(subprocess.Popen([self.tool("fastcgi_origin"), path],
                                             preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE})))
        return self.listens(folder)

    def listens(self, folder):
        for _ in range(500):
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
                if s.connect_ex(os.path.join(folder, "socket")) == 0:
                    return folder
            time.sleep(0.02)
        sys.exit("bench: the FastCGI server does not listen")

    def behind(self, server, name, title, clients, keep):
        proxies = [p for n in self.sluices() + ["nginx"]
                   for p in self.start([n], [server()], "fastcgi", **{n: {"keep": keep}})]
        rows = self.interleave(proxies, "-c", clients)
        self.stop(proxies)
        self.stop_servers()
        self.keep(name, self.cpu_table("%s: %s" % (name, title), rows, "request", "aim: 0.75"))

    def stop_servers(self):
        while self.servers:
            process = self.servers.pop()
            process.terminate()
            process.wait()

    def fastcgi(self):
        self.behind(self.php_fpm, "fastcgi", "PHP-FPM's hello world, a connection per request", CHILDREN, False)

    def fastcgi_keep(self):
        self.behind(self.php_fpm, "fastcgi_keep", "the same over kept connections", CHILDREN, True)

    def fastcgi_busy(self):
        self.behind(self.fastcgi_origin, "fastcgi_busy", "64 clients, a connection per request", 64, False)

    def fastcgi_busy_keep(self):
        self.behind(self.fastcgi_origin, "fastcgi_busy_keep", "the same over kept connections", 64, True)
