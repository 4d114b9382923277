"""Headless Chromium before sluice's TLS listener, driven over WebDriver: HTTP/2 by ALPN, uploads, server-sent events
and WebSockets as a browser does them."""

import base64
import hashlib
import http.client
import json

import stack_node
from applications import *


class Browser:
    """chromedriver with one session."""

    def __init__(self, t, name, address, spki):
        self.address = t.address()
        self.driver = Server(t, "chromedriver", ["chromedriver", "--port=%d" % self.address[1], "--allowed-ips="],
                             ("127.0.0.1", self.address[1]), env={"HOME": t.dir})
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   "--disable-background-networking", "--disable-component-update", "--user-data-dir=" + t.path("profile"),
                   "--host-resolver-rules=MAP %s %s" % (name, address[0]), "--ignore-certificate-errors-spki-list=" + spki]
        if not os.path.exists("/usr/bin/chromium"):
            raise Skip("chromium is not installed: scripts/setup.sh stacks does it")
        self.session = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": {"args": options, "binary": "/usr/bin/chromium"}}}})["sessionId"]

    def ask(self, method, path, body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.address[1], timeout=90)
        c.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
        value = json.loads(c.getresponse().read())["value"]
        c.close()
        check(not (isinstance(value, dict) and value.get("error")), "WebDriver", path, value)
        return value

    def go(self, url):
        self.ask("POST", "/session/%s/url" % self.session, {"url": url})

    def run(self, script, *args):
        """A function's body; what it returns, or what its promise comes to."""
        return self.ask("POST", "/session/%s/execute/sync" % self.session, {"script": script, "args": list(args)})

    def end(self):
        self.ask("DELETE", "/session/" + self.session)


def spki_of(cert):
    """As --ignore-certificate-errors-spki-list wants it."""
    pem = certs.openssl("x509", "-in", cert, "-noout", "-pubkey")
    return base64.b64encode(hashlib.sha256(certs.openssl("pkey", "-pubin", "-outform", "der", stdin=pem)).digest()).decode()


def test_a_browser_speaks_http2(t):
    site = stack_node.site(t, "express.js")
    browser = Browser(t, "www.example.com", site.tls, spki_of(site.leaf.cert))
    url = "https://www.example.com:%d" % site.tls[1]
    browser.go(url + "/")
    check_in("scheme=https", browser.run("return document.body.innerText"))
    check_eq(browser.run("return performance.getEntriesByType('navigation')[0].nextHopProtocol"), "h2")
    site.sluice.wait_access(r"GET / HTTP/2")
    # Many at once, on one connection.
    got = browser.run("""
        const all = await Promise.all(Array.from({length: 60}, (_, i) => fetch('/n' + i).then((r) => r.text())));
        const hops = performance.getEntriesByType('resource').filter((e) => e.name.includes('/n')).map((e) => e.nextHopProtocol);
        return [all.filter((x) => x.includes('scheme=https')).length, [...new Set(hops)]];""")
    check_eq(got, [60, ["h2"]])
    # 50 MB up and down.
    data = b"".join(bytes([97 + i % 26]) * 65536 for i in range(800))
    got = browser.run("""
        const blob = await (await fetch('/big?n=800')).blob();
        const answer = await (await fetch('/upload', {method: 'POST', body: blob})).text();
        return [blob.size, answer];""")
    check_eq((got[0], values(got[1].encode())["md5"]), (len(data), hashlib.md5(data).hexdigest()))
    # Server-sent events, and a WebSocket.
    gate = t.path("had")
    for i in (1, 2):
        open("%s.%d" % (gate, i), "w").close()
    check_eq(browser.run("""
        return await new Promise((done) => {
          const got = [], source = new EventSource('/events?gate=' + arguments[0]);
          source.onmessage = (e) => { got.push(e.data); if (got.length === 3) { source.close(); done(got); } };
          source.onerror = () => done(['error', ...got]);
        });""", gate), ["event 1", "event 2", "event 3"])
    check_eq(browser.run("""
        return await new Promise((done) => {
          const ws = new WebSocket('wss://' + location.host + '/ws');
          ws.onopen = () => ws.send('x'.repeat(70000));
          ws.onmessage = (e) => { ws.close(1000); done(e.data.length); };
          ws.onerror = () => done('error');
        });"""), 70000)
    # An instance dies; the page goes on.
    site.servers[0].kill()
    got = browser.run("""
        let good = 0;
        for (let i = 0; i < 40; i++) good += (await fetch('/n' + i)).status === 200;
        return good;""")
    check_eq(got, 40)
    browser.end()
