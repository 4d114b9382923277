"""upgrade_tools.py - one sluice after the other on the same sockets (`sluice -x`)."""

import os
import re

from reload_tools import *


def conf_of(s):
    with open(s.conf_path) as f:
        return f.read()


def begin(t, s, change=lambda text: text, args=(), **kw):
    """A process that is to take the place of s, with the configuration of s as change() makes it."""
    text = conf_of(s)
    n = t.sluice(change(text), args=["-x", s.stats_path, *args], wait=False, **kw)
    n.own_stats_path, n.stats_path = n.stats_path, s.stats_path
    return n


def pid_at(s):
    """Who answers at the stats socket of s."""
    with contextlib.suppress(OSError, Failure):
        return int(s.info().get("Pid", 0))


def wait_taken(n):
    """n has taken over."""
    def taken():
        if not n.alive():
            raise Failure("the new process ended with %s; log:\n%s" % (n.process.returncode, n.log))
        return pid_at(n) == n.pid
    wait_until(taken, lambda: "process %d answers at the socket; log:\n%s" % (n.pid, n.log))
    wait_until(lambda: n.ctl("show ready").strip() == "ready", "ready")
    n.baseline = n.settled_fds()
    return n


def upgraded(t, s, change=lambda text: text, **kw):
    """s is followed by another process; s drains (it may not have ended yet)."""
    n = wait_taken(begin(t, s, change, **kw))
    s.wait_log("handed over: draining")
    return n


def workers(n):
    return lambda text: re.sub(r"workers = \d+;", "workers = %d;" % n, text)
