"""The state file: what is known of backends, and what was set at run time, outlives a restart and an upgrade."""

from upgrade_tools import *


def site(t, top="", **kw):
    """Backend `gone` is down."""
    a, b = t.backend(named, name="a"), t.backend(named, name="b")
    s, front = t.simple([a, b, t.closed_address()], pool="health = { interval = \"200ms\"; fall = 2; };",
                        top='state_file = "%s";\n%s' % (t.path("state"), top), **kw)
    return s, front


def state(t):
    with open(t.path("state")) as f:
        return f.read()


def wait_state(t, regex):
    def there():
        with contextlib.suppress(FileNotFoundError):
            return re.search(regex, state(t), re.M)
    wait_until(there, lambda: "/%s/ in the state file" % regex)


def row(s, name):
    return s.stat()["app", name]


def again(t, s, change=lambda text: text, **kw):
    """The next one, after the end of s."""
    if not s.ended:
        s.terminate()
    n = t.sluice(change(conf_of(s)), wait=False, **kw)
    n.stats_path = s.stats_path
    wait_until(n.answers, lambda: "the stats socket answers; log:\n" + n.log)
    wait_until(lambda: n.ctl("show ready").strip() == "ready", "ready")
    n.baseline = n.settled_fds()
    return n


def set_some(s):
    s.ctl("set weight app/a 5")
    s.ctl("set server app/b state maint")
    s.ctl("disable health app/a")


def check_set(s):
    check_eq(row(s, "a")["weight"], "5")
    check_eq(row(s, "b")["status"], "MAINT")
    check_match(r"(?m)^show|^pools\[app\]\.backends\[a\]\.weight: loaded 1, running 5$", s.ctl("show diff"))


def test_a_restart_keeps_what_was_set_and_what_was_seen(t):
    s, front = site(t)
    s.wait_status("app", "b3", "DOWN")
    set_some(s)
    wait_state(t, r"^backend app/b oper=up .* state=ready,maint")
    wait_state(t, r"^backend app/a .* weight=1,5 .* checks=off")
    s.terminate()
    wait_state(t, r"\Asluice-state 1\nwritten \d+\n(backend .*\n){3}end\n\Z")
    check_eq(os.stat(t.path("state")).st_mode & 0o777, 0o600)
    n = again(t, s)
    check_set(n)
    check_match("backend app/a: weight stays 5 as set at run time; the file says 1 as before", n.log)
    check_match("backend app/b: state stays maint as set at run time; the file says ready as before", n.log)
    check_match(r"state file .*: what is known of 3 backends, \d s old, is taken up", n.log)
    check("first result" not in n.log, "nothing is new to it", n.log)
    check_eq(row(n, "b3")["status"], "DOWN")
    check_eq(row(n, "b3")["check_status"], "L4CON")
    check(int(row(n, "b3")["lastchg"]) >= 0, "since when")
    n.ctl("set server app/b state ready")
    n.ctl("set weight app/a 1")
    n = again(t, n)
    check_eq(row(n, "b")["status"], "UP")
    check_eq(row(n, "a")["weight"], "1")


def test_the_file_wins_where_it_has_changed_the_same_value(t):
    s, front = site(t)
    s.ctl("set weight app/a 5")
    s.ctl("set weight app/b 6")
    wait_state(t, r"weight=1,6")
    n = again(t, s, replace('name = "a"; address', 'name = "a"; weight = 9; address'))
    check_eq(row(n, "a")["weight"], "9")
    check_eq(row(n, "b")["weight"], "6")
    check_match("backend app/a: weight is 9 as the file says now, in place of 5 set at run time", n.log)
    check_match("backend app/b: weight stays 6 as set at run time", n.log)


def test_health_that_is_old_is_not_believed(t):
    s, front = site(t, top="state_max_age = \"1m\";\n")
    s.wait_status("app", "b3", "DOWN")
    s.ctl("set weight app/a 5")
    s.terminate()
    text = re.sub(r"written \d+", "written %d" % (time.time() - 3600), state(t))
    with open(t.path("state"), "w") as f:
        f.write(text)
    n = again(t, s)
    n.wait_log("it is 60 min old, state_max_age is 60 s: the health of backends is not taken from it")
    n.wait_log("app/a is UP: .*first result")
    check_eq(row(n, "a")["weight"], "5")
    n.terminate()
    with open(t.path("state"), "w") as f:
        f.write(re.sub(r"written \d+", "written %d" % (time.time() + 3600), text))
    again(t, n).wait_log("from the future")


def test_a_damaged_file_is_told_and_does_no_harm(t):
    s, front = site(t)
    s.ctl("set weight app/a 5")
    s.terminate()
    good = state(t)
    said = "what is there is taken"
    for bad, words in ((good[:-4], said), (good.replace("oper=up", "oper=sideways"), "2 lines were not understood"),
                       ("", None), ("nonsense\n" * 1000, "no state of a sluice"), ("\0" * 100, "no state of a sluice"),
                       ("sluice-state 2\n", "no state of a sluice")):
        with open(t.path("state"), "w") as f:
            f.write(bad)
        s = again(t, s)
        if words:
            s.wait_log(words)
        check_in(who(front), ("a", "b"))
        s.terminate()
    os.unlink(t.path("state"))
    os.mkdir(t.path("state"))
    s = again(t, s)
    s.wait_log("state file .*: cannot be read: Invalid argument")
    s.wait_log("state file .*: cannot be written: ")
    s.terminate()


def test_an_upgrade_takes_it_along_without_a_file(t):
    a, b = t.backend(named, name="a"), t.backend(named, name="b")
    s, front = t.simple([a, b, t.closed_address()], pool="health = { interval = \"200ms\"; };")
    s.wait_status("app", "b3", "DOWN")
    set_some(s)
    old, n = s, upgraded(t, s)
    check_set(n)
    check_eq(row(n, "b3")["status"], "DOWN")
    check("first result" not in n.log, "nothing is new to it", n.log)
    old.wait_end()
    check_eq(who(front), "a")


def test_what_is_set_while_the_new_process_starts_is_not_lost(t):
    a, b = t.backend(named, name="a"), t.backend(named, name="b")
    s, front = t.simple([a, b], top='state_file = "%s";\n' % t.path("state"))
    slow = ', { name = "slow"; mode = "tcp"; health = { timeout = "1500ms"; }; backends = ( ' \
           '{ name = "s"; address = "%s"; } ); } );\nlisteners' % where(t.hanging_address())
    s.ctl("set weight app/a 7")
    n = begin(t, s, lambda text: re.sub(r" \);\nlisteners", lambda _: slow, text))
    s.wait_log("was given the listening sockets")
    s.ctl("set weight app/a 1")
    s.ctl("set server app/b state drain")
    wait_taken(n)
    s.wait_end()
    check_eq(row(n, "a")["weight"], "1")
    check_eq(row(n, "b")["status"], "DRAIN")
    check_eq(who(front), "a")
    wait_state(t, r"^backend slow/s ")  # the file is the new one's


def test_what_came_and_went_at_run_time_stays_so(t):
    s, front = site(t)
    c = t.backend(named, name="c")
    check_in("New server registered", s.ctl("add server app/c %s weight 3" % where(c.address)))
    s.ctl("enable server app/c")
    for name in ("a", "b3"):
        s.ctl("disable server app/" + name)
        check_in("deleted", s.ctl("del server app/" + name))
    s.ctl("set server app/b state drain")
    wait_until(lambda: who(front) == "c", "c serves")
    wait_state(t, r'^removed app/b3 was=')
    n = again(t, s)
    check_eq({sv for px, sv in n.stat() if px == "app"}, {"b", "c", "BACKEND"})
    check_eq(who(front), "c")
    check_eq(row(n, "c")["weight"], "3")
    old, n = n, upgraded(t, n)
    old.wait_end()
    check_eq({sv for px, sv in n.stat() if px == "app"}, {"b", "c", "BACKEND"})
    check_eq(who(front), "c")
    n = again(t, n, replace('name = "b"; address', 'name = "c"; address = "%s"; }, { name = "b"; address' % where(
        c.address)))
    n.wait_log("app/c: was added at run time and is in the file now: the file wins")
    check_eq(row(n, "c")["weight"], "1")
