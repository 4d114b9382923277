"""All that a long life brings, with everything given up: reload, upgrade, state file, logs, crash; as somebody
that root has become, and as somebody who never was more."""

import signal

from hardened import *


def life(t, top=""):
    folder = t.path("kept")
    os.mkdir(folder)
    if os.geteuid() == 0:
        own(t)
        os.chown(folder, pwd.getpwnam(NOBODY).pw_uid, -1)
    s, front = t.simple([t.backend(named, name="b1")],
                        top='%s state_file = "%s/state"; overlay = "%s/overlay"; log = { access = "%s/access"; };'
                        % (top, folder, folder, folder))
    check_in("not dumpable", s.info()["Hardening"])
    check_eq((status_of(s.pid, "NoNewPrivs"), status_of(s.pid, "Seccomp")), ({"1"}, {"2"}))

    s.ctl("set weight app/b1 7")
    check_in("saved", s.ctl("save").lower())
    wait_until(lambda: os.path.exists(folder + "/state"), "the state file is written")

    os.rename(folder + "/access", folder + "/access.1")
    s.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: os.path.exists(folder + "/access"), "the log is made again")
    check_eq(who(front), "b1")
    wait_until(lambda: os.path.getsize(folder + "/access") > 0, "the new log is written")

    other = t.address()
    reloaded(s, lambda text: re.sub(r'bind = "([^"]*)"', r'bind = [ "\1", "%s" ]' % where(other), text, 1))
    check_eq([who(front), who(other)], ["b1", "b1"])

    n = upgraded(t, s)
    s.wait_end()
    check_eq([who(front), who(other)], ["b1", "b1"])
    check_eq(n.stat()["app", "b1"]["weight"], "7")
    check_in("not dumpable", n.info()["Hardening"])
    n.process.send_signal(signal.SIGSEGV)
    n.process.wait(SECONDS)
    n.ended = True
    check_match(r"(?s)has crashed: signal SEGV .*end of the crash report\n", n.log)


def test_as_somebody_that_root_has_become(t):
    life(t, as_dropped(t))


def test_as_an_ordinary_user(t):
    as_ordinary(t)
    life(t)
