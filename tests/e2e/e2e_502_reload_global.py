"""Reload of what is neither listener nor pool: who is asked for names."""

from reload_tools import *

import e2e_130_names as names


def test_names_are_asked_of_the_new_servers(t):
    a, b = t.backend(named), t.backend(named)
    old, new = names.Dns(t.ip, t.port()), names.Dns(t.ip, t.port())
    old.answers["db.example"] = new.answers["db.example"] = [t.ip]
    s, front = names.start(t, old, "db.example", a.address[1])
    s.wait_status("app", "b1", "UP")
    out = reloaded(s, replace(old.address, new.address))
    check("warning" not in out, "nothing waits for a restart", out)
    check_eq(who(front), "b1", "the address stays")
    wait_until(lambda: new.asked > 0, "the new server is asked")
    asked = old.asked
    wait_until(lambda: new.asked > 4, "and again")
    check_eq(old.asked, asked, "the old one is asked no more")
    check_in(new.address, s.ctl("show config"))


def test_a_name_that_only_the_new_servers_know(t):
    b = t.backend(named)
    old, new = names.Dns(t.ip, t.port()), names.Dns(t.ip, t.port())
    new.answers["db.example"] = [t.ip]
    s, front = names.start(t, old, "db.example", b.address[1], ready=False)
    s.wait_log("no such name")
    reloaded(s, lambda x: x.replace(old.address, new.address).replace('refresh = "1s"', 'refresh = "24h"'))
    s.wait_status("app", "b1", "UP")
    check_eq(who(front), "b1")
    reloaded(s, replace('refresh = "24h"', 'refresh = "100ms"'))
    asked = new.asked
    wait_until(lambda: new.asked > asked + 4, "the new interval holds for what waits already")


def test_a_lookup_under_way_goes_on_with_the_new_servers(t):
    b = t.backend(named)
    old, new = names.Dns(t.ip, t.port()), names.Dns(t.ip, t.port())
    old.silent, new.answers["db.example"] = True, [t.ip]
    s, front = names.start(t, old, "db.example", b.address[1], ready=False)
    wait_until(lambda: old.asked > 0, "it has asked")
    reload(s, replace(old.address, new.address))
    s.wait_status("app", "b1", "UP")
    check_eq(who(front), "b1")
