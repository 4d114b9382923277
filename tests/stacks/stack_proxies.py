"""nginx, Apache httpd, HAProxy and Caddy behind sluice (etc/examples/web-servers.conf) and in front of it
(behind-proxy.conf); a CDN (cdn.conf). Behind all of them stands an Express application that trusts 127.0.0.1, so
that it sees the client through two hops or does not."""

import stack_node
from applications import *
from proxies import Apache, Caddy, Haproxy, Nginx


def express(t, name="express"):
    s = stack_node.node(t, "express.js", name, TRUST="127.0.0.1")
    return s


def behind(t, kind, protocol=True):
    """sluice, two of the kind, the application."""
    app_ = express(t)
    proxies = [kind(t, name, app_.address) for name in ("one", "two")]
    one, two = [p.by_protocol if protocol else p.address for p in proxies]
    site = Site(t, "web-servers.conf", proxies, PROXY1=where(one), PROXY2=where(two))
    goes_through_everything(site)
    if protocol:
        for front, scheme in ((site.front, "http"), (site.tls, "https")):
            done = subprocess.run(["curl", "-sk", "--http1.1", "--interface", CLIENT, "-H", "X-Forwarded-For: 6.6.6.6",
                                   "--connect-to", "::%s:%d" % front, scheme + "://by-protocol.example.com/"],
                                  capture_output=True, timeout=60)
            v = values(done.stdout)
            check_eq((v["client"], v["scheme"], v["host"]), (CLIENT, scheme, "by-protocol.example.com"))
    survives_a_kill(site, two_writes=True)


def in_front(t, kind):
    """One of the kind, sluice, two applications."""
    apps = [express(t, name) for name in ("one", "two")]
    front = t.address()
    s = t.sluice(example("behind-proxy.conf"), env={
        "LISTEN": where(front), "LISTEN_PROXY": where(t.address()), "TRUSTED": "127.0.0.1", "STATS": t.path("sluice.sock"),
        "APP1": where(apps[0].address), "APP2": where(apps[1].address)})
    for backend in ("a", "b"):
        s.wait_status("app", backend, "UP", seconds=60)
    leaf = certs.Authority(t.path("ca")).leaf("www.example.com")
    outer = kind(t, "outer", front, leaf)
    site = Hop(t, outer.address, outer.tls)
    client_and_scheme_are_seen(site)
    large_bodies_are_whole(site)
    events_come_one_by_one(site)
    websockets_echo(site)
    kill_and_restart(site.front, apps[:1], s, "app", ["a"])
    # Past the proxy nobody claims to be somebody else.
    v = values(fetch(front, "/", headers=["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https"], source=CLIENT).body)
    check_eq((v["client"], v["scheme"]), (CLIENT, "http"))
    outer.kill()  # and with it the connections that it keeps


class Hop:
    """What comes first on the way, as the checks of applications.py want it."""

    def __init__(self, t, front, tls):
        self.front, self.tls, self.dir = front, tls, t.dir

    def get(self, *args, **kw):
        return fetch(self.front, *args, **kw)


def test_nginx_behind(t):
    behind(t, Nginx)


def test_apache_behind(t):
    behind(t, Apache)


def test_haproxy_behind(t):
    behind(t, Haproxy)


def test_caddy_behind(t):
    behind(t, Caddy, protocol=False)


def test_nginx_in_front(t):
    in_front(t, Nginx)


def test_apache_in_front(t):
    in_front(t, Apache)


def test_haproxy_in_front(t):
    in_front(t, Haproxy)


def test_caddy_in_front(t):
    in_front(t, Caddy)


def test_the_proxy_protocol_from_haproxy_and_nginx(t):
    """In mode tcp they pass bytes on: the application and sluice's log know the client all the same."""
    app_ = express(t)
    front, by_headers = t.address(), t.address()
    s = t.sluice(example("behind-proxy.conf"), env={
        "LISTEN": where(by_headers), "LISTEN_PROXY": where(front), "TRUSTED": "127.0.0.1", "STATS": t.path("sluice.sock"),
        "APP1": where(app_.address), "APP2": where(app_.address)})
    s.wait_status("app", "a", "UP")
    for version in ("send-proxy", "send-proxy-v2"):
        outer, conf = t.address(), t.path(version)
        with open(conf, "w") as f:
            f.write("defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\nlisten tcp\n bind %s\n"
                    " server sluice %s %s\n" % (where(outer), where(front), version))
        Server(t, version, ["haproxy", "-db", "-f", conf], outer)
        check_eq(values(fetch(outer, "/" + version, headers=["X-Forwarded-For: 6.6.6.6"], source=CLIENT).body)["client"], CLIENT)
        s.wait_access(re.escape(CLIENT) + r" .*/%s " % version)
    outer, conf = t.address(), t.path("stream.conf")
    module = "/usr/lib/nginx/modules/ngx_stream_module.so"
    with open(conf, "w") as f:
        f.write("daemon off; pid %s; error_log stderr; load_module %s;\nevents { }\nstream { server { listen %s; proxy_pass %s; "
                "proxy_protocol on; } }\n" % (t.path("pid"), module, where(outer), where(front)))
    Server(t, "stream", ["nginx", "-c", conf, "-p", t.dir], outer)
    check_eq(values(fetch(outer, "/stream", source=CLIENT).body)["client"], CLIENT)
    s.wait_access(re.escape(CLIENT) + r" .*/stream ")
    # Who is not named in proxy_from cannot claim anything.
    with contextlib.closing(connect(front, source=CLIENT)) as c:
        c.sendall(b"PROXY TCP4 6.6.6.6 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            check(b"6.6.6.6" not in recv_all(c), "an address that was made up")


def test_the_proxy_protocol_comes_in_and_goes_out(t):
    """HAProxy, sluice in either mode, nginx, the application: it sees the client through all three."""
    app_ = express(t)
    inner = Nginx(t, "inner", app_.address)
    modes = {mode: (t.address(), t.address()) for mode in ("http", "tcp")}
    t.sluice("pools = ( %s );\nlisteners = ( %s );" % (
        ", ".join('{ name = "%s"; mode = "%s"; send_proxy = "v2"; health = { type = "none"; }; backends = ( { name = "a"; address = "%s"; } ); }' % (
            mode, mode, where(inner.by_protocol)) for mode in modes),
        ", ".join('{ name = "%s"; mode = "%s"; bind = "%s"; pool = "%s"; proxy_protocol = "v2"; proxy_from = [ "127.0.0.1" ]; }' % (
            mode, mode, where(front), mode) for mode, (front, _) in modes.items())))
    conf = t.path("haproxy.conf")
    with open(conf, "w") as f:
        f.write("defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n")
        for mode, (front, outer) in modes.items():
            f.write("listen %s\n bind %s\n server sluice %s send-proxy-v2\n" % (mode, where(outer), where(front)))
    Server(t, "outer", ["haproxy", "-db", "-f", conf], modes["tcp"][1])
    for mode, (_, outer) in modes.items():
        v = values(fetch(outer, "/" + mode, headers=["X-Forwarded-For: 6.6.6.6"], source=CLIENT).body)
        check_eq(v["client"], CLIENT, mode)


def test_a_cdn(t):
    trust = "127.0.0.1,127.77.1.0/24"
    apps = [stack_node.node(t, "express.js", name, TRUST=trust) for name in ("one", "two")]
    front = t.address()
    s = t.sluice(example("cdn.conf"), env={"LISTEN": where(front), "CDN": "127.77.1.0/24", "STATS": t.path("sluice.sock"),
                                           "APP1": where(apps[0].address), "APP2": where(apps[1].address)})
    s.wait_status("app", "a", "UP")
    s.wait_status("app", "b", "UP")
    says = ["X-Forwarded-For: 203.0.113.5", "X-Forwarded-Proto: https", "CF-Connecting-IP: 203.0.113.5"]
    v = values(fetch(front, "/cdn", headers=says, source="127.77.1.8").body)
    check_eq((v["client"], v["scheme"], v["cf"]), ("203.0.113.5", "https", "203.0.113.5"), "from the CDN")
    s.wait_access(r"^203\.0\.113\.5 .*/cdn ")
    v = values(fetch(front, "/past", headers=says, source="127.77.2.1").body)
    check_eq((v["client"], v["scheme"], v["cf"]), ("127.77.2.1", "http", "127.77.2.1"), "past it")
    s.wait_access(r"^127\.77\.2\.1 .*/past ")
    # A client of the CDN that has written something there itself: the CDN has added whom it saw.
    v = values(fetch(front, "/", headers=["X-Forwarded-For: 6.6.6.6, 203.0.113.5"], source="127.77.1.8").body)
    check_eq((v["client"], v["cf"]), ("203.0.113.5", "203.0.113.5"))
    # One edge of the CDN has passed it on to another; the client has an address of IPv6.
    v = values(fetch(front, "/", headers=["X-Forwarded-For: 6.6.6.6, 2a0e:77::5, 127.77.1.20"], source="127.77.1.8").body)
    check_eq((v["client"], v["cf"]), ("2a0e:77::5", "2a0e:77::5"), "through two hops")
    kill_and_restart(front, apps[:1], s, "app", ["a"])
