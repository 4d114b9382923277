"""Reloads at odd moments: many at once, during a drain, with queues full, names unanswered, modes and
protocols changed under load."""

import signal

from reload_tools import *
from e2e_510_reload_load import Load, app_or_echo


def http(t, backends, pool="", **kw):
    return start(t, backends, pool=pool or 'health = { interval = "500ms"; };', top="workers = 2;", **kw)


def test_a_storm_of_signals_under_load(t):
    a, b = t.backend(app_or_echo, backlog=4096), t.backend(app_or_echo, backlog=4096)
    s, front = http(t, [a, b])
    load = Load(front, 3)
    for n in range(50):
        if n % 5 == 0:
            rewrite(s, lambda text: re.sub(r'interval = "\d+ms"', 'interval = "%dms"' % (500 + n), text))
        s.process.send_signal((signal.SIGHUP, signal.SIGUSR2)[n % 2])
    check_match("reloaded|nothing has changed", s.ctl("reload"))
    load.end()
    check_in('interval = "545ms"', s.ctl("show config"))


def test_a_listener_changes_its_mode_and_back_under_load(t):
    a = t.backend(app_or_echo, backlog=4096)
    s, front = http(t, [a])
    with open(s.conf_path) as f:
        as_http = f.read()
    as_tcp = re.sub(r'routes = .*', 'pool = "app"; } );', as_http.replace('mode = "http"', 'mode = "tcp"'))
    with Client(front) as kept:
        check_eq(kept.request("/").status, 200)
        for _ in range(3):
            reloaded(s, lambda _: as_tcp)
            check_eq(fetch(front).status, 200)
            with contextlib.closing(connect(front)) as tunnel:
                tunnel.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                check_match(b"HTTP/1.1 200", tunnel.recv(1000))
                reloaded(s, lambda _: as_http)
                tunnel.sendall(b"GET /again HTTP/1.1\r\nHost: x\r\n\r\n")
                check_match(b"HTTP/1.1 200", tunnel.recv(1000))
            check_eq(fetch(front).status, 200)


def test_a_pool_that_is_removed_serves_its_queue(t):
    hold = threading.Event()

    def slow(conn, backend):
        line = recv_line(conn)
        hold.wait(SECONDS)
        conn.sendall(line)

    a, b = t.backend(slow), t.backend(echo)
    s, front = t.simple([(a, "max_connections = 1;")], pool='queue = { timeout = "10s"; };')
    conns = []
    for _ in range(3):
        c = connect(front)
        c.sendall(b"x\n")
        conns.append(c)
    s.wait_number("app", "BACKEND", "qcur", 2)
    reloaded(s, lambda text: text.replace('"app"', '"other"').replace(where(a.address), where(b.address)).replace(
        "max_connections = 1;", ""))
    check_eq(talk(front), b"hello\n", "the new pool serves at once")
    hold.set()

    def rest(i):  # whichever comes first gives its place to the next
        with contextlib.closing(conns[i]):
            check_eq(recv_line(conns[i]), b"x\n")
    in_threads(3, rest)
    check(("app", "BACKEND") not in s.stat(), "it is not shown any more")


def test_a_reload_while_it_drains_is_refused_and_cuts_nothing(t):
    a = t.backend(echo)
    s, front = t.simple([a])
    with contextlib.closing(connect(front)) as c:
        c.sendall(b"one\n")
        check_eq(recv_line(c), b"one\n")
        s.process.send_signal(signal.SIGTERM)
        s.wait_log("draining")
        check_in("ending", s.ctl("reload"))
        check_in("ending", s.ctl("add server app/x 127.0.0.1:1"))
        s.process.send_signal(signal.SIGHUP)
        s.wait_log("signal HUP: no reload")
        c.sendall(b"two\n")
        check_eq(recv_line(c), b"two\n")
    s.wait_end()


def test_a_wait_ends_with_the_process(t):
    s, front = t.simple([t.backend(echo)])
    with contextlib.closing(connect(s.stats_path)) as c:
        c.sendall(b"wait 1h srv-removable app/b1\n")
        s.terminate()
        with contextlib.suppress(ConnectionError):  # it may not even have read the question
            recv_all(c)


def test_names_come_and_go_while_they_are_asked(t):
    a = t.backend(named, address=("127.0.0.1", t.port()))
    s, front = t.simple([a])
    for n in range(8):
        host = ("localhost", "nowhere.invalid")[n % 2]
        reloaded(s, lambda text: re.sub(r'(backends = \().*?(\); \} \);)', lambda m: m.group(1) +
                 '{ name = "b1"; address = "%s"; }, { name = "n"; address = "%s:%d"; }' % (
                     where(a.address), host, a.address[1]) + m.group(2), text, 1, re.S))
        check_eq(who(front), "b1")
    reloaded(s, replace("nowhere.invalid", "localhost"))
    s.wait_status("app", "n", "UP")
