"""/metrics: numbers that add up to what was done."""

import json

from e2e_520_admin_http import *


def samples(admin, query=""):
    """{name: {labels: value}}"""
    out = {}
    r = ask(admin, "/metrics" + query)
    check_eq(r.status, 200)
    for line in r.body.decode().splitlines():
        if not line.startswith("#"):
            name, labels, value = re.match(r"([a-z_0-9]+)(?:\{(.*)\})? (\S+)$", line).groups()
            out.setdefault(name, {})[labels or ""] = float(value)
    return out


def test_what_was_done_is_what_is_counted(t):
    backends = [t.backend(app(by_name)) for _ in range(2)]
    s, front, admin = start_admin(t, backends, route='name = "all";')
    for n in range(10):
        check_eq(fetch(front, "/%d" % n, method="POST", body=b"12345").status, 200)
    with connect(front) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
        check_in(b" 400 ", c.recv(1000))

    def settled():
        return samples(admin)["sluice_listener_responses_total"]['listener="front",class="2xx"'] == 10
    wait_until(settled, "all are counted")
    m = samples(admin)
    check_eq(m["sluice_listener_responses_total"]['listener="front",class="4xx"'], 1.0)
    check_eq(m["sluice_listener_refused_total"]['listener="front",reason="bad-host"'], 1.0)
    check_eq(m["sluice_route_requests_total"]['listener="front",route="all"'], 10.0)
    check_eq(sum(m["sluice_backend_requests_total"].values()), 10.0)
    check_eq(sum(m["sluice_backend_responses_total"]['pool="app",backend="b%d",class="2xx"' % n] for n in (1, 2)), 10.0)
    check_eq(m["sluice_pool_response_duration_seconds_count"]['pool="app"'], 10.0)
    check_eq(m["sluice_pool_response_duration_seconds_bucket"]['pool="app",le="+Inf"'], 10.0)
    buckets = [v for k, v in m["sluice_listener_request_duration_seconds_bucket"].items()]
    check_eq(buckets, sorted(buckets), "buckets hold those below them")
    check(m["sluice_listener_received_bytes_total"]['listener="front"'] >= 500, "bytes")
    check(m["process_open_fds"][""] < m["process_max_fds"][""], "files")
    check_eq(sum(m["sluice_worker_sessions_total"].values()), 11.0)
    check_eq(m["sluice_ready"][""], 1.0)
    s.ctl("clear counters all")
    check_eq(samples(admin)["sluice_backend_requests_total"], m["sluice_backend_requests_total"],
             "clearing is the stats socket's: counters of a monitor only grow")


def test_states_of_backends(t):
    up, down = t.backend(app(by_name)), t.closed_address()
    s, front, admin = start_admin(t, [up, down], pool='health = { interval = "100ms"; fall = 1; };')
    s.wait_status("app", "b2", "DOWN")
    m = samples(admin)
    check_eq(m["sluice_backend_up"], {'pool="app",backend="b1"': 1.0, 'pool="app",backend="b2"': 0.0})
    check_in('pool="app",backend="b2",state="DOWN",check="L4CON"', m["sluice_backend_state"])
    check_eq(m["sluice_pool_backends_up"]['pool="app"'], 1.0)
    s.ok("set server app/b1 state maint")
    m = samples(admin)
    check_eq(m["sluice_backend_up"]['pool="app",backend="b1"'], 0.0)
    check_in('pool="app",backend="b1",state="MAINT",check="L4OK"', m["sluice_backend_state"])
    s.ok('set server app/b1 state maint a "new" disk')
    check_in('pool="app",backend="b1",state="MAINT",check="L4OK",reason="a \\"new\\" disk"',
             samples(admin)["sluice_backend_state"])
    rows = {r["srv_name"]: r["reason"] for r in json.loads(ask(admin, "/api/v1/servers").body)}
    check_eq(rows, {"b1": 'a "new" disk', "b2": ""})
    check(m["sluice_backend_check_failures_total"]['pool="app",backend="b2"'] >= 1, "failed checks")


def test_by_haproxys_names(t):
    s, front, admin = start_admin(t, [t.backend(app(by_name)), t.backend(app(by_name))])
    for n in range(4):
        check_eq(fetch(front, "/").status, 200)
    wait_until(lambda: samples(admin, "?compat=haproxy")["haproxy_frontend_http_responses_total"]
               ['proxy="front",code="2xx"'] == 4, "all are counted")
    m = samples(admin, "?compat=haproxy")
    stat = s.stat()
    for name, column in (("sessions_total", "stot"), ("bytes_in_total", "bin"), ("bytes_out_total", "bout"),
                         ("current_sessions", "scur"), ("max_sessions", "smax")):
        check_eq(m["haproxy_frontend_" + name]['proxy="front"'], float(stat["front", "FRONTEND"][column]), name)
        check_eq(m["haproxy_backend_" + name]['proxy="app"'], float(stat["app", "BACKEND"][column]), name)
        check_eq(m["haproxy_server_" + name]['proxy="app",server="b1"'], float(stat["app", "b1"][column]), name)
    check_eq(m["haproxy_server_status"]['proxy="app",server="b1",state="UP"'], 1.0)
    check_eq(m["haproxy_backend_active_servers"]['proxy="app"'], 2.0)


def test_a_thousand_backends(t):
    addresses = [t.closed_address() for _ in range(3)]
    rows = [addresses[n % 3] for n in range(1000)]
    s, front, admin = start_admin(t, rows)
    began = time.monotonic()
    m = samples(admin)
    check_eq(len(m["sluice_backend_up"]), 1000)
    check_eq(m["sluice_metrics_left_out"][""], 0.0)
    check(time.monotonic() - began < 10, "seconds", time.monotonic() - began)
