"""/metrics as Prometheus' own tools read it, and the dashboard and alerts made for it."""

import glob

from servers import *
import stack_packaging

http = __import__("http_tools")


def metrics(admin, query="", accept="text/plain"):
    with connect(admin) as c:
        c.sendall(("GET /metrics%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: %s\r\n\r\n" % (query, accept)).encode())
        reader = http.Reader(c)
        r = http.Response(reader.until(b"\r\n\r\n"))
        return r, reader.body(r).decode()


def start_busy(t):
    admin = t.address()
    b = t.backend(http.app(http.by_name))
    s, front = http.start(t, [b, t.closed_address()], top='admin = { bind = "%s:%d"; };' % admin,
                          pool='health = { interval = "100ms"; };')
    for n in range(20):
        check_eq(http.fetch(front, "/%d" % n).status, 200)
    with connect(front) as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
        check_in(b" 400 ", c.recv(1000))
    return s, admin


def test_promtool_finds_nothing(t):
    promtool = stack_packaging.need("promtool")
    s, admin = start_busy(t)
    for query in ("", "?compat=haproxy"):
        r, text = metrics(admin, query)
        check_eq(r.header("content-type"), "text/plain; version=0.0.4; charset=utf-8")
        done = subprocess.run([promtool, "check", "metrics"], input=text.encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        check_eq((done.returncode, done.stdout.decode()), (0, ""), query)


def test_open_metrics_parse(t):
    """By the reference parser, of Prometheus' Python library."""
    s, admin = start_busy(t)
    for query in ("", "?compat=haproxy"):
        r, text = metrics(admin, query, "application/openmetrics-text; version=1.0.0")
        check_in("application/openmetrics-text; version=1.0.0", r.header("content-type"))
        with open(t.path("metrics"), "w") as f:
            f.write(text)
        script = ("import sys; from prometheus_client.openmetrics.parser import text_string_to_metric_families as p;"
                  "print(len(list(p(open(sys.argv[1]).read()))))")
        n = int(stack_packaging.output(["/usr/bin/python3", "-c", script, t.path("metrics")]))
        check(n > 50, "families", n)


def test_prometheus_itself_scrapes_it(t):
    prometheus = stack_packaging.need("prometheus")
    s, admin = start_busy(t)
    own = t.address()
    with open(t.path("prometheus.yml"), "w") as f:
        f.write("""global: { scrape_interval: 500ms }
rule_files: [ %s ]
scrape_configs:
  - job_name: sluice
    static_configs: [ { targets: [ "%s:%d" ] } ]
""" % (os.path.join(ROOT, "etc/prometheus/alerts.yml"), *admin))
    server = Server(t, "prometheus", [prometheus, "--config.file=" + t.path("prometheus.yml"), "--storage.tsdb.path=" + t.path("tsdb"),
                                      "--web.listen-address=%s:%d" % own, "--log.level=warn"], own)

    def asked(query):
        r = http.fetch(own, "/api/v1/query?query=" + query)
        return json.loads(r.body)["data"]["result"] if r.status == 200 else []
    wait_until(lambda: asked("sluice_ready"), "it has scraped", seconds=30)
    check_eq(asked("sluice_ready")[0]["value"][1], "1")
    check_eq(asked("sluice_listener_requests_total")[0]["value"][1], "21", "the refused one too")
    check_eq(asked("up")[0]["value"][1], "1")
    server.kill()


def names_in(text):
    return set(re.findall(r"\b(?:sluice|process)_[a-z0-9_]+", text))


def test_dashboard_and_alerts_name_what_there_is(t):
    promtool = stack_packaging.need("promtool")
    s, admin = start_busy(t)
    there = set(re.findall(r"^(?:# TYPE )?([a-z_0-9]+)[ {]", metrics(admin)[1], re.M))
    alerts = os.path.join(ROOT, "etc/prometheus/alerts.yml")
    stack_packaging.output([promtool, "check", "rules", alerts])
    stack_packaging.output([promtool, "test", "rules", os.path.join(ROOT, "tests/stacks/alerts_test.yml")])
    for path in [alerts, *glob.glob(os.path.join(ROOT, "etc/grafana/*.json"))]:
        with open(path) as f:
            text = f.read()
        if path.endswith(".json"):
            json.loads(text)
        missing = {n for n in names_in(text) if n not in there and n != "process"}
        check_eq(missing, set(), path)
