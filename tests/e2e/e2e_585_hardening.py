"""What the process gives up: new privileges, being looked into, what its parent left open, files."""

import grp
import signal
import subprocess
import sys

from hardened import *


def site(t, top="", **kw):
    return t.simple([t.backend(named, name="b1") if not t.backends else t.backends[0]], top=top, **kw)


def test_what_is_on_is_said_and_true(t):
    for top, words in (("", "no new privileges, not dumpable"),
                       ("hardening = { dumpable = true; };", "no new privileges, ")):
        s, front = site(t, top=top)
        line = check_match(r"(?m)^.* INFO hardening: (.*)$", s.log, "log").group(1)
        check_eq(s.info()["Hardening"], line)
        check_in(words, line)
        check_eq(status_of(s.pid, "NoNewPrivs"), {"1"})
        check_eq(status_of(s.pid, "Seccomp"), {"2"})
        check_eq(who(front), "b1")
        s.finish()


def test_each_part_can_be_switched_off(t):
    s, front = site(t, top='hardening = { landlock = "off"; no_new_privileges = false; dumpable = true; '
                           'close_inherited = false; seccomp = "off"; capabilities = "all"; };')
    check_eq(s.info()["Hardening"], "-")
    check_eq((status_of(s.pid, "NoNewPrivs"), status_of(s.pid, "Seccomp")), ({"0"}, {"0"}))
    s.wait_log("INFO hardening: none")
    check_eq(who(front), "b1")


def test_root_keeps_its_rights_over_files_and_low_ports(t):
    """Where nobody else is to be become."""
    if os.geteuid() != 0:
        raise Skip("for root")
    given = open("/proc/self/status").read()
    given = int(re.search(r"CapEff:\s*(\w+)", given).group(1), 16)
    few = 1 << 10 | 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 14 | 1 << 24
    for wish, kept in (("auto", given & few), ("none", 0), ("all", given)):
        s, front = site(t, top='hardening = { capabilities = "%s"; };' % wish)
        check_eq(status_of(s.pid, "CapEff"), {"%016x" % kept})
        check_eq(status_of(s.pid, "CapPrm"), {"%016x" % kept})
        check_eq(who(front), "b1")
        s.finish()


def test_another_user_cannot_look_into_it(t):
    """Who is dumpable has its files in /proc as its own; who is not has them as root's."""
    if os.geteuid() != 0:
        raise Skip("only root can become somebody else")
    uid = pwd.getpwnam(NOBODY).pw_uid
    as_ordinary(t)
    for dumpable, owner in (("true", uid), ("false", 0)):
        s, _ = site(t, top="hardening = { dumpable = %s; };" % dumpable)
        check_eq(os.stat("/proc/%d/environ" % s.pid).st_uid, owner)
        s.finish()


def test_what_the_parent_left_open_is_closed(t):
    t.prefix = ["/bin/bash", "-c", 'exec 9</etc/hostname; exec "$@"', "-"]
    for top, there in (("", False), ("hardening = { close_inherited = false; };", True)):
        s, _ = site(t, top=top)
        links = []
        for fd in os.listdir("/proc/%d/fd" % s.pid):
            with contextlib.suppress(FileNotFoundError):
                links.append(os.readlink("/proc/%d/fd/%s" % (s.pid, fd)))
        check_eq(os.path.realpath("/etc/hostname") in links, there)
        check_eq("closed what the parent had open (9)" in s.info()["Hardening"], not there)
        s.finish()


# ---- files ---------------------------------------------------------------------------------------

def page_at(path):
    return "error_pages = ( { status = 503; file = \"%s\"; } ); mode = \"http\"; bind" % path


def refusals(t, s, folder):
    """Reloads that need more than was named at the start; what is said."""
    page = os.path.join(folder, "503.html")
    with open(page, "w") as f:
        f.write("closed\n")
    said = []
    for change in (lambda text: text.replace("listeners = ( {", 'listeners = ( { log = { access = "%s"; };'
                                             % os.path.join(folder, "log")),
                   lambda text: text.replace('bind = "', 'bind = [ "unix:%s", "' % os.path.join(folder, "sock"))
                   .replace('"; pool = "app"', '" ]; pool = "app"')):
        before = conf_of(s)
        said.append(reload(s, change))
        rewrite(s, lambda text: before)
    before = conf_of(s)
    said.append(reload(s, lambda text: text.replace('mode = "tcp"; bind', page_at(page))
                       .replace('name = "app"; mode = "tcp"', 'name = "app"; mode = "http"')))
    rewrite(s, lambda text: before)
    return said


def test_a_reload_that_needs_another_folder_is_refused(t):
    with elsewhere() as folder:
        s, front = site(t)
        landlocked(s)
        log, sock, page = refusals(t, s, folder)
        check_in('log.access: found "%s/log", which this process has given up' % folder, log)
        check_in('bind: found "%s/sock", which this process has given up' % folder, sock)
        check_in("503.html\"", page)
        check_in("Permission denied", page)
        check_in("hardening.paths adds some", page)
        check_eq(os.listdir(folder), ["503.html"])
        check_eq(who(front), "b1")


def test_standard_output_is_no_folder(t):
    """A pipe there, as in a container, is opened again and named by reloads."""
    t.prefix = ["/bin/bash", "-c", 'exec "$@" > >(exec cat)', "-"]
    s, front = site(t, top='log = { access = "/dev/stdout"; };')
    s.process.send_signal(signal.SIGUSR1)
    s.wait_log("logs are opened again")
    reloaded(s, lambda text: text.replace("workers = 2;", "workers = 2; limits = { connections = 99; };"))
    check_eq(who(front), "b1")
    s.wait_access(r"front app/b1 ")
    check_eq([line for line in s.log.splitlines() if " ERROR " in line], [])


def test_hardening_paths_allows_it(t):
    with elsewhere() as folder:
        s, front = site(t, top='hardening = { paths = [ "%s" ]; };' % folder)
        landlocked(s)
        for said in refusals(t, s, folder):
            check_in("reloaded: ", said)
        s.baseline = s.settled_fds()  # a log stays open


def test_what_is_not_there_is_told_in_one_line(t):
    for part, call, why in (("landlock", "landlock_create_ruleset", "this kernel has none"),
                            ("seccomp", "seccomp", "this kernel was built without it")):
        t.prefix = [sys.executable, FORBID, call, "ENOSYS"]
        s, front = site(t)
        line = check_match(r"(?m)^.*%s.*$" % part, s.log, "log").group()
        check_in("INFO hardening: goes without %s: %s" % (part, why), line)
        check_eq(s.log.lower().count(part), line.lower().count(part))
        check_eq(who(front), "b1")
        s.finish()
        s, front = site(t, top='hardening = { %s = "required"; };' % part, wait=False)
        s.wait_end(status=1)
        check_in('ERROR hardening.%s = "required": not available: %s' % (part, why), s.log)


# ---- the stats socket ----------------------------------------------------------------------------

ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
try:
    s.sendall(b"show version\\n")
    print(s.recv(100).decode().strip() or "closed")
except ConnectionError:
    print("closed")
"""


def test_the_stats_socket_looks_at_who_asks_too(t):
    """Its path is opened to all behind its back."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        raise Skip("only root can become somebody else")
    os.chmod(t.dir, 0o755)
    gid = grp.getgrnam("daemon").gr_gid
    for mode, groups, welcome in (("600", "--clear-groups", False), ("660", "--clear-groups", False),
                                  ("660", "--groups=%d" % gid, True), ("666", "--clear-groups", True)):
        path = t.path("stats%s.sock" % mode)
        s, _ = site(t, top='stats = ( { socket = "%s"; level = "admin"; }, { socket = "%s"; mode = "%s"; group = "daemon"; } );'
                    % (t.path("sluice%s.sock" % (len(t.sluices) or "")), path, mode))
        os.chmod(path, 0o666)
        done = subprocess.run(["setpriv", "--reuid", NOBODY, "--regid", "65534", groups, sys.executable, "-c", ASK, path],
                              stdout=subprocess.PIPE, timeout=SECONDS, check=False)
        check_eq((done.stdout != b"closed\n", b"." in done.stdout), (welcome, welcome), (mode, groups, done.stdout))
        if not welcome:
            s.wait_log("WARN stats socket %s: a client of user %d is refused" % (re.escape(path), pwd.getpwnam(NOBODY).pw_uid))
        s.finish()
