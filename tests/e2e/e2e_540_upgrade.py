"""Another binary takes the place of the running one: no request fails, no connection is lost."""

from upgrade_tools import *
from e2e_382_http_upgrade import ASK
from e2e_510_reload_load import Load, all_echo, app_or_echo

UPGRADES = int(os.environ.get("UPGRADES", "6"))
TUNNELS = int(os.environ.get("UPGRADE_TUNNELS", "20"))


def configuration(t, app, deep, front, tunnel, admin):
    return """workers = 2;
io = "%s";
stats = { socket = "%s"; level = "admin"; };
admin = { bind = "%s"; };
log = { access = "off"; };
drain = { deadline = "20s"; };
pools = ( { name = "app"; mode = "http"; backends = ( { name = "a"; address = "%s"; } ); },
          { name = "deep"; mode = "tcp"; backends = ( { name = "e"; address = "%s"; } ); } );
listeners = ( { name = "front"; mode = "http"; bind = [ "%s", "unix:%s" ]; routes = ( { pool = "app"; } ); },
              { name = "tunnel"; mode = "tcp"; bind = "%s"; pool = "deep"; } );
""" % (t.engine, t.path("sluice.sock"), where(admin), where(app.address), where(deep.address), where(front),
       t.path("front.sock"), where(tunnel))


def site(t):
    app = t.backend(app_or_echo, name="a", backlog=4096)
    deep = t.backend(echo, name="e", backlog=4096)
    front, tunnel = t.address(), t.address()
    s = t.sluice(configuration(t, app, deep, front, tunnel, t.address()))
    return s, front, tunnel


def open_both(front, tunnel, n):
    conns = []
    for _ in range(n):
        c = Client(front)
        c.send("/up", headers=ASK)
        check_eq(c.head().status, 101)
        conns += [c.s, connect(tunnel)]
    return conns


def admin_of(s):
    host, port = re.search(r'admin = { bind = "(.*):(\d+)"', conf_of(s)).groups()
    return host, int(port)


class Requests(Load):
    """Who has paused for long on a connection (a busy machine) may find it closed: it was idle, and its
    process has left."""

    def run(self, i):
        try:
            while not self.stop.is_set():
                with Client(self.front) as c:
                    self.converse(c, 50 if i % 4 else 1)
        except Exception as e:
            self.failed.append(repr(e))

    def converse(self, c, n):
        for k in range(n):
            method, body = (("POST", b"x" * 1000), ("GET", None))[k % 2]
            begun = time.monotonic()
            try:
                r = c.request("/%d" % k, method=method, body=body)
            except Exception:
                if k > 0 and begun - last > 0.8:
                    return
                raise
            last = time.monotonic()
            check_eq(r.status, 200)
            self.done += 1
            if r.header("connection") == "close" or self.stop.is_set():
                return


class Probes(Load):
    """Asks whether it is ready, which it is at any moment."""

    def __init__(self, admin):
        super().__init__(admin, 1)

    def run(self, _):
        try:
            while not self.stop.is_set():
                r = fetch(self.front, "/readyz")
                check_eq(r.status, 200, r.body)
                self.done += 1
        except Exception as e:
            self.failed.append(repr(e))


def ask(front):
    with Client(front) as c:
        check_eq(c.request("/").status, 200)


def test_upgrades_under_load_lose_nothing(t):
    s, front, tunnel = site(t)
    conns = open_both(front, tunnel, TUNNELS)
    generations = [(s, conns)]
    loads = [Requests(front, 4), Requests(t.path("front.sock"), 2), Probes(admin_of(s))]
    for i, n in enumerate(([3, 1, 4, 2] * UPGRADES)[:UPGRADES]):  # more workers, and fewer
        s = upgraded(t, s, workers(n))
        all_echo(conns, b"still here %d\n" % i)
        new = open_both(front, tunnel, 2)
        conns = conns + new
        generations.append((s, new))
        for load in loads:
            check(not load.failed, "requests that failed", load.failed[:5])
    all_echo(conns, b"last\n")
    for load in loads:
        load.end()
    for old, its in generations[:-1]:
        for c in its:
            c.close()
        old.wait_end()
        check("are cut" not in old.log, "nothing was cut", old.log)
    for c in generations[-1][1]:
        c.close()
    ask(front)
    ask(t.path("front.sock"))


def test_connections_that_wait_to_be_accepted_are_not_lost(t):
    """Short connections from many clients at once, so that queues of listening sockets are never empty."""
    app = t.backend(answers, name="a", backlog=4096)
    s, front = t.simple([app])
    stop, failed, done = threading.Event(), [], [0]

    def run():
        try:
            while not stop.is_set():
                check_eq(talk(front, b"x\n"), b"a x\n")
                done[0] += 1
        except Exception as e:
            failed.append(repr(e))
    threads = [threading.Thread(target=run, daemon=True) for _ in range(16)]
    for thread in threads:
        thread.start()
    for n in (1, 3, 2):
        old, s = s, upgraded(t, s, workers(n))
        old.wait_end()
    stop.set()
    for thread in threads:
        thread.join(SECONDS)
    check(not failed, "connections that failed", failed[:5])
    check(done[0] > 0, "there were connections")


def test_a_broken_configuration_leaves_the_old_process_serving(t):
    s, front, _ = site(t)
    n = begin(t, s, replace('pool = "deep"', 'pool = "dep"'))
    n.wait_end(status=1)
    check_in('did you mean "deep"', n.log)
    ask(front)
    check_eq(pid_at(s), s.pid)


def test_a_broken_overlay_leaves_the_old_process_serving(t):
    """A start does without it; here that would bring back who was saved as in maintenance."""
    overlay = t.path("overlay.conf")
    a, b = t.backend(named), t.backend(named)
    s, front = t.simple([a, b], top='overlay = "%s";' % overlay)
    s.ok("disable server app/b1 new disk")
    check_in("Saved", s.ctl("save"))
    with open(overlay, "a") as f:
        f.write("broken {\n")
    code, _, err = t.run("-x", s.stats_path, "-c", s.conf_path)
    check_eq(code, 1)
    check_match(r"overlay.conf:\d+: error: syntax", err)
    check_in("overlay.conf: error: the overlay has to be mended, or removed, first", err)
    check_eq(pid_at(s), s.pid)
    check_eq(s.stat()["app", "b1"]["last_chk"], "new disk")
    check_eq([who(front) for _ in range(3)], ["b2"] * 3)


def test_an_address_that_is_taken_leaves_the_old_process_serving(t):
    s, front, _ = site(t)
    other = t.backend(echo)
    n = begin(t, s, replace('"%s", "unix' % where(front), '"%s", "%s", "unix' % (where(front), where(other.address))))
    n.wait_end(status=1)
    check_in("another process has this port", n.log)
    s.wait_log("has gone before it served: nothing has changed")
    ask(front)
    ask(t.path("front.sock"))
    check_eq(pid_at(s), s.pid)
    upgraded(t, s)
    s.wait_end()
    ask(t.path("front.sock"))


def test_a_new_process_that_is_killed_midway_changes_nothing(t):
    s, front, tunnel = site(t)
    hanging = t.hanging_address()
    slow = ', { name = "slow"; mode = "tcp"; health = { timeout = "9s"; }; backends = ( ' \
           '{ name = "s"; address = "%s"; } ); } );\nlisteners' % where(hanging)
    n = begin(t, s, lambda text: re.sub(r" \);\nlisteners", lambda _: slow, text))
    s.wait_log("was given the listening sockets")  # it waits for its first checks
    second = begin(t, s)
    second.wait_end(status=1)
    check_in("another process is about to take this one's place", second.log)
    n.process.kill()
    n.process.wait()
    n.ended = True
    os.unlink("%s.%d" % (s.stats_path, n.pid))  # nobody was left to do it
    s.wait_log("process %d has gone before it served: nothing has changed" % n.pid)
    ask(front)
    check_eq(pid_at(s), s.pid)
    m = begin(t, s, lambda text: re.sub(r" \);\nlisteners", lambda _: slow, text))
    s.wait_log("was given the listening sockets", count=2)
    m.wait_log("engine ")  # it takes signals by now
    m.terminate()  # the same by a signal: it has nothing to drain
    s.wait_log("process %d has gone before it served" % m.pid)
    ask(t.path("front.sock"))
    old, s = s, upgraded(t, s)
    old.wait_end()
    ask(front)
    check_eq(sorted(os.listdir(t.dir)).count("sluice.sock.%d" % old.pid), 0, "its second name")


def test_the_old_process_answers_under_a_second_name(t):
    s, front, tunnel = site(t)
    conn = connect(tunnel)
    conn.sendall(b"x")
    check_eq(recv_exact(conn, 1), b"x")
    n = upgraded(t, s)
    old = "%s.%d" % (s.stats_path, s.pid)
    wait_until(lambda: os.path.exists(old), "the second name of the old process's stats socket")
    code, out, err = t.run("ctl", "-s", old, "show", "info")
    check_eq(code, 0, err)
    check_in("Pid: %d\n" % s.pid, out)
    conn.close()
    s.wait_end()
    check(not os.path.exists(old), "it takes that name along")
    ask(front)


def test_who_may_take_over(t):
    """Only a process of the same user, at level admin, that knows the protocol."""
    s = t.simple([t.backend(echo)], top='stats = ( { socket = "%s"; level = "admin"; }, { socket = "%s"; '
                 'level = "operator"; mode = "666"; } );' % (t.path("sluice.sock"), t.path("low.sock")))[0]
    code, _, err = t.run("-x", t.path("low.sock"), "-c", s.conf_path)
    check_eq(code, 1)
    check_in('low.sock: its level does not allow that: it takes a stats socket with level = "admin"', err)
    check_in("version 1", s.ctl("_handoff 2"))
    code, _, err = t.run("-x", t.path("none.sock"), "-c", s.conf_path)
    check_eq(code, 1)
    check_in("does sluice run?", err)
    with contextlib.closing(connect(s.stats_path)) as c:  # who says nonsense is let go
        c.sendall(b"_handoff 1\n")
        data = b""
        while not data.endswith(b"end\n"):
            data += c.recv(4096)
        check_match(r"\Asluice-handoff 1 %d\nwatchdog 0\n(.*\n)*listen 2\nend\n\Z" % s.pid, data.decode())
        c.sendall(b"what?\n")
        expect_eof(c)
    s.wait_log("says what is not understood")
    check_eq(pid_at(s), s.pid)
    check("_handoff" not in s.ctl("help"), "it is not for people")


def notify_socket(t):
    path = t.path("notify")
    n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    n.bind(path)
    n.settimeout(SECONDS)
    return n, {"NOTIFY_SOCKET": path}


def test_systemd_is_told_of_the_new_main_process(t):
    notify, env = notify_socket(t)
    env["WATCHDOG_USEC"] = "1000000"
    app = t.backend(echo)
    s, front = t.simple([app], env=env)
    env.pop("WATCHDOG_USEC")
    command = [t.binary, "-x", s.stats_path, "-c", s.conf_path, "--detach"]
    with open(s.log_path, "ab") as log:
        done = subprocess.run(command, env=dict(os.environ, **env), stderr=log, stdout=log, timeout=SECONDS * 2)
    check_eq(done.returncode, 0, s.log)
    new = pid_at(s)  # --detach returns when it serves
    check(new not in (None, s.pid), "another process answers", new)
    try:
        s.wait_end()
        said = []
        while "WATCHDOG=1" not in said[-1:] or not any("MAINPID" in m for m in said):  # it knows of the watchdog
            said.append(notify.recv(4096).decode())
        check_in("READY=1\nMAINPID=%d" % new, said)
        check(not any("STOPPING" in m for m in said), "the service does not stop", said)
        check_eq(talk(front), b"hello\n")
    finally:
        os.kill(new, signal.SIGTERM)
    wait_until(lambda: "STOPPING" in notify.recv(4096).decode(), "now it does")
    wait_until(lambda: not os.path.exists("/proc/%d" % new) or "State:\tZ" in open("/proc/%d/status" % new).read(),
               "it ends")
    broken = t.run("-x", s.stats_path, "-c", s.conf_path, "--detach")
    check_eq(broken[0], 1, "nobody is there any more")


# ---- sockets of systemd ----

def activated(t, sockets, conf, names="", pid=None):
    """Starts sluice with these sockets from descriptor 3 on, as systemd does."""
    def pass_on():
        os.environ["LISTEN_PID"] = str(pid or os.getpid())
        high = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD, 100) for s in sockets]
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i, True)
            os.close(fd)
        os.execvpe(t.binary, [t.binary, "-c", path],
                   dict(os.environ, LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=names))
    path = t.path("activated.conf")
    with open(path, "w") as f:
        f.write(conf)
    s = t.sluice(args=["-v"], wait=False, stats=False)  # for its paths
    s.process.wait()
    s.stats_path = t.path("act.sock")
    with open(s.log_path, "ab") as log, open(s.access_path, "ab") as access:
        s.process = subprocess.Popen([t.binary], stdin=subprocess.DEVNULL, stdout=access, stderr=log,
                                     preexec_fn=pass_on, close_fds=False)
    s.pid = s.process.pid
    wait_until(s.answers, lambda: "the stats socket answers; log:\n" + s.log)
    wait_until(lambda: s.ctl("show ready").strip() == "ready", "ready")
    s.baseline = s.settled_fds()
    return s


def listening(address):
    s = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    s.bind(address)
    s.listen(64)
    return s


def test_sockets_of_systemd_are_served(t):
    app = t.backend(named, name="app")
    by_address, by_name, unused, path = t.address(), t.address(), t.address(), t.path("act-front.sock")
    sockets = [listening(a) for a in (by_address, by_name, unused, path)]
    early = connect(by_address)  # waits, rather than fails, while sluice is not there yet
    conf = """workers = 2;
io = "%s";
stats = { socket = "%s"; level = "admin"; };
pools = ( { name = "app"; mode = "tcp"; backends = ( { name = "a"; address = "%s"; } ); } );
listeners = ( { name = "one"; mode = "tcp"; bind = [ "%s", "unix:%s" ]; pool = "app"; },
              { name = "two"; mode = "tcp"; bind = "%s:1"; pool = "app"; } );
""" % (t.engine, t.path("act.sock"), where(app.address), where(by_address), path, t.other_ip)
    s = activated(t, sockets, conf, "x:two:nobody:y")
    check_eq(recv_line(early), b"app\n")
    early.close()
    for address in (by_address, by_name, path):
        for _ in range(4):
            check_eq(who(address), "app")
    check(sockets[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0, "connections send at once")
    s.wait_log("sockets were passed that no listener binds: %s" % re.escape(where(unused)))
    s.wait_log(r"listener two: .* is served by the socket %s that was passed" % re.escape(where(by_name)))
    s.conf_path = t.path("activated.conf")
    old, s = s, upgraded(t, s, workers(3))  # and they go on to the next
    old.wait_end()
    check_eq(who(by_address), "app")
    check_eq(who(path), "app")
    for x in sockets:
        x.close()


def test_sockets_for_another_process_are_not_taken(t):
    app = t.backend(named, name="app")
    mine = t.address()
    held = listening(mine)
    conf = """workers = 1; io = "%s"; stats = { socket = "%s"; level = "admin"; };
pools = ( { name = "app"; mode = "tcp"; backends = ( { name = "a"; address = "%s"; } ); } );
listeners = ( { name = "one"; mode = "tcp"; bind = "%s"; pool = "app"; } );
""" % (t.engine, t.path("act.sock"), where(app.address), where(mine))
    path = t.path("a.conf")
    with open(path, "w") as f:
        f.write(conf)
    code, _, err = t.run("-c", path, env={"LISTEN_FDS": "1", "LISTEN_PID": "1"})
    check_eq(code, 1)
    check_in("another process has this port", err)
    held.close()
