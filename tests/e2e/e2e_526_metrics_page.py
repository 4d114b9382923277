"""etc/docs/metrics.md says what /metrics says; histograms tell where the time goes."""

import subprocess
import sys

from e2e_525_metrics import *


def test_the_page_lists_every_metric(t):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    made = subprocess.run([sys.executable, os.path.join(root, "scripts", "metrics-page.py"), t.binary],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    check_eq((made.stderr, made.returncode), ("", 0))
    with open(os.path.join(root, "etc", "docs", "metrics.md")) as f:
        check_eq(f.read(), made.stdout, "scripts/metrics-page.py build/sluice > etc/docs/metrics.md mends it")


def slow(request, backend):
    time.sleep(0.2)
    return by_name(request, backend)


def test_where_the_time_goes(t):
    s, front, admin = start_admin(t, [(t.backend(app(slow)), "max_connections = 1;")], route='name = "all";')
    threads = [threading.Thread(target=fetch, args=(front, "/")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def counted():
        return samples(admin)["sluice_backend_request_duration_seconds_count"]['pool="app",backend="b1"'] == 3
    wait_until(counted, "all are counted")
    m = samples(admin)

    def sums(kind, phase, labels):
        name = "sluice_%s_%s_duration_seconds" % (kind, phase)
        return m[name + "_sum"][labels], m[name + "_count"][labels]
    for kind, labels in (("listener", 'listener="front"'), ("route", 'listener="front",route="all"'),
                         ("pool", 'pool="app"'), ("backend", 'pool="app",backend="b1"')):
        waited, n = sums(kind, "queue", labels)
        check_eq(n, 3, kind)
        check(0.55 <= waited, "one waited for one, one for two", kind, waited)  # 0.2 and 0.4
        connects = sums(kind, "connect", labels)[1]
        check(1 <= connects <= 3, "connections made", kind, connects)
        total = sums(kind, "request", labels)[0]
        check(total >= 0.58 + (waited if kind != "backend" else 0), "all of it", kind, total, waited)
    for kind, labels in (("listener", 'listener="front"'), ("route", 'listener="front",route="all"')):
        check(sums(kind, "first_byte", labels)[0] >= 0.58 + waited, "first bytes", kind)
    rows = [r.split() for r in s.ctl("show latency").splitlines()]
    for words in (["listener", "front", "-", "queue", "3"], ["route", "front", "all", "total", "3"],
                  ["pool", "app", "-", "queue", "3"], ["backend", "app", "b1", "queue", "3"]):
        check(any(r[:5] == words for r in rows), "a row", words, rows)
    s.ok("clear counters all")
    check("queue" not in s.ctl("show latency"), "cleared")


def test_the_time_of_tcp_sessions(t):
    admin = t.address()
    s, front = t.simple([t.backend(echo)], top='admin = { bind = "%s:%d"; };' % admin)
    with connect(front) as c:
        c.sendall(b"x")
        check_eq(c.recv(1), b"x")
    wait_until(lambda: samples(admin)["sluice_pool_request_duration_seconds_count"]['pool="app"'] == 1,
               "the session is counted")
    m = samples(admin)
    check_eq(m["sluice_backend_connect_duration_seconds_count"]['pool="app",backend="b1"'], 1.0)
    check_eq(m["sluice_listener_request_duration_seconds_count"]['listener="front"'], 1.0)
    check("sluice_listener_first_byte_duration_seconds_count" not in m, "there is none in mode tcp")
