"""browser.py - headless Chromium, driven through chromedriver by the WebDriver protocol."""

import base64
import http.client
import urllib.parse

from servers import *
import stack_packaging

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars"]


# The same letters wherever it runs: of all that is installed it sees this family only.
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>/usr/share/fonts/truetype/dejavu</dir><cachedir prefix="xdg">fontconfig</cachedir>
""" + "".join("<alias binding='same'><family>%s</family><prefer><family>DejaVu Sans%s</family></prefer></alias>" % pair for pair in (
    ("sans-serif", ""), ("system-ui", ""), ("ui-sans-serif", ""), ("monospace", " Mono"), ("ui-monospace", " Mono"))) + "</fontconfig>"


# WebDriver's names of keys that write nothing.
KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Shift": "\ue008", "Escape": "\ue00c", "End": "\ue010", "Left": "\ue012", "Up": "\ue013",
        "Right": "\ue014", "Down": "\ue015"}


class Browser:
    """One window. trust: a PEM certificate whose key may sign for any name; hosts: {name: address} instead of DNS."""

    def __init__(self, t, trust=None, hosts=None, flags=()):
        chromium = stack_packaging.need("chromium")
        address = t.address()
        home = t.path("browser")
        os.makedirs(home, exist_ok=True)
        with open(os.path.join(home, "fonts.conf"), "w") as f:
            f.write(FONTS)
        self.server = Server(t, "chromedriver", [stack_packaging.need("chromedriver"), "--port=%d" % address[1],
                                                 "--allowed-ips=127.0.0.1"], ("127.0.0.1", address[1]), env={
                                 "HOME": home, "TZ": "UTC", "LC_ALL": "C.UTF-8", "FONTCONFIG_FILE": os.path.join(home, "fonts.conf")})
        self.address = ("127.0.0.1", address[1])
        words = [*FLAGS, "--user-data-dir=" + t.path("profile"), *flags]
        if trust:
            words.append("--ignore-certificate-errors-spki-list=" + fingerprint(trust))
        if hosts:
            words.append("--host-resolver-rules=" + ",".join("MAP %s %s" % pair for pair in hosts.items()))
        made = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": {"binary": chromium, "args": words},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}}}, session=False)
        self.session = made["sessionId"]

    def ask(self, method, path, body=None, session=True):
        c = http.client.HTTPConnection(*self.address, timeout=60)
        c.request(method, ("/session/" + self.session if session else "") + path,
                  body=json.dumps(body) if body is not None else None, headers={"Content-Type": "application/json"})
        value = json.loads(c.getresponse().read())["value"]
        c.close()
        check(not (isinstance(value, dict) and "error" in value), "the browser", path, value)
        return value

    def open(self, url):
        self.ask("POST", "/url", {"url": url})

    def run(self, script, *args):
        """What the script returns; a promise is waited for."""
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(args)})

    def press(self, *keys):
        """Keys go down and up one after the other, as from a keyboard: a name of KEYS, or text; "Shift+Tab" both at once."""
        actions = []
        for key in keys:
            held = [KEYS[name] for name in key.split("+")] if "+" in key else None
            strokes = [KEYS[key]] if key in KEYS else key
            if held:
                actions += [{"type": "keyDown", "value": k} for k in held] + [{"type": "keyUp", "value": k} for k in reversed(held)]
            else:
                for k in strokes:
                    actions += [{"type": "keyDown", "value": k}, {"type": "keyUp", "value": k}]
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def messages(self):
        """What the console says."""
        return [entry["message"] for entry in self.ask("POST", "/se/log", {"type": "browser"})]

    def requests(self):
        """URLs of all requests that were made since the last call."""
        events = [json.loads(e["message"])["message"] for e in self.ask("POST", "/se/log", {"type": "performance"})]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def resize(self, width, height):
        self.ask("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}})

    def scheme(self, name):
        self.ask("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {
            "features": [{"name": "prefers-color-scheme", "value": name}, {"name": "prefers-reduced-motion", "value": "reduce"}]}})

    def screenshot(self):
        return base64.b64decode(self.ask("GET", "/screenshot"))

    def close(self):
        self.ask("DELETE", "")
        self.server.kill()


def fingerprint(cert):
    """SHA-256 of the certificate's public key, in base64: how Chromium names keys to trust."""
    key = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-pubkey"], stdout=subprocess.PIPE, check=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key, stdout=subprocess.PIPE, check=True).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()
