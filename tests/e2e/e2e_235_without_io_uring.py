"""Where io_uring is forbidden or absent (container profiles, sysctl, old kernels) epoll takes over and says
why; a configuration that insists on io_uring is an error, never a silent change of engine."""

import os
import sys

from harness import *

FORBID = os.path.join(ROOT, "tests", "support", "forbid.py")
ALL = "io_uring_setup,io_uring_enter,io_uring_register"  # what Docker's profile forbids


def without(t, calls, error):
    t.prefix = [sys.executable, FORBID, calls, error]


def check_falls_back(t, calls, error, why):
    without(t, calls, error)
    s, front = t.simple([t.backend(echo)], top='io = "auto";')
    line = check_match(r"^.* engine .*$", s.log, "log").group()
    check_match(r"INFO engine epoll: io_uring is not available: " + why, line)
    check_eq(s.log.count("io_uring"), line.count("io_uring"), "said in one line; log:\n%s" % s.log)
    data = pattern(300000)
    with contextlib.closing(connect(front)) as c:
        results = in_threads(2, lambda i: c.sendall(data) if i else recv_exact(c, len(data)))
        check(results[0] == data, "the bytes come back as they were")
    s.finish()


def test_auto_falls_back_where_a_container_profile_forbids_it(t):
    check_falls_back(t, ALL, "EPERM", r"io_uring_setup: Operation not permitted \(forbidden: ")


def test_auto_falls_back_where_the_kernel_lacks_it(t):
    check_falls_back(t, ALL, "ENOSYS", r"io_uring_setup: Function not implemented \(kernel without")


def test_auto_falls_back_where_a_ring_can_be_made_but_not_used(t):
    check_falls_back(t, "io_uring_enter", "EPERM", "io_uring_enter: Operation not permitted")


def test_a_configured_engine_is_never_exchanged(t):
    without(t, ALL, "EPERM")
    b = t.backend(named)
    s, front = t.simple([b], wait=t.engine == "epoll")
    if t.engine == "epoll":
        check_in("engine epoll: as configured", s.log)
        check_eq(who(front), "b1")
        return
    s.wait_end(status=1)
    check_match(r'ERROR io = "uring": not available here: io_uring_setup: Operation not permitted',
                s.log, "log")
    check("ready" not in s.log, "it does not claim to be ready", s.log)
    check_eq(b.accepted, 0, "backends were left alone")


def test_version_says_what_auto_would_take(t):
    without(t, ALL, "EPERM")
    status, out, err = t.run("-V")
    check_eq(status, 0)
    check_match(r"^io_uring: +not available: io_uring_setup: Operation not permitted", out)
    check_match(r'^engine: +io = "auto" takes epoll$', out)
    status, out, err = t.run("-t", "-c", os.path.join(ROOT, "etc", "demo.conf"))
    check_eq(status, 0, "a configuration can be checked anywhere: " + err)


def test_quick_works_too(t):
    without(t, ALL, "EPERM")
    b = t.backend(named)
    front = t.address()
    s = t.sluice(args=["quick", where(front), where(b.address)], wait=False)
    s.quiet = False  # it has no stats socket
    s.wait_log("ready")
    check_match("engine epoll: io_uring is not available", s.log)
    check_eq(who(front), "b1")
