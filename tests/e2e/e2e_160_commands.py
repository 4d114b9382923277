"""sluice ctl, healthcheck, quick and origin."""

import contextlib
import os
import re
import signal
import subprocess
import time

from harness import *


def test_ctl_prints_the_answer(t):
    s, front = t.simple([t.backend(named)])
    status, out, err = t.run("ctl", "-s", s.stats_path, "show", "backend")
    check_eq((status, out), (0, "# name\napp\n"))
    status, out, err = t.run("ctl", "-s", s.stats_path, "show backend")
    check_eq((status, out), (0, "# name\napp\n"))
    status, out, err = t.run("ctl", "-s", s.stats_path, "disable server app/b1")
    check_eq((status, out.strip()), (0, ""))
    check_eq(s.status("app", "b1"), "MAINT")


def test_ctl_ends_with_1_on_a_refusal(t):
    s, front = t.simple([t.backend(named)])
    status, out, err = t.run("ctl", "-s", s.stats_path, "disable server app/none")
    check_eq(status, 1)
    check_in("No such server.", out + err)
    status, out, err = t.run("ctl", "-s", s.stats_path, "nonsense")
    check_eq(status, 1)


def test_ctl_without_a_server_says_so(t):
    status, out, err = t.run("ctl", "-s", t.path("none.sock"), "show info")
    check_eq(status, 1)
    check_in("none.sock", err)


def test_ctl_explains_that_the_prompt_is_for_a_terminal(t):
    s, front = t.simple([t.backend(named)])
    for words in (["prompt"], ["show version; prompt"], ["prompt", "timed"]):
        status, out, err = t.run("ctl", "-s", s.stats_path, *words)
        check_eq((status, out), (2, ""), words)
        check_in("prompt is for a terminal", err)
        check_in(s.stats_path, err)
    status, out, err = t.run("ctl", "-s", s.stats_path, "prompt i; show backend")
    check_eq((status, out), (0, "# name\napp\n"), "without a prompt there is nothing to explain")


def test_each_command_tells_its_usage(t):
    for command in ("quick", "explain", "ctl", "healthcheck", "origin"):
        for word in ("-h", "--help"):
            status, out, err = t.run(command, word)
            check_eq((status, err), (0, ""))
            check_in("sluice " + command, out)


def test_without_the_usual_file_quick_is_pointed_to(t):
    if os.path.exists("/etc/sluice/sluice.conf"):
        raise Skip("the usual file is there")
    status, out, err = t.run()
    check_eq((status, out), (1, ""))
    check_in("sluice quick LISTEN BACKEND", err)
    status, out, err = t.run("-c", t.path("none.conf"))
    check_eq(status, 1)
    check("sluice quick" not in err, err)


def test_ctl_usage(t):
    status, out, err = t.run("ctl")
    check_eq(status, 2)


def test_healthcheck(t):
    s, front = t.simple([t.backend(named)])
    status, out, err = t.run("healthcheck", "-s", s.stats_path)
    check_eq(status, 0, err)
    status, out, err = t.run("healthcheck", "-s", t.path("none.sock"))
    check_eq(status, 1)


def test_healthcheck_when_not_ready(t):
    s, front = t.simple([t.closed_address()], ready=False,
                        pool='health = { type = "tcp"; interval = "50ms"; fall = 1; };')
    s.wait_status("app", "b1", "DOWN.*")
    status, out, err = t.run("healthcheck", "-s", s.stats_path)
    check_eq(status, 1)
    check((out + err).strip(), "the reason is said")


def quick(t, *args, **kw):
    """quick reads no file, so the engine is its own choice."""
    stats = t.path("sluice.sock")
    s = t.sluice(None, args=["quick", "--mode", "tcp", "--stats", stats, *args], **kw)
    return s


def test_quick(t):
    a, b = t.backend(named), t.backend(named)
    front = t.address()
    s = quick(t, where(front), where(a.address), where(b.address))
    check_eq({who(front) for _ in range(4)}, {"b1", "b2"})


def test_quick_options(t):
    a, b = t.backend(http_status()), t.backend(http_status(500))
    front = t.address()
    s = quick(t, "--balance", "least_connections", "--health", "/ok", where(front),
              where(a.address), where(b.address), ready=False)
    pool = next(px for px, sv in s.stat() if sv == "BACKEND")
    names = [sv for px, sv in s.stat() if px == pool and sv not in ("BACKEND", "FRONTEND")]
    s.wait_status(pool, names[1], "DOWN.*")
    s.wait_status(pool, names[0], "UP")
    check_match(r"^GET /ok ", a.last_request.decode())
    check_eq(s.stat()[pool, "BACKEND"]["algo"], "leastconn")


def test_quick_mistakes(t):
    for args in (["quick"], ["quick", "--mode", "tcp", "127.0.0.1:1"],
                 ["quick", "--balance", "luck", "--mode", "tcp", "127.0.0.1:1", "127.0.0.1:2"],
                 ["quick", "--mode", "tcp", "nonsense", "127.0.0.1:2"]):
        status, out, err = t.run(*args)
        check(status in (1, 2), "status of", args, status)
        check(err.strip(), "an error is said for", args)


def test_quick_prints_what_it_would_run(t):
    status, out, err = t.run("quick", "--mode", "http", "--print", "127.0.0.1:8080", "3001")
    check_eq((status, err), (0, ""))
    with open(t.path("made.conf"), "w") as f:
        f.write(out)
    status, out, err = t.run("-T", "-c", t.path("made.conf"))
    check_eq(status, 0, err)
    check_in('address = "127.0.0.1:3001"', out)


def test_origin_answers_http(t):
    address = t.address()
    p = t.program([t.binary, "origin", where(address), "--name", "blue", "--bytes", "5000"],
                  stdout=subprocess.DEVNULL)

    def get():
        done = subprocess.run(["curl", "-s", "-i", "--max-time", "5", "http://%s:%d/" % address],
                              stdout=subprocess.PIPE)
        return done.stdout if done.returncode == 0 else None
    answer = wait_until(get, "origin answers")
    head, body = answer.split(b"\r\n\r\n", 1)
    check(head.startswith(b"HTTP/1.1 200"), "status line", head)
    check_eq(len(body), 5000, "body")
    check_in(b"blue", answer)
    p.send_signal(signal.SIGTERM)
    check_eq(p.wait(SECONDS), 0, "exit status")


def test_origin_fails_and_delays_as_told(t):
    address = t.address()
    t.program([t.binary, "origin", where(address), "--fail-rate", "100%", "--delay", "200ms"],
              stdout=subprocess.DEVNULL)

    def get():
        started = time.monotonic()
        done = subprocess.run(["curl", "-s", "-o", t.path("body"), "-w", "%{http_code}",
                               "--max-time", "5", "http://%s:%d/" % address],
                              stdout=subprocess.PIPE)
        return (done.stdout, time.monotonic() - started) if done.returncode == 0 else None
    code, took = wait_until(get, "origin answers")
    check_match(r"^5\d\d$", code.decode())
    check(took >= 0.2, "delay", took)


def test_sluice_before_origins(t):
    addresses = [t.address() for _ in range(3)]
    for i, a in enumerate(addresses):
        t.program([t.binary, "origin", where(a), "--name", "o%d" % i], stdout=subprocess.DEVNULL)
    s, front = t.simple(addresses, pool='health = { type = "http"; path = "/"; interval = "100ms"; };')
    out = subprocess.run(["curl", "-s", "http://%s:%d/[1-30]" % front], stdout=subprocess.PIPE,
                         timeout=30).stdout.decode()
    # one curl keeps its connection, so ask anew too
    for _ in range(9):
        out += subprocess.run(["curl", "-s", "http://%s:%d/" % front], stdout=subprocess.PIPE,
                              timeout=30).stdout.decode()
    for i in range(3):
        check_in("o%d" % i, out)
