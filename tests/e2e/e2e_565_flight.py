"""show flight: the slowest and the failed requests; what a process that crashes leaves behind."""

import json
import signal

from http_tools import *


def flight(s, words=""):
    return json.loads(s.ctl("show flight json " + words))


def by_path(r, backend):
    if r.path.startswith("/slow"):
        time.sleep(0.2)
    return answer(500 if r.path == "/bad" else 200, b"x" * 100)


def test_slow_and_failed_requests_are_remembered(t):
    s, address = start(t, [t.backend(app(by_path))])
    with Client(address) as c:
        for target in ("/a", "/slow?q", "/bad", "/b"):
            c.request(target)
    check_eq(fetch(address, "/c").status, 200)
    wait_until(lambda: len(flight(s, "slow")) == 5, "five of them are slow, there are no more")
    rows = flight(s)
    check_eq([r["list"] for r in rows], ["failed"] + ["slow"] * 5)
    bad, slow = rows[0], rows[1]
    check_eq((bad["target"], bad["status"], bad["method"]), ("/bad", 500, "GET"))
    check_eq((bad["listener"], bad["pool"], bad["backend"]), ("front", "app", "b1"))
    check_eq(bad["sequence"], 3)
    check_eq((slow["target"], slow["status"], slow["end"]), ("/slow?q", 200, "--"))
    check(200000 <= slow["first_us"] <= slow["total_us"], "its phases", slow)
    check(slow["bytes_out"] > 100 and slow["bytes_in"] > 0, "its bytes", slow)
    totals = [r["total_us"] for r in rows[1:]]
    check_eq(totals, sorted(totals, reverse=True))
    text = s.ctl("show flight failed 1")
    check_match(r"^failed \S+ 0x[0-9a-f]{16}/3 client=127\.\S+ listener=front route=\S+ pool=app "
                r"backend=b1 total_ms=\d+\.\d{3} .* status=500 GET /bad end=-- ", text)
    check_eq(s.ctl("show flight x"), "'x': expected [slow|failed] [<n>] [json]\n")


def test_failed_tcp_sessions_are_remembered_with_the_reason(t):
    s, listen = t.simple([t.closed_address()], pool=NO_CHECKS + ' retries = { attempts = 0; };')
    with connect(listen) as c:
        c.sendall(b"x")
        expect_closed(c)
    wait_until(lambda: flight(s, "failed"), "it is there")
    row = flight(s, "failed")[0]
    check_eq((row["listener"], row["backend"], row["end"]), ("front", "b1", "SC"))
    check_eq((row["why"], row["sequence"]), ("Connection refused", 0))


def crash(t, s, sig, pid=None):
    """Sends the signal; what was written on stderr."""
    os.kill(pid or s.pid, sig)
    s.process.wait(SECONDS)
    s.ended = True
    if not t.sanitized:
        check_eq(s.process.returncode, -sig, "it dies by the signal")
    return s.log


def test_a_crash_tells_what_was_going_on(t):
    b = t.backend(app(by_path))
    for sig, name in ((signal.SIGABRT, "ABRT"), (signal.SIGSEGV, "SEGV")):
        s, address = start(t, [b])
        check_eq(fetch(address, "/bad").status, 500)
        wait_until(lambda: flight(s, "failed"), "it is noted")
        s.ctl("set server app/b1 weight 3")
        log = crash(t, s, sig)
        at = log.index("has crashed")
        check_match(r"signal %s sent by process %d, thread \S+, process %d, build [0-9a-f]{8,}" % (
            name, os.getpid(), s.pid), log[at:])
        check_match(r"(?s)stack \(.*\nevents.* info change backend app/b1: weight 1 changed to 3 "
                    r"over.*\nslow and failed requests:\n.*  failed %s\S+Z 0x[0-9a-f]{16}/1 "
                    r"client=127\.\S+ listener=front pool=app backend=b1 .* status=500 end=-- GET /bad"
                    r".*end of the crash report\n" % time.strftime("%Y-%m-%dT", time.gmtime()), log[at:])


def test_a_crash_is_told_in_the_logs_file(t):
    path = t.path("process.log")
    s, address = start(t, [t.backend()], top='workers = 1; log = { output = "%s"; };' % path)
    err = crash(t, s, signal.SIGABRT)
    with open(path) as f:
        check_match(r"(?s)has crashed: signal ABRT .*end of the crash report\n", f.read())
    check("has crashed" not in err, "only there", err)
