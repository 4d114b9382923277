"""Reload: what has changed takes effect, what has not keeps its identity, and nobody notices."""

import json
import signal
import threading

from reload_tools import *


def test_a_file_that_has_not_changed_changes_nothing(t):
    s, front = t.simple([t.backend(named)])
    check_eq(reload(s).strip(), "nothing has changed")
    s.process.send_signal(signal.SIGHUP)
    s.wait_log("nothing has changed", count=2)
    check_eq(who(front), "b1")


def test_a_broken_file_changes_nothing_and_says_what_is_wrong(t):
    s, front = t.simple([t.backend(named)])
    out = reload(s, replace('pool = "app"', 'pool = "nobody"'))
    check_match(r"sluice\.conf:\d+: error: .*nobody", out)
    check_eq(who(front), "b1")
    check_in("error: ", s.ctl("reload"))  # as often as one likes
    s.wait_log("reload refused", count=2)
    _, _, err = t.run("-t", "-c", s.conf_path)
    check_eq(out.strip(), err.strip(), "the same words as -t")
    check_in("nothing has changed", reload(s, replace('pool = "nobody"', 'pool = "app"')))


def test_a_backend_comes_and_another_goes(t):
    a, b, c = t.backend(named), t.backend(named), t.backend(named)
    s, front = t.simple([a, b])
    out = reloaded(s, change_backends(t, [b, c]))
    check_in("backends: 1 added, 1 removed", out)
    s.wait_status("app", "b3", "UP")
    wait_until(lambda: {who(front) for _ in range(6)} == {"b2", "b3"}, "b2 and b3 serve")
    check(("app", "b1") not in s.stat(), "b1 is not shown any more")


def test_a_session_lives_on_at_a_backend_that_is_removed(t):
    a, b = t.backend(echo), t.backend(echo)
    s, front = t.simple([a])
    with contextlib.closing(connect(front)) as c:
        c.sendall(b"before\n")
        check_eq(recv_line(c), b"before\n")
        reloaded(s, change_backends(t, [b]))
        s.wait_status("app", "b2", "UP")
        c.sendall(b"after\n")
        check_eq(recv_line(c), b"after\n")
        check_eq(talk(front), b"hello\n")
        wait_until(lambda: b.accepted >= 1, "new sessions go to the new backend")


def test_health_and_counters_of_what_stays_are_kept(t):
    a, gone = t.backend(named), t.closed_address()
    s, front = t.simple([a, gone], pool='health = { interval = "100ms"; fall = 1; };')
    s.wait_status("app", "b2", "DOWN")
    for _ in range(5):
        who(front)
    ids = {k: (r["iid"], r["sid"]) for k, r in s.stat().items()}
    s.wait_number("app", "b1", "stot", 5)
    reloaded(s, replace('name = "app"; mode = "tcp";',
                        'name = "app"; mode = "tcp"; retries = { attempts = 1; };'))
    check_eq(s.number("app", "b1", "stot"), 5, "sessions counted before")
    check_eq(s.number("front", "FRONTEND", "stot"), 5)
    check_match("DOWN", s.status("app", "b2"))
    check_match("UP", s.status("app", "b1"))
    check_eq({k: (r["iid"], r["sid"]) for k, r in s.stat().items()}, ids, "iid and sid")
    check_eq(s.log.count("backend app/b1 is UP"), 1, "no new first round")


def test_what_was_changed_at_run_time_stays_unless_the_file_changes_it(t):
    a, b = t.backend(named), t.backend(named)
    s, front = t.simple([(a, "weight = 10;"), (b, "weight = 10;")])
    s.ok("set server app/b1 weight 3")
    s.ok("set server app/b2 weight 4")
    s.ok("set server app/b2 state maint")
    out = reloaded(s, change_backends(t, [(a, "weight = 10;"), (b, "weight = 20;")]))
    check_in("weight stays 3", out)
    check_match("weight is 20 as the file says now, in place of 4", out)
    check_in("3 (initial 10)", s.ctl("get weight app/b1"))
    check_in("20 (initial 20)", s.ctl("get weight app/b2"))
    check_match("MAINT", s.status("app", "b2"))
    check_eq({who(front) for _ in range(4)}, {"b1"})


def test_a_listener_comes_and_another_goes(t):
    s, front = t.simple([t.backend(echo)])
    second = t.address()
    held = connect(front)
    held.sendall(b"one\n")
    check_eq(recv_line(held), b"one\n")
    listener = '{ name = "%s"; mode = "tcp"; bind = "%s"; pool = "app"; }'
    both = lambda x: x[:x.index("listeners = ")] + "listeners = ( %s, %s );\n" % (
        listener % ("front", where(front)), listener % ("second", where(second)))
    check_in("listeners: 1 added", reloaded(s, both))
    check_eq(talk(second), b"hello\n")
    check_eq(talk(front), b"hello\n")
    only = lambda x: x[:x.index("listeners = ")] + "listeners = ( %s );\n" % (
        listener % ("second", where(second)))
    check_in("listeners: 1 removed", reloaded(s, only))

    def refused():
        try:
            connect(front).close()
            return False
        except ConnectionRefusedError:
            return True
    wait_until(refused, "nobody listens there any more")
    held.sendall(b"two\n")
    check_eq(recv_line(held), b"two\n", "a session of a listener that is gone")
    held.close()
    wait_until(lambda: not s.in_flight(), "all ended")
    s.baseline = s.settled_fds()


def answers(address):
    try:
        return who(address) == "b1"
    except (ConnectionRefusedError, ConnectionResetError):
        return False


def test_an_address_gets_wider_and_narrower_without_a_loss(t):
    """0.0.0.0 and an address of it cannot both be bound, but for the moment that the change takes. The kernel
    resets who joins the queue of a socket between our last look at it and its close: a moment, so one of four
    clients at most each time."""
    s, front = t.simple([t.backend(named)])
    stop, failed, done, resets = threading.Event(), [], [0], [0]

    def run():
        try:
            while not stop.is_set():
                try:
                    check_eq(who(front), "b1")
                except ConnectionResetError:
                    resets[0] += 1
                done[0] += 1
        except Exception as e:
            failed.append(repr(e))
    threads = [threading.Thread(target=run, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    narrow, wide = 'bind = "%s"' % where(front), 'bind = "0.0.0.0:%d"' % front[1]
    other = ("127.0.0.2", front[1])
    for _ in range(3):
        reloaded(s, replace(narrow, wide))
        wait_until(lambda: answers(other), "another address of the machine is served, too")
        reloaded(s, replace(wide, narrow))
        wait_until(lambda: not answers(other), "the other address is not served any more")
    so_far = done[0]
    wait_until(lambda: done[0] > so_far or failed, "connections go on")
    stop.set()
    for thread in threads:
        thread.join(10)
    check(not failed, "connections that failed", failed[:5])
    check(resets[0] <= 6, "resets by six changes", resets[0])
    wait_until(lambda: not s.in_flight(), "all ended")
    s.baseline = s.settled_fds()


def test_an_address_that_cannot_be_bound_refuses_the_reload(t):
    s, front = t.simple([t.backend(named)])
    taken = socket.socket()
    taken.bind(t.address())
    taken.listen()
    out = reload(s, replace('bind = "%s"' % where(front), 'bind = [ "%s", "%s" ]' % (
        where(front), where(taken.getsockname()))))
    check_match(r"sluice\.conf:\d+: .*cannot listen on %s" % re.escape(where(taken.getsockname())),
                out)
    check_eq(who(front), "b1")
    taken.close()
    check_in("reloaded", s.ctl("reload"))
    check_eq(who(taken_address(out)), "b1")
    s.baseline = s.settled_fds()


def taken_address(text):
    ip, port = re.search(r"listen on ([\d.]+):(\d+)", text).groups()
    return ip, int(port)


def test_a_keep_alive_connection_sees_the_new_routes_with_its_next_request(t):
    b = t.backend(app(by_name))
    s, front = start(t, [b])
    with Client(front) as c:
        check_eq(c.request("/").body, b"b1")
        reloaded(s, replace('routes = ( {',
                            'routes = ( { path = "/new"; answer = { status = 404; }; }, {'))
        check_eq(c.request("/new").status, 404)
        check_eq(c.request("/").body, b"b1")
    check_eq(b.accepted, 1, "the idle connection to the backend was kept")
    check_eq(s.number("app", "b1", "reuse"), 1)


def test_idle_connections_survive_a_change_of_their_pool(t):
    a, b = t.backend(app(by_name)), t.backend(app(by_name))
    s, front = start(t, [a])
    fetch(front)
    reloaded(s, change_backends(t, [a, (b, "weight = 0;")]))
    fetch(front)
    check_eq(a.accepted, 1, "connections to the backend")
    s.wait_number("app", "b1", "srv_icur", 1)


def test_idle_connections_to_a_backend_that_is_removed_are_closed(t):
    a, b = t.backend(app(by_name)), t.backend(app(by_name))
    s, front = start(t, [a, (b, "weight = 0;")])
    with Client(front) as c:
        check_eq(c.request().body, b"b1")
        reloaded(s, change_backends(t, [b]))
        check_eq(c.request().body, b"b2")
    wait_until(lambda: not a.open, "no connection to the removed one is open")


def test_a_request_under_way_ends_where_it_began(t):
    gate, begun = threading.Event(), threading.Event()

    def slow(r, backend):
        begun.set()
        check(gate.wait(SECONDS), "the reload is over")
        return answer(body=backend.name.encode())
    a, b = t.backend(app(slow)), t.backend(app(by_name))
    s, front = start(t, [a])
    with Client(front) as c:
        c.send()
        check(begun.wait(SECONDS), "the request is under way")
        reloaded(s, change_backends(t, [b]))
        check_eq(fetch(front).body, b"b2")
        gate.set()
        check_eq(c.response().body, b"b1")
        check_eq(c.request().body, b"b2", "the next one on the same connection")


def test_a_queued_request_finds_the_backend_that_a_reload_brings(t):
    gate = threading.Event()

    def slow(r, backend):
        gate.wait(SECONDS)
        return answer(body=backend.name.encode())
    a, b = t.backend(app(slow)), t.backend(app(by_name))
    s, front = start(t, [(a, "max_connections = 1;")])
    with Client(front) as first, Client(front) as second:
        first.send()
        s.wait_number("app", "b1", "scur", 1)
        second.send()
        s.wait_number("app", "BACKEND", "qcur", 1)
        reloaded(s, change_backends(t, [(a, "max_connections = 1;"), b]))
        gate.set()
        check_eq(first.response().body, b"b1")
        check_eq(second.response().status, 200)


def test_routes_keep_their_counters_by_name(t):
    b = t.backend(app(by_name))
    s, front = start(t, [b], route='name = "all";')
    for _ in range(3):
        fetch(front)
    reloaded(s, replace('routes = ( {', 'routes = ( { path = "/x"; pool = "app"; }, {'))
    fetch(front)

    def counted():
        return {r["route"]: r["requests"] for r in json.loads(s.ctl("show routes json"))}
    wait_until(lambda: str(counted().get("all")) == "4", lambda: "4 requests: %s" % counted())


def test_what_a_restart_only_can_change_is_said(t):
    s, front = t.simple([t.backend(named)])
    out = reloaded(s, lambda x: re.sub("workers = 2;", "workers = 1;", x))
    check_match(r"sluice\.conf:\d+: warning: workers: takes effect with a restart or an upgrade \(-x\) only", out)
    check_eq(who(front), "b1")


def test_reloads_that_come_at_once_queue(t):
    s, front = t.simple([t.backend(named)])
    for i in range(10):
        rewrite(s, lambda x, i=i: re.sub(
            r'name = "app"; mode = "tcp";[^\n]*\n',
            'name = "app"; mode = "tcp"; retries = { attempts = %d; };\n' % (i % 3), x))
        s.process.send_signal(signal.SIGHUP)
    in_threads(4, lambda i: check_match("reloaded|nothing has changed", s.ctl("reload")))
    check_eq(who(front), "b1")


def test_pools_in_another_order_are_the_same_pools(t):
    a, b = t.backend(named, name="a"), t.backend(named, name="b")
    front, back = t.address(), t.address()
    pool = '{ name = "%s"; mode = "tcp"; backends = ( { name = "x"; address = "%s"; } ); }'
    one, two = pool % ("one", where(a.address)), pool % ("two", where(b.address))
    conf = "pools = ( %s );\nlisteners = ( " + ", ".join(
        '{ name = "%s"; mode = "tcp"; bind = "%s"; pool = "%s"; }' % (name, where(at), to)
        for name, at, to in (("front", front, "one"), ("back", back, "two"))) + " );\n"
    s = t.sluice(conf % (one + ", " + two))
    check_eq((who(front), who(back)), ("a", "b"))
    s.wait_number("two", "x", "stot", 1)
    reloaded(s, replace(one + ", " + two, two + ", " + one))
    check_eq((who(front), who(back)), ("a", "b"))
    check_eq([line.split(",")[0] for line in s.ctl("show stat").splitlines()
              if ",BACKEND," in line], ["two", "one"])
    s.wait_number("two", "x", "stot", 2)


def test_the_access_log_goes_where_the_new_file_says(t):
    path = t.path("other-log")
    s, front = t.simple([t.backend(named)], top='log = { access = "off"; };')
    who(front)
    reloaded(s, replace('access = "off"', 'access = "%s"' % path))
    who(front)

    def lines():
        with contextlib.suppress(FileNotFoundError):
            return open(path).read().splitlines()
        return []
    wait_until(lambda: len(lines()) == 1, lambda: "one line: %s" % lines())
    s.baseline = s.settled_fds()


def test_systemd_is_told(t):
    path = t.path("notify")
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(path)
    notify.settimeout(SECONDS)
    told = []

    def next_told(word):
        while not any(word in text for text in told):
            told.append(notify.recv(4096).decode())
        del told[:]
    s, front = t.simple([t.backend(named)], env={"NOTIFY_SOCKET": path})
    next_told("READY=1")
    rewrite(s, replace('name = "app"; mode = "tcp";',
                       'name = "app"; mode = "tcp"; retries = { attempts = 0; };'))
    s.process.send_signal(signal.SIGHUP)
    reloading = notify.recv(4096).decode()
    while "RELOADING=1" not in reloading:
        reloading = notify.recv(4096).decode()
    check_match(r"RELOADING=1\nMONOTONIC_USEC=\d+", reloading)
    next_told("READY=1")
    notify.close()


def test_the_settings_of_the_process_that_can_change_do(t):
    s, front = t.simple([t.backend(named)])
    check("debug" not in s.ctl("show config").split("stats")[0], "the level before")
    reloaded(s, lambda x: 'log = { level = "debug"; };\nlimits = { connections = 77; };\n' + x)
    check_eq(s.info()["Maxconn"], "77")
    check_in('level = "debug";', s.ctl("show config"))


def test_show_diff_names_both_values(t):
    a, b = t.backend(named), t.backend(named)
    s, front = t.simple([(a, "weight = 10;"), b])
    check_eq(s.ctl("show diff"), "no difference\n")
    s.ok("set server app/b1 weight 3")
    s.ok("set server app/b2 state maint")
    out = s.ctl("show diff")
    check_in("pools[app].backends[b1].weight: loaded 10, running 3\n", out)
    check_in("pools[app].backends[b2].state: loaded ready, running maint", out)
    rewrite(s, replace("weight = 10;", "weight = 12;"))
    check_in("pools[app]: file weight = 12;, running weight = 10;\n", s.ctl("show diff"))
    rewrite(s, replace('name = "app";', 'name = "other";'))
    check_in("error: ", s.ctl("show diff"))
    rewrite(s, lambda x: x.replace('"other"', '"more"').replace('pool = "app"', 'pool = "more"'))
    out = s.ctl("show diff")
    check_in("pools[more]: in the file, not running\n", out)
    check_in("pools[app]: running, not in the file\n", out)
    check_in('listeners[front]: file pool = "more";, running pool = "app";\n', out)
