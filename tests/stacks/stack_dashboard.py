"""The dashboard in a real browser: how it looks at three widths, light and dark; what it does.

Looks are compared with the pictures in tests/stacks/dashboard/, of a state that stands still (dashboard_fixture.py). Where
a change is wanted: SCREENSHOTS=update, and look at what has changed before committing it."""

import http.client

import dashboard_fixture
import pictures
from browser import *
from http_tools import *

PICTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dashboard")
SIZES = {"narrow": (390, 844), "medium": (900, 1100), "wide": (1680, 1050)}
MAY_DIFFER = 0.012      # of the squares: another release of the browser, of its font (browser.py)


def one_engine(t):
    """The page is the same on both; a browser takes its time."""
    if t.engine != "uring":
        raise Skip("the browser looks at it with io_uring")


def admin_of(t, level="admin"):
    """(sluice, address of the admin listener, address in front of one backend)"""
    backend, front, admin = t.backend(app(by_name), name="web-1"), t.address(), t.address()
    s = t.sluice('admin = { bind = "%s"; level = "%s"; };\nworkers = 1;\n'
                 'pools = ( { name = "shop"; mode = "http"; %s backends = (%s); } );\n'
                 'listeners = ( { name = "web"; mode = "http"; bind = "%s"; pool = "shop"; } );' % (
                     where(admin), level, 'health = { type = "tcp"; interval = "200ms"; };', t.backend_list([backend]), where(front)))
    return s, admin, front


def page_of(admin):
    """The page as sluice answers it: its headers that matter, its bytes."""
    c = http.client.HTTPConnection(*admin, timeout=SECONDS)
    c.request("GET", "/")
    r = c.getresponse()
    check_eq(r.status, 200)
    headers = [(k, v) for k, v in r.getheaders() if k.lower() in ("content-security-policy", "x-content-type-options", "referrer-policy")]
    body = r.read()
    c.close()
    return headers, body


def ready(browser):
    """The first state is on the page, and drawn."""
    wait_until(lambda: browser.run("return document.querySelectorAll('tr.backend').length") > 0, "backends on the page")
    browser.run("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    browser.run("return document.fonts.ready.then(() => true)")


def no_noise(browser, url):
    check_eq([m for m in browser.messages() if "favicon" not in m], [], "the console")
    others = [u for u in browser.requests() if not u.startswith((url, "data:", "blob:", "about:", "chrome"))]
    check_eq(others, [], "requests to elsewhere")


def compare(name, png):
    path = os.path.join(PICTURES, name + ".png")
    if os.environ.get("SCREENSHOTS") == "update":
        os.makedirs(PICTURES, exist_ok=True)
        with open(path, "wb") as f:
            f.write(png)
        return
    with open(path, "rb") as f:
        far = pictures.difference(f.read(), png)
    if far > MAY_DIFFER:
        with open(os.path.join(os.environ.get("TMPDIR", "/tmp"), name + ".now.png"), "wb") as f:
            f.write(png)
    check(far <= MAY_DIFFER, "%s looks as it did: %.1f %% of it is different (see TMPDIR/%s.now.png)" % (name, 100 * far, name))


def test_it_looks_as_it_should(t):
    one_engine(t)
    s, admin, _ = admin_of(t)
    site = dashboard_fixture.Site(t.address(), page_of(admin), dashboard_fixture.usual())
    browser = Browser(t)
    for size, (width, height) in SIZES.items():
        for scheme in ("light", "dark"):
            browser.resize(width, height)
            browser.scheme(scheme)
            browser.open(site.url)
            ready(browser)
            wide = browser.run("return document.documentElement.scrollWidth")
            check(wide <= width, "nothing sticks out at %s" % size, wide)
            compare("%s-%s" % (size, scheme), browser.screenshot())
    no_noise(browser, site.url)
    browser.close()
    site.close()
    s.check_quiet()


def test_long_names_many_backends_and_bad_words_do_no_harm(t):
    one_engine(t)
    s, admin, _ = admin_of(t)
    site = dashboard_fixture.Site(t.address(), page_of(admin), dashboard_fixture.many())
    browser = Browser(t)
    for width, height in SIZES.values():
        browser.resize(width, height)
        browser.open(site.url)
        ready(browser)
        check(browser.run("return document.documentElement.scrollWidth") <= width, "nothing sticks out at %d" % width)
    check_eq(browser.run("return document.querySelectorAll('tr.backend b').length"), 0, "names are text")
    check(browser.run("return document.title") != "bad", "reasons are text")
    no_noise(browser, site.url)
    browser.close()
    site.close()
    s.check_quiet()


def test_a_backend_is_drained_with_the_keyboard(t):
    one_engine(t)
    s, admin, front = admin_of(t)
    browser = Browser(t)
    browser.resize(*SIZES["wide"])
    url = "http://%s:%d/" % admin[:2]
    browser.open(url)
    ready(browser)
    for _ in range(5):
        check_eq(fetch(front).body, b"web-1")
    state = "return document.querySelector('tr.backend .state, tr.backend .chip').textContent"
    wait_until(lambda: "UP" in browser.run(state).upper(), "it is up on the page")
    browser.run("document.querySelector('tr.backend td.act button').focus(); document.activeElement.click()")
    wait_until(lambda: browser.run("return document.querySelector('dialog').open"), "it asks")
    check_eq(s.stat()[("shop", "web-1")]["status"], "UP", "nothing has happened yet")
    browser.run("const d = document.querySelector('dialog');"
                "const choice = [...d.querySelectorAll('input[type=radio]')].find((i) => i.value === 'drain');"
                "choice.click(); d.querySelector('#reason').value = 'tested'; d.querySelector('button[type=submit], button.go').click()")
    s.wait_status("shop", "web-1", "DRAIN")
    wait_until(lambda: "DRAIN" in browser.run(state).upper(), "the page shows it")
    wait_until(lambda: not browser.run("return document.querySelector('dialog').open"), "the question is gone")
    s.wait_log("web-1.*drain|drain.*web-1")
    no_noise(browser, url)
    browser.close()
    t.backends[0].stop()


def test_who_may_only_look_finds_no_buttons(t):
    one_engine(t)
    s, admin, _ = admin_of(t, level="user")
    browser = Browser(t)
    browser.open("http://%s:%d/" % admin[:2])
    ready(browser)
    check_eq(browser.run("return [...document.querySelectorAll('tr.backend td.act button')].filter((b) => b.offsetParent !== null).length"), 0)
    browser.close()


def test_a_search_shows_what_fits(t):
    one_engine(t)
    s, admin, _ = admin_of(t)
    site = dashboard_fixture.Site(t.address(), page_of(admin), dashboard_fixture.usual())
    browser = Browser(t)
    browser.resize(*SIZES["wide"])
    browser.open(site.url)
    ready(browser)
    rows = "return [...document.querySelectorAll('tr.backend')].filter((r) => r.offsetParent !== null).length"
    everything = browser.run(rows)
    browser.run("const i = document.querySelector('input[type=search]'); i.value = 'node-b'; i.dispatchEvent(new Event('input', {bubbles: true}))")
    wait_until(lambda: browser.run(rows) == 1, "one backend is left of %d" % everything)
    browser.run("const i = document.querySelector('input[type=search]'); i.value = ''; i.dispatchEvent(new Event('input', {bubbles: true}))")
    wait_until(lambda: browser.run(rows) == everything, "all are back")
    browser.close()
    site.close()
