"""The real hatop and prometheus-haproxy-exporter from Debian work against the stats socket."""

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import termios
import time
import urllib.request

from harness import *


class Terminal:
    """A program in a terminal of 40 lines and 160 columns; its output without the control codes."""

    def __init__(self, t, args):
        if not shutil.which(args[0]):
            raise Skip(args[0] + " is not installed")
        self.fd, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
        self.process = subprocess.Popen(args, stdin=slave, stdout=slave, stderr=slave,
                                        env=dict(os.environ, TERM="linux", LANG="C.UTF-8"),
                                        start_new_session=False)
        t.processes.append(self.process)
        os.close(slave)
        self.raw = b""

    def read(self):
        while select.select([self.fd], [], [], 0)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                break
            if not data:
                break
            self.raw += data
        return self.text

    @property
    def text(self):
        text = self.raw.decode(errors="replace")
        # a cursor movement parts words
        return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>])", " ", text)

    def wait(self, regex):
        wait_until(lambda: re.search(regex, self.read()),
                   lambda: "/%s/ on the terminal: %s" % (regex, short(self.text, 4000)))

    def keys(self, keys):
        os.write(self.fd, keys)


def test_hatop_shows_the_state_and_ends(t):
    a, b = t.backend(named), t.backend(named)
    s, front = t.simple([a, b])
    who(front)
    term = Terminal(t, ["hatop", "-s", s.stats_path, "-i", "1"])
    term.wait(r"FRONTEND")
    term.wait(r"BACKEND")
    term.wait(r"\bb2\b")
    term.keys(b"q")
    wait_until(lambda: (term.read(), term.process.poll() is not None)[1], "hatop ends")
    check_eq(term.process.returncode, 0, "hatop: " + short(term.text))


def test_hatop_keeps_polling(t):
    s, front = t.simple([t.backend(named)])
    term = Terminal(t, ["hatop", "-s", s.stats_path, "-i", "1"])
    term.wait("FRONTEND")
    held = [connect(front) for _ in range(7)]
    mark = len(term.raw)
    wait_until(lambda: term.read() and re.search(rb"\b7\b", term.raw[mark:]), "7 sessions are shown")
    for c in held:
        c.close()
    term.keys(b"q")
    wait_until(lambda: (term.read(), term.process.poll() is not None)[1], "hatop ends")


def test_exporter_scrapes(t):
    s, front = t.simple([t.backend(named), t.closed_address()], ready=False,
                        pool='health = { type = "tcp"; interval = "50ms"; rise = 1; fall = 1; };')
    s.wait_status("app", "b2", "DOWN.*")
    for _ in range(5):
        who(front)
    s.wait_number("front", "FRONTEND", "scur", 0)
    port = t.port()
    t.program(["prometheus-haproxy-exporter", "--haproxy.scrape-uri=unix:" + s.stats_path,
               "--web.listen-address=%s:%d" % (t.ip, port)], stdout=subprocess.DEVNULL,
              stderr=subprocess.DEVNULL)

    def scrape():
        try:
            with urllib.request.urlopen("http://%s:%d/metrics" % (t.ip, port), timeout=5) as r:
                return r.read().decode()
        except OSError:
            return None
    text = wait_until(scrape, "the exporter answers")
    check_match(r"^haproxy_up 1$", text)
    check_match(r'^haproxy_frontend_sessions_total\{frontend="front"\} 5$', text)
    check_match(r'^haproxy_server_up\{backend="app",server="b1"\} 1$', text)
    check_match(r'^haproxy_server_up\{backend="app",server="b2"\} 0$', text)
    check_match(r"^haproxy_exporter_csv_parse_failures_total 0$", text)


def test_socat_style_one_shot_with_half_close(t):
    """`echo show info | socat stdio unix:…` ends its side at once and still gets the answer."""
    import socket
    s, front = t.simple([t.backend(named)])
    with contextlib.closing(connect(s.stats_path)) as c:
        c.sendall(b"show info\n")
        c.shutdown(socket.SHUT_WR)
        check_in("Pid:", recv_all(c).decode())
