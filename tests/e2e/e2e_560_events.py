"""show events: what has happened, as lines and JSON, once and as it happens."""

import contextlib
import json
import signal
import subprocess

from harness import *

FAST = 'health = { type = "tcp"; interval = "100ms"; rise = 1; fall = 1; };'


def events(s, words=""):
    return json.loads(s.ctl("show events json " + words))


def told(s, kind, text, **more):
    """Waits for an event of this kind whose text matches."""
    def there():
        return [e for e in events(s) if e["kind"] == kind and re.search(text, e["text"]) and
                all(e[k] == v for k, v in more.items())]
    wait_until(there, lambda: "an event %s /%s/ %s among\n%s" % (kind, text, more,
                                                                 s.ctl("show events")))
    return there()[0]


def test_health_and_changes_are_events(t):
    b = t.backend()
    s, _ = t.simple([b, t.backend()], pool=FAST)
    b.stop()
    e = told(s, "health", r"app/b1 is DOWN: .*refused", object="app/b1", severity="warn")
    check(abs(e["time_us"] / 1e6 - time.time()) < 60, "its time", e)
    s.ctl("set server app/b2 weight 7")
    told(s, "change", r"app/b2: weight 1 changed to 7 over the stats socket", object="app/b2")
    s.ctl("set server app/b2 state drain")
    told(s, "change", r"app/b2: draining", object="app/b2", severity="info")
    serials = [e["serial"] for e in events(s)]
    check_eq(serials, list(range(1, len(serials) + 1)), "numbers without gaps")
    check_eq({e["object"] for e in events(s, "object app/b2")}, {"app/b2"})
    check_match(r"(?m)^\d+ \d{4}-\d\d-\d\dT[\d:.]+Z warn health app/b1 backend app/b1 is DOWN",
                s.ctl("show events"))
    told(s, "life", "sluice .* starts")
    told(s, "life", "ready: ")


def test_events_are_followed_until_the_end(t):
    s, _ = t.simple([t.backend()], pool=FAST)
    last = events(s)[-1]["serial"]
    with contextlib.closing(connect(s.stats_path)) as c:
        c.sendall(b"show events after %d -w json\n" % last)
        s.ctl("set server app/b1 weight 5")
        line = recv_line(c)
        check_in("weight 1 changed to 5", json.loads(line)["text"])
        s.terminate()
        rest = [json.loads(line)["text"] for line in recv_all(c).decode().splitlines()]
    check_match("signal TERM: draining", rest[0])
    check_eq(rest[1], "drained: no session is left")


def test_ctl_follows_events_until_it_is_interrupted(t):
    s, _ = t.simple([t.backend()], pool=FAST)
    ctl = t.program([t.binary, "ctl", "-s", s.stats_path, "show", "events", "-w"],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check_match(r"^1 .* life - sluice .* starts", ctl.stdout.readline().decode())
    s.ctl("set server app/b1 state maint")
    for line in ctl.stdout:
        if b"put in maintenance" in line:
            break
    ctl.send_signal(signal.SIGINT)
    check_eq(ctl.wait(SECONDS), -signal.SIGINT, "ctl ends by the signal")
    status, out, err = t.run("ctl", "-s", s.stats_path, "show", "events", "-w", "nonsense")
    check_eq((status, out), (1, ""))
    check_in("'nonsense': expected [<n>]", err)


def test_refused_clients_and_limits_are_events(t):
    s, listen = t.simple([t.backend()], listener='limits = { per_source = 1; };')
    with contextlib.closing(connect(listen)) as first:
        first.sendall(b"x\n")
        recv_line(first)
        with contextlib.suppress(ConnectionError):
            with contextlib.closing(connect(listen)) as second:
                expect_closed(second)
        e = told(s, "refused", r"a connection from 127\.[\d.:]+ is refused", object="front")
        check_eq(e["severity"], "warn")
