#!/usr/bin/env python3
"""Prints etc/docs/metrics.md: what /metrics of this program really says, by kind of object.

    scripts/metrics-page.py build/sluice > etc/docs/metrics.md

tests/e2e/e2e_526_metrics_page.py compares the two.
"""

import http.client
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

CONF = """
workers = 1; io = "epoll";
stats = { socket = "%(dir)s/stats.sock"; };
admin = { bind = "127.0.0.1:%(admin)d"; };
log = { access = "off"; };
pools = ( { name = "app"; mode = "http"; health = { type = "none"; };
            backends = ( { name = "a"; address = "127.0.0.1:1"; } ); },
          { name = "dns"; mode = "udp"; health = { type = "none"; };
            backends = ( { name = "a"; address = "127.0.0.1:1"; } ); } );
listeners = ( { name = "web"; mode = "http"; bind = "unix:%(dir)s/web.sock"; routes = ( { pool = "app"; } ); },
              { name = "names"; mode = "udp"; bind = "127.0.0.1:%(port)d"; pool = "dns"; } );
"""

SECTIONS = (
    ("listener", "Listeners", "Label `listener`."),
    ("route", "Routes", "Labels `listener` and `route` (the route's name, or LISTENER#N)."),
    ("pool", "Pools", "Label `pool`."),
    ("backend", "Backends", "Labels `pool` and `backend`."),
    ("certificate", "Certificates", "Labels `listener` and `cert`."),
    ("worker", "Workers", "Label `worker`."),
    ("engine", "The engine of each worker", "Label `worker`."),
    ("", "The process", "No labels, but for those of `sluice_build_info`."),
)

HEAD = """# Metrics

What `/metrics` of the admin address says (`admin = { bind = "127.0.0.1:8404"; };`), in Prometheus'
text format, or in OpenMetrics where that is asked for. This page is printed from the program by
`scripts/metrics-page.py`; a test compares it with what the program answers.

- Counters only grow; `clear counters` on the stats socket does not touch them. They live on over a
  reload, for what keeps its name.
- Times are seconds. Histograms have the bounds 0.1 ms to 5 minutes in steps of 1, 2.5, 5.
- `class` is `1xx` to `5xx` or `other`; `reason` one of the codes of `show refused`, or of
  `show stat` for datagrams; `le` the upper bound of a histogram's bucket.
- One answer is bounded, as a monitor stores each combination of labels for good: 5,000 backends and
  2,000 routes with counters; 500 backends with a histogram of their responses; 200 backends and 200
  routes with histograms of single phases. `sluice_metrics_left_out` says how many backends and
  routes have no counters here.
- Where the time goes: `queue`, `connect`, `first_byte` (for pools and backends `response`) and
  `request`, which is the whole. The same over the socket, with quantiles: `show latency`.
- `/metrics?compat=haproxy` has the names of HAProxy's exporter instead.

Ready alert rules are in `etc/prometheus`, a dashboard in `etc/grafana`.
"""


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def metrics(program, tries=5):
    with tempfile.TemporaryDirectory() as d:
        admin = free_port(socket.SOCK_STREAM)
        conf = os.path.join(d, "sluice.conf")
        with open(conf, "w") as f:
            f.write(CONF % {"dir": d, "port": free_port(socket.SOCK_DGRAM), "admin": admin})
        p = subprocess.Popen([program, "-c", conf], stderr=subprocess.PIPE, text=True)
        try:
            for _ in range(600):
                try:
                    c = http.client.HTTPConnection("127.0.0.1", admin, timeout=10)
                    c.request("GET", "/metrics")
                    return c.getresponse().read().decode()
                except ConnectionRefusedError:
                    if p.poll() is not None and tries > 1:  # somebody has the port by now
                        return metrics(program, tries - 1)
                    if p.poll() is not None:
                        sys.exit("%s ends:\n%s" % (program, p.stderr.read()))
                    time.sleep(0.05)
            sys.exit("no answer from %s" % program)
        finally:
            p.terminate()
            p.communicate()


def families(text):
    """[(name, type, help)] in the order of the answer."""
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.M))
    return [(name, kind, helps[name]) for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)]


def page(text):
    out = [HEAD]
    left = families(text)
    for word, title, labels in SECTIONS:
        some = [f for f in left if f[0].startswith("sluice_%s_" % word)] if word else left
        left = [f for f in left if f not in some]
        out.append("## %s\n\n%s\n\n| name | type | what |\n|---|---|---|" % (title, labels))
        out += ["| `%s` | %s | %s |" % f for f in some]
        out.append("")
    return "\n".join(out).rstrip() + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.stdout.write(page(metrics(sys.argv[1])))
