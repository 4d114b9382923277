"""Checks by programs through reloads, upgrades and the end of the keeper."""

import importlib
import signal

from hardened import *

exec_ = importlib.import_module("e2e_138_exec")
ON, block, program, row = exec_.ON, exec_.block, exec_.program, exec_.row


def swap(old, new):
    def change(text):
        check_in(old, text)
        return text.replace(old, new)
    return change


def test_reloads_add_change_and_remove_them(t):
    a, b = program(t, "echo one\n", "a"), program(t, "echo two\n", "b")
    tcp = 'health = { type = "tcp"; interval = "40ms"; };'
    s, front = t.simple([t.backend(named, name="b1")], top=ON, pool=tcp)
    s.wait_status("app", "b1", "UP")
    for old, new, said in ((tcp, block(a), "exit 0: one"), (block(a), block(b), "exit 0: two"),
                           (block(b), tcp, "connected")):
        reloaded(s, swap(old, new))
        wait_until(lambda: row(s)["last_chk"] == said, lambda: "%s: %s" % (said, row(s)["last_chk"]))
        check_eq(row(s)["status"], "UP")
    check_eq(who(front), "b1")


def test_upgrades_take_them_along(t):
    path = program(t, "echo one\n")
    s, front = t.simple([t.backend(named, name="b1")], top=ON, pool=block(path))
    s.wait_status("app", "b1", "UP")
    n = upgraded(t, s)
    s.wait_end()
    check_eq(row(n)["status"], "UP")
    check(" WARN " not in n.log, n.log)
    program(t, "echo three\nexit 4\n")
    n.wait_log("backend app/b1 is DOWN: exit 4: three")
    program(t, "exit 0\n")
    n.wait_status("app", "b1", "UP")
    check_eq(who(front), "b1")


def test_as_the_user_that_sluice_becomes(t):
    """Started as root, with a keeper of files: programs are that user."""
    top = as_dropped(t)
    path = program(t, "id -un\n")
    s, front = t.simple([t.backend(named, name="b1")], top=top + ON, pool=block(path))
    s.wait_status("app", "b1", "UP")
    wait_until(lambda: row(s)["last_chk"] == "exit 0: " + NOBODY, lambda: row(s)["last_chk"])
    check_eq(who(front), "b1")


def test_without_any_right(t):
    path = program(t, "id -u\n")
    as_ordinary(t)
    os.chmod(t.dir, 0o755)
    s, front = t.simple([t.backend(named, name="b1")], top=ON, pool=block(path))
    s.wait_status("app", "b1", "UP")
    uid = pwd.getpwnam(NOBODY).pw_uid if os.geteuid() == 0 else os.geteuid()
    wait_until(lambda: row(s)["last_chk"] == "exit 0: %d" % uid, lambda: row(s)["last_chk"])
    check_eq(who(front), "b1")


def test_without_the_keeper_backends_stay_as_they_are(t):
    """That is no fault of theirs."""
    path = program(t, "exit 0\n")
    s, front = t.simple([t.backend(named, name="b1")], top=ON, pool=block(path))
    s.wait_status("app", "b1", "UP")
    os.kill(int(check_match(r"keeper \(process (\d+)\)", s.info()["Hardening"]).group(1)), signal.SIGKILL)
    s.wait_log("WARN .*no program can be started")
    check_eq(row(s)["status"], "UP")
    check_eq(who(front), "b1")
