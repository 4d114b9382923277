"""Reload of what is neither listener nor pool: who is asked for names."""

import contextlib
import os
import signal
import socket

from hardened import *
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


# ---- stats sockets ----

def line(path, settings='level = "admin";'):
    return 'stats = { socket = "%s"; %s };' % (path, settings)


def ask(path, command):
    with contextlib.closing(connect(path)) as c:
        c.sendall(command.encode() + b"\n")
        return recv_all(c).decode()


def held(path):
    """An interactive session."""
    c = connect(path)
    c.sendall(b"prompt\n")
    wait_until(lambda: b"> " in c.recv(100), "a prompt")
    return c


def says(c, command):
    c.sendall(command.encode() + b"\n")
    out = b""
    while not out.endswith(b"> "):
        got = c.recv(65536)
        check(got, "the session is open", out)
        out += got
    return out.decode()


def cli(s):
    return s.ctl("show cli sockets")


def test_a_stats_socket_moves(t):
    s, front = t.simple([t.backend(named)])
    old, new = s.stats_path, t.path("other.sock")
    with contextlib.closing(held(old)) as c:
        out = says(c, "show version")
        rewrite(s, replace(line(old), line(new)))
        out = says(c, "reload")
        check_in("reloaded: ", out)
        check("warning" not in out, "nothing waits for a restart", out)
        s.stats_path = new
        check_in(new, cli(s))
        check(old not in cli(s), "the old one is not shown")
        check(not os.path.exists(old), "its path is gone")
        check_in("Uptime", says(c, "show info"))  # the session that asked lives on
    check_in("reloaded: ", reload(s, replace(line(new), line(old))))
    s.stats_path = old
    check_eq(who(front), "b1")
    check_eq(sorted(n for n in os.listdir(os.path.dirname(old)) if "sock" in n), [os.path.basename(old)])


def test_the_mode_of_a_stats_socket(t):
    s, front = t.simple([t.backend(named)])
    path = s.stats_path
    check_eq(os.stat(path).st_mode & 0o777, 0o600)
    with contextlib.closing(held(path)) as c:
        reloaded(s, replace(line(path), line(path, 'mode = "660"; level = "admin";')))
        check_eq(os.stat(path).st_mode & 0o777, 0o660)
        check_in("Uptime", says(c, "show info"))
    check_in("Uptime", s.ctl("show info"))
    check_eq(sorted(n for n in os.listdir(os.path.dirname(path)) if "sock" in n), [os.path.basename(path)])


def test_the_level_of_a_stats_socket(t):
    s, front = t.simple([t.backend(named)])
    path, inode = s.stats_path, os.stat(s.stats_path).st_ino
    with contextlib.closing(held(path)) as c:
        reloaded(s, replace(line(path), line(path, 'level = "user";')))
        check_eq(os.stat(path).st_ino, inode, "it is the same socket")
        check_in("Permission denied", s.ctl("set weight app/b1 3"))
        check("denied" not in says(c, "set weight app/b1 3"), "who was there keeps what it may")
        rewrite(s, replace(line(path, 'level = "user";'), line(path)))
        check_in("reloaded: ", says(c, "reload"))
    s.ok("set weight app/b1 4")


def test_stats_sockets_come_and_go(t):
    s, front = t.simple([t.backend(named)])
    path, second = s.stats_path, t.path("second.sock")
    two = 'stats = ( { socket = "%s"; level = "admin"; }, { socket = "%s"; level = "user"; } );' % (path, second)
    reloaded(s, replace(line(path), two))
    check_in("Uptime", ask(second, "show info"))
    check_in("Permission denied", ask(second, "disable server app/b1"))
    reloaded(s, replace(two, line(path)))
    check(not os.path.exists(second), "it is gone")
    with contextlib.closing(connect(path)) as waiting:
        rewrite(s, replace(line(path), ""))
        waiting.sendall(b"reload\n")
        check_in("reloaded: ", recv_all(waiting).decode())
    check(not os.path.exists(path), "there is none")
    rewrite(s, lambda x: line(path) + "\n" + x)
    s.process.send_signal(signal.SIGHUP)
    wait_until(lambda: os.path.exists(path), "it is back")
    check_in("Uptime", s.ctl("show info"))


def test_a_stats_socket_that_cannot_be_bound_refuses_all(t):
    s, front = t.simple([t.backend(named)])
    path, other, file = s.stats_path, t.path("new.sock"), t.path("file.sock")
    inode = os.stat(path).st_ino
    with open(file, "w"):
        pass
    three = 'stats = ( { socket = "%s"; mode = "666"; }, { socket = "%s"; }, { socket = "%s"; } );' % (path, other, file)
    said = reload(s, lambda x: x.replace(line(path), three).replace('name = "front"', 'name = "other"'))
    check_match(r"sluice\.conf: error: stats socket %s: there is a file of that name that is no socket" % file, said)
    check_eq((os.stat(path).st_ino, os.stat(path).st_mode & 0o777), (inode, 0o600), "as it was")
    check(not os.path.exists(other), "nothing is left of it")
    check_in("front", s.ctl("show stat"))
    # What fails after it takes its name back.
    blocker = t.address()
    with contextlib.closing(socket.create_server(blocker)):
        said = reload(s, lambda x: x.replace(three, line(path, 'mode = "666"; level = "admin";'))
                      .replace(where(front), where(blocker)))
        check_in("cannot listen on", said)
        check_eq((os.stat(path).st_ino, os.stat(path).st_mode & 0o777), (inode, 0o600), "as it was")
    check_eq(sorted(n for n in os.listdir(os.path.dirname(path)) if n.endswith(".sock") or ".sock." in n),
             sorted(os.path.basename(x) for x in (path, file)))
    check_eq(who(front), "b1")


def test_a_stats_socket_in_another_folder_is_refused_under_landlock(t):
    s, front = t.simple([t.backend(named)])
    landlocked(s)
    with elsewhere() as folder:
        said = reload(s, replace(line(s.stats_path), line(folder + "/s.sock")))
        check_in('stats.socket: found "%s/s.sock"' % folder, said)
        check_in("Uptime", s.ctl("show info"))


def test_show_diff_says_what_a_reload_would_change(t):
    s, front = t.simple([t.backend(named)])
    path = s.stats_path
    check_eq(s.ctl("show diff").strip(), "no difference")
    rewrite(s, lambda x: x.replace(line(path), line(path, 'mode = "660"; level = "admin";'))
            .replace("workers = 2;", "workers = 1;"))
    check_eq(s.ctl("show diff").strip().split("\n"),
             ["stats: the file has other settings than what is running",
              "workers: the file has another than what is running, which takes a restart or an upgrade (-x)"])
    s.ctl("reload")
    check_match(r"^workers: [^\n]*$", s.ctl("show diff").strip())
