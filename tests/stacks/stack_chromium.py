"""Headless Chromium before sluice: what a real browser agrees on by ALPN, and what it then does with it."""

from browser import *
from tls_site import NAME, Site, answer, app

PAGE = b"<!doctype html><title>here</title><script src=/a.js></script><img src=/b.svg><p>text"


def respond(r, backend):
    if r.path == "/a.js":
        return answer(body=b"window.loaded = true", headers=["Content-Type: text/javascript"])
    if r.path == "/b.svg":
        return answer(body=b"<svg xmlns='http://www.w3.org/2000/svg'/>", headers=["Content-Type: image/svg+xml"])
    if r.path == "/upload":
        return answer(body=b"%d %s" % (len(r.body), hashlib.md5(r.body).hexdigest().encode()))
    return answer(body=PAGE, headers=["Content-Type: text/html"])


def open_site(t, **kw):
    site = Site(t, [t.backend(app(respond))], **kw)
    return site, Browser(t, trust=site.cert.cert, hosts={NAME: site.address[0]}), "https://%s:%d" % (NAME, site.address[1])


def protocols(browser):
    """{path: protocol} of the page and all that it loaded."""
    return browser.run("""return Object.fromEntries([...performance.getEntriesByType('navigation'),
        ...performance.getEntriesByType('resource')].map(e => [new URL(e.name).pathname, e.nextHopProtocol]))""")


def test_a_browser_agrees_on_http2(t):
    site, browser, url = open_site(t)
    browser.open(url + "/")
    wait_until(lambda: len(protocols(browser)) >= 3, "page, script, picture")
    got = protocols(browser)
    check_eq({got["/"], got["/a.js"], got["/b.svg"]}, {"h2"})
    check_eq(browser.run("return window.loaded"), True)
    answered = browser.run("""return fetch('/upload', {method: 'POST', body: 'x'.repeat(3000000)}).then(r => r.text())""")
    check_eq(answered, "3000000 " + hashlib.md5(b"x" * 3000000).hexdigest())
    check_eq([m for m in browser.messages() if "favicon" not in m], [])
    browser.close()
    site.sluice.wait_access(r'"tls_alpn":"h2"')


def test_a_browser_takes_http1_where_that_is_all_there_is(t):
    site, browser, url = open_site(t, tls='alpn = [ "http/1.1" ];')
    browser.open(url + "/")
    wait_until(lambda: len(protocols(browser)) >= 3, "page, script, picture")
    check_eq(protocols(browser)["/"], "http/1.1")
    browser.close()


def test_many_fetches_at_the_same_time_share_one_connection(t):
    site, browser, url = open_site(t)
    browser.open(url + "/")
    n = browser.run("""return Promise.all([...Array(200).keys()].map(i => fetch('/x' + i).then(r => r.text())))
        .then(all => all.filter(text => text.includes('text')).length)""")
    check_eq(n, 200)
    check(site.sluice.number("front", "FRONTEND", "stot") <= 3, "connections: one, and such as browsers open in advance")
    browser.close()
