"""Backends at run time: add server, del server, wait srv-removable, maintenance with a reason.

CYCLES makes the test under load larger; the promise is 1,000."""

from reload_tools import *
from e2e_510_reload_load import Load, app_or_echo

CYCLES = int(os.environ.get("CYCLES", "40"))


def add(s, name, backend, words=""):
    check_eq(s.ctl("add server %s %s %s" % (name, where(backend.address), words)).strip(),
             "New server registered.", "add server " + name)


def test_an_added_server_takes_part_once_it_is_enabled(t):
    a, b = t.backend(named), t.backend(named)
    s, front = t.simple([a], top="workers = 1;")
    add(s, "app/new", b, "weight 3 maxconn 7")
    check_eq(s.status("app", "new"), "MAINT")
    check_eq([who(front) for _ in range(4)], ["b1"] * 4)
    s.ok("enable server app/new")
    s.wait_status("app", "new", "UP")
    check_eq(sorted(who(front) for _ in range(4)), ["b1"] + ["b2"] * 3, "by weight")
    row = s.stat()["app", "new"]
    check_eq((row["weight"], row["slim"], row["type"], row["sid"]), ("3", "7", "2", "2"))
    for command in ("show servers state app", "show servers conn app", "show config"):
        check_in("new", s.ctl(command), command)
    check_match(r"backends\[new\]: not loaded, added at run time: ", s.ctl("show diff"))
    check_in("app/new: added", s.ctl("show events"))


def test_an_enabled_server_is_checked_at_once_and_used_when_up(t):
    a = t.backend(named)
    s, front = t.simple([a], pool='health = { interval = "100ms"; };')
    gone = t.backend(named)
    gone.kill()
    add(s, "app/bad", gone, "enabled check")
    s.wait_status("app", "bad", "DOWN")
    b = t.backend(named)
    add(s, "app/good", b, "enabled")
    s.wait_status("app", "good", "UP")
    wait_until(lambda: {who(front) for _ in range(4)} == {"b1", "b3"}, "both good ones serve")


def test_what_is_wrong_with_add_server_is_said(t):
    s, _ = t.simple([t.backend(named)])
    for command, answer in (
            ("add server app/b1 127.0.0.1:1", "Already exists a server with the same name in backend."),
            ("add server nope/x 127.0.0.1:1", "No such backend."),
            ("add server app 127.0.0.1:1", "Missing server name"),
            ("add server app/x", "Missing address"),
            ("add server app/x 127.0.0.1", "address: found"),
            ("add server app/x 127.0.0.1:1 weight", "'weight' expects a value."),
            ("add server app/x 127.0.0.1:1 weight 257", "weight: found 257, expected"),
            ("add server app/x 127.0.0.1:1 weight a", 'weight: found "a" (a string), expected'),
            ("add server app/x 127.0.0.1:1 weight 1 weight 1", "given twice"),
            ("add server app/x 127.0.0.1:1 ssl", "'ssl' is not a setting of a server"),
            ("add server app/x\"y 127.0.0.1:1", "name: found"),
            ("del server app/x", "No such server."),
            ("del server app/b1", "Only servers in maintenance mode can be deleted."),
            ("wait 1s srv-removable app/x", "No such server."),
            ("wait soon", "Expects a duration"),
            ("wait 1s forever", "Unknown condition")):
        check_in(answer, s.ctl(command), command)
    s.ok("disable server app/b1")
    check_in("The last server", s.ctl("del server app/b1"))
    check_in("Permission denied", s.ctl("operator; add server app/x 127.0.0.1:1"))
    check_in("weight <n>", s.ctl("add server help"))


def test_a_server_goes_when_its_last_connection_has_ended(t):
    a, b = t.backend(echo), t.backend(echo)
    s, front = t.simple([a])
    add(s, "app/new", b, "enabled backup")
    s.wait_status("app", "new", "UP")
    s.ok("set server app/b1 state drain")
    with contextlib.closing(connect(front)) as c:
        c.sendall(b"one\n")
        check_eq(recv_line(c), b"one\n")
        s.ok("set server app/b1 state ready")
        s.ok("disable server app/new")
        check_in("still has connections", s.ctl("del server app/new"))
        check_match("Wait delay expired: .* 1 connections", s.ctl("wait 50ms srv-removable app/new"))
        c.sendall(b"two\n")
        check_eq(recv_line(c), b"two\n")
    check_eq(s.ctl("wait 10s srv-removable app/new; del server app/new").split("\n\n"),
             ["Done.", "Server deleted.\n"])
    check(("app", "new") not in s.stat(), "not shown any more")
    check_eq(s.ctl("show diff").strip(), "no difference")
    add(s, "app/new", a)
    check_eq(s.number("app", "new", "stot"), 0, "counters of another life")


def test_servers_of_the_file_can_be_removed_and_stay_removed(t):
    a, b = t.backend(named), t.backend(named)
    s, front = t.simple([a, b])
    s.ok("disable server app/b2")
    check_in("Server deleted.", s.ctl("del server app/b2"))
    check_match(r"backends\[b2\]: loaded .*, removed at run time", s.ctl("show diff"))
    reloaded(s, replace('"app"; mode = "tcp";', '"app"; mode = "tcp"; retries = { attempts = 1; };'))
    check_eq([who(front) for _ in range(3)], ["b1"] * 3)
    c = t.backend(named)
    out = reloaded(s, replace('name = "b2"; address = "%s"' % where(b.address),
                              'name = "b2"; address = "%s"' % where(c.address)))
    check_in("was removed at run time, but its address in the file is another one now", out)
    s.wait_status("app", "b2", "UP")
    wait_until(lambda: {who(front) for _ in range(4)} == {"b1", "b3"}, "it is back")


def test_added_servers_survive_a_reload_until_the_file_has_them(t):
    a, b, c = t.backend(named), t.backend(named), t.backend(named)
    s, front = t.simple([a])
    add(s, "app/b2", b, "enabled")
    s.wait_status("app", "b2", "UP")
    reloaded(s, replace('"app"; mode = "tcp";', '"app"; mode = "tcp"; retries = { attempts = 1; };'))
    check_eq({who(front) for _ in range(4)}, {"b1", "b2"})
    out = reloaded(s, change_backends(t, [a, (c.address, "")]))
    check_in("was added at run time and is in the file now: the file wins", out)
    s.wait_status("app", "b2", "UP")
    wait_until(lambda: {who(front) for _ in range(4)} == {"b1", "b3"}, "the file's address")


def test_a_name_as_address_is_looked_up(t):
    a, b = t.backend(named), t.backend(named, address=("127.0.0.1", t.port()))
    s, front = t.simple([a])
    check_in("New server registered.",
             s.ctl("add server app/n localhost:%d enabled" % b.address[1]))
    s.wait_status("app", "n", "UP")
    check_eq({who(front) for _ in range(4)}, {"b1", "b2"})
    s.ok("disable server app/n")
    check_in("Server deleted.", s.ctl("wait 10s srv-removable app/n; del server app/n"))


def test_a_reason_shows_wherever_the_state_does(t):
    a, b = t.backend(named), t.backend(named)
    s, _ = t.simple([a, (b, 'state = "maint"; reason = "not there yet";')])
    check_eq(s.stat()["app", "b2"]["last_chk"], "not there yet")
    s.ok("set server app/b1 state maint new disk, back at 5")
    check_in("new disk, back at 5", s.ctl("show stat"))
    check_in("put in maintenance over the stats socket: new disk", s.ctl("show events"))
    check_in("running maint: new disk", s.ctl("show diff"))
    check_match('state = "maint";\n *reason = "new disk, back at 5"', s.ctl("show config"))
    s.ok("set server app/b1 state drain moving")
    check_eq(s.stat()["app", "b1"]["last_chk"], "moving")
    s.ok("enable server app/b1")
    check("moving" not in s.ctl("show stat"), "it is ready again")
    s.ok("enable server app/b2")
    s.wait_status("app", "b2", "UP")
    check_in("loaded maint, running ready", s.ctl("show diff"))


def test_max_connections_at_run_time(t):
    a = t.backend(echo)
    s, front = t.simple([a])
    s.ok("set maxconn server app/b1 1")
    with contextlib.closing(connect(front)) as one:
        one.sendall(b"1\n")
        check_eq(recv_line(one), b"1\n")
        with contextlib.closing(connect(front)) as two:
            two.sendall(b"2\n")
            s.wait_number("app", "BACKEND", "qcur", 1)
            s.ok("set maxconn server app/b1 2")
            check_eq(recv_line(two), b"2\n")
    check_in("Value out of range.", s.ctl("set maxconn server app/b1 99999999999"))
    check_in("Expects an integer value.", s.ctl("set maxconn server app/b1 x"))


def test_adding_and_removing_under_load_fails_no_request_and_keeps_nothing(t):
    fixed, extra = t.backend(app_or_echo, backlog=4096), t.backend(app_or_echo, backlog=4096)
    front = t.address()
    s = t.sluice("""workers = 2;
pools = ( { name = "app"; mode = "http"; health = { interval = "500ms"; };
  backends = ( { name = "fixed"; address = "%s"; } ); } );
listeners = ( { name = "front"; mode = "http"; bind = "%s"; routes = ( { pool = "app"; } ); } );
""" % (where(fixed.address), where(front)))
    load = Load(front, 3)
    sizes = []
    for n in range(CYCLES):
        add(s, "app/x%d" % (n % 3), extra, "enabled")
        out = s.ctl("set server app/x%d state maint; wait 10s srv-removable app/x%d; del server app/x%d" % (
            (n % 3,) * 3))
        check_in("Done.", out)
        if "still has connections" in out:  # one came between the two: HAProxy's users try again
            wait_until(lambda: "Server deleted." in s.ctl("del server app/x%d" % (n % 3)), "deleted")
        sizes.append(status_kb(s.pid, "VmRSS"))
        check(not load.failed, "requests that failed", load.failed[:5])
    load.end()
    if not t.sanitized:
        check(sizes[-1] <= sizes[CYCLES // 3] * 1.1 + 1024, "memory does not grow", sizes)
    wait_until(lambda: not s.in_flight(), "all ended")
    check_eq([k[1] for k in s.stat() if k[0] == "app"], ["fixed", "BACKEND"])
    s.baseline = s.settled_fds()
