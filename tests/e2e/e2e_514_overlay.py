"""save and the overlay: what was changed at run time is there again at the next start, in the order file,
overlay, run time; but the file wins in what it has changed since."""

from reload_tools import *


def begin(t, backends, **kw):
    overlay = t.path("overlay.conf")
    s, front = t.simple(backends, top='workers = 1;\noverlay = "%s";' % overlay, **kw)
    return s, front, overlay


def again(t, s, change=lambda text: text):
    """Ends s and starts another one with the same file, or one that has changed."""
    s.terminate()
    with open(s.conf_path) as f:
        text = f.read().replace(s.stats_path, t.path("sluice%d.sock" % len(t.sluices)))
    return t.sluice(change(text))


def test_what_is_saved_is_there_at_the_next_start(t):
    a, b, c = t.backend(named), t.backend(named), t.backend(named)
    s, front, overlay = begin(t, [(a, "weight = 10;"), b, c])
    for command in ("set weight app/b1 5", "set maxconn server app/b1 9", "disable server app/b2 new disk",
                    "disable server app/b3"):
        s.ok(command)
    check_in("Server deleted.", s.ctl("del server app/b3"))
    check_in("New server", s.ctl("add server app/n %s weight 2 backup enabled" % where(c.address)))
    diff = s.ctl("show diff")
    check_match("^Saved to .*: 4 backends", s.ctl("save"))
    check_eq(os.stat(overlay).st_mode & 0o777, 0o600)
    check_eq(s.ctl("show diff"), diff, "it is the file that it is compared with")
    config = s.ctl("show config").split("\npools")[1]
    s = again(t, s)
    check_eq(s.ctl("show config").split("\npools")[1], config)
    check_eq(sorted(n for p, n in s.stat() if p == "app"), ["BACKEND", "b1", "b2", "n"])
    check_eq(s.stat()["app", "b2"]["last_chk"], "new disk")
    check_eq(s.status("app", "b2"), "MAINT")
    check_in("5 (initial", s.ctl("get weight app/b1"))
    check_eq([who(front) for _ in range(3)], ["b1"] * 3)
    check_eq(sorted(s.ctl("show diff").split("\n")), sorted(diff.split("\n")))
    check_in("nothing has changed", s.ctl("reload"))
    s.ok("enable server app/b2")
    s.wait_status("app", "b2", "UP")
    check_in("nothing has changed", s.ctl("reload"))
    check_eq(s.status("app", "b2"), "UP", "a change at run time wins over the overlay")
    check_match("Saved to .*: 3 backends", s.ctl("save"))
    check("new disk" not in open(overlay).read(), "saved anew")


def test_a_change_after_a_save_survives_a_reload(t):
    a, b = t.backend(named), t.backend(named)
    s, front, overlay = begin(t, [(a, "weight = 10;"), b])
    s.ok("set weight app/b1 5")
    s.ctl("save")
    s.ok("set weight app/b1 7")
    reloaded(s, replace('"app"; mode = "tcp";', '"app"; mode = "tcp"; retries = { attempts = 1; };'))
    check_in("7 (", s.ctl("get weight app/b1"))
    reloaded(s, replace("attempts = 1", "attempts = 2"))
    check_in("7 (", s.ctl("get weight app/b1"))


def test_the_file_wins_where_it_has_changed_since_the_save(t):
    a, b, c = t.backend(named), t.backend(named), t.backend(named)
    s, front, overlay = begin(t, [(a, "weight = 10;"), (b, "weight = 10;"), c])
    s.ok("set weight app/b1 5")
    s.ok("set weight app/b2 6")
    s.ok("disable server app/b3")
    s.ctl("del server app/b3")
    s.ctl("save")
    d = t.address()
    s = again(t, s, lambda text: text.replace("weight = 10;", "weight = 20;", 1).replace(
        where(c.address), where(d)))
    check_in("20 (", s.ctl("get weight app/b1"))
    check_in("6 (", s.ctl("get weight app/b2"))
    s.wait_status("app", "b3", "DOWN")
    s.wait_log(r"overlay.conf:\d+: warning: backends\[app/b1\].weight: the configuration says something else")
    s.wait_log("b3: was removed at run time, but its address in the file is another one now")


def test_an_overlay_written_by_hand_takes_effect_with_a_reload(t):
    a, b = t.backend(named), t.backend(named)
    s, front, overlay = begin(t, [a, b])
    with open(overlay, "w") as f:
        f.write('backends = ( { pool = "app"; name = "b1"; state = "maint"; reason = "by hand"; },\n'
                '  { pool = "app"; name = "b3"; added = true; address = "%s"; },\n'
                '  { pool = "old"; name = "x"; weight = 2; } );\n' % where(b.address))
    out = s.ctl("reload")
    check_in("reloaded", out)
    check_match(r"overlay.conf:3: warning: backends\[old/x\]: the configuration has no such pool", out)
    check_eq(s.status("app", "b1"), "MAINT")
    s.wait_status("app", "b3", "UP")
    check_eq([who(front) for _ in range(3)], ["b2"] * 3)
    with open(overlay, "w") as f:
        f.write("backends = ();\n")
    check_in("reloaded", s.ctl("reload"))
    s.wait_status("app", "b1", "UP")
    check(("app", "b3") not in s.stat(), "it is gone with its entry")
    check_eq(s.ctl("show diff").strip(), "no difference")


def test_a_broken_overlay_is_told_and_stops_no_start(t):
    a = t.backend(named)
    overlay = t.path("overlay.conf")
    for text, error in (
            ('backends = ( { pool = "app"; name = "b1"; weight = 300; } );',
             r"overlay.conf:1: error: backends\[b1\].weight: found 300, expected"),
            ('backends = (\n{ pool = ; } );', r"overlay.conf:2: error: syntax"),
            ('backends = ( { pool = "app"; name = "n"; added = true; } );', "without an address"),
            ('backend = ();', 'unknown setting .did you mean "backends"'),
            ('backends = ( { pool = "app"; name = "b"; }, { pool = "app"; name = "b"; } );', "second entry")):
        with open(overlay, "w") as f:
            f.write(text + "\n")
        s, front = t.simple([a], top='overlay = "%s";' % overlay)
        check_eq(who(front), "b1")
        s.wait_log(error)
        s.wait_log("the overlay is left out until")
        out = reload(s, replace('mode = "tcp";', 'mode = "tcp"; '))
        check_match(error, out, "a reload is refused")
        status, _, err = t.run("-t", "-c", s.conf_path)
        check_eq(status, 0)
        check_match(error, err)
        check_in("would be left out", err)
        check_in("overlay.conf.broken", s.ctl("save"))
        check_eq(open(overlay + ".broken").read(), text + "\n")
        check_in("nothing has changed", s.ctl("reload"))
        s.terminate()


def test_save_says_why_it_cannot(t):
    s, _ = t.simple([t.backend(named)])
    check_in('No overlay file is configured: overlay = "/path".', s.ctl("save"))
    check_in("Permission denied", s.ctl("operator; save"))
    s.terminate()
    s, _ = t.simple([t.backend(named)], top='overlay = "%s/none/x";' % t.path("."))
    check_match("x cannot be written: No such file or directory", s.ctl("save"))
