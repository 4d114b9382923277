"""Checks that a program makes: what it is told, what its end means, and that nothing of it is left."""

import os
import pwd

from hardened import *

ON = "hardening = { exec = true; };\n"
FAST = 'interval = "40ms"; timeout = "2s"; rise = 1; fall = 1;'


def program(t, text, name="check"):
    """A script of the test's folder, which everybody may run."""
    os.chmod(t.dir, 0o755)
    path = t.path(name)
    with open(path + ".new", "w") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(path + ".new", 0o755)
    os.rename(path + ".new", path)
    return path


def block(*command, more=FAST):
    return 'health = { type = "exec"; command = [ %s ]; %s };' % (
        ", ".join('"%s"' % c for c in command), more)


def shared(t):
    """A folder where programs may leave something, whoever they are."""
    path = t.path("out")
    os.mkdir(path)
    os.chmod(path, 0o777)
    return path


def row(s, name="b1"):
    return s.stat()[("app", name)]


def running(word):
    """Processes with that word among their arguments, but for dead ones."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                if word.encode() in f.read().split(b"\0"):
                    found.append(int(pid))
    return found


def children(pid):
    """(pid, state) of its children."""
    found = []
    for other in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open("/proc/%s/stat" % other) as f:
                fields = f.read().rsplit(")", 1)[1].split()
            if int(fields[1]) == pid:
                found.append((int(other), fields[0]))
    return found


def test_its_end_takes_a_backend_down_and_up(t):
    b = t.backend(named, name="b1")
    path = program(t, "echo all is well\necho and more\nexit 0\n")
    s, front = t.simple([b], top=ON, pool=block(path))
    s.wait_status("app", "b1", "UP")
    wait_until(lambda: row(s)["last_chk"] == "exit 0: all is well", lambda: row(s)["last_chk"])
    check_eq((row(s)["check_status"].lstrip("* "), row(s)["check_desc"]), ("PROCOK", "External check passed"))
    program(t, "echo 'disk is full' >&2\nexit 3\n")
    s.wait_status("app", "b1", "DOWN")
    s.wait_log(r"backend app/b1 is DOWN: exit 3: disk is full \(check exec")
    check_eq((row(s)["check_status"].lstrip("* "), row(s)["check_code"]), ("PROCERR", "3"))
    program(t, "exit 0\n")
    s.wait_status("app", "b1", "UP")
    check_eq(who(front), "b1")
    program(t, "kill -9 $$\n")
    s.wait_log("DOWN: the program was ended by signal 9")
    os.unlink(path)
    wait_until(lambda: "cannot run" in row(s)["last_chk"], lambda: row(s)["last_chk"])


def test_what_it_is_told_and_what_it_has(t):
    """A clean environment, its own group, no descriptors of ours, no rights."""
    out = shared(t)
    path = program(t, "test $SLUICE_BACKEND = b1 || exit 0\n"
                      "env | sort > {0}/env.new && mv {0}/env.new {0}/env\n"
                      "ls -l /proc/$$/fd > {0}/fd.new; mv {0}/fd.new {0}/fd\n"
                      "cat /proc/$$/status > {0}/status.new; mv {0}/status.new {0}/status\n"
                      "pwd > {0}/pwd.new; mv {0}/pwd.new {0}/pwd; printf '%s\\n' \"$@\" > {0}/args.new; mv {0}/args.new {0}/args\n".format(out))
    b = t.backend(named, name="b1")
    s, _ = t.simple([b, b.address], top=ON, pool=block(path, "a b", "$(id)", "*"), env={"SECRET": "x"})
    s.wait_status("app", "b1", "UP")
    wait_until(lambda: {"env", "args", "status", "fd"} <= set(os.listdir(out)), "it has run")

    def read(name):
        with open(os.path.join(out, name)) as f:
            return f.read()
    env = dict(line.split("=", 1) for line in read("env").splitlines())
    host, port = b.address[0], str(b.address[1])
    wanted = {"SLUICE_POOL": "app", "SLUICE_BACKEND": "b1", "SLUICE_ADDRESS": host, "SLUICE_PORT": port,
              "HAPROXY_PROXY_NAME": "app", "HAPROXY_SERVER_NAME": "b1", "HAPROXY_SERVER_ADDR": host,
              "HAPROXY_SERVER_PORT": port}
    check_eq({k: env.get(k) for k in wanted}, wanted)
    check_eq(set(env) - set(wanted) - {"PATH", "PWD", "OLDPWD", "_", "SHLVL"}, set())
    check_eq(read("args"), "a b\n$(id)\n*\n", "no shell is between")
    check_eq(read("pwd"), "/\n")
    fds = [line.split(" -> ") for line in read("fd").splitlines() if " -> " in line]
    check(all(target in ("/dev/null", path) or target.startswith(("pipe:", out)) for _, target in fds),
          "nothing of ours: %s" % fds)
    status = dict(line.split(":", 1) for line in read("status").splitlines())
    check_eq((status["NoNewPrivs"].strip(), int(status["CapEff"], 16)), ("1", 0))
    if os.geteuid() == 0:
        check_eq(int(status["Uid"].split()[0]), pwd.getpwnam(NOBODY).pw_uid)
    check_eq(int(status["SigIgn"], 16) & ~(1 << 31 | 1 << 32), 0)


def test_what_takes_too_long_is_killed_with_all_its_children(t):
    word = "97%d" % os.getpid()
    path = program(t, "exit 0\n")
    s, _ = t.simple([t.backend(named, name="b1")], top=ON,
                    pool=block(path, more='interval = "100ms"; timeout = "150ms"; rise = 1; fall = 1;'))
    program(t, "sleep %s &\nsleep %s\n" % (word, word))
    s.wait_log("DOWN: the program did not end (within|in time)")
    check_in(row(s)["check_status"].lstrip("* "), "PROCTOUT")
    program(t, "sleep %s &\nexit 0\n" % word)  # who ends in time takes all with it, too
    s.wait_status("app", "b1", "UP")
    program(t, "exit 0\n")
    wait_until(lambda: running(word) == [], lambda: "none is left: %s" % running(word))
    program(t, "sleep %s\n" % word)
    wait_until(lambda: running(word) != [], "one runs")
    s.finish()
    wait_until(lambda: running(word) == [], lambda: "none outlives sluice: %s" % running(word))


def test_what_writes_without_end_is_no_trouble(t):
    path = program(t, "exit 0\n")
    s, _ = t.simple([t.backend(named, name="b1")], top=ON, pool=block(path))
    program(t, "yes 'too much of it' | head -c 3000000\nexit 1\n")
    s.wait_log("DOWN: exit 1: too much of it ")
    path = program(t, "head -c 100000 /dev/zero\nexit 0\n")
    s.wait_status("app", "b1", "UP")


def test_no_dead_ones_are_left(t):
    path = program(t, "exit 0\n")
    backend = t.backend(named, name="b1")
    s, _ = t.simple([backend] + [backend.address] * 9, top=ON, pool=block(path))
    s.wait_status("app", "b1", "UP")
    keeper = int(check_match(r"keeper \(process (\d+)\)", s.info()["Hardening"]).group(1))
    before = s.number("app", "b1", "chkfail")
    for _ in range(20):
        check(len(children(keeper)) <= 12, "not more than run")
    s.ctl("disable health app/b1")
    for n in range(2, 11):
        s.ctl("disable health app/%s" % ("b%d" % n))
    wait_until(lambda: children(keeper) == [], lambda: "no child is left: %s" % children(keeper))
    check_eq(s.number("app", "b1", "chkfail"), before)


def test_it_is_off_until_it_is_wanted(t):
    path = program(t, "exit 0\n")
    for top, pool, words in (
            ("", block(path), 'health.type: found "exec", expected hardening = { exec = true; }'),
            (ON, 'health = { type = "exec"; };', "health.command: not found, expected the program to run"),
            (ON, block("check", more=""), 'health.command: found "check", expected a whole path')):
        conf = top + 'pools = ( { name = "app"; mode = "tcp"; %s\n backends = ( { name = "b"; address = "127.0.0.1:1"; } ); } );\n' \
            'listeners = ( { name = "l"; mode = "tcp"; bind = "127.0.0.1:0"; pool = "app"; } );\n' % pool
        with open(t.path("bad.conf"), "w") as f:
            f.write(conf)
        status, out, err = t.run("-t", "-c", t.path("bad.conf"))
        check_eq(status, 1)
        check_in(words, out + err)
