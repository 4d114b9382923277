"""Tomcat 10: a servlet with sessions and a WebSocket, kept together by Tomcat's own cookie or by sluice's:
etc/examples/tomcat.conf."""

from applications import *

HOME = "/usr/share/tomcat10"

# As etc/docs/stacks/tomcat.md says.
SERVER = """<Server port="-1">
  <Service name="Catalina">
    <Connector address="%s" port="%d" protocol="HTTP/1.1" keepAliveTimeout="75000" connectionTimeout="20000"
               maxKeepAliveRequests="-1" />
    <Engine name="Catalina" defaultHost="localhost" jvmRoute="%s">
      <Valve className="org.apache.catalina.valves.RemoteIpValve" protocolHeader="X-Forwarded-Proto"
             internalProxies="127\\.0\\.0\\.1" />
      <Host name="localhost" appBase="webapps" autoDeploy="false" deployOnStartup="false">
        <Context path="" docBase="%s" />
        <Context path="/shop" docBase="%s" />
      </Host>
    </Engine>
  </Service>
</Server>
"""

# What applications have in common: here no more than that files are served. (The package that brings Tomcat's own
# file is not always the one that brings Tomcat.)
WEB = """<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0">
  <servlet>
    <servlet-name>default</servlet-name>
    <servlet-class>org.apache.catalina.servlets.DefaultServlet</servlet-class>
  </servlet>
  <servlet-mapping><servlet-name>default</servlet-name><url-pattern>/</url-pattern></servlet-mapping>
</web-app>
"""


def application():
    """Its folder. Jasper's compiler does what javac does, so that no JDK is needed."""
    if not os.path.exists(HOME + "/lib/catalina.jar"):
        raise Skip("Tomcat 10 is not installed: scripts/setup.sh stacks does it")
    return built("java", ["java/Application.java"], lambda out: [
        "java", "-XX:TieredStopAtLevel=1", "-cp", "/usr/share/java/eclipse-jdt-core.jar",
        "org.eclipse.jdt.internal.compiler.batch.Main", "-11", "-proc:none", "-cp",
        ":".join(HOME + "/lib/%s.jar" % n for n in ("servlet-api", "websocket-api", "websocket-client-api")),
        "-d", out + "/WEB-INF/classes", "java/Application.java"])


def tomcat(t, name):
    address, base = t.address(), t.path(name)
    for folder in ("conf", "webapps", "temp", "logs", "work"):
        os.makedirs(os.path.join(base, folder))
    with open(base + "/conf/web.xml", "w") as f:
        f.write(WEB)
    with open(base + "/conf/server.xml", "w") as f:
        f.write(SERVER % (*address, name, application(), application()))
    return Server(t, name, ["java", "-Xmx192m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dapp.name=" + name,
                            "-Dtomcat.util.scan.StandardJarScanFilter.jarsToSkip=*.jar",
                            "-Dcatalina.home=" + HOME, "-Dcatalina.base=" + base, "-Djava.io.tmpdir=" + base + "/temp",
                            "-cp", HOME + "/bin/bootstrap.jar:" + HOME + "/bin/tomcat-juli.jar",
                            "org.apache.catalina.startup.Bootstrap", "start"], address)


def site(t):
    return Site(t, "tomcat.conf", [tomcat(t, "a"), tomcat(t, "b")], SECRET="0123456789abcdef0123456789abcdef")


class Browser:
    """What it buys, with its cookies or by the addresses that it is given."""

    def __init__(self, one, path, cookies=True):
        self.site, self.path, self.keep, self.cookies, self.instance = one, path, cookies, {}, None
        self.put()

    def put(self):
        r = self.site.get(self.path, headers=["Cookie: " + "; ".join("%s=%s" % c for c in self.cookies.items())])
        v, self.instance, self.set = values(r.body), r.header("x-instance"), r.all("set-cookie")
        if self.keep:
            self.cookies.update(c.split(";")[0].split("=", 1) for c in self.set)
        else:
            self.path = v["url"]
        return int(v["items"])


def stays(browsers):
    for b in browsers:
        instance = b.instance
        for n in (2, 3, 4):
            check_eq((b.put(), b.instance), (n, instance), "its basket, and who has it")
    check_eq({b.instance for b in browsers}, {"a", "b"})


def test_tomcat(t):
    one = site(t)
    for pool in ("app", "shop"):  # one may have been slow to start
        for server in ("a", "b"):
            one.sluice.wait_status(pool, server, "UP")
    goes_through_everything(one)
    wait_until(lambda: not one.sluice.in_flight(), "nothing counts for a server")
    route = [Browser(one, "/basket") for _ in range(4)]
    for b in route:
        check_match(r"^[0-9A-F]{32}\.%s$" % b.instance, b.cookies["JSESSIONID"])
    without = [Browser(one, "/basket", cookies=False) for _ in range(4)]
    check_match(r"^/basket;jsessionid=[0-9A-F]{32}\.[ab]$", without[0].path)
    ours = [Browser(one, "/shop/basket") for _ in range(4)]
    check_eq(set(ours[0].cookies), {"JSESSIONID", "SRV"})
    for some in (route, without, ours):
        stays(some)
    check_eq((route[0].set, ours[0].set), ([], []), "no cookie is set again")
    # Who leaves takes no new ones and keeps his own.
    one.sluice.ok("set server app/a state drain")
    wait_until(lambda: {one.get().header("x-instance") for _ in range(4)} == {"b"}, "new ones go to b")
    for b in route + without:
        instance = b.instance
        check_eq((b.put(), b.instance), (5, instance))
    one.sluice.ok("set server app/a state ready")
    survives_a_kill(one)
    # What the killed one had is lost, the next one takes his clients; the others have noticed nothing.
    for b in route + without:
        had = b.instance
        check_eq(b.put(), 1 if had == "a" else 6)
