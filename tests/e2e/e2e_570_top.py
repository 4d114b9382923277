"""sluice top under tmux: the list, a backend's page, changes, resizing, a restart; and once."""

import contextlib
import signal
import subprocess

from harness import *

FAST = 'health = { type = "tcp"; interval = "100ms"; rise = 1; fall = 1; };'


class Terminal:
    """A tmux server of its own with one window, which stays when its program ends."""

    def __init__(self, t, command, width=80, height=24):
        self.base = [shutil.which("tmux") or "tmux", "-S", t.path("tmux"), "-f", "/dev/null"]
        if not shutil.which("tmux"):
            raise Skip("tmux is not installed")
        self.env = dict(os.environ, TERM="xterm-256color", LC_ALL="C.UTF-8")
        self.env.pop("TMUX", None)
        # Its report would go to a terminal that is gone, and LeakSanitizer spins on that for ever.
        self.env["ASAN_OPTIONS"] = self.env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        self.tmux("start-server", ";", "set", "-g", "remain-on-exit", "on", ";", "new-session", "-d",
                  "-x", str(width), "-y", str(height), "sh", "-c",
                  "echo before; %s; echo ended with $?; stty -a | grep -o -- '-*icanon'; cat" %
                  " ".join(command))

    def tmux(self, *words):
        return subprocess.run(self.base + list(words), env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=SECONDS).stdout.decode()

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def wait(self, regex, what=""):
        wait_until(lambda: re.search(regex, self.screen(), re.M),
                   lambda: "%s /%s/ on the screen:\n%s" % (what, regex, self.screen()))
        return self.screen()

    def resize(self, width, height):
        self.tmux("resize-window", "-x", str(width), "-y", str(height))

    def close(self):
        self.tmux("kill-server")


def top(t, s, *words, **size):
    return contextlib.closing(Terminal(t, [t.binary, "top", "-s", s.stats_path,
                                           "--interval", "200ms", *words], **size))


def test_top_shows_what_happens_and_leaves_the_terminal_as_it_was(t):
    b1, b2 = t.backend(), t.backend()
    s, _ = t.simple([b1, b2], pool=FAST)
    with top(t, s) as term:
        term.wait(r"^  b1 +UP ")
        screen = term.wait(r"^> front +OPEN ")
        check_match(r"^sluice \S+ .* up ", screen)
        check("before" not in screen, "it has a screen of its own")
        b1.stop()
        term.wait(r"^  b1 +DOWN ")
        term.keys("/", "b", "2", "Enter")
        wait_until(lambda: "  b1 " not in term.screen(), "only b2 is listed")
        term.keys("Escape")
        term.wait(r"^  b1 +DOWN ")
        term.keys("?")
        term.wait("^KEYS")
        term.keys("x")
        term.wait("^NAME")
        term.keys("q")
        term.wait("^ended with 0")
        check_match("(?m)^before$", term.wait("^icanon$", "lines are read as before"))


def test_top_changes_a_backend_after_a_confirmation(t):
    s, _ = t.simple([t.backend(), t.backend()], pool=FAST)
    with top(t, s) as term:
        term.wait(r"^  b2 +UP ")
        term.keys("End", "Enter")
        term.wait("^backend app/b2")
        term.keys("D")
        term.wait(r"^drain app/b2: are you sure\?")
        term.keys("n")
        term.wait("^nothing was changed")
        check_eq(s.status("app", "b2"), "UP")
        term.keys("D")
        term.wait(r"^drain app/b2: are you sure\?")
        term.keys("y")
        term.wait("^state +DRAIN")
        term.wait("app/b2: draining over the stats socket")
        check_eq(s.status("app", "b2"), "DRAIN")


def test_top_tells_a_refusal(t):
    b = t.backend()
    path = t.path("user.sock")
    s, _ = t.simple([b], pool=FAST, top='stats = ( { socket = "%s"; level = "admin"; }, '
                    '{ socket = "%s"; level = "user"; } );' % (t.path("sluice.sock"), path))
    s.stats_path, real = path, s.stats_path
    with top(t, s) as term:
        s.stats_path = real
        term.wait(r"^  b1 +UP ")
        term.keys("End", "M")
        term.wait(r"^maint app/b1: are you sure\?")
        term.keys("y")
        term.wait("^Permission denied")
        check_eq(s.status("app", "b1"), "UP")


def test_top_survives_resizing_and_a_restart(t):
    b, listen = t.backend(), t.address()
    s, _ = t.simple([b], listen=listen, pool=FAST)
    with top(t, s) as term:
        term.wait(r"^  b1 +UP ")
        term.resize(132, 30)
        term.wait("^NAME .* CHECK")
        term.resize(40, 12)
        term.wait("^NAME +STATE +CONN REQ/S")
        wait_until(lambda: "P99" not in term.screen(), "what has no room is left out")
        term.resize(80, 24)
        term.wait("^NAME .* P99")
        pid = s.pid
        s.terminate()
        screen = term.wait("trying again")
        check_match(r"(?m)^  b1 +UP ", screen, "what was known stays")
        again, _ = t.simple([b], listen=listen, pool=FAST, wait=False,
                            top='stats = { socket = "%s"; level = "admin"; };' % s.stats_path)
        again.stats_path = s.stats_path
        wait_until(again.answers, "the new one answers")
        again.baseline = again.settled_fds()
        term.wait(r"was restarted \(process %d, before %d\)" % (again.pid, pid))
        wait_until(lambda: "trying again" not in term.screen(), "no trouble any more")


def test_a_signal_leaves_the_terminal_as_it_was(t):
    s, _ = t.simple([t.backend()], pool=FAST)
    with top(t, s) as term:
        term.wait(r"^  b1 +UP ")
        pane = int(term.tmux("display-message", "-p", "#{pane_pid}"))
        child = int(open("/proc/%d/task/%d/children" % (pane, pane)).read().split()[0])
        os.kill(child, signal.SIGTERM)
        term.wait("^ended with 0")
        check_match("(?m)^before$", term.wait("^icanon$", "lines are read as before"))


def test_top_prints_once_without_a_terminal(t):
    s, _ = t.simple([t.backend()], pool=FAST)
    for words in (["--once"], []):
        status, out, err = t.run("top", "-s", s.stats_path, *words)
        check_eq((status, err), (0, ""))
        check_match(r"(?m)^  b1 +UP ", out)
        check("\x1b" not in out, "no sequences", out)
    status, out, err = t.run("top", "-s", t.path("none"), "--once")
    check_eq((status, out), (1, ""))
    check_in("there is no such socket", err)
    status, out, err = t.run("top", "--interval", "1ms")
    check_eq((status, out), (2, ""))
    check_in("--interval 1ms: expected a duration from 100ms on", err)
