"""The dashboard in a real browser: how it looks at three widths, light and dark. What it does: stack_dashboard_use.py.

Looks are compared with the pictures in tests/stacks/dashboard/, of a state that stands still (dashboard_fixture.py). Where
a change is wanted: SCREENSHOTS=update, and look at what has changed before committing it."""

import http.client

import dashboard_fixture
import pictures
from browser import *
from e2e_530_dashboard import Stream
from http_tools import *

PICTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dashboard")
SIZES = {"narrow": (390, 844), "medium": (900, 1100), "wide": (1680, 1050)}
MAY_DIFFER = 0.003      # of the squares: another release of the browser, of its font (browser.py)


def one_engine(t):
    """The page is the same on both; a browser takes its time."""
    if t.engine != "uring":
        raise Skip("the browser looks at it with io_uring")


def admin_of(t, level="admin", more=""):
    """(sluice, address of the admin listener, address in front of one backend)"""
    backend, front, admin = t.backend(app(by_name), name="web-1"), t.address(), t.address()
    s = t.sluice('admin = { bind = "%s"; level = "%s"; %s };\nworkers = 1;\n'
                 'pools = ( { name = "shop"; mode = "http"; %s backends = (%s); } );\n'
                 'listeners = ( { name = "web"; mode = "http"; bind = "%s"; pool = "shop"; } );' % (
                     where(admin), level, more, 'health = { type = "tcp"; interval = "200ms"; };', t.backend_list([backend]), where(front)))
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
    drawn(browser)


# What is in sight, and not drawn yet.
BLANK = """return [...document.querySelectorAll('.chart .line, .strip rect')].filter((e) => {
    const box = e.closest('svg').getBoundingClientRect();
    return box.width > 0 && box.bottom > 0 && box.top < innerHeight && !e.hasAttribute('d') && !e.hasAttribute('data-kind'); }).length"""


def drawn(browser):
    """Nothing on the page is about to change: charts are drawn when they come into sight, and that is told some frames later."""
    wait_until(lambda: browser.run(BLANK) == 0, "charts are drawn")
    browser.run("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def no_noise(browser, url):
    check_eq([m for m in browser.messages() if "favicon" not in m], [], "the console")
    others = [u for u in browser.requests() if not u.startswith((url, "data:", "blob:", "about:", "chrome"))]
    check_eq(others, [], "requests to elsewhere")


def compare(name, png):
    path = os.path.join(PICTURES, name + ".png")
    if os.environ.get("SCREENSHOTS") == "update":
        os.makedirs(PICTURES, exist_ok=True)
        with open(path, "wb") as f:
            f.write(pictures.small(png))
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
            check_eq(browser.run("return document.getAnimations().length"), 0, "who wants no motion sees none")
            compare("%s-%s" % (size, scheme), browser.screenshot())
            check_eq(browser.run(FAINT), [], "text that is hard to read, %s" % scheme)
    with open(os.path.join(PICTURES, "wide-dark.png"), "rb") as f:
        good = f.read()
    for what in (".backends .strip", ".backends .chart", ".tile .value", ".events .tag"):
        browser.run("for (const e of document.querySelectorAll(arguments[0])) e.style.visibility = 'hidden'", what)
        far = pictures.difference(good, browser.screenshot())
        check(far > MAY_DIFFER, "a picture without %s is another one" % what, far)
        browser.run("for (const e of document.querySelectorAll(arguments[0])) e.style.visibility = ''", what)
    no_noise(browser, site.url)
    browser.close()
    site.close()
    s.check_quiet()


# Texts whose contrast with what is behind them is below 4.5 (WCAG 2, AA): [text, ratio].
FAINT = """
    const part = (c) => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
    const colour = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    const behind = (e) => { for (; e; e = e.parentElement) {
        const c = colour(getComputedStyle(e).backgroundColor);
        if (c.length === 3 || c[3] === 1) return c; }
        return [255, 255, 255]; };
    const found = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const e = texts.currentNode.parentElement, text = texts.currentNode.data.trim();
        if (!text || !e.checkVisibility() || e.closest('.hidden, .skip, script, style, button:disabled')) continue;
        const a = light(colour(getComputedStyle(e).color)), b = light(behind(e));
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) found.push([text, ratio.toFixed(2)]);
    }
    return found;"""


def test_details_dialog_and_old_news_look_as_they_should(t):
    one_engine(t)
    s, admin, _ = admin_of(t)
    site = dashboard_fixture.Site(t.address(), page_of(admin), dashboard_fixture.usual())
    browser = Browser(t)
    for size, scheme in (("wide", "light"), ("medium", "dark"), ("narrow", "light")):
        browser.resize(*SIZES[size])
        browser.scheme(scheme)
        browser.open(site.url)
        ready(browser)
        focus(browser, "web-4", "button.link")
        browser.press("Enter")
        browser.run("document.querySelector('tr.detail').scrollIntoView({block: 'center'})")
        drawn(browser)
        compare("detail-%s-%s" % (size, scheme), browser.screenshot())
        check_eq(browser.run(FAINT), [], "text that is hard to read in details, %s" % scheme)
        focus(browser, "primary", ".change")
        browser.press("Enter")
        browser.press("Right", "Right")
        check_in("Nothing else of postgres is up", browser.run("return document.querySelector('#dialog-effect').textContent"))
        drawn(browser)
        compare("dialog-%s-%s" % (size, scheme), browser.screenshot())
        browser.press("Escape")
        site.lose()
        wait_until(lambda: browser.run("return document.body.classList.contains('stale')"), "it says that this is old")
        banner = "return document.querySelector('#banner').textContent"
        wait_until(lambda: browser.run(banner) == "sluice does not answer. Trying again. What you see is of 16:00:00.", "it says why")
        check_eq(browser.run("return [...document.querySelectorAll('button.change')].filter((b) => !b.disabled).length"), 0)
        browser.run("document.activeElement.blur(); scrollTo(0, 0)")
        drawn(browser)
        compare("old-%s-%s" % (size, scheme), browser.screenshot())
        site.find()
        wait_until(lambda: not browser.run("return document.body.classList.contains('stale')"), "it is back")
        wait_until(lambda: browser.run("return [...document.querySelectorAll('button.change')].every((b) => !b.disabled)"), "buttons")
        check_eq(browser.run("return document.querySelectorAll('tr.detail').length"), 1, "details that were open are open")
    browser.close()
    site.close()
    s.check_quiet()


def focus(browser, name, control):
    """The control of this backend's row gets the focus; a key is what uses it."""
    browser.run("document.querySelector('tr.backend[data-id$=\"/' + arguments[0] + '\"] ' + arguments[1]).focus()", name, control)


def test_nothing_there_is_said(t):
    one_engine(t)
    s, admin, _ = admin_of(t)
    site = dashboard_fixture.Site(t.address(), page_of(admin), dashboard_fixture.nothing())
    browser = Browser(t)
    browser.resize(*SIZES["wide"])
    browser.open(site.url)
    wait_until(lambda: browser.run("return document.querySelectorAll('article.pool').length") == 1, "the pool")
    check_in("No backends yet", browser.run("return document.querySelector('article.pool').innerText"))
    check_in("Nothing has happened yet", browser.run("return document.querySelector('#events').innerText"))
    check_eq(browser.run("return document.querySelector('#certificates').checkVisibility()"), False)
    browser.press("/", "zzz")
    wait_until(lambda: "No backend matches \u201czzz\u201d" in browser.run("return document.querySelector('#pools').innerText"), "it says so")
    no_noise(browser, site.url)
    browser.close()
    site.close()


def test_long_names_many_backends_and_bad_words_do_no_harm(t):
    one_engine(t)
    s, admin, _ = admin_of(t)
    site = dashboard_fixture.Site(t.address(), page_of(admin), dashboard_fixture.many(), node="edge-" + "1.a-long-name-of-a-machine" * 4,
                                  not_ready="no backend of pool shop is up, and " + "x" * 300)
    browser = Browser(t)
    for width, height in ((320, 600), *SIZES.values()):
        browser.resize(width, height)
        browser.open(site.url)
        ready(browser)
        check(browser.run("return document.documentElement.scrollWidth") <= width, "nothing sticks out at %d" % width)
        check_in("Not ready: no backend of pool shop", browser.run("return document.querySelector('#banner').innerText"))
        out = browser.run("""return [...document.querySelectorAll('.top *, #banner, .tile, .card, td, th, button, figure')].filter((e) => {
            const b = e.getBoundingClientRect(); return b.width > 0 && !e.closest('.hidden, .skip') && (b.right > innerWidth + 1 || b.left < -1);
            }).map((e) => e.className || e.tagName)""")
        check_eq(out, [], "nothing is cut off at %d" % width)
    check_eq(browser.run("return document.querySelectorAll('tr.backend b').length"), 0, "names are text")
    check(browser.run("return document.title") != "bad", "reasons are text")
    no_noise(browser, site.url)
    browser.close()
    site.close()
    s.check_quiet()


def test_the_state_that_stands_still_is_like_a_real_one(t):
    """Or else the pictures are of something that nobody sees."""
    one_engine(t)
    s, admin, _ = admin_of(t)
    with Stream(admin) as stream:
        hello, real = stream.next("hello"), stream.next("state")
    still = json.loads(dashboard_fixture.usual().text())

    def kinds(state):
        return {o["k"][0] if o["k"] != "A" else "all": set(o) for o in state["objects"]}
    check_eq(kinds(still), kinds(real))
    check_eq(set(still), set(real))
    check_eq(set(still["process"]), set(real["process"]))
    check_eq(still["states"], real["states"])
    check_eq((still["step_ms"], still["points"], still["strip_s"]), (real["step_ms"], real["points"], real["strip_s"]))
    check_eq([len(w) for w in still["workers"][:1]], [len(w) for w in real["workers"][:1]])
    check_eq(set(still["events"][0]) - set(real["events"][0]), set())
    check_eq(set(hello), {"level", "may_change", "token"})


def test_the_figures_of_a_real_process_are_shown(t):
    one_engine(t)
    s, admin, front = admin_of(t)
    url = "http://%s:%d/" % admin
    browser = Browser(t)
    browser.resize(*SIZES["wide"])
    browser.open(url)
    ready(browser)
    for _ in range(200):
        fetch(front)
    tile = "return [...document.querySelectorAll('.tile')].find((e) => e.innerText.startsWith(arguments[0])).querySelector('.value').textContent"
    wait_until(lambda: float(browser.run(tile, "Requests") or 0) > 0, "requests are seen")
    wait_until(lambda: browser.run(tile, "Latency").endswith("ms"), "their latency")
    check_eq(browser.run(tile, "Backends"), "1")
    check_match(r"^\d+\s%$", browser.run(tile, "Load"))
    check_eq(browser.run("return document.querySelector('#life-text').textContent"), "Live")
    check_eq(browser.run("return document.querySelectorAll('.worker').length"), 1)
    check_in("sluice ", browser.run("return document.querySelector('#foot').textContent"))
    no_noise(browser, url)
    browser.close()
    s.check_quiet()
